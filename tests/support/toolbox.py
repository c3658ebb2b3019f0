"""A few tools, and how tests call them."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass

from hotplug.context import UserExecutionContext
from hotplug.tools import FunctionTool, Tool, ToolRegistry, tool

ADA = UserExecutionContext("ada")
BOB = UserExecutionContext("bob")


@dataclass
class Point:
    x: int
    y: int = 0


@tool(read_only=True)
def add(a: int, b: int = 2) -> int:
    """
    Add two numbers.

    Args:
        a: The first.
    """
    return a + b


@tool(read_only=True)
def whoami(context: UserExecutionContext, greeting: str = "hi") -> str:
    """Say who asks."""
    return f"{greeting} {context.user_id}"


@tool
def wipe(what: str) -> str:
    """Wipe something."""
    return f"wiped {what}"


def registry(*tools: Tool, offer: object = True) -> ToolRegistry:
    made = ToolRegistry()
    for each in tools:
        made.register(each.name, each, metadata={"offer": offer})
    return made


def call(tools: ToolRegistry, name: str, arguments=None, context=ADA, **options):
    return asyncio.run(asyncio.wait_for(tools.call(name, arguments or {}, context, **options), 20))


def reading(function) -> FunctionTool:
    return tool(read_only=True)(function)


def join_calls() -> None:
    """Wait until no thread of a tool is left."""
    for thread in threading.enumerate():
        if thread.name == "hotplug call":
            thread.join(10)


async def until(condition) -> None:
    """Give others their turn until *condition* is true."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0)
