"""Emits in the midst of others: whatever holds a ring, nobody waits for it."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import pytest

from hotplug.events import EventCursor, EventHub
from hotplug.events._ring import Ring
from telling import ADA, BOB, emit_many, numbers


def test_emitting_to_one_user_waits_for_no_other():
    """
    While the ring of one user is held, events of all others are stored.
    """
    hub = EventHub()
    emit_many(hub, ADA, 1)
    with hub._core.rings["ada"]:
        emitting = threading.Thread(target=emit_many, args=(hub, BOB, 100), daemon=True)
        emitting.start()
        emitting.join(10)

        assert not emitting.is_alive()
    assert hub._core.rings["bob"].count == 100


@pytest.mark.parametrize("held", ["ring", "bank", "room"])
def test_an_emit_inside_another_waits_for_nobody(monkeypatch, held):
    """
    A finalizer that emits to a user whose ring is held, who has none yet, or needs room, waits for nobody.
    """
    hub = EventHub(max_events=2)
    original, core = Ring.give_up, hub._core
    emit_many(hub, ADA, 2)
    if held != "bank":
        emit_many(hub, BOB, 1)
    taken, go = threading.Event(), threading.Event()

    def occupy() -> None:
        with core.rings["bob"] if held == "ring" else core.bank:
            taken.set()
            go.wait(10)

    def interrupted(ring, *limits):
        monkeypatch.setattr(Ring, "give_up", original)
        thread.start()
        assert taken.wait(10)
        hub.emit(BOB, "CUSTOM", {"n": 7, "text": "x" * 200_000 if held == "room" else ""})
        go.set()
        thread.join(10)
        return original(ring, *limits)

    thread = threading.Thread(target=occupy, daemon=True)
    bob = None if held == "bank" else hub.open(BOB)
    monkeypatch.setattr(Ring, "give_up", interrupted)
    hub.emit(ADA, "CUSTOM", {"n": 2})

    cursor = bob or hub.open(BOB, after=f"{core.epoch}:0")
    assert numbers(cursor.poll()) == [7]
    assert core.put_off == deque()


def test_an_emit_in_the_midst_of_a_reading_comes_after_it(monkeypatch):
    """
    A signal handler that emits to the very user whose events are being read disturbs nothing.
    """
    hub = EventHub()
    cursor = hub.open(ADA)
    emit_many(hub, ADA, 2)
    original = Ring.since

    def interrupted(ring, after):
        monkeypatch.setattr(Ring, "since", original)
        hub.emit(ADA, "CUSTOM", {"n": 2})
        return original(ring, after)

    monkeypatch.setattr(Ring, "since", interrupted)

    assert numbers(cursor.poll()) == [0, 1]
    assert numbers(cursor.poll()) == [2]


def test_a_finalizer_may_emit_in_the_midst_of_an_emit(monkeypatch):
    """
    Code that runs inside an emit (a finalizer, a signal handler) may itself emit: nothing hangs or is lost.
    """
    hub = EventHub(max_events=2)
    original = Ring.give_up

    def interrupted(ring, *limits):
        monkeypatch.setattr(Ring, "give_up", original)
        hub.emit(BOB, "CUSTOM", {"n": 0})
        return original(ring, *limits)

    monkeypatch.setattr(Ring, "give_up", interrupted)
    bob = hub.open(BOB)
    emitting = threading.Thread(target=emit_many, args=(hub, ADA, 3), daemon=True)
    emitting.start()
    emitting.join(10)

    assert not emitting.is_alive()
    assert numbers(bob.poll()) == [0]
    stats = hub.stats()
    assert (stats.emitted, stats.events, stats.evicted) == (4, 3, 1)


def in_the_midst(monkeypatch, act) -> None:
    """Have *act* called by the next ring that gives something up, as a finalizer would be."""
    original = Ring.give_up

    def interrupted(ring, *limits):
        monkeypatch.setattr(Ring, "give_up", original)
        act()
        return original(ring, *limits)

    monkeypatch.setattr(Ring, "give_up", interrupted)


def test_a_flood_from_inside_comes_out_in_order(monkeypatch):
    """
    Thousands of emits in the midst of one are all stored when it is over, and need no deep stack.
    """
    hub, many = EventHub(max_events=4096), 2 * sys.getrecursionlimit()
    cursor = hub.open(ADA)
    emit_many(hub, ADA, 4096)
    in_the_midst(monkeypatch, lambda: emit_many(hub, ADA, many, start=5000))

    hub.emit(ADA, "CUSTOM", {"n": 4096})

    assert numbers(cursor.poll(5000)[-many - 1 :]) == [4096, *range(5000, 5000 + many)]


def test_a_reading_inside_an_emit_ends(monkeypatch):
    """
    Code in the midst of an emit may emit and read: what it emitted is there when that emit is over.
    """
    hub = EventHub(max_events=2)
    cursor = hub.open(ADA)
    emit_many(hub, ADA, 2)
    seen: list[int] = []

    def act() -> None:
        hub.emit(ADA, "CUSTOM", {"n": 3})
        seen.extend(numbers(cursor.poll()))

    in_the_midst(monkeypatch, act)
    hub.emit(ADA, "CUSTOM", {"n": 2})

    assert (seen, numbers(cursor.poll())) == ([0, 1], [2, 3])


def test_nobody_sleeps_on_what_was_put_off(monkeypatch):
    """
    What is emitted by a signal handler in the moment in which its reader falls asleep wakes it.
    """
    hub = EventHub()
    hub.emit(ADA, "CUSTOM")
    cursor = hub.open(ADA)
    original = EventCursor._pending

    def interrupted(self) -> int:
        monkeypatch.setattr(EventCursor, "_pending", original)
        hub.emit(ADA, "CUSTOM", {"n": 1})
        return original(self)

    monkeypatch.setattr(EventCursor, "_pending", interrupted)
    assert asyncio.run(asyncio.wait_for(cursor.ready(), 10))

    assert numbers(cursor.poll()) == [1]


def test_tidying_up_waits_for_nobody():
    """
    Whoever holds the ring of a silent user, or all of them, others go on; what is idle is forgotten later.
    """
    hub = EventHub(max_age=1e-9)
    core = hub._core
    silent = hub.open(ADA)
    hub.emit(ADA, "CUSTOM")
    ring = core.rings["ada"]

    with ring, ThreadPoolExecutor(1) as pool:
        pool.submit(emit_many, hub, BOB, 64).result(10)
        pool.submit(core.forget_if_idle, ring).result(10)
    silent.poll()
    with core.bank, ThreadPoolExecutor(1) as pool:
        pool.submit(silent.close).result(10)

    assert "ada" in core.rings
    emit_many(hub, BOB, 64)
    assert "ada" not in core.rings


def test_what_finds_the_hub_closed_takes_no_room(monkeypatch):
    """
    An emit that asked for room before the hub was closed, and is let go on after, is refused all the same.
    """
    hub = EventHub()
    core = hub._core
    hub.emit(ADA, "CUSTOM", {"n": 0})
    original = core._make_room

    def late(ring: Ring, size: int) -> bool:
        hub.close()
        return original(ring, size)

    monkeypatch.setattr(core, "_make_room", late)
    hub.emit(ADA, "CUSTOM", {"text": "x" * 100_000})
    hub.emit(ADA, "CUSTOM", {"n": 1})

    stats = hub.stats()
    assert (stats.emitted, stats.refused) == (1, 2)
