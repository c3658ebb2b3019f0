"""
Entries of several registries that change together: one assignment publishes them all.

    place in a table (`ShelfRecord`) ──▶ now ──▶ what stands there (`Holder`)

A `Change` lays places into the tables that `now` does not know yet, assigns `now`, and takes out the places
that it knows no more. Readers ask `now` last, so they see all of a change or nothing of it.
"""

# The shelf and the tables are one machine in several files.
# pyright: reportPrivateUsage=false
# ruff: noqa: SLF001

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar, cast
from weakref import ref

from hotplug.errors import DuplicateKeyError, FrozenRegistryError
from hotplug.registry._cuts import Cut
from hotplug.registry._entries import ABSENT, facts_of, owner_of
from hotplug.registry._leases import locked
from hotplug.registry._places import Holder, ShelfRecord, places, table_of
from hotplug.registry._undo import Withdrawal, registration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from hotplug._records import ChangeAction, PluginRecord
    from hotplug.context import UserExecutionContext
    from hotplug.registry._entries import Record
    from hotplug.registry._places import Now
    from hotplug.registry._table import Table
    from hotplug.registry._undo import Undo

__all__ = ["Change", "Refusal", "Shelf"]

T = TypeVar("T")


class Shelf:
    """
    What stands at all its places, in any number of registries. Thread-safe.

    *now* is replaced as a whole, never changed: who keeps it keeps one cut.
    """

    def __init__(self) -> None:
        place, self._look, self._show = places()
        self.place: type[ShelfRecord[Any]] = place
        # Taken last, after the locks of registries; reentrant: a finaliser runs wherever memory is allocated.
        self._guard: Final = threading.RLock()
        self._cut = ref(Cut(self.now))

    @property
    def now(self) -> Now:
        """Who stands where."""
        return self._look()

    def change(self) -> Change:
        """Puts, swaps and removals that will be published together."""
        return Change(self)

    def cut(self) -> Cut:
        """What stands now, to be kept."""
        cut, now = self._cut(), self.now
        if cut is None or cut.now is not now:
            cut = Cut(now)
            # Only for who asks at the same time: nothing that is gone is kept alive for nobody.
            self._cut = ref(cut)
        return cut

    # -- for the tables, each under its own lock -----------------------------------------------------

    def set(self, place: ShelfRecord[T], holder: Holder[T]) -> None:
        """Have *holder* stand at *place*, where something else stood."""
        holder.settle(place)
        with self._guard:
            self._show({**self.now, place: holder})

    def drop(self, place: ShelfRecord[Any]) -> None:
        """Have nothing stand at *place*, which is in no table any more."""
        with self._guard:
            self._show({other: holder for other, holder in self.now.items() if other is not place})

    def land(self, change: Change, moves: Mapping[ShelfRecord[Any], Holder[Any] | None]) -> None:
        """Have each place hold what *moves* says, all at once."""
        tables = {table_of(place) for place in moves}
        with self._guard:
            merged = {**self.now, **moves}
            now = {place: held for place, held in merged.items() if held is not None}
            for table in tables:
                table._begin_move(self)
            try:
                for place in moves:
                    table_of(place)._table[place.key] = place
                self._show(now)
            finally:
                # After an interrupt, too: readers see all or nothing, and only what stands is in a table.
                change.is_out = self.now is now
                for place in moves:
                    if place.holder is None:
                        table_of(place)._table.pop(place.key, None)
                for table in tables:
                    table._end_move()


class _Step(NamedTuple):
    """*come* takes a key, *go* leaves it; or one takes the place of the other."""

    table: Table[Any]
    key: str
    come: Withdrawal | None
    go: Withdrawal | None

    @property
    def undo(self) -> Withdrawal:
        """That of who comes, or else goes."""
        return cast("Withdrawal", self.come or self.go)


class Refusal(NamedTuple):
    """What could not be done and why: *undo* is that of the put, swap or removal."""

    undo: Undo
    error: DuplicateKeyError | FrozenRegistryError


