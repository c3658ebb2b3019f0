"""The server of ``mcp`` 2.x: for clients that shake hands, and for those whose requests stand alone."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import anyio
from mcp import types
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ToolsListChanged

from hotplug_mcp._answers import Question, failure
from hotplug_mcp._asking import FORM, PATIENCE, can_be_asked, cannot_ask, forgotten, is_yes, not_approved

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from mcp.server.context import ServerRequestContext
    from mcp.server.models import InitializationOptions

    from hotplug_mcp._answers import Answer
    from hotplug_mcp._desk import Desk, Seat

__all__ = ["make_server"]

APPROVAL: Final = "approval"


def make_server(desk: Desk, name: str, version: str, instructions: str) -> Server[Any]:
    """A low-level server of *desk*."""
    return _DeskServer(desk, name, version, instructions)


class _DeskServer(Server[Any]):
    """What clients see of a desk."""

    def __init__(self, desk: Desk, name: str, version: str, instructions: str) -> None:
        self._desk = desk
        self._bus = InMemorySubscriptionBus()
        self._listen = ListenHandler(self._bus)
        super().__init__(
            name,
            version=version,
            instructions=instructions,
            lifespan=_DeskServer._publishing,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_subscriptions_listen=self._listen,
        )
        # Set, not given: older ones do not know it, and list all tools for each call.
        self.get_tool_input_schema = desk.schema_of
        self.add_notification_handler(
            "notifications/initialized", types.NotificationParams, self._tell_while_connected
        )

    def create_initialization_options(
        self,
        notification_options: NotificationOptions | None = None,
        experimental_capabilities: dict[str, dict[str, Any]] | None = None,
        extensions: dict[str, dict[str, Any]] | None = None,
    ) -> InitializationOptions:
        """The usual ones, and that changes of the tools are told."""
        options = notification_options or NotificationOptions(tools_changed=True)
        return super().create_initialization_options(options, experimental_capabilities, extensions)

    # -- changes -----------------------------------------------------------------------------------

    async def _tell_while_connected(self, context: ServerRequestContext[Any, Any], _params: object) -> None:
        # The connection's end cancels what its messages started.
        with self._desk.seat() as seat:
            while True:
                await seat.changed()
                await context.session.send_tool_list_changed()

    @asynccontextmanager
    async def _publishing(self: Server[Any]) -> AsyncGenerator[dict[str, Any]]:
        assert isinstance(self, _DeskServer)  # noqa: S101 - it is given to this class's constructor only
        async with anyio.create_task_group() as tasks:
            with self._desk.seat() as seat:
                tasks.start_soon(self._publish, seat)
                try:
                    yield {}
                finally:
                    self._listen.close()
                    tasks.cancel_scope.cancel()

    async def _publish(self, seat: Seat) -> None:
        while True:
            await seat.changed()
            await self._bus.publish(ToolsListChanged())

    # -- requests ----------------------------------------------------------------------------------

    async def _list_tools(self, _context: object, _params: object) -> types.ListToolsResult:
        return types.ListToolsResult(tools=list(await self._desk.look()))

    async def _call_tool(
        self, context: ServerRequestContext[Any, Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        step: Answer | Question | types.InputRequiredResult
        try:
            if params.request_state is not None:
                step = await self._answered(params, params.request_state)
            else:
                step = await self._desk.begin(params.name, params.arguments or {})
            if isinstance(step, Question):
                step = await self._asked(context, params.name, step)
        except Exception as error:  # noqa: BLE001 - the border to the client
            step = failure(params.name, error)
        if isinstance(step, types.InputRequiredResult):
            return step
        return types.CallToolResult.model_validate(step.as_result())

    async def _asked(
        self, context: ServerRequestContext[Any, Any], name: str, question: Question
    ) -> Answer | types.InputRequiredResult:
        session = context.session
        if not can_be_asked(session.client_capabilities):
            return cannot_ask(question)
        if not session.can_send_request:
            form = types.ElicitRequestFormParams(message=question.text, requested_schema=FORM)
            return types.InputRequiredResult(
                input_requests={APPROVAL: types.ElicitRequest(params=form)},
                request_state=self._desk.pending.keep(name, question),
            )
        try:
            async with asyncio.timeout(PATIENCE):
                said = await session.elicit_form(question.text, FORM, context.request_id)
        except Exception:  # noqa: BLE001 - the client would not, or took too long
            return not_approved(question)
        return (
            await self._desk.finish(question) if is_yes(said.action, said.content) else not_approved(question)
        )

    async def _answered(self, params: types.CallToolRequestParams, state: str) -> Answer:
        question = self._desk.pending.take(params.name, state)
        if question is None:
            return forgotten(params.name)
        said = (params.input_responses or {}).get(APPROVAL)
        if not isinstance(said, types.ElicitResult) or not is_yes(said.action, said.content):
            return not_approved(question)
        return await self._desk.finish(question, params.arguments or {})
