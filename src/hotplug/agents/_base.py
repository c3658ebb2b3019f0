"""What an agent is, and what it needs to know of tools."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hotplug.agents._run import AgentRun
    from hotplug.context import UserExecutionContext

__all__ = ["BaseAgent", "OfferedTool", "ToolCaller"]


class BaseAgent(ABC):
    """
    Something that works on a task for a user. An instance belongs to one user and is never shared.

    If it has ``aclose()`` or ``close()``, that is called when its run (or session) is over.
    """

    name: str = ""
    description: str = ""

    @abstractmethod
    async def run(self, task: object, run: AgentRun) -> object:
        """
        Work on *task* and return the answer, which JSON should be able to say.

        Cancellation (``run.cancelled``, `asyncio.CancelledError`) asks to clean up and end within seconds.
        """


class OfferedTool(Protocol):
    """What an agent sees of a tool: what to call it by, what it does, the JSON Schema of its arguments."""

    name: str
    description: str
    input_schema: Mapping[str, Any]


class ToolCaller(Protocol):
    """Who calls tools on behalf of a user: the host's tool registry, for instance."""

    def offered(self, context: UserExecutionContext, /) -> Sequence[OfferedTool]:
        """The tools that the user may call."""
        ...

    async def call(self, name: str, arguments: Mapping[str, Any], context: UserExecutionContext, /) -> object:
        """What the tool answers; raises a `ToolError` otherwise."""
