"""One strategy over bars: market, fills, callbacks, in this order, one at a time."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import aclosing
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from hotplug.market import Quote, to_decimal
from hotplug.strategies._contract import Strategy
from hotplug.strategies._desk import RunDesk
from hotplug.strategies._market import Bound, one_by_one, simulation_of
from hotplug.strategies._running import Running

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from decimal import Decimal

    from hotplug.brokers import IBrokerGateway
    from hotplug.context import UserExecutionContext
    from hotplug.market import Bar
    from hotplug.strategies._market import MarketData
    from hotplug.strategies._report import StrategyReport

__all__ = ["run_strategy"]


async def run_strategy(
    strategy: Strategy,
    broker: IBrokerGateway,
    bars: MarketData,
    *,
    cash: Decimal | None = None,
    context: UserExecutionContext | None = None,
    account: str | None = None,
) -> StrategyReport:
    """
    Play *bars* (and quotes between them) to *strategy*, trading on *broker*.

    The run trades on *account*: without one on the user's own (on a view, its only one), without a user on a
    new one of its own. On a view, its orders are attributed to the strategy and the run.
    An account that is not open yet is opened with *cash* (without it, as the broker is set); for one that is,
    *cash* is an `InvalidRequest`. For each bar: orders placed earlier match, `on_fill` is told, then
    `on_bar`. At the end, however it came, open orders of the run are cancelled and `on_stop` is told;
    positions stay.

    A strategy that can hand over its state (see `Strategy`) may be replaced between two events by its next
    generation; the run and its report go on.

    What a callback raises (but for `KeyboardInterrupt` and the caller's cancellation) ends the run and is the
    report's *error*. Raises `LiveRefused` for a live gateway, `NotSupported` for one that is not simulated,
    `GatewayNotReady` for one that is not connected, `TypeError` for what is no strategy object or no
    gateway at all, `RuntimeError` for a strategy object that is running already and for a run in a callback
    of another one on the same account, and what the broker raises when it is fed.
    """
    if not isinstance(strategy, Strategy):  # pyright: ignore[reportUnnecessaryIsInstance] - untyped callers
        raise TypeError(f"a run takes a strategy, an object of a Strategy's class, not {strategy!r}")
    simulation_of(broker)
    run_id = uuid4().hex if context is None else context.run_id
    if isinstance(broker, Bound):
        account = account or (broker.accounts[0] if len(broker.accounts) == 1 else None)
        broker = broker.in_run(type(strategy).__name__, run_id)
    user = None if context is None else context.user_id
    desk = RunDesk(
        broker,
        simulation_of(broker),
        account=account or user or f"run-{run_id}",
        user=user,
        strategy=type(strategy).__name__,
        run=run_id,
    )
    running = Running(strategy, desk, context, run_id)
    del strategy  # it may be replaced: nothing here shall keep an old generation
    try:
        # Before anything is awaited: runs that begin together go through the market together.
        with desk.present():
            return await _Run(running, desk).play(bars, None if cash is None else to_decimal("cash", cash))
    finally:
        running.over()


class _Run:
    """What is told to the strategy of one run, and how far that is."""

    def __init__(self, running: Running, desk: RunDesk) -> None:
        self.running: Final = running
        self.desk: Final = desk
        self._started = False
        self._error: BaseException | None = None

    async def play(self, bars: MarketData, cash: Decimal | None) -> StrategyReport:
        """From the first bar until the market data or the strategy ends, and what came of it."""
        async with self.running.turn:
            await self.desk.open(cash)
        try:
            await self._tell_all(bars)
        finally:
            await self._wind_down()
        return await self.desk.report(self._error)

    async def _tell_all(self, bars: MarketData) -> None:
        async with aclosing(one_by_one(bars, self.desk.floor)) as market:
            async for said in market:
                # Between two turns the strategy may be replaced, also while the market is silent.
                async with self.running.turn:
                    self.desk.now = said.time
                    if not (await self._start() and await self._hear(said)):
                        return
        async with self.running.turn:
            await self._start()

    async def _start(self) -> bool:
        if self._started:
            return True
        self._started = True
        return await self._tell(lambda: self.running.strategy.on_start(self.desk.trader))

    async def _hear(self, said: Bar | Quote) -> bool:
        if isinstance(said, Quote):
            return await self._tell(lambda: self.running.strategy.on_quote(said))
        for fill in await self.desk.happens(said):
            if not await self._tell(lambda fill=fill: self.running.strategy.on_fill(fill)):  # type: ignore[misc]
                return False
        return await self._tell(lambda: self.running.strategy.on_bar(said))

    async def _tell(self, callback: Callable[[], Awaitable[None] | None]) -> bool:
        """Call the strategy; false, with the error kept, when it raised."""
        try:
            answer = callback()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - border to plugin code
            return self._failed(error)
        if inspect.isgenerator(answer) or inspect.isasyncgen(answer):
            return self._failed(
                TypeError("a callback with a yield in it never runs: make it a method or coroutine")
            )
        if not inspect.isawaitable(answer):
            return True
        try:
            await answer
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except asyncio.CancelledError as error:
            if _is_being_cancelled():
                raise
            return self._failed(error)
        except BaseException as error:  # noqa: BLE001 - border to plugin code
            return self._failed(error)
        return True

    def _failed(self, error: BaseException) -> bool:
        self.desk.trader.log.warning("stopped: %s: %s", type(error).__name__, error, exc_info=error)
        if self._error is None:
            self._error = error
        return False

    async def _wind_down(self) -> None:
        """Shut the gate, cancel what is open, say goodbye."""
        try:
            await self.running.end_handover()
        finally:
            await self.desk.close()
            if self._started:
                await self._tell(lambda: self.running.strategy.on_stop())


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
