"""Tools: what a typed function becomes, who may call it, and what gets out when it misbehaves."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import enum
import functools
import inspect
import logging
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

import hotplug
from hotplug.context import UserExecutionContext
from hotplug.errors import (
    ApprovalRequiredError,
    ContractError,
    DuplicateKeyError,
    InvalidArgumentsError,
    NotOfferedError,
    NotRegisteredError,
    Outcome,
    SchemaError,
    ToolError,
    ToolTimeoutError,
)
from hotplug.registry import Retirement, Shelf, when_released
from hotplug.tools import FunctionTool, Tool, ToolRegistry, as_tool, tool
from hotplug.tools._approvals import Approvals, Request
from hotplug.tools._slots import SLOTS, Slots

ADA = UserExecutionContext("ada")
BOB = UserExecutionContext("bob")


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Point:
    x: int
    y: int = 0


@tool(read_only=True)
def add(a: int, b: int = 2) -> int:
    """
    Add two numbers.

    Args:
        a: The first.
    """
    return a + b


@tool(read_only=True)
def whoami(context: UserExecutionContext, greeting: str = "hi") -> str:
    """Say who asks."""
    return f"{greeting} {context.user_id}"


@tool
def wipe(what: str) -> str:
    """Wipe something."""
    return f"wiped {what}"


def registry(*tools: Tool, offer: object = True) -> ToolRegistry:
    made = ToolRegistry()
    for each in tools:
        made.register(each.name, each, metadata={"offer": offer})
    return made


def call(tools: ToolRegistry, name: str, arguments=None, context=ADA, **options):
    return asyncio.run(asyncio.wait_for(tools.call(name, arguments or {}, context, **options), 20))


def reading(function) -> FunctionTool:
    return tool(read_only=True)(function)


# -- functions as tools ------------------------------------------------------------------------------


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


# -- threads -----------------------------------------------------------------------------------------


def test_sync_tools_leave_the_loop_free():
    """
    A sync tool that waits runs in a daemon thread of its own, with the caller's context variables.
    """
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    gate, seen = threading.Event(), []

    @reading
    def wait() -> None:
        seen.append((variable.get(), threading.current_thread().daemon))
        assert gate.wait(10)

    async def world() -> None:
        variable.set("ada's")
        waiting = asyncio.create_task(registry(wait).call("wait", {}, ADA))
        await _until(lambda: seen)
        gate.set()  # only a free loop comes here
        await waiting

    asyncio.run(asyncio.wait_for(world(), 10))
    assert seen == [("ada's", True)]


def test_async_tools_and_opted_out_ones_run_on_the_loop():
    """
    An async function, and a sync one with `run_in_thread=False`, run in the caller's thread.
    """
    here = threading.get_ident()

    @tool(read_only=True)
    async def asynchronous() -> bool:
        return threading.get_ident() == here

    @tool(read_only=True, run_in_thread=False)
    def affine() -> bool:
        return threading.get_ident() == here

    @reading
    def hands_back_a_coroutine():
        return asynchronous.function()

    tools = registry(asynchronous, affine, hands_back_a_coroutine)
    assert call(tools, "asynchronous")
    assert call(tools, "affine")
    assert call(tools, "hands_back_a_coroutine")


@pytest.mark.parametrize(
    ("options", "retryable"),
    [
        ({"destructive": False}, False),
        ({"destructive": False, "idempotent": True}, True),
        ({"read_only": True}, True),
    ],
    ids=str,
)
def test_a_timeout_says_whether_to_try_again(options, retryable):
    """
    After a time-out the outcome is UNKNOWN, and only an idempotent or read-only tool may be called again.
    """

    @tool(timeout=0.01, **options)
    async def late() -> None:
        await asyncio.Event().wait()

    with pytest.raises(ToolTimeoutError) as caught:
        call(registry(late), "late")
    assert caught.value.outcome is Outcome.UNKNOWN
    assert caught.value.retryable is retryable


def test_a_tool_whose_threads_never_come_back_is_quarantined():
    """
    With `max_abandoned` stuck threads a tool is refused at once, others are not; one coming back lifts it.
    """
    gates = [threading.Event() for _ in range(2)]
    waiting = iter(gates)

    @tool(timeout=0.05, destructive=True)
    def stuck() -> str:
        gate = next(waiting, None)
        return "well" if gate is None else str(gate.wait(20))

    tools = registry(stuck, add)
    tools.max_abandoned = 2
    approved = functools.partial(tools.approve, "stuck", {}, ADA)
    try:
        for number in range(2):
            assert tools.quarantined() == (), number
            with pytest.raises(ToolTimeoutError):
                call(tools, "stuck", approval=approved())
        assert tools.quarantined() == ("stuck",)
        approval = approved()
        with pytest.raises(ToolError, match="'stuck' is quarantined: 2 calls") as caught:
            call(tools, "stuck", approval=approval)
        assert type(caught.value) is ToolError
        assert call(tools, "add", {"a": 1}) == 3
        gates[0].set()
        asyncio.run(_until(lambda: tools.quarantined() == ()))
        assert call(tools, "stuck", approval=approval) == "well"  # the refusal did not use it up
    finally:
        for gate in gates:
            gate.set()
        _join_calls()
    assert tools._stuck._counts == {}


def test_a_new_tool_does_not_answer_for_the_old_one():
    """
    What replaces a quarantined tool under its key is not quarantined.
    """
    gate = threading.Event()

    @tool(timeout=0.01, read_only=True)
    def stuck() -> None:
        gate.wait(20)

    tools = registry(stuck)
    tools.max_abandoned = 1
    try:
        with pytest.raises(ToolTimeoutError):
            call(tools, "stuck")
        assert tools.quarantined() == ("stuck",)
        tools.replace("stuck", tool(name="stuck", read_only=True)(lambda: 5))
        assert tools.quarantined() == ()
        assert call(tools, "stuck") == 5
    finally:
        gate.set()
        _join_calls()


def test_who_ended_in_time_does_not_count_as_stuck():
    """
    A tool that raises `CancelledError` by itself has come back; outside of a registry nobody counts.
    """
    gate = threading.Event()

    @reading
    def raises() -> None:
        raise asyncio.CancelledError

    tools = registry(raises)
    with pytest.raises(ToolError):
        call(tools, "raises")
    assert tools._stuck._counts == {}

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(as_tool(lambda: gate.wait(20)).call({}, ADA), 0.01)

    asyncio.run(give_up())
    gate.set()
    _join_calls()


def test_a_timeout_leaves_the_outcome_unknown():
    """
    A tool that does not answer in time is a `ToolTimeoutError`; its thread gives up its slot at once.
    """
    gate, began = threading.Event(), threading.Event()

    @tool(timeout=0.05, destructive=False)
    def stuck() -> None:
        began.set()
        gate.wait(20)

    free = SLOTS.free
    try:
        with pytest.raises(ToolTimeoutError, match="unknown"):
            call(registry(stuck), "stuck")
        assert began.is_set()
        assert SLOTS.free == free
    finally:
        gate.set()
        _join_calls()


def test_a_tool_that_ignores_its_timeout_is_left_behind(monkeypatch, caplog):
    """
    An async tool that swallows its cancellation does not hold its caller; the log says that it goes on.
    """
    monkeypatch.setattr("hotplug._lifecycle.GRACE", 0.05)

    @tool(timeout=0.01, read_only=True)
    async def deaf() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    with pytest.raises(ToolTimeoutError):
        call(registry(deaf), "deaf")
    assert "goes on" in caplog.text


def test_slots_are_first_come_first_served():
    """
    Who finds no slot waits; a slot that is given up goes to the one who waits longest.
    """
    slots, gate, order = Slots(1), threading.Event(), []

    async def world() -> None:
        first = asyncio.create_task(slots.run(lambda: gate.wait(10)))
        await _until(lambda: slots.free == 0)
        others = [asyncio.create_task(slots.run(functools.partial(order.append, n))) for n in range(3)]
        await _until(lambda: len(slots._waiting) == 3)
        others[1].cancel()
        await asyncio.wait({others[1]})
        gate.set()
        await asyncio.gather(first, others[0], others[2])

    asyncio.run(asyncio.wait_for(world(), 10))
    assert order == [0, 2]
    assert slots.free == 1


def test_a_slot_handed_to_who_just_gave_up_is_not_lost():
    """
    A waiter that is cancelled in the moment it gets its slot passes it on.
    """
    slots, gate = Slots(1), threading.Event()

    async def world() -> None:
        first = asyncio.create_task(slots.run(lambda: gate.wait(10)))
        await _until(lambda: slots.free == 0)
        waiting = asyncio.create_task(slots.run(lambda: None))
        await _until(lambda: slots._waiting)
        slots._give()
        waiting.cancel()
        await asyncio.wait({waiting})
        gate.set()
        await first

    asyncio.run(asyncio.wait_for(world(), 10))
    assert slots.free == 2  # the one that was given here by hand, and the only real one


def test_a_slot_is_not_handed_to_a_closed_loop():
    """
    A waiter whose loop was closed is passed over.
    """
    slots = Slots(0)
    loop = asyncio.new_event_loop()
    waiting = loop.create_task(slots.run(lambda: None))
    loop.run_until_complete(_until(lambda: slots._waiting))
    waiting._log_destroy_pending = False  # type: ignore[attr-defined]  # it is destroyed on purpose
    loop.close()

    slots._give()

    assert slots.free == 1


# -- the wall ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("the secret"),
        SystemExit("the secret"),
        asyncio.CancelledError("the secret"),
        StopIteration("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_failures_tell_the_caller_nothing(error, caplog):
    """
    Whatever a tool raises, the caller gets a safe `ToolError` with an incident id; the log has the cause.
    """

    @tool(read_only=True)
    async def broken() -> None:
        raise error

    @reading
    def broken_thread() -> None:
        raise error

    for each in (broken, broken_thread):
        caplog.clear()
        with pytest.raises(ToolError) as caught:
            call(registry(each), each.name)
        incident = str(caught.value).rpartition(" ")[2].rstrip(")")
        assert "secret" not in str(caught.value)
        assert (caught.value.__cause__, caught.value.__context__) == (None, None)
        assert incident in caplog.text
        assert type(error).__name__ in caplog.text or isinstance(error, StopIteration)


def test_a_tool_may_speak_for_itself():
    """
    The text of a `ToolError` that the tool raises on purpose reaches the caller.
    """

    @reading
    def picky() -> None:
        raise ToolError("no such symbol")

    with pytest.raises(ToolError, match=r"^no such symbol$"):
        call(registry(picky), "picky")


def test_the_callers_cancellation_stays_a_cancellation():
    """
    Who cancels the awaiting task gets `CancelledError`, and the tool is cancelled.
    """
    ended = []

    @tool(read_only=True)
    async def patient() -> None:
        ended.append("began")
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    async def world() -> bool:
        calling = asyncio.create_task(registry(patient).call("patient", {}, ADA))
        await _until(lambda: ended)
        calling.cancel()
        await asyncio.wait({calling})
        return calling.cancelled()

    assert asyncio.run(asyncio.wait_for(world(), 10))
    assert ended == ["began", "cancelled"]


# -- who may call ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offer", "ada_may", "bob_may"),
    [(True, True, True), (False, False, False), (["ada"], True, False), ("ada", False, False)],
    ids=str,
)
def test_the_offer_decides(offer, ada_may, bob_may):
    """
    `offer` is everybody, nobody, or some; anything else is nobody. `call`, `approve` and `offered` agree.
    """
    tools = registry(add, wipe, offer=offer)

    for context, may in ((ADA, ada_may), (BOB, bob_may)):
        assert [each.name for each in tools.offered(context)] == (["add", "wipe"] if may else [])
        if may:
            assert call(tools, "add", {"a": 1}, context) == 3
            continue
        with pytest.raises(NotOfferedError, match=context.user_id):
            call(tools, "add", {"a": 1}, context)
        with pytest.raises(NotOfferedError):
            tools.approve("wipe", {"what": "x"}, context)


def test_without_configuration_only_read_only_tools_are_offered():
    """
    A tool of which nothing is said is offered if it only reads.
    """
    tools = ToolRegistry()
    for each in (add, wipe):
        tools.register(each.name, each)

    assert tools.offered(ADA) == (add,)
    with pytest.raises(NotOfferedError, match="offer = true"):
        call(tools, "wipe", {"what": "x"})
    with pytest.raises(NotOfferedError):
        tools.approve("wipe", {"what": "x"}, ADA)


def test_the_hosts_word_comes_before_the_metadata():
    """
    `offer_of` is asked first; where it has nothing to say, the entry's metadata does.
    """
    tools = registry(add, wipe, offer=["ada"])
    tools.offer_of = {"add": ["bob"], "ghost": True}.get

    assert [each.name for each in tools.offered(ADA)] == ["wipe"]
    assert [each.name for each in tools.offered(BOB)] == ["add"]
    with pytest.raises(NotOfferedError):
        call(tools, "add", {"a": 1})
    with pytest.raises(NotRegisteredError):
        call(tools, "ghost")


def test_what_is_not_on_offer_is_not_even_loaded():
    """
    Who may not call a tool does not get it imported, neither by calling nor by listing.
    """
    loads = []
    tools = ToolRegistry()
    tools.register_lazy("add", lambda: loads.append(1) or add, metadata={"offer": ["bob"]})

    with pytest.raises(NotOfferedError):
        call(tools, "add", {"a": 1})
    assert tools.offered(ADA) == ()
    assert loads == []
    assert call(tools, "add", {"a": 1}, BOB) == 3


def test_a_broken_tool_hides_no_other(caplog):
    """
    A tool that does not load is left out of what is offered, with a word in the log.
    """
    tools = registry(add)
    tools.register_lazy("broken", lambda: 1 // 0, metadata={"offer": True})

    assert tools.offered(ADA) == (add,)
    assert "ZeroDivisionError" in caplog.text


def test_unknown_tools_are_named():
    """
    A tool that is not there is `NotRegisteredError`, with what was probably meant.
    """
    with pytest.raises(NotRegisteredError, match="did you mean 'add'"):
        call(registry(add), "ad")


def test_a_tool_is_called_by_its_key():
    """
    Under another key the tool is offered under that name, and called by it.
    """
    tools = ToolRegistry()
    tools.register("plus", add)

    [offered] = tools.offered(ADA)

    assert offered.name == "plus"
    assert offered.input_schema == add.input_schema
    assert asyncio.run(offered.call({"a": 1}, ADA)) == call(tools, "plus", {"a": 1}) == 3


def test_a_typed_function_is_registered_as_the_tool_it_is():
    """
    `register` and `replace` wrap a typed function under the key's name; it counts as destructive.
    """

    def double(a: int) -> int:
        return 2 * a

    tools = ToolRegistry()
    tools.register("twice", double, metadata={"offer": True})

    made = tools["twice"]
    assert (type(made), made.name, made.destructive) == (FunctionTool, "twice", True)
    approval = tools.approve("twice", {"a": 4}, ADA)
    assert call(tools, "twice", {"a": 4}, approval=approval) == 8
    assert tools.replace("twice", lambda: 7) is made
    assert isinstance(tools["twice"], FunctionTool)
    tools.replace("twice", add)
    assert tools["twice"] is add


def factory_of_a_tool() -> Tool:
    return add


@pytest.mark.parametrize("item", [42, Point, len, factory_of_a_tool])
def test_the_registry_holds_tools_only(item):
    """
    What is no typed function with a schema, and says not to make a tool, is a `ContractError`.
    """
    tools = ToolRegistry()

    with pytest.raises(ContractError):
        tools.register("x", item)
    assert len(tools) == 0


@pytest.mark.parametrize("arguments", [None, [1], "a=1", 7], ids=str)
def test_arguments_are_a_mapping(arguments):
    """
    Arguments that are no JSON object are `InvalidArgumentsError`, to `call` and to `approve`.
    """
    tools = registry(add)

    with pytest.raises(InvalidArgumentsError, match="'add' are a JSON object"):
        asyncio.run(tools.call("add", arguments, ADA))
    with pytest.raises(InvalidArgumentsError, match="a mapping"):
        tools.approve("add", arguments, ADA)


def test_a_tool_in_use_is_leased():
    """
    While a tool runs, its plugin is not closed under it.
    """
    gate, released, tools = threading.Event(), [], ToolRegistry()

    @reading
    def slow() -> None:
        assert gate.wait(10)

    undo = tools.register("slow", slow)

    async def world() -> None:
        calling = asyncio.create_task(tools.call("slow", {}, ADA))
        await _until(lambda: SLOTS.free < 32)
        undo()
        when_released(undo, lambda: released.append(calling.done()))
        assert released == []
        gate.set()
        await calling

    asyncio.run(asyncio.wait_for(world(), 10))
    assert len(released) == 1


# -- approvals ---------------------------------------------------------------------------------------


def test_destructive_calls_need_an_approval():
    """
    Without an approval nothing happens; with one, exactly this call does, once.
    """
    tools = registry(wipe)
    with pytest.raises(ApprovalRequiredError, match="approve"):
        call(tools, "wipe", {"what": "disk"})

    approval = tools.approve("wipe", {"what": "disk"}, ADA)

    assert call(tools, "wipe", {"what": "disk"}, approval=approval) == "wiped disk"
    with pytest.raises(ApprovalRequiredError, match="used, or has expired"):
        call(tools, "wipe", {"what": "disk"}, approval=approval)


@pytest.mark.parametrize("approval", ["yes", True, {"token": "x"}], ids=str)
def test_only_an_approval_is_one(approval):
    """
    Something else in place of an approval approves nothing.
    """
    with pytest.raises(ApprovalRequiredError, match=f"not a {type(approval).__name__}"):
        call(registry(wipe), "wipe", {"what": "disk"}, approval=approval)


def test_an_approval_hides_its_token():
    """
    What is printed of an approval does not allow to forge it.
    """
    approval = registry(wipe).approve("wipe", {"what": "disk"}, ADA)

    assert approval.token not in repr(approval)
    assert approval.expires.tzinfo is UTC
    assert approval.expires - datetime.now(UTC) <= timedelta(minutes=5)


@pytest.mark.parametrize(
    ("name", "arguments", "context", "why"),
    [
        ("wipe", {"what": "other"}, ADA, "arguments differ"),
        ("wipe", {"what": "disk"}, BOB, "another user"),
        ("burn", {"what": "disk"}, ADA, "it is for 'wipe'"),
    ],
    ids=["arguments", "user", "tool"],
)
def test_an_approval_is_for_one_call(name, arguments, context, why):
    """
    An approval is bound to user, tool and arguments; the attempt to stretch it uses it up.
    """
    tools = registry(wipe, tool(name="burn")(wipe.function))
    approval = tools.approve("wipe", {"what": "disk"}, ADA)

    with pytest.raises(ApprovalRequiredError, match=why):
        call(tools, name, arguments, context, approval=approval)
    with pytest.raises(ApprovalRequiredError, match="used"):
        call(tools, "wipe", {"what": "disk"}, approval=approval)


def test_an_approval_dies_with_the_tool():
    """
    After the tool was replaced, an approval for the old one is worth nothing.
    """
    tools = registry(wipe)
    approval = tools.approve("wipe", {"what": "disk"}, ADA)
    tools.replace("wipe", tool(name="wipe")(wipe.function))

    with pytest.raises(ApprovalRequiredError, match="replaced"):
        call(tools, "wipe", {"what": "disk"}, approval=approval)


def test_a_failed_attempt_uses_the_approval_up():
    """
    One attempt is one attempt, even if the tool fails.
    """
    attempts = []

    @tool
    def fail() -> None:
        attempts.append(1)
        raise RuntimeError

    tools = registry(fail)
    approval = tools.approve("fail", {}, ADA)
    for _ in range(2):
        with pytest.raises(ToolError):
            call(tools, "fail", approval=approval)
    assert len(attempts) == 1


def test_approvals_expire(monkeypatch):
    """
    After its time an approval is worth nothing, and is forgotten.
    """
    now = [1000.0]
    monkeypatch.setattr("hotplug.tools._approvals.time.monotonic", lambda: now[0])
    approvals = Approvals()
    request = Request("wipe", wipe, "ada", 1, {"what": "disk"})
    approval = approvals.give(request)

    now[0] += 300
    with pytest.raises(ApprovalRequiredError, match="expired"):
        approvals.use(approval, request)
    approvals.give(request)
    now[0] += 300
    approvals.give(request)

    assert len(approvals._open) == 1


def test_the_order_of_arguments_does_not_matter():
    """
    The same arguments in another order are the same; what is no JSON cannot be approved.
    """
    one = Request("wipe", wipe, "ada", 1, {"a": 1, "b": {"c": 2, "d": 3}})
    other = Request("wipe", wipe, "ada", 1, {"b": {"d": 3, "c": 2}, "a": 1})

    assert one.arguments_hash == other.arguments_hash
    with pytest.raises(InvalidArgumentsError, match="not JSON"):
        registry(wipe).approve("wipe", {"what": object()}, ADA)


# -- export ------------------------------------------------------------------------------------------


def test_openai_export():
    """
    The OpenAI form has name, description and parameters of what is offered to the user.
    """
    tools = registry(add)
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

    plain, record, several, by_name, without = registry(add, point, points, table, silent).export("mcp", ADA)

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
        registry(add).export("soap", ADA)  # type: ignore[arg-type]


# -- helpers -----------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _quiet(caplog):
    caplog.set_level(logging.WARNING, logger="hotplug.tools")


def _join_calls() -> None:
    for thread in threading.enumerate():
        if thread.name == "hotplug call":
            thread.join(10)


async def _until(condition) -> None:
    """Give others their turn until *condition* is true."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0)


