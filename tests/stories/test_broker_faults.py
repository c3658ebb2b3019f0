"""
Orders under fire: whatever line and venue do, each is sent once, and its outcome is told truly.

First the faults one by one, then all of them at once.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, defaultdict
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import pytest

from hotplug.brokers._events._journal import FileJournal
from hotplug.brokers._orders._book import Book
from hotplug.errors import BrokerError, Outcome
from hotplug.market import (
    ORDER_TRANSITIONS,
    Fill,
    Order,
    OrderAck,
    OrderChange,
    OrderRef,
    OrderRequest,
    OrderStatus,
    OrderType,
    Side,
)
from hotplug_broker_mock import Habits, ManualClock, MockBroker, MockVenue

D = Decimal
SYMBOLS = ("AAPL", "IBM", "MSFT")
WORKERS = 16
PATIENCE = 30.0
CALL_LIMIT = 0.15
NEVER_ARRIVES_AFTER = 0.2


@dataclass
class Story:
    """One gateway, one venue, and everything that callers were told."""

    venue: MockVenue
    broker: MockBroker
    dice: random.Random
    told: dict[str, list[OrderAck | BrokerError]] = field(default_factory=lambda: defaultdict(list))
    gone: set[str] = field(default_factory=set)
    heard: list[object] = field(default_factory=list)

    async def place(self, request: OrderRequest) -> None:
        """Place an order as a caller with little time does; again, where nothing was sent for sure."""
        told = self.told[request.client_order_id]
        until = time.monotonic() + PATIENCE
        while True:
            try:
                told.append(await self.broker.place_order(request, deadline=CALL_LIMIT))
            except BrokerError as error:
                told.append(error)
                if error.outcome is Outcome.NOT_SENT and error.retryable and time.monotonic() < until:
                    await asyncio.sleep(0.005)
                    continue
            except asyncio.CancelledError:
                self.gone.add(request.client_order_id)
                raise
            return

    async def bother(self, request: OrderRequest) -> None:
        """Do what callers do: ask again, ask twice at once, cancel, change, or go away."""
        ref = OrderRef(client_order_id=request.client_order_id)
        match self.dice.randrange(7):
            case 0:
                await self.place(request)
            case 1:
                await asyncio.gather(self.place(request), self.place(request))
            case 2 | 3:
                await quietly(self.broker.cancel_order(ref, deadline=CALL_LIMIT))
            case 4:
                change = OrderChange(qty=request.qty + self.dice.choice((-5, 10)))
                await quietly(self.broker.modify_order(ref, change, deadline=CALL_LIMIT))
            case 5:
                await gone_after_a_moment(self.place(request))
            case _:
                pass

    async def listen(self) -> None:
        """Hear every event there is."""
        async for event in self.broker.events():
            self.heard.append(event.payload)

    async def work(self, names: list[str]) -> None:
        """Place orders one after the other."""
        while names:
            request = request_named(names.pop())
            first = self.place(request)
            if self.dice.random() < 0.05:
                await gone_after_a_moment(first)
            else:
                await first
            await self.bother(request)

    async def settle(self) -> None:
        """Wait until the book agrees with the venue; the claims say whether it does."""
        with suppress(AssertionError):
            await until(self.agrees)

    async def agrees(self) -> bool:
        """Whether nothing is in doubt, and the same orders are open here and there."""
        mine = await self.broker.get_open_orders()
        theirs = {order.client_order_id: order for order in self.venue.open_orders}
        return (
            self.broker.info.status == "READY"
            and {order.client_order_id for order in mine} == set(theirs)
            and all(_facts(order) == _facts(theirs[order.client_order_id]) for order in mine)
        )


async def until(condition) -> None:
    """Wait until *condition* holds."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not await condition():  # noqa: ASYNC110 - no event tells it
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"never: {condition}") from None


def _facts(order: Order) -> tuple[object, ...]:
    return order.status, order.qty, order.filled_qty, order.leaves_qty, order.avg_price, order.order_id


async def quietly(call) -> None:
    """A call that may fail: what it did is seen at the venue."""
    with suppress(BrokerError):
        await call


