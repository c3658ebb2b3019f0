"""One strategy over bars: market, fills, callbacks, in this order, one at a time."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterable
from contextlib import aclosing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, runtime_checkable
from uuid import uuid4

from hotplug.errors import (
    BrokerError,
    GatewayNotReady,
    LiveRefused,
    NotSupported,
    OrderDenied,
    OrderNotFound,
    PermissionDenied,
)
from hotplug.market import Bar, Capability, Environment, GatewayStatus, OrderRef, Position, Quote, to_decimal
from hotplug.strategies._contract import Strategy, Trader
from hotplug.strategies._report import StrategyReport

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable

    from hotplug.brokers import IBrokerGateway
    from hotplug.context import UserExecutionContext
    from hotplug.market import Balance, Fill, Order, OrderAck, OrderRequest

__all__ = ["Simulation", "run_strategy"]

ZERO: Final = Decimal(0)

MarketData: TypeAlias = "Iterable[Bar | Quote] | AsyncIterable[Bar | Quote]"


@runtime_checkable
class Simulation(Protocol):
    """What a gateway with the capability ``SIMULATED`` has besides its contract."""

    async def feed(self, bar: Bar, *, account: str | None = None) -> tuple[Fill, ...]:
        """Let *bar* happen to *account* (or to all); the fills that it made are the answer."""
        ...

    async def open_account(self, account: str, cash: Decimal | None = None) -> None:
        """Open a new account with *cash*."""
        ...


@runtime_checkable
class _Bound(Protocol):
    """What a gateway that is bound to a user's accounts has besides its contract."""

    @property
    def accounts(self) -> tuple[str, ...]: ...
    def in_run(self, strategy: str, run: str) -> IBrokerGateway: ...


async def run_strategy(
    strategy: Strategy,
    broker: IBrokerGateway,
    bars: MarketData,
    *,
    cash: Decimal | None = None,
    context: UserExecutionContext | None = None,
    account: str | None = None,
) -> StrategyReport:
    """
    Play *bars* (and quotes between them) to *strategy*, trading on *broker*.

    The run trades on *account*: without one on the user's own (on a view, its only one), without a user on a
    new one of its own. On a view, its orders are attributed to the strategy and the run.
    An account that is not open yet is opened with *cash* (without it, as the broker is set); for one that is,
    *cash* is an `InvalidRequest`. For each bar: orders placed earlier match, `on_fill` is told, then
    `on_bar`. At the end, however it came, open orders of the run are cancelled and `on_stop` is told;
    positions stay.

    What a callback raises (but for `KeyboardInterrupt` and the caller's cancellation) ends the run and is the
    report's *error*. Raises `LiveRefused` for a live gateway, `NotSupported` for one that is not simulated,
    `GatewayNotReady` for one that is not connected, `TypeError` for what is no strategy object or no
    gateway at all, `RuntimeError` for a strategy object that is running already, and what the broker
    raises when it is fed.
    """
    if not isinstance(strategy, Strategy):  # pyright: ignore[reportUnnecessaryIsInstance] - untyped callers
        raise TypeError(f"a run takes a strategy, an object of a Strategy's class, not {strategy!r}")
    _simulation(broker)
    run_id = uuid4().hex if context is None else context.run_id
    if isinstance(broker, _Bound):
        account = account or (broker.accounts[0] if len(broker.accounts) == 1 else None)
        broker = broker.in_run(type(strategy).__name__, run_id)
    simulation = _simulation(broker)
    with _exclusively(strategy):
        run = _Run(strategy, broker, simulation, context, account, run_id)
        await run.open(None if cash is None else to_decimal("cash", cash))
        try:
            await run.play(bars)
        finally:
            await run.wind_down()
        return await run.report()


