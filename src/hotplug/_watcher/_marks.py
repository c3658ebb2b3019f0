"""What a snapshot remembers of a file, and which names it never looks at."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import os

__all__ = [
    "Mark",
    "News",
    "folder_mark",
    "is_directory",
    "is_folder",
    "is_metadata",
    "is_noise",
    "is_source",
    "mark_of",
    "names_no_code",
]

Mark = tuple[int, int, int, int]
"""When its content and its inode changed (ns), which inode, how long."""

FOLDER_SIZE: Final = -1
NOISE: Final = (".pyc", ".pyo", ".tmp", ".swp", ".swo", ".swx", "~")
SOURCES: Final = (".py", ".pyi", ".so", ".pyd", ".dylib")
METADATA: Final = (".dist-info", ".egg-info")
NOT_CODE: Final = frozenset({"node_modules"})


class News(NamedTuple):
    """
    One thing that differs from the snapshot, or was heard of.

    *since* is its ctime in ns, 0 where it has none. What *must_rest* holds its root back until it is quiet,
    however long that takes; all else only for a moment.
    """

    path: str
    since: int
    must_rest: bool


def mark_of(found: os.stat_result) -> Mark:
    """What to remember of a file."""
    return found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_size


def folder_mark(found: os.stat_result) -> Mark:
    """What to remember of a folder that has a snapshot of its own: which one it is, not what is in it."""
    return found.st_dev, 0, found.st_ino, FOLDER_SIZE


def is_folder(mark: Mark | None) -> bool:
    """Whether it is the mark of a folder that has a snapshot of its own."""
    return mark is not None and mark[3] == FOLDER_SIZE


def is_directory(found: os.stat_result) -> bool:
    """Whether it is a folder at all."""
    return stat.S_ISDIR(found.st_mode)


def is_noise(name: str) -> bool:
    """Whether caches and editors leave such a name."""
    return name == "__pycache__" or name.endswith(NOISE) or name.startswith(".#") or name == "4913"


def is_source(name: str) -> bool:
    """Whether Python would execute such a file."""
    return name.endswith(SOURCES)


def is_metadata(name: str) -> bool:
    """Whether it is the metadata folder of a distribution."""
    return name.endswith(METADATA)


def names_no_code(name: str) -> bool:
    """Whether no folder of code is called so."""
    return name.startswith((".", "~")) or name in NOT_CODE or is_metadata(name) or is_noise(name)
