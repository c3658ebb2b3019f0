"""Agents: whatever one does, its run's events are complete, and its errors are its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest

from acting import ADA, agents_doing, played, types, until
from hotplug.agents import AgentRegistry
from hotplug.errors import InvalidArgumentsError, NotRegisteredError, PluginError, PluginTimeoutError
from hotplug.events import EventHub


def test_a_run_answers():
    """
    A run returns what the agent answers, and tells it between RUN_STARTED and RUN_FINISHED.
    """

    async def work(task, run):
        run.emit("CUSTOM", {"n": 1})
        return f"done {task}"

    events, result = played(agents_doing(work), "it")

    assert result == "done it"
    assert types(events) == ["RUN_STARTED", "CUSTOM", "RUN_FINISHED"]
    facts = {"agent": "doing", "thread_id": "talk", "run_id": events[0].run_id}
    assert events[0].payload == facts
    assert events[-1].payload == facts | {"result": "done it"}
    assert {event.user_id for event in events} == {"ada"}
    assert {event.thread_id for event in events} == {"talk"}


def test_every_run_has_a_fresh_id():
    """
    Two runs with one context have different run ids, in all their events, and neither is the context's.
    """

    async def work(task, run):
        return run.run_id

    agents = agents_doing(work)
    (first, one), (second, two) = played(agents), played(agents)

    assert len({ADA.run_id, one, two}) == 3
    assert {event.run_id for event in first} == {one}
    assert {event.run_id for event in second} == {two}


def test_an_unknown_agent_is_no_run():
    """
    A key under which no agent stands is `NotRegisteredError`, without any event.
    """
    agents = agents_doing(None)

    with pytest.raises(NotRegisteredError, match="did you mean 'doing'"):
        asyncio.run(agents.run("doin", None, ADA))

    assert agents.events.stats().emitted == 0
    assert agents.metrics().misses == 0


@pytest.mark.parametrize(
    "error",
    [RuntimeError("secret"), SystemExit("secret"), asyncio.CancelledError("secret"), GeneratorExit("secret")],
    ids=lambda error: type(error).__name__,
)
def test_whatever_it_raises_is_its_runs_error(error, caplog):
    """
    Any exception of the agent ends as `PluginError` with the cause chained, and as a RUN_ERROR that is safe.
    """

    async def work(task, run):
        raise error

    events, result = played(agents_doing(work))

    assert isinstance(result, PluginError)
    assert result.__cause__ is error
    assert types(events) == ["RUN_STARTED", "RUN_ERROR"]
    assert "secret" not in str(dict(events[-1].payload))


def test_the_log_has_the_cause(caplog):
    """
    RUN_ERROR names an incident, under which the log has the traceback.
    """

    async def work(task, run):
        raise RuntimeError("the secret")

    events, _ = played(agents_doing(work))

    incident = events[-1].payload["message"].rpartition(" ")[2].rstrip(")")
    assert incident in caplog.text
    assert "the secret" in caplog.text


def test_hotplugs_own_errors_are_told():
    """
    The text of an error of hotplug's is safe, and helps: it stands in RUN_ERROR.
    """

    async def work(task, run):
        raise InvalidArgumentsError("no symbol in the task")

    events, _ = played(agents_doing(work))

    assert events[-1].payload["message"] == "no symbol in the task"


def test_a_plugin_error_is_not_wrapped_again():
    """
    What is a `PluginError` already (a factory that failed behind the host's wall) stays the one it is.
    """
    original = PluginError("the factory failed")
    agents = AgentRegistry()

    def factory(context):
        raise original

    agents.register_factory("doing", factory)
    events, result = played(agents)

    assert result is original
    assert types(events) == ["RUN_STARTED", "RUN_ERROR"]


def test_a_factory_that_raises_is_the_runs_error():
    """
    An instance that cannot be made ends the run like any other error.
    """
    agents = AgentRegistry()
    agents.register_factory("doing", lambda _: 1 // 0)

    events, result = played(agents)

    assert isinstance(result.__cause__, ZeroDivisionError)
    assert types(events) == ["RUN_STARTED", "RUN_ERROR"]


def test_a_result_that_json_cannot_say_does_not_spoil_the_end():
    """
    The run finishes, the caller has the result, and RUN_FINISHED says why it lacks it.
    """
    result = object()

    async def work(task, run):
        return result

    events, returned = played(agents_doing(work))

    assert returned is result
    assert types(events)[-1] == "RUN_FINISHED"
    assert events[-1].payload["result"] is None
    assert "TypeError" in events[-1].payload["note"]


def test_a_huge_result_does_not_spoil_the_end():
    """
    A result too large for the ring is left out of RUN_FINISHED, not RUN_FINISHED out of the ring.
    """

    async def work(task, run):
        return "x" * 40_000

    agents = agents_doing(work)
    agents.bind(events=EventHub(max_bytes=20_000), tools=None)
    events, _ = played(agents)

    assert types(events) == ["RUN_STARTED", "RUN_FINISHED"]
    assert "bytes" in events[-1].payload["note"]


def test_a_timeout_cancels_the_run():
    """
    A run that takes longer than asked for is cancelled, may clean up, and ends as `PluginTimeoutError`.
    """
    cleaned = []

    async def work(task, run):
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(run.cancelled)

    events, result = played(agents_doing(work), timeout=0.02)

    assert isinstance(result, PluginTimeoutError)
    assert cleaned == [True]
    assert types(events) == ["RUN_STARTED", "RUN_ERROR"]
    assert events[-1].payload["code"] == "timed out"


@pytest.mark.parametrize("how", ["timeout", "cancel"])
def test_who_ignores_its_cancellation_is_left_behind(how, monkeypatch):
    """
    An agent that swallows its cancellation holds nobody; the error says so, and it tells nothing any more.
    """
    monkeypatch.setattr("hotplug._lifecycle.GRACE", 0.05)
    late = []

    async def work(task, run):
        if how == "cancel":
            assert agents.cancel(run.run_id)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        try:
            await asyncio.Event().wait()
        finally:
            late.append(run.emit("CUSTOM", {}))

    agents = agents_doing(work)
    events, result = played(agents, timeout=0.02 if how == "timeout" else None)

    assert "still goes on" in str(result)
    assert types(events) == ["RUN_STARTED", "RUN_ERROR"]
    assert late == [events[-1].cursor]
    assert agents.events.stats().emitted == 2


def test_cancel_ends_a_run_from_another_thread():
    """
    `cancel` ends a run wherever it is called, once; the run's error says that it was cancelled.
    """
    began = threading.Event()

    async def work(task, run):
        began.set()
        await asyncio.Event().wait()

    agents = agents_doing(work)
    answers = []

    def cancel() -> None:
        assert began.wait(10)
        [run_id] = agents._runs
        answers.append(agents.cancel(run_id))

    thread = threading.Thread(target=cancel)
    thread.start()
    events, result = played(agents)
    thread.join()

    assert answers == [True]
    assert result.reason == "cancelled"
    assert types(events) == ["RUN_STARTED", "RUN_ERROR"]
    assert "cancelled" in events[-1].payload["message"]
    assert not agents.cancel(events[0].run_id)


def test_the_callers_cancellation_cancels_the_run():
    """
    Who cancels the awaiting task gets `CancelledError`; the run ends with RUN_ERROR, its agent is told.
    """
    seen = []

    async def work(task, run):
        seen.append(run)
        await asyncio.Event().wait()

    agents = agents_doing(work)

    async def world():
        with agents.events.open(ADA) as cursor:
            running = asyncio.create_task(agents.run("doing", None, ADA))
            await until(lambda: seen)
            running.cancel()
            await asyncio.wait({running})
            return running.cancelled(), types(cursor.poll())

    assert asyncio.run(asyncio.wait_for(world(), 10)) == (True, ["RUN_STARTED", "RUN_ERROR"])
    assert seen[0].cancelled


def test_a_run_cancelled_before_its_first_step_never_begins(monkeypatch):
    """
    A sink that cancels the run on RUN_STARTED prevents the agent from running at all.
    """
    ran = []

    async def work(task, run):
        ran.append(run)

    agents = agents_doing(work)

    monkeypatch.setattr("hotplug.agents._relay.PATIENCE", 20)

    class Strict:
        def publish(self, event):
            if event.type == "RUN_STARTED":
                assert agents.cancel(event.run_id)

    agents.set_websocket_manager(Strict())
    events, result = played(agents)

    assert ran == []
    assert result.reason == "cancelled"
    assert types(events) == ["RUN_STARTED", "RUN_ERROR"]
