"""What is no folder: archives on the path, and finders of other make, through ``importlib_metadata``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Protocol, cast

import importlib_metadata

from hotplug._discovery._distribution import Found
from hotplug._discovery._folder import Table
from hotplug._discovery._stamps import look, settled
from hotplug._discovery._survey import in_order
from hotplug._discovery._text import canonical, read_entry_points
from hotplug._records import PluginRecord, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hotplug._discovery._stamps import Stamp, Watched
    from hotplug._discovery._survey import Survey
    from hotplug._records import Discovery

__all__ = ["foreign_distributions", "path_of", "scan_archive", "with_foreign"]


class _Metadata(Protocol):
    def __getitem__(self, key: str, /) -> object: ...


class ForeignDistribution(Protocol):
    """What a finder yields, of whatever make it is."""

    @property
    def metadata(self) -> _Metadata: ...
    @property
    def version(self) -> str: ...
    @property
    def requires(self) -> list[str] | None: ...
    def read_text(self, filename: str, /) -> str | None: ...


def foreign_distributions(finder: object, path: Sequence[str]) -> list[ForeignDistribution]:
    """All that *finder* (None: the one for folders and archives) yields for *path*; raises what it raises."""
    if finder is None:
        found: object = cast("Any", importlib_metadata).distributions(path=list(path))
    else:
        context = cast("Any", importlib_metadata).DistributionFinder.Context(path=list(path))
        found = cast("Any", finder).find_distributions(context)
    return list(cast("Iterable[ForeignDistribution]", found))


class _Archive(Table):
    """What is known of one archive; its distributions stand under their canonical names."""

    is_folder = False

    def project(self, file: str) -> tuple[str, str]:
        return file, ""

    def metadata(self, file: str) -> Watched:  # noqa: ARG002 - one archive, one stamp
        return self.folder, look(self.folder)


def path_of(distribution: object) -> str:
    """Where the distribution's metadata lies; empty if it does not say."""
    return str(getattr(distribution, "_path", "")).rstrip("/\\")


def scan_archive(path: str, stamp: Stamp, groups: Mapping[str, str], now: int) -> Table:
    """What the zip file (or egg) at *path* advertises."""
    archive = _Archive(path, stamp, 0)
    try:
        distributions = foreign_distributions(None, [path])
    except Exception as error:  # noqa: BLE001 - the border to foreign code
        archive.problems = (Problem(path, None, f"cannot be read: {error!r}"),)
        return archive
    for distribution in distributions:
        name, found = _taken(distribution, path, groups)
        archive.loud.setdefault(canonical(name), found)
    archive.name_all()
    archive.complete = settled([stamp], now)
    return archive


def with_foreign(
    finders: Iterable[object], known: Survey, path: Sequence[str], groups: Mapping[str, str]
) -> Discovery:
    """*known*, and what *finders* add. They are asked each time: nothing tells when their answers change."""
    names = {name for table in known.tables.values() for name in table.names}
    records = list(known.discovery.records)
    problems = list(known.discovery.problems)
    for finder in finders:
        where = type(finder).__qualname__ if not isinstance(finder, type) else finder.__qualname__
        try:
            distributions = foreign_distributions(finder, path)
        except Exception as error:  # noqa: BLE001 - the border to foreign code
            problems.append(Problem(where, None, f"find_distributions raised {error!r}"))
            continue
        for distribution in distributions:
            name, found = _taken(distribution, where, groups)
            problems += found.problems
            if canonical(name) not in names:
                names.add(canonical(name))
                records += found.records
    return in_order(records, problems)


def _taken(distribution: ForeignDistribution, where: str, groups: Mapping[str, str]) -> tuple[str, Found]:
    """The distribution's name, and what it advertises; nothing that it raises gets out."""
    path = path_of(distribution) or where
    try:
        name, version = str(distribution.metadata["Name"]), str(distribution.version)
    except Exception as error:  # noqa: BLE001 - the border to foreign code
        problem = Problem(f"{path}{os.sep}METADATA", None, f"cannot be read: {error!r}")
        return path, Found((), (problem,))
    entry_points = f"{path}{os.sep}entry_points.txt"
    try:
        data = (distribution.read_text("entry_points.txt") or "").encode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        data = error.object  # the text as it is; its good lines count
    except Exception as error:  # noqa: BLE001 - the border to foreign code
        problem = Problem(entry_points, None, f"cannot be read: {error!r}", name)
        return name, Found((), (problem,))
    points, faults = read_entry_points(data, groups)
    records = (
        PluginRecord(groups[group], group, point, value, name, version, path)
        for group, point, value in points
    )
    problems = (Problem(entry_points, line, reason, name) for line, reason in faults)
    return name, Found(tuple(records), tuple(problems))
