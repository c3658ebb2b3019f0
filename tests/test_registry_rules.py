"""What may stand in a registry, what a frozen one refuses, what is counted."""

from __future__ import annotations

import subprocess
import sys
from abc import ABC, abstractmethod
from datetime import UTC, datetime
from typing import Protocol

import pytest

from hotplug._records import PluginRecord
from hotplug.context import UserExecutionContext
from hotplug.errors import (
    ContextRequiredError,
    ContractError,
    FrozenRegistryError,
    HotplugError,
    NotRegisteredError,
)
from hotplug.registry import RegistryMetrics, UniversalRegistry

ADA = UserExecutionContext("ada")
PAPER = PluginRecord("brokers", "hotplug.brokers", "paper", "paper:Broker", "hotplug-broker-paper", "0.1.0")


class Greeter(ABC):
    @abstractmethod
    def greet(self, name: str) -> str: ...


class Polite(Greeter):
    def greet(self, name: str) -> str:
        return f"Good day, {name}"


class Greets(Protocol):
    def greet(self, name: str) -> str: ...


class Rude:
    def greet(self) -> str:
        return "Hm"


class Slow:
    async def greet(self, name: str) -> str:
        return name


@pytest.fixture
def registry() -> UniversalRegistry[object]:
    return UniversalRegistry("things")


# -- contracts -------------------------------------------------------------------------------------


def test_contract_is_a_class():
    """
    Where the contract is an ABC its instances may stand, and nothing else; differences are named.
    """
    registry = UniversalRegistry("greeters", Greeter)
    registry.register("polite", Polite())

    with pytest.raises(ContractError) as caught:
        registry.register("rude", Rude())

    assert isinstance(caught.value, ValueError)
    assert "an object of type Rude is no Greeter" in str(caught.value)
    assert any("greet" in difference for difference in caught.value.differences)
    assert registry.keys() == ("polite",)


def test_class_in_place_of_an_instance():
    """
    A class offered where its instance belongs is told apart in words.
    """
    registry = UniversalRegistry("greeters", Greeter)

    with pytest.raises(ContractError, match="the class Polite itself"):
        registry.register("a", Polite)


def test_contract_is_a_protocol():
    """
    Where the contract is a Protocol, members, arity and sync/async decide, not ancestry.
    """
    registry = UniversalRegistry("greeters", Greets)
    registry.register("polite", Polite())
    registry.register_factory("made", lambda context: Polite())
    assert isinstance(registry.get("made", ADA), Polite)

    for wrong in (Rude(), Slow(), object()):
        with pytest.raises(ContractError) as caught:
            registry.register("wrong", wrong)
        assert any("greet" in difference for difference in caught.value.differences)
    assert "wrong" not in registry


def test_contract_by_name():
    """
    A contract given as text is imported when it is first needed.
    """
    registry = UniversalRegistry("records", "hotplug._records:PluginRecord")
    registry.register("a", PAPER)

    with pytest.raises(ContractError, match="is no PluginRecord"):
        registry.register("b", "text")


@pytest.mark.parametrize("text", ["no_such_module:Name", "hotplug._records:Nothing", "", "json:dumps"])
def test_contract_that_cannot_be_found(text):
    """
    A contract that is nowhere, or no class, makes registering fail and says so.
    """
    registry = UniversalRegistry("things", text)

    with pytest.raises(ContractError, match="the contract"):
        registry.register("a", 1)


def test_contract_must_be_one():
    """
    A contract that is neither class nor text is refused at once.
    """
    with pytest.raises(TypeError, match="a contract is a class"):
        UniversalRegistry("things", 7)


def test_validators(registry):
    """
    A validator that says no, or raises, keeps the object out; the undo removes just that one.
    """

    def no_sevens(key: str, item: object) -> bool:
        if item == 8:
            raise OSError("eight")
        return item != 7

    undo = registry.add_validator(no_sevens)
    again = registry.add_validator(no_sevens)
    undo()
    undo()
    with pytest.raises(ContractError, match="no_sevens refused it"):
        registry.register("a", 7)
    with pytest.raises(ContractError, match="OSError: eight") as caught:
        registry.register("a", 8)
    assert isinstance(caught.value.__cause__, OSError)
    assert registry.keys() == ()

    again()
    registry.register("a", 7)
    assert registry["a"] == 7


