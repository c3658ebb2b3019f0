"""What flows out of a gateway: its events, its snapshot, its health and its limits."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003
from dataclasses import dataclass, field
from datetime import datetime  # noqa: TC003 - schemas are made of these annotations
from decimal import Decimal  # noqa: TC003
from typing import TypeAlias

from hotplug._records import FrozenDict
from hotplug.market._checks import (
    settle_optional_decimals,
    settle_optional_times,
    settle_times,
    settle_tuple,
    settle_word,
)
from hotplug.market._orders import Balance, Fill, Order, Position
from hotplug.market._words import GatewayStatus, HealthState, OrderStatus

__all__ = [
    "BrokerEvent",
    "ConnectionLost",
    "EventPayload",
    "Gap",
    "HealthReport",
    "Heartbeat",
    "OrderUpdate",
    "RateLimit",
    "RateLimitSeen",
    "Snapshot",
    "StatusChange",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """
    Everything at one instant; events after *cursor* are newer.

    A tuple is the venue's truth; ``None`` says that the venue cannot tell.
    """

    orders: tuple[Order, ...] | None
    fills: tuple[Fill, ...] | None
    positions: tuple[Position, ...] | None
    balances: tuple[Balance, ...] | None
    cursor: str | None

    def __post_init__(self) -> None:
        for name in ("orders", "fills", "positions", "balances"):
            settle_tuple(self, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusChange:
    """
    The gateway went from one state of its life to the next; the event has the time.

    *monotonic_ns* is that time by the clock of its process that never jumps, in nanoseconds: for how long lay
    between two changes. ``None`` where it was another process's.
    """

    old: GatewayStatus
    new: GatewayStatus
    reason: str = ""
    monotonic_ns: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """Nothing happened, and the line is alive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Events after the cursor *after* and up to *before* are lost to this reader; a snapshot follows."""

    after: str | None
    before: str


EventPayload: TypeAlias = Order | Fill | Position | Balance | Snapshot | StatusChange | Heartbeat | Gap


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerEvent:
    """One thing that happened; *cursor* resumes the stream after it."""

    cursor: str
    time: datetime
    generation: int
    payload: EventPayload

    def __post_init__(self) -> None:
        settle_times(self, "time")


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderUpdate:
    """
    What a venue reports of one order, named by its id or ours.

    *filled_qty* is the venue's cumulative figure. *account* tells two orders with one client id apart.
    Only a *correction* lets what is filled shrink.
    """

    client_order_id: str | None = None
    order_id: str | None = None
    status: OrderStatus
    filled_qty: Decimal | None = None
    avg_price: Decimal | None = None
    reason: str | None = None
    time: datetime | None = None
    account: str | None = None
    correction: bool = False

    def __post_init__(self) -> None:
        settle_word("status", self.status, OrderStatus)
        settle_optional_decimals(self, "filled_qty", "avg_price")
        settle_optional_times(self, "time")


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimitSeen:
    """What a venue said of one of its limits."""

    name: str
    used: int | None = None
    limit: int | None = None
    reset_at: datetime | None = None

    def __post_init__(self) -> None:
        settle_optional_times(self, "reset_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLost:
    """The line to the venue broke."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """
    One window of calls: *used* of *limit* in *window* seconds.

    *waiting* calls stand in line now, *throttled* had to wait or were refused so far.
    """

    name: str
    scope: str
    limit: int
    window: float
    used: int
    remaining: int
    reset_at: datetime | None = None
    waiting: int = 0
    throttled: int = 0

    def __post_init__(self) -> None:
        settle_optional_times(self, "reset_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthReport:
    """How a gateway is and which of its named *checks* say so; worthless after *max_age* seconds."""

    status: HealthState
    checks: Mapping[str, HealthState] = field(default_factory=dict[str, HealthState], hash=False)
    checked_at: datetime
    max_age: float

    def __post_init__(self) -> None:
        settle_word("status", self.status, HealthState)
        settle_times(self, "checked_at")
        object.__setattr__(self, "checks", FrozenDict(self.checks))
