"""The paper broker: how orders trade on bars, what it refuses, and that its books are exact."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import sys
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotplug.errors import (
    BrokerError,
    DeadlineExceeded,
    DuplicateClientOrderId,
    GatewayNotReady,
    InsufficientFunds,
    InvalidRequest,
    OrderDenied,
    OrderNotFound,
)
from hotplug.market import (
    ORDER_TRANSITIONS,
    Balance,
    Bar,
    CancelScope,
    Fill,
    HealthState,
    Liquidity,
    Order,
    OrderChange,
    OrderRef,
    OrderRequest,
    OrderStatus,
    OrderType,
    Position,
    Quote,
    Side,
    StatusChange,
    TimeInForce,
)
from hotplug_broker_paper import PaperBroker

DAY = datetime(2024, 1, 2, tzinfo=UTC)
D = Decimal


def bar(number, open_=100, *, high=None, low=None, close=None, symbol="A", hours=0):
    """The bar of day *number*; what is left out is the open."""
    open_ = D(open_)
    close = open_ if close is None else D(close)
    return Bar(
        symbol=symbol,
        time=DAY + timedelta(days=number, hours=hours),
        open=open_,
        high=max(open_, close) if high is None else D(high),
        low=min(open_, close) if low is None else D(low),
        close=close,
        volume=1000,
    )


def quote(number, bid=99, ask=101, *, bid_size=None, ask_size=None, symbol="A"):
    """The quote of day *number*."""
    bid, ask = (None if price is None else D(price) for price in (bid, ask))
    bid_size, ask_size = (None if size is None else D(size) for size in (bid_size, ask_size))
    time = DAY + timedelta(days=number)
    return Quote(symbol=symbol, bid=bid, bid_size=bid_size, ask=ask, ask_size=ask_size, time=time)


def order(side=Side.BUY, qty=1, price=None, **more):
    kind = OrderType.MARKET if price is None else OrderType.LIMIT
    price = None if price is None else D(price)
    return OrderRequest(**{"symbol": "A", "side": side, "qty": qty, "type": kind, "price": price} | more)


def buy(qty=1, price=None, **more):
    return order(Side.BUY, qty, price, **more)


def sell(qty=1, price=None, **more):
    return order(Side.SELL, qty, price, **more)


def trading(test, **arguments):
    """What the coroutine function *test* returns, given a connected broker."""

    async def run():
        broker = PaperBroker(**arguments)
        async with asyncio.timeout(10):
            await broker.connect()
            return await test(broker)

    return asyncio.run(run())


def fills_of(requests, *bars, holding=0, **arguments):
    """The fills that *requests* make on *bars*, by an account that holds some already."""

    async def test(broker):
        if holding:
            await broker.place_order(buy(holding))
            await broker.feed(bar(-1))
        for request in requests:
            await broker.place_order(request)
        return [fill for each in bars for fill in await broker.feed(each)]

    return trading(test, **arguments)


# -- matching --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "on", "price", "liquidity"),
    [
        pytest.param(buy(), bar(0, 100, high=110, low=90), 100, "TAKER", id="market at the open"),
        pytest.param(buy(price=105), bar(0, 100, high=110, low=90), 100, "TAKER", id="better at the open"),
        pytest.param(buy(price=100), bar(0, 100, high=110, low=90), 100, "TAKER", id="met by the open"),
        pytest.param(buy(price=95), bar(0, 100, high=110, low=90), 95, "MAKER", id="traded through"),
        pytest.param(buy(price=90), bar(0, 100, high=110, low=90), None, None, id="touched only"),
        pytest.param(buy(price=80), bar(0, 100, high=110, low=90), None, None, id="out of reach"),
        pytest.param(sell(), bar(0, 100, high=110, low=90), 100, "TAKER", id="sell: market at the open"),
        pytest.param(sell(price=95), bar(0, 100, high=110, low=90), 100, "TAKER", id="sell: better"),
        pytest.param(
            sell(price=100), bar(0, 100, high=110, low=90), 100, "TAKER", id="sell: met by the open"
        ),
        pytest.param(sell(price=105), bar(0, 100, high=110, low=90), 105, "MAKER", id="sell: through"),
        pytest.param(sell(price=110), bar(0, 100, high=110, low=90), None, None, id="sell: touched only"),
        pytest.param(sell(price=120), bar(0, 100, high=110, low=90), None, None, id="sell: out of reach"),
    ],
)
def test_where_an_order_trades(request_, on, price, liquidity):
    """
    Market orders trade at the open; limit orders at the open if it meets them, else when traded through.
    """
    fills = fills_of([request_], on, holding=1)

    expected = [] if price is None else [(D(price), Liquidity(liquidity))]
    assert [(each.price, each.liquidity) for each in fills] == expected


@pytest.mark.parametrize(
    ("request_", "price"),
    [(buy(), "100.11"), (sell(), "99.89"), (buy(price=101), "100"), (sell(price=99), "100")],
)
def test_slippage_makes_market_orders_worse(request_, price):
    """
    A market order trades worse by the slippage, to the next worse tick; a limit order does not.
    """
    [fill] = fills_of([request_], bar(0, 100), holding=1, slippage=D("0.00105"), cash=D(1000))

    assert fill.price == D(price)


def test_slippage_never_gives_anything_away_for_nothing():
    """
    However bad it is, a price stays at one tick at least.
    """
    [fill] = fills_of([sell()], bar(0, "0.01"), holding=1, slippage=D("0.9"))

    assert fill.price == D("0.01")


def test_orders_trade_in_their_own_market_only():
    """
    A bar of another symbol leaves an order alone.
    """
    assert fills_of([buy()], bar(0, symbol="B")) == []


def test_the_oldest_order_trades_first():
    """
    Orders that trade on one bar do so in the order in which they were placed.
    """
    requests = [buy(price=150, client_order_id=f"{number}") for number in range(5)]

    assert [each.client_order_id for each in fills_of(requests, bar(0))] == ["0", "1", "2", "3", "4"]


# -- how long an order stands ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tif", "bars", "end"),
    [
        ("DAY", [bar(0), bar(0, 50, hours=1)], "FILLED"),
        ("DAY", [bar(0), bar(1, 50)], "EXPIRED"),
        ("DAY", [bar(5, 50)], "FILLED"),
        ("GTC", [bar(0), bar(1), bar(30, 50)], "FILLED"),
        ("IOC", [bar(0, 50)], "FILLED"),
        ("IOC", [bar(0, 100, low=50)], "CANCELED"),
        ("FOK", [bar(0, 50)], "FILLED"),
        ("FOK", [bar(0)], "CANCELED"),
    ],
)
def test_how_long_an_order_stands(tif, bars, end):
    """
    DAY: for the first session that it sees. GTC: until cancelled. IOC and FOK: at the next open or never.
    """

    async def test(broker):
        ack = await broker.place_order(buy(price=60, tif=TimeInForce(tif)))
        for each in bars:
            await broker.feed(each)
        return await broker.get_order(OrderRef(order_id=ack.order_id)), await broker.get_balances()

    ended, [balance] = trading(test)

    assert ended.status == end
    assert ended.leaves_qty == 0
    assert balance.locked == 0


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "kind", "code"),
    [
        (buy(0), OrderDenied, "qty"),
        (buy(-1), OrderDenied, "qty"),
        (buy(D("1e16")), OrderDenied, "qty"),
        (buy(D("0.00001")), OrderDenied, "off_lot"),
        (buy(price="10.001"), OrderDenied, "off_tick"),
        (buy(price=0), OrderDenied, "price"),
        (buy(price=-5), OrderDenied, "price"),
        (buy(price="1e16"), OrderDenied, "price"),
        (buy(type=OrderType.LIMIT), OrderDenied, "price"),
        (buy(price=5, type=OrderType.MARKET), OrderDenied, "price"),
        (buy(symbol=""), OrderDenied, "symbol"),
        (buy(type=OrderType.STOP), OrderDenied, "stop_price"),
        (buy(stop_price=D(5)), OrderDenied, "stop_price"),
        (buy(type=OrderType.STOP, stop_price=D("5.001")), OrderDenied, "off_tick"),
        (buy(tif=TimeInForce.GTD), OrderDenied, "expire_at"),
        (buy(expire_at=DAY), OrderDenied, "expire_at"),
        (buy(account=" "), InvalidRequest, "account"),
    ],
)
def test_what_is_never_sent(request_, kind, code):
    """
    What can be refused by looking at it is NOT_SENT: no order, and its id is free.
    """

    async def test(broker):
        stream = broker.events()
        with pytest.raises(kind) as caught:
            await broker.place_order(request_)
        assert (caught.value.outcome, caught.value.code) == ("NOT_SENT", code)
        with pytest.raises(OrderNotFound):
            await broker.get_order(OrderRef(client_order_id=request_.client_order_id))
        sound = await broker.place_order(buy(client_order_id=request_.client_order_id))
        told = [(await anext(stream)).payload.status]
        while told[-1] != "NEW":
            told.append((await anext(stream)).payload.status)
        assert set(told) <= {"DENIED", "PENDING_NEW", "NEW"}
        assert sound.client_order_id == request_.client_order_id

    trading(test)


def test_what_is_never_sent_opens_no_account():
    """
    An order that is denied leaves no account behind.
    """

    async def test(broker):
        with pytest.raises(OrderDenied):
            await broker.place_order(buy(0, account="ada"))
        return await broker.get_balances()

    assert [each.account for each in trading(test)] == ["default"]


def test_what_is_not_listed_is_rejected():
    """
    With symbols, others are refused: bars and instruments by the venue, orders before they get there.
    """

    async def test(broker):
        for attempt, outcome in (
            (broker.place_order(buy(symbol="B")), "NOT_SENT"),
            (broker.feed(bar(0, symbol="B")), "REJECTED"),
            (broker.get_instrument("B"), "REJECTED"),
        ):
            with pytest.raises(InvalidRequest, match="B is not listed here .listed: A, C.") as caught:
                await attempt
            assert caught.value.outcome == outcome
        await broker.place_order(buy(symbol="C"))

    trading(test, symbols=("A", "C"))


def test_money_that_is_not_there_is_not_spent():
    """
    A limit order is rejected if limit and fee exceed what is free; open orders lock what they may cost.
    """

    async def test(broker):
        await broker.place_order(buy(5, price=100))
        [balance] = await broker.get_balances()
        assert balance == Balance(
            account="default", currency="USD", total=1000, available=D("499.50"), locked=D("500.50")
        )
        with pytest.raises(InsufficientFunds, match=r"500\.50 USD needed, 499\.50 free") as caught:
            await broker.place_order(buy(5, price=100))
        assert caught.value.outcome == "REJECTED"
        await broker.cancel_all()
        assert (await broker.get_balances())[0].available == 1000
        await broker.place_order(buy(5, price=100))

    trading(test, cash=D(1000), fee_rate=D("0.001"))


def test_a_market_order_is_measured_by_the_last_close():
    """
    Once a price is known, a market order that would cost more than there is, is rejected at once.
    """

    async def test(broker):
        await broker.feed(bar(0, 90, close=101))
        with pytest.raises(InsufficientFunds, match="1010 USD needed"):
            await broker.place_order(buy(10))
        await broker.place_order(buy(9))
        assert (await broker.get_balances())[0].locked == 909
        # What an order locked itself is there for it.
        [fill] = await broker.feed(bar(1, 101))
        assert fill.qty == 9

    trading(test, cash=D(1000))


def test_a_gap_does_not_make_debts():
    """
    A market order that the next open makes too dear is rejected then, with the reason; nothing is spent.
    """

    async def test(broker):
        await broker.feed(bar(0, 100))
        ack = await broker.place_order(buy(9))
        assert await broker.feed(bar(1, 200)) == ()
        return await broker.get_order(OrderRef(order_id=ack.order_id)), await broker.get_balances()

    ended, [balance] = trading(test, cash=D(1000))

    assert (ended.status, balance.available) == (OrderStatus.REJECTED, 1000)
    assert "1800.00 USD needed at 200" in ended.reason
    assert ended.status in ORDER_TRANSITIONS[OrderStatus.NEW]


def test_what_others_locked_is_not_spent_either():
    """
    A market order placed without a known price cannot take the money that a limit order locked.
    """

    async def test(broker):
        blind = await broker.place_order(buy(1))
        await broker.place_order(buy(9, price=100, tif=TimeInForce.GTC))
        assert await broker.feed(bar(0, 101, low=101)) == ()
        return await broker.get_order(OrderRef(order_id=blind.order_id))

    assert trading(test, cash=D(1000)).status is OrderStatus.REJECTED


def test_nobody_sells_what_they_do_not_hold():
    """
    A sale beyond what is held and not being sold already is rejected.
    """

    async def test(broker):
        await broker.place_order(buy(5))
        await broker.feed(bar(0))
        await broker.place_order(sell(3, price=500, tif=TimeInForce.GTC))
        with pytest.raises(InsufficientFunds, match="3 A to sell, 2 free") as caught:
            await broker.place_order(sell(3))
        assert caught.value.code == "insufficient_position"
        await broker.cancel_all(CancelScope.ALL)
        await broker.place_order(sell(5))
        [fill] = await broker.feed(bar(1))
        assert fill.qty == 5

    trading(test)


def test_an_account_without_money_buys_nothing():
    """
    Not even at an unknown price.
    """

    async def test(broker):
        with pytest.raises(InsufficientFunds):
            await broker.place_order(buy())

    trading(test, cash=D(0))


# -- ids -------------------------------------------------------------------------------------------


def test_a_rejected_id_gives_the_same_error_again():
    """
    The same rejected request gets the same error, without a second order, even when there is money by now.
    """

    async def test(broker):
        request = sell(1)
        errors = []
        for number in range(2):
            with pytest.raises(InsufficientFunds) as caught:
                await broker.place_order(request)
            errors.append(caught.value)
            await broker.place_order(buy(1))
            await broker.feed(bar(number))
        assert str(errors[0]) == str(errors[1])
        assert errors[0] is not errors[1]
        assert (
            await broker.get_order(OrderRef(client_order_id=request.client_order_id))
        ).status == "REJECTED"
        with pytest.raises(DuplicateClientOrderId) as caught:
            await broker.place_order(dataclasses.replace(request, qty=2))
        assert caught.value.outcome == "NOT_SENT"

    trading(test)


def test_the_ack_stays_the_same_when_the_order_has_traded():
    """
    A request sent again long after gets its first ack; naming the default account makes no difference.
    """

    async def test(broker):
        request = buy()
        ack = await broker.place_order(request)
        await broker.feed(bar(0))
        assert await broker.place_order(request) == ack
        assert await broker.place_order(dataclasses.replace(request, account="default")) == ack
        assert len(await broker.get_fills()) == 1

    trading(test)


def test_ids_are_each_accounts_own():
    """
    Two accounts may use one client id; then only the order id says which is meant.
    """

    async def test(broker):
        for account in ("ada", "bob"):
            await broker.place_order(buy(price=5, account=account, client_order_id="1"))
        with pytest.raises(InvalidRequest, match="2 accounts have an order '1'"):
            await broker.get_order(OrderRef(client_order_id="1"))
        cancelled = await broker.cancel_order(OrderRef(client_order_id="1", order_id="bob-1"))
        assert (cancelled.account, cancelled.status) == ("bob", "CANCELED")
        with pytest.raises(OrderNotFound):
            await broker.get_order(OrderRef(client_order_id="2", order_id="bob-1"))
        assert [each.account for each in await broker.get_open_orders()] == ["ada"]

    trading(test)


# -- accounts --------------------------------------------------------------------------------------


def test_accounts_share_nothing():
    """
    Each account has its own cash, orders, positions and market time; info shows masked names.
    """

    async def test(broker):
        await broker.open_account("ada-account", D(500))
        await broker.place_order(buy(1, account="ada-account"))
        await broker.place_order(buy(2, account="bob-account"))
        assert len(await broker.feed(bar(7), account="ada-account")) == 1
        assert len(await broker.feed(bar(3), account="bob-account")) == 1
        balances = {each.account: each.total for each in await broker.get_balances()}
        assert balances == {"default": 100_000, "ada-account": 400, "bob-account": 99_800}
        held = {each.account: each.qty for each in await broker.get_positions()}
        assert held == {"ada-account": 1, "bob-account": 2}
        assert broker.info.accounts == ("…lt", "…nt", "…nt")
        with pytest.raises(InvalidRequest, match="'ada-account' is open already"):
            await broker.open_account("ada-account")

    trading(test)


def test_a_bar_for_all_is_for_all_or_none():
    """
    If one account has seen later bars, a bar for all accounts is refused, and none has seen it.
    """

    async def test(broker):
        await broker.place_order(buy())
        await broker.feed(bar(5), account="ahead")
        with pytest.raises(InvalidRequest, match="account 'ahead' has seen A"):
            await broker.feed(bar(3))
        assert await broker.get_fills() == ()
        assert len(await broker.feed(bar(6))) == 1

    trading(test)


@pytest.mark.parametrize(
    "impossible",
    [
        bar(0, 0),
        bar(0, -5),
        bar(0, 100, low=101, high=102),
        bar(0, 100, low=98, high=99),
        bar(0, "1e16"),
        bar(0, "1.0000000000001"),
    ],
)
def test_impossible_bars_are_refused(impossible):
    """
    Prices of nothing, opens outside of high and low, or prices beyond all precision never happened.
    """

    async def test(broker):
        with pytest.raises(InvalidRequest) as caught:
            await broker.feed(impossible)
        assert caught.value.outcome == "NOT_SENT"
        await broker.feed(bar(0))
        with pytest.raises(InvalidRequest, match="bars go forward"):
            await broker.feed(bar(0))

    trading(test)


# -- the books -------------------------------------------------------------------------------------


def test_a_position_by_hand():
    """
    Bought 2 at 10 and 1 at 13: 11 each. Sold 1 at 14: profit 3, and the rest still cost 11 each.
    """

    async def test(broker):
        positions = []
        for number, (request, price) in enumerate([(buy(2), 10), (buy(1), 13), (sell(1), 14), (sell(2), 8)]):
            await broker.place_order(request)
            await broker.feed(bar(number, price))
            positions += await broker.get_positions()
        return positions

    seen = [(each.qty, each.avg_price, each.realized_pnl) for each in trading(test)]

    assert seen == [(2, 10, 0), (3, 11, 0), (2, 11, 3), (0, None, -3)]


def test_an_average_that_does_not_come_out_even_loses_nothing():
    """
    Three for 10 in all: a third is shown rounded, yet after selling one by one the profit is exact.
    """

    async def test(broker):
        for number, (request, price) in enumerate(
            [(buy(2), 3), (buy(1), 4), (sell(1), 5), (sell(1), 5), (sell(1), 5)]
        ):
            await broker.place_order(request)
            await broker.feed(bar(number, price))
            if number == 1:
                assert (await broker.get_positions())[0].avg_price == D("3.333333333333")
        [position], [balance] = await broker.get_positions(), await broker.get_balances()
        assert (position.qty, position.realized_pnl) == (0, 5)
        assert balance.total == 100_005

    trading(test)


def test_who_sells_all_has_no_cost_left():
    """
    However many decimals the cost has, nothing of it stays in the books when all is sold.
    """

    async def test(broker):
        await broker.place_order(buy(D("0.0001")))
        await broker.feed(bar(0, "1.000000000001"))
        await broker.place_order(sell(D("0.0001")))
        await broker.feed(bar(1, 2))
        return broker._venue.accounts["default"].ledger.pockets()

    pockets = trading(test)

    assert pockets["cost A"] == 0
    assert pockets["loss A"] == D("1.000000000001") * D("0.0001") - 2 * D("0.0001")


def test_large_averages_are_plain_numbers():
    """
    An average price of a hundred is shown as 100, not as 1E+2.
    """

    async def test(broker):
        await broker.place_order(buy(2))
        await broker.feed(bar(0, "100.00"))
        return await broker.get_positions()

    assert str(trading(test)[0].avg_price) == "100"


def test_fees_are_rounded_once_to_a_cent():
    """
    A fee of half a cent is a cent, on top of a purchase and off a sale.
    """
    fills = fills_of([buy(1)], bar(0, 5), fee_rate=D("0.001"))

    assert [each.fee for each in fills] == [D("0.01")]


# -- streams ---------------------------------------------------------------------------------------


async def read(stream, count):
    return [(await anext(stream)).payload for _ in range(count)]


def test_a_fill_is_told_with_all_that_follows_from_it():
    """
    Order, then fill, order, position and balance, each as it stands right then.
    """

    async def test(broker):
        stream = broker.events()
        await broker.place_order(buy(2))
        await broker.feed(bar(0))
        return await read(stream, 6)

    told = trading(test)

    assert [type(each) for each in told] == [Order, Order, Fill, Order, Position, Balance]
    assert [each.status for each in told if isinstance(each, Order)] == ["PENDING_NEW", "NEW", "FILLED"]
    assert (told[4].qty, told[5].total) == (2, 99_800)


def test_the_same_commands_make_the_same_events():
    """
    Two brokers with the same settings, bars and commands tell exactly the same, times and ids included.
    """

    async def test(broker):
        stream = broker.events()
        await broker.feed(bar(0))
        await broker.place_order(buy(3, client_order_id="1"))
        await broker.place_order(buy(1, price=90, client_order_id="2"))
        await broker.feed(bar(1, 100, low=80))
        await broker.place_order(sell(2, client_order_id="3"))
        await broker.feed(bar(2))
        return await read(stream, 15)

    assert trading(test, fee_rate=D("0.001")) == trading(test, fee_rate=D("0.001"))


def test_a_stream_ends_with_the_connection_and_goes_on_with_the_next():
    """
    After disconnecting, a stream tells the rest and ends; its last cursor leads on after reconnecting.
    """

    async def test():
        broker = PaperBroker()
        stream = broker.events()
        await broker.connect()
        await broker.disconnect()
        first = [event async for event in stream]
        assert [event async for event in broker.events(after=first[-1].cursor)] == []
        await broker.connect()
        await broker.disconnect()
        second = [event async for event in broker.events(after=first[-1].cursor)]
        return [str(event.payload.new) for event in first + second]

    life = ["CONNECTING", "SYNCING", "READY", "DRAINING", "DISCONNECTED"]
    assert asyncio.run(test()) == life * 2


def test_a_stream_of_a_reconnected_broker_waits_for_news():
    """
    After reconnecting, a reader waits for what happens next, as before.
    """

    async def test(broker):
        await broker.disconnect()
        await broker.connect()
        reading = asyncio.ensure_future(anext(broker.events()))
        await asyncio.sleep(0)
        await broker.place_order(buy(client_order_id="news"))
        return (await reading).payload.client_order_id

    assert trading(test) == "news"


# -- threads and connections -----------------------------------------------------------------------


@pytest.fixture
def eager_threads():
    """Threads take turns every microsecond, so that races show themselves."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_many_threads_trade_at_once(eager_threads):
    """
    Orders, bars and questions from the loops of many threads come home; each order is there, once.
    """
    broker, home = PaperBroker(cash=D(1_000_000)), asyncio.new_event_loop()
    start, each_places = threading.Barrier(4), 50

    def trade(number):
        async def test():
            start.wait(5)
            for _ in range(each_places):
                await broker.place_order(buy(1))
            await broker.feed(bar(0, symbol=f"{number}"))

        asyncio.run(test())

    keeper = threading.Thread(target=home.run_forever, daemon=True)
    keeper.start()
    asyncio.run_coroutine_threadsafe(broker.connect(), home).result(5)
    threads = [threading.Thread(target=trade, args=(number,), daemon=True) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    fills = asyncio.run(broker.feed(bar(1)))
    [position] = asyncio.run(broker.get_positions())
    asyncio.run(broker.disconnect())
    home.call_soon_threadsafe(home.stop)
    keeper.join(5)
    home.close()

    assert len({each.order_id for each in fills}) == len(fills) == 4 * each_places
    assert position.qty == 4 * each_places


def test_nothing_is_answered_without_a_connection():
    """
    Every call that needs the venue is GatewayNotReady, NOT_SENT, before connecting and after disconnecting.
    """

    def calls(broker):
        yield broker.place_order(buy())
        yield broker.get_positions()
        yield broker.get_balances()
        yield broker.snapshot()
        yield broker.get_instrument("A")
        yield broker.feed(bar(0))
        yield broker.feed_quote(quote(0))
        yield broker.advance()
        yield broker.open_account("ada")

    async def test():
        broker = PaperBroker(broker_id="desk")
        for _ in range(2):
            for call in calls(broker):
                with pytest.raises(GatewayNotReady, match="desk: it is (CREATED|DISCONNECTED)") as caught:
                    await call
                assert caught.value.outcome == "NOT_SENT"
            await broker.connect()
            await broker.disconnect()

    asyncio.run(test())


def test_what_it_held_is_there_after_reconnecting():
    """
    Disconnecting leaves open orders, positions and money where they are.
    """

    async def test(broker):
        await broker.place_order(buy(2))
        await broker.feed(bar(0))
        await broker.place_order(sell(1, price=500, tif=TimeInForce.GTC))
        before = await broker.snapshot()
        await broker.disconnect()
        await broker.connect()
        after = await broker.snapshot()
        return dataclasses.replace(before, cursor=None), dataclasses.replace(after, cursor=None)

    before, after = trading(test)

    assert before == after
    assert len(after.orders) == len(after.fills) == 1


def test_no_time_is_no_call():
    """
    A deadline that is over before the call is DeadlineExceeded, NOT_SENT, and nothing happens.
    """

    async def test(broker):
        for call in (
            broker.place_order(buy(), deadline=0),
            broker.get_positions(deadline=-1),
            broker.disconnect(deadline=0),
            broker.health(deadline=0),
            broker.rate_limits(deadline=0),
        ):
            with pytest.raises(DeadlineExceeded) as caught:
                await call
            assert caught.value.outcome == "NOT_SENT"
        assert await broker.get_open_orders(deadline=1) == ()

    trading(test)


def test_how_it_is():
    """
    Healthy while connected, not otherwise, without limits, and with one instrument rule for all.
    """

    async def test(broker):
        assert (await broker.health()).status is HealthState.HEALTHY
        assert await broker.rate_limits() == ()
        instrument = await broker.get_instrument("A")
        assert (instrument.tick_size, instrument.lot_size, instrument.currency) == (D("0.05"), 1, "EUR")
        await broker.disconnect()
        assert (await broker.health()).status is not HealthState.HEALTHY

    trading(test, tick=D("0.05"), lot=D(1), currency="EUR")


def test_fills_since_a_time():
    """
    With a time, only the fills at or after it are told; a naive one is refused.
    """

    async def test(broker):
        for number in range(3):
            await broker.place_order(buy())
            await broker.feed(bar(number))
        assert [each.time for each in await broker.get_fills(bar(1).time)] == [bar(1).time, bar(2).time]
        assert len(await broker.get_fills()) == 3
        with pytest.raises(ValueError, match="since must say its zone"):
            await broker.get_fills(datetime(2024, 1, 2))  # noqa: DTZ001

    trading(test)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda broker: broker.place_order({"symbol": "A"}),
        lambda broker: broker.feed({"symbol": "A"}),
        lambda broker: broker.feed_quote(bar(0)),
        lambda broker: broker.get_order("1"),
        lambda broker: broker.cancel_order("1"),
        lambda broker: broker.cancel_all("OWN"),
        lambda broker: broker.open_account("ada", 0.5),
    ],
)
def test_only_records_are_taken(wrong):
    """
    What is no record where one is needed is a TypeError.
    """
    with pytest.raises(TypeError):
        trading(wrong)


