"""What the accounts of a venue hold, by what was traded."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from typing import TYPE_CHECKING, Final

from hotplug.market import Balance, Position, Side

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from hotplug.market import Fill
    from hotplug_broker_mock._habits import Habits

__all__ = ["Ledger", "exactly"]

ZERO: Final = Decimal(0)


def exactly() -> AbstractContextManager[Context]:
    """The venue's own decimal context: a caller's, however coarse, changes nothing."""
    return localcontext(Context(prec=50))


@dataclass(slots=True)
class _Holding:
    qty: Decimal = ZERO
    avg_price: Decimal = ZERO
    realized: Decimal = ZERO

    def trade(self, change: Decimal, price: Decimal) -> None:
        before, after = self.qty, self.qty + change
        if before * change >= 0:
            self.avg_price = (self.avg_price * abs(before) + price * abs(change)) / abs(after)
        else:
            closed = min(abs(change), abs(before))
            self.realized += (price - self.avg_price) * (closed if before > 0 else -closed)
            if before * after < 0:
                self.avg_price = price
        self.qty = after


class Ledger:
    """Money and positions by account. Not thread-safe."""

    def __init__(self, habits: Habits) -> None:
        self._habits: Final = habits
        self._cash: Final[dict[str, Decimal]] = {}
        self._holdings: Final[dict[tuple[str, str], _Holding]] = {}

    def open(self, account: str) -> None:
        """Let there be *account*; that it is there already is fine."""
        self._cash.setdefault(account, self._habits.cash)

    def book(self, fill: Fill) -> None:
        """Change what its account has by *fill*."""
        with exactly():
            change = fill.qty if fill.side is Side.BUY else -fill.qty
            self.open(fill.account)
            self._cash[fill.account] -= change * fill.price + fill.fee
            key = fill.account, fill.symbol
            self._holdings.setdefault(key, _Holding()).trade(change, fill.price)

    @property
    def positions(self) -> tuple[Position, ...]:
        """What is held, and what was sold off completely."""
        return tuple(
            Position(
                account=account,
                symbol=symbol,
                qty=held.qty,
                avg_price=held.avg_price if held.qty else None,
                realized_pnl=held.realized,
            )
            for (account, symbol), held in self._holdings.items()
        )

    @property
    def balances(self) -> tuple[Balance, ...]:
        """The money; none is locked by orders."""
        for account in self._habits.accounts:
            self.open(account)
        currency = self._habits.currency
        return tuple(
            Balance(account=account, currency=currency, total=cash, available=cash, locked=ZERO)
            for account, cash in self._cash.items()
        )
