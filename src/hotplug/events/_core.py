"""What the hub and its cursors share: the rings, the limits, and the lock that guards them."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from hotplug.events._names import ERROR, OVERHEAD, SNAPSHOTS
from hotplug.events._ring import Ring
from hotplug.events._words import complaint, serialised

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from hotplug.context import UserExecutionContext
    from hotplug.events._ring import Sleepers
    from hotplug.events._words import Stored

__all__ = ["Core", "wake"]

SWEEP_EVERY: Final = 64  # emits between two looks for users whose events have all grown too old


class Core:
    """The rings of all users. Methods but `store` are called with the lock held."""

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
        # Reentrant, for finalizers and signal handlers that emit: they may run in the midst of an emit.
        self.lock: threading.RLock = threading.RLock()
        self.rings: dict[str, Ring] = {}
        self.filled: OrderedDict[str, Ring] = OrderedDict()  # rings with events, longest silent first
        self.loudest: Ring | None = None  # the last of them: whoever emitted last
        self.floor: int = 0
        self.size: int = 0
        self.emitted: int = 0
        self.evicted: int = 0
        self.errors: int = 0
        self.refused: int = 0
        self.closed = False

    def store(self, context: UserExecutionContext, type_: str, payload: Mapping[str, Any]) -> Stored:
        """Put an event into its user's ring, keep the limits, wake who waits. Takes the lock itself."""
        failed = False
        try:
            body = serialised(payload, self.max_payload)
        except Exception as error:  # noqa: BLE001 - the border to the emitter's objects; delivery never raises
            body, type_, failed = complaint(type_, error), ERROR, True
        user, run, now = context.user_id, context.run_id, time.time()
        with self.lock:
            ring = self.rings.get(user)
            if self.closed:
                self.refused += 1
                return (ring.last if ring else self.floor, type_, body, context.thread_id, run, now)
            if ring is None:
                ring = self.ring(user)
            ring.last = seq = ring.last + 1
            stored = (seq, type_, body, context.thread_id, run, now)
            size = len(body) + OVERHEAD
            ring.recent.append(stored)
            ring.size += size
            self.size += size
            self.emitted += 1
            if failed:
                self.errors += 1
            if type_ in SNAPSHOTS:
                ring.newest[type_, run] = seq
            if ring is not self.loudest:
                self.loudest = self.filled[user] = ring
                self.filled.move_to_end(user)
            while len(ring.recent) + len(ring.kept) > self.max_events or ring.size > self.max_bytes:
                self.size -= ring.give_up(self.max_kept, self.max_kept_bytes)
                self.evicted += 1
            if not self.emitted % SWEEP_EVERY or self.size > self.max_total_bytes:
                self._sweep(now)
            sleepers = ring.take_sleepers() if ring.sleepers else None
        if sleepers:
            wake(sleepers)
        return stored

    def _sweep(self, now: float) -> None:
        """Keep the common limit, and empty the rings in which nothing at all is young enough."""
        while self.size > self.max_total_bytes:
            ring = self._longest_silent()
            self._count_loss(ring, ring.give_up(self.max_kept, self.max_kept_bytes))
        while (ring := self._longest_silent()).is_older_than(now - self.max_age):
            self.expire(ring, now)

    def _longest_silent(self) -> Ring:
        """The ring that pays first for the common limit."""
        return next(iter(self.filled.values()))

    def expire(self, ring: Ring, now: float) -> None:
        """Drop what has grown too old in *ring*."""
        while (oldest := ring.oldest) is not None and oldest[5] < now - self.max_age:
            self._count_loss(ring, ring.drop_oldest())

    def _count_loss(self, ring: Ring, freed: int) -> None:
        self.size -= freed
        self.evicted += 1
        if not ring.count:
            del self.filled[ring.user_id]
            if self.loudest is ring:
                self.loudest = None
            self.forget_if_idle(ring)

    def forget_if_idle(self, ring: Ring) -> None:
        """Drop an empty ring that nobody reads; who resumes in it later learns of the loss by the floor."""
        if not ring.count and not ring.cursors and self.rings.get(ring.user_id) is ring:
            del self.rings[ring.user_id]
            self.floor = max(self.floor, ring.last)

    def ring(self, user_id: str) -> Ring:
        """The user's ring, made if need be."""
        ring = self.rings.get(user_id)
        if ring is None:
            ring = self.rings[user_id] = Ring(user_id, self.floor)
        return ring

    def place(self, ring: Ring, after: str | None) -> tuple[int, bool]:
        """Where a cursor starts, and whether *after* is from elsewhere."""
        if after is None:
            return ring.last, False
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


def wake(sleepers: Sleepers) -> None:
    """Wake waiting readers: one call into each loop, however many wait there."""
    for loop, futures in sleepers.items():
        with contextlib.suppress(RuntimeError):  # its loop is closed: nobody waits there any more
            loop.call_soon_threadsafe(_resolve, futures)


def _resolve(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)
