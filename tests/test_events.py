"""Events: each reaches its user and nobody else, in order, and what is lost is told."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import pickle
import sys
import threading
from datetime import UTC, datetime
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotplug.context import UserExecutionContext
from hotplug.errors import InvalidContextError
from hotplug.events import EventEmitter, EventHub
from hotplug.events._frozen import FrozenDict, frozen
from hotplug.events._ring import Ring

ADA = UserExecutionContext("ada", thread_id="talk", run_id="run-1")
BOB = UserExecutionContext("bob")


def numbers(events) -> list[int]:
    return [event.payload["n"] for event in events]


def emit_many(hub, context, count, type_="CUSTOM", start=0) -> list[str]:
    return [hub.emit(context, type_, {"n": n}) for n in range(start, start + count)]


def identity_holds(cursor) -> bool:
    stats = cursor.stats()
    return stats.emitted == stats.delivered + stats.coalesced + stats.dropped + stats.pending


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


# -- what an event is --------------------------------------------------------------------------------


def test_an_event_says_to_whom_and_when():
    """
    An event carries its context's user, thread and run, the payload, its cursor and a UTC time.
    """
    hub = EventHub()
    cursor = hub.open(ADA)

    place = hub.emit(ADA, "CUSTOM", {"n": 1})

    [event] = cursor.poll()
    assert (event.type, event.user_id, event.thread_id, event.run_id) == ("CUSTOM", "ada", "talk", "run-1")
    assert event.payload == {"n": 1}
    assert event.cursor == place
    assert event.time.tzinfo is UTC
    assert abs((datetime.now(UTC) - event.time).total_seconds()) < 60


def test_only_the_contexts_user_gets_it():
    """
    A cursor of another user sees nothing of an event.
    """
    hub = EventHub()
    ada, bob = hub.open(ADA), hub.open(BOB)

    hub.emit(ADA, "CUSTOM")

    assert len(ada.poll()) == 1
    assert bob.poll() == []


def test_payloads_are_copies():
    """
    What the emitter does to its payload later changes no event, and no reader can change it for another.
    """
    hub = EventHub()
    cursors = [hub.open(ADA), hub.open(ADA)]
    payload = {"inner": [1]}
    hub.emit(ADA, "CUSTOM", payload)

    payload["inner"].append(2)
    [first] = cursors[0].poll()

    assert first.payload == cursors[1].poll()[0].payload == {"inner": [1]}


CHANGES = {
    "set": lambda payload: payload.__setitem__("more", 1),
    "delete": lambda payload: payload.__delitem__("list"),
    "clear": lambda payload: payload.clear(),
    "pop": lambda payload: payload.pop("list"),
    "popitem": lambda payload: payload.popitem(),
    "setdefault": lambda payload: payload.setdefault("more", 1),
    "update": lambda payload: payload.update(more=1),
    "merge": lambda payload: payload.__ior__({"more": 1}),
    "inner set": lambda payload: payload["list"][1].__setitem__("deep", 0),
    "append": lambda payload: payload["list"].append(3),
    "list set": lambda payload: payload["list"].__setitem__(0, 3),
    "list delete": lambda payload: payload["list"].__delitem__(0),
    "list add": lambda payload: payload["list"].__iadd__([3]),
    "list multiply": lambda payload: payload["list"].__imul__(2),
    "list clear": lambda payload: payload["list"].clear(),
    "extend": lambda payload: payload["list"].extend([3]),
    "insert": lambda payload: payload["list"].insert(0, 3),
    "list pop": lambda payload: payload["list"].pop(),
    "remove": lambda payload: payload["list"].remove(1),
    "reverse": lambda payload: payload["list"].reverse(),
    "sort": lambda payload: payload["list"].sort(key=str),
    "deepest": lambda payload: payload["list"][1]["deep"].append(3),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_payloads_stay_as_they_are(change):
    """
    Nothing in a payload can be changed, at whatever depth.
    """
    hub, plain = EventHub(), {"list": [1, {"deep": [2]}]}
    event = hub.emit_event(ADA, "CUSTOM", plain)

    with pytest.raises(TypeError, match="cannot be changed"):
        change(event.payload)
    assert event.payload == plain


def test_payloads_pass_for_plain_json():
    """
    A payload equals, prints, serialises, copies and pickles as what was emitted, and can be emitted again.
    """
    hub, plain = EventHub(), {"list": [0.5, {"deep": [None, "x"]}], "empty": [{}, []]}
    payload = hub.emit_event(ADA, "CUSTOM", plain).payload

    assert payload == plain
    assert repr(payload) == repr(plain)
    assert json.loads(json.dumps(payload)) == plain
    for same in (copy.deepcopy(payload), pickle.loads(pickle.dumps(payload))):
        assert same == plain
        with pytest.raises(TypeError):
            same["list"].append(1)
    assert hub.emit_event(ADA, "CUSTOM", {"again": payload}).payload == {"again": plain}


def test_deep_payloads_need_no_deep_stack():
    """
    However deep a payload is nested, reading it does not run into the recursion limit.
    """
    payload: dict = {}
    for _ in range(sys.getrecursionlimit()):
        payload = {"in": payload}

    inner = frozen(payload)
    while inner:
        assert type(inner) is FrozenDict
        inner = inner["in"]


def test_any_mapping_is_a_payload():
    """
    A read-only mapping can be emitted, another event's payload for instance.
    """
    hub = EventHub()
    cursor = hub.open(ADA)

    hub.emit(ADA, "CUSTOM", MappingProxyType({"n": 1}))

    assert numbers(cursor.poll()) == [1]


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        ({"x": object()}, "TypeError"),
        (["no", "mapping"], "list"),
        ({"text": "x" * 2000}, "2011 bytes"),
        ({"x": "\ud800"}, "UnicodeEncodeError"),
        ({"x": float("nan")}, "JSON has no nan"),
        ({"x": [None, {"y": (1, float("-inf"))}]}, "JSON has no -inf"),
    ],
    ids=["object", "list", "too large", "lone surrogate", "nan", "infinity"],
)
def test_what_cannot_be_stored_becomes_an_error(payload, why):
    """
    A payload that is no JSON object, or too large, raises nothing: an ERROR event says so in its place.
    """
    hub = EventHub(max_bytes=4096)
    cursor = hub.open(ADA)

    hub.emit(ADA, "CUSTOM", payload)

    [event] = cursor.poll()
    assert event.type == "ERROR"
    assert event.payload["type"] == "CUSTOM"
    assert why in event.payload["message"]
    assert hub.stats().errors == 1
    assert why in hub.refusal(payload)
    assert hub.refusal({"n": 1}) == ""


def test_emit_event_hands_back_what_readers_see():
    """
    The event that `emit_event` returns equals the one that a cursor hands out.
    """
    hub = EventHub()
    cursor = hub.open(ADA)

    event = hub.emit_event(ADA, "CUSTOM", {"n": 1})

    assert cursor.poll() == [event]


# -- reading and resuming ----------------------------------------------------------------------------


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


# -- bounds ------------------------------------------------------------------------------------------


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
    hub = EventHub(max_events=4)
    emit_many(hub, ADA, 20, type_="RUN_FINISHED")

    cursor = hub.open(ADA)
    emit_many(hub, ADA, 1, type_="CUSTOM")

    assert [event.type for event in cursor.poll()] == ["CUSTOM"]
    assert hub.stats().events == 4


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


@pytest.mark.parametrize(
    "limits", [{"max_events": 0}, {"max_bytes": 10}, {"max_total_bytes": 0}, {"max_age": 0}]
)
def test_limits_must_leave_room(limits):
    """
    A limit under which no event would fit is refused by name.
    """
    with pytest.raises(ValueError, match=next(iter(limits))):
        EventHub(**limits)


@given(
    st.lists(
        st.one_of(
            st.sampled_from(["CUSTOM", "STATE_SNAPSHOT", "RUN_FINISHED"]),
            st.integers(min_value=1, max_value=50),
            st.just("close"),
        ),
        max_size=150,
    ),
    st.integers(min_value=1, max_value=40),
)
def test_the_books_always_balance(steps, max_events):
    """
    Whatever is emitted and read: handed out, lost (and told), coalesced and waiting add up to emitted.
    """
    hub = EventHub(max_events=max_events)
    cursor = hub.open(ADA)
    seen: list[int] = []
    missed = emitted = 0
    for step in steps:
        if step == "close":
            cursor.close()
            break
        if isinstance(step, str):
            hub.emit(ADA, step, {"n": emitted})
            emitted += 1
            continue
        for event in cursor.poll(step):
            if event.type == "GAP":
                missed += event.payload["missed"]
            else:
                seen.append(event.payload["n"])
    stats = cursor.stats()
    assert identity_holds(cursor)
    assert stats.emitted == emitted
    assert stats.delivered == len(seen)
    assert seen == sorted(set(seen))
    if "close" not in steps:
        missed += sum(e.payload["missed"] for e in cursor.poll(1000) if e.type == "GAP")
        assert missed == cursor.stats().dropped


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


# -- waiting -----------------------------------------------------------------------------------------


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

        assert asyncio.run(asyncio.wait_for(cursor._something_new(), 10))


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
        await _until(lambda: cursor._ring.sleepers)
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
                await _until(lambda: sum(map(len, cursor._ring.sleepers.values())) == 2)
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
            await _until(lambda: cursor._ring.sleepers)
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
    loop.run_until_complete(_until(lambda: cursor._ring.sleepers))
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
        await _until(lambda: sum(map(len, cursors[0]._ring.sleepers.values())) == 20)
        calls = []
        original = loop.call_soon_threadsafe
        loop.call_soon_threadsafe = lambda *a, **k: calls.append(a) or original(*a, **k)  # type: ignore[method-assign]
        hub.emit(ADA, "CUSTOM")
        await asyncio.gather(*reading)
        return len(calls)

    assert asyncio.run(asyncio.wait_for(read(), 10)) == 1


# -- emitters ----------------------------------------------------------------------------------------


def test_a_bound_emitter_speaks_to_its_user():
    """
    An emitter made for a context needs no other, and takes that user's other contexts.
    """
    hub = EventHub()
    cursor = hub.open(ADA)
    emitter = EventEmitter(hub, ADA)

    emitter.emit("CUSTOM", {"n": 1})
    emitter.emit("CUSTOM", {"n": 2}, context=ADA.child())

    assert numbers(cursor.poll()) == [1, 2]


def test_a_bound_emitter_speaks_to_nobody_else():
    """
    Another user's context is refused, and nothing is emitted.
    """
    hub = EventHub()

    with pytest.raises(InvalidContextError, match="'ada'.*'bob'"):
        EventEmitter(hub, ADA).emit("CUSTOM", context=BOB)

    assert hub.stats().emitted == 0


def test_a_shared_emitter_must_be_told_for_whom():
    """
    An emitter that belongs to nobody emits for the context it is given, and not without one.
    """
    hub = EventHub()
    cursor = hub.open(BOB)
    emitter = EventEmitter(hub)

    emitter.emit("CUSTOM", {"n": 1}, context=BOB)

    assert numbers(cursor.poll()) == [1]
    with pytest.raises(InvalidContextError, match="for whom"):
        emitter.emit("CUSTOM")


async def _all(cursor) -> list[object]:
    return [event async for event in cursor]


async def _until(condition) -> None:
    """Give others their turn until *condition* is true."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0)
