"""The event log: every reader hears all that happened, once and in order, or is told that it did not."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import json
import shutil
import tempfile
import threading
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hotplug.brokers._events import _past
from hotplug.brokers._events._journal import FileJournal, MemoryJournal, read_journal
from hotplug.brokers._events._log import EventLog, EventStream
from hotplug.market import (
    BrokerEvent,
    Gap,
    Heartbeat,
    Order,
    OrderStatus,
    Position,
    Side,
    Snapshot,
)
from racing import DEADLINE, in_threads, until_it_stands
from reading import read, read_all
from thorough import part_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def position(number: int, account: str = "A1") -> Position:
    """A payload that tells its number."""
    return Position(
        account=account, symbol="ACME", qty=Decimal(number), avg_price=None, realized_pnl=Decimal(0)
    )


def snapshot_of(cursor: str | None, positions=()) -> Snapshot:
    return Snapshot(orders=None, fills=None, positions=tuple(positions), balances=None, cursor=cursor)


async def no_snapshot() -> Snapshot:
    raise AssertionError("nobody lost anything, and a snapshot was taken")


def numbers(events) -> list[int]:
    return [int(event.payload.qty) for event in events]


async def waits(stream: EventStream) -> asyncio.Task[BrokerEvent]:
    """A task that waits for the next event."""
    task = asyncio.ensure_future(anext(stream))
    async with asyncio.timeout(DEADLINE):
        while stream._news is None:  # noqa: ASYNC110 - the stream has no event for that
            await asyncio.sleep(0)
    return task


@pytest.fixture
def path(tmp_path):
    return tmp_path / "main.jsonl"


# -- numbers and cursors ---------------------------------------------------------------------------


def test_events_are_numbered():
    """
    Each event has the next number, a cursor of its own, and says when, by which generation, and what.
    """
    log = EventLog()
    assert (log.first, log.next, log.cursor) == (1, 1, f"{log.epoch}:0")

    one = log.append(position(1), generation=3, time=NOON)
    two = log.append(position(2))

    assert one == BrokerEvent(cursor=f"{log.epoch}:1", time=NOON, generation=3, payload=position(1))
    assert (two.cursor, two.generation) == (f"{log.epoch}:2", 0)
    assert abs(datetime.now(UTC) - two.time) < timedelta(minutes=1)
    assert two.time.tzinfo is UTC
    assert (log.first, log.next, log.cursor) == (1, 3, two.cursor)


def test_each_log_has_an_epoch_of_its_own():
    """
    Two logs never share a cursor.
    """
    assert EventLog().epoch != EventLog().epoch


@pytest.mark.parametrize("time", [NOON.replace(tzinfo=None), NOON.astimezone(timezone(timedelta(hours=1)))])
def test_times_are_in_utc(time):
    """
    A time of another zone, or of none, is refused, and nothing has happened.
    """
    log = EventLog()

    with pytest.raises(ValueError, match="UTC"):
        log.append(position(1), time=time)

    assert log.next == 1


def test_a_log_keeps_something():
    """
    A log that would keep no event is refused.
    """
    with pytest.raises(ValueError, match="at least one event"):
        EventLog(keep=0)


# -- streams ---------------------------------------------------------------------------------------


def test_a_stream_begins_with_the_call():
    """
    Without a cursor a stream tells what happens from the call on, not from the first read on.
    """
    log = EventLog()
    log.append(position(1))

    async def test():
        stream = log.stream(None, no_snapshot)
        log.append(position(2))
        task = asyncio.ensure_future(read(stream, 2))
        await asyncio.sleep(0)
        log.append(position(3))
        return await task

    assert numbers(asyncio.run(test())) == [2, 3]


def test_a_stream_goes_on_after_any_cursor():
    """
    From each cursor a stream tells exactly what followed.
    """
    log = EventLog()
    cursors = [log.cursor] + [log.append(position(number)).cursor for number in range(1, 6)]
    log.end()

    for number, cursor in enumerate(cursors):
        stream = log.stream(cursor, no_snapshot)
        assert stream.cursor == cursor
        assert numbers(asyncio.run(read_all(stream))) == list(range(number + 1, 6))


def test_the_cursor_is_that_of_the_event_handed_out_last():
    """
    What a reader has fetched but not handed out is not read: its cursor leads to it.
    """
    log = EventLog()

    async def test():
        stream = log.stream(None, no_snapshot)
        events = [log.append(position(number)) for number in range(3)]
        assert await anext(stream) is events[0]
        assert stream.cursor == events[0].cursor
        await stream.aclose()
        log.end()
        return await read_all(log.stream(stream.cursor, no_snapshot))

    assert numbers(asyncio.run(test())) == [1, 2]


def test_events_that_are_not_wanted_are_passed_over():
    """
    A filter sees every event; what it passes over does not keep the cursor back.
    """
    log, seen = EventLog(), []

    def wanted(event):
        seen.append(int(event.payload.qty))
        return event.payload.account == "A2"

    async def test():
        stream = log.stream(None, no_snapshot, wanted=wanted)
        for number, account in enumerate(["A1", "A2", "A1", "A2", "A1"]):
            log.append(position(number, account))
        got = await read(stream, 2)
        log.end()
        got += await read_all(stream)
        return got, stream.cursor

    got, cursor = asyncio.run(test())

    assert numbers(got) == [1, 3]
    assert seen == [0, 1, 2, 3, 4]
    assert cursor == log.cursor


def test_a_filter_that_raises_has_read_nothing():
    """
    An event that the filter failed at is not counted as read.
    """
    log = EventLog()
    before = log.cursor
    log.append(position(1))

    async def test():
        stream = log.stream(before, no_snapshot, wanted=lambda event: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await anext(stream)
        return stream.cursor

    assert asyncio.run(test()) == before


LOST = ["", "5", "{epoch}", "{epoch}:", "{epoch}:-1", "{epoch}:x", "{epoch}:²", "{epoch}:99", "other:3", "::"]
LOST += ["{epoch}:" + "9" * 5000, "{epoch}:0", "lost:{epoch}:4", "{epoch}:4:1", " {epoch}:4"]


@pytest.mark.parametrize("lost", LOST, ids=lambda lost: lost[:20] or "empty")
def test_a_cursor_that_leads_nowhere_gives_one_gap_and_a_snapshot(lost):
    """
    A foreign, malformed or forgotten cursor gives one gap, then the snapshot, then what follows that.
    """
    log = EventLog(keep=3)
    for number in range(1, 6):
        log.append(position(number), generation=4)
    lost = lost.format(epoch=log.epoch)

    async def snapshot():
        log.append(position(6), generation=4)
        taken = snapshot_of(log.cursor)
        log.append(position(7), generation=5)
        return taken

    async def test():
        stream = log.stream(lost, snapshot)
        log.end()
        return await read_all(stream)

    gap, snap, *rest = asyncio.run(test())

    assert gap.payload == Gap(after=lost.removeprefix("lost:"), before=f"{log.epoch}:6")
    assert snap.payload == snapshot_of(f"{log.epoch}:6")
    assert snap.cursor == f"{log.epoch}:6"
    assert (gap.generation, snap.generation) == (5, 5)
    assert [event.cursor for event in rest] == [f"{log.epoch}:7"]


def test_the_cursor_of_a_gap_leads_to_the_gap_again():
    """
    Who stops between the gap and the snapshot has not seen the snapshot, and is told of the gap again.
    """
    log = EventLog()

    async def snapshot():
        return snapshot_of(log.cursor)

    async def test():
        first = log.stream("other:5", snapshot)
        gap = await anext(first)
        assert first.cursor == gap.cursor
        second = log.stream(gap.cursor, snapshot)
        again = await anext(second)
        assert again.payload == gap.payload
        assert again.cursor == gap.cursor
        snap = await anext(second)
        log.append(position(1))
        return await read(log.stream(snap.cursor, no_snapshot), 1)

    assert numbers(asyncio.run(test())) == [1]


@pytest.mark.parametrize("cursor", [None, "other:1"])
def test_a_snapshot_without_a_place_stands_where_it_was_asked_for(cursor):
    """
    Where a snapshot does not say what follows it, nothing that happened since the question is left out.
    """
    log = EventLog()
    log.append(position(1))

    async def snapshot():
        log.append(position(2))
        return snapshot_of(cursor, [position(1)])

    async def test():
        stream = log.stream("other:5", snapshot)
        log.end()
        return await read_all(stream)

    gap, snap, *rest = asyncio.run(test())

    assert snap.payload == snapshot_of(f"{log.epoch}:1", [position(1)])
    assert gap.payload.before == snap.cursor == f"{log.epoch}:1"
    assert numbers(rest) == [2]


def test_a_snapshot_that_fails_has_lost_nothing():
    """
    What a snapshot raises reaches the reader, who may try again and is told of the gap then.
    """
    log, answers = EventLog(), [ConnectionError("down"), None]

    async def snapshot():
        if error := answers.pop(0):
            raise error
        return snapshot_of(log.cursor)

    async def test():
        stream = log.stream("other:5", snapshot)
        with pytest.raises(ConnectionError):
            await anext(stream)
        assert stream.cursor == "other:5"
        return [type(event.payload) for event in await read(stream, 2)]

    assert asyncio.run(test()) == [Gap, Snapshot]


def test_who_falls_behind_ends_and_comes_back():
    """
    A reader that the log has overtaken ends; its cursor leads to the gap, and nothing is told twice.
    """
    log = EventLog(keep=300)

    async def snapshot():
        return snapshot_of(log.cursor)

    async def test():
        stream = log.stream(None, no_snapshot)
        for number in range(400):
            log.append(position(number))
        assert await read_all(stream) == []
        stream = log.stream(stream.cursor, snapshot)
        assert [type(event.payload) for event in await read(stream, 2)] == [Gap, Snapshot]
        for number in range(300):
            log.append(position(number))
        got = await read(stream, 1)
        for number in range(300, 600):
            log.append(position(number))
        return [*got, *await read_all(stream)], stream.cursor

    got, cursor = asyncio.run(test())

    # What it had fetched before it was overtaken it hands out.
    assert numbers(got) == list(range(len(got)))
    assert 1 <= len(got) < 300
    assert cursor == got[-1].cursor


def test_a_reader_at_the_edge_is_not_behind():
    """
    A reader whose next event is the oldest one at hand loses nothing.
    """
    log = EventLog(keep=3)
    cursors = [log.append(position(number)).cursor for number in range(7)]
    log.end()

    assert numbers(asyncio.run(read_all(log.stream(cursors[3], no_snapshot)))) == [4, 5, 6]
    assert log.first == 5


def test_who_is_behind_lets_others_run():
    """
    A reader that has a lot to catch up with does not keep its loop from all others.
    """
    log = EventLog()
    start = log.cursor
    for number in range(5000):
        log.append(position(number))
    log.end()

    async def test():
        turns = 0

        async def other():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.ensure_future(other())
        got = await read_all(log.stream(start, no_snapshot))
        task.cancel()
        return len(got), turns

    count, turns = asyncio.run(test())

    assert count == 5000
    assert turns >= 10


def test_who_gives_up_waiting_leaves_nothing_behind():
    """
    A reader that is cancelled again and again on a quiet log loses no event, and the log keeps nothing of it.
    """
    log = EventLog()

    async def test():
        stream = log.stream(None, no_snapshot)
        for _ in range(50):
            task = await waits(stream)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        assert len(log._ring.waiting) == 0
        log.append(position(1))
        return await read(stream, 1)

    assert numbers(asyncio.run(test())) == [1]


def test_one_stream_is_for_one_task():
    """
    Two tasks that wait at one stream would share its events: the second one is told.
    """
    log = EventLog()

    async def test():
        stream = log.stream(None, no_snapshot)
        task = await waits(stream)
        with pytest.raises(RuntimeError, match="another task reads this stream"):
            await anext(stream)
        log.append(position(1))
        return [await task]

    assert numbers(asyncio.run(test())) == [1]


def test_closing_a_stream_ends_who_waits_at_it():
    """
    A closed stream has no more events, also for the task that waits for one.
    """
    log = EventLog()

    async def test():
        stream = log.stream(None, no_snapshot)
        task = await waits(stream)
        await stream.aclose()
        with pytest.raises(StopAsyncIteration):
            await task
        log.append(position(1))
        assert await read_all(stream) == []
        await stream.aclose()

    asyncio.run(test())


def test_a_stream_that_is_closed_before_its_gap_tells_none():
    """
    Who closes a stream while it takes the snapshot is not told of the gap any more.
    """
    log = EventLog()

    async def test():
        stream = log.stream("other:1", lambda: snapshot())

        async def snapshot():
            await stream.aclose()
            return snapshot_of(log.cursor)

        assert await read_all(stream) == []
        other = log.stream("other:1", no_snapshot)
        await other.aclose()
        assert await read_all(other) == []
        return stream.cursor

    assert asyncio.run(test()) == "other:1"


# -- the end ---------------------------------------------------------------------------------------


def test_streams_end_after_what_happened():
    """
    The end of a log ends its streams, each after all that happened, also one that waits.
    """
    log = EventLog()

    async def test():
        waiting, behind = log.stream(None, no_snapshot), log.stream(None, no_snapshot)
        task = await waits(waiting)
        log.append(position(1))
        log.end()
        assert numbers([await task]) == [1]
        assert await read_all(waiting) == []
        idle = log.stream(None, no_snapshot)
        return await read_all(behind), await read_all(idle)

    behind, idle = asyncio.run(test())

    assert numbers(behind) == [1]
    assert idle == []


def test_an_end_wakes_who_waits():
    """
    A stream that waits for news ends when the log does.
    """
    log = EventLog()

    async def test():
        task = await waits(log.stream(None, no_snapshot))
        log.end()
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(task, DEADLINE)

    asyncio.run(test())


def test_a_reopened_log_goes_on_with_new_streams():
    """
    Reopening lets new streams wait; those from before end where the log was reopened.
    """
    log = EventLog()
    log.reopen()

    async def test():
        old = log.stream(None, no_snapshot)
        log.append(position(1))
        log.end()
        log.append(position(2))
        late = log.stream(old.cursor, no_snapshot)
        log.reopen()
        log.append(position(3))
        new = log.stream(old.cursor, no_snapshot)
        assert numbers(await read_all(old)) == [1, 2]
        assert numbers(await read_all(late)) == [1, 2]
        got = await read(new, 3)
        task = await waits(new)
        log.append(position(4))
        return numbers([*got, await task])

    assert asyncio.run(test()) == [1, 2, 3, 4]


# -- heartbeats ------------------------------------------------------------------------------------


def test_heartbeats_have_no_number(path):
    """
    A heartbeat has the cursor of the newest event, is not written down, and reaches who has read all.
    """
    log = EventLog(FileJournal(path))
    newest = log.append(position(1)).cursor

    async def test():
        stream, behind = log.stream(None, no_snapshot), log.stream(None, no_snapshot)
        task = await waits(stream)
        beat = log.append(Heartbeat(), generation=2, time=NOON)
        assert await task is beat
        task = await waits(stream)
        log.append(Heartbeat())
        log.append(position(2))
        assert [type(each.payload) for each in [await task]] == [Position]
        assert numbers(await read(behind, 1)) == [2]
        log.end()
        return beat, [*await read_all(stream), *await read_all(behind)]

    beat, rest = asyncio.run(test())

    assert (beat.cursor, beat.generation, beat.time) == (newest, 2, NOON)
    assert rest == []
    assert [line["event"] for line in log.lines()] == ["open", "Position", "Position"]
    log.close()


def test_an_old_heartbeat_is_not_told_to_a_new_reader():
    """
    A stream tells heartbeats from its call on only.
    """
    log = EventLog()
    log.append(Heartbeat())

    async def test():
        stream = log.stream(None, no_snapshot)
        log.end()
        return await read_all(stream)

    assert asyncio.run(test()) == []


def test_a_heartbeat_that_was_overtaken_is_not_told():
    """
    A heartbeat says that the newest event still is: to who hears of a newer one it says nothing.
    """
    log = EventLog()

    async def test():
        stream = log.stream(None, no_snapshot)
        log.append(Heartbeat())
        log.append(position(1))
        got = await read(stream, 1)
        task = await waits(stream)
        log.append(position(2))
        return numbers([*got, await task])

    assert asyncio.run(test()) == [1, 2]


def test_a_quiet_stream_tells_that_it_is_alive():
    """
    After the seconds asked for without an event there is a heartbeat, and again after as many.
    """
    log = EventLog()
    log.append(position(1), generation=6)

    async def test():
        stream = log.stream(None, no_snapshot, heartbeat=0.001)
        beats = await read(stream, 2)
        log.append(position(2))
        while True:
            [event] = await read(stream, 1)
            if type(event.payload) is Position:
                return beats, stream.cursor

    beats, cursor = asyncio.run(test())

    assert [type(beat.payload) for beat in beats] == [Heartbeat, Heartbeat]
    assert {(beat.cursor, beat.generation) for beat in beats} == {(f"{log.epoch}:1", 6)}
    assert cursor == f"{log.epoch}:2"


def test_others_events_do_not_keep_a_stream_from_its_heartbeat():
    """
    A stream is quiet when nothing is handed out, however much happens that it does not want.
    """
    log = EventLog()

    async def test():
        stream = log.stream(None, no_snapshot, wanted=lambda event: False, heartbeat=0.02)
        task, count = await waits(stream), 0
        async with asyncio.timeout(DEADLINE):
            while not task.done():
                log.append(position(count))
                count += 1
                await asyncio.sleep(0)
        return (await task).payload, count

    beat, count = asyncio.run(test())

    assert beat == Heartbeat()
    assert count > 1


def test_heartbeats_take_time():
    """
    A stream of nothing but heartbeats is refused.
    """
    with pytest.raises(ValueError, match="more than 0"):
        EventLog().stream(None, no_snapshot, heartbeat=0)


def test_silence_is_counted_from_the_last_event():
    """
    A heartbeat comes that many seconds after the last event or heartbeat, and not before.
    """
    log = EventLog()

    async def test():
        now, told = [0.0], []
        asyncio.get_running_loop().time = lambda: now[0]
        stream = log.stream(None, no_snapshot, heartbeat=10.0)
        task = await waits(stream)
        for moment in range(1, 40):
            now[0] = float(moment)
            if moment == 8:
                log.append(position(1))
            for _ in range(5):
                await asyncio.sleep(0)
            if task.done():
                told.append((moment, type((await task).payload)))
                task = await waits(stream)
        task.cancel()
        return told

    assert asyncio.run(test()) == [(8, Position), (18, Heartbeat), (28, Heartbeat), (38, Heartbeat)]


def test_who_gives_up_waiting_hears_no_heartbeat():
    """
    A cancelled reader leaves no timer behind that would tell of silence.
    """
    log = EventLog()

    async def test():
        stream = log.stream(None, no_snapshot, heartbeat=3600)
        task = await waits(stream)
        timer = max(asyncio.get_running_loop()._scheduled, key=lambda each: each.when())
        task.cancel()
        await asyncio.wait([task])
        return timer.cancelled(), len(stream._batch)

    assert asyncio.run(test()) == (True, 0)


# -- threads and loops -----------------------------------------------------------------------------


def test_readers_on_many_loops_hear_all_of_many_writers(eager_threads):
    """
    Four threads write, four loops read: every reader hears every event once, in the order of the numbers.
    """
    log, each = EventLog(), 250
    streams = [log.stream(None, no_snapshot) for _ in range(4)]
    writing = threading.Barrier(4, action=None)

    def write(name):
        for number in range(each):
            log.append(position(number, name))
        if writing.wait(DEADLINE) == 0:
            log.end()

    def reader(stream):
        return asyncio.run(read_all(stream))

    outcomes = in_threads(
        *(lambda name=name: write(name) for name in "abcd"),
        *(lambda stream=stream: reader(stream) for stream in streams),
    )

    assert outcomes[:4] == [None] * 4
    for events in outcomes[4:]:
        assert [event.cursor for event in events] == [f"{log.epoch}:{n}" for n in range(1, 4 * each + 1)]
        for name in "abcd":
            mine = [event for event in events if event.payload.account == name]
            assert numbers(mine) == list(range(each))


def test_readers_that_are_overtaken_again_and_again_add_up(eager_threads):
    """
    A reader of a tiny log that is overtaken while others write ends up with the whole, by its snapshots.
    """
    log, total, told = EventLog(keep=4), 400, []
    lock = threading.Lock()
    done = threading.Event()

    def write():
        for number in range(total):
            with lock:
                told.append(number)
                log.append(position(number))
        log.end()
        done.set()

    async def snapshot():
        with lock:
            return snapshot_of(log.cursor, map(position, told))

    async def follow(cursor):
        seen = []
        while True:
            stream = log.stream(cursor, snapshot)
            async for event in stream:
                if isinstance(event.payload, Snapshot):
                    seen = [int(each.qty) for each in event.payload.positions]
                elif isinstance(event.payload, Position):
                    seen.append(int(event.payload.qty))
            cursor = stream.cursor
            if done.is_set() and cursor == log.cursor:
                return seen

    start = log.cursor
    outcomes = in_threads(write, *[lambda: asyncio.run(follow(start))] * 2)

    assert outcomes == [None, list(range(total)), list(range(total))]


def test_a_loop_that_was_closed_keeps_nobody_from_writing():
    """
    An event goes to all other readers, where one waits on a loop that is closed.
    """
    log = EventLog()
    gone = asyncio.new_event_loop()
    task = gone.run_until_complete(waits(log.stream(None, no_snapshot)))
    task._log_destroy_pending = False
    other = log.stream(None, no_snapshot)
    gone.close()

    log.append(position(1))

    assert numbers(asyncio.run(read(other, 1))) == [1]


def test_a_flood_of_events_wakes_a_reader_once():
    """
    Events that come while a reader of another loop is being woken are not one call each to that loop.
    """
    log, loop, calls = EventLog(), asyncio.new_event_loop(), []
    stream = log.stream(None, no_snapshot)
    task = loop.run_until_complete(waits(stream))
    call = loop.call_soon_threadsafe
    loop.call_soon_threadsafe = lambda *args: calls.append(args) or call(*args)

    for number in range(100):
        log.append(position(number))

    assert numbers([loop.run_until_complete(asyncio.wait_for(task, DEADLINE))]) == [0]
    assert len(calls) == 1
    assert numbers(loop.run_until_complete(read(stream, 99))) == list(range(1, 100))
    loop.close()


def test_who_waits_on_another_loop_is_woken(nothing_left):
    """
    A reader that waits on the loop of another thread hears of an event at once, and of the end.
    """
    log, loop = EventLog(), asyncio.new_event_loop()
    stream = log.stream(None, no_snapshot)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def wait():
        return await waits(stream)

    async def result(task):
        async with asyncio.timeout(DEADLINE):
            return await task

    task = asyncio.run_coroutine_threadsafe(wait(), loop).result(DEADLINE)
    log.append(position(1))
    event = asyncio.run_coroutine_threadsafe(result(task), loop).result(DEADLINE)
    task = asyncio.run_coroutine_threadsafe(wait(), loop).result(DEADLINE)
    log.end()
    with pytest.raises(StopAsyncIteration):
        asyncio.run_coroutine_threadsafe(result(task), loop).result(DEADLINE)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(DEADLINE)
    loop.close()

    assert numbers([event]) == [1]


# -- the journal -----------------------------------------------------------------------------------


class SlowJournal(MemoryJournal):
    """A journal in memory whose disk is slow: it takes a line when *gate* opens."""

    def __init__(self):
        self.lines, self.entered, self.gate = [], threading.Event(), threading.Event()
        self.fails: OSError | None = None

    def append(self, line):
        if line["event"] == "Position":
            self.entered.set()
            assert self.gate.wait(DEADLINE)
        if self.fails is not None:
            raise self.fails
        self.lines.append(dict(line))

    def read(self):
        return iter(self.lines)

    def rotate(self, carry):
        self.lines = [dict(line) for line in carry]
        return Path("aside")


@pytest.fixture
def journal(monkeypatch):
    """A journal that notes what it is given, and fails when it is told to."""
    monkeypatch.setattr("hotplug.brokers._events._log.MemoryJournal", type(None))
    journal = SlowJournal()
    journal.gate.set()
    return journal


def test_no_reader_sees_what_is_not_in_the_journal(journal):
    """
    While a line is being written, readers do not see its event, and do not wait for the disk either.
    """
    log = EventLog(journal)
    stream = log.stream(None, no_snapshot)
    journal.gate.clear()
    writer = threading.Thread(target=log.append, args=(position(1),))
    writer.start()

    async def test():
        assert journal.entered.wait(DEADLINE)
        task = await waits(stream)
        unread = not task.done() and log.cursor.endswith(":0")
        journal.gate.set()
        return unread, await asyncio.wait_for(task, DEADLINE), len(journal.lines)

    unread, event, lines = asyncio.run(test())
    writer.join(DEADLINE)

    assert unread
    assert numbers([event]) == [1]
    assert lines == 2


def test_writers_take_turns_at_a_slow_disk(journal):
    """
    Who writes while another waits for the disk gets the number after, and comes after it in the journal.
    """
    log, events = EventLog(journal), []
    journal.gate.clear()
    writers = [
        threading.Thread(target=lambda number=number: events.append(log.append(position(number))))
        for number in (1, 2)
    ]
    for writer in writers:
        writer.start()
        assert journal.entered.wait(DEADLINE)
        until_it_stands(writer)
    journal.gate.set()
    for writer in writers:
        writer.join(DEADLINE)

    assert sorted(event.cursor for event in events) == [f"{log.epoch}:1", f"{log.epoch}:2"]
    assert [line["seq"] for line in journal.lines] == [0, 1, 2]


def test_a_line_tells_the_event_and_more(path):
    """
    The line of an event says what, when, by which generation and whatever else it was given; not otherwise.
    """
    log = EventLog(FileJournal(path))

    log.append(position(1), generation=2, note="why", time=NOON, more={"latency": 0.5, "seq": 99})
    log.append(position(2), time=NOON)

    opened, first, second = log.lines()
    assert opened == {"event": "open", "time": opened["time"], "epoch": log.epoch, "seq": 0}
    assert first == {
        "event": "Position",
        "seq": 1,
        "time": "2026-03-01T12:00:00Z",
        "generation": 2,
        "note": "why",
        "latency": 0.5,
        "payload": {"account": "A1", "symbol": "ACME", "qty": "1", "avg_price": None, "realized_pnl": "0"},
    }
    assert set(second) == {"event", "seq", "time", "generation", "payload"}
    log.close()


def test_audit_lines_stand_between_the_events(path):
    """
    What is recorded stands in the journal, in order, with its time and records; no reader hears of it.
    """
    log = EventLog(FileJournal(path))
    stream = log.stream(None, no_snapshot)
    log.append(position(1))
    log.record("denied", reason="collar", held=position(5))
    log.append(position(2))
    log.record("halt", time=NOON)
    log.end()

    assert numbers(asyncio.run(read_all(stream))) == [1, 2]
    lines = list(log.lines())
    assert [line["event"] for line in lines] == ["open", "Position", "denied", "Position", "halt"]
    assert lines[2]["reason"] == "collar"
    assert lines[2]["held"]["qty"] == "5"
    assert datetime.fromisoformat(lines[2]["time"]).tzinfo is UTC
    assert lines[4]["time"] == "2026-03-01T12:00:00Z"
    assert [int(each.qty) for each in log.past()] == [1, 2]
    log.close()


@pytest.mark.parametrize("facts", [{"seq": 5}, {"event": "halt"}])
def test_a_record_does_not_pretend_to_be_an_event(facts):
    """
    Facts that would be mistaken for the log's own words are a `TypeError`.
    """
    log = EventLog()

    with pytest.raises(TypeError, match="event, seq are the log's own words, not facts of 'denied'"):
        log.record("denied", **facts)


def test_memory_writes_nothing_down():
    """
    A log in memory has no lines, and takes records all the same.
    """
    log = EventLog()
    log.append(position(1))
    log.record("denied", reason="collar")

    assert list(log.lines()) == []
    assert list(log.past()) == []
    assert log.rotate([]) is None
    log.close()


def test_a_log_goes_on_where_its_journal_ended(path):
    """
    A log that is opened on a journal with a past goes on with its numbers; cursors of before lead on.
    """
    first = EventLog(FileJournal(path))
    cursors = [first.append(position(number), generation=number).cursor for number in range(1, 4)]
    first.close()

    second = EventLog(FileJournal(path))
    assert (second.first, second.next, second.cursor) == (1, 4, cursors[-1])
    new = second.append(position(4))
    second.end()

    assert new.cursor == f"{second.epoch}:4"
    assert second.epoch != first.epoch
    for number, cursor in enumerate([f"{first.epoch}:0", *cursors, new.cursor]):
        events = asyncio.run(read_all(second.stream(cursor, no_snapshot)))
        assert numbers(events) == list(range(number + 1, 5))
        assert [event.generation for event in events] == [*range(number + 1, 4), *[0] * (number < 4)]
    second.close()
    third = EventLog(FileJournal(path))
    third.end()
    assert numbers(asyncio.run(read_all(third.stream(cursors[1], no_snapshot)))) == [3, 4]
    assert numbers(asyncio.run(read_all(third.stream(new.cursor, no_snapshot)))) == []
    third.close()


def test_events_come_back_as_they_were(path):
    """
    An event that was read back from the journal equals the one that was told.
    """
    first = EventLog(FileJournal(path))
    order = Order(symbol="ACME", side=Side.BUY, qty=Decimal("1.50"), status=OrderStatus.NEW, created_at=NOON)
    events = [first.append(payload, generation=3) for payload in (order, position(1), snapshot_of("x:1"))]
    start = f"{first.epoch}:0"
    first.close()

    second = EventLog(FileJournal(path))
    second.end()

    assert asyncio.run(read_all(second.stream(start, no_snapshot))) == events
    assert list(second.past()) == [event.payload for event in events]
    second.close()


def test_only_the_newest_events_are_taken_over(path, monkeypatch):
    """
    A log takes over as many events as it keeps, and no more than its limit; older cursors give a gap.
    """
    first = EventLog(FileJournal(path))
    cursors = [first.append(position(number)).cursor for number in range(1, 11)]
    first.close()

    for keep, limit in ((3, 20_000), (100, 3)):
        monkeypatch.setattr(_past, "MOST_RECALLED", limit)
        log = EventLog(FileJournal(path), keep=keep)
        assert (log.first, log.next) == (8, 11)
        log.append(position(11))
        log.end()

        async def snapshot(log=log):
            return snapshot_of(log.cursor)

        assert numbers(asyncio.run(read_all(log.stream(cursors[7], no_snapshot))))[:2] == [9, 10]
        [gap, _] = asyncio.run(read_all(log.stream(cursors[5], snapshot)))
        assert type(gap.payload) is Gap
        log.close()
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:11]))


def test_what_was_told_and_is_not_there_any_more_is_a_gap(path):
    """
    Where the end of a journal is lost, its numbers come again, but no cursor does: nothing is passed over.
    """
    first = EventLog(FileJournal(path))
    for number in range(1, 4):
        told = first.append(position(number))
    first.close()
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))

    second = EventLog(FileJournal(path))
    assert second.append(position(33)).cursor.endswith(":3")
    second.append(position(34))

    async def snapshot():
        return snapshot_of(second.cursor)

    second.end()
    events = asyncio.run(read_all(second.stream(told.cursor, snapshot)))
    assert [type(event.payload) for event in events] == [Gap, Snapshot]
    second.close()


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\x00\x00\x00\n",
        b'{"event": "Sandwich", "seq": 2, "time": "2026-03-01T12:00:00Z", "generation": 0, "payload": {}}\n',
        b'{"event": "Position", "seq": 2}\n',
        b'{"event": "Position", "seq": 2, "time": 5, "generation": 0, "payload": {}}\n',
        b'{"event": "Position", "seq": 7}\n{"event": "Position", "seq": 2}\n{"event": "open", "seq": 3}\n',
    ],
)
def test_a_hole_in_a_journal_is_told(path, rubbish):
    """
    What comes before a damaged line is not read on from; what comes after it is.
    """
    first = EventLog(FileJournal(path))
    cursors = [first.append(position(number)).cursor for number in range(1, 9)]
    first.close()
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = rubbish
    path.write_bytes(b"".join(lines))

    log = EventLog(FileJournal(path))
    log.end()

    async def snapshot():
        return snapshot_of(log.cursor)

    assert log.next == 9
    assert log.first > 2
    [gap, _] = asyncio.run(read_all(log.stream(cursors[0], snapshot)))
    assert type(gap.payload) is Gap
    assert numbers(asyncio.run(read_all(log.stream(cursors[6], no_snapshot)))) == [8]
    assert [int(each.qty) for each in log.past()][-1] == 8
    log.close()


def test_a_second_log_reads_and_writes_nothing_down(path):
    """
    On a journal that another holds, a log tells its readers what happens here, and writes nothing.
    """
    first = EventLog(FileJournal(path))
    told = first.append(position(1))

    second = EventLog(FileJournal(path))
    mine = second.append(position(2))
    second.end()

    assert numbers(asyncio.run(read_all(second.stream(told.cursor, no_snapshot)))) == [2]
    assert mine.cursor == f"{second.epoch}:2"
    assert second.fault is None
    with pytest.raises(PermissionError, match="held by pid"):
        second.record("intent")
    with pytest.raises(PermissionError, match="held by pid"):
        second.append(position(3), must=True)
    assert second.next == 3
    second.close()
    first.append(position(4))
    assert [line["event"] for line in first.lines()] == ["open", "Position", "Position"]
    first.close()


# -- a disk that fails -----------------------------------------------------------------------------


def full() -> OSError:
    return OSError(errno.ENOSPC, "full")


def test_no_event_is_lost_to_a_full_disk(journal):
    """
    Events that cannot be written down reach their readers, and are written before whatever comes next.
    """
    log = EventLog(journal)
    stream = log.stream(None, no_snapshot)
    journal.fails = full()
    log.append(position(1))
    log.append(position(2))
    assert log.fault is journal.fails
    with pytest.raises(OSError, match="full"):
        log.record("intent")
    assert [line["event"] for line in journal.lines] == ["open"]

    journal.fails = None
    log.record("intent")
    log.end()

    assert log.fault is None
    assert numbers(asyncio.run(read_all(stream))) == [1, 2]
    assert [line.get("seq", line["event"]) for line in journal.lines] == [0, 1, 2, "intent"]


def test_what_must_be_written_down_first_does_not_happen(journal):
    """
    An event that must be written down and cannot be has not happened: no number, no reader, no line.
    """
    log = EventLog(journal)
    journal.fails = full()

    with pytest.raises(OSError, match="full"):
        log.append(position(1), must=True)

    journal.fails = None
    assert (log.next, log.cursor) == (1, f"{log.epoch}:0")
    log.append(position(2), must=True)
    assert [line["seq"] for line in journal.lines] == [0, 1]


def test_what_waits_is_written_at_the_latest_when_the_log_is_closed(journal):
    """
    Closing a log writes what waits, or else lets go of it.
    """
    log = EventLog(journal)
    journal.fails = full()
    log.append(position(1))
    log.close()
    assert len(journal.lines) == 1
    journal.fails = None

    log.close()

    assert [line["seq"] for line in journal.lines] == [0, 1]


def test_a_disk_that_is_full_from_the_beginning(journal):
    """
    A log begins on a full disk, too: its first line waits with the others.
    """
    journal.fails = full()
    log = EventLog(journal)
    assert log.fault is journal.fails

    journal.fails = None
    log.append(position(1))

    assert [line["event"] for line in journal.lines] == ["open", "Position"]


# -- rotation --------------------------------------------------------------------------------------


def test_numbers_go_on_after_a_rotation(path):
    """
    After a rotation cursors lead on, also when the log was opened again; what was put aside is a gap then.
    """
    log = EventLog(FileJournal(path))
    cursors = [log.append(position(number)).cursor for number in range(1, 4)]

    aside = log.rotate([position(77), {"event": "carried", "seq": 2, "text": "kept"}])
    log.append(position(4))
    log.end()

    assert numbers(asyncio.run(read_all(log.stream(cursors[0], no_snapshot)))) == [2, 3, 4]
    assert [line.get("seq") for line in read_journal(aside)] == [0, 1, 2, 3]
    assert [line["event"] for line in log.lines()] == ["open", "Position", "carried", "Position"]
    assert [line.get("seq") for line in log.lines()] == [3, None, None, 4]
    assert [int(each.qty) for each in log.past()] == [77, 4]
    log.close()

    again = EventLog(FileJournal(path))
    again.end()

    async def snapshot():
        return snapshot_of(again.cursor)

    assert (again.first, again.next) == (4, 5)
    assert numbers(asyncio.run(read_all(again.stream(cursors[2], no_snapshot)))) == [4]
    assert type(asyncio.run(read_all(again.stream(cursors[1], snapshot)))[0].payload) is Gap
    again.close()


def test_a_rotation_waits_for_what_could_not_be_written(journal):
    """
    Lines that wait for the disk stand in the old journal before a new one begins.
    """
    log = EventLog(journal)
    journal.fails = full()
    log.append(position(1))
    with pytest.raises(OSError, match="full"):
        log.rotate([])
    old = journal.lines
    journal.fails = None

    assert log.rotate([]) == Path("aside")

    assert [line["seq"] for line in old] == [0, 1]
    assert [line["seq"] for line in journal.lines] == [1]


# -- a model plays against the log -----------------------------------------------------------------


class Client:
    """Somebody who believes what streams say, and nothing else."""

    def __init__(self, cursor, seen, step):
        self.cursor, self.seen, self.step = cursor, seen, step
        self.stream: EventStream | None = None
        self.lost = False

    def wants(self, event):
        return not isinstance(event.payload, Position) or int(event.payload.qty) % self.step == 0

    def take(self, event):
        match event.payload:
            case Gap():
                assert not self.lost, "two gaps in a row"
                self.lost = True
            case Snapshot(positions=positions):
                assert self.lost, "a snapshot without a gap"
                self.lost = False
                self.seen = [int(each.qty) for each in positions if int(each.qty) % self.step == 0]
            case Position(qty=qty):
                assert not self.lost, "an event between gap and snapshot"
                self.seen.append(int(qty))
        self.cursor = event.cursor


class LogAgainstList(RuleBasedStateMachine):
    """The model: a list of what happened. Whoever has caught up knows that list, crashes or not."""

    @initialize(keep=st.integers(1, 6), file=st.booleans())
    def begin(self, keep, file):
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "main.jsonl" if file else None
        self.keep = keep
        self.loop = asyncio.new_event_loop()
        self.truth: list[int] = []
        self.serial = itertools.count(1)
        self.clients: list[Client] = []
        self.ended = False
        self.open()

    def teardown(self):
        if hasattr(self, "loop"):
            self.log.close()
            self.loop.close()
            shutil.rmtree(self.folder)

    def open(self):
        self.log = EventLog(FileJournal(self.path) if self.path else None, keep=self.keep)
        self.ended = False
        assert self.log.next == len(self.truth) + 1

    def happen(self, *, must=False):
        number = next(self.serial)
        self.truth.append(number)
        event = self.log.append(position(number), must=must)
        assert event.cursor == self.log.cursor == f"{self.log.epoch}:{len(self.truth)}"

    async def snapshot(self):
        if next(self.serial) % 2:
            self.happen()
        taken = snapshot_of(self.log.cursor, map(position, self.truth))
        if next(self.serial) % 2:
            self.happen()
        return taken

    @rule(count=st.integers(1, 4), must=st.booleans())
    def append(self, count, must):
        for _ in range(count):
            self.happen(must=must)

    @rule()
    def beat(self):
        assert self.log.append(Heartbeat()).cursor == self.log.cursor

    @rule(step=st.integers(1, 2))
    def come(self, step):
        client = Client(self.log.cursor, [each for each in self.truth if each % step == 0], step)
        client.stream = self.log.stream(None, self.snapshot, wanted=client.wants)
        self.clients.append(client)

    @precondition(lambda self: self.clients)
    @rule(data=st.data())
    def come_back(self, data):
        client = data.draw(st.sampled_from(self.clients))
        client.lost = False
        cursor = client.cursor if client.stream is None else client.stream.cursor
        client.stream = self.log.stream(cursor, self.snapshot, wanted=client.wants)

    @precondition(lambda self: self.clients)
    @rule(data=st.data(), most=st.integers(1, 12))
    def read(self, data, most):
        client = data.draw(st.sampled_from(self.clients))
        if client.stream is None:
            return
        for _ in range(most):
            event = self.next_of(client.stream)
            if event is None:
                # It waits: it knows all there is. Or it was ended after all there was.
                assert client.seen == [each for each in self.truth if each % client.step == 0]
                return
            if event == "end":
                behind = client.stream.cursor
                if self.ended and self.log._ring.number_of(behind) == len(self.truth):
                    assert client.seen == [each for each in self.truth if each % client.step == 0]
                client.cursor, client.stream, client.lost = behind, None, False
                return
            client.take(event)
            assert client.stream.cursor == client.cursor

    def next_of(self, stream):
        async def attempt():
            task = asyncio.ensure_future(anext(stream))
            for _ in range(4):
                await asyncio.sleep(0)
            if not task.done():
                task.cancel()
            await asyncio.wait([task])
            return task

        task = self.loop.run_until_complete(attempt())
        if task.cancelled():
            return None
        return "end" if isinstance(task.exception(), StopAsyncIteration) else task.result()

    @rule()
    def end(self):
        self.log.end()
        self.ended = True

    @rule()
    def reopen(self):
        self.log.reopen()
        self.ended = False

    @precondition(lambda self: self.path)
    @rule()
    def rotate(self):
        self.log.rotate([position(0)])

    @precondition(lambda self: self.path)
    @rule(data=st.data(), damage=st.booleans())
    def crash(self, data, damage):
        for client in self.clients:
            if client.stream is not None:
                client.cursor, client.stream, client.lost = client.stream.cursor, None, False
        self.log.close()
        whole = self.path.read_bytes()
        left = whole[: data.draw(st.integers(max(0, len(whole) - 700), len(whole)))]
        if damage and left:
            place = data.draw(st.integers(0, len(left) - 1))
            left = left[:place] + b"\x00" + left[place + 1 :]
        self.path.write_bytes(left)
        del self.truth[last_number(left) :]
        self.open()

    @invariant()
    def nobody_waits(self):
        if hasattr(self, "log"):
            assert not self.log._ring.waiting


def last_number(text: bytes) -> int:
    """The highest number in the lines that are whole."""
    highest = 0
    for line in text.split(b"\n")[:-1]:
        with contextlib.suppress(ValueError):
            found = json.loads(line)
            highest = max(highest, found.get("seq", 0))
    return highest


TestLogAgainstList = LogAgainstList.TestCase
TestLogAgainstList.settings = settings(max_examples=part_of(100), stateful_step_count=40, deadline=None)