# -- settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"cash": 0.5}, TypeError),
        ({"cash": D(-1)}, ValueError),
        ({"fee_rate": D(-1)}, ValueError),
        ({"slippage": D(1)}, ValueError),
        ({"tick": D(0)}, ValueError),
        ({"lot": D(0)}, ValueError),
        ({"currency": ""}, ValueError),
        ({"cash": D("NaN")}, ValueError),
        ({"liquidity": "endless"}, ValueError),
        ({"time": "mine"}, ValueError),
        ({"participation": 0.5}, TypeError),
        ({"session": "always"}, ValueError),
    ],
)
def test_senseless_settings_are_refused(arguments, error):
    """
    A broker with senseless settings is never made.
    """
    with pytest.raises(error):
        PaperBroker(**arguments)


def test_ints_are_money_too():
    """
    Whole numbers in settings are exact.
    """
    assert trading(PaperBroker.get_balances, cash=7)[0].total == D(7)


def test_every_error_says_what_is_known_of_the_order():
    """
    A paper broker never leaves an outcome UNKNOWN.
    """

    async def test(broker):
        for request in (buy(0), sell(1), buy(type=OrderType.STOP), buy(D(10) ** 9, price=10**6)):
            with pytest.raises(BrokerError) as caught:
                await broker.place_order(request)
            assert caught.value.outcome in {"NOT_SENT", "REJECTED"}

    trading(test)


