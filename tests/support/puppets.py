"""A gateway whose every hook waits for its test: each interleaving is made, none is slept for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from hotplug.brokers import BrokerGateway
from hotplug.errors import BrokerError, OrderNotFound
from hotplug.market import (
    Capability,
    Environment,
    Fill,
    Instrument,
    Liquidity,
    Order,
    OrderRequest,
    OrderStatus,
    OrderType,
    OrderUpdate,
    Quote,
    Side,
    Snapshot,
)

ONE = Decimal(1)
NOTHING = Snapshot(orders=None, fills=None, positions=None, balances=None, cursor=None)


class Puppet(BrokerGateway):
    """
    Does at once what it is asked, unless the test says otherwise.

    ``script[hook]`` is what a hook does: an exception to raise, a value to give, a coroutine to await.
    ``calls`` lists the hooks as they came.
    """

    broker_type = "puppet"
    environment = Environment.SANDBOX
    capabilities = frozenset({Capability.MODIFY, Capability.QUOTES, Capability.STREAM})
    check_interval = 0.01
    reconnect_delays = (0.0, 0.001)

    def __init__(self, **facts: Any) -> None:
        self.script: dict[str, Any] = {}
        self.calls: list[tuple[str, Any]] = []
        self.shot = NOTHING
        for name, fact in facts.items():
            setattr(self, name, fact)

    def count(self, hook: str) -> int:
        return sum(name == hook for name, _ in self.calls)

    async def _do(self, hook: str, what: Any, usual: Callable[[], Any]) -> Any:
        self.calls.append((hook, what))
        scripted = self.script.get(hook, usual)
        if isinstance(scripted, list):
            scripted = scripted.pop(0) if scripted else usual
        if isinstance(scripted, BaseException):
            raise scripted
        answer = scripted() if callable(scripted) else scripted
        return await answer if isinstance(answer, Awaitable) else answer

    async def _connect(self) -> None:
        await self._do("connect", None, lambda: None)

    async def _disconnect(self) -> None:
        await self._do("disconnect", None, lambda: None)

    async def _place(self, order: Order) -> str | None:
        return await self._do("place", order, lambda: f"v-{order.client_order_id}")

    async def _cancel(self, order: Order) -> None:
        await self._do("cancel", order, lambda: self.says(order.client_order_id, OrderStatus.CANCELED))

    async def _snapshot(self) -> Snapshot:
        return await self._do("snapshot", None, lambda: self.shot)

    async def _modify(self, order: Order, change: Any) -> str | None:
        return await self._do("modify", change, lambda: None)

    async def _quote(self, symbol: str) -> Quote:
        return await self._do("quote", symbol, lambda: quote(symbol))

    def says(self, name: str | None, status: OrderStatus, **facts: Any) -> None:
        self.report(OrderUpdate(client_order_id=name, status=status, **facts))

    async def settled(self) -> None:
        """Let everything that is due happen."""
        for _ in range(20):
            await asyncio.sleep(0)

    def order(self, name: str, account: str = "default") -> Order:
        held = self.book.get(account, name)
        assert held is not None, f"the book has no {name}"
        return held.order


class Asking(Puppet):
    """One that can be asked for a single order: ``known`` is what its venue knows."""

    def __init__(self, **facts: Any) -> None:
        super().__init__(**facts)
        self.known: dict[str, Order] = {}

    async def _query(self, ref: Any) -> Order:
        def look() -> Order:
            for order in self.known.values():
                if ref.client_order_id == order.client_order_id or ref.order_id == order.order_id:
                    return order
            raise OrderNotFound("unknown to the venue")

        return await self._do("query", ref, look)


class Hanging:
    """A hook that hangs until the test lets it go on."""

    def __init__(self, then: Any = None) -> None:
        self.entered = asyncio.Event()
        self.release = asyncio.Event()
        self.cancelled = False
        self.then = then

    async def __call__(self) -> Any:
        self.entered.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if isinstance(self.then, BaseException):
            raise self.then
        return self.then


def limit(name: str = "a", *, qty: Any = 2, price: Any = 10, **facts: Any) -> OrderRequest:
    """A limit order to buy."""
    return OrderRequest(
        symbol=facts.pop("symbol", "ACME"),
        side=facts.pop("side", Side.BUY),
        qty=Decimal(qty),
        type=facts.pop("type", OrderType.LIMIT),
        price=None if price is None else Decimal(price),
        client_order_id=name,
        **facts,
    )


def order_at_venue(name: str | None = "a", status: OrderStatus = OrderStatus.NEW, **facts: Any) -> Order:
    """How a venue sees an order."""
    terms = {
        "symbol": "ACME",
        "side": Side.BUY,
        "qty": Decimal(2),
        "type": OrderType.LIMIT,
        "price": Decimal(10),
    }
    return Order(**{**terms, "client_order_id": name, "order_id": f"v-{name}", "status": status, **facts})


def fill(name: str | None = "a", qty: Any = 1, trade: str = "t1", **facts: Any) -> Fill:
    """A trade of an order."""
    usual = {
        "trade_id": trade,
        "order_id": None,
        "client_order_id": name,
        "account": "default",
        "symbol": "ACME",
        "side": Side.BUY,
        "qty": Decimal(qty),
        "price": Decimal(10),
        "fee": Decimal(0),
        "fee_currency": "USD",
        "liquidity": Liquidity.TAKER,
        "time": datetime.now(UTC),
    }
    return Fill(**{**usual, **facts})


def quote(symbol: str = "ACME", bid: Any = 9, ask: Any = 11) -> Quote:
    """A market."""
    return Quote(
        symbol=symbol,
        bid=None if bid is None else Decimal(bid),
        bid_size=ONE,
        ask=None if ask is None else Decimal(ask),
        ask_size=ONE,
        time=datetime.now(UTC),
    )


def instrument(symbol: str = "ACME", **facts: Any) -> Instrument:
    """How a symbol is traded."""
    return Instrument(**{"symbol": symbol, "tick_size": Decimal("0.5"), "lot_size": Decimal(1), **facts})


async def connected(gateway: Puppet) -> Puppet:
    """The gateway, connected; what that needed is not counted."""
    await gateway.connect(5)
    gateway.calls.clear()
    return gateway


def run(story):
    """Run a story on a loop; tasks left over, or a story that hangs, fail it."""

    async def whole():
        async with asyncio.timeout(20):
            await story()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"left behind: {left}"

    asyncio.run(whole())


async def refusal(work) -> BrokerError:
    with pytest.raises(BrokerError) as caught:
        await work
    return caught.value


async def until(condition: Callable[[], object]) -> None:
    """Turn the loop until *condition* holds, ten seconds at most."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - conditions are of many kinds; the deadline is what matters
            await asyncio.sleep(0.001)
