"""Whether users were kept apart: not assumed, but held against what the broker and the events say."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from itertools import combinations
from typing import TYPE_CHECKING, Final

import hotplug
from hotplug.market import Fill, Gap, Order, OrderRequest, Side

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from hotplug.market import Bar, BrokerEvent, OrderRef, Snapshot
    from hotplug_demo._players import Player

__all__ = ["Attempt", "Audit", "Evidence", "FILL_TOLD", "Outcome", "audit", "trespass"]

FILL_TOLD: Final = "fill"
"""The name of the events that tell a user of a fill."""

ZERO: Final = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one user's part. *events* are all that the user's own cursor was handed."""

    player: Player
    answer: Mapping[str, object]
    strategy: hotplug.Strategy
    report: hotplug.StrategyReport
    events: tuple[hotplug.Event, ...]


@dataclass(frozen=True, slots=True)
class Attempt:
    """*user* tried to reach over to another; *refusal* is how that ended, ``None`` if it was let through."""

    user: str
    what: str
    refusal: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """
    All that can be looked at when everybody is done.

    *tape* is everything that the broker said from before the first order on, *books* how it stands now,
    *attempts* are those of users to reach over to others.
    """

    outcomes: tuple[Outcome, ...]
    tape: tuple[BrokerEvent, ...]
    books: Snapshot
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """How much was looked at, and every breach that was found."""

    orders: int
    fills: int
    events: int
    attempts: int
    breaches: tuple[str, ...]

    @property
    def isolated(self) -> bool:
        """Whether there is no breach."""
        return not self.breaches


def audit(evidence: Evidence) -> Audit:
    """Hold each user's orders, fills, money and events against everybody else's."""
    outcomes, attempts = evidence.outcomes, evidence.attempts
    breaches = [
        *_strange_accounts(outcomes),
        *_common_things(outcomes),
        *_untold(outcomes, evidence.tape),
        *_wrong_books(outcomes, evidence.books),
        *_strange_events(outcomes),
        *(f"{each.user} was let to {each.what}" for each in attempts if each.refusal is None),
    ]
    return Audit(
        orders=sum(len(each.report.orders) for each in outcomes),
        fills=sum(len(each.report.trades) for each in outcomes),
        events=sum(len(each.events) for each in outcomes),
        attempts=len(attempts),
        breaches=tuple(breaches),
    )


def _strange_accounts(outcomes: Iterable[Outcome]) -> Iterator[str]:
    """Nobody's report has an order or a fill of another account."""
    for outcome in outcomes:
        user, report = outcome.player.user, outcome.report
        things: tuple[Order | Fill, ...] = (*report.orders, *report.trades)
        for thing in things:
            if thing.account != user:
                yield f"{user} was shown {type(thing).__name__} {thing.order_id} of account {thing.account}"


def _common_things(outcomes: Iterable[Outcome]) -> Iterator[str]:
    """No two users share an order, a trade, an agent's run or a strategy object."""
    for one, other in combinations(outcomes, 2):
        for what, common in (
            ("an order", _orders(one) & _orders(other)),
            ("a trade", _trades(one) & _trades(other)),
            ("a run", _runs(one) & _runs(other)),
            ("a strategy object", {id(one.strategy)} & {id(other.strategy)}),
        ):
            if common:
                yield f"{one.player.user} and {other.player.user} share {what}: {sorted(map(str, common))}"


def _untold(outcomes: Iterable[Outcome], tape: Iterable[BrokerEvent]) -> Iterator[str]:
    """What the broker says of an account is what its user was shown, and there are no other accounts."""
    told: defaultdict[str | None, set[str | None]] = defaultdict(set)
    for event in tape:
        match event.payload:
            case Order(account=account, order_id=order_id):
                # On its way to the venue, or refused there, it has no id: all it shows is whose it is.
                told[account].update({order_id} - {None})
            case Fill(account=account, trade_id=trade_id):
                told[account].add(trade_id)
            case Gap():
                yield "part of what the broker said is lost, so it could not be compared"
            case _:
                pass
    for outcome in outcomes:
        user = outcome.player.user
        differing = told.pop(user, set()) ^ (_orders(outcome) | _trades(outcome))
        if differing:
            yield f"{user} and the broker tell different stories of {sorted(map(str, differing))}"
    for account, things in told.items():
        yield f"account {account} belongs to nobody and traded: {sorted(map(str, things))}"


