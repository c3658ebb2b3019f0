"""Streams in batches: what is there at once goes out at once, and together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

__all__ = ["Batches"]

T = TypeVar("T")
PATIENCE: Final = 0.005
"""Seconds that the first of a batch waits for the rest, at most."""


class Batches(Generic[T]):
    """
    The items of a stream, several at a time: those that come without a pause, or within 5 ms.

    It reads *most* ahead and no further: while nobody takes, the source conflates or ends as it
    does for any slow reader. For one task; close it.
    """

    def __init__(self, source: AsyncIterator[T], most: int) -> None:
        self._source: Final = source
        self._most: Final = most
        self._held: list[T] = []
        self._over = False
        self._error: BaseException | None = None
        self._news: Final = asyncio.Event()
        self._room: Final = asyncio.Event()
        self._reader: Final = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        try:
            async for item in self._source:
                self._held.append(item)
                self._news.set()
                if len(self._held) >= self._most:
                    self._room.clear()
                    await self._room.wait()
        except Exception as error:  # noqa: BLE001 - the border to the gateway: handed to who takes the next batch
            self._error = error
        finally:
            self._over = True
            self._news.set()

    async def next(self, timeout: float, now: Callable[[], float]) -> list[T] | None:  # noqa: ASYNC109
        """The next batch; an empty one after *timeout* seconds without, ``None`` when there are no more."""
        if not self._held and not self._over:
            await self._wait(timeout)
        held = self._held
        if not held:
            if self._error is not None:
                raise self._error
            return None if self._over else []
        until = now() + PATIENCE
        while len(held) < self._most and not self._over:
            before = len(held)
            await asyncio.sleep(0)
            if len(held) == before or now() >= until:
                break
        return self._take()

    async def _wait(self, timeout: float) -> None:  # noqa: ASYNC109
        try:
            async with asyncio.timeout(timeout):
                await self._news.wait()
        except TimeoutError:
            pass

    def _take(self) -> list[T]:
        held, self._held = self._held, []
        if not self._over:
            self._news.clear()
        self._room.set()
        return held

    def stop(self) -> None:
        """Let who waits for a batch have what is there, and no more."""
        self._reader.cancel()

    async def close(self) -> None:
        """Read no more."""
        self._reader.cancel()
        await asyncio.wait({self._reader})
        end = getattr(self._source, "aclose", None)
        if end is not None:
            await end()
