"""Things made once by whoever comes first, and the same from an event loop."""

from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest

from hotplug.context import UserExecutionContext
from hotplug.errors import ContextRequiredError, NotRegisteredError
from hotplug.registry import Once, UniversalRegistry, run_in_thread
from racing import DEADLINE, asleep, in_threads

ADA = UserExecutionContext("ada")


@pytest.fixture
def registry() -> UniversalRegistry[object]:
    return UniversalRegistry("things")


# -- once ------------------------------------------------------------------------------------------


def test_once_keeps_its_value():
    """
    What was made once is given for ever; the next maker is not called.
    """
    once: Once[object] = Once("things", "a")
    first = once.get(object)

    assert once.get(lambda: 1 / 0) is first


def test_once_tries_again():
    """
    A failure is not remembered.
    """
    once: Once[int] = Once("things", "a")
    with pytest.raises(ZeroDivisionError):
        once.get(lambda: 1 // 0)

    assert once.get(lambda: 7) == 7


def test_interrupted_maker_is_replaced():
    """
    A KeyboardInterrupt belongs to the thread it struck: who waited makes the value instead.
    """
    once: Once[str] = Once("things", "a")
    waiter: list[threading.Thread] = []
    made: list[str] = []

    def interrupted() -> str:
        waiter.append(threading.Thread(target=lambda: made.append(once.get(lambda: "made")), daemon=True))
        waiter[0].start()
        while not asleep(waiter[0]):
            pass
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        once.get(interrupted)
    waiter[0].join(DEADLINE)

    assert made == ["made"]
    assert once.get(lambda: "never") == "made"


def test_interrupted_before_making(monkeypatch):
    """
    An interrupt between taking the turn and making gives the turn back.
    """
    once: Once[str] = Once("things", "a")

    def interrupted(attempt: object, make: object) -> object:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("hotplug.registry._making._Attempt.run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            once.get(lambda: "never")

    assert once.get(lambda: "made") == "made"


def test_interrupted_waiter_leaves_no_trace(monkeypatch):
    """
    An interrupted waiter is not counted as waiting any more, so no circle is seen where there is none.
    """
    a, b = Once[str]("things", "a"), Once[str]("things", "b")
    loading, go = threading.Event(), threading.Event()

    def make_b() -> str:
        loading.set()
        go.wait(DEADLINE)
        return a.get(lambda: "a")

    def interrupted_wait(timeout: float | None = None) -> bool:
        raise KeyboardInterrupt

    def make_a() -> str:
        loading.wait(DEADLINE)
        running = b._attempt
        with monkeypatch.context() as patch:
            patch.setattr(running.ended, "wait", interrupted_wait)
            with pytest.raises(KeyboardInterrupt):
                b.get(lambda: "never")
        assert running.waits == {}
        go.set()
        return "a from a"

    assert in_threads(lambda: a.get(make_a), lambda: b.get(make_b)) == ["a from a", "a from a"]


def test_value_made_while_claiming():
    """
    Whoever comes too late to make it gets what was made a moment before.
    """

    class Late(Once[str]):
        late = True

        def _claim(self, mine: object) -> object:
            if self.late:
                self.late = False
                assert self.get(lambda: "first") == "first"
            return super()._claim(mine)

    assert Late("things", "a").get(lambda: "second") == "first"


def test_interrupted_after_loading(registry, monkeypatch):
    """
    A load that was interrupted after its object stood is not repeated.
    """
    registry.register_lazy("a", lambda: "loaded")
    forget = "hotplug.registry._entries.Lazy.forget"

    def interrupted(lazy: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(forget, interrupted)
        with pytest.raises(KeyboardInterrupt):
            registry.get("a")

    record = registry._table["a"]
    registry._load("a", record, record.maker)
    assert registry.get("a") == "loaded"


# -- from an event loop ----------------------------------------------------------------------------


def test_aget_of_what_is_there(registry):
    """
    What is ready, absent or lacks its context is answered at once, in the loop's own thread.
    """
    registry.register("a", 1)
    registry.register_factory("f", lambda context: context)

    async def main() -> list[object]:
        before = threading.active_count()
        answers = [await registry.aget("a"), await registry.aget("z", default=2)]
        with pytest.raises(NotRegisteredError):
            await registry.aget("z")
        with pytest.raises(ContextRequiredError):
            await registry.aget("f")
        assert threading.active_count() == before
        return answers

    assert asyncio.run(main()) == [1, 2]


def test_aget_leaves_the_loop_free(registry):
    """
    While a load waits, the loop goes on; context variables go along; no thread is left.
    """
    user = contextvars.ContextVar[str]("user")
    go = threading.Event()
    before = threading.enumerate()
    registry.register_lazy("a", lambda: (go.wait(DEADLINE), user.get(), threading.current_thread().daemon))
    registry.register_factory("f", lambda context: (context, threading.current_thread().name))

    async def main() -> list[object]:
        user.set("ada")
        loading = asyncio.ensure_future(registry.aget("a"))
        made = await registry.aget("f", ADA)
        assert not loading.done()
        go.set()
        return [await loading, made]

    assert asyncio.run(main()) == [(True, "ada", True), (ADA, "hotplug call")]
    assert threading.enumerate() == before
    assert registry.metrics().lookups == 2


def test_aget_passes_errors_on(registry):
    """
    What a factory raises in the worker is raised by the await, as it is.
    """
    failure = OSError("disk")

    def fail(context: object) -> object:
        raise failure

    registry.register_factory("a", fail)

    with pytest.raises(OSError, match="disk") as caught:
        asyncio.run(registry.aget("a", ADA))
    assert caught.value is failure


def test_cancelled_await():
    """
    Cancelling the await neither hurts the loop nor the thread, which ends by itself.
    """
    started, go = threading.Event(), threading.Event()
    workers: list[threading.Thread] = []

    def work() -> None:
        workers.append(threading.current_thread())
        started.set()
        go.wait(DEADLINE)

    async def main() -> None:
        task = asyncio.ensure_future(run_in_thread(work))
        await run_in_thread(started.wait, DEADLINE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go.set()
        await run_in_thread(workers[0].join, DEADLINE)

    asyncio.run(main())
    assert not workers[0].is_alive()


def test_closed_loop():
    """
    A worker that finishes after its loop was closed ends quietly.
    """
    started, go = threading.Event(), threading.Event()
    workers: list[threading.Thread] = []

    def work() -> None:
        workers.append(threading.current_thread())
        started.set()
        go.wait(DEADLINE)

    async def main() -> None:
        task = asyncio.ensure_future(run_in_thread(work))
        await run_in_thread(started.wait, DEADLINE)
        task.cancel()

    asyncio.run(main())
    go.set()
    workers[0].join(DEADLINE)
    assert not workers[0].is_alive()
