"""What happens when the market moves: for gateways that are simulated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotplug.market import OrderRef, OrderStatus, Side
from hotplug.testing._brokers._world import ZERO, BrokerWorld
from hotplug.testing._suite import claim

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal

    from hotplug.brokers import IBrokerGateway
    from hotplug.market import Balance, Fill
    from hotplug.strategies import Simulation

__all__ = ["MarketClaims"]


class MarketClaims(BrokerWorld):
    """Orders trade on bars to come, and the books stay true."""

    def test_a_market_order_trades_on_the_next_bar(self) -> None:
        """A market order fills on the next bar, within that bar's prices, and never on a past one."""

        async def test() -> None:
            async with self.simulated() as (broker, market):
                await market.feed(self.bar(0))
                ack = await broker.place_order(self.request())
                claim(await broker.get_fills() == (), "it must not trade on a bar that is past")
                fills = await market.feed(self.bar(1))
                claim(len(fills) == 1, f"one order must make one fill here, not {fills}")
                [fill] = fills
                bar = self.bar(1)
                claim(fill.client_order_id == ack.client_order_id, "the fill must name its order")
                claim(fill.qty == self.qty and bar.low <= fill.price <= bar.high, f"not on the bar: {fill}")
                claim(fill.time >= bar.time, "it cannot have traded before the bar")
                order = await broker.get_order(OrderRef(client_order_id=ack.client_order_id))
                claim(order.status is OrderStatus.FILLED, f"it must be FILLED, not {order.status}")
                claim(order.filled_qty == self.qty and order.leaves_qty == ZERO, f"filled in part? {order}")
                claim(await broker.get_fills() == fills, "get_fills() must tell what feed() told")
                after = await broker.cancel_order(order.ref)
                claim(
                    after.status is OrderStatus.FILLED, "filled first is a result of a cancel, not an error"
                )

        self.run(test())

    def test_positions_are_what_was_traded(self) -> None:
        """The snapshot agrees with the queries, and positions with the sum of the fills."""

        async def test() -> None:
            async with self.simulated() as (broker, market):
                await self._trade(broker, market)
                shot = await broker.snapshot()
                claim(shot.positions == await broker.get_positions(), "snapshot and get_positions() differ")
                claim(shot.fills == await broker.get_fills(), "snapshot and get_fills() differ")
                claim(shot.balances == await broker.get_balances(), "snapshot and get_balances() differ")
                claim(shot.orders == await broker.get_open_orders(), "snapshot and get_open_orders() differ")
                held = {each.symbol: each.qty for each in shot.positions or ()}
                traded = sum((_signed(fill) for fill in shot.fills or ()), ZERO)
                claim(held.get(self.symbol, ZERO) == traded, f"held {held}, but traded {traded}")

        self.run(test())

    def test_no_money_is_made_or_lost_on_the_way(self) -> None:
        """What left the cash is what the fills cost, fees included, to the last digit."""

        async def test() -> None:
            async with self.simulated() as (broker, market):
                await broker.cancel_order(await self.placed(broker))
                before = _total(await broker.get_balances())
                await self._trade(broker, market)
                spent = before - _total(await broker.get_balances())
                fills = await broker.get_fills()
                cost = sum((_signed(fill) * fill.price + fill.fee for fill in fills), ZERO)
                claim(spent == cost, f"the cash went down by {spent}, the trades cost {cost}")

        self.run(test())

    async def _trade(self, broker: IBrokerGateway, market: Simulation) -> None:
        """Buy twice, sell half of it."""
        for number, side in enumerate((Side.BUY, Side.BUY, Side.SELL)):
            await broker.place_order(self.request(side=side))
            await market.feed(self.bar(number))


def _signed(fill: Fill) -> Decimal:
    return fill.qty if fill.side is Side.BUY else -fill.qty


def _total(balances: Iterable[Balance]) -> Decimal:
    return sum((each.total for each in balances), ZERO)
