"""Cursors: what they hand out, where they begin, and how they resume."""

from __future__ import annotations

import time

import pytest

from hotplug.events import EventHub
from telling import ADA, BOB, emit_many, identity_holds, numbers


def test_a_cursor_begins_now():
    """
    A cursor without a place to resume sees what happens after it was opened.
    """
    hub = EventHub()
    emit_many(hub, ADA, 3)

    cursor = hub.open(ADA)
    emit_many(hub, ADA, 2, start=3)

    assert numbers(cursor.poll()) == [3, 4]


def test_poll_hands_out_no_more_than_asked():
    """
    `poll(max)` gives the oldest *max* events; the rest waits.
    """
    hub = EventHub()
    cursor = hub.open(ADA)
    emit_many(hub, ADA, 5)

    assert numbers(cursor.poll(2)) == [0, 1]
    assert cursor.stats().pending == 3
    assert numbers(cursor.poll()) == [2, 3, 4]
    with pytest.raises(ValueError, match="at least 1"):
        cursor.poll(0)


def test_resuming_loses_nothing():
    """
    A cursor opened after an event's cursor sees what came after that event.
    """
    hub = EventHub()
    places = emit_many(hub, ADA, 5)

    cursor = hub.open(ADA, after=places[1])

    assert numbers(cursor.poll()) == [2, 3, 4]
    assert cursor.stats().emitted == 3


def test_an_evicted_place_gives_one_gap():
    """
    What is gone already when a reader resumes is told by one GAP, before what is left.
    """
    hub = EventHub(max_events=4)
    places = emit_many(hub, ADA, 10)

    events = (cursor := hub.open(ADA, after=places[0])).poll()

    assert [event.type for event in events] == ["GAP"] + ["CUSTOM"] * 4
    assert events[0].payload == {"missed": 5, "reason": "evicted"}
    assert numbers(events[1:]) == [6, 7, 8, 9]
    assert cursor.stats().dropped == 5
    assert identity_holds(cursor)


@pytest.mark.parametrize("foreign", ["", "other:3", "garbage", "{epoch}:x", "{epoch}:99", "{epoch}:²"])
def test_a_foreign_place_gives_one_gap(foreign):
    """
    A place of another hub (or of none) is told by one GAP; then comes all there is.
    """
    hub = EventHub()
    places = emit_many(hub, ADA, 3)

    cursor = hub.open(ADA, after=foreign.replace("{epoch}", places[0].partition(":")[0]))
    events = cursor.poll()

    assert [event.type for event in events] == ["GAP", "CUSTOM", "CUSTOM", "CUSTOM"]
    assert events[0].payload["reason"] == "another epoch"
    assert cursor.poll() == []


def test_from_the_start_there_is_all_and_a_gap_only_where_something_is_gone():
    """
    Who was never here has lost nothing, and is told of a gap only if what they ask for is gone.
    """
    hub = EventHub(max_events=4)
    assert hub.open(ADA, after="start").poll() == []

    emit_many(hub, ADA, 4)
    assert numbers(hub.open(ADA, after="start").poll()) == [0, 1, 2, 3]

    emit_many(hub, ADA, 5, start=4)
    cursor = hub.open(ADA, after="start")
    gap, *rest = cursor.poll()
    assert gap.type == "GAP"
    assert gap.payload == {"missed": 9 - len(rest), "reason": "evicted"}
    assert numbers(rest)[-1] == 8
    assert identity_holds(cursor)


def test_from_the_start_of_one_user_is_no_matter_of_others():
    """
    Who was never here is told of no gap, however many others were here and are forgotten.
    """
    hub = EventHub()
    emit_many(hub, BOB, 3)
    core = hub._core
    with core.bank, core.rings["bob"] as ring:
        core.expire(ring, time.time() + core.max_age + 1)
    core.forget_if_idle(ring)
    assert (hub.stats().users, core.floor) == (0, 3)

    cursor = hub.open(ADA, after="start")

    assert cursor.poll() == []
    assert cursor.stats().emitted == 0


def test_a_foreign_place_in_an_empty_ring_gives_a_gap_too():
    """
    After a restart with no event since, the reader still learns that there was a break.
    """
    cursor = EventHub().open(ADA, after="other:3")

    assert [event.type for event in cursor.poll()] == ["GAP"]


def test_a_gap_is_a_place_to_resume():
    """
    Who resumes after a GAP loses nothing of what came after it.
    """
    hub = EventHub(max_events=4)
    places = emit_many(hub, ADA, 10)
    gap = hub.open(ADA, after=places[0]).poll(1)[0]

    assert numbers(hub.open(ADA, after=gap.cursor).poll()[1:]) == [6, 7, 8, 9]


def test_ack_is_where_to_resume():
    """
    `ack` remembers the furthest event dealt with, never goes back, and takes no place not reached.
    """
    hub = EventHub()
    cursor = hub.open(ADA)
    places = emit_many(hub, ADA, 4)
    cursor.poll(3)

    assert cursor.ack(places[1]) == places[1]
    assert cursor.ack(places[0]) == places[1]
    assert cursor.ack() == places[2]
    for wrong in (places[3], "other:1"):
        with pytest.raises(ValueError, match="not handed out"):
            cursor.ack(wrong)
