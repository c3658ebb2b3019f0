"""The market of one account, for all runs that trade on it at once: what happens, happens once."""

from __future__ import annotations

import asyncio
import threading
from decimal import Decimal
from typing import TYPE_CHECKING, Final, NamedTuple

from hotplug._lifecycle import to_the_end
from hotplug.errors import DuplicateClientOrderId
from hotplug.market import Side

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from hotplug.market import Bar, Fill

__all__ = ["Foreign", "Place", "join"]

PATIENCE: Final = 1.0
"""Seconds that runs wait for one whose own market is silent. Whom they wait for longer is in the log."""
ZERO: Final = Decimal(0)


class Foreign(NamedTuple):
    """What others bought (sold: negative) of a symbol: how much, and the sum of quantities times prices."""

    qty: Decimal = ZERO
    notional: Decimal = ZERO


class _Waiting:
    """A run that has come to *bar*. It is told whether it shall let it happen, or it has happened."""

    def __init__(self, bar: Bar) -> None:
        self.bar: Final = bar
        self._loop: Final = asyncio.get_running_loop()
        self.told: Final[asyncio.Future[bool]] = self._loop.create_future()

    def tell(self, *, feeds: bool) -> None:
        """From any thread."""
        try:
            self._loop.call_soon_threadsafe(self._tell, feeds)
        except RuntimeError:
            return  # its loop was closed: it never comes back

    def _tell(self, feeds: bool) -> None:
        if not self.told.done():
            self.told.set_result(feeds)


class Place:
    """The place of one run, *name*, on the floor; *foreign* is what the others traded while it was there."""

    def __init__(self, floor: _Floor, name: str, warn: Callable[[str, str], None]) -> None:
        self.name: Final = name
        self.listens: bool = False
        """Whether it waits for its own market to say something: others wait for that for a moment only."""
        self.foreign: Final[dict[str, Foreign]] = {}
        self.foreign_fees: Decimal = ZERO
        self.waiting: _Waiting | None = None
        self.inbox: list[Fill] = []
        self.moved: bool = False
        """Whether anybody traded since it looked last."""
        self.task: Final = asyncio.current_task()
        self._floor: Final = floor
        self._warn: Final = warn
        self._heard: Final[dict[str, datetime]] = {}

    async def happens(
        self, bar: Bar, feed: Callable[[Bar], Awaitable[tuple[Fill, ...]]]
    ) -> tuple[list[Fill], bool]:
        """
        Let *bar* happen, by *feed* where no other run did; the own fills, and whether anybody traded.

        Runs on one account go through the market together: nothing happens while one is still at work
        on what happened before. It waits for that without a limit, as it would for its own strategy.
        """
        self.listens = False
        if self._floor.is_empty_but_for(self):
            if not self._floor.has_passed(self, bar):
                self._floor.book(bar, await feed(bar))
        elif await self._is_to_feed(bar):
            await to_the_end(self._fed(bar, feed))  # what the others traded must not be lost half-way
        self._heard[bar.symbol] = bar.time
        return self._floor.taken(self)

    async def _fed(self, bar: Bar, feed: Callable[[Bar], Awaitable[tuple[Fill, ...]]]) -> None:
        self._floor.book(bar, await feed(bar))

    async def _is_to_feed(self, bar: Bar) -> bool:
        waiting = _Waiting(bar)
        missed: tuple[str, ...] = ()
        if not self._floor.announce(self, waiting):
            return False
        try:
            self._floor.go_on()
            while not (await asyncio.wait({waiting.told}, timeout=PATIENCE))[0]:
                at_work = self._floor.go_on(patient=False)
                if at_work not in {missed, ()}:
                    self._warn("waits for other runs on the account: %s", ", ".join(at_work))
                    missed = at_work
            return waiting.told.result()
        finally:
            self.waiting = None

    def awaits(self, bar: Bar) -> bool:
        """Whether it waits for this *bar*, and its market did not say as much before."""
        return self.waiting is not None and self.waiting.bar == bar and not self.has_heard(bar)

    def has_heard(self, bar: Bar) -> bool:
        """Whether its own market came as far before: then it is not the others' *bar*, but a mistake."""
        heard = self._heard.get(bar.symbol)
        return heard is not None and heard >= bar.time

    def hear(self, fill: Fill, owner: Place | None) -> None:
        """Take note of *fill*, which nobody owns if no run made it."""
        self.moved = True
        if owner is self:
            self.inbox.append(fill)
        elif owner is not None:
            signed = fill.qty if fill.side is Side.BUY else -fill.qty
            qty, notional = self.foreign.get(fill.symbol, Foreign())
            self.foreign[fill.symbol] = Foreign(qty + signed, notional + signed * fill.price)
            self.foreign_fees += fill.fee

    def claim(self, client_order_id: str) -> None:
        """Make the order of that name the run's own; `DuplicateClientOrderId` if it is another run's."""
        self._floor.claim(self, client_order_id)

    def disclaim(self, client_order_id: str) -> None:
        """The order of that name is not the run's own after all."""
        self._floor.disclaim(client_order_id)

    def leave(self) -> None:
        """Let the others go on without this one; once or more."""
        self._floor.remove(self)


