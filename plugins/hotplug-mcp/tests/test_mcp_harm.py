"""What a bad tool can do to who calls it, whichever way: directly, by an agent, and through MCP."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import threading
from collections import Counter
from typing import ClassVar

import pytest

from hotplug.agents import AgentRegistry, BaseAgent
from hotplug.errors import HotplugError, ToolError
from hotplug.events import EventHub
from hotplug.tools import Tool, ToolRegistry, tool
from hotplug_mcp._desk import MOST_CALLS, Desk
from hotplug_mcp._server import server_of
from mcp_clients import MODES, SOON, talking, text_of
from mcp_desks import ADA, SECRET, leak, leave, play, price, reading, unlucky, world, wrong
from toolbox import until

GATE = threading.Event()


@tool(read_only=True, timeout=0.05)
async def hang() -> str:
    await asyncio.Event().wait()


@tool(read_only=True, timeout=0.05)
def hang_in_a_thread() -> str:
    GATE.wait(SOON)


@reading
def half() -> str:
    return f"{SECRET}\ud800"


@reading
def infinite() -> float:
    return float("inf")


class Liar(Tool):
    """Promises an object."""

    name = "liar"
    read_only, destructive = True, False
    output_schema: ClassVar = {"type": "object"}

    async def call(self, arguments, context):
        return SECRET


class Stammerer(Liar):
    """Speaks in half characters."""

    name = "stammerer"

    async def call(self, arguments, context):
        raise ToolError("no \ud800 such")


class Asker(BaseAgent):
    async def run(self, task, run):
        name, arguments = task
        try:
            return await run.call_tool(name, **arguments)
        except ToolError as error:
            return f"error: {error}"


@pytest.fixture(autouse=True)
def _quiet(caplog):
    caplog.set_level(logging.CRITICAL, "hotplug")
    GATE.clear()
    yield
    GATE.set()
    for thread in threading.enumerate():
        if thread.name == "hotplug call":
            thread.join(SOON)


def without_incident(text):
    return re.sub(r"incident \w+", "incident", text)


async def directly(tools, name, arguments):
    try:
        return await tools.call(name, arguments, ADA)
    except HotplugError as error:
        return f"error: {error}"


async def by_agent(tools, name, arguments):
    """What the agent got; all that was told of its run is no secret either."""
    agents, hub = AgentRegistry(), EventHub()
    agents.register_factory("asker", lambda context: Asker())
    agents.bind(events=hub, tools=tools)
    events = hub.open(ADA)
    result = await agents.run("asker", (name, arguments), ADA)
    told = json.dumps([dict(event.payload) for event in events.poll()])
    assert SECRET not in told
    return result


async def through_mcp(tools, name, arguments):
    async with talking(server_of(Desk(tools, "ada"))) as talk:
        result = await talk.call(name, **arguments)
    assert SECRET not in str(result)
    return f"error: {text_of(result)}" if result.get("isError") else text_of(result)


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("price", {"symbol": 1}, "symbol"),
        ("price", {"symbol": "a", "sybmol": "b"}, "sybmol"),
        ("unlucky", {}, "no luck today"),
        ("leak", {}, "see the log, incident"),
        ("leave", {}, "see the log, incident"),
        ("wrong", {}, "see the log, incident"),
        ("half", {}, "see the log, incident"),
        ("infinite", {}, "see the log, incident"),
        ("hang", {}, "whether it took effect is unknown"),
        ("hang_in_a_thread", {}, "whether it took effect is unknown"),
    ],
)
def test_harm_ends_the_same_whoever_calls(name, arguments, says):
    """
    The same words, no secret among them, and the next call works.
    """
    tools = world(price, leak, leave, unlucky, wrong, half, infinite, hang, hang_in_a_thread).tools

    async def story():
        ends = []
        for way in (directly, by_agent, through_mcp):
            ends.append(await way(tools, name, arguments))
            assert "error" not in str(await way(tools, "price", {"symbol": "b"}))
        return ends

    direct, agents, clients = map(without_incident, play(story()))

    assert direct.startswith("error: ")
    assert says in direct
    assert SECRET not in direct
    assert agents == direct
    assert clients.removesuffix(" (it may be called again)") == direct


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("liar", "says"),
    [(Liar, "its answer cannot be told"), (Stammerer, r"no \ud800 such")],
    ids=["liar", "half"],
)
def test_what_the_line_cannot_carry_does_not_break_it(mode, liar, says):
    """
    A result that is not what was promised, and a text that no line carries: said so, and the session goes on.
    """
    here = world(liar(), price)

    async def story():
        async with talking(here.server, mode=mode) as talk:
            await talk.tools()
            return await talk.call(liar.name), await talk.call("price", symbol="b")

    failed, after = play(story())

    assert failed["isError"]
    assert says in text_of(failed)
    assert SECRET not in str(failed)
    assert not after.get("isError")


def test_a_hundred_hung_calls_of_one_client_are_nothing_to_another():
    """
    The calls of another user are answered meanwhile, and not one call more is made than there is room for.
    """
    begun = []

    @tool(read_only=True, timeout=None)
    def hold() -> str:
        begun.append(1)
        GATE.wait(SOON)
        return "held"

    tools = ToolRegistry()
    for each in (hold, price):
        tools.register(each.name, each, metadata={"offer": True})
    adas, bobs = Desk(tools, "ada"), Desk(tools, "bob")

    async def story():
        async with talking(server_of(adas)) as ada, talking(server_of(bobs)) as bob:
            calls = [asyncio.create_task(ada.call("hold")) for _ in range(MOST_CALLS + 10)]
            await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            await until(lambda: len(begun) == 32)
            answers = await asyncio.gather(*(bob.call("price", symbol=str(n)) for n in range(100)))
            held = len(begun), sum(not each.done() for each in calls)
            GATE.set()
            ends = Counter(text_of(each) for each in await asyncio.gather(*calls))
            return held, [each["structuredContent"]["symbol"] for each in answers], ends

    (threads, waiting), symbols, ends = play(story())

    assert symbols == [str(n) for n in range(100)]
    assert threads == 32
    assert waiting >= MOST_CALLS
    assert ends["held"] == MOST_CALLS
    assert ends[f"{MOST_CALLS} calls are under way already; this one was not made"] == 10
