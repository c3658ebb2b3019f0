"""
One gateway gives way to the next, on one book; at no instant are two gates open.

    begin:  new connects, its gate shut ─▶ old gate shut ─▶ what flies has landed ─▶ new looks again
            (policy DRAIN: before its gate is shut the old one is DRAINING until no own order is open)
            (both can hand over state: old gate shut ─▶ what flies has landed ─▶ state moves ─▶ new connects)
    commit: the book's gate is the new one's, those who waited at the old one are told to get it
    roll_back: the old gate opens again
"""

# What is done to gateways here is the template's own business.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from hotplug.brokers._settings import ReplacePolicy
from hotplug.brokers._template._core import AT_REST
from hotplug.brokers._template._moving import Move
from hotplug.errors import GatewayNotReady
from hotplug.market import GatewayStatus

if TYPE_CHECKING:
    from hotplug.brokers._template._gateway import BrokerGateway

__all__ = ["Handover"]

_UP: Final = frozenset({GatewayStatus.READY, GatewayStatus.DEGRADED})
LOOK_AGAIN: Final = 0.05


class Handover:
    """
    The replacement of *old* by *new*, which was attached to the same book and is not connected yet.

    On the home loop. *limit* is how long, in seconds, it may take; *drain_limit*, where there is one, how
    long draining may, beside that. Without ``concurrent_sessions`` the old one disconnects before the new
    one connects: there is a pause. Where the old one has ``export_state`` and the new one ``import_state``,
    the new one connects when it has that: what lives in the old object is nowhere else.
    """

    def __init__(
        self,
        old: BrokerGateway,
        new: BrokerGateway,
        policy: ReplacePolicy,
        limit: float,
        drain_limit: float | None = None,
    ) -> None:
        self._old: Final = old
        self._new: Final = new
        self._policy: Final = policy
        self._limit: Final = limit
        self._drain_limit: Final = drain_limit
        self._was_up = False
        self._was_draining = False
        self._drains = False
        self._move: Final = Move.between(old, new)

    @property
    def patience(self) -> float:
        """How long `begin` may take, in seconds."""
        if self._policy is not ReplacePolicy.DRAIN or self._drain_limit is None:
            return self._limit
        return 2 * self._limit + self._drain_limit

    async def begin(self) -> None:
        """Everything but the exchange itself; raises, with the old gate open again, where that fails."""
        try:
            await self._begin()
        except BaseException:
            await self.roll_back()
            raise

    async def _begin(self) -> None:
        old, new = self._old, self._new
        until = time.monotonic() + self._limit
        self._was_up = old.status in _UP
        self._was_draining = old._core.line.drains and old.status not in AT_REST
        if self._policy is ReplacePolicy.REFUSE_IF_OPEN:
            self._refuse_if_open("policy REFUSE_IF_OPEN")
        concurrent = old.concurrent_sessions and new.concurrent_sessions
        if concurrent and self._move is None:
            await new.connect(self._left(until))
        if self._policy is ReplacePolicy.DRAIN:
            until = await self._drained(until)
        self._shut()
        await self._landed(until)
        if self._policy is ReplacePolicy.REFUSE_IF_OPEN:
            self._refuse_if_open("policy REFUSE_IF_OPEN")
        if concurrent and self._move is None:
            await new._core.survey.reconcile(until)
            return
        if not concurrent:
            await old.disconnect(deadline=self._left(until))
        if self._move is not None:
            await self._move.carry(until)
        await new.connect(self._left(until))

    def commit(self) -> None:
        """From now on orders go through the new gateway."""
        self._new._core.take_gate()
        self._old._core.shut = True
        if self._move is not None:
            self._move.commit()
        self._let_wait_no_more()

    async def roll_back(self) -> None:
        """The old gateway serves on; the new one is disconnected."""
        old, new = self._old, self._new
        if old.book.owner is new:  # which took the gate of one at rest, and would end all streams with it
            old._core.take_gate()
        await new.disconnect(drain=False)
        if self._move is not None:
            self._move.take_back()
        try:
            await self._back_up()
        finally:
            old._core.take_gate()
            self._let_wait_no_more()

    # -- steps -------------------------------------------------------------------------------------

    def _left(self, until: float) -> float:
        return max(0.001, until - time.monotonic())

    async def _back_up(self) -> None:
        """The old one is connected again, and as it was, wherever it had to give that up."""
        old = self._old
        if self._drains:
            await old._core.line.reopen("it is not replaced")
        if self._was_draining and not old._core.line.drains:
            await old._core.line.connect(None, drains=True)
        elif self._was_up and old.status not in _UP:
            await old.connect()

    def _shut(self) -> None:
        core = self._old._core
        core.gate_paused = asyncio.Event()
        core.shut = True

    def _let_wait_no_more(self) -> None:
        core = self._old._core
        paused, core.gate_paused = core.gate_paused, None
        if paused is not None:
            paused.set()

    async def _landed(self, until: float) -> None:
        if not await self._old._core.sends.all_landed(self._left(until)):
            raise self._refusal("orders are being sent still")

    async def _drained(self, until: float) -> float:
        """Take no orders, and wait until no own one is open; until when the rest may take then."""
        line, limit = self._old._core.line, self._limit
        if self._drain_limit is not None:
            limit = self._drain_limit
            until = time.monotonic() + limit
        self._drains = not self._was_draining
        await line.shut("it is to be replaced")
        while line.open_orders:
            if time.monotonic() >= until:
                raise self._refusal(f"draining was not finished within {limit:g} s")
            await asyncio.sleep(LOOK_AGAIN)
        return until if self._drain_limit is None else time.monotonic() + self._limit

    def _refuse_if_open(self, why: str) -> None:
        count = sum(held.is_own for held in self._old.book.open())
        if count:
            raise self._refusal(f"{count} orders are open ({why})")

    def _refusal(self, why: str) -> GatewayNotReady:
        return GatewayNotReady(
            f"{self._old.broker_id} is not replaced: {why}", code="not_replaced", outcome="NOT_SENT"
        )
