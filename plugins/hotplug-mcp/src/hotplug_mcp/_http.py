"""Any number of clients over streamable HTTP, each at the desk of its user."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import socket
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from hotplug.errors import ConfigError
from hotplug_mcp._desk import Desk
from hotplug_mcp._following import following
from hotplug_mcp._gate import PATH, Gate, Rules, is_loopback
from hotplug_mcp._server import server_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    import hotplug
    from hotplug_mcp._gate import Receive, Scope, Send
    from hotplug_mcp._tokens import Tokens

__all__ = ["serve_http"]

GRACE: Final = 5.0
MOST_SESSIONS: Final = 64  # of one user; who leaves without a word is forgotten after half an hour


def _limits() -> dict[str, Any]:
    """What of our limits the installed SDK knows: older ones know none."""
    known = inspect.signature(StreamableHTTPSessionManager).parameters
    limits = {"max_sessions": MOST_SESSIONS, "session_idle_timeout": 1800.0}
    return {name: limit for name, limit in limits.items() if name in known}


class Room:
    """The desk of one user, with the sessions of its clients; kept open by a task of its own."""

    def __init__(self, desk: Desk) -> None:
        self.desk: Final = desk
        # One manager for each user: nobody finds another's session, whatever its id.
        self._manager = StreamableHTTPSessionManager(server_of(desk), **_limits())
        self._open = asyncio.Event()
        self._close = asyncio.Event()
        self._task = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        looking = asyncio.create_task(self.desk.look())  # it may take a while, and clients first say hello
        try:
            async with self._manager.run():
                self._open.set()
                await self._close.wait()
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request of the user."""
        await self._open.wait()
        await self._manager.handle_request(scope, receive, send)

    async def close(self) -> None:
        """End all sessions."""
        self._close.set()
        if not self._open.is_set():
            self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class Rooms:
    """Rooms, opened when their user comes first."""

    def __init__(self, tools: hotplug.tools.ToolRegistry) -> None:
        self._tools = tools
        self._rooms: dict[str, Room] = {}

    @property
    def desks(self) -> list[Desk]:
        """The desks of all who came."""
        return [room.desk for room in self._rooms.values()]

    async def serve(self, user: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request of *user*."""
        if user not in self._rooms:
            self._rooms[user] = Room(Desk(self._tools, user))
        await self._rooms[user].serve(scope, receive, send)

    async def idle(self, limit: float) -> None:
        """Wait until no call is under way, *limit* seconds at most."""
        await asyncio.gather(*(desk.idle(limit) for desk in self.desks))

    async def close(self) -> None:
        """End all sessions."""
        await asyncio.gather(*(room.close() for room in self._rooms.values()))


class _Uvicorn(uvicorn.Server):
    """Leaves signals to who started it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


async def serve_http(
    host: hotplug.Host,
    user: str,
    *,
    address: str = "127.0.0.1",
    port: int = 0,
    tokens: Tokens | None = None,
    hosts: frozenset[str] = frozenset(),
    origins: frozenset[str] = frozenset(),
    stop: asyncio.Event | None = None,
    started: Callable[[str], object] = lambda _: None,
    grace: float = GRACE,
) -> None:
    """
    Serve the tools of *host* over HTTP until *stop* is set; *started* is called with the URL.

    Without *tokens*, every client acts for *user*, and the *address* must be this machine's own
    (`ConfigError`); with them, each for the user of its token. *hosts* and *origins* may come besides.
    *host* must be started.
    """
    local = is_loopback(address)
    if tokens is None and (not local or hosts):
        raise ConfigError("who can be reached from elsewhere needs tokens (--token-file)", source=address)
    rooms = Rooms(host.tools)
    gate = Gate(Rules(user, tokens, local, hosts, origins), rooms.serve)
    async with following(host, lambda: rooms.desks), _listening(gate, address, port) as url:
        started(url)
        try:
            await (stop or asyncio.Event()).wait()
            gate.is_closing = True
            await rooms.idle(grace)
        finally:
            await rooms.close()


@contextlib.asynccontextmanager
async def _listening(gate: Any, address: str, port: int) -> AsyncGenerator[str]:
    """Within it, *gate* is served at the URL."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    config = uvicorn.Config(
        gate,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    with socket.create_server((address, port), family=family, backlog=128) as listener:
        shown = f"[{address}]" if family == socket.AF_INET6 else address
        url = f"http://{shown}:{listener.getsockname()[1]}{PATH}"
        server = _Uvicorn(config)
        serving = asyncio.create_task(server.serve([listener]))
        try:
            yield url
        finally:
            server.should_exit = True
            await serving
