"""
What is known of the orders of one broker id: it belongs to the host and outlives gateways.

    place ─▶ hold ─▶ intend (journal) ─▶ accepted │ refused │ doubted
    venue ─▶ fill, update, merge, reconcile ──▶ transitions ──▶ event log (journal, readers)

Lives on the home loop of its gateways: nothing here waits, and nothing here locks.

In four floors, each of which needs the ones below it only:

    Book    what we do: placing, changing
    Word    what the venue says
    Life    what may become of an order, and who is told
    Shelf   where everything stands
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from hotplug.brokers._events._log import EventLog
from hotplug.brokers._events._quotes import QuoteBoard
from hotplug.brokers._limits._limiter import Limiter
from hotplug.brokers._orders._held import Held, Phase, ack_of, acknowledged, order_of
from hotplug.brokers._orders._life import BEFORE_ACK, IN_CHANGE, REFUSAL
from hotplug.brokers._orders._recall import recall
from hotplug.brokers._orders._word import Word
from hotplug.brokers._settings import BookSettings
from hotplug.errors import BrokerError, OrderDenied
from hotplug.market import OrderStatus
from hotplug.market._exact import left_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from hotplug.brokers._events._journal import Journal
    from hotplug.market import Attribution, OrderRequest

__all__ = ["Book", "NoHalts"]

ZERO: Final = Decimal(0)
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


class Book(Word):
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
        super().__init__(EventLog(journal, keep=keep), clock)
        self.key: Final = key
        self.settings: BookSettings = settings or BookSettings()
        self.holder: str | None = None if journal is None else journal.holder
        self.limiter: Final = Limiter()
        self.quotes: Final = QuoteBoard()
        self.halts: Any = NoHalts()
        self.owner: object | None = None
        self.generations: int = 0
        self.max_orders: int = 250_000
        self.in_flight: int = 0
        self._placed_at: dict[str, deque[float]] = {}
        recall(self)

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
        now = self.time_of(held.account)
        self.log.append(held.order, generation=self.generation, note="intent", time=now, must=True)
        held.phase = _SENDING
        held.sent_at = self._clock()
        self.in_flight += 1
        if self.settings.limits.orders_per_minute is not None:
            self._placed_at.setdefault(held.account, deque()).append(held.sent_at)

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
            if order.status in BEFORE_ACK and held.ack is None:  # with an ack, a change is what is in doubt
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
        self.log.append(order, generation=self.generation, note="ack", time=now)
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

    # -- changing ----------------------------------------------------------------------------------

    def mark(self, held: Held, status: OrderStatus, *, note: str, reason: str | None = None) -> bool:
        """Let *held* go to *status*, if the table of transitions allows that."""
        return self._move(held, status, note=note, reason=reason)

    def back(self, held: Held, *, note: str) -> None:
        """The cancel or the change was refused: it rests as before."""
        held.asked_qty = None
        if held.order.status in IN_CHANGE:
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
        changes["leaves_qty"] = left_of(qty, total)
        if order.status is OrderStatus.PENDING_REPLACE:
            changes["status"] = OrderStatus.PARTIALLY_FILLED if total else OrderStatus.NEW
        self._put(held, changes, note="replaced")
        if total >= qty:
            self._move(held, OrderStatus.FILLED, note="replaced")

    def resolve(self, held: Held, status: OrderStatus, reason: str) -> bool:
        """An operator established what became of it."""
        return self._move(held, status, note="resolved", reason=reason)


def _resting(held: Held) -> OrderStatus:
    return OrderStatus.PARTIALLY_FILLED if held.order.filled_qty else OrderStatus.NEW
