"""A tiny venue that outlives the gateways to it, and remembers which of them sent what, and when."""

from __future__ import annotations

import asyncio
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hotplug.errors import OrderNotFound
from hotplug.market import Environment, Fill, Liquidity, Order, OrderStatus, OrderUpdate, Snapshot

MODULE = "acme_venue"

GATEWAY = """
import asyncio
import acme_venue as world
from hotplug.brokers import BrokerGateway

class Broker(BrokerGateway):
    broker_type = "acme"
    release = "{release}"
    check_interval = 0.05

    def __init__(self, *, broker_id: str | None = None, size: int = 0):
        super().__init__(broker_id=broker_id)
        self.size, self.venue = size, world.venue
        self.environment, self.concurrent_sessions = world.venue.environment, world.venue.concurrent
        world.venue.made.append(self)

    async def _connect(self):
        self.venue.open(self)

    async def _disconnect(self):
        self.venue.shut(self)

    async def _place(self, order):
        return await self.venue.place(self, order)

    async def _cancel(self, order):
        await self.venue.cancel(self, order)

    async def _snapshot(self):
        return self.venue.snapshot()

    async def _query(self, ref):
        return self.venue.look_up(ref)
{body}
"""


class Venue:
    """Takes orders from its sessions, and tells all of them what happens. Lives on one loop."""

    def __init__(self) -> None:
        self.environment = Environment.SANDBOX
        self.concurrent = True
        self.made: list[Any] = []
        self.sessions: list[Any] = []
        self.most_sessions = 0
        self.orders: dict[str, Order] = {}
        self.fills: list[Fill] = []
        self.places: list[tuple[str, str]] = []
        self.cancels: list[tuple[str, str]] = []
        self.sending: list[Any] = []
        self.overlaps: list[tuple[str, ...]] = []
        self.slow = 0

    def open(self, gateway: Any) -> None:
        self.sessions.append(gateway)
        self.most_sessions = max(self.most_sessions, len(self.sessions))

    def shut(self, gateway: Any) -> None:
        if gateway in self.sessions:
            self.sessions.remove(gateway)

    async def place(self, gateway: Any, order: Order) -> str:
        self.places.append((gateway.release, order.client_order_id))
        self.sending.append(gateway)
        senders = {id(each) for each in self.sending}
        newest = max(map(self.made.index, self.sending))
        if len(senders) > 1 or self.made.index(gateway) < newest:
            self.overlaps.append(tuple(each.release for each in self.sending))
        for _ in range(1 + self.slow):
            await asyncio.sleep(0)
        self.sending.remove(gateway)
        self.orders[order.client_order_id] = replace(
            order, order_id=f"v-{order.client_order_id}", status=OrderStatus.NEW
        )
        return f"v-{order.client_order_id}"

    async def cancel(self, gateway: Any, order: Order) -> None:
        self.cancels.append((gateway.release, order.client_order_id))
        await asyncio.sleep(0)
        self._becomes(order.client_order_id, OrderStatus.CANCELED)

    def trade(self, name: str, qty: int) -> None:
        """*qty* pieces of the order called *name* trade; all sessions hear of it."""
        order = self.orders[name]
        trade = Fill(
            trade_id=f"t{len(self.fills)}",
            order_id=order.order_id,
            client_order_id=name,
            account=order.account,
            symbol=order.symbol,
            side=order.side,
            qty=Decimal(qty),
            price=order.price,
            fee=Decimal(0),
            fee_currency="USD",
            liquidity=Liquidity.MAKER,
            time=datetime.now(UTC),
        )
        self.fills.append(trade)
        filled = order.filled_qty + qty
        status = OrderStatus.FILLED if filled == order.qty else OrderStatus.PARTIALLY_FILLED
        self.orders[name] = replace(order, filled_qty=filled, leaves_qty=order.qty - filled, status=status)
        for each in tuple(self.sessions):
            each.report(trade)

    def snapshot(self) -> Snapshot:
        still = tuple(each for each in self.orders.values() if not each.status.terminal)
        return Snapshot(orders=still, fills=tuple(self.fills), positions=None, balances=None, cursor=None)

    def look_up(self, ref: Any) -> Order:
        found = self.orders.get(ref.client_order_id)
        if found is None:
            raise OrderNotFound("there is no such order")
        return found

    def _becomes(self, name: str, status: OrderStatus) -> None:
        self.orders[name] = replace(self.orders[name], status=status, leaves_qty=Decimal(0))
        for each in tuple(self.sessions):
            each.report(OrderUpdate(client_order_id=name, order_id=f"v-{name}", status=status))


def venue_module(monkeypatch: Any) -> Venue:
    """A new venue, in a module that gateways import and that belongs to no distribution."""
    module: Any = type(sys)(MODULE)
    module.venue, module.threading = Venue(), threading
    monkeypatch.setitem(sys.modules, MODULE, module)
    return module.venue


def gateway_code(release: str, body: str = "") -> str:
    """The module of a plugin whose gateway goes to that venue."""
    return GATEWAY.format(release=release, body=body)
