"""The registry of agents, which runs them behind a wall."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias
from uuid import uuid4

from hotplug._lifecycle import WalledCall, close_of, name_and_text
from hotplug.agents._base import BaseAgent
from hotplug.agents._relay import Relay
from hotplug.agents._run import AgentRun
from hotplug.context import serving
from hotplug.errors import HotplugError, PluginError, PluginTimeoutError
from hotplug.events import EventHub
from hotplug.events._names import GAP, RUN_ERROR, RUN_FINISHED
from hotplug.registry import UniversalRegistry
from hotplug.registry._threads import run_in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from contextlib import AbstractContextManager

    from hotplug._lifecycle import Outcome
    from hotplug._records import Entry
    from hotplug.agents._base import OfferedTool, ToolCaller
    from hotplug.context import UserExecutionContext
    from hotplug.events import Event, EventCursor, EventSink
    from hotplug.registry import Held

    Resident: TypeAlias = Callable[[str, UserExecutionContext], AbstractContextManager[BaseAgent] | None]

__all__ = ["AgentRegistry"]

log: Final = logging.getLogger("hotplug.agents")


class AgentRegistry(UniversalRegistry[BaseAgent]):
    """
    The agents, and their runs.

    By itself it has an event hub of its own and no tools; a host gives it the host's. *resident*, if set,
    is asked first for the agent of a run, with the key and the context that the caller gave, in a worker
    thread. Its answer, a context manager, is entered for the run; the agent is not closed: it lives in a
    session. None lets the registry make one. A run stays with the generation that it began with.
    """

    _default_name: ClassVar[str] = "agents"
    _default_contract: ClassVar[type[Any] | str | None] = "hotplug.agents:BaseAgent"

    def __init__(
        self, name: str | None = None, contract: type[BaseAgent] | str | None = None, *, metrics: bool = True
    ) -> None:
        super().__init__(name, contract, metrics=metrics)
        self._relay = Relay(EventHub())
        self._caller: ToolCaller | None = None
        self._running: dict[str, tuple[AgentRun, WalledCall[object]]] = {}
        self._guard = threading.Lock()
        self.resident: Resident | None = None

    def bind(self, *, events: EventHub, tools: ToolCaller | None) -> None:
        """Use the host's hub and tools. To be called before the first run."""
        self._relay.hub = events
        self._caller = tools

    @property
    def events(self) -> EventHub:
        """Where the events of runs are told."""
        return self._relay.hub

    def set_websocket_manager(self, manager: EventSink | None) -> None:
        """
        Hand every event of every run to *manager* as well; None detaches it.

        Each event names its user: routing it is the manager's. From any thread, at any time. Raises
        `TypeError` for what has no sync ``publish(event)``.
        """
        self._relay.attach(manager)

    async def run(
        self,
        key: str,
        task: object,
        context: UserExecutionContext,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - the name is the contract's
    ) -> object:
        """
        What the agent answers to *task*, in a run of its own (with a fresh run id) for *context*'s user.

        From a factory an instance is made for this run, and closed with it (in a session, the session's
        is used). Whatever the agent raises is
        a `PluginError` (chained); *timeout* seconds without answer are a `PluginTimeoutError`; only an
        unknown key (`NotRegisteredError`) raises without any event. If the caller is cancelled, so is
        the run.
        """
        with self.hold(key) as held:
            return await self._run(held, task, context, _fresh(context), timeout)

    async def stream(
        self,
        key: str,
        task: object,
        context: UserExecutionContext,
        *,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> AsyncGenerator[Event]:
        """
        Yield the events of a run as they happen, ``RUN_FINISHED`` or ``RUN_ERROR`` last.

        The run ends with the iteration: leaving it early cancels the run. What a slow reader lost is
        told by a ``GAP``.
        """
        own = _fresh(context)
        with self.hold(key) as held, self.events.open(own) as cursor:
            work = asyncio.create_task(self._run(held, task, context, own, timeout))
            try:
                async for event in _of_run(own.run_id, cursor, work):
                    yield event
            finally:
                work.cancel()
                await asyncio.wait({work})
                _ = work.cancelled() or work.exception()  # it was told as RUN_ERROR

    def cancel(self, run_id: str) -> bool:
        """Ask a run to end; false if it is not running (here, any more). From any thread."""
        with self._guard:
            running = self._running.get(run_id)
        if running is None:
            return False
        _, call = running
        call.cancel()
        return True

    # -- machine room ------------------------------------------------------------------------------

    async def _run(
        self,
        held: Held[BaseAgent],
        task: object,
        asking: UserExecutionContext,
        context: UserExecutionContext,
        timeout: float | None,  # noqa: ASYNC109
    ) -> object:
        entry = held.entry
        run = AgentRun(entry.key, context, self._relay, self._caller, await self._offered(context))
        call = WalledCall(lambda: self._work(held, task, asking, run), on_stop=run.request_cancel)
        with self._guard:
            self._running[run.run_id] = run, call
        try:
            run.started()
            outcome = await call.outcome(timeout)
        except BaseException as error:
            run.failed("the caller gave up", type(error).__name__)
            raise
        finally:
            with self._guard:
                del self._running[run.run_id]
        if outcome.state == "done":
            run.finished(outcome.value)
            return outcome.value
        failure = _failure(entry, run, outcome, timeout)
        run.failed(_safe_text(entry.key, outcome.error, failure), failure.reason)
        if failure is outcome.error:
            raise failure
        raise failure from outcome.error

    async def _offered(self, context: UserExecutionContext) -> tuple[OfferedTool, ...]:
        if self._caller is None:
            return ()
        return tuple(await run_in_thread(self._caller.offered, context))

    async def _work(
        self, held: Held[BaseAgent], task: object, asking: UserExecutionContext, run: AgentRun
    ) -> object:
        serving.set(run.context)
        # A task that ignores its cancellation outlives the run, and its plugin must outlive the task.
        with held.once_more():
            if self.resident is not None:
                living = await run_in_thread(self.resident, held.key, asking)
                if living is not None:
                    with living as agent:
                        return await agent.run(task, run)
            agent = await held.aobtain(run.context)
            try:
                return await agent.run(task, run)
            finally:
                if held.entry.sort == "factory":
                    await _close(held.key, agent)


def _fresh(context: UserExecutionContext) -> UserExecutionContext:
    return replace(context, run_id=uuid4().hex, request_id=uuid4().hex)


async def _of_run(run_id: str, cursor: EventCursor, work: asyncio.Task[object]) -> AsyncGenerator[Event]:
    """The run's own events (and gaps among them) until its end."""
    async for event in cursor:
        if event.run_id == run_id or event.type == GAP:
            yield event
        if event.run_id == run_id and event.type in {RUN_FINISHED, RUN_ERROR}:
            return
        if event.type == GAP and work.done():  # the end itself may be what is missing
            for late in cursor.poll(cursor.stats().pending + 1):
                if late.run_id == run_id:
                    yield late
            return


async def _close(key: str, agent: BaseAgent) -> None:
    """Close an agent that has a way to; what that raises is logged, the run has its result already."""
    close = close_of(agent)
    if close is None:
        return
    try:
        closing = close() if inspect.iscoroutinefunction(close) else await run_in_thread(close)
        if inspect.isawaitable(closing):
            await closing
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise
    except BaseException as error:  # the border to plugin code
        log.warning("agent %s raised when it was closed: %s", key, name_and_text(error), exc_info=error)


def _failure(entry: Entry, run: AgentRun, outcome: Outcome[object], limit: float | None) -> PluginError:
    """The error that a run without result ends with."""
    who = f"agent {entry.key!r}"
    error = outcome.error
    remedy = "it ignores its cancellation and still goes on" if outcome.left_behind else ""
    if outcome.state == "timed out":
        return PluginTimeoutError(who, limit or 0.0, entry.owner, remedy=remedy)
    if outcome.state == "cancelled":
        return PluginError(
            f"run {run.run_id} of {who} was cancelled", entry.owner, reason="cancelled", remedy=remedy
        )
    if isinstance(error, PluginError):
        return error
    return PluginError(f"{who} raised {name_and_text(error)}", entry.owner)


def _safe_text(key: str, error: BaseException | None, failure: PluginError) -> str:
    """What the user may read of it: hotplug's own texts; of others no more than where to look."""
    if error is None:
        return str(failure)
    if isinstance(error, HotplugError):
        return str(error)
    incident = uuid4().hex[:8]
    log.error("agent %s failed (incident %s)", key, incident, exc_info=error)
    return f"agent {key!r} failed (see the log, incident {incident})"
