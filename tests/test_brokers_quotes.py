"""The quote board: the newest quote of each symbol, for whoever asks and whoever follows."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import threading
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hotplug.brokers._events import _quotes
from hotplug.brokers._events._quotes import QuoteBoard, QuoteStream
from hotplug.market import Quote
from racing import DEADLINE, in_threads
from reading import read, read_all
from thorough import part_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def quote(symbol: str, bid: int) -> Quote:
    return Quote(symbol=symbol, bid=Decimal(bid), bid_size=None, ask=None, ask_size=None, time=NOON)


def told(quotes) -> list[tuple[str, int]]:
    return [(each.symbol, int(each.bid)) for each in quotes]


async def waits(stream: QuoteStream) -> asyncio.Task[Quote]:
    """A task that waits for the next quote."""
    task = asyncio.ensure_future(anext(stream))
    async with asyncio.timeout(DEADLINE):
        while not stream._waiting:  # noqa: ASYNC110 - the stream has no event for that
            await asyncio.sleep(0)
    return task


@pytest.fixture
def board():
    return QuoteBoard()


@pytest.fixture
def clock(monkeypatch):
    """The board's clock, which stands still but for what is added to it."""
    now = [1000.0]
    monkeypatch.setattr(_quotes, "monotonic", lambda: now[0])
    return now


# -- asking ----------------------------------------------------------------------------------------


def test_the_newest_quote_is_known_until_it_is_too_old(board, clock):
    """
    The quote that came in last is the answer, as long as it came in within the age asked for.
    """
    board.put(quote("A", 1))
    board.put(quote("A", 2))
    clock[0] += 3.0

    assert board.get("A", 3.0) == quote("A", 2)
    assert board.get("A", 2.9) is None
    assert board.get("B", 3.0) is None


# -- following -------------------------------------------------------------------------------------


def test_a_stream_begins_with_what_is_fresh(board, clock):
    """
    A stream begins with the quotes of the last five seconds, and goes on with what changes.
    """
    board.put(quote("A", 1))
    clock[0] += 0.5
    board.put(quote("B", 2))
    clock[0] += 5.0

    stream = board.stream(["B", "A", "C"])
    board.put(quote("A", 3))
    board.put(quote("D", 4))
    board.end()

    assert told(asyncio.run(read_all(stream))) == [("B", 2), ("A", 3)]


def test_a_slow_reader_skips_what_is_older(board):
    """
    However many quotes come between two reads, there is at most one of each symbol, the newest.
    """
    stream = board.stream(["A", "B"])
    for number in range(100):
        board.put(quote("A", number))
        board.put(quote("B", -number))
    board.end()

    assert told(asyncio.run(read_all(stream))) == [("A", 99), ("B", -99)]


def test_a_busy_symbol_does_not_push_others_back(board):
    """
    Symbols are told in the order in which they changed first, also if one changes again and again.
    """

    async def test():
        stream, got = board.stream(["A", "B"]), []
        board.put(quote("A", 0))
        board.put(quote("B", 0))
        for number in range(1, 5):
            got += await read(stream, 1)
            board.put(quote("A", number))
        return got

    assert [symbol for symbol, _ in told(asyncio.run(test()))] == ["A", "B", "A", "A"]


def test_who_waits_is_woken(board):
    """
    A reader that waits hears of the next quote of its symbols, and of no other.
    """

    async def test():
        stream = board.stream(["A"])
        task = await waits(stream)
        board.put(quote("B", 1))
        await asyncio.sleep(0)
        assert not task.done()
        board.put(quote("A", 2))
        board.put(quote("A", 3))
        return [await asyncio.wait_for(task, DEADLINE)]

    assert told(asyncio.run(test())) == [("A", 3)]


def test_one_string_is_not_several_symbols(board):
    """
    One symbol where several are asked for would become its letters, and is a `TypeError`.
    """
    with pytest.raises(TypeError, match=r"as in \['ACME'\]"):
        board.stream("ACME")

    assert board.symbols == frozenset()


def test_who_gives_up_waiting_loses_nothing(board):
    """
    A reader that was cancelled while it waited reads on.
    """

    async def test():
        stream = board.stream(["A"])
        for number in range(3):
            task = await waits(stream)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            board.put(quote("A", number))
            assert told(await read(stream, 1)) == [("A", number)]
        return True

    assert asyncio.run(test())


def test_one_stream_is_for_one_task(board):
    """
    Two tasks that wait at one stream would share its quotes: the second one is told.
    """

    async def test():
        stream = board.stream(["A"])
        task = await waits(stream)
        with pytest.raises(RuntimeError, match="another task reads this stream"):
            await anext(stream)
        board.put(quote("A", 1))
        return [await task]

    assert told(asyncio.run(test())) == [("A", 1)]


