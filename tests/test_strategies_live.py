"""Strategies under a host: users, gateways and halts, while their runs are under way."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

import hotplug
from hotplug.errors import DuplicateClientOrderId, Halted, NotSupported, OrderNotFound
from hotplug.market import Bar, OrderRef, OrderRequest, OrderStatus, OrderType, Side, TimeInForce
from hotplug.strategies import Strategy, run_strategy, running

DAY = datetime(2024, 1, 2, tzinfo=UTC)
ADA, BOB = hotplug.UserExecutionContext("ada"), hotplug.UserExecutionContext("bob")
BROKERS = """
[brokers.one]
plugin = "paper"
connect = true
[brokers.two]
plugin = "paper"
connect = true
settings = { cash = "500" }
[brokers.mock]
connect = true
accounts = { ada = ["M1"] }
"""


@pytest.fixture(autouse=True)
def _own_folder(monkeypatch, tmp_path):
    """Halts are kept in a folder of this test's own."""
    monkeypatch.setenv("HOTPLUG_DATA", str(tmp_path / "data"))


def bars(count=8):
    for day in range(count):
        price = Decimal(100 + day)
        yield Bar(
            symbol="A",
            time=DAY + timedelta(days=day),
            open=price,
            high=price,
            low=price,
            close=price,
            volume=1000,
        )


class Buys(Strategy):
    """Buys one at the first and at the fourth bar, and rests an order; *then* is done at the third."""

    def __init__(self, then=None):
        self.then, self.seen, self.fills = then, 0, []

    async def on_bar(self, bar):
        self.seen += 1
        order = OrderRequest(symbol="A", side=Side.BUY, qty=1, type=OrderType.MARKET)
        if self.seen in {1, 4}:
            await self.trader.place(order)
        if self.seen == 1:
            low = {"type": OrderType.LIMIT, "price": Decimal(1), "tif": TimeInForce.GTC}
            await self.trader.place(OrderRequest(symbol="A", side=Side.BUY, qty=1, **low))
        if self.seen == 3 and self.then is not None:
            await self.then()

    def on_fill(self, fill):
        self.fills.append(fill.price)


def played(test):
    """What *test* gives of a host with three brokers."""

    async def main():
        async with hotplug.Host(hotplug.Config.parse(BROKERS)) as host, asyncio.timeout(20):
            return await test(host)

    return asyncio.run(main())


def run(host, strategy, context, key="one"):
    return run_strategy(strategy, host.brokers.get(key, context), bars(), context=context)


def test_a_halt_of_one_user_stops_that_users_strategies():
    """
    Halted in the middle of a run: open orders are cancelled, the next one is refused, which ends the run.

    What is held stays held, and the strategy of the other user goes on.
    """

    async def test(host):
        halting = Buys(lambda: host.brokers.ahalt("enough", user="ada"))
        reports = await asyncio.gather(run(host, halting, ADA), run(host, Buys(), BOB))
        [held] = await host.brokers.get("one", ADA).get_positions()
        return *reports, held

    halted, other, held = played(test)

    assert isinstance(halted.error, Halted)
    assert len(halted.equity) == 4
    assert [each.status for each in halted.orders[:2]] == [OrderStatus.FILLED, OrderStatus.CANCELED]
    assert (held.account, held.qty) == ("ada", 1)
    assert (other.error, [each.qty for each in other.trades]) == (None, [1, 1])


def test_an_order_of_another_run_of_the_user_is_not_taken_over():
    """
    On one view the very same request would be the same order: another run's is refused, and stays its own.
    """
    same = OrderRequest(
        symbol="A", side=Side.BUY, qty=1, type=OrderType.LIMIT, price=Decimal(1), client_order_id="X"
    )
    errors = []

    class First(Strategy):
        async def on_bar(self, bar):
            await self.trader.place(same)

    class Second(Strategy):
        seen = 0

        async def on_bar(self, bar):
            self.seen += 1
            attempts = {2: self.trader.place, 3: lambda _: self.trader.cancel(OrderRef(client_order_id="X"))}
            if attempt := attempts.get(self.seen):
                try:
                    await attempt(same)
                except hotplug.BrokerError as error:
                    errors.append(type(error))

    async def test(host):
        return await asyncio.gather(run(host, First(), ADA), run(host, Second(), ADA))

    first, second = played(test)

    assert errors == [DuplicateClientOrderId, OrderNotFound]
    assert ([len(each.orders) for each in (first, second)], first.error, second.error) == ([1, 0], None, None)


def test_one_user_over_several_gateways():
    """
    A user's strategies on two gateways at once have each an own account, money and fills there.
    """

    async def test(host):
        strategies = [Buys(), Buys()]
        runs = (run(host, each, ADA, key) for each, key in zip(strategies, ("one", "two"), strict=True))
        return strategies, await asyncio.gather(*runs)

    strategies, reports = played(test)

    assert [report.capital for report in reports] == [100_000, 500]
    assert [each.fills for each in strategies] == [[101, 104], [101, 104]]
    assert [report.orders[0].attribution.user for report in reports] == ["ada", "ada"]


def test_a_gateway_with_a_market_of_its_own_is_not_fed():
    """
    The mock broker makes its own market: bars are not played to it, which is said before anything runs.
    """

    async def test(host):
        with pytest.raises(NotSupported, match="mock is not simulated"):
            await run(host, Buys(), ADA, "mock")
        return running()

    assert played(test) == ()


def test_equity_can_be_watched_while_it_runs():
    """
    Who looks at the runs under way sees for whom each is, and what its equity is so far.
    """
    seen = []

    async def look():
        seen.extend((run.context.user_id, run.equity(), run.equity(2)) for run in running())

    async def test(host):
        await asyncio.gather(run(host, Buys(look), ADA))

    played(test)

    equity = (100_000, 100_000, 100_001)
    assert seen == [("ada", equity, equity[1:])]
