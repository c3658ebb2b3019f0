"""What is in the file is there again: state, order of events, and errors that name the file."""

from __future__ import annotations

import asyncio
import dataclasses
import sqlite3
import threading
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from hotplug.errors import BrokerError, BrokerUnavailable, DuplicateClientOrderId
from hotplug.market import (
    Bar,
    Fill,
    OrderChange,
    OrderRef,
    OrderRequest,
    OrderStatus,
    OrderType,
    Quote,
    Side,
    TimeInForce,
)
from hotplug_broker_paper import PaperBroker
from hotplug_broker_paper._file import StateFile

D = Decimal
START = datetime(2024, 1, 2, tzinfo=UTC)


@pytest.fixture
def file(tmp_path):
    """Where the state is kept."""
    return tmp_path / "paper.db"


@asynccontextmanager
async def broker_on(file, **settings):
    """A broker on that file, connected for the length of a block."""
    broker = PaperBroker(file=file, **settings)
    async with asyncio.timeout(20):
        await broker.connect()
        try:
            yield broker
        finally:
            await broker.disconnect()


def run(test):
    """What the coroutine function returns."""
    return asyncio.run(test())


def bar(minute, open_=100, *, high=None, low=None, volume=1000, symbol="A"):
    open_ = D(open_)
    return Bar(
        symbol=symbol,
        time=START + timedelta(minutes=minute),
        open=open_,
        high=open_ if high is None else D(high),
        low=open_ if low is None else D(low),
        close=open_,
        volume=volume,
    )


def quote(minute, bid, ask, size=100):
    time = START + timedelta(minutes=minute)
    return Quote(symbol="A", bid=D(bid), bid_size=size, ask=D(ask), ask_size=size, time=time)


def order(side, qty, name, price=None, stop=None, **more):
    kinds = {(0, 0): "MARKET", (1, 0): "LIMIT", (0, 1): "STOP", (1, 1): "STOP_LIMIT"}
    return OrderRequest(
        **{
            "symbol": "A",
            "side": Side(side),
            "qty": D(qty),
            "type": OrderType(kinds[price is not None, stop is not None]),
            "price": None if price is None else D(price),
            "stop_price": None if stop is None else D(stop),
            "tif": TimeInForce.GTC,
            "client_order_id": name,
        }
        | more
    )


def buy(qty, name, price=None, **more):
    return order("BUY", qty, name, price, **more)


def sell(qty, name, price=None, **more):
    return order("SELL", qty, name, price, **more)


async def state_of(broker):
    """All that a venue knows, but for the cursor and what the host adds to orders."""
    shot = await broker._snapshot()
    return dataclasses.replace(shot, cursor=None), broker._venue.seq, len(broker._venue.ended)


OPEN = {"stop", "elected", "changed", "coming", "hers"}


async def trade_a_little(broker):
    await broker.open_account("ada", D(777))
    await broker.feed(bar(0))
    await broker.place_order(buy(10, "held"))
    await broker.place_order(buy(1, "hers", price=90, account="ada", tags=("x", "y"), tif=TimeInForce.DAY))
    await broker.feed(bar(1, "100.5", volume=7))
    await broker.place_order(sell(2, "stop", stop=95))
    await broker.place_order(sell(2, "elected", price=105, stop=101))
    await broker.place_order(buy(1, "gone", price=50))
    await broker.cancel_order(OrderRef(client_order_id="gone"))
    await broker.feed_quote(quote(2, 100, 101))
    changed = await broker.place_order(buy(5, "changed", price=80))
    await broker.modify_order(OrderRef(order_id=changed.order_id), OrderChange(price=D(85)))
    expires = START + timedelta(hours=9)
    await broker.place_order(
        buy(1, "coming", price=1, tif=TimeInForce.GTD, expire_at=expires, symbol="B", reduce_only=False)
    )


# -- surviving -------------------------------------------------------------------------------------


def test_all_that_there_was_is_there_again(file):
    """
    Accounts, money, positions, orders of every sort and fills are the same after a restart, in all fields.
    """

    async def test():
        async with broker_on(file, fee_rate=D("0.00137")) as broker:
            await trade_a_little(broker)
            before = await state_of(broker)
        async with broker_on(file, fee_rate=D("0.00137")) as broker:
            return before, await state_of(broker), broker._venue

    before, after, venue = run(test)

    assert before == after
    assert {each.client_order_id for each in after[0].orders} == OPEN
    for account in venue.accounts.values():
        still = list(account.open_orders())
        assert account.locked == sum((each.locked for each in still), D(0))
        assert account._selling.get("A", 0) == sum(
            each.closing for each in still if not each.buying and each.symbol == "A"
        )


