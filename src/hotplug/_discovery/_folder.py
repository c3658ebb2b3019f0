"""
Scans one folder of the path, with three system calls for most distributions.

What a scan learns is kept in a `Table`. The next scan asks the file system only whether a dist-info
changed since, and the yardstick is the folder's own change time: whatever changed after the last
installation that the earlier scan saw is read again, whatever is older was seen as it is. That costs
nothing to record, and no clock but the file system's is trusted.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from hotplug._discovery._distribution import (
    CHUNK,
    READ_FLAGS,
    YOUNG_NS,
    inspect,
    is_plainly_silent,
    judge,
    metadata_of,
)
from hotplug._discovery._stamps import NEVER, RENAMES_SHOW, look, settled, stamp_changed_ns
from hotplug._discovery._text import canonical, named_in
from hotplug._records import Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from hotplug._discovery._distribution import Found
    from hotplug._discovery._stamps import Stamp, Watched
    from hotplug._discovery._text import Identity

__all__ = ["LEFTOVER_MARKS", "Table", "list_folder", "scan_folder"]

SUFFIXES: Final = (".dist-info", ".egg-info", ".pth")
EDITABLE_MARKS: Final = ("__editable__.", "_editable_impl_")
LEFTOVER_MARKS: Final = "~-."  # what interrupted installers leave behind; no distribution's name starts so
IRRELEVANT: Final = bytes(set(range(1, 128)) - set(b"\n[="))
UNUSUAL: Final = (b"\n\n", b"==", b"[[", b"[=", b"=[")
_Texts = dict[str, "bytes | None"]
"""Files, and the beginnings of their entry points; None where nothing could be read."""

BY_DESCRIPTOR: Final = os.open in os.supports_dir_fd and os.stat in os.supports_dir_fd


class Table:
    """
    What is known of one folder.

    *quiet* distributions (their file names) advertise nothing that was asked for, *loud* ones do, or
    are broken. Dist-infos older than the folder's stamp are known, metadata files older than *thorough*.
    """

    is_folder = True
    __slots__ = ("complete", "folder", "loud", "names", "problems", "quiet", "stamp", "thorough", "watched")

    def __init__(self, folder: str, stamp: Stamp, thorough: int) -> None:
        self.folder = folder
        self.stamp = stamp
        self.thorough = thorough
        self.complete = False
        """Whether all is known, and nothing can happen without changing the stamp or what is watched."""
        self.quiet: set[str] = set()
        self.loud: dict[str, Found] = {}
        self.problems: tuple[Problem, ...] = ()
        self.watched: tuple[Watched, ...] = ()
        self.names: dict[str, str] = {}
        """Canonical name to the file that claims it; where several do, the one that counts, once compared."""

    @property
    def since(self) -> int:
        return stamp_changed_ns(self.stamp)

    def is_still_so(self, stamp: Stamp) -> bool:
        """Whether there is no need to look, *stamp* being what the folder has now."""
        return (
            self.complete and self.stamp == stamp and all(look(path) == seen for path, seen in self.watches())
        )

    def watches(self) -> Iterator[Watched]:
        """What else to look at, because the stamp does not tell."""
        yield from self.watched
        for found in self.loud.values():
            yield from found.watched

    def project(self, file: str) -> tuple[str, str]:
        """Canonical name, and version, of the distribution that *file* claims to be."""
        name, version = named_in(file, self.folder)
        return canonical(name), version

    def judge(self, file: str) -> tuple[Identity, Watched]:
        """Who *file* really is, and what to watch to see that change; who is not sound hides nobody."""
        return judge(metadata_of(self.folder, file))

    def name_all(self) -> None:
        """Note which distribution each file claims to be."""
        files = [*self.quiet, *self.loud]
        # All at once: this runs over every distribution there is, and calls for each take four times as long.
        names = "\n".join([file.rsplit("-", 2)[0] for file in files]).lower()
        names = names.replace("_", "-").replace(".", "-") + "\n"
        is_plain = ("\n".join(files) + "\n").count(".dist-info\n") == len(files) and "-dist\n" not in names
        if is_plain and "--" not in names and names.isascii():
            self.names = dict(zip(names.split("\n"), files, strict=False))
        else:
            self.names = {self.project(file)[0]: file for file in files}

    def rivals(self) -> Iterable[list[str]]:
        """The files that claim to be one distribution, wherever several do."""
        if len(self.names) == len(self.quiet) + len(self.loud):
            return []
        claims: dict[str, list[str]] = {}
        for file in (*self.quiet, *self.loud):
            claims.setdefault(self.project(file)[0], []).append(file)
        return [sorted(files) for files in claims.values() if len(files) > 1]


class _Folder:
    """The folder being scanned; paths below it are looked up from its descriptor where that is possible."""

    def __init__(self, path: str) -> None:
        self.descriptor = os.open(path, os.O_RDONLY) if BY_DESCRIPTOR else None
        self.prefix = "" if BY_DESCRIPTOR else path + os.sep

    def __enter__(self) -> _Folder:
        return self

    def __exit__(self, *_: object) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)

    def older(self, files: Iterable[str], than: int, suffix: str = "") -> tuple[set[str], list[str]]:
        """Of *files* (or what *suffix* names below them) what changed before *than*, what is absent."""
        older: set[str] = set()
        absent: list[str] = []
        prefix, descriptor = self.prefix, self.descriptor
        for file in files:
            try:
                changed = os.stat(prefix + file + suffix, dir_fd=descriptor).st_ctime_ns
            except OSError:
                absent.append(file)
            else:
                if changed < than:
                    older.add(file)
        return older, absent


def list_folder(folder: str) -> tuple[list[str], list[str]]:
    """The names of the dist-infos and egg-infos in *folder*, leftovers apart, and of its pth files."""
    suffixes = (*SUFFIXES, "EGG-INFO") if folder.endswith(".egg") else SUFFIXES
    listed = [name for name in os.listdir(folder) if name.endswith(suffixes)]  # noqa: PTH208 - bare names
    path_files = [name for name in listed if name[-1] == "h"]
    if path_files:
        listed = [name for name in listed if name[-1] != "h"]
    return [name for name in listed if name[0] not in LEFTOVER_MARKS], path_files


def scan_folder(
    folder: str, stamp: Stamp, groups: Mapping[str, str], before: Table | None, *, fresh: bool, now: int
) -> Table:
    """Everything in *folder*, of which *stamp* was taken first; what *before* still knows is not read."""
    since = stamp_changed_ns(stamp)
    if before is not None and (before.since > since or not RENAMES_SHOW):
        before = None  # somebody turned the clock back, or there is none to go by
    table = Table(folder, stamp, before.thorough if before and not fresh else since)
    try:
        unread, path_files = list_folder(folder)
        with _Folder(folder) as opened:
            if before:
                unread = _keep_known(table, unread, before, opened, fresh=fresh)
            suspects, silent = _read_quiet(table, unread, opened, groups)
    except (FileNotFoundError, NotADirectoryError):
        return table  # it went away meanwhile, and its stamp with it
    except OSError as error:
        table.problems = (Problem(folder, None, f"cannot be read: {error.strerror}"),)
        table.watched = ((folder, NEVER),)
        return table
    is_young = now - since < YOUNG_NS
    suspects |= _hear_silent(table, silent, young=is_young)
    _inspect_all(table, suspects, frozenset(_editables(path_files)), groups, now if is_young else None)
    table.name_all()
    table.complete = settled([stamp, *(seen for _, seen in table.watches())], now)
    return table


def _hear_silent(table: Table, silent: Iterable[str], *, young: bool) -> _Texts:
    """Of distributions without entry points, note those that will not get any; return the others."""
    suspects: _Texts = {}
    for file in silent:
        if is_plainly_silent(f"{table.folder}{os.sep}{file}", young=young):
            table.quiet.add(file)
        else:
            suspects[file] = None
    return suspects


def _inspect_all(
    table: Table, suspects: _Texts, editables: frozenset[str], groups: Mapping[str, str], now: int | None
) -> None:
    for file, data in suspects.items():
        found = inspect(table.folder, file, data, groups, editables, now)
        if found is None:
            table.quiet.add(file)
        else:
            table.loud[file] = found


def _keep_known(table: Table, files: list[str], before: Table, opened: _Folder, *, fresh: bool) -> list[str]:
    """Take over what did not change since *before*; the rest is returned."""
    quiet = [file for file in files if file in before.quiet]
    loud = {file for file in files if file in before.loud and not before.loud[file].watched}
    if fresh:
        table.quiet, silent = opened.older(quiet, before.thorough, "/entry_points.txt")
        # The silent ones had none if their folder did not change since; and have none now.
        table.quiet |= opened.older(silent, before.thorough)[0]
        for name in ("", "/entry_points.txt", "/METADATA"):
            loud, _ = opened.older(loud, before.thorough, name)
    else:
        table.quiet, _ = opened.older(quiet, before.since)
        loud, _ = opened.older(loud, before.since)
    table.loud = {file: before.loud[file] for file in loud}
    return [file for file in files if file not in table.quiet and file not in loud]


def _read_quiet(
    table: Table, files: list[str], opened: _Folder, groups: Iterable[str]
) -> tuple[_Texts, list[str]]:
    """
    Read every ``entry_points.txt``, and note the distributions that say nothing for us.

    The others are returned: those that may, with what was read (None: nothing could be), and those
    that have no such file.
    """
    suspects: _Texts = {}
    silent: list[str] = []
    read = dict(_beginnings(files, opened, _needles(groups), suspects, silent))
    if not _are_ordinary(read.values()):
        suspects |= {name: data for name, data in read.items() if not _are_ordinary([data])}
    table.quiet |= set(read).difference(suspects)
    return suspects, silent


def _beginnings(
    files: list[str], opened: _Folder, needles: tuple[bytes, ...], suspects: _Texts, silent: list[str]
) -> Iterator[tuple[str, bytes]]:
    """The first piece of each file without any of *needles*; the others go where they belong."""
    prefix, descriptor = opened.prefix, opened.descriptor
    open_file, read_some, close_file = os.open, os.read, os.close  # three look-ups less for each of thousands
    for name in files:
        try:
            file = open_file(f"{prefix}{name}/entry_points.txt", READ_FLAGS, dir_fd=descriptor)
        except FileNotFoundError:
            silent.append(name)
            continue
        except OSError:
            suspects[name] = None
            continue
        try:
            data = read_some(file, CHUNK)
        except OSError:
            suspects[name] = None
            continue
        finally:
            close_file(file)
        for needle in needles:
            if needle in data:
                suspects[name] = data
                break
        else:
            yield name, data


def _needles(groups: Iterable[str]) -> tuple[bytes, ...]:
    """Few words of which one stands in every file that advertises one of *groups*."""
    return tuple({name + dot for name, dot, _ in (group.encode().partition(b".") for group in groups)})


def _are_ordinary(texts: Collection[bytes]) -> bool:
    """Whether every line of all *texts* is plain, and is blank or has exactly one of ``[`` and ``=``."""
    if not all(texts) or max(map(len, texts), default=0) >= CHUNK:
        return False
    together = b"\n".join(texts).replace(b"\n\n", b"\n").replace(b"\n\n", b"\n").strip(b"\n")
    telling = b"\n" + together.translate(None, IRRELEVANT) + b"\n"
    return not telling.translate(None, b"\n[=") and not any(pair in telling for pair in UNUSUAL)


def _editables(names: Iterable[str]) -> Iterable[str]:
    """The canonical names of distributions that put a marked pth file here: editable ones."""
    for file in names:
        for mark in EDITABLE_MARKS:
            if file.startswith(mark):
                yield canonical(file.removeprefix(mark).removesuffix(".pth").partition("-")[0])
