"""The verbs of a gateway, done for somebody: what its own verbs and the views of it are made of."""

from __future__ import annotations

import time
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, final

from hotplug.brokers._template._changes import Cancels, Changes
from hotplug.brokers._template._core import Core, expect, here
from hotplug.brokers._template._ear import Ear
from hotplug.brokers._template._hooks import Hooks
from hotplug.brokers._template._line import Line
from hotplug.brokers._template._lookups import Lookups
from hotplug.brokers._template._pulse import Pulse
from hotplug.brokers._template._sends import Sends
from hotplug.brokers._template._survey import Survey
from hotplug.errors import DeadlineExceeded, InvalidRequest, OrderNotFound
from hotplug.market import CancelScope, OrderRef, Snapshot, to_utc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
    from datetime import datetime

    from hotplug.brokers._orders._held import Held
    from hotplug.brokers._settings import Seat
    from hotplug.errors import BrokerError
    from hotplug.market import (
        Balance,
        BrokerEvent,
        Fill,
        Order,
        OrderAck,
        OrderChange,
        OrderRequest,
        Position,
    )

__all__ = ["Seated", "at_home"]

V = TypeVar("V", bound="Callable[..., Any]")


def at_home(verb: V) -> V:
    """A verb that runs on the home loop of its gateway, wherever it is called."""

    @wraps(verb)
    async def wherever(self: Seated, *arguments: Any, **named: Any) -> Any:
        core = self._core  # pyright: ignore[reportPrivateUsage] - it becomes a method
        if core.is_home():
            return await verb(self, *arguments, **named)
        return await core.hop(verb(self, *arguments, **named))

    return wherever  # type: ignore[return-value]


