"""Calls as they reach a venue, and what the script does to each."""

from __future__ import annotations

import asyncio
import functools
from collections import Counter
from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - a record's annotations can be read
from typing import TYPE_CHECKING, Any, Final

from hotplug.errors import RateLimited
from hotplug_broker_mock._clock import on_loop
from hotplug_broker_mock._rules import Rule, Standing, draw

if TYPE_CHECKING:
    from collections.abc import Callable

    from hotplug_broker_mock._clock import Clock
    from hotplug_broker_mock._habits import Habits
    from hotplug_broker_mock._line import Line, Link

__all__ = ["Call", "Desk", "Fate"]

MUTATING: Final = frozenset({"place", "cancel", "modify"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """
    One call that a gateway made, and when.

    *attempt* counts the calls of this name (for this order, where it is about one). *payload* is what was
    asked: an ``Order``, an ``(Order, OrderChange)``, an ``OrderRef``, symbols, or nothing.
    """

    number: int
    name: str
    time: datetime
    session: int
    payload: Any = None
    client_order_id: str | None = None
    symbol: str | None = None
    attempt: int = 1

    @property
    def key(self) -> str:
        """What chance goes by: whatever else goes on at the same time changes no order's luck."""
        return f"{self.name} {self.client_order_id or ''} {self.attempt}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What becomes of a call."""

    rule: Rule
    latency: float
    answer_latency: float
    make_error: Callable[[], BaseException]

    @property
    def is_plain(self) -> bool:
        """Answered at once."""
        return self.rule.then == "answer" and self.latency <= 0 and self.answer_latency <= 0


class Desk:
    """
    Takes calls in: keeps them, finds each its fate, and lets it come true.

    What a call does at the venue is done when it gets there, whether or not its caller still waits.
    Thread-safe: everything happens in turns of the *line*.
    """

    def __init__(self, habits: Habits, line: Line, clock: Clock, seed: str) -> None:
        self.violations = 0
        self.received: Final[list[Call]] = []
        self.rules: Final[list[Standing]] = []
        self._habits: Final = habits
        self._line: Final = line
        self._clock: Final = clock
        self._seed: Final = seed
        self._within: Final[list[datetime]] = []
        self._hanging: Final[list[Callable[[], None]]] = []
        self._attempts: Final[Counter[tuple[str, str | None]]] = Counter()
        self._awaited: Final[list[tuple[str, int, asyncio.Future[None]]]] = []

    async def call(
        self,
        link: Link,
        name: str,
        act: Callable[[Fate], Any],
        payload: object = None,
        client_order_id: str | None = None,
        symbol: str | None = None,
    ) -> Any:
        """Make a call over *link*; *act* is what the venue does for it, in a turn."""
        with self._line.turn():
            fate = self._arrive(link, name, payload, client_order_id, symbol)
        if fate.is_plain:
            with self._line.turn():
                return self._act(name, fate, act)
        return await link.wait(lambda future: self._go(link, name, fate, act, future))

    def resume(self) -> None:
        """Let the calls that hang have their answers; in no turn."""
        with self._line.lock:
            hanging = list(self._hanging)
            self._hanging.clear()
        for answer in hanging:
            answer()

    def calls(self, name: str) -> tuple[Call, ...]:
        """The calls of one name so far."""
        return tuple(call for call in tuple(self.received) if call.name == name)

    async def wait_for(self, name: str, count: int, deadline: float) -> None:
        """Wait until *count* calls of *name* have come; `TimeoutError`."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._line.lock:
            self._awaited.append((name, count, future))
            self._tell_who_waits()
        async with asyncio.timeout(deadline):
            await future

    @property
    def hanging(self) -> int:
        """How many calls hang."""
        return len(self._hanging)

    def _arrive(
        self, link: Link, name: str, payload: object, client_order_id: str | None, symbol: str | None
    ) -> Fate:
        call = Call(
            number=len(self.received),
            name=name,
            time=self._clock.now(),
            session=link.number,
            payload=payload,
            client_order_id=client_order_id,
            symbol=symbol,
            attempt=self._attempts[name, client_order_id] + 1,
        )
        self.received.append(call)
        self._attempts[name, client_order_id] += 1
        self._tell_who_waits()
        standing = next((each for each in self.rules if _holds(each, call)), _PLAIN)
        rule = standing.rule
        assert isinstance(rule, Rule)  # noqa: S101 - a desk keeps no others
        key = f"{self._seed}/{call.key}"
        return Fate(
            rule=rule,
            latency=draw(self._habits.latency, f"{key}/latency") + draw(rule.latency, f"{key}/rule"),
            answer_latency=draw(rule.answer_latency, f"{key}/answer"),
            make_error=standing.error or rule.make_error,
        )

    def _tell_who_waits(self) -> None:
        for wanted in tuple(self._awaited):
            name, count, future = wanted
            if len(self.calls(name)) >= count:
                self._awaited.remove(wanted)
                on_loop(future.get_loop(), functools.partial(_wake, future))

    def _act(self, name: str, fate: Fate, act: Callable[[Fate], Any]) -> Any:
        if name not in MUTATING:
            return act(fate)
        self._count()
        return act(fate) if fate.rule.accepts else None

    def _count(self) -> None:
        limit = self._habits.max_calls
        if limit is None:
            return
        now, per = self._clock.now(), self._habits.per
        recent = [time for time in self._within if (now - time).total_seconds() < per]
        if len(recent) >= limit:
            self.violations += 1
            left = per - (now - recent[0]).total_seconds()
            raise RateLimited(f"more than {limit} calls in {per} s", retry_after=left, venue_code="429")
        self._within[:] = [*recent, now]

    def _go(
        self,
        link: Link,
        name: str,
        fate: Fate,
        act: Callable[[Fate], Any],
        future: asyncio.Future[Any],
    ) -> None:
        def reach() -> None:
            value, error = self._attempt(name, fate, act)
            if fate.answer_latency > 0:
                self._clock.call_later(fate.answer_latency, lambda: finish(value, error), link.loop)
            else:
                finish(value, error)

        def finish(value: object, error: BaseException | None) -> None:
            then = fate.rule.then
            if then == "hang":
                with self._line.lock:
                    self._hanging.append(lambda: link.settle(future, value, error))
            elif then == "drop":
                with self._line.turn():
                    if link in self._line.links:
                        self._line.break_off([link], fate.rule.message, silent=False)
                link.settle(future, None, ConnectionResetError(fate.rule.message))
            elif then == "error":
                link.settle(future, None, fate.make_error())
            else:
                link.settle(future, value, error)

        if fate.latency > 0:
            self._clock.call_later(fate.latency, reach, link.loop)
        else:
            reach()

    def _attempt(
        self, name: str, fate: Fate, act: Callable[[Fate], Any]
    ) -> tuple[object, BaseException | None]:
        if fate.rule.then != "answer" and not fate.rule.accepts:
            return None, TimeoutError("the venue never looked at it")
        try:
            with self._line.turn():
                return self._act(name, fate, act), None
        except Exception as error:  # noqa: BLE001 - the answer of the call; raised where it is awaited
            return None, error


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _holds(standing: Standing, call: Call) -> bool:
    rule = standing.rule
    return (
        isinstance(rule, Rule)
        and rule.on in ("*", call.name)
        and standing.takes(call, call.key, call.client_order_id, call.symbol)
    )


_PLAIN: Final = Standing(Rule(on="*", times=None), "")
