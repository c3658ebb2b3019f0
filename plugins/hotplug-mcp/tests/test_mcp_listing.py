"""What a client of the official SDK is shown, and is told of changes: with each protocol it speaks."""

from __future__ import annotations

import logging
from typing import ClassVar

import pytest

from hotplug.tools import Tool, tool
from mcp_clients import MODES, YES, talking, text_of
from mcp_desks import (
    play,
    price,
    prices,
    reading,
    wipe,
    wiped,
    world,
)

pytestmark = pytest.mark.parametrize("mode", MODES)


@pytest.fixture(autouse=True)
def _clean(caplog):
    wiped.clear()
    caplog.set_level(logging.CRITICAL, "hotplug")


def test_tools_are_listed_as_they_describe_themselves(mode):
    """
    Names, texts, both schemas verbatim, and what the tool does to the world.
    """
    here = world(price, prices, wipe)

    async def story():
        async with talking(here.server, mode=mode) as talk:
            return await talk.tools()

    listed = play(story())

    assert list(listed) == ["price", "prices", "wipe"]
    assert listed["price"]["description"] == "Tell a price."
    assert listed["price"]["inputSchema"] == price.input_schema
    assert listed["price"]["annotations"]["readOnlyHint"] is True
    assert listed["price"]["outputSchema"]["properties"].keys() == {"symbol", "close", "note"}
    assert listed["prices"]["outputSchema"]["properties"]["result"]["type"] == "array"
    assert listed["wipe"]["annotations"] == {
        "readOnlyHint": False,
        "destructiveHint": True,
        "idempotentHint": False,
    }


def test_changes_are_announced(mode):
    """
    The server says that its list changes, so that clients listen.
    """
    here = world(price)

    async def story():
        async with talking(here.server, mode=mode) as talk:
            # One of the two says it so, the other so.
            listen = getattr(talk.session, "server_capabilities", None)
            return listen or here.server.create_initialization_options().capabilities

    said = play(story()).tools.model_dump(by_alias=True)

    assert said["listChanged"] is True


def test_what_is_not_offered_is_not_there(mode):
    """
    It is neither listed nor called; who asks is told what would help.
    """
    here = world(wipe, offer=["bob"])
    here.tools.register("price", price)

    async def story():
        async with talking(here.server, mode=mode, reply=lambda _: YES) as talk:
            return await talk.tools(), await talk.call("wipe", what="all"), await talk.call("prize")

    listed, refused, unknown = play(story())

    assert list(listed) == ["price"]
    assert refused["isError"]
    assert "not offered to user 'ada'" in text_of(refused)
    assert "did you mean 'price'" in text_of(unknown)
    assert wiped == []


def test_names_that_fall_together_hide_nothing(mode, caplog):
    """
    Keys that MCP cannot say get other names; where these meet, both can be called, and the log names both.
    """
    caplog.set_level(logging.WARNING, "hotplug.mcp")
    one = tool(read_only=True)(lambda: "one")
    two = tool(read_only=True)(lambda: "two")
    here = world(price, **{"all data/one": one, "buy it": one, "buy/it": two})

    async def story():
        async with talking(here.server, mode=mode) as talk:
            return {name: text_of(await talk.call(name)) for name in await talk.tools() if name != "price"}

    answers = play(story())

    assert answers.pop("all_data_one") == "one"
    assert sorted(answers.values()) == ["one", "two"]
    assert all(name.startswith("buy_it_") for name in answers)
    [warning] = [record.getMessage() for record in caplog.records]
    assert "'buy it' of the application" in warning
    assert "'buy/it' of the application" in warning


def test_one_that_cannot_be_said_hides_no_other(mode):
    """
    A schema that the protocol does not carry costs its own tool only.
    """

    class Odd(Tool):
        name = "odd"
        read_only, destructive = True, False
        input_schema: ClassVar = {"type": "object", "default": object()}

        async def call(self, arguments, context):
            return 1

    class Odder(Odd):
        name = "odder"
        input_schema: ClassVar = ["no", "schema"]

    here = world(Odd(), price, Odder())

    async def story():
        async with talking(here.server, mode=mode) as talk:
            return await talk.tools()

    assert list(play(story())) == ["price"]


def test_a_client_is_told_of_what_came_and_went(mode):
    """
    It lists again, and calls what came.
    """
    here = world(price)

    async def story():
        async with talking(here.server, mode=mode) as talk:
            before = list(await talk.tools())
            undo = here.tools.register("prices", prices)
            await here.desk.look()
            await talk.told()
            came = list(await talk.tools())
            answer = await talk.call("prices", symbols=["a"])
            undo()
            await here.desk.look()
            await talk.told()
            return before, came, answer, list(await talk.tools())

    before, came, answer, after = play(story())

    assert before == after == ["price"]
    assert came == ["price", "prices"]
    assert answer["structuredContent"]["result"][0]["symbol"] == "a"


def test_a_client_is_told_of_another_version(mode):
    """
    The same name with another text or schema is news, too.
    """
    here = world(price)

    @reading
    def dearer(symbol: str) -> str:
        """Tell a higher price."""

    async def story():
        async with talking(here.server, mode=mode) as talk:
            await talk.tools()
            here.tools.replace("price", dearer)
            await here.desk.look()
            await talk.told()
            return await talk.tools()

    assert play(story())["price"]["description"] == "Tell a higher price."


def test_only_of_what_concerns_its_user(mode):
    """
    What is not offered to the user, and what is as it was, is no news.
    """
    here = world(price)

    async def story():
        async with talking(here.server, mode=mode) as talk:
            await talk.tools()
            here.tools.register("wipe", wipe, metadata={"offer": ["bob"]})
            await here.desk.look()
            await here.desk.look()
            here.tools.register("prices", prices)
            await here.desk.look()
            await talk.told()
            return talk.news.qsize()

    assert play(story()) == 0


def test_one_who_lists_tells_the_others(mode):
    """
    A change that one client finds by listing is told to the rest as well.
    """
    here = world(price)

    async def story():
        async with talking(here.server, mode=mode) as one, talking(here.server, mode=mode) as other:
            await one.tools()
            here.tools.register("prices", prices)
            listed = await one.tools()
            await other.told()
            return list(listed)

    assert play(story()) == ["price", "prices"]


def test_who_left_is_forgotten(mode):
    """
    Sessions that end leave nothing behind.
    """
    here = world(price)

    async def story():
        for _ in range(5):
            async with talking(here.server, mode=mode) as talk:
                await talk.tools()
                during = here.desk.seats
        return during, here.desk.seats

    during, after = play(story())

    assert during >= 1
    assert after == 0
