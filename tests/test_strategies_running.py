"""A running strategy goes on in a new object: when, with what, and what happens when that fails."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import threading
import weakref
from collections import deque
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from hotplug.context import UserExecutionContext
from hotplug.errors import InvalidRequest, OrderDenied
from hotplug.market import Bar, OrderRef, OrderRequest, OrderStatus, OrderType, Quote, Side, TimeInForce
from hotplug.strategies import Overtaken, Running, RunOver, Strategy, run_strategy, running
from hotplug.strategies._desk import RunDesk
from hotplug_broker_paper import PaperBroker

DAY = datetime(2024, 1, 2, tzinfo=UTC)
ADA = UserExecutionContext(user_id="ada")
PATIENCE = 10


def bar(number, price=100):
    price = Decimal(price)
    return Bar(
        symbol="A",
        time=DAY + timedelta(days=number),
        open=price,
        high=price,
        low=price,
        close=price,
        volume=1000,
    )


def order(side=Side.BUY, qty=1, **changes):
    return OrderRequest(symbol="A", side=side, qty=qty, **changes)


def far():
    """An order that rests."""
    return order(type=OrderType.LIMIT, price=Decimal(1), tif=TimeInForce.GTC)


class Counter(Strategy):
    """Knows how many bars it saw; buys at the first, sells at the fourth. Notes what it is told."""

    def __init__(self, name="old", log=None):
        self.name, self.log, self.seen = name, [] if log is None else log, 0

    def note(self, what):
        self.log.append(f"{self.name}: {what}")

    def on_start(self, trader):
        self.note("start")
        return super().on_start(trader)

    async def on_bar(self, bar):
        self.note(f"bar {self.seen}")
        self.seen += 1
        if self.seen % 3 == 1:
            await self.trader.place(order((Side.SELL, Side.BUY)[self.seen // 3 % 2 == 0]))

    def on_fill(self, fill):
        self.note(f"fill {fill.side}")

    def on_stop(self):
        self.note("stop")

    def export_state(self):
        self.note("export")
        return 7, {"seen": self.seen}

    def import_state(self, version, data):
        assert version == 7
        self.note("import")
        self.seen = data["seen"]


class Later(Counter):
    """The same, of coroutines."""

    async def export_state(self):
        await asyncio.sleep(0)
        return super().export_state()

    async def import_state(self, version, data):
        await asyncio.sleep(0)
        super().import_state(version, data)


class Silent(Strategy):
    """Has no state to hand over."""

    async def on_bar(self, bar):
        pass


class Market:
    """Bars that come when the test says so; `heard` waits until the run has taken them all in."""

    def __init__(self):
        self._bars = asyncio.Queue()

    def say(self, *bars):
        for each in bars:
            self._bars.put_nowait(each)

    def end(self):
        self.say(None)

    async def __aiter__(self):
        while (said := await self._bars.get()) is not None:
            yield said
            self._bars.task_done()

    async def heard(self):
        await self._bars.join()


async def until(condition):
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - a condition that has no event
            await asyncio.sleep(0)


class World:
    """A run under way on bars that the test says."""

    def __init__(self, strategy, broker):
        self.first, self.broker, self.market = strategy, broker, Market()
        self.log = getattr(strategy, "log", [])
        self.log.clear()

    async def open(self, **arguments):
        await self.broker.connect()
        self.task = asyncio.create_task(run_strategy(self.first, self.broker, self.market, **arguments))
        await until(running)
        [self.run] = running()
        return self

    async def play(self, *bars):
        self.market.say(*bars)
        async with asyncio.timeout(PATIENCE):
            await self.market.heard()

    async def end(self):
        self.market.end()
        async with asyncio.timeout(PATIENCE):
            return await self.task

    def offer(self, make, **limit):
        """The future of what is answered; answered twice, it raises in the run's loop."""
        loop, answer = asyncio.get_running_loop(), asyncio.Future()
        self.run.offer(make, lambda why_not: loop.call_soon_threadsafe(answer.set_result, why_not), **limit)
        return answer

    async def replace(self, make, **limit):
        async with asyncio.timeout(PATIENCE):
            return await self.offer(make, **limit)


def in_time(work):
    """What *work* gives; a test that waits in vain fails."""

    async def limited():
        async with asyncio.timeout(PATIENCE):
            return await work

    return asyncio.run(limited())


@contextlib.asynccontextmanager
async def world(strategy, broker=None, **arguments):
    opened = World(strategy, broker or PaperBroker())
    try:
        yield await opened.open(**arguments)
    finally:
        opened.task.cancel()
        await asyncio.wait({opened.task})
        assert running() == ()


def in_world(strategy, test, **arguments):
    """What *test* gives in a world of *strategy*."""

    async def main():
        async with world(strategy, **arguments) as opened:
            return await test(opened)

    return in_time(main())