def test_closing_a_stream_ends_who_waits_at_it(board):
    """
    A closed stream has no more quotes, not even those it held, and nobody waits at it any more.
    """

    async def test():
        stream = board.stream(["A"])
        task = await waits(stream)
        await stream.aclose()
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(task, DEADLINE)
        board.put(quote("A", 1))
        assert await read_all(stream) == []
        holding = board.stream(["A"])
        await holding.aclose()
        await holding.aclose()
        return await read_all(holding)

    assert asyncio.run(test()) == []


def test_the_end_ends_the_streams_of_now(board):
    """
    The end wakes and ends every stream; streams that are opened later go on.
    """

    async def test():
        waiting, holding = board.stream(["A"]), board.stream(["A", "B"])
        task = await waits(waiting)
        board.put(quote("B", 1))
        board.end()
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(task, DEADLINE)
        assert told(await read_all(holding)) == [("B", 1)]
        later = board.stream(["C"])
        task = await waits(later)
        board.put(quote("C", 2))
        return [await asyncio.wait_for(task, DEADLINE)]

    assert told(asyncio.run(test())) == [("C", 2)]


def test_a_flood_of_quotes_leaves_the_loop_to_others(board):
    """
    A reader that always finds a quote does not keep its loop from all others.
    """

    async def test():
        turns = 0

        async def other():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task, stream = asyncio.ensure_future(other()), board.stream(["A"])
        for number in range(1000):
            board.put(quote("A", number))
            await anext(stream)
        task.cancel()
        return turns

    assert asyncio.run(test()) >= 10


def test_a_flood_of_quotes_wakes_a_reader_once(board, nothing_left):
    """
    Quotes that come while a reader of another loop is being woken are not one call each to that loop.
    """
    loop, calls = asyncio.new_event_loop(), []
    stream = board.stream(["A"])
    task = loop.run_until_complete(waits(stream))
    call = loop.call_soon_threadsafe
    loop.call_soon_threadsafe = lambda *args: calls.append(args) or call(*args)

    for number in range(100):
        board.put(quote("A", number))

    assert told([loop.run_until_complete(asyncio.wait_for(task, DEADLINE))]) == [("A", 99)]
    assert len(calls) == 1
    loop.close()


# -- what is streamed ------------------------------------------------------------------------------


def test_the_listener_is_told_what_is_streamed(board):
    """
    Whenever the union of the streamed symbols changes, and only then, the listener is told.
    """
    heard = []
    board.on_symbols_changed = lambda symbols: heard.append("".join(sorted(symbols)))

    async def test():
        one, two = board.stream(["A", "B"]), board.stream(["B"])
        three = board.stream(["C"])
        assert board.symbols == {"A", "B", "C"}
        await two.aclose()
        await one.aclose()
        await one.aclose()
        board.end()
        await three.aclose()

    asyncio.run(test())

    assert heard == ["AB", "ABC", "C", ""]
    assert board.symbols == frozenset()


def test_an_abandoned_stream_is_not_followed_for_ever(board):
    """
    The symbols of a stream that nobody holds any more are dropped with the next quote.
    """
    heard = []
    board.on_symbols_changed = lambda symbols: heard.append("".join(sorted(symbols)))
    kept, abandoned = board.stream(["A"]), board.stream(["A", "B"])
    del abandoned
    gc.collect()

    board.put(quote("A", 1))

    assert heard == ["A", "AB", "A"]
    board.end()
    assert told(asyncio.run(read_all(kept))) == [("A", 1)]


def test_the_listener_may_use_the_board(board):
    """
    The listener is called without a lock held: it may ask, put, and open streams.
    """
    heard, more = [], []

    def listen(symbols):
        heard.append("".join(sorted(symbols)))
        board.put(quote("A", len(heard)))
        if not more:
            more.append(board.stream(["B"]))

    board.on_symbols_changed = listen
    stream = board.stream(["A"])
    board.end()

    assert heard == ["A", "AB", ""]
    assert told(asyncio.run(read_all(stream))) == [("A", 2)]


def test_a_listener_that_fails_is_asked_again(board):
    """
    What a listener raises reaches whoever opened the stream, and keeps the next change from nobody.
    """
    heard = []

    def listen(symbols):
        heard.append("".join(sorted(symbols)))
        if len(heard) == 1:
            raise ConnectionError("down")

    board.on_symbols_changed = listen
    with pytest.raises(ConnectionError):
        board.stream(["A"])
    gc.collect()
    stream = board.stream(["B"])
    board.put(quote("B", 1))

    assert heard[0] == "A"
    assert heard[-1] == "B"
    board.end()
    assert told(asyncio.run(read_all(stream))) == [("B", 1)]


def test_one_thread_tells_for_all(board):
    """
    Who changes what is streamed while another thread tells the listener leaves the telling to that one.
    """
    heard, inside, gate = [], threading.Event(), threading.Event()

    def listen(symbols):
        heard.append(("".join(sorted(symbols)), threading.current_thread().name))
        if len(heard) == 1:
            inside.set()
            assert gate.wait(DEADLINE)

    board.on_symbols_changed = listen
    kept = []
    thread = threading.Thread(target=lambda: kept.append(board.stream(["A"])), name="teller")
    thread.start()
    assert inside.wait(DEADLINE)

    kept.append(board.stream(["B"]))
    meanwhile = list(heard)
    gate.set()
    thread.join(DEADLINE)

    assert meanwhile == [("A", "teller")]
    assert heard == [("A", "teller"), ("AB", "teller")]


