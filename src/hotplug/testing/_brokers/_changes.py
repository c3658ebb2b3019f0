"""What becomes of an order that is changed: for gateways with ``MODIFY``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from hotplug.errors import BrokerError, OrderBusy, OrderNotFound
from hotplug.market import Capability, Order, OrderChange, OrderRef, OrderStatus
from hotplug.testing._brokers._world import BrokerWorld, needs
from hotplug.testing._suite import claim, claim_type, refused

if TYPE_CHECKING:
    from hotplug.brokers import IBrokerGateway

__all__ = ["ChangeClaims"]

AT_ONCE: Final = 3


class ChangeClaims(BrokerWorld):
    """A change is made in place, once, and its order stays the same order."""

    def test_a_change_is_made_in_place(self) -> None:
        """Quantity (the total) and price change; the id stays, its version is one more, ids lead to it."""

        async def test() -> None:
            async with self.connected() as broker:
                needs(broker, Capability.MODIFY)
                ref = await self.placed(broker)
                before = await broker.get_order(ref)
                wanted = OrderChange(qty=self.qty * 2, price=self.price / 4)
                after = await broker.modify_order(ref, wanted)
                stands = (after.client_order_id, after.version, after.qty, after.price, after.leaves_qty)
                asked = (ref.client_order_id, 2, wanted.qty, wanted.price, wanted.qty)
                claim(stands == asked, f"it must be {asked} now, and is {stands}")
                claim(await broker.get_open_orders() == (after,), "it must be the one order that is open")
                for order_id in {before.order_id, after.order_id} - {None}:
                    found = await broker.get_order(OrderRef(order_id=order_id))
                    claim(found == after, f"the venue's id {order_id} leads to {found}")
                ended = await broker.cancel_order(ref)
                claim(ended.status is OrderStatus.CANCELED, f"cancelled, it is {ended.status}")

        self.run(test())

    def test_a_change_is_made_at_the_venue(self) -> None:
        """What was changed is so when it, or another gateway, looks at the venue anew."""

        async def test() -> None:
            broker = self.make_broker()
            async with self.connected(broker):
                needs(broker, Capability.MODIFY)
                ref = await self.placed(broker)
                changed = await broker.modify_order(ref, OrderChange(price=self.price / 4))
            async with self.connected(broker):
                found = await broker.get_order(ref)
                same = (found.price, found.version) == (changed.price, changed.version)
                claim(same, f"it was {changed}, and is {found}")
            async with self.connected(self.make_second() or broker) as fresh:
                prices = [each.price for each in await fresh.get_open_orders()]
                claim(prices == [changed.price], f"at the venue the prices are {prices}, not {changed.price}")
            async with self.connected(broker):
                await broker.cancel_order(ref)

        self.run(test())

    def test_what_cannot_be_changed_is_refused(self) -> None:
        """Changing what has ended, or nobody knows, or into nothing, is a `BrokerError`, and not UNKNOWN."""

        async def test() -> None:
            async with self.connected() as broker:
                needs(broker, Capability.MODIFY)
                ref, ended = await self.placed(broker), await self.placed(broker)
                await broker.cancel_order(ended)
                more = OrderChange(qty=self.qty * 2)
                none = OrderRef(client_order_id="no-such-order")
                await refused(broker.modify_order(none, more), OrderNotFound, "changing no order")
                for which, change in ((ended, more), (ref, OrderChange(qty=-self.qty))):
                    error = await refused(broker.modify_order(which, change), BrokerError, f"{change}")
                    claim(error.outcome != "UNKNOWN", f"{change}: {error!r} leaves it UNKNOWN")
                left = await broker.get_order(ref)
                claim((left.qty, left.version) == (self.qty, 1), f"nothing was changed, and yet it is {left}")
                await broker.cancel_order(ref)

        self.run(test())

    def test_changes_at_once_are_made_one_by_one(self) -> None:
        """Of several changes at the same time each is made, and counted, or is `OrderBusy`, NOT_SENT."""

        async def test() -> None:
            broker = self.make_broker()
            async with self.connected(broker):
                needs(broker, Capability.MODIFY)
                ref = await self.placed(broker)
                changes = [OrderChange(qty=self.qty * (2 + number)) for number in range(AT_ONCE)]
                answers = await asyncio.gather(
                    *(broker.modify_order(ref, change) for change in changes), return_exceptions=True
                )
                made = [each for each in answers if isinstance(each, Order)]
                for each in answers:
                    if not isinstance(each, Order):
                        claim_type(each, OrderBusy, "the answer to a change during a change")
                        claim(
                            getattr(each, "outcome", None) == "NOT_SENT", f"OrderBusy is NOT_SENT: {each!r}"
                        )
                await self._stands_as(broker, ref, made)
                await broker.cancel_order(ref)

        self.run(test())

    async def _stands_as(self, broker: IBrokerGateway, ref: OrderRef, made: list[Order]) -> None:
        order = await broker.get_order(ref)
        claim(made, "one of them must be made")
        claim(order.version == 1 + len(made), f"{len(made)} changes made version {order.version}")
        claim(order.qty in {each.qty for each in made}, f"none of the changes made it {order.qty}")
