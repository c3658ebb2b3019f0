"""What flows once plugins are at work: statuses, changes, entries, health."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from hotplug._records._found import PluginRecord  # noqa: TC001 - who converts to a status reads it

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

__all__ = [
    "ChangeAction",
    "Changes",
    "Entry",
    "EntrySort",
    "Health",
    "HealthStatus",
    "PluginState",
    "PluginStatus",
    "RegistryChange",
]

PluginState = Literal[
    "discovered",
    "disabled",
    "refused",
    "conflict",
    "blocked",
    "loaded",
    "failed",
    "timed_out",
    "broken",
    "quarantined",
    "removed",
]
EntrySort = Literal["item", "factory", "lazy"]
ChangeAction = Literal["registered", "replaced", "unregistered"]
HealthStatus = Literal["healthy", "degraded", "unhealthy", "unknown"]


@dataclass(frozen=True, slots=True)
class PluginStatus:
    """
    Where one plugin stands under one key.

    A state that does not work has a *reason* (a code), a *remedy* (in words) and, where
    something was raised, *error* (the traceback as text). *source* says what named the key:
    ``"entry point"`` or ``"configuration"``. *load_seconds* is what import and construction took.
    """

    record: PluginRecord
    key: str
    state: PluginState
    reason: str = ""
    remedy: str = ""
    error: str = ""
    generation: int = 0
    load_seconds: float | None = None
    source: str = "entry point"

    @property
    def name(self) -> str:
        """``kind/key``, as the configuration and ``Changes`` spell it."""
        return f"{self.record.kind}/{self.key}"


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs, as tuples of ``kind/key`` names; true when anything does."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed or self.failed)


@dataclass(frozen=True, slots=True)
class Health:
    """How something is, why, and when that was true (UTC)."""

    status: HealthStatus
    issues: tuple[str, ...] = ()
    checked_at: datetime | None = None
    details: Mapping[str, Any] = field(default_factory=dict[str, Any], hash=False)


@dataclass(frozen=True, slots=True)
class Entry:
    """
    What stands under a key of a registry, seen at one instant.

    *sort* is how it was registered, *owner* the plugin it came from, *hits* how often it was
    got (0 where the registry keeps no metrics).
    """

    key: str
    sort: EntrySort
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any], hash=False)
    owner: PluginRecord | None = None
    generation: int = 0
    hits: int = 0


@dataclass(frozen=True, slots=True)
class RegistryChange:
    """One write to a registry, after it happened."""

    action: ChangeAction
    registry: str
    key: str
    entry: Entry
