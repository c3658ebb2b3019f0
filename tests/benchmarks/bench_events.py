"""
Emitting beside what does less, in one run: to one user, to many, in threads; and reading what was emitted.

    pytest tests/benchmarks/bench_events.py -o python_files='bench_*.py' -s

Cases take turns, round by round, in thread CPU time. They are printed and stand in ``extra_info``. No time
is asserted: the bars of DESIGN 6 stand beside what was measured.
"""

from __future__ import annotations

import queue
import statistics
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from typing import Any

import msgspec

from hotplug.context import UserExecutionContext
from hotplug.events import EventHub
from measuring import Case, interleaved, show

EVENTS, ROUNDS = 5000, 15
THREADS = 8
USERS = [UserExecutionContext(f"user-{n}") for n in range(250)]
PAYLOAD = {"name": "fill", "value": {"symbol": "IBM", "quantity": 100}}
BAR = 1.0


def emits(hub: EventHub, users: list[UserExecutionContext], type_: str = "CUSTOM") -> Case:
    """As many events, to each of the users in turn."""
    turns = list(islice(cycle(users), EVENTS))

    def run() -> None:
        emit = hub.emit
        for user in turns:
            emit(user, type_, PAYLOAD)

    return run


def full(users: list[UserExecutionContext], **limits: int) -> EventHub:
    """A hub whose rings are full: each emit has to give something up."""
    hub = EventHub(max_events=1000, **limits)
    for user in users:
        for _ in range(1001):
            hub.emit(user, "CUSTOM", PAYLOAD)
    return hub


def puts() -> None:
    """The least that a thread can do to tell another something."""
    told: queue.SimpleQueue[object] = queue.SimpleQueue()
    put = told.put
    for _ in range(EVENTS):
        put(PAYLOAD)


def appends() -> None:
    """The same, unsafe to be waited for."""
    append = deque[object](maxlen=1000).append
    for _ in range(EVENTS):
        append(PAYLOAD)


def snapshots() -> None:
    """What nobody can change any more, put where others find it: a copy in JSON, its time, under a lock."""
    encode, told, guard = msgspec.json.Encoder().encode, deque[object](maxlen=1000), threading.Lock()
    for _ in range(EVENTS):
        body = encode(PAYLOAD)
        with guard:
            told.append((body, time.time()))


def test_emit(benchmark: Any) -> None:
    """
    One event of one thread.
    """
    watched = full(USERS[:1])
    cursor = watched.open(USERS[0])
    numbers = interleaved(
        {
            "emit, one user": emits(EventHub(max_events=10**6), USERS[:1]),
            "emit, one user, ring full": emits(full(USERS[:1]), USERS[:1]),
            "emit, one user, ring full, snapshots": emits(full(USERS[:1]), USERS[:1], "STATE_SNAPSHOT"),
            "emit, one user, ring full, read never": emits(watched, USERS[:1]),
            "emit, 250 users": emits(EventHub(), USERS),
            "emit, 250 users, rings full": emits(full(USERS), USERS),
            "emit, 250 users, common cap reached": emits(full(USERS, max_total_bytes=8 * 2**20), USERS),
            "JSON and time into a deque, with a lock": snapshots,
            "queue.SimpleQueue.put": puts,
            "deque.append": appends,
        },
        ROUNDS,
        EVENTS,
    )
    cursor.close()
    bars = {name: BAR for name in numbers if name.startswith("emit")}
    show(benchmark, "CPU of an event", numbers, "us", bars)
    benchmark.pedantic(emits(EventHub(), USERS), rounds=3)


def test_emit_in_threads(benchmark: Any) -> None:
    """
    Eight threads at once to 250 users: the CPU time of each thread for one of its events.
    """

    def timed(work: Case, together: threading.Barrier) -> float:
        together.wait()
        begun = time.thread_time()
        work()
        return (time.thread_time() - begun) / EVENTS * 1e6

    def side_by_side(work: Case) -> float:
        together = threading.Barrier(THREADS)
        with ThreadPoolExecutor(THREADS) as pool:
            return statistics.median(pool.map(lambda _: timed(work, together), range(THREADS)))

    to_many, to_one = emits(full(USERS), USERS), emits(full(USERS[:1]), USERS[:1])
    ways = {"emit, 250 users": to_many, "emit, one user": to_one, "queue.SimpleQueue.put": puts}
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(7):
        for name, work in ways.items():
            found[name].append(side_by_side(work))
    numbers = {name: statistics.median(samples) for name, samples in found.items()}
    show(benchmark, f"CPU of an event, {THREADS} threads", numbers, "us", dict.fromkeys(list(ways)[:2], BAR))
    benchmark.pedantic(lambda: side_by_side(to_many), rounds=3)


def test_read(benchmark: Any) -> None:
    """
    One event that is handed out: as it is stored, or as an `Event`.
    """
    hub = EventHub(max_events=2 * EVENTS)
    places = [hub.emit(USERS[0], "CUSTOM", PAYLOAD) for _ in range(EVENTS + 1)]

    def taken() -> None:
        with hub.open(USERS[0], after=places[0]) as cursor:
            while cursor.take(100):
                pass

    def polled() -> None:
        with hub.open(USERS[0], after=places[0]) as cursor:
            while cursor.poll(100):
                pass

    def decoded() -> None:
        decode, body = msgspec.json.decode, msgspec.json.encode(PAYLOAD)
        for _ in range(EVENTS):
            decode(body)

    cases = {"take": taken, "poll": polled, "decode the payload, no more": decoded}
    show(benchmark, "CPU of an event read", interleaved(cases, ROUNDS, EVENTS), "us", {})
    benchmark.pedantic(polled, rounds=3)