def test_the_last_thing_a_listener_hears_is_true(board, eager_threads):
    """
    Threads open and close streams: the listener is never called by two at once, and hears the end of it.
    """
    heard, inside = [], []

    def listen(symbols):
        inside.append(1)
        assert len(inside) == 1, "two threads tell at once"
        heard.append(symbols)
        inside.pop()

    board.on_symbols_changed = listen
    kept = []

    def play(name):
        for number in range(50):
            stream = board.stream([f"{name}{number % 3}"])
            if number < 49:
                asyncio.run(stream.aclose()) if number % 10 == 0 else board._close(stream._inbox)
            else:
                kept.append(stream)

    outcomes = in_threads(*(lambda name=name: play(name) for name in "abcd"))

    assert outcomes == [None] * 4
    assert heard[-1] == board.symbols == {"a1", "b1", "c1", "d1"}


def test_every_reader_ends_up_with_the_newest(board, eager_threads):
    """
    Four threads put quotes, four loops read all: each goes only forward, and ends at the newest.
    """
    streams = [board.stream(list("abcd")) for _ in range(4)]
    finish = threading.Barrier(4)

    def write(symbol):
        for number in range(200):
            board.put(quote(symbol, number))
        if finish.wait(DEADLINE) == 0:
            board.end()

    outcomes = in_threads(
        *(lambda symbol=symbol: write(symbol) for symbol in "abcd"),
        *(lambda stream=stream: asyncio.run(read_all(stream)) for stream in streams),
    )

    assert outcomes[:4] == [None] * 4
    for quotes in outcomes[4:]:
        for symbol in "abcd":
            mine = [int(each.bid) for each in quotes if each.symbol == symbol]
            assert mine == sorted(set(mine))
            assert mine[-1] == 199


# -- a model plays against the board ---------------------------------------------------------------


class BoardAgainstDicts(RuleBasedStateMachine):
    """The model: for each stream a dict of what it has not been told yet."""

    @initialize()
    def begin(self):
        self.board, self.serial, self.heard = QuoteBoard(), itertools.count(), frozenset()
        self.board.on_symbols_changed = lambda symbols: setattr(self, "heard", symbols)
        self.newest: dict[str, Quote] = {}
        self.streams: list[tuple[QuoteStream, frozenset[str], dict[str, Quote]]] = []
        self.open: set[int] = set()
        self.loop = asyncio.new_event_loop()

    def teardown(self):
        if hasattr(self, "loop"):
            self.loop.close()

    @rule(symbol=st.sampled_from("abc"))
    def put(self, symbol):
        new = self.newest[symbol] = quote(symbol, next(self.serial))
        self.board.put(new)
        for place in self.open:
            _, symbols, pending = self.streams[place]
            if symbol in symbols:
                pending[symbol] = new

    @rule(symbols=st.frozensets(st.sampled_from("abc")))
    def stream(self, symbols):
        pending = {symbol: self.newest[symbol] for symbol in sorted(symbols) if symbol in self.newest}
        self.open.add(len(self.streams))
        self.streams.append((self.board.stream(symbols), symbols, pending))

    @precondition(lambda self: self.streams)
    @rule(data=st.data())
    def read(self, data):
        place = data.draw(st.integers(0, len(self.streams) - 1))
        stream, _, pending = self.streams[place]

        async def attempt():
            task = asyncio.ensure_future(anext(stream))
            for _ in range(3):
                await asyncio.sleep(0)
            if not task.done():
                task.cancel()
            await asyncio.wait([task])
            return task

        task = self.loop.run_until_complete(attempt())
        if pending:
            assert task.result() == pending.pop(next(iter(pending)))
        elif place in self.open:
            assert task.cancelled()
        else:
            assert isinstance(task.exception(), StopAsyncIteration)

    @precondition(lambda self: self.streams)
    @rule(data=st.data())
    def close(self, data):
        place = data.draw(st.integers(0, len(self.streams) - 1))
        self.loop.run_until_complete(self.streams[place][0].aclose())
        self.streams[place][2].clear()
        self.open.discard(place)

    @rule()
    def end(self):
        self.board.end()
        self.open.clear()

    @invariant()
    def the_listener_knows(self):
        if hasattr(self, "board"):
            followed = [self.streams[place][1] for place in self.open]
            assert self.heard == self.board.symbols == frozenset().union(*followed)
            assert all(self.board.get(symbol, 60.0) is new for symbol, new in self.newest.items())


TestBoardAgainstDicts = BoardAgainstDicts.TestCase
TestBoardAgainstDicts.settings = settings(max_examples=part_of(100), stateful_step_count=30, deadline=None)
