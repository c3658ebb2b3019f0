"""The registry of services, which knows how they are."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

from hotplug._records import FrozenDict
from hotplug.registry import UniversalRegistry
from hotplug.services._base import Service
from hotplug.services._checks import Checks
from hotplug.services._remote import RemoteService, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hotplug._records import Health, HealthStatus, PluginRecord
    from hotplug.registry import Undo

__all__ = ["ServiceRegistry"]

SEVERITY: Final[tuple[HealthStatus, ...]] = ("healthy", "unknown", "degraded", "unhealthy")


class ServiceRegistry(UniversalRegistry[Service]):
    """
    The services. A host starts and stops those of plugins; what an application registers is its own to run.

    While a host lives, it asks all that run, and all that the application registered, how they are:
    *check_interval* seconds after each answer, for *check_deadline* seconds at most.
    """

    _default_name: ClassVar[str] = "services"
    _default_contract: ClassVar[type[Any] | str | None] = "hotplug.services:Service"

    def __init__(
        self, name: str | None = None, contract: type[Service] | str | None = None, *, metrics: bool = True
    ) -> None:
        super().__init__(name, contract, metrics=metrics)
        self._checks: Final = Checks()

    def register_service(
        self, name: str, url: str, health_endpoint: str | None = None, **metadata: Any
    ) -> Undo:
        """
        Stand a service that runs elsewhere under *name*; the undo takes it away.

        The host will ask that very URL, whatever is there: it is for who runs the application to choose,
        never for its users. Raises `TypeError` for a URL that is no str, `ValueError` for what is no http(s)
        URL (or has credentials in it); otherwise as `register`.
        """
        service = RemoteService(url, health_endpoint)
        endpoint = None if health_endpoint is None else shown(health_endpoint)
        about = {**metadata, "url": shown(url), "health_endpoint": endpoint}
        return self.register(name, service, metadata=about)

    # -- how they are ------------------------------------------------------------------------------

    @property
    def check_interval(self) -> float:
        """Seconds between an answer and the next question."""
        return self._checks.interval

    @check_interval.setter
    def check_interval(self, seconds: float) -> None:
        self._checks.interval = _checked("check_interval", seconds)

    @property
    def check_deadline(self) -> float:
        """Seconds that a service has to say how it is."""
        return self._checks.deadline

    @check_deadline.setter
    def check_deadline(self, seconds: float) -> None:
        self._checks.deadline = _checked("check_deadline", seconds)

    def health(self) -> Health:
        """
        The worst of the registry's own health and of what each service that is asked answered last.

        Asks nobody. *details* has ``services``, the status of each, and ``checks``, the whole of each answer,
        with its age (``checked_at``), ``since`` when it is so, and the ``last_error``. ``unknown`` (never
        asked so far) makes nothing worse.
        """
        own, late = super().health(), self._checks.late
        known = self._checks.now(late)
        issues = [f"{self.name}/{name}: {issue}" for name, health in known.items() for issue in health.issues]
        if late:
            asked = ", ".join(self._checks.inside) or "nobody"
            issues.append(f"{self.name}: their loop has not turned for {late:.0f} s (being asked: {asked})")
        said: list[HealthStatus] = [health.status for health in known.values() if health.issues or late]
        worst = max([own.status, *said], key=SEVERITY.index)
        statuses = FrozenDict({name: health.status for name, health in known.items()})
        details = FrozenDict({**own.details, "services": statuses, "checks": FrozenDict(known)})
        return replace(own, status=worst, issues=(*own.issues, *issues), details=details)

    # -- for the host ------------------------------------------------------------------------------

    @property
    def checks(self) -> Checks:
        """Who asks them; the host begins and ends that."""
        return self._checks

    def loaded(self) -> Iterator[tuple[str, Service, PluginRecord | None]]:
        """The shared services that have been made: name, service, and the plugin that it comes from."""
        for name, record in self._snapshot().items():
            service = getattr(record, "item", None)
            if service is not None:
                yield name, service, record.facts.owner


def _checked(what: str, seconds: float) -> float:
    if not (math.isfinite(seconds) and seconds > 0):
        raise ValueError(f"{what} is a number of seconds above 0, not {seconds!r}")
    return seconds
