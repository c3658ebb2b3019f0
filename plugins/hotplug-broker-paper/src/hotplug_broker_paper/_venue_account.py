"""One account: its money, its orders, and how far its market has come."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Final, NamedTuple

from hotplug.errors import InsufficientFunds, InvalidRequest
from hotplug_broker_paper._venue_ledger import Ledger
from hotplug_broker_paper._venue_money import ZERO, slipped
from hotplug_broker_paper._venue_orders import Book, Standing
from hotplug_broker_paper._venue_records import balance_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime
    from decimal import Decimal

    from hotplug.market import Balance, Bar, Quote
    from hotplug_broker_paper._venue_rules import Rules

__all__ = ["Account", "Seen"]

FEW: Final = 1000


class Seen(NamedTuple):
    """What an account's market said last of a symbol: when, and at what one could buy and sell."""

    bar_at: datetime | None = None
    quote_at: datetime | None = None
    buy: Decimal | None = None
    sell: Decimal | None = None


class Account:
    """
    The state of one account. Call it in the context `EXACT`.

    Accounts share no time: two users may play different stretches of history at once.
    """

    __slots__ = (
        "_buying",
        "_due",
        "_selling",
        "_sweep_at",
        "_turns",
        "books",
        "by_client",
        "ledger",
        "locked",
        "name",
        "orders",
        "rules",
        "seen",
        "time",
        "trades",
    )

    def __init__(self, name: str, cash: Decimal, rules: Rules) -> None:
        self.name: Final = name
        self.rules: Final = rules
        self.ledger: Final = Ledger(name, cash)
        self.books: Final[dict[str, Book]] = {}
        self.by_client: Final[dict[str, Standing]] = {}
        self.seen: Final[dict[str, Seen]] = {}
        self.orders = 0
        """How many orders it ever sent: the number of the newest."""
        self.trades = 0
        self.time: datetime | None = None
        """The newest time that its market told."""
        self.locked = ZERO
        """What open orders may cost."""
        self._buying: Final[dict[str, Decimal]] = {}
        self._selling: Final[dict[str, Decimal]] = {}
        self._due: list[tuple[datetime, int, Standing]] = []
        self._turns: Final = count()
        self._sweep_at = FEW

    # -- orders ------------------------------------------------------------------------------------

    def open_orders(self) -> Iterator[Standing]:
        """The orders that may still trade, by symbol and age."""
        return (standing for book in self.books.values() for standing in book)

    def book(self, symbol: str) -> Book:
        """The open orders in *symbol*."""
        book = self.books.get(symbol)
        if book is None:
            book = self.books[symbol] = Book()
        return book

    def settle(self, standing: Standing) -> None:
        """Let go of an order that has ended, and of what was set aside for it."""
        standing.book.remove(standing)
        self.release(standing)

    def take_back(self, standing: Standing, *, has_arrived: bool) -> None:
        """Let an open order stand as it did before: what is set aside for it is known."""
        locked, closing = standing.locked, standing.closing
        standing.locked = ZERO
        self._lock(standing, locked, closing)
        if has_arrived:
            standing.book.rest(standing, standing.seq)
        else:
            standing.book.expect(standing)
        for moment in (standing.expires_at, standing.cancel_at):
            if moment is not None:
                self.at(moment, standing)

    def at(self, moment: datetime, standing: Standing) -> None:
        """Have *standing* looked at when the time is *moment*."""
        heappush(self._due, (moment, next(self._turns), standing))
        if len(self._due) > self._sweep_at:
            # Orders that ended before their time are not to be kept for it.
            self._due = [entry for entry in self._due if entry[2].open]
            heapify(self._due)
            self._sweep_at = max(FEW, 2 * len(self._due))

    def due(self, now: datetime) -> Iterator[Standing]:
        """The orders to be looked at by *now*."""
        while self._due and self._due[0][0] <= now:
            yield heappop(self._due)[2]

    def agenda(self) -> list[tuple[datetime, str]]:
        """Which open orders are to be looked at, and when, in that order."""
        return [
            (moment, standing.order_id)
            for moment, _, standing in sorted(self._due, key=_turn_of)
            if standing.open
        ]

    def keep_to(self, agenda: Iterable[tuple[datetime, str]], orders: Mapping[str, Standing]) -> None:
        """Look at *orders* as *agenda* says, and at nothing else."""
        self._due = [(moment, next(self._turns), orders[order_id]) for moment, order_id in agenda]

    @property
    def next_due(self) -> datetime | None:
        """When an order must be looked at next."""
        return self._due[0][0] if self._due else None

    # -- money -------------------------------------------------------------------------------------

    @property
    def free(self) -> Decimal:
        """
        The money that open orders and short positions leave.

        What was sold short holds back what it brought, and as much again.
        """
        free = self.ledger.cash - self.locked
        return free - 2 * self.ledger.shorts if self.ledger.shorts else free

    def balance(self) -> Balance:
        """The money, and how much of it is free."""
        total, free = self.ledger.cash, self.free
        return balance_of(self.name, self.rules.currency, total, free, total - free)

    def reserve(self, standing: Standing) -> None:
        """Set aside what the order may need; `InsufficientFunds` (REJECTED) if that is not there."""
        standing.unit = self._unit(standing)
        if standing.reduce_only:
            # It sets nothing aside: several may wait to reduce one position, by a profit or a loss.
            if not self.reducible(standing):
                raise self._insufficient("position", f"there is no position in {standing.symbol} to reduce")
            return
        pieces = self._closable(standing)
        if not standing.buying and standing.leaves > pieces and not self.rules.allow_short:
            why = f"{standing.leaves} {standing.symbol} to sell, {pieces} free"
            raise self._insufficient("position", why)
        standing.closing = min(standing.leaves, pieces) if pieces > 0 else ZERO
        cost = self._cost(standing)
        if cost or standing.closing < standing.leaves:
            free = self.free
            if cost > free or free <= 0:
                raise self._insufficient("funds", f"{cost} {self.rules.currency} needed, {free} free")
        self._lock(standing, cost, standing.closing)

    def release(self, standing: Standing) -> None:
        """Set nothing aside any more."""
        self._lock(standing, -standing.locked, -standing.closing)
        standing.locked = standing.closing = ZERO

    def lessen(self, standing: Standing, qty: Decimal) -> None:
        """Set aside less, after *qty* of it traded (or was taken back)."""
        closed = min(qty, standing.closing)
        standing.closing -= closed
        self._lock(standing, self._cost(standing) - standing.locked, -closed)

    def can_pay(self, standing: Standing, qty: Decimal, price: Decimal, fee: Decimal) -> bool:
        """Whether that trade leaves no debt; what only closes a position is always paid for."""
        ledger, symbol = self.ledger, standing.symbol
        held, multiplier = ledger.held(symbol), standing.terms.multiplier
        others = self.locked - standing.locked
        if standing.buying:
            if held >= 0:
                return qty * price * multiplier + fee <= ledger.cash - others - 2 * ledger.shorts
            if qty <= -held:
                return True
            left = ledger.cash - qty * price * multiplier - fee
            return left - others - 2 * (ledger.shorts - ledger.short(symbol)) >= 0
        if qty <= held:
            return True
        owed = (qty - max(held, ZERO)) * price * multiplier
        left = ledger.cash + qty * price * multiplier - fee
        return left - others - 2 * (ledger.shorts + owed) >= 0

    def reducible(self, standing: Standing) -> Decimal:
        """How much of the position that order would reduce there is; what is set aside to be sold is not."""
        held = self.ledger.held(standing.symbol)
        if standing.buying:
            return max(-held, ZERO)
        aside = ZERO if self.rules.allow_short else self._selling.get(standing.symbol, ZERO)
        return max(held - aside, ZERO)

    def _closable(self, standing: Standing) -> Decimal:
        symbol = standing.symbol
        held = self.ledger.held(symbol)
        if not held:
            return ZERO
        if standing.buying:
            return -held - self._buying.get(symbol, ZERO)
        return held - self._selling.get(symbol, ZERO)

    def _unit(self, standing: Standing) -> Decimal:
        """What it may cost each, as far as that can be known before it trades."""
        if standing.price is not None:
            return standing.price
        price = standing.stop
        if price is None:
            seen = self.seen.get(standing.symbol)
            price = None if seen is None else seen.buy if standing.buying else seen.sell
        if price is None:
            return ZERO
        slippage = self.rules.slippage
        if not slippage:
            return price
        return slipped(price, slippage, standing.terms.tick, buying=standing.buying)

    def _cost(self, standing: Standing) -> Decimal:
        opening = standing.leaves - standing.closing
        if not opening or standing.reduce_only:
            return ZERO
        notional = opening * standing.unit * standing.terms.multiplier
        return notional + self.rules.most_fee(notional)

    def _lock(self, standing: Standing, amount: Decimal, pieces: Decimal) -> None:
        if amount:
            standing.locked += amount
            self.locked += amount
        if pieces:
            closing = self._buying if standing.buying else self._selling
            closing[standing.symbol] = closing.get(standing.symbol, ZERO) + pieces

    # -- market time -------------------------------------------------------------------------------

    def check_bar(self, bar: Bar) -> None:
        """Raise `InvalidRequest` for a bar that is not newer than the last one of its symbol."""
        seen = self.seen.get(bar.symbol)
        if seen is not None and seen.bar_at is not None and bar.time <= seen.bar_at:
            raise self._past(bar, seen.bar_at, "bars")

    def check_quote(self, quote: Quote) -> None:
        """Raise `InvalidRequest` for a quote that is older than the last one of its symbol."""
        seen = self.seen.get(quote.symbol)
        if seen is not None and seen.quote_at is not None and quote.time < seen.quote_at:
            raise self._past(quote, seen.quote_at, "quotes")

    def see_bar(self, bar: Bar) -> None:
        """Take *bar* as the newest of its symbol."""
        before = self.seen.get(bar.symbol)
        quote_at = None if before is None else before.quote_at
        self.seen[bar.symbol] = Seen(bar.time, quote_at, bar.close, bar.close)

    def see_quote(self, quote: Quote) -> None:
        """Take *quote* as the newest of its symbol."""
        before = self.seen.get(quote.symbol) or Seen()
        self.seen[quote.symbol] = Seen(
            before.bar_at, quote.time, quote.ask or before.buy, quote.bid or before.sell
        )

    def tick(self, moment: datetime) -> None:
        """Let its time go on to *moment*; never back."""
        if self.time is None or moment > self.time:
            self.time = moment

    def _past(self, said: Bar | Quote, last: datetime, what: str) -> InvalidRequest:
        return InvalidRequest(
            f"{what} go forward: account {self.name!r} has seen {said.symbol} at {last}, "
            f"so {said.time} is past (use another account, or another broker, for another run)",
            code=f"past_{what.rstrip('s')}",
            outcome="NOT_SENT",
        )

    def _insufficient(self, what: str, why: str) -> InsufficientFunds:
        text = f"account {self.name!r}: {why}"
        return InsufficientFunds(text, code=f"insufficient_{what}", outcome="REJECTED")


def _turn_of(entry: tuple[datetime, int, Standing]) -> tuple[datetime, int]:
    return entry[:2]
