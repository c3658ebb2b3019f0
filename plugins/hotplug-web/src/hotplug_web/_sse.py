"""``/events``: a user's events as server-sent events, for who cannot or will not open a WebSocket."""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import StreamingResponse

from hotplug import UserExecutionContext
from hotplug_web._guests import neighbourhood_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.requests import Request
    from starlette.types import Message, Receive, Scope, Send

    from hotplug.events import EventCursor
    from hotplug_web._guests import Guest, Guests
    from hotplug_web._manager import WebSocketManager

__all__ = ["CUT", "Stream"]

BATCH: Final = 64
GOODBYE: Final = 1.0  # seconds in which one that is over may take what is under way
CUT: Final = "hotplug.cut"
"""The extension of a server that can end a connection whose client takes nothing (`_server`)."""


class Stream(StreamingResponse):
    """
    The events of *guest*'s user.

    An event's id is its cursor, so that a browser resumes by itself. Each has the type ``message`` and the
    same frame as on a WebSocket.
    """

    def __init__(self, request: Request, guest: Guest, guests: Guests, manager: WebSocketManager) -> None:
        self._guest: Final = guest
        self._guests: Final = guests
        self._manager: Final = manager
        self._loop: Final = asyncio.get_running_loop()
        self._over: Final = asyncio.Event()
        self._after = request.headers.get("last-event-id") or request.query_params.get("after")
        self._cursor: EventCursor | None = None
        self._began: float | None = None
        headers = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}
        super().__init__(self._lines(), media_type="text/event-stream", headers=headers)

    @property
    def user(self) -> str:
        """Whose it is."""
        return self._guest.principal.user

    @property
    def guest(self) -> Guest:
        """How that one came in."""
        return self._guest

    def leave(self, code: int, why: str) -> None:  # noqa: ARG002 - a stream ends without a word
        """End it, from any thread."""
        with contextlib.suppress(RuntimeError):  # its loop is closed, and so is it
            self._loop.call_soon_threadsafe(self._end)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        address = neighbourhood_of(self._guest.address)
        with self._manager.addresses.take(address), self._manager.connected(self):
            streaming = self._loop.create_task(super().__call__(scope, receive, self._timed(send)))
            minding = self._loop.create_task(self._mind())
            try:
                await asyncio.wait({streaming, minding}, return_when=asyncio.FIRST_COMPLETED)
                self._end()
                await asyncio.wait({streaming}, timeout=GOODBYE)
            finally:
                minding.cancel()
                is_stuck = not streaming.done()
                streaming.cancel()
                await asyncio.wait({streaming, minding})
        if is_stuck:
            extensions: dict[str, Any] = scope.get("extensions") or {}
            if CUT in extensions:
                extensions[CUT]["call"]()
                await asyncio.sleep(0)  # the server hears of it, and complains about no half answer
        else:
            await streaming

    def _timed(self, send: Send) -> Send:
        async def timed(message: Message) -> None:
            self._began = self._loop.time()
            await send(message)
            self._began = None

        return timed

    async def _mind(self) -> None:
        """Return when it has to end: its time is over, its user unknown, or nobody reads it."""
        limits, left = self._manager.limits, self._guest.principal.seconds_left
        ends = math.inf if left is None else self._loop.time() + left
        while True:
            pause = min(limits.heartbeat, limits.send / 2, max(0.0, ends - self._loop.time()))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), pause)
                return
            now = self._loop.time()
            is_held_up = self._began is not None and now - self._began > limits.send
            if is_held_up or now >= ends or not self._guests.is_welcome(self._guest):
                return

    def _end(self) -> None:
        self._over.set()
        if self._cursor is not None:
            self._cursor.close()

    async def _lines(self) -> AsyncGenerator[str]:
        manager, user = self._manager, self.user
        with manager.hub.open(UserExecutionContext(user), self._after) as cursor:
            self._cursor = cursor
            yield f"retry: 1000\nid: {cursor.ack()}\n\n"
            while not self._over.is_set():
                for stored in (batch := cursor.take(BATCH)):
                    if self._over.is_set():
                        return
                    text = manager.frames.of(user, manager.epoch, stored)
                    yield f"id: {manager.epoch}:{stored[0]}\ndata: {text}\n\n"
                if batch:
                    await asyncio.sleep(0)
                elif not await self._is_anything_new(cursor):
                    yield ": ping\n\n"

    async def _is_anything_new(self, cursor: EventCursor) -> bool:
        """Wait for that; false if it takes longer than a heartbeat, or will not be."""
        try:
            async with asyncio.timeout(self._manager.limits.heartbeat):
                if not await cursor.ready():
                    self._over.set()
        except TimeoutError:
            return False
        return True
