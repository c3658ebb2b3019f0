"""The snapshot of a site folder: its direct entries, and the files of the metadata folders among them."""

# ruff: noqa: PTH116, PTH118, PTH119, PTH208
# Paths are texts here: thousands of them are looked at, time and again.

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

from hotplug._watcher._marks import Mark, News, is_directory, is_metadata, is_noise, mark_of
from hotplug._watcher._ward import Ward

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Folder"]

UNSEEN: Final = (-1, -1)
UNREADABLE: Final = -1  # stands for the time when the folder's names changed
WARM_AGE: Final = 2_000_000_000
"""Metadata folders that changed within these nanoseconds may still be written to, without any event."""


class Folder(Ward):
    """
    A site folder.

    Events tell of its direct entries only, so metadata folders that have just changed stay warm: installers
    write RECORD last, and in place.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._identity: tuple[int, int] | None = UNSEEN
        self._changed = UNREADABLE
        self._entries: dict[str, Mark] = {}
        self._inner: dict[str, dict[str, Mark]] = {}
        self._listed: dict[str, Mark] = {}
        self.look_in(path)
        self.take_news()

    def directories(self) -> set[str]:
        return set() if self._identity is None else {self.path}

    def hear(self, directory: str, name: str) -> None:
        self.unheard.discard(directory)
        self._compare(name, heard=True)

    def hear_of(self, directory: str) -> None:
        self.rearm = True
        self.fresh.add(directory)
        self.look()

    def look_in(self, directory: str) -> None:
        found = _stat(directory)
        identity = None if found is None else (found.st_dev, found.st_ino)
        if identity != self._identity:
            self._is_another(identity)
        names = _names(directory)
        self._changed = UNREADABLE if found is None or names is None else found.st_mtime_ns
        for name in {*self._entries, *(names or ())}:
            self._compare(name)

    def look_again(self, place: str) -> None:
        if place == self.path:
            self.look_in(place)
        else:
            self._compare(os.path.basename(place))

    def shallow(self) -> Iterator[None]:
        count = len(self.news)
        found = _stat(self.path)
        if found is None or self._changed != found.st_mtime_ns or not self._is_same(found):
            self.look_in(self.path)
        self._remember_unheard(count)
        yield

    def deep(self) -> Iterator[None]:
        yield from self.shallow()
        for name in list(self._entries):
            count = len(self.news)
            self._compare(name)
            self._remember_unheard(count)
            yield

    def _remember_unheard(self, count: int) -> None:
        if len(self.news) > count:
            self.unheard.add(self.path)

    def _is_same(self, found: os.stat_result) -> bool:
        return self._identity == (found.st_dev, found.st_ino)

    def _is_another(self, identity: tuple[int, int] | None) -> None:
        self._identity = identity
        self.rearm = True
        self.fresh.add(self.path)
        self.news.append(News(self.path, 0, must_rest=False))
        if identity is None:
            self.warm.put(self.path, time.monotonic())

    def _compare(self, name: str, *, heard: bool = False) -> None:
        """Compare one entry. *heard* of, it is news even if its stats are the same: clocks are coarse."""
        if is_noise(name):
            return
        path = os.path.join(self.path, name)
        found = _stat(path)
        known, seen = self._entries.pop(name, None), None if found is None else mark_of(found)
        if found is not None and seen is not None and is_directory(found) and not is_metadata(name):
            seen = (0, 0, seen[2], 0)  # what is saved within a package is no news of the site folder
        if seen is not None:
            self._entries[name] = seen
        plain = found is not None and not is_directory(found)
        differs = is_metadata(name) and self._look_inside(path, name, None if plain else seen)
        if known != seen or differs or (heard and plain):
            self.news.append(News(path, 0 if seen is None else seen[1], must_rest=False))

    def _look_inside(self, path: str, name: str, mark: Mark | None) -> bool:
        """Compare the files of a metadata folder, which has this *mark*; None if it is no folder."""
        known, listed = self._inner.pop(name, None), self._listed.pop(name, None)
        if mark is None:
            return known is not None
        old = time.time_ns() - WARM_AGE
        # Not without need: who opens a folder is heard by all that listen to the one above.
        names = known if known is not None and listed == mark else _names(path)
        if names is not None and mark[1] < old:
            self._listed[name] = mark
        stats = ((name, _stat(os.path.join(path, name))) for name in names or ())
        seen = self._inner[name] = {name: mark_of(found) for name, found in stats if found is not None}
        if known != seen and _newest(seen) > old:
            self.warm.put(path, time.monotonic())
        return known != seen


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def _names(path: str) -> list[str] | None:
    """What is in a folder; None if it cannot be read now."""
    try:
        return os.listdir(path)
    except OSError:
        return None


def _newest(files: dict[str, Mark]) -> int:
    return max((mark[1] for mark in files.values()), default=time.time_ns())
