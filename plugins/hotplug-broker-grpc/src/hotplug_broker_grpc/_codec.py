"""Records to messages and back, exactly: each field by its annotation, both ways."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import Field, fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Final, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

from hotplug_broker_grpc.stubs import broker_pb2 as pb

__all__ = ["BadMessageError", "Codec", "Words", "from_micros", "to_micros"]

R = TypeVar("R")
M = TypeVar("M")
W = TypeVar("W", bound=Enum)
Convert = Callable[[Any], Any]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_ENUMS: Final = pb.DESCRIPTOR.enum_types_by_name


class BadMessageError(ValueError):
    """A message that is no such record."""


def to_micros(time: datetime) -> int:
    """*time* in microseconds since 1970."""
    return (time - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """The time, in UTC; `OverflowError` for one that no `datetime` holds."""
    return _EPOCH + timedelta(microseconds=micros)


class Words(Generic[W]):
    """The words of an enumeration, and their numbers on the wire."""

    def __init__(self, kind: type[W]) -> None:
        numbers = _ENUMS[kind.__name__].values_by_name
        prefix = _shouted(kind.__name__)
        self._number: Final = {word: int(numbers[f"{prefix}_{word.name}"].number) for word in kind}
        self._word: Final = {number: word for word, number in self._number.items()}
        self._kind: Final = kind

    def encode(self, word: W) -> int:
        """The number of *word*."""
        return self._number[word]

    def decode(self, number: int) -> W:
        """The word of *number*; `BadMessageError` for one that has none here."""
        try:
            return self._word[number]
        except KeyError:
            raise BadMessageError(f"{number} is no {self._kind.__name__}") from None


def _shouted(name: str) -> str:
    """``OrderType`` → ``ORDER_TYPE``."""
    return "".join(f"_{letter}" if letter.isupper() else letter.upper() for letter in name).lstrip("_")


class Codec(Generic[R, M]):
    """
    Turns records of one class into messages of another, field by field.

    A record and its message have the same fields by the same names; one that lacks is found here and now.
    Fields that are not compared are facts of one process: they do not travel.
    """

    def __init__(self, record: type[R], message: type[M]) -> None:
        self.record: Final = record
        self.message: Final = message
        known: Any = pb.DESCRIPTOR.message_types_by_name[message.__name__].fields_by_name
        hints = get_type_hints(record)
        self._fields: Final = [_field_of(each.name, hints[each.name]) for each in _told(record)]
        missing = [name for name, *_ in self._fields if name not in known]
        if missing:
            raise TypeError(f"{message.__name__} lacks {', '.join(missing)} of {record.__name__}")

    def encode(self, record: R) -> M:
        """The message that says what *record* says."""
        values: dict[str, Any] = {}
        for name, encode, _, _ in self._fields:
            value = getattr(record, name)
            if value is not None:
                values[name] = value if encode is None else encode(value)
        return self.message(**values)

    def decode(self, message: M) -> R:
        """The record; `BadMessageError` where *message* is none."""
        held: Any = message
        values: dict[str, Any] = {}
        name = ""
        try:
            for name, _, decode, optional in self._fields:
                if optional and not held.HasField(name):
                    values[name] = None
                else:
                    value = getattr(held, name)
                    values[name] = value if decode is None else decode(value)
            name = ""
            return self.record(**values)
        except (ValueError, TypeError, ArithmeticError) as error:
            where = f"{self.record.__name__}.{name}" if name else self.record.__name__
            why = "is no number" if isinstance(error, ArithmeticError) else str(error)
            raise BadMessageError(f"{where}: {why}") from error


def _told(record: Any) -> list[Field[Any]]:
    return [each for each in fields(record) if each.compare]


def _field_of(name: str, hint: Any) -> tuple[str, Convert | None, Convert | None, bool]:
    optional = False
    if get_origin(hint) in {Union, types.UnionType}:
        [hint] = [each for each in get_args(hint) if each is not types.NoneType]
        optional = True
    return name, *_converters(hint), optional


def _converters(hint: Any) -> tuple[Convert | None, Convert | None]:
    if hint in {str, int, float, bool}:
        return None, None
    if hint is Decimal:
        return str, Decimal
    if hint is datetime:
        return to_micros, from_micros
    if get_origin(hint) is tuple:
        return _in_tuple(get_args(hint)[0])
    if get_origin(hint) is Mapping:
        return _in_mapping(get_args(hint)[1])
    if issubclass(hint, Enum):
        words: Words[Any] = Words(hint)
        return words.encode, words.decode
    codec: Codec[Any, Any] = Codec(hint, getattr(pb, hint.__name__))
    return codec.encode, codec.decode


def _in_tuple(hint: Any) -> tuple[Convert, Convert]:
    encode, decode = _converters(hint)
    assert encode is decode is None, hint  # noqa: S101 - lists of records are messages of their own
    return tuple, tuple


def _in_mapping(hint: Any) -> tuple[Convert, Convert]:
    encode, decode = _converters(hint)
    assert encode is not None, hint  # noqa: S101
    assert decode is not None, hint  # noqa: S101
    return (
        lambda mapping: {name: encode(value) for name, value in mapping.items()},
        lambda mapping: {name: decode(value) for name, value in mapping.items()},
    )
