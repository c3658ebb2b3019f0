"""The suite for agents: a good agent passes it, and each broken promise fails the claim that names it."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest
from ag_ui import core

from hotplug.agents import BaseAgent
from hotplug.errors import PluginError
from hotplug.testing import AgentContract
from hotplug.testing._agents import REQUIRED
from hotplug.tools import tool

gate = threading.Event()


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


class Talkative(Good):
    """It talks more than anybody wants to hear."""

    async def run(self, task, run):
        for n in range(20):
            run.emit("CUSTOM", {"n": n})
            await asyncio.sleep(0)

    def close(self) -> None:
        """It can be closed without a loop."""


class TestTalkative(AgentContract):
    """An agent that says a lot keeps the promises, too."""

    def make_agent(self) -> BaseAgent:
        return Talkative()

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


CACHE: dict[str, object] = {}


class Remembering(Good):
    """It keeps something of its users where all of them can reach it."""

    seen: list[object] = []  # noqa: RUF012 - that is what is wrong with it

    async def run(self, task, run):
        self.seen.append(run.context.user_id)


class Pooling(Good):
    """Its instances have an object in common."""

    def __init__(self) -> None:
        self._cache = CACHE


class Wordless(Good):
    """Its message has no text."""

    async def run(self, task, run):
        run.emit("TEXT_MESSAGE_CONTENT", {"messageId": "1"})


class Once(Good):
    """It works once."""

    def __init__(self) -> None:
        self._left = [42]

    async def run(self, task, run):
        return self._left.pop()


class Jammed(Good):
    """It can be closed once."""

    async def aclose(self) -> None:
        if self.name == "closed":
            raise RuntimeError("closed already")
        self.name = "closed"


class Rooted(Good):
    """It belongs to the loop that it first ran on."""

    def __init__(self) -> None:
        self._lock: asyncio.Lock | None = None

    async def run(self, task, run):
        self._lock = self._lock or asyncio.Lock()
        async with self._lock:
            waiting = asyncio.create_task(self._lock.acquire())
            await asyncio.sleep(0)
        await waiting
        self._lock.release()


class Leaving(Good):
    """It leaves a task behind."""

    async def run(self, task, run):
        self._task = asyncio.create_task(asyncio.Event().wait(), name="left over")


class Threading(Good):
    """It leaves a thread behind."""

    async def run(self, task, run):
        threading.Thread(target=gate.wait, args=(20,), name="left over").start()


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
        ("test_its_events_are_complete", Wordless),
        ("test_it_can_be_cancelled", Deaf),
        ("test_users_share_nothing", Remembering),
        ("test_users_share_nothing", Pooling),
        ("test_it_leaves_nothing_behind", Leaving),
        ("test_it_leaves_nothing_behind", Threading),
    ],
)
def test_a_broken_agent_fails_the_claim(claim, agent, monkeypatch):
    """
    An agent that breaks one promise fails the test that makes it.
    """
    gate.clear()
    monkeypatch.setattr("hotplug._lifecycle.GRACE", 0.05)
    monkeypatch.setattr("hotplug.testing._agents.SILENCE", 0.05)
    try:
        with pytest.raises(AssertionError):
            getattr(suite(agent), claim)()
    finally:
        gate.set()


@pytest.mark.parametrize("agent", [Once, Jammed, Rooted])
def test_an_agent_for_one_run_only_is_noticed(agent):
    """
    A session's agent runs again, on whatever loop comes along, and may be closed twice: else the suite fails.
    """
    with pytest.raises((PluginError, RuntimeError)):
        suite(agent).test_it_answers_again()


def test_what_is_meant_to_be_shared_may_be():
    """
    What the author says is shared, a client for instance, is no finding.
    """

    class Open(TestGood):
        __test__ = False

        def make_agent(self) -> BaseAgent:
            return Pooling()

        def shared(self):
            return [CACHE]

    Open().test_users_share_nothing()


def test_the_suite_demands_what_ag_ui_does():
    """
    The fields that the suite asks for are those that the models of AG-UI's own package require.
    """
    required = {
        str(model.model_fields["type"].default.value): tuple(
            name for name, field in model.model_fields.items() if field.is_required() and name != "type"
        )
        for model in vars(core).values()
        if isinstance(model, type) and issubclass(model, core.BaseEvent) and model is not core.BaseEvent
    }

    assert {name: required[name] for name in REQUIRED} == REQUIRED


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
