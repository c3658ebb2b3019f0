"""The snapshot of one file, wherever it really is."""

# ruff: noqa: PTH115, PTH116, PTH118, PTH120
# Paths are texts here: thousands of them are looked at, time and again.

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

from hotplug._watcher._marks import News, mark_of
from hotplug._watcher._ward import Ward

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hotplug._watcher._marks import Mark

__all__ = ["File"]

HOPS: Final = 40  # links in a row that a kernel follows


class File(Ward):
    """One file. The links that lead to it are listened to as well: whoever replaces one replaces the file."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._mark: Mark | None = None
        self._places: set[str] = set()
        self._directories: dict[str, tuple[int, int]] | None = None
        self._compare()
        self.take_news()

    def directories(self) -> set[str]:
        return set(self._directories or ())

    def hear(self, directory: str, name: str) -> None:
        self.unheard.discard(self.path)
        self._compare(heard=os.path.join(directory, name) in self._places)

    def hear_of(self, directory: str) -> None:
        self.rearm = True
        self.fresh.add(directory)
        self._compare()

    def look_in(self, directory: str) -> None:  # noqa: ARG002 - whichever it is, the file is what counts
        self._compare()

    def look_again(self, place: str) -> None:  # noqa: ARG002
        self._compare()

    def shallow(self) -> Iterator[None]:
        count = len(self.news)
        self._compare()
        if len(self.news) > count:
            self.unheard.add(self.path)
        yield

    def deep(self) -> Iterator[None]:
        return self.shallow()

    def _compare(self, *, heard: bool = False) -> None:
        """Compare the file. *heard* of, it is news even if its stats are the same: clocks are coarse."""
        self._follow_links()
        try:
            seen = mark_of(os.stat(self.path))
        except OSError:
            seen = None
        if seen != self._mark or (heard and seen is not None):
            self._mark = seen
            self.news.append(News(self.path, 0 if seen is None else seen[1], must_rest=True))

    def _follow_links(self) -> None:
        self._places = _hops(self.path)
        directories = _there(map(os.path.dirname, self._places))
        if directories == self._directories:
            return
        self._directories = directories
        self.fresh |= directories.keys()
        self.rearm = True
        if not directories:
            self.warm.put(self.path, time.monotonic())


def _hops(path: str) -> set[str]:
    """The path, where it leads to link by link, and where it ends."""
    found = {path, os.path.realpath(path)}
    current = path
    for _ in range(HOPS):
        try:
            current = os.path.normpath(os.path.join(os.path.dirname(current), os.readlink(current)))
        except OSError:
            break
        found.add(current)
    return found


def _there(paths: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Those of the folders that are there, and which they are."""
    found: dict[str, tuple[int, int]] = {}
    for path in paths:
        try:
            stat = os.stat(path)
        except OSError:
            continue
        found[path] = (stat.st_dev, stat.st_ino)
    return found
