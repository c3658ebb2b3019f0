"""Calls of tools: who may, in which generation, and what gets out when one misbehaves."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from hotplug.context import UserExecutionContext
from hotplug.errors import (
    ApprovalRequiredError,
    ContractError,
    InvalidArgumentsError,
    NotOfferedError,
    NotRegisteredError,
    ToolError,
)
from hotplug.registry import Retirement, Shelf, when_released
from hotplug.tools import FunctionTool, Tool, ToolRegistry, as_tool, tool
from hotplug.tools._slots import SLOTS
from toolbox import ADA, BOB, Point, add, call, reading, registry, until, whoami, wipe


@pytest.fixture(autouse=True)
def _quiet(caplog):
    caplog.set_level(logging.WARNING, logger="hotplug.tools")


# -- the wall ---------------------------------------------------------------------------------------


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
        await until(lambda: ended)
        calling.cancel()
        await asyncio.wait({calling})
        return calling.cancelled()

    assert asyncio.run(asyncio.wait_for(world(), 10))
    assert ended == ["began", "cancelled"]


# -- who may call -----------------------------------------------------------------------------------


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
        await until(lambda: SLOTS.free < 64)
        undo()
        when_released(undo, lambda: released.append(calling.done()))
        assert released == []
        gate.set()
        await calling

    asyncio.run(asyncio.wait_for(world(), 10))
    assert len(released) == 1


# -- generations ------------------------------------------------------------------------------------


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
        await until(loading.is_set)
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
