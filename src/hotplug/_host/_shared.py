"""What plugins require and share with everybody: it is loaded once, and changes with a restart only."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Final

from hotplug import _discovery
from hotplug._host._policy import normal_name
from hotplug._records import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hotplug._records import PluginRecord

__all__ = ["Shared"]


class Shared:
    """
    The versions of shared distributions as they were when plugins that require them were first loaded.

    One of which nothing is imported does not count. Thread-safe.
    """

    def __init__(self) -> None:
        self._guard: Final = threading.Lock()
        self._loaded: dict[str, str] = {"hotplug": VERSION}

    def remember(self, names: Iterable[str], path: Sequence[str] | None) -> None:
        """A plugin that requires *names* is being loaded."""
        for name in names:
            if name not in self._loaded:
                record = _discovery.found(name, path)
                with self._guard:
                    self._loaded.setdefault(name, "" if record is None else record.version)

    def changed(self, names: Iterable[str], path: Sequence[str] | None) -> str:
        """Which of *names* is another one on the disk than in this process, in words; empty if none is."""
        for name in names:
            then = self._loaded.get(name, "")
            record = _discovery.found(name, path) if then else None
            if record is not None and record.version != then and _is_imported(record):
                return f"{record.distribution} {record.version} is installed, {then} is loaded and shared"
        return ""


def _is_imported(record: PluginRecord) -> bool:
    if normal_name(record.distribution) == "hotplug":
        return True
    ground = _discovery.territory(record)
    return any(ground.owns(name) for name in list(sys.modules) if "." not in name)
