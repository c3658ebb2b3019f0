"""A gateway as one user sees it: some accounts of it, and nothing that leads to the rest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, cast

from hotplug.brokers._contract import IBrokerGateway, mask_account
from hotplug.brokers._hosting._stranger import Stranger
from hotplug.brokers._hosting._streams import Granted, sealed
from hotplug.brokers._settings import DEADLINE, Seat
from hotplug.errors import NotSupported, PermissionDenied
from hotplug.market import CancelScope, Capability
from hotplug.registry._hidden import hide

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
    from datetime import datetime, timedelta
    from decimal import Decimal

    from hotplug.brokers._contract import BrokerInfo
    from hotplug.errors import BrokerError
    from hotplug.market import (
        Balance,
        Bar,
        BrokerEvent,
        Fill,
        HealthReport,
        Instrument,
        Order,
        OrderAck,
        OrderChange,
        OrderRef,
        OrderRequest,
        OrderStatus,
        Position,
        Quote,
        RateLimit,
        Snapshot,
    )

__all__ = ["Desk", "GatewayView", "SimulatedView", "view_of"]


class Desk(Protocol):
    """Whose verbs take the seat they are for: a template gateway, or a `Stranger`."""

    async def place_for(self, seat: Seat, request: OrderRequest, deadline: float | None, /) -> OrderAck: ...
    async def cancel_for(self, seat: Seat, ref: OrderRef, deadline: float | None, /) -> Order: ...
    async def modify_for(
        self, seat: Seat, ref: OrderRef, change: OrderChange, deadline: float | None, /
    ) -> Order: ...
    async def cancel_all_for(
        self, seat: Seat, scope: CancelScope, deadline: float | None, user: str | None = None, /
    ) -> tuple[Order | BrokerError, ...]: ...
    async def get_order_for(self, seat: Seat, ref: OrderRef, deadline: float | None, /) -> Order: ...
    async def open_orders_for(self, seat: Seat, deadline: float | None, /) -> tuple[Order, ...]: ...
    async def fills_for(
        self, seat: Seat, since: datetime | None, deadline: float | None, /
    ) -> tuple[Fill, ...]: ...
    async def positions_for(self, seat: Seat, deadline: float | None, /) -> tuple[Position, ...]: ...
    async def balances_for(self, seat: Seat, deadline: float | None, /) -> tuple[Balance, ...]: ...
    async def snapshot_for(self, seat: Seat, deadline: float | None, /) -> Snapshot: ...
    def events_for(
        self, seat: Seat | Callable[[], Seat], after: str | None, /
    ) -> AsyncIterator[BrokerEvent]: ...


@dataclass(eq=False, slots=True)
class _Behind:
    """What stands behind a view. *seat* is asked at each call: what was granted may be taken away."""

    gateway: IBrokerGateway
    desk: Desk
    key: str
    seat: Callable[[], Seat]


def view_of(
    gateway: IBrokerGateway,
    seat: Seat | Callable[[], Seat],
    *,
    key: str | None = None,
    desk: Desk | None = None,
) -> GatewayView:
    """
    The view of *gateway* from *seat*, which may be called for each time.

    Orders of other accounts are not there, neither by id nor in streams, snapshots and ``cancel_all``.
    Any gateway will do; one that is not built on the template is filtered through its public methods.
    """
    name = gateway.broker_id if key is None else key
    if desk is None:
        desk = cast("Desk", gateway) if hasattr(gateway, "place_for") else Stranger(gateway, name)
    simulated = Capability.SIMULATED in gateway.info.capabilities
    asked = seat if callable(seat) else lambda: seat
    asked()
    view = object.__new__(SimulatedView if simulated else GatewayView)
    _set_behind(view, _Behind(gateway, desk, name, asked))
    return view


class GatewayView(IBrokerGateway):
    """
    A gateway bound to the *accounts* of one user. Made by a registry's ``get(key, context)``.

    Another's order is as unknown as one that never was. What a view places is attributed to its user. It
    neither connects nor disconnects nor establishes outcomes (`PermissionDenied`). Thread-safe.
    """

    __slots__ = ("__weakref__", "_behind")

    def __init__(self) -> None:
        raise TypeError("a view is made by a registry: get(key, context)")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a view belongs to this process: it can be neither copied nor pickled")

    def __repr__(self) -> str:
        return f"<view of {self.broker_id!r}>"

    @property
    def accounts(self) -> tuple[str, ...]:
        """The accounts that this view has, sorted."""
        return tuple(sorted(_behind(self).seat().accounts or ()))

    @property
    def mark(self) -> int:
        """A number that all views of one gateway share, while it is there."""
        return id(_behind(self).gateway)

    @property
    def default_deadline(self) -> float:
        """The seconds that a call has which says nothing else."""
        seconds: float = getattr(_behind(self).gateway, "default_deadline", DEADLINE)
        return seconds

    def in_run(self, strategy: str, run: str) -> GatewayView:
        """The same view for one run of a strategy, which its orders will name."""
        behind = _behind(self)

        def seat() -> Seat:
            own = behind.seat()
            return Seat(own.accounts, replace(own.attribution, strategy=strategy, run=run))

        return view_of(behind.gateway, seat, key=behind.key, desk=behind.desk)

    # -- itself ------------------------------------------------------------------------------------

    @property
    def broker_id(self) -> str:
        """The key of the gateway."""
        return _behind(self).key

    @property
    def info(self) -> BrokerInfo:
        """What is known of the gateway, without what concerns others."""
        behind = _behind(self)
        masked = tuple(mask_account(account) for account in self.accounts)
        return replace(
            behind.gateway.info, broker_id=behind.key, accounts=masked, metadata={}, last_error=None
        )

    async def health(self, *, deadline: float | None = None) -> HealthReport:
        """As the gateway's own."""
        return await _behind(self).gateway.health(deadline=deadline)

    async def rate_limits(self, *, deadline: float | None = None) -> tuple[RateLimit, ...]:
        """As the gateway's own: its windows are shared by all."""
        return await _behind(self).gateway.rate_limits(deadline=deadline)

    async def connect(self, deadline: float | None = None) -> None:  # noqa: ARG002
        """Not from here."""
        self._refuse("connect")

    async def disconnect(self, drain: bool = True, *, deadline: float | None = None) -> None:  # noqa: ARG002
        """Not from here."""
        self._refuse("disconnect")

    async def resolve_order(
        self,
        ref: OrderRef,  # noqa: ARG002
        status: OrderStatus,  # noqa: ARG002
        reason: str,  # noqa: ARG002
        *,
        deadline: float | None = None,  # noqa: ARG002
    ) -> Order:
        """Not from here."""
        self._refuse("resolve_order")

    def _refuse(self, verb: str) -> NoReturn:
        raise PermissionDenied(f"{self.broker_id}: {verb} is the operator's, not a user's", code="operator")

    # -- orders ------------------------------------------------------------------------------------

    async def place_order(self, request: OrderRequest, *, deadline: float | None = None) -> OrderAck:
        """Place an order on one of the view's accounts; it may be left out where there is only one."""
        behind = _behind(self)
        seat = behind.seat()
        account = getattr(request, "account", None)  # what is no request at all is the desk's to refuse
        if account in (seat.accounts or ()) and account != seat.attribution.account:
            seat = Seat(seat.accounts, replace(seat.attribution, account=account))
        return await behind.desk.place_for(seat, request, deadline)

    async def cancel_order(self, ref: OrderRef, *, deadline: float | None = None) -> Order:
        """Cancel an order of the view's accounts."""
        behind = _behind(self)
        return await behind.desk.cancel_for(behind.seat(), ref, deadline)

    async def modify_order(
        self, ref: OrderRef, change: OrderChange, *, deadline: float | None = None
    ) -> Order:
        """Change an order of the view's accounts."""
        behind = _behind(self)
        return await behind.desk.modify_for(behind.seat(), ref, change, deadline)

    async def cancel_all(
        self, scope: CancelScope = CancelScope.OWN, *, deadline: float | None = None
    ) -> tuple[Order | BrokerError, ...]:
        """Cancel every open order of the view's accounts that is in *scope*."""
        behind = _behind(self)
        return await behind.desk.cancel_all_for(behind.seat(), scope, deadline)

    async def get_order(self, ref: OrderRef, *, deadline: float | None = None) -> Order:
        """An order of the view's accounts."""
        behind = _behind(self)
        return await behind.desk.get_order_for(behind.seat(), ref, deadline)

    async def get_open_orders(self, *, deadline: float | None = None) -> tuple[Order, ...]:
        """Every order of the view's accounts that has not ended."""
        behind = _behind(self)
        return await behind.desk.open_orders_for(behind.seat(), deadline)

    async def get_fills(
        self, since: datetime | None = None, *, deadline: float | None = None
    ) -> tuple[Fill, ...]:
        """What was traded on the view's accounts."""
        behind = _behind(self)
        return await behind.desk.fills_for(behind.seat(), since, deadline)

    # -- accounts ----------------------------------------------------------------------------------

    async def get_positions(self, *, deadline: float | None = None) -> tuple[Position, ...]:
        """What the view's accounts hold."""
        behind = _behind(self)
        return await behind.desk.positions_for(behind.seat(), deadline)

    async def get_balances(self, *, deadline: float | None = None) -> tuple[Balance, ...]:
        """The money of the view's accounts."""
        behind = _behind(self)
        return await behind.desk.balances_for(behind.seat(), deadline)

    async def snapshot(self, *, deadline: float | None = None) -> Snapshot:
        """Everything of the view's accounts at one instant."""
        behind = _behind(self)
        return await behind.desk.snapshot_for(behind.seat(), deadline)

    # -- the market --------------------------------------------------------------------------------

    async def get_instrument(self, symbol: str, *, deadline: float | None = None) -> Instrument:
        """As the gateway's own."""
        return await _behind(self).gateway.get_instrument(symbol, deadline=deadline)

    async def get_quote(self, symbol: str, *, deadline: float | None = None) -> Quote:
        """As the gateway's own."""
        return await _behind(self).gateway.get_quote(symbol, deadline=deadline)

    async def get_bars(
        self,
        symbol: str,
        start: datetime,
        end: datetime,
        step: timedelta,
        *,
        deadline: float | None = None,
    ) -> tuple[Bar, ...]:
        """As the gateway's own."""
        return await _behind(self).gateway.get_bars(symbol, start, end, step, deadline=deadline)

    # -- streams -----------------------------------------------------------------------------------

    def events(self, after: str | None = None) -> AsyncIterator[BrokerEvent]:
        """
        What happens to the view's accounts; begins with the call.

        It follows what is granted: of an account that was taken away nothing more is told, and who has none
        left is told so, by `PermissionDenied`, in the place of the next event.
        """
        behind = _behind(self)
        behind.seat()
        return sealed(Granted(behind.desk.events_for(behind.seat, after), behind.seat))

    def stream_quotes(self, symbols: Iterable[str]) -> AsyncIterator[Quote]:
        """As the gateway's own."""
        return sealed(_behind(self).gateway.stream_quotes(symbols))


