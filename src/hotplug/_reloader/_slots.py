"""Places for one value that anybody may set, and how what a generation set is set back."""

from __future__ import annotations

import codecs
import signal
import sys
import threading
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    import logging

__all__ = ["CodecErrors", "HOOKS", "Hook", "Level", "Setting", "Signal", "Slot", "WarningsFilter"]


class Slot(Protocol):
    """A place for one value: a logger's level, the handler of a signal."""

    @property
    def name(self) -> str:
        """What it is called when it cannot be set back."""
        ...

    def get(self) -> object: ...
    def set(self, value: Any) -> None: ...


_settings: list[Setting] = []
_guard = threading.RLock()


@dataclass(eq=False)
class Setting:
    """That somebody's code put *value* into *slot*, where *before* was; all that stand are known."""

    slot: Slot
    before: object
    value: object

    def stand(self) -> None:
        """It was done just now."""
        with _guard:
            _settings.append(self)

    def set_back(self) -> None:
        """Put back what was before, unless something newer stands there: that then has an older past."""
        with _guard:
            place = next(n for n, each in enumerate(_settings) if each is self)
            del _settings[place]
            for later in _settings[place:]:
                if type(later.slot) is type(self.slot) and vars(later.slot) == vars(self.slot):
                    later.before = self.before
                    return
        if self.slot.get() is self.value:
            self.slot.set(self.before)


class Level:
    """A logger's level."""

    def __init__(self, logger: logging.Logger) -> None:
        self.logger = logger

    @property
    def name(self) -> str:
        return f"the level of logger {self.logger.name!r}"

    def get(self) -> object:
        return self.logger.level

    def set(self, value: Any) -> None:
        self.logger.setLevel(value)


class Signal:
    """What is done when a signal comes."""

    def __init__(self, number: int) -> None:
        self.number = number

    @property
    def name(self) -> str:
        return f"the handler of {signal.Signals(self.number).name}"

    def get(self) -> object:
        return signal.getsignal(self.number)

    def set(self, value: Any) -> None:
        signal.signal(self.number, signal.SIG_DFL if value is None else value)


class Hook:
    """A function that Python calls, held by a module under a well-known name."""

    def __init__(self, module: Any, attribute: str) -> None:
        self.module = module
        self.attribute = attribute

    @property
    def name(self) -> str:
        return f"{self.module.__name__}.{self.attribute}"

    def get(self) -> object:
        return getattr(self.module, self.attribute)

    def set(self, value: Any) -> None:
        setattr(self.module, self.attribute, value)


class CodecErrors:
    """What a codec does with what it cannot encode."""

    def __init__(self, error: str) -> None:
        self.error = error

    @property
    def name(self) -> str:
        return f"the codec error handler {self.error!r}"

    def get(self) -> object:
        try:
            return codecs.lookup_error(self.error)
        except LookupError:
            return None

    def set(self, value: Any) -> None:
        codecs.register_error(self.error, self._unknown if value is None else value)

    def _unknown(self, _: UnicodeError) -> Any:
        raise LookupError(f"unknown error handler name {self.error!r}")


class WarningsFilter:
    """The place of one filter among all: Python keeps no two that are equal, but moves the one it has."""

    def __init__(self, entry: tuple[Any, ...]) -> None:
        self.entry = entry

    @property
    def name(self) -> str:
        return "a warnings filter"

    def get(self) -> object:
        return next((each for each in list(warnings.filters) if each == self.entry), None)

    def set(self, value: Any) -> None:
        filters: Any = warnings.filters
        place = filters.index(self.entry)
        filters[place : place + 1] = [] if value is None else [value]


HOOKS: Final = (
    Hook(sys, "excepthook"),
    Hook(sys, "unraisablehook"),
    Hook(threading, "excepthook"),
    Hook(warnings, "showwarning"),
)
