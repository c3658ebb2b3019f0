"""Listeners and leases."""

from __future__ import annotations

import logging
import threading

import pytest

from hotplug._records import PluginRecord, RegistryChange
from hotplug.context import UserExecutionContext
from hotplug.errors import DuplicateKeyError, NotRegisteredError
from hotplug.registry import UniversalRegistry, when_released

ADA = UserExecutionContext("ada")
PAPER = PluginRecord("brokers", "hotplug.brokers", "paper", "paper:Broker", "hotplug-broker-paper", "0.1.0")


@pytest.fixture
def registry() -> UniversalRegistry[object]:
    return UniversalRegistry("things")


# -- listeners -------------------------------------------------------------------------------------


def test_listeners_hear_what_happened(registry):
    """
    Each write is told after it happened, with a view of the entry.
    """
    heard: list[RegistryChange] = []
    stood: list[bool] = []

    def listen(change: RegistryChange) -> None:
        heard.append(change)
        stood.append(change.key in registry)

    registry.subscribe(listen)
    registry.register("a", 1, tags=["t"], owner=PAPER)
    registry.replace("a", 2)
    registry.register_factory("f", lambda context: 1)
    registry.replace_factory("f", lambda context: 2)
    registry.register_lazy("l", list)
    undo = registry.register("u", 1)
    registry.get("l")
    registry.unregister("a")
    registry.unregister("f")
    undo()

    assert [(change.action, change.key, change.entry.sort) for change in heard] == [
        ("registered", "a", "item"),
        ("replaced", "a", "item"),
        ("registered", "f", "factory"),
        ("replaced", "f", "factory"),
        ("registered", "l", "lazy"),
        ("registered", "u", "item"),
        ("unregistered", "a", "item"),
        ("unregistered", "f", "factory"),
        ("unregistered", "u", "item"),
    ]
    assert stood == [True] * 6 + [False] * 3
    assert heard[0].registry == "things"
    assert (heard[0].entry.tags, heard[0].entry.owner) == (("t",), PAPER)


def test_what_fails_is_not_told(registry):
    """
    A refused write is no change.
    """
    registry.register("a", 1)
    heard: list[RegistryChange] = []
    registry.subscribe(heard.append)

    with pytest.raises(DuplicateKeyError):
        registry.register("a", 2)
    with pytest.raises(NotRegisteredError):
        registry.unregister("b")
    with pytest.raises(NotRegisteredError):
        registry.replace("b", 1)

    assert heard == []


def test_raising_listener(registry, caplog):
    """
    A listener that raises, even SystemExit, is logged, and the others hear the change.
    """
    heard: list[RegistryChange] = []

    def fail(change: RegistryChange) -> None:
        raise SystemExit(3)

    registry.subscribe(fail)
    registry.subscribe(heard.append)
    with caplog.at_level(logging.ERROR, "hotplug.registry"):
        registry.register("a", 1)

    assert [change.key for change in heard] == ["a"]
    [logged] = caplog.records
    assert "a listener of things raised on registered 'a'" in logged.message
    assert logged.exc_info[0] is SystemExit


def test_interrupted_listener(registry):
    """
    An interrupt passes through, and what was not told yet is told with the next change.
    """
    heard: list[str] = []

    def interrupt(change: RegistryChange) -> None:
        if change.key == "a":
            raise KeyboardInterrupt

    registry.subscribe(interrupt)
    registry.subscribe(lambda change: heard.append(change.key))

    with pytest.raises(KeyboardInterrupt):
        registry.register("a", 1)
    assert registry["a"] == 1
    registry.register("b", 1)
    assert heard == ["a", "b"]


def test_cancelled_listener(registry):
    """
    After its undo a listener hears nothing, not even what was queued before.
    """
    heard: list[str] = []
    undo = registry.subscribe(lambda change: heard.append(change.key))
    other = registry.subscribe(lambda change: heard.append(change.key))
    registry.register("a", 1)
    undo()
    undo()
    registry.register("b", 1)
    other()
    registry.register("c", 1)

    assert heard == ["a", "a", "b"]


