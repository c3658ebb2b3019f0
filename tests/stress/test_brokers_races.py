"""One gateway, eight threads with loops of their own: orders placed, cancelled, repeated, filled at once."""

from __future__ import annotations

import asyncio
import gc
import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from hotplug import Config, Host
from hotplug.brokers import BrokerGateway, SyncBrokerGateway
from hotplug.brokers._events._journal import FileJournal, read_journal
from hotplug.brokers._orders._book import Book
from hotplug.errors import BrokerError, Halted, InsufficientFunds, MarketClosed, Outcome
from hotplug.market import (
    Environment,
    Fill,
    Liquidity,
    OrderAck,
    OrderRef,
    OrderRequest,
    OrderStatus,
    OrderType,
    OrderUpdate,
    Side,
    Snapshot,
)
from racing import DEADLINE, in_threads, until_it_stands

pytestmark = pytest.mark.usefixtures("nothing_left", "eager_threads")

THREADS = 8
QTY = 4
NOTHING = Snapshot(orders=None, fills=None, positions=None, balances=None, cursor=None)
assert Host  # imported before threads take turns: compiling under them is another story


def fate(name: str) -> str:
    """What becomes of an order is in its id, so that all threads know: good, refused or lost."""
    return name.partition("-")[0]


class Floor(BrokerGateway):
    """A venue in this process: takes orders by their fate, some at once and some after a few turns."""

    broker_type = "floor"
    environment = Environment.SANDBOX
    check_interval = 0.01

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()
        self.seen_in: set[int] = set()
        self.stubborn: set[str] = set()
        self.turns = itertools.cycle((0, 0, 1, 0, 3, 2))

    async def _connect(self) -> None: ...

    async def _disconnect(self) -> None: ...

    async def _place(self, order: Any) -> str | None:
        self.sent[order.client_order_id] += 1
        self.seen_in.add(threading.get_ident())
        for _ in range(next(self.turns)):
            await asyncio.sleep(0)
        if fate(order.client_order_id) == "refused":
            raise InsufficientFunds("too poor", outcome="REJECTED")
        if fate(order.client_order_id) == "lost":
            raise OSError("the line broke")
        return f"v-{order.client_order_id}"

    async def _cancel(self, order: Any) -> None:
        await asyncio.sleep(0)
        if order.client_order_id in self.stubborn:
            raise MarketClosed("not now", outcome="REJECTED")
        self.report(OrderUpdate(client_order_id=order.client_order_id, status=OrderStatus.CANCELED))

    async def _snapshot(self) -> Snapshot:
        return NOTHING

    def _time_of(self, account: str) -> datetime:
        self.seen_in.add(threading.get_ident())  # with each change of an order
        return super()._time_of(account)


