"""
``/ws``: one connection, from the first word to the last.

    cookie, subprotocol pair or first frame ─▶ Guest ─▶ a place among the connections ─▶ cursor
         cursor, board ─▶ frames ─▶ one send at a time ─▶ client ─▶ ping, watch, auth
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from typing import TYPE_CHECKING, Any, Final, cast

from starlette.websockets import WebSocketDisconnect, WebSocketState

from hotplug import UserExecutionContext
from hotplug_web._frames import PING, frame
from hotplug_web._guests import address_of, neighbourhood_of
from hotplug_web._limits import Bucket
from hotplug_web._line import Line
from hotplug_web._principal import READ
from hotplug_web._refusals import GONE, TOO_BIG, TOO_LATE, TOO_MANY, UNKNOWN, Refusal
from hotplug_web._tokens import BEARER, bearer_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from starlette.types import Send
    from starlette.websockets import WebSocket

    from hotplug.events import EventCursor
    from hotplug_web._board import Board
    from hotplug_web._guests import Guest, Guests
    from hotplug_web._manager import WebSocketManager

__all__ = ["LEAVE", "MALFORMED", "Socket", "WRITE"]

UNSUPPORTED: Final = 1003
MALFORMED: Final = 1007
WENT_BY_ITSELF: Final = 1000
GOODBYE: Final = 1.0  # seconds that a close frame may take
LINGER: Final = 60.0  # seconds in which one that takes nothing keeps its place, where it cannot be cut off
WRITE: Final = "hotplug.write"
"""The extension of a server that takes the bytes of a message, the same ones for many clients (`_server`)."""
LEAVE: Final = "hotplug.leave"
"""The extension of a server that can close a connection whose client takes nothing (`_server`)."""
_log = logging.getLogger("hotplug.web")


class Socket:
    """A WebSocket of somebody."""

    def __init__(
        self, websocket: WebSocket, send: Send, guests: Guests, manager: WebSocketManager, board: Board
    ) -> None:
        self._websocket: Final = websocket
        self._send_raw: Final = send
        self._guests: Final = guests
        self._manager: Final = manager
        self._limits: Final = manager.limits
        self._board: Final = board
        self._loop: Final = asyncio.get_running_loop()
        self._over: Final[asyncio.Future[tuple[int, str]]] = self._loop.create_future()
        self._line: Line
        self._tasks: Final[set[asyncio.Task[None]]] = set()
        self._watching: asyncio.Task[None] | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._after = websocket.query_params.get("after")
        self._guest: Guest

    @property
    def user(self) -> str:
        """Whose it is."""
        return self._guest.principal.user

    @property
    def guest(self) -> Guest:
        """How that one came in, or proved to be still itself."""
        return self._guest

    def leave(self, code: int, why: str) -> None:
        """Close it, from any thread."""
        with contextlib.suppress(RuntimeError):  # its loop is closed, and so is it
            self._loop.call_soon_threadsafe(self._end, code, why)

    async def run(self) -> None:
        """Everything, until somebody ends it."""
        try:
            with self._manager.addresses.take(neighbourhood_of(address_of(self._websocket))):
                self._guest = await self._recognised()
                with self._manager.connected(self):
                    if not self._guests.is_welcome(self._guest):  # revoked while it came in
                        raise Refusal(401, "revoked")
                    await self._serve()
        except Refusal as refusal:
            await self._refuse(refusal)
        except (WebSocketDisconnect, OSError):
            pass  # it is gone

    # -- coming in ---------------------------------------------------------------------------------

    async def _recognised(self) -> Guest:
        guest = await self._guests.recognise(self._websocket)
        if guest is None:
            await self._accept()
            return await self._introduced()
        headers = self._websocket.headers
        if not guest.by_bearer and "origin" not in headers and "authorization" not in headers:
            raise Refusal(403, "a cookie counts only with the Origin of the page that uses it")
        await self._accept()
        return guest

    async def _accept(self) -> None:
        # Of the pair only the label is echoed: the other one is the token.
        await self._websocket.accept(BEARER if bearer_of(self._websocket) and self._offers_pair else None)

    @property
    def _offers_pair(self) -> bool:
        offered: list[str] = self._websocket.scope.get("subprotocols") or []
        return bool(offered) and offered[0].lower() == BEARER

    async def _introduced(self) -> Guest:
        """Who it is by its first message."""
        try:
            async with asyncio.timeout(self._limits.auth):
                message = self._object_in(await self._websocket.receive())
        except TimeoutError:
            raise Refusal(408, f"nobody said within {self._limits.auth:g} s who this is") from None
        except _Unfit as unfit:
            raise Refusal(413 if unfit.code == TOO_BIG else 401, unfit.why) from None
        if message.get("type") != "auth":
            raise Refusal(401, 'the first message must be {"type": "auth", "token": …}')
        guest = await self._guests.introduce(self._websocket, message)
        if isinstance(after := message.get("after"), str):
            self._after = after
        return guest

    async def _refuse(self, refusal: Refusal) -> None:
        self._manager.counts[f"refused_{refusal.close_code}"] += 1
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            if self._websocket.application_state is WebSocketState.CONNECTING:
                await self._accept()
            await self._websocket.close(refusal.close_code, refusal.why[:120])

    # -- being there -------------------------------------------------------------------------------

    async def _serve(self) -> None:
        context = UserExecutionContext(self.user)
        try:
            with self._manager.feeds.using(self.user) as feed:
                extensions: dict[str, Any] = self._websocket.scope.get("extensions") or {}
                self._line = Line(self._send_raw, feed, extensions.get(WRITE, {}).get("call"))
                cursor = self._manager.hub.open(context, self._after)
                await self._line.send(self._hello(cursor))
                self._let_expire()
                for work in (self._write(cursor), self._read(), self._look_after()):
                    self._start(work)
                code, why = await self._over
        finally:
            if self._expiry is not None:
                self._expiry.cancel()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._part(code, why)

    def _hello(self, cursor: EventCursor) -> str:
        principal = self._guest.principal
        return frame(
            "hello",
            user=principal.user,
            scopes=sorted(principal.scopes),
            expires_at=principal.expires_at,
            after=cursor.ack(),
            heartbeat=self._limits.heartbeat,
        )

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do it beside the rest; when it is over or fails, so is all."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and not isinstance(error, WebSocketDisconnect | OSError):
            _log.error("a connection of user %r failed", self.user, exc_info=error)
        if task is not self._watching:
            self._end(WENT_BY_ITSELF if error is None else 1011, "")

    def _end(self, code: int, why: str) -> None:
        if not self._over.done():
            self._over.set_result((code, why))

    def _let_expire(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        left = self._guest.principal.seconds_left
        if left is not None:
            self._expiry = self._loop.call_later(left, self._end, UNKNOWN, "expired")

    # -- sending -----------------------------------------------------------------------------------

    async def _write(self, cursor: EventCursor) -> None:
        """Send the user's events as they come."""
        await self._line.follow(cursor)
        self._end(GONE, "the host is closed")

    async def _look_after(self) -> None:
        """Send signs of life; end it where nothing is taken, or whose it is may not be here any more."""
        limits = self._limits
        pause = min(limits.heartbeat, limits.send / 2)
        beaten = self._loop.time()
        while True:
            await asyncio.sleep(pause)
            now = self._loop.time()
            if self._line.held_up > limits.send:
                self._end(TOO_LATE, "too slow")
                return
            if not self._guests.is_welcome(self._guest):
                self._end(UNKNOWN, "not known any more")
                return
            if not self._line.held_up and now - beaten >= limits.heartbeat:
                beaten = now
                await self._beat()

    async def _beat(self) -> None:
        try:
            async with asyncio.timeout(self._limits.send):
                await self._line.send(PING)
        except TimeoutError:
            self._end(TOO_LATE, "too slow")

    async def _show_board(self) -> None:
        async with contextlib.aclosing(self._board.frames()) as frames:
            async for each in frames:
                await self._line.send(each)

    # -- hearing -----------------------------------------------------------------------------------

    async def _read(self) -> None:
        bucket = Bucket(self._limits.calls, self._limits.burst)
        answers: dict[object, Callable[[dict[str, Any]], Coroutine[Any, Any, None]]] = {
            "auth": self._on_auth,
            "ping": self._on_ping,
            "pong": self._on_pong,
            "watch": self._on_watch,
            "unwatch": self._on_unwatch,
        }
        try:
            while True:
                message = self._object_in(await self._websocket.receive())
                if not bucket.take():
                    raise _Unfit(TOO_MANY, "too many messages")
                type_ = message.get("type")
                answer = answers.get(type_) if isinstance(type_, str) else None
                await (answer or self._on_unknown)(message)
        except _Unfit as unfit:
            self._end(unfit.code, unfit.why)
        except Refusal as refusal:
            self._end(refusal.close_code, refusal.why)
        except WebSocketDisconnect:
            self._end(WENT_BY_ITSELF, "")

    def _object_in(self, message: Any) -> dict[str, Any]:
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        text: str | None = message.get("text")
        if text is None:
            raise _Unfit(UNSUPPORTED, "messages are text")
        if len(text) > self._limits.message:
            raise _Unfit(TOO_BIG, f"messages have at most {self._limits.message} characters")
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise _Unfit(MALFORMED, "a message is a JSON object")
        return cast("dict[str, Any]", found)

    async def _on_auth(self, message: dict[str, Any]) -> None:
        guest = await self._guests.introduce(self._websocket, message)
        if guest.principal.user != self.user:
            raise Refusal(403, "this connection belongs to another user")
        self._guest = guest
        self._let_expire()
        if self._watching is not None and not guest.principal.may(READ):
            await self._on_unwatch({})
        await self._line.send(
            frame("auth", scopes=sorted(guest.principal.scopes), expires_at=guest.principal.expires_at)
        )

    async def _on_ping(self, _message: dict[str, Any]) -> None:
        await self._line.send(frame("pong"))

    async def _on_pong(self, _message: dict[str, Any]) -> None:
        """That somebody is there is known now."""

    async def _on_watch(self, _message: dict[str, Any]) -> None:
        if not self._guest.principal.may(READ):
            await self._line.send(frame("error", why="the board needs the scope 'read' or 'admin'"))
        elif self._watching is None:
            self._watching = self._start(self._show_board())

    async def _on_unwatch(self, _message: dict[str, Any]) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait({self._watching})
            self._watching = None

    async def _on_unknown(self, _message: dict[str, Any]) -> None:
        await self._line.send(frame("error", why="type is auth, ping, pong, watch or unwatch"))

    # -- parting -----------------------------------------------------------------------------------

    async def _part(self, code: int, why: str) -> None:
        """Say goodbye; who takes not even that is cut off, or keeps its place until it is gone."""
        self._manager.counts[f"closed_{code}"] += 1
        if self._websocket.client_state is WebSocketState.DISCONNECTED:
            return
        with contextlib.suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
            async with asyncio.timeout(GOODBYE):
                await self._websocket.close(code, why)
            return
        extensions: dict[str, Any] = self._websocket.scope.get("extensions") or {}
        if LEAVE in extensions:
            extensions[LEAVE]["call"](code, why)
            return
        with contextlib.suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
            async with asyncio.timeout(LINGER):
                while (await self._websocket.receive())["type"] != "websocket.disconnect":
                    pass


class _Unfit(Exception):  # noqa: N818 - it is an answer
    """A message that ends its connection with *code*."""

    def __init__(self, code: int, why: str) -> None:
        self.code: Final = code
        self.why: Final = why
        super().__init__(code, why)
