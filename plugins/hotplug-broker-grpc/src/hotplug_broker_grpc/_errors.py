"""Broker errors as statuses and back: class, code, outcome and all that an error says survive the wire."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from hotplug import errors
from hotplug.errors import (
    AuthenticationError,
    BrokerError,
    BrokerUnavailable,
    DeadlineExceeded,
    DuplicateClientOrderId,
    GatewayNotReady,
    GatewayReplaced,
    Halted,
    InsufficientFunds,
    InvalidRequest,
    LiveRefused,
    MarketClosed,
    NotSupported,
    OrderBusy,
    OrderDenied,
    OrderNotFound,
    Outcome,
    PermissionDenied,
    RateLimited,
)
from hotplug_broker_grpc._codec import BadMessageError, Words
from hotplug_broker_grpc._wire import DecodeError, StatusCode, error_details_pb2, status_pb2
from hotplug_broker_grpc.stubs import broker_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hotplug_broker_grpc._wire import Metadata

__all__ = ["OUTCOMES", "detail_of", "error_from", "error_of", "status_of"]

OUTCOMES: Final = Words(Outcome)
DETAILS_KEY: Final = "grpc-status-details-bin"
TYPE_URL: Final = "type.googleapis.com/" + pb.BrokerErrorDetail.DESCRIPTOR.full_name

CODES: Final[dict[type[BrokerError], Any]] = {
    AuthenticationError: StatusCode.UNAUTHENTICATED,
    PermissionDenied: StatusCode.PERMISSION_DENIED,
    InvalidRequest: StatusCode.INVALID_ARGUMENT,
    OrderDenied: StatusCode.FAILED_PRECONDITION,
    InsufficientFunds: StatusCode.FAILED_PRECONDITION,
    OrderNotFound: StatusCode.NOT_FOUND,
    DuplicateClientOrderId: StatusCode.ALREADY_EXISTS,
    OrderBusy: StatusCode.ABORTED,
    MarketClosed: StatusCode.FAILED_PRECONDITION,
    NotSupported: StatusCode.UNIMPLEMENTED,
    RateLimited: StatusCode.RESOURCE_EXHAUSTED,
    BrokerUnavailable: StatusCode.UNAVAILABLE,
    DeadlineExceeded: StatusCode.DEADLINE_EXCEEDED,
    GatewayNotReady: StatusCode.FAILED_PRECONDITION,
    GatewayReplaced: StatusCode.ABORTED,
    LiveRefused: StatusCode.PERMISSION_DENIED,
    Halted: StatusCode.FAILED_PRECONDITION,
    BrokerError: StatusCode.UNKNOWN,
}


def _public_class(error: BrokerError) -> type[BrokerError]:
    """The nearest class that both sides know; a plugin's own ones do not travel."""
    return next(kind for kind in type(error).__mro__ if kind in CODES)


# -- out -------------------------------------------------------------------------------------------


def detail_of(error: BrokerError) -> pb.BrokerErrorDetail:
    """All that *error* says."""
    return pb.BrokerErrorDetail(
        kind=_public_class(error).__name__,
        message=_clean(error.message),
        code=_clean(error.code),
        outcome=OUTCOMES.encode(error.outcome),
        retryable=error.retryable,
        retry_after=error.retry_after,
        venue_code=None if error.venue_code is None else _clean(error.venue_code),
    )


def status_of(error: BrokerError) -> tuple[Any, str, Metadata]:
    """Code, message and trailers with which a call ends that failed with *error*."""
    code = CODES[_public_class(error)]
    message = _clean(str(error))
    status = status_pb2.Status(code=code.value[0], message=message)
    status.details.add(type_url=TYPE_URL, value=detail_of(error).SerializeToString())
    if (pause := error.retry_after) is not None and math.isfinite(pause):
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(round(pause * 1e9))
        status.details.add().Pack(retry)
    return code, message, ((DETAILS_KEY, status.SerializeToString()),)


def _clean(text: str) -> str:
    """*text* as UTF-8 can say it."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


# -- in --------------------------------------------------------------------------------------------


def error_of(detail: pb.BrokerErrorDetail) -> BrokerError:
    """The error that *detail* describes; its outcome is explicit."""
    kind = getattr(errors, detail.kind, BrokerError)
    known = isinstance(kind, type) and issubclass(kind, BrokerError)
    return (kind if known else BrokerError)(
        detail.message,
        code=detail.code,
        outcome=OUTCOMES.decode(detail.outcome),
        retryable=detail.retryable,
        retry_after=detail.retry_after if detail.HasField("retry_after") else None,
        venue_code=detail.venue_code if detail.HasField("venue_code") else None,
    )


def error_from(failure: Any, doing: str) -> BrokerError:
    """
    The error that a call's *failure* means.

    With our detail it is the one that was raised over there. Without, nobody knows what came of the call,
    whatever the status is called: the outcome is left open.
    """
    detail = _detail_in(failure.trailing_metadata() or ())
    if detail is not None:
        try:
            return error_of(detail)
        except BadMessageError:
            pass  # an outcome that is not known here says nothing
    code = failure.code()
    name = code.name if code is not None else "UNKNOWN"
    kind = _BARE.get(name, BrokerUnavailable)
    return kind(f"{doing}: {name}: {failure.details() or 'no reason given'}", code=f"grpc_{name.lower()}")


_BARE: Final[dict[str, type[BrokerError]]] = {
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "UNAUTHENTICATED": AuthenticationError,
    "PERMISSION_DENIED": AuthenticationError,
    "UNIMPLEMENTED": InvalidRequest,
    "INVALID_ARGUMENT": InvalidRequest,
    "INTERNAL": BrokerError,
    "UNKNOWN": BrokerError,
}


def _detail_in(trailers: Iterable[tuple[str, str | bytes]]) -> pb.BrokerErrorDetail | None:
    for key, value in trailers:
        if key == DETAILS_KEY:
            return _unpacked(value)
    return None


def _unpacked(value: Any) -> pb.BrokerErrorDetail | None:
    try:
        status = status_pb2.Status.FromString(value)
        packed = next((each.value for each in status.details if each.type_url == TYPE_URL), None)
        return None if packed is None else pb.BrokerErrorDetail.FromString(packed)
    except (DecodeError, TypeError):
        return None
