"""
Runs of strategies: bars a second, alone, several at once, and beside the loop that does the least.

    pytest tests/benchmarks/bench_strategies.py -o python_files='bench_*.py' -s

Cases take turns, round by round, in CPU time of the process; figures are medians, no time is asserted.
The least is the paper broker fed bar by bar, for no strategy, with the breath that a run takes at each bar.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from decimal import Decimal

from hotplug.market import Bar
from hotplug.strategies import Strategy, run_strategy
from hotplug_broker_paper import PaperBroker
from hotplug_strategy_crossover import Crossover
from hotplug_tools_market import bars

ROUNDS = 7
MARKET = bars("IBM")


class Watches(Strategy):
    """Does nothing."""

    def on_bar(self, bar: Bar) -> None: ...


async def fed_alone(broker: PaperBroker) -> int:
    await broker.open_account("ours", Decimal(100_000))
    for bar in MARKET:
        await asyncio.sleep(0)
        await broker.feed(bar, account="ours")
    return len(MARKET)


def played(*strategies: type[Strategy], account: str | None = None):
    """The case of runs of these at once, on accounts of their own or on one."""

    async def case(broker: PaperBroker) -> int:
        runs = (run_strategy(each(), broker, MARKET, account=account) for each in strategies)
        return sum(len(report.equity) for report in await asyncio.gather(*runs))

    return case


CASES = {
    "the broker fed, no strategy": fed_alone,
    "one that does nothing": played(Watches),
    "the crossover, 73 trades": played(Crossover),
    "4 crossovers, 4 accounts": played(*[Crossover] * 4),
    "4 that do nothing, 1 account": played(*[Watches] * 4, account="ours"),
}


def bars_a_second(case) -> float:
    async def test() -> float:
        broker = PaperBroker(fee_rate=Decimal("0.0005"))
        await broker.connect()
        begun = time.process_time()
        count = await case(broker)
        seconds = time.process_time() - begun
        await broker.disconnect()
        return count / seconds

    return asyncio.run(test())


def test_bars_a_second(record_property) -> None:
    """Prints how many bars a second are told to strategies in each case."""
    rates: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(ROUNDS):
        for name, case in CASES.items():
            rates[name].append(bars_a_second(case))
    print()
    for name, measured in rates.items():
        record_property(name, statistics.median(measured))
        print(f"{name:<30} {statistics.median(measured):>10,.0f} bars/s")