def test_it_goes_on_as_if_nothing_had_been(file):
    """
    With a restart between every two steps the venue says the same as without any: ids, prices, queue, times.
    """
    steps = [
        lambda broker: broker.feed_quote(quote(0, 99, 100)),
        lambda broker: broker.place_order(buy(4, "a", price=98)),
        lambda broker: broker.place_order(buy(4, "b", price=98)),
        lambda broker: broker.place_order(buy(9, "held")),
        lambda broker: broker.place_order(buy(2, "d", price=97, tif=TimeInForce.DAY)),
        lambda broker: broker.feed_quote(quote(1, 99, 100, size=5)),
        lambda broker: broker.modify_order(OrderRef(order_id="default-1"), OrderChange(qty=D(6))),
        lambda broker: broker.feed_quote(quote(2, 99, 100, size=4)),
        lambda broker: broker.place_order(sell(3, "stop", stop=98)),
        lambda broker: broker.place_order(sell(3, "limit", price=104, stop=103)),
        lambda broker: broker.feed_quote(quote(3, 97, 98, size=7)),
        lambda broker: broker.place_order(sell(3, "reduce", price=105, reduce_only=True)),
        lambda broker: broker.cancel_order(OrderRef(client_order_id="d", order_id="default-4")),
        lambda broker: broker.feed_quote(quote(4, 103, 104, size=2)),
        lambda broker: broker.feed(bar(5, 104, high=106, low=90)),
        lambda broker: broker.feed(bar(60 * 24, 98, low=96)),
    ]

    async def play(path, *, restarts):
        said, settings = [], {"fee_rate": D("0.001"), "cancel_latency": 30.0, "seed": 4}
        broker = PaperBroker(file=path, **settings)
        for step in steps:
            if restarts or broker.info.status == "CREATED":
                await broker.disconnect()
                broker = PaperBroker(file=path, **settings)
                await broker.connect()
            hear = broker._venue._say
            broker._venue._say = lambda each, hear=hear: (said.append(each), hear(each))
            await step(broker)
            broker._venue._say = hear
        state = await state_of(broker)
        await broker.disconnect()
        return said, state

    async def test():
        return await play(file, restarts=False), await play(file.with_name("other.db"), restarts=True)

    without, with_restarts = run(test)

    assert without == with_restarts
    assert len([each for each in without[0] if isinstance(each, Fill)]) >= 8


def test_a_stop_that_was_reached_stays_so(file):
    """
    Elected before the restart without trading, it is a limit order after it: the price need not come back.
    """

    async def test():
        async with broker_on(file) as broker:
            await broker.place_order(order("BUY", 1, "stop", price=99, stop=105))
            await broker.feed_quote(quote(0, 99, 100))
            await broker.feed_quote(quote(1, 104, 105))
        async with broker_on(file) as broker:
            return [each.price for each in await broker.feed_quote(quote(2, 97, 98))]

    assert run(test) == [99]


def test_ids_are_not_used_again(file):
    """
    Numbers of orders and trades go on; a client id that was used is refused by the venue.
    """

    async def test():
        async with broker_on(file) as broker:
            await broker.place_order(buy(1, "one"))
            await broker.feed(bar(0))
        async with broker_on(file) as broker:
            ack = await broker.place_order(buy(1, "two"))
            [fill] = await broker.feed(bar(1))
            with pytest.raises((DuplicateClientOrderId, BrokerError)) as caught:
                await broker.place_order(buy(2, "one"))
            return ack.order_id, fill.trade_id, caught.value.outcome

    assert run(test) == ("default-2", "default-T2", "REJECTED")


def test_the_past_is_still_past(file):
    """
    A bar that the account has seen before the restart is refused after it.
    """

    async def test():
        async with broker_on(file) as broker:
            await broker.feed(bar(5))
        async with broker_on(file) as broker:
            with pytest.raises(BrokerError, match="bars go forward"):
                await broker.feed(bar(5))
            await broker.feed(bar(6))

    run(test)


def test_reconnecting_reads_the_file_again(file):
    """
    What somebody else did to the file while the broker was away is seen.
    """

    async def test():
        broker = PaperBroker(file=file)
        await broker.connect()
        await broker.disconnect()
        async with broker_on(file) as other:
            await other.open_account("ada", D(5))
        await broker.connect()
        balances = await broker.get_balances()
        await broker.disconnect()
        return {each.account: each.total for each in balances}

    assert run(test) == {"default": 100_000, "ada": 5}


