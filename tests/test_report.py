"""Method resolution orders: computed, compared with Python's own, and told to people and programs."""

from __future__ import annotations

import collections
import collections.abc
import enum
import io
import json
import re
from abc import ABC, abstractmethod
from typing import Generic, TypeVar

import pytest

from hotplug._report import linearize, mro_report
from hotplug.registry import UniversalRegistry

T = TypeVar("T")


class Root(ABC):
    @abstractmethod
    def act(self) -> str: ...

    @abstractmethod
    def rest(self) -> str: ...

    def greet(self) -> str:
        return "root"


class Left(Root):
    def act(self) -> str:
        return "left"

    def greet(self) -> str:
        return "left"


class Right(Root, Generic[T]):
    limit = 1
    _private = 2

    def greet(self) -> str:
        return "right"


class Both(Left, Right[int]):
    def __len__(self) -> int:
        return 0


class Alone:
    pass


@pytest.mark.parametrize(
    "cls",
    [
        object,
        Root,
        Both,
        UniversalRegistry,
        type(UniversalRegistry("x", metrics=False)),
        io.TextIOWrapper,
        collections.OrderedDict,
        collections.ChainMap,
        collections.abc.MutableMapping,
        enum.IntFlag,
    ],
)
def test_order_is_pythons(cls):
    """
    The computed order is the one that Python looks attributes up in.
    """
    assert tuple(linearize(cls, {})) == cls.__mro__


def test_who_defines_and_who_overrides():
    """
    Each attribute is brought in by the last class that has it, and the first one wins.
    """
    [report] = mro_report(Both).classes
    both, left, right, root = (f"{__name__}.{name}" for name in ("Both", "Left", "Right", "Root"))

    assert report.name == both
    assert report.order == (both, left, right, root, "ABC", "Generic", "object")
    assert report.defines == {both: ("__len__",), right: ("limit",), root: ("act", "greet", "rest")}
    assert report.overrides == {"act": (left, root), "greet": (left, right, root)}
    assert report.abstract == ("rest",)
    assert report.error == ""


def test_report_is_readable():
    """
    The text shows the order, the definitions, who overrides whom and what is still abstract.
    """
    lines = str(mro_report(Both)).splitlines()

    assert lines[0].endswith(".Both")
    assert lines[1].startswith("  1. ")
    assert "       defines act, greet, rest" in lines
    assert f"  greet: {__name__}.Left overrides {__name__}.Right, {__name__}.Root" in lines
    assert lines[-1] == "  still abstract: rest"
    assert "abstract" not in str(mro_report(Alone))


def test_report_is_json():
    """
    The JSON text is the plain dict, and the dict holds everything.
    """
    report = mro_report(Both, Alone)
    told = json.loads(report.to_json())

    assert told == report.as_dict()
    assert [entry["name"].rpartition(".")[2] for entry in told["classes"]] == ["Both", "Alone"]
    assert {"name", "order", "defines", "overrides", "abstract", "error"} == set(told["classes"][0])
    assert told["classes"][0]["abstract"] == ["rest"]
    assert "\n" in report.to_json(indent=2)


def test_report_of_the_registries():
    """
    Without classes, the report is of the registry hierarchy, by the names one imports.
    """
    reports = mro_report().classes

    assert [report.name.rpartition(".")[2] for report in reports] == [
        "UniversalRegistry",
        "BrokerRegistry",
        "AgentRegistry",
        "ToolRegistry",
        "StrategyRegistry",
        "ServiceRegistry",
    ]
    assert all("hotplug.registry.UniversalRegistry" in report.order for report in reports)
    assert "register" in reports[0].defines["hotplug.registry.UniversalRegistry"]
    assert "register" in reports[1].overrides


def test_pretended_bases():
    """
    Bases can be pretended, to see what would come of them.
    """
    [report] = mro_report(Alone, bases={Alone: (Left, Right)}).classes

    assert [name.rpartition(".")[2] for name in report.order[:4]] == ["Alone", "Left", "Right", "Root"]


@pytest.mark.parametrize(
    ("bases", "message"),
    [
        ({Alone: (Root, Left)}, "disagree on the order of .*Left, .*Root"),
        ({Alone: (Left, Left)}, "names a base twice"),
        ({Alone: (Left,), Root: (Alone,)}, "a class cannot be its own ancestor: .*Alone -> .*Alone"),
    ],
)
def test_impossible_order(bases, message):
    """
    Bases that allow no order are an error in the report, which names the classes that disagree.
    """
    [report] = mro_report(Alone, bases=bases).classes

    assert report.order == ()
    assert re.search(message, report.error)
    assert str(report).splitlines()[1].startswith("  error: ")


def test_impossible_order_is_pythons_too():
    """
    What the report calls impossible, Python refuses to define.
    """
    with pytest.raises(TypeError, match="MRO"):
        type("Alone", (Root, Left), {})
