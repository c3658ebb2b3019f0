"""What became of each of several orders: the order, or the error, which says whose it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotplug._lifecycle import name_and_text
from hotplug.errors import BrokerError, BrokerUnavailable

if TYPE_CHECKING:
    from hotplug.market import Order

__all__ = ["about", "result_of"]


def result_of(order: Order, answer: Order | BaseException) -> Order | BrokerError:
    """*answer* to what was asked of *order*: an order, or an error that names it."""
    if not isinstance(answer, BaseException):
        return answer
    if not isinstance(answer, BrokerError):
        answer = BrokerUnavailable(f"cancelling raised {name_and_text(answer)}", code="unexpected")
    return about(order, answer)


def about(order: Order, error: BrokerError) -> BrokerError:
    """*error* anew, as one that names *order* first."""
    named = type(error).__new__(type(error))
    BrokerError.__init__(
        named,
        f"order {(order.client_order_id or order.order_id)!r}: {error}",
        code=error.code,
        outcome=error.outcome,
        retryable=error.retryable,
        retry_after=error.retry_after,
        venue_code=error.venue_code,
    )
    named.__cause__ = error.__cause__
    return named
