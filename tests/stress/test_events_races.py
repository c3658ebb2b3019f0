"""Many threads emit to many users at once: nothing is misrouted, reordered or miscounted."""

from __future__ import annotations

import asyncio
import random
import threading

import pytest

from hotplug.context import UserExecutionContext
from hotplug.events import EventHub

THREADS = 8
USERS = [UserExecutionContext(f"user-{n}") for n in range(50)]


def emit_in_threads(hub: EventHub, each: int) -> list[threading.Thread]:
    """Each thread numbers its events for each user."""

    def work(number: int) -> None:
        choose = random.Random(number)
        counts = dict.fromkeys(range(len(USERS)), 0)
        for _ in range(each):
            index = choose.randrange(len(USERS))
            user = USERS[index]
            hub.emit(user, "CUSTOM", {"to": user.user_id, "thread": number, "n": counts[index]})
            counts[index] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    return threads


def check_order(user: UserExecutionContext, events) -> None:
    """No event of somebody else, and each thread's events in its order."""
    last: dict[int, int] = {}
    for event in events:
        if event.type == "GAP":
            continue
        assert event.user_id == event.payload["to"] == user.user_id
        assert event.payload["n"] > last.get(event.payload["thread"], -1)
        last[event.payload["thread"]] = event.payload["n"]


@pytest.mark.usefixtures("eager_threads")
def test_none_misrouted_none_out_of_order():
    """
    Eight threads emit to fifty users who read meanwhile: each gets all that is its own, in order.
    """
    hub, each = EventHub(), 2500

    async def read(cursor) -> list[object]:
        return [event async for event in cursor]

    async def world() -> list[list[object]]:
        cursors = [hub.open(user) for user in USERS]
        reading = [asyncio.create_task(read(cursor)) for cursor in cursors]
        threads = emit_in_threads(hub, each)
        await asyncio.to_thread(lambda: [thread.join() for thread in threads])
        hub.close()
        return await asyncio.gather(*reading)

    seen = asyncio.run(asyncio.wait_for(world(), 60))

    assert sum(map(len, seen)) == THREADS * each
    for user, events in zip(USERS, seen, strict=True):
        check_order(user, events)


@pytest.mark.usefixtures("eager_threads")
def test_the_books_balance_at_every_instant():
    """
    While rings overflow and readers poll, one `stats()` is one instant: the identity holds in each, exactly.
    """
    hub, each = EventHub(max_events=16, max_total_bytes=300_000), 1500
    cursors = [hub.open(user) for user in USERS]
    seen: list[list[object]] = [[] for _ in USERS]
    threads = emit_in_threads(hub, each)

    while any(thread.is_alive() for thread in threads):
        for cursor, events in zip(cursors, seen, strict=True):
            events += cursor.poll(5)
            stats = cursor.stats()
            assert stats.emitted == stats.delivered + stats.coalesced + stats.dropped + stats.pending
        whole = hub.stats()
        assert whole.emitted == whole.events + whole.evicted
        assert whole.size <= 300_000
    for user, cursor, events in zip(USERS, cursors, seen, strict=True):
        events += cursor.poll(1000)
        check_order(user, events)
        gaps = sum(event.payload["missed"] for event in events if event.type == "GAP")
        delivered = sum(event.type != "GAP" for event in events)
        assert (cursor.stats().dropped, cursor.stats().delivered) == (gaps, delivered)
    assert sum(cursor.stats().emitted for cursor in cursors) == hub.stats().emitted == THREADS * each
