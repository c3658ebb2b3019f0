"""The words of orders and gateways, and which may follow which."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CancelScope",
    "Capability",
    "Environment",
    "GATEWAY_TRANSITIONS",
    "GatewayStatus",
    "HealthState",
    "Liquidity",
    "ORDER_TRANSITIONS",
    "OrderStatus",
    "OrderType",
    "Origin",
    "Side",
    "TimeInForce",
]


class Side(StrEnum):
    """Which way an order goes."""

    BUY = "BUY"
    SELL = "SELL"


class OrderType(StrEnum):
    """What makes an order trade."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"
    STOP = "STOP"
    STOP_LIMIT = "STOP_LIMIT"


class TimeInForce(StrEnum):
    """How long an order stands: its session, until cancelled, at once or not, whole or not, until a time."""

    DAY = "DAY"
    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    GTD = "GTD"


class OrderStatus(StrEnum):
    """
    Where an order stands, by its FIX name.

    ``UNKNOWN``: it may or may not stand at the venue. ``DENIED``: refused here, never sent.
    """

    PENDING_NEW = "PENDING_NEW"
    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    PENDING_CANCEL = "PENDING_CANCEL"
    CANCELED = "CANCELED"
    PENDING_REPLACE = "PENDING_REPLACE"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    UNKNOWN = "UNKNOWN"
    DENIED = "DENIED"

    @property
    def terminal(self) -> bool:
        """Nothing follows but late fills. ``UNKNOWN`` is not terminal: it counts as open."""
        return self in _TERMINAL


class Liquidity(StrEnum):
    """Whether a fill made the market or took from it."""

    MAKER = "MAKER"
    TAKER = "TAKER"
    UNKNOWN = "UNKNOWN"


class Origin(StrEnum):
    """Who placed an order: this host, or somebody else at the venue."""

    OWN = "OWN"
    EXTERNAL = "EXTERNAL"


class Environment(StrEnum):
    """How real the money of a gateway is."""

    LIVE = "live"
    SANDBOX = "sandbox"
    PAPER = "paper"
    MOCK = "mock"


class Capability(StrEnum):
    """
    What a gateway can do beyond placing and cancelling.

    What is not in ``info.capabilities`` raises `NotSupported`; nothing is emulated. ``SIMULATED``
    gateways take their market from ``feed(bar)``, so historical bars may be played to them.
    """

    MODIFY = "MODIFY"
    QUOTES = "QUOTES"
    BARS = "BARS"
    INSTRUMENTS = "INSTRUMENTS"
    STREAM = "STREAM"
    SIMULATED = "SIMULATED"


class CancelScope(StrEnum):
    """What ``cancel_all`` cancels: orders placed by this host, or every open order of the accounts."""

    OWN = "OWN"
    ALL = "ALL"


class GatewayStatus(StrEnum):
    """Where a gateway is in its life."""

    CREATED = "CREATED"
    CONNECTING = "CONNECTING"
    SYNCING = "SYNCING"
    READY = "READY"
    DEGRADED = "DEGRADED"
    RECONNECTING = "RECONNECTING"
    DRAINING = "DRAINING"
    DISCONNECTED = "DISCONNECTED"
    FAILED = "FAILED"


class HealthState(StrEnum):
    """How a gateway is; the values are those of `Health.status`."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"


_TERMINAL: Final = frozenset(
    {
        OrderStatus.FILLED,
        OrderStatus.CANCELED,
        OrderStatus.REJECTED,
        OrderStatus.EXPIRED,
        OrderStatus.DENIED,
    }
)


def _order_transitions() -> Mapping[OrderStatus, frozenset[OrderStatus]]:
    status = OrderStatus
    ends = {status.FILLED, status.CANCELED, status.EXPIRED, status.REJECTED, status.UNKNOWN}
    changes = {status.PENDING_CANCEL, status.PENDING_REPLACE}
    resting = {status.NEW, status.PARTIALLY_FILLED}
    table: dict[OrderStatus, set[OrderStatus]] = {
        # A cancel before the acknowledgement is remembered, hence PENDING_CANCEL.
        status.PENDING_NEW: ends | resting | {status.PENDING_CANCEL, status.DENIED},
        status.NEW: ends | changes | {status.PARTIALLY_FILLED},
        status.PARTIALLY_FILLED: (ends | changes | {status.PARTIALLY_FILLED}) - {status.REJECTED},
        # Back to resting: the venue refused the cancel or the change.
        status.PENDING_CANCEL: ends | resting,
        status.PENDING_REPLACE: ends | resting | {status.PENDING_CANCEL},
        # Whatever the venue reports establishes the outcome; "denied" it cannot have been.
        status.UNKNOWN: (ends - {status.UNKNOWN}) | resting | changes | {status.PENDING_NEW},
    }
    return MappingProxyType({each: frozenset(table.get(each, ())) for each in status})


def _gateway_transitions() -> Mapping[GatewayStatus, frozenset[GatewayStatus]]:
    status = GatewayStatus
    leaving = {status.DRAINING, status.FAILED}
    table = {
        status.CREATED: {status.CONNECTING, status.DISCONNECTED, status.FAILED},
        status.CONNECTING: leaving | {status.SYNCING, status.DISCONNECTED},
        status.SYNCING: leaving | {status.READY, status.DEGRADED, status.RECONNECTING, status.DISCONNECTED},
        status.READY: leaving | {status.DEGRADED, status.RECONNECTING},
        status.DEGRADED: leaving | {status.READY, status.RECONNECTING},
        status.RECONNECTING: leaving | {status.SYNCING},
        # A drain that did not finish in time is refused: the gate opens again. One that takes its time
        # may lose its line, and finds it again.
        status.DRAINING: {
            status.DISCONNECTED,
            status.FAILED,
            status.READY,
            status.DEGRADED,
            status.RECONNECTING,
        },
        status.DISCONNECTED: {status.CONNECTING},
        status.FAILED: {status.CONNECTING, status.DISCONNECTED},
    }
    return MappingProxyType({each: frozenset(table[each]) for each in status})


ORDER_TRANSITIONS: Final = _order_transitions()
"""Which state of an order may follow which; terminal states lead nowhere."""

GATEWAY_TRANSITIONS: Final = _gateway_transitions()
"""Which state of a gateway may follow which."""
