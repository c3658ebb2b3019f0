"""
The index: what one path advertised, as a small text file in the user's cache folder.

It is data, never trust. It must belong to this user alone, fit its checksums and be made for exactly
this question; on any doubt it is as if there were none. A folder that cannot be written to means no
index, silently. Nothing is written into a folder of the path itself: that would change its stamp.
"""

from __future__ import annotations

import os
import stat
import sys
from binascii import crc32
from typing import TYPE_CHECKING, Final

from hotplug._discovery._distribution import Found
from hotplug._discovery._folder import Table
from hotplug._discovery._stamps import NEVER
from hotplug._discovery._survey import Survey
from hotplug._records import Discovery, PluginRecord, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from hotplug._discovery._stamps import Stamp, Watched
    from hotplug._discovery._survey import Place

# pathlib costs more to import than all of this takes to run.
# ruff: noqa: PTH100, PTH103, PTH105, PTH108, PTH111, PTH116, PTH117, PTH208

__all__ = ["Index", "cache_folder", "index_of"]

FORMAT: Final = "hotplug-index-2"
ENDING: Final = ".index"
KEPT: Final = 64
LIMIT: Final = 1 << 26
ENCODING: Final = ("utf-8", "surrogatepass")


def cache_folder() -> str | None:
    """``HOTPLUG_CACHE``, else the customary folder of the system; None where there is none."""
    if folder := os.environ.get("HOTPLUG_CACHE"):
        return os.path.abspath(folder)
    if not sys.platform.startswith("linux"):
        from platformdirs import user_cache_dir

        return user_cache_dir("hotplug", appauthor=False)
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):
        base = os.path.expanduser("~/.cache")
    return f"{base}/hotplug" if base.startswith("/") else None


def index_of(path: Sequence[str], groups: Mapping[str, str]) -> Index | None:
    """The place of the index for this question; None where none can be."""
    folder = cache_folder()
    if folder is None:
        return None
    try:
        return Index(folder, [os.path.abspath(entry or ".") for entry in path], groups)
    except OSError:
        return None  # the working folder was deleted


class Index:
    """One index file, found by the question it answers."""

    def __init__(self, folder: str, path: Sequence[str], groups: Mapping[str, str]) -> None:
        self._folder = folder
        self._path = path
        self._groups = groups
        python = (sys.implementation.name, f"{sys.hexversion:x}", sys.prefix)
        self._question = _packed([python, *groups.items(), path])
        question = self._question.encode(*ENCODING)
        self.file: Final = f"{folder}{os.sep}{len(question):x}-{crc32(question):08x}{ENDING}"

    def load(self) -> Survey | None:
        """What the file holds; None if it is absent, or anything about it is doubtful."""
        try:
            head, _, body = self._read_own().partition(b"\n")
            length, check = self._read_head(head)
            if crc32(body) != check:
                return None
            answer, tables = body[:length].decode(*ENCODING), body[length:].decode(*ENCODING)
            if not answer.startswith(self._question):
                return None
            return _survey_from(answer.removeprefix(self._question), tables, self._path, self._groups)
        except (OSError, ValueError, LookupError):
            return None

    def _read_head(self, head: bytes) -> tuple[int, int]:
        form, length, check = head.decode("ascii").split(" ")
        if form != FORMAT:
            raise ValueError(form)
        return int(length, 16), int(check, 16)

    def _read_own(self) -> bytes:
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        file = os.open(self.file, flags | getattr(os, "O_BINARY", 0))
        try:
            seen = os.fstat(file)
            if not _is_own(seen) or seen.st_size > LIMIT:
                raise PermissionError(self.file)
            return os.read(file, seen.st_size)
        finally:
            os.close(file)

    def save(self, survey: Survey) -> None:
        """Replace the file by what *survey* says, or leave everything as it is."""
        answer = (self._question + _packed(_answer_rows(survey))).encode(*ENCODING)
        body = answer + _tables_text(survey).encode(*ENCODING)
        head = f"{FORMAT} {len(answer):x} {crc32(body):x}\n".encode()
        own = f"{self.file}.{os.getpid():x}-{id(survey):x}.tmp"
        try:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            place = os.stat(self._folder)
            if (place.st_ino, place.st_dev) in survey.tables or not _is_own(place, folder=True):
                return
            _write_new(own, head + body)
            os.replace(own, self.file)
            self._prune()
        except OSError:
            _remove(own)

    def _prune(self) -> None:
        """Keep the newest files; what a crash left of others goes with the old ones."""
        names = [name for name in os.listdir(self._folder) if name.endswith((ENDING, ".tmp"))]
        if len(names) <= KEPT:
            return
        ages: list[tuple[int, str]] = []
        for name in names:
            path = f"{self._folder}{os.sep}{name}"
            ages.append((os.stat(path).st_mtime_ns, path))
        for _, path in sorted(ages)[:-KEPT]:
            _remove(path)


