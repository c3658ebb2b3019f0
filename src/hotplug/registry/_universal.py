"""The registry that all kinds share."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, overload

from hotplug._records import FrozenDict, Health
from hotplug.registry._cuts import Sight
from hotplug.registry._entries import ABSENT, Factory, Lazy, checked_key, hits_of, view
from hotplug.registry._gate import Validator
from hotplug.registry._holding import Stay
from hotplug.registry._quiet import quiet_variant
from hotplug.registry._table import Table
from hotplug.registry._threads import run_in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping

    from hotplug._records import Entry, PluginRecord, RegistryChange
    from hotplug.context import UserExecutionContext
    from hotplug.registry._cuts import Cut
    from hotplug.registry._entries import Record
    from hotplug.registry._metrics import RegistryMetrics
    from hotplug.registry._undo import Undo

__all__ = ["UniversalRegistry"]

T = TypeVar("T")
D = TypeVar("D")


class UniversalRegistry(Table[T]):
    """
    Holds objects of one contract under keys: shared items, factories, and items loaded on first use.

    *contract* is what every object must be: a class (checked by ``isinstance``), a Protocol (checked
    by members, arity and sync/async), ``"module:Name"`` of one (imported when first needed), or None.
    With ``metrics=False`` nothing is counted but entries.

    Every method may be called from any thread. Reads take no lock; writes hold one, and nobody's
    code (factories, loads, validators, listeners) runs while it is held. What a factory or a load
    raises reaches the caller unchanged.
    """

    _default_name: ClassVar[str] = ""
    _default_contract: ClassVar[type[Any] | str | None] = None

    def __new__(cls, *args: Any, metrics: bool = True, **kwargs: Any) -> Self:  # noqa: ARG004
        """Choose the class: where nothing is counted, reading does not even ask whether to count."""
        return super().__new__(cls if metrics else quiet_variant(cls, UniversalRegistry))

    def __init__(
        self, name: str | None = None, contract: type[T] | str | None = None, *, metrics: bool = True
    ) -> None:
        name = self._default_name if name is None else name
        if not (isinstance(name, str) and name):  # pyright: ignore[reportUnnecessaryIsInstance] - untyped callers
            raise TypeError(f"{type(self).__name__} needs a name, a non-empty str, not {name!r}")
        super().__init__(name, self._default_contract if contract is None else contract, metrics=metrics)

    # -- reading: no lock ---------------------------------------------------------------------------

    def __getitem__(self, key: str) -> T:
        try:
            record = self._table[key]
            item = record.item
            next(record.hits)
        except (KeyError, AttributeError):
            # Leave the handler first: what a factory raises must not look like a consequence.
            pass
        else:
            next(self._found)
            return item
        found: T = self._find(key, None, ABSENT)
        return found

    @overload
    def get(self, key: str, context: UserExecutionContext | None = None) -> T: ...
    @overload
    def get(self, key: str, context: UserExecutionContext | None = None, *, default: D) -> T | D: ...

    def get(self, key: str, context: UserExecutionContext | None = None, *, default: Any = ABSENT) -> Any:
        """
        The item under *key*; from a factory, a new instance for *context*.

        A lazy entry is loaded on the first call, whoever asks meanwhile waits for that. Absent keys
        give *default*, or raise `NotRegisteredError`. A factory without context raises
        `ContextRequiredError`, one that needs its own product `CircularFactoryError`, and a product
        that is not what the registry holds `ContractError`.
        """
        if context is not None:
            return self._find(key, context, default)
        try:
            record = self._table[key]
            item = record.item
            next(record.hits)
        except (KeyError, AttributeError):
            pass
        else:
            next(self._found)
            return item
        return self._find(key, context, default)

    @overload
    async def aget(self, key: str, context: UserExecutionContext | None = None) -> T: ...
    @overload
    async def aget(self, key: str, context: UserExecutionContext | None = None, *, default: D) -> T | D: ...

    async def aget(
        self, key: str, context: UserExecutionContext | None = None, *, default: Any = ABSENT
    ) -> Any:
        """`get`; factories and loads run in a worker thread, so the event loop goes on."""
        record = self._at(key)
        if record is None:
            return self._miss(key, default)
        if hasattr(record, "item"):
            return self._obtain(key, record, context)
        return await run_in_thread(self._obtain, key, record, context)

    def create_instance(self, key: str, context: UserExecutionContext) -> T:
        """
        A new instance from the factory under *key*, made for *context*.

        Raises `NotRegisteredError` if no factory stands there; otherwise as `get`.
        """
        try:
            maker: Any = self._table[key].maker
            make: Callable[[UserExecutionContext], T] = maker.make
        except (KeyError, AttributeError):
            make = self._factory_at(key)
        return make(context)

    def _factory_at(self, key: str) -> Callable[[UserExecutionContext], T]:
        record = self._at(key)
        if record is not None and isinstance(record.maker, Factory):  # the one just found was let go of
            return record.maker.make
        raise self._missed(key, "" if record is None else "it is a shared object: use get") from None

    @contextmanager
    def lease(self, key: str, context: UserExecutionContext | None = None) -> Generator[T]:
        """
        `get`, as a context manager: until its end, what stands under *key* is not closed.

        The entry may be unregistered or reloaded meanwhile; only closing waits. What a factory made
        belongs to the caller, the lease merely keeps its plugin alive.
        """
        record = self._take_lease(key)
        if record is None:
            raise self._missed(key)
        stay = Stay(record).enter()
        try:
            yield self._obtain(key, record, context)
        finally:
            stay.leave()
            self._leases.end(record)

    def keys(self) -> tuple[str, ...]:
        """All keys, in order of registration, as they are at this instant."""
        moves, keys = self._moves, tuple(self._table.copy())
        return tuple(self._snapshot()) if moves % 2 or moves != self._moves else keys

    def entries(self) -> tuple[Entry, ...]:
        """A view of each entry, in order of registration, as they are at this instant."""
        return tuple(view(key, record) for key, record in self._snapshot().items())

    def entry(self, key: str) -> Entry:
        """A view of what stands under *key*; `NotRegisteredError` if nothing does."""
        record = self._at(key)
        if record is None:
            raise self._unfit(key)
        return view(key, record)

    def list_by_tag(self, tag: str) -> tuple[str, ...]:
        """The keys that carry *tag*, in order of registration."""
        return tuple(key for key, record in self._snapshot().items() if tag in record.facts.tags)

    def at(self, cut: Cut) -> Sight[T]:
        """This registry as it was when *cut* was taken, for who wants no change to come between two looks."""
        return Sight(self, cut)

    def __len__(self) -> int:
        moves, count = self._moves, len(self._table)
        return len(self._snapshot()) if moves % 2 or moves != self._moves else count

    def __contains__(self, key: object) -> bool:
        return key in self._table and (not self._moves or self._at(key) is not None)  # pyright: ignore[reportArgumentType]

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __bool__(self) -> bool:
        # An empty registry is a registry; `if not registry` would mistake it for None.
        return True

    def __repr__(self) -> str:
        frozen = ", frozen" if self._frozen else ""
        return f"<{type(self).__name__} {self._name!r}: {len(self)} entries{frozen}>"

    @property
    def name(self) -> str:
        """What errors, changes and logs call this registry."""
        return self._name

    @property
    def frozen(self) -> bool:
        """Whether `freeze` was called."""
        return self._frozen

    def metrics(self) -> RegistryMetrics:
        """What was counted so far; no count is lost, however many threads there are."""
        table = self._snapshot()
        hits = {key: hits_of(record) for key, record in table.items()} if self._counting else {}
        return self._counters.report(len(table), FrozenDict(hits))

    def health(self) -> Health:
        """``degraded`` while the last load or factory call of some key failed; calls nothing."""
        failing = self._failing.copy()
        return Health(
            status="degraded" if failing else "healthy",
            issues=tuple(f"{self._name}/{key}: {text}" for key, text in failing.items()),
            checked_at=datetime.now(UTC),
            details=FrozenDict(entries=len(self), frozen=self._frozen),
        )

    # -- writing: under the lock, after everybody's code has run --------------------------------------

    def register(
        self,
        key: str,
        item: T,
        /,
        *,
        tags: Iterable[str] = (),
        metadata: Mapping[str, object] | None = None,
        owner: PluginRecord | None = None,
    ) -> Undo:
        """
        Stand *item* under *key*, for all; the undo takes it away again.

        Raises `ContractError`, `DuplicateKeyError` or `FrozenRegistryError`; nothing is registered then.
        """
        if type(key) is not str or not key:
            key = checked_key(key)
        record = self._record(tags, metadata, owner)
        record.item = item
        if not self._gate.is_open:
            self._gate.check(key, item)
        return self._publish(key, record)

    def register_factory(
        self,
        key: str,
        factory: Callable[[UserExecutionContext], T],
        /,
        *,
        tags: Iterable[str] = (),
        metadata: Mapping[str, object] | None = None,
        owner: PluginRecord | None = None,
    ) -> Undo:
        """
        Stand *factory* under *key*: each get calls it with the caller's context, and checks the product.

        Raises as `register`; `ContractError` also for what cannot be called or is async.
        """
        key = checked_key(key)
        self._gate.check_maker(key, factory)
        record = self._record(tags, metadata, owner)
        record.maker = self._factory(key, factory, record)
        return self._publish(key, record)

    def register_lazy(
        self,
        key: str,
        load: Callable[[], T],
        /,
        *,
        tags: Iterable[str] = (),
        metadata: Mapping[str, object] | None = None,
        owner: PluginRecord | None = None,
    ) -> Undo:
        """
        Stand under *key* what *load* will return: it runs once, on the first get, and is checked then.

        A load that fails is tried again on the next get. Raises as `register_factory`.
        """
        key = checked_key(key)
        self._gate.check_maker(key, load)
        record = self._record(tags, metadata, owner)
        record.maker = Lazy(load, self._name, key)
        return self._publish(key, record)

    def replace(self, key: str, item: T, /) -> T:
        """
        Swap the object under *key* for *item*, at once for all readers; returns the old one.

        Tags, metadata and owner stay. Raises `NotRegisteredError` where no object stands: nothing, a
        factory, or a lazy entry that was not loaded yet; otherwise as `register`.
        """
        self._refuse_if_frozen("replace", key)
        self._gate.check(key, item)
        old: T = ABSENT
        with self._writing:
            self._refuse_if_frozen("replace", key)
            record = self._at(key)
            if record is not None and hasattr(record, "item"):
                old = record.item
                self._put_in_place_of(key, record, item=item)
        if old is ABSENT:
            raise self._unfit(key, "" if record is None else _why_not_replaceable(record))
        self._announcer.deliver()
        return old

    def replace_factory(self, key: str, factory: Callable[[UserExecutionContext], T], /) -> None:
        """Swap the factory under *key*; as `replace`, but nothing is returned."""
        self._refuse_if_frozen("replace the factory", key)
        self._gate.check_maker(key, factory)
        with self._writing:
            self._refuse_if_frozen("replace the factory", key)
            record = self._at(key)
            # Kept until after the lock: dropping it may run a finaliser, which is somebody's code.
            old = None if record is None else record.maker
            replaced = record is not None and isinstance(old, Factory)
            if record is not None and replaced:
                self._put_in_place_of(key, record, factory=factory)
        if not replaced:
            raise self._unfit(key, "" if record is None else "it is no factory: use replace")
        self._announcer.deliver()

    def unregister(self, key: str) -> None:
        """Take away what stands under *key*; `NotRegisteredError` if nothing does."""
        with self._writing:
            self._refuse_if_frozen("unregister", key)
            record = self._at(key)
            if record is not None:
                self._remove(key, record)
        if record is None:
            raise self._unfit(key)
        self._announcer.deliver()

    def add_validator(self, validator: Callable[[str, T], bool]) -> Undo:
        """
        Ask *validator* about everything that is registered, made or put in place from now on.

        It is called with key and object; if it returns false or raises, a `ContractError` says so.
        """
        added = Validator(validator)
        with self._writing:
            self._refuse_if_frozen("add a validator")
            self._gate.set_validators((*self._gate.validators, added))

        def remove() -> None:
            with self._writing:
                if added in self._gate.validators:
                    self._refuse_if_frozen("remove a validator")
                    self._gate.set_validators(tuple(v for v in self._gate.validators if v is not added))

        return remove

    def subscribe(self, listener: Callable[[RegistryChange], None]) -> Undo:
        """
        Tell *listener* of every change from now on, after it happened.

        Changes come one at a time and in order, in the thread of one of those who made them. What a
        listener raises is logged. Changes that it makes itself come later.
        """
        with self._writing:
            subscription = self._announcer.subscribe(listener)

        def cancel() -> None:
            with self._writing:
                self._announcer.cancel(subscription)

        return cancel

    def freeze(self) -> None:
        """Refuse all writes from now on. Loads, factories, counters and subscriptions go on."""
        with self._writing:
            self._frozen = True


def _why_not_replaceable(record: Record[Any]) -> str:
    if isinstance(record.maker, Factory):
        return "it is a factory: use replace_factory"
    return "it is lazy and was not loaded yet: get it first, or unregister it and register anew"
