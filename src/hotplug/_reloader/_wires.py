"""
Functions that are watched while modules of a generation run: what they register can be taken back then.

Only calls in the context of such a module are noted; everybody else's pass through.
"""

from __future__ import annotations

import atexit
import codecs
import contextvars
import functools
import logging
import os
import signal
import threading
import warnings
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from hotplug._reloader._slots import CodecErrors, Level, Signal, WarningsFilter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hotplug._reloader._slots import Slot

__all__ = ["Notes", "called", "drop", "loggers", "noting", "remove_handler", "unnoted", "wires"]

R = TypeVar("R")


class Notes(Protocol):
    """Where it is noted."""

    def note(self, what: str, undo: Callable[[], object]) -> None: ...
    def note_for_ever(self, what: str) -> None: ...
    def was_set(self, slot: Slot, before: object) -> None: ...


noting: Final[contextvars.ContextVar[Notes | None]] = contextvars.ContextVar("hotplug notes", default=None)
"""Where the registrations of the calling context are noted."""


def unnoted(call: Callable[..., R], *args: Any) -> R:
    """What *call* returns; what it registers is nobody's here."""
    if noting.get() is None:
        return call(*args)
    token = noting.set(None)
    try:
        return call(*args)
    finally:
        noting.reset(token)


class _AtExit:
    """A callback that can be told from all others, though who looks for the function finds it."""

    def __init__(self, function: Callable[..., object]) -> None:
        self.function = function
        self._only_this = False

    def __call__(self, *args: object, **options: object) -> object:
        return self.function(*args, **options)

    def __eq__(self, other: object) -> bool:
        return self is other or (not self._only_this and self.function == other)

    __hash__ = None  # type: ignore[assignment]

    def withdraw(self) -> None:
        self._only_this = True
        atexit.unregister(self)


def _atexit_register(
    notes: Notes,
    original: Callable[..., object],
    function: Callable[..., object],
    *args: object,
    **options: object,
) -> object:
    callback = _AtExit(function)
    original(callback, *args, **options)
    notes.note(f"atexit callback {called(function)}", callback.withdraw)
    return function


def _add_handler(notes: Notes, original: Callable[..., object], logger: logging.Logger, hdlr: Any) -> None:
    had = hdlr in logger.handlers
    original(logger, hdlr)
    if not had:
        notes.note(f"a handler of logger {logger.name!r}", functools.partial(remove_handler, logger, hdlr))


def remove_handler(logger: logging.Logger, handler: logging.Handler) -> None:
    logger.removeHandler(handler)
    if not any(handler in other.handlers for other in loggers()):
        handler.close()


def loggers() -> Iterator[logging.Logger]:
    yield logging.root
    for logger in list(logging.root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger):
            yield logger


def _add_filter(notes: Notes, original: Callable[..., object], filterer: Any, filter: Any) -> None:  # noqa: A002
    had = filter in filterer.filters
    original(filterer, filter)
    if not had:
        notes.note(f"a filter of {filterer!r}", functools.partial(filterer.removeFilter, filter))


def _set_level(notes: Notes, original: Callable[..., object], logger: logging.Logger, level: Any) -> None:
    slot, before = Level(logger), logger.level
    original(logger, level)
    notes.was_set(slot, before)


def _warnings_filter(notes: Notes, original: Callable[..., object], *args: Any, **options: Any) -> None:
    before: list[Any] = list(warnings.filters)
    original(*args, **options)
    known = set(map(id, before))
    for entry in list(warnings.filters):
        if id(entry) not in known:
            equal = next((each for each in before if each == entry), None)
            notes.was_set(WarningsFilter(entry), equal)


def _signal(notes: Notes, original: Callable[..., object], signalnum: Any, handler: Any) -> object:
    slot = Signal(int(signalnum))
    before = original(signalnum, handler)
    notes.was_set(slot, before)
    return before


def _codecs_register(notes: Notes, original: Callable[..., object], search: Any) -> None:
    original(search)
    notes.note(f"codec search function {called(search)}", functools.partial(codecs.unregister, search))


def _codecs_register_error(notes: Notes, original: Callable[..., object], name: str, handler: Any) -> None:
    slot = CodecErrors(name)
    before = slot.get()
    original(name, handler)
    notes.was_set(slot, before)


def _at_fork(notes: Notes, original: Callable[..., object], **functions: Any) -> None:
    original(**functions)
    names = ", ".join(called(function) for function in functions.values())
    notes.note_for_ever(f"os.register_at_fork({names}): Python cannot take it back")


def called(function: object) -> str:
    return str(getattr(function, "__qualname__", type(function).__qualname__))


class Wire:
    """One function that tells the notes of the calling context; everybody else's calls pass through."""

    def __init__(self, owner: Any, name: str, note: Callable[..., object]) -> None:
        self._owner: Final = owner
        self._name: Final = name
        self._note: Final = note
        self._original: Any = None
        self._watched: Any = None

    def connect(self) -> None:
        original = self._original = getattr(self._owner, self._name)
        note = self._note

        @functools.wraps(original)
        def watched(*args: Any, **options: Any) -> object:
            notes = noting.get()
            if notes is None:
                return original(*args, **options)
            return note(notes, original, *args, **options)

        self._watched = watched
        setattr(self._owner, self._name, watched)

    def disconnect(self) -> None:
        if getattr(self._owner, self._name) is self._watched:  # else somebody wrapped it: it passes through
            setattr(self._owner, self._name, self._original)


class Wires:
    """All watched functions: watched as long as anybody notes, in whatever thread."""

    def __init__(self, *wires: Wire) -> None:
        self._wires: Final = wires
        self._guard: Final = threading.Lock()
        self._users = 0

    def take_hold(self) -> None:
        with self._guard:
            self._users += 1
            if self._users == 1:
                for wire in self._wires:
                    wire.connect()

    def let_go(self) -> None:
        with self._guard:
            self._users -= 1
            if self._users == 0:
                for wire in self._wires:
                    wire.disconnect()


wires: Final = Wires(
    Wire(atexit, "register", _atexit_register),
    Wire(logging.Logger, "addHandler", _add_handler),
    Wire(logging.Filterer, "addFilter", _add_filter),
    Wire(logging.Logger, "setLevel", _set_level),
    Wire(warnings, "filterwarnings", _warnings_filter),
    Wire(warnings, "simplefilter", _warnings_filter),
    Wire(signal, "signal", _signal),
    Wire(codecs, "register", _codecs_register),
    Wire(codecs, "register_error", _codecs_register_error),
    *([Wire(os, "register_at_fork", _at_fork)] if hasattr(os, "register_at_fork") else []),
)


def drop(table: Any, entry: object) -> None:
    """Take *entry* itself, and nothing that equals it, out of a list."""
    for place, each in enumerate(table):
        if each is entry:
            del table[place]
            return