def deeds(report):
    return [(each.side, each.qty, each.price, each.time) for each in report.trades]


def alone(bars, kind=Counter):
    async def main():
        broker = PaperBroker()
        await broker.connect()
        return await run_strategy(kind(), broker, bars)

    return in_time(main())


# -- going on --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Counter, Later])
def test_a_run_goes_on_with_a_new_object(kind):
    """
    The new object is made, told its state and all that comes after; the old one hears nothing any more.
    """
    log = []

    async def test(world):
        await world.play(bar(0))
        assert await world.replace(lambda: kind("new", log)) is None
        await world.play(bar(1))
        return await world.end()

    report = in_world(kind("old", log), test)

    assert report.error is None
    assert log == [
        "old: start",
        "old: bar 0",
        "old: export",
        "new: import",
        "new: fill BUY",
        "new: bar 1",
        "new: stop",
    ]


@pytest.mark.parametrize("kind", [Counter, Later])
def test_orders_positions_and_equity_go_on(kind):
    """
    With a new object after each bar the report is that of a run that was left alone.
    """
    bars = [bar(number, 100 + number) for number in range(20)]
    expected = alone(bars, kind)

    async def test(world):
        for each in bars:
            await world.play(each)
            assert await world.replace(kind) is None
        return await world.end()

    report = in_world(kind(), test)

    assert len(deeds(expected)) > 5
    assert deeds(report) == deeds(expected)
    assert (report.equity, report.times, report.capital) == (
        expected.equity,
        expected.times,
        expected.capital,
    )
    assert [each.status for each in report.orders] == [each.status for each in expected.orders]


def test_a_resting_order_of_the_old_one_is_the_new_ones():
    """
    What the old object ordered the new one can cancel, and the end of the run cancels the rest.
    """

    class Rests(Counter):
        async def on_bar(self, bar):
            if self.name == "old":
                self.seen = [(await self.trader.place(far())).order_id for _ in range(2)]
            else:
                [mine] = [each for each in await broker.get_open_orders() if each.order_id == self.seen[0]]
                await self.trader.cancel(mine.ref)

    broker = PaperBroker()

    async def test(world):
        await world.play(bar(0))
        assert await world.replace(lambda: Rests("new")) is None
        await world.play(bar(1))
        open_before_the_end = await broker.get_open_orders()
        return open_before_the_end, await world.end()

    still_open, report = in_world(Rests(), test, broker=broker)

    assert report.error is None
    assert len(still_open) == 1
    assert [each.status for each in report.orders] == [OrderStatus.CANCELED] * 2


def test_the_new_object_has_a_trader_of_the_same_run():
    """
    Its trader is there at import_state, tells what the old one's told, and trades for the same account.
    """
    seen = []

    class Looks(Counter):
        def import_state(self, version, data):
            seen.append((self.trader.cash, self.trader.position("A").qty, self.trader.now))
            super().import_state(version, data)

    async def test(world):
        await world.play(bar(0), bar(1))
        before = world.run.strategy.trader
        assert await world.replace(Looks) is None
        return before, world.run.strategy.trader

    old, new = in_world(Counter(), test, context=ADA, cash=Decimal(1000))

    assert seen == [(900, 1, bar(1).time)]
    assert [getattr(new, name) for name in ("account", "user", "strategy", "run")] == [
        getattr(old, name) for name in ("account", "user", "strategy", "run")
    ]
    assert new.log.extra == old.log.extra


def test_state_is_a_copy():
    """
    What the old object does to its data after the export does not reach the new one.
    """
    data = {"seen": 5, "list": [1]}

    class Shares(Counter):
        def export_state(self):
            return 7, data

        def import_state(self, version, data):
            self.data = data

    async def test(world):
        assert await world.replace(Shares) is None
        data["list"].append(2)
        return world.run.strategy.data

    assert in_world(Shares(), test) == {"seen": 5, "list": [1]}


def test_before_the_first_bar_the_new_object_is_started():
    """
    A run that has told nobody on_start yet tells it to the new object.
    """
    log = []

    async def test(world):
        assert await world.replace(lambda: Counter("new", log)) is None
        await world.play(bar(0))
        await world.end()

    in_world(Counter("old", log), test)

    assert log == ["old: export", "new: import", "new: start", "new: bar 0", "new: stop"]


def test_nobody_takes_over_before_the_account_is_open():
    """
    An offer made while the account is being opened waits: the new object finds the money there.
    """
    found, answers = [], []

    class Looks(Counter):
        def import_state(self, version, data):
            found.append(self.trader.cash)

    class Slow(PaperBroker):
        async def open_account(self, account, cash=None):
            [run] = running()
            run.offer(Looks, answers.append)
            for _ in range(20):
                await asyncio.sleep(0)
            await super().open_account(account, cash)

    async def test(world):
        await until(lambda: answers)

    in_world(Counter(), test, broker=Slow(), cash=Decimal(500))

    assert (found, answers) == ([500], [None])


