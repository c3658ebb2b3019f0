"""The newest events of one log, and who waits for the next. Everything here is under *lock*."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

    from hotplug.brokers._events._past import Past
    from hotplug.market import BrokerEvent

__all__ = ["Life", "Ring"]

_MOST_DIGITS: Final = 18


class Life:
    """From one opening of a log to its end: who reads in it ends with it, after the event *last*."""

    __slots__ = ("last", "over")

    def __init__(self) -> None:
        self.over: bool = False
        self.last: int | None = None


class Ring:
    """
    Up to *keep* events without a hole, the number *next* being the next one's.

    *newest* is the cursor of the newest event. A *beat* is a heartbeat that was told at the event
    number *beat_at*; *beats* counts them.
    """

    __slots__ = (
        "base",
        "beat",
        "beat_at",
        "beats",
        "epoch",
        "events",
        "former",
        "generation",
        "keep",
        "life",
        "lock",
        "newest",
        "next",
        "waiting",
    )

    def __init__(self, epoch: str, past: Past, keep: int) -> None:
        self.lock: Final = threading.Lock()
        self.epoch: Final = epoch
        self.former: Final = past.epochs
        self.keep: Final = keep
        self.events: Final = past.events
        self.next: int = past.last + 1
        self.base: Final = self.next - len(past.events)
        self.newest: str = past.events[-1].cursor if past.events else f"{epoch}:{past.last}"
        self.generation: int = 0
        self.beat: BrokerEvent | None = None
        self.beat_at: int = 0
        self.beats: int = 0
        self.waiting: set[asyncio.Future[None]] = set()
        self.life: Life = Life()

    @property
    def first(self) -> int:
        """The number of the oldest event."""
        return self.next - len(self.events)

    def add(self, event: BrokerEvent) -> set[asyncio.Future[None]]:
        """Hold *event*; who waited for it."""
        events = self.events
        if len(events) < self.keep:
            events.append(event)
        else:
            events[(self.next - self.base) % self.keep] = event
        self.next += 1
        self.newest = event.cursor
        self.generation = event.generation
        return self.take_waiting()

    def add_beat(self, event: BrokerEvent) -> set[asyncio.Future[None]]:
        """Hold a heartbeat, for those who have read all there is; who waited."""
        self.beat, self.beat_at = event, self.next - 1
        self.beats += 1
        return self.take_waiting()

    def take_waiting(self) -> set[asyncio.Future[None]]:
        """Who waits for the next event; they are the caller's to wake, without the lock."""
        waiting = self.waiting
        if waiting:
            self.waiting = set()
        return waiting

    def after(self, number: int, most: int) -> list[BrokerEvent]:
        """Some of the events after *number*, *most* of them at most; the next one is there."""
        start = (number + 1 - self.base) % self.keep
        return self.events[start : start + most]

    def number_of(self, cursor: str) -> int | None:
        """The number in *cursor*; ``None`` where what follows it is not here."""
        epoch, _, digits = cursor.partition(":")
        if not (digits.isascii() and digits.isdecimal() and len(digits) <= _MOST_DIGITS):
            return None
        number = int(digits)
        last = self.next - 1 if epoch == self.epoch else self.former.get(epoch, -1)
        return number if self.first - 1 <= number <= last else None
