"""The hub that takes events, the cursors that hand them out, the emitter that plugins are given."""

from __future__ import annotations

import asyncio
import time
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Self

from hotplug.errors import InvalidContextError
from hotplug.events._core import Core, wake
from hotplug.events._names import GAP, NOTHING
from hotplug.events._words import CursorStats, Event, HubStats, event_of, serialised

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    from hotplug.context import UserExecutionContext
    from hotplug.events._ring import Ring
    from hotplug.events._words import Stored

__all__ = ["EventCursor", "EventEmitter", "EventHub"]

MARGIN: Final = 200  # bytes that may be added to a payload after it was found to fit
LAGGING: Final = 32  # a reader so many events behind is given only the newest of each snapshot


class EventHub:
    """
    One bounded ring of events per user.

    A ring holds *max_events* events and *max_bytes* bytes, none older than *max_age* seconds; all rings
    together hold *max_total_bytes*. Ordinary events are given up first, oldest first; starts and ends of
    runs, results of tool calls and errors outlast them in up to half of the ring.

    Every method may be called from any thread and any event loop.
    """

    def __init__(
        self,
        *,
        max_events: int = 4096,
        max_bytes: int = 4 * 2**20,
        max_age: float = 3600.0,
        max_total_bytes: int = 256 * 2**20,
    ) -> None:
        self._core = Core(max_events, max_bytes, max_age, max_total_bytes)

    def emit(
        self,
        context: UserExecutionContext,
        type: str,  # noqa: A002 - the word of AG-UI
        payload: Mapping[str, Any] = NOTHING,
    ) -> str:
        """
        Tell *context*'s user, and nobody else, that *type* happened; the event's cursor.

        Never waits for a reader and never raises for delivery: a *payload* that is no JSON object, or is
        larger than half a ring, becomes an ``ERROR`` event in its place. After `close` it only counts.
        """
        core = self._core
        return f"{core.epoch}:{core.store(context, type, payload)[0]}"

    def emit_event(
        self,
        context: UserExecutionContext,
        type: str,  # noqa: A002
        payload: Mapping[str, Any] = NOTHING,
    ) -> Event:
        """Do the same as `emit`, and hand back the event as readers will see it."""
        core = self._core
        return event_of(context.user_id, core.epoch, core.store(context, type, payload))

    def open(self, context: UserExecutionContext, after: str | None = None) -> EventCursor:
        """
        A cursor for *context*'s user: what happens from now on, or all that came after the cursor *after*.

        If something after *after* is gone already, or *after* is from another hub, the first event handed
        out is a ``GAP``.
        """
        core = self._core
        with core.lock:
            ring = core.ring(context.user_id)
            start, foreign = core.place(ring, after)
            cursor = EventCursor(core, ring, start, foreign=foreign)
            ring.cursors.add(cursor)
            return cursor

    def refusal(self, payload: Mapping[str, Any]) -> str:
        """Why *payload* would become an ``ERROR`` event; empty if it would not."""
        try:
            serialised(payload, self._core.max_payload - MARGIN)
        except Exception as error:  # noqa: BLE001 - the border to the emitter's objects
            return f"{type(error).__name__}: {error}"[:MARGIN]
        return ""

    def stats(self) -> HubStats:
        """What the hub holds and has done, at one instant."""
        core = self._core
        with core.lock:
            rings = core.rings.values()
            return HubStats(
                users=len(rings),
                cursors=sum(len(ring.cursors) for ring in rings),
                events=sum(ring.count for ring in rings),
                size=core.size,
                emitted=core.emitted,
                evicted=core.evicted,
                errors=core.errors,
                refused=core.refused,
            )

    def close(self) -> None:
        """Take no more events. Cursors hand out what is left, then end. Idempotent."""
        core = self._core
        with core.lock:
            core.closed = True
            asleep = [ring.take_sleepers() for ring in core.rings.values()]
        for sleepers in asleep:
            wake(sleepers)


