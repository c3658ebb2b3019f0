"""
The life of a connection.

    connect ─▶ CONNECTING ─▶ SYNCING: subscribe, snapshot, apply, replay, ask for what is missing ─▶ READY
    lost    ─▶ RECONNECTING: pause (exponential, jittered), connect, SYNCING …
    drain   ─▶ DRAINING: gate shut, everything else goes on until the last own order has ended ─▶ disconnect
    disconnect ─▶ DRAINING: gate shut, sends awaited ─▶ DISCONNECTED
"""

# pyright: reportPrivateUsage=false
# The template calls hooks, which are private names of the plugin's.

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from typing import TYPE_CHECKING, Any, Final

from hotplug._lifecycle import name_and_text
from hotplug.brokers._template._core import AT_REST
from hotplug.errors import (
    AuthenticationError,
    BrokerError,
    BrokerUnavailable,
    DeadlineExceeded,
    PermissionDenied,
)
from hotplug.market import Gap, GatewayStatus

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Iterable

    from hotplug.brokers._template._core import Core

__all__ = ["Line"]

_log = logging.getLogger("hotplug.brokers")
_SERVING: Final = frozenset({GatewayStatus.READY, GatewayStatus.DEGRADED})
CLEAN_UP: Final = 5.0
"""Seconds that ``_disconnect`` has at most."""
PARTING: Final = 0.2
"""Seconds that it has at least, where there is nothing left of the time for it."""
LOOK_AGAIN: Final = 0.05
"""Seconds between two looks whether the last order has ended: nobody is in a hurry, and days may pass."""
_JITTER: Final = random.SystemRandom()


