"""What the host starts and stops: in order, within limits, behind the wall."""

from __future__ import annotations

import abc
import asyncio
import sys
import threading

import pytest

import hotplug
from hotplug import Host, Kind


class Engine(abc.ABC):
    """Something that runs."""

    requires: tuple[str, ...] = ()

    @abc.abstractmethod
    async def start(self) -> None: ...

    @abc.abstractmethod
    async def stop(self) -> None: ...


ENGINES = Kind("engines", Engine, group="acme.engines", up="start", down="stop")

CODE = """
import asyncio, threading
from tests_engine import Engine, log

class Plain(Engine):
    requires = {requires!r}
    autostart = {autostart!r}
    async def start(self):
        {starting}
        log.append(("start", {name!r}, threading.current_thread().name))
    async def stop(self):
        {stopping}
        log.append(("stop", {name!r}, threading.current_thread().name))
    async def aclose(self):
        log.append(("close", {name!r}, threading.current_thread().name))
"""


@pytest.fixture
def world(environment, monkeypatch):
    contract = type(sys)("tests_engine")
    contract.Engine, contract.log = Engine, []
    monkeypatch.setitem(sys.modules, "tests_engine", contract)

    def install(name, *, requires=(), autostart=False, starting="pass", stopping="pass"):
        code = CODE.format(
            name=name, requires=requires, autostart=autostart, starting=starting, stopping=stopping
        )
        environment.install(
            f"acme-{name}",
            advertises={"acme.engines": {name: f"engine_{name}:Plain"}},
            files={f"engine_{name}.py": code},
        )

    environment.engine = install
    environment.log = contract.log
    environment.host = lambda config="": Host(
        hotplug.Config.parse(config), kinds=[ENGINES], path=environment.path, cache=False
    )
    return environment


def steps(log):
    return [(verb, name) for verb, name, _ in log]


def test_what_is_named_runs_in_order_of_requirements(world):
    """
    Named things start after what they require, on one owned loop, and stop in reverse.
    """
    world.engine("a", requires=("b",))
    world.engine("b", requires=("c",))
    world.engine("c")
    world.engine("idle")

    with world.host("[engines.a]\n[engines.b]\n[engines.c]\n"):
        started = steps(world.log)

    assert started == [("start", "c"), ("start", "b"), ("start", "a")]
    assert [name for verb, name in steps(world.log) if verb == "stop"] == ["a", "b", "c"]
    assert {thread for _, _, thread in world.log} == {"hotplug home"}
    assert ("close", "idle") not in steps(world.log)


def test_what_starts_itself_runs_unnamed(world):
    """
    A class with `autostart` is started without a word in the configuration.
    """
    world.engine("eager", autostart=True)
    world.engine("idle")

    with world.host():
        assert steps(world.log) == [("start", "eager")]


def test_a_circle_is_each_ones_failure(world):
    """
    Things that require each other are failed, and the rest run.
    """
    world.engine("a", requires=("b",))
    world.engine("b", requires=("a",))
    world.engine("c")

    with world.host("[engines.a]\n[engines.b]\n[engines.c]\n") as host:
        states = {status.key: status.state for status in host.plugins}

        assert steps(world.log) == [("start", "c")]
        assert states == {"a": "failed", "b": "failed", "c": "loaded"}


@pytest.mark.parametrize(
    ("starting", "text"),
    [
        ("raise OSError('no port')", "no port"),
        ("raise SystemExit(4)", "SystemExit"),
        ("raise asyncio.CancelledError", "CancelledError"),
        ("await asyncio.Event().wait()", "did not finish within 0.3 s"),
    ],
)
def test_what_does_not_start_is_failed(world, starting, text):
    """
    Whatever goes wrong in starting one thing is its own status, and it is stopped; the others start.
    """
    world.engine("bad", starting=starting)
    world.engine("good")

    with world.host("[host]\nload_timeout = 0.3\n[engines.bad]\n[engines.good]\n") as host:
        [bad] = [status for status in host.plugins if status.key == "bad"]

        assert sorted(steps(world.log)) == [("start", "good"), ("stop", "bad")]
        assert bad.state == "failed"
        assert text in bad.error


def test_a_required_thing_that_does_not_start_stops_everything(world):
    """
    A required engine that fails is a start-up error, and what had started is stopped again.
    """
    world.engine("bad", starting="raise OSError('no port')", requires=("good",))
    world.engine("good")

    with pytest.raises(hotplug.StartError, match="no port"):
        world.host("[engines.bad]\nrequired = true\n[engines.good]\n").start()

    assert ("stop", "good") in steps(world.log)


@pytest.mark.parametrize("stopping", ["raise OSError('jammed')", "await asyncio.Event().wait()"])
def test_what_does_not_stop_is_reported(world, stopping):
    """
    One that does not stop is in the close report; the others are stopped and no thread is left.
    """
    world.engine("bad", stopping=stopping)
    world.engine("good")
    before = set(threading.enumerate())
    host = world.host("[host]\ndrain_timeout = 0.05\n[engines.bad]\n[engines.good]\n")

    host.start()
    report = host.close()

    assert [error.record.name for error in report.errors] == ["bad"]
    assert ("stop", "good") in steps(world.log)
    assert set(threading.enumerate()) == before


def test_async_with_runs_on_the_running_loop(world):
    """
    In `async with`, things start and stop on the application's own loop.
    """
    world.engine("a")

    async def main():
        async with world.host("[engines.a]"):
            pass

    asyncio.run(main())

    assert {thread for _, _, thread in world.log} == {"MainThread"}


def test_a_changed_configuration_swaps_what_runs(world):
    """
    New settings start the new one before the old one is stopped.
    """
    world.engine("a")
    with world.host("[engines.a]\n") as host:
        host.apply(hotplug.Config.parse('[engines.a]\ntags = ["new"]\n'))

        assert steps(world.log) == [("start", "a"), ("start", "a"), ("stop", "a"), ("close", "a")]


def test_a_new_one_that_does_not_start_changes_nothing(world):
    """
    If the new one cannot start, the old one runs on and whatever was made beside it is closed.
    """
    world.engine("a")
    world.engine("b", starting="raise OSError('no port')")
    with world.host("[engines.a]\n") as host:
        before = host.registry(ENGINES)["a"]

        with pytest.raises(hotplug.PluginError, match="no port"):
            host.apply(hotplug.Config.parse('[engines.a]\ntags = ["new"]\n[engines.b]\n'))

        assert host.registry(ENGINES)["a"] is before
        assert steps(world.log) == [
            ("start", "a"),
            ("start", "a"),
            ("stop", "b"),
            ("stop", "a"),
            ("close", "a"),
            ("close", "b"),
        ]
        assert host.registry(ENGINES).keys() == ("a", "b")


def test_what_lacks_something_does_not_start(world):
    """
    Who requires what failed, or is not there, is failed with that reason; what is there is started too.
    """
    world.engine("needs_bad", requires=("bad",))
    world.engine("needs_none", requires=("goof",))
    world.engine("needs_good", requires=("good",))
    world.engine("bad", starting="raise OSError")
    world.engine("good")

    config = "[engines.needs_bad]\n[engines.needs_none]\n[engines.needs_good]\n"
    with world.host(config) as host:
        errors = {status.key: status.error for status in host.plugins}

        assert [name for verb, name in steps(world.log) if verb == "start"] == ["good", "needs_good"]
        assert "it requires engines/bad, which failed" in errors["needs_bad"]
        assert "engines/goof, which is not there (did you mean 'engines/good'?)" in errors["needs_none"]
