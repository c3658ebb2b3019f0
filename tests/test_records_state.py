"""State that goes from one generation to the next: plain, copied, and nothing of an old class in it."""

from __future__ import annotations

import enum
import math
import sys
from collections import OrderedDict, UserDict, defaultdict, deque, namedtuple
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from hotplug import _records
from hotplug._records import exported_state, plain_state
from hotplug.market import Side

IST = timezone(timedelta(hours=5, minutes=30))
ATOMS = [
    None,
    True,
    1,
    10**5000,
    1.5,
    math.inf,
    "a",
    b"a",
    Decimal("1.10"),
    date(2024, 1, 2),
    timedelta(1),
    UUID(int=1),
    datetime(2024, 1, 2, tzinfo=None),  # noqa: DTZ001 - plain, too
    datetime(2024, 1, 2, tzinfo=UTC),
    datetime(2024, 1, 2, tzinfo=ZoneInfo("Europe/London")),
    time(1, 2, tzinfo=IST),
]


class Money(Decimal):
    """A subclass of something plain, as a plugin may have one."""


class Level(enum.IntEnum):
    LOW = 1


class Names(dict):
    pass


class Home(tzinfo):
    pass


class Zone(ZoneInfo):
    pass


Pair = namedtuple("Pair", "a b")


@pytest.mark.parametrize("value", ATOMS, ids=lambda value: type(value).__name__)
def test_what_is_plain_stays_as_it_is(value):
    """
    A plain value comes back equal and of its own type, alone, as a member and as a key.
    """
    copy = plain_state([value, (value,), {value: value}, {value}, frozenset({value})], "it")

    assert copy == [value, (value,), {value: value}, {value}, frozenset({value})]
    assert [type(each) for each in copy] == [type(value), tuple, dict, set, frozenset]
    assert type(copy[0]) is type(copy[1][0]) is type(next(iter(copy[2]))) is type(value)


def test_the_copy_shares_nothing_that_changes():
    """
    Whatever happens to the original afterwards, at any depth, does not happen to the copy.
    """
    original = {"a": [1, {"b": {2}}], ("k", 1): ([3],)}
    copy = plain_state(original, "it")

    original["a"][1]["b"].add(9)
    original["a"].append(9)
    original["k", 1][0].append(9)
    original["z"] = 9

    assert copy == {"a": [1, {"b": {2}}], ("k", 1): ([3],)}


def test_what_is_there_twice_is_there_twice():
    """
    One list in two places is one list in two places of the copy, and costs no time twice.
    """
    data = []
    for _ in range(40):
        data = [data, data]

    copy = plain_state(data, "it")

    for _ in range(40):
        assert copy[0] is copy[1]
        copy = copy[0]
    assert copy == []


@pytest.mark.parametrize(
    "wrong",
    [
        object(),
        Money(1),
        Level.LOW,
        Side.BUY,
        Names(),
        Pair(1, 2),
        OrderedDict(),
        defaultdict(list),
        deque(),
        UserDict(),
        bytearray(),
        1j,
        range(3),
        len,
        int,
        math,
        lambda: None,
        datetime(2024, 1, 2, tzinfo=Home()),
        time(1, tzinfo=Home()),
        datetime(2024, 1, 2, tzinfo=Zone("Europe/London")),
        iter(()),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize(
    "wrap", [lambda x: x, lambda x: [x], lambda x: {"k": (x,)}], ids=["bare", "list", "dict"]
)
def test_anything_else_is_refused(wrong, wrap):
    """
    An object of any other class, subclasses of plain ones included, is a TypeError wherever it is.
    """
    with pytest.raises(TypeError, match="only None, bool, int"):
        plain_state(wrap(wrong), "it")


def test_what_only_looks_plain_is_refused():
    """
    An object that says it is of a plain class is not believed, and none of its code runs.
    """

    class Liar:
        __class__ = str

        def __getattribute__(self, name):
            raise SystemExit(name)

        __hash__ = __eq__ = __repr__ = __len__ = __iter__ = __getattribute__

    liar = object.__new__(Liar)

    with pytest.raises(TypeError, match="is a .*Liar: only"):
        plain_state([liar], "it")


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (deque(), r"the state of X is a collections\.deque: "),
        ({"a": [0, {"b": deque()}]}, r"the state of X\['a'\]\[1\]\['b'\] is a collections\.deque: "),
        ({("a", 1): deque()}, r"the state of X\[\('a', 1\)\] is a "),
        ({"a": {Level.LOW}}, r"the state of X\['a'\], a member, is a .*\.Level: "),
        ({"a": {Level.LOW: 1}}, r"the state of X\['a'\], a key, is a .*\.Level: "),
        ([datetime(2024, 1, 2, tzinfo=Home())], r"the state of X\[0\]\.tzinfo is a .*\.Home: "),
        ({"n" * 200: deque()}, r"the state of X\['n{39}…\] is a "),
        ({10**5000: deque()}, r"the state of X\[…\] is a "),
        ({"{}": [deque()]}, r"the state of X\['\{\}'\]\[0\] is a "),
    ],
)
def test_the_error_says_where(data, where):
    """
    The path to what is not plain is told as one would write it.
    """
    with pytest.raises(TypeError, match=f"^{where}"):
        plain_state(data, "the state of X")


def test_what_contains_itself_is_refused():
    """
    A circle is a TypeError, not an endless walk.
    """
    data = {"a": []}
    data["a"].append(data)

    with pytest.raises(TypeError, match=r"^it\['a'\]\[0\] contains itself$"):
        plain_state(data, "it")


def nested(depth):
    data = None
    for _ in range(depth):
        data = [data]
    return data


def test_depth_is_limited():
    """
    Fifty levels are copied, one more is a TypeError, and 100,000 are no RecursionError.
    """
    assert plain_state(nested(50), "it") == nested(50)
    for depth in (51, 100_000):
        data = nested(depth)
        with pytest.raises(TypeError, match="it is nested more than 50 deep"):
            plain_state(data, "it")
        while data:
            data = data.pop()


def test_fifty_levels_leave_room_on_the_stack():
    """
    The deepest state is copied where 600 frames are in use already.
    """

    def deep(left):
        return plain_state(nested(50), "it") if not left else deep(left - 1)

    assert sys.getrecursionlimit() == 1000
    assert deep(600) == nested(50)


def test_an_export_is_a_version_and_data():
    """
    Version and data come apart, the data copied.
    """
    data = [1]

    version, copy = exported_state((3, data), "it")

    assert (version, copy) == (3, [1])
    assert copy is not data


@pytest.mark.parametrize(
    "answer",
    [None, (), (1,), (1, 2, 3), [1, {}], ("1", {}), (True, {}), (Level.LOW, {}), Pair(1, {}), {"version": 1}],
    ids=repr,
)
def test_another_export_is_refused(answer):
    """
    Whatever is no pair of an int and data is a TypeError that says what is wanted.
    """
    with pytest.raises(TypeError, match=r"the state of X must come as a tuple \(version, data\)"):
        exported_state(answer, "the state of X")


def test_the_data_of_an_export_are_checked():
    """
    Data that are not plain are refused with their place.
    """
    with pytest.raises(TypeError, match=r"^it\['a'\] is a "):
        exported_state((1, {"a": object()}), "it")


def test_the_room_of_records_stays_cheap():
    """
    Who asks the room for another record does not pay for this one.
    """
    code = "import sys; from hotplug._records import Changes; print('hotplug._records._state' in sys.modules)"
    import subprocess

    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert told == "False\n"
    assert {"exported_state", "plain_state"} <= set(_records.__all__)
