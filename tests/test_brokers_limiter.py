"""The limiter: what a window lets through, who waits, who is refused, and what it tells of itself."""

from __future__ import annotations

import asyncio
import copy
import gc
import math
import pickle
import threading
from datetime import UTC, datetime, timedelta

import pytest

from hotplug.brokers._limits._limiter import Limiter, RateWindow, Ticket
from hotplug.errors import Outcome, RateLimited
from hotplug.market import RateLimitSeen
from racing import in_threads
from virtual_time import VirtualLoop, run_virtual

TEN = RateWindow("orders", limit=10, window=1.0)


class Clock:
    """A clock that the test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def limited(clock):
    """Makes a limiter with that clock."""

    def make(*windows) -> Limiter:
        return Limiter(windows, clock=clock)

    return make


def take(
    limiter: Limiter, count: int, call: str = "place", *, until: float = 110.0, **options
) -> list[Ticket]:
    tickets = [limiter.try_acquire(call, until=until, **options) for _ in range(count)]
    assert None not in tickets
    return tickets


def fill(limiter: Limiter, call: str = "place", *, until: float = 110.0, **options) -> list[Ticket]:
    """Take all that there is."""
    tickets = []
    while (ticket := limiter.try_acquire(call, until=until, **options)) is not None:
        tickets.append(ticket)
    return tickets


def is_open(limiter: Limiter, call: str = "place", **options) -> bool:
    """Whether a call would go through now; it does not stay."""
    ticket = limiter.try_acquire(call, **{"until": math.inf, **options})
    if ticket is not None:
        ticket.give_back()
    return ticket is not None


def used(limiter: Limiter, **options) -> int:
    return limiter.limits(**options)[0].used


# -- a window --------------------------------------------------------------------------------------


def test_a_window_is_written_in_one_line():
    """
    A window says its name, limit, seconds and whose calls count together; a second of the key unless said.
    """
    window = RateWindow("orders", 10)

    assert (window.window, window.scope, window.weights) == (1.0, "key", None)
    assert str(RateWindow("orders", limit=10, window=60, scope="ip")) == "'orders' (10 in 60 s per ip)"


def test_a_window_is_plain_data():
    """
    Windows compare, hash, copy and pickle; their weights are their own and stay as they are.
    """
    weights = {"place": 2}
    window = RateWindow("orders", 10, weights=weights)
    weights["place"] = 7

    assert window == RateWindow("orders", 10, weights={"place": 2})
    assert hash(window) == hash(RateWindow("orders", 10))
    assert copy.deepcopy(window) == pickle.loads(pickle.dumps(window)) == window
    with pytest.raises(TypeError):
        window.weights["place"] = 3


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        ({"name": ""}, ValueError, "name"),
        ({"name": "  "}, ValueError, "name"),
        ({"name": 7}, TypeError, "string"),
        ({"limit": 0}, ValueError, "at least 1"),
        ({"limit": 2.5}, TypeError, "whole number"),
        ({"limit": True}, TypeError, "whole number"),
        ({"window": 0}, ValueError, "more than 0"),
        ({"window": math.inf}, ValueError, "more than 0"),
        ({"window": math.nan}, ValueError, "more than 0"),
        ({"window": "1s"}, TypeError, "seconds"),
        ({"window": True}, TypeError, "seconds"),
        ({"scope": "planet"}, ValueError, "account, ip, key"),
        ({"weights": 3}, TypeError, "map calls"),
        ({"weights": {"palce": 1}}, ValueError, "no call 'palce'.*place"),
        ({"weights": {"place": -1}}, ValueError, "weight of place"),
        ({"weights": {"place": 1.5}}, TypeError, "weight of place"),
    ],
)
def test_a_wrong_window_says_what_is_wrong(wrong, error, words):
    """
    A window that makes no sense is refused where it is written, with its name and what was wrong.
    """
    with pytest.raises(error, match=words):
        RateWindow(**{"name": "orders", "limit": 10, **wrong})


@pytest.mark.parametrize(
    ("weights", "weight"), [(None, 1), ({}, 0), ({"place": 5}, 5), ({"*": 2}, 2), ({"place": 0, "*": 2}, 0)]
)
def test_what_a_call_weighs(weights, weight):
    """
    Without weights each call weighs 1; with them what stands under its name, under the star, or nothing.
    """
    assert RateWindow("orders", 10, weights=weights).weight_of("place") == weight


# -- what is let through ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "others"), [(1, 1), (2, 1), (5, 4), (10, 9), (19, 18), (20, 18), (100, 90)]
)
def test_a_tenth_is_kept_for_cancels(limited, limit, others):
    """
    Of a limit all but a tenth (at least 1) is for everybody, the whole of it for cancels; a limit of 1 is
    shared, since nothing could be kept.
    """
    limiter = limited(RateWindow("orders", limit))

    assert len(fill(limiter)) == others
    assert len(fill(limiter, "cancel", urgent=True)) == limit - others


def test_what_cancels_used_is_not_given_to_others(limited):
    """
    Others stop at their share of all that is counted, so that the next cancel finds room too.
    """
    limiter = limited(TEN)
    take(limiter, 3, "cancel", urgent=True)

    assert len(fill(limiter)) == 6
    assert is_open(limiter, "cancel", urgent=True)


def test_a_call_counts_until_a_window_after_its_response(limited, clock):
    """
    A window is free again a window after the response, not after the send.
    """
    limiter = limited(RateWindow("orders", 1, window=1.0))
    [ticket] = take(limiter, 1)
    clock.now += 5
    assert not is_open(limiter)

    ticket.done()
    clock.now += 0.99
    assert not is_open(limiter)

    clock.now = 106.0
    assert is_open(limiter)


@pytest.mark.parametrize("told", [True, False])
def test_a_call_without_response_counts_until_a_window_after_its_deadline(limited, clock, told):
    """
    Whether one says so or forgets it: the venue may get such a call up to its deadline.
    """
    limiter = limited(RateWindow("orders", 1, window=1.0))
    [ticket] = take(limiter, 1, until=103.0)
    if told:
        clock.now = 101.0
        ticket.done(answered=False)

    clock.now = 103.75
    assert not is_open(limiter)

    clock.now = 104.0
    assert is_open(limiter)


@pytest.mark.parametrize("answered", [True, False])
@pytest.mark.parametrize("late", [0.5, 3.0])
def test_the_end_of_a_call_may_come_after_its_deadline(limited, clock, answered, late):
    """
    Who hears of a call after its deadline counts it for a window more, whether it had left already or not.
    """
    limiter = limited(RateWindow("orders", 1, window=1.0))
    [ticket] = take(limiter, 1, until=103.0)
    clock.now = 103.0 + late
    assert is_open(limiter) is (late > 1)

    ticket.done(answered=answered)

    assert used(limiter) == 1
    clock.now += 0.75
    assert not is_open(limiter)
    clock.now += 0.25
    assert is_open(limiter)
    assert used(limiter) == 0


def test_only_the_first_word_of_a_ticket_counts(limited, clock):
    """
    A ticket ends once: to say it twice, or otherwise, changes nothing.
    """
    limiter = limited(TEN)
    first, second = take(limiter, 2)
    first.done()
    second.give_back()
    clock.now += 0.75

    first.done()
    first.give_back()
    second.done()

    assert used(limiter) == 1
    clock.now += 0.25
    assert used(limiter) == 0


@pytest.mark.parametrize(("at", "after"), [(101.0, 0), (103.5, 0), (105.0, 0)])
def test_what_was_never_sent_is_given_back(limited, clock, at, after):
    """
    A ticket given back occupies nothing, before its deadline and after it.
    """
    limiter = limited(TEN)
    [ticket] = take(limiter, 1, until=103.0)
    clock.now = at

    ticket.give_back()

    assert used(limiter) == after


def test_all_windows_or_none(limited):
    """
    A call that one window has no room for takes nothing from the others.
    """
    limiter = limited(RateWindow("second", 10), RateWindow("minute", 2, window=60, weights={"place": 1}))
    take(limiter, 1)

    assert limiter.try_acquire("place", until=110) is None
    assert [limit.used for limit in limiter.limits()] == [1, 1]
    assert is_open(limiter, "query"), "it weighs nothing in the full window"


def test_weights_add_up(limited):
    """
    A window holds its limit in weight.
    """
    limiter = limited(RateWindow("weight", 10, weights={"snapshot": 5, "*": 2}))
    take(limiter, 1, "snapshot")

    assert len(fill(limiter, "quote")) == 2


def test_each_account_has_windows_of_its_own(limited):
    """
    A window per account counts each account apart, one per key all of them together.
    """
    limiter = limited(RateWindow("orders", 4, scope="account"), RateWindow("all", 6, scope="ip"))

    assert len(fill(limiter, account="A")) == 3
    assert len(fill(limiter, account="B")) == 2, "five of six are for all"


def test_without_windows_everything_passes(limited):
    """
    A gateway that declares no limits has none.
    """
    limiter = limited()
    for ticket in take(limiter, 1000):
        ticket.done()

    assert limiter.usage() == 0.0
    assert limiter.limits() == ()
    assert repr(limiter) == "Limiter(no limits)"


@pytest.mark.parametrize("until", [99.0, 100.0, math.nan])
def test_nothing_goes_after_its_deadline(limited, until):
    """
    A call whose deadline has passed gets no ticket, room or not.
    """
    assert limited(TEN).try_acquire("place", until=until) is None


# -- what the venue says ---------------------------------------------------------------------------


def test_a_pause_holds_for_everybody(limited, clock):
    """
    After a 429 nobody calls, cancels neither, nor what weighs nothing; then all is as before.
    """
    limiter = limited(RateWindow("orders", 10, weights={"place": 1}))
    limiter.pause(3.0)

    assert not is_open(limiter)
    assert not is_open(limiter, "cancel", urgent=True)
    assert not is_open(limiter, "ping")
    assert limiter.usage() == 1.0
    assert limiter.limits()[0].remaining == 0

    clock.now += 3
    assert is_open(limiter)
    assert limiter.usage() == 0.0
    assert limiter.limits()[0].remaining == 10


def test_a_pause_of_one_account(limited, clock):
    """
    An account may be told to wait without the others; when nobody says which, all wait.
    """
    limiter = limited(TEN)
    limiter.pause(3.0, scope="account", account="A")

    assert not is_open(limiter, account="A")
    assert is_open(limiter, account="B")
    assert [limiter.limits(account=name)[0].remaining for name in "AB"] == [0, 10]

    limiter.pause(1.0, scope="account")
    assert not is_open(limiter, account="B")
    clock.now += 1
    assert is_open(limiter, account="B")
    limiter.pause(1.0, scope="account", account="B")
    clock.now += 2
    assert is_open(limiter, account="A")


@pytest.mark.parametrize("scope", ["key", "account"])
@pytest.mark.parametrize("seconds", [1.0, 0.0, -5.0, math.nan])
def test_a_shorter_pause_does_not_end_a_longer_one(limited, clock, scope, seconds):
    """
    A ban is not lifted by the next 429, nor by a venue that says nonsense.
    """
    limiter = limited(TEN)
    limiter.pause(3.0, scope=scope, account="A")
    limiter.pause(seconds, scope=scope, account="A")
    clock.now += 2.5

    assert not is_open(limiter, account="A")
    clock.now += 0.5
    assert is_open(limiter, account="A")


def test_a_pause_has_a_scope_that_is_known(limited):
    """
    A pause of a scope that does not exist is an error, not a pause of nobody.
    """
    with pytest.raises(ValueError, match="account, ip, key"):
        limited(TEN).pause(1.0, scope="planet")


def test_calls_of_others_count_for_a_window(limited, clock):
    """
    Where the venue counts more than we do, others use the same key: the difference counts too.
    """
    limiter = limited(TEN)
    tickets = take(limiter, 2)
    limiter.seen(RateLimitSeen(name="orders", used=6))
    assert used(limiter) == 6
    assert len(fill(limiter)) == 3
    for ticket in tickets:
        ticket.done()

    clock.now += 1
    assert used(limiter) == 3, "its foreign ones and the answered two are gone"


def test_calls_of_others_count_until_the_venue_resets(limited, clock):
    """
    Where the venue says when it starts anew, calls that are not ours count until then.
    """
    limiter = limited(TEN)
    limiter.seen(RateLimitSeen(name="orders", used=6, reset_at=datetime.now(UTC) + timedelta(seconds=30)))
    clock.now += 29
    assert used(limiter) == 6
    clock.now += 1
    assert used(limiter) == 0


def test_a_reset_in_the_past_is_no_reset(limited, clock):
    """
    A venue whose clock differs from ours does not make its calls vanish: they count for a window.
    """
    limiter = limited(TEN)
    limiter.seen(RateLimitSeen(name="orders", used=6, reset_at=datetime.now(UTC) - timedelta(seconds=30)))

    clock.now += 0.75
    assert used(limiter) == 6
    clock.now += 0.25
    assert used(limiter) == 0


def test_a_venue_that_counts_less_takes_nothing_from_ours(limited):
    """
    Only what was added on the venue's word is taken back on its word; our own calls count as we saw them.
    """
    limiter = limited(TEN)
    take(limiter, 4)
    limiter.seen(RateLimitSeen(name="orders", used=8))
    limiter.seen(RateLimitSeen(name="orders", used=6))
    assert used(limiter) == 6

    limiter.seen(RateLimitSeen(name="orders", used=1))
    assert used(limiter) == 4


def test_the_limit_of_the_venue_is_adopted(limited):
    """
    The venue knows its limit better than the plugin, until the plugin declares another.
    """
    limiter = limited(TEN)
    limiter.seen(RateLimitSeen(name="orders", limit=20))
    assert limiter.limits()[0].limit == 20
    assert len(fill(limiter)) == 18

    limiter.configure([TEN])
    assert limiter.limits()[0].limit == 20
    limiter.configure([RateWindow("orders", 30)])
    assert limiter.limits()[0].limit == 30


def test_what_is_seen_of_an_account_is_its_own(limited):
    """
    The venue's word on one account's window changes no other's.
    """
    limiter = limited(RateWindow("orders", 10, scope="account"))
    limiter.seen(RateLimitSeen(name="orders", used=9, limit=20), account="A")

    rows = [limiter.limits(account=account)[0] for account in ("A", "B")]

    assert [(row.used, row.limit) for row in rows] == [(9, 20), (0, 10)]


@pytest.mark.parametrize(
    "report", [{"name": "weather", "used": 9}, {"name": "orders", "limit": 0, "used": 9}]
)
def test_what_makes_no_sense_is_ignored_and_counted(limited, report):
    """
    A report of a window that is not known, or of a limit of nothing, changes nothing but a count.
    """
    limiter = limited(TEN)

    limiter.seen(RateLimitSeen(**report))

    assert limiter.ignored == 1
    assert used(limiter) == 0


# -- a new generation ------------------------------------------------------------------------------


def test_what_was_counted_stays_counted(limited, clock):
    """
    A new generation inherits the calls of the old one, those under way and those answered.
    """
    limiter = limited(TEN, RateWindow("gone", 5))
    flying, answered = take(limiter, 2)
    answered.done()

    limiter.configure([RateWindow("orders", 4, window=2.0), RateWindow("new", 5)])

    assert [(limit.name, limit.used) for limit in limiter.limits()] == [("orders", 2), ("new", 0)]
    assert len(fill(limiter)) == 1
    clock.now += 1
    flying.done()
    clock.now += 1
    assert used(limiter) == 2, "the answered one is gone after two seconds"


@pytest.mark.parametrize(
    ("windows", "error"),
    [([TEN, RateWindow("orders", 99, 60.0)], ValueError), (["orders"], TypeError), ([None], TypeError)],
)
def test_wrong_windows_change_nothing(limited, windows, error):
    """
    Two windows of one name and scope could not be told apart: they are refused, and the old ones stay.
    """
    limiter = limited(TEN)

    with pytest.raises(error, match="window"):
        limiter.configure(windows)

    assert [limit.name for limit in limiter.limits()] == ["orders"]


def test_one_name_in_two_scopes(limited):
    """
    The same name may be counted per key and per account; a venue that says it means both.
    """
    limiter = limited(TEN, RateWindow("orders", 5, scope="account"))

    limiter.seen(RateLimitSeen(name="orders", used=3), account="A")

    assert [limit.used for limit in limiter.limits(account="A")] == [3, 3]


# -- what it tells ---------------------------------------------------------------------------------


def test_limits_tell_all(limited, clock):
    """
    Each window with what is used and left, and when all of it will be free, as far as is known.
    """
    limiter = limited(RateWindow("orders", 10, 2.0, "ip"))
    assert limiter.limits()[0].reset_at is None
    before = datetime.now(UTC)
    flying, answered = take(limiter, 2)

    answered.done()
    clock.now += 0.5
    [limit] = limiter.limits()

    assert (limit.name, limit.scope, limit.limit, limit.window) == ("orders", "ip", 10, 2.0)
    assert (limit.used, limit.remaining, limit.waiting, limit.throttled) == (2, 8, 0, 0)
    assert limit.reset_at - before >= timedelta(seconds=2.0), "one is under way yet"
    flying.done()
    clock.now += 1.5
    [limit] = limiter.limits()
    assert limit.used == 1
    assert limit.reset_at - datetime.now(UTC) <= timedelta(seconds=0.5)


def test_limits_after_all_calendars(limited):
    """
    A pause for ever has no end that could be told.
    """
    limiter = limited(TEN)
    limiter.pause(math.inf)

    [limit] = limiter.limits()

    assert (limit.remaining, limit.reset_at) == (0, None)


def test_usage_is_that_of_the_fullest_window(limited):
    """
    Usage is 0…1 of the fullest window of the fullest account, and never more.
    """
    limiter = limited(RateWindow("orders", 4, scope="account"), RateWindow("all", 100))
    take(limiter, 2, account="A")
    take(limiter, 1, account="B")
    assert limiter.usage() == 0.5

    limiter.seen(RateLimitSeen(name="orders", used=50), account="A")
    assert limiter.usage() == 1.0
    assert limiter.limits()[0].used == 50, "the fullest account is shown"
    assert limiter.limits()[0].remaining == 0
    assert used(limiter, account="B") == 1
    assert used(limiter, account="nobody") == 0


# -- memory ----------------------------------------------------------------------------------------


def test_memory_is_bounded_by_what_the_windows_hold(limited, clock):
    """
    A hundred thousand calls with far deadlines leave nothing but what ended within the window.
    """
    limiter = limited(RateWindow("orders", 1000, window=1.0))
    take(limiter, 1, until=clock.now + 1e5)
    for _ in range(20_000):
        clock.now += 0.01
        take(limiter, 1, until=clock.now + 1e6)[0].done()
        take(limiter, 1, until=clock.now + 1e6)[0].give_back()

    assert len(limiter._flights.heap) <= 200
    assert 101 <= used(limiter) <= 102


def test_calls_under_way_survive_the_sweep(limited, clock):
    """
    Tidying up among many answered calls loses none that is not: they land at their deadlines.
    """
    limiter = limited(RateWindow("orders", 1000, window=1.0))
    take(limiter, 5, until=150.0)
    for ticket in take(limiter, 500, until=200.0):
        ticket.done()
    clock.now = 102.0

    assert used(limiter) == 5
    clock.now = 150.5
    assert used(limiter) == 5
    clock.now = 151.0
    assert used(limiter) == 0


def test_accounts_without_calls_are_forgotten(limited, clock):
    """
    Accounts come and go: those in whose windows nothing is counted take no room.
    """
    limiter = limited(RateWindow("orders", 10, scope="account"))
    limiter.seen(RateLimitSeen(name="orders", limit=20), account="vip")
    [flying] = take(limiter, 1, account="busy", until=math.inf)
    for number in range(5000):
        clock.now += 1
        take(limiter, 1, account=f"user{number}", until=math.inf)[0].done()

    [meter] = limiter._quota._meters.values()
    assert len(meter._tallies) < 1500
    assert used(limiter, account="busy") == 1
    assert limiter.limits(account="vip")[0].limit == 20
    flying.done()
    clock.now += 1
    assert used(limiter, account="busy") == 0


# -- waiting ---------------------------------------------------------------------------------------


async def wait_for(line: Line, name: str, call="place", *, patience=1000.0, hold=False, **options):
    """Stand in line, note the moment of being served, and be answered in the same moment unless on *hold*."""
    try:
        ticket = await line.limiter.acquire(call, until=line.loop.now + patience, **options)
    except RateLimited as error:
        line.log.append((line.loop.now, name, "refused"))
        return error
    line.log.append((line.loop.now, name))
    if not hold:
        ticket.done()
    return ticket


async def settle() -> None:
    """Let everybody run who can."""
    for _ in range(10):
        await asyncio.sleep(0)


class Line:
    """A limiter in virtual time, and who waits for it."""

    def __init__(self, loop: VirtualLoop, *windows: RateWindow) -> None:
        self.loop = loop
        self.limiter = Limiter(windows, clock=loop.time)
        self.log: list[tuple] = []

    async def join(self, name: str, call: str = "place", **options) -> asyncio.Task:
        task = asyncio.create_task(wait_for(self, name, call, **options))
        await settle()
        return task


def story(*windows: RateWindow):
    """Runs a test in virtual time with a line for those windows."""

    def run(test):
        def in_virtual_time():
            async def main(loop):
                await test(Line(loop, *windows))
                await settle()
                gc.collect()
                assert loop.timers() == 0, "an alarm was left behind"

            run_virtual(main)

        in_virtual_time.__doc__ = test.__doc__
        return in_virtual_time

    return run


ONE = RateWindow("orders", 1, window=10.0)


@story(ONE)
async def test_waiting_calls_are_served_in_order(line):
    """
    Each waits until a window after the response of the one before.
    """
    [ticket] = take(line.limiter, 1, until=math.inf)
    for name in "abc":
        await line.join(name)
    await asyncio.sleep(5)
    ticket.done()
    await asyncio.sleep(100)

    assert line.log == [(15, "a"), (25, "b"), (35, "c")]


@story(RateWindow("orders", 2, window=10.0))
async def test_urgent_calls_go_first(line):
    """
    Cancels overtake what waits, in order among themselves.
    """
    for ticket in take(line.limiter, 2, urgent=True, until=math.inf):
        ticket.done()
    for name, urgent in [("a", False), ("C", True), ("b", False), ("D", True), ("E", True)]:
        await line.join(name, urgent=urgent)
    await asyncio.sleep(1000)

    assert line.log == [(10, "C"), (10, "D"), (20, "E"), (30, "a"), (40, "b")]


@story(
    RateWindow("weight", 10, window=10.0, weights={"snapshot": 8, "query": 1, "*": 0}),
    RateWindow("queries", 5, weights={"query": 1}),
    RateWindow("bars", 5, weights={"bars": 1}),
)
async def test_a_heavy_call_is_not_starved(line):
    """
    Light calls behind a heavy one wait for it, though they would fit; calls with other windows do not.
    """
    line.limiter.seen(RateLimitSeen(name="weight", used=5))
    heavy = await line.join("heavy", "snapshot", hold=True)
    await line.join("light", "query")
    await line.join("other", "bars")
    assert line.log == [(0, "other")]
    assert line.limiter.try_acquire("query", until=1000.0) is None, "others wait before it"
    assert is_open(line.limiter, "bars")
    assert line.limiter.try_acquire("cancel", until=1000.0, urgent=True) is not None

    await heavy
    await settle()
    assert line.log == [(0, "other"), (10, "heavy"), (10, "light")]


@story(ONE)
async def test_a_call_that_cannot_make_it_is_refused_at_once(line):
    """
    When the earliest moment is known to be too late nobody waits for it; the error says when to come again.
    """
    take(line.limiter, 1, until=math.inf)[0].done()
    ahead = await line.join("z")
    await asyncio.sleep(4)

    error = await wait_for(line, "a", patience=6.0)

    assert line.log == [(4, "a", "refused")]
    assert (error.outcome, error.code, error.retryable, error.retry_after) == (
        Outcome.NOT_SENT,
        "limit",
        True,
        6.0,
    )
    assert (
        str(error)
        == "place: 'orders' (1 in 10 s per key) has no room for another 6 s, and its deadline is in 6 s"
    )
    ahead.cancel()


@story(ONE)
async def test_a_call_under_way_frees_nothing_before_a_window_from_now(line):
    """
    Nobody waits for a response that could not help any more, even if it came at once.
    """
    [ticket] = take(line.limiter, 1, until=math.inf)
    too_short = await line.join("a", patience=10.0)
    long_enough = await line.join("b", patience=10.5)
    ticket.done()

    assert (await too_short).retry_after == 10.0
    assert isinstance(await long_enough, Ticket)
    assert line.log == [(0, "a", "refused"), (10, "b")]


@story(ONE)
async def test_a_call_is_refused_the_moment_that_it_is_known(line):
    """
    Who may still make it waits, and is refused when a response comes too late, or could only come too late.
    """
    [ticket] = take(line.limiter, 1, until=math.inf)
    await line.join("a", patience=30.0)
    await line.join("b", patience=40.0)
    await asyncio.sleep(25)
    assert line.log == [(20, "a", "refused")]

    ticket.done()
    await asyncio.sleep(100)
    assert line.log == [(20, "a", "refused"), (35, "b")]


@story(ONE)
async def test_a_call_whose_deadline_passes_in_line_is_refused_then(line):
    """
    Those before it may leave, so who stands behind them waits until its own deadline.
    """
    take(line.limiter, 1, until=math.inf)[0].done()
    await line.join("a")
    task = await line.join("b", patience=15.0)
    error = await task

    assert line.log == [(10, "a"), (10, "b", "refused")], "it was the next, and saw that it could not be"
    assert error.outcome is Outcome.NOT_SENT


@story(ONE)
async def test_a_response_that_never_comes(line):
    """
    While nothing is heard of a call under way others wait for its deadline, and a window more.
    """
    take(line.limiter, 1, until=100.0)
    await line.join("a", patience=110.5)
    await asyncio.sleep(200)

    assert line.log == [(110, "a")]


@story(ONE)
async def test_a_deadline_that_passes_behind_others(line):
    """
    Who stands behind others that still wait is refused at its deadline.
    """
    take(line.limiter, 1, until=math.inf)
    first = await line.join("a", patience=500.0)
    error = await (await line.join("b", patience=50.0))

    assert line.log == [(50, "b", "refused")]
    assert str(error) == "place: its deadline passed before its turn came"
    assert error.retry_after == 10.0
    first.cancel()


@story(ONE)
async def test_a_deadline_that_has_passed_already(line):
    """
    Who comes too late is refused, though there is room.
    """
    error = await wait_for(line, "a", patience=0.0)

    assert line.log == [(0, "a", "refused")]
    assert str(error) == "place: its deadline passed before its turn came"
    assert is_open(line.limiter)


@pytest.mark.parametrize(("urgent", "most"), [(False, 9), (True, 10)])
def test_a_call_that_never_fits_is_refused_at_once(urgent, most):
    """
    A call that weighs more than it may ever use is told so, and that trying again does not help.
    """
    limiter = Limiter([RateWindow("weight", 10, weights={"snapshot": most + 1})])

    with pytest.raises(
        RateLimited, match=f"snapshot weighs {most + 1} in .*never has room for more than {most}"
    ) as info:
        asyncio.run(limiter.acquire("snapshot", until=math.inf, urgent=urgent))

    assert (info.value.retryable, info.value.retry_after) == (False, None)
    assert limiter.limits()[0].throttled == 1
    assert limiter.limits()[0].waiting == 0


@story(ONE)
async def test_a_cancelled_call_takes_nothing_and_holds_nobody_back(line):
    """
    Who is cancelled in line leaves it; the next goes in its stead.
    """
    [ticket] = take(line.limiter, 1, until=math.inf)
    first, second, third = [await line.join(name) for name in "abc"]
    ticket.done()

    second.cancel()
    first.cancel()
    await third

    assert line.log == [(10, "c")]
    assert used(line.limiter) == 1
    with pytest.raises(asyncio.CancelledError):
        await first


@story(RateWindow("weight", 10, window=10.0, weights={"snapshot": 9, "*": 1}))
async def test_a_cancelled_heavy_call_lets_others_go_at_once(line):
    """
    Those whom it held back, and for whom there is room, need not wait for any alarm.
    """
    take(line.limiter, 1, until=math.inf)
    heavy = await line.join("heavy", "snapshot")
    light = await line.join("light")

    heavy.cancel()
    await light

    assert line.log == [(0, "light")]


@story(ONE)
async def test_a_call_cancelled_as_it_was_served_gives_its_ticket_back(line):
    """
    Cancelled between being served and going on, it gives back what it was given, to the next in line.
    """
    take(line.limiter, 1, until=math.inf)[0].done()
    first, second = await line.join("a"), await line.join("b")
    line.loop.call_at(10, first.cancel)

    await second

    assert line.log == [(10, "b")]
    assert first.cancelled()
    assert used(line.limiter) == 1


@story(ONE)
async def test_a_call_that_is_dropped_in_line_holds_nobody_back(line):
    """
    A coroutine that is closed instead of cancelled leaves the line too.
    """
    take(line.limiter, 1, until=math.inf)[0].done()
    coroutine = line.limiter.acquire("place", until=1000.0)
    coroutine.send(None)
    second = await line.join("b")
    assert line.limiter.limits()[0].waiting == 2

    coroutine.close()
    await second

    assert line.log == [(10, "b")]


@story(ONE)
async def test_nobody_overtakes_who_was_just_served(line):
    """
    Room that was given to a waiting call is taken, though that has not gone on yet.
    """
    take(line.limiter, 1, until=math.inf)[0].done()
    await line.join("a")
    outsider = []
    line.loop.call_at(10, lambda: outsider.append(line.limiter.try_acquire("place", until=1000.0)))
    await asyncio.sleep(11)

    assert outsider == [None]
    assert line.log == [(10, "a")]


@story(ONE)
async def test_what_waits_is_told(line):
    """
    Limits say how many wait now, and how many had to or were refused so far.
    """
    take(line.limiter, 1, until=math.inf)[0].done()
    await line.join("a")
    await line.join("b")
    await line.join("c", patience=1.0)

    [limit] = line.limiter.limits()
    assert (limit.waiting, limit.throttled) == (2, 3)

    await asyncio.sleep(2000)
    [limit] = line.limiter.limits()
    assert (limit.waiting, limit.throttled) == (0, 3)


@story(RateWindow("orders", 1, window=0.5))
async def test_nobody_polls(line):
    """
    Who waits for a response wakes when that comes, not now and then: an hour takes a handful of timers.
    """
    [ticket] = take(line.limiter, 1, until=5000.0)
    waiting = [await line.join(str(number), patience=4000.0) for number in range(20)]
    await asyncio.sleep(3600)
    assert line.loop.waits <= 2

    ticket.done()
    await waiting[0]
    assert line.loop.waits <= 4
    for task in waiting:
        task.cancel()


@story(RateWindow("orders", 1, window=10.0))
async def test_deadlines_may_be_infinite(line):
    """
    Who has all the time in the world waits as long as it takes.
    """
    [ticket] = take(line.limiter, 1, until=math.inf)
    waiting = await line.join("a", patience=math.inf)
    await asyncio.sleep(1e6)
    ticket.done()

    assert isinstance(await waiting, Ticket)
    assert line.log == [(1e6 + 10, "a")]


# -- what changes while calls wait -----------------------------------------------------------------


@story(ONE)
async def test_a_pause_refuses_who_cannot_outwait_it(line):
    """
    A ban that comes while calls wait ends their waiting at once, wherever they stand; others go when it ends.
    """
    take(line.limiter, 1, until=math.inf)[0].done()
    for name, patience in [("a", 500.0), ("b", 20.0), ("c", 600.0)]:
        await line.join(name, patience=patience)

    line.limiter.pause(100.0)
    await settle()
    assert line.log == [(0, "b", "refused")]
    error = await wait_for(line, "d", patience=50.0)
    assert line.log.pop() == (0, "d", "refused")
    assert str(error) == "place: the venue wants no calls for another 100 s, and its deadline is in 50 s"
    assert error.retry_after == 100.0

    await asyncio.sleep(100)
    assert line.log[1:] == [(100, "a")]
    await asyncio.sleep(1000)


@story(RateWindow("orders", 1, window=10.0))
async def test_a_paused_account_holds_nobody_back(line):
    """
    Its calls keep their place, but others of the same key go on.
    """
    line.limiter.pause(100.0, scope="account", account="A")
    await line.join("a", account="A")
    assert is_open(line.limiter, account="B")

    await line.join("b", account="B")
    await line.join("c", account="B")
    await asyncio.sleep(150)
    assert line.log == [(0, "b"), (10, "c"), (100, "a")]


@story(ONE)
async def test_an_endless_pause_is_refused_without_a_moment_to_come_again(line):
    """
    A ban without end leaves nobody waiting, not even who has for ever.
    """
    line.limiter.pause(math.inf)

    error = await wait_for(line, "a", patience=math.inf)

    assert error.retry_after is None
    assert "the venue wants no calls" in str(error)


@story(RateWindow("orders", 2, window=10.0))
async def test_a_higher_limit_lets_more_go_at_once(line):
    """
    When the venue says that it allows more, those who wait need not wait for an alarm.
    """
    take(line.limiter, 1, until=math.inf)
    await line.join("a")
    line.limiter.seen(RateLimitSeen(name="orders", limit=5))
    await settle()

    assert line.log == [(0, "a")]


@story(RateWindow("weight", 10, window=10.0, weights={"snapshot": 5}))
async def test_a_lower_limit_refuses_what_never_fits_now(line):
    """
    When the venue allows less than a waiting call weighs, that is told at once.
    """
    line.limiter.seen(RateLimitSeen(name="weight", used=9))
    waiting = await line.join("a", "snapshot")
    line.limiter.seen(RateLimitSeen(name="weight", limit=4))

    error = await waiting

    assert not error.retryable
    assert line.log == [(0, "a", "refused")]


@story(RateWindow("weight", 10, window=10.0))
async def test_foreign_calls_are_waited_for(line):
    """
    Where others fill the window a call waits until theirs are gone, or ours, whichever comes first.
    """
    line.limiter.seen(RateLimitSeen(name="weight", used=9, reset_at=datetime.now(UTC) + timedelta(days=1)))
    error = await wait_for(line, "x", patience=3600.0)
    assert error.retry_after > 80_000
    line.log.clear()

    take(line.limiter, 1, "cancel", urgent=True, until=math.inf)[0].done()
    line.limiter.seen(RateLimitSeen(name="weight", used=9))
    await line.join("a")
    await asyncio.sleep(50)
    assert line.log == [(10, "a")]


@story(ONE)
async def test_a_new_generation_takes_over_who_waits(line):
    """
    Calls that wait go on waiting under the new windows, in their order.
    """
    take(line.limiter, 1, until=math.inf)[0].done()
    for name in "abc":
        await line.join(name, hold=True)

    line.limiter.configure([RateWindow("orders", 3, window=20.0)])
    await settle()
    assert line.log == [(0, "a")], "two of three, one of which is counted already"
    assert line.limiter.limits()[0].waiting == 2

    line.limiter.configure([])
    await settle()
    assert line.log == [(0, "a"), (0, "b"), (0, "c")]


@story(ONE)
async def test_a_talkative_venue_is_looked_into_once(line):
    """
    However often the venue changes its mind before the loop comes round, those who wait are looked at once.
    """
    take(line.limiter, 1, until=math.inf)[0].done()
    task = await line.join("a")
    looks = []
    look_again = line.limiter._look_again
    line.limiter._look_again = lambda: looks.append(look_again())

    for limit in range(1000):
        line.limiter.seen(RateLimitSeen(name="orders", limit=2000 - limit))
    await task

    assert line.log == [(0, "a")]
    assert len(looks) == 1


@story(RateWindow("orders", 1, window=10.0, scope="account"))
async def test_an_account_that_waits_is_not_forgotten(line):
    """
    While a call of an account waits its windows stay the same ones, however many accounts come and go.
    """
    line.limiter.pause(100.0, scope="account", account="A")
    task = await line.join("a", account="A")
    for number in range(2000):
        assert is_open(line.limiter, account=f"user{number}")

    assert line.limiter.limits(account="A")[0].waiting == 1
    await task
    assert used(line.limiter, account="A") == 1


# -- loops and threads -----------------------------------------------------------------------------


def test_loops_come_and_go(limited, clock):
    """
    One limiter serves one loop after the other, and counts over all of them.
    """
    limiter = Limiter([RateWindow("orders", 3)])
    for _ in range(2):
        asyncio.run(limiter.acquire("place", until=math.inf)).done()

    assert used(limiter) == 2


def stranded(limiter: Limiter):
    """A loop that was left with a call in line; close the coroutine in the end."""
    loop = VirtualLoop()
    coroutine = limiter.acquire("place", until=1e9)

    async def stand_in_line() -> None:
        coroutine.send(None)

    loop.run_until_complete(stand_in_line())
    return loop, coroutine


def test_who_waits_in_a_closed_loop_holds_nobody_back():
    """
    A loop that was closed in the midst of things takes its calls out of line.
    """
    limiter = Limiter([ONE], clock=lambda: 0.0)
    [ticket] = take(limiter, 1, until=math.inf)
    loop, coroutine = stranded(limiter)
    assert limiter.limits()[0].waiting == 1

    loop.close()
    ticket.give_back()

    assert is_open(limiter)
    assert limiter.limits()[0].waiting == 0
    coroutine.close()
    assert is_open(limiter)


def test_who_waits_in_a_stopped_loop_holds_nobody_back():
    """
    A loop that does not run is not waited for; when it runs again its calls have their turn.
    """
    limiter = Limiter([ONE], clock=lambda: 0.0)
    [ticket] = take(limiter, 1, until=math.inf)
    loop, coroutine = stranded(limiter)
    ticket.give_back()
    [other] = take(limiter, 1, until=math.inf)
    assert limiter.limits()[0].waiting == 1
    other.give_back()

    async def run_again() -> None:
        await settle()
        with pytest.raises(StopIteration) as served:
            coroutine.send(None)
        served.value.value.done()

    loop.run_until_complete(run_again())
    loop.close()
    assert used(limiter) == 1
    assert limiter.limits()[0].waiting == 0


def test_a_call_is_ended_from_another_thread():
    """
    A response that another thread hears of wakes who waits, in the loop where it waits.
    """
    limiter = Limiter([RateWindow("orders", 1, window=0.001)])

    async def main() -> Ticket:
        first = await limiter.acquire("place", until=math.inf)
        waiting = asyncio.create_task(limiter.acquire("place", until=math.inf))
        await settle()
        await asyncio.to_thread(first.done)
        return await asyncio.wait_for(waiting, 20)

    assert isinstance(asyncio.run(main()), Ticket)


@story(ONE)
async def test_a_call_served_by_another_thread_as_it_is_cancelled(line):
    """
    Served from one thread and cancelled in its own before it heard of it, a call takes nothing.
    """
    [ticket] = take(line.limiter, 1, until=math.inf)
    first, second = await line.join("a"), await line.join("b")

    assert in_threads(ticket.give_back) == [None]
    assert line.limiter.limits()[0].waiting == 1
    first.cancel()
    await second

    assert line.log == [(0, "b")]
    assert used(line.limiter) == 1


@story(ONE)
async def test_a_loop_that_was_blocked(line):
    """
    Deadlines that passed while the loop was blocked have passed, even where room is there in the end.
    """
    take(line.limiter, 1, until=math.inf)[0].done()
    task = await line.join("a", patience=50.0)
    line.loop.now = 60.0

    error = await task

    assert line.log == [(60, "a", "refused")]
    assert str(error) == "place: its deadline passed before its turn came"
    assert is_open(line.limiter)


def test_calls_of_two_loops_stand_in_one_line():
    """
    Loops of two threads take turns; the end of a call in one wakes who waits in the other.
    """
    limiter = Limiter([RateWindow("orders", 1, window=0.001)])
    turns = 10
    log = []

    def caller(name: str):
        async def main() -> None:
            for _ in range(turns):
                ticket = await limiter.acquire("place", until=math.inf)
                log.append(name)
                await asyncio.sleep(0)
                log.append(name)
                ticket.done()

        return lambda: asyncio.run(main())

    assert in_threads(caller("a"), caller("b")) == [None, None]
    assert len(log) == 4 * turns
    assert all(log[place] == log[place + 1] for place in range(0, len(log), 2)), "one at a time"


class Finalising:
    """A report that, looked at under the limiter's lock, has a finaliser run there."""

    name, limit, reset_at = "orders", None, None

    def __init__(self, finaliser) -> None:
        self._finaliser = finaliser

    @property
    def used(self) -> int:
        self._finaliser()
        return 0


