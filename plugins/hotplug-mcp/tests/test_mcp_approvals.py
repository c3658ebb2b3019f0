"""Approvals that come back in another request: what a client could try with them."""

from __future__ import annotations

import asyncio

import pytest

import hotplug
from hotplug.tools import ToolRegistry, tool
from hotplug_mcp._answers import Question
from hotplug_mcp._asking import can_be_asked
from hotplug_mcp._desk import Desk
from hotplug_mcp._pending import Pending
from hotplug_mcp._server import server_of
from mcp_clients import MAJOR, SOON, talking, text_of

ADA = hotplug.UserExecutionContext("ada")
modern = pytest.mark.skipif(MAJOR == 1, reason="1.x asks in the middle of the call")

done: list[str] = []


@tool
def wipe(what: str) -> str:
    done.append(f"wipe {what}")
    return f"wiped {what}"


@tool
def burn(what: str) -> str:
    done.append(f"burn {what}")
    return f"burnt {what}"


@pytest.fixture(autouse=True)
def _clean():
    done.clear()


def desk_of(user, tools):
    return Desk(tools, user)


def play(story):
    return asyncio.run(asyncio.wait_for(story, SOON))


def try_it(attack, *, user="ada", other="ada"):
    """
    A client is asked about a call of ``wipe`` with ``one``; *attack* says what it does then.

    It is given what calls a tool as that client or another one with an answer, and the state it was given.
    """
    from mcp import types

    tools = ToolRegistry()
    for each in (wipe, burn):
        tools.register(each.name, each, metadata={"offer": True})
    servers = server_of(Desk(tools, user)), server_of(Desk(tools, other))
    yes = {"approval": types.ElicitResult(action="accept", content={"approve": True})}

    async def story():
        async with (
            talking(servers[0], mode="modern", reply=lambda _: None) as one,
            talking(servers[1], mode="modern", reply=lambda _: None) as two,
        ):

            async def call(name="wipe", what="one", *, state, answers=yes, talk=one):
                result = await talk.session.session.call_tool(
                    name,
                    {"what": what},
                    input_responses=answers,
                    request_state=state,
                    allow_input_required=True,
                )
                return text_of(result.model_dump(by_alias=True, mode="json", exclude_unset=True))

            asked = await one.session.session.call_tool("wipe", {"what": "one"}, allow_input_required=True)
            assert asked.result_type == "input_required"
            return await attack(call, asked.request_state, two)

    return play(story())


@modern
def test_a_yes_is_one_call():
    """
    The same answer a second time is worth nothing.
    """

    async def twice(call, state, _other):
        return [await call(state=state), await call(state=state)]

    first, second = try_it(twice)

    assert first == "wiped one"
    assert "nobody waits any more" in second
    assert done == ["wipe one"]


@modern
def test_a_yes_is_for_these_arguments():
    """
    Others are not called, and the answer is used up.
    """

    async def others(call, state, _other):
        return [await call(what="all", state=state), await call(state=state)]

    changed, again = try_it(others)

    assert "the arguments differ" in changed
    assert "nobody waits any more" in again
    assert done == []


@modern
def test_a_yes_is_for_this_tool():
    """
    Another one with the same arguments does not get it.
    """

    async def another(call, state, _other):
        return await call("burn", state=state)

    assert "nobody waits any more" in try_it(another)
    assert done == []


@modern
def test_a_yes_is_for_this_user():
    """
    What one user was asked, another cannot answer.
    """

    async def foreign(call, state, other):
        return await call(state=state, talk=other)

    assert "nobody waits any more" in try_it(foreign, other="bob")
    assert done == []


@modern
@pytest.mark.parametrize("state", ["", "guessed", "x" * 10_000])
def test_a_yes_that_nobody_asked_for(state):
    """
    Is none.
    """

    async def guess(call, _state, _other):
        return await call(state=state)

    assert "nobody waits any more" in try_it(guess)
    assert done == []


@modern
@pytest.mark.parametrize("answers", [None, {}, {"other": "yes"}])
def test_coming_back_without_an_answer(answers):
    """
    Is a no.
    """
    from mcp import types

    said = types.ElicitResult(action="accept", content={"approve": True})
    given = None if answers is None else dict.fromkeys(answers, said)

    async def empty(call, state, _other):
        return await call(state=state, answers=given)

    assert "was not made" in try_it(empty)
    assert done == []


def question():
    tools = ToolRegistry()
    tools.register("wipe", wipe, metadata={"offer": True})
    return Question("wipe", {}, tools.approve("wipe", {}, ADA), "?")


def test_questions_do_not_pile_up():
    """
    The oldest give way; so much memory, and no more, is theirs.
    """
    pending = Pending(most=2)
    states = [pending.keep("wipe", question()) for _ in range(5)]

    assert [pending.take("wipe", state) is None for state in states] == [True, True, True, False, False]


def test_questions_grow_old():
    """
    An answer after their time is worth nothing.
    """
    pending = Pending(lifetime=0)

    assert pending.take("wipe", pending.keep("wipe", question())) is None


@pytest.mark.parametrize(
    ("declared", "can"),
    [
        (None, False),
        ({}, False),
        ({"elicitation": {}}, True),
        ({"elicitation": {"form": {}}}, True),
        ({"elicitation": {"form": {}, "url": {}}}, True),
        ({"elicitation": {"url": {}}}, False),
    ],
)
def test_who_can_be_asked(declared, can):
    """
    Who shows forms, and who said so before there was anything else.
    """
    from mcp import types

    capabilities = None if declared is None else types.ClientCapabilities.model_validate(declared)

    assert can_be_asked(capabilities) is can
