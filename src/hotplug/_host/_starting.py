"""Who starts before whom, and who is not worth another try."""

from __future__ import annotations

import graphlib
from typing import TYPE_CHECKING, Final

from hotplug.errors import PluginError, close_match

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from hotplug._host._plugin import Plugin

__all__ = ["Starting", "Vain"]


class Starting:
    """
    Of *roots*, those that shall run and all that they require, so ordered that nobody starts too early.

    Those among them whose names are *needed* by what runs shall run, too.
    """

    def __init__(
        self, plugins: Sequence[Plugin], roots: Sequence[Plugin], needed: Collection[str] = ()
    ) -> None:
        self._by_name = {plugin.seat.name: plugin for plugin in plugins}
        self._wanted: dict[str, Plugin] = {}
        self.needs: Final[dict[str, tuple[str, ...]]] = {}
        """What each of them requires, by names."""
        self.failures: Final[dict[str, PluginError]] = {}
        for plugin in roots:
            if plugin.seat.name in needed or plugin.shall_run:
                self._want(plugin)
        self.batches: Final = self._in_order()

    def _want(self, plugin: Plugin) -> None:
        name = plugin.seat.name
        if name in self._wanted:
            return
        self._wanted[name] = plugin
        self.needs[name] = ()
        try:
            plugin.obtain()
        except PluginError as error:
            self.failures[name] = error  # its status says why
            return
        try:
            self.needs[name] = plugin.requires
        except PluginError as error:
            self.fail(plugin, error)
        for needed in self.needs[name]:
            if needed in self._by_name:
                self._want(self._by_name[needed])

    def unfit(self) -> list[tuple[Plugin, PluginError]]:
        """Those that failed before anything was started."""
        return [(self._wanted[name], error) for name, error in self.failures.items()]

    def fail(self, plugin: Plugin, error: PluginError) -> None:
        """It does not run, and who requires it will not either."""
        self.failures[plugin.seat.name] = error
        plugin.failed(error)

    def _in_order(self) -> list[list[Plugin]]:
        """
        Those that were loaded, each after what it requires; a circle is the failure of all in it.

        What stands in one batch is of one kind, and does not wait for each other.
        """
        graph = {name: {need for need in self.needs[name] if need in self._wanted} for name in self._wanted}
        while True:
            try:
                levels = list(_levels(graph))
            except graphlib.CycleError as error:
                circle: list[str] = error.args[1]
                for name in circle[1:]:
                    self._blame(name, circle)
                graph = {name: needs - set(circle) for name, needs in graph.items() if name not in circle}
            else:
                return [batch for level in levels for batch in self._by_kind(level)]

    def _by_kind(self, level: Sequence[str]) -> Iterator[list[Plugin]]:
        """The plugins of a level, kind by kind as these came: what runs on brokers starts after them."""
        batches: dict[str, list[Plugin]] = {}
        for name in self._wanted:
            if name in level and name not in self.failures:
                plugin = self._wanted[name]
                batches.setdefault(plugin.seat.kind.name, []).append(plugin)
        yield from batches.values()

    def refuse_if_it_lacks_something(
        self, plugin: Plugin, why_absent: Callable[[str], str | None] = lambda _: ""
    ) -> None:
        """
        Raise `PluginError` if what *plugin* requires is not there, or did not start.

        *why_absent* knows of what no plugin is: why it is absent, or (None) that the application has it.
        """
        for needed in self.needs[plugin.seat.name]:
            if needed in self.failures:
                raise PluginError(
                    f"not started: it requires {needed}, which failed", plugin.seat.status.record
                )
            if needed not in self._by_name and (why := why_absent(needed)) is not None:
                raise PluginError(
                    f"not started: it requires {needed}, which is not there",
                    plugin.seat.status.record,
                    remedy=why or close_match(needed, self._by_name),
                )

    def _blame(self, name: str, circle: Sequence[str]) -> None:
        plugin = self._wanted[name]
        owners = [self._wanted[each].seat.status.record for each in circle]
        way = " -> ".join(
            f"{each} ({owner.distribution})" for each, owner in zip(circle, owners, strict=True)
        )
        why = f"not started: it requires itself by way of {way}"
        self.fail(plugin, PluginError(why, plugin.seat.status.record, remedy="break the circle"))


class Vain:
    """
    What was started in vain, and what it had to work with.

    By itself a host does not try that again until it, or something that it requires, is another.
    """

    def __init__(self) -> None:
        self._tried: Mapping[Plugin, Mapping[str, object]] = {}

    def left_out(self, plugins: Sequence[Plugin], running: Collection[Plugin]) -> list[Plugin]:
        """*plugins* but for those that run, and those that would fail as they did."""
        now = _circumstances(plugins, running)
        hopeless = {
            plugin.seat.name: plugin
            for plugin in plugins
            if plugin.has_failed and _same(self._tried.get(plugin), now)
        }
        hopeful = [plugin for plugin in plugins if plugin not in running and plugin.seat.name not in hopeless]
        while more := [plugin for plugin in hopeless.values() if self._follows(plugin, hopeful)]:
            hopeful += more
            hopeless = {name: plugin for name, plugin in hopeless.items() if plugin not in more}
        return hopeful

    def remember(
        self,
        starting: Starting,
        roots: Sequence[Plugin],
        plugins: Sequence[Plugin],
        running: Collection[Plugin],
    ) -> None:
        """This is what came of *starting*, which began with *roots* of all *plugins*."""
        now = _circumstances(plugins, running)
        tried = {
            plugin: {need: now.get(need) for need in starting.needs.get(plugin.seat.name, ())}
            for plugin in plugins
            if plugin in roots or plugin.seat.name in starting.needs
        }
        known = {**self._tried, **tried}
        self._tried = {plugin: known[plugin] for plugin in plugins if plugin.has_failed and plugin in known}

    def _follows(self, plugin: Plugin, others: Collection[Plugin]) -> bool:
        """Whether *plugin* requires one of *others*."""
        return any(other.seat.name in self._tried[plugin] for other in others)


def _circumstances(plugins: Sequence[Plugin], running: Collection[Plugin]) -> dict[str, object]:
    """What each of *plugins* is to one that requires it."""
    return {plugin.seat.name: (plugin, plugin in running) for plugin in plugins}


def _same(then: Mapping[str, object] | None, now: Mapping[str, object]) -> bool:
    return then is not None and all(now.get(need) == what for need, what in then.items())


def _levels(graph: Mapping[str, set[str]]) -> Iterator[tuple[str, ...]]:
    """The names, each after those it needs; raises `graphlib.CycleError`."""
    sorter = graphlib.TopologicalSorter(graph)
    sorter.prepare()
    while sorter.is_active():
        level = sorter.get_ready()
        yield level
        sorter.done(*level)
