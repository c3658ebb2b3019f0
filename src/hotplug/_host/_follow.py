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
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from hotplug._host._closing import attempt, settle
from hotplug._host._plugin import Plugin
from hotplug._host._policy import Seat, plan
from hotplug._host._starting import Starting
from hotplug._loader import forget_modules
from hotplug.errors import DuplicateKeyError, FrozenRegistryError, PluginError, StartError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from hotplug._host._host import Host
    from hotplug._records import Changes
    from hotplug.registry import UniversalRegistry

__all__ = ["Follower"]

_log = logging.getLogger("hotplug.host")


@dataclass(frozen=True, slots=True)
class Difference:
    """What separates the plugins that stand from the seats that are wanted."""

    changes: Changes
    kept: Sequence[Plugin]
    held: Sequence[Plugin]
    gone: Sequence[Plugin]
    swapped: Sequence[tuple[Plugin, Seat]]
    added: Sequence[Seat]
    idle: Sequence[Seat]


def compare(standing: Sequence[Plugin], seats: Sequence[Seat], *, hold: bool) -> Difference:
    """
    Who stays, comes, changes and goes.

    With *hold*, what runs is protected from the environment: a distribution whose code is imported is
    not replaced in this process, and a name being served is not lost to a newcomer.
    """
    holders = {plugin.seat.name: plugin for plugin in standing if plugin.seat.may_load}
    held: list[Plugin] = []
    if hold:
        busy = _busy_distributions(holders.values(), seats)
        held = [plugin for plugin in holders.values() if plugin.distribution in busy]
        standing = [plugin for plugin in standing if plugin.distribution not in busy]
        seats = [_defended(seat, holders) for seat in seats if seat.status.record.distribution not in busy]
    changes = plan([plugin.seat for plugin in standing], seats)
    wanted = {seat.name: seat for seat in seats if seat.may_load}
    return Difference(
        changes=replace(changes, failed=(*(plugin.seat.name for plugin in held), *changes.failed)),
        kept=[holders[name] for name in changes.unchanged],
        held=held,
        gone=[holders[name] for name in changes.removed],
        swapped=[(holders[name], wanted[name]) for name in changes.changed],
        added=[wanted[name] for name in changes.added],
        idle=[seat for seat in seats if not seat.may_load],
    )


def _busy_distributions(holders: Iterable[Plugin], seats: Sequence[Seat]) -> set[str]:
    """The distributions that changed on disk although their code is imported here."""
    on_disk = {seat.status.record.distribution: (seat.status.record.version, seat.stamp) for seat in seats}
    return {
        plugin.distribution
        for plugin in holders
        if plugin.distribution in on_disk
        and on_disk[plugin.distribution] != (plugin.seat.status.record.version, plugin.seat.stamp)
        and plugin.is_in_use
    }


def _defended(seat: Seat, holders: Mapping[str, Plugin]) -> Seat:
    """Who holds a name keeps it when somebody else claims it too."""
    holder = holders.get(seat.name)
    if holder is None or seat.status.state != "conflict" or seat.status.record != holder.seat.status.record:
        return seat
    return holder.seat


