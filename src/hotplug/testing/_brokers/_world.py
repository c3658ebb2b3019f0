"""The world that the broker tests live in."""

from __future__ import annotations

import asyncio
import inspect
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar, cast

import pytest

from hotplug.brokers import BrokerGateway
from hotplug.market import Bar, Capability, OrderRef, OrderRequest, OrderType, Side, TimeInForce
from hotplug.strategies import Simulation
from hotplug.testing._brokers._faults import Faults
from hotplug.testing._brokers._story import Witness
from hotplug.testing._suite import Suite, claim

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine

    from hotplug.brokers import IBrokerGateway
    from hotplug.market import BrokerEvent, EventPayload, Order

__all__ = ["BrokerWorld", "FIRST_BAR", "ZERO", "needs", "template_of"]

T = TypeVar("T")
ZERO: Final = Decimal(0)
FIRST_BAR: Final = datetime(2024, 1, 2, tzinfo=UTC)
LOOK_AGAIN: Final = 0.005


class BrokerWorld(Suite):
    """How the tests make a broker, connect it, and what they order."""

    symbol: ClassVar[str] = "TEST"
    """What is ordered."""
    price: ClassVar[Decimal] = Decimal(100)
    """About what it costs: a limit order to buy at half of it must rest."""
    qty: ClassVar[Decimal] = Decimal(2)
    """How much is ordered; twice as much must be possible too."""
    accounts: ClassVar[tuple[str, str] | None] = None
    """Two accounts that the broker trades, if it has two."""
    soon: ClassVar[float] = 5.0
    """Seconds within which a venue that is well answers anything."""
    short: ClassVar[float] = 0.5
    """Seconds after which an answer that was lost is given up."""
    longest_pause: ClassVar[float] = 1.0
    """Seconds that a gateway may keep the event loop from everybody else; a host's watchdog has the same."""

    def make_broker(self) -> IBrokerGateway:
        """A new gateway, not connected. Called within `world`, on its loop."""
        raise NotImplementedError(f"{type(self).__name__} must define make_broker()")

    def make_second(self) -> IBrokerGateway | None:
        """Another gateway to the venue of the one made last, like a next generation, if there can be one."""
        return None

    def make_limited(self) -> IBrokerGateway:
        """A gateway with a rate window that a test can fill: at most 60 calls within at most 2 seconds."""
        return self.make_broker()

    def faults(self) -> Faults | None:
        """A hand at the venue of the broker made last; ``None``: there is none."""
        return None

    @asynccontextmanager
    async def world(self) -> AsyncGenerator[None]:
        """What must be there for one test: override it to start a server, say, and to end it."""
        yield

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """What *coroutine* returns, on an event loop of its own, within a `world` of its own."""

        async def within() -> T:
            try:
                async with self.world():
                    return await coroutine
            finally:
                coroutine.close()

        return super().run(within())

    # -- what is ordered ---------------------------------------------------------------------------

    def request(self, **changes: Any) -> OrderRequest:
        """A market order, with *changes*."""
        return replace(OrderRequest(symbol=self.symbol, side=Side.BUY, qty=self.qty), **changes)

    def resting(self, **changes: Any) -> OrderRequest:
        """An order that stays open: a limit at half the price, good till cancelled."""
        return self.request(type=OrderType.LIMIT, price=self.price / 2, tif=TimeInForce.GTC, **changes)

    def bar(self, number: int) -> Bar:
        """The bar of day *number*, around *price*."""
        price = self.price
        return Bar(
            symbol=self.symbol,
            time=FIRST_BAR + timedelta(days=number),
            open=price,
            high=price + 1,
            low=price - 1,
            close=price,
            volume=Decimal(1_000_000),
        )

    # -- brokers -----------------------------------------------------------------------------------

    @asynccontextmanager
    async def connected(
        self, broker: IBrokerGateway | None = None, *, drain: bool = True
    ) -> AsyncGenerator[IBrokerGateway]:
        """A new broker (or *broker*), connected for the length of a block; all that it tells is checked."""
        broker = self.make_broker() if broker is None else broker
        witness = Witness(broker)
        try:
            await broker.connect(self.soon)
            try:
                yield broker
            finally:
                begun = time.monotonic()
                await broker.disconnect(drain, deadline=self.soon)
            took = time.monotonic() - begun
            claim(took < self.soon, f"disconnect() took {took:.1f} s, all the time that it had: it hangs")
            await witness.finish(self.soon)
        finally:
            await witness.dismiss()

    @asynccontextmanager
    async def simulated(self) -> AsyncGenerator[tuple[IBrokerGateway, Simulation]]:
        """The same, with its market; skips the test where there is no market to feed."""
        async with self.connected() as broker:
            needs(broker, Capability.SIMULATED)
            claim(isinstance(broker, Simulation), "a SIMULATED gateway has feed(bar) and open_account(name)")
            yield broker, cast("Simulation", broker)

    def second(self) -> IBrokerGateway:
        """What `make_second` makes; skips the test where it makes none."""
        broker = self.make_second()
        if broker is None:
            pytest.skip("needs make_second(): another gateway to the venue of the first")
        return broker

    async def placed(self, broker: IBrokerGateway, **changes: Any) -> OrderRef:
        """The name of an order that was just placed, and rests."""
        ack = await broker.place_order(self.resting(**changes), deadline=self.soon)
        return OrderRef(client_order_id=ack.client_order_id)

    # -- faults ------------------------------------------------------------------------------------

    def venue_can(self, fault: str) -> bool:
        """Whether `faults` offers *fault*."""
        faults = self.faults()
        method = getattr(type(faults), fault, None)
        return method is not None and method is not getattr(Faults, fault)

    def needs_faults(self, *faults: str) -> None:
        """Skip the test unless the venue can be made to do all of these."""
        lacking = [fault for fault in faults if not self.venue_can(fault)]
        if lacking:
            pytest.skip(f"needs faults() with {', '.join(lacking)}")

    async def ask_venue(self, fault: str, *arguments: object) -> Any:
        """Have the venue do *fault*, or say what it saw."""
        answer = getattr(self.faults(), fault)(*arguments)
        return await answer if inspect.isawaitable(answer) else answer

    async def claim_sent_once(self, *ids: str) -> None:
        """Each of these orders came to the venue once; where that can be seen."""
        if self.venue_can("received"):
            received = list(await self.ask_venue("received"))
            for each in ids:
                times = received.count(each)
                claim(times == 1, f"order {each} came to the venue {times} times, not once: {received}")

    async def turns(self, number: int) -> None:
        """Let others on the loop have so many turns."""
        for _ in range(number):
            await asyncio.sleep(0)

    # -- waiting -----------------------------------------------------------------------------------

    async def until(self, condition: Callable[[], Awaitable[bool]], otherwise: str) -> None:
        """Wait until *condition* holds; fails with *otherwise* if it does not soon."""
        try:
            async with asyncio.timeout(min(self.soon, self.time_limit / 2)):
                while not await condition():  # noqa: ASYNC110 - a venue tells no Event
                    await asyncio.sleep(LOOK_AGAIN)
        except TimeoutError:
            raise AssertionError(otherwise) from None

    async def until_order(
        self, broker: IBrokerGateway, ref: OrderRef, condition: Callable[[Order], bool], otherwise: str
    ) -> Order:
        """Wait until *condition* holds of an order; the order."""
        found: list[Order] = []

        async def holds() -> bool:
            found.append(await broker.get_order(ref))
            return condition(found[-1])

        await self.until(holds, otherwise)
        return found[-1]

    async def next_event(self, stream: AsyncIterator[BrokerEvent]) -> BrokerEvent:
        """What the stream tells next; fails if it tells nothing more."""
        try:
            async with asyncio.timeout(min(self.soon, self.time_limit / 2)):
                return await anext(stream)
        except StopAsyncIteration:
            raise AssertionError("the stream ended too early") from None
        except TimeoutError:
            raise AssertionError(
                "the stream tells nothing: it must begin with the call of events()"
            ) from None

    async def events_until(
        self, stream: AsyncIterator[BrokerEvent], is_last: Callable[[EventPayload], bool]
    ) -> list[BrokerEvent]:
        """The events up to the first whose payload *is_last*."""
        events = [await self.next_event(stream)]
        while not is_last(events[-1].payload):
            events.append(await self.next_event(stream))
        return events


def needs(broker: IBrokerGateway, capability: Capability) -> None:
    """Skip the test for a gateway without *capability*."""
    if capability not in broker.info.capabilities:
        pytest.skip(f"{broker.broker_id} is not {capability}")


def template_of(broker: IBrokerGateway) -> BrokerGateway:
    """*broker*, if it is built on the template; skips the test if not."""
    if not isinstance(broker, BrokerGateway):
        pytest.skip(f"{broker.broker_id} is not built on BrokerGateway")
    return broker
