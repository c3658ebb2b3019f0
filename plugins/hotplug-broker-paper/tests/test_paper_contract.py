"""The paper broker keeps what every broker gateway promises."""

from __future__ import annotations

from decimal import Decimal

from hotplug.testing import BrokerContract
from hotplug_broker_paper import PaperBroker


class TestPaperBroker(BrokerContract):
    def make_broker(self) -> PaperBroker:
        return PaperBroker()


class TestPaperBrokerWithCosts(BrokerContract):
    price = Decimal("99.98")
    qty = Decimal("3")

    def make_broker(self) -> PaperBroker:
        return PaperBroker(fee_rate=Decimal("0.00137"), slippage=Decimal("0.0003"), broker_id="costly")
