"""Agents that are reloaded while they run."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from acting import ADA, Doing, agents_doing, played
from hotplug.agents import AgentRegistry
from hotplug.errors import NotRegisteredError
from hotplug.events import EventHub
from hotplug.registry import Retirement, Shelf


class Reloading:
    """Agents on a shelf, of which a new generation can be published; *over* notes the end of the old one."""

    def __init__(self, work) -> None:
        self.shelf, self.agents = Shelf(), AgentRegistry()
        self.over: list[str] = []
        self.said: list[str] = []
        change = self.shelf.change()
        self.old = change.put(self.agents, "doing", factory=lambda _: Doing(work), generation=1)
        change.publish()

    def reload(self) -> None:
        async def new(task, run):
            return "new"

        change = self.shelf.change()
        change.swap(self.old, factory=lambda _: Doing(new), generation=2)
        change.publish()
        retirement = Retirement([self.old], lambda: self.over.append("over"))
        self.said.append("free" if retirement.begin() else "own" if retirement.is_held_here else "others'")


def test_a_run_stays_with_its_generation():
    """
    A run answers with the agent that stood when it was asked for, though another does before it is made.
    """

    async def work(task, run):
        assert reloading.over == []
        return "old"

    reloading = Reloading(work)

    class Tools:
        def offered(self, context):
            if not reloading.said:
                reloading.reload()
            return ()

    reloading.agents.bind(events=EventHub(), tools=Tools())

    assert played(reloading.agents)[1] == "old"
    assert (reloading.said, reloading.over) == (["own"], ["over"])
    assert played(reloading.agents)[1] == "new"


def test_an_agent_that_reloads_itself():
    """
    Inside its own run an agent's retirement would wait for itself, and says so; it ends with the run.
    """

    async def work(task, run):
        reloading.reload()
        assert reloading.over == []
        return "old"

    reloading = Reloading(work)

    assert played(reloading.agents)[1] == "old"
    assert (reloading.said, reloading.over) == (["own"], ["over"])


@pytest.mark.parametrize("how", ["read to its end", "left early"])
def test_a_stream_stays_with_its_generation(how):
    """
    Who reads a stream holds its agent until the end of it, or until leaving it.
    """

    async def work(task, run):
        run.emit("CUSTOM")
        await asyncio.sleep(0 if how == "read to its end" else 60)
        return "old"

    reloading = Reloading(work)

    async def read() -> list[str]:
        told = []
        stream = reloading.agents.stream("doing", None, ADA)
        async for event in stream:
            if not told:
                reloading.reload()
            told.append(event.type)
            assert reloading.over == []
            if how == "left early" and len(told) == 2:
                break
        await stream.aclose()
        return told

    told = asyncio.run(asyncio.wait_for(read(), 20))

    assert told[:2] == ["RUN_STARTED", "CUSTOM"]
    assert (reloading.said, reloading.over) == (["own"], ["over"])
    assert played(reloading.agents)[1] == "new"


def test_an_unknown_agent_holds_and_tells_nothing():
    """
    A key without an agent is an error of who asks, for `run` and `stream`: no run, no event, no miss counted.
    """
    agents = AgentRegistry()

    async def ask() -> None:
        with pytest.raises(NotRegisteredError):
            await agents.run("absent", None, ADA)
        with pytest.raises(NotRegisteredError):
            async for _ in agents.stream("absent", None, ADA):
                pass

    asyncio.run(ask())
    assert agents.events.stats().emitted == 0


def test_the_agent_of_a_session_is_in_use_while_it_runs():
    """
    What `resident` answers is entered before the run and left after it, whatever comes of that.
    """
    noted = []

    async def work(task, run):
        noted.append("runs")
        if task == "fail":
            raise OSError

    @contextlib.contextmanager
    def in_use():
        noted.append("enters")
        try:
            yield Doing(work)
        finally:
            noted.append("leaves")

    agents = agents_doing(work)
    agents.resident = lambda key, context: in_use()
    played(agents)
    played(agents, "fail")

    assert noted == ["enters", "runs", "leaves"] * 2
