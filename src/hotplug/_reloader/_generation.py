"""A generation of a distribution: staged beside the one before, published at once, retired in the end."""

from __future__ import annotations

import contextvars
import functools
import linecache
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from hotplug._lifecycle import within
from hotplug._reloader._leftovers import Left, Leftovers, tasks_of, threads_of
from hotplug._reloader._line import Line, Pinned
from hotplug._reloader._places import Footing
from hotplug._reloader._retired import farewell, forget_files, see_them_die
from hotplug._reloader._sources import Sources, unlink_stale
from hotplug._reloader._staging import Lines, bring_up
from hotplug._reloader._world import World
from hotplug.errors import HostError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Mapping

    from hotplug._reloader._sources import Ground

__all__ = ["Generation"]


class Generation:
    """
    The modules of one distribution, as its code was when it was first asked for its text.

    `stage`, then `publish` or `discard`, in the end `retire`: by one thread at a time. *before* is the one
    that is published; *pinned* are those of other distributions whose modules this one may import.
    """

    def __init__(
        self,
        territory: Ground,
        number: int,
        before: Generation | None = None,
        pinned: Mapping[str, Generation] = MappingProxyType({}),
        others: Callable[[str], tuple[str, Generation] | None] = lambda _: None,
    ) -> None:
        self.territory: Final = territory
        self.number: Final = number
        self.line: Final[Line] = before.line if before is not None else Line()
        self._pins = {name: Pinned(each) for name, each in pinned.items()}
        self._others: Final = functools.partial(_pin_to, others)
        self._world: World | None = None
        self._sources: Sources | None = None
        self._left: Leftovers | None = None
        self._is_given_up = False

    def __repr__(self) -> str:
        return f"<generation {self.number} of {self.territory.distribution}>"

    # -- what it is --------------------------------------------------------------------------------

    @property
    def world(self) -> World | None:
        """Its modules and how they import; None before `stage` and after the end."""
        return self._world

    @property
    def sources(self) -> Sources:
        """The text of its modules: read when it is first asked for, and never again."""
        if self._sources is None:
            now = self.line.now
            self._sources = Sources.read(
                self.territory, None if now is None else now.sources, with_times=self._may_use_bytecode
            )
        return self._sources

    @property
    def _may_use_bytecode(self) -> bool:
        return self.line.now is None and self.territory.sort == "installed"

    @property
    def digest(self) -> str:
        """What is the same as long as its sources are: sixty-four letters."""
        return self.sources.digest

    @property
    def changed(self) -> frozenset[str]:
        """The files that are other than those of the published generation, or only in one of the two."""
        return self.sources.changed | self.sources.gone | frozenset(self.line.natives.changed().values())

    @property
    def modules(self) -> Mapping[str, Any]:
        """What it imported of its own so far, by name."""
        return MappingProxyType({} if self._world is None else dict(self._world.modules))

    @property
    def is_vain(self) -> bool:
        """Whether what was imported of it has raised, and nothing of it is there."""
        world = self._world
        return world is not None and world.places.has_failed and not world.modules

    @property
    def uses(self) -> frozenset[str]:
        """The other distributions whose modules it imported so far."""
        return frozenset() if self._world is None else frozenset(self._world.uses)

    @property
    def has_adopted(self) -> bool:
        """Whether some of its modules were imported before it began, from text that nobody knows."""
        return self._world is not None and self._world.has_adopted

    def import_module(self, name: str) -> Any:
        """The module *name* as code of this generation gets it. Runs plugin code; raises what that raises."""
        if self._world is None:
            raise HostError(f"{self!r} is not staged, or is over: it cannot import {name}")
        return self._world.import_module(name)

    # -- its life ----------------------------------------------------------------------------------

    def stage(self, entry_modules: Iterable[str], limit: float | None = None) -> None:
        """
        Import it beside the published one: *entry_modules*, and whatever that one has imported.

        Runs plugin code and raises what that raises, `SystemExit` and `KeyboardInterrupt` included: then all
        is as it was before. Raises `RestartRequired` where native code changed. With a *limit*, in seconds,
        it runs in a thread of its own; `TimeoutError` if that does not come back.
        """
        self._refuse_unless_free()
        self.line.natives.refuse_changes()
        sources, now = self.sources, self.line.now
        if now is not None:
            unlink_stale(sources.changed, believe_later=self.territory.sort == "installed")
        world = World(
            self.territory,
            sources,
            self.line,
            dict(self._pins),
            self.number,
            others=self._others,
            bytecode=self._may_use_bytecode,
        )
        with self.line.guard:  # who gives it up from another thread does so before this, or after it
            self._refuse_unless_free()
            self._world = self.line.next = world
        lines = Lines.remember(sources)
        names = tuple(entry_modules)
        try:
            if limit is None:
                contextvars.copy_context().run(bring_up, world, now, names)
            else:
                within(limit, lambda: bring_up(world, now, names), f"hotplug staging: {self!r}")
        except BaseException:
            self._take_back()
            lines.restore()
            raise

    def _refuse_unless_free(self) -> None:
        if self._is_given_up:
            raise HostError(f"{self!r} cannot be staged: it was given up")
        if self._world is not None or self._left is not None or self.line.next is not None:
            raise HostError(f"{self!r} cannot be staged: it was before, or another one is staged right now")

    def publish(self) -> None:
        """Have everybody import it from now on; the one before goes on, and imports its own old modules."""
        if self._world is None or self._world.footing is not Footing.BESIDE:
            raise HostError(f"{self!r} cannot be published: it is not staged")
        self.line.publish(self._world)
        for path in self.sources.changed | self.sources.gone:
            linecache.cache.pop(path, None)  # what has the same size and time would be believed

    def discard(self) -> None:
        """
        Put everything back as it was before `stage`; nothing, if it was published or is over.

        Any thread may do so while another one stages it: that comes to nothing then, and so does a `stage`
        that has not begun yet.
        """
        with self.line.guard:
            self._is_given_up = True
        self._take_back()

    def _take_back(self) -> None:
        with self.line.guard:  # two may want to, at once
            world = self._world
            if world is None or world.footing is not Footing.BESIDE:
                return
            self._world = None
        world.ledger.undo()
        self.line.give_up(world)
        self._over()

    def release(self) -> None:
        """Leave what it imported where it is, and look after it no more: there will be no next generation."""
        self.discard()
        if self._world is not None:
            self.line.release(self._world)

    def retire(
        self,
        *,
        owner: object = None,
        collect: bool = False,
        loops: Iterable[asyncio.AbstractEventLoop] = (),
    ) -> Leftovers:
        """
        Take back all that it registered, forget it, and say what goes on; never raises.

        To be called when nothing works with it any more. Tasks are looked for on *loops* and on all that are
        seen running. *owner* hears of its own generations only that live on. Garbage is collected with
        *collect*, else when `COLLECT_AFTER` retired generations are alive: everybody stands still meanwhile.
        """
        if self._left is None:
            self.discard()
            self._left = self._wind_up(loops, owner)
        return replace(self._left, held=see_them_die(owner, now=collect))

    def _wind_up(self, loops: Iterable[asyncio.AbstractEventLoop], owner: object) -> Leftovers:
        world = self._world
        if world is None:
            return Leftovers()
        left = Leftovers(
            threads=threads_of(world),
            tasks=tasks_of(world, loops),
            registrations=tuple(map(Left, world.ledger.undo())),
        )
        self.line.end(world)
        forget_files(world, for_good=self.line.now is None)
        farewell(repr(self), world, owner, is_excused=bool(left))
        self._over()
        return left

    def _over(self) -> None:
        self._world = None
        self._sources = None
        self._pins.clear()


def _pin_to(others: Callable[[str], tuple[str, Generation] | None], name: str) -> tuple[str, Pinned] | None:
    """What *others* say of the module *name*, as it can be pinned."""
    found = others(name)
    return None if found is None else (found[0], Pinned(found[1]))