def test_only_so_much_is_read(file):
    """
    Of what ended long ago as much is read as the history goes; the file has all of it.
    """

    async def test():
        async with broker_on(file) as broker:
            for minute in range(6):
                await broker.place_order(buy(1, f"{minute}"))
                await broker.feed(bar(minute))
        async with broker_on(file, history=2) as broker:
            venue = broker._venue
            return [each.client_order_id for each in venue.ended], [each.trade_id for each in venue.fills]

    assert run(test) == (["4", "5"], ["default-T5", "default-T6"])
    with closing(sqlite3.connect(file)) as db:
        assert db.execute("SELECT count(*) FROM fills").fetchall() == [(6,)]


def test_nobody_else_may_read_it(file):
    """
    The file is its owner's alone.
    """

    async def test():
        async with broker_on(file):
            return file.stat().st_mode & 0o777

    assert run(test) == 0o600


# -- time spent down -------------------------------------------------------------------------------


class Clock:
    def __init__(self):
        self.now = START

    def __call__(self):
        return self.now


def test_nothing_trades_on_what_happened_meanwhile(file):
    """
    Down from 00:10 to 01:00: what is fed of that time trades nothing, before and after it orders trade.
    """
    clock = Clock()

    async def test():
        trades = []
        async with broker_on(file, clock=clock) as broker:
            await broker.place_order(buy(1, "order", price=90))
            clock.now = START + timedelta(minutes=10)
            trades.append(await broker.feed(bar(9)))
        clock.now = START + timedelta(minutes=60)
        async with broker_on(file, clock=clock) as broker:
            trades.append(await broker.feed(bar(11, 80)))
            trades.append(await broker.feed_quote(quote(59, 79, 80)))
            [balance] = await broker.get_balances()
            assert balance.locked == 90
            trades.append(await broker.feed(bar(60, 85)))
        return [[each.price for each in fills] for fills in trades]

    assert run(test) == [[], [], [], [85]]


# -- commits ---------------------------------------------------------------------------------------


@pytest.fixture
def writes(monkeypatch):
    """Holds up writing to the file until it is let go; counts how often that is done."""

    class Writes:
        go, begun, count, fails = threading.Event(), threading.Event(), 0, None

    gate, write = Writes(), StateFile.write
    gate.go.set()

    def held_up(self, *args):
        gate.count += 1
        gate.begun.set()
        assert gate.go.wait(10)
        if gate.fails is not None:
            raise gate.fails
        write(self, *args)

    monkeypatch.setattr(StateFile, "write", held_up)
    yield gate
    gate.go.set()


async def until(event):
    await asyncio.to_thread(event.wait, 10)


def test_the_ack_follows_the_commit(file, writes):
    """
    While the order is not on the disk, there is no ack; nor is it told that it stands.
    """

    async def test():
        async with broker_on(file) as broker:
            writes.go.clear()
            writes.begun.clear()
            placing = asyncio.ensure_future(broker.place_order(buy(1, "order")))
            await until(writes.begun)
            waited = not placing.done(), (await broker.get_order(OrderRef(client_order_id="order"))).status
            writes.go.set()
            return waited, (await placing).status

    assert run(test) == ((True, OrderStatus.PENDING_NEW), OrderStatus.NEW)


def test_a_fill_is_told_after_its_commit(file, writes):
    """
    A reader hears of a fill when it is on the disk, not before.
    """

    async def test():
        async with broker_on(file) as broker:
            await broker.place_order(buy(1, "order"))
            writes.go.clear()
            writes.begun.clear()
            feeding = asyncio.ensure_future(broker.feed(bar(0)))
            await until(writes.begun)
            before = await broker.get_fills()
            writes.go.set()
            await feeding
            return before, len(await broker.get_fills())

    assert run(test) == ((), 1)


def test_orders_are_committed_together(file, writes):
    """
    Two hundred orders placed at once are a few commits, not two hundred.
    """

    async def test():
        async with broker_on(file) as broker:
            before = writes.count
            await asyncio.gather(*(broker.place_order(buy(1, f"{number}")) for number in range(200)))
            return writes.count - before, len(await broker.get_open_orders())

    commits, open_orders = run(test)
    assert open_orders == 200
    assert commits <= 5


