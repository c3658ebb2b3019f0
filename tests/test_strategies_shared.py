"""Several runs on one account: to each its own orders, fills, positions and money."""

from __future__ import annotations

import asyncio
import random
from decimal import Decimal

import pytest

import hotplug
from hotplug.errors import DuplicateClientOrderId, OrderNotFound
from hotplug.market import Instrument, OrderRef, OrderStatus
from hotplug.strategies import _floor, run_strategy, running
from sharing import Scripted, came_of, market, order, paper, resting, streamed, together

D = Decimal


@pytest.fixture(autouse=True)
def _everybody_has_left(monkeypatch):
    """After every run there is nobody left on any floor; and nobody goes on by impatience."""
    monkeypatch.setattr(_floor, "PATIENCE", 60)
    yield
    assert _floor._floors == {}
    assert running() == ()


@pytest.mark.parametrize("seed", range(12))
def test_each_gets_what_it_would_have_got_alone(seed):
    """
    Fills, positions with their averages, equity and orders of each of three runs are as if it were alone.

    They begin on different days and trade two symbols; bars come from memory or from a stream.
    """
    dice = random.Random(seed)

    def cast():
        hand = random.Random(seed)
        for symbol in ("A", "A", hand.choice("AB")):
            script = {day: hand.choice([-2, -1, 0, 0, 1, 3]) for day in range(12)}
            yield Scripted(script, symbol), market(symbol, first=hand.choice([0, 0, 1]))

    async def test():
        shared = await paper(fee_rate=D("0.001"))
        both = [(strategy, bars, dice.choice([list, streamed])(bars)) for strategy, bars in cast()]
        reports = await together(shared, *((strategy, given) for strategy, _, given in both))
        for (strategy, bars, _), report, (lonely, _) in zip(both, reports, cast(), strict=True):
            [alone] = await together(await paper(fee_rate=D("0.001")), (lonely, bars))
            assert came_of(strategy, report) == came_of(lonely, alone)
        assert sum(len(report.trades) for report in reports) > 10

    asyncio.run(test())


def test_the_shares_add_up_to_the_account():
    """
    What the runs won and lost is what the account did; the multiplier of what is traded included.
    """

    async def test():
        fifty = Instrument(symbol="A", tick_size=D("0.01"), lot_size=D(1), multiplier=D(50))
        broker = await paper(fee_rate=D("0.001"), instruments=(fifty,))
        reports = await together(
            broker, (Scripted({0: 3, 4: -5}), market()), (Scripted({1: 2, 6: 1}), market())
        )
        [balance] = [each for each in await broker.get_balances() if each.account == "ours"]
        [position] = [each for each in await broker.get_positions() if each.account == "ours"]
        worth = balance.total + position.qty * 50 * market()[-1].close
        assert sum(report.equity[-1] - report.capital for report in reports) == worth - 100_000
        assert position.qty == 1

    asyncio.run(test())


def test_what_was_there_before_is_everybodys():
    """
    A position from before is seen by both runs, and what one of them sells of it by that one only.
    """

    async def test():
        broker = await paper()
        await together(broker, (Scripted({0: 4}), market(days=2)))
        one, other = Scripted({0: -1}), Scripted()
        await together(broker, (one, market(days=5, first=2)), (other, market(days=5, first=2)))
        assert [each.qty for each in one.held] == [4, 3, 3]
        assert [each.qty for each in other.held] == [4, 4, 4]
        assert {each.avg_price for each in (*one.held, *other.held)} == {market()[1].open}

    asyncio.run(test())


def test_what_nobodys_order_traded_is_everybodys():
    """
    An order that somebody placed by hand moves the account for both runs, and is no run's fill.
    """

    async def by_hand(strategy):
        await strategy.broker.place_order(order(5, account="ours"))

    async def test():
        broker = await paper()
        one, other = Scripted({0: by_hand}), Scripted()
        one.broker = broker
        await together(broker, (one, market(days=3)), (other, market(days=3)))
        assert one.told == other.told == []
        assert [each.qty for each in one.held] == [each.qty for each in other.held] == [0, 5, 5]

    asyncio.run(test())