_behind: Callable[[GatewayView], _Behind]
_behind, _set_behind = hide(GatewayView, "_behind")


class SimulatedView(GatewayView):
    """The view of a gateway that takes its market from outside: each account may have one of its own."""

    __slots__ = ()

    async def feed(self, bar: Bar, *, account: str | None = None) -> tuple[Fill, ...]:
        """Let *bar* happen to *account*, or to all of the view's; the fills that it made are the answer."""
        feed = self._market("feed")
        return self._own([await feed(bar, account=each) for each in self._fed(account)])

    async def feed_quote(self, quote: Quote, *, account: str | None = None) -> tuple[Fill, ...]:
        """Let *quote* happen to *account*, or to all of the view's, where the gateway takes quotes."""
        feed = self._market("feed_quote")
        return self._own([await feed(quote, account=each) for each in self._fed(account)])

    async def open_account(self, account: str, cash: Decimal | None = None) -> None:
        """Open one of the view's accounts."""
        [account] = self._fed(account)
        await self._market("open_account")(account, cash)

    def _market(self, verb: str) -> Callable[..., Awaitable[Any]]:
        gateway = _behind(self).gateway
        if not hasattr(gateway, verb):
            raise NotSupported(f"{self.broker_id} has no {verb}", code="not_supported")
        return cast("Callable[..., Awaitable[Any]]", getattr(gateway, verb))

    def _own(self, made: Iterable[Iterable[Fill]]) -> tuple[Fill, ...]:
        mine = self.accounts
        return tuple(fill for fills in made for fill in fills if fill.account in mine)

    def _fed(self, account: str | None) -> tuple[str, ...]:
        mine = self.accounts
        if account is None:
            return mine
        if account not in mine:
            user = _behind(self).seat().attribution.user
            raise PermissionDenied(f"account {account!r} is not granted to {user!r}", code="account")
        return (account,)
