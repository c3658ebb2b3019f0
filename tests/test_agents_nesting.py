"""Agents that run agents: each run is its user's, has an id of its own, and knows the one around it."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest

from acting import ADA, BOB, Doing, agents_doing, played, types, until
from agui import as_agui
from hotplug.agents import AgentRegistry, AgentRun
from hotplug.agents._relay import Relay
from hotplug.context import UserExecutionContext
from hotplug.errors import InvalidContextError, NotRegisteredError, PluginError, PluginTimeoutError, ToolError
from hotplug.events import EventHub
from hotplug.tools import ToolRegistry, tool


def outer_and_inner(outer, inner, **options) -> AgentRegistry:
    """An agent ``doing``, and another one ``inner``."""
    agents = agents_doing(outer, **options)
    agents.register_factory("inner", lambda _: Doing(inner))
    return agents


async def tell(task, run):
    """An agent that answers with its context."""
    return run.context


def test_a_run_inside_a_run_is_its_child():
    """
    A nested run is of the same user and conversation, has an id of its own and its parent's, a level deeper.
    """
    contexts = []

    async def outer(task, run):
        contexts.extend((run.context, await run.run_agent("inner", "task")))
        return "done"

    events, result = played(outer_and_inner(outer, tell))
    parent, child = contexts

    assert result == "done"
    assert (child.user_id, child.thread_id) == ("ada", "talk")
    assert child.run_id not in (parent.run_id, ADA.run_id)
    assert child.metadata["parent_run_id"] == parent.run_id
    assert (parent.depth, child.depth) == (0, 1)
    assert types(events) == ["RUN_STARTED", "RUN_STARTED", "RUN_FINISHED", "RUN_FINISHED"]
    assert [event.run_id == child.run_id for event in events] == [False, True, True, False]


def test_ag_ui_sees_the_parent():
    """
    RUN_STARTED of a nested run names its parent as AG-UI does, that of any other run names none.
    """

    async def outer(task, run):
        await run.run_agent("inner", "task")

    events, _ = played(outer_and_inner(outer, tell))
    around, inside = as_agui(events)[:2]

    assert around.parent_run_id is None
    assert inside.parent_run_id == around.run_id


@pytest.mark.parametrize("how", ["its context", "a context of its own", "a thread without context"])
def test_however_it_is_asked_for_it_is_a_child(how):
    """
    An agent that reaches the registry itself runs a child of its own run, too.
    """

    async def outer(task, run):
        if how == "its context":
            return run.run_id, await agents.run("inner", None, run.context)
        if how == "a context of its own":
            return run.run_id, await agents.run("inner", None, UserExecutionContext("ada"))
        found = []

        def elsewhere() -> None:
            found.append(asyncio.run(agents.run("inner", None, run.context)))

        thread = threading.Thread(target=elsewhere)
        thread.start()
        await until(lambda: not thread.is_alive())
        return run.run_id, found[0]

    agents = outer_and_inner(outer, tell)
    _, (parent_id, child) = played(agents)

    assert child.metadata["parent_run_id"] == parent_id
    assert (child.depth, child.thread_id) == (1, "talk")


@pytest.mark.parametrize("inside", ["agent", "tool"])
def test_it_cannot_be_another_users(inside):
    """
    Inside a run, or a tool's call, of one user nothing is run for another one: no event comes to him.
    """
    refused = []

    async def attempt() -> str:
        with pytest.raises(InvalidContextError, match="'ada' nothing is run for 'bob'"):
            await agents.run("inner", None, BOB)
        with pytest.raises(InvalidContextError):
            async for _ in agents.stream("inner", None, BOB):
                pass
        refused.append(True)
        return "refused"

    @tool(read_only=True)
    async def sneak() -> str:
        return await attempt()

    async def outer(task, run):
        return await (attempt() if inside == "agent" else run.call_tool("sneak"))

    agents = outer_and_inner(outer, tell, tools=[sneak])
    with agents.events.open(BOB) as cursor:
        assert played(agents)[1] == "refused"
        assert cursor.poll() == []
    assert refused == [True]


@pytest.mark.parametrize("how", ["run_agent", "a context of its own"])
def test_agents_that_run_each_other_for_ever_are_stopped(how):
    """
    Nesting ends ten levels deep with an error that says so, and every run of the chain has its end.
    """

    async def outer(task, run):
        if how == "run_agent":
            return await run.run_agent("doing", task)
        return await agents.run("doing", task, UserExecutionContext("ada"))

    agents = agents_doing(outer)
    events, result = played(agents)

    assert isinstance(result, PluginError)
    assert types(events) == ["RUN_STARTED"] * 11 + ["RUN_ERROR"] * 11
    assert "10 deep" in events[11].payload["message"]


def test_an_inner_run_that_fails_is_the_outer_ones_to_judge():
    """
    What a nested run ends with is raised in the agent that asked for it.
    """

    async def inner(task, run):
        if task == "hang":
            await asyncio.Event().wait()
        raise RuntimeError("the secret")

    async def outer(task, run):
        with pytest.raises(PluginError):
            await run.run_agent("inner", "fail")
        with pytest.raises(PluginTimeoutError):
            await run.run_agent("inner", "hang", timeout=0.01)
        with pytest.raises(NotRegisteredError):
            await run.run_agent("iner", "fail")
        return "done"

    events, result = played(outer_and_inner(outer, inner))

    assert result == "done"
    assert types(events) == ["RUN_STARTED", *["RUN_STARTED", "RUN_ERROR"] * 2, "RUN_FINISHED"]


def test_cancelling_the_outer_run_cancels_the_inner():
    """
    A run that is awaited by a cancelled one ends first, with an error of its own.
    """

    async def inner(task, run):
        assert agents.cancel(run.context.metadata["parent_run_id"])
        await asyncio.Event().wait()

    async def outer(task, run):
        await run.run_agent("inner", None)

    agents = outer_and_inner(outer, inner)
    events, result = played(agents)

    assert result.reason == "cancelled"
    assert types(events) == ["RUN_STARTED", "RUN_STARTED", "RUN_ERROR", "RUN_ERROR"]
    assert events[1].run_id == events[2].run_id


def test_inside_a_session_the_session_is_asked():
    """
    A nested run is given what lives in the session that the outer one was asked for in.
    """
    asked = []

    async def outer(task, run):
        return await run.run_agent("inner", None)

    def resident(key, context):
        asked.append((key, context is ADA))
        return contextlib.nullcontext(Doing(tell)) if key == "inner" else None

    agents = agents_doing(outer)
    agents.register_factory("inner", lambda _: pytest.fail("the session has one"))
    agents.resident = resident
    played(agents)

    assert asked == [("doing", True), ("inner", True)]


def test_a_run_that_is_over_runs_nothing():
    """
    What an agent left behind can run no agents and call no tools when the run has ended.
    """
    runs = []

    async def outer(task, run):
        runs.append(run)

    agents = outer_and_inner(outer, tell)
    played(agents)
    [run] = runs

    with pytest.raises(PluginError, match="has ended"):
        asyncio.run(run.run_agent("inner", None))
    with pytest.raises(ToolError, match="has ended"):
        asyncio.run(run.call_tool("add", a=1, b=2))


def test_a_run_by_itself_runs_no_agents():
    """
    Where nobody can run agents, asking for one says so.
    """
    run = AgentRun("alone", ADA, Relay(EventHub()))

    with pytest.raises(PluginError, match="cannot run other agents"):
        asyncio.run(run.run_agent("inner", None))


def test_a_tool_may_run_an_agent():
    """
    A run asked for in a tool's call is the child of the run whose call it is.
    """

    @tool(read_only=True)
    async def ask() -> str:
        child = await agents.run("inner", None, UserExecutionContext("ada"))
        return child.metadata["parent_run_id"]

    async def outer(task, run):
        return run.run_id == await run.call_tool("ask")

    agents = outer_and_inner(outer, tell, tools=[ask])

    assert played(agents)[1] is True


def test_the_next_run_of_a_task_is_no_child():
    """
    One run after the other, or beside it, with one context: none is inside of the other.
    """

    async def work(task, run):
        await asyncio.sleep(0)
        return run.context

    agents = agents_doing(work)

    async def world():
        first = await agents.run("doing", None, ADA)
        return [first, *await asyncio.gather(*(agents.run("doing", None, ADA) for _ in range(3)))]

    contexts = asyncio.run(world())
    assert {context.depth for context in contexts} == {0}
    assert len({context.run_id for context in contexts}) == 4
    assert isinstance(agents._caller, ToolRegistry)
