"""
What a registry promises when threads race, each promise as a claim about a registry package.

`test_mutations.py` runs the same claims against deliberately broken copies: there they must fail.
Interleavings are forced by turnstiles and conditions, never by sleeping.
"""

from __future__ import annotations

import functools
import itertools
import random
import sys
import threading
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from hotplug import registry as original
from hotplug.errors import (
    CircularFactoryError,
    ContractError,
    DuplicateKeyError,
    FrozenRegistryError,
    NotRegisteredError,
)
from racing import until_it_stands
from thorough import part_of

DEADLINE = 20.0


class Turnstile:
    """A lock in place of the registry's: the thread named *who* stops before it until told to go."""

    def __init__(self, registry: Any, who: str) -> None:
        self.lock = registry._writing
        self.who = who
        self.arrived = threading.Event()
        self.go = threading.Event()
        registry._writing = self

    def __enter__(self) -> None:
        if threading.current_thread().name == self.who:
            self.arrived.set()
            assert self.go.wait(DEADLINE)
        self.lock.acquire()

    def __exit__(self, *error: object) -> None:
        self.lock.release()


class ForbiddenLock:
    """A lock that nobody may take."""

    def __enter__(self) -> None:
        raise AssertionError("the lock was taken")

    def __exit__(self, *error: object) -> None: ...


def start(call: Callable[[], object], outcomes: list[object], name: str = "racer") -> threading.Thread:
    """A thread that puts what *call* returns or raises into *outcomes*."""

    def run() -> None:
        try:
            outcomes.append(call())
        except BaseException as error:
            outcomes.append(error)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread


def race(*calls: Callable[[], object]) -> list[object]:
    """What the calls return or raise, all let go at once; none may outlast the deadline."""
    gate = threading.Barrier(len(calls), timeout=DEADLINE)
    outcomes: list[list[object]] = [[] for _ in calls]

    def through(call: Callable[[], object]) -> object:
        gate.wait()
        return call()

    pairs = zip(calls, outcomes, strict=True)
    threads = [start(functools.partial(through, call), outcome) for call, outcome in pairs]
    for thread in threads:
        thread.join(DEADLINE)
        assert not thread.is_alive(), "a thread hangs"
    return [outcome for [outcome] in outcomes]