class Follower:
    """The plugins that stand, and how they come to differ. One call at a time: the host sees to that."""

    def __init__(self, host: Host) -> None:
        self._host: Final = host
        self.standing: tuple[Plugin, ...] = ()
        self._running: list[Plugin] = []
        self._made: list[Plugin] = []

    # -- following ---------------------------------------------------------------------------------

    def plan(self, seats: Sequence[Seat]) -> Changes:
        """What `follow` would change, were these the seats of a new configuration."""
        return plan([plugin.seat for plugin in self.standing], seats)

    def follow(self, seats: Sequence[Seat], *, config_first: bool) -> Changes:
        """
        Make the registries agree with *seats*.

        With *config_first* the configuration is what changed: what it names is checked and connected
        beside the running plugins first, and any failure is raised with nothing touched.
        """
        difference = compare(self.standing, seats, hold=not config_first)
        publication = _Publication(self._host, difference)
        if config_first:
            self._check_beside(publication)
        failed = publication.publish(strict=config_first)
        self.standing = _in_order(seats, publication.plugins())
        self._retire([*publication.replaced(), *difference.gone])
        if not config_first:
            for plugin in difference.kept:
                plugin.try_again()
        for plugin in difference.held:
            plugin.mark(
                reason="restart required",
                remedy=f"{plugin.distribution} changed on disk: restart to use it",
            )
        changes = difference.changes
        return replace(changes, failed=(*changes.failed, *failed))

    def _check_beside(self, publication: _Publication) -> None:
        """Import and check what the configuration names; connect what shall be connected."""
        connected: list[Plugin] = []
        try:
            for plugin in publication.beside:
                if plugin.seat.entry is not None and plugin.seat.may_load:
                    plugin.prepared()
                    if plugin.shall_run:
                        plugin.obtain()
                        self._up(plugin)
                        connected.append(plugin)
            for plugin in publication.rejected:
                raise PluginError(f"{plugin.status.reason}: {plugin.status.remedy}", plugin.status.record)
        except BaseException:
            for plugin in reversed(connected):
                self._end(plugin)
            raise

    # -- running -----------------------------------------------------------------------------------

    def demand(self, *, everything: bool) -> None:
        """Load what is required (or *everything*); raises `StartError` if any of it does not work."""
        failures: list[tuple[str, str]] = []
        for plugin in self.standing:
            entry = plugin.seat.entry
            if not (everything or (entry is not None and entry.required)):
                continue
            if plugin.seat.may_load:
                try:
                    plugin.obtain()
                except PluginError as error:
                    failures.append((plugin.seat.name, str(error)))
            elif plugin.status.reason not in _BY_CHOICE or (entry is not None and entry.required):
                failures.append((plugin.seat.name, f"{plugin.status.reason}: {plugin.status.remedy}"))
        if failures:
            raise StartError(failures)

    def bring_up(self) -> None:
        """Start what shall run and does not yet, each after what it requires."""
        starting = Starting([plugin for plugin in self.standing if plugin.seat.may_load])
        for plugin in starting.in_order():
            if plugin in self._running:
                continue
            try:
                starting.refuse_if_it_lacks_something(plugin)
                self._up(plugin)
            except PluginError as error:
                starting.failed.add(plugin.seat.name)
                plugin.failed(error)
                if plugin.seat.entry is not None and plugin.seat.entry.required:
                    raise StartError([(plugin.seat.name, str(error))]) from error

    def _up(self, plugin: Plugin) -> None:
        verb = plugin.seat.kind.up
        method: Callable[[], Any] = getattr(plugin.product, verb or "")
        error = self._host.home.run(
            attempt(method, plugin.seat.status.record, verb or "", self._host.load_timeout)
        )
        if error is not None:
            raise error
        self._running.append(plugin)

    # -- ending ------------------------------------------------------------------------------------

    def made(self, plugin: Plugin) -> None:
        """Remember what is to be closed one day; made too late, it is closed at once."""
        self._made.append(plugin)
        if self._host.is_closed:
            self._end(plugin)

    def close(self) -> list[PluginError]:
        """Withdraw, bring down and close everything, newest first; what went wrong."""
        for plugin in self.standing:
            with contextlib.suppress(FrozenRegistryError):  # what was frozen keeps its entries
                plugin.withdraw()
        work = self._ending(self._running[::-1], self._made[::-1])
        return self._host.home.run(work)

    def stuck_threads(self) -> list[str]:
        """The names of the threads that plugins are stuck in."""
        return [name for plugin in self.standing if (name := plugin.stuck_thread) is not None]

    def _retire(self, plugins: Sequence[Plugin]) -> None:
        for plugin in plugins:
            plugin.when_released(functools.partial(self._retired, plugin))

    def _retired(self, plugin: Plugin) -> None:
        for error in self._end(plugin):
            _log.warning("closing a replaced plugin: %s", error)
        forget_modules(plugin.seat.status.record)

    def _end(self, plugin: Plugin) -> list[PluginError]:
        """Bring down and close one plugin's object, on the host's loop."""
        work = self._ending([plugin], [plugin])
        if self._host.home.is_here:
            self._host.home.keep(work)
            return []
        return self._host.home.run(work)

    async def _ending(self, running: Iterable[Plugin], made: Iterable[Plugin]) -> list[PluginError]:
        """First all are brought down, then all are closed: who still runs may need who runs no more."""
        errors = [error for plugin in running if (error := await self._down(plugin)) is not None]
        for plugin in made:
            if plugin in self._made:
                self._made.remove(plugin)
                record = plugin.seat.status.record
                errors += await settle([(plugin.product, record)], self._host.drain_timeout)
        return errors

    async def _down(self, plugin: Plugin) -> PluginError | None:
        if plugin not in self._running:
            return None
        self._running.remove(plugin)
        verb = plugin.seat.kind.down
        if verb is None:
            return None
        method = getattr(plugin.product, verb)
        return await attempt(method, plugin.seat.status.record, verb, self._host.drain_timeout)


