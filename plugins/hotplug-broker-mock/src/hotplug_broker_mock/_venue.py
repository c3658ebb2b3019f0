"""A venue by script, in process: it outlives the gateways that connect to it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from hotplug.market import Heartbeat, Order, OrderStatus, OrderType, Quote
from hotplug_broker_mock._calls import Desk
from hotplug_broker_mock._clock import LoopClock
from hotplug_broker_mock._floor import Floor
from hotplug_broker_mock._habits import Habits
from hotplug_broker_mock._line import Line
from hotplug_broker_mock._rules import ReportRule, Rule, Standing
from hotplug_broker_mock._session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hotplug.market import Balance, Bar, Fill, Instrument, OrderChange, Position, Side
    from hotplug_broker_mock._book import WhichOrder
    from hotplug_broker_mock._calls import Call
    from hotplug_broker_mock._clock import Clock
    from hotplug_broker_mock._line import ReleaseOrder

__all__ = ["MockVenue"]

ENOUGH: Final = Decimal(1_000_000)
SOON: Final = 5.0


class MockVenue:
    """
    A venue that does what its *script* says, and otherwise what its *habits* are. Thread-safe.

    It never looks whether it has an order already (unless that is its habit), so what is sent twice is seen.
    Whatever chance decides is a function of *seed* and of the order, never of what else goes on.
    *habits* may be changed at any time.
    """

    def __init__(
        self,
        seed: int = 0,
        clock: Clock | None = None,
        *,
        habits: Habits | None = None,
        script: Iterable[Rule] = (),
        reports: Iterable[ReportRule] = (),
    ) -> None:
        self.seed: Final = seed
        self.clock: Final[Clock] = clock or LoopClock()
        self.habits: Final = habits or Habits()
        self._line: Final = Line(self.clock, str(seed))
        self._desk: Final = Desk(self.habits, self._line, self.clock, str(seed))
        self._floor: Final = Floor(self.habits, self._line, self.clock, str(seed))
        self._sessions = 0
        for rule in script:
            self.on(rule)
        for report in reports:
            self.on_report(report)

    # -- what gateways use -------------------------------------------------------------------------

    async def connect(self, report: Callable[[Any], None]) -> Session:
        """Open a session on the running loop; what the venue says goes to *report*."""
        loop = asyncio.get_running_loop()
        with self._line.lock:
            self._sessions += 1
            number = self._sessions
        session = Session(number, report, loop, self._desk, self._floor)
        await self._desk.call(session, "connect", lambda _fate: self._admit(session))
        return session

    async def disconnect(self, session: Session) -> None:
        """Close *session*; closed already is fine."""
        if session.ended is None:
            # Its end breaks the calls under way, and this is one.
            with suppress(ConnectionResetError):
                await self._desk.call(session, "disconnect", lambda _fate: self._let_go(session))

    # -- what came, and what stands ----------------------------------------------------------------

    @property
    def received(self) -> tuple[Call, ...]:
        """Every call, as it came."""
        return tuple(self._desk.received)

    def calls(self, name: str) -> tuple[Call, ...]:
        """Every call of that name, as it came."""
        return self._desk.calls(name)

    async def wait_for(self, name: str, count: int = 1, *, deadline: float = SOON) -> None:
        """Wait until *count* calls of *name* have come in all; `TimeoutError`. On any loop."""
        await self._desk.wait_for(name, count, deadline)

    @property
    def sent_twice(self) -> tuple[str, ...]:
        """The client ids that more than one place came with; a sound gateway leaves none."""
        return tuple(
            str(call.client_order_id)
            for call in self.calls("place")
            if call.attempt == 2 and call.client_order_id is not None
        )

    @property
    def violations(self) -> int:
        """How many calls came beyond ``max_calls``."""
        return self._desk.violations

    @property
    def hanging(self) -> int:
        """How many calls hang now, by a rule."""
        return self._desk.hanging

    @property
    def orders(self) -> tuple[Order, ...]:
        """Every order ever accepted, as it stands; oldest first."""
        with self._line.lock:
            return self._floor.book.orders

    @property
    def open_orders(self) -> tuple[Order, ...]:
        """The orders that have not ended."""
        return tuple(order for order in self.orders if not order.status.terminal)

    def order(self, which: WhichOrder) -> Order:
        """One order as it stands; `OrderNotFound`."""
        with self._line.lock:
            return self._floor.book.find(which)

    @property
    def fills(self) -> tuple[Fill, ...]:
        """Everything that was traded."""
        with self._line.lock:
            return tuple(self._floor.book.fills)

    @property
    def positions(self) -> tuple[Position, ...]:
        """What the accounts hold."""
        with self._line.lock:
            return self._floor.book.ledger.positions

    @property
    def balances(self) -> tuple[Balance, ...]:
        """The money of the accounts."""
        with self._line.lock:
            return self._floor.book.ledger.balances

    @property
    def sessions(self) -> int:
        """How many sessions are open."""
        return len(self._line.links)

    @property
    def told(self) -> tuple[object, ...]:
        """Every report that was to be sent, lost ones included, each once."""
        with self._line.lock:
            return tuple(self._line.sent)

    @property
    def lost(self) -> int:
        """How many reports reached nobody: by a rule, while muted, without a session."""
        return self._line.lost

    # -- rules -------------------------------------------------------------------------------------

    def on(
        self,
        rule: Rule | str,
        /,
        *,
        where: Callable[[Call], bool] | None = None,
        raises: BaseException | Callable[[], BaseException] | None = None,
        **fields: Any,
    ) -> Callable[[], None]:
        """
        Let a `Rule` hold, or one of such *fields* for calls of a name; the answer takes it back.

        The first rule that fits a call decides, in the order they were made. *where* says
        for which calls; *raises* is an exception, or makes one, that no `Rule` can name.
        """
        made = rule if isinstance(rule, Rule) else Rule(on=rule, **fields)
        if raises is not None:
            made = replace(made, then="error")
        number = len(self._desk.rules)
        standing = Standing(made, f"{self.seed}/rule {number}", where, _maker(raises))
        return self._stand(self._desk.rules, standing)

    def on_report(
        self, rule: ReportRule | str = "*", /, *, where: Callable[[Any], bool] | None = None, **fields: Any
    ) -> Callable[[], None]:
        """Let a `ReportRule` hold, or one of such *fields* for a kind; the answer takes it back."""
        made = rule if isinstance(rule, ReportRule) else ReportRule(kind=rule, **fields)
        number = len(self._line.rules)
        return self._stand(self._line.rules, Standing(made, f"{self.seed}/reports {number}", where))

    def clear(self) -> None:
        """Take back every rule."""
        with self._line.lock:
            self._desk.rules.clear()
            self._line.rules.clear()

    def resume(self) -> None:
        """Let calls that hang end: with their answer; with a `TimeoutError` if they were not accepted."""
        self._desk.resume()

    # -- the line ----------------------------------------------------------------------------------

    def disconnect_all(self, reason: str = "the venue hung up", *, silent: bool = False) -> None:
        """End every session; with *silent*, gateways learn of it by their next call only."""
        with self._line.turn():
            self._line.break_off(self._line.links, reason, silent=silent)

    def mute(self) -> None:
        """Send nothing from now on; calls are still answered. What happens meanwhile is never told."""
        self._line.muted = True

    def unmute(self) -> None:
        """Send again."""
        self._line.muted = False

    def hold(self) -> None:
        """Keep reports back until `release`."""
        self._line.holding = True

    def release(self, order: ReleaseOrder = "sent") -> None:
        """Send what was held: as it was sent, reversed, or shuffled (by the seed)."""
        with self._line.turn():
            self._line.release(order)

    def replay(self) -> None:
        """Send every report once more."""
        with self._line.turn():
            for payload in tuple(self._line.sent):
                self._line.repeat(payload)

    def tell(self, payload: object) -> None:
        """Send *payload* to all gateways, whatever it is."""
        with self._line.turn():
            self._line.post(payload, getattr(payload, "client_order_id", None))

    def beat(self) -> None:
        """Send a heartbeat."""
        self.tell(Heartbeat())

    # -- orders ------------------------------------------------------------------------------------

    def fill(self, which: WhichOrder, qty: Decimal | None = None, price: Decimal | None = None) -> Fill:
        """
        Trade *qty* of an order (what is left) at *price* (its limit, or the market's).

        One that was cancelled or expired may still trade. `ValueError` for more than is left of it.
        """
        with self._line.turn():
            return self._floor.trade(which, qty, price)

    def expire(self, which: WhichOrder, reason: str | None = None) -> Order:
        """Let an open order expire."""
        return self._end(which, OrderStatus.EXPIRED, reason)

    def cancel(self, which: WhichOrder, reason: str | None = None) -> Order:
        """Cancel an open order, unasked."""
        return self._end(which, OrderStatus.CANCELED, reason)

    def reject(self, which: WhichOrder, reason: str | None = None) -> Order:
        """Refuse an order that was accepted before."""
        return self._end(which, OrderStatus.REJECTED, reason)

    def change(self, which: WhichOrder, change: OrderChange) -> Order:
        """Change an open order, unasked."""
        with self._line.turn():
            return self._floor.change(which, change)

    def bust(self, which: WhichOrder, trade_id: str) -> Order:
        """Take a trade back; reported as a correction."""
        with self._line.turn():
            order, news = self._floor.book.correct(which, trade_id, self._floor.now())
            self._floor.tell(news)
            return order

    def external_order(
        self,
        symbol: str,
        side: Side,
        qty: Decimal,
        price: Decimal | None = None,
        *,
        account: str | None = None,
        client_order_id: str | None = None,
    ) -> Order:
        """Have an order placed by somebody else: at market without a *price*. It rests."""
        order = Order(
            symbol=symbol,
            side=side,
            qty=qty,
            price=price,
            type=OrderType.MARKET if price is None else OrderType.LIMIT,
            status=OrderStatus.PENDING_NEW,
            account=account,
            client_order_id=client_order_id,
        )
        with self._line.turn():
            return self._floor.take_from_another(order)

    # -- the market --------------------------------------------------------------------------------

    def quote(
        self,
        symbol: str,
        bid: Decimal | None,
        ask: Decimal | None,
        bid_size: Decimal | None = ENOUGH,
        ask_size: Decimal | None = ENOUGH,
    ) -> Quote:
        """Quote *symbol*; told to the sessions that subscribed to it. Resting orders do not trade by it."""
        quote = Quote(
            symbol=symbol,
            bid=bid,
            bid_size=None if bid is None else bid_size,
            ask=ask,
            ask_size=None if ask is None else ask_size,
            time=self._floor.now(),
        )
        with self._line.turn():
            self._floor.market.quotes[symbol] = quote
            self._line.post(quote)
        return quote

    def list_instrument(self, instrument: Instrument) -> None:
        """Say how a symbol is traded."""
        self._floor.market.instruments[instrument.symbol] = instrument

    def add_bars(self, bars: Iterable[Bar]) -> None:
        """Have *bars* to answer with."""
        for bar in bars:
            self._floor.market.bars.setdefault(bar.symbol, []).append(bar)

    # -- inside ------------------------------------------------------------------------------------

    def _end(self, which: WhichOrder, status: OrderStatus, reason: str | None) -> Order:
        with self._line.turn():
            return self._floor.end(which, status, reason)

    def _stand(self, rules: list[Standing], standing: Standing) -> Callable[[], None]:
        with self._line.lock:
            rules.append(standing)

        def take_back() -> None:
            with self._line.lock:
                if standing in rules:
                    rules.remove(standing)

        return take_back

    def _admit(self, session: Session) -> None:
        session.ended = None
        limit = self.habits.max_sessions
        links = self._line.links
        if limit is not None and len(links) >= limit:
            self._line.break_off(links[: len(links) - limit + 1], "another session took over", silent=False)
        links.append(session)
        if self.habits.heartbeat is not None:
            self._beat_again(session, self.habits.heartbeat)

    def _let_go(self, session: Session) -> None:
        if session.ended is None:
            self._line.break_off([session], "it was closed", silent=True)

    def _beat_again(self, session: Session, seconds: float) -> None:
        def beat() -> None:
            if session.ended is None:
                with self._line.turn():
                    self._line.post_to(session, Heartbeat())
                self._beat_again(session, seconds)

        self.clock.call_later(seconds, beat, session.loop)


def _maker(
    raises: BaseException | Callable[[], BaseException] | None,
) -> Callable[[], BaseException] | None:
    if isinstance(raises, BaseException):
        error = raises
        return lambda: error.with_traceback(None)
    return raises
