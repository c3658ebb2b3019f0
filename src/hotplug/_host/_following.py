"""
How a host follows its environment, its configuration, and the code of its plugins.

    environment ──look──▶ seats ─────▶ Follower.follow     what came, went, or has other settings
    code, contents ─────▶ groups ────▶ Follower.try_to_renew     what runs, and is another by now
    configuration ──────▶ plan, seats ─▶ Follower.follow, the configuration first
"""

from __future__ import annotations

import functools
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from hotplug._host._activations import Activations
from hotplug._host._gateways import check_options
from hotplug._host._lookout import CODE, CONFIG, SITE
from hotplug._host._news import joined
from hotplug._host._policy import normal_name
from hotplug._host._reports import edits_of, of_failure, reports_of
from hotplug._lifecycle import name_and_text
from hotplug._records import Changes
from hotplug.errors import HostError, HotplugError, PluginError, SettingsError, close_match

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from hotplug._config import Config
    from hotplug._host._host import Host
    from hotplug._host._lookout import Hint
    from hotplug._host._registries import Registries
    from hotplug._records import Problem

__all__ = ["Following"]

_log = logging.getLogger("hotplug.host")

ABSENT: Final = 1.0
"""Seconds after which code that was moved away, or back, is looked for again, should nothing tell of it."""


