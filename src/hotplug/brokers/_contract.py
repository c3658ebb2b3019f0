"""The contracts: a gateway to one broker, and a registry of such gateways."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hotplug._records import FrozenDict
from hotplug.market import CancelScope, GatewayStatus, HealthState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
    from datetime import datetime, timedelta

    from hotplug.errors import BrokerError
    from hotplug.market import (
        Balance,
        Bar,
        BrokerEvent,
        Capability,
        Environment,
        Fill,
        HealthReport,
        Instrument,
        Order,
        OrderAck,
        OrderChange,
        OrderRef,
        OrderRequest,
        Position,
        Quote,
        RateLimit,
        Snapshot,
    )

__all__ = ["BrokerInfo", "IBrokerGateway", "IBrokerRegistry", "mask_account"]


def mask_account(account: str) -> str:
    """*account* as it may be shown: its last two characters, and none of a short one."""
    return f"…{account[-2:]}" if len(account) > 4 else "…"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerInfo:
    """
    What is known of a gateway right now, from memory.

    *broker_id* is the key it stands under, *rate_limit_usage* 0…1 of its fullest window, *since* when
    (UTC) it came into its *status*; *accounts* are masked. Of a gateway that is not loaded yet
    only the key and what discovery knows is told: status ``CREATED``, health ``UNKNOWN``.
    """

    broker_id: str
    type: str
    environment: Environment | None = None
    status: GatewayStatus = GatewayStatus.CREATED
    health: HealthState = HealthState.UNKNOWN
    rate_limit_usage: float = 0.0
    generation: int = 0
    distribution: str = ""
    version: str = ""
    capabilities: frozenset[Capability] = frozenset()
    accounts: tuple[str, ...] = ()
    since: datetime | None = None
    last_error: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any], hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "metadata", FrozenDict(self.metadata))

    @property
    def healthy(self) -> bool:
        """Ready for orders, and well."""
        return self.status is GatewayStatus.READY and self.health is HealthState.HEALTHY


class IBrokerGateway(ABC):
    """
    A gateway to one broker.

    Coroutines take a *deadline* in seconds (without one, the gateway's own) and raise `BrokerError`, whose
    *outcome* says what is known of the order. What a gateway lacks raises `NotSupported` and
    is not in ``info.capabilities``. ``broker_id`` and ``info`` answer from memory, from any thread,
    without blocking.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def broker_id(self) -> str:
        """The key that this gateway stands under if it is registered without one."""

    @property
    @abstractmethod
    def info(self) -> BrokerInfo:
        """What is known of this gateway: a report made earlier, never a question to the venue."""

    @abstractmethod
    async def connect(self, deadline: float | None = None) -> None:
        """Open the session; returns when orders may be placed. Connected already is fine."""

    @abstractmethod
    async def disconnect(self, drain: bool = True, *, deadline: float | None = None) -> None:
        """
        Close the session; not connected is fine. Open orders stay at the venue.

        With *drain*, calls in flight are awaited first.
        """

    # -- orders ------------------------------------------------------------------------------------

    @abstractmethod
    async def place_order(self, request: OrderRequest, *, deadline: float | None = None) -> OrderAck:
        """
        Place an order; returns when the venue has accepted it.

        The same request again gives the same answer without a second order; its ``client_order_id`` with
        another payload is a `DuplicateClientOrderId`.
        """

    @abstractmethod
    async def cancel_order(self, ref: OrderRef, *, deadline: float | None = None) -> Order:
        """Cancel an order; the order as it stands is the answer, also where it had ended before."""

    @abstractmethod
    async def modify_order(
        self, ref: OrderRef, change: OrderChange, *, deadline: float | None = None
    ) -> Order:
        """Change an open order in place (``MODIFY``)."""

    @abstractmethod
    async def cancel_all(
        self, scope: CancelScope = CancelScope.OWN, *, deadline: float | None = None
    ) -> tuple[Order | BrokerError, ...]:
        """Cancel every open order in *scope*; one result per order, an error being one."""

    @abstractmethod
    async def get_order(self, ref: OrderRef, *, deadline: float | None = None) -> Order:
        """The order as it stands; `OrderNotFound`."""

    @abstractmethod
    async def get_open_orders(self, *, deadline: float | None = None) -> tuple[Order, ...]:
        """Every order that has not ended, oldest first."""

    @abstractmethod
    async def get_fills(
        self, since: datetime | None = None, *, deadline: float | None = None
    ) -> tuple[Fill, ...]:
        """What was traded, oldest first; with *since*, at that time (UTC) or later."""

    # -- accounts ----------------------------------------------------------------------------------

    @abstractmethod
    async def get_positions(self, *, deadline: float | None = None) -> tuple[Position, ...]:
        """What is held; what was sold off completely may be left out."""

    @abstractmethod
    async def get_balances(self, *, deadline: float | None = None) -> tuple[Balance, ...]:
        """The money, by account and currency."""

    @abstractmethod
    async def snapshot(self, *, deadline: float | None = None) -> Snapshot:
        """Open orders, fills, positions and balances of one instant, and the cursor that follows it."""

    # -- the market --------------------------------------------------------------------------------

    @abstractmethod
    async def get_instrument(self, symbol: str, *, deadline: float | None = None) -> Instrument:
        """How *symbol* is traded (``INSTRUMENTS``)."""

    @abstractmethod
    async def get_quote(self, symbol: str, *, deadline: float | None = None) -> Quote:
        """The best bid and ask (``QUOTES``)."""

    @abstractmethod
    async def get_bars(
        self,
        symbol: str,
        start: datetime,
        end: datetime,
        step: timedelta,
        *,
        deadline: float | None = None,
    ) -> tuple[Bar, ...]:
        """Bars of length *step* from *start* until before *end* (``BARS``)."""

    # -- streams -----------------------------------------------------------------------------------

    @abstractmethod
    def events(self, after: str | None = None) -> AsyncIterator[BrokerEvent]:
        """
        What happens to orders and accounts, in order, none left out (``STREAM``).

        Begins with the call, or after the cursor *after*; where that is lost, with one `Gap` and a
        `Snapshot`. Ends when the gateway is disconnected, or when the reader falls too far behind.
        """

    @abstractmethod
    def stream_quotes(self, symbols: Iterable[str]) -> AsyncIterator[Quote]:
        """The newest quote of each symbol as it changes (``QUOTES``); older ones are skipped."""

    # -- itself ------------------------------------------------------------------------------------

    @abstractmethod
    async def health(self, *, deadline: float | None = None) -> HealthReport:
        """Look how this gateway is, now."""

    @abstractmethod
    async def rate_limits(self, *, deadline: float | None = None) -> tuple[RateLimit, ...]:
        """How full the windows of calls are."""


class IBrokerRegistry(ABC):
    """A set of gateways by id, for who needs no more than that."""

    __slots__ = ()

    @abstractmethod
    def register(self, gateway: IBrokerGateway, /) -> Callable[[], None]:
        """Let *gateway* stand under its own ``broker_id``; the answer takes that back."""

    @abstractmethod
    def unregister(self, broker_id: str, /) -> None:
        """Remove what stands under *broker_id*."""

    @abstractmethod
    def get(self, broker_id: str, /) -> IBrokerGateway:
        """The gateway under *broker_id*."""

    @abstractmethod
    def list_all(self) -> Sequence[BrokerInfo]:
        """What is known of each."""
