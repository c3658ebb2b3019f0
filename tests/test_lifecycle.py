"""The loop that things live on, calls with a limit, and waiting to the end."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import gc
import threading
import time
import weakref

import pytest

from hotplug._lifecycle import HomeLoop, Stuck, close_of, to_the_end, within
from hotplug.errors import HostError

pytestmark = pytest.mark.usefixtures("nothing_left")


async def answer(value=42):
    return value


@pytest.fixture
def home():
    """An owned loop."""
    home = HomeLoop.own("test home")
    yield home
    home.close()


# -- calls with a limit ----------------------------------------------------------------------------


def test_a_call_in_time_is_answered_from_another_thread():
    """
    What comes back in time is the value; the call ran in a thread of that name, with the caller's context.
    """
    variable = contextvars.ContextVar("variable", default="none")
    variable.set("mine")

    assert within(10, lambda: (threading.current_thread().name, variable.get()), "errand") == (
        "errand",
        "mine",
    )


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_what_a_call_raises_is_raised(error):
    """
    Whatever the call raises comes out in the caller's thread, and keeps no frame alive by itself.
    """

    def fail():
        raise error

    with pytest.raises(type(error)) as caught:
        within(10, fail, "errand")

    assert caught.value is error


def test_an_error_is_not_kept():
    """
    Once the error was handled, nothing keeps what was on the stack of the call.
    """

    class Heavy:
        pass

    gone = []

    def fail():
        heavy = Heavy()
        gone.append(weakref.ref(heavy))
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - it has no text
        within(10, fail, "errand")
    gc.collect()

    assert gone[0]() is None


def test_a_call_that_is_late_is_left_behind():
    """
    Who does not come back is named; its thread is a daemon and ends by itself.
    """
    gate = threading.Event()

    with pytest.raises(Stuck, match=r"no answer within 0\.01 s \(thread errand\)") as caught:
        within(0.01, lambda: gate.wait(20), "errand")
    [thread] = [thread for thread in threading.enumerate() if thread.name == "errand"]
    gate.set()

    assert (caught.value.thread, caught.value.limit, thread.daemon) == ("errand", 0.01, True)


# -- the home loop ---------------------------------------------------------------------------------


def test_work_is_done_on_the_loops_own_thread(home):
    """
    `run` gives what the work gives, done in the loop's thread; there, and only there, `is_here` is true.
    """

    async def where():
        return threading.current_thread().name, home.is_here

    assert home.run(where()) == ("test home", True)
    assert not home.is_here


@pytest.mark.parametrize("error", [ValueError("x"), TimeoutError("its own")])
def test_what_work_raises_is_raised(home, error):
    """
    The work's own error comes out; a `TimeoutError` of its own is not mistaken for a loop that is stuck.
    """

    async def fail():
        raise error

    with pytest.raises(type(error), match=str(error)) as caught:
        home.run(fail())

    assert type(caught.value) is type(error)


def test_work_that_is_cancelled_is_cancelled(home):
    """
    A cancellation on the loop comes out as one, in the thread that waits.
    """

    async def fail():
        raise asyncio.CancelledError

    with pytest.raises(concurrent.futures.CancelledError):
        home.run(fail())


def test_work_that_the_end_cancels_says_so():
    """
    Who waits for work when the loop is closed is told that, not that somebody cancelled something.
    """
    home = HomeLoop.own("tests home")
    under_way = threading.Event()
    raised = []

    async def work():
        under_way.set()
        await asyncio.Event().wait()

    def wait():
        try:
            home.run(work())
        except HostError as error:
            raised.append(str(error))

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert under_way.wait(10)
    home.close()
    waiting.join(10)

    assert raised == ["the host was closed while this was under way"]


def test_slow_work_is_not_stuck(home):
    """
    Work may take longer than the patience, as long as the loop turns.
    """
    go = threading.Event()

    async def slow():
        while not go.is_set():  # noqa: ASYNC110 - it is another thread's
            await asyncio.sleep(0)
        return "done"

    threading.Timer(0.1, go.set).start()

    assert home.run(slow(), patience=0.02) == "done"


def test_a_blocked_loop_is_stuck_and_waited_for_less_the_next_time(home, monkeypatch):
    """
    A loop that does not turn is named; later work is given up sooner, until the loop turns again.
    """
    gate = threading.Event()

    async def block():
        gate.wait(20)

    with pytest.raises(Stuck, match="test home"):
        home.run(block(), patience=0.05)
    with pytest.raises(Stuck) as again:
        home.run(answer(), patience=0.05)
    gate.set()

    assert again.value.limit <= 1.0
    assert home.run(answer(), patience=10) == 42
    assert home.run(answer(), patience=10) == 42


def test_work_on_an_adopted_loop():
    """
    An adopted loop takes work from other threads and is left alone by `close`.
    """

    async def main():
        home = HomeLoop.adopt()
        assert home.is_here
        found = await asyncio.to_thread(home.run, answer())
        assert home.close() is None
        await asyncio.sleep(0)
        return found

    assert asyncio.run(main()) == 42


@pytest.mark.parametrize("closed", [True, False])
def test_work_for_a_loop_that_is_over(closed):
    """
    Where the adopted loop has ended, or is not being run, work is done on a loop made for it.
    """
    loop = asyncio.new_event_loop()

    async def adopt():
        return HomeLoop.adopt()

    home = loop.run_until_complete(adopt())
    if closed:
        loop.close()

    async def where():
        return threading.current_thread().name

    assert home.run(where()) == "hotplug late home"
    loop.close()


def test_work_for_a_loop_that_closes_just_then(monkeypatch):
    """
    The same where it is closed between the look and the call.
    """
    loop = asyncio.new_event_loop()
    loop.close()
    home = HomeLoop(loop)
    monkeypatch.setattr(loop, "is_running", lambda: True)

    assert home.run(answer()) == 42


def test_a_loop_whose_thread_is_in_another_process_runs_nothing(home, monkeypatch):
    """
    Where its thread is not there, as after a fork, work is refused and closed, not waited for.
    """
    gone = threading.Thread(target=int)
    gone.start()
    gone.join()
    with monkeypatch.context() as patch:
        patch.setattr(home, "_thread", gone)
        work = answer()
        with pytest.raises(HostError, match="of which this one was forked"):
            home.run(work)

        assert work.cr_frame is None
    assert home.run(answer()) == 42


def test_a_loop_that_ends_under_its_work_is_stuck():
    """
    Work on an adopted loop that stops for good is given up, not waited for.
    """
    loop = asyncio.new_event_loop()
    began = threading.Event()
    homes = []

    async def adopt():
        homes.append(HomeLoop.adopt())

    loop.run_until_complete(adopt())

    async def work():
        began.set()
        await asyncio.Event().wait()

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    outcome = []

    def ask():
        try:
            homes[0].run(work(), patience=0.05)
        except Stuck as error:
            outcome.append(error.thread)

    asking = threading.Thread(target=ask)
    asking.start()
    assert began.wait(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    asking.join(10)
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(answer())
    loop.close()

    assert outcome == ["the thread of the running loop"]


def test_a_loop_that_is_closed_under_its_work_is_stuck_at_once(monkeypatch):
    """
    Nobody waits for a loop that was closed.
    """
    loop = asyncio.new_event_loop()
    loop.close()
    home = HomeLoop(loop)

    began = time.monotonic()
    with pytest.raises(Stuck):
        home._result(concurrent.futures.Future(), 3600.0)

    assert time.monotonic() - began < 3000


@pytest.mark.parametrize("raised", [SystemExit(3), KeyboardInterrupt()])
def test_a_task_does_not_end_the_loop(home, raised, caplog):
    """
    A task that raises what ends a loop is logged; so is one that stops the loop, and work goes on.
    """

    async def boom():
        raise raised

    async def begin():
        return asyncio.get_running_loop().create_task(boom())

    task = home.run(begin())
    while not task.done():
        home.run(answer())
    home.loop.call_soon_threadsafe(home.loop.stop)

    assert home.run(answer()) == 42
    assert isinstance(task.exception(), type(raised))
    assert type(raised).__name__ in caplog.text


def test_closing_ends_tasks_generators_and_pools(home):
    """
    `close` cancels what still runs, lets it clean up, ends the executor, and closes the loop; once.
    """
    story = []

    async def forever():
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            story.append("cleaned")

    async def begin():
        loop = asyncio.get_running_loop()
        home.keep(forever())
        await loop.run_in_executor(None, story.append, "pool")
        await asyncio.sleep(0)

    home.run(begin())

    assert home.close() is None
    assert home.close() is None
    assert story == ["pool", "cleaned"]
    assert home.loop.is_closed()


def test_closing_survives_a_task_that_exits(home, caplog):
    """
    A task that answers its cancellation with `SystemExit` holds up nobody.
    """
    story = []

    async def rude():
        try:
            await asyncio.Event().wait()
        finally:
            raise SystemExit(5)

    async def kind():
        try:
            await asyncio.Event().wait()
        finally:
            story.append("cleaned")

    async def begin():
        home.keep(rude())
        home.keep(kind())
        await asyncio.sleep(0)

    home.run(begin())

    assert home.close() is None
    assert story == ["cleaned"]
    assert "SystemExit" in caplog.text


def test_closing_does_not_wait_for_ever(home):
    """
    A loop that somebody blocks is left behind by `close`, which names it; it ends when it can.
    """
    gate = threading.Event()

    async def block():
        gate.wait(20)

    with pytest.raises(Stuck):
        home.run(block(), patience=0.01)
    name = home.close(0.05)
    gate.set()
    home._thread.join(10)

    assert name == "test home"
    assert home.loop.is_closed()


def test_what_is_kept_is_waited_for(home):
    """
    Work that was started from the loop itself is held, and can be waited for, with what it starts.
    """
    story = []

    async def second():
        story.append("second")

    async def first():
        await asyncio.sleep(0)
        story.append("first")
        home.keep(second())

    async def begin():
        home.keep(first())
        await home.kept_is_over()
        await home.kept_is_over()

    home.run(begin())

    assert story == ["first", "second"]


def test_no_thread_no_loop(monkeypatch):
    """
    Where no thread can be started, the new loop is closed again.
    """
    made = []
    new = asyncio.new_event_loop
    monkeypatch.setattr("asyncio.new_event_loop", lambda: made.append(new()) or made[-1])

    def refuse(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="new thread"):
        HomeLoop.own("none")

    assert made[0].is_closed()


# -- to the end ------------------------------------------------------------------------------------


def test_who_is_cancelled_waits_to_the_end():
    """
    However often the waiting one is cancelled, the work is finished first, and the cancellation comes out.
    """
    story = []

    async def main():
        go = asyncio.Event()

        async def work():
            await go.wait()
            story.append("done")
            return 42

        task = asyncio.create_task(to_the_end(work()))
        for _ in range(3):
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.sleep(0)
        go.set()
        await asyncio.wait({task})
        return task.cancelled()

    assert asyncio.run(main())
    assert story == ["done"]
    assert asyncio.run(to_the_end(answer())) == 42


def test_what_the_work_raises_is_logged_if_somebody_was_cancelled(caplog):
    """
    The cancellation wins; the error is not lost, it is in the log.
    """

    async def main():
        go = asyncio.Event()

        async def work():
            await go.wait()
            raise OSError("jammed")

        task = asyncio.create_task(to_the_end(work()))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        go.set()
        await asyncio.wait({task})
        return task.cancelled()

    async def fail():
        raise OSError("alone")

    assert asyncio.run(main())
    assert "OSError: jammed" in caplog.text
    with pytest.raises(OSError, match="alone"):
        asyncio.run(to_the_end(fail()))


def test_work_that_is_itself_cancelled():
    """
    Work that is cancelled from elsewhere ends as cancelled for who waits, cancelled or not.
    """

    async def main(*, also_the_waiting):
        work = asyncio.ensure_future(asyncio.Event().wait())
        task = asyncio.create_task(to_the_end(work))
        await asyncio.sleep(0)
        if also_the_waiting:
            task.cancel()
            await asyncio.sleep(0)
        work.cancel()
        await asyncio.wait({task})
        return task.cancelled()

    assert asyncio.run(main(also_the_waiting=True))
    assert asyncio.run(main(also_the_waiting=False))


# -- how a thing is closed -------------------------------------------------------------------------


class Both:
    def close(self):
        return "close"

    def aclose(self):
        return "aclose"


class Plain:
    aclose = None

    def close(self):
        return "close"


class Neither:
    close = 42


@pytest.mark.parametrize(
    ("thing", "way"), [(Both(), "aclose"), (Plain(), "close"), (Neither(), None), (Both, None)]
)
def test_how_a_thing_is_closed(thing, way):
    """
    By ``aclose``, else ``close``, if it can be called; a class is not closed by the methods of its objects.
    """
    found = close_of(thing)

    assert (found and found()) == way


def test_a_thing_that_claims_to_be_a_class_is_closed():
    """
    What something says of its class is not believed.
    """

    class Liar(Plain):
        @property
        def __class__(self):
            raise SystemExit

    assert close_of(Liar())() == "close"


def test_work_that_a_closed_loop_never_began_is_ended(monkeypatch):
    """
    A loop that closes before it turns once more leaves nothing behind that would complain of it later.
    """
    loop = asyncio.new_event_loop()
    home = HomeLoop(loop)
    monkeypatch.setattr(home, "_submit", lambda work: concurrent.futures.Future())
    loop.close()
    begun = []

    async def work():
        begun.append(True)

    coroutine = work()
    with pytest.raises(Stuck):
        home.run(coroutine, 0.01)

    assert begun == []
    assert coroutine.cr_frame is None
