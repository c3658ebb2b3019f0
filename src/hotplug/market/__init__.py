"""
Orders, fills, bars and quotes: the words that brokers, strategies and tools share.

Every record is frozen, slotted, keyword-only and hashable. Money and quantities are `Decimal`:
an ``int`` is taken as one, a ``float`` (or ``str``, or ``bool``) is a `TypeError`, NaN and infinity are
a `ValueError`. Times are `datetime` in UTC: naive ones and those of other zones are a `ValueError`.
Optional values that are not known are ``None``.
"""

from __future__ import annotations

from hotplug.market._checks import to_decimal, to_utc
from hotplug.market._data import Bar, Instrument, Quote
from hotplug.market._events import (
    BrokerEvent,
    ConnectionLost,
    EventPayload,
    Gap,
    HealthReport,
    Heartbeat,
    OrderUpdate,
    RateLimit,
    RateLimitSeen,
    Snapshot,
    StatusChange,
)
from hotplug.market._orders import (
    Attribution,
    Balance,
    Fill,
    Order,
    OrderAck,
    OrderChange,
    OrderRef,
    OrderRequest,
    Position,
)
from hotplug.market._words import (
    GATEWAY_TRANSITIONS,
    ORDER_TRANSITIONS,
    CancelScope,
    Capability,
    Environment,
    GatewayStatus,
    HealthState,
    Liquidity,
    OrderStatus,
    OrderType,
    Origin,
    Side,
    TimeInForce,
)

__all__ = [
    "Attribution",
    "Balance",
    "Bar",
    "BrokerEvent",
    "CancelScope",
    "Capability",
    "ConnectionLost",
    "Environment",
    "EventPayload",
    "Fill",
    "GATEWAY_TRANSITIONS",
    "Gap",
    "GatewayStatus",
    "HealthReport",
    "HealthState",
    "Heartbeat",
    "Instrument",
    "Liquidity",
    "ORDER_TRANSITIONS",
    "Order",
    "OrderAck",
    "OrderChange",
    "OrderRef",
    "OrderRequest",
    "OrderStatus",
    "OrderType",
    "OrderUpdate",
    "Origin",
    "Position",
    "Quote",
    "RateLimit",
    "RateLimitSeen",
    "Side",
    "Snapshot",
    "StatusChange",
    "TimeInForce",
    "to_decimal",
    "to_utc",
]
