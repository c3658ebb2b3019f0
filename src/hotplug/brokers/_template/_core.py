"""What the template knows of its gateway: book, home, status, gate; and how it calls hooks."""

# pyright: reportPrivateUsage=false
# The template calls hooks, which are private names of the plugin's.

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

from hotplug._lifecycle import name_and_text
from hotplug.brokers._orders._book import Book
from hotplug.errors import (
    BrokerError,
    BrokerUnavailable,
    DeadlineExceeded,
    GatewayNotReady,
    GatewayReplaced,
    Halted,
    LiveRefused,
    Outcome,
    RateLimited,
)
from hotplug.market import (
    GATEWAY_TRANSITIONS,
    Environment,
    GatewayStatus,
    HealthState,
    StatusChange,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from hotplug.brokers._settings import Seat
    from hotplug.brokers._template._changes import Cancels, Changes
    from hotplug.brokers._template._ear import Ear
    from hotplug.brokers._template._line import Line
    from hotplug.brokers._template._lookups import Lookups
    from hotplug.brokers._template._pulse import Pulse
    from hotplug.brokers._template._seated import Seated
    from hotplug.brokers._template._sends import Sends
    from hotplug.brokers._template._survey import Survey
    from hotplug.market import HealthReport

__all__ = ["Core", "expect", "here"]

T = TypeVar("T")
_log = logging.getLogger("hotplug.brokers")
MAY_CANCEL: Final = frozenset(
    {GatewayStatus.READY, GatewayStatus.DEGRADED, GatewayStatus.SYNCING, GatewayStatus.DRAINING}
)
CONNECTED: Final = MAY_CANCEL
# On the way of each order: a member of an enum, looked up by its name, costs ten times a global.
READY: Final = GatewayStatus.READY
LIVE: Final = Environment.LIVE
AT_REST: Final = frozenset({GatewayStatus.CREATED, GatewayStatus.DISCONNECTED, GatewayStatus.FAILED})
CRITICAL: Final = ("auth", "transport", "reconcile", "clock_skew")
PAUSE_LIMIT: Final = 0.25  # seconds that a place waits for a hand-over
RESULTS_KEPT: Final = 50


def here() -> asyncio.AbstractEventLoop | None:
    """The loop that is running in this thread."""
    return asyncio._get_running_loop()


class Core:
    """
    The state of one gateway. All of it belongs to its home loop, but for what says otherwise.

    Kept apart from the gateway, so that a plugin's own names never collide with it.
    """

    sends: Sends
    cancels: Cancels
    changes: Changes
    line: Line
    lookups: Lookups
    survey: Survey
    pulse: Pulse
    ear: Ear
    book: Book
    """The book that the host gave, or an own one in memory."""

    def __init__(self, gateway: Seated) -> None:
        self.gateway: Final = gateway
        self.home: asyncio.AbstractEventLoop | None = None
        self.home_is_given = False
        self.status = GatewayStatus.CREATED
        self.since = datetime.now(UTC)
        self.last_error: str | None = None
        self.report_card: HealthReport | None = None
        self.looked_at = 0.0
        self.heard_at = 0.0
        self.generation = 0
        self.bad: frozenset[str] = frozenset()
        self.results: Final[deque[bool]] = deque(maxlen=RESULTS_KEPT)
        self.buffer: list[object] | None = None
        self.lost: str | None = None
        self.tasks: Final[set[asyncio.Task[Any]]] = set()
        self.on_status: Callable[[StatusChange], None] | None = None
        self.shut = False
        self.gate_paused: asyncio.Event | None = None
        self._broker_id: str | None = None

    # -- what belongs to it ------------------------------------------------------------------------

    @property
    def broker_id(self) -> str:
        """The key, as the host said it, or the type."""
        return self._broker_id or self.gateway.broker_type

    @broker_id.setter
    def broker_id(self, name: str | None) -> None:
        self._broker_id = name

    def works_on(self, book: Book) -> bool:
        """Whether *book* is the one that it was given."""
        return self.__dict__.get("book") is book

    def __getattr__(self, name: str) -> Any:
        # The book is asked for many times with each order: an attribute, made when it is first missed.
        if name != "book":
            raise AttributeError(name)
        book = Book(self.broker_id)
        self.attach(book, None)
        return book

    def attach(self, book: Book, home: asyncio.AbstractEventLoop | None) -> None:
        """Work on *book*, at *home*; before the first connect."""
        if self.status not in AT_REST:
            raise GatewayNotReady(f"{self.broker_id} is {self.status}: a book is given before connect()")
        if not self.works_on(book):
            book.generations += 1
            self.generation = book.generations
        self.book = book
        self._broker_id = book.key
        if home is not None:
            self.home, self.home_is_given = home, True
        self.take_free_gate()

    def take_free_gate(self) -> None:
        """Take the gate unless another gateway that is up has it."""
        owner: Any = self.book.owner
        if owner is None or (owner is not self.gateway and owner.status in AT_REST):
            self.take_gate()

    def take_gate(self) -> None:
        """Be the one gateway whose orders go out."""
        book, gateway = self.book, self.gateway
        book.owner, book.generation = gateway, self.generation
        book.max_orders = gateway.max_orders
        book.time_of = gateway._time_of
        book.limiter.configure(gateway.rate_windows)
        book.quotes.on_symbols_changed = self._symbols_changed
        self.shut = False

    @property
    def has_gate(self) -> bool:
        """Whether the book's orders go through this gateway."""
        return self.book.owner is self.gateway and not self.shut

    # -- home --------------------------------------------------------------------------------------

    def is_home(self) -> bool:
        """Whether the caller runs on the gateway's loop; before there is one, everybody does."""
        return self.home is None or self.home is here()

    async def hop(self, work: Coroutine[Any, Any, T]) -> T:
        """Do *work* on the home loop, from another one; who is cancelled here cancels it there."""
        home = self.home
        if home is None or home.is_closed():
            work.close()
            raise self.not_ready("its event loop is closed: connect it again")
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, home))

    def soon(self, call: Callable[..., None], *args: object) -> None:
        """Call it on the home loop, from any thread; a loop that is gone hears nothing any more."""
        home = self.home
        if home is None or home.is_closed():
            return
        try:
            home.call_soon_threadsafe(call, *args)
        except RuntimeError:  # closed between the two lines
            return

    def adopt_home(self) -> None:
        """Live on the running loop, unless the host said where, or it lives elsewhere already."""
        home, running = self.home, asyncio.get_running_loop()
        if home is running or self.home_is_given:
            return
        if home is None or home.is_closed() or self.status in AT_REST:
            self.home = running
            self.tasks.clear()  # those of a loop that is over
            self.sends.flights.clear()

    def task(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Start *work*, and hold on to it until it is over."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    # -- status ------------------------------------------------------------------------------------

    def become(self, new: GatewayStatus, reason: str = "") -> None:
        """Go on to *new*, if the table of transitions allows it; it is an event."""
        book, old = self.book, self.status
        if new is old:
            return
        if new not in GATEWAY_TRANSITIONS[old]:
            raise GatewayNotReady(f"{self.broker_id} cannot go from {old} to {new}", code="transition")
        self.status, self.since = new, datetime.now(UTC)
        change = StatusChange(old=old, new=new, reason=reason, monotonic_ns=time.monotonic_ns())
        book.log.append(change, generation=self.generation, note="status")
        _log.info("%s: %s -> %s %s", self.broker_id, old, new, reason)
        if self.on_status is not None:
            try:
                self.on_status(change)
            except Exception:  # noqa: BLE001 - whoever listens must not hurt the gateway
                _log.exception("%s: a listener to its status raised", self.broker_id)

    @property
    def well(self) -> bool:
        """READY, HEALTHY, and looked at lately. From any thread."""
        card = self.report_card
        return (
            self.status is GatewayStatus.READY
            and card is not None
            and card.status is HealthState.HEALTHY
            and time.monotonic() - self.looked_at < card.max_age
        )

    def heard(self) -> None:
        """Something came in: the line is alive."""
        self.heard_at = time.monotonic()

    # -- gates -------------------------------------------------------------------------------------

    def not_ready(self, why: str) -> GatewayNotReady:
        """The error that says that nothing was sent, because *why*."""
        return GatewayNotReady(
            f"{self.broker_id}: {why}", code="not_ready", outcome="NOT_SENT", retryable=True
        )

    def refuse_unless_connected(self) -> None:
        """Raise `GatewayNotReady` where the venue cannot be asked."""
        if self.status not in CONNECTED:
            raise self.not_ready(f"it is {self.status}: connect it first")

    def place_error(self, seat: Seat) -> BrokerError | None:
        """Why nothing may be placed or modified right now."""
        book = self.book
        if book.owner is not self.gateway or self.shut:
            return GatewayReplaced(
                f"{self.broker_id}: a newer generation serves now; get it from the registry",
                code="replaced",
                outcome="NOT_SENT",
                retryable=True,
            )
        if self.status is not READY and not self._may_place_degraded():
            return self.not_ready(f"it is {self.status}: orders are taken when it is READY")
        if (error := self.trade_error()) is not None:
            return error
        reason = book.halts.reason(book.key, seat.attribution.user)
        if reason is not None:
            return Halted(f"{self.broker_id} is halted: {reason}", code="halted", outcome="NOT_SENT")
        return None

    def _may_place_degraded(self) -> bool:
        return self.status is GatewayStatus.DEGRADED and not self.bad.intersection(CRITICAL)

    def trade_error(self) -> BrokerError | None:
        """Why this gateway sends nothing that changes anything."""
        book = self.book
        settings = book.settings
        if self.gateway.environment is LIVE and not (settings.allow_live and settings.mode == "trade"):
            why = 'is live and read-only: the configuration must say allow_live = true and mode = "trade"'
            return LiveRefused(f"{self.broker_id} {why}", code="live_read_only", outcome="NOT_SENT")
        if settings.mode == "read":
            why = f'{self.broker_id} is read-only: its configuration says mode = "read"'
            return LiveRefused(why, code="read_only", outcome="NOT_SENT")
        if book.holder is not None:
            why = f"{self.broker_id} is read-only here: its journal is held by {book.holder}"
            return LiveRefused(why, code="journal_held", outcome="NOT_SENT")
        return None

    def refuse_cancel(self) -> None:
        """Raise where not even a cancel may be sent."""
        if self.status not in MAY_CANCEL:
            raise self.not_ready(f"it is {self.status}: it cannot cancel")
        if (error := self.trade_error()) is not None:
            raise error

    # -- hooks -------------------------------------------------------------------------------------

    async def call(
        self,
        name: str,
        hook: Callable[..., Awaitable[T] | T],
        *args: object,
        until: float,
        urgent: bool = False,
        account: str = "",
    ) -> T:
        """
        Call a hook that may be called again: within its limits, until *until*, errors being `BrokerError`.

        Raises what the hook raised, if that is one; anything else becomes `BrokerUnavailable`.
        """
        limiter = self.book.limiter
        ticket = limiter.try_acquire(name, until=until, account=account, urgent=urgent)
        if ticket is None:
            ticket = await limiter.acquire(name, until=until, account=account, urgent=urgent)
        answered = False
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + until - time.monotonic()):
                result = await self.gateway._invoke(hook, *args)
            answered = True
        except BrokerError as error:
            answered = not isinstance(error, (BrokerUnavailable, DeadlineExceeded))
            self.saw(error, account)
            raise
        except (KeyboardInterrupt, asyncio.CancelledError):
            raise
        except TimeoutError as error:
            self.results.append(False)
            why = f"{self.broker_id}: {name} was not answered in time"
            raise DeadlineExceeded(why, code="deadline", retryable=True) from error
        except BaseException as error:
            self.results.append(False)
            why = f"{self.broker_id}: {name} raised {name_and_text(error)}"
            raise BrokerUnavailable(why, code="unexpected") from error
        finally:
            ticket.done(answered=answered)
        self.heard()
        self.results.append(True)
        return result

    def saw(self, error: BrokerError, account: str = "") -> None:
        """A hook raised it: what it says of the line and of the limits."""
        bad = isinstance(error, (BrokerUnavailable, DeadlineExceeded))
        self.results.append(not bad)
        if not bad:
            self.heard()
        if isinstance(error, RateLimited) and error.outcome is not Outcome.NOT_SENT:
            self.pause(error, account)

    def pause(self, error: RateLimited, account: str = "") -> None:
        """The venue said that we ask too much: nobody asks for a while."""
        longest = max((window.window for window in self.gateway.rate_windows), default=1.0)
        seconds = error.retry_after if error.retry_after is not None else longest
        for scope in {window.scope for window in self.gateway.rate_windows} or {"key"}:
            self.book.limiter.pause(seconds, scope=scope, account=account)

    # -- quotes ------------------------------------------------------------------------------------

    def _symbols_changed(self, symbols: frozenset[str]) -> None:
        self.soon(self._resubscribe, symbols)

    def _resubscribe(self, symbols: frozenset[str]) -> None:
        if self.status in CONNECTED:
            self.task(self.subscribe(symbols), f"{self.broker_id}: subscribe")

    async def subscribe(self, symbols: frozenset[str]) -> None:
        """Let the venue know which quotes are wanted."""
        until = time.monotonic() + self.gateway.default_deadline
        try:
            await self.call("subscribe", self.gateway._subscribe, symbols, until=until)
        except BrokerError as error:
            self.last_error = str(error)
            _log.warning("%s: subscribing to %s failed: %s", self.broker_id, sorted(symbols), error)


def expect(value: object, kind: type) -> None:
    """Raise `TypeError` for what is no *kind*."""
    if not isinstance(value, kind):
        raise TypeError(f"a {kind.__name__} is needed, not {type(value).__name__}")
