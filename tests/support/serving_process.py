"""A server in a process of its own: a host, its broker ``main``, and bars that are fed by lines of stdin."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import hotplug
from hotplug.market import Bar
from hotplug_broker_grpc import serve

FIRST = datetime(2024, 1, 2, tzinfo=UTC)


def bar(number: int) -> Bar:
    """The bar of day *number*: everything that rests near 100 trades."""
    return Bar(
        symbol="IBM",
        time=FIRST + timedelta(days=number),
        open=Decimal(100),
        high=Decimal(105),
        low=Decimal(95),
        close=Decimal(100),
        volume=Decimal(1_000_000),
    )


async def main(config: str, address: str) -> None:
    loop = asyncio.get_running_loop()
    async with hotplug.Host(config) as host:
        gateway = host.brokers.get("main")
        await gateway.connect()
        async with serve(gateway, address) as server:
            print("serving", server.address, flush=True)
            while line := await loop.run_in_executor(None, sys.stdin.readline):
                fills = await gateway.feed(bar(int(line)))
                print("fed", line.strip(), len(fills), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
