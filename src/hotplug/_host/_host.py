"""The host: where the machines meet."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from hotplug._config import Config
from hotplug._host._closing import CloseReport, stuck_in
from hotplug._host._data import folder_of
from hotplug._host._follow import Follower, is_required
from hotplug._host._gateways import Gateways, check_options
from hotplug._host._health import worst_of
from hotplug._host._news import News
from hotplug._host._outlook import Outlook
from hotplug._host._policy import normal_name
from hotplug._host._registries import Registries
from hotplug._host._session import Session, Sessions
from hotplug._host._shelves import Shelves
from hotplug._host._turn import Turn
from hotplug._kinds import KINDS
from hotplug._lifecycle import HomeLoop, to_the_end
from hotplug.errors import HostError, close_match
from hotplug.events import EventHub
from hotplug.registry import run_in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    import pluggy

    from hotplug._host._plugin import Plugin
    from hotplug._host._policy import Seat
    from hotplug._kinds import Kind
    from hotplug._records import Changes, Health, PluginStatus, Problem
    from hotplug.agents import BaseAgent
    from hotplug.context import UserExecutionContext
    from hotplug.errors import PluginError
    from hotplug.market import Order
    from hotplug.registry import Undo, UniversalRegistry

__all__ = ["CloseReport", "Host"]

_log = logging.getLogger("hotplug.host")


class Host(Shelves):
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
        self._strict: Final = strict or self._config.host.strict
        self._state = "new"
        self._home: HomeLoop | None = None
        self._turn: Final = Turn()
        self._events: Final = EventHub()
        super().__init__(Registries(self._explain))
        self._outlook: Final = Outlook(self._registries, path, cache=cache)
        self._news: Final = News(self._outlook.hooks.changed)
        self._follower: Final = Follower(self)
        self._sessions: Final = Sessions()
        self._gateways: Final = Gateways(self)
        self._report: CloseReport | None = None
        for kind in kinds:
            self._registries.add(kind)
        check_options(self._config)
        self._registries.introduce(self._events, self._offer_of, self._resident)
        self._registries.limit_abandoned(self._config.host.max_abandoned)

    # -- what there is -----------------------------------------------------------------------------

    @property
    def hooks(self) -> pluggy.PluginManager:
        """The plugin manager of the three hooks; register yours before `start`."""
        return self._outlook.hooks.manager

    @property
    def events(self) -> EventHub:
        """Where agents and the application emit events, and users' cursors read them."""
        return self._events

    @property
    def plugins(self) -> tuple[PluginStatus, ...]:
        """The status of every plugin under each of its keys: hooks first, then kind by kind, by key."""
        return (*self._outlook.hooks.statuses, *(plugin.status for plugin in self._follower.standing))

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What discovery found broken in the environment."""
        return self._outlook.problems

    @property
    def config(self) -> Config:
        """The configuration that is in force."""
        return self._config

    def health(self) -> Health:
        """The worst of the registries and plugins; calls nothing."""
        parts = {name: registry.health() for name, registry in dict(self.registries).items()}
        return worst_of(parts, self.plugins)

    def subscribe(self, listener: Callable[[Changes], None]) -> Undo:
        """
        Tell *listener* of every change, one at a time, in order; one that raises is logged.

        It is told of verbs when they are over, and may call others then. Of a load it is told inside
        that load, where verbs are refused (`HostError`).
        """
        return self._news.subscribe(listener)

    # -- coming and going --------------------------------------------------------------------------

    def start(self) -> None:
        """
        Discover, register, and bring up what shall run. Idempotent; a closed host does not start again.

        Raises `StartError` if a required plugin does not work, `HostError` after `close`.
        """
        self._start(lambda: HomeLoop.own("hotplug home"))

    async def astart(self) -> None:
        """`start`, with the running loop as the home of what is async. Cancelled, the host is closed."""
        home = HomeLoop.adopt()
        starting = asyncio.ensure_future(run_in_thread(self._start, lambda: home))
        try:
            await to_the_end(starting)
        except asyncio.CancelledError:
            if not starting.cancelled() and starting.exception() is None and starting.result():
                await to_the_end(run_in_thread(self._close))
            raise

    def _start(self, home: Callable[[], HomeLoop]) -> bool:
        """Start; whether that was not done before."""
        with self._verb("start"):
            if self._state == "started":
                return False
            if self._state == "closed":
                raise HostError("a closed host does not start again: make a new Host")
            try:
                self._home = home()
                self._state = "started"
                self._begin()
            except BaseException:
                self._report = self._shut()
                raise
            return True

    def _begin(self) -> None:
        if self._config.host.watch:
            _log.warning("[host] watch = true: this version does not watch; call host.refresh()")
        self._gateways.settle(self._config)
        self._outlook.look(self._config, fresh=False)
        self._config.check_kinds(self._registries.by_name)
        self._follower.follow(self._outlook.seats(self._config), config_first=False)
        if self._strict:
            self._outlook.demand_hooks()
        self._follower.demand(everything=self._strict)
        self._follower.bring_up(lambda plugin: self._strict or is_required(plugin))

    def close(self) -> CloseReport:
        """
        Stop, disconnect and close everything, in reverse order. Idempotent; gives the same report again.

        Sessions are ended; what others lease is waited for, ``drain_timeout`` seconds at most. Open orders
        stay at their venues and are in the report, unless ``on_shutdown = "cancel"``. On the loop that the
        host lives on, `aclose` is the one to use (`RuntimeError`).
        """
        self._refuse_on_home("close", "aclose")
        return self._close()

    async def aclose(self) -> CloseReport:
        """`close`, without blocking the loop. Who is cancelled meanwhile is so when everything is closed."""
        return await to_the_end(run_in_thread(self._close))

    def _close(self) -> CloseReport:
        with self._verb("close"):
            if self._report is None:
                self._report = self._shut()
            return self._report

    def _shut(self) -> CloseReport:
        """Works again after it was interrupted."""
        home, self._state = self._home, "closed"
        threads: list[str] = []
        errors: list[PluginError] = self._sessions.end()
        orders: tuple[Order, ...] = ()
        if home is not None:
            errors += self._follower.close()
            late, orders = self._gateways.end()
            errors += late
        self._events.close()
        if home is not None and (stuck := home.close()) is not None:
            threads.append(stuck)
        threads += [*stuck_in(errors), *self._follower.stuck_threads()]
        for error in errors:
            _log.warning("closing: %s", error)
        return CloseReport(tuple(errors), tuple(dict.fromkeys(threads)), orders)

    def __enter__(self) -> Host:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Host:
        await self.astart()
        return self

    async def __aexit__(self, *_: object) -> None:
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
        return await to_the_end(run_in_thread(self._refresh))

    def _refresh(self) -> Changes:
        with self._verb("refresh"):
            self._refuse_unless_started("refresh")
            self._outlook.look(self._config, fresh=True)
            changes = self._follower.follow(self._outlook.seats(self._config), config_first=False)
            idle = self._follower.bring_up(lambda _: False)
            news = {*changes.added, *changes.changed}
            changes = replace(changes, failed=(*changes.failed, *(name for name in idle if name in news)))
            self._news.add(changes)
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
        return await to_the_end(run_in_thread(self._reload, distribution))

    def _reload(self, distribution: str) -> Changes:
        known = {status.record.distribution for status in self.plugins}
        changes = self._refresh()
        known |= {status.record.distribution for status in self.plugins}
        if normal_name(distribution) not in map(normal_name, known):
            raise HostError(f"no plugin comes from {distribution!r} ({close_match(distribution, known)})")
        return changes

    def plan(self, config: Config | str | Path) -> Changes:
        """What `apply` would change. Imports nothing. Raises `ConfigError`, `HostError` before `start`."""
        self._refuse_unless_started("plan")
        wanted = _config_of(config)
        wanted.check_kinds(self._registries.by_name)
        check_options(wanted)
        return self._follower.plan(self._outlook.seats(wanted))

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
        return await to_the_end(run_in_thread(self._apply, config))

    def _apply(self, config: Config | str | Path) -> Changes:
        with self._verb("apply"):
            self._refuse_unless_started("apply")
            wanted = _config_of(config)
            wanted.check_kinds(self._registries.by_name)
            check_options(wanted)
            changes = self._follower.follow(self._outlook.seats(wanted), config_first=True)
            self._config = wanted
            self._registries.limit_abandoned(wanted.host.max_abandoned)
            self._outlook.judge_hooks(wanted)
            self._news.add(changes)
            return changes

    def session(self, context: UserExecutionContext) -> Session:
        """A user's scope: one instance per key, closed in reverse order when it ends."""
        self._refuse_unless_started("session")
        limit = self._config.host.drain_timeout
        return self._sessions.add(
            Session(context, self._registries.named, self.home, self._sessions.discard, limit)
        )

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
        """The registries by the names of their kinds; read-only."""
        return self._registries.by_name

    @property
    def gateways(self) -> Gateways:
        """What is done for brokers only."""
        return self._gateways

    def data_folder(self, seat: Seat) -> Path:
        """Where a plugin may keep files."""
        return folder_of(seat.status, self._config)

    def loading(self, name: str) -> AbstractContextManager[None]:
        """Plugin code runs inside; it may not call verbs."""
        return self._turn.load(name)

    def made(self, plugin: Plugin) -> bool:
        """A plugin has made its shared object; whether that is still wanted."""
        return self._follower.made(plugin)

    def happened(self, changes: Changes) -> None:
        """Tell listeners and hooks, one change after the other, outside any lock and any verb."""
        self._news.add(changes)
        if not self._turn.is_in_verb:
            self._news.deliver()

    def rehearse(self, name: str) -> Plugin | None:
        """The plugin called ``kind/key``, placed on a host that brings nothing up; for `examine`."""
        with self._verb("rehearse"):
            self._home = HomeLoop.own("hotplug home")
            self._state = "started"
            self._outlook.look(self._config, fresh=False)
            self._follower.follow(self._outlook.seats(self._config), config_first=False)
        return next((p for p in self._follower.standing if p.seat.name == name and p.seat.may_load), None)

    # -- pieces ------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _verb(self, name: str) -> Generator[None]:
        """One verb at a time; what happened meanwhile is told when it is over."""
        try:
            with self._turn.take(name):
                yield
        finally:
            if not self._turn.is_in_verb:
                self._news.deliver()

    def _offer_of(self, tool: str) -> object:
        """Whom the configuration offers a tool to, whoever registered it; None where it says nothing."""
        entry = self._config.entries.get(("tools", tool))
        return None if entry is None else entry.options.get("offer")

    def _resident(self, key: str, context: UserExecutionContext) -> BaseAgent | None:
        """The agent of the session that was made for this context, if there is one."""
        session = self._sessions.of(context)
        return None if session is None else session.obtain(self.agents, key)

    def _explain(self, kind: str, key: str) -> str:
        """Why nothing stands under a key that an application may have expected there."""
        if self._state != "started":
            return f"the host is {'closed' if self.is_closed else 'not started'}"
        for status in self.plugins:
            if status.record.kind == kind and status.key == key and status.state != "loaded":
                return f"{status.record} is {status.state}: {status.reason}; {status.remedy}"
        return ""

    def _refuse_on_home(self, verb: str, twin: str) -> None:
        if self._home is not None and self._home.is_here:
            raise RuntimeError(
                f"{verb}() would block the loop that the host lives on: use 'await host.{twin}()'"
            )

    def _refuse_unless_started(self, verb: str) -> None:
        if self._state != "started":
            state = "closed" if self.is_closed else "not started"
            raise HostError(f"{verb}(): the host is {state}")


def _config_of(config: Config | str | Path | None) -> Config:
    if config is None:
        return Config()
    return config if isinstance(config, Config) else Config.load(config)
