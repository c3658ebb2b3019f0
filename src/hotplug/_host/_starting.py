"""Who starts before whom."""

from __future__ import annotations

import graphlib
from typing import TYPE_CHECKING

from hotplug.errors import PluginError, close_match

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hotplug._host._plugin import Plugin

__all__ = ["Starting"]


class Starting:
    """The plugins that shall run, and all that they require, so ordered that nobody starts too early."""

    def __init__(self, plugins: Sequence[Plugin]) -> None:
        self._by_name = {plugin.seat.name: plugin for plugin in plugins}
        self._wanted: dict[str, Plugin] = {}
        self.failed: set[str] = set()
        for plugin in plugins:
            if plugin.shall_run:
                self._want(plugin)

    def _want(self, plugin: Plugin) -> None:
        name = plugin.seat.name
        if name in self._wanted:
            return
        self._wanted[name] = plugin
        try:
            plugin.obtain()
        except PluginError:
            self.failed.add(name)  # its status says why
            return
        for needed in _requires(plugin):
            if needed in self._by_name:
                self._want(self._by_name[needed])

    def in_order(self) -> Iterator[Plugin]:
        """Those that were loaded, each after what it requires; a circle is the failure of all in it."""
        graph = {name: self._loaded_needs(plugin) for name, plugin in self._wanted.items()}
        while True:
            try:
                order = list(graphlib.TopologicalSorter(graph).static_order())
            except graphlib.CycleError as error:
                circle: list[str] = error.args[1]
                for name in circle[1:]:
                    self._blame(name, circle)
                graph = {name: needs - set(circle) for name, needs in graph.items() if name not in circle}
            else:
                break
        yield from (self._wanted[name] for name in order if name not in self.failed)

    def refuse_if_it_lacks_something(self, plugin: Plugin) -> None:
        """Raise `PluginError` if what *plugin* requires is not there, or did not start."""
        for needed in _requires(plugin):
            if needed in self.failed:
                raise PluginError(
                    f"not started: it requires {needed}, which failed", plugin.seat.status.record
                )
            if needed not in self._by_name:
                raise PluginError(
                    f"not started: it requires {needed}, which is not there",
                    plugin.seat.status.record,
                    remedy=close_match(needed, self._by_name),
                )

    def _loaded_needs(self, plugin: Plugin) -> set[str]:
        return {needed for needed in _requires(plugin) if needed in self._wanted}

    def _blame(self, name: str, circle: Sequence[str]) -> None:
        plugin = self._wanted[name]
        self.failed.add(name)
        why = f"not started: it requires itself by way of {' -> '.join(circle)}"
        plugin.failed(PluginError(why, plugin.seat.status.record, remedy="break the circle"))


def _requires(plugin: Plugin) -> tuple[str, ...]:
    """The names (``kind/key``) of what it requires; keys alone are of its own kind."""
    return tuple(f"{plugin.seat.kind.name}/{key}" for key in getattr(plugin.product, "requires", ()))
