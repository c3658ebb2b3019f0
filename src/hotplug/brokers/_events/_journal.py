"""Lines that outlive the process: one file per broker, one writer, nothing half written."""

from __future__ import annotations

import errno
import os
import shutil
import threading
import weakref
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from hotplug.brokers._events._files import (
    end_of_lines,
    is_at,
    lines_of,
    lock_file,
    open_private,
    read_holder,
    sync_folder,
    write_at_once,
    write_holder,
)
from hotplug.brokers._events._plain import from_line, to_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["FileJournal", "Journal", "MAX_BYTES", "MemoryJournal", "read_journal"]

MAX_BYTES: Final = 64 * 1024 * 1024
"""A journal larger than this when it is opened should be rotated."""


class Journal(Protocol):
    """Where lines are kept. *holder* says who writes them, if that is somebody else: then it is read-only."""

    @property
    def path(self) -> Path | None: ...
    @property
    def holder(self) -> str | None: ...
    @property
    def outgrown(self) -> bool: ...
    def append(self, line: Mapping[str, object]) -> None: ...
    def read(self) -> Iterator[dict[str, Any]]: ...
    def rotate(self, carry: Iterable[Mapping[str, object]]) -> Path | None: ...
    def close(self) -> None: ...


class MemoryJournal:
    """A journal that keeps nothing: for brokers whose orders end with the process."""

    path: Path | None = None
    holder: str | None = None
    outgrown: bool = False

    def append(self, line: Mapping[str, object]) -> None:
        """Nothing is kept."""

    def read(self) -> Iterator[dict[str, Any]]:
        """Nothing is kept."""
        return iter(())

    def rotate(self, carry: Iterable[Mapping[str, object]]) -> Path | None:  # noqa: ARG002
        """Nothing is kept."""
        return None

    def close(self) -> None:
        """Nothing is open."""


