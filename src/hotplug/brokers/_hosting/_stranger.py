"""A gateway that is not built on the template, called for somebody: filtered through its public methods."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol, TypeVar
from uuid import uuid4

from hotplug.brokers._results import about
from hotplug.errors import BrokerError, Halted, OrderDenied, OrderNotFound, PermissionDenied
from hotplug.market import Balance, CancelScope, Fill, Order, OrderRef, Origin, Position, Snapshot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from datetime import datetime

    from hotplug.brokers._contract import IBrokerGateway
    from hotplug.brokers._settings import Seat
    from hotplug.market import (
        Attribution,
        BrokerEvent,
        EventPayload,
        OrderAck,
        OrderChange,
        OrderRequest,
    )

__all__ = ["Reasons", "Stranger", "no_such_order"]

REMEMBERED: Final = 100_000
"""Of how many orders it is known whose they are; the oldest are forgotten first."""


class Reasons(Protocol):
    """Who knows what is halted."""

    def reason(self, key: str, user: str | None, /) -> str | None: ...


class Stranger:
    """
    The verbs of a gateway for a `Seat`: what belongs to other accounts is not there.

    Who placed an order is kept beside, for the gateway itself cannot know it. A client id that another
    account uses already goes to the gateway under another name, so that nobody learns of it. Thread-safe.
    """

    def __init__(self, gateway: IBrokerGateway, key: str, halts: Reasons | None = None) -> None:
        self.gateway: Final = gateway
        self.key: Final = key
        self._halts: Final = halts
        self._names: Final = _names_of(gateway)

    # -- orders ------------------------------------------------------------------------------------

    async def place_for(self, seat: Seat, request: OrderRequest, deadline: float | None) -> OrderAck:
        """Place *request* on one of the seat's accounts, and remember for whom."""
        user = seat.attribution.user
        if self._halts is not None and (why := self._halts.reason(self.key, user)) is not None:
            raise Halted(f"{self.key} is halted: {why}", code="halted", outcome="NOT_SENT")
        account = self._account(seat, request)
        asked = request.client_order_id
        name = self._names.claim(account or "", asked, seat.attribution)
        ack = await self.gateway.place_order(
            replace(request, account=account, client_order_id=name), deadline=deadline
        )
        return ack if name == asked else replace(ack, client_order_id=asked)

    def _account(self, seat: Seat, request: OrderRequest) -> str | None:
        account = request.account
        if seat.accounts is None or account in seat.accounts:
            return account
        if account is not None:
            raise PermissionDenied(
                f"account {account!r} is not granted to {seat.attribution.user!r}", code="account"
            )
        if len(seat.accounts) == 1:
            return next(iter(seat.accounts))
        raise OrderDenied(f"say for which account: {', '.join(sorted(seat.accounts))}", code="account")

    async def cancel_for(self, seat: Seat, ref: OrderRef, deadline: float | None) -> Order:
        """Cancel an order of the seat."""
        order = await self._own(seat, ref, deadline)
        return self._shown(await self.gateway.cancel_order(order.ref, deadline=deadline))

    async def modify_for(
        self, seat: Seat, ref: OrderRef, change: OrderChange, deadline: float | None
    ) -> Order:
        """Change an order of the seat."""
        order = await self._own(seat, ref, deadline)
        return self._shown(await self.gateway.modify_order(order.ref, change, deadline=deadline))

    async def cancel_all_for(
        self, seat: Seat, scope: CancelScope, deadline: float | None, user: str | None = None
    ) -> tuple[Order | BrokerError, ...]:
        """Cancel the seat's open orders one by one; with *user*, those placed on behalf of that user."""
        results: list[Order | BrokerError] = []
        for order in await self.gateway.get_open_orders(deadline=deadline):
            shown = self._shown(order)
            mine = seat.has(order.account) and (user is None or shown.attribution.user == user)
            if not mine or (scope is CancelScope.OWN and order.origin is not Origin.OWN):
                continue
            try:
                results.append(self._shown(await self.gateway.cancel_order(order.ref, deadline=deadline)))
            except BrokerError as error:
                results.append(about(shown, error))
        return tuple(results)

    async def get_order_for(self, seat: Seat, ref: OrderRef, deadline: float | None) -> Order:
        """An order of the seat."""
        return self._shown(await self._own(seat, ref, deadline))

    async def open_orders_for(self, seat: Seat, deadline: float | None) -> tuple[Order, ...]:
        """The seat's orders that have not ended."""
        return self._orders(seat, await self.gateway.get_open_orders(deadline=deadline))

    async def fills_for(self, seat: Seat, since: datetime | None, deadline: float | None) -> tuple[Fill, ...]:
        """The seat's trades."""
        return self._fills(seat, await self.gateway.get_fills(since, deadline=deadline))

    async def _own(self, seat: Seat, ref: OrderRef, deadline: float | None) -> Order:
        """The order as the gateway has it; one that is not the seat's does not exist."""
        for wire in self._names.wires(seat.accounts, ref):
            try:
                order = await self.gateway.get_order(wire, deadline=deadline)
            except OrderNotFound:
                continue
            if seat.has(order.account):
                return order
        raise no_such_order(self.key, ref)

    # -- accounts ----------------------------------------------------------------------------------

    async def positions_for(self, seat: Seat, deadline: float | None) -> tuple[Position, ...]:
        """What the seat's accounts hold."""
        return _only(seat, await self.gateway.get_positions(deadline=deadline))

    async def balances_for(self, seat: Seat, deadline: float | None) -> tuple[Balance, ...]:
        """The money of the seat's accounts."""
        return _only(seat, await self.gateway.get_balances(deadline=deadline))

    async def snapshot_for(self, seat: Seat, deadline: float | None) -> Snapshot:
        """Everything of the seat's accounts at one instant."""
        return self._snapshot(seat, await self.gateway.snapshot(deadline=deadline))

    def events_for(self, seat: Seat | Callable[[], Seat], after: str | None) -> AsyncIterator[BrokerEvent]:
        """What happens to the accounts that the seat has at that time; begins with this call."""
        return self._events(seat if callable(seat) else lambda: seat, self.gateway.events(after))

    async def _events(
        self, seat_now: Callable[[], Seat], events: AsyncIterator[BrokerEvent]
    ) -> AsyncIterator[BrokerEvent]:
        try:
            async for event in events:
                payload, seat = event.payload, seat_now()
                if isinstance(payload, Snapshot):
                    yield replace(event, payload=self._snapshot(seat, payload))
                elif isinstance(payload, (Order, Fill, Position, Balance)):
                    if seat.has(payload.account):
                        yield replace(event, payload=self._told(payload))
                else:
                    yield event
        finally:
            if (close := getattr(events, "aclose", None)) is not None:
                await close()

    # -- what is shown -----------------------------------------------------------------------------

    def _shown(self, order: Order) -> Order:
        """The order under the id it was placed with, and with whom it is for."""
        asked, attribution = self._names.asked(order.account or "", order.client_order_id)
        if attribution is None:
            return order
        return replace(order, client_order_id=asked, attribution=attribution)

    def _told(self, payload: EventPayload) -> EventPayload:
        if isinstance(payload, Order):
            return self._shown(payload)
        return self._fill(payload) if isinstance(payload, Fill) else payload

    def _fill(self, fill: Fill) -> Fill:
        asked, _ = self._names.asked(fill.account, fill.client_order_id)
        return fill if asked == fill.client_order_id else replace(fill, client_order_id=asked)

    def _orders(self, seat: Seat, orders: Iterable[Order]) -> tuple[Order, ...]:
        return tuple(self._shown(order) for order in orders if seat.has(order.account))

    def _fills(self, seat: Seat, fills: Iterable[Fill]) -> tuple[Fill, ...]:
        return tuple(self._fill(fill) for fill in fills if seat.has(fill.account))

    def _snapshot(self, seat: Seat, whole: Snapshot) -> Snapshot:
        return Snapshot(
            orders=None if whole.orders is None else self._orders(seat, whole.orders),
            fills=None if whole.fills is None else self._fills(seat, whole.fills),
            positions=None if whole.positions is None else _only(seat, whole.positions),
            balances=None if whole.balances is None else _only(seat, whole.balances),
            cursor=whole.cursor,
        )


