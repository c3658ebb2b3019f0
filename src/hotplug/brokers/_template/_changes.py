"""Cancelling and modifying: one cancel and one change at a time for each order, whoever asks."""

# pyright: reportPrivateUsage=false
# The template calls hooks, which are private names of the plugin's.

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

from hotplug._lifecycle import name_and_text
from hotplug.brokers._orders._checks import denied, lacking
from hotplug.brokers._orders._held import Phase, again, evolved
from hotplug.brokers._results import result_of
from hotplug.brokers._template._core import expect
from hotplug.errors import (
    BrokerError,
    BrokerUnavailable,
    DeadlineExceeded,
    OrderBusy,
    Outcome,
)
from hotplug.market import Capability, OrderChange, OrderRef, OrderStatus

if TYPE_CHECKING:
    from hotplug.brokers._limits._limiter import Ticket
    from hotplug.brokers._orders._held import Held
    from hotplug.brokers._settings import Seat
    from hotplug.brokers._template._core import Core
    from hotplug.market import CancelScope, Order

__all__ = ["Cancels", "Changes"]

RETRY_PAUSE: Final = 0.1
TRIES: Final = 3


class Cancels:
    """Cancelling through one gateway. Lives on its home loop."""

    def __init__(self, core: Core) -> None:
        self._core: Final = core
        self.under_way: Final[set[asyncio.Future[None]]] = set()

    async def cancel(self, seat: Seat, ref: OrderRef, deadline: float | None) -> Order:
        """The order when the venue has accepted the cancel, or when it is proven that it had ended."""
        core = self._core
        expect(ref, OrderRef)
        until = core.gateway._until(deadline)
        return await self._cancelled(await core.gateway._find(seat, ref, until), until)

    async def _cancelled(self, held: Held, until: float) -> Order:
        core = self._core
        if not held.is_open:
            return held.order
        core.refuse_cancel()
        held.cancel_wanted = True
        if held.phase in {Phase.WAITING, Phase.SENDING}:
            if held.phase is Phase.SENDING:
                core.book.mark(held, OrderStatus.PENDING_CANCEL, note="cancel", reason="before the ack")
            await self._see_it_sent(held, until)
            if not held.is_open:
                return held.order
        task = self.start(held)
        await asyncio.wait({task}, timeout=max(0.0, until - time.monotonic()))
        if not task.done():
            why = f"{core.broker_id}: no answer to the cancel of {held.key[1]!r} in time"
            raise DeadlineExceeded(why, code="deadline", outcome="UNKNOWN", retryable=True)
        if (error := task.exception()) is not None:
            raise again(error) if isinstance(error, BrokerError) else error
        return held.order

    async def _see_it_sent(self, held: Held, until: float) -> None:
        assert held.task is not None  # noqa: S101 - it is under way
        await asyncio.wait({held.task}, timeout=max(0.0, until - time.monotonic()))
        if held.phase is Phase.SENDING:
            why = f"{self._core.broker_id}: {held.key[1]!r} is being sent still; its cancel is remembered"
            raise DeadlineExceeded(why, code="deadline", outcome="UNKNOWN", retryable=True)

    def start(self, held: Held) -> asyncio.Task[None]:
        """Cancel it in a task of the host's; who asks meanwhile waits for the same one."""
        task = held.cancelling
        if task is None:
            task = self._core.task(self._cancel(held), f"{self._core.broker_id}: cancel {held.key[1]}")
            held.cancelling = task
            self.under_way.add(task)
            task.add_done_callback(lambda done: self._over(held, done))
        return task

    def start_if_remembered(self, held: Held) -> None:
        """Cancel it if that was asked for before it was known to stand, and could not be done yet."""
        is_due = held.cancel_wanted and not held.cancel_accepted and held.phase is Phase.SETTLED
        if is_due and held.is_open:
            self.start(held)

    def _over(self, held: Held, task: asyncio.Task[None]) -> None:
        held.cancelling = None
        self.under_way.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved: who waited was told, and nobody may have waited

    async def _cancel(self, held: Held) -> None:
        core, book = self._core, self._core.book
        until = time.monotonic() + core.gateway.default_deadline
        book.mark(held, OrderStatus.PENDING_CANCEL, note="cancel")
        try:
            await self._ask(held, until)
        except BrokerError as error:
            is_known = await core.survey.establish(held, until)
            if not held.is_open:
                return
            held.cancel_wanted = False
            # Not by the refusal alone: an attempt before it may have been heard, or it says that all is over.
            if is_known and error.outcome is not Outcome.UNKNOWN:
                book.back(held, note="cancel refused")
            raise
        held.cancel_accepted = True
        if held.is_open:
            await core.survey.establish(held, until)

    async def _ask(self, held: Held, until: float) -> None:
        """Ask the venue; cancels may be asked again where nobody knows whether they arrived."""
        core, left = self._core, TRIES
        hook, account = core.gateway._cancel, held.account
        while True:
            try:
                await core.call("cancel", hook, held.order, until=until, urgent=True, account=account)
            except (BrokerUnavailable, DeadlineExceeded):
                left -= 1
                if not left or time.monotonic() + RETRY_PAUSE >= until or not held.is_open:
                    raise
                await asyncio.sleep(RETRY_PAUSE)
            else:
                return

    async def cancel_all(
        self, seat: Seat, scope: CancelScope, deadline: float | None, user: str | None = None
    ) -> tuple[Order | BrokerError, ...]:
        """Cancel every open order in *scope* (of *user*, if one is given): a result for each."""
        core = self._core
        until = core.gateway._until(deadline)
        core.refuse_cancel()
        chosen = [
            held
            for held in core.book.open()
            if seat.has(held.account)
            and (held.is_own or str(scope) == "ALL")
            and (user is None or held.order.attribution.user == user)
        ]
        results = await asyncio.gather(
            *(self._cancelled(held, until) for held in chosen), return_exceptions=True
        )
        return tuple(result_of(held.order, each) for held, each in zip(chosen, results, strict=True))


