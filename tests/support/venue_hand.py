"""What the suite of brokers does at a mock venue, whatever leads to it."""

from __future__ import annotations

from hotplug.testing import Faults
from hotplug_broker_mock import MockVenue


class VenueHand(Faults):
    """Faults that are rules of the venue. Lines are broken by who knows what they are made of."""

    def __init__(self, venue: MockVenue) -> None:
        self.venue = venue

    def received(self) -> list[str]:
        return [str(call.client_order_id) for call in self.venue.calls("place")]

    def arrivals(self) -> list[float]:
        return [call.time.timestamp() for call in self.venue.calls("place")]

    def delay(self, seconds: float) -> None:
        self.venue.on("place", times=None, answer_latency=seconds)

    def reject_next(self) -> None:
        self.venue.on("place", fault="reject")

    def lose_answer(self) -> None:
        self.venue.on("place", fault="timeout_after")
        self.venue.on_report("order", lose=True)

    def lose_order(self) -> None:
        self.venue.on("place", fault="timeout_before")

    def fill(self, client_order_id: str) -> None:
        self.venue.fill(client_order_id)
