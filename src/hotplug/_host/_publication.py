"""New plugins beside the old ones, and the steps that put them in their places, or all back."""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hotplug._host._plugin import Plugin
from hotplug.errors import DuplicateKeyError, FrozenRegistryError, HotplugError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hotplug._host._difference import Difference
    from hotplug._host._host import Host
    from hotplug._records import Changes
    from hotplug.registry import UniversalRegistry

__all__ = ["Publication"]

_log = logging.getLogger("hotplug.host")


@dataclass(frozen=True, slots=True)
class _Step:
    """*come* takes a place, *go* leaves one; or both, at once. *back* works however far *take* came."""

    take: Callable[[], None]
    back: Callable[[], None]
    come: Plugin | None = None
    go: Plugin | None = None


class Publication:
    """A difference that becomes true: afterwards *listed* is what there is, and *retired* what is to end."""

    def __init__(self, host: Host, difference: Difference) -> None:
        self._host = host
        self._difference = difference
        self.swaps = [(old, Plugin(seat, host)) for old, seat in difference.swapped]
        self.added = [Plugin(seat, host) for seat in difference.added]
        self._idle = [Plugin(seat, host) for seat in difference.idle]
        self.beside = [*(new for _, new in self.swaps), *self.added]
        tuned = [plugin for plugin, _ in difference.tuned]
        self.listed = [*difference.kept, *difference.held, *self._idle, *tuned]
        self.retired: list[Plugin] = []
        self._failed: list[str] = []

    @property
    def rejected(self) -> list[Plugin]:
        """What the configuration requires although it cannot stand."""
        return [
            plugin for plugin in self._idle if plugin.seat.entry is not None and plugin.seat.entry.required
        ]

    @property
    def changes(self) -> Changes:
        """What came of it: who could not come, change or go has failed instead."""
        changes, failed = self._difference.changes, self._failed
        return replace(
            changes,
            added=tuple(name for name in changes.added if name not in failed),
            changed=tuple(name for name in changes.changed if name not in failed),
            removed=tuple(name for name in changes.removed if name not in failed),
            failed=(*changes.failed, *failed),
        )

    def publish(self, *, strict: bool) -> None:
        """
        Swap, place and withdraw.

        With *strict* the first of it that is impossible takes everything back and is raised.
        """
        begun: list[_Step] = []
        try:
            for step in self._steps():
                begun.append(step)
                self._make(step, strict=strict)
        except BaseException:  # an interrupt too: half a change is none
            for step in reversed(begun):
                _take_back(step)
            raise

    def _make(self, step: _Step, *, strict: bool) -> None:
        try:
            step.take()
        except (DuplicateKeyError, FrozenRegistryError) as error:
            if strict:
                raise
            self._could_not(step, error)
        else:
            self._did(step)

    def _did(self, step: _Step) -> None:
        if step.come is not None:
            self.listed.append(step.come)
        if step.go is not None:
            self.retired.append(step.go)

    def _could_not(self, step: _Step, error: HotplugError) -> None:
        """Who stands serves on; else the newcomer is listed with the reason."""
        both = (plugin for plugin in (step.go, step.come) if plugin is not None)
        plugin = next(plugin for plugin in both if plugin.stands or plugin is step.come)
        plugin.displaced(error)
        self.listed.append(plugin)
        self._failed.append(plugin.seat.name)

    def _steps(self) -> Iterator[_Step]:
        # Who goes, goes last: taken back, it would stand at another place in the order of its registry.
        for plugin, seat in self._difference.tuned:
            tune = functools.partial(plugin.tune, self._registry(plugin))
            yield _Step(functools.partial(tune, seat), functools.partial(tune, plugin.seat))
        for old, new in self.swaps:
            registry = self._registry(new)
            back = functools.partial(_swap_back, registry, old, new)
            yield _Step(functools.partial(_swap, registry, old, new), back, come=new, go=old)
        for plugin in self.added:
            place = functools.partial(_stand, self._registry(plugin), plugin)
            yield _Step(place, plugin.withdraw, come=plugin)
        for plugin in self._difference.gone:
            back = functools.partial(_stand_again, self._registry(plugin), plugin)
            yield _Step(plugin.withdraw, back, go=plugin)

    def _registry(self, plugin: Plugin) -> UniversalRegistry[object]:
        return self._host.registries[plugin.seat.kind.name]


def _swap(registry: UniversalRegistry[object], old: Plugin, new: Plugin) -> None:
    new.take_over(registry, old)
    _show(new)


def _swap_back(registry: UniversalRegistry[object], old: Plugin, new: Plugin) -> None:
    if new.stands:
        _swap(registry, new, old)


def _stand(registry: UniversalRegistry[object], plugin: Plugin) -> None:
    plugin.stand(registry)
    _show(plugin)


def _stand_again(registry: UniversalRegistry[object], plugin: Plugin) -> None:
    if not plugin.stands:
        _stand(registry, plugin)


def _show(plugin: Plugin) -> None:
    """What was made before it stood is in its registry at once, not when somebody first asks for it."""
    if plugin.product is not None:
        plugin.obtain()


def _take_back(step: _Step) -> None:
    try:
        step.back()
    except HotplugError as error:  # somebody froze the registry, or took the key, in between
        _log.error("taking back a change failed: %s", error)