def until(condition: Callable[[], object]) -> None:
    """Spin until the condition holds; it must before the deadline."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "it never happened"


def lock_is_free(registry: Any) -> bool:
    """Whether another thread could write right now."""
    answers: list[object] = []

    def try_it() -> bool:
        free = registry._writing.acquire(blocking=False)
        if free:
            registry._writing.release()
        return free

    start(try_it, answers).join(DEADLINE)
    return answers == [True]


# -- claims with a forced interleaving -------------------------------------------------------------


def claim_no_write_lands_after_freeze(package: ModuleType) -> None:
    """A register that waits for the lock while freeze() returns is refused, and leaves nothing."""
    registry = package.UniversalRegistry("things")
    turnstile = Turnstile(registry, "writer")
    outcomes: list[object] = []
    writer = start(lambda: registry.register("late", 1), outcomes, "writer")
    arrived = turnstile.arrived.wait(DEADLINE if writer.is_alive() else 0) if not outcomes else False
    registry.freeze()
    turnstile.go.set()
    writer.join(DEADLINE)

    assert arrived, "it took no lock"
    assert [type(outcome) for outcome in outcomes] == [FrozenRegistryError]
    assert registry.keys() == ()


def claim_no_replacement_lands_after_freeze(package: ModuleType) -> None:
    """The same for replace."""
    registry = package.UniversalRegistry("things")
    registry.register("a", "old")
    turnstile = Turnstile(registry, "writer")
    outcomes: list[object] = []
    writer = start(lambda: registry.replace("a", "new"), outcomes, "writer")
    assert turnstile.arrived.wait(DEADLINE)
    registry.freeze()
    turnstile.go.set()
    writer.join(DEADLINE)

    assert [type(outcome) for outcome in outcomes] == [FrozenRegistryError]
    assert registry["a"] == "old"


def claim_undo_removes_nothing_newer(package: ModuleType) -> None:
    """An undo that comes late leaves alone what stands there by then."""
    registry = package.UniversalRegistry("things")
    undo = registry.register("a", "old")
    registry.unregister("a")
    registry.register("a", "new")
    undo()

    assert registry.get("a", default="nothing") == "new"


def claim_one_load(package: ModuleType) -> None:
    """Who asks while an entry is being loaded waits for that load."""
    registry = package.UniversalRegistry("things")
    loads: list[int] = []
    outcomes: list[object] = []

    def is_waiting(thread: threading.Thread) -> bool:
        frame = sys._current_frames().get(thread.ident or 0)
        names = []
        while frame is not None:
            names.append(frame.f_code.co_name)
            frame = frame.f_back
        return "wait" in names and "get" in names

    def load() -> object:
        loads.append(1)
        if len(loads) == 1:
            second = start(lambda: registry.get("a"), outcomes)
            until(lambda: len(loads) > 1 or is_waiting(second) or not second.is_alive())
        return object()

    registry.register_lazy("a", load)
    first = registry.get("a")
    until(lambda: outcomes)

    assert len(loads) == 1
    assert outcomes == [first]


def claim_one_value_when_late(package: ModuleType) -> None:
    """Who finds nothing made, and claims the making after another made it, makes nothing."""
    made: list[str] = []

    class Late(package.Once):  # type: ignore[misc, name-defined]
        late = True

        def _claim(self, mine: object) -> object:
            if self.late:
                self.late = False
                self.get(lambda: made.append("first"))
            return super()._claim(mine)

    Late("things", "a").get(lambda: made.append("second"))

    assert made == ["first"]


def claim_no_code_under_the_lock(package: ModuleType) -> None:
    """Validators, factories, loads and listeners run while other threads can write."""
    registry = package.UniversalRegistry("things")
    free: dict[str, bool] = {}

    def note(who: str, answer: object) -> object:
        free[who] = lock_is_free(registry)
        return answer

    registry.add_validator(lambda key, item: note(f"validator of {key}", True))
    registry.subscribe(lambda change: note(f"listener to {change.action} {change.key}", None))
    registry.register("item", 1)
    registry.replace("item", 2)
    registry.register_factory("factory", lambda context: note("factory", 3))
    registry.replace_factory("factory", lambda context: note("factory", 3))
    registry.register_lazy("lazy", lambda: note("load", 4))
    registry.get("factory", 1)
    registry.get("lazy")
    registry.unregister("factory")
    registry.unregister("item")

    assert len(free) == 12
    assert [who for who, was_free in free.items() if not was_free] == []


def claim_reads_take_no_lock(package: ModuleType) -> None:
    """Everything can be read and made without the lock that writers hold."""
    registry = package.UniversalRegistry("things")
    registry.register("item", 1, tags=["t"])
    registry.register_factory("factory", lambda context: 2)
    registry.register_lazy("lazy", lambda: 3)

    def read() -> list[object]:
        got = [registry["item"], registry.get("factory", 1), registry.create_instance("factory", 1)]
        got += [registry.get("lazy"), registry.get("absent", default=4), len(registry), "item" in registry]
        views = [registry.keys(), tuple(registry), registry.list_by_tag("t"), registry.entries()]
        return [*got, all(views), registry.metrics().lookups, registry.health().status, registry.frozen]

    registry._writing = ForbiddenLock()

    assert read() == [1, 2, 2, 3, 4, 3, True, True, 5, "healthy", False]

    registry = package.UniversalRegistry("things")
    shelf = package.Shelf()
    change = shelf.change()
    change.put(registry, "item", item=1, tags=["t"])
    change.put(registry, "factory", factory=lambda context: 2)
    change.put(registry, "lazy", load=lambda: 3)
    change.publish()
    registry._writing = ForbiddenLock()

    assert read() == [1, 2, 2, 3, 4, 3, True, True, 5, "healthy", False]
    assert "item" in registry.at(shelf.cut())


def claim_no_finaliser_under_the_lock(package: ModuleType) -> None:
    """An object whose last reference a registry drops is finalised while other threads can write."""
    registry = package.UniversalRegistry("things")
    free: list[bool] = []

    class Thing:
        def __del__(self) -> None:
            free.append(lock_is_free(registry))

        def __call__(self, context: object) -> object:
            return 1

    undo = registry.register("a", Thing())
    registry.register("b", Thing())
    registry.register_factory("f", Thing())
    registry.register_lazy("l", Thing)
    registry.get("l")
    undo()
    del undo
    registry.unregister("b")
    registry.replace_factory("f", lambda context: 2)
    registry.replace("l", 1)

    assert free == [True] * 4

    shelf = package.Shelf()
    change = shelf.change()
    undos = [change.put(registry, f"shelf.{number}", item=Thing()) for number in range(6)]
    undos.append(change.put(registry, "shelf.f", factory=Thing()))
    change.publish()
    del change
    taken, swapped, removed, retired = undos[:4]
    undos[:4] = []
    taken()
    change = shelf.change()
    change.swap(swapped, item=1)
    change.remove(removed)
    del taken, swapped, removed
    change.publish()
    del change
    assert free == [True] * 7
    retired()
    package.when_released(retired, lambda: None)
    assert free == [True] * 8
    undos.clear()
    registry.unregister("shelf.4")
    registry.replace("shelf.5", 1)
    registry.replace_factory("shelf.f", lambda context: 2)

    assert free == [True] * 11


def claim_changes_come_in_order(package: ModuleType) -> None:
    """A change that a listener makes is told after the one it was told of, to everybody."""
    registry = package.UniversalRegistry("things")
    told: list[str] = []

    def first(change: Any) -> None:
        told.append(f"first hears {change.key}")
        if change.key == "a":
            registry.register("b", 1)
            told.append("first is done with a")

    registry.subscribe(first)
    registry.subscribe(lambda change: told.append(f"second hears {change.key}"))
    registry.register("a", 1)

    for_all = ["second hears a", "first hears b", "second hears b"]
    assert told == ["first hears a", "first is done with a", *for_all]


def claim_leased_is_not_released(package: ModuleType) -> None:
    """What is leased is released after the lease, and no lease begins after the undo."""
    registry = package.UniversalRegistry("things")
    undo = registry.register("a", 1)
    happened: list[str] = []
    with registry.lease("a"):
        undo()
        package.when_released(undo, lambda: happened.append("closed"))
        happened.append("used")
    with pytest.raises(NotRegisteredError), registry.lease("a"):
        happened.append("leased")

    assert happened == ["used", "closed"]


def claim_no_lease_begins_after_the_undo(package: ModuleType) -> None:
    """A lease that waits for the lock while its entry is taken away does not begin."""
    registry = package.UniversalRegistry("things")
    undo = registry.register("a", 1)
    turnstile = Turnstile(registry, "leaser")
    outcomes: list[object] = []
    leaser = start(lambda: registry.lease("a").__enter__(), outcomes, "leaser")
    assert turnstile.arrived.wait(DEADLINE)
    closed: list[str] = []
    undo()
    package.when_released(undo, lambda: closed.append("closed"))
    turnstile.go.set()
    leaser.join(DEADLINE)

    assert closed == ["closed"]
    assert [type(outcome) for outcome in outcomes] == [NotRegisteredError]


def claim_circles_end(package: ModuleType) -> None:
    """A factory that needs itself, and a load that does, raise at the first round."""
    registry = package.UniversalRegistry("things")
    rounds: list[int] = []

    def make(*context: object) -> object:
        rounds.append(1)
        assert len(rounds) < 5, "it goes round and round"
        return registry.get("a", 1)

    undo = registry.register_factory("a", make)
    with pytest.raises(CircularFactoryError):
        registry.get("a", 1)
    undo()
    registry.register_lazy("a", make)
    with pytest.raises(CircularFactoryError):
        registry.get("a")

    assert len(rounds) == 2


def claim_products_are_checked(package: ModuleType) -> None:
    """What is no int comes in by no door, also after ints came through it."""
    registry = package.UniversalRegistry("numbers", int)
    products: list[object] = [1, "one"]
    registry.register("number", 1)
    registry.register_factory("factory", lambda context: products.pop(0))
    registry.register_lazy("lazy", lambda: "one")
    registry.get("factory", 1)

    for wrong in (
        lambda: registry.register("item", "one"),
        lambda: registry.replace("number", "one"),
        lambda: registry.get("factory", 1),
        lambda: registry.get("lazy"),
    ):
        with pytest.raises(ContractError):
            wrong()


# -- claims about the shelf ------------------------------------------------------------------------


def look(*registries: Any) -> list[object]:
    """What a reader sees of them, by every way there is."""
    keys = "abcd"
    return [
        (
            registry.keys(),
            tuple(registry),
            len(registry),
            [key in registry for key in keys],
            [registry.get(key, default=None) for key in keys],
            [registry.get(key, 1, default=None) for key in keys],
            [(entry.key, entry.generation) for entry in registry.entries()],
            registry.list_by_tag("t"),
            registry.metrics().entries,
            registry.health().details["entries"],
        )
        for registry in registries
    ]


def a_change(package: ModuleType) -> tuple[Any, Any, Any, Any]:
    """A shelf, two registries, and a change of both that is not published yet."""
    left = package.UniversalRegistry("left")
    right = package.UniversalRegistry("right", metrics=False)
    shelf = package.Shelf()
    change = shelf.change()
    a = change.put(left, "a", item="old a", tags=["t"], generation=1)
    b = change.put(right, "b", item="old b", tags=["t"], generation=1)
    c = change.put(right, "c", item="old c", generation=1)
    change.publish()
    change = shelf.change()
    change.swap(a, item="new a", generation=2)
    change.remove(b)
    change.swap(c, item="new c", tags=["t"], generation=2)
    change.put(left, "b", item="new b", tags=["t"], generation=2)
    change.put(right, "d", item="new d", generation=2)
    return shelf, left, right, change


def claim_a_change_is_seen_at_once(package: ModuleType) -> None:
    """Just before the one assignment readers see what was, by all ways; just after it, what will be."""
    shelf, left, right, change = a_change(package)
    seen: list[object] = []
    show = shelf._show

    def watched(now: object) -> None:
        seen.append(look(left, right))
        show(now)
        seen.append(look(left, right))

    shelf._show = watched
    before = look(left, right)
    change.publish()
    after = look(left, right)

    assert before != after
    assert seen == [before, after]


def claim_a_view_is_of_one_instant(package: ModuleType) -> None:
    """A view during which a change comes shows all of the change or nothing of it."""
    for view in ("keys", "entries", "metrics"):
        _, left, _, change = a_change(package)
        calls: list[Callable[[], object]] = [change.publish]

        class Interrupted(dict):  # type: ignore[type-arg]
            def copy(self, calls: list[Callable[[], object]] = calls) -> dict[str, object]:
                copied = dict(self)
                while calls:
                    calls.pop()()
                return copied

        left._table = Interrupted(left._table)
        seen = getattr(left, view)()
        assert not calls
        if view == "metrics":
            assert seen.entries == 2
        else:
            found = [each if isinstance(each, str) else (each.key, each.generation) for each in seen]
            assert found == (["a", "b"] if view == "keys" else [("a", 2), ("b", 2)])


def claim_a_length_is_of_one_instant(package: ModuleType) -> None:
    """Who counts in the middle of a change counts again."""
    shelf, _, right, change = a_change(package)
    show, counted = shelf._show, list[int]()

    def watched(now: object) -> None:
        counted.append(dict.__len__(right._table))
        show(now)

    class Interrupted(dict):  # type: ignore[type-arg]
        def __len__(self) -> int:
            if not counted:
                change.publish()
                return counted[0]
            return dict.__len__(self)

    shelf._show = watched
    right._table = Interrupted(right._table)

    assert len(right) == 2
    assert counted == [3]


def claim_a_refused_change_is_none(package: ModuleType) -> None:
    """A change of which one part is impossible leaves everything as it was, and says which part that was."""
    _, left, right, change = a_change(package)
    right.register("d", "the application's")
    before, told = look(left, right), []
    left.subscribe(told.append)
    with pytest.raises(DuplicateKeyError, match="'d'"):
        change.publish()

    assert look(left, right) == before
    assert told == []


def claim_no_change_lands_after_freeze(package: ModuleType) -> None:
    """A change that waits for the lock of one of its registries while that is frozen lands nowhere."""
    _, left, right, change = a_change(package)
    before = look(left, right)
    turnstile = Turnstile(right, "writer")
    outcomes: list[object] = []
    writer = start(change.publish, outcomes, "writer")
    until(lambda: outcomes or turnstile.arrived.is_set())
    assert not outcomes, "it took no lock"
    right.freeze()
    turnstile.go.set()
    writer.join(DEADLINE)

    assert [type(outcome) for outcome in outcomes] == [FrozenRegistryError]
    assert look(left, right) == before


class NotedLock:
    """A lock in place of the registry's, which says when it was taken."""

    def __init__(self, registry: Any, taken: list[str]) -> None:
        self.lock = registry._writing
        self.name = registry.name
        self.taken = taken
        registry._writing = self

    def __enter__(self) -> None:
        self.lock.acquire()
        self.taken.append(self.name)

    def __exit__(self, *error: object) -> None:
        self.lock.release()


