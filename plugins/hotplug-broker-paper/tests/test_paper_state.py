"""A venue that goes on in the next generation of its gateway: nobody can tell from what happens."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from hotplug._records import exported_state
from hotplug.brokers import ReplacePolicy
from hotplug.brokers._orders._book import Book
from hotplug.brokers._template._handover import Handover
from hotplug.errors import BrokerError, GatewayReplaced
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
from hotplug_broker_paper._venue import Venue
from hotplug_broker_paper._venue_hours import Hours
from hotplug_broker_paper._venue_rules import Rules
from hotplug_broker_paper._venue_state import take_over, told

D = Decimal
START = datetime(2024, 1, 2, 9, 30, tzinfo=UTC)
USERS = ("default", "ada", "bob")
RULES = {
    "plain": {},
    "slow": {"ack_latency": (60.0, 200.0), "fill_latency": 30.0, "cancel_latency": (100.0, 900.0)},
    "shared": {"shared": True, "participation": D("0.2"), "allow_short": True},
    "hours": {"hours": Hours("09:30-12:00"), "reject_rate": 0.2, "seed": 7},
    "clock": {"by_clock": True, "cancel_latency": 300.0, "allow_short": True, "min_fee": D(1)},
    "forgetful": {"history": 3, "taker_fee": D("0.001"), "maker_fee": D("-0.0002"), "slippage": D("0.01")},
}


class Clock:
    """Tells what the test says."""

    def __init__(self):
        self.now = START

    def __call__(self):
        return self.now


class World:
    """A venue, its clock, and all that it ever said; *moves* have it go on in a new venue."""

    def __init__(self, rules):
        self.rules, self.clock, self.said = rules, Clock(), []
        self.venue = self.new()

    def new(self):
        return Venue(self.rules, self.said.append, clock=self.clock)

    def move(self):
        version, state = exported_state((1, told(self.venue)), "its state")
        assert version == 1
        self.venue = self.new()
        take_over(self.venue, state)

    def do(self, command):
        try:
            answer = command(self)
        except BrokerError as error:
            answer = type(error), error.code, str(error)
        return answer

    def picture(self):
        venue = self.venue
        return (
            self.said,
            venue.open_orders(),
            venue.positions(),
            venue.balances(),
            list(venue.fills),
            venue.seq,
            [venue.order(each) for each in venue.ended],
            {name: venue.time_of(name) for name in venue.accounts},
            {name: account.ledger.pockets() for name, account in venue.accounts.items()},
        )


def story(seed, length=120):
    """What three users and a market do, the same for the same *seed*."""
    rng, names, shown = random.Random(seed), [], []
    price = 100
    for number in range(length):
        price += rng.choice([-2, -1, 0, 1, 2])
        price = max(20, price)
        moment = START + timedelta(minutes=7 * number)
        kind, symbol = rng.random(), rng.choice("AB")
        user = rng.choice(USERS)
        if kind < 0.45:
            names.append((user, f"o{number}"))
            yield moment, placing(rng, user, f"o{number}", symbol, price, moment)
        elif kind < 0.55 and names:
            yield moment, cancelling(*rng.choice(names[-8:]))
        elif kind < 0.65 and names:
            yield (
                moment,
                changing(*rng.choice(names[-8:]), D(rng.randint(1, 60)), D(price + rng.randint(-4, 4))),
            )
        elif kind < 0.7:
            yield moment, lambda world: world.venue.advance()
        elif kind < 0.75 and shown:
            yield moment, shown[-1](rng.choice(USERS))
        else:
            show = (quoting if kind < 0.85 else barring)(rng, symbol, price, moment)
            shown.append(show)
            yield moment, show(user if rng.random() < 0.4 else None)


def placing(rng, user, name, symbol, price, moment):
    kind = rng.choice(list(OrderType))
    tif = rng.choice(list(TimeInForce))
    away = D(price + rng.randint(-5, 5))
    soon = START + timedelta(hours=2) * ((moment - START) // timedelta(hours=2) + 1)
    request = OrderRequest(
        symbol=symbol,
        side=rng.choice(list(Side)),
        qty=D(rng.randint(1, 40)),
        type=kind,
        price=away if kind in (OrderType.LIMIT, OrderType.STOP_LIMIT) else None,
        stop_price=D(price + rng.randint(-5, 5)) if kind in (OrderType.STOP, OrderType.STOP_LIMIT) else None,
        tif=tif,
        expire_at=soon if tif is TimeInForce.GTD else None,
        account=user,
        client_order_id=name,
        reduce_only=rng.random() < 0.1,
        tags=("x",) if rng.random() < 0.2 else (),
    )
    return lambda world: world.venue.place(request).order()


def cancelling(user, name):
    return lambda world: world.venue.cancel(world.venue.find(user, name, None))


def changing(user, name, qty, price):
    def change(world):
        standing = world.venue.find(user, name, None)
        world.venue.modify(standing, OrderChange(qty=qty, price=price if standing.price else None))

    return change


def quoting(rng, symbol, price, moment):
    quote = Quote(
        symbol=symbol,
        bid=D(price - 1),
        bid_size=D(rng.randint(1, 30)),
        ask=D(price + 1),
        ask_size=None if rng.random() < 0.1 else D(rng.randint(1, 30)),
        time=moment,
    )
    return lambda whose: lambda world: world.venue.feed_quote(quote, whose)


def barring(rng, symbol, price, moment):
    low, high = D(price - rng.randint(1, 6)), D(price + rng.randint(1, 6))
    close, volume = D(rng.randint(int(low), int(high))), D(rng.randint(5, 200))
    bar = Bar(
        symbol=symbol,
        time=moment,
        open=D(price),
        high=high,
        low=low,
        close=close,
        volume=volume,
    )
    return lambda whose: lambda world: world.venue.feed_bar(bar, whose)


@pytest.mark.parametrize("rules", RULES)
def test_nobody_can_tell_when_a_venue_went_over(rules):
    """Whenever it goes over, in the middle of whatever: what it says from then on is what it would have."""
    traded = 0
    for seed in range(8):
        stays, moves = World(Rules(**RULES[rules])), World(Rules(**RULES[rules]))
        when = random.Random(seed).sample(range(120), 20)
        for number, (moment, command) in enumerate(story(f"{rules}{seed}")):
            stays.clock.now = moves.clock.now = moment
            if number in when:
                moves.move()
            assert moves.do(command) == stays.do(command), (seed, number)
        assert moves.picture() == stays.picture(), seed
        traded += sum(isinstance(each, Fill) for each in stays.said)
    assert traded > 5


def test_a_shorter_history_forgets_at_once():
    """Settings are the next generation's: what it does not want to remember is not taken over."""
    world = World(Rules())
    for number in range(4):
        world.venue.cancel(world.venue.place(limit(f"o{number}")))
    world.rules = Rules(history=2)
    world.move()
    assert [each.client_order_id for each in world.venue.ended] == ["o2", "o3"]
    assert world.venue.place(limit("o0")).open


