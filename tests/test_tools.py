"""Tools: what a typed function becomes."""

from __future__ import annotations

import enum
import functools
import inspect
import threading
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

import hotplug
from hotplug.errors import (
    InvalidArgumentsError,
    SchemaError,
    ToolError,
)
from hotplug.tools import FunctionTool, Tool, as_tool, tool
from toolbox import BOB, Point, add, call, reading, registry, whoami, wipe


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


def test_the_signature_is_the_schema():
    """
    Name, description and schemas of a tool come from the function; the context is not in them.
    """
    assert (add.name, add.description) == ("add", "Add two numbers.")
    assert add.input_schema == {
        "type": "object",
        "properties": {
            "a": {"type": "integer", "description": "The first."},
            "b": {"type": "integer", "default": 2},
        },
        "required": ["a"],
        "additionalProperties": False,
    }
    assert add.output_schema == {"type": "integer"}
    assert list(whoami.input_schema["properties"]) == ["greeting"]


def test_a_tool_is_still_a_function():
    """
    Calling a decorated function calls the function.
    """
    assert add(1, b=3) == 4
    assert add.__name__ == "add"
    assert repr(add) == "<tool 'add': add>"


def test_hotplug_tool_is_the_decorator():
    """
    `@hotplug.tool` is `hotplug.tools.tool`, and takes a name.
    """

    @hotplug.tool(name="plus", read_only=True)
    def add_them(a: int) -> int:
        return a

    assert isinstance(add_them, Tool)
    assert add_them.name == "plus"


def test_the_decorator_shows_its_options():
    """
    The signature of `hotplug.tool` has every option with its default, as editors show it.
    """
    options = {
        name: parameter.default
        for name, parameter in inspect.signature(hotplug.tool).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }

    assert options == {
        "name": None,
        "read_only": False,
        "destructive": None,
        "idempotent": False,
        "timeout": 30.0,
        "run_in_thread": True,
    }


def test_what_nothing_is_said_of_is_destructive():
    """
    A bare function counts as destructive; read-only or explicit flags say otherwise.
    """
    assert (wipe.read_only, wipe.destructive) == (False, True)
    assert (add.read_only, add.destructive) == (True, False)
    assert not tool(destructive=False)(lambda: None).destructive
    with pytest.raises(ValueError, match="both read-only and destructive"):
        tool(read_only=True, destructive=True)(lambda: None)


def test_as_tool_takes_tools_and_functions():
    """
    `as_tool` leaves a tool alone, wraps a function (a partial one too), and refuses the rest.
    """

    def function(a: int, b: int) -> int:
        return a * b

    assert as_tool(add) is add
    assert as_tool(function).name == "function"
    assert as_tool(functools.partial(function, b=2), name="double").name == "double"
    assert as_tool(functools.partial(function, b=2)).name == "function"
    for wrong in (42, Point):
        with pytest.raises(TypeError, match="typed function"):
            as_tool(wrong)


def test_the_loader_tells_tools_from_factories():
    """
    A typed function is the tool; what says that it makes a `Tool`, a class, and a `Tool` are not wrapped.
    """

    def plain(a: int) -> int:
        return a

    def factory() -> Tool:
        return add

    def specific() -> FunctionTool:
        return add

    names: dict[str, object] = {}
    exec("def unimported() -> 'Tool': ...", names)

    assert Tool._adopt(plain).name == "plain"
    for other in (factory, specific, names["unimported"], Point, add, 42):
        assert Tool._adopt(other) is None


def test_schema_errors_name_the_parameter():
    """
    A parameter that is no data makes the schema fail, by name, and not the decoration.
    """

    @tool
    def strange(gate: threading.Lock) -> None: ...

    with pytest.raises(SchemaError, match="gate"):
        _ = strange.input_schema


def test_arguments_are_converted():
    """
    JSON arguments become what the annotations say, enums, dates, decimals and records included.
    """

    @reading
    def look(color: Color, at: datetime, price: Decimal, points: list[Point]) -> str:
        return f"{color.name} {at.year} {price + 1} {points[0].x}"

    arguments = {"color": "blue", "at": "2024-05-01T00:00:00Z", "price": "1.5", "points": [{"x": 7}]}

    assert call(registry(look), "look", arguments) == "BLUE 2024 2.5 7"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"a": "1"}, "a: "),
        ({"a": True}, "a: "),
        ({}, "a: "),
        ({"a": 1, "c": 2}, "c: "),
    ],
    ids=["text", "bool", "missing", "unknown"],
)
def test_arguments_are_strict(arguments, text):
    """
    Arguments of the wrong type, missing and unknown ones are refused by name; the tool is not called.
    """
    called = []

    @reading
    def record(a: int) -> None:
        called.append(a)

    with pytest.raises(InvalidArgumentsError, match=text):
        call(registry(record), "record", arguments)
    assert called == []


def test_the_context_is_injected():
    """
    A tool that asks for the context gets the caller's; nobody can hand in another.
    """
    tools = registry(whoami)

    assert call(tools, "whoami", context=BOB) == "hi bob"
    with pytest.raises(InvalidArgumentsError, match="context"):
        call(tools, "whoami", {"context": {"user_id": "eve"}})


@pytest.mark.parametrize("returned", ["text", object(), None])
def test_broken_promises_about_the_result_are_failures(returned):
    """
    A result that is not what the annotation says (or nothing JSON can say) is a failure of the tool.
    """

    @reading
    def promise() -> int:
        return returned

    with pytest.raises(ToolError, match="'promise' failed"):
        call(registry(promise), "promise")


def test_results_that_json_can_say():
    """
    Records, paths, models that dump themselves and unannotated results pass, as the tool returned them.
    """

    class Model:
        def model_dump(self, mode: str) -> dict[str, str]:
            return {"mode": mode}

    point, path, model = Point(1), Path("x"), Model()

    @reading
    def record() -> Point:
        return point

    @reading
    def file() -> Path:
        return path

    @reading
    def anything():
        return {"model": model}

    tools = registry(record, file, anything)
    assert call(tools, "record") is point
    assert call(tools, "file") is path
    assert call(tools, "anything") == {"model": model}
