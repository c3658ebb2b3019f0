"""Agents: whatever one does, its run's events are complete, and its errors are its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading

import pytest

from hotplug.agents import AgentRegistry, AgentRun, BaseAgent
from hotplug.agents import _relay as relay_module
from hotplug.context import UserExecutionContext
from hotplug.errors import (
    InvalidArgumentsError,
    NotRegisteredError,
    PluginError,
    PluginTimeoutError,
    ToolError,
)
from hotplug.events import EventHub
from hotplug.registry import Retirement, Shelf
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
    """The events of one run, and its result or error."""

    async def play():
        with agents.events.open(ADA) as cursor:
            try:
                result = await agents.run("doing", task, ADA, **options)
            except PluginError as error:
                result = error
            return cursor.poll(10_000), result

    return asyncio.run(asyncio.wait_for(play(), 20))


def types(events) -> list[str]:
    return [event.type for event in events]


# -- runs --------------------------------------------------------------------------------------------


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
    assert events[0].payload == {"agent": "doing"}
    assert events[-1].payload == {"agent": "doing", "result": "done it"}
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
        [run_id] = agents._running
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
            await _until(lambda: seen)
            running.cancel()
            await asyncio.wait({running})
            return running.cancelled(), types(cursor.poll())

    assert asyncio.run(asyncio.wait_for(world(), 10)) == (True, ["RUN_STARTED", "RUN_ERROR"])
    assert seen[0].cancelled


def test_a_run_cancelled_before_its_first_step_never_begins():
    """
    A sink that cancels the run on RUN_STARTED prevents the agent from running at all.
    """
    ran = []

    async def work(task, run):
        ran.append(run)

    agents = agents_doing(work)

    class Strict:
        def publish(self, event):
            if event.type == "RUN_STARTED":
                assert agents.cancel(event.run_id)

    agents.set_websocket_manager(Strict())
    events, result = played(agents)

    assert ran == []
    assert result.reason == "cancelled"
    assert types(events) == ["RUN_STARTED", "RUN_ERROR"]


# -- closing -----------------------------------------------------------------------------------------


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
        await _until(lambda: closing)
        running.cancel()
        await asyncio.wait({running})
        return running.cancelled()

    assert asyncio.run(asyncio.wait_for(world(), 10))


# -- tools -------------------------------------------------------------------------------------------


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
    assert calls[3].payload["content"] == 3
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
        await _until(lambda: gates)
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
    assert events[4].payload["content"] is None


# -- events ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("type_", ["RUN_STARTED", "RUN_FINISHED", "RUN_ERROR", "TOOL_CALL_RESULT", "GAP"])
def test_an_agent_cannot_forge_what_the_run_tells(type_):
    """
    The types that make a run's events complete are the run's own.
    """

    async def work(task, run):
        run.emit(type_, {})

    events, result = played(agents_doing(work))

    assert isinstance(result.__cause__, ValueError)
    assert types(events) == ["RUN_STARTED", "RUN_ERROR"]


def test_threads_of_an_agent_tell_in_order():
    """
    An agent may emit from its own threads; nothing is told before the run began or after it ended.
    """
    threads: list[threading.Thread] = []

    async def work(task, run):
        def chatter() -> None:
            for n in range(200):
                run.emit("CUSTOM", {"n": n})

        threads.extend(threading.Thread(target=chatter) for _ in range(4))
        for thread in threads:
            thread.start()

    agents = agents_doing(work)
    events, _ = played(agents)
    for thread in threads:
        thread.join()
    more = agents.events.open(ADA, after=events[-1].cursor).poll()

    assert types(events)[0] == "RUN_STARTED"
    assert types(events)[-1] == "RUN_FINISHED"
    assert more == []


def test_a_stream_is_the_runs_events():
    """
    `stream` yields the run's own events until its end, whatever else happens to the user; errors are events.
    """

    async def work(task, run):
        agents.events.emit(ADA, "CUSTOM", {"n": "somebody else's"})
        run.emit("CUSTOM", {"n": 1})
        if task == "fail":
            raise RuntimeError

    agents = agents_doing(work)

    async def stream(task):
        return [event async for event in agents.stream("doing", task, ADA)]

    fine, failed = asyncio.run(stream("work")), asyncio.run(stream("fail"))

    assert types(fine) == ["RUN_STARTED", "CUSTOM", "RUN_FINISHED"]
    assert types(failed) == ["RUN_STARTED", "CUSTOM", "RUN_ERROR"]
    assert len({event.run_id for event in fine}) == 1
    assert agents.events.stats().cursors == 0


def test_leaving_a_stream_cancels_the_run():
    """
    Who stops iterating stops the run.
    """
    ended = []

    async def work(task, run):
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(run.cancelled)

    agents = agents_doing(work)

    async def world():
        stream = agents.stream("doing", None, ADA)
        assert (await anext(stream)).type == "RUN_STARTED"
        await _until(lambda: agents._running)
        await asyncio.sleep(0)
        await stream.aclose()

    asyncio.run(asyncio.wait_for(world(), 10))
    assert agents._running == {}
    assert ended in ([True], [])  # [] if it was cancelled before its first step


def test_a_stream_ends_though_its_end_was_lost():
    """
    A reader so slow that even RUN_FINISHED was evicted gets a GAP, and does not wait for ever.
    """

    async def work(task, run):
        return None

    agents = agents_doing(work)
    agents.bind(events=EventHub(max_events=4), tools=None)

    async def world():
        seen = []
        async for event in agents.stream("doing", None, ADA):
            seen.append(event.type)
            await _until(lambda: not agents._running)
            for _ in range(10):
                agents.events.emit(ADA, "RUN_FINISHED")
        return seen

    assert asyncio.run(asyncio.wait_for(world(), 10)) == ["RUN_STARTED", "GAP"]


def test_a_gap_in_a_stream_keeps_what_is_left():
    """
    After a GAP the run's remaining events are still yielded, its end included.
    """

    async def work(task, run):
        for n in range(20):
            run.emit("CUSTOM", {"n": n})

    agents = agents_doing(work)
    agents.bind(events=EventHub(max_events=6), tools=None)

    async def world():
        seen = []
        async for event in agents.stream("doing", None, ADA):
            seen.append(event.type)
            await _until(lambda: not agents._running)
            if len(seen) == 1:
                agents.events.emit(ADA, "CUSTOM")
        return seen

    seen = asyncio.run(asyncio.wait_for(world(), 10))
    assert seen[:2] == ["RUN_STARTED", "GAP"] or seen[0] == "GAP"
    assert seen[-1] == "RUN_FINISHED"


def test_a_gap_while_the_run_goes_on_is_only_a_gap():
    """
    A GAP in the middle of a run does not end its stream.
    """
    flood = asyncio.Event()

    async def work(task, run):
        for n in range(20):
            run.emit("CUSTOM", {"n": n})
        await flood.wait()

    agents = agents_doing(work)
    agents.bind(events=EventHub(max_events=6), tools=None)

    async def world():
        seen = []
        async for event in agents.stream("doing", None, ADA):
            seen.append(event.type)
            if event.type == "GAP":
                flood.set()
        return seen

    seen = asyncio.run(asyncio.wait_for(world(), 10))
    assert "GAP" in seen
    assert seen[-1] == "RUN_FINISHED"


def test_a_closed_hub_ends_a_stream():
    """
    When the hub closes, a stream ends, and its run with it.
    """

    async def work(task, run):
        await asyncio.Event().wait()

    agents = agents_doing(work)

    async def world():
        seen = []
        async for event in agents.stream("doing", None, ADA):
            seen.append(event.type)
            agents.events.close()
        return seen

    assert asyncio.run(asyncio.wait_for(world(), 10)) == ["RUN_STARTED"]
    assert agents._running == {}


# -- sinks -------------------------------------------------------------------------------------------


class Sink:
    """A WebSocket manager, as far as agents know."""

    def __init__(self) -> None:
        self.events: list = []

    def publish(self, event, /) -> None:
        self.events.append(event)


def test_a_sink_gets_every_event_in_order():
    """
    A sink set before or after registration gets the events of every run, each naming its user.
    """

    async def work(task, run):
        await run.call_tool("add", a=1, b=2)

    agents, sink = agents_doing(work), Sink()
    agents.set_websocket_manager(sink)
    events, _ = played(agents)
    asyncio.run(agents.run("doing", None, BOB))

    assert sink.events[: len(events)] == events
    assert {event.user_id for event in sink.events[len(events) :]} == {"bob"}


def test_a_detached_sink_gets_nothing_more():
    """
    After None was set, nothing is published any more.
    """

    async def work(task, run):
        agents.set_websocket_manager(None)

    agents, sink = agents_doing(work), Sink()
    agents.set_websocket_manager(sink)
    events, _ = played(agents)

    assert types(sink.events) == ["RUN_STARTED"]
    assert types(events) == ["RUN_STARTED", "RUN_FINISHED"]


@pytest.mark.parametrize("error", [RuntimeError("no"), SystemExit(1), asyncio.CancelledError()], ids=repr)
def test_a_sink_that_raises_harms_no_run(error, caplog):
    """
    What a sink raises is logged; the run goes on, and so does the sink.
    """

    class Angry(Sink):
        def publish(self, event, /) -> None:
            super().publish(event)
            raise error

    async def work(task, run):
        return "answer"

    agents, sink = agents_doing(work), Angry()
    agents.set_websocket_manager(sink)

    assert played(agents)[1] == "answer"
    assert types(sink.events) == ["RUN_STARTED", "RUN_FINISHED"]
    assert "sink raised" in caplog.text


def test_ctrl_c_in_a_sink_is_the_callers():
    """
    `KeyboardInterrupt` from a sink is passed on, and the sink is not stuck by it.
    """

    class Interrupted(Sink):
        def publish(self, event, /) -> None:
            super().publish(event)
            if event.payload["n"] == 1:
                raise KeyboardInterrupt

    sink, relay = Interrupted(), relay_module.Relay(EventHub())
    relay.attach(sink)
    relay.put(ADA, "CUSTOM", {"n": 1})
    relay.put(ADA, "CUSTOM", {"n": 2})

    with pytest.raises(KeyboardInterrupt):
        relay.deliver()
    relay.deliver()

    assert [event.payload["n"] for event in sink.events] == [1, 2]


def test_a_sink_that_emits_does_not_deadlock():
    """
    A sink may itself make the run tell something; it gets that later, in order.
    """
    runs = []

    class Echo(Sink):
        def publish(self, event, /) -> None:
            super().publish(event)
            if event.type == "CUSTOM" and event.payload["n"] < 3:
                runs[0].emit("CUSTOM", {"n": event.payload["n"] + 1})

    async def work(task, run):
        runs.append(run)
        run.emit("CUSTOM", {"n": 0})

    agents, sink = agents_doing(work), Echo()
    agents.set_websocket_manager(sink)
    played(agents)

    assert [event.payload["n"] for event in sink.events if event.type == "CUSTOM"] == [0, 1, 2, 3]


def test_a_sink_must_be_one():
    """
    What has no sync `publish` is refused when it is set, not when the first event comes.
    """

    class Asynchronous:
        async def publish(self, event) -> None: ...

    for wrong in (42, Asynchronous()):
        with pytest.raises(TypeError, match="EventSink"):
            AgentRegistry().set_websocket_manager(wrong)  # type: ignore[arg-type]


@pytest.mark.usefixtures("eager_threads")
def test_a_sink_sees_one_event_at_a_time_in_the_hubs_order():
    """
    Runs in many threads share a sink: it is never called twice at once, and in the order of the hub.
    """
    busy, overlaps = threading.Lock(), []

    class Careful(Sink):
        def publish(self, event, /) -> None:
            if not busy.acquire(blocking=False):
                overlaps.append(event)
                return
            self.events.append(event)
            busy.release()

    async def work(task, run):
        for n in range(100):
            run.emit("CUSTOM", {"n": n})

    agents, sink = agents_doing(work), Careful()
    agents.set_websocket_manager(sink)
    with agents.events.open(ADA) as cursor:
        threads = [
            threading.Thread(target=lambda: asyncio.run(agents.run("doing", None, ADA))) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        events = cursor.poll(10_000)

    assert overlaps == []
    assert len(events) == 4 * 102
    assert sink.events == events


def test_a_stuck_sink_takes_no_more_memory_than_agreed(monkeypatch, caplog):
    """
    Behind a sink that does not come back events wait up to a limit; then the oldest are dropped, and logged.
    """
    monkeypatch.setattr(relay_module, "MOST_WAITING", 5)
    gate, stuck = threading.Event(), threading.Event()

    class Stuck(Sink):
        def publish(self, event, /) -> None:
            super().publish(event)
            stuck.set()
            assert gate.wait(10)

    sink, hub = Stuck(), EventHub()
    relay = relay_module.Relay(hub)
    relay.attach(sink)
    relay.put(ADA, "CUSTOM", {"n": 0})
    delivering = threading.Thread(target=relay.deliver)
    delivering.start()
    assert stuck.wait(10)
    for n in range(1, 21):
        relay.put(ADA, "CUSTOM", {"n": n})
        relay.deliver()
    gate.set()
    delivering.join()

    assert [event.payload["n"] for event in sink.events] == [0, 16, 17, 18, 19, 20]
    assert "sink is stuck" in caplog.text


def test_a_sink_detached_while_an_event_is_told_does_not_get_it():
    """
    Between the look whether there is a sink and the telling it may go: the event is told to the hub only.
    """
    hub, sink = EventHub(), Sink()
    relay = relay_module.Relay(hub)
    relay.attach(sink)
    original = hub.emit_event

    def detach_meanwhile(*arguments):
        relay._sink = None
        return original(*arguments)

    hub.emit_event = detach_meanwhile  # type: ignore[method-assign]
    relay.put(ADA, "CUSTOM", {})
    relay.deliver()

    assert sink.events == []
    assert hub.stats().emitted == 1


@pytest.fixture(autouse=True)
def _quiet(caplog):
    caplog.set_level(logging.WARNING, logger="hotplug.agents")


async def _until(condition) -> None:
    """Give others their turn until *condition* is true."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0)


# -- generations -------------------------------------------------------------------------------------


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
