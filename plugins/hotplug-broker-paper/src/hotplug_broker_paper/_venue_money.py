"""Exact sums, and the few places where rounding is said."""

from __future__ import annotations

from decimal import (
    ROUND_DOWN,
    ROUND_HALF_EVEN,
    ROUND_HALF_UP,
    ROUND_UP,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
    getcontext,
    setcontext,
)
from functools import wraps
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "CENT",
    "EXACT",
    "ONE",
    "ROUNDED",
    "ZERO",
    "each",
    "exactly",
    "floored",
    "share_of",
    "slipped",
    "to_cents",
]

P = ParamSpec("P")
R = TypeVar("R")

EXACT: Final = Context(prec=120, traps=[Inexact, InvalidOperation, Overflow, DivisionByZero])
"""Sums and products of money: whatever would have to be rounded is an error."""

ROUNDED: Final = Context(prec=120, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero])
"""The places where rounding is said: fees, averages, ticks."""

ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)
CENT: Final = Decimal("0.01")
FINE: Final = Decimal("1e-12")


def exactly(method: Callable[P, R]) -> Callable[P, R]:
    """*method*, computing in `EXACT`, whatever context its caller computes in."""

    @wraps(method)
    def in_exact(*args: P.args, **kwargs: P.kwargs) -> R:
        before = getcontext()
        setcontext(EXACT)
        try:
            return method(*args, **kwargs)
        finally:
            setcontext(before)

    return in_exact


def to_cents(amount: Decimal) -> Decimal:
    """*amount*, half up."""
    return amount.quantize(CENT, ROUND_HALF_UP, ROUNDED)


def share_of(whole: Decimal, part: Decimal, of: Decimal) -> Decimal:
    """What *part* of *of* is worth where all of it is worth *whole*; to twelve places."""
    return ROUNDED.divide(whole * part, of).quantize(FINE, None, ROUNDED)


def each(whole: Decimal, count: Decimal) -> Decimal:
    """*whole* by *count*, to twelve places, without the zeros that a division leaves, never as 1E+2."""
    short = ROUNDED.divide(whole, count).quantize(FINE, None, ROUNDED).normalize(ROUNDED)
    return short if int(short.as_tuple().exponent) <= 0 else short.quantize(ONE, None, ROUNDED)


def floored(amount: Decimal, step: Decimal) -> Decimal:
    """The most of *amount* that is a multiple of *step*."""
    rest = amount % step
    return amount - rest if rest else amount


def slipped(price: Decimal, slippage: Decimal, tick: Decimal, *, buying: bool) -> Decimal:
    """*price* made worse by the fraction *slippage*, to the next worse tick, and never nothing."""
    if buying:
        return _to_tick(price * (ONE + slippage), tick, ROUND_UP)
    return max(_to_tick(price * (ONE - slippage), tick, ROUND_DOWN), tick)


def _to_tick(price: Decimal, tick: Decimal, rounding: str) -> Decimal:
    return ROUNDED.divide(price, tick).to_integral_value(rounding) * tick