def test_a_new_object_may_be_replaced_again():
    """
    Generation after generation, each takes over from the one before it.
    """
    log = []

    async def test(world):
        for name in "abc":
            assert await world.replace(lambda name=name: Counter(name, log)) is None
        await world.play(bar(0))
        return world.run.strategy.name

    assert in_world(Counter("old", log), test) == "c"
    assert log[:6] == ["old: export", "a: import", "a: export", "b: import", "b: export", "c: import"]


def test_the_log_says_that_it_goes_on(caplog):
    """
    The log of the strategy tells of the new object.
    """
    caplog.set_level("INFO", "hotplug.strategies")

    async def test(world):
        await world.replace(Later)

    in_world(Counter(), test, context=ADA)

    [record] = caplog.records
    assert (record.levelname, record.user, record.message) == ("INFO", "ada", "goes on with a new Later")


def test_code_of_the_plugin_sees_the_variables_of_the_run():
    """
    Export, construction and import see the context variables with which the run was called.
    """
    variable = contextvars.ContextVar("variable", default="of nobody")
    seen = []

    class Looks(Counter):
        def __init__(self):
            seen.append(variable.get())
            super().__init__()

        def export_state(self):
            seen.append(variable.get())
            return super().export_state()

        def import_state(self, version, data):
            seen.append(variable.get())

    async def test(world):
        variable.set("of the host")
        assert await world.replace(Looks) is None

    async def main():
        variable.set("of the run")
        async with world(Looks()) as opened:
            await test(opened)

    in_time(main())

    assert seen[-3:] == ["of the run"] * 3


def test_nothing_keeps_the_old_object():
    """
    While the run goes on, the object that was replaced is collected, be it the first or a later one.
    """

    async def main():
        broker, market, old = PaperBroker(), Market(), []
        await broker.connect()
        task = asyncio.create_task(run_strategy(Later(), broker, market))
        for number in range(3):
            market.say(bar(number))
            await market.heard()
            [run] = running()
            old.append(weakref.ref(run.strategy))
            answer = asyncio.Future()
            run.offer(Later, answer.set_result)
            assert await answer is None
        gc.collect()
        alive = [each() for each in old]
        market.end()
        await task
        return alive

    assert in_time(main()) == [None, None, None]


def test_nothing_keeps_what_failed(caplog):
    """
    An object that could not take over is collected once its error is forgotten.
    """
    caplog.set_level("CRITICAL", "hotplug.strategies")  # pytest keeps what is logged
    made = []

    class Fails(Later):
        async def import_state(self, version, data):
            made.append(weakref.ref(self))
            raise ValueError("not I")

    async def test(world):
        await world.replace(Fails)
        await world.play(bar(0))
        gc.collect()
        return made[0]()

    assert in_world(Counter(), test) is None


# -- when ------------------------------------------------------------------------------------------


class Pauses(Counter):
    """Stops in the middle of a callback until it may go on."""

    def __init__(self, where, log):
        super().__init__("old", log)
        self.where, self.inside, self.go = where, asyncio.Event(), asyncio.Event()

    async def pause(self, where):
        if self.where == where:
            self.inside.set()
            await self.go.wait()
            self.note(f"{where} over")

    async def on_start(self, trader):
        super().on_start(trader)
        await self.pause("on_start")

    async def on_bar(self, bar):
        await super().on_bar(bar)
        await self.pause("on_bar")

    async def on_fill(self, fill):
        super().on_fill(fill)
        await self.pause("on_fill")

    async def on_quote(self, quote):
        self.note("quote")
        await self.pause("on_quote")


@pytest.mark.parametrize(
    ("where", "last"),
    [
        ("on_start", "old: bar 0"),
        ("on_bar", "old: on_bar over"),
        ("on_fill", "old: bar 1"),
        ("on_quote", "old: on_quote over"),
    ],
)
def test_nobody_is_replaced_within_an_event(where, last):
    """
    While a callback waits nothing is exported, nor between the fills of a bar and the bar itself.
    """
    log = []
    quote = Quote(symbol="A", bid=1, bid_size=1, ask=2, ask_size=1, time=DAY + timedelta(days=2))
    said = {
        "on_start": [bar(0)],
        "on_bar": [bar(0)],
        "on_fill": [bar(0), bar(1)],
        "on_quote": [bar(0), quote],
    }

    async def main():
        old = Pauses(where, log)
        async with world(old) as opened:
            opened.market.say(*said[where])
            async with asyncio.timeout(PATIENCE):
                await old.inside.wait()
            answer = opened.offer(lambda: Counter("new", log))
            for _ in range(20):
                await asyncio.sleep(0)
            assert not answer.done()
            assert "old: export" not in log
            old.go.set()
            assert await answer is None
            await opened.end()

    in_time(main())

    assert log[log.index("old: export") - 1] == last


