"""Dotted names: what they say where they stand, and what stands under them."""

from __future__ import annotations

import importlib.util
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["absolute", "under"]


def absolute(name: str, globals_: Mapping[str, Any], level: int) -> str:
    """The whole name of what is imported relatively by code with these globals."""
    package = globals_.get("__package__")
    if package is None:
        package = globals_["__name__"]
        if "__path__" not in globals_:
            package = package.rpartition(".")[0]
    if not package:
        raise ImportError("attempted relative import with no known parent package")
    return importlib.util.resolve_name("." * level + name, package)


def under(found: object, words: str) -> object:
    """What stands in a module, or in a class in it, under the dotted name."""
    for word in words.split("."):
        found = vars(found).get(word) if issubclass(type(found), (type, ModuleType)) else None
    return found
