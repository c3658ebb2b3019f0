"""Long while the fast average stands above the slow one, flat otherwise."""

from __future__ import annotations

from collections import deque
from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING, Any, Final

from hotplug.errors import InsufficientFunds
from hotplug.market import OrderRequest, Side, TimeInForce, to_decimal
from hotplug.strategies import Strategy

if TYPE_CHECKING:
    from hotplug.market import Bar

__all__ = ["Crossover", "MovingAverage"]

ZERO: Final = Decimal(0)
STATE: Final = 1  # the version of what is exported


class MovingAverage:
    """The mean of the last *length* values, kept up in constant time; exact, the values being `Decimal`."""

    def __init__(self, length: int) -> None:
        self._values: Final[deque[Decimal]] = deque(maxlen=length)
        self._length: Final = length
        self._sum = ZERO

    def add(self, value: Decimal) -> None:
        """Take in the next value, let go of the oldest."""
        if len(self._values) == self._length:
            self._sum -= self._values[0]
        self._values.append(value)
        self._sum += value

    @property
    def values(self) -> tuple[Decimal, ...]:
        """What the mean is of, the oldest first."""
        return tuple(self._values)

    @property
    def value(self) -> Decimal | None:
        """The mean; ``None`` before there are enough values."""
        return self._sum / self._length if len(self._values) == self._length else None


class Crossover(Strategy):
    """
    Holds *symbol* while the mean of its last *fast* closes is above that of its last *slow* ones.

    Without *symbol*, the symbol of the first bar is traded. Buys *qty*, or without it for *fraction* of
    the account's cash, in whole multiples of *lot*; sells all it holds. Orders are market orders that
    trade at the next open or not at all.
    """

    def __init__(
        self,
        *,
        symbol: str | None = None,
        fast: int = 20,
        slow: int = 50,
        fraction: Decimal = Decimal("0.95"),
        qty: Decimal | None = None,
        lot: Decimal = Decimal(1),
    ) -> None:
        if not 0 < fast < slow:
            raise ValueError(f"fast must be at least 1 and less than slow, not fast={fast}, slow={slow}")
        self.symbol = symbol
        self.fraction: Final = to_decimal("fraction", fraction)
        self.qty: Final = None if qty is None else to_decimal("qty", qty)
        self.lot: Final = to_decimal("lot", lot)
        if not 0 < self.fraction <= 1:
            raise ValueError(f"fraction must be above 0 and at most 1, not {fraction}")
        if self.lot <= 0 or (self.qty is not None and self.qty <= 0):
            raise ValueError(f"lot and qty must be above 0, not lot={lot}, qty={qty}")
        self._fast: Final = MovingAverage(fast)
        self._slow: Final = MovingAverage(slow)

    def export_state(self) -> tuple[int, dict[str, Any]]:
        """The closes that the averages are of, and the symbol that they are from."""
        return STATE, {"symbol": self.symbol, "closes": self._slow.values}

    def import_state(self, version: int, data: dict[str, Any]) -> None:
        """Go on where another one was; longer averages than its own begin with what it has."""
        if version != STATE:
            raise ValueError(f"this crossover knows state of version {STATE}, not {version}")
        before = data["symbol"]
        if before is not None and self.symbol not in {None, before}:
            raise ValueError(f"this crossover trades {self.symbol}, the one before it traded {before}")
        self.symbol = self.symbol or before
        for close in data["closes"]:
            self._take(close)

    def _take(self, close: Decimal) -> None:
        self._fast.add(close)
        self._slow.add(close)

    async def on_bar(self, bar: Bar) -> None:
        """Take in a close; buy or sell when the averages say so."""
        self.symbol = self.symbol or bar.symbol
        if bar.symbol != self.symbol:
            return
        self._take(bar.close)
        fast, slow = self._fast.value, self._slow.value
        if fast is None or slow is None:
            return
        held = self.trader.position(bar.symbol).qty
        if fast > slow and not held:
            await self._trade(Side.BUY, self._affordable(bar.close))
        elif fast < slow and held > 0:
            await self._trade(Side.SELL, held)

    async def _trade(self, side: Side, qty: Decimal) -> None:
        assert self.symbol is not None  # noqa: S101 - set by the first bar
        if not qty:
            self.trader.log.info("%s of %s: not enough cash for one lot", side, self.symbol)
            return
        order = OrderRequest(symbol=self.symbol, side=side, qty=qty, tif=TimeInForce.IOC, tags=("crossover",))
        try:
            await self.trader.place(order)
        except InsufficientFunds as error:
            # Another strategy on the account spent it meanwhile.
            self.trader.log.info("%s of %s: %s", side, self.symbol, error)

    def _affordable(self, price: Decimal) -> Decimal:
        if self.qty is not None:
            return self.qty
        lots = self.trader.cash * self.fraction / price / self.lot
        return lots.to_integral_value(ROUND_DOWN) * self.lot
