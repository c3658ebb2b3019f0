"""How a gateway comes and goes."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
import time
import warnings
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from hotplug.errors import BrokerError, GatewayNotReady
from hotplug.market import Capability, GatewayStatus, OrderAck, OrderRef, StatusChange
from hotplug.testing._brokers._story import claim_story
from hotplug.testing._brokers._world import BrokerWorld, needs
from hotplug.testing._suite import claim, refused

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from hotplug.brokers import IBrokerGateway

__all__ = ["LifeClaims"]

FEW: Final = 5
TURNS: Final = 10
BEAT: Final = 0.002
GONE: Final = frozenset({GatewayStatus.DISCONNECTED, GatewayStatus.FAILED, GatewayStatus.CREATED})


class LifeClaims(BrokerWorld):
    """It connects, disconnects, and leaves nothing behind."""

    def test_it_connects_as_often_as_it_is_told(self) -> None:
        """Connecting and disconnecting twice is as good as once, and can be done again."""

        async def test() -> None:
            broker = self.make_broker()
            await broker.disconnect()
            for _ in range(2):
                await broker.connect(self.soon)
                await broker.connect(self.soon)
                claim(broker.info.status is GatewayStatus.READY, "connect() returns when the status is READY")
                claim(broker.info.healthy, "a connected gateway reports that it is healthy")
                await broker.disconnect()
                await broker.disconnect()
                status = broker.info.status
                claim(
                    status is GatewayStatus.DISCONNECTED,
                    f"disconnect() must end in DISCONNECTED, not {status}",
                )
                claim(not broker.info.healthy, "a disconnected gateway is not healthy")

        self.run(test())

    def test_connecting_at_once_is_connecting_once(self) -> None:
        """Several calls of ``connect`` at the same time all return when it is READY."""

        async def test() -> None:
            broker = self.make_broker()
            if self.venue_can("delay"):
                await self.ask_venue("delay", self.short / 10)
            states = await asyncio.gather(*(self._status_after_connect(broker) for _ in range(FEW)))
            claim(set(states) == {GatewayStatus.READY}, f"connect() returned when it was {states}, not READY")
            await broker.disconnect()

        self.run(test())

    async def _status_after_connect(self, broker: IBrokerGateway) -> GatewayStatus:
        await broker.connect(self.soon)
        return broker.info.status

    def test_its_life_follows_the_published_table(self) -> None:
        """Each change of state is an event, from CREATED on, and one that the table allows."""

        async def test() -> None:
            broker = self.make_broker()
            needs(broker, Capability.STREAM)
            stream = broker.events()
            await broker.connect(self.soon)
            await broker.disconnect()
            events = [event async for event in stream]
            claim_story(events)
            changes = [each.payload for each in events if isinstance(each.payload, StatusChange)]
            states = [GatewayStatus.CREATED, *(change.new for change in changes)]
            claim([change.old for change in changes] == states[:-1], f"a change is missing: {changes}")
            claim(GatewayStatus.READY in states, "it was READY on the way")
            claim(states[-1] is GatewayStatus.DISCONNECTED, "and the stream ends when it is DISCONNECTED")

        self.run(test())

    def test_a_connect_without_time_fails_cleanly(self) -> None:
        """A ``connect`` whose time has run out raises; nothing is half open, and the next one works."""

        async def test() -> None:
            broker = self.make_broker()
            await refused(broker.connect(0.0), BrokerError, "connect(0)")
            claim(broker.info.status in GONE, f"after that it is {broker.info.status}")
            with suppress(BrokerError):
                await broker.connect(1e-6)
            await self._works(broker)

        self.run(test())

    def test_a_failed_connect_can_be_tried_again(self) -> None:
        """Where the venue refuses, ``connect`` raises a `BrokerError`; no order is taken; the next works."""

        async def test() -> None:
            broker = self.make_broker()
            self.needs_faults("refuse_connection")
            await self.ask_venue("refuse_connection")
            await refused(broker.connect(self.soon), BrokerError, "connecting to a venue that refuses")
            claim(broker.info.status in GONE, f"after that it must be FAILED, not {broker.info.status}")
            error = await refused(broker.place_order(self.request()), GatewayNotReady, "placing after that")
            claim(error.outcome == "NOT_SENT", f"nothing was sent, so NOT_SENT, not {error.outcome}")
            await self._works(broker)

        self.run(test())

    async def _works(self, broker: IBrokerGateway) -> None:
        async with self.connected(broker):
            claim(broker.info.status is GatewayStatus.READY, f"it is {broker.info.status}, not READY")
            await broker.cancel_order(await self.placed(broker))

    def test_disconnecting_awaits_what_is_in_flight(self) -> None:
        """Orders that are being sent get their answer before the line is closed; none is UNKNOWN by it."""

        async def test() -> None:
            broker = self.make_broker()
            await broker.connect(self.soon)
            await broker.cancel_order(await self.placed(broker))  # what is asked once was asked
            if self.venue_can("delay"):
                await self.ask_venue("delay", self.short / 10)
            requests = [self.resting() for _ in range(FEW)]
            calls = [asyncio.create_task(broker.place_order(each, deadline=self.soon)) for each in requests]
            await self.turns(TURNS)
            await broker.disconnect(deadline=self.soon)
            answers = await asyncio.gather(*calls, return_exceptions=True)
            await broker.connect(self.soon)
            left = {each.client_order_id for each in await broker.get_open_orders()}
            for request, answer in zip(requests, answers, strict=True):
                self._was_told(request.client_order_id in left, answer)
            await broker.cancel_all(deadline=self.soon)
            await broker.disconnect()

        self.run(test())

    def _was_told(self, stands: bool, answer: object) -> None:
        if isinstance(answer, BrokerError):
            claim(answer.outcome != "UNKNOWN", f"disconnect() did not wait for it: {answer!r}")
            claim(not stands, f"it stands at the venue, and yet its caller was told {answer!r}")
        else:
            claim(isinstance(answer, OrderAck), f"place_order() gave {answer!r}")
            claim(stands, "an order that was acknowledged is gone after a disconnect")

    def test_open_orders_stay_at_the_venue(self) -> None:
        """Disconnecting cancels nothing: connected again, it finds its order as it was."""

        async def test() -> None:
            broker = self.make_broker()
            async with self.connected(broker):
                ref = await self.placed(broker)
                before = await broker.get_order(ref)
            async with self.connected(broker):
                after = await broker.get_order(OrderRef(client_order_id=ref.client_order_id))
                claim(after.status is before.status, f"it was {before.status}, and is {after.status}")
                claim(after.order_id == before.order_id, "it has another id at the venue now")
                await broker.cancel_order(ref)

        self.run(test())

    def test_nothing_is_left_behind(self) -> None:
        """After ``disconnect`` there are no more tasks, threads or sockets, nor coroutines never awaited."""

        async def test() -> None:
            async with self._all_clean():
                await self._lives_once()  # what is made once per process is made now
                threads, sockets = set(threading.enumerate()), _sockets()
                tasks = asyncio.all_tasks()
                await self._lives_once()
                await self._is_gone(tasks, threads, sockets)

        self.run(test())

    async def _lives_once(self) -> None:
        broker = self.make_broker()
        await broker.connect(self.soon)
        refs = [await self.placed(broker) for _ in range(2)]
        late = asyncio.create_task(broker.place_order(self.resting(), deadline=self.soon))
        await asyncio.sleep(0)
        late.cancel()
        await asyncio.wait({late})
        await asyncio.gather(broker.cancel_order(refs[0]), broker.get_positions(), broker.health())
        await broker.cancel_all()
        await broker.disconnect()

    async def _is_gone(
        self, tasks: set[asyncio.Task[Any]], threads: set[threading.Thread], sockets: set[int]
    ) -> None:
        left: list[str] = []

        async def none_left() -> bool:
            left[:] = [
                *(f"task {task.get_name()}" for task in asyncio.all_tasks() - tasks),
                *(f"thread {thread.name}" for thread in set(threading.enumerate()) - threads),
                *(f"socket {number}" for number in _sockets() - sockets),
            ]
            return not left

        try:
            await self.until(none_left, "")
        except AssertionError:
            raise AssertionError(f"this is left after disconnect(): {', '.join(left)}") from None

    @asynccontextmanager
    async def _all_clean(self) -> AsyncGenerator[None]:
        """Fail for what Python itself complains of afterwards."""
        complaints: list[str] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: complaints.append(str(context)))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
            gc.collect()
            await asyncio.sleep(0)
        loop.set_exception_handler(None)
        complaints += [str(each.message) for each in caught if _is_a_leak(each.category)]
        claim(not complaints, "Python complains:\n  " + "\n  ".join(complaints))

    def test_it_keeps_nobody_waiting(self) -> None:
        """While it works, everything else on its event loop goes on: nothing in it blocks."""

        async def test() -> None:
            pulse = _Pulse()
            beat = asyncio.create_task(pulse.beat())
            async with self.connected() as broker:
                ref = await self.placed(broker)
                await broker.snapshot()
                await broker.cancel_order(ref)
            pulse.feel()
            beat.cancel()
            longest = pulse.longest
            why = "blocking calls belong into a SyncBrokerGateway"
            claim(longest < self.longest_pause, f"nothing else ran for {longest:.3g} s: {why}")

        self.run(test())


class _Pulse:
    """Feels how long its event loop did nothing else."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._last = time.monotonic()

    async def beat(self) -> None:
        while True:
            self.feel()
            await asyncio.sleep(BEAT)

    def feel(self) -> None:
        now = time.monotonic()
        self.longest = max(self.longest, now - self._last)
        self._last = now


def _sockets() -> set[int]:
    """The open sockets of Python's own, wherever they come from."""
    gc.collect()
    # By type: isinstance would ask dead weak references, too, what they are.
    found = [each for each in gc.get_objects() if issubclass(type(each), socket.socket)]
    return {id(each) for each in found if each.fileno() != -1}


def _is_a_leak(category: type[Warning]) -> bool:
    return issubclass(category, (ResourceWarning, RuntimeWarning))
