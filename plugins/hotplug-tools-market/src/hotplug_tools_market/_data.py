"""The bars that come with this distribution. Where they are from: SOURCE.md, beside them."""

from __future__ import annotations

import csv
import gzip
import io
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from hotplug.errors import ToolError, close_match
from hotplug.market import Bar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["bars", "symbols"]


def symbols() -> tuple[str, ...]:
    """The symbols there are, sorted."""
    return tuple(_rows())


@cache
def bars(symbol: str) -> tuple[Bar, ...]:
    """
    All daily bars of *symbol*, oldest first. Prices are exact, and not adjusted for splits.

    A bar's time is midnight UTC of its trading day. Raises `ToolError` for a symbol that is not there.
    """
    rows = _rows()
    if symbol not in rows:
        raise ToolError(f"no bars of {symbol!r} here ({close_match(symbol.upper(), rows)})")
    return tuple(_bar(row) for row in rows[symbol])


@cache
def _rows() -> Mapping[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for row in _read():
        found.setdefault(row["Ticker"], []).append(row)
    return {symbol: sorted(found[symbol], key=lambda row: row["Date"]) for symbol in sorted(found)}


def _read() -> Iterator[dict[str, str]]:
    packed = files("hotplug_tools_market").joinpath("stocks.csv.gz").read_bytes()
    yield from csv.DictReader(io.StringIO(gzip.decompress(packed).decode("ascii"), newline=""))


def _bar(row: Mapping[str, str]) -> Bar:
    return Bar(
        symbol=row["Ticker"],
        time=datetime.fromisoformat(row["Date"]).replace(tzinfo=UTC),
        open=Decimal(row["Open"]),
        high=Decimal(row["High"]),
        low=Decimal(row["Low"]),
        close=Decimal(row["Close"]),
        volume=Decimal(row["Volume"]),
    )
