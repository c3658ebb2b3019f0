"""What a run is made of: the market data that it plays, and the gateway that it plays it to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from hotplug.errors import GatewayNotReady, LiveRefused, NotSupported
from hotplug.market import Bar, Capability, Environment, GatewayStatus, Quote

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable
    from decimal import Decimal

    from hotplug.brokers import IBrokerGateway
    from hotplug.market import Fill
    from hotplug.strategies._floor import Place

__all__ = ["Bound", "MarketData", "Simulation", "mark_of", "one_by_one", "simulation_of"]

MarketData: TypeAlias = "Iterable[Bar | Quote] | AsyncIterable[Bar | Quote]"


@runtime_checkable
class Simulation(Protocol):
    """What a gateway with the capability ``SIMULATED`` has besides its contract."""

    async def feed(self, bar: Bar, *, account: str | None = None) -> tuple[Fill, ...]:
        """Let *bar* happen to *account* (or to all); the fills that it made are the answer."""
        ...

    async def open_account(self, account: str, cash: Decimal | None = None) -> None:
        """Open a new account with *cash*."""
        ...


@runtime_checkable
class Bound(Protocol):
    """What a gateway that is bound to a user's accounts has besides its contract."""

    @property
    def accounts(self) -> tuple[str, ...]: ...
    @property
    def mark(self) -> int: ...
    def in_run(self, strategy: str, run: str) -> IBrokerGateway: ...


def simulation_of(broker: IBrokerGateway) -> Simulation:
    """What feeds *broker*, if bars may be played to it; else the error that says why not."""
    info = getattr(broker, "info", None)
    # What a gateway is says a neighbouring room; that it can tell its status is enough of it here.
    if info is None or not isinstance(getattr(info, "status", None), GatewayStatus):
        raise TypeError(f"a run trades on a gateway (an IBrokerGateway), not on {broker!r}")
    if info.environment is Environment.LIVE:
        raise LiveRefused(
            f"{info.broker_id} is live: historical bars are not played to it",
            code="live",
            outcome="NOT_SENT",
        )
    if Capability.SIMULATED not in info.capabilities or not isinstance(broker, Simulation):
        raise NotSupported(
            f"{info.broker_id} is not simulated: it cannot be fed with bars",
            code="not_simulated",
            outcome="NOT_SENT",
        )
    if info.status is not GatewayStatus.READY:
        raise GatewayNotReady(
            f"{info.broker_id} is {info.status}: connect it first", code="not_ready", outcome="NOT_SENT"
        )
    return broker


def mark_of(broker: IBrokerGateway) -> int:
    """A number that *broker* and all views of it share, and no other gateway there is."""
    return broker.mark if isinstance(broker, Bound) else id(broker)


async def one_by_one(bars: MarketData, place: Place) -> AsyncGenerator[Bar | Quote]:
    """The market data, with a breath between for everybody else on this loop; *place* is who listens."""
    if isinstance(bars, AsyncIterable):
        place.listens = True
        async for said in bars:
            place.listens = False
            yield _market_data(said)
            place.listens = True
        return
    for said in bars:
        await asyncio.sleep(0)
        yield _market_data(said)


def _market_data(said: Bar | Quote) -> Bar | Quote:
    if not isinstance(said, (Bar, Quote)):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
        raise TypeError(f"bars are Bar (or Quote) objects, not {type(said).__name__}")
    return said
