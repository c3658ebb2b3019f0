"""The health of a host, from that of its parts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from hotplug._records import Health

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hotplug._records import HealthStatus, PluginStatus

__all__ = ["WRONG", "worst_of"]

WRONG: Final = frozenset({"failed", "timed_out", "broken", "quarantined", "conflict"})
_SEVERITY: Final[tuple[HealthStatus, ...]] = ("healthy", "unknown", "degraded", "unhealthy")


def worst_of(parts: Mapping[str, Health], statuses: Iterable[PluginStatus]) -> Health:
    """The worst of *parts*; ``degraded`` at best where the state of a plugin is among `WRONG`."""
    issues = [f"{status.name}: {status.reason}" for status in statuses if status.state in WRONG]
    issues += [f"{name}: {issue}" for name, part in parts.items() for issue in part.issues]
    found: list[HealthStatus] = [part.status for part in parts.values()]
    if issues:
        found.append("degraded")
    worst = max((_SEVERITY.index(status) for status in found), default=0)
    return Health(_SEVERITY[worst], tuple(issues), datetime.now(UTC), parts)