def test_cancelled_while_queued(registry):
    """
    A listener cancelled by the one before it does not hear the change they would share.
    """
    heard: list[str] = []
    registry.subscribe(lambda change: cancel())
    cancel = registry.subscribe(lambda change: heard.append(change.key))

    registry.register("a", 1)

    assert heard == []


def test_subscribed_too_late(registry):
    """
    Who subscribes while a change is told hears only the later ones.
    """
    heard: list[str] = []

    def listen(change: RegistryChange) -> None:
        if change.key == "a":
            registry.subscribe(lambda change: heard.append(change.key))
            registry.register("b", 1)

    registry.subscribe(listen)
    registry.register("a", 1)

    assert heard == ["b"]


# -- leases ----------------------------------------------------------------------------------------


def test_lease_of_a_factory(registry):
    """
    A lease of a factory makes one product; a failing one leaves nothing leased.
    """
    undo = registry.register_factory("a", lambda context: [context])
    closed: list[str] = []
    with registry.lease("a", ADA) as product:
        assert product == [ADA]
        when_released(undo, lambda: closed.append("closed"))
        assert closed == []
    assert closed == ["closed"]

    with pytest.raises(KeyError):
        registry.lease("a").__enter__()
    when_released(undo, lambda: closed.append("again"))
    assert closed == ["closed", "again"]


def test_released_at_once(registry):
    """
    Nobody leases it: the callback comes now.
    """
    undo = registry.register("a", 1)
    undo()
    closed: list[str] = []

    when_released(undo, lambda: closed.append("closed"))

    assert closed == ["closed"]


def test_last_lease_releases(registry):
    """
    What was taken away while leased is released by the last of its leases, once, and none begins.
    """
    undo = registry.register("a", thing := object())
    closed: list[str] = []
    first, second = registry.lease("a"), registry.lease("a")
    assert first.__enter__() is second.__enter__() is thing

    undo()
    when_released(undo, lambda: closed.append("closed"))
    with pytest.raises(NotRegisteredError), registry.lease("a"):
        pass
    first.__exit__(None, None, None)
    assert closed == []
    second.__exit__(None, None, None)
    assert closed == ["closed"]


def test_leases_are_of_entries_not_keys(registry):
    """
    A newer entry under the same key is not held up by leases of the older one, nor the reverse.
    """
    old = registry.register("a", "old")
    closed: list[str] = []
    with registry.lease("a"):
        old()
        new = registry.register("a", "new")
        with registry.lease("a") as leased:
            assert leased == "new"
        when_released(new, lambda: closed.append("new"))
        when_released(old, lambda: closed.append("old"))
        assert closed == ["new"]
    assert closed == ["new", "old"]


def test_release_that_raises(registry, caplog):
    """
    Who merely ended a lease does not get the error of closing what was leased; the log does.
    """
    undo = registry.register("a", 1)
    closed: list[str] = []
    with registry.lease("a"), caplog.at_level(logging.ERROR, "hotplug.registry"):
        when_released(undo, lambda: 1 / 0)
        when_released(undo, lambda: closed.append("closed"))

    assert "closing what was leased failed" in caplog.text
    assert closed == ["closed"]


def test_release_runs_without_the_lock(registry):
    """
    While what was leased is closed, other threads write.
    """
    undo = registry.register("a", 1)
    free: list[bool] = []

    def close() -> None:
        thread = threading.Thread(target=lambda: free.append(registry._writing.acquire(blocking=False)))
        thread.start()
        thread.join()

    with registry.lease("a"):
        when_released(undo, close)

    assert free == [True]


def test_only_registrations_are_released(registry):
    """
    The undo of a subscription has nothing to release.
    """
    with pytest.raises(TypeError, match="is not the undo of a registration"):
        when_released(registry.subscribe(print), print)
