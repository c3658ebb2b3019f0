"""The gateway to a venue of paper: settings, hooks, and the market that is fed to it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable  # noqa: TC003 - settings are made of these annotations
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path  # noqa: TC003
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from hotplug.brokers import BrokerGateway
from hotplug.errors import BrokerUnavailable
from hotplug.market import (
    Bar,
    Capability,
    ConnectionLost,
    Environment,
    Instrument,
    Quote,
    Snapshot,
    to_decimal,
)
from hotplug_broker_paper._commits import Commits
from hotplug_broker_paper._venue import DEFAULT_ACCOUNT, Venue
from hotplug_broker_paper._venue_hours import Hours
from hotplug_broker_paper._venue_rules import Rules
from hotplug_broker_paper._venue_state import (
    STATE,
    check_left_behind,
    prices_from,
    prices_told,
    take_over,
    told,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Generator, Iterable

    from hotplug.market import Balance, Fill, Order, OrderChange, OrderRef, Position
    from hotplug_broker_paper._venue_floor import Said
    from hotplug_broker_paper._venue_orders import Standing

__all__ = ["PaperBroker"]

T = TypeVar("T")

MARK: Final = "~"
"""What the account of a user begins with whose own name would be taken for the operator's."""


class PaperBroker(BrokerGateway):
    """
    A venue of paper: ``feed`` it bars, or quotes, and orders trade on them.

    Money: *cash* is what each account starts with, in *currency*. Fees are fractions of the notional:
    *fee_rate*, or *maker_fee* and *taker_fee*, and *min_fee* for an order that trades at all. *slippage*
    is the fraction by which market orders trade worse.
    What is traded: *symbols* (without them any), in steps of *tick* and *lot*, or as *instruments* say.
    *allow_short* lets accounts sell what they do not have.
    Liquidity: orders share what a quote shows, or the *participation* (a fraction) of a bar's volume; each
    account for itself, or all together (*liquidity* ``"shared"``), or it is never used up (``"unlimited"``).
    Time: *session* (``"09:30-16:00"`` in *zone*) are the hours of the venue. *time* is the ``"market"``'s
    own (that of the bars and quotes), or that of the ``"clock"``: *clock*, without it the one on the wall.
    *ack_latency*, *fill_latency* and *cancel_latency* are seconds of it, or the shortest and the longest.
    Chance: *reject_rate* is the probability that an order is refused; it depends on *seed* only.
    *file* (SQLite) keeps accounts, orders and fills; without it they live as long as this object.
    *history* is how many ended orders and fills the venue itself remembers.
    """

    broker_type = "paper"
    environment = Environment.PAPER
    capabilities = frozenset(
        {
            Capability.SIMULATED,
            Capability.STREAM,
            Capability.INSTRUMENTS,
            Capability.QUOTES,
            Capability.MODIFY,
        }
    )
    default_account = DEFAULT_ACCOUNT
    not_found_final_after = 0.0

    _commits: Commits | None = None
    _alarm: asyncio.TimerHandle | None = None
    _watched: frozenset[str] = frozenset()

    def __init__(
        self,
        *,
        cash: Decimal = Decimal(100_000),
        currency: str = "USD",
        fee_rate: Decimal = Decimal(0),
        maker_fee: Decimal | None = None,
        taker_fee: Decimal | None = None,
        min_fee: Decimal = Decimal(0),
        slippage: Decimal = Decimal(0),
        tick: Decimal = Decimal("0.01"),
        lot: Decimal = Decimal("0.0001"),
        symbols: tuple[str, ...] | None = None,
        instruments: tuple[Instrument, ...] = (),
        participation: Decimal = Decimal(1),
        liquidity: Literal["account", "shared", "unlimited"] = "account",
        allow_short: bool = False,
        session: str | None = None,
        zone: str = "UTC",
        time: Literal["market", "clock"] = "market",
        ack_latency: float | tuple[float, float] = 0.0,
        fill_latency: float | tuple[float, float] = 0.0,
        cancel_latency: float | tuple[float, float] = 0.0,
        reject_rate: float = 0.0,
        seed: int = 0,
        history: int = 10_000,
        file: Path | None = None,
        clock: Callable[[], datetime] | None = None,
        broker_id: str | None = None,
    ) -> None:
        super().__init__(broker_id=broker_id)
        _check_word("liquidity", liquidity, "account", "shared", "unlimited")
        _check_word("time", time, "market", "clock")
        self._rules: Final = Rules(
            cash=cash,
            currency=currency,
            maker_fee=fee_rate if maker_fee is None else maker_fee,
            taker_fee=fee_rate if taker_fee is None else taker_fee,
            min_fee=min_fee,
            slippage=slippage,
            tick=tick,
            lot=lot,
            symbols=None if symbols is None else frozenset(symbols),
            instruments={each.symbol: each for each in instruments},
            participation=participation,
            unlimited=liquidity == "unlimited",
            shared=liquidity == "shared",
            allow_short=allow_short,
            hours=Hours(session, zone),
            by_clock=time == "clock",
            ack_latency=ack_latency,
            fill_latency=fill_latency,
            cancel_latency=cancel_latency,
            reject_rate=reject_rate,
            seed=seed,
            history=history,
        )
        self._path: Final = file
        self._clock: Final = clock
        self._goes_by_the_wall: Final = time == "clock" and clock is None
        # An order that was taken says nothing yet: without a file or an alarm there is nothing to wait for.
        self._is_instant: Final = file is None and not self._goes_by_the_wall
        # Two brokers cannot hold one file at once.
        self.concurrent_sessions = file is None
        self._prices: Final[dict[str, Bar | Quote]] = {}
        self._said: list[Said] = []
        self._venue = self._new_venue()

    # -- the market --------------------------------------------------------------------------------

    async def feed(self, bar: Bar, *, account: str | None = None) -> tuple[Fill, ...]:
        """
        Let *bar* happen, to *account* or to all of them; the fills it made are the answer.

        An order trades on bars that begin after it was placed. Bars of a symbol go forward in each account:
        `InvalidRequest` for one from the past, and for one that no market can have made.
        """
        _expect(bar, Bar)
        return await self._at_home(self._feed_bar, bar, account)

    async def feed_quote(self, quote: Quote, *, account: str | None = None) -> tuple[Fill, ...]:
        """
        Let *quote* stand for *account* (or for all), until the next one; the fills it made are the answer.

        Who buys takes the ask, who sells the bid, as far as their sizes go (``None``: any size).
        `InvalidRequest` as for `feed`.
        """
        _expect(quote, Quote)
        return await self._at_home(self._feed_quote, quote, account)

    async def open_account(self, account: str, cash: Decimal | None = None) -> None:
        """Open *account* with *cash* (else with what the setting says); `InvalidRequest` if it is open."""
        await self._at_home(self._open, account, None if cash is None else to_decimal("cash", cash))

    async def advance(self) -> None:
        """Let what is due by the clock happen now. The one on the wall does that by itself."""
        await self._at_home(self._let_time_pass)

    async def _feed_bar(self, bar: Bar, account: str | None) -> tuple[Fill, ...]:
        self._core.refuse_unless_connected()
        fills = self._venue.feed_bar(bar, account)
        self._prices[bar.symbol] = bar
        if bar.symbol in self._watched:
            self.report(_price_of(bar))
        await self._settled()
        return fills

    async def _feed_quote(self, quote: Quote, account: str | None) -> tuple[Fill, ...]:
        self._core.refuse_unless_connected()
        fills = self._venue.feed_quote(quote, account)
        self._prices[quote.symbol] = quote
        self.report(quote)
        await self._settled()
        return fills

    async def _open(self, account: str, cash: Decimal | None) -> None:
        self._core.refuse_unless_connected()
        self._venue.open_account(account, cash)
        await self._settled()

    async def _let_time_pass(self) -> None:
        self._core.refuse_unless_connected()
        self._venue.advance()
        await self._settled()

    # -- hooks -------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        if self._path is None:
            return
        self._said, venue = [], self._new_venue()
        self._commits = commits = Commits(self._path, self._clock or _wall)
        await commits.open(venue)
        self._venue = venue
        await self._settled()

    async def _disconnect(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        commits, self._commits = self._commits, None
        if commits is not None:
            await commits.close()

    async def _place(self, order: Order) -> str | None:
        standing = self._venue.place(order)
        if self._is_instant:
            self._know_accounts()
            return standing.order_id
        await self._settled()
        if self._goes_by_the_wall:
            delay = self._rules.delay("ack_latency", standing.account.name, standing.number)
            await asyncio.sleep(delay.total_seconds())
        return standing.order_id

    async def _cancel(self, order: Order) -> None:
        standing = self._standing_of(order)
        self._venue.cancel(standing)
        await self._settled()
        while self._goes_by_the_wall and standing.open and standing.cancel_at is not None:
            await asyncio.sleep(_seconds_until(standing.cancel_at))
            await self._let_time_pass()

    async def _modify(self, order: Order, change: OrderChange) -> str | None:
        standing = self._standing_of(order)
        self._venue.modify(standing, change)
        await self._settled()
        return standing.order_id

    async def _query(self, ref: OrderRef) -> Order:
        return self._venue.order(self._venue.find(None, ref.client_order_id, ref.order_id))

    async def _snapshot(self) -> Snapshot:
        venue = self._venue
        return Snapshot(
            orders=venue.open_orders(),
            fills=tuple(venue.fills),
            positions=venue.positions(),
            balances=venue.balances(),
            cursor=None,
        )

    async def _positions(self) -> tuple[Position, ...]:
        return self._venue.positions()

    async def _balances(self) -> tuple[Balance, ...]:
        return self._venue.balances()

    async def _instrument(self, symbol: str) -> Instrument:
        return self._rules.instrument(symbol)

    async def _quote(self, symbol: str) -> Quote:
        """The last quote, or the last close on both sides; who asks once hears of the next ones, too."""
        self._rules.check_listed(symbol)
        self._watched |= {symbol}
        price = self._prices.get(symbol)
        if price is None:
            raise BrokerUnavailable(f"nothing was fed of {symbol} yet", code="no_quote", retryable=True)
        return _price_of(price)

    async def _subscribe(self, symbols: frozenset[str]) -> None:
        self._watched |= symbols

    def _account_for(self, user: str) -> str | None:
        """An account for each user, never the operator's."""
        return MARK + user if user == DEFAULT_ACCOUNT or user.startswith(MARK) else user

    def _time_of(self, account: str) -> datetime:
        """Market time, so that what happens is the same each time."""
        return self._venue.time_of(account)

    # -- the next generation -----------------------------------------------------------------------

    async def export_state(self) -> tuple[int, dict[str, object]]:
        """All that this venue knows, for the next generation of it; with a file, which file knows it."""
        file, venue = self._path, self._venue
        kept_in = None if file is None else os.fspath(file.resolve())
        still = sum(1 for account in venue.accounts.values() for _ in account.open_orders())
        state: dict[str, object] = {"file": kept_in, "open": still}
        if file is None:
            with self._no_alarm():
                # In a thread: thousands of orders are no reason to keep others of this loop waiting.
                state |= await asyncio.to_thread(told, venue)
            state |= {"prices": prices_told(self._prices), "watched": self._watched}
        return STATE, state

    async def import_state(self, version: int, state: dict[str, Any]) -> None:
        """
        Begin where the one before stands, which told *state*; what is in a file is there already.

        `ValueError` where that cannot be, or where open orders would be left in another place.
        """
        if version != STATE:
            raise ValueError(f"state of version {version} is not known here, only {STATE}")
        kept_in = None if self._path is None else os.fspath(self._path.resolve())
        if kept_in != state["file"]:
            check_left_behind(state, kept_in)
        elif self._path is None:
            venue = self._new_venue()
            await asyncio.to_thread(take_over, venue, state)
            self._venue = venue
            self._prices.update(prices_from(state["prices"]))
            self._watched = state["watched"]
            self._know_accounts()
            if self._goes_by_the_wall:
                self._set_alarm()

    # -- in turn -----------------------------------------------------------------------------------

    async def _at_home(self, verb: Callable[..., Awaitable[T]], *arguments: object) -> T:
        async def work() -> T:
            # Asked at home, like a hook: the next generation may have taken the venue over by then.
            return await self._invoke(verb, *arguments)

        core = self._core
        return await (work() if core.is_home() else core.hop(work()))

    def _new_venue(self) -> Venue:
        return Venue(self._rules, self._hear_venue, clock=self._clock)

    def _hear_venue(self, said: Said) -> None:
        # Told when the call is over: the venue computes in a context of its own, which is nobody else's.
        self._said.append(said)

    def _standing_of(self, order: Order) -> Standing:
        return self._venue.find(order.account, order.client_order_id, order.order_id)

    async def _settled(self) -> None:
        """Tell what the venue said; where there is a file, when it is on the disk."""
        commits = self._commits
        if commits is None:
            self._tell(self._taken())
        else:
            try:
                await commits.written(self._venue, self._taken, self._tell)
            except BrokerUnavailable as error:
                self.report(ConnectionLost(reason=str(error)))
                raise
        if self._goes_by_the_wall:
            self._set_alarm()

    def _taken(self) -> list[Said]:
        said, self._said = self._said, []
        return said

    def _tell(self, said: Iterable[Said]) -> None:
        for each in said:
            self.report(each)
        self._know_accounts()

    def _know_accounts(self) -> None:
        if len(self.accounts) != len(self._venue.accounts):
            self.accounts = tuple(self._venue.accounts)

    @contextlib.contextmanager
    def _no_alarm(self) -> Generator[None]:
        """Nothing falls due inside: the venue stays as it is."""
        alarm = self._alarm
        if alarm is None or alarm.cancelled():
            yield
            return
        alarm.cancel()
        try:
            yield
        finally:
            self._set_alarm()

    def _set_alarm(self) -> None:
        """Wake up when something is due by the clock on the wall."""
        if self._alarm is not None:
            self._alarm.cancel()
        due = self._venue.next_due()
        if due is not None:
            self._alarm = asyncio.get_running_loop().call_later(_seconds_until(due), self._ring)

    def _ring(self) -> None:
        self._core.task(self._let_time_pass(), f"{self.broker_id}: what is due")


def _wall() -> datetime:
    return datetime.now(UTC)


def _price_of(said: Bar | Quote) -> Quote:
    """The quote itself, or the close of a bar on both sides."""
    if isinstance(said, Quote):
        return said
    close = said.close
    return Quote(symbol=said.symbol, bid=close, bid_size=None, ask=close, ask_size=None, time=said.time)


def _seconds_until(moment: datetime) -> float:
    return max(0.0, (moment - _wall()).total_seconds())


def _expect(value: object, kind: type) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"a {kind.__name__} is needed, not {type(value).__name__}")


def _check_word(name: str, word: str, *known: str) -> None:
    if word not in known:
        raise ValueError(f"{name} is one of {', '.join(known)}, not {word!r}")
