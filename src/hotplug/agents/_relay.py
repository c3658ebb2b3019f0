"""Where the events of runs go: into the hub, and on to a sink if there is one."""

from __future__ import annotations

import inspect
import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from hotplug._lifecycle import name_and_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplug.context import UserExecutionContext
    from hotplug.events import Event, EventHub, EventSink

__all__ = ["Relay"]

log: Final = logging.getLogger("hotplug.agents")

MOST_WAITING: Final = 10_000


class Relay:
    """
    Puts events into *hub*, and hands them to the sink one at a time, in the hub's order. Thread-safe.

    `put` never calls the sink, so it may be called under a lock; `deliver`, called later without one, does.
    """

    def __init__(self, hub: EventHub) -> None:
        self.hub = hub
        self._sink: EventSink | None = None
        self._lock = threading.Lock()
        self._waiting: deque[tuple[EventSink, Event]] = deque()
        self._delivering = False
        self._lost = 0

    def attach(self, sink: EventSink | None) -> None:
        """Hand events to *sink* from now on; None to nobody. What waits for the former one is dropped."""
        publish = getattr(sink, "publish", None)
        if sink is not None and (not callable(publish) or inspect.iscoroutinefunction(publish)):
            raise TypeError(f"an EventSink has a sync method publish(event); {type(sink).__name__} has none")
        with self._lock:
            self._sink = sink
            self._waiting.clear()

    def put(self, context: UserExecutionContext, type_: str, payload: Mapping[str, Any]) -> str:
        """Tell the hub, and note the event for the sink; the event's cursor."""
        nobody = self._sink is None
        if nobody:
            return self.hub.emit(context, type_, payload)
        with self._lock:
            event = self.hub.emit_event(context, type_, payload)
            if self._sink is not None:
                self._waiting.append((self._sink, event))
                self._keep_bound()
            return event.cursor

    def deliver(self) -> None:
        """Hand on what waits, unless another thread is about to."""
        while (next_one := self._take()) is not None:
            sink, event = next_one
            try:
                sink.publish(event)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # the border to the sink: a run does not suffer from it
                log.warning(
                    "the event sink raised on %s: %s", event.type, name_and_text(error), exc_info=True
                )
            finally:
                self._delivering = False

    def _take(self) -> tuple[EventSink, Event] | None:
        with self._lock:
            if self._delivering or not self._waiting:
                return None
            self._delivering = True
            return self._waiting.popleft()

    def _keep_bound(self) -> None:
        if len(self._waiting) > MOST_WAITING:
            self._waiting.popleft()
            self._lost += 1
            if self._lost % MOST_WAITING == 1:
                log.error("the event sink is stuck: %d events did not reach it", self._lost)
