"""What a venue says, and where each word goes. Lives on the gateway's home loop."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from hotplug._lifecycle import name_and_text
from hotplug.market import (
    Balance,
    Bar,
    ConnectionLost,
    Fill,
    Gap,
    Heartbeat,
    Order,
    OrderUpdate,
    Position,
    RateLimitSeen,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hotplug.brokers._template._core import Core

__all__ = ["Ear"]

_log = logging.getLogger("hotplug.brokers")
_WAIT_FOR_SNAPSHOTS: Final = (Fill, OrderUpdate, Order, Position, Balance)


class Ear:
    """Hears reports; while a snapshot is under way, those that it may tell of as well wait for it."""

    def __init__(self, core: Core) -> None:
        self._core: Final = core
        self._places: Final[dict[type, Callable[[Any], object]]] = {
            Fill: lambda said: core.book.fill(said),
            OrderUpdate: lambda said: core.book.update(said),
            Order: self._order,
            Position: lambda said: core.book.position(said),
            Balance: self._balance,
            Heartbeat: lambda said: core.book.log.append(said, generation=core.generation),
            RateLimitSeen: lambda said: core.book.limiter.seen(said),
            ConnectionLost: lambda said: core.line.is_lost(said.reason),
            Gap: lambda _: core.line.resync("events were missed"),
            Bar: lambda _: None,
        }

    def hear(self, said: object) -> None:
        """Let *said* happen; what makes no sense is counted and logged."""
        core = self._core
        if core.buffer is not None and isinstance(said, _WAIT_FOR_SNAPSHOTS):
            core.buffer.append(said)
            return
        try:
            place = self._places.get(type(said))
            if place is None:
                raise TypeError(f"nobody can report a {type(said).__name__}")
            place(said)
        except Exception as error:  # noqa: BLE001 - the border to plugin code
            core.book.counts["bad reports"] += 1
            _log.exception("%s reported %r: %s", core.broker_id, said, name_and_text(error))

    def replay(self, buffered: Iterable[object]) -> None:
        """The snapshot is applied: now what came meanwhile."""
        for said in buffered:
            self.hear(said)

    def _order(self, said: Order) -> None:
        core = self._core
        core.book.merge(said, default_account=core.gateway.default_account)

    def _balance(self, said: Balance) -> None:
        self._core.book.balance(said)
