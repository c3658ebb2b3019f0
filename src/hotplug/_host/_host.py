"""The host: where the machines meet."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast, overload

from hotplug import _discovery
from hotplug._config import Config
from hotplug._host._closing import settle
from hotplug._host._follow import Follower
from hotplug._host._hooks import GROUP, Hooks
from hotplug._host._policy import allot
from hotplug._host._session import Session
from hotplug._host._turn import Turn
from hotplug._kinds import KINDS, Kind
from hotplug._lifecycle import HomeLoop
from hotplug._records import VERSION, Changes, Health, PluginStatus
from hotplug.errors import ConfigError, HostError, close_match
from hotplug.events import EventHub
from hotplug.registry import run_in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    import pluggy

    from hotplug._host._plugin import Plugin
    from hotplug._host._policy import Seat
    from hotplug._records import HealthStatus, PluginRecord, Problem
    from hotplug.agents import AgentRegistry
    from hotplug.brokers import BrokerRegistry
    from hotplug.context import UserExecutionContext
    from hotplug.errors import PluginError
    from hotplug.registry import Undo, UniversalRegistry
    from hotplug.services import ServiceRegistry
    from hotplug.strategies import StrategyRegistry
    from hotplug.tools import ToolRegistry

__all__ = ["CloseReport", "Host"]

T = TypeVar("T")
_log = logging.getLogger("hotplug.host")


@dataclass(frozen=True, slots=True)
class CloseReport:
    """How closing went: what plugins raised, and the names of threads stuck in plugin code (daemons)."""

    errors: tuple[PluginError, ...] = ()
    threads: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.errors or self.threads)


class _Listener:
    """One subscription; the same callable may be subscribed twice, and each is undone by itself."""

    def __init__(self, hear: Callable[[Changes], None]) -> None:
        self.hear: Final = hear


class Host:
    """
    Finds the installed plugins, puts them into registries, and looks after them until it is closed.

    *config* is a `Config` or the path of a ``hotplug.toml`` (``None`` reads no file). *kinds* are what
    plugins can be. *path* replaces ``sys.path`` for discovery, and is not put there for you. Without
    *cache* no index file is read or written. *strict* turns every failing plugin into a `StartError`.

    Use it as a context manager: ``with`` owns an event-loop thread for what is async, ``async with``
    lives on the running loop. Thread-safe. Raises `ConfigError` for a wrong configuration.
    """

    def __init__(
        self,
        config: Config | str | Path | None = None,
        *,
        kinds: Sequence[Kind[Any]] = KINDS,
        path: Sequence[str] | None = None,
        cache: bool = True,
        strict: bool = False,
    ) -> None:
        self._config = _config_of(config)
        self._path = path
        self._cache = cache
        self._strict: Final = strict or self._config.host.strict
        self._kinds: dict[str, Kind[Any]] = {}
        self._registries: dict[str, UniversalRegistry[Any]] = {}
        self._hooks: Final = Hooks()
        self._events: Final = EventHub()
        self._records: tuple[PluginRecord, ...] = ()
        self._problems: tuple[Problem, ...] = ()
        self._state = "new"
        self._home: HomeLoop | None = None
        self._turn: Final = Turn("hotplug.verb")
        self._listeners: tuple[_Listener, ...] = ()
        self._listening: Final = threading.Lock()
        self._news: deque[Changes] = deque()
        self._telling: Final = threading.Lock()
        self._sessions: set[Session] = set()
        self._report: CloseReport | None = None
        self._follower: Final = Follower(self)
        for kind in kinds:
            self._add_kind(kind)
        self._introduce()

    # -- what there is -----------------------------------------------------------------------------

    @property
    def brokers(self) -> BrokerRegistry:
        """The brokers."""
        return cast("BrokerRegistry", self._registry_named("brokers"))

    @property
    def agents(self) -> AgentRegistry:
        """The agents."""
        return cast("AgentRegistry", self._registry_named("agents"))

    @property
    def tools(self) -> ToolRegistry:
        """The tools."""
        return cast("ToolRegistry", self._registry_named("tools"))

    @property
    def strategies(self) -> StrategyRegistry:
        """The strategies."""
        return cast("StrategyRegistry", self._registry_named("strategies"))

    @property
    def services(self) -> ServiceRegistry:
        """The services."""
        return cast("ServiceRegistry", self._registry_named("services"))

    @overload
    def registry(self, kind: Kind[T]) -> UniversalRegistry[T]: ...
    @overload
    def registry(self, kind: str) -> UniversalRegistry[Any]: ...
    def registry(self, kind: Kind[T] | str) -> UniversalRegistry[T] | UniversalRegistry[Any]:
        """The registry of a kind, or of the kind of that name. Raises `HostError` for an unknown one."""
        return self._registry_named(kind if isinstance(kind, str) else kind.name)

    def _registry_named(self, name: str) -> UniversalRegistry[Any]:
        try:
            return self._registries[name]
        except KeyError:
            raise HostError(f"this host has no kind {name!r} ({close_match(name, self._kinds)})") from None

    @property
    def hooks(self) -> pluggy.PluginManager:
        """The plugin manager of the three hooks; register yours before `start`."""
        return self._hooks.manager

    @property
    def events(self) -> EventHub:
        """Where agents and the application emit events, and users' cursors read them."""
        return self._events

    @property
    def plugins(self) -> tuple[PluginStatus, ...]:
        """The status of every plugin under each of its keys: hooks first, then kind by kind, by key."""
        return (*self._hooks.statuses.values(), *(plugin.status for plugin in self._follower.standing))

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What discovery found broken in the environment."""
        return self._problems

    @property
    def config(self) -> Config:
        """The configuration that is in force."""
        return self._config

    def health(self) -> Health:
        """The worst of the registries and plugins; calls nothing."""
        from datetime import UTC, datetime

        issues = [
            f"{status.name}: {status.reason}"
            for status in self.plugins
            if status.state in ("failed", "timed_out", "broken", "quarantined", "conflict")
        ]
        parts = {name: registry.health() for name, registry in self._registries.items()}
        issues += [f"{name}: {issue}" for name, part in parts.items() for issue in part.issues]
        found: list[HealthStatus] = [part.status for part in parts.values()]
        if issues:
            found.append("degraded")
        worst = max((_SEVERITY.index(status) for status in found), default=0)
        return Health(_SEVERITY[worst], tuple(issues), datetime.now(UTC), parts)

    def subscribe(self, listener: Callable[[Changes], None]) -> Undo:
        """Tell *listener* of every change, one at a time, in order; one that raises is logged."""
        added = _Listener(listener)
        with self._listening:
            self._listeners += (added,)

        def undo() -> None:
            with self._listening:
                self._listeners = tuple(known for known in self._listeners if known is not added)

        return undo

    # -- coming and going --------------------------------------------------------------------------

    def start(self) -> None:
        """
        Discover, register, and bring up what shall run. Idempotent; a closed host does not start again.

        Raises `StartError` if a required plugin does not work, `HostError` after `close`.
        """
        self._start(lambda: HomeLoop.own("hotplug home"))

    async def astart(self) -> None:
        """`start`, with the running loop as the home of what is async."""
        home = HomeLoop.adopt()
        await run_in_thread(self._start, lambda: home)

    def _start(self, home: Callable[[], HomeLoop]) -> None:
        with self._turn.take("start"):
            if self._state == "started":
                return
            if self._state == "closed":
                raise HostError("a closed host does not start again: make a new Host")
            self._home = home()
            self._state = "started"
            try:
                self._begin()
            except BaseException:
                self._shut()
                raise

    def _begin(self) -> None:
        self._follow_hooks(fresh=False)
        if self._config.host.watch:
            _log.warning("[host] watch = true: this version does not watch; call host.refresh()")
        self._config.check_kinds(self._kinds)
        self._look(fresh=False)
        self._follower.follow(self._seats(self._config), config_first=False)
        self._follower.demand(everything=self._strict)
        self._follower.bring_up()

    def close(self) -> CloseReport:
        """
        Stop, disconnect and close everything, in reverse order. Idempotent; gives the same report again.

        On the loop that the host lives on, `aclose` is the one to use (`RuntimeError`).
        """
        self._refuse_on_home("close", "aclose")
        return self._close()

    async def aclose(self) -> CloseReport:
        """`close`, without blocking the loop."""
        return await run_in_thread(self._close)

    def _close(self) -> CloseReport:
        with self._turn.take("close"):
            if self._report is None:
                self._report = self._shut()
            return self._report

    def _shut(self) -> CloseReport:
        home, self._state = self._home, "closed"
        errors: list[PluginError] = []
        threads: list[str] = []
        if home is not None:
            for session in tuple(self._sessions):
                errors += home.run(settle(session.end(), self._config.host.drain_timeout))
            errors += self._follower.close()
        self._events.close()
        if home is not None and (stuck := home.close()) is not None:
            threads.append(stuck)
        threads += self._follower.stuck_threads()
        report = CloseReport(tuple(errors), tuple(threads))
        for error in errors:
            _log.warning("closing: %s", error)
        return report

    def __enter__(self) -> Host:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Host:
        await self.astart()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # -- following the environment and the configuration -------------------------------------------

    def refresh(self) -> Changes:
        """
        Look at the environment again, thoroughly, and follow it.

        Added distributions are registered, removed ones withdrawn and closed; a changed one that is
        already imported goes on serving and says ``restart required``.
        """
        self._refuse_on_home("refresh", "arefresh")
        return self._refresh()

    async def arefresh(self) -> Changes:
        """`refresh`, without blocking the loop."""
        return await run_in_thread(self._refresh)

    def _refresh(self) -> Changes:
        with self._turn.take("refresh"):
            self._refuse_unless_started("refresh")
            self._follow_hooks(fresh=True)
            self._look(fresh=True)
            changes = self._follower.follow(self._seats(self._config), config_first=False)
            self._follower.bring_up()
        self.happened(changes)
        return changes

    def reload(self, distribution: str) -> Changes:
        """
        Follow what became of one distribution.

        One that is imported and has changed is not replaced in the running process: it is ``failed``
        in the answer and its status says ``restart required``. Raises `HostError` for an unknown one.
        """
        self._refuse_on_home("reload", "areload")
        return self._reload(distribution)

    async def areload(self, distribution: str) -> Changes:
        """`reload`, without blocking the loop."""
        return await run_in_thread(self._reload, distribution)

    def _reload(self, distribution: str) -> Changes:
        known = {status.record.distribution for status in self.plugins}
        changes = self._refresh()
        known |= {status.record.distribution for status in self.plugins}
        if distribution not in known:
            raise HostError(f"no plugin comes from {distribution!r} ({close_match(distribution, known)})")
        return changes

    def plan(self, config: Config | str | Path) -> Changes:
        """What `apply` would change. Imports nothing. Raises `ConfigError`."""
        wanted = _config_of(config)
        wanted.check_kinds(self._kinds)
        return self._follower.plan(self._seats(wanted))

    def apply(self, config: Config | str | Path) -> Changes:
        """
        Make *config* the configuration in force.

        Everything it names is imported, checked and connected beside what runs; then only what
        differs is touched. On any failure nothing has changed and the failure is raised:
        `ConfigError`, `PluginError` (`SettingsError` for settings that do not fit).
        """
        self._refuse_on_home("apply", "aapply")
        return self._apply(config)

    async def aapply(self, config: Config | str | Path) -> Changes:
        """`apply`, without blocking the loop."""
        return await run_in_thread(self._apply, config)

    def _apply(self, config: Config | str | Path) -> Changes:
        with self._turn.take("apply"):
            self._refuse_unless_started("apply")
            wanted = _config_of(config)
            wanted.check_kinds(self._kinds)
            changes = self._follower.follow(self._seats(wanted), config_first=True)
            self._config = wanted
        self.happened(changes)
        return changes

    def session(self, context: UserExecutionContext) -> Session:
        """A user's scope: one instance per key, closed in reverse order when it ends."""
        self._refuse_unless_started("session")
        session = Session(
            context, self._registry_named, self.home, self._sessions.discard, self._config.host.drain_timeout
        )
        self._sessions.add(session)
        return session

    # -- for the rest of the machine room ----------------------------------------------------------

    @property
    def home(self) -> HomeLoop:
        """The loop that gateways and services live on."""
        if self._home is None:
            raise HostError("the host has not been started: use 'with Host() as host' or host.start()")
        return self._home

    @property
    def load_timeout(self) -> float:
        """How long plugin code may take to load, in seconds."""
        return self._config.host.load_timeout

    @property
    def drain_timeout(self) -> float:
        """How long plugin code may take to end, in seconds."""
        return self._config.host.drain_timeout

    @property
    def is_closed(self) -> bool:
        """Whether `close` has begun."""
        return self._state == "closed"

    @property
    def registries(self) -> Mapping[str, UniversalRegistry[Any]]:
        """The registries by the names of their kinds."""
        return self._registries

    def data_folder(self, seat: Seat) -> Path:
        """Where a plugin may keep files."""
        record = seat.status.record
        return _data_root(self._config) / "plugins" / record.distribution / f"{record.kind}.{seat.status.key}"

    def made(self, plugin: Plugin) -> None:
        """A plugin has made its shared object."""
        self._follower.made(plugin)

    def happened(self, changes: Changes) -> None:
        """Tell listeners and hooks, one change after the other, outside any lock."""
        if not changes:
            return
        self._news.append(changes)
        # Who finds another thread telling (or a caller further up this one) leaves it to that one.
        while self._news and self._telling.acquire(blocking=False):
            try:
                while self._news:
                    self._tell(self._news.popleft())
            finally:
                self._telling.release()

    def _tell(self, news: Changes) -> None:
        for listener in self._listeners:
            try:
                listener.hear(news)
            except Exception:  # noqa: BLE001 - border to the application's code
                _log.exception("a listener of host changes raised")
        self._hooks.changed(news)

    def rehearse(self, name: str) -> Plugin | None:
        """The plugin called ``kind/key``, placed on a host that brings nothing up; for `examine`."""
        with self._turn.take("rehearse"):
            self._home = HomeLoop.own("hotplug home")
            self._state = "started"
            self._follow_hooks(fresh=False)
            self._look(fresh=False)
            self._follower.follow(self._seats(self._config), config_first=False)
        return next((p for p in self._follower.standing if p.seat.name == name and p.seat.may_load), None)

    # -- pieces ------------------------------------------------------------------------------------

    def _add_kind(self, kind: Kind[Any]) -> None:
        known = self._kinds.setdefault(kind.name, kind)
        if known is not kind:
            raise ConfigError(f"two kinds are called {kind.name!r}: {known!r} and {kind!r}")
        registry = kind.make_registry()
        registry.explain = lambda key: self._explain(kind.name, key)
        self._registries[kind.name] = registry

    def _introduce(self) -> None:
        """Hand the agents what they are not allowed to import: where to tell, and what to call."""
        agents, tools = self._registries.get("agents"), self._registries.get("tools")
        if hasattr(agents, "bind"):
            caller = cast("ToolRegistry", tools) if hasattr(tools, "offered") else None
            cast("AgentRegistry", agents).bind(events=self._events, tools=caller)

    def _explain(self, kind: str, key: str) -> str:
        """Why nothing stands under a key that an application may have expected there."""
        if self._state != "started":
            return f"the host is {'closed' if self.is_closed else 'not started'}"
        for status in self.plugins:
            if status.record.kind == kind and status.key == key and status.state != "loaded":
                return f"{status.record} is {status.state}: {status.reason}; {status.remedy}"
        return ""

    def _follow_hooks(self, *, fresh: bool) -> None:
        """Load the hooks that are new, forget those that are gone; kinds that they brought stay."""
        found = _discovery.discover({GROUP: "hooks"}, self._path, fresh=fresh, cache=self._cache)
        hooks = Kind[Any].internal("hooks", GROUP)
        statuses = [seat.status for seat in allot([hooks], found.records, self._config, version=VERSION)]
        for record in set(self._hooks.statuses) - {status.record for status in statuses}:
            self._hooks.drop(record)
        for status in statuses:
            if status.record not in self._hooks.statuses:
                self._hooks.load(status, self.load_timeout)
        for kind in self._hooks.kinds():
            if self._kinds.get(kind.name) is not kind:
                self._add_kind(kind)

    def _look(self, *, fresh: bool) -> None:
        groups = {kind.group: kind.name for kind in self._kinds.values()}
        found = _discovery.discover(groups, self._path, fresh=fresh, cache=self._cache)
        self._records, self._problems = found.records, found.problems

    def _seats(self, config: Config) -> tuple[Seat, ...]:
        vetoes = self._hooks.vetoes(self._records)
        return allot(self._kinds.values(), self._records, config, version=VERSION, vetoes=vetoes)

    def _refuse_on_home(self, verb: str, twin: str) -> None:
        if self._home is not None and self._home.is_here:
            raise RuntimeError(
                f"{verb}() would block the loop that the host lives on: use 'await host.{twin}()'"
            )

    def _refuse_unless_started(self, verb: str) -> None:
        if self._state != "started":
            state = "closed" if self.is_closed else "not started"
            raise HostError(f"{verb}(): the host is {state}")


_SEVERITY: Final[tuple[HealthStatus, ...]] = ("healthy", "unknown", "degraded", "unhealthy")


def _config_of(config: Config | str | Path | None) -> Config:
    if config is None:
        return Config()
    return config if isinstance(config, Config) else Config.load(config)


def _data_root(config: Config) -> Path:
    """``[host] data``, else ``HOTPLUG_DATA``, else the user's data folder."""
    if (named := config.host.data or os.environ.get("HOTPLUG_DATA")) is not None:
        return Path(named).expanduser()
    import platformdirs

    return Path(platformdirs.user_data_dir("hotplug", appauthor=False))
