"""
A broker behind a server beside bare grpc.aio: one call, and a stream of quotes.

    pytest tests/benchmarks/bench_grpc.py -o python_files='bench_*.py' -s

Both servers run in one other process; the cases take turns, round by round. What is compared is the CPU time
of both processes together: on a machine with other work the wall clock tells of that work. Ratios are taken
within each round; figures are medians, and no time is asserted. The bars of DESIGN 6 stand beside them.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import grpc
import pytest

from bare_process import SYMBOLS
from hotplug.market import OrderRequest, Quote, Side
from hotplug_broker_grpc import GrpcBroker
from hotplug_broker_grpc import _convert as convert
from hotplug_broker_grpc.stubs import broker_pb2 as pb
from hotplug_broker_grpc.stubs.broker_pb2_grpc import Stub

SCRIPT = Path(__file__).parents[1] / "support" / "bare_process.py"
CALLS, ROUNDS = 100, 40
STREAM_SECONDS, STREAM_ROUNDS = 0.4, 10
PATIENCE = 10.0
Call = Callable[[], Awaitable[object]]


@pytest.fixture
def addresses() -> Iterator[tuple[str, str]]:
    """Where the bare server listens, and where ours."""
    with subprocess.Popen(
        [sys.executable, str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        bare, ours = process.stdout.readline().split()
        yield bare, ours
        process.stdin.close()


class Bench:
    """Channels to both servers, our gateway, and the CPU time of the two processes."""

    def __init__(self, bare: str, ours: str) -> None:
        self._addresses = bare, ours

    async def __aenter__(self) -> Bench:
        bare, ours = self._addresses
        self.channel = grpc.aio.insecure_channel(bare)
        self.served = grpc.aio.insecure_channel(ours)
        self.gateway = GrpcBroker(target=ours)
        self._cpu = self.channel.unary_unary("/bare/Cpu")
        await self.gateway.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.gateway.disconnect()
        await self.channel.close()
        await self.served.close()

    def bare(self, method: str, asked: Any, answer: Any) -> Any:
        return self.channel.unary_unary(f"/bare/{method}", asked.SerializeToString, answer.FromString)

    async def cpu(self) -> float:
        return time.process_time() + float(await self._cpu(b""))


def show(title: str, numbers: dict[str, float], unit: str, bars: dict[str, float]) -> None:
    """Print the table."""
    print(f"\n{title}")
    for name, number in numbers.items():
        bar = f"   bar {bars[name]:g}" if name in bars else ""
        print(f"  {name:<44} {number:>10.2f} {unit}{bar}")


# -- one call --------------------------------------------------------------------------------------


def _calls(bench: Bench) -> dict[str, Call]:
    bare_quote = bench.bare("Quote", pb.SymbolRequest, pb.Quote)
    bare_place = bench.bare("Place", pb.PlaceOrderRequest, pb.OrderAck)
    stub = Stub(bench.served)

    def order() -> OrderRequest:
        return OrderRequest(symbol="S000", side=Side.BUY, qty=Decimal(1))

    async def quote(method: Any) -> Quote:
        return convert.QUOTE.decode(await method(pb.SymbolRequest(symbol="S000"), timeout=PATIENCE))

    async def place() -> object:
        request = pb.PlaceOrderRequest(request=convert.REQUEST.encode(order()))
        return convert.ACK.decode(await bare_place(request, timeout=PATIENCE))

    return {
        "bare quote": lambda: quote(bare_quote),
        "bare client, served quote": lambda: quote(stub.GetQuote),
        "gateway.get_quote": lambda: bench.gateway.get_quote("S000"),
        "bare order": place,
        "gateway.place_order, its two events included": lambda: bench.gateway.place_order(order()),
    }


def test_one_call(addresses: tuple[str, str]) -> None:
    """
    A question and its answer, one after the other.
    """

    async def measure() -> tuple[dict[str, list[float]], dict[str, list[float]]]:
        cpu: dict[str, list[float]] = {}
        wall: dict[str, list[float]] = {}
        async with Bench(*addresses) as bench:
            cases = _calls(bench)
            names = list(cases)
            for number in range(ROUNDS):
                for name in names[number % len(names) :] + names[: number % len(names)]:
                    before, started = await bench.cpu(), time.perf_counter()
                    for _ in range(CALLS):
                        await cases[name]()
                    wall.setdefault(name, []).append((time.perf_counter() - started) / CALLS * 1e6)
                    cpu.setdefault(name, []).append((await bench.cpu() - before) / CALLS * 1e6)
        return cpu, wall

    cpu, wall = asyncio.run(measure())
    show("one call, wall clock", _medians(wall), "us", {})
    show("one call, CPU of both processes", _medians(cpu), "us", {})
    ratios = {
        name: _ratio(taken, cpu["bare order" if "order" in name else "bare quote"])
        for name, taken in cpu.items()
    }
    bars = {"bare client, served quote": 1.15, "gateway.get_quote": 1.15}
    show("one call, CPU, beside the bare one", ratios, "x", bars)


def _medians(samples: dict[str, list[float]]) -> dict[str, float]:
    return {name: statistics.median(each) for name, each in samples.items()}


def _ratio(ours: list[float], bare: list[float]) -> float:
    return statistics.median(mine / other for mine, other in zip(ours, bare, strict=True))


# -- quotes ----------------------------------------------------------------------------------------


async def _bare_quotes(bench: Bench) -> AsyncIterator[Quote]:
    method = bench.channel.unary_stream(
        "/bare/Quotes", pb.SymbolRequest.SerializeToString, pb.Quote.FromString
    )
    call = method(pb.SymbolRequest())
    try:
        async for message in call:
            yield convert.QUOTE.decode(message)
    finally:
        call.cancel()


async def _rate(bench: Bench, quotes: Any) -> tuple[float, float]:
    """Quotes a second, and the CPU time of each in microseconds."""
    await anext(quotes)
    count, before, started = 0, await bench.cpu(), time.perf_counter()
    while time.perf_counter() - started < STREAM_SECONDS:
        for _ in range(20):
            await anext(quotes)
        count += 20
    seconds = time.perf_counter() - started
    cpu = (await bench.cpu() - before) / count * 1e6
    await quotes.aclose()
    return count / seconds, cpu


def test_a_stream_of_quotes(addresses: tuple[str, str]) -> None:
    """
    From the source there to the reader here; the bare one sends a message for each.
    """

    async def measure() -> tuple[dict[str, list[float]], dict[str, list[float]]]:
        rates: dict[str, list[float]] = {"one message each": [], "gateway.stream_quotes": []}
        cpu: dict[str, list[float]] = {name: [] for name in rates}
        async with Bench(*addresses) as bench:
            for _ in range(STREAM_ROUNDS):
                for name in rates:
                    gateway = bench.gateway
                    quotes = _bare_quotes(bench) if "each" in name else gateway.stream_quotes(SYMBOLS)
                    rate, taken = await _rate(bench, quotes)
                    rates[name].append(rate)
                    cpu[name].append(taken)
        return rates, cpu

    rates, cpu = asyncio.run(measure())
    show("quotes read, wall clock", _medians(rates), "/s", {})
    show("a quote, CPU of both processes", _medians(cpu), "us", {})
    bare, ours = cpu
    ratios = {"by CPU": _ratio(cpu[bare], cpu[ours]), "by wall clock": _ratio(rates[ours], rates[bare])}
    show("quotes, beside one message each", ratios, "x", dict.fromkeys(ratios, 20.0))
