"""The mock venue: it does what it is asked, or what the script says, and it tells everything of it."""

from __future__ import annotations

import asyncio
import sys
import threading
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotplug.errors import (
    AuthenticationError,
    BrokerUnavailable,
    DuplicateClientOrderId,
    InvalidRequest,
    OrderNotFound,
    PermissionDenied,
    RateLimited,
)
from hotplug.market import (
    Bar,
    ConnectionLost,
    Fill,
    Heartbeat,
    Instrument,
    Order,
    OrderChange,
    OrderRef,
    OrderStatus,
    OrderType,
    OrderUpdate,
    RateLimitSeen,
    Side,
)
from hotplug_broker_mock import (
    Habits,
    LoopClock,
    ManualClock,
    MockVenue,
    ReportRule,
    Rule,
    forget_venue,
    shared_venue,
)

D = Decimal
SOON = 5.0


def an_order(name="a", **changes):
    """An order as a template hands it to a hook."""
    facts = {"symbol": "X", "side": Side.BUY, "qty": D(10), "type": OrderType.LIMIT, "price": D(50)}
    return Order(status=OrderStatus.PENDING_NEW, client_order_id=name, **facts | changes)


@asynccontextmanager
async def session_at(venue):
    """A session, and the list of what it was told."""
    told = []
    session = await venue.connect(told.append)
    session.told = told
    yield session
    await venue.disconnect(session)


def run(test):
    """Run a coroutine function; whatever it waits for comes soon."""

    async def within():
        async with asyncio.timeout(SOON):
            await test()

    asyncio.run(within())


async def until(condition):
    """Wait until *condition* holds."""
    async with asyncio.timeout(SOON):
        while not condition():  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0)


