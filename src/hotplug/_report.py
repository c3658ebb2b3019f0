"""Who inherits from whom, in which order, and which class has the last word on what."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["ClassReport", "MroReport", "mro_report"]

REGISTRIES: Final = (
    "hotplug.registry:UniversalRegistry",
    "hotplug.brokers:BrokerRegistry",
    "hotplug.agents:AgentRegistry",
    "hotplug.tools:ToolRegistry",
    "hotplug.strategies:StrategyRegistry",
    "hotplug.services:ServiceRegistry",
)
FOUNDATIONS: Final = frozenset({"builtins", "abc", "typing", "typing_extensions"})
BOOKKEEPING: Final = frozenset(
    {
        *("__abstractmethods__", "__annotate__", "__annotate_func__", "__annotations__"),
        *("__annotations_cache__", "__dataclass_fields__", "__dataclass_params__", "__dict__", "__doc__"),
        *("__firstlineno__", "__match_args__", "__module__", "__orig_bases__", "__parameters__"),
        *("__qualname__", "__slots__", "__static_attributes__", "__type_params__", "__weakref__"),
    }
)


@dataclass(frozen=True, slots=True)
class ClassReport:
    """
    One class: the *order* in which attributes are looked up, and what that makes of them.

    *defines* says for each class in the order which attributes it brings in; *overrides* says for
    each attribute that several classes have who they are: the first wins, the others are shadowed.
    *abstract* names the methods still to be written. *error* is set, and all else empty, where the
    bases allow no order.
    """

    name: str
    order: tuple[str, ...] = ()
    defines: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    overrides: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    abstract: tuple[str, ...] = ()
    error: str = ""

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield self.name
        if self.error:
            yield f"  error: {self.error}"
            return
        for place, name in enumerate(self.order, start=1):
            yield f"  {place}. {name}"
            if name in self.defines:
                yield f"       defines {', '.join(self.defines[name])}"
        for attribute, (winner, *shadowed) in self.overrides.items():
            yield f"  {attribute}: {winner} overrides {', '.join(shadowed)}"
        if self.abstract:
            yield f"  still abstract: {', '.join(self.abstract)}"


@dataclass(frozen=True, slots=True)
class MroReport:
    """What `mro_report` found, class by class; ``str`` is for people, `to_json` for programs."""

    classes: tuple[ClassReport, ...]

    def __str__(self) -> str:
        return "\n\n".join(map(str, self.classes))

    def as_dict(self) -> dict[str, Any]:
        """The report as plain dicts, lists and texts."""
        return {
            "classes": [
                {
                    "name": report.name,
                    "order": list(report.order),
                    "defines": {owner: list(names) for owner, names in report.defines.items()},
                    "overrides": {name: list(owners) for name, owners in report.overrides.items()},
                    "abstract": list(report.abstract),
                    "error": report.error,
                }
                for report in self.classes
            ]
        }

    def to_json(self, *, indent: int | None = None) -> str:
        """The report as JSON text."""
        import json

        return json.dumps(self.as_dict(), indent=indent)


def mro_report(*classes: type, bases: Mapping[type, Sequence[type]] | None = None) -> MroReport:
    """
    The method resolution order of *classes*, and which class defines and overrides what.

    Without classes: of the registry hierarchy. *bases* pretends other base classes, to see what a
    hierarchy would come to before it is written; where they allow no order, the report says which
    classes disagree. Nothing is called but imports.
    """
    pretended = dict(bases or {})
    reported = classes or tuple(_named(text) for text in REGISTRIES)
    return MroReport(tuple(_report(cls, pretended) for cls in reported))


def _named(text: str) -> type:
    # By name, and only now: the registries of the kinds live in rooms below this one.
    from importlib import import_module

    module, _, name = text.partition(":")
    found: type = getattr(import_module(module), name)
    return found


def _report(cls: type, pretended: Mapping[type, Sequence[type]]) -> ClassReport:
    try:
        order = linearize(cls, pretended)
    except NoOrderError as error:
        return ClassReport(_name(cls), error=str(error))
    owners: dict[str, list[type]] = {}
    for candidate in order:
        for attribute in _attributes(candidate):
            owners.setdefault(attribute, []).append(candidate)
    return ClassReport(
        name=_name(cls),
        order=tuple(map(_name, order)),
        defines=_definitions(order, owners),
        overrides={
            name: tuple(map(_name, having)) for name, having in sorted(owners.items()) if len(having) > 1
        },
        abstract=tuple(sorted(name for name, having in owners.items() if _is_abstract(name, having[0]))),
    )


def _definitions(order: Sequence[type], owners: Mapping[str, Sequence[type]]) -> dict[str, tuple[str, ...]]:
    brought_in = {cls: sorted(name for name, having in owners.items() if having[-1] is cls) for cls in order}
    return {_name(cls): tuple(names) for cls, names in brought_in.items() if names}


def _attributes(cls: type) -> list[str]:
    """What the class itself defines: public names and special methods, without Python's bookkeeping."""
    if cls.__module__ in FOUNDATIONS:
        return []
    return [name for name in vars(cls) if _is_told(name)]