def test_error_that_cannot_tell_itself(registry):
    """
    An error whose own text raises does not hide what happened.
    """

    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def mute(key: str, item: object) -> bool:
        raise MuteError

    registry.add_validator(mute)

    with pytest.raises(ContractError, match="a validator raised MuteError"):
        registry.register("a", 1)


# -- freezing --------------------------------------------------------------------------------------


def test_frozen_registry_refuses_writes(registry):
    """
    After freeze nothing is written, nothing taken back, and the error says what was tried.
    """
    undo = registry.register("a", 1)
    dead = registry.register("b", 1)
    dead()
    registry.register_factory("f", lambda context: 1)
    remove = registry.add_validator(lambda key, item: True)
    gone = registry.add_validator(lambda key, item: True)
    gone()
    before = registry.entries()

    registry.freeze()
    registry.freeze()

    assert registry.frozen
    tried = [
        lambda: registry.register("x", 1),
        lambda: registry.register_factory("x", lambda context: 1),
        lambda: registry.register_lazy("x", list),
        lambda: registry.replace("a", 2),
        lambda: registry.replace_factory("f", lambda context: 2),
        lambda: registry.unregister("a"),
        lambda: registry.add_validator(lambda key, item: True),
        undo,
        remove,
    ]
    for write in tried:
        with pytest.raises(FrozenRegistryError, match="things is frozen: cannot") as caught:
            write()
        assert isinstance(caught.value, RuntimeError)
    dead()
    gone()
    assert before == registry.entries()


def test_frozen_registry_goes_on(registry):
    """
    Loads, factories, counters and subscriptions are no writes.
    """
    registry.register_lazy("lazy", list)
    registry.register_factory("factory", lambda context: context)
    registry.freeze()

    assert registry.get("lazy") == []
    assert registry.get("factory", ADA) is ADA
    registry.subscribe(print)()
    assert registry.metrics().lookups == 2


# -- counting --------------------------------------------------------------------------------------


def test_metrics_count_exactly(registry):
    """
    Every lookup is a hit or a miss; creations and failures are those of factories and loads.
    """
    registry.register("item", 1)
    registry.register_factory("factory", lambda context: context)
    registry.register_lazy("lazy", list)
    registry.register_factory("broken", lambda context: 1 / 0)
    registry["item"], registry.get("item"), registry.get("lazy"), registry.get("lazy")
    with registry.lease("item"):
        pass
    registry.get("factory", ADA), registry.create_instance("factory", ADA)
    registry.get("absent", default=None)
    for failing in (
        lambda: registry["absent"],
        lambda: registry.get("broken", ADA),
        lambda: registry.create_instance("item", ADA),
        lambda: registry.create_instance("absent", ADA),
        lambda: registry.get("factory"),
        lambda: registry.lease("absent").__enter__(),
    ):
        with pytest.raises((HotplugError, ZeroDivisionError)):
            failing()

    hits = {"item": 3, "factory": 3, "lazy": 2, "broken": 1}
    assert registry.metrics() == RegistryMetrics(
        entries=4, registrations=4, lookups=14, misses=5, creations=3, failures=1, hits=hits
    )
    assert hits == {entry.key: entry.hits for entry in registry.entries()}


def test_totals_outlive_their_entries(registry):
    """
    What was counted for a key stays in the totals when the key goes.
    """
    registry.register("a", 1)
    registry["a"]
    registry.unregister("a")

    assert registry.metrics() == RegistryMetrics(0, 1, 1, 0, 0, 0, {})


