"""The protocol over two descriptors, with raw lines: what a client can do to it, and what it cannot."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading

import pytest

import hotplug
from hotplug_mcp import serve_stdio
from hotplug_mcp._stdio import LARGEST
from mcp_clients import SOON

HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
READY = {"jsonrpc": "2.0", "method": "notifications/initialized"}


pytestmark = pytest.mark.usefixtures("no_thread_left")


@pytest.fixture
def host(environment):
    with hotplug.Host(path=environment.path, cache=False) as host:
        yield host


def play(story):
    return asyncio.run(asyncio.wait_for(story, SOON))


def call(number, name, **arguments):
    params = {"name": name, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}


@contextlib.asynccontextmanager
async def served(host, line, **options):
    stop = asyncio.Event()
    serving = asyncio.create_task(
        serve_stdio(host, "ada", stdin=line.stdin, stdout=line.stdout, stop=stop, **options)
    )
    try:
        yield serving, stop
    finally:
        line.to.close()
        await asyncio.wait_for(serving, SOON)


def test_a_client_is_served_until_it_closes_its_end(host, line):
    """
    It is answered; the end of its line is a clean end.
    """
    host.tools.register("add", hotplug.tool(read_only=True)(lambda: "two"))

    async def story():
        async with served(host, line) as (serving, _):
            line.say(HELLO, READY, call(2, "add"))
            answer = await line.answer(2)
            line.to.close()
            await serving
            return answer

    assert play(story())["result"]["content"][0]["text"] == "two"


def test_it_ends_when_it_is_told_to(host, line):
    """
    Though the client stays: reading is not in the way.
    """

    async def story():
        async with served(host, line) as (serving, stop):
            line.say(HELLO)
            await line.answer(1)
            stop.set()
            await serving

    play(story())


def test_a_client_that_talks_on_after_the_end(host, line):
    """
    Nobody goes on reading what it says, though its end of the line stays open.
    """

    def readers():
        return [each for each in threading.enumerate() if each.name == "hotplug mcp stdin"]

    async def story():
        async with served(host, line) as (serving, stop):
            line.say(HELLO)
            await line.answer(1)
            stop.set()
            await serving
            [reader] = readers()
            line.say(HELLO)
            await asyncio.to_thread(reader.join, SOON)
            return readers()

    assert play(story()) == []


def test_calls_under_way_are_let_finish(host, line):
    """
    Told to stop, it answers what it was asked before.
    """
    begun, go = threading.Event(), threading.Event()

    @hotplug.tool(read_only=True)
    def slow() -> str:
        begun.set()
        go.wait(SOON)
        return "done"

    host.tools.register("slow", slow)

    async def story():
        async with served(host, line, grace=SOON) as (serving, stop):
            line.say(HELLO, READY, call(2, "slow"))
            await asyncio.to_thread(begun.wait, SOON)
            stop.set()
            asyncio.get_running_loop().call_soon(go.set)
            answer = await line.answer(2)
            await serving
            return answer

    assert play(story())["result"]["content"][0]["text"] == "done"


def test_nobody_waits_for_ever(host, line):
    """
    A call that does not end has the grace, and no more.
    """
    begun = asyncio.Event()

    @hotplug.tool(read_only=True, timeout=None)
    async def hang() -> str:
        begun.set()
        await asyncio.Event().wait()

    host.tools.register("hang", hang)

    async def story():
        async with served(host, line, grace=0.05) as (serving, stop):
            line.say(HELLO, READY, call(2, "hang"))
            await begun.wait()
            stop.set()
            await serving

    play(story())


def test_a_client_that_leaves_in_the_middle(host, line, caplog):
    """
    It is gone before it is answered: that is its own affair, and no error.
    """
    caplog.set_level("INFO", "hotplug.mcp")

    async def story():
        async with served(host, line) as (serving, _):
            line.back.close()
            line.say(HELLO)
            await serving

    play(story())

    assert "the client left" in caplog.text


@pytest.mark.parametrize(
    "junk",
    [
        b"no json",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"jsonrpc": "2.0", "id": 7, "method": "no/such"}',
        b'{"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {}}',
        b'{"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "add", "arguments": []}}',
        b'{"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 99}}',
        b'{"jsonrpc": "2.0", "id": 99, "result": {}}',
        b"[" * 10_000,
    ],
)
def test_junk_harms_nobody(host, line, junk):
    """
    After it, the next request is answered.
    """
    host.tools.register("add", hotplug.tool(read_only=True)(lambda: "two"))

    async def story():
        async with served(host, line):
            line.say(HELLO, READY, junk, call(8, "add"))
            return await line.answer(8)

    assert play(story())["result"]["content"][0]["text"] == "two"


def test_changes_are_told_without_being_asked_for(host, line, environment):
    """
    What is installed meanwhile comes, what is removed goes, each once.
    """
    code = "import hotplug\n@hotplug.tool(read_only=True)\ndef ping() -> str:\n    return 'pong'\n"

    async def story():
        async with served(host, line):
            listed = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
            line.say(HELLO, READY, listed)
            await line.answer(2)
            environment.install(
                "acme", advertises={"hotplug.tools": {"ping": "acme:ping"}}, files={"acme.py": code}
            )
            await asyncio.to_thread(host.refresh)
            await line.news()
            line.say(call(3, "ping"))
            answer = await line.answer(3)
            environment.uninstall("acme")
            await asyncio.to_thread(host.refresh)
            await line.news()
            line.say(call(4, "ping"))
            return answer, await line.answer(4)

    answer, gone = play(story())

    assert answer["result"]["content"][0]["text"] == "pong"
    assert gone["result"]["isError"]


def test_the_configuration_is_followed(host, line):
    """
    A tool that is offered from now on is news to the client, in the middle of the session.
    """
    host.tools.register("wipe", lambda: "wiped")

    async def story():
        async with served(host, line):
            line.say(HELLO, READY, {"jsonrpc": "2.0", "id": 2, "method": "tools/list"})
            before = await line.answer(2)
            await asyncio.to_thread(host.apply, hotplug.Config.parse('[tools.wipe]\noffer = ["ada"]\n'))
            await line.news()
            line.say({"jsonrpc": "2.0", "id": 3, "method": "tools/list"})
            return before, await line.answer(3)

    before, after = play(story())

    assert before["result"]["tools"] == []
    assert [tool["name"] for tool in after["result"]["tools"]] == ["wipe"]


def test_a_giant_message_harms_nobody(host, line):
    """
    It is not answered, it takes no more memory than any other, and the next one is.
    """
    host.tools.register("add", hotplug.tool(read_only=True)(lambda: "two"))
    giant = json.dumps(call(7, "add", x="y" * LARGEST)).encode()

    async def story():
        async with served(host, line):
            await asyncio.to_thread(line.say, HELLO, READY, giant, call(8, "add"))
            return await line.answer(8)

    assert play(story())["result"]["content"][0]["text"] == "two"
