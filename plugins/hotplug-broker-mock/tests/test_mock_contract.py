"""The mock broker keeps what every broker gateway promises, whatever its venue is like."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from hotplug.testing import BrokerContract
from hotplug_broker_mock import MockBroker
from venue_hand import VenueHand


class Hand(VenueHand):
    """What the suite does at a mock venue."""

    def refuse_connection(self) -> None:
        self.venue.on("connect", fault="unavailable")

    def disconnect(self) -> None:
        self.venue.disconnect_all()


class MockContract(BrokerContract):
    """What the variants below share."""

    accounts = ("A", "B")
    short = 0.1
    settings: ClassVar[dict[str, Any]] = {}

    def make_broker(self) -> MockBroker:
        settings = {"accounts": self.accounts, "reconnect_delays": (0.001, 0.01), "check_interval": 0.02}
        self.broker = MockBroker(**settings | self.settings)
        return self.broker

    def make_second(self) -> MockBroker:
        return MockBroker(venue=self.broker.venue, accounts=self.accounts)

    def make_limited(self) -> MockBroker:
        self.broker = MockBroker(accounts=self.accounts, max_calls=10, per=0.02)
        return self.broker

    def faults(self) -> Hand:
        return Hand(self.broker.venue)


class TestMockBroker(MockContract):
    """As it comes."""


@pytest.mark.real_services  # the whole suite once more: for CI
class TestMockBrokerThatTellsLittle(MockContract):
    """A venue that reports no more than it must, and cannot be asked for one order or pinged."""

    settings: ClassVar[dict[str, Any]] = {"tells": "fills", "can_query": False, "can_ping": False}


@pytest.mark.real_services  # the whole suite once more: for CI
class TestMockBrokerFarAway(MockContract):
    """A venue whose every call takes a moment, and where what can trade does so just after."""

    settings: ClassVar[dict[str, Any]] = {"latency": (0.0, 0.002), "fills": "soon"}
