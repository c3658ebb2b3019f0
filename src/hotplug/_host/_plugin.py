"""A plugin at its seat: its entry in a registry, its status, what it made."""

from __future__ import annotations

import contextlib
import logging
import time
import weakref
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from hotplug._host._condition import MEND, Condition
from hotplug._kinds import Scope
from hotplug._lifecycle import name_and_text
from hotplug._loader import (
    NOBODY,
    Blueprint,
    PluginContext,
    behind_wall,
    mentions,
    prepare,
)
from hotplug.context import UserExecutionContext
from hotplug.errors import (
    HostError,
    PluginError,
    PluginImportError,
)
from hotplug.events import EventEmitter
from hotplug.registry import Once, Retirement, stands

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from hotplug._host._code import Code
    from hotplug._host._gateways import Gateways
    from hotplug._host._policy import Seat
    from hotplug._records import Changes
    from hotplug.events import EventHub
    from hotplug.registry import Change, Undo, UniversalRegistry

__all__ = ["Plugin", "Surroundings"]

T = TypeVar("T")


class Surroundings(Protocol):
    """What a plugin needs of its host."""

    @property
    def load_timeout(self) -> float: ...
    @property
    def events(self) -> EventHub: ...
    @property
    def registries(self) -> Mapping[str, UniversalRegistry[Any]]: ...
    @property
    def gateways(self) -> Gateways: ...
    def data_folder(self, seat: Seat) -> Path: ...
    def loading(self, name: str) -> AbstractContextManager[None]: ...
    def made(self, plugin: Plugin) -> bool: ...
    def happened(self, changes: Changes) -> None: ...


