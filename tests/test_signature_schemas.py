"""JSON Schemas of functions: what a model or another program is told about a tool."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import typing
from collections.abc import Awaitable, Coroutine
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest

from hotplug._signature import describe, json_schema, output_schema
from hotplug.context import UserExecutionContext
from hotplug.errors import SchemaError


class Side(enum.Enum):
    """Which way."""

    BUY = "buy"
    SELL = "sell"


@dataclasses.dataclass
class Leg:
    symbol: str
    side: Side
    until: dt.datetime | None = None
    legs: list[Leg] = dataclasses.field(default_factory=list)


class Circle(msgspec.Struct, tag="circle"):
    since: dt.datetime


class Square(msgspec.Struct, tag="square"):
    side: int


class Point(typing.NamedTuple):
    when: dt.datetime
    size: int = 0


def order(
    legs: list[Leg],
    kind: Literal["market", "limit"],
    context: UserExecutionContext,
    side: Side = Side.BUY,
    price: Decimal | None = None,
    at: dt.datetime | None = None,
    note: str = "",
    marker: object = ...,
) -> list[Leg]:
    """
    Place an order
    of several legs.

    Longer words that nobody needs.

    Args:
        legs: what to trade,
            leg by leg.

            Also this.
        kind (str): market or limit: choose.
        *price: the worst one: to be paid.

    Returns:
        note: not a parameter's text.
    """
    raise NotImplementedError


ANYTHING = {"type": ["null", "boolean", "number", "string", "array", "object"]}
LEG = {
    "title": "Leg",
    "type": "object",
    "properties": {
        "symbol": {"type": "string"},
        "side": {"$ref": "#/$defs/Side"},
        "until": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}], "default": None},
        "legs": {"type": "array", "items": {"$ref": "#/$defs/Leg"}},
    },
    "required": ["symbol", "side"],
    "additionalProperties": False,
}
SIDE = {"title": "Side", "description": "Which way.", "enum": ["buy", "sell"]}


def test_schema_of_a_function():
    """
    Annotations, defaults and docstring become a closed schema; injected parameters are not in it.
    """
    assert json_schema(order, {UserExecutionContext}) == {
        "type": "object",
        "properties": {
            "legs": {
                "type": "array",
                "items": {"$ref": "#/$defs/Leg"},
                "description": "what to trade, leg by leg. Also this.",
            },
            "kind": {"enum": ["limit", "market"], "description": "market or limit: choose."},
            "side": {"$ref": "#/$defs/Side", "default": "buy"},
            "price": {
                "anyOf": [{"type": "string", "format": "decimal"}, {"type": "null"}],
                "description": "the worst one: to be paid.",
                "default": None,
            },
            "at": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}], "default": None},
            "note": {"type": "string", "default": ""},
            "marker": ANYTHING,
        },
        "required": ["legs", "kind"],
        "additionalProperties": False,
        "$defs": {"Leg": LEG, "Side": SIDE},
    }


def test_output_schema():
    """
    The return annotation is a schema of its own.
    """
    assert output_schema(order) == {
        "type": "array",
        "items": {"$ref": "#/$defs/Leg"},
        "$defs": {"Leg": LEG, "Side": SIDE},
    }


async def awaited() -> int: ...


def awaitable() -> Awaitable[int]: ...


def coroutine() -> Coroutine[Any, Any, int]: ...


@pytest.mark.parametrize("function", [awaited, awaitable, coroutine])
def test_output_of_coroutines(function):
    """
    What an async function promises is what it resolves to.
    """
    assert output_schema(function) == {"type": "integer"}


def test_output_without_a_promise():
    """
    No annotation, `Any` and `object` promise nothing; `None` is a promise.
    """

    def silent(): ...
    def anything() -> Any: ...
    def something() -> object: ...
    def nothing() -> None: ...

    assert [output_schema(silent), output_schema(anything), output_schema(something)] == [None, None, None]
    assert output_schema(nothing) == {"type": "null"}


def test_no_parameters():
    """
    A function without parameters takes an empty object, one with ``**kwargs`` any.
    """

    def empty(): ...
    def any_(**rest: int): ...

    bare = {"type": "object", "properties": {}, "required": []}

    assert bare | {"additionalProperties": False} == json_schema(empty)
    assert bare | {"additionalProperties": True} == json_schema(any_)


def test_dates_everywhere():
    """
    Times are marked as ``date-time`` in arrays, tuples, tables, unions, records and behind metadata.
    """

    def target(
        a: list[dt.datetime],
        b: tuple[int, dt.datetime],
        c: dict[str, dt.datetime],
        d: Annotated[dt.datetime, msgspec.Meta(description="own words")],
        e: Circle | Square | None,
        f: Circle | Square | int,
        g: Circle | None,
        h: Point,
        i: list,
        j: dict,
        k: dt.datetime | int = 5,
    ):
        """
        Args:
            d: other words
        """

    date = {"type": "string", "format": "date-time"}
    schema = json_schema(target)
    parts = schema["properties"]

    assert date == parts["a"]["items"] == parts["b"]["prefixItems"][1] == parts["c"]["additionalProperties"]
    assert date | {"description": "own words"} == parts["d"]
    assert date == schema["$defs"]["Circle"]["properties"]["since"]
    assert parts["i"] == {"type": "array"}
    assert parts["j"] == {"type": "object"}
    assert date in parts["k"]["anyOf"]
    assert {"title", "type", "prefixItems", "minItems", "maxItems"} == set(schema["$defs"]["Point"])


def test_paths():
    """
    A path is text, its default too; a default that JSON cannot say is left out.
    """

    def target(folder: Path = Path("data"), clock: object = print): ...

    assert json_schema(target)["properties"] == {
        "folder": {"type": "string", "format": "path", "default": "data"},
        "clock": ANYTHING,
    }


class Model:
    """What pydantic's models look like from outside."""

    @classmethod
    def model_json_schema(cls) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {"in": {"$ref": "#/$defs/In"}},
            "$defs": {"In": {"type": "null"}},
        }


