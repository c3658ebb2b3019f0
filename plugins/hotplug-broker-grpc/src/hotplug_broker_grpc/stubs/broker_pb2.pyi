# Types of the messages of hotplug.broker.v1. Made by python -m hotplug_broker_grpc.generate: do not edit.
# ruff: noqa: A002, N802
from collections.abc import Iterable, Mapping, MutableMapping, MutableSequence
from typing import Any, Self

POOL: Any
DESCRIPTOR: Any

class _Message:
    DESCRIPTOR: Any
    def HasField(self, field_name: str) -> bool: ...
    def WhichOneof(self, oneof_group: str) -> str | None: ...
    def SerializeToString(self) -> bytes: ...
    @classmethod
    def FromString(cls, s: bytes) -> Self: ...

class OrderRequest(_Message):
    symbol: str
    side: int
    qty: str
    type: int
    price: str
    stop_price: str
    tif: int
    expire_at: int
    account: str
    client_order_id: str
    reduce_only: bool
    tags: MutableSequence[str]
    def __init__(
        self,
        *,
        symbol: str | None = None,
        side: int | None = None,
        qty: str | None = None,
        type: int | None = None,
        price: str | None = None,
        stop_price: str | None = None,
        tif: int | None = None,
        expire_at: int | None = None,
        account: str | None = None,
        client_order_id: str | None = None,
        reduce_only: bool | None = None,
        tags: Iterable[str] | None = None,
    ) -> None: ...

class OrderRef(_Message):
    client_order_id: str
    order_id: str
    def __init__(
        self,
        *,
        client_order_id: str | None = None,
        order_id: str | None = None,
    ) -> None: ...

class OrderChange(_Message):
    qty: str
    price: str
    stop_price: str
    def __init__(
        self,
        *,
        qty: str | None = None,
        price: str | None = None,
        stop_price: str | None = None,
    ) -> None: ...

class OrderAck(_Message):
    client_order_id: str
    order_id: str
    status: int
    time: int
    def __init__(
        self,
        *,
        client_order_id: str | None = None,
        order_id: str | None = None,
        status: int | None = None,
        time: int | None = None,
    ) -> None: ...

class Attribution(_Message):
    user: str
    account: str
    strategy: str
    run: str
    request: str
    generation: int
    def __init__(
        self,
        *,
        user: str | None = None,
        account: str | None = None,
        strategy: str | None = None,
        run: str | None = None,
        request: str | None = None,
        generation: int | None = None,
    ) -> None: ...

class Order(_Message):
    symbol: str
    side: int
    qty: str
    status: int
    type: int
    price: str
    stop_price: str
    tif: int
    expire_at: int
    account: str
    client_order_id: str
    reduce_only: bool
    tags: MutableSequence[str]
    order_id: str
    filled_qty: str
    leaves_qty: str
    avg_price: str
    version: int
    origin: int
    attribution: Attribution
    created_at: int
    updated_at: int
    reason: str
    def __init__(
        self,
        *,
        symbol: str | None = None,
        side: int | None = None,
        qty: str | None = None,
        status: int | None = None,
        type: int | None = None,
        price: str | None = None,
        stop_price: str | None = None,
        tif: int | None = None,
        expire_at: int | None = None,
        account: str | None = None,
        client_order_id: str | None = None,
        reduce_only: bool | None = None,
        tags: Iterable[str] | None = None,
        order_id: str | None = None,
        filled_qty: str | None = None,
        leaves_qty: str | None = None,
        avg_price: str | None = None,
        version: int | None = None,
        origin: int | None = None,
        attribution: Attribution | None = None,
        created_at: int | None = None,
        updated_at: int | None = None,
        reason: str | None = None,
    ) -> None: ...

class Fill(_Message):
    trade_id: str
    order_id: str
    client_order_id: str
    account: str
    symbol: str
    side: int
    qty: str
    price: str
    fee: str
    fee_currency: str
    liquidity: int
    time: int
    late: bool
    def __init__(
        self,
        *,
        trade_id: str | None = None,
        order_id: str | None = None,
        client_order_id: str | None = None,
        account: str | None = None,
        symbol: str | None = None,
        side: int | None = None,
        qty: str | None = None,
        price: str | None = None,
        fee: str | None = None,
        fee_currency: str | None = None,
        liquidity: int | None = None,
        time: int | None = None,
        late: bool | None = None,
    ) -> None: ...

