"""
Finds what is advertised, without importing it.

Folders are scanned here; zip files and foreign finders go through ``importlib_metadata``. What was
learned is kept in memory and in an index file per path, and holds as long as the stamps of the
folders do. Nothing on the way of a valid index imports more than ``os``.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final, cast

from hotplug._discovery._index import index_of
from hotplug._discovery._survey import RIVALS, certain, survey

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hotplug._discovery._activation import Activation as Activation
    from hotplug._discovery._activation import activate as activate
    from hotplug._discovery._explain import Finding
    from hotplug._discovery._helpers import found as found
    from hotplug._discovery._helpers import helper as helper
    from hotplug._discovery._installation import Installation as Installation
    from hotplug._discovery._installation import InstallationState as InstallationState
    from hotplug._discovery._installation import backups as backups
    from hotplug._discovery._installation import installation as installation
    from hotplug._discovery._modules import Place as Place
    from hotplug._discovery._survey import Survey
    from hotplug._discovery._territory import Territory as Territory
    from hotplug._discovery._territory import territory as territory
    from hotplug._records import Discovery, PluginRecord

__all__ = [
    "Activation",
    "Installation",
    "InstallationState",
    "Place",
    "RIVALS",
    "Territory",
    "activate",
    "backups",
    "discover",
    "explain",
    "forget",
    "found",
    "helper",
    "installation",
    "requirements",
    "stamp",
    "strays",
    "territory",
]

_Key = tuple[tuple[str, ...], tuple[tuple[str, str], ...]]
REMEMBERED: Final = 16
LATE: Final = {
    "Activation": "_activation",
    "Installation": "_installation",
    "InstallationState": "_installation",
    "Place": "_modules",
    "Territory": "_territory",
    "activate": "_activation",
    "backups": "_installation",
    "found": "_helpers",
    "helper": "_helpers",
    "installation": "_installation",
    "territory": "_territory",
}
"""What only a running host asks for, and the modules that are imported when it does."""
PATH_FINDERS: Final = ("_frozen_importlib_external", "importlib_metadata")


class _Memory:
    """The surveys of this process; replaced as a whole, so that readers need no lock."""

    surveys: dict[_Key, Survey] = {}  # noqa: RUF012 - never changed in place


def discover(
    groups: Mapping[str, str], path: Sequence[str] | None = None, *, fresh: bool = False, cache: bool = True
) -> Discovery:
    """
    What *path* (default: ``sys.path``) advertises under *groups* (entry-point group to kind name).

    Sorted by kind, name and distribution. Stamps of the folders decide whether what is known still
    holds; with *fresh* every dist-info and its entry points are looked at as well. Without *cache* no
    index file is read or written. Never raises for a broken distribution. Thread-safe.
    """
    entries = tuple(map(_as_text, sys.path if path is None else path))
    key = (entries, tuple(groups.items()))
    known = _Memory.surveys.get(key)
    if known is None or fresh or not known.holds(entries):
        known = _renewed(key, dict(groups), known, fresh=fresh, cache=cache)
    finders = [finder for finder in sys.meta_path if _is_foreign(finder)]
    if not finders:
        return known.discovery
    from hotplug._discovery._foreign import with_foreign

    return with_foreign(finders, known, entries, groups)


def forget() -> None:
    """Empty the memory of this process; index files stay."""
    from hotplug._discovery._installation import forget_installations

    _Memory.surveys = {}
    forget_installations()


def stamp(record: PluginRecord) -> tuple[object, ...]:
    """What tells one installation of *record*'s distribution from the next, at the cost of four looks."""
    from hotplug._discovery._identity import stamp_of

    return stamp_of(record)


def requirements(record: PluginRecord) -> tuple[str, ...]:
    """The requirements that *record*'s distribution declares, as written; none if they cannot be read."""
    from hotplug._discovery._identity import requirements_of

    return requirements_of(record)


def explain(name: str, groups: Mapping[str, str], path: Sequence[str] | None = None) -> tuple[Finding, ...]:
    """Why *name* (a plugin, ``kind/plugin`` or a distribution) is not found, or not as expected."""
    from hotplug._discovery._explain import findings

    entries = tuple(map(_as_text, sys.path if path is None else path))
    return findings(name, groups, entries, discover(groups, entries, fresh=True, cache=False))


def strays(groups: Mapping[str, str], path: Sequence[str] | None = None) -> tuple[Finding, ...]:
    """What on *path* was meant for *groups*, as it seems, but is under a wrong group, or shadowed."""
    from hotplug._discovery import _explain

    return _explain.strays(groups, tuple(map(_as_text, sys.path if path is None else path)))


def __getattr__(name: str) -> Any:
    if name not in LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = globals()[name] = getattr(import_module(f"{__name__}.{LATE[name]}"), name)
    return found


def _as_text(entry: object) -> str:
    if isinstance(entry, str):
        return entry
    if isinstance(entry, bytes):
        return os.fsdecode(entry)
    if isinstance(entry, os.PathLike):
        return os.fsdecode(cast("os.PathLike[str]", entry))
    return "\0"  # nothing that a path could be; importers skip it, too


def _is_foreign(finder: object) -> bool:
    """Whether *finder* knows distributions that lie in no folder and no zip file of the path."""
    if not hasattr(finder, "find_distributions"):
        return False
    return str(getattr(finder, "__module__", "")).rpartition(".")[2] not in PATH_FINDERS


def _renewed(
    key: _Key, groups: Mapping[str, str], known: Survey | None, *, fresh: bool, cache: bool
) -> Survey:
    entries = key[0]
    index = index_of(entries, groups) if cache else None
    if known is None and index is not None and (known := index.load()) is not None:
        if not known.holds(entries):
            known = certain(known, entries)
        elif not fresh:
            _remember(key, known)
            return known
    renewed = survey(entries, groups, known, fresh=fresh)
    _remember(key, renewed)
    if index is not None and renewed.trusted and not _says_the_same(known, renewed):
        index.save(renewed)
    return renewed


def _says_the_same(known: Survey | None, renewed: Survey) -> bool:
    return known is not None and (known.trusted, known.stamps, known.watched, known.discovery) == (
        renewed.trusted,
        renewed.stamps,
        renewed.watched,
        renewed.discovery,
    )


def _remember(key: _Key, known: Survey) -> None:
    others: Iterable[tuple[_Key, Survey]] = [item for item in _Memory.surveys.items() if item[0] != key]
    _Memory.surveys = dict([*others, (key, known)][-REMEMBERED:])
