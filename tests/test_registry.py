"""Keys and what stands under them: reading, registering, taking back, replacing."""

from __future__ import annotations

import gc
import weakref
from abc import ABC, abstractmethod

import pytest

from hotplug._records import Entry, PluginRecord
from hotplug.context import UserExecutionContext
from hotplug.errors import (
    ContractError,
    DuplicateKeyError,
    NotRegisteredError,
)
from hotplug.registry import UniversalRegistry

ADA = UserExecutionContext("ada")
PAPER = PluginRecord("brokers", "hotplug.brokers", "paper", "paper:Broker", "hotplug-broker-paper", "0.1.0")


class Greeter(ABC):
    @abstractmethod
    def greet(self, name: str) -> str: ...


class Polite(Greeter):
    def greet(self, name: str) -> str:
        return f"Good day, {name}"


@pytest.fixture
def registry() -> UniversalRegistry[object]:
    return UniversalRegistry("things")


# -- reading ---------------------------------------------------------------------------------------


def test_item_comes_back(registry):
    """
    What was registered is what every way of reading gives.
    """
    item = object()
    registry.register("a", item)

    with registry.lease("a") as leased:
        assert [item] * 4 == [registry.get("a"), registry["a"], registry.get("a", ADA), leased]


@pytest.mark.parametrize("value", [None, 0, "", (), False])
def test_falsy_items_are_values(registry, value):
    """
    A falsy item is an item, not an absence.
    """
    registry.register("a", value)

    assert value is registry.get("a", default="absent")
    assert "a" in registry


def test_unknown_key_is_readable(registry):
    """
    An unknown key raises a KeyError whose text is a sentence with a close match.
    """
    registry.register("paper", 1)

    with pytest.raises(NotRegisteredError) as caught:
        registry.get("papier")

    assert isinstance(caught.value, KeyError)
    assert str(caught.value) == "things has no 'papier' (did you mean 'paper'?)"
    with pytest.raises(NotRegisteredError, match="'papier'"):
        registry["papier"]


def test_default_is_for_absent_keys(registry):
    """
    The default is returned for an absent key, whatever it is.
    """
    assert registry.get("a", default=None) is None
    assert registry.get("a", ADA, default=7) == 7


def test_someone_who_knows_better_explains(registry):
    """
    Where the host knows why a key is absent, the error says that instead of guessing.
    """
    registry.explain = lambda key: f"{key} is disabled in hotplug.toml"

    with pytest.raises(NotRegisteredError, match="a is disabled"):
        registry.get("a")


def test_empty_registry_is_true(registry):
    """
    An empty registry is not mistaken for no registry.
    """
    assert registry
    assert len(registry) == 0


def test_views_agree(registry):
    """
    len, in, iter, keys and entries speak of the same keys, in order of registration.
    """
    for key in "cab":
        registry.register(key, key)
    registry.register_factory("f", lambda context: context)
    registry.register_lazy("l", list)
    registry.unregister("a")
    registry.register("a", "again")

    keys = ("c", "b", "f", "l", "a")
    assert keys == registry.keys() == tuple(registry) == tuple(entry.key for entry in registry.entries())
    assert len(registry) == 5
    assert all(key in registry for key in keys)
    assert "z" not in registry
    assert [entry.sort for entry in registry.entries()] == ["item", "item", "factory", "lazy", "item"]


def test_iterating_while_writing(registry):
    """
    A loop over a registry may change it: it goes over one snapshot.
    """
    registry.register("a", 1)

    for key in registry:
        registry.register(f"{key}{key}", 2)

    assert registry.keys() == ("a", "aa")


def test_repr_names_it(registry):
    """
    The repr says which registry, how much is in it and whether it is frozen.
    """
    registry.register("a", 1)
    registry.freeze()

    assert repr(registry) == "<UniversalRegistry 'things': 1 entries, frozen>"


# -- names -----------------------------------------------------------------------------------------


class Tools(UniversalRegistry[Greeter]):
    _default_name = "tools"
    _default_contract = Greeter


def test_subclasses_have_a_default_name():
    """
    A subclass may bring its name and contract; both can be given anew.
    """
    assert Tools().name == "tools"
    assert Tools("more", Polite).name == "more"
    with pytest.raises(ContractError):
        Tools().register("a", "no greeter")


