"""Verbs of a host, one at a time; changes, told one after the other."""

from __future__ import annotations

import contextlib
import contextvars
import threading
from typing import TYPE_CHECKING, Final

from hotplug.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["Turn"]


class Turn:
    """
    Lets one verb run at a time.

    A verb may run plugin code, and that code may ask for another verb: it would wait for itself,
    so it is refused (`HostError`) instead, in whatever thread the host runs it.
    """

    def __init__(self, name: str) -> None:
        self._lock: Final = threading.Lock()
        self._verb: Final[contextvars.ContextVar[str | None]] = contextvars.ContextVar(name, default=None)

    @contextlib.contextmanager
    def take(self, verb: str) -> Generator[None]:
        """Wait until no other verb runs, then run this one."""
        if (running := self._verb.get()) is not None:
            raise HostError(f"{verb}() was asked for from inside {running}(): ask again when that is over")
        with self._lock:
            token = self._verb.set(verb)
            try:
                yield
            finally:
                self._verb.reset(token)
