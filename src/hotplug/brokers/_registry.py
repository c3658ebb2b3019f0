"""Where gateways stand, and what is known of them without asking anybody."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar, overload

from hotplug._lifecycle import name_and_text
from hotplug._records import FrozenDict
from hotplug.brokers._contract import BrokerInfo, IBrokerGateway, IBrokerRegistry
from hotplug.errors import ContractError
from hotplug.market import GatewayStatus, HealthState
from hotplug.registry import UniversalRegistry
from hotplug.registry._table import ABSENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from hotplug._records import Health, PluginRecord
    from hotplug.context import UserExecutionContext
    from hotplug.registry import Undo
    from hotplug.registry._entries import Record

__all__ = ["BrokerRegistry"]

D = TypeVar("D")

AT_REST: Final = frozenset({GatewayStatus.CREATED, GatewayStatus.DISCONNECTED})
"""Where a gateway is that nobody wants connected: that it is not healthy is nobody's worry."""


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

    @overload
    def get(self, key: str, context: UserExecutionContext | None = None) -> IBrokerGateway: ...
    @overload
    def get(
        self, key: str, context: UserExecutionContext | None = None, *, default: D
    ) -> IBrokerGateway | D: ...
    @overload
    def get(self, *, broker_id: str) -> IBrokerGateway: ...
    @overload
    def get(self, *, broker_id: str, default: D) -> IBrokerGateway | D: ...

    def get(
        self,
        key: str = ABSENT,
        context: UserExecutionContext | None = None,
        *,
        default: Any = ABSENT,
        broker_id: str = ABSENT,
    ) -> Any:
        """The gateway under *key*, which may be called *broker_id* as well; as `UniversalRegistry.get`."""
        if broker_id is ABSENT and context is None:
            # The base's own short way once more: one call less, on a path where each counts.
            try:
                record = self._table[key]
                item = record.item
                next(record.hits)
            except (KeyError, AttributeError):
                pass
            else:
                next(self._found)
                return item
        return super().get(_one_of(key, broker_id), context, default=default)

    def unregister(self, key: str = ABSENT, *, broker_id: str = ABSENT) -> None:
        """Take away what stands under *key*, which may be called *broker_id* as well."""
        super().unregister(_one_of(key, broker_id))

    def health(self) -> Health:
        """
        ``degraded`` while a gateway that was to be connected is not ready and well by its last report.

        Asks nobody. *details* has ``brokers``: the status of each gateway that is loaded.
        """
        own = super().health()
        infos = {key: _info(key, record) for key, record in self._table.copy().items() if _is_loaded(record)}
        ill = [info for info in infos.values() if not (info.healthy or info.status in AT_REST)]
        statuses = {key: str(info.status) for key, info in infos.items()}
        details = {**own.details, "brokers": FrozenDict(statuses)}
        return replace(
            own,
            status="degraded" if ill else own.status,
            issues=(*own.issues, *(f"{self.name}/{_complaint(info)}" for info in ill)),
            details=FrozenDict(details),
        )

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
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - border to plugin code
        problem = f"info raised {name_and_text(error)}"
    return BrokerInfo(
        broker_id="",
        type="",
        status=GatewayStatus.FAILED,
        health=HealthState.UNHEALTHY,
        last_error=problem,
    )


def _is_loaded(record: Record[IBrokerGateway]) -> bool:
    return hasattr(record, "item")


def _complaint(info: BrokerInfo) -> str:
    why = f" ({info.last_error})" if info.last_error else ""
    return f"{info.broker_id}: {info.status}, {info.health}{why}"


def _one_of(key: str, broker_id: str) -> str:
    if (key is ABSENT) is (broker_id is ABSENT):
        raise TypeError("which gateway? one key, please (or the same as broker_id=…)")
    return broker_id if key is ABSENT else key


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
