"""Double-entry books: what leaves one pocket enters another, to the last digit."""

from __future__ import annotations

from collections import defaultdict
from decimal import (
    ROUND_HALF_EVEN,
    ROUND_HALF_UP,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
)
from typing import TYPE_CHECKING, Final

from hotplug.market import Position

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["EXACT", "Ledger", "ROUNDED", "fee_on"]

EXACT: Final = Context(prec=100, traps=[Inexact, InvalidOperation, Overflow, DivisionByZero])
"""Sums and products of money: whatever would have to be rounded is an error."""

ROUNDED: Final = Context(prec=100, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero])
"""The places where rounding is said: fees, averages, ticks."""

ZERO: Final = Decimal(0)
CENT: Final = Decimal("0.01")
COST_STEP: Final = Decimal("1e-12")

CASH: Final = "cash"
CAPITAL: Final = "capital"
FEES: Final = "fees"


def fee_on(notional: Decimal, rate: Decimal) -> Decimal:
    """The fee of a trade, rounded once, half up, to a cent."""
    return ROUNDED.multiply(notional, rate).quantize(CENT, ROUND_HALF_UP, ROUNDED)


class Ledger:
    """
    The books of one account. Call it inside ``localcontext(EXACT)``.

    Pockets: cash; capital (what was paid in, negative); fees; per symbol what the holding cost, and
    profit (negative for a gain, as income is in double entry). Together they are zero, always.
    """

    def __init__(self, account: str, capital: Decimal) -> None:
        self.account: Final = account
        self._pockets: defaultdict[str, Decimal] = defaultdict(Decimal)
        self._held: dict[str, Decimal] = {}
        self._post({CASH: capital, CAPITAL: -capital})

    @property
    def cash(self) -> Decimal:
        """The money there is, that which open orders lock included."""
        return self._pockets[CASH]

    @property
    def fees(self) -> Decimal:
        """What was paid in fees so far."""
        return self._pockets[FEES]

    def held(self, symbol: str) -> Decimal:
        """How much of *symbol* there is."""
        return self._held.get(symbol, ZERO)

    def pockets(self) -> dict[str, Decimal]:
        """Every pocket by name; their sum is zero."""
        return dict(self._pockets)

    def buy(self, symbol: str, qty: Decimal, price: Decimal, fee: Decimal) -> None:
        """Book a purchase."""
        notional = qty * price
        self._post({CASH: -(notional + fee), _cost(symbol): notional, FEES: fee})
        self._held[symbol] = self.held(symbol) + qty

    def sell(self, symbol: str, qty: Decimal, price: Decimal, fee: Decimal) -> None:
        """Book a sale of what is held, at its average cost."""
        proceeds = qty * price
        cost = self._cost_of(symbol, qty)
        gain = proceeds - cost
        self._post({CASH: proceeds - fee, _cost(symbol): -cost, _profit(symbol): -gain, FEES: fee})
        self._held[symbol] = self.held(symbol) - qty

    def position(self, symbol: str) -> Position:
        """What is held of *symbol*; the average price is derived from its cost, profit is before fees."""
        qty = self.held(symbol)
        average = None
        if qty:
            average = ROUNDED.divide(self._pockets[_cost(symbol)], qty).quantize(COST_STEP, None, ROUNDED)
        return Position(
            account=self.account,
            symbol=symbol,
            qty=qty,
            avg_price=None if average is None else _plain(average),
            realized_pnl=-self._pockets[_profit(symbol)],
        )

    def positions(self) -> Iterator[Position]:
        """Everything that was ever held, in order of first purchase."""
        return (self.position(symbol) for symbol in self._held)

    def _cost_of(self, symbol: str, qty: Decimal) -> Decimal:
        cost, held = self._pockets[_cost(symbol)], self.held(symbol)
        if qty == held:
            return cost
        # Rounded once and booked so: the rest keeps what this part does not take.
        return ROUNDED.divide(cost * qty, held).quantize(COST_STEP, None, ROUNDED)

    def _post(self, postings: dict[str, Decimal]) -> None:
        if sum(postings.values()):
            raise ArithmeticError(f"postings do not balance: {postings}")
        for pocket, amount in postings.items():
            self._pockets[pocket] += amount


def _cost(symbol: str) -> str:
    return f"cost {symbol}"


def _profit(symbol: str) -> str:
    return f"profit {symbol}"


def _plain(value: Decimal) -> Decimal:
    """Without the zeros that a division leaves, and never in the form 1E+2."""
    short = value.normalize(ROUNDED)
    return short if short.as_tuple().exponent <= 0 else short.quantize(Decimal(1), None, ROUNDED)  # type: ignore[operator]
