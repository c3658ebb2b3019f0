"""What runs tell: complete, in order, and to who reads it as a stream."""

from __future__ import annotations

import asyncio
import threading

import pytest

from acting import ADA, agents_doing, played, types, until
from hotplug.events import EventHub


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
        await until(lambda: tuple(agents._runs))
        await asyncio.sleep(0)
        await stream.aclose()

    asyncio.run(asyncio.wait_for(world(), 10))
    assert not tuple(agents._runs)
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
            await until(lambda: not tuple(agents._runs))
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
            await until(lambda: not tuple(agents._runs))
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
    assert not tuple(agents._runs)
