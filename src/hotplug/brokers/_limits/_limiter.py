"""
Who may call the venue now: the limits of its windows, kept in order and within deadlines.

A venue counts a call when it arrives, which is somewhere between our send and its response. So a call
occupies its windows from its send until one window after its response, or after its deadline where none
came: whenever the venue saw it, no window of the venue ever holds more than the limit.

No library does that. aiolimiter is a leaky bucket and lets almost twice the limit into one window (its
issues 240 and 298: by design), throttled-py's sliding window is an estimate of two fixed ones; `limits` and
pyrate-limiter keep a true log, but of the moments of asking, so that jitter on the way adds up at the venue.
None of them knows of a response, keeps a share for cancels, refuses at once what cannot make its deadline
or serves in order: they would have been the smallest part of this.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from contextlib import contextmanager, suppress
from functools import partial
from heapq import heapify, heappop, heappush
from itertools import count
from typing import TYPE_CHECKING

from hotplug.brokers._limits._queue import Lines, Waiter, running_loop
from hotplug.brokers._limits._quota import Quota
from hotplug.brokers._limits._tickets import Ticket
from hotplug.brokers._limits._windows import RateWindow, Tally
from hotplug.errors import Outcome, RateLimited

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from hotplug.brokers._limits._queue import Line
    from hotplug.brokers._limits._quota import Outlook
    from hotplug.brokers._limits._tickets import Route
    from hotplug.market import RateLimit, RateLimitSeen

__all__ = ["Limiter", "RateWindow", "Ticket"]


class Limiter:
    """
    Lets calls through as its windows allow, those that must wait in order.

    It belongs to a broker id, not to a loop or a generation: loops and gateways come and go. Everything may
    be called from any thread; `acquire` waits in the loop that it is called in. *clock* is in seconds, and
    deadlines (*until*) are its times. *lets_all* says that there is no window and never was a pause, so that
    nobody needs a ticket.

    A waiting call holds back later ones that share a window with it, however light they are. Urgent ones
    (cancels) go first, and only they may use the tenth of each window that is kept for them. *ignored* counts
    reports of windows that are not known here.
    """

    def __init__(
        self, windows: Iterable[RateWindow] = (), *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.ignored: int = 0
        self.lets_all: bool = False
        self._clock = clock
        self._lock = threading.Lock()
        # A finaliser may end a call in the very thread that holds the lock: it leaves word and goes on.
        self._mail: deque[Callable[[], None]] = deque()
        self._quota = Quota()
        self._flights = self._quota.flights
        self._lines = Lines()
        self._serials = count()
        self._asked: set[asyncio.AbstractEventLoop] = set()
        self._is_changed = False
        self.configure(windows)

    def __repr__(self) -> str:
        return f"Limiter({self._quota})"

    # -- what the venue allows ---------------------------------------------------------------------

    def configure(self, windows: Iterable[RateWindow]) -> None:
        """
        Limit by *windows* from now on; what was counted under the same name and scope stays counted.

        Raises `ValueError` for two windows of the same name and scope, `TypeError` for what is no window.
        """
        declared = tuple(windows)
        with self._turn() as now:
            self._quota.configure(declared, now)
            self.lets_all = not declared and not self._quota.was_paused
            for waiter in self._lines.everybody():
                self._lines.remove(waiter, running_loop())
                waiter.route = self._quota.route(waiter.call, waiter.account, now)
                self._lines.add(waiter)
            self._change()

    def seen(self, report: RateLimitSeen, *, account: str = "") -> None:
        """
        The venue said what it counts: its limit is adopted, and calls that are not ours are counted too.

        The latter until the venue resets its window, or for a whole one. A *report* of an unknown name, or of
        a limit below 1, is ignored and counted.
        """
        with self._turn() as now:
            changed = self._quota.see(report, account, now)
            if changed is None:
                self.ignored += 1
            elif changed:
                self._change()

    def pause(self, seconds: float, *, scope: str = "key", account: str = "") -> None:
        """
        The venue wants no calls for *seconds*, not even cancels: a 429, or a ban.

        That is meant for everybody, unless *scope* is ``"account"`` and *account* says which. A shorter
        pause does not end a longer one. Raises `ValueError` for another scope.
        """
        with self._turn() as now:
            self._quota.pause(now + max(0.0, seconds), scope, account, now)
            self.lets_all = False
            self._change()

    # -- who may go --------------------------------------------------------------------------------

    def try_acquire(
        self, call: str, *, until: float, account: str = "", urgent: bool = False
    ) -> Ticket | None:
        """A ticket for *call*, if it need not wait: for room, for others, for the end of a pause."""
        now, ticket = self._clock(), None
        with self._lock:
            if self._flights.heap:
                self._flights.land_overdue(now)
            route = self._quota.fit(call, account, now, urgent=urgent) if until > now else None
            if route is not None and not (self._lines.by_key and self._is_behind(route, now, urgent=urgent)):
                ticket = self._flights.take_off(route, until, self._tell)
        if self._mail:
            self._read_mail()
        return ticket

    async def acquire(self, call: str, *, until: float, account: str = "", urgent: bool = False) -> Ticket:
        """
        A ticket for *call*, when it is its turn.

        Raises `RateLimited` (NOT_SENT, code ``limit``) at once where that cannot be before *until*, else when
        that has passed. Cancelled, it takes nothing.
        """
        ticket = self.try_acquire(call, until=until, account=account, urgent=urgent)
        if ticket is not None:
            return ticket
        waiter = self._join(call, account, until, urgent=urgent)
        loop, patience = waiter.loop, until - self._clock()
        alarm = loop.call_at(loop.time() + patience, self._expire, waiter) if patience < math.inf else None
        try:
            await waiter.future
            return waiter.take()
        finally:
            if alarm is not None:
                alarm.cancel()
            if not waiter.is_served():
                # Cancelled: it stands in line, or was given a ticket in the meantime.
                self._mail.append(partial(self._left, waiter))
                self._read_mail()

    # -- what is left ------------------------------------------------------------------------------

    def usage(self) -> float:
        """How full the fullest window is, 0…1; 1 while the venue wants no calls at all."""
        with self._turn() as now:
            return self._quota.usage(now)

    def limits(self, *, account: str | None = None) -> tuple[RateLimit, ...]:
        """
        Each window as it is. Of a window per account: that of *account*, without one the fullest.

        *reset_at* is when all that is counted will be gone, as far as is known.
        """
        with self._turn() as now:
            return self._quota.limits(account, now)

    # -- the lock ----------------------------------------------------------------------------------

    @contextmanager
    def _turn(self) -> Generator[float]:
        now = self._clock()
        try:
            with self._lock:
                self._flights.land_overdue(now)
                yield now
        finally:
            self._read_mail()

    def _read_mail(self) -> None:
        # Who finds the lock taken leaves: its holder comes here afterwards.
        while self._mail and self._lock.acquire(blocking=False):
            try:
                while self._mail:
                    self._mail.popleft()()
            finally:
                self._lock.release()

    # -- under the lock ----------------------------------------------------------------------------

    def _tell(self, ticket: Ticket, answered: bool | None) -> None:
        now = self._clock()
        if not self._mail and self._lock.acquire(False):
            try:
                self._ended(ticket, answered, now)
            finally:
                self._lock.release()
        else:
            self._mail.append(partial(self._ended, ticket, answered, now))
        if self._mail:
            self._read_mail()

    def _ended(self, ticket: Ticket, answered: bool | None, now: float) -> None:
        flights = self._flights
        if flights.heap and flights.heap[0][0] <= now:
            flights.land_overdue(now)
        if answered is None:
            flights.unsent(ticket, now)
        elif answered or ticket.is_landed:
            flights.answered(ticket, now)
        if self._lines.by_key:
            self._look(now)

    def _is_behind(self, route: Route, now: float, *, urgent: bool) -> bool:
        tallies = [tally for tally, _ in route]
        return any(
            (line.urgent or not urgent)
            and self._quota.pause_end(line.account) <= now
            and not line.tallies.isdisjoint(tallies)
            and line.loop.is_running()
            for line in self._lines.open()
        )

    # -- waiting, under the lock too ---------------------------------------------------------------

    def _join(self, call: str, account: str, until: float, *, urgent: bool) -> Waiter:
        with self._turn() as now:
            route = self._quota.route(call, account, now)
            waiter = Waiter(call, account, route, until, next(self._serials), urgent=urgent)
            self._quota.throttle(call)
            outlook = self._outlook(waiter, now)
            if outlook.earliest >= until:
                raise _refusal(waiter, outlook, now)
            self._lines.add(waiter)
            self._look(now)
            return waiter

    def _left(self, waiter: Waiter) -> None:
        now, ticket = self._clock(), waiter.ticket
        self._flights.land_overdue(now)
        self._lines.remove(waiter, running_loop())
        if ticket is not None:
            self._flights.unsent(ticket, now)
        self._look(now)

    def _expire(self, waiter: Waiter) -> None:
        with self._turn() as now:
            if waiter.line is not None:
                self._refuse(waiter, self._outlook(waiter, now), now, waiter.loop)
                self._look(now)

    def _look_again(self) -> None:
        with self._turn() as now:
            self._asked.discard(asyncio.get_running_loop())
            self._look(now)

    def _ask_to_look(self, loop: asyncio.AbstractEventLoop) -> None:
        # Once is enough until it did: who tells us of limits may do so often.
        self._asked = {asked for asked in self._asked if not asked.is_closed()}
        if loop not in self._asked:
            with suppress(RuntimeError):  # it was closed just now
                loop.call_soon_threadsafe(self._look_again)
                self._asked.add(loop)

    def _change(self) -> None:
        self._is_changed = True
        for line in self._lines.open():
            self._ask_to_look(line.loop)

    def _look(self, now: float) -> None:
        """Serve who may go now, in order, and set alarms for those who then are first in line."""
        here = running_loop()
        if self._is_changed:
            self._is_changed = False
            self._refuse_hopeless(now, here)
        heads: list[tuple[bool, int, Line]] = []
        for line in self._lines.open():
            if line.loop.is_running():
                heads.append((*line.rank(), line))
            else:
                self._ask_to_look(line.loop)  # when it runs again
        heapify(heads)
        awaited: dict[Tally, float] = {}
        while heads:
            line = heappop(heads)[-1]
            if self._settle_head(line, awaited, now, here) and line.waiters:
                heappush(heads, (*line.rank(), line))

    def _refuse_hopeless(self, now: float, here: asyncio.AbstractEventLoop | None) -> None:
        """The venue changed its mind: who cannot make it any more need not wait for that."""
        for waiter in self._lines.everybody():
            outlook = self._outlook(waiter, now)
            if outlook.earliest >= waiter.until:
                self._refuse(waiter, outlook, now, here)

    def _settle_head(
        self, line: Line, awaited: dict[Tally, float], now: float, here: asyncio.AbstractEventLoop | None
    ) -> bool:
        waiter = line.head()
        outlook = self._outlook(waiter, now)
        if outlook.earliest >= waiter.until:
            self._refuse(waiter, outlook, now, here)
            return True
        ahead = [awaited[tally] for tally in line.tallies if tally in awaited]
        if outlook.earliest <= now and not ahead:
            waiter.ticket = self._flights.take_off(waiter.route, waiter.until, self._tell)
            self._dismiss(waiter, here)
            return True
        look = max(outlook.look, *ahead) if ahead else outlook.look
        if self._quota.pause_end(line.account) <= now:  # who is told to pause holds nobody back
            awaited.update(dict.fromkeys(line.tallies, look))
        if not line.ring(look, now, here, self._look_again):
            self._ask_to_look(line.loop)
        return False

    def _outlook(self, waiter: Waiter, now: float) -> Outlook:
        return self._quota.outlook(waiter.route, waiter.account, now, waiter.until, urgent=waiter.urgent)

    def _refuse(
        self, waiter: Waiter, outlook: Outlook, now: float, here: asyncio.AbstractEventLoop | None
    ) -> None:
        waiter.refusal = _refusal(waiter, outlook, now)
        self._dismiss(waiter, here)

    def _dismiss(self, waiter: Waiter, here: asyncio.AbstractEventLoop | None) -> None:
        self._lines.remove(waiter, here)
        waiter.wake(here)


def _refusal(waiter: Waiter, outlook: Outlook, now: float) -> RateLimited:
    call, wait, left = waiter.call, outlook.earliest - now, waiter.until - now
    never = outlook.tally is not None and wait == math.inf
    if outlook.tally is not None and never:
        weight, most = dict(waiter.route)[outlook.tally], outlook.tally.room(urgent=waiter.urgent)
        why = f"{call} weighs {weight} in {outlook.tally.window}, which never has room for more than {most}"
    elif left <= 0 or wait <= 0:
        why = f"{call}: its deadline passed before its turn came"
    else:
        what = "the venue wants no calls" if outlook.tally is None else f"{outlook.tally.window} has no room"
        why = f"{call}: {what} for another {wait:.3g} s, and its deadline is in {left:.3g} s"
    return RateLimited(
        why,
        code="limit",
        outcome=Outcome.NOT_SENT,
        retryable=not never,
        retry_after=wait if wait < math.inf else None,
    )
