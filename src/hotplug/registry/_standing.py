"""What stands in a registry: in its own table, or at places of a shelf."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Generic, TypeVar, cast

from hotplug.registry._hidden import hide
from hotplug.registry._holding import Stay
from hotplug.registry._leases import Leases
from hotplug.registry._places import ShelfRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from hotplug.registry._cuts import Cut
    from hotplug.registry._entries import Record
    from hotplug.registry._places import Now
    from hotplug.registry._shelf import Shelf

__all__ = ["Standing"]

T = TypeVar("T")


class _Aside:
    """
    Has the shelf of a registry, if it has one, and shows it to nobody.

    Plugins have registries; what else stands on the shelf is not theirs to come to. It is an object of its
    own, because a slot more makes all attributes of a registry slower to read (on Python 3.13).
    """

    __slots__ = ("_shelf",)

    def __init__(self) -> None:
        _put_shelf(self, None)


_shelf_in: Callable[[_Aside], Shelf | None]
_shelf_in, _put_shelf = hide(_Aside, "_shelf")


class Standing(Generic[T]):
    """
    Keys and their records.

    One reference is read to get an object, one is written to change it. What is on a shelf has only its
    place here: what stands there, if anything, the shelf says. `_moves` is odd while there are places here
    that the shelf does not show.
    """

    def __init__(self, name: str) -> None:
        self._name: Final = name
        self._table: dict[str, Record[T] | ShelfRecord[T]] = {}
        self._writing: Final = threading.RLock()
        self._frozen = False
        self._leases: Final = Leases(self._writing)
        self._moves = 0
        self._aside: Final = _Aside()

    def _at(self, key: str) -> Record[T] | None:
        """What stands under *key*, if anything does."""
        record = self._table.get(key)
        return record.holder if isinstance(record, ShelfRecord) else record

    def _snapshot(self) -> dict[str, Record[T]]:
        """All keys and what stands there, in order of registration, at one instant."""
        while True:
            now = self._now()
            table = self._table.copy()
            if self._now() is not now:
                continue
            if now is NOTHING:
                return cast("dict[str, Record[T]]", table)
            return {key: held for key, record in table.items() if (held := _seen_at(now, record)) is not None}

    def _now(self) -> Now:
        shelf = _shelf_in(self._aside)
        return NOTHING if shelf is None else shelf.now

    # -- the shelf ---------------------------------------------------------------------------------

    def _its_shelf(self) -> Shelf:
        """The shelf that has places here; under the lock."""
        return cast("Shelf", _shelf_in(self._aside))

    def _refuse_other_than(self, shelf: Shelf) -> None:
        if _shelf_in(self._aside) not in (None, shelf):
            raise ValueError(f"{self._name} stands on another shelf")

    def _begin_move(self, shelf: Shelf) -> None:
        _put_shelf(self._aside, shelf)
        self._moves += 1

    def _end_move(self) -> None:
        self._moves += 1

    # -- leases ------------------------------------------------------------------------------------

    def _take_lease(self, key: str, cut: Cut | None = None) -> Record[T] | None:
        """What stands under *key*, leased from now on."""
        # Under the lock, so that no lease begins after an undo took the entry away.
        with self._writing:
            record = self._at(key) if cut is None else cut.find(self, key)
            if record is not None:
                self._leases.begin(record)
        return record

    @contextmanager
    def _once_more(self, record: Record[T]) -> Generator[None]:
        """Another lease of *record*, which is leased."""
        with self._writing:
            self._leases.begin(record)
        stay = Stay(record).enter()
        try:
            yield
        finally:
            stay.leave()
            self._leases.end(record)


NOTHING: Final[Now] = {}


def _seen_at(now: Now, record: Record[T] | ShelfRecord[T]) -> Record[T] | None:
    return now.get(record) if isinstance(record, ShelfRecord) else record
