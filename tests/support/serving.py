"""What tests of remote brokers share: a server of a gateway, on a loop and a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hotplug.brokers import IBrokerGateway
from hotplug_broker_grpc import serve

DEADLINE = 20.0


class Far:
    """The far side: *gateway*, connected and served; `call` runs something over there."""

    def __init__(self, gateway: IBrokerGateway, *, address: str = "127.0.0.1:0", **options: Any) -> None:
        self.gateway = gateway
        self.address = address
        self._options = options
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="far side", daemon=True)
        self.server: Any = None

    def start(self) -> None:
        self._thread.start()
        self.call(self._start())

    async def _start(self) -> None:
        await self.gateway.connect()
        await self.serve()

    async def serve(self) -> None:
        self.server = serve(self.gateway, self.address, **self._options)
        await self.server.start()
        self.address = self.server.address

    def call(self, work: Any) -> Any:
        """What the coroutine *work* returns over there."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(DEADLINE)

    def stop(self) -> None:
        try:
            self.call(self.server.stop(1.0))
            self.call(self.gateway.disconnect(drain=False))
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(DEADLINE)
            assert not self._thread.is_alive(), "the far side does not end"
            self._loop.close()


@contextmanager
def far(gateway: IBrokerGateway, **options: Any) -> Iterator[Far]:
    """*gateway* on the far side, for the length of a block."""
    there = Far(gateway, **options)
    there.start()
    try:
        yield there
    finally:
        there.stop()
