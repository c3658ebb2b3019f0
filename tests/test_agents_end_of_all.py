"""The end of all runs: before their host is closed each has its own, and its user can read it."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest

import hotplug
from acting import ADA, Doing, agents_doing, played, types, until
from agui import as_agui
from hotplug.errors import HostError, PluginError, PluginTimeoutError
from hotplug.events import EventHub

pytestmark = pytest.mark.usefixtures("nothing_left")


class Elsewhere:
    """A run on a loop and a thread of its own."""

    def __init__(self, agents) -> None:
        self.agents, self.result = agents, None
        self.cursor = agents.events.open(ADA)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.result = asyncio.run(self.agents.run("doing", None, ADA))
        except PluginError as error:
            self.result = error

    def over(self) -> list[str]:
        self.thread.join(20)
        events = self.cursor.poll()
        as_agui(events)
        return types(events)


def test_runs_may_finish_before_the_end():
    """
    Who ends a registry waits for the runs that go on; none begins after that.
    """
    began, gate = threading.Event(), threading.Event()

    async def work(task, run):
        began.set()
        await until(gate.is_set)
        return "answer"

    agents = agents_doing(work)
    there = Elsewhere(agents)
    assert began.wait(10)
    ending = threading.Thread(target=agents.end, args=(20,))
    ending.start()
    with pytest.raises(HostError, match="closed"):
        while True:
            with contextlib.suppress(PluginTimeoutError):
                asyncio.run(agents.run("doing", None, ADA, timeout=0))
    gate.set()
    ending.join(20)

    assert there.over()[0] == "RUN_STARTED"
    assert there.result == "answer"


def test_runs_that_take_too_long_are_cancelled_at_the_end():
    """
    What does not finish in time is cancelled, and its end is told before `end` returns.
    """
    began = threading.Event()

    async def work(task, run):
        began.set()
        await asyncio.Event().wait()

    agents = agents_doing(work)
    there = Elsewhere(agents)
    assert began.wait(10)
    agents.end(0.01)
    told = types(there.cursor.poll())

    assert told == ["RUN_STARTED", "RUN_ERROR"]
    assert there.over() == []
    assert there.result.reason == "cancelled"


def test_a_run_that_cannot_end_is_ended_for_it(monkeypatch):
    """
    An agent that blocks its loop cannot even be cancelled: its end is told in its stead, once.
    """
    monkeypatch.setattr("hotplug.agents._runs.GRACE", 0.01)
    began, gate = threading.Event(), threading.Event()

    async def work(task, run):
        began.set()
        gate.wait(20)
        run.emit("CUSTOM", {})
        return "late"

    agents = agents_doing(work)
    there = Elsewhere(agents)
    assert began.wait(10)
    agents.end(0.01)
    told = types(there.cursor.poll())
    gate.set()

    assert told == ["RUN_STARTED", "RUN_ERROR"]
    assert there.over() == []


@pytest.mark.parametrize("inside", ["the run", "a nested run", "its loop"])
def test_who_is_inside_a_run_does_not_wait_for_it(inside):
    """
    An end that is asked for in a run, or on its loop, comes at once: it would wait for itself.
    """

    async def work(task, run):
        if inside == "a nested run" and task != "nested":
            return await run.run_agent("doing", "nested")
        if inside == "its loop":
            asyncio.get_running_loop().call_soon(agents.end, 60)
        else:
            await asyncio.to_thread(agents.end, 60)
        return await asyncio.Event().wait()

    agents = agents_doing(work)
    events, result = played(agents)

    assert isinstance(result, PluginError)
    assert types(events)[-1] == "RUN_ERROR"
    assert types(events).count("RUN_STARTED") == types(events).count("RUN_ERROR")


def test_a_run_may_ask_for_another_while_it_is_waited_for():
    """
    Runs inside of one that is waited for still begin.
    """
    began, gate = threading.Event(), threading.Event()

    async def work(task, run):
        if task == "nested":
            return "nested"
        began.set()
        await until(gate.is_set)
        return await run.run_agent("doing", "nested")

    agents = agents_doing(work)
    there = Elsewhere(agents)
    assert began.wait(10)
    ending = threading.Thread(target=agents.end, args=(20,))
    ending.start()
    with contextlib.suppress(HostError):
        while True:
            asyncio.run(agents.run("doing", "nested", ADA))
    gate.set()
    ending.join(20)
    there.over()

    assert there.result == "nested"


def test_a_host_that_closes_ends_its_runs():
    """
    The events of a run are complete when its host is closed, and its user can still read them.
    """
    began = threading.Event()

    async def work(task, run):
        began.set()
        await asyncio.Event().wait()

    config = hotplug.Config.parse("[host]\ndrain_timeout = 0.05")
    with hotplug.Host(config, path=[], cache=False) as host:
        host.agents.register_factory("doing", lambda _: Doing(work))
        there = Elsewhere(host.agents)
        assert began.wait(10)
    assert there.over() == ["RUN_STARTED", "RUN_ERROR"]
    with pytest.raises(HostError, match="closed"):
        asyncio.run(host.agents.run("doing", None, ADA))
    assert isinstance(host.events, EventHub)
