"""Puts the folders of a path together: who stands first, who is hidden, what is wrong."""

from __future__ import annotations

import os
import stat
import time
from typing import TYPE_CHECKING

from hotplug._discovery._distribution import spelled, version_order
from hotplug._discovery._folder import scan_folder
from hotplug._discovery._stamps import look, settled
from hotplug._discovery._text import named_in
from hotplug._records import Discovery, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from hotplug._discovery._folder import Table
    from hotplug._discovery._stamps import Stamp, Watched
    from hotplug._discovery._text import Identity
    from hotplug._records import PluginRecord

# pathlib costs more to import than all of this takes to run.
# ruff: noqa: PTH100

__all__ = ["Place", "RIVALS", "Survey", "certain", "in_order", "survey"]

RIVALS = "is one of several for the same distribution"
"""How the reason of a `Problem` begins whose dist-info counts though there are others beside it."""

Place = tuple[int, int]
"""Inode and device: what a folder is, however it is spelled."""


class Survey:
    """What a path advertised at one time, and the stamps that tell whether it still does."""

    __slots__ = ("_tables", "discovery", "stamps", "trusted", "watched")

    def __init__(
        self,
        discovery: Discovery,
        stamps: tuple[Stamp | None, ...],
        watched: tuple[Watched, ...],
        *,
        trusted: bool,
        tables: dict[Place, Table] | Callable[[], dict[Place, Table]],
    ) -> None:
        self.discovery = discovery
        self.stamps = stamps
        self.watched = watched
        self.trusted = trusted
        self._tables = tables

    @property
    def tables(self) -> dict[Place, Table]:
        """What is known of each folder; read from the index only when it is asked for."""
        if callable(self._tables):
            self._tables = self._tables()
        return self._tables

    def holds(self, path: Sequence[str]) -> bool:
        """Whether *path* looks as it did, and would not if anything had changed."""
        if not self.trusted:
            return False
        for entry, stamp in zip(path, self.stamps, strict=True):
            if look(entry or ".") != stamp:
                return False
        return not self.watched or all(look(place) == stamp for place, stamp in self.watched)


def certain(index: Survey, path: Sequence[str]) -> Survey:
    """
    What of *index* is sure to be about the folders of *path* as they are, whatever became of the others.

    An index may be another machine's, or older than anything here: equal stamps alone connect the two.
    """
    now = {look(entry or ".") for entry in path}
    tables = {place: table for place, table in index.tables.items() if table.stamp in now}
    return Survey(index.discovery, index.stamps, index.watched, trusted=False, tables=tables)


def survey(
    path: Sequence[str], groups: Mapping[str, str], before: Survey | None = None, *, fresh: bool = False
) -> Survey:
    """Scan *path*; what *before* still knows is not read again."""
    now = time.time_ns()
    stamps = tuple(look(entry or ".") for entry in path)
    known = before.tables if before is not None else {}
    tables: dict[Place, Table] = {}
    for entry, stamp in zip(path, stamps, strict=True):
        if stamp is not None and (place := (stamp[2], stamp[3])) not in tables:
            table = _scan(entry, stamp, groups, known.get(place), fresh=fresh, now=now)
            if table is not None:
                tables[place] = table
    discovery, watched = _assemble(tables.values())
    trusted = settled([*stamps, *(stamp for _, stamp in watched)], now)
    return Survey(discovery, stamps, watched, trusted=trusted, tables=tables)


def in_order(records: Iterable[PluginRecord], problems: Iterable[Problem]) -> Discovery:
    """The answer, the same for every order of installation."""
    return Discovery(
        tuple(sorted(records, key=lambda record: (record.kind, record.name, record.distribution))),
        tuple(sorted(problems, key=lambda problem: (problem.path, problem.line or 0, problem.reason))),
    )


def _scan(
    entry: str, stamp: Stamp, groups: Mapping[str, str], known: Table | None, *, fresh: bool, now: int
) -> Table | None:
    try:
        place = os.path.abspath(entry or ".")
    except OSError:
        return None  # the working folder was deleted
    if known is not None and known.folder != place:
        known = None  # the same folder under another name: its records say the old one
    if known is not None and not fresh and known.is_still_so(stamp):
        return known
    if stat.S_ISDIR(stamp[4]):
        return scan_folder(place, stamp, groups, known, fresh=fresh, now=now)
    if stat.S_ISREG(stamp[4]):
        from hotplug._discovery._foreign import scan_archive

        return scan_archive(place, stamp, groups, now)
    return None


def _assemble(tables: Iterable[Table]) -> tuple[Discovery, tuple[Watched, ...]]:
    records: list[PluginRecord] = []
    problems: list[Problem] = []
    watched: list[Watched] = []
    earlier: list[Table] = []
    for table in tables:
        problems += table.problems
        watched += table.watches()
        losers = _losers(table, problems, watched)
        for file, found in table.loud.items():
            problems += found.problems
            if found.records and file not in losers and not _is_shadowed(table, file, earlier, watched):
                records += found.records
        earlier.append(table)
    return in_order(records, problems), tuple(watched)


def _losers(table: Table, problems: list[Problem], watched: list[Watched]) -> set[str]:
    """Of several dist-infos of one distribution, all but the one that counts."""
    losers: set[str] = set()
    for files in table.rivals():
        judged = {file: table.judge(file) for file in files}

        def rank(file: str, judged: dict[str, tuple[Identity, Watched]] = judged) -> tuple[object, ...]:
            version = version_order(table.project(file)[1])
            is_whole = _is_whole(f"{table.folder}{os.sep}{file}")
            return judged[file][0].is_sound, is_whole, file.endswith(".dist-info"), version, file

        watched += (metadata for _, metadata in judged.values())
        *others, winner = sorted(files, key=rank)
        losers.update(others)
        table.names[table.project(winner)[0]] = winner
        reason = f"{RIVALS}: {winner} counts, not {', '.join(others)}"
        name = spelled(judged[winner][0], named_in(winner, table.folder)[0])
        problems.append(Problem(f"{table.folder}{os.sep}{winner}", None, reason, name))
    return losers


def _is_whole(info: str) -> bool:
    """Whether the contents are as they say: two installers at once leave one right, or none."""
    from hotplug._discovery._installation import installation

    return installation(info, strict=True).state not in ("partial", "gone")


def _is_shadowed(table: Table, file: str, earlier: list[Table], watched: list[Watched]) -> bool:
    """Whether a distribution of that name stands earlier on the path; leftovers do not count."""
    name = table.project(file)[0]
    for other in earlier:
        if (rival := other.names.get(name)) is not None:
            identity, metadata = other.judge(rival)
            if identity.is_sound:
                return True
            watched.append(metadata)
    return False
