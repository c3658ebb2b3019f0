"""The machine room of a registry: its records, its lock, how objects get in and out."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from hotplug._records import RegistryChange
from hotplug.errors import (
    ContextRequiredError,
    DuplicateKeyError,
    FrozenRegistryError,
    NotRegisteredError,
)
from hotplug.registry._changes import Announcer
from hotplug.registry._entries import (
    ABSENT,
    Factory,
    Lazy,
    Record,
    checked_key,
    facts_of,
    no_facts,
    owner_of,
    view,
)
from hotplug.registry._gate import Gate, describe
from hotplug.registry._holding import Held, Stay
from hotplug.registry._making import OUTER, SUBJECT, Frame, begin_making, being_made, refuse_circle
from hotplug.registry._metrics import Counters
from hotplug.registry._places import Holder, ShelfRecord
from hotplug.registry._standing import Standing
from hotplug.registry._undo import Withdrawal

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping

    from hotplug._records import ChangeAction, PluginRecord
    from hotplug.context import UserExecutionContext
    from hotplug.registry._cuts import Cut
    from hotplug.registry._entries import Facts
    from hotplug.registry._undo import Undo

__all__ = ["Table"]

T = TypeVar("T")


class Table(Standing[T]):
    """
    How objects come out of a registry, and how records come in.

    `_writing` is held for checks and dict operations only; everybody's code runs before or after.
    """

    explain: Callable[[str], str] | None = None
    """Says why nothing stands under a key, where somebody knows better; the host does."""

    def __init__(self, name: str, contract: type[T] | str | None, *, metrics: bool) -> None:
        super().__init__(name)
        self._counting: Final = metrics
        self._counters: Final = Counters()
        self._found: Final = self._counters.found
        self._made: Final = self._counters.made
        self._gate: Final[Gate[T]] = Gate(name, contract)
        self._announcer: Final = Announcer()
        self._failing: dict[str, str] = {}

    # -- out ----------------------------------------------------------------------------------------

    def _find(self, key: str, context: UserExecutionContext | None, default: Any) -> Any:
        """What the short way of reading did not find: an absent key, a factory, something to load."""
        record = self._table.get(key)
        if isinstance(record, ShelfRecord):
            record = record.holder
        if record is None:
            return self._miss(key, default)
        return self._obtain(key, record, context)

    def _miss(self, key: str, default: Any) -> Any:
        if default is ABSENT:
            raise self._missed(key)
        self._count(self._counters.missed)
        return default

    def _missed(self, key: str, why: str = "") -> NotRegisteredError:
        """The error for a lookup that found nothing it could use; counted."""
        self._count(self._counters.missed)
        return self._unfit(key, why)

    def _obtain(self, key: str, record: Record[T], context: UserExecutionContext | None) -> T:
        """The object of *record*, made now if it must be."""
        maker = record.maker
        try:
            if isinstance(maker, Factory):
                return maker.make(context)
            self._count_find(record.hits if self._counting else None)
            if maker is not None and not hasattr(record, "item"):
                maker.subject.get(lambda: self._load(key, record, maker))
            item = record.item
        except Exception:  # border to plugin code
            if not record.is_over:
                raise
        else:
            return item
        # It was found, then taken away, and let go of its object, or its code, before this came to it.
        instead: T = self._find(key, context, ABSENT)
        return instead

    def _load(self, key: str, record: Record[T], maker: Lazy[T]) -> None:
        if hasattr(record, "item") or record.is_over:
            # Whoever loaded it was interrupted just afterwards; or it has just let go of all it had.
            return
        try:
            item = maker.load()
            self._gate.check(key, item)
        except BaseException as error:
            self._note_failure(key, maker.subject, error)
            raise
        record.item = item
        maker.forget()
        self._failing.pop(key, None)
        self._count(self._counters.loaded)

    def _factory(
        self, key: str, factory: Callable[[UserExecutionContext], T], record: Record[T]
    ) -> Factory[T]:
        """
        *factory* as it stands in a record: guarded against circles, its products checked, its calls counted.

        A closure, because it then finds all it needs at hand, and this is a hot path.
        """
        subject, name, gate, failing, made = object(), self._name, self._gate, self._failing, self._made
        hits = record.hits if self._counting else None
        accepted: type[Any] | None = None

        def make(context: UserExecutionContext | None) -> T:
            nonlocal accepted
            if context is None:
                self._count_find(hits)
                raise ContextRequiredError(name, key)
            around = being_made()
            while around is not None and around[SUBJECT] is None:
                around = around[OUTER]
            frame: Frame = [subject, around, name, key]
            try:
                if around is not None:
                    refuse_circle(subject, name, key)
                begin_making(frame)
                product = factory(context)
                if type(product) is not accepted or gate.validators:
                    gate.check(key, product)
                    accepted = type(product) if gate.vouches_for(type(product)) else None
            except BaseException as error:
                self._count_find(hits)
                self._note_failure(key, subject, error)
                raise
            finally:
                frame[SUBJECT] = None
            if hits is not None:
                next(hits)
                next(made)
            if failing:
                failing.pop(key, None)
            return product

        return Factory(make, subject)

    # -- in -----------------------------------------------------------------------------------------

    def _record(
        self,
        tags: Iterable[str],
        metadata: Mapping[str, object] | None,
        owner: PluginRecord | None,
    ) -> Record[T]:
        record: Record[T] = Record()
        record.maker = None
        plain = tags == () and metadata is None and owner is None
        record.facts = no_facts if plain else facts_of(tags, metadata, owner)
        if self._counting:
            record.hits = count()
        return record

    def _publish(self, key: str, record: Record[T]) -> Undo:
        """Stand *record* under its key; the undo takes back this one and no other."""
        with self._writing:
            if self._frozen:
                raise FrozenRegistryError(self._name, f"register {key!r}")
            is_free = self._table.setdefault(key, record) is record
            if is_free and self._announcer.subscriptions:
                self._queue("registered", key, record)
            standing = record if is_free else self._at(key)
        if not is_free:
            raise DuplicateKeyError(self._name, key, owner_of(cast("Record[T]", standing)), owner_of(record))
        if self._counting:
            next(self._counters.registered)
        if self._announcer.pending:
            self._announcer.deliver()
        undo = Withdrawal()
        undo.table = self
        undo.key = key
        undo.record = record
        return undo

    def _put_in_place_of(
        self,
        key: str,
        record: Record[T],
        *,
        item: T = ABSENT,
        factory: Callable[[UserExecutionContext], T] | None = None,
    ) -> None:
        """
        Swap *record* for one with the same facts and hits; the caller holds the lock.

        A new record, so that the undo of the old registration leaves the newer object alone.
        """
        place = self._table[key]
        fresh: Record[T] = Holder() if isinstance(place, ShelfRecord) else Record()
        fresh.facts = record.facts
        if self._counting:
            fresh.hits = record.hits
        if factory is None:
            fresh.maker, fresh.item = record.maker, item
        else:
            fresh.maker = self._factory(key, factory, fresh)
        if isinstance(place, ShelfRecord) and isinstance(fresh, Holder):
            self._its_shelf().set(place, fresh)
        else:
            self._table[key] = fresh
        self._failing.pop(key, None)
        self._queue("replaced", key, fresh)

    def _withdraw(self, key: str, record: Record[Any]) -> None:
        with self._writing:
            # Something newer may stand under the key by now; only our own record is ours to take.
            if self._at(key) is not record:
                return
            self._refuse_if_frozen("undo the registration of", key)
            self._remove(key, record)
        self._announcer.deliver()

    def _remove(self, key: str, record: Record[Any]) -> None:
        """
        Take *record* out.

        The caller holds the lock, and a reference to *record* until it has let go of the lock:
        dropping the last one may run a finaliser, which is somebody's code.
        """
        place = self._table.pop(key)
        if isinstance(place, ShelfRecord):
            self._its_shelf().drop(place)
        self._failing.pop(key, None)
        self._queue("unregistered", key, record)

    def _queue(self, action: ChangeAction, key: str, record: Record[Any]) -> None:
        """Remember the change for those who listen, to be told after the lock."""
        if self._announcer.subscriptions:
            self._announcer.queue(RegistryChange(action, self._name, key, view(key, record)))

    def _refuse_if_frozen(self, verb: str, key: str = "") -> None:
        if self._frozen:
            raise FrozenRegistryError(self._name, f"{verb} {key!r}" if key else verb)

    # -- for the shelf -------------------------------------------------------------------------------

    def _staged(
        self,
        key: str,
        facts: Facts,
        before: Withdrawal | None,
        *,
        item: T = ABSENT,
        load: Callable[[], T] | None = None,
        factory: Callable[[UserExecutionContext], T] | None = None,
    ) -> Withdrawal:
        """The undo of an entry that is to stand here, checked; it goes on counting where *before* ends."""
        holder: Holder[T] = Holder()
        holder.facts = facts
        holder.maker = None
        if self._counting:
            holder.hits = count() if before is None else before.record.hits
        self._fill(holder, checked_key(key), item=item, load=load, factory=factory)
        undo = Withdrawal()
        undo.table = self
        undo.key = key
        undo.record = holder
        return undo

    def _fill(
        self,
        holder: Holder[T],
        key: str,
        *,
        item: T,
        load: Callable[[], T] | None,
        factory: Callable[[UserExecutionContext], T] | None,
    ) -> None:
        if factory is not None:
            self._gate.check_maker(key, factory)
            holder.maker = self._factory(key, factory, holder)
        elif load is not None or item is ABSENT:
            self._gate.check_maker(key, load)
            holder.maker = Lazy(load, self._name, key)  # type: ignore[arg-type]  # the gate let it pass
        if item is not ABSENT:
            self._gate.check(key, item)
            holder.item = item
            if isinstance(holder.maker, Lazy):
                holder.maker.forget()

    def _landed(self, action: ChangeAction, key: str, record: Record[Any]) -> None:
        """*record* has come or gone with a change of the shelf; under the lock."""
        self._failing.pop(key, None)
        if action != "unregistered":
            self._count(self._counters.registered)
            if isinstance(record.maker, Lazy) and hasattr(record, "item"):
                self._count(self._counters.loaded)
        self._queue(action, key, record)

    def _stands(self, key: str, facts: Facts) -> None:
        """An entry with these *facts* stands under *key* from now on; called without the lock."""

    # -- leases ---------------------------------------------------------------------------------------

    @contextmanager
    def hold(self, key: str, cut: Cut | None = None) -> Generator[Held[T]]:
        """
        What stands under *key* (stood, when *cut* was taken), as a context manager: not closed until its end.

        For the rooms below: nothing is made yet. `NotRegisteredError` where nothing stands there.
        """
        record = self._take_lease(key, cut)
        if record is None:
            late = (
                "it came after what else is used here" if cut is not None and key in self._snapshot() else ""
            )
            raise self._unfit(key, late)
        stay = Stay(record).enter()
        try:
            yield Held(self, key, record)
        finally:
            stay.leave()
            self._leases.end(record)

    # -- accounts -----------------------------------------------------------------------------------

    def _count(self, counter: count[int]) -> None:
        if self._counting:
            next(counter)

    def _count_find(self, hits: count[int] | None) -> None:
        if hits is not None:
            next(hits)
            next(self._found)

    def _note_failure(self, key: str, subject: object, error: BaseException) -> None:
        """Make the failure visible in metrics and, while that maker stands, in health."""
        self._count(self._counters.failed)
        text = describe(error)
        with self._writing:
            record = self._at(key)
            if record is not None and record.maker is not None and record.maker.subject is subject:
                self._failing[key] = text

    def _unfit(self, key: str, why: str = "") -> NotRegisteredError:
        """The error for a key under which nothing of the needed sort stands."""
        if not why and self.explain is not None:
            why = self.explain(key)
        return NotRegisteredError(self._name, key, self._snapshot(), why)
