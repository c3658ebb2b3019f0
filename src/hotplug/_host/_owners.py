"""Whose a module is that somebody imports without having said that it needs it."""

from __future__ import annotations

import sys
import weakref
from typing import TYPE_CHECKING, Any

from hotplug.errors import CircularFactoryError, PluginError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from hotplug._host._codes import Codes
    from hotplug._reloader import Generation
    from hotplug._reloader._sources import Ground

__all__ = ["Owners"]


class Owners:
    """
    Tells the distributions that plugins come from, and their helpers, by what is imported of them.

    What nobody is known to own, or more than one, is imported as ever. Keeps no host alive. Thread-safe.
    """

    def __init__(self, codes: Codes) -> None:
        self._codes = weakref.ref(codes)

    def of(self, module: str) -> tuple[str, Generation] | None:
        """
        The distribution that *module* belongs to, and its present generation, begun if it was not yet.

        Raises `ImportError` where that is just being installed.
        """
        codes = self._codes()
        if codes is None:
            return None
        found: dict[str, Generation | None] = dict(_running(codes, module)) or dict(_waiting(codes, module))
        distribution, generation = next(iter(found.items())) if len(found) == 1 else ("", None)
        return None if generation is None else (distribution, generation)


def _running(codes: Codes, module: str) -> Iterator[tuple[str, Generation]]:
    """Those of which something was imported."""
    for code in codes.everyone:
        generation = code.generation
        world = None if generation is None else generation.world
        if generation is None or world is None or not world.owns(module):
            continue
        theirs = [each.modules for each in (generation.line.now, generation.line.next) if each is not None]
        if not _is_anothers(module, generation.territory, theirs):
            yield code.name, generation


def _waiting(codes: Codes, module: str) -> Iterator[tuple[str, Generation | None]]:
    """Those of which nothing was, as far as their records name the module."""
    for record in codes.relations.named(module.partition(".")[0]):
        ground = codes.ground(record)
        if ground.find(module) is None or _is_anothers(module, ground, ()):
            continue
        code = codes.of(record)
        try:
            yield code.name, code.begun()
        except CircularFactoryError:  # it is being begun, and needs us: it gets us as anybody would
            continue
        except PluginError as error:
            raise ImportError(f"{module} cannot be imported: {error}", name=module) from error


def _is_anothers(module: str, ground: Ground, theirs: Collection[Mapping[str, object]]) -> bool:
    """Whether what stands under that name is none of *theirs*, nor of *ground*: everybody gets that."""
    for name in (module.partition(".")[0], module):
        standing: Any = sys.modules.get(name)
        if standing is None or any(modules.get(name) is standing for modules in theirs):
            continue
        place = ground.find(name)
        if place is not None and place.path and getattr(standing, "__file__", None) != place.path:
            return True
    return False
