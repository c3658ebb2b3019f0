"""One user's events, bounded."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Final, Self

from hotplug.events._names import LASTING, OVERHEAD, REPLACED_BY, SNAPSHOTS

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

    from hotplug.events._hub import EventCursor
    from hotplug.events._words import Stored

__all__ = ["Ring", "Sleepers"]

Sleepers = dict["asyncio.AbstractEventLoop", list["asyncio.Future[None]"]]


class Ring:
    """
    The newest events of one user without a hole (*recent*), and older lasting ones (*kept*).

    *last* is the number of the newest event ever; numbers are contiguous, so that what is missing
    between two of them can be counted. It may hold *room* bytes, and events up to the number *brim*. All
    is done with its lock held: ``with``, which counts in *depth* who is in the middle of it, one inside
    the other.
    """

    __slots__ = (
        "acquire",
        "born",
        "brim",
        "cursors",
        "depth",
        "errors",
        "is_listed",
        "is_over",
        "kept",
        "kept_size",
        "last",
        "lock",
        "newest",
        "recent",
        "release",
        "room",
        "size",
        "sleepers",
        "user_id",
    )

    def __init__(self, user_id: str, floor: int, max_events: int) -> None:
        self.user_id: str = user_id
        # Reentrant, for finalizers and signal handlers that emit: they may run in the midst of an emit.
        self.lock: threading.RLock = threading.RLock()
        self.acquire: Final = self.lock.acquire
        self.release: Final = self.lock.release
        self.depth: int = 0
        self.born: int = floor
        self.last: int = floor
        self.brim: int = floor + max_events
        self.recent: deque[Stored] = deque()
        self.kept: deque[Stored] = deque()
        self.room: int = 0
        self.size: int = 0
        self.kept_size: int = 0
        self.errors: int = 0
        self.newest: dict[tuple[str, str | None], int] = {}
        self.cursors: weakref.WeakSet[EventCursor] = weakref.WeakSet()
        self.sleepers: Sleepers = {}
        self.is_listed: bool = False
        """Whether the bank has it among those that may have to pay."""
        self.is_over: bool = False
        """Whether it was forgotten: another may have its place."""

    def __enter__(self) -> Self:
        self.lock.acquire()
        self.depth += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def enter_at_once(self) -> bool:
        """As ``with``, unless somebody else is there."""
        if not self.lock.acquire(blocking=False):
            return False
        self.depth += 1
        return True

    def leave(self) -> None:
        """The end of what was entered."""
        self.depth -= 1
        self.lock.release()

    @property
    def emitted(self) -> int:
        """How many events were ever put into it."""
        return self.last - self.born

    @property
    def count(self) -> int:
        """How many events it holds."""
        return len(self.recent) + len(self.kept)

    @property
    def evicted(self) -> int:
        """How many events it has given up."""
        return self.emitted - self.count

    @property
    def first(self) -> int:
        """The number from which on nothing is missing."""
        return self.last - len(self.recent) + 1

    @property
    def oldest(self) -> Stored | None:
        """The oldest event it holds."""
        if self.kept:
            return self.kept[0]
        return self.recent[0] if self.recent else None

    @property
    def newest_at(self) -> float:
        """When its newest event happened; 0 where it has none. Needs no lock."""
        for holding in (self.recent, self.kept):
            try:
                return holding[-1][5]
            except IndexError:
                continue
        return 0.0

    def give_up(self, brim: int, size: int, most_kept: int, most_kept_size: int) -> None:
        """
        Forget what is oldest, until events up to the number *brim* have room and *size* bytes are left.

        Ordinary events go first; lasting ones move to *kept* as long as these are not too many.
        """
        recent, kept = self.recent, self.kept
        while self.brim < brim or self.size > size:
            if not recent or len(kept) > most_kept or self.kept_size > most_kept_size:
                if not self.drop_oldest():
                    return
                continue
            stored = recent.popleft()
            takes = len(stored[2]) + OVERHEAD
            if (type_ := stored[1]) in LASTING:
                kept.append(stored)
                self.kept_size += takes
                continue
            if type_ in SNAPSHOTS:
                self._forget_newest(stored)
            self.size -= takes
            self.brim += 1

    def drop_oldest(self) -> bool:
        """Forget the oldest event, if there is one; who was still to be handed a lasting one is too slow."""
        if self.kept:
            stored = self.kept.popleft()
            self.kept_size -= len(stored[2]) + OVERHEAD
        elif self.recent:
            stored = self.recent.popleft()
        else:
            return False
        self.size -= len(stored[2]) + OVERHEAD
        self.brim += 1
        if stored[1] in SNAPSHOTS:
            self._forget_newest(stored)
        elif stored[1] in LASTING:
            for cursor in list(self.cursors):
                cursor.leave_behind(stored[0])
        return True

    def _forget_newest(self, snapshot: Stored) -> None:
        run = snapshot[1], snapshot[4]
        if self.newest[run] == snapshot[0]:
            del self.newest[run]

    def pending(self, after: int) -> int:
        """How many events with a higher number than *after* are here."""
        older = sum(1 for stored in self.kept if stored[0] > after) if after < self.first - 1 else 0
        return older + self.last - max(after, self.first - 1)

    def since(self, after: int) -> Iterator[Stored]:
        """The events with a higher number than *after*, oldest first."""
        if after < self.first - 1:
            yield from (stored for stored in self.kept if stored[0] > after)
        start = max(after + 1 - self.first, 0)
        if 2 * start < len(self.recent):
            yield from islice(self.recent, start, None)
        else:  # a deque is quick at both ends only
            yield from (self.recent[index] for index in range(start - len(self.recent), 0))

    def is_superseded(self, stored: Stored) -> bool:
        """Whether a newer snapshot of the same run makes this one worthless."""
        snapshot = REPLACED_BY.get(stored[1])
        return snapshot is not None and self.newest.get((snapshot, stored[4]), 0) > stored[0]

    def take_sleepers(self) -> Sleepers:
        """The readers that wait for something to happen; they are the caller's to wake."""
        sleepers, self.sleepers = self.sleepers, {}
        return sleepers
