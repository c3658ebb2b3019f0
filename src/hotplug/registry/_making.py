"""What is being made right now, by whom, and who waits for it: circles are seen, not sat in."""

from __future__ import annotations

import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from hotplug.errors import CircularFactoryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Frame", "Once", "begin_making", "being_made", "refuse_circle"]

T = TypeVar("T")

# [what is made, the frame around it, its registry, its key]. A list, because an instance of a class
# costs a factory call 70 ns more. What is made becomes None when making it ended: a task that a
# factory started may outlive it with a copy of the context, and is not inside it any more.
# Because ended frames say so, factories need not reset the variable, which is as dear as setting it.
Frame = list[Any]
SUBJECT: Final = 0
OUTER: Final = 1

# A context variable, not a thread-local: loads move to worker threads that run in a copied context.
_making: Final[ContextVar[Frame | None]] = ContextVar("hotplug_making", default=None)
being_made: Final = _making.get
begin_making: Final = _making.set

# Guards who-waits-for-whom of the whole process. Held for a few dict operations, never while making;
# reentrant, because a finaliser may run (and ask for something) wherever memory is allocated.
_waiting: Final = threading.RLock()


def refuse_circle(subject: object, registry: str, key: str) -> None:
    """Raise `CircularFactoryError` if *subject* is being made around the caller."""
    inside: list[str] = []
    for frame in _unfinished():
        inside.append(_name(frame))
        if frame[SUBJECT] is subject:
            raise CircularFactoryError([*reversed(inside), f"{registry}/{key}"])


def _unfinished() -> Iterator[Frame]:
    """What is being made around the caller, innermost first."""
    frame = being_made()
    while frame is not None:
        subject, outer, _, _ = frame
        if subject is not None:
            yield frame
        frame = outer


def _name(frame: Frame) -> str:
    _, _, registry, key = frame
    return f"{registry}/{key}"


class _Attempt:
    """One try at making something once. It counts as abandoned until it has a value or an error."""

    __slots__ = ("ended", "error", "key", "made", "registry", "value", "waits")

    def __init__(self, registry: str, key: str) -> None:
        self.registry = registry
        self.key = key
        self.ended = threading.Event()
        self.made = False
        self.value: Any = None
        self.error: BaseException | None = None
        self.waits: dict[object, _Attempt] = {}

    def run(self, make: Callable[[], T]) -> T:
        """Make the value, visibly for everything that is asked for meanwhile."""
        frame: Frame = [self, being_made(), self.registry, self.key]
        token = begin_making(frame)
        try:
            self.value = value = make()
            self.made = True
        except KeyboardInterrupt:
            # It belongs to this thread alone: whoever waits tries again.
            raise
        except BaseException as error:
            self.error = error
            raise
        finally:
            frame[SUBJECT] = None
            _making.reset(token)
        return value

    def wait(self) -> None:
        """
        Sleep until the attempt ended.

        Raises `CircularFactoryError` instead if it cannot end before something that the caller is
        in the middle of making.
        """
        ticket = object()
        frames = list(_unfinished())
        around = [frame[SUBJECT] for frame in frames if isinstance(frame[SUBJECT], _Attempt)]
        try:
            with _waiting:
                self._refuse_circle(frames, around)
                for attempt in around:
                    attempt.waits[ticket] = self
            self.ended.wait()
        finally:
            with _waiting:
                for attempt in around:
                    attempt.waits.pop(ticket, None)

    def _refuse_circle(self, frames: list[Frame], around: list[_Attempt]) -> None:
        path = self._way_to(around)
        if path is None:
            return
        until = next(index for index, frame in enumerate(frames) if frame[SUBJECT] is path[-1])
        mine = [_name(frame) for frame in reversed(frames[: until + 1])]
        raise CircularFactoryError([*mine, *(f"{a.registry}/{a.key}" for a in path)])

    def _way_to(self, around: list[_Attempt]) -> list[_Attempt] | None:
        """The attempts from this one to one of *around*, each waiting for the next, if there are."""
        paths: list[list[_Attempt]] = [[self]]
        seen: set[_Attempt] = {self}
        for path in paths:
            if path[-1] in around:
                return path
            fresh = set(path[-1].waits.values()) - seen
            seen |= fresh
            paths += [[*path, attempt] for attempt in fresh]
        return None


class Once(Generic[T]):
    """
    Makes one value for all who ask, however many threads they are.

    `get` makes it on the first call; whoever asks meanwhile waits and gets the same object, or the
    same error. After a failure the next call tries again. What would wait for itself, in one thread
    or around several, raises `CircularFactoryError` instead. No lock is held while making.
    *registry* and *key* name the value in that error.
    """

    __slots__ = ("_attempt", "_key", "_made", "_registry", "_value")

    def __init__(self, registry: str, key: str) -> None:
        self._registry: Final = registry
        self._key: Final = key
        self._attempt: _Attempt | None = None
        self._made = False

    def get(self, make: Callable[[], T]) -> T:
        """The value; *make* is called if there is none yet and nobody else is making it."""
        while not self._made:
            mine = _Attempt(self._registry, self._key)
            try:
                current = self._claim(mine)
                if current is None:
                    break
                if current is mine:
                    return mine.run(make)
            finally:
                # Also where an interrupt struck between the two lines: nobody may wait for ever.
                self._settle(mine)
            current.wait()
            if current.error is not None:
                raise current.error
            if current.made:
                value: T = current.value
                return value
        return self._value

    def _claim(self, mine: _Attempt) -> _Attempt | None:
        """The attempt to look at: that of another, else *mine*, which counts from now on; None if made."""
        with _waiting:
            if self._made:
                return None
            if self._attempt is None:
                self._attempt = mine
            return self._attempt

    def _settle(self, mine: _Attempt) -> None:
        """Publish what *mine* came to, if it is the one that counted."""
        with _waiting:
            if self._attempt is not mine:
                return
            if mine.made:
                self._value: T = mine.value
                self._made = True
            self._attempt = None
        mine.ended.set()
