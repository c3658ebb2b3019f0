"""The journal: what was written stands there, whole, and is written by one process."""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import os
import runpy
import stat
import sys
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotplug.brokers._events import _files, _journal
from hotplug.brokers._events._journal import FileJournal, MemoryJournal, read_journal
from hotplug.brokers._events._plain import from_line, from_plain, to_line, to_plain
from hotplug.market import (
    Attribution,
    Balance,
    Bar,
    ConnectionLost,
    Fill,
    Gap,
    GatewayStatus,
    HealthReport,
    HealthState,
    Heartbeat,
    Instrument,
    Liquidity,
    Order,
    OrderRequest,
    OrderStatus,
    OrderType,
    OrderUpdate,
    Position,
    Quote,
    Side,
    Snapshot,
    StatusChange,
    TimeInForce,
)
from racing import DEADLINE, in_threads, until_it_stands

NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
ORDER = Order(
    symbol="ACME",
    side=Side.SELL,
    qty=Decimal("10.50"),
    status=OrderStatus.PARTIALLY_FILLED,
    type=OrderType.STOP_LIMIT,
    price=Decimal("1E+3"),
    stop_price=Decimal("0.00000001"),
    tif=TimeInForce.GTD,
    expire_at=NOON + timedelta(days=1),
    account="A1",
    client_order_id="c1",
    tags=("one", "zwei €"),
    filled_qty=Decimal("0.5"),
    avg_price=Decimal("3.3333333333333333333333333333"),
    attribution=Attribution(user="alice", generation=7),
    created_at=NOON,
)
FILL = Fill(
    trade_id="t1",
    order_id=None,
    client_order_id="c1",
    account="A1",
    symbol="ACME",
    side=Side.BUY,
    qty=Decimal(1),
    price=Decimal("-37.63"),
    fee=Decimal(0),
    fee_currency="USD",
    liquidity=Liquidity.MAKER,
    time=NOON,
)
POSITION = Position(
    account="A1", symbol="ACME", qty=Decimal(-3), avg_price=None, realized_pnl=Decimal("-0.00")
)
BALANCE = Balance(
    account="A1", currency="EUR", total=Decimal("1.10"), available=Decimal(1), locked=Decimal("0.10")
)
RECORDS = [
    ORDER,
    FILL,
    POSITION,
    BALANCE,
    Snapshot(orders=(ORDER,), fills=(FILL,), positions=None, balances=(BALANCE,), cursor="e:1"),
    StatusChange(old=GatewayStatus.READY, new=GatewayStatus.FAILED, reason="no line"),
    Heartbeat(),
    Gap(after=None, before="e:9"),
    OrderRequest(symbol="ACME", side=Side.BUY, qty=Decimal(2)),
    OrderUpdate(client_order_id="c1", status=OrderStatus.NEW),
    ConnectionLost(reason="cut"),
    Quote(symbol="ACME", bid=Decimal(1), bid_size=None, ask=None, ask_size=None, time=NOON),
    Bar(
        symbol="A",
        time=NOON,
        open=Decimal(1),
        high=Decimal(2),
        low=Decimal(1),
        close=Decimal(2),
        volume=Decimal(0),
    ),
    Instrument(symbol="A", tick_size=Decimal("0.01"), lot_size=Decimal(1)),
    HealthReport(
        status=HealthState.HEALTHY, checks={"auth": HealthState.HEALTHY}, checked_at=NOON, max_age=15.0
    ),
]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "orders" / "main.jsonl"


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# -- records as plain data -------------------------------------------------------------------------


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_records_come_back_from_json_as_they_were(record):
    """
    A record that was written as JSON is the same record again, to the last digit.
    """
    text = json.dumps(to_plain(record))

    again = from_plain(type(record).__name__, json.loads(text))

    assert again == record
    assert repr(again) == repr(record)


@given(st.decimals(allow_nan=False, allow_infinity=False), st.datetimes(timezones=st.just(UTC)))
def test_amounts_and_times_are_exact(amount, time):
    """
    No amount and no time is rounded on its way through a line.
    """
    order = Order(symbol="A", side=Side.BUY, qty=amount, status=OrderStatus.NEW, created_at=time)

    line = from_line(to_line({"order": order}))

    again = from_plain("Order", line["order"])
    assert (again.qty.as_tuple(), again.created_at) == (amount.as_tuple(), time)