class Changes:
    """Modifying through one gateway. Lives on its home loop."""

    def __init__(self, core: Core) -> None:
        self._core: Final = core

    async def modify(self, seat: Seat, ref: OrderRef, change: OrderChange, deadline: float | None) -> Order:
        """The order as it stands after *change*."""
        core = self._core
        expect(ref, OrderRef)
        expect(change, OrderChange)
        if Capability.MODIFY not in core.gateway.capabilities:
            raise lacking(f"{core.broker_id} cannot modify orders")
        until = core.gateway._until(deadline)
        held = await core.gateway._find(seat, ref, until)
        if (error := core.place_error(seat)) is not None:
            raise error
        changes = self._checked(held, change)
        task = core.task(self._change(held, seat, change, changes, until), f"{core.broker_id}: modify")
        held.changing = task
        task.add_done_callback(lambda done: self._over(held, done))
        await asyncio.wait({task}, timeout=max(0.0, until - time.monotonic()))
        if not task.done():
            why = f"{core.broker_id}: no answer to the change of {held.key[1]!r} in time"
            told = DeadlineExceeded(why, code="deadline", outcome="UNKNOWN")
            self._doubt(held, told)
            task.cancel()  # what it did is asked for: an answer that hangs must not keep the order busy
            raise told
        if (failure := task.exception()) is not None:
            raise again(failure) if isinstance(failure, BrokerError) else failure
        return held.order

    def _checked(self, held: Held, change: OrderChange) -> dict[str, Any]:
        order = held.order
        if held.changing is not None or order.status is OrderStatus.PENDING_CANCEL:
            what = "change" if held.changing is not None else "cancel"
            raise OrderBusy(f"a {what} of {held.key[1]!r} is under way", code="busy", outcome="NOT_SENT")
        if not held.is_open or order.status in {OrderStatus.UNKNOWN, OrderStatus.PENDING_NEW}:
            raise denied("not_open", f"{held.key[1]!r} is {order.status}: it cannot be changed")
        changes = {
            name: value
            for name in ("qty", "price", "stop_price")
            if (value := getattr(change, name)) is not None
        }
        if (qty := changes.get("qty")) is not None and (qty <= 0 or qty < order.filled_qty):
            raise denied("qty", f"the total must be more than 0 and {order.filled_qty}, which is filled")
        for name in ("price", "stop_price"):
            if name in changes and (getattr(order, name) is None or changes[name] <= 0):
                raise denied(name, f"a {order.type} order cannot be given the {name} {changes[name]}")
        return changes

    def _over(self, held: Held, task: asyncio.Task[None]) -> None:
        held.changing = None
        if not task.cancelled():
            task.exception()

    def _doubt(self, held: Held, error: BrokerError) -> None:
        book = self._core.book
        if held.order.status is OrderStatus.PENDING_REPLACE:
            book.mark(held, OrderStatus.UNKNOWN, note="unknown", reason=error.message)
            self._core.pulse.soon()

    async def _change(
        self, held: Held, seat: Seat, change: OrderChange, changes: dict[str, Any], until: float
    ) -> None:
        core, book = self._core, self._core.book
        ticket = await self._prepare(held, changes, until)
        try:
            self._refuse_if_overtaken(held, seat)
        except BrokerError:
            ticket.give_back()
            raise
        book.mark(held, OrderStatus.PENDING_REPLACE, note="modify")
        held.asked_qty = changes.get("qty")
        answered = True
        try:
            order_id = await core.gateway._invoke(core.gateway._modify, held.order, change)
        except BrokerError as error:
            answered = error.is_explicit
            core.saw(error, held.account)
            if error.is_explicit and error.outcome is not Outcome.UNKNOWN:
                book.back(held, note="modify refused")
            else:
                self._doubt(held, error)
            raise
        except (KeyboardInterrupt, asyncio.CancelledError) as error:
            answered = False
            self._doubt(held, _unexpected(error))
            raise
        except BaseException as error:
            answered = False
            told = _unexpected(error)
            self._doubt(held, told)
            raise told from error
        finally:
            ticket.done(answered=answered)
        core.heard()
        book.changed(held, order_id, changes)

    def _refuse_if_overtaken(self, held: Held, seat: Seat) -> None:
        """While it waited for its turn, the order may have ended, or the gate may have been shut."""
        if held.order.status not in {OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED}:
            raise denied("not_open", f"{held.key[1]!r} is {held.order.status} by now: it cannot be changed")
        if (error := self._core.place_error(seat)) is not None:
            raise error

    async def _prepare(self, held: Held, changes: dict[str, Any], until: float) -> Ticket:
        core = self._core
        await core.lookups.check(evolved(held.order, changes), held.account, until, is_new=False)
        limiter = core.book.limiter
        ticket = limiter.try_acquire("modify", until=until, account=held.account)
        return ticket or await limiter.acquire("modify", until=until, account=held.account)


def _unexpected(error: BaseException) -> BrokerError:
    return BrokerUnavailable(f"modifying raised {name_and_text(error)}", code="unexpected", outcome="UNKNOWN")
