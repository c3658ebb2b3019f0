"""Agents that end badly, or are ended: whatever happens, each run has one end, and it is told last."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading

import pytest

from acting import ADA, Doing, agents_doing, played, types, until
from agui import as_agui
from hotplug.agents import AgentRegistry, BaseAgent
from hotplug.errors import InvalidContextError, PluginTimeoutError

pytestmark = pytest.mark.usefixtures("nothing_left")


class Tools:
    """A caller of tools, as far as an offer goes."""

    def __init__(self, offer) -> None:
        self.offered = lambda context: offer()

    async def call(self, name, arguments, context, /):
        raise AssertionError(name)


# -- beginning ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["run", "stream"])
@pytest.mark.parametrize(
    ("wrong", "options", "error", "says"),
    [
        ("ada", {}, InvalidContextError, "UserExecutionContext, not str"),
        (None, {}, InvalidContextError, "not NoneType"),
        (ADA, {"timeout": -1}, ValueError, "at least 0, not -1"),
        (ADA, {"timeout": float("nan")}, ValueError, "not nan"),
        (ADA, {"timeout": "5"}, TypeError, "'>='"),
    ],
)
def test_what_cannot_be_run_is_no_run(how, wrong, options, error, says):
    """
    No context, or a time-out that is none, is refused at once and clearly; nothing is told.
    """
    agents = agents_doing(None)

    async def ask() -> None:
        if how == "run":
            await agents.run("doing", None, wrong, **options)
        async for _ in agents.stream("doing", None, wrong, **options):
            pass

    with pytest.raises(error, match=says):
        asyncio.run(asyncio.wait_for(ask(), 10))
    assert agents.events.stats().emitted == 0


@pytest.mark.parametrize("error", [RuntimeError("no"), SystemExit("no")], ids=repr)
@pytest.mark.parametrize("how", ["run", "stream"])
def test_tools_that_cannot_be_offered_are_the_runs_error(how, error):
    """
    Who cannot say what is offered ends the run, with its events; nobody waits for ever.
    """

    def offer():
        raise error

    agents = agents_doing(None)
    agents.bind(events=agents.events, tools=Tools(offer))

    async def stream():
        return [event async for event in agents.stream("doing", None, ADA)]

    told = played(agents)[0] if how == "run" else asyncio.run(asyncio.wait_for(stream(), 10))

    assert types(told) == ["RUN_STARTED", "RUN_ERROR"]


def test_a_time_out_is_for_all_of_it():
    """
    An offer of tools that hangs is cut off by the run's time-out.
    """
    gate = threading.Event()
    agents = agents_doing(None)
    agents.bind(events=agents.events, tools=Tools(lambda: gate.wait(20)))
    events, result = played(agents, timeout=0.01)
    gate.set()

    assert isinstance(result, PluginTimeoutError)
    assert types(events) == ["RUN_STARTED", "RUN_ERROR"]


# -- telling -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "payload", "says"),
    [
        (None, {}, "type is a text"),
        ("", {}, "type is a text"),
        ([], {}, "type is a text"),
        ("A", 5, "not int"),
    ],
)
def test_what_is_no_event_is_refused_clearly(type_, payload, says):
    """
    A type that is no text, or a payload that is no mapping, is a `TypeError` of the agent's.
    """

    async def work(task, run):
        with pytest.raises(TypeError, match=says):
            run.emit(type_, payload)
        return "fine"

    assert played(agents_doing(work))[1] == "fine"


def test_who_emits_in_the_midst_of_emitting_waits_for_nobody():
    """
    A finalizer (or a mapping) of the agent's that emits while the run tells something does not hang it.
    """

    async def work(task, run):
        class Telling(dict):
            def __del__(self) -> None:
                run.emit("CUSTOM", {"name": "in the end", "value": 1})

        original = run._relay.hub.emit

        def in_the_midst(*arguments):
            run._relay.hub.emit = original
            Telling()
            return original(*arguments)

        run._relay.hub.emit = in_the_midst
        run.emit("CUSTOM", {"name": "first", "value": 1})

    events, _ = played(agents_doing(work))

    assert types(events) == ["RUN_STARTED", "CUSTOM", "CUSTOM", "RUN_FINISHED"]


# -- ending ------------------------------------------------------------------------------------------


def test_a_close_that_hangs_holds_up_nobody(monkeypatch, caplog):
    """
    An agent that does not close in time is left; its run has the result that it had.
    """
    monkeypatch.setattr("hotplug.agents._registry.CLOSE_LIMIT", 0.02)

    class Hanging(BaseAgent):
        async def run(self, task, run):
            return "answer"

        async def aclose(self) -> None:
            await asyncio.Event().wait()

    agents = AgentRegistry()
    agents.register_factory("doing", lambda _: Hanging())
    events, result = played(agents)

    assert result == "answer"
    assert types(events) == ["RUN_STARTED", "RUN_FINISHED"]
    assert "not closed within" in caplog.text


@pytest.mark.parametrize("when", ["while it is made", "made, not yet taken"])
def test_an_instance_that_comes_too_late_is_closed(when):
    """
    A run that was cancelled while its agent was being made does not leak it.
    """
    gate, making, closed = threading.Event(), threading.Event(), threading.Event()

    class Late(Doing):
        async def aclose(self) -> None:
            closed.set()

    def make(context):
        making.set()
        assert gate.wait(20)
        return Late(None)

    agents = AgentRegistry()
    agents.register_factory("doing", make)

    async def world():
        work = asyncio.create_task(agents.run("doing", None, ADA))
        await until(making.is_set)
        if when == "made, not yet taken":
            gate.set()
            [worker] = [each for each in threading.enumerate() if each.name == "hotplug call"]
            worker.join(10)
        work.cancel()
        await asyncio.wait({work})
        gate.set()

    asyncio.run(asyncio.wait_for(world(), 20))
    assert closed.wait(10)


def test_tasks_that_an_agent_leaves_tell_nothing_more():
    """
    What goes on behind a run that has ended is not heard of.
    """
    left = []

    async def chatter(run):
        for n in range(100):
            run.emit("CUSTOM", {"n": n})
            await asyncio.sleep(0)
        return "over"

    async def work(task, run):
        left.append(asyncio.create_task(chatter(run)))
        await asyncio.sleep(0)

    agents = agents_doing(work)

    async def world():
        with agents.events.open(ADA) as cursor:
            await agents.run("doing", None, ADA)
            assert await left[0] == "over"
            return cursor.poll(1000)

    events = asyncio.run(world())
    as_agui(events)
    assert types(events)[-1] == "RUN_FINISHED"
    assert types(events).count("CUSTOM") < 100


def test_a_hub_that_is_closed_meanwhile_takes_no_result():
    """
    Where nobody can be told any more, the caller still has the answer.
    """

    async def work(task, run):
        agents.events.close()
        run.emit("CUSTOM", {})
        return "answer"

    agents = agents_doing(work)

    assert asyncio.run(agents.run("doing", None, ADA)) == "answer"


def test_a_stream_read_to_its_end_leaves_nothing_behind():
    """
    When the last event is out and the reader goes on, the run is over: nothing of it is cancelled.
    """
    closed = []

    class Closing(Doing):
        async def aclose(self) -> None:
            await asyncio.sleep(0)
            closed.append(True)

    async def work(task, run):
        return "answer"

    agents = AgentRegistry()
    agents.register_factory("doing", lambda _: Closing(work))

    async def world():
        told = [event.type async for event in agents.stream("doing", None, ADA)]
        return told, len(asyncio.all_tasks())

    assert asyncio.run(world()) == (["RUN_STARTED", "RUN_FINISHED"], 1)
    assert closed == [True]


# -- left alone ----------------------------------------------------------------------------------------


async def waiting(task, run):
    """An agent that waits until it is cancelled."""
    await asyncio.Event().wait()


@pytest.mark.parametrize("how", ["athrow", "forgotten", "reader cancelled"])
def test_a_stream_that_is_left_ends_its_run(how):
    """
    However a reader goes, by an error, by forgetting the stream or by being cancelled, the run has its end.
    """
    agents = agents_doing(waiting)

    async def read_on(stream) -> None:
        async for _ in stream:
            pass

    async def world():
        with agents.events.open(ADA) as cursor:
            stream = agents.stream("doing", None, ADA)
            await anext(stream)
            if how == "athrow":
                with pytest.raises(LookupError):
                    await stream.athrow(LookupError())
            elif how == "reader cancelled":
                reading = asyncio.create_task(read_on(stream))
                await asyncio.sleep(0)
                reading.cancel()
                await asyncio.wait({reading})
            del stream
            gc.collect()
            await until(lambda: not tuple(agents._runs))
            return types(cursor.poll())

    assert asyncio.run(asyncio.wait_for(world(), 10)) == ["RUN_STARTED", "RUN_ERROR"]


def test_ctrl_c_in_an_agent_is_the_callers():
    """
    `KeyboardInterrupt` comes out, and the run has its end all the same.
    """

    async def work(task, run):
        raise KeyboardInterrupt

    agents = agents_doing(work)
    with agents.events.open(ADA) as cursor:
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(agents.run("doing", None, ADA))

        assert types(cursor.poll()) == ["RUN_STARTED", "RUN_ERROR"]


def test_who_is_cancelled_twice_has_one_end(monkeypatch):
    """
    A caller who is cancelled again while the agent may clean up is gone at once; the run ends once.
    """
    seen = []

    async def work(task, run):
        seen.append("began")
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        seen.append("cleans up")
        await asyncio.Event().wait()

    agents = agents_doing(work)

    async def world():
        with agents.events.open(ADA) as cursor:
            running = asyncio.create_task(agents.run("doing", None, ADA))
            for count in (1, 2):
                await until(lambda count=count: len(seen) == count)
                running.cancel()
            await asyncio.wait({running})
            return running.cancelled(), types(cursor.poll())

    assert asyncio.run(asyncio.wait_for(world(), 10)) == (True, ["RUN_STARTED", "RUN_ERROR"])
