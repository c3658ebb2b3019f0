"""What an order may become, and that whoever is concerned is told."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from hotplug.brokers._orders._held import Phase, ack_of, evolved
from hotplug.brokers._orders._shelf import Shelf
from hotplug.errors import BrokerError, Outcome
from hotplug.market import ORDER_TRANSITIONS, OrderStatus
from hotplug.market._exact import left_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from hotplug.brokers._events._log import EventLog
    from hotplug.brokers._orders._held import Held
    from hotplug.market import Balance, Fill, Order, Position

__all__ = ["ANSWERS", "BEFORE_ACK", "CORRECTION", "IN_CHANGE", "Life", "REFUSAL", "RESTING", "rejection"]

ZERO: Final = Decimal(0)
REFUSAL: Final = "refusal"
"""The audit line that tells the whole error of a rejected order, of which the order has the text only."""
CORRECTION: Final = "correction"
"""The note of the one event that may lower what was filled."""
RESTING: Final = frozenset({OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED})
BEFORE_ACK: Final = frozenset({OrderStatus.PENDING_NEW, OrderStatus.UNKNOWN})
ANSWERS: Final = RESTING | {
    OrderStatus.FILLED,
    OrderStatus.CANCELED,
    OrderStatus.EXPIRED,
    OrderStatus.REJECTED,
}
IN_CHANGE: Final = frozenset({OrderStatus.PENDING_CANCEL, OrderStatus.PENDING_REPLACE})


class Life(Shelf):
    """
    The orders of a shelf, each going its way by the table of transitions.

    Each step is an event in *log*, of the generation whose gate is open.
    """

    def __init__(self, log: EventLog, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self.log: Final = log
        self.generation: int = 0
        self.counts: Final[Counter[str]] = Counter()
        self.time_of: Callable[[str], datetime] = _wall_time
        """What time it is for an account: a simulated venue has times of its own."""

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
        if old in BEFORE_ACK and status in ANSWERS:
            self._settle(held)
        return True

    def _settle(self, held: Held) -> None:
        """The outcome of its placing is established: whoever waits for it, or asks again, is told."""
        if held.order.status is OrderStatus.REJECTED:
            if held.error is None or held.error.outcome is not Outcome.REJECTED:
                held.error = rejection(held.order.reason)
        else:
            held.error = None
            if held.ack is None:
                self._acknowledge(held)
        held.phase = Phase.SETTLED
        if held.waiters:
            held.wake()

    def _acknowledge(self, held: Held) -> None:
        order = held.order
        held.ack = ack_of(order, held.key[1], order.updated_at or self.time_of(held.account))

    def _put(self, held: Held, changes: dict[str, Any], *, note: str) -> None:
        changes["updated_at"] = self.time_of(held.account)
        status = changes.get("status", held.order.status)
        if status.terminal:
            changes["leaves_qty"] = ZERO
        elif "filled_qty" in changes:
            changes["leaves_qty"] = left_of(held.order.qty, changes["filled_qty"])
        was_open = held.is_open
        held.order = order = evolved(held.order, changes)
        held.has_news = False
        if was_open and status.terminal:
            self._open_of(held.account).pop(held, None)
            self._has_ended(held)
        self._tell(order, note=note)

    def _tell(self, payload: Order | Fill | Position | Balance, *, note: str) -> None:
        # By the account's own time, as its records are: what a simulated venue tells is the same each time.
        now = self.time_of(payload.account or "")
        self.log.append(payload, generation=self.generation, note=note, time=now)

    # -- names at the venue ------------------------------------------------------------------------

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


def rejection(reason: str | None) -> BrokerError:
    """The error of an order that the venue rejected for *reason*."""
    return BrokerError(reason or "the venue rejected it", code="rejected", outcome="REJECTED")


def _wall_time(account: str) -> datetime:  # noqa: ARG001
    return datetime.now(UTC)
