"""Where the modules of a generation stand: in its own table, in ``sys.modules``, on their parents."""

from __future__ import annotations

import contextlib
import sys
from enum import Enum
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from hotplug._reloader._facade import StagedPackage, View
from hotplug._reloader._making import MISSING

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from hotplug._reloader._making import Making

__all__ = ["Footing", "Places"]


class Footing(Enum):
    """How a world stands to ``sys.modules``."""

    BESIDE = "what it makes displaces what is there, and may have to give it back"
    PLACED = "what it makes stands there"
    PASSED = "what stands there is a later world's"
    REFUSED = "it makes nothing any more"


class Places:
    """
    The table of one generation's *modules*, and its footing.

    *guard* is that of all generations of the distribution; *rightful* tells what of the others' should stand
    under a name. What stands in ``sys.modules`` is replaced, and never missing meanwhile.
    """

    def __init__(self, guard: threading.RLock, rightful: Callable[[str], object]) -> None:
        self.guard: Final = guard
        self.footing: Footing = Footing.BESIDE
        self.modules: Final[dict[str, Any]] = {}
        self.views: Final[dict[str, View]] = {}
        self.failed: Final[dict[str, Any]] = {}
        self.has_failed: bool = False
        """Whether one of them ever raised when it was imported."""
        self._rightful: Final = rightful
        self._displaced: Final[dict[str, object]] = {}
        self._unfinished: Final[set[str]] = set()

    @property
    def _is_in_place(self) -> bool:
        return self.footing in (Footing.BESIDE, Footing.PLACED)

    def begin(self, name: str, module: Any, making: Making) -> None:
        with self.guard:
            if self.footing is Footing.REFUSED:
                raise ImportError(f"{name} is not imported: its generation was given up", name=name)
            making.before = sys.modules.get(name, MISSING)
            making.in_place = self._is_in_place
            making.lent = not making.in_place and making.before is MISSING
            if self.footing is Footing.BESIDE:
                self._displaced.setdefault(name, making.before)
            making.take(module)
            self.modules[name] = module
            self._unfinished.add(name)
            if making.in_place or making.lent:
                sys.modules[name] = module
            if not making.in_place:  # a circle would look there, where another's stands
                self.attach(name, module)

    def finish(self, name: str, module: Any, making: Making) -> Any:
        """What stands for the module now that it has run: it may have put something else there."""
        with self.guard:
            self._unfinished.discard(name)
            standing = sys.modules.get(name, MISSING)
            if making.in_place and self._is_in_place:
                if standing is MISSING:
                    raise ImportError(f"{name} removed itself from sys.modules", name=name)
            else:
                standing = self._taken_aside(name, module, making, standing)
            self.modules[name] = standing
            self.attach(name, standing)
            return standing

    def _taken_aside(self, name: str, module: Any, making: Making, standing: object) -> object:
        rightful = self._rightful(name)
        if rightful is MISSING:
            rightful = making.before
        if self.footing is not Footing.REFUSED or sys.modules.get(name) is module:
            _put(name, rightful)  # else what stands there came after we were given up
        return module if standing in (MISSING, rightful) else standing

    def give_up(self, name: str, module: Any, making: Making) -> None:
        with self.guard:
            self.has_failed = True
            self._unfinished.discard(name)
            self.modules.pop(name, None)
            if self.footing is Footing.BESIDE:
                self.failed[name] = module  # what it registered is found by it
            if making.in_place and self._is_in_place:
                _put(name, making.before)
            else:
                self._taken_aside(name, module, making, MISSING)
            if not making.in_place:
                self._detach(name, module)

    def attach(self, name: str, module: Any) -> None:
        above, _, word = name.rpartition(".")
        if above in self.views:
            self.views[above].show(word, module)
            if self.footing is Footing.PLACED:
                _attach(sys.modules.get(above), word, module)
        elif above in self.modules:
            _attach(self.modules[above], word, module)

    def _detach(self, name: str, module: Any) -> None:
        above, _, word = name.rpartition(".")
        parent = self.views.get(above) or self.modules.get(above)
        if getattr(parent, "__dict__", {}).get(word) is module:
            del vars(parent)[word]

    # -- the great moments -------------------------------------------------------------------------

    def give_back(self) -> None:
        """Put into ``sys.modules`` what stood there before, and make nothing any more."""
        with self.guard:
            self.footing = Footing.REFUSED
            for name, before in self._displaced.items():
                _put(name, before)
            self._displaced.clear()
            self.modules.clear()
            self.failed.clear()

    def take_place(self) -> None:
        """From now on it is what everybody imports."""
        with self.guard:
            self.footing = Footing.PLACED
            self._displaced.clear()
            self.failed.clear()
            for name, module in list(self.modules.items()):
                sys.modules.setdefault(name, module)
                if type(module) is StagedPackage:
                    module.__class__ = ModuleType  # type: ignore[assignment]  # it is plain from now on
                if name.rpartition(".")[0] in self.views:
                    self.attach(name, module)

    def leave(self, successor: Places | None = None) -> None:
        """Take out of ``sys.modules``, and of shared namespaces, what nobody came for."""
        with self.guard:
            self.footing = Footing.PASSED
            kept = () if successor is None else successor.modules
            for name, module in list(self.modules.items()):
                if name in kept:
                    continue
                if sys.modules.get(name) is module and name not in self._unfinished:
                    _put(name, MISSING)
                above, _, word = name.rpartition(".")
                parent = None if above in self.modules else sys.modules.get(above)
                if getattr(parent, "__dict__", {}).get(word) is module:
                    delattr(parent, word)


def _attach(parent: Any, word: str, module: Any) -> None:
    with contextlib.suppress(AttributeError):  # as Python does: what stands there may not take it
        setattr(parent, word, module)


def _put(name: str, module: Any) -> None:
    """Have *module* stand in ``sys.modules``, or nothing."""
    if module is MISSING:
        sys.modules.pop(name, None)
    elif sys.modules.get(name) is not module:
        sys.modules[name] = module
