"""Approvals: a yes to exactly one call."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from hotplug.errors import (
    ApprovalRequiredError,
    InvalidArgumentsError,
    ToolError,
)
from hotplug.tools import Tool, ToolRegistry, tool
from hotplug.tools._approvals import Approvals, Request
from toolbox import ADA, BOB, call, registry, until, wipe


class Heard(Tool):
    """Says what it was told."""

    name = "heard"
    description = "Say what it was told."

    async def call(self, arguments, context):
        return arguments


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
    request = Request("wipe", wipe, "ada", 1, '{"what": "disk"}')
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
    The same arguments in another order, or before they were made JSON, are the same.
    """
    one = {"a": 1, "b": {"c": 2, "d": [date(2026, 1, 2), Decimal("1.0"), Path("x")]}}
    other = {"b": {"d": ("2026-01-02", "1.0", "x"), "c": 2}, "a": 1}
    tools = registry(Heard())

    approval = tools.approve("heard", one, ADA)

    assert call(tools, "heard", other, approval=approval) == {
        "a": 1,
        "b": {"c": 2, "d": ["2026-01-02", "1.0", "x"]},
    }


@pytest.mark.parametrize(
    ("approved", "called"),
    [
        ({"a": 1}, {"a": 1.0}),
        ({"a": 1}, {"a": True}),
        ({"a": 0}, {}),
        ({"a": "1"}, {"a": 1}),
        ({"a": None}, {}),
    ],
    ids=str,
)
def test_what_looks_alike_is_not_the_same(approved, called):
    """
    Numbers, texts and absence are told apart.
    """
    tools = registry(Heard())
    approval = tools.approve("heard", approved, ADA)

    with pytest.raises(ApprovalRequiredError, match="arguments differ"):
        call(tools, "heard", called, approval=approval)


def nested(depth: int) -> dict[str, object]:
    made: dict[str, object] = {}
    for _ in range(depth):
        made = {"a": made}
    return made


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"a": object()}, "not JSON"),
        ({"a": math.nan}, "not JSON"),
        ({"a": [-math.inf]}, "not JSON"),
        (nested(100_000), "nested too deeply"),
        ([("a", 1)], "a list"),
    ],
    ids=["object", "nan", "infinity", "depth", "list"],
)
def test_what_is_no_json_is_neither_approved_nor_called(arguments, why):
    """
    JSON has no infinity, and a stack has an end.
    """
    tools = registry(Heard())
    with pytest.raises(InvalidArgumentsError, match=why):
        tools.approve("heard", arguments, ADA)
    with pytest.raises(InvalidArgumentsError, match=why):
        call(tools, "heard", arguments)


class Shifty(Mapping[str, str]):
    """Says something else each time it is asked."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)

    def __getitem__(self, key: str) -> str:
        return self.answers.pop(0)

    def __iter__(self):
        return iter(["what"])

    def __len__(self) -> int:
        return 1


def test_what_was_approved_is_what_is_called():
    """
    A mapping that changes its mind, and one that is changed after the call began, change nothing.
    """
    tools = registry(Heard())
    approval = tools.approve("heard", {"what": "mine"}, ADA)
    assert call(tools, "heard", Shifty("mine", "yours"), approval=approval) == {"what": "mine"}

    arguments = {"what": ["mine"]}
    approval = tools.approve("heard", arguments, ADA)

    async def world() -> object:
        calling = asyncio.create_task(tools.call("heard", arguments, ADA, approval=approval))
        await until(lambda: tools._approvals._open == {})
        arguments["what"].append("yours")
        return await calling

    assert asyncio.run(world()) == {"what": ["mine"]}


def test_of_all_who_race_with_one_approval_one_wins(eager_threads):
    """
    A hundred calls at once with it, from as many threads: the tool is called once.
    """
    tools, called = ToolRegistry(), []

    @tool(run_in_thread=False)
    def once() -> None:
        called.append(1)

    tools.register("once", once, metadata={"offer": True})
    approval = tools.approve("once", {}, ADA)
    start = threading.Barrier(100)
    lost = []

    def race() -> None:
        start.wait(10)
        try:
            call(tools, "once", approval=approval)
        except ApprovalRequiredError as error:
            lost.append(str(error))

    threads = [threading.Thread(target=race) for _ in range(100)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(20)
    assert len(called) == 1
    assert len(lost) == 99
    assert all("was used" in each for each in lost)