class Line:
    """Connecting, synchronising, reconnecting, disconnecting. Lives on the gateway's home loop."""

    def __init__(self, core: Core) -> None:
        self._core: Final = core
        self._turn: asyncio.Lock | None = None
        self._turn_loop: asyncio.AbstractEventLoop | None = None
        self._reconnecting: asyncio.Task[None] | None = None
        self._missed = False
        self.drains = False
        """Whether its gate is shut for good: it stays connected as long as own orders are open."""

    def _take_turn(self) -> asyncio.Lock:
        loop = asyncio.get_running_loop()
        if self._turn is None or self._turn_loop is not loop:
            self._turn, self._turn_loop = asyncio.Lock(), loop
        return self._turn

    # -- connecting --------------------------------------------------------------------------------

    @property
    def is_up(self) -> bool:
        """Whether it serves: all calls, or all but those that a drain refuses."""
        status = self._core.status
        return status in _SERVING or (status is GatewayStatus.DRAINING and self.drains)

    async def connect(self, deadline: float | None, *, drains: bool = False) -> None:
        """
        Open the line; returns READY (or DEGRADED), or raises with the line closed.

        With *drains* it comes up DRAINING instead: for what had been so, and was taken back.
        """
        core = self._core
        until = core.gateway._until(deadline)
        async with self._within(until, "connect"), self._take_turn():
            if core.status in _SERVING:
                return
            if self.drains:
                raise core.not_ready("it drains: nobody connects it anew")
            if core.status in {GatewayStatus.RECONNECTING, GatewayStatus.SYNCING}:
                await self._stop_reconnecting()
                core.become(GatewayStatus.FAILED, "connected anew")
            self.drains = drains
            try:
                await self._open(until)
            except BaseException as error:
                self.drains = False
                await self._clean_up(error)
                raise

    async def _open(self, until: float) -> None:
        core = self._core
        core.take_free_gate()
        core.become(GatewayStatus.CONNECTING, "connect")
        core.lost = None
        core.lookups.forget()
        core.book.log.reopen()
        await self._hook("connect", until)
        await self.sync(until)
        core.pulse.start()

    async def _hook(self, name: str, until: float) -> None:
        core = self._core
        core.last_error = None
        try:
            await core.call(name, getattr(core.gateway, f"_{name}"), until=until)
        except BrokerError as error:
            core.last_error = str(error)
            raise

    @contextlib.asynccontextmanager
    async def _within(self, until: float, doing: str) -> AsyncGenerator[None]:
        """Turn running out of time into the error that says so."""
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + until - time.monotonic()):
                yield
        except TimeoutError as error:
            core = self._core
            core.last_error = f"{doing} was not finished in time"
            raise DeadlineExceeded(
                f"{core.broker_id}: {core.last_error}", code="deadline", outcome="NOT_SENT", retryable=True
            ) from error

    async def _clean_up(self, error: BaseException) -> None:
        """A connect that failed leaves no half-open line behind."""
        core = self._core
        if isinstance(error, Exception):
            core.last_error = core.last_error or str(error)
        core.buffer = None
        await _to_the_end(self._let_go())
        core.become(GatewayStatus.FAILED, name_and_text(error))

    async def _let_go(self, limit: float | None = None) -> None:
        """Call ``_disconnect``, which may not hang (for *limit* seconds at most) and may not stop us."""
        core = self._core
        try:
            async with asyncio.timeout(CLEAN_UP if limit is None else limit):
                await core.gateway._invoke(core.gateway._disconnect)
        except (KeyboardInterrupt, asyncio.CancelledError):
            raise
        except BaseException as error:  # noqa: BLE001 - the border to plugin code
            _log.warning("%s: disconnecting raised %s", core.broker_id, name_and_text(error))

    # -- synchronising -----------------------------------------------------------------------------

    async def sync(self, until: float) -> None:
        """Learn how everything stands; READY afterwards."""
        core = self._core
        core.become(GatewayStatus.SYNCING, "synchronise")
        await core.survey.reconcile(until)
        await core.pulse.see_it_answer(until)
        if core.lost is not None:
            raise BrokerUnavailable(f"{core.broker_id}: lost at once: {core.lost}", code="lost")
        core.pulse.forget()
        core.pulse.look()
        if self.drains:
            core.become(GatewayStatus.DRAINING, "synchronised; it drains")
        else:
            core.become(GatewayStatus.DEGRADED if core.bad else GatewayStatus.READY, "synchronised")
        self._tell_what_was_missed()

    def _tell_what_was_missed(self) -> None:
        """All is known again, but not what led there: readers get a gap and a snapshot."""
        if self._missed:
            self._missed = False
            log = self._core.book.log
            log.append(Gap(after=None, before=log.cursor), generation=self._core.generation, note="missed")

    # -- losing and finding it again ---------------------------------------------------------------

    def is_lost(self, reason: str) -> None:
        """The line broke: find it again."""
        core = self._core
        core.lost = reason
        core.last_error = reason
        if self.is_up:
            core.become(GatewayStatus.RECONNECTING, reason)
            core.pulse.look()
            self._reconnecting = core.task(self._reconnect(), f"{core.broker_id}: reconnect")

    async def _reconnect(self) -> None:
        core = self._core
        first, longest = core.gateway.reconnect_delays
        pause = first
        while True:
            await asyncio.sleep(_JITTER.uniform(0, pause))
            pause = min(pause * 2, longest)
            try:
                await self._open_again()
            except (AuthenticationError, PermissionDenied) as error:
                core.last_error = str(error)
                core.become(GatewayStatus.FAILED, str(error))
                return
            except BrokerError as error:
                core.last_error = str(error)
                core.buffer = None
                if core.status is GatewayStatus.SYNCING:
                    core.become(GatewayStatus.RECONNECTING, str(error))
            else:
                return

    async def _open_again(self) -> None:
        core = self._core
        until = time.monotonic() + core.gateway.default_deadline
        async with self._within(until, "reconnect"):
            await self._let_go()
            core.lost = None
            core.buffer = []
            await self._hook("connect", until)
            await self.sync(until)

    def resync(self, reason: str) -> None:
        """Events were missed on a line that stands: look at everything again."""
        core = self._core
        self._missed = True
        if self.is_up:
            core.task(self._resync(reason), f"{core.broker_id}: reconcile")

    async def _resync(self, reason: str) -> None:
        core = self._core
        _log.info("%s: reconciling: %s", core.broker_id, reason)
        try:
            await core.survey.reconcile(time.monotonic() + core.gateway.default_deadline)
            self._tell_what_was_missed()
        except BrokerError as error:
            self.is_lost(f"reconciling failed: {error}")

    async def _stop_reconnecting(self) -> None:
        task, self._reconnecting = self._reconnecting, None
        if task is not None and not task.done():
            await _ended([task])

    # -- draining ----------------------------------------------------------------------------------

    async def shut(self, reason: str) -> bool:
        """
        Take no orders any more, for good; False where there is no session.

        Cancels, questions, streams, reports, and finding a lost line again go on.
        """
        core = self._core
        async with self._take_turn():
            if core.status in AT_REST:
                return False
            self.drains = True
            if core.status in _SERVING:
                core.become(GatewayStatus.DRAINING, reason)
        return True

    async def reopen(self, reason: str) -> None:
        """Take orders again after `shut`, or as soon as its line is found again."""
        core = self._core
        async with self._take_turn():
            if not self.drains:
                return
            self.drains = False
            if core.status is GatewayStatus.DRAINING:
                core.become(GatewayStatus.READY, reason)
                core.pulse.look()

    async def drain(self) -> None:
        """Wait, once it is shut, until no own order is open, or somebody disconnects it all the same."""
        while self.drains and self.open_orders:  # noqa: ASYNC110 - an order that ends tells nobody
            await asyncio.sleep(LOOK_AGAIN)

    @property
    def open_orders(self) -> int:
        """How many own orders are open, or may be. From any thread."""
        return sum(held.is_own for held in self._core.book.open())

    # -- disconnecting -----------------------------------------------------------------------------

    async def disconnect(self, deadline: float | None, *, drain: bool) -> None:
        """Close the line; what is being sent is waited for, with *drain*."""
        core = self._core
        until = core.gateway._until(deadline)
        async with self._take_turn():
            if core.status in {GatewayStatus.CREATED, GatewayStatus.DISCONNECTED}:
                return
            await self._stop_reconnecting()
            self.drains = False  # so that nobody finds the line again meanwhile
            if core.status is not GatewayStatus.FAILED:
                core.become(GatewayStatus.DRAINING, "disconnect")
            await _to_the_end(self._close(until, drain=drain))

    async def _close(self, until: float, *, drain: bool) -> None:
        core = self._core
        flights = core.sends.flights
        if drain:
            await _until_over(flights, until)
            # A send that ended may have begun the cancel that was remembered for it.
            await _until_over(core.cancels.under_way, until)
        await _ended([*flights, *core.tasks])
        await self._let_go(min(CLEAN_UP, max(until - time.monotonic(), PARTING)))
        core.buffer = None
        core.become(GatewayStatus.DISCONNECTED, "disconnect")
        core.pulse.look()
        if core.book.owner in {core.gateway, None} and core.gate_paused is None:  # no next one is on its way
            core.book.log.end()
            core.book.quotes.end()


async def _until_over(tasks: set[asyncio.Future[None]], until: float) -> None:
    if tasks:
        await asyncio.wait(set(tasks), timeout=max(0.0, until - time.monotonic()))


async def _ended(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel these and see them end; what a plugin's code does not let end is left behind, and logged."""
    pending = {task for task in tasks if task is not asyncio.current_task() and not task.done()}
    for task in pending:
        task.cancel()
    if pending:
        _, stuck = await asyncio.wait(pending, timeout=CLEAN_UP)
        for task in stuck:
            _log.error("%r does not end", task)


async def _to_the_end(work: Awaitable[None]) -> None:
    """Do it even if who asked is cancelled meanwhile."""
    from hotplug._lifecycle import to_the_end

    await to_the_end(work)