def claim_two_changes_make_way_for_each_other(package: ModuleType) -> None:
    """Changes of the same registries, named in whatever order, take their locks in one order."""
    registries = [package.UniversalRegistry(name) for name in "abcd"]
    shelf, taken = package.Shelf(), []
    for registry in registries:
        NotedLock(registry, taken)
    for number, order in enumerate(itertools.permutations(registries)):
        change = shelf.change()
        for registry in order:
            change.put(registry, str(number), item=number)
        change.publish()

    orders = {"".join(taken[start : start + 4]) for start in range(0, len(taken), 4)}
    assert len(orders) == 1


def claim_changes_of_other_registries_stay(package: ModuleType) -> None:
    """A change that comes in the middle of another one, of other registries, stands as well."""
    left, right = package.UniversalRegistry("left"), package.UniversalRegistry("right")
    shelf = package.Shelf()
    changes = [shelf.change(), shelf.change()]
    changes[0].put(left, "a", item=1)
    changes[1].put(right, "a", item=2)
    show, writers, outcomes = shelf._show, [], []

    def interrupted(now: object) -> None:
        if not writers:
            writers.append(start(changes[1].publish, outcomes, "writer"))
            until_it_stands(writers[0])
        show(now)

    shelf._show = interrupted
    changes[0].publish()
    writers[0].join(DEADLINE)

    assert outcomes == [()]
    assert (left.get("a", default=None), right.get("a", default=None)) == (1, 2)