class EventCursor:
    """
    One reader's place in its user's events: ``async for event in cursor``, or `poll`.

    A context manager: leaving closes it. What was lost before it could be handed out is told by one
    ``GAP`` event (``missed``: how many, or None after a change of epoch) at the next reading. A reader
    far behind gets only the newest of the snapshot events of a run. Thread-safe.
    """

    def __init__(self, core: Core, ring: Ring, start: int, *, foreign: bool) -> None:
        self._core = core
        self._ring = ring
        self._start = self._position = self._acked = start
        self._foreign = foreign
        self._delivered = self._coalesced = self._announced = 0
        self._end: int | None = None

    def poll(self, max: int = 100) -> list[Event]:  # noqa: A002 - the name is the contract's
        """Up to *max* events that wait to be handed out; maybe none. Never waits."""
        if max < 1:
            raise ValueError(f"max must be at least 1, not {max}")
        core, user = self._core, self._ring.user_id
        with core.lock:
            if self._end is not None:
                return []
            core.expire(self._ring, time.time())
            gap = self._gap()
            taken = list(islice(self._take(), max - len(gap)))
        return gap + [event_of(user, core.epoch, stored) for stored in taken]

    def ack(self, cursor: str | None = None) -> str:
        """
        Note that everything up to *cursor* (all that was handed out, without one) has been dealt with.

        Where to resume after a break, as a cursor. Raises `ValueError` for a place that was not reached.
        """
        core = self._core
        with core.lock:
            seq = self._position if cursor is None else core.seq_of(cursor)
            if seq is None or not self._start <= seq <= self._position:
                raise ValueError(f"{cursor!r} was not handed out by this cursor")
            self._acked = max(self._acked, seq)
            return f"{core.epoch}:{self._acked}"

    def stats(self) -> CursorStats:
        """What became of the events so far, at one instant."""
        with self._core.lock:
            return CursorStats(
                emitted=self._emitted(),
                delivered=self._delivered,
                coalesced=self._coalesced,
                dropped=self._dropped(),
                pending=self._pending(),
            )

    def close(self) -> None:
        """Hand out nothing more; what was pending counts as dropped. Who iterates, stops. Idempotent."""
        with self._core.lock:
            if self._end is None:
                self._end = self._ring.last
            self._ring.cursors.discard(self)
            self._core.forget_if_idle(self._ring)
            sleepers = self._ring.take_sleepers()
        wake(sleepers)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while True:
            if events := self.poll(1):
                return events[0]
            if not await self._something_new():
                raise StopAsyncIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- under the hub's lock ----------------------------------------------------------------------

    def _emitted(self) -> int:
        return (self._ring.last if self._end is None else self._end) - self._start

    def _pending(self) -> int:
        return self._ring.pending(self._position) if self._end is None else 0

    def _dropped(self) -> int:
        return self._emitted() - self._delivered - self._coalesced - self._pending()

    def _gap(self) -> list[Event]:
        """The event that tells of what was lost since the last one, if anything was."""
        dropped = self._dropped()
        if dropped == self._announced and not self._foreign:
            return []
        missed = None if self._foreign else dropped - self._announced
        why = "another epoch" if self._foreign else "evicted"
        self._announced, self._foreign = dropped, False
        body = serialised({"missed": missed, "reason": why}, 1024)
        stored = (self._position, GAP, body, None, None, time.time())
        return [event_of(self._ring.user_id, self._core.epoch, stored)]

    def _take(self) -> Iterator[Stored]:
        ring = self._ring
        lagging = self._pending() > LAGGING
        for stored in ring.since(self._position):
            self._position = stored[0]
            if lagging and ring.is_superseded(stored):
                self._coalesced += 1
            else:
                self._delivered += 1
                yield stored

    # -- waiting -----------------------------------------------------------------------------------

    async def _something_new(self) -> bool:
        """Wait until there may be something to hand out; false when nothing will come any more."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        with self._core.lock:
            if self._end is not None:
                return False
            if self._pending() or self._dropped() != self._announced:
                return True
            if self._core.closed:
                return False
            self._ring.sleepers.setdefault(loop, []).append(future)
        try:
            await future
        finally:
            self._forget_sleeper(loop, future)
        return True

    def _forget_sleeper(self, loop: asyncio.AbstractEventLoop, future: asyncio.Future[None]) -> None:
        """A reader that gave up waiting leaves nothing behind, though nothing may ever happen."""
        with self._core.lock:
            waiting = self._ring.sleepers.get(loop)
            if waiting and future in waiting:
                waiting.remove(future)
                if not waiting:
                    del self._ring.sleepers[loop]


class EventEmitter:
    """
    A plugin's way to emit: bound to one user's *context*, or to nobody (for what is shared).

    A bound one speaks to its user only; a shared one must be told for whom each time.
    """

    __slots__ = ("_context", "_hub")

    def __init__(self, hub: EventHub, context: UserExecutionContext | None = None) -> None:
        self._hub = hub
        self._context = context

    def emit(
        self,
        type: str,  # noqa: A002
        payload: Mapping[str, Any] = NOTHING,
        *,
        context: UserExecutionContext | None = None,
    ) -> str:
        """
        Tell the user that *type* happened; the event's cursor.

        Raises `InvalidContextError` if it is not clear for whom, or is for another user than the bound one.
        """
        bound = self._context
        if context is None:
            context = bound
        if context is None:
            raise InvalidContextError(
                f"a shared emitter must be told for whom {type!r} is: emit(type, payload, context=context)"
            )
        if bound is not None and bound.user_id != context.user_id:
            raise InvalidContextError(
                f"this emitter belongs to user {bound.user_id!r} and emits nothing for {context.user_id!r}"
            )
        return self._hub.emit(context, type, payload)
