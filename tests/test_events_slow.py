"""Slow readers: what they are spared, what they lose, and when they are closed."""

from __future__ import annotations

import asyncio

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hotplug.context import UserExecutionContext
from hotplug.events import EventHub
from telling import ADA, emit_many, identity_holds, numbers


def test_a_lagging_reader_gets_only_the_newest_snapshot():
    """
    Far behind, a reader is spared the snapshots of a run that a newer one replaced; they are counted.
    """
    hub = EventHub()
    cursor = hub.open(ADA)
    emit_many(hub, ADA, 40, type_="STATE_SNAPSHOT")
    hub.emit(UserExecutionContext("ada", run_id="run-2"), "STATE_SNAPSHOT", {"n": 100})
    hub.emit(ADA, "CUSTOM", {"n": 101})

    assert numbers(cursor.poll()) == [39, 100, 101]
    assert cursor.stats().coalesced == 39
    assert identity_holds(cursor)


def test_no_delta_comes_without_its_snapshot():
    """
    Who was spared a snapshot is spared the deltas to it, too, even if it has caught up by then.
    """
    hub = EventHub()
    cursor = hub.open(ADA)
    hub.emit(ADA, "STATE_SNAPSHOT", {"n": 0})
    emit_many(hub, ADA, 40, type_="STATE_DELTA", start=1)
    hub.emit(ADA, "STATE_SNAPSHOT", {"n": 41})
    hub.emit(ADA, "STATE_DELTA", {"n": 42})

    assert numbers([*cursor.poll(1), *cursor.poll(1), *cursor.poll()]) == [41, 42]
    assert cursor.stats().coalesced == 41


def test_a_snapshot_spared_in_one_reading_is_made_up_for_in_the_next():
    """
    The deltas of a snapshot that was spared are spared as well in a later reading, when nothing is behind.
    """
    hub = EventHub()
    cursor = hub.open(ADA)
    hub.emit(ADA, "STATE_SNAPSHOT", {"n": 0})
    emit_many(hub, ADA, 20, start=1)
    emit_many(hub, ADA, 11, type_="STATE_DELTA", start=21)
    hub.emit(ADA, "STATE_SNAPSHOT", {"n": 32})

    first = numbers(cursor.poll(20))
    assert cursor.stats().pending < 32
    assert (first, numbers(cursor.poll())) == (list(range(1, 21)), [32])


def test_each_activity_is_told():
    """
    A run has several activities: the snapshot of one is not worthless for that of another.
    """
    hub = EventHub()
    cursor = hub.open(ADA)
    emit_many(hub, ADA, 50, type_="ACTIVITY_SNAPSHOT")

    assert numbers(cursor.poll()) == list(range(50))


def test_a_snapshot_that_was_given_up_leaves_nothing_behind():
    """
    When the newest snapshot of a run is evicted, nothing is remembered of it.
    """
    hub = EventHub(max_events=1)
    hub.emit(ADA, "STATE_SNAPSHOT", {"n": 1})
    assert hub._core.rings["ada"].newest

    hub.emit(ADA, "CUSTOM", {"n": 2})

    assert hub._core.rings["ada"].newest == {}


def test_a_reader_that_keeps_up_gets_every_snapshot():
    """
    Nothing is coalesced for who is not far behind.
    """
    hub = EventHub()
    cursor = hub.open(ADA)
    seen = []

    for batch in range(10):
        emit_many(hub, ADA, 30, type_="STATE_SNAPSHOT", start=30 * batch)
        seen += numbers(cursor.poll())

    assert seen == list(range(300))
    assert cursor.stats().coalesced == 0


KINDS = ("CUSTOM", "STATE_SNAPSHOT", "RUN_FINISHED")
# One flat choice a step, which costs next to nothing: so many of a kind, a reading, or (seldom) the end.
STEPS = (*((kind, times) for kind in KINDS for times in (1, 2, 40)), *range(1, 50, 4), "close")


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # it is about the hub, not the machine
@given(st.lists(st.sampled_from(STEPS), max_size=40), st.integers(min_value=1, max_value=100))
def test_the_books_always_balance(steps, max_events):
    """
    Whatever is emitted and read: handed out, lost (and told), coalesced and waiting add up to emitted.
    """
    hub = EventHub(max_events=max_events)
    cursor = hub.open(ADA)
    seen: list[int] = []
    ends: set[int] = set()
    missed = emitted = 0
    is_over = False
    for step in steps:
        if step == "close":
            cursor.close()
            break
        if isinstance(step, tuple):
            kind, times = step
            emit_many(hub, ADA, times, type_=kind, start=emitted)
            if kind == "RUN_FINISHED":
                ends.update(range(emitted, emitted + times))
            emitted += times
            continue
        for event in cursor.poll(step):
            if event.type == "GAP":
                missed += event.payload["missed"]
                is_over = is_over or event.payload["reason"] == "too slow"
            else:
                assert not is_over
                seen.append(event.payload["n"])
    stats = cursor.stats()
    assert identity_holds(cursor)
    assert stats.emitted <= emitted
    assert stats.delivered == len(seen)
    assert seen == sorted(set(seen))
    if "close" not in steps:
        for event in cursor.poll(1000):
            if event.type == "GAP":
                missed += event.payload["missed"]
                is_over = is_over or event.payload["reason"] == "too slow"
            else:
                seen.append(event.payload["n"])
        assert missed == cursor.stats().dropped
        assert is_over or ends <= set(seen)


def test_a_reader_that_ends_of_runs_cannot_wait_for_is_closed():
    """
    Before the end of a run is lost to a reader in silence, it is closed, and told that it was too slow.
    """
    hub = EventHub(max_events=4)
    slow, quick = hub.open(ADA), hub.open(ADA)
    hub.emit(ADA, "RUN_FINISHED", {"n": 0})
    resume = quick.poll()[0].cursor
    emit_many(hub, ADA, 20, type_="RUN_FINISHED")

    [gap] = slow.poll()
    assert (gap.type, gap.payload) == ("GAP", {"missed": slow.stats().emitted, "reason": "too slow"})
    assert slow.poll() == []
    assert identity_holds(slow)
    assert slow.stats().pending == 0
    with hub.open(ADA, after=resume) as again:
        [gap, *rest] = again.poll()
    assert (gap.payload["reason"], numbers(rest)) == ("evicted", [16, 17, 18, 19])


def test_a_reader_that_misses_ordinary_events_goes_on():
    """
    A slow reader of ordinary events is told what it lost, and stays.
    """
    hub = EventHub(max_events=4)
    cursor = hub.open(ADA)
    emit_many(hub, ADA, 20)

    [gap, *rest] = cursor.poll()

    assert (gap.payload, numbers(rest)) == ({"missed": 16, "reason": "evicted"}, [16, 17, 18, 19])
    hub.emit(ADA, "CUSTOM", {"n": 20})
    assert numbers(cursor.poll()) == [20]


def test_iterating_ends_for_who_is_too_slow():
    """
    `async for` hands out the `GAP` that says so, and is over.
    """
    hub = EventHub(max_events=2)

    async def read() -> list[str]:
        cursor = hub.open(ADA)
        emit_many(hub, ADA, 9, type_="RUN_ERROR")
        return [event.payload["reason"] async for event in cursor]

    assert asyncio.run(asyncio.wait_for(read(), 10)) == ["too slow"]
