"""The server of ``mcp`` 1.x."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

import anyio

from hotplug_mcp._answers import Question, failure
from hotplug_mcp._asking import FORM, PATIENCE, can_be_asked, cannot_ask, is_yes, not_approved

if TYPE_CHECKING:
    from hotplug_mcp._answers import Answer
    from hotplug_mcp._desk import Desk

__all__ = ["make_server"]

# Not imported: type checkers see the other major version.
lowlevel: Final[Any] = importlib.import_module("mcp.server.lowlevel")
shared: Final[Any] = importlib.import_module("mcp.shared.message")
types: Final[Any] = importlib.import_module("mcp.types")

CHANGED: Final = "notifications/tools/list_changed"

connected: Final[ContextVar[asyncio.Event]] = ContextVar("hotplug mcp connection")
"""Set when the client whose messages are being served has said that it is ready."""


def make_server(desk: Desk, name: str, version: str, instructions: str) -> Any:
    """A low-level server of *desk*."""
    server = lowlevel.Server(name, version=version, instructions=instructions)
    served = _Served(desk, server)
    server.request_handlers[types.ListToolsRequest] = served.list_tools
    server.request_handlers[types.CallToolRequest] = served.call_tool
    server.notification_handlers[types.InitializedNotification] = served.ready
    server.run = functools.partial(served.run, server.run)
    server.create_initialization_options = functools.partial(
        server.create_initialization_options, lowlevel.NotificationOptions(tools_changed=True)
    )
    return server


class _Served:
    """What a *server* does for a *desk*."""

    def __init__(self, desk: Desk, server: Any) -> None:
        self._desk = desk
        self._server = server

    async def run(self, serve: Any, read: Any, write: Any, *args: Any, **options: Any) -> None:
        """Serve one connection, and tell it of changes from when it is ready until it ends."""
        ready = asyncio.Event()
        connected.set(ready)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._tell, ready, write)
            try:
                await serve(read, write, *args, **options)
            finally:
                tasks.cancel_scope.cancel()

    async def _tell(self, ready: asyncio.Event, write: Any) -> None:
        with (
            self._desk.seat() as seat,
            contextlib.suppress(anyio.ClosedResourceError, anyio.BrokenResourceError),
        ):
            await ready.wait()
            while True:
                await seat.changed()
                notification = types.JSONRPCNotification(jsonrpc="2.0", method=CHANGED)
                await write.send(shared.SessionMessage(types.JSONRPCMessage(notification)))

    async def ready(self, _notification: object) -> None:
        """Note that the client has said so."""
        connected.get().set()

    async def list_tools(self, _request: object) -> Any:
        """Answer ``tools/list``."""
        return types.ServerResult(types.ListToolsResult(tools=list(await self._desk.look())))

    async def call_tool(self, request: Any) -> Any:
        """Answer ``tools/call``."""
        name: str = request.params.name
        arguments: dict[str, Any] = request.params.arguments or {}
        try:
            step = await self._desk.begin(name, arguments)
            if isinstance(step, Question):
                step = await self._asked(step)
        except Exception as error:  # noqa: BLE001 - this SDK would tell the client its text
            step = failure(name, error)
        return types.ServerResult(types.CallToolResult.model_validate(step.as_result()))

    async def _asked(self, question: Question) -> Answer:
        context = self._server.request_context
        client = context.session.client_params
        if client is None or not can_be_asked(client.capabilities):
            return cannot_ask(question)
        try:
            async with asyncio.timeout(PATIENCE):
                said = await context.session.elicit(
                    question.text, FORM, related_request_id=context.request_id
                )
        except Exception:  # noqa: BLE001 - the client would not, or took too long
            return not_approved(question)
        return (
            await self._desk.finish(question) if is_yes(said.action, said.content) else not_approved(question)
        )
