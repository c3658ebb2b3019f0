"""What gateways say of themselves, taken with care: a plugin's ``info`` may raise, or be anything."""

from __future__ import annotations

from hotplug._lifecycle import name_and_text
from hotplug.brokers._contract import BrokerInfo, IBrokerGateway
from hotplug.market import GatewayStatus, HealthState

__all__ = ["healthy_report_of", "report_of"]


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