def test_fields_of_a_later_version_are_passed_over():
    """
    A record that a later version wrote with more fields can be read.
    """
    assert from_plain("Gap", {"after": None, "before": "e:1", "colour": "red"}) == Gap(
        after=None, before="e:1"
    )


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("Sandwich", {}, "'Sandwich' is no market record"),
        ("Side", "BUY", "'Side' is no market record"),
        ("Gap", {"before": 5}, "this is no Gap"),
        ("Balance", {**to_plain(BALANCE), "total": "much"}, "this is no Balance"),
        ("Fill", {**to_plain(FILL), "time": "2026-03-01T12:00:00"}, "this is no Fill.*naive"),
        ("Order", {**to_plain(ORDER), "status": "GONE"}, "this is no Order"),
    ],
)
def test_what_is_no_record_is_a_value_error(name, data, says):
    """
    Plain data that is no record of that name is a `ValueError` that says so.
    """
    with pytest.raises(ValueError, match=says):
        from_plain(name, data)


@pytest.mark.parametrize("text", ["half a \ud83d pair", "line\nbreak\r\u2028", "\x00", 'quote " \\'])
def test_any_text_fits_into_one_line(text):
    """
    Whatever text a venue sends, it is one line, and comes back as it was.
    """
    line = to_line({"reason": text})

    assert line.count(b"\n") == 1
    assert from_line(line) == {"reason": text}


def test_what_json_cannot_say_is_told_as_text():
    """
    An odd fact does not keep a line from being written.
    """
    line = from_line(
        to_line({"error": ValueError("no"), "big": 2**70, "among": {"a"}, "half": ["\ud800", Path("x")]})
    )

    assert line == {"error": "no", "big": 2**70, "among": ["a"], "half": ["\ud800", "x"]}


@pytest.mark.parametrize("text", [b"", b"\x00\x00", b"{", b"[1]", b"5", b'{"a": 1}}', b"\xff\xfe"])
def test_what_is_no_line_is_none(text):
    """
    Bytes that are no JSON object are no line.
    """
    assert from_line(text) is None


# -- one file --------------------------------------------------------------------------------------


def test_lines_outlive_the_journal(path):
    """
    What was appended stands in the file, in order, after the journal was closed and opened again.
    """
    first = FileJournal(path)
    first.append({"event": "one"})
    first.append({"event": "two", "order": ORDER})
    first.close()

    second = FileJournal(path)
    second.append({"event": "three"})

    assert [line["event"] for line in second.read()] == ["one", "two", "three"]
    assert [line["event"] for line in read_journal(path)] == ["one", "two", "three"]
    assert (second.path, second.problems, second.holder) == (path, 0, None)
    second.close()


def test_a_journal_is_for_its_owner_only(path):
    """
    The folder has mode 0700, the files 0600, also where the file was readable by all before.
    """
    path.parent.mkdir(mode=0o700)
    path.touch(0o644)
    path.chmod(0o644)

    journal = FileJournal(path)

    assert mode_of(path) == 0o600
    assert mode_of(path.with_name("main.jsonl.lock")) == 0o600
    journal.close()


def test_the_folder_is_made_for_its_owner_only(path):
    """
    A folder that was not there is made with mode 0700, and the file in it with 0600.
    """
    FileJournal(path).close()

    assert (mode_of(path.parent), mode_of(path)) == (0o700, 0o600)


def test_a_link_is_refused(path, tmp_path):
    """
    A symbolic link at the path is refused, and what it leads to stays as it is.
    """
    path.parent.mkdir()
    (tmp_path / "elsewhere").write_text("mine\n")
    path.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(OSError, match="no symbolic link"):
        FileJournal(path)

    assert (tmp_path / "elsewhere").read_text() == "mine\n"
    with pytest.raises(OSError, match="symbolic link"):
        next(read_journal(path))


