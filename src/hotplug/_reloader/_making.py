"""Modules in the making: who makes one, who waits for it, and who must not since that would be for ever."""

from __future__ import annotations

import sys
import threading
from importlib.machinery import ModuleSpec
from typing import Final

__all__ = ["MISSING", "Making"]

MISSING: Final = object()
"""Stands for what does not stand in ``sys.modules``."""

_guard = threading.Lock()
_waiting: dict[int, Making] = {}
_FIRST_LOOK: Final = 0.05  # seconds until it is looked at what the maker waits for
_NEXT_LOOK: Final = 0.5


class Making:
    """
    One module on its way; *before* is what stood under its name.

    *lent*: it stands in ``sys.modules`` only while it is made, since nothing does.
    """

    __slots__ = ("_over", "_spec", "before", "in_place", "lent", "thread")

    def __init__(self) -> None:
        self.thread: Final = threading.get_ident()
        self._over: Final = threading.Event()
        self._spec: ModuleSpec | None = None
        self.before: object = MISSING
        self.in_place: bool = False
        self.lent: bool = False

    @property
    def is_mine(self) -> bool:
        """Whether the caller's thread makes it."""
        return self.thread == threading.get_ident()

    def take(self, module: object) -> None:
        """It is *module*: imports of it by other threads wait from now on."""
        spec = getattr(module, "__spec__", None)
        if type(spec) is ModuleSpec:  # not for one that was made long ago, and is shared
            self._spec = spec
            spec.__dict__["_hotplug_making"] = self
            spec.__class__ = _SpecInTheMaking

    def over(self) -> None:
        """It is made, or will never be: nobody need wait any more."""
        self._over.set()
        if self._spec is not None:
            self._spec.__class__ = ModuleSpec
            self._spec.__dict__.pop("_hotplug_making", None)

    def wait(self) -> bool:
        """
        Wait until it is over; False where that cannot be, since who makes it waits for us.

        Then the module is taken as far as it is, as Python itself does.
        """
        me = threading.get_ident()
        with _guard:
            if self._leads_to(me):
                return False
            _waiting[me] = self
        try:
            pause = _FIRST_LOOK
            while not self._over.wait(pause):
                if _waits_for_import_of(me, self.thread):
                    return False
                pause = _NEXT_LOOK
            return True
        finally:
            with _guard:
                _waiting.pop(me, None)

    def _leads_to(self, me: int) -> bool:
        making: Making | None = self
        seen: set[int] = set()
        while making is not None and making.thread not in seen:
            if making.thread == me:
                return True
            seen.add(making.thread)
            making = _waiting.get(making.thread)
        return False


def _waits_for_import_of(me: int, other: int) -> bool:
    """
    Whether thread *other* waits for an ordinary import that *me* is in the middle of.

    Python's own locks cannot be asked in public; who stands at one can be seen.
    """
    frame = sys._current_frames().get(other)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    if frame is None or frame.f_code.co_name != "acquire":
        return False
    return getattr(frame.f_locals.get("self"), "owner", None) == me


class _SpecInTheMaking(ModuleSpec):
    """Python asks a spec whether its module is being made; who is not the maker is told when it is done."""

    @property
    def _initializing(self) -> bool:
        making: Making | None = self.__dict__.get("_hotplug_making")
        if making is None:
            return False
        if making.is_mine:
            return True
        making.wait()
        return False

    @_initializing.setter
    def _initializing(self, value: bool) -> None: ...
