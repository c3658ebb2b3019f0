"""Looking without touching: what stands where, and, in a process made for that, whether it works."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hotplug import _discovery
from hotplug._host._hooks import GROUP
from hotplug._host._host import Host
from hotplug._host._policy import allot
from hotplug._kinds import KINDS, Kind
from hotplug._records import VERSION
from hotplug.context import UserExecutionContext
from hotplug.errors import NotRegisteredError, PluginError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hotplug._config import Config
    from hotplug._discovery import Installation
    from hotplug._records import PluginRecord, PluginStatus, Problem

__all__ = ["COMMANDS", "Survey", "examine", "survey"]

COMMANDS = "hotplug.commands"


@dataclass(frozen=True, slots=True)
class Survey:
    """Everything that is advertised, with its verdict, and what in the environment is broken."""

    statuses: tuple[PluginStatus, ...]
    problems: tuple[Problem, ...]


def survey(
    config: Config,
    *,
    kinds: Sequence[Kind[Any]] = KINDS,
    path: Sequence[str] | None = None,
    cache: bool = True,
    fresh: bool = False,
) -> Survey:
    """The statuses as a host would have them before it loads anything. No plugin code is run."""
    shown = [*kinds, Kind.internal("hooks", GROUP), Kind.internal("commands", COMMANDS)]
    groups = {kind.group: kind.name for kind in shown}
    found = _discovery.discover(groups, path, fresh=fresh, cache=cache)
    seats = allot(shown, found.records, config, version=VERSION, broken=_broken(found.records))
    return Survey(tuple(seat.status for seat in seats), found.problems)


def _broken(records: Iterable[PluginRecord]) -> dict[str, Installation]:
    """The installations that are not complete (yet), by the paths of their dist-infos."""
    looked_at = {record.path: _discovery.installation(record.path) for record in records}
    return {path: found for path, found in looked_at.items() if found.state == "partial"}


def examine(
    name: str,
    config: Config,
    *,
    kinds: Sequence[Kind[Any]] = KINDS,
    path: Sequence[str] | None = None,
) -> PluginStatus:
    """
    The status of one plugin (``kind/key``) after it was imported, checked and made once.

    Runs plugin code, which may do anything: for a process of its own. Raises `NotRegisteredError`
    for a name that nothing has.
    """
    host = Host(config, kinds=kinds, path=path)
    try:
        plugin = host.rehearse(name)
        if plugin is None:
            known = {status.name: status for status in host.plugins}
            if name in known:  # a hook, which is loaded by now, or what a hook refused
                return known[name]
            raise NotRegisteredError("environment", name, known)
        try:
            plugin.try_out(UserExecutionContext("hotplug-doctor"))
        except PluginError as error:
            plugin.failed(error)
        return plugin.status
    finally:
        host.close()
