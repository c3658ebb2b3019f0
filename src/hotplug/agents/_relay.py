"""Where the events of runs go: into the hub, and on to a sink if there is one."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from hotplug._lifecycle import name_and_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hotplug.context import UserExecutionContext
    from hotplug.events import Event, EventHub, EventSink

__all__ = ["Courier", "Relay"]

log: Final = logging.getLogger("hotplug.agents")

MOST_WAITING: Final = 10_000
LINGER: Final = 1.0  # seconds that a courier waits for more before its thread ends
PATIENCE: Final = 1.0  # seconds that a run waits, at its start and its end, until its events have arrived


class Courier:
    """
    Hands events to one *sink*, one at a time and in order, on a thread that lives while there are some.

    So a sink that takes its time, or never comes back, holds up nobody. Thread-safe.
    """

    def __init__(self, sink: EventSink) -> None:
        self.sink: Final = sink
        self.is_late = False
        """Whether somebody waited for it in vain, and it has not caught up since."""
        self._waiting: deque[Event | Callable[[], object]] = deque()
        self._changed = threading.Condition()
        self._is_at_work = False
        self._lost = 0

    @property
    def is_at_work(self) -> bool:
        """Whether its thread is there: it may be calling the sink."""
        return self._is_at_work

    def take(self, event: Event | Callable[[], object]) -> None:
        """Hand *event* on, or call it, when its turn comes; never waits for the sink."""
        with self._changed:
            self._waiting.append(event)
            self._keep_bound()
            if self._is_at_work:
                self._changed.notify()
                return
            self._is_at_work = True
        try:
            threading.Thread(target=self._work, name="hotplug sink", daemon=True).start()
        except RuntimeError:  # no more threads: the next event tries again
            self._is_at_work = False

    def drop(self) -> None:
        """Forget the events that wait."""
        with self._changed:
            rest = [each for each in self._waiting if callable(each)]
            self._waiting.clear()
            self._waiting.extend(rest)

    def _keep_bound(self) -> None:
        if len(self._waiting) > MOST_WAITING:
            self._waiting.popleft()
            self._lost += 1
            if self._lost % MOST_WAITING == 1:
                log.error("the event sink is stuck: %d events did not reach it", self._lost)

    def _work(self) -> None:
        while (each := self._next()) is not None:
            try:
                if callable(each):
                    each()
                else:
                    self.sink.publish(each)
            except BaseException as error:  # the border to the sink: nobody suffers from it
                log.warning("the event sink raised: %s", name_and_text(error), exc_info=error)

    def _next(self) -> Event | Callable[[], object] | None:
        with self._changed:
            if not self._waiting:
                self.is_late = False
                self._changed.wait_for(lambda: self._waiting, LINGER)
            if self._waiting:
                return self._waiting.popleft()
            self._is_at_work = False
            return None


class Relay:
    """
    Puts events into *hub*, and has them handed to the sink one at a time, in the hub's order. Thread-safe.

    `put` never calls the sink, nor waits for it.
    """

    def __init__(self, hub: EventHub) -> None:
        self.hub = hub
        self._lock = threading.RLock()  # reentrant, for finalizers that emit
        self._courier: Courier | None = None
        self._former: list[Courier] = []

    def attach(self, sink: EventSink | None) -> None:
        """
        Hand events to *sink* from now on, and those from before to the former one; None to nobody.

        Each event goes to the one that is attached when it happens. None drops what has not arrived yet.
        """
        publish = getattr(sink, "publish", None)
        if sink is not None and (not callable(publish) or inspect.iscoroutinefunction(publish)):
            raise TypeError(f"an EventSink has a sync method publish(event); {type(sink).__name__} has none")
        with self._lock:
            before = self._courier
            if before is not None and sink is before.sink:
                return
            if before is not None:
                self._former.append(before)
            self._former = [each for each in self._former if each.is_at_work]
            self._courier = None if sink is None else self._courier_to(sink)
        if before is not None and sink is None:
            before.drop()

    def _courier_to(self, sink: EventSink) -> Courier:
        """Who is still on the way to *sink* goes on: it is never called twice at once."""
        return next((each for each in self._former if each.sink is sink), None) or Courier(sink)

    def put(self, context: UserExecutionContext, type_: str, payload: Mapping[str, Any]) -> str:
        """Tell the hub, and have the sink told; the event's cursor."""
        with self._lock:
            if self._courier is None:
                return self.hub.emit(context, type_, payload)
            event = self.hub.emit_event(context, type_, payload)
            self._courier.take(event)
            return event.cursor

    async def arrived(self) -> None:
        """Wait until the sink has what was put so far; a moment at most, and not for one known to be late."""
        courier = self._courier
        if courier is None or courier.is_late:
            return
        loop = asyncio.get_running_loop()
        told = asyncio.Event()

        def tell() -> None:
            with contextlib.suppress(RuntimeError):  # its loop is closed: nobody waits any more
                loop.call_soon_threadsafe(told.set)

        courier.take(tell)
        try:
            async with asyncio.timeout(PATIENCE):
                await told.wait()
        except TimeoutError:
            courier.is_late = True
            log.warning("the event sink is slow: runs do not wait for it any more until it has caught up")