def claim_a_cut_is_kept(package: ModuleType) -> None:
    """Who keeps to a cut finds what stood then, until that is retired; from then on what stands now."""
    shelf, left, right, change = a_change(package)
    cut = shelf.cut()
    old = [step.go for step in change._steps if step.go is not None]
    change.publish()
    happened: list[str] = []
    retirement = package.Retirement(old, lambda: happened.append("over"))
    with left.hold("a", cut) as held:
        assert held.obtain() == "old a"
        assert not retirement.begin()
        with right.hold("b", cut) as other:
            assert other.obtain() == "old b"
        assert happened == []
        assert (left.at(cut).keys(), right.at(cut).keys()) == (("a",), ("b", "c"))
        with pytest.raises(NotRegisteredError, match="after"), left.hold("b", cut):
            happened.append("found what came later")
    assert happened == ["over"]
    assert (left.at(cut).keys(), right.at(cut).keys()) == (("a",), ("c",))
    with left.hold("a", cut) as held:
        assert held.obtain() == "new a"
    with pytest.raises(NotRegisteredError), right.hold("b", cut):
        happened.append("found what is gone")


def claim_no_lease_begins_after_the_retirement(package: ModuleType) -> None:
    """A lease by an old cut that waits for the lock while its entry is retired is one of the new entry."""
    shelf, left, _, change = a_change(package)
    cut = shelf.cut()
    old = change._steps[0].go
    change.publish()
    turnstile = Turnstile(left, "leaser")
    outcomes: list[object] = []

    def lease() -> object:
        with left.hold("a", cut) as held:
            return held.is_over, held.obtain()

    leaser = start(lease, outcomes, "leaser")
    assert turnstile.arrived.wait(DEADLINE)
    package.when_released(old, lambda: None)
    turnstile.go.set()
    leaser.join(DEADLINE)

    assert outcomes == [(False, "new a")]


