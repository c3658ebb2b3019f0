"""What came of a run."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from hotplug.market import Fill, Order

__all__ = ["StrategyReport", "max_drawdown"]

ZERO: Final = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyReport:
    """
    What came of one run of a strategy.

    *equity* is cash plus positions at their last close, after each bar (at *times*), *capital* the
    same before the first one. *return_* and *max_drawdown* are fractions: 0.1 is ten percent. *trades*
    and *orders* are the run's own, *error* is what stopped it before its time.
    """

    strategy: str
    user: str | None
    account: str
    run: str
    capital: Decimal
    trades: tuple[Fill, ...] = ()
    orders: tuple[Order, ...] = ()
    equity: tuple[Decimal, ...] = ()
    times: tuple[datetime, ...] = ()
    error: BaseException | None = None

    @property
    def return_(self) -> Decimal:
        """What was gained, as a fraction of the capital; negative for a loss, 0 without capital."""
        if not self.equity or not self.capital:
            return ZERO
        return (self.equity[-1] - self.capital) / self.capital

    @property
    def max_drawdown(self) -> Decimal:
        """The deepest fall from a height reached before, as a fraction of that height."""
        return max_drawdown([self.capital, *self.equity])


def max_drawdown(values: Iterable[Decimal]) -> Decimal:
    """The deepest fall from a running maximum, as a fraction of it."""
    peak = deepest = ZERO
    for value in values:
        peak = max(peak, value)
        if peak:
            deepest = max(deepest, (peak - value) / peak)
    return deepest
