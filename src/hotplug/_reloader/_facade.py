"""
Modules that are not quite what they seem, so that what code reaches through them is of its generation.

`importlib`, whose imports stay in the generation; shared namespaces; packages that are being staged.
"""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from hotplug._reloader._router import staging

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Importer", "Namespace", "StagedPackage", "View", "facade_of_importlib"]


class Importer(Protocol):
    """What the façade asks of a generation's world."""

    def import_module(self, name: str) -> Any: ...
    def load(self, name: str) -> Any: ...
    def owns(self, name: str) -> bool: ...
    def is_mine(self, module: object) -> bool: ...
    @property
    def importer(self) -> Callable[..., Any]: ...


class View(ModuleType):
    """
    A module that shows another one, with some attributes of its own.

    What is set on it is set on the other: who patches a module means the module.
    """

    def __init__(self, real: ModuleType, **own: object) -> None:
        super().__init__(real.__name__)
        mine = vars(self)
        mine.clear()
        mine.update(own)
        super().__setattr__("_hotplug_real", real)

    def __getattr__(self, name: str) -> Any:
        return getattr(vars(self)["_hotplug_real"], name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(vars(self)["_hotplug_real"], name, value)

    def __delattr__(self, name: str) -> None:
        delattr(vars(self)["_hotplug_real"], name)

    def __dir__(self) -> list[str]:
        return sorted({*dir(vars(self)["_hotplug_real"]), *vars(self)} - {"_hotplug_real"})

    def __repr__(self) -> str:
        return repr(vars(self)["_hotplug_real"])

    def show(self, name: str, value: object) -> None:
        """Have *value* as its own attribute *name*."""
        vars(self)[name] = value


class Namespace(View):
    """A namespace that others share: of what is below it, ours is this world's, and all else as ever."""

    def __init__(self, real: ModuleType, world: Importer) -> None:
        super().__init__(real, _hotplug_world=world)

    def __getattr__(self, name: str) -> Any:
        real = super().__getattr__
        if not name.startswith("__"):
            world: Importer = vars(self)["_hotplug_world"]
            child = f"{real('__name__')}.{name}"
            if world.owns(child):
                try:
                    return world.load(child)
                except ModuleNotFoundError as error:
                    if error.name != child:
                        raise
        return real(name)


class StagedPackage(ModuleType):
    """A package that is being staged: who is not part of that gets the submodules that the old one had."""

    def __getattr__(self, name: str) -> Any:
        world = vars(self)["__builtins__"]["__import__"].__self__
        child = f"{self.__name__}.{name}"
        if child in world.expected and staging.get() is not world:
            return world.load(child)
        return super().__getattribute__(name)  # it says what is wrong


def facade_of_importlib(world: Importer) -> View:
    """`importlib`, as code of *world* sees it."""

    def import_module(name: str, package: str | None = None) -> Any:
        if name.startswith(".") and package:
            name = importlib.util.resolve_name(name, package)
        if name.startswith("."):
            return importlib.import_module(name, package)  # it says what is wrong
        return world.import_module(name)

    def reload(module: ModuleType) -> ModuleType:
        if world.is_mine(module):
            raise ImportError(
                f"{module.__name__} is reloaded by hotplug, with its whole distribution: use host.reload()",
                name=module.__name__,
            )
        return importlib.reload(module)

    return View(importlib, import_module=import_module, reload=reload, __import__=world.importer)
