"""Sync tools and time: threads that wait, and threads that never come back."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import threading
from functools import partial

import pytest

from hotplug.errors import (
    Outcome,
    ToolError,
    ToolTimeoutError,
)
from hotplug.tools import Tool, as_tool, tool
from hotplug.tools._slots import SLOTS
from toolbox import ADA, add, call, join_calls, reading, registry, until


@pytest.fixture(autouse=True)
def _quiet(caplog):
    caplog.set_level(logging.WARNING, logger="hotplug.tools")


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
        await until(lambda: seen)
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


def test_a_tool_of_its_own_making_began_with_the_call():
    """
    Nobody knows what it did before it waited.
    """

    class Own(Tool):
        name, timeout = "own", 0.01
        read_only, destructive = False, False

        async def call(self, arguments, context):
            await asyncio.Event().wait()

    with pytest.raises(ToolTimeoutError, match="unknown") as caught:
        call(registry(Own()), "own")
    assert caught.value.outcome is Outcome.UNKNOWN


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
    approved = partial(tools.approve, "stuck", {}, ADA)
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
        asyncio.run(until(lambda: tools.quarantined() == ()))
        assert call(tools, "stuck", approval=approval) == "well"  # the refusal did not use it up
    finally:
        for gate in gates:
            gate.set()
        join_calls()
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
        join_calls()


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
    join_calls()


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
        join_calls()


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
