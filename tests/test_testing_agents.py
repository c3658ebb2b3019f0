"""The suite for agents: a good agent passes it, and each broken promise fails the claim that names it."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from hotplug.agents import BaseAgent
from hotplug.testing import AgentContract
from hotplug.tools import tool


@tool(read_only=True)
def answer() -> int:
    """Know the answer."""
    return 42


class Good(BaseAgent):
    """An agent that asks its tool."""

    name = "good"
    description = "Knows the answer."

    async def run(self, task, run):
        run.emit("CUSTOM", {"task": task})
        return await run.call_tool("answer")


class TestGood(AgentContract):
    """An agent with a tool keeps the promises."""

    def make_agent(self) -> BaseAgent:
        return Good()

    def task(self) -> object:
        return "the question"

    def tools(self):
        return [answer]


class Alone(Good):
    """An agent that needs no tool, and finishes at once."""

    async def run(self, task, run):
        return "done"


class TestAlone(AgentContract):
    """An agent without tools keeps them too."""

    def make_agent(self) -> BaseAgent:
        return Alone()

    def task(self) -> object:
        return None


class NotAsync(Good):
    def run(self, task, run):  # type: ignore[override]
        return 42


class Nameless(Good):
    name = ""


class Silent(Good):
    description = " "


class Raising(Good):
    async def run(self, task, run):
        raise RuntimeError("no")


class Unsayable(Good):
    async def run(self, task, run):
        run.emit("CUSTOM", {"x": object()})
        return object()


class Deaf(Good):
    async def run(self, task, run):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()


def suite(agent: type[BaseAgent]) -> AgentContract:
    class Broken(TestGood):
        __test__ = False

        def make_agent(self) -> BaseAgent:
            return agent()

    return Broken()


@pytest.mark.parametrize(
    ("claim", "agent"),
    [
        ("test_it_is_an_agent", NotAsync),
        ("test_it_introduces_itself", Nameless),
        ("test_it_introduces_itself", Silent),
        ("test_its_events_are_complete", Raising),
        ("test_its_events_are_complete", Unsayable),
        ("test_two_users_at_once_are_two_runs", Raising),
        ("test_it_can_be_cancelled", Deaf),
    ],
)
def test_a_broken_agent_fails_the_claim(claim, agent, monkeypatch):
    """
    An agent that breaks one promise fails the test that makes it.
    """
    monkeypatch.setattr("hotplug._lifecycle.GRACE", 0.05)

    with pytest.raises(AssertionError):
        getattr(suite(agent), claim)()


def test_an_answer_must_be_json():
    """
    An answer that JSON cannot say fails the claim that there is one.
    """
    with pytest.raises(TypeError):
        suite(Unsayable).test_it_answers()


def test_one_agent_for_all_is_noticed():
    """
    A maker that gives the same instance twice shares it between users.
    """
    shared = Good()

    class Sharing(TestGood):
        __test__ = False

        def make_agent(self) -> BaseAgent:
            return shared

    with pytest.raises(AssertionError, match="twice"):
        Sharing().test_instances_are_not_shared()


def test_no_agent_is_noticed():
    """
    What is no `BaseAgent` fails at once.
    """
    with pytest.raises(AssertionError, match="BaseAgent"):
        suite(object).test_it_is_an_agent()  # type: ignore[arg-type]


def test_the_suite_asks_for_what_it_needs():
    """
    Without an agent or a task the suite says what to define.
    """
    with pytest.raises(NotImplementedError, match="make_agent"):
        AgentContract().make_agent()
    with pytest.raises(NotImplementedError, match="task"):
        AgentContract().task()