CLAIMS = [
    claim_no_write_lands_after_freeze,
    claim_no_replacement_lands_after_freeze,
    claim_undo_removes_nothing_newer,
    claim_one_load,
    claim_one_value_when_late,
    claim_no_code_under_the_lock,
    claim_reads_take_no_lock,
    claim_no_finaliser_under_the_lock,
    claim_changes_come_in_order,
    claim_leased_is_not_released,
    claim_no_lease_begins_after_the_undo,
    claim_circles_end,
    claim_products_are_checked,
    claim_a_change_is_seen_at_once,
    claim_a_view_is_of_one_instant,
    claim_a_length_is_of_one_instant,
    claim_a_refused_change_is_none,
    claim_no_change_lands_after_freeze,
    claim_two_changes_make_way_for_each_other,
    claim_changes_of_other_registries_stay,
    claim_a_cut_is_kept,
    claim_no_lease_begins_after_the_retirement,
]


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.__name__)
def test_claim(claim, eager_threads):
    """
    Each claim holds for the registry.
    """
    claim(original)


# -- storms ----------------------------------------------------------------------------------------


def test_one_of_many_registers(eager_threads):
    """
    Of eight threads that register one key, in any sort, exactly one gets it, every time.
    """
    for _ in range(50):
        registry = original.UniversalRegistry("things")
        calls = [
            functools.partial(registry.register, "a", 1),
            functools.partial(registry.register_factory, "a", lambda context: 1),
            functools.partial(registry.register_lazy, "a", list),
        ]
        outcomes = race(*itertools.islice(itertools.cycle(calls), 8))

        assert sorted(isinstance(outcome, DuplicateKeyError) for outcome in outcomes) == [False] + [True] * 7
        assert len(registry) == 1


