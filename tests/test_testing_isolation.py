"""What two objects share: the walk finds what can change, and nothing that is meant for all."""

from __future__ import annotations

import dataclasses
import functools
import logging
import threading
from collections import deque
from types import MappingProxyType

import pytest

from hotplug.agents import AgentRegistry
from hotplug.testing._isolation import class_state, shared_mutables


class Holder:
    """Something that holds a thing."""

    common: list[int] = []  # noqa: RUF012 - it is what is looked for

    def __init__(self, thing: object) -> None:
        self.thing = thing


class Slotted:
    """The same without a dict."""

    __slots__ = ("thing",)

    def __init__(self, thing: object) -> None:
        self.thing = thing


@dataclasses.dataclass(frozen=True)
class Frozen:
    """The same that cannot change."""

    thing: object


def closure(thing: object):
    def inside() -> object:
        return thing

    return inside


def default(thing: object):
    def inside(what: object = thing) -> object:
        return what

    return inside


WAYS = [
    Holder,
    Slotted,
    Frozen,
    closure,
    default,
    lambda thing: (thing,),
    lambda thing: [{"deep": Holder({1: thing})}],
    lambda thing: MappingProxyType({"deep": thing}),
    lambda thing: functools.partial(print, thing),
    lambda thing: Holder(thing).__init__,
]
THINGS = [[], {}, set(), bytearray(), deque(), Holder(1), Slotted(2), threading.Lock()]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("thing", THINGS, ids=lambda thing: type(thing).__name__)
def test_what_can_change_is_found(way, thing):
    """
    However it is held, a thing that can change and is reachable from both is found.
    """
    assert shared_mutables(way(thing), way(thing)) != []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "thing",
    [1, "text", (1, "a"), Frozen(("a",)), Holder, threading, print, logging.getLogger("x"), AgentRegistry()],
    ids=lambda thing: type(thing).__name__,
)
def test_what_is_common_is_not(way, thing):
    """
    What cannot change, code, loggers and hotplug's own machinery are for everybody.
    """
    assert shared_mutables(way(thing), way(thing)) == []


def test_two_of_a_kind_share_nothing():
    """
    Equal things that are not the same are not shared.
    """
    assert shared_mutables(Holder({"a": [1]}), Holder({"a": [1]})) == []


def test_the_way_is_told():
    """
    A finding says how one gets there.
    """
    shared = [1]

    [way] = shared_mutables(Holder({"a": shared}), Holder({"b": shared}))

    assert way == "Holder → .thing dict → ['b'] list"


def test_what_is_meant_to_be_shared_is_left_out():
    """
    A thing that is meant to be shared is no finding, nor is what it holds.
    """
    shared = [[1]]

    assert shared_mutables(Holder(shared), Holder(shared), meant=[shared]) == []


def test_the_state_of_a_class():
    """
    Containers on a class, and on those it inherits from, can be compared; hotplug's own do not count.
    """

    class Heir(Holder, AgentRegistry):
        table = {"a": 1}  # noqa: RUF012
        text = "text"

    assert class_state(Heir) == {
        f"{Heir.__qualname__}.table": "{'a': 1}",
        "Holder.common": "[]",
    }
