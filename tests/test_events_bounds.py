"""Rings and their common cap: how much is held, for how long, and who pays."""

from __future__ import annotations

import gc
import random

import pytest

from hotplug.context import UserExecutionContext
from hotplug.events import EventHub
from telling import ADA, BOB, emit_many, identity_holds, numbers


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""

    class Clock:
        now = 1_700_000_000.0

        def time(self) -> float:
            return self.now

    clock = Clock()
    monkeypatch.setattr("hotplug.events._core.time", clock)
    monkeypatch.setattr("hotplug.events._hub.time", clock)
    return clock


def test_a_slow_reader_is_told_what_it_lost():
    """
    A reader that was overtaken gets one GAP with the number of lost events, then the rest; later ones too.
    """
    hub = EventHub(max_events=3)
    cursor = hub.open(ADA)
    emit_many(hub, ADA, 5)

    first = cursor.poll()
    emit_many(hub, ADA, 4, start=5)
    second = cursor.poll()

    assert (first[0].type, first[0].payload["missed"]) == ("GAP", 2)
    assert numbers(first[1:]) == [2, 3, 4]
    assert (second[0].type, second[0].payload["missed"]) == ("GAP", 1)
    assert numbers(second[1:]) == [6, 7, 8]
    assert cursor.stats().dropped == 3
    assert identity_holds(cursor)


def test_the_ends_of_runs_outlast_ordinary_events():
    """
    A flood of ordinary events pushes out ordinary events, not the end of an earlier run.
    """
    hub = EventHub(max_events=6)
    cursor = hub.open(ADA)
    hub.emit(ADA, "RUN_STARTED", {"n": -2})
    hub.emit(ADA, "RUN_FINISHED", {"n": -1})

    emit_many(hub, ADA, 20)

    events = cursor.poll()
    assert [event.type for event in events[:3]] == ["GAP", "RUN_STARTED", "RUN_FINISHED"]
    assert numbers(events[3:]) == [16, 17, 18, 19]
    assert events[0].payload["missed"] == 16
    assert identity_holds(cursor)


def test_lasting_events_do_not_take_the_whole_ring():
    """
    However many runs end, ordinary events still come through: lasting ones keep half of the ring.
    """
    hub = EventHub(max_events=8)
    emit_many(hub, ADA, 20, type_="RUN_FINISHED")

    cursor = hub.open(ADA)
    emit_many(hub, ADA, 3, type_="CUSTOM")

    assert numbers(cursor.poll()) == [0, 1, 2]
    assert hub.stats().events == 8


