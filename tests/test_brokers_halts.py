"""Halts: in force at once, kept in a file, shared by processes, lifted by nobody but who resumes."""

from __future__ import annotations

import json
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hotplug.brokers._events._files import lock_file
from hotplug.brokers._hosting._halts import Halt, HaltFile, Halts, write_private
from racing import in_threads


@pytest.fixture
def file(tmp_path):
    return HaltFile(tmp_path / "orders" / "halts.json")


def reasons(halts, *asked):
    return [halts.reason(key, user) for key, user in asked]


def everything(halts):
    return reasons(halts, ("main", "ada"), ("main", "bob"), ("other", "ada"), ("other", None))


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ({}, ["why", "why", "why", "why"]),
        ({"key": "main"}, ["why", "why", None, None]),
        ({"user": "ada"}, ["why", None, "why", None]),
        ({"key": "main", "user": "ada"}, ["why", None, None, None]),
    ],
)
def test_a_halt_holds_in_its_scope(scope, expected):
    """
    A halt holds for its broker and its user, and for all of them where it names none.
    """
    halts = Halts()
    assert everything(halts) == [None] * 4

    halts.shut(Halt.now("why", **scope))

    assert everything(halts) == expected
    halts.lift(lambda _: True)
    assert everything(halts) == [None] * 4


@pytest.mark.parametrize("reason", ["", "  \n", None, 7])
def test_a_halt_needs_a_reason(reason):
    """
    Nobody halts without saying why.
    """
    with pytest.raises(ValueError, match="say why"):
        Halt.now(reason)


def test_a_halt_says_what_it_holds_for():
    """
    As text, a halt names broker, user and reason.
    """
    assert str(Halt.now("storm")) == "every broker: storm"
    assert str(Halt.now("storm", key="main", user="ada")) == "broker 'main', user 'ada': storm"


def test_halts_survive_the_process(file):
    """
    What was halted is so for whoever reads the file next, with all its facts; the file is the owner's alone.
    """
    halts = Halts(file)
    halts.shut(Halt.now("second", key="main", cancel=False))
    halts.shut(
        Halt(reason="first", user="ada", since=datetime.now(UTC) - timedelta(hours=1), by="an operator")
    )

    again = Halts(HaltFile(file.path))

    assert again.in_force() == halts.in_force()
    assert [halt.reason for halt in again.in_force()] == ["first", "second"]
    assert again.in_force()[1].cancel is False
    assert oct(file.path.stat().st_mode & 0o777) == "0o600"
    assert oct(file.path.parent.stat().st_mode & 0o777) == "0o700"


def test_only_what_is_resumed_is_lifted(file):
    """
    Lifting takes the chosen scopes, in memory and in the file; the rest stays.
    """
    halts = Halts(file)
    halts.shut(Halt.now("all"))
    halts.shut(Halt.now("hers", user="ada"))

    halts.lift(lambda scope: scope == (None, None))

    assert [str(halt) for halt in Halts(file).in_force()] == ["every broker, user 'ada': hers"]
    assert halts.reason("main", "bob") is None
    assert halts.reason("main", "ada") == "hers"


def test_what_was_halted_before_there_was_a_file_goes_into_it(file):
    """
    Halts of memory are kept as soon as there is a file, beside those that stand there.
    """
    Halts(file).shut(Halt.now("old", user="bob"))
    halts = Halts()
    halts.shut(Halt.now("new", key="main"))

    halts.keep_in(file)

    assert sorted(halt.reason for halt in Halts(file).in_force()) == ["new", "old"]
    assert halts.reason("x", "bob") == "old"


def test_other_processes_are_followed(file):
    """
    A look finds what others halted and lifted since, once; what was made here is no news.
    """
    here, there = Halts(file), Halts(file)
    assert here.look() == ((), ())

    there.shut(Halt.now("storm"))
    new, lifted = here.look()
    assert ([halt.reason for halt in new], lifted) == (["storm"], ())
    assert here.reason("main", None) == "storm"
    assert here.look() == ((), ())

    here.shut(Halt.now("mine", key="main"))
    assert here.look() == ((), ())
    there.lift(lambda scope: scope == (None, None))
    new, lifted = here.look()
    assert (new, [halt.reason for halt in lifted]) == ((), ["storm"])
    assert [halt.reason for halt in here.in_force()] == ["mine"]
    assert here.serial == there.serial == 3