# -- quotes ----------------------------------------------------------------------------------------


def test_orders_trade_on_quotes_that_are_fed():
    """
    A quote fed to one account trades for that one; all hear of it who asked for its symbol.
    """

    async def test(broker):
        stream = broker.stream_quotes(["A"])
        await broker.place_order(buy(2))
        await broker.place_order(buy(2, account="ada"))
        reading = asyncio.ensure_future(anext(stream))
        fills = await broker.feed_quote(quote(0, 99, 101, ask_size=1), account="ada")
        return [(each.account, each.qty, each.price) for each in fills], await reading

    assert trading(test) == ([("ada", 1, 101)], quote(0, 99, 101, ask_size=1))


def test_the_last_price_is_a_quote():
    """
    What was fed last, or the last close on both sides; before that there is none, and an unlisted one never.
    """

    async def test(broker):
        with pytest.raises(BrokerError, match="nothing was fed of A yet"):
            await broker.get_quote("A")
        await broker.feed(bar(0, 100, close=105))
        first = await broker.get_quote("A")
        await broker.feed_quote(quote(1, 99, 101))
        with pytest.raises(InvalidRequest, match="B is not listed"):
            await broker.get_quote("B")
        return first, await broker.get_quote("A")

    assert trading(test, symbols=("A",)) == (
        Quote(symbol="A", bid=105, bid_size=None, ask=105, ask_size=None, time=DAY),
        quote(1, 99, 101),
    )


