"""Gateways whose SDK blocks (`SyncBrokerGateway`), and the task that begins at once."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading

import pytest

from hotplug.brokers import SyncBrokerGateway
from hotplug.brokers._template._flight import EagerTask, begin
from hotplug.errors import BrokerUnavailable, DeadlineExceeded, InvalidRequest
from hotplug.market import Capability, Environment, OrderRef, OrderStatus, OrderUpdate
from puppets import NOTHING, limit, quote, refusal, run, until

S = OrderStatus


class Blocking(SyncBrokerGateway):
    """Blocks in threads until the test lets it go on."""

    broker_type = "blocking"
    environment = Environment.SANDBOX
    pool_size = 2

    def __init__(self):
        self.gate = threading.Event()
        self.gate.set()
        self.inside = threading.Semaphore(0)
        self.raises = None
        self.threads = []

    def _connect(self):
        self.threads.append(threading.current_thread())

    def _disconnect(self):
        pass

    def _place(self, order):
        self.inside.release()
        assert self.gate.wait(20)
        if self.raises is not None:
            raise self.raises
        return f"v-{order.client_order_id}"

    def _cancel(self, order):
        self.report(OrderUpdate(client_order_id=order.client_order_id, status=S.CANCELED))

    def _snapshot(self):
        return NOTHING


def test_blocking_hooks_run_beside_the_loop(nothing_left):
    """Hooks block threads of their own, reports come from there, and the loop goes on."""

    async def story():
        gateway = Blocking()
        await gateway.connect()
        assert gateway.threads[0] is not threading.current_thread()
        gateway.gate.clear()
        placing = asyncio.ensure_future(gateway.place_order(limit("a")))
        await asyncio.to_thread(gateway.inside.acquire)
        assert not placing.done()
        gateway.gate.set()
        assert (await placing).order_id == "v-a"
        assert (await gateway.cancel_order(OrderRef(client_order_id="a"))).status is S.CANCELED
        await gateway.disconnect()

    run(story)


class Quoting(Blocking):
    """Tells quotes without being asked for any."""

    capabilities = frozenset({Capability.QUOTES})


def test_who_need_not_be_asked_for_quotes_need_not_say_so():
    """A blocking gateway without ``_subscribe`` streams quotes; its hooks are plain, that one too."""

    async def story():
        gateway = Quoting()
        await gateway.connect()
        stream = gateway.stream_quotes(["ACME"])
        waiting = asyncio.ensure_future(anext(stream))
        await until(lambda: "ACME" in gateway.book.quotes.symbols)
        await gateway._core.subscribe(frozenset({"ACME"}))
        gateway.report(quote())
        assert (await waiting).symbol == "ACME"
        assert gateway._subscribe(frozenset()) is None
        assert gateway.info.last_error is None
        await gateway.disconnect()

    run(story)


@pytest.mark.parametrize(
    ("raised", "outcome"),
    [
        (InvalidRequest("no", outcome="REJECTED"), "REJECTED"),
        (ValueError("bug"), "UNKNOWN"),
        (StopIteration(), "UNKNOWN"),
        (SystemExit(1), "UNKNOWN"),
        (KeyboardInterrupt(), "UNKNOWN"),
    ],
)
def test_what_a_thread_raises_is_told(raised, outcome):
    """Outcomes are those of the template, also for what no future could carry."""

    async def story():
        gateway = Blocking()
        await gateway.connect()
        gateway.raises = raised
        assert (await refusal(gateway.place_order(limit("a")))).outcome == outcome
        await gateway.disconnect()

    run(story)


def test_the_pool_is_bounded_and_a_cancel_has_its_own_thread():
    """Two sends fill a pool of two, the third waits for a turn; a cancel does not."""

    async def story():
        gateway = Blocking()
        await gateway.connect()
        await gateway.place_order(limit("x"))
        gateway.inside.acquire()
        gateway.gate.clear()
        placing = [asyncio.ensure_future(gateway.place_order(limit(name))) for name in "abcd"]
        for _ in range(2):
            await asyncio.to_thread(gateway.inside.acquire)
        assert not gateway.inside.acquire(blocking=False)
        assert (await gateway.cancel_order(OrderRef(client_order_id="x"))).status is S.CANCELED
        error = await refusal(gateway.snapshot(deadline=0.02))
        assert isinstance(error, DeadlineExceeded)
        gateway.gate.set()
        assert len(await asyncio.gather(*placing)) == 4
        await gateway.disconnect()

    run(story)


def test_a_thread_that_cannot_be_started_is_not_sent(monkeypatch):
    """Out of threads: nothing was sent."""

    async def story():
        gateway = Blocking()
        await gateway.connect()

        def no_more(self):
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", no_more)
            error = await refusal(gateway.place_order(limit("a")))
        assert (type(error), error.outcome, error.code) == (BrokerUnavailable, "NOT_SENT", "threads")
        await gateway.disconnect()

    run(story)


def test_an_answer_that_nobody_waits_for_any_more():
    """A hook that comes back after its loop is gone, or after everybody left, harms nobody."""
    gateway = Blocking()

    async def story():
        await gateway.connect()
        gateway.gate.clear()
        await refusal(gateway.place_order(limit("a"), deadline=0.02))
        gateway.raises = ValueError("late")
        await gateway.disconnect(drain=False)

    run(story)
    gateway.gate.set()
    for thread in threading.enumerate():
        if "blocking" in thread.name:
            thread.join(10)


def test_a_turn_that_nobody_takes_goes_to_the_next():
    """Cancelled just as its turn came, a call passes the turn on; turns of those who left are skipped."""

    async def story():
        gateway = Blocking()
        await gateway.connect()
        gateway.gate.clear()
        placing = [asyncio.ensure_future(gateway.place_order(limit(name))) for name in "ab"]
        for _ in range(2):
            await asyncio.to_thread(gateway.inside.acquire)
        pool = gateway._pool
        waiting = [asyncio.ensure_future(gateway.snapshot()) for _ in range(2)]
        await asyncio.sleep(0.01)
        left = asyncio.get_running_loop().create_future()
        left.cancel()
        pool._line.appendleft(left)
        pool._next()
        waiting[0].cancel()
        gateway.gate.set()
        await asyncio.gather(*placing)
        await asyncio.wait(waiting)
        assert waiting[0].cancelled()
        assert waiting[1].result() is not None
        await gateway.disconnect()

    run(story)


def test_an_error_that_comes_too_late_is_nobodys():
    """A hook that raises after its caller ran out of time is heard by nobody."""

    async def story():
        gateway = Blocking()
        await gateway.connect()
        release = threading.Event()

        def slow():
            release.wait(20)
            raise ValueError("late")

        gateway._snapshot = slow
        assert isinstance(await refusal(gateway.snapshot(deadline=0.02)), DeadlineExceeded)
        release.set()
        async with asyncio.timeout(10):
            while gateway._pool._busy:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        await gateway.disconnect()

    run(story)


# -- the task that begins at once ---------------------------------------------------------------------


def eager(work, loop=None):
    return EagerTask(work, loop or asyncio.get_running_loop())


def test_it_begins_at_once():
    """Its first step is over when it is made; what needs no second step is done."""

    async def story():
        steps = []

        async def short():
            steps.append(asyncio.current_task())

        outer = asyncio.current_task()
        task = begin(short(), asyncio.get_running_loop())
        assert task.done()
        assert steps[0] is not outer
        assert asyncio.current_task() is outer
        await task

    run(story)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python 3.12 brings such tasks itself")
def test_on_newer_pythons_it_is_theirs():
    """From Python 3.12 on the standard library's own is used."""

    async def story():
        async def nothing():
            await asyncio.sleep(0)

        task = begin(nothing(), asyncio.get_running_loop())
        assert isinstance(task, asyncio.Task)
        await task

    run(story)


