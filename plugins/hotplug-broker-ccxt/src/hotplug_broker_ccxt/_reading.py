"""What ccxt tells, as records. Numbers come as text (see `Wired.number`) and become `Decimal` at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final, cast

from hotplug.market import (
    Balance,
    Bar,
    Fill,
    Instrument,
    Liquidity,
    Order,
    OrderStatus,
    OrderType,
    Position,
    Quote,
    Side,
    TimeInForce,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "read_balances",
    "read_bar",
    "read_fill",
    "read_instrument",
    "read_order",
    "read_position",
    "read_quote",
    "read_time",
    "steps_of",
]

ZERO: Final = Decimal(0)
ANY_STEP: Final = Decimal("1E-12")
"""The step where a venue tells none, or counts significant digits; what goes out is compared in any case."""
_DECIMAL_PLACES, _TICK_SIZE = 2, 4  # ccxt's precision modes; the third counts significant digits
_SIDES: Final = {"buy": Side.BUY, "sell": Side.SELL}
_TIFS: Final = {
    "GTC": TimeInForce.GTC,
    "IOC": TimeInForce.IOC,
    "FOK": TimeInForce.FOK,
    "GTD": TimeInForce.GTD,
    "GTT": TimeInForce.GTD,
    "DAY": TimeInForce.DAY,
}
_ENDED: Final = {
    "closed": OrderStatus.FILLED,
    "canceled": OrderStatus.CANCELED,
    "cancelled": OrderStatus.CANCELED,
    "expired": OrderStatus.EXPIRED,
    "rejected": OrderStatus.REJECTED,
}
_LIQUIDITY: Final = {"maker": Liquidity.MAKER, "taker": Liquidity.TAKER}
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def _number(value: object) -> Decimal | None:
    if value is None or value == "":
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _inner(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", told.get(name) or {})


def _positive(value: object) -> Decimal | None:
    number = _number(value)
    return number if number is not None and number > 0 else None


def read_time(milliseconds: object) -> datetime | None:
    """The time that ccxt tells in milliseconds."""
    if not isinstance(milliseconds, (int, float)):
        return None
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=milliseconds)


def _now() -> datetime:
    return datetime.now(UTC)


# -- orders and fills --------------------------------------------------------------------------------


def read_order(told: Mapping[str, Any]) -> Order | None:
    """The order as the venue has it; ``None`` where *told* is no more than an acknowledgement."""
    side, qty = _SIDES.get(str(told.get("side"))), _positive(told.get("amount"))
    if side is None or qty is None or not told.get("symbol") or not told.get("status"):
        return None
    price, stop = _positive(told.get("price")), _positive(told.get("triggerPrice") or told.get("stopPrice"))
    kind = _type(str(told.get("type") or ""), price, stop)
    filled = _number(told.get("filled")) or ZERO
    return Order(
        symbol=told["symbol"],
        side=side,
        qty=qty,
        status=_status(told, filled, qty),
        type=kind,
        # Of a market order ccxt gives the average for its price.
        price=price if kind in {OrderType.LIMIT, OrderType.STOP_LIMIT} else None,
        stop_price=stop if kind in {OrderType.STOP, OrderType.STOP_LIMIT} else None,
        tif=_TIFS.get(str(told.get("timeInForce")), TimeInForce.GTC),
        client_order_id=told.get("clientOrderId") or None,
        order_id=_id(told.get("id")),
        reduce_only=bool(told.get("reduceOnly")),
        filled_qty=filled,
        avg_price=_positive(told.get("average")),
        created_at=read_time(told.get("timestamp")),
        updated_at=read_time(told.get("lastUpdateTimestamp")) or read_time(told.get("timestamp")),
    )


def _id(value: object) -> str | None:
    return None if value is None or value == "" else str(value)


def _type(kind: str, price: Decimal | None, stop: Decimal | None) -> OrderType:
    is_market = kind == "market" or (stop is not None and (price is None or "limit" not in kind))
    if stop is not None:
        return OrderType.STOP if is_market else OrderType.STOP_LIMIT
    return OrderType.MARKET if is_market or price is None else OrderType.LIMIT


def _status(told: Mapping[str, Any], filled: Decimal, qty: Decimal) -> OrderStatus:
    ended = _ENDED.get(str(told["status"]))
    if ended is OrderStatus.FILLED and filled < qty:
        # ccxt says "closed" of much; an order that ended with something left was cancelled by somebody.
        return OrderStatus.CANCELED
    if ended is not None:
        return ended
    return OrderStatus.PARTIALLY_FILLED if filled else OrderStatus.NEW


def read_fill(told: Mapping[str, Any], account: str) -> Fill | None:
    """A trade of ours; ``None`` where the venue leaves out what identifies it."""
    side, qty, price = (
        _SIDES.get(str(told.get("side"))),
        _positive(told.get("amount")),
        _number(told.get("price")),
    )
    if side is None or qty is None or price is None or not told.get("id") or not told.get("symbol"):
        return None
    fee, currency = _fee(told)
    return Fill(
        trade_id=str(told["id"]),
        order_id=_id(told.get("order")),
        client_order_id=told.get("clientOrderId") or None,
        account=account,
        symbol=told["symbol"],
        side=side,
        qty=qty,
        price=price,
        fee=fee,
        fee_currency=currency,
        liquidity=_LIQUIDITY.get(str(told.get("takerOrMaker")), Liquidity.UNKNOWN),
        time=read_time(told.get("timestamp")) or _now(),
    )


def _fee(told: Mapping[str, Any]) -> tuple[Decimal, str]:
    """What it cost; of fees in several currencies the first, which a `Fill` has room for."""
    charged = [told["fee"]] if told.get("fee") else list(told.get("fees") or ())
    known = [(_number(each.get("cost")), each.get("currency")) for each in charged]
    costs = [(cost, currency) for cost, currency in known if cost is not None and currency]
    if not costs:
        return ZERO, str(told["symbol"]).partition(":")[0].rpartition("/")[2]
    currency = costs[0][1]
    return sum((cost for cost, other in costs if other == currency), ZERO), str(currency)


# -- accounts ----------------------------------------------------------------------------------------


def read_balances(told: Mapping[str, Any], account: str) -> tuple[Balance, ...]:
    """Every currency of which there is any."""
    totals = _inner(told, "total")
    return tuple(
        balance
        for currency in sorted(totals)
        if (balance := _balance(told, account, currency)) is not None and balance.total
    )


def _balance(told: Mapping[str, Any], account: str, currency: str) -> Balance | None:
    free, used, total = (_number(_inner(told, part).get(currency)) for part in ("free", "used", "total"))
    if total is None:
        total = (free or ZERO) + (used or ZERO)
    if used is None:
        used = ZERO if free is None else total - free
    available = total - used if free is None else free
    return Balance(account=account, currency=currency, total=total, available=available, locked=used)


def read_position(told: Mapping[str, Any], account: str) -> Position | None:
    """A position in contracts; short is negative. ``None`` where nothing is held."""
    qty = _number(told.get("contracts"))
    if not qty or not told.get("symbol"):
        return None
    return Position(
        account=account,
        symbol=told["symbol"],
        qty=-abs(qty) if told.get("side") == "short" else qty,
        avg_price=_positive(told.get("entryPrice")),
        realized_pnl=_number(told.get("realizedPnl")) or ZERO,
    )


# -- the market --------------------------------------------------------------------------------------


def read_instrument(market: Mapping[str, Any], mode: int) -> Instrument:
    """How a market is traded; *mode* is ccxt's precision mode."""
    precision, limits = _inner(market, "precision"), _inner(market, "limits")
    return Instrument(
        symbol=market["symbol"],
        tick_size=_step(precision.get("price"), mode),
        lot_size=_step(precision.get("amount"), mode),
        min_qty=_positive(_inner(limits, "amount").get("min")),
        min_notional=_positive(_inner(limits, "cost").get("min")),
        multiplier=_positive(market.get("contractSize")) or Decimal(1),
        currency=str(market.get("settle") or market.get("quote") or ""),
    )


