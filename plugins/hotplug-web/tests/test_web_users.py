"""A hundred users of one agent, connected to a real server: some of them lose their connection."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from websockets.asyncio.client import connect

from hotplug import UserExecutionContext
from hotplug.testing._isolation import shared_mutables
from hotplug.tools import tool
from hotplug_web import Principal, TokenAuthenticator

USERS, RUNS, WORDS, THREADS = 100, 2, 30, 8
BEFORE_THE_PAUSE = 14  # RUN_STARTED, ten words, TOOL_CALL_START, _ARGS and _END
AGENT = """
import asyncio

from hotplug.agents import BaseAgent


class Chatty(BaseAgent):
    name = "chatty"
    description = "Talks."

    def __init__(self):
        self.said = []

    async def run(self, task, run):
        for n in range(task):
            self.said.append((run.context.user_id, n))
            run.emit("CUSTOM", {"name": "said", "value": {"user": run.context.user_id, "n": n}})
            await asyncio.sleep(0)
            if n % 10 == 9:
                await run.call_tool("pause")
        return len(self.said)
"""


@pytest.fixture
def eager_threads():
    """Threads take turns all the time."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


class Listener:
    """A user's client, whose socket is cut off at the given places; *was_cut* is told each time."""

    def __init__(self, port, user, cuts, was_cut) -> None:
        self.user, self.cuts, self.frames, self.connections = user, list(cuts), [], 0
        self._was_cut = was_cut
        self._address = f"ws://127.0.0.1:{port}/ws?after="

    async def listen(self) -> None:
        """Read until the last run is over, coming back with the last cursor seen as often as it takes."""
        while not await self._connected():
            pass

    async def _connected(self) -> bool:
        after = self.frames[-1]["cursor"] if self.frames else "start"
        pair = ["bearer", f"token-of-{self.user}"]
        self.connections += 1
        async with connect(self._address + after, subprotocols=pair, compression=None) as client:
            async for text in client:
                frame = json.loads(text)
                if "cursor" not in frame:
                    continue
                self.frames.append(frame)
                if self.cuts and len(self.frames) >= self.cuts[0]:
                    del self.cuts[0]
                    client.transport.abort()
                    self._was_cut(self.user)
                    return False
                if [each["type"] for each in self.frames].count("RUN_FINISHED") == RUNS:
                    return True
        raise AssertionError(f"{self.user} was closed out after {len(self.frames)} events")


@pytest.mark.real_services
@pytest.mark.usefixtures("eager_threads")
def test_a_hundred_users_hear_each_of_their_own_and_nothing_twice(site, environment):
    """
    Each hears all events of his own runs, once and in order, though every third is cut off in between.
    """
    environment.install(
        "acme-chatty",
        "1.0",
        advertises={"hotplug.agents": {"chatty": "acme_chatty:Chatty"}},
        files={"acme_chatty.py": AGENT},
    )
    names = [f"user-{n}" for n in range(USERS)]
    known = TokenAuthenticator({f"token-of-{name}": Principal(name) for name in names})
    served = site(authenticate=known)
    unlucky, chance, all_cut = set(names[::3]), random.Random(5), threading.Event()
    left = set(unlucky)

    def was_cut(name) -> None:
        left.discard(name)
        if not left:
            all_cut.set()

    @tool(read_only=True)
    async def pause() -> None:
        # Every run goes on when all who shall lose their connection in the midst of it have done so.
        await asyncio.to_thread(all_cut.wait, 30)

    def cuts_of(name):
        later = chance.sample(range(BEFORE_THE_PAUSE + 1, RUNS * WORDS), 2)
        return sorted([chance.randint(1, BEFORE_THE_PAUSE), *later]) if name in unlucky else ()

    served.host.tools.register("pause", pause, metadata={"offer": True})
    listeners = [Listener(served.port, name, cuts_of(name), was_cut) for name in names]
    contexts = {name: UserExecutionContext(name) for name in names}

    def work(mine) -> None:
        async def all_at_once() -> None:
            await asyncio.gather(*(served.host.agents.run("chatty", WORDS, contexts[name]) for name in mine))

        for _ in range(RUNS):
            asyncio.run(all_at_once())

    async def listen() -> None:
        async with asyncio.timeout(60):
            await asyncio.gather(*(listener.listen() for listener in listeners))

    with contextlib.ExitStack() as stack:
        sessions = [stack.enter_context(served.host.session(contexts[name])) for name in names]
        truths = [stack.enter_context(served.host.events.open(contexts[name])) for name in names]
        hearing = threading.Thread(target=lambda: asyncio.run(listen()))
        hearing.start()
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(work, [names[n::THREADS] for n in range(THREADS)]))
        hearing.join(70)
        agents = [session.agents.get("chatty") for session in sessions]
        told = [truth.poll(10_000) for truth in truths]

    assert all_cut.is_set()
    assert shared_mutables(*agents) == []
    for listener, agent, events in zip(listeners, agents, told, strict=True):
        assert [frame["cursor"] for frame in listener.frames] == [event.cursor for event in events]
        assert [frame["payload"] for frame in listener.frames] == [event.payload for event in events]
        assert {frame["user_id"] for frame in listener.frames} == {listener.user}
        assert {name for name, _ in agent.said} == {listener.user}
    assert [listener.connections for listener in listeners] == [4 if n % 3 == 0 else 1 for n in range(USERS)]