def test_the_market_waits_for_the_handover():
    """
    A bar that comes while the new object is being made is fed when that is over, and told to the new one.
    """
    log, may = [], threading.Event()

    class Notes(PaperBroker):
        async def feed(self, bar, *, account=None):
            log.append("feed")
            return await super().feed(bar, account=account)

    def make():
        assert may.wait(PATIENCE)
        return Counter("new", log)

    async def test(world):
        answer = world.offer(make)
        await until(lambda: "old: export" in log)
        world.market.say(bar(0))
        for _ in range(20):
            await asyncio.sleep(0)
        assert log == ["old: export"]
        may.set()
        assert await answer is None
        await world.play(bar(1))

    in_world(Counter("old", log), test, broker=Notes())

    assert log[:5] == ["old: export", "new: import", "new: start", "feed", "new: bar 0"]


def test_the_loop_is_free_while_the_new_object_is_made():
    """
    A constructor that takes its time is no matter of the loop's.
    """
    may, made_in = threading.Event(), []

    def make():
        made_in.append(threading.current_thread())
        assert may.wait(PATIENCE)
        return Counter("new")

    async def test(world):
        answer = world.offer(make)
        await until(lambda: made_in)
        may.set()
        assert await answer is None

    in_world(Counter(), test)

    assert made_in[0] is not threading.current_thread()


def test_bars_in_memory_are_no_hindrance():
    """
    In a run over a list an offer made from another thread is taken between two bars of it.
    """
    log, answers = [], []
    bars = [bar(number) for number in range(300)]

    class Offers(Counter):
        async def on_bar(self, bar):
            await super().on_bar(bar)
            if self.seen == 5:  # no fill comes with the next two bars
                [run] = running()
                offer = threading.Thread(target=run.offer, args=(lambda: Counter("new", log), answers.append))
                offer.start()
                offer.join()

    async def main():
        broker = PaperBroker()
        await broker.connect()
        return await run_strategy(Offers("old", log), broker, bars)

    report = in_time(main())

    assert answers == [None]
    assert deeds(report) == deeds(alone(bars))
    place = log.index("old: export")
    before, export, take, after = log[place - 1 : place + 3]
    assert (export, take) == ("old: export", "new: import")
    assert int(after.removeprefix("new: bar ")) == int(before.removeprefix("old: bar ")) + 1


# -- the latest offer wins -------------------------------------------------------------------------


def test_the_latest_offer_wins():
    """
    Of two offers that wait, the first is told so, never made, and the second is taken.
    """
    log, made = [], []

    def make(name):
        made.append(name)
        return Counter(name, log)

    async def main():
        old = Pauses("on_bar", log)
        async with world(old) as opened:
            opened.market.say(bar(0))
            await old.inside.wait()
            first, second = opened.offer(lambda: make("first")), opened.offer(lambda: make("second"))
            assert isinstance(await first, Overtaken)
            assert not second.done()
            old.go.set()
            assert await second is None
            return opened.run.strategy.name

    assert in_time(main()) == "second"
    assert made == ["second"]


def test_an_offer_during_a_handover_comes_after_it():
    """
    Who offers while another one takes over is next, and takes over from that one.
    """
    log, may = [], threading.Event()

    def make():
        assert may.wait(PATIENCE)
        return Counter("a", log)

    async def test(world):
        first = world.offer(make)
        await until(lambda: log)
        second = world.offer(lambda: Counter("b", log))
        may.set()
        assert [await first, await second] == [None, None]
        return world.run.strategy.name

    assert in_world(Counter("old", log), test) == "b"
    assert log[:4] == ["old: export", "a: import", "a: export", "b: import"]


# -- staying with the old one ----------------------------------------------------------------------


class Refuses(Counter):
    """Cannot be given a trader."""

    @property
    def trader(self):
        raise AttributeError


def raising(method, error, base=Counter):
    """A strategy with a *method* that raises."""

    def raises(self, *_):
        raise error

    async def raises_later(self, *_):
        await asyncio.sleep(0)
        raise error

    return type("Bad", (base,), {method: raises_later if base is Later else raises})


def exporting(answer):
    return type("Bad", (Counter,), {"export_state": lambda self: answer})


def fail_to_make():
    raise ImportError("no such module")


class Stop(BaseException):
    """Something that `except Exception` does not catch."""


