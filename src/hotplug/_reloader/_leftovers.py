"""What of a retired generation goes on, and who keeps it alive: named, since nothing can end it."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import types
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

__all__ = ["Left", "Leftovers", "holders_of", "kind_of", "tasks_of", "threads_of"]


class Native(Protocol):
    """Who can tell its own code by its globals."""

    def has_globals(self, globals_: Mapping[str, object]) -> bool: ...
    def is_own_class(self, cls: type) -> bool: ...


class Left(str):
    """One thing that is left, in words."""

    __slots__ = ("_is_over",)
    _is_over: Callable[[], bool]

    @classmethod
    def until(cls, words: str, is_over: Callable[[], bool]) -> Left:
        """What is left for so long only. *is_over* keeps nothing alive, please."""
        left = cls(words)
        left._is_over = is_over
        return left

    @property
    def is_over(self) -> bool:
        """Whether it is gone by now."""
        return hasattr(self, "_is_over") and self._is_over()


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftovers:
    """
    What is left of a generation that was retired; false if nothing is.

    *threads* and *tasks* still run its code: each with file and line. *registrations* could not be taken
    back. *held* says who keeps generations alive that were retired; it is looked for only when the
    garbage is collected.
    """

    threads: tuple[Left, ...] = ()
    tasks: tuple[Left, ...] = ()
    registrations: tuple[Left, ...] = ()
    held: tuple[Left, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.threads or self.tasks or self.registrations or self.held)

    def __iter__(self) -> Iterator[Left]:
        yield from (*self.threads, *self.tasks, *self.registrations, *self.held)

    def __str__(self) -> str:
        return "; ".join(self) or "nothing is left"


def _frames() -> list[tuple[int, types.FrameType]]:
    return list(sys._current_frames().items())  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def _back_from(frame: types.FrameType | None) -> Iterator[types.FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _place(frame: types.FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno} ({frame.f_code.co_qualname})"


def threads_of(world: Native) -> tuple[Left, ...]:
    """
    The threads that began in code of *world*, each with the innermost place in it.

    Who is only in the middle of calling it comes back by himself.
    """
    threads = {thread.ident: thread for thread in threading.enumerate()}
    found: list[Left] = []
    for ident, innermost in _frames():
        frames = list(_back_from(innermost))
        began = next((each for each in reversed(frames) if not _is_starter(each)), innermost)
        if world.has_globals(began.f_globals):
            frame = next(each for each in frames if world.has_globals(each.f_globals))
            thread = threads.get(ident)
            name = ident if thread is None else thread.name
            found.append(Left.until(f"thread {name!r} at {_place(frame)}", _is_thread_over(thread, ident)))
    return tuple(found)


def _is_thread_over(thread: threading.Thread | None, ident: int) -> Callable[[], bool]:
    """For threads that nobody made with `threading`, too."""
    if thread is None:
        return lambda: ident not in dict(_frames())
    known = weakref.ref(thread)
    return lambda: (alive := known()) is None or not alive.is_alive()


def _is_starter(frame: types.FrameType) -> bool:
    """Whether it is of those who run what threads and tasks are given to do."""
    name = str(frame.f_globals.get("__name__"))
    return name in _STARTERS or name.startswith(("hotplug.", "asyncio."))


_STARTERS: Final = frozenset({"threading", "concurrent.futures.thread", "contextvars", "_thread"})


def tasks_of(world: Native, loops: Iterable[asyncio.AbstractEventLoop] = ()) -> tuple[Left, ...]:
    """The tasks on *loops*, and on all that are seen running, which are inside of code of *world*."""
    found: list[Left] = []
    for loop in {*loops, *_running_loops()}:
        for task in _tasks_on(loop):
            frames = [each for each in _waiting_in(task.get_coro()) if world.has_globals(each.f_globals)]
            if frames:
                words = f"task {task.get_name()!r} at {_place(frames[-1])}"
                found.append(Left.until(words, _is_task_over(task)))
    return tuple(found)


def _is_task_over(task: asyncio.Task[Any]) -> Callable[[], bool]:
    known = weakref.ref(task)
    return lambda: (alive := known()) is None or alive.done()


def _tasks_on(loop: asyncio.AbstractEventLoop) -> set[asyncio.Task[Any]]:
    try:
        return asyncio.all_tasks(loop)
    except RuntimeError:  # they come and go too fast to be counted
        return set()


def _running_loops() -> Iterator[asyncio.AbstractEventLoop]:
    """The loops that threads run: Python tells only the current thread's, but each can be seen at work."""
    for _, innermost in _frames():
        for frame in _back_from(innermost):
            if frame.f_code.co_name == "run_forever":
                loop = frame.f_locals.get("self")
                if isinstance(loop, asyncio.AbstractEventLoop):
                    yield loop


