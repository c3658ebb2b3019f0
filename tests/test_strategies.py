"""A run of a strategy: the market first, then fills, then the bar; and what happens when it goes wrong."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from hotplug.context import UserExecutionContext
from hotplug.errors import (
    ContractError,
    GatewayNotReady,
    InvalidRequest,
    LiveRefused,
    NotSupported,
    OrderDenied,
    OrderNotFound,
    PermissionDenied,
)
from hotplug.market import (
    Bar,
    Capability,
    Environment,
    Instrument,
    OrderRef,
    OrderRequest,
    OrderStatus,
    OrderType,
    Quote,
    Side,
    TimeInForce,
)
from hotplug.strategies import Simulation, Strategy, StrategyRegistry, StrategyReport, run_strategy
from hotplug_broker_paper import PaperBroker

DAY = datetime(2024, 1, 2, tzinfo=UTC)
ADA = UserExecutionContext(user_id="ada")
BOB = UserExecutionContext(user_id="bob")


def bar(number, open_, close=None, *, symbol="A"):
    """A bar that goes from open to close and one beyond both."""
    open_, close = Decimal(open_), Decimal(open_ if close is None else close)
    return Bar(
        symbol=symbol,
        time=DAY + timedelta(days=number),
        open=open_,
        high=max(open_, close) + 1,
        low=min(open_, close) - 1,
        close=close,
        volume=1000,
    )


FLAT = tuple(bar(number, 100) for number in range(5))


def buy(qty=1, **changes):
    return dataclasses.replace(OrderRequest(symbol="A", side=Side.BUY, qty=qty), **changes)


def sell(qty=1):
    return buy(qty, side=Side.SELL)


def far(**changes):
    """An order that rests."""
    return buy(type=OrderType.LIMIT, price=Decimal(1), tif=TimeInForce.GTC, **changes)


class Scripted(Strategy):
    """Does at each bar what its script says for that bar; notes what it is told."""

    def __init__(self, script=()):
        self.script = dict(script)
        self.told = []
        self.seen = 0

    def on_start(self, trader):
        self.told.append("start")
        return super().on_start(trader)

    async def on_bar(self, bar):
        self.told.append(f"bar {self.seen}")
        deed = self.script.get(self.seen)
        self.seen += 1
        if isinstance(deed, OrderRequest):
            await self.trader.place(deed)
        elif deed is not None:
            await deed(self)

    def on_quote(self, quote):
        self.told.append("quote")

    def on_fill(self, fill):
        self.told.append(f"fill {fill.side} {fill.qty} at {fill.price}")

    async def on_stop(self):
        self.told.append("stop")


def run(strategy, bars=FLAT, *, broker=None, **arguments):
    """The report of a run; the broker is connected for it."""

    async def test():
        venue = broker or PaperBroker()
        await venue.connect()
        return await run_strategy(strategy, venue, bars, **arguments)

    return asyncio.run(test())


# -- the order of things ---------------------------------------------------------------------------


def test_the_market_comes_first_then_fills_then_the_bar():
    """
    An order placed on a bar trades at the next open, and the strategy hears of it before that bar.
    """
    strategy = Scripted({0: buy(2), 1: sell(2)})

    report = run(strategy, [bar(0, 10), bar(1, 20), bar(2, 30)])

    assert strategy.told == [
        "start",
        "bar 0",
        "fill BUY 2 at 20",
        "bar 1",
        "fill SELL 2 at 30",
        "bar 2",
        "stop",
    ]
    assert [(each.time, each.price) for each in report.trades] == [(bar(1, 0).time, 20), (bar(2, 0).time, 30)]
    assert report.error is None


def test_an_order_on_the_last_bar_never_trades():
    """
    There is no next bar for it: it is cancelled at the end, and said to be.
    """
    report = run(Scripted({4: buy()}))

    assert report.trades == ()
    assert [each.status for each in report.orders] == [OrderStatus.CANCELED]


def test_plain_and_async_callbacks_are_alike():
    """
    A strategy of plain methods, which overrides no more than on_bar, sees every bar.
    """

    class Plain(Strategy):
        seen = 0

        def on_bar(self, bar):
            assert self.trader.now == bar.time
            self.seen += 1

    strategy = Plain()
    report = run(strategy, [*FLAT, Quote(symbol="A", bid=1, bid_size=1, ask=2, ask_size=1, time=DAY)])

    assert (strategy.seen, report.error) == (5, None)


def test_quotes_are_told_between_bars():
    """
    A quote among the bars reaches on_quote in its place and does not count as a bar.
    """
    strategy = Scripted()
    quote = Quote(symbol="A", bid=1, bid_size=1, ask=2, ask_size=1, time=DAY + timedelta(hours=1))

    report = run(strategy, [bar(0, 10), quote, bar(1, 10)])

    assert strategy.told == ["start", "bar 0", "quote", "bar 1", "stop"]
    assert len(report.equity) == 2


def test_bars_may_come_from_a_stream():
    """
    An async iterator of bars is as good as a list.
    """

    async def stream():
        for each in FLAT:
            await asyncio.sleep(0)
            yield each

    strategy = Scripted({0: buy()})
    report = run(strategy, stream())

    assert report.times == tuple(each.time for each in FLAT)
    assert len(report.trades) == 1


def test_no_bars_no_deeds():
    """
    Without a single bar the strategy is started and stopped, and the report is of nothing.
    """
    strategy = Scripted()

    report = run(strategy, [], cash=Decimal(50))

    assert strategy.told == ["start", "stop"]
    assert (report.trades, report.orders, report.equity) == ((), (), ())
    assert (report.capital, report.return_, report.max_drawdown) == (50, 0, 0)


def test_callbacks_never_overlap():
    """
    While a callback waits, no other is called, whatever else happens on the loop.
    """

    class Slow(Strategy):
        inside = 0
        most = 0

        async def on_bar(self, bar):
            self.inside += 1
            self.most = max(self.most, self.inside)
            for _ in range(3):
                await asyncio.sleep(0)
            await self.trader.place(buy())
            self.inside -= 1

        on_fill = on_bar

    strategy = Slow()
    report = run(strategy)

    assert (strategy.most, report.error) == (1, None)


def test_one_object_runs_once_at_a_time():
    """
    A strategy object that is running is refused to a second run; afterwards it may run again.
    """
    strategy = Scripted()

    async def test():
        broker = PaperBroker()
        await broker.connect()
        first = asyncio.create_task(run_strategy(strategy, broker, FLAT))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="this Scripted is running already"):
            await run_strategy(strategy, broker, FLAT)
        await first
        return await run_strategy(strategy, broker, FLAT)

    assert asyncio.run(test()).error is None


def test_a_run_leaves_room_for_others():
    """
    A run over bars in memory gives way to the loop at every bar.
    """
    beats = []

    async def test():
        broker = PaperBroker()
        await broker.connect()
        run_ = asyncio.create_task(run_strategy(Scripted(), broker, FLAT))
        while not run_.done():
            beats.append(1)
            await asyncio.sleep(0)

    asyncio.run(test())

    assert len(beats) >= len(FLAT)


# -- the figures -----------------------------------------------------------------------------------


def test_equity_is_cash_and_positions_at_the_last_close():
    """
    Bought 10 at 20 with a fee of 2: equity follows the close of each bar, to the cent.
    """
    bars = [bar(0, 10, 10), bar(1, 20, 25), bar(2, 30, 15), bar(3, 15, 40)]
    broker = PaperBroker(fee_rate=Decimal("0.01"))

    report = run(Scripted({0: buy(10)}), bars, broker=broker, cash=Decimal(1000))

    assert report.capital == 1000
    assert report.equity == (1000, 1048, 948, 1198)
    assert report.return_ == Decimal("0.198")
    assert report.max_drawdown == Decimal(100) / Decimal(1048)


def test_a_loss_from_the_start_is_a_drawdown():
    """
    The capital is the first height to fall from.
    """
    report = run(Scripted({0: buy(10)}), [bar(0, 10), bar(1, 10, 5)], cash=Decimal(100))
    later = dataclasses.replace(report, equity=report.equity[1:])

    assert report.equity == (100, 50)
    assert (report.return_, report.max_drawdown) == (Decimal("-0.5"), Decimal("0.5"))
    assert later.max_drawdown == Decimal("0.5")


def test_return_and_drawdown_of_nothing_are_nothing():
    """
    Without capital no fraction can be told, so it is 0.
    """
    report = StrategyReport(
        strategy="S", user=None, account="a", run="r", capital=Decimal(0), equity=(Decimal(5),)
    )

    assert (report.return_, report.max_drawdown) == (0, 0)


def test_a_position_of_before_is_worth_what_it_cost_until_it_trades():
    """
    A second run on an account starts with what the first one left, at cost, then at the last close.
    """

    async def test():
        broker = PaperBroker(cash=Decimal(1000))
        await broker.connect()
        await run_strategy(Scripted({0: buy(2)}), broker, [bar(0, 100), bar(1, 100)], account="mine")
        strategy = Scripted({0: lambda self: asyncio.sleep(0, held.append(self.trader.position("A")))})
        held = []
        report = await run_strategy(strategy, broker, [bar(2, 130), bar(3, 150)], account="mine")
        return report, held[0]

    report, held = asyncio.run(test())

    assert report.capital == 1000
    assert report.equity == (800 + 2 * 130, 800 + 2 * 150)
    assert (held.qty, held.avg_price) == (2, 100)


def test_the_trader_knows_its_account():
    """
    The trader tells account, user, run, cash and positions as they are after the last fill.
    """
    notes = []

    async def note(self):
        trader = self.trader
        notes.append((trader.cash, trader.position("A").qty, trader.position("B").qty, trader.now))

    strategy = Scripted({0: buy(3), 1: note})
    report = run(strategy, context=ADA, cash=Decimal(1000))

    assert notes == [(700, 3, 0, bar(1, 0).time)]
    trader = strategy.trader
    assert (trader.account, trader.user, trader.strategy, trader.run) == (
        "ada",
        "ada",
        "Scripted",
        ADA.run_id,
    )
    assert (report.account, report.user, report.strategy, report.run) == (
        "ada",
        "ada",
        "Scripted",
        ADA.run_id,
    )
    assert "Scripted for ada" in repr(trader)


def test_the_traders_log_says_who():
    """
    Log records of a trader carry user, account, strategy and run.
    """
    strategy = Scripted()
    run(strategy, context=ADA)

    _, extra = strategy.trader.log.process("hello", {})

    assert extra["extra"] == {"user": "ada", "account": "ada", "strategy": "Scripted", "run": ADA.run_id}
    assert strategy.trader.log.logger.name == "hotplug.strategies.Scripted"


# -- accounts --------------------------------------------------------------------------------------


def test_runs_without_a_user_do_not_meet():
    """
    Each run without user and account trades on a new account, so it can be run again from the start.
    """

    async def test():
        broker = PaperBroker()
        await broker.connect()
        return [await run_strategy(Scripted({0: buy()}), broker, FLAT, cash=Decimal(500)) for _ in range(2)]

    first, second = asyncio.run(test())

    assert first.account != second.account
    assert first.equity == second.equity
    assert first.capital == second.capital == 500


def test_two_users_at_once_are_alone():
    """
    Two users who run different strategies over the same bars at once: each has own trades, cash and bars.
    """

    async def test():
        broker = PaperBroker()
        await broker.connect()
        rich, poor = await asyncio.gather(
            run_strategy(Scripted({0: buy(5)}), broker, FLAT, context=ADA, cash=Decimal(9000)),
            run_strategy(Scripted({2: buy(1)}), broker, FLAT, context=BOB, cash=Decimal(200)),
        )
        return rich, poor, await broker.get_positions()

    rich, poor, positions = asyncio.run(test())

    assert [(each.account, each.qty) for each in rich.trades] == [("ada", 5)]
    assert [(each.account, each.qty) for each in poor.trades] == [("bob", 1)]
    assert (rich.capital, poor.capital) == (9000, 200)
    assert {each.account: each.qty for each in positions} == {"ada": 5, "bob": 1}


def test_cash_is_for_a_new_account():
    """
    Cash for an account that is open already is refused: it has its own.
    """

    async def test():
        broker = PaperBroker()
        await broker.connect()
        await run_strategy(Scripted(), broker, FLAT, context=ADA)
        with pytest.raises(InvalidRequest, match="'ada' is open already"):
            await run_strategy(Scripted(), broker, FLAT, context=ADA, cash=Decimal(5))

    asyncio.run(test())


def test_cash_is_exact():
    """
    A float for cash is a TypeError, before anything runs.
    """
    strategy = Scripted()

    with pytest.raises(TypeError, match="cash must be a Decimal"):
        run(strategy, cash=0.5)
    assert strategy.told == []


def test_a_trader_trades_on_its_own_account_only():
    """
    An order for another account is a PermissionDenied, NOT_SENT; naming the own one is fine.
    """

    async def other(self):
        with pytest.raises(PermissionDenied, match="not on 'bob'") as caught:
            await self.trader.place(buy(account="bob"))
        assert caught.value.outcome == "NOT_SENT"

    report = run(Scripted({0: other, 1: buy(account="ada")}), context=ADA)

    assert report.error is None
    assert [(each.account, each.status) for each in report.orders] == [("ada", OrderStatus.FILLED)]


def test_a_trader_cancels_its_own_orders_only():
    """
    Another's order, even on the same account, is not found, with the text of an unknown one; it stays open.
    """
    texts = []

    async def cancel(self):
        for ref in (OrderRef(client_order_id="theirs"), OrderRef(client_order_id="nobody")):
            with pytest.raises(OrderNotFound) as caught:
                await self.trader.cancel(ref)
            texts.append(str(caught.value).replace(ref.client_order_id, "…"))
        ack = await self.trader.place(far(client_order_id="mine"))
        order = await self.trader.cancel(OrderRef(order_id=ack.order_id))
        assert order.status is OrderStatus.CANCELED

    async def test():
        broker = PaperBroker()
        await broker.connect()
        await broker.place_order(far(account="ada", client_order_id="theirs"))
        report = await run_strategy(Scripted({0: cancel}), broker, FLAT, context=ADA)
        return report, await broker.get_open_orders()

    report, still_open = asyncio.run(test())

    assert report.error is None
    assert texts[0] == texts[1]
    assert [each.client_order_id for each in still_open] == ["theirs"]
    assert [each.client_order_id for each in report.orders] == ["mine"]


def test_only_own_fills_are_told():
    """
    What else trades on the account moves its equity, but is no trade of the run.
    """
    strategy = Scripted()

    async def test():
        broker = PaperBroker(cash=Decimal(1000))
        await broker.connect()
        await broker.place_order(buy(5, account="ada"))
        return await run_strategy(strategy, broker, [bar(0, 100), bar(1, 110)], context=ADA)

    report = asyncio.run(test())

    assert not any(each.startswith("fill") for each in strategy.told)
    assert (report.trades, report.orders) == ((), ())
    assert report.equity == (1000, 1050)


# -- when it goes wrong ----------------------------------------------------------------------------


class Stop(BaseException):
    """Something that `except Exception` does not catch."""


@pytest.mark.parametrize("error", [ValueError("boom"), SystemExit(3), Stop("boom"), asyncio.CancelledError()])
@pytest.mark.parametrize("callback", ["on_start", "on_bar", "on_fill", "on_stop"])
@pytest.mark.parametrize("is_async", [False, True])
def test_a_raising_callback_ends_the_run_as_its_error(error, callback, is_async):
    """
    Whatever a callback raises, plain or awaited, is the report's error; nothing of it reaches the caller.
    """

    def raise_it(self, *_):
        raise error

    async def raise_later(self, *_):
        await asyncio.sleep(0)
        raise error

    kind = type("Bad", (Scripted,), {callback: raise_later if is_async else raise_it})
    report = run(kind({0: buy()}))

    assert report.error is error


def test_the_strategy_is_stopped_and_its_orders_with_it():
    """
    After an error no callback but on_stop is called, open orders of the run are cancelled, positions stay.
    """

    async def fail(self):
        await self.trader.place(far())
        raise ValueError("boom")

    async def test():
        broker = PaperBroker()
        await broker.connect()
        strategy = Scripted({0: buy(3), 1: far(), 2: fail})
        report = await run_strategy(strategy, broker, FLAT, context=ADA)
        return strategy, report, await broker.get_positions(), await broker.get_open_orders()

    strategy, report, positions, still_open = asyncio.run(test())

    assert strategy.told[-2:] == ["bar 2", "stop"]
    assert str(report.error) == "boom"
    assert [each.status for each in report.orders] == [
        OrderStatus.FILLED,
        OrderStatus.CANCELED,
        OrderStatus.CANCELED,
    ]
    assert still_open == ()
    assert [each.qty for each in positions] == [3]
    assert len(report.equity) == 3


def test_the_first_error_is_the_reports():
    """
    An error in on_stop does not hide the one that stopped the run.
    """

    class Worse(Scripted):
        def on_bar(self, bar):
            raise ValueError("first")

        def on_stop(self):
            raise ValueError("second")

    assert str(run(Worse()).error) == "first"


def test_an_error_is_logged_with_its_traceback(caplog):
    """
    The log tells which strategy was stopped by what.
    """

    async def fail(self):
        raise ValueError("boom")

    run(Scripted({0: fail}), context=ADA)

    [record] = caplog.records
    assert (record.name, record.user) == ("hotplug.strategies.Scripted", "ada")
    assert "ValueError: boom" in caplog.text


def test_a_refused_order_is_the_strategys_to_handle():
    """
    A BrokerError from place reaches the strategy; unhandled, it is the error of the run.
    """
    assert isinstance(run(Scripted({0: buy(-1)})).error, OrderDenied)
    assert run(Scripted({0: buy(-1)})).orders == ()


def test_what_the_venue_rejected_is_reported():
    """
    An order rejected by the venue is among the orders of the report, with the reason.
    """
    report = run(Scripted({0: sell(5)}))

    [order] = report.orders
    assert (order.status, "0 free" in order.reason) == (OrderStatus.REJECTED, True)


def test_only_orders_are_placed():
    """
    What is no OrderRequest is a TypeError that says so, before the broker is asked.
    """

    async def wrong(strategy):
        await strategy.trader.place("2 IBM")

    assert str(run(Scripted({0: wrong})).error) == "what is placed is an OrderRequest, not '2 IBM'"


@pytest.mark.parametrize("is_async", [False, True])
def test_a_callback_that_yields_is_an_error(is_async):
    """
    A generator would never run: the strategy is stopped and told, instead of doing nothing.
    """

    class Lazy(Strategy):
        def on_bar(self, bar):
            yield bar

    class AsyncLazy(Strategy):
        async def on_bar(self, bar):
            yield bar

    report = run(AsyncLazy() if is_async else Lazy())

    assert isinstance(report.error, TypeError)
    assert len(report.equity) == 1


def test_what_is_traded_in_multiples_is_worth_as_much():
    """
    Equity counts the multiplier of an instrument, where the gateway knows instruments; else it is 1.
    """
    fifty = Instrument(symbol="A", tick_size=Decimal("0.01"), lot_size=Decimal(1), multiplier=Decimal(50))
    bars = [bar(0, 10), bar(1, 10), bar(2, 10, 11)]

    class Unknowing(PaperBroker):
        capabilities = PaperBroker.capabilities - {Capability.INSTRUMENTS}

    one, other = PaperBroker(instruments=(fifty,)), Unknowing()
    with_it = run(Scripted({0: buy()}), bars, broker=one, cash=Decimal(1000))
    without = run(Scripted({0: buy()}), bars, broker=other, cash=Decimal(1000))

    assert (with_it.equity, without.equity) == ((1000, 1000, 1050), (1000, 1000, 1001))


def test_after_the_end_nothing_can_be_placed():
    """
    In on_stop, and ever after, place is an OrderDenied, NOT_SENT.
    """

    class Late(Scripted):
        async def on_stop(self):
            with pytest.raises(OrderDenied, match="the run has ended"):
                await self.trader.place(buy())
            await super().on_stop()

    strategy = Late()
    report = run(strategy)

    assert (report.error, strategy.told[-1]) == (None, "stop")
    assert report.orders == ()


class Waiting(PaperBroker):
    """A paper broker that an order takes a while to reach."""

    def __init__(self):
        super().__init__()
        self.asked, self.go = asyncio.Event(), asyncio.Event()

    async def _place(self, order):
        self.asked.set()
        await self.go.wait()
        return await super()._place(order)


def test_an_order_under_way_when_the_run_ends_is_cancelled():
    """
    An order that a task of the strategy placed before the end and that arrives after it is cancelled at once.
    """

    class Background(Scripted):
        async def on_bar(self, bar):
            if not self.seen:
                self.seen += 1
                self.task = asyncio.create_task(self.trader.place(far()))
                await self.trader._desk.desk.broker.asked.wait()
            raise ValueError("boom")

    async def test():
        broker, strategy = Waiting(), Background()
        await broker.connect()
        running = asyncio.ensure_future(run_strategy(strategy, broker, FLAT))
        async with asyncio.timeout(5):
            # The run ends by cancelling what it placed: that is remembered, as the venue has not answered.
            while not any(held.cancel_wanted for held in broker.book.open()):  # noqa: ASYNC110
                await asyncio.sleep(0)
        broker.go.set()
        report = await running
        ack = await strategy.task
        return report, await broker.get_order(OrderRef(order_id=ack.order_id))

    report, order = asyncio.run(test())

    assert str(report.error) == "boom"
    assert order.status is OrderStatus.CANCELED


def test_the_callers_cancellation_is_the_callers():
    """
    A cancelled run raises CancelledError, after its orders were cancelled and on_stop was told.
    """

    async def test():
        reached = asyncio.Event()

        async def wait(self):
            await self.trader.place(far())
            reached.set()
            await asyncio.Event().wait()

        broker, strategy = PaperBroker(), Scripted({0: wait})
        await broker.connect()
        task = asyncio.create_task(run_strategy(strategy, broker, FLAT))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return strategy.told, await broker.get_open_orders()

    told, still_open = asyncio.run(test())

    assert told == ["start", "bar 0", "stop"]
    assert still_open == ()


@pytest.mark.parametrize("is_async", [False, True])
def test_ctrl_c_is_nobodys_error(is_async):
    """
    KeyboardInterrupt passes through, plain or awaited.
    """

    class Interrupted(Strategy):
        def on_bar(self, bar):
            if not is_async:
                raise KeyboardInterrupt
            return self.later()

        async def later(self):
            raise KeyboardInterrupt

    async def test():
        broker = PaperBroker()
        await broker.connect()
        with pytest.raises(KeyboardInterrupt):
            await run_strategy(Interrupted(), broker, FLAT)

    asyncio.run(test())


def test_a_closed_run_ends_at_once():
    """
    A run whose coroutine is closed while a callback waits gives up without a RuntimeError.
    """

    class Waits(Strategy):
        async def on_bar(self, bar):
            await _never()

    async def test():
        broker = PaperBroker()
        await broker.connect()
        running = run_strategy(Waits(), broker, _async(FLAT))
        running.send(None)
        running.close()
        with pytest.raises(RuntimeError, match="reuse already awaited"):
            running.send(None)

    asyncio.run(test())


async def _async(items):
    for each in items:
        yield each


class _Never:
    def __await__(self):
        yield None


async def _never():
    await _Never()


# -- which brokers ---------------------------------------------------------------------------------


def disguised(**changes):
    """A paper broker that says something else of itself."""

    class Disguised(PaperBroker):
        @property
        def info(self):
            return dataclasses.replace(super().info, **changes)

    return Disguised()


@pytest.mark.parametrize("strategy", [None, Scripted, object()], ids=["none", "a class", "something"])
def test_a_strategy_is_one(strategy):
    """
    What is no strategy object (its class, for instance) is a TypeError, before the broker is touched.
    """
    with pytest.raises(TypeError, match="a run takes a strategy"):
        run(strategy)


@pytest.mark.parametrize("broker", [None, PaperBroker, object()], ids=["none", "a class", "something"])
def test_a_gateway_is_one(broker):
    """
    What is no gateway object is a TypeError that says so.
    """
    strategy = Scripted()

    with pytest.raises(TypeError, match="a run trades on a gateway"):
        asyncio.run(run_strategy(strategy, broker, FLAT))
    assert strategy.told == []


def test_a_live_broker_is_refused():
    """
    Historical bars are never played to a live gateway, whatever else it says it can.
    """
    strategy = Scripted()

    with pytest.raises(LiveRefused, match="is live") as caught:
        run(strategy, broker=disguised(environment=Environment.LIVE))
    assert caught.value.outcome == "NOT_SENT"
    assert strategy.told == []


def test_a_broker_that_is_not_simulated_is_refused():
    """
    A sandbox has a market of its own: feeding it is NotSupported.
    """
    sandbox = disguised(environment=Environment.SANDBOX, capabilities=frozenset({Capability.STREAM}))

    with pytest.raises(NotSupported, match="not simulated"):
        run(Scripted(), broker=sandbox)


def test_a_broker_that_only_claims_to_be_simulated_is_refused():
    """
    SIMULATED without feed is not taken at its word.
    """

    claims = type("Claims", (PaperBroker,), {"feed": None})

    assert isinstance(PaperBroker(), Simulation)
    with pytest.raises(NotSupported):
        run(Scripted(), broker=claims())


def test_a_broker_that_is_not_connected_is_refused():
    """
    A run connects nothing by itself.
    """
    strategy = Scripted()

    with pytest.raises(GatewayNotReady, match="connect it first"):
        asyncio.run(run_strategy(strategy, PaperBroker(), FLAT))
    assert strategy.told == []


def test_the_brokers_failure_is_the_callers():
    """
    A bar that the broker refuses ends the run with the broker's error, after orders are cancelled.
    """
    strategy = Scripted({0: far()})

    with pytest.raises(InvalidRequest, match="bars go forward"):
        run(strategy, [bar(1, 100), bar(0, 100)])
    assert strategy.told[-1] == "stop"


def test_a_broker_that_is_gone_at_the_end_is_logged(caplog):
    """
    If open orders cannot be cancelled any more, the log says where they may be left.
    """

    async def test():
        broker = PaperBroker()
        await broker.connect()

        async def pull_the_plug(self):
            await self.trader.place(far())
            await broker.disconnect()

        with pytest.raises(GatewayNotReady):
            await run_strategy(Scripted({0: pull_the_plug}), broker, FLAT)

    asyncio.run(test())

    assert "open orders may be left at paper" in caplog.text


@pytest.mark.parametrize("wrong", [{"symbol": "A"}, None, 1.5])
def test_bars_are_bars(wrong):
    """
    Something else among the bars is a TypeError for the caller, not an error of the strategy.
    """
    with pytest.raises(TypeError, match="bars are Bar"):
        run(Scripted(), [wrong])


def test_one_currency_only():
    """
    An account with two currencies has no single equity, so it is not supported.
    """

    class TwoPurses(PaperBroker):
        async def _balances(self):
            [*_, last] = await super()._balances()
            return last, dataclasses.replace(last, currency="EUR")

    with pytest.raises(NotSupported, match="one currency"):
        run(Scripted(), broker=TwoPurses())


# -- the registry ----------------------------------------------------------------------------------


def test_each_user_gets_a_strategy_of_their_own():
    """
    A factory in the registry makes one object per get; what is no strategy is refused.
    """
    registry = StrategyRegistry()
    registry.register_factory("scripted", lambda context: Scripted())
    registry.register_factory("wrong", lambda context: object())

    assert registry.name == "strategies"
    assert registry.get("scripted", ADA) is not registry.get("scripted", ADA)
    with pytest.raises(ContractError):
        registry.get("wrong", ADA)


def test_a_strategy_needs_on_bar():
    """
    on_bar is the one callback that must be there.
    """
    with pytest.raises(TypeError, match="on_bar"):
        type("Empty", (Strategy,), {})()
    assert Strategy.__abstractmethods__ == {"on_bar"}
