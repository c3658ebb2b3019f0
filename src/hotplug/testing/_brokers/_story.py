"""What a stream tells must be one story: each state follows from the last, and nothing is told twice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from hotplug.market import (
    GATEWAY_TRANSITIONS,
    ORDER_TRANSITIONS,
    Capability,
    Fill,
    Heartbeat,
    Order,
    OrderStatus,
    Snapshot,
    StatusChange,
)
from hotplug.testing._brokers._money import claim_plain
from hotplug.testing._suite import claim

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from hotplug.brokers import IBrokerGateway
    from hotplug.market import BrokerEvent, GatewayStatus

__all__ = ["Story", "Witness", "claim_story"]


class Story:
    """What was told so far, and what may therefore be told next."""

    def __init__(self) -> None:
        self._status: Final[dict[int, GatewayStatus]] = {}
        self._orders: Final[dict[tuple[str | None, str | None], Order]] = {}
        self._trades: Final[set[tuple[str, str]]] = set()
        self._cursors: Final[set[str]] = set()
        self._generation = 0

    def goes_on_with(self, event: BrokerEvent) -> None:
        """Fail unless *event* may follow."""
        payload = event.payload
        if isinstance(payload, Heartbeat):
            return
        claim(event.cursor not in self._cursors, f"each event needs a cursor of its own, not {event.cursor}")
        self._cursors.add(event.cursor)
        claim_plain(payload)
        if isinstance(payload, StatusChange):
            self._goes_to(payload, event.generation)
        elif isinstance(payload, Order):
            self._order_is_now(payload)
            self._is_of(event.generation)
        elif isinstance(payload, Fill):
            trade = payload.account, payload.trade_id
            claim(trade not in self._trades, f"the trade {trade} was told twice")
            self._trades.add(trade)
            self._is_of(event.generation)
        elif isinstance(payload, Snapshot):
            self._orders.clear()

    def _goes_to(self, change: StatusChange, generation: int) -> None:
        # An older generation still tells how it ends when a newer one has begun.
        before = self._status.get(generation, change.old)
        claim(before is change.old, f"it was {before}, and then came from {change.old}: {change}")
        claim(change.new in GATEWAY_TRANSITIONS[change.old], f"{change.old} cannot become {change.new}")
        self._status[generation] = change.new

    def _is_of(self, generation: int) -> None:
        latest = self._generation
        claim(generation >= latest, f"what is of generation {generation} came after generation {latest}")
        self._generation = generation

    def _order_is_now(self, order: Order) -> None:
        name = order.account, order.client_order_id or order.order_id
        before = self._orders.get(name)
        self._orders[name] = order
        whole = order.leaves_qty == (0 if order.status.terminal else max(order.qty - order.filled_qty, 0))
        claim(whole, f"filled and what is left do not make the whole: {order}")
        if before is None or (before.status.terminal and order.status is OrderStatus.PENDING_NEW):
            return
        old, new = before.status, order.status
        claim(old is new or new in ORDER_TRANSITIONS[old], f"{old} cannot become {new}: {order}")
        claim(order.filled_qty >= before.filled_qty, f"what was filled shrank: {before}, then {order}")
        claim(order.version >= before.version, f"its version went back: {before}, then {order}")


def claim_story(events: Iterable[BrokerEvent]) -> None:
    """Fail unless *events* are one story."""
    story = Story()
    for event in events:
        story.goes_on_with(event)


class Witness:
    """Listens to all that a broker tells while it is tested."""

    def __init__(self, broker: IBrokerGateway) -> None:
        self._work: asyncio.Task[None] | None = None
        if Capability.STREAM in broker.info.capabilities:
            self._work = asyncio.create_task(_listen(broker.events()), name="witness")

    async def finish(self, limit: float) -> None:
        """Hear it to the end, which a disconnected broker comes to; fails if that was no story."""
        if self._work is not None:
            done, _ = await asyncio.wait({self._work}, timeout=limit)
            claim(done, "its stream of events must end when it is disconnected")
            self._work.result()

    async def dismiss(self) -> None:
        """Listen no more."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.wait({self._work})
            if not self._work.cancelled():
                self._work.exception()


async def _listen(events: AsyncIterator[BrokerEvent]) -> None:
    story = Story()
    async for event in events:
        story.goes_on_with(event)
