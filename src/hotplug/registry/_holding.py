"""What the code that runs is in the middle of using: it must not wait for the end of that."""

# What is held is of a table: one machine in two files.
# pyright: reportPrivateUsage=false
# ruff: noqa: SLF001

from __future__ import annotations

import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from hotplug.registry._entries import view
from hotplug.registry._hidden import hide
from hotplug.registry._threads import run_in_thread

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from hotplug._records import Entry
    from hotplug.context import UserExecutionContext
    from hotplug.registry._entries import Record
    from hotplug.registry._table import Table

__all__ = ["Held", "Stay", "is_held_here"]

T = TypeVar("T")


class Stay:
    """
    Some entries being used, from `enter` to `leave`, as the context of who entered knows, and all it starts.

    Contexts of what was started outlive it, so it says itself when it is over.
    """

    __slots__ = ("_records", "is_over")

    def __init__(self, *records: Record[Any]) -> None:
        self.is_over: bool = False
        _set_records(self, records)

    def include(self, record: Record[Any]) -> Stay:
        """It uses *record* too. One thread at a time."""
        _set_records(self, (*_records(self), record))
        return self

    def enter(self) -> Stay:
        """The caller's context is inside from now on."""
        _stays.set((*(stay for stay in _stays.get() if not stay.is_over), self))
        return self

    def leave(self) -> None:
        """It is over, in every context; in whichever it is said."""
        self.is_over = True
        _set_records(self, ())
        _stays.set(tuple(stay for stay in _stays.get() if stay is not self))


_stays: Final[ContextVar[tuple[Stay, ...]]] = ContextVar("hotplug_stays", default=())


# A context is inherited by code that is given less than who set it up: it can ask, and see nothing.
_records: Callable[[Stay], tuple[Record[Any], ...]]
_records, _set_records = hide(Stay, "_records")


def is_held_here(record: Record[Any]) -> bool:
    """Whether the current context leases *record*, or runs inside of it."""
    return any(record is used for stay in _stays.get() for used in _records(stay))


class Held(Generic[T]):
    """One entry that is not closed as long as it is held, whatever stands under its key by now."""

    __slots__ = ("_table", "key", "record")

    def __init__(self, table: Table[T], key: str, record: Record[T]) -> None:
        self._table: Final = table
        self.key: Final = key
        self.record: Final = record

    @property
    def entry(self) -> Entry:
        """A view of it."""
        return view(self.key, self.record)

    @property
    def is_over(self) -> bool:
        """Whether it was let go of all the same, because somebody would wait no longer."""
        return self.record.is_over

    def once_more(self) -> AbstractContextManager[None]:
        """Hold it for as long as this lasts, too, and let the context know."""
        return self._table._once_more(self.record)

    def obtain(self, context: UserExecutionContext | None = None) -> T:
        """The object, as ``get`` would give it: a factory's is new."""
        return self._table._obtain(self.key, self.record, context)

    async def aobtain(
        self,
        context: UserExecutionContext | None = None,
        *,
        unclaimed: Callable[[T], object] | None = None,
    ) -> T:
        """
        `obtain`; loads and factories run in a worker, which holds it until they are done.

        Who awaits may be cancelled before: what is made all the same is given to *unclaimed*, in a worker.
        """
        if hasattr(self.record, "item"):
            return self.obtain(context)
        # Who awaits may be cancelled, and the worker goes on: it is the worker that ends this.
        import asyncio

        holding = self.once_more()
        holding.__enter__()
        begun = False
        made: list[T] = []
        claim = threading.Lock()  # who takes it first decides what becomes of the object

        def work() -> T:
            nonlocal begun
            begun = True
            try:
                made.append(self.obtain(context))
                if not claim.acquire(blocking=False) and unclaimed is not None:
                    unclaimed(made[0])
                return made[0]
            finally:
                holding.__exit__(None, None, None)

        try:
            return await run_in_thread(work)
        except asyncio.CancelledError:
            if not claim.acquire(blocking=False) and unclaimed is not None:
                await run_in_thread(unclaimed, made[0])
            raise
        except RuntimeError:
            if not begun:  # there are no more threads
                holding.__exit__(None, None, None)
            raise
