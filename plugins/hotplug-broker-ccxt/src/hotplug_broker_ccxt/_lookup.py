"""Asking for one order, by whatever id the venue can be asked by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hotplug.errors import BrokerUnavailable, OrderNotFound
from hotplug_broker_ccxt._reading import read_order

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplug.brokers import BrokerGateway
    from hotplug.market import Order, OrderRef
    from hotplug_broker_ccxt._session import Session

__all__ = ["find_order"]

_LISTS: Final = (
    ("fetchOpenOrders", "fetch_open_orders"),
    ("fetchClosedOrders", "fetch_closed_orders"),
    ("fetchCanceledOrders", "fetch_canceled_orders"),
    ("fetchOrders", "fetch_orders"),
)


async def find_order(broker: BrokerGateway, session: Session, ref: OrderRef) -> Order:
    """The order as the venue has it; `OrderNotFound`. Limits are the caller's business."""
    held = broker.book.named(ref.client_order_id, ref.order_id)
    symbol = held[0].order.symbol if held else None
    if symbol is None and session.needs_symbol("fetchOrder"):
        raise _unknown(ref)
    exchange = session.exchange
    is_offered = exchange.has.get("fetchOrder") is True
    if is_offered and ref.order_id is not None:
        told = await session.ask(exchange.fetch_order, ref.order_id, symbol)
    elif is_offered and session.venue.is_asked_by_client_id:
        told = await session.ask(exchange.fetch_order, "", symbol, {"clientOrderId": ref.client_order_id})
    else:
        told = await _searched(session, ref, symbol)
    found = read_order({**told, "clientOrderId": told.get("clientOrderId") or ref.client_order_id})
    if found is None:
        raise BrokerUnavailable(f"{session.name} tells too little of an order", code="incomplete")
    return found


async def _searched(session: Session, ref: OrderRef, symbol: str | None) -> Mapping[str, Any]:
    """Among the open orders, then among those that ended lately."""
    for name, method in _LISTS:
        if session.exchange.has.get(name) is not True:
            continue
        for told in await session.ask(getattr(session.exchange, method), symbol):
            is_ours = ref.client_order_id is not None and told.get("clientOrderId") == ref.client_order_id
            if is_ours or (ref.order_id is not None and str(told.get("id")) == ref.order_id):
                return told  # type: ignore[no-any-return]
    raise _unknown(ref)


def _unknown(ref: OrderRef) -> OrderNotFound:
    named = ref.client_order_id or ref.order_id
    return OrderNotFound(f"there is no order {named!r}", code="order_not_found", outcome="REJECTED")
