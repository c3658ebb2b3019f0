"""
Reckoning with money: the same whatever decimal context the caller has.

A context belongs to a task or thread, and rounds all that is reckoned there, unasked, a mere minus included.
"""

from __future__ import annotations

from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, DivisionByZero, InvalidOperation, Overflow
from typing import Final

__all__ = ["AVERAGE", "EXACT", "left_of"]

_TRAPS: Final = (InvalidOperation, DivisionByZero, Overflow)
EXACT: Final = Context(prec=256, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=list(_TRAPS))
"""For sums and products: more digits than anybody writes."""
AVERAGE: Final = Context(prec=28, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=list(_TRAPS))
"""For what is divided, and may have no end."""
_NOTHING: Final = Decimal(0)


def left_of(qty: Decimal, filled: Decimal) -> Decimal:
    """What of *qty* is not *filled*; never less than nothing."""
    return max(EXACT.subtract(qty, filled), _NOTHING)
