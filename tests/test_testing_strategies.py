"""The strategy suite finds what is wrong with a strategy: one broken strategy for each of its tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from hotplug.market import OrderRequest, OrderType, Side, TimeInForce
from hotplug.strategies import Strategy
from hotplug.testing import StrategyContract
from hotplug_broker_paper import PaperBroker

MUTANTS: list[tuple[str, Callable[[], object]]] = []


def breaks(claim):
    """The decorated strategy must fail the test *claim*."""

    def note(mutant):
        MUTANTS.append((f"test_{claim}", mutant))
        return mutant

    return note


class Swing(Strategy):
    """Buys one when the price is low, sells it when it is high."""

    async def on_bar(self, bar):
        held = self.trader.position(bar.symbol).qty
        if bar.close <= 105 and not held:
            await self.trade(bar, Side.BUY)
        elif bar.close >= 115 and held:
            await self.trade(bar, Side.SELL)

    async def trade(self, bar, side, **more):
        await self.trader.place(OrderRequest(symbol=bar.symbol, side=side, qty=1, **more))


class Counts(Swing):
    """Buys, sells and rests, bar by bar: it has to know how many it saw."""

    seen = 0

    async def on_bar(self, bar):
        self.seen += 1
        if self.seen % 3:
            await self.trade(bar, (Side.BUY, Side.SELL)[self.seen % 3 - 1])

    def export_state(self):
        return 1, {"seen": self.seen}

    def import_state(self, version, data):
        self.seen = data["seen"]


class CountsLater(Counts):
    """The same, of coroutines."""

    async def export_state(self):
        return super().export_state()

    async def import_state(self, version, data):
        super().import_state(version, data)


@breaks("it_is_a_strategy")
class IsNone:
    async def on_bar(self, bar): ...


@breaks("it_is_a_strategy")
class TakesTwo(Swing):
    async def on_bar(self, bar, portfolio):
        await super().on_bar(bar)


@breaks("it_runs_to_the_end")
class GivesUp(Swing):
    async def on_bar(self, bar):
        await super().on_bar(bar)
        if bar.close == 120:
            raise ArithmeticError("too high")


@breaks("it_trades_in_this_market")
class OnlyWatches(Swing):
    async def on_bar(self, bar):
        pass


@breaks("it_does_the_same_again")
class Remembers(Swing):
    runs = 0

    def on_start(self, trader):
        type(self).runs += 1
        return super().on_start(trader)

    async def on_bar(self, bar):
        await super().on_bar(bar)
        if bar.close == 110 and self.runs % 2:
            await self.trade(bar, Side.BUY)


@breaks("users_do_not_disturb_each_other")
class SharesItsState(Swing):
    bought = [False]  # noqa: RUF012 - the fault

    async def on_bar(self, bar):
        if bar.close <= 105 and not self.bought[0]:
            self.bought[0] = True
            await self.trade(bar, Side.BUY)
        elif bar.close >= 115 and self.trader.position(bar.symbol).qty:
            await self.trade(bar, Side.SELL)
            self.bought[0] = False


@breaks("it_bears_a_market_without_bars")
class NeedsBars(Swing):
    last = None

    async def on_bar(self, bar):
        await super().on_bar(bar)
        self.last = bar

    def on_stop(self):
        self.trader.log.info("last close %s", self.last.close)


@breaks("it_bears_a_market_without_bars")
class OrdersBlindly(Swing):
    async def on_start(self, trader):
        order = OrderRequest(symbol="TEST", side=Side.BUY, qty=1, type=OrderType.LIMIT, price=1)
        await trader.place(order)


@breaks("its_state_makes_the_round")
class OnlyExports(Swing):
    def export_state(self):
        return 1, None


@breaks("its_state_makes_the_round")
class OnlyImports(Swing):
    def import_state(self, version, data):
        pass


@breaks("its_state_makes_the_round")
class ExportsAnObject(Counts):
    def export_state(self):
        return 1, {"seen": self.seen, "last": getattr(self, "trader", None)}


@breaks("its_state_makes_the_round")
class ExportsNoVersion(Counts):
    def export_state(self):
        return {"seen": self.seen}

    def import_state(self, data):
        self.seen = data["seen"]


@breaks("its_state_makes_the_round")
class LosesOne(CountsLater):
    async def import_state(self, version, data):
        self.seen = data["seen"] - 1


@breaks("a_successor_goes_on_where_it_was")
class ForgetsToSay(Counts):
    def export_state(self):
        return 1, None

    def import_state(self, version, data):
        pass


@breaks("a_successor_goes_on_where_it_was")
class TradesTooEarly(CountsLater):
    async def import_state(self, version, data):
        await super().import_state(version, data)
        await self.trader.place(OrderRequest(symbol="TEST", side=Side.BUY, qty=1))


@breaks("a_successor_goes_on_where_it_was")
class NeedsItsStart(Counts):
    def on_start(self, trader):
        self.began = True
        return super().on_start(trader)

    def on_stop(self):
        self.trader.log.info("began: %s", self.began)


@breaks("it_bears_a_single_bar")
class SumsUpTwoBars(Swing):
    async def on_bar(self, bar):
        await super().on_bar(bar)
        self.bars = [*getattr(self, "bars", []), bar]

    def on_stop(self):
        if hasattr(self, "bars"):
            self.trader.log.info("it went on from %s to %s", self.bars[0].close, self.bars[1].close)


@breaks("it_leaves_nothing_running")
class GoesOnForEver(Swing):
    def on_start(self, trader):
        self.task = asyncio.create_task(asyncio.Event().wait())
        return super().on_start(trader)


@breaks("no_inherited_test_was_replaced")
class IsNotTested(Swing):
    """Nothing is wrong with it, but with its suite."""


def suite_of(strategy):
    """The suite for a strategy."""

    class Hasty(StrategyContract):
        time_limit = 5

        def make_strategy(self):
            return strategy()

        def make_broker(self):
            return PaperBroker()

    return Hasty()


@pytest.mark.parametrize(("claim", "mutant"), MUTANTS, ids=lambda value: getattr(value, "__name__", value))
def test_the_suite_finds_it(claim, mutant, monkeypatch):
    """
    A strategy that breaks a promise fails the test of that promise.
    """
    suite = suite_of(mutant)
    if mutant is IsNotTested:
        monkeypatch.setattr(type(suite), "test_it_is_a_strategy", lambda self: None, raising=False)

    with pytest.raises(AssertionError):
        getattr(suite, claim)()


@pytest.mark.parametrize("strategy", [Swing, Counts, CountsLater])
@pytest.mark.parametrize("claim", sorted({claim for claim, _ in MUTANTS}))
def test_the_suite_accepts_a_good_strategy(claim, strategy):
    """
    The same test passes with a strategy that keeps the promise.
    """
    getattr(suite_of(strategy), claim)()


def test_every_promise_was_broken_once():
    """
    There is a broken strategy for each test of the suite, so none of them has never failed.
    """
    promises = {name for name in dir(StrategyContract) if name.startswith("test_")}

    assert promises == {claim for claim, _ in MUTANTS}


def test_an_order_left_open_is_found():
    """
    A run that leaves an order open fails the suite: here the broker forgets to cancel.
    """

    class Careless(PaperBroker):
        async def _cancel(self, order):
            return None

    class Rests(Swing):
        async def on_bar(self, bar):
            await self.trade(bar, Side.BUY, type=OrderType.LIMIT, price=1, tif=TimeInForce.GTC)

    class Hasty(StrategyContract):
        def make_strategy(self):
            return Rests()

        def make_broker(self):
            return Careless()

    with pytest.raises(AssertionError, match="orders are still open"):
        Hasty().test_it_runs_to_the_end()


def test_a_suite_without_hooks_says_what_is_missing():
    """
    A subclass that does not say what to test is told so, by name.
    """

    class TestNothing(StrategyContract):
        pass

    for hook in ("make_strategy", "make_broker"):
        with pytest.raises(NotImplementedError, match=f"TestNothing must define {hook}"):
            getattr(TestNothing(), hook)()
