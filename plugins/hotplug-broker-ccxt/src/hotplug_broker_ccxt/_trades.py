"""Which trades are news, and which the figures of an order say are still to come."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from hotplug_broker_ccxt._reading import read_fill

if TYPE_CHECKING:
    from hotplug.brokers import BrokerGateway
    from hotplug.market import Fill, Order
    from hotplug_broker_ccxt._session import Session

__all__ = ["Trades"]

ZERO: Final = Decimal(0)
OVERLAP: Final = timedelta(seconds=60)
"""Trades are asked for from so long before the newest one known: some venues are late with some of them."""
LONGEST_SPAN: Final = timedelta(hours=20)
"""Some venues answer for a day from the start that is given, at most."""
OWED_FOR: Final = 60.0  # seconds that trades are waited for which an order's figures speak of
PAGES: Final = 20
REMEMBERED: Final = 10_000


class Trades:
    """The trades of one account. What the book was given is remembered; it drops doubles in any case."""

    def __init__(self, broker: BrokerGateway) -> None:
        self._broker: Final = broker
        self._said: dict[str, tuple[Decimal, str, float]] = {}  # by order: filled, its symbol, since when
        self._added_up: dict[str, Decimal] = {}  # by order: what its trades come to
        self._seen: dict[str, None] = {}
        self._since: dict[str, datetime] = {}
        self._begun_at: datetime | None = None

    def begin(self) -> None:
        """From now on trades are news; older ones only if an order of ours may have made them."""
        self._begun_at = self._begun_at or datetime.now(UTC)

    # -- what is owed ------------------------------------------------------------------------------

    def expect(self, order: Order) -> None:
        """The venue says how much of *order* is filled: so much of trades there must be."""
        name = order.order_id
        if name is None or order.filled_qty <= self._added_up.get(name, ZERO):
            return
        said = self._said.get(name)
        if said is None or said[0] != order.filled_qty:
            self._said[name] = order.filled_qty, order.symbol, time.monotonic()

    def owed(self) -> tuple[str, ...]:
        """The symbols of which there must be trades that we have not seen."""
        latest = time.monotonic() - OWED_FOR
        for name, (filled, _, since) in tuple(self._said.items()):
            if since < latest or self._added_up.get(name, ZERO) >= filled:
                del self._said[name]
        return tuple(sorted({symbol for _, symbol, _ in self._said.values()}))

    # -- asking ------------------------------------------------------------------------------------

    async def every(self, session: Session, symbols: tuple[str, ...]) -> tuple[Fill, ...] | None:
        """The fresh trades of *symbols* and of all that was traded; ``None`` where they are not told."""
        if not session.exchange.has.get("fetchMyTrades"):
            return None
        wanted = {*symbols, *self.owed(), *(fill.symbol for fill in self._broker.book.fills())}
        return tuple([fill for symbol in sorted(wanted) for fill in await self._told(session, symbol)])

    async def fresh(self, session: Session, symbol: str) -> tuple[Fill, ...]:
        """The trades of *symbol* that were not `delivered` yet, oldest first."""
        told = await self._told(session, symbol)
        return tuple(fill for fill in told if f"{symbol} {fill.trade_id}" not in self._seen)

    def delivered(self, fill: Fill) -> None:
        """The book has it: it is no news any more."""
        self._seen[f"{fill.symbol} {fill.trade_id}"] = None
        if fill.order_id is not None:
            self._added_up[fill.order_id] = self._added_up.get(fill.order_id, ZERO) + fill.qty
        self._since[fill.symbol] = max(fill.time, self._since.get(fill.symbol, fill.time))
        _shorten(self._seen)
        _shorten(self._added_up)

    async def _told(self, session: Session, symbol: str) -> tuple[Fill, ...]:
        since = self._start(symbol)
        account = self._broker.default_account
        told = [read_fill(row, account) for row in await self._rows(session, symbol, since)]
        fills = [fill for fill in told if fill is not None and fill.time >= since]
        return tuple(sorted(fills, key=lambda fill: fill.time))

    def _start(self, symbol: str) -> datetime:
        """Since when trades of *symbol* may be news."""
        book = self._broker.book
        last = self._since.get(symbol) or max(
            (fill.time for fill in book.fills() if fill.symbol == symbol), default=None
        )
        if last is not None:
            return last - OVERLAP
        ours = [held.order.created_at for held in book.open() if held.order.symbol == symbol]
        times = [each for each in (self._begun_at, *ours) if each is not None]
        return min(times, default=datetime.now(UTC)) - OVERLAP

    async def _rows(self, session: Session, symbol: str, since: datetime) -> list[Any]:
        fetch = session.exchange.fetch_my_trades
        limit = session.feature("fetchMyTrades").get("limit")
        if datetime.now(UTC) - since > LONGEST_SPAN:
            return list(await session.ask(fetch, symbol, None, limit))
        rows: dict[str, Any] = {}
        start = int(since.timestamp() * 1000)
        for _ in range(PAGES):
            page = await session.ask(fetch, symbol, start, limit)
            before = len(rows)
            rows.update((str(row.get("id")), row) for row in page)
            if limit is None or len(page) < limit or len(rows) == before:
                break
            start = max(int(row["timestamp"]) for row in page)
        return list(rows.values())


def _shorten(memory: dict[str, Any]) -> None:
    """Forget the oldest half of too much."""
    if len(memory) > REMEMBERED:
        for name in tuple(memory)[: REMEMBERED // 2]:
            del memory[name]