class Position(_Message):
    account: str
    symbol: str
    qty: str
    avg_price: str
    realized_pnl: str
    def __init__(
        self,
        *,
        account: str | None = None,
        symbol: str | None = None,
        qty: str | None = None,
        avg_price: str | None = None,
        realized_pnl: str | None = None,
    ) -> None: ...

class Balance(_Message):
    account: str
    currency: str
    total: str
    available: str
    locked: str
    def __init__(
        self,
        *,
        account: str | None = None,
        currency: str | None = None,
        total: str | None = None,
        available: str | None = None,
        locked: str | None = None,
    ) -> None: ...

class Instrument(_Message):
    symbol: str
    tick_size: str
    lot_size: str
    min_qty: str
    min_notional: str
    multiplier: str
    currency: str
    def __init__(
        self,
        *,
        symbol: str | None = None,
        tick_size: str | None = None,
        lot_size: str | None = None,
        min_qty: str | None = None,
        min_notional: str | None = None,
        multiplier: str | None = None,
        currency: str | None = None,
    ) -> None: ...

class Quote(_Message):
    symbol: str
    bid: str
    bid_size: str
    ask: str
    ask_size: str
    time: int
    def __init__(
        self,
        *,
        symbol: str | None = None,
        bid: str | None = None,
        bid_size: str | None = None,
        ask: str | None = None,
        ask_size: str | None = None,
        time: int | None = None,
    ) -> None: ...

class Bar(_Message):
    symbol: str
    time: int
    open: str
    high: str
    low: str
    close: str
    volume: str
    def __init__(
        self,
        *,
        symbol: str | None = None,
        time: int | None = None,
        open: str | None = None,
        high: str | None = None,
        low: str | None = None,
        close: str | None = None,
        volume: str | None = None,
    ) -> None: ...

class Orders(_Message):
    items: MutableSequence[Order]
    def __init__(
        self,
        *,
        items: Iterable[Order] | None = None,
    ) -> None: ...

class Fills(_Message):
    items: MutableSequence[Fill]
    def __init__(
        self,
        *,
        items: Iterable[Fill] | None = None,
    ) -> None: ...

class Positions(_Message):
    items: MutableSequence[Position]
    def __init__(
        self,
        *,
        items: Iterable[Position] | None = None,
    ) -> None: ...

class Balances(_Message):
    items: MutableSequence[Balance]
    def __init__(
        self,
        *,
        items: Iterable[Balance] | None = None,
    ) -> None: ...

class Bars(_Message):
    items: MutableSequence[Bar]
    def __init__(
        self,
        *,
        items: Iterable[Bar] | None = None,
    ) -> None: ...

class Snapshot(_Message):
    orders: Orders
    fills: Fills
    positions: Positions
    balances: Balances
    cursor: str
    more: bool
    def __init__(
        self,
        *,
        orders: Orders | None = None,
        fills: Fills | None = None,
        positions: Positions | None = None,
        balances: Balances | None = None,
        cursor: str | None = None,
        more: bool | None = None,
    ) -> None: ...

class CancelResult(_Message):
    order: Order
    error: BrokerErrorDetail
    def __init__(
        self,
        *,
        order: Order | None = None,
        error: BrokerErrorDetail | None = None,
    ) -> None: ...

class CancelResults(_Message):
    items: MutableSequence[CancelResult]
    def __init__(
        self,
        *,
        items: Iterable[CancelResult] | None = None,
    ) -> None: ...

class StatusChange(_Message):
    old: int
    new: int
    reason: str
    def __init__(
        self,
        *,
        old: int | None = None,
        new: int | None = None,
        reason: str | None = None,
    ) -> None: ...

class Heartbeat(_Message): ...

class Gap(_Message):
    after: str
    before: str
    def __init__(
        self,
        *,
        after: str | None = None,
        before: str | None = None,
    ) -> None: ...