def test_a_large_ring_gives_up_a_little_at_a_time():
    """
    A full ring of thousands makes room for some events at once, and is nearly full all the time.
    """
    hub = EventHub(max_events=1024)
    emit_many(hub, ADA, 1024)
    assert hub.stats().events == 1024
    sizes = set()

    for _ in range(100):
        hub.emit(ADA, "CUSTOM")
        sizes.add(hub.stats().events)

    assert (max(sizes), min(sizes)) == (1024, 1024 - 1024 // 256)


def test_bytes_are_bounded():
    """
    A ring gives up old events when it grows over its bytes, however few they are.
    """
    hub = EventHub(max_bytes=10_000)
    cursor = hub.open(ADA)

    for n in range(100):
        hub.emit(ADA, "CUSTOM", {"n": n, "text": "x" * 1000})

    stats = hub.stats()
    assert stats.size <= 10_000
    assert stats.emitted == stats.events + stats.evicted == 100
    assert numbers(cursor.poll()[1:]) == list(range(100 - stats.events, 100))


def test_bytes_are_bounded_whatever_the_sizes():
    """
    However large and small events follow each other, no ring ever holds more than its bytes.
    """
    chance = random.Random(0)
    hub = EventHub(max_bytes=10_000, max_total_bytes=100_000)

    for _ in range(2000):
        hub.emit(ADA, "CUSTOM", {"text": "x" * chance.choice((1, 30, 700, 2000, 4600))})
        assert hub.stats().size <= 10_000


def test_all_users_share_one_cap():
    """
    Over the common limit the user that has been silent longest pays, and learns of it.
    """
    hub = EventHub(max_total_bytes=20_000, max_bytes=10_000)
    users = [UserExecutionContext(f"user-{n}") for n in range(40)]
    first = hub.open(users[0])

    for user in users:
        for n in range(5):
            hub.emit(user, "CUSTOM", {"n": n, "text": "x" * 400})

    stats = hub.stats()
    assert stats.size <= 20_000
    assert stats.emitted == stats.events + stats.evicted == 200
    assert [event.type for event in first.poll()] == ["GAP"]
    assert hub.open(users[-1], after="elsewhere").poll()[1:][-1].payload["n"] == 4


def test_old_events_are_dropped(clock):
    """
    Nothing older than `max_age` is handed out; who waited for it is told.
    """
    hub = EventHub(max_age=10)
    cursor = hub.open(ADA)
    hub.emit(ADA, "RUN_FINISHED", {"n": 0})
    hub.emit(ADA, "CUSTOM", {"n": 1})
    clock.now += 6
    hub.emit(ADA, "CUSTOM", {"n": 2})
    clock.now += 6

    events = cursor.poll()

    assert [event.type for event in events] == ["GAP", "CUSTOM"]
    assert events[1].payload["n"] == 2


def test_silent_users_are_forgotten(clock):
    """
    A user whose events have all grown too old, and who reads nothing, costs no memory; who resumes is told.
    """
    hub = EventHub(max_age=10)
    place = hub.emit(ADA, "CUSTOM")
    clock.now += 11

    emit_many(hub, BOB, 64)

    assert hub.stats().users == 1
    hub.emit(ADA, "CUSTOM", {"n": 1})
    assert [event.type for event in hub.open(ADA, after=place).poll()] == ["CUSTOM"]
    zero = place.partition(":")[0] + ":0"
    assert [event.type for event in hub.open(ADA, after=zero).poll()] == ["GAP", "CUSTOM"]


def test_who_was_emptied_by_age_may_emit_again(clock):
    """
    A user whose events all expired under a reader's eyes counts for the common limits as before.
    """
    hub = EventHub(max_age=10)
    cursor = hub.open(ADA)
    hub.emit(ADA, "CUSTOM", {"n": 0})
    clock.now += 11
    assert [event.type for event in cursor.poll()] == ["GAP"]

    hub.emit(ADA, "CUSTOM", {"n": 1})
    clock.now += 11
    cursor.close()
    emit_many(hub, BOB, 64)

    assert hub.stats().users == 1


def test_a_closed_cursor_leaves_nothing_behind():
    """
    A user who only ever read is forgotten with the last cursor, closed or abandoned.
    """
    hub = EventHub()
    with hub.open(ADA):
        assert hub.stats().cursors == 1
    assert hub.stats().users == 0

    hub.open(ADA)
    gc.collect()
    assert hub.stats().cursors == 0


@pytest.mark.parametrize(
    "limits", [{"max_events": 0}, {"max_bytes": 10}, {"max_total_bytes": 0}, {"max_age": 0}]
)
def test_limits_must_leave_room(limits):
    """
    A limit under which no event would fit is refused by name.
    """
    with pytest.raises(ValueError, match=next(iter(limits))):
        EventHub(**limits)


def test_the_common_limit_is_paid_by_who_is_silent_longest():
    """
    Who spoke last, even in the room it had, is asked last.
    """
    hub = EventHub(max_total_bytes=20_000)
    fill = {"text": "x" * 1000}
    for user in (ADA, BOB):
        for _ in range(7):
            hub.emit(user, "CUSTOM", fill)
    hub.emit(ADA, "CUSTOM", {})
    eve = UserExecutionContext("eve")
    for _ in range(4):
        hub.emit(eve, "CUSTOM", fill)

    counts = {user: ring.count for user, ring in hub._core.rings.items()}
    assert counts["ada"] == 8
    assert counts["bob"] < 7
    assert hub.stats().size <= 20_000


def test_who_is_alone_pays_for_itself():
    """
    Where nobody else has anything to give, a user's own oldest events make room for its newest.
    """
    hub = EventHub(max_total_bytes=10_000)
    for n, size in enumerate((250, 2750, 2750, 2750, 2750, 450)):
        hub.emit(ADA, "CUSTOM", {"n": n, "text": "x" * (size - 20)})

    assert hub.stats().size <= 10_000
    assert numbers(hub.open(ADA, after="start").poll()[1:])[-1] == 5
    assert hub._core.rings["ada"].room <= 10_000


def test_who_is_forgotten_does_not_pay(clock):
    """
    A user who was forgotten while it stood among those that may have to pay is passed over.
    """
    hub = EventHub(max_age=10, max_total_bytes=10_000)
    cursor = hub.open(ADA)
    hub.emit(ADA, "CUSTOM")
    clock.now += 11
    assert [event.type for event in cursor.poll()] == ["GAP"]
    cursor.close()
    assert hub.stats().users == 0

    others = BOB, UserExecutionContext("eve")
    for n in range(40):
        hub.emit(others[n % 2], "CUSTOM", {"n": n, "text": "x" * 400})

    taken = sum(ring.room for ring in hub._core.rings.values())
    assert (hub.stats().users, hub._core.free) == (2, 10_000 - taken)


def test_a_snapshot_that_grew_too_old_leaves_nothing_behind(clock):
    """
    When the newest snapshot of a run has expired, nothing is remembered of it.
    """
    hub = EventHub(max_age=10)
    cursor = hub.open(ADA)
    hub.emit(ADA, "STATE_SNAPSHOT")
    clock.now += 11

    cursor.poll()

    assert hub._core.rings["ada"].newest == {}


def test_who_is_empty_may_take_from_others(clock):
    """
    A user whose events have all expired gets room from who is silent, and is no worse off than a new one.
    """
    hub = EventHub(max_age=10, max_total_bytes=10_000)
    cursor = hub.open(ADA)
    hub.emit(ADA, "CUSTOM", {"n": 0})
    clock.now += 6
    for n in range(14):
        hub.emit(BOB, "CUSTOM", {"n": n, "text": "x" * 400})
    clock.now += 5
    assert [event.type for event in cursor.poll()] == ["GAP"]

    hub.emit(ADA, "CUSTOM", {"n": 1, "text": "x" * 4000})

    assert numbers(cursor.poll()) == [1]
    assert hub.stats().size <= 10_000


def test_who_speaks_all_the_time_takes_nothing_from_others_who_do(clock):
    """
    Under the common limit each of many who go on speaking keeps half its share at least.
    """
    hub = EventHub(max_total_bytes=200_000)
    users = [UserExecutionContext(f"user-{n}") for n in range(10)]
    rooms = []
    for n in range(500):
        for user in users:
            hub.emit(user, "CUSTOM", {"n": n})
            rooms.append([ring.room for ring in hub._core.rings.values()])

    assert all(each == rooms[-1] for each in rooms[-200:])
    counts = [ring.count for ring in hub._core.rings.values()]
    assert hub.stats().size <= 200_000
    assert min(counts) > 0.4 * (200_000 / 10 / 270)


def test_who_is_silent_pays_for_who_speaks(clock):
    """
    A user who has its share gets more from those who have been silent for a while, down to all they have.
    """
    hub = EventHub(max_total_bytes=20_000)
    for user in (BOB, UserExecutionContext("eve")):
        emit_many(hub, user, 35)
    clock.now += 2

    emit_many(hub, ADA, 80)

    counts = {user: ring.count for user, ring in hub._core.rings.items()}
    assert counts["ada"] >= 70
    assert sum(counts.values()) < 80


def test_a_share_may_be_smaller_than_an_event(clock):
    """
    However many users there are, each can be told something.
    """
    hub = EventHub(max_total_bytes=4000)
    cursors = [hub.open(UserExecutionContext(f"user-{n}")) for n in range(100)]
    for n in range(3):
        for number, cursor in enumerate(cursors):
            hub.emit(UserExecutionContext(f"user-{number}"), "CUSTOM", {"n": n, "text": "x" * 500})
            assert numbers([cursor.poll()[-1]]) == [n]
            assert hub.stats().size <= 4000


def test_a_large_event_takes_all_that_small_ones_had():
    """
    Where an event needs more room than one silent user has, several give all they have.
    """
    hub = EventHub(max_total_bytes=10_000)
    for n in range(30):
        hub.emit(UserExecutionContext(f"user-{n}"), "CUSTOM", {"n": n})

    hub.emit(ADA, "CUSTOM", {"n": 30, "text": "x" * 4000})

    assert numbers(hub.open(ADA, after="start").poll()) == [30]
    assert hub.stats().users < 25
    assert hub.stats().size <= 10_000
