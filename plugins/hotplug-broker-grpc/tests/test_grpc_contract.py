"""A broker behind a server keeps what every broker gateway promises, over any of the ways to it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import ClassVar

import pytest

from hotplug.testing import BrokerContract
from hotplug_broker_grpc import GrpcBroker, Principal, Role
from hotplug_broker_mock import MockBroker, MockVenue
from serving import Far, far
from venue_hand import VenueHand

QUICK = {"reconnect_delays": (0.001, 0.01), "check_interval": 0.02}


class Hand(VenueHand):
    """What the suite does at the venue behind the server."""

    def __init__(self, venue: MockVenue, there: Far) -> None:
        super().__init__(venue)
        self.there = there

    def disconnect(self) -> None:
        self.there.call(self._restart())

    async def _restart(self) -> None:
        await self.there.server.stop(0.0)
        await self.there.serve()


class Quick(GrpcBroker):
    reconnect_delays = (0.001, 0.01)
    check_interval = 0.02


class TestGrpcBroker(BrokerContract):
    """A mock broker, on loopback, where everybody may do everything."""

    accounts = ("A", "B")
    short = 0.2
    tokens: ClassVar[dict[str, Principal]] = {}

    @asynccontextmanager
    async def world(self):
        self.venue = MockVenue()
        broker = MockBroker(venue=self.venue, accounts=self.accounts, not_found_final_after=0.0, **QUICK)
        with far(broker, tokens=self.tokens) as there, pytest.MonkeyPatch.context() as patch:
            patch.setattr("hotplug_broker_grpc._broker.SHORTEST", self.short)
            self.address, self.there = there.address, there
            try:
                yield
            finally:
                self.venue.resume()

    def make_broker(self) -> GrpcBroker:
        return Quick(target=self.address, token=next(iter(self.tokens), None), heartbeat=0.5, timeout=5.0)

    def make_second(self) -> GrpcBroker:
        return self.make_broker()

    def faults(self) -> Hand:
        return Hand(self.venue, self.there)


@pytest.mark.real_services  # the whole suite once more: for CI
class TestGrpcBrokerWithToken(TestGrpcBroker):
    """The same for a user with two accounts, seen through a view of the broker."""

    tokens: ClassVar[dict[str, Principal]] = {"secret": Principal("ada", frozenset({"A", "B"}), Role.ADMIN)}