def test_nothing_lands_after_freeze(eager_threads):
    """
    What stands when freeze returns is what stands for ever, whoever was registering.
    """
    for _ in range(60):
        registry = original.UniversalRegistry("things")

        def register(place: int, registry: Any = registry) -> int:
            for number in range(50):
                try:
                    registry.register(f"{place}.{number}", number)
                except FrozenRegistryError:
                    return number
            return 50

        def freeze(registry: Any = registry) -> tuple[str, ...]:
            registry.freeze()
            return registry.keys()

        *counts, seen = race(*(functools.partial(register, place) for place in range(3)), freeze)

        assert registry.keys() == seen
        assert len(seen) == sum(counts)


def test_readers_never_miss(eager_threads):
    """
    While an entry is replaced, swapped and read, no reader misses it or sees anything older.
    """
    registry, shelf = original.UniversalRegistry("things"), original.Shelf()
    change = shelf.change()
    undo = [change.put(registry, "a", load=lambda: 0)]
    change.publish()
    registry.register("b", 0)
    registry.get("a")
    done, turns = threading.Event(), part_of(1000)

    def read() -> bool:
        swapped, replaced = [0], [0]
        while not done.is_set():
            swapped += [registry["a"], registry.get("a")]
            replaced += [registry["b"], registry.get("b")]
            with registry.lease("a") as leased:
                swapped.append(leased)
        return swapped == sorted(swapped) and replaced == sorted(replaced)

    def write() -> bool:
        for number in range(1, turns + 1):
            registry.replace("b", number)
            change = shelf.change()
            undo.append(change.swap(undo[-1], load=lambda number=number: number))
            change.publish()
            registry.get("a")
        done.set()
        return True

    assert race(read, read, read, write) == [True] * 4
    assert (registry["a"], registry["b"]) == (turns, turns)


