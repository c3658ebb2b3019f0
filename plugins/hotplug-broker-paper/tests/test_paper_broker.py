"""The paper broker: how orders trade on bars, what it refuses, and that its books are exact."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotplug.errors import (
    BrokerError,
    DeadlineExceeded,
    DuplicateClientOrderId,
    GatewayNotReady,
    InsufficientFunds,
    InvalidRequest,
    NotSupported,
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
    Side,
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
        (buy(client_order_id=""), OrderDenied, "client_order_id"),
        (buy(type=OrderType.STOP, stop_price=D(5)), NotSupported, "not_supported"),
        (buy(stop_price=D(5)), NotSupported, "not_supported"),
        (buy(tif=TimeInForce.GTD, expire_at=DAY), NotSupported, "not_supported"),
        (buy(expire_at=DAY), NotSupported, "not_supported"),
        (buy(reduce_only=True), NotSupported, "not_supported"),
        (buy(account=" "), InvalidRequest, "account"),
    ],
)
def test_what_is_never_sent(request_, kind, code):
    """
    What can be refused by looking at it is NOT_SENT: no event, no order, and its id is free.
    """

    async def test(broker):
        stream = broker.events()
        with pytest.raises(kind) as caught:
            await broker.place_order(request_)
        assert (caught.value.outcome, caught.value.code) == ("NOT_SENT", code)
        with pytest.raises(OrderNotFound):
            await broker.get_order(OrderRef(client_order_id=request_.client_order_id or "?"))
        sound = await broker.place_order(buy(client_order_id=request_.client_order_id or "free again"))
        assert (await anext(stream)).payload.client_order_id == sound.client_order_id

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
    With symbols, others are rejected: as orders, as bars and as instruments.
    """

    async def test(broker):
        for attempt in (
            broker.place_order(buy(symbol="B")),
            broker.feed(bar(0, symbol="B")),
            broker.get_instrument("B"),
        ):
            with pytest.raises(InvalidRequest, match="B is not listed here .listed: A, C.") as caught:
                await attempt
            assert caught.value.outcome == "REJECTED"
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
        with pytest.raises(InsufficientFunds, match="1010.00 USD needed"):
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
        return broker._engine.accounts["default"].ledger.pockets()

    pockets = trading(test)

    assert pockets["cost A"] == 0
    assert pockets["profit A"] == D("1.000000000001") * D("0.0001") - 2 * D("0.0001")


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


