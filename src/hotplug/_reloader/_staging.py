"""Brings up the modules of a generation beside those of the one before."""

from __future__ import annotations

import linecache
import sys
from typing import TYPE_CHECKING, Any, Final

from hotplug._reloader._places import Footing
from hotplug._reloader._router import router

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplug._reloader._sources import Sources
    from hotplug._reloader._world import World

__all__ = ["Lines", "bring_up"]


def bring_up(world: World, now: World | None, entry_modules: tuple[str, ...]) -> None:
    """Import all of *world*; in a context that nobody else has."""
    with router.attending(world), world.ledger.noting():
        for name in entry_modules:
            world.learn_top(name)
        if now is None:
            world.adopt(list(sys.modules))
        else:
            world.expected = frozenset(now.modules)
            _compile_changed(world)
        for name in entry_modules:
            world.import_module(name)
        if now is not None:
            _catch_up(world, now)


def _compile_changed(world: World) -> None:
    """A syntax error is found before anything runs."""
    for name, source in world.sources.by_name.items():
        if name in world.expected and source.path in world.sources.changed:
            loader: Any = world.finder.spec_of(name).loader
            loader.get_code(name)


def _catch_up(world: World, now: World) -> None:
    """Import what the published one has and *world* has not, until there is nothing; more will not come."""
    gone: set[str] = set()
    while missing := _missing(world, now, gone):
        for name in missing:
            try:
                world.load(name)
            except ModuleNotFoundError as error:
                if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                    raise
                gone.add(name)


def _missing(world: World, now: World, gone: set[str]) -> list[str]:
    with now.places.guard:
        missing = [name for name in now.modules if name not in world.modules and name not in gone]
        found = [name for name in missing if world.owns(name)]
        if not found:
            now.places.footing = Footing.PASSED  # what it imports from now on, it imports for itself
        return found


class Lines:
    """What `linecache` holds of some files."""

    def __init__(self, entries: Mapping[str, Any]) -> None:
        self._entries: Final = entries

    @classmethod
    def remember(cls, sources: Sources) -> Lines:
        return cls({path: linecache.cache.get(path) for path in sources.paths})

    def restore(self) -> None:
        for path, entry in self._entries.items():
            if entry is None:
                linecache.cache.pop(path, None)
            else:
                linecache.cache[path] = entry
