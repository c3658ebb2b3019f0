"""
A process that trades until it is killed: ``python crashing_trader.py HOST:PORT LIFE ORDERS [SITE]``.

With a folder SITE the broker comes from a distribution there, and is replaced over and over meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import sys
from decimal import Decimal

import hotplug
from hotplug.brokers import BrokerGateway
from hotplug.errors import BrokerError, GatewayReplaced, InvalidRequest, OrderNotFound
from hotplug.market import (
    Environment,
    Order,
    OrderRef,
    OrderRequest,
    OrderStatus,
    OrderType,
    OrderUpdate,
    Side,
    Snapshot,
)


class WireBroker(BrokerGateway):
    """Speaks lines of JSON, one question at a time."""

    broker_type = "wire"
    environment = Environment.SANDBOX

    def __init__(self, *, address: str) -> None:
        self._address = address
        self._turn = asyncio.Lock()

    async def _connect(self) -> None:
        host, port = self._address.split(":")
        self._reader, self._writer = await asyncio.open_connection(host, int(port))

    async def _disconnect(self) -> None:
        self._writer.close()

    async def _ask(self, verb: str, name: str) -> dict[str, str]:
        async with self._turn:
            self._writer.write(json.dumps({"verb": verb, "id": name}).encode() + b"\n")
            line = await self._reader.readline()
        if not line:
            raise ConnectionError("the venue hung up")
        return json.loads(line)

    async def _place(self, order: Order) -> str | None:
        answer = await self._ask("place", order.client_order_id or "")
        if answer["status"] == "REJECTED":
            raise InvalidRequest("the venue said no", outcome="REJECTED")
        if answer["status"] == "FILLED":
            self.report(OrderUpdate(client_order_id=order.client_order_id, status=OrderStatus.FILLED))
        return answer["venue"]

    async def _cancel(self, order: Order) -> None:
        raise NotImplementedError

    async def _snapshot(self) -> Snapshot:
        return Snapshot(orders=None, fills=None, positions=None, balances=None, cursor=None)

    async def _query(self, ref: OrderRef) -> Order:
        answer = await self._ask("query", ref.client_order_id or "")
        if answer["status"] == "NOT_FOUND":
            raise OrderNotFound(f"no {ref.client_order_id}")
        return Order(
            **TERMS, client_order_id=ref.client_order_id, order_id=answer["venue"], status=answer_of(answer)
        )


TERMS = {"symbol": "ACME", "side": Side.BUY, "qty": Decimal(1), "type": OrderType.LIMIT, "price": Decimal(2)}


def answer_of(answer: dict[str, str]) -> OrderStatus:
    return OrderStatus(answer["status"])


CONFIG = "[brokers.main]\nplugin = 'wire'\nconnect = true\nsettings = {{ address = '{address}' }}\n"


async def replace_it(host: hotplug.Host) -> None:
    """One hand-over after the other."""
    while True:
        changes = await host.areload("acme-wire")
        print(json.dumps({"replaced": not changes.failed}), flush=True)


async def place(host: hotplug.Host, request: OrderRequest) -> None:
    """Whoever serves shall take it."""
    while True:
        try:
            await host.brokers.get("main").place_order(request)
        except GatewayReplaced:
            continue
        return


async def main(address: str, life: int, most: int, site: str | None) -> None:
    path = [] if site is None else [site]
    config = hotplug.Config.parse("" if site is None else CONFIG.format(address=address))
    async with hotplug.Host(config, path=path, cache=False) as host, asyncio.TaskGroup() as meanwhile:
        if site is None:
            host.brokers.register("main", WireBroker(address=address))
            await host.brokers.get("main").connect()
        print(json.dumps({"ready": life}), flush=True)
        replacing = None if site is None else meanwhile.create_task(replace_it(host))
        # What an application does after a restart: it asks for everything again that it had asked for.
        names = [f"life{life - 1}-{number}" for number in range(20)] if life else []
        names += [f"life{life}-{number}" for number in range(most)]
        for name in names:
            try:
                await place(host, OrderRequest(**TERMS, client_order_id=name))
                outcome = "ack"
            except BrokerError as error:
                outcome = str(error.outcome)
            print(json.dumps({"id": name, "outcome": outcome}), flush=True)
        if replacing is not None:
            replacing.cancel()


if __name__ == "__main__":
    sys.path[:0] = sys.argv[4:]
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] if sys.argv[4:] else None))
