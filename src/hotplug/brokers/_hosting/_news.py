"""Who is told when a gateway changes its status: one after the other, in order, under no lock."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Final, TypeAlias

from hotplug._lifecycle import name_and_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from hotplug.market import StatusChange
    from hotplug.registry import Undo

__all__ = ["StatusListener", "StatusNews"]

StatusListener: TypeAlias = "Callable[[str, StatusChange], None]"
_log = logging.getLogger("hotplug.brokers")


class _Listening:
    """One subscription; the same callable may be subscribed twice, and each is undone by itself."""

    def __init__(self, hear: StatusListener) -> None:
        self.hear: Final = hear


class StatusNews:
    """Tells listeners, in the thread of who made a change. Thread-safe."""

    def __init__(self) -> None:
        self._guard: Final = threading.Lock()
        self._telling: Final = threading.Lock()
        self._untold: Final[deque[tuple[str, StatusChange]]] = deque()
        self._listening: tuple[_Listening, ...] = ()

    def subscribe(self, listener: StatusListener) -> Undo:
        """Tell *listener* from now on, until the undo."""
        added = _Listening(listener)
        with self._guard:
            self._listening += (added,)

        def undo() -> None:
            with self._guard:
                self._listening = tuple(each for each in self._listening if each is not added)

        return undo

    def tell(self, key: str, change: StatusChange) -> None:
        """Tell that the gateway under *key* changed; what a listener raises is logged."""
        self._untold.append((key, change))
        # Who finds another thread telling (or a caller further up this one) leaves it to that one.
        while self._untold and self._telling.acquire(blocking=False):
            try:
                while self._untold:
                    self._tell(*self._untold.popleft())
            finally:
                self._telling.release()

    def _tell(self, key: str, change: StatusChange) -> None:
        for each in self._listening:
            try:
                each.hear(key, change)
            except Exception as error:  # noqa: BLE001 - border to the application's code
                _log.error("a listener of brokers raised %s", name_and_text(error), exc_info=error)
