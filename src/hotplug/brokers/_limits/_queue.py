"""The lines in which calls wait for room in their windows. Nothing here locks: the limiter does."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from hotplug.brokers._limits._tickets import Route, Ticket
    from hotplug.brokers._limits._windows import Tally
    from hotplug.errors import RateLimited

__all__ = ["Line", "Lines", "Waiter", "running_loop"]


class Waiter:
    """One call that waits, and what became of it: a *ticket*, or a *refusal*."""

    __slots__ = (
        "account",
        "call",
        "future",
        "line",
        "loop",
        "refusal",
        "route",
        "serial",
        "ticket",
        "until",
        "urgent",
    )

    def __init__(
        self, call: str, account: str, route: Route, until: float, serial: int, *, urgent: bool
    ) -> None:
        self.call: str = call
        self.account: str = account
        self.route: Route = route
        self.until: float = until
        self.serial: int = serial
        self.urgent: bool = urgent
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self.future: asyncio.Future[None] = self.loop.create_future()
        self.line: Line | None = None
        self.ticket: Ticket | None = None
        self.refusal: RateLimited | None = None

    def take(self) -> Ticket:
        """What it waited for; raises its refusal."""
        if self.refusal is not None:
            raise self.refusal
        ticket, self.ticket = self.ticket, None
        return cast("Ticket", ticket)

    def is_served(self) -> bool:
        """Whether it neither waits nor was given what it did not take."""
        return self.line is None and self.ticket is None

    def wake(self, here: asyncio.AbstractEventLoop | None) -> None:
        """Let it go on, in the thread of its loop."""
        if self.loop is here:
            self._wake()
        else:
            with suppress(RuntimeError):  # the loop was closed: it waits no more
                self.loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        if not self.future.done():
            self.future.set_result(None)


class Line:
    """Calls of one loop that wait for the same windows, first come first served."""

    __slots__ = ("_alarm", "_rings_at", "account", "key", "loop", "tallies", "urgent", "waiters")

    def __init__(self, key: object, waiter: Waiter, tallies: frozenset[Tally]) -> None:
        self.key: object = key
        self.loop: asyncio.AbstractEventLoop = waiter.loop
        self.account: str = waiter.account
        self.urgent: bool = waiter.urgent
        self.tallies: frozenset[Tally] = tallies
        self.waiters: OrderedDict[int, Waiter] = OrderedDict()
        self._alarm: asyncio.TimerHandle | None = None
        self._rings_at: float = math.nan

    def head(self) -> Waiter:
        """Who is served next."""
        return next(iter(self.waiters.values()))

    def rank(self) -> tuple[bool, int]:
        """The place of its head among the heads of all lines: urgent ones first, then as they came."""
        return not self.urgent, next(iter(self.waiters))

    def ring(
        self, at: float, now: float, here: asyncio.AbstractEventLoop | None, look: Callable[[], None]
    ) -> bool:
        """Have *look* called *at* a moment in the thread of its loop; false if that is not *here*."""
        if self._rings_at == at:
            return True
        if self.loop is not here:
            return False
        self.hush(here)
        self._rings_at = at
        if at < math.inf:
            self._alarm = self.loop.call_at(self.loop.time() + at - now, self._rang, look)
        return True

    def hush(self, here: asyncio.AbstractEventLoop | None) -> None:
        """Take back the alarm. In another loop it may ring: that does no harm."""
        if self._alarm is not None and self.loop is here:
            self._alarm.cancel()
            self._alarm, self._rings_at = None, math.nan

    def _rang(self, look: Callable[[], None]) -> None:
        self._alarm, self._rings_at = None, math.nan
        look()


class Lines:
    """
    All that wait. Lines that share a window are served by the numbers of their heads, urgent ones first.

    A line whose loop does not run holds nobody back, and one whose loop was closed is forgotten.
    """

    __slots__ = ("by_key",)

    def __init__(self) -> None:
        self.by_key: dict[object, Line] = {}

    def open(self) -> list[Line]:
        """All but those of closed loops, which are forgotten."""
        for line in [line for line in self.by_key.values() if line.loop.is_closed()]:
            for waiter in list(line.waiters.values()):
                self.remove(waiter, None)
        return list(self.by_key.values())

    def add(self, waiter: Waiter) -> None:
        """Stand at the end of the line for its windows."""
        tallies = frozenset(tally for tally, _ in waiter.route)
        # An account may be told to pause, so each has lines of its own.
        key = (waiter.loop, waiter.urgent, waiter.account, tallies)
        line = self.by_key.get(key)
        if line is None:
            line = self.by_key[key] = Line(key, waiter, tallies)
        line.waiters[waiter.serial] = waiter
        waiter.line = line
        for tally in tallies:
            tally.waiting += 1

    def remove(self, waiter: Waiter, here: asyncio.AbstractEventLoop | None) -> None:
        """Stand in no line any more."""
        line, waiter.line = waiter.line, None
        if line is None:
            return
        del line.waiters[waiter.serial]
        for tally in line.tallies:
            tally.waiting -= 1
        if not line.waiters:
            line.hush(here)
            del self.by_key[line.key]

    def everybody(self) -> list[Waiter]:
        """All that wait, as they came."""
        waiters = [waiter for line in self.by_key.values() for waiter in line.waiters.values()]
        return sorted(waiters, key=lambda waiter: waiter.serial)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop that runs in this thread."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
