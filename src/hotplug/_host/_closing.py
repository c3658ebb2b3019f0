"""How things are started and closed: in order, each behind the wall and within a limit, errors collected."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from hotplug._lifecycle import WalledCall, close_of, name_and_text
from hotplug._records import PluginRecord
from hotplug.errors import PluginError
from hotplug.registry import run_in_thread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

__all__ = ["Closing", "attempt", "settle"]

Closing = tuple[object, PluginRecord | None]


async def settle(things: Iterable[Closing], limit: float) -> list[PluginError]:
    """
    Close *things* in the given order, each within *limit* seconds; the errors of those that would not.

    A plain ``close`` runs in a thread of its own, so that one that hangs holds up nobody for longer.
    """
    errors: list[PluginError] = []
    for thing, record in things:
        close = close_of(thing)
        if close is not None and (error := await attempt(close, record, "close", limit)) is not None:
            errors.append(error)
    return errors


async def attempt(
    method: Callable[[], Any], record: PluginRecord | None, doing: str, limit: float
) -> PluginError | None:
    """Call *method*, sync or async, within *limit* seconds; the error if it did not go well."""
    outcome = await WalledCall(lambda: _call(method), grace=min(limit, 1.0)).outcome(limit)
    if outcome.state == "done":
        return None
    if outcome.state == "timed out":
        return PluginError(f"{doing} did not finish within {limit:g} s", record, reason="timed out")
    failure = PluginError(f"{doing} raised {name_and_text(outcome.error)}", record, reason=f"failed {doing}")
    failure.__cause__ = outcome.error
    return failure


async def _call(method: Callable[[], Any]) -> None:
    if inspect.iscoroutinefunction(method):
        await method()
        return
    answer: Awaitable[Any] | Any = await run_in_thread(method)
    if inspect.isawaitable(answer):
        await answer
