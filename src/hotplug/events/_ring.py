"""One user's events, bounded. Nothing here locks: the hub does."""

from __future__ import annotations

import weakref
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

from hotplug.events._names import LASTING, OVERHEAD, SNAPSHOTS

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
    between two of them can be counted.
    """

    __slots__ = (
        "cursors",
        "kept",
        "kept_size",
        "last",
        "newest",
        "recent",
        "size",
        "sleepers",
        "user_id",
    )

    def __init__(self, user_id: str, floor: int) -> None:
        self.user_id: str = user_id
        self.last: int = floor
        self.recent: deque[Stored] = deque()
        self.kept: deque[Stored] = deque()
        self.size: int = 0
        self.kept_size: int = 0
        self.newest: dict[tuple[str, str | None], int] = {}
        self.cursors: weakref.WeakSet[EventCursor] = weakref.WeakSet()
        self.sleepers: Sleepers = {}

    @property
    def count(self) -> int:
        """How many events it holds."""
        return len(self.recent) + len(self.kept)

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

    def is_older_than(self, moment: float) -> bool:
        """Whether it has events, and all of them are older than *moment*."""
        holding = self.recent or self.kept
        return bool(holding) and holding[-1][5] < moment

    def give_up(self, most_kept: int, most_kept_size: int) -> int:
        """Forget the oldest ordinary event, or a lasting one where these are too many; the bytes freed."""
        recent, kept = self.recent, self.kept
        while recent and len(kept) <= most_kept and self.kept_size <= most_kept_size:
            stored = recent.popleft()
            if stored[1] not in LASTING:
                return self._freed(stored)
            kept.append(stored)
            self.kept_size += len(stored[2]) + OVERHEAD
        return self.drop_oldest()

    def drop_oldest(self) -> int:
        """Forget the oldest event of all; the bytes freed."""
        if not self.kept:
            return self._freed(self.recent.popleft())
        stored = self.kept.popleft()
        self.kept_size -= len(stored[2]) + OVERHEAD
        return self._freed(stored)

    def _freed(self, stored: Stored) -> int:
        if stored[1] in SNAPSHOTS and self.newest[stored[1], stored[4]] == stored[0]:
            del self.newest[stored[1], stored[4]]
        freed = len(stored[2]) + OVERHEAD
        self.size -= freed
        return freed

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
        return stored[1] in SNAPSHOTS and self.newest.get((stored[1], stored[4]), 0) > stored[0]

    def take_sleepers(self) -> Sleepers:
        """The readers that wait for something to happen; they are the caller's to wake."""
        sleepers, self.sleepers = self.sleepers, {}
        return sleepers
