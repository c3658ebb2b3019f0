"""The hub that takes events, the cursors that hand them out, the emitter that plugins are given."""

from __future__ import annotations

import asyncio
import time
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Self

from hotplug.errors import InvalidContextError
from hotplug.events._core import Core, wake
from hotplug.events._names import GAP, NOTHING
from hotplug.events._words import CursorStats, Event, HubStats, blame, event_of, serialised

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    from hotplug.context import UserExecutionContext
    from hotplug.events._ring import Ring
    from hotplug.events._words import Stored

__all__ = ["EventCursor", "EventEmitter", "EventHub"]

MARGIN: Final = 200  # bytes that may be added to a payload after it was found to fit
LAGGING: Final = 32  # a reader so many events behind is spared what a newer snapshot replaces


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

        After ``start`` comes all that is known of the user. If something after *after* is gone already, or
        *after* is from another hub, the first event handed out is a ``GAP``.
        """
        core = self._core
        with core.bank:
            ring = core.ring(context.user_id)
            with ring:
                start, foreign = core.place(ring, after)
                cursor = EventCursor(core, ring, start, foreign=foreign)
                ring.cursors.add(cursor)
                return cursor

    def refusal(self, payload: Mapping[str, Any]) -> str:
        """Why *payload* would become an ``ERROR`` event; empty if it would not."""
        try:
            serialised(payload, self._core.max_payload - MARGIN)
        except Exception as error:  # noqa: BLE001 - the border to the emitter's objects
            return blame(error)[:MARGIN]
        return ""

    def stats(self) -> HubStats:
        """What the hub holds and has done."""
        core = self._core
        users = cursors = events = size = 0
        with core.bank:  # so nothing goes from one ring to another meanwhile
            emitted, evicted, errors = core.gone_emitted, core.gone_evicted, core.gone_errors
            for ring in tuple(core.rings.values()):  # a finalizer may add one, even now
                with ring:
                    users += 1
                    cursors += len(ring.cursors)
                    events += ring.count
                    size += ring.size
                    emitted += ring.emitted
                    evicted += ring.evicted
                    errors += ring.errors
            return HubStats(users, cursors, events, size, emitted, evicted, errors, core.refused)

    def close(self) -> None:
        """Take no more events. Cursors hand out what is left, then end. Idempotent."""
        core = self._core
        with core.bank:
            core.closed = True
            rings = tuple(core.rings.values())
        for ring in rings:
            with ring:
                ring.room = -1  # nothing fits any more
                sleepers = ring.take_sleepers()
            wake(sleepers)


class EventCursor:
    """
    One reader's place in its user's events: ``async for event in cursor``, or `poll`.

    A context manager: leaving closes it. What was lost before it could be handed out is told by one
    ``GAP`` event (``missed``: how many, or None after a change of epoch) at the next reading. A reader
    far behind is spared what a newer snapshot of the same run's state or messages replaces. One so far
    behind that even the end of a run, the result of a tool or an error has to be given up before it came
    for it is closed: its last event is a ``GAP`` with the reason ``too slow``. Thread-safe.
    """

    def __init__(self, core: Core, ring: Ring, start: int, *, foreign: bool) -> None:
        self._core = core
        self._ring = ring
        self._start = self._position = self._acked = start
        self._foreign = foreign
        self._delivered = self._coalesced = self._announced = self._hurried_to = 0
        self._end: int | None = None
        self._is_too_slow = False

    def poll(self, max: int = 100) -> list[Event]:  # noqa: A002 - the name is the contract's
        """Up to *max* events that wait to be handed out; maybe none. Never waits."""
        user, epoch = self._ring.user_id, self._core.epoch
        return [event_of(user, epoch, stored) for stored in self.take(max)]

    def take(self, max: int = 100) -> list[Stored]:  # noqa: A002
        """
        `poll`, for who sends them on: each as it is stored, its payload as JSON text.

        All cursors of a user are given the same tuples, so that what is made of one can be shared.
        """
        if max < 1:
            raise ValueError(f"max must be at least 1, not {max}")
        core = self._core
        with self._ring:
            if self._end is not None:
                return self._farewell()
            core.expire(self._ring, time.time())
            gap = self._gap()
            taken = gap + list(islice(self._take(), max - len(gap)))
        core.settle()
        return taken

    async def ready(self) -> bool:
        """Wait until there may be something to hand out; false when nothing will come any more."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        with self._ring:
            if self._end is not None:
                return self._is_too_slow
            if self._pending() or self._dropped() != self._announced:
                return True
            if self._core.closed:
                return False
            self._ring.sleepers.setdefault(loop, []).append(future)
        self._core.settle()
        try:
            await future
        finally:
            self._forget_sleeper(loop, future)
        return True

    def ack(self, cursor: str | None = None) -> str:
        """
        Note that everything up to *cursor* (all that was handed out, without one) has been dealt with.

        Where to resume after a break, as a cursor. Raises `ValueError` for a place that was not reached.
        """
        core = self._core
        with self._ring:
            seq = self._position if cursor is None else core.seq_of(cursor)
            if seq is None or not self._start <= seq <= self._position:
                raise ValueError(f"{cursor!r} was not handed out by this cursor")
            self._acked = max(self._acked, seq)
            return f"{core.epoch}:{self._acked}"

    def stats(self) -> CursorStats:
        """What became of the events so far, at one instant."""
        with self._ring:
            return CursorStats(
                emitted=self._emitted(),
                delivered=self._delivered,
                coalesced=self._coalesced,
                dropped=self._dropped(),
                pending=self._pending(),
            )

    def close(self) -> None:
        """Hand out nothing more; what was pending counts as dropped. Who iterates, stops. Idempotent."""
        with self._ring as ring:
            if self._end is None:
                self._end = ring.last
            self._is_too_slow = False
            ring.cursors.discard(self)
            sleepers = ring.take_sleepers()
            is_idle = not ring.count and not ring.cursors
        wake(sleepers)
        if is_idle:
            self._core.forget_if_idle(ring)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while True:
            if events := self.poll(1):
                return events[0]
            if not await self.ready():
                raise StopAsyncIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- with the ring's lock held -----------------------------------------------------------------

    def leave_behind(self, seq: int) -> None:
        """The lasting event *seq* is given up: if it was still to be handed out, this reader is too slow."""
        if self._end is None and self._position < seq:
            self._end = self._ring.last
            self._is_too_slow = True

    def _emitted(self) -> int:
        return (self._ring.last if self._end is None else self._end) - self._start

    def _pending(self) -> int:
        return self._ring.pending(self._position) if self._end is None else 0

    def _dropped(self) -> int:
        return self._emitted() - self._delivered - self._coalesced - self._pending()

    def _farewell(self) -> list[Stored]:
        """What one that was closed has still to say."""
        if not self._is_too_slow:
            return []
        self._is_too_slow = False
        return self._gap("too slow")

    def _gap(self, why: str = "evicted") -> list[Stored]:
        """The event that tells of what was lost since the last one, if anything was."""
        dropped = self._dropped()
        if dropped == self._announced and not self._foreign:
            return []
        missed = None if self._foreign else dropped - self._announced
        if self._foreign and why == "evicted":
            why = "another epoch"
        self._announced, self._foreign = dropped, False
        body = serialised({"missed": missed, "reason": why}, 1024)
        return [(self._position, GAP, body, None, None, time.time())]

    def _take(self) -> Iterator[Stored]:
        ring = self._ring
        if self._pending() > LAGGING:
            self._hurried_to = ring.last  # not to be left before: a delta is nothing without its snapshot
        for stored in ring.since(self._position):
            self._position = stored[0]
            if stored[0] <= self._hurried_to and ring.is_superseded(stored):
                self._coalesced += 1
            else:
                self._delivered += 1
                yield stored

    # -- waiting -----------------------------------------------------------------------------------

    def _forget_sleeper(self, loop: asyncio.AbstractEventLoop, future: asyncio.Future[None]) -> None:
        """A reader that gave up waiting leaves nothing behind, though nothing may ever happen."""
        with self._ring:
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