def test_counts_are_exact(eager_threads):
    """
    No lookup, hit, miss, creation or failure is lost, though entries come and go meanwhile.
    """
    registry = original.UniversalRegistry("things")
    registry.register("item", 1)
    registry.register_factory("factory", lambda context: context)
    registry.register_factory("broken", lambda context: 1 / 0)
    registry.register("moving", 1)

    def work() -> None:
        for _ in range(300):
            registry["item"]
            registry.get("factory", 1)
            registry.get("absent", default=None)
            registry.get("moving", default=None)
            with pytest.raises(ZeroDivisionError):
                registry.create_instance("broken", 1)

    def move() -> None:
        for _ in range(300):
            registry.unregister("moving")
            registry.register("moving", 1)

    race(work, work, work, work, move)

    metrics = registry.metrics()
    assert metrics.lookups == 4 * 5 * 300
    assert (metrics.creations, metrics.failures) == (1200, 1200)
    assert (metrics.hits["item"], metrics.hits["factory"], metrics.hits["broken"]) == (1200, 1200, 1200)
    assert 1200 <= metrics.misses <= 2400
    assert metrics.registrations == 304


def test_views_are_snapshots(eager_threads):
    """
    Views taken while others write never fail and never show a key twice or half a pair.
    """
    registry = original.UniversalRegistry("things")
    done = threading.Event()

    def look() -> bool:
        while not done.is_set():
            keys = registry.keys()
            entries = registry.entries()
            assert len(set(keys)) == len(keys)
            assert all(entry.key in entry.tags for entry in entries)
            assert all(isinstance(key, str) for key in registry)
            assert registry.metrics().entries >= 0
            registry.list_by_tag("a")
        return True

    def write(name: str) -> bool:
        for _ in range(1500):
            undo = registry.register(name, name, tags=[name])
            undo()
        return True

    def finish() -> bool:
        outcomes = race(lambda: write("a"), lambda: write("b"))
        done.set()
        return outcomes == [True, True]

    assert race(look, look, finish) == [True] * 3
    assert registry.keys() == ()


def test_changes_tell_the_whole_story(eager_threads):
    """
    Replaying what a listener heard gives what stands, and the listener was never called twice at once.
    """
    registry = original.UniversalRegistry("things")
    told: list[tuple[str, str]] = []
    inside: list[int] = []

    def listen(change: Any) -> None:
        inside.append(1)
        assert len(inside) == 1
        told.append((change.action, change.key))
        inside.pop()

    def work(place: int) -> None:
        for number in range(400):
            key = str(number % 7)
            try:
                undo = registry.register(key, place)
            except DuplicateKeyError:
                continue
            if number % 3:
                undo()

    registry.subscribe(listen)
    race(*(functools.partial(work, place) for place in range(4)))

    standing: list[str] = []
    for action, key in told:
        standing.append(key) if action == "registered" else standing.remove(key)
    assert tuple(standing) == registry.keys()


def test_lazy_entries_under_load(eager_threads):
    """
    Forty threads on ten lazy entries cause ten loads, whatever the order.
    """
    for _ in range(15):
        registry = original.UniversalRegistry("things")
        loads: list[int] = []

        def load(number: int, loads: list[int] = loads) -> object:
            loads.append(number)
            return object()

        for number in range(10):
            registry.register_lazy(str(number), functools.partial(load, number))
        calls = [functools.partial(registry.get, str(number % 10)) for number in range(40)]
        outcomes = race(*calls)

        assert sorted(loads) == list(range(10))
        assert len(set(outcomes)) == 10


class Versions:
    """Two registries on one shelf, of which each change makes the next version, with a number of its own."""

    def __init__(self) -> None:
        self.left, self.right = original.UniversalRegistry("left"), original.UniversalRegistry("right")
        self.shelf = original.Shelf()
        self.fate = random.Random(5)
        self.history: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
        self.keys: list[list[str]] = [[], []]
        self.undos: dict[tuple[Any, str], Any] = {}
        self.show, self.shelf._show = self.shelf._show, self.show_slowly

    def show_slowly(self, now: Any) -> None:
        """The one assignment, with readers let in just before and just after it."""
        time.sleep(0)
        self.show(now)
        time.sleep(0)

    def publish(self) -> None:
        """All keys that stay have the number of the version; some come and some go."""
        change, number = self.shelf.change(), len(self.history)
        extras = [(registry, key) for registry in (self.left, self.right) for key in "uvwxyz"]
        for registry, key in [(self.left, "first"), (self.right, "second"), *self.fate.sample(extras, 6)]:
            self.move(change, registry, key, number)
        self.history.append((tuple(self.keys[0]), tuple(self.keys[1])))
        change.publish()

    def move(self, change: Any, registry: Any, key: str, number: int) -> None:
        where, keys = (registry, key), self.keys[registry is self.right]
        if where not in self.undos:
            makes = {"item": number} if self.fate.random() < 0.5 else {"load": lambda: number}
            self.undos[where] = change.put(registry, key, **makes, generation=number)
            keys.append(key)
        elif key in ("first", "second") or self.fate.random() < 0.4:
            self.undos[where] = change.swap(self.undos[where], load=lambda: number, generation=number)
        else:
            change.remove(self.undos.pop(where))
            keys.remove(key)


