"""What a gateway is, and what it says of itself."""

from __future__ import annotations

import inspect
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

from hotplug._signature import differences
from hotplug.brokers import BrokerGateway, BrokerInfo, IBrokerGateway, SyncBrokerGateway
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
from hotplug.testing._brokers._money import claim_plain
from hotplug.testing._brokers._world import FIRST_BAR, BrokerWorld, needs, template_of
from hotplug.testing._suite import claim, claim_type, refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

__all__ = ["IdentityClaims"]

HOOKS = ("_connect", "_disconnect", "_place", "_cancel", "_snapshot", "_modify", "_query", "_instrument",
         "_quote", "_bars", "_subscribe", "_ping", "_positions", "_balances")  # fmt: skip


class IdentityClaims(BrokerWorld):
    """It is a gateway, and says so."""

    def test_it_is_a_gateway(self) -> None:
        """The broker is an `IBrokerGateway`, and each member can be called as the contract calls it."""

        async def test() -> None:
            broker = self.make_broker()
            claim_type(broker, IBrokerGateway, "a broker")
            found = differences(broker, IBrokerGateway)
            claim(not found, "it differs from IBrokerGateway:\n  " + "\n  ".join(found))

        self.run(test())

    def test_it_keeps_the_templates_methods(self) -> None:
        """What is built on `BrokerGateway` overrides none of its final methods, and nobody else can."""

        async def test() -> None:
            broker = template_of(self.make_broker())
            for name in sorted(_final_methods()):
                own = inspect.getattr_static(broker, name)
                claim(
                    own is inspect.getattr_static(BrokerGateway, name),
                    f"{name} is final: what it promises would be lost",
                )
                try:
                    type("Override", (type(broker),), {name: own.__get__(broker)})
                except TypeError:
                    continue
                raise AssertionError(f"a subclass can override {name}, which is final")

        self.run(test())

    def test_its_hooks_fit_its_template(self) -> None:
        """Hooks are coroutine functions; those of a `SyncBrokerGateway`, which may block, are plain ones."""

        async def test() -> None:
            broker = template_of(self.make_broker())
            blocking = isinstance(broker, SyncBrokerGateway)
            for name in HOOKS:
                hook = getattr(broker, name)
                if getattr(type(broker), name) is not getattr(BrokerGateway, name):
                    claim(
                        inspect.iscoroutinefunction(hook) is not blocking,
                        f"{name} must be {'a plain' if blocking else 'a coroutine'} function",
                    )

        self.run(test())

    def test_it_tells_who_it_is_before_it_is_connected(self) -> None:
        """``info`` answers at once, from any thread: id, type, environment, capabilities."""

        async def test() -> None:
            broker = self.make_broker()
            info = _from_another_thread(broker, self.soon)
            claim_type(info, BrokerInfo, "info")
            claim(
                info.broker_id and info.broker_id == broker.broker_id, "info.broker_id must be the broker_id"
            )
            claim(info.type, "info.type must not be empty")
            claim_type(info.environment, Environment, "info.environment")
            claim(info.status is GatewayStatus.CREATED, f"its status must be CREATED, not {info.status}")
            claim(info.health is not HealthState.HEALTHY, "it cannot be healthy before it is connected")
            for each in info.capabilities:
                claim_type(each, Capability, "a capability")
            claim(0 <= info.rate_limit_usage <= 1, "rate_limit_usage goes from 0 to 1")

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

    def test_its_money_is_exact(self) -> None:
        """Amounts, quantities and prices are `Decimal`, never ``float``; times are in UTC."""

        async def test() -> None:
            async with self.connected() as broker:
                ref = await self.placed(broker)
                claim_plain(await broker.get_order(ref))
                claim_plain(await broker.get_open_orders(), "get_open_orders()")
                claim_plain(await broker.get_positions(), "get_positions()")
                claim_plain(await broker.get_balances(), "get_balances()")
                claim_plain(await broker.get_fills(), "get_fills()")
                claim_plain(await broker.snapshot())
                await broker.cancel_all()

        self.run(test())

    def test_it_knows_its_instruments(self) -> None:
        """``get_instrument`` names the symbol that it was asked for, with steps above 0, exactly."""

        async def test() -> None:
            async with self.connected() as broker:
                needs(broker, Capability.INSTRUMENTS)
                found = await broker.get_instrument(self.symbol)
            claim_plain(found)
            claim(found.symbol == self.symbol, f"it was asked for {self.symbol}, and told of {found}")
            claim(found.tick_size > 0 and found.lot_size > 0, f"tick and lot are above 0: {found}")

        self.run(test())


def _final_methods() -> set[str]:
    from hotplug.brokers._template._gateway import own_names

    return set(own_names())


def _from_another_thread(broker: IBrokerGateway, limit: float) -> BrokerInfo:
    answers: list[BrokerInfo] = []
    thread = threading.Thread(target=lambda: answers.append(broker.info), daemon=True)
    thread.start()
    thread.join(limit)
    claim(answers, "info did not answer in another thread")
    return answers[0]
