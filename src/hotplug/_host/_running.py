"""What runs and what was made, from its start to its end, on the host's loop."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Final

from hotplug._host._closing import attempt, blocked, finished, settle
from hotplug._lifecycle import Stuck
from hotplug.errors import PluginError, PluginTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence

    from hotplug._host._host import Host
    from hotplug._host._plugin import Plugin
    from hotplug._host._starting import Starting

__all__ = ["Running"]

_log = logging.getLogger("hotplug.host")

TURN: Final = 2.0  # seconds above any limit that the home loop has to come round


class Running:
    """The plugins of a host whose objects run, and those whose objects are to be closed. Thread-safe."""

    def __init__(self, host: Host) -> None:
        self._host: Final = host
        self._guard: Final = threading.Lock()
        self._running: list[Plugin] = []
        self._made: list[Plugin] = []
        self._needs: weakref.WeakKeyDictionary[Plugin, tuple[str, ...]] = weakref.WeakKeyDictionary()

    @property
    def now(self) -> tuple[Plugin, ...]:
        """Those that run, in the order in which they were started."""
        with self._guard:
            return tuple(self._running)

    def newest_first(self, plugins: Iterable[Plugin]) -> list[Plugin]:
        """*plugins*, what started last first, and nothing before what requires it."""
        with self._guard:
            age = {plugin: index for index, plugin in enumerate([*self._made, *self._running])}
            needs = dict(self._needs)
        newest = sorted(plugins, key=lambda plugin: age.get(plugin, -1), reverse=True)
        return _none_before_who_needs_it(newest, needs)

    def needed_by(self, plugins: Iterable[Plugin]) -> set[str]:
        """The names of what those of *plugins* that run required when they were started."""
        with self._guard:
            return {name for each in plugins if each in self._running for name in self._needs.get(each, ())}

    def lacks(self) -> list[str]:
        """Of those that run, who requires what stands no more."""
        registries = self._host.registries
        with self._guard:
            pairs = [(each, name) for each in self._running for name in self._needs.get(each, ())]
        return [
            f"{each.seat.name}: requires {name}, which is not there any more"
            for each, name in pairs
            if name.partition("/")[2] not in registries[each.seat.kind.name]
        ]

    # -- starting ----------------------------------------------------------------------------------

    def runs(self, plugins: Iterable[Plugin]) -> None:
        """Somebody else has started *plugins*."""
        self._run_now(plugins)

    def _run_now(self, plugins: Iterable[Plugin]) -> None:
        """*plugins* run, each in the place of its forerunner in the order, if it has one."""
        with self._guard:
            for plugin in plugins:
                places = (at for at, each in enumerate(self._running) if each.seat.name == plugin.seat.name)
                self._running.insert(next(places, len(self._running)), plugin)

    def start(self, starting: Starting) -> Iterator[tuple[Plugin, PluginError]]:
        """Start what is to start; who failed, and why, as it happens. What runs already, runs on."""
        yield from starting.unfit()
        for batch in starting.batches:
            for plugin, error in self._start_batch(batch, starting):
                starting.fail(plugin, error)
                yield plugin, error

    def _start_batch(self, batch: Sequence[Plugin], starting: Starting) -> list[tuple[Plugin, PluginError]]:
        """Start those of *batch* that do not run yet, all at once; who failed, and why."""
        failed: list[tuple[Plugin, PluginError]] = []
        waiting: list[Plugin] = []
        for plugin in batch:
            if self._has(self._running, plugin):
                continue
            try:
                starting.refuse_if_it_lacks_something(plugin, self._why_absent)
                waiting.append(plugin)
                with self._guard:
                    self._needs[plugin] = starting.needs[plugin.seat.name]
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
            error = await attempt(find, plugin.seat.status.record, verb, limit)
            outcomes[plugin] = error
            if error is not None:
                await self._undo_start(plugin, error)

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
            self._run_now(plugin for plugin in plugins if plugin in up)
        for plugin in up:
            plugin.works()
        return [(plugin, error) for plugin in plugins if (error := outcomes[plugin]) is not None]

    def _way_up(self, plugin: Plugin, verb: str, limit: float) -> Callable[[], Any] | None:
        return self._host.gateways.way_up(plugin, limit) or getattr(plugin.product, verb)

    async def _undo_start(self, plugin: Plugin, error: PluginError) -> None:
        """Stop what did not start: it may have begun. Gateways see to that themselves."""
        verb = plugin.seat.kind.down
        is_at_it_still = isinstance(error, PluginTimeoutError)
        if verb is None or is_at_it_still or plugin.seat.kind.up == "connect":
            return
        find = functools.partial(getattr, plugin.product, verb)
        remains = await attempt(find, plugin.seat.status.record, verb, self._host.drain_timeout)
        if remains is not None:
            _log.warning("what %s had begun may go on: %s", plugin.seat.name, remains)

    def _why_absent(self, name: str) -> str | None:
        """Why nothing stands under *name* (``kind/key``); None where something of the application does."""
        kind, _, key = name.partition("/")
        registry = self._host.registries[kind]
        if key in registry:
            return None
        return registry.explain(key) if registry.explain is not None else ""

    # -- ending ------------------------------------------------------------------------------------

    def made(self, plugin: Plugin) -> bool:
        """Remember what is to be closed one day; false: it was made too late, and closed at once."""
        with self._guard:
            self._made.append(plugin)
        if not self._host.is_closed:
            return True
        self.end(plugin)
        return False

    def drop(self, beside: Sequence[Plugin], ran: Sequence[Plugin]) -> None:
        """End what was made beside and will not stand, and what was started for it since *ran* ran."""
        for plugin in reversed(self.now):
            if plugin not in ran:
                _log_all(self._finish(self._ending([plugin], [plugin] if plugin in beside else [])))
        for plugin in reversed(beside):
            self.end(plugin)

    def close(self) -> list[PluginError]:
        """Drain, bring down and close everything, newest first; what went wrong."""
        with self._guard:
            made = self._made[::-1]
        running = self.newest_first(self.now)
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

    def end(self, plugin: Plugin) -> None:
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
        await self._host.checkups.let_go(plugin)
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


def _none_before_who_needs_it(
    plugins: Iterable[Plugin], needs: Mapping[Plugin, Sequence[str]]
) -> list[Plugin]:
    """*plugins* in their order, but each after all that it would leave in the lurch."""
    seen: set[Plugin] = set()
    dependents: dict[str, list[Plugin]] = {}
    plugins = list(plugins)
    for plugin in plugins:
        for name in needs.get(plugin, ()):
            dependents.setdefault(name, []).append(plugin)
    placed: list[Plugin] = []

    def place(plugin: Plugin) -> None:
        if plugin not in seen:
            seen.add(plugin)
            for dependent in dependents.get(plugin.seat.name, ()):
                place(dependent)
            placed.append(plugin)

    for plugin in plugins:
        place(plugin)
    return placed


def _side_by_side(plugins: Iterable[Plugin]) -> list[list[Plugin]]:
    """*plugins* in their order; gateways that follow each other, which do not know of each other, as one."""
    batches: list[list[Plugin]] = []
    for plugin in plugins:
        if batches and plugin.seat.kind.up == batches[-1][-1].seat.kind.up == "connect":
            batches[-1].append(plugin)
        else:
            batches.append([plugin])
    return batches


async def _logged(work: Coroutine[Any, Any, list[PluginError]]) -> None:
    _log_all(await work)


def _log_all(errors: Iterable[PluginError]) -> None:
    for error in errors:
        _log.warning("closing a replaced plugin: %s", error)