class Change:
    """
    Puts, swaps and removals in any registries, as if done one after the other, and seen at once.

    A key that stands before and after keeps its place in the order, and no reader misses it. Collecting
    checks what will stand, and may run code of contracts and validators; `publish` runs nobody's code but
    listeners, at the end. One thread collects and publishes; a change is published once.
    """

    def __init__(self, shelf: Shelf) -> None:
        self._shelf: Final = shelf
        self._steps: list[_Step] = []
        self._begun = False
        self.is_out = False
        """Whether readers see it; also where `publish` was interrupted."""
        self.refused: list[Refusal] = []
        """What `publish` left out."""

    def put(
        self,
        registry: Table[T],
        key: str,
        /,
        *,
        item: T = ABSENT,
        load: Callable[[], T] | None = None,
        factory: Callable[[UserExecutionContext], T] | None = None,
        tags: Iterable[str] = (),
        metadata: Mapping[str, object] | None = None,
        owner: PluginRecord | None = None,
        generation: int | None = None,
    ) -> Undo:
        """
        Stand *item*, what *load* will give, or what *factory* makes, under *key*; the undo takes it away.

        With *load* and *item*, the entry is lazy and has been loaded. Raises `ContractError` for what may not
        stand there. *generation* is the number that the entry shows.
        """
        facts = facts_of(tags, metadata, owner, generation)
        # A key that this change frees goes on counting.
        others = (step for step in reversed(self._steps) if step.table is registry and step.key == key)
        freed = next((step.undo for step in others), None)
        undo = registry._staged(key, facts, freed, item=item, load=load, factory=factory)
        self._steps.append(_Step(registry, key, undo, None))
        return undo

    def swap(
        self,
        old: Undo,
        /,
        *,
        item: Any = ABSENT,
        load: Callable[[], Any] | None = None,
        factory: Callable[[UserExecutionContext], Any] | None = None,
        tags: Iterable[str] = (),
        metadata: Mapping[str, object] | None = None,
        owner: PluginRecord | None = None,
        generation: int | None = None,
    ) -> Undo:
        """
        As `put`, in the place of what *old* takes back.

        Where that does not stand any more, and the key is free, it is a put.
        """
        going = _shelved(old)
        facts = facts_of(tags, metadata, owner, generation)
        undo = going.table._staged(going.key, facts, going, item=item, load=load, factory=factory)
        self._steps.append(_Step(going.table, going.key, undo, going))
        return undo

    def remove(self, undo: Undo, /) -> None:
        """Take away what *undo* takes back; nothing, where that does not stand any more."""
        going = _shelved(undo)
        self._steps.append(_Step(going.table, going.key, None, going))

    def publish(self, *, strict: bool = True) -> tuple[Refusal, ...]:
        """
        Do it all, at once.

        Raises `DuplicateKeyError` (another entry stands under the key) or `FrozenRegistryError`, and nothing
        has happened then. Not *strict*, what cannot be done is left out and is the answer.
        """
        if self._begun:
            raise RuntimeError("a change is published once")
        self._begun = True
        tables = tuple(dict.fromkeys(step.table for step in self._steps))
        draft = _Draft(self._shelf)
        with locked(table._writing for table in tables):
            for table in tables:
                table._refuse_other_than(self._shelf)
            for step in self._steps:
                error = draft.refusal(step)
                if error is None:
                    draft.take(step)
                elif strict:
                    raise error
                else:
                    self.refused.append(Refusal(step.undo, error))
            # The draft outlives the locks, and so does what goes: dropping that may run a finaliser.
            self._shelf.land(self, draft.moves())
            for action, step in draft.done:
                step.table._landed(action, step.key, step.undo.record)
        for _, step in draft.done:
            if step.come is not None:
                step.table._stands(step.key, step.come.record.facts)
        for table in tables:
            table._announcer.deliver()
        return tuple(self.refused)


class _Draft:
    """How things would be after the steps taken so far. Under the locks of all tables."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf: Final = shelf
        self._after: dict[tuple[Table[Any], str], Holder[Any] | None] = {}
        self.done: list[tuple[ChangeAction, _Step]] = []

    def _standing(self, step: _Step) -> Record[Any] | None:
        where = step.table, step.key
        return self._after[where] if where in self._after else step.table._at(step.key)

    def refusal(self, step: _Step) -> DuplicateKeyError | FrozenRegistryError | None:
        """Why *step* cannot be taken."""
        table, key, come, go = step
        standing = self._standing(step)
        is_ours = go is not None and standing is go.record
        if table._frozen and (come is not None or is_ours):
            verb = "undo the registration of" if come is None else "register"
            return FrozenRegistryError(table._name, f"{verb} {key!r}")
        if come is None or standing is None or is_ours:
            return None
        return DuplicateKeyError(table._name, key, owner_of(standing), owner_of(come.record))

    def take(self, step: _Step) -> None:
        """Take *step*, which nothing speaks against."""
        table, key, come, go = step
        standing = self._standing(step)
        if come is not None:
            self.done.append(("registered" if standing is None else "replaced", step))
            self._after[table, key] = cast("Holder[Any]", come.record)
        elif go is not None and standing is go.record:
            self.done.append(("unregistered", step))
            self._after[table, key] = None

    def moves(self) -> dict[ShelfRecord[Any], Holder[Any] | None]:
        """What each place is to hold; a key that stands before and after keeps its place."""
        moves: dict[ShelfRecord[Any], Holder[Any] | None] = {}
        for (table, key), held in self._after.items():
            place = table._table.get(key)
            if isinstance(place, ShelfRecord):
                moves[place] = held
            elif held is not None:
                moves[self._shelf.place(table, key)] = held
        for place, held in moves.items():
            if held is not None:
                held.settle(place)
        return moves


def _shelved(undo: Undo) -> Withdrawal:
    """*undo*, as that of an entry on a shelf; `TypeError` for any other."""
    withdrawal = registration(undo)
    if not isinstance(withdrawal.record, Holder):
        raise TypeError(f"{undo!r} is of an entry that is on no shelf")
    return withdrawal
