"""What every agent promises, as tests to inherit."""

from __future__ import annotations

import asyncio
import inspect
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hotplug._lifecycle import close_of
from hotplug._signature import differences
from hotplug.agents import AgentRegistry, BaseAgent
from hotplug.context import UserExecutionContext
from hotplug.errors import PluginError
from hotplug.testing._isolation import class_state, shared_mutables
from hotplug.testing._suite import Suite, claim, claim_type
from hotplug.tools import Tool, ToolRegistry, as_tool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from hotplug.agents import AgentRun
    from hotplug.events import Event

__all__ = ["AgentContract"]

# What AG-UI demands of the payloads of events; an agent's own words (CUSTOM, other types) are free.
_MESSAGE: Final = ("message_id",)
_DELTA: Final = ("message_id", "delta")
REQUIRED: Final[dict[str, tuple[str, ...]]] = {
    "TEXT_MESSAGE_START": _MESSAGE,
    "TEXT_MESSAGE_CONTENT": _DELTA,
    "TEXT_MESSAGE_END": _MESSAGE,
    "STATE_SNAPSHOT": ("snapshot",),
    "STATE_DELTA": ("delta",),
    "MESSAGES_SNAPSHOT": ("messages",),
    "ACTIVITY_SNAPSHOT": ("message_id", "activity_type", "content"),
    "ACTIVITY_DELTA": ("message_id", "activity_type", "patch"),
    "STEP_STARTED": ("step_name",),
    "STEP_FINISHED": ("step_name",),
    "REASONING_START": _MESSAGE,
    "REASONING_MESSAGE_START": _MESSAGE,
    "REASONING_MESSAGE_CONTENT": _DELTA,
    "REASONING_MESSAGE_END": _MESSAGE,
    "REASONING_END": _MESSAGE,
}
MOST_CUTS: Final = 12  # places in a run at which it is cancelled
SILENCE: Final = 0.5  # seconds without an event after which it is cancelled all the same

ADA: Final = UserExecutionContext("ada")
BOB: Final = UserExecutionContext("bob")


