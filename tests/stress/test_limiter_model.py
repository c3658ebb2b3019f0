"""The limiter against a simulated venue that counts every call when it arrives."""

from __future__ import annotations

import asyncio
import math
import random
import threading
import time
from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hotplug.brokers._limits._limiter import Limiter, RateWindow
from hotplug.errors import Outcome, RateLimited
from hotplug.market import RateLimitSeen
from racing import in_threads
from thorough import part_of
from virtual_time import VirtualLoop, run_virtual

CALLS = ("place", "query", "cancel")


@dataclass(frozen=True)
class Plan:
    """What one call will meet. Times are whole, so that sums of them are exact."""

    start: int
    call: str
    account: str
    patience: int
    travel: int
    back: int
    fate: str
    cancelled_after: int | None

    @property
    def urgent(self) -> bool:
        return self.call == "cancel"


@dataclass
class Story:
    """What became of it: when it stood in line and when no more; when the venue got it, and its end."""

    plan: Plan
    number: int = -1
    joined: float = math.inf
    settled: float = math.inf
    granted: float | None = None
    arrived: float | None = None
    ended: float = math.inf
    refusal: RateLimited | None = None

    @property
    def until(self) -> float:
        return self.joined + self.plan.patience

    def waits_at(self, tick: float) -> bool:
        """Whether it stands in line at the end of that tick."""
        return self.joined <= tick < self.settled

    def occupies(self, window: RateWindow, tick: float) -> bool:
        return self.granted is not None and self.granted <= tick < self.ended + window.window

    def weighs(self, window: RateWindow) -> int:
        return window.weight_of(self.plan.call)


@dataclass(frozen=True)
class Pause:
    at: int
    seconds: int
    account: str

    def may_hold(self, story: Story, tick: float) -> bool:
        """Whether it was held up then, or in one of the two moments of which it is open what came first."""
        return self.account in ("", story.plan.account) and self.at <= tick <= self.at + self.seconds


@dataclass
class World:
    windows: list[RateWindow]
    plans: list[Plan]
    pauses: list[Pause] = field(default_factory=list)
    reloads: list[int] = field(default_factory=list)
    sightings: list[tuple[int, int]] = field(default_factory=list)


weights = st.none() | st.dictionaries(st.sampled_from(("place", "query", "*")), st.integers(0, 3))


@st.composite
def worlds(draw, *, sightings=False):
    windows = [
        RateWindow(
            f"w{number}", draw(st.integers(1, 12)), float(draw(st.integers(1, 12))), scope, draw(weights)
        )
        for number, scope in enumerate(
            draw(st.lists(st.sampled_from(("key", "account")), min_size=1, max_size=3))
        )
    ]
    few = st.integers(0, 8)
    plans = st.builds(
        Plan,
        start=st.integers(0, 12),
        call=st.sampled_from(CALLS),
        account=st.sampled_from("AAB"),
        patience=st.sampled_from((200, 40, 15, 3)),
        travel=few,
        back=few,
        fate=st.sampled_from(("answered", "answered", "answered", "lost", "forgotten")),
        cancelled_after=st.none() | st.none() | few,
    )
    world = World(windows, draw(st.lists(plans, min_size=15, max_size=50)))
    if sightings:
        world.sightings = draw(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 12)), max_size=5))
    else:
        pauses = st.builds(Pause, st.integers(0, 25), st.integers(1, 15), st.sampled_from(("", "A")))
        world.pauses = draw(st.lists(pauses, max_size=2))
        world.reloads = draw(st.lists(st.integers(0, 25), max_size=2))
    return world


def disturb(world: World, limiter: Limiter, loop: VirtualLoop) -> None:
    """Have the venue and the host interfere, in their time."""
    for pause in world.pauses:
        scope = "account" if pause.account else "key"
        loop.call_at(pause.at, lambda p=pause, s=scope: limiter.pause(p.seconds, scope=s, account=p.account))
    for at in world.reloads:
        loop.call_at(at, limiter.configure, world.windows)
    for at, used in world.sightings:
        report = RateLimitSeen(name="w0", used=used)
        loop.call_at(at, lambda report=report: limiter.seen(report, account="A"))