def test_limits_are_checked_against_the_last_close():
    """
    A configured limit on what an order is worth works where only bars are fed: each new close counts at once.
    """
    from hotplug.brokers import BookSettings, OrderLimits
    from hotplug.brokers._orders._book import Book

    async def test():
        broker = PaperBroker()
        broker.attach(Book("paper", BookSettings(limits=OrderLimits(max_notional=D(150)))))
        await broker.connect()
        answers = []
        for number, close in enumerate((100, 200, 100)):
            await broker.feed(bar(number, close))
            try:
                answers.append(str((await broker.place_order(buy(1))).status))
            except OrderDenied as error:
                answers.append(error.code)
        await broker.disconnect()
        return answers

    assert asyncio.run(test()) == ["NEW", "limit_max_notional", "NEW"]


# -- accounts of users -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "account"),
    [("ada", "ada"), ("default", "~default"), ("~default", "~~default"), ("~", "~~"), ("Default", "Default")],
)
def test_each_user_has_an_account_that_is_nobody_elses(user, account):
    """
    Named as the user; the operator's name, and names that look like a replacement for it, are marked.
    """
    assert PaperBroker()._account_for(user) == account != PaperBroker.default_account


@given(st.lists(st.text("~defaulty", max_size=9), min_size=2, max_size=2, unique=True))
def test_two_users_never_share_an_account(users):
    """
    Different users have different accounts.
    """
    broker = PaperBroker()

    assert broker._account_for(users[0]) != broker._account_for(users[1])


