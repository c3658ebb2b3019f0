"""Several strategies on one account, and the market that they share."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hotplug.market import Bar, OrderRequest, OrderType, Side, TimeInForce
from hotplug.strategies import Strategy, run_strategy
from hotplug_broker_paper import PaperBroker

DAY = datetime(2024, 1, 2, tzinfo=UTC)
D = Decimal


def bar(number, price=100, symbol="A"):
    price = D(price)
    return Bar(
        symbol=symbol,
        time=DAY + timedelta(days=number),
        open=price,
        high=price + 2,
        low=price - 2,
        close=price + 1,
        volume=1000,
    )


def market(symbol="A", days=12, first=0):
    return [bar(day, 100 + day * day % 17, symbol) for day in range(first, days)]


def order(qty, symbol="A", **changes):
    side = Side.BUY if qty > 0 else Side.SELL
    return OrderRequest(symbol=symbol, side=side, qty=D(abs(qty)), **changes)


def resting(**changes):
    return order(1, type=OrderType.LIMIT, price=D(1), tif=TimeInForce.GTC, **changes)


class Scripted(Strategy):
    """At each bar places what its script says, then notes what it holds."""

    def __init__(self, script=(), symbol="A"):
        self.script, self.symbol = dict(script), symbol
        self.seen, self.told, self.held = 0, [], []

    async def on_bar(self, bar):
        deed = self.script.get(self.seen)
        self.seen += 1
        if callable(deed):
            await deed(self)
        elif deed:
            await self.trader.place(order(deed, self.symbol))
        self.held.append(self.trader.position(self.symbol))

    def on_fill(self, fill):
        self.told.append((fill.side.value, fill.symbol, fill.qty, fill.price, fill.time))


async def paper(**settings):
    broker = PaperBroker(liquidity="unlimited", allow_short=True, **settings)
    await broker.connect()
    return broker


async def streamed(bars):
    for each in bars:
        await asyncio.sleep(0)
        yield each


async def together(broker, *pairs, account="ours"):
    """The reports of runs of strategies over bars, all at once on one account."""
    async with asyncio.timeout(10):
        return await asyncio.gather(
            *(run_strategy(strategy, broker, bars, account=account) for strategy, bars in pairs)
        )


async def until(true):
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 - it is the same loop that makes it true
            await asyncio.sleep(0)


def came_of(strategy, report):
    """All that a strategy could see, and what the report says."""
    assert report.error is None
    held = [
        (each.qty, each.avg_price and round(each.avg_price, 9), round(each.realized_pnl, 9))
        for each in strategy.held
    ]
    return strategy.told, held, report.equity, [(o.symbol, o.qty, o.status) for o in report.orders]