def test_what_is_no_file_is_refused(path, monkeypatch):
    """
    A folder or a pipe at the path is refused.
    """
    path.mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        FileJournal(path)
    os.mkfifo(path.with_name("pipe"))
    closed, close = [], os.close
    monkeypatch.setattr(os, "close", lambda file: closed.append(file) or close(file))

    with pytest.raises(OSError, match="regular file"):
        FileJournal(path.with_name("pipe"))

    assert len(closed) == 1


def test_no_journal_is_said():
    """
    Reading a journal that does not exist is a `FileNotFoundError`.
    """
    with pytest.raises(FileNotFoundError):
        next(read_journal("nowhere.jsonl"))


@pytest.mark.parametrize("fsync", [False, True])
def test_a_line_is_one_write(path, monkeypatch, fsync):
    """
    Each line goes to the system by one write, with fsync down to the disk before `append` returns.
    """
    calls = []
    journal = FileJournal(path, fsync)
    write, sync = os.write, os.fsync
    monkeypatch.setattr(os, "write", lambda file, text: calls.append(bytes(text)) or write(file, text))
    monkeypatch.setattr(os, "fsync", lambda file: calls.append("fsync") or sync(file))

    journal.append({"event": "intent", "order": ORDER})

    assert calls[1:] == ["fsync"] * fsync
    assert calls[0] == path.read_bytes()
    assert calls[0].endswith(b"\n")
    journal.close()


def test_closed_is_closed(path):
    """
    A closed journal takes no line and says so; it can be read, and closed again.
    """
    journal = FileJournal(path)
    journal.append({"event": "one"})
    journal.close()
    journal.close()

    with pytest.raises(OSError, match="closed"):
        journal.append({"event": "two"})

    assert [line["event"] for line in journal.read()] == ["one"]


def test_a_file_that_was_taken_away_takes_no_line(path):
    """
    A line that would vanish with the process, because the file has no name any more, is refused.
    """
    journal = FileJournal(path)
    path.rename(path.with_name("backup"))

    with pytest.raises(FileNotFoundError):
        journal.append({"event": "intent"})

    path.with_name("backup").rename(path)
    journal.append({"event": "intent"})
    assert len(list(journal.read())) == 1
    journal.close()


def test_who_writes_while_reading_comes_to_an_end(path):
    """
    Reading tells what stood there when it began, also where each line leads to another.
    """
    journal = FileJournal(path)
    for number in range(3):
        journal.append({"number": number})

    for line in journal.read():
        journal.append({"number": line["number"] + 10})

    assert [line["number"] for line in journal.read()] == [0, 1, 2, 10, 11, 12]
    journal.close()


def test_memory_keeps_nothing():
    """
    A journal in memory takes every line and keeps none.
    """
    journal = MemoryJournal()
    journal.append({"event": "intent"})
    journal.rotate([{"event": "open"}])
    journal.close()

    assert list(journal.read()) == []
    assert (journal.path, journal.holder, journal.outgrown) == (None, None, False)


def test_threads_do_not_mix_their_lines(path, eager_threads):
    """
    Lines of several threads are all there, each whole, and those of each thread in its order.
    """
    journal = FileJournal(path)

    def write(name):
        for number in range(100):
            journal.append({"by": name, "number": number, "padding": "x" * number})

    assert in_threads(*(lambda name=name: write(name) for name in "abcd")) == [None] * 4

    lines = list(journal.read())
    assert journal.problems == 0
    for name in "abcd":
        assert [line["number"] for line in lines if line["by"] == name] == list(range(100))
    journal.close()


# -- what a crash leaves ---------------------------------------------------------------------------


def test_a_torn_line_is_cut_off_wherever_it_was_torn(path):
    """
    At whichever byte a crash ended the file, the whole lines before it stand, and the next line is whole.
    """
    journal = FileJournal(path)
    for number in range(3):
        journal.append({"number": number, "text": "zwölf €"})
    journal.close()
    whole = path.read_bytes()

    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        expected = list(range(whole[:length].count(b"\n")))
        assert [line["number"] for line in read_journal(path)] == expected
        journal = FileJournal(path)
        assert [line["number"] for line in journal.read()] == expected
        journal.append({"number": "new"})
        assert [line["number"] for line in journal.read()] == [*expected, "new"]
        assert journal.problems == 0
        journal.close()
        assert path.read_bytes().count(b"\n") == len(expected) + 1


