"""Kinds of plugins."""

from __future__ import annotations

import abc

import pytest

import hotplug
from hotplug import KINDS, Kind, Scope
from hotplug.errors import ConfigError
from hotplug.registry import UniversalRegistry


class Thing(abc.ABC):
    """A contract."""

    @abc.abstractmethod
    def do(self) -> str: ...


class ThingRegistry(UniversalRegistry[Thing]):
    """A registry of the application's own."""


@pytest.mark.parametrize(
    "name", ["", "1st", "with space", "with-dash", "a.b", "host", "plugins", "hooks", "commands"]
)
def test_a_kind_is_called_like_an_attribute(name):
    """
    A name that could not be a table and an attribute, or is taken, is refused.
    """
    with pytest.raises(ConfigError, match="identifier"):
        Kind(name, Thing)


def test_the_group_follows_the_name():
    """
    Without a group of its own, a kind has hotplug's.
    """
    assert Kind("things", Thing).group == "hotplug.things"
    assert Kind("things", Thing, group="acme.things").group == "acme.things"
    assert repr(Kind("things", Thing)) == "Kind('things', group='hotplug.things', scope=shared)"


def test_what_is_made_for_each_user_is_not_started():
    """
    A kind cannot both be made for each user and be started by the host.
    """
    with pytest.raises(ConfigError, match="made for each user"):
        Kind("things", Thing, scope=Scope.USER, up="start")


@pytest.mark.parametrize("registry", [ThingRegistry, f"{__name__}:ThingRegistry"])
def test_a_kind_makes_its_registry(registry, monkeypatch):
    """
    The registry class is given itself or as text, and gets the kind's name and contract.
    """
    import sys

    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or type(sys)(__name__))
    monkeypatch.setattr(sys.modules[__name__], "ThingRegistry", ThingRegistry, raising=False)
    made = Kind("things", Thing, registry=registry).make_registry()

    assert type(made) is ThingRegistry
    assert made.name == "things"


def test_two_kinds_may_be_the_same():
    """
    Kinds are the same if all their facts are; one fact that differs makes another kind.
    """
    one = Kind("things", Thing, up="start", down="stop")

    assert one.is_same(Kind("things", Thing, up="start", down="stop"))
    for other in (
        Kind("others", Thing, up="start", down="stop"),
        Kind("things", object, up="start", down="stop"),
        Kind("things", Thing, group="g", up="start", down="stop"),
        Kind("things", Thing, scope=Scope.USER),
        Kind("things", Thing, registry=ThingRegistry, up="start", down="stop"),
        Kind("things", Thing, up="begin", down="stop"),
        Kind("things", Thing, up="start", down="end"),
        Kind("things", Thing, up="start", down="stop", key_setting="key"),
    ):
        assert not one.is_same(other)


def test_the_five():
    """
    The five kinds have the groups, modules and attributes of one name each.
    """
    assert [kind.name for kind in KINDS] == ["brokers", "agents", "tools", "strategies", "services"]
    assert all(kind.group == f"hotplug.{kind.name}" for kind in KINDS)
    assert {kind.name for kind in KINDS if kind.scope is Scope.USER} == {"agents", "strategies"}


def test_discover_names_kinds(environment):
    """
    `discover` finds what is advertised for the kinds it is given, and for the five by default.
    """
    environment.install(
        "acme", advertises={"hotplug.tools": {"clock": "acme:clock"}, "acme.things": {"one": "acme:One"}}
    )

    assert [str(r) for r in hotplug.discover(environment.path).records] == ["tools/clock from acme 1.0"]
    things = Kind("things", Thing, group="acme.things")
    assert [str(r) for r in hotplug.discover(environment.path, kinds=[things], fresh=True).records] == [
        "things/one from acme 1.0"
    ]
