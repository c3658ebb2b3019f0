"""Sees to it that what is over is gone: collects the garbage in time, and names who keeps what should not."""

from __future__ import annotations

import gc
import linecache
import os
import sys
import typing
import weakref
from typing import TYPE_CHECKING, Final

from hotplug._reloader._leftovers import Left, holders_of

if TYPE_CHECKING:
    from hotplug._reloader._world import World

__all__ = ["COLLECT_AFTER", "farewell", "forget_files", "see_them_die"]

COLLECT_AFTER: Final = 16
"""So many retired generations may wait for Python's own collector before it is called for their sake."""


class _Retired:
    """A generation that is over, as long as it lives for all that. *is_excused*: it was said why."""

    def __init__(self, name: str, world: World, owner: object, *, is_excused: bool) -> None:
        self.name: Final = name
        self.owner: Final = owner
        self._world: Final = weakref.ref(world)
        self.is_excused = is_excused
        self.survived = 0
        """How many collections that were made for such as it."""

    @property
    def is_alive(self) -> bool:
        """Whether anything of it still refers to its world."""
        return self._world() is not None

    def left(self, *, with_holders: bool) -> Left:
        """That it is, in words; and who keeps it so."""
        why = f", kept by {self.holders()}" if with_holders else ""
        return Left.until(f"{self.name} is still alive{why}", lambda: not self.is_alive)

    def holders(self) -> str:
        """Who keeps it alive, as far as that can be found."""
        world = self._world()
        try:
            found = () if world is None else holders_of(world)
        except Exception as error:  # noqa: BLE001 - among all objects there are some that lie about themselves
            found = (f"somebody who cannot be found: {type(error).__name__}",)
        return ", ".join(found) or "somebody who cannot be found"


_retired: list[_Retired] = []


def farewell(name: str, world: World, owner: object, *, is_excused: bool) -> None:
    """Expect *world*, which was *owner*'s, to be gone soon; not if it is excused."""
    _retired.append(_Retired(name, world, owner, is_excused=is_excused))


def see_them_die(owner: object, *, now: bool) -> tuple[Left, ...]:
    """
    Collect the garbage if it is time, or *now*; what lives all the same is named to its *owner*, once.

    Unasked, only who lived through two collections: some are in use still when the first one comes. Only
    where it was asked for is it looked for who holds the oldest: that takes longer than the rest.
    """
    alive = [each for each in list(_retired) if each.is_alive]
    survivors: list[_Retired] = []
    if now or sum(not each.survived for each in alive) >= COLLECT_AFTER:
        for forget in getattr(typing, "_cleanups", ()):  # `Optional[C]` and the like are remembered there
            forget()
        gc.collect()
        alive = [each for each in alive if each.is_alive]
        for each in alive:
            each.survived += 2 if now and not each.survived else 1
        # Who is named is excused from then on.
        mine = [each for each in alive if each.owner is owner]
        survivors = [each for each in mine if each.survived >= 2 and not each.is_excused]
        for each in survivors:
            each.is_excused = True
    _retired[:] = alive
    return tuple(each.left(with_holders=now and each is survivors[0]) for each in survivors)


def forget_files(world: World, *, for_good: bool) -> None:
    """Drop what Python remembers of the text of its files; *for_good*: of its folders as well."""
    for path in world.sources.paths:
        linecache.cache.pop(path, None)
        if for_good:
            sys.path_importer_cache.pop(os.path.dirname(path), None)  # noqa: PTH120 - as the cache spells it
