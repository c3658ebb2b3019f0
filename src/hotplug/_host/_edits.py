"""Tells an edit from a touch, of code that nobody has imported; of what is imported, the text is known."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, TypeAlias

from hotplug import _discovery

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplug._records import PluginRecord

__all__ = ["Edits"]

_Marks: TypeAlias = "dict[str, tuple[int, int, int]]"


class Edits:
    """The source files of distributions, by their stats. One verb at a time."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[PluginRecord, _Marks]] = {}

    def know(self, records: Mapping[str, PluginRecord]) -> None:
        """These are the distributions, by name; those that are other than before are looked at."""
        known: dict[str, tuple[PluginRecord, _Marks]] = {}
        for name, record in records.items():
            then = self._known.get(name)
            known[name] = then if then is not None and then[0] == record else (record, _marks_of(record))
        self._known = known

    def of(self, name: str) -> tuple[str, ...]:
        """The files of *name* that differ from when they were last looked at, which is now."""
        if name not in self._known:
            return ()
        record, then = self._known[name]
        now = _marks_of(record)
        self._known[name] = record, now
        return tuple(sorted(file for file in {*then, *now} if then.get(file) != now.get(file)))


def _marks_of(record: PluginRecord) -> _Marks:
    ground = _discovery.territory(record)
    if ground.sort == "installed":  # which is not followed where it lies
        return {}
    marks: _Marks = {}
    for file in ground.sources().values():
        with contextlib.suppress(OSError):  # gone meanwhile
            found = os.stat(file)  # noqa: PTH116 - one of many
            marks[file] = found.st_mtime_ns, found.st_size, found.st_ino
    return marks
