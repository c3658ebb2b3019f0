"""The registry of agents, which runs them behind a wall."""

from __future__ import annotations

import asyncio
import inspect
import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias
from uuid import uuid4

from hotplug._lifecycle import WalledCall, close_of, name_and_text
from hotplug.agents._base import BaseAgent
from hotplug.agents._relay import Relay
from hotplug.agents._run import PARENT, AgentRun
from hotplug.agents._runs import Order, Runs
from hotplug.context import UserExecutionContext, serving
from hotplug.errors import HotplugError, InvalidContextError, PluginError, PluginTimeoutError
from hotplug.events import EventHub
from hotplug.events._names import GAP, RUN_ERROR, RUN_FINISHED
from hotplug.registry import UniversalRegistry
from hotplug.registry._threads import run_in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from contextlib import AbstractContextManager

    from hotplug._lifecycle import Outcome
    from hotplug._records import Entry
    from hotplug.agents._base import ToolCaller
    from hotplug.events import Event, EventCursor, EventSink
    from hotplug.registry import Held

    Resident: TypeAlias = Callable[[str, UserExecutionContext], AbstractContextManager[BaseAgent] | None]

__all__ = ["AgentRegistry"]

log: Final = logging.getLogger("hotplug.agents")

CLOSE_LIMIT: Final = 5.0  # seconds that an agent may take to close


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
        self._runs = Runs()
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

        Each event names its user: routing it is the manager's. It is called on a thread of its own, one event
        at a time, in order; one that is slow, hangs or raises holds up no run. From any thread, at any time:
        each event goes to the manager that is set when it happens. Raises `TypeError` for what has no sync
        ``publish(event)``.
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
        is used). Whatever the agent raises is a `PluginError` (chained); *timeout* seconds without answer are
        a `PluginTimeoutError`. If the caller is cancelled, so is the run.

        Inside another run it is that one's child: its context is one level deeper, with ``parent_run_id``
        in its metadata. Before anything is told, these raise: an unknown key (`NotRegisteredError`), no
        context, another user's inside a run or nesting too deep (`InvalidContextError`), a negative
        *timeout* (`ValueError`), a closed host (`HostError`).
        """
        order = self._order(task, context, timeout)
        with self.hold(key) as held:
            return await self._run(held, order)

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
        order = self._order(task, context, timeout)
        with self.hold(key) as held, self.events.open(order.context) as cursor:
            work = asyncio.create_task(self._run(held, order))
            try:
                async for event in _of_run(order.context.run_id, cursor, work):
                    yield event
                    if _is_end(event, order.context.run_id):
                        await asyncio.wait({work})
            finally:
                work.cancel()
                await asyncio.wait({work})
                _ = work.cancelled() or work.exception()  # it was told as RUN_ERROR

    def cancel(self, run_id: str) -> bool:
        """Ask a run to end; false if it is not running (here, any more). From any thread."""
        return self._runs.cancel(run_id)

    def end(self, patience: float) -> None:
        """
        Begin no more runs, and end those under way: their events are complete when this returns.

        They may finish within *patience* seconds; then they are cancelled. Who is called from inside a run,
        or on the loop that it lives on, does not wait for that one.
        """
        self._runs.end(patience)

    # -- machine room ------------------------------------------------------------------------------

    def _order(self, task: object, context: UserExecutionContext, timeout: float | None) -> Order:
        """What is asked for, by whom; raises where it cannot be."""
        if not isinstance(context, UserExecutionContext):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidContextError(f"a run takes a UserExecutionContext, not {type(context).__name__}")
        # Not a number is not at least 0 either.
        if timeout is not None and not timeout >= 0:
            raise ValueError(f"timeout is a number of seconds, at least 0, not {timeout!r}")
        around = serving.get() or self._runs.context_of(context.run_id)
        if around is None:
            return Order(task, context, _fresh(context), timeout)
        asking = self._runs.asking_of(around.run_id) if context is around else None
        return Order(task, asking or context, _inside(around, context), timeout)

    async def _run(self, held: Held[BaseAgent], order: Order) -> object:
        entry = held.entry
        run = AgentRun(entry.key, order.context, self._relay, self._caller, self._run_inside)
        call = WalledCall(lambda: self._work(held, order, run), on_stop=run.request_cancel)
        with self._runs.going_on(run, call, order.asking):
            try:
                run.started()
                await self._relay.arrived()
                outcome = await call.outcome(order.timeout)
            except BaseException as error:
                run.failed("the caller gave up", type(error).__name__)
                raise
            failure = _failure(entry, run, outcome, order.timeout)
            if failure is None:
                run.finished(outcome.value)
            else:
                run.failed(_safe_text(entry.key, outcome.error, failure), failure.reason)
        await self._relay.arrived()
        if failure is None:
            return outcome.value
        if failure is outcome.error:
            raise failure
        raise failure from outcome.error

    async def _run_inside(
        self,
        key: str,
        task: object,
        context: UserExecutionContext,
        timeout: float | None,  # noqa: ASYNC109
    ) -> object:
        return await self.run(key, task, context, timeout=timeout)

    async def _work(self, held: Held[BaseAgent], order: Order, run: AgentRun) -> object:
        serving.set(run.context)
        # A task that ignores its cancellation outlives the run, and its plugin must outlive the task.
        with held.once_more():
            if self._caller is not None:
                run.offer(await run_in_thread(self._caller.offered, run.context))
            if self.resident is not None:
                living = await run_in_thread(self.resident, held.key, order.asking)
                if living is not None:
                    with living as agent:
                        return await agent.run(order.task, run)
            is_own = held.entry.sort == "factory"
            late = partial(_close_late, held.key) if is_own else None
            agent = await held.aobtain(run.context, unclaimed=late)
            try:
                return await agent.run(order.task, run)
            finally:
                if is_own:
                    await _close(held.key, agent)


def _fresh(context: UserExecutionContext) -> UserExecutionContext:
    return replace(context, run_id=uuid4().hex, request_id=uuid4().hex)


def _inside(around: UserExecutionContext, context: UserExecutionContext) -> UserExecutionContext:
    """The context of a run that *context* is given for inside of *around*: same user, a level deeper."""
    if context.user_id != around.user_id:
        raise InvalidContextError(
            f"inside a run of user {around.user_id!r} nothing is run for {context.user_id!r}"
        )
    deeper = context if context.depth >= around.depth else replace(context, depth=around.depth)
    thread = context.thread_id or around.thread_id
    return _fresh(replace(deeper.child(**{PARENT: around.run_id}), thread_id=thread))


def _is_end(event: Event, run_id: str) -> bool:
    return event.run_id == run_id and event.type in {RUN_FINISHED, RUN_ERROR}


async def _of_run(run_id: str, cursor: EventCursor, work: asyncio.Task[object]) -> AsyncGenerator[Event]:
    """The run's own events (and gaps among them) until its end."""
    async for event in cursor:
        if event.run_id == run_id or event.type == GAP:
            yield event
        if _is_end(event, run_id):
            return
        if event.type == GAP and work.done():  # the end itself may be what is missing
            for late in cursor.poll(cursor.stats().pending + 1):
                if late.run_id == run_id:
                    yield late
            return


async def _close(key: str, agent: BaseAgent) -> None:
    """Close an agent that has a way to; what goes wrong is logged, the run has its result already."""
    outcome = await WalledCall(partial(_closing, agent)).outcome(CLOSE_LIMIT)
    if outcome.state == "failed":
        error = outcome.error
        log.warning("agent %s raised when it was closed: %s", key, name_and_text(error), exc_info=error)
    elif outcome.state != "done":
        log.warning("agent %s was not closed within %g s", key, CLOSE_LIMIT)


async def _closing(agent: BaseAgent) -> None:
    close = close_of(agent)
    if close is None:
        return
    closing = close() if inspect.iscoroutinefunction(close) else await run_in_thread(close)
    if inspect.isawaitable(closing):
        await closing


def _close_late(key: str, agent: BaseAgent) -> None:
    """It was made for a run that is over."""
    asyncio.run(_close(key, agent))


def _failure(
    entry: Entry, run: AgentRun, outcome: Outcome[object], limit: float | None
) -> PluginError | None:
    """The error that a run without result ends with."""
    if outcome.state == "done":
        return None
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
