"""Something to look at where nothing is configured: installed plugins at work, on paper."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import TYPE_CHECKING, Any, Final

import hotplug
from hotplug.market import Bar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

__all__ = ["DEMO", "perform"]

DEMO: Final = {
    ("brokers", "paper"): "hotplug-broker-paper",
    ("strategies", "crossover"): "hotplug-strategy-crossover",
    ("tools", "history"): "hotplug-tools-market",
}
"""The plugins that it takes, and whose they have to be: nobody else's trade without being asked to."""
SYMBOLS: Final = ("IBM", "MSFT")
DAYS: Final = 700
WARM: Final = 60  # days that go by at once: averages need them
DAY: Final = 0.25  # seconds that each of the others takes
REST: Final = 5.0  # seconds before what ended begins anew
ASK: Final = 20.0  # seconds between two questions to the agent
_log = logging.getLogger("hotplug.web")


async def perform(host: hotplug.Host, user: str) -> None:
    """Let strategies of *user* trade, and an agent answer, until cancelled."""
    async with asyncio.TaskGroup() as group:
        for symbol in SYMBOLS:
            group.create_task(_trade(host, user, symbol))
        group.create_task(_ask(host, user))


async def _trade(host: hotplug.Host, user: str, symbol: str) -> None:
    """Play the same days over and over, each time as if they came after those before."""
    later = timedelta()
    while True:
        context = hotplug.UserExecutionContext(user, thread_id=f"demo of {symbol}")
        try:
            played = await _bars_of(host, symbol, context, later)
            later += played[-1].time - played[0].time + timedelta(days=1)
            async with host.session(context) as session:
                strategy = await session.strategies.aget("crossover")
                broker = await session.brokers.aget("paper")
                await hotplug.run_strategy(strategy, broker, _paced(played), context=context)
        except hotplug.HotplugError as error:
            # It was disabled, halted or broken by who tries things out: it goes on when it can.
            _log.info("the demo of %s rests: %s", symbol, error)
        await asyncio.sleep(REST)


async def _bars_of(
    host: hotplug.Host, symbol: str, context: hotplug.UserExecutionContext, later: timedelta
) -> list[Bar]:
    days: Any = await host.tools.call("history", {"symbol": symbol, "limit": DAYS}, context)
    return [_bar(symbol, day, later) for day in days]


def _bar(symbol: str, day: dict[str, Any], later: timedelta) -> Bar:
    time = datetime.fromisoformat(str(day["date"])).replace(tzinfo=UTC) + later
    prices = {name: day[name] for name in ("open", "high", "low", "close", "volume")}
    return Bar(symbol=symbol, time=time, **prices)


async def _paced(bars: Iterable[Bar]) -> AsyncIterator[Bar]:
    for number, bar in enumerate(bars):
        yield bar
        await asyncio.sleep(DAY if number >= WARM else 0)


async def _ask(host: hotplug.Host, user: str) -> None:
    for symbol in cycle(SYMBOLS):
        context = hotplug.UserExecutionContext(user, thread_id="demo")
        with contextlib.suppress(hotplug.HotplugError):
            await host.agents.run("analyst", f"How did {symbol} do?", context)
        await asyncio.sleep(ASK)
