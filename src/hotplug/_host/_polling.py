"""What to watch for which distributions, and what is said of those where events do not tell of changes."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast

from hotplug import _discovery
from hotplug._host._policy import normal_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from hotplug._records import PluginRecord, PluginStatus
    from hotplug._watcher import Root

__all__ = [
    "CODE",
    "POLLED",
    "SITE",
    "code_roots",
    "polled_of",
    "remedy_for",
    "said_of",
    "site_roots",
    "would_be_polled",
]

SITE: Final = "site"
CODE: Final = "code"
POLLED: Final = "polled"
"""The reason of a status: its code is looked at by the clock."""


def site_roots(path: Sequence[str] | None) -> Iterator[Root]:
    """The folders in which installations come and go."""
    from hotplug._watcher import Root, Sort

    for entry in dict.fromkeys(sys.path if path is None else path):
        yield Root(os.path.abspath(entry or "."), Sort.FOLDER, (SITE, entry))  # noqa: PTH100 - as the watcher has it


def code_roots(records: Mapping[str, PluginRecord]) -> Iterator[Root]:
    """The code of those of *records*, by name, that is edited where it lies."""
    from hotplug._watcher import Root, Sort

    for name, record in records.items():
        ground = _discovery.territory(record)
        if ground.sort != "installed":
            for root in ground.roots:
                sort = Sort.TREE if os.path.isdir(root) else Sort.FILE  # noqa: PTH112 - as it is spelled
                yield Root(root, sort, (CODE, name))


def polled_of(roots: Iterable[Root], polled: Mapping[str, str]) -> dict[str, str]:
    """
    What is said of each distribution whose code among *roots* is *polled*: path and why.

    Of those that are installed in a polled folder, under the path of that.
    """
    found: dict[str, str] = {}
    for root in roots:
        sort, name = cast("tuple[str, str]", root.key)
        if root.path in polled:
            found.setdefault(root.path if sort == SITE else name, _remedy(root.path, polled[root.path]))
    return found


def said_of(status: PluginStatus, polled: Mapping[str, str]) -> PluginStatus:
    """*status*, with the reason and remedy that `polled_of` has for it, where it is well otherwise."""
    if status.state not in ("discovered", "loaded") or status.reason:
        return status
    remedy = remedy_for(status.record.distribution, status.record.path, polled)
    return replace(status, reason=POLLED, remedy=remedy) if remedy else status


def remedy_for(distribution: str, path: str, polled: Mapping[str, str]) -> str:
    """What `polled_of` has for *distribution*, whose dist-info is at *path*; empty if nothing."""
    folder = os.path.abspath(os.path.dirname(path))  # noqa: PTH100, PTH120 - as the watcher has it
    return polled.get(normal_name(distribution), polled.get(folder, ""))


def would_be_polled(statuses: Iterable[PluginStatus], path: Sequence[str] | None) -> dict[str, str]:
    """What `polled_of` would say in a host that watches; nothing is watched for it."""
    from hotplug._watcher import forecast

    records = {normal_name(status.record.distribution): status.record for status in statuses}
    roots = (*site_roots(path), *code_roots(records))
    return polled_of(roots, forecast(roots))


def _remedy(path: str, why: str) -> str:
    return (
        f"{path} is looked at by the clock ({why}): changes are followed a little later; "
        "with events they would be at once"
    )