def _wrong_books(outcomes: Iterable[Outcome], books: Snapshot) -> Iterator[str]:
    """A user's money and holdings are what the user's own fills make of the capital, to the cent."""
    for outcome in outcomes:
        user, report = outcome.player.user, outcome.report
        cash = report.capital + sum((_cash_flow(fill) for fill in report.trades), ZERO)
        there = sum((each.total for each in books.balances or () if each.account == user), ZERO)
        if cash != there:
            yield f"{user} should have {cash} by own fills, the broker says {there}"
        held = {each.symbol: each.qty for each in books.positions or () if each.account == user and each.qty}
        if held != _holdings(report.trades):
            yield f"{user} should hold {_holdings(report.trades)} by own fills, the broker says {held}"


def _strange_events(outcomes: Iterable[Outcome]) -> Iterator[str]:
    """Every event that reached a user was made for that user, and every fill of that user's reached it."""
    for outcome in outcomes:
        player = outcome.player
        for event in outcome.events:
            if event.user_id != player.user or event.thread_id != player.context.thread_id:
                yield f"{player.user} was told {event.type} of {event.user_id}, {event.thread_id}"
        told = [_trade_told(event) for event in outcome.events if _trade_told(event)]
        if told != [fill.trade_id for fill in outcome.report.trades]:
            yield f"{player.user} was told of trades {told}, which are not the own ones"


def _trade_told(event: hotplug.Event) -> str:
    if event.payload.get("name") != FILL_TOLD:
        return ""
    return str(event.payload["value"]["trade_id"])


def _orders(outcome: Outcome) -> set[str | None]:
    return {order.order_id for order in outcome.report.orders if order.order_id is not None}


def _trades(outcome: Outcome) -> set[str | None]:
    return {fill.trade_id for fill in outcome.report.trades}


def _runs(outcome: Outcome) -> set[str | None]:
    return {event.run_id for event in outcome.events}


def _cash_flow(fill: Fill) -> Decimal:
    notional = fill.qty * fill.price
    return (-notional if fill.side is Side.BUY else notional) - fill.fee


def _holdings(fills: Iterable[Fill]) -> dict[str, Decimal]:
    held: defaultdict[str, Decimal] = defaultdict(Decimal)
    for fill in fills:
        held[fill.symbol] += fill.qty if fill.side is Side.BUY else -fill.qty
    return {symbol: qty for symbol, qty in held.items() if qty}


# -- trying to reach over ----------------------------------------------------------------------------


class Trespasser(hotplug.Strategy):
    """A strategy that tries to trade for somebody else."""

    def __init__(self, user: str, victim: str, symbol: str, order: OrderRef | None) -> None:
        self.user: Final = user
        self.victim: Final = victim
        self.symbol: Final = symbol
        self.order: Final = order
        self.attempts: Final[list[Attempt]] = []

    async def on_start(self, trader: hotplug.Trader) -> None:
        """Trade on the victim's account, cancel the victim's order."""
        what = f"trade on the account of {self.victim}"
        request = OrderRequest(symbol=self.symbol, side=Side.BUY, qty=Decimal(1), account=self.victim)
        try:
            await trader.place(request)
        except hotplug.PermissionDenied as error:
            self.attempts.append(Attempt(self.user, what, str(error)))
        else:
            self.attempts.append(Attempt(self.user, what, None))
        if self.order is not None:
            await self._cancel(trader, self.order)

    async def _cancel(self, trader: hotplug.Trader, order: OrderRef) -> None:
        what = f"cancel an order of {self.victim}"
        try:
            await trader.cancel(order)
        except hotplug.OrderNotFound as error:
            self.attempts.append(Attempt(self.user, what, str(error)))
        else:
            self.attempts.append(Attempt(self.user, what, None))

    def on_bar(self, bar: Bar) -> None:
        """Nothing: it has had its chance."""


async def trespass(
    one: Outcome, other: Outcome, broker: hotplug.IBrokerGateway, hub: hotplug.EventHub
) -> list[Attempt]:
    """What comes of *one* trying to trade, cancel and speak as *other*."""
    user, victim = one.player.user, other.player.user
    orders = other.report.orders
    symbol = one.player.question["symbol"]
    intruder = Trespasser(user, victim, symbol, orders[-1].ref if orders else None)
    report = await hotplug.run_strategy(intruder, broker, [], context=one.player.context)
    if report.error is not None:
        raise report.error
    return [*intruder.attempts, _speak(one.player, other.player, hub)]


def _speak(one: Player, other: Player, hub: hotplug.EventHub) -> Attempt:
    what = f"tell {other.user} something"
    try:
        hotplug.EventEmitter(hub, one.context).emit("CUSTOM", {"name": "boo"}, context=other.context)
    except hotplug.InvalidContextError as error:
        return Attempt(one.user, what, str(error))
    return Attempt(one.user, what, None)
