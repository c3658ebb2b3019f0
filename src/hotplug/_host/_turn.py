"""Verbs of a host, one at a time, and none from inside itself."""

from __future__ import annotations

import contextlib
import contextvars
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hotplug.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

__all__ = ["Turn"]


@dataclass(eq=False, slots=True)
class _Doing:
    """Something that is done. Contexts of what it started outlive it, so it says when it is over."""

    turn: Turn
    what: str
    is_verb: bool
    around: _Doing | None
    over: bool = False


_doing: Final[contextvars.ContextVar[_Doing | None]] = contextvars.ContextVar("hotplug_doing", default=None)


class Turn:
    """
    Lets one verb run at a time.

    A verb may run plugin code, and that code may ask for another verb: it would wait for itself,
    so it is refused (`HostError`) instead, in whatever thread the host runs it. The same holds inside
    a load, for which a verb in another thread may be waiting.
    """

    def __init__(self) -> None:
        self._lock: Final = threading.Lock()

    @contextlib.contextmanager
    def take(self, verb: str) -> Generator[None]:
        """Wait until no other verb runs, then run this one."""
        self._refuse_inside(verb)
        with self._lock, self._during(f"{verb}()", is_verb=True):
            yield

    @contextlib.contextmanager
    def load(self, name: str) -> Generator[None]:
        """Load the plugin called *name*; any number of them at a time."""
        with self._during(f"the load of {name}", is_verb=False):
            yield

    @property
    def is_in_verb(self) -> bool:
        """Whether a verb is running around the caller."""
        return any(doing.is_verb for doing in self._around())

    def _refuse_inside(self, verb: str) -> None:
        for doing in reversed(list(self._around())):
            raise HostError(f"{verb}() was asked for from inside {doing.what}: ask again when that is over")

    def _around(self) -> Iterator[_Doing]:
        """What this host is doing around the caller, innermost first."""
        doing = _doing.get()
        while doing is not None:
            if doing.turn is self and not doing.over:
                yield doing
            doing = doing.around

    @contextlib.contextmanager
    def _during(self, what: str, *, is_verb: bool) -> Generator[None]:
        doing = _Doing(self, what, is_verb, _doing.get())
        token = _doing.set(doing)
        try:
            yield
        finally:
            doing.over = True
            _doing.reset(token)
