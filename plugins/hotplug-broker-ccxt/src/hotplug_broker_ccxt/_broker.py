"""The gateway: our verbs in ccxt's words."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from hotplug.brokers import BrokerGateway
from hotplug.errors import (
    BrokerError,
    BrokerUnavailable,
    DuplicateClientOrderId,
    GatewayNotReady,
    InvalidRequest,
    OrderDenied,
    close_match,
)
from hotplug.market import (
    Capability,
    Environment,
    OrderStatus,
    OrderType,
    OrderUpdate,
    Snapshot,
    TimeInForce,
)
from hotplug_broker_ccxt._loading import require_exchange
from hotplug_broker_ccxt._lookup import find_order
from hotplug_broker_ccxt._placing import AT_ONCE, SPOT, STOPS, change_of, lacking, order_of
from hotplug_broker_ccxt._reading import (
    read_balances,
    read_bar,
    read_instrument,
    read_order,
    read_position,
    read_quote,
    read_time,
    steps_of,
)
from hotplug_broker_ccxt._session import Account, Session, is_loopback
from hotplug_broker_ccxt._venues import default_windows
from hotplug_broker_ccxt._watch import Watch

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    from hotplug.market import Balance, Bar, Instrument, Order, OrderChange, OrderRef, Position, Quote

__all__ = ["CcxtBroker"]

MarketType = Literal["spot", "margin", "swap", "future", "option"]
SILENT_ROUNDS: Final = 10
PAGE: Final = 500
_OURS: Final = frozenset({Capability.STREAM, Capability.INSTRUMENTS})
_PLAIN: Final = frozenset({OrderType.MARKET, OrderType.LIMIT})
_ALWAYS: Final = frozenset({TimeInForce.DAY, TimeInForce.GTC})
_SAME: Final = ("symbol", "side", "qty", "type", "price", "stop_price")


class CcxtBroker(BrokerGateway):
    """
    An account at any exchange that ccxt knows.

    *exchange* is ccxt's id of it, as in ``"binance"``; the credentials are those that it asks for. Live,
    unless *sandbox*: then the exchange's own test system. *market_type* says which of its markets are
    traded, *symbols* (as in ``"BTC/USDT"``) which are always watched, beside those of open orders; every
    *poll_interval* seconds the venue is asked for news. *timeout* is in seconds. *options* are ccxt's.
    *url* replaces scheme and host of every address of the exchange, for tests: one beyond this machine is
    live, whatever *sandbox* says.

    Raises `ValueError` for an exchange that ccxt does not know; ccxt is imported when it connects.
    """

    broker_type = "ccxt"

    def __init__(
        self,
        *,
        exchange: str,
        api_key: str = "",
        secret: str = "",
        password: str = "",
        uid: str = "",
        wallet_address: str = "",
        private_key: str = "",
        sandbox: bool = False,
        market_type: MarketType = "spot",
        symbols: tuple[str, ...] = (),
        account: str = "default",
        poll_interval: float = 1.0,
        timeout: float = 10.0,
        url: str | None = None,
        options: dict[str, Any] | None = None,
        broker_id: str | None = None,
    ) -> None:
        super().__init__(broker_id=broker_id)
        require_exchange(exchange)
        if poll_interval <= 0 or timeout <= 0:
            raise ValueError("poll_interval and timeout are seconds, more than 0")
        credentials = _given(
            apiKey=api_key,
            secret=secret,
            password=password,
            uid=uid,
            walletAddress=wallet_address,
            privateKey=private_key,
        )
        self._account: Final = Account(
            exchange=exchange,
            credentials=credentials,
            sandbox=sandbox,
            market_type=market_type,
            timeout=timeout,
            url=url,
            options=dict(options or {}),
        )
        self.default_account = account
        self.accounts = (account,)
        self._declare(poll_interval)
        self._session: Session | None = None
        self._before: Session | None = None
        self._watch: Final = Watch(self, symbols)

    def _declare(self, poll_interval: float) -> None:
        """What the template wants to know, as far as it is known without ccxt."""
        account, venue = self._account, self._account.venue
        is_near = account.url is None or is_loopback(account.url)
        self.environment = Environment.SANDBOX if account.sandbox and is_near else Environment.LIVE
        self.capabilities = _OURS
        self.rate_windows = venue.windows
        self.max_client_id_length = venue.id_length
        self.client_id_alphabet = venue.id_alphabet
        self.not_found_final_after = venue.forgets_after
        self.check_interval = poll_interval
        self.stale_after = max(SILENT_ROUNDS * poll_interval, account.timeout)
        self.order_types = _PLAIN
        self.tifs = _ALWAYS | AT_ONCE

    # -- life --------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        session = await Session.open(self._account, self.report, self._before)
        self._session = self._before = session
        self._watch.trades.begin()
        self._learn(session)

    async def _disconnect(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _learn(self, session: Session) -> None:
        """What only ccxt knows: what the exchange can do."""
        has, placing = session.exchange.has, session.feature("createOrder")
        known = {
            Capability.QUOTES: has.get("fetchTicker") or has.get("fetchBidsAsks"),
            Capability.BARS: has.get("fetchOHLCV") is True,
            Capability.MODIFY: session.venue.is_amending and has.get("editOrder") is True,
        }
        self.capabilities = _OURS.union(each for each, is_there in known.items() if is_there)
        # Where stops are kept apart from other open orders, they would be lost sight of.
        is_stopping = placing.get("triggerPrice") and not session.feature("fetchOpenOrders").get("trigger")
        self.order_types = _PLAIN | STOPS if is_stopping else _PLAIN
        tifs: Mapping[str, Any] = placing.get("timeInForce") or {}
        self.tifs = _ALWAYS | {each for each in AT_ONCE if tifs.get(str(each))}
        if not self.rate_windows:
            self.rate_windows = default_windows(session.exchange.rateLimit)
            self.book.limiter.configure(self.rate_windows)

    @property
    def _opened(self) -> Session:
        if self._session is None:
            raise GatewayNotReady(f"{self.broker_id} is not connected", code="not_ready", outcome="NOT_SENT")
        return self._session

    # -- orders ------------------------------------------------------------------------------------

    async def _place(self, order: Order) -> str | None:
        session = self._opened
        if order.account not in {None, self.default_account}:
            why = f"this session trades the account {self.default_account!r}, not {order.account!r}"
            raise OrderDenied(why, code="account", outcome="NOT_SENT")
        arguments, terms = order_of(session, order, self._account.market_type)
        try:
            told = await session.ask(session.exchange.create_order, *arguments, terms=terms)
        except DuplicateClientOrderId as error:
            return await self._standing(session, order, error)
        if not told.get("id"):
            # ccxt makes an order of any answer; one without an id acknowledges nothing.
            why = f"{self._account.exchange} answered the order without an id for it"
            raise BrokerUnavailable(why, code="incomplete", outcome="UNKNOWN")
        self._tell(order, told)
        return str(told["id"])

    async def _standing(self, session: Session, order: Order, error: DuplicateClientOrderId) -> str | None:
        """The venue has an order with this id: ours, if it is the same one; else ours was refused."""
        found = None
        with suppress(BrokerError):
            found = await find_order(self, session, order.ref)
        if found is None:
            raise error
        if any(getattr(found, name) != getattr(order, name) for name in _SAME):
            why = f"{error.message}: another order than this one has the id {order.client_order_id!r}"
            raise DuplicateClientOrderId(
                why, code="duplicate", outcome="REJECTED", venue_code=error.venue_code
            ) from error
        self._watch.trades.expect(found)
        self.report(found)
        return found.order_id

    def _tell(self, order: Order, told: Mapping[str, Any]) -> None:
        """Report what an answer says of *order*; many are no more than an id."""
        found = read_order({**told, "clientOrderId": order.client_order_id})
        if found is None or found.status is OrderStatus.NEW:
            return
        self._watch.trades.expect(found)
        self.report(
            OrderUpdate(
                client_order_id=order.client_order_id,
                order_id=found.order_id,
                account=self.default_account,
                status=found.status,
                filled_qty=found.filled_qty,
                avg_price=found.avg_price,
            )
        )

    async def _cancel(self, order: Order) -> None:
        session = self._opened
        arguments: tuple[object, ...] = (order.order_id, order.symbol)
        if order.order_id is None and session.venue.is_asked_by_client_id:
            arguments = ("", order.symbol, {"clientOrderId": order.client_order_id})
        elif order.order_id is None:
            arguments = ((await find_order(self, session, order.ref)).order_id, order.symbol)
        try:
            told = await session.ask(session.exchange.cancel_order, *arguments)
        except BrokerError as error:
            if error.code != "CancelPending":
                raise
            return
        if isinstance(told, dict):
            self._tell(order, cast("dict[str, Any]", told))

    async def _modify(self, order: Order, change: OrderChange) -> str | None:
        session = self._opened
        arguments, terms = change_of(order, change)
        told = await session.ask(session.exchange.edit_order, *arguments, terms=terms)
        return str(told["id"]) if told.get("id") else None

    async def _query(self, ref: OrderRef) -> Order:
        order = await find_order(self, self._opened, ref)
        self._watch.trades.expect(order)
        return order

    # -- how everything stands ---------------------------------------------------------------------

    async def _snapshot(self) -> Snapshot:
        session, watch = self._opened, self._watch
        orders = await watch.open_orders(session, is_complete=True)
        for order in orders or ():
            watch.trades.expect(order)
        return Snapshot(
            orders=orders,
            fills=await watch.trades.every(session, watch.symbols()),
            positions=await self._held(session),
            balances=await self._balances(),
            cursor=None,
        )

    async def _held(self, session: Session) -> tuple[Position, ...] | None:
        """Positions in contracts; a spot market has only balances: there they are derived from fills."""
        exchange = session.exchange
        if self._account.market_type in SPOT or not exchange.has.get("fetchPositions"):
            return None
        told = [
            read_position(row, self.default_account) for row in await session.ask(exchange.fetch_positions)
        ]
        return tuple(each for each in told if each is not None)

    async def _balances(self) -> tuple[Balance, ...]:
        session = self._opened
        return read_balances(await session.ask(session.exchange.fetch_balance), self.default_account)

    async def _ping(self) -> datetime | None:
        session = self._opened
        said: object = None
        if session.exchange.has.get("fetchTime") is True:
            said = await session.ask(session.exchange.fetch_time)
        await self._watch.round(session)
        return read_time(said)

    # -- the market --------------------------------------------------------------------------------

    def _market(self, symbol: str) -> Mapping[str, Any]:
        markets: Mapping[str, Mapping[str, Any]] = self._opened.exchange.markets
        if symbol not in markets:
            why = f"{self._account.exchange} lists no {symbol!r} ({close_match(symbol, markets)})"
            raise InvalidRequest(why, code="symbol", outcome="NOT_SENT")
        return markets[symbol]

    async def _instrument(self, symbol: str) -> Instrument:
        return read_instrument(self._market(symbol), self._opened.exchange.precisionMode)

    async def _quote(self, symbol: str) -> Quote:
        self._market(symbol)
        return read_quote(await self._watch.ticker(self._opened, symbol), symbol)

    async def _subscribe(self, symbols: frozenset[str]) -> None:
        for symbol in symbols:
            self._market(symbol)
        self._watch.quoted = symbols

    async def _bars(self, symbol: str, start: datetime, end: datetime, step: timedelta) -> tuple[Bar, ...]:
        session = self._opened
        self._market(symbol)
        steps = steps_of(session.exchange.timeframes or ())
        if step not in steps:
            offered = ", ".join(steps[each] for each in sorted(steps))
            raise lacking(f"{self._account.exchange} has no bars of {step}, but of {offered}")
        limit = int(session.feature("fetchOHLCV").get("limit") or PAGE)
        fetch = session.exchange.fetch_ohlcv
        bars: dict[datetime, Bar] = {}
        while start < end:
            rows = await session.ask(fetch, symbol, steps[step], int(start.timestamp() * 1000), limit)
            page = [bar for row in rows if (bar := read_bar(row, symbol)) is not None and bar.time >= start]
            if not page:
                break
            bars.update((bar.time, bar) for bar in page if bar.time < end)
            start = max(bar.time for bar in page) + step
        return tuple(bars[time] for time in sorted(bars))


def _given(**credentials: str) -> dict[str, str]:
    """Those that were given, by ccxt's names for them."""
    return {name: value for name, value in credentials.items() if value}
