"""Gateways for code that cannot await: each call blocks until it is answered or late."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, TypeVar

from hotplug.brokers._settings import DEADLINE
from hotplug.errors import DeadlineExceeded, HostError, NotSupported, SyncCallOnLoop
from hotplug.market import CancelScope
from hotplug.registry._hidden import hide

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
    from datetime import datetime, timedelta
    from types import TracebackType

    from hotplug._lifecycle import HomeLoop
    from hotplug.brokers._contract import BrokerInfo, IBrokerGateway
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

__all__ = ["SyncGateway", "SyncStream", "front_of", "refuse_on"]

T = TypeVar("T")

GRACE: Final = 1.0
"""Seconds that the gateway has above its deadline, to say by itself that it is late."""
SLICE: Final = 0.5
"""Seconds after which who waits looks whether the loop is still there."""


def refuse_on(home: HomeLoop, verb: str) -> None:
    """Raise `SyncCallOnLoop` on the loop that would have to answer."""
    if home.is_here:
        raise SyncCallOnLoop(
            f"{verb}() would block the loop that the gateways live on: await the gateway itself, "
            "from brokers.get(…)"
        )


class _Errand(Generic[T]):
    """
    One call on the home loop, of which somebody may lose patience.

    Whoever is first, the loop that begins it or the caller who gives it up, decides whether it is made.
    """

    def __init__(self, call: Callable[[], Awaitable[T]]) -> None:
        self._call: Final = call
        self._first: Final = threading.Lock()

    async def make(self) -> T:
        """Make the call, on the loop."""
        if not self._first.acquire(blocking=False):
            raise asyncio.CancelledError
        return await self._call()

    def give_up(self) -> bool:
        """Prevent it; false where it had begun."""
        return self._first.acquire(blocking=False)


class _Front:
    """What stands behind a façade."""

    def __init__(self, gateway: IBrokerGateway, home: HomeLoop) -> None:
        self.gateway: Final = gateway
        self.home: Final = home

    @property
    def deadline(self) -> float:
        """The seconds that a call has where it says nothing else."""
        seconds: float = getattr(self.gateway, "default_deadline", DEADLINE)
        return seconds

    def wait(self, verb: str, call: Callable[[], Awaitable[T]], limit: float) -> T:
        """What *call* gives on the home loop, within *limit* seconds and the grace."""
        refuse_on(self.home, verb)
        errand = _Errand(call)
        future = self.submit(errand.make())
        try:
            # Nothing cancels it: who is interrupted leaves a send under way as it is.
            answer: T = future.result(limit + GRACE)
        except TimeoutError:
            if future.done():  # it is what the call itself raised
                raise
        else:
            return answer
        outcome = "NOT_SENT" if errand.give_up() else "UNKNOWN"
        why = f"{self.gateway.broker_id}: {verb} was not answered within {limit + GRACE:g} s"
        raise DeadlineExceeded(
            f"{why}: is its event loop blocked?",
            code="deadline",
            outcome=outcome,  # type: ignore[arg-type]
            retryable=outcome == "NOT_SENT",
        )

    def submit(self, work: Any) -> concurrent.futures.Future[Any]:
        """Start *work* on the home loop."""
        if not self.home.is_over:
            with contextlib.suppress(RuntimeError):  # it was closed between the two lines
                return asyncio.run_coroutine_threadsafe(work, self.home.loop)
        work.close()
        raise HostError("the loop that the gateways live on is not running (any more)")


def front_of(gateway: IBrokerGateway, home: HomeLoop) -> SyncGateway:
    """The façade of *gateway* (or of a view), whose calls are made at *home*."""
    front = object.__new__(SyncGateway)
    _set_front(front, _Front(gateway, home))
    return front


class SyncGateway:
    """
    A gateway (or one user's view of it) whose calls block, made by ``brokers.sync(key, context)``.

    Each call has a *deadline* in seconds, without one the gateway's own. It raises what the gateway raises;
    `SyncCallOnLoop` on the thread of the loop that the gateways live on; `DeadlineExceeded` where not even
    that loop answers: its *outcome* says whether the call had begun. An interrupt (Ctrl-C) ends the waiting,
    never the call. Thread-safe.
    """

    __slots__ = ("__weakref__", "_front")

    def __init__(self) -> None:
        raise TypeError("a façade is made by a registry: sync(key)")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a façade belongs to this process: it can be neither copied nor pickled")

    def __repr__(self) -> str:
        return f"<blocking façade of {self.broker_id!r}>"

    def _ask(self, verb: str, *arguments: Any, deadline: float | None) -> Any:
        front = _front(self)
        limit = front.deadline if deadline is None else deadline
        call = getattr(front.gateway, verb)
        return front.wait(verb, lambda: call(*arguments, deadline=limit), limit)

    # -- itself ------------------------------------------------------------------------------------

    @property
    def broker_id(self) -> str:
        """As the gateway's own; at once."""
        return _front(self).gateway.broker_id

    @property
    def info(self) -> BrokerInfo:
        """As the gateway's own; at once."""
        return _front(self).gateway.info

    def health(self, *, deadline: float | None = None) -> HealthReport:
        """Look how the gateway is, now."""
        report: HealthReport = self._ask("health", deadline=deadline)
        return report

    def rate_limits(self, *, deadline: float | None = None) -> tuple[RateLimit, ...]:
        """How full the windows of calls are."""
        limits: tuple[RateLimit, ...] = self._ask("rate_limits", deadline=deadline)
        return limits

    def connect(self, deadline: float | None = None) -> None:
        """Open the session; returns when orders may be placed."""
        self._ask("connect", deadline=deadline)

    def disconnect(self, drain: bool = True, *, deadline: float | None = None) -> None:
        """Close the session; open orders stay at the venue."""
        self._ask("disconnect", drain, deadline=deadline)

    # -- orders ------------------------------------------------------------------------------------

    def place_order(self, request: OrderRequest, *, deadline: float | None = None) -> OrderAck:
        """Place an order; returns when the venue has accepted it."""
        ack: OrderAck = self._ask("place_order", request, deadline=deadline)
        return ack

    def cancel_order(self, ref: OrderRef, *, deadline: float | None = None) -> Order:
        """Cancel an order; the order as it stands."""
        order: Order = self._ask("cancel_order", ref, deadline=deadline)
        return order

    def modify_order(self, ref: OrderRef, change: OrderChange, *, deadline: float | None = None) -> Order:
        """Change an open order in place."""
        order: Order = self._ask("modify_order", ref, change, deadline=deadline)
        return order

    def cancel_all(
        self, scope: CancelScope = CancelScope.OWN, *, deadline: float | None = None
    ) -> tuple[Order | BrokerError, ...]:
        """Cancel every open order in *scope*; one result per order."""
        results: tuple[Order | BrokerError, ...] = self._ask("cancel_all", scope, deadline=deadline)
        return results

    def resolve_order(
        self, ref: OrderRef, status: OrderStatus, reason: str, *, deadline: float | None = None
    ) -> Order:
        """Say what became of an UNKNOWN order; `NotSupported` where the gateway cannot be told."""
        if not hasattr(_front(self).gateway, "resolve_order"):
            why = f"{self.broker_id} is not built on the template: it cannot be told what became of an order"
            raise NotSupported(why, code="not_supported")
        order: Order = self._ask("resolve_order", ref, status, reason, deadline=deadline)
        return order

    def get_order(self, ref: OrderRef, *, deadline: float | None = None) -> Order:
        """The order as it stands."""
        order: Order = self._ask("get_order", ref, deadline=deadline)
        return order

    def get_open_orders(self, *, deadline: float | None = None) -> tuple[Order, ...]:
        """Every order that has not ended."""
        orders: tuple[Order, ...] = self._ask("get_open_orders", deadline=deadline)
        return orders

    def get_fills(self, since: datetime | None = None, *, deadline: float | None = None) -> tuple[Fill, ...]:
        """What was traded."""
        fills: tuple[Fill, ...] = self._ask("get_fills", since, deadline=deadline)
        return fills

    # -- accounts ----------------------------------------------------------------------------------

    def get_positions(self, *, deadline: float | None = None) -> tuple[Position, ...]:
        """What is held."""
        positions: tuple[Position, ...] = self._ask("get_positions", deadline=deadline)
        return positions

    def get_balances(self, *, deadline: float | None = None) -> tuple[Balance, ...]:
        """The money, by account and currency."""
        balances: tuple[Balance, ...] = self._ask("get_balances", deadline=deadline)
        return balances

    def snapshot(self, *, deadline: float | None = None) -> Snapshot:
        """Everything at one instant."""
        shot: Snapshot = self._ask("snapshot", deadline=deadline)
        return shot

    # -- the market --------------------------------------------------------------------------------

    def get_instrument(self, symbol: str, *, deadline: float | None = None) -> Instrument:
        """How *symbol* is traded."""
        instrument: Instrument = self._ask("get_instrument", symbol, deadline=deadline)
        return instrument

    def get_quote(self, symbol: str, *, deadline: float | None = None) -> Quote:
        """The best bid and ask."""
        quote: Quote = self._ask("get_quote", symbol, deadline=deadline)
        return quote

    def get_bars(
        self,
        symbol: str,
        start: datetime,
        end: datetime,
        step: timedelta,
        *,
        deadline: float | None = None,
    ) -> tuple[Bar, ...]:
        """Bars of length *step* from *start* until before *end*."""
        bars: tuple[Bar, ...] = self._ask("get_bars", symbol, start, end, step, deadline=deadline)
        return bars

    # -- streams -----------------------------------------------------------------------------------

    def events(self, after: str | None = None, *, deadline: float | None = None) -> SyncStream[BrokerEvent]:
        """
        What happens from this call on, or after the cursor *after*.

        With *deadline*, each wait for the next event lasts so many seconds at most (`DeadlineExceeded`, and
        the next wait goes on where that one ended); without one, as long as it takes.
        """
        return self._streamed("events", after, deadline)

    def stream_quotes(self, symbols: Iterable[str], *, deadline: float | None = None) -> SyncStream[Quote]:
        """The newest quote of each symbol as it changes; *deadline* as in `events`."""
        return self._streamed("stream_quotes", tuple(symbols), deadline)

    def _streamed(self, verb: str, about: Any, deadline: float | None) -> SyncStream[Any]:
        front = _front(self)

        async def begin() -> AsyncIterator[Any]:
            stream: AsyncIterator[Any] = getattr(front.gateway, verb)(about)
            return stream

        inner = front.wait(verb, begin, DEADLINE)
        stream: SyncStream[Any] = SyncStream(deadline)
        _set_behind(stream, (front, inner))
        return stream


_front: Callable[[SyncGateway], _Front]
_front, _set_front = hide(SyncGateway, "_front")


class SyncStream(Iterator[T]):
    """A stream of a gateway as a blocking iterator; a context manager, too. For one thread at a time."""

    __slots__ = ("__weakref__", "_behind", "_deadline", "_waiting")

    def __init__(self, deadline: float | None) -> None:
        self._deadline = deadline
        self._waiting: concurrent.futures.Future[T] | None = None

    @property
    def cursor(self) -> str | None:
        """Where it can be resumed, if it can."""
        cursor: str | None = getattr(_behind(self)[1], "cursor", None)
        return cursor

    def __next__(self) -> T:
        front, inner = _behind(self)
        refuse_on(front.home, "next")
        if self._waiting is None:
            self._waiting = front.submit(_next_of(inner))
        found = self._answer(front, self._waiting)
        self._waiting = None
        if not found:
            raise StopIteration
        first: T = found[0]
        return first

    def _answer(self, front: _Front, waiting: concurrent.futures.Future[Any]) -> list[Any]:
        left = float("inf") if self._deadline is None else self._deadline
        while not concurrent.futures.wait({waiting}, min(left, SLICE)).done:
            left -= SLICE
            if front.home.is_over:
                return []  # the host is closed: nothing happens any more
            if left <= 0:
                why = f"{front.gateway.broker_id}: nothing happened within {self._deadline:g} s"
                raise DeadlineExceeded(why, code="deadline", outcome="NOT_SENT", retryable=True)
        if waiting.cancelled():
            return []
        answer: list[Any] = waiting.result()
        return answer

    def close(self) -> None:
        """End it."""
        front, inner = _behind(self)
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        close = getattr(inner, "aclose", None)
        if close is not None and not front.home.is_over:
            front.wait("close", close, DEADLINE)

    def __enter__(self) -> SyncStream[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


_behind: Callable[[SyncStream[Any]], tuple[_Front, AsyncIterator[Any]]]
_behind, _set_behind = hide(SyncStream, "_behind")


async def _next_of(stream: AsyncIterator[T]) -> list[T]:
    """The next of *stream*; empty at its end (a future cannot carry a `StopIteration`)."""
    try:
        return [await stream.__anext__()]
    except StopAsyncIteration:
        return []
