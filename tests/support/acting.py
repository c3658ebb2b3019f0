"""Agents that do what a test says, and what their runs told."""

from __future__ import annotations

import asyncio

from agui import as_agui
from hotplug.agents import AgentRegistry, AgentRun, BaseAgent
from hotplug.context import UserExecutionContext
from hotplug.errors import PluginError
from hotplug.events import EventHub
from hotplug.tools import ToolRegistry, tool

ADA = UserExecutionContext("ada", thread_id="talk")
BOB = UserExecutionContext("bob")
FRAME = ["TOOL_CALL_START", "TOOL_CALL_ARGS", "TOOL_CALL_END", "TOOL_CALL_RESULT"]


@tool(read_only=True)
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool(read_only=True)
def broken() -> None:
    """Fail."""
    raise RuntimeError("the secret")


class Doing(BaseAgent):
    """An agent that does what the test says."""

    name = "doing"

    def __init__(self, work) -> None:
        self._work = work

    async def run(self, task: object, run: AgentRun) -> object:
        return await self._work(task, run)


def agents_doing(work, *, tools=(add, broken)) -> AgentRegistry:
    agents, callable_tools = AgentRegistry(), ToolRegistry()
    for each in tools:
        callable_tools.register(each.name, each, metadata={"offer": True})
    agents.bind(events=EventHub(), tools=callable_tools)
    agents.register_factory("doing", lambda _: Doing(work))
    return agents


def played(agents: AgentRegistry, task: object = None, **options):
    """The events of one run, each as AG-UI would have it, and its result or error."""

    async def play():
        with agents.events.open(ADA) as cursor:
            try:
                result = await agents.run("doing", task, ADA, **options)
            except PluginError as error:
                result = error
            events = cursor.poll(10_000)
            as_agui(events)
            return events, result

    return asyncio.run(asyncio.wait_for(play(), 20))


def types(events) -> list[str]:
    return [event.type for event in events]


async def until(condition) -> None:
    """Give others their turn until *condition* is true."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0)
