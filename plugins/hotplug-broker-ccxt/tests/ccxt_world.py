"""What the tests of this plugin share: a venue with a broker at it, and waiting for what is told."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from decimal import Decimal

from spot_exchange import SpotExchange

from hotplug.market import Fill, Order, OrderRequest, OrderType, Side, TimeInForce
from hotplug_broker_ccxt import CcxtBroker

BTC = "BTC/USDT"
PLACE = "POST /api/v3/order"
SOON = 10.0


def make_broker(venue: SpotExchange, **settings) -> CcxtBroker:
    given = {"api_key": venue.api_key, "secret": venue.secret, "sandbox": True, "symbols": (BTC,)}
    return CcxtBroker(exchange="binance", url=venue.url, **{"poll_interval": 0.02, **given, **settings})


@asynccontextmanager
async def trading(venue: SpotExchange | None = None, **settings):
    """A venue that quotes BTC at 99 to 101, and a broker that is connected to it."""
    venue = venue or SpotExchange()
    async with venue:
        venue.quote("BTCUSDT", "99", "101")
        broker = make_broker(venue, **settings)
        await broker.connect(SOON)
        try:
            yield venue, broker
        finally:
            await broker.disconnect()


def limit(qty: str = "0.5", price: str = "90.25", **changes) -> OrderRequest:
    """An order to buy that rests."""
    terms = {"type": OrderType.LIMIT, "price": Decimal(price), "tif": TimeInForce.GTC}
    return OrderRequest(**{"symbol": BTC, "side": Side.BUY, "qty": Decimal(qty), **terms, **changes})


def market(qty: str = "0.5", **changes) -> OrderRequest:
    return OrderRequest(**{"symbol": BTC, "side": Side.BUY, "qty": Decimal(qty), **changes})


class Told:
    """What a broker tells from now on."""

    def __init__(self, broker: CcxtBroker) -> None:
        self.events = broker.events()
        self.payloads: list[object] = []

    async def until(self, condition) -> object:
        """The first payload that fulfils *condition*, now or soon."""
        async with asyncio.timeout(SOON):
            async for event in self.events:
                self.payloads.append(event.payload)
                if condition(event.payload):
                    return event.payload
        raise AssertionError("the stream ended")

    async def order(self, status: str, client_order_id: str | None = None) -> Order:
        def fits(payload: object) -> bool:
            return (
                isinstance(payload, Order)
                and payload.status == status
                and client_order_id in {None, payload.client_order_id}
            )

        return await self.until(fits)

    async def fill(self) -> Fill:
        return await self.until(lambda payload: isinstance(payload, Fill))
