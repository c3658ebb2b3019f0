"""
What an exception out of ccxt says of an order.

The class is ccxt's word for the matter, and becomes ours. The outcome needs evidence, which the `Letter` has:

    nothing was sent, or no connection was made                    NOT_SENT
    429, 418: the venue counts, and did not look                    REJECTED
    4xx, or a reply that names a refusal                            REJECTED
    no reply, 5xx, 408, 409, a reply that says it does not know     UNKNOWN

5xx is documented so, by Binance for one: "the execution status is UNKNOWN and could have been a success".
A duplicate client id means that an order with that id stands there, most likely ours: UNKNOWN too. Without
any reply the outcome is left implicit: the call may still be under way.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, cast

from hotplug.errors import (
    AuthenticationError,
    BrokerError,
    BrokerUnavailable,
    DeadlineExceeded,
    DuplicateClientOrderId,
    InsufficientFunds,
    InvalidRequest,
    MarketClosed,
    NotSupported,
    OrderNotFound,
    Outcome,
    PermissionDenied,
    RateLimited,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplug_broker_ccxt._venues import Venue
    from hotplug_broker_ccxt._wire import Letter

__all__ = ["outcome_of", "scrubbed", "translated"]

_CLASSES: Final[Mapping[str, type[BrokerError]]] = {
    "AuthenticationError": AuthenticationError,
    "PermissionDenied": PermissionDenied,
    "AccountNotEnabled": PermissionDenied,
    "AccountSuspended": PermissionDenied,
    "ArgumentsRequired": InvalidRequest,
    "BadRequest": InvalidRequest,
    "BadSymbol": InvalidRequest,
    "OperationRejected": InvalidRequest,
    "NoChange": InvalidRequest,
    "MarginModeAlreadySet": InvalidRequest,
    "MarketClosed": MarketClosed,
    "ManualInteractionNeeded": PermissionDenied,
    "RestrictedLocation": PermissionDenied,
    "InsufficientFunds": InsufficientFunds,
    "InvalidAddress": InvalidRequest,
    "AddressPending": InvalidRequest,
    "InvalidOrder": InvalidRequest,
    "OrderNotFound": OrderNotFound,
    "OrderNotCached": BrokerUnavailable,
    "OrderImmediatelyFillable": InvalidRequest,
    "OrderNotFillable": InvalidRequest,
    "DuplicateOrderId": DuplicateClientOrderId,
    "ContractUnavailable": MarketClosed,
    "NotSupported": NotSupported,
    "InvalidProxySettings": BrokerUnavailable,
    "ExchangeClosedByUser": BrokerUnavailable,
    "ExchangeError": InvalidRequest,
    "DDoSProtection": RateLimited,
    "RateLimitExceeded": RateLimited,
    "OnMaintenance": BrokerUnavailable,
    "ExchangeNotAvailable": BrokerUnavailable,
    "InvalidNonce": InvalidRequest,
    "ChecksumError": BrokerUnavailable,
    "RequestTimeout": DeadlineExceeded,
    "NetworkError": BrokerUnavailable,
    "BadResponse": BrokerUnavailable,
    "NullResponse": BrokerUnavailable,
    "CancelPending": BrokerUnavailable,
    "OperationFailed": BrokerUnavailable,
    "UnsubscribeError": BrokerUnavailable,
    "BaseError": BrokerUnavailable,
}
"""ccxt's 41 exceptions; one that a later ccxt adds counts as the nearest of its bases."""

_REFUSALS: Final = frozenset(
    {
        "AuthenticationError",
        "BadRequest",
        "InsufficientFunds",
        "InvalidAddress",
        "InvalidNonce",
        "InvalidOrder",
        "NotSupported",
        "OperationRejected",
        "DDoSProtection",
        "RateLimitExceeded",
    }
)
"""Replies that ccxt knows for refusals, with their subclasses; a bare ExchangeError is any error at all."""
_NO_EVIDENCE: Final = frozenset(
    {"BadResponse", "CancelPending", "ChecksumError", "DuplicateOrderId", "OrderNotCached", "RequestTimeout"}
)
_KINDS: Final[Mapping[str, type[BrokerError]]] = {
    "auth": AuthenticationError,
    "closed": MarketClosed,
    "duplicate": DuplicateClientOrderId,
    "funds": InsufficientFunds,
    "invalid": InvalidRequest,
    "limited": RateLimited,
    "not found": OrderNotFound,
}
_RETRYABLE: Final = (BrokerUnavailable, DeadlineExceeded, RateLimited)
_COUNTED: Final = frozenset({418, 429})
_AMBIGUOUS: Final = frozenset({408, 409, 425, 499})
_CLIENT_ERROR: Final = 400
_SERVER_ERROR: Final = 500
_CODES: Final = ("code", "retCode", "ret_code", "sCode", "errorCode", "error_code", "err-code", "label")
_MESSAGES: Final = ("msg", "message", "retMsg", "ret_msg", "sMsg", "error", "errors", "err-msg")
_BANNED: Final = re.compile(r"banned until (\d{13})")
_PER: Final = re.compile(r"per (\d+) (SECOND|MINUTE|HOUR|DAY)")
_UNITS: Final = {"SECOND": 1, "MINUTE": 60, "HOUR": 3600, "DAY": 86_400}
_QUERY: Final = re.compile(r"\?\S*")
_SHOWN: Final = 300
_NOT_A_CODE: Final = frozenset({"0", "200", ""})


