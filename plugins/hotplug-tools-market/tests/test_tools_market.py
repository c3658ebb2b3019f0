"""The market tools: real bars, exact prices, clear errors."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.resources import files

import msgspec
import pytest

import hotplug_tools_market as market
from hotplug.context import UserExecutionContext
from hotplug.errors import InvalidArgumentsError, ToolError
from hotplug.market import Bar
from hotplug.testing import ToolContract
from hotplug.tools import Tool, ToolRegistry

ADA = UserExecutionContext("ada")
SYMBOLS = ("AAPL", "FB", "GOOG", "IBM", "MSFT")


def call(name: str, **arguments):
    """Call a tool as an agent does: with JSON, and with nothing configured."""
    tools = ToolRegistry()
    for each in (market.list_symbols, market.last_price, market.history):
        tools.register(each.name, each)
    return asyncio.run(tools.call(name, arguments, ADA))


class TestListSymbols(ToolContract):
    """`list_symbols` keeps the promises of a tool."""

    def make_tool(self) -> Tool:
        return market.list_symbols

    def example(self):
        return {}


class TestLastPrice(ToolContract):
    """`last_price` keeps the promises of a tool."""

    def make_tool(self) -> Tool:
        return market.last_price

    def example(self):
        return {"symbol": "AAPL", "on": "2013-01-05"}


class TestHistory(ToolContract):
    """`history` keeps the promises of a tool."""

    def make_tool(self) -> Tool:
        return market.history

    def example(self):
        return {"symbol": "FB", "limit": 3}


def test_all_three_only_read():
    """
    The tools are read-only, so every user is offered them without configuration.
    """
    assert all(each.read_only for each in (market.list_symbols, market.last_price, market.history))


def test_the_symbols():
    """
    The symbols are those of the file, sorted.
    """
    assert call("list_symbols") == list(SYMBOLS)
    assert market.symbols() == SYMBOLS


def test_the_data_is_what_the_note_says():
    """
    The shipped file is the one that SOURCE.md describes, byte for byte, and every row is a bar.
    """
    packed = files("hotplug_tools_market").joinpath("stocks.csv.gz").read_bytes()
    note = files("hotplug_tools_market").joinpath("SOURCE.md").read_text()

    assert hashlib.sha256(packed).hexdigest() in note
    assert (
        len(gzip.decompress(packed).splitlines()) - 1 == sum(len(market.bars(s)) for s in SYMBOLS) == 12_154
    )


def test_bars_are_exact():
    """
    A bar has the file's figures as exact decimals, and midnight UTC of its day.
    """
    assert market.bars("AAPL")[0] == Bar(
        symbol="AAPL",
        time=datetime(2000, 3, 1, tzinfo=UTC),
        open=Decimal("118.56"),
        high=Decimal("132.06"),
        low=Decimal("118.5"),
        close=Decimal("130.31"),
        volume=Decimal(9616100),
    )


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_bars_are_in_order_and_sane(symbol):
    """
    Bars of a symbol are its own, one a day, oldest first, each between its low and its high.
    """
    bars = market.bars(symbol)

    assert {bar.symbol for bar in bars} == {symbol}
    assert [bar.time for bar in bars] == sorted({bar.time for bar in bars})
    assert all(0 < bar.low <= min(bar.open, bar.close) for bar in bars)
    assert all(bar.high >= max(bar.open, bar.close) for bar in bars)


def test_bars_are_read_once():
    """
    Asking again gives the same bars, not others like them.
    """
    assert market.bars("IBM") is market.bars("IBM")


@pytest.mark.parametrize(("asked", "meant"), [("AAPLE", "AAPL"), ("goog", "GOOG"), ("XYZZY", "known: AAPL")])
def test_unknown_symbols_say_what_was_meant(asked, meant):
    """
    A symbol that is not there is an error that reaches the caller, with the nearest one.
    """
    for name in ("last_price", "history"):
        with pytest.raises(ToolError, match=meant):
            call(name, symbol=asked)


@pytest.mark.parametrize(
    ("on", "day", "close"),
    [
        (None, date(2013, 3, 1), "430.47"),
        ("2013-01-04", date(2013, 1, 4), "527.0"),
        ("2013-01-05", date(2013, 1, 4), "527.0"),
        ("2000-03-01", date(2000, 3, 1), "130.31"),
        ("2099-01-01", date(2013, 3, 1), "430.47"),
    ],
    ids=["newest", "trading day", "weekend", "first", "future"],
)
def test_last_price(on, day, close):
    """
    The last price is the close of the day, or of the last trading day before it.
    """
    price = call("last_price", symbol="AAPL", **({} if on is None else {"on": on}))

    assert price == {"symbol": "AAPL", "date": day, "close": Decimal(close)}


def test_before_the_first_bar_there_is_no_price():
    """
    A day before the listing is an error naming the first day.
    """
    with pytest.raises(ToolError, match="2012-05-18"):
        call("last_price", symbol="FB", on="2012-05-17")


def test_history_is_the_newest_of_the_period():
    """
    Of the period (both days inclusive) the newest bars are given, oldest first.
    """
    january = call("history", symbol="AAPL", start="2013-01-02", end="2013-01-08")
    two = call("history", symbol="AAPL", start="2013-01-02", end="2013-01-08", limit=2)

    assert [bar["date"].day for bar in january] == [2, 3, 4, 7, 8]
    assert two == january[-2:]
    assert january[0]["close"] == Decimal("549.03")
    assert len(call("history", symbol="AAPL")) == 250
    assert call("history", symbol="FB", end="2001-01-01") == []


def test_in_json_prices_are_exact_strings():
    """
    What goes over a wire are decimal strings and ISO dates, as the output schema says.
    """
    [bar] = call("history", symbol="AAPL", start="2013-01-04", end="2013-01-04")

    assert msgspec.to_builtins(bar)["close"] == "527.0"
    assert msgspec.to_builtins(bar)["date"] == "2013-01-04"
    schema = market.history.output_schema["$defs"]["DailyBar"]["properties"]
    assert schema["close"] == {"type": "string", "format": "decimal"}


def test_the_limit_is_positive():
    """
    No bars is no answer: a limit below 1 is refused.
    """
    with pytest.raises(ToolError, match="at least 1"):
        call("history", symbol="AAPL", limit=0)
    with pytest.raises(InvalidArgumentsError, match="start"):
        call("history", symbol="AAPL", start="yesterday")
