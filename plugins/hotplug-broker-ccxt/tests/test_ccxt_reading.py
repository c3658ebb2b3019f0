"""What ccxt tells becomes records: every figure exact, nothing made up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from hotplug.market import Liquidity, OrderStatus, OrderType, Side, TimeInForce
from hotplug_broker_ccxt._reading import (
    ANY_STEP,
    read_balances,
    read_bar,
    read_fill,
    read_instrument,
    read_order,
    read_position,
    read_quote,
    read_time,
    steps_of,
)

ORDER = {
    "id": 7,
    "clientOrderId": "mine",
    "symbol": "BTC/USDT",
    "side": "buy",
    "type": "limit",
    "status": "open",
    "amount": "2.50",
    "price": "100.10",
    "filled": "0",
    "timestamp": 1_700_000_000_123,
}
TRADE = {
    "id": "t",
    "order": "7",
    "symbol": "BTC/USDT",
    "side": "sell",
    "amount": "0.123456789012345678",
    "price": "1E-8",
    "timestamp": 1_700_000_000_000,
    "takerOrMaker": "maker",
}


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, OrderStatus.NEW),
        ({"filled": "1"}, OrderStatus.PARTIALLY_FILLED),
        ({"status": "closed", "filled": "2.5"}, OrderStatus.FILLED),
        ({"status": "closed", "filled": "2.4"}, OrderStatus.CANCELED),
        ({"status": "canceled", "filled": "1"}, OrderStatus.CANCELED),
        ({"status": "expired"}, OrderStatus.EXPIRED),
        ({"status": "rejected"}, OrderStatus.REJECTED),
        ({"status": "canceling"}, OrderStatus.NEW),
        ({"filled": None}, OrderStatus.NEW),
    ],
)
def test_how_an_order_stands(changes, status):
    """
    The status is ccxt's, but for "closed" with something left, which somebody must have cancelled.
    """
    assert read_order({**ORDER, **changes}).status is status


@pytest.mark.parametrize(
    ("changes", "kind", "price", "stop"),
    [
        ({}, OrderType.LIMIT, "100.10", None),
        ({"type": "limit_maker"}, OrderType.LIMIT, "100.10", None),
        ({"type": "market"}, OrderType.MARKET, None, None),
        ({"type": "market", "price": None}, OrderType.MARKET, None, None),
        ({"type": None}, OrderType.LIMIT, "100.10", None),
        ({"type": "stop_loss_limit", "triggerPrice": "90"}, OrderType.STOP_LIMIT, "100.10", "90"),
        ({"type": "stop_loss", "triggerPrice": "90", "price": "0"}, OrderType.STOP, None, "90"),
        ({"type": "market", "stopPrice": "90"}, OrderType.STOP, None, "90"),
    ],
)
def test_of_what_type_an_order_is(changes, kind, price, stop):
    """
    A price belongs to limits only: what ccxt gives market orders is their average.
    """
    order = read_order({**ORDER, **changes})

    assert (order.type, order.price, order.stop_price) == (
        kind,
        price and Decimal(price),
        stop and Decimal(stop),
    )


def test_an_order_whole():
    """
    Ids are text, times are in UTC, quantities as they were written.
    """
    order = read_order({**ORDER, "timeInForce": "IOC", "average": "100.05", "filled": "1"})

    assert (order.order_id, order.client_order_id, order.side) == ("7", "mine", Side.BUY)
    assert str(order.qty) == "2.50"
    assert order.created_at == datetime(2023, 11, 14, 22, 13, 20, 123000, tzinfo=UTC)
    assert (order.tif, order.avg_price) == (TimeInForce.IOC, Decimal("100.05"))


@pytest.mark.parametrize("missing", ["side", "amount", "symbol", "status"])
def test_an_acknowledgement_is_no_order(missing):
    """
    An answer without terms says nothing of how an order stands.
    """
    assert read_order({**ORDER, missing: None}) is None


def test_a_fill_whole():
    """
    Eighteen places survive, and so does a price with an exponent.
    """
    fill = read_fill({**TRADE, "fee": {"cost": "0.000000000000000001", "currency": "BNB"}}, "A1")

    assert str(fill.qty) == "0.123456789012345678"
    assert fill.price == Decimal("0.00000001")
    assert (fill.fee, fill.fee_currency) == (Decimal("1E-18"), "BNB")
    assert (fill.account, fill.liquidity) == ("A1", Liquidity.MAKER)


@pytest.mark.parametrize(
    ("fees", "expected"),
    [
        ({}, (0, "USDT")),
        ({"fee": {"cost": None, "currency": None}}, (0, "USDT")),
        ({"fees": [{"cost": "1", "currency": "A"}, {"cost": "2", "currency": "A"}]}, (3, "A")),
        ({"fees": [{"cost": "1", "currency": "A"}, {"cost": "2", "currency": "B"}]}, (1, "A")),
    ],
)
def test_what_a_fill_cost(fees, expected):
    """
    No fee is a fee of nothing in the quote currency; fees of one currency add up.
    """
    fill = read_fill({**TRADE, **fees}, "A1")

    assert (fill.fee, fill.fee_currency) == expected


@pytest.mark.parametrize("missing", ["id", "side", "amount", "price", "symbol"])
def test_a_trade_without_its_terms_is_none(missing):
    """
    What cannot be told from another trade, or has no figures, is left out.
    """
    assert read_fill({**TRADE, missing: None}, "A1") is None


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"free": "1", "used": "2", "total": "3"}, ("3", "1", "2")),
        ({"free": "1", "used": "2", "total": None}, ("3", "1", "2")),
        ({"free": "1", "used": None, "total": "3"}, ("3", "1", "2")),
        ({"free": None, "used": "2", "total": "3"}, ("3", "1", "2")),
        ({"free": None, "used": None, "total": "3"}, ("3", "3", "0")),
    ],
)
def test_balances_are_completed(parts, expected):
    """
    Of total, available and locked, what a venue leaves out follows from the others.
    """
    told = {part: {"USDT": value, "ZERO": "0"} for part, value in parts.items()}

    [balance] = read_balances(told, "A1")

    assert (balance.total, balance.available, balance.locked) == tuple(map(Decimal, expected))


def test_balances_of_nothing():
    """
    An answer without balances is an account without money.
    """
    assert read_balances({}, "A1") == ()


def test_positions():
    """
    Short is negative; what is nothing is left out.
    """
    told = {
        "symbol": "BTC/USDT:USDT",
        "contracts": "3",
        "side": "short",
        "entryPrice": "10",
        "realizedPnl": "-1",
    }

    position = read_position(told, "A1")

    assert (position.qty, position.avg_price, position.realized_pnl) == (-3, 10, -1)
    assert read_position({**told, "side": "long"}, "A1").qty == 3
    assert read_position({**told, "contracts": "0"}, "A1") is None
    assert read_position({**told, "contracts": "?"}, "A1") is None


@pytest.mark.parametrize(
    ("mode", "price", "tick"),
    [(4, "0.05", "0.05"), (4, "0", ANY_STEP), (2, "3", "0.001"), (3, "5", ANY_STEP), (4, None, ANY_STEP)],
)
def test_steps(mode, price, tick):
    """
    Ticks and decimal places become steps; where digits are counted, or nothing is told, any step goes.
    """
    market = {
        "symbol": "A/B",
        "quote": "B",
        "precision": {"price": price, "amount": "1"},
        "contractSize": "10",
    }

    instrument = read_instrument(market, mode)

    assert instrument.tick_size == Decimal(tick)
    assert (instrument.multiplier, instrument.currency, instrument.min_qty) == (10, "B", None)


def test_quotes_and_bars():
    """
    Sides that nobody offers are None, and so is a bar in which nothing was traded.
    """
    quote = read_quote({"bid": "1.5", "bidVolume": "0", "ask": None, "timestamp": 1000}, "A/B")
    bar = read_bar([60_000, "1", "2", "0.5", "1.5", None], "A/B")

    assert (quote.bid, quote.bid_size, quote.ask, quote.time.second) == (Decimal("1.5"), None, None, 1)
    assert (bar.low, bar.volume, bar.time.minute) == (Decimal("0.5"), 0, 1)
    assert read_bar([60_000, None, None, None, None, "0"], "A/B") is None
    assert read_bar([None, "1", "1", "1", "1", "1"], "A/B") is None


def test_times_and_steps():
    """
    Times are exact to the millisecond; a month is no length.
    """
    assert read_time(None) is None
    assert read_time(1.5) == datetime(1970, 1, 1, 0, 0, 0, 1500, tzinfo=UTC)
    assert steps_of(["1m", "4h", "1d", "1M", "x"]) == {
        timedelta(minutes=1): "1m",
        timedelta(hours=4): "4h",
        timedelta(days=1): "1d",
    }
