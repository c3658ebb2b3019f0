"""What every agent promises, as tests to inherit."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hotplug._signature import differences
from hotplug.agents import AgentRegistry, BaseAgent
from hotplug.context import UserExecutionContext
from hotplug.errors import PluginError
from hotplug.testing._suite import Suite, claim, claim_type
from hotplug.tools import Tool, ToolRegistry, as_tool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from hotplug.events import Event

__all__ = ["AgentContract"]

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

    def registry(self, tools: Iterable[Tool | Callable[..., object]] | None = None) -> AgentRegistry:
        """A registry with the agent under ``agent``, and its tools."""
        callable_tools = ToolRegistry()
        for thing in self.tools() if tools is None else tools:
            tool = as_tool(thing)
            callable_tools.register(tool.name, tool, metadata={"offer": True})
        agents = AgentRegistry()
        agents.bind(events=agents.events, tools=callable_tools)
        agents.register_factory("agent", lambda _: self.make_agent())
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
        """A run that is cancelled at once ends soon, with RUN_ERROR (or had finished before)."""
        last = self.run(self._cancelled())
        claim(last.type in {"RUN_ERROR", "RUN_FINISHED"}, f"the last event is {last.type}")

    async def _cancelled(self) -> Any:
        agents = self.registry()
        with agents.events.open(ADA) as cursor:
            work = asyncio.create_task(agents.run("agent", self.task(), ADA))
            started = await anext(cursor)
            claim(agents.cancel(started.run_id or ""), "the run cannot be cancelled")
            try:
                await work
            except PluginError as error:
                claim("still goes on" not in str(error), "it ignores its cancellation")
            return cursor.poll(10_000)[-1]


def _calls(events: Sequence[Event], type_: str) -> list[str]:
    return sorted(event.payload["tool_call_id"] for event in events if event.type == type_)