def test_orders_of_one_account_reach_the_right_one():
    """
    Cancels, changes and questions find the order of their own account among equal client ids.
    """

    async def test(broker):
        for account in ("ada", "bob"):
            await broker.place_order(buy(price=5, account=account, client_order_id="1"))
        await broker.modify_order(OrderRef(order_id="bob-1"), OrderChange(qty=D(7)))
        await broker.cancel_order(OrderRef(order_id="ada-1"))
        return [(each.account, each.qty) for each in (await broker._snapshot()).orders]

    assert trading(test) == [("bob", 7)]


# -- time ------------------------------------------------------------------------------------------


def test_records_have_market_time():
    """
    Orders, acks and fills carry the time of their account's market, not that of the day of the play.
    """

    async def test(broker):
        await broker.feed(bar(3))
        ack = await broker.place_order(buy())
        [fill] = await broker.feed(bar(4))
        order = await broker.get_order(OrderRef(order_id=ack.order_id))
        return ack.time, fill.time, order.created_at, order.updated_at

    assert trading(test) == (bar(3).time, bar(4).time, bar(3).time, bar(4).time)


def test_by_the_clock_on_the_wall_things_happen_by_themselves():
    """
    An order that is good till a moment expires then, without any call; a cancel takes its time, and is done.
    """

    async def test(broker):
        stream = broker.events()
        soon = datetime.now(UTC) + timedelta(seconds=0.05)
        await broker.place_order(buy(price=5, tif=TimeInForce.GTD, expire_at=soon))
        slow = await broker.place_order(buy(price=5, tif=TimeInForce.GTC))
        cancelled = await broker.cancel_order(OrderRef(order_id=slow.order_id))
        event = await anext(stream)
        while getattr(event.payload, "status", None) != "EXPIRED":
            event = await anext(stream)
        return cancelled.status, event.payload.updated_at >= soon

    assert trading(test, time="clock", ack_latency=0.001, cancel_latency=0.01) == ("CANCELED", True)


