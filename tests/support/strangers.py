"""A gateway that is not built on the template: one flat table of orders, and no idea of users."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from hotplug.brokers import BrokerInfo, IBrokerGateway
from hotplug.errors import DuplicateClientOrderId, NotSupported, OrderNotFound
from hotplug.market import (
    Balance,
    BrokerEvent,
    CancelScope,
    Capability,
    Environment,
    Fill,
    GatewayStatus,
    HealthReport,
    HealthState,
    Heartbeat,
    Liquidity,
    Order,
    OrderAck,
    OrderStatus,
    Origin,
    Position,
    RateLimit,
    Side,
    Snapshot,
)

NOW = datetime(2026, 1, 2, tzinfo=UTC)
ONE = Decimal(1)


class StrangeGateway(IBrokerGateway):
    """Takes orders, fills them when told to, and says whatever `health_says` says."""

    def __init__(self, *, broker_id="strange", environment=Environment.MOCK, capabilities=(), **_):
        self._broker_id = broker_id
        self.environment = environment
        self.capabilities = frozenset(capabilities)
        self.status = GatewayStatus.CREATED
        self.state = HealthState.HEALTHY
        self.orders: dict[str, Order] = {}
        self.fills: list[Fill] = []
        self.cash = {"A1": ONE, "B1": ONE}
        self.log: list[BrokerEvent] = []
        self.readers: list[asyncio.Queue] = []
        self.health_says = self._report
        self.asked = 0
        self.fed: list[tuple[str, object, str | None]] = []
        self.refuses_to_cancel: dict[str, Exception] = {}
        self.closed_streams = 0

    def _report(self):
        return HealthReport(status=self.state, checked_at=datetime.now(UTC), max_age=30.0)

    @property
    def broker_id(self):
        return self._broker_id

    @property
    def info(self):
        return BrokerInfo(
            broker_id=self._broker_id,
            type="strange",
            environment=self.environment,
            status=self.status,
            health=self.state,
            capabilities=self.capabilities,
            accounts=("…ll",),
            last_error="somebody's order failed",
            metadata={"whose": "bob's"},
        )

    async def connect(self, deadline=None):
        self.status = GatewayStatus.READY

    async def disconnect(self, drain=True, *, deadline=None):
        self.status = GatewayStatus.DISCONNECTED

    async def place_order(self, request, *, deadline=None):
        known = self.orders.get(request.client_order_id)
        if known is not None:
            if known.account != request.account or known.qty != request.qty:
                raise DuplicateClientOrderId("used already", outcome="REJECTED")
            return self._ack(known)
        order = Order(
            symbol=request.symbol,
            side=request.side,
            qty=request.qty,
            type=request.type,
            price=request.price,
            tif=request.tif,
            account=request.account,
            client_order_id=request.client_order_id,
            order_id=f"V{len(self.orders) + 1}",
            status=OrderStatus.NEW,
        )
        self._put(order)
        return self._ack(order)

    def _ack(self, order):
        return OrderAck(
            client_order_id=order.client_order_id, order_id=order.order_id, status=order.status, time=NOW
        )

    def _put(self, order):
        self.orders[order.client_order_id] = order
        self.tell(order)

    def tell(self, payload):
        event = BrokerEvent(cursor=f"e:{len(self.log)}", time=NOW, generation=1, payload=payload)
        self.log.append(event)
        for reader in self.readers:
            reader.put_nowait(event)

    def fill(self, client_order_id):
        order = self.orders[client_order_id]
        fill = Fill(
            trade_id=f"T{len(self.fills)}",
            order_id=order.order_id,
            client_order_id=client_order_id,
            account=order.account,
            symbol=order.symbol,
            side=order.side,
            qty=order.qty,
            price=ONE,
            fee=Decimal(0),
            fee_currency="USD",
            liquidity=Liquidity.UNKNOWN,
            time=NOW,
        )
        self.fills.append(fill)
        self.tell(fill)
        self._put(replace(order, status=OrderStatus.FILLED, filled_qty=order.qty, leaves_qty=Decimal(0)))

    async def cancel_order(self, ref, *, deadline=None):
        order = await self.get_order(ref)
        if (error := self.refuses_to_cancel.get(order.client_order_id)) is not None:
            raise error
        self._put(replace(order, status=OrderStatus.CANCELED, leaves_qty=Decimal(0)))
        return self.orders[order.client_order_id]

    async def modify_order(self, ref, change, *, deadline=None):
        order = await self.get_order(ref)
        self._put(replace(order, qty=change.qty, version=order.version + 1))
        return self.orders[order.client_order_id]

    async def cancel_all(self, scope=CancelScope.OWN, *, deadline=None):
        raise NotSupported("not here")

    async def get_order(self, ref, *, deadline=None):
        for order in self.orders.values():
            if ref.client_order_id in {None, order.client_order_id} and ref.order_id in {
                None,
                order.order_id,
            }:
                return order
        raise OrderNotFound("the gateway's own text", outcome="REJECTED")

    async def get_open_orders(self, *, deadline=None):
        return tuple(order for order in self.orders.values() if not order.status.terminal)

    def external(self, account="A1"):
        self._put(
            Order(
                symbol="X",
                side=Side.BUY,
                qty=ONE,
                status=OrderStatus.NEW,
                account=account,
                client_order_id="external",
                order_id="V-ext",
                origin=Origin.EXTERNAL,
            )
        )

    async def get_fills(self, since=None, *, deadline=None):
        return tuple(self.fills)

    async def get_positions(self, *, deadline=None):
        return tuple(
            Position(account=name, symbol="X", qty=ONE, avg_price=ONE, realized_pnl=ONE) for name in self.cash
        )

    async def get_balances(self, *, deadline=None):
        return tuple(
            Balance(account=name, currency="USD", total=cash, available=cash, locked=Decimal(0))
            for name, cash in self.cash.items()
        )

    async def snapshot(self, *, deadline=None):
        return Snapshot(
            orders=await self.get_open_orders(),
            fills=tuple(self.fills),
            positions=await self.get_positions(),
            balances=await self.get_balances(),
            cursor=f"e:{len(self.log) - 1}",
        )

    async def get_instrument(self, symbol, *, deadline=None):
        return f"instrument {symbol}"

    async def get_quote(self, symbol, *, deadline=None):
        return f"quote {symbol}"

    async def get_bars(self, symbol, start, end, step, *, deadline=None):
        return (f"bars {symbol}",)

    def events(self, after=None):
        queue: asyncio.Queue = asyncio.Queue()
        self.readers.append(queue)
        return self._events(queue)

    async def _events(self, queue):
        try:
            while (event := await queue.get()) is not None:
                yield event
        finally:
            self.closed_streams += 1

    def end_streams(self):
        for reader in self.readers:
            reader.put_nowait(None)

    def beat(self):
        self.tell(Heartbeat())

    def stream_quotes(self, symbols):
        return self._quotes(tuple(symbols))

    async def _quotes(self, symbols):
        for symbol in symbols:
            yield symbol

    async def health(self, *, deadline=None):
        self.asked += 1
        said = self.health_says()
        return await said if asyncio.iscoroutine(said) else said

    async def rate_limits(self, *, deadline=None):
        return (RateLimit(name="orders", scope="key", limit=10, window=1.0, used=1, remaining=9),)


class StrangeMarket(StrangeGateway):
    """The same with a market of its own to feed."""

    def __init__(self, **settings):
        super().__init__(capabilities={Capability.SIMULATED}, **settings)

    async def feed(self, bar, *, account=None):
        self.fed.append(("bar", bar, account))
        for name, order in list(self.orders.items()):
            if not order.status.terminal:
                self.fill(name)
        return tuple(self.fills)

    async def open_account(self, account, cash=None):
        self.cash[account] = cash or ONE
