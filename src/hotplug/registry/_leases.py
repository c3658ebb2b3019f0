"""Who is using what: an object is closed when its last lease ended."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Generator, Iterable

    from hotplug.registry._entries import Record

__all__ = ["Leases", "locked"]


class Leases:
    """
    Counts leases by record, under the lock of their registry.

    In tables of their own, because few entries are leased at any time and records are many.
    """

    __slots__ = ("_callbacks", "_counts", "_lock")

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self._counts: dict[Record[Any], int] = {}
        self._callbacks: dict[Record[Any], list[Callable[[], None]]] = {}

    def begin(self, record: Record[Any]) -> None:
        """Count one more. The caller holds the lock since it found *record*."""
        self._counts[record] = self._counts.get(record, 0) + 1

    def end(self, record: Record[Any]) -> None:
        """Count one less; the last one out calls what waited for that, without the lock."""
        with self._lock:
            left = self._counts.pop(record) - 1
            if left:
                self._counts[record] = left
                return
            callbacks = self._callbacks.pop(record, [])
        for callback in callbacks:
            _call(callback)

    def must_wait(self, record: Record[Any], callback: Callable[[], None]) -> bool:
        """Whether *record* is leased, so that *callback* is called after its last lease. Under the lock."""
        if record not in self._counts:
            return False
        self._callbacks.setdefault(record, []).append(callback)
        return True


@contextmanager
def locked(locks: Iterable[threading.RLock]) -> Generator[None]:
    """Hold them all: everybody who takes several takes them in one order."""
    with ExitStack() as stack:
        for lock in sorted(set(locks), key=id):
            stack.enter_context(lock)
        yield


def _call(callback: Callable[[], None]) -> None:
    """Call it; who merely ended a lease is not to blame for what it raises."""
    try:
        callback()
    except Exception:
        import logging

        logging.getLogger("hotplug.registry").exception("closing what was leased failed")