def test_opening_alone_cuts_nothing(path):
    """
    A torn line is cut off by the next line, not before: until then the file is evidence.
    """
    path.parent.mkdir()
    path.write_bytes(b'{"a": 1}\n{"b"')

    FileJournal(path).close()

    assert path.read_bytes() == b'{"a": 1}\n{"b"'


def test_a_long_torn_line_is_cut_off(path, monkeypatch):
    """
    The end of the last whole line is found behind any amount of rubbish.
    """
    monkeypatch.setattr(_files, "_CHUNK", 16)
    path.parent.mkdir()
    path.write_bytes(b'{"a": 1}\n' + b"x" * 100)

    journal = FileJournal(path)
    journal.append({"b": 2})

    assert list(journal.read()) == [{"a": 1}, {"b": 2}]
    journal.close()


def test_rubbish_in_the_middle_is_left_out_and_counted(path):
    """
    Lines that are none cost nothing but themselves; `problems` says how many there were.
    """
    path.parent.mkdir()
    path.write_bytes(b'{"a": 1}\n\x00\x00\x00\n{"b": \n[]\n{"c": 3}\n')

    journal = FileJournal(path)

    assert list(journal.read()) == [{"a": 1}, {"c": 3}]
    assert journal.problems == 3
    assert list(journal.read()) == [{"a": 1}, {"c": 3}]
    assert journal.problems == 3
    assert list(read_journal(path)) == [{"a": 1}, {"c": 3}]
    journal.close()


