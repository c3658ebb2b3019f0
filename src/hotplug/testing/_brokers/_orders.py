"""What becomes of orders, with or without a market."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from hotplug.errors import BrokerError, DuplicateClientOrderId, GatewayNotReady, OrderNotFound
from hotplug.market import Order, OrderRef, OrderRequest, OrderStatus, OrderType
from hotplug.testing._brokers._world import SOON, ZERO, BrokerWorld
from hotplug.testing._suite import claim, refused

__all__ = ["OrderClaims"]


class OrderClaims(BrokerWorld):
    """Orders are accepted once, found, refused for certain, and cancelled."""

    def test_it_takes_no_orders_before_it_is_connected(self) -> None:
        """Placing without a connection raises `GatewayNotReady`, NOT_SENT."""

        async def test() -> None:
            broker = self.make_broker()
            error = await refused(broker.place_order(self.request()), GatewayNotReady, "placing unconnected")
            claim(error.outcome == "NOT_SENT", f"nothing was sent, so NOT_SENT, not {error.outcome}")
            await broker.connect(SOON)
            await broker.disconnect()
            await refused(broker.place_order(self.request()), GatewayNotReady, "placing after disconnect()")

        self.run(test())

    def test_it_takes_nothing_but_order_requests(self) -> None:
        """Something else than an `OrderRequest` is a `TypeError`, as a float for money is."""

        async def test() -> None:
            async with self.connected() as broker:
                loose = cast("OrderRequest", {"symbol": self.symbol, "side": "BUY", "qty": 1.5})
                await refused(broker.place_order(loose), TypeError, "placing a dict")
                claim(await broker.get_open_orders() == (), "and nothing is placed by it")

        self.run(test())

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

    def test_an_accepted_order_is_open_until_it_is_cancelled(self) -> None:
        """An order that rests is found by both its ids and among the open ones, and not after its cancel."""

        async def test() -> None:
            async with self.connected() as broker:
                request = self.resting()
                ack = await broker.place_order(request)
                claim(ack.client_order_id == request.client_order_id, "the ack must carry the client's id")
                by_ours = await broker.get_order(OrderRef(client_order_id=ack.client_order_id))
                by_theirs = await broker.get_order(OrderRef(order_id=ack.order_id or ack.client_order_id))
                claim(by_ours == by_theirs, "both ids must name the same order")
                claim(
                    by_ours in await broker.get_open_orders(), "an accepted order must be among the open ones"
                )
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

    def test_the_same_request_is_one_order(self) -> None:
        """A request sent again gets the same ack, and there is one order."""

        async def test() -> None:
            async with self.connected() as broker:
                request = self.resting()
                first, second = await broker.place_order(request), await broker.place_order(request)
                claim(first == second, f"the same request must get the same ack: {first}, then {second}")
                claim(len(await broker.get_open_orders()) == 1, "the same request twice must be one order")
                await broker.cancel_all()

        self.run(test())

    def test_a_used_id_is_refused_for_another_order(self) -> None:
        """A ``client_order_id`` with another payload is a `DuplicateClientOrderId`."""

        async def test() -> None:
            async with self.connected() as broker:
                request = self.resting()
                await broker.place_order(request)
                other = replace(request, qty=request.qty * 2)
                await refused(
                    broker.place_order(other), DuplicateClientOrderId, "another order under a used id"
                )
                claim(len(await broker.get_open_orders()) == 1, "the other order must not be placed")
                await broker.cancel_all()

        self.run(test())

    def test_an_unknown_order_is_not_found(self) -> None:
        """Asking for, or cancelling, an order that is not there is an `OrderNotFound`."""

        async def test() -> None:
            async with self.connected() as broker:
                for ref in (OrderRef(client_order_id="no such order"), OrderRef(order_id="no such order")):
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
