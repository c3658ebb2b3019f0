"""The health of a host, from that of its parts; and who of them is asked how it is."""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, cast

from hotplug._host._closing import finished
from hotplug._host._discreet import Discreet
from hotplug._lifecycle import name_and_text
from hotplug._records import Health

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from hotplug._host._host import Host
    from hotplug._host._plugin import Plugin
    from hotplug._records import HealthStatus, PluginStatus
    from hotplug.errors import PluginError
    from hotplug.registry import UniversalRegistry
    from hotplug.services import Service, ServiceRegistry

__all__ = ["Checkups", "WRONG", "of_parts", "worst_of"]

WRONG: Final = frozenset({"failed", "timed_out", "broken", "quarantined", "conflict"})
_SEVERITY: Final[tuple[HealthStatus, ...]] = ("healthy", "unknown", "degraded", "unhealthy")


def of_parts(registries: Mapping[str, UniversalRegistry[object]]) -> dict[str, Health]:
    """What each registry says; one of somebody's own that cannot say it is unhealthy."""
    return {name: _said(registry) for name, registry in registries.items()}


def _said(registry: UniversalRegistry[object]) -> Health:
    try:
        health = cast("object", registry.health())
    except Exception as error:  # noqa: BLE001 - kinds of plugins bring registries of their own
        return Health("unhealthy", (f"health() raised {name_and_text(error)}",), datetime.now(UTC))
    if isinstance(health, Health) and health.status in _SEVERITY:
        return health
    return Health("unhealthy", (f"health() gave {type(health).__name__}",), datetime.now(UTC))


def worst_of(
    parts: Mapping[str, Health], statuses: Iterable[PluginStatus], lacks: Iterable[str] = ()
) -> Health:
    """The worst of *parts*; ``degraded`` at best where a plugin is in a `WRONG` state, or *lacks* another."""
    issues = [f"{status.name}: {status.reason}" for status in statuses if status.state in WRONG]
    issues += lacks
    issues += [f"{name}: {issue}" for name, part in parts.items() for issue in part.issues]
    found: list[HealthStatus] = [part.status for part in parts.values()]
    if issues:
        found.append("degraded")
    worst = max((_SEVERITY.index(status) for status in found), default=0)
    return Health(_SEVERITY[worst], tuple(issues), datetime.now(UTC), parts)


class Checkups:
    """Has the services of a host asked how they are: those that it runs, and those of the application."""

    def __init__(self, host: Host) -> None:
        self._host: Final = host

    def begin(self) -> None:
        """From now on, on the host's loop; does not wait for that."""
        for registry in self._registries():
            who = Discreet(functools.partial(self._running, registry))
            discreet = Discreet(functools.partial(self._host.without_secrets, registry.name))
            registry.checks.begin(self._host.home.loop, who, discreet)

    def end(self) -> list[PluginError]:
        """No more; who is being asked is not waited for any longer. What was in the way of that."""

        async def end() -> list[PluginError]:
            for registry in asking:
                await registry.checks.end()
            return []

        asking = [registry for registry in self._registries() if registry.checks.is_on]
        return finished(self._host.home, end(), self._host.drain_timeout) if asking else []

    async def let_go(self, plugin: Plugin) -> None:
        """*plugin* is about to be stopped: ask it no more. On the host's loop."""
        for registry in self._registries():
            await registry.checks.let_go(plugin.product)

    def _registries(self) -> Iterator[ServiceRegistry]:
        from hotplug.services import ServiceRegistry

        for registry in dict(self._host.registries).values():
            if isinstance(registry, ServiceRegistry):
                yield registry

    def _running(self, registry: ServiceRegistry) -> list[tuple[str, Service]]:
        """Those of plugins that this host has started, and all of the application."""
        running = {id(plugin.product) for plugin in self._host.follower.running.now}
        found = registry.loaded()
        return [(key, service) for key, service, owner in found if owner is None or id(service) in running]