async def gone_after_a_moment(call) -> None:
    """A caller that goes away."""
    task = asyncio.create_task(call)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


# -- one by one ------------------------------------------------------------------------------------

MINE = OrderRef(client_order_id="mine")


@asynccontextmanager
async def connected_to(venue: MockVenue, **settings):
    """A gateway that looks often, and gives up soon."""
    facts = {"default_deadline": 1.0, "check_interval": 0.02, "not_found_final_after": NEVER_ARRIVES_AFTER}
    broker = MockBroker(venue=venue, **facts | settings)
    await broker.connect(PATIENCE)
    yield broker
    await broker.disconnect(drain=False, deadline=PATIENCE)
    assert asyncio.all_tasks() == {asyncio.current_task()}, "nothing goes on after disconnect()"


def an_order(name: str = "mine") -> OrderRequest:
    """An order that rests."""
    return OrderRequest(
        client_order_id=name, symbol="X", side=Side.BUY, qty=D(10), type=OrderType.LIMIT, price=D(50)
    )


async def told(call) -> object:
    """The answer of a call, or the outcome of its error."""
    try:
        return await call
    except BrokerError as error:
        return error.outcome


def becomes(broker: MockBroker, status: OrderStatus, name: str = "mine"):
    """Whether an order has come into *status*."""

    async def has() -> bool:
        return (await broker.get_order(OrderRef(client_order_id=name))).status is status

    return has


@pytest.mark.parametrize("can_query", [True, False], ids=["by query", "by snapshot"])
@pytest.mark.parametrize("who", ["stays", "goes away"])
def test_an_answer_that_never_comes(can_query, who):
    """
    An order that the venue has, and says nothing of, is found there, whether or not somebody waits.
    """

    async def test():
        venue = MockVenue()
        async with connected_to(venue, can_query=can_query) as broker:
            venue.mute()
            venue.on("place", fault="timeout_after")
            placing = asyncio.create_task(told(broker.place_order(an_order(), deadline=0.05)))
            await venue.wait_for("place")
            if who == "goes away":
                placing.cancel()
                await asyncio.wait({placing})
            else:
                assert await placing is Outcome.UNKNOWN
            await until(becomes(broker, OrderStatus.NEW))
            assert (await broker.place_order(an_order())).order_id == "V1"
            assert len(venue.calls("place")) == 1

    asyncio.run(test())


@pytest.mark.parametrize("can_query", [True, False], ids=["by query", "by snapshot"])
def test_an_order_that_never_arrives(can_query):
    """
    Where not found is final after a time, an order that never arrived is REJECTED, and not sent again.
    """

    async def test():
        venue = MockVenue()
        async with connected_to(venue, can_query=can_query, not_found_final_after=0.05) as broker:
            venue.on("place", fault="timeout_before")
            assert await told(broker.place_order(an_order(), deadline=0.05)) is Outcome.UNKNOWN
            await until(becomes(broker, OrderStatus.REJECTED))
            assert await told(broker.place_order(an_order())) is Outcome.REJECTED
            assert len(venue.calls("place")) == 1

    asyncio.run(test())


def test_an_order_that_arrives_after_the_question():
    """
    That an order was not there when the venue was asked is not made final by the time that the answer took.
    """

    async def test():
        venue = MockVenue()
        async with connected_to(venue, default_deadline=PATIENCE) as broker:
            venue.mute()
            venue.on("place", fault="crash_after", latency=NEVER_ARRIVES_AFTER / 2)
            venue.on("query", answer_latency=NEVER_ARRIVES_AFTER * 2)
            assert await told(broker.place_order(an_order(), deadline=0.02)) is Outcome.UNKNOWN
            await until(becomes(broker, OrderStatus.NEW))

    asyncio.run(test())


