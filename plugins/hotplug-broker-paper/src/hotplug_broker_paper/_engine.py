"""The venue: takes orders, matches them with bars, keeps the books. Knows no loop, thread or connection."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Final

from hotplug.errors import BrokerError, DuplicateClientOrderId, InvalidRequest, OrderNotFound
from hotplug.market import (
    Fill,
    Liquidity,
    Order,
    OrderAck,
    OrderRequest,
    OrderStatus,
    Side,
    TimeInForce,
)
from hotplug_broker_paper._account import Account, Held
from hotplug_broker_paper._ledger import fee_on
from hotplug_broker_paper._matching import Match, match
from hotplug_broker_paper._rules import check_bar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime
    from decimal import Decimal

    from hotplug.market import Bar, EventPayload, OrderRef
    from hotplug_broker_paper._rules import Rules

__all__ = ["DEFAULT_ACCOUNT", "Engine"]

DEFAULT_ACCOUNT: Final = "default"
REQUESTED: Final = tuple(each.name for each in fields(OrderRequest))
AT_ONCE: Final = frozenset({TimeInForce.IOC, TimeInForce.FOK})


class Engine:
    """
    All accounts, and what happens to them, told to *say* in order.

    Not thread-safe, and every call belongs inside ``localcontext(EXACT)``: the gateway sees to both.
    What happens is a function of the rules and the calls; only an account that has not seen a bar yet
    takes its time from the clock on the wall.
    """

    def __init__(self, rules: Rules, say: Callable[[datetime, EventPayload], None]) -> None:
        self.rules: Final = rules
        self.fills: Final[list[Fill]] = []
        self.accounts: Final[dict[str, Account]] = {}
        self._say: Final = say
        self._by_order_id: Final[dict[str, Held]] = {}

    def account(self, name: str | None) -> Account:
        """The account called *name*, opened if need be."""
        name = DEFAULT_ACCOUNT if name is None else name
        return self.accounts.get(name) or self.open_account(name)

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
        account = Account(name, self.rules.cash if cash is None else cash, self.rules)
        self.accounts[name] = account
        return account

    # -- orders ------------------------------------------------------------------------------------

    def place(self, request: OrderRequest) -> OrderAck:
        """Accept an order, or say why not; the same request again gets the same answer."""
        self.rules.check(request)
        account = self.account(request.account)
        known = account.held.get(request.client_order_id)
        if known is not None:
            return self._same_answer(known, request)
        held = Held(request, self._new_order(account, request))
        try:
            self.rules.check_listed(request.symbol)
            cost = account.cost(request)
            account.check_funds(request, cost)
        except BrokerError as refusal:
            self._refuse(account, held, refusal)
            raise
        return self._accept(account, held, cost)

    def cancel(self, held: Held) -> Order:
        """End an order that is open; one that has ended stays as it is."""
        if held.open:
            account = self.account(held.request.account)
            self._end(account, held, OrderStatus.CANCELED, "cancelled on request")
        return held.order

    def find(self, ref: OrderRef) -> Held:
        """The order that *ref* names; `OrderNotFound`, or `InvalidRequest` if it names two."""
        found = list(self._named(ref))
        if not found:
            named = ref.order_id or ref.client_order_id
            raise OrderNotFound(f"there is no order {named!r}", code="order_not_found", outcome="REJECTED")
        if len(found) > 1:
            raise InvalidRequest(
                f"{len(found)} accounts have an order {ref.client_order_id!r}: name it by its order_id",
                code="ambiguous",
                outcome="NOT_SENT",
            )
        return found[0]

    def open_orders(self) -> tuple[Order, ...]:
        """Every order that may still trade, by account, symbol and age."""
        return tuple(held.order for account in self.accounts.values() for held in account.open_orders())

    # -- the market --------------------------------------------------------------------------------

    def feed(self, bar: Bar, accounts: Iterable[Account]) -> tuple[Fill, ...]:
        """Let *bar* happen to *accounts*, to all or none; what traded on it is the answer."""
        check_bar(bar)
        self.rules.check_listed(bar.symbol)
        chosen = tuple(accounts)
        for account in chosen:
            account.check_forward(bar)
        before = len(self.fills)
        for account in chosen:
            account.advance(bar)
            for held in account.open_in(bar.symbol):
                self._trade(account, held, bar)
        return tuple(self.fills[before:])

    def _trade(self, account: Account, held: Held, bar: Bar) -> None:
        held.session = held.session or bar.time.date()
        # A DAY order stands for the first session that it sees, which with daily bars is the next bar.
        if held.order.tif is TimeInForce.DAY and bar.time.date() > held.session:
            self._end(account, held, OrderStatus.EXPIRED, "its session is over")
            return
        found = match(held.order, bar, slippage=self.rules.slippage, tick=self.rules.tick)
        at_open = found is not None and found.liquidity is Liquidity.TAKER
        if held.order.tif in AT_ONCE and not at_open:
            self._end(account, held, OrderStatus.CANCELED, f"{held.order.tif}: not tradable at the open")
        elif found is not None:
            self._fill(account, held, found, bar.time)

    def _fill(self, account: Account, held: Held, found: Match, time: datetime) -> None:
        order = held.order
        notional = order.qty * found.price
        fee = fee_on(notional, self.rules.fee_rate)
        if order.side is Side.BUY:
            if not account.can_pay(held, notional + fee):
                why = f"{notional + fee} {self.rules.currency} needed at {found.price}: more than is free"
                self._end(account, held, OrderStatus.REJECTED, why)
                return
            account.ledger.buy(order.symbol, order.qty, found.price, fee)
        else:
            account.ledger.sell(order.symbol, order.qty, found.price, fee)
        held.order = replace(
            order,
            status=OrderStatus.FILLED,
            filled_qty=order.qty,
            leaves_qty=order.qty - order.qty,
            avg_price=found.price,
            updated_at=time,
        )
        account.settle(held)
        self._tell_fill(account, held.order, found, fee, time)

    def _tell_fill(self, account: Account, order: Order, found: Match, fee: Decimal, time: datetime) -> None:
        account.trades += 1
        fill = Fill(
            trade_id=f"{account.name}-T{account.trades}",
            order_id=order.order_id,
            client_order_id=order.client_order_id,
            account=account.name,
            symbol=order.symbol,
            side=order.side,
            qty=order.qty,
            price=found.price,
            fee=fee,
            fee_currency=self.rules.currency,
            liquidity=found.liquidity,
            time=time,
        )
        self.fills.append(fill)
        for payload in (fill, order, account.ledger.position(order.symbol), account.balance()):
            self._say(time, payload)

    # -- the life of an order ----------------------------------------------------------------------

    def _new_order(self, account: Account, request: OrderRequest) -> Order:
        now = account.now()
        asked = {name: getattr(request, name) for name in REQUESTED}
        asked["account"] = account.name
        order_id = f"{account.name}-{len(account.held) + 1}"
        return Order(**asked, order_id=order_id, status=OrderStatus.NEW, created_at=now, updated_at=now)

    def _accept(self, account: Account, held: Held, cost: Decimal) -> OrderAck:
        order = held.order
        now = account.now()
        held.ack = OrderAck(
            client_order_id=held.request.client_order_id,
            order_id=order.order_id,
            status=order.status,
            time=now,
        )
        account.stand(held, cost)
        self._remember(held)
        self._say(now, order)
        return held.ack

    def _refuse(self, account: Account, held: Held, refusal: BrokerError) -> None:
        held.refusal = refusal
        order = held.become(OrderStatus.REJECTED, account.now(), refusal.message)
        account.held[held.request.client_order_id] = held
        self._remember(held)
        self._say(account.now(), order)

    def _remember(self, held: Held) -> None:
        assert held.order.order_id is not None  # noqa: S101 - given by _new_order
        self._by_order_id[held.order.order_id] = held

    def _end(self, account: Account, held: Held, status: OrderStatus, reason: str) -> None:
        order = held.become(status, account.now(), reason)
        account.settle(held)
        self._say(account.now(), order)

    def _same_answer(self, known: Held, request: OrderRequest) -> OrderAck:
        asked = replace(request, account=known.order.account)
        if asked != replace(known.request, account=known.order.account):
            raise DuplicateClientOrderId(
                f"{request.client_order_id!r} was used for another order",
                code="duplicate",
                outcome="NOT_SENT",
            )
        if known.ack is not None:
            return known.ack
        refusal = known.refusal
        assert refusal is not None  # noqa: S101 - an order has the one or the other
        # A new one each time: an exception that is raised twice carries the first one's traceback.
        raise type(refusal)(refusal.message, code=refusal.code, outcome=refusal.outcome)

    def _named(self, ref: OrderRef) -> Iterator[Held]:
        if ref.order_id is not None:
            held = self._by_order_id.get(ref.order_id)
            if held is not None and ref.client_order_id in {None, held.request.client_order_id}:
                yield held
            return
        assert ref.client_order_id is not None  # noqa: S101 - a reference has the one or the other
        for account in self.accounts.values():
            if held := account.held.get(ref.client_order_id):
                yield held
