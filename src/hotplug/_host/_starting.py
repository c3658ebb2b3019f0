"""Who starts before whom."""

from __future__ import annotations

import graphlib
from typing import TYPE_CHECKING, Final

from hotplug.errors import PluginError, close_match

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hotplug._host._plugin import Plugin

__all__ = ["Starting"]


class Starting:
    """Of *roots*, those that shall run and all that they require, so ordered that nobody starts too early."""

    def __init__(self, plugins: Sequence[Plugin], roots: Sequence[Plugin]) -> None:
        self._by_name = {plugin.seat.name: plugin for plugin in plugins}
        self._wanted: dict[str, Plugin] = {}
        self._needs: dict[str, tuple[str, ...]] = {}
        self.failures: Final[dict[str, PluginError]] = {}
        for plugin in roots:
            if plugin.shall_run:
                self._want(plugin)
        self.order: Final = self._in_order()

    def _want(self, plugin: Plugin) -> None:
        name = plugin.seat.name
        if name in self._wanted:
            return
        self._wanted[name] = plugin
        self._needs[name] = ()
        try:
            plugin.obtain()
        except PluginError as error:
            self.failures[name] = error  # its status says why
            return
        try:
            self._needs[name] = plugin.requires
        except PluginError as error:
            self.fail(plugin, error)
        for needed in self._needs[name]:
            if needed in self._by_name:
                self._want(self._by_name[needed])

    def unfit(self) -> list[tuple[Plugin, PluginError]]:
        """Those that failed before anything was started."""
        return [(self._wanted[name], error) for name, error in self.failures.items()]

    def fail(self, plugin: Plugin, error: PluginError) -> None:
        """It does not run, and who requires it will not either."""
        self.failures[plugin.seat.name] = error
        plugin.failed(error)

    def _in_order(self) -> tuple[Plugin, ...]:
        """Those that were loaded, each after what it requires; a circle is the failure of all in it."""
        graph = {name: {need for need in self._needs[name] if need in self._wanted} for name in self._wanted}
        while True:
            try:
                order = list(graphlib.TopologicalSorter(graph).static_order())
            except graphlib.CycleError as error:
                circle: list[str] = error.args[1]
                for name in circle[1:]:
                    self._blame(name, circle)
                graph = {name: needs - set(circle) for name, needs in graph.items() if name not in circle}
            else:
                return tuple(self._wanted[name] for name in order if name not in self.failures)

    def refuse_if_it_lacks_something(self, plugin: Plugin) -> None:
        """Raise `PluginError` if what *plugin* requires is not there, or did not start."""
        for needed in self._needs[plugin.seat.name]:
            if needed in self.failures:
                raise PluginError(
                    f"not started: it requires {needed}, which failed", plugin.seat.status.record
                )
            if needed not in self._by_name:
                raise PluginError(
                    f"not started: it requires {needed}, which is not there",
                    plugin.seat.status.record,
                    remedy=close_match(needed, self._by_name),
                )

    def _blame(self, name: str, circle: Sequence[str]) -> None:
        plugin = self._wanted[name]
        why = f"not started: it requires itself by way of {' -> '.join(circle)}"
        self.fail(plugin, PluginError(why, plugin.seat.status.record, remedy="break the circle"))
