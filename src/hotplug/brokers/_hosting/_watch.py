"""The watch over gateways: whether their loop turns, and how those are that do not say so by themselves."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from hotplug._lifecycle import WalledCall, name_and_text
from hotplug.brokers._hosting._blame import blocking
from hotplug.brokers._hosting._reports import report_of
from hotplug.market import GatewayStatus, HealthReport, HealthState, StatusChange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from hotplug.brokers._contract import BrokerInfo, IBrokerGateway
    from hotplug.brokers._hosting._news import StatusNews

__all__ = ["LAG_LIMIT", "LoopWatch", "Polls"]

_log = logging.getLogger("hotplug.brokers")

TICK: Final = 0.1  # seconds between two looks
LAG_LIMIT: Final = 1.0  # seconds that a loop may take to come round
ASKING_LIMIT: Final = 5.0  # seconds that a gateway has to say how it is
FIRST_ANSWER: Final = 2.0  # seconds for which a gateway that was never asked before is believed unasked
PAUSES: Final = (0.25, 5.0)  # seconds between two questions: the shortest, the longest
LONGEST_PAUSE: Final = 30.0  # seconds between two questions to one that does not answer
_SEVERITY: Final = (HealthState.HEALTHY, HealthState.UNKNOWN, HealthState.DEGRADED, HealthState.UNHEALTHY)
_IDLE: Final = frozenset({GatewayStatus.CREATED, GatewayStatus.DISCONNECTED})


class LoopWatch:
    """
    A daemon thread that sees whether *loop* turns, and calls *look* at each tick; *beat* runs on the loop.

    `is_late` says, from any thread and at once, that the loop has not come round for `LAG_LIMIT` seconds.
    Who blocks it is named in the log, as *plugins* (top-level module to owner) has it.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        look: Callable[[], object],
        beat: Callable[[], object],
        plugins: Callable[[], Mapping[str, str]],
    ) -> None:
        self._loop: Final = loop
        self._look: Final = look
        self._beat: Final = beat
        self._plugins: Final = plugins
        self._asked: float | None = None
        self._home: int | None = None
        self._told = False
        self._ending: Final = threading.Event()
        self._thread: Final = threading.Thread(target=self._run, name="hotplug broker watch", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no more; returns when the thread has ended."""
        self._ending.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    @property
    def is_late(self) -> bool:
        """Whether the loop owes an answer for longer than it may."""
        asked = self._asked
        return asked is not None and time.monotonic() - asked > LAG_LIMIT

    def _run(self) -> None:
        while not self._ending.wait(TICK):
            try:
                self._look()
            except Exception:  # noqa: BLE001 - it concerns files and listeners; the next may go well
                _log.exception("looking after brokers failed")
            self._see_it_turn()

    def _see_it_turn(self) -> None:
        if self._asked is None:
            if self._loop.is_running():
                self._ask()
        elif self.is_late and not self._told:
            self._told = True
            # Until it has answered once, asyncio's own note says which thread it runs in.
            thread = self._home or getattr(self._loop, "_thread_id", None)
            who = blocking(thread, self._plugins())
            _log.error("the loop of the brokers has not turned for %g s: blocked by %s", LAG_LIMIT, who)

    def _ask(self) -> None:
        self._asked = time.monotonic()
        try:
            self._loop.call_soon_threadsafe(self._answer)
        except RuntimeError:  # closed between the two lines
            self._asked = None

    def _answer(self) -> None:
        self._home = threading.get_ident()
        asked, self._asked = self._asked, None
        if self._told and asked is not None:
            self._told = False
            _log.warning("the loop of the brokers turns again, after %.1f s", time.monotonic() - asked)
        if not self._ending.is_set():
            self._beat()


class _Poll:
    """One gateway that is asked how it is."""

    def __init__(self, gateway: IBrokerGateway, status: GatewayStatus) -> None:
        self.gateway: Final = gateway
        self.status = status
        self.task: asyncio.Task[None] | None = None
        self.began = 0.0
        self.report: HealthReport | None = None
        self.at = 0.0
        self.due = 0.0
        self.pause = PAUSES[0]


class Polls:
    """
    Asks gateways that are not built on the template how they are, each in a task of its own.

    `look` runs on the home loop; one gateway that hangs delays no other. `health_of` may be asked anywhere.
    """

    def __init__(self, news: StatusNews) -> None:
        self._news: Final = news
        self._polls: dict[int, _Poll] = {}

    def look(self, gateways: Iterable[tuple[str, IBrokerGateway]]) -> None:
        """Ask those of *gateways* whose time has come, and tell whose status has changed."""
        now = time.monotonic()
        polls: dict[int, _Poll] = {}
        for key, gateway in gateways:
            status = report_of(gateway).status
            poll = self._polls.get(id(gateway)) or _Poll(gateway, status)
            polls[id(gateway)] = poll
            if status is not poll.status:
                change = StatusChange(old=poll.status, new=status)
                poll.status = status
                self._news.tell(key, change)
            if status in _IDLE:
                poll.began, poll.report, poll.due = 0.0, None, 0.0
            elif poll.task is None and now >= poll.due:
                poll.began = poll.began or now
                poll.task = asyncio.get_running_loop().create_task(self._ask(poll))
        self._polls = polls

    async def _ask(self, poll: _Poll) -> None:
        try:
            call = WalledCall(lambda: poll.gateway.health(deadline=ASKING_LIMIT), grace=TICK)
            outcome = await call.outcome(ASKING_LIMIT)
            if outcome.state == "done" and isinstance(outcome.value, HealthReport):
                self._answered(poll, outcome.value)
            elif outcome.state == "timed out":
                poll.pause = min(poll.pause * 2, LONGEST_PAUSE)
            else:
                said = outcome.error if outcome.error is not None else TypeError("no HealthReport")
                _log.warning("health of %s: %s", report_of(poll.gateway).broker_id, name_and_text(said))
                self._answered(poll, _unhealthy())
        finally:
            poll.due = time.monotonic() + poll.pause
            poll.task = None

    def _answered(self, poll: _Poll, report: HealthReport) -> None:
        shortest, longest = PAUSES
        poll.report, poll.at = report, time.monotonic()
        poll.pause = min(max(report.max_age / 3, shortest), longest)

    def health_of(self, gateway: IBrokerGateway, info: BrokerInfo) -> HealthState:
        """How *gateway* is, by its *info* and by what it answered when it was asked."""
        poll = self._polls.get(id(gateway))
        if poll is None or poll.gateway is not gateway or not poll.began:
            return info.health
        now = time.monotonic()
        report = poll.report
        if report is None:
            return info.health if now - poll.began < FIRST_ANSWER else HealthState.UNKNOWN
        if now - poll.at > report.max_age:
            return HealthState.UNKNOWN
        return max(info.health, report.status, key=_SEVERITY.index)

    def stop(self) -> None:
        """Ask nobody any more; on the home loop."""
        for poll in self._polls.values():
            if poll.task is not None:
                poll.task.cancel()
        self._polls = {}


def _unhealthy() -> HealthReport:
    return HealthReport(status=HealthState.UNHEALTHY, checked_at=datetime.now(UTC), max_age=LONGEST_PAUSE)
