"""The orders of a venue as it sees them, and what it has to say of each change."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import count
from typing import TYPE_CHECKING, Final, TypeAlias

from hotplug.errors import DuplicateClientOrderId, InvalidRequest, OrderNotFound
from hotplug.market import Attribution, Fill, Liquidity, Order, OrderRef, OrderStatus, OrderUpdate
from hotplug_broker_mock._ledger import exactly

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from hotplug.market import OrderChange
    from hotplug_broker_mock._habits import Habits
    from hotplug_broker_mock._ledger import Ledger

__all__ = ["News", "VenueBook", "WhichOrder"]

WhichOrder: TypeAlias = str | OrderRef | Order
"""Names an order at a venue: its client order id or venue id, a reference, or the order itself."""

News: TypeAlias = Order | OrderUpdate | Fill

ZERO: Final = Decimal(0)


class VenueBook:
    """
    Orders, fills and what the accounts hold. Its methods change it, and return what is to be reported.

    Never looks whether it has an order already unless that is its habit: what is sent twice stands there
    twice. Not thread-safe.
    """

    def __init__(self, ledger: Ledger, habits: Habits) -> None:
        self.ledger: Final = ledger
        self._habits: Final = habits
        self.fills: Final[list[Fill]] = []
        self._orders: Final[list[Order]] = []
        self._places: Final[dict[str, int]] = {}
        self._by_client: Final[dict[str, list[int]]] = {}
        self._order_ids: Final = (f"V{number}" for number in count(1))
        self._trade_ids: Final = (f"T{number}" for number in count(1))

    @property
    def orders(self) -> tuple[Order, ...]:
        """All orders ever accepted, in that order."""
        return tuple(self._orders)

    def find(self, which: WhichOrder) -> Order:
        """The order as it stands; of several under one client id the first. `OrderNotFound`."""
        return self._orders[self._place_of(which)]

    def accept(self, order: Order, account: str, now: datetime) -> tuple[Order, list[News]]:
        """Take *order* into the book, under a new id of the venue's."""
        client_id = order.client_order_id
        if self._habits.deduplicate and self._has(client_id, account):
            raise DuplicateClientOrderId(f"{client_id} was used already", outcome="REJECTED")
        accepted = replace(
            order,
            account=account,
            order_id=next(self._order_ids),
            status=OrderStatus.NEW,
            filled_qty=ZERO,
            leaves_qty=order.qty,
            avg_price=None,
            # A venue knows nothing of whom a host acts for.
            attribution=Attribution(),
            tags=(),
            created_at=now,
            updated_at=now,
        )
        place = len(self._orders)
        self._orders.append(accepted)
        self._places[accepted.order_id or ""] = place
        if client_id is not None:
            self._by_client.setdefault(client_id, []).append(place)
        self.ledger.open(account)
        return accepted, [_update(accepted)]

    def fill(
        self,
        which: WhichOrder,
        now: datetime,
        price: Decimal,
        qty: Decimal,
        *,
        fee: Decimal = ZERO,
    ) -> tuple[Fill, list[News]]:
        """
        Trade *qty* of an order; one that was cancelled or expired may still trade, late.

        `ValueError` for more than there is.
        """
        order = self.find(which)
        left = order.qty - order.filled_qty
        if not ZERO < qty <= left:
            raise ValueError(f"{order.order_id} has {left} left to trade, not {qty}")
        fill = Fill(
            trade_id=next(self._trade_ids),
            order_id=order.order_id,
            client_order_id=order.client_order_id,
            account=order.account or "",
            symbol=order.symbol,
            side=order.side,
            qty=qty,
            price=price,
            fee=fee,
            fee_currency=self._habits.currency,
            liquidity=Liquidity.TAKER,
            time=now,
        )
        self.fills.append(fill)
        self.ledger.book(fill)
        return fill, [fill, self._put(which, _traded(order, fill), now)]

    def end(
        self, which: WhichOrder, status: OrderStatus, now: datetime, reason: str | None = None
    ) -> tuple[Order, list[News]]:
        """End an order; `InvalidRequest`, REJECTED, if it has ended already."""
        order = self._open(which, "too late to cancel")
        update = self._put(which, replace(order, status=status, leaves_qty=ZERO, reason=reason), now)
        return self.find(which), [update]

    def change(self, which: WhichOrder, change: OrderChange, now: datetime) -> tuple[Order, list[News]]:
        """Change an open order; `InvalidRequest`, REJECTED, if it has ended or is filled that far."""
        order = self._open(which, "too late to change")
        qty = order.qty if change.qty is None else change.qty
        if qty <= order.filled_qty:
            raise InvalidRequest(f"{order.filled_qty} is filled already", outcome="REJECTED")
        place = self._place_of(which)
        changed = replace(
            order,
            qty=qty,
            leaves_qty=qty - order.filled_qty,
            price=order.price if change.price is None else change.price,
            stop_price=order.stop_price if change.stop_price is None else change.stop_price,
            order_id=next(self._order_ids) if self._habits.new_ids else order.order_id,
            version=order.version + 1,
            updated_at=now,
        )
        self._orders[place] = changed
        self._places[changed.order_id or ""] = place
        return changed, [changed]

    def correct(self, which: WhichOrder, trade_id: str, now: datetime) -> tuple[Order, list[News]]:
        """Take a trade back, as venues do with busted ones; an order that has ended does not come back."""
        place = self._place_of(which)
        order = self._orders[place]
        busted = next(each for each in self.fills if each.trade_id == trade_id)
        self.fills.remove(busted)
        self.ledger.book(replace(busted, qty=-busted.qty, fee=-busted.fee))
        filled = order.filled_qty - busted.qty
        status = order.status
        if not status.terminal:
            status = OrderStatus.PARTIALLY_FILLED if filled else OrderStatus.NEW
        leaves = ZERO if status.terminal else order.qty - filled
        avg_price = _average([each for each in self.fills if self._place_of(each.order_id or "") == place])
        corrected = replace(order, filled_qty=filled, leaves_qty=leaves, avg_price=avg_price, status=status)
        update = self._put(which, corrected, now)
        return self.find(which), [replace(update, correction=True)]

    def _has(self, client_id: str | None, account: str) -> bool:
        places = self._by_client.get(client_id or "", ())
        return any(self._orders[place].account == account for place in places)

    def _open(self, which: WhichOrder, complaint: str) -> Order:
        order = self.find(which)
        if order.status.terminal:
            raise InvalidRequest(f"{complaint}: it is {order.status}", outcome="REJECTED")
        return order

    def _put(self, which: WhichOrder, order: Order, now: datetime) -> OrderUpdate:
        order = replace(order, updated_at=now)
        self._orders[self._place_of(which)] = order
        return _update(order)

    def _place_of(self, which: WhichOrder) -> int:
        for name in _names(which):
            if name in self._places:
                return self._places[name]
            if name in self._by_client:
                return self._by_client[name][0]
        raise OrderNotFound(f"no order {' or '.join(_names(which))} here", outcome="REJECTED")


