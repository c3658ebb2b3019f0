"""Who is using what: an object is closed when its last lease ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from hotplug.registry._entries import Record

__all__ = ["Leases"]


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
        """Count one more. The caller holds the lock since it took *record* from the table."""
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

    def when_released(self, record: Record[Any], callback: Callable[[], None]) -> None:
        """Call *callback* when *record* is leased by nobody: now, or after its last lease."""
        with self._lock:
            if record in self._counts:
                self._callbacks.setdefault(record, []).append(callback)
                return
        callback()


def _call(callback: Callable[[], None]) -> None:
    """Call it; who merely ended a lease is not to blame for what it raises."""
    try:
        callback()
    except Exception:
        import logging

        logging.getLogger("hotplug.registry").exception("closing what was leased failed")