class _Floor:
    """Who is at one account at one time. Nothing but its own code runs under its lock."""

    def __init__(self, key: tuple[int, str]) -> None:
        self._key: Final = key
        self._places: Final[list[Place]] = []
        self._last: Final[dict[str, Bar]] = {}
        self._owners: Final[dict[str, Place]] = {}
        self._lock: Final = threading.Lock()

    def add(self, place: Place) -> None:
        with self._lock:
            if any(each.task is place.task for each in self._places):
                # It would wait for the one that waits for it.
                raise RuntimeError("a strategy cannot run another one on its own account, in its callback")
            self._places.append(place)

    def remove(self, place: Place) -> None:
        with _floors_lock, self._lock:
            if place not in self._places:
                return
            self._places.remove(place)
            if not self._places:
                del _floors[self._key]
        self.go_on()

    def has_passed(self, place: Place, bar: Bar) -> bool:
        """Whether the others went on with this *bar* while the market of *place* was silent."""
        with self._lock:
            return self._last.get(bar.symbol) == bar and not place.has_heard(bar)

    def announce(self, place: Place, waiting: _Waiting) -> bool:
        """Let *place* wait, unless the others passed that bar already."""
        with self._lock:
            if self._last.get(waiting.bar.symbol) != waiting.bar or place.has_heard(waiting.bar):
                place.waiting = waiting
            return place.waiting is waiting

    def is_empty_but_for(self, place: Place) -> bool:
        with self._lock:
            return self._places == [place]

    def claim(self, place: Place, client_order_id: str) -> None:
        with self._lock:
            owner = self._owners.setdefault(client_order_id, place)
        if owner is not place:
            raise DuplicateClientOrderId(
                f"there is an order {client_order_id!r} already", code="duplicate", outcome="NOT_SENT"
            )

    def disclaim(self, client_order_id: str) -> None:
        with self._lock:
            del self._owners[client_order_id]

    def taken(self, place: Place) -> tuple[list[Fill], bool]:
        """What *place* has to know of what happened."""
        with self._lock:
            fills, place.inbox = place.inbox, []
            moved, place.moved = place.moved, False
        return fills, moved

    def book(self, bar: Bar, fills: tuple[Fill, ...]) -> None:
        """*bar* has happened and made *fills*: tell who is concerned, and who has come to it, too."""
        with self._lock:
            self._last[bar.symbol] = bar
            for fill in fills:
                owner = self._owners.get(fill.client_order_id or "")
                for place in self._places:
                    place.hear(fill, owner)
            self._tell_who_awaits(bar)

    def go_on(self, *, patient: bool = True) -> tuple[str, ...]:
        """
        Let the earliest bar happen that a run has come to, unless one is at work: these are the answer.

        Runs that only listen are waited for, too, where *patient*.
        """
        with self._lock:
            busy = [each for each in self._places if not each.waiting and (patient or not each.listens)]
            waits = [each for each in self._places if each.waiting]
            if busy or not waits:
                return tuple(each.name for each in busy)
            _tell(min(waits, key=_time_of), feeds=True)
            return ()

    def _tell_who_awaits(self, bar: Bar) -> None:
        for place in self._places:
            if place.awaits(bar):
                _tell(place, feeds=False)


def _tell(place: Place, *, feeds: bool) -> None:
    assert place.waiting is not None  # noqa: S101 - for the type checkers
    place.waiting.tell(feeds=feeds)
    place.waiting = None


def _time_of(place: Place) -> datetime:
    assert place.waiting is not None  # noqa: S101 - for the type checkers
    return place.waiting.bar.time


_floors: Final[dict[tuple[int, str], _Floor]] = {}
"""By the gateway's mark and the account: where there is a run."""
_floors_lock: Final = threading.Lock()


def join(gateway: int, account: str, name: str, warn: Callable[[str, str], None]) -> Place:
    """A place among the runs on *account* of the *gateway* with this mark; leave it in the end."""
    with _floors_lock:
        floor = _floors.setdefault((gateway, account), _Floor((gateway, account)))
        place = Place(floor, name, warn)
        floor.add(place)
    return place
