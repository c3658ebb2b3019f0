"""One run of an agent: for whom, with which tools, and what it has told so far."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import msgspec

from hotplug.errors import HotplugError, PluginError, ToolError
from hotplug.events._names import (
    GAP,
    NOTHING,
    RUN_ERROR,
    RUN_FINISHED,
    RUN_STARTED,
    TOOL_CALL_ARGS,
    TOOL_CALL_END,
    TOOL_CALL_RESULT,
    TOOL_CALL_START,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from typing import TypeAlias

    from hotplug.agents._base import OfferedTool, ToolCaller
    from hotplug.agents._relay import Relay
    from hotplug.context import UserExecutionContext

    Runner: TypeAlias = Callable[[str, object, UserExecutionContext, float | None], Awaitable[object]]

__all__ = ["AgentRun"]

# What the run itself tells; from an agent these would break the promise that events are complete.
ITS_OWN: Final = frozenset(
    {
        RUN_STARTED,
        RUN_FINISHED,
        RUN_ERROR,
        TOOL_CALL_START,
        TOOL_CALL_ARGS,
        TOOL_CALL_END,
        "TOOL_CALL_CHUNK",
        TOOL_CALL_RESULT,
        GAP,
    }
)
PARENT: Final = "parent_run_id"


class AgentRun:
    """
    What an agent is given to work with: its user's *context*, the *tools* offered to that user, events.

    Methods may be called from any thread or event loop. After the run has ended nothing is told any more.
    A run inside another one (`run_agent`) has a context of its own, whose metadata says ``parent_run_id``.
    """

    def __init__(
        self,
        agent: str,
        context: UserExecutionContext,
        relay: Relay,
        caller: ToolCaller | None = None,
        runner: Runner | None = None,
    ) -> None:
        self.agent: Final = agent
        self.context: Final = context
        self._tools: tuple[OfferedTool, ...] = ()
        self._relay = relay
        self._caller = caller
        self._runner = runner
        # What is told by several threads is told in one order; a finalizer may tell something in the midst.
        self._lock = threading.RLock()
        self._running = False
        self._last = ""
        self._calling: dict[str, str] = {}
        self._cancelled = threading.Event()

    @property
    def run_id(self) -> str:
        """The run's own id, in every event of it."""
        return self.context.run_id

    @property
    def tools(self) -> tuple[OfferedTool, ...]:
        """The tools that the run's user may call."""
        return self._tools

    @property
    def cancelled(self) -> bool:
        """Whether somebody wants the run to end."""
        return self._cancelled.is_set()

    def emit(self, type: str, payload: Mapping[str, Any] = NOTHING) -> str:  # noqa: A002 - the word of AG-UI
        """
        Tell the run's user that *type* happened (``CUSTOM``, ``STATE_SNAPSHOT`` …); the event's cursor.

        Raises `ValueError` for the types that the run itself tells (``RUN_…``, ``TOOL_CALL_…``), and
        `TypeError` where the type is no text, or the payload no mapping.
        """
        if not (isinstance(type, str) and type):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"an event's type is a text such as 'CUSTOM', not {type!r}")
        if type in ITS_OWN:
            raise ValueError(f"{type} is told by the run itself; use CUSTOM or another type")
        try:
            plain = dict(payload)  # here, not under the lock: a mapping may be anybody's code
        except (TypeError, ValueError) as error:
            raise TypeError(f"the payload of {type} is a mapping, not {_name_of(payload)}") from error
        with self._lock:
            return self._say(type, plain)

    async def call_tool(self, name: str, /, **arguments: Any) -> object:
        """What the tool *name* answers, called as the run's user. Raises `ToolError` and its kinds."""
        call_id = uuid4().hex
        self._begin_call(call_id, name, arguments)
        error = "cancelled"
        try:
            if self._caller is None:
                raise ToolError(f"there is no tool {name!r}: this run has no tools at all")
            answer = await self._caller.call(name, arguments, self.context)
        except Exception as failure:
            error = _safe_text(failure)
            raise
        else:
            error = ""
            self._end_call(call_id, self._said("content", _as_text(answer), instead=""))
            return answer
        finally:
            if error:
                self._end_call(call_id, {"content": error, "error": error})

    async def run_agent(self, name: str, task: object, /, *, timeout: float | None = None) -> object:  # noqa: ASYNC109
        """
        What another agent answers to *task*: in a run of its own for the same user, inside of this one.

        Raises what ``AgentRegistry.run`` raises, and `PluginError` when this run has ended.
        """
        if self._runner is None or not self._running:
            why = "has ended" if self._runner is not None else "cannot run other agents"
            raise PluginError(f"run {self.run_id} of agent {self.agent!r} {why}")
        return await self._runner(name, task, self.context, timeout)

    # -- what the registry does with it --------------------------------------------------------------

    def started(self) -> None:
        """Tell that the run begins."""
        with self._lock:
            self._running = True
            parent = self.context.metadata.get(PARENT)
            self._say(RUN_STARTED, self._about_it() | ({PARENT: parent} if parent else {}))

    def offer(self, tools: Sequence[OfferedTool]) -> None:
        """These are the tools that its user may call."""
        self._tools = tuple(tools)

    def finished(self, result: object) -> None:
        """Tell how the run ended; nothing is told afterwards."""
        self._close(RUN_FINISHED, self._about_it() | self._said("result", result))

    def failed(self, message: str, code: str) -> None:
        """Tell that the run came to no result; nothing is told afterwards."""
        self._close(RUN_ERROR, {"agent": self.agent, "message": message, "code": code})

    def request_cancel(self) -> None:
        """Let the agent see that it should end."""
        self._cancelled.set()

    # -- telling -----------------------------------------------------------------------------------

    def _close(self, type_: str, payload: Mapping[str, Any]) -> None:
        with self._lock:
            why = "the run ended first"
            for call_id, name in self._calling.items():
                self._say(TOOL_CALL_RESULT, _result_of(call_id, name, {"content": why, "error": why}))
            self._say(type_, payload)
            self._running = False

    def _begin_call(self, call_id: str, name: str, arguments: Mapping[str, Any]) -> None:
        delta = self._said("delta", _as_json(arguments), instead="")
        with self._lock:
            if not self._running:
                raise ToolError(f"run {self.run_id} has ended: it calls no tools any more")
            self._calling[call_id] = name
            about = _about(call_id, name)
            self._say(TOOL_CALL_START, about)
            self._say(TOOL_CALL_ARGS, about | delta)
            self._say(TOOL_CALL_END, about)

    def _end_call(self, call_id: str, outcome: Mapping[str, Any]) -> None:
        with self._lock:
            # If the run ended first, that has been told, and this goes unsaid.
            self._say(TOOL_CALL_RESULT, _result_of(call_id, self._calling.pop(call_id), outcome))

    def _say(self, type_: str, payload: Mapping[str, Any]) -> str:
        if self._running:
            self._last = self._relay.put(self.context, type_, payload)
        return self._last

    def _said(self, key: str, value: object, *, instead: object = None) -> dict[str, Any]:
        """*value* under *key*, or why it cannot be told: that a run ended matters more than with what."""
        why = self._relay.hub.refusal({key: value})
        return {key: instead, "note": why} if why else {key: value}

    def _about_it(self) -> dict[str, Any]:
        """Which run it is. One outside of any conversation is a conversation of its own."""
        thread = self.context.thread_id or self.run_id
        return {"agent": self.agent, "thread_id": thread, "run_id": self.run_id}


def _about(call_id: str, name: str) -> dict[str, Any]:
    return {"tool_call_id": call_id, "tool_call_name": name}


def _result_of(call_id: str, name: str, outcome: Mapping[str, Any]) -> dict[str, Any]:
    """A result is a message of the conversation, which has an id of its own."""
    return {"message_id": f"result-{call_id}", **_about(call_id, name), **outcome}


def _as_text(answer: object) -> object:
    """An answer as a conversation has it: a text as it is, else as JSON; unchanged, if that cannot be."""
    if isinstance(answer, str):
        return answer
    try:
        return msgspec.json.encode(answer).decode()
    except (TypeError, ValueError):
        return answer


def _as_json(arguments: Mapping[str, Any]) -> str:
    try:
        return msgspec.json.encode(arguments).decode()
    except (TypeError, ValueError) as error:
        return f"(no JSON: {error})"


def _name_of(thing: object) -> str:
    return type(thing).__name__


def _safe_text(error: Exception) -> str:
    """What a user may read of *error*: hotplug's own texts, of others no more than their name."""
    return str(error) if isinstance(error, HotplugError) else type(error).__name__
