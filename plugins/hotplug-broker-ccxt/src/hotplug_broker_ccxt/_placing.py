"""An order in ccxt's words: what it is called with, and what must stand in the request that it makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hotplug.errors import NotSupported
from hotplug.market import OrderType, TimeInForce
from hotplug_broker_ccxt._wire import Terms

if TYPE_CHECKING:
    from decimal import Decimal

    from hotplug.market import Order, OrderChange
    from hotplug_broker_ccxt._session import Session

__all__ = ["AT_ONCE", "SPOT", "STOPS", "change_of", "lacking", "order_of"]

STOPS: Final = frozenset({OrderType.STOP, OrderType.STOP_LIMIT})
AT_ONCE: Final = frozenset({TimeInForce.IOC, TimeInForce.FOK})
SPOT: Final = frozenset({"spot", "margin"})
_LIMITS: Final = frozenset({OrderType.LIMIT, OrderType.STOP_LIMIT})


def lacking(why: str) -> NotSupported:
    """The error for what cannot be asked of an exchange."""
    return NotSupported(why, code="not_supported", outcome="NOT_SENT")


def order_of(session: Session, order: Order, market_type: str) -> tuple[tuple[object, ...], Terms]:
    """What ``create_order`` is called with; `NotSupported` for what the venue has no word for."""
    params: dict[str, Any] = {"clientOrderId": order.client_order_id}
    if order.type in STOPS:
        params["triggerPrice"] = _text(order.stop_price)
        if session.feature("createOrder").get("triggerDirection"):
            params["triggerDirection"] = "ascending" if order.side == "BUY" else "descending"
    if order.type in _LIMITS:
        if order.tif is TimeInForce.DAY:
            raise lacking("a market without sessions has no DAY orders: take GTC, IOC or FOK")
        params["timeInForce"] = str(order.tif)
    elif order.tif is TimeInForce.FOK or (order.type is OrderType.STOP and order.tif is TimeInForce.IOC):
        raise lacking(f"a {order.type} order cannot be {order.tif} here")
    if order.reduce_only:
        if market_type in SPOT:
            raise lacking("nothing is reduced on a spot market: reduce_only is for contracts")
        params["reduceOnly"] = True
    terms = Terms(
        qty=order.qty, price=order.price, stop_price=order.stop_price, client_id=order.client_order_id
    )
    return (order.symbol, *_kind(order), _text(order.qty), _text(order.price), params), terms


def change_of(order: Order, change: OrderChange) -> tuple[tuple[object, ...], Terms]:
    """What ``edit_order`` is called with; what does not change is said again, as ccxt wants it."""
    if change.stop_price is not None:
        raise lacking("a trigger price cannot be changed here")
    qty = order.qty if change.qty is None else change.qty
    price = order.price if change.price is None else change.price
    terms = Terms(qty=change.qty, price=change.price)
    return (order.order_id, order.symbol, *_kind(order), _text(qty), _text(price)), terms


def _kind(order: Order) -> tuple[str, str]:
    return "limit" if order.type in _LIMITS else "market", order.side.lower()


def _text(number: Decimal | None) -> str | None:
    """*number* without an exponent; ccxt takes text for exact."""
    return None if number is None else format(number, "f")