def test_it_waits_times_out_and_is_seen_as_tasks_are():
    """Timeouts, gathers and sleeps inside work; it is among all tasks while it lasts."""

    async def story():
        async def long():
            await asyncio.sleep(0)
            try:
                async with asyncio.timeout(0.01):
                    await asyncio.Event().wait()
            except TimeoutError:
                await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0))

        work = long()
        task = eager(work)
        assert task in asyncio.all_tasks()
        assert (task.get_coro(), task.get_name()) == (work, long.__qualname__)
        task.set_name("ignored")
        assert len(task.get_stack()) == 1
        assert (task.cancelling(), task.uncancel()) == (0, 0)
        await task
        assert task.get_stack() == []
        assert not task.cancel()

    run(story)


def test_it_is_cancelled_where_it_waits():
    """A cancel reaches the awaited future, or the next step where there is none yet."""

    async def story():
        async def waiting():
            await asyncio.Event().wait()

        async def turning():
            for _ in range(1000):
                await asyncio.sleep(0)

        for work in (waiting, turning):
            task = eager(work())
            assert task.cancel()
            assert task.cancelling() == 1
            await asyncio.wait({task})
            assert task.cancelled()

    run(story)


def test_a_cancel_from_within_is_kept_for_the_next_wait():
    """Code that cancels its own task is cancelled when it waits next; it may go on after that."""

    async def story():
        async def itself():
            task = asyncio.current_task()
            task.cancel()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                task.uncancel()

        await eager(itself())

    run(story)


@pytest.mark.parametrize("raised", [ValueError("bug"), asyncio.CancelledError()])
def test_what_it_raises_is_its_result(raised):
    """An exception is kept for who awaits it; a cancellation is one."""

    async def story():
        async def failing():
            raise raised

        with pytest.raises(type(raised)):
            await eager(failing())

    run(story)


def test_an_exception_that_ends_the_loop_is_raised_at_once():
    """KeyboardInterrupt and SystemExit are not kept for later."""

    async def story():
        async def ending():
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            eager(ending())

    run(story)


def test_it_has_a_context_of_its_own():
    """Context variables set inside stay inside."""

    async def story():
        colour = contextvars.ContextVar("colour", default="red")

        async def paint():
            colour.set("blue")
            await asyncio.sleep(0)
            assert colour.get() == "blue"

        await eager(paint())
        assert colour.get() == "red"

    run(story)


def test_it_begins_from_a_callback_too():
    """Where no task is running, as in a callback of the loop, it begins as well."""

    async def story():
        made = []

        async def short():
            await asyncio.sleep(0)

        loop = asyncio.get_running_loop()
        loop.call_soon(lambda: made.append(eager(short(), loop)))
        await asyncio.sleep(0)
        await made[0]

    run(story)


def test_what_cannot_be_waited_for_is_told_to_who_waits():
    """As in every task, who waits for no future, for one of another loop or for itself gets an error."""

    class Odd:
        def __init__(self, yielded):
            self.yielded = yielded

        def __await__(self):
            yield self.yielded

    async def waits_for(what):
        with pytest.raises(RuntimeError, match="no future|another loop|itself"):
            await what
        await asyncio.sleep(0)

    async def story():
        other = asyncio.new_event_loop()
        try:
            await eager(waits_for(Odd(17)))
            await eager(waits_for(Odd(asyncio.get_running_loop().create_future())))
            await eager(waits_for(other.create_future()))
        finally:
            other.close()

        async def itself():
            await asyncio.sleep(0)
            await waits_for(asyncio.current_task())

        await eager(itself())

    run(story)
