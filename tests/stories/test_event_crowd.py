"""A million events to 250 users, from eight threads."""

from __future__ import annotations

import resource

import pytest

from event_crowd import play
from hotplug.events import EventHub

pytestmark = pytest.mark.real_services

USERS, EVENTS = 250, 1_000_000
MEGABYTE = 2**20


@pytest.mark.usefixtures("nothing_left")
def test_a_million_events_in_bounded_memory():
    """
    While readers of all paces come and go: none misrouted, none out of order, all books balance, all bounded.
    """
    cap = 24 * MEGABYTE
    hub = EventHub(max_events=1000, max_total_bytes=cap)
    before = peak()

    crowd = play(hub, USERS, EVENTS, cap, limit=300)

    assert hub.stats().emitted == crowd.emitted == EVENTS
    assert crowd.samples > 10
    assert cap / 2 < crowd.most_bytes <= cap
    assert peak() - before <= 2 * cap
    crowd.check_ends()
    lives = sum(each.lives for each in crowd.witnesses)
    print(f"\n{crowd.samples} samples of {len(crowd.witnesses)} readers, who came {lives} times")
    print(f"{crowd.most_bytes / MEGABYTE:.1f} MiB in rings, {(peak() - before) / MEGABYTE:.1f} MiB in all")


@pytest.mark.usefixtures("nothing_left")
def test_where_there_is_room_each_gets_everything():
    """
    With room for all, every reader that stays is handed each of its events, or a newer snapshot instead.
    """
    hub = EventHub(max_events=8192)

    crowd = play(hub, USERS, EVENTS // 2, 2**28, limit=300)

    staying = [each for each in crowd.witnesses if each.pace != "restless"]
    assert crowd.check_ends() == len(staying)
    for witness in staying:
        stats = witness.cursor.stats()
        assert (stats.dropped, stats.delivered + stats.coalesced) == (0, stats.emitted)


def peak() -> int:
    """The most memory that this process had so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
