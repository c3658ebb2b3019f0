"""What is no folder: archives on the path, and finders of other make, through ``importlib_metadata``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Protocol, cast

import importlib_metadata

from hotplug._discovery._distribution import LEFT_OUT, Found
from hotplug._discovery._folder import Table
from hotplug._discovery._stamps import look, settled
from hotplug._discovery._survey import in_order
from hotplug._discovery._text import Identity, canonical, named_in, read_entry_points
from hotplug._records import PluginRecord, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

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

    def __init__(self, folder: str, stamp: Stamp) -> None:
        super().__init__(folder, stamp, thorough=0)
        self.identities: dict[str, Identity] = {}

    def project(self, file: str) -> tuple[str, str]:
        return file, ""

    def judge(self, file: str) -> tuple[Identity, Watched]:
        return self.identities[file], (self.folder, look(self.folder))

    def add(self, identity: Identity, where: str, found: Found) -> None:
        """Take one distribution in; where two have a name, the first counts."""
        file = canonical(identity.name) if identity.is_sound else where
        if file not in self.loud:
            self.loud[file] = found
            self.identities[file] = identity


def path_of(distribution: object) -> str:
    """Where the distribution's metadata lies; empty if it does not say."""
    return str(getattr(distribution, "_path", "")).rstrip("/\\")


def scan_archive(path: str, stamp: Stamp, groups: Mapping[str, str], now: int) -> Table:
    """What the zip file (or egg) at *path* advertises."""
    archive = _Archive(path, stamp)
    try:
        distributions = foreign_distributions(None, [path])
    except Exception as error:  # noqa: BLE001 - the border to foreign code
        archive.problems = (Problem(path, None, f"cannot be read: {error!r}"),)
        return archive
    for distribution in distributions:
        where = path_of(distribution) or path
        archive.add(*_taken(distribution, where, groups))
    archive.name_all()
    archive.complete = settled([stamp], now)
    return archive


def with_foreign(
    finders: Iterable[object], known: Survey, path: Sequence[str], groups: Mapping[str, str]
) -> Discovery:
    """*known*, and what *finders* add. They are asked each time: nothing tells when their answers change."""
    names = {canonical(record.distribution) for record in known.discovery.records}
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
            identity, _, found = _taken(distribution, path_of(distribution) or where, groups)
            problems += found.problems
            name = canonical(identity.name)
            if identity.is_sound and name not in names and not _stands_on_path(name, known):
                names.add(name)
                records += found.records
    return in_order(records, problems)


def _stands_on_path(name: str, known: Survey) -> bool:
    claims = ((table, table.names.get(name)) for table in known.tables.values())
    return any(file is not None and table.judge(file)[0].is_sound for table, file in claims)


def _identified(distribution: ForeignDistribution) -> Identity:
    """Who it says it is; nothing that it raises gets out."""
    identity = Identity([])
    try:
        identity.name = _said(lambda: distribution.metadata["Name"])
        identity.version = _said(lambda: distribution.version)
    except Exception as error:  # noqa: BLE001 - the border to foreign code
        identity.faults.append((None, f"cannot be read: {error!r}"))
        return identity
    for key, value in (("Name", identity.name), ("Version", identity.version)):
        if not value:
            identity.faults.append((None, f"has no {key}"))
    return identity


def _said(ask: Callable[[], object]) -> str:
    """The answer; empty where that header is missing."""
    try:
        return str(ask() or "")
    except KeyError:
        return ""


def _taken(
    distribution: ForeignDistribution, path: str, groups: Mapping[str, str]
) -> tuple[Identity, str, Found]:
    """Who the distribution is, where it lies, and what it advertises; nothing that it raises gets out."""
    identity = _identified(distribution)
    if not identity.is_sound:
        file = path.rpartition(os.sep)[2]
        claimed = named_in(file)[0].replace("_", "-") if file.endswith((".dist-info", ".egg-info")) else ""
        faults = [f"{reason}; {LEFT_OUT}" for _, reason in identity.faults]
        return (
            identity,
            path,
            Found((), [Problem(f"{path}{os.sep}METADATA", None, fault, claimed) for fault in faults]),
        )
    return identity, path, _advertised(distribution, identity, path, groups)


def _advertised(
    distribution: ForeignDistribution, identity: Identity, path: str, groups: Mapping[str, str]
) -> Found:
    name = identity.name
    entry_points = f"{path}{os.sep}entry_points.txt"
    try:
        data = (distribution.read_text("entry_points.txt") or "").encode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        data = error.object  # the text as it is; its good lines count
    except Exception as error:  # noqa: BLE001 - the border to foreign code
        problem = Problem(entry_points, None, f"cannot be read: {error!r}", name)
        return Found((), (problem,))
    points, faults = read_entry_points(data, groups)
    records = (
        PluginRecord(groups[group], group, point, value, name, identity.version, path)
        for group, point, value in points
    )
    problems = (Problem(entry_points, line, reason, name) for line, reason in faults)
    return Found(records, problems)
