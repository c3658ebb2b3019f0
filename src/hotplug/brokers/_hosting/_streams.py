"""Streams as views hand them out: what their seat may see by now, and no way to what is behind them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from hotplug.errors import PermissionDenied
from hotplug.market import Snapshot
from hotplug.registry._hidden import hide

if TYPE_CHECKING:
    from collections.abc import Callable

    from hotplug.brokers._settings import Seat
    from hotplug.market import Balance, BrokerEvent, Fill, Order, Position

__all__ = ["Granted", "Stream", "sealed"]

T = TypeVar("T")
Owned = TypeVar("Owned", "Order", "Fill", "Position", "Balance")


class Granted(AsyncIterator["BrokerEvent"]):
    """Events for a seat that is asked for with each: what is granted may be taken away in between."""

    def __init__(self, events: AsyncIterator[BrokerEvent], seat: Callable[[], Seat]) -> None:
        self._events = events
        self._seat = seat

    @property
    def cursor(self) -> str | None:
        """Where it can be resumed, if it can."""
        cursor: str | None = getattr(self._events, "cursor", None)
        return cursor

    async def __anext__(self) -> BrokerEvent:
        try:
            event = await self._events.__anext__()
            seat = self._seat()
        except PermissionDenied:
            await self.aclose()
            raise
        payload = event.payload
        return replace(event, payload=_within(seat, payload)) if isinstance(payload, Snapshot) else event

    async def aclose(self) -> None:
        """End it."""
        close = getattr(self._events, "aclose", _nothing)
        await close()


class Stream(AsyncIterator[T]):
    """A stream of a gateway, and nothing of the gateway but that."""

    __slots__ = ("__weakref__", "_inner")

    @property
    def cursor(self) -> str | None:
        """Where it can be resumed: after the event that was handed out last."""
        cursor: str | None = getattr(_inner(self), "cursor", None)
        return cursor

    async def __anext__(self) -> T:
        found: T = await _inner(self).__anext__()
        return found

    async def aclose(self) -> None:
        """End it."""
        close = getattr(_inner(self), "aclose", None)
        if close is not None:
            await close()


_inner, _set_inner = hide(Stream, "_inner")


def sealed(inner: AsyncIterator[T]) -> Stream[T]:
    """*inner*, of which nobody who is given it finds the way to its gateway."""
    stream: Stream[T] = Stream()
    _set_inner(stream, inner)
    return stream


async def _nothing() -> None:
    """Iterators of strangers need not know how to close."""


def _within(seat: Seat, shot: Snapshot) -> Snapshot:
    """What *seat* may see of *shot*, which was taken when it may have had more."""

    def own(found: tuple[Owned, ...] | None) -> tuple[Owned, ...] | None:
        return None if found is None else tuple(each for each in found if seat.has(each.account))

    return replace(
        shot,
        orders=own(shot.orders),
        fills=own(shot.fills),
        positions=own(shot.positions),
        balances=own(shot.balances),
    )