def translated(error: BaseException, letter: Letter, venue: Venue, name: str) -> BrokerError:
    """*error*, raised while *letter* was sent to the exchange *name*, as ours."""
    if isinstance(error, BrokerError):
        return error
    names = [base.__name__ for base in type(error).__mro__]
    code, said = _reply(letter.body)
    kind = _kind(said, code, venue) if letter.status is not None else None
    made = _KINDS[kind] if kind else next((_CLASSES[each] for each in names if each in _CLASSES), None)
    if letter.status in _COUNTED:
        made = RateLimited
    if made is None or (letter.is_sent and letter.status is None and made is not DeadlineExceeded):
        made = BrokerUnavailable
    outcome = outcome_of(names, letter, venue, error, kind=kind, code=code)
    if outcome is None and letter.status is not None:
        outcome = Outcome.UNKNOWN  # said so, since there was an answer
    what = f"{letter.method} {letter.path}" if letter.method else "before the request"
    told = made(
        f"{name}: {said or _own_words(error)} ({what})",
        code=kind or names[0],
        outcome=outcome,
        retryable=issubclass(made, _RETRYABLE) or "InvalidNonce" in names,
        retry_after=_retry_after(letter, said) if made is RateLimited else None,
        venue_code=code,
    )
    told.__cause__ = scrubbed(error)
    return told


def outcome_of(
    names: list[str],
    letter: Letter,
    venue: Venue,
    error: BaseException,
    *,
    kind: str | None = None,
    code: str | None = None,
) -> Outcome | None:
    """What is proven of the request; ``None``: nothing."""
    if not letter.is_sent or _never_connected(error, letter):
        return Outcome.NOT_SENT
    status = letter.status
    if status is None or kind == "duplicate" or code in venue.doubtful:
        return None
    if status in _COUNTED:
        return Outcome.REJECTED
    if status >= _SERVER_ERROR or status in _AMBIGUOUS:
        return None
    if kind is not None:
        return Outcome.REJECTED
    if not _NO_EVIDENCE.isdisjoint(names):
        return None
    if "OperationFailed" in names and _REFUSALS.isdisjoint(names) and code is not None:
        return None  # the venue's own word for "something failed"
    if status >= _CLIENT_ERROR or not _REFUSALS.isdisjoint(names):
        return Outcome.REJECTED
    return None


def _never_connected(error: BaseException, letter: Letter) -> bool:
    """No connection came about, so nothing can have arrived."""
    cause = error.__cause__
    names = {base.__name__ for base in type(cause).__mro__}
    return letter.status is None and not names.isdisjoint(
        {"ClientConnectorError", "ConnectionTimeoutError", "gaierror"}
    )


def _kind(said: str, code: str | None, venue: Venue) -> str | None:
    if code is not None and code in venue.codes:
        return venue.codes[code]
    lower = said.lower()
    return next((kind for words, kind in venue.words if words in lower), None)


def _reply(body: str) -> tuple[str | None, str]:
    """The venue's code and its words, wherever in the reply they are."""
    try:
        told: Any = json.loads(body) if body[:1] in {"{", "["} else None
    except ValueError:
        return None, ""
    code, said = None, ""
    for part in _parts(told):
        code = code or _first(part, _CODES)
        said = said or _first(part, _MESSAGES) or ""
    return code, said[:_SHOWN]


def _parts(told: Any) -> list[dict[str, Any]]:
    """The reply's objects, the innermost first: outer ones often say no more than that there was an error."""
    if isinstance(told, list):
        return [part for each in cast("list[object]", told) for part in _parts(each)]
    if not isinstance(told, dict):
        return []
    whole = cast("dict[str, Any]", told)
    inner = [part for name in ("data", "result", "error") for part in _parts(whole.get(name))]
    return [*inner, whole]


def _first(part: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    for name in names:
        value = part.get(name)
        if isinstance(value, list):
            value = "; ".join(str(each) for each in cast("list[object]", value))
        if isinstance(value, (str, int)) and not isinstance(value, bool) and str(value) not in _NOT_A_CODE:
            return str(value)
    return None


def _own_words(error: BaseException) -> str:
    cause = error.__cause__
    if cause is not None:
        return f"{type(error).__name__} ({type(cause).__name__}: {_QUERY.sub('?…', str(cause))[:_SHOWN]})"
    return f"{type(error).__name__}: {_QUERY.sub('?…', str(error))[:_SHOWN]}"


def scrubbed(error: BaseException) -> BaseException:
    """*error* without the queries of URLs, which hold signatures, and with some venues keys."""
    for each in (error, error.__cause__):
        if each is not None and each.args and isinstance(each.args[0], str):
            each.args = (_QUERY.sub("?…", each.args[0]), *each.args[1:])
    return error


def _retry_after(letter: Letter, said: str) -> float | None:
    """Seconds that the venue wants us to wait, as its header or its words say."""
    text = letter.headers.get("retry-after", "")
    if text.isdigit():
        return float(text)
    now = datetime.now(UTC)
    if text:
        try:
            return max(0.0, (parsedate_to_datetime(text) - now).total_seconds())
        except (ValueError, TypeError):
            return None
    if banned := _BANNED.search(said):
        return max(0.0, int(banned[1]) / 1000 - now.timestamp())
    if per := _PER.search(said):
        return float(int(per[1]) * _UNITS[per[2]])
    return None
