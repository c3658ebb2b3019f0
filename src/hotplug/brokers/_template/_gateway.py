"""The template of gateways: everything that a venue does not differ in."""

# pyright: reportPrivateUsage=false
# The template calls hooks, which are private names of the plugin's.

from __future__ import annotations

import functools
import inspect
import logging
import time
from abc import abstractmethod
from datetime import UTC, datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, final

from hotplug.brokers._contract import BrokerInfo, IBrokerGateway, mask_account
from hotplug.brokers._orders._checks import lacking
from hotplug.brokers._settings import OPERATOR
from hotplug.brokers._template._changes import Cancels, Changes
from hotplug.brokers._template._core import Core, expect, here
from hotplug.brokers._template._ear import Ear
from hotplug.brokers._template._line import Line
from hotplug.brokers._template._pulse import Pulse
from hotplug.brokers._template._sends import Sends
from hotplug.errors import DeadlineExceeded, InvalidRequest, OrderNotFound
from hotplug.market import (
    Balance,
    Bar,
    CancelScope,
    Capability,
    Environment,
    Fill,
    GatewayStatus,
    HealthReport,
    HealthState,
    Order,
    OrderRef,
    OrderStatus,
    OrderType,
    Position,
    Quote,
    RateLimit,
    Snapshot,
    TimeInForce,
    to_utc,
)

T = TypeVar("T")

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
    from datetime import timedelta

    from hotplug.brokers._limits._limiter import RateWindow
    from hotplug.brokers._orders._book import Book
    from hotplug.brokers._orders._held import Held
    from hotplug.brokers._settings import Seat
    from hotplug.errors import BrokerError
    from hotplug.market import BrokerEvent, Instrument, OrderAck, OrderChange, OrderRequest

    Answer: TypeAlias = Awaitable[T] | T
    """What a hook gives: it is a coroutine in a `BrokerGateway`, and plain in a `SyncBrokerGateway`."""

__all__ = ["BrokerGateway", "own_names"]

V = TypeVar("V", bound="Callable[..., Any]")
_log = logging.getLogger("hotplug.brokers")
HOOKS: Final = (
    "_connect",
    "_disconnect",
    "_place",
    "_cancel",
    "_snapshot",
    "_modify",
    "_query",
    "_instrument",
    "_quote",
    "_bars",
    "_subscribe",
    "_ping",
    "_positions",
    "_balances",
    "_account_for",
    "_time_of",
)
"""What a plugin writes; everything else is the template's."""


def at_home(verb: V) -> V:
    """A verb that runs on the home loop of its gateway, wherever it is called."""

    @wraps(verb)
    async def wherever(self: BrokerGateway, *arguments: Any, **named: Any) -> Any:
        core = self._core
        if core.is_home():
            return await verb(self, *arguments, **named)
        return await core.hop(verb(self, *arguments, **named))

    return wherever  # type: ignore[return-value]


