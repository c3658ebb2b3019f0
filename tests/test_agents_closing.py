"""Agents: what was made for a run is closed with it, and what lives in a session is not."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest

from acting import ADA, BOB, agents_doing, played, types, until
from hotplug.agents import AgentRegistry, BaseAgent
from hotplug.errors import PluginError


@pytest.mark.parametrize("how", ["aclose", "close", "awaitable", "nothing"])
def test_an_instance_is_closed_with_its_run(how):
    """
    What a factory made for a run is closed when the run is over, sync or async, before its end is told.
    """
    closed, agents = [], AgentRegistry()

    class Closing(BaseAgent):
        async def run(self, task, run):
            return "answer"

    async def aclose(self) -> None:
        closed.append(agents.events.stats().emitted)

    if how in ("aclose", "close"):
        setattr(
            Closing,
            how,
            aclose if how == "aclose" else lambda self: closed.append(agents.events.stats().emitted),
        )
    if how == "awaitable":
        Closing.close = lambda self: aclose(self)  # type: ignore[attr-defined]
    agents.register_factory("doing", lambda _: Closing())

    events, result = played(agents)

    assert result == "answer"
    assert closed == ([] if how == "nothing" else [1])
    assert types(events) == ["RUN_STARTED", "RUN_FINISHED"]


def test_in_a_session_its_agent_runs():
    """
    The resident agent for key and caller's own context runs and stays open; else one is made and closed.
    """
    asked, closed = [], []

    class Named(BaseAgent):
        def __init__(self, name: str) -> None:
            self.name = name

        async def run(self, task, run):
            return self.name, run.run_id != ADA.run_id

        def close(self) -> None:
            closed.append(self.name)

    def resident(key, context):
        asked.append((key, context, threading.current_thread() is threading.main_thread()))
        return contextlib.nullcontext(Named("resident")) if context is ADA else None

    agents = AgentRegistry()
    agents.register_factory("doing", lambda _: Named("made"))
    agents.resident = resident

    assert asyncio.run(agents.run("doing", None, ADA)) == ("resident", True)
    assert closed == []
    assert asyncio.run(agents.run("doing", None, BOB)) == ("made", True)
    assert closed == ["made"]
    assert asked == [("doing", ADA, False), ("doing", BOB, False)]
    assert asked[0][1] is ADA


def test_a_session_that_has_no_agent_to_give_is_the_runs_error():
    """
    What `resident` raises ends the run, behind the wall and with its events.
    """

    def resident(key, context):
        raise SystemExit("no session")

    async def work(task, run):
        return "never"

    agents = agents_doing(work)
    agents.resident = resident
    events, result = played(agents)

    assert isinstance(result, PluginError)
    assert types(events) == ["RUN_STARTED", "RUN_ERROR"]


def test_a_shared_agent_is_not_closed():
    """
    An agent that the application registered is its own to close.
    """

    class Shared(BaseAgent):
        closed = False

        async def run(self, task, run):
            return "answer"

        def close(self) -> None:
            self.closed = True

    shared, agents = Shared(), AgentRegistry()
    agents.register("doing", shared)

    assert played(agents)[1] == "answer"
    assert not shared.closed


@pytest.mark.parametrize("error", [RuntimeError("no"), SystemExit("no")], ids=repr)
def test_a_close_that_raises_does_not_change_the_result(error, caplog):
    """
    The run had its result; what closing raises is for the log.
    """

    class Closing(BaseAgent):
        async def run(self, task, run):
            return "answer"

        async def aclose(self) -> None:
            raise error

    agents = AgentRegistry()
    agents.register_factory("doing", lambda _: Closing())

    assert played(agents)[1] == "answer"
    assert "when it was closed" in caplog.text


def test_an_instance_is_closed_after_a_failure_too():
    """
    However the run ends, what was made for it is closed.
    """
    closed = []

    class Closing(BaseAgent):
        async def run(self, task, run):
            raise RuntimeError

        def close(self) -> None:
            closed.append(True)

    agents = AgentRegistry()
    agents.register_factory("doing", lambda _: Closing())
    played(agents)

    assert closed == [True]


def test_a_cancelled_close_stays_a_cancellation():
    """
    A closing that hangs does not make the run uncancellable.
    """
    closing = []

    class Hanging(BaseAgent):
        async def run(self, task, run):
            return "answer"

        async def aclose(self) -> None:
            closing.append(True)
            await asyncio.Event().wait()

    agents = AgentRegistry()
    agents.register_factory("doing", lambda _: Hanging())

    async def world():
        running = asyncio.create_task(agents.run("doing", None, ADA))
        await until(lambda: closing)
        running.cancel()
        await asyncio.wait({running})
        return running.cancelled()

    assert asyncio.run(asyncio.wait_for(world(), 10))