def test_what_others_halted_is_seen_although_one_wrote_oneself(file):
    """
    A halt of another process is news here, also if a change of our own found it in the file first.
    """
    here, there = Halts(file), Halts(file)
    there.shut(Halt.now("storm"))

    here.shut(Halt.now("mine", key="main"))

    assert here.reason("other", None) == "storm"
    new, _ = here.look()
    assert [halt.reason for halt in new] == ["storm"]


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"serial": 1, "halts": [{}]}',
        '{"serial": 1, "halts": [{"reason": 5, "key": null, "user": null}]}',
        '{"serial": 1, "halts": [{"reason": "x", "key": 3, "user": null}]}',
        '{"serial": 1, "halts": [{"reason": "x", "key": null, "user": null, "since": "soon"}]}',
        "\udcff",
    ],
)
def test_a_file_that_cannot_be_read_halts_everything(file, text):
    """
    Nobody knows what it held: all is halted until somebody resumes, which also mends the file.
    """
    file.path.parent.mkdir()
    file.path.write_bytes(text.encode(errors="surrogateescape"))
    halts = Halts(file)

    assert "cannot be read" in halts.reason("any", None)

    halts.lift(lambda scope: scope[1] is None)
    assert Halts(file).in_force() == halts.in_force() == ()


def test_a_halt_is_in_force_where_it_cannot_be_kept(tmp_path):
    """
    A full or forbidden disk stops no halt: it holds in memory, and the problem is told until it is kept.
    """
    (tmp_path / "orders").write_text("a file where the folder should be")
    halts = Halts(HaltFile(tmp_path / "orders" / "halts.json"))

    halts.shut(Halt.now("storm", key="main"))

    assert halts.reason("main", None) == "storm"
    assert "would not survive a restart" in halts.problem
    with pytest.raises(OSError, match="orders"):
        halts.lift(lambda _: True)
    assert halts.reason("main", None) == "storm"

    (tmp_path / "orders").unlink()
    halts.shut(Halt.now("worse"))
    assert halts.problem == ""


def test_nobody_waits_for_ever_for_the_file(file, monkeypatch):
    """
    Another process that holds the file too long is an error, after a limit.
    """
    monkeypatch.setattr("hotplug.brokers._hosting._halts.LOCK_LIMIT", 0.02)
    halts = Halts(file)
    halts.shut(Halt.now("first"))
    lock = os.open(file.path.with_name("halts.json.lock"), os.O_RDWR)
    assert lock_file(lock)

    try:
        with pytest.raises(TimeoutError, match="another process holds"):
            halts.lift(lambda _: True)
    finally:
        os.close(lock)
    halts.lift(lambda _: True)
    assert halts.in_force() == ()


@pytest.mark.usefixtures("eager_threads")
def test_no_change_is_lost_between_writers(file):
    """
    Many writers at once, each with its own `Halts`: every halt stands in the file, and each change counts.
    """

    def shut(number):
        return lambda: Halts(HaltFile(file.path)).shut(Halt.now("storm", key=f"b{number}"))

    assert in_threads(*map(shut, range(8))) == [None] * 8

    kept = Halts(file)
    assert sorted(halt.key for halt in kept.in_force()) == [f"b{number}" for number in range(8)]
    assert kept.serial == 8


@pytest.mark.usefixtures("eager_threads")
def test_readers_see_a_halt_at_once():
    """
    From the moment `shut` returned, no thread finds the gate open.
    """
    halts, is_shut, wrong = Halts(), threading.Event(), []

    def read():
        while not is_shut.is_set():
            halts.reason("main", "ada")
        wrong.extend(halts.reason("main", "ada") for _ in range(100))

    def shut():
        halts.shut(Halt.now("storm"))
        is_shut.set()

    in_threads(read, read, read, shut)

    assert wrong == ["storm"] * 300


def test_a_private_file_is_whole_or_not_there(tmp_path, monkeypatch):
    """
    What fails while writing leaves the old file, and nothing beside it.
    """
    path = tmp_path / "x.json"
    write_private(path, "old")

    def fail(self, target):
        raise OSError("no space")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        write_private(path, "new")

    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["x.json"]


def test_the_file_is_plain_json(file):
    """
    An operator can read the file without hotplug.
    """
    Halts(file).shut(Halt.now("storm", key="main"))

    document = json.loads(file.path.read_text())

    assert document["serial"] == 1
    assert [(halt["key"], halt["user"], halt["reason"]) for halt in document["halts"]] == [
        ("main", None, "storm")
    ]
