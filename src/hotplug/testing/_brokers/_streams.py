"""What the streams tell."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

from hotplug.brokers._orders._book import Book
from hotplug.market import Capability, Gap, Order, OrderStatus, Snapshot
from hotplug.testing._brokers._story import claim_story
from hotplug.testing._brokers._world import BrokerWorld, needs, template_of
from hotplug.testing._suite import claim

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from hotplug.brokers import IBrokerGateway
    from hotplug.market import BrokerEvent, EventPayload, OrderRef

__all__ = ["StreamClaims"]

KEPT: Final = 8


class StreamClaims(BrokerWorld):
    """Everything is told, in order, and a reader may come back."""

    async def lived(
        self, broker: IBrokerGateway, stream: AsyncIterator[BrokerEvent]
    ) -> tuple[OrderRef, list[BrokerEvent]]:
        """An order that was placed and cancelled, and what *stream* told of it."""
        ref = await self.placed(broker)
        await broker.cancel_order(ref)
        return ref, await self.events_until(stream, end_of(ref))

    def test_events_tell_the_life_of_an_order(self) -> None:
        """The stream tells each state of an order, in an order of states that the published table allows."""

        async def test() -> None:
            async with self.connected() as broker:
                needs(broker, Capability.STREAM)
                stream = broker.events()
                _, events = await self.lived(broker, stream)
                generation = broker.info.generation
            claim_story(events)
            states = [each.payload.status for each in events if isinstance(each.payload, Order)]
            begins = {OrderStatus.NEW, OrderStatus.PENDING_NEW}
            claim(states[0] in begins, f"it must begin as NEW, not {states[0]}")
            claim(OrderStatus.NEW in states, f"it was NEW on the way: {states}")
            told = {each.generation for each in events}
            claim(told == {generation}, f"it is generation {generation}, and its events say {told}")

        self.run(test())

    def test_a_stream_goes_on_after_a_cursor(self) -> None:
        """A reader that resumes after any event reads what came next, without a gap and nothing twice."""

        async def test() -> None:
            async with self.connected() as broker:
                needs(broker, Capability.STREAM)
                ref, events = await self.lived(broker, broker.events())
                for number, event in enumerate(events[:-1], 1):
                    stream = broker.events(after=event.cursor)
                    again = await self.events_until(stream, end_of(ref))
                    claim(
                        again == events[number:], f"after {event.cursor} came {again}, not {events[number:]}"
                    )

        self.run(test())

    def test_a_stream_goes_on_across_a_reconnect(self) -> None:
        """A reader that comes back after the gateway did reads on after its cursor: no gap, nothing twice."""

        async def test() -> None:
            broker = self.make_broker()
            async with self.connected(broker):
                needs(broker, Capability.STREAM)
                ref = await self.placed(broker)
                stream = broker.events()
                other = await self.placed(broker)
                seen = await self.events_until(stream, _is_new(other))
            async with self.connected(broker):
                stream = broker.events(after=seen[-1].cursor)
                await broker.cancel_all()
                is_end = end_of(ref)
                rest = await self.events_until(stream, lambda each: isinstance(each, Gap) or is_end(each))
            lost = rest[-1].payload
            claim(not isinstance(lost, Gap), f"nothing was lost, and yet it told of {lost}")
            claim_story([*seen, *rest])

        self.run(test())

    def test_a_lost_cursor_gives_a_gap_and_a_snapshot(self) -> None:
        """A cursor of nobody's gives one `Gap`, then a `Snapshot` with what is open, then what follows."""

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
                resumed = broker.events(after=second.cursor)
                await broker.cancel_all()
                for each in (stream, resumed):
                    events = await self.events_until(each, end_of(ref))
                    told = [event.payload for event in events if isinstance(event.payload, (Gap, Snapshot))]
                    claim(not told, f"after the snapshot come events, not {told}")
                    claim_story(events)

        self.run(test())

    def test_all_readers_hear_the_same(self) -> None:
        """Several readers, one of them on another thread's loop, read the same events in the same order."""

        async def test() -> None:
            async with self.connected() as broker:
                needs(broker, Capability.STREAM)
                here = [broker.events() for _ in range(2)]
                there = broker.events()
                ref = await self.placed(broker)
                elsewhere = asyncio.create_task(
                    asyncio.to_thread(asyncio.run, self.events_until(there, end_of(ref)))
                )
                await broker.cancel_order(ref)
                heard = [await self.events_until(stream, end_of(ref)) for stream in here]
                heard.append(await elsewhere)
            cursors = [[event.cursor for event in events] for events in heard]
            claim(cursors[0] == cursors[1] == cursors[2], f"they heard different things: {cursors}")

        self.run(test())

    def test_a_reader_that_is_too_slow_is_ended(self) -> None:
        """A reader that falls behind what is kept is ended: nothing is dropped unsaid, a `Gap` follows."""

        async def test() -> None:
            broker = template_of(self.make_broker())
            needs(broker, Capability.STREAM)
            broker.attach(Book(broker.broker_id, keep=KEPT), asyncio.get_running_loop())
            async with self.connected(broker):
                slow = broker.events()
                ref, _ = await self.lived(broker, broker.events())
                seen = [await self.next_event(slow)]
                for _ in range(KEPT):
                    ref, _ = await self.lived(broker, broker.events())
                rest = await self._rest(slow)
                claim_story([*seen, *rest])
                claim(
                    not any(end_of(ref)(each.payload) for each in rest),
                    "a slow reader must be ended, not be served with what is left",
                )
                first = await self.next_event(broker.events(after=[*seen, *rest][-1].cursor))
                claim(isinstance(first.payload, Gap), f"it resumes with a Gap, not with {first.payload}")

        self.run(test())

    async def _rest(self, stream: AsyncIterator[BrokerEvent]) -> list[BrokerEvent]:
        try:
            async with asyncio.timeout(min(self.soon, self.time_limit / 2)):
                return [event async for event in stream]
        except TimeoutError:
            raise AssertionError("a reader that fell too far behind must be ended") from None

    def test_a_stream_can_be_left(self) -> None:
        """A reader that gives up while it waits disturbs nobody, and may open another stream."""

        async def test() -> None:
            async with self.connected() as broker:
                needs(broker, Capability.STREAM)
                waiting = asyncio.ensure_future(anext(broker.events()))
                await asyncio.sleep(0)
                waiting.cancel()
                await asyncio.wait({waiting})
                ref, events = await self.lived(broker, broker.events())
                claim(end_of(ref)(events[-1].payload), "the other stream must go on")

        self.run(test())


def end_of(ref: OrderRef) -> Callable[[EventPayload], bool]:
    """Whether a payload is the end of that order."""
    return lambda payload: (
        isinstance(payload, Order)
        and payload.client_order_id == ref.client_order_id
        and payload.status.terminal
    )


def _is_new(ref: OrderRef) -> Callable[[EventPayload], bool]:
    return lambda payload: (
        isinstance(payload, Order)
        and payload.client_order_id == ref.client_order_id
        and payload.status is OrderStatus.NEW
    )