async def live(world: World, loop: VirtualLoop) -> tuple[list[Story], Limiter]:
    """Let everybody call, and note what happens."""
    limiter = Limiter(world.windows, clock=loop.time)
    numbers = count()
    stories = [Story(plan) for plan in world.plans]

    async def call(story: Story) -> None:
        plan = story.plan
        await asyncio.sleep(plan.start)
        story.number, story.joined = next(numbers), loop.now
        try:
            ticket = await limiter.acquire(
                plan.call, until=story.until, account=plan.account, urgent=plan.urgent
            )
        except RateLimited as error:
            story.refusal = error
            return
        finally:
            story.settled = loop.now
        story.granted = loop.now
        story.arrived = min(loop.now + plan.travel, story.until)
        if plan.fate == "forgotten":
            story.ended = story.until
        elif plan.fate == "lost":
            await asyncio.sleep(plan.back)  # who gives up may do so before the venue has it
            ticket.done(answered=False)
            story.ended = max(story.until, loop.now)
        else:
            await asyncio.sleep(story.arrived + plan.back - loop.now)
            ticket.done()
            story.ended = loop.now

    tasks = [asyncio.create_task(call(story)) for story in stories]
    for story, task in zip(stories, tasks, strict=True):
        if story.plan.cancelled_after is not None:
            at = story.plan.start + story.plan.cancelled_after
            loop.call_at(at, lambda story=story, task=task: story.granted is None and task.cancel())
    disturb(world, limiter, loop)
    await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        assert task.cancelled() or task.exception() is None
    return stories, limiter


def same_window(one: Story, other: Story, world: World) -> bool:
    return any(
        one.weighs(window) and other.weighs(window)
        for window in world.windows
        if window.scope == "key" or one.plan.account == other.plan.account
    )


