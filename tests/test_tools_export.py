"""Exports of tools: descriptions, names and their clashes, the way back; with the real packages."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import itertools
import json
import threading
from decimal import Decimal
from typing import Any

import pytest

import hotplug
from hotplug.errors import DuplicateKeyError, InvalidArgumentsError, NotRegisteredError
from hotplug.tools import Tool, ToolRegistry
from ordering import ADA, Leg, Side, order, ping, reading, registry
from toolbox import Point, add, wipe

# -- descriptions -------------------------------------------------------------------------------------


def test_openai_export():
    """
    The OpenAI form has name, description and parameters of what is offered to the user.
    """
    tools = registry(add=add)
    tools.register("wipe", wipe)

    assert tools.export("openai", ADA) == [
        {
            "type": "function",
            "function": {"name": "add", "description": "Add two numbers.", "parameters": add.input_schema},
        }
    ]


def test_mcp_export():
    """
    The MCP form has both schemas (the output an object) and says what the tool does to the world.
    """

    @reading
    def point() -> Point:
        return Point(1)

    @reading
    def points() -> list[Point]:
        return []

    @reading
    def table() -> dict[str, int]:
        return {}

    @reading
    def silent(): ...

    offered = registry(add=add, point=point, points=points, table=table, silent=silent)
    plain, record, several, by_name, without = offered.export("mcp", ADA)

    assert plain["name"] == "add"
    assert plain["inputSchema"] == add.input_schema
    assert plain["annotations"] == {"readOnlyHint": True, "destructiveHint": False, "idempotentHint": False}
    assert plain["outputSchema"]["properties"] == {"result": {"type": "integer"}}
    for each in (record, several):
        assert each["outputSchema"]["type"] == "object"
        assert "Point" in each["outputSchema"]["$defs"]
    assert list(record["outputSchema"]["properties"]) == ["x", "y"]
    assert several["outputSchema"]["properties"]["result"]["type"] == "array"
    assert by_name["outputSchema"] == table.output_schema
    assert "outputSchema" not in without


def test_exported_names_are_legal():
    """
    Names are made legal, the same way each time; long ones stay different.
    """
    long = "x" * 100
    tools = ToolRegistry()
    for key in ("market.last price", long + "a", long + "b"):
        tools.register(key, add)

    names = [each["function"]["name"] for each in tools.export("openai", ADA)]

    assert names[0] == "market_last_price"
    assert all(len(name) == 64 for name in names[1:])
    assert len(set(names)) == 3
    assert next(each["name"] for each in tools.export("mcp", ADA)) == "market.last_price"


def test_names_that_fall_together_are_refused():
    """
    Two tools that would have one exported name are an error naming both.
    """
    tools = ToolRegistry()
    tools.register("a.b", add)
    tools.register("a_b", add)

    with pytest.raises(DuplicateKeyError, match=r"'a\.b'.*'a_b'"):
        tools.export("openai", ADA)


def test_unknown_formats_are_named():
    """
    A format that is not there is an error that lists those that are.
    """
    with pytest.raises(ValueError, match="mcp, openai"):
        registry(add=add).export("soap", ADA)  # type: ignore[arg-type]


# -- names ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", list(itertools.permutations(["a b", "a/b", "a_b"])))
def test_clashing_names_are_the_same_in_any_order(keys):
    """
    The key that is legal keeps its name, the others get names that nobody has; all can be found again.
    """
    export = registry(**dict.fromkeys(keys, ping)).exported("openai", ADA)
    found = {tool.name: name for name, tool in export.tools.items()}

    assert found["a_b"] == "a_b"
    assert found["a b"] == "a_b_c8687a08"
    assert found["a/b"] == "a_b_c14cddc0"
    assert len(export.clashes) == 2
    assert {export.read(name, {})[0] for name in export.tools} == set(keys)


def test_both_owners_of_a_clash_are_named(environment):
    """
    With distribution and version, in the error and in what is said beside the export.
    """
    code = "import hotplug\n@hotplug.tool(read_only=True)\ndef f() -> int: return 1\n"
    for name, key in (("one", "a b"), ("two", "a_b")):
        advertises = {"hotplug.tools": {key: f"acme_{name}:f"}}
        environment.install(f"acme-{name}", advertises=advertises, files={f"acme_{name}.py": code})
    with hotplug.Host(path=environment.path, cache=False) as host:
        with pytest.raises(DuplicateKeyError) as caught:
            host.tools.export("openai", ADA)
        export = host.tools.exported("openai", ADA)

    for text in (str(caught.value), *export.problems):
        assert "acme-one" in text
        assert "acme-two" in text
    assert len(export.descriptions) == 2


def test_a_name_that_only_looks_like_another_is_not_taken():
    """
    Who makes a key that is another's made-up name gets that name, and the other none: it is said.
    """
    tools = dict.fromkeys(["a b", "a/b", "a_b_c8687a08"], ping)
    export = registry(**tools).exported("openai", ADA)

    assert export.tools["a_b_c8687a08"].name == "a_b_c8687a08"
    assert {tool.name for tool in export.tools.values()} == {"a/b", "a_b_c8687a08"}
    assert any("'a b'" in problem and "no name left" in problem for problem in export.problems)


def test_one_that_fails_hides_no_other():
    """
    A tool whose schema cannot even be looked at is left out, and said.
    """

    class Odd(Tool):
        read_only, destructive = True, False

        @property
        def input_schema(self):
            raise RuntimeError("no schema today")

        async def call(self, arguments, context): ...

    tools = registry(ping=ping)
    tools.register("odd", odd := Odd())
    odd.name = "odd"
    export = tools.exported("mcp", ADA)

    assert list(export.tools) == ["ping"]
    assert any("no schema today" in problem for problem in export.problems)


def test_an_export_is_the_callers_to_change():
    """
    Nothing in it is the tool's own.
    """
    tools = registry(order=order)
    before = json.dumps(tools.export("openai", ADA))

    [changed] = tools.export("openai", ADA)
    changed["function"]["parameters"]["properties"].clear()
    changed["function"]["parameters"]["$defs"]["Leg"]["properties"].clear()

    assert json.dumps(tools.export("openai", ADA)) == before


# -- the way back --------------------------------------------------------------------------------------


def test_calls_are_read_back():
    """
    A name becomes its key, a text becomes arguments; what is neither is said.
    """
    export = registry(**{"my tool": ping}).exported("openai", ADA)

    assert export.read("my_tool", '{"a": null}') == ("my tool", {"a": None})
    assert export.read("my_tool", "") == ("my tool", {})
    with pytest.raises(NotRegisteredError, match="did you mean 'my_tool'"):
        export.read("my_tol", "{}")
    for wrong, why in (("{", "not JSON"), ("[1]", "not list"), (b"\xff", "not JSON")):
        with pytest.raises(InvalidArgumentsError, match=why):
            export.read("my_tool", wrong)


@pytest.mark.parametrize(
    ("returns", "result", "structured"),
    [
        (Leg, Leg("A"), {"symbol": "A", "qty": 1, "then": None}),
        (dict[str, int], {"a": 1}, {"a": 1}),
        (Leg | None, None, {"result": None}),
        (Leg | None, Leg("A"), {"result": {"symbol": "A", "qty": 1, "then": None}}),
        (list[Decimal], [Decimal("1.10")], {"result": ["1.10"]}),
        (tuple[int, ...], (1, 2), {"result": [1, 2]}),
        (Any, {"a": 1}, None),
    ],
)
def test_results_stand_as_their_schema_says(returns, result, structured):
    """
    An object as it is, all else under ``result``; nothing where nothing is promised.
    """

    def give(): ...

    give.__annotations__["return"] = returns
    export = registry(give=reading(give)).exported("mcp", ADA)

    assert export.structured("give", result) == structured


@pytest.mark.parametrize(
    ("returns", "result", "why"),
    [
        (float, float("inf"), "infinity"),
        (list[float], [None, float("nan")], "nan"),
        (str, "\ud800", "surrogates"),
        (Leg, "A", "promised an object, not str"),
    ],
)
def test_results_that_cannot_stand_so_are_refused(returns, result, why):
    """
    What JSON has no word for, and what is no object though one was promised.
    """

    def give(): ...

    give.__annotations__["return"] = returns
    export = registry(give=reading(give)).exported("mcp", ADA)

    with pytest.raises(TypeError, match=why):
        export.structured("give", result)


# -- the real packages ---------------------------------------------------------------------------------


@pytest.fixture
def openai():
    return pytest.importorskip("openai", reason="the openai package is not here")


@pytest.mark.parametrize("strict", [False, True])
def test_openai_takes_it(openai, strict):
    """
    The description has the type that the package asks for, and is what the package makes of a strict one.
    """
    from openai.lib._pydantic import _ensure_strict_json_schema
    from openai.types.chat import ChatCompletionFunctionToolParam
    from pydantic import TypeAdapter

    tools = registry(order=order, ping=ping)

    for each in tools.export("openai", ADA, strict=strict):
        TypeAdapter(ChatCompletionFunctionToolParam).validate_python(each, strict=True, extra="forbid")
        parameters = each["function"]["parameters"]
        made = _ensure_strict_json_schema(json.loads(json.dumps(parameters)), path=(), root=parameters)
        assert (made == parameters) is (strict or each["function"]["name"] == "ping")


@pytest.mark.parametrize("strict", [False, True])
def test_openai_calls_through_it(openai, strict):
    """
    The real client sends the tools, and what a model calls then is called.
    """
    tools = registry(**{"my order": order})
    export = tools.exported("openai", ADA, strict=strict)
    said = {"legs": [{"symbol": "A", "qty": 2}], "side": "sell"}
    if strict:
        [function] = (each["function"] for each in export.descriptions)
        said = dict.fromkeys(function["parameters"]["properties"]) | said
    with _model("my_order", said) as (url, sent), openai.OpenAI(api_key="none", base_url=url) as client:
        answer = client.chat.completions.create(model="m", messages=[], tools=export.descriptions)

    [call] = answer.choices[0].message.tool_calls
    key, arguments = export.read(call.function.name, call.function.arguments)
    result = asyncio.run(tools.call(key, arguments, ADA))

    assert sent[0]["tools"] == list(export.descriptions)
    limit = None if strict else 3
    assert result == order([Leg("A", 2)], side=Side.SELL, limit=limit)


@contextlib.contextmanager
def _model(name, arguments):
    """A model on this machine that calls *name* whatever it is asked."""
    sent: list[Any] = []
    call = {"name": name, "arguments": json.dumps(arguments)}
    message = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "1", "type": "function", "function": call}],
    }
    choice = {"index": 0, "finish_reason": "tool_calls", "message": message}
    told = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
    body = json.dumps(told).encode()

    class Answering(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            sent.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_): ...

    with http.server.HTTPServer(("127.0.0.1", 0), Answering) as server:
        serving = threading.Thread(target=server.handle_request)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}/v1", sent
        serving.join()
