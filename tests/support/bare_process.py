"""For the benchmarks: bare grpc.aio and a served broker side by side, in a process of its own."""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import UTC, datetime
from decimal import Decimal

import grpc

from hotplug.brokers import BrokerGateway
from hotplug.market import Capability, Environment, Quote, Snapshot
from hotplug_broker_grpc import _convert as convert
from hotplug_broker_grpc import serve
from hotplug_broker_grpc.stubs import broker_pb2 as pb

SYMBOLS = tuple(f"S{number:03}" for number in range(500))
NOW = datetime(2024, 1, 2, tzinfo=UTC)


def quote(symbol: str, number: int) -> Quote:
    """A quote that differs from the one before."""
    return Quote(
        symbol=symbol,
        bid=Decimal(10_000 + number % 100) / 100,
        bid_size=Decimal(100),
        ask=Decimal(10_100 + number % 100) / 100,
        ask_size=Decimal(200),
        time=NOW,
    )


class Instant(BrokerGateway):
    """A broker that does nothing, at once: what is measured is the way to it."""

    broker_type = "instant"
    environment = Environment.MOCK
    capabilities = frozenset({Capability.QUOTES, Capability.STREAM})

    async def _connect(self): ...

    async def _disconnect(self): ...

    async def _place(self, order):
        return order.client_order_id

    async def _cancel(self, order): ...

    async def _snapshot(self):
        return Snapshot(orders=None, fills=None, positions=(), balances=(), cursor=None)

    async def _quote(self, symbol):
        return quote(symbol, 0)


class Pouring(Instant):
    """The same, with quotes of every symbol in turn, as fast as they are taken: none is left out."""

    def __getattribute__(self, name):
        return pour if name == "stream_quotes" else super().__getattribute__(name)


async def pour(symbols):
    ready = [quote(symbol, number) for number in range(20) for symbol in symbols]
    while True:
        for each in ready:
            yield each
        await asyncio.sleep(0)


async def _ack(request: pb.PlaceOrderRequest, _context: object) -> pb.OrderAck:
    return pb.OrderAck(
        client_order_id=request.request.client_order_id, order_id="V1", status=2, time=time.time_ns() // 1000
    )


async def _quote(request: pb.SymbolRequest, _context: object) -> pb.Quote:
    return convert.QUOTE.encode(quote(request.symbol, 0))


async def _quotes(_request: object, context: grpc.aio.ServicerContext) -> None:
    ready = [convert.QUOTE.encode(quote(symbol, 0)) for symbol in SYMBOLS]
    while True:
        for each in ready:
            await context.write(each)


async def _cpu(_request: bytes, _context: object) -> bytes:
    return repr(time.process_time()).encode()


async def main() -> None:
    broker = Pouring()
    await broker.connect()
    bare = grpc.aio.server()
    handlers = {
        "Place": grpc.unary_unary_rpc_method_handler(
            _ack, pb.PlaceOrderRequest.FromString, pb.OrderAck.SerializeToString
        ),
        "Cpu": grpc.unary_unary_rpc_method_handler(_cpu),
        "Quote": grpc.unary_unary_rpc_method_handler(
            _quote, pb.SymbolRequest.FromString, pb.Quote.SerializeToString
        ),
        "Quotes": grpc.unary_stream_rpc_method_handler(
            _quotes, pb.SymbolRequest.FromString, pb.Quote.SerializeToString
        ),
    }
    bare.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bare", handlers),))
    port = bare.add_insecure_port("127.0.0.1:0")
    await bare.start()
    async with serve(broker) as server:
        print(f"127.0.0.1:{port}", server.address, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await bare.stop(None)
    await broker.disconnect()


if __name__ == "__main__":
    asyncio.run(main())
