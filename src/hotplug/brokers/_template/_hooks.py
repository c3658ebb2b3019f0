"""What a plugin writes of its gateway: declared facts, and the hooks that the template calls."""

from __future__ import annotations

from abc import abstractmethod
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from hotplug.brokers._contract import IBrokerGateway
from hotplug.brokers._orders._checks import lacking
from hotplug.market import Environment, OrderType, TimeInForce

T = TypeVar("T")

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import timedelta

    from hotplug.brokers._limits._limiter import RateWindow
    from hotplug.market import (
        Balance,
        Bar,
        Capability,
        Instrument,
        Order,
        OrderChange,
        OrderRef,
        Position,
        Quote,
        Snapshot,
    )

    Answer: TypeAlias = Awaitable[T] | T
    """What a hook gives: it is a coroutine in a `BrokerGateway`, and plain in a `SyncBrokerGateway`."""

__all__ = ["HOOKS", "Hooks"]

HOOKS: Final = (
    "_connect",
    "_disconnect",
    "_place",
    "_cancel",
    "_snapshot",
    "_modify",
    "_query",
    "_instrument",
    "_quote",
    "_bars",
    "_subscribe",
    "_ping",
    "_positions",
    "_balances",
    "_account_for",
    "_time_of",
)
"""What a plugin writes; everything else is the template's."""


class Hooks(IBrokerGateway):
    """The part of a gateway that its plugin writes; what it leaves out is not supported."""

    broker_type: str = ""
    """What kind of broker this is; the default of its ``broker_id``."""
    environment: Environment = Environment.SANDBOX
    capabilities: frozenset[Capability] = frozenset()
    rate_windows: tuple[RateWindow, ...] = ()
    stale_after: float | None = None
    """Seconds of silence after which the line counts as stale; ``None``: never."""
    not_found_final_after: float | None = None
    """Seconds after which an order that the venue does not know can never arrive any more."""
    max_client_id_length: int = 36
    client_id_alphabet: str | None = None
    concurrent_sessions: bool = True
    """Whether a second session may be opened beside the first, as for a hand-over."""
    default_deadline: float = 10.0
    max_health_age: float = 15.0
    default_account: str = "default"
    """The account of orders that name none."""
    accounts: tuple[str, ...] = ()
    """The accounts that this session trades, where the venue tells."""
    order_types: frozenset[OrderType] = frozenset(OrderType)
    tifs: frozenset[TimeInForce] = frozenset(TimeInForce)
    check_interval: float = 1.0
    """Seconds between two looks at its health."""
    reconnect_delays: tuple[float, float] = (0.1, 30.0)
    """The first and the longest pause between attempts, in seconds; each is drawn from 0 up to its length."""
    max_orders: int = 250_000
    """How many orders its book may hold; a full one denies new orders, and forgets none within a day."""

    # -- that every venue has ----------------------------------------------------------------------

    @abstractmethod
    def _connect(self) -> Answer[None]:
        """Open the session. Raise `AuthenticationError`, `BrokerUnavailable` …; called again to reconnect."""

    @abstractmethod
    def _disconnect(self) -> Answer[None]:
        """Close it, also where it is half open or gone; called after every failure."""

    @abstractmethod
    def _place(self, order: Order) -> Answer[str | None]:
        """Send *order*; its id at the venue, where there is one. Once entered, it may have been sent."""

    @abstractmethod
    def _cancel(self, order: Order) -> Answer[None]:
        """Ask for a cancel; returns when the venue accepts it. `OrderNotFound` where it has none."""

    @abstractmethod
    def _snapshot(self) -> Answer[Snapshot]:
        """How everything stands: a tuple is the venue's truth, ``None`` that it cannot tell."""

    # -- that some venues have ---------------------------------------------------------------------

    def _modify(self, order: Order, change: OrderChange) -> Answer[str | None]:
        """Change *order* in place; its new id, where it gets one (``MODIFY``)."""
        raise lacking(f"{self.broker_id} cannot modify orders")

    def _query(self, ref: OrderRef) -> Answer[Order]:
        """How one order stands; `OrderNotFound`."""
        raise lacking(f"{self.broker_id} cannot be asked for an order")

    def _instrument(self, symbol: str) -> Answer[Instrument]:
        """How *symbol* is traded (``INSTRUMENTS``)."""
        raise lacking(f"{self.broker_id} knows no instruments")

    def _quote(self, symbol: str) -> Answer[Quote]:
        """The best bid and ask (``QUOTES``)."""
        raise lacking(f"{self.broker_id} has no quotes")

    def _bars(self, symbol: str, start: datetime, end: datetime, step: timedelta) -> Answer[Sequence[Bar]]:
        """Bars from *start* until before *end* (``BARS``)."""
        raise lacking(f"{self.broker_id} has no bars")

    def _subscribe(self, symbols: frozenset[str]) -> Answer[None]:
        """From now on report the quotes of *symbols*, which are all that anybody wants (``QUOTES``)."""
        return _nothing()

    def _ping(self) -> Answer[datetime | None]:
        """See that the venue answers; its own time (UTC), where it tells."""
        return _nothing()

    def _positions(self) -> Answer[tuple[Position, ...]]:
        """What is held, where that can be asked for alone."""
        raise lacking(f"{self.broker_id} tells positions in snapshots")

    def _balances(self) -> Answer[tuple[Balance, ...]]:
        """The money, where that can be asked for alone."""
        raise lacking(f"{self.broker_id} tells balances in snapshots")

    def _account_for(self, user: str) -> str | None:
        """The account that *user* has here without any grant; ``None``: none."""
        return None

    def _time_of(self, account: str) -> datetime:
        """What time (UTC) the records of *account* get; a simulated venue has its own."""
        return datetime.now(UTC)

    # -- how the template calls them ---------------------------------------------------------------

    def _invoke(self, hook: Callable[..., Answer[T]], *arguments: object) -> Awaitable[T]:
        """Call a hook, which is a coroutine here; where hooks block, this is what differs."""
        return hook(*arguments)  # type: ignore[return-value]  # pyright: ignore[reportReturnType]

    @classmethod
    def _can(cls, hook: str) -> bool:
        """Whether a plugin implements an optional hook."""
        return getattr(cls, hook) is not getattr(Hooks, hook)


async def _nothing() -> None:
    return None
