"""What becomes of orders, with or without a market."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast

from hotplug.errors import BrokerError, GatewayNotReady, OrderDenied, OrderNotFound
from hotplug.market import Capability, Order, OrderRef, OrderRequest, OrderStatus, OrderType
from hotplug.testing._brokers._world import ZERO, BrokerWorld, needs, template_of
from hotplug.testing._suite import claim, refused

if TYPE_CHECKING:
    from hotplug.brokers import IBrokerGateway

__all__ = ["OrderClaims"]

SEVERAL: Final = 10


class OrderClaims(BrokerWorld):
    """Orders are accepted once, found, refused for certain, and cancelled."""

    def test_it_takes_no_orders_before_it_is_connected(self) -> None:
        """Placing without a connection raises `GatewayNotReady`, NOT_SENT."""

        async def test() -> None:
            broker = self.make_broker()
            error = await refused(broker.place_order(self.request()), GatewayNotReady, "placing unconnected")
            claim(error.outcome == "NOT_SENT", f"nothing was sent, so NOT_SENT, not {error.outcome}")
            await broker.connect(self.soon)
            await broker.disconnect()
            await refused(broker.place_order(self.request()), GatewayNotReady, "placing after disconnect()")

        self.run(test())

    def test_it_takes_nothing_but_order_requests(self) -> None:
        """Something else than an `OrderRequest` is a `TypeError`, as a float for money is."""

        async def test() -> None:
            async with self.connected() as broker:
                loose = cast("OrderRequest", {"symbol": self.symbol, "side": "BUY", "qty": 1.5})
                await refused(broker.place_order(loose), TypeError, "placing a dict")
                await refused(self._place_a_float(broker), TypeError, "a float for a price")
                claim(await broker.get_open_orders() == (), "and nothing is placed by it")

        self.run(test())

    async def _place_a_float(self, broker: IBrokerGateway) -> None:
        price = cast("Any", float(self.price))
        await broker.place_order(self.request(type=OrderType.LIMIT, price=price))

    def test_a_senseless_order_is_refused_for_certain(self) -> None:
        """Orders for nothing, or a limit order without a limit, are refused; their outcome is not UNKNOWN."""

        async def test() -> None:
            async with self.connected() as broker:
                for changes in (
                    {"qty": ZERO},
                    {"qty": -self.qty},
                    {"type": OrderType.LIMIT},
                    {"type": OrderType.LIMIT, "price": -self.price},
                ):
                    error = await refused(
                        broker.place_order(self.request(**changes)), BrokerError, f"{changes}"
                    )
                    claim(error.outcome != "UNKNOWN", f"{changes}: {type(error).__name__} leaves it UNKNOWN")
                claim(await broker.get_open_orders() == (), "refused orders must not be open")

        self.run(test())

    def test_what_is_off_its_steps_is_denied_here(self) -> None:
        """A price between two ticks, or a part of a lot, is an `OrderDenied`: nothing is rounded or sent."""

        async def test() -> None:
            async with self.connected() as broker:
                needs(broker, Capability.INSTRUMENTS)
                found = await broker.get_instrument(self.symbol)
                whole = self.resting()
                off_tick = replace(whole, price=self.price / 2 + found.tick_size / 2)
                off_lot = replace(whole, qty=self.qty + found.lot_size / 2)
                for request in (off_tick, off_lot):
                    error = await refused(broker.place_order(request), OrderDenied, f"{request}")
                    claim(error.outcome == "NOT_SENT", f"{request}: NOT_SENT, not {error.outcome}")
                claim(await broker.get_open_orders() == (), "nothing of it may be open")
                if self.venue_can("received"):
                    received = list(await self.ask_venue("received"))
                    claim(whole.client_order_id not in received, "it was sent all the same")

        self.run(test())

    def test_the_venue_has_what_was_ordered(self) -> None:
        """The snapshot of the venue has an order that rests, once, under its id, and as it was asked for."""

        async def test() -> None:
            async with self.connected() as broker:
                template = template_of(broker)
                request = self.resting()
                ack = await broker.place_order(request)
                shot = await asyncio.wait_for(template._invoke(template._snapshot), self.soon)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
                await broker.cancel_order(OrderRef(client_order_id=ack.client_order_id))
                name = request.client_order_id
                found = [
                    each
                    for each in shot.orders or ()
                    if each.client_order_id == name or each.order_id in ({ack.order_id} - {None})
                ]
                is_told = shot.orders is not None  # else the venue cannot tell
                claim(
                    len(found) == is_told,
                    f"one order rests, and the snapshot has {len(found)} of it: {found}",
                )
                for each in found:
                    claim(each.client_order_id in {name, None}, f"its id is {name}: {each}")
                    _claim_as_asked(each, request)

        self.run(test())

    def test_an_accepted_order_is_open_until_it_is_cancelled(self) -> None:
        """An order that rests is found by both its ids and among the open ones, and not after its cancel."""

        async def test() -> None:
            async with self.connected() as broker:
                request = self.resting()
                ack = await broker.place_order(request)
                claim(ack.client_order_id == request.client_order_id, "the ack must carry the client's id")
                by_ours = await broker.get_order(OrderRef(client_order_id=ack.client_order_id))
                if ack.order_id is not None:
                    by_theirs = await broker.get_order(OrderRef(order_id=ack.order_id))
                    claim(by_ours == by_theirs, "both ids must name the same order")
                claim(
                    by_ours in await broker.get_open_orders(), "an accepted order must be among the open ones"
                )
                _claim_as_asked(by_ours, request)
                cancelled = await broker.cancel_order(by_ours.ref)
                claim(
                    cancelled.status in {OrderStatus.CANCELED, OrderStatus.PENDING_CANCEL},
                    f"{cancelled.status}",
                )
                again = await broker.cancel_order(by_ours.ref)
                claim(again.filled_qty == ZERO, "a second cancel is no error, and nothing traded")
                open_now = [each.client_order_id for each in await broker.get_open_orders()]
                claim(request.client_order_id not in open_now, "a cancelled order must not be open")

        self.run(test())

    def test_an_ack_means_that_the_venue_has_it(self) -> None:
        """When ``place_order`` returns, the order has come to the venue; what was cancelled is gone there."""

        async def test() -> None:
            broker = self.make_broker()
            self.needs_faults("received")
            if self.venue_can("delay"):
                await self.ask_venue("delay", self.short / 10)
            async with self.connected(broker):
                ref = await self.placed(broker)
                await self.claim_sent_once(str(ref.client_order_id))
                await broker.cancel_order(ref)

        self.run(test())

    def test_a_cancelled_order_is_gone_at_the_venue(self) -> None:
        """What was cancelled is not open any more when it, or another gateway, looks at the venue anew."""

        async def test() -> None:
            broker = self.make_broker()
            async with self.connected(broker):
                ref = await self.placed(broker)
                await broker.cancel_order(ref)
            async with self.connected(broker):
                order = await broker.get_order(ref)
                claim(order.status is OrderStatus.CANCELED, f"it must be CANCELED, not {order.status}")
            async with self.connected(self.make_second() or broker) as fresh:
                left = await fresh.get_open_orders()
                claim(left == (), f"what was cancelled is open at the venue: {left}")

        self.run(test())

    def test_orders_at_once_do_not_mix(self) -> None:
        """Many orders at the same time: each ack, and each id of the venue's, belongs to its own order."""

        async def test() -> None:
            async with self.connected() as broker:
                requests = [self.resting(qty=self.qty * (1 + number % 2)) for number in range(SEVERAL)]
                acks = await asyncio.gather(*map(broker.place_order, requests))
                named = [ack.client_order_id for ack in acks]
                claim(named == [each.client_order_id for each in requests], f"acks of others: {named}")
                ids = [ack.order_id for ack in acks if ack.order_id is not None]
                claim(len(set(ids)) == len(ids), f"two orders have one id at the venue: {ids}")
                for request in requests:
                    ref = OrderRef(client_order_id=request.client_order_id)
                    _claim_as_asked(await broker.get_order(ref), request)
                await self.claim_sent_once(*named)
                await broker.cancel_all()

        self.run(test())

    def test_an_unknown_order_is_not_found(self) -> None:
        """Asking for, or cancelling, an order that is not there is an `OrderNotFound`."""

        async def test() -> None:
            async with self.connected() as broker:
                for ref in (OrderRef(client_order_id="no-such-order"), OrderRef(order_id="no-such-order")):
                    await refused(broker.get_order(ref), OrderNotFound, f"get_order({ref})")
                    await refused(broker.cancel_order(ref), OrderNotFound, f"cancel_order({ref})")

        self.run(test())

    def test_all_open_orders_can_be_cancelled_at_once(self) -> None:
        """``cancel_all`` gives one result per open order, and none is open afterwards."""

        async def test() -> None:
            async with self.connected() as broker:
                placed = {(await broker.place_order(self.resting())).client_order_id for _ in range(3)}
                results = await broker.cancel_all()
                named = {each.client_order_id for each in results if isinstance(each, Order)}
                claim(named == placed, f"one result per order: placed {placed}, got {results}")
                claim(await broker.get_open_orders() == (), "nothing may be open after cancel_all()")

        self.run(test())

    def test_a_cancel_before_the_ack_is_remembered(self) -> None:
        """An order that is cancelled while it is being sent ends cancelled: the cancel is not lost."""

        async def test() -> None:
            broker = self.make_broker()
            self.needs_faults("delay")
            async with self.connected(broker):
                await self.ask_venue("delay", self.short / 5)
                request = self.resting()
                ref = OrderRef(client_order_id=request.client_order_id)
                placing = asyncio.create_task(broker.place_order(request, deadline=self.soon))
                await asyncio.sleep(self.short / 20)
                order = await broker.cancel_order(ref, deadline=self.soon)
                await asyncio.wait({placing})
                refused_here = not placing.cancelled() and isinstance(placing.exception(), OrderDenied)
                claim(order.status.terminal, f"its cancel returned, and it is {order.status}")
                claim(
                    refused_here or placing.exception() is None, f"placing it raised {placing.exception()!r}"
                )
                claim(await broker.get_open_orders() == (), "it is open all the same")

        self.run(test())

    def test_what_the_venue_fills_is_told(self) -> None:
        """A trade at the venue is a `Fill`, once; its order is FILLED, and a cancel says so."""

        async def test() -> None:
            broker = self.make_broker()
            self.needs_faults("fill")
            async with self.connected(broker):
                ref = await self.placed(broker)
                await self.ask_venue("fill", ref.client_order_id)
                await self._is_filled(broker, ref)

        self.run(test())

    def test_what_traded_meanwhile_is_told_when_it_is_back(self) -> None:
        """A trade that happened while the gateway was disconnected is known when it is READY again."""

        async def test() -> None:
            broker = self.make_broker()
            self.needs_faults("fill")
            async with self.connected(broker):
                ref = await self.placed(broker)
            await self.ask_venue("fill", ref.client_order_id)
            async with self.connected(broker):
                await self._is_filled(broker, ref)

        self.run(test())

    async def _is_filled(self, broker: IBrokerGateway, ref: OrderRef) -> None:
        order = await self.until_order(
            broker, ref, lambda order: order.status is OrderStatus.FILLED, "what traded is not FILLED"
        )
        claim(order.filled_qty == order.qty and order.leaves_qty == ZERO, f"filled in whole, not {order}")

        async def add_up() -> bool:  # a venue may tell that it traded before it tells the trades
            fills = [each for each in await broker.get_fills() if each.client_order_id == ref.client_order_id]
            return sum((each.qty for each in fills), ZERO) == order.qty

        await self.until(add_up, "the fills do not add up to what was traded")
        after = await broker.cancel_order(ref)
        claim(after.status is OrderStatus.FILLED, "filled first is a result of a cancel, not an error")


def _claim_as_asked(order: Order, request: OrderRequest) -> None:
    asked = (request.symbol, request.side, request.qty, request.type, request.price)
    stands = (order.symbol, order.side, order.qty, order.type, order.price)
    claim(stands == asked, f"asked for {asked}, and it stands as {stands}")
    claim(order.version == 1 and order.filled_qty == ZERO, f"nothing happened to it yet, but it is {order}")
