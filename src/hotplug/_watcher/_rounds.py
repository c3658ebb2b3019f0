"""Looking at whole roots by the clock, as often as it costs next to nothing."""

from __future__ import annotations

import itertools
import math
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from hotplug._watcher._ward import Ward

__all__ = ["Rounds"]

BUDGET: Final = 0.001  # of a core, for what events should have told
POLL_BUDGET: Final = 0.01  # of a core, for what has no events
SLICE: Final = 0.002  # seconds at a time: who is heard does not wait for longer
TOGETHER: Final = 1 / 6  # of a pause that one waits for others: to wake up costs more than most looks


class _Round:
    """One way of looking at one root, what it cost the last time, and when it is due."""

    def __init__(self, ward: Ward, least: float, *, deep: bool, polled: bool, now: float) -> None:
        self.ward: Final = ward
        self.least: Final = least
        self.deep: Final = deep
        self.polled: Final = polled
        self.due = 0.0
        self.cost = 0.0
        self._began = now
        self._spent = 0.0
        self._steps: Iterator[None] | None = None

    def plan(self, weight: float) -> None:
        """Say when it is due: after `least` seconds, later if it costs more. What is under way stays due."""
        if self._steps is None:
            self.due = self._began + max(self.least, math.sqrt(self.cost) * weight)

    def go_on(self, until: float) -> bool:
        """Look at the root bit by bit, and at more than one. Whether it was over before the time was."""
        if self._steps is None:
            self._began, self._spent = time.monotonic(), 0.0
            self._steps = self.ward.deep() if self.deep else self.ward.shallow()
        before = time.thread_time()
        over = _a_slice(self._steps, until)
        self._spent += time.thread_time() - before
        if over:
            self.cost, self._steps = self._spent, None
        return over


class Rounds:
    """
    Goes around all roots in slices, one after the other.

    Pauses grow with the square root of what a round costs: that makes the least delay of all for what may
    be spent, and a large root does not keep the small ones waiting.
    """

    def __init__(self, tick: float, poll: float) -> None:
        self._tick = tick
        self._poll = poll
        self._rounds: list[_Round] = []
        self.count = 0
        self.next_at = math.inf

    def follow(self, wards: Collection[Ward], polled: Collection[Ward], now: float) -> None:
        """Go around these from now on; those of them that are *polled* only deeply, and more often."""
        known = {(round_.ward, round_.deep, round_.polled): round_ for round_ in self._rounds}
        self._rounds = [
            known.get((ward, deep, ward in polled))
            or _Round(ward, least, deep=deep, polled=ward in polled, now=now)
            for ward in wards
            for least in (self._poll if ward in polled else self._tick,)
            for deep in (False, True)
            if deep or ward not in polled
        ]
        self._plan(self._rounds)
        self._say_when(-math.inf)

    def go_on(self, now: float) -> bool:
        """Look for a moment at those whose time has come. Whether there were any."""
        if now < self.next_at:
            return False
        due = sorted((round_ for round_ in self._rounds if round_.due <= now), key=lambda round_: round_.due)
        over = list(itertools.takewhile(lambda round_: round_.go_on(now + SLICE), due))
        self.count += len(over)
        self._plan(over)
        self._say_when(now if len(over) == len(due) else -math.inf)
        return True

    def _plan(self, rounds: Collection[_Round]) -> None:
        """Say of *rounds* when they are due."""
        for polled, budget in ((False, BUDGET), (True, POLL_BUDGET)):
            alike = (round_ for round_ in self._rounds if round_.polled is polled)
            weight = sum(math.sqrt(round_.cost) for round_ in alike) / budget
            for round_ in rounds:
                if round_.polled is polled:
                    round_.plan(weight)

    def _say_when(self, looked: float) -> None:
        """Somebody is due then, and the last look at all who were is not just over."""
        self.next_at = min(
            (max(round_.due, looked + round_.least * TOGETHER) for round_ in self._rounds), default=math.inf
        )


def _a_slice(steps: Iterator[None], until: float) -> bool:
    """Whether the *steps* were over before the time was."""
    return all(time.monotonic() < until for _ in steps)
