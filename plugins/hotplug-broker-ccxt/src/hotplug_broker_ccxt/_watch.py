"""
What happens at a venue that is asked, not listened to: open orders, what became of them, trades, quotes.

A round is one ``_ping``: the template paces it, waits for the limits, and notices when it is not answered.
Calls beyond the first ones of a round are made only while there is room in the limits; what is put off is
made up for in the next.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from hotplug.errors import BrokerError, OrderNotFound
from hotplug.market import Gap
from hotplug_broker_ccxt._lookup import find_order
from hotplug_broker_ccxt._reading import read_order, read_quote
from hotplug_broker_ccxt._trades import Trades

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from hotplug.brokers import BrokerGateway
    from hotplug.market import Order
    from hotplug_broker_ccxt._session import Session

__all__ = ["Watch"]

ZERO: Final = Decimal(0)
SETTLING: Final = timedelta(seconds=2)
"""So long a venue may not know a new order: some answer queries from databases that come after."""


class Watch:
    """Reports of one gateway, by asking. What it remembers outlives reconnections."""

    def __init__(self, broker: BrokerGateway, symbols: tuple[str, ...]) -> None:
        self._broker: Final = broker
        self._symbols: Final = frozenset(symbols)
        self._known: dict[str, tuple[object, ...]] = {}
        self.trades: Final = Trades(broker)
        self.quoted: frozenset[str] = frozenset()

    # -- a round -----------------------------------------------------------------------------------

    async def round(self, session: Session) -> None:
        """Look once at everything that may have changed, and report it."""
        asked_at = datetime.now(UTC)
        told = await self.open_orders(session, is_complete=False)
        if told is not None:
            for order in told:
                self._report(order)
            await self._ask_for_vanished(session, told, asked_at)
        for symbol in self.trades.owed():
            for fill in await self._if_room("positions", self.trades.fresh, session, symbol) or ():
                self._broker.report(fill)
                self.trades.delivered(fill)
        for symbol in sorted(self.quoted):
            told_quote = await self._if_room("quote", self.ticker, session, symbol)
            if told_quote is not None:
                self._broker.report(read_quote(told_quote, symbol))

    def _report(self, order: Order) -> None:
        self.trades.expect(order)
        figures = (order.status, order.filled_qty, order.qty, order.price, order.stop_price)
        if order.order_id is None or self._known.get(order.order_id) == figures:
            return
        self._known[order.order_id] = figures
        self._broker.report(order)

    async def _ask_for_vanished(self, session: Session, told: Iterable[Order], asked_at: datetime) -> None:
        """Open orders that are not told any more have ended somehow."""
        standing = {order.order_id for order in told}
        for held in tuple(self._broker.book.open()):
            order = held.order
            placed_at = order.created_at or asked_at
            if order.order_id is None or order.order_id in standing or placed_at > asked_at:
                continue
            try:
                found = await self._if_room("query", find_order, self._broker, session, order.ref)
            except OrderNotFound:
                if asked_at - placed_at > SETTLING:
                    self._broker.report(Gap(after=None, before=order.order_id))
                continue
            if found is not None:
                self._report(found)
        self._known = {name: self._known[name] for name in self._known.keys() & standing}

    async def _if_room(self, call: str, what: Callable[..., Awaitable[Any]], *arguments: object) -> Any:
        """Do *what* if the limits have room for one more *call* at once; ``None`` if not."""
        broker = self._broker
        until = time.monotonic() + broker.default_deadline
        ticket = broker.book.limiter.try_acquire(call, until=until, account=broker.default_account)
        if ticket is None:
            return None
        is_answered = False
        try:
            result = await what(*arguments)
            is_answered = True
        except BrokerError as error:
            is_answered = error.is_explicit
            raise
        finally:
            ticket.done(answered=is_answered)
        return result

    # -- asking ------------------------------------------------------------------------------------

    async def open_orders(self, session: Session, *, is_complete: bool) -> tuple[Order, ...] | None:
        """
        The open orders, those of strangers included; ``None`` where the venue does not tell without a symbol.

        Unless it shall be *complete*, only those of the symbols that matter, where that is cheaper.
        """
        venue, symbols = session.venue, self.symbols()
        is_cheaper = venue.is_cheaper_by_symbol and len(symbols) <= venue.most_symbols and not is_complete
        is_one_by_one = is_cheaper or session.needs_symbol("fetchOpenOrders")
        if is_one_by_one and not symbols:
            return None
        fetch = session.exchange.fetch_open_orders
        asked: tuple[str | None, ...] = symbols if is_one_by_one else (None,)
        told = [each for symbol in asked for each in await session.ask(fetch, symbol)]
        return tuple(order for each in told if (order := read_order(each)) is not None)

    def symbols(self) -> tuple[str, ...]:
        """The symbols that matter: those of the settings, and of open orders."""
        return tuple(sorted(self._symbols.union(held.order.symbol for held in self._broker.book.open())))

    async def ticker(self, session: Session, symbol: str) -> Any:
        """The best bid and ask of *symbol*, by the cheapest way that tells sizes."""
        exchange = session.exchange
        if exchange.has.get("fetchBidsAsks") is True:
            return (await session.ask(exchange.fetch_bids_asks, [symbol]))[symbol]
        return await session.ask(exchange.fetch_ticker, symbol)
