"""
Keeps what stands in the registries equal to what the seats say.

    seats ──compare──▶ Difference ──prepare beside──▶ publish ──▶ retire what was replaced
                                        │ fails            │ fails
                                        ▼                  ▼
                                  nothing happened     taken back
"""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from hotplug._host._difference import compare, defended, in_order
from hotplug._host._news import joined
from hotplug._host._plugin import Plugin
from hotplug._host._policy import normal_name, plan
from hotplug._host._publication import Publication
from hotplug._host._refusals import Refusals
from hotplug._host._renewing import behind_limit, hand_over_state, refuse_what_may_not_follow, stage
from hotplug._host._reports import Attempt, of_failure, of_success
from hotplug._host._retiring import Retiring
from hotplug._host._running import Running
from hotplug._host._starting import Starting, Vain
from hotplug._host._waiting import Waiting
from hotplug._lifecycle import name_and_text
from hotplug._records import Changes
from hotplug.errors import (
    DuplicateKeyError,
    FrozenRegistryError,
    PluginError,
    RestartRequired,
    StartError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from hotplug._host._difference import Difference
    from hotplug._host._gateways import Exchange
    from hotplug._host._host import Host
    from hotplug._host._policy import Seat
    from hotplug._host._renewal import Renewal
    from hotplug._records import PluginRecord, PluginStatus
    from hotplug.errors import HotplugError

__all__ = ["Follower", "is_required"]

_log = logging.getLogger("hotplug.host")


class Follower:
    """The plugins that stand, and how they come to differ. One verb at a time: the host sees to that."""

    def __init__(self, host: Host) -> None:
        self._host: Final = host
        self.standing: tuple[Plugin, ...] = ()
        self.running: Final = Running(host)
        self.refusals: Final = Refusals(host)
        self._vain: Final = Vain()
        self._gone_but_stuck: list[Plugin] = []
        self.retiring: Final = Retiring(host, self._released)
        self.waiting: Final = Waiting(host)

    @property
    def statuses(self) -> tuple[PluginStatus, ...]:
        """Of those that stand or might."""
        return tuple(plugin.status for plugin in self.standing)

    # -- following ---------------------------------------------------------------------------------

    def plan(self, seats: Sequence[Seat]) -> Changes:
        """What `follow` would change, were these the seats of a new configuration."""
        return plan([plugin.seat for plugin in self.standing], seats)

    def follow(self, seats: Sequence[Seat], *, config_first: bool, by_itself: bool = False) -> Changes:
        """
        Make the registries agree with *seats*.

        With *config_first* the configuration is what changed: what it names is checked and connected
        beside the running plugins first, and any failure is raised with nothing touched. What timed out
        may be tried again, unless this is done *by_itself*.
        """
        standing = [plugin for plugin in self.standing if not self._could_stand_now(plugin)]
        difference = compare(standing, seats, hold=not config_first)
        self._begin_anew(difference)
        publication = Publication(self._host, difference)
        check = self._check_beside if config_first else None
        self._carry_out(publication, check, lambda: in_order(seats, publication.listed), strict=config_first)
        if not config_first:
            for plugin in difference.kept:
                if not (self.refusals.holds(plugin, seats) or (by_itself and plugin.has_failed)):
                    plugin.try_again()
        self.refusals.say_what_is_broken(seats)
        return publication.changes

    def renew(
        self, seats: Sequence[Seat], distributions: Sequence[str], renewal: Renewal, *, whole: bool = False
    ) -> Changes:
        """
        The next generation of all *distributions* (each after what it needs), or of none: *renewal*.

        If *whole*, everything else agrees with *seats* afterwards, too. Raises `PluginError`, and nothing
        has happened then.
        """
        names = {normal_name(name) for name in distributions}
        concerned = [p for p in self.standing if whole or normal_name(p.distribution) in names]
        lost = [plugin for plugin in concerned if plugin.has_lost_its_key]
        mine = [plugin for plugin in concerned if plugin not in lost and not self._is_kept_out(plugin)]
        others = [plugin for plugin in self.standing if plugin not in mine]
        out = {plugin.seat.name for plugin in concerned if plugin not in mine}
        holders = {plugin.seat.name: plugin for plugin in mine}
        wanted = [
            replace(defended(seat, holders), stamp=seat.stamp)
            for seat in seats
            if (whole or normal_name(seat.status.record.distribution) in names) and seat.name not in out
        ]
        refuse_what_may_not_follow([p for p in mine if normal_name(p.distribution) in names], wanted)
        self._host.codes.refuse_what_is_shared(names)
        difference = compare(mine, wanted, hold=False, renew=names)
        self._begin_anew(difference, names)
        publication = Publication(self._host, difference, renewal)
        outlook = self._host.outlook
        hooks: dict[PluginRecord, object] = {}

        def load() -> None:
            renewal.stage(wanted, self._host.load_timeout)
            stage(publication)
            hooks.update(outlook.next_hooks(names, renewal))

        def check(publication: Publication, exchange: Exchange) -> None:
            # All in one thread: to begin another takes a while where others compute.
            if renewal.codes:
                is_outdated = functools.partial(self._host.lookout.is_outdated, names)
                behind_limit(self._host.load_timeout, load, renewal.codes[0].record, is_outdated)
            if whole:
                self._check_configured(publication)
            stay = [*others, *(plugin for plugin in publication.listed if plugin.stands)]
            for _, error in self._start_beside(publication, exchange, stay):
                raise error
            hand_over_state(publication, self._host.home, self._host.load_timeout, exchange.taking_over)

        try:
            self._carry_out(
                publication, check, lambda: in_order(seats, [*others, *publication.listed]), strict=True
            )
        except BaseException:
            renewal.discard()
            raise
        self._give_way([plugin for plugin in concerned if plugin not in mine], lost, seats)
        changes = joined(outlook.hooks.take_place(names, hooks), publication.changes)
        return joined(changes, Changes(failed=tuple(plugin.seat.name for plugin in lost)))

    def try_to_renew(
        self,
        seats: Sequence[Seat],
        distributions: Sequence[str],
        *,
        by_itself: bool,
        whole: bool = False,
        refused: Callable[[HotplugError], None] | None = None,
    ) -> Changes:
        """`renew`; what cannot be is ``failed``, and those that serve on say why, as *refused* is told."""
        names = {normal_name(name) for name in distributions}
        mine = [p for p in self.standing if normal_name(p.distribution) in names and p.stands]
        hooks = self._host.outlook.hooks
        attempt = Attempt([*hooks.asked(names), *(plugin.status for plugin in mine)])
        tell = self._host.reports.tell
        if by_itself and self.waiting.code_waits(mine, distributions, seats):
            return Changes(unchanged=tuple(plugin.seat.name for plugin in mine))
        try:
            attempt.renewal = self._host.codes.renewal(distributions)
            changes = self.renew(seats, distributions, attempt.renewal, whole=whole)
        except PluginError as error:
            failure = error
        except FrozenRegistryError as error:
            failure = RestartRequired(f"{error}")
        except DuplicateKeyError as error:
            failure = PluginError(f"{error}")
        except KeyboardInterrupt as error:
            if not by_itself:
                raise
            failure = _interrupted(error)
        else:
            tell(*attempt.succeeded((*hooks.asked(names), *self.statuses), changes))
            return changes
        versions = {
            normal_name(seat.status.record.distribution): seat.status.record.version for seat in seats
        }
        what = self.refusals.said_of(names, seats)
        for plugin in mine:
            plugin.remember_refused(what, names)
            plugin.not_renewed(failure, versions.get(normal_name(plugin.distribution), ""))
        hooks.refuse(names, failure)
        # By now the error is without secrets.
        _log.warning("%s: not reloaded: %s", ", ".join(distributions), failure, extra={"told": True})
        tell(*attempt.failed(failure, distributions, versions))
        if refused is not None:
            refused(failure)
        return Changes(failed=tuple(status.name for status in attempt.before))

    def _carry_out(
        self,
        publication: Publication,
        check: Callable[[Publication, Exchange], None] | None,
        standing: Callable[[], tuple[Plugin, ...]],
        *,
        strict: bool,
    ) -> None:
        """*check* what is new, publish it, and let go of what it replaced; or put all back."""
        exchange = self._host.gateways.exchange(publication.swaps, publication.added)
        ran = self.running.now
        try:
            if check is not None:
                check(publication, exchange)
            publication.publish(strict=strict)
        finally:
            if publication.is_out:
                self._follow_through(publication, exchange, standing())
            else:
                exchange.take_back()
                self.running.drop(publication.beside, ran)
                for plugin in reversed(publication.beside):
                    self._host.codes.plugin_is_over(plugin, self._host.home.loop)

    def names_by_distribution(self, seats: Iterable[Seat]) -> dict[str, set[str]]:
        """The names under which each distribution stands, or would stand with *seats*."""
        names: dict[str, set[str]] = {}
        standing = (plugin.seat for plugin in self.standing)
        for seat in (*standing, *seats):
            names.setdefault(normal_name(seat.status.record.distribution), set()).add(seat.name)
        return names

    def retry(self, distributions: Iterable[str]) -> Changes:
        """Load again what failed of *distributions*, whose code says something else by now."""
        names = set(distributions)
        changed: list[str] = []
        failed: list[str] = []
        for plugin in self.standing:
            if normal_name(plugin.distribution) in names and plugin.has_failed:
                plugin.try_again()
                try:
                    plugin.obtain()
                except (PluginError, KeyboardInterrupt) as raised:
                    error = raised if isinstance(raised, PluginError) else _interrupted(raised)
                    if error is not raised:
                        plugin.failed(error)
                    failed.append(plugin.seat.name)
                    self._host.reports.tell(of_failure(plugin.status, error))
                else:
                    changed.append(plugin.seat.name)
                    self._host.reports.tell(of_success(plugin.status))
        return Changes(changed=tuple(changed), failed=tuple(failed))

    def _follow_through(
        self, publication: Publication, exchange: Exchange, standing: tuple[Plugin, ...]
    ) -> None:
        """What was published is what there is, and says so."""
        self.standing = standing
        if publication.renewal is not None:
            olds = publication.renewal.publish()
            self._host.codes.replaced(olds, publication.retired, self._host.home.loop)
        self.waiting.forget(publication.retired)
        stays = {plugin.distribution for plugin in standing}
        for plugin in publication.gone:
            has_hooks = self._host.outlook.hooks.of([normal_name(plugin.distribution)])
            if plugin.distribution not in stays and not has_hooks:
                self._host.codes.forget(plugin.distribution)
        exchange.commit()
        self._host.runs.follow(publication.swaps)
        self._host.gateways.promote(publication.beside)
        self._retire(publication.retired, publication.gone)

    def _is_kept_out(self, plugin: Plugin) -> bool:
        """Whether it does not stand since somebody else has its key still."""
        return plugin.seat.may_load and not plugin.stands and not self._could_stand_now(plugin)

    def _give_way(self, apart: Sequence[Plugin], lost: Sequence[Plugin], seats: Iterable[Seat]) -> None:
        """
        What the application put in the places of *apart* stays there; *lost* are those that stood until now.

        They end; their seats wait for their keys.
        """
        wanted = {seat.name: seat for seat in seats}
        for plugin in apart:
            status, seat = plugin.status, wanted.get(plugin.seat.name)
            successors: list[Plugin] = [] if seat is None else [Plugin(seat, self._host)]
            for successor in successors:
                successor.mark(state=status.state, reason=status.reason, remedy=status.remedy)
                if plugin in lost:
                    names = plugin.seat.kind.name, status.key, "the application", str(status.record)
                    successor.displaced(DuplicateKeyError(*names))
            where = self.standing.index(plugin)
            self.standing = (*self.standing[:where], *successors, *self.standing[where + 1 :])
            plugin.stands = False
        self._retire(apart, lost)

    def _could_stand_now(self, plugin: Plugin) -> bool:
        """Whether its key was taken when it came, and is free by now."""
        if plugin.stands or not plugin.seat.may_load:
            return False
        registry = self._host.registries[plugin.seat.kind.name]
        return not registry.frozen and plugin.seat.status.key not in registry

    def _begin_anew(self, difference: Difference, but: Collection[str] = ()) -> None:
        """What was installed anew, and of which nothing runs, is imported from what is there now."""
        for old, seat in difference.swapped:
            name = normal_name(old.distribution)
            is_same = name == normal_name(seat.status.record.distribution) and name not in but
            if is_same and old.seat.stamp != seat.stamp:
                self._host.codes.forget(old.distribution)

    def _check_configured(self, publication: Publication) -> None:
        """Import and check what the configuration names."""
        for plugin in publication.beside:
            if plugin.seat.entry is not None:
                plugin.prepared()
        for plugin in publication.rejected:
            raise PluginError(f"{plugin.status.reason}: {plugin.status.remedy}", plugin.status.record)

    def _check_beside(self, publication: Publication, exchange: Exchange) -> None:
        """Check what the configuration names; connect what shall be connected."""
        beside = publication.beside
        self._check_configured(publication)

        def refuse(plugin: Plugin, error: PluginError) -> None:
            if plugin.seat.entry is not None and plugin in beside:
                raise error

        others = [plugin for plugin in publication.listed if plugin.stands]
        for plugin, error in self._start_beside(publication, exchange, others):
            refuse(plugin, error)

    def _start_beside(
        self, publication: Publication, exchange: Exchange, others: Sequence[Plugin]
    ) -> Iterator[tuple[Plugin, PluginError]]:
        """Connect and start what is new, with *others* that run; who failed, one after the other."""
        beside = publication.beside
        self.running.runs(exchange.begin())
        needed = self.running.needed_by(others)
        yield from self.running.start(Starting([*others, *beside], beside, needed))

    # -- running -----------------------------------------------------------------------------------

    def demand(self, *, everything: bool) -> None:
        """Load what is required (or *everything*); raises `StartError` if any of it does not work."""
        failures: list[tuple[str, str]] = []
        for plugin in self.standing:
            required = is_required(plugin)
            if not (everything or required):
                continue
            if plugin.stands:
                try:
                    plugin.obtain()
                except PluginError as error:
                    failures.append((plugin.seat.name, str(error)))
            elif required or not _by_choice(plugin):
                failures.append((plugin.seat.name, f"{plugin.status.reason}: {plugin.status.remedy}"))
        if failures:
            raise StartError(failures)

    def bring_up(
        self, must: Callable[[Plugin], bool], *, by_itself: bool = False
    ) -> Mapping[str, PluginError]:
        """
        Start what shall run and does not yet, each after what it requires; those that failed, by name.

        The failure of one that *must* run is raised as `StartError`. Who asks *by_itself* leaves out what
        would fail as it did before.
        """
        plugins = [plugin for plugin in self.standing if plugin.stands]
        roots = self._vain.left_out(plugins, self.running.now) if by_itself else plugins
        starting = Starting(plugins, roots)
        for plugin, error in self.running.start(starting):
            if must(plugin):
                raise StartError([(plugin.seat.name, str(error))]) from error
        self._vain.remember(starting, roots, plugins, self.running.now)
        return starting.failures

    # -- ending ------------------------------------------------------------------------------------

    def close(self) -> list[PluginError]:
        """Withdraw, drain, bring down and close everything, newest first; what went wrong."""
        for plugin in self.standing:
            with contextlib.suppress(FrozenRegistryError):  # what was frozen keeps its entries
                plugin.withdraw()
        self.retiring.end()
        self._host.gateways.drains.end()
        return self.running.close()

    def stuck_threads(self) -> list[str]:
        """The names of the threads that plugins are stuck in, those that are gone too."""
        alive = {thread.name for thread in threading.enumerate()}
        plugins = (*self.standing, *self._gone_but_stuck)
        return [name for plugin in plugins for name in plugin.stuck_threads if name in alive]

    def _retire(self, plugins: Sequence[Plugin], gone: Sequence[Plugin]) -> None:
        """
        End them, what started last first, as soon as nobody uses anything of their distribution.

        A connected gateway among those that are *gone*, and that nobody replaces, drains first.
        """
        for plugin in plugins:
            if plugin in gone:
                self._host.gateways.shut(plugin)
        self.retiring.begin(self.running.newest_first(plugins))

    def _released(self, plugin: Plugin) -> None:
        self._host.gateways.drains.when_over(plugin, functools.partial(self._retired, plugin))

    def _retired(self, plugin: Plugin) -> None:
        self.running.end(plugin)
        self._host.gateways.retired(plugin, self.standing)
        if plugin.stuck_threads:
            self._gone_but_stuck.append(plugin)
        self._host.codes.plugin_is_over(plugin, self._host.home.loop)


def _interrupted(error: KeyboardInterrupt) -> PluginError:
    """What a plugin has raised where no Ctrl-C arrives."""
    failure = PluginError(f"loading raised {name_and_text(error)}")
    failure.__cause__ = error
    return failure


def is_required(plugin: Plugin) -> bool:
    """Whether the configuration says that it must work."""
    return plugin.seat.entry is not None and plugin.seat.entry.required


def _by_choice(plugin: Plugin) -> bool:
    """Whether somebody decided that it shall not stand."""
    return plugin.status.state == "disabled" or plugin.status.reason in ("not allowed", "vetoed")
