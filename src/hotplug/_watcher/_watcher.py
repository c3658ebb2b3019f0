"""The watcher: what others see of it."""

from __future__ import annotations

import atexit
import functools
import os
import threading
import weakref
from typing import TYPE_CHECKING, Final, Literal

from hotplug._watcher._file import File
from hotplug._watcher._folder import Folder
from hotplug._watcher._records import Root, Sort, WatchReport
from hotplug._watcher._tree import Tree
from hotplug._watcher._watch import Board, Pace, Request, Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping

    from hotplug._watcher._ward import Ward

__all__ = ["Watcher"]

END_LIMIT: Final = 1.0  # seconds
SORTS: Final[Mapping[Sort, Callable[[str], Ward]]] = {
    Sort.TREE: Tree,
    Sort.FOLDER: Folder,
    Sort.FILE: File,
}


class Watcher:
    """
    Watches roots in one daemon thread, and says which have changed and are quiet now.

    *changed* is called on that thread with the keys of all roots whose snapshot differs, or whose files
    were written, and that have been quiet for *settle* seconds: no event, same stats. A burst is one call.
    A key may come once too often, never once too few: compare contents. What *changed* raises is logged.
    Each root is looked at every *tick* seconds as well, and every *poll* seconds where events do not work;
    less often where that would cost too much. All methods are thread-safe, and may be called by *changed*.
    After a fork the child has a watcher that was not started.
    """

    def __init__(
        self,
        changed: Callable[[frozenset[Hashable]], object],
        *,
        settle: float = 0.025,
        tick: float = 1.0,
        poll: float = 0.25,
    ) -> None:
        self._changed = changed
        self._pace = Pace(settle, tick, poll)
        self._board = Board()
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._watch: Watch | None = None
        _forget_in_children().add(self)

    def follow(self, roots: Iterable[Root]) -> None:
        """
        Watch these, and no others.

        What changes once this has returned will be reported; a root that was followed before is compared
        with what was known of it. A root need not be there yet.
        """
        keys: dict[tuple[str, Sort], set[Hashable]] = {}
        for root in roots:
            path = os.path.abspath(root.path)  # noqa: PTH100 - links stay: whoever replaces one changes the root
            keys.setdefault((path, root.sort), set()).add(root.key)
        with self._lock:
            known = {_place(ward): ward for ward in self._board.wanted}
            self._board.wanted = {
                known.get(place) or _ward(*place): frozenset(theirs) for place, theirs in keys.items()
            }
        self._board.wake.set()

    def start(self) -> None:
        """
        Begin, unless that was done. What has changed since `follow` is reported.

        Raises RuntimeError once it was closed.
        """
        with self._lock:
            if self._board.closing:
                raise RuntimeError("a closed watcher cannot be started again")
            if self._thread is not None:
                return
            self._thread = threading.Thread(target=self._run, name="hotplug watcher", daemon=True)
            self._thread.start()
        # Python must not go while its thread sleeps in foreign code.
        atexit.register(self.close)

    def close(self) -> None:
        """End the thread, and wait for that a second at most; not if *changed* calls it. Idempotent."""
        self._board.closing = True
        self._board.wake.set()
        atexit.unregister(self.close)
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(END_LIMIT)

    def look_now(self) -> frozenset[Hashable]:
        """
        Compare everything now, and return when what differed was reported: the keys that were.

        A root that does not come to rest is waited for a second at most, and reported when it does. Called
        by *changed*, it returns nothing at once, and the look comes after that; not started, it does nothing.
        Hold no lock that *changed* takes.
        """
        thread, request = self._thread, Request()
        if thread is None:
            return frozenset()
        self._board.requests.append(request)
        self._board.wake.set()
        if thread is threading.current_thread():
            return frozenset()
        while thread.is_alive() and not request.done.wait(END_LIMIT):
            pass
        return frozenset(request.keys)

    def report(self) -> WatchReport:
        """How watching goes."""
        wanted, watch, thread = self._board.wanted, self._watch, self._thread
        if watch is None or thread is None or not thread.is_alive():
            return WatchReport("off", {}, len(wanted), 0, 0, 0, 0, 0.0)
        arming = watch.arming
        polled = {ward.path: why for ward, why in arming.polled.items() if ward in wanted}
        mode: Literal["events", "mixed", "polling"] = (
            "events" if not polled else "mixed" if arming.watches else "polling"
        )
        rearmed = max(0, arming.count - 1)
        return WatchReport(
            mode=mode,
            polled=polled,
            roots=len(wanted),
            watches=arming.watches,
            ticks=watch.rounds.count,
            rearmed=rearmed,
            missed=watch.missed,
            last_look=watch.last_look,
        )

    def _run(self) -> None:
        self._watch = Watch(self._board, self._pace, self._changed)
        self._watch.run()

    def _forget_the_thread(self) -> None:
        """In a child of this process: threads were left behind, and locks and ears may have been in use."""
        _left_behind.append(self._watch)
        wanted, self._board = self._board.wanted, Board()
        self._board.wanted = wanted
        self._lock = threading.RLock()
        self._thread = self._watch = None


_left_behind: Final[list[Watch | None]] = []
"""What a child process must neither use nor take down: its parent is still listening."""


@functools.cache
def _forget_in_children() -> weakref.WeakSet[Watcher]:
    """Everybody who has to know of a fork."""
    watchers: weakref.WeakSet[Watcher] = weakref.WeakSet()

    def forget() -> None:
        for watcher in list(watchers):
            watcher._forget_the_thread()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=forget)
    return watchers


def _ward(path: str, sort: Sort) -> Ward:
    return SORTS[sort](path)


def _place(ward: Ward) -> tuple[str, Sort]:
    return ward.path, next(sort for sort, made in SORTS.items() if made is type(ward))
