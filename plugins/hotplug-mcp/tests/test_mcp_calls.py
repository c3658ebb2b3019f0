"""Calls by a client of the official SDK: what it gets, and what it does not."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import pytest

import hotplug
from hotplug.agents import AgentRegistry, BaseAgent
from hotplug.events import EventHub
from hotplug.tools import tool
from hotplug_mcp._desk import Desk
from mcp_clients import MODES, talking, text_of
from mcp_desks import (
    ADA,
    SECRET,
    leak,
    leave,
    play,
    price,
    prices,
    reading,
    unlucky,
    wiped,
    world,
    wrong,
)

pytestmark = pytest.mark.parametrize("mode", MODES)


@pytest.fixture(autouse=True)
def _clean(caplog):
    wiped.clear()
    caplog.set_level(logging.CRITICAL, "hotplug")


class Asker(BaseAgent):
    async def run(self, task, run):
        name, arguments = task
        return await run.call_tool(name, **arguments)


def test_the_same_whoever_calls(mode):
    """
    Directly, by an agent and through MCP, a tool gives the same result.
    """
    here = world(price, prices)
    agents = AgentRegistry()
    agents.register_factory("asker", lambda context: Asker())
    agents.bind(events=EventHub(), tools=here.tools)
    calls = [("price", {"symbol": "ibm", "times": 2}), ("prices", {"symbols": ["a", "b"]})]

    async def story():
        results = []
        async with talking(here.server, mode=mode) as talk:
            for name, arguments in calls:
                directly = await here.tools.call(name, arguments, ADA)
                by_agent = await agents.run("asker", (name, arguments), ADA)
                over = await talk.call(name, **arguments)
                results.append((hotplug.tools.plain(directly), hotplug.tools.plain(by_agent), over))
        return results

    (one, agents_one, over_one), (many, agents_many, over_many) = play(story())

    assert one == agents_one == over_one["structuredContent"]
    assert one == {"symbol": "ibm", "close": "3.00", "note": None}
    assert many == agents_many == over_many["structuredContent"]["result"]
    assert text_of(over_one) == '{"symbol":"ibm","close":"3.00","note":null}'


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("price", {"symbol": 1}, "symbol"),
        ("price", {}, "symbol"),
        ("price", {"symbol": "a", "sybmol": "b"}, "sybmol"),
        ("unlucky", {}, "no luck today"),
        ("leak", {}, "see the log, incident"),
        ("leave", {}, "see the log, incident"),
        ("wrong", {}, "see the log, incident"),
    ],
)
def test_what_goes_wrong_is_told_safely(mode, name, arguments, says):
    """
    The client learns what is of use to it and no secret; the next call works.
    """
    here = world(price, leak, leave, unlucky, wrong)

    async def story():
        async with talking(here.server, mode=mode) as talk:
            return await talk.call(name, **arguments), await talk.call("price", symbol="b")

    failed, after = play(story())

    assert failed["isError"]
    assert says in text_of(failed)
    assert SECRET not in str(failed)
    assert not after.get("isError")


def test_a_secret_is_in_the_log_only(mode, caplog):
    """
    What the client is told names the incident, under which the log has the cause.
    """
    caplog.set_level(logging.ERROR, "hotplug")
    here = world(leak)

    async def story():
        async with talking(here.server, mode=mode) as talk:
            return text_of(await talk.call("leak"))

    incident = play(story()).rpartition("incident ")[2].rstrip(")")

    assert incident in caplog.text
    assert SECRET in caplog.text


@pytest.mark.parametrize("idempotent", [True, False])
def test_one_that_hangs_is_given_up(mode, idempotent):
    """
    The client is told that nobody knows whether it took effect, and whether it may try again.
    """

    @tool(destructive=False, idempotent=idempotent, timeout=0.05)
    async def hang() -> str:
        await asyncio.Event().wait()

    here = world(hang, price)

    async def story():
        async with talking(here.server, mode=mode) as talk:
            return await talk.call("hang"), await talk.call("price", symbol="b")

    gave_up, after = play(story())

    assert gave_up["isError"]
    assert "whether it took effect is unknown" in text_of(gave_up)
    assert ("may be called again" in text_of(gave_up)) is idempotent
    assert not after.get("isError")


def test_a_cancelled_call_ends_the_tool(mode):
    """
    The client's cancellation reaches the tool; the session goes on.
    """
    begun, ended = asyncio.Event(), asyncio.Event()

    @reading
    async def wait() -> str:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    here = world(wait, price)

    async def story():
        async with talking(here.server, mode=mode) as talk:
            calling = asyncio.create_task(talk.call("wait"))
            await begun.wait()
            await cancel(talk, calling)
            await ended.wait()
            return await talk.call("price", symbol="b")

    assert not play(story()).get("isError")
    assert here.desk._calls == 0


async def cancel(talk, calling):
    """As a client does: the 1.x client says it in so many words, the newer one by giving up."""
    session = talk.session
    if hasattr(session, "send_notification"):
        from mcp import types

        params = types.CancelledNotificationParams(requestId=session._request_id - 1)
        note = types.CancelledNotification(method="notifications/cancelled", params=params)
        await session.send_notification(types.ClientNotification(note))
    calling.cancel()
    with contextlib.suppress(BaseException):
        await calling


def test_what_breaks_here_is_no_secret_either(mode, caplog, monkeypatch):
    """
    An error of our own is told as an incident: one SDK would give the client its text.
    """
    here = world(price)

    async def broken(*_):
        raise RuntimeError(SECRET)

    monkeypatch.setattr(Desk, "begin", broken)

    async def story():
        async with talking(here.server, mode=mode) as talk:
            return await talk.call("price", symbol="b")

    failed = play(story())

    assert failed["isError"]
    assert SECRET not in str(failed)
