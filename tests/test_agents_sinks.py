"""Where the events of runs are handed on to: a sink that harms nobody."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time

import pytest

from acting import ADA, BOB, agents_doing, played, types, until
from hotplug.agents import AgentRegistry
from hotplug.agents import _relay as relay_module
from hotplug.context import UserExecutionContext
from hotplug.events import EventHub


@pytest.fixture(autouse=True)
def _no_hurry(monkeypatch):
    """Runs wait for their sink as long as it takes on a busy machine."""
    monkeypatch.setattr(relay_module, "PATIENCE", 20)


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
        await until(lambda: len(sink.events) == 5)

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


class Stuck(Sink):
    """It comes back when the gate opens, and not before."""

    def __init__(self) -> None:
        super().__init__()
        self.called, self.gate = threading.Event(), threading.Event()

    def publish(self, event, /) -> None:
        super().publish(event)
        self.called.set()
        assert self.gate.wait(20)


def told_to(sink, count: int) -> list[int]:
    """The numbers in the first *count* events that came to *sink*."""
    deadline = time.monotonic() + 10
    while len(sink.events) < count:
        assert time.monotonic() < deadline, f"{len(sink.events)} of {count} came"
        threading.Event().wait(0.001)
    return [event.payload["n"] for event in sink.events]


def test_a_stuck_sink_takes_no_more_memory_than_agreed(monkeypatch, caplog):
    """
    Behind a sink that does not come back events wait up to a limit; then the oldest are dropped, and logged.
    """
    monkeypatch.setattr(relay_module, "MOST_WAITING", 5)
    sink, relay = Stuck(), relay_module.Relay(EventHub())
    relay.attach(sink)
    relay.put(ADA, "CUSTOM", {"n": 0})
    assert sink.called.wait(10)
    for n in range(1, 21):
        relay.put(ADA, "CUSTOM", {"n": n})
    sink.gate.set()

    assert told_to(sink, 6) == [0, 16, 17, 18, 19, 20]
    assert "sink is stuck" in caplog.text


def test_a_sink_that_never_comes_back_harms_nobody(monkeypatch, caplog):
    """
    Runs go on and end beside a sink that hangs: only the first of them waits, a moment, for it.
    """
    monkeypatch.setattr(relay_module, "PATIENCE", 0.02)

    async def work(task, run):
        return [run.emit("CUSTOM", {"n": n}) for n in range(3)]

    agents, sink = agents_doing(work), Stuck()
    agents.set_websocket_manager(sink)
    for _ in range(3):
        events, _ = played(agents)
        assert types(events) == ["RUN_STARTED", *["CUSTOM"] * 3, "RUN_FINISHED"]

    assert types(sink.events) == ["RUN_STARTED"]
    assert caplog.text.count("sink is slow") == 1
    sink.gate.set()
    until_it(lambda: len(sink.events) == 15 and not agents._relay._courier.is_late)
    played(agents)
    assert len(sink.events) == 20


def test_each_event_goes_to_the_sink_of_its_time():
    """
    From one sink to another: what happened before comes to the former, slow as it is, the rest not.
    """
    first, second, relay = Stuck(), Sink(), relay_module.Relay(EventHub())
    relay.attach(first)
    for n in (0, 1):
        relay.put(ADA, "CUSTOM", {"n": n})
    assert first.called.wait(10)
    relay.attach(second)
    for n in (2, 3):
        relay.put(ADA, "CUSTOM", {"n": n})

    assert told_to(second, 2) == [2, 3]
    first.gate.set()
    assert told_to(first, 2) == [0, 1]


def test_a_sink_that_comes_back_is_called_by_one_thread():
    """
    Attached again while it is still busy, a sink gets what is new behind what it has not taken yet.
    """
    first, second, relay = Stuck(), Sink(), relay_module.Relay(EventHub())
    for n, sink in enumerate((first, second, first, first)):
        relay.attach(sink)
        relay.put(ADA, "CUSTOM", {"n": n})
    assert first.called.wait(10)
    assert len(first.events) == 1
    first.gate.set()

    assert told_to(first, 3) == [0, 2, 3]
    assert told_to(second, 1) == [1]


def test_nobody_is_told_what_waits_for_a_detached_sink():
    """
    None forgets what has not arrived; attached again, the sink gets only what is new.
    """
    sink, relay = Stuck(), relay_module.Relay(EventHub())
    relay.attach(sink)
    for n in (0, 1, 2):
        relay.put(ADA, "CUSTOM", {"n": n})
    assert sink.called.wait(10)
    relay.attach(None)
    relay.put(ADA, "CUSTOM", {"n": 3})
    relay.attach(sink)
    relay.put(ADA, "CUSTOM", {"n": 4})
    sink.gate.set()

    assert told_to(sink, 2) == [0, 4]


@pytest.mark.usefixtures("eager_threads")
def test_sinks_that_change_all_the_time_lose_and_double_nothing():
    """
    While threads tell and another one changes sinks, each event comes to exactly one of them, in order.
    """
    relay, sinks, over = relay_module.Relay(EventHub()), [Sink(), Sink(), Sink()], threading.Event()
    relay.attach(sinks[0])

    def change() -> None:
        for sink in itertools.cycle(sinks):
            relay.attach(sink)
            if over.is_set():
                return

    def tell(user: int) -> None:
        context = UserExecutionContext(f"user-{user}")
        for n in range(200):
            relay.put(context, "CUSTOM", {"n": n})

    changing = threading.Thread(target=change)
    telling = [threading.Thread(target=tell, args=(user,)) for user in range(4)]
    for thread in (changing, *telling):
        thread.start()
    for thread in telling:
        thread.join()
    over.set()
    changing.join()
    until_it(lambda: sum(len(sink.events) for sink in sinks) >= 800)

    found = [event for sink in sinks for event in sink.events]
    assert len({(event.user_id, event.cursor) for event in found}) == len(found) == 800
    for sink in sinks:
        for user in range(4):
            numbers = [each.payload["n"] for each in sink.events if each.user_id == f"user-{user}"]
            assert numbers == sorted(numbers)


def test_where_there_are_no_more_threads_the_next_event_tries_again(monkeypatch):
    """
    A thread that cannot be started costs no event.
    """
    sink, relay = Sink(), relay_module.Relay(EventHub())
    relay.attach(sink)
    with monkeypatch.context() as poor:
        poor.setattr(threading.Thread, "start", lambda self: (_ for _ in ()).throw(RuntimeError("no more")))
        relay.put(ADA, "CUSTOM", {"n": 0})
    relay.put(ADA, "CUSTOM", {"n": 1})

    assert told_to(sink, 2) == [0, 1]


def test_the_thread_of_a_sink_ends_by_itself(monkeypatch):
    """
    When nothing has come for a while there is no thread any more; the next event brings one back.
    """
    monkeypatch.setattr(relay_module, "LINGER", 0.001)
    sink, relay = Sink(), relay_module.Relay(EventHub())
    relay.attach(sink)
    for n in range(3):
        relay.put(ADA, "CUSTOM", {"n": n})
        until_it(lambda: not relay._courier.is_at_work)

    assert told_to(sink, 3) == [0, 1, 2]


def test_who_waits_on_a_loop_that_is_gone_is_no_fault_of_the_sink(caplog):
    """
    A run whose loop was closed before its events arrived is told nothing, and nothing is logged of the sink.
    """
    sink, relay = Stuck(), relay_module.Relay(EventHub())
    relay.attach(sink)
    relay.put(ADA, "CUSTOM", {"n": 0})

    async def leave_early() -> None:
        waiting = asyncio.create_task(relay.arrived())
        await asyncio.sleep(0)
        waiting.cancel()

    asyncio.run(leave_early())
    sink.gate.set()
    relay.put(ADA, "CUSTOM", {"n": 1})

    assert told_to(sink, 2) == [0, 1]
    assert "raised" not in caplog.text


def until_it(condition) -> None:
    """Wait until *condition* is true."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.001)