class BrokerGateway(IBrokerGateway):
    """
    What every gateway has in common: subclass it, and write what your venue differs in.

    The life cycle, orders that are never sent twice, outcomes that are never guessed, limits, health,
    streams and reconnection are the template's; its public methods are final (`TypeError` for who
    overrides one). A plugin declares the facts below, implements ``_connect``, ``_disconnect``, ``_place``,
    ``_cancel`` and ``_snapshot``, and tells what the venue says by `report`.

    Verbs may be called from any thread's event loop; hooks run on the gateway's home loop only. Raises from
    hooks: a `BrokerError` with an explicit *outcome* is believed; what comes out of ``_place`` without one
    leaves the order ``UNKNOWN``.
    """

    broker_type: str = ""
    """What kind of broker this is; the default of its ``broker_id``."""
    environment: Environment = Environment.SANDBOX
    capabilities: frozenset[Capability] = frozenset()
    rate_windows: tuple[RateWindow, ...] = ()
    stale_after: float | None = None
    """Seconds of silence after which the line counts as stale; ``None``: never."""
    not_found_final_after: float | None = None
    """Seconds after which an order that the venue does not know can never arrive any more."""
    max_client_id_length: int = 36
    client_id_alphabet: str | None = None
    concurrent_sessions: bool = True
    """Whether a second session may be opened beside the first, as for a hand-over."""
    default_deadline: float = 10.0
    max_health_age: float = 15.0
    default_account: str = "default"
    """The account of orders that name none."""
    accounts: tuple[str, ...] = ()
    """The accounts that this session trades, where the venue tells."""
    order_types: frozenset[OrderType] = frozenset(OrderType)
    tifs: frozenset[TimeInForce] = frozenset(TimeInForce)
    check_interval: float = 1.0
    """Seconds between two looks at its health."""
    reconnect_delays: tuple[float, float] = (0.1, 30.0)
    """The first and the longest pause between attempts, in seconds; each is drawn from 0 up to its length."""
    max_orders: int = 250_000
    """How many orders its book may hold; a full one denies new orders, and forgets none within a day."""

    __core: Core

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        for name in own_names():
            if inspect.getattr_static(cls, name) is not BrokerGateway.__dict__[name]:
                what = "is a name of the machine room" if name.startswith("_") else "is a final method"
                raise TypeError(
                    f"{cls.__qualname__}.{name} {what} of BrokerGateway: call yours otherwise, "
                    f"or implement one of the hooks ({', '.join(HOOKS)})"
                )

    def __init__(self, *, broker_id: str | None = None) -> None:
        """Remember *broker_id*; connecting is ``_connect``'s."""
        self._core.broker_id = broker_id

    # -- machine room ------------------------------------------------------------------------------

    @property
    def _core(self) -> Core:
        # Made when first asked for: a plugin's __init__ need not call ours.
        try:
            return self.__core
        except AttributeError:
            self.__core = core = Core(self)
            core.sends, core.cancels, core.changes = Sends(core), Cancels(core), Changes(core)
            core.line, core.pulse, core.ear = Line(core), Pulse(core), Ear(core)
            return core

    def _invoke(self, hook: Callable[..., Answer[T]], *arguments: object) -> Awaitable[T]:
        """Call a hook, which is a coroutine here; where hooks block, this is what differs."""
        return hook(*arguments)  # type: ignore[return-value]  # pyright: ignore[reportReturnType]

    @classmethod
    def _can(cls, hook: str) -> bool:
        """Whether a plugin implements an optional hook."""
        return getattr(cls, hook) is not getattr(BrokerGateway, hook)

    def _until(self, deadline: float | None) -> float:
        limit = self.default_deadline if deadline is None else deadline
        if limit <= 0:
            raise DeadlineExceeded("no time was given for the call", code="deadline", outcome="NOT_SENT")
        return time.monotonic() + limit

    # -- hooks: what a plugin writes ---------------------------------------------------------------

    @abstractmethod
    def _connect(self) -> Answer[None]:
        """Open the session. Raise `AuthenticationError`, `BrokerUnavailable` …; called again to reconnect."""

    @abstractmethod
    def _disconnect(self) -> Answer[None]:
        """Close it, also where it is half open or gone; called after every failure."""

    @abstractmethod
    def _place(self, order: Order) -> Answer[str | None]:
        """Send *order*; its id at the venue, where there is one. Once entered, it may have been sent."""

    @abstractmethod
    def _cancel(self, order: Order) -> Answer[None]:
        """Ask for a cancel; returns when the venue accepts it. `OrderNotFound` where it has none."""

    @abstractmethod
    def _snapshot(self) -> Answer[Snapshot]:
        """How everything stands: a tuple is the venue's truth, ``None`` that it cannot tell."""

    def _modify(self, order: Order, change: OrderChange) -> Answer[str | None]:
        """Change *order* in place; its new id, where it gets one (``MODIFY``)."""
        raise lacking(f"{self.broker_id} cannot modify orders")

    def _query(self, ref: OrderRef) -> Answer[Order]:
        """How one order stands; `OrderNotFound`."""
        raise lacking(f"{self.broker_id} cannot be asked for an order")

    def _instrument(self, symbol: str) -> Answer[Instrument]:
        """How *symbol* is traded (``INSTRUMENTS``)."""
        raise lacking(f"{self.broker_id} knows no instruments")

    def _quote(self, symbol: str) -> Answer[Quote]:
        """The best bid and ask (``QUOTES``)."""
        raise lacking(f"{self.broker_id} has no quotes")

    def _bars(self, symbol: str, start: datetime, end: datetime, step: timedelta) -> Answer[Sequence[Bar]]:
        """Bars from *start* until before *end* (``BARS``)."""
        raise lacking(f"{self.broker_id} has no bars")

    def _subscribe(self, symbols: frozenset[str]) -> Answer[None]:
        """From now on report the quotes of *symbols*, which are all that anybody wants (``QUOTES``)."""
        return _nothing()

    def _ping(self) -> Answer[datetime | None]:
        """See that the venue answers; its own time (UTC), where it tells."""
        return _nothing()

    def _positions(self) -> Answer[tuple[Position, ...]]:
        """What is held, where that can be asked for alone."""
        raise lacking(f"{self.broker_id} tells positions in snapshots")

    def _balances(self) -> Answer[tuple[Balance, ...]]:
        """The money, where that can be asked for alone."""
        raise lacking(f"{self.broker_id} tells balances in snapshots")

    def _account_for(self, user: str) -> str | None:
        """The account that *user* has here without any grant; ``None``: none."""
        return None

    def _time_of(self, account: str) -> datetime:
        """What time (UTC) the records of *account* get; a simulated venue has its own."""
        return datetime.now(UTC)

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

    # -- for a seat: what views are made of --------------------------------------------------------

    @final
    async def place_for(self, seat: Seat, request: OrderRequest, deadline: float | None = None) -> OrderAck:
        """`place_order` for *seat*."""
        return await self._placing(seat, request, deadline)

    def _placing(
        self, seat: Seat, request: OrderRequest, deadline: float | None
    ) -> Coroutine[Any, Any, OrderAck]:
        core = self._core
        work = core.sends.place(seat, request, deadline)
        return work if core.home is here() or core.home is None else core.hop(work)

    @at_home
    async def cancel_for(self, seat: Seat, ref: OrderRef, deadline: float | None = None) -> Order:
        """`cancel_order` for *seat*."""
        return await self._core.cancels.cancel(seat, ref, deadline)

    @at_home
    async def modify_for(
        self, seat: Seat, ref: OrderRef, change: OrderChange, deadline: float | None = None
    ) -> Order:
        """`modify_order` for *seat*."""
        return await self._core.changes.modify(seat, ref, change, deadline)

    @at_home
    async def cancel_all_for(
        self,
        seat: Seat,
        scope: CancelScope = CancelScope.OWN,
        deadline: float | None = None,
        user: str | None = None,
    ) -> tuple[Order | BrokerError, ...]:
        """`cancel_all` for *seat*; with *user*, of what was placed for that user."""
        expect(scope, CancelScope)
        return await self._core.cancels.cancel_all(seat, scope, deadline, user)

    @at_home
    async def get_order_for(self, seat: Seat, ref: OrderRef, deadline: float | None = None) -> Order:
        """`get_order` for *seat*."""
        expect(ref, OrderRef)
        return (await self._find(seat, ref, self._until(deadline))).order

    @at_home
    async def open_orders_for(self, seat: Seat, deadline: float | None = None) -> tuple[Order, ...]:
        """`get_open_orders` for *seat*."""
        self._until(deadline)
        return self._open_for(seat)

    @at_home
    async def fills_for(
        self, seat: Seat, since: datetime | None = None, deadline: float | None = None
    ) -> tuple[Fill, ...]:
        """`get_fills` for *seat*."""
        self._until(deadline)
        return self._fills_for(seat, None if since is None else to_utc("since", since))

    @at_home
    async def positions_for(self, seat: Seat, deadline: float | None = None) -> tuple[Position, ...]:
        """`get_positions` for *seat*."""
        until = self._until(deadline)
        self._core.refuse_unless_connected()
        if self._can("_positions"):
            found: Sequence[Position] = await self._core.call("positions", self._positions, until=until)
            return tuple(each for each in found if seat.has(each.account))
        return (await self._shot(seat, until)).positions or ()

    @at_home
    async def balances_for(self, seat: Seat, deadline: float | None = None) -> tuple[Balance, ...]:
        """`get_balances` for *seat*."""
        until = self._until(deadline)
        self._core.refuse_unless_connected()
        if self._can("_balances"):
            found: Sequence[Balance] = await self._core.call("balances", self._balances, until=until)
            return tuple(each for each in found if seat.has(each.account))
        return (await self._shot(seat, until)).balances or ()

    @at_home
    async def snapshot_for(self, seat: Seat, deadline: float | None = None) -> Snapshot:
        """`snapshot` for *seat*."""
        until = self._until(deadline)
        self._core.refuse_unless_connected()
        return await self._shot(seat, until)

    @final
    def events_for(
        self, seat: Seat | Callable[[], Seat], after: str | None = None
    ) -> AsyncIterator[BrokerEvent]:
        """`events` for *seat*: only what happens to its accounts, those that it has at that time."""
        now = seat if callable(seat) else lambda: seat

        async def snapshot() -> Snapshot:
            return await self.snapshot_for(now())

        def concerns(event: BrokerEvent) -> bool:
            return _concerns(event.payload, now())

        wanted = None if now().accounts is None else concerns
        return self._core.book.log.stream(after, snapshot, wanted=wanted)

    async def _shot(self, seat: Seat, until: float) -> Snapshot:
        book = self._core.book
        said, _ = await self._core.line.snapshot(until)
        positions = book.positions.all() if said.positions is None else said.positions
        balances = said.balances
        return Snapshot(
            orders=self._open_for(seat),
            fills=self._fills_for(seat, None),
            positions=tuple(each for each in positions if seat.has(each.account)),
            balances=None if balances is None else tuple(each for each in balances if seat.has(each.account)),
            cursor=book.log.cursor,
        )

    def _open_for(self, seat: Seat) -> tuple[Order, ...]:
        return tuple(held.order for held in self._core.book.open() if seat.has(held.account))

    def _fills_for(self, seat: Seat, since: datetime | None) -> tuple[Fill, ...]:
        return tuple(
            fill
            for fill in self._core.book.fills()
            if seat.has(fill.account) and (since is None or fill.time >= since)
        )

    async def _find(self, seat: Seat, ref: OrderRef, until: float) -> Held:
        """The order that *ref* names and *seat* may see; `OrderNotFound` says the same of all others."""
        book = self._core.book
        found = [held for held in book.named(ref.client_order_id, ref.order_id) if seat.has(held.account)]
        if len(found) > 1:
            why = f"{len(found)} accounts have an order {ref.client_order_id!r}: name it by its order_id"
            raise InvalidRequest(why, code="ambiguous", outcome="NOT_SENT")
        if found:
            return found[0]
        if self._can("_query") and self._core.line.is_up:
            held = await self._ask_for(ref, until)
            if held is not None and seat.has(held.account):
                return held
        named = ref.order_id or ref.client_order_id
        raise OrderNotFound(f"there is no order {named!r}", code="order_not_found", outcome="REJECTED")

    async def _ask_for(self, ref: OrderRef, until: float) -> Held | None:
        try:
            order = await self._core.call("query", self._query, ref, until=until)
        except OrderNotFound:
            return None
        return self._core.book.merge(order, default_account=self.default_account)


@functools.cache
def own_names() -> tuple[str, ...]:
    """What no subclass may call anything of its own: all that is no hook and no constructor."""
    # Who says something else of itself (info, broker_id) harms nobody but itself.
    open_to_all = {*HOOKS, *dir(object), "_invoke", "_abc_impl", "broker_id", "info"}
    return tuple(
        name
        for name, value in vars(BrokerGateway).items()
        if name not in open_to_all and (callable(value) or isinstance(value, (property, classmethod)))
    )


async def _nothing() -> None:
    return None


def _held_by_another(book: Book) -> str | None:
    return None if book.holder is None else f"read-only here: its journal is held by {book.holder}"


def _concerns(payload: object, seat: Seat) -> bool:
    account = getattr(payload, "account", None)
    return account is None or account in (seat.accounts or ())
