"""
The three hooks, for applications (``host.hooks.register``) and for plugins in group ``hotplug.hooks``.

    from hotplug.hookspecs import hookimpl

    @hookimpl
    def hotplug_discovered(records):
        return {record: "not at night" for record in records if record.kind == "brokers"}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hotplug._kinds import Kind
    from hotplug._records import Changes, PluginRecord

__all__ = ["PROJECT", "hookimpl", "hotplug_changed", "hotplug_discovered", "hotplug_kinds"]

PROJECT = "hotplug"
hookimpl: pluggy.HookimplMarker = pluggy.HookimplMarker(PROJECT)
_hookspec = pluggy.HookspecMarker(PROJECT)


@_hookspec
def hotplug_kinds() -> Iterable[Kind[Any]]:  # type: ignore[empty-body]
    """Contribute kinds of plugins; asked once, when a host starts."""


@_hookspec
def hotplug_discovered(records: Sequence[PluginRecord]) -> Mapping[PluginRecord, str] | None:
    """Veto plugins before they are imported: give each a reason."""


@_hookspec
def hotplug_changed(changes: Changes) -> None:
    """Hear whatever happened: loaded, failed, registered, configured, gone."""
