"""
Believes of the environment only what is there for good: no half installation comes, no upgrade is a farewell.

    what discovery sees ──▶ complete?  yes: believed │ not yet: as it was, look again │ never: broken
                            vanished?  believed when it stayed away
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from hotplug import _discovery

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from hotplug._discovery import Installation
    from hotplug._records import PluginRecord

__all__ = ["Belief", "Installs"]

UNSIGNED: Final = 0.25
"""Seconds of quiet after which all files are believed to be there though no installer has signed."""
PATIENCE: Final = 10.0
"""Seconds after the last change in which an installation must become complete."""
ABSENCE: Final = 0.5
"""Seconds that something has to stay away before it is believed to be gone."""


@dataclass(frozen=True, slots=True)
class Belief:
    """
    What is believed of the environment.

    *broken* are installations among *records* that will not become complete, by the paths of their
    dist-infos; *again_in* is after how many seconds something else may be believed (None: not by itself).
    """

    records: tuple[PluginRecord, ...] = ()
    broken: Mapping[str, Installation] = field(default_factory=dict[str, "Installation"])
    again_in: float | None = None


class Installs:
    """What was believed so far. One look at a time."""

    def __init__(self) -> None:
        self._believed: dict[str, tuple[PluginRecord, ...]] = {}
        self._known: dict[str, str] = {}
        self._missing_since: dict[str, float] = {}
        self._is_first = True
        self._stamps: dict[PluginRecord, tuple[object, ...]] = {}

    def stamp(self, record: PluginRecord) -> tuple[object, ...]:
        """What told the installation of *record*'s distribution from others when it was last believed."""
        found = self._stamps.get(record)
        return _discovery.stamp(record) if found is None else found

    def judge(self, seen: Sequence[PluginRecord], rivalled: Collection[str] = ()) -> Belief:
        """
        What to believe now that discovery has *seen* this.

        *rivalled* are the paths of dist-infos beside which another one claims the same distribution.
        """
        now, monotonic = time.time(), time.monotonic()
        by_name = _by_name(seen)
        believed: dict[str, tuple[PluginRecord, ...]] = {}
        broken: dict[str, Installation] = {}
        waits: list[float] = []
        stamps: dict[PluginRecord, tuple[object, ...]] = {}
        for name, records in by_name.items():
            self._missing_since.pop(name, None)
            former = self._believed.get(name)
            fresh = {record: _discovery.stamp(record) for record in records}
            found = self._installation(records[0].path, strict=records[0].path in rivalled)
            was_signed = records[0].path in self._known
            wait = _wait(found, now, was_signed) if _lies_in_a_folder(records[0]) else None
            if wait is None:
                believed[name] = records
                stamps.update(fresh)
                if found.state == "partial":
                    broken[records[0].path] = found
            else:
                waits.append(wait)
                if former is not None:
                    believed[name] = former
        for name, records in self._believed.items():
            if name not in by_name:
                wait, left = self._unseen(name, records[0], monotonic, now)
                if wait is not None:
                    waits.append(wait)
                if left is not None:
                    broken[records[0].path] = left
                if wait is not None or left is not None:
                    believed[name] = records
        everything = tuple(record for records in believed.values() for record in records)
        self._stamps = {record: stamps.get(record) or self.stamp(record) for record in everything}
        self._believed = believed
        places = {record.path for record in everything}
        self._known = {path: digest for path, digest in self._known.items() if path in places}
        self._is_first = False
        return Belief(everything, broken, min(waits, default=None))

    def _installation(self, path: str, *, strict: bool) -> Installation:
        """Strictly, where it came while we looked: until then a file may have been edited by hand."""
        if strict:
            return _discovery.installation(path, strict=True)
        found = _discovery.installation(path)
        is_new = self._known.get(path) != found.digest and not self._is_first
        if is_new and found.state in ("complete", "unconfirmed"):
            found = _discovery.installation(path, strict=True)
        if found.state in ("complete", "unconfirmed"):
            self._known[path] = found.digest
        return found

    def _unseen(
        self, name: str, record: PluginRecord, monotonic: float, now: float
    ) -> tuple[float | None, Installation | None]:
        """Seconds until it may be believed to be gone, or what somebody left of it; neither: it is gone."""
        left = _discovery.installation(record.path)
        if left.state != "partial":
            return self._absence(name, record, monotonic, now), None
        wait = _wait(left, now)
        return wait, left if wait is None else None

    def _absence(self, name: str, record: PluginRecord, monotonic: float, now: float) -> float | None:
        """Seconds until it may be believed that it is gone; None: it is."""
        if record.path not in self._known:  # nobody installed it, so nobody is upgrading it
            self._missing_since.pop(name, None)
            return None
        since = self._missing_since.setdefault(name, monotonic)
        left = since + ABSENCE - monotonic
        folder = os.path.dirname(record.path)  # noqa: PTH120 - as the record spells it
        aside = _discovery.backups(folder, record.distribution)
        if left <= 0 and any(now - _changed_at(path) < PATIENCE for path in aside):
            return 0.1
        if left > 0:
            return left
        self._missing_since.pop(name, None)
        return None


def _lies_in_a_folder(record: PluginRecord) -> bool:
    """Whether it can be seen whether it is there; of what a finder shows only that finder knows."""
    return os.path.isdir(os.path.dirname(record.path))  # noqa: PTH112, PTH120 - as the record spells it


def _wait(found: Installation, now: float, was_signed: bool = False) -> float | None:
    """
    Seconds until it may be something else than *found*; None: that is believed.

    What *was_signed* by an installer, and shows no trace of one, is just being removed or replaced.
    """
    age = max(0.0, now - found.changed_at)
    if (found.state == "unconfirmed" or (was_signed and found.state == "foreign")) and age < UNSIGNED:
        return UNSIGNED - age
    if found.state == "gone":
        return 0.05
    if found.state == "partial" and age < PATIENCE:
        return min(0.25, PATIENCE - age)
    return None


def _changed_at(path: str) -> float:
    try:
        return os.stat(path).st_ctime  # noqa: PTH116 - as discovery spells it
    except OSError:
        return 0.0


def _by_name(records: Iterable[PluginRecord]) -> dict[str, tuple[PluginRecord, ...]]:
    from hotplug._host._policy import normal_name

    found: dict[str, tuple[PluginRecord, ...]] = {}
    for record in records:
        name = normal_name(record.distribution)
        found[name] = (*found.get(name, ()), record)
    return found