class Following:
    """What a host does to follow. One verb at a time: the host sees to that."""

    def __init__(self, host: Host, registries: Registries, config: Config) -> None:
        self._host: Final = host
        self._registries: Final = registries
        self.config: Config = config
        """The configuration in force."""
        self._activations: Final = Activations()
        self._is_waiting = False
        self._vanished: set[str] = set()
        self._is_moving = False

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Which editable installations this process cannot import."""
        return self._activations.problems

    # -- the environment ---------------------------------------------------------------------------

    def look(self, *, fresh: bool) -> float | None:
        """Look at the environment; in how many seconds something more may have come."""
        wait = self._host.outlook.look(self.config, fresh=fresh)
        self._know()
        return wait

    def refresh(self) -> Changes:
        """Look at it thoroughly, and follow it."""
        self._host.outlook.look_patiently(self.config, fresh=True)
        self._know()
        return self._settled(self._follow())

    def _know(self, *, fresh: bool = True) -> None:
        """What was seen of the environment concerns code, and how it is imported."""
        codes, outlook = self._host.codes, self._host.outlook
        codes.know(outlook.everything, outlook.path, fresh=fresh)
        self._activations.follow(codes.relations.records.values())

    def _follow(self, *, by_itself: bool = False) -> Changes:
        """Follow what was seen of the environment."""
        follower, reports = self._host.follower, self._host.reports
        seats = self._host.outlook.seats(self.config)
        before, reconsidered = follower.statuses, follower.refusals.reconsidered(seats)
        changes = follower.follow(seats, config_first=False, by_itself=by_itself)
        reports.tell(*reports_of(before, follower.statuses, changes))
        busy = follower.refusals.busy(seats, by_itself=by_itself)
        busy |= self._host.outlook.hooks.waiting(by_itself=by_itself)
        changes = joined(changes, self._renew_groups(busy, by_itself=by_itself))
        edited = [name for name in reconsidered if self._host.codes.is_followed(name)]
        changes = joined(changes, self._follow_code(edited, by_itself=by_itself))
        before = follower.statuses
        follower.refusals.say_what_is_shared()
        reports.tell(*reports_of(before, follower.statuses, Changes()))
        return changes

    def _settled(self, changes: Changes, *, by_itself: bool = False, rearm: bool = True) -> Changes:
        """Start what has come and shall run; have *changes* told, and what there is now watched."""
        follower, reports = self._host.follower, self._host.reports
        if self._host.outlook.kinds_have_come():
            self.look(fresh=False)
            changes = joined(changes, self._follow(by_itself=by_itself))
        failures = follower.bring_up(lambda _: False, by_itself=by_itself)
        news = {*changes.added, *changes.changed}
        idle = {name: error for name, error in failures.items() if name in news}
        mine = (status for status in follower.statuses if status.name in idle)
        reports.tell(*(of_failure(status, idle[status.name]) for status in mine))
        changes = replace(changes, failed=(*changes.failed, *idle))
        if rearm:
            self._host.lookout.rearm()
        self._host.news.add(changes)
        return changes

    # -- code --------------------------------------------------------------------------------------

    def reload(self, distribution: str, known: Iterable[str]) -> Changes:
        """The next generation of *distribution* (one *known*, or seen now) and of what depends on it."""
        codes, outlook = self._host.codes, self._host.outlook
        outlook.look_patiently(self.config, fresh=False)
        codes.relations.forget(distribution)
        self._know(fresh=False)
        names = {*known, *(record.distribution for record in outlook.everything)}
        names |= {record.distribution for record in codes.relations.records.values()}
        names.discard("")  # of what is configured, and not installed
        if normal_name(distribution) not in map(normal_name, names):
            raise HostError(f"no plugin comes from {distribution!r} ({close_match(distribution, names)})")
        followers = codes.followers([distribution])
        wanted = self._host.lookout.waiting
        if wanted is not None and self._host.follower.waiting.is_for_configuration(followers):
            return self._settled(self._reload_with(wanted, followers))
        return self._settled(self._renew(followers))

    def _reload_with(self, wanted: Config, distributions: Sequence[str]) -> Changes:
        """
        The next generation of *distributions*, and the configuration that waits with it: both, or nothing.

        So is no gateway replaced twice.
        """
        host, began = self._host, time.perf_counter()
        seats, refused = host.outlook.seats(wanted), functools.partial(host.lookout.hold, wanted)
        changes = host.follower.try_to_renew(
            seats, distributions, by_itself=False, whole=True, refused=refused
        )
        if not changes.failed:
            self._is_in_force(wanted, changes, began)
            self._nothing_waits()
        return changes

    def _renew_groups(self, distributions: Iterable[str], *, by_itself: bool) -> Changes:
        changes = Changes()
        names = self._host.follower.names_by_distribution(self._host.outlook.seats(self.config))
        for group in self._host.codes.groups(distributions, names):
            changes = joined(changes, self._renew(group, by_itself=by_itself))
        return changes

    def _renew(self, distributions: Sequence[str], *, by_itself: bool = False) -> Changes:
        """The next generation of all *distributions*, or of none: then the old ones say why."""
        seats = self._host.outlook.seats(self.config)
        return self._host.follower.try_to_renew(seats, distributions, by_itself=by_itself)

    # -- by itself ---------------------------------------------------------------------------------

    def follow_hints(self, hints: Collection[Hint]) -> float | None:
        """
        Follow what the watcher saw, as far as contents have changed; when to look again, in seconds.

        Without *hints* it is time to look again at what was on its way.
        """
        changes, wait, doubt = Changes(), None, self._host.lookout.doubt
        if doubt.left is not None or any(sort == CONFIG for sort, _ in hints):
            changes = self._follow_configuration()
        # An installation that is just being replaced looks like a plain distribution at times.
        edited = {name for sort, name in hints if sort == CODE and not self._host.codes.was_installed(name)}
        if self._is_waiting or not hints or any(sort == SITE for sort, _ in hints):
            known = self._host.outlook.problems
            wait = self.look(fresh=True)
            self._is_waiting = wait is not None
            edited |= self._gone_or_back()
            self._host.reports.tell_of_new(self._host.outlook.problems, known)
            changes = joined(changes, self._follow(by_itself=True))
        changes = joined(changes, self._follow_code(edited))
        self._host.follower.waiting.look_again()
        # Where only text was edited, there is nothing else to watch than before.
        self._settled(changes, by_itself=True, rearm=any(sort != CODE for sort, _ in hints) or not hints)
        # What came or went just when this looked, and back before the watcher did, no hint tells of.
        absence = ABSENT if self._is_moving else None
        return min((each for each in (wait, doubt.left, absence) if each is not None), default=None)

    def _gone_or_back(self) -> set[str]:
        """Those whose code is away, unless that was said, and those that are back since the last look."""
        before, self._vanished = self._vanished, set(self._host.codes.vanished)
        self._is_moving = bool(before or self._vanished)
        refusals = self._host.follower.refusals
        gone = {name for name in self._vanished if not refusals.together_with([name])}
        return gone | (before - self._vanished)

    def _follow_configuration(self) -> Changes:
        lookout = self._host.lookout
        wanted, waiting = lookout.look_at_configuration(), self._host.follower.waiting
        if wanted is None:
            if lookout.waiting is None:
                waiting.no_configuration_waits()
            return Changes()
        try:
            plan = self.plan(wanted)
            if (why := waiting.configuration_waits(self._host.outlook.seats(wanted))) is not None:
                lookout.hold(wanted, why)
                return Changes()
            _log.info("the configuration changed: %s", plan)
            return self._put_in_force(wanted)
        except HotplugError as error:
            lookout.refuse(error, self._line_of(error, wanted))
        except KeyboardInterrupt as error:  # a plugin's: no Ctrl-C arrives where it is followed by itself
            lookout.refuse(PluginError(f"a plugin raised {name_and_text(error)}"))
        return Changes()

    def _line_of(self, error: HotplugError, wanted: Config) -> int | None:
        """The line of *wanted* that a plugin does not get on with, where only one table names that plugin."""
        record = error.record if isinstance(error, PluginError) else None
        seats = self._host.outlook.seats(wanted)
        mine = [seat for seat in seats if seat.entry is not None and seat.status.record == record]
        if len(mine) != 1:
            return None
        inside = ("settings", *error.path.split(".")) if isinstance(error, SettingsError) else ()
        return wanted.line_of((mine[0].kind.name, mine[0].status.key, *inside))

    def _follow_code(self, distributions: Collection[str], *, by_itself: bool = True) -> Changes:
        """
        Of those whose files were touched, renew what says something else, and try again what failed.

        What was refused together with one of them is tried again with it.
        """
        codes, follower = self._host.codes, self._host.follower
        names = {normal_name(name) for name in distributions}
        edited, unread = codes.edited(names)
        edits = self._host.lookout.edits
        # Nobody knows what the files said when the application imported them: here it is told by their stats.
        adopted = names.difference(edited, unread).intersection(codes.adopted)
        edited += [name for name in adopted if edits.of(name)]
        calm = names.difference(edited, unread)
        again = follower.refusals.together_with(distributions) - calm
        follower.refusals.forget(calm)
        self._host.outlook.hooks.forget_refusals(calm)
        loaded = [name for name in {*edited, *again}.difference(unread) if codes.is_loaded(name)]
        others = [name for name in (*edited, *unread) if name not in loaded]
        changes = self._renew_groups(loaded, by_itself=by_itself)
        codes.begin_again(others)
        self._host.outlook.retry_hooks(others)
        tried = follower.retry(codes.followers(others))
        if not tried:
            self._host.reports.tell(*edits_of({name: edits.of(name) for name in others}, follower.statuses))
        return joined(changes, tried)

    # -- the configuration -------------------------------------------------------------------------

    def plan(self, wanted: Config) -> Changes:
        """What *wanted* would change. Raises `ConfigError`."""
        wanted.check_kinds(self._registries.by_name)
        check_options(wanted)
        return self._host.follower.plan(self._host.outlook.seats(wanted))

    def apply(self, wanted: Config) -> Changes:
        """Make *wanted* the configuration in force. Raises as `Host.apply` does."""
        changes = self._put_in_force(wanted)
        self._nothing_waits()
        self._host.lookout.rearm()
        self._host.news.add(changes)
        return changes

    def _put_in_force(self, wanted: Config) -> Changes:
        host = self._host
        wanted.check_kinds(self._registries.by_name)
        check_options(wanted)
        began = time.perf_counter()
        changes = host.follower.follow(host.outlook.seats(wanted), config_first=True)
        self._is_in_force(wanted, changes, began)
        return changes

    def _is_in_force(self, wanted: Config, changes: Changes, began: float) -> None:
        host, self.config = self._host, wanted
        self._registries.limit_abandoned(wanted.host.max_abandoned)
        host.idle.settle(wanted.host.idle_timeout)
        host.outlook.judge_hooks(wanted)
        seconds = time.perf_counter() - began
        host.reports.tell_configured(wanted.source, changes, host.follower.statuses, seconds)

    def _nothing_waits(self) -> None:
        """Another configuration is in force than before."""
        self._host.lookout.wait_no_more()
        self._host.follower.waiting.no_configuration_waits()
