"""Frozen things that flow from room to room: records, statuses, changes, health."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hotplug._records._found import VERSION, Discovery, PluginRecord, Problem
from hotplug._records._frozen import FrozenDict

if TYPE_CHECKING:
    from hotplug._records._flow import ChangeAction as ChangeAction
    from hotplug._records._flow import Changes as Changes
    from hotplug._records._flow import Entry as Entry
    from hotplug._records._flow import EntrySort as EntrySort
    from hotplug._records._flow import Health as Health
    from hotplug._records._flow import HealthStatus as HealthStatus
    from hotplug._records._flow import PluginState as PluginState
    from hotplug._records._flow import PluginStatus as PluginStatus
    from hotplug._records._flow import RegistryChange as RegistryChange
    from hotplug._records._state import exported_state as exported_state
    from hotplug._records._state import plain_state as plain_state

__all__ = [
    "ChangeAction",
    "Changes",
    "Discovery",
    "Entry",
    "EntrySort",
    "FrozenDict",
    "Health",
    "HealthStatus",
    "PluginRecord",
    "PluginState",
    "PluginStatus",
    "Problem",
    "RegistryChange",
    "VERSION",
    "exported_state",
    "plain_state",
]


def __getattr__(name: str) -> Any:
    """What discovery alone does not need is imported when somebody asks for it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in {"exported_state", "plain_state"}:
        from hotplug._records import _state

        return getattr(_state, name)
    from hotplug._records import _flow

    return getattr(_flow, name)