FAILURES = {
    "the old has neither": (Silent, Counter, "the running Silent has no export_state and no import_state"),
    "the old has no import": (
        type("Half", (Counter,), {"import_state": None}),
        Counter,
        "the running Half has no import_state",
    ),
    "the new has neither": (Counter, Silent, "the new Silent has no export_state and no import_state"),
    "the new has no export": (
        Counter,
        type("Half", (Counter,), {"export_state": None}),
        "the new Half has no export_state",
    ),
    "no pair": (exporting({"seen": 1}), Counter, "the state of Bad must come as a tuple (version, data)"),
    "not plain": (
        exporting((7, {"seen": deque()})),
        Counter,
        "the state of Bad['seen'] is a collections.deque: only",
    ),
    "make raises": (Counter, fail_to_make, "making the new Counter raised ImportError: no such module"),
    "no strategy": (Counter, lambda: Counter, "what was made is no strategy, but a ABCMeta"),
    "no trader": (Counter, Refuses, "giving the new Refuses its trader raised AttributeError"),
}
for error in (ValueError("boom"), SystemExit(3), Stop("boom"), asyncio.CancelledError("boom")):
    for base in (Counter, Later):
        case = f"raises {type(error).__name__}{' later' if base is Later else ''}"
        told = f"Bad raised {type(error).__name__}: {error}"
        FAILURES[f"export {case}"] = (
            raising("export_state", error, base),
            Counter,
            f"export_state() of the old {told}",
        )
        FAILURES[f"import {case}"] = (
            Counter,
            raising("import_state", error, base),
            f"import_state() of the new {told}",
        )


@pytest.mark.parametrize(("old", "make", "why"), FAILURES.values(), ids=FAILURES)
def test_a_failure_changes_nothing(old, make, why, caplog):
    """
    Whatever fails, the run goes on to its end with the old object, and the reason is told and logged.
    """
    bars = [bar(number) for number in range(4)]
    expected = alone(bars, old)

    async def test(world):
        await world.play(*bars[:2])
        before = world.run.strategy
        answer = await world.replace(make)
        assert world.run.strategy is before
        await world.play(*bars[2:])
        return answer, await world.end()

    answer, report = in_world(old(), test, context=ADA)

    assert str(answer).startswith(why)
    assert report.error is None
    assert (deeds(report), report.equity) == (deeds(expected), expected.equity)
    [record] = caplog.records
    assert (record.levelname, record.user) == ("WARNING", "ada")
    assert record.message == f"stays with the object it has: {answer}"


def test_the_plugins_error_is_the_cause(caplog):
    """
    What the plugin raised is chained, and logged with its traceback.
    """
    error = ValueError("boom")

    async def test(world):
        return await world.replace(raising("import_state", error))

    assert in_world(Counter(), test).__cause__ is error
    assert "in raises" in caplog.text


def test_after_a_failure_the_next_offer_may_do():
    """
    A failed handover is no obstacle to the next one.
    """

    async def test(world):
        assert await world.replace(fail_to_make) is not None
        return await world.replace(lambda: Counter("new"))

    assert in_world(Counter(), test) is None


@pytest.mark.parametrize("what", ["itself", "another's"])
def test_an_object_that_runs_already_is_no_successor(what):
    """
    Neither itself nor an object that plays in another run can take over; it is not even touched.
    """

    async def main():
        other = Counter("other")
        broker = PaperBroker()
        await broker.connect()
        async with world(Counter()) as opened:
            market = Market()
            task = asyncio.create_task(run_strategy(other, broker, market))
            await until(lambda: len(running()) == 2)
            why_not = await opened.replace(lambda: opened.first if what == "itself" else other)
            market.end()
            await task
            return str(why_not), other.log

    why_not, log = in_time(main())

    assert why_not.endswith("this Counter is running already: make one for each run")
    assert log == ["other: start", "other: stop"]


def test_each_object_is_claimed_while_it_plays():
    """
    The new object cannot run elsewhere, the old one can again; so can one that failed to take over.
    """

    async def main():
        broker = PaperBroker()
        await broker.connect()
        old, new = Counter("old"), Counter("new")
        failed = raising("import_state", ValueError())()
        async with world(old) as opened:
            assert await opened.replace(lambda: failed) is not None
            assert await opened.replace(lambda: new) is None
            for free in (failed, old):
                assert (await run_strategy(free, broker, [bar(0)])).error is None
            with pytest.raises(RuntimeError, match="running already"):
                await run_strategy(new, broker, [bar(1)])
        assert (await run_strategy(new, broker, [bar(1)])).error is None

    in_time(main())


# -- time ------------------------------------------------------------------------------------------


class Hangs(Counter):
    """Does not come back, neither from export nor from import."""

    async def export_state(self):
        await asyncio.Event().wait()

    async def import_state(self, version, data):
        await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (Hangs, Counter, "export_state() of the old Hangs took more than 0.01 s"),
        (Counter, Hangs, "import_state() of the new Hangs took more than 0.01 s"),
    ],
)
def test_a_handover_has_a_time_limit(old, new, why):
    """
    Who does not come back in time does not hold up the run: the old object plays on.
    """

    async def test(world):
        answer = await world.replace(new, limit=0.01)
        await world.play(bar(0))
        return str(answer), world.run.strategy is world.first

    assert in_world(old(), test) == (why, True)