class BrokerEvent(_Message):
    cursor: str
    time: int
    generation: int
    order: Order
    fill: Fill
    position: Position
    balance: Balance
    snapshot: Snapshot
    status_change: StatusChange
    heartbeat: Heartbeat
    gap: Gap
    def __init__(
        self,
        *,
        cursor: str | None = None,
        time: int | None = None,
        generation: int | None = None,
        order: Order | None = None,
        fill: Fill | None = None,
        position: Position | None = None,
        balance: Balance | None = None,
        snapshot: Snapshot | None = None,
        status_change: StatusChange | None = None,
        heartbeat: Heartbeat | None = None,
        gap: Gap | None = None,
    ) -> None: ...

class EventBatch(_Message):
    events: MutableSequence[BrokerEvent]
    cursor: str
    def __init__(
        self,
        *,
        events: Iterable[BrokerEvent] | None = None,
        cursor: str | None = None,
    ) -> None: ...

class QuoteBatch(_Message):
    symbol: MutableSequence[str]
    bid: MutableSequence[str]
    bid_size: MutableSequence[str]
    ask: MutableSequence[str]
    ask_size: MutableSequence[str]
    time: MutableSequence[int]
    def __init__(
        self,
        *,
        symbol: Iterable[str] | None = None,
        bid: Iterable[str] | None = None,
        bid_size: Iterable[str] | None = None,
        ask: Iterable[str] | None = None,
        ask_size: Iterable[str] | None = None,
        time: Iterable[int] | None = None,
    ) -> None: ...

class Info(_Message):
    broker_id: str
    type: str
    environment: int
    status: int
    health: int
    rate_limit_usage: float
    generation: int
    distribution: str
    version: str
    capabilities: MutableSequence[int]
    masked_accounts: MutableSequence[str]
    since: int
    last_error: str
    accounts: MutableSequence[str]
    all_accounts: bool
    order_types: MutableSequence[int]
    tifs: MutableSequence[int]
    max_client_id_length: int
    client_id_alphabet: str
    memory: str
    default_account: str
    def __init__(
        self,
        *,
        broker_id: str | None = None,
        type: str | None = None,
        environment: int | None = None,
        status: int | None = None,
        health: int | None = None,
        rate_limit_usage: float | None = None,
        generation: int | None = None,
        distribution: str | None = None,
        version: str | None = None,
        capabilities: Iterable[int] | None = None,
        masked_accounts: Iterable[str] | None = None,
        since: int | None = None,
        last_error: str | None = None,
        accounts: Iterable[str] | None = None,
        all_accounts: bool | None = None,
        order_types: Iterable[int] | None = None,
        tifs: Iterable[int] | None = None,
        max_client_id_length: int | None = None,
        client_id_alphabet: str | None = None,
        memory: str | None = None,
        default_account: str | None = None,
    ) -> None: ...

class HealthReport(_Message):
    status: int
    checks: MutableMapping[str, int]
    checked_at: int
    max_age: float
    def __init__(
        self,
        *,
        status: int | None = None,
        checks: Mapping[str, int] | None = None,
        checked_at: int | None = None,
        max_age: float | None = None,
    ) -> None: ...

class RateLimit(_Message):
    name: str
    scope: str
    limit: int
    window: float
    used: int
    remaining: int
    reset_at: int
    waiting: int
    throttled: int
    def __init__(
        self,
        *,
        name: str | None = None,
        scope: str | None = None,
        limit: int | None = None,
        window: float | None = None,
        used: int | None = None,
        remaining: int | None = None,
        reset_at: int | None = None,
        waiting: int | None = None,
        throttled: int | None = None,
    ) -> None: ...

class RateLimits(_Message):
    items: MutableSequence[RateLimit]
    def __init__(
        self,
        *,
        items: Iterable[RateLimit] | None = None,
    ) -> None: ...

class InfoRequest(_Message):
    broker_id: str
    accounts: MutableSequence[str]
    def __init__(
        self,
        *,
        broker_id: str | None = None,
        accounts: Iterable[str] | None = None,
    ) -> None: ...