def _is_told(name: str) -> bool:
    is_special = name.startswith("__") and name.endswith("__")
    return name not in BOOKKEEPING and (is_special or not name.startswith("_"))


def _is_abstract(name: str, owner: type) -> bool:
    return bool(getattr(vars(owner)[name], "__isabstractmethod__", False))


def _name(cls: type) -> str:
    """Where the class can be imported from, as short as that can be said."""
    if cls.__module__ in FOUNDATIONS:
        return cls.__qualname__
    public = cls.__module__.partition("._")[0]
    is_public = getattr(sys.modules.get(public), cls.__qualname__, None) is cls
    return f"{public if is_public else cls.__module__}.{cls.__qualname__}"


# -- the order -------------------------------------------------------------------------------------


class NoOrderError(Exception):
    """The bases contradict each other; becomes the report's ``error``."""


def linearize(
    cls: type, pretended: Mapping[type, Sequence[type]], below: tuple[type, ...] = ()
) -> list[type]:
    """
    The C3 linearisation of *cls*.

    The class, then the merge of its bases' own linearisations and the list of its bases: the order
    keeps every class before its bases, and bases in the order in which each class names them.
    Barrett, Cassels, Haahr, Moon, Playford, Withington: "A monotonic superclass linearization for
    Dylan", OOPSLA 1996.
    """
    if cls in below:
        way = " -> ".join(map(_name, (*below[below.index(cls) :], cls)))
        raise NoOrderError(f"a class cannot be its own ancestor: {way}")
    bases = list(pretended.get(cls, cls.__bases__))
    if len(set(bases)) < len(bases):
        raise NoOrderError(f"{_name(cls)} names a base twice: {', '.join(map(_name, bases))}")
    orders = [linearize(base, pretended, (*below, cls)) for base in bases]
    return [cls, *_merge(cls, [*orders, bases])]


def _merge(cls: type, sequences: list[list[type]]) -> Iterator[type]:
    while remaining := [sequence for sequence in sequences if sequence]:
        heads = [sequence[0] for sequence in remaining]
        tails = {later for sequence in remaining for later in sequence[1:]}
        chosen = next((head for head in heads if head not in tails), None)
        if chosen is None:
            raise NoOrderError(_disagreement(cls, remaining))
        yield chosen
        sequences = [sequence[sequence[0] is chosen :] for sequence in remaining]


def _disagreement(cls: type, sequences: list[list[type]]) -> str:
    """Which classes cannot agree who comes first."""
    conflicting = sorted({_name(sequence[0]) for sequence in sequences})
    wishes = "; ".join(dict.fromkeys(" before ".join(map(_name, s)) for s in sequences if len(s) > 1))
    return f"the bases of {_name(cls)} disagree on the order of {', '.join(conflicting)}: {wishes}"
