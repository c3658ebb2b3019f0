"""Which distributions need which, as their metadata says and their imports show."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from hotplug import _discovery
from hotplug._host._policy import normal_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from hotplug._records import PluginRecord

__all__ = ["Relations"]

CONTRACT: Final = "hotplug"
"""Whatever way it is installed: what hosts and plugins have in common cannot be two."""


class Relations:
    """
    The distributions that plugins come from, those they require, and what that means for others.

    What is required counts as far as it can change in a running process: other plugins' distributions, and
    those that were installed editable. Thread-safe.
    """

    def __init__(self) -> None:
        self._guard: Final = threading.Lock()
        self._plugins: dict[str, PluginRecord] = {}
        self._tops: Mapping[str, Mapping[str, PluginRecord]] = {}
        self._path: Sequence[str] | None = None
        self._required: dict[tuple[str, str, str], tuple[str, ...]] = {}
        self._helpers: dict[str, PluginRecord | None] = {}

    def know(
        self, records: Iterable[PluginRecord], path: Sequence[str] | None, *, fresh: bool = True
    ) -> None:
        """These are the plugins that there are, on *path*; not *fresh*, all else is as it was."""
        records = tuple(records)
        plugins = {normal_name(record.distribution): record for record in records}
        tops: dict[str, dict[str, PluginRecord]] = {}
        for record in records:
            top = record.value.partition(":")[0].partition(".")[0].strip()
            tops.setdefault(top, {})[normal_name(record.distribution)] = record
        with self._guard:
            if plugins != self._plugins or path != self._path or fresh:
                self._required, self._helpers = {}, {}
            self._plugins, self._path, self._tops = plugins, path, tops

    def forget(self, distribution: str) -> None:
        """What it requires is to be read again."""
        name = normal_name(distribution)
        with self._guard:
            self._required = {where: found for where, found in self._required.items() if where[0] != name}

    @property
    def records(self) -> Mapping[str, PluginRecord]:
        """One record of each distribution that plugins come from or need, by name."""
        found = dict(self._plugins)
        for record in self._plugins.values():
            found.update((normal_name(each.distribution), each) for each in self.needs(record.distribution))
        return found

    def needs(self, distribution: str) -> tuple[PluginRecord, ...]:
        """What it requires, itself or through others, nearest first; not itself."""
        found: dict[str, PluginRecord] = {}
        waiting = [normal_name(distribution)]
        seen = set(waiting)
        while waiting:
            for name in self._requirements(waiting.pop(0)):
                if name not in seen:
                    seen.add(name)
                    if (record := self._record(name)) is not None:
                        found[name] = record
                        waiting.append(name)
        return tuple(found.values())

    def named(self, top: str) -> tuple[PluginRecord, ...]:
        """The distributions that may own the module *top*: whose plugins are in it, and all helpers."""
        with self._guard:
            helpers = tuple(record for record in self._helpers.values() if record is not None)
        return (*self._tops.get(top, {}).values(), *helpers)

    def shared(self, distribution: str) -> tuple[str, ...]:
        """The names of what it requires itself, and what cannot change in a running process."""
        names = self._requirements(normal_name(distribution))
        return tuple(name for name in names if self._record(name) is None)

    @property
    def path(self) -> Sequence[str] | None:
        """Where distributions are looked for."""
        return self._path

    def followers(self, distributions: Iterable[str], used: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
        """
        *distributions* and all that depend on them, whatever depends on another after that one.

        *used* says whose modules each was seen to import.
        """
        concerned = {normal_name(name) for name in distributions}
        needs = {
            name: {normal_name(each.distribution) for each in self.needs(name)}
            | {normal_name(each) for each in used.get(name, ())}
            for name in {*self.records, *concerned}
        }
        while more := {name for name, theirs in needs.items() if theirs & concerned} - concerned:
            concerned |= more
        return tuple(_in_order(concerned, needs))

    def _record(self, name: str) -> PluginRecord | None:
        """Of what may change in a running process: a plugin's distribution, or an editable one."""
        if name == CONTRACT:
            return None
        record = self._plugins.get(name)
        if record is not None:
            return record
        with self._guard:
            if name in self._helpers:
                return self._helpers[name]
            path = self._path
        found = _discovery.helper(name, path)
        with self._guard:
            self._helpers[name] = found
        return found

    def _requirements(self, name: str) -> tuple[str, ...]:
        record = self._record(name)
        if record is None:
            return ()
        where = name, record.path, record.version
        if where not in self._required:
            self._required[where] = tuple(_names(_discovery.requirements(record)))
        return self._required[where]


def _names(lines: Iterable[str]) -> Iterator[str]:
    """The distributions that are required here and now, without extras."""
    from packaging.requirements import Requirement

    for line in lines:
        try:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                yield normal_name(requirement.name)
        except ValueError:
            continue  # discovery names broken metadata


def _in_order(names: Iterable[str], needs: Mapping[str, set[str]]) -> Iterator[str]:
    """Each after those it needs, which reach less than it does; those that need each other by name."""
    yield from sorted(names, key=lambda name: (len(_reached(name, needs)), name))


def _reached(name: str, needs: Mapping[str, set[str]]) -> set[str]:
    """*name* and all that it needs, itself or through others."""
    found, waiting = {name}, [name]
    while waiting:
        more = needs.get(waiting.pop(), set()) - found
        found |= more
        waiting += more
    return found