def test_without_metrics():
    """
    With metrics=False nothing but entries is counted, and everything works the same.
    """
    registry = UniversalRegistry("things", metrics=False)
    registry.register("a", 1)
    registry.register_factory("f", lambda context: 2)
    registry.register_lazy("l", lambda: 3)
    got = [registry["a"], registry.get("a"), registry["l"], registry.get("f", ADA)]

    assert got == [1, 1, 3, 2]
    assert registry.create_instance("f", ADA) == 2
    assert registry.get("z", default=4) == 4
    with pytest.raises(NotRegisteredError):
        registry["z"]
    assert registry.entry("a").hits == 0
    assert registry.metrics() == RegistryMetrics(3, 0, 0, 0, 0, 0, {})
    assert isinstance(registry, UniversalRegistry)
    assert type(registry).__name__ == "UniversalRegistry"
    assert type(registry) is type(UniversalRegistry("more", metrics=False))


def test_without_metrics_in_subclasses():
    """
    A subclass that reads in its own way goes on doing so without metrics.
    """

    class Shouting(UniversalRegistry[str]):
        def __init__(self, name: str, *, loud: bool, metrics: bool = True) -> None:
            super().__init__(name, str, metrics=metrics)
            self.loud = loud

        def get(self, key, context=None, *, default=None):
            return super().get(key, context).upper()

    quiet = Shouting("things", loud=True, metrics=False)
    quiet.register("a", "hello")

    assert quiet.get("a") == "HELLO"
    assert quiet["a"] == "hello"
    assert quiet.loud
    assert type(quiet).__qualname__ == Shouting.__qualname__


def test_metrics_switched_off_from_inside():
    """
    A subclass that always switches metrics off counts nothing either.
    """

    class Silent(UniversalRegistry[int]):
        def __init__(self) -> None:
            super().__init__("silent", metrics=False)

    silent = Silent()
    silent.register("a", 1)

    assert silent["a"] + silent.get("a") == 2
    assert silent.metrics() == RegistryMetrics(1, 0, 0, 0, 0, 0, {})


def test_health(registry):
    """
    A registry is degraded while the last making of some key failed, names it, and recovers.
    """
    healthy = registry.health()
    assert (healthy.status, healthy.issues) == ("healthy", ())
    assert healthy.checked_at.tzinfo is UTC
    assert healthy.checked_at <= datetime.now(UTC)
    broken = [ConnectionError("disk")]

    def make(*context: object) -> object:
        if broken:
            raise broken[0]
        return 1

    registry.register_lazy("lazy", make)
    registry.register_factory("factory", make)
    for key in ("lazy", "factory"):
        with pytest.raises(ConnectionError):
            registry.get(key, ADA)

    degraded = registry.health()
    assert degraded.status == "degraded"
    assert degraded.issues == ("things/lazy: ConnectionError: disk", "things/factory: ConnectionError: disk")

    broken.clear()
    registry.get("lazy")
    registry.get("factory", ADA)
    assert registry.health().status == "healthy"


@pytest.mark.parametrize("end", ["unregister", "replace", "gone"])
def test_health_forgets_what_is_gone(registry, end):
    """
    A failing entry that was removed or replaced is no issue any more, not even if it fails late.
    """

    def fail(context: object) -> object:
        if end == "gone":
            registry.unregister("a")
        raise ConnectionError

    registry.register_factory("a", fail)
    with pytest.raises(ConnectionError):
        registry.get("a", ADA)
    if end == "unregister":
        registry.unregister("a")
    if end == "replace":
        registry.replace_factory("a", lambda context: 1)

    assert registry.health().issues == ()


def test_context_is_required(registry):
    """
    A factory without context raises, a default does not help: the key is there.
    """
    registry.register_factory("a", lambda context: 1)

    for call in (
        lambda: registry["a"],
        lambda: registry.get("a"),
        lambda: registry.get("a", default=1),
        lambda: registry.create_instance("a", None),
    ):
        with pytest.raises(ContextRequiredError, match="pass a UserExecutionContext") as caught:
            call()
        assert isinstance(caught.value, KeyError)


def test_import_is_cheap():
    """
    Importing the registry brings no third-party module along, nor asyncio, json or logging.
    """
    code = (
        "import sys; before = set(sys.modules); import hotplug.registry;"
        "tops = {name.partition('.')[0] for name in set(sys.modules) - before};"
        "heavy = {'asyncio', 'json', 'logging', 'tempfile'};"
        "print(sorted(tops - set(sys.stdlib_module_names) | tops & heavy))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "['hotplug']"
