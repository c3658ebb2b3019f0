"""Finds the file that a module is loaded from, by the rules of Python's own importer, loading nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.machinery import BYTECODE_SUFFIXES, EXTENSION_SUFFIXES, SOURCE_SUFFIXES
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Whole packages are walked while others wait.
# ruff: noqa: PTH112, PTH113

__all__ = ["ENVIRONMENT_MARK", "Place", "PlaceSort", "below", "place_at", "place_in", "stem_of", "walk"]

PlaceSort = Literal["source", "extension", "bytecode", "namespace"]

SUFFIXES: Final[tuple[tuple[str, PlaceSort], ...]] = (
    *((suffix, "extension") for suffix in EXTENSION_SUFFIXES),
    *((suffix, "source") for suffix in SOURCE_SUFFIXES),
    *((suffix, "bytecode") for suffix in BYTECODE_SUFFIXES),
)
"""In the order in which the importer tries them."""
ENVIRONMENT_MARK: Final = "pyvenv.cfg"
STRANGE_FOLDERS: Final = frozenset({"__pycache__", "node_modules"})


@dataclass(frozen=True, slots=True)
class Place:
    """
    Where a module is loaded from.

    *path* is its file; for a namespace (a folder without ``__init__``) there is none, and it is empty.
    *search* is what a package's ``__path__`` would be.
    """

    name: str
    path: str
    sort: PlaceSort
    search: tuple[str, ...] = ()

    @property
    def is_package(self) -> bool:
        """Whether it may have submodules; a namespace may."""
        return bool(self.search)


def stem_of(file: str) -> str:
    """The module that *file* would be, by its name alone; empty if it would be none."""
    for suffix, _ in SUFFIXES:
        if file.endswith(suffix):
            return file[: -len(suffix)]
    return ""


def place_in(folder: str, tail: str, name: str) -> Place | None:
    """Where the module *name*, whose last word is *tail*, is loaded from, if it lies in *folder*."""
    base = f"{folder}{os.sep}{tail}"
    is_folder = os.path.isdir(base)
    if is_folder and (place := _with_suffix(f"{base}{os.sep}__init__", name, (base,))):
        return place
    if place := _with_suffix(base, name, ()):
        return place
    return Place(name, "", "namespace", (base,)) if is_folder else None


def _with_suffix(base: str, name: str, search: tuple[str, ...]) -> Place | None:
    for suffix, sort in SUFFIXES:
        if os.path.isfile(base + suffix):
            return Place(name, base + suffix, sort, search)
    return None


def place_at(path: str, name: str) -> Place | None:
    """The module *name* that lies at *path*: a file, a package's folder, or a file without its suffix."""
    folder, file = os.path.split(path)
    for suffix, sort in SUFFIXES:
        if file.endswith(suffix) and os.path.isfile(path):
            return Place(name, path, sort, (folder,) if file == f"__init__{suffix}" else ())
    return place_in(folder, file, name)


def below(place: Place, words: Iterable[str]) -> Iterator[Place]:
    """*place*, and what is found on the way down to the submodule of *words*, as far as it goes."""
    yield place
    for word in words:
        name = f"{place.name}.{word}"
        found = [at for folder in place.search if (at := place_in(folder, word, name)) is not None]
        if not found:
            return
        place = next((at for at in found if at.sort != "namespace"), None) or Place(
            name, "", "namespace", tuple(folder for at in found for folder in at.search)
        )
        yield place


class Listing:
    """What lies in a folder: files and folders, those that links lead to among them."""

    __slots__ = ("files", "folders", "links")

    def __init__(self, folder: str) -> None:
        self.files: set[str] = set()
        self.folders: set[str] = set()
        self.links: set[str] = set()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    self._take(entry)
        except OSError:
            return  # it went away: nothing lies there

    def _take(self, entry: os.DirEntry[str]) -> None:
        if entry.is_file():
            self.files.add(entry.name)
        elif entry.is_dir():
            self.folders.add(entry.name)
        if entry.is_symlink():
            self.links.add(entry.name)

    def words(self) -> list[str]:
        """The last words of the names of the modules that may lie here."""
        words = {stem_of(file) for file in self.files} | (self.folders - STRANGE_FOLDERS)
        return sorted(word for word in words if word.isidentifier() and word != "__init__")

    def file_of(self, stem: str) -> tuple[str, PlaceSort] | None:
        """The file that the importer would take for *stem*."""
        return next(((stem + end, sort) for end, sort in SUFFIXES if stem + end in self.files), None)


def walk(folder: str, prefix: str) -> Iterator[Place]:
    """
    Every module in and below *folder*, a package before what is in it; *prefix* comes before the names.

    Each folder is listed once, and no file looked at: between two system calls other threads run.
    """
    return _walk(folder, Listing(folder), prefix, (os.path.realpath(folder),))


def _walk(folder: str, listed: Listing, prefix: str, way: tuple[str, ...]) -> Iterator[Place]:
    for word in listed.words():
        path = f"{folder}{os.sep}{word}"
        inner = Listing(path) if word in listed.folders else None
        if inner is not None and ENVIRONMENT_MARK in inner.files:
            inner = None  # a virtual environment: nobody's package
        place = _listed_place(path, prefix + word, listed, inner)
        if place is None:
            continue
        yield place
        further = _way_into(path, way) if word in listed.links else way
        if inner is not None and place.search and further:
            yield from _walk(path, inner, f"{prefix}{word}.", further)


def _listed_place(path: str, name: str, listed: Listing, inner: Listing | None) -> Place | None:
    folder, _, word = path.rpartition(os.sep)
    if inner is not None and (found := inner.file_of("__init__")):
        return Place(name, f"{path}{os.sep}{found[0]}", found[1], (path,))
    if found := listed.file_of(word):
        return Place(name, f"{folder}{os.sep}{found[0]}", found[1])
    return None if inner is None else Place(name, "", "namespace", (path,))


def _way_into(link: str, way: tuple[str, ...]) -> tuple[str, ...]:
    """*way* and where *link* leads; empty where that is a folder we came through."""
    target = os.path.realpath(link)
    if any(passed == target or passed.startswith(target + os.sep) for passed in way):
        return ()
    return (*way, target)
