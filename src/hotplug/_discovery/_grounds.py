"""The sorts of ground that code stands on: single modules, shared namespaces, open folders."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final, Protocol

from hotplug._discovery._claims import is_shared
from hotplug._discovery._modules import (
    ENVIRONMENT_MARK,
    Listing,
    Place,
    below,
    place_at,
    place_in,
    stem_of,
    walk,
)
from hotplug._discovery._stamps import look, settled

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from hotplug._discovery._stamps import Stamp

# ruff: noqa: PTH114, PTH118, PTH119, PTH120

__all__ = ["Ground", "OpenFolder", "Portions", "Targets", "without_nested"]

PROJECT_MARKS: Final = frozenset({"pyproject.toml", "setup.py", "setup.cfg", ".git"})
# fmt: off
NO_PACKAGES: Final = frozenset((
    "benchmark", "benchmarks", "bin", "build", "changelog", "ci", "conftest", "debian", "dist",
    "doc", "docs", "documentation", "dodo", "example", "examples", "exercise", "exercises",
    "fabfile", "htmlcov", "manpages", "news", "newsfragments", "noxfile", "pavement", "python",
    "scripts", "setup", "site_scons", "tasks", "test", "tests", "tools", "toxfile", "unit_test",
    "util", "utils", "venv",
))
# fmt: on
"""What lies in a project's own folder and is no part of its code (setuptools leaves out the same names)."""


class Ground(Protocol):
    """Some of the code of a distribution."""

    def way(self, name: str) -> list[Place] | None:
        """The places down to the module *name*, as far as they go; None if its first is none of ours."""
        ...

    def owns(self, name: str) -> bool:
        """Whether *name* is nobody else's."""
        ...

    def modules(self) -> Iterator[Place]:
        """Every module that is nobody else's."""
        ...

    def roots(self) -> Iterator[str]:
        """The folders and files to watch."""
        ...


def _prefix_in(known: Mapping[str, object], name: str) -> str:
    """The longest beginning of the dotted *name* that is *known*; empty if none is."""
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name


def _words_after(prefix: str, name: str) -> list[str]:
    return name[len(prefix) + 1 :].split(".") if len(name) > len(prefix) else []


def _with_contents(place: Place) -> Iterator[Place]:
    yield place
    for folder in place.search:
        yield from walk(folder, f"{place.name}.")


def _owned(places: Iterable[Place]) -> Iterator[Place]:
    """Of *places*, packages first, those that are not shared, and all that is below those."""
    own: set[str] = set()
    for place in places:
        if _parent(place) in own or not is_shared(place):
            own.add(place.name)
            yield place


def _topmost(places: Iterable[Place]) -> Iterator[Place]:
    """Of *places*, packages first, those that are not in one of the others."""
    passed: set[str] = set()
    for place in places:
        if _parent(place) not in passed:
            yield place
        passed.add(place.name)


def _parent(place: Place) -> str:
    return place.name.rpartition(".")[0]


def _is_owned(way: Iterable[Place]) -> bool:
    return not all(map(is_shared, way))


class Targets:
    """Modules, each with the file or package folder that it is loaded from, and all that is below them."""

    def __init__(self, targets: Mapping[str, str]) -> None:
        self._targets = dict(targets)

    def way(self, name: str) -> list[Place] | None:
        top = _prefix_in(self._targets, name)
        if not top:
            return None
        place = place_at(self._targets[top], top)
        return [] if place is None else list(below(place, _words_after(top, name)))

    def owns(self, name: str) -> bool:
        return bool(_prefix_in(self._targets, name))

    def modules(self) -> Iterator[Place]:
        for top in self._tops():
            for place in _with_contents(top):
                if _prefix_in(self._targets, place.name) == top.name:
                    yield place

    def roots(self) -> Iterator[str]:
        for top in self._tops():
            yield from _roots_of(top)

    def _tops(self) -> Iterator[Place]:
        for name, path in self._targets.items():
            if (place := place_at(path, name)) is not None:
                yield place


class Portions:
    """Namespaces, each with the folders that are a distribution's part; *own* if nobody shares those."""

    def __init__(self, portions: Mapping[str, tuple[str, ...]], *, own: bool) -> None:
        self._portions = dict(portions)
        self._own = own

    def way(self, name: str) -> list[Place] | None:
        top = _prefix_in(self._portions, name)
        if not top or (top != name and not self._own):
            return None
        way = list(below(Place(top, "", "namespace", self._portions[top]), _words_after(top, name)))
        return way if way[-1].name == name or _is_owned(way) else None

    def owns(self, name: str) -> bool:
        return self._own and (way := self.way(name)) is not None and _is_owned(way)

    def modules(self) -> Iterator[Place]:
        for top in self._tops():
            yield from _owned(_with_contents(top))

    def roots(self) -> Iterator[str]:
        for top in self._tops():
            yield from _roots_of(top)

    def _tops(self) -> Iterator[Place]:
        if self._own:
            for name, folders in self._portions.items():
                yield Place(name, "", "namespace", folders)


