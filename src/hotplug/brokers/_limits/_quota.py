"""What is counted of a broker id's calls, and what its windows still allow. Nothing here locks."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from hotplug.brokers._limits._tickets import Flights
from hotplug.brokers._limits._windows import SCOPES, Meter, RateWindow, Tally

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hotplug.brokers._limits._tickets import Route
    from hotplug.market import RateLimit, RateLimitSeen

__all__ = ["Outlook", "Quota"]

_FEW_ROUTES: Final = 1024


class Outlook(NamedTuple):
    """
    When a call fits at the *earliest* (``inf``: never), and when to *look* again if nothing happens before.

    *tally* is what holds it up longest; without one it is a pause.
    """

    earliest: float
    look: float
    tally: Tally | None


class Quota:
    """The windows, what is counted in each, and the pauses that the venue asked for."""

    __slots__ = (
        "_meters",
        "_most_routes",
        "_paused_accounts",
        "_paused_until",
        "_per_account",
        "_routes",
        "flights",
    )

    def __init__(self) -> None:
        self.flights: Flights = Flights()
        self._meters: dict[tuple[str, str], Meter] = {}
        self._per_account: bool = False
        self._routes: dict[object, Route] = {}
        self._most_routes: int = _FEW_ROUTES
        self._paused_until: float = -math.inf
        self._paused_accounts: dict[str, float] = {}

    def __str__(self) -> str:
        return ", ".join(str(meter.window) for meter in self._meters.values()) or "no limits"

    # -- what the venue says -----------------------------------------------------------------------

    def configure(self, windows: Iterable[RateWindow], now: float) -> None:
        """Count for *windows*; what was counted under the same name and scope stays counted."""
        declared: dict[tuple[str, str], RateWindow] = {}
        for window in windows:
            _check_window(window)
            if declared.setdefault((window.name, window.scope), window) is not window:
                raise ValueError(f"there are two rate windows {window.name!r} per {window.scope}")
        self._meters = {key: self._meters.get(key) or Meter(window) for key, window in declared.items()}
        for key, meter in self._meters.items():
            meter.adopt(declared[key], now)
        self._per_account = any(scope == "account" for _, scope in declared)
        self._routes.clear()

    def see(self, report: RateLimitSeen, account: str, now: float) -> bool | None:
        """
        Take over what the venue counts and allows; whether that changed anything.

        ``None`` if it is of no window here, or makes no sense.
        """
        meters = [meter for (name, _), meter in self._meters.items() if name == report.name]
        if not meters or (report.limit is not None and report.limit < 1):
            return None
        left = 0.0 if report.reset_at is None else (report.reset_at - datetime.now(UTC)).total_seconds()
        changed = False
        for meter in meters:
            tally = meter.tally(account)
            if report.limit is not None and report.limit != tally.limit:
                tally.follow(report.limit)
                changed = True
            if report.used is not None:
                changed |= tally.see(report.used, now, now + (left if left > 0 else meter.window.window))
        return changed

    def pause(self, until: float, scope: str, account: str, now: float) -> None:
        """Let nobody through until then, or nobody of one account."""
        if scope not in SCOPES:
            raise ValueError(f"scope must be one of {', '.join(sorted(SCOPES))}, not {scope!r}")
        if scope == "account" and account:
            paused = {name: end for name, end in self._paused_accounts.items() if end > now}
            paused[account] = max(until, paused.get(account, until))
            self._paused_accounts = paused
        else:
            self._paused_until = max(until, self._paused_until)

    # -- what a call may ---------------------------------------------------------------------------

    def route(self, call: str, account: str, now: float) -> Route:
        """The windows that such a call weighs in, and how much."""
        key = (call, account) if self._per_account else call
        route = self._routes.get(key)
        if route is None:
            if len(self._routes) >= self._most_routes:
                self._forget_idle(now)
            pairs = ((meter, meter.window.weight_of(call)) for meter in self._meters.values())
            route = tuple((meter.tally(account), weight) for meter, weight in pairs if weight)
            self._routes[key] = route
        return route

    def fit(self, call: str, account: str, now: float, *, urgent: bool) -> Route | None:
        """The route of such a call, if there is room in all its windows and no pause."""
        if self._paused_until > now or (self._paused_accounts and self.pause_end(account) > now):
            return None
        route = self._routes.get((call, account) if self._per_account else call)
        if route is None:
            route = self.route(call, account, now)
        for tally, weight in route:
            ended = tally.ended
            if tally.foreign or (ended and ended[0][0] + tally.seconds <= now):
                tally.purge(now)
            if tally.used + weight > (tally.limit if urgent else tally.share):
                return None
        return route

    def outlook(self, route: Route, account: str, now: float, until: float, *, urgent: bool) -> Outlook:
        """When such a call fits. Land first what is overdue."""
        pause = max(now, self.pause_end(account))
        earliest, look, culprit = pause, pause, None
        landing = self.flights.next_deadline()
        for tally, weight in route:
            tally.purge(now)
            free, again = tally.outlook(weight, tally.room(urgent=urgent), now, until, landing)
            look = max(look, again)
            if free > earliest:
                earliest, culprit = free, tally
        return Outlook(earliest, look, culprit)

    @property
    def was_paused(self) -> bool:
        """Whether the venue ever wanted no calls."""
        return self._paused_until > -math.inf or bool(self._paused_accounts)

    def pause_end(self, account: str) -> float:
        """Until when the venue wants no calls of *account*."""
        return max(self._paused_until, self._paused_accounts.get(account, -math.inf))

    def throttle(self, call: str) -> None:
        """Count a call that had to wait, or was refused."""
        for meter in self._meters.values():
            meter.throttled += bool(meter.window.weight_of(call))

    def _forget_idle(self, now: float) -> None:
        # Accounts come and go: without this each would be remembered for ever.
        self._routes.clear()
        left = sum(meter.forget_idle(now) for meter in self._meters.values())
        self._most_routes = _FEW_ROUTES + 16 * left

    # -- what is left ------------------------------------------------------------------------------

    def usage(self, now: float) -> float:
        """How full the fullest window is, 0…1; 1 while the venue wants no calls at all."""
        if now < self._paused_until:
            return 1.0
        return max((meter.fullness(now) for meter in self._meters.values()), default=0.0)

    def limits(self, account: str | None, now: float) -> tuple[RateLimit, ...]:
        """Each window as it is; one per account for *account*, or where it is fullest."""
        wall, paused = datetime.now(UTC), self.pause_end(account or "")
        return tuple(meter.limit(account, now, paused, wall) for meter in self._meters.values())


def _check_window(window: object) -> None:
    if not isinstance(window, RateWindow):
        raise TypeError(f"a rate window must be a RateWindow, not {window!r}")
