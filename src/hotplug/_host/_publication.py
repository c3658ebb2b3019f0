"""New plugins beside the old ones, and the one change that puts them in their places."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hotplug._host._plugin import Plugin

if TYPE_CHECKING:
    from hotplug._host._difference import Difference
    from hotplug._host._host import Host
    from hotplug._host._policy import Seat
    from hotplug._host._renewal import Renewal
    from hotplug._records import Changes
    from hotplug.errors import HotplugError
    from hotplug.registry import Change, Undo, UniversalRegistry

__all__ = ["Publication"]


@dataclass(frozen=True, slots=True)
class _Step:
    """*come* takes a place, *go* leaves one; or both, at once."""

    come: Plugin | None = None
    go: Plugin | None = None


class Publication:
    """A difference that becomes true: afterwards *listed* is what there is, and *retired* what is to end."""

    def __init__(self, host: Host, difference: Difference, renewal: Renewal | None = None) -> None:
        self._host = host
        self._difference = difference
        self.renewal = renewal
        self.swaps = [(old, self._plugin(seat)) for old, seat in difference.swapped]
        self.added = [self._plugin(seat) for seat in difference.added]
        self.gone = difference.gone
        self._idle = [Plugin(seat, host) for seat in difference.idle]
        self.beside = [*(new for _, new in self.swaps), *self.added]
        tuned = [plugin for plugin, _ in difference.tuned]
        self.listed = [*difference.kept, *difference.held, *self._idle, *tuned]
        self.retired: list[Plugin] = []
        self.is_out = False
        """Whether it is true."""
        self._failed: list[str] = []

    def _plugin(self, seat: Seat) -> Plugin:
        """One of the next generation, where there is one, else of the present one."""
        codes, record = self._host.codes, seat.status.record
        code = None if self.renewal is None else self.renewal.of(record)
        code = code or codes.of(record)
        plugin = Plugin(seat, self._host, code)
        codes.hold(code, plugin)
        return plugin

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
        Swap, place and withdraw, all at once for everybody who looks.

        With *strict* nothing has happened where any of it is impossible, which is raised. Otherwise who
        cannot come, change or go is left as it was.
        """
        change = self._host.shelf.change()
        tuned: list[tuple[Plugin, Seat]] = []
        steps: dict[Undo, _Step] = {}
        try:
            for plugin, seat in self._difference.tuned:
                tuned.append((plugin, plugin.seat))
                plugin.tune(self._registry(plugin), seat)
            self._collect(change, steps)
            change.publish(strict=strict)
        finally:  # after an interrupt, too: all of it has happened, or nothing
            self.is_out = change.is_out
            if self.is_out:
                for undo, error in change.refused:
                    self._could_not(steps.pop(undo), error)
                for step in steps.values():
                    self._did(step)
            else:
                for plugin, seat in reversed(tuned):
                    plugin.tune(self._registry(plugin), seat)

    def _collect(self, change: Change, steps: dict[Undo, _Step]) -> None:
        """Say what *change* is to do, and what each part of it means."""
        for old, new in self.swaps:
            steps[new.come(change, self._registry(new), old)] = _Step(come=new, go=old)
        for plugin in self.added:
            steps[plugin.come(change, self._registry(plugin))] = _Step(come=plugin)
        for plugin in self.gone:
            if plugin.undo is None:  # it has never stood
                self.retired.append(plugin)
            else:
                change.remove(plugin.undo)
                steps[plugin.undo] = _Step(go=plugin)

    def _did(self, step: _Step) -> None:
        if step.come is not None:
            step.come.came()
            self.listed.append(step.come)
        if step.go is not None:
            step.go.stands = False
            self.retired.append(step.go)

    def _could_not(self, step: _Step, error: HotplugError) -> None:
        """Who stands serves on; else the newcomer is listed with the reason."""
        both = (plugin for plugin in (step.go, step.come) if plugin is not None)
        plugin = next(plugin for plugin in both if plugin.stands or plugin is step.come)
        plugin.displaced(error)
        self.listed.append(plugin)
        self._failed.append(plugin.seat.name)

    def _registry(self, plugin: Plugin) -> UniversalRegistry[object]:
        return self._host.registries[plugin.seat.kind.name]