def test_models_describe_themselves():
    """
    A class with ``model_json_schema`` is described by it, its definitions where its references point.
    """

    def target(model: Model, again: list[Model]): ...

    schema = json_schema(target)

    assert schema["properties"]["model"] == {"type": "object", "properties": {"in": {"$ref": "#/$defs/In"}}}
    assert schema["$defs"] == {"In": {"type": "null"}}


class Unknowable: ...


@pytest.mark.parametrize("annotation", [Unknowable, list[int] | set[int], "Nowhere"])
def test_types_without_a_schema(annotation):
    """
    A type that JSON cannot say is an error naming the function and the parameter, for results too.
    """

    def target(it): ...

    target.__annotations__ |= {"it": annotation, "return": annotation}

    with pytest.raises(SchemaError, match=r"test_types_without_a_schema.*target: .*'it'"):
        json_schema(target)
    with pytest.raises(SchemaError, match=r"target: .*'return'"):
        output_schema(target)


def numpy(a: int, b: int, c: int, d: int, e: int):
    """Count.

    Parameters
    ----------
    a : int
        The first,
        longer.
    b, c : int
        Both.
    d
        Untyped.

    Returns
    -------
    e : int
        Not a parameter's text.
    """


def numpy_short(a: int):
    """Count.

    Parameters
    ----------
    a
        The only one.
    """


def sphinx(a: int, b: int, c: int):
    """Count.

    :param a: The first,
        longer.
    :param int b: The second.
    :return: nothing
    """


def google_flat(a: int, args: int):
    """Parameters are counted here.

    Arguments:
      a: The first.
    args
    """


def undocumented(a: int): ...


@pytest.mark.parametrize(
    ("function", "texts"),
    [
        (numpy, {"a": "The first, longer.", "b": "Both.", "c": "Both.", "d": "Untyped."}),
        (numpy_short, {"a": "The only one."}),
        (sphinx, {"a": "The first, longer.", "b": "The second."}),
        (google_flat, {"a": "The first."}),
        (undocumented, {}),
    ],
)
def test_docstring_styles(function, texts):
    """
    Descriptions are found in docstrings of the styles of NumPy, Sphinx and Google.
    """
    properties = json_schema(function)["properties"]

    assert texts == {
        name: schema["description"] for name, schema in properties.items() if "description" in schema
    }


def test_describe():
    """
    A function's description is the first paragraph of its docstring, on one line.
    """
    assert describe(order) == "Place an order of several legs."
    assert describe(undocumented) == ""
