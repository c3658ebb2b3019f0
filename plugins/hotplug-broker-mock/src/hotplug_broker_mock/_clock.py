"""Time at the venue: as it goes by, or by hand."""

from __future__ import annotations

import asyncio
import heapq
import threading
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Clock", "LoopClock", "ManualClock", "on_loop"]


def on_loop(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
    """Run *callback* on *loop*: now if that is where we are, else soon. Nothing happens if it has ended."""
    if _is_running_here(loop):
        callback()
        return
    try:
        loop.call_soon_threadsafe(callback)
    except RuntimeError:  # closed: whoever waited there is gone as well
        if not loop.is_closed():
            raise


class Clock(Protocol):
    """What tells a venue the time and lets something happen later."""

    def now(self) -> datetime:
        """The time in UTC."""
        ...

    def call_later(
        self, seconds: float, callback: Callable[[], object], loop: asyncio.AbstractEventLoop
    ) -> None:
        """Call *callback* when *seconds* have passed, on *loop* or where the clock is moved; thread-safe."""
        ...


class LoopClock:
    """Time as it goes by: UTC of this machine, and the loop's own timers."""

    def now(self) -> datetime:
        """The time in UTC."""
        return datetime.now(UTC)

    def call_later(
        self, seconds: float, callback: Callable[[], object], loop: asyncio.AbstractEventLoop
    ) -> None:
        """Call *callback* on *loop* when *seconds* have passed."""
        on_loop(loop, lambda: loop.call_later(seconds, callback))


class ManualClock:
    """
    Time that stands still until `advance` moves it; what falls due is done by whoever moves it.

    Thread-safe. A coroutine that waited runs on its own loop, after `advance` returned.
    """

    def __init__(self, start: datetime = datetime(2024, 1, 2, tzinfo=UTC)) -> None:
        self._now = start
        self._due: Final[list[tuple[datetime, int, Callable[[], object]]]] = []
        self._numbers: Final = count()
        self._lock: Final = threading.Lock()

    def now(self) -> datetime:
        """The time in UTC."""
        return self._now

    def call_later(
        self,
        seconds: float,
        callback: Callable[[], object],
        loop: asyncio.AbstractEventLoop,  # noqa: ARG002 - by hand, no loop is needed
    ) -> None:
        """Call *callback* when `advance` has come *seconds* further."""
        with self._lock:
            due = self._now + timedelta(seconds=seconds)
            heapq.heappush(self._due, (due, next(self._numbers), callback))

    def advance(self, seconds: float) -> None:
        """Move on, through everything that falls due until then, in order."""
        until = self._now + timedelta(seconds=seconds)
        while (callback := self._next(until)) is not None:
            callback()

    @property
    def waiting(self) -> int:
        """How many callbacks wait for their time."""
        return len(self._due)

    def _next(self, until: datetime) -> Callable[[], object] | None:
        with self._lock:
            if not self._due or self._due[0][0] > until:
                self._now = max(self._now, until)
                return None
            self._now, _number, callback = heapq.heappop(self._due)
            return callback


def _is_running_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
