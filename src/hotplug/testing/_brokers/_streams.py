"""What the streams tell."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING, cast

from hotplug.market import (
    GATEWAY_TRANSITIONS,
    ORDER_TRANSITIONS,
    Capability,
    Gap,
    GatewayStatus,
    Order,
    OrderStatus,
    Snapshot,
    StatusChange,
)
from hotplug.testing._brokers._world import SOON, BrokerWorld, needs
from hotplug.testing._suite import claim

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from hotplug.market import BrokerEvent, EventPayload, OrderRef

__all__ = ["StreamClaims"]


class StreamClaims(BrokerWorld):
    """Everything is told, in order, and a reader may come back."""

    async def next_event(self, stream: AsyncIterator[BrokerEvent]) -> BrokerEvent:
        """What the stream tells next; fails if it tells nothing more."""
        try:
            async with asyncio.timeout(self.time_limit / 2):
                return await anext(stream)
        except StopAsyncIteration:
            raise AssertionError("the stream ended too early") from None
        except TimeoutError:
            raise AssertionError(
                "the stream tells nothing: it must begin with the call of events()"
            ) from None

    async def until_cancelled(self, stream: AsyncIterator[BrokerEvent], ref: OrderRef) -> list[BrokerEvent]:
        """The events up to the end of the order."""
        events = [await self.next_event(stream)]
        while not _is_end_of(ref, events[-1].payload):
            events.append(await self.next_event(stream))
        return events

    def test_events_tell_the_life_of_an_order(self) -> None:
        """The stream tells each state of an order, in an order of states that the published table allows."""

        async def test() -> None:
            async with self.connected() as broker:
                needs(broker, Capability.STREAM)
                stream = broker.events()
                ref = await self.placed(broker)
                await broker.cancel_order(ref)
                events = await self.until_cancelled(stream, ref)
            states = [each.payload.status for each in events if isinstance(each.payload, Order)]
            for old, new in pairwise(states):
                claim(old is new or new in ORDER_TRANSITIONS[old], f"{old} cannot become {new}")
            claim(
                states[0] in {OrderStatus.NEW, OrderStatus.PENDING_NEW},
                f"it must begin as NEW, not {states[0]}",
            )
            cursors = [each.cursor for each in events]
            claim(len(set(cursors)) == len(cursors), f"each event needs a cursor of its own: {cursors}")

        self.run(test())

    def test_a_stream_goes_on_after_a_cursor(self) -> None:
        """A second reader that resumes after an event reads what the first one read next."""

        async def test() -> None:
            async with self.connected() as broker:
                needs(broker, Capability.STREAM)
                stream = broker.events()
                ref = await self.placed(broker)
                await broker.cancel_order(ref)
                events = await self.until_cancelled(stream, ref)
                again = await self.until_cancelled(broker.events(after=events[0].cursor), ref)
            claim(again == events[1:], f"after {events[0].cursor} came {again}, not {events[1:]}")

        self.run(test())

    def test_a_lost_cursor_gives_a_gap_and_a_snapshot(self) -> None:
        """A cursor of nobody's gives one `Gap`, then a `Snapshot` that holds what is open."""

        async def test() -> None:
            async with self.connected() as broker:
                needs(broker, Capability.STREAM)
                ref = await self.placed(broker)
                stream = broker.events(after="nobody:1")
                first, second = await self.next_event(stream), await self.next_event(stream)
                claim(isinstance(first.payload, Gap), f"a Gap must come first, not {first.payload}")
                claim(isinstance(second.payload, Snapshot), f"then a Snapshot, not {second.payload}")
                orders = cast("Snapshot", second.payload).orders or ()
                claim(
                    [each.client_order_id for each in orders] == [ref.client_order_id],
                    "it lacks the open order",
                )
                await broker.cancel_all()

        self.run(test())

    def test_its_life_follows_the_published_table(self) -> None:
        """Each change of state is an event, from CREATED on, and one that the table allows."""

        async def test() -> None:
            broker = self.make_broker()
            needs(broker, Capability.STREAM)
            stream = broker.events()
            await broker.connect(SOON)
            await broker.disconnect()
            changes = _changes(each.payload for each in [event async for event in stream])
            states = [GatewayStatus.CREATED, *(change.new for change in changes)]
            claim([change.old for change in changes] == states[:-1], f"a change is missing: {changes}")
            for change in changes:
                claim(
                    change.new in GATEWAY_TRANSITIONS[change.old], f"{change.old} cannot become {change.new}"
                )
            claim(GatewayStatus.READY in states, "it was READY on the way")
            claim(states[-1] is GatewayStatus.DISCONNECTED, "and the stream ends when it is DISCONNECTED")

        self.run(test())


def _changes(payloads: Iterable[EventPayload]) -> list[StatusChange]:
    return [each for each in payloads if isinstance(each, StatusChange)]


def _is_end_of(ref: OrderRef, payload: EventPayload) -> bool:
    if not isinstance(payload, Order):
        return False
    return payload.client_order_id == ref.client_order_id and payload.status.terminal