def test_where_not_found_is_not_final():
    """
    Where the gateway declares nothing, what is not found stays UNKNOWN, and open.
    """

    async def test():
        venue = MockVenue()
        async with connected_to(venue, not_found_final_after=None) as broker:
            venue.on("place", fault="crash_before")
            assert await told(broker.place_order(an_order())) is Outcome.UNKNOWN
            await venue.wait_for("query", 2)
            [order] = await broker.get_open_orders()
            assert order.status is OrderStatus.UNKNOWN
            assert await told(broker.place_order(an_order())) is Outcome.UNKNOWN
            resolved = await broker.resolve_order(MINE, OrderStatus.REJECTED, "the desk says so")
            assert resolved.status is OrderStatus.REJECTED

    asyncio.run(test())


@pytest.mark.parametrize("fault", ["crash_before", "timeout_before"])
def test_a_cancel_makes_no_order_known(fault):
    """
    An order that may never have arrived is not open for sure because its cancel was refused.
    """

    async def test():
        venue = MockVenue()
        async with connected_to(venue, not_found_final_after=None) as broker:
            venue.on("place", fault=fault)
            assert await told(broker.place_order(an_order(), deadline=0.05)) is Outcome.UNKNOWN
            assert await told(broker.cancel_order(MINE)) is Outcome.REJECTED
            assert (await broker.get_order(MINE)).status is OrderStatus.UNKNOWN

    asyncio.run(test())


@pytest.mark.parametrize("tries", [1, 3], ids=["heard once", "heard again, and refused"])
def test_a_cancel_in_doubt_while_the_ack_is_lost(tries):
    """
    The cancel of an order whose ack never came is looked after, whatever becomes of its own answer.
    """

    async def test():
        venue = MockVenue()
        async with connected_to(venue) as broker:
            venue.on("place", fault="timeout_after")
            await broker.place_order(an_order())
            venue.mute()
            venue.on("cancel", fault="crash_after", times=4 - tries)
            venue.on("query", fault="unavailable")
            await told(broker.cancel_order(MINE))
            await until(becomes(broker, OrderStatus.CANCELED))

    asyncio.run(test())


@pytest.mark.parametrize("fault", ["timeout_after", "crash_after"])
def test_a_change_that_nobody_answers(fault):
    """
    A change whose answer is lost is found out; the order can be changed again.
    """

    async def test():
        venue = MockVenue()
        async with connected_to(venue) as broker:
            await broker.place_order(an_order())
            venue.mute()
            venue.on("modify", fault=fault)
            change = OrderChange(qty=D(20))
            assert await told(broker.modify_order(MINE, change, deadline=0.05)) is Outcome.UNKNOWN
            await until(becomes(broker, OrderStatus.NEW))
            assert (await broker.get_order(MINE)).qty == D(20)
            assert (await broker.modify_order(MINE, OrderChange(qty=D(30)))).qty == D(30)

    asyncio.run(test())


@pytest.mark.parametrize(
    ("fault", "qty", "status"),
    [
        ("crash_after", D(20), OrderStatus.PARTIALLY_FILLED),
        ("crash_before", D(20), OrderStatus.FILLED),
        ("crash_after", D(5), OrderStatus.FILLED),
    ],
    ids=["more, made", "more, not made", "less, made"],
)
@pytest.mark.parametrize("tells", ["fills", "updates"])
def test_trades_while_a_change_is_in_doubt(fault, qty, status, tells):
    """
    As long as nobody knows how much shall be traded, trading what it was before does not end an order.
    """

    async def test():
        venue = MockVenue(habits=Habits(tells=tells))
        async with connected_to(venue) as broker:
            await broker.place_order(an_order())
            venue.on("modify", fault=fault)
            venue.on_report("order", lose=True, where=lambda said: isinstance(said, Order))
            assert await told(broker.modify_order(MINE, OrderChange(qty=qty))) is Outcome.UNKNOWN
            venue.fill("mine", min(D(10), qty))
            await until(becomes(broker, status))

            async def agrees() -> bool:
                return _facts(await broker.get_order(MINE)) == _facts(venue.order("mine"))

            await until(agrees)

    asyncio.run(test())


