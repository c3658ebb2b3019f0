"""The paper broker keeps what every broker gateway promises."""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from hotplug.brokers import RateWindow
from hotplug.errors import BrokerError, BrokerUnavailable
from hotplug.market import ConnectionLost, Liquidity
from hotplug.testing import BrokerContract, Faults
from hotplug_broker_paper import PaperBroker
from hotplug_broker_paper._venue_match import Pool
from hotplug_broker_paper._venue_money import exactly


class Wired(PaperBroker):
    """A paper broker at the end of a wire that a test can cut."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.received, self.arrivals = [], []
        self.troubles, self.delay, self.refuses = [], 0.0, False

    async def _connect(self):
        if self.refuses:
            self.refuses = False
            raise BrokerUnavailable("nobody at home")
        await super()._connect()

    async def _place(self, order):
        trouble = self.troubles.pop() if self.troubles else None
        if trouble == "lose order":
            raise TimeoutError("lost on its way")
        self.received.append(order.client_order_id)
        self.arrivals.append(time.monotonic())
        if trouble == "reject":
            raise BrokerError("not today", outcome="REJECTED")
        order_id = await super()._place(order)
        if self.delay:
            await asyncio.sleep(self.delay)
        if trouble == "lose answer":
            raise TimeoutError("lost on its way back")
        return order_id


class PaperFaults(Faults):
    """What can be done to a `Wired` one."""

    def __init__(self, broker):
        self.broker = broker

    def received(self):
        return self.broker.received

    def arrivals(self):
        return self.broker.arrivals

    def delay(self, seconds):
        self.broker.delay = seconds

    def reject_next(self):
        self.broker.troubles.append("reject")

    def lose_answer(self):
        self.broker.troubles.append("lose answer")

    def lose_order(self):
        self.broker.troubles.append("lose order")

    def refuse_connection(self):
        self.broker.refuses = True

    def disconnect(self):
        self.broker.report(ConnectionLost(reason="the wire was cut"))

    async def fill(self, client_order_id):
        venue = self.broker._venue
        standing = venue.find(None, client_order_id, None)
        exactly(venue.trade)(standing, standing.price, Liquidity.MAKER, Pool(None, None, is_one=False))
        await self.broker._settled()


class TestPaperBroker(BrokerContract):
    accounts = ("ada", "bob")
    last = None

    def make_broker(self) -> PaperBroker:
        self.last = Wired()
        return self.last

    def make_limited(self) -> PaperBroker:
        broker = self.make_broker()
        broker.rate_windows = (RateWindow("orders", limit=10, window=0.02, scope="key"),)
        return broker

    def faults(self):
        return PaperFaults(self.last)


@pytest.mark.real_services  # the whole suite once more: for CI
class TestPaperBrokerOnFile(BrokerContract):
    """With costs and prices that do not come out even, too."""

    accounts = ("ada", "bob")
    price = Decimal("99.96")
    qty = Decimal("3")
    file = Path()

    @asynccontextmanager
    async def world(self):
        with tempfile.TemporaryDirectory() as folder:
            self.file = Path(folder) / "paper.db"
            yield

    def make_broker(self) -> PaperBroker:
        return PaperBroker(
            file=self.file,
            fee_rate=Decimal("0.00137"),
            min_fee=Decimal("0.5"),
            slippage=Decimal("0.0003"),
            liquidity="shared",
            allow_short=True,
        )

    def make_second(self) -> PaperBroker:
        return self.make_broker()


@pytest.mark.real_services  # the whole suite once more: for CI
class TestPaperBrokerByTheClock(BrokerContract):
    def make_broker(self) -> PaperBroker:
        self.begun = {}
        return PaperBroker(time="clock", ack_latency=(0.0, 0.002), cancel_latency=0.001)

    def bar(self, number):
        """Bars that begin when they are asked for."""
        begun = self.begun.setdefault(number, datetime.now(UTC))
        return replace(super().bar(number), time=begun)