def test_a_clock_that_is_set_by_hand_waits_for_nobody():
    """
    With a clock of one's own, whatever is due happens in ``advance``.
    """
    moments = [DAY]

    async def test(broker):
        expires = DAY + timedelta(hours=1)
        ack = await broker.place_order(buy(price=5, tif=TimeInForce.GTD, expire_at=expires))
        await broker.advance()
        before = (await broker.get_order(OrderRef(order_id=ack.order_id))).status
        moments.append(expires)
        await broker.advance()
        return before, (await broker.get_order(OrderRef(order_id=ack.order_id))).status

    settings = {
        "time": "clock",
        "clock": lambda: moments[-1],
        "ack_latency": 1000.0,
        "cancel_latency": 1000.0,
    }
    assert trading(test, **settings) == ("NEW", "EXPIRED")


# -- settings from a configuration -----------------------------------------------------------------


def test_all_settings_can_be_written_in_toml():
    """
    Text, numbers, lists and tables become the types that the broker takes; a clock cannot be written down.
    """
    from hotplug._signature import convert
    from hotplug.errors import SettingsError

    given = {
        "cash": "1000",
        "fee_rate": "0.001",
        "maker_fee": "-0.0001",
        "min_fee": 1,
        "symbols": ["A", "B"],
        "instruments": [{"symbol": "F", "tick_size": "0.25", "lot_size": 1, "multiplier": 50}],
        "participation": "0.1",
        "liquidity": "shared",
        "allow_short": True,
        "session": "09:30-16:00",
        "zone": "UTC",
        "time": "clock",
        "ack_latency": 0.1,
        "fill_latency": [0.1, 0.2],
        "reject_rate": 0.5,
        "seed": 7,
        "history": 100,
        "file": "paper.db",
    }
    broker = PaperBroker(**convert(PaperBroker, given))

    rules = broker._rules
    assert (rules.cash, rules.maker_fee, rules.taker_fee, rules.min_fee) == (
        1000,
        D("-0.0001"),
        D("0.001"),
        1,
    )
    assert (rules.terms("F").multiplier, rules.participation, rules.shared) == (50, D("0.1"), True)
    assert (rules.ack_latency, rules.fill_latency, rules.by_clock) == (0.1, (0.1, 0.2), True)
    assert not broker.concurrent_sessions
    with pytest.raises(SettingsError, match="clock"):
        convert(PaperBroker, {"clock": "cuckoo"})
    with pytest.raises(SettingsError, match="liquidity"):
        convert(PaperBroker, {"liquidity": "endless"})


def test_the_same_again_is_the_same_log_of_events():
    """
    Number, time and payload of every event are a function of seed, settings, bars and orders.
    """

    async def test(broker):
        events = broker.events()
        for number in range(5):
            await broker.feed(bar(number, 100 + number))
            for name in ("x", "y"):
                with contextlib.suppress(BrokerError):
                    await broker.place_order(buy(price=200, client_order_id=f"{name}{number}"))
        await broker.disconnect()
        return [
            (event.cursor.partition(":")[2], event.time, event.payload)
            async for event in events
            if not isinstance(event.payload, StatusChange)
        ]

    first, second = (trading(test, seed=3, reject_rate=0.3, fee_rate=D("0.001")) for _ in range(2))
    assert first == second
    told = [payload for _, _, payload in first]
    assert {type(each) for each in told} >= {Order, Fill}
    assert {OrderStatus.REJECTED, OrderStatus.FILLED} <= {
        each.status for each in told if isinstance(each, Order)
    }
