"""How much one user, or one address, may have and do."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hotplug_web._refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["Bucket", "Buckets", "Limits", "Slots"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    What is allowed. Times are in seconds, sizes in bytes.

    *per_user* and *per_address* are live connections (WebSockets and SSE together). Who comes with nothing
    has *auth* to say who it is; *heartbeat* passes between two signs of life; who takes nothing for *send*
    is closed. *message* is the longest message of a client. *calls* and *logins* are allowed a second, and
    *burst* of them at once: of one user's calls, of one address's failed attempts to come in.
    """

    per_user: int = 10
    per_address: int = 1000
    auth: float = 5.0
    heartbeat: float = 15.0
    send: float = 10.0
    message: int = 64 * 1024
    calls: float = 10.0
    logins: float = 0.5
    burst: int = 20


class Slots:
    """Counts what is taken under each name; nobody takes more than *most*."""

    def __init__(self, most: int, what: str) -> None:
        self._most: Final = most
        self._what: Final = what
        self._taken: Final[Counter[str]] = Counter()

    def __getitem__(self, name: str) -> int:
        return self._taken[name]

    @contextlib.contextmanager
    def take(self, name: str) -> Generator[None]:
        """One more for *name* inside; `Refusal` (429) where that is too many."""
        if self._taken[name] >= self._most:
            raise Refusal(429, f"{self._most} connections of this {self._what} are open already")
        self._taken[name] += 1
        try:
            yield
        finally:
            self._taken[name] -= 1
            if not self._taken[name]:
                del self._taken[name]


class Bucket:
    """Lets *burst* through at once, and *rate* a second in the long run."""

    __slots__ = ("_burst", "_filled", "_left", "_rate")

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = burst
        self._left = float(burst)
        self._filled = time.monotonic()

    @property
    def is_full(self) -> bool:
        """Whether it is as if never used."""
        self._fill()
        return self._left >= self._burst

    def take(self) -> bool:
        """Take one; false if none is left."""
        self._fill()
        if self._left < 1:
            return False
        self._left -= 1
        return True

    @property
    def is_empty(self) -> bool:
        """Whether the next one would not be let through."""
        self._fill()
        return self._left < 1

    def _fill(self) -> None:
        now = time.monotonic()
        self._left = min(float(self._burst), self._left + (now - self._filled) * self._rate)
        self._filled = now


class Buckets:
    """A bucket for each name, for as long as it is not full; *most* names at a time, the oldest go first."""

    def __init__(self, rate: float, burst: int, *, most: int = 4096) -> None:
        self._rate: Final = rate
        self._burst: Final = burst
        self._most: Final = most
        self._buckets: Final[dict[str, Bucket]] = {}

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, name: str) -> bool:
        """Take one for *name*; false if none is left."""
        bucket = self._buckets.get(name)
        if bucket is None:
            self._make_room()
            bucket = self._buckets[name] = Bucket(self._rate, self._burst)
        return bucket.take()

    def is_empty(self, name: str) -> bool:
        """Whether the next one for *name* would not be let through."""
        bucket = self._buckets.get(name)
        return bucket is not None and bucket.is_empty

    def _make_room(self) -> None:
        if len(self._buckets) < self._most:
            return
        for name in [name for name, bucket in self._buckets.items() if bucket.is_full]:
            del self._buckets[name]
        while len(self._buckets) >= self._most:
            del self._buckets[next(iter(self._buckets))]
