"""Group commit: what happens while one commit is being written goes into the next, all of it together."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from hotplug.errors import BrokerUnavailable
from hotplug_broker_paper._file import StateFile, broken
from hotplug_broker_paper._venue_floor import Changes
from hotplug_broker_paper._venue_money import exactly
from hotplug_broker_paper._venue_rows import changed_rows, restore

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from hotplug_broker_paper._venue import Venue
    from hotplug_broker_paper._venue_floor import Said
    from hotplug_broker_paper._venue_rows import Tables

__all__ = ["Commits"]


class Commits:
    """
    Writes a venue's changes to its file, in a thread of its own, and lets those wait who must.

    Lives on one event loop. What the venue says is told only after the commit of what it did.
    """

    def __init__(self, path: Path, clock: Callable[[], datetime]) -> None:
        self._path: Final = path
        self._clock: Final = clock
        self._thread: Final = ThreadPoolExecutor(1, f"paper broker's file {path.name}")
        self._file: StateFile | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self._writing: asyncio.Task[None] | None = None
        self._failure: Exception | None = None

    async def open(self, venue: Venue) -> None:
        """Put into a new *venue* what the file says, and follow it; `BrokerUnavailable`."""
        loop, rules = asyncio.get_running_loop(), venue.rules
        file = await loop.run_in_executor(self._thread, StateFile, self._path, rules.currency, self._clock())
        self._file = file
        tables, venue.seq, naps = await loop.run_in_executor(self._thread, file.read, rules.history)
        try:
            exactly(restore)(venue, tables)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise broken(self._path, f"is damaged: {type(error).__name__}: {error}") from error
        venue.asleep.extend(naps)
        venue.changes = Changes()
        venue.changes.accounts.update(dict.fromkeys(venue.accounts.values()))

    async def written(
        self, venue: Venue, take: Callable[[], list[Said]], tell: Callable[[list[Said]], None]
    ) -> None:
        """
        Returns when all that *venue* did so far is on the disk, and told; else raises `BrokerUnavailable`.

        Who waits may be cancelled: what happened is written all the same.
        """
        if self._failure is not None:
            raise self._error()
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write(venue, take, tell))
        await waiter

    async def close(self) -> None:
        """Write the rest and let go of the file."""
        if self._writing is not None:
            await asyncio.wait({self._writing})
        if self._file is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._file.close)
        self._thread.shutdown()

    async def _write(
        self, venue: Venue, take: Callable[[], list[Said]], tell: Callable[[list[Said]], None]
    ) -> None:
        while self._waiting:
            await asyncio.sleep(0)  # whoever is ready now comes along
            waiting, self._waiting = self._waiting, []
            said, changes, venue.changes = take(), venue.changes, Changes()
            try:
                await self._commit(changes_of(changes), venue.seq)
            except Exception as error:  # noqa: BLE001 - whatever it is, everybody who waits must hear of it
                self._failure = error
                self._refuse(waiting)
                break
            tell(said)
            for waiter in waiting:
                if not waiter.done():
                    waiter.set_result(None)
        self._writing = None

    async def _commit(self, rows: Tables, seq: int) -> None:
        file = self._file
        assert file is not None  # noqa: S101 - it was opened before anything happened
        await asyncio.get_running_loop().run_in_executor(self._thread, file.write, rows, seq, self._clock())

    def _refuse(self, waiting: list[asyncio.Future[None]]) -> None:
        for waiter in (*waiting, *self._waiting):
            if not waiter.done():
                waiter.set_exception(self._error())
        self._waiting = []

    def _error(self) -> BrokerUnavailable:
        # No outcome is said: whether it counts will be seen when the file is read again.
        why = f"the paper broker's file {self._path} cannot be written: {self._failure}"
        error = BrokerUnavailable(why, code="file")
        error.__cause__ = self._failure
        return error


def changes_of(changes: Changes | None) -> Tables:
    """The rows of *changes*."""
    assert changes is not None  # noqa: S101 - they are followed from the opening on
    return changed_rows(changes)
