"""What is told of gateways: their own word, taken with care, and what their registry knows better."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hotplug._lifecycle import name_and_text
from hotplug.brokers._contract import BrokerInfo, IBrokerGateway
from hotplug.brokers._template._gateway import BrokerGateway
from hotplug.market import GatewayStatus, HealthState

if TYPE_CHECKING:
    from hotplug.registry._entries import Record

__all__ = ["as_registered", "complaint_of", "healthy_report_of", "report_of"]


def healthy_report_of(gateway: IBrokerGateway) -> BrokerInfo | None:
    """What *gateway* published last, if it is well by that; the others are asked for no reason."""
    try:
        report = gateway.info
        # Within the wall as well: what pretends to be a report may raise, too.
        is_well = isinstance(report, BrokerInfo) and report.healthy  # pyright: ignore[reportUnnecessaryIsInstance]
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - border to plugin code
        return None
    return report if is_well else None


def report_of(gateway: IBrokerGateway) -> BrokerInfo:
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


def as_registered(key: str, record: Record[Any], report: BrokerInfo, health: HealthState) -> BrokerInfo:
    """*report*, with what the registry knows better: key, owner, generation, *health* by its age."""
    owner, generation = record.facts.owner, report.generation
    if not isinstance(getattr(record, "item", None), BrokerGateway):
        generation = record.facts.generation or generation
    # Who has which account is told to nobody who merely looks.
    facts = {name: value for name, value in record.facts.metadata.items() if name != "accounts"}
    return replace(
        report,
        broker_id=key,
        type=report.type or (key if owner is None else owner.name),
        health=health,
        generation=generation,
        distribution=owner.distribution if owner is not None else report.distribution,
        version=owner.version if owner is not None else report.version,
        metadata={**report.metadata, **facts},
    )


def complaint_of(info: BrokerInfo) -> str:
    """Why somebody should look after that gateway."""
    why = f" ({info.last_error})" if info.last_error else ""
    return f"{info.broker_id}: {info.status}, {info.health}{why}"