@pytest.fixture
def eager_threads():
    """Threads take turns every microsecond, so that races show themselves."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def kinds(told):
    """What was told, in short."""
    return [each.status.name if isinstance(each, OrderUpdate) else type(each).__name__ for each in told]


# -- what it is asked ------------------------------------------------------------------------------


def test_an_order_is_accepted_and_rests():
    """
    An order gets an id of the venue's, is reported NEW, and stays open; its tags stay with the host.
    """

    async def test():
        venue = MockVenue()
        async with session_at(venue) as session:
            assert await session.place(an_order(tags=("mine",))) == "V1"
            [order] = venue.orders
            assert (order.order_id, order.status, order.account) == ("V1", OrderStatus.NEW, "default")
            assert order.tags == ()
            assert venue.open_orders == (order,)
            assert venue.order("a") == venue.order("V1") == venue.order(OrderRef(order_id="V1")) == order
            assert await session.query(OrderRef(client_order_id="a")) == order
            assert kinds(session.told) == ["NEW"]

    run(test)


def test_calls_are_seen_as_they_came():
    """
    Every call is kept with its name, its time, its session and what was asked.
    """

    async def test():
        clock = ManualClock()
        venue = MockVenue(clock=clock)
        async with session_at(venue) as session:
            order = an_order()
            await session.place(order)
            clock.advance(2)
            await session.modify(order, OrderChange(qty=D(5)))
        names = [(call.number, call.name, call.session, call.attempt) for call in venue.received]
        assert names == [
            (0, "connect", 1, 1),
            (1, "place", 1, 1),
            (2, "modify", 1, 1),
            (3, "disconnect", 1, 1),
        ]
        placed, modified = venue.received[1:3]
        assert (placed.payload, placed.client_order_id, placed.symbol) == (order, "a", "X")
        assert modified.payload == (order, OrderChange(qty=D(5)))
        assert modified.time - placed.time == timedelta(seconds=2)

    run(test)


def test_what_is_sent_twice_is_seen():
    """
    The venue has no memory for client ids: an order sent twice stands there twice, and is named.
    """

    async def test():
        venue = MockVenue()
        async with session_at(venue) as session:
            for name in ("a", "b", "a", "a"):
                await session.place(an_order(name))
        assert [order.client_order_id for order in venue.orders] == ["a", "b", "a", "a"]
        assert venue.sent_twice == ("a",)
        venue.cancel(venue.orders[2])
        assert [order.status.name for order in venue.orders] == ["NEW", "NEW", "CANCELED", "NEW"]

    run(test)


def test_it_can_be_told_to_deduplicate():
    """
    A venue with that habit refuses an id that the account used before, for certain.
    """

    async def test():
        venue = MockVenue(habits=Habits(deduplicate=True))
        async with session_at(venue) as session:
            await session.place(an_order())
            with pytest.raises(DuplicateClientOrderId) as caught:
                await session.place(an_order())
            assert caught.value.is_explicit
            assert caught.value.outcome == "REJECTED"
            await session.place(an_order(account="another"))
            assert len(venue.orders) == 2

    run(test)


def test_cancels_and_what_is_too_late():
    """
    A cancel ends an order and is reported; of one that has ended, or is not there, it is refused for certain.
    """

    async def test():
        venue = MockVenue()
        async with session_at(venue) as session:
            await session.place(an_order())
            await session.cancel(an_order())
            assert venue.order("a").status is OrderStatus.CANCELED
            with pytest.raises(InvalidRequest, match="too late to cancel: it is CANCELED") as caught:
                await session.cancel(an_order())
            assert caught.value.outcome == "REJECTED"
            with pytest.raises(OrderNotFound):
                await session.cancel(an_order("b"))
            assert kinds(session.told) == ["NEW", "CANCELED"]

    run(test)


def test_changes():
    """
    A change keeps what it does not name, counts versions and is reported as a whole order.
    """

    async def test():
        venue = MockVenue()
        async with session_at(venue) as session:
            await session.place(an_order())
            venue.fill("a", D(4))
            assert await session.modify(an_order(), OrderChange(qty=D(6))) == "V1"
            order = venue.order("a")
            assert (order.qty, order.leaves_qty, order.price, order.version) == (D(6), D(2), D(50), 2)
            await session.modify(an_order(), OrderChange(price=D(49), stop_price=D(3)))
            assert (venue.order("a").price, venue.order("a").stop_price) == (D(49), D(3))
            assert session.told[-1] == venue.order("a")
            with pytest.raises(InvalidRequest, match="4 is filled already"):
                await session.modify(an_order(), OrderChange(qty=D(4)))
            venue.expire("a")
            with pytest.raises(InvalidRequest, match="too late to change"):
                await session.modify(an_order(), OrderChange(qty=D(9)))

    run(test)


def test_changes_may_give_new_ids():
    """
    With that habit a changed order has a new id, and the old one still names it.
    """

    async def test():
        venue = MockVenue(habits=Habits(new_ids=True))
        async with session_at(venue) as session:
            await session.place(an_order())
            venue.fill("a", D(1), D(10))
            assert await session.modify(an_order(order_id="V1"), OrderChange(qty=D(7))) == "V2"
            venue.fill("V1", D(1), D(20))
            assert venue.order("V1") == venue.order("V2")
            assert venue.bust("V2", "T1").avg_price == D(20)

    run(test)


def test_accounts():
    """
    A venue with accounts refuses others for certain, and takes orders without one for the first.
    """

    async def test():
        venue = MockVenue(habits=Habits(accounts=("A1", "A2"), cash=D(7), currency="EUR"))
        async with session_at(venue) as session:
            await session.place(an_order())
            await session.place(an_order(account="A2"))
            with pytest.raises(PermissionDenied) as caught:
                await session.place(an_order(account="A3"))
            assert caught.value.outcome == "REJECTED"
            assert [order.account for order in venue.orders] == ["A1", "A2"]
        assert [(each.account, each.total, each.currency) for each in venue.balances] == [
            ("A1", D(7), "EUR"),
            ("A2", D(7), "EUR"),
        ]

    run(test)


def test_without_a_session_nothing_is_sent():
    """
    A call on a session that has ended is refused, NOT_SENT, and never comes to the venue.
    """

    async def test():
        venue = MockVenue()
        session = await venue.connect(lambda _: None)
        await venue.disconnect(session)
        await venue.disconnect(session)
        with pytest.raises(BrokerUnavailable, match="it was closed") as caught:
            await session.place(an_order())
        assert caught.value.outcome == "NOT_SENT"
        assert [call.name for call in venue.received] == ["connect", "disconnect"]

    run(test)


# -- trading ---------------------------------------------------------------------------------------


def test_fills_by_hand():
    """
    A fill trades a part or the rest, at the order's limit or the price said; the order follows.
    """

    async def test():
        venue = MockVenue(habits=Habits(fee=D("0.01")))
        async with session_at(venue) as session:
            await session.place(an_order())
            first = venue.fill("a", D(4), D(40))
            assert (first.trade_id, first.qty, first.price, first.fee) == ("T1", D(4), D(40), D("1.6"))
            order = venue.order("a")
            assert (order.status, order.filled_qty, order.leaves_qty) == (
                OrderStatus.PARTIALLY_FILLED,
                D(4),
                D(6),
            )
            assert venue.fill(order).price == D(50)
            order = venue.order("a")
            assert (order.status, order.leaves_qty, order.avg_price) == (OrderStatus.FILLED, D(0), D(46))
            assert kinds(session.told) == ["NEW", "Fill", "PARTIALLY_FILLED", "Fill", "FILLED"]
            assert venue.balances[0].total == D(100_000) - 460 - D("4.6")
            for qty in (None, D(1), D(0)):
                with pytest.raises(ValueError, match="left to trade"):
                    venue.fill("a", qty)

    run(test)


def test_an_ended_order_may_trade_late():
    """
    A fill after a cancel counts, and the order stays cancelled unless that filled it.
    """

    async def test():
        venue = MockVenue()
        async with session_at(venue) as session:
            await session.place(an_order())
            venue.cancel("a", "unasked")
            venue.fill("a", D(3))
            order = venue.order("a")
            assert (order.status, order.filled_qty, order.leaves_qty) == (OrderStatus.CANCELED, D(3), D(0))
            assert order.reason == "unasked"
            venue.fill("a")
            assert venue.order("a").status is OrderStatus.FILLED

    run(test)


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (MockVenue.expire, OrderStatus.EXPIRED),
        (MockVenue.cancel, OrderStatus.CANCELED),
        (MockVenue.reject, OrderStatus.REJECTED),
    ],
)
def test_orders_end_unasked(end, status):
    """
    The venue may end an order by itself; its gateways are told.
    """

    async def test():
        venue = MockVenue()
        async with session_at(venue) as session:
            await session.place(an_order())
            assert end(venue, "a", "why").status is status
            [_, update] = session.told
            assert (update.status, update.reason, update.filled_qty) == (status, "why", D(0))

    run(test)


def test_a_trade_can_be_busted():
    """
    Taking a trade back is told as a correction; what was filled, the money and the position follow.
    """

    async def test():
        venue = MockVenue()
        async with session_at(venue) as session:
            await session.place(an_order())
            venue.fill("a", D(4), D(40))
            venue.fill("a", D(3), D(50))
            order = venue.bust("a", "T1")
            assert (order.status, order.filled_qty, order.leaves_qty) == (
                OrderStatus.PARTIALLY_FILLED,
                D(3),
                D(7),
            )
            assert order.avg_price == D(50)
            assert session.told[-1].correction
            assert session.told[-1].filled_qty == D(3)
            assert [fill.trade_id for fill in venue.fills] == ["T2"]
            [position] = venue.positions
            assert position.qty == D(3)
            assert venue.balances[0].total == D(100_000) - 150
            assert venue.bust("a", "T2").status is OrderStatus.NEW
            assert venue.positions[0].avg_price is None
            venue.fill("a", D(1))
            venue.cancel("a")
            busted = venue.bust("a", "T3")
            assert (busted.status, busted.filled_qty, busted.avg_price) == (OrderStatus.CANCELED, D(0), None)
            assert busted.leaves_qty == D(0)

    run(test)


def test_orders_of_others():
    """
    Somebody else's order is there and told of, with our id or without one.
    """

    async def test():
        venue = MockVenue()
        async with session_at(venue) as session:
            order = venue.external_order("X", Side.SELL, D(2))
            assert (order.client_order_id, order.type, order.status) == (
                None,
                OrderType.MARKET,
                OrderStatus.NEW,
            )
            limit = venue.external_order("X", Side.SELL, D(2), D(9), account="B", client_order_id="b")
            assert (limit.type, limit.price, limit.account) == (OrderType.LIMIT, D(9), "B")
            assert session.told == [order, limit]
            venue.change("V1", OrderChange(qty=D(3)))
            assert session.told[-1].qty == D(3)

    run(test)


@given(
    trades=st.lists(st.tuples(st.sampled_from(Side), st.integers(1, 50), st.integers(1, 500)), max_size=12)
)
@settings(max_examples=50, deadline=None)
def test_the_books_are_right(trades):
    """
    Money and position are what the trades make of them; money, position and profit agree.
    """

    async def test():
        venue = MockVenue()
        async with session_at(venue) as session:
            for number, (side, qty, price) in enumerate(trades):
                await session.place(an_order(str(number), side=side, qty=D(qty), price=D(price)))
                venue.fill(str(number))
        signed = [(qty if side is Side.BUY else -qty, price) for side, qty, price in trades]
        held = sum(qty for qty, _ in signed)
        cash = -sum(qty * price for qty, price in signed)
        assert sum(position.qty for position in venue.positions) == held
        assert sum(balance.total - 100_000 for balance in venue.balances) == cash
        for position in venue.positions:
            worth = position.qty * (position.avg_price or 0)
            assert abs(cash + worth - position.realized_pnl) < D("1e-20")

    run(test)


def test_a_callers_decimal_context_changes_nothing():
    """
    The venue computes exactly, however coarse the context of its caller is.
    """

    async def test():
        venue = MockVenue()
        async with session_at(venue) as session:
            with localcontext() as context:
                context.prec = 2
                await session.place(an_order(qty=D(3), price=D("100.01")))
                venue.fill("a")
        assert venue.balances[0].total == D("99699.97")

    run(test)


# -- habits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "quoted", "trades"),
    [
        ({"type": OrderType.MARKET, "price": None}, None, "100"),
        ({"price": D(100)}, None, "100"),
        ({"price": D(99)}, None, None),
        ({"side": Side.SELL, "price": D(100)}, None, "100"),
        ({"side": Side.SELL, "price": D(101)}, None, None),
        ({"type": OrderType.MARKET, "price": None}, (D(9), D(11)), "11"),
        ({"side": Side.SELL, "type": OrderType.MARKET, "price": None}, (D(9), D(11)), "9"),
        ({"price": D(11)}, (D(9), D(11)), "11"),
        ({"price": D(10)}, (D(9), D(11)), None),
        ({"price": D(100)}, (D(9), None), "100"),
        ({"type": OrderType.STOP, "price": None, "stop_price": D(1)}, None, None),
        ({"type": OrderType.LIMIT, "price": None}, None, None),
    ],
)
def test_what_can_trade_does_so_now(changes, quoted, trades):
    """
    With fills ``now`` an order that reaches the market trades before its answer; others rest.
    """

    async def test():
        venue = MockVenue(habits=Habits(fills="now"))
        if quoted:
            venue.quote("X", *quoted)
        async with session_at(venue) as session:
            await session.place(an_order(**changes))
            assert [str(fill.price) for fill in venue.fills] == ([trades] if trades else [])
            assert kinds(session.told) == (["NEW", "Fill", "FILLED"] if trades else ["NEW"])

    run(test)


def test_fills_soon_come_after_the_answer():
    """
    With fills ``soon`` the answer comes first, then the fill.
    """

    async def test():
        venue = MockVenue(habits=Habits(fills="soon"))
        async with session_at(venue) as session:
            await session.place(an_order(price=D(100)))
            assert venue.fills == ()
            await until(lambda: venue.fills)
            assert venue.order("a").status is OrderStatus.FILLED

    run(test)


def random_fills(seed, names, *, ended=(), by_hand=()):
    """What random fills make of orders of these names: parts of each."""

    async def go():
        clock = ManualClock()
        venue = MockVenue(seed, clock, habits=Habits(fills="random", spread=1.0))
        async with session_at(venue) as session:
            for name in names:
                await session.place(an_order(name))
            for name in ended:
                venue.cancel(name)
            for name in by_hand:
                venue.fill(name, D(8))
            clock.advance(2)
        return {
            name: [str(fill.qty) for fill in venue.fills if fill.client_order_id == name] for name in names
        }

    return asyncio.run(go())


def test_random_fills_are_a_function_of_seed_and_order():
    """
    An order's random fills are its own: they depend on the seed and its id, and on no other order.
    """
    names = [f"order {number}" for number in range(60)]
    filled = random_fills(1, names)

    assert filled == random_fills(1, names[::-1])
    assert filled != random_fills(2, names)
    totals = [sum(map(D, parts)) for parts in filled.values()]
    assert {len(parts) for parts in filled.values()} == {0, 1, 2, 3}
    assert 0 in totals
    assert 10 in totals
    assert any(0 < total < 10 for total in totals)
    assert not any(total > 10 for total in totals)


def test_random_fills_stop_where_an_order_ends():
    """
    What was cancelled meanwhile does not trade any more, and nothing trades more than it is.
    """
    names = [f"order {number}" for number in range(20)]

    assert not any(random_fills(1, names, ended=names).values())
    totals = [sum(map(D, parts)) for parts in random_fills(1, names, by_hand=names).values()]
    assert set(totals) > {8, 10}
    assert max(totals) == 10


@pytest.mark.parametrize(
    ("tells", "expected"),
    [
        ("all", "NEW Fill PARTIALLY_FILLED Order NEW Fill FILLED NEW CANCELED"),
        ("fills", "NEW Fill Order NEW Fill NEW CANCELED"),
        ("updates", "NEW PARTIALLY_FILLED Order NEW FILLED NEW CANCELED"),
        ("nothing", ""),
    ],
)
def test_what_is_told(tells, expected):
    """
    A venue tells all, or only fills and what no fill says, or only updates, or nothing.
    """

    async def test():
        venue = MockVenue(habits=Habits(tells=tells))
        async with session_at(venue) as session:
            await session.place(an_order())
            venue.fill("a", D(1))
            await session.modify(an_order(), OrderChange(qty=D(8)))
            venue.bust("a", "T1")
            venue.fill("a")
            await session.place(an_order("b"))
            await session.cancel(an_order("b"))
            assert kinds(session.told) == expected.split()

    run(test)


def test_calls_take_their_time():
    """
    With a latency, what a call does happens when it is there.
    """

    async def test():
        clock = ManualClock()
        venue = MockVenue(clock=clock)
        async with session_at(venue) as session:
            venue.habits.latency = 1.0
            placing = asyncio.create_task(session.place(an_order()))
            await venue.wait_for("place")
            clock.advance(0.9)
            assert venue.orders == ()
            clock.advance(0.1)
            assert len(venue.orders) == 1
            assert await placing == "V1"
            assert venue.order("a").created_at == datetime(2024, 1, 2, 0, 0, 1, tzinfo=UTC)
            closing = asyncio.create_task(venue.disconnect(session))
            await venue.wait_for("disconnect")
            clock.advance(1)
            await closing

    run(test)


def test_a_caller_that_gives_up_stops_nothing():
    """
    A call under way is done at the venue even if its caller was cancelled.
    """

    async def test():
        clock = ManualClock()
        venue = MockVenue(clock=clock)
        async with session_at(venue) as session:
            venue.on("place", latency=1.0, answer_latency=1.0)
            placing = asyncio.create_task(session.place(an_order()))
            await venue.wait_for("place")
            placing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await placing
            clock.advance(3)
            assert len(venue.orders) == 1

    run(test)


def test_latencies_are_drawn_by_call():
    """
    A range of latencies lets calls overtake each other, the same way each time.
    """

    async def order_of_arrival():
        clock = ManualClock()
        venue = MockVenue(3, clock, habits=Habits(latency=(0.0, 1.0)))
        connecting = asyncio.create_task(venue.connect(lambda _: None))
        await venue.wait_for("connect")
        clock.advance(1)
        session = await connecting
        placing = [asyncio.create_task(session.place(an_order(str(number)))) for number in range(9)]
        await venue.wait_for("place", 9)
        clock.advance(1)
        await asyncio.gather(*placing)
        return [order.client_order_id for order in venue.orders]

    first = asyncio.run(order_of_arrival())
    assert first == asyncio.run(order_of_arrival()) != sorted(first)


def test_too_many_calls_a_second():
    """
    A venue with a limit refuses what comes beyond it within any second, and says for how long.
    """

    async def test():
        clock = ManualClock()
        venue = MockVenue(clock=clock, habits=Habits(max_calls=2))
        async with session_at(venue) as session:
            await session.place(an_order("a"))
            clock.advance(0.5)
            await session.place(an_order("b"))
            with pytest.raises(RateLimited) as caught:
                await session.cancel(an_order("b"))
            assert caught.value.retry_after == 0.5
            await session.query(OrderRef(client_order_id="b"))
            clock.advance(0.5)
            await session.cancel(an_order("b"))
            assert venue.violations == 1
            assert venue.order("b").status is OrderStatus.CANCELED

    run(test)


def test_one_session_at_a_time():
    """
    Beyond as many sessions as a venue allows, the oldest is ended, and told so.
    """

    async def test():
        venue = MockVenue(habits=Habits(max_sessions=1))
        async with session_at(venue) as first, session_at(venue) as second:
            assert first.told == [ConnectionLost(reason="another session took over")]
            with pytest.raises(BrokerUnavailable, match="another session took over"):
                await first.ping()
            await second.ping()
            assert venue.sessions == 1

    run(test)


def test_heartbeats():
    """
    With that habit each session gets a heartbeat regularly, until it ends.
    """

    async def test():
        clock = ManualClock()
        venue = MockVenue(clock=clock, habits=Habits(heartbeat=1.0))
        async with session_at(venue) as session:
            clock.advance(3.5)
            assert session.told == [Heartbeat()] * 3
            venue.mute()
            clock.advance(1)
            venue.unmute()
            venue.beat()
            assert session.told == [Heartbeat()] * 4
        clock.advance(5)
        assert session.told == [Heartbeat()] * 4
        assert clock.waiting == 0

    run(test)


def test_a_clock_that_is_wrong():
    """
    A venue's clock may be ahead: its answers, orders and trades carry its time.
    """

    async def test():
        clock = ManualClock()
        venue = MockVenue(clock=clock, habits=Habits(skew=30.0))
        ahead = clock.now() + timedelta(seconds=30)
        async with session_at(venue) as session:
            assert await session.ping() == ahead
            await session.place(an_order())
            assert venue.order("a").created_at == venue.fill("a").time == ahead

    run(test)


def test_snapshots():
    """
    A snapshot has open orders, trades, positions and money; what the venue does not tell is ``None``.
    """

    async def test():
        venue = MockVenue()
        async with session_at(venue) as session:
            await session.place(an_order("a"))
            await session.place(an_order("b"))
            venue.fill("a")
            shot = await session.snapshot()
            assert shot.orders == venue.open_orders
            assert (shot.fills, shot.positions, shot.balances) == (
                venue.fills,
                venue.positions,
                venue.balances,
            )
            venue.habits.snapshot_ended = True
            assert (await session.snapshot()).orders == venue.orders
            venue.habits.snapshot_has = frozenset()
            shot = await session.snapshot()
            assert (shot.orders, shot.fills, shot.positions, shot.balances) == (None, None, None, None)

    run(test)


# -- the market ------------------------------------------------------------------------------------


def test_the_market():
    """
    Quotes go to who subscribed; quotes, instruments and bars are answered.
    """

    async def test():
        venue = MockVenue()
        async with session_at(venue) as session:
            with pytest.raises(InvalidRequest, match="no quote of 'X' yet"):
                await session.quote("X")
            await session.subscribe(frozenset({"X"}))
            quote = venue.quote("X", D(1), D(2))
            venue.quote("Y", D(1), None)
            assert session.told == [quote]
            assert await session.quote("X") == quote
            half = await session.quote("Y")
            assert (half.bid_size, half.ask, half.ask_size) == (D(1_000_000), None, None)
            assert venue.quote("Y", None, D(2)).bid_size is None
            assert (await session.instrument("X")).tick_size == D("0.01")
            listed = Instrument(symbol="X", tick_size=D(1), lot_size=D(5))
            venue.list_instrument(listed)
            assert await session.instrument("X") == listed
            assert [call.symbol for call in venue.calls("instrument")] == ["X", "X"]

    run(test)


def test_bars():
    """
    Bars are answered from the start until before the end.
    """

    async def test():
        days = [datetime(2024, 1, day, tzinfo=UTC) for day in (1, 2, 3)]
        facts = dict.fromkeys(("open", "high", "low", "close", "volume"), D(1))
        bars = [Bar(symbol="X", time=day, **facts) for day in days]
        venue = MockVenue()
        venue.add_bars(bars)
        async with session_at(venue) as session:
            assert await session.bars("X", days[0], days[2]) == tuple(bars[:2])
            assert await session.bars("Y", days[0], days[2]) == ()

    run(test)


# -- the script ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fault", "accepted"), [("timeout_before", False), ("timeout_after", True)])
def test_calls_may_hang(fault, accepted):
    """
    A call may never be answered, with or without having been accepted; `resume` lets it end.
    """

    async def test():
        venue = MockVenue()
        async with session_at(venue) as session:
            venue.on("place", fault=fault)
            placing = asyncio.create_task(session.place(an_order()))
            await venue.wait_for("place")
            await until(lambda: venue.hanging)
            assert not placing.done()
            assert bool(venue.orders) is accepted
            venue.resume()
            if accepted:
                assert await placing == "V1"
            else:
                with pytest.raises(TimeoutError, match="never looked at"):
                    await placing
            assert venue.hanging == 0

    run(test)


@pytest.mark.parametrize(("fault", "accepted"), [("disconnect_before", False), ("disconnect_after", True)])
def test_the_line_may_break_during_a_call(fault, accepted):
    """
    A call may end with the line: its session is over, and told so; the order stands there or not.
    """

    async def test():
        venue = MockVenue()
        async with session_at(venue) as session:
            hanging = asyncio.create_task(session.ping())
            venue.on("ping", then="hang")
            await venue.wait_for("ping")
            venue.on("place", fault=fault, message="cable cut")
            with pytest.raises(ConnectionResetError, match="cable cut"):
                await session.place(an_order())
            with pytest.raises(ConnectionResetError, match="cable cut"):
                await hanging
            assert bool(venue.orders) is accepted
            assert session.told[-1] == ConnectionLost(reason="cable cut")
            assert venue.sessions == 0

    run(test)


@pytest.mark.parametrize(
    ("fault", "accepted", "raised"),
    [
        ("crash_before", False, RuntimeError),
        ("crash_after", True, RuntimeError),
        ("unavailable", False, BrokerUnavailable),
        ("reject", False, InvalidRequest),
        ("auth", False, AuthenticationError),
        ("rate_limited", False, RateLimited),
    ],
)
def test_calls_may_fail(fault, accepted, raised):
    """
    A call may end in an error, with or without having been accepted, as often as the rule says.
    """

    async def test():
        venue = MockVenue()
        async with session_at(venue) as session:
            venue.on("place", fault=fault)
            with pytest.raises(raised):
                await session.place(an_order("a"))
            assert bool(venue.orders) is accepted
            await session.place(an_order("b"))
            assert venue.order("b").status is OrderStatus.NEW

    run(test)


def test_any_exception_can_be_raised():
    """
    A script in Python may raise what no configuration can name: an exception, or a fresh one each time.
    """

    async def test():
        class Odd(BaseException):
            pass

        venue = MockVenue()
        async with session_at(venue) as session:
            venue.on("ping", raises=Odd("one"))
            venue.on("ping", raises=lambda: Odd("fresh"), times=2)
            said = []
            for _ in range(3):
                try:
                    await session.ping()
                except Odd as error:
                    said.append(str(error))
            assert said == ["one", "fresh", "fresh"]
            await session.ping()

    run(test)


def test_a_venue_may_ignore_what_it_accepts():
    """
    A call may be answered although nothing was done for it.
    """

    async def test():
        venue = MockVenue()
        async with session_at(venue) as session:
            venue.on("place", accept=False)
            assert await session.place(an_order()) is None
            assert venue.orders == ()
            await session.place(an_order())
            venue.on("cancel", accept=False)
            await session.cancel(an_order())
            assert len(venue.open_orders) == 1

    run(test)


@pytest.mark.parametrize("call", ["cancel", "modify"])
def test_cancels_may_lose_to_a_fill(call):
    """
    With ``fill_first`` an order trades in full before its cancel or change is looked at, and refused.
    """

    async def test():
        venue = MockVenue()
        async with session_at(venue) as session:
            await session.place(an_order())
            venue.on(call, fault="fill_first", times=2)
            for _ in range(2):
                with pytest.raises(InvalidRequest, match="it is FILLED"):
                    await (
                        session.cancel(an_order())
                        if call == "cancel"
                        else session.modify(an_order(), OrderChange(qty=D(3)))
                    )
            assert len(venue.fills) == 1

    run(test)


def test_a_rule_may_say_what_an_order_does():
    """
    What an order does by itself can be said for one order.
    """

    async def test():
        venue = MockVenue()
        async with session_at(venue) as session:
            venue.on("place", fills="now", client_order_id="b")
            for name in ("a", "b", "c"):
                await session.place(an_order(name, price=D(100)))
            assert [order.status.name for order in venue.orders] == ["NEW", "FILLED", "NEW"]

    run(test)


def test_what_the_venue_refuses_may_be_far_away():
    """
    A refusal takes the same way as an answer.
    """

    async def test():
        venue = MockVenue()
        async with session_at(venue) as session:
            venue.on("cancel", answer_latency=0.001)
            with pytest.raises(OrderNotFound):
                await session.cancel(an_order())

    run(test)


def test_answers_may_be_late():
    """
    With an answer latency the venue has acted, and told, before the caller hears of it.
    """

    async def test():
        clock = ManualClock()
        venue = MockVenue(clock=clock)
        async with session_at(venue) as session:
            venue.on("snapshot", answer_latency=1.0)
            asking = asyncio.create_task(session.snapshot())
            await venue.wait_for("snapshot")
            await session.place(an_order())
            clock.advance(1)
            assert (await asking).orders == ()

    run(test)


def test_rules_can_be_taken_back():
    """
    The answer of ``on`` takes its rule back, once; ``clear`` takes all. The first that fits decides.
    """

    async def test():
        venue = MockVenue(script=[Rule(on="*", error="KeyError", times=None)])
        venue.clear()
        async with session_at(venue) as session:
            undo = venue.on("ping", error="LookupError", times=None)
            venue.on("ping", error="ArithmeticError", where=lambda call: call.session == 1)
            with pytest.raises(LookupError):
                await session.ping()
            undo()
            undo()
            with pytest.raises(ArithmeticError):
                await session.ping()
            await session.ping()

    run(test)


def test_connecting_may_fail_or_hang():
    """
    A rule for ``connect`` makes it fail or hang; no session is opened, and none is left.
    """

    async def test():
        venue = MockVenue()
        venue.on("connect", fault="auth")
        with pytest.raises(AuthenticationError):
            await venue.connect(lambda _: None)
        venue.on("connect", fault="disconnect_before")
        with pytest.raises(ConnectionResetError):
            await venue.connect(lambda _: None)
        venue.on("connect", fault="timeout_before")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await venue.connect(lambda _: None)
        assert venue.sessions == 0

    run(test)


def test_a_session_may_go_away_under_its_own_close():
    """
    A session that ended while it was being closed is closed.
    """

    async def test():
        clock = ManualClock()
        venue = MockVenue(clock=clock)
        session = await venue.connect(lambda _: None)
        venue.on("disconnect", latency=1.0)
        closing = asyncio.create_task(venue.disconnect(session))
        await venue.wait_for("disconnect")
        venue.disconnect_all()
        clock.advance(1)
        await closing
        assert venue.sessions == 0

    run(test)


def test_waiting_for_calls():
    """
    ``wait_for`` waits until so many calls have come in all, not longer than its deadline.
    """

    async def test():
        venue = MockVenue()
        async with session_at(venue) as session:
            waiting = asyncio.create_task(venue.wait_for("ping", 2))
            await session.ping()
            assert not waiting.done()
            await session.ping()
            await waiting
            await venue.wait_for("ping", 2)
            with pytest.raises(TimeoutError):
                await venue.wait_for("ping", 3, deadline=0)
            await session.ping()

    run(test)


# -- the line --------------------------------------------------------------------------------------


def test_reports_may_come_twice():
    """
    A rule may send reports of a kind more than once; ``replay`` sends everything again.
    """

    async def test():
        venue = MockVenue(reports=[ReportRule(kind="fill", copies=3)])
        async with session_at(venue) as session:
            await session.place(an_order())
            venue.fill("a", D(1))
            venue.fill("a", D(1))
            once = ["NEW", "Fill", "PARTIALLY_FILLED", "Fill", "PARTIALLY_FILLED"]
            assert kinds(session.told) == ["NEW", "Fill", "Fill", *once[1:]]
            assert kinds(venue.told) == once
            session.told.clear()
            venue.replay()
            assert kinds(session.told) == once

    run(test)


def test_reports_may_be_late_or_lost():
    """
    A rule may delay or lose reports; who is not connected when they come misses them.
    """

    async def test():
        clock = ManualClock()
        venue = MockVenue(clock=clock)
        async with session_at(venue) as session:
            undo = venue.on_report("order", times=None, late=1.0)
            await session.place(an_order())
            venue.fill("a", D(1))
            assert kinds(session.told) == ["Fill"]
            clock.advance(1)
            assert kinds(session.told) == ["Fill", "NEW", "PARTIALLY_FILLED"]
            undo()
            venue.on_report(lose=True, after=1, where=lambda said: isinstance(said, Fill))
            session.told.clear()
            venue.fill("a", D(1))
            venue.fill("a", D(1))
            assert kinds(session.told) == ["Fill", "PARTIALLY_FILLED", "PARTIALLY_FILLED"]
            assert venue.lost == 1
            venue.on_report(late=1.0, times=2)
            venue.tell(Heartbeat())
        clock.advance(1)
        assert venue.lost == 2
        venue.tell(RateLimitSeen(name="orders"))
        assert venue.lost == 3

    run(test)


@pytest.mark.parametrize("order", ["sent", "reversed", "shuffled"])
def test_reports_may_be_held_and_reordered(order):
    """
    Held reports come when they are released: as sent, reversed, or shuffled by the seed.
    """

    async def test():
        venue = MockVenue(5)
        async with session_at(venue) as session:
            venue.hold()
            for number in range(8):
                venue.external_order("X", Side.BUY, D(number + 1))
            assert session.told == []
            venue.release(order)
            got = [update.order_id for update in session.told]
            sent = [f"V{number + 1}" for number in range(8)]
            assert sorted(got) == sent
            assert (got == sent) is (order == "sent")
            assert (got == sent[::-1]) is (order == "reversed")
            venue.beat()
            assert session.told[-1] == Heartbeat()

    run(test)


def test_mute():
    """
    A mute venue answers, and tells nothing; what happens meanwhile is never told.
    """

    async def test():
        venue = MockVenue()
        async with session_at(venue) as session:
            venue.mute()
            await session.place(an_order())
            assert session.told == []
            venue.unmute()
            venue.fill("a")
            assert kinds(session.told) == ["Fill", "FILLED"]
            assert venue.lost == 1

    run(test)


@pytest.mark.parametrize("silent", [False, True])
def test_hanging_up(silent):
    """
    The venue may hang up on everybody, and say so or not; calls under way break.
    """

    async def test():
        venue = MockVenue()
        async with session_at(venue) as session, session_at(venue) as other:
            venue.on("ping", then="hang")
            pinging = asyncio.create_task(session.ping())
            await venue.wait_for("ping")
            venue.disconnect_all("night", silent=silent)
            with pytest.raises(ConnectionResetError, match="night"):
                await pinging
            expected = [] if silent else [ConnectionLost(reason="night")]
            assert session.told == other.told == expected

    run(test)


def test_several_sessions_hear_the_same():
    """
    Every session is told everything, in one order.
    """

    async def test():
        venue = MockVenue()
        async with session_at(venue) as first, session_at(venue) as second:
            await first.place(an_order())
            venue.fill("a")
            assert first.told == second.told != []
            assert venue.sessions == 2

    run(test)


def test_a_listener_that_raises_spoils_nothing():
    """
    What a gateway's ``report`` raises comes out where it happened; the line goes on.
    """

    async def test():
        venue = MockVenue()
        told = []

        def report(said):
            told.append(said)
            if len(told) == 1:
                raise RuntimeError("bad gateway")

        session = await venue.connect(report)
        with pytest.raises(RuntimeError, match="bad gateway"):
            venue.beat()
        venue.beat()
        assert len(told) == 2
        await venue.disconnect(session)

    run(test)


# -- time and threads ------------------------------------------------------------------------------


def test_real_time_goes_by_itself():
    """
    Without a clock of its own a venue lives by UTC and the loop's timers.
    """

    async def test():
        venue = MockVenue()
        before = datetime.now(UTC)
        async with session_at(venue) as session:
            venue.on("ping", latency=0.001, answer_latency=(0.001, 0.002))
            assert before <= await session.ping() <= datetime.now(UTC)
            venue.on_report(late=0.001)
            await asyncio.to_thread(venue.beat)
            await until(lambda: session.told)

    run(test)


def test_a_loop_that_has_ended_hears_nothing():
    """
    What falls due for a loop that has ended is dropped; one that is broken in another way says so.
    """

    async def open_session():
        return await venue.connect(lambda _: None)

    venue = MockVenue()
    asyncio.run(open_session())
    venue.disconnect_all()
    loop = asyncio.new_event_loop()
    loop.call_soon_threadsafe = broken = lambda *_: (_ for _ in ()).throw(RuntimeError("odd loop"))
    try:
        with pytest.raises(RuntimeError, match="odd loop"):
            LoopClock().call_later(0, broken, loop)
    finally:
        loop.close()


def test_the_script_may_be_played_from_any_thread(eager_threads):
    """
    Threads may fill while a loop calls: nothing is lost, and each order's reports are in order.
    """

    async def test():
        venue = MockVenue()
        names = [f"order {number}" for number in range(60)]
        ready = threading.Event()

        def play():
            ready.wait(SOON)
            for name in names:
                while not any(order.client_order_id == name for order in venue.orders):
                    pass
                for _ in range(4):
                    venue.fill(name, D(1))

        threads = [threading.Thread(target=play) for _ in range(2)]
        for thread in threads:
            thread.start()
        async with session_at(venue) as session:
            ready.set()
            for name in names:
                await session.place(an_order(name))
            for thread in threads:
                await asyncio.to_thread(thread.join, SOON)
            for name in names:
                updates = [
                    update.filled_qty
                    for update in session.told
                    if isinstance(update, OrderUpdate) and update.client_order_id == name
                ]
                assert updates == [D(number) for number in range(9)]
            assert len({fill.trade_id for fill in venue.fills}) == 480

    run(test)


def test_reports_do_not_overtake_each_other():
    """
    While one report is being delivered, what another thread reports waits for its turn.
    """

    async def test():
        venue = MockVenue()
        told = []
        busy, go_on = threading.Event(), threading.Event()

        def report(said):
            if not told and not busy.is_set():
                busy.set()
                assert go_on.wait(SOON)
            told.append(said)

        session = await venue.connect(report)
        first = threading.Thread(target=venue.tell, args=("first",))
        first.start()
        await asyncio.to_thread(busy.wait, SOON)
        await asyncio.to_thread(venue.tell, "second")
        assert told == []
        go_on.set()
        await asyncio.to_thread(first.join, SOON)
        assert told == ["first", "second"]
        await venue.disconnect(session)

    run(test)


# -- names -----------------------------------------------------------------------------------------


def test_a_name_is_one_venue_in_a_process():
    """
    Who asks for a name again gets the same venue, also after the plugin was imported anew.
    """
    venue = shared_venue("here", MockVenue)
    try:
        mine = {
            name: sys.modules.pop(name)
            for name in list(sys.modules)
            if name.startswith("hotplug_broker_mock")
        }
        try:
            from hotplug_broker_mock import MockVenue as NewVenue
            from hotplug_broker_mock import shared_venue as new_shared_venue

            assert NewVenue is not MockVenue
            assert new_shared_venue("here", NewVenue) is venue
        finally:
            sys.modules.update(mine)
        assert shared_venue("elsewhere", MockVenue) is not venue
    finally:
        forget_venue("here")
        forget_venue("elsewhere")
        forget_venue("elsewhere")
    assert shared_venue("here", MockVenue) is not venue
    forget_venue("here")
