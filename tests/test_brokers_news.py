"""Who is told of gateways' changes: in order, one at a time, whoever raises."""

from __future__ import annotations

import asyncio
import threading
from itertools import pairwise

import pytest

from hotplug.brokers import BrokerRegistry
from hotplug.brokers._hosting._news import StatusNews
from hotplug.market import GatewayStatus, StatusChange
from hotplug_broker_mock import MockBroker
from racing import in_threads

UP = StatusChange(old=GatewayStatus.CREATED, new=GatewayStatus.CONNECTING)


def test_a_gateways_life_is_told():
    """
    Every change of a registered gateway reaches the listeners with its key, until they go.
    """
    registry, told = BrokerRegistry(), []
    gateway = MockBroker()
    registry.register("main", gateway)
    undo = registry.subscribe_status(lambda key, change: told.append((key, change.old, change.new)))

    async def live():
        await gateway.connect()
        await gateway.disconnect()

    asyncio.run(live())
    undo()
    asyncio.run(live())

    states = ["CREATED", "CONNECTING", "SYNCING", "READY", "DRAINING", "DISCONNECTED"]
    assert told == [("main", old, new) for old, new in pairwise(states)]


def test_one_that_raises_harms_nobody(caplog):
    """
    What a listener raises is logged, and the others hear; the same listener may listen twice.
    """
    news, told = StatusNews(), []

    def bad(key, change):
        raise RuntimeError("deaf")

    news.subscribe(bad)
    undo = news.subscribe(lambda key, change: told.append(key))
    news.subscribe(lambda key, change: told.append(f"{key} again"))
    news.tell("main", UP)
    undo()
    undo()
    news.tell("other", UP)

    assert told == ["main", "main again", "other again"]
    assert caplog.text.count("RuntimeError: deaf") >= 2


def test_what_a_listener_causes_comes_after():
    """
    A change made by a listener is told after the one it heard of has reached everybody.
    """
    news, told = StatusNews(), []

    def causes(key, change):
        told.append(f"first {key}")
        if key == "a":
            news.tell("b", change)

    news.subscribe(causes)
    news.subscribe(lambda key, change: told.append(f"second {key}"))

    news.tell("a", UP)

    assert told == ["first a", "second a", "first b", "second b"]


@pytest.mark.usefixtures("eager_threads")
def test_nothing_is_lost_between_threads():
    """
    Changes told by many threads at once are each heard once, one at a time.
    """
    news, told, inside = StatusNews(), [], threading.Lock()

    def hear(key, change):
        assert inside.acquire(blocking=False), "two at a time"
        told.append(key)
        inside.release()

    news.subscribe(hear)
    in_threads(*[lambda name=name: [news.tell(f"{name}{n}", UP) for n in range(200)] for name in "abcd"])

    # Who found another one telling left the last changes to that one; by now it has told them.
    assert sorted(told) == sorted(f"{name}{n}" for name in "abcd" for n in range(200))
