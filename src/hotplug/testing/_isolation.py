"""What two objects share: walks from each of them as far as references go."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import gc
import logging
import pathlib
import re
import types
import uuid
import weakref
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["class_state", "shared_mutables"]

# What everybody shares, and is meant to: code, and what stands for the whole process.
COMMON: Final = (
    type,
    types.ModuleType,
    types.CodeType,
    types.BuiltinFunctionType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    property,
    classmethod,
    staticmethod,
    logging.Logger,
    weakref.ReferenceType,
)
# What cannot change, but may hold what can.
FROZEN: Final = (tuple, frozenset, types.FunctionType, types.MethodType, types.MappingProxyType)
# What cannot change, and holds nothing else.
ATOMS: Final = (
    int,
    float,
    complex,
    str,
    bytes,
    bool,
    range,
    slice,
    type(None),
    type(Ellipsis),
    type(NotImplemented),
    enum.Enum,
    decimal.Decimal,
    dt.date,
    dt.time,
    dt.timedelta,
    dt.tzinfo,
    pathlib.PurePath,
    re.Pattern,
    uuid.UUID,
)
CONTAINERS: Final = (list, dict, set, bytearray, deque, Counter)
OWN: Final = re.compile(r"hotplug(\.|$)")


def shared_mutables(*things: object, meant: Iterable[object] = ()) -> list[str]:
    """
    What can change and is reachable from two of *things*, each with the way to it.

    Meant to be shared, and left out with all behind it: code (modules, classes, functions as such; not their
    closures and defaults), loggers, hotplug's own machinery, and what is in *meant*.
    """
    allowed = {id(each) for each in meant}
    known: dict[int, tuple[object, str]] = {}
    shared: dict[int, str] = {}
    for thing in things:
        for key, (found, way) in _reachable(thing, allowed).items():
            if key in known and _can_change(found):
                shared[key] = way
            known[key] = found, way
    return list(shared.values())


def class_state(kind: type) -> dict[str, str]:
    """What stands in containers on *kind* and the classes that it inherits from, by name; to be compared."""
    found: dict[str, str] = {}
    for each in kind.__mro__:
        if not OWN.match(each.__module__):
            for name, value in vars(each).items():
                if isinstance(value, CONTAINERS) and not name.startswith("__"):
                    found[f"{each.__qualname__}.{name}"] = repr(value)  # pyright: ignore[reportUnknownArgumentType]
    return found


def _reachable(root: object, allowed: set[int]) -> dict[int, tuple[object, str]]:
    found = {id(root): (root, type(root).__name__)}
    waiting = [(root, type(root).__name__)]
    while waiting:
        thing, way = waiting.pop()
        for name, each in _referents(thing):
            if id(each) not in found and id(each) not in allowed and not _is_common(each):
                there = f"{way} → {name}{type(each).__name__}"
                found[id(each)] = (each, there)
                waiting.append((each, there))
    return found


def _referents(thing: object) -> list[tuple[str, Any]]:
    """What *thing* refers to, with its name where it has one."""
    if isinstance(thing, types.FunctionType):
        return [("", thing.__closure__), ("", thing.__defaults__), ("", thing.__kwdefaults__)]
    if isinstance(thing, ATOMS):
        return []
    held: list[Any] = gc.get_referents(thing)
    if isinstance(thing, dict):
        named = [(f"[{key!r}] ", value) for key, value in thing.items()]  # pyright: ignore[reportUnknownVariableType]
    elif isinstance(attributes := getattr(thing, "__dict__", None), dict):
        # The dict of its attributes is a part of it, and not shared by itself.
        held = [each for each in held if each is not attributes]
        named = [(f".{key} ", value) for key, value in attributes.items()]  # pyright: ignore[reportUnknownVariableType]
    else:
        named = []
    return [*named, *(("", each) for each in held)]


def _is_common(thing: object) -> bool:
    return isinstance(thing, COMMON) or bool(OWN.match(type(thing).__module__))


def _can_change(thing: object) -> bool:
    if isinstance(thing, (*ATOMS, *FROZEN)):
        return False
    parameters = getattr(type(thing), "__dataclass_params__", None)
    return not getattr(parameters, "frozen", False)
