"""Never run: mypy and pyright read what operators and authors of brokers see."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import assert_type

from hotplug import Host, UserExecutionContext
from hotplug.brokers import (
    BrokerGateway,
    BrokerInfo,
    BrokerRegistry,
    GatewayView,
    Halt,
    IBrokerGateway,
    SyncBrokerGateway,
    SyncGateway,
)
from hotplug.errors import BrokerError
from hotplug.market import (
    Bar,
    BrokerEvent,
    Environment,
    Fill,
    Instrument,
    Order,
    OrderAck,
    OrderChange,
    OrderRef,
    OrderRequest,
    OrderUpdate,
    Position,
    Quote,
    Snapshot,
)

ADA = UserExecutionContext("ada")
NOTHING = Snapshot(orders=(), fills=(), positions=None, balances=None, cursor=None)


def operating(host: Host, registry: BrokerRegistry, request: OrderRequest) -> None:
    assert_type(host.brokers, BrokerRegistry)
    assert_type(registry.get("main"), IBrokerGateway)
    assert_type(registry.get("main", ADA), IBrokerGateway)
    assert_type(registry.get_healthy(), tuple[IBrokerGateway, ...])
    assert_type(registry.info("main"), BrokerInfo)
    assert_type(registry.halt("lunch"), tuple[Order | BrokerError, ...])
    assert_type(registry.resume("back"), tuple[Halt, ...])
    assert_type(registry.halts(), tuple[Halt, ...])
    for result in registry.halt("storm", key="main", user="ada", cancel=True):
        assert_type(result.reason if isinstance(result, Order) else result.code, str | None)
    front = registry.sync("main")
    assert_type(front, SyncGateway)
    assert_type(registry.sync("main", ADA), SyncGateway)
    assert_type(front.place_order(request, deadline=1.0), OrderAck)
    assert_type(front.get_fills(), tuple[Fill, ...])


async def trading(gateway: IBrokerGateway, view: GatewayView, request: OrderRequest) -> None:
    assert_type(await gateway.place_order(request), OrderAck)
    assert_type(await view.cancel_order(OrderRef(order_id="V1")), Order)
    assert_type(await view.get_positions(deadline=1.0), tuple[Position, ...])
    assert_type(view.accounts, tuple[str, ...])
    events: AsyncIterator[BrokerEvent] = gateway.events()
    async for event in events:
        assert_type(event.cursor, str)


class Awaiting(BrokerGateway):
    """Hooks that are coroutines."""

    broker_type = "awaiting"
    environment = Environment.SANDBOX

    def __init__(self, *, url: str) -> None:
        super().__init__()
        self.url = url

    async def _connect(self) -> None: ...
    async def _disconnect(self) -> None: ...
    async def _place(self, order: Order) -> str | None:
        self.report(OrderUpdate(client_order_id=order.client_order_id, status=order.status))
        return None

    async def _cancel(self, order: Order) -> None:
        assert_type(await self._place(order), str | None)

    async def _snapshot(self) -> Snapshot:
        return NOTHING

    async def _modify(self, order: Order, change: OrderChange) -> str:
        return "V2"

    async def _query(self, ref: OrderRef) -> Order:
        raise NotImplementedError

    async def _ping(self) -> None: ...


class Blocking(SyncBrokerGateway):
    """The same, plain."""

    broker_type = "blocking"
    pool_size = 2

    def _connect(self) -> None: ...
    def _disconnect(self) -> None: ...
    def _place(self, order: Order) -> str | None:
        return None

    def _cancel(self, order: Order) -> None:
        assert_type(self._place(order), str | None)

    def _snapshot(self) -> Snapshot:
        return NOTHING

    def _modify(self, order: Order, change: OrderChange) -> str:
        return "V2"

    def _query(self, ref: OrderRef) -> Order:
        raise NotImplementedError

    def _instrument(self, symbol: str) -> Instrument:
        raise NotImplementedError

    def _quote(self, symbol: str) -> Quote:
        raise NotImplementedError

    def _bars(self, symbol: str, start: datetime, end: datetime, step: timedelta) -> Sequence[Bar]:
        return ()

    def _subscribe(self, symbols: frozenset[str]) -> None: ...
    def _ping(self) -> datetime | None:
        return None

    def _positions(self) -> tuple[Position, ...]:
        return ()


def made() -> tuple[IBrokerGateway, ...]:
    return Awaiting(url="x"), Blocking()


class Mistaken(SyncBrokerGateway):
    """What a hook gives is looked at."""

    def _place(self, order: Order) -> int:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return 1

    def _cancel(self, order: str) -> None: ...  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
