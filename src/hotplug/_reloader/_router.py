"""
Sends everybody else's imports of a distribution's modules to its published generation.

What stands in ``sys.modules`` Python finds by itself; this is for submodules that nobody imported yet, and
for those who import by other means: native code, `pickle`, `runpy`.
"""

from __future__ import annotations

import contextlib
import contextvars
import sys
import threading
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from types import ModuleType

__all__ = ["Router", "router", "staging"]


class Routed(Protocol):
    """What the router asks of a world."""

    def spec_for(self, name: str) -> ModuleSpec | None:
        """How it loads the module *name*; None if it is not its own, or not there."""
        ...

    def load(self, name: str) -> Any: ...


staging: Final[contextvars.ContextVar[Routed | None]] = contextvars.ContextVar(
    "hotplug staging", default=None
)
"""The world that the calling context is making: it is asked before all published ones."""


class _Delivery:
    """A loader that hands over the module as its world makes it; for all else it is the world's own."""

    def __init__(self, world: Routed, spec: ModuleSpec) -> None:
        self._world = world
        self._spec = spec

    def create_module(self, spec: ModuleSpec) -> Any:
        module = self._world.load(spec.name)
        self._spec = getattr(module, "__spec__", None) or self._spec
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # Python has just put there the one that asked

    def __getattr__(self, name: str) -> Any:
        return getattr(self._spec.loader, name)


class Router:
    """A finder, on ``sys.meta_path`` as long as a world is published or staged."""

    def __init__(self) -> None:
        self._worlds: tuple[Routed, ...] = ()
        self._staged = 0
        self._guard: Final = threading.Lock()

    @contextlib.contextmanager
    def attending(self, world: Routed) -> Generator[None]:
        """*world* is what the calling context stages."""
        token = staging.set(world)
        with self._guard:
            self._staged += 1
            self._come_or_go()
        try:
            yield
        finally:
            staging.reset(token)
            with self._guard:
                self._staged -= 1
                self._come_or_go()

    def _come_or_go(self) -> None:
        needed = bool(self._worlds or self._staged)
        if needed and self not in sys.meta_path:
            sys.meta_path.insert(0, self)
        elif not needed and self in sys.meta_path:
            sys.meta_path.remove(self)

    def admit(self, world: Routed, instead_of: Routed | None = None) -> None:
        """*world* is asked from now on, and *instead_of* no more."""
        with self._guard:
            self._worlds = (world, *(each for each in self._worlds if each not in (world, instead_of)))
            self._come_or_go()

    def dismiss(self, world: Routed) -> None:
        """*world* is not asked any more."""
        with self._guard:
            self._worlds = tuple(each for each in self._worlds if each is not world)
            self._come_or_go()

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 - as Python calls it
        target: Any = None,
    ) -> ModuleSpec | None:
        """How the module *name* is loaded, if it is one of a world's. Waits for nobody, imports nothing."""
        staged = staging.get()
        for world in (staged, *self._worlds) if staged is not None else self._worlds:
            spec = world.spec_for(name)
            if spec is None:
                continue
            if target is not None:  # somebody runs it again, in place
                return spec
            loader: Any = _Delivery(world, spec)
            delivered = ModuleSpec(name, loader, origin=spec.origin)
            delivered.submodule_search_locations = spec.submodule_search_locations
            delivered.has_location = spec.has_location
            return delivered
        return None


router: Final = Router()
