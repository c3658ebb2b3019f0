"""The snapshot of a folder of code, with all that is below it."""

# ruff: noqa: PTH110, PTH112, PTH114, PTH116, PTH118, PTH120
# Paths are texts here: thousands of them are looked at, time and again.

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from hotplug._watcher._marks import (
    Mark,
    News,
    folder_mark,
    is_directory,
    is_folder,
    is_noise,
    is_source,
    mark_of,
    names_no_code,
)
from hotplug._watcher._ward import Ward

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Tree"]

ENVIRONMENT: Final = "pyvenv.cfg"
UNREADABLE: Final = -1  # stands for the time when a folder's names changed


@dataclass(slots=True)
class _Folder:
    """One folder as it was seen: which it is, when its names changed, what it holds, and which are links."""

    identity: tuple[int, int]
    changed: int
    entries: dict[str, Mark] = field(default_factory=dict[str, Mark])
    linked: set[str] = field(default_factory=set[str])


class Tree(Ward):
    """
    A folder of code.

    Folders that are symbolic links are followed, but not in circles; of files that are links, the
    folder of the real file is listened to as well. Every folder among the entries of a folder is known.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._folders: dict[str, _Folder] = {}
        self._links = _Links()
        self._find_root()
        if not self._folders:
            self.warm.put(path, time.monotonic())
        self.take_news()

    def directories(self) -> set[str]:
        found = {*self._folders, *self._links.directories()}
        if os.path.islink(self.path):
            found.add(os.path.dirname(self.path))
        return found

    # -- hearing -----------------------------------------------------------------------------------

    def hear(self, directory: str, name: str) -> None:
        path = os.path.join(directory, name)
        for link in self._links.to(path):
            place = os.path.split(link)
            self.unheard.discard(place[0])
            self._compare(*place, heard=True)
        if path == self.path:
            self._find_root()
        elif path in self._folders:
            self.hear_of(path)
        else:
            self.unheard.discard(directory)
            self._compare(directory, name, heard=True)

    def hear_of(self, directory: str) -> None:
        if directory not in self._folders:
            return
        # Made anew, it may well have the number of the old one, and nobody listens to it.
        self.rearm = True
        self.fresh.add(directory)
        self._compare_all(self._within(directory))

    # -- looking -----------------------------------------------------------------------------------

    def look_in(self, directory: str) -> None:
        known, seen = self._folders.get(directory), _listed(directory)
        if known is None or seen is None or known.identity != seen.identity:
            self._lose_or_find(directory)
            return
        known.changed = seen.changed
        if seen.changed == UNREADABLE:
            return
        known.linked = seen.linked
        for name in {**known.entries, **seen.entries}:
            self._note(directory, name, seen.entries.get(name))

    def look_again(self, place: str) -> None:
        self._lose_or_find(place)
        self._compare_all(self._within(place))

    def shallow(self) -> Iterator[None]:
        return self._round(files=False)

    def deep(self) -> Iterator[None]:
        return self._round(files=True)

    def _round(self, *, files: bool) -> Iterator[None]:
        for path in [*self._folders] or [self.path]:
            count = len(self.news)
            yield from self._compare_bit_by_bit(path, files=files)
            if len(self.news) > count:
                self.unheard.add(path)

    def _compare_all(self, paths: Iterable[str]) -> None:
        for path in paths:
            for _ in self._compare_bit_by_bit(path, files=True):
                pass

    def _compare_bit_by_bit(self, path: str, *, files: bool) -> Iterator[None]:
        self._compare_folder(path)
        yield
        folder = self._folders.get(path)
        if folder is None or not files:
            return
        for name, mark in list(folder.entries.items()):
            if not is_folder(mark):
                self._compare(path, name)
                yield

    def _within(self, path: str) -> list[str]:
        return [folder for folder in self._folders if folder == path or folder.startswith(path + os.sep)]

    def _compare_folder(self, path: str) -> None:
        known = self._folders.get(path)
        found = _found(path)
        if known is None or found is None or known.identity != (found.st_dev, found.st_ino):
            self._lose_or_find(path)
        elif known.changed != found.st_mtime_ns:
            self.look_in(path)

    def _lose_or_find(self, path: str) -> None:
        """Compare something with what its parent says of it: it may be gone, there, or another one now."""
        if path == self.path:
            self._find_root()
        else:
            self._compare(*os.path.split(path))

    def _find_root(self) -> None:
        known, found = self._folders.get(self.path), _found(self.path)
        if known is not None and found is not None and known.identity == (found.st_dev, found.st_ino):
            return
        if known is not None:
            self._forget(self.path)
            self._tell(self.path, None)
        if found is not None:
            self._enter(self.path)
        elif known is not None:
            self.warm.put(self.path, time.monotonic())

    def _compare(self, directory: str, name: str, *, heard: bool = False) -> None:
        """Compare one entry. *heard* of, it is news even if its stats are the same: clocks are coarse."""
        folder = self._folders.get(directory)
        if folder is None:
            return
        path = os.path.join(directory, name)
        seen = _mark(path, name)
        if name == ENVIRONMENT and seen is not None and directory != self.path:
            self._leave_out(directory)
        elif folder.entries.get(name) != seen:
            self._note(directory, name, seen)
        elif heard and seen is not None and not is_folder(seen):
            self._tell(path, seen)

    # -- changing ----------------------------------------------------------------------------------

    def _note(self, directory: str, name: str, seen: Mark | None) -> None:
        """Put down what is *seen* of an entry, in place of what was known."""
        path, entries = os.path.join(directory, name), self._folders[directory].entries
        known = entries.get(name)
        if known == seen:
            return
        entries.pop(name, None)
        if is_folder(known):
            self._forget(path)
        if is_folder(seen) and not self._enter(path):
            return
        if seen is not None:
            entries[name] = seen
        self._follow_link(path)
        self._tell(path, seen or known)

    def _tell(self, path: str, mark: Mark | None) -> None:
        folder = mark is None or is_folder(mark)
        self.news.append(News(path, 0 if mark is None else mark[1], folder or is_source(path)))

    def _follow_link(self, path: str) -> None:
        if self._links.follow(path):
            self.rearm = True

    def _leave_out(self, directory: str) -> None:
        """It turned out to be a virtual environment."""
        self._strike(directory)
        self._forget(directory)

    def _forget(self, path: str) -> None:
        """A folder and all below it are no longer there."""
        for gone in self._within(path):
            for name in self._folders.pop(gone).linked:
                self._links.drop(os.path.join(gone, name))
        self.rearm = True

    def _enter(self, path: str) -> bool:
        """Take in a folder and all below it, unless it leads back to where it is."""
        waiting = [path]
        while waiting:
            current = waiting.pop()
            seen = _listed(current)
            if seen is None or self._leads_back(current, seen.identity):
                self._strike(current)
                continue
            self._folders[current] = seen
            self.fresh.add(current)
            for name in seen.linked:
                self._follow_link(os.path.join(current, name))
            waiting += [os.path.join(current, name) for name, mark in seen.entries.items() if is_folder(mark)]
        if path not in self._folders:
            return False
        self.rearm = True
        self._tell(path, None)
        return True

    def _strike(self, path: str) -> None:
        """What was listed as a folder is none of ours."""
        directory, name = os.path.split(path)
        if path != self.path:
            self._folders[directory].entries.pop(name, None)

    def _leads_back(self, path: str, identity: tuple[int, int]) -> bool:
        above = path
        while above != self.path:
            above = os.path.dirname(above)
            if self._folders[above].identity == identity:
                return True
        return False


class _Links:
    """Files that are symbolic links, and where the real ones are."""

    def __init__(self) -> None:
        self._real: dict[str, str] = {}
        self._paths: dict[str, set[str]] = {}

    def directories(self) -> set[str]:
        """Where the real files are."""
        return set(map(os.path.dirname, self._paths))

    def to(self, real: str) -> tuple[str, ...]:
        """The links that lead to *real*."""
        return tuple(self._paths.get(real, ()))

    def follow(self, path: str) -> bool:
        """Whether *path* is a link to a file whose place was not known."""
        known = self._real.get(path)
        real = os.path.realpath(path) if os.path.islink(path) and not os.path.isdir(path) else None
        if real == known:
            return False
        self.drop(path)
        if real is not None:
            self._real[path] = real
            self._paths.setdefault(real, set()).add(path)
        return real is not None

    def drop(self, path: str) -> None:
        """Forget a link, if it was one."""
        real = self._real.pop(path, None)
        if real is not None:
            self._paths[real].discard(path)
            if not self._paths[real]:
                del self._paths[real]


def _is_ignored(name: str) -> bool:
    return is_noise(name) or name.startswith("~")


def _found(path: str) -> os.stat_result | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found if is_directory(found) else None


def _mark(path: str, name: str) -> Mark | None:
    """What is to be remembered of an entry; None if it is not there, or to be ignored."""
    if _is_ignored(name):
        return None
    try:
        found = os.stat(path)
    except OSError:
        return None
    if not is_directory(found):
        return mark_of(found)
    if names_no_code(name) or os.path.exists(os.path.join(path, ENVIRONMENT)):
        return None
    return folder_mark(found)


def _listed(path: str) -> _Folder | None:
    """A folder as it is now; None if it is not there. What cannot be read is empty, and is tried again."""
    found = _found(path)
    if found is None:
        return None
    folder = _Folder((found.st_dev, found.st_ino), found.st_mtime_ns)
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                _put(folder, entry)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:  # not allowed, or too many files are open
        folder.changed = UNREADABLE
    return folder


def _put(folder: _Folder, entry: os.DirEntry[str]) -> None:
    mark = _mark(entry.path, entry.name)
    if mark is not None:
        folder.entries[entry.name] = mark
        if entry.is_symlink() and not is_folder(mark):
            folder.linked.add(entry.name)
