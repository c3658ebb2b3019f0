"""The gateway over ccxt keeps what every broker gateway promises."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal

from ccxt_world import PLACE, make_broker
from spot_exchange import SpotExchange

from hotplug.brokers import RateWindow
from hotplug.testing import BrokerContract, Faults
from hotplug_broker_ccxt import CcxtBroker


@contextmanager
def elsewhere():
    """An event loop that runs in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


class Hand(Faults):
    """What the suite does at the loopback exchange."""

    def __init__(self, venue: SpotExchange) -> None:
        self.venue = venue

    def received(self) -> list[str]:
        return [each.params["newClientOrderId"] for each in self.venue.received if each.call == PLACE]

    def arrivals(self) -> list[float]:
        return [each.time for each in self.venue.received if each.call == PLACE]

    def delay(self, seconds: float) -> None:
        self.venue.fail(PLACE, times=10**9, then="pass", delay=seconds)

    def reject_next(self) -> None:
        self.venue.fail(PLACE, status=400, code=-2010, msg="Account has insufficient balance.")

    def lose_answer(self) -> None:
        self.venue.fail(PLACE, when="after", then="lose")

    def lose_order(self) -> None:
        self.venue.fail(PLACE, when="before", then="lose")

    def refuse_connection(self) -> None:
        self.venue.fail("GET /api/v3/exchangeInfo")

    def disconnect(self) -> None:
        # A query over a line that broke is asked again once; two rounds without an answer are a broken line.
        self.venue.fail("GET /api/v3/time", times=4, then="lose")

    def fill(self, client_order_id: str) -> None:
        self.venue.fill(client_order_id)


class TestCcxtBroker(BrokerContract):
    """At the exchange that speaks Binance's dialect."""

    symbol = "BTC/USDT"
    qty = Decimal("0.5")

    @asynccontextmanager
    async def world(self):
        # On a loop of its own: the suite counts tasks and sockets.
        with elsewhere() as loop:
            self.venue = SpotExchange(order_limit=10**6, weight_limit=10**6)
            self.venue.quote("BTCUSDT", "99.99", "100.01")
            asyncio.run_coroutine_threadsafe(self.venue.start(), loop).result(10)
            yield
            asyncio.run_coroutine_threadsafe(self.venue.stop(), loop).result(10)

    def make_broker(self) -> CcxtBroker:
        broker = make_broker(self.venue)
        broker.reconnect_delays = (0.01, 0.1)
        # As many orders as a suite places in a moment are above the limit of the true exchange.
        broker.rate_windows = (RateWindow("weight", 10**6, 60.0),)
        return broker

    def make_second(self) -> CcxtBroker:
        return self.make_broker()

    def make_limited(self) -> CcxtBroker:
        broker = self.make_broker()
        broker.rate_windows = (RateWindow("places", 10, 0.1, weights={"place": 1}),)
        return broker

    def faults(self) -> Hand:
        return Hand(self.venue)
