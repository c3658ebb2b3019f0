"""The analyst: its figures against figures made by hand, its tasks, its events."""

from __future__ import annotations

import asyncio
import json
import math
from datetime import date, timedelta
from decimal import Decimal

import pytest

import hotplug_tools_market as market
from agui import as_agui
from hotplug.agents import AgentRegistry, BaseAgent
from hotplug.context import UserExecutionContext
from hotplug.errors import PluginError
from hotplug.testing import AgentContract
from hotplug.tools import ToolRegistry, tool
from hotplug_agent_analyst import Analyst, Day, figures_of

ADA = UserExecutionContext("ada")
TOOLS = (market.list_symbols, market.last_price, market.history)


def agents(*tools, **settings) -> AgentRegistry:
    made, callable_tools = AgentRegistry(), ToolRegistry()
    for each in tools or TOOLS:
        callable_tools.register(each.name, each)
    made.bind(events=made.events, tools=callable_tools)
    made.register_factory("analyst", lambda _: Analyst(**settings))
    return made


def ask(task: object, **settings):
    return asyncio.run(agents(**settings).run("analyst", task, ADA))


def days(*closes: float | str) -> list[Day]:
    first = date(2024, 1, 1)
    return [Day(first + timedelta(n), Decimal(str(close))) for n, close in enumerate(closes)]


class TestAnalyst(AgentContract):
    """The analyst keeps the promises of an agent."""

    def make_agent(self) -> BaseAgent:
        return Analyst()

    def task(self) -> object:
        return "AAPL"

    def tools(self):
        return TOOLS


# -- figures -----------------------------------------------------------------------------------------


def test_figures_by_hand():
    """
    Return, drawdown, best and worst day and averages of a small series are those worked out on paper.
    """
    figures = figures_of(days(100, 110, 99, 108, 54, 81), fast=2, slow=3)

    assert figures.change == pytest.approx(-0.19)
    assert figures.drawdown.depth == pytest.approx(1 - 54 / 110)
    assert (figures.drawdown.peak.day, figures.drawdown.trough.day) == (2, 5)
    assert (figures.best.date.day, figures.best.change) == (6, pytest.approx(0.5))
    assert (figures.worst.date.day, figures.worst.change) == (5, pytest.approx(-0.5))
    assert (figures.fast, figures.slow) == (pytest.approx(67.5), pytest.approx(81))
    assert figures.trend == "down"
    assert [jump.date.day for jump in figures.jumps] == [5, 6]


def test_volatility_by_hand():
    """
    Volatility is the sample deviation of log returns times the root of 252; none without two returns.
    """
    up, down = math.log(1.1), math.log(0.9)
    mean = (up + down) / 2
    expected = math.sqrt(((up - mean) ** 2 + (down - mean) ** 2) / 1) * math.sqrt(252)

    assert figures_of(days(100, 110, 99)).volatility == pytest.approx(expected)
    assert figures_of(days(100, 110)).volatility is None


def test_a_steady_series():
    """
    What never falls has no drawdown, and equal averages are no trend.
    """
    rising, level = figures_of(days(1, 2, 3), fast=1, slow=2), figures_of(days(5, 5, 5), fast=1, slow=2)

    assert rising.drawdown.depth == 0
    assert rising.trend == "up"
    assert level.trend == "flat"
    assert level.volatility == 0


def test_one_day_and_none():
    """
    A single day has figures as far as there are any; no day is an error.
    """
    one = figures_of(days(7))

    assert (one.change, one.best, one.worst, one.trend) == (0, None, None, "unknown")
    with pytest.raises(ValueError, match="no days"):
        figures_of([])


# -- tasks -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "task",
    [
        "IBM",
        "ibm",
        "How did IBM do, and why?",
        "how is ibm.",
        {"symbol": "IBM"},
        {"symbol": "ibm", "start": None},
    ],
    ids=str,
)
def test_the_task_names_a_symbol(task):
    """
    A symbol, a sentence with one in it and a mapping are all understood.
    """
    answer = ask(task)

    assert answer["figures"]["symbol"] == "IBM"
    assert answer["figures"]["days"] == 250
    assert answer["text"].startswith("IBM went from ")


def test_as_written_comes_first():
    """
    A symbol as it is written counts before a word that only looks like one.
    """
    assert ask("fb or MSFT?")["figures"]["symbol"] == "MSFT"


