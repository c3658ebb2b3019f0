"""A plugin at its seat: its entry in a registry, its status, what it made."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from hotplug._kinds import Scope
from hotplug._loader import (
    NOBODY,
    Blueprint,
    PluginContext,
    behind_wall,
    drop_modules,
    modules_of,
    prepare,
    traceback_of,
)
from hotplug._records import Changes
from hotplug.context import UserExecutionContext
from hotplug.errors import DuplicateKeyError, PluginError, PluginTimeoutError
from hotplug.events import EventEmitter
from hotplug.registry import Once, when_released

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from hotplug._host._policy import Seat
    from hotplug._records import PluginStatus
    from hotplug.errors import HotplugError
    from hotplug.events import EventHub
    from hotplug.registry import Undo, UniversalRegistry

__all__ = ["Plugin", "Surroundings"]


class Surroundings(Protocol):
    """What a plugin needs of its host."""

    @property
    def load_timeout(self) -> float: ...
    @property
    def events(self) -> EventHub: ...
    @property
    def registries(self) -> Mapping[str, UniversalRegistry[Any]]: ...
    def data_folder(self, seat: Seat) -> Path: ...
    def made(self, plugin: Plugin) -> None: ...
    def happened(self, changes: Changes) -> None: ...


class Plugin:
    """
    One seat's life: placed in its registry, loaded at first use, taken away again.

    Status changes are atomic; nothing of the plugin's own code runs under a lock.
    """

    def __init__(self, seat: Seat, host: Surroundings) -> None:
        self.seat: Final = seat
        self._host = host
        self._status = seat.status
        self._guard = threading.Lock()
        self._blueprint: Once[Blueprint[Any]] = Once(seat.kind.name, seat.status.key)
        self._stuck: PluginTimeoutError | None = None
        self._object: list[object] = []
        self.undo: Undo | None = None

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
        return entry is not None or self._starts_itself

    @property
    def _starts_itself(self) -> bool:
        try:
            return bool(getattr(self.prepared().target, "autostart", False))
        except PluginError:
            return False  # its status says why

    @property
    def stuck_thread(self) -> str | None:
        """The name of the thread that is stuck in this plugin's code."""
        return None if self._stuck is None else self._stuck.thread

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

    def stand(self, registry: UniversalRegistry[Any]) -> None:
        """Take the key, if the seat allows loading. Raises what the registry raises."""
        if not self.seat.may_load:
            return
        key = self.seat.status.key
        if self.seat.kind.scope is Scope.USER:
            self.undo = registry.register_factory(key, self.make_for, **self.facts())
        else:
            self.undo = registry.register_lazy(key, self.make_shared, **self.facts())

    def take_over(self, registry: UniversalRegistry[Any], old: Plugin) -> None:
        """Stand in the place of *old*, at once: no lookup finds the key missing."""
        if old.undo is None:
            self.stand(registry)
            return
        key = self.seat.status.key
        if self.seat.kind.scope is Scope.USER:
            self.undo = registry.supersede(old.undo, key, factory=self.make_for, **self.facts())
        else:
            self.undo = registry.supersede(old.undo, key, load=self.make_shared, **self.facts())

    def withdraw(self) -> None:
        """Give the key back. Raises `FrozenRegistryError` where the registry is frozen."""
        if self.undo is not None:
            self.undo()

    def when_released(self, callback: Callable[[], None]) -> None:
        """Call *callback* when nobody leases the entry any more."""
        if self.undo is not None:
            when_released(self.undo, callback)

    def try_again(self) -> None:
        """After a look at the environment, what timed out may be tried once more."""
        if self._stuck is not None:
            self._stuck = None
            self.mark(state="discovered", reason="", remedy="", error="")

    def make_way(self) -> None:
        """Drop the modules of a plugin that never worked, so that its successor is imported anew."""
        if self._status.state == "failed":
            drop_modules(self.seat.status.record)

    def displaced(self, error: HotplugError) -> None:
        """It could not take its key, or not give it back: say why."""
        if isinstance(error, DuplicateKeyError):
            remedy = f"{error}; give the plugin another key in the configuration"
            self.mark(state="conflict", reason="conflict", remedy=remedy)
        else:
            self.mark(reason="restart required", remedy=f"{error}; restart to follow the change")

    def obtain(self) -> None:
        """Load it now, as far as that goes without a user. Raises `PluginError`."""
        if self.seat.kind.scope is Scope.USER:
            self.prepared()
        elif self.undo is None:  # beside the one that still stands
            self.make_shared()
        else:
            self._host.registries[self.seat.kind.name].get(self.seat.status.key)

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
        if self._stuck is not None:
            raise self._stuck
        seat, started = self.seat, time.perf_counter()
        try:
            settings: Mapping[str, object] = seat.entry.settings if seat.entry else {}
            blueprint = prepare(
                seat.kind, seat.status.record, settings, key=seat.status.key, limit=self._host.load_timeout
            )
            blueprint.check(self._injectable(None))
        except PluginError as error:
            self.failed(error)
            raise
        if seat.kind.scope is Scope.USER:
            self._loaded(time.perf_counter() - started)
        return blueprint

    def make_shared(self) -> Any:
        """The one object of a shared plugin. Raises `PluginError`."""
        if self._object:  # a roll-back stands it up again
            return self._object[0]
        started = time.perf_counter()
        blueprint = self.prepared()
        try:
            made = behind_wall(
                self.seat.status.record,
                "construction",
                lambda: blueprint.make(self._injectable(None)),
                self._host.load_timeout,
            )
        except PluginError as error:
            self.failed(error)
            raise
        self._object.append(made)
        self._loaded(time.perf_counter() - started)
        self._host.made(self)
        return made

    def make_for(self, context: UserExecutionContext) -> Any:
        """A new object for one user. Raises `PluginError`."""
        blueprint = self.prepared()
        try:
            return blueprint.make(self._injectable(context))
        except PluginError as error:
            self.mark(error=traceback_of(error))
            raise

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
                registries=self._host.registries,
                data=self._host.data_folder(self.seat),
            ),
        }

    def _loaded(self, seconds: float) -> None:
        self.mark(state="loaded", reason="", remedy="", error="", load_seconds=seconds)
        self._host.happened(Changes(changed=(self.seat.name,)))

    def failed(self, error: PluginError) -> None:
        """Say so in the status, with the traceback as text."""
        timed_out = isinstance(error, PluginTimeoutError)
        if timed_out:
            self._stuck = error  # type: ignore[assignment]
        self.mark(
            state="timed_out" if timed_out else "failed",
            reason=error.reason,
            remedy=error.remedy or "see the error; mend the plugin or install another version",
            error=traceback_of(error),
        )
        self._host.happened(Changes(failed=(self.seat.name,)))