def test_making_has_a_time_limit(nothing_left):
    """
    A constructor that does not come back is left behind in its thread; what it makes later is dropped.
    """
    may = threading.Event()
    made = []

    def make():
        assert may.wait(PATIENCE)
        made.append(Counter("late"))
        return made[0]

    async def test(world):
        answer = await world.replace(make, limit=0.01)
        may.set()
        await until(lambda: made)
        await world.play(bar(0))
        return str(answer), world.run.strategy is world.first, made[0].log

    assert in_world(Counter(), test) == ("making the new Counter took more than 0.01 s", True, [])


@pytest.mark.parametrize("where", ["export_state", "import_state"])
def test_who_cannot_be_stopped_comes_too_late(where, monkeypatch):
    """
    Plugin code that ignores its cancellation is said to; when it comes back nothing more is done.
    """
    monkeypatch.setattr("hotplug._lifecycle.GRACE", 0.01)
    go, ended, made = None, [], []

    class Deaf(Later):
        async def hang(self):
            while not go.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await go.wait()
            ended.append(1)

    async def export_state(self):
        await self.hang()
        return 7, {"seen": 0}

    async def import_state(self, version, data):
        await self.hang()

    setattr(Deaf, where, {"export_state": export_state, "import_state": import_state}[where])

    def make():
        made.append(Deaf("new"))
        return made[-1]

    async def test(world):
        nonlocal go
        go = asyncio.Event()
        answer = await world.replace(make, limit=0.01)
        go.set()
        await until(lambda: ended)
        await asyncio.sleep(0)
        await world.play(bar(0))
        assert [run.strategy for run in running()] == [world.first]
        return str(answer)

    who = "the old" if where == "export_state" else "the new"
    told = in_world(Deaf(), test)
    assert told == f"{where}() of {who} Deaf took more than 0.01 s and does not stop"
    assert len(made) == (where == "import_state")


# -- two do not trade in one run -------------------------------------------------------------------


def test_who_was_replaced_trades_no_more():
    """
    A task that the old object left behind can look, but is denied to place and to cancel, NOT_SENT.
    """

    async def test(world):
        await world.play(bar(0))
        old = world.run.strategy.trader
        ack = await old.place(far())
        assert await world.replace(lambda: Counter("new")) is None
        ref = OrderRef(order_id=ack.order_id)
        for attempt in (lambda: old.place(order()), lambda: old.cancel(ref)):
            with pytest.raises(OrderDenied, match="another object of this strategy trades") as caught:
                await attempt()
            assert (caught.value.outcome, caught.value.code) == ("NOT_SENT", "replaced")
        assert old.cash == world.run.strategy.trader.cash
        return [each.status for each in (await world.end()).orders]

    assert in_world(Counter(), test) == [OrderStatus.CANCELED] * 2


def test_nobody_trades_before_taking_over():
    """
    In import_state orders are denied, and a failed successor can never place one.
    """
    made = []

    class Hasty(Later):
        async def import_state(self, version, data):
            made.append(self)
            await self.trader.place(order())

    async def test(world):
        await world.play(bar(0))
        why_not = await world.replace(Hasty)
        with pytest.raises(OrderDenied):
            await made[0].trader.place(order())
        await world.run.strategy.trader.place(far())
        return str(why_not)

    assert "import_state() of the new Hasty raised OrderDenied" in in_world(Counter(), test)


# -- the end ---------------------------------------------------------------------------------------


def test_a_run_that_ends_takes_no_successor():
    """
    An offer that waits when the run ends is told so, as is one that comes afterwards.
    """
    late = []

    async def main():
        old = Pauses("on_bar", [])
        async with world(old) as opened:
            opened.market.say(bar(0))
            await old.inside.wait()
            opened.task.cancel()
            waiting = opened.offer(Counter)
            with pytest.raises(asyncio.CancelledError):
                await opened.task
            opened.run.offer(Counter, late.append)
            return await waiting, old.log

    waiting, log = in_time(main())

    assert isinstance(waiting, RunOver)
    assert [type(each) for each in late] == [RunOver]
    assert log[-1] == "old: stop"
    assert "old: export" not in log


def test_a_run_that_was_over_says_so_whoever_it_played_to():
    """
    That the run has ended is the answer even where its object could not have handed over; nothing is logged.
    """
    late = []

    async def test(world):
        await world.end()
        world.run.offer(Counter, late.append)

    in_world(Silent(), test)

    assert [type(each) for each in late] == [RunOver]


