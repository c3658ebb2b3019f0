"""The gateway: life cycle, streams and threads around the engine."""

# ruff: noqa: ARG002 - the contract's parameters stay where this venue has no use for them

from __future__ import annotations

import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, Final, NoReturn

from hotplug.brokers import BrokerInfo, IBrokerGateway, mask_account
from hotplug.errors import DeadlineExceeded, GatewayNotReady, NotSupported
from hotplug.market import (
    Bar,
    BrokerEvent,
    CancelScope,
    Capability,
    Environment,
    Gap,
    GatewayStatus,
    HealthReport,
    HealthState,
    Instrument,
    OrderRef,
    OrderRequest,
    Snapshot,
    StatusChange,
    to_decimal,
    to_utc,
)
from hotplug_broker_paper._engine import DEFAULT_ACCOUNT, Engine
from hotplug_broker_paper._ledger import EXACT
from hotplug_broker_paper._log import EventLog, EventStream
from hotplug_broker_paper._rules import Rules

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterable
    from datetime import timedelta

    from hotplug.errors import BrokerError
    from hotplug.market import Balance, Fill, Order, OrderAck, OrderChange, Position, Quote, RateLimit

__all__ = ["PaperBroker"]

CAPABILITIES: Final = frozenset({Capability.SIMULATED, Capability.STREAM, Capability.INSTRUMENTS})
EVENTS_KEPT: Final = 100_000
HEALTH_MAX_AGE: Final = 60.0
NO_REASON: Final = ""


