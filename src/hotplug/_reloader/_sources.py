"""The text of a distribution's modules, read once; and what loads them from it, whatever the disk says."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.machinery
import importlib.util
import os
import sys
import time
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import CodeType

# Between two system calls other threads run: each one that is saved here is time under load.
# ruff: noqa: PTH108, PTH116, PTH118, PTH119, PTH120, PTH208

__all__ = ["Code", "Ground", "Source", "SourceLoader", "Sources", "read_source", "unlink_stale"]

_BLOCK: Final = 1 << 18
_RACY: Final = 2_000_000_000
"""Nanoseconds: of what changed this shortly ago, the coarsest clocks would not tell the next change."""
_SAVING: Final = 100_000_000
"""Nanoseconds: who empties a file to write it anew is not gone from it longer, but for the slowest."""

_Stamp = tuple[int, int, int, int, int]


class Ground(Protocol):
    """What the reloader asks of the code of a distribution; `_discovery.Territory` is one."""

    @property
    def distribution(self) -> str:
        """Its name."""
        ...

    @property
    def sort(self) -> str:
        """``installed``, ``editable`` or ``plain``."""
        ...

    def owns(self, name: str) -> bool:
        """Whether the module *name*, be there one or not, is its alone."""
        ...

    def find(self, name: str) -> Place | None:
        """Where the module *name* is loaded from."""
        ...

    def sources(self) -> dict[str, str]:
        """The files of the modules that are loaded from source, by module name."""
        ...


class Place(Protocol):
    """Where a module is loaded from."""

    @property
    def path(self) -> str:
        """Its file; empty for a namespace."""
        ...

    @property
    def search(self) -> tuple[str, ...]:
        """What a package's ``__path__`` would be."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """The text of one file. *changed_at* is its time of change, where bytecode is to be compared with it."""

    path: str
    text: bytes
    digest: bytes
    changed_at: float | None = None

    @property
    def is_package(self) -> bool:
        """Whether it is the ``__init__`` of one."""
        return os.path.basename(self.path).partition(".")[0] == "__init__"


def read_source(path: str, earlier: Source | None = None, *, with_time: bool = False) -> Source:
    """The file at *path* as it is now; *earlier* itself where that says the same."""
    file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0))
    try:
        changed_at = os.fstat(file).st_mtime if with_time else None
        text = os.read(file, _BLOCK)
        while len(text) % _BLOCK == 0 and (more := os.read(file, _BLOCK)):
            text += more
    finally:
        os.close(file)
    if earlier is not None and earlier.text == text:
        return earlier
    return Source(path, text, hashlib.sha256(text).digest(), changed_at)


class Sources:
    """
    What the modules of a distribution say, as it was when it was read.

    *changed* are the paths of those that say something else than *before*, or were not there. *stamps* are
    how files looked that cannot change without looking otherwise.
    """

    def __init__(
        self,
        by_name: Mapping[str, Source],
        before: Sources | None = None,
        stamps: Mapping[str, _Stamp] = MappingProxyType({}),
        emptied_at: int = 0,
    ) -> None:
        self.by_name: Final = dict(by_name)
        self.tops: Final = frozenset(name.partition(".")[0] for name in by_name)
        self._stamps: Final = stamps
        self._emptied_at: Final = emptied_at
        self._known: Final = {source.path: source for source in by_name.values()}
        known = {} if before is None else {path: before.at(path) for path in before.paths}
        self.changed: Final = frozenset(
            path for path, source in self._known.items() if known.get(path) is not source
        )
        self.gone: Final = frozenset(known.keys() - self._known.keys())
        self.inner: Final = frozenset(_prefixes(by_name)) - by_name.keys()

    @classmethod
    def read(cls, ground: Ground, before: Sources | None = None, *, with_times: bool = False) -> Sources:
        """
        Read them all, in one go; what vanishes meanwhile is not there.

        What looks exactly as it did *before* (times of content and inode, inode, size) is not read again,
        unless it had only just changed then. Where times of inodes are not kept (Windows, FAT), what is
        written over with the same size and has its time put back is not seen.
        """
        found: dict[str, Source] = {}
        stamps: dict[str, _Stamp] = {}
        emptied_at = 0
        now = time.time_ns()
        for name, path in ground.sources().items():
            with contextlib.suppress(OSError):  # who imports it is told
                stamp = _stamp_of(path)
                source = None if before is None else before.at(path)
                if source is None or before is None or before.stamp_at(path) != stamp:
                    source = read_source(path, source, with_time=with_times)
                    if before is not None and before.at(path) is not None and not source.text:
                        emptied_at = max(emptied_at, _stamp_of(path)[0])
                found[name] = source
                if max(stamp[:2]) < now - _RACY:
                    stamps[path] = stamp
        return cls(found, before, stamps, emptied_at)

    @property
    def are_being_saved(self) -> bool:
        """Whether a file that said something was emptied this moment: it may be about to be written."""
        return 0 <= time.time_ns() - self._emptied_at < _SAVING

    def stamp_at(self, path: str) -> _Stamp | None:
        """How the file at *path* looked, if it looks otherwise when it is another."""
        return self._stamps.get(path)

    @property
    def paths(self) -> frozenset[str]:
        """The files that were read."""
        return frozenset(self._known)

    def at(self, path: str) -> Source | None:
        """What was read of the file at *path*."""
        return self._known.get(path)

    @property
    def digest(self) -> str:
        """Sixty-four letters that are the same as long as all files and their contents are."""
        whole = hashlib.sha256()
        for name, source in sorted(self.by_name.items()):
            whole.update(f"{name}\0{source.path}\0".encode("utf-8", "surrogateescape") + source.digest)
        return whole.hexdigest()

    def codes(self) -> set[tuple[str, bytes]]:
        """The keys under which a `Code` cache holds what these files say."""
        return {(source.path, source.digest) for source in self._known.values()}


