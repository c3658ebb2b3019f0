"""A served host in a process of its own, that tells its users the time when a line of stdin asks it to."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import hotplug
from hotplug import UserExecutionContext
from hotplug_web import Limits, Principal, TokenAuthenticator, create_app
from hotplug_web._server import server_of


async def main(users: int, patience: float) -> None:
    """So many users, whose token is their name; who takes nothing for *patience* seconds is closed."""
    names = [f"user-{number}" for number in range(users)]
    limits = Limits(per_user=1000, per_address=1000, send=patience)
    known = TokenAuthenticator({name: Principal(name) for name in names})
    people = [UserExecutionContext(name) for name in names]
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    # What does not fit into the system's buffers shows who reads nothing: let them be small.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
    with tempfile.TemporaryDirectory() as data:
        config = hotplug.Config.parse(f"[host]\ndata = '{data}'\n")
        async with hotplug.Host(config, path=[], cache=False) as host:
            app = create_app(host, authenticate=known, limits=limits, data=Path(data))
            server = server_of(app, limits)
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            print(listening.getsockname()[1], flush=True)
            await _obey(host.events, app.state.manager, people)
            server.should_exit = True
            await serving


async def _obey(events: Any, manager: Any, people: list[UserExecutionContext]) -> None:
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        count, size = map(int, line.split()[:2])
        pause = float(line.split()[2])
        for number in range(count):
            for person in people:
                events.emit(person, "CUSTOM", {"n": number, "sent": time.monotonic(), "text": "x" * size})
            await asyncio.sleep(pause)
        facts = {
            "connections": len(manager),
            "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "held": events.stats().size,
        }
        print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
