"""Where trades are booked and orders end; everybody hears of it."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeAlias

from hotplug.market import Fill, Liquidity, OrderStatus, to_utc
from hotplug_broker_paper._venue_money import to_cents
from hotplug_broker_paper._venue_records import fill_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from decimal import Decimal

    from hotplug.market import Balance, OrderUpdate, Position
    from hotplug_broker_paper._venue_account import Account
    from hotplug_broker_paper._venue_match import Pool
    from hotplug_broker_paper._venue_orders import Standing
    from hotplug_broker_paper._venue_rules import Rules

__all__ = ["Changes", "Floor", "Said"]

Said: TypeAlias = "Fill | OrderUpdate | Position | Balance"


class Changes:
    """What changed since somebody last wrote it down; the dicts are ordered sets."""

    def __init__(self) -> None:
        self.accounts: dict[Account, None] = {}
        self.holdings: dict[tuple[Account, str], None] = {}
        self.seen: dict[tuple[Account, str], None] = {}
        self.orders: dict[Standing, None] = {}
        self.fills: list[Fill] = []


class Floor:
    """The accounts, their orders and fills. Call it in the context `EXACT`."""

    def __init__(
        self, rules: Rules, say: Callable[[Said], None], clock: Callable[[], datetime] | None
    ) -> None:
        self.rules: Final = rules
        self.accounts: Final[dict[str, Account]] = {}
        self.fills: Final[deque[Fill]] = deque(maxlen=rules.history)
        self.ended: Final[deque[Standing]] = deque()
        self.by_order_id: Final[dict[str, Standing]] = {}
        self.changes: Changes | None = None
        self.seq = 0
        self._say: Final = say
        self._clock: Final = clock or _wall
        self._made: list[Fill] = []
        self._touched: dict[tuple[Account, str], None] = {}

    # -- time --------------------------------------------------------------------------------------

    def now(self, account: Account) -> datetime:
        """The time of *account*: what its market told last; the clock's, if the rules go by it."""
        if self.rules.by_clock:
            account.tick(self._told())
        return self._time_of(account)

    def time_of(self, name: str) -> datetime:
        """The time of the account called *name*, which need not be open yet."""
        account = self.accounts.get(name)
        if account is None:
            return self._told()
        return self.now(account) if account.time is None or self.rules.by_clock else account.time

    def _time_of(self, account: Account) -> datetime:
        """The time in the middle of a call, for which the clock is not asked twice."""
        return account.time or self._told()

    def _told(self) -> datetime:
        return to_utc("the clock's time", self._clock())

    # -- what becomes of an order --------------------------------------------------------------------

    def next_seq(self) -> int:
        """The next place in the queue."""
        self.seq += 1
        return self.seq

    def trade(self, standing: Standing, price: Decimal, liquidity: Liquidity, pool: Pool) -> None:
        """Trade what can be traded of *standing* at *price*, if it can be paid for."""
        account, buying = standing.account, standing.buying
        left = pool.left(buying=buying)
        qty = standing.leaves if left is None else min(standing.leaves, left)
        if standing.reduce_only:
            qty = min(qty, account.reducible(standing))
            if not qty:
                self.end(standing, OrderStatus.CANCELED, "nothing is left to reduce")
                return
        multiplier = standing.terms.multiplier
        notional = qty * price * multiplier
        rules = self.rules
        rate = rules.taker_fee if liquidity is Liquidity.TAKER else rules.maker_fee
        rated = standing.rated + notional * rate
        fee = self._fee_due(rated) - standing.fee
        if not account.can_pay(standing, qty, price, fee):
            # The market went where more is needed than was set aside: past a market order, or a short.
            why = f"{notional + fee} {self.rules.currency} needed at {price}: more than is free"
            status = OrderStatus.CANCELED if standing.filled else OrderStatus.REJECTED
            self.end(standing, status, why)
            return
        pool.take(qty, buying=buying)
        account.ledger.trade(standing.symbol, qty if buying else -qty, price, fee, multiplier)
        standing.rated = rated
        self._book(standing, qty, price, fee, liquidity)
        if standing.reduce_only and standing.open and not account.reducible(standing):
            self.end(standing, OrderStatus.CANCELED, "nothing is left to reduce")

    def _fee_due(self, rated: Decimal) -> Decimal:
        """What an order owes in fees, all its trades together: rounded once."""
        due = to_cents(rated)
        return max(due, self.rules.min_fee) if self.rules.min_fee else due

    def _book(
        self, standing: Standing, qty: Decimal, price: Decimal, fee: Decimal, liquidity: Liquidity
    ) -> None:
        account = standing.account
        now = account.time or self._told()
        account.trades += 1
        fill = fill_of(
            f"{account.name}-T{account.trades}",
            standing.order_id,
            standing.client_order_id,
            account.name,
            standing.symbol,
            standing.asked.side,
            qty,
            price,
            fee,
            self.rules.currency,
            liquidity,
            now,
            False,
        )
        standing.leaves -= qty
        standing.filled += qty
        standing.paid += qty * price
        standing.fee += fee
        standing.updated_at = now
        if standing.leaves:
            standing.status = OrderStatus.PARTIALLY_FILLED
            account.lessen(standing, qty)
        else:
            standing.status = OrderStatus.FILLED
            account.settle(standing)
            self._has_ended(standing)
        self.fills.append(fill)
        self._made.append(fill)
        self._touched[account, standing.symbol] = None
        self._say(fill)
        if self.changes is not None:
            self.changes.fills.append(fill)
            self.changes.holdings[account, standing.symbol] = None
            self._note(account, standing)

    def end(self, standing: Standing, status: OrderStatus, reason: str) -> None:
        """Let an order go into a terminal state without trading."""
        account = standing.account
        account.settle(standing)
        said = standing.end(status, self._time_of(account), reason)
        self._has_ended(standing)
        self._note(account, standing)
        self._say(said)

    def _has_ended(self, standing: Standing) -> None:
        self.ended.append(standing)
        self.forget_the_oldest()

    def forget_the_oldest(self) -> None:
        """Keep no more ended orders than the history has."""
        while len(self.ended) > self.rules.history:
            forgotten = self.ended.popleft()
            del forgotten.account.by_client[forgotten.client_order_id]
            del self.by_order_id[forgotten.order_id]

    def _look_at_due(self, account: Account) -> None:
        now = self._time_of(account)
        for standing in account.due(now):
            if not standing.open:
                continue
            if standing.cancel_at is not None and standing.cancel_at <= now:
                self.end(standing, OrderStatus.CANCELED, "cancelled on request")
            else:
                why = "its time is over" if standing.asked.expire_at else "its session is over"
                self.end(standing, OrderStatus.EXPIRED, why)

    def _send(self, standing: Standing, now: datetime) -> None:
        """Let it be on its way to the market."""
        account, rules = standing.account, self.rules
        if account.time is not None:
            standing.placed_at = account.time
            if rules.is_slow:
                name, number = account.name, standing.number
                ack = rules.delay("ack_latency", name, number)
                standing.active_at = now + ack + rules.delay("fill_latency", name, number)
        standing.seq = self.next_seq()
        standing.book.expect(standing)

    def _tell_what_is_held(self) -> None:
        if not self._touched:
            return
        touched, self._touched = self._touched, {}
        for account, symbol in touched:
            self._say(account.ledger.position(symbol))
        for account in dict.fromkeys(account for account, _ in touched):
            self._say(account.balance())

    def note_orders(self, moved: Iterable[Standing]) -> None:
        """Those orders wait elsewhere now: that is to be written down."""
        if self.changes is not None:
            self.changes.orders.update(dict.fromkeys(moved))

    def _note(self, account: Account, standing: Standing | None = None) -> None:
        if self.changes is None:
            return
        self.changes.accounts[account] = None
        if standing is not None:
            self.changes.orders[standing] = None


def _wall() -> datetime:
    return datetime.now(UTC)
