"""What would be polled, told without watching anything."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from hotplug._watcher._mounts import MOUNTS, reason_to_poll
from hotplug._watcher._records import Sort
from hotplug._watcher._tree import Tree

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hotplug._watcher._records import Root

__all__ = ["forecast"]

INOTIFY: Final = "/proc/sys/fs/inotify"


def forecast(roots: Iterable[Root], *, mounts: str = MOUNTS, limits: str = INOTIFY) -> dict[str, str]:
    """
    Which paths of *roots* would be looked at by the clock, and why.

    By file systems and by the system's limits; what others use up of those is not seen from here.
    """
    roots = list(roots)
    polled = {root.path: why for root in roots if (why := reason_to_poll(root.path, mounts=mounts))}
    if _limit("max_user_instances", limits) == 0:
        return {root.path: polled.get(root.path, "fs.inotify.max_user_instances is 0") for root in roots}
    folders = {root.path: _folders(root) for root in roots if root.path not in polled}
    allowed = _limit("max_user_watches", limits)
    # As the watcher does it: the largest is polled, until the rest is granted.
    while allowed is not None and (needed := len(set[str]().union(*folders.values()))) > allowed:
        largest = max(folders, key=lambda path: len(folders[path]))
        del folders[largest]
        polled[largest] = f"fs.inotify.max_user_watches is {allowed}, {needed} are needed"
    return polled


def _folders(root: Root) -> set[str]:
    return Tree(root.path).directories() if root.sort is Sort.TREE else {root.path}


def _limit(name: str, limits: str) -> int | None:
    """The system's limit; None where it has none that could be read."""
    try:
        return int(Path(limits, name).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
