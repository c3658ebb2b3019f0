"""One order as the book holds it: what was asked, how it stands, who waits for the answer."""

from __future__ import annotations

from dataclasses import fields
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from hotplug.errors import BrokerError
from hotplug.market import Order, OrderAck, OrderRequest, OrderStatus, Origin

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from hotplug.market import Attribution

__all__ = ["Held", "Phase", "ack_of", "acknowledged", "again", "evolved", "order_of", "request_of"]

ZERO: Final = Decimal(0)
_FIELDS: Final = tuple(field.name for field in fields(Order))
_SHARED: Final = tuple(field.name for field in fields(OrderRequest))
_WRITER: Final = {name: vars(Order)[name].__set__ for name in _FIELDS}


def _writing(names: Iterable[str]) -> Callable[[Order, Any], None]:
    """
    A function that writes the fields *names* of what is given second into a new order.

    Spelled out line by line, as dataclasses makes its own functions: an order is copied at each of its steps,
    and a loop over names takes three times as long.
    """
    lines = [f"    write_{name}(new, old.{name})" for name in names]
    scope: dict[str, Any] = {f"write_{name}": write for name, write in _WRITER.items()}
    exec("\n".join(["def write(new, old):", *lines]), scope)  # noqa: S102 - of the names of our own fields
    write: Callable[[Order, Any], None] = scope["write"]
    return write


_copy_order: Final = _writing(_FIELDS)
_copy_request: Final = _writing(_SHARED)
_make: Final = object.__new__
_set_account: Final = _WRITER["account"]
_set_status: Final = _WRITER["status"]
_set_order_id: Final = _WRITER["order_id"]
_set_filled_qty: Final = _WRITER["filled_qty"]
_set_leaves_qty: Final = _WRITER["leaves_qty"]
_set_avg_price: Final = _WRITER["avg_price"]
_set_version: Final = _WRITER["version"]
_set_origin: Final = _WRITER["origin"]
_set_attribution: Final = _WRITER["attribution"]
_set_created_at: Final = _WRITER["created_at"]
_set_updated_at: Final = _WRITER["updated_at"]
_set_reason: Final = _WRITER["reason"]
_set_ack_client: Final = vars(OrderAck)["client_order_id"].__set__
_set_ack_order: Final = vars(OrderAck)["order_id"].__set__
_set_ack_status: Final = vars(OrderAck)["status"].__set__
_set_ack_time: Final = vars(OrderAck)["time"].__set__


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
    change asks for, as long as nobody knows whether it was made. *order* is replaced as a whole, so whoever
    reads it sees one instant.
    """

    # Defaults of the class, because most orders never come to differ from them.
    error: BrokerError | None = None
    ack: OrderAck | None = None
    filled = ZERO
    cost = ZERO
    said = ZERO
    sent_at = 0.0
    until = 0.0
    ended_at = 0.0
    asked_at = 0.0
    asked_qty: Decimal | None = None
    asks = 0
    cancel_wanted = False
    cancel_accepted = False
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

    def wake(self) -> None:
        """Let those go who wait for an answer."""
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


def order_of(request: OrderRequest, account: str, attribution: Attribution, now: datetime) -> Order:
    """The order that *request* becomes. The request was checked, so nothing is checked again."""
    order = _make(Order)
    _copy_request(order, request)
    _begin_order(order, (account, request.qty, attribution, now))
    return order


def _begin_order(order: Order, facts: tuple[str, Decimal, Attribution, datetime]) -> None:
    account, qty, attribution, now = facts
    _set_account(order, account)
    _set_status(order, OrderStatus.PENDING_NEW)
    _set_order_id(order, None)
    _set_filled_qty(order, ZERO)
    _set_leaves_qty(order, qty)
    _set_avg_price(order, None)
    _set_version(order, 1)
    _set_origin(order, Origin.OWN)
    _set_attribution(order, attribution)
    _set_created_at(order, now)
    _set_updated_at(order, now)
    _set_reason(order, None)


def acknowledged(order: Order, order_id: str | None, now: datetime) -> Order:
    """*order* as the venue has it now, under its id there."""
    new = _make(Order)
    _copy_order(new, order)
    _set_status(new, OrderStatus.NEW)
    _set_order_id(new, order_id)
    _set_updated_at(new, now)
    return new


def ack_of(order: Order, client_order_id: str, now: datetime) -> OrderAck:
    """The answer to who placed *order*; its facts were checked before."""
    ack = _make(OrderAck)
    _set_ack_client(ack, client_order_id)
    _set_ack_order(ack, order.order_id)
    _set_ack_status(ack, order.status)
    _set_ack_time(ack, now)
    return ack


def evolved(order: Order, changes: dict[str, Any]) -> Order:
    """*order* with *changes*, which are right already: ``dataclasses.replace`` takes five times as long."""
    new = _make(Order)
    _copy_order(new, order)
    for name, value in changes.items():
        _WRITER[name](new, value)
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
