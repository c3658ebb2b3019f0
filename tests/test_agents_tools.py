"""Agents and tools: calls are made as the run's user, and told in pairs."""

from __future__ import annotations

import asyncio

import pytest

from acting import ADA, BOB, FRAME, Doing, add, agents_doing, broken, played, types, until
from hotplug.agents import AgentRegistry
from hotplug.errors import NotRegisteredError, ToolError
from hotplug.tools import ToolRegistry, tool


def test_tool_calls_are_told_in_pairs():
    """
    A call is START, ARGS, END and RESULT under one id, whether it succeeds or fails.
    """

    async def work(task, run):
        three = await run.call_tool("add", a=1, b=2)
        for name, arguments in (("broken", {}), ("add", {"a": "x"}), ("nowhere", {})):
            with pytest.raises((ToolError, NotRegisteredError)):
                await run.call_tool(name, **arguments)
        return three

    events, result = played(agents_doing(work))

    calls = [event for event in events if event.type.startswith("TOOL_CALL")]
    assert result == 3
    assert types(calls) == FRAME * 4
    for n in range(4):
        assert len({event.payload["tool_call_id"] for event in calls[4 * n : 4 * n + 4]}) == 1
    assert calls[1].payload["delta"] == '{"a":1,"b":2}'
    assert calls[3].payload["content"] == "3"
    assert "secret" not in str([dict(event.payload) for event in calls])
    assert all("error" in calls[n].payload for n in (7, 11, 15))


def test_an_agent_sees_the_tools_offered_to_its_user():
    """
    `run.tools` are those that the run's user may call, and no other user's.
    """

    async def work(task, run):
        return [each.name for each in run.tools]

    agents, tools = agents_doing(work), ToolRegistry()
    tools.register("add", add, metadata={"offer": ["ada"]})
    tools.register("broken", broken, metadata={"offer": ["bob"]})
    agents.bind(events=agents.events, tools=tools)

    assert asyncio.run(agents.run("doing", None, ADA)) == ["add"]
    assert asyncio.run(agents.run("doing", None, BOB)) == ["broken"]


def test_by_itself_a_registry_has_no_tools():
    """
    Without a host there are no tools, and calling one says so.
    """

    async def work(task, run):
        return await run.call_tool("add", a=1, b=2)

    agents = AgentRegistry()
    agents.register_factory("doing", lambda _: Doing(work))

    events, result = played(agents)

    assert "no tools at all" in str(result)
    assert types(events) == ["RUN_STARTED", *FRAME, "RUN_ERROR"]


def test_a_call_that_was_cut_off_has_a_result_too():
    """
    Where the run ends in the middle of a call, that call is told to have ended before the run is.
    """
    gate = asyncio.Event()

    @tool(read_only=True)
    async def hang() -> None:
        await gate.wait()

    async def work(task, run):
        await run.call_tool("hang")

    events, _ = played(agents_doing(work, tools=[hang]), timeout=0.02)

    assert types(events) == ["RUN_STARTED", *FRAME, "RUN_ERROR"]
    assert events[-2].payload["error"] == "cancelled"


def test_a_call_that_outlives_its_run_is_closed_with_it():
    """
    A task that the agent left behind in a call ends that call for the events, and can call nothing more.
    """
    gates = []
    left = []

    @tool(read_only=True)
    async def hang() -> str:
        gates.append(asyncio.Event())
        await gates[0].wait()
        return "late"

    async def in_background(run):
        assert await run.call_tool("hang") == "late"
        with pytest.raises(ToolError, match="has ended"):
            await run.call_tool("hang")

    async def work(task, run):
        left.append(asyncio.create_task(in_background(run)))
        await until(lambda: gates)
        return "early"

    agents = agents_doing(work, tools=[hang])

    async def world():
        with agents.events.open(ADA) as cursor:
            assert await agents.run("doing", None, ADA) == "early"
            gates[0].set()
            await left[0]
            return cursor.poll()

    events = asyncio.run(asyncio.wait_for(world(), 10))
    assert types(events) == ["RUN_STARTED", *FRAME, "RUN_FINISHED"]
    assert events[-2].payload["error"] == "the run ended first"


def test_arguments_and_answers_that_json_cannot_say_break_no_pair():
    """
    A call with such arguments, and a tool (not hotplug's own) with such an answer, are still four events.
    """

    class Caller:
        def offered(self, context, /):
            return ()

        async def call(self, name, arguments, context, /):
            return object()

    async def work(task, run):
        await run.call_tool("odd", x=object())

    agents = agents_doing(work)
    agents.bind(events=agents.events, tools=Caller())
    events, _ = played(agents)

    assert types(events) == ["RUN_STARTED", *FRAME, "RUN_FINISHED"]
    assert "no JSON" in events[2].payload["delta"]
    assert events[4].payload["content"] == ""
    assert "TypeError" in events[4].payload["note"]