DEEDS = st.lists(
    st.tuples(
        st.sampled_from([Side.BUY, Side.SELL]),
        st.decimals("0.0001", 50, places=4),
        st.decimals("0.01", 300, places=2),
        st.one_of(st.none(), st.decimals("0.01", 300, places=2)),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(deeds=DEEDS, fee_rate=st.decimals(0, "0.01", places=5), slippage=st.decimals(0, "0.01", places=4))
def test_money_is_conserved(deeds, fee_rate, slippage):
    """
    Whatever is traded: the books balance to zero, cash is what the fills say, and nobody is in debt.
    """

    async def test(broker):
        for number, (side, qty, price, limit) in enumerate(deeds):
            try:
                await broker.place_order(order(side, qty, limit))
            except InsufficientFunds:
                continue
            await broker.feed(bar(number, price, high=price + 5, low=max(price - 5, D("0.01"))))
        shot = await broker.snapshot()
        pockets = broker._engine.accounts["default"].ledger.pockets()
        return shot, pockets, broker._engine.accounts["default"].ledger.fees

    shot, pockets, fees = trading(test, cash=D(5000), fee_rate=fee_rate, slippage=slippage)

    [balance] = shot.balances
    signed = {Side.BUY: 1, Side.SELL: -1}
    spent = sum((signed[each.side] * each.qty * each.price + each.fee for each in shot.fills), D(0))
    assert sum(pockets.values()) == 0
    assert balance.total == 5000 - spent
    assert fees == sum((each.fee for each in shot.fills), D(0))
    assert balance.available >= 0
    assert balance.total == balance.available + balance.locked
    for position in shot.positions:
        assert position.qty == sum((signed[each.side] * each.qty for each in shot.fills), D(0)) >= 0


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
        return await read(stream, 5)

    told = trading(test)

    assert [type(each) for each in told] == [Order, Fill, Order, Position, Balance]
    assert [told[0].status, told[2].status] == ["NEW", "FILLED"]
    assert (told[3].qty, told[4].total) == (2, 99_800)


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


def test_a_closed_stream_tells_nothing():
    """
    After aclose a stream has ended, whatever there was to tell.
    """

    async def test(broker):
        await broker.place_order(buy())
        stream = broker.events(after="nobody:1")
        await stream.aclose()
        return [event async for event in stream]

    assert trading(test) == []


def test_a_reader_that_is_too_slow_is_told_so(monkeypatch):
    """
    What the log forgot ends the stream; its cursor then gives a gap and a snapshot: no silent loss.
    """
    monkeypatch.setattr("hotplug_broker_paper._broker.EVENTS_KEPT", 4)

    async def test(broker):
        slow = broker.events()
        await broker.place_order(buy(price=1, tif=TimeInForce.GTC))
        first = await anext(slow)
        for _ in range(12):
            await broker.place_order(buy(price=1, tif=TimeInForce.GTC))
        assert [event async for event in slow] == []
        resumed = broker.events(after=first.cursor)
        gap, snapshot = await anext(resumed), await anext(resumed)
        await broker.cancel_order(first.payload.ref)
        return gap, snapshot, await anext(resumed), first.cursor

    gap, snapshot, after, cursor = trading(test)

    assert (gap.payload.after, gap.cursor) == (cursor, cursor)
    assert gap.payload.before == snapshot.cursor == snapshot.payload.cursor
    assert len(snapshot.payload.orders) == 13
    assert after.payload.status is OrderStatus.CANCELED


@pytest.mark.parametrize("cursor", ["", "nobody:1", "nonsense", "{epoch}:x", "{epoch}:-1", "{epoch}:99"])
def test_a_cursor_that_leads_nowhere_is_a_gap(cursor):
    """
    Foreign, malformed and future cursors give a gap, not an error and not silence.
    """

    async def test(broker):
        epoch = broker._log.cursor().partition(":")[0]
        return type((await anext(broker.events(after=cursor.format(epoch=epoch)))).payload).__name__

    assert trading(test) == "Gap"


def test_a_waiting_reader_is_woken_from_another_loop():
    """
    A reader in one thread's loop gets what happens in another's; a reader whose loop is gone disturbs nobody.
    """
    broker = PaperBroker()
    asyncio.run(broker.connect())
    told, waiting = [], threading.Event()

    async def listen():
        stream = broker.events()
        asyncio.get_running_loop().call_soon(waiting.set)
        told.append((await anext(stream)).payload)

    async def give_up():
        reader = asyncio.ensure_future(anext(broker.events()))
        await asyncio.sleep(0)
        reader.cancel()

    asyncio.run(give_up())
    thread = threading.Thread(target=lambda: asyncio.run(listen()), daemon=True)
    thread.start()
    assert waiting.wait(5)
    asyncio.run(broker.place_order(buy(client_order_id="heard")))
    thread.join(5)

    assert [each.client_order_id for each in told] == ["heard"]


def test_its_calls_need_no_loop():
    """
    A call waits for nothing, so its coroutine ends at the first step, with or without an event loop.
    """
    broker = PaperBroker()

    with pytest.raises(StopIteration):
        broker.connect().send(None)

    assert broker.info.healthy


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
    Orders from many threads on one account are all there, each with an id and an event of its own.
    """
    broker = PaperBroker(cash=D(1_000_000))
    asyncio.run(broker.connect())
    start, each_places = threading.Barrier(4), 100

    def trade():
        async def test():
            start.wait(5)
            for _ in range(each_places):
                await broker.place_order(buy(1))

        asyncio.run(test())

    threads = [threading.Thread(target=trade, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    fills = asyncio.run(broker.feed(bar(0)))
    [position] = asyncio.run(broker.get_positions())
    cursors = [each.cursor for each in broker._log._events]
    assert len({each.order_id for each in fills}) == len(fills) == 4 * each_places
    assert position.qty == 4 * each_places
    assert len(set(cursors)) == len(cursors)


def test_nothing_is_answered_without_a_connection():
    """
    Every call that needs the venue is GatewayNotReady, NOT_SENT, before connecting and after disconnecting.
    """

    def calls(broker):
        ref = OrderRef(order_id="default-1")
        yield broker.place_order(buy())
        yield broker.cancel_order(ref)
        yield broker.cancel_all()
        yield broker.get_order(ref)
        yield broker.get_open_orders()
        yield broker.get_fills()
        yield broker.get_positions()
        yield broker.get_balances()
        yield broker.snapshot()
        yield broker.get_instrument("A")
        yield broker.feed(bar(0))
        yield broker.open_account("ada")

    async def test():
        broker = PaperBroker(broker_id="desk")
        for _ in range(2):
            for call in calls(broker):
                with pytest.raises(GatewayNotReady, match="desk is (CREATED|DISCONNECTED)") as caught:
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


def test_what_it_lacks_it_says():
    """
    Quotes, history and changes of orders are NotSupported, each by name.
    """

    async def test(broker):
        for attempt in (
            lambda: broker.get_quote("A"),
            lambda: broker.get_bars("A", DAY, DAY, timedelta(days=1)),
            lambda: broker.modify_order(OrderRef(order_id="1"), OrderChange(qty=1)),
        ):
            with pytest.raises(NotSupported, match="the paper broker has no"):
                await attempt()
        with pytest.raises(NotSupported):
            broker.stream_quotes(["A"])

    trading(test)


def test_how_it_is():
    """
    Healthy while connected, unknown otherwise, without limits, and with one instrument rule for all.
    """

    async def test(broker):
        assert (await broker.health()).checks == {"transport": HealthState.HEALTHY}
        assert await broker.rate_limits() == ()
        instrument = await broker.get_instrument("A")
        assert (instrument.tick_size, instrument.lot_size, instrument.currency) == (D("0.05"), 1, "EUR")
        await broker.disconnect()
        assert (await broker.health()).status is HealthState.UNKNOWN

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


def test_books_that_do_not_balance_are_an_error():
    """
    The ledger refuses postings that make or lose money.
    """
    from hotplug_broker_paper._ledger import Ledger

    with pytest.raises(ArithmeticError, match="do not balance"):
        Ledger("a", D(0))._post({"cash": D(1)})


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
