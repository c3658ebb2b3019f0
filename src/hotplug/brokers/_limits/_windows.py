"""The limits that a venue sets on calls: one window, and what is counted in it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, cast

from hotplug._records import FrozenDict
from hotplug.market import RateLimit

__all__ = ["CALLS", "Meter", "RateWindow", "SCOPES", "Tally"]

CALLS: Final = frozenset(
    {
        "balances",
        "bars",
        "cancel",
        "connect",
        "instrument",
        "modify",
        "ping",
        "place",
        "positions",
        "query",
        "quote",
        "snapshot",
        "subscribe",
    }
)
SCOPES: Final = frozenset({"account", "ip", "key"})
_KEPT_SHARE: Final = 10


@dataclass(frozen=True, slots=True)
class RateWindow:
    """
    So many calls (or so much *weight* of calls) in any *window* seconds.

    *scope* says whose calls count together: those of the ``"key"``, of each ``"account"`` or of the ``"ip"``.
    Without *weights* every call weighs 1; with them each weighs what stands under its name (``connect place
    cancel modify query snapshot instrument quote bars subscribe ping positions balances``), or under ``"*"``,
    or nothing. A tenth of the limit, at least 1, is kept for cancels; of a limit of 1 nothing can be.
    Raises `TypeError` and `ValueError`.
    """

    name: str
    limit: int
    window: float = 1.0
    scope: str = "key"
    weights: Mapping[str, int] | None = field(default=None, hash=False)

    def __post_init__(self) -> None:
        _check_name(self.name)
        _check_whole(f"{self.name}: limit", self.limit, least=1)
        _check_seconds(f"{self.name}: window", self.window)
        if self.scope not in SCOPES:
            known = ", ".join(sorted(SCOPES))
            raise ValueError(f"{self.name}: scope must be one of {known}, not {self.scope!r}")
        if self.weights is not None:
            object.__setattr__(self, "weights", _settled_weights(self.name, self.weights))

    def weight_of(self, call: str) -> int:
        """What *call* weighs in this window."""
        if self.weights is None:
            return 1
        return self.weights.get(call, self.weights.get("*", 0))

    def __str__(self) -> str:
        return f"{self.name!r} ({self.limit} in {self.window:g} s per {self.scope})"


def _check_name(name: object) -> None:
    if not isinstance(name, str):
        raise TypeError(f"the name of a rate window must be a string, not {name!r}")
    if not name.strip():
        raise ValueError(f"a rate window needs a name, not {name!r}")


def _check_whole(what: str, number: object, *, least: int) -> None:
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"{what} must be a whole number, not {number!r}")
    if number < least:
        raise ValueError(f"{what} must be at least {least}, not {number}")


def _check_seconds(what: str, seconds: object) -> None:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"{what} must be seconds, not {seconds!r}")
    if not 0 < seconds < math.inf:
        raise ValueError(f"{what} must be more than 0 seconds, not {seconds!r}")


def _settled_weights(name: str, weights: object) -> FrozenDict[str, int]:
    if not isinstance(weights, Mapping):
        raise TypeError(f"{name}: weights must map calls to whole numbers, not {weights!r}")
    settled = cast("Mapping[str, int]", weights)
    for call, weight in settled.items():
        if call not in CALLS and call != "*":
            known = ", ".join(sorted(CALLS))
            raise ValueError(f"{name}: there is no call {call!r} to weigh (known: {known}, *)")
        _check_whole(f"{name}: the weight of {call}", weight, least=0)
    return FrozenDict(settled)


class Tally:
    """
    What is counted in one window, for everybody or for one account.

    In *used* are calls under way, calls that *ended* less than a window ago (when and with what weight,
    oldest first), and *foreign* ones, which the venue counts and we did not make. So many calls are
    *waiting* for room. Nothing here locks: the limiter does.
    """

    __slots__ = (
        "_foreign_until",
        "_venue_limit",
        "ended",
        "foreign",
        "limit",
        "seconds",
        "share",
        "used",
        "waiting",
        "window",
    )

    def __init__(self, window: RateWindow) -> None:
        self.ended: deque[tuple[float, int]] = deque()
        self.used: int = 0
        self.waiting: int = 0
        self.foreign: int = 0
        self._foreign_until: float = 0.0
        self._venue_limit: int | None = None
        self.window: RateWindow = window
        self.adopt(window)

    def adopt(self, window: RateWindow) -> None:
        """Count for *window* from now on; what the venue said of its limit holds until that is changed."""
        if window.limit != self.window.limit:
            self._venue_limit = None
        self.window = window
        self.seconds: float = window.window
        self._allow(self._venue_limit or window.limit)

    def follow(self, limit: int) -> None:
        """The venue says that this is its limit."""
        self._venue_limit = limit
        self._allow(limit)

    def _allow(self, limit: int) -> None:
        self.limit: int = limit
        self.share: int = max(1, limit - max(1, limit // _KEPT_SHARE))

    def room(self, *, urgent: bool) -> int:
        """How much of it such calls may use."""
        return self.limit if urgent else self.share

    def see(self, used: int, now: float, until: float) -> bool:
        """The venue counts *used*: what is more than ours is foreign, for a while. Whether any is, or was."""
        self.purge(now)
        before, own = self.foreign, self.used - self.foreign
        self.foreign = max(0, used - own)
        self.used = own + self.foreign
        self._foreign_until = until
        return bool(before or self.foreign)

    def purge(self, now: float) -> None:
        """Forget what ended a window ago."""
        ended = self.ended
        while ended and ended[0][0] + self.seconds <= now:
            self.used -= ended.popleft()[1]
        if self.foreign and self._foreign_until <= now:
            self.used -= self.foreign
            self.foreign = 0

    def forget(self, at: float, weight: int) -> None:
        """Count a call no more that ended *at* a moment. Purge it first."""
        with suppress(ValueError):  # it left already; of two that look the same, either will do
            self.ended.remove((at, weight))
            self.used -= weight

    def is_idle(self, now: float) -> bool:
        """Whether a new one would be as good."""
        self.purge(now)
        return not self.used and not self.waiting and self._venue_limit is None

    def fullness(self, now: float) -> float:
        """How much of it is used, 0…1."""
        self.purge(now)
        return min(1.0, self.used / self.limit)

    def empty_at(self, now: float) -> float:
        """When all that is counted will be gone, as far as is known. Purge it first."""
        empty = self._foreign_until if self.foreign else now
        if self.ended:
            empty = max(empty, self.ended[-1][0] + self.seconds)
        if self._under_way() > 0:
            empty = max(empty, now + self.seconds)
        return empty

    def _under_way(self) -> int:
        return self.used - self.foreign - sum(weight for _, weight in self.ended)

    def outlook(
        self, weight: int, room: int, now: float, until: float, landing: float
    ) -> tuple[float, float]:
        """
        When *weight* more fits into *room* at the earliest, and when to look again. Purge it first.

        A call under way frees nothing before a window from *now*. More is known when it is too late for
        *until*, or at *landing*, the nearest deadline of a call under way.
        """
        if weight > room:
            return math.inf, math.inf
        need = self.used + weight - room
        if until - self.seconds > now:
            landing = min(landing, until - self.seconds)
        ours = self._freed(need, now, landing)
        if not self.foreign:
            return ours
        theirs, gone = self._freed(need - self.foreign, now, landing), self._foreign_until
        return min(ours[0], max(theirs[0], gone)), min(ours[1], max(theirs[1], gone))

    def _freed(self, need: int, now: float, landing: float) -> tuple[float, float]:
        if need <= 0:
            return now, now
        for at, weight in self.ended:
            need -= weight
            if need <= 0:
                return at + self.seconds, at + self.seconds
        return (math.inf, math.inf) if need > self._under_way() else (now + self.seconds, landing)


class Meter:
    """One window over all whom it counts apart: each account, or everybody together."""

    __slots__ = ("_tallies", "throttled", "window")

    def __init__(self, window: RateWindow) -> None:
        self.window: RateWindow = window
        self.throttled: int = 0
        self._tallies: dict[str, Tally] = {}

    def adopt(self, window: RateWindow, now: float) -> None:
        """Count for *window* from now on; what was counted stays counted."""
        self.window = window
        for tally in self._tallies.values():
            tally.purge(now)
            tally.adopt(window)

    def tally(self, account: str) -> Tally:
        """Where calls of *account* are counted."""
        key = self._key(account)
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = Tally(self.window)
        return tally

    def _key(self, account: str) -> str:
        return account if self.window.scope == "account" else ""

    def forget_idle(self, now: float) -> int:
        """Forget accounts of which nothing is counted; how many are left."""
        self._tallies = {key: tally for key, tally in self._tallies.items() if not tally.is_idle(now)}
        return len(self._tallies)

    def fullness(self, now: float) -> float:
        """How full its fullest tally is, 0…1."""
        return max((tally.fullness(now) for tally in self._tallies.values()), default=0.0)

    def limit(self, account: str | None, now: float, paused: float, wall: datetime) -> RateLimit:
        """It as others see it: for *account*, or where it is fullest."""
        wanted = self._tallies if account is None else (self._key(account),)
        tallies = [self._tallies[key] for key in wanted if key in self._tallies]
        tally = max(tallies, key=lambda tally: tally.fullness(now), default=None) or Tally(self.window)
        empty = max(paused, tally.empty_at(now))
        return RateLimit(
            name=self.window.name,
            scope=self.window.scope,
            limit=tally.limit,
            window=self.window.window,
            used=tally.used,
            remaining=0 if paused > now else max(0, tally.limit - tally.used),
            reset_at=_after(wall, empty - now) if empty > now else None,
            waiting=sum(tally.waiting for tally in tallies),
            throttled=self.throttled,
        )


def _after(wall: datetime, seconds: float) -> datetime | None:
    try:
        return wall + timedelta(seconds=seconds)
    except OverflowError:  # later than any calendar
        return None
