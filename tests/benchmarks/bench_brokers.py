"""
The template of gateways, in one run: an order beside its raw hook, the limiter, who is well, the event log.

    pytest tests/benchmarks/bench_brokers.py -o python_files='bench_*.py' -s

Cases take turns, round by round, in thread CPU time. What is printed of placing is the difference: what the
template adds to the hook that a plugin wrote. No time is asserted: the bars of DESIGN 6 stand beside what was
measured.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

from hotplug.brokers import BrokerGateway, BrokerRegistry, RateWindow
from hotplug.brokers._events._journal import FileJournal
from hotplug.brokers._events._log import EventLog
from hotplug.brokers._limits._limiter import Limiter
from hotplug.brokers._orders._book import Book
from hotplug.brokers._settings import BookSettings, OrderLimits
from hotplug.market import Environment, Order, OrderRequest, OrderStatus, OrderType, Side, Snapshot
from measuring import Case, interleaved, show
from strangers import StrangeGateway

ORDERS = 1000
ROUNDS = 15
PLENTY = 10**9
NOTHING = Snapshot(orders=None, fills=None, positions=None, balances=None, cursor=None)


class Venue(BrokerGateway):
    """A venue in this process, which takes whatever comes."""

    broker_type = "venue"
    environment = Environment.SANDBOX
    max_orders = 10**7

    def __init__(self, *, broker_id: str | None = None, **facts: Any) -> None:
        super().__init__(broker_id=broker_id)
        for name, fact in facts.items():
            setattr(self, name, fact)

    async def _connect(self) -> None: ...

    async def _disconnect(self) -> None: ...

    async def _place(self, order: Order) -> str | None:
        return order.client_order_id

    async def _cancel(self, order: Order) -> None: ...

    async def _snapshot(self) -> Snapshot:
        return NOTHING


def orders(mark: object) -> list[OrderRequest]:
    one, ten = Decimal(1), Decimal(10)
    return [
        OrderRequest(
            symbol="A",
            side=Side.BUY,
            qty=one,
            type=OrderType.LIMIT,
            price=ten,
            client_order_id=f"{mark}-{number}",
        )
        for number in range(ORDERS)
    ]


# -- placing ---------------------------------------------------------------------------------------


async def timed(place: Callable[[Any], Awaitable[object]], given: list[Any]) -> float:
    """Microseconds of thread CPU time for each."""
    gc.collect()
    started = time.thread_time_ns()
    for each in given:
        await place(each)
    return (time.thread_time_ns() - started) / len(given) / 1000


def above_the_hook(gateways: dict[str, Venue]) -> dict[str, float]:
    """What ``place_order`` of each costs more than its ``_place``: the median of all rounds."""
    raw_order = Order(symbol="A", side=Side.BUY, qty=Decimal(1), status=OrderStatus.NEW, client_order_id="x")
    extra: dict[str, list[float]] = {name: [] for name in gateways}

    async def play() -> None:
        for gateway in gateways.values():
            await gateway.connect()
        for number in range(ROUNDS):
            for name, gateway in gateways.items():
                raw = await timed(gateway._place, [raw_order] * ORDERS)
                full = await timed(gateway.place_order, orders(number))
                extra[name].append(full - raw)
        for gateway in gateways.values():
            await gateway.disconnect()

    asyncio.run(play())
    return {name: statistics.median(found) for name, found in extra.items()}


def test_placing(benchmark, tmp_path):
    """
    What an order costs above the raw hook: plain, within windows, within limits, into a file.
    """
    windows = (RateWindow("second", PLENTY), RateWindow("minute", PLENTY, 60.0))
    settings = BookSettings(limits=OrderLimits(max_qty=Decimal(100), symbols=frozenset({"A"})))
    journals = [FileJournal(tmp_path / f"{name}.jsonl", fsync=False) for name in ("a",)]
    gateways = {
        "place_order": Venue(),
        "within two windows": Venue(rate_windows=windows),
        "within limits of quantity and symbol": Venue(),
        "written to a file": Venue(),
    }
    gateways["within limits of quantity and symbol"].attach(Book("limits", settings))
    gateways["written to a file"].attach(Book("file", journal=journals[0]))
    benchmark.pedantic(lambda: above_the_hook({"place_order": Venue()}), rounds=1)
    show(benchmark, "above the raw hook", above_the_hook(gateways), "µs", {"place_order": 15.0})
    for journal in journals:
        journal.close()


def test_limiter(benchmark):
    """
    Leave for one call and its end, as the template asks for it: without a window, with one, with three.
    """

    def pairs(limiter: Limiter) -> Case:
        def run() -> None:
            until = time.monotonic() + 10
            for _ in range(ORDERS):
                limiter.try_acquire("place", until=until, account="default").done()

        return run

    second = RateWindow("orders", PLENTY)
    minute = RateWindow("weight", PLENTY, 60, weights={"place": 2})
    account = RateWindow("account", PLENTY, 60, scope="account")
    cases = {
        "no window": pairs(Limiter()),
        "one window": pairs(Limiter([second])),
        "three windows": pairs(Limiter([second, minute, account])),
    }
    benchmark.pedantic(cases["one window"], rounds=5)
    show(benchmark, "acquire and done", interleaved(cases, 30, ORDERS), "µs", {"one window": 2.0})


# -- who is healthy --------------------------------------------------------------------------------


class Hanging(Venue):
    """A line that never answers."""

    async def _ping(self) -> None:
        await asyncio.Event().wait()


class Raising(StrangeGateway):
    """Cannot even say what it is."""

    @property
    def info(self) -> Any:
        raise RuntimeError("nothing to say")


def test_get_healthy(benchmark):
    """
    Who of a hundred brokers is well: of as many well, hanging, raising and mute ones, and of well ones only.
    """

    async def measure() -> dict[str, float]:
        well = [Venue(broker_id=f"well {n}") for n in range(25)]
        many = [Venue(broker_id=f"many {n}") for n in range(100)]
        hanging = [Hanging(check_interval=0.001) for _ in range(25)]
        raising = [Raising() for _ in range(25)]
        mute = [Venue(max_health_age=1e-9) for _ in range(25)]
        up = [*well, *many, *hanging, *mute]
        await asyncio.gather(*(gateway.connect() for gateway in up))
        mixed, whole = BrokerRegistry(), BrokerRegistry()
        for number, gateway in enumerate([*well, *hanging, *raising, *mute]):
            mixed.register(str(number), gateway)
        for number, gateway in enumerate(many):
            whole.register(str(number), gateway)
        await asyncio.sleep(0)
        assert len(whole.get_healthy()) == 100
        cases = {
            "100 brokers, 25 of them well": mixed.get_healthy,
            "100 brokers, all well": whole.get_healthy,
        }
        found = interleaved({name: repeated(case, 20) for name, case in cases.items()}, 40, 20)
        assert {gateway.broker_id for gateway in mixed.get_healthy()} >= {g.broker_id for g in well}
        benchmark.pedantic(mixed.get_healthy, rounds=50)
        await asyncio.gather(*(gateway.disconnect() for gateway in up))
        return found

    numbers = asyncio.run(measure())
    show(benchmark, "get_healthy", numbers, "µs", dict.fromkeys(numbers, 100.0))


def repeated(case: Case, times: int) -> Case:
    def run() -> None:
        for _ in range(times):
            case()

    return run


# -- events ----------------------------------------------------------------------------------------


async def no_snapshot() -> Snapshot:
    return NOTHING


def an_event() -> Order:
    return Order(symbol="A", side=Side.BUY, qty=Decimal(1), status=OrderStatus.NEW, client_order_id="x")


async def written_then_read(readers: int) -> tuple[float, float]:
    """Microseconds for each event appended, and for each event that a reader took."""
    log, order = EventLog(), an_event()
    streams = [log.stream(None, no_snapshot) for _ in range(readers)]
    started = time.thread_time_ns()
    for _ in range(ORDERS):
        log.append(order, note="new")
    appended = time.thread_time_ns()
    for stream in streams:
        for _ in range(ORDERS):
            await anext(stream)
    read = time.thread_time_ns() - appended
    log.close()
    return (appended - started) / ORDERS / 1000, read / ORDERS / max(1, readers) / 1000


async def read_live() -> float:
    """Microseconds for an event, and for the reader that waits for it: there and back again."""
    log, order = EventLog(), an_event()
    stream = log.stream(None, no_snapshot)

    async def read() -> None:
        for _ in range(ORDERS):
            await anext(stream)

    reading = asyncio.ensure_future(read())
    await asyncio.sleep(0)
    started = time.thread_time_ns()
    for _ in range(ORDERS):
        log.append(order, note="new")
        await asyncio.sleep(0)
    await reading
    taken = time.thread_time_ns() - started
    log.close()
    return taken / ORDERS / 1000


def test_events(benchmark):
    """
    Numbering and keeping an event, with nobody listening and with readers; and reading what is there.
    """
    found: dict[str, list[float]] = defaultdict(list)
    for _ in range(ROUNDS):
        gc.collect()
        found["append"].append(asyncio.run(written_then_read(0))[0])
        found["read, of 1"].append(asyncio.run(written_then_read(1))[1])
        appended, read = asyncio.run(written_then_read(10))
        found["append, 10 readers"].append(appended)
        found["read, of 10"].append(read)
        found["live: append, wake and read"].append(asyncio.run(read_live()))
    benchmark.pedantic(lambda: asyncio.run(read_live()), rounds=3)
    show(benchmark, "events", {name: statistics.median(each) for name, each in found.items()}, "µs", {})
