"""What happens when the line breaks, when callers give up, and when there is little time or room."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Final, TypeVar

import pytest

from hotplug.errors import BrokerError, DeadlineExceeded, OrderNotFound, RateLimited
from hotplug.market import Capability, GatewayStatus, OrderAck, OrderRef, OrderStatus, RateLimit, StatusChange
from hotplug.testing._brokers._world import BrokerWorld, needs
from hotplug.testing._suite import claim, claim_type, refused

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from hotplug.brokers import IBrokerGateway
    from hotplug.market import EventPayload, OrderRequest

__all__ = ["LineClaims"]

T = TypeVar("T")
MOST: Final = 60
LONGEST: Final = 2.0
GIVEN_UP: Final = 50
TURNS: Final = 6


class LineClaims(BrokerWorld):
    """Lines break, callers go away, time and room run out: what is told stays true."""

    # -- reconnecting ------------------------------------------------------------------------------

    def test_it_finds_its_line_again(self) -> None:
        """When the line breaks, it is not READY any more, comes back by itself, and takes orders again."""

        async def test() -> None:
            broker = self.make_broker()
            self.needs_faults("disconnect")
            async with self.connected(broker):
                needs(broker, Capability.STREAM)
                ref = await self.placed(broker)
                states = await self._broken(broker)
                claim(
                    {GatewayStatus.RECONNECTING, GatewayStatus.DEGRADED, GatewayStatus.FAILED} & set(states),
                    f"nobody was told that the line was gone: {states}",
                )
                order = await broker.get_order(ref)
                claim(order.status is OrderStatus.NEW, f"its order rests, and is {order.status} here")
                await broker.cancel_order(await self.placed(broker))
                await broker.cancel_order(ref)

        self.run(test())

    def test_nothing_is_sent_again_when_the_line_breaks(self) -> None:
        """Orders that were sent before the line broke are not sent again when it is back."""

        async def test() -> None:
            broker = self.make_broker()
            self.needs_faults("disconnect", "received")
            async with self.connected(broker):
                needs(broker, Capability.STREAM)
                ids = [str((await self.placed(broker)).client_order_id) for _ in range(3)]
                await self._broken(broker)
                await self.claim_sent_once(*ids)
                left = [each.client_order_id for each in await broker.get_open_orders()]
                claim(sorted(map(str, left)) == sorted(ids), f"placed {ids}, open {left}")
                await broker.cancel_all()
            async with self.connected(broker):
                await self.claim_sent_once(*ids)

        self.run(test())

    async def _broken(self, broker: IBrokerGateway) -> list[GatewayStatus]:
        """Break the line; the states until it is back."""
        stream = broker.events()
        await self.ask_venue("disconnect")
        events = await self.events_until(stream, _is_ready)
        return [each.payload.new for each in events if isinstance(each.payload, StatusChange)]

    # -- callers that go away ----------------------------------------------------------------------

    def test_who_gives_up_does_not_undo_the_order(self) -> None:
        """Who is cancelled while its order is being sent leaves it there: asked again, it is acknowledged."""

        async def test() -> None:
            broker = self.make_broker()
            async with self.connected(broker):
                await broker.cancel_order(await self.placed(broker))  # what is asked once was asked
                if self.venue_can("delay"):
                    await self.ask_venue("delay", self.short / 10)
                request = self.resting()
                await self._given_up(broker.place_order(request, deadline=self.soon), turns=4)
                ack = await broker.place_order(request, deadline=self.soon)
                claim(ack.client_order_id == request.client_order_id, f"it got the ack of another: {ack}")
                claim(len(await broker.get_open_orders()) == 1, "there must be one order")
                await self.claim_sent_once(request.client_order_id)
                await broker.cancel_all()

        self.run(test())

    def test_fifty_who_give_up_leave_no_mess(self) -> None:
        """Fifty callers cancelled at odd moments: each order is there once, or free; no task is left."""

        async def test() -> None:
            broker = self.make_broker()
            chance = random.Random(50)  # noqa: S311 - the same moments each time
            async with self.connected(broker):
                await broker.cancel_order(await self.placed(broker))
                before = len(asyncio.all_tasks())
                requests = [self.resting() for _ in range(GIVEN_UP)]
                for request in requests:
                    call = broker.place_order(request, deadline=self.soon)
                    await self._given_up(call, turns=chance.randrange(TURNS))
                limit = max(self.soon, self.time_limit / 3)
                for request in requests:
                    ack = await broker.place_order(request, deadline=limit)
                    claim(ack.client_order_id == request.client_order_id, f"it got the ack of another: {ack}")
                await self.claim_sent_once(*(each.client_order_id for each in requests))
                left = {each.client_order_id for each in await broker.get_open_orders()}
                claim(left == {each.client_order_id for each in requests}, f"{len(left)} are open, not 50")
                for ref in [OrderRef(client_order_id=each.client_order_id) for each in requests]:
                    await self._given_up(broker.cancel_order(ref), turns=chance.randrange(TURNS))
                await broker.cancel_all(deadline=limit)
                claim(await broker.get_open_orders() == (), "all of them can be cancelled")
                await self._no_more_tasks(before)

        self.run(test())

    async def _given_up(self, call: Coroutine[object, object, T], *, turns: int) -> None:
        task = asyncio.ensure_future(call)
        await self.turns(turns)
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled() and (error := task.exception()) is not None:
            claim_type(error, BrokerError, "what a caller is told that gives up")

    async def _no_more_tasks(self, before: int) -> None:
        async def as_before() -> bool:
            return len(asyncio.all_tasks()) <= before

        await self.until(as_before, "tasks are left of callers that gave up")

    def test_calls_may_come_from_any_loop(self) -> None:
        """Its verbs may be awaited on another event loop, in another thread."""

        async def test() -> None:
            async with self.connected() as broker:
                request = self.resting()
                ref = OrderRef(client_order_id=request.client_order_id)

                async def elsewhere() -> OrderStatus:
                    await broker.place_order(request, deadline=self.soon)
                    await broker.get_positions()
                    return (await broker.cancel_order(ref)).status

                status = await asyncio.to_thread(asyncio.run, elsewhere())
                claim(status in {OrderStatus.CANCELED, OrderStatus.PENDING_CANCEL}, f"it is {status}")
                claim(await broker.get_open_orders() == (), "what was cancelled there is open here")

        self.run(test())

    # -- time --------------------------------------------------------------------------------------

    def test_a_deadline_is_told_truthfully(self) -> None:
        """With hardly any time, an order is acknowledged, NOT_SENT and not there, or UNKNOWN and sought."""

        async def test() -> None:
            broker = self.make_broker()
            async with self.connected(broker):
                await broker.cancel_order(await self.placed(broker))  # what is asked once was asked
                if self.venue_can("delay"):
                    await self.ask_venue("delay", self.short / 25)
                for deadline in (0.0, 1e-6, 1e-4, 1e-3, 5e-3, 2e-2, self.soon):
                    request = self.resting()
                    try:
                        answer: object = await broker.place_order(request, deadline=deadline)
                    except BrokerError as error:
                        answer = error
                    await self._came_true(broker, request, answer)
                await refused(
                    broker.get_open_orders(deadline=0.0), DeadlineExceeded, "a query with deadline=0"
                )
                await broker.cancel_all()

        self.run(test())

    async def _came_true(self, broker: IBrokerGateway, request: OrderRequest, answer: object) -> None:
        ref = OrderRef(client_order_id=request.client_order_id)
        if isinstance(answer, OrderAck):
            await broker.get_order(ref)
        elif isinstance(answer, BrokerError) and answer.outcome == "NOT_SENT":
            received = list(await self.ask_venue("received")) if self.venue_can("received") else []
            claim(request.client_order_id not in received, f"it was sent, and NOT_SENT told: {answer!r}")
            await refused(broker.get_order(ref), OrderNotFound, "an order that was NOT_SENT")
        else:
            claim_type(answer, BrokerError, "the answer to an order")
            unknown = getattr(answer, "outcome", None)
            claim(unknown == "UNKNOWN", f"the venue refuses nothing here: {answer!r}")
            await self.until_order(
                broker,
                ref,
                lambda order: order.status is OrderStatus.NEW,
                f"{answer!r} was told, and it never finds out",
            )

    # -- room --------------------------------------------------------------------------------------

    def test_it_keeps_within_its_windows(self) -> None:
        """Whatever is asked at once, no more goes out than windows allow; the rest waits or is NOT_SENT."""

        async def test() -> None:
            broker = self.make_limited()
            async with self.connected(broker):
                window = await self._window(broker)
                requests = [self.resting() for _ in range(2 * window.limit)]
                calls = [
                    asyncio.create_task(broker.place_order(each, deadline=self.soon)) for each in requests
                ]
                try:
                    fullest = await self._fullest(broker, window, calls)
                    claim(
                        fullest <= window.limit, f"{fullest} of {window.limit} were used of {window.name!r}"
                    )
                    for answer in await asyncio.gather(*calls, return_exceptions=True):
                        if not isinstance(answer, OrderAck):
                            claim_type(answer, RateLimited, "the answer where there is no room")
                            outcome = getattr(answer, "outcome", None)
                            claim(outcome == "NOT_SENT", f"no room here is NOT_SENT, not {outcome}")
                    await self._arrived_within(window)
                finally:
                    await broker.cancel_all(deadline=self.time_limit / 2)

        self.run(test())

    async def _fullest(
        self, broker: IBrokerGateway, window: RateLimit, calls: list[asyncio.Task[OrderAck]]
    ) -> int:
        fullest = 0
        while not all(call.done() for call in calls):
            for each in await broker.rate_limits():
                if (each.name, each.scope) == (window.name, window.scope):
                    fullest = max(fullest, each.used)
            claim(0 <= broker.info.rate_limit_usage <= 1, "rate_limit_usage goes from 0 to 1")
            await asyncio.sleep(0.005)
        return fullest

    async def _arrived_within(self, window: RateLimit) -> None:
        """No sliding window at the venue holds more than the limit."""
        if not self.venue_can("arrivals"):
            return
        times = sorted(await self.ask_venue("arrivals"))
        for first, after in zip(times, times[window.limit :], strict=False):
            allowed = f"{window.limit} in {window.window:g} s"
            claim(
                after - first >= window.window,
                f"{window.limit + 1} orders came within {after - first:.3g} s, where {allowed} are allowed",
            )

    def test_cancels_keep_their_share(self) -> None:
        """While orders wait for room in its window, a cancel does not have to wait behind them."""

        async def test() -> None:
            broker = self.make_limited()
            async with self.connected(broker):
                window = await self._window(broker)
                if window.limit == 1:
                    pytest.skip("of a limit of 1, nothing can be kept for cancels")
                ref = await self.placed(broker)
                requests = [self.resting() for _ in range(2 * window.limit)]
                calls = [
                    asyncio.create_task(broker.place_order(each, deadline=self.soon)) for each in requests
                ]
                try:
                    await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
                    await broker.cancel_order(ref, deadline=self.soon)
                    waiting = sum(not call.done() for call in calls)
                    claim(waiting, "the cancel had to wait until every order was through")
                finally:
                    await asyncio.wait(calls)
                    await broker.cancel_all(deadline=self.time_limit / 2)

        self.run(test())

    async def _window(self, broker: IBrokerGateway) -> RateLimit:
        limits = await broker.rate_limits()
        for limit in limits:
            claim_type(limit, RateLimit, "a rate limit")
        small = [each for each in limits if each.limit <= MOST and each.window <= LONGEST]
        if not small:
            what = "declares no rate window" if not limits else "has windows that no test can fill"
            pytest.skip(f"{broker.broker_id} {what}: see make_limited()")
        return min(small, key=lambda each: each.limit / each.window)


def _is_ready(payload: EventPayload) -> bool:
    return isinstance(payload, StatusChange) and payload.new is GatewayStatus.READY
