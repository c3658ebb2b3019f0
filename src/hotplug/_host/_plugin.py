"""A plugin at its seat: its entry in a registry, its status, what it made."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from hotplug._host._secrets import hide_secrets, without_secrets
from hotplug._kinds import Scope
from hotplug._lifecycle import name_and_text
from hotplug._loader import (
    NOBODY,
    Blueprint,
    PluginContext,
    behind_wall,
    mentions,
    modules_of,
    prepare,
    traceback_of,
)
from hotplug._records import Changes
from hotplug.context import UserExecutionContext
from hotplug.errors import DuplicateKeyError, HostError, PluginError, PluginTimeoutError
from hotplug.events import EventEmitter
from hotplug.registry import Once, when_released

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from hotplug._host._gateways import Gateways
    from hotplug._host._policy import Seat
    from hotplug._records import PluginStatus
    from hotplug.errors import HotplugError
    from hotplug.events import EventHub
    from hotplug.registry import Undo, UniversalRegistry

__all__ = ["Plugin", "Surroundings"]

T = TypeVar("T")
RESTART: Final = "restart required"
MEND: Final = "see the error; mend the plugin or install another version"


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


class Plugin:
    """
    One seat's life: placed in its registry, loaded at first use, taken away again.

    Status changes are atomic; nothing of the plugin's own code runs under a lock.
    """

    def __init__(self, seat: Seat, host: Surroundings) -> None:
        self.seat: Seat = seat
        self._host = host
        self._status = seat.status
        self._guard = threading.Lock()
        self._blueprint: Once[Blueprint[Any]] = Once(seat.kind.name, seat.status.key)
        self._shared: Once[Any] = Once(seat.kind.name, seat.status.key)
        self._stuck: PluginTimeoutError | None = None
        self._left_behind: list[str] = []
        self._object: list[object] = []
        self._stood: list[Undo] = []  # also what a roll-back has ended: it may be leased still
        self._withdrawn = False

    # -- what it is --------------------------------------------------------------------------------

    @property
    def status(self) -> PluginStatus:
        """The present status."""
        return self._status

    @property
    def distribution(self) -> str:
        """The name of the distribution it comes from."""
        return self.seat.status.record.distribution

    @property
    def is_in_use(self) -> bool:
        """Whether code of this plugin runs in this process: loaded, stuck, or imported by somebody else."""
        state = self._status.state
        return state in ("loaded", "timed_out") or (
            state == "discovered" and bool(modules_of(self.seat.status.record))
        )

    @property
    def stands(self) -> bool:
        """Whether it has taken its key, and not given it back."""
        return self._undo is not None

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

    @property
    def stuck_threads(self) -> tuple[str, ...]:
        """The names of the threads that were left behind in this plugin's code, and may have ended since."""
        return tuple(self._left_behind)

    def mark(self, **facts: Any) -> None:
        """Change the status, at once and as a whole."""
        with self._guard:
            self._status = replace(self._status, **facts)

    # -- its entry ---------------------------------------------------------------------------------

    def facts(self) -> dict[str, Any]:
        """What its registry entry carries."""
        entry = self.seat.entry
        return {
            "tags": entry.tags if entry else (),
            "metadata": dict(entry.options) if entry else {},
            "owner": self.seat.status.record,
        }

    @property
    def _undo(self) -> Undo | None:
        return self._stood[-1] if self._stood and not self._withdrawn else None

    def stand(self, registry: UniversalRegistry[Any]) -> None:
        """Take the key. Raises what the registry raises."""
        key = self.seat.status.key
        if self.seat.kind.scope is Scope.USER:
            self._has(registry.register_factory(key, self.make_for, **self.facts()))
        else:
            self._has(registry.register_lazy(key, self.make_shared, **self.facts()))

    def take_over(self, registry: UniversalRegistry[Any], old: Plugin) -> None:
        """Stand in the place of *old*, at once: no lookup finds the key missing."""
        undo = old._undo
        if undo is None:
            self.stand(registry)
            return
        key = self.seat.status.key
        if self.seat.kind.scope is Scope.USER:
            self._has(registry.supersede(undo, key, factory=self.make_for, **self.facts()))
        else:
            self._has(registry.supersede(undo, key, load=self.make_shared, **self.facts()))
        old._withdrawn = True

    def tune(self, registry: UniversalRegistry[Any], seat: Seat) -> None:
        """Follow *seat*, which differs in what the object need not know."""
        self.seat = seat
        retune: Callable[..., None] = getattr(registry, "retune", _nothing_to_tune)
        retune(seat.status.key, seat.status.record, self.facts())

    def _has(self, undo: Undo) -> None:
        self._stood.append(undo)
        self._withdrawn = False

    def withdraw(self) -> None:
        """Give the key back. Raises `FrozenRegistryError` where the registry is frozen."""
        if (undo := self._undo) is not None:
            undo()
            self._withdrawn = True

    def when_released(self, callback: Callable[[], None]) -> None:
        """Call *callback* when nobody leases what it stood as, now or before a roll-back."""
        entries = iter(self._stood)

        def wait_for_the_next() -> None:
            undo = next(entries, None)
            if undo is None:
                callback()
            else:
                when_released(undo, wait_for_the_next)

        wait_for_the_next()

    def try_again(self) -> None:
        """After a look at the environment: what timed out may be tried once more."""
        if self._stuck is not None:
            self._stuck = None
            self.mark(state="discovered", reason="", remedy="", error="")
        elif self._status.reason == RESTART:
            self.mark(reason="", remedy="")

    def displaced(self, error: HotplugError) -> None:
        """It could not take its key, or not give it back: say why."""
        if isinstance(error, DuplicateKeyError):
            remedy = f"{error}; give the plugin another key in the configuration"
            self.mark(state="conflict", reason="conflict", remedy=remedy)
        else:
            self.restart_required(f"{error}; restart to follow the change")

    def restart_required(self, remedy: str) -> None:
        """It cannot follow a change in this process, and serves as it is."""
        self.mark(reason=RESTART, remedy=remedy)

    def obtain(self) -> None:
        """Load it now, as far as that goes without a user. Raises `PluginError`."""
        if self.seat.kind.scope is Scope.USER:
            self.prepared()
        elif not self.stands:  # beside the one that still stands
            self.make_shared()
        else:
            self._obtain_from(self._host.registries[self.seat.kind.name])

    def _obtain_from(self, registry: UniversalRegistry[Any]) -> None:
        try:
            registry.get(self.seat.status.key)
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
            blueprint = prepare(
                seat.kind,
                seat.status.record,
                settings,
                key=seat.status.key,
                limit=self._host.load_timeout,
                injectable=self._injectable(None),
            )
            if seat.kind.scope is Scope.USER:
                self._loaded(time.perf_counter() - started)
            return blueprint

    @contextlib.contextmanager
    def _loading(self) -> Generator[None]:
        """What fails inside is a failure of this plugin; nobody inside may ask for a verb of the host."""
        if self._stuck is not None:
            raise _again(self._stuck)
        with self._host.loading(self.seat.name):
            try:
                yield
            except PluginError as error:
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
        if self._status.error:  # it worked for this user, or works again
            self._note("", "", "")
        return made

    def _note(self, reason: str, remedy: str, error: str) -> None:
        """Say how the latest making went; that it needs a restart stays said."""
        if self._status.reason == RESTART:
            self.mark(error=error)
        else:
            self.mark(reason=reason, remedy=remedy, error=error)

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

    def _loaded(self, seconds: float) -> None:
        self.mark(state="loaded", reason="", remedy="", error="", load_seconds=seconds)
        self._host.happened(Changes(changed=(self.seat.name,)))

    def _told(self, error: PluginError) -> str:
        """The traceback, and the error itself, without the secrets that this plugin was given."""
        settings: object = self.seat.entry.settings if self.seat.entry else ()
        hide_secrets(error, settings)
        return without_secrets(traceback_of(error), settings)

    def works(self) -> None:
        """What had failed was tried again, and went well."""
        if self._status.state != "loaded":
            self._stuck = None
            self.mark(state="loaded", reason="", remedy="", error="")
            self._host.happened(Changes(changed=(self.seat.name,)))

    def failed(self, error: PluginError) -> None:
        """Say so in the status, with the traceback as text."""
        if isinstance(error, PluginTimeoutError):
            self._stuck = _again(error)
            self._left_behind.append(error.thread)
        self.mark(
            state="failed" if self._stuck is None else "timed_out",
            reason=error.reason,
            remedy=error.remedy or MEND,
            error=self._told(error),
        )
        self._host.happened(Changes(failed=(self.seat.name,)))


def _again(error: PluginTimeoutError) -> PluginTimeoutError:
    """The same error anew: one that is raised twice collects tracebacks, and all that they keep alive."""
    return PluginTimeoutError(
        error.doing, error.limit, error.record, remedy=error.remedy, thread=error.thread
    )


def _nothing_to_tune(*_: object) -> None:
    """A kind of the application's own may have a registry that knows of no such thing."""
