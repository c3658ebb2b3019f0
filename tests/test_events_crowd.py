"""A crowd: many threads emit to many users, who read at their own pace; the same in full is a story."""

from __future__ import annotations

import gc
import tracemalloc

import pytest

from event_crowd import play
from hotplug.context import UserExecutionContext
from hotplug.events import EventHub

CAP = 300_000


@pytest.mark.usefixtures("eager_threads", "nothing_left")
def test_a_crowd_is_told_what_is_its_own():
    """
    However threads take turns: nothing is misrouted or out of order, each book balances, all is bounded.
    """
    hub = EventHub(max_events=60, max_total_bytes=CAP)

    crowd = play(hub, users=25, events=10_000, cap=CAP, limit=60)

    assert hub.stats().emitted == crowd.emitted
    assert 0 < crowd.most_bytes <= CAP
    crowd.check_ends()


@pytest.mark.usefixtures("eager_threads", "nothing_left")
def test_a_crowd_loses_nothing_where_there_is_room():
    """
    While rings have room, each reader that stays gets everything, whatever its pace.
    """
    hub = EventHub()

    crowd = play(hub, users=25, events=4_000, cap=2**28, limit=60)

    staying = [each for each in crowd.witnesses if each.pace != "restless"]
    assert crowd.check_ends() == len(staying)
    for witness in staying:
        stats = witness.cursor.stats()
        assert (stats.dropped, stats.delivered + stats.coalesced) == (0, stats.emitted)


def test_the_cap_is_what_memory_is_taken():
    """
    The events of all users take about as much memory as `max_total_bytes` says, however small they are.
    """
    hub = EventHub(max_total_bytes=2**20)
    users = [UserExecutionContext(f"user-{n}") for n in range(20)]
    for user in users:
        hub.open(user)
    tracemalloc.start()
    try:
        for n in range(10_000):
            hub.emit(users[n % 20], "CUSTOM", {"n": n})
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert hub.stats().evicted > 5_000
    assert taken <= 1.25 * 2**20
