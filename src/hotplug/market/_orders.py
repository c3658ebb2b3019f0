"""What is asked of a broker, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime  # noqa: TC003 - schemas are made of these annotations
from decimal import Decimal
from typing import Final, cast
from uuid import uuid4

from hotplug.market._checks import (
    settle_decimals,
    settle_optional_decimals,
    settle_optional_times,
    settle_tags,
    settle_times,
    settle_word,
)
from hotplug.market._exact import EXACT
from hotplug.market._words import Liquidity, OrderStatus, OrderType, Origin, Side, TimeInForce

__all__ = [
    "Attribution",
    "Balance",
    "Fill",
    "Order",
    "OrderAck",
    "OrderChange",
    "OrderRef",
    "OrderRequest",
    "Position",
]


def _fresh_id() -> str:
    return uuid4().hex


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """
    What shall be bought or sold. *client_order_id* makes it unique: the same request sent twice is one order.

    The record checks types only; whether a price, quantity or account makes sense is the gateway's to say.
    """

    symbol: str
    side: Side
    qty: Decimal
    type: OrderType = OrderType.MARKET
    price: Decimal | None = None
    stop_price: Decimal | None = None
    tif: TimeInForce = TimeInForce.DAY
    expire_at: datetime | None = None
    account: str | None = None
    client_order_id: str = field(default_factory=_fresh_id)
    reduce_only: bool = False
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        settle_word("side", self.side, Side)
        settle_word("type", self.type, OrderType)
        settle_word("tif", self.tif, TimeInForce)
        settle_decimals(self, "qty")
        settle_optional_decimals(self, "price", "stop_price")
        settle_optional_times(self, "expire_at")
        settle_tags(self, self.tags)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRef:
    """Names one order, by our id or the venue's; `ValueError` without either."""

    client_order_id: str | None = None
    order_id: str | None = None

    def __post_init__(self) -> None:
        if not self.client_order_id and not self.order_id:
            raise ValueError("an OrderRef needs a client_order_id or an order_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderChange:
    """What shall differ from now on; *qty* is the total, what is filled included. `ValueError` if nothing."""

    qty: Decimal | None = None
    price: Decimal | None = None
    stop_price: Decimal | None = None

    def __post_init__(self) -> None:
        settle_optional_decimals(self, "qty", "price", "stop_price")
        if self.qty is None and self.price is None and self.stop_price is None:
            raise ValueError("an OrderChange needs a qty, a price or a stop_price")


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderAck:
    """The venue has the order. It may be filled already: *status* says so."""

    client_order_id: str
    order_id: str | None
    status: OrderStatus
    time: datetime

    def __post_init__(self) -> None:
        settle_times(self, "time")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """Whom an order is done for, and by what; set by the host, never by who asks."""

    user: str | None = None
    account: str | None = None
    strategy: str | None = None
    run: str | None = None
    request: str | None = None
    generation: int = 0


_NOBODY: Final = Attribution()
_DERIVED: Final = cast("Decimal", None)
_ZERO: Final = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """
    An order as it stands: the request, and what came of it.

    *leaves_qty* may be left out: it is what is not filled yet, and nothing once the order has ended.
    *version* counts the changes of the order, *avg_price* is ``None`` until something is filled.
    """

    symbol: str
    side: Side
    qty: Decimal
    status: OrderStatus
    type: OrderType = OrderType.MARKET
    price: Decimal | None = None
    stop_price: Decimal | None = None
    tif: TimeInForce = TimeInForce.DAY
    expire_at: datetime | None = None
    account: str | None = None
    client_order_id: str | None = None
    reduce_only: bool = False
    tags: tuple[str, ...] = ()
    order_id: str | None = None
    filled_qty: Decimal = _ZERO
    leaves_qty: Decimal = _DERIVED
    avg_price: Decimal | None = None
    version: int = 1
    origin: Origin = Origin.OWN
    attribution: Attribution = _NOBODY
    created_at: datetime | None = None
    updated_at: datetime | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        settle_word("side", self.side, Side)
        settle_word("status", self.status, OrderStatus)
        settle_decimals(self, "qty", "filled_qty")
        if self.leaves_qty is _DERIVED:
            leaves = _ZERO if self.status.terminal else EXACT.subtract(self.qty, self.filled_qty)
            object.__setattr__(self, "leaves_qty", leaves)
        settle_decimals(self, "leaves_qty")
        settle_optional_decimals(self, "price", "stop_price", "avg_price")
        settle_optional_times(self, "expire_at", "created_at", "updated_at")
        settle_tags(self, self.tags)

    @property
    def ref(self) -> OrderRef:
        """What names this order in other calls."""
        return OrderRef(client_order_id=self.client_order_id, order_id=self.order_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """One trade of one order. *trade_id* is unique in its account; *late* came after the order had ended."""

    trade_id: str
    order_id: str | None
    client_order_id: str | None
    account: str
    symbol: str
    side: Side
    qty: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str
    liquidity: Liquidity
    time: datetime
    late: bool = False

    def __post_init__(self) -> None:
        settle_word("side", self.side, Side)
        settle_word("liquidity", self.liquidity, Liquidity)
        settle_decimals(self, "qty", "price", "fee")
        settle_times(self, "time")


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """What an account holds of *symbol* (short is negative); *avg_price* is ``None`` when that is nothing."""

    account: str
    symbol: str
    qty: Decimal
    avg_price: Decimal | None
    realized_pnl: Decimal

    def __post_init__(self) -> None:
        settle_decimals(self, "qty", "realized_pnl")
        settle_optional_decimals(self, "avg_price")


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """An account's money in *currency*: *total* = *available* + *locked* (by open orders)."""

    account: str
    currency: str
    total: Decimal
    available: Decimal
    locked: Decimal

    def __post_init__(self) -> None:
        settle_decimals(self, "total", "available", "locked")
