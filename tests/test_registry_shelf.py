"""Entries of several registries that are published together, and what is kept of them."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import pytest

from hotplug._records import PluginRecord
from hotplug.context import UserExecutionContext
from hotplug.errors import (
    CircularFactoryError,
    ContextRequiredError,
    ContractError,
    DuplicateKeyError,
    FrozenRegistryError,
    NotRegisteredError,
)
from hotplug.registry import Shelf, UniversalRegistry, when_released

ADA = UserExecutionContext("ada")
PAPER = PluginRecord("brokers", "hotplug.brokers", "paper", "paper:Broker", "hotplug-broker-paper", "0.1.0")


class World:
    """Two registries on one shelf."""

    def __init__(self) -> None:
        self.left: UniversalRegistry[Any] = UniversalRegistry("left")
        self.right: UniversalRegistry[Any] = UniversalRegistry("right", metrics=False)
        self.shelf = Shelf()

    def put(self, key: str = "a", registry: Any = None, **facts: Any) -> Any:
        """One entry, published; its undo."""
        change = self.shelf.change()
        undo = change.put(registry or self.left, key, **facts)
        change.publish()
        return undo

    def swap(self, old: Any, **facts: Any) -> Any:
        change = self.shelf.change()
        undo = change.swap(old, **facts)
        change.publish()
        return undo


@pytest.fixture
def world() -> World:
    return World()


# -- what stands -----------------------------------------------------------------------------------


def test_nothing_stands_before_it_is_published(world):
    """
    What a change collects is in no registry yet, and its undo does nothing.
    """
    change = world.shelf.change()
    undo = change.put(world.left, "a", item=1)
    undo()
    when_released(undo, lambda: None)

    assert len(world.left) == 0
    assert "a" not in world.left
    assert not change.is_out


def test_an_entry_of_each_sort(world):
    """
    Items, factories and lazy entries read as those that are registered, with the facts they were given.
    """
    made: list[str] = []
    change = world.shelf.change()
    for registry in (world.left, world.right):
        change.put(registry, "item", item=1, tags=["t"], metadata={"m": 1}, owner=PAPER)
        change.put(registry, "factory", factory=lambda context: context, generation=7)
        change.put(registry, "lazy", load=lambda: made.append("lazy") or 3, owner=PAPER, generation=2)
        change.put(registry, "loaded", load=lambda: 1 / 0, item=4)
    change.publish()

    for registry in (world.left, world.right):
        assert registry.keys() == ("item", "factory", "lazy", "loaded")
        assert [registry[key] for key in ("item", "lazy", "loaded")] == [1, 3, 4]
        assert registry.get("lazy") == 3
        assert registry.get("factory", ADA) is registry.create_instance("factory", ADA) is ADA
        with pytest.raises(ContextRequiredError):
            registry.get("factory")
        with pytest.raises(NotRegisteredError, match="shared object"):
            registry.create_instance("item", ADA)
        entries = registry.entries()
        assert [entry.sort for entry in entries] == ["item", "factory", "lazy", "lazy"]
        assert [entry.generation for entry in entries] == [1, 7, 2, 0]
        assert (entries[0].tags, entries[0].metadata, entries[0].owner) == (("t",), {"m": 1}, PAPER)
        assert registry.entry("lazy") == entries[2]
        assert registry.list_by_tag("t") == ("item",)
    assert made == ["lazy", "lazy"]


def test_what_is_counted(world):
    """
    Entries of a shelf are counted as all others, and a key that is swapped counts on.
    """
    left = world.left
    undo = world.put(load=lambda: 1)
    left.get("a")
    undo = world.swap(undo, factory=lambda context: context)
    left.get("a", ADA)
    left.create_instance("a", ADA)
    with pytest.raises(ContextRequiredError):
        left.get("a")
    undo = world.swap(undo, load=lambda: 1 / 0, item=2)
    assert left["a"] == 2
    with left.lease("a"):
        pass
    with pytest.raises(NotRegisteredError):
        left.get("b")

    metrics = left.metrics()
    assert (metrics.entries, metrics.registrations, metrics.hits) == (1, 3, {"a": 6})
    assert (metrics.lookups, metrics.misses, metrics.creations) == (7, 1, 4)
    assert left.entry("a").hits == 6
    assert world.right.metrics().hits == {}


def test_a_key_that_is_freed_and_put_again_counts_on(world):
    """
    Removed and put in one change, a key keeps its place and its count; no reader misses it.
    """
    undo = world.put(item=1)
    world.put("b", item=1)
    world.left.get("a")
    change = world.shelf.change()
    change.remove(undo)
    change.put(world.left, "a", factory=lambda context: context)
    change.publish()
    world.left.get("a", ADA)

    assert world.left.keys() == ("a", "b")
    assert world.left.metrics().hits == {"a": 2, "b": 0}


def test_a_count_goes_with_its_place(world):
    """
    Where an entry comes to a place that counted something else so far, it is found under the place's count.
    """
    dead = world.put(item=1)
    dead()
    undo = world.put(item=2)
    world.left.get("a")
    change = world.shelf.change()
    change.remove(undo)
    change.swap(dead, item=3)
    change.publish()
    assert world.left.get("a") == 3

    assert world.left.entry("a").hits == 2


def test_a_load_runs_once(world):
    """
    Threads that ask for a lazy entry of a shelf cause one load, and a failing one is an issue until it works.
    """
    outcomes: list[Any] = [1 / 2]

    def load() -> Any:
        if len(outcomes) == 1:
            outcomes.append(1)
            raise OSError("not yet")
        return "loaded"

    world.put(load=load)
    with pytest.raises(OSError, match="not yet"):
        world.left.get("a")
    assert world.left.health().issues == ("left/a: OSError: not yet",)
    assert world.left.get("a") == world.left.get("a") == "loaded"
    assert world.left.health().status == "healthy"


def test_what_failed_before_is_no_issue_of_what_stands_now(world):
    """
    A swap clears the issue, and a failure of what was swapped out is none any more.
    """
    undo = world.put(load=lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        world.left.get("a")
    with world.left.hold("a") as held:
        world.swap(undo, load=lambda: 1)
        assert world.left.health().issues == ()
        with pytest.raises(ZeroDivisionError):
            held.obtain()
    assert world.left.health().issues == ()


def test_a_factory_that_needs_itself(world):
    """
    Circles through a shelf are seen.
    """
    world.put(factory=lambda context: world.left.get("a", context))

    with pytest.raises(CircularFactoryError):
        world.left.get("a", ADA)


def test_listeners_hear_each_part(world):
    """
    Every part of a change is told, after all of it happened, outside the locks.
    """
    told: list[tuple[str, str, str, int]] = []
    stood: list[tuple[Any, ...]] = []

    def listen(change: Any) -> None:
        told.append((change.registry, change.action, change.key, change.entry.generation))
        stood.append((world.left.keys(), world.right.keys()))

    old = world.put(item=1, generation=1)
    gone = world.put("gone", world.right, item=1, generation=1)
    world.left.subscribe(listen)
    world.right.subscribe(listen)
    change = world.shelf.change()
    change.swap(old, item=2, generation=2)
    change.put(world.left, "b", item=2, generation=2)
    change.remove(gone)
    change.publish()

    assert told == [
        ("left", "replaced", "a", 2),
        ("left", "registered", "b", 2),
        ("right", "unregistered", "gone", 1),
    ]
    assert stood == [(("a", "b"), ())] * 3


# -- the same verbs as ever ------------------------------------------------------------------------


def test_replacing_what_stands_on_a_shelf(world):
    """
    `replace` and `replace_factory` swap the object, keep the facts, and make the old undo dead.
    """
    left = world.left
    item = world.put(item=1, tags=["t"], generation=3)
    maker = world.put("f", factory=lambda context: 1)
    world.put("lazy", load=list)
    assert left.replace("a", 2) == 1
    left.replace_factory("f", lambda context: 2)
    item()
    maker()

    assert (left["a"], left.get("f", ADA)) == (2, 2)
    assert (left.entry("a").tags, left.entry("a").generation) == (("t",), 3)
    for wrong in (
        lambda: left.replace("f", 1),
        lambda: left.replace("lazy", 1),
        lambda: left.replace_factory("a", lambda context: 1),
    ):
        with pytest.raises(NotRegisteredError):
            wrong()
    with pytest.raises(DuplicateKeyError):
        world.swap(item, item=3)
    world.put("a", world.right, item=1)
    assert (world.right.replace("a", 2), world.right["a"]) == (1, 2)
    left.unregister("a")
    assert left.keys() == ("f", "lazy")
    world.put("a", item=4)
    assert left.keys() == ("f", "lazy", "a")


def test_the_undo_takes_back_its_own(world):
    """
    An undo of a shelf removes its entry while that stands, once, and leaves alone what is newer.
    """
    old = world.put(item=1)
    new = world.swap(old, item=2)
    old()
    assert world.left["a"] == 2
    new()
    new()
    assert world.left.keys() == ()
    world.left.register("a", 3)
    new()
    assert world.left["a"] == 3
    assert repr(new) == "<undo of 'a'>"


def test_what_is_taken_back_leaves_nothing_on_the_shelf(world):
    """
    An undo and `unregister` take the place away too: a cut that is made later knows nothing of it.
    """
    world.put("a", item=1)()
    world.put("b", item=1)
    world.left.unregister("b")

    assert dict(world.shelf.now) == {}
    assert len(world.left.at(world.shelf.cut())) == 0


def test_a_frozen_registry_holds_its_entries(world):
    """
    After freeze nothing is replaced, taken back or published; loads and factories go on.
    """
    undo = world.put(load=list)
    dead = world.put("b", item=1)
    dead()
    world.left.freeze()
    change = world.shelf.change()
    change.remove(dead)
    change.publish()
    for write in (
        undo,
        lambda: world.left.unregister("a"),
        lambda: world.left.replace("a", 1),
        lambda: world.put("c", item=1),
        lambda: world.swap(undo, item=1),
        lambda: world.swap(dead, item=1),
    ):
        with pytest.raises(FrozenRegistryError, match="left is frozen"):
            write()
    change = world.shelf.change()
    change.remove(undo)
    with pytest.raises(FrozenRegistryError, match="undo the registration of 'a'"):
        change.publish()
    assert world.left.get("a") == []


# -- all or nothing --------------------------------------------------------------------------------


def test_what_cannot_be_done_is_left_out(world):
    """
    Not strict, a change does what it can at once, and says what it left out and why.
    """
    world.right.register("taken", 0)
    gone = world.put("gone", item=1)
    change = world.shelf.change()
    taken = change.put(world.right, "taken", item=1, owner=PAPER)
    change.put(world.right, "free", item=2)
    change.remove(gone)
    [refusal] = change.publish(strict=False)

    assert (refusal.undo, type(refusal.error)) == (taken, DuplicateKeyError)
    assert "the application" in str(refusal.error)
    assert "hotplug-broker-paper" in str(refusal.error)
    assert change.refused == [refusal]
    assert (world.left.keys(), world.right.keys()) == ((), ("taken", "free"))


def test_parts_that_build_on_each_other(world):
    """
    The parts of a change count as if done one after the other: what one frees the next may take.
    """
    old = world.put(item=1)
    change = world.shelf.change()
    change.remove(old)
    first = change.put(world.left, "a", item=2)
    change.swap(first, item=3)
    short = change.put(world.left, "b", item=4)
    change.remove(short)
    change.publish()

    assert (world.left.keys(), world.left["a"]) == (("a",), 3)
    with pytest.raises(DuplicateKeyError):
        change = world.shelf.change()
        change.put(world.left, "c", item=1)
        change.put(world.left, "c", item=2)
        change.publish()
    assert world.left.keys() == ("a",)


def test_in_the_place_of_what_is_gone(world):
    """
    A swap for what does not stand any more is a put, where the key is free.
    """
    old = world.put(item=1)
    old()
    world.swap(old, item=2)
    assert world.left["a"] == 2

    with pytest.raises(DuplicateKeyError):
        world.swap(old, item=3)


def test_what_does_not_fit_is_not_collected(world):
    """
    Contract, validators and keys are checked before anything is published; nothing is left of it.
    """
    numbers: UniversalRegistry[Any] = UniversalRegistry("numbers", int)
    numbers.add_validator(lambda key, item: item != 13)
    change = world.shelf.change()
    for wrong in ({"item": "one"}, {"item": 13}, {"load": list, "item": "one"}, {"load": 5}, {}):
        with pytest.raises(ContractError):
            change.put(numbers, "a", **wrong)
    with pytest.raises(TypeError, match="a key is a str"):
        change.put(numbers, 5, item=1)
    with pytest.raises(ValueError, match="empty"):
        change.put(numbers, "", item=1)
    with pytest.raises(ContractError, match="async"):

        async def make(context: object) -> int:
            return 1

        change.put(numbers, "a", factory=make)
    change.put(numbers, "a", load=lambda: "one")
    change.publish()
    with pytest.raises(ContractError):
        numbers.get("a")
    assert numbers.keys() == ("a",)


def test_only_entries_of_a_shelf_are_swapped_and_removed(world):
    """
    What was registered is taken back by its own undo only.
    """
    undo = world.left.register("a", 1)
    for wrong in (undo, world.left.subscribe(print)):
        with pytest.raises(TypeError, match="is of an entry that is on no shelf|is not the undo"):
            world.shelf.change().remove(wrong)
        with pytest.raises(TypeError):
            world.shelf.change().swap(wrong, item=2)


def test_a_registry_has_one_shelf(world):
    """
    A registry that has places on a shelf takes none of another.
    """
    undo = world.put(item=1)
    other = Shelf().change()
    other.put(world.left, "b", item=1)
    with pytest.raises(ValueError, match="left stands on another shelf"):
        other.publish()
    other = Shelf().change()
    other.remove(undo)
    with pytest.raises(ValueError, match="another shelf"):
        other.publish()
    assert world.left.keys() == ("a",)


def test_a_change_is_published_once(world):
    """
    A second publication is an error, after a failed one too.
    """
    change = world.shelf.change()
    assert change.publish() == ()
    with pytest.raises(RuntimeError, match="once"):
        change.publish()


def test_interrupted_before_it_is_out(world, monkeypatch):
    """
    Ctrl-C just before the one assignment leaves everything as it was, and the keys free.
    """
    undo = world.put(item=1)
    change = world.shelf.change()
    change.remove(undo)
    change.put(world.left, "b", item=2)

    def interrupted(now: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(world.shelf, "_show", interrupted)
        with pytest.raises(KeyboardInterrupt):
            change.publish()

    assert not change.is_out
    assert (world.left.keys(), len(world.left)) == (("a",), 1)
    world.left.register("b", 3)
    assert world.left.keys() == ("a", "b")


def test_interrupted_when_it_is_out(world, monkeypatch):
    """
    Ctrl-C just after the one assignment leaves all of the change, and says that it is out.
    """
    undo = world.put(item=1)
    change = world.shelf.change()
    change.remove(undo)
    change.put(world.left, "b", item=2)
    show = world.shelf._show

    def interrupted(now: Any) -> None:
        show(now)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(world.shelf, "_show", interrupted)
        with pytest.raises(KeyboardInterrupt):
            change.publish()

    assert change.is_out
    assert (world.left.keys(), len(world.left), world.left["b"]) == (("b",), 1, 2)
    world.left.register("a", 3)


# -- what is gone ----------------------------------------------------------------------------------


class Thing:
    """Something that can be seen to go."""


def test_what_is_retired_goes(world):
    """
    A cut keeps what stood until it is retired, and nothing of its object from then on.
    """
    thing, undo = Thing(), None
    gone = weakref.ref(thing)
    undo = world.put(item=thing)
    keeps = world.put("b", load=lambda thing=thing: thing)
    cut = world.shelf.cut()
    world.swap(undo, item=1)
    world.swap(keeps, item=1)
    del thing
    assert gone() is not None
    when_released(undo, lambda: None)
    when_released(keeps, lambda: None)
    gc.collect()

    assert gone() is None
    assert world.left.at(cut).keys() == ("a", "b")


def test_what_nobody_keeps_goes(world):
    """
    Without a cut, what was taken away is kept by nothing, whether it is retired or not.
    """
    gone = []
    for take_away in (
        lambda undo: undo(),
        lambda undo: world.left.unregister("a"),
        lambda undo: world.left.replace("a", 1) and world.left.unregister("a"),
        lambda undo: world.swap(undo, item=1)(),
    ):
        thing = Thing()
        gone.append(weakref.ref(thing))
        undo = world.put(item=thing)
        world.shelf.cut()
        del thing
        take_away(undo)
        del undo
    gc.collect()

    assert [each() for each in gone] == [None] * 4


@pytest.mark.parametrize("way", ["load", "factory"])
def test_what_fails_because_it_went_is_found_anew(world, way):
    """
    Who was making something of what was let go of meanwhile gets what came after it, and nothing has failed.
    """

    def make(*_: object) -> object:
        when_released(undo, lambda: None)
        world.swap(undo, item="new")
        when_released(undo, lambda: None)
        raise ValueError("what it was made of is gone")

    undo = world.put(**{way: make})

    assert world.left.get("a", ADA) == "new"
    assert world.left.health().status == "healthy"


@pytest.mark.parametrize("way", ["load", "factory"])
def test_what_fails_and_stands_has_failed(world, way):
    """
    Who makes something of what stands is told what went wrong, also where something else came meanwhile.
    """

    def make(*_: object) -> object:
        world.swap(undo, item="new")  # and somebody uses the old one still
        raise ValueError("it does not work")

    undo = world.put(**{way: make})

    with pytest.raises(ValueError, match="it does not work"):
        world.left.get("a", ADA)
    assert world.left.get("a", ADA) == "new"


def test_what_stands_is_not_let_go_of(world):
    """
    Waiting for the leases of what still stands takes nothing away, also in a registry that is frozen.
    """
    undo = world.put(item=1)
    released: list[int] = []
    when_released(undo, lambda: released.append(1))

    assert released == [1]
    assert world.left["a"] == 1


def test_a_reader_between_finding_and_taking(world):
    """
    Who found an entry that was then swapped and retired gets what stands now, or that nothing does.
    """
    undos = [world.put("lazy", load=lambda: "old"), world.put("factory", factory=lambda context: "old")]
    world.left.get("lazy")
    found = [(key, world.left._at(key)) for key in ("lazy", "factory")]
    undos = [world.swap(undos[0], load=lambda: "new"), *undos[1:], undos[0]]
    new = world.swap(undos[1], factory=lambda context: "new")
    for undo in undos[1:]:
        when_released(undo, lambda: None)
    assert [world.left._obtain(key, record, ADA) for key, record in found] == ["new", "new"]
    assert world.left._factory_at("factory")(ADA) == "new"
    undos[0]()
    new()
    for key, record in found:
        with pytest.raises(NotRegisteredError):
            world.left._obtain(key, record, ADA)


def test_one_cut_for_all_who_ask_at_once(world):
    """
    Sessions that begin between two changes share what they keep.
    """
    world.put(item=1)
    cut = world.shelf.cut()
    assert world.shelf.cut() is cut
    world.put("b", item=1)
    assert world.shelf.cut() is not cut
    assert cut.now is not world.shelf.now


def test_no_attribute_leads_to_the_others(world):
    """
    Who is given one registry comes to no other by what stands in it: plugins have some, and not all.
    """
    world.put("secret", world.right, item="the operator's")
    world.put(item=1)
    things: list[object] = [world.left, world.left._at("a"), world.left._table["a"]]
    with world.left.hold("a") as held:
        things.append(held)
        seen: set[int] = set()
        while things:
            thing = things.pop()
            if id(thing) in seen or not type(thing).__module__.startswith("hotplug"):
                continue
            seen.add(id(thing))
            assert not isinstance(thing, Shelf)
            assert thing is not world.right
            for name in dir(thing):
                if not name.startswith("__"):
                    value = getattr(thing, name, None)
                    things += [value, *(value.values() if isinstance(value, dict) else ())]
    assert not hasattr(world.left._aside, "_shelf")


def test_entries_are_of_one_instant(world):
    """
    Who reads all entries while others come and go at once sees those before, or those after, and no mixture.
    """
    undo = world.put("a", item=1)

    class Table(dict):
        def copy(self):
            if not world.left.get("own", default=None):
                change = world.shelf.change()
                change.remove(undo)
                change.put(world.left, "b", item=2)
                change.publish()
                world.left.register("own", 3)
            return dict(self)

    world.left._table = Table(world.left._table)

    assert [entry.key for entry in world.left.entries()] == ["b", "own"]


# -- keeping to a cut ------------------------------------------------------------------------------


def test_a_registry_as_it_was(world):
    """
    Keys, tags, length and entries of a cut stay, whatever is published; the application's own come and go.
    """
    world.left.register("own", 0, tags=["t"])
    a, b = world.put("a", item=1, tags=["t"]), world.put("b", item=2)
    sight = world.left.at(world.shelf.cut())
    world.swap(a, item=3)
    b()
    world.put("new", item=4, tags=["t"])
    world.left.register("mine", 0)
    world.left.unregister("own")

    assert (sight.keys(), tuple(sight), len(sight)) == (("a", "mine", "b"), ("a", "mine", "b"), 3)
    assert sight.list_by_tag("t") == ("a",)
    assert [key in sight for key in ("a", "b", "mine", "new", "own", 5)] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]
    with sight.hold("a") as held:
        assert (held.obtain(), held.is_over) == (1, False)
    with sight.hold("mine") as held:
        assert (held.obtain(), held.is_over, held.entry.key) == (0, False, "mine")
    for absent in ("new", "own"):
        with pytest.raises(NotRegisteredError), sight.hold(absent):
            pass


def test_a_cut_has_one_order(world):
    """
    What comes back after the cut was made stands in the cut where it stood.
    """
    undo = world.put("a", item=1)
    world.put("b", item=2)
    sight = world.left.at(world.shelf.cut())
    undo()
    world.put("a", item=3)

    assert world.left.keys() == ("b", "a")
    assert sight.keys() == ("a", "b")


def test_leases_by_a_cut_hold_back_retirement(world):
    """
    What is leased by an old cut after it was swapped is closed after that lease.
    """
    undo = world.put(item="old")
    cut = world.shelf.cut()
    world.swap(undo, item="new")
    happened: list[str] = []
    with world.left.hold("a", cut) as held:
        when_released(undo, lambda: happened.append("closed"))
        happened.append(held.obtain())
    assert happened == ["old", "closed"]


def test_holding_across_threads(world):
    """
    A hold that ends in another thread ends.
    """
    undo = world.put(item=1)
    hold = world.left.hold("a")
    hold.__enter__()
    undo()
    closed: list[int] = []
    when_released(undo, lambda: closed.append(1))
    thread = threading.Thread(target=lambda: hold.__exit__(None, None, None))
    thread.start()
    thread.join()

    assert closed == [1]