class _Names:
    """Whose a client id is, and what it is called at the gateway. Thread-safe."""

    def __init__(self) -> None:
        self._guard: Final = threading.Lock()
        self._wires: Final[OrderedDict[tuple[str, str], str]] = OrderedDict()
        self._taken: Final[dict[str, tuple[str, str, Attribution]]] = {}

    def claim(self, account: str, asked: str, attribution: Attribution) -> str:
        """What *asked* is called at the gateway: the same, unless another account has that."""
        with self._guard:
            wire = self._wires.get((account, asked))
            if wire is not None:
                return wire
            wire = asked if asked not in self._taken else uuid4().hex
            self._wires[account, asked] = wire
            self._taken[wire] = (account, asked, attribution)
            if len(self._wires) > REMEMBERED:
                _, oldest = self._wires.popitem(last=False)
                del self._taken[oldest]
            return wire

    def asked(self, account: str, wire: str | None) -> tuple[str | None, Attribution | None]:
        """What an order was called when it was placed from here, and for whom that was."""
        known = self._taken.get(wire or "")
        if known is None or known[0] != account:
            return wire, None
        return known[1], known[2]

    def wires(self, accounts: frozenset[str] | None, ref: OrderRef) -> tuple[OrderRef, ...]:
        """What *ref* may be called at the gateway by who has *accounts*."""
        asked = ref.client_order_id
        if asked is None:
            return (ref,)
        with self._guard:
            mine = accounts if accounts is not None else {account for account, _ in self._wires}
            wires = {self._wires.get((account, asked), asked) for account in mine} or {asked}
        return tuple(OrderRef(client_order_id=wire, order_id=ref.order_id) for wire in sorted(wires))


class _Accounted(Protocol):
    @property
    def account(self) -> str: ...


A = TypeVar("A", bound=_Accounted)


def _only(seat: Seat, things: Iterable[A]) -> tuple[A, ...]:
    return tuple(thing for thing in things if seat.has(thing.account))


def no_such_order(key: str, ref: OrderRef) -> OrderNotFound:
    """The error for an unknown order, and for another's: nobody learns what others do."""
    return OrderNotFound(
        f"{key}: there is no order {ref.client_order_id or ref.order_id!r}",
        code="order_not_found",
        outcome="REJECTED",
    )


_known: Final[dict[int, _Names]] = {}
_knowing: Final = threading.Lock()


def _names_of(gateway: IBrokerGateway) -> _Names:
    """The names used at *gateway*, the same for all who call it, as long as it lives."""
    # By identity: a gateway may define __eq__, and be unhashable.
    with _knowing:
        names = _known.get(id(gateway))
        if names is None:
            names = _Names()
            with suppress(TypeError):  # what cannot be referred to weakly is not remembered
                weakref.finalize(gateway, _known.pop, id(gateway), None)
                _known[id(gateway)] = names
        return names
