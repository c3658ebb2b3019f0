"""Events: each reaches its user and nobody else, and says what happened."""

from __future__ import annotations

import copy
import json
import pickle
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType

import pytest

from hotplug.context import UserExecutionContext
from hotplug.errors import InvalidContextError
from hotplug.events import EventEmitter, EventHub
from hotplug.events._frozen import FrozenDict, frozen
from telling import ADA, BOB, numbers


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


class MuteError(Exception):
    def __str__(self) -> str:
        raise ValueError("it says nothing")


class Hostile(Mapping):
    """A payload that raises whatever is asked."""

    def _raise(self, *_: object):
        raise MuteError

    __getitem__ = __iter__ = __len__ = _raise  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("type_", "payload", "why"),
    [
        (5, {}, "a int, not a string"),
        ([], {}, "unhashable"),
        ("", {}, "0 characters"),
        ("X" * 201, {}, "201 characters"),
        ("\ud800", {}, "UnicodeEncodeError"),
        ("\ud800", {"x": object()}, "UnicodeEncodeError"),
        ("CUSTOM", Hostile(), "MuteError"),
        ("\U0001f984" * 5000, {"x": "\ud800" * 5000}, ""),
        ("STATE_SNAPSHOT", {"x": object()}, "TypeError"),
    ],
    ids=["int", "list", "empty", "long", "surrogate", "worse", "hostile", "much too large", "snapshot"],
)
def test_no_emit_raises_or_hangs(type_, payload, why):
    """
    Whatever is emitted into the smallest of rings, it stays within its bounds, and is told as an ERROR.
    """
    hub = EventHub(max_bytes=1024, max_total_bytes=1024)
    cursor = hub.open(ADA)

    hub.emit(ADA, type_, payload)

    [event] = cursor.poll()
    assert event.type == "ERROR"
    assert why[:12] in event.payload["message"] or not why
    assert hub.stats().size <= 1024
    assert hub._core.rings["ada"].newest == {}


def test_what_an_error_says_of_itself_is_passed_on():
    """
    The reason stands in the event in full where there is room, and is the error's type where it says nothing.
    """
    hub = EventHub()

    told = hub.emit_event(ADA, "CUSTOM", Hostile())

    assert told.payload == {"message": "the payload cannot be stored: MuteError", "type": "CUSTOM"}
    assert hub.refusal(Hostile()) == "MuteError"


def test_a_type_is_a_plain_string():
    """
    A member of an enumeration is taken for its value: nothing of the emitter's own classes is kept.
    """

    class Kind(StrEnum):
        OWN = "OWN"
        STATE = "STATE_SNAPSHOT"

    hub = EventHub()
    for kind in (Kind.OWN, Kind.OWN, Kind.STATE):
        event = hub.emit_event(ADA, kind)
        assert (type(event.type), event.type) == (str, kind.value)


def test_many_names_are_not_remembered(monkeypatch):
    """
    Types beyond those that are recognised at once are events as all others.
    """
    monkeypatch.setattr("hotplug.events._core.MOST_NAMES", 2)
    hub = EventHub()
    cursor = hub.open(ADA)

    for n in range(5):
        hub.emit(ADA, f"TYPE_{n}")

    assert [event.type for event in cursor.poll()] == [f"TYPE_{n}" for n in range(5)]
    assert len(hub._core.names) == 2


def test_what_is_too_deep_for_its_reader_is_told():
    """
    A payload that was emitted where the stack was empty does not break who reads it deep in a stack.
    """
    hub = EventHub()
    cursor = hub.open(ADA)
    payload: dict = {}
    for _ in range(sys.getrecursionlimit() * 3 // 4):
        payload = {"in": payload}

    def deep(levels: int) -> list[str]:
        return deep(levels - 1) if levels else [event.type for event in cursor.poll()]

    # Both from a thread, whose stack is empty at first.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(hub.emit, ADA, "CUSTOM", payload).result()
        pool.submit(hub.emit, ADA, "CUSTOM", {}).result()
        assert pool.submit(deep, sys.getrecursionlimit() // 2).result() == ["ERROR", "CUSTOM"]
    assert [event.type for event in hub.open(ADA, after="start").poll()][1:] == ["CUSTOM"]
    assert hub.stats().errors == 0


def test_emit_event_hands_back_what_readers_see():
    """
    The event that `emit_event` returns equals the one that a cursor hands out.
    """
    hub = EventHub()
    cursor = hub.open(ADA)

    event = hub.emit_event(ADA, "CUSTOM", {"n": 1})

    assert cursor.poll() == [event]


def test_what_is_taken_is_the_same_for_all_readers_of_a_user():
    """
    Whoever sends events on takes them as they are stored: once made, once kept, payload as JSON text.
    """
    hub = EventHub()
    ada = UserExecutionContext("ada", "t1")
    one, other = hub.open(ada), hub.open(ada)
    cursor = hub.emit(ada, "CUSTOM", {"a": [1]})

    [[mine], [theirs]] = one.take(), other.take()

    assert mine is theirs
    seq, type_, payload, thread, run, _ = mine
    assert (f"{cursor.partition(':')[0]}:{seq}", type_, payload) == (cursor, "CUSTOM", b'{"a":[1]}')
    assert (thread, run) == ("t1", ada.run_id)
    assert one.stats().delivered == 1


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