def test_orders_name_user_strategy_and_run():
    """
    Two strategies of one user on one gateway: every order says whose it is, in its record and in the news.
    """

    class Other(Scripted):
        pass

    async def test():
        config = hotplug.Config.parse('[brokers.main]\nplugin = "paper"\nconnect = true\n')
        async with hotplug.Host(config) as host:
            contexts = [hotplug.UserExecutionContext("ada") for _ in range(2)]
            news = host.brokers.get("main").events()
            reports = await asyncio.gather(
                *(
                    run_strategy(strategy, host.brokers.get("main", context), market(), context=context)
                    for strategy, context in zip((Scripted({0: 1}), Other({0: 2})), contexts, strict=True)
                )
            )
            told = {}
            async with asyncio.timeout(5):
                while len(told) < 2:
                    said = (await anext(news)).payload
                    if isinstance(said, hotplug.market.Order):
                        told[said.qty] = said.attribution.strategy
            return reports, contexts, told

    reports, contexts, told = asyncio.run(test())

    made = [
        (o.attribution.user, o.attribution.strategy, o.attribution.run) for r in reports for o in r.orders
    ]
    assert made == [("ada", "Scripted", contexts[0].run_id), ("ada", "Other", contexts[1].run_id)]
    assert told == {1: "Scripted", 2: "Other"}


def test_on_a_whole_gateway_the_tags_name_them():
    """
    Where no view attributes orders, their tags say strategy, user and run, after the strategy's own.
    """

    async def tagged(strategy):
        await strategy.trader.place(order(1, tags=("mine",)))

    async def test():
        ada = hotplug.UserExecutionContext("ada")
        broker = await paper()
        report = await run_strategy(Scripted({0: tagged}), broker, market(), context=ada)
        anonymous = await run_strategy(Scripted({0: 1}), broker, market())
        return ada, report, anonymous

    ada, report, anonymous = asyncio.run(test())

    assert report.orders[0].tags == ("mine", "strategy:Scripted", "user:ada", f"run:{ada.run_id}")
    assert anonymous.orders[0].tags == ("strategy:Scripted", f"run:{anonymous.run}")


# -- each other's orders -----------------------------------------------------------------------------


def test_anothers_order_can_be_neither_cancelled_nor_taken_over():
    """
    An order of another run is not found, its id is taken, and it stays open; so does one placed by hand.
    """
    errors = []

    async def placing(strategy):
        await strategy.trader.place(resting(client_order_id="X"))

    async def reaching(strategy):
        for attempt in (
            strategy.trader.cancel(OrderRef(client_order_id="X")),
            strategy.trader.place(resting(client_order_id="X")),
            strategy.trader.place(resting(client_order_id="HAND", reduce_only=True)),
            strategy.trader.cancel(OrderRef(client_order_id="HAND")),
        ):
            try:
                await attempt
            except hotplug.BrokerError as error:
                errors.append(type(error))
        strategy.open = {each.client_order_id for each in await strategy.broker.get_open_orders()}

    async def test():
        broker = await paper()
        await broker.open_account("ours")
        await broker.place_order(resting(client_order_id="HAND", account="ours"))
        thief = Scripted({2: reaching})
        thief.broker = broker
        reports = await together(broker, (Scripted({0: placing}), market()), (thief, market()))
        return thief, reports, [each.client_order_id for each in await broker.get_open_orders()]

    thief, reports, left = asyncio.run(test())

    assert errors == [OrderNotFound, DuplicateClientOrderId, DuplicateClientOrderId, OrderNotFound]
    assert thief.open == {"X", "HAND"}
    assert [len(report.orders) for report in reports] == [1, 0]
    assert left == ["HAND"]


def test_the_same_order_twice_is_one_still():
    """
    A run may send its own request again, as ever.
    """

    async def twice(strategy):
        request = resting(client_order_id="X")
        first, second = await strategy.trader.place(request), await strategy.trader.place(request)
        assert first.order_id == second.order_id
        with pytest.raises(DuplicateClientOrderId):
            await strategy.trader.place(resting(client_order_id="X", reduce_only=True))
        await strategy.trader.cancel(OrderRef(client_order_id="X"))

    async def test():
        return await together(await paper(), (Scripted({0: twice}), market()))

    [report] = asyncio.run(test())
    assert report.error is None
    assert [each.status for each in report.orders] == [OrderStatus.CANCELED]


def test_who_raises_takes_nobody_along():
    """
    The orders of the one that raises are cancelled, the other's stay, and it sees the market to its end.
    """

    async def resting_then_boom(strategy):
        await strategy.trader.place(resting(client_order_id="MINE"))
        raise SystemExit("boom")

    async def resting_on(strategy):
        await strategy.trader.place(resting(client_order_id="OTHERS"))

    async def look(strategy):
        strategy.open = [each.client_order_id for each in await strategy.broker.get_open_orders()]

    async def test():
        broker = await paper()
        good = Scripted({1: resting_on, 5: look})
        good.broker = broker
        bad, fine = await together(broker, (Scripted({1: resting_then_boom}), market()), (good, market()))
        return good, bad, fine

    good, bad, fine = asyncio.run(test())

    assert (repr(bad.error), len(bad.equity)) == ("SystemExit('boom')", 2)
    assert (fine.error, len(fine.equity), good.open) == (None, 12, ["OTHERS"])
