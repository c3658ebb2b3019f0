"""The official client, of whichever major version of ``mcp`` is installed, with one face."""

from __future__ import annotations

import asyncio
import contextlib
import warnings
from collections.abc import AsyncIterator, Callable, Mapping
from importlib.metadata import version
from typing import Any

from mcp import ClientSession, StdioServerParameters, types

MAJOR = int(version("mcp").partition(".")[0])
MODES = ["legacy"] if MAJOR == 1 else ["legacy", "modern"]
SOON = 20.0

Reply = Callable[[str], Any]
YES: Mapping[str, Any] = {"action": "accept", "content": {"approve": True}}
NO: Mapping[str, Any] = {"action": "decline"}


class Talk:
    """What a test says to a server, and hears: everything as it is on the wire."""

    def __init__(self, session: Any, news: asyncio.Queue[str]) -> None:
        self.session = session
        self.news = news

    async def tools(self) -> dict[str, dict[str, Any]]:
        listed = await self.session.list_tools()
        return {tool.name: _wire(tool) for tool in listed.tools}

    async def call(self, name: str, **arguments: Any) -> dict[str, Any]:
        with warnings.catch_warnings():
            return _wire(await self.session.call_tool(name, arguments))

    async def told(self) -> None:
        """Wait until the server says that the tools have changed."""
        await asyncio.wait_for(self.news.get(), SOON)


def text_of(result: Mapping[str, Any]) -> str:
    [content] = result["content"]
    return content["text"]


@contextlib.asynccontextmanager
async def talking(server: Any, *, mode: str = "legacy", reply: Reply | None = None) -> AsyncIterator[Talk]:
    """
    A client of *server*: a low-level server, an URL, or parameters of a process.

    *reply* answers elicitations: it is given the message and returns what the user does; without it the
    client cannot be asked.
    """
    news: asyncio.Queue[str] = asyncio.Queue()
    opened = _one(server, news, reply) if MAJOR == 1 else _two(server, news, reply, mode)
    async with opened as session:
        yield Talk(session, news)


def _elicitation(reply: Reply | None) -> Any:
    if reply is None:
        return None

    async def elicit(_context: object, params: Any) -> Any:
        said = reply(params.message)
        return types.ElicitResult.model_validate(await said if asyncio.iscoroutine(said) else said)

    return elicit


def _hearing(news: asyncio.Queue[str]) -> Any:
    async def hear(message: Any) -> None:
        method = getattr(getattr(message, "root", message), "method", None)
        if method == "notifications/tools/list_changed":
            news.put_nowait(method)

    return hear


@contextlib.asynccontextmanager
async def _one(server: Any, news: asyncio.Queue[str], reply: Reply | None) -> AsyncIterator[Any]:
    options = {"message_handler": _hearing(news), "elicitation_callback": _elicitation(reply)}
    if isinstance(server, (str, StdioServerParameters)):
        async with _streams_of(server) as (read, write, *_), ClientSession(read, write, **options) as session:
            await session.initialize()
            yield session
    else:
        from mcp.shared.memory import create_connected_server_and_client_session

        async with create_connected_server_and_client_session(server, **options) as session:
            yield session


def _streams_of(server: Any) -> Any:
    if isinstance(server, str):
        from mcp.client import streamable_http

        # It was renamed in the middle of 1.x.
        named = getattr(streamable_http, "streamable_http_client", None)
        return (named or streamable_http.streamablehttp_client)(server)
    from mcp.client.stdio import stdio_client

    return stdio_client(server)


@contextlib.asynccontextmanager
async def _two(server: Any, news: asyncio.Queue[str], reply: Reply | None, mode: str) -> AsyncIterator[Any]:
    from mcp import Client

    # A modern client hears of changes by listening, and of each in its message handler, too.
    handler = _hearing(news) if mode == "legacy" else None
    chosen = "legacy" if mode == "legacy" else "auto"
    options = {"message_handler": handler, "elicitation_callback": _elicitation(reply)}
    async with Client(server, mode=chosen, **options) as client:
        if mode == "legacy":
            yield client
            return
        listening = asyncio.Event()

        async def listen() -> None:
            async with client.listen(tools_list_changed=True) as subscription:
                listening.set()
                async for _ in subscription:
                    news.put_nowait("listened")

        task = asyncio.create_task(listen())
        await asyncio.wait_for(listening.wait(), SOON)
        try:
            yield client
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _wire(model: Any) -> dict[str, Any]:
    return model.model_dump(by_alias=True, mode="json", exclude_unset=True)