@pytest.mark.parametrize("how", ["its caller", "its market"])
@pytest.mark.parametrize("where", ["make", "import"])
def test_who_ends_a_run_ends_its_handover(how, where, nothing_left):
    """
    A run that is ended while a new object takes over ends with the old one; the new one is let go.
    """
    log, may, begun = [], threading.Event(), []

    class Slow(Counter):
        async def import_state(self, version, data):
            begun.append(1)
            await asyncio.Event().wait()

    def make():
        if where == "make":
            begun.append(1)
            assert may.wait(PATIENCE)
        return Slow("new", log)

    async def test(world):
        await world.play(bar(0))
        answer = world.offer(make)
        await until(lambda: begun)
        if how == "its caller":
            world.task.cancel()
        else:
            world.market.say("what is no bar")
        async with asyncio.timeout(PATIENCE):
            await asyncio.wait({world.task})
        may.set()
        return await answer, world.task

    answer, task = in_world(Counter("old", log), test)

    assert isinstance(answer, RunOver)
    assert task.cancelled() if how == "its caller" else isinstance(task.exception(), TypeError)
    assert log == ["old: start", "old: bar 0", "old: export", "old: stop"]


def test_a_run_that_is_cancelled_twice_still_says_goodbye():
    """
    Who cancels again while the handover is being stopped waits for that, and on_stop is told.
    """
    log, deaf, go = [], [], None

    class Deaf(Counter):
        async def import_state(self, version, data):
            deaf.append("asked")
            try:
                await asyncio.Event().wait()
            finally:
                deaf.append("cancelled")
                await go.wait()
                self.note("let go")

    async def test(world):
        nonlocal go
        go = asyncio.Event()
        await world.play(bar(0))
        answer = world.offer(lambda: Deaf("new", log))
        await until(lambda: deaf)
        world.task.cancel()
        await until(lambda: "cancelled" in deaf)
        world.task.cancel()
        for _ in range(20):
            await asyncio.sleep(0)
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await world.task
        return await answer

    assert isinstance(in_world(Counter("old", log), test), RunOver)
    assert log[-2:] == ["new: let go", "old: stop"]


def test_a_strategy_that_stops_takes_no_successor():
    """
    Where a callback raises while an offer waits, nothing is handed over any more.
    """
    log = []

    class Fails(Pauses):
        async def on_bar(self, bar):
            await super().on_bar(bar)
            raise ValueError("boom")

    async def main():
        old = Fails("on_bar", log)
        async with world(old) as opened:
            opened.market.say(bar(0))
            await old.inside.wait()
            answer = opened.offer(Counter)
            await asyncio.sleep(0)
            old.go.set()
            return await answer, await opened.task

    answer, report = in_time(main())

    assert isinstance(answer, RunOver)
    assert str(report.error) == "boom"
    assert "old: export" not in log


def test_a_market_that_is_over_waits_for_the_handover():
    """
    Where the bars end while a new object takes over, that is the one who is told on_stop.
    """
    log, may = [], threading.Event()

    def make():
        assert may.wait(PATIENCE)
        return Counter("new", log)

    async def test(world):
        await world.play(bar(0))
        answer = world.offer(make)
        await until(lambda: "old: export" in log)
        world.market.end()
        for _ in range(20):
            await asyncio.sleep(0)
        may.set()
        assert await answer is None
        await world.task

    in_world(Counter("old", log), test)

    assert log == ["old: start", "old: bar 0", "old: export", "new: import", "new: stop"]


def test_a_run_that_cannot_be_opened_takes_no_successor():
    """
    Where the broker refuses the account, an offer made meanwhile is told that the run is over.
    """
    answers = []

    class Slow(PaperBroker):
        async def open_account(self, account, cash=None):
            [run] = running()
            run.offer(Counter, answers.append)
            await asyncio.sleep(0)
            raise InvalidRequest("no", code="no", outcome="NOT_SENT")

    old = Counter()

    async def main():
        broker = Slow()
        await broker.connect()
        with pytest.raises(InvalidRequest):
            await run_strategy(old, broker, [bar(0)])
        await asyncio.sleep(0)
        return running()

    assert in_time(main()) == ()
    assert [type(each) for each in answers] == [RunOver]
    assert old.log == []


def test_a_run_whose_loop_was_closed_takes_no_successor():
    """
    A run that was left behind in a closed loop will never go on, and says so to every offer.
    """
    answers = []

    async def begin():
        broker = PaperBroker()
        desk = RunDesk(broker, broker, account="a", user=None, strategy="Counter", run="r")
        return Running(Counter(), desk, None, "r")

    run = asyncio.run(begin())
    run.offer(Counter, answers.append)
    run.offer(Counter, answers.append)
    run.over()

    assert [type(each) for each in answers] == [RunOver, RunOver]
    assert running() == ()


