"""Many users at once with the same agent: each has an own one, own events, and nothing in common."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import hotplug
import thorough
from agui import as_agui
from hotplug import UserExecutionContext
from hotplug.agents import BaseAgent
from hotplug.testing._isolation import shared_mutables
from hotplug.tools import tool

THREADS = 8


@tool(read_only=True)
async def echo(text: str) -> str:
    """Say it again."""
    await asyncio.sleep(0)
    return text


class Chatty(BaseAgent):
    """It remembers all that it did, and for whom."""

    name = "chatty"
    description = "Talks."

    def __init__(self) -> None:
        self.memory = {"said": [], "heard": []}

    async def run(self, task, run):
        user = run.context.user_id
        for n in range(task):
            self.memory["said"].append((user, n))
            run.emit("CUSTOM", {"name": "said", "value": {"user": user, "n": n}})
            self.memory["heard"].append(await run.call_tool("echo", text=f"{user} {n}"))
        return len(self.memory["said"])


@pytest.mark.usefixtures("eager_threads", "nothing_left")
def test_many_users_have_nothing_in_common():
    """
    With eight loops in eight threads and forced switches, two users reach nothing in common that can change.

    Each hears of his own runs only, complete and in order, and his agent has seen nobody else.
    """
    users = [UserExecutionContext(f"user-{n}") for n in range(100 if thorough.in_full else 24)]
    together = threading.Barrier(THREADS)

    def serve(mine) -> list[object]:
        together.wait(20)

        async def all_at_once():
            return await asyncio.gather(*(host.agents.run("chatty", 5, user) for user in mine for _ in "ab"))

        return asyncio.run(all_at_once())

    with hotplug.Host(path=[], cache=False) as host, contextlib.ExitStack() as stack:
        host.tools.register("echo", echo, metadata={"offer": True})
        host.agents.register_factory("chatty", lambda _: Chatty())
        sessions = [stack.enter_context(host.session(user)) for user in users]
        cursors = [stack.enter_context(host.events.open(user)) for user in users]
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(serve, [users[n::THREADS] for n in range(THREADS)]))
        agents = [session.agents.get("chatty") for session in sessions]
        told = [cursor.poll(10_000) for cursor in cursors]

    assert len({id(agent) for agent in agents}) == len(users)
    assert shared_mutables(*agents) == []
    for user, agent, events in zip(users, agents, told, strict=True):
        assert {name for name, _ in agent.memory["said"]} == {user.user_id}
        assert {text.split()[0] for text in agent.memory["heard"]} == {user.user_id}
        assert {event.user_id for event in events} == {user.user_id}
        as_agui(events)
        runs = {}
        for event in events:
            runs.setdefault(event.run_id, []).append(event)
        assert len(runs) == 2
        for run in runs.values():
            assert [run[0].type, run[-1].type] == ["RUN_STARTED", "RUN_FINISHED"]
            assert len(run) == 2 + 5 * 5
            assert [e.payload["value"]["n"] for e in run if e.type == "CUSTOM"] == list(range(5))


def test_an_agent_that_shares_is_found():
    """
    The look for what users share is no empty one: a memory on the class, or a common one, is found.
    """
    common: list[object] = []

    class Careless(Chatty):
        def __init__(self) -> None:
            self.memory = {"said": common, "heard": []}

    assert shared_mutables(*(Careless() for _ in range(3))) == ["Careless → .memory dict → ['said'] list"]