# -- generations -------------------------------------------------------------------------------------


def test_a_call_is_of_one_generation():
    """
    A call that began with a tool ends with it, by what was said of it; the next one gets what stands then.
    """
    shelf, tools, gate, loading = Shelf(), ToolRegistry(), threading.Event(), threading.Event()

    def load() -> Tool:
        loading.set()
        assert gate.wait(10)
        return as_tool(reading(whoami_old))

    change = shelf.change()
    old = change.put(tools, "who", load=load, metadata={"offer": True}, generation=1)
    change.publish()

    async def world() -> object:
        calling = asyncio.create_task(tools.call("who", {}, ADA))
        await _until(loading.is_set)
        change = shelf.change()
        change.swap(old, item=whoami, metadata={"offer": False}, generation=2)
        change.publish()
        with pytest.raises(NotOfferedError):
            await tools.call("who", {}, ADA)
        gate.set()
        return await calling

    assert asyncio.run(asyncio.wait_for(world(), 20)) == "old ada"


def whoami_old(context: UserExecutionContext) -> str:
    """Say who asks, as ever."""
    return f"old {context.user_id}"


def test_a_call_holds_its_tool_and_knows_it():
    """
    Inside its call a tool's retirement would wait for itself, and says so; it is over when the call is.
    """
    shelf, tools, over, seen = Shelf(), ToolRegistry(), [], []

    @reading
    def reload() -> None:
        change = shelf.change()
        change.swap(old, item=add)
        change.publish()
        retirement = Retirement([old], lambda: over.append(1))
        seen.append((retirement.begin(), retirement.is_held_here, list(over)))

    change = shelf.change()
    old = change.put(tools, "it", item=reload, metadata={"offer": True})
    other = change.put(tools, "other", item=whoami, metadata={"offer": True})
    change.publish()
    call(tools, "it")

    assert seen == [(False, True, [])]
    assert over == [1]
    assert not Retirement([other], list).is_held_here