@pytest.mark.parametrize("method", ["export_state", "import_state"])
def test_ctrl_c_is_nobodys_error(method):
    """
    KeyboardInterrupt from plugin code passes through, and the offer is told that the run is over.
    """
    answers = []
    bad = raising(method, KeyboardInterrupt())

    async def main():
        async with world((bad if method == "export_state" else Counter)()) as opened:
            opened.run.offer(bad, answers.append)
            await asyncio.Event().wait()

    with pytest.raises(KeyboardInterrupt):
        in_time(main())

    assert [type(each) for each in answers] == [RunOver]
    assert running() == ()


def test_who_cannot_be_told_is_logged(caplog):
    """
    If the one who offered raises when told, that is logged, and the run goes on.
    """

    def done(why_not):
        raise ValueError("nobody home")

    async def test(world):
        world.run.offer(lambda: Counter("new"), done)
        await until(lambda: world.run.strategy.name == "new")
        await world.play(bar(0))
        return await world.end()

    assert in_world(Counter(), test).error is None
    assert "nobody home" in caplog.text


# -- what a host sees ------------------------------------------------------------------------------


def test_what_runs_can_be_seen():
    """
    Each run under way is shown, from any thread, with its object, for whom, its id, and since when.
    """
    assert running() == ()
    before = datetime.now(UTC)

    async def main():
        broker = PaperBroker()
        await broker.connect()
        async with world(Counter(), context=ADA) as opened:
            other = asyncio.create_task(run_strategy(Silent(), broker, Market()))
            await until(lambda: len(running()) == 2)
            first, second = await asyncio.to_thread(running)
            assert first is opened.run
            assert (first.strategy, first.context, first.run) == (opened.first, ADA, ADA.run_id)
            assert before <= first.started_at <= second.started_at <= datetime.now(UTC)
            assert (second.context, second.run != first.run) == (None, True)
            assert (first.follows, second.follows) == (True, False)
            assert repr(first) == f"<Running Counter for ada, run {ADA.run_id}>"
            assert repr(second) == f"<Running Silent for nobody, run {second.run}>"
            other.cancel()
            await asyncio.wait({other})

    in_time(main())

    assert running() == ()


@pytest.mark.parametrize("name", ["export_state", "import_state"])
def test_who_has_half_of_it_does_not_follow(name):
    """
    Both methods are needed; asking runs none of the strategy's code.
    """

    class Half(Counter):
        def __getattribute__(self, name):
            asked.append(name)
            return super().__getattribute__(name)

    setattr(Half, name, None)
    asked = []

    async def test(world):
        asked.clear()
        return world.run.follows, asked

    assert in_world(Half(), test) == (False, [])


def test_a_run_is_one_while_it_hands_over():
    """
    While two objects are claimed, the run is shown once, with the old one.
    """
    shown = []

    class Looks(Counter):
        def import_state(self, version, data):
            shown.extend(run.strategy.name for run in running())

    async def test(world):
        assert await world.replace(lambda: Looks("new")) is None
        return [run.strategy.name for run in running()]

    assert in_world(Counter("old"), test) == ["new"]
    assert shown == ["old"]


# -- threads ---------------------------------------------------------------------------------------


def test_offers_from_many_threads(eager_threads, nothing_left):
    """
    Three threads offer all the time: each offer is answered once, and the trades are the same as alone.
    """
    bars = [bar(number, 100 + number % 7) for number in range(50)]
    over = threading.Event()
    answers, made = [], []

    def make():
        made.append(1)
        return Later()

    async def market():
        for number, each in enumerate(bars):
            await until(lambda number=number: len(made) >= number)
            yield each

    def offer_all_the_time():
        while not over.is_set():
            for run in running():
                answered, mine = threading.Event(), []
                answers.append(mine)
                run.offer(make, lambda why, mine=mine, answered=answered: (mine.append(why), answered.set()))
                assert answered.wait(PATIENCE)

    async def main():
        broker = PaperBroker()
        await broker.connect()
        return await run_strategy(Later(), broker, market())

    threads = [threading.Thread(target=offer_all_the_time) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        report = in_time(main())
    finally:
        over.set()
        for thread in threads:
            thread.join()

    assert report.error is None
    assert deeds(report) == deeds(alone(bars, Later))
    assert {len(each) for each in answers} == {1}
    assert {type(each) for [each] in answers} <= {type(None), Overtaken, RunOver}
    # The last one may have been made for a run that was over by then.
    assert len(made) - 1 <= [each for [each] in answers].count(None) <= len(made)


def test_its_equity_can_be_seen_while_it_runs():
    """
    What the account was worth after each of the last bars, from outside.
    """

    async def main():
        async with world(Counter()) as opened:
            await opened.play(bar(0), bar(1, 110), bar(2, 120))
            return opened.run.equity(), opened.run.equity(2), (await opened.end()).equity

    seen, last, reported = in_time(main())

    assert seen == reported
    assert last == reported[1:]