def test_a_full_disk_leaves_no_half_line(path, monkeypatch):
    """
    Where only a part of a line can be written, it is an `OSError`, and the part is gone.
    """
    journal = FileJournal(path)
    journal.append({"event": "one"})
    write = os.write
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda file, text: write(file, text[: len(text) // 2]))
        with pytest.raises(OSError, match="could be written"):
            journal.append({"event": "two"})
        assert path.read_bytes() == b'{"event":"one"}\n'

    journal.append({"event": "three"})

    assert [line["event"] for line in journal.read()] == ["one", "three"]
    journal.close()


def test_half_a_line_that_stayed_is_cut_off_later(path, monkeypatch):
    """
    Where the part of a line cannot be removed at once, no reader sees it, and the next line removes it.
    """
    journal = FileJournal(path)
    write = os.write

    def fail(*_args):
        raise OSError(errno.EIO, "broken")

    with monkeypatch.context() as broken:
        broken.setattr(os, "write", lambda file, text: write(file, text[:5]))
        broken.setattr(os, "ftruncate", fail)
        with pytest.raises(OSError, match="could be written"):
            journal.append({"event": "one"})
        with pytest.raises(OSError, match="broken"):
            journal.append({"event": "two"})
    assert path.read_bytes() == b'{"eve'
    assert list(journal.read()) == []

    journal.append({"event": "three"})

    assert path.read_bytes() == b'{"event":"three"}\n'
    journal.close()


def test_what_did_not_reach_the_disk_is_not_there(path, monkeypatch):
    """
    A line whose fsync failed is an `OSError`, and does not stand there.
    """
    journal = FileJournal(path, fsync=True)

    def fail(_file):
        raise OSError(errno.EIO, "bad block")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="bad block"):
            journal.append({"event": "one"})

    assert path.read_bytes() == b""
    journal.close()


# -- one writer ------------------------------------------------------------------------------------


def test_the_second_one_only_reads(path):
    """
    Who opens a journal second, in the same process, too, can read it, and is told who holds it.
    """
    first = FileJournal(path)
    first.append({"event": "one"})

    second = FileJournal(path)

    assert second.holder.startswith(f"pid {os.getpid()} on ")
    assert " since 20" in second.holder
    assert list(second.read()) == [{"event": "one"}]
    with pytest.raises(PermissionError, match=f"held by pid {os.getpid()} on") as caught:
        second.append({"event": "two"})
    assert caught.value.filename == str(path)
    with pytest.raises(PermissionError):
        second.rotate([])
    second.close()
    first.append({"event": "three"})
    assert list(second.read()) == [{"event": "one"}, {"event": "three"}]
    first.close()


def test_who_only_reads_sees_no_half_line(path):
    """
    A read-only journal leaves out the line that is being written, and does not cut it off.
    """
    first = FileJournal(path)
    first.append({"event": "one"})
    second = FileJournal(path)
    with path.open("ab") as file:
        file.write(b'{"event": "tw')

    assert list(second.read()) == [{"event": "one"}]
    assert list(first.read()) == [{"event": "one"}]
    second.close()
    assert path.read_bytes().endswith(b"tw")
    first.close()


def test_after_the_first_one_the_next_writes(path):
    """
    When its holder lets go of it, whoever opens the journal next writes.
    """
    first = FileJournal(path)
    FileJournal(path).close()
    first.close()

    third = FileJournal(path)

    assert third.holder is None
    third.append({"event": "one"})
    third.close()


def test_nobody_holds_what_nobody_has(path):
    """
    A journal that was dropped without being closed is not held.
    """
    dropped = FileJournal(path)
    dropped.append({"event": "one"})
    del dropped
    gc.collect()

    journal = FileJournal(path)

    assert journal.holder is None
    journal.close()


def test_a_holder_that_left_no_name_is_another_process(path):
    """
    A held journal is read-only also where nobody knows who holds it.
    """
    first = FileJournal(path)
    note = path.with_name("main.jsonl.lock")

    note.write_text("")
    assert FileJournal(path).holder == "another process"
    note.unlink()
    assert FileJournal(path).holder == "another process"
    first.close()


def test_a_fork_does_not_write(path):
    """
    After a fork the child has let go of the journal, and is told whose it is; the parent's lock stays.
    """
    journal = FileJournal(path)
    keeper = os.dup(journal._file)

    _journal._leave_all_to_parent()

    with pytest.raises(PermissionError, match="which this process is a fork of"):
        journal.append({"event": "one"})
    assert FileJournal(path).holder is not None
    os.close(keeper)
    after = FileJournal(path)
    assert after.holder is None
    after.close()
    after.leave_to_parent()
    assert after.holder is None


def test_where_nothing_can_be_locked_nothing_is_opened(path, monkeypatch):
    """
    A file system without locks is an error, not a journal that two may write.
    """

    def fail(*_args):
        raise OSError(errno.ENOLCK, "no locks here")

    monkeypatch.setattr(_files.fcntl, "flock", fail)

    with pytest.raises(OSError, match="no locks here"):
        FileJournal(path)


def test_the_module_is_there_without_fcntl(monkeypatch):
    """
    Where the system has no fcntl, the module can be imported and says so.
    """
    monkeypatch.setitem(sys.modules, "fcntl", None)

    assert runpy.run_path(_files.__file__)["fcntl"] is None


def test_locks_where_there_is_no_fcntl(path, monkeypatch):
    """
    Without fcntl a byte far behind the end is locked, so that the file can be read by others.
    """
    locked = []

    def locking(file, how, count):
        if locked:
            raise OSError(errno.EACCES, "locked")
        locked.append((os.lseek(file, 0, os.SEEK_CUR), how, count))

    monkeypatch.setattr(_files, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(LK_NBLCK=2, locking=locking))

    first, second = FileJournal(path), FileJournal(path)
    first.append({"event": "one"})

    assert (first.holder, second.holder is None) == (None, False)
    assert locked == [(1 << 40, 2, 1)]
    assert list(second.read()) == [{"event": "one"}]
    first.close()


# -- rotation --------------------------------------------------------------------------------------


def test_a_large_journal_says_so(path):
    """
    A journal that was larger than its limit when it was opened is outgrown, until it is rotated.
    """
    journal = FileJournal(path, max_bytes=20)
    assert not journal.outgrown
    journal.append({"event": "one", "padding": "x" * 20})
    assert not journal.outgrown
    journal.close()

    journal = FileJournal(path, max_bytes=20)

    assert journal.outgrown
    journal.rotate([])
    assert not journal.outgrown
    journal.close()


def test_rotation_puts_the_old_aside_and_carries_over(path):
    """
    After a rotation the old lines stand beside, the new file begins with what was carried, and goes on.
    """
    journal = FileJournal(path)
    journal.append({"event": "old"})

    aside = journal.rotate([{"event": "carried", "order": ORDER}, {"event": "carried too"}])
    journal.append({"event": "new"})

    assert [line["event"] for line in journal.read()] == ["carried", "carried too", "new"]
    assert [line["event"] for line in read_journal(aside)] == ["old"]
    assert aside.name.startswith("main.2")
    assert aside.name.endswith("Z.jsonl")
    assert (mode_of(path), mode_of(aside)) == (0o600, 0o600)
    assert sorted(each.name for each in path.parent.iterdir()) == sorted(
        [path.name, aside.name, "main.jsonl.lock"]
    )
    journal.close()


def test_rotation_keeps_the_lock(path):
    """
    After a rotation the journal is still held by the same one, and free when that one closes it.
    """
    journal = FileJournal(path)
    journal.rotate([])

    assert FileJournal(path).holder is not None
    journal.close()
    after = FileJournal(path)
    assert after.holder is None
    after.close()


def test_a_torn_line_is_not_put_aside(path):
    """
    What a crash left of a line is cut off before the file is put aside.
    """
    path.parent.mkdir()
    path.write_bytes(b'{"a": 1}\n{"b"')
    journal = FileJournal(path)

    aside = journal.rotate([])

    assert aside.read_bytes() == b'{"a": 1}\n'
    journal.close()


def test_leftovers_of_a_rotation_do_not_matter(path):
    """
    What a crash left of an earlier rotation is overwritten.
    """
    journal = FileJournal(path)
    path.with_name("main.jsonl.new").write_bytes(b"rubbish")

    journal.rotate([{"event": "carried"}])

    assert list(journal.read()) == [{"event": "carried"}]
    journal.close()


def test_who_comes_while_it_is_put_aside_gets_the_new_one(path, monkeypatch):
    """
    Who opened the old file just before it was put aside, and locks it after, opens again.
    """
    path.parent.mkdir()
    path.write_bytes(b'{"event":"old"}\n')
    lock, moments = _journal.lock_file, []

    def late(file):
        if not moments:
            moments.append(path.rename(path.with_name("aside")))
            path.write_bytes(b'{"event":"new"}\n')
        return lock(file)

    monkeypatch.setattr(_journal, "lock_file", late)
    journal = FileJournal(path)
    journal.append({"event": "newer"})

    assert [line["event"] for line in journal.read()] == ["new", "newer"]
    assert path.with_name("aside").read_bytes() == b'{"event":"old"}\n'
    journal.close()


def test_who_comes_while_it_is_taken_away_makes_a_new_one(path, monkeypatch):
    """
    Who opened a file that was removed before it was locked makes another.
    """
    lock, moments = _journal.lock_file, []

    def late(file):
        if not moments:
            moments.append(path.unlink())
        return lock(file)

    monkeypatch.setattr(_journal, "lock_file", late)
    journal = FileJournal(path)
    journal.append({"event": "one"})

    assert path.read_bytes() == b'{"event":"one"}\n'
    journal.close()


class Crash(BaseException):
    """The process is gone."""


VERBS = ["open", "write", "fsync", "link", "replace", "rename", "close", "unlink", "ftruncate"]


class CrashAt:
    """The process ends before or after the call number *step* that changes something on the disk."""

    def __init__(self, patches, step: int, *, after: bool) -> None:
        self.left, self.after = step, after
        for verb in VERBS:
            patches.setattr(os, verb, self.crashing(getattr(os, verb)))

    def crashing(self, call):
        def crash(*args, **kwargs):
            self.left -= 1
            now = self.left == 0
            if now and not self.after:
                raise Crash
            try:
                return call(*args, **kwargs)
            finally:
                if now:
                    raise Crash

        return crash


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_crash_in_a_rotation_loses_nothing(tmp_path, monkeypatch, after):
    """
    Before and after every single step of a rotation, the path has the whole old or the whole new lines.
    """
    old = [{"event": "old", "number": number} for number in range(3)]
    new = [{"event": "carried"}]
    ends, journals = [], []
    for step in range(1, 100):
        path = tmp_path / str(step) / "main.jsonl"
        journal = FileJournal(path)
        journals.append(journal)
        for line in old:
            journal.append(line)
        with monkeypatch.context() as patches:
            crash = CrashAt(patches, step, after=after)
            with contextlib.suppress(Crash):
                journal.rotate(new)
        if crash.left > 0:
            break
        lines = list(read_journal(path))
        assert lines in (old, new)
        if lines == new:
            [aside] = path.parent.glob("main.2*.jsonl")
            assert list(read_journal(aside)) == old
        ends.append(lines == new)
    assert ends == sorted(ends), "once the new one stands there, it stays"
    assert set(ends) == {False, True}
    assert len(ends) >= 8
    crash.left = 0
    for journal in journals:
        journal.close()


@pytest.mark.parametrize("verb", ["open", "write", "fsync", "replace"])
def test_a_rotation_that_fails_leaves_all_as_it_was(path, monkeypatch, verb):
    """
    Where a rotation is not possible, the journal goes on in its old file, and nothing is left beside.
    """
    journal = FileJournal(path)
    journal.append({"event": "one"})

    def fail(*_args, **_kwargs):
        raise OSError(errno.EIO, "broken")

    with monkeypatch.context() as broken:
        broken.setattr(os, verb, fail)
        with pytest.raises(OSError, match="broken"):
            journal.rotate([{"event": "carried"}])

    journal.append({"event": "two"})
    assert [line["event"] for line in journal.read()] == ["one", "two"]
    assert sorted(each.name for each in path.parent.iterdir()) == ["main.jsonl", "main.jsonl.lock"]
    journal.close()


def test_where_files_have_one_name_only_the_old_one_is_copied(path, monkeypatch):
    """
    Where a file cannot have two names, the old lines are copied aside, for the owner's eyes only.
    """
    journal = FileJournal(path)
    journal.append({"event": "old"})

    def fail(*_args, **_kwargs):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", fail)
    aside = journal.rotate([{"event": "carried"}])

    assert list(read_journal(aside)) == [{"event": "old"}]
    assert list(journal.read()) == [{"event": "carried"}]
    assert mode_of(aside) == 0o600
    journal.close()


def test_a_rotation_waits_for_the_line_that_is_being_written(path, monkeypatch):
    """
    While a line is being written the file is not exchanged: the line stands in the one that is put aside.
    """
    journal = FileJournal(path)
    writing, gate, write = threading.Event(), threading.Event(), _journal.write_at_once
    asides = []

    def slowly(file, text, *, fsync):
        if b"slow" in text:
            writing.set()
            assert gate.wait(DEADLINE)
        write(file, text, fsync=fsync)

    monkeypatch.setattr(_journal, "write_at_once", slowly)
    writer = threading.Thread(target=journal.append, args=({"event": "slow"},))
    rotator = threading.Thread(target=lambda: asides.append(journal.rotate([{"event": "carried"}])))
    writer.start()
    assert writing.wait(DEADLINE)
    rotator.start()
    until_it_stands(rotator)
    gate.set()
    writer.join(DEADLINE)
    rotator.join(DEADLINE)

    assert [line["event"] for line in read_journal(asides[0])] == ["slow"]
    assert [line["event"] for line in journal.read()] == ["carried"]
    journal.close()


def test_threads_go_on_through_a_rotation(path, eager_threads):
    """
    A line that is appended while others rotate stands in the old file or in the new one, once.
    """
    journal = FileJournal(path)
    done = threading.Event()

    def write():
        for number in range(200):
            journal.append({"number": number})
        done.set()

    def rotate():
        asides = []
        while not done.is_set() or not asides:
            asides.append(journal.rotate([]))
        return asides

    written, asides = in_threads(write, rotate)

    assert written is None
    lines = [line for each in [*asides, path] for line in read_journal(each)]
    assert [line["number"] for line in lines] == list(range(200))
    journal.close()