class Seated(Hooks):
    """A gateway whose verbs say for which seat they are done: which accounts it has, and who is behind it."""

    __core: Core

    @property
    def _core(self) -> Core:
        # Made when first asked for: a plugin's __init__ need not call ours.
        try:
            return self.__core
        except AttributeError:
            self.__core = core = Core(self)
            core.sends, core.cancels, core.changes = Sends(core), Cancels(core), Changes(core)
            core.line, core.pulse, core.ear = Line(core), Pulse(core), Ear(core)
            core.lookups, core.survey = Lookups(core), Survey(core)
            return core

    def _until(self, deadline: float | None) -> float:
        limit = self.default_deadline if deadline is None else deadline
        if limit <= 0:
            raise DeadlineExceeded("no time was given for the call", code="deadline", outcome="NOT_SENT")
        return time.monotonic() + limit

    # -- orders ------------------------------------------------------------------------------------

    @final
    async def place_for(self, seat: Seat, request: OrderRequest, deadline: float | None = None) -> OrderAck:
        """`place_order` for *seat*."""
        return await self._placing(seat, request, deadline)

    def _placing(
        self, seat: Seat, request: OrderRequest, deadline: float | None
    ) -> Coroutine[Any, Any, OrderAck]:
        core = self._core
        work = core.sends.place(seat, request, deadline)
        return work if core.home is here() or core.home is None else core.hop(work)

    @at_home
    async def cancel_for(self, seat: Seat, ref: OrderRef, deadline: float | None = None) -> Order:
        """`cancel_order` for *seat*."""
        return await self._core.cancels.cancel(seat, ref, deadline)

    @at_home
    async def modify_for(
        self, seat: Seat, ref: OrderRef, change: OrderChange, deadline: float | None = None
    ) -> Order:
        """`modify_order` for *seat*."""
        return await self._core.changes.modify(seat, ref, change, deadline)

    @at_home
    async def cancel_all_for(
        self,
        seat: Seat,
        scope: CancelScope = CancelScope.OWN,
        deadline: float | None = None,
        user: str | None = None,
    ) -> tuple[Order | BrokerError, ...]:
        """`cancel_all` for *seat*; with *user*, of what was placed for that user."""
        expect(scope, CancelScope)
        return await self._core.cancels.cancel_all(seat, scope, deadline, user)

    @at_home
    async def get_order_for(self, seat: Seat, ref: OrderRef, deadline: float | None = None) -> Order:
        """`get_order` for *seat*."""
        expect(ref, OrderRef)
        return (await self._find(seat, ref, self._until(deadline))).order

    @at_home
    async def open_orders_for(self, seat: Seat, deadline: float | None = None) -> tuple[Order, ...]:
        """`get_open_orders` for *seat*."""
        self._until(deadline)
        return self._open_for(seat)

    @at_home
    async def fills_for(
        self, seat: Seat, since: datetime | None = None, deadline: float | None = None
    ) -> tuple[Fill, ...]:
        """`get_fills` for *seat*."""
        self._until(deadline)
        return self._fills_for(seat, None if since is None else to_utc("since", since))

    # -- accounts, and what happens to them --------------------------------------------------------

    @at_home
    async def positions_for(self, seat: Seat, deadline: float | None = None) -> tuple[Position, ...]:
        """`get_positions` for *seat*."""
        until = self._until(deadline)
        self._core.refuse_unless_connected()
        if self._can("_positions"):
            found: Sequence[Position] = await self._core.call("positions", self._positions, until=until)
            return tuple(each for each in found if seat.has(each.account))
        return (await self._shot(seat, until)).positions or ()

    @at_home
    async def balances_for(self, seat: Seat, deadline: float | None = None) -> tuple[Balance, ...]:
        """`get_balances` for *seat*."""
        until = self._until(deadline)
        self._core.refuse_unless_connected()
        if self._can("_balances"):
            found: Sequence[Balance] = await self._core.call("balances", self._balances, until=until)
            return tuple(each for each in found if seat.has(each.account))
        return (await self._shot(seat, until)).balances or ()

    @at_home
    async def snapshot_for(self, seat: Seat, deadline: float | None = None) -> Snapshot:
        """`snapshot` for *seat*."""
        until = self._until(deadline)
        self._core.refuse_unless_connected()
        return await self._shot(seat, until)

    @final
    def events_for(
        self, seat: Seat | Callable[[], Seat], after: str | None = None
    ) -> AsyncIterator[BrokerEvent]:
        """`events` for *seat*: only what happens to its accounts, those that it has at that time."""
        now = seat if callable(seat) else lambda: seat

        async def snapshot() -> Snapshot:
            return await self.snapshot_for(now())

        def concerns(event: BrokerEvent) -> bool:
            return _concerns(event.payload, now())

        wanted = None if now().accounts is None else concerns
        return self._core.book.log.stream(after, snapshot, wanted=wanted)

    # -- looking -----------------------------------------------------------------------------------

    async def _shot(self, seat: Seat, until: float) -> Snapshot:
        book = self._core.book
        said, _ = await self._core.survey.snapshot(until)
        positions = book.positions.all() if said.positions is None else said.positions
        balances = said.balances
        return Snapshot(
            orders=self._open_for(seat),
            fills=self._fills_for(seat, None),
            positions=tuple(each for each in positions if seat.has(each.account)),
            balances=None if balances is None else tuple(each for each in balances if seat.has(each.account)),
            cursor=book.log.cursor,
        )

    def _open_for(self, seat: Seat) -> tuple[Order, ...]:
        return tuple(held.order for held in self._core.book.open() if seat.has(held.account))

    def _fills_for(self, seat: Seat, since: datetime | None) -> tuple[Fill, ...]:
        return tuple(
            fill
            for fill in self._core.book.fills()
            if seat.has(fill.account) and (since is None or fill.time >= since)
        )

    async def _find(self, seat: Seat, ref: OrderRef, until: float) -> Held:
        """The order that *ref* names and *seat* may see; `OrderNotFound` says the same of all others."""
        book = self._core.book
        found = [held for held in book.named(ref.client_order_id, ref.order_id) if seat.has(held.account)]
        if len(found) > 1:
            why = f"{len(found)} accounts have an order {ref.client_order_id!r}: name it by its order_id"
            raise InvalidRequest(why, code="ambiguous", outcome="NOT_SENT")
        if found:
            return found[0]
        if self._can("_query") and self._core.line.is_up:
            held = await self._ask_for(ref, until)
            if held is not None and seat.has(held.account):
                return held
        named = ref.order_id or ref.client_order_id
        raise OrderNotFound(f"there is no order {named!r}", code="order_not_found", outcome="REJECTED")

    async def _ask_for(self, ref: OrderRef, until: float) -> Held | None:
        try:
            order = await self._core.call("query", self._query, ref, until=until)
        except OrderNotFound:
            return None
        return self._core.book.merge(order, default_account=self.default_account)


def _concerns(payload: object, seat: Seat) -> bool:
    account = getattr(payload, "account", None)
    return account is None or account in (seat.accounts or ())
