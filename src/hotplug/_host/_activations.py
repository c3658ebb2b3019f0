"""Makes importable what was installed editable while the host runs, and forgets what was uninstalled."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING

from hotplug import _discovery
from hotplug._host._policy import normal_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hotplug._discovery import Activation
    from hotplug._records import PluginRecord, Problem

__all__ = ["Activations"]


class Activations:
    """
    What the path files of editable distributions ask for, followed as these come and go.

    Only in folders that Python itself looks at: who gives a host a path of its own keeps ``sys.path`` to
    itself. One look at a time.
    """

    def __init__(self) -> None:
        self._active: dict[str, tuple[tuple[object, ...], Activation]] = {}
        self._known: frozenset[tuple[str, str]] = frozenset()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The lines of path files that were not run."""
        return tuple(problem for _, activation in self._active.values() for problem in activation.problems)

    def follow(self, records: Iterable[PluginRecord]) -> None:
        """These are the distributions that there are."""
        records = tuple(records)
        known = frozenset((record.distribution, record.path) for record in records)
        if known != self._known:
            importlib.invalidate_caches()  # there are folders that Python has not seen yet
        self._known = known
        wanted = {normal_name(record.distribution): record for record in records if _is_for_us(record)}
        for name in [name for name in self._active if name not in wanted]:
            _, undo = self._active.pop(name)
            undo()
        for name, record in wanted.items():
            stamp = record.path, *_discovery.stamp(record)
            before = self._active.get(name)
            if before is None or before[0] != stamp:
                self._active[name] = stamp, _discovery.activate(record)
                if before is not None:
                    before[1]()


def _is_for_us(record: PluginRecord) -> bool:
    return record.editable and os.path.dirname(record.path) in sys.path  # noqa: PTH120 - as they are spelled
