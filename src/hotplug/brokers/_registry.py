"""Where gateways stand, and what is known of them without asking anybody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, overload

from hotplug.brokers._contract import BrokerInfo, IBrokerGateway, IBrokerRegistry
from hotplug.errors import ContractError
from hotplug.market import GatewayStatus, HealthState
from hotplug.registry import UniversalRegistry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from hotplug._records import PluginRecord
    from hotplug.registry import Undo
    from hotplug.registry._entries import Record

__all__ = ["BrokerRegistry"]


class BrokerRegistry(UniversalRegistry[IBrokerGateway], IBrokerRegistry):
    """
    Gateways by broker id.

    What it says of them comes from the reports that they published last: no I/O, no lock, nothing is
    loaded or connected for it, so it answers at once however a venue is.
    """

    _default_name: ClassVar[str] = "brokers"
    _default_contract: ClassVar[type[Any] | str | None] = "hotplug.brokers:IBrokerGateway"

    @overload
    def register(
        self,
        gateway: IBrokerGateway,
        /,
        *,
        tags: Iterable[str] = (),
        metadata: Mapping[str, object] | None = None,
        owner: PluginRecord | None = None,
    ) -> Undo: ...
    @overload
    def register(
        self,
        key: str,
        gateway: IBrokerGateway,
        /,
        *,
        tags: Iterable[str] = (),
        metadata: Mapping[str, object] | None = None,
        owner: PluginRecord | None = None,
    ) -> Undo: ...

    def register(
        self,
        key: str | IBrokerGateway,
        gateway: IBrokerGateway | None = None,
        /,
        *,
        tags: Iterable[str] = (),
        metadata: Mapping[str, object] | None = None,
        owner: PluginRecord | None = None,
    ) -> Undo:
        """
        Stand *gateway* under *key*, or without one under its own ``broker_id``; the undo takes it away.

        Raises `ContractError`, `DuplicateKeyError` or `FrozenRegistryError`; nothing is registered then.
        """
        if gateway is None:
            key, gateway = self._named_by_itself(key)
        return super().register(key, gateway, tags=tags, metadata=metadata, owner=owner)  # type: ignore[arg-type]

    def list_all(self, *, type: str | None = None, healthy: bool | None = None) -> tuple[BrokerInfo, ...]:  # noqa: A002
        """
        What is known of each gateway, in order of registration.

        With *type*, of those of that type; with *healthy*, of those which are so, or which are not.
        """
        infos = (_info(key, record) for key, record in self._table.copy().items())
        return tuple(
            info
            for info in infos
            if (type is None or info.type == type) and (healthy is None or info.healthy is healthy)
        )

    def get_healthy(self) -> tuple[IBrokerGateway, ...]:
        """The gateways that are ready and well, by the reports they published last."""
        return tuple(gateway for gateway in self._loaded() if _is_healthy(gateway))

    def get_by_type(self, type: str) -> tuple[IBrokerGateway, ...]:  # noqa: A002 - the contract's word
        """The gateways of a type, of those that are loaded."""
        return tuple(gateway for gateway in self._loaded() if _report_of(gateway).type == type)

    def info(self, broker_id: str) -> BrokerInfo:
        """What is known of the gateway under *broker_id*; `NotRegisteredError`."""
        record = self._table.get(broker_id)
        if record is None:
            raise self._unfit(broker_id)
        return _info(broker_id, record)

    def _loaded(self) -> Iterator[IBrokerGateway]:
        for record in self._table.copy().values():
            gateway = getattr(record, "item", None)
            if gateway is not None:
                yield gateway

    def _named_by_itself(self, gateway: object) -> tuple[str, IBrokerGateway]:
        if isinstance(gateway, IBrokerGateway):
            return gateway.broker_id, gateway
        why = f"register takes a gateway, or a key and a gateway, not just {gateway!r}"
        raise ContractError(self.name, str(gateway), why)


# -- reports: the one place that says where they come from -------------------------------------------


def _report_of(gateway: IBrokerGateway) -> BrokerInfo:
    """What *gateway* published last; one that cannot even say so is unhealthy."""
    try:
        report = gateway.info
        if isinstance(report, BrokerInfo):  # pyright: ignore[reportUnnecessaryIsInstance] - plugins may err
            return report
        problem = f"info is a {type(report).__name__}, not a BrokerInfo"
    except Exception as error:  # noqa: BLE001 - border to plugin code
        problem = f"info raised {type(error).__name__}: {error}"
    return BrokerInfo(
        broker_id="",
        type="",
        status=GatewayStatus.FAILED,
        health=HealthState.UNHEALTHY,
        last_error=problem,
    )


def _is_healthy(gateway: IBrokerGateway) -> bool:
    return _report_of(gateway).healthy


def _info(key: str, record: Record[IBrokerGateway]) -> BrokerInfo:
    """The gateway's report, with what the registry knows better: key, owner, generation."""
    gateway = getattr(record, "item", None)
    report = BrokerInfo(broker_id=key, type="") if gateway is None else _report_of(gateway)
    return _owned(key, record, report)


def _owned(key: str, record: Record[IBrokerGateway], report: BrokerInfo) -> BrokerInfo:
    owner = record.facts.owner
    known_type = key if owner is None else owner.name
    return BrokerInfo(
        broker_id=key,
        type=report.type or known_type,
        environment=report.environment,
        status=report.status,
        health=report.health,
        rate_limit_usage=report.rate_limit_usage,
        generation=record.facts.generation or report.generation,
        distribution=owner.distribution if owner is not None else report.distribution,
        version=owner.version if owner is not None else report.version,
        capabilities=report.capabilities,
        accounts=report.accounts,
        since=report.since,
        last_error=report.last_error,
        metadata={**report.metadata, **record.facts.metadata},
    )
