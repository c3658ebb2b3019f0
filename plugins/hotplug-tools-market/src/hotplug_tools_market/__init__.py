"""Market-data tools for hotplug: symbols, last price, history of real daily bars."""

from __future__ import annotations

from hotplug_tools_market._data import bars, symbols
from hotplug_tools_market._tools import DailyBar, Price, history, last_price, list_symbols

__all__ = [
    "DailyBar",
    "Price",
    "bars",
    "history",
    "last_price",
    "list_symbols",
    "symbols",
]
