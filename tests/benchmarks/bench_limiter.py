"""
The limiter beside its peers, in one run: a call that need not wait, many that must, memory, a venue's view.

    pytest tests/benchmarks/bench_limiter.py -o python_files='bench_*.py' -s

Cases take turns, round by round, in thread CPU time. They are printed and stand in ``extra_info``. No time
is asserted: the bars of DESIGN 6 stand beside what was measured.
"""

from __future__ import annotations

import asyncio
import math
import time
import tracemalloc

from aiolimiter import AsyncLimiter

from hotplug.brokers._limits._limiter import Limiter, RateWindow
from measuring import Case, interleaved, show

CALLS = 2000
PLENTY = 10**6


class Nothing:
    """What a call costs that limits nothing."""

    def try_acquire(self, call: str, *, until: float, account: str = "", urgent: bool = False) -> Nothing:
        return self

    def done(self, *, answered: bool = True) -> None:
        pass


def pairs(limiter: Limiter | Nothing, count: int = CALLS) -> Case:
    """Acquire and done, one after the other."""

    def run() -> None:
        until = time.monotonic() + 10
        for _ in range(count):
            limiter.try_acquire("place", until=until).done()

    return run


def acquires(limiter: Limiter) -> Case:
    """The same by a coroutine that does not have to wait."""

    async def run() -> None:
        until = time.monotonic() + 10
        for _ in range(CALLS):
            (await limiter.acquire("place", until=until)).done()

    return lambda: asyncio.run(run())


def by_leaky_bucket() -> None:
    """What aiolimiter takes for as many, which it never hears of again."""

    async def run() -> None:
        limiter = AsyncLimiter(PLENTY, 1)
        for _ in range(CALLS):
            await limiter.acquire()

    asyncio.run(run())


# -- a call that need not wait ---------------------------------------------------------------------


def test_fast_path(benchmark):
    """
    Acquire and done of a call that need not wait, beside a pair of empty methods and a leaky bucket.
    """
    second = RateWindow("orders", PLENTY)
    minute = RateWindow("weight", PLENTY, 60, weights={"place": 2})
    account = RateWindow("account", PLENTY, 60, scope="account")
    cases = {
        "a pair of empty methods": pairs(Nothing()),
        "no window": pairs(Limiter()),
        "one window": pairs(Limiter([second])),
        "one window, always turning over": pairs(Limiter([RateWindow("orders", PLENTY, 0.001)])),
        "three windows": pairs(Limiter([second, minute, account])),
        "one window, by await acquire": acquires(Limiter([second])),
        "aiolimiter, by await acquire, without done": by_leaky_bucket,
    }
    benchmark.pedantic(cases["one window"], rounds=5)
    show(benchmark, "a call that need not wait", interleaved(cases, 40, CALLS), "µs", {"one window": 2.0})


def test_fast_path_does_not_grow(benchmark):
    """
    A call costs the same among ten calls in the window and among a hundred thousand, answered or under way.
    """

    def among(count: int, *, answered: bool) -> Case:
        limiter = Limiter([RateWindow("orders", 10**8, 3600)])
        tickets = [limiter.try_acquire("place", until=time.monotonic() + 3600) for _ in range(count)]
        for ticket in tickets if answered else ():
            ticket.done()
        run = pairs(limiter)
        run.tickets = tickets
        return run

    cases = {
        "10 answered": among(10, answered=True),
        "100,000 answered": among(100_000, answered=True),
        "10 under way": among(10, answered=False),
        "100,000 under way": among(100_000, answered=False),
    }
    benchmark.pedantic(cases["100,000 answered"], rounds=5)
    show(benchmark, "size", interleaved(cases, 20, CALLS), "µs", {})


# -- calls that must wait --------------------------------------------------------------------------


def test_waiting(benchmark):
    """
    What each of a thousand calls costs that all wait in line, tasks and timers included.
    """
    count, limit, window = 1000, 100, 0.002

    def by_us() -> None:
        limiter = Limiter([RateWindow("orders", limit, window)])

        async def call() -> None:
            (await limiter.acquire("place", until=math.inf)).done()

        async def main() -> None:
            await asyncio.gather(*(call() for _ in range(count)))

        asyncio.run(main())

    def by_peer() -> None:
        async def main() -> None:
            limiter = AsyncLimiter(limit, window)
            await asyncio.gather(*(limiter.acquire() for _ in range(count)))

        asyncio.run(main())

    cases = {"limiter": by_us, "aiolimiter": by_peer}
    benchmark.pedantic(by_us, rounds=3)
    show(benchmark, "a thousand in line", interleaved(cases, 10, count), "µs each", {})


# -- memory ----------------------------------------------------------------------------------------


def test_memory(benchmark):
    """
    Bytes that a call takes while it is counted, and what stays of a hundred thousand afterwards.
    """

    def measure(count: int) -> dict[str, float]:
        now = [0.0]
        limiter = Limiter([RateWindow("orders", PLENTY)], clock=lambda: now[0])
        tracemalloc.start()
        try:
            empty = tracemalloc.get_traced_memory()[0]
            tickets = [limiter.try_acquire("place", until=1e9) for _ in range(count)]
            flying = tracemalloc.get_traced_memory()[0]
            for ticket in tickets:
                ticket.done()
            del tickets, ticket
            limiter.usage()
            answered = tracemalloc.get_traced_memory()[0]
            now[0] = 10.0
            limiter.usage()
            left = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        return {
            "under way": (flying - empty) / count,
            "answered": (answered - empty) / count,
            "afterwards, of all": left - empty,
        }

    numbers = benchmark.pedantic(lambda: measure(100_000), rounds=1)
    show(benchmark, "memory", numbers, "bytes", {})


# -- what the venue sees ---------------------------------------------------------------------------


def test_what_the_venue_sees(benchmark):
    """
    The most that arrives in any window of a venue that allows twenty, with jitter on the way there.
    """
    limit, window, count = 20, 0.1, 120

    def most(moments: list[float]) -> int:
        return max(sum(start <= moment < start + window for moment in moments) for start in moments)

    async def by_us() -> int:
        limiter, moments = Limiter([RateWindow("orders", limit, window)]), []

        async def call(number: int) -> None:
            ticket = await limiter.acquire("place", until=math.inf)
            await asyncio.sleep(number % 7 / 7 * window / 2)
            moments.append(time.monotonic())
            ticket.done()

        await asyncio.gather(*(call(number) for number in range(count)))
        return most(moments)

    async def by_peer() -> int:
        limiter, moments = AsyncLimiter(limit, window), []

        async def call(number: int) -> None:
            await limiter.acquire()
            await asyncio.sleep(number % 7 / 7 * window / 2)
            moments.append(time.monotonic())

        await asyncio.gather(*(call(number) for number in range(count)))
        return most(moments)

    numbers = {"limiter": asyncio.run(by_us()), "aiolimiter": asyncio.run(by_peer())}
    benchmark.pedantic(lambda: None, rounds=1)
    show(benchmark, "most in a window of 20", numbers, "calls", {"limiter": 18})