class Home:
    """A loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.complaints: list[Any] = []
        self.loop.set_exception_handler(lambda _, context: self.complaints.append(context))
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(DEADLINE)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(DEADLINE)
        self.loop.close()


@pytest.fixture
def home():
    home = Home()
    yield home
    home.close()


def request(name: str) -> OrderRequest:
    return OrderRequest(
        symbol="X",
        side=Side.BUY,
        qty=Decimal(QTY),
        type=OrderType.LIMIT,
        price=Decimal(10),
        client_order_id=name,
    )


def a_fill(name: str, number: int, *, by_venue_id: bool) -> Fill:
    return Fill(
        trade_id=f"{name}/{number}",
        order_id=f"v-{name}" if by_venue_id else None,
        client_order_id=None if by_venue_id else name,
        account="default",
        symbol="X",
        side=Side.BUY,
        qty=Decimal(1),
        price=Decimal(10),
        fee=Decimal(0),
        fee_currency="USD",
        liquidity=Liquidity.TAKER,
        time=datetime.now(UTC),
    )


async def answer(work: Awaitable[Any]) -> Any:
    """What comes of it: an answer, a `BrokerError`, or that it was cancelled."""
    try:
        return await work
    except BrokerError as error:
        return error
    except asyncio.CancelledError:
        return None


# -- everything at once ----------------------------------------------------------------------------


class Trader:
    """One of the threads: it does what its dice say, and writes down what it was told."""

    def __init__(self, gateway: Floor, names: list[str], seed: int) -> None:
        self.gateway = gateway
        self.dice = random.Random(seed)
        self.names = list(names)
        self.dice.shuffle(self.names)
        self.answers: list[tuple[str, Any]] = []
        self.fills: list[tuple[str, int]] = []
        self.complaints: list[Any] = []

    def __call__(self) -> None:
        asyncio.run(self.trade())

    async def trade(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self.complaints.append(context))
        for name in self.names:
            await self.play(name)
        gc.collect()

    async def play(self, name: str) -> None:
        dice = self.dice
        placing = asyncio.ensure_future(self.gateway.place_order(request(name)))
        if dice.random() < 0.5:
            await asyncio.sleep(0)
        if fate(name) == "good" and name in self.gateway.sent:
            self.tell_fills(name, by_venue_id=False)  # the venue may be quicker than its own answer
        if dice.random() < 0.3:
            for _ in range(dice.randrange(4)):
                await asyncio.sleep(0)
            placing.cancel()
        told = await answer(placing)
        self.answers.append((name, told))
        if isinstance(told, OrderAck):
            self.tell_fills(name, by_venue_id=dice.random() < 0.5)
            if dice.random() < 0.3:
                cancelling = asyncio.ensure_future(self.gateway.cancel_order(OrderRef(client_order_id=name)))
                if dice.random() < 0.5:
                    await asyncio.sleep(0)
                    cancelling.cancel()
                await answer(cancelling)

    def tell_fills(self, name: str, *, by_venue_id: bool) -> None:
        for number in self.dice.sample(range(QTY), self.dice.randrange(QTY + 1)):
            self.fills.append((name, number))
            for _ in range(self.dice.choice((1, 1, 2))):
                self.gateway.report(a_fill(name, number, by_venue_id=by_venue_id))


@pytest.fixture
def storm(home, tmp_path):
    """A gateway at home, with a journal in a file; what eight threads did to it."""
    floor = Floor()
    journal = FileJournal(tmp_path / "floor.jsonl")
    floor.attach(Book("floor", journal=journal), home.loop)
    home.run(floor.connect(5))
    kinds = ("good",) * 8 + ("refused", "lost")
    names = [f"{kind}-{number}" for number, kind in zip(range(60), itertools.cycle(kinds), strict=False)]
    floor.stubborn = set(names[::7])
    traders = [Trader(floor, names[:: 1 + seed % 2], seed) for seed in range(THREADS)]
    assert in_threads(*traders) == [None] * THREADS
    home.run(quiet(floor))
    yield floor, traders, tmp_path / "floor.jsonl"
    journal.close()


async def quiet(floor: Floor) -> None:
    """Everything that was begun is over."""
    deadline = time.monotonic() + DEADLINE
    while floor.book.in_flight or floor._core.sends.flights or any(h.cancelling for h in floor.book.open()):
        assert time.monotonic() < deadline, "something hangs"
        await asyncio.sleep(0)


def end(home: Home, floor: Floor, traders: list[Trader]) -> None:
    """Disconnected, it leaves no task; nobody complained of anything."""

    async def disconnect() -> set[Any]:
        await floor.disconnect(deadline=5)
        await asyncio.sleep(0)
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert home.run(disconnect()) == set()
    gc.collect()
    complaints = itertools.chain(home.complaints, *(trader.complaints for trader in traders))
    assert list(complaints) == []


def test_each_order_is_sent_once_and_each_fill_counts_once(home, storm):
    """Whoever asked, cancelled, repeated or filled in whatever order: book, positions and answers agree."""
    floor, traders, _ = storm
    known = {(name, number) for trader in traders for name, number in trader.fills}
    filled = Counter(name for name, _ in known)

    assert set(floor.sent.values()) == {1}
    assert floor.seen_in == {home.thread.ident}
    for name in floor.sent:
        order = floor.book.get("default", name).order
        assert order.filled_qty == filled[name], name
        assert order.leaves_qty == (0 if order.status.terminal else QTY - filled[name])
        if filled[name] == QTY:
            assert order.status in {OrderStatus.FILLED, OrderStatus.CANCELED}
    assert sum(position.qty for position in floor.book.positions.all()) == len(known)
    assert len(list(floor.book.fills())) == len(known)
    end(home, floor, traders)


def test_who_asks_for_the_same_order_is_told_the_same(home, storm):
    """All answers about an order agree with its fate, whoever sent it and whoever joined."""
    floor, traders, _ = storm
    told: dict[str, list[Any]] = {}
    for name, said in itertools.chain(*(trader.answers for trader in traders)):
        told.setdefault(name, []).append(said)

    for name, answers in told.items():
        acks = {(ack.client_order_id, ack.order_id) for ack in answers if isinstance(ack, OrderAck)}
        outcomes = {error.outcome for error in answers if isinstance(error, BrokerError)}
        if fate(name) == "good":
            assert acks <= {(name, f"v-{name}"), (name, None)}
            assert not outcomes
        else:
            assert not acks
            assert outcomes <= {Outcome.REJECTED if fate(name) == "refused" else Outcome.UNKNOWN}
    assert {name for name, answers in told.items() if any(answers)} <= set(floor.sent)
    end(home, floor, traders)


def test_the_journal_tells_the_same_story(home, storm):
    """One intent for each order that was sent; a book opened on the file knows orders and fills again."""
    floor, traders, path = storm
    before = floor.book
    end(home, floor, traders)
    before.log.close()

    intents = Counter(
        line["payload"]["client_order_id"] for line in read_journal(path) if line.get("note") == "intent"
    )
    assert intents == floor.sent
    after = Book("floor", journal=FileJournal(path))
    try:
        for name in floor.sent:
            was, now = before.get("default", name).order, after.get("default", name).order
            assert (was.filled_qty, was.order_id) == (now.filled_qty, now.order_id)
            assert now.status is (was.status if was.status.terminal else OrderStatus.UNKNOWN)
        assert after.positions.all() == before.positions.all()
    finally:
        after.log.close()


# -- a halt in the middle of it --------------------------------------------------------------------


class SlowFloor(SyncBrokerGateway):
    """A venue behind an SDK that blocks: two threads, and a line in front of them."""

    broker_type = "slow"
    environment = Environment.SANDBOX
    pool_size = 2

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()
        self.may_go_on = threading.Semaphore(0)

    def _connect(self) -> None: ...

    def _disconnect(self) -> None: ...

    def _place(self, order: Any) -> str | None:
        self.sent[order.client_order_id] += 1
        assert self.may_go_on.acquire(timeout=DEADLINE)
        return f"v-{order.client_order_id}"

    def _cancel(self, order: Any) -> None:
        self.report(OrderUpdate(client_order_id=order.client_order_id, status=OrderStatus.CANCELED))

    def _snapshot(self) -> Snapshot:
        return NOTHING


@pytest.fixture
def host(tmp_path):
    with Host(Config.parse(f"[host]\ndata = '{tmp_path / 'data'}'"), path=[], cache=False) as host:
        yield host


def burst(place: Callable[[str], Awaitable[Any]], over: threading.Event, mark: str) -> list[Any]:
    """What a thread is told that places one order after the other until it is over."""

    async def run() -> list[Any]:
        told: list[Any] = []
        while not (over.is_set() and told and isinstance(told[-1], Halted)):
            told.append(await answer(place(f"{mark}-{len(told)}")))
        return told

    return asyncio.run(run())


@pytest.mark.parametrize("cancel", [True, False])
def test_after_a_halt_the_venue_sees_no_order(host, cancel):
    """When halt() has returned, not one of the eight threads gets an order through, until it is lifted."""
    floor = Floor()
    host.brokers.register("floor", floor)
    host.brokers.sync("floor").connect()
    counts = []

    def halt_amid(over: threading.Event, mark: str) -> None:
        while sum(name.startswith(f"good-{mark}") for name in tuple(floor.sent)) < 30:
            time.sleep(0)
        host.brokers.halt("storm", cancel=cancel)
        counts.append(floor.sent.total())
        over.set()

    for mark in "abc":
        over = threading.Event()
        traders = [
            lambda number=number, mark=mark, over=over: burst(
                lambda name: floor.place_order(request(name)), over, f"good-{mark}{number}"
            )
            for number in range(THREADS)
        ]
        told = in_threads(lambda over=over, mark=mark: halt_amid(over, mark), *traders)[1:]
        assert floor.sent.total() == counts[-1]
        assert all(isinstance(answers[-1], Halted) for answers in told)
        assert all(
            error.outcome is Outcome.NOT_SENT for answers in told for error in answers if is_error(error)
        )
        host.brokers.resume("calm")

    assert set(floor.sent.values()) == {1}
    if cancel:
        assert not list(floor.book.open())


class Hesitant(Floor):
    """Stands still in the middle of placing: the gate was passed, and nothing was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.may_go_on = threading.Event(), threading.Event()
        self.story: list[str] = []

    def _time_of(self, account: str) -> datetime:
        if not self.story:
            self.entered.set()
            assert self.may_go_on.wait(DEADLINE)
        return super()._time_of(account)

    async def _place(self, order: Any) -> str | None:
        self.story.append("sent")
        return await super()._place(order)