def _waiting_in(awaited: Any) -> Iterator[types.FrameType]:
    """The frames of a coroutine and of what it awaits, outermost first."""
    while awaited is not None:
        frame, is_running, awaited = _look_at(awaited)
        if frame is None:
            continue
        yield frame
        if is_running:  # another thread is in the middle of it: there are the frames of what it awaits
            yield from _running_in(frame)


def _look_at(awaited: Any) -> tuple[types.FrameType | None, bool, Any]:
    """
    The frame of a coroutine or generator, whether it runs, and what it awaits.

    What a running one awaits must not be asked for: until Python 3.13 that may read what is not there, and
    crash. No other thread comes to run between the two questions, as there is no call between them.
    """
    kind = kind_of(awaited)
    if kind is types.CoroutineType:
        return awaited.cr_frame, awaited.cr_running, None if awaited.cr_running else awaited.cr_await
    if kind is types.GeneratorType:
        return awaited.gi_frame, awaited.gi_running, None if awaited.gi_running else awaited.gi_yieldfrom
    return None, False, None


def _running_in(outer: types.FrameType) -> Iterator[types.FrameType]:
    """The frames of what *outer* is in the middle of calling, outermost first."""
    for _, innermost in _frames():
        inner = list(_back_from(innermost))
        if outer in inner:
            yield from reversed(inner[: inner.index(outer)])


# -- who holds what should be gone -----------------------------------------------------------------

_STEPS: Final = 8  # from what holds to somebody who has a name
_WIDTH: Final = 20  # so many are asked for in each: all objects are looked through for every one


def holders_of(world: Native) -> tuple[str, ...]:
    """
    Who keeps what is *world*'s: modules, functions and classes of others that lead to it.

    Looks through all objects that there are: not cheap, and only for what should be gone.
    """
    objects: list[object] = gc.get_objects()
    ours, passed = _sorted_out(objects, world)
    edge: list[object] = [
        each
        for each in objects
        if id(each) not in passed and any(id(held) in ours for held in gc.get_referents(each))
    ]
    passed.add(id(objects))
    found: dict[str, None] = {}
    for _ in range(_STEPS):
        passed.update(map(id, edge))
        passed.add(id(edge))
        names = [_name_of(each) for each in edge]
        found.update(dict.fromkeys(filter(None, names)))
        nameless = [each for each, name in zip(edge, names, strict=True) if not name][:_WIDTH]
        if not nameless:
            break
        edge = [
            each for each in gc.get_referrers(*nameless) if id(each) not in passed and each is not nameless
        ]
    return tuple(found)


def _sorted_out(objects: list[object], world: Native) -> tuple[set[int], set[int]]:
    """
    What is *world*'s; and what is not asked: the same, the machinery that made it, frames, modules.

    A module keeps things by its dictionary, which is asked. To ask some modules of native code breaks
    them: Python's issue 122695.
    """
    kinds: dict[Any, bool] = {}
    ours: set[int] = set()
    passed: set[int] = set()
    for each in objects:
        kind = type(each)
        if kind not in kinds:
            kinds[kind] = world.is_own_class(kind)
        if kinds[kind] or _is_code_of(world, each):
            ours.add(id(each))
        elif issubclass(kind, (types.FrameType, types.ModuleType)) or _is_machinery(each):
            passed.add(id(each))
    return ours, passed | ours


def _is_machinery(thing: object) -> bool:
    module = getattr(thing, "__module__", "") if type(thing) is types.FunctionType else type(thing).__module__
    return str(module).startswith(f"{__package__}.")


def _is_code_of(world: Native, thing: Any) -> bool:
    kind = kind_of(thing)  # never isinstance: some answer that with code of their own
    if kind is types.FunctionType:
        return world.has_globals(thing.__globals__)
    if kind is dict:
        return world.has_globals(thing)
    if issubclass(kind, type):
        return world.is_own_class(thing)
    return issubclass(kind, types.ModuleType) and world.has_globals(thing.__dict__)


def kind_of(thing: object) -> type[Any]:
    """The class of *thing*, whatever it says itself."""
    return type(thing)


def _name_of(holder: Any) -> str:
    """What it is called, if it is something that has a name; else who keeps it is asked next."""
    kind = kind_of(holder)
    if kind is dict and "__spec__" in holder and "__name__" in holder:
        return f"module {holder['__name__']}"
    if kind is types.FunctionType:
        return f"function {holder.__module__}.{holder.__qualname__}"
    return f"class {holder.__module__}.{holder.__qualname__}" if issubclass(kind, type) else ""
