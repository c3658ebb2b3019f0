"""
How services are: each is asked again and again, in a task of its own, and what it answered is kept.

    every beat, on the loop that they live on:   whose time has come? ──▶ ask, within the deadline ──▶ keep
    any thread, at any time:                     what was kept, and how old it is; or that nobody knows
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Generator
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast, get_args

from hotplug._lifecycle import WalledCall, name_and_text
from hotplug._records import FrozenDict, Health, HealthStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence

    from hotplug._lifecycle import Outcome
    from hotplug.services._base import Service

__all__ = ["BLOCKED", "Checks", "DEADLINE", "Steps", "sound"]

_log = logging.getLogger("hotplug.services")

INTERVAL: Final = 5.0  # seconds between an answer and the next question
DEADLINE: Final = 5.0  # seconds that a service has to answer
BEAT: Final = 0.25  # seconds between two looks at whose time has come
LAG: Final = 2.0  # seconds that the loop may owe a beat before nothing is believed any more
BLOCKED: Final = 1.0  # seconds for which one question may keep the loop for itself
GRACE: Final = 1.0  # seconds that a question has to end once nobody waits for the answer
REST: Final = 10  # times as long as it did so, a service is left alone afterwards
MOST: Final = 20  # issues of one answer that are kept
LONGEST: Final = 500  # characters of each


class _Asked:
    """One service that is asked, and what is known of it. Changes on one loop; *health* is read anywhere."""

    def __init__(self, name: str, service: Service) -> None:
        self.name: Final = name
        self.service: Final = service
        self.health = Health("unknown")
        self.due = 0.0
        self._since: datetime | None = None
        self._last_error: dict[str, object] = {}

    def answered(self, health: Health) -> None:
        """Keep *health*, and since when it is so, and what was wrong last."""
        before, now = self.health.status, datetime.now(UTC)
        if health.status != before:
            self._since = now
            self._tell(before, health)
        if health.status != "healthy":
            self._last_error = {"last_error": "; ".join(health.issues), "last_error_at": now}
        facts = {**health.details, "since": self._since, **self._last_error}
        self.health = replace(health, checked_at=now, details=FrozenDict(facts))

    def _tell(self, before: HealthStatus, health: Health) -> None:
        if health.status == "healthy":
            if before != "unknown":
                _log.info("service %s is healthy again", self.name)
        else:
            _log.warning("service %s is %s: %s", self.name, health.status, "; ".join(health.issues))


class Steps(Generator[Any, Any, Health]):
    """Awaits what *make* gives, and knows for how long that kept the loop for itself, at the longest."""

    def __init__(self, make: Callable[[], Coroutine[Any, Any, Health]]) -> None:
        self._make: Final = make
        self._work: Coroutine[Any, Any, Health] | None = None
        self.longest = 0.0

    def __await__(self) -> Steps:
        self._work = self._make()
        return self

    def send(self, value: Any) -> Any:
        return self._timed("send", value)

    def throw(self, *error: Any) -> Any:
        return self._timed("throw", *error)

    def _timed(self, verb: str, *what: Any) -> Any:
        began = time.monotonic()
        try:
            return getattr(self._work, verb)(*what)
        finally:
            self.longest = max(self.longest, time.monotonic() - began)


class Checks:
    """
    Asks services how they are. One that hangs, raises, lies or blocks the loop delays nobody who looks.

    `let_go` and `end` belong on the loop that the services live on; the rest may be called anywhere.
    """

    def __init__(self) -> None:
        self.interval: float = INTERVAL
        self.deadline: float = DEADLINE
        self._known: dict[str, _Asked] = {}
        self._asking: Final[dict[int, asyncio.Task[None]]] = {}
        self._inside: Final[dict[int, str]] = {}
        self._discreet: Callable[[str, str], str]
        self.is_on: bool = False
        """Whether it asks anybody."""
        self._beating: asyncio.Task[None] | None = None
        self._turned = 0.0

    # -- what is known -----------------------------------------------------------------------------

    @property
    def late(self) -> float:
        """For how many seconds the loop has not turned; 0 where it does, or where nobody is asked."""
        if not self.is_on:
            return 0.0
        lag = time.monotonic() - self._turned - BEAT
        return lag if lag > LAG else 0.0

    @property
    def inside(self) -> tuple[str, ...]:
        """Whose answer is waited for."""
        return tuple(sorted(self._inside.copy().values()))

    def now(self, late: float) -> dict[str, Health]:
        """What each answered last: ``unknown`` before its first answer, and where the loop is *late*."""
        known = {name: asked.health for name, asked in self._known.items()}
        if late:
            return {name: replace(health, status="unknown", issues=()) for name, health in known.items()}
        return known

    # -- asking ------------------------------------------------------------------------------------

    def begin(
        self,
        loop: asyncio.AbstractEventLoop,
        who: Callable[[], Iterable[tuple[str, Service]]],
        discreet: Callable[[str, str], str],
    ) -> None:
        """
        Ask those that *who* names, on *loop*, until `end`; does not wait for that loop.

        *discreet* takes out of a text what may not be told of the service of a name.
        """
        self._discreet, self._turned, self.is_on = discreet, time.monotonic(), True
        loop.call_soon_threadsafe(self._start, loop, who)

    def _start(
        self, loop: asyncio.AbstractEventLoop, who: Callable[[], Iterable[tuple[str, Service]]]
    ) -> None:
        if self.is_on:
            self._beating = loop.create_task(self._beat(who), name="hotplug health")

    async def _beat(self, who: Callable[[], Iterable[tuple[str, Service]]]) -> None:
        while True:
            self._turned = time.monotonic()
            self._look(who())
            await asyncio.sleep(BEAT)

    def _look(self, who: Iterable[tuple[str, Service]]) -> None:
        """Ask those whose time has come, and forget those that are gone."""
        known: dict[str, _Asked] = {}
        for name, service in who:
            before = self._known.get(name)
            known[name] = _Asked(name, service) if before is None or before.service is not service else before
        self._known = known
        for asked in known.values():
            if self._turned >= asked.due and not self._is_asked(asked.service):
                task = asyncio.get_running_loop().create_task(self._ask(asked))
                self._asking[id(asked.service)] = task

    def _is_asked(self, service: Service) -> bool:
        """Whether a question is under way, or one that nobody waits for any more has not come back."""
        return id(service) in self._asking or id(service) in self._inside

    async def _ask(self, asked: _Asked) -> None:
        deadline, steps = self.deadline, Steps(lambda: self._question(asked))
        try:
            outcome = await WalledCall(lambda: steps, grace=GRACE).outcome(deadline)
            health = self._health_of(asked.name, outcome, deadline)
            pause = self.interval
            if steps.longest > BLOCKED:
                health, pause = _inconsiderate(health, steps.longest), max(pause, steps.longest * REST)
            asked.answered(health)
            asked.due = time.monotonic() + pause
        finally:
            del self._asking[id(asked.service)]

    async def _question(self, asked: _Asked) -> Health:
        """The border to plugin code: whatever comes back, a `Health` goes on."""
        self._inside[id(asked.service)] = asked.name
        try:
            return sound(await asked.service.health())
        except KeyboardInterrupt as error:
            # Ctrl-C comes to the main thread; elsewhere a plugin raised it, and it would end the loop.
            if threading.current_thread() is threading.main_thread():
                raise
            raise InterruptedError("KeyboardInterrupt") from error
        finally:
            del self._inside[id(asked.service)]

    def _health_of(self, name: str, outcome: Outcome[Health], deadline: float) -> Health:
        if outcome.state == "done" and outcome.value is not None:
            return outcome.value
        if outcome.state == "timed out":
            why = f"health() did not answer within {deadline:g} s"
            return _bad(f"{why}, and does not end" if outcome.left_behind else why)
        return _bad(self._discreet(name, f"health() raised {name_and_text(outcome.error)}"))

    # -- ending ------------------------------------------------------------------------------------

    async def let_go(self, service: object) -> None:
        """Ask *service* no more, as far as that is up to us: it is about to be stopped."""
        await _ended(task for key, task in self._asking.items() if key == id(service))

    async def end(self) -> None:
        """Ask nobody any more, and know nothing."""
        self.is_on = False
        beating, self._beating = self._beating, None
        if beating is not None:
            await _ended([beating])
        await _ended(self._asking.values())
        self._known = {}


async def _ended(tasks: Iterable[asyncio.Task[None]]) -> None:
    here = asyncio.get_running_loop()
    # A loop that its application closed without a word has ended its tasks itself.
    ending = {task for task in tasks if task.get_loop() is here}
    for task in ending:
        task.cancel()
    if ending:
        await asyncio.wait(ending)


def sound(answer: object) -> Health:
    """*answer* as it can be kept and shown; `TypeError` or `ValueError` for one that is none."""
    if not isinstance(answer, Health):
        raise TypeError(f"it gave a {type(answer).__name__}, not a Health")
    status, issues = answer.status, cast("object", answer.issues)
    if status not in get_args(HealthStatus) or not isinstance(issues, (tuple, list)):
        raise ValueError(f"it gave a Health that makes no sense: {status!r}, {issues!r}"[:LONGEST])
    texts = tuple(str(issue)[:LONGEST] for issue in cast("Sequence[object]", issues)[:MOST])
    if not texts and status != "healthy":
        texts = (status,)
    return Health(status, texts, None, dict(answer.details))


def _bad(why: str) -> Health:
    return Health("unhealthy", (why[:LONGEST],))


def _inconsiderate(health: Health, seconds: float) -> Health:
    """*health*, of one that blocked everybody meanwhile."""
    why = f"health() kept the event loop for itself, for {seconds:.1f} s: it must await, or use a thread"
    status: HealthStatus = "unhealthy" if health.status == "unhealthy" else "degraded"
    return replace(health, status=status, issues=(*health.issues, why))
