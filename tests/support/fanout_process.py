"""For the benchmarks: one way to tell many WebSocket clients the same, in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.server import broadcast, serve

import hotplug
from hotplug import UserExecutionContext
from hotplug_web import Limits, Principal, TokenAuthenticator, create_app
from hotplug_web._server import server_of

LIMITS = Limits(per_user=10_000, per_address=10_000)
ADA = UserExecutionContext("ada")
PAYLOAD = {"text": "x" * 200}
MESSAGES, ROUNDS = 20, 3
Tell = Callable[[], Awaitable[None]]


def text() -> str:
    """About what an event's frame is."""
    facts = {"type": "CUSTOM", "cursor": "0" * 12 + ":1", "user_id": "ada", "thread_id": None, "run_id": None}
    return json.dumps({**facts, "time": "2024-01-01T00:00:00Z", "payload": PAYLOAD})


async def raw(listening: socket.socket, measure: Any) -> None:
    """An application without a framework, sending in a loop."""
    peers: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for _ in range(2):
                kind = (await receive())["type"]
                await send({"type": f"{kind}.complete"})
            return
        await receive()
        await send({"type": "websocket.accept"})
        peers.append(send)
        while (await receive())["type"] != "websocket.disconnect":
            pass

    async def tell() -> None:
        message = {"type": "websocket.send", "text": text()}
        for send in peers:
            await send(message)

    await _under_uvicorn(app, listening, measure(peers.__len__, tell))


async def starlette(listening: socket.socket, measure: Any) -> None:
    """A plain Starlette loop."""
    peers: list[WebSocket] = []

    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        peers.append(websocket)
        try:
            while True:
                await websocket.receive_text()
        except WebSocketDisconnect:
            pass

    async def tell() -> None:
        message = text()
        for websocket in peers:
            await websocket.send_text(message)

    app = Starlette(routes=[WebSocketRoute("/ws", endpoint)])
    await _under_uvicorn(app, listening, measure(peers.__len__, tell))


async def websockets(listening: socket.socket, measure: Any) -> None:
    """What the websockets library has for it."""
    peers: set[Any] = set()

    async def handler(connection: Any) -> None:
        peers.add(connection)
        await connection.wait_closed()

    async def tell() -> None:
        broadcast(peers, text())

    async with serve(handler, sock=listening, compression=None):
        await measure(peers.__len__, tell)


async def ours(listening: socket.socket, measure: Any) -> None:
    """A user's events to all of the user's connections."""
    with tempfile.TemporaryDirectory() as data:
        async with hotplug.Host(
            hotplug.Config.parse(f"[host]\ndata = '{data}'\n"), path=[], cache=False
        ) as host:
            known = TokenAuthenticator({"token": Principal("ada")})
            app = create_app(host, authenticate=known, limits=LIMITS, data=Path(data))

            async def tell() -> None:
                host.events.emit(ADA, "CUSTOM", PAYLOAD)
                # Its task reads the event in the next turn of the loop, and hands it out in the one after.
                for _ in range(4):
                    await asyncio.sleep(0)

            manager = app.state.manager
            await _under_uvicorn(app, listening, measure(manager.__len__, tell))


async def _under_uvicorn(app: Any, listening: socket.socket, measuring: Any) -> None:
    server = server_of(app, LIMITS)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    await measuring
    server.should_exit = True
    await serving


async def clients(count: int, port: int) -> None:
    """So many clients, that read everything and look at nothing; whether each had all, when asked."""
    head = (
        f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        "Sec-WebSocket-Protocol: bearer, token\r\n\r\n"
    ).encode()
    heard = [0] * count

    async def one(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head)
        while data := await reader.read(65536):
            heard[number] += len(data)

    reading = [asyncio.create_task(one(number)) for number in range(count)]
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(20):
            while min(heard) < ROUNDS * MESSAGES * len(text()):  # noqa: ASYNC110 - it comes by many ways
                await asyncio.sleep(0.05)
    print(min(heard), flush=True)
    for task in reading:
        task.cancel()
    await asyncio.gather(*reading, return_exceptions=True)


async def main(way: str, count: int) -> None:
    """Print the CPU time of one message to one client, in microseconds: the best of some rounds."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
    command = [sys.executable, __file__, "clients", str(count), str(listening.getsockname()[1])]
    pipe = subprocess.PIPE

    async def measure(present: Callable[[], int], tell: Tell) -> None:
        child = subprocess.Popen(command, stdin=pipe, stdout=pipe)  # noqa: ASYNC220 - it begins at once
        while present() < count:  # noqa: ASYNC110 - of each way it is another thing to wait for
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)
        costs: list[float] = []
        for _ in range(ROUNDS):
            begun = time.process_time()
            for _ in range(MESSAGES):
                await tell()
            await asyncio.sleep(0.2)  # whatever is done later belongs to it as well; waiting costs nothing
            costs.append((time.process_time() - begun) / MESSAGES / count)
        heard, _ = await asyncio.to_thread(child.communicate, b"", 30)
        assert int(heard) >= ROUNDS * MESSAGES * len(text()), "somebody was not told everything"
        print(min(costs) * 1e6)

    ways = {"raw": raw, "starlette": starlette, "websockets": websockets, "hotplug": ours}
    await ways[way](listening, measure)


if __name__ == "__main__":
    if sys.argv[1] == "clients":
        asyncio.run(clients(int(sys.argv[2]), int(sys.argv[3])))
    else:
        asyncio.run(main(sys.argv[1], int(sys.argv[2])))
