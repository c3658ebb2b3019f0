"""
Keeps what stands in the registries equal to what the seats say.

    seats ──compare──▶ Difference ──prepare beside──▶ publish ──▶ retire what was replaced
                                        │ fails            │ fails
                                        ▼                  ▼
                                  nothing happened     taken back
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from hotplug._host._closing import attempt, blocked, finished, settle
from hotplug._host._difference import compare, in_order
from hotplug._host._policy import plan
from hotplug._host._publication import Publication
from hotplug._host._starting import Starting
from hotplug._lifecycle import Stuck
from hotplug._loader import drop_modules, forget_modules, modules_of
from hotplug.errors import FrozenRegistryError, PluginError, StartError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence

    from hotplug._host._difference import Difference
    from hotplug._host._gateways import Exchange
    from hotplug._host._host import Host
    from hotplug._host._plugin import Plugin
    from hotplug._host._policy import Seat
    from hotplug._records import Changes

__all__ = ["Follower", "is_required"]

_log = logging.getLogger("hotplug.host")

TURN: Final = 2.0  # seconds above any limit that the home loop has to come round


class Follower:
    """The plugins that stand, and how they come to differ. One verb at a time: the host sees to that."""

    def __init__(self, host: Host) -> None:
        self._host: Final = host
        self.standing: tuple[Plugin, ...] = ()
        self._guard: Final = threading.Lock()
        self._running: list[Plugin] = []
        self._made: list[Plugin] = []
        self._gone_but_stuck: list[Plugin] = []

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
        standing = [plugin for plugin in self.standing if not self._could_stand_now(plugin)]
        difference = compare(standing, seats, hold=not config_first)
        self._make_way(difference)
        publication = Publication(self._host, difference)
        exchange = self._host.gateways.exchange(publication.swaps, publication.added)
        with self._guard:
            ran = tuple(self._running)
        try:
            if config_first:
                self._check_beside(publication, exchange)
            publication.publish(strict=config_first)
        except BaseException:
            exchange.take_back()
            self._drop(publication.beside, ran)
            raise
        exchange.commit()
        self.standing = in_order(seats, publication.listed)
        self._host.gateways.promote(publication.beside)
        self._retire(publication.retired, difference.gone)
        if not config_first:
            for plugin in difference.kept:
                plugin.try_again()
        for plugin in difference.held:
            plugin.restart_required(f"{plugin.distribution} changed on disk: restart to use it")
        return publication.changes

    def _could_stand_now(self, plugin: Plugin) -> bool:
        """Whether its key was taken when it came, and is free by now."""
        if plugin.stands or not plugin.seat.may_load:
            return False
        registry = self._host.registries[plugin.seat.kind.name]
        return not registry.frozen and plugin.seat.status.key not in registry

    def _make_way(self, difference: Difference) -> None:
        """
        Drop the modules of what was installed anew, unless others work with them.

        That is: of what never worked, and of what is gone and drains.
        """
        old_and_new = [pair for pair in difference.swapped if pair[0].status.state == "failed"]
        drained = ((self._host.gateways.drains.of(seat.name), seat) for seat in difference.added)
        old_and_new += [(old, seat) for old, seat in drained if old is not None]
        for old, seat in old_and_new:
            if old.seat.stamp != seat.stamp:
                modules = set(modules_of(old.seat.status.record))
                others = (plugin for plugin in self.standing if plugin.is_in_use)
                if not any(modules.intersection(modules_of(other.seat.status.record)) for other in others):
                    drop_modules(old.seat.status.record)

    def _check_beside(self, publication: Publication, exchange: Exchange) -> None:
        """Import and check what the configuration names; connect what shall be connected."""
        beside = publication.beside
        for plugin in beside:
            if plugin.seat.entry is not None:
                plugin.prepared()
        for plugin in publication.rejected:
            raise PluginError(f"{plugin.status.reason}: {plugin.status.remedy}", plugin.status.record)

        def refuse(plugin: Plugin, error: PluginError) -> None:
            if plugin.seat.entry is not None and plugin in beside:
                raise error

        others = [plugin for plugin in publication.listed if plugin.stands]
        connected = exchange.begin()
        with self._guard:
            self._running += connected
        self._start(Starting([*others, *beside], beside), refuse)

    def _drop(self, beside: Sequence[Plugin], ran: Sequence[Plugin]) -> None:
        """End what was made beside and will not stand, and what was started for it."""
        with self._guard:
            started = [plugin for plugin in reversed(self._running) if plugin not in ran]
        for plugin in started:
            _log_all(self._finish(self._ending([plugin], [plugin] if plugin in beside else [])))
        for plugin in reversed(beside):
            self._end(plugin)

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

    def bring_up(self, must: Callable[[Plugin], bool]) -> list[str]:
        """
        Start what shall run and does not yet, each after what it requires; the names of those that failed.

        The failure of one that *must* run is raised as `StartError`.
        """

        def refuse(plugin: Plugin, error: PluginError) -> None:
            if must(plugin):
                raise StartError([(plugin.seat.name, str(error))]) from error

        plugins = [plugin for plugin in self.standing if plugin.stands]
        return self._start(Starting(plugins, plugins), refuse)

    def _start(self, starting: Starting, refuse: Callable[[Plugin, PluginError], None]) -> list[str]:
        for plugin, error in starting.unfit():
            refuse(plugin, error)
        for batch in starting.batches:
            for plugin, error in self._start_batch(batch, starting):
                starting.fail(plugin, error)
                refuse(plugin, error)
        return list(starting.failures)

    def _start_batch(self, batch: Sequence[Plugin], starting: Starting) -> list[tuple[Plugin, PluginError]]:
        """Start those of *batch* that do not run yet, all at once; who failed, and why."""
        failed: list[tuple[Plugin, PluginError]] = []
        waiting: list[Plugin] = []
        for plugin in batch:
            if self._has(self._running, plugin):
                continue
            try:
                starting.refuse_if_it_lacks_something(plugin)
                waiting.append(plugin)
            except PluginError as error:
                failed.append((plugin, error))
        return [*failed, *self._up(waiting)] if waiting else failed

    def _up(self, plugins: Sequence[Plugin]) -> list[tuple[Plugin, PluginError]]:
        """Bring *plugins* up, side by side, each within its limit; who failed, and why."""
        limit = self._host.load_timeout
        outcomes: dict[Plugin, PluginError | None] = {}

        async def bring_up(plugin: Plugin) -> None:
            verb = plugin.seat.kind.up or ""
            find = functools.partial(self._way_up, plugin, verb, limit)
            outcomes[plugin] = await attempt(find, plugin.seat.status.record, verb, limit)

        async def all_of_them() -> None:
            await asyncio.gather(*map(bring_up, plugins))

        try:
            self._host.home.run(all_of_them(), limit + TURN)
        except Stuck as stuck:
            for plugin in plugins:
                why = blocked(plugin.seat.kind.up or "", stuck, plugin.seat.status.record)
                outcomes.setdefault(plugin, why)
        finally:  # who is interrupted has started some of them all the same
            up = [plugin for plugin, error in outcomes.items() if error is None]
            with self._guard:
                self._running += [plugin for plugin in plugins if plugin in up]
        for plugin in up:
            plugin.works()
        return [(plugin, error) for plugin in plugins if (error := outcomes[plugin]) is not None]

    def _way_up(self, plugin: Plugin, verb: str, limit: float) -> Callable[[], Any] | None:
        return self._host.gateways.way_up(plugin, limit) or getattr(plugin.product, verb)

    # -- ending ------------------------------------------------------------------------------------

    def made(self, plugin: Plugin) -> bool:
        """Remember what is to be closed one day; false: it was made too late, and closed at once."""
        with self._guard:
            self._made.append(plugin)
        if not self._host.is_closed:
            return True
        self._end(plugin)
        return False

    def close(self) -> list[PluginError]:
        """Withdraw, drain, bring down and close everything, newest first; what went wrong."""
        for plugin in self.standing:
            with contextlib.suppress(FrozenRegistryError):  # what was frozen keeps its entries
                plugin.withdraw()
        with self._guard:
            running, made = self._running[::-1], self._made[::-1]
        self._host.gateways.drains.end()
        running += [each for each in made if each not in running and self._host.gateways.is_connected(each)]
        errors = self._drain(made)
        errors += self._finish(self._ending(running, made))
        return errors + self._finish(self._kept_is_over())

    async def _kept_is_over(self) -> list[PluginError]:
        await self._host.home.kept_is_over()
        return []

    def _drain(self, plugins: Iterable[Plugin]) -> list[PluginError]:
        """Wait until nobody leases them any more, for the drain limit at most."""
        limit = self._host.drain_timeout
        deadline = time.monotonic() + limit
        errors: list[PluginError] = []
        for plugin in plugins:
            released = threading.Event()
            plugin.when_released(released.set)
            if not released.wait(max(0.0, deadline - time.monotonic())):
                why = f"is closed although it is leased still, after {limit:g} s"
                errors.append(PluginError(why, plugin.seat.status.record, reason="leased"))
        return errors

    def stuck_threads(self) -> list[str]:
        """The names of the threads that plugins are stuck in, those that are gone too."""
        alive = {thread.name for thread in threading.enumerate()}
        plugins = (*self.standing, *self._gone_but_stuck)
        return [name for plugin in plugins for name in plugin.stuck_threads if name in alive]

    def _retire(self, plugins: Sequence[Plugin], gone: Sequence[Plugin]) -> None:
        """
        End them, what started last first, each as soon as nobody leases it.

        A connected gateway among those that are *gone*, and that nobody replaces, drains first.
        """
        for plugin in plugins:
            if plugin in gone:
                self._host.gateways.shut(plugin)
        with self._guard:
            age = {plugin: index for index, plugin in enumerate([*self._made, *self._running])}
        for plugin in sorted(plugins, key=lambda plugin: age.get(plugin, -1), reverse=True):
            plugin.when_released(functools.partial(self._released, plugin))

    def _released(self, plugin: Plugin) -> None:
        self._host.gateways.drains.when_over(plugin, functools.partial(self._retired, plugin))

    def _retired(self, plugin: Plugin) -> None:
        self._end(plugin)
        self._host.gateways.retired(plugin, self.standing)
        if plugin.stuck_threads:
            with self._guard:
                self._gone_but_stuck.append(plugin)
        forget_modules(plugin.seat.status.record)

    def _end(self, plugin: Plugin) -> None:
        """Bring down and close one plugin's object, on the host's loop."""
        if not (self._has(self._running, plugin) or self._has(self._made, plugin)):
            return
        work = self._ending([plugin], [plugin])
        if self._host.home.is_here:
            self._host.home.keep(_logged(work))
        else:
            _log_all(self._finish(work))

    def _finish(self, work: Coroutine[Any, Any, list[PluginError]]) -> list[PluginError]:
        return finished(self._host.home, work, self._host.drain_timeout + TURN)

    async def _ending(self, running: Iterable[Plugin], made: Iterable[Plugin]) -> list[PluginError]:
        """First all are brought down, then all are closed: who still runs may need who runs no more."""
        errors: list[PluginError] = []
        for batch in _side_by_side(running):
            ended = await asyncio.gather(*map(self._down, batch))
            errors += [error for error in ended if error is not None]
        for plugin in made:
            if self._claim(self._made, plugin):
                record = plugin.seat.status.record
                errors += await settle([(plugin.product, record)], self._host.drain_timeout)
        return errors

    async def _down(self, plugin: Plugin) -> PluginError | None:
        verb, gateways = plugin.seat.kind.down, self._host.gateways
        if not (self._claim(self._running, plugin) or gateways.is_connected(plugin)) or verb is None:
            return None
        limit = self._host.drain_timeout

        def find() -> Callable[[], Any] | None:
            return gateways.way_down(plugin, limit) or getattr(plugin.product, verb)

        return await attempt(find, plugin.seat.status.record, verb, limit)

    def _has(self, roll: list[Plugin], plugin: Plugin) -> bool:
        with self._guard:
            return plugin in roll

    def _claim(self, roll: list[Plugin], plugin: Plugin) -> bool:
        """Strike *plugin* off; true for one caller only."""
        with self._guard:
            if plugin not in roll:
                return False
            roll.remove(plugin)
            return True


def _side_by_side(plugins: Iterable[Plugin]) -> list[list[Plugin]]:
    """*plugins* in their order; gateways that follow each other, which do not know of each other, as one."""
    batches: list[list[Plugin]] = []
    for plugin in plugins:
        if batches and plugin.seat.kind.up == batches[-1][-1].seat.kind.up == "connect":
            batches[-1].append(plugin)
        else:
            batches.append([plugin])
    return batches


def is_required(plugin: Plugin) -> bool:
    """Whether the configuration says that it must work."""
    return plugin.seat.entry is not None and plugin.seat.entry.required


def _by_choice(plugin: Plugin) -> bool:
    """Whether somebody decided that it shall not stand."""
    return plugin.status.state == "disabled" or plugin.status.reason in ("not allowed", "vetoed")


async def _logged(work: Coroutine[Any, Any, list[PluginError]]) -> None:
    _log_all(await work)


def _log_all(errors: Iterable[PluginError]) -> None:
    for error in errors:
        _log.warning("closing a replaced plugin: %s", error)