@pytest.mark.parametrize("name", [None, "", 7])
def test_a_name_is_needed(name):
    """
    Without a name there is no registry.
    """
    with pytest.raises(TypeError, match="needs a name"):
        UniversalRegistry(name)


@pytest.mark.parametrize("key", [7, None, b"a", ("a",)])
def test_keys_are_text(registry, key):
    """
    A key that is no str is refused by every sort of registration.
    """
    for register in (registry.register, registry.register_factory, registry.register_lazy):
        with pytest.raises(TypeError, match="a key is a str"):
            register(key, list)
    with pytest.raises(ValueError, match="must not be empty"):
        registry.register("", 1)


def test_keys_of_subclasses_become_plain(registry):
    """
    A str subclass with an __eq__ of its own cannot run code in the table.
    """

    class Odd(str):
        __slots__ = ()

        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            raise AssertionError

    registry.register(Odd("a"), 1)

    assert [str] == [type(key) for key in registry]
    assert registry["a"] == 1


# -- registering -----------------------------------------------------------------------------------

SORTS = {
    "item": lambda registry, **facts: registry.register("a", object(), **facts),
    "factory": lambda registry, **facts: registry.register_factory("a", lambda context: object(), **facts),
    "lazy": lambda registry, **facts: registry.register_lazy("a", object, **facts),
}
sorts = pytest.mark.parametrize("sort", SORTS)


@pytest.mark.parametrize("second", SORTS)
@sorts
def test_second_registration(registry, sort, second):
    """
    A key is taken by any sort for any sort, and the error names both owners.
    """
    SORTS[sort](registry, owner=PAPER)
    before = registry.entries()

    with pytest.raises(DuplicateKeyError) as caught:
        SORTS[second](registry)

    assert isinstance(caught.value, ValueError)
    assert str(PAPER) in str(caught.value)
    assert "the application" in str(caught.value)
    assert "things" in str(caught.value)
    assert before == registry.entries()


@sorts
def test_entries_tell_what_was_said(registry, sort):
    """
    Tags, metadata and owner are in the entry, whatever the metadata's keys are called.
    """
    SORTS[sort](registry, tags=["x", "y", "x"], metadata={"key": 1, "item": 2}, owner=PAPER)

    [entry] = registry.entries()
    assert entry == Entry("a", sort, ("x", "y"), {"key": 1, "item": 2}, PAPER, generation=1)
    assert entry == registry.entry("a")
    with pytest.raises(NotRegisteredError):
        registry.entry("b")


def test_metadata_is_copied(registry):
    """
    Changing the mapping that was passed changes nothing; the entry's own is read-only.
    """
    metadata = {"a": 1}
    registry.register("a", 1, metadata=metadata)
    metadata["a"] = 2

    seen = registry.entry("a").metadata
    assert seen == {"a": 1}
    with pytest.raises(TypeError):
        seen["a"] = 3


def test_tags_are_not_one_text(registry):
    """
    tags="abc" is a mistake, not three tags; so is a tag that is no text.
    """
    with pytest.raises(TypeError, match=r"\['abc'\]"):
        registry.register("a", 1, tags="abc")
    with pytest.raises(TypeError, match="a tag is a str"):
        registry.register("a", 1, tags=[1])
    assert "a" not in registry


def test_tags_follow_their_entry(registry):
    """
    Keys are listed by tag in order of registration, and a removed key leaves no ghost.
    """
    registry.register("b", 1, tags=["t"])
    registry.register("a", 1, tags=["t"])
    registry.register("c", 1)
    assert registry.list_by_tag("t") == ("b", "a")

    registry.replace("b", 2)
    registry.unregister("a")
    assert registry.list_by_tag("t") == ("b",)
    registry.unregister("b")
    registry.register("b", 1)
    assert registry.list_by_tag("t") == ()


def test_unregister(registry):
    """
    What is unregistered is gone; what is not there cannot be unregistered.
    """
    registry.register("a", 1)
    registry.unregister("a")

    assert "a" not in registry
    with pytest.raises(NotRegisteredError):
        registry.unregister("a")


