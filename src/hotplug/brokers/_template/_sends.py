"""
Placing: an order is sent once, whatever becomes of who asked for it.

    place ──▶ hold ──▶ task: checks ─▶ limit ─▶ gate ─▶ journal ─▶ _place ──▶ accepted │ refused │ doubted
      └──waits, until its deadline; cancelled or late it detaches, and the task goes on
"""

# pyright: reportPrivateUsage=false
# The template calls hooks, which are private names of the plugin's.

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any, Final

from hotplug._lifecycle import name_and_text
from hotplug.brokers._limits._tickets import UNCOUNTED
from hotplug.brokers._orders._checks import check_terms, denied
from hotplug.brokers._orders._held import Held, Phase, again, with_outcome
from hotplug.brokers._template._core import PAUSE_LIMIT, expect
from hotplug.brokers._template._flight import begin
from hotplug.errors import (
    BrokerError,
    BrokerUnavailable,
    DeadlineExceeded,
    DuplicateClientOrderId,
    Outcome,
    PermissionDenied,
    RateLimited,
)
from hotplug.market import OrderRequest, OrderStatus

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from hotplug.brokers._limits._limiter import Ticket
    from hotplug.brokers._settings import Seat
    from hotplug.brokers._template._core import Core
    from hotplug.market import OrderAck

__all__ = ["Sends"]

_log = logging.getLogger("hotplug.brokers")
# On the way of each order: a member of an enum, looked up by its name, costs ten times a global.
WAITING: Final = Phase.WAITING
SENDING: Final = Phase.SENDING


