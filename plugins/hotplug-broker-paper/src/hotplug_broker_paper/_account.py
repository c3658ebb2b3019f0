"""One account: its money, its orders, and how far its market has come."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from hotplug.errors import InsufficientFunds, InvalidRequest
from hotplug.market import Balance, Order, OrderStatus, Side
from hotplug_broker_paper._ledger import Ledger, fee_on
from hotplug_broker_paper._matching import reference_price

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hotplug.errors import BrokerError
    from hotplug.market import Bar, OrderAck, OrderRequest
    from hotplug_broker_paper._rules import Rules

__all__ = ["Account", "Held"]

ZERO: Final = Decimal(0)


@dataclass(slots=True)
class Held:
    """An order and what the account knows of it beyond the order itself."""

    request: OrderRequest
    order: Order
    locked: Decimal = ZERO
    session: date | None = None
    ack: OrderAck | None = None
    refusal: BrokerError | None = None

    @property
    def open(self) -> bool:
        """Whether it may still trade."""
        return not self.order.status.terminal

    def become(self, status: OrderStatus, time: datetime, reason: str | None = None) -> Order:
        """Go into another state without trading."""
        leaves = ZERO if status.terminal else self.order.leaves_qty
        self.order = replace(self.order, status=status, leaves_qty=leaves, updated_at=time, reason=reason)
        return self.order


class Account:
    """
    The state of one account. Call it inside ``localcontext(EXACT)``.

    Accounts share nothing, not even the market time: two users may play different stretches of history
    at once.
    """

    def __init__(self, name: str, cash: Decimal, rules: Rules) -> None:
        self.name: Final = name
        self.rules: Final = rules
        self.ledger: Final = Ledger(name, cash)
        self.held: dict[str, Held] = {}
        self.trades = 0
        self.locked = ZERO
        """What open orders to buy may cost."""
        self._selling: defaultdict[str, Decimal] = defaultdict(Decimal)
        self._open: defaultdict[str, dict[str, Held]] = defaultdict(dict)
        self._bars: dict[str, Bar] = {}
        self._now: datetime | None = None

    def now(self) -> datetime:
        """The time of its newest bar; before the first one, the clock on the wall."""
        return self._now or datetime.now(UTC)

    def balance(self) -> Balance:
        """The money, and how much of it is free."""
        total, locked = self.ledger.cash, self.locked
        return Balance(
            account=self.name,
            currency=self.rules.currency,
            total=total,
            available=total - locked,
            locked=locked,
        )

    def open_orders(self) -> Iterator[Held]:
        """The orders that may still trade, by symbol and age."""
        return (held for orders in self._open.values() for held in orders.values())

    def open_in(self, symbol: str) -> tuple[Held, ...]:
        """Those in *symbol*, oldest first."""
        return tuple(self._open[symbol].values()) if symbol in self._open else ()

    def stand(self, held: Held, cost: Decimal) -> None:
        """Let an accepted order wait for its market, and lock what it needs."""
        symbol = held.order.symbol
        self.held[held.request.client_order_id] = held
        self._open[symbol][held.request.client_order_id] = held
        held.locked = cost
        self.locked += cost
        if held.order.side is Side.SELL:
            self._selling[symbol] += held.order.qty

    def settle(self, held: Held) -> None:
        """Let go of an order that has ended, and of what it locked."""
        symbol = held.order.symbol
        del self._open[symbol][held.request.client_order_id]
        self.locked -= held.locked
        held.locked = ZERO
        if held.order.side is Side.SELL:
            self._selling[symbol] -= held.order.qty

    # -- money -------------------------------------------------------------------------------------

    def cost(self, request: OrderRequest) -> Decimal:
        """What *request* may cost, fees included, as far as that can be known; nothing for a sale."""
        if request.side is Side.SELL:
            return ZERO
        bar = self._bars.get(request.symbol)
        close = None if bar is None else bar.close
        price = reference_price(request, close, slippage=self.rules.slippage, tick=self.rules.tick)
        notional = price * request.qty
        return notional + fee_on(notional, self.rules.fee_rate)

    def check_funds(self, request: OrderRequest, cost: Decimal) -> None:
        """Raise `InsufficientFunds` (REJECTED) if the account lacks the money, or what it would sell."""
        if request.side is Side.BUY:
            free = self.ledger.cash - self.locked
            if cost > free or free <= 0:
                raise self._insufficient("funds", f"{cost} {self.rules.currency} needed, {free} free")
            return
        free = self.ledger.held(request.symbol) - self._selling[request.symbol]
        if request.qty > free:
            raise self._insufficient("position", f"{request.qty} {request.symbol} to sell, {free} free")

    def can_pay(self, held: Held, amount: Decimal) -> bool:
        """Whether *amount* is there for this order, what other orders locked left alone."""
        return amount <= self.ledger.cash - (self.locked - held.locked)

    # -- market time -------------------------------------------------------------------------------

    def check_forward(self, bar: Bar) -> None:
        """Raise `InvalidRequest` for a bar that is not newer than the last one of its symbol."""
        last = self._bars.get(bar.symbol)
        if last is not None and bar.time <= last.time:
            raise InvalidRequest(
                f"bars go forward: account {self.name!r} has seen {bar.symbol} at {last.time}, "
                f"so {bar.time} is past (use another account, or another broker, for another run)",
                code="past_bar",
                outcome="NOT_SENT",
            )

    def advance(self, bar: Bar) -> None:
        """Take *bar* as the newest of its symbol."""
        self._now = bar.time if self._now is None else max(self._now, bar.time)
        self._bars[bar.symbol] = bar

    def _insufficient(self, what: str, why: str) -> InsufficientFunds:
        text = f"account {self.name!r}: {why}"
        return InsufficientFunds(text, code=f"insufficient_{what}", outcome="REJECTED")
