"""What is asked of the watcher, and what it tells of itself."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

__all__ = ["Root", "Sort", "WatchReport"]


class Sort(enum.Enum):
    """How far below its path a root reaches."""

    TREE = "tree"
    """Code: a folder with all that is below it, but caches, editors' leftovers and nested environments."""
    FOLDER = "folder"
    """A site folder: its direct entries, and the files in the metadata folders among them."""
    FILE = "file"
    """One file; symbolic links on the way to it are followed."""


@dataclass(frozen=True, slots=True)
class Root:
    """One thing to watch; *key* is what the watcher hands back when it changed."""

    path: str
    sort: Sort
    key: Hashable


@dataclass(frozen=True, slots=True)
class WatchReport:
    """
    How watching goes.

    *polled* says which paths are looked at by the clock, and why. *watches* counts the folders that events
    come from, *ticks* the whole roots looked at without an event, *rearmed* how often the folders were
    listened to anew, *missed* how often a tick found what no event had told. *last_look* is in unix seconds.
    """

    mode: Literal["off", "events", "polling", "mixed"]
    polled: Mapping[str, str]
    roots: int
    watches: int
    ticks: int
    rearmed: int
    missed: int
    last_look: float
