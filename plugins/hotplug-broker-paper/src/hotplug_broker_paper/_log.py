"""What happened, in order, and readers that follow it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from hotplug.market import BrokerEvent

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable
    from datetime import datetime

    from hotplug.market import EventPayload

__all__ = ["EventLog", "EventStream"]


class EventLog:
    """
    A numbered log that keeps the newest *keep* events (up to twice as many before it forgets some).

    Call it under its owner's *lock*, but for `wake`, which takes the lock itself.
    """

    def __init__(self, lock: threading.Lock, keep: int) -> None:
        self.lock: Final = lock
        self.ended = False
        self._keep: Final = keep
        self._epoch: Final = uuid4().hex[:12]
        self._events: list[BrokerEvent] = []
        self._first = 1
        self._woken_at = 1
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def first(self) -> int:
        """The number of the oldest event kept."""
        return self._first

    @property
    def next(self) -> int:
        """The number of the next event."""
        return self._first + len(self._events)

    def cursor(self, number: int | None = None) -> str:
        """The cursor of the event *number*; without one, of the newest."""
        return f"{self._epoch}:{self.next - 1 if number is None else number}"

    def number_after(self, cursor: str) -> int | None:
        """The number after *cursor*; ``None`` where the cursor is foreign or what follows it forgotten."""
        epoch, _, digits = cursor.partition(":")
        if epoch != self._epoch or not digits.isdecimal():
            return None
        number = int(digits) + 1
        return number if self._first <= number <= self.next else None

    def append(self, time: datetime, payload: EventPayload) -> None:
        """Add an event."""
        cursor = self.cursor(self.next)
        self._events.append(BrokerEvent(cursor=cursor, time=time, generation=0, payload=payload))
        if len(self._events) > 2 * self._keep:
            del self._events[: self._keep]
            self._first += self._keep

    def __getitem__(self, number: int) -> BrokerEvent:
        return self._events[number - self._first]

    def wait(self) -> asyncio.Future[None]:
        """A future of the running loop that is done when something new is here."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        return future

    def wake(self) -> None:
        """Wake who waits, if there is news; other loops hear of it without our lock being held."""
        with self.lock:
            if self.next == self._woken_at and not self.ended:
                return
            self._woken_at = self.next
            waiting, self._waiting = self._waiting, []
        here = _running_loop()
        for future in waiting:
            loop = future.get_loop()
            if loop is here:
                _finish(future)
            elif not loop.is_closed():
                loop.call_soon_threadsafe(_finish, future)


class EventStream:
    """
    One reader of the log, from its own place on; an async iterator.

    Ends when the log does, and when the log has forgotten what would come next: the cursor of
    the event read last tells a new stream where to go on.
    """

    def __init__(self, log: EventLog, start: int, before: Iterable[BrokerEvent] = ()) -> None:
        self._log: Final = log
        self._next = start
        self._before: Final = deque(before)
        self._closed = False

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> BrokerEvent:
        if self._before:
            return self._before.popleft()
        while not self._closed:
            with self._log.lock:
                if self._next < self._log.first:
                    break
                if self._next < self._log.next:
                    self._next += 1
                    return self._log[self._next - 1]
                if self._log.ended:
                    break
                news = self._log.wait()
            await news
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Read no more."""
        self._closed = True
        self._before.clear()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
