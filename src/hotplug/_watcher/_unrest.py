"""When a root has rested for long enough to be reported."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hotplug._watcher._marks import News

__all__ = ["PATIENCE", "Unrest"]

PATIENCE: Final = 1.0  # seconds that files which nobody executes may hold their root back
CREDIT: Final = 0.02  # seconds that news may be old: what takes longer was not told by an event
SECOND: Final = 1_000_000_000  # nanoseconds
UNKNOWN_AGE: Final = 0.01  # of a deletion: events are told after a step without others


class Unrest:
    """What goes on in one root, from the first piece of news until it is reported."""

    def __init__(self, now: float) -> None:
        self.since: Final = now
        self.places: Final[set[str]] = set()
        self.rested_at: float | None = None
        self.is_coarse = False
        self._must_rest_since = -math.inf
        self._may_rest_since = -math.inf

    def note(self, news: Iterable[News], now: float, *, local: bool) -> None:
        """
        Go on. The clock of a file system that is not *local* is not ours.

        `is_coarse` if it may count whole seconds: another write within this one would not show.
        """
        self.rested_at = None
        for piece in news:
            self.places.add(piece.path)
            at = now - _age(piece.since) if local else now
            self.is_coarse |= not local and piece.since > 0 and piece.since % SECOND == 0
            if piece.must_rest:
                self._must_rest_since = max(self._must_rest_since, at)
            else:
                self._may_rest_since = max(self._may_rest_since, at)

    def due(self, settle: float) -> float:
        """When it will have been quiet for *settle* seconds, if nothing more happens."""
        patience = self.since + PATIENCE
        return max(self._must_rest_since + settle, min(self._may_rest_since + settle, patience))

    def is_a_burst(self, now: float) -> bool:
        """Whether code is being written, and not for long: others wait a moment, to be told together."""
        return self._must_rest_since > -math.inf and now < self.since + PATIENCE


def _age(since: int) -> float:
    """How long ago that was, as far as it may be believed."""
    if not since:
        return UNKNOWN_AGE
    return min(max((time.time_ns() - since) / 1e9, 0.0), CREDIT)
