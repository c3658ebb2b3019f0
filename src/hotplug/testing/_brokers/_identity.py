"""What a gateway is, and how it lives."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING

from hotplug._signature import differences
from hotplug.brokers import BrokerInfo, IBrokerGateway
from hotplug.errors import NotSupported
from hotplug.market import (
    Capability,
    Environment,
    GatewayStatus,
    HealthReport,
    HealthState,
    OrderChange,
    OrderRef,
)
from hotplug.testing._brokers._world import FIRST_BAR, SOON, BrokerWorld
from hotplug.testing._suite import claim, claim_type, refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

__all__ = ["IdentityClaims"]


class IdentityClaims(BrokerWorld):
    """It is a gateway, says so, and comes and goes as it is told."""

    def test_it_is_a_gateway(self) -> None:
        """The broker is an `IBrokerGateway`, and each member can be called as the contract calls it."""
        broker = self.make_broker()
        claim_type(broker, IBrokerGateway, "a broker")
        found = differences(broker, IBrokerGateway)
        claim(not found, "it differs from IBrokerGateway:\n  " + "\n  ".join(found))

    def test_it_tells_who_it_is_before_it_is_connected(self) -> None:
        """``info`` answers at once, from any thread: id, type, environment, capabilities."""
        broker = self.make_broker()
        info = _from_another_thread(broker)
        claim_type(info, BrokerInfo, "info")
        claim(info.broker_id and info.broker_id == broker.broker_id, "info.broker_id must be the broker_id")
        claim(info.type, "info.type must not be empty")
        claim_type(info.environment, Environment, "info.environment")
        claim(info.status is GatewayStatus.CREATED, f"its status must be CREATED, not {info.status}")
        claim(info.health is not HealthState.HEALTHY, "it cannot be healthy before it is connected")
        for each in info.capabilities:
            claim_type(each, Capability, "a capability")
        claim(0 <= info.rate_limit_usage <= 1, "rate_limit_usage goes from 0 to 1")

    def test_it_connects_as_often_as_it_is_told(self) -> None:
        """Connecting and disconnecting twice is as good as once, and can be done again."""

        async def test() -> None:
            broker = self.make_broker()
            await broker.disconnect()
            for _ in range(2):
                await broker.connect(SOON)
                await broker.connect(SOON)
                claim(broker.info.status is GatewayStatus.READY, "connect() returns when the status is READY")
                claim(broker.info.healthy, "a connected gateway reports that it is healthy")
                await broker.disconnect()
                await broker.disconnect()
                status = broker.info.status
                claim(
                    status is GatewayStatus.DISCONNECTED,
                    f"disconnect() must end in DISCONNECTED, not {status}",
                )
                claim(not broker.info.healthy, "a disconnected gateway is not healthy")

        self.run(test())

    def test_it_looks_at_its_own_health(self) -> None:
        """``health()`` gives a report with a time and an age that it is good for."""

        async def test() -> None:
            async with self.connected() as broker:
                report = await broker.health()
            claim_type(report, HealthReport, "health()")
            claim(
                report.status is HealthState.HEALTHY,
                f"it must be healthy when connected, not {report.status}",
            )
            claim(report.max_age > 0, "a report must be good for some time")

        self.run(test())

    def test_what_it_lacks_is_not_supported(self) -> None:
        """What is not among the capabilities raises `NotSupported`, and nothing was sent."""

        async def test() -> None:
            async with self.connected() as broker:
                has = broker.info.capabilities
                ref, change = OrderRef(client_order_id="nobody"), OrderChange(qty=self.qty)
                day, step = FIRST_BAR, timedelta(days=1)
                lacking: Mapping[Capability, Callable[[], Awaitable[object]]] = {
                    Capability.MODIFY: lambda: broker.modify_order(ref, change),
                    Capability.QUOTES: lambda: broker.get_quote(self.symbol),
                    Capability.BARS: lambda: broker.get_bars(self.symbol, day, day + step, step),
                    Capability.INSTRUMENTS: lambda: broker.get_instrument(self.symbol),
                }
                for capability, attempt in lacking.items():
                    if capability not in has:
                        error = await refused(attempt(), NotSupported, f"without {capability}, it")
                        claim(
                            error.outcome == "NOT_SENT",
                            f"{capability}: outcome NOT_SENT, not {error.outcome}",
                        )

        self.run(test())


def _from_another_thread(broker: IBrokerGateway) -> BrokerInfo:
    answers: list[BrokerInfo] = []
    thread = threading.Thread(target=lambda: answers.append(broker.info), daemon=True)
    thread.start()
    thread.join(SOON)
    claim(answers, "info did not answer in another thread")
    return answers[0]