def test_a_call_that_ends_in_a_finaliser(limited, clock):
    """
    A finaliser may end a call inside the limiter, in the very thread that holds its lock: it does not hang,
    and what it said is heard.
    """
    limiter = limited(ONE)
    [ticket] = take(limiter, 1, until=math.inf)

    assert in_threads(lambda: limiter.seen(Finalising(ticket.done))) == [None]

    clock.now += 10
    assert is_open(limiter)


def test_a_call_that_is_dropped_in_a_finaliser(limited, clock):
    """
    The same for a coroutine that is closed there while it stands in line.
    """
    limiter = limited(ONE)
    take(limiter, 1, until=math.inf)
    loop, coroutine = stranded(limiter)

    assert in_threads(lambda: limiter.seen(Finalising(coroutine.close))) == [None]

    assert limiter.limits()[0].waiting == 0
    loop.close()


def test_word_left_by_another_thread_is_read(limited, clock):
    """
    While one thread holds the lock another ends its call without waiting for it; it counts once that is free.
    """
    limiter = limited(ONE)
    [ticket] = take(limiter, 1, until=math.inf)
    inside, ended = threading.Event(), threading.Event()

    def hold() -> None:
        inside.set()
        assert ended.wait(20)

    def end() -> None:
        assert inside.wait(20)
        ticket.done()
        ended.set()

    assert in_threads(lambda: limiter.seen(Finalising(hold)), end) == [None, None]
    clock.now += 10
    assert is_open(limiter)