# -- undo ------------------------------------------------------------------------------------------


@sorts
def test_undo_takes_back_its_own(registry, sort):
    """
    An undo removes its entry, once; called again it does nothing.
    """
    undo = SORTS[sort](registry)
    undo()
    assert "a" not in registry

    undo()
    assert registry.keys() == ()
    assert repr(undo) == "<undo of 'a'>"


def test_undo_takes_nothing_newer(registry):
    """
    An undo leaves alone what came after its entry, and never brings back an older one.
    """
    undo = registry.register("a", "old")
    registry.unregister("a")
    newer = registry.register("a", "new")

    undo()
    assert registry["a"] == "new"
    newer()
    assert "a" not in registry


def test_undo_of_a_replaced_item(registry):
    """
    What replaced an item is newer than its registration, so the undo of that leaves it alone.
    """
    undo = registry.register("a", "old", tags=["t"])
    registry.replace("a", "new")

    undo()

    assert registry["a"] == "new"
    assert registry.list_by_tag("t") == ("a",)


def test_undo_of_a_replaced_factory(registry):
    """
    The same holds for factories: tags and hits stay, and the old undo does nothing.
    """
    undo = registry.register_factory("a", lambda _: "old")
    registry.get("a", ADA)
    registry.replace_factory("a", lambda _: "new")

    undo()

    assert registry.get("a", ADA) == "new"
    assert registry.metrics().hits["a"] == 2


def test_withdrawn_objects_are_let_go(registry):
    """
    A registry keeps nothing alive that was taken out of it.
    """

    class Thing:
        pass

    undo = registry.register("a", thing := Thing())
    registry.register_factory("f", factory := type("Factory", (), {"__call__": lambda self, context: 1})())
    seen = weakref.ref(thing), weakref.ref(factory)
    registry.get("f", ADA)
    del thing, factory

    undo()
    registry.unregister("f")
    del undo

    gc.collect()
    assert [ref() for ref in seen] == [None, None]


# -- replacing -------------------------------------------------------------------------------------


def test_replace_swaps_the_item(registry):
    """
    replace returns the old item and keeps tags, metadata, owner and hits.
    """
    registry.register("a", "old", tags=["t"], metadata={"m": 1}, owner=PAPER)
    registry.get("a")
    before = registry.entry("a")

    assert registry.replace("a", "new") == "old"
    assert before == registry.entry("a")
    assert registry["a"] == "new"


def test_replace_a_loaded_lazy_entry(registry):
    """
    A lazy entry can be replaced once it was loaded, and stays a lazy entry.
    """
    registry.register_lazy("a", lambda: "old")
    with pytest.raises(NotRegisteredError, match="not loaded yet"):
        registry.replace("a", "new")

    registry.get("a")

    assert registry.replace("a", "new") == "old"
    assert registry["a"] == "new"
    assert registry.entry("a").sort == "lazy"


def test_replace_needs_its_sort(registry):
    """
    replace is for objects, replace_factory for factories, and both need an existing key.
    """
    registry.register("item", 1)
    registry.register_factory("factory", lambda context: 1)

    with pytest.raises(NotRegisteredError, match="use replace_factory"):
        registry.replace("factory", 1)
    with pytest.raises(NotRegisteredError, match="use replace"):
        registry.replace_factory("item", lambda context: 1)
    for replace in (registry.replace, registry.replace_factory):
        with pytest.raises(NotRegisteredError):
            replace("absent", lambda context: 1)


def test_replace_factory(registry):
    """
    A replaced factory makes the next instances; tags stay.
    """
    registry.register_factory("a", lambda context: "old", tags=["t"])
    registry.replace_factory("a", lambda context: "new")

    assert registry.get("a", ADA) == "new"
    assert registry.list_by_tag("t") == ("a",)
    with pytest.raises(ContractError):
        registry.replace_factory("a", "not callable")
    assert registry.get("a", ADA) == "new"


def test_replace_checks_first():
    """
    What does not fulfil the contract replaces nothing.
    """
    registry = UniversalRegistry("greeters", Greeter)
    registry.register("a", polite := Polite())

    with pytest.raises(ContractError):
        registry.replace("a", "rude")
    assert registry["a"] is polite
