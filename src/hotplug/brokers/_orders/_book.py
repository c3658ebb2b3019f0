"""
What is known of the orders of one broker id: it belongs to the host and outlives gateways.

    place ─▶ hold ─▶ intend (journal) ─▶ accepted │ refused │ doubted
    venue ─▶ fill, update, merge, reconcile ──▶ transitions ──▶ event log (journal, readers)

Lives on the home loop of its gateways: nothing here waits, and nothing here locks.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from hotplug import errors
from hotplug.brokers._events._log import EventLog
from hotplug.brokers._events._past import payloads
from hotplug.brokers._events._quotes import QuoteBoard
from hotplug.brokers._limits._limiter import Limiter
from hotplug.brokers._orders._held import Held, Phase, ack_of, acknowledged, evolved, order_of, request_of
from hotplug.brokers._orders._positions import Positions
from hotplug.brokers._settings import BookSettings
from hotplug.errors import BrokerError, OrderDenied, Outcome
from hotplug.market import (
    ORDER_TRANSITIONS,
    Fill,
    Order,
    OrderStatus,
    OrderUpdate,
    Origin,
    Position,
    Side,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from hotplug.brokers._events._journal import Journal
    from hotplug.market import Attribution, EventPayload, OrderRequest

__all__ = ["Book", "NoHalts"]

ZERO: Final = Decimal(0)
ANY_QTY: Final = Decimal("Infinity")
"""What a change asked for that was under way when the process ended."""
DAY: Final = 86_400.0
ORPHANS: Final = 10_000
REFUSAL: Final = "refusal"
"""The audit line that tells the whole error of a rejected order, of which the order has the text only."""
CORRECTION: Final = "correction"
_log = logging.getLogger("hotplug.brokers")
_RESTING: Final = frozenset({OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED})
_BEFORE_ACK: Final = frozenset({OrderStatus.PENDING_NEW, OrderStatus.UNKNOWN})
_ANSWERS: Final = _RESTING | {
    OrderStatus.FILLED,
    OrderStatus.CANCELED,
    OrderStatus.EXPIRED,
    OrderStatus.REJECTED,
}
_IN_CHANGE: Final = frozenset({OrderStatus.PENDING_CANCEL, OrderStatus.PENDING_REPLACE})


# On the way of each order: a member of an enum, looked up by its name, costs ten times a global.
_PENDING_NEW: Final = OrderStatus.PENDING_NEW
_WAITING: Final = Phase.WAITING
_SENDING: Final = Phase.SENDING
_SETTLED: Final = Phase.SETTLED


class NoHalts:
    """Nothing was ever halted."""

    def reason(self, key: str, user: str | None) -> str | None:  # noqa: ARG002
        """Why *key* is halted for *user*; it is not."""
        return None


class Book:
    """
    The orders, fills, events, limits and quotes of the broker id *key*.

    With a *journal* that has a past, every own order that had not ended is ``UNKNOWN`` until the venue is
    asked. *owner* is the gateway whose gate may be open: one at most at any instant.
    """

    def __init__(
        self,
        key: str,
        settings: BookSettings | None = None,
        journal: Journal | None = None,
        *,
        keep: int = 100_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.key: Final = key
        self.settings: BookSettings = settings or BookSettings()
        self.holder: str | None = None if journal is None else journal.holder
        self.log: Final = EventLog(journal, keep=keep)
        self.limiter: Final = Limiter()
        self.quotes: Final = QuoteBoard()
        self.halts: Any = NoHalts()
        self.owner: object | None = None
        self.time_of: Callable[[str], datetime] = _wall_time
        """What time it is for an account: a simulated venue has times of its own."""
        self.generations: int = 0
        self.generation: int = 0
        self.max_orders: int = 250_000
        self.counts: Final[Counter[str]] = Counter()
        self.in_flight: int = 0
        self.accounts_seen: Final[dict[str, None]] = {}
        self._clock: Final = clock
        self._by_client: dict[tuple[str, str], Held] = {}
        self._by_venue: dict[str, Held] = {}
        self._open: dict[str, dict[Held, None]] = {}
        self._ended: deque[Held] = deque()
        self._fills: deque[tuple[float, Fill]] = deque()
        self._trades: dict[tuple[str, str], None] = {}
        self._orphans: deque[Fill | OrderUpdate] = deque(maxlen=ORPHANS)
        self._placed_at: dict[str, deque[float]] = {}
        self.positions: Final = Positions()
        self._restore()

    # -- looking -----------------------------------------------------------------------------------

    def get(self, account: str, client_order_id: str) -> Held | None:
        """The order under that id of that account."""
        return self._by_client.get((account, client_order_id))

    def named(self, client_order_id: str | None, order_id: str | None) -> list[Held]:
        """The orders that these ids name: one, unless several accounts use one client id."""
        if order_id is not None:
            held = self._by_venue.get(order_id)
            fits = held is not None and client_order_id in {None, held.order.client_order_id}
            if held is not None and fits:
                return [held]
            if client_order_id is None:
                return []
        assert client_order_id is not None  # noqa: S101 - a reference has the one or the other
        found = [
            held
            for name in tuple(self._open)
            if (held := self._by_client.get((name, client_order_id))) is not None
        ]
        return [held for held in found if order_id is None or held.order.order_id in {None, order_id}]

    def open(self) -> Iterator[Held]:
        """Every order that has not ended, UNKNOWN ones included, by account and age."""
        for orders in tuple(self._open.values()):
            yield from tuple(orders)

    def open_count(self, account: str) -> int:
        """How many orders of an account have not ended."""
        return len(self._open.get(account, ()))

    def fills(self) -> Iterator[Fill]:
        """What was traded, as far back as it is kept, oldest first."""
        return (fill for _, fill in tuple(self._fills))

    def __len__(self) -> int:
        return len(self._by_client)

    # -- placing -----------------------------------------------------------------------------------

    def hold(self, request: OrderRequest, account: str, attribution: Attribution) -> Held:
        """A new order that nothing was sent of; raises `OrderDenied` where the table is full."""
        if self._ended:
            self._forget_ended()
        if len(self._by_client) >= self.max_orders:
            why = f"{self.key} holds {len(self._by_client)} orders, none of which may be forgotten yet"
            raise OrderDenied(why, code="book_full", outcome="NOT_SENT", retryable=True)
        held = Held(
            (account, request.client_order_id),
            request,
            order_of(request, account, attribution, self.time_of(account)),
            _WAITING,
        )
        self._by_client[held.key] = held
        self._open_of(account)[held] = None
        return held

    def intend(self, held: Held) -> None:
        """Write down that it is about to be sent; an `OSError` means that it must not be."""
        self.log.append(held.order, generation=self.generation, note="intent", must=True)
        held.phase = _SENDING
        held.sent_at = now = self._clock()
        self.in_flight += 1
        if self.settings.limits.orders_per_minute is not None:
            self._placed_at.setdefault(held.account, deque()).append(now)

    def placed_lately(self, account: str) -> int:
        """How many orders of an account were sent within a minute."""
        sent = self._placed_at.get(account, deque[float]())
        oldest = self._clock() - 60.0
        while sent and sent[0] <= oldest:
            sent.popleft()
        return len(sent)

    def landed(self, held: Held) -> None:
        """``_place`` came back, however it did."""
        self.in_flight -= 1
        if not self.in_flight and self._orphans:
            self._adopt_orphans(held)

    def accepted(self, held: Held, order_id: str | None) -> None:
        """The venue has it."""
        order = held.order
        if order.status is _PENDING_NEW and order.order_id is None:
            self._accepted_at_once(held, order_id)
        else:
            self._tie(held, order_id)
            if order.status in _BEFORE_ACK and held.ack is None:  # with an ack, a change is what is in doubt
                self._move(held, _resting(held), note="ack")
            if held.ack is None or held.order.status is not OrderStatus.REJECTED:
                self._settle(held)
            self._tell_news(held, note="ack")
        if self._orphans:
            self._adopt_orphans(held)

    def _accepted_at_once(self, held: Held, order_id: str | None) -> None:
        """The usual way, in one step: nothing was heard of it before."""
        now = self.time_of(held.key[0])
        if order_id is not None:
            self._by_venue[order_id] = held
        held.order = order = acknowledged(held.order, order_id, now)
        self.log.append(order, generation=self.generation, note="ack")
        held.ack = ack_of(order, held.key[1], now)
        held.error, held.phase = None, _SETTLED
        if held.waiters:
            held.wake()

    def refused(self, held: Held, error: BrokerError) -> None:
        """The venue refused it: the same id gives the same error from now on."""
        held.error, held.phase = error, Phase.SETTLED
        self._move(held, OrderStatus.REJECTED, note="rejected", reason=error.message)
        with suppress(OSError):  # the order itself is written down, or waits to be
            self.log.record(
                REFUSAL,
                account=held.account,
                client_order_id=held.key[1],
                type=type(error).__name__,
                code=error.code,
                venue_code=error.venue_code,
            )
        held.wake()

    def doubted(self, held: Held, error: BrokerError) -> None:
        """Nobody knows whether the venue has it: `UNKNOWN` until a report, a query or an operator says."""
        held.error = error
        if held.order.status in {OrderStatus.PENDING_NEW, OrderStatus.PENDING_CANCEL}:
            held.phase = Phase.UNKNOWN
            self._move(held, OrderStatus.UNKNOWN, note="unknown", reason=error.message)
        held.wake()

    def not_sent(self, held: Held, error: BrokerError) -> None:
        """It never left: the id is free again."""
        held.error, held.phase = error, Phase.SETTLED
        self._move(held, OrderStatus.DENIED, note="denied", reason=error.message)
        self._by_client.pop(held.key, None)
        held.wake()

    def _acknowledge(self, held: Held) -> None:
        order = held.order
        held.ack = ack_of(order, held.key[1], order.updated_at or self.time_of(held.account))

    # -- changing ----------------------------------------------------------------------------------

    def mark(self, held: Held, status: OrderStatus, *, note: str, reason: str | None = None) -> bool:
        """Let *held* go to *status*, if the table of transitions allows that."""
        return self._move(held, status, note=note, reason=reason)

    def back(self, held: Held, *, note: str) -> None:
        """The cancel or the change was refused: it rests as before."""
        held.asked_qty = None
        if held.order.status in _IN_CHANGE:
            # One that was never acknowledged is no more known to stand than before.
            known = held.ack is not None
            self._move(held, _resting(held) if known else OrderStatus.UNKNOWN, note=note)
        if held.is_open and max(held.filled, held.said) >= held.order.qty:
            self._move(held, OrderStatus.FILLED, note=note)

    def changed(self, held: Held, order_id: str | None, changes: dict[str, Any]) -> None:
        """The venue changed it: new figures, the next version, perhaps a new id."""
        self._tie(held, order_id)
        held.asked_qty = None
        order = held.order
        if order.status.terminal:
            self._tell_news(held, note="replaced")
            return
        changes = {**changes, "version": order.version + 1}
        qty = changes.get("qty", order.qty)
        total = max(held.filled, held.said)
        changes["leaves_qty"] = max(qty - total, ZERO)
        if order.status is OrderStatus.PENDING_REPLACE:
            changes["status"] = OrderStatus.PARTIALLY_FILLED if total else OrderStatus.NEW
        self._put(held, changes, note="replaced")
        if total >= qty:
            self._move(held, OrderStatus.FILLED, note="replaced")

    # -- what the venue says -----------------------------------------------------------------------

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
            held.filled += fill.qty
            held.cost += fill.qty * fill.price
            self._count(held, note="fill")

    def _count(self, held: Held, *, note: str, avg_price: Decimal | None = None) -> None:
        """What was filled has grown: let figures and status say so."""
        order = held.order
        total = max(held.filled, held.said)
        average = held.cost / held.filled if held.filled and held.filled >= held.said else avg_price
        figures: dict[str, Any] = {"filled_qty": total, "avg_price": average or order.avg_price}
        if total >= max(order.qty, held.asked_qty or ZERO):
            status = OrderStatus.FILLED
        elif order.status in _IN_CHANGE:
            status = order.status
        else:
            status = OrderStatus.PARTIALLY_FILLED if total else order.status
        if order.status.terminal or status is order.status:
            self._put(held, figures, note=note)
        else:
            self._move(held, status, note=note, more=figures)

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
        if status in _RESTING and self._is_changing(held):
            status = held.order.status
        if status is OrderStatus.FILLED and held.asked_qty is not None and held.is_open:
            # By less or more than we knew of: so the change that nobody answered was made.
            self._put(held, {"qty": total, "version": held.order.version + 1}, note="replaced")
        if total != held.order.filled_qty:
            self._count(held, note="update", avg_price=said.avg_price)
        if status is held.order.status or (held.order.status is OrderStatus.FILLED and status in _RESTING):
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
        held.cost = filled * (price or held.order.avg_price or ZERO)
        held.is_corrected = True
        qty, cost = filled - qty, held.cost - cost
        if qty:
            buys = held.order.side is Side.BUY
            self.positions.trade(held.account, held.order.symbol, qty if buys else -qty, cost / qty)

    def _is_changing(self, held: Held) -> bool:
        """A cancel or a change is under way: that it still rests is no news."""
        status = held.order.status
        busy = held.cancelling or held.cancel_wanted or held.cancel_accepted
        return (status is OrderStatus.PENDING_CANCEL and bool(busy)) or (
            status is OrderStatus.PENDING_REPLACE and held.changing is not None
        )

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
        leaves = max(qty - mine.filled_qty, ZERO)
        self._put(held, {**differs, "version": version, "leaves_qty": leaves}, note="replaced")

    def _adopt(self, order: Order, account: str) -> Held:
        changes = {"account": account, "origin": Origin.EXTERNAL}
        name = order.client_order_id or f"external {order.order_id}"
        held = Held((account, name), request_of(order), evolved(order, changes))
        # What was filled before we knew of it is where its count begins.
        held.filled = order.filled_qty
        held.cost = order.filled_qty * (order.avg_price or ZERO)
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

    def resolve(self, held: Held, status: OrderStatus, reason: str) -> bool:
        """An operator established what became of it."""
        return self._move(held, status, note="resolved", reason=reason)

    # -- the life of an order ----------------------------------------------------------------------

    def _move(
        self,
        held: Held,
        status: OrderStatus,
        *,
        note: str,
        reason: str | None = None,
        more: dict[str, Any] | None = None,
    ) -> bool:
        old = held.order.status
        if status not in ORDER_TRANSITIONS[old]:
            self.counts["late updates"] += 1
            return False
        changes = more or {}
        changes["status"] = status
        if reason is not None:
            changes["reason"] = reason
        self._put(held, changes, note=note)
        if old in _BEFORE_ACK and status in _ANSWERS:
            self._settle(held)
        return True

    def _settle(self, held: Held) -> None:
        """The outcome of its placing is established: whoever waits for it, or asks again, is told."""
        if held.order.status is OrderStatus.REJECTED:
            if held.error is None or held.error.outcome is not Outcome.REJECTED:
                held.error = _rejection(held.order.reason)
        else:
            held.error = None
            if held.ack is None:
                self._acknowledge(held)
        held.phase = Phase.SETTLED
        if held.waiters:
            held.wake()

    def _put(self, held: Held, changes: dict[str, Any], *, note: str) -> None:
        changes["updated_at"] = self.time_of(held.account)
        status = changes.get("status", held.order.status)
        if status.terminal:
            changes["leaves_qty"] = ZERO
        elif "filled_qty" in changes:
            changes["leaves_qty"] = max(held.order.qty - changes["filled_qty"], ZERO)
        was_open = held.is_open
        held.order = order = evolved(held.order, changes)
        held.has_news = False
        if was_open and status.terminal:
            self._open_of(held.account).pop(held, None)
            self._has_ended(held)
        self._tell(order, note=note)

    def _tell(self, payload: EventPayload, *, note: str) -> None:
        self.log.append(payload, generation=self.generation, note=note)

    def _tie(self, held: Held, order_id: str | None) -> None:
        """*held* is known to the venue as *order_id*; ids it had before still name it."""
        if order_id is None or held.order.order_id == order_id:
            return
        if held.order.order_id is not None:
            if self._by_venue.get(order_id) is held:
                return  # an older id of it
            held.aliases = (*held.aliases, held.order.order_id)
        self._by_venue[order_id] = held
        held.order = evolved(held.order, {"order_id": order_id})
        held.has_news = True

    def _tell_news(self, held: Held, *, note: str) -> None:
        """An id that nothing else told of is an event as well: the journal must know it after a restart."""
        if held.has_news:
            held.has_news = False
            self._tell(held.order, note=note)

    def _whose(self, client_order_id: str | None, order_id: str | None, account: str | None) -> Held | None:
        if order_id is not None and (held := self._by_venue.get(order_id)) is not None:
            return held
        if client_order_id is None:
            return None
        if account is not None:
            return self._by_client.get((account, client_order_id))
        found = self.named(client_order_id, None)
        if len(found) > 1:
            found = [held for held in found if held.is_open and held.order.order_id is None] or found
        if len(found) > 1:
            self.counts["ambiguous updates"] += 1
        return found[0] if len(found) == 1 else None

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

    def _open_of(self, account: str) -> dict[Held, None]:
        found = self._open.get(account)
        if found is None:
            found = self._open[account] = {}
        return found

    # -- forgetting --------------------------------------------------------------------------------

    def _has_ended(self, held: Held) -> None:
        held.ended_at = self._clock()
        self._ended.append(held)

    def _forget_ended(self) -> None:
        """Terminal orders and fills stay for a day at least."""
        oldest = self._clock() - DAY
        while self._ended and self._ended[0].ended_at < oldest:
            held = self._ended.popleft()
            if self._by_client.get(held.key) is held:
                del self._by_client[held.key]
            for order_id in (held.order.order_id, *held.aliases):
                if order_id is not None and self._by_venue.get(order_id) is held:
                    del self._by_venue[order_id]
        while self._fills and self._fills[0][0] < oldest:
            _, fill = self._fills.popleft()
            self._trades.pop((fill.account, fill.trade_id), None)

    # -- what was before ---------------------------------------------------------------------------

    def _restore(self) -> None:
        """Read the journal: what had not ended has an outcome that nobody knows."""
        for line in self.log.lines():
            for payload, note in payloads([line]):
                if isinstance(payload, Order):
                    self._remember(payload, is_correction=note == CORRECTION)
                elif isinstance(payload, Fill):
                    self._remember_fill(payload)
            if line.get("event") == REFUSAL:
                self._remember_refusal(line)
        for held in self.open():
            if held.is_own:
                held.phase = Phase.UNKNOWN
                held.sent_at = self._clock()  # at the latest: what is final after a time counts from now
                why = "the process ended before the outcome was known here"
                held.error = BrokerError(why, code="restarted", outcome="UNKNOWN")
                if self.holder is None and held.order.status is not OrderStatus.UNKNOWN:
                    self._move(held, OrderStatus.UNKNOWN, note="restart", reason=why)
        if self.log.journal.outgrown:
            self._begin_anew()

    def _begin_anew(self) -> None:
        """
        The journal has grown too large: the old file is kept beside, what still counts goes into a new one.

        Orders as they stand, without those that ended more than a day ago; and all fills, because positions
        are made of them.
        """
        oldest = datetime.now(UTC) - timedelta(seconds=DAY)
        orders = [held.order for held in self._by_client.values()]
        counting = [
            each for each in orders if not each.status.terminal or (each.updated_at or oldest) > oldest
        ]
        # After the fills: what those add up to is not so.
        corrected = [held for held in self._by_client.values() if held.is_corrected]
        corrections = [
            {"event": "Order", "time": datetime.now(UTC), "payload": order, "note": CORRECTION}
            for order in (evolved(held.order, {"filled_qty": held.filled}) for held in corrected)
        ]
        as_they_stand = [held.order for held in corrected]
        try:
            self.log.rotate([*counting, *self.fills(), *corrections, *as_they_stand])
        except OSError as error:
            _log.warning("%s: its journal is too large, and no new one can be begun: %s", self.key, error)

    def _remember(self, order: Order, *, is_correction: bool) -> None:
        account = order.account or ""
        name = order.client_order_id or f"external {order.order_id}"
        held = self._by_client.get((account, name))
        if order.status is OrderStatus.DENIED:
            if held is not None:
                self._by_client.pop(held.key)
                self._open_of(account).pop(held, None)
            return
        if held is None or (held.order.status.terminal and order.status is OrderStatus.PENDING_NEW):
            held = Held((account, name), request_of(order), order)
            self._by_client[held.key] = held
            self._open_of(account)[held] = None
        if order.status is OrderStatus.PENDING_REPLACE:
            held.asked_qty = ANY_QTY
        elif order.version > held.order.version:
            held.asked_qty = None
        if is_correction:
            self._correct(held, order.filled_qty, order.avg_price)
        held.order = order
        held.said = max(held.said, order.filled_qty)
        self.accounts_seen[account] = None
        if order.order_id is not None:
            self._by_venue[order.order_id] = held
        if order.status.terminal and held in self._open_of(account):
            self._open_of(account).pop(held)
            self._has_ended(held)
        self._remember_answer(held)

    def _remember_answer(self, held: Held) -> None:
        order = held.order
        if order.status is OrderStatus.REJECTED:
            held.error = _rejection(order.reason)
        elif held.ack is None and (order.status in _ANSWERS or order.order_id is not None):
            # Not so PENDING_CANCEL alone: a cancel may have come before any ack.
            self._acknowledge(held)

    def _remember_refusal(self, said: Mapping[str, Any]) -> None:
        held = self._by_client.get((str(said.get("account")), str(said.get("client_order_id"))))
        kind = getattr(errors, str(said.get("type")), None)
        if (
            held is None
            or held.error is None
            or not (isinstance(kind, type) and issubclass(kind, BrokerError))
        ):
            return
        held.error = kind(
            held.error.message,
            code=str(said.get("code", "")),
            outcome="REJECTED",
            venue_code=None if said.get("venue_code") is None else str(said["venue_code"]),
        )

    def _remember_fill(self, fill: Fill) -> None:
        if (fill.account, fill.trade_id) in self._trades:
            return
        self._trades[fill.account, fill.trade_id] = None
        self._fills.append((self._clock(), fill))
        self.positions.add(fill)
        held = self._whose(fill.client_order_id, fill.order_id, fill.account)
        if held is not None:
            held.filled += fill.qty
            held.cost += fill.qty * fill.price


def _rejection(reason: str | None) -> BrokerError:
    return BrokerError(reason or "the venue rejected it", code="rejected", outcome="REJECTED")


def _wall_time(account: str) -> datetime:  # noqa: ARG001
    return datetime.now(UTC)


def _resting(held: Held) -> OrderStatus:
    return OrderStatus.PARTIALLY_FILLED if held.order.filled_qty else OrderStatus.NEW


def _fill_of(fill: Fill, held: Held, *, late: bool) -> Fill:
    from dataclasses import replace

    return replace(
        fill, client_order_id=fill.client_order_id or held.order.client_order_id, late=late or fill.late
    )
