"""The line between a venue and its gateways: sessions, and reports that arrive as the script has it."""

from __future__ import annotations

import random
import threading
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from hotplug.errors import BrokerUnavailable
from hotplug.market import ConnectionLost, Fill, Heartbeat, Order, OrderUpdate, Quote, RateLimitSeen
from hotplug_broker_mock._clock import on_loop
from hotplug_broker_mock._rules import ReportRule, Standing, draw

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Generator, Iterable

    from hotplug_broker_mock._clock import Clock

__all__ = ["Line", "Link", "ReleaseOrder", "kind_of"]

ReleaseOrder: TypeAlias = Literal["sent", "reversed", "shuffled"]

_KINDS: Final[dict[type, str]] = {
    Order: "order",
    OrderUpdate: "order",
    Fill: "fill",
    Quote: "quote",
    Heartbeat: "heartbeat",
    RateLimitSeen: "limit",
}


def kind_of(payload: object) -> str:
    """What a `ReportRule` calls such a report."""
    return _KINDS.get(type(payload), "other")


class Link:
    """One session as the line sees it: whom reports go to, on which loop, and which calls wait."""

    def __init__(self, number: int, report: Callable[[Any], None], loop: asyncio.AbstractEventLoop) -> None:
        self.number: Final = number
        self.report: Final = report
        self.loop: Final = loop
        self.symbols: frozenset[str] = frozenset()
        self.ended: str | None = "it was never opened"
        self._waiting: Final[set[asyncio.Future[Any]]] = set()

    async def wait(self, begin: Callable[[asyncio.Future[Any]], None]) -> Any:
        """
        Give *begin* a future, and wait for it; the end of the session ends it as well.

        Who is cancelled here waits no more; what *begin* set going goes on.
        """
        future = self.loop.create_future()
        self._waiting.add(future)
        try:
            begin(future)
            return await future
        finally:
            self._waiting.discard(future)

    def settle(self, future: asyncio.Future[Any], value: object, error: BaseException | None) -> None:
        """Let *future* end, from any thread; if it has ended, nothing happens."""
        on_loop(self.loop, lambda: _settle(future, value, error))

    def end(self, reason: str) -> None:
        """No more calls, and those under way break; from any thread."""
        self.ended = reason
        on_loop(self.loop, lambda: self._break(reason))

    def require(self) -> None:
        """`BrokerUnavailable`, NOT_SENT, unless the session is open."""
        if self.ended is not None:
            raise BrokerUnavailable(f"no session at the venue: {self.ended}", outcome="NOT_SENT")

    def _break(self, reason: str) -> None:
        for future in tuple(self._waiting):
            _settle(future, None, ConnectionResetError(reason))


def _settle(future: asyncio.Future[Any], value: object, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)


class Line:
    """
    Delivers reports to every open session, in order, but for what rules say. Thread-safe.

    Whoever changes the venue does so in a `turn`: what is posted meanwhile is delivered at its end,
    when no lock is held.
    """

    def __init__(self, clock: Clock, seed: str) -> None:
        self.lock: Final = threading.Lock()
        self.links: Final[list[Link]] = []
        self.rules: Final[list[Standing]] = []
        self.sent: Final[list[object]] = []
        self.lost = 0
        self.muted = False
        self.holding = False
        self._clock: Final = clock
        self._seed: Final = seed
        self._held: Final[list[object]] = []
        self._outbox: Final[deque[tuple[Link, object]]] = deque()
        self._delivering = False

    @contextmanager
    def turn(self) -> Generator[None]:
        """Hold the venue's lock; deliver what was posted when it is released."""
        try:
            with self.lock:
                yield
        finally:
            self._deliver()

    # -- in a turn -----------------------------------------------------------------------------------

    def post(self, payload: object, client_order_id: str | None = None) -> None:
        """Send *payload* to all sessions, as the rules have it."""
        self.sent.append(payload)
        number = len(self.sent)
        rule = self._rule_for(payload, f"report {number}", client_order_id)
        if rule.lose:
            self.lost += 1
            return
        for copy in range(rule.copies):
            seconds = draw(rule.late, f"{self._seed}/late {number}/{copy}")
            if seconds > 0:
                self._post_later(seconds, payload)
            else:
                self.repeat(payload)

    def repeat(self, payload: object) -> None:
        """Send *payload* to all sessions: no rule is asked."""
        if self.holding:
            self._held.append(payload)
        elif self.muted or not self.links:
            self.lost += 1
        else:
            self._outbox.extend((link, payload) for link in self.links if _is_for(link, payload))

    def post_to(self, link: Link, payload: object) -> None:
        """Send *payload* to one session, unless the line is mute."""
        if not self.muted:
            self._outbox.append((link, payload))

    def release(self, order: ReleaseOrder) -> None:
        """Send what was held, and hold no more."""
        held = list(self._held)
        self._held.clear()
        self.holding = False
        if order == "reversed":
            held.reverse()
        elif order == "shuffled":
            random.Random(f"{self._seed}/release {len(self.sent)}").shuffle(held)  # noqa: S311
        for payload in held:
            self.repeat(payload)

    def break_off(self, links: Iterable[Link], reason: str, *, silent: bool) -> None:
        """End sessions; unless *silent*, their gateways are told."""
        for link in tuple(links):
            self.links.remove(link)
            link.end(reason)
            if not silent:
                self._outbox.append((link, ConnectionLost(reason=reason)))

    def _rule_for(self, payload: object, key: str, client_order_id: str | None) -> ReportRule:
        kind = kind_of(payload)
        for standing in self.rules:
            rule = standing.rule
            if (
                isinstance(rule, ReportRule)
                and rule.kind in ("*", kind)
                and standing.takes(payload, key, client_order_id, None)
            ):
                return rule
        return _AS_IT_IS

    def _post_later(self, seconds: float, payload: object) -> None:
        def arrive() -> None:
            with self.turn():
                self.repeat(payload)

        if self.links:
            self._clock.call_later(seconds, arrive, self.links[0].loop)
        else:
            self.lost += 1

    # -- outside -------------------------------------------------------------------------------------

    def _deliver(self) -> None:
        while (batch := self._take()) is not None:
            try:
                for link, payload in batch:
                    link.report(payload)
            finally:
                self._delivering = False

    def _take(self) -> list[tuple[Link, object]] | None:
        # One at a time delivers: two threads would mix up the order.
        with self.lock:
            if self._delivering or not self._outbox:
                return None
            self._delivering = True
            batch = list(self._outbox)
            self._outbox.clear()
            return batch


_AS_IT_IS: Final = ReportRule(times=None)


def _is_for(link: Link, payload: object) -> bool:
    return not isinstance(payload, Quote) or payload.symbol in link.symbols