class Sends:
    """The placing of orders through one gateway. Lives on its home loop."""

    def __init__(self, core: Core) -> None:
        self._core: Final = core
        self.flights: Final[set[asyncio.Future[None]]] = set()
        self.airborne: Final[set[Held]] = set()
        """The orders whose ``_place`` was entered, and did not come back."""
        self._on_ground: list[asyncio.Future[None]] = []

    async def place(self, seat: Seat, request: OrderRequest, deadline: float | None) -> OrderAck:
        """Place *request* for *seat*; the ack, or the `BrokerError` that says what is known."""
        core = self._core
        expect(request, OrderRequest)
        limit = core.gateway.default_deadline if deadline is None else deadline
        if limit <= 0:
            raise DeadlineExceeded("no time was given for the order", code="deadline", outcome="NOT_SENT")
        until = time.monotonic() + limit
        account = self._account(seat, request)
        held = core.book.get(account, request.client_order_id)
        if held is None:
            if core.gate_paused is not None:
                await self._gate_reopens(core.gate_paused, until)
            held = self._begin(seat, request, account, until)
        elif not held.is_own or not held.asks_the_same(request):
            raise DuplicateClientOrderId(
                f"{request.client_order_id!r} was used for another order of this account",
                code="duplicate",
                outcome="NOT_SENT",
            )
        if held.phase is WAITING or held.phase is SENDING:
            await self._answer(held, until)
        if held.error is not None:
            raise again(held.error)
        assert held.ack is not None  # noqa: S101 - settled without an error
        return held.ack

    def _account(self, seat: Seat, request: OrderRequest) -> str:
        account = request.account
        if account is None:
            if seat.accounts is None:
                return self._core.gateway.default_account
            if len(seat.accounts) == 1:
                return next(iter(seat.accounts))
            raise denied("account", f"say for which account: {', '.join(sorted(seat.accounts))}")
        if not seat.has(account):
            raise PermissionDenied(
                f"account {account!r} is not granted to {seat.attribution.user!r}",
                code="account",
                outcome="NOT_SENT",
            )
        return account

    def _begin(self, seat: Seat, request: OrderRequest, account: str, until: float) -> Held:
        """Send it now if nothing has to be waited for; else a task of the host's sends it later."""
        core = self._core
        error = core.place_error(seat)
        if error is not None:
            raise error
        held = core.book.hold(request, account, seat.attribution)
        held.until = until
        try:
            check_terms(request, core.gateway)
            ticket = self._ticket(held) if core.lookups.is_fit(held) else None
            if ticket is None:
                self._start(held, self._send_later(held, seat))
                return held
            self._intend(held, ticket)
        except Exception as raised:  # noqa: BLE001 - whatever checks come to, the order was not sent
            core.book.not_sent(held, _not_sent(raised))
            return held
        self._start(held, self._fly(held, ticket))
        return held

    def _start(self, held: Held, work: Coroutine[Any, Any, None]) -> None:
        # In a task of the host's: the send belongs to nobody who could be cancelled.
        task = begin(work, asyncio.get_running_loop())
        if not task.done():
            held.task = task
            self.flights.add(task)
            task.add_done_callback(lambda over: self._is_over(held, over))

    def _is_over(self, held: Held, task: asyncio.Future[None]) -> None:
        self.flights.discard(task)
        held.task = None
        with contextlib.suppress(asyncio.CancelledError):
            task.exception()  # it was raised where it happened, if it was any

    def _ticket(self, held: Held) -> Ticket | None:
        limiter = self._core.book.limiter
        if limiter.lets_all:
            return UNCOUNTED
        return limiter.try_acquire("place", until=held.until, account=held.key[0])

    # -- waiting -----------------------------------------------------------------------------------

    async def _answer(self, held: Held, until: float) -> None:
        """Wait until *held* is settled; at *until* the outcome is told as it is known then."""
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        held.waiters.append(waiter)
        timer = loop.call_later(max(0.0, until - time.monotonic()), self._too_late, held, waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            held.waiters = [other for other in held.waiters if other is not waiter]
            if held.phase is Phase.WAITING and not held.waiters and held.task is not None:
                held.task.cancel()
            raise
        finally:
            timer.cancel()

    def _too_late(self, held: Held, waiter: asyncio.Future[None]) -> None:
        if waiter.done():
            return
        if held.phase is Phase.WAITING and held.task is not None:
            is_alone = held.waiters == [waiter]
            if is_alone or time.monotonic() >= held.until:
                held.task.cancel()  # it says that nothing was sent
                return
        why = f"{self._core.broker_id}: no answer to order {held.key[1]!r} in time"
        error = DeadlineExceeded(why, code="deadline", outcome="UNKNOWN")  # others wait: it may be sent yet
        if held.phase is Phase.SENDING and time.monotonic() >= held.until:
            self._core.book.doubted(held, error)
        if not waiter.done():
            held.waiters = [other for other in held.waiters if other is not waiter]
            waiter.set_exception(error)

    async def _gate_reopens(self, paused: asyncio.Event, until: float) -> None:
        """A hand-over is under way: it takes a moment, or `place_error` says that we were replaced."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(PAUSE_LIMIT, until - time.monotonic())):
                await paused.wait()

    # -- sending -----------------------------------------------------------------------------------

    async def _send_later(self, held: Held, seat: Seat) -> None:
        core = self._core
        try:
            ticket = await self._prepare(held, seat)
        except asyncio.CancelledError:
            core.book.not_sent(held, self._given_up(held))
            return
        except Exception as error:  # noqa: BLE001 - whatever checks come to, the order was not sent
            core.book.not_sent(held, _not_sent(error))
            return
        await self._fly(held, ticket)

    def _given_up(self, held: Held) -> BrokerError:
        why = f"{self._core.broker_id}: order {held.key[1]!r} was given up before it was sent"
        return DeadlineExceeded(why, code="deadline", outcome="NOT_SENT")

    async def _prepare(self, held: Held, seat: Seat) -> Ticket:
        """Wait for everything that can still say no; then the intent is written down."""
        core, until = self._core, held.until
        if core.lookups.are_needed:
            await core.lookups.check(held.request, held.account, until, is_new=True)
        ticket = self._ticket(held)
        if ticket is None:
            ticket = await core.book.limiter.acquire("place", until=until, account=held.account)
        # Time has passed: the gate may have been shut meanwhile.
        error = core.place_error(seat)
        if held.cancel_wanted:
            error = denied("cancelled", "it was cancelled before it was sent")
        if error is not None:
            ticket.give_back()
            raise error
        self._intend(held, ticket)
        return ticket

    def _intend(self, held: Held, ticket: Ticket) -> None:
        try:
            self._core.book.intend(held)
        except OSError as error:
            ticket.give_back()
            why = f"{self._core.broker_id}: the order could not be written to its journal: {error}"
            raise BrokerUnavailable(why, code="journal", outcome="NOT_SENT") from error

    async def _fly(self, held: Held, ticket: Ticket) -> None:
        """From here on the order may have been sent, whatever happens."""
        core, book = self._core, self._core.book
        gateway = core.gateway
        answered, given_up = True, False
        self.airborne.add(held)
        try:
            order_id = await gateway._invoke(gateway._place, held.order)
        except KeyboardInterrupt as error:
            answered = False
            self._failed(held, error)
            raise
        except BaseException as error:  # noqa: BLE001 - the border to plugin code: every way out is an outcome
            answered = isinstance(error, BrokerError) and error.is_explicit
            given_up = isinstance(error, asyncio.CancelledError)
            self._failed(held, error)
        else:
            core.heard_at = time.monotonic()
            core.results.append(True)
            book.accepted(held, self._sound(order_id))
        finally:
            ticket.done(answered=answered)
            book.landed(held)
            held.task = None
            self.airborne.discard(held)
            if self._on_ground and not self.airborne:
                self._call_those_who_wait()
        if not given_up:  # by a disconnect, after which nothing may begin
            core.cancels.start_if_remembered(held)

    def _sound(self, order_id: object) -> str | None:
        """The id that ``_place`` gave; what is no text names nothing, but the order was taken."""
        if order_id is None or isinstance(order_id, str):
            return order_id
        core = self._core
        core.book.counts["bad reports"] += 1
        core.last_error = f"_place gave a {type(order_id).__name__} as the venue's id, not a str"
        _log.error("%s: %s: %r", core.broker_id, core.last_error, order_id)
        return None

    def _call_those_who_wait(self) -> None:
        waiting, self._on_ground = self._on_ground, []
        for future in waiting:
            future.set_result(None)

    async def all_landed(self, limit: float) -> bool:
        """Wait until no ``_place`` is under way, *limit* seconds at most; whether that is so."""
        if self.airborne:
            future = asyncio.get_running_loop().create_future()
            self._on_ground.append(future)
            await asyncio.wait({future}, timeout=limit)
        return not self.airborne

    def _failed(self, held: Held, error: BaseException) -> None:
        core, book = self._core, self._core.book
        if isinstance(error, BrokerError):
            core.saw(error, held.account)
        else:
            core.results.append(False)
        told = self._told(held, error)
        if held.ack is not None or not held.is_open:
            book.accepted(held, None)  # reports were quicker, and know better than the exception does
        elif told.outcome is Outcome.UNKNOWN:
            book.doubted(held, told)
            core.pulse.soon()
        elif told.outcome is Outcome.NOT_SENT and held.order.status is OrderStatus.PENDING_NEW:
            book.not_sent(held, told)
        else:
            book.refused(held, told)
        if isinstance(told, RateLimited):
            core.pause(told, held.account)

    def _told(self, held: Held, error: BaseException) -> BrokerError:
        """What the caller is told of what ``_place`` raised."""
        name = f"{self._core.broker_id}: placing {held.key[1]!r}"
        if isinstance(error, BrokerError):
            if error.is_explicit:
                return error
            rejected = isinstance(error, RateLimited)
            return with_outcome(error, Outcome.REJECTED if rejected else Outcome.UNKNOWN)
        if isinstance(error, TimeoutError):
            told: BrokerError = DeadlineExceeded(f"{name} timed out", code="deadline", outcome="UNKNOWN")
        else:
            why = f"{name} raised {name_and_text(error)}"
            told = BrokerUnavailable(why, code="unexpected", outcome="UNKNOWN")
        told.__cause__ = error
        return told


def _not_sent(error: Exception) -> BrokerError:
    """What is told of an order that checks kept back; figures beyond all reckoning raise there, too."""
    if isinstance(error, BrokerError):
        return error
    told = denied("unexpected", f"the order cannot be checked: {name_and_text(error)}")
    told.__cause__ = error
    return told