def _step(precision: object, mode: int) -> Decimal:
    number = _number(precision)
    if number is None:
        return ANY_STEP
    if mode == _TICK_SIZE:
        return number if number > 0 else ANY_STEP
    return Decimal(1).scaleb(-int(number)) if mode == _DECIMAL_PLACES else ANY_STEP


def read_quote(told: Mapping[str, Any], symbol: str) -> Quote:
    """The best bid and ask of a ticker."""
    return Quote(
        symbol=symbol,
        bid=_positive(told.get("bid")),
        bid_size=_positive(told.get("bidVolume")),
        ask=_positive(told.get("ask")),
        ask_size=_positive(told.get("askVolume")),
        time=read_time(told.get("timestamp")) or _now(),
    )


def read_bar(told: list[Any], symbol: str) -> Bar | None:
    """One row of ccxt's OHLCV; ``None`` where nothing was traded, and no price is told."""
    time = read_time(told[0])
    figures = [_number(value) for value in told[1:6]]
    if time is None or any(figure is None for figure in figures[:4]):
        return None
    first, high, low, last, volume = figures
    return Bar(symbol=symbol, time=time, open=first, high=high, low=low, close=last, volume=volume or ZERO)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def steps_of(timeframes: Iterable[str]) -> dict[timedelta, str]:
    """The names that ccxt has for lengths of bars, by length; a month has none."""
    return {
        timedelta(seconds=int(name[:-1]) * _UNITS[name[-1]]): name
        for name in timeframes
        if name[-1:] in _UNITS and name[:-1].isdigit()
    }
