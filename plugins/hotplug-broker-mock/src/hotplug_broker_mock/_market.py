"""What a venue knows of the market: quotes, instruments, bars."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from hotplug.errors import InvalidRequest
from hotplug.market import Instrument, OrderType, Side

if TYPE_CHECKING:
    from datetime import datetime

    from hotplug.market import Bar, Order, Quote

__all__ = ["Market"]

TICK: Final = Decimal("0.01")
LOT: Final = Decimal("0.0001")


class Market:
    """Quotes, instruments and bars by symbol. Not thread-safe."""

    def __init__(self) -> None:
        self.quotes: Final[dict[str, Quote]] = {}
        self.instruments: Final[dict[str, Instrument]] = {}
        self.bars: Final[dict[str, list[Bar]]] = {}

    def quote(self, symbol: str) -> Quote:
        """The newest quote; `InvalidRequest` if there was none."""
        if symbol not in self.quotes:
            raise InvalidRequest(f"no quote of {symbol!r} yet", outcome="REJECTED")
        return self.quotes[symbol]

    def instrument(self, symbol: str) -> Instrument:
        """How *symbol* is traded: as was said, else in cents and ten-thousandths."""
        return self.instruments.get(symbol) or Instrument(symbol=symbol, tick_size=TICK, lot_size=LOT)

    def bars_between(self, symbol: str, start: datetime, end: datetime) -> tuple[Bar, ...]:
        """The bars from *start* until before *end*."""
        return tuple(bar for bar in self.bars.get(symbol, ()) if start <= bar.time < end)

    def price_of(self, order: Order, otherwise: Decimal) -> Decimal:
        """What *order* would trade at now: its limit, or the other side of the quote."""
        return order.price if order.price is not None else self._touch(order, otherwise)

    def reaches(self, order: Order, otherwise: Decimal) -> bool:
        """Whether *order* would trade now: at market, or with a limit as good as the quote's other side."""
        if order.type is not OrderType.LIMIT or order.price is None:
            return order.type is OrderType.MARKET
        touch = self._touch(order, otherwise)
        return order.price >= touch if order.side is Side.BUY else order.price <= touch

    def _touch(self, order: Order, otherwise: Decimal) -> Decimal:
        quote = self.quotes.get(order.symbol)
        if quote is None:
            return otherwise
        touch = quote.ask if order.side is Side.BUY else quote.bid
        return otherwise if touch is None else touch
