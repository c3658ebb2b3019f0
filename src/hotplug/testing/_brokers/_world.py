"""The world that the broker tests live in."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

import pytest

from hotplug.market import Bar, Capability, OrderRef, OrderRequest, OrderType, Side, TimeInForce
from hotplug.strategies import Simulation
from hotplug.testing._suite import Suite, claim

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from hotplug.brokers import IBrokerGateway

__all__ = ["BrokerWorld", "FIRST_BAR", "SOON", "ZERO", "needs"]

ZERO: Final = Decimal(0)
FIRST_BAR: Final = datetime(2024, 1, 2, tzinfo=UTC)
SOON: Final = 5.0


class BrokerWorld(Suite):
    """How the tests make a broker, connect it, and what they order."""

    symbol: ClassVar[str] = "TEST"
    price: ClassVar[Decimal] = Decimal(100)
    qty: ClassVar[Decimal] = Decimal(2)

    def make_broker(self) -> IBrokerGateway:
        """A new gateway, not connected."""
        raise NotImplementedError(f"{type(self).__name__} must define make_broker()")

    def request(self, **changes: Any) -> OrderRequest:
        """A market order, with *changes*."""
        return replace(OrderRequest(symbol=self.symbol, side=Side.BUY, qty=self.qty), **changes)

    def resting(self, **changes: Any) -> OrderRequest:
        """An order that stays open: a limit at half the price, good till cancelled."""
        return self.request(type=OrderType.LIMIT, price=self.price / 2, tif=TimeInForce.GTC, **changes)

    def bar(self, number: int) -> Bar:
        """The bar of day *number*, around *price*."""
        price = self.price
        return Bar(
            symbol=self.symbol,
            time=FIRST_BAR + timedelta(days=number),
            open=price,
            high=price + 1,
            low=price - 1,
            close=price,
            volume=Decimal(1_000_000),
        )

    @asynccontextmanager
    async def connected(self) -> AsyncGenerator[IBrokerGateway]:
        """A new broker, connected for the length of a block."""
        broker = self.make_broker()
        await broker.connect(SOON)
        try:
            yield broker
        finally:
            await broker.disconnect()

    @asynccontextmanager
    async def simulated(self) -> AsyncGenerator[tuple[IBrokerGateway, Simulation]]:
        """The same, with its market; skips the test where there is no market to feed."""
        async with self.connected() as broker:
            needs(broker, Capability.SIMULATED)
            claim(isinstance(broker, Simulation), "a SIMULATED gateway has feed(bar) and open_account(name)")
            yield broker, cast("Simulation", broker)

    async def placed(self, broker: IBrokerGateway) -> OrderRef:
        """The name of an order that was just placed, and rests."""
        return OrderRef(client_order_id=(await broker.place_order(self.resting())).client_order_id)


def needs(broker: IBrokerGateway, capability: Capability) -> None:
    if capability not in broker.info.capabilities:
        pytest.skip(f"{broker.broker_id} is not {capability}")
