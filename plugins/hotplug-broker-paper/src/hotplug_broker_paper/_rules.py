"""What this venue trades: checked before an order is accepted, with the error that says why not."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from hotplug.errors import InvalidRequest, NotSupported, OrderDenied
from hotplug.market import OrderType, TimeInForce, to_decimal

if TYPE_CHECKING:
    from hotplug.market import Bar, OrderRequest

__all__ = ["Rules", "check_bar", "denied"]

LARGEST: Final = Decimal("1e15")
FINEST: Final = -12


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The settings of the venue. Rates are fractions: 0.001 is a tenth of a percent."""

    cash: Decimal
    currency: str
    fee_rate: Decimal
    slippage: Decimal
    tick: Decimal
    lot: Decimal
    symbols: frozenset[str] | None

    def __post_init__(self) -> None:
        for name in ("cash", "fee_rate", "slippage", "tick", "lot"):
            value = to_decimal(name, getattr(self, name))
            if value < 0 or (value == 0 and name in {"tick", "lot"}):
                raise ValueError(f"{name} must be positive, not {value}")
            object.__setattr__(self, name, value)
        if self.slippage >= 1:
            raise ValueError(f"slippage is a fraction below 1, not {self.slippage}")
        if not self.currency:
            raise ValueError("currency must not be empty")

    def check(self, request: OrderRequest) -> None:
        """Raise `OrderDenied` or `NotSupported` (NOT_SENT) for what can be refused by looking at it."""
        _check_supported(request)
        if not request.symbol:
            raise denied("symbol", "an order needs a symbol")
        if not request.client_order_id:
            raise denied("client_order_id", "a client_order_id must not be empty")
        if not 0 < request.qty <= LARGEST:
            raise denied("qty", f"qty must be more than 0 and at most {LARGEST}, not {request.qty}")
        if request.qty % self.lot:
            raise denied("off_lot", f"qty {request.qty} is no multiple of the lot {self.lot}")
        self._check_price(request)

    def check_listed(self, symbol: str) -> None:
        """Raise `InvalidRequest` (REJECTED) for a symbol that this venue does not list."""
        if self.symbols is not None and symbol not in self.symbols:
            listed = ", ".join(sorted(self.symbols))
            raise InvalidRequest(
                f"{symbol} is not listed here (listed: {listed})", code="unknown_symbol", outcome="REJECTED"
            )

    def _check_price(self, request: OrderRequest) -> None:
        if request.type is OrderType.MARKET:
            if request.price is not None:
                raise denied("price", "a MARKET order has no price: leave it out, or make it a LIMIT order")
            return
        if request.price is None or not 0 < request.price <= LARGEST:
            raise denied("price", f"a LIMIT order needs a price above 0, not {request.price}")
        if request.price % self.tick:
            raise denied("off_tick", f"price {request.price} is no multiple of the tick {self.tick}")


def check_bar(bar: Bar) -> None:
    """Raise `InvalidRequest` for a bar that no market can have made."""
    prices = (bar.open, bar.high, bar.low, bar.close)
    if any(not 0 < price <= LARGEST for price in prices):
        raise _impossible(bar, "prices must be more than 0")
    if any(int(price.as_tuple().exponent) < FINEST for price in prices):
        raise _impossible(bar, f"prices have {-FINEST} decimals at most")
    if bar.low > min(bar.open, bar.close) or bar.high < max(bar.open, bar.close):
        raise _impossible(bar, "open and close must lie between low and high")


def denied(code: str, why: str) -> OrderDenied:
    """The error for an order that is refused before the venue sees it."""
    return OrderDenied(why, code=code, outcome="NOT_SENT")


def _check_supported(request: OrderRequest) -> None:
    if request.type not in {OrderType.MARKET, OrderType.LIMIT}:
        raise _lacking(f"{request.type} orders")
    if request.tif is TimeInForce.GTD or request.expire_at is not None:
        raise _lacking("orders that expire at a time")
    if request.stop_price is not None:
        raise _lacking("stop prices")
    if request.reduce_only:
        raise _lacking("reduce_only")


def _lacking(what: str) -> NotSupported:
    return NotSupported(f"the paper broker has no {what}", code="not_supported", outcome="NOT_SENT")


def _impossible(bar: Bar, why: str) -> InvalidRequest:
    return InvalidRequest(f"{why}: {bar}", code="bar", outcome="NOT_SENT")