class AgentContract(Suite):
    """
    The promises of `BaseAgent`. Subclass it, and say how to make the agent and what to ask it:

        class TestAnalyst(AgentContract):
            def make_agent(self) -> Analyst:
                return Analyst()

            def task(self) -> object:
                return "AAPL"

            def tools(self) -> list[Tool]:
                return [list_symbols, last_price, history]
    """

    def make_agent(self) -> BaseAgent:
        """A new agent."""
        raise NotImplementedError(f"{type(self).__name__} must define make_agent()")

    def task(self) -> object:
        """A task that it can do."""
        raise NotImplementedError(f"{type(self).__name__} must define task()")

    def tools(self) -> Iterable[Tool | Callable[..., object]]:
        """The tools that it needs; they are offered to every user."""
        return ()

    def shared(self) -> Iterable[object]:
        """What all agents are meant to share, such as a client that you give each of them."""
        return ()

    def registry(
        self,
        tools: Iterable[Tool | Callable[..., object]] | None = None,
        *,
        make: Callable[[], BaseAgent] | None = None,
    ) -> AgentRegistry:
        """A registry with the agent (or what *make* makes) under ``agent``, and its tools."""
        maker = make or self.make_agent
        callable_tools = ToolRegistry()
        for thing in self.tools() if tools is None else tools:
            tool = as_tool(thing)
            callable_tools.register(tool.name, tool, metadata={"offer": True})
        agents = AgentRegistry()
        agents.bind(events=agents.events, tools=callable_tools)
        agents.register_factory("agent", lambda _: maker())
        return agents

    async def events_of(self, agents: AgentRegistry, user: UserExecutionContext) -> list[Event]:
        """All events of one run."""
        return [event async for event in agents.stream("agent", self.task(), user)]

    def test_it_is_an_agent(self) -> None:
        """The agent is a `BaseAgent`, and can be run as the contract runs it."""
        agent = self.make_agent()
        claim_type(agent, BaseAgent, "an agent")
        found = differences(agent, BaseAgent)
        claim(not found, "it differs from BaseAgent:\n  " + "\n  ".join(found))

    def test_it_introduces_itself(self) -> None:
        """The agent has a name and a description."""
        agent = self.make_agent()
        claim(agent.name.strip(), "it has no name")
        claim(agent.description.strip(), "it has no description")

    def test_instances_are_not_shared(self) -> None:
        """Each making makes another one: an agent belongs to one user."""
        claim(self.make_agent() is not self.make_agent(), "make_agent() gave the same agent twice")

    def test_users_share_nothing(self) -> None:
        """After their runs two users' agents share no object that can change, and left none on the class."""
        agents = self.make_agent(), self.make_agent()
        before = class_state(type(agents[0]))
        for agent, user in zip(agents, (ADA, BOB), strict=True):
            self.run(self.registry(make=partial(_Unclosed, agent)).run("agent", self.task(), user))
        found = shared_mutables(*agents, meant=self.shared())
        claim(not found, "these are shared (say so in shared() if they shall be):\n  " + "\n  ".join(found))
        after = class_state(type(agents[0]))
        changed = [name for name, value in after.items() if before.get(name) != value]
        claim(not changed, f"a run changed what all users share: {', '.join(changed)}")

    def test_it_answers(self) -> None:
        """The task has an answer that JSON can say."""
        answer = self.run(self.registry().run("agent", self.task(), ADA))
        msgspec.to_builtins(answer, str_keys=True)

    def test_its_events_are_complete(self) -> None:
        """A run begins with RUN_STARTED, ends with RUN_FINISHED, and each tool call has its result."""
        events = self.run(self.events_of(self.registry(), ADA))
        types = [event.type for event in events]
        claim(types[0] == "RUN_STARTED", f"the first event is {types[0]}")
        claim(types[-1] == "RUN_FINISHED", f"the last event is {types[-1]}: {dict(events[-1].payload)}")
        claim(
            _calls(events, "TOOL_CALL_START") == _calls(events, "TOOL_CALL_RESULT"),
            "a tool call has no result",
        )
        claim("ERROR" not in types, "it emitted a payload that JSON cannot say")
        for event in events:
            missing = [name for name in REQUIRED.get(event.type, ()) if not _says(event, name)]
            claim(not missing, f"AG-UI's {event.type} has {' and '.join(missing)} in its payload")

    def test_it_answers_again(self) -> None:
        """One agent (a session's) does its task again, on another event loop, and can be closed twice."""
        agent = self.make_agent()
        for _ in range(2):
            self.run(self.registry(make=lambda: _Unclosed(agent)).run("agent", self.task(), ADA))
        for _ in range(2):
            self.run(closed(agent))

    def test_it_leaves_nothing_behind(self) -> None:
        """When the run is over, no task of the agent's goes on, and no thread keeps the process alive."""
        before = set(threading.enumerate())

        async def run() -> set[asyncio.Task[Any]]:
            await self.registry().run("agent", self.task(), ADA)
            return asyncio.all_tasks() - {asyncio.current_task()}

        tasks = [task.get_name() for task in self.run(run())]
        claim(not tasks, f"these tasks go on: {', '.join(tasks)}")
        left = [each.name for each in threading.enumerate() if each not in before and not each.daemon]
        claim(not left, f"these threads go on: {', '.join(left)}")

    def test_two_users_at_once_are_two_runs(self) -> None:
        """Runs of two users at the same time both finish, and no event is the other's."""

        async def both() -> list[list[Event]]:
            agents = self.registry()
            return list(await asyncio.gather(self.events_of(agents, ADA), self.events_of(agents, BOB)))

        for user, events in zip((ADA, BOB), self.run(both()), strict=True):
            claim(events[-1].type == "RUN_FINISHED", f"{user.user_id}'s run ended with {events[-1].type}")
            others = {event.user_id for event in events} - {user.user_id}
            claim(not others, f"{user.user_id} saw events of {others}")

    def test_without_tools_it_fails_well(self) -> None:
        """Where its tools are missing, the run ends with an error that hotplug understands."""
        if not list(self.tools()):
            return
        events = self.run(self.events_of(self.registry(tools=()), ADA))
        claim(events[-1].type in {"RUN_ERROR", "RUN_FINISHED"}, f"the last event is {events[-1].type}")

    def test_it_can_be_cancelled(self) -> None:
        """A run that is cancelled ends soon, with RUN_ERROR (or had finished), wherever it was."""
        self.run(self._cancelled_everywhere())

    async def _cancelled_everywhere(self) -> None:
        events, is_last = 0, False
        while events < MOST_CUTS and not is_last:
            events += 1
            last, is_last = await self._cancelled(events)
            claim(last.type in {"RUN_ERROR", "RUN_FINISHED"}, f"the last event is {last.type}")

    async def _cancelled(self, events: int) -> tuple[Event, bool]:
        """
        The last event of a run that was cancelled after so many events, or in the midst of a silence.

        And whether there is no later moment at which it could be.
        """
        agents = self.registry()
        with agents.events.open(ADA) as cursor:
            work = asyncio.create_task(agents.run("agent", self.task(), ADA))
            told, is_last = [await anext(cursor)], False
            while not (is_last or len(told) == events):
                try:
                    async with asyncio.timeout(SILENCE):
                        told.append(await anext(cursor))
                except TimeoutError:
                    is_last = True
                is_last = is_last or told[-1].type in {"RUN_ERROR", "RUN_FINISHED"}
            agents.cancel(told[0].run_id or "")
            try:
                await work
            except PluginError as error:
                claim("still goes on" not in str(error), "it ignores its cancellation")
            return [*told, *cursor.poll(10_000)][-1], is_last


class _Unclosed(BaseAgent):
    """An agent that is not closed with its run: what it holds by then is looked at."""

    def __init__(self, agent: BaseAgent) -> None:
        self._agent = agent

    async def run(self, task: object, run: AgentRun) -> object:
        return await self._agent.run(task, run)


async def closed(agent: BaseAgent) -> None:
    """Close *agent*, if it has a way to."""
    close = close_of(agent)
    if close is not None:
        closing = close()
        if inspect.isawaitable(closing):
            await closing


def _says(event: Event, name: str) -> bool:
    first, *rest = name.split("_")
    return name in event.payload or first + "".join(map(str.capitalize, rest)) in event.payload


def _calls(events: Sequence[Event], type_: str) -> list[str]:
    return sorted(event.payload["tool_call_id"] for event in events if event.type == type_)
