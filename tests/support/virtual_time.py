"""An event loop whose time passes only while nothing is to be done: hours take no time, nothing jitters."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

MOST_TURNS = 100_000


class _Selector(selectors.DefaultSelector):
    """Does not wait for the clock, but moves it."""

    loop: VirtualLoop
    _turns = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        self._turns += 1
        if self._turns > MOST_TURNS:
            raise RuntimeError(f"time stands still at {self.loop.now}: somebody spins")
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise RuntimeError("everybody waits, and nobody will ever wake them")
        self._turns = 0
        self.loop.now += timeout
        self.loop.waits += 1
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """``now`` is its time, which starts at 0; ``waits`` counts how often it waited for a timer."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits = 0
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now

    def timers(self) -> int:
        """How many timers will ring."""
        return sum(not handle.cancelled() for handle in self._scheduled)


def run_virtual(main: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """What *main* returns, run in a loop of virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        return runner.run(main(loop))