class PaperBroker(IBrokerGateway):
    """
    A venue of paper: ``feed`` it bars, and orders trade on them.

    *cash* is what each account starts with, *fee_rate* and *slippage* are fractions (of the notional; of the
    price of market orders), *tick* and *lot* the steps of prices and quantities. Without *symbols* any
    symbol is listed. Orders without an account go to the account ``default``; an account is opened by its
    first order or bar.

    Everything may be called from any thread and any event loop: calls are short, and take turns.
    """

    def __init__(
        self,
        *,
        cash: Decimal = Decimal(100_000),
        currency: str = "USD",
        fee_rate: Decimal = Decimal(0),
        slippage: Decimal = Decimal(0),
        tick: Decimal = Decimal("0.01"),
        lot: Decimal = Decimal("0.0001"),
        symbols: tuple[str, ...] | None = None,
        broker_id: str = "paper",
    ) -> None:
        rules = Rules(
            cash=cash,
            currency=currency,
            fee_rate=fee_rate,
            slippage=slippage,
            tick=tick,
            lot=lot,
            symbols=None if symbols is None else frozenset(symbols),
        )
        self._broker_id: Final = broker_id
        self._lock: Final = threading.Lock()
        self._log: Final = EventLog(self._lock, EVENTS_KEPT)
        self._engine: Final = Engine(rules, self._log.append)
        self._status = GatewayStatus.CREATED
        self._since = datetime.now(UTC)
        with localcontext(EXACT):
            self._engine.open_account(DEFAULT_ACCOUNT)
        self._info = self._make_info()

    # -- itself ------------------------------------------------------------------------------------

    @property
    def broker_id(self) -> str:
        """The key that this gateway stands under."""
        return self._broker_id

    @property
    def info(self) -> BrokerInfo:
        """What is known of it, from memory."""
        return self._info

    async def health(self, *, deadline: float | None = None) -> HealthReport:
        """Healthy when connected: there is no line that could break."""
        _in_time(deadline)
        state = self._health()
        return HealthReport(
            status=state,
            checks={"transport": state},
            checked_at=datetime.now(UTC),
            max_age=HEALTH_MAX_AGE,
        )

    async def rate_limits(self, *, deadline: float | None = None) -> tuple[RateLimit, ...]:
        """There are none."""
        _in_time(deadline)
        return ()

    # -- life cycle --------------------------------------------------------------------------------

    async def connect(self, deadline: float | None = None) -> None:
        """Open the venue; accounts and open orders are as they were left."""
        _in_time(deadline)
        with self._turn():
            if self._status is GatewayStatus.READY:
                return
            self._log.ended = False
            self._become(GatewayStatus.CONNECTING, "connect")
            self._become(GatewayStatus.SYNCING)
            self._become(GatewayStatus.READY)

    async def disconnect(self, drain: bool = True, *, deadline: float | None = None) -> None:
        """Close the venue; open orders stay, streams end after what has happened so far."""
        _in_time(deadline)
        with self._turn():
            if self._status is not GatewayStatus.READY:
                return
            self._become(GatewayStatus.DRAINING, "disconnect")
            self._become(GatewayStatus.DISCONNECTED)
            self._log.ended = True

    # -- the market --------------------------------------------------------------------------------

    async def feed(self, bar: Bar, *, account: str | None = None) -> tuple[Fill, ...]:
        """
        Let *bar* happen, to *account* or to all of them; the fills it made are the answer.

        An order matches from the next bar at the earliest. Bars of a symbol go forward in each account:
        `InvalidRequest` for one from the past, and for one that no market can have made.
        """
        _expect(bar, Bar)
        with self._ready_turn() as engine:
            fed = engine.accounts.values() if account is None else [engine.account(account)]
            return engine.feed(bar, fed)

    async def open_account(self, account: str, cash: Decimal | None = None) -> None:
        """Open *account* with *cash* (else with what the setting says); `InvalidRequest` if it is open."""
        cash = None if cash is None else to_decimal("cash", cash)
        with self._ready_turn() as engine:
            engine.open_account(account, cash)

    async def get_instrument(self, symbol: str, *, deadline: float | None = None) -> Instrument:
        """The same steps for every listed symbol."""
        with self._ready_turn(deadline) as engine:
            rules = engine.rules
            rules.check_listed(symbol)
            return Instrument(
                symbol=symbol, tick_size=rules.tick, lot_size=rules.lot, currency=rules.currency
            )

    async def get_quote(self, symbol: str, *, deadline: float | None = None) -> Quote:
        """Not supported: its market is made of bars."""
        _lacks("quotes")

    async def get_bars(
        self,
        symbol: str,
        start: datetime,
        end: datetime,
        step: timedelta,
        *,
        deadline: float | None = None,
    ) -> tuple[Bar, ...]:
        """Not supported: who feeds the bars has them."""
        _lacks("history")

    def stream_quotes(self, symbols: Iterable[str]) -> AsyncIterator[Quote]:
        """Not supported: its market is made of bars."""
        _lacks("quotes")

    # -- orders ------------------------------------------------------------------------------------

    async def place_order(self, request: OrderRequest, *, deadline: float | None = None) -> OrderAck:
        """Accept an order, to be matched from the next bar on."""
        _expect(request, OrderRequest)
        with self._ready_turn(deadline) as engine:
            return engine.place(request)

    async def cancel_order(self, ref: OrderRef, *, deadline: float | None = None) -> Order:
        """Cancel an order, or tell how it had ended before."""
        _expect(ref, OrderRef)
        with self._ready_turn(deadline) as engine:
            return engine.cancel(engine.find(ref))

    async def modify_order(
        self, ref: OrderRef, change: OrderChange, *, deadline: float | None = None
    ) -> Order:
        """Not supported."""
        _lacks("changes of orders")

    async def cancel_all(
        self, scope: CancelScope = CancelScope.OWN, *, deadline: float | None = None
    ) -> tuple[Order | BrokerError, ...]:
        """Cancel every open order; all are own, in either scope."""
        _expect(scope, CancelScope)
        with self._ready_turn(deadline) as engine:
            return tuple(engine.cancel(engine.find(order.ref)) for order in engine.open_orders())

    async def get_order(self, ref: OrderRef, *, deadline: float | None = None) -> Order:
        """The order as it stands, also long after it has ended."""
        _expect(ref, OrderRef)
        with self._ready_turn(deadline) as engine:
            return engine.find(ref).order

    async def get_open_orders(self, *, deadline: float | None = None) -> tuple[Order, ...]:
        """Every order that may still trade, by account, symbol and age."""
        with self._ready_turn(deadline) as engine:
            return engine.open_orders()

    async def get_fills(
        self, since: datetime | None = None, *, deadline: float | None = None
    ) -> tuple[Fill, ...]:
        """What was traded, in the order in which it was; *since* is market time."""
        first = None if since is None else to_utc("since", since)
        with self._ready_turn(deadline) as engine:
            return tuple(fill for fill in engine.fills if first is None or fill.time >= first)

    # -- accounts ----------------------------------------------------------------------------------

    async def get_positions(self, *, deadline: float | None = None) -> tuple[Position, ...]:
        """What was ever held, with its profit before fees; sold off has a quantity of 0."""
        with self._ready_turn(deadline):
            return self._positions()

    async def get_balances(self, *, deadline: float | None = None) -> tuple[Balance, ...]:
        """The money of each account."""
        with self._ready_turn(deadline):
            return self._balances()

    async def snapshot(self, *, deadline: float | None = None) -> Snapshot:
        """Everything at one instant."""
        with self._ready_turn(deadline):
            return self._snapshot()

    # -- streams -----------------------------------------------------------------------------------

    def events(self, after: str | None = None) -> AsyncIterator[BrokerEvent]:
        """
        What happens from this call on, or after the cursor *after*; it may be called before `connect`.

        A cursor of another broker, or one whose successor is forgotten, gives a `Gap` and a `Snapshot` first.
        """
        with self._lock:
            if after is None:
                return EventStream(self._log, self._log.next)
            start = self._log.number_after(after)
            if start is not None:
                return EventStream(self._log, start)
            with localcontext(EXACT):
                return EventStream(self._log, self._log.next, self._resumption(after))

    def _resumption(self, after: str) -> tuple[BrokerEvent, BrokerEvent]:
        now, cursor = datetime.now(UTC), self._log.cursor()
        # Who stops after the gap has not seen the snapshot: its cursor leads to the gap again.
        gap = BrokerEvent(cursor=after, time=now, generation=0, payload=Gap(after=after, before=cursor))
        return gap, BrokerEvent(cursor=cursor, time=now, generation=0, payload=self._snapshot())

    # -- in turn -----------------------------------------------------------------------------------

    @contextmanager
    def _turn(self) -> Generator[Engine]:
        """The engine, with nobody else at it and sums that are exact; readers hear of it afterwards."""
        try:
            with self._lock, localcontext(EXACT):
                try:
                    yield self._engine
                finally:
                    if len(self._info.accounts) != len(self._engine.accounts):
                        self._info = self._make_info()
        finally:
            self._log.wake()

    @contextmanager
    def _ready_turn(self, deadline: float | None = None) -> Generator[Engine]:
        """The same, where the venue must be open."""
        _in_time(deadline)
        with self._turn() as engine:
            if self._status is not GatewayStatus.READY:
                raise GatewayNotReady(
                    f"{self._broker_id} is {self._status}: connect it first",
                    code="not_ready",
                    outcome="NOT_SENT",
                    retryable=True,
                )
            yield engine

    def _become(self, status: GatewayStatus, reason: str = NO_REASON) -> None:
        old, self._status, self._since = self._status, status, datetime.now(UTC)
        self._info = self._make_info()
        self._log.append(self._since, StatusChange(old=old, new=status, reason=reason))

    def _health(self) -> HealthState:
        return HealthState.HEALTHY if self._status is GatewayStatus.READY else HealthState.UNKNOWN

    def _make_info(self) -> BrokerInfo:
        return BrokerInfo(
            broker_id=self._broker_id,
            type="paper",
            environment=Environment.PAPER,
            status=self._status,
            health=self._health(),
            capabilities=CAPABILITIES,
            accounts=tuple(mask_account(name) for name in self._engine.accounts),
            since=self._since,
        )

    def _positions(self) -> tuple[Position, ...]:
        return tuple(
            each for account in self._engine.accounts.values() for each in account.ledger.positions()
        )

    def _balances(self) -> tuple[Balance, ...]:
        return tuple(account.balance() for account in self._engine.accounts.values())

    def _snapshot(self) -> Snapshot:
        return Snapshot(
            orders=self._engine.open_orders(),
            fills=tuple(self._engine.fills),
            positions=self._positions(),
            balances=self._balances(),
            cursor=self._log.cursor(),
        )


def _in_time(deadline: float | None) -> None:
    if deadline is not None and deadline <= 0:
        raise DeadlineExceeded("no time was given for the call", code="deadline", outcome="NOT_SENT")


def _expect(value: object, kind: type) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"a {kind.__name__} is needed, not {type(value).__name__}")


def _lacks(what: str) -> NoReturn:
    raise NotSupported(f"the paper broker has no {what}", code="not_supported", outcome="NOT_SENT")
