"""Tools that are replaced by their next generation while a client is in the middle of something."""

from __future__ import annotations

import asyncio
import sys
import threading
from types import SimpleNamespace

import pytest

import hotplug
from hotplug_mcp._desk import Desk
from hotplug_mcp._following import following
from hotplug_mcp._server import server_of
from mcp_clients import MODES, SOON, YES, talking, text_of
from mcp_desks import play

pytestmark = pytest.mark.parametrize("mode", MODES)

FIRST = """\
import dataclasses
import gates
import hotplug

@dataclasses.dataclass
class Answer:
    said: str

@hotplug.tool(read_only=True)
def ask(word: str) -> Answer:
    "Answer as the first."
    gates.begun.set()
    gates.go.wait(20)
    return Answer("first " + word)

@hotplug.tool
def wipe(what: str) -> str:
    gates.wiped.append("first " + what)
    return "wiped by the first"
"""
THIRD = FIRST.replace("first", "third")
SECOND = """\
import gates
import hotplug

@hotplug.tool(read_only=True)
def ask(word: str, loud: bool = False) -> str:
    "Answer as the second."
    return "second " + word

@hotplug.tool
def wipe(what: str) -> str:
    gates.wiped.append("second " + what)
    return "wiped by the second"
"""
BROKEN = "import gates\nthis is no Python\n"


@pytest.fixture
def gates(monkeypatch):
    gates = SimpleNamespace(begun=threading.Event(), go=threading.Event(), wiped=[])
    monkeypatch.setitem(sys.modules, "gates", gates)
    yield gates
    gates.go.set()


@pytest.fixture
def host(environment, gates):
    """One that runs the first generation, and offers all of it to ada."""
    install(environment, FIRST)
    config = hotplug.Config.parse('[tools.ask]\noffer = ["ada"]\n[tools.wipe]\noffer = ["ada"]\n')
    with hotplug.Host(config, path=environment.path, cache=False) as host:
        yield host


def install(environment, code):
    advertises = {"hotplug.tools": {"ask": "acme:ask", "wipe": "acme:wipe"}}
    environment.install("acme", advertises=advertises, files={"acme.py": code})


def test_a_call_ends_in_the_generation_in_which_it_began(host, environment, gates, mode):
    """
    Its answer is there, though the client knows only the next one's form; the next call is of that one.
    """
    desk = Desk(host.tools, "ada")

    async def story():
        async with following(host, lambda: (desk,)), talking(server_of(desk), mode=mode) as talk:
            assert (await talk.tools())["ask"]["description"] == "Answer as the first."
            calling = asyncio.create_task(talk.call("ask", word="a"))
            await asyncio.to_thread(gates.begun.wait, SOON)
            install(environment, SECOND)
            reloading = asyncio.create_task(asyncio.to_thread(host.reload, "acme"))
            await talk.told()
            listed = (await talk.tools())["ask"]
            after = await talk.call("ask", word="b", loud=True)
            assert not calling.done()
            gates.go.set()
            return await calling, await reloading, listed, after

    before, changes, listed, after = play(story())

    assert text_of(before).endswith('it ended well, and answered: {"said":"first a"}')
    assert "tools/ask" in changes.changed
    assert listed["description"] == "Answer as the second."
    assert "loud" in listed["inputSchema"]["properties"]
    assert text_of(after) == "second b"


def test_an_answer_of_the_same_form_is_an_answer_as_any(host, environment, gates, mode):
    """
    Where the next generation promises the same, nobody sees that it came in the middle of a call.
    """
    desk = Desk(host.tools, "ada")

    async def story():
        async with following(host, lambda: (desk,)), talking(server_of(desk), mode=mode) as talk:
            await talk.tools()
            calling = asyncio.create_task(talk.call("ask", word="a"))
            await asyncio.to_thread(gates.begun.wait, SOON)
            install(environment, THIRD)
            reloading = asyncio.create_task(asyncio.to_thread(host.reload, "acme"))
            await talk.told()
            await talk.tools()
            gates.go.set()
            await reloading
            return await calling, await talk.call("ask", word="b")

    before, after = play(story())

    assert before["structuredContent"] == {"said": "first a"}
    assert after["structuredContent"] == {"said": "third b"}


def test_a_call_of_what_is_removed_meanwhile_is_answered(host, environment, gates, mode):
    """
    In the form that it promised; the tool is not listed any more.
    """
    desk = Desk(host.tools, "ada")

    async def story():
        async with following(host, lambda: (desk,)), talking(server_of(desk), mode=mode) as talk:
            await talk.tools()
            calling = asyncio.create_task(talk.call("ask", word="a"))
            await asyncio.to_thread(gates.begun.wait, SOON)
            environment.uninstall("acme")
            removing = asyncio.create_task(asyncio.to_thread(host.refresh))
            await talk.told()
            listed = list(await talk.tools())
            gates.go.set()
            await removing
            return listed, await calling

    listed, answer = play(story())

    assert listed == []
    assert answer["structuredContent"] == {"said": "first a"}


def test_a_yes_to_the_old_one_is_none_to_the_next(host, environment, gates, mode):
    """
    Though name, schema and arguments are the same: nothing is done, and a new question is asked next time.
    """
    desk, asked = Desk(host.tools, "ada"), []

    async def reply(message):
        asked.append(message)
        if len(asked) == 1:
            install(environment, SECOND)
            await asyncio.to_thread(host.reload, "acme")
        return YES

    async def story():
        async with talking(server_of(desk), mode=mode, reply=reply) as talk:
            refused = await talk.call("wipe", what="disk")
            assert gates.wiped == []
            return refused, await talk.call("wipe", what="disk")

    refused, done = play(story())

    assert refused["isError"]
    assert "the tool was replaced since" in text_of(refused)
    assert text_of(done) == "wiped by the second"
    assert gates.wiped == ["second disk"]
    assert len(asked) == 2


def test_a_next_one_that_is_broken_changes_nothing(host, environment, gates, mode):
    """
    The old one goes on, a yes to it holds, and no client is told of anything.
    """
    desk = Desk(host.tools, "ada")

    async def reply(_message):
        install(environment, BROKEN)
        changes = await asyncio.to_thread(host.reload, "acme")
        assert changes.failed
        return YES

    async def story():
        async with (
            following(host, lambda: (desk,)),
            talking(server_of(desk), mode=mode, reply=reply) as talk,
        ):
            await talk.tools()
            done = text_of(await talk.call("wipe", what="disk"))
            await desk.look()
            return done, talk.news.qsize()

    assert play(story()) == ("wiped by the first", 0)
