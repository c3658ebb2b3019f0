"""What all snapshots have in common, and places that are looked at more often than by the clock."""

from __future__ import annotations

import abc
import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hotplug._watcher._marks import News

__all__ = ["Ward", "Warm"]

FRACTION: Final = 0.01  # of the time since it changed, until a warm place is looked at again
SHORTEST: Final = 0.01
LONGEST: Final = 1.0
MOST: Final = 128
AT_ONCE: Final = 8


class Warm:
    """
    Places without events that have just changed, and may go on changing.

    They are looked at after a hundredth of the time that has passed: often at first, and then ever less.
    Only so many are kept, and looked at together: after a mass of changes it is the last that count, and
    each is looked at less often.
    """

    def __init__(self) -> None:
        self._places: dict[str, tuple[float, float]] = {}
        self.next_at = math.inf
        """When the time of one of them comes."""

    def __len__(self) -> int:
        return len(self._places)

    def put(self, place: str, now: float) -> None:
        """Begin with *place*, or begin anew."""
        self._places.pop(place, None)
        self._places[place] = (now + SHORTEST, now)
        if len(self._places) > MOST:
            del self._places[next(iter(self._places))]
        self._say_when()

    def due(self, now: float) -> list[str]:
        """Whose time has come, those first who have waited longest."""
        waiting = sorted((then, since, place) for place, (then, since) in self._places.items() if then <= now)
        crowd = max(1.0, len(self._places) / AT_ONCE)
        for _, since, place in waiting[:AT_ONCE]:
            pause = max(SHORTEST, (now - since) * FRACTION) * crowd
            if pause > LONGEST:
                del self._places[place]
            else:
                self._places[place] = (now + pause, since)
        self._say_when()
        return [place for _, _, place in waiting[:AT_ONCE]]

    def _say_when(self) -> None:
        self.next_at = min((then for then, _ in self._places.values()), default=math.inf)


class Ward(abc.ABC):
    """
    One root and what is known of it.

    Whoever looks finds what differs in `news`, and `rearm` set where other folders have to be listened to
    than before, or where one may have become deaf. `fresh` are folders that nobody has listened to yet.
    `unheard` are those where a look found what no event had told. Not thread-safe: one thread at a time.
    """

    def __init__(self, path: str) -> None:
        self.path: Final = path
        self.news: list[News] = []
        self.rearm = True
        self.fresh: set[str] = set()
        self.unheard: set[str] = set()
        self.warm: Final = Warm()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path}>"

    @abc.abstractmethod
    def directories(self) -> set[str]:
        """The folders whose events tell of this root; those that are there."""

    @abc.abstractmethod
    def hear(self, directory: str, name: str) -> None:
        """Look at what an event has named: *name* in one of the `directories`."""

    @abc.abstractmethod
    def hear_of(self, directory: str) -> None:
        """Look at one of the `directories` that itself was made, moved or deleted."""

    @abc.abstractmethod
    def look_in(self, directory: str) -> None:
        """Compare one of the `directories`: the names in it and their stats."""

    @abc.abstractmethod
    def look_again(self, place: str) -> None:
        """Compare what an earlier piece of news, or a warm place, has named."""

    @abc.abstractmethod
    def shallow(self) -> Iterator[None]:
        """Compare the folders, not the files in them; bit by bit."""

    @abc.abstractmethod
    def deep(self) -> Iterator[None]:
        """Compare everything; bit by bit."""

    def look(self) -> None:
        """Compare everything at once."""
        for _ in self.deep():
            pass

    def take_news(self) -> list[News]:
        """What differed since this was last asked."""
        taken, self.news = self.news, []
        return taken
