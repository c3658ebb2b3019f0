"""Values as JSON can say them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, cast

import msgspec

from hotplug.errors import InvalidArgumentsError

__all__ = ["canonical", "plain"]


def plain(value: object) -> object:
    """
    *value* made of what JSON knows: what a tool returned, as every other protocol tells it.

    Decimals, dates, paths and bytes become texts, records and models objects, sets arrays. Raises
    `TypeError` for what cannot be said: JSON has no infinity, no nan, and no half characters.
    """
    said: object = msgspec.to_builtins(value, str_keys=True, enc_hook=_as_plain)
    try:
        text = msgspec.json.encode(said)
    except UnicodeEncodeError as error:
        raise TypeError(f"a text cannot be said in JSON: {error.reason}") from None
    if b"null" in text:  # how the encoder spells nan, besides None
        _refuse_infinite(said)
    return said


def _refuse_infinite(said: object) -> None:
    try:
        json.dumps(said, allow_nan=False)
    except ValueError:
        raise TypeError("nan and infinity cannot be said in JSON: give None instead") from None


def canonical(name: str, arguments: object) -> str:
    """
    The *arguments* of the tool *name* as JSON: the same text for the same ones, in any order.

    Raises `InvalidArgumentsError` for what is no JSON object.
    """
    if not isinstance(arguments, Mapping):
        raise InvalidArgumentsError(
            f"the arguments of {name!r} are a JSON object (a mapping), not a {type(arguments).__name__}"
        )
    try:
        # A copy first: a mapping of its own making might say something else each time.
        return json.dumps(plain(dict(cast("Mapping[Any, object]", arguments))), sort_keys=True)
    except RecursionError:
        raise InvalidArgumentsError(f"the arguments of {name!r} are nested too deeply") from None
    except (TypeError, ValueError) as error:
        raise InvalidArgumentsError(f"the arguments of {name!r} are not JSON: {error}") from None


def _as_plain(value: object) -> object:
    """What msgspec does not know: paths, and models that dump themselves."""
    if isinstance(value, PurePath):
        return str(value)
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return dump(mode="json")
    raise TypeError(f"a {type(value).__name__} cannot be said in JSON")
