"""What tests of a crowd share: many threads emit to many users, who read, sleep, leave and come back."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from hotplug.context import UserExecutionContext
from hotplug.events import CursorStats, Event, EventCursor, EventHub

__all__ = ["Crowd", "Witness", "play"]

EMITTERS, READERS = 8, 3
TYPES = ("CUSTOM", "TEXT_MESSAGE_CONTENT", "STATE_SNAPSHOT", "RUN_FINISHED")
OFTEN = (90, 60, 10, 1)


def seq_of(place: str) -> int:
    return int(place.partition(":")[2])


class Witness:
    """
    Reads one user's events, and checks each: its user's, none twice, none out of order, all losses told.

    *pace* says how: ``quick``, ``slow``, ``asleep`` (until all is over) or ``restless`` (leaves and resumes).
    """

    def __init__(self, hub: EventHub, user: UserExecutionContext, pace: str) -> None:
        self.hub, self.user, self.pace = hub, user, pace
        self.said: dict[int, int] = {}
        self.ended: set[tuple[int, int]] = set()
        self.lives = self.times_too_slow = 0
        self.cursor: EventCursor
        self.enter(None)

    def enter(self, after: str | None) -> None:
        self.cursor = self.hub.open(self.user, after=after)
        self.start = self.seq = seq_of(self.cursor.ack())
        assert after is None or seq_of(after) == self.start
        self.handed = self.skipped = self.missed = 0
        self.is_over = False
        self.lives += 1

    def hear(self, events: Iterable[Event]) -> int:
        """How many there were; each is checked."""
        count = 0
        for event in events:
            count += 1
            assert not self.is_over, "something came after the end"
            if event.type == "GAP":
                self.missed += event.payload["missed"]
                self.is_over = event.payload["reason"] == "too slow"
                continue
            thread, n = event.payload["thread"], event.payload["n"]
            assert event.user_id == event.payload["to"] == self.user.user_id, "misrouted"
            assert n > self.said.get(thread, -1), "out of order, or twice"
            seq = seq_of(event.cursor)
            self.skipped += seq - self.seq - 1
            self.said[thread], self.seq = n, seq
            self.handed += 1
            if event.type == "RUN_FINISHED":
                self.ended.add((thread, n))
        return count

    def take_a_turn(self, chance: random.Random) -> None:
        """Read as its *pace* is."""
        if self.pace == "quick":
            self.hear(self.cursor.poll(1000))
        elif self.pace == "slow" and chance.random() < 0.1:
            self.hear(self.cursor.poll(10))
        elif self.pace == "restless":
            self.hear(self.cursor.poll(40))
            if chance.random() < 0.2:
                self.come_back()
        if self.is_over:
            self.times_too_slow += 1
            self.come_back()

    def come_back(self) -> None:
        """Leave, and resume where it was; what it did not read counts as lost to that life of it."""
        place = self.cursor.ack()
        self.cursor.close()
        self.check_books()
        self.enter(place)

    def read_to_the_end(self) -> None:
        while self.hear(self.cursor.poll(1000)):
            pass
        assert self.check_books().pending == 0
        self.times_too_slow += self.is_over

    def check_books(self) -> CursorStats:
        """What it counted itself is what is said of it, for each number one thing."""
        stats = self.cursor.stats()
        never = stats.emitted - (self.seq - self.start)  # of the newest, none of which was handed out
        assert stats.delivered == self.handed
        assert stats.emitted == stats.delivered + stats.coalesced + stats.dropped + stats.pending
        assert stats.dropped + stats.coalesced + stats.pending == self.skipped + never
        assert self.missed <= stats.dropped
        return stats


@dataclass
class Crowd:
    """What came of it."""

    hub: EventHub
    witnesses: list[Witness]
    emitted: int
    ends: dict[str, set[tuple[int, int]]] = field(default_factory=dict)
    samples: int = 0
    most_bytes: int = 0

    def check_ends(self) -> int:
        """Who was never told that it was too slow has the end of each run; how many of those there were."""
        steady = [each for each in self.witnesses if each.pace != "restless" and not each.times_too_slow]
        for witness in steady:
            assert witness.ended == self.ends[witness.user.user_id]
        return len(steady)


def play(hub: EventHub, users: int, events: int, cap: int, limit: float) -> Crowd:
    """*events* by eight threads to so many *users*; all checks hold meanwhile, or an `AssertionError`."""
    people = [UserExecutionContext(f"user-{n}") for n in range(users)]
    paces = ("quick", "slow", "asleep", "restless")
    witnesses = [Witness(hub, user, pace) for user in people for pace in paces]
    listening = [Witness(hub, user, "async") for user in people[::10]]
    crowd = Crowd(hub, witnesses + listening, events // EMITTERS * EMITTERS)
    emitted, stop = threading.Event(), threading.Event()
    with ThreadPoolExecutor(EMITTERS + READERS + 2) as pool:
        emitting = [
            pool.submit(_emit, hub, people, events // EMITTERS, number, stop) for number in range(EMITTERS)
        ]
        others = [
            pool.submit(_read, witnesses[number::READERS], number, emitted, stop) for number in range(READERS)
        ]
        others.append(pool.submit(_sample, crowd, cap, emitted, stop))
        others.append(pool.submit(lambda: asyncio.run(_listen(listening))))
        try:
            _all_of(emitting, limit)
            emitted.set()
            _all_of(others[:-1], limit)
        finally:
            stop.set()
            emitted.set()
            hub.close()
        _all_of(others, limit)
    for finished in emitting:
        for user, ends in finished.result().items():
            crowd.ends.setdefault(user, set()).update(ends)
    return crowd


def _all_of(futures: list[Future[object]], limit: float) -> None:
    done, left = wait(futures, limit, FIRST_EXCEPTION)
    for future in done:
        future.result()
    assert not left, "somebody hangs"


def _emit(
    hub: EventHub, people: list[UserExecutionContext], count: int, number: int, stop: threading.Event
) -> dict[str, set[tuple[int, int]]]:
    """Number what is told to each; which of it were ends of runs."""
    chance = random.Random(number)
    said = dict.fromkeys(range(len(people)), 0)
    ends: dict[str, set[tuple[int, int]]] = {user.user_id: set() for user in people}
    kinds = chance.choices(TYPES, OFTEN, k=997)
    for turn in range(count):
        if stop.is_set():
            break
        index = int(chance.random() * len(people))
        user, n, kind = people[index], said[index], kinds[turn % 997]
        hub.emit(user, kind, {"to": user.user_id, "thread": number, "n": n})
        said[index] = n + 1
        if kind == "RUN_FINISHED":
            ends[user.user_id].add((number, n))
    return ends


def _read(mine: list[Witness], number: int, emitted: threading.Event, stop: threading.Event) -> None:
    chance = random.Random(1000 + number)
    while not emitted.is_set():
        for witness in mine:
            witness.take_a_turn(chance)
    if not stop.is_set():
        for witness in mine:
            witness.read_to_the_end()


def _sample(crowd: Crowd, cap: int, emitted: threading.Event, stop: threading.Event) -> None:
    """At every instant each book balances, nothing is counted back, and all rings together are bounded."""
    seen: dict[EventCursor, CursorStats] = {}
    while not emitted.is_set() or not crowd.samples:
        seen = {
            witness.cursor: _sampled(witness.cursor, seen.get(witness.cursor)) for witness in crowd.witnesses
        }
        whole = crowd.hub.stats()
        assert whole.emitted == whole.events + whole.evicted
        assert whole.size <= cap
        crowd.most_bytes = max(crowd.most_bytes, whole.size)
        crowd.samples += 1
        if stop.is_set():
            break


def _sampled(cursor: EventCursor, before: CursorStats | None) -> CursorStats:
    stats = cursor.stats()
    assert stats.emitted == stats.delivered + stats.coalesced + stats.dropped + stats.pending
    assert min(stats.delivered, stats.coalesced, stats.dropped, stats.pending) >= 0
    if before is not None:
        for fact in ("emitted", "delivered", "coalesced", "dropped"):
            assert getattr(stats, fact) >= getattr(before, fact), f"{fact} went back"
    return stats


async def _listen(witnesses: list[Witness]) -> None:
    """All of them on one loop, until the hub is closed."""

    async def one(witness: Witness) -> None:
        while True:
            async for event in witness.cursor:
                witness.hear([event])
            if not witness.is_over:
                break
            witness.times_too_slow += 1
            witness.come_back()
        witness.check_books()

    await asyncio.gather(*(one(witness) for witness in witnesses))
