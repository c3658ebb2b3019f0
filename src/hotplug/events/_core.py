"""
What the hub and its cursors share: the rings, each with its own lock, and the bank that they grow from.

    emit ─▶ ring.lock: append ─▶ wake readers             emitters of different users never meet
               │ no room left
               ▼
            bank.lock: take from what is free, else from the ring that is silent longest

Locks are taken bank first, then ring. An emit that comes from inside another one in the same thread (of a
finalizer, of a signal handler) may wait for nobody: what it cannot do at once is done when that one is over.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import sys
import threading
import time
from collections import deque
from math import inf
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from hotplug.events._names import ERROR, OVERHEAD, SNAPSHOTS
from hotplug.events._ring import Ring
from hotplug.events._words import complaint, decoded, encode, name_of, serialised

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping
    from types import FrameType

    from hotplug.context import UserExecutionContext
    from hotplug.events._ring import Sleepers
    from hotplug.events._words import Stored

__all__ = ["Core", "wake"]

SWEEP_EVERY: Final = 64  # emits to a user between two looks for users whose events have all grown too old
SLACK: Final = 256  # a full ring gives up this part of itself at a time
START: Final = "start"  # the cursor behind which all is that is held
MOST_NAMES: Final = 1024  # that are recognised at once
SILENCE: Final = 1.0  # seconds after which the others may take from a user, however much they have
SHARED_SLACK: Final = 16  # a ring that may not grow gives up this part of itself at a time
STEP: Final = 64 * 1024  # bytes that a large ring takes from the bank at a time


class Core:
    """The rings of all users. Thread-safe, but for what says that a lock is held."""

    def __init__(self, max_events: int, max_bytes: int, max_age: float, max_total_bytes: int) -> None:
        smallest = 4 * OVERHEAD
        for name, limit, least in (
            ("max_events", max_events, 1),
            ("max_bytes", max_bytes, smallest),
            ("max_total_bytes", max_total_bytes, smallest),
        ):
            if limit < least:
                raise ValueError(f"{name} must be at least {least}, not {limit}")
        if not max_age > 0:
            raise ValueError(f"max_age must be more than 0 seconds, not {max_age}")
        self.max_events = max_events
        self.max_bytes: int = min(max_bytes, max_total_bytes)
        self.max_payload: int = self.max_bytes // 2 - OVERHEAD
        self.max_kept: int = max_events // 2
        self.max_kept_bytes: int = self.max_bytes // 2
        self.max_age = max_age
        self.max_total_bytes = max_total_bytes
        self.epoch: str = uuid4().hex[:12]
        self.bank: threading.RLock = threading.RLock()
        self.free: int = max_total_bytes
        self.rings: dict[str, Ring] = {}
        self.names: dict[str, str] = {}  # of events, but for those of which the newest is to be remembered
        self.silent: list[tuple[float, int, Ring]] = []  # a heap: since when each is silent, at the least
        self.turns: Final[itertools.count[int]] = itertools.count()
        self.floor: int = 0
        self.gone_emitted: int = 0
        self.gone_evicted: int = 0
        self.gone_errors: int = 0
        self.refused: int = 0
        self.closed = False
        self.put_off: deque[tuple[UserExecutionContext, str, bytes, bool]] = deque()
        self.settling: threading.Lock = threading.Lock()

    # -- emitting ----------------------------------------------------------------------------------

    def store(  # noqa: C901 - in one piece: this is done for each event, and a call takes a tenth of it all
        self, context: UserExecutionContext, type_: str, payload: Mapping[str, Any], failed: bool = False
    ) -> Stored:
        """Put an event into its user's ring, keep the limits, wake who waits."""
        stored, is_snapshot = None, False
        try:
            name = self.names.get(type_)
            if name is None:
                name = self._name_of(type_)
                is_snapshot = name in SNAPSHOTS
            if (
                payload.__class__ is not dict
                or (body := encode(payload)).partition(b"null")[1]
                or len(body) > self.max_payload
            ):
                body = serialised(payload, self.max_payload)
        except Exception as error:  # noqa: BLE001 - the border to the emitter's objects; delivery never raises
            name, body, failed = ERROR, complaint(type_, error, self.max_payload), True
            is_snapshot = False
        user, run, size = context.user_id, context.run_id, len(body) + OVERHEAD
        while True:
            ring = self.rings.get(user) or self._ring_at_once(user)
            if ring is None or not (ring.acquire(False) or self._waited_for(ring.lock)):
                break
            if ring.depth:
                ring.release()
                break
            ring.depth = 1
            try:
                seq = ring.last + 1
                if (ring.size + size <= ring.room and seq <= ring.brim) or self._fits(ring, size):
                    stored = (seq, name, body, context.thread_id, run, time.time())
                    ring.recent.append(stored)
                    ring.last = seq
                    ring.size += size
                    if is_snapshot:
                        ring.newest[name, run] = seq
                    if failed:
                        ring.errors += 1
                    if ring.sleepers:
                        wake(ring.take_sleepers())
                    if seq % SWEEP_EVERY and not self.put_off:
                        return stored
            finally:
                ring.depth = 0
                ring.release()
            if stored is not None:
                self.tidy_up()
                return stored
            if self.closed:
                return self._refused(ring, context, name, body)
            if not self._make_room(ring, size):
                break
        return self._put_off(context, name, body, failed=failed)

    def _name_of(self, type_: object) -> str:
        """What *type_* is called, in a plain string of our own; it is known from then on."""
        name = name_of(type_)
        if name not in SNAPSHOTS and len(self.names) < MOST_NAMES:
            name = self.names.setdefault(name, name)
        return name

    def _fits(self, ring: Ring, size: int) -> bool:
        """Whether *size* bytes more fit into the room of *ring*, when it has given up what it must."""
        if self.closed or ring.is_over:
            return False
        if ring.last >= ring.brim or ring.size + size > self.max_bytes:
            # Somewhat more than must be: the next ones find room at once.
            self._shrink(ring, self.max_bytes - self.max_bytes // SLACK - size, self.max_events // SLACK + 1)
        return ring.size + size <= ring.room

    def _shrink(self, ring: Ring, size: int, more: int = 0) -> None:
        """See that *ring* holds no more than *size* bytes, and has numbers left for *more* events."""
        ring.give_up(ring.last + more, size, self.max_kept, self.max_kept_bytes)

    def _refused(self, ring: Ring, context: UserExecutionContext, type_: str, body: bytes) -> Stored:
        with self.bank:
            self.refused += 1
        return (ring.last, type_, body, context.thread_id, context.run_id, time.time())

    def _ring_at_once(self, user: str) -> Ring | None:
        """The user's ring, made if need be; None where that would have to wait for ourselves."""
        if not (self.bank.acquire(blocking=False) or self._waited_for(self.bank)):
            return None
        try:
            return self.ring(user)
        finally:
            self.bank.release()

    def _waited_for(self, lock: threading.RLock) -> bool:
        """Take *lock*, which somebody has; not inside another call of ours, which may keep him waiting."""
        if _is_inside():
            return False
        return lock.acquire()

    def _put_off(self, context: UserExecutionContext, type_: str, body: bytes, *, failed: bool) -> Stored:
        """What cannot be stored at once is stored when the call is over that this one came from inside of."""
        self.put_off.append((context, type_, body, failed))
        ring = self.rings.get(context.user_id)
        last = self.floor if ring is None else ring.last
        return (last, type_, body, context.thread_id, context.run_id, time.time())

    # -- the bank ----------------------------------------------------------------------------------

    def _make_room(self, ring: Ring, size: int) -> bool:
        """See that *ring* may grow by *size*; false where that would have to wait for ourselves."""
        if not (self.bank.acquire(blocking=False) or self._waited_for(self.bank)):
            return False
        try:
            total = self.max_total_bytes
            more = max(ring.size // 4, total // (8 * len(self.rings) + 1))
            most = min(STEP, total // 64, self.max_bytes - ring.room)
            wanted = max(0, ring.size + size - ring.room, min(more, most))
            now, own = time.time(), ring.room - ring.room // SHARED_SLACK
            # Who has half its share takes nothing from those who speak: they would take it back at once.
            has_its_share = size <= own and 2 * (ring.size + size) * len(self.rings) > total
            before = now - SILENCE if has_its_share else inf
            while self.free < wanted and self._reclaim(wanted - self.free, ring, before):
                pass
            with ring:
                if ring.is_over or self.closed:
                    return True  # forgotten, and there is another by now; or nothing is to have room any more
                granted = min(wanted, self.free)
                self.free -= granted
                ring.room += granted
                if ring.size + size > ring.room:  # nobody else has any to give: its own oldest pay
                    self._shrink(ring, ring.room - ring.room // SHARED_SLACK - size)
                self._list(ring, now)
        finally:
            self.bank.release()
        return True

    def _reclaim(self, needed: int, taker: Ring, before: float) -> bool:
        """Take *needed* bytes, or what it has, from the ring that is silent longest; false: there is none."""
        ring = self._longest_silent(taker, before)
        if ring is None:
            return False
        with ring:
            self._shrink(ring, ring.room - needed)
            self._take_back(ring, min(needed, ring.room - ring.size) if ring.count else ring.room)
        return True

    def _longest_silent(self, taker: Ring, before: float) -> Ring | None:
        """Who, silent since *before*, pays for the growth of *taker*; maybe nobody. With the bank's lock."""
        found, aside = None, False
        while found is None and self.silent and self.silent[0][0] <= before:
            seen, _, ring = heapq.heappop(self.silent)
            ring.is_listed = False
            if ring is taker:
                aside = True
            elif ring.room > 0 and ring.newest_at > seen:
                self._list(ring, ring.newest_at)  # it has spoken since, in the room that it had
            elif ring.room > 0:
                found = ring
        if aside:
            self._list(taker, taker.newest_at)
        return found

    def _list(self, ring: Ring, since: float) -> None:
        """*ring* may have to pay; it has been silent since then, or less long."""
        if not ring.is_listed:
            ring.is_listed = True
            heapq.heappush(self.silent, (since, next(self.turns), ring))

    def _take_back(self, ring: Ring, room: int) -> None:
        """*room* of it is free again. With both locks held."""
        ring.room -= room
        self.free += room
        if ring.room:
            self._list(ring, ring.newest_at)
        else:
            self._forget_if_idle(ring)

    def settle(self) -> None:
        """Store what was put off, unless this is inside of another call still, or somebody is at it."""
        while self.put_off and not _is_inside() and self.settling.acquire(blocking=False):
            try:
                with contextlib.suppress(IndexError):  # nothing is left
                    while True:
                        context, type_, body, failed = self.put_off.popleft()
                        self.store(context, type_, decoded(body), failed)
            finally:
                self.settling.release()

    def tidy_up(self) -> None:
        """Store what was put off, and empty the rings in which nothing at all is young enough."""
        self.settle()
        if self.bank.acquire(blocking=False):  # else somebody is at it
            try:
                self._expire_silent(time.time() - self.max_age)
            finally:
                self.bank.release()

    def _expire_silent(self, moment: float) -> None:
        while self.silent and self.silent[0][0] < moment:
            ring = self.silent[0][2]
            if not ring.enter_at_once():
                return
            try:
                heapq.heappop(self.silent)
                ring.is_listed = False
                self.expire(ring, moment + self.max_age)
                self._take_back(ring, ring.room - ring.size)
            finally:
                ring.leave()

    def expire(self, ring: Ring, now: float) -> None:
        """Drop what has grown too old in *ring*, whose lock is held."""
        while (oldest := ring.oldest) is not None and oldest[5] < now - self.max_age:
            ring.drop_oldest()

    def forget_if_idle(self, ring: Ring) -> None:
        """Drop an empty ring that nobody reads, as far as that can be done at once."""
        if self.bank.acquire(blocking=False):
            try:
                if ring.enter_at_once():
                    try:
                        self._forget_if_idle(ring)
                    finally:
                        ring.leave()
            finally:
                self.bank.release()

    def _forget_if_idle(self, ring: Ring) -> None:
        """Who resumes in it later learns of the loss by the floor. With both locks held, the ring's once."""
        if ring.count or ring.cursors or ring.depth > 1 or ring.is_over:
            return
        ring.is_over = True
        self.free += ring.room
        ring.room = -1  # nothing fits any more
        self.floor = max(self.floor, ring.last)
        self.gone_emitted += ring.emitted
        self.gone_evicted += ring.evicted
        self.gone_errors += ring.errors
        del self.rings[ring.user_id]

    # -- places ------------------------------------------------------------------------------------

    def ring(self, user_id: str) -> Ring:
        """The user's ring, made if need be. With the bank's lock held."""
        ring = self.rings.get(user_id)
        if ring is None:
            ring = self.rings[user_id] = Ring(user_id, self.floor, self.max_events)
        return ring

    def place(self, ring: Ring, after: str | None) -> tuple[int, bool]:
        """Where a cursor starts in *ring*, whose lock is held, and whether *after* is from elsewhere."""
        if after is None:
            return ring.last, False
        if after == START:
            return ring.born, False
        seq = self.seq_of(after)
        if seq is not None and seq <= ring.last:
            return seq, False
        oldest = ring.oldest
        return (oldest[0] - 1 if oldest else ring.last), True

    def seq_of(self, cursor: str) -> int | None:
        """The number in one of this hub's own cursors."""
        epoch, _, digits = cursor.partition(":")
        if epoch == self.epoch and digits.isascii() and digits.isdigit() and len(digits) < 20:
            return int(digits)
        return None


def _is_inside() -> bool:
    """Whether the caller was called from inside another call of this room, in the same thread."""
    frame: FrameType | None = sys._getframe()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - inspect reads source
    rooms: list[bool] = []
    while frame is not None:
        rooms.append(frame.f_globals.get("__package__") == __package__)
        frame = frame.f_back
    return False in rooms and True in rooms[rooms.index(False) :]


def wake(sleepers: Sleepers) -> None:
    """Wake waiting readers: one call into each loop, however many wait there."""
    for loop, futures in sleepers.items():
        with contextlib.suppress(RuntimeError):  # its loop is closed: nobody waits there any more
            loop.call_soon_threadsafe(_resolve, futures)


def _resolve(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)
