"""What the market says: bars, quotes, instruments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - schemas are made of these annotations
from decimal import Decimal

from hotplug.market._checks import settle_decimals, settle_optional_decimals, settle_times

__all__ = ["Bar", "Instrument", "Quote"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """What *symbol* traded at from *time* (UTC, the bar's start) until the next bar."""

    symbol: str
    time: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal

    def __post_init__(self) -> None:
        settle_decimals(self, "open", "high", "low", "close", "volume")
        settle_times(self, "time")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """The best bid and ask of *symbol*; a side that nobody offers is ``None``."""

    symbol: str
    bid: Decimal | None
    bid_size: Decimal | None
    ask: Decimal | None
    ask_size: Decimal | None
    time: datetime

    def __post_init__(self) -> None:
        settle_optional_decimals(self, "bid", "bid_size", "ask", "ask_size")
        settle_times(self, "time")


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """How *symbol* is traded: prices in ticks, quantities in lots, amounts in *currency*."""

    symbol: str
    tick_size: Decimal
    lot_size: Decimal
    min_qty: Decimal | None = None
    min_notional: Decimal | None = None
    multiplier: Decimal = Decimal(1)
    currency: str = "USD"

    def __post_init__(self) -> None:
        settle_decimals(self, "tick_size", "lot_size", "multiplier")
        settle_optional_decimals(self, "min_qty", "min_notional")