def test_a_halt_returns_when_orders_that_passed_the_gate_are_on_their_way(host):
    """Who passed the gate just before is waited for, though nothing is cancelled: nothing is sent after."""
    floor = Hesitant()
    host.brokers.register("floor", floor)
    host.brokers.sync("floor").connect()
    placing = asyncio.run_coroutine_threadsafe(floor.place_order(request("good-1")), floor._core.home)
    assert floor.entered.wait(DEADLINE)

    def halt() -> None:
        host.brokers.halt("storm", cancel=False)
        floor.story.append("halted")

    halting = threading.Thread(target=halt)
    halting.start()
    until_it_stands(halting)
    floor.may_go_on.set()
    halting.join(DEADLINE)

    assert isinstance(placing.result(DEADLINE), OrderAck)
    assert floor.story == ["sent", "halted"]


def is_error(told: Any) -> bool:
    return isinstance(told, BrokerError)


def test_after_a_halt_no_order_that_waits_for_a_thread_is_sent(host):
    """Orders in front of a pool that is busy were not sent yet: a halt refuses them, and says so."""
    slow = SlowFloor()
    host.brokers.register("slow", slow)
    host.brokers.sync("slow").connect()
    placed: list[Future[Any]] = [
        asyncio.run_coroutine_threadsafe(answer(slow.place_order(request(f"good-{n}"))), slow._core.home)
        for n in range(5)
    ]
    deadline = time.monotonic() + DEADLINE
    while slow.sent.total() < 2 or slow.book.in_flight < 5:
        assert time.monotonic() < deadline, "they are not under way"
        time.sleep(0)

    host.brokers.halt("storm", cancel=False)
    for _ in range(5):
        slow.may_go_on.release()
    told = [future.result(DEADLINE) for future in placed]

    assert slow.sent.total() == 2
    assert sum(isinstance(each, OrderAck) for each in told) == 2
    assert [each.outcome for each in told if isinstance(each, Halted)] == [Outcome.NOT_SENT] * 3