def test_a_question_that_hangs_delays_no_other():
    """
    Orders in doubt are asked for side by side: one that the venue does not answer keeps no other in doubt.
    """

    async def test():
        venue = MockVenue()
        async with connected_to(venue, default_deadline=PATIENCE) as broker:
            venue.mute()
            venue.on("place", fault="crash_after", times=2)
            venue.on("query", then="hang", client_order_id="first", times=None)
            for name in ("first", "second"):
                assert await told(broker.place_order(an_order(name))) is Outcome.UNKNOWN
            await until(becomes(broker, OrderStatus.NEW, "second"))
            assert (await broker.get_order(OrderRef(client_order_id="first"))).status is OrderStatus.UNKNOWN

    asyncio.run(test())


def test_who_goes_away_takes_nobody_with_him():
    """
    A caller that goes away cancels no send: another who asked for the same order gets its ack.
    """

    async def test():
        venue = MockVenue(clock=(clock := ManualClock()))
        async with connected_to(venue, default_deadline=PATIENCE) as broker:
            venue.on("place", answer_latency=1.0)
            venue.mute()
            first = asyncio.create_task(broker.place_order(an_order()))
            second = asyncio.create_task(broker.place_order(an_order()))
            await venue.wait_for("place")
            first.cancel()
            await asyncio.wait({first})
            clock.advance(1.0)
            assert (await second).order_id == "V1"
            assert len(venue.calls("place")) == 1

    asyncio.run(test())


@pytest.mark.parametrize("can_query", [True, False], ids=["by query", "by snapshot"])
@pytest.mark.parametrize(
    ("end", "status"),
    [(MockVenue.fill, OrderStatus.FILLED), (MockVenue.expire, OrderStatus.EXPIRED)],
)
def test_what_ends_while_the_line_is_down(end, status, can_query):
    """
    An order that ended while nobody listened is not open after the line stands again.
    """

    async def test():
        venue = MockVenue()
        async with connected_to(venue, can_query=can_query, reconnect_delays=(0.0, 0.0)) as broker:
            await broker.place_order(an_order())
            venue.on("connect", fault="unavailable", times=2)
            venue.disconnect_all()
            end(venue, "mine")
            await venue.wait_for("snapshot", 2)
            expected = status if can_query or status is OrderStatus.FILLED else OrderStatus.UNKNOWN
            await until(becomes(broker, expected))

    asyncio.run(test())


def test_what_happens_while_a_snapshot_is_under_way():
    """
    What the venue tells while its snapshot is on the way is neither lost nor undone by it.
    """

    async def test():
        venue = MockVenue(clock=(clock := ManualClock()))
        async with connected_to(venue, reconnect_delays=(0.0, 0.0), default_deadline=PATIENCE) as broker:
            await broker.place_order(an_order("mine"))
            await broker.place_order(an_order("yours"))
            venue.on("snapshot", answer_latency=1.0)
            venue.disconnect_all()
            await venue.wait_for("snapshot", 2)
            venue.fill("mine", D(4))
            venue.expire("yours")
            clock.advance(1.0)
            await until(becomes(broker, OrderStatus.PARTIALLY_FILLED))
            await until(becomes(broker, OrderStatus.EXPIRED, "yours"))
            assert [fill.qty for fill in await broker.get_fills()] == [D(4)]

    asyncio.run(test())


# -- all at once -----------------------------------------------------------------------------------


def under_fire(seed: int, *, breaks: bool) -> MockVenue:
    """A venue where everything goes wrong now and then; what a new line must mend, only if it *breaks*."""
    venue = MockVenue(seed, habits=Habits(fills="random", spread=0.02, latency=(0.0, 0.004), max_sessions=1))
    if breaks:
        venue.on("place", fault="disconnect_before", chance=0.004, times=None)
        venue.on("place", fault="disconnect_after", chance=0.006, times=None)
        venue.on_report(lose=True, chance=0.01, times=None)
    for fault, chance in {
        "timeout_before": 0.02,
        "timeout_after": 0.03,
        "crash_before": 0.02,
        "crash_after": 0.03,
        "unavailable": 0.02,
        "reject": 0.03,
    }.items():
        venue.on("place", fault=fault, chance=chance, times=None)
    venue.on("place", fault="rate_limited", chance=0.002, times=None, retry_after=0.02)
    venue.on("place", answer_latency=(0.0, 0.03), chance=0.3, times=None)
    for call in ("cancel", "modify"):
        venue.on(call, fault="fill_first", chance=0.1, times=None)
        for fault in ("timeout_before", "timeout_after", "crash_before", "crash_after", "reject"):
            venue.on(call, fault=fault, chance=0.03, times=None)
    for call in ("query", "snapshot", "connect"):
        for fault in ("timeout_before", "unavailable", "crash_before"):
            venue.on(call, fault=fault, chance=0.05, times=None)
    venue.on_report(copies=2, late=(0.0, 0.02), chance=0.1, times=None)
    venue.on_report(late=(0.0, 0.03), chance=0.2, times=None)
    return venue


