"""The hand that a suite has at the other end of the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

__all__ = ["Faults"]


class Faults:
    """
    What can be done to the venue behind a broker, and seen there.

    Return one from ``BrokerContract.faults()`` with those methods overridden that your venue (a sandbox,
    or a server in your tests) is able to do; they may be coroutine functions. A claim that needs one which
    is not overridden is skipped, and says so.

        class AcmeFaults(Faults):
            def __init__(self, venue: AcmeVenue) -> None:
                self.venue = venue

            def received(self) -> list[str]:
                return [order["client_id"] for order in self.venue.requests]

            def lose_answer(self) -> None:
                self.venue.answers_to_lose += 1
    """

    def received(self) -> Sequence[str] | Awaitable[Sequence[str]]:
        """The client order id of every order that reached the venue, as often as it came, oldest first."""
        raise NotImplementedError

    def arrivals(self) -> Sequence[float] | Awaitable[Sequence[float]]:
        """When (``time.monotonic()``) each order reached the venue; for gateways with rate windows."""
        raise NotImplementedError

    def delay(self, seconds: float) -> Awaitable[None] | None:
        """Let each order (and if that can be, each other call) take so long until the venue answers."""
        raise NotImplementedError

    def reject_next(self) -> Awaitable[None] | None:
        """Refuse the next order for certain."""
        raise NotImplementedError

    def lose_answer(self) -> Awaitable[None] | None:
        """Accept the next order, and let its answer be lost, with all else that would tell of it at once."""
        raise NotImplementedError

    def lose_order(self) -> Awaitable[None] | None:
        """Lose the next order on its way: it never arrives, and no answer comes."""
        raise NotImplementedError

    def refuse_connection(self) -> Awaitable[None] | None:
        """Let the next attempt to connect fail."""
        raise NotImplementedError

    def disconnect(self) -> Awaitable[None] | None:
        """Break the line, so that the gateway notices; the next attempt to connect works."""
        raise NotImplementedError

    def fill(self, client_order_id: str) -> Awaitable[None] | None:
        """Trade what is left of an open order."""
        raise NotImplementedError
