"""How things are started and closed: in order, each behind the wall and within a limit, errors collected."""

from __future__ import annotations

import functools
import inspect
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hotplug._lifecycle import Stuck, WalledCall, close_of, name_and_text
from hotplug._records import PluginRecord
from hotplug.errors import PluginError, PluginTimeoutError
from hotplug.registry import run_in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from hotplug._lifecycle import HomeLoop, Outcome
    from hotplug.market import Order

__all__ = ["CloseReport", "Closing", "attempt", "blocked", "finished", "settle", "stuck_in"]

Closing = tuple[object, PluginRecord | None]


@dataclass(frozen=True, slots=True)
class CloseReport:
    """
    How closing went: what plugins raised, and the names of threads stuck in plugin code (daemons).

    *open_orders* stay at their venues, or may: those whose outcome is unknown are among them.
    """

    errors: tuple[PluginError, ...] = ()
    threads: tuple[str, ...] = ()
    open_orders: tuple[Order, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.errors or self.threads)


async def settle(things: Iterable[Closing], limit: float) -> list[PluginError]:
    """
    Close *things* in the given order, each within *limit* seconds; the errors of those that would not.

    A plain ``close`` runs in a thread of its own, so that one that hangs holds up nobody for longer.
    """
    errors: list[PluginError] = []
    for thing, record in things:
        error = await attempt(functools.partial(close_of, thing), record, "close", limit)
        if error is not None:
            errors.append(error)
    return errors


async def attempt(
    find: Callable[[], Callable[[], Any] | None], record: PluginRecord | None, doing: str, limit: float
) -> PluginError | None:
    """Call the method (sync or async) that *find* gives, within *limit* seconds; the error, if any."""
    call = _Call(find, f"hotplug {doing}: {_name(record)}")
    outcome = await WalledCall(call, grace=min(limit, 1.0)).outcome(limit)
    return None if outcome.state == "done" else _failure(outcome, call, record, doing, limit)


def _failure(
    outcome: Outcome[None], call: _Call, record: PluginRecord | None, doing: str, limit: float
) -> PluginError:
    if outcome.state == "failed":
        why = f"{doing} raised {name_and_text(outcome.error)}"
        failure = PluginError(why, record, reason=f"failed {doing}")
        failure.__cause__ = outcome.error
        return failure
    if (thread := call.thread) is not None:
        remedy = f"its thread {thread.name!r} is left behind; see what it waits for"
        return PluginTimeoutError(doing, limit, record, remedy=remedy, thread=thread.name)
    return PluginError(f"{doing} did not finish within {limit:g} s", record, reason="timed out")


def finished(
    home: HomeLoop, work: Coroutine[Any, Any, list[PluginError]], patience: float
) -> list[PluginError]:
    """The errors that *work* comes to on *home*; also that somebody blocks it for *patience* seconds."""
    try:
        return home.run(work, patience)
    except Stuck as stuck:
        return [blocked("closing", stuck, None)]


def blocked(doing: str, stuck: Stuck, record: PluginRecord | None) -> PluginTimeoutError:
    """The error that says whose thread stands still."""
    remedy = f"plugin code blocks the event loop of {stuck.thread!r}: it must await, or use a thread"
    return PluginTimeoutError(doing, stuck.limit, record, remedy=remedy, thread=stuck.thread)


def stuck_in(errors: Iterable[PluginError]) -> list[str]:
    """The names of the threads that *errors* say are stuck."""
    return [error.thread for error in errors if isinstance(error, PluginTimeoutError) and error.thread]


class _Call:
    """One call of a method, found and made behind the wall; *thread* is where a plain one runs."""

    def __init__(self, find: Callable[[], Callable[[], Any] | None], name: str) -> None:
        self._find: Final = find
        self._name: Final = name
        self.thread: threading.Thread | None = None

    async def __call__(self) -> None:
        try:
            method = self._find()
            if method is not None:
                await self._make(method)
        except KeyboardInterrupt as error:
            # Ctrl-C comes to the main thread; elsewhere a plugin raised it, and it would end the loop.
            if threading.current_thread() is threading.main_thread():
                raise
            raise InterruptedError("KeyboardInterrupt") from error

    async def _make(self, method: Callable[[], Any]) -> None:
        if inspect.iscoroutinefunction(method):
            await method()
            return
        answer: Any = await run_in_thread(self._plainly, method)
        if inspect.isawaitable(answer):
            await answer

    def _plainly(self, method: Callable[[], Any]) -> Any:
        self.thread = threading.current_thread()
        self.thread.name = self._name
        try:
            return method()
        except KeyboardInterrupt as error:
            raise InterruptedError("KeyboardInterrupt") from error
        finally:
            self.thread = None


def _name(record: PluginRecord | None) -> str:
    return "of the application" if record is None else f"{record.kind}/{record.name}"
