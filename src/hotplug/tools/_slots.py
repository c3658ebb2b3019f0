"""How many sync tools may run at once, over all threads and event loops; and which never came back."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from hotplug.registry._threads import run_in_thread

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CULPRIT", "SLOTS", "Slots", "Stuck"]

R = TypeVar("R")


class Stuck:
    """
    Counts threads that nobody waits for any more and that still run, by whom to blame. Thread-safe.

    Who has no such thread is not remembered: nothing is kept alive by this.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[object, int] = {}

    def count(self, culprit: object) -> int:
        """How many threads of *culprit* are stuck."""
        return self._counts.get(culprit, 0)

    def add(self, culprit: object, threads: int) -> None:
        """Note that so many more (or fewer) of them are."""
        with self._lock:
            count = self._counts.pop(culprit, 0) + threads
            if count:
                self._counts[culprit] = count


CULPRIT: Final[ContextVar[tuple[Stuck, object] | None]] = ContextVar("hotplug tool", default=None)
"""Where a call counts that is given up, and to whose account."""


class _Errand(Generic[R]):
    """One call in a thread, of which somebody may lose patience before it returns."""

    def __init__(self, call: Callable[[], R]) -> None:
        self._call = call
        self._blame = CULPRIT.get()
        self._lock = threading.Lock()
        self._returned = self._given_up = False

    def run(self) -> R:
        try:
            return self._call()
        finally:
            with self._lock:
                self._returned = True
                if self._given_up:
                    self._count(-1)

    def give_up(self) -> None:
        """Count it until it returns, unless it just did."""
        with self._lock:
            self._given_up = not self._returned
            if self._given_up:
                self._count(+1)

    def _count(self, threads: int) -> None:
        if self._blame is not None:
            stuck, culprit = self._blame
            stuck.add(culprit, threads)


class Slots:
    """
    *size* places for calls in threads; who finds none waits for its turn, first come first served.

    A call that is given up (its awaiting task was cancelled) gives up its place at once, though its
    thread goes on: a tool that never returns must not eat the pool. It counts as stuck until it returns.
    """

    def __init__(self, size: int) -> None:
        self._free = size
        self._lock = threading.Lock()
        self._waiting: deque[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = deque()

    @property
    def free(self) -> int:
        """How many places are not taken."""
        return self._free

    async def run(self, call: Callable[[], R]) -> R:
        """The result of *call*, made in a daemon thread with the caller's context variables."""
        await self._take()
        errand = _Errand(call)
        try:
            return await run_in_thread(errand.run)
        except (asyncio.CancelledError, GeneratorExit):
            errand.give_up()
            raise
        finally:
            self._give()

    async def _take(self) -> None:
        loop = asyncio.get_running_loop()
        place = (loop, loop.create_future())
        with self._lock:
            if self._free:
                self._free -= 1
                return
            self._waiting.append(place)
        try:
            await place[1]
        except BaseException:
            if self._is_handed_over(place):
                self._give()
            raise

    def _is_handed_over(self, place: tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]) -> bool:
        """Whether who stops waiting was given a slot in the same moment."""
        with self._lock:
            if place in self._waiting:
                self._waiting.remove(place)
                return False
            return True

    def _give(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._free += 1
                    return
                loop, turn = self._waiting.popleft()
            try:
                loop.call_soon_threadsafe(_resolve, turn)
            except RuntimeError:  # that loop was closed: the next one, please
                continue
            return


def _resolve(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)


SLOTS: Final = Slots(32)
