"""The dashboard's news: looked at while somebody watches, put into words once for all who do."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from hotplug.registry import run_in_thread
from hotplug_web._frames import frame

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from hotplug_web._rows import Picture, View

__all__ = ["Board"]

PAUSE: Final = 0.03  # seconds between a change and the look, so that many changes at once are one
TICK: Final = 0.35  # seconds between two looks, for what changes without saying so
SHARE: Final = 10  # of the time at most a tenth is spent looking, however much there is to see
DELTAS: Final = 32  # that who falls behind may catch up with; further behind, it gets a snapshot
_log = logging.getLogger("hotplug.web")


class Board:
    """
    What changed on the dashboard, as frames for whoever watches.

    Nothing is looked at while nobody does. To be used on one event loop at a time.
    """

    def __init__(self, view: View) -> None:
        self._view: Final = view
        self._watchers = 0
        self._looking: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._news = asyncio.Event()
        self._picture: Picture | None = None
        self._serial = 0
        self._line = 0
        self._snapshot: tuple[int, str] | None = None
        self._deltas: Final[deque[tuple[int, str]]] = deque(maxlen=DELTAS)
        self.looks = 0

    @property
    def watchers(self) -> int:
        """How many watch."""
        return self._watchers

    async def frames(self) -> AsyncGenerator[str]:
        """A snapshot, then what changes; a snapshot once more where the reader was too slow for that."""
        self._join()
        try:
            seen: int | None = None
            while True:
                news = self._news
                told = self._since(seen)
                for serial, text in told:
                    yield text
                    seen = serial
                if not told:
                    await news.wait()
        finally:
            await self._part()

    def _since(self, seen: int | None) -> list[tuple[int, str]]:
        if self._picture is None:
            return []
        if seen is not None and self._serial - seen <= len(self._deltas):
            return [each for each in self._deltas if each[0] > seen]
        if self._snapshot is None or self._snapshot[0] != self._serial:
            self._snapshot = self._serial, self._all_of(self._picture)
        return [self._snapshot]

    # -- looking -----------------------------------------------------------------------------------

    def _join(self) -> None:
        self._watchers += 1
        if self._looking is None:
            self._changed, self._news = asyncio.Event(), asyncio.Event()
            self._looking = asyncio.get_running_loop().create_task(self._look())

    async def _part(self) -> None:
        self._watchers -= 1
        if self._watchers or self._looking is None:
            return
        looking, self._looking = self._looking, None
        looking.cancel()
        self._picture = self._snapshot = None
        self._deltas.clear()
        await asyncio.wait({looking})

    async def _look(self) -> None:
        """Look whenever something changed, and every now and then."""
        loop, changed = asyncio.get_running_loop(), self._changed

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody watches any more
                loop.call_soon_threadsafe(changed.set)

        undo = self._view.listen(wake)
        try:
            while True:
                changed.clear()
                cost = await self._look_once()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), max(TICK, cost * SHARE))
                await asyncio.sleep(max(PAUSE, cost))
        finally:
            undo()

    async def _look_once(self) -> float:
        begun = time.perf_counter()
        self.looks += 1
        try:
            picture = await run_in_thread(self._view.now)
        except Exception:  # noqa: BLE001 - gateways may be anything; the next look may go well
            _log.exception("the dashboard could not look at the host")
            return 1.0
        self._compare(picture)
        return time.perf_counter() - begun

    def _compare(self, picture: Picture) -> None:
        before, self._picture = self._picture, picture
        lines = self._view.lines(self._line)
        if before is None:
            self._line = lines[-1]["number"] if lines else self._line
            self._tell(None)
            return
        rows = [row for name, row in picture.rows.items() if before.rows.get(name) != row]
        gone = [name for name in before.rows if name not in picture.rows]
        others = {
            part: getattr(picture, part)
            for part in ("problems", "halts", "runs", "host")
            if getattr(picture, part) != getattr(before, part)
        }
        if not (rows or gone or others or lines):
            return
        if lines:
            self._line = lines[-1]["number"]
        self._tell(frame("board.delta", serial=self._serial + 1, rows=rows, gone=gone, log=lines, **others))

    def _tell(self, delta: str | None) -> None:
        self._serial += 1
        if delta is not None:
            self._deltas.append((self._serial, delta))
        else:
            self._deltas.clear()
        told, self._news = self._news, asyncio.Event()
        told.set()

    def _all_of(self, picture: Picture) -> str:
        return frame(
            "board",
            serial=self._serial,
            rows=list(picture.rows.values()),
            problems=picture.problems,
            halts=picture.halts,
            runs=picture.runs,
            host=picture.host,
            log=[line for line in self._view.lines() if line["number"] <= self._line],
        )
