"""What the generations of one distribution share, and which of them is the one that everybody imports."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Final, Protocol

from hotplug._reloader._making import MISSING
from hotplug._reloader._native import Natives
from hotplug._reloader._places import Footing
from hotplug._reloader._router import router

if TYPE_CHECKING:
    from hotplug._reloader._sources import Code
    from hotplug._reloader._world import World

__all__ = ["Line", "Pinned"]


class Line:
    """What the generations of one distribution share."""

    def __init__(self) -> None:
        self.codes: Final[Code] = {}
        self.natives: Final = Natives()
        self.guard: Final = threading.RLock()
        self.now: World | None = None
        self.next: World | None = None

    def rightful(self, world: World, name: str) -> object:
        """What stands in ``sys.modules`` for *name* by right, if not by that of *world*."""
        for each in (self.next, self.now):
            if each is not None and each is not world and name in each.modules:
                return each.modules[name]
        return MISSING

    def publish(self, world: World) -> None:
        """*world* is the one, from now on."""
        with self.guard:
            before, self.now, self.next = self.now, world, None
            if before is not None:
                before.places.leave(world.places)
            world.places.take_place()
            router.admit(world, before)
            for key in self.codes.keys() - world.sources.codes():
                del self.codes[key]

    def give_up(self, world: World) -> None:
        """*world* will not be."""
        with self.guard:
            world.give_back()
            self.next = None
            if self.now is not None:
                self.now.places.take_place()

    def release(self, world: World) -> None:
        """*world* stays where it is; who imports more of it by other means does so as ever."""
        router.dismiss(world)

    def end(self, world: World) -> None:
        """*world* is over; if none came after it, nothing is left of the distribution."""
        with self.guard:
            if self.now is world:
                self.now = None
                router.dismiss(world)
                world.places.leave()
            else:
                world.places.footing = Footing.PASSED


class Member(Protocol):
    """What is asked of a generation that another one is pinned to."""

    @property
    def line(self) -> Line: ...
    @property
    def world(self) -> World | None: ...


class Pinned:
    """Another distribution's generation: the given one while it is staged, else the one at first use."""

    def __init__(self, generation: Member) -> None:
        self._line: Final = generation.line
        self._given: Final = weakref.ref(generation)
        self._settled: World | None = None

    def world_for(self, name: str) -> World | None:
        """Its world, if it owns the module *name*: from then on always that one."""
        world = self._settled or self._found()
        if world is None or not world.owns(name):
            return None
        self._settled = world
        return world

    def _found(self) -> World | None:
        given = self._given()
        world = given.world if given is not None else None
        return world if world is not None and world.footing is Footing.BESIDE else self._line.now
