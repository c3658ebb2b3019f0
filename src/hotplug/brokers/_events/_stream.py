"""One reader of a log: from its own place on, on the loop that asks."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from hotplug.brokers._events._past import make_event
from hotplug.brokers._events._waking import finish, wake
from hotplug.market import BrokerEvent, Gap, Heartbeat

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hotplug.brokers._events._ring import Ring
    from hotplug.market import EventPayload, Snapshot

__all__ = ["EventStream"]

_BATCH: Final = 256
# The cursor of a gap leads to the gap again, whoever reads on from there, and still says after what.
_LOST: Final = "lost:"


class EventStream(AsyncIterator[BrokerEvent]):
    """
    One reader of a log, for one task at a time, on any loop.

    Ends with the log, when it is closed, and when it fell so far behind that the log has forgotten
    what would come next: *cursor* tells a new stream where to go on.
    """

    def __init__(
        self,
        ring: Ring,
        after: str | None,
        snapshot: Callable[[], Awaitable[Snapshot]],
        wanted: Callable[[BrokerEvent], bool] | None,
        heartbeat: float | None,
    ) -> None:
        self._ring: Final = ring
        self._snapshot: Final = snapshot
        self._wanted: Final = wanted
        self._heartbeat: Final = heartbeat
        self._batch: Final[deque[BrokerEvent]] = deque()
        self._closed = False
        self._reading = False
        self._unbroken = 0
        self._quiet_until: float | None = None
        self._news: asyncio.Future[None] | None = None
        with ring.lock:
            self._life: Final = ring.life
            self._beats = ring.beats
            self._cursor = ring.newest if after is None else after.removeprefix(_LOST)
            number = ring.next - 1 if after is None else ring.number_of(after)
        self._lost = number is None
        self._number = -1 if number is None else number

    @property
    def cursor(self) -> str:
        """Where a new stream goes on: after the event handed out last, and what was not wanted since."""
        return self._cursor

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> BrokerEvent:
        batch, wanted = self._batch, self._wanted
        while True:
            while batch:
                event = batch.popleft()
                if type(event.payload) is Gap and not event.cursor.startswith(_LOST):
                    # The venue lost something, this log did not: a snapshot, then all that follows the gap.
                    shot = replace(await self._snapshot(), cursor=event.cursor)
                    batch.appendleft(self._event(event.cursor, shot))
                accepted = wanted is None or wanted(event)
                self._cursor = event.cursor
                if accepted:
                    self._quiet_until = None
                    return event
            if self._reading:
                raise RuntimeError("another task reads this stream: open one for each")
            self._reading = True
            try:
                beat = await self._fill()
            finally:
                self._reading = False
            if beat is not None:
                return beat

    async def aclose(self) -> None:
        """Read no more; who waits for the next event is told that there is none."""
        with self._ring.lock:
            self._closed = True
            news = self._news
        self._batch.clear()
        if news is not None:
            wake((news,))

    async def _fill(self) -> BrokerEvent | None:
        """Wait for something to hand out; for too long, and a heartbeat is."""
        if self._unbroken >= _BATCH:
            # Who has fallen behind must not keep its loop from all others.
            self._unbroken = 0
            await asyncio.sleep(0)
        ring, loop = self._ring, asyncio.get_running_loop()
        while True:
            if self._lost and not self._closed:
                self._batch.extend(await self._gap_and_snapshot())
            if self._was_quiet_for_long(loop.time()):
                return self._event(self._cursor, Heartbeat())
            with ring.lock:
                if self._take():
                    return None
                self._news = news = loop.create_future()
                ring.waiting.add(news)
            await self._hear(news)

    def _was_quiet_for_long(self, now: float) -> bool:
        if self._heartbeat is None or self._closed:
            return False
        if self._quiet_until is None:
            self._quiet_until = now + self._heartbeat
        if now < self._quiet_until:
            return False
        self._quiet_until = None
        return True

    def _take(self) -> bool:
        """Whether there is something to hand out now; `StopAsyncIteration` where there never will be."""
        ring, life = self._ring, self._life
        if self._closed or self._number < ring.first - 1:
            raise StopAsyncIteration
        if self._batch:
            return True
        last = ring.next - 1 if life.last is None else life.last
        if self._number < last:
            events = ring.after(self._number, min(last - self._number, _BATCH))
            self._batch.extend(events)
            self._number += len(events)
            self._unbroken += len(events)
            return True
        if life.over:
            raise StopAsyncIteration
        if ring.beats != self._beats:
            self._beats = ring.beats
            if ring.beat is not None and ring.beat_at == self._number:
                self._batch.append(ring.beat)
        return bool(self._batch)

    async def _hear(self, news: asyncio.Future[None]) -> None:
        timer = None
        if self._quiet_until is not None:
            timer = news.get_loop().call_at(self._quiet_until, finish, news)
        try:
            await news
        finally:
            self._unbroken = 0
            if timer is not None:
                timer.cancel()
            with self._ring.lock:
                self._news = None
                self._ring.waiting.discard(news)

    async def _gap_and_snapshot(self) -> tuple[BrokerEvent, BrokerEvent]:
        ring = self._ring
        with ring.lock:
            number, cursor = ring.next - 1, ring.newest
        snapshot = await self._snapshot()
        with ring.lock:
            known = None if snapshot.cursor is None else ring.number_of(snapshot.cursor)
        if known is None or snapshot.cursor is None:
            # It does not say where it stands: not before the place where the log stood when it was asked.
            snapshot = replace(snapshot, cursor=cursor)
        else:
            number, cursor = known, snapshot.cursor
        self._lost, self._number = False, number
        gap = Gap(after=self._cursor, before=cursor)
        return self._event(f"{_LOST}{self._cursor}", gap), self._event(cursor, snapshot)

    def _event(self, cursor: str, payload: EventPayload) -> BrokerEvent:
        return make_event(cursor, datetime.now(UTC), self._ring.generation, payload)
