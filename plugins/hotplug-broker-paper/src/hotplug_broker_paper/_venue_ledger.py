"""Double-entry books: what leaves one pocket enters another, to the last digit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hotplug_broker_paper._venue_money import ZERO, each, share_of
from hotplug_broker_paper._venue_records import position_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

    from hotplug.market import Position

__all__ = ["Holding", "Ledger"]


class Holding:
    """One symbol's pockets: pieces held (short is negative), what they cost, what was lost on them."""

    __slots__ = ("cost", "loss", "multiplier", "qty")

    def __init__(
        self,
        multiplier: Decimal,
        qty: Decimal = ZERO,
        cost: Decimal = ZERO,
        loss: Decimal = ZERO,
    ) -> None:
        self.multiplier: Final = multiplier
        self.qty = qty
        self.cost = cost
        self.loss = loss

    @property
    def short(self) -> Decimal:
        """What the pieces brought that are owed."""
        return -self.cost if self.qty < 0 else ZERO


class Ledger:
    """
    The books of one account. Call it in the context `EXACT`.

    Pockets of money: cash; capital (what was paid in, negative); fees; per symbol what the holding cost
    (negative for a short one: what it brought), and loss (negative for a gain, as income is in double
    entry). Together they are zero, always.
    """

    def __init__(self, account: str, capital: Decimal) -> None:
        self.account: Final = account
        self.cash = capital
        self.capital = -capital
        self.fees = ZERO
        self.holdings: Final[dict[str, Holding]] = {}
        self.shorts = ZERO
        """What all that was sold short brought."""

    def held(self, symbol: str) -> Decimal:
        """How much of *symbol* there is; negative when it is owed."""
        holding = self.holdings.get(symbol)
        return ZERO if holding is None else holding.qty

    def short(self, symbol: str) -> Decimal:
        """What the pieces of *symbol* brought that are owed."""
        holding = self.holdings.get(symbol)
        return ZERO if holding is None else holding.short

    def pockets(self) -> dict[str, Decimal]:
        """Every pocket of money by name; their sum is zero."""
        found = {"cash": self.cash, "capital": self.capital, "fees": self.fees}
        for symbol, holding in self.holdings.items():
            found[f"cost {symbol}"] = holding.cost
            found[f"loss {symbol}"] = holding.loss
        return found

    def trade(self, symbol: str, qty: Decimal, price: Decimal, fee: Decimal, multiplier: Decimal) -> None:
        """
        Book *qty* pieces bought (sold, if negative) at *price*, and the *fee*.

        What closes a holding leaves at its average cost and makes gain or loss; the rest opens one.
        """
        holding = self.holdings.get(symbol)
        if holding is None:
            holding = self.holdings[symbol] = Holding(multiplier)
        value, held = price * multiplier, holding.qty
        if held and (held < 0) is (qty > 0):
            owed = holding.short
            closing = qty if abs(qty) < abs(held) else -held
            self._close(holding, closing, closing * value)
            self._open(holding, qty - closing, value, fee)
            self.shorts += holding.short - owed
        else:
            self._open(holding, qty, value, fee)
            if qty < 0:
                self.shorts -= qty * value

    def position(self, symbol: str) -> Position:
        """What is held of *symbol*; the average price is derived from its cost, profit is before fees."""
        holding = self.holdings[symbol]
        average = each(holding.cost, holding.qty * holding.multiplier) if holding.qty else None
        return position_of(self.account, symbol, holding.qty, average, -holding.loss)

    def positions(self) -> Iterator[Position]:
        """Everything that was ever held, in order of first trade."""
        return (self.position(symbol) for symbol in self.holdings)

    def check(self) -> None:
        """Raise `ArithmeticError` unless all pockets are zero together; sum up what is owed anew."""
        if total := sum(self.pockets().values()):
            raise ArithmeticError(f"the books of {self.account!r} do not balance: {total} too much")
        self.shorts = sum((holding.short for holding in self.holdings.values()), ZERO)

    def _open(self, holding: Holding, qty: Decimal, value: Decimal, fee: Decimal) -> None:
        paid = qty * value
        self._post(holding, -(paid + fee), paid, ZERO, fee)
        holding.qty += qty

    def _close(self, holding: Holding, qty: Decimal, value: Decimal) -> None:
        # Rounded once and booked so: the rest keeps what this part does not take.
        all_of_it = qty == -holding.qty
        cost = -holding.cost if all_of_it else share_of(holding.cost, qty, holding.qty)
        self._post(holding, -value, cost, value - cost, ZERO)
        holding.qty += qty

    def _post(self, holding: Holding, cash: Decimal, cost: Decimal, loss: Decimal, fees: Decimal) -> None:
        if cash + cost + loss + fees:
            raise ArithmeticError(f"postings do not balance: {cash} {cost} {loss} {fees}")
        self.cash += cash
        self.fees += fees
        holding.cost += cost
        if loss:
            holding.loss += loss
