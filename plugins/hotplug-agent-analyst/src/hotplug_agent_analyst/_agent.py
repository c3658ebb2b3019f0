"""The agent: finds the symbol in its task, asks the tools, and does the arithmetic."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import uuid4

from hotplug.agents import BaseAgent
from hotplug.errors import InvalidArgumentsError
from hotplug_agent_analyst._figures import Day, Figures, figures_of
from hotplug_agent_analyst._text import text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hotplug.agents import AgentRun

__all__ = ["Analyst"]

WHOLE_PERIOD: Final = 100_000  # bars: who says where to start wants them all
KNOWN: Final = frozenset({"symbol", "start", "end", "limit"})


class Analyst(BaseAgent):
    """
    Answers with figures: return, volatility, drawdown, trend, best and worst day. No language model.

    The task is a symbol, a sentence with one in it, or ``{"symbol": …, "start": …, "end": …, "limit": …}``:
    days as ISO dates, *limit* bars (about a year of them if neither it nor *start* is given). Needs the
    tools ``list_symbols``, ``history`` and ``last_price``. *fast* and *slow* are the lengths, in days, of
    the moving averages that make the trend.
    """

    name = "analyst"
    description = "Answers questions about a symbol with figures from its price history."

    def __init__(self, *, fast: int = 20, slow: int = 50) -> None:
        if not 0 < fast < slow:
            raise ValueError(f"fast must be positive and less than slow, not {fast} and {slow}")
        self._fast = fast
        self._slow = slow

    async def run(self, task: object, run: AgentRun) -> dict[str, Any]:
        """``{"text": …, "figures": {…}}``; the text is told as a message, the figures as a state."""
        run.emit("STEP_STARTED", {"step_name": "understand"})
        question = _question(task, await _symbols(run))
        run.emit("STEP_FINISHED", {"step_name": "understand"})
        run.emit("STEP_STARTED", {"step_name": "look"})
        days = await _days(run, question)
        newest = await _newest(run, question["symbol"])
        run.emit("STEP_FINISHED", {"step_name": "look"})
        figures = figures_of(days, fast=self._fast, slow=self._slow)
        answer = {
            "text": text_of(question["symbol"], figures, newest),
            "figures": _plain(question["symbol"], figures),
        }
        _tell(run, answer)
        return answer


def _question(task: object, symbols: Sequence[str]) -> dict[str, Any]:
    """The arguments for ``history`` that *task* comes to."""
    if isinstance(task, str):
        return {"symbol": _symbol_in(task, symbols)}
    if not isinstance(task, Mapping):
        raise InvalidArgumentsError(f"a task is a text or a mapping, not a {type(task).__name__}")
    given = {
        str(key): value for key, value in cast("Mapping[object, Any]", task).items() if value is not None
    }
    if unknown := sorted(given.keys() - KNOWN):
        raise InvalidArgumentsError(f"a task has no {unknown[0]!r} (known: {', '.join(sorted(KNOWN))})")
    if "start" in given:
        given.setdefault("limit", WHOLE_PERIOD)
    return given | {"symbol": _symbol_in(str(given.get("symbol", "")), symbols)}


def _symbol_in(text: str, symbols: Sequence[str]) -> str:
    """The first word of *text* that is a symbol; as it is written, or else in capitals."""
    words: list[str] = [word.strip(".-") for word in re.findall(r"[\w.\-]+", text)]
    for word in [*words, *(word.upper() for word in words)]:
        if word in symbols:
            return word
    raise InvalidArgumentsError(f"the task names none of the symbols known here: {', '.join(symbols)}")


async def _symbols(run: AgentRun) -> list[str]:
    return [str(symbol) for symbol in cast("list[object]", await run.call_tool("list_symbols"))]


async def _days(run: AgentRun, question: Mapping[str, Any]) -> list[Day]:
    bars = cast("list[Mapping[str, Any]]", await run.call_tool("history", **question))
    if not bars:
        raise InvalidArgumentsError(f"there is no bar of {question['symbol']} in that period")
    return [Day(_date(bar["date"]), Decimal(str(bar["close"]))) for bar in bars]


async def _newest(run: AgentRun, symbol: str) -> Day:
    price = cast("Mapping[str, Any]", await run.call_tool("last_price", symbol=symbol))
    return Day(_date(price["date"]), Decimal(str(price["close"])))


def _date(value: object) -> date:
    return value if isinstance(value, date) else date.fromisoformat(str(value))


def _plain(symbol: str, figures: Figures) -> dict[str, Any]:
    """The figures as JSON says them: days as ISO dates, prices as decimal strings."""
    return {"symbol": symbol} | cast("dict[str, Any]", _sayable(asdict(figures)))


def _sayable(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _sayable(each) for key, each in cast("Mapping[object, object]", value).items()}
    if isinstance(value, (tuple, list)):
        return [_sayable(each) for each in cast("Sequence[object]", value)]
    return str(value) if isinstance(value, (date, Decimal)) else value


def _tell(run: AgentRun, answer: Mapping[str, Any]) -> None:
    message = uuid4().hex
    run.emit("STATE_SNAPSHOT", {"snapshot": answer["figures"]})
    run.emit("TEXT_MESSAGE_START", {"message_id": message, "role": "assistant"})
    run.emit("TEXT_MESSAGE_CONTENT", {"message_id": message, "delta": answer["text"]})
    run.emit("TEXT_MESSAGE_END", {"message_id": message})