async def fire(count: int, seed: int, *, breaks: bool) -> Story:
    """The story: *count* orders, and then peace."""
    venue = under_fire(seed, breaks=breaks)
    broker = impatient(venue)
    story = Story(venue, broker, random.Random(seed))
    await connected(broker)
    listening = asyncio.create_task(story.listen())
    await asyncio.sleep(0)
    names = order_names(count)
    await asyncio.gather(*(story.work(names) for _ in range(WORKERS)))
    venue.clear()
    if breaks:
        # What was lost while the line stood is found by the next reconciliation.
        venue.disconnect_all("the last time")
    await story.settle()
    await broker.disconnect()
    await listening
    assert asyncio.all_tasks() == {asyncio.current_task()}, "nothing goes on after disconnect()"
    return story


async def fire_through_restarts(count: int, seed: int, journal: Path) -> tuple[MockVenue, Book]:
    """Orders under fire, where what runs here ends twice in the midst of it; the journal outlives it."""
    venue = under_fire(seed, breaks=True)
    for life in range(3):
        book = Book("mock", journal=FileJournal(journal))
        broker = impatient(venue)
        broker.attach(book)
        await connected(broker)
        story = Story(venue, broker, random.Random(f"{seed}/{life}"))
        # The same names in every life: who asks again after a restart must not send again.
        names = order_names(count)
        working = [asyncio.create_task(story.work(names)) for _ in range(WORKERS)]
        if life < 2:
            await venue.wait_for("place", (life + 1) * count // 3, deadline=PATIENCE)
        else:
            await asyncio.gather(*working)
            venue.clear()
            venue.disconnect_all("the last time")
            await story.settle()
        for each in working:
            each.cancel()
        await asyncio.gather(*working, return_exceptions=True)
        await broker.disconnect(drain=False)
        book.log.close()
    return venue, book


def order_names(count: int) -> list[str]:
    """The ids of the orders."""
    return [f"order-{number}" for number in range(count)]


def request_named(name: str) -> OrderRequest:
    """The order of that id: always the same."""
    dice = random.Random(name)
    return OrderRequest(
        client_order_id=name,
        symbol=dice.choice(SYMBOLS),
        side=dice.choice(tuple(Side)),
        qty=D(dice.randint(1, 9) * 10),
        type=OrderType.LIMIT,
        price=D(dice.randint(90, 110)),
    )


def impatient(venue: MockVenue) -> MockBroker:
    """A gateway that looks often, and gives up soon."""
    return MockBroker(
        venue=venue,
        not_found_final_after=NEVER_ARRIVES_AFTER,
        default_deadline=0.5,
        check_interval=0.02,
        reconnect_delays=(0.001, 0.02),
    )


async def connected(broker: MockBroker) -> None:
    """Connect, as often as it takes."""
    for _ in range(50):
        try:
            await broker.connect(1.0)
        except BrokerError:
            continue
        return
    raise AssertionError("it never connected")


@pytest.fixture(scope="module", params=["a line that breaks", "a line that stands"])
def story(request: pytest.FixtureRequest) -> Story:
    """The story is told once for all claims; at length with --real-services."""
    count = 5_000 if request.config.getoption("--real-services") else 150
    return asyncio.run(fire(count, seed=7, breaks=request.param == "a line that breaks"))


def test_no_order_is_sent_twice(story):
    """
    However often it is asked for, and whatever became of the first time, an order comes to the venue once.
    """
    assert story.venue.sent_twice == ()
    assert len({order.client_order_id for order in story.venue.orders}) == len(story.venue.orders)


def test_every_outcome_is_true(story):
    """
    An ack means that the venue has the order, REJECTED that it has not, NOT_SENT that it was never sent.
    """
    arrived = {call.client_order_id for call in story.venue.calls("place")}
    accepted = {order.client_order_id for order in story.venue.orders}
    kinds = Counter()
    for name, answers in story.told.items():
        for said in answers:
            outcome = said.outcome if isinstance(said, BrokerError) else None
            kinds[outcome] += 1
            if outcome is None:
                assert name in accepted, f"{name} was acknowledged, and is not there"
            elif outcome is Outcome.REJECTED:
                assert name not in accepted, f"{name} was rejected, and is there"
        outcomes = {getattr(said, "outcome", None) for said in answers}
        if outcomes == {Outcome.NOT_SENT} and name not in story.gone:  # who left is told no more
            assert name not in arrived, f"{name} was not sent, and came"
        if answers and isinstance(answers[0], OrderAck):
            assert all(isinstance(said, OrderAck) for said in answers), f"{name} had been acknowledged"
    assert all(kinds[each] for each in (None, Outcome.REJECTED, Outcome.UNKNOWN)), kinds


def test_no_order_is_lost(story):
    """
    In the end the book tells of each order what the venue has, and of no other that it stands.
    """
    last = last_states(story)
    for order in story.venue.orders:
        assert _facts(last[order.client_order_id]) == _facts(order)
    accepted = {order.client_order_id for order in story.venue.orders}
    for name, order in last.items():
        if name not in accepted:
            assert order.status in {OrderStatus.REJECTED, OrderStatus.DENIED}, order


def test_every_trade_is_told_once(story):
    """
    Every trade of the venue is an event, once; and nothing else is.
    """
    trades = [payload.trade_id for payload in story.heard if isinstance(payload, Fill)]

    assert sorted(trades) == sorted(fill.trade_id for fill in story.venue.fills)
    assert len(trades) > 30


def test_positions_are_the_venues(story):
    """
    What the trades that were told add up to is what the venue says is held.
    """
    held: Counter[str] = Counter()
    for payload in story.heard:
        if isinstance(payload, Fill):
            held[payload.symbol] += payload.qty if payload.side is Side.BUY else -payload.qty

    assert dict(held) == {position.symbol: position.qty for position in story.venue.positions}


def test_orders_go_by_the_table(story):
    """
    No order ever went from one state to another that the published table does not allow, or traded back.
    """
    before: dict[str, Order] = {}
    for payload in story.heard:
        if not isinstance(payload, Order):
            continue
        name = payload.client_order_id or ""
        old = before.get(name)
        before[name] = payload
        if old is None or old.status is OrderStatus.DENIED:
            assert payload.status in {OrderStatus.PENDING_NEW, OrderStatus.DENIED}, payload
            continue
        assert payload.status is old.status or payload.status in ORDER_TRANSITIONS[old.status]
        assert payload.filled_qty >= old.filled_qty


def last_states(story: Story) -> dict[str, Order]:
    """The newest event of each order."""
    return {payload.client_order_id or "": payload for payload in story.heard if isinstance(payload, Order)}


def test_a_restart_forgets_nothing(tmp_path):
    """
    With a journal, what a process began is found out by the next one: no order comes twice, no trade is lost.
    """
    venue, book = asyncio.run(fire_through_restarts(100, seed=3, journal=tmp_path / "mock.jsonl"))

    assert len(venue.calls("place")) > 60
    assert venue.sent_twice == ()
    assert sorted(fill.trade_id for fill in book.fills()) == sorted(fill.trade_id for fill in venue.fills)
    held = {position.symbol: position.qty for position in book.positions.all()}
    assert held == {position.symbol: position.qty for position in venue.positions}
    mine = {each.order.client_order_id: _facts(each.order) for each in book.open()}
    assert mine == {order.client_order_id: _facts(order) for order in venue.open_orders}
