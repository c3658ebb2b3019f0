"""What a venue does with orders, by its habits, and whom it tells."""

from __future__ import annotations

import random
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from hotplug.errors import PermissionDenied
from hotplug.market import Fill, OrderStatus, OrderUpdate, Snapshot
from hotplug_broker_mock._book import VenueBook
from hotplug_broker_mock._ledger import Ledger
from hotplug_broker_mock._market import Market

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable
    from datetime import datetime
    from decimal import Decimal

    from hotplug.market import Order, OrderChange
    from hotplug_broker_mock._book import News, WhichOrder
    from hotplug_broker_mock._clock import Clock
    from hotplug_broker_mock._habits import Habits
    from hotplug_broker_mock._line import Line
    from hotplug_broker_mock._rules import Fills

__all__ = ["DEFAULT_ACCOUNT", "Floor"]

DEFAULT_ACCOUNT: Final = "default"
BY_FILL: Final = frozenset({OrderStatus.PARTIALLY_FILLED, OrderStatus.FILLED})
TENTHS: Final = 10


class Floor:
    """The trading floor: book, market and what orders do by themselves. Everything happens in turns."""

    def __init__(self, habits: Habits, line: Line, clock: Clock, seed: str) -> None:
        self.book: Final = VenueBook(Ledger(habits), habits)
        self.market: Final = Market()
        self._habits: Final = habits
        self._line: Final = line
        self._clock: Final = clock
        self._seed: Final = seed

    def now(self) -> datetime:
        """What the venue takes for the time."""
        return self._clock.now() + timedelta(seconds=self._habits.skew)

    def tell(self, news: Iterable[News]) -> None:
        """Report *news*, as far as the venue does."""
        for each in news:
            if self._is_told(each):
                self._line.post(each, each.client_order_id)

    def take(self, order: Order, fills: Fills | None, loop: asyncio.AbstractEventLoop) -> Order:
        """Accept *order*, and let it do what orders do here."""
        accepted, news = self.book.accept(order, self._account_of(order), self.now())
        self.tell(news)
        self._start(accepted, fills or self._habits.fills, loop)
        return accepted

    def take_from_another(self, order: Order) -> Order:
        """Accept somebody else's *order*, and tell all of it: nobody here knows its terms."""
        accepted, _ = self.book.accept(order, self._account_of(order), self.now())
        self.tell([accepted])
        return accepted

    def trade(self, which: WhichOrder, qty: Decimal | None = None, price: Decimal | None = None) -> Fill:
        """Fill an order by *qty*, all by default, at *price*, its own or the market's by default."""
        order = self.book.find(which)
        at = self.market.price_of(order, self._habits.price) if price is None else price
        size = order.qty - order.filled_qty if qty is None else qty
        fill, news = self.book.fill(order, self.now(), at, size, fee=size * at * self._habits.fee)
        self.tell(news)
        return fill

    def cancel(self, which: WhichOrder, reason: str | None = None) -> Order:
        """Cancel an order; `InvalidRequest`, REJECTED, if it has ended already."""
        return self.end(which, OrderStatus.CANCELED, reason)

    def end(self, which: WhichOrder, status: OrderStatus, reason: str | None = None) -> Order:
        """End an order in *status*."""
        order, news = self.book.end(which, status, self.now(), reason)
        self.tell(news)
        return order

    def change(self, which: WhichOrder, change: OrderChange) -> Order:
        """Change an open order."""
        order, news = self.book.change(which, change, self.now())
        self.tell(news)
        return order

    def trade_first(self, which: WhichOrder) -> None:
        """Fill what is left of an order that is still open."""
        if not self.book.find(which).status.terminal:
            self.trade(which)

    def snapshot(self) -> Snapshot:
        """Everything that the venue tells in one."""
        has = self._habits.snapshot_has
        orders = tuple(
            order for order in self.book.orders if self._habits.snapshot_ended or not order.status.terminal
        )
        return Snapshot(
            orders=orders if "orders" in has else None,
            fills=tuple(self.book.fills) if "fills" in has else None,
            positions=self.book.ledger.positions if "positions" in has else None,
            balances=self.book.ledger.balances if "balances" in has else None,
            cursor=None,
        )

    def _account_of(self, order: Order) -> str:
        known = self._habits.accounts
        account = order.account or (known[0] if known else DEFAULT_ACCOUNT)
        if known and account not in known:
            raise PermissionDenied(f"no account {account!r} at this venue", outcome="REJECTED")
        return account

    def _is_told(self, news: News) -> bool:
        tells = self._habits.tells
        if isinstance(news, Fill):
            return tells in ("all", "fills")
        said_by_fill = isinstance(news, OrderUpdate) and news.status in BY_FILL and not news.correction
        return tells in ("all", "updates") or (tells == "fills" and not said_by_fill)

    def _start(self, order: Order, fills: Fills, loop: asyncio.AbstractEventLoop) -> None:
        if fills == "random":
            self._scatter(order, loop)
        elif fills != "rest" and self.market.reaches(order, self._habits.price):
            if fills == "now":
                self.trade(order)
            else:
                self._trade_later(0.0, order, order.qty, loop)

    def _scatter(self, order: Order, loop: asyncio.AbstractEventLoop) -> None:
        # Of the order's own name: whatever else goes on changes nothing for it.
        dice = random.Random(f"{self._seed}/fills/{order.client_order_id or order.order_id}")  # noqa: S311
        for part in _parts(dice):
            qty = order.qty * part / TENTHS
            self._trade_later(dice.uniform(0, self._habits.spread), order, qty, loop)

    def _trade_later(
        self, seconds: float, order: Order, qty: Decimal, loop: asyncio.AbstractEventLoop
    ) -> None:
        def trade() -> None:
            with self._line.turn():
                now = self.book.find(order)
                if not now.status.terminal:
                    self.trade(order, min(qty, now.leaves_qty))

        self._clock.call_later(seconds, trade, loop)


def _parts(dice: random.Random) -> list[int]:
    """Tenths of an order: none, or up to three parts that make up all or some of it."""
    count = dice.randint(0, 3)
    total = dice.choice((TENTHS, dice.randint(1, TENTHS)))
    cuts = sorted(dice.sample(range(1, total), min(count - 1, total - 1))) if count > 1 else []
    edges = [0, *cuts, total] if count else []
    return [high - low for low, high in pairwise(edges)]
