"""How many sync tools may run at once, over all threads and event loops."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import TYPE_CHECKING, Final, TypeVar

from hotplug.registry._threads import run_in_thread

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SLOTS", "Slots"]

R = TypeVar("R")


class Slots:
    """
    *size* places for calls in threads; who finds none waits for its turn, first come first served.

    A call that is given up (its awaiting task was cancelled) gives up its place at once, though its
    thread goes on: a tool that never returns must not eat the pool.
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
        try:
            return await run_in_thread(call)
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
