"""Calls under way: from their ticket to their response, or to their deadline. Nothing here locks."""

from __future__ import annotations

import math
from heapq import heapify, heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from hotplug.brokers._limits._windows import Tally

__all__ = ["Flights", "Route", "Ticket", "UNCOUNTED"]

Route: TypeAlias = "tuple[tuple[Tally, int], ...]"
"""The windows that a call weighs in, and how much."""

_FEW: Final = 64


class Ticket:
    """
    Leave for one call. Say `done` when its response came or when none will, `give_back` if it was never sent.

    The first word counts, from any thread; neither blocks. Without one the call ends with its deadline.
    """

    __slots__ = ("_tell", "is_landed", "route", "until")

    def __init__(
        self, tell: Callable[[Ticket, bool | None], None] | None, route: Route, until: float
    ) -> None:
        self._tell: Callable[[Ticket, bool | None], None] | None = tell
        self.route: Route = route
        self.until: float = until
        self.is_landed: bool = False

    def done(self, *, answered: bool = True) -> None:
        """The venue answered, if only to refuse; or it will not, and may get the call until the deadline."""
        tell, self._tell = self._tell, None
        if tell is not None:
            tell(self, answered)

    def give_back(self) -> None:
        """Nothing was sent, nothing is occupied."""
        tell, self._tell = self._tell, None
        if tell is not None:
            tell(self, None)


UNCOUNTED: Final = Ticket(None, (), math.inf)
"""Leave for all calls that weigh in no window."""


class Flights:
    """
    The calls under way, by deadline. What it is told must come in the order of time.

    Those that landed stay in the heap until they come up, or are too many.
    """

    __slots__ = ("_landed", "_numbers", "heap")

    def __init__(self) -> None:
        self.heap: list[tuple[float, int, Ticket]] = []
        self._landed: int = 0
        self._numbers = count()

    def take_off(self, route: Route, until: float, tell: Callable[[Ticket, bool | None], None]) -> Ticket:
        """Count a call from now on; its ticket."""
        for tally, weight in route:
            tally.used += weight
        ticket = Ticket(tell, route, until)
        heappush(self.heap, (until, next(self._numbers), ticket))
        return ticket

    def land_overdue(self, now: float) -> None:
        """Let calls end whose deadline passed."""
        heap = self.heap
        while heap:
            until, _, ticket = heap[0]
            if ticket.is_landed:
                self._landed -= 1
            elif until <= now:
                ticket.is_landed = True
                for tally, weight in ticket.route:
                    tally.ended.append((until, weight))
            else:
                return
            heappop(heap)

    def answered(self, ticket: Ticket, now: float) -> None:
        """Let a call end *now*, though it seemed to have ended with its deadline."""
        if ticket.is_landed:
            self._forget(ticket, now)
            for tally, weight in ticket.route:
                tally.used += weight
        else:
            ticket.is_landed = True
            self._landed += 1
            if self._landed > _FEW:
                self._sweep()
        for tally, weight in ticket.route:
            tally.ended.append((now, weight))

    def unsent(self, ticket: Ticket, now: float) -> None:
        """Count a call no more."""
        if ticket.is_landed:
            self._forget(ticket, now)
            return
        ticket.is_landed = True
        self._landed += 1
        for tally, weight in ticket.route:
            tally.used -= weight

    def next_deadline(self) -> float:
        """When the next call ends, if nothing is heard of it before. Land what is overdue first."""
        return self.heap[0][0] if self.heap else math.inf

    def _forget(self, ticket: Ticket, now: float) -> None:
        for tally, weight in ticket.route:
            tally.purge(now)
            tally.forget(ticket.until, weight)

    def _sweep(self) -> None:
        if 2 * self._landed > len(self.heap):
            self.heap = [flight for flight in self.heap if not flight[2].is_landed]
            heapify(self.heap)
            self._landed = 0
