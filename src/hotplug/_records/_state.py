"""State that goes from one generation of a plugin to the next: plain data, checked and copied."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["exported_state", "plain_state"]

DEPTH: Final = 50  # how deep state may be nested: the walk takes a few of Python's 1,000 frames for each
KEY_SHOWN: Final = 40  # characters of a key that an error shows

# Compared by identity, never by isinstance: a subclass may be a class of the generation that shall go.
ATOMS: Final = frozenset({NoneType, bool, int, float, str, bytes, Decimal, date, timedelta, UUID})
CONTAINERS: Final = frozenset({list, tuple, dict, set, frozenset})
WITH_ZONE: Final = frozenset({datetime, time})


def plain_state(data: object, what: str) -> Any:
    """
    A copy of *data* that shares nothing changeable with it, if it is plain; *what* names it in errors.

    Plain are None, bool, int, float, str, bytes, Decimal, datetime, date, time, timedelta, UUID, and list,
    tuple, dict, set, frozenset of them (their subclasses are not). What is in it twice is so in the copy.
    Anything else, what contains itself, and what is nested more than 50 deep is a `TypeError` that
    says where. None of the data's own code runs.
    """
    return _Copy(what).of(data)


def exported_state(answer: object, what: str) -> tuple[int, Any]:
    """The version and a copy of the data that an ``export_state`` gave; a `TypeError` unless it is plain."""
    parts = cast("tuple[object, ...]", answer) if type(answer) is tuple else ()
    if len(parts) != 2 or type(parts[0]) is not int:
        raise TypeError(f"{what} must come as a tuple (version, data), the version being an int")
    return parts[0], plain_state(parts[1], what)


class _Copy:
    """One walk through the data, and where it is just now."""

    def __init__(self, what: str) -> None:
        self._what: Final = what
        self._path: list[tuple[str, object]] = []
        self._begun: set[int] = set()
        # The originals as well: while they live, nothing else can have their id.
        self._made: dict[int, tuple[object, object]] = {}

    def of(self, value: object) -> object:
        kind = type(value)
        if kind in ATOMS:
            return value
        if kind in WITH_ZONE:
            return self._with_zone(value)
        if kind not in CONTAINERS:
            self._refuse_kind(kind)
        if id(value) not in self._made:
            self._made[id(value)] = value, self._container(value, kind)
        return self._made[id(value)][1]

    def _container(self, value: Any, kind: type) -> object:
        if id(value) in self._begun:
            self._refuse("contains itself")
        if len(self._path) >= DEPTH:
            raise TypeError(f"{self._what} is nested more than {DEPTH} deep")
        self._begun.add(id(value))
        if _is_flat(value, kind):
            return kind(value)
        if kind is dict:
            copy: object = {
                self._at(", a key,", None, key): self._at("[{}]", key, each) for key, each in value.items()
            }
        else:
            copy = kind(self._members(value, kind))
        return copy

    def _members(self, value: Iterable[object], kind: type) -> list[object]:
        if kind in {set, frozenset}:
            return [self._at(", a member,", None, each) for each in value]
        return [self._at("[{}]", number, each) for number, each in enumerate(value)]

    def _at(self, step: str, key: object, value: object) -> object:
        self._path.append((step, key))
        copy = self.of(value)
        self._path.pop()
        return copy

    def _with_zone(self, value: Any) -> object:
        zone: tzinfo | None = value.tzinfo
        if not (zone is None or type(zone) is timezone or _is_zone_info(zone)):
            self._path.append((".tzinfo", None))
            self._refuse_kind(type(zone))
        return value

    def _refuse_kind(self, kind: type) -> NoReturn:
        known = "None, bool, int, float, str, bytes, Decimal, datetime, date, time, timedelta, UUID"
        self._refuse(
            f"is a {kind.__module__}.{kind.__qualname__}: only {known}, and list, tuple, dict, set, "
            f"frozenset of them go from one generation to the next (no subclasses)"
        )

    def _refuse(self, why: str) -> NoReturn:
        where = "".join(step.format(_shown(key)) for step, key in self._path)
        raise TypeError(f"{self._what}{where} {why}")


def _is_flat(value: Any, kind: type) -> bool:
    """Whether everything in it is an atom: rows of figures, most of what is large."""
    return ATOMS.issuperset(map(type, value)) and (kind is not dict or _is_flat(value.values(), list))


def _shown(key: object) -> str:
    """A plain key for an error text, in short."""
    try:
        text = repr(key)
    except ValueError:  # an int of more digits than Python writes
        return "…"
    return text if len(text) <= KEY_SHOWN else f"{text[:KEY_SHOWN]}…"


def _is_zone_info(zone: tzinfo) -> bool:
    from zoneinfo import ZoneInfo

    return type(zone) is ZoneInfo