class FileJournal:
    """
    A journal in one file of JSON lines, for its owner's eyes only (mode 0600, in a folder of mode 0700).

    Who opens it first writes; to all others, in this process or another, it is read-only, and *holder*
    says why. The lock ends with the process, however that ends, and is not inherited by a fork.
    A line is written by one write; with *fsync* it is on the disk when `append` returns. What a
    crash left of a line is cut off. A path that leads to a symbolic link or to no file is an `OSError`.

    *outgrown* says that it had more than *max_bytes* when it was opened.
    """

    def __init__(
        self, path: str | os.PathLike[str], fsync: bool = False, *, max_bytes: int = MAX_BYTES
    ) -> None:
        self._path: Final = Path(path)
        self._fsync: Final = fsync
        self._guard = threading.Lock()
        self.problems: int = 0
        """How many lines the latest `read` left out because they were none."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file, self._holder = self._open()
        self._release: weakref.finalize[Any, Any] | None = None
        self._size, self._torn = 0, False
        if self._file is not None:
            self._release = weakref.finalize(self, os.close, self._file)
            self._size = end_of_lines(self._file)
            self._torn = os.fstat(self._file).st_size != self._size
        self._outgrown = self._size > max_bytes
        _OPENED.add(self)

    @property
    def path(self) -> Path:
        """Where its file is."""
        return self._path

    @property
    def holder(self) -> str | None:
        """Who writes it, if it is not we: ``pid 123 on HOST since TIME``."""
        return self._holder

    @property
    def outgrown(self) -> bool:
        """Whether it should be rotated."""
        return self._outgrown

    def append(self, line: Mapping[str, object]) -> None:
        """
        Write *line*, whole or not at all. Thread-safe.

        `PermissionError` names who holds the file; `OSError` where it is closed, was removed or is full.
        """
        text = to_line(line)
        with self._guard:
            file = self._writable()
            try:
                write_at_once(file, text, fsync=self._fsync)
            except OSError:
                self._torn = True
                with suppress(OSError):
                    self._cut(file)
                raise
            self._size += len(text)

    def read(self) -> Iterator[dict[str, Any]]:
        """Every line that stands there now, oldest first; lines that are none are left out and counted."""
        with self._guard:
            size = None if self._file is None else self._size
        self.problems = 0
        for text in lines_of(self._path, size):
            line = from_line(text)
            if line is None:
                self.problems += 1
            else:
                yield line

    def rotate(self, carry: Iterable[Mapping[str, object]]) -> Path | None:
        """
        Put the file aside as ``NAME.TIME.jsonl``, begin a new one with *carry*; where the old one is now.

        Whenever the process ends, a whole file stands under the path: the old one or the new one.
        `OSError` leaves the journal as it is.
        """
        with self._guard:
            old = self._writable()
            beside = self._path.with_name(f"{self._path.name}.new")
            beside.unlink(missing_ok=True)
            text = b"".join(map(to_line, carry))
            aside = self._path.with_name(f"{self._path.stem}.{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}.jsonl")
            file = open_private(beside)
            try:
                # Locked before it has the name that others open.
                lock_file(file)
                write_at_once(file, text, fsync=True)
                self._put_aside(old, aside)
                beside.replace(self._path)
            except OSError:
                os.close(file)
                beside.unlink(missing_ok=True)
                aside.unlink(missing_ok=True)
                raise
            sync_folder(self._path.parent)
            self._let_go()
            self._file, self._size, self._outgrown = file, len(text), False
            self._release = weakref.finalize(self, os.close, file)
            return aside

    def close(self) -> None:
        """Let others write. Closed already is fine."""
        with self._guard:
            if self._file is not None:
                with suppress(OSError):
                    self._note.unlink()
            self._let_go()

    def leave_to_parent(self) -> None:
        """Write no more: this process is a fork of the one that does."""
        self._guard = threading.Lock()  # nobody is left to open the old one
        if self._file is not None:
            self._holder = f"pid {os.getppid()}, which this process is a fork of"
        self._let_go()

    @property
    def _note(self) -> Path:
        return self._path.with_name(f"{self._path.name}.lock")

    def _open(self) -> tuple[int | None, str | None]:
        while True:
            file = open_private(self._path)
            try:
                locked = lock_file(file)
                if locked and is_at(file, self._path):
                    write_holder(self._note)
                    return file, None
            except OSError:
                os.close(file)
                raise
            os.close(file)
            if not locked:
                return None, read_holder(self._note)
            # Its holder has put it aside since: another one stands there now.

    def _writable(self) -> int:
        if self._holder is not None:
            raise PermissionError(errno.EACCES, f"read-only, held by {self._holder}", str(self._path))
        if self._file is None:
            raise OSError(errno.EBADF, "this journal is closed", str(self._path))
        # Lines that go to a file without a name are lost with this process.
        self._path.stat()
        self._cut(self._file)
        return self._file

    def _cut(self, file: int) -> None:
        if self._torn:
            os.ftruncate(file, self._size)
            self._torn = False

    def _put_aside(self, old: int, aside: Path) -> None:
        os.fsync(old)
        try:
            # A second name, not a new one: a crash must not leave the path without a file.
            aside.hardlink_to(self._path)
        except OSError:
            os.close(open_private(aside))
            shutil.copyfile(self._path, aside)

    def _let_go(self) -> None:
        self._file = None
        if self._release is not None:
            self._release()


_OPENED: Final[weakref.WeakSet[FileJournal]] = weakref.WeakSet()


def _leave_all_to_parent() -> None:
    for journal in tuple(_OPENED):
        journal.leave_to_parent()


with suppress(AttributeError):  # where no process can be forked
    os.register_at_fork(after_in_child=_leave_all_to_parent)


def read_journal(path: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """The lines of a journal that somebody may be writing, oldest first; `FileNotFoundError` without one."""
    return filter(None, map(from_line, lines_of(Path(path))))
