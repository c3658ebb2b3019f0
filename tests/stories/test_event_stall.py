"""One client that never reads, among fifty that do: a real server in a process of its own, real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
import statistics
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

pytestmark = pytest.mark.real_services

SCRIPT = Path(__file__).parents[1] / "support" / "telling_process.py"
USERS, EACH = 10, 5
ROUNDS, MESSAGES = 7, 150
BATCHES, BATCH, LARGE = 20, 200, 8000
PATIENCE = 20.0
LIMIT = 240.0


class Site:
    """The served host: `tell` has it tell all users the time, so many times."""

    def __init__(self, process, port):
        self.process, self.port = process, port

    async def tell(self, count, size=2000, pause=0.01):
        self.process.stdin.write(f"{count} {size} {pause}\n".encode())
        return json.loads(await self.process.stdout.readline())


@asynccontextmanager
async def served(users, patience):
    arguments = sys.executable, str(SCRIPT), str(users), str(patience)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*arguments, stdin=pipe, stdout=pipe)
    try:
        yield Site(process, int(await process.stdout.readline()))
    finally:
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 20)
        except TimeoutError:
            process.kill()
            raise


async def enter(stack, site, user):
    """A client that has been greeted."""
    address = f"ws://127.0.0.1:{site.port}/ws"
    client = await stack.enter_async_context(
        connect(address, subprotocols=["bearer", user], compression=None, max_queue=None)
    )
    assert json.loads(await client.recv())["type"] == "hello"
    return client


def stall(site, user):
    """A connection that is let in, and reads nothing from then on."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.settimeout(10)
    raw.connect(("127.0.0.1", site.port))
    lines = (
        "GET /ws HTTP/1.1",
        f"Host: 127.0.0.1:{site.port}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        f"Sec-WebSocket-Protocol: bearer, {user}",
    )
    raw.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    greeted = b""
    while b'"hello"' not in greeted:
        greeted += (got := raw.recv(4096))
        assert got, greeted
    return raw


async def hear(client, count):
    """After how long each of the next events was here; none is missing, none out of order."""
    waits = []
    while len(waits) < count:
        frame = json.loads(await client.recv())
        now = time.monotonic()
        if "cursor" in frame:
            assert frame["payload"]["n"] == len(waits)
            waits.append(now - frame["payload"]["sent"])
    return waits


async def round_of(site, clients, count, *how):
    """The 99th percentile of the waits of all clients, in milliseconds, and what the server says."""
    hearing = [asyncio.create_task(hear(client, count)) for client in clients]
    facts = await site.tell(count, *how)
    waits = [wait for heard in await asyncio.gather(*hearing) for wait in heard]
    return statistics.quantiles(waits, n=100)[98] * 1000, facts


async def left_alone(site, clients):
    """Wait until the server has nobody but *clients*."""
    while (await site.tell(0))["connections"] > len(clients):  # noqa: ASYNC110 - in another process
        await asyncio.sleep(0.01)


@pytest.mark.usefixtures("nothing_left")
def test_who_reads_nothing_delays_nobody():
    """
    With one that never reads among them, all others get all, in order, as soon as without it.
    """
    found = {False: [], True: []}

    async def world():
        async with served(USERS, PATIENCE) as site, AsyncExitStack() as stack:
            clients = [await enter(stack, site, f"user-{n % USERS}") for n in range(USERS * EACH)]
            await round_of(site, clients, MESSAGES)
            for number in range(2 * ROUNDS):
                stalled = stall(site, "user-0") if (with_it := bool(number % 2)) else None
                p99, facts = await round_of(site, clients, MESSAGES)
                found[with_it].append(p99)
                assert facts["connections"] == len(clients) + with_it
                if stalled is not None:
                    stalled.close()
                    await left_alone(site, clients)

    asyncio.run(asyncio.wait_for(world(), LIMIT))

    for way, rounds in found.items():
        which = "beside one that never reads" if way else "among themselves"
        print(
            f"\np99 of {USERS * EACH} clients {which}: {[round(each, 1) for each in sorted(rounds)]} ms",
            end="",
        )
    medians = [statistics.median(found[way]) for way in (True, False)]
    # A round that something else disturbed says nothing; who has to wait for a client waits in every one.
    beside, without = (min(found[way]) for way in (True, False))
    print(f"\nbest rounds {beside / without:.2f} x, medians {medians[0] / medians[1]:.2f} x")
    assert beside <= 2 * without


@pytest.mark.usefixtures("nothing_left")
def test_who_reads_nothing_is_closed():
    """
    One that takes nothing for too long is closed; until then memory does not grow by all that it is owed.
    """

    async def world():
        async with served(1, 1.0) as site, AsyncExitStack() as stack:
            clients = [await enter(stack, site, "user-0")]
            for _ in range(5):
                _, before = await round_of(site, clients, BATCH, LARGE, 0)  # its ring is full by now
            with stall(site, "user-0"):
                for _ in range(BATCHES):
                    _, after = await round_of(site, clients, BATCH, LARGE, 0)
                await left_alone(site, clients)
                await round_of(site, clients, 10)
            grown = after["peak"] - before["peak"]
            owed = BATCHES * BATCH * LARGE
            print(f"\nowed {owed / 2**20:.0f} MiB, the server grew by {grown / 2**20:.1f} MiB")
            assert grown < owed / 2

    asyncio.run(asyncio.wait_for(world(), LIMIT))
