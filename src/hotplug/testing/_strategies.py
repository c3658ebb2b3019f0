"""What every strategy promises, as tests to inherit."""

from __future__ import annotations

import asyncio
import inspect
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from hotplug._records import exported_state
from hotplug._signature import differences
from hotplug.context import UserExecutionContext
from hotplug.market import Bar
from hotplug.strategies import Strategy, StrategyReport, run_strategy, running
from hotplug.testing._suite import Suite, claim, claim_type

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from hotplug.brokers import IBrokerGateway
    from hotplug.strategies import Running

__all__ = ["StrategyContract"]

FIRST_BAR: Final = datetime(2024, 1, 2, tzinfo=UTC)
WAVE: Final = 40
BARS: Final = 240


class StrategyContract(Suite):
    """
    The promises of `Strategy`. Subclass it and say how to make the strategy, and a broker to run it on:

        class TestMine(StrategyContract):
            def make_strategy(self) -> MyStrategy:
                return MyStrategy(fast=5, slow=20)

            def make_broker(self) -> PaperBroker:
                return PaperBroker()

    The broker must be ``SIMULATED``. `bars` is a market that rises and falls; override it where the
    strategy needs another one in order to trade.
    """

    def make_strategy(self) -> Strategy:
        """A new strategy."""
        raise NotImplementedError(f"{type(self).__name__} must define make_strategy()")

    def make_broker(self) -> IBrokerGateway:
        """A new simulated gateway, not connected."""
        raise NotImplementedError(f"{type(self).__name__} must define make_broker()")

    def bars(self) -> Sequence[Bar]:
        """The market: six waves, each 40 days long, between 100 and 120."""
        return tuple(_wave(day) for day in range(BARS))

    async def play(self, bars: Sequence[Bar], *users: str) -> list[StrategyReport]:
        """A run for each of *users* at once, all on one broker."""
        broker = self.make_broker()
        await broker.connect()
        try:
            runs = [
                run_strategy(self.make_strategy(), broker, bars, context=UserExecutionContext(user_id=user))
                for user in users
            ]
            return await asyncio.gather(*runs)
        finally:
            await broker.disconnect()

    async def play_with_breaks(self, pause: Callable[[Running], Awaitable[None]]) -> StrategyReport:
        """A run in which *pause* is awaited after each bar, before the next one is fed."""
        user = UserExecutionContext(user_id="ada")

        async def market() -> AsyncIterator[Bar]:
            for bar in self.bars():
                yield bar
                [run] = [run for run in running() if run.run == user.run_id]
                await pause(run)

        broker = self.make_broker()
        await broker.connect()
        try:
            return await run_strategy(self.make_strategy(), broker, market(), context=user)
        finally:
            await broker.disconnect()

    def test_it_is_a_strategy(self) -> None:
        """The strategy is a `Strategy`, and each callback can be called as the contract calls it."""
        strategy = self.make_strategy()
        claim_type(strategy, Strategy, "a strategy")
        found = differences(strategy, Strategy)
        claim(not found, "it differs from Strategy:\n  " + "\n  ".join(found))

    def test_it_runs_to_the_end(self) -> None:
        """It sees every bar, raises nothing, and leaves no order open."""
        bars = self.bars()
        [report] = self.run(self.play(bars, "ada"))
        claim(report.error is None, f"it raised {report.error!r}")
        claim(len(report.equity) == len(bars), f"it saw {len(report.equity)} of {len(bars)} bars")
        left = [order for order in report.orders if not order.status.terminal]
        claim(not left, f"orders are still open: {left}")

    def test_it_trades_in_this_market(self) -> None:
        """It makes trades, or else nothing of it is tested here: override `bars` then."""
        [report] = self.run(self.play(self.bars(), "ada"))
        claim(report.trades, "it never traded; let bars() give a market that it trades in")

    def test_it_does_the_same_again(self) -> None:
        """Two runs over the same market make the same trades: nothing is left over from the first."""
        [first] = self.run(self.play(self.bars(), "ada"))
        [second] = self.run(self.play(self.bars(), "ada"))
        claim(_deeds(first) == _deeds(second), f"first {_deeds(first)}, then {_deeds(second)}")

    def test_users_do_not_disturb_each_other(self) -> None:
        """Two users who run it at once get what each would have got alone, on accounts of their own."""
        [alone] = self.run(self.play(self.bars(), "ada"))
        both = self.run(self.play(self.bars(), "ada", "bob"))
        for report, user in zip(both, ("ada", "bob"), strict=True):
            claim(_deeds(report) == _deeds(alone), f"{user} traded {_deeds(report)}, alone {_deeds(alone)}")
            accounts = {fill.account for fill in report.trades} | {order.account for order in report.orders}
            claim(accounts <= {report.account}, f"{user} traded on {accounts}")
        claim(both[0].account != both[1].account, "two users need two accounts")

    def test_it_bears_a_market_without_bars(self) -> None:
        """A run that sees no bar ends without an error and without an order."""
        [report] = self.run(self.play((), "ada"))
        claim(report.error is None, f"it raised {report.error!r}")
        claim(not report.orders, f"it placed {report.orders}")

    def test_it_bears_a_single_bar(self) -> None:
        """A run that ends after its first bar ends without an error."""
        [report] = self.run(self.play(self.bars()[:1], "ada"))
        claim(report.error is None, f"it raised {report.error!r}")

    def test_it_leaves_nothing_running(self) -> None:
        """When its run has ended, so have the tasks that it began: they would go on for nobody."""

        async def left_behind() -> set[str]:
            await self.play(self.bars(), "ada")
            await asyncio.sleep(0)  # what was cancelled has a moment to end
            return {str(task.get_coro()) for task in asyncio.all_tasks() - {asyncio.current_task()}}

        left = self.run(left_behind())
        claim(not left, f"it left running: {', '.join(sorted(left))}")

    def test_its_state_makes_the_round(self) -> None:
        """Where it exports state: that is plain data, and a new object that imports it exports the same."""

        async def exported(strategy: Any) -> tuple[int, Any]:
            try:
                return exported_state(await _answer(strategy.export_state()), "its state")
            except TypeError as error:
                raise AssertionError(str(error)) from error

        async def goes_round(run: Running) -> None:
            version, data = await exported(run.strategy)
            copy: Any = self.make_strategy()
            copy.trader = run.strategy.trader
            await _answer(copy.import_state(version, data))
            again = await exported(copy)
            claim(again == (version, data), f"it exported {(version, data)}, imported that, exports {again}")

        strategy = self.make_strategy()
        has = [name for name in ("export_state", "import_state") if hasattr(strategy, name)]
        claim(len(has) != 1, f"it has {''.join(has)}, and not the other half of it")
        if has:
            report = self.run(self.play_with_breaks(goes_round))
            claim(report.error is None, f"it raised {report.error!r}")

    def test_a_successor_goes_on_where_it_was(self) -> None:
        """Where it exports state: replaced after each bar, it makes the trades that it makes alone."""

        async def replaced(run: Running) -> None:
            done: asyncio.Future[Exception | None] = asyncio.Future()
            run.offer(self.make_strategy, done.set_result)
            why_not = await done
            claim(why_not is None, f"it was not replaced: {why_not}")

        if hasattr(self.make_strategy(), "export_state"):
            [alone] = self.run(self.play(self.bars(), "ada"))
            relay = self.run(self.play_with_breaks(replaced))
            claim(relay.error is None, f"replaced in the run, it raised {relay.error!r}")
            claim(
                _deeds(relay) == _deeds(alone), f"replaced, it traded {_deeds(relay)}, alone {_deeds(alone)}"
            )


async def _answer(answer: object) -> Any:
    return await answer if inspect.isawaitable(answer) else answer


def _wave(day: int) -> Bar:
    step = day % WAVE
    close = Decimal(100 + min(step, WAVE - step))
    return Bar(
        symbol="TEST",
        time=FIRST_BAR + timedelta(days=day),
        open=close,
        high=close + 1,
        low=close - 1,
        close=close,
        volume=Decimal(1_000_000),
    )


def _deeds(report: StrategyReport) -> list[tuple[Any, ...]]:
    """The trades, without the names that differ from run to run."""
    return [(each.symbol, each.side, each.qty, each.price, each.fee, each.time) for each in report.trades]
