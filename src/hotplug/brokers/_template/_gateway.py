"""The template of gateways: everything that a venue does not differ in."""

from __future__ import annotations

import functools
import inspect
import time
from typing import TYPE_CHECKING, Any, final

from hotplug.brokers._contract import BrokerInfo, mask_account
from hotplug.brokers._orders._checks import lacking
from hotplug.brokers._settings import OPERATOR
from hotplug.brokers._template._core import expect, here
from hotplug.brokers._template._hooks import HOOKS, Hooks
from hotplug.brokers._template._seated import Seated, at_home
from hotplug.errors import InvalidRequest
from hotplug.market import CancelScope, Capability, HealthState, OrderStatus, Quote, to_utc

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Iterable
    from datetime import datetime, timedelta

    from hotplug.brokers._orders._book import Book
    from hotplug.errors import BrokerError
    from hotplug.market import (
        Balance,
        Bar,
        BrokerEvent,
        Fill,
        GatewayStatus,
        HealthReport,
        Instrument,
        Order,
        OrderAck,
        OrderChange,
        OrderRef,
        OrderRequest,
        Position,
        RateLimit,
        Snapshot,
    )

__all__ = ["BrokerGateway", "own_names"]


class BrokerGateway(Seated):
    """
    What every gateway has in common: subclass it, and write what your venue differs in.

    The life cycle, orders that are never sent twice, outcomes that are never guessed, limits, health,
    streams and reconnection are the template's; its public methods are final (`TypeError` for who
    overrides one). A plugin declares its facts, implements ``_connect``, ``_disconnect``, ``_place``,
    ``_cancel`` and ``_snapshot``, and tells what the venue says by `report`.

    Verbs may be called from any thread's event loop; hooks run on the gateway's home loop only. Raises from
    hooks: a `BrokerError` with an explicit *outcome* is believed; what comes out of ``_place`` without one
    leaves the order ``UNKNOWN``.

    A venue that lives in its gateway goes over to the next generation by the old one's ``export_state() ->
    (version, data)`` and the new one's ``import_state(version, data)``, plain or coroutines, where both are
    there. They are called as hooks are (on the home loop; of a `SyncBrokerGateway` in its threads) while
    nothing is being sent, cancelled or changed, and before the new one connects.
    """

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        for name in own_names():
            if inspect.getattr_static(cls, name) is not inspect.getattr_static(BrokerGateway, name):
                what = "is a name of the machine room" if name.startswith("_") else "is a final method"
                raise TypeError(
                    f"{cls.__qualname__}.{name} {what} of BrokerGateway: call yours otherwise, "
                    f"or implement one of the hooks ({', '.join(HOOKS)})"
                )

    def __init__(self, *, broker_id: str | None = None) -> None:
        """Remember *broker_id*; connecting is ``_connect``'s."""
        self._core.broker_id = broker_id

    # -- what the venue says -----------------------------------------------------------------------

    @final
    def report(self, said: object) -> None:
        """
        Tell what the venue said. From any task or thread; never waits, never raises for what it is told.

        Takes `OrderUpdate`, `Fill`, `Quote`, `Bar`, `Heartbeat`, `RateLimitSeen`, `ConnectionLost`; also a
        whole `Order` as the venue has it, `Position`, `Balance`, and `Gap`: something was missed, look again.
        """
        core = self._core
        core.heard_at = time.monotonic()
        if type(said) is Quote:
            core.book.quotes.put(said)
        elif core.home is None or core.home is here():
            core.ear.hear(said)
        else:
            core.soon(core.ear.hear, said)

    # -- itself ------------------------------------------------------------------------------------

    @property
    def broker_id(self) -> str:
        """The key that this gateway stands under."""
        return self._core.broker_id

    @property
    def info(self) -> BrokerInfo:
        """What is known of this gateway, from memory."""
        core = self._core
        book = core.book
        card = core.report_card
        return BrokerInfo(
            broker_id=core.broker_id,
            type=self.broker_type,
            environment=self.environment,
            status=core.status,
            health=HealthState.UNKNOWN if card is None or self._is_old() else card.status,
            rate_limit_usage=book.limiter.usage(),
            generation=core.generation,
            capabilities=frozenset(self.capabilities),
            accounts=tuple(mask_account(name) for name in self._known_accounts()),
            since=core.since,
            last_error=core.last_error or _held_by_another(book),
            metadata=dict(book.counts),
        )

    def _known_accounts(self) -> Iterable[str]:
        """Those that the venue tells of, or that were seen, and those that are granted to somebody."""
        book = self._core.book
        granted = (name for names in book.settings.accounts.values() for name in names)
        return dict.fromkeys((*(self.accounts or tuple(book.accounts_seen)), *granted))

    def _is_old(self) -> bool:
        core = self._core
        return time.monotonic() - core.looked_at >= self.max_health_age

    @property
    def status(self) -> GatewayStatus:
        """Where it is in its life."""
        return self._core.status

    @property
    def well(self) -> bool:
        """READY, HEALTHY, and looked at lately; from any thread, asking nobody."""
        return self._core.well

    @property
    def report_card(self) -> HealthReport | None:
        """The last look at its health."""
        return self._core.report_card

    @property
    def book(self) -> Book:
        """The order book of its broker id."""
        return self._core.book

    @property
    def generation(self) -> int:
        """The how manieth gateway of its broker id this is."""
        return self._core.generation

    @final
    def attach(self, book: Book, home: asyncio.AbstractEventLoop | None = None) -> None:
        """Work on *book*, and live on *home* (else on the loop of the first connect). The host does this."""
        self._core.attach(book, home)

    @at_home
    async def health(self, *, deadline: float | None = None) -> HealthReport:
        """Look how this gateway is, now."""
        self._until(deadline)
        return self._core.pulse.look()

    @final
    async def rate_limits(self, *, deadline: float | None = None) -> tuple[RateLimit, ...]:
        """How full the windows of calls are."""
        self._until(deadline)
        return self._core.book.limiter.limits()

    # -- life --------------------------------------------------------------------------------------

    @final
    async def connect(self, deadline: float | None = None) -> None:
        """Open the session and learn how everything stands; returns when orders may be placed."""
        core = self._core
        core.adopt_home()
        work = self._core.line.connect(deadline)
        await (work if core.is_home() else core.hop(work))

    @final
    async def disconnect(self, drain: bool = True, *, deadline: float | None = None) -> None:
        """Close the session; open orders stay at the venue."""
        core = self._core
        if core.home is not None and core.home.is_closed():
            core.adopt_home()
        work = core.line.disconnect(deadline, drain=drain)
        await (work if core.is_home() else core.hop(work))

    # -- orders ------------------------------------------------------------------------------------

    @final
    async def place_order(self, request: OrderRequest, *, deadline: float | None = None) -> OrderAck:
        """Place an order; returns when the venue has accepted it. It is sent once, whoever asks again."""
        return await self._placing(OPERATOR, request, deadline)

    @final
    async def cancel_order(self, ref: OrderRef, *, deadline: float | None = None) -> Order:
        """Cancel an order; accepted, or proven to have ended before."""
        return await self.cancel_for(OPERATOR, ref, deadline)

    @final
    async def modify_order(
        self, ref: OrderRef, change: OrderChange, *, deadline: float | None = None
    ) -> Order:
        """Change an open order in place (``MODIFY``)."""
        return await self.modify_for(OPERATOR, ref, change, deadline)

    @final
    async def cancel_all(
        self, scope: CancelScope = CancelScope.OWN, *, deadline: float | None = None
    ) -> tuple[Order | BrokerError, ...]:
        """Cancel every open order in *scope*; one result per order."""
        return await self.cancel_all_for(OPERATOR, scope, deadline)

    @final
    async def get_order(self, ref: OrderRef, *, deadline: float | None = None) -> Order:
        """The order as it stands; one that is not ours is asked for at the venue."""
        return await self.get_order_for(OPERATOR, ref, deadline)

    @final
    async def get_open_orders(self, *, deadline: float | None = None) -> tuple[Order, ...]:
        """Every order that has not ended, UNKNOWN ones included."""
        return await self.open_orders_for(OPERATOR, deadline)

    @final
    async def get_fills(
        self, since: datetime | None = None, *, deadline: float | None = None
    ) -> tuple[Fill, ...]:
        """What was traded, for a day back at least."""
        return await self.fills_for(OPERATOR, since, deadline)

    @at_home
    async def resolve_order(
        self, ref: OrderRef, status: OrderStatus, reason: str, *, deadline: float | None = None
    ) -> Order:
        """An operator says what became of an UNKNOWN order; `InvalidRequest` for any other."""
        expect(status, OrderStatus)
        if not reason.strip():
            why = "say how you know what became of it: the journal keeps the reason"
            raise InvalidRequest(why, code="reason", outcome="NOT_SENT")
        held = await self._find(OPERATOR, ref, self._until(deadline))
        if held.order.status is not OrderStatus.UNKNOWN:
            why = f"{held.key[1]!r} is {held.order.status}: only what is UNKNOWN is resolved"
            raise InvalidRequest(why, code="not_unknown", outcome="NOT_SENT")
        if not self._core.book.resolve(held, status, reason):
            why = f"an UNKNOWN order cannot become {status}"
            raise InvalidRequest(why, code="transition", outcome="NOT_SENT")
        return held.order

    # -- accounts ----------------------------------------------------------------------------------

    @final
    async def get_positions(self, *, deadline: float | None = None) -> tuple[Position, ...]:
        """What is held."""
        return await self.positions_for(OPERATOR, deadline)

    @final
    async def get_balances(self, *, deadline: float | None = None) -> tuple[Balance, ...]:
        """The money, by account and currency."""
        return await self.balances_for(OPERATOR, deadline)

    @final
    async def snapshot(self, *, deadline: float | None = None) -> Snapshot:
        """Everything at one instant, asked of the venue, and the cursor that follows it."""
        return await self.snapshot_for(OPERATOR, deadline)

    # -- the market --------------------------------------------------------------------------------

    @at_home
    async def get_instrument(self, symbol: str, *, deadline: float | None = None) -> Instrument:
        """How *symbol* is traded (``INSTRUMENTS``)."""
        self._needs(Capability.INSTRUMENTS)
        until = self._until(deadline)
        self._core.refuse_unless_connected()
        return await self._core.call("instrument", self._instrument, symbol, until=until)

    @at_home
    async def get_quote(self, symbol: str, *, deadline: float | None = None) -> Quote:
        """The best bid and ask (``QUOTES``)."""
        self._needs(Capability.QUOTES)
        until = self._until(deadline)
        self._core.refuse_unless_connected()
        quote = await self._core.call("quote", self._quote, symbol, until=until)
        self._core.book.quotes.put(quote)
        return quote

    @at_home
    async def get_bars(
        self,
        symbol: str,
        start: datetime,
        end: datetime,
        step: timedelta,
        *,
        deadline: float | None = None,
    ) -> tuple[Bar, ...]:
        """Bars of length *step* from *start* until before *end* (``BARS``)."""
        self._needs(Capability.BARS)
        until = self._until(deadline)
        self._core.refuse_unless_connected()
        span = to_utc("start", start), to_utc("end", end), step
        return tuple(await self._core.call("bars", self._bars, symbol, *span, until=until))

    def _needs(self, capability: Capability) -> None:
        if capability not in self.capabilities:
            raise lacking(f"{self.broker_id} has no {capability}")

    # -- streams -----------------------------------------------------------------------------------

    @final
    def events(self, after: str | None = None) -> AsyncIterator[BrokerEvent]:
        """What happens from this call on, or after the cursor *after*; from any loop."""
        return self.events_for(OPERATOR, after)

    @final
    def stream_quotes(self, symbols: Iterable[str]) -> AsyncIterator[Quote]:
        """The newest quote of each symbol as it changes (``QUOTES``)."""
        self._needs(Capability.QUOTES)
        return self._core.book.quotes.stream(symbols)


@functools.cache
def own_names() -> tuple[str, ...]:
    """What no subclass may call anything of its own: all that is no hook and no constructor."""
    # Who says something else of itself (info, broker_id) harms nobody but itself.
    open_to_all = {*HOOKS, *dir(object), "_invoke", "_abc_impl", "broker_id", "info"}
    template = {**vars(Hooks), **vars(Seated), **vars(BrokerGateway)}
    return tuple(
        name
        for name, value in template.items()
        if name not in open_to_all and (callable(value) or isinstance(value, (property, classmethod)))
    )


def _held_by_another(book: Book) -> str | None:
    return None if book.holder is None else f"read-only here: its journal is held by {book.holder}"
