"""
Says which code belongs to a distribution, and where each of its modules lies, without importing any.

An installed distribution owns what RECORD lists, an editable one what its path files lead to, one
that lies on the path as it is what stands beside its dist-info. A name that others may share, as a
namespace package is, belongs to nobody; what is below it may. The file system is asked each time:
a module that appears later is found.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from hotplug._discovery._claims import is_shared, modules_named, modules_of, neighbours, top_level
from hotplug._discovery._distribution import read_file
from hotplug._discovery._grounds import OpenFolder, Portions, Targets, without_nested
from hotplug._discovery._links import links_of, recorded
from hotplug._discovery._modules import place_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hotplug._discovery._claims import Recorded
    from hotplug._discovery._grounds import Ground
    from hotplug._discovery._links import Finder
    from hotplug._discovery._modules import Place
    from hotplug._discovery._record import Row
    from hotplug._records import PluginRecord

# ruff: noqa: PTH112, PTH118, PTH119, PTH120

__all__ = ["Territory", "TerritorySort", "territory"]

SITE_NAMES: Final = frozenset({"site-packages", "dist-packages"})

TerritorySort = Literal["installed", "editable", "plain"]


@dataclass(frozen=True, slots=True)
class Territory:
    """
    The code of one *distribution*.

    *roots* are what to watch to see it change: package folders, and the files of modules that lie in
    none. Thread-safe; nothing is imported, and nothing raises.
    """

    distribution: str
    sort: TerritorySort
    roots: tuple[str, ...] = ()
    grounds: tuple[Ground, ...] = field(default=(), repr=False, compare=False)

    def find(self, name: str) -> Place | None:
        """Where the module *name* is loaded from; None where the distribution has no such module."""
        if _is_standard(name):
            return None
        for ground in self.grounds:
            if (way := ground.way(name)) is not None:
                return way[-1] if way and way[-1].name == name else None
        return None

    def owns(self, name: str) -> bool:
        """Whether *name* is the distribution's alone, be there such a module or not; a shared name is not."""
        return not _is_standard(name) and any(ground.owns(name) for ground in self.grounds)

    def modules(self) -> dict[str, Place]:
        """Every module that it owns, packages before what is in them."""
        found: dict[str, Place] = {}
        for number, ground in enumerate(self.grounds):
            for place in ground.modules():
                hidden = any(earlier.owns(place.name) for earlier in self.grounds[:number])
                if not hidden and place.name not in found and not _is_standard(place.name):
                    found[place.name] = place
        return found

    def sources(self) -> dict[str, str]:
        """The files of the modules that are loaded from source, by module name."""
        return {name: place.path for name, place in self.modules().items() if place.sort == "source"}


def territory(record: PluginRecord) -> Territory:
    """
    The code that belongs to *record*'s distribution, by what is installed now. Never raises.

    There is none where nobody can tell: in an archive, in an egg, where another packager left no RECORD.
    """
    info = record.path
    if info.endswith(".egg-info"):
        return _territory(record, "editable", _beside_egg(info) if record.editable else ())
    if not info.endswith(".dist-info") or not os.path.isdir(info):
        return _territory(record, "installed", ())
    rows = recorded(info)
    if rows is not None and record.editable:
        return _territory(record, "editable", _editable(info, rows))
    if rows is not None:
        return _territory(record, "installed", _installed(modules_of(info, rows)))
    if os.path.lexists(os.path.join(info, "INSTALLER")) or os.path.lexists(os.path.join(info, "RECORD")):
        return _territory(record, "installed", ())
    return _territory(record, "plain", _plain(info))


def _territory(record: PluginRecord, sort: TerritorySort, grounds: Iterable[Ground]) -> Territory:
    found = tuple(grounds)
    roots = without_nested(root for ground in found for root in ground.roots())
    return Territory(record.distribution, sort, roots, found)


def _installed(modules: Recorded) -> Iterator[Ground]:
    yield Targets(modules.owned)
    yield Portions(modules.shared, own=False)


def _editable(info: str, rows: list[Row]) -> Iterator[Ground]:
    """First what lies in the site folder, then what finders and path lines lead to, as the importer asks."""
    yield from _installed(modules_of(info, rows))
    links = links_of(info, rows)
    for finder in links.finders:
        yield from _mapped(finder)
    site = os.path.dirname(info)
    for folder in links.paths:
        if folder != site and os.path.basename(folder) not in SITE_NAMES:
            yield OpenFolder(folder, named=modules_named(info), own=True)
    if links.problems or not (links.finders or links.paths):
        yield from _project(info)


def _mapped(finder: Finder) -> Iterator[Ground]:
    """A mapping's own modules, and the names in it that others may share."""
    targets: dict[str, str] = {}
    portions = dict(finder.namespaces)
    for name, path in finder.mapping.items():
        place = place_at(path, name)
        if place is None or not is_shared(place):
            targets[name] = path
        else:
            portions[name] = tuple(dict.fromkeys([*portions.get(name, ()), *place.search]))
    yield Targets(targets)
    yield Portions(portions, own=True)


def _project(info: str) -> Iterator[Ground]:
    """Where path files say nothing sure: the named packages in the project that was installed."""
    project = _project_of(info)
    listed = (top_level(info) or frozenset()) | _tops(modules_named(info))
    if project and listed:
        source = os.path.join(project, "src")
        yield OpenFolder(
            source if os.path.isdir(source) else project, listed=listed, named=modules_named(info)
        )


def _project_of(info: str) -> str:
    """The folder in ``direct_url.json``; empty if there is none."""
    import json
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    try:
        origin = json.loads(read_file(os.path.join(info, "direct_url.json")))
        url = urlsplit(str(origin["url"]))
        return url2pathname(url.path) if url.scheme == "file" else ""
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        return ""


def _beside_egg(info: str) -> Iterator[Ground]:
    named = modules_named(info)
    listed = top_level(info) or _tops(named)
    yield OpenFolder(os.path.dirname(info), listed=listed, named=named)


def _plain(info: str) -> Iterator[Ground]:
    """What stands beside a dist-info that nobody installed; in an installer's folder only what is named."""
    folder = os.path.dirname(info)
    named = modules_named(info)
    others, installed = neighbours(info)
    listed = top_level(info)
    if listed is None and (installed or os.path.basename(folder) in SITE_NAMES):
        listed = _tops(named)
    yield OpenFolder(folder, listed=listed, named=named, refused=others)


def _tops(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name.partition(".")[0] for name in names)


def _is_standard(name: str) -> bool:
    """Whether Python's own library has the name: it stands before everything on the path."""
    return name.partition(".")[0] in sys.stdlib_module_names