class _Publication:
    """New plugins beside the old ones, and the step that puts them in their places."""

    def __init__(self, host: Host, difference: Difference) -> None:
        self._host = host
        self._difference = difference
        self._swaps = [(old, Plugin(seat, host)) for old, seat in difference.swapped]
        self._added = [Plugin(seat, host) for seat in difference.added]
        self._idle = [Plugin(seat, host) for seat in difference.idle]

    @property
    def beside(self) -> list[Plugin]:
        """What is new and will stand."""
        return [*(new for _, new in self._swaps), *self._added]

    @property
    def rejected(self) -> list[Plugin]:
        """What the configuration requires although it cannot stand."""
        return [
            plugin for plugin in self._idle if plugin.seat.entry is not None and plugin.seat.entry.required
        ]

    def replaced(self) -> list[Plugin]:
        return [old for old, _ in self._swaps]

    def plugins(self) -> list[Plugin]:
        return [*self._difference.kept, *self._difference.held, *self.beside, *self._idle]

    def publish(self, *, strict: bool) -> list[str]:
        """
        Withdraw, swap and place; returns the names of those that could not be.

        With *strict* the first such failure takes everything back and is raised.
        """
        for old, _ in self._swaps:
            old.make_way()
        done: list[Callable[[], None]] = []
        failed: list[str] = []
        for step, plugin in self._steps(done):
            try:
                step()
            except (DuplicateKeyError, FrozenRegistryError) as error:
                if strict:
                    for take_back in reversed(done):
                        take_back()
                    raise
                plugin.displaced(error)
                failed.append(plugin.seat.name)
        return failed

    def _steps(self, done: list[Callable[[], None]]) -> Iterable[tuple[Callable[[], None], Plugin]]:
        for plugin in self._difference.gone:
            yield self._leaving(plugin, done), plugin
        for old, new in self._swaps:
            yield self._swapping(old, new, done), new
        for plugin in self._added:
            yield self._placing(plugin, done), plugin

    def _leaving(self, plugin: Plugin, done: list[Callable[[], None]]) -> Callable[[], None]:
        def step() -> None:
            plugin.withdraw()
            done.append(lambda: plugin.stand(self._registry(plugin)))

        return step

    def _swapping(self, old: Plugin, new: Plugin, done: list[Callable[[], None]]) -> Callable[[], None]:
        def step() -> None:
            registry = self._registry(new)
            new.take_over(registry, old)
            done.append(lambda: old.take_over(registry, new))

        return step

    def _placing(self, plugin: Plugin, done: list[Callable[[], None]]) -> Callable[[], None]:
        def step() -> None:
            plugin.stand(self._registry(plugin))
            done.append(plugin.withdraw)

        return step

    def _registry(self, plugin: Plugin) -> UniversalRegistry[Any]:
        return self._host.registries[plugin.seat.kind.name]


_BY_CHOICE: Final = frozenset({"disabled", "not allowed", "vetoed", "conflict picked"})


def _in_order(seats: Sequence[Seat], plugins: Sequence[Plugin]) -> tuple[Plugin, ...]:
    place = {(seat.name, str(seat.status.record)): index for index, seat in enumerate(seats)}
    last = len(place)

    def where(plugin: Plugin) -> tuple[int, str]:
        name = plugin.seat.name
        return place.get((name, str(plugin.seat.status.record)), last), name

    return tuple(sorted(plugins, key=where))
