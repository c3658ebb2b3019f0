"""What the operator says of a broker: whose accounts, which limits, and how real it may become."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Literal

from hotplug._records import FrozenDict
from hotplug.market import Attribution, to_decimal

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BookSettings", "DEADLINE", "NO_LIMITS", "OPERATOR", "OrderLimits", "ReplacePolicy", "Seat"]


class ReplacePolicy(StrEnum):
    """How a gateway gives way to its next generation."""

    HANDOVER = "HANDOVER"
    """Open orders are handed over: matched by the new gateway, then its gate opens."""
    DRAIN = "DRAIN"
    """The old one takes no orders any more and goes when the last has ended."""
    REFUSE_IF_OPEN = "REFUSE_IF_OPEN"
    """Not while an order is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderLimits:
    """
    What an order of one account may be at most; ``None`` is no limit.

    *max_notional* is in the currency of the price, *price_collar_pct* in percent of the middle of the quote;
    both need a fresh quote, without one the order is denied.
    """

    max_qty: Decimal | None = None
    max_notional: Decimal | None = None
    max_open_orders: int | None = None
    orders_per_minute: int | None = None
    price_collar_pct: Decimal | None = None
    symbols: frozenset[str] | None = None

    def __post_init__(self) -> None:
        for name in ("max_qty", "max_notional", "price_collar_pct"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, Decimal):
                object.__setattr__(self, name, to_decimal(name, value))


DEADLINE: Final = 10.0
"""Seconds that a call has where neither it nor its gateway says anything else."""
NO_LIMITS: Final = OrderLimits()
"""The one that stands where nothing was said; compared by identity, on a path where each look counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BookSettings:
    """
    The options of ``[brokers.KEY]`` that outlive a gateway.

    *accounts* are granted to users by name. A live gateway trades only with *allow_live* and
    *mode* ``"trade"``; *mode* ``"read"`` makes any gateway read-only. *journal* says whether orders are kept
    in a file (``None``: for live and sandbox), *fsync* that each line is on the disk before an order is sent.
    """

    accounts: Mapping[str, tuple[str, ...]] = field(
        default_factory=FrozenDict[str, tuple[str, ...]], hash=False
    )
    limits: OrderLimits = NO_LIMITS
    allow_live: bool = False
    mode: Literal["read", "trade"] | None = None
    on_shutdown: Literal["leave", "cancel"] = "leave"
    fsync: bool = False
    journal: bool | None = None
    policy: ReplacePolicy = ReplacePolicy.HANDOVER


@dataclass(frozen=True, slots=True)
class Seat:
    """Whom a call is made for: *accounts* ``None`` is the operator's, who has them all."""

    accounts: frozenset[str] | None
    attribution: Attribution

    def has(self, account: str | None) -> bool:
        """Whether *account* may be seen and used from here."""
        return self.accounts is None or account in self.accounts


OPERATOR: Final = Seat(None, Attribution())
