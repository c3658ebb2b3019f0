"""One user's desk: the tools offered to it, its calls, and everybody who must hear when the tools change."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from typing import TYPE_CHECKING, Any, Final

from mcp import types

from hotplug import UserExecutionContext
from hotplug.errors import close_match
from hotplug.registry import run_in_thread
from hotplug_mcp._answers import Answer, Question, failure, late, refusal, success, untold
from hotplug_mcp._pending import Pending

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from hotplug.tools import Approval, Export, Tool, ToolRegistry

__all__ = ["Desk", "Seat"]

log: Final = logging.getLogger("hotplug.mcp")

MOST_CALLS: Final = 256  # of one user at once
LONGEST_QUESTION: Final = 8_000  # characters; what cannot be read as a whole cannot be approved


class Seat:
    """Where one connected client waits for the tools to change; changes that nobody fetched are one."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Say that they have changed."""
        self._rung.set()

    async def changed(self) -> None:
        """Wait until they have, since the last time."""
        await self._rung.wait()
        self._rung.clear()


class Desk:
    """What *user* may do with *tools*. Lives on one event loop."""

    def __init__(self, tools: ToolRegistry, user: str) -> None:
        self.user: Final = user
        self.pending: Final = Pending()
        self._tools = tools
        self._looking = asyncio.Lock()
        self._export: Export | None = None
        self._described: tuple[types.Tool, ...] = ()
        self._seats: set[Seat] = set()
        self._calls = 0
        self._idle = asyncio.Event()
        self._idle.set()

    # -- what there is -----------------------------------------------------------------------------

    async def look(self) -> tuple[types.Tool, ...]:
        """The tools as they are offered now; the seats are rung if they were others before."""
        async with self._looking:
            export = await run_in_thread(self._tools.exported, "mcp", self._context())
            before, self._export = self._export, export
            if before is None or before.descriptions != export.descriptions:
                self._described = tuple(_described(export.descriptions))
                self._say(before, export)
            if before is not None and before.descriptions != export.descriptions:
                for seat in self._seats:
                    seat.ring()
        return self._described

    def _say(self, before: Export | None, export: Export) -> None:
        known = () if before is None else before.problems
        for problem in export.problems:
            if problem not in known:
                log.warning("%s", problem)

    def schema_of(self, name: str) -> Mapping[str, Any] | None:
        """The schema of the arguments of *name*, as it was offered last."""
        tool = None if self._export is None else self._export.tools.get(name)
        return None if tool is None else tool.input_schema

    @contextlib.contextmanager
    def seat(self) -> Generator[Seat]:
        """A place to wait for changes, for as long as a client is there."""
        seat = Seat()
        self._seats.add(seat)
        try:
            yield seat
        finally:
            self._seats.remove(seat)

    @property
    def seats(self) -> int:
        """How many clients are told of changes."""
        return len(self._seats)

    # -- calls -------------------------------------------------------------------------------------

    async def begin(self, name: str, arguments: Mapping[str, Any]) -> Answer | Question:
        """Call the tool *name*; where that needs somebody's yes, the question to ask for it."""
        if self._calls >= MOST_CALLS:
            return refusal(f"{self._calls} calls are under way already; this one was not made")
        with self._busy():
            export = self._export
            if export is None or name not in export.tools:  # it may have come a moment ago
                await self.look()
                export = self._export
            if export is None or name not in export.tools:
                return await self._unknown(name, () if export is None else tuple(export.tools))
            tool = export.tools[name]
            if tool.destructive:
                return await self._question(tool, arguments)
            return await self._call(tool.name, arguments, None)

    async def finish(self, question: Question, arguments: Mapping[str, Any] | None = None) -> Answer:
        """
        The call that was asked about, now that somebody said yes to it.

        With *arguments*, these are the client's, said again: the approval holds for no others.
        """
        given = question.arguments if arguments is None else arguments
        with self._busy():
            return await self._call(question.key, given, question.approval)

    async def idle(self, limit: float) -> bool:
        """Wait until no call is under way, *limit* seconds at most; whether that is so."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await self._idle.wait()
        return self._idle.is_set()

    @contextlib.contextmanager
    def _busy(self) -> Generator[None]:
        self._calls += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._calls -= 1
            if not self._calls:
                self._idle.set()

    async def _call(self, key: str, arguments: Mapping[str, Any], approval: Approval | None) -> Answer:
        export = self._export  # as the client knows it: what comes meanwhile has another schema
        try:
            result = await self._tools.call(key, arguments, self._context(), approval=approval)
        except Exception as error:  # noqa: BLE001 - the border to the client: it gets what is safe
            return failure(key, error)
        try:
            answer = success(result, _structured(export, key, result))
        except Exception as error:  # noqa: BLE001 - the result is the plugin's
            return untold(key, error)
        if _promise(self._export, key) not in {None, _promise(export, key)}:
            return late(key, answer)
        return answer

    async def _question(self, tool: Tool, arguments: Mapping[str, Any]) -> Answer | Question:
        # Made before the question is put: the yes is to the code and the arguments of this moment.
        try:
            approval = await run_in_thread(self._tools.approve, tool.name, arguments, self._context())
        except Exception as error:  # noqa: BLE001 - the border to the client
            return failure(tool.name, error)
        shown = _readable(json.dumps(arguments, indent=2, ensure_ascii=False))
        if len(shown) > LONGEST_QUESTION:
            return refusal(
                f"tool {tool.name!r} is destructive, and a call with more than {LONGEST_QUESTION} characters "
                "of arguments cannot be shown to the user for approval"
            )
        text = (
            f"Approve this one call of the destructive tool {_readable(tool.name)!r} "
            f"for {_readable(self.user)!r}?\n\n{shown}"
        )
        return Question(tool.name, dict(arguments), approval, text)

    async def _unknown(self, name: str, known: Sequence[str]) -> Answer:
        if name in self._tools:
            return await self._call(name, {}, None)  # it says why this user may not
        return refusal(f"there is no tool {name!r} ({close_match(name, known)})")

    def _context(self) -> UserExecutionContext:
        return UserExecutionContext(self.user)


def _structured(export: Export | None, key: str, result: object) -> Mapping[str, Any] | None:
    """The *result* of the tool *key* as its *export* promised it, where it did."""
    name = _name(export, key)
    return export.structured(name, result) if export and name else None


def _promise(export: Export | None, key: str) -> str | None:
    """What an *export* says that the tool *key* answers with, as a text; None if it is not among them."""
    name = _name(export, key)
    return json.dumps(export.tools[name].output_schema) if export and name else None


def _name(export: Export | None, key: str) -> str:
    tools = export.tools.items() if export else ()
    return next((name for name, tool in tools if tool.name == key), "")


def _described(descriptions: Sequence[Mapping[str, Any]]) -> Generator[types.Tool]:
    """The descriptions that the protocol can carry: one that it cannot hides no other."""
    for description in descriptions:
        try:
            tool = types.Tool.model_validate(description)
            tool.model_dump_json()
        except (ValueError, TypeError) as error:
            log.warning("tool %s is not offered, MCP cannot say its schema: %s", description["name"], error)
        else:
            yield tool


def _readable(text: str) -> str:
    r"""The same, with what cannot be seen, or turns the rest around, as ``\u…``."""
    return "".join(char if char == "\n" or char.isprintable() else f"\\u{ord(char):04x}" for char in text)
