"""
The venue: takes orders, lets the market happen to them, keeps the books. Knows no loop, thread or gateway.

    place ─▶ Account.reserve ─▶ Book.arrivals ─▶ Round (a bar or a quote) ─▶ trade ─▶ Ledger ─▶ Fill
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from hotplug.errors import (
    BrokerError,
    DuplicateClientOrderId,
    InvalidRequest,
    MarketClosed,
    OrderBusy,
    OrderNotFound,
)
from hotplug.market import Bar, Fill, OrderStatus, Quote, TimeInForce
from hotplug_broker_paper._venue_account import Account
from hotplug_broker_paper._venue_floor import Floor
from hotplug_broker_paper._venue_match import Pool, Round
from hotplug_broker_paper._venue_money import exactly, floored
from hotplug_broker_paper._venue_orders import Standing
from hotplug_broker_paper._venue_rules import check_bar, check_quote, denied

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime
    from decimal import Decimal

    from hotplug.market import Balance, Order, OrderChange, Position
    from hotplug_broker_paper._venue_floor import Said
    from hotplug_broker_paper._venue_orders import Book
    from hotplug_broker_paper._venue_rules import Asked, Rules

__all__ = ["DEFAULT_ACCOUNT", "Venue"]

DEFAULT_ACCOUNT: Final = "default"
SHARED_KEPT: Final = 1000
"""How many bars and quotes a shared market remembers the liquidity of."""


class Venue(Floor):
    """
    All accounts, and what happens to them, told to *say* in order.

    Not thread-safe: calls take turns. What it says is a function of its *rules*, the market data and the
    accepted commands with the times that *clock* told for them; it is asked only where the rules go
    by the clock, or the market of an account has not told a time yet. An order that is refused is
    forgotten; those that ended, and fills, are kept as far as the rules' *history* goes.
    """

    def __init__(
        self,
        rules: Rules,
        say: Callable[[Said], None],
        *,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        super().__init__(rules, say, clock)
        self.asleep: Final[list[tuple[datetime, datetime]]] = []
        """When nobody was at home: what the market says of those times trades nothing."""
        self.shared: Final[OrderedDict[tuple[Bar | Quote, int], tuple[Pool, set[Account]]]] = OrderedDict()
        """What is left of the liquidity of each bar and quote that all share, and who was shown it."""
        self.open_account(DEFAULT_ACCOUNT)

    # -- accounts ----------------------------------------------------------------------------------

    @exactly
    def open_account(self, name: str, cash: Decimal | None = None) -> Account:
        """A new account with *cash* (without it, what the rules say); `InvalidRequest` if it exists."""
        if not name.strip():
            raise InvalidRequest("an account needs a name", code="account", outcome="NOT_SENT")
        if name in self.accounts:
            raise InvalidRequest(
                f"account {name!r} is open already, with cash of its own",
                code="account_exists",
                outcome="NOT_SENT",
            )
        if cash is not None and cash < 0:
            raise InvalidRequest(f"cash must be positive, not {cash}", code="cash", outcome="NOT_SENT")
        account = Account(name, self.rules.cash if cash is None else cash, self.rules)
        self.accounts[name] = account
        self._note(account)
        return account

    def account(self, name: str | None) -> Account:
        """The account called *name*, opened if need be."""
        name = DEFAULT_ACCOUNT if name is None else name
        return self.accounts.get(name) or self.open_account(name)

    @exactly
    def positions(self) -> tuple[Position, ...]:
        """What was ever held, by account; sold off has a quantity of 0."""
        return tuple(each for account in self.accounts.values() for each in account.ledger.positions())

    @exactly
    def balances(self) -> tuple[Balance, ...]:
        """The money of each account."""
        return tuple(account.balance() for account in self.accounts.values())

    # -- orders ------------------------------------------------------------------------------------

    @exactly
    def place(self, asked: Asked) -> Standing:
        """Take an order, or say why not: denied ones are NOT_SENT, refused ones REJECTED."""
        rules = self.rules
        rules.check(asked)
        account = self.account(asked.account)
        if asked.client_order_id in account.by_client:
            raise DuplicateClientOrderId(
                f"{asked.client_order_id!r} was used for another order", code="duplicate", outcome="REJECTED"
            )
        now = self.now(account)
        account.orders += 1
        if rules.reject_rate:
            self._check_by_chance(account)
        rules.check_listed(asked.symbol)
        standing = Standing(asked, account, account.book(asked.symbol), account.orders, now)
        if account.time is not None and (rules.has_hours or standing.expires_at is not None):
            self._check_time(standing, now)
        account.reserve(standing)
        self._send(standing, now)
        account.by_client[standing.client_order_id] = standing
        self.by_order_id[standing.order_id] = standing
        if standing.expires_at is not None:
            account.at(standing.expires_at, standing)
        if self.changes is not None:
            self._note(account, standing)
        return standing

    @exactly
    def cancel(self, standing: Standing) -> None:
        """End an order that is open, once the cancel has reached the venue; one that has ended stays so."""
        if not standing.open or standing.cancel_at is not None:
            return
        account = standing.account
        now = self.now(account)
        delay = self.rules.delay("cancel_latency", account.name, standing.number)
        if not delay:
            self.end(standing, OrderStatus.CANCELED, "cancelled on request")
            return
        standing.cancel_at = now + delay
        account.at(standing.cancel_at, standing)
        self._note(account, standing)

    @exactly
    def modify(self, standing: Standing, change: OrderChange) -> None:
        """Change an open order; it goes to the end of its queue unless only its quantity shrinks."""
        self._check_change(standing, change)
        before = (standing.price, standing.stop, standing.qty, standing.leaves)
        price = standing.price if change.price is None else change.price
        stop = standing.stop if change.stop_price is None else change.stop_price
        qty = standing.qty if change.qty is None else change.qty
        self.rules.check_change(standing.symbol, standing.type, qty, price, stop)
        account = standing.account
        account.release(standing)
        standing.price, standing.stop, standing.qty, standing.leaves = price, stop, qty, qty - standing.filled
        try:
            account.reserve(standing)
        except BrokerError:
            standing.price, standing.stop, standing.qty, standing.leaves = before
            account.reserve(standing)
            raise
        now = self.now(account)
        if (price, stop) != before[:2] or qty > before[2]:
            standing.book.remove(standing)
            self._send(standing, now)
        standing.version += 1
        standing.updated_at = now
        self._note(account, standing)

    def find(self, account: str | None, client_order_id: str | None, order_id: str | None) -> Standing:
        """The one order that these name (one id at least); `OrderNotFound`."""
        if order_id is not None:
            found = self.by_order_id.get(order_id)
        else:
            named = [each for each in self.accounts.values() if account in {None, each.name}]
            known = [each.by_client[client_order_id] for each in named if client_order_id in each.by_client]
            found = known[0] if len(known) == 1 else None
        if found is None or client_order_id not in {None, found.client_order_id}:
            named_as = order_id or client_order_id
            raise OrderNotFound(f"there is no order {named_as!r}", code="order_not_found", outcome="REJECTED")
        return found

    @exactly
    def open_orders(self) -> tuple[Order, ...]:
        """Every order that may still trade, by account, symbol and age."""
        return tuple(each.order() for account in self.accounts.values() for each in account.open_orders())

    @exactly
    def order(self, standing: Standing) -> Order:
        """The record of how an order stands."""
        return standing.order()

    # -- the market --------------------------------------------------------------------------------

    @exactly
    def feed_bar(self, bar: Bar, name: str | None = None) -> tuple[Fill, ...]:
        """Let *bar* happen to the account *name* (or to all), or to none; what traded on it."""
        check_bar(bar)
        self.rules.check_listed(bar.symbol)
        fed = self._fed(name)
        for account in fed:
            account.check_bar(bar)
        fills = self._happen(bar, fed, to_all=name is None)
        for account in fed:
            account.see_bar(bar)
        return fills

    @exactly
    def feed_quote(self, quote: Quote, name: str | None = None) -> tuple[Fill, ...]:
        """Let *quote* stand for the account *name* (or for all), until the next; what traded on it."""
        check_quote(quote)
        self.rules.check_listed(quote.symbol)
        fed = self._fed(name)
        for account in fed:
            account.check_quote(quote)
        fills = self._happen(quote, fed, to_all=name is None)
        for account in fed:
            account.see_quote(quote)
        return fills

    @exactly
    def advance(self) -> None:
        """Let time pass, where it goes by the clock: cancels arrive, orders expire."""
        if self.rules.by_clock:
            now = self._told()
            for account in self.accounts.values():
                account.tick(now)
                self._look_at_due(account)

    def next_due(self) -> datetime | None:
        """When the time comes for something to happen by itself."""
        return min((due for each in self.accounts.values() if (due := each.next_due)), default=None)

    def _fed(self, name: str | None) -> Sequence[Account]:
        if name is None:
            return tuple(self.accounts.values())
        return (self.account(name),)

    def _happen(self, said: Bar | Quote, fed: Sequence[Account], *, to_all: bool) -> tuple[Fill, ...]:
        self._made = []
        now = self._told() if self.rules.by_clock else said.time
        for account in fed:
            account.tick(now)
            self._look_at_due(account)
            if self.changes is not None:
                self.changes.seen[account, said.symbol] = None
                self.changes.accounts[account] = None
        session_end = self.rules.hours.end_of(said.time)
        if session_end is not None and not self._was_asleep(said.time):
            self._trade_on(said, fed, session_end, to_all=to_all)
        self._tell_what_is_held()
        return tuple(self._made)

    def _trade_on(
        self, said: Bar | Quote, fed: Sequence[Account], session_end: datetime, *, to_all: bool
    ) -> None:
        met = [(each, book) for each in fed if (book := each.books.get(said.symbol))]
        if self.rules.shared:
            pool = self._shared_pool(said, fed, to_all=to_all)
            self._round(said, [book for _, book in met], pool, session_end)
            return
        for _, book in met:
            self._round(said, [book], self._pool(said), session_end)

    def _round(self, said: Bar | Quote, books: Sequence[Book], pool: Pool, session_end: datetime) -> None:
        meeting = Round(self, books, pool, said, session_end)
        if isinstance(said, Bar):
            meeting.on_bar(said)
        else:
            meeting.on_quote(said)

    def _pool(self, said: Bar | Quote) -> Pool:
        if self.rules.unlimited:
            return Pool(None, None, is_one=False)
        lot = self.rules.terms(said.symbol).lot
        if isinstance(said, Bar):
            volume = floored(said.volume * self.rules.participation, lot)
            return Pool(volume, volume, is_one=True)
        sizes = [size if size is None else floored(size, lot) for size in (said.ask_size, said.bid_size)]
        return Pool(*sizes, is_one=False)

    def _shared_pool(self, said: Bar | Quote, fed: Iterable[Account], *, to_all: bool) -> Pool:
        """The liquidity of *said*: what others, who were shown the same before, left of it."""
        turn = 0
        while (known := self.shared.get((said, turn))) is not None:
            pool, shown = known
            if not to_all and shown.isdisjoint(fed):
                shown.update(fed)
                return pool
            turn += 1
        pool = self._pool(said)
        self.shared[said, turn] = (pool, set(fed))
        if len(self.shared) > SHARED_KEPT:
            self.shared.popitem(last=False)
        return pool

    def _was_asleep(self, moment: datetime) -> bool:
        return any(start < moment < end for start, end in self.asleep)

    # -- refusals ----------------------------------------------------------------------------------

    def _check_by_chance(self, account: Account) -> None:
        rate = self.rules.reject_rate
        if rate and self.rules.chance(account.name, account.orders, "reject") < rate:
            raise BrokerError("rejected by chance, as it is set", code="chance", outcome="REJECTED")

    def _check_time(self, standing: Standing, now: datetime) -> None:
        if standing.expires_at is not None and standing.expires_at <= now:
            why = f"it is {now} already: nothing can expire at {standing.expires_at}"
            raise InvalidRequest(why, code="expire_at", outcome="REJECTED")
        session_end = self.rules.hours.end_of(now)
        if session_end is None:
            why = f"the venue is closed at {now}: its hours are {self.rules.hours.spelled}"
            raise MarketClosed(why, code="closed", outcome="REJECTED")
        if self.rules.has_hours and standing.tif is TimeInForce.DAY:
            standing.expires_at = session_end

    def _check_change(self, standing: Standing, change: OrderChange) -> None:
        if not standing.open:
            why = f"order {standing.order_id} is {standing.status}: it changes no more"
            raise InvalidRequest(why, code="not_open", outcome="REJECTED")
        if standing.cancel_at is not None:
            why = f"order {standing.order_id} is being cancelled"
            raise OrderBusy(why, code="cancelling", outcome="REJECTED")
        if change.stop_price is not None and standing.triggered:
            raise denied("stop_price", "its stop was reached already")
        if change.qty is not None and change.qty <= standing.filled:
            raise denied("qty", f"{standing.filled} are filled already: {change.qty} leave nothing to trade")
