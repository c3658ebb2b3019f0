"""One run of an agent: for whom, with which tools, and what it has told so far."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import msgspec

from hotplug.errors import HotplugError, ToolError
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
    from collections.abc import Mapping, Sequence

    from hotplug.agents._base import OfferedTool, ToolCaller
    from hotplug.agents._relay import Relay
    from hotplug.context import UserExecutionContext

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
        TOOL_CALL_RESULT,
        GAP,
    }
)


class AgentRun:
    """
    What an agent is given to work with: its user's *context*, the *tools* offered to that user, events.

    Methods may be called from any thread or event loop. After the run has ended nothing is told any more.
    """

    def __init__(
        self,
        agent: str,
        context: UserExecutionContext,
        relay: Relay,
        caller: ToolCaller | None = None,
        tools: Sequence[OfferedTool] = (),
    ) -> None:
        self.agent: Final = agent
        self.context: Final = context
        self.tools: Final = tuple(tools)
        self._relay = relay
        self._caller = caller
        self._lock = threading.Lock()  # what is told by several threads is told in one order
        self._running = False
        self._last = ""
        self._calling: dict[str, str] = {}
        self._cancelled = threading.Event()

    @property
    def run_id(self) -> str:
        """The run's own id, in every event of it."""
        return self.context.run_id

    @property
    def cancelled(self) -> bool:
        """Whether somebody wants the run to end."""
        return self._cancelled.is_set()

    def emit(self, type: str, payload: Mapping[str, Any] = NOTHING) -> str:  # noqa: A002 - the word of AG-UI
        """
        Tell the run's user that *type* happened (``CUSTOM``, ``STATE_SNAPSHOT`` …); the event's cursor.

        Raises `ValueError` for the types that the run itself tells (``RUN_…``, ``TOOL_CALL_…``).
        """
        if type in ITS_OWN:
            raise ValueError(f"{type} is told by the run itself; use CUSTOM or another type")
        plain = dict(payload)  # here, not under the lock: a mapping may be anybody's code
        with self._lock:
            cursor = self._say(type, plain)
        self._relay.deliver()
        return cursor

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
            self._end_call(call_id, self._said("content", answer))
            return answer
        finally:
            if error:
                self._end_call(call_id, {"error": error})

    # -- what the registry does with it --------------------------------------------------------------

    def started(self) -> None:
        """Tell that the run begins."""
        with self._lock:
            self._running = True
            self._say(RUN_STARTED, {"agent": self.agent})
        self._relay.deliver()

    def finished(self, result: object) -> None:
        """Tell how the run ended; nothing is told afterwards."""
        self._close(RUN_FINISHED, self._said("result", result))

    def failed(self, message: str, code: str) -> None:
        """Tell that the run came to no result; nothing is told afterwards."""
        self._close(RUN_ERROR, {"message": message, "code": code})

    def request_cancel(self) -> None:
        """Let the agent see that it should end."""
        self._cancelled.set()

    # -- telling -----------------------------------------------------------------------------------

    def _close(self, type_: str, payload: Mapping[str, Any]) -> None:
        with self._lock:
            for call_id, name in self._calling.items():
                self._say(TOOL_CALL_RESULT, _about(call_id, name) | {"error": "the run ended first"})
            self._say(type_, {"agent": self.agent, **payload})
            self._running = False
        self._relay.deliver()

    def _begin_call(self, call_id: str, name: str, arguments: Mapping[str, Any]) -> None:
        delta = self._said("delta", _as_text(arguments))
        with self._lock:
            if not self._running:
                raise ToolError(f"run {self.run_id} has ended: it calls no tools any more")
            self._calling[call_id] = name
            about = _about(call_id, name)
            self._say(TOOL_CALL_START, about)
            self._say(TOOL_CALL_ARGS, about | delta)
            self._say(TOOL_CALL_END, about)
        self._relay.deliver()

    def _end_call(self, call_id: str, outcome: Mapping[str, Any]) -> None:
        with self._lock:
            # If the run ended first, that has been told, and this goes unsaid.
            self._say(TOOL_CALL_RESULT, {**_about(call_id, self._calling.pop(call_id)), **outcome})
        self._relay.deliver()

    def _say(self, type_: str, payload: Mapping[str, Any]) -> str:
        if self._running:
            self._last = self._relay.put(self.context, type_, payload)
        return self._last

    def _said(self, key: str, value: object) -> dict[str, Any]:
        """*value* under *key*, or why it cannot be told: that a run ended matters more than with what."""
        why = self._relay.hub.refusal({key: value})
        return {key: None, "note": why} if why else {key: value}


def _about(call_id: str, name: str) -> dict[str, Any]:
    return {"tool_call_id": call_id, "tool_call_name": name}


def _as_text(arguments: Mapping[str, Any]) -> str:
    try:
        return msgspec.json.encode(arguments).decode()
    except (TypeError, ValueError) as error:
        return f"(no JSON: {error})"


def _safe_text(error: Exception) -> str:
    """What a user may read of *error*: hotplug's own texts, of others no more than their name."""
    return str(error) if isinstance(error, HotplugError) else type(error).__name__