def _names(which: WhichOrder) -> Iterator[str]:
    if isinstance(which, str):
        yield which
    else:
        # The venue's own id first: client ids may be there twice.
        yield from (name for name in (which.order_id, which.client_order_id) if name)


def _traded(order: Order, fill: Fill) -> Order:
    with exactly():
        filled = order.filled_qty + fill.qty
        paid = (order.avg_price or ZERO) * order.filled_qty + fill.price * fill.qty
        average = paid / filled
    status = order.status
    if filled == order.qty:
        status = OrderStatus.FILLED
    elif not status.terminal:
        status = OrderStatus.PARTIALLY_FILLED
    leaves = ZERO if status.terminal else order.qty - filled
    return replace(order, filled_qty=filled, leaves_qty=leaves, avg_price=average, status=status)


def _average(fills: list[Fill]) -> Decimal | None:
    if not fills:
        return None
    with exactly():
        return sum((each.price * each.qty for each in fills), ZERO) / sum((each.qty for each in fills), ZERO)


def _update(order: Order) -> OrderUpdate:
    return OrderUpdate(
        client_order_id=order.client_order_id,
        order_id=order.order_id,
        status=order.status,
        filled_qty=order.filled_qty,
        avg_price=order.avg_price,
        reason=order.reason,
        time=order.updated_at,
        account=order.account,
    )
