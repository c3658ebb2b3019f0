"""
What goes out to one client.

    feed ──offer──▶ line ──▶ client           as long as the client takes what it is sent
                     │ it does not, just now
                     ▼
           its own cursor, one send after the other, until it is where the feed is
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from hotplug import UserExecutionContext

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

    from starlette.types import Message, Send

    from hotplug.events import EventCursor
    from hotplug_web._feed import Feed

__all__ = ["Line"]

Write: TypeAlias = "Callable[[bytes], bool]"
"""Sends the bytes of a message at once, if the client takes what it is sent (`_server`)."""

BATCH: Final = 64  # events that are sent before others have their turn


class Line:
    """One message at a time, a user's events among them, each of these once and in order."""

    def __init__(self, send: Send, feed: Feed, write: Write | None = None) -> None:
        self._to_client: Final = send
        self._write: Final = write
        self._feed: Final = feed
        self._loop: Final = asyncio.get_running_loop()
        self._turn: Final = asyncio.Lock()
        self._resting: asyncio.Future[None] | None = None
        self._began: float | None = None
        self._parted: asyncio.Future[_Rest | None] = self._loop.create_future()
        self.seq = 0
        """Up to which of the user's events all went out, or are not for this client."""

    @property
    def held_up(self) -> float:
        """For how long the client has not taken what it is being sent, in seconds."""
        return 0.0 if self._began is None else self._loop.time() - self._began

    async def send(self, text: str) -> None:
        """Send it, when what is being sent has gone."""
        async with self._turn:
            if self._resting is not None:
                await asyncio.shield(self._resting)
            self._began = self._loop.time()
            await self._to_client({"type": "websocket.send", "text": text})
            self._began = None

    async def follow(self, cursor: EventCursor) -> None:
        """Send the user's events from *cursor* on, until the hub ends."""
        feed = self._feed
        try:
            while True:
                with cursor:
                    await self._catch_up(cursor)
                if feed.is_over:
                    return
                rest = await self._parted
                if rest is not None:
                    await self._finish(rest)
                self._parted = self._loop.create_future()
                cursor = feed.hub.open(UserExecutionContext(feed.user), f"{feed.epoch}:{self.seq}")
        finally:
            feed.part(self)

    async def _finish(self, rest: _Rest) -> None:
        await rest
        self._began = None
        if self._resting is not None:
            self._resting.set_result(None)
            self._resting = None

    async def _catch_up(self, cursor: EventCursor) -> None:
        feed = self._feed
        while True:
            batch = cursor.take(BATCH)
            for stored in batch:
                await self.send(feed.frame_of(stored))
            self.seq = int(cursor.ack().partition(":")[2])
            if not batch:
                feed.join(self)
                return
            await asyncio.sleep(0)

    # -- called by the feed ------------------------------------------------------------------------

    def offer(self, seq: int, message: Message, raw: bytes) -> bool:
        """Send the event at *seq*, *raw* on the wire; false where the client has to catch up by itself."""
        if seq <= self.seq:
            return True
        if self._turn.locked():
            self.part()
            return False
        if self._write is not None:
            if self._write(raw):
                self.seq = seq
                return True
            self.part()
            return False
        rest = _begun(self._to_client(message))
        self.seq = seq
        if rest is None:
            return True
        self._began = self._loop.time()
        self._resting = self._loop.create_future()
        self.part(rest)
        return False

    def part(self, rest: _Rest | None = None) -> None:
        """The feed goes on without it, once *rest* has gone out."""
        if not self._parted.done():
            self._parted.set_result(rest)


def _begun(sending: Any) -> _Rest | None:
    """Do *sending* as far as it goes without waiting; the rest of it, if it has to wait."""
    try:
        waits_for = sending.send(None)
    except StopIteration:
        return None
    return _Rest(sending, waits_for)


class _Rest:
    """A coroutine that began outside of any task, to be awaited to its end."""

    def __init__(self, sending: Coroutine[Any, Any, None], waits_for: Any) -> None:
        self._sending: Final = sending
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, None]:
        try:
            while True:
                try:
                    answer = yield self._waits_for
                except BaseException as error:  # noqa: BLE001 - it is the coroutine's to handle
                    self._waits_for = self._sending.throw(error)
                else:
                    self._waits_for = self._sending.send(answer)
        except StopIteration:
            return
