"""
What discovery finds.

Plain classes: a process that only looks for plugins should not pay for importing `dataclasses`,
which costs more than the search.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, dataclass_transform

__all__ = ["Discovery", "Frozen", "PluginRecord", "Problem", "VERSION"]

VERSION: Final = "0.1.0"
"""Of hotplug itself: what a plugin's own requirement of hotplug is held against."""


class _DataclassFields:
    """What `dataclasses` looks for on a class, worked out when it looks."""

    def __get__(self, _: object, owner: type[Frozen]) -> dict[str, Any]:
        from dataclasses import field, make_dataclass

        defaults = vars(owner)
        made: Any = make_dataclass(
            owner.__name__,
            [
                (name, kind, field(default=defaults[name])) if name in defaults else (name, kind)
                for name, kind in owner.__annotations__.items()
            ],
        )
        found: dict[str, Any] = made.__dataclass_fields__
        return found


@dataclass_transform(frozen_default=True)
class Frozen:
    """
    A frozen dataclass in all but name: made from its annotations, compared, hashed and shown by value.

    `dataclasses.fields`, `replace` and `asdict` take it for one.
    """

    _fields: ClassVar[tuple[str, ...]] = ()
    __dataclass_fields__: ClassVar[Any] = _DataclassFields()

    def __init_subclass__(cls) -> None:
        cls._fields = tuple(cls.__annotations__)
        setattr(cls, "__match_args__", cls._fields)  # noqa: B010 - checkers derive it, and mind

    def __init__(self, *values: Any, **named: Any) -> None:
        if len(values) == len(self._fields) and not named:  # as discovery makes them, by the thousand
            self.__dict__.update(zip(self._fields, values, strict=True))
        else:
            self._fill(values, named)

    def _fill(self, values: tuple[Any, ...], named: dict[str, Any]) -> None:
        given = dict(zip(self._fields, values, strict=False))
        if len(values) > len(self._fields) or not given.keys().isdisjoint(named):
            raise TypeError(f"{type(self).__name__}() got more values than it has fields")
        given |= named
        for name in self._fields:
            if name not in given and not hasattr(type(self), name):
                raise TypeError(f"{type(self).__name__}() needs {name!r}")
        if unknown := given.keys() - set(self._fields):
            raise TypeError(f"{type(self).__name__}() has no {', '.join(map(repr, sorted(unknown)))}")
        self.__dict__.update(given)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"cannot set {name!r}: a {type(self).__name__} is frozen")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"cannot delete {name!r}: a {type(self).__name__} is frozen")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._fields)
        return f"{type(self).__name__}({shown})"

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self._fields)


class PluginRecord(Frozen):
    """One advertised entry point. Nothing has been imported yet."""

    kind: str
    group: str
    name: str
    value: str
    distribution: str
    version: str
    path: str = ""
    editable: bool = False

    def __str__(self) -> str:
        return f"{self.kind}/{self.name} from {self.distribution} {self.version}"


class Problem(Frozen):
    """Something in the environment that hides a plugin, or may: *path* (and *line*) say where."""

    path: str
    line: int | None
    reason: str
    distribution: str = ""

    def __str__(self) -> str:
        place = self.path if self.line is None else f"{self.path}:{self.line}"
        return f"{place}: {self.reason}"


class Discovery(Frozen):
    """What the environment advertises, and what in it is broken."""

    records: tuple[PluginRecord, ...] = ()
    problems: tuple[Problem, ...] = ()
