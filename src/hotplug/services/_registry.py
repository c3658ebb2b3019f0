"""The registry of services, which starts and stops them."""

from __future__ import annotations

import logging
import weakref
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar, cast

from hotplug._lifecycle import WalledCall, name_and_text
from hotplug._records import FrozenDict, Health
from hotplug.errors import PluginError, PluginTimeoutError
from hotplug.registry import UniversalRegistry
from hotplug.services._base import Service
from hotplug.services._order import order_of
from hotplug.services._remote import RemoteService

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from hotplug._records import HealthStatus, PluginRecord
    from hotplug.registry import Undo

__all__ = ["ServiceRegistry"]

T = TypeVar("T")

log: Final = logging.getLogger("hotplug.services")

SEVERITY: Final[tuple[HealthStatus, ...]] = ("healthy", "unknown", "degraded", "unhealthy")


class ServiceRegistry(UniversalRegistry[Service]):
    """
    The services, and which of them run.

    `start_all` and `stop_all` belong on one event loop and run one after the other.
    """

    _default_name: ClassVar[str] = "services"
    _default_contract: ClassVar[type[Any] | str | None] = "hotplug.services:Service"

    def __init__(
        self, name: str | None = None, contract: type[Service] | str | None = None, *, metrics: bool = True
    ) -> None:
        super().__init__(name, contract, metrics=metrics)
        self._running: dict[str, Service] = {}
        self._said: dict[str, tuple[weakref.ref[Service], Health]] = {}

    def register_service(
        self, name: str, url: str, health_endpoint: str | None = None, **metadata: Any
    ) -> Undo:
        """
        Stand a service that runs elsewhere under *name*; the undo takes it away.

        Raises `TypeError` for a URL that is no str, `ValueError` for what is no http(s) URL (or has
        credentials in it); otherwise as `register`.
        """
        service = RemoteService(url, health_endpoint)
        about = {**metadata, "url": url, "health_endpoint": health_endpoint}
        return self.register(name, service, metadata=about)

    @property
    def running(self) -> tuple[str, ...]:
        """What `start_all` started and nobody stopped; a host starts its plugins' services itself."""
        return tuple(self._running)

    async def start_all(
        self, names: Iterable[str] | None = None, deadline: float | None = None
    ) -> dict[str, PluginError]:
        """
        Start *names* (all, without any) and what they require, in order, each within *deadline* seconds.

        Returns what failed, by name; what requires a failed one was not started, and is named as well.
        What runs already is left alone. Raises `HostError` for a circle or a missing service: then
        nothing was started.
        """
        wanted = list(self.keys() if names is None else names)
        services, failed = await self._fetch(wanted)
        requires = {name: service.requires for name, service in services.items()}
        for name in order_of({**dict.fromkeys(failed, ()), **requires}, wanted):
            if name in services and name not in self._running:
                await self._start(name, services[name], deadline, failed)
        return failed

    async def stop_all(self, deadline: float | None = None) -> dict[str, PluginError]:
        """Stop what runs, in reverse order, each within *deadline* seconds; what failed, by name."""
        failed: dict[str, PluginError] = {}
        while self._running:
            name, service = self._running.popitem()
            self._said.pop(name, None)
            await self._walled(name, "stop", service.stop, deadline, failed)
        return failed

    async def check(self, name: str, deadline: float = 5.0) -> Health:
        """
        How the service says it is, within *deadline* seconds; one that raises or is late is unhealthy.

        `health` remembers the answer. Raises `NotRegisteredError`, and what its load raises.
        """
        service = await self.aget(name)
        failed: dict[str, PluginError] = {}
        health = await self._walled(name, "health", service.health, deadline, failed)
        if why := failed.get(name) or _nonsense(health):
            health = Health("unhealthy", (f"{self.name}/{name}: {why}",), datetime.now(UTC))
        health = cast("Health", health)
        with suppress(TypeError):  # one that cannot be referred to weakly would be kept alive: not remembered
            self._said[name] = weakref.ref(service), health
        return health

    def health(self) -> Health:
        """
        The worst of the registry's own health and what each service answered when it was last checked.

        Asks nobody. *details* has ``services``: the status of each that runs or was checked, ``unknown``
        for one that was never asked (which makes nothing worse).
        """
        own, said = super().health(), self._still_true()
        statuses: dict[str, HealthStatus] = dict.fromkeys(self._running.copy(), "unknown")
        statuses |= {name: health.status for name, health in said.items()}
        worst = max([own.status, *(health.status for health in said.values())], key=SEVERITY.index)
        issues = [issue for name, health in said.items() for issue in self._issues(name, health)]
        details = {**own.details, "services": FrozenDict(statuses)}
        return replace(own, status=worst, issues=(*own.issues, *issues), details=FrozenDict(details))

    # -- machine room ------------------------------------------------------------------------------

    def _still_true(self) -> dict[str, Health]:
        """What was said by services that still stand under their names."""
        table = self._snapshot()
        return {
            name: health
            for name, (service, health) in self._said.copy().items()
            if name in table and getattr(table[name], "item", None) is service()
        }

    def _issues(self, name: str, health: Health) -> list[str]:
        who = f"{self.name}/{name}: "
        issues = [issue if issue.startswith(who) else who + issue for issue in map(str, health.issues)]
        return issues or ([] if health.status == "healthy" else [who + health.status])

    async def _fetch(self, names: Iterable[str]) -> tuple[dict[str, Service], dict[str, PluginError]]:
        """*names* and all they require, as far as they are there; and those that do not load."""
        services: dict[str, Service] = {}
        failed: dict[str, PluginError] = {}
        waiting = list(names)
        while waiting:
            name = waiting.pop(0)
            if name in services or name in failed or name not in self:
                continue
            service = await self._walled(name, "load", partial(self.aget, name), None, failed)
            if service is not None:
                services[name] = service
                waiting += service.requires
        return services, failed

    async def _start(
        self, name: str, service: Service, deadline: float | None, failed: dict[str, PluginError]
    ) -> None:
        if lacking := [needed for needed in service.requires if needed in failed]:
            failed[name] = self._error(name, f"not started: it requires {lacking[0]!r}, which failed")
            return
        await self._walled(name, "start", service.start, deadline, failed)
        if name not in failed:
            self._running[name] = service
            return
        remains: dict[str, PluginError] = {}
        await self._walled(name, "stop", service.stop, deadline, remains)
        if remains:
            log.warning("what service %s had begun is not undone: %s", name, remains[name])

    async def _walled(
        self,
        name: str,
        doing: str,
        call: Callable[[], Awaitable[T]],
        deadline: float | None,
        failed: dict[str, PluginError],
    ) -> T | None:
        """What plugin code answers; if it raises or is late, None, and the error stands in *failed*."""
        outcome = await WalledCall(call).outcome(deadline)
        if outcome.state == "done":
            return outcome.value
        if outcome.state == "timed out":
            failed[name] = PluginTimeoutError(
                f"{doing} of service {name!r}", deadline or 0.0, self._owner(name)
            )
        elif isinstance(outcome.error, PluginError):
            failed[name] = outcome.error
        else:
            failed[name] = self._error(name, f"{doing} raised {name_and_text(outcome.error)}")
            failed[name].__cause__ = outcome.error
        return None

    def _error(self, name: str, why: str) -> PluginError:
        return PluginError(f"service {name!r}: {why}", self._owner(name))

    def _owner(self, name: str) -> PluginRecord | None:
        return self.entry(name).owner if name in self else None


def _nonsense(health: object) -> str:
    """Why an answer is none; empty if it is one. The border to plugin code: it may be anything."""
    if not isinstance(health, Health):
        return f"health() gave a {type(health).__name__}, no Health"
    if health.status not in SEVERITY or not isinstance(health.issues, (tuple, list)):  # pyright: ignore[reportUnnecessaryIsInstance]
        return f"health() gave a Health that makes no sense: {health.status!r}, {health.issues!r}"
    return ""
