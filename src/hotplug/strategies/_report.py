"""What came of a run."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from hotplug.strategies._picture import painted
from hotplug.strategies._sketch import curved, sketched

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from hotplug.market import Fill, Order

__all__ = ["StrategyReport"]

ZERO: Final = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyReport:
    """
    What came of one run of a strategy.

    *equity* is cash plus positions at their last close, after each bar (at *times*, of which *symbols*
    and *closes* say what traded at how much), *capital* the same before the first one, both in *currency*.
    *return_* and *max_drawdown* are fractions: 0.1 is ten percent. *trades* and *orders* are the run's own,
    *error* is what stopped it before its time.
    """

    strategy: str
    user: str | None
    account: str
    run: str
    capital: Decimal
    currency: str = ""
    trades: tuple[Fill, ...] = ()
    orders: tuple[Order, ...] = ()
    equity: tuple[Decimal, ...] = ()
    times: tuple[datetime, ...] = ()
    symbols: tuple[str, ...] = ()
    closes: tuple[Decimal, ...] = ()
    error: BaseException | None = None

    @property
    def return_(self) -> Decimal:
        """
        What was gained, as a fraction of the capital: (last equity - capital) / capital.

        Negative for a loss, 0 without capital. It is of the whole run, not of a year.
        """
        if not self.equity or not self.capital:
            return ZERO
        return (self.equity[-1] - self.capital) / self.capital

    @property
    def max_drawdown(self) -> Decimal:
        """
        The deepest fall from a height reached before, as a fraction of that height.

        The largest (peak - value) / peak, the peak being the highest so far and the capital the first one
        (Magdon-Ismail and Atiya, Maximum Drawdown, Risk Magazine 17, 2004).
        """
        return max(self.drawdowns, default=ZERO)

    @property
    def drawdowns(self) -> tuple[Decimal, ...]:
        """How far below the highest so far it stood after each bar, as a fraction of that height."""
        return _drawdowns([self.capital, *self.equity])[1:]

    @property
    def fees(self) -> Decimal:
        """What the trades cost."""
        return sum((fill.fee for fill in self.trades), ZERO)

    def picture(self) -> bytes:
        """
        A PNG: prices with what was bought and sold, equity, and drawdown. Takes half a second, in any thread.

        Raises `ImportError`, with a remedy, where matplotlib is not installed (``hotplug[plot]`` brings it).
        """
        return painted(self)

    def curve(self, *, width: int = 80, height: int = 8, unicode: bool = True) -> str:
        """
        The equity as a line of braille dots (or of stars), with its limits at the side and days below.

        *height* lines and one for the days, none longer than *width*; nothing where there were no bars.
        """
        return "\n".join(curved(self, width=width, height=height, unicode=unicode))

    def sketch(self, *, width: int = 80, height: int = 8, unicode: bool = True) -> str:
        """The figures, and a curve of the equity *height* lines high, for a terminal *width* wide."""
        return sketched(self, width=width, height=height, unicode=unicode)


def _drawdowns(values: Iterable[Decimal]) -> tuple[Decimal, ...]:
    """How far each value is below the highest so far, as a fraction of that; 0 where there is no height."""
    values = tuple(values)
    peaks = accumulate(values, max, initial=ZERO)
    next(peaks)
    return tuple((peak - value) / peak if peak else ZERO for peak, value in zip(peaks, values, strict=True))
