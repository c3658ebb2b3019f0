"""The gateway: hooks that pass on what is asked, and a venue that says what comes of it."""

from __future__ import annotations

from decimal import Decimal
from functools import cache, partial
from typing import TYPE_CHECKING, Final, TypeAlias

from hotplug.brokers import BrokerGateway, RateWindow
from hotplug.errors import BrokerUnavailable
from hotplug.market import Capability, Environment
from hotplug_broker_mock._habits import Habits, Tells
from hotplug_broker_mock._rules import Delay, Fills, ReportRule, Rule  # noqa: TC001 - settings are these
from hotplug_broker_mock._shared import shared_venue
from hotplug_broker_mock._venue import MockVenue

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta

    from hotplug.market import Bar, Instrument, Order, OrderChange, OrderRef, Quote, Snapshot
    from hotplug_broker_mock._session import Session

    VenueLike: TypeAlias = MockVenue | str | None
else:
    # What a configuration can say; tests hand in the venue itself.
    VenueLike: TypeAlias = str | None

__all__ = ["MockBroker"]

CAN: Final = frozenset(Capability) - {Capability.SIMULATED}


class MockBroker(BrokerGateway):
    """
    A gateway to a `MockVenue`: the one handed in, the one of that name, or one of its own.

    *environment*, *capabilities*, *stale_after* and the like are what it says of itself. At most *max_calls*
    in *per* seconds are sent; a venue of its own insists on it. *can_query* and *can_ping* false take these
    hooks away. The other settings are the `Habits` and rules of a venue that it makes; a venue that is there
    already has its own.
    """

    broker_type = "mock"

    def __init__(
        self,
        *,
        venue: VenueLike = None,
        seed: int = 0,
        environment: Environment = Environment.MOCK,
        capabilities: frozenset[Capability] = CAN,
        max_calls: int | None = None,
        per: float = 1.0,
        stale_after: float | None = None,
        not_found_final_after: float | None = None,
        default_deadline: float = 10.0,
        check_interval: float = 1.0,
        reconnect_delays: tuple[float, float] = (0.1, 30.0),
        concurrent_sessions: bool = True,
        can_query: bool = True,
        can_ping: bool = True,
        fills: Fills = "rest",
        latency: Delay = 0.0,
        tells: Tells = "all",
        heartbeat: float | None = None,
        accounts: tuple[str, ...] = (),
        cash: Decimal = Decimal(100_000),
        script: tuple[Rule, ...] = (),
        reports: tuple[ReportRule, ...] = (),
        broker_id: str | None = None,
    ) -> None:
        super().__init__(broker_id=broker_id)
        self.environment = environment
        self.capabilities = capabilities
        self.stale_after = stale_after
        self.not_found_final_after = not_found_final_after
        self.default_deadline = default_deadline
        self.check_interval = check_interval
        self.reconnect_delays = reconnect_delays
        self.concurrent_sessions = concurrent_sessions
        if max_calls is not None:
            self.rate_windows = (_window(max_calls, per),)
        if accounts:
            self.default_account = accounts[0]
        habits = Habits(
            fills=fills,
            latency=latency,
            tells=tells,
            heartbeat=heartbeat,
            accounts=accounts,
            cash=cash,
            max_calls=max_calls,
            per=per,
        )
        make = partial(MockVenue, seed, habits=habits, script=script, reports=reports)
        self.venue: Final = _found_or_made(venue, make)
        self._session: Session | None = None
        self._unlearn(_query=can_query, _ping=can_ping)

    def _unlearn(self, **hooks: bool) -> None:
        """Have none of the *hooks* that are false: the template looks at the class for what there is."""
        lacking = tuple(name for name, can in hooks.items() if not can)
        if lacking:
            self.__class__ = _without(type(self), lacking)  # pyright: ignore[reportAttributeAccessIssue]

    async def _connect(self) -> None:
        self._session = await self.venue.connect(self.report)

    async def _disconnect(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await self.venue.disconnect(session)

    @property
    def _at_venue(self) -> Session:
        if self._session is None:
            raise BrokerUnavailable("no session at the venue", outcome="NOT_SENT")
        return self._session

    async def _place(self, order: Order) -> str | None:
        return await self._at_venue.place(order)

    async def _cancel(self, order: Order) -> None:
        await self._at_venue.cancel(order)

    async def _modify(self, order: Order, change: OrderChange) -> str | None:
        return await self._at_venue.modify(order, change)

    async def _query(self, ref: OrderRef) -> Order:
        return await self._at_venue.query(ref)

    async def _snapshot(self) -> Snapshot:
        return await self._at_venue.snapshot()

    async def _instrument(self, symbol: str) -> Instrument:
        return await self._at_venue.instrument(symbol)

    async def _quote(self, symbol: str) -> Quote:
        return await self._at_venue.quote(symbol)

    async def _bars(
        self,
        symbol: str,
        start: datetime,
        end: datetime,
        step: timedelta,  # noqa: ARG002
    ) -> Sequence[Bar]:
        return await self._at_venue.bars(symbol, start, end)

    async def _subscribe(self, symbols: frozenset[str]) -> None:
        await self._at_venue.subscribe(symbols)

    async def _ping(self) -> datetime:
        return await self._at_venue.ping()


def _found_or_made(venue: VenueLike, make: Callable[[], MockVenue]) -> MockVenue:
    if venue is None:
        return make()
    return shared_venue(venue, make) if isinstance(venue, str) else venue


def _window(calls: int, per: float) -> RateWindow:
    weights = {"place": 1, "cancel": 1, "modify": 1}
    return RateWindow("orders", limit=calls, window=per, weights=weights)


@cache
def _without(kind: type[MockBroker], hooks: tuple[str, ...]) -> type[MockBroker]:
    return type(kind.__name__, (kind,), {name: getattr(BrokerGateway, name) for name in hooks})
