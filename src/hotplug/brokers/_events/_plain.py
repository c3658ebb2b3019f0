"""Market records as plain data, and lines of a journal as text: exact both ways."""

from __future__ import annotations

import json
from dataclasses import is_dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from hotplug import market

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["from_line", "from_plain", "to_line", "to_plain"]


def to_plain(record: object) -> dict[str, Any]:
    """*record* as JSON takes it: amounts as text, times as ISO text in UTC, words by value."""
    import msgspec

    plain: dict[str, Any] = msgspec.to_builtins(record, enc_hook=str)
    return plain


def from_plain(type: str, data: object) -> Any:  # noqa: A002 - it is what the data is called beside it
    """
    The market record of the class named *type* that `to_plain` made *data* of.

    Fields that this version does not know are passed over; whatever else is wrong is a `ValueError`.
    """
    import msgspec

    kind = _records().get(type)
    if kind is None:
        raise ValueError(f"{type!r} is no market record (known: {', '.join(sorted(_records()))})")
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"this is no {type}: {error}") from error


def to_line(line: Mapping[str, object]) -> bytes:
    """*line* as one line of JSON, its end included; records stand in it plain, what else is odd as text."""
    plain = dict(line)
    try:
        return _encode()(plain) + b"\n"
    except UnicodeEncodeError:
        # Half of a surrogate pair, as a venue's text may hold: JSON can say it, escaped.
        return json.dumps(to_plain(plain)).encode() + b"\n"


def from_line(text: bytes) -> dict[str, Any] | None:
    """The line that *text* is; ``None`` where it is none."""
    try:
        line = _decode()(text)
    except ValueError:
        line = _patient(text)
    return line if isinstance(line, dict) else None  # pyright: ignore[reportUnknownVariableType]


def _patient(text: bytes) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None


@cache
def _records() -> dict[str, type[Any]]:
    named = {name: getattr(market, name) for name in market.__all__}
    return {name: kind for name, kind in named.items() if isinstance(kind, type) and is_dataclass(kind)}


@cache
def _encode() -> Callable[[object], bytes]:
    import msgspec

    return msgspec.json.Encoder(enc_hook=str).encode


@cache
def _decode() -> Callable[[bytes], object]:
    import msgspec

    return msgspec.json.Decoder().decode
