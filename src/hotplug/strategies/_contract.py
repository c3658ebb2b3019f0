"""What a strategy is, and what it is given to trade with."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

from hotplug.registry import UniversalRegistry

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from datetime import datetime
    from decimal import Decimal

    from hotplug.market import Bar, Fill, Order, OrderAck, OrderRef, OrderRequest, Position, Quote

__all__ = ["Desk", "Strategy", "StrategyRegistry", "Trader"]


class Strategy(ABC):
    """
    Watches a market and trades on it.

    Its callbacks are plain methods or coroutines, and never overlap. One that raises stops the strategy:
    its open orders are cancelled, its positions stay. It is made for each user and runs once at a time.

    With these two it goes on in its next generation when its plugin is reloaded in the middle of a run
    (without them the run ends with the code that it began with). Both may be coroutines:

        def export_state(self) -> tuple[int, object]: ...       # a version, and what is to be known
        def import_state(self, version: int, data: Any) -> None: ...

    Between two events the old object is asked for its state, and goes on if anything fails: it must be
    as it was. The state is plain data (None, bool, int, float, str, bytes, Decimal, times, UUID, and lists,
    tuples, dicts and sets of them). The new object, made anew, has its `trader` when it is told
    `import_state`, is not told `on_start`, and can trade from its first event on. The old one is told
    nothing more, and what is left of it can trade no more.
    """

    trader: Trader
    """What it trades with, from `on_start` on."""

    def on_start(self, trader: Trader) -> Awaitable[None] | None:
        """Begin; who overrides this keeps the *trader*, as this one does."""
        self.trader = trader
        return None

    @abstractmethod
    def on_bar(self, bar: Bar) -> Awaitable[None] | None:
        """A bar is complete. An order placed now matches from the next bar at the earliest."""

    def on_quote(self, quote: Quote) -> Awaitable[None] | None:  # noqa: ARG002
        """A quote came."""
        return None

    def on_fill(self, fill: Fill) -> Awaitable[None] | None:  # noqa: ARG002
        """An own order traded; told before the bar that it traded on."""
        return None

    def on_stop(self) -> Awaitable[None] | None:
        """The run has ended, however it did: nothing can be placed any more."""
        return None


class Desk(Protocol):
    """Who executes for a trader: the run."""

    @property
    def now(self) -> datetime: ...
    @property
    def cash(self) -> Decimal: ...
    def position(self, symbol: str) -> Position: ...
    async def place(self, request: OrderRequest) -> OrderAck: ...
    async def cancel(self, ref: OrderRef) -> Order: ...


class Trader:
    """
    What a strategy trades with: one *account*, on behalf of one *user*, in one *run*.

    Belongs to the event loop of its run. What a broker refuses raises its `BrokerError`.
    """

    def __init__(self, desk: Desk, *, account: str, user: str | None, strategy: str, run: str) -> None:
        self.account: Final = account
        self.user: Final = user
        self.strategy: Final = strategy
        self.run: Final = run
        self.log: Final = logging.LoggerAdapter(
            logging.getLogger(f"hotplug.strategies.{strategy}"),
            {"user": user, "account": account, "strategy": strategy, "run": run},
        )
        self._desk: Final = desk

    @property
    def now(self) -> datetime:
        """The time (UTC) of what the market said last."""
        return self._desk.now

    @property
    def cash(self) -> Decimal:
        """The money in the account after the last fill, for all who trade on it; open orders lock some."""
        return self._desk.cash

    def position(self, symbol: str) -> Position:
        """What the account holds of *symbol* after the last fill, less what other runs trade meanwhile."""
        return self._desk.position(symbol)

    async def place(self, request: OrderRequest) -> OrderAck:
        """Place an order for the trader's account; another one in *request* is a `PermissionDenied`."""
        return await self._desk.place(request)

    async def cancel(self, ref: OrderRef) -> Order:
        """Cancel an own order; anybody else's is an `OrderNotFound`."""
        return await self._desk.cancel(ref)

    def __repr__(self) -> str:
        return f"<Trader of {self.strategy} for {self.user or 'nobody'}, account {self.account!r}>"


class StrategyRegistry(UniversalRegistry[Strategy]):
    """Strategies by name; each `get` with a context makes that user's own."""

    _default_name: ClassVar[str] = "strategies"
    _default_contract: ClassVar[type[Any] | str | None] = "hotplug.strategies:Strategy"
