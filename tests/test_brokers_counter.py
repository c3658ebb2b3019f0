"""What plugins have of the brokers: views, for whom they serve, and no way to more."""

from __future__ import annotations

import asyncio
import copy
import inspect
import pickle

import pytest

from hotplug.brokers import BrokerRegistry, IBrokerGateway
from hotplug.brokers._hosting._counter import BrokerCounter, counter_of
from hotplug.brokers._hosting._view import GatewayView
from hotplug.context import UserExecutionContext, serving
from hotplug.errors import ContextRequiredError, NotRegisteredError, PermissionDenied
from hotplug.market import GatewayStatus
from strangers import StrangeGateway

ADA = UserExecutionContext("ada")
BOB = UserExecutionContext("bob")
GRANTS = {"accounts": {"ada": ("A1",), "bob": ("B1",)}}


@pytest.fixture
def registry():
    registry = BrokerRegistry()
    registry.register("main", StrangeGateway(), metadata=GRANTS, tags=["eu"])
    registry.register("bobs", StrangeGateway(), metadata={"accounts": {"bob": ("B1",)}})
    registry.register_lazy("idle", lambda: pytest.fail("loaded"))
    for key in ("main", "bobs"):
        registry.get(key).status = GatewayStatus.READY
    return registry


@pytest.fixture
def served():
    """Sets whose call the code is working on."""
    token = serving.set(None)
    yield serving.set
    serving.reset(token)


def test_an_object_of_one_user_serves_that_user(registry, served):
    """
    What was made for ada gets ada's views with any of her contexts, and bob's with none.
    """
    counter = counter_of(registry, ADA)

    for context in (ADA, ADA.child(), UserExecutionContext("ada")):
        assert counter.get("main", context).accounts == ("A1",)
    with pytest.raises(PermissionDenied, match="works for 'ada', not for 'bob'"):
        counter.get("main", BOB)
    served(BOB)
    with pytest.raises(PermissionDenied, match="works for 'bob', not for 'ada'"):
        counter.get("main", ADA)


def test_a_shared_object_serves_the_call_it_is_in(registry, served):
    """
    What all share gets views only while it serves a call, for that call's user and run.
    """
    counter = counter_of(registry)
    with pytest.raises(PermissionDenied, match="code that serves a user's call"):
        counter.get("main", ADA)

    served(ADA)
    assert counter.get("main", ADA).accounts == ("A1",)
    assert counter.get("main", ADA.child()).accounts == ("A1",)
    with pytest.raises(PermissionDenied, match="not for 'bob'"):
        counter.get("main", BOB)
    with pytest.raises(PermissionDenied, match="not the run"):
        counter.get("main", UserExecutionContext("ada"))


def test_nothing_without_a_context(registry, served):
    """
    No context, no gateway: by none of the ways that a registry has.
    """
    served(ADA)
    ways = (
        lambda counter: counter.get("main"),
        lambda counter: counter.get("main", None, default=1),
        lambda counter: counter["main"],
        lambda counter: counter.lease("main"),
        lambda counter: asyncio.run(counter.aget("main")),
    )
    for counter in (counter_of(registry), counter_of(registry, ADA)):
        for way in ways:
            with pytest.raises(ContextRequiredError):
                way(counter)


def test_every_way_gives_views(registry, served):
    """
    `get`, `aget` and `lease` give views; an absent key gives the default, or the registry's error.
    """
    served(ADA)
    counter = counter_of(registry)

    with counter.lease("main", ADA) as leased:
        found = [counter.get("main", ADA), asyncio.run(counter.aget("main", ADA)), leased]
    assert all(type(view) is GatewayView for view in found)
    assert counter.get("absent", ADA, default=None) is None
    with pytest.raises(NotRegisteredError, match="absent"):
        counter.get("absent", ADA)


def test_lists_give_views_or_nothing(registry, served):
    """
    The healthy ones, and those of a type, are views of gateways where the served user has accounts.
    """
    counter = counter_of(registry)
    assert counter.get_healthy() == counter.get_by_type("strange") == ()

    for context, keys in ((ADA, ["main"]), (BOB, ["main", "bobs"])):
        served(context)
        for views in (counter.get_healthy(), counter.get_by_type("strange")):
            assert [view.broker_id for view in views] == keys
            assert all(type(view) is GatewayView for view in views)
    assert counter.get_by_type("other") == ()
    registry.get("main").status = GatewayStatus.DEGRADED
    assert [view.broker_id for view in counter.get_healthy()] == ["bobs"]
    assert [view.accounts for view in counter_of(registry, BOB).get_healthy()] == [("B1",)]


def test_what_is_there_may_be_looked_at(registry):
    """
    Keys, tags and infos may be seen, without accounts, errors or facts of others.
    """
    counter = counter_of(registry)

    assert counter.name == "brokers"
    assert counter.keys() == tuple(counter) == ("main", "bobs", "idle")
    assert (len(counter), bool(counter), "main" in counter, "x" in counter) == (3, True, True, False)
    assert counter.list_by_tag("eu") == ("main",)
    assert [info.broker_id for info in counter.list_all(type="strange")] == ["main", "bobs"]
    for info in (*counter.list_all(), counter.info("main")):
        assert (info.accounts, dict(info.metadata), info.last_error) == ((), {}, None)
    assert repr(counter) == "<counter of 'brokers': 3 entries>"


def test_nothing_can_be_changed_from_here(registry):
    """
    The counter has no verb that writes, halts or hands out the operator's gateway.
    """
    forbidden = {
        "register",
        "register_lazy",
        "register_factory",
        "replace",
        "unregister",
        "halt",
        "resume",
        "sync",
        "book",
        "keeper",
        "loaded",
        "subscribe",
        "freeze",
        "entries",
    }
    assert forbidden.isdisjoint(dir(counter_of(registry)))


def test_nothing_of_it_is_the_registry(registry):
    """
    No attribute of a counter is a registry or a gateway, and it cannot be made, copied or pickled.
    """
    counter = counter_of(registry, ADA)
    for name in dir(counter):
        value = getattr(counter, name)
        assert not isinstance(value, (BrokerRegistry, IBrokerGateway))
        assert not isinstance(getattr(value, "__self__", None), (BrokerRegistry, IBrokerGateway))
    assert all(
        method.__closure__ is None for _, method in inspect.getmembers(BrokerCounter, inspect.isfunction)
    )
    assert not hasattr(counter, "__dict__")
    with pytest.raises(TypeError):
        BrokerCounter()
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="neither copied nor pickled"):
            attempt(counter)
