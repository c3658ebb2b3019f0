"""What a book knows of the time before its process: its journal, read once from the beginning."""

# pyright: reportPrivateUsage=false
# The book's own past: nobody else writes into a book without an event.

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from hotplug import errors
from hotplug.brokers._events._past import payloads
from hotplug.brokers._orders._held import Held, Phase, evolved, request_of
from hotplug.brokers._orders._life import ANSWERS, CORRECTION, REFUSAL, rejection
from hotplug.brokers._orders._shelf import DAY
from hotplug.errors import BrokerError
from hotplug.market import Fill, Order, OrderStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplug.brokers._orders._book import Book

__all__ = ["recall"]

ANY_QTY: Final = Decimal("Infinity")
"""What a change asked for that was under way when the process ended."""
_log = logging.getLogger("hotplug.brokers")


def recall(book: Book) -> None:
    """Bring *book* to where its journal ends: what was open then has an outcome that nobody knows."""
    for line in book.log.lines():
        for payload, note in payloads([line]):
            if isinstance(payload, Order):
                _remember(book, payload, is_correction=note == CORRECTION)
            elif isinstance(payload, Fill):
                _remember_fill(book, payload)
        if line.get("event") == REFUSAL:
            _remember_refusal(book, line)
    for held in book.open():
        if held.is_own:
            held.phase = Phase.UNKNOWN
            held.sent_at = book._clock()  # at the latest: what is final after a time counts from now
            why = "the process ended before the outcome was known here"
            held.error = BrokerError(why, code="restarted", outcome="UNKNOWN")
            if book.holder is None and held.order.status is not OrderStatus.UNKNOWN:
                book._move(held, OrderStatus.UNKNOWN, note="restart", reason=why)
    if book.log.journal.outgrown:
        _begin_anew(book)


def _remember(book: Book, order: Order, *, is_correction: bool) -> None:
    account = order.account or ""
    name = order.client_order_id or f"external {order.order_id}"
    held = book._by_client.get((account, name))
    if order.status is OrderStatus.DENIED:
        if held is not None:
            book._by_client.pop(held.key)
            book._open_of(account).pop(held, None)
        return
    if held is None or (held.order.status.terminal and order.status is OrderStatus.PENDING_NEW):
        held = Held((account, name), request_of(order), order)
        book._by_client[held.key] = held
        book._open_of(account)[held] = None
    if order.status is OrderStatus.PENDING_REPLACE:
        held.asked_qty = ANY_QTY
    elif order.version > held.order.version:
        held.asked_qty = None
    if is_correction:
        book._correct(held, order.filled_qty, order.avg_price)
    held.order = order
    held.said = max(held.said, order.filled_qty)
    book.accounts_seen[account] = None
    if order.order_id is not None:
        book._by_venue[order.order_id] = held
    if order.status.terminal and held in book._open_of(account):
        book._open_of(account).pop(held)
        book._has_ended(held)
    _remember_answer(book, held)


def _remember_answer(book: Book, held: Held) -> None:
    order = held.order
    if order.status is OrderStatus.REJECTED:
        held.error = rejection(order.reason)
    elif held.ack is None and (order.status in ANSWERS or order.order_id is not None):
        # Not so PENDING_CANCEL alone: a cancel may have come before any ack.
        book._acknowledge(held)


def _remember_refusal(book: Book, said: Mapping[str, Any]) -> None:
    held = book._by_client.get((str(said.get("account")), str(said.get("client_order_id"))))
    kind = getattr(errors, str(said.get("type")), None)
    if held is None or held.error is None or not (isinstance(kind, type) and issubclass(kind, BrokerError)):
        return
    held.error = kind(
        held.error.message,
        code=str(said.get("code", "")),
        outcome="REJECTED",
        venue_code=None if said.get("venue_code") is None else str(said["venue_code"]),
    )


def _remember_fill(book: Book, fill: Fill) -> None:
    if (fill.account, fill.trade_id) in book._trades:
        return
    book._trades[fill.account, fill.trade_id] = None
    book._fills.append((book._clock(), fill))
    book.positions.add(fill)
    held = book._whose(fill.client_order_id, fill.order_id, fill.account)
    if held is not None:
        held.traded(fill)


def _begin_anew(book: Book) -> None:
    """
    The journal has grown too large: the old file is kept beside, what still counts goes into a new one.

    Orders as they stand, without those that ended more than a day ago; and all fills, because positions
    are made of them.
    """
    oldest = datetime.now(UTC) - timedelta(seconds=DAY)
    orders = [held.order for held in book._by_client.values()]
    counting = [each for each in orders if not each.status.terminal or (each.updated_at or oldest) > oldest]
    # After the fills: what those add up to is not so.
    corrected = [held for held in book._by_client.values() if held.is_corrected]
    corrections = [
        {"event": "Order", "time": datetime.now(UTC), "payload": order, "note": CORRECTION}
        for order in (evolved(held.order, {"filled_qty": held.filled}) for held in corrected)
    ]
    as_they_stand = [held.order for held in corrected]
    try:
        book.log.rotate([*counting, *book.fills(), *corrections, *as_they_stand])
    except OSError as error:
        _log.warning("%s: its journal is too large, and no new one can be begun: %s", book.key, error)