class Plugin(Condition):
    """
    One seat's life: placed in its registry, loaded at first use, taken away again.

    Status changes are atomic; nothing of the plugin's own code runs under a lock.
    """

    stands: bool

    def __init__(self, seat: Seat, host: Surroundings, code: Code | None = None) -> None:
        super().__init__(seat, host, code)
        self.code: Final = code
        """The generation of its distribution that it is of; None for what may not be loaded."""
        self._host = host
        self._blueprint: Once[Blueprint[Any]] = Once(seat.kind.name, seat.status.key)
        self._shared: Once[Any] = Once(seat.kind.name, seat.status.key)
        self._object: list[object] = []
        self.undo: Undo | None = None
        """Takes back its entry, once it has stood."""
        self._coming: Undo | None = None
        self._made_for: list[tuple[weakref.ref[Any], UserExecutionContext]] = []

    # -- what it is --------------------------------------------------------------------------------

    @property
    def distribution(self) -> str:
        """The name of the distribution it comes from."""
        return self.seat.status.record.distribution

    @property
    def is_in_use(self) -> bool:
        """Whether code of this plugin runs in this process: loaded, stuck, or imported by somebody else."""
        state = self._status.state
        return state in ("loaded", "timed_out") or (
            state == "discovered" and self.code is not None and self.code.is_loaded
        )

    @property
    def may_be_tried(self) -> bool:
        """Whether it may be loaded, and nobody has tried that yet."""
        return self.stands and self._status.state == "discovered"

    @property
    def product(self) -> object | None:
        """The shared object, if it has been made."""
        return self._object[0] if self._object else None

    @property
    def shall_run(self) -> bool:
        """Whether the host is to start it: a broker with ``connect``, a named or self-starting service."""
        if self.seat.kind.up is None or not self.seat.may_load:
            return False
        entry = self.seat.entry
        if self.seat.kind.up == "connect":
            return entry is not None and entry.connect
        if entry is not None:
            return bool(entry.options.get("autostart", True))
        return mentions(self.seat.status.record, "autostart") and self._starts_itself

    @property
    def _starts_itself(self) -> bool:
        try:
            target = self.prepared().target
        except PluginError:
            return False  # its status says why
        try:
            return self._asked("autostart", lambda: bool(getattr(target, "autostart", False)))
        except PluginError as error:
            self.failed(error)
            return False

    @property
    def requires(self) -> tuple[str, ...]:
        """The names (``kind/key``) of what its object requires, in its own kind. Raises `PluginError`."""

        def keys() -> tuple[str, ...]:
            said: Any = getattr(self.product, "requires", ())
            found: tuple[Any, ...] = (None,) if isinstance(said, str) else tuple(said)
            if not all(isinstance(key, str) for key in found):
                raise TypeError(f"requires is a tuple of keys, not {said!r}")
            return found

        return tuple(f"{self.seat.kind.name}/{key}" for key in self._asked("requires", keys))

    def _asked(self, what: str, read: Callable[[], T]) -> T:
        """A fact that only the plugin's code knows; it may be a property that does anything."""
        return behind_wall(self.seat.status.record, f"reading {what!r}", read, self._host.load_timeout)

    # -- its entry ---------------------------------------------------------------------------------

    def facts(self) -> dict[str, Any]:
        """What its registry entry carries."""
        entry = self.seat.entry
        return {
            "tags": entry.tags if entry else (),
            "metadata": dict(entry.options) if entry else {},
            "owner": self.seat.status.record,
            "generation": self._status.generation or 1,
        }

    def come(self, change: Change, registry: UniversalRegistry[Any], old: Plugin | None = None) -> Undo:
        """
        Take the key with *change*, or the place of *old*; `came` says that it is out.

        What was made before is in its registry at once, not when somebody first asks for it. Raises
        `PluginError` where a validator does not accept that.
        """
        makes: dict[str, Any] = {"factory": self.make_for}
        if self.seat.kind.scope is not Scope.USER:
            makes = {"load": self.make_shared}
            if self.product is not None:
                makes["item"] = self.product
        before = None if old is None else old.undo
        with self._refusals():
            if before is None:
                self._coming = change.put(registry, self.seat.status.key, **makes, **self.facts())
            else:
                self._coming = change.swap(before, **makes, **self.facts())
        return self._coming

    def came(self) -> None:
        """It stands."""
        self.undo, self._coming = self._coming, None
        self.stands = True

    def tune(self, registry: UniversalRegistry[Any], seat: Seat) -> None:
        """Follow *seat*, which differs in what the object need not know."""
        self.seat = seat
        retune: Callable[..., None] = getattr(registry, "retune", _nothing_to_tune)
        retune(seat.status.key, seat.status.record, self.facts())

    @property
    def undos(self) -> tuple[Undo, ...]:
        """What takes back its entry; nothing, if it has never stood."""
        return () if self.undo is None else (self.undo,)

    @property
    def has_lost_its_key(self) -> bool:
        """Whether the application has put something of its own in the place where it stood."""
        if not self.stands or all(map(stands, self.undos)):
            return False
        return self.seat.status.key in self._host.registries[self.seat.kind.name]

    def withdraw(self) -> None:
        """Give the key back. Raises `FrozenRegistryError` where the registry is frozen."""
        for undo in self.undos if self.stands else ():
            undo()
            self.stands = False

    def when_released(self, callback: Callable[[], None]) -> None:
        """Call *callback* when nobody leases what it stands as, or stood as."""
        if Retirement(self.undos, callback).begin():
            callback()

    def obtain(self) -> None:
        """Load it now, as far as that goes without a user. Raises `PluginError`."""
        if self.seat.kind.scope is Scope.USER:
            self.prepared()
        elif not self.stands:  # beside the one that still stands
            self.make_shared()
        else:
            self._obtain_from(self._host.registries[self.seat.kind.name])

    def _obtain_from(self, registry: UniversalRegistry[Any]) -> None:
        with self._refusals():
            registry.get(self.seat.status.key)

    @contextlib.contextmanager
    def _refusals(self) -> Generator[None]:
        """What is raised inside is a failure of this plugin."""
        try:
            yield
        except PluginError:
            raise
        except Exception as error:  # a validator of the application, which may be anybody's code
            failure = PluginError(f"was refused: {name_and_text(error)}", self.seat.status.record)
            self.failed(failure)
            raise failure from error

    def try_out(self, context: UserExecutionContext) -> None:
        """Load it and make one object as if for *context*. Raises `PluginError`."""
        if self.seat.kind.scope is Scope.USER:
            self.make_for(context)
        else:
            self.obtain()

    # -- loading -----------------------------------------------------------------------------------

    def prepared(self) -> Blueprint[Any]:
        """The checked blueprint, imported at the first call. Raises `PluginError`."""
        return self._blueprint.get(self._prepare)

    def _prepare(self) -> Blueprint[Any]:
        seat, started = self.seat, time.perf_counter()
        settings: Mapping[str, object] = seat.entry.settings if seat.entry else {}
        with self._loading():
            assert self.code is not None  # noqa: S101 - who may not be loaded is not asked
            blueprint = prepare(
                seat.kind,
                seat.status.record,
                settings,
                key=seat.status.key,
                limit=self._host.load_timeout,
                injectable=self._injectable(None),
                importer=self.code.import_module,
            )
            self.code.proved()
            if seat.kind.scope is Scope.USER:
                self._loaded(time.perf_counter() - started)
            return blueprint

    @contextlib.contextmanager
    def _loading(self) -> Generator[None]:
        """What fails inside is a failure of this plugin; nobody inside may ask for a verb of the host."""
        self._refuse_while_stuck()
        with self._host.loading(self.seat.name):
            try:
                yield
            except PluginError as error:
                if self.code is not None and isinstance(error, PluginImportError):
                    self.code.failed()
                self.failed(error)
                raise

    def make_shared(self) -> Any:
        """The one object of a shared plugin. Raises `PluginError`, and `HostError` where it came too late."""
        return self._shared.get(self._make_shared)

    def _make_shared(self) -> Any:
        started = time.perf_counter()
        blueprint = self.prepared()
        with self._loading():
            made = behind_wall(
                self.seat.status.record,
                "construction",
                lambda: blueprint.make(self._injectable(None)),
                self._host.load_timeout,
            )
            self._object = [made]
            if not self._host.made(self):
                raise HostError(f"the host was closed while {self.seat.name} was being made")
            self._host.gateways.adopt(self)
            self._loaded(time.perf_counter() - started)
        return made

    def make_for(self, context: UserExecutionContext) -> Any:
        """A new object for one user. Raises `PluginError`."""
        blueprint = self.prepared()
        with self._host.loading(self.seat.name):
            try:
                made = blueprint.make(self._injectable(context))
            except PluginError as error:
                self._note(error.reason, error.remedy or MEND, self._told(error))
                raise
        self._remember(made, context)
        if self._status.error:  # it worked for this user, or works again
            self._note("", "", "")
        return made

    def _remember(self, made: object, context: UserExecutionContext) -> None:
        """Whose it is: a run of it may be offered a successor one day."""
        if self.seat.kind.name == "strategies" and hasattr(type(made), "__weakref__"):
            with self._guard:
                self._made_for = [each for each in self._made_for if each[0]() is not None]
                self._made_for.append((weakref.ref(made), context))

    def made_for(self, thing: object) -> UserExecutionContext | None:
        """For whom it made *thing*; None if it did not."""
        return next((context for made, context in self._made_for if made() is thing), None)

    def _injectable(self, context: UserExecutionContext | None) -> dict[type, object]:
        status = self.seat.status
        hub = self._host.events
        user: object = NOBODY if self.seat.kind.scope is Scope.SHARED else context
        return {
            UserExecutionContext: user,
            EventEmitter: EventEmitter(hub, context),
            PluginContext: PluginContext(
                key=status.key,
                record=status.record,
                logger=logging.getLogger(f"hotplug.plugins.{self.seat.kind.name}.{status.key}"),
                registries=self._host.gateways.registries_for(self.seat, context),
                data=self._host.data_folder(self.seat),
            ),
        }


def _nothing_to_tune(*_: object) -> None:
    """A kind of the application's own may have a registry that knows of no such thing."""
