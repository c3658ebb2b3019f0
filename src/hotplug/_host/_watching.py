"""
Follows by itself: what the watcher saw becomes a look at the environment, a reload, or a new configuration.

    watcher ──hints──▶ this thread ──▶ Host.follow_hints: contents decide ──▶ and when to look again
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from hotplug._lifecycle import name_and_text
from hotplug._watcher import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from hotplug._watcher import Root, WatchReport

__all__ = ["Watching"]

_log = logging.getLogger("hotplug.watch")

END_LIMIT: Final = 5.0
BEGIN_LIMIT: Final = 20.0
"""Seconds that who wants to know how it goes waits for the beginning: thousands of files are looked at."""


class Watching:
    """
    A thread that calls *follow* with the hints that came, one call at a time.

    *follow* answers in how many seconds it wants to be called again without a hint (None: not). What it
    raises is logged. *roots* says what to watch; it is asked on that thread at the beginning, and by `rearm`.
    Thread-safe.
    """

    def __init__(
        self,
        follow: Callable[[frozenset[Any]], float | None],
        roots: Callable[[], Iterable[Root]],
    ) -> None:
        self._follow: Final = follow
        self._roots: Final = roots
        self._watcher: Final = Watcher(self._hear)
        self._turn: Final = threading.Condition()
        self._hints: set[Hashable] = set()
        self._due: float | None = None
        self._is_doubtful = False
        self._ended = False
        self._arming: Final = threading.Lock()
        self._watched: frozenset[Root] = frozenset()
        self._has_begun: Final = threading.Event()
        self._thread: Final = threading.Thread(target=self._run, name="hotplug follower", daemon=True)

    def begin(self) -> None:
        """From now on, soon; what has changed since somebody last looked counts. Does not wait for a look."""
        self._thread.start()

    def _begin(self) -> None:
        """Begin, and look at everything: what changed before it was watched is found by its contents."""
        with self._turn:
            if self._ended:
                return
            self._watcher.start()
        self.rearm()

    def rearm(self) -> None:
        """
        What is to be watched may be something else by now.

        What is new, or back, counts as changed. Where something is gone, it is time to look again: it may
        have been there before and after, whenever the watcher looked.
        """
        with self._arming:
            roots = tuple(self._roots())
            self._watcher.follow(roots)
            before, self._watched = self._watched, frozenset(roots)
            new, gone = self._watched - before, before - self._watched
        if new or gone:
            self._hear(frozenset(root.key for root in new), look_again=bool(gone))

    @property
    def is_here(self) -> bool:
        """Whether the caller is the thread that follows."""
        return threading.current_thread() is self._thread

    def has_news(self, keys: Iterable[Hashable]) -> bool:
        """Whether it is to end, or a hint of one of *keys* came since *follow* was called."""
        with self._turn:
            return self._ended or not self._hints.isdisjoint(keys)

    def report(self) -> WatchReport:
        """How watching goes."""
        return self._watcher.report()

    def look_now(self) -> None:
        """Have everything compared now, once it has begun; what differs is followed as ever."""
        self._has_begun.wait(BEGIN_LIMIT)
        self._watcher.look_now()

    def end(self) -> str | None:
        """Stop; the name of the thread if it does not end, because what it follows hangs. Idempotent."""
        with self._turn:
            self._ended = True
            self._turn.notify_all()
        self._watcher.close()
        if self.is_here or self._thread.ident is None:
            return None
        self._thread.join(END_LIMIT)
        return self._thread.name if self._thread.is_alive() else None

    def _hear(self, keys: frozenset[Hashable], *, look_again: bool = False) -> None:
        with self._turn:
            self._hints |= keys
            self._is_doubtful |= look_again
            self._turn.notify_all()

    def _run(self) -> None:
        try:
            self._begin()
        except Exception as error:  # noqa: BLE001 - nobody else would hear of it
            _log.error("watching could not begin: %s", name_and_text(error), exc_info=error)
        self._has_begun.set()
        while (hints := self._next()) is not None:
            wait: float | None = 1.0
            try:
                wait = self._follow(hints)
            except BaseException as error:  # noqa: BLE001 - nobody else would hear of it, and following goes on
                _log.error("following a change failed: %s", name_and_text(error), exc_info=error)
            with self._turn:
                self._due = None if wait is None else time.monotonic() + wait

    def _next(self) -> frozenset[Hashable] | None:
        """The hints that came, or none where it is time; None at the end."""
        with self._turn:
            while not (self._ended or self._hints or self._is_due):
                self._turn.wait(None if self._due is None else max(0.0, self._due - time.monotonic()))
            if self._ended:
                return None
            hints, self._hints = frozenset(self._hints), set()
            self._is_doubtful &= bool(hints)
            return hints

    @property
    def _is_due(self) -> bool:
        return self._is_doubtful or (self._due is not None and time.monotonic() >= self._due)
