"""Rules: what a venue does to which call or report. Plain data, so that a configuration can write them."""

from __future__ import annotations

import builtins
import random
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from hotplug import errors
from hotplug.errors import BrokerError, close_match

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = [
    "CALLS",
    "Delay",
    "FAULTS",
    "Fills",
    "ReportRule",
    "Rule",
    "Standing",
    "Then",
    "draw",
    "error_named",
]

Delay: TypeAlias = float | tuple[float, float]
"""Seconds; a pair is a range to draw from."""

Fills: TypeAlias = Literal["now", "soon", "rest", "random"]
"""What becomes of an accepted order by itself; see `MockVenue`."""

Then: TypeAlias = Literal["answer", "hang", "drop", "error"]
"""How a call ends: with the answer, never, with the line, with an error."""

CALLS: Final = (
    "connect",
    "disconnect",
    "place",
    "cancel",
    "modify",
    "query",
    "snapshot",
    "instrument",
    "quote",
    "bars",
    "subscribe",
    "ping",
)
"""The calls that a venue knows; ``"*"`` in a rule is any of them."""

REPORTS: Final = ("order", "fill", "quote", "heartbeat", "limit")

FAULTS: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        # Nothing comes back: before the venue took the call, and after.
        "timeout_before": {"accept": False, "then": "hang"},
        "timeout_after": {"accept": True, "then": "hang"},
        # The line breaks while the call is under way.
        "disconnect_before": {"accept": False, "then": "drop"},
        "disconnect_after": {"accept": True, "then": "drop"},
        # An exception that says nothing of the outcome, as SDKs raise them.
        "crash_before": {"accept": False, "then": "error", "error": "RuntimeError"},
        "crash_after": {"accept": True, "then": "error", "error": "RuntimeError"},
        "unavailable": {"accept": False, "then": "error", "error": "BrokerUnavailable"},
        # The venue says no.
        "reject": {"accept": False, "then": "error", "error": "InvalidRequest", "outcome": "REJECTED"},
        "funds": {"accept": False, "then": "error", "error": "InsufficientFunds", "outcome": "REJECTED"},
        "auth": {"accept": False, "then": "error", "error": "AuthenticationError", "outcome": "REJECTED"},
        "rate_limited": {"accept": False, "then": "error", "error": "RateLimited", "retry_after": 1.0},
        # A cancel or a change that comes too late: the order trades in full before it is looked at.
        "fill_first": {"fill_first": True},
    }
)
"""Faults by name: the fields of a `Rule` that each stands for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """
    What happens to calls named *on* (one of `CALLS`, or ``*``).

    The first *after* of them are left alone, then it holds *times* times (``None``: for good), each
    with probability *chance*; only for *symbol* or *client_order_id*, where given. The call takes *latency*
    on its way there and *answer_latency* on its way back (seconds, or a range). With *accept* false the
    venue does nothing; by default it does what it is asked unless the call ends in an *error*.
    *then* says how the call ends; *error* names an exception (of `hotplug.errors` or built in), which gets
    *message*, and if it is a `BrokerError` also *outcome* (left out: implicit), *retry_after*
    and *venue_code*. *fills* is what an order placed under it does, *fill_first* lets the order
    trade in full before a cancel or change is looked at. *fault* names several of these at once (`FAULTS`);
    what is given beside it wins.
    """

    on: str
    times: int | None = 1
    after: int = 0
    chance: float = 1.0
    symbol: str | None = None
    client_order_id: str | None = None
    fault: str | None = None
    latency: Delay = 0.0
    answer_latency: Delay = 0.0
    accept: bool | None = None
    then: Then = "answer"
    error: str | None = None
    message: str = "by the script"
    outcome: Literal["NOT_SENT", "REJECTED", "UNKNOWN"] | None = None
    retry_after: float | None = None
    venue_code: str | None = None
    fills: Fills | None = None
    fill_first: bool = False

    def __post_init__(self) -> None:
        _check(self.on, (*CALLS, "*"), "call")
        if self.fault is not None:
            _check(self.fault, FAULTS, "fault")
            for name, value in FAULTS[self.fault].items():
                if getattr(self, name) == _DEFAULTS[name]:
                    object.__setattr__(self, name, value)
        if self.error is not None:
            error_named(self.error)
            object.__setattr__(self, "then", "error")

    @property
    def accepts(self) -> bool:
        """Whether the venue does what it is asked."""
        return self.then != "error" if self.accept is None else self.accept

    def make_error(self) -> BaseException:
        """The exception that the call ends with."""
        kind = error_named(self.error or "BrokerUnavailable")
        if not issubclass(kind, BrokerError):
            return kind(self.message)
        return kind(
            self.message,
            outcome=self.outcome,
            retry_after=self.retry_after,
            venue_code=self.venue_code,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRule:
    """
    What happens to reports of a *kind* (``order fill quote heartbeat limit``, or ``*``).

    *times*, *after*, *chance* and *client_order_id* as in a `Rule`. A report comes *copies* times, *late*
    seconds late (each copy on its own, if that is a range), or is lost.
    """

    kind: str = "*"
    times: int | None = 1
    after: int = 0
    chance: float = 1.0
    client_order_id: str | None = None
    copies: int = 1
    late: Delay = 0.0
    lose: bool = False

    def __post_init__(self) -> None:
        _check(self.kind, (*REPORTS, "*"), "kind of report")


_DEFAULTS: Final = {each.name: each.default for each in fields(Rule)}


class Standing:
    """A rule in force: how often it was passed by, and how often it still holds. Not thread-safe."""

    def __init__(
        self,
        rule: Rule | ReportRule,
        seed: str,
        where: Callable[[Any], bool] | None = None,
        error: Callable[[], BaseException] | None = None,
    ) -> None:
        self.rule: Final = rule
        self.error: Final = error
        self._seed: Final = seed
        self._where: Final = where
        self._passed = 0
        self._left = rule.times

    def takes(self, subject: object, key: str, client_order_id: str | None, symbol: str | None) -> bool:
        """Whether the rule holds for this one; if so, that was one of its times."""
        rule = self.rule
        wanted_symbol = rule.symbol if isinstance(rule, Rule) else None
        if (
            self._left == 0
            or rule.client_order_id not in (None, client_order_id)
            or wanted_symbol not in (None, symbol)
            or (self._where is not None and not self._where(subject))
        ):
            return False
        self._passed += 1
        if self._passed <= rule.after:
            return False
        # By the subject's own key: what else goes on at the same time changes nobody's luck.
        if rule.chance < 1 and random.Random(f"{self._seed}/{key}").random() >= rule.chance:  # noqa: S311
            return False
        if self._left is not None:
            self._left -= 1
        return True


def draw(delay: Delay, key: str) -> float:
    """Seconds: the delay, or of a range what chance draws for *key*."""
    if isinstance(delay, tuple):
        return random.Random(key).uniform(*delay)  # noqa: S311
    return delay


def error_named(name: str) -> type[BaseException]:
    """The exception class of that name, of `hotplug.errors` or built in; `ValueError` if there is none."""
    found = getattr(errors, name, None) or getattr(builtins, name, None)
    if isinstance(found, type) and issubclass(found, BaseException):
        return found
    raise ValueError(f"no such error as {name!r} ({close_match(name, errors.__all__)})")


def _check(word: str, known: Iterable[str], what: str) -> None:
    known = tuple(known)
    if word not in known:
        raise ValueError(f"no such {what} as {word!r} ({close_match(word, known)})")
