"""What stood on a shelf at one instant, kept by who wants no change to come between two looks."""

# A cut is taken of tables: one machine in several files.
# pyright: reportPrivateUsage=false
# ruff: noqa: SLF001

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from hotplug.registry._entries import Record
from hotplug.registry._places import table_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

    from hotplug.registry._holding import Held
    from hotplug.registry._places import Holder, Now
    from hotplug.registry._standing import Standing
    from hotplug.registry._table import Table

__all__ = ["Cut", "Sight"]

T = TypeVar("T")


class Cut:
    """Everything that stood on a shelf at one instant."""

    __slots__ = ("__weakref__", "_by_table", "now")

    def __init__(self, now: Now) -> None:
        self.now: Final = now
        self._by_table: dict[Standing[Any], dict[str, Holder[Any]]] | None = None

    def of(self, table: Standing[T]) -> Mapping[str, Holder[T]]:
        """What stood in *table*, by key, in order."""
        if self._by_table is None:
            by_table: dict[Standing[Any], dict[str, Holder[Any]]] = {}
            for place, holder in self.now.items():
                by_table.setdefault(table_of(place), {})[place.key] = holder
            self._by_table = by_table
        return self._by_table.get(table, {})

    def find(self, table: Standing[T], key: str) -> Record[T] | None:
        """
        What is found under *key* by who keeps to this cut.

        That is what stood then, or what stands now where that has been closed since, or is on no shelf.
        """
        own = self.of(table).get(key)
        if own is None:
            standing = table._table.get(key)
            return standing if isinstance(standing, Record) else None
        return table._at(key) if own.is_over else own


class Sight(Generic[T]):
    """A registry as seen by who keeps to a cut. Thread-safe."""

    def __init__(self, table: Table[T], cut: Cut) -> None:
        self._table: Final = table
        self._cut: Final = cut

    def hold(self, key: str) -> AbstractContextManager[Held[T]]:
        """The entry under *key*, not closed until the end; `NotRegisteredError` where there is none."""
        return self._table.hold(key, self._cut)

    def keys(self) -> tuple[str, ...]:
        """The keys, in order of registration."""
        return tuple(self._records())

    def list_by_tag(self, tag: str) -> tuple[str, ...]:
        """The keys that carry *tag*."""
        return tuple(key for key, record in self._records().items() if tag in record.facts.tags)

    def _records(self) -> dict[str, Record[T]]:
        now = self._table._snapshot()
        then = self._cut.of(self._table)
        kept = {key: now.get(key) if own.is_over else own for key, own in then.items()}
        left = {key: record for key, record in kept.items() if record is not None}
        in_turn = iter(left.items())
        seen: dict[str, Record[T]] = {}
        for key, standing in now.items():
            if key in left:  # what was kept stays in its own order, wherever it stands now
                seen.update([next(in_turn)])
            elif type(standing) is Record:
                seen[key] = standing
        return seen | left

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._cut.find(self._table, key) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self._records())