def test_another_currency_is_no_next_generation():
    """Money of one kind is not taken for money of another."""
    world = World(Rules())
    world.rules = Rules(currency="EUR")
    with pytest.raises(ValueError, match="are in USD, the settings say EUR"):
        world.move()


# -- the gateway -------------------------------------------------------------------------------------


def limit(name, qty=2, price=90, **more):
    return OrderRequest(
        symbol="A",
        side=more.pop("side", Side.BUY),
        qty=D(qty),
        type=more.pop("type", OrderType.LIMIT),
        price=None if price is None else D(price),
        tif=TimeInForce.GTC,
        client_order_id=name,
        **{"account": "ada", **more},
    )


def bar(number, low=95, high=105, volume=1000):
    moment = START + timedelta(days=number)
    return Bar(symbol="A", time=moment, open=D(100), high=D(high), low=D(low), close=D(100), volume=D(volume))


async def handed_over(old, **settings):
    """The next generation on the book of *old*, and who still has the old one."""
    new = PaperBroker(**settings)
    new.attach(old.book)
    handover = Handover(old, new, ReplacePolicy.HANDOVER, 5)
    await handover.begin()
    handover.commit()
    return new


def serving(test, **settings):
    async def story():
        old = PaperBroker(**settings)
        old.attach(Book("main"))
        await old.connect()
        await test(old)
        await old.disconnect()

    asyncio.run(story())


def test_orders_positions_and_money_go_on():
    """Users, partial fills, stops: the next one has them as they were, and their orders trade on."""

    async def test(old):
        await old.place_order(limit("part", 5, 98))
        await old.place_order(limit("stop", 1, None, type=OrderType.STOP, stop_price=D(110)))
        await old.place_order(limit("bob", 3, 97, account="bob"))
        await old.feed(bar(1, low=96, volume=2))
        before = await old.get_positions(), await old.get_balances(), await old.get_open_orders()
        new = await handed_over(old)
        assert (await new.get_positions(), await new.get_balances(), await new.get_open_orders()) == before
        part = await new.get_order(OrderRef(client_order_id="part"))
        assert (part.status, part.filled_qty) == (OrderStatus.PARTIALLY_FILLED, 2)
        fills = await new.feed(bar(2, low=94, high=112))
        assert {(each.client_order_id, each.qty) for each in fills} == {("part", 3), ("bob", 1), ("stop", 1)}
        assert all(not each.late for each in await new.get_fills())
        assert not await new.get_open_orders()
        await new.disconnect()

    serving(test)


def test_there_is_one_venue_whoever_feeds_it():
    """Who has the old object feeds the venue, cancels and asks there, and is never told of another."""

    async def test(old):
        await old.place_order(limit("a"))
        await old.place_order(limit("b"))
        new = await handed_over(old)
        with pytest.raises(GatewayReplaced):
            await old.place_order(limit("c"))
        assert (await old.cancel_order(OrderRef(client_order_id="a"))).status is OrderStatus.CANCELED
        [fill] = await old.feed(bar(1, low=80))
        assert fill.client_order_id == "b"
        assert len(new._venue.fills) == 1
        assert [each.qty for each in await old.get_positions()] == [2]
        assert len(await new.get_fills()) == 1
        await new.disconnect()

    serving(test)


