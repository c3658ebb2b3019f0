"""One order as the book holds it: what was asked, how it stands, who waits for the answer."""

from __future__ import annotations

from dataclasses import fields
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from hotplug.brokers._events._drafts import copier_of, drafts_of
from hotplug.errors import BrokerError
from hotplug.market import Order, OrderAck, OrderRequest, OrderStatus, Origin
from hotplug.market._exact import EXACT

if TYPE_CHECKING:
    import asyncio
    from datetime import datetime

    from hotplug.errors import Outcome
    from hotplug.market import Attribution, Fill

__all__ = [
    "Held",
    "Phase",
    "ack_of",
    "acknowledged",
    "again",
    "evolved",
    "order_of",
    "request_of",
    "with_outcome",
]

ZERO: Final = Decimal(0)
_SHARED: Final = tuple(field.name for field in fields(OrderRequest))
_PENDING_NEW: Final = OrderStatus.PENDING_NEW
_NEW: Final = OrderStatus.NEW
_OWN: Final = Origin.OWN
_OrderDraft: Final = drafts_of(Order)
_AckDraft: Final = drafts_of(OrderAck)
_copy_order: Final = copier_of(Order)
_copy_request: Final = copier_of(OrderRequest)


class Phase(Enum):
    """How far the placing of an order is."""

    WAITING = "waiting"
    """Nothing was sent: checks, limits."""
    SENDING = "sending"
    """``_place`` was entered, and has not come back."""
    SETTLED = "settled"
    """There is an answer: the ack, or an error; or the order is not ours."""
    UNKNOWN = "unknown"
    """It may or may not stand at the venue."""


class Held:
    """
    An order in the book.

    *filled* and *cost* sum up its fills, *said* is the venue's own cumulative figure. *asked_qty* is what a
    change asks for, as long as nobody knows whether it was made. *has_news* is that no event told of its
    newest id at the venue yet. *order* is replaced as a whole, so whoever reads it sees one instant.
    """

    # Defaults of the class, because most orders never come to differ from them.
    error: BrokerError | None = None
    ack: OrderAck | None = None
    filled: Decimal = ZERO
    cost: Decimal = ZERO
    said: Decimal = ZERO
    sent_at: float = 0.0
    until: float = 0.0
    ended_at: float = 0.0
    asked_at: float = 0.0
    asked_qty: Decimal | None = None
    asks: int = 0
    cancel_wanted: bool = False
    cancel_accepted: bool = False
    has_news: bool = False
    is_corrected = False
    aliases: tuple[str, ...] = ()
    task: asyncio.Future[None] | None = None
    cancelling: asyncio.Task[None] | None = None
    changing: asyncio.Task[None] | None = None

    def __init__(
        self,
        key: tuple[str, str],
        request: OrderRequest,
        order: Order,
        phase: Phase = Phase.SETTLED,
    ) -> None:
        self.key: Final = key
        self.request: Final = request
        self.order = order
        self.phase = phase
        self.waiters: list[asyncio.Future[None]] = []

    @property
    def account(self) -> str:
        """Whose it is."""
        return self.key[0]

    @property
    def is_open(self) -> bool:
        """It may still trade, as far as we know."""
        return not self.order.status.terminal

    @property
    def is_own(self) -> bool:
        """It was placed by this host."""
        return self.order.origin is Origin.OWN

    def asks_the_same(self, request: OrderRequest) -> bool:
        """Whether *request* is the one that this order came of."""
        mine = self.request
        return request == mine or all(
            getattr(request, name) == getattr(mine, name)
            for name in _SHARED
            if name != "account" or (request.account and mine.account)
        )

    def traded(self, fill: Fill) -> None:
        """Count *fill* in."""
        self.filled = EXACT.add(self.filled, fill.qty)
        self.cost = EXACT.fma(fill.qty, fill.price, self.cost)

    def wake(self) -> None:
        """Let those go who wait for an answer."""
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


def order_of(request: OrderRequest, account: str, attribution: Attribution, now: datetime) -> Order:
    """The order that *request* becomes. The request was checked, so nothing is checked again."""
    draft = _OrderDraft()
    _copy_request(draft, request)
    draft.account = account
    draft.status = _PENDING_NEW
    draft.order_id = draft.avg_price = draft.reason = None
    draft.filled_qty = ZERO
    draft.leaves_qty = request.qty
    draft.version = 1
    draft.origin = _OWN
    draft.attribution = attribution
    draft.created_at = draft.updated_at = now
    draft.__class__ = Order
    order: Order = draft
    return order


def acknowledged(order: Order, order_id: str | None, now: datetime) -> Order:
    """*order* as the venue has it now, under its id there."""
    draft = _OrderDraft()
    _copy_order(draft, order)
    draft.status = _NEW
    draft.order_id = order_id
    draft.updated_at = now
    draft.__class__ = Order
    new: Order = draft
    return new


def ack_of(order: Order, client_order_id: str, now: datetime) -> OrderAck:
    """The answer to who placed *order*; its facts were checked before."""
    draft = _AckDraft()
    draft.client_order_id = client_order_id
    draft.order_id = order.order_id
    draft.status = order.status
    draft.time = now
    draft.__class__ = OrderAck
    ack: OrderAck = draft
    return ack


def evolved(order: Order, changes: dict[str, Any]) -> Order:
    """*order* with *changes*, which are right already."""
    draft = _OrderDraft()
    _copy_order(draft, order)
    for name, value in changes.items():
        setattr(draft, name, value)
    draft.__class__ = Order
    new: Order = draft
    return new


def request_of(order: Order) -> OrderRequest:
    """What was asked for, to be told from other orders under the same id."""
    asked = {name: getattr(order, name) for name in _SHARED}
    asked["client_order_id"] = order.client_order_id or order.order_id or ""
    return OrderRequest(**asked)


def again(error: BrokerError) -> BrokerError:
    """The same error anew: one that is raised twice collects tracebacks, and all that they keep alive."""
    new = type(error).__new__(type(error))
    BrokerError.__init__(
        new,
        error.message,
        code=error.code,
        outcome=error.outcome,
        retryable=error.retryable,
        retry_after=error.retry_after,
        venue_code=error.venue_code,
    )
    new.__cause__ = error.__cause__
    return new


def with_outcome(error: BrokerError, outcome: Outcome) -> BrokerError:
    """The same error anew, by one who knows its outcome better."""
    new = again(error)
    object.__setattr__(new, "outcome", outcome)
    new.__cause__ = error
    return new
