"""Streamable HTTP on loopback, with the official client and with bare requests."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import threading
from urllib.parse import urlsplit

import pytest

import hotplug
from hotplug.errors import ConfigError
from hotplug_mcp import Tokens, serve_http
from mcp_clients import MODES, SOON, YES, talking, text_of

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


@pytest.fixture
def host(environment):
    with hotplug.Host(path=environment.path, cache=False) as host:
        host.tools.register("whoami", hotplug.tool(read_only=True)(whoami))
        yield host


def whoami(context: hotplug.UserExecutionContext) -> str:
    return context.user_id


def play(story):
    return asyncio.run(asyncio.wait_for(story, SOON))


@contextlib.asynccontextmanager
async def served(host, **options):
    """The URL at which *host* is served."""
    stop, at = asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve_http(host, "ada", stop=stop, started=at.set_result, **options))
    await asyncio.wait({serving, at}, return_when=asyncio.FIRST_COMPLETED)
    try:
        yield at.result() if at.done() else await serving
    finally:
        stop.set()
        await asyncio.wait_for(serving, SOON)


def post(url, message, **headers):
    """One bare request; its status, headers and body."""
    place = urlsplit(url)
    line = http.client.HTTPConnection(place.hostname, place.port, timeout=SOON)
    fields = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    line.request("POST", place.path, json.dumps(message), fields | headers)
    answer = line.getresponse()
    told = answer.status, dict(answer.getheaders()), answer.read().decode()
    line.close()
    return told


@pytest.mark.parametrize("mode", MODES)
def test_clients_list_call_and_are_told(host, mode):
    """
    Each in a session of its own, all for the user it runs for.
    """

    async def story():
        async with served(host) as url, talking(url, mode=mode) as one, talking(url, mode=mode) as other:
            assert list(await one.tools()) == ["whoami"]
            host.tools.register("again", hotplug.tool(read_only=True)(whoami))
            await one.told()
            await other.told()
            return text_of(await one.call("again")), list(await other.tools())

    assert play(story()) == ("ada", ["whoami", "again"])


@pytest.mark.parametrize("mode", MODES)
def test_a_yes_comes_over_the_same_line(host, mode):
    """
    The question goes to the client that called.
    """
    host.tools.register("wipe", wipe, metadata={"offer": True})

    async def story():
        async with served(host) as url, talking(url, mode=mode, reply=lambda _: YES) as talk:
            return text_of(await talk.call("wipe", what="it"))

    assert play(story()) == "wiped it"


def wipe(what: str) -> str:
    return f"wiped {what}"


def test_stopping_ends_all_sessions(host):
    """
    Clients that stay connected do not keep it from ending; nothing is left of it.
    """
    threads = threading.active_count()

    async def story():
        async with contextlib.AsyncExitStack() as stack:
            stopping = contextlib.AsyncExitStack()
            url = await stopping.enter_async_context(served(host))
            for mode in MODES:
                talk = await stack.enter_async_context(talking(url, mode=mode))
                await talk.tools()
            with contextlib.suppress(Exception):
                await stopping.aclose()
            assert [task for task in asyncio.all_tasks() if "Room" in repr(task.get_coro())] == []
            return url

    url = play(story())

    with pytest.raises(OSError, match="refused"):
        post(url, HELLO)
    assert threading.active_count() <= threads + 1


def test_each_token_is_its_user(host, tmp_path):
    """
    Sessions, tools and approvals of one user are not there for the other.
    """
    host.tools.register("for_bob", hotplug.tool(read_only=True)(whoami), metadata={"offer": ["bob"]})
    file = tmp_path / "tokens"
    file.write_text('[[principal]]\nuser = "ada"\ntoken = "A"\n[[principal]]\nuser = "bob"\ntoken = "B"\n')
    file.chmod(0o600)
    listing = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}

    def ask(url):
        seen = {}
        for token in "AB":
            bearer = {"Authorization": f"Bearer {token}"}
            _, headers, _ = post(url, HELLO, **bearer)
            session = {
                "Mcp-Session-Id": {name.lower(): value for name, value in headers.items()}["mcp-session-id"]
            }
            post(url, {"jsonrpc": "2.0", "method": "notifications/initialized"}, **bearer, **session)
            own = post(url, listing, **bearer, **session)
            foreign = post(url, listing, Authorization=f"Bearer {'BA'['AB'.index(token)]}", **session)
            seen[token] = ("for_bob" in own[2], own[0], foreign[0] in {400, 404})
        return seen, post(url, HELLO)[0]

    async def story():
        async with served(host, tokens=Tokens(file)) as url:
            return await asyncio.to_thread(ask, url)

    seen, stranger = play(story())

    assert seen == {"A": (False, 200, True), "B": (True, 200, True)}
    assert stranger == 401


def test_two_users_at_once_are_two(host, tmp_path):
    """
    Calls of several clients of two users, all in the air together: each is its own user's, and of its tools.
    """
    ready, go = asyncio.Event(), asyncio.Event()
    here: list[str] = []

    @hotplug.tool(read_only=True)
    async def meet(context: hotplug.UserExecutionContext) -> str:
        here.append(context.user_id)
        if len(here) == 4:
            ready.set()
        await go.wait()
        return context.user_id

    host.tools.register("meet", meet)
    host.tools.register("for_bob", hotplug.tool(read_only=True)(whoami), metadata={"offer": ["bob"]})
    file = tmp_path / "tokens"
    file.write_text('[[principal]]\nuser = "ada"\ntoken = "A"\n[[principal]]\nuser = "bob"\ntoken = "B"\n')
    file.chmod(0o600)

    async def client(url, token):
        place = urlsplit(url)
        seen = []
        for name in ("for_bob", "meet"):
            message = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": name}}
            seen.append(await asyncio.to_thread(in_a_session, place, message, token))
        return token, *seen

    def in_a_session(place, message, token):
        url, bearer = f"http://{place.netloc}{place.path}", {"Authorization": f"Bearer {token}"}
        headers = {name.lower(): value for name, value in post(url, HELLO, **bearer)[1].items()}
        session = bearer | {"Mcp-Session-Id": headers["mcp-session-id"]}
        post(url, {"jsonrpc": "2.0", "method": "notifications/initialized"}, **session)
        [told] = [
            each for each in post(url, message, **session)[2].splitlines() if each.startswith("data: {")
        ]
        return json.loads(told.removeprefix("data: "))["result"]["content"][0]["text"]

    async def story():
        async with served(host, tokens=Tokens(file)) as url:
            clients = [asyncio.create_task(client(url, token)) for token in "ABAB"]
            await ready.wait()
            go.set()
            return await asyncio.gather(*clients)

    for token, for_bob, met in play(story()):
        assert met == {"A": "ada", "B": "bob"}[token]
        assert ("not offered to user 'ada'" in for_bob) if token == "A" else for_bob == "bob"


def test_clients_that_leave_without_a_word_do_not_pile_up(host, monkeypatch):
    """
    A user has so many sessions and no more; those that are open are served on.
    """
    monkeypatch.setattr("hotplug_mcp._http.MOST_SESSIONS", 3)

    def ask(url):
        opened = [post(url, HELLO) for _ in range(5)]
        headers = {name.lower(): value for name, value in opened[0][1].items()}
        session = {"Mcp-Session-Id": headers["mcp-session-id"]}
        post(url, {"jsonrpc": "2.0", "method": "notifications/initialized"}, **session)
        listing = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
        return [status for status, *_ in opened], post(url, listing, **session)[0]

    async def story():
        async with served(host) as url:
            return await asyncio.to_thread(ask, url)

    assert play(story()) == ([200, 200, 200, 503, 503], 200)


def test_rebinding_and_foreign_pages_are_refused(host):
    """
    Over the real server as well.
    """

    async def story():
        async with served(host) as url:
            return [
                (await asyncio.to_thread(post, url, HELLO, **headers))[0]
                for headers in ({"Host": "evil.test"}, {"Origin": "https://evil.test"}, {})
            ]

    assert play(story()) == [421, 403, 200]


@pytest.mark.parametrize("reach", [{"address": "0.0.0.0"}, {"hosts": frozenset({"tools.test"})}])
def test_elsewhere_needs_tokens(host, reach):
    """
    What others can reach, by its address or by a name behind a proxy, is not served to everybody.
    """

    async def story():
        async with served(host, **reach):
            pass

    with pytest.raises(ConfigError, match="--token-file"):
        play(story())
