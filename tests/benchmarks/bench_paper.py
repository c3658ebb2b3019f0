"""
The paper broker: orders a second, from placing to the fill being read.

    pytest tests/benchmarks/bench_paper.py -o python_files='bench_*.py' -s

Three cases take turns, round by round, in CPU time of the process: the venue alone, the broker with a reader
of ``events()``, and a bare asyncio loop that does the least that such a thing can do: one future and one
queue entry for each order. Figures are medians; no time is asserted. The bar of DESIGN 6 is 20,000 orders a
second for the broker.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from hotplug.market import Bar, BrokerEvent, Fill, OrderRequest, Side
from hotplug_broker_paper import PaperBroker
from hotplug_broker_paper._venue import Venue
from hotplug_broker_paper._venue_rules import Rules

START = datetime(2024, 1, 2, tzinfo=UTC)
CASH = Decimal(10) ** 12
FEE = Decimal("0.001")
ORDERS = 10_000
ROUNDS = 5
BAR = 20_000


def orders() -> list[OrderRequest]:
    one = Decimal(1)
    return [OrderRequest(symbol="A", side=Side.BUY, qty=one, client_order_id=str(n)) for n in range(ORDERS)]


def bars(count: int) -> list[Bar]:
    return [
        Bar(
            symbol="A",
            time=START + timedelta(minutes=minute),
            open=100,
            high=101,
            low=99,
            close=100,
            volume=1_000_000,
        )
        for minute in range(count)
    ]


def venue_alone(each_bar: int) -> float:
    """Seconds for all orders, called directly."""
    fills: list[object] = []
    venue = Venue(Rules(cash=CASH, taker_fee=FEE), fills.append)
    placed, market = orders(), iter(bars(ORDERS // each_bar + 1))
    venue.feed_bar(next(market))
    begun = time.process_time()
    for number in range(0, ORDERS, each_bar):
        for request in placed[number : number + each_bar]:
            venue.place(request)
        venue.feed_bar(next(market))
    seconds = time.process_time() - begun
    assert sum(type(each) is Fill for each in fills) == ORDERS
    return seconds


def through_the_broker(each_bar: int) -> float:
    """Seconds for all orders, with acks awaited, and every event read by somebody."""

    async def play() -> float:
        broker = PaperBroker(cash=CASH, fee_rate=FEE)
        await broker.connect()
        placed, market = orders(), iter(bars(ORDERS // each_bar + 1))
        await broker.feed(next(market))
        reading = asyncio.ensure_future(read(broker.events()))
        await asyncio.sleep(0)
        begun = time.process_time()
        for number in range(0, ORDERS, each_bar):
            for request in placed[number : number + each_bar]:
                await broker.place_order(request)
            await broker.feed(next(market))
        await reading
        seconds = time.process_time() - begun
        await broker.disconnect()
        return seconds

    async def read(stream) -> None:
        fills = 0
        async for event in stream:
            fills += type(event.payload) is Fill
            if fills == ORDERS:
                return

    return asyncio.run(play())


def bare_loop(each_bar: int) -> float:
    """Seconds for as many futures resolved and events queued, with nothing behind them."""

    async def play() -> float:
        queue: asyncio.Queue[BrokerEvent] = asyncio.Queue()
        event = BrokerEvent(cursor="", time=START, generation=0, payload=None)  # type: ignore[arg-type]
        loop = asyncio.get_running_loop()

        async def place(request: OrderRequest) -> None:
            answer = loop.create_future()
            loop.call_soon(answer.set_result, None)
            queue.put_nowait(event)
            await answer

        async def read() -> None:
            for _ in range(ORDERS):
                await queue.get()

        placed = orders()
        reading = asyncio.ensure_future(read())
        begun = time.process_time()
        for request in placed:
            await place(request)
        await reading
        return time.process_time() - begun

    return asyncio.run(play())


@pytest.mark.parametrize("each_bar", [100, 10, 1])
def test_orders_a_second(each_bar: int, record_property) -> None:
    """Prints how many orders a second each case does, with so many orders on one bar."""
    cases: dict[str, Callable[[int], float]] = {
        "venue alone": venue_alone,
        "broker, with a reader": through_the_broker,
        "bare asyncio loop": bare_loop,
    }
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, case in cases.items():
            gc.collect()
            seconds[name].append(case(each_bar))
    print(f"\n{each_bar} orders on each bar")
    for name, found in seconds.items():
        rate = ORDERS / statistics.median(found)
        record_property(name, rate)
        bar = f"   (bar: {BAR:,})" if name.startswith("broker") else ""
        print(f"  {name:24} {rate:10,.0f} orders/s   {1e6 / rate:6.1f} µs each{bar}")