def test_a_failed_handover_leaves_the_venue_as_it_was():
    """The old one trades on, and was fed nothing in vain."""

    async def test(old):
        await old.place_order(limit("a"))
        with pytest.raises(BrokerError, match="are in USD, the settings say EUR"):
            await handed_over(old, currency="EUR")
        await old.place_order(limit("b"))
        assert len(await old.feed(bar(1, low=80))) == 2

    serving(test)


def test_a_file_is_the_state(tmp_path):
    """With a file there is one session at a time, and the next one reads what is written."""

    async def test(old):
        await old.place_order(limit("a"))
        assert (await old.export_state())[1] == {"file": str(tmp_path / "paper.db"), "open": 1}
        new = await handed_over(old, file=tmp_path / "paper.db")
        assert [each.client_order_id for each in await new.get_open_orders()] == ["a"]
        [fill] = await new.feed(bar(1, low=80))
        assert fill.client_order_id == "a"
        await new.disconnect()

    serving(test, file=tmp_path / "paper.db")


@pytest.mark.parametrize("moves", ["in", "out"])
def test_open_orders_are_not_left_in_another_place(tmp_path, moves):
    """From memory to a file or back: only when nothing is open; what is kept there counts from then on."""
    files = [{}, {"file": tmp_path / "paper.db"}]
    before, after = files if moves == "in" else files[::-1]

    async def test(old):
        await old.place_order(limit("a"))
        with pytest.raises(BrokerError, match="1 orders are open in .* cancel them first"):
            await handed_over(old, **after)
        await old.cancel_order(OrderRef(client_order_id="a"))
        new = await handed_over(old, **after)
        await new.place_order(limit("b"))
        await new.disconnect()

    serving(test, **before)


def test_an_unknown_version_is_refused():
    """State that a later one told is not guessed at."""
    with pytest.raises(ValueError, match="state of version 99"):
        asyncio.run(PaperBroker().import_state(99, {}))


def test_what_falls_due_by_the_wall_still_does():
    """Who goes by the clock on the wall wakes up for what was due before it was there."""

    async def test(old):
        await old.place_order(expiring(datetime.now(UTC) + timedelta(milliseconds=150)))
        new = await handed_over(old, time="clock")
        await until_expired(new)
        await new.disconnect()

    serving(test, time="clock")


def test_quotes_are_known_to_the_next_one():
    """The last price of each symbol, of a bar or a quote, goes over."""

    async def test(old):
        await old.feed(bar(1))
        await old.feed_quote(Quote(symbol="B", bid=D(9), bid_size=None, ask=D(11), ask_size=None, time=START))
        new = await handed_over(old)
        assert (await new.get_quote("A")).bid == 100
        assert (await new.get_quote("B")).ask == 11
        await new.disconnect()

    serving(test)


def test_others_go_on_while_a_venue_is_told():
    """However much there is to tell and to hear, the loop is not kept by it."""

    async def test(old):
        turns = 0

        async def turn():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        turning = asyncio.ensure_future(turn())
        await old.place_order(limit("a"))
        before = turns
        answer = await old.export_state()
        between = turns
        await PaperBroker().import_state(*answer)
        assert before < between < turns
        turning.cancel()

    serving(test)


def expiring(when):
    return OrderRequest(
        symbol="A",
        side=Side.BUY,
        qty=D(1),
        type=OrderType.LIMIT,
        price=D(90),
        tif=TimeInForce.GTD,
        expire_at=when,
        account="ada",
        client_order_id="a",
    )


async def until_expired(gateway):
    async with asyncio.timeout(5):
        async for event in gateway.events():
            if getattr(event.payload, "status", None) is OrderStatus.EXPIRED:
                break


def test_nothing_falls_due_while_a_venue_is_told(monkeypatch):
    """What the wall's clock brings in the middle of it happens afterwards; all is told of one instant."""
    soon = datetime.now(UTC) + timedelta(milliseconds=100)

    async def test(old):
        await old.place_order(expiring(soon))
        loop = asyncio.get_running_loop()

        def slowly(venue):
            while datetime.now(UTC) <= soon:
                pass
            for _ in range(3):
                asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result(5)
            return told(venue)

        monkeypatch.setattr("hotplug_broker_paper._broker.told", slowly)
        _, state = await old.export_state()
        assert [row[14] for row in state["tables"]["orders"]] == ["NEW"]
        await until_expired(old)

    serving(test, time="clock")


def test_a_broker_at_rest_is_told_of_as_it_is():
    """One that is disconnected has no alarm to come back to."""

    async def test(old):
        await old.place_order(expiring(datetime.now(UTC) + timedelta(hours=1)))
        await old.disconnect()
        _, state = await old.export_state()
        assert state["open"] == 1
        assert old._alarm.cancelled()

    serving(test, time="clock")