def test_an_approval_is_for_one_generation():
    """
    Who said yes to a tool said nothing about the one that took its place.
    """
    shelf, tools = Shelf(), ToolRegistry()
    change = shelf.change()
    old = change.put(tools, "wipe", item=wipe, metadata={"offer": True}, generation=1)
    change.publish()
    approval = tools.approve("wipe", {"what": "disk"}, ADA)
    assert approval.generation == 1
    change = shelf.change()
    change.swap(old, item=wipe, metadata={"offer": True}, generation=2)
    change.publish()

    with pytest.raises(ApprovalRequiredError):
        call(tools, "wipe", {"what": "disk"}, approval=approval)
    assert tools.approve("wipe", {"what": "disk"}, ADA).generation == 2


def test_a_refused_call_holds_nothing():
    """
    A call that is refused, for whatever reason, keeps no tool from its end.
    """
    tools, over = ToolRegistry(), []
    undo = tools.register("wipe", wipe, metadata={"offer": ["bob"]})
    for context, arguments, error in (
        (ADA, {}, NotOfferedError),
        (BOB, "what", InvalidArgumentsError),
        (BOB, {"what": "disk"}, ApprovalRequiredError),
    ):
        with pytest.raises(error):
            call(tools, "wipe", arguments, context)
    assert tools.offered(ADA) == ()
    undo()
    when_released(undo, lambda: over.append(1))
    assert over == [1]