@pytest.mark.parametrize(
    "comes_next",
    [
        lambda limiter, other: limiter.try_acquire("place", until=math.inf),
        lambda limiter, other: other.done(),
        lambda limiter, other: limiter.usage(),
    ],
)
def test_word_that_was_left_is_read_by_who_comes_next(limited, clock, comes_next):
    """
    Whatever is asked of the limiter next, what was left in its mail is heard, with the time of its writing.
    """
    limiter = limited(RateWindow("orders", 2, window=10.0))
    ticket, other = take(limiter, 2, urgent=True, until=math.inf)
    with limiter._lock:
        ticket.done()
    clock.now += 9

    comes_next(limiter, other)

    assert not limiter._mail
    clock.now += 1
    assert used(limiter) == 1


def test_without_a_window_or_a_pause_nobody_needs_a_ticket():
    """
    That all may go is known without asking for each; a window or a pause, even one that is over, ends that.
    """
    limiter = Limiter()
    assert limiter.lets_all
    limiter.configure([RateWindow("orders", 2)])
    assert not limiter.lets_all
    limiter.configure([])
    assert limiter.lets_all

    for scope, account in (("key", ""), ("account", "A")):
        paused = Limiter()
        paused.pause(0.0, scope=scope, account=account)
        paused.configure([])
        assert not paused.lets_all
