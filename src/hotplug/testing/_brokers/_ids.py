"""One id, one order: whoever asks again, and whenever."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from hotplug.errors import BrokerError, DeadlineExceeded, DuplicateClientOrderId, GatewayNotReady
from hotplug.market import OrderAck, OrderRef, OrderStatus
from hotplug.testing._brokers._world import BrokerWorld
from hotplug.testing._suite import claim, claim_type, refused

if TYPE_CHECKING:
    from hotplug.brokers import IBrokerGateway
    from hotplug.market import OrderRequest

__all__ = ["IdClaims"]

TIMES: Final = 20


class IdClaims(BrokerWorld):
    """The same request again is the same answer, and never a second order."""

    def test_the_same_request_is_one_order(self) -> None:
        """A request sent again gets the same ack, and there is one order."""

        async def test() -> None:
            async with self.connected() as broker:
                request = self.resting()
                first, second = await broker.place_order(request), await broker.place_order(request)
                claim(first == second, f"the same request must get the same ack: {first}, then {second}")
                claim(len(await broker.get_open_orders()) == 1, "the same request twice must be one order")
                await self.claim_sent_once(request.client_order_id)
                await broker.cancel_all()

        self.run(test())

    def test_the_same_request_at_once_is_one_order(self) -> None:
        """Twenty calls with the same request at the same time join: one ack for all, one order."""

        async def test() -> None:
            broker = self.make_broker()
            async with self.connected(broker):
                if self.venue_can("delay"):
                    await self.ask_venue("delay", self.short / 10)
                request = self.resting()
                calls = [broker.place_order(request, deadline=self.soon) for _ in range(TIMES)]
                acks = await asyncio.gather(*calls)
                claim(len(set(acks)) == 1, f"they must all get the same ack: {set(acks)}")
                claim(len(await broker.get_open_orders()) == 1, f"{TIMES} calls must be one order")
                await self.claim_sent_once(request.client_order_id)
                await broker.cancel_all()

        self.run(test())

    def test_an_ended_orders_id_is_still_its_own(self) -> None:
        """A request whose order has ended gets its ack again, and nothing is placed anew."""

        async def test() -> None:
            async with self.connected() as broker:
                request = self.resting()
                first = await broker.place_order(request)
                await broker.cancel_order(OrderRef(client_order_id=request.client_order_id))
                claim(await broker.place_order(request) == first, "the same request must get the same ack")
                claim(await broker.get_open_orders() == (), "and no new order")
                await self.claim_sent_once(request.client_order_id)

        self.run(test())

    def test_a_used_id_is_refused_for_another_order(self) -> None:
        """A ``client_order_id`` with another payload is a `DuplicateClientOrderId`, NOT_SENT."""

        async def test() -> None:
            async with self.connected() as broker:
                request = self.resting()
                await broker.place_order(request)
                other = replace(request, qty=request.qty * 2)
                error = await refused(
                    broker.place_order(other), DuplicateClientOrderId, "another order under a used id"
                )
                claim(error.outcome == "NOT_SENT", f"it must not be sent, so NOT_SENT, not {error.outcome}")
                claim(len(await broker.get_open_orders()) == 1, "the other order must not be placed")
                await self.claim_sent_once(request.client_order_id)
                await broker.cancel_all()

        self.run(test())

    def test_what_was_not_sent_leaves_its_id_free(self) -> None:
        """After NOT_SENT another order may have the id: unconnected, and where no time was given."""

        async def test() -> None:
            broker = self.make_broker()
            first, second = self.resting(), self.resting()
            await refused(broker.place_order(first), GatewayNotReady, "placing unconnected")
            async with self.connected(broker):
                late = broker.place_order(second, deadline=0.0)
                error = await refused(late, DeadlineExceeded, "placing with deadline=0")
                claim(error.outcome == "NOT_SENT", f"without time, NOT_SENT, not {error.outcome}")
                for request in (first, second):
                    ack = await broker.place_order(replace(request, qty=self.qty * 2))
                    order = await broker.get_order(OrderRef(client_order_id=ack.client_order_id))
                    claim(order.qty == self.qty * 2, f"the id was not free: {order}")
                    await self.claim_sent_once(request.client_order_id)
                await broker.cancel_all()

        self.run(test())

    def test_a_rejected_order_keeps_its_error(self) -> None:
        """What the venue refused is REJECTED, and stays so under that id: the same error, and no new send."""

        async def test() -> None:
            broker = self.make_broker()
            self.needs_faults("reject_next", "received")
            async with self.connected(broker):
                await self.ask_venue("reject_next")
                request = self.resting()
                error = await refused(broker.place_order(request), BrokerError, "what the venue refuses")
                claim(error.outcome == "REJECTED", f"the venue refused it: REJECTED, not {error.outcome}")
                again = await refused(broker.place_order(request), BrokerError, "the same once more")
                told, repeated = _facts(error), _facts(again)
                claim(told == repeated, f"the same error again: {told}, then {repeated}")
                await self.claim_sent_once(request.client_order_id)
                claim(await broker.get_open_orders() == (), "what was refused must not be open")
                await broker.cancel_order(await self.placed(broker))

        self.run(test())

    def test_an_order_in_doubt_is_never_sent_again(self) -> None:
        """While nobody knows what became of it, its request is UNKNOWN again, or acknowledged: not sent."""

        async def test() -> None:
            broker = self.make_broker()
            self.needs_faults("lose_answer", "received")
            async with self.connected(broker, drain=False):
                request = await self.in_doubt(broker)
                for _ in range(TIMES):
                    await self.told(broker, request)
                await self.claim_sent_once(request.client_order_id)
                await self.cleared(broker, request)
                ack = await broker.place_order(request)
                claim(
                    ack.client_order_id == request.client_order_id, f"once known, it is acknowledged: {ack}"
                )
                await self.claim_sent_once(request.client_order_id)
                await broker.cancel_all()

        self.run(test())

    def test_an_order_in_doubt_counts_as_open(self) -> None:
        """An order that may stand at the venue is among the open ones, and is found by its id."""

        async def test() -> None:
            broker = self.make_broker()
            self.needs_faults("lose_answer")
            async with self.connected(broker, drain=False):
                request = await self.in_doubt(broker)
                open_now = [each.client_order_id for each in await broker.get_open_orders()]
                claim(request.client_order_id in open_now, "an order in doubt must count as open")
                await self.cleared(broker, request)
                await broker.cancel_all()

        self.run(test())

    def test_a_doubt_is_cleared(self) -> None:
        """An order that the venue accepted unheard becomes what it is there, and can be cancelled."""

        async def test() -> None:
            broker = self.make_broker()
            self.needs_faults("lose_answer")
            async with self.connected(broker, drain=False):
                request = await self.in_doubt(broker)
                await self.cleared(broker, request)
                ref = OrderRef(client_order_id=request.client_order_id)
                order = await broker.get_order(ref)
                claim(order.status is OrderStatus.NEW, f"it rests at the venue, and is {order.status} here")
                await broker.cancel_order(ref)
                claim(await broker.get_open_orders() == (), "it can be cancelled then")

        self.run(test())

    def test_an_order_that_got_lost_is_not_made_up(self) -> None:
        """An order that never arrived is never acknowledged, and never sent again by the gateway."""

        async def test() -> None:
            broker = self.make_broker()
            self.needs_faults("lose_order", "received")
            async with self.connected(broker, drain=False):
                request = self.resting()
                await self.ask_venue("lose_order")
                lost = broker.place_order(request, deadline=self.short)
                error = await refused(lost, BrokerError, "placing an order that gets lost")
                claim(error.outcome == "UNKNOWN", f"nobody can know, so UNKNOWN, not {error.outcome}")
                before = list(await self.ask_venue("received"))
            async with self.connected(broker):
                order = await broker.get_order(OrderRef(client_order_id=request.client_order_id))
                after = list(await self.ask_venue("received"))
                claim(after == before, f"it was sent again: {before}, then {after}")
                honest = order.status in {OrderStatus.UNKNOWN, OrderStatus.REJECTED}
                claim(honest, f"it never arrived, and is {order.status} here")

        self.run(test())

    # -- doubt -------------------------------------------------------------------------------------

    async def in_doubt(self, broker: IBrokerGateway) -> OrderRequest:
        """A request whose answer got lost."""
        await self.ask_venue("lose_answer")
        request = self.resting()
        await self.told(broker, request)
        return request

    async def told(self, broker: IBrokerGateway, request: OrderRequest) -> None:
        """Place it; fails unless the answer is an ack, or an error with outcome UNKNOWN."""
        try:
            ack = await broker.place_order(request, deadline=self.short)
        except BrokerError as error:
            claim(error.outcome == "UNKNOWN", f"nobody can know, so UNKNOWN, not {error.outcome}: {error!r}")
        else:
            claim_type(ack, OrderAck, "the answer to an order")

    async def cleared(self, broker: IBrokerGateway, request: OrderRequest) -> None:
        """Wait until it is known what became of it."""
        ref = OrderRef(client_order_id=request.client_order_id)
        doubtful = {OrderStatus.UNKNOWN, OrderStatus.PENDING_NEW}
        await self.until_order(
            broker, ref, lambda order: order.status not in doubtful, "it never finds out what became of it"
        )


def _facts(error: BrokerError) -> tuple[object, ...]:
    return type(error), error.message, error.code, error.outcome, error.venue_code
