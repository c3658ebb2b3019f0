"""What a record lets in: exact money, UTC times, whole words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from enum import Enum

__all__ = [
    "settle_decimals",
    "settle_optional_decimals",
    "settle_optional_times",
    "settle_tags",
    "settle_times",
    "settle_tuple",
    "settle_word",
    "to_decimal",
    "to_utc",
]

# Frozen dataclasses leave this one door to their own __post_init__.
_assign: Final = object.__setattr__
_NO_OFFSET: Final = timedelta(0)


def to_decimal(name: str, value: object) -> Decimal:
    """*value* as a finite `Decimal`; `TypeError` for all but `Decimal` and ``int``, `ValueError` for NaN."""
    if isinstance(value, Decimal):
        if value.is_finite():
            return value
        raise ValueError(f"{name} must be a finite number, not {value}")
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    hint = ", as in Decimal('0.1'): a float is not exact" if isinstance(value, float) else " or an int"
    raise TypeError(f"{name} must be a Decimal{hint} (got the {type(value).__name__} {value!r})")


def to_utc(name: str, value: object) -> datetime:
    """*value* as a `datetime` in UTC; `TypeError` for other types, `ValueError` for other zones or none."""
    if not isinstance(value, datetime):
        raise TypeError(f"{name} must be a datetime in UTC, not {type(value).__name__}")
    if value.tzinfo is UTC:
        return value
    if value.tzinfo is None:
        raise ValueError(f"{name} must say its zone: {value.isoformat()} is naive, UTC is needed")
    if value.utcoffset() != _NO_OFFSET:
        raise ValueError(f"{name} must be in UTC, not {value.isoformat()} (use .astimezone(datetime.UTC))")
    return value.astimezone(UTC)


def settle_decimals(record: object, *names: str) -> None:
    """Check the named fields of a new *record*; ints become `Decimal`."""
    for name in names:
        value = getattr(record, name)
        if type(value) is not Decimal or not value.is_finite():
            _assign(record, name, to_decimal(name, value))


def settle_optional_decimals(record: object, *names: str) -> None:
    """The same for fields that may be ``None``."""
    for name in names:
        if getattr(record, name) is not None:
            settle_decimals(record, name)


def settle_times(record: object, *names: str) -> None:
    """Check that the named fields of a new *record* are times in UTC."""
    for name in names:
        value = getattr(record, name)
        if type(value) is not datetime or value.tzinfo is not UTC:
            _assign(record, name, to_utc(name, value))


def settle_optional_times(record: object, *names: str) -> None:
    """The same for fields that may be ``None``."""
    for name in names:
        if getattr(record, name) is not None:
            settle_times(record, name)


def settle_tags(record: object, value: Iterable[object]) -> None:
    """Make *record*.tags a tuple of strings; one bare string is a `TypeError`, it would become letters."""
    if value == ():
        return
    tags = tuple(value)
    if isinstance(value, str) or not all(isinstance(tag, str) for tag in tags):
        raise TypeError(f"tags must be strings in a tuple, not {value!r}")
    _assign(record, "tags", tags)


def settle_tuple(record: object, name: str) -> None:
    """Make the named field a tuple, unless it is ``None``: what a record holds stays as it is."""
    value = getattr(record, name)
    if value is not None and type(value) is not tuple:
        _assign(record, name, tuple(value))


def settle_word(name: str, value: object, kind: type[Enum]) -> None:
    """Refuse a *value* that is not one of the enumeration *kind*."""
    if not isinstance(value, kind):
        known = ", ".join(str(word) for word in kind)
        raise TypeError(f"{name} must be a {kind.__name__} ({known}), not {value!r}")
