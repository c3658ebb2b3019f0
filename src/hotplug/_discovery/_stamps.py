"""What the file system says of a path, kept to be compared later."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

# pathlib costs more to import than all of this takes to run.
# ruff: noqa: PTH116

__all__ = [
    "NEVER",
    "RACY_NS",
    "RENAMES_SHOW",
    "Stamp",
    "Watched",
    "look",
    "settled",
    "stamp_changed_ns",
]

RACY_NS: Final = 2_000_000_000
"""A stamp younger than this says nothing: a second change within one tick of the clock leaves it equal."""

WINDOWS: Final = os.name == "nt"
RENAMES_SHOW: Final = not WINDOWS
"""Whether what is moved into a place has changed, by its own time, when it was moved."""

Stamp = tuple[int, int, int, int, int, int]
"""mtime (ns), ctime (ns), inode, device, mode, size."""

NEVER: Final[Stamp] = (0, 0, 0, 0, 0, 0)
"""A stamp that nothing has: what is watched with it is looked at anew each time."""

Watched = tuple[str, Stamp | None]
"""A path, and how it looked (None: absent)."""


def look(path: str) -> Stamp | None:
    """The stamp of *path*; None where nothing can be seen."""
    try:
        seen = os.stat(path)
    except (OSError, ValueError):
        return None
    return seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino, seen.st_dev, seen.st_mode, seen.st_size


def stamp_changed_ns(stamp: Stamp) -> int:
    """When the thing last changed, by the clock that no program can set back (where there is one)."""
    return stamp[0] if WINDOWS else stamp[1]


def settled(stamps: Iterable[Stamp | None], now: int) -> bool:
    """Whether every stamp was old enough at *now* that the next change must alter it."""
    return all(stamp is None or now - stamp_changed_ns(stamp) >= RACY_NS for stamp in stamps)
