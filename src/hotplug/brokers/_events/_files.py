"""Files for their owner's eyes: opened privately, locked by one process, written whole."""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Descriptors are what is locked here, and their names must not be followed: no Path does that.
# ruff: noqa: PTH123

__all__ = [
    "end_of_lines",
    "is_at",
    "lines_of",
    "lock_file",
    "open_private",
    "read_holder",
    "sync_folder",
    "write_at_once",
    "write_holder",
]

_FLAGS: Final[int] = sum(getattr(os, name, 0) for name in ("O_CLOEXEC", "O_NOFOLLOW", "O_BINARY"))
_CHUNK: Final = 1 << 20
# Far behind whatever a file holds: where locks are mandatory, nobody else could read what is locked.
_FAR_BEHIND: Final = 1 << 40
_HELD: Final = frozenset({errno.EACCES, errno.EAGAIN, errno.EDEADLK, errno.EWOULDBLOCK})


def open_private(path: Path) -> int:
    """Open, and make if need be, a file for its owner only, to append to. `OSError` for links and folders."""
    if path.is_symlink():
        raise OSError(errno.ELOOP, "this must be no symbolic link", str(path))
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | _FLAGS, 0o600)
    try:
        mode = os.fstat(file).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "this must be a regular file", str(path))
        if stat.S_IMODE(mode) != 0o600 and hasattr(os, "fchmod"):
            os.fchmod(file, 0o600)
    except OSError:
        os.close(file)
        raise
    return file


def lock_file(file: int) -> bool:
    """
    Lock the open *file*; False if it is locked already, in this process or another.

    The lock ends when the file is closed, however its process ends. `OSError` where nothing can be locked.
    """
    try:
        _lock(file)
    except OSError as error:
        if error.errno in _HELD:
            return False
        raise
    return True


def _lock(file: int) -> None:
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    import msvcrt

    os.lseek(file, _FAR_BEHIND, os.SEEK_SET)
    msvcrt.locking(file, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]  # pyright: ignore


def is_at(file: int, path: Path) -> bool:
    """Whether the open *file* is the one that stands under *path* now."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def end_of_lines(file: int) -> int:
    """Where the last whole line of *file* ends."""
    end = os.fstat(file).st_size
    while end > 0:
        start = max(0, end - _CHUNK)
        os.lseek(file, start, os.SEEK_SET)
        found = os.read(file, end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def lines_of(path: Path, size: int | None = None) -> Iterator[bytes]:
    """The lines that are whole within the first *size* bytes."""
    with open(os.open(path, os.O_RDONLY | _FLAGS), "rb", buffering=_CHUNK) as file:
        for text in file:
            if size is not None:
                size -= len(text)
                if size < 0:
                    return
            if text.endswith(b"\n"):
                yield text


def write_at_once(file: int, text: bytes, *, fsync: bool) -> None:
    """Append *text* by one write, with *fsync* down to the disk. `OSError` also if only a part was."""
    written = os.write(file, text)
    if written != len(text):
        raise OSError(errno.ENOSPC, f"only {written} of {len(text)} bytes could be written")
    if fsync:
        os.fsync(file)


def sync_folder(folder: Path) -> None:
    """Let names that were changed in *folder* outlive a power cut, where the system can do that."""
    with suppress(OSError):
        file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def write_holder(path: Path) -> None:
    """Say in the file at *path* that this process is at it."""
    path.unlink(missing_ok=True)
    who = f"pid {os.getpid()} on {socket.gethostname()} since {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    with open(open_private(path), "wb") as note:
        note.write(who.encode())


def read_holder(path: Path) -> str:
    """Who is at it, as far as that was said."""
    try:
        with open(os.open(path, os.O_RDONLY | _FLAGS), "rb") as note:
            return note.read(200).decode(errors="replace").strip() or "another process"
    except OSError:
        return "another process"
