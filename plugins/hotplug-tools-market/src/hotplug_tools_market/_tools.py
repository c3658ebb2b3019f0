"""The tools: three typed functions that read, and change nothing."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from datetime import date  # noqa: TC003 - the annotations are the tools' schemas
from decimal import Decimal  # noqa: TC003
from typing import TYPE_CHECKING, TypedDict

import hotplug
from hotplug.errors import ToolError
from hotplug_tools_market._data import bars, symbols

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hotplug.market import Bar

__all__ = ["DailyBar", "Price", "history", "last_price", "list_symbols"]


class DailyBar(TypedDict):
    """One trading day. Prices and volume are exact decimals, strings in JSON; not adjusted for splits."""

    date: date
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


class Price(TypedDict):
    """What a symbol closed at, and on which day."""

    symbol: str
    date: date
    close: Decimal


@hotplug.tool(read_only=True)
def list_symbols() -> list[str]:
    """List the symbols that the other market tools know."""
    return list(symbols())


@hotplug.tool(read_only=True)
def last_price(symbol: str, on: date | None = None) -> Price:
    """
    Tell what a symbol last closed at.

    Args:
        symbol: One of list_symbols.
        on: The day to look from; the close of that day, or of the last trading day before it. The
            newest there is, without one.

    """
    known = bars(symbol)
    until = len(known) if on is None else bisect_right(known, on, key=_day)
    if not until:
        raise ToolError(f"the first bar of {symbol} is of {_day(known[0])}, there is none on or before {on}")
    bar = known[until - 1]
    return {"symbol": symbol, "date": _day(bar), "close": bar.close}


@hotplug.tool(read_only=True)
def history(
    symbol: str, start: date | None = None, end: date | None = None, limit: int = 250
) -> list[DailyBar]:
    """
    Give the daily bars of a symbol, oldest first.

    Args:
        symbol: One of list_symbols.
        start: The first day, inclusive.
        end: The last day, inclusive.
        limit: How many bars at most; the newest of the period are given.

    """
    if limit < 1:
        raise ToolError(f"limit must be at least 1, not {limit}")
    return [_plain(bar) for bar in _between(bars(symbol), start, end)[-limit:]]


def _between(known: Sequence[Bar], start: date | None, end: date | None) -> Sequence[Bar]:
    first = 0 if start is None else bisect_left(known, start, key=_day)
    after = len(known) if end is None else bisect_right(known, end, key=_day)
    return known[first:after]


def _plain(bar: Bar) -> DailyBar:
    return {
        "date": _day(bar),
        "open": bar.open,
        "high": bar.high,
        "low": bar.low,
        "close": bar.close,
        "volume": bar.volume,
    }


def _day(bar: Bar) -> date:
    return bar.time.date()
