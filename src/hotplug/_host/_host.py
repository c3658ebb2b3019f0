"""The host: where the machines meet."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from hotplug._config import Config
from hotplug._host._closing import CloseReport, stuck_in
from hotplug._host._codes import Codes
from hotplug._host._data import data_root, folder_of
from hotplug._host._follow import Follower, is_required
from hotplug._host._following import Following
from hotplug._host._gateways import Gateways, check_options
from hotplug._host._haste import haste
from hotplug._host._health import Checkups, of_parts, worst_of
from hotplug._host._idle import Idle
from hotplug._host._lookout import Lookout
from hotplug._host._news import News
from hotplug._host._outlook import Outlook
from hotplug._host._polling import said_of
from hotplug._host._registries import Registries
from hotplug._host._reports import Reports
from hotplug._host._runs import Runs
from hotplug._host._secrets import without_secrets
from hotplug._host._session import Session, Sessions
from hotplug._host._shelves import Shelves
from hotplug._host._turn import Turn
from hotplug._kinds import KINDS
from hotplug._lifecycle import HomeLoop, to_the_end
from hotplug._records import Changes, Problem
from hotplug.errors import HostError, PluginError
from hotplug.events import EventHub
from hotplug.registry import Shelf, run_in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    import pluggy

    from hotplug._host._lookout import Hint
    from hotplug._host._plugin import Plugin
    from hotplug._host._policy import Seat
    from hotplug._kinds import Kind
    from hotplug._records import Health, PluginRecord, PluginStatus
    from hotplug._reloader import Left, Leftovers
    from hotplug.agents import BaseAgent
    from hotplug.context import UserExecutionContext
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
        config = _config_of(config)
        self._strict: Final = strict or config.host.strict
        self._state = "new"
        self._home: HomeLoop | None = None
        self._process = 0
        self._turn: Final = Turn()
        self._events: Final = EventHub()
        super().__init__(Registries(self._explain))
        self._sessions: Final = Sessions()
        self.idle: Final = Idle(self._sessions)
        self._leftovers: list[tuple[PluginRecord, Left]] = []
        self._report: CloseReport | None = None
        # For the rest of the machine room: what the environment offers, and how it is followed …
        self.outlook: Final = Outlook(self, self._registries, path, cache=cache)
        self.follower: Final = Follower(self)
        self.following: Final = Following(self, self._registries, config)
        self.lookout: Final = Lookout(self)
        # … where everything stands that comes from plugins, and which code it is of …
        self.shelf: Final = Shelf()
        self.codes: Final = Codes(self._left_behind)
        self.gateways: Final = Gateways(self)
        self.runs: Final = Runs(self)
        self.checkups: Final = Checkups(self)
        # … and who is told.
        self.news: Final = News(self.outlook.hooks.changed)
        self.reports: Final = Reports()
        for kind in kinds:
            self._registries.add(kind)
        check_options(config)
        discreet = functools.partial(self.without_secrets, "tools")
        self._registries.introduce(self._events, self._offer_of, self._resident, discreet)
        self._registries.limit_abandoned(config.host.max_abandoned)

    # -- what there is -----------------------------------------------------------------------------

    @property
    def hooks(self) -> pluggy.PluginManager:
        """The plugin manager of the three hooks; register yours before `start`."""
        return self.outlook.hooks.manager

    @property
    def events(self) -> EventHub:
        """Where agents and the application emit events, and users' cursors read them."""
        return self._events

    @property
    def plugins(self) -> tuple[PluginStatus, ...]:
        """The status of every plugin under each of its keys: hooks first, then kind by kind, by key."""
        self.runs.look()
        statuses = (*self.outlook.hooks.statuses, *self.follower.statuses)
        polled = self.lookout.polled()
        return tuple(said_of(status, polled) for status in statuses) if polled else statuses

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What discovery found broken in the environment, what old code left, what cannot be followed."""
        goes_on = [each for each in self._leftovers if not each[1].is_over]
        return (
            *self.outlook.problems,
            *self.following.problems,
            *(Problem(record.path, None, str(left), record.distribution) for record, left in goes_on),
            *self.lookout.problems,
        )

    @property
    def config(self) -> Config:
        """The configuration that is in force."""
        return self.following.config

    @property
    def data(self) -> Path:
        """Where files outlive the process: ``[host] data``, else ``HOTPLUG_DATA``, else the user's folder."""
        return data_root(self.config)

    def health(self) -> Health:
        """The worst of the registries and plugins; calls nothing."""
        return worst_of(of_parts(dict(self.registries)), self.plugins, self.follower.running.lacks())

    def subscribe(self, listener: Callable[[Changes], None]) -> Undo:
        """
        Tell *listener* of every change, one at a time, in order; one that raises is logged.

        It is told of verbs when they are over, and may call others then. Of a load it is told inside
        that load, where verbs are refused (`HostError`).
        """
        return self.news.subscribe(listener)

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
                self._process = os.getpid()
                self._state = "started"
                self._begin()
            except BaseException:
                self._report = self._shut()
                raise
            return True

    def _begin(self) -> None:
        self.gateways.settle(self.config)
        self.following.look(fresh=False)
        self.config.check_kinds(self._registries.by_name)
        self.follower.follow(self.outlook.seats(self.config), config_first=False)
        if self._strict:
            self.outlook.demand_hooks()
        self.follower.demand(everything=self._strict)
        self.checkups.begin()
        self.follower.bring_up(lambda plugin: self._strict or is_required(plugin))
        self.idle.settle(self.config.host.idle_timeout)
        if self.config.host.watch:
            self.lookout.begin()

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
        if self._is_elsewhere:
            return CloseReport()  # nothing of it runs here
        self.lookout.end()
        with self._verb("close"):
            if self._report is None:
                report = self._shut()
                stuck = self.lookout.end()  # who was in the middle of following something has ended by now
                threads = report.threads if stuck is None else (*report.threads, stuck)
                self._report = replace(report, threads=threads)
            return self._report

    def _shut(self) -> CloseReport:
        """Works again after it was interrupted."""
        home, self._state = self._home, "closed"
        threads: list[str] = []
        # While there is still somebody to tell that they ended, and what they use has not been closed.
        self._registries.end_runs(self.drain_timeout if home is not None else 0.0)
        self.idle.end(self.drain_timeout)
        errors: list[PluginError] = self._sessions.end()
        orders: tuple[Order, ...] = ()
        if home is not None:
            errors += self.checkups.end()
            errors += self.follower.close()
            late, orders = self.gateways.end()
            errors += late
        self._events.close()
        self.runs.end()
        self.codes.end()
        if home is not None and (stuck := home.close()) is not None:
            threads.append(stuck)
        threads += [*stuck_in(errors), *self.follower.stuck_threads()]
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

        Added distributions are registered, removed ones withdrawn and closed, changed ones replaced by
        their next generation, as `reload` does. What is just being installed or removed is waited for, a
        moment at most.
        """
        self._refuse_on_home("refresh", "arefresh")
        return self._refresh()

    async def arefresh(self) -> Changes:
        """`refresh`, without blocking the loop."""
        return await to_the_end(run_in_thread(self._refresh))

    def _refresh(self) -> Changes:
        with self._verb("refresh"), haste():
            self._refuse_unless_started("refresh")
            changes = self.following.refresh()
        self.follower.retiring.wait()
        return changes

    def reload(self, distribution: str) -> Changes:
        """
        The next generation of a distribution, now: of its code as it is, changed or not.

        It is imported, checked, made and connected beside the one that serves, and all of it takes over at
        once; what depends on it follows with it. On any failure the old one serves on: those concerned are
        ``failed`` in the answer, and their statuses say why. Waits until nobody uses the old generation,
        ``drain_timeout`` seconds at most; not where the caller is in the middle of using it.
        Raises `HostError` for an unknown distribution.
        """
        self._refuse_on_home("reload", "areload")
        return self._reload(distribution)

    async def areload(self, distribution: str) -> Changes:
        """`reload`, without blocking the loop."""
        return await to_the_end(run_in_thread(self._reload, distribution))

    def _reload(self, distribution: str) -> Changes:
        with self._verb("reload"), haste():
            self._refuse_unless_started("reload")
            known = {status.record.distribution for status in self.plugins}
            changes = self.following.reload(distribution, known)
        self.follower.retiring.wait()
        return changes

    def follow_hints(self, hints: Collection[Hint]) -> float | None:
        """Follow what the watcher saw, as far as contents have changed; when to look again, in seconds."""
        with self._verb("watch"), haste():
            return self.following.follow_hints(hints) if self._state == "started" else None

    def watch(self) -> Undo:
        """
        Follow by itself, until the undo: code that is edited where it lies, installations, the configuration.

        May be asked for more than once: the last undo ends it, and so does `close`. What was followed is
        told to those who `subscribe`; what could not be followed is in `plugins` and `problems`.
        """
        self._refuse_unless_started("watch")
        return self.lookout.begin()

    def plan(self, config: Config | str | Path) -> Changes:
        """What `apply` would change. Imports nothing. Raises `ConfigError`, `HostError` before `start`."""
        self._refuse_unless_started("plan")
        return self.following.plan(_config_of(config))

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
            return self.following.apply(_config_of(config))

    def session(self, context: UserExecutionContext) -> Session:
        """A user's scope: one instance per key, closed in reverse order when it ends."""
        self._refuse_unless_started("session")
        limit = self.config.host.drain_timeout
        return self._sessions.add(
            Session(
                context, self._registries.named, self.shelf.cut(), self.home, self._sessions.discard, limit
            )
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
        return self.config.host.load_timeout

    @property
    def drain_timeout(self) -> float:
        """How long plugin code may take to end, in seconds."""
        return self.config.host.drain_timeout

    @property
    def is_closed(self) -> bool:
        """Whether `close` has begun."""
        return self._state == "closed"

    @property
    def registries(self) -> Mapping[str, UniversalRegistry[Any]]:
        """The registries by the names of their kinds; read-only."""
        return self._registries.by_name

    def data_folder(self, seat: Seat) -> Path:
        """Where a plugin may keep files."""
        return folder_of(seat.status, self.config)

    def loading(self, name: str) -> AbstractContextManager[None]:
        """Plugin code runs inside; it may not call verbs."""
        return self._turn.load(name)

    def made(self, plugin: Plugin) -> bool:
        """A plugin has made its shared object; whether that is still wanted."""
        return self.follower.running.made(plugin)

    def happened(self, changes: Changes) -> None:
        """Tell listeners and hooks, one change after the other, outside any lock and any verb."""
        self.news.add(changes)
        if not self._turn.is_in_verb:
            self.news.deliver()

    def rehearse(self, name: str) -> Plugin | None:
        """The plugin called ``kind/key``, placed on a host that brings nothing up; for `examine`."""
        with self._verb("rehearse"):
            self._home = HomeLoop.own("hotplug home")
            self._state = "started"
            self.outlook.look(self.config, fresh=False)
            self.follower.follow(self.outlook.seats(self.config), config_first=False)
        return next((p for p in self.follower.standing if p.seat.name == name and p.seat.may_load), None)

    # -- pieces ------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _verb(self, name: str) -> Generator[None]:
        """One verb at a time; what happened meanwhile is told when it is over."""
        self._refuse_elsewhere(name)
        try:
            with self._turn.take(name):
                yield
        finally:
            if not self._turn.is_in_verb:
                self.news.deliver()

    def _left_behind(self, record: PluginRecord, left: Leftovers) -> None:
        """Old code goes on: say what and where."""
        for each in [each for each in self._leftovers if each[1].is_over]:
            with contextlib.suppress(ValueError):  # another thread was quicker
                self._leftovers.remove(each)
        self._leftovers += [(record, each) for each in left]
        self.reports.tell_what_is_left(record, left)

    def without_secrets(self, kind: str, key: str, text: str) -> str:
        """*text* without the secrets that the plugin at that seat was given."""
        entry = self.config.entries.get((kind, key))
        return text if entry is None else without_secrets(text, entry.settings)

    def _offer_of(self, tool: str) -> object:
        """Whom the configuration offers a tool to, whoever registered it; None where it says nothing."""
        entry = self.config.entries.get(("tools", tool))
        return None if entry is None else entry.options.get("offer")

    def _resident(self, key: str, context: UserExecutionContext) -> AbstractContextManager[BaseAgent] | None:
        """The agent of the session that was made for this context, if there is one."""
        session = self._sessions.of(context)
        if session is None or not session.has("agents", key):
            return None
        return session.using("agents", key)

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

    @property
    def _is_elsewhere(self) -> bool:
        """Whether it lives in another process, of which this one was forked: its threads are there."""
        return self._process not in (0, os.getpid())

    def _refuse_elsewhere(self, verb: str) -> None:
        if self._is_elsewhere:
            raise HostError(
                f"{verb}(): the host lives in process {self._process}, of which this one was forked: "
                "make a Host here"
            )

    def _refuse_unless_started(self, verb: str) -> None:
        self._refuse_elsewhere(verb)
        if self._state != "started":
            state = "closed" if self.is_closed else "not started"
            raise HostError(f"{verb}(): the host is {state}")


def _config_of(config: Config | str | Path | None) -> Config:
    if config is None:
        return Config()
    return config if isinstance(config, Config) else Config.load(config)