def test_who_stops_waiting_changes_nothing(file, writes):
    """
    A feed that is cancelled while it is being written has happened all the same.
    """

    async def test():
        async with broker_on(file) as broker:
            await broker.place_order(buy(1, "order"))
            writes.go.clear()
            writes.begun.clear()
            feeding = asyncio.ensure_future(broker.feed(bar(0)))
            await until(writes.begun)
            feeding.cancel()
            writes.go.set()
            with pytest.raises(asyncio.CancelledError):
                await feeding
            await broker.open_account("ada")  # comes after it
            return len(await broker.get_fills())

    assert run(test) == 1


def test_disconnecting_waits_for_what_is_being_written(file, writes):
    """
    A bar that is on its way to the disk is there before the file is let go.
    """

    async def test():
        broker = PaperBroker(file=file)
        await broker.connect()
        await broker.place_order(buy(1, "order"))
        writes.go.clear()
        writes.begun.clear()
        feeding = asyncio.ensure_future(broker.feed(bar(0)))
        await until(writes.begun)
        leaving = asyncio.ensure_future(broker.disconnect())
        await asyncio.sleep(0)
        writes.go.set()
        await leaving
        assert len(await feeding) == 1
        async with broker_on(file) as broker:
            return len(broker._venue.fills)

    assert run(test) == 1


def test_who_stopped_waiting_hears_of_no_failure(file, writes):
    """
    A failure concerns those who still wait for the commit.
    """

    async def test():
        async with broker_on(file) as broker:
            broker.reconnect_delays = (0.0, 0.0)
            writes.fails = sqlite3.OperationalError("disk I/O error")
            writes.go.clear()
            writes.begun.clear()
            calls = [asyncio.ensure_future(broker.open_account(name)) for name in ("a", "b")]
            await until(writes.begun)
            calls[0].cancel()
            await asyncio.wait(calls[:1])
            writes.go.set()
            return [type(each) for each in await asyncio.gather(*calls, return_exceptions=True)]

    assert run(test) == [asyncio.CancelledError, BrokerUnavailable]


def test_a_disk_that_fails_leaves_no_doubt_in_the_end(file, writes):
    """
    An order that could not be written is UNKNOWN at first; the file says it never was: so it is REJECTED.
    """

    async def test():
        async with broker_on(file) as broker:
            broker.reconnect_delays = (0.0, 0.0)
            await broker.place_order(buy(1, "kept", price=50))
            writes.fails = sqlite3.OperationalError("disk I/O error")
            stream = broker.events()
            with pytest.raises(BrokerError, match="disk I/O error") as caught:
                await broker.place_order(buy(1, "lost", price=50))
            writes.fails = None
            async for event in stream:
                if getattr(event.payload, "new", None) == "READY":
                    break
            lost = await broker.get_order(OrderRef(client_order_id="lost"))
            kept = await broker.get_order(OrderRef(client_order_id="kept"))
            await broker.place_order(buy(1, "next", price=50))
            at_venue = len(broker._venue.open_orders())
            return caught.value.outcome, lost.status, kept.status, at_venue

    assert run(test) == ("UNKNOWN", OrderStatus.REJECTED, OrderStatus.NEW, 2)


def test_bars_that_could_not_be_written_did_not_happen(file, writes):
    """
    The feeder hears of it; after reconnecting, the same bar may be fed again.
    """

    async def test():
        async with broker_on(file) as broker:
            broker.reconnect_delays = (0.0, 0.0)
            await broker.place_order(buy(1, "order"))
            writes.fails = OSError(28, "No space left on device")
            stream = broker.events()
            writes.go.clear()
            feeding = [
                asyncio.ensure_future(broker.feed(bar(0))),
                asyncio.ensure_future(broker.open_account("x")),
            ]
            await until(writes.begun)
            writes.go.set()
            errors = await asyncio.gather(*feeding, return_exceptions=True)
            writes.fails = None
            async for event in stream:
                if getattr(event.payload, "new", None) == "READY":
                    break
            return [type(each) for each in errors], len(await broker.feed(bar(0)))

    assert run(test) == ([BrokerUnavailable, BrokerUnavailable], 1)


def test_after_a_failure_nothing_is_written_any_more(file, writes):
    """
    What comes between the failure and the new connection fails for the same reason, without being tried.
    """

    async def test():
        async with broker_on(file) as broker:
            writes.fails = sqlite3.OperationalError("database or disk is full")
            commits, errors = broker._commits, []
            for _ in range(2):
                with pytest.raises(BrokerUnavailable, match="disk is full") as caught:
                    await commits.written(broker._venue, broker._taken, broker._tell)
                errors.append(caught.value)
            return errors[0] is errors[1], writes.count

    first_count = 1  # what connecting writes
    assert run(test) == (False, first_count + 1)


