"""
How a gateway is: named checks, looked at regularly, with a memory against flapping.

A report is immutable and cached; whoever reads it asks nobody. One that was not renewed in time is worthless.
"""

# pyright: reportPrivateUsage=false
# The template calls hooks, which are private names of the plugin's.

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from hotplug.brokers._orders._held import Phase
from hotplug.errors import AuthenticationError, BrokerError, DeadlineExceeded, Outcome, RateLimited
from hotplug.market import GatewayStatus, HealthReport, HealthState, OrderStatus

if TYPE_CHECKING:
    from hotplug.brokers._orders._held import Held
    from hotplug.brokers._template._core import Core

__all__ = ["Pulse"]

_log = logging.getLogger("hotplug.brokers")
SKEW: Final = 1.0
LOOKS: Final = 2
FEWEST_RESULTS: Final = 5
ASK_AGAIN: Final = (0.2, 5.0)
ASK_AT_ONCE: Final = 10
_UP: Final = frozenset({GatewayStatus.READY, GatewayStatus.DEGRADED, GatewayStatus.SYNCING})
_SEVERE: Final = frozenset({"transport", "auth"})
_AT_ONCE: Final = _SEVERE | {"journal"}
"""Checks that one bad look is enough of: nothing about them flaps."""


class Pulse:
    """Looks at a gateway again and again while it is connected. Lives on its home loop."""

    def __init__(self, core: Core) -> None:
        self._core: Final = core
        self._task: asyncio.Task[None] | None = None
        self._wake: asyncio.Event | None = None
        self._pings_tried = 0
        self.must_answer = False
        self._pings_failed = 0
        self._auth_failed = False
        self._memory: dict[str, tuple[bool, int]] = {}
        self.skew = 0.0

    def start(self) -> None:
        """Look regularly from now on, until the gateway's tasks are ended."""
        if self._task is None or self._task.done():
            self._wake = asyncio.Event()
            self._task = self._core.task(self._beat(), f"{self._core.broker_id}: pulse")

    def soon(self) -> None:
        """There is something to find out: do not wait for the next beat."""
        if self._wake is not None:
            self._wake.set()

    async def _beat(self) -> None:
        core = self._core
        while core.status is not GatewayStatus.DISCONNECTED:
            await self._pause()
            if core.line.is_up:
                await self._ping()
                await self._ask_for_doubtful()
            self.look()

    async def _pause(self) -> None:
        wake = self._wake
        assert wake is not None  # noqa: S101 - start() made it
        waiting = asyncio.ensure_future(wake.wait())
        try:
            await asyncio.wait({waiting}, timeout=self._interval())
        finally:
            waiting.cancel()
        wake.clear()

    def _interval(self) -> float:
        gateway = self._core.gateway
        interval = min(gateway.check_interval, gateway.max_health_age / 3)
        if gateway.stale_after is not None:
            interval = min(interval, gateway.stale_after / 2)
        if any(held.order.status is OrderStatus.UNKNOWN for held in self._core.book.open()):
            interval = min(interval, ASK_AGAIN[0])
        return interval

    # -- asking ------------------------------------------------------------------------------------

    async def _ping(self) -> None:
        core, gateway = self._core, self._core.gateway
        if not gateway._can("_ping"):
            return
        self._pings_tried += 1
        before = time.monotonic()
        until = before + min(gateway.default_deadline, gateway.max_health_age / 3)
        try:
            said = await core.call("ping", gateway._ping, until=until)
        except BrokerError as error:
            if isinstance(error, RateLimited) and error.outcome is Outcome.NOT_SENT:
                return  # our own limits had no room for it: that says nothing of the line
            core.last_error = str(error)
            self._auth_failed = isinstance(error, AuthenticationError)
            self._pings_failed += 1
            if self._pings_failed >= LOOKS and not self._auth_failed:
                self._pings_failed = 0
                self.must_answer = True
                core.line.is_lost(f"it does not answer: {error}")
            return
        self._pings_failed, self._auth_failed = 0, False
        if isinstance(said, datetime):
            middle = (time.monotonic() - before) / 2
            self.skew = abs((said - datetime.now(UTC)).total_seconds() + middle)

    async def see_it_answer(self, until: float) -> None:
        """A line that was given up because nobody answered is good again when somebody does; else raises."""
        core = self._core
        if self.must_answer:
            until = min(until, time.monotonic() + core.gateway.max_health_age / 3)
            await core.call("ping", core.gateway._ping, until=until)
            self.must_answer = False

    async def _ask_for_doubtful(self) -> None:
        """UNKNOWN orders, and cancels and changes that nothing was heard of."""
        core = self._core
        self._doubt_what_hangs()
        doubtful = [held for held in core.book.open() if self._is_doubtful(held)]
        if not core.gateway._can("_query"):
            del doubtful[1:]  # one snapshot tells of all
        turn = asyncio.Semaphore(ASK_AT_ONCE)

        async def ask(held: Held) -> None:
            async with turn:
                # Each has its own time: one that is not answered takes none of the others'.
                await core.survey.establish(held, time.monotonic() + core.gateway.default_deadline)

        await asyncio.gather(*map(ask, doubtful))
        for held in core.book.open():
            core.cancels.start_if_remembered(held)  # that there is something to cancel may be known only now

    def _doubt_what_hangs(self) -> None:
        """Orders whose ``_place`` has not come back in time, and for which nobody waits who would notice."""
        core = self._core
        for held in core.book.open():
            if held.phase is Phase.SENDING and time.monotonic() >= held.until:
                why = f"{core.broker_id}: no answer to order {held.key[1]!r} in time"
                core.book.doubted(held, DeadlineExceeded(why, code="deadline", outcome="UNKNOWN"))

    def _is_doubtful(self, held: Held) -> bool:
        status = held.order.status
        # One that hangs in _place is asked for, too: found is found, and not found says nothing then.
        doubtful = held.phase not in {Phase.WAITING, Phase.SENDING} and (
            status is OrderStatus.UNKNOWN
            or (held.asked_qty is not None and held.changing is None)
            or (
                status in {OrderStatus.PENDING_CANCEL, OrderStatus.PENDING_REPLACE}
                and held.cancelling is None
                and held.changing is None
            )
        )
        if not doubtful:
            held.asks = 0
            return False
        first, longest = ASK_AGAIN
        first = min(first, self._core.gateway.check_interval)
        pause = min(longest, first * 2.0 ** min(held.asks, 10))
        return time.monotonic() - held.asked_at >= pause

    # -- looking -----------------------------------------------------------------------------------

    def look(self) -> HealthReport:
        """Make a report of what is known now, and let the status follow it."""
        core, gateway = self._core, self._core.gateway
        found = self._checks()
        bad = frozenset(name for name, good in found.items() if not self._steady(name, good=good))
        core.bad = bad
        states = {
            name: HealthState.HEALTHY
            if name not in bad
            else HealthState.UNHEALTHY
            if name in _SEVERE
            else HealthState.DEGRADED
            for name in found
        }
        report = HealthReport(
            status=self._worst(bad),
            checks=states,
            checked_at=datetime.now(UTC),
            max_age=gateway.max_health_age,
        )
        core.report_card, core.looked_at = report, time.monotonic()
        if core.status is GatewayStatus.READY and bad:
            core.become(GatewayStatus.DEGRADED, ", ".join(sorted(bad)))
        elif core.status is GatewayStatus.DEGRADED and not bad:
            core.become(GatewayStatus.READY, "well again")
        return report

    def _worst(self, bad: frozenset[str]) -> HealthState:
        status = self._core.status
        if status in {GatewayStatus.CREATED, GatewayStatus.DISCONNECTED, GatewayStatus.CONNECTING}:
            return HealthState.UNKNOWN
        if bad & _SEVERE or status is GatewayStatus.FAILED:
            return HealthState.UNHEALTHY
        return HealthState.DEGRADED if bad else HealthState.HEALTHY

    def _checks(self) -> dict[str, bool]:
        core, gateway = self._core, self._core.gateway
        book = core.book
        silence = time.monotonic() - core.heard_at
        limits = book.limiter.limits()
        return {
            "transport": (core.status in _UP or core.line.is_up) and not self._pings_failed,
            "auth": not self._auth_failed,
            "stream_freshness": gateway.stale_after is None or silence <= gateway.stale_after,
            "reconcile": core.buffer is None or core.status is GatewayStatus.SYNCING,
            "clock_skew": self.skew <= SKEW,
            "error_rate": core.results.count(True) * 2 >= len(core.results)
            or len(core.results) < FEWEST_RESULTS,
            "rate_limit_headroom": all(limit.used < limit.limit or not limit.waiting for limit in limits),
            "journal": book.log.fault is None and book.holder is None,
        }

    def _steady(self, name: str, *, good: bool) -> bool:
        """What a check says, once it has said so often enough in a row; severe ones count at once."""
        was_good, contrary = self._memory.get(name, (True, 0))
        contrary = 0 if good is was_good else contrary + 1
        if contrary >= (1 if name in _AT_ONCE and not good else LOOKS):
            was_good, contrary = good, 0
        self._memory[name] = (was_good, contrary)
        return was_good

    def reconciled(self) -> None:
        """All is known again: who looked meanwhile, and missed it, is not to be believed any longer."""
        self._memory.pop("reconcile", None)
        self.look()

    def forget(self) -> None:
        """A line that was just synchronised has proven that it is well."""
        self._memory.clear()
        self._pings_failed, self._auth_failed = 0, False