def _stamp_of(path: str) -> _Stamp:
    found = os.stat(path)
    return found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev, found.st_size


def _prefixes(names: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for name in names:
        while (name := name.rpartition(".")[0]) and name not in found:
            found.add(name)
    return found


Code = dict[tuple[str, bytes], "CodeType"]
"""What was compiled, by path and digest: shared between the generations of a distribution."""


class SourceLoader(importlib.machinery.SourceFileLoader):
    """
    Loads one module from the text that was read, and goes on saying that text.

    *generation* is the number of the generation it belongs to. *bytecode* may be looked at and written
    where it may, and the time of the file is known. All but the module itself is read from the disk.
    """

    def __init__(
        self, name: str, source: Source, codes: Code, generation: int, *, bytecode: bool = False
    ) -> None:
        super().__init__(name, source.path)
        self.source: Final = source
        self.generation: Final = generation
        self._codes: Final = codes
        self._bytecode: Final = bytecode and source.changed_at is not None

    def get_code(self, fullname: str) -> CodeType:
        """Its code, compiled once."""
        key = self.source.path, self.source.digest
        if key not in self._codes:
            code: Any = super().get_code(fullname) if self._bytecode else self._compiled()
            self._codes[key] = code
        return self._codes[key]

    def _compiled(self) -> CodeType:
        path, text = self.source.path, self.source.text
        try:
            return self.source_to_code(text, path)
        except SyntaxError as error:
            if error.filename is None and b"\0" in text:  # of which Python does not say where it is
                error.filename, error.lineno = path, text.count(b"\n", 0, text.find(b"\0")) + 1
            raise

    def get_source(self, fullname: str) -> str:  # noqa: ARG002 - it has one module
        """Its text, as it was read."""
        return importlib.util.decode_source(self.source.text)

    def line(self, number: int) -> str:
        """One line of its text, without what surrounds it; empty if there is none such."""
        return "".join(self.get_source(self.name).splitlines()[number - 1 : number]).strip()

    def get_data(self, path: str) -> bytes:
        """What is in the file at *path*; if that is the module's own, what was in it."""
        return self.source.text if path == self.source.path else super().get_data(path)

    def path_stats(self, path: str) -> Mapping[str, Any]:
        """The time and size that bytecode is compared with: those of the text that was read."""
        if path == self.source.path and self.source.changed_at is not None:
            return {"mtime": self.source.changed_at, "size": len(self.source.text)}
        return super().path_stats(path)


def unlink_stale(paths: Iterable[str], *, believe_later: bool) -> None:
    """
    Remove the bytecode of files that changed, whichever interpreter's it is: it may seem to fit.

    With *believe_later*, what was certainly written after its source is left.
    """
    changed: dict[str, dict[str, str]] = {}
    for path in paths:
        folder, file = os.path.split(path)
        changed.setdefault(_cache_folder(folder), {})[file.partition(".")[0]] = path
    for folder, stems in changed.items():
        with contextlib.suppress(OSError):  # there is none, or it is not ours to clear
            for file in os.listdir(folder):
                source = stems.get(file.partition(".")[0])
                if source is not None and file.endswith(".pyc"):
                    _unlink_unless_later(os.path.join(folder, file), source if believe_later else None)


def _unlink_unless_later(cached: str, source: str | None) -> None:
    with contextlib.suppress(OSError):
        if source is None or os.stat(cached).st_ctime_ns <= os.stat(source).st_ctime_ns:
            os.unlink(cached)


def _cache_folder(folder: str) -> str:
    """Where the bytecode of what lies in *folder* is kept."""
    if sys.pycache_prefix is None:
        return os.path.join(folder, "__pycache__")
    return os.path.dirname(importlib.util.cache_from_source(os.path.join(folder, "x.py")))
