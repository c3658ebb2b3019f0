"""What fills add up to, where no venue tells."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from hotplug.market._exact import AVERAGE, EXACT
from hotplug.market._orders import Position
from hotplug.market._words import Side

if TYPE_CHECKING:
    from hotplug.market._orders import Fill

__all__ = ["Positions"]

ZERO: Final = Decimal(0)


class _Held:
    __slots__ = ("cost", "profit", "qty")

    def __init__(self) -> None:
        self.qty = ZERO
        self.cost = ZERO  # of what is held, signed as the quantity is
        self.profit = ZERO

    def add(self, qty: Decimal, price: Decimal) -> None:
        """Trade *qty* (negative: sold) at *price*; average cost, profit before fees."""
        if self.qty and (self.qty > 0) != (qty > 0):
            closed = min(qty.copy_abs(), self.qty.copy_abs()).copy_sign(self.qty)
            share = self._share_of(closed)
            self.profit = EXACT.add(self.profit, EXACT.subtract(EXACT.multiply(closed, price), share))
            self.cost = EXACT.subtract(self.cost, share)
            self.qty = EXACT.subtract(self.qty, closed)
            qty = EXACT.add(qty, closed)
        self.qty = EXACT.add(self.qty, qty)
        self.cost = EXACT.fma(qty, price, self.cost)

    def _share_of(self, closed: Decimal) -> Decimal:
        """What those cost that are sold now."""
        if closed == self.qty:
            return self.cost
        return AVERAGE.divide(EXACT.multiply(self.cost, closed), self.qty)


class Positions:
    """Positions by account and symbol, derived from fills by average cost."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], _Held] = {}

    def begin(self, position: Position) -> None:
        """Book what is held already."""
        held = self._held[position.account, position.symbol] = _Held()
        held.add(position.qty, position.avg_price or ZERO)
        held.profit = position.realized_pnl

    def add(self, fill: Fill) -> None:
        """Book *fill*, once."""
        qty = fill.qty if fill.side is Side.BUY else fill.qty.copy_negate()
        self.trade(fill.account, fill.symbol, qty, fill.price)

    def trade(self, account: str, symbol: str, qty: Decimal, price: Decimal) -> None:
        """Book *qty*, which is negative where it was sold, at *price* each."""
        held = self._held.get((account, symbol))
        if held is None:
            held = self._held[account, symbol] = _Held()
        held.add(qty, price)

    def of(self, account: str, symbol: str) -> Position:
        """What is held of *symbol* now; nothing is a position, too."""
        held = self._held.get((account, symbol)) or _Held()
        return Position(
            account=account,
            symbol=symbol,
            qty=held.qty,
            avg_price=AVERAGE.divide(held.cost, held.qty) if held.qty else None,
            realized_pnl=held.profit,
        )

    def all(self) -> tuple[Position, ...]:
        """Everything that was ever traded; sold off has a quantity of 0."""
        return tuple(self.of(account, symbol) for account, symbol in self._held)