def room(window: RateWindow, story: Story) -> int:
    return window.limit if story.plan.urgent else max(1, window.limit - max(1, window.limit // 10))


def is_full(window: RateWindow, story: Story, stories: list[Story], tick: float) -> bool:
    """Whether there is no room for *story* in that window then, by the rule's own words."""
    used = sum(
        other.weighs(window)
        for other in stories
        if other is not story
        and other.occupies(window, tick)
        and (window.scope == "key" or other.plan.account == story.plan.account)
    )
    return bool(story.weighs(window)) and used + story.weighs(window) > room(window, story)


def is_ahead(one: Story, other: Story) -> bool:
    """Whether *one* is to be served before *other*, as both wait."""
    return (not one.plan.urgent, one.number) < (not other.plan.urgent, other.number)


def most_at_once(world: World, stories: list[Story], *, urgent: bool) -> dict[str, int]:
    """How much the venue got in any window at most."""
    most = {}
    for window in world.windows:
        for account in ("A", "B") if window.scope == "account" else ("AB",):
            arrivals = [
                (story.arrived, story.weighs(window))
                for story in stories
                if story.arrived is not None
                and story.plan.account in account
                and (urgent or not story.plan.urgent)
            ]
            sums = [
                sum(weight for at, weight in arrivals if start <= at < start + window.window)
                for start, _ in arrivals
            ]
            most[window.name] = max([*sums, most.get(window.name, 0)])
    return most


def check_limits(world: World, stories: list[Story]) -> None:
    everybody, others = (most_at_once(world, stories, urgent=urgent) for urgent in (True, False))
    for window in world.windows:
        assert everybody[window.name] <= window.limit
        assert others[window.name] <= max(1, window.limit - max(1, window.limit // 10)), (
            "the reserve was used"
        )


def check_order(world: World, stories: list[Story]) -> None:
    for late in (story for story in stories if story.granted is not None):
        for early in stories:
            if early.joined < late.granted < early.settled and is_ahead(early, late):
                held = any(pause.may_hold(early, late.granted) for pause in world.pauses)
                assert held or not same_window(early, late, world), f"{late} overtook {early}"


def check_no_idling(world: World, stories: list[Story]) -> None:
    for story in stories:
        tick = (story.granted or 0.0) - 1
        if story.granted is None or tick < story.joined:
            continue
        assert (
            any(is_full(window, story, stories, tick) for window in world.windows)
            or any(
                other.waits_at(tick) and is_ahead(other, story) and same_window(other, story, world)
                for other in stories
                if other is not story
            )
            or any(pause.at <= tick < pause.at + pause.seconds for pause in world.pauses)
        ), f"{story} could have gone earlier"


def check_refusals(world: World, stories: list[Story]) -> None:
    # What was given to a call that was cancelled in that very moment came back too late for others.
    given_back = {story.settled for story in stories if story.granted is None and story.refusal is None}
    for story in (story for story in stories if story.refusal is not None):
        assert story.refusal.outcome is Outcome.NOT_SENT
        assert story.refusal.code == "limit"
        assert story.settled <= story.until
        known = [other for other in stories if other.granted is not None and other.granted <= story.settled]
        for tick in range(int(story.settled), int(story.until)):
            assert (
                any(is_full(window, story, known, tick) for window in world.windows)
                or any(pause.at <= tick < pause.at + pause.seconds for pause in world.pauses)
                or story.settled in given_back
            ), f"{story} was refused and could have gone at {tick}"


@settings(max_examples=part_of(80), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(worlds())
def test_the_venue_never_counts_more(world):
    """
    Whenever calls arrive between send and response, no window of the venue holds more than its limit; a tenth
    is kept for cancels; order is kept, nobody waits needlessly, and nobody is refused who could have gone.
    """

    async def main(loop):
        stories, limiter = await live(world, loop)
        check_limits(world, stories)
        check_order(world, stories)
        check_no_idling(world, stories)
        check_refusals(world, stories)
        waited_for = max([story.ended for story in stories if story.granted is not None], default=0.0)
        await asyncio.sleep(max(0.0, waited_for - loop.now) + 60)
        assert limiter.usage() == 0.0
        assert [limit.waiting for limit in limiter.limits()] == [0] * len(world.windows)
        assert len(limiter._flights.heap) == 0
        assert loop.timers() == 0, "an alarm was left behind"

    run_virtual(main)


@settings(max_examples=part_of(40), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(worlds(sightings=True))
def test_foreign_calls_never_let_more_through(world):
    """
    What the venue says that it counts can only make calls wait longer: its limits and the order hold as ever.
    """

    async def main(loop):
        stories, _ = await live(world, loop)
        check_limits(world, stories)
        check_order(world, stories)

    run_virtual(main)


# -- in real time ----------------------------------------------------------------------------------


def most_in_a_window(moments: list[float], window: float) -> int:
    return max(sum(start <= moment < start + window for moment in moments) for start in moments)


@pytest.mark.parametrize("seed", [1, 2])
def test_fifty_calls_at_once_in_real_time(seed):
    """
    Fifty calls at once, each with its own jitter: the venue gets ten in no window, in the order of asking.
    """
    window, arrivals, order = 0.03, [], []
    limiter = Limiter([RateWindow("orders", limit=10, window=window)])
    chance = random.Random(seed)

    async def call(number: int) -> None:
        ticket = await limiter.acquire("place", until=time.monotonic() + 30)
        order.append(number)
        await asyncio.sleep(chance.random() * window / 2)
        arrivals.append(time.monotonic())
        await asyncio.sleep(chance.random() * window / 2)
        ticket.done()

    async def main() -> None:
        await asyncio.gather(*(call(number) for number in range(50)))

    asyncio.run(main())

    assert len(arrivals) == 50
    assert most_in_a_window(arrivals, window) <= 9, "a tenth is kept for cancels"
    assert order == list(range(50))


@pytest.mark.usefixtures("eager_threads")
def test_loops_of_several_threads_share_the_limits():
    """
    Three loops in three threads call while two more threads look on: all are served, within the limit.
    """
    window, arrivals = 0.02, []
    limiter = Limiter([RateWindow("orders", limit=10, window=window)])
    finished = threading.Event()

    async def call() -> None:
        ticket = await limiter.acquire("place", until=time.monotonic() + 30)
        arrivals.append(time.monotonic())
        await asyncio.sleep(0)
        ticket.done()

    async def caller() -> None:
        await asyncio.gather(*(call() for _ in range(25)))

    def look_on() -> None:
        while not finished.is_set():
            limiter.limits()
            limiter.seen(RateLimitSeen(name="orders", used=0))
            assert 0.0 <= limiter.usage() <= 1.0

    def run() -> None:
        asyncio.run(caller())
        if len(arrivals) == 75:
            finished.set()

    outcomes = in_threads(run, run, run, look_on, look_on)

    assert outcomes == [None] * 5
    assert len(arrivals) == 75
    assert most_in_a_window(arrivals, window) <= 9
    assert limiter.limits()[0].waiting == 0