@pytest.mark.parametrize(
    ("task", "text"),
    [
        ("the weather", "AAPL, FB, GOOG, IBM, MSFT"),
        (42, "text or a mapping"),
        ({"symbol": "IBM", "colour": "red"}, "'colour'"),
        ({"symbol": "IBM", "end": "1999-01-01"}, "no bar of IBM"),
        ({"symbol": "IBM", "start": "soon"}, "start"),
    ],
    ids=["no symbol", "number", "unknown key", "no bars", "no date"],
)
def test_tasks_that_are_none_say_why(task, text):
    """
    A task that cannot be done ends the run with an error that the user can read.
    """

    async def play():
        return [event async for event in agents().stream("analyst", task, ADA)]

    last = asyncio.run(play())[-1]

    assert last.type == "RUN_ERROR"
    assert text in last.payload["message"]


def test_a_period():
    """
    With a start the whole period is looked at; splits in it are pointed out, later closes mentioned.
    """
    answer = ask({"symbol": "AAPL", "start": "2005-01-01", "end": "2005-12-31"})

    figures = answer["figures"]
    assert (figures["first"]["date"], figures["last"]["date"], figures["days"]) == (
        "2005-01-03",
        "2005-12-30",
        252,
    )
    assert [jump["date"] for jump in figures["jumps"]] == ["2005-02-28"]
    assert "looks like a split" in answer["text"]
    assert "last closed at 430.47 on 2013-03-01" in answer["text"]


def test_a_short_period():
    """
    Two days have no volatility and no trend, and the text says what there is.
    """
    two = ask({"symbol": "AAPL", "limit": 2})
    one = ask({"symbol": "AAPL", "limit": 1})

    assert two["figures"]["volatility"] is None
    assert "too short for a trend" in two["text"]
    assert "Its best day" not in one["text"]
    assert "It never fell." in one["text"]


def test_settings_choose_the_averages():
    """
    `fast` and `slow` are the lengths of the averages; they must be in order.
    """
    assert ask({"symbol": "AAPL", "limit": 5}, fast=1, slow=2)["figures"]["fast"] == pytest.approx(430.47)
    for fast, slow in ((0, 5), (5, 5)):
        with pytest.raises(ValueError, match="fast must be"):
            Analyst(fast=fast, slow=slow)


def test_the_answer_is_json():
    """
    Text and figures go over any wire as they are: days are ISO dates, prices decimal strings.
    """
    answer = ask("AAPL")

    assert json.loads(json.dumps(answer)) == answer
    assert answer["figures"]["last"] == {"date": "2013-03-01", "close": "430.47"}


def test_tools_of_others_will_do():
    """
    Tools of these names from elsewhere, with answers in plain JSON, work as well.
    """

    @tool(read_only=True)
    def list_symbols() -> list[str]:
        return ["ACME"]

    @tool(read_only=True)
    def last_price(symbol: str) -> dict[str, str]:
        return {"date": "2024-01-03", "close": "12"}

    @tool(read_only=True)
    def history(symbol: str) -> list[dict[str, str]]:
        return [{"date": f"2024-01-0{n}", "close": str(9 + n)} for n in (1, 2, 3)]

    answer = asyncio.run(agents(list_symbols, last_price, history).run("analyst", "ACME", ADA))

    assert answer["figures"]["change"] == pytest.approx(0.2)
    assert "last closed" not in answer["text"]


def test_without_its_tools_it_says_so():
    """
    Where a tool is missing, the run's error names it.
    """
    with pytest.raises(PluginError, match="history"):
        asyncio.run(agents(market.list_symbols, market.last_price).run("analyst", "AAPL", ADA))


def test_it_tells_what_it_does():
    """
    Steps, figures and text are events of AG-UI, between start and end of the run, tool calls paired.
    """

    async def play():
        return [event async for event in agents().stream("analyst", "AAPL", ADA)]

    events = asyncio.run(play())
    as_agui(events)
    types = [event.type for event in events]

    assert types[0] == "RUN_STARTED"
    assert types[-5:] == [
        "STATE_SNAPSHOT",
        "TEXT_MESSAGE_START",
        "TEXT_MESSAGE_CONTENT",
        "TEXT_MESSAGE_END",
        "RUN_FINISHED",
    ]
    assert types.count("TOOL_CALL_START") == types.count("TOOL_CALL_RESULT") == 3
    assert types.count("STEP_STARTED") == types.count("STEP_FINISHED") == 2
    text = next(event.payload["delta"] for event in events if event.type == "TEXT_MESSAGE_CONTENT")
    assert events[-1].payload["result"]["text"] == text
