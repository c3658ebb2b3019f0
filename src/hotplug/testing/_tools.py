"""What every tool promises, as tests to inherit."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hotplug._signature import differences
from hotplug.context import UserExecutionContext
from hotplug.errors import InvalidArgumentsError, NotOfferedError
from hotplug.testing._suite import Suite, claim, claim_type, refused
from hotplug.tools import Tool, ToolRegistry, as_tool, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["ToolContract"]

ADA: Final = UserExecutionContext("ada")
WRONG: Final[Mapping[str, object]] = {
    **{name: {} for name in ("string", "integer", "number", "boolean")},
    **dict.fromkeys(("array", "object"), 1),
}
LEGAL_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")


class ToolContract(Suite):
    """
    The promises of `Tool`. Subclass it and say which tool, and one call of it that works:

        class TestLastPrice(ToolContract):
            def make_tool(self) -> Tool:
                return last_price

            def example(self) -> dict[str, Any]:
                return {"symbol": "AAPL"}

    A tool that is not idempotent or read-only is called once per test at most.
    """

    def make_tool(self) -> Tool | Callable[..., object]:
        """The tool, or the typed function that is one."""
        raise NotImplementedError(f"{type(self).__name__} must define make_tool()")

    def example(self) -> Mapping[str, Any]:
        """Arguments that it takes."""
        raise NotImplementedError(f"{type(self).__name__} must define example()")

    def call(self, arguments: Mapping[str, Any]) -> object:
        """What the tool answers, called as a host calls it: offered, and approved if need be."""
        tool, registry = as_tool(self.make_tool()), ToolRegistry()
        registry.register(tool.name, tool, metadata={"offer": True})
        approval = registry.approve(tool.name, arguments, ADA) if tool.destructive else None
        return self.run(registry.call(tool.name, arguments, ADA, approval=approval))

    def test_it_is_a_tool(self) -> None:
        """The tool is a `Tool`, and can be called as the contract calls it."""
        tool = as_tool(self.make_tool())
        found = differences(tool, Tool)
        claim(not found, "it differs from Tool:\n  " + "\n  ".join(found))

    def test_it_introduces_itself(self) -> None:
        """The tool has a name that every protocol takes, and a description."""
        tool = as_tool(self.make_tool())
        claim(LEGAL_NAME.fullmatch(tool.name), f"{tool.name!r} is no name for a tool ({LEGAL_NAME.pattern})")
        claim(tool.description.strip(), "it has no description: who calls it must know what it does")

    def test_its_schemas_are_schemas(self) -> None:
        """The input schema describes an object that takes no unknown names; both schemas are JSON."""
        tool = as_tool(self.make_tool())
        schema = tool.input_schema
        claim(schema.get("type") == "object", "its input schema must be of type object")
        claim(schema.get("additionalProperties") is False, "its input schema must refuse unknown names")
        claim_type(schema.get("properties"), dict, "the properties of its input schema")
        for each in (schema, tool.output_schema):
            msgspec.json.encode(None if each is None else dict(each))

    def test_it_says_what_it_does_to_the_world(self) -> None:
        """Who only reads destroys nothing; a timeout is positive or None."""
        tool = as_tool(self.make_tool())
        claim(not (tool.read_only and tool.destructive), "it cannot be both read-only and destructive")
        claim(tool.timeout is None or tool.timeout > 0, f"its timeout must be positive, not {tool.timeout}")

    def test_it_answers(self) -> None:
        """The example call returns something that JSON can say: no nan, for example."""
        plain(self.call(self.example()))

    def test_it_takes_no_unknown_argument(self) -> None:
        """An argument that is not in the schema is refused, and named."""
        arguments = {**self.example(), "no_such_argument": 1}
        tool = as_tool(self.make_tool())
        error = self.run(refused(tool.call(arguments, ADA), InvalidArgumentsError, "an unknown argument"))
        claim("no_such_argument" in str(error), f"the error must name the argument: {error}")

    def test_it_misses_what_is_required(self) -> None:
        """A call without a required argument is refused, and the argument named."""
        tool = as_tool(self.make_tool())
        for name in tool.input_schema.get("required", ()):
            arguments = {key: value for key, value in self.example().items() if key != name}
            error = self.run(
                refused(tool.call(arguments, ADA), InvalidArgumentsError, f"a call without {name!r}")
            )
            claim(name in str(error), f"the error must name {name!r}: {error}")

    def test_it_takes_nothing_of_another_type(self) -> None:
        """An argument that is not of the type its schema says is refused, and named."""
        tool = as_tool(self.make_tool())
        for name, schema in tool.input_schema["properties"].items():
            if schema.get("type") in WRONG:
                arguments = {**self.example(), name: WRONG[schema["type"]]}
                doing = f"a call with {arguments[name]!r} for {name!r}"
                error = self.run(refused(tool.call(arguments, ADA), InvalidArgumentsError, doing))
                claim(name in str(error), f"the error must name {name!r}: {error}")

    def test_every_protocol_can_tell_it(self) -> None:
        """Its description, and its answer as its output schema promises it, can be said in each format."""
        tool, registry = as_tool(self.make_tool()), ToolRegistry()
        registry.register(tool.name, tool, metadata={"offer": True})
        exports = [registry.exported(each, ADA) for each in ("openai", "mcp")]
        for export in exports:
            claim(not export.problems, f"{export.format}: {'; '.join(export.problems)}")
        exports[-1].structured(tool.name, self.call(self.example()))

    def test_who_is_not_offered_it_cannot_call_it(self) -> None:
        """Being there is not being offered."""
        tool, registry = as_tool(self.make_tool()), ToolRegistry()
        registry.register(tool.name, tool, metadata={"offer": ["somebody else"]})
        self.run(
            refused(registry.call(tool.name, self.example(), ADA), NotOfferedError, "another user's call")
        )

    def test_reading_twice_reads_the_same(self) -> None:
        """A read-only tool changes nothing: the same call gives the same sort of answer again."""
        if as_tool(self.make_tool()).read_only:
            first, again = self.call(self.example()), self.call(self.example())
            claim(type(first) is type(again), f"it answered with {type(first)}, then with {type(again)}")