# -- what is wrong with a file ---------------------------------------------------------------------


def refusal(file, **settings):
    """What a broker says of that file."""

    async def test():
        async with broker_on(file, **settings):
            pass

    with pytest.raises(BrokerUnavailable) as caught:
        asyncio.run(test())
    assert caught.value.code == "file"
    assert str(file) in str(caught.value)
    return str(caught.value)


@pytest.fixture
def used(file):
    """A file with something in it."""

    async def test():
        async with broker_on(file) as broker:
            await trade_a_little(broker)

    run(test)
    return file


def test_one_file_is_one_brokers(file):
    """
    A second broker on a file that is in use is refused, and does no harm.
    """

    async def test():
        async with broker_on(file) as broker:
            with pytest.raises(BrokerUnavailable, match="is in use, by another process or another broker"):
                await PaperBroker(file=file).connect()
            await broker.place_order(buy(1, "order"))
        async with broker_on(file) as broker:
            return len(broker._venue.open_orders())

    assert run(test) == 1


def test_a_file_with_a_broker_on_it_allows_no_second_session(file):
    """
    So that a new generation is connected after the old one has let go.
    """
    assert PaperBroker().concurrent_sessions
    assert not PaperBroker(file=file).concurrent_sessions


def test_a_file_of_something_else_is_left_alone(file):
    """
    Text is no database, and somebody else's database is not touched.
    """
    file.write_text("dear diary " * 100)
    assert "is damaged: file is not a database" in refusal(file)
    assert file.read_text().startswith("dear diary")

    file.unlink()
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("CREATE TABLE diary (day)")
    before = file.read_bytes()
    assert "is a database, but no paper broker's" in refusal(file)
    assert file.read_bytes() == before


def test_a_damaged_file_is_said_to_be(used):
    """
    A page that is overwritten is found when the file is opened.
    """
    with used.open("r+b") as raw:
        raw.seek(4096)
        raw.write(b"\xa5" * 4096)

    assert "is damaged" in refusal(used)


def test_a_file_with_impossible_rows_is_damaged(used):
    """
    What SQLite itself finds is said in its words.
    """
    with closing(sqlite3.connect(used)) as db, db:
        db.execute("INSERT INTO naps VALUES (NULL, NULL)")
        db.execute("PRAGMA writable_schema = ON")
        db.execute(
            "UPDATE sqlite_master SET sql = 'CREATE TABLE naps (slept NOT NULL, woke)' WHERE name = 'naps'"
        )

    assert "is damaged: NULL value in naps.slept" in refusal(used)


def test_a_transaction_that_ended_itself_is_over(file):
    """
    Some failures roll back by themselves: then there is nothing left to roll back.
    """
    state = StateFile(file, "USD", START)
    with pytest.raises(sqlite3.OperationalError, match="full"), state._transaction():
        state._db.execute("ROLLBACK")
        raise sqlite3.OperationalError("full")
    state.write({}, 1, START)
    state.close()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            "UPDATE accounts SET cash = '1e9'",
            "is damaged: ArithmeticError: the books of 'default' do not balance",
        ),
        ("UPDATE accounts SET cash = 'much'", "is damaged: InvalidOperation"),
        ("UPDATE orders SET status = 'SOMEHOW'", "is damaged: ValueError"),
        ("UPDATE orders SET account = 'nobody'", "is damaged: KeyError"),
        ("PRAGMA user_version = 2", "has layout 2, this version knows 1"),
        ("DROP TABLE naps", "is damaged: no such table: naps"),
    ],
)
def test_a_file_that_no_broker_wrote(used, change, why):
    """
    Sums that do not balance, words that nobody knows, and newer layouts are refused.
    """
    with closing(sqlite3.connect(used)) as db, db:
        db.execute(change)

    assert why in refusal(used)


def test_accounts_stay_in_their_currency(used):
    """
    A file with dollars is no file of euros.
    """
    assert "holds accounts in USD, the settings say EUR" in refusal(used, currency="EUR")


@pytest.mark.parametrize("where", ["missing/paper.db", ""])
def test_a_file_that_cannot_be_opened(tmp_path, where):
    """
    A folder that is not there, or a folder in its place.
    """
    assert "cannot be opened" in refusal(tmp_path / where)


def test_a_refused_file_is_let_go(used):
    """
    After a refusal the file is free: with the right settings it opens.
    """
    refusal(used, currency="EUR")

    async def test():
        async with broker_on(used) as broker:
            return len(broker._venue.accounts)

    assert run(test) == 2
