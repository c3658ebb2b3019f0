"""Which modules a distribution says are its own: by its RECORD, its ``top_level.txt``, its entry points."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hotplug._discovery._distribution import read_file
from hotplug._discovery._folder import list_folder
from hotplug._discovery._links import is_link_module, recorded
from hotplug._discovery._modules import stem_of
from hotplug._discovery._text import read_entry_points

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hotplug._discovery._modules import Place
    from hotplug._discovery._record import Row

# ruff: noqa: PTH113, PTH118

__all__ = ["Recorded", "is_shared", "modules_named", "modules_of", "neighbours", "top_level"]

HEAD_OF_SHARED: Final = 1 << 12
SHARING: Final = re.compile(rb"\bextend_path\s*\(|\bdeclare_namespace\s*\(")


def top_level(info: str) -> frozenset[str] | None:
    """The names in ``top_level.txt``; None where there is no such file, or nothing in it."""
    try:
        text = read_file(os.path.join(info, "top_level.txt")).decode(errors="replace")
    except OSError:
        return None
    return frozenset(text.replace("/", ".").split()) or None


def modules_named(info: str) -> frozenset[str]:
    """The modules that the entry points of the distribution name, in whatever group."""
    try:
        points, _ = read_entry_points(read_file(os.path.join(info, "entry_points.txt")))
    except OSError:
        return frozenset()
    return frozenset(value.partition(":")[0] for _, _, value in points)


def is_shared(place: Place) -> bool:
    """Whether others may add to it: a namespace, or a package that declares itself one in the old way."""
    if place.sort != "source" or not place.search:
        return place.sort == "namespace"
    try:
        data = read_file(place.path)
    except OSError:
        return False
    return len(data) < HEAD_OF_SHARED and SHARING.search(data) is not None


@dataclass(frozen=True, slots=True)
class Recorded:
    """The modules in a RECORD: those that are the distribution's own, with their files, and shared names."""

    owned: dict[str, str]
    """The topmost modules that are its own, and the package folder or module file of each."""
    shared: dict[str, tuple[str, ...]]
    """Namespaces above them, and the folder of each."""


def modules_of(info: str, rows: Iterable[Row]) -> Recorded:
    """The modules that *rows*, the RECORD of *info*, list."""
    from hotplug._discovery._modules import place_in

    site, file = os.path.split(info)
    modules = [parts for row in rows if (parts := _words(row[0], file)) is not None]
    packages = {words[:-1] for words in modules if words[-1] == "__init__"}
    for words in sorted(packages, key=len):
        place = place_in(os.path.join(site, *words[:-1]), words[-1], ".".join(words))
        if place is not None and place.search and is_shared(place):
            packages.discard(words)
    owned: dict[str, str] = {}
    shared: dict[str, tuple[str, ...]] = {}
    for words in modules:
        depth = next((n for n in range(1, len(words)) if words[:n] in packages), len(words))
        top = words[:depth]
        if top[-1] == "__init__":
            top = top[:-1]
        else:
            owned[".".join(top)] = os.path.join(site, *top)
            top = top[:-1]
        for n in range(1, len(top) + 1):
            shared[".".join(top[:n])] = (os.path.join(site, *top[:n]),)
    return Recorded(owned, {name: where for name, where in shared.items() if name not in owned})


def _words(path: str, info: str) -> tuple[str, ...] | None:
    """The words of the module that *path* is, ``__init__`` among them; None where it is none."""
    if path.startswith(f"{info}/"):
        return None
    *folders, file = path.split("/")
    stem = stem_of(file)
    if not stem.isidentifier() or not all(folder.isidentifier() for folder in folders):
        return None
    if "__pycache__" in folders or (not folders and (stem == "__init__" or is_link_module(stem))):
        return None
    return (*folders, stem)


def neighbours(info: str) -> tuple[frozenset[str], bool]:
    """What other distributions beside *info* say is theirs, and whether an installer works there."""
    folder, own = os.path.split(info)
    claimed: set[str] = set()
    installed = False
    try:
        files, _ = list_folder(folder)
    except OSError:
        files = []
    for file in files:
        if file == own:
            continue
        other = os.path.join(folder, file)
        rows = recorded(other)
        if rows is not None:
            claimed |= modules_of(other, rows).owned.keys()
        installed = installed or rows is not None or os.path.isfile(os.path.join(other, "INSTALLER"))
        claimed |= top_level(other) or modules_named(other)
    return frozenset(claimed), installed
