"""The server, where uvicorn as it is would not do."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from hotplug_web._doors import HEADERS
from hotplug_web._refusals import TOO_BIG
from hotplug_web._socket import LEAVE, MALFORMED, WRITE
from hotplug_web._sse import CUT

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Collection, Generator

    from starlette.applications import Starlette
    from starlette.types import Receive, Scope, Send

    from hotplug_web._limits import Limits

__all__ = ["Server", "server_of"]

GRACE: Final = 5.0  # seconds that a client has to take what was sent to it before it is cut off
PIECES: Final = 1000  # that one message may come in
PATIENCE: Final = 15.0  # seconds that a client has to say all of what it asks for


class Server(uvicorn.Server):
    """Leaves signals to who runs it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Capture none."""
        yield


class _Http(H11Protocol):
    """Waits for nobody forever, and answers what is no request with the same headers as everything else."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._late: asyncio.TimerHandle | None = None
        self._app: Final[Any] = self.app
        self.app = self._run

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._mind()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._mind()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._forget()
        super().handle_websocket_upgrade(event)

    def send_400_response(self, msg: str) -> None:
        headers = {**HEADERS, "Content-Type": "text/plain; charset=utf-8", "Connection": "close"}
        lines = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            answer = h11.Response(status_code=400, headers=lines, reason=b"Bad Request")
            for part in (answer, h11.Data(data=msg.encode()), h11.EndOfMessage()):
                self.transport.write(self.conn.send(part) or b"")
        self.transport.close()

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["extensions"] = {CUT: {"call": self.transport.abort}}
        await self._app(scope, receive, send)

    def _mind(self) -> None:
        """Cut it off after a while, where it has begun to say something and does not come to an end."""
        if self.transport.get_protocol() is not self or self.transport.is_closing():
            return
        if self.conn.their_state not in {h11.IDLE, h11.SEND_BODY}:
            self._forget()
        elif self._late is None and self.timeout_keep_alive_task is None:
            self._late = self.loop.call_later(PATIENCE, self.transport.abort)

    def _forget(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


class _Protocol(WebSocketsSansIOProtocol):
    """
    Takes two short ways: bytes that are the same for many clients, and the end of one that takes nothing.

    uvicorn would make the bytes anew for each, and wait until the client reads. There is no compression here,
    so that a message is whole and depends on none before it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn.debug = False  # it would log headers and messages: tokens

    def data_received(self, data: bytes) -> None:
        if self.handshake_initiated and not self.handshake_complete:
            self.transport.abort()  # who does not wait to be let in is no client, and uvicorn would stumble
            return
        super().data_received(data)

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        scope: Any = getattr(self, "scope", None)
        if scope is not None:
            scope["extensions"] |= {LEAVE: {"call": self._leave}, WRITE: {"call": self._write}}

    def handle_cont(self, event: Any) -> None:
        if len(self.frames) < PIECES:
            super().handle_cont(event)
        else:  # empty ones are never too long, however many there are
            self.conn.fail(TOO_BIG, "too many pieces")
            self.handle_parser_exception()

    def send_receive_event_to_app(self) -> None:
        try:
            if self.curr_msg_data_type == "text":
                b"".join(self.frames).decode()
        except UnicodeDecodeError:  # uvicorn would log a traceback for each
            self.conn.fail(MALFORMED, "")
            self.handle_parser_exception()
        else:
            super().send_receive_event_to_app()

    def handle_ping(self) -> None:
        answer = b"".join(self.conn.data_to_send())
        if self.writable.is_set():  # who reads no answers gets no more of them: they would pile up here
            self.transport.write(answer)

    def _write(self, raw: bytes) -> bool:
        if self.close_sent or not self.writable.is_set() or self.transport.is_closing():
            return False
        self.transport.write(raw)
        return True

    def _leave(self, code: int, why: str) -> None:
        if not (self.close_sent or self.disconnected or self.transport.is_closing()):
            self.conn.send_close(code, why)
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
        self.transport.close()
        self.loop.call_later(GRACE, self.transport.abort)


def server_of(app: Starlette, limits: Limits, proxies: Collection[str] = ()) -> Server:
    """
    A server for *app*; who it listens for is said when it is started.

    Of *proxies* alone it believes who is behind them (``X-Forwarded-For``), and how that one came
    (``X-Forwarded-Proto``).
    """
    config = uvicorn.Config(
        app,
        access_log=False,
        date_header=True,
        forwarded_allow_ips=list(proxies),
        h11_max_incomplete_event_size=16 * 1024,
        http=_Http,
        lifespan="on",
        log_config=None,
        loop="asyncio",
        proxy_headers=bool(proxies),
        server_header=False,
        timeout_graceful_shutdown=5,
        ws=_Protocol,
        ws_max_size=limits.message,
        ws_per_message_deflate=False,
    )
    return Server(config)
