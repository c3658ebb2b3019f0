"""The desk of one run: its account, its orders, and what came of them."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from hotplug.errors import (
    BrokerError,
    DuplicateClientOrderId,
    InvalidRequest,
    NotSupported,
    OrderDenied,
    OrderNotFound,
    PermissionDenied,
)
from hotplug.market import Capability, OrderRef, OrderRequest, Position
from hotplug.market._positions import Positions
from hotplug.strategies._contract import Trader
from hotplug.strategies._floor import join
from hotplug.strategies._market import Bound, mark_of
from hotplug.strategies._report import StrategyReport

if TYPE_CHECKING:
    from collections.abc import Generator

    from hotplug.brokers import IBrokerGateway
    from hotplug.market import Balance, Bar, Fill, Order, OrderAck
    from hotplug.strategies._floor import Place
    from hotplug.strategies._market import Simulation

__all__ = ["RunDesk"]

ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)


class RunDesk:
    """Where the traders of one run go, from their seats; `trader` is the one that may trade now."""

    def __init__(
        self,
        broker: IBrokerGateway,
        simulation: Simulation,
        *,
        account: str,
        user: str | None,
        strategy: str,
        run: str,
    ) -> None:
        self.broker: Final = broker
        self.simulation: Final = simulation
        self.account: Final = account
        self.user: Final = user
        self.strategy: Final = strategy
        self.run: Final = run
        self.trader: Trader = self.new_trader()
        self.now: datetime = datetime.now(UTC)
        self.cash: Decimal = ZERO
        self._own: Final = Positions()
        self._positions: dict[str, Position] = {}
        self._closes: dict[str, Decimal] = {}
        self._multipliers: dict[str, Decimal] = {}
        self._placed: dict[str, str | None] = {}
        self._trades: list[Fill] = []
        self._equity: list[Decimal] = []
        self._times: list[datetime] = []
        self._symbols: list[str] = []
        self._prices: list[Decimal] = []
        self._currency = ""
        self._capital = ZERO
        # A view says by itself whom an order is for; of a whole gateway's order its tags do.
        named = {"strategy": strategy, "user": user, "run": run} if not isinstance(broker, Bound) else {}
        self._signature = tuple(f"{what}:{name}" for what, name in named.items() if name)
        self._trading = True

    @contextmanager
    def present(self) -> Generator[None]:
        """Take a place among the runs on the account, until `leave` or the end of this."""
        name = f"{self.strategy} (run {self.run})"
        self.floor: Place = join(mark_of(self.broker), self.account, name, self.trader.log.warning)
        try:
            yield
        finally:
            self.leave()

    def leave(self) -> None:
        """Let the other runs on the account go on without this one. Once or more."""
        self.floor.leave()

    def new_trader(self) -> Trader:
        """One for the next object of this run: it can look, and trade while it is `trader`."""
        seat = Seat(self)
        seat.trader = Trader(seat, account=self.account, user=self.user, strategy=self.strategy, run=self.run)
        return seat.trader

    # -- what traders come for -----------------------------------------------------------------------

    def position(self, symbol: str) -> Position:
        """The account's, without what other runs traded while this one was there."""
        held = self._positions.get(symbol)
        if held is None or symbol in self.floor.foreign:
            own = self._own.of(self.account, symbol)
            return replace(own, realized_pnl=own.realized_pnl * self._multiplier(symbol))
        return held

    async def place(self, request: OrderRequest) -> OrderAck:
        if not isinstance(request, OrderRequest):  # pyright: ignore[reportUnnecessaryIsInstance] - it is not ours
            raise TypeError(f"what is placed is an OrderRequest, not {request!r}")
        if not self._trading:
            raise OrderDenied("the run has ended", code="run_ended", outcome="NOT_SENT")
        if request.account not in {None, self.account}:
            raise PermissionDenied(
                f"this strategy trades on account {self.account!r}, not on {request.account!r}",
                code="account",
                outcome="NOT_SENT",
            )
        # Remembered before it is sent: an order of unknown outcome is ours to cancel, too.
        is_new = request.client_order_id not in self._placed
        self.floor.claim(request.client_order_id)
        self._placed.setdefault(request.client_order_id, None)
        try:
            ack = await self.broker.place_order(
                replace(request, account=self.account, tags=request.tags + self._signature)
            )
        except DuplicateClientOrderId:
            if is_new:
                del self._placed[request.client_order_id]
                self.floor.disclaim(request.client_order_id)
            raise
        self._placed[request.client_order_id] = ack.order_id
        if not self._trading:
            await self._cancel_open()
        return ack

    async def cancel(self, ref: OrderRef) -> Order:
        try:
            order = await self.broker.get_order(ref)
            own = order.account == self.account and order.client_order_id in self._placed
        except OrderNotFound:
            own = False
        if not own:
            # The same text for an unknown order and for another's: nobody learns what others do.
            named = ref.order_id or ref.client_order_id
            raise OrderNotFound(f"there is no order {named!r}", code="order_not_found", outcome="REJECTED")
        return await self.broker.cancel_order(ref)

    # -- what happens to the run ---------------------------------------------------------------------

    def equity(self, last: int) -> tuple[Decimal, ...]:
        """What all of it was worth after each of the *last* bars. From any thread."""
        return tuple(self._equity[-last:])

    async def open(self, cash: Decimal | None) -> None:
        """See that there is an account with money in it."""
        if cash is not None or not await self._is_open():
            try:
                await self.simulation.open_account(self.account, cash)
            except InvalidRequest:
                # Another run may have opened it meanwhile.
                if cash is not None or not await self._is_open():
                    raise
        await self._look_at_account()
        for each in self._positions.values():
            profit = each.realized_pnl / self._multiplier(each.symbol)
            self._own.begin(replace(each, realized_pnl=profit))
        self._capital = self._worth()

    async def _is_open(self) -> bool:
        return any(each.account == self.account for each in await self.broker.get_balances())

    async def happens(self, bar: Bar) -> list[Fill]:
        """Let *bar* happen to the account, once for all runs on it; the fills of the run's own orders."""
        own, moved = await self.floor.happens(bar, self._feed)
        self._closes[bar.symbol] = bar.close
        if moved:
            await self._look_at_account()
        self._trades += own
        for fill in own:
            self._own.add(fill)
        self._equity.append(self._worth())
        self._times.append(bar.time)
        self._symbols.append(bar.symbol)
        self._prices.append(bar.close)
        return own

    async def _feed(self, bar: Bar) -> tuple[Fill, ...]:
        return await self.simulation.feed(bar, account=self.account)

    async def close(self) -> None:
        """Nothing can be placed any more, and what is open is cancelled."""
        self._trading = False
        try:
            await self._cancel_open()
        except BrokerError as error:
            self.trader.log.error("open orders may be left at %s: %s", self.broker.broker_id, error)  # noqa: TRY400
        finally:
            self.leave()

    async def _cancel_open(self) -> None:
        for order in await self.broker.get_open_orders():
            if order.account == self.account and order.client_order_id in self._placed:
                await self.broker.cancel_order(order.ref)

    async def report(self, error: BaseException | None) -> StrategyReport:
        """What came of it; *error* is what stopped the run before its time."""
        return StrategyReport(
            strategy=self.strategy,
            user=self.user,
            account=self.account,
            run=self.run,
            capital=self._capital,
            currency=self._currency,
            trades=tuple(self._trades),
            orders=await self._own_orders(),
            equity=tuple(self._equity),
            times=tuple(self._times),
            symbols=tuple(self._symbols),
            closes=tuple(self._prices),
            error=error,
        )

    async def _own_orders(self) -> tuple[Order, ...]:
        orders: list[Order] = []
        for client_order_id, order_id in self._placed.items():
            ref = OrderRef(client_order_id=client_order_id, order_id=order_id)
            try:
                orders.append(await self.broker.get_order(ref))
            except OrderNotFound:
                # Denied before it was sent: there is no such order.
                continue
        return tuple(orders)

    # -- money ---------------------------------------------------------------------------------------

    async def _look_at_account(self) -> None:
        mine = self.account
        balances = [each for each in await self.broker.get_balances() if each.account == mine]
        self.cash = _money(balances)
        self._currency = balances[0].currency if balances else ""
        positions = await self.broker.get_positions()
        self._positions = {each.symbol: each for each in positions if each.account == mine}
        if Capability.INSTRUMENTS in self.broker.info.capabilities:
            for symbol in self._positions.keys() - self._multipliers.keys():
                self._multipliers[symbol] = (await self.broker.get_instrument(symbol)).multiplier

    def _worth(self) -> Decimal:
        """
        Cash and positions at their last close; at what they cost where there was none yet.

        Without what other runs made of the account while this one was there.
        """
        held = (
            each.qty * self._multiplier(symbol) * self._closes.get(symbol, each.avg_price or ZERO)
            for symbol, each in self._positions.items()
        )
        return self.cash + sum(held, ZERO) - self._foreign_worth()

    def _foreign_worth(self) -> Decimal:
        """What other runs won or lost on the account, fees included."""
        won = -self.floor.foreign_fees
        for symbol, (qty, notional) in self.floor.foreign.items():
            average = self._positions[symbol].avg_price if symbol in self._positions else None
            price = self._closes.get(symbol, average or ZERO)
            won += (qty * price - notional) * self._multiplier(symbol)
        return won

    def _multiplier(self, symbol: str) -> Decimal:
        return self._multipliers.get(symbol, ONE)


class Seat:
    """
    The desk as one trader sees it, who may place and cancel only while it is the desk's.

    A strategy that was replaced may still have tasks of its own: two do not trade in one run.
    """

    trader: Trader

    def __init__(self, desk: RunDesk) -> None:
        self.desk: Final = desk

    @property
    def now(self) -> datetime:
        return self.desk.now

    @property
    def cash(self) -> Decimal:
        return self.desk.cash

    def position(self, symbol: str) -> Position:
        return self.desk.position(symbol)

    async def place(self, request: OrderRequest) -> OrderAck:
        self._refuse_strangers()
        return await self.desk.place(request)

    async def cancel(self, ref: OrderRef) -> Order:
        self._refuse_strangers()
        return await self.desk.cancel(ref)

    def _refuse_strangers(self) -> None:
        if self.trader is not self.desk.trader:
            raise OrderDenied(
                "another object of this strategy trades in the run", code="replaced", outcome="NOT_SENT"
            )


def _money(balances: list[Balance]) -> Decimal:
    if len({each.currency for each in balances}) > 1:
        raise NotSupported("a run needs an account in one currency", code="currencies", outcome="NOT_SENT")
    return sum((each.total for each in balances), ZERO)
