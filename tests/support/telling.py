"""What tests of events share: two users, and who tells them something."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from hotplug.context import UserExecutionContext
from hotplug.events import Event, EventCursor, EventHub

ADA = UserExecutionContext("ada", thread_id="talk", run_id="run-1")
BOB = UserExecutionContext("bob")


def numbers(events: Iterable[Event]) -> list[int]:
    return [event.payload["n"] for event in events]


def emit_many(
    hub: EventHub, context: UserExecutionContext, count: int, type_: str = "CUSTOM", start: int = 0
) -> list[str]:
    return [hub.emit(context, type_, {"n": n}) for n in range(start, start + count)]


def identity_holds(cursor: EventCursor) -> bool:
    stats = cursor.stats()
    return stats.emitted == stats.delivered + stats.coalesced + stats.dropped + stats.pending


async def until(condition: Callable[[], object]) -> None:
    """Give others their turn until *condition* is true."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0)