class OpenFolder:
    """
    A folder on the path: what lies in it is the distribution's, with exceptions.

    *listed*: if given, only these top-level names are. *named* are modules that certainly are, *refused*
    ones that another says are its own. Namespaces count where they are named, or the folder is *own*; in a
    project's own folder neither they nor its tests and tools do.
    """

    def __init__(
        self,
        folder: str,
        *,
        listed: frozenset[str] | None = None,
        named: frozenset[str] = frozenset(),
        refused: frozenset[str] = frozenset(),
        own: bool = False,
    ) -> None:
        self._folder = folder
        self._listed = listed
        self._named = dict.fromkeys(named)
        self._named_tops = frozenset(name.partition(".")[0] for name in named)
        self._refused = dict.fromkeys(refused - named)
        self._refused_tops = frozenset(name.partition(".")[0] for name in self._refused)
        self._own = own
        self._seen: tuple[Stamp, Listing] | None = None

    def way(self, name: str) -> list[Place] | None:
        top, _, rest = name.partition(".")
        place = self._top(top, self._listing())
        if place is None:
            return None
        way = list(below(place, rest.split(".") if rest else ()))
        return way if way[-1].name == name or _is_owned(way) else None

    def owns(self, name: str) -> bool:
        way = self.way(name)
        return way is not None and _is_owned(way) and not self._is_others(name)

    def modules(self) -> Iterator[Place]:
        for top in self._tops():
            yield from self._ours(top)

    def roots(self) -> Iterator[str]:
        is_whole = self._own and not self._is_project(self._listing())
        for top in self._tops():
            places = [top] if is_whole and top.sort == "namespace" else _topmost(self._ours(top))
            for place in places:
                yield from _roots_of(place)

    def _ours(self, top: Place) -> Iterator[Place]:
        """What of *top*, and of all that is in it, is nobody else's."""
        return (place for place in _owned(_with_contents(top)) if not self._is_others(place.name))

    def _tops(self) -> Iterator[Place]:
        listing = self._listing()
        for word in listing.words():
            if (place := self._top(word, listing)) is not None:
                yield place

    def _top(self, word: str, listing: Listing) -> Place | None:
        """The place of a top-level module, if there is one and it counts."""
        if word not in listing.words() or not self._admits(word, listing):
            return None
        place = place_in(self._folder, word, word)
        if place is None or place.sort != "namespace" or word in self._named_tops or self._listed:
            return place
        if os.path.lexists(os.path.join(self._folder, word, ENVIRONMENT_MARK)):
            return None
        return place if self._own and not self._is_project(listing) else None

    def _admits(self, word: str, listing: Listing) -> bool:
        if self._listed is not None:
            return word in self._listed
        if word in self._named_tops:
            return True
        if word in self._refused_tops:
            return False
        return not (word in NO_PACKAGES and self._is_project(listing))

    def _is_project(self, listing: Listing) -> bool:
        return not PROJECT_MARKS.isdisjoint(listing.files) or ".git" in listing.folders

    def _is_others(self, name: str) -> bool:
        """Whether another's claim to *name* is closer than ours."""
        return bool(self._refused) and len(_prefix_in(self._refused, name)) > len(
            _prefix_in(self._named, name)
        )

    def _listing(self) -> Listing:
        """What lies in the folder; listed again when its stamp changed, or might not show that it did."""
        stamp, seen = look(self._folder), self._seen
        if seen is not None and seen[0] == stamp:
            return seen[1]
        listing = Listing(self._folder)
        if stamp is not None and settled([stamp], time.time_ns()):
            self._seen = stamp, listing
        return listing


def _roots_of(place: Place) -> Iterator[str]:
    """The folder of a package or the file of a module, and wherever links lead, be it one or hold some."""
    for path in place.search or (place.path,):
        yield path
        if os.path.islink(path):
            yield os.path.realpath(path)
        if place.search:
            yield from _linked(path)


def _linked(folder: str) -> Iterator[str]:
    """
    Where the modules and packages in *folder* really lie, as far as they are links.

    A link tree (an editable installation in strict mode) leads to the files of a package, each by each:
    their folder is the root then, if it looks like the package's.
    """
    listing = Listing(folder)
    for word in sorted(listing.links):
        path = os.path.join(folder, word)
        target = os.path.realpath(path)
        if word in listing.folders and word.isidentifier():
            yield target
        elif stem_of(word):
            above = os.path.dirname(target)
            yield above if os.path.basename(above) == os.path.basename(folder) else target
    for word in sorted(listing.folders - listing.links):
        if word.isidentifier() and word != "__pycache__":
            yield from _linked(os.path.join(folder, word))


def without_nested(paths: Iterable[str]) -> tuple[str, ...]:
    """*paths*, sorted, each once, without those that lie in another of them."""
    kept: list[str] = []
    for path in sorted(set(paths), key=lambda path: path + os.sep):
        if not kept or not path.startswith(kept[-1] + os.sep):
            kept.append(path)
    return tuple(kept)
