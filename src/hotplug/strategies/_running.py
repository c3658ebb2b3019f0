"""Runs under way, as the host sees them: who plays, and who shall play on."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from hotplug._lifecycle import WalledCall, to_the_end
from hotplug.strategies._handover import Handover, HandoverError, missing_for_handover

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

    from hotplug.context import UserExecutionContext
    from hotplug.strategies._contract import Strategy
    from hotplug.strategies._desk import RunDesk

__all__ = ["Overtaken", "RunOver", "Running", "running"]

HANDOVER_LIMIT: Final = 5.0  # seconds that a handover may hold up its run
_log = logging.getLogger("hotplug.strategies")


class RunOver(HandoverError):  # noqa: N818 - it is a state, not a mistake
    """The run ended before it could go on with the offered object."""


class Overtaken(HandoverError):  # noqa: N818
    """A later offer took the place of this one."""


class _Offer:
    """A successor that somebody offers, and who wants to know what became of it."""

    def __init__(
        self, make: Callable[[], Strategy], done: Callable[[Exception | None], None], limit: float
    ) -> None:
        self.make: Final = make
        self.limit: Final = limit
        self._done = done

    def answer(self, why_not: HandoverError | None) -> None:
        try:
            self._done(why_not)
        except Exception:  # noqa: BLE001 - a run goes on whatever its observers do
            _log.exception("who offered a strategy's successor could not be told what became of it")


class Running:
    """
    One run of `run_strategy` that is under way.

    `strategy` is the object that it plays to now, *context* for whom, *run* its id, *started_at* (UTC) since
    when. All may be read from any thread.
    """

    def __init__(
        self, strategy: Strategy, desk: RunDesk, context: UserExecutionContext | None, run: str
    ) -> None:
        self.context: Final = context
        self.run: Final = run
        self.started_at: Final = datetime.now(UTC)
        self.turn: Final = asyncio.Lock()
        """Held while the market or the strategy is at work, and while a successor takes over."""
        self._strategy = strategy
        self._desk: Final = desk
        self._loop: Final = asyncio.get_running_loop()
        self._variables: Final = contextvars.copy_context()
        self._lock: Final = threading.Lock()
        self._offered: _Offer | None = None
        self._over = False
        self._handing_over: asyncio.Task[None] | None = None
        self._release = self._claim(strategy)

    @property
    def strategy(self) -> Strategy:
        """The object that the run plays to now."""
        return self._strategy

    @property
    def follows(self) -> bool:
        """Whether the strategy can hand over at all: it has ``export_state`` and ``import_state``."""
        return not missing_for_handover(self._strategy)

    def equity(self, last: int = 100) -> tuple[Decimal, ...]:
        """Cash and positions after each of the *last* bars."""
        return self._desk.equity(last)

    def __repr__(self) -> str:
        user = "nobody" if self.context is None else self.context.user_id
        return f"<Running {type(self._strategy).__name__} for {user}, run {self.run}>"

    # -- offers, from any thread ---------------------------------------------------------------------

    def offer(
        self,
        make: Callable[[], Strategy],
        done: Callable[[Exception | None], None],
        *,
        limit: float = HANDOVER_LIMIT,
    ) -> None:
        """
        Let the run go on with a new object, as soon as it stands between two events; returns at once.

        The old object's ``export_state`` is asked, *make* called (in a thread of its own), the new object
        given its trader and told ``import_state``. If that fails, or takes more than *limit* seconds,
        the run stays with the old one and logs why. The latest offer wins.

        *done* is called once, on any thread, this one included, and must not block: with ``None``, or with
        why not: `RunOver`, `Overtaken`, or another `HandoverError` (a plugin's error is its cause, whose
        traceback keeps both objects alive).
        """
        missing = missing_for_handover(self._strategy)
        offer = _Offer(make, done, limit)
        with self._lock:
            over = self._over
            before = self._offered
            if not (over or missing):
                self._offered = offer
        if over:
            offer.answer(RunOver("the run has ended"))
        elif missing:
            name = type(self._strategy).__name__
            self._stays(offer, HandoverError(f"the running {name} has no {' and no '.join(missing)}"))
        else:
            if before is not None:
                before.answer(Overtaken("a later offer took its place"))
            self._call_attention()

    def _call_attention(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._attend, context=self._variables)
        except RuntimeError:  # its loop was closed: it will never go on
            self._refuse_offers()

    def _refuse_offers(self) -> None:
        with self._lock:
            self._over = True
            offer, self._offered = self._offered, None
        if offer is not None:
            offer.answer(RunOver("the run has ended"))

    def _take_offer(self) -> _Offer | None:
        with self._lock:
            offer, self._offered = self._offered, None
            return offer

    # -- the handover, on the loop of the run --------------------------------------------------------

    def _attend(self) -> None:
        if self._offered is not None and (self._handing_over is None or self._handing_over.done()):
            self._handing_over = self._loop.create_task(self._hand_over())

    async def _hand_over(self) -> None:
        async with self.turn:
            while (offer := self._take_offer()) is not None:
                await self._follow(offer)

    async def _follow(self, offer: _Offer) -> None:
        trader = self._desk.new_trader()
        handover = Handover(self._strategy, offer.make, trader, self._claim)
        try:
            outcome = await WalledCall(handover.successor).outcome(offer.limit)
        except BaseException:  # the run is being ended
            handover.call_off()
            offer.answer(RunOver("the run ended meanwhile"))
            raise
        if outcome.value is None:
            handover.call_off()
            self._stays(offer, handover.failure(outcome, offer.limit))
            return
        self._release()
        self._strategy, self._release = outcome.value, handover.release
        self._desk.trader = trader
        trader.log.info("goes on with a new %s", type(self._strategy).__name__)
        offer.answer(None)

    def _stays(self, offer: _Offer, why: HandoverError) -> None:
        self._desk.trader.log.warning("stays with the object it has: %s", why, exc_info=why.__cause__)
        offer.answer(why)

    async def end_handover(self) -> None:
        """Take no successor from now on; who is taking over right now is stopped, the old one stays."""
        self._refuse_offers()
        if self._handing_over is not None and not self._handing_over.done():
            self._handing_over.cancel()
            await to_the_end(asyncio.wait({self._handing_over}))

    def over(self) -> None:
        """The run has ended, however it did."""
        self._refuse_offers()
        self._release()

    def _claim(self, strategy: Strategy) -> Callable[[], None]:
        """One run at a time for one object, or its callbacks would overlap; the undo lets go of it."""
        with _runs_lock:
            if id(strategy) in _runs:
                raise RuntimeError(
                    f"this {type(strategy).__name__} is running already: make one for each run"
                )
            _runs[id(strategy)] = self
        return lambda: _release(strategy)


_runs: Final[dict[int, Running]] = {}
"""By the identity of each object that plays, or is about to."""
_runs_lock: Final = threading.Lock()


def running() -> tuple[Running, ...]:
    """All runs of this process that are under way now, the oldest first. From any thread."""
    with _runs_lock:
        return tuple(sorted(set(_runs.values()), key=lambda run: run.started_at))


def _release(strategy: Strategy) -> None:
    with _runs_lock:
        del _runs[id(strategy)]
