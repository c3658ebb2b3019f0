"""What the sessions of idle users hold is closed, and made anew when they come back."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hotplug._host._session import Sessions

__all__ = ["Idle"]

ROUNDS: Final = 4  # looks per time limit: nobody is idle for more than a quarter of it too long
LONGEST: Final = 30.0  # seconds between two looks
_log = logging.getLogger("hotplug.host")


class Idle:
    """Looks for idle *sessions*, on a thread that lives while there is a limit. Thread-safe."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions: Final = sessions
        self._guard: Final = threading.Lock()
        self._wanted = threading.Event()  # the limit is another one
        self._limit: float | None = None
        self._thread: threading.Thread | None = None

    def settle(self, limit: float | None) -> None:
        """Who has done nothing for *limit* seconds is idle; None: nobody is."""
        with self._guard:
            self._limit = limit
            self._wanted.set()
            if limit is not None and self._thread is None:
                self._thread = threading.Thread(target=self._look, name="hotplug idle", daemon=True)
                self._thread.start()

    def end(self, patience: float) -> None:
        """Look no more; what is being closed is waited for, *patience* seconds at most."""
        self.settle(None)
        thread = self._thread
        if thread is not None:
            thread.join(patience)

    def _look(self) -> None:
        while (limit := self._next_limit()) is not None:
            for error in self._sessions.close_idle(time.monotonic() - limit):
                _log.warning("closing what is idle: %s", error)

    def _next_limit(self) -> float | None:
        """The limit, when it is time to look; None if there is none, and nobody looks any more."""
        while True:
            with self._guard:
                self._wanted.clear()
                limit = self._limit
                if limit is None:
                    self._thread = None
                    return None
            if not self._wanted.wait(min(limit / ROUNDS, LONGEST)):
                return limit
