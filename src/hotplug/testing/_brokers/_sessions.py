"""What holds between two gateways to one venue, and between two users of one gateway."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from hotplug.brokers import ReplacePolicy
from hotplug.brokers._hosting._view import view_of
from hotplug.brokers._settings import Seat
from hotplug.brokers._template._handover import Handover
from hotplug.errors import GatewayReplaced, OrderNotFound, PermissionDenied
from hotplug.market import Attribution, CancelScope, Capability, Order, OrderChange, OrderRef, OrderStatus
from hotplug.testing._brokers._streams import end_of
from hotplug.testing._brokers._world import BrokerWorld, needs, template_of
from hotplug.testing._suite import claim, refused

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from hotplug.brokers import IBrokerGateway

__all__ = ["SessionClaims"]


class SessionClaims(BrokerWorld):
    """What one session placed the next one finds; what one user has no other one sees."""

    # -- two gateways ------------------------------------------------------------------------------

    @asynccontextmanager
    async def handed_over(self) -> AsyncGenerator[tuple[IBrokerGateway, IBrokerGateway]]:
        """Two gateways to one venue: the first has placed orders, and the second is connected after that."""
        first = self.make_broker()
        second = self.second()
        concurrent = getattr(first, "concurrent_sessions", True)
        await first.connect(self.soon)
        try:
            for _ in range(2):
                await self.placed(first)
            await first.cancel_order(await self.placed(first))
            if not concurrent:
                await first.disconnect()
            async with self.connected(second):
                yield first, second
        finally:
            await first.connect(self.soon)
            await first.cancel_all(CancelScope.ALL, deadline=self.soon)
            await first.disconnect()

    def test_a_second_gateway_finds_every_open_order(self) -> None:
        """Connected means synchronised: every order open at the venue, and no other, is known by then."""

        async def test() -> None:
            async with self.handed_over() as (first, second):
                placed = _names(await first.get_open_orders())
                known = _names(await second.get_open_orders())
                claim(known == placed, f"open are {placed}; when it was READY it knew {known}")
                shot = await second.snapshot()
                claim(
                    _names(shot.orders or ()) == placed, f"open are {placed}, the snapshot has {shot.orders}"
                )

        self.run(test())

    def test_what_others_placed_is_left_alone(self) -> None:
        """What it did not place is EXTERNAL: ``cancel_all`` leaves it alone, ``cancel_order`` cancels it."""

        async def test() -> None:
            async with self.handed_over() as (_, second):
                results = await second.cancel_all()
                claim(results == (), f"cancel_all() is for our own orders, but it cancelled {results}")
                found = await second.get_open_orders()
                claim(len(found) == 2, f"two orders of others are open, and it has {found}")
                origins = {str(each.origin) for each in found}
                claim(origins == {"EXTERNAL"}, f"orders of others are EXTERNAL, not {origins}")
                ended = await second.cancel_order(found[0].ref)
                gone = {OrderStatus.CANCELED, OrderStatus.PENDING_CANCEL}
                claim(ended.status in gone, f"cancelled by name, it is {ended.status}")

        self.run(test())

    def test_a_next_generation_takes_over(self) -> None:
        """Handed over on one book, each open order is still ours; the old gate is shut, and streams go on."""

        async def test() -> None:
            old = template_of(self.make_broker())
            new = template_of(self.second())
            await old.connect(self.soon)
            refs = [await self.placed(old) for _ in range(2)]
            before = await old.get_open_orders()
            stream = old.events()
            new.attach(old.book, None)
            change = Handover(old, new, ReplacePolicy.HANDOVER, self.soon)
            await change.begin()
            change.commit()
            claim(new.generation == old.generation + 1, f"{old.generation}, then {new.generation}")
            after = await new.get_open_orders()
            claim(_names(after) == _names(before), f"open were {before}, and are {after}")
            origins = {str(each.origin) for each in after}
            claim(origins == {"OWN"}, f"they are ours as before, not {origins}")
            error = await refused(old.place_order(self.resting()), GatewayReplaced, "placing at the old one")
            claim(error.outcome == "NOT_SENT", f"its gate is shut: NOT_SENT, not {error.outcome}")
            refs.append(await self.placed(new))
            await self.claim_sent_once(*(str(ref.client_order_id) for ref in refs))
            await old.disconnect()
            await new.cancel_all(deadline=self.soon)
            events = await self.events_until(stream, end_of(refs[-1]))
            claim(events[-1].generation == new.generation, f"events of {events[-1].generation}")
            await new.disconnect()

        self.run(test())

    # -- two users ---------------------------------------------------------------------------------

    @asynccontextmanager
    async def two_users(self) -> AsyncGenerator[tuple[IBrokerGateway, IBrokerGateway]]:
        """Views of one broker, for the users of its two accounts."""
        if self.accounts is None:
            pytest.skip('needs accounts = ("A", "B"): two accounts that it trades')
        async with self.connected() as broker:
            ada, bob = (
                view_of(broker, Seat(frozenset({account}), Attribution(user=user, account=account)))
                for account, user in zip(self.accounts, ("ada", "bob"), strict=True)
            )
            yield ada, bob
            await broker.cancel_all()

    def test_a_user_sees_only_what_is_his(self) -> None:
        """Orders, positions, money, snapshots and events of one account are not there for another's user."""

        async def test() -> None:
            async with self.two_users() as (ada, bob):
                ref = await self.placed(ada)
                mine = await ada.get_order(ref)
                claim(mine.account in accounts_of(ada), f"it was placed on {mine.account}")
                claim(mine.attribution.user == "ada", f"it was placed for {mine.attribution}")
                for name in (ref, OrderRef(order_id=mine.order_id or ref.client_order_id)):
                    await refused(bob.get_order(name), OrderNotFound, "asking for another's order")
                claim(await bob.get_open_orders() == (), "he sees an order of hers")
                for view in (ada, bob):
                    _claim_only(view, await view.get_open_orders())
                    _claim_only(view, await view.get_fills())
                    _claim_only(view, await view.get_positions())
                    _claim_only(view, await view.get_balances())
                    shot = await view.snapshot()
                    for part in (shot.orders, shot.fills, shot.positions, shot.balances):
                        _claim_only(view, part or ())

        self.run(test())

    def test_a_user_touches_only_what_is_his(self) -> None:
        """Another's order cannot be cancelled, by name or with all, nor changed; her account is not his."""

        async def test() -> None:
            async with self.two_users() as (ada, bob):
                ref = await self.placed(ada)
                await refused(bob.cancel_order(ref), OrderNotFound, "cancelling another's order")
                if Capability.MODIFY in bob.info.capabilities:
                    change = OrderChange(qty=self.qty * 2)
                    await refused(bob.modify_order(ref, change), OrderNotFound, "changing another's order")
                for scope in CancelScope:
                    results = await bob.cancel_all(scope)
                    claim(results == (), f"his cancel_all({scope}) cancelled {results}")
                hers = self.resting(account=accounts_of(ada)[0])
                await refused(bob.place_order(hers), PermissionDenied, "placing on another's account")
                left = await ada.get_open_orders()
                claim([each.client_order_id for each in left] == [ref.client_order_id], f"left is {left}")

        self.run(test())

    def test_users_may_use_the_same_id(self) -> None:
        """Two users' orders under one client id are two orders: neither learns of the other's."""

        async def test() -> None:
            async with self.two_users() as (ada, bob):
                hers = self.resting()
                his = replace(hers, qty=self.qty * 2)
                ref = OrderRef(client_order_id=hers.client_order_id)
                await ada.place_order(hers)
                await bob.place_order(his)
                quantities = [(await view.get_order(ref)).qty for view in (ada, bob)]
                claim(
                    quantities == [hers.qty, his.qty], f"they asked for 1 and 2 times, and got {quantities}"
                )
                await bob.cancel_order(ref)
                left = (await ada.get_order(ref)).status
                claim(left is OrderStatus.NEW, f"his cancel made hers {left}")

        self.run(test())

    def test_a_user_hears_only_what_is_his(self) -> None:
        """A user's stream tells of no order, fill, position or balance of another account."""

        async def test() -> None:
            async with self.two_users() as (ada, bob):
                needs(bob, Capability.STREAM)
                stream = bob.events()
                await ada.cancel_order(await self.placed(ada))
                ref = await self.placed(bob)
                await bob.cancel_order(ref)
                events = await self.events_until(stream, end_of(ref))
                _claim_only(bob, (each.payload for each in events if hasattr(each.payload, "account")))
                orders = {each.payload.client_order_id for each in events if isinstance(each.payload, Order)}
                claim(orders == {ref.client_order_id}, f"he heard of {orders}")

        self.run(test())


def accounts_of(view: IBrokerGateway) -> tuple[str, ...]:
    """The accounts of a view."""
    accounts: tuple[str, ...] = getattr(view, "accounts", ())
    return accounts


def _claim_only(view: IBrokerGateway, things: Iterable[Any]) -> None:
    mine = accounts_of(view)
    others = [each for each in things if each.account not in mine]
    claim(not others, f"who has {mine} was shown {others}")


def _names(orders: Iterable[Order]) -> list[tuple[object, ...]]:
    """What tells orders apart, and what they are; by the venue's id where it has one."""
    return sorted(
        (each.order_id or each.client_order_id or "", str(each.side), each.symbol, each.qty, each.price or 0)
        for each in orders
    )