class HealthRequest(_Message):
    broker_id: str
    def __init__(
        self,
        *,
        broker_id: str | None = None,
    ) -> None: ...

class RateLimitsRequest(_Message):
    broker_id: str
    def __init__(
        self,
        *,
        broker_id: str | None = None,
    ) -> None: ...

class PlaceOrderRequest(_Message):
    broker_id: str
    accounts: MutableSequence[str]
    request: OrderRequest
    session: str
    call: int
    def __init__(
        self,
        *,
        broker_id: str | None = None,
        accounts: Iterable[str] | None = None,
        request: OrderRequest | None = None,
        session: str | None = None,
        call: int | None = None,
    ) -> None: ...

class CancelOrderRequest(_Message):
    broker_id: str
    accounts: MutableSequence[str]
    ref: OrderRef
    def __init__(
        self,
        *,
        broker_id: str | None = None,
        accounts: Iterable[str] | None = None,
        ref: OrderRef | None = None,
    ) -> None: ...

class ModifyOrderRequest(_Message):
    broker_id: str
    accounts: MutableSequence[str]
    ref: OrderRef
    change: OrderChange
    session: str
    call: int
    def __init__(
        self,
        *,
        broker_id: str | None = None,
        accounts: Iterable[str] | None = None,
        ref: OrderRef | None = None,
        change: OrderChange | None = None,
        session: str | None = None,
        call: int | None = None,
    ) -> None: ...

class CancelAllRequest(_Message):
    broker_id: str
    accounts: MutableSequence[str]
    scope: int
    def __init__(
        self,
        *,
        broker_id: str | None = None,
        accounts: Iterable[str] | None = None,
        scope: int | None = None,
    ) -> None: ...

class GetOrderRequest(_Message):
    broker_id: str
    accounts: MutableSequence[str]
    ref: OrderRef
    session: str
    call: int
    def __init__(
        self,
        *,
        broker_id: str | None = None,
        accounts: Iterable[str] | None = None,
        ref: OrderRef | None = None,
        session: str | None = None,
        call: int | None = None,
    ) -> None: ...

class ListRequest(_Message):
    broker_id: str
    accounts: MutableSequence[str]
    def __init__(
        self,
        *,
        broker_id: str | None = None,
        accounts: Iterable[str] | None = None,
    ) -> None: ...

class ListFillsRequest(_Message):
    broker_id: str
    accounts: MutableSequence[str]
    since: int
    def __init__(
        self,
        *,
        broker_id: str | None = None,
        accounts: Iterable[str] | None = None,
        since: int | None = None,
    ) -> None: ...

class SymbolRequest(_Message):
    broker_id: str
    symbol: str
    def __init__(
        self,
        *,
        broker_id: str | None = None,
        symbol: str | None = None,
    ) -> None: ...

class ListBarsRequest(_Message):
    broker_id: str
    symbol: str
    start: int
    end: int
    step: int
    def __init__(
        self,
        *,
        broker_id: str | None = None,
        symbol: str | None = None,
        start: int | None = None,
        end: int | None = None,
        step: int | None = None,
    ) -> None: ...

class StreamEventsRequest(_Message):
    broker_id: str
    accounts: MutableSequence[str]
    after: str
    heartbeat: float
    def __init__(
        self,
        *,
        broker_id: str | None = None,
        accounts: Iterable[str] | None = None,
        after: str | None = None,
        heartbeat: float | None = None,
    ) -> None: ...

class StreamQuotesRequest(_Message):
    broker_id: str
    symbols: MutableSequence[str]
    heartbeat: float
    def __init__(
        self,
        *,
        broker_id: str | None = None,
        symbols: Iterable[str] | None = None,
        heartbeat: float | None = None,
    ) -> None: ...

class BrokerErrorDetail(_Message):
    kind: str
    message: str
    code: str
    outcome: int
    retryable: bool
    retry_after: float
    venue_code: str
    def __init__(
        self,
        *,
        kind: str | None = None,
        message: str | None = None,
        code: str | None = None,
        outcome: int | None = None,
        retryable: bool | None = None,
        retry_after: float | None = None,
        venue_code: str | None = None,
    ) -> None: ...
