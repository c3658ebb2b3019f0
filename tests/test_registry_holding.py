"""Who uses what, as the code that runs knows it; and the end of what nobody uses."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import pytest

from hotplug.context import UserExecutionContext
from hotplug.registry import Retirement, Shelf, Stay, UniversalRegistry, _threads, when_released
from hotplug.registry._holding import is_held_here

ADA = UserExecutionContext("ada")


@pytest.fixture
def registry() -> UniversalRegistry[Any]:
    return UniversalRegistry("things")


# -- in the middle of it ---------------------------------------------------------------------------


def test_a_lease_is_known_inside(registry):
    """
    Inside a lease the context knows of it, and so does what it starts; outside it does not.
    """
    registry.register("a", 1)
    registry.register("b", 1)
    a, b = registry._table["a"], registry._table["b"]
    assert not is_held_here(a)
    with registry.lease("a"):
        assert is_held_here(a)
        assert not is_held_here(b)
        with registry.lease("b"), registry.hold("a"):
            assert is_held_here(b)
        assert is_held_here(a)
        assert asyncio.run(_threads.run_in_thread(is_held_here, a))
        inside = contextvars.copy_context()
        assert inside.run(is_held_here, a)
    assert not is_held_here(a)
    assert not inside.run(is_held_here, a), "the context of what outlives the lease"


def test_it_ends_wherever_it_is_ended(registry):
    """
    A lease that ends in another context has ended for the one that it began in.
    """
    registry.register("a", 1)
    record = registry._table["a"]
    lease = registry.lease("a")
    lease.__enter__()
    contextvars.copy_context().run(lease.__exit__, None, None, None)
    assert not is_held_here(record)
    with registry.lease("a"):
        assert is_held_here(record)


def test_a_context_does_not_collect_what_is_over(registry):
    """
    However many leases end elsewhere, a context that makes new ones knows of those only.
    """
    from hotplug.registry._holding import _stays

    for _ in range(5):
        stay = Stay().enter()
        contextvars.copy_context().run(stay.leave)
    Stay().enter().leave()
    assert _stays.get() == ()


def test_a_stay_tells_nobody_what_it_is_of(registry):
    """
    A context is inherited by code that may see less: it can ask for what it has, and find nothing else.
    """
    registry.register("a", "secret")
    stay = Stay().include(registry._table["a"])
    seen = [getattr(stay, name) for name in dir(stay) if not name.startswith("__")]

    assert not hasattr(stay, "_records")
    assert registry._table["a"] not in seen
    stay.leave()


# -- obtaining -------------------------------------------------------------------------------------


def test_obtaining_of_what_is_there(registry):
    """
    What is ready is obtained at once; all else in a worker, which leaves the loop free.
    """
    registry.register("ready", 1)
    registry.register_factory(
        "made", lambda context: (context, threading.current_thread() is threading.main_thread())
    )

    async def main() -> list[object]:
        with registry.hold("ready") as ready, registry.hold("made") as made:
            assert ready.entry.sort == "item"
            before = threading.active_count()
            answers: list[object] = [await ready.aobtain()]
            assert threading.active_count() == before
            return [*answers, await made.aobtain(ADA), made.obtain(ADA)]

    assert asyncio.run(main()) == [1, (ADA, False), (ADA, True)]


def test_a_load_outlives_who_waited_for_it(registry):
    """
    Who is cancelled while an entry is loaded ends its hold; the worker holds it until it is done.
    """
    gate, loading, closed = threading.Event(), threading.Event(), []

    def load() -> int:
        loading.set()
        assert gate.wait(10)
        return 1

    undo = registry.register_lazy("a", load)

    async def obtain() -> None:
        with registry.hold("a") as held:
            await held.aobtain()

    async def main() -> None:
        obtaining = asyncio.create_task(obtain())
        await asyncio.to_thread(loading.wait, 10)
        obtaining.cancel()
        await asyncio.wait({obtaining})
        assert obtaining.cancelled()
        undo()
        when_released(undo, lambda: closed.append(gate.is_set()))
        assert closed == []
        gate.set()

    asyncio.run(main())
    for thread in threading.enumerate():
        if thread.name == "hotplug call":
            thread.join(10)
    assert closed == [True]


def test_a_load_that_fails_is_held_no_longer(registry):
    """
    What a load raises comes out, and its hold has ended then.
    """

    def load() -> object:
        raise RuntimeError("mine")

    undo = registry.register_lazy("a", load)

    async def main() -> None:
        with registry.hold("a") as held:
            await held.aobtain()

    with pytest.raises(RuntimeError, match="mine"):
        asyncio.run(main())
    assert Retirement([undo], list).begin()


def test_a_worker_that_does_not_start_holds_nothing(registry, monkeypatch):
    """
    Where there are no more threads, the error comes out and the hold ends.
    """
    undo = registry.register_lazy("a", list)
    closed: list[int] = []

    def no_more(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        with monkeypatch.context() as patch, registry.hold("a") as held:
            patch.setattr(threading.Thread, "start", no_more)
            await held.aobtain()

    with pytest.raises(RuntimeError, match="new thread"):
        asyncio.run(main())
    undo()
    when_released(undo, lambda: closed.append(1))
    assert closed == [1]


def test_once_more(registry):
    """
    A hold of what is held ends by itself, before or after the first.
    """
    undo = registry.register("a", 1)
    closed: list[str] = []
    with registry.hold("a") as held:
        more = held.once_more()
        more.__enter__()
        undo()
        when_released(undo, lambda: closed.append("closed"))
    closed.append("left")
    more.__exit__(None, None, None)
    assert closed == ["left", "closed"]


# -- the end ---------------------------------------------------------------------------------------


class Pair:
    """Entries of two registries that go together, taken away; *over* notes their end."""

    def __init__(self) -> None:
        self.registries = [UniversalRegistry[Any]("left"), UniversalRegistry[Any]("right")]
        self.shelf = Shelf()
        change = self.shelf.change()
        self.undos = [change.put(registry, "a", item="old") for registry in self.registries]
        change.publish()
        self.cut = self.shelf.cut()
        self.over: list[int] = []
        self.retirement = Retirement(self.undos, lambda: self.over.append(1))

    def swap(self) -> None:
        change = self.shelf.change()
        for undo in self.undos:
            change.swap(undo, item="new")
        change.publish()


def test_nobody_uses_them():
    """
    What nobody uses has gone at once, and nobody is called for it.
    """
    pair = Pair()
    pair.swap()

    assert pair.retirement.begin()
    assert pair.retirement.is_over
    pair.retirement.force()
    assert pair.over == []


def test_nothing_is_used_by_nobody():
    """
    Of no entries none is used.
    """
    assert Retirement([], lambda: None).begin()


def test_they_go_together():
    """
    As long as one is used, by somebody old or somebody new, all are there; then all go, once.
    """
    pair = Pair()
    left, right = pair.registries
    with left.lease("a"):
        pair.swap()
        assert not pair.retirement.begin()
        other = right.hold("a", pair.cut)
        assert other.__enter__().obtain() == "old"
    assert pair.over == []
    assert not pair.retirement.is_over
    other.__exit__(None, None, None)
    assert pair.over == [1]
    assert pair.retirement.is_over
    with right.hold("a", pair.cut) as held:
        assert held.obtain() == "new"
    assert pair.over == [1]


def test_who_waits_no_longer():
    """
    Forced, they go although they are used: who has the object keeps it, who asks gets what stands now.
    """
    pair = Pair()
    left, _ = pair.registries
    with left.hold("a") as held:
        mine = held.obtain()
        pair.swap()
        assert not pair.retirement.begin()
        pair.retirement.force()
        assert pair.over == [1]
        assert held.is_over
        assert (mine, held.obtain()) == ("old", "new")
        with left.hold("a", pair.cut) as again:
            assert again.obtain() == "new"
    assert pair.over == [1]


def test_who_would_wait_for_itself():
    """
    A retirement of what the caller is in the middle of using says so, and of nothing else.
    """
    pair = Pair()
    left, right = pair.registries
    assert not pair.retirement.is_held_here
    with right.lease("a"):
        pair.swap()
        assert pair.retirement.is_held_here
        with left.lease("a"):
            assert pair.retirement.is_held_here
    with left.lease("a"):
        assert not pair.retirement.is_held_here
