"""Destructive calls by a client of the official SDK: nothing is done but what its user said yes to."""

from __future__ import annotations

import contextlib
import logging

import pytest

from hotplug.tools import Tool, tool
from mcp_clients import MODES, NO, YES, talking, text_of
from mcp_desks import (
    play,
    price,
    wipe,
    wiped,
    world,
)

pytestmark = pytest.mark.parametrize("mode", MODES)


@pytest.fixture(autouse=True)
def _clean(caplog):
    wiped.clear()
    caplog.set_level(logging.CRITICAL, "hotplug")


def test_a_destructive_call_needs_a_yes(mode):
    """
    The user is shown tool and arguments; one yes is one call.
    """
    here = world(wipe)
    shown = []

    def reply(message):
        shown.append(message)
        return YES

    async def story():
        async with talking(here.server, mode=mode, reply=reply) as talk:
            return [text_of(await talk.call("wipe", what=what)) for what in ("one", "two")]

    assert play(story()) == ["wiped one", "wiped two"]
    assert wiped == ["one", "two"]
    assert "'wipe'" in shown[0]
    assert "'ada'" in shown[0]
    assert '"what": "one"' in shown[0]
    assert '"what": "two"' in shown[1]


@pytest.mark.parametrize(
    "said",
    [
        NO,
        {"action": "cancel"},
        {"action": "accept"},
        {"action": "accept", "content": {}},
        {"action": "accept", "content": {"approve": False}},
        {"action": "accept", "content": {"approve": "true"}},
        {"action": "accept", "content": {"approve": 1}},
        {"action": "decline", "content": {"approve": True}},
    ],
)
def test_anything_else_is_a_no(mode, said):
    """
    Nothing is done then, and the model is told so.
    """
    here = world(wipe)

    async def story():
        async with talking(here.server, mode=mode, reply=lambda _: said) as talk:
            return await talk.call("wipe", what="one")

    refused = play(story())

    assert refused["isError"]
    assert "was not made" in text_of(refused)
    assert wiped == []


def test_a_client_that_cannot_ask_cannot_destroy(mode):
    """
    Without elicitation there is nobody to say yes.
    """
    here = world(wipe)

    async def story():
        async with talking(here.server, mode=mode) as talk:
            return await talk.call("wipe", what="one")

    refused = play(story())

    assert refused["isError"]
    assert "cannot ask" in text_of(refused)
    assert wiped == []


def test_what_was_replaced_meanwhile_is_not_called(mode):
    """
    The yes was to the code of that moment: another tool under the name does not get it.
    """
    here = world(wipe)

    @tool
    def worse(what: str) -> str:
        wiped.append(f"worse {what}")
        return "worse"

    def reply(_message):
        here.tools.replace("wipe", worse)
        return YES

    async def story():
        async with talking(here.server, mode=mode, reply=reply) as talk:
            return await talk.call("wipe", what="one")

    assert "the tool was replaced since" in text_of(play(story()))
    assert wiped == []


def test_what_the_user_reads_is_what_is_called(mode):
    """
    Characters that hide or turn text around are shown as what they are; what is too long to read is refused.
    """
    here = world(wipe)
    shown = []

    def reply(message):
        shown.append(message)
        return NO

    async def story():
        async with talking(here.server, mode=mode, reply=reply) as talk:
            await talk.call("wipe", what="a\u202eb\u200b\x1b[2J\nüü")
            return await talk.call("wipe", what="x" * 9000)

    refused = play(story())

    assert r"a\u202eb\u200b\u001b[2J\nüü" in shown[0]
    assert len(shown) == 1
    assert "cannot be shown" in text_of(refused)


def test_a_client_that_fails_at_asking_says_no(mode):
    """
    Nothing is done where nobody answered; the session goes on.
    """
    here = world(wipe, price)

    def reply(_message):
        raise RuntimeError("no screen")

    async def story():
        async with talking(here.server, mode=mode, reply=reply) as talk:
            with contextlib.suppress(Exception):
                assert (await talk.call("wipe", what="one"))["isError"]
            return await talk.call("price", symbol="b")

    if mode == "legacy":
        assert not play(story()).get("isError")
    assert wiped == []


def test_what_is_not_there_any_more_is_said(mode):
    """
    A tool that went, or is offered no longer, since the client listed.
    """
    registry = {"undo": None}

    def withdraw():
        registry["undo"]()

    here = world(price)
    registry["undo"] = here.tools.register("wipe", wipe, metadata={"offer": True})

    async def story():
        async with talking(here.server, mode=mode, reply=lambda _: YES) as talk:
            await talk.tools()
            withdraw()
            gone = await talk.call("wipe", what="it")
            here.tools.offer_of = lambda key: False
            return text_of(gone), text_of(await talk.call("price", symbol="a"))

    gone, refused = play(story())

    assert gone == "there is no tool 'wipe' any more"
    assert "not offered" in refused


def test_a_result_that_is_no_json_is_an_incident(mode, caplog):
    """
    Whatever a tool of its own making returns.
    """
    caplog.set_level(logging.ERROR, "hotplug.mcp")

    class Odd(Tool):
        name = "odd"
        read_only, destructive = True, False

        async def call(self, arguments, context):
            return object()

    here = world(Odd())

    async def story():
        async with talking(here.server, mode=mode) as talk:
            return text_of(await talk.call("odd"))

    said = play(story())

    assert "was called, but its answer cannot be told (see the log, incident" in said
    assert "cannot be said in JSON" in caplog.text
