"""The suite for tools: a good tool passes it, and each broken promise fails the claim that names it."""

from __future__ import annotations

import itertools

import pytest

from hotplug.context import UserExecutionContext
from hotplug.errors import InvalidArgumentsError
from hotplug.testing import ToolContract
from hotplug.tools import Tool, tool


@tool(read_only=True)
def double(number: int) -> int:
    """Double a number."""
    return 2 * number


class Plain(Tool):
    """A tool without a function, for whom everything can be wrong."""

    name = "plain"
    description = "Doubles."
    input_schema = double.input_schema
    read_only = True
    destructive = False

    async def call(self, arguments, context):
        if set(arguments) != {"number"}:
            raise InvalidArgumentsError(f"not these: {', '.join({'number', *arguments})}")
        if type(arguments["number"]) is not int:
            raise InvalidArgumentsError("number: not an integer")
        return 2 * arguments["number"]


class TestDouble(ToolContract):
    """A typed function keeps the promises."""

    def make_tool(self) -> Tool:
        return double

    def example(self):
        return {"number": 2}


class TestPlain(TestDouble):
    """A subclass of `Tool` keeps them too."""

    def make_tool(self) -> Tool:
        return Plain()


class TestBareFunction(ToolContract):
    """A bare function, which is destructive, keeps them: the suite approves its call."""

    def make_tool(self):
        def wipe(what: str, times: int | None = None) -> str:
            """Wipe it."""
            return what

        return wipe

    def example(self):
        return {"what": "disk"}


def broken(**changes) -> type[ToolContract]:
    """The suite on a `Plain` with something changed."""
    changed = type("Changed", (Plain,), changes)

    class Broken(TestDouble):
        def make_tool(self) -> Tool:
            return changed()

    Broken.__test__ = False  # type: ignore[attr-defined]
    return Broken


async def takes_anything(self, arguments, context: UserExecutionContext) -> object:
    return arguments.get("number")


async def refuses_namelessly(self, arguments, context: UserExecutionContext) -> object:
    if set(arguments) != {"number"}:
        raise InvalidArgumentsError("no")
    return 4


async def takes_any_type(self, arguments, context: UserExecutionContext) -> object:
    await refuses_namelessly(self, arguments, context)
    return 4


async def refuses_types_namelessly(self, arguments, context: UserExecutionContext) -> object:
    if arguments != {"number": 2}:
        raise InvalidArgumentsError("no")
    return 4


def is_not_async(self, arguments, context: UserExecutionContext) -> int:
    return 4


def answers_differently():
    answers = itertools.cycle([4, "four"])

    async def call(self, arguments, context: UserExecutionContext) -> object:
        return next(answers)

    return call


@pytest.mark.parametrize(
    ("claim", "changes"),
    [
        ("test_it_is_a_tool", {"call": is_not_async}),
        ("test_it_introduces_itself", {"name": "with space"}),
        ("test_it_introduces_itself", {"description": " "}),
        ("test_its_schemas_are_schemas", {"input_schema": {"type": "array"}}),
        ("test_its_schemas_are_schemas", {"input_schema": {"type": "object", "properties": {}}}),
        ("test_its_schemas_are_schemas", {"input_schema": {"type": "object", "additionalProperties": False}}),
        ("test_it_says_what_it_does_to_the_world", {"destructive": True}),
        ("test_it_says_what_it_does_to_the_world", {"timeout": 0}),
        ("test_it_takes_no_unknown_argument", {"call": takes_anything}),
        ("test_it_takes_no_unknown_argument", {"call": refuses_namelessly}),
        ("test_it_misses_what_is_required", {"call": takes_anything}),
        ("test_it_misses_what_is_required", {"call": refuses_namelessly}),
        ("test_it_takes_nothing_of_another_type", {"call": takes_any_type}),
        ("test_it_takes_nothing_of_another_type", {"call": refuses_types_namelessly}),
        ("test_every_protocol_can_tell_it", {"output_schema": {"$ref": "#/$defs/Nowhere"}}),
        ("test_reading_twice_reads_the_same", {"call": answers_differently()}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_a_broken_tool_fails_the_claim(claim, changes):
    """
    A tool that breaks one promise fails the test that makes it.
    """
    with pytest.raises(AssertionError):
        getattr(broken(**changes)(), claim)()


@pytest.mark.parametrize(
    "answer", [object(), float("nan"), [1.5, float("inf")]], ids=["object", "nan", "inf"]
)
def test_an_answer_must_be_json(answer):
    """
    An answer that JSON cannot say fails the example call.
    """

    async def call(self, arguments, context: UserExecutionContext) -> object:
        return answer

    with pytest.raises(TypeError, match="cannot be said in JSON"):
        broken(call=call)().test_it_answers()


def test_an_answer_must_be_what_was_promised():
    """
    An object that is none fails, where MCP would tell it.
    """
    with pytest.raises(TypeError, match="promised an object, not int"):
        broken(output_schema={"type": "object"})().test_every_protocol_can_tell_it()


def test_being_offered_is_checked_by_the_registry(monkeypatch):
    """
    Were the registry to offer everything to everybody, the suite would notice.
    """
    from hotplug.tools import ToolRegistry

    monkeypatch.setattr(ToolRegistry, "_is_on_offer", lambda self, key, context: True)

    with pytest.raises(AssertionError, match="NotOfferedError"):
        broken()().test_who_is_not_offered_it_cannot_call_it()


def test_the_suite_asks_for_what_it_needs():
    """
    Without a tool or an example the suite says what to define.
    """
    with pytest.raises(NotImplementedError, match="make_tool"):
        ToolContract().make_tool()
    with pytest.raises(NotImplementedError, match="example"):
        ToolContract().example()