def read_a_version(versions: Versions, place: int) -> None:
    """Look in every way, from one registry to the other and back: never anything torn, nor anything older."""
    own, other = (versions.right, versions.left) if place else (versions.left, versions.right)
    mine, theirs = ("second", "first") if place else ("first", "second")
    first, second = own[mine], other[theirs]
    keys, length = own.keys(), len(own)
    is_in = [(key, key in own) for key in "uvwxyz"]
    got = [(key, own.get(key, default=None)) for key in "uvwxyz"]
    entries = own.entries()
    with own.lease(mine) as leased:
        last = own[mine]
    sights = tuple(
        each.at(cut).keys() for cut in [versions.shelf.cut()] for each in (versions.left, versions.right)
    )

    assert first <= second <= leased <= last, "new, then old"
    possible = [versions.history[number][place] for number in range(second, last + 1)]
    assert keys in possible
    assert length in map(len, possible)
    for key, there in is_in:
        assert there in [key in keys for keys in possible], "`in` sees what nobody published"
    for key, value in got:
        assert (value is not None) in [key in keys for keys in possible], "get sees what nobody published"
        assert value is None or value <= last
    [at] = {entry.generation for entry in entries if entry.key in ("first", "second")}
    assert second <= at <= last
    assert tuple(entry.key for entry in entries) == versions.history[at][place], "a view of two instants"
    assert sights in versions.history, "a cut of two instants"


def test_a_thread_that_saw_the_new_never_sees_the_old(eager_threads):
    """
    Eight readers beside random changes of two registries: all they see is of one instant, and none is older.
    """
    versions, done = Versions(), threading.Event()
    versions.publish()

    def read(place: int) -> int:
        rounds = 0
        while not done.is_set():
            try:
                read_a_version(versions, place)
            except BaseException:
                done.set()
                raise
            rounds += 1
        return rounds

    def write() -> int:
        end = time.monotonic() + part_of(2000) / 1000
        while time.monotonic() < end and not done.is_set():
            versions.publish()
        done.set()
        return len(versions.history)

    outcomes = race(*(functools.partial(read, number % 2) for number in range(8)), write)

    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    assert min(outcomes) > 10, "hardly anything happened"


# -- the two programs that hang where factories run under a lock ------------------------------------


def test_factory_waiting_for_a_worker():
    """
    A factory may wait for a thread that reads and writes the same registry.
    """
    registry = original.UniversalRegistry("things")
    registry.register("config", "well")

    def make(context: object) -> object:
        answers: list[object] = []

        def work() -> object:
            registry.register("made by the worker", 1)
            return registry["config"]

        start(work, answers).join(DEADLINE)
        return answers

    registry.register_factory("a", make)

    assert race(lambda: registry.get("a", 1)) == [["well"]]


def test_two_registries_that_need_each_other():
    """
    Factories of two registries that read each other's do so at the same time.
    """
    left, right = original.UniversalRegistry("left"), original.UniversalRegistry("right")
    both = threading.Barrier(2, timeout=DEADLINE)

    def make(own: Any, other: Any, context: object) -> object:
        if context == "leaf":
            return own.name
        both.wait()
        return own.name, other.get("b", "leaf")

    for own, other in ((left, right), (right, left)):
        own.register_factory("a", functools.partial(make, own, other))
        own.register_factory("b", functools.partial(make, own, other))

    outcomes = race(lambda: left.get("a", "root"), lambda: right.get("a", "root"))
    assert outcomes == [("left", "right"), ("right", "left")]
