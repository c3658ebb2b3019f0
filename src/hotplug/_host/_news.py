"""Who is told of changes: one after the other, in order, under no lock."""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from hotplug._lifecycle import name_and_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from hotplug._records import Changes
    from hotplug.registry import Undo

__all__ = ["News", "joined"]

_log = logging.getLogger("hotplug.host")


def joined(one: Changes, other: Changes) -> Changes:
    """Both, as one after the other."""
    touched = {*other.added, *other.changed, *other.removed, *other.failed}
    return replace(
        one,
        added=(*one.added, *other.added),
        changed=tuple(dict.fromkeys((*one.changed, *other.changed))),
        removed=(*one.removed, *other.removed),
        unchanged=tuple(name for name in (*one.unchanged, *other.unchanged) if name not in touched),
        failed=tuple(dict.fromkeys((*one.failed, *other.failed))),
    )


class _Listener:
    """One subscription; the same callable may be subscribed twice, and each is undone by itself."""

    def __init__(self, hear: Callable[[Changes], None]) -> None:
        self.hear: Final = hear


class News:
    """Changes that happened and are to be told. *also* hears them after the listeners. Thread-safe."""

    def __init__(self, also: Callable[[Changes], None]) -> None:
        self._also = also
        self._listeners: tuple[_Listener, ...] = ()
        self._listening: Final = threading.Lock()
        self._untold: Final[deque[Changes]] = deque()
        self._telling: Final = threading.Lock()

    def subscribe(self, listener: Callable[[Changes], None]) -> Undo:
        """Tell *listener* from now on, until the undo."""
        added = _Listener(listener)
        with self._listening:
            self._listeners += (added,)

        def undo() -> None:
            with self._listening:
                self._listeners = tuple(known for known in self._listeners if known is not added)

        return undo

    def add(self, changes: Changes) -> None:
        """Have *changes* told after all that was added before."""
        if changes:
            self._untold.append(changes)

    def deliver(self) -> None:
        """Tell what is untold."""
        # Who finds another thread telling (or a caller further up this one) leaves it to that one.
        while self._untold and self._telling.acquire(blocking=False):
            try:
                while self._untold:
                    self._tell(self._untold.popleft())
            finally:
                self._telling.release()

    def _tell(self, changes: Changes) -> None:
        for listener in self._listeners:
            try:
                listener.hear(changes)
            except Exception as error:  # noqa: BLE001 - border to the application's code
                _log.error("a listener of host changes raised %s", name_and_text(error), exc_info=error)
        self._also(changes)
