"""Waiting for events, and giving up waiting."""

from __future__ import annotations

import asyncio
import threading

import pytest

from hotplug.events import EventHub
from telling import ADA, BOB, emit_many, numbers, until


def test_iterating_waits_for_what_comes():
    """
    `async for` hands out what is there, then wakes for what another thread emits, in order.
    """
    hub = EventHub()

    async def read() -> list[int]:
        seen = []
        with hub.open(ADA) as cursor:
            hub.emit(ADA, "CUSTOM", {"n": 0})
            async for event in cursor:
                seen.append(event.payload["n"])
                if len(seen) == 1:
                    threading.Thread(target=emit_many, args=(hub, ADA, 3), kwargs={"start": 1}).start()
                if len(seen) == 4:
                    break
        return seen

    assert asyncio.run(asyncio.wait_for(read(), 10)) == [0, 1, 2, 3]


def test_what_comes_before_falling_asleep_is_not_slept_through():
    """
    An event that comes between looking and waiting ends the waiting before it begins.
    """
    hub = EventHub()
    with hub.open(ADA) as cursor:
        assert cursor.poll() == []
        hub.emit(ADA, "CUSTOM", {"n": 1})

        assert asyncio.run(asyncio.wait_for(cursor.ready(), 10))


def test_a_resumed_iteration_begins_with_the_gap():
    """
    Who iterates learns of a break first.
    """
    hub = EventHub()

    async def first() -> str:
        with hub.open(ADA, after="other:1") as cursor:
            return (await anext(cursor)).type

    assert asyncio.run(asyncio.wait_for(first(), 10)) == "GAP"


@pytest.mark.parametrize("what", ["cursor", "hub"])
def test_closing_ends_the_iteration(what):
    """
    A reader that waits stops when its cursor, or the hub, is closed.
    """
    hub = EventHub()

    async def read() -> list[object]:
        cursor = hub.open(ADA)
        reading = asyncio.create_task(_all(cursor))
        await until(lambda: cursor._ring.sleepers)
        (cursor if what == "cursor" else hub).close()
        return await reading

    assert asyncio.run(asyncio.wait_for(read(), 10)) == []


def test_a_closed_hub_hands_out_what_is_left():
    """
    After `close` a cursor still gives what was emitted before, then ends; emitting only counts.
    """
    hub = EventHub()
    cursor = hub.open(ADA)
    place = hub.emit(ADA, "CUSTOM", {"n": 1})
    hub.close()
    hub.close()

    assert hub.emit(ADA, "CUSTOM", {"n": 2}) == place
    assert hub.emit(BOB, "CUSTOM").endswith(":0")
    assert hub.stats().refused == 2
    assert numbers(asyncio.run(asyncio.wait_for(_all(cursor), 10))) == [1]
    assert cursor.stats().emitted == 1


def test_closing_a_cursor_drops_what_was_pending():
    """
    A closed cursor hands out nothing more, and its pending events count as dropped; nothing is added later.
    """
    hub = EventHub()
    cursor = hub.open(ADA)
    emit_many(hub, ADA, 3)
    cursor.poll(1)

    cursor.close()
    cursor.close()
    emit_many(hub, ADA, 3)

    stats = cursor.stats()
    assert cursor.poll() == []
    assert asyncio.run(_all(cursor)) == []
    assert (stats.emitted, stats.delivered, stats.dropped, stats.pending) == (3, 1, 2, 0)


def test_who_gives_up_waiting_leaves_nothing_behind():
    """
    A reader that is cancelled while it waits, again and again, is not remembered.
    """
    hub = EventHub()

    async def give_up() -> object:
        with hub.open(ADA) as cursor:
            for _ in range(3):
                waiting = [asyncio.create_task(anext(cursor)) for _ in range(2)]
                await until(lambda: sum(map(len, cursor._ring.sleepers.values())) == 2)
                for task in waiting:
                    task.cancel()
                await asyncio.wait(waiting)
            return dict(cursor._ring.sleepers)

    assert asyncio.run(asyncio.wait_for(give_up(), 10)) == {}


def test_a_reader_may_give_up_while_it_is_woken():
    """
    A reader that is cancelled in the moment in which an event arrives loses nothing for the next one.
    """
    hub = EventHub()

    async def both_at_once() -> list[int]:
        with hub.open(ADA) as cursor:
            waiting = asyncio.create_task(anext(cursor))
            await until(lambda: cursor._ring.sleepers)
            hub.emit(ADA, "CUSTOM", {"n": 1})
            waiting.cancel()
            await asyncio.wait({waiting})
            assert waiting.cancelled()
            return numbers(cursor.poll())

    assert asyncio.run(asyncio.wait_for(both_at_once(), 10)) == [1]


def test_a_readers_loop_may_be_gone():
    """
    Emitting to a user whose reader's loop was closed raises nothing.
    """
    hub = EventHub()
    cursor = hub.open(ADA)
    loop = asyncio.new_event_loop()
    reading = loop.create_task(anext(cursor))
    loop.run_until_complete(until(lambda: cursor._ring.sleepers))
    reading._log_destroy_pending = False  # type: ignore[attr-defined]  # it is destroyed on purpose
    loop.close()

    hub.emit(ADA, "CUSTOM", {"n": 1})

    assert numbers(cursor.poll()) == [1]


def test_one_call_wakes_a_whole_loop():
    """
    However many readers of a user wait in a loop, an event costs its emitter one call into that loop.
    """
    hub = EventHub()

    async def read() -> int:
        loop = asyncio.get_running_loop()
        cursors = [hub.open(ADA) for _ in range(20)]
        reading = [asyncio.create_task(anext(cursor)) for cursor in cursors]
        await until(lambda: sum(map(len, cursors[0]._ring.sleepers.values())) == 20)
        calls = []
        original = loop.call_soon_threadsafe
        loop.call_soon_threadsafe = lambda *a, **k: calls.append(a) or original(*a, **k)  # type: ignore[method-assign]
        hub.emit(ADA, "CUSTOM")
        await asyncio.gather(*reading)
        return len(calls)

    assert asyncio.run(asyncio.wait_for(read(), 10)) == 1


async def _all(cursor) -> list[object]:
    return [event async for event in cursor]