class _Run:
    """The state of one run; also the desk that its trader goes to."""

    def __init__(
        self,
        strategy: Strategy,
        broker: IBrokerGateway,
        simulation: Simulation,
        context: UserExecutionContext | None,
        account: str | None,
        run: str,
    ) -> None:
        user = None if context is None else context.user_id
        self.strategy: Final = strategy
        self.broker: Final = broker
        self.simulation: Final = simulation
        self.trader: Final = Trader(
            self,
            account=account or user or f"run-{run}",
            user=user,
            strategy=type(strategy).__name__,
            run=run,
        )
        self.now = datetime.now(UTC)
        self.cash = ZERO
        self._positions: dict[str, Position] = {}
        self._closes: dict[str, Decimal] = {}
        self._placed: dict[str, str | None] = {}
        self._trades: list[Fill] = []
        self._equity: list[Decimal] = []
        self._times: list[datetime] = []
        self._capital = ZERO
        self._started = False
        self._trading = True
        self._error: BaseException | None = None

    # -- the desk ----------------------------------------------------------------------------------

    def position(self, symbol: str) -> Position:
        held = self._positions.get(symbol)
        return held or Position(
            account=self.trader.account, symbol=symbol, qty=ZERO, avg_price=None, realized_pnl=ZERO
        )

    async def place(self, request: OrderRequest) -> OrderAck:
        self._refuse_when_over()
        if request.account not in {None, self.trader.account}:
            raise PermissionDenied(
                f"this strategy trades on account {self.trader.account!r}, not on {request.account!r}",
                code="account",
                outcome="NOT_SENT",
            )
        # Remembered before it is sent: an order of unknown outcome is ours to cancel, too.
        self._placed[request.client_order_id] = None
        ack = await self.broker.place_order(replace(request, account=self.trader.account))
        self._placed[request.client_order_id] = ack.order_id
        if not self._trading:
            await self._cancel_open()
        return ack

    async def cancel(self, ref: OrderRef) -> Order:
        try:
            order = await self.broker.get_order(ref)
            own = order.account == self.trader.account and order.client_order_id in self._placed
        except OrderNotFound:
            own = False
        if not own:
            # The same text for an unknown order and for another's: nobody learns what others do.
            named = ref.order_id or ref.client_order_id
            raise OrderNotFound(f"there is no order {named!r}", code="order_not_found", outcome="REJECTED")
        return await self.broker.cancel_order(ref)

    def _refuse_when_over(self) -> None:
        if not self._trading:
            raise OrderDenied("the run has ended", code="run_ended", outcome="NOT_SENT")

    # -- from the first bar to the last ------------------------------------------------------------

    async def open(self, cash: Decimal | None) -> None:
        """See that there is an account with money in it."""
        balances = await self.broker.get_balances()
        if cash is not None or not any(each.account == self.trader.account for each in balances):
            await self.simulation.open_account(self.trader.account, cash)
        await self._look_at_account()
        self._capital = self._worth()

    async def play(self, bars: MarketData) -> None:
        """Until the market data or the strategy ends."""
        async with aclosing(_one_by_one(bars)) as market:
            async for said in market:
                self.now = said.time
                if not (await self._start() and await self._hear(said)):
                    return
        await self._start()

    async def _start(self) -> bool:
        if self._started:
            return True
        self._started = True
        return await self._tell(lambda: self.strategy.on_start(self.trader))

    async def _hear(self, said: Bar | Quote) -> bool:
        if isinstance(said, Quote):
            return await self._tell(lambda: self.strategy.on_quote(said))
        fills = await self.simulation.feed(said, account=self.trader.account)
        self._closes[said.symbol] = said.close
        if fills:
            await self._look_at_account()
        own = [fill for fill in fills if fill.client_order_id in self._placed]
        self._trades += own
        self._equity.append(self._worth())
        self._times.append(said.time)
        for fill in own:
            if not await self._tell(lambda fill=fill: self.strategy.on_fill(fill)):  # type: ignore[misc]
                return False
        return await self._tell(lambda: self.strategy.on_bar(said))

    async def _tell(self, callback: Callable[[], Awaitable[None] | None]) -> bool:
        """Call the strategy; false, with the error kept, when it raised."""
        try:
            answer = callback()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - border to plugin code
            return self._failed(error)
        if not inspect.isawaitable(answer):
            return True
        try:
            await answer
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except asyncio.CancelledError as error:
            if _is_being_cancelled():
                raise
            return self._failed(error)
        except BaseException as error:  # noqa: BLE001 - border to plugin code
            return self._failed(error)
        return True

    def _failed(self, error: BaseException) -> bool:
        self.trader.log.warning("stopped: %s: %s", type(error).__name__, error, exc_info=error)
        if self._error is None:
            self._error = error
        return False

    # -- the end -----------------------------------------------------------------------------------

    async def wind_down(self) -> None:
        """Shut the gate, cancel what is open, say goodbye."""
        self._trading = False
        try:
            await self._cancel_open()
        except BrokerError as error:
            self.trader.log.error("open orders may be left at %s: %s", self.broker.broker_id, error)  # noqa: TRY400
        if self._started:
            await self._tell(self.strategy.on_stop)

    async def _cancel_open(self) -> None:
        for order in await self.broker.get_open_orders():
            if order.account == self.trader.account and order.client_order_id in self._placed:
                await self.broker.cancel_order(order.ref)

    async def report(self) -> StrategyReport:
        """What came of it."""
        return StrategyReport(
            strategy=self.trader.strategy,
            user=self.trader.user,
            account=self.trader.account,
            run=self.trader.run,
            capital=self._capital,
            trades=tuple(self._trades),
            orders=await self._own_orders(),
            equity=tuple(self._equity),
            times=tuple(self._times),
            error=self._error,
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

    # -- money -------------------------------------------------------------------------------------

    async def _look_at_account(self) -> None:
        mine = self.trader.account
        self.cash = _money([each for each in await self.broker.get_balances() if each.account == mine])
        positions = await self.broker.get_positions()
        self._positions = {each.symbol: each for each in positions if each.account == mine}

    def _worth(self) -> Decimal:
        """Cash and positions at their last close; at what they cost where there was none yet."""
        held = (
            each.qty * self._closes.get(symbol, each.avg_price or ZERO)
            for symbol, each in self._positions.items()
        )
        return self.cash + sum(held, ZERO)


# -- what a run may be made of -----------------------------------------------------------------------


def _simulation(broker: IBrokerGateway) -> Simulation:
    info = getattr(broker, "info", None)
    # What a gateway is says a neighbouring room; that it can tell its status is enough of it here.
    if info is None or not isinstance(getattr(info, "status", None), GatewayStatus):
        raise TypeError(f"a run trades on a gateway (an IBrokerGateway), not on {broker!r}")
    if info.environment is Environment.LIVE:
        raise LiveRefused(
            f"{info.broker_id} is live: historical bars are not played to it",
            code="live",
            outcome="NOT_SENT",
        )
    if Capability.SIMULATED not in info.capabilities or not isinstance(broker, Simulation):
        raise NotSupported(
            f"{info.broker_id} is not simulated: it cannot be fed with bars",
            code="not_simulated",
            outcome="NOT_SENT",
        )
    if info.status is not GatewayStatus.READY:
        raise GatewayNotReady(
            f"{info.broker_id} is {info.status}: connect it first", code="not_ready", outcome="NOT_SENT"
        )
    return broker


_running: Final[set[int]] = set()
_running_lock: Final = threading.Lock()


@contextmanager
def _exclusively(strategy: Strategy) -> Generator[None]:
    """One run at a time for one object, or its callbacks would overlap."""
    with _running_lock:
        if id(strategy) in _running:
            raise RuntimeError(f"this {type(strategy).__name__} is running already: make one for each run")
        _running.add(id(strategy))
    try:
        yield
    finally:
        with _running_lock:
            _running.discard(id(strategy))


async def _one_by_one(bars: MarketData) -> AsyncGenerator[Bar | Quote]:
    """The market data, with a breath between for everybody else on this loop."""
    if isinstance(bars, AsyncIterable):
        async for said in bars:
            yield _market_data(said)
        return
    for said in bars:
        await asyncio.sleep(0)
        yield _market_data(said)


def _market_data(said: Bar | Quote) -> Bar | Quote:
    if not isinstance(said, (Bar, Quote)):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
        raise TypeError(f"bars are Bar (or Quote) objects, not {type(said).__name__}")
    return said


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _money(balances: list[Balance]) -> Decimal:
    if len({each.currency for each in balances}) > 1:
        raise NotSupported("a run needs an account in one currency", code="currencies", outcome="NOT_SENT")
    return sum((each.total for each in balances), ZERO)
