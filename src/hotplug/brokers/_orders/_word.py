"""What a venue says of orders, and what they come to by it."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from hotplug.brokers._orders._held import Held, Phase, evolved, request_of
from hotplug.brokers._orders._life import CORRECTION, IN_CHANGE, RESTING, Life
from hotplug.market import Fill, Order, OrderStatus, OrderUpdate, Origin, Position, Side
from hotplug.market._exact import AVERAGE, EXACT, left_of
from hotplug.market._positions import Positions

if TYPE_CHECKING:
    from collections.abc import Callable

    from hotplug.brokers._events._log import EventLog
    from hotplug.market import Balance

__all__ = ["Word"]

ZERO: Final = Decimal(0)
ORPHANS: Final = 10_000


class Word(Life):
    """
    The venue's word on the orders of a book: in any order, twice, late, or before their ids are known.

    Fills are booked once each. What names no order waits, as long as one is *in flight* that it may mean.
    """

    in_flight: int
    """How many orders are being sent; who sends them counts."""

    def __init__(self, log: EventLog, clock: Callable[[], float]) -> None:
        super().__init__(log, clock)
        self.accounts_seen: Final[dict[str, None]] = {}
        self.positions: Final = Positions()
        self._orphans: deque[Fill | OrderUpdate] = deque(maxlen=ORPHANS)

    # -- fills -------------------------------------------------------------------------------------

    def fill(self, fill: Fill) -> None:
        """Apply a fill, once, in any state of its order."""
        trade = (fill.account, fill.trade_id)
        if trade in self._trades:
            self.counts["duplicate fills"] += 1
            return
        held = self._whose(fill.client_order_id, fill.order_id, fill.account)
        if held is None and self.in_flight and fill.client_order_id is None:
            self._orphans.append(fill)  # its order may be the one that has no venue id yet
            return
        self._trades[trade] = None
        self._apply_fill(fill, held)
        if held is not None and self._orphans:
            self._adopt_orphans(held)

    def _apply_fill(self, fill: Fill, held: Held | None) -> None:
        if held is not None:
            self._tie(held, fill.order_id)
            late = held.order.status.terminal or held.order.status is OrderStatus.UNKNOWN
            if late or fill.client_order_id is None:
                fill = _fill_of(fill, held, late=late)
        self._fills.append((self._clock(), fill))
        self.accounts_seen[fill.account] = None
        self.positions.add(fill)
        self._tell(fill, note="fill")
        if held is not None:
            held.traded(fill)
            self._count(held, note="fill")

    def _count(self, held: Held, *, note: str, avg_price: Decimal | None = None) -> None:
        """What was filled has grown: let figures and status say so."""
        order = held.order
        total = max(held.filled, held.said)
        knows = held.filled and held.filled >= held.said
        average = AVERAGE.divide(held.cost, held.filled) if knows else avg_price
        figures: dict[str, Any] = {"filled_qty": total, "avg_price": average or order.avg_price}
        if total >= max(order.qty, held.asked_qty or ZERO):
            status = OrderStatus.FILLED
        elif order.status in IN_CHANGE:
            status = order.status
        else:
            status = OrderStatus.PARTIALLY_FILLED if total else order.status
        if order.status.terminal or status is order.status:
            self._put(held, figures, note=note)
        else:
            self._move(held, status, note=note, more=figures)

    # -- how an order stands -----------------------------------------------------------------------

    def update(self, said: OrderUpdate) -> None:
        """Apply what the venue says of an order; what comes late or against the table is counted."""
        held = self._whose(said.client_order_id, said.order_id, said.account)
        if held is None:
            if self.in_flight:
                self._orphans.append(said)
            else:
                self.counts["updates of unknown orders"] += 1
            return
        if said.order_id in held.aliases and held.order.order_id != said.order_id:
            # The venue ended what it replaced: that is not the end of the order.
            self.counts["late updates"] += 1
            return
        self._apply_update(held, said)
        self._tell_news(held, note="update")
        if self._orphans:
            self._adopt_orphans(held)

    def _apply_update(self, held: Held, said: OrderUpdate) -> None:
        self._tie(held, said.order_id)
        if said.filled_qty is not None:
            self._said_filled(held, said)
        elif said.status is OrderStatus.FILLED:
            held.said = max(held.said, held.order.qty)
        status = said.status
        total = max(held.filled, held.said)
        if status is OrderStatus.NEW and total:
            status = OrderStatus.PARTIALLY_FILLED
        if status in RESTING and self._is_changing(held):
            status = held.order.status
        if status is OrderStatus.FILLED and held.asked_qty is not None and held.is_open:
            # By less or more than we knew of: so the change that nobody answered was made.
            self._put(held, {"qty": total, "version": held.order.version + 1}, note="replaced")
        if total != held.order.filled_qty:
            self._count(held, note="update", avg_price=said.avg_price)
        if status is held.order.status or (held.order.status is OrderStatus.FILLED and status in RESTING):
            return
        self._move(held, status, note="update", reason=said.reason)

    def _said_filled(self, held: Held, said: OrderUpdate) -> None:
        assert said.filled_qty is not None  # noqa: S101 - the caller looked
        if said.correction:
            self._correct(held, said.filled_qty, said.avg_price)
            self._put(held, {"filled_qty": held.said, "avg_price": said.avg_price}, note=CORRECTION)
        elif said.filled_qty > held.said:
            held.said = said.filled_qty

    def _correct(self, held: Held, filled: Decimal, price: Decimal | None) -> None:
        """What was told in fills was not so: the position that is made of them loses it again."""
        qty, cost = held.filled, held.cost
        held.said = held.filled = filled
        held.cost = EXACT.multiply(filled, price or held.order.avg_price or ZERO)
        held.is_corrected = True
        qty, cost = EXACT.subtract(filled, qty), EXACT.subtract(held.cost, cost)
        if qty:
            each = AVERAGE.divide(cost, qty)
            signed = qty if held.order.side is Side.BUY else qty.copy_negate()
            self.positions.trade(held.account, held.order.symbol, signed, each)

    def _is_changing(self, held: Held) -> bool:
        """A cancel or a change is under way: that it still rests is no news."""
        status = held.order.status
        busy = held.cancelling or held.cancel_wanted or held.cancel_accepted
        return (status is OrderStatus.PENDING_CANCEL and bool(busy)) or (
            status is OrderStatus.PENDING_REPLACE and held.changing is not None
        )

    def not_found(self, held: Held, *, final: bool) -> None:
        """The venue does not know it: that is the end if it is *final*, else nobody knows."""
        status = held.order.status
        if held.cancel_accepted and status is OrderStatus.PENDING_CANCEL:
            self._move(held, OrderStatus.CANCELED, note="not found", reason="cancelled, and gone")
        elif final:
            why = "the venue does not know it: it never arrived"
            self._move(held, OrderStatus.REJECTED, note="not found", reason=why)
        elif status is not OrderStatus.UNKNOWN and held.is_open:
            held.phase = Phase.UNKNOWN
            self._move(held, OrderStatus.UNKNOWN, note="not found", reason="the venue does not know it now")

    # -- whole orders, and what is held ------------------------------------------------------------

    def recognise(self, order: Order, *, default_account: str) -> None:
        """If *order* is one of ours, know it by the venue's id from now on."""
        held = self._whose(order.client_order_id, order.order_id, order.account or default_account)
        if held is not None:
            self._tie(held, order.order_id)

    def merge(self, order: Order, *, default_account: str) -> Held:
        """Apply the venue's whole view of an order; one that is not ours is adopted."""
        account = order.account or default_account
        held = self._whose(order.client_order_id, order.order_id, account)
        if held is None:
            return self._adopt(order, account)
        self._tie(held, order.order_id)
        self._merge_terms(held, order)
        self._apply_update(
            held,
            OrderUpdate(
                status=order.status,
                filled_qty=order.filled_qty,
                avg_price=order.avg_price,
                reason=order.reason,
            ),
        )
        self._tell_news(held, note="update")
        if self._orphans:
            self._adopt_orphans(held)
        return held

    def _merge_terms(self, held: Held, order: Order) -> None:
        """Somebody changed it at the venue, or a change of ours went through unheard."""
        if held.changing is None:
            held.asked_qty = None
        mine = held.order
        terms = {"qty": order.qty, "price": order.price, "stop_price": order.stop_price}
        differs = {name: value for name, value in terms.items() if getattr(mine, name) != value}
        if not differs or held.changing is not None or mine.status.terminal or order.version < mine.version:
            return
        qty = order.qty
        version = max(order.version, mine.version + 1)
        leaves = left_of(qty, mine.filled_qty)
        self._put(held, {**differs, "version": version, "leaves_qty": leaves}, note="replaced")

    def _adopt(self, order: Order, account: str) -> Held:
        changes = {"account": account, "origin": Origin.EXTERNAL}
        name = order.client_order_id or f"external {order.order_id}"
        held = Held((account, name), request_of(order), evolved(order, changes))
        # What was filled before we knew of it is where its count begins.
        held.filled = order.filled_qty
        held.cost = EXACT.multiply(order.filled_qty, order.avg_price or ZERO)
        self._by_client[held.key] = held
        self.accounts_seen[account] = None
        if order.order_id is not None:
            self._by_venue[order.order_id] = held
        orders = self._open_of(account)
        if held.is_open:
            orders[held] = None
        else:
            self._has_ended(held)
        self._tell(held.order, note="external")
        return held

    def position(self, position: Position) -> None:
        """The venue's word on a position."""
        self.accounts_seen[position.account] = None
        self._tell(position, note="position")

    def balance(self, balance: Balance) -> None:
        """The venue's word on the money of an account."""
        self.accounts_seen[balance.account] = None
        self._tell(balance, note="balance")

    # -- what came before its order had an id ------------------------------------------------------

    def _adopt_orphans(self, held: Held) -> None:
        """What came before its order had an id: apply it now; when nothing is in flight, all of it."""
        orphans = tuple(self._orphans)
        self._orphans.clear()
        for orphan in orphans:
            if self.in_flight and orphan.order_id != held.order.order_id:
                self._orphans.append(orphan)
            elif isinstance(orphan, OrderUpdate):
                self.update(orphan)
            else:
                self.fill(orphan)


def _fill_of(fill: Fill, held: Held, *, late: bool) -> Fill:
    return replace(
        fill, client_order_id=fill.client_order_id or held.order.client_order_id, late=late or fill.late
    )