def _is_own(seen: os.stat_result, *, folder: bool = False) -> bool:
    """Whether the thing is of the expected sort, and nobody else can have written to it."""
    if not (stat.S_ISDIR(seen.st_mode) if folder else stat.S_ISREG(seen.st_mode)):
        return False
    if not hasattr(os, "geteuid"):
        return True
    return seen.st_uid == os.geteuid() and not seen.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _write_new(path: str, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    file = os.open(path, flags, 0o600)
    try:
        while data:
            data = data[os.write(file, data) :]
    finally:
        os.close(file)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return


# -- rows ------------------------------------------------------------------------------------------
#
# path and groups    the question, as it was asked
# s                  one per entry of the path: its stamp, or nothing
# w                  what else is watched: path, stamp or nothing
# r, p               records and problems
# t                  a folder: stamp, thorough, completeness, path; then a line per distribution:
#                    its file name, with a + before where its records stand above


def _escaped(field: str) -> str:
    return field.replace("%", "%25").replace("\t", "%09").replace("\n", "%0A")


def _unescaped(field: str) -> str:
    return field.replace("%09", "\t").replace("%0A", "\n").replace("%25", "%")


def _packed(rows: Iterable[Iterable[object]]) -> str:
    return "".join(map(_line, rows))


def _line(row: Iterable[object]) -> str:
    fields = [str(field) for field in row]
    line = "\t".join(fields)
    if "%" in line or "\n" in line or line.count("\t") >= len(fields):
        line = "\t".join(map(_escaped, fields))
    return line + "\n"


def _unpacked(text: str) -> Iterator[list[str]]:
    *lines, end = text.split("\n")
    if end:
        raise ValueError(end)
    for line in lines:
        fields = line.split("\t")
        yield [_unescaped(field) for field in fields] if "%" in line else fields


def _answer_rows(survey: Survey) -> Iterator[Iterable[object]]:
    for stamp in survey.stamps:
        yield "s", *(stamp or ())
    for path, stamp in survey.watched:
        yield "w", path, *(stamp or ())
    for record in survey.discovery.records:
        yield (
            *("r", record.group, record.name, record.value, record.distribution),
            *(record.version, record.path, int(record.editable)),
        )
    for problem in survey.discovery.problems:
        yield (
            "p",
            problem.path,
            "" if problem.line is None else problem.line,
            problem.reason,
            problem.distribution,
        )


def _tables_text(survey: Survey) -> str:
    """The tables of the folders; distributions that would be read again anyhow are left out."""
    advertised = {record.path for record in survey.discovery.records}
    parts: list[str] = []
    for table in survey.tables.values():
        if not table.is_folder:
            continue
        loud = [
            file
            for file, found in table.loud.items()
            if f"{table.folder}{os.sep}{file}" in advertised and not found.problems and not found.watched
        ]
        complete = table.complete and len(loud) == len(table.loud) and not table.problems
        known = [*table.quiet, *(f"+{file}" for file in loud)]
        text = "\n".join([*known, ""])
        if text.count("\n") == len(known) and "\t" not in text and "%" not in text:
            parts.append(_line(("t", *table.stamp, table.thorough, int(complete), table.folder)) + text)
    return "".join(parts)


def _stamp(fields: Sequence[str]) -> Stamp:
    mtime, ctime, inode, device, mode, size = map(int, fields)
    return mtime, ctime, inode, device, mode, size


def _survey_from(answer: str, tables: str, path: Sequence[str], groups: Mapping[str, str]) -> Survey:
    """The survey that was saved. Raises ValueError or LookupError for rows that make no sense."""
    stamps: list[Stamp | None] = []
    watched: list[Watched] = []
    records: list[PluginRecord] = []
    problems: list[Problem] = []
    for sort, *fields in _unpacked(answer):
        if sort == "r":
            group, name, value, distribution, version, place, editable = fields
            kind = groups[group]
            records.append(
                PluginRecord(kind, group, name, value, distribution, version, place, editable == "1")
            )
        elif sort == "s":
            stamps.append(_stamp(fields) if fields else None)
        elif sort == "w":
            watched.append((fields[0], _stamp(fields[1:]) if fields[1:] else None))
        elif sort == "p":
            place, line, reason, distribution = fields
            problems.append(Problem(place, int(line) if line else None, reason, distribution))
        else:
            raise ValueError(sort)
    if len(stamps) != len(path):
        raise ValueError(path)
    discovery = Discovery(tuple(records), tuple(problems))
    return Survey(
        discovery,
        tuple(stamps),
        tuple(watched),
        trusted=True,
        tables=lambda: _tables_from(tables, discovery.records),
    )


def _tables_from(text: str, records: Sequence[PluginRecord]) -> dict[Place, Table]:
    """The tables that were saved; none where they make no sense."""
    try:
        return _tables(text, records)
    except (ValueError, LookupError):
        return {}


def _tables(text: str, records: Sequence[PluginRecord]) -> dict[Place, Table]:
    by_path: dict[str, list[PluginRecord]] = {}
    for record in records:
        by_path.setdefault(record.path, []).append(record)
    tables: dict[Place, Table] = {}
    table = Table("", NEVER, 0)
    for fields in _unpacked(text):
        if len(fields) > 1:
            table = Table(fields[9], _stamp(fields[1:7]), int(fields[7]))
            table.complete = fields[8] == "1"
            tables[table.stamp[2], table.stamp[3]] = table
        elif (file := fields[0])[0] == "+":
            table.loud[file[1:]] = Found(tuple(by_path[f"{table.folder}{os.sep}{file[1:]}"]))
        else:
            table.quiet.add(file)
    for table in tables.values():
        table.name_all()
    return tables
