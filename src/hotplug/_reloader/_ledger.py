"""
What a generation registers elsewhere while its modules are imported, and how that is taken back.

    noted when it is done    exit callbacks, log handlers, filters, levels, warnings filters, signals, codecs
    found at the end         what stands in a process-wide list or table and is a function of the generation's
                             own, or an object of its own class: finders, hooks, reducers, handlers
    not to be taken back     said, with what it is

Own is what has the very dictionary of an own module for globals, or a class that was made there; names say
nothing, two generations share them.
"""

from __future__ import annotations

import contextlib
import copyreg
import functools
import gc
import signal
import sys
import warnings
from typing import TYPE_CHECKING, Any, Final, Protocol

from hotplug._reloader._slots import HOOKS, Setting, Signal
from hotplug._reloader._wires import called, drop, loggers, noting, remove_handler, wires

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from hotplug._reloader._slots import Slot

__all__ = ["Ledger", "Owner"]


class Owner(Protocol):
    """Who can tell what is a generation's own."""

    def is_own(self, thing: object) -> bool:
        """Whether *thing* is a function or class of its modules, or an object of such a class."""
        ...


class Ledger:
    """What one generation registered. `noting` is on while its modules run, `undo` takes all of it back."""

    def __init__(self, owner: Owner) -> None:
        self._owner: Final = owner
        self._undos: Final[list[tuple[str, Callable[[], object]]]] = []
        self._settings: Final[list[Setting]] = []
        self._for_ever: Final[list[str]] = []

    # -- noting ------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def noting(self) -> Generator[None]:
        """Note what the calling context registers."""
        token = noting.set(self)
        wires.take_hold()
        before = [(hook, hook.get()) for hook in HOOKS]
        try:
            yield
        finally:
            for hook, value in before:
                now = hook.get()
                if now is not value and self._owner.is_own(now):  # else another thread's
                    self.was_set(hook, value)
            wires.let_go()
            noting.reset(token)

    @property
    def is_noting(self) -> bool:
        """Whether the calling context's registrations are noted here."""
        return noting.get() is self

    def note(self, what: str, undo: Callable[[], object]) -> None:
        """*undo* takes back *what* was registered."""
        self._undos.append((what, undo))

    def note_for_ever(self, what: str) -> None:
        """*what* was registered where nothing can be taken back."""
        self._for_ever.append(what)

    def was_set(self, slot: Slot, before: object) -> None:
        """Code of ours put something into *slot*, where *before* was."""
        setting = Setting(slot, before, slot.get())
        setting.stand()
        self._settings.append(setting)

    # -- taking back -------------------------------------------------------------------------------

    def undo(self) -> tuple[str, ...]:
        """Take back everything; what could not be. Never raises, and a second time does nothing."""
        left = list(self._for_ever)
        self._for_ever.clear()
        while self._undos:
            what, undo = self._undos.pop()
            _try(undo, what, left)
        while self._settings:
            setting = self._settings.pop()
            _try(setting.set_back, setting.slot.name, left)
        for what, undo in _found(self._owner):
            _try(undo, what, left)
        return tuple(left)


def _try(undo: Callable[[], object], what: str, left: list[str]) -> None:
    try:
        undo()
    except Exception as error:  # noqa: BLE001 - handlers and the like may be anybody's code
        left.append(f"{what}: {type(error).__name__}: {error}")


# -- what is found at the end ----------------------------------------------------------------------

_DEFAULTS: Final = tuple((hook, hook.get()) for hook in HOOKS)


def _found(owner: Owner) -> Iterator[tuple[str, Callable[[], object]]]:
    """What stands in process-wide places and is the owner's, however it came there."""
    yield from _found_in_logging(owner)
    yield from _found_in_lists(owner)
    yield from _found_in_slots(owner)
    reducers: dict[Any, Any] = copyreg.dispatch_table
    for cls, reducer in list(reducers.items()):
        if owner.is_own(cls) or owner.is_own(reducer):
            yield f"the reducer of {called(cls)}", functools.partial(reducers.pop, cls, None)


def _found_in_lists(owner: Owner) -> Iterator[tuple[str, Callable[[], object]]]:
    for table in (sys.meta_path, sys.path_hooks, gc.callbacks):
        for entry in list(table):
            if owner.is_own(entry):
                yield f"{called(entry)} in a list of Python's", functools.partial(drop, table, entry)
    for entry in list(warnings.filters):
        if owner.is_own(entry[2]):
            yield "a warnings filter", functools.partial(drop, warnings.filters, entry)


def _found_in_slots(owner: Owner) -> Iterator[tuple[str, Callable[[], object]]]:
    for hook, default in _DEFAULTS:
        if owner.is_own(hook.get()):
            yield hook.name, functools.partial(hook.set, default)
    for number in signal.valid_signals():
        slot = Signal(number)
        if owner.is_own(slot.get()):
            yield slot.name, functools.partial(slot.set, None)


def _found_in_logging(owner: Owner) -> Iterator[tuple[str, Callable[[], object]]]:
    for logger in loggers():
        for handler in list(logger.handlers):
            if owner.is_own(handler):
                yield (
                    f"a handler of logger {logger.name!r}",
                    functools.partial(remove_handler, logger, handler),
                )
        for each in list(logger.filters):
            if owner.is_own(each):
                yield f"a filter of logger {logger.name!r}", functools.partial(logger.removeFilter, each)
