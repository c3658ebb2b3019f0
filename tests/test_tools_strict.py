"""The strict form of a tool's schema, and the way back from it."""

from __future__ import annotations

import asyncio
import json
import logging
import re

import pytest

from hotplug.tools import Tool
from ordering import ADA, Leg, order, ping, registry, strictly


def objects_in(schema):
    if isinstance(schema, dict):
        if "properties" in schema and "type" in schema:
            yield schema
        for each in schema.values():
            yield from objects_in(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from objects_in(each)


def test_strict_means_everything_is_required():
    """
    At every depth: all names required, no others allowed; nothing is said that strict schemas do not know.
    """
    export, functions = strictly(order=order)
    parameters = functions["order"]["parameters"]
    objects = list(objects_in(parameters))

    assert functions["order"]["strict"] is True
    assert export.problems == ()
    assert len(objects) == 5
    for each in objects:
        assert each["required"] == list(each["properties"])
        assert each["additionalProperties"] is False
    text = json.dumps(parameters)
    for word in ('"default"', "discriminator", "uniqueItems", '"path"', '"decimal"'):
        assert word not in text


def test_strict_says_what_null_means():
    """
    What was optional may be null, beside its description; what may be null anyway is as it was.
    """
    _, functions = strictly(order=order)
    properties = functions["order"]["parameters"]["properties"]

    assert properties["legs"] == {
        "type": "array",
        "items": {"$ref": "#/$defs/Leg"},
        "description": "What.",
    }
    assert properties["side"] == {
        "anyOf": [{"$ref": "#/$defs/Side"}, {"type": "null"}],
        "description": 'Which way. (null: "buy")',
    }
    assert properties["share"]["description"] == "Of what there is. (null: 100)"
    assert properties["on"] == {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]}
    assert properties["tag"]["anyOf"][0] == {"enum": [1, "a"], "type": ["integer", "string"]}


def test_strict_arguments_find_back():
    """
    A null where the tool knows none is an argument that was not given; any other is a null.
    """
    export, _ = strictly(order=order)
    nothing = dict.fromkeys(["kind", "side", "on", "note", "tag", "share", "file", "run", "tags", "limit"])
    said = nothing | {
        "legs": [
            {"symbol": "A", "qty": None, "then": {"symbol": "B", "qty": 2, "then": None}},
            {"symbol": "C", "qty": 3, "then": None},
        ]
    }

    key, arguments = export.read("order", json.dumps(said))

    assert key == "order"
    assert arguments == {
        "legs": [
            {"symbol": "A", "then": {"symbol": "B", "qty": 2, "then": None}},
            {"symbol": "C", "qty": 3, "then": None},
        ],
        "on": None,
        "note": None,
        "run": None,
        "limit": None,
    }
    tools = registry(order=order)
    legs = [Leg("A", 1, Leg("B", 2)), Leg("C", 3)]
    assert asyncio.run(tools.call(key, arguments, ADA)) == order(legs, limit=None)


@pytest.mark.parametrize(
    ("kind", "is_read_as"),
    [
        ({"type": "limit", "price": "1", "hidden": None}, {"type": "limit", "price": "1"}),
        ({"type": "market", "slippage": None}, {"type": "market"}),
        ({"type": "market", "slippage": 1.5}, {"type": "market", "slippage": 1.5}),
        ({"type": "other", "x": None}, {"type": "other", "x": None}),
    ],
)
def test_strict_alternatives_find_back(kind, is_read_as):
    """
    Among several records, the one that is meant says which nulls it knows.
    """
    export, _ = strictly(order=order)

    assert export.read("order", {"legs": [], "kind": kind})[1]["kind"] == is_read_as


def test_strict_optional_names_find_back():
    """
    A name that may be absent from a mapping is absent.
    """
    export, _ = strictly(order=order)
    note = {"text": "t", "author": None}

    assert export.read("order", {"legs": [], "note": note})[1]["note"] == {"text": "t"}


class Given(Tool):
    """A tool with a schema of its own."""

    name = "given"
    read_only: bool = True
    destructive: bool = False

    def __init__(self, schema):
        self.input_schema = schema

    async def call(self, arguments, context): ...


def of(**properties):
    return {"type": "object", "properties": properties, "required": [], "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        (of(x={"type": "object", "additionalProperties": {"type": "integer"}}), "arguments.x: names"),
        (of(x={}), "arguments.x: anything"),
        (of(x={"type": "array"}), r"arguments.x\[\]: anything"),
        (of(x={"type": "array", "items": False}), r"arguments.x\[\]: anything"),
        (of(x={"type": "array", "prefixItems": [{"type": "string"}]}), "prefixItems"),
        (of(x={"allOf": [{"type": "string"}]}), "allOf"),
        (of(x={"type": ["null", "string", "object"]}), "arguments.x: names"),
        ({"type": "object", "properties": {}}, "arguments: names"),
        (of() | {"$defs": {"D": {"type": "object"}}}, "D: names"),
        (of(x={"$ref": "#/$defs/D"}) | {"$defs": {"D": {"$ref": "#/$defs/D"}}}, "lead nowhere"),
        (of(x={"anyOf": [{"type": "string"}, {}]}), "arguments.x: anything"),
    ],
)
def test_what_cannot_be_strict_is_said(schema, why, caplog):
    """
    It is exported as it is, says that it is not strict, and hides no other.
    """
    tools = registry(given=Given(schema), ping=ping)
    export = tools.exported("openai", ADA, strict=True)
    given, other = (each["function"] for each in export.descriptions)

    assert given["strict"] is False
    assert given["parameters"] == schema
    assert other["strict"] is True
    [problem] = export.problems
    assert "tool 'given' of the application has no strict form" in problem
    assert re.search(why, problem)
    caplog.set_level(logging.WARNING, "hotplug.tools")
    assert tools.export("openai", ADA, strict=True) == list(export.descriptions)
    assert problem in caplog.text
    assert export.read("given", {"x": None}) == ("given", {"x": None})


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (
            {"oneOf": [{"type": "string"}, {"type": "integer"}]},
            {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        ),
        ({"const": "a"}, {"const": "a", "type": "string"}),
        ({"enum": [True, 1.5, None]}, {"enum": [True, 1.5, None], "type": ["boolean", "number", "null"]}),
        ({"type": "string", "format": "ipv4"}, {"type": "string", "format": "ipv4"}),
        ({"type": "string", "format": "binary", "minLength": 3}, {"type": "string"}),
        (
            {"$ref": "#/$defs/D", "description": "Of it."},
            {"anyOf": [{"$ref": "#/$defs/D"}], "description": "Of it."},
        ),
    ],
)
def test_what_has_another_strict_form(schema, strict):
    """
    Alternatives are any of, constants have types, and what only narrows a value is left to the call.
    """
    wanted = of(x=schema) | {"required": ["x"], "$defs": {"D": {"type": "string"}}}
    _, functions = strictly(given=Given(wanted))

    assert functions["given"]["parameters"]["properties"]["x"] == strict


def test_arguments_that_do_not_fit_are_left_to_the_call():
    """
    What the schema knows nothing of comes back as it is: the call says what is wrong.
    """
    export, _ = strictly(order=order)
    wrong = {"legs": {"symbol": None}, "tag": [{"a": None}], "side": {"b": None}, "more": None}

    assert export.read("order", wrong) == ("order", wrong)


def test_only_openai_is_strict():
    """
    The other format knows nothing of it.
    """
    with pytest.raises(ValueError, match="no strict form of mcp"):
        registry(ping=ping).export("mcp", ADA, strict=True)
