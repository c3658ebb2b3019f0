"""The watch: a loop that stands still is seen and its blocker named; gateways that hang delay nobody."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from datetime import UTC, datetime

import pytest

from hotplug.brokers import BrokerRegistry
from hotplug.brokers._hosting import _watch as watching
from hotplug.brokers._hosting._blame import blocking
from hotplug.brokers._hosting._news import StatusNews
from hotplug.brokers._hosting._watch import LoopWatch, Polls
from hotplug.market import GatewayStatus, HealthReport, HealthState
from hotplug_broker_mock import MockBroker
from strangers import StrangeGateway

pytestmark = pytest.mark.usefixtures("nothing_left")
PATIENCE = 10.0

BLOCKER = """
def block(entered, let_go):
    entered.set()
    let_go.wait(20)
"""


def until(condition):
    """Wait until *condition* is true."""
    deadline = time.monotonic() + PATIENCE
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        pause.wait(0.001)


@pytest.fixture
def quick(monkeypatch):
    """Everything that takes seconds takes hundredths, but for the patience with the loop."""
    monkeypatch.setattr(watching, "TICK", 0.005)
    monkeypatch.setattr(watching, "ASKING_LIMIT", 0.02)
    monkeypatch.setattr(watching, "FIRST_ANSWER", 0.05)
    monkeypatch.setattr(watching, "PAUSES", (0.005, 0.02))


@pytest.fixture
def impatient(monkeypatch):
    """A loop is late after a twentieth of a second."""
    monkeypatch.setattr(watching, "LAG_LIMIT", 0.05)


@pytest.fixture
def registry(home, tmp_path, quick):
    """A registry that lives on a home loop and is watched, with ``acme`` as a plugin's module."""
    registry = BrokerRegistry()
    registry.keeper.settle(tmp_path / "orders", str, home, lambda: {"acme_blocker": "brokers/acme 1.0"})
    yield registry
    registry.keeper.end_watch()
    home.run(registry.keeper.end())


@pytest.fixture
def plugin_code(tmp_path):
    """A function in a module of a plugin that blocks whoever calls it."""
    path = tmp_path / "acme_blocker.py"
    path.write_text(BLOCKER)
    names = {"__name__": "acme_blocker"}
    exec(compile(BLOCKER, str(path), "exec"), names)
    return names["block"], path


# -- the loop --------------------------------------------------------------------------------------


def test_a_loop_that_stands_still_is_seen(registry, home, impatient, plugin_code, caplog):
    """
    While plugin code blocks the home loop no gateway is healthy, all are UNKNOWN; afterwards they are again.

    The log names the plugin, the file and the line, once; and says when it is over.
    """
    block, path = plugin_code
    gateways = [MockBroker(broker_id="a"), StrangeGateway(broker_id="b")]
    for gateway in gateways:
        registry.register(gateway)
        home.run(gateway.connect())
    until(lambda: registry.get_healthy() == tuple(gateways))
    entered, let_go = threading.Event(), threading.Event()

    home.loop.call_soon_threadsafe(block, entered, let_go)
    assert entered.wait(PATIENCE)
    until(lambda: registry.get_healthy() == () and "blocked by" in caplog.text)

    assert {info.health for info in registry.list_all()} == {HealthState.UNKNOWN}
    assert registry.info("a").status is GatewayStatus.READY
    let_go.set()
    until(lambda: registry.get_healthy() == tuple(gateways) and "turns again" in caplog.text)
    assert f"blocked by brokers/acme 1.0 at {path}:4 (in block)" in caplog.text
    assert caplog.text.count("blocked by") == 1


def test_asking_does_not_wait_for_the_watch(home, impatient):
    """
    That a loop is late is known by the clock alone, whether or not the watch gets to run.
    """
    watch = LoopWatch(home.loop, look=bool, beat=bool, plugins=dict)
    assert not watch.is_late
    watch._asked = time.monotonic() - 1
    assert watch.is_late


def test_a_watch_that_was_not_started_can_be_stopped(home):
    """
    Stopping comes in any order.
    """
    LoopWatch(home.loop, look=bool, beat=bool, plugins=dict).stop()


def test_a_look_that_fails_is_not_the_last(home, quick, caplog):
    """
    What goes wrong in a look is logged, and the next look comes.
    """
    looks = []

    def look():
        looks.append(1)
        raise OSError("no disk")

    watch = LoopWatch(home.loop, look=look, beat=bool, plugins=dict)
    watch.start()
    until(lambda: len(looks) > 3)
    watch.stop()

    assert "no disk" in caplog.text


def test_the_watch_may_be_stopped_by_what_it_calls(home, quick):
    """
    A look or a beat that stops the watch does not wait for itself, and after the stop nothing beats.
    """
    beats, stopped = [], threading.Event()

    def look():
        if beats:
            watch.stop()
            stopped.set()

    watch = LoopWatch(home.loop, look=look, beat=lambda: beats.append(1), plugins=dict)
    watch.start()
    assert stopped.wait(PATIENCE)
    watch._thread.join(PATIENCE)
    watch._answer()
    count = len(beats)
    watch._answer()
    assert len(beats) == count


def test_a_loop_that_is_gone_is_not_late(quick):
    """
    A loop that is stopped is not asked; one that is closed in between does not count as blocked.
    """
    loop = asyncio.new_event_loop()
    watch = LoopWatch(loop, look=bool, beat=bool, plugins=dict)
    watch._see_it_turn()
    assert watch._asked is None
    loop.close()
    watch._ask()
    assert watch._asked is None
    assert not watch.is_late


# -- whom to blame -----------------------------------------------------------------------------------


def standing_in(call):
    """The thread that stands in *call* until the test lets it go."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("module", "owners", "who"),
    [
        ("acme_x", {"acme_x": "brokers/acme 1.0"}, "brokers/acme 1.0 at "),
        ("pluggy_of_somebody", {}, "module 'pluggy_of_somebody' at "),
        ("click", {}, "click at "),
    ],
)
def test_the_blocker_is_named(module, owners, who):
    """
    The innermost line of a plugin is named by its plugin, else by its distribution, else by its module.
    """
    entered, let_go = threading.Event(), threading.Event()
    names = {"__name__": f"{module}.inner"}
    exec(compile(BLOCKER, "/somewhere/x.py", "exec"), names)
    thread = standing_in(lambda: names["block"](entered, let_go))
    assert entered.wait(PATIENCE)
    until(lambda: "wait" in str(sys._current_frames()[thread.ident]))

    told = blocking(thread.ident, owners)

    let_go.set()
    thread.join(PATIENCE)
    assert told == f"{who}/somewhere/x.py:4 (in block)"


def test_python_itself_may_be_all_there_is():
    """
    Where nobody but Python is on the stack, the innermost line is told; a thread that is gone is said to be.
    """
    let_go = threading.Event()
    thread = standing_in(let_go.wait)
    until(lambda: "wait" in str(sys._current_frames()[thread.ident]))

    told = blocking(thread.ident, {})

    let_go.set()
    thread.join(PATIENCE)
    assert told.startswith("threading at ")
    assert blocking(thread.ident, {}) == blocking(None, {}) == "somebody whose thread is gone"


# -- gateways that do not say so by themselves ---------------------------------------------------------


async def hang():
    await asyncio.Event().wait()


async def hang_on():
    """Ignores the first cancellation."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.sleep(0.02)
        raise


def raise_it():
    raise OSError("no line")


def test_one_bad_gateway_hides_no_other(registry, home):
    """
    Of a hundred gateways, those that hang, raise or talk nonsense are not healthy; all the others are.
    """
    bad = {"hangs": hang, "raises": raise_it, "nonsense": lambda: "fine", "clings": hang_on}
    for number in range(96):
        registry.register(f"g{number}", StrangeGateway())
    for key, says in bad.items():
        gateway = StrangeGateway(broker_id=key)
        gateway.health_says = says
        registry.register(gateway)
    for _, gateway in registry.loaded():
        home.run(gateway.connect())

    until(lambda: len(registry.get_healthy()) == 96)

    assert not {gateway.broker_id for gateway in registry.get_healthy()} & set(bad)
    assert registry.info("raises").health is HealthState.UNHEALTHY
    until(lambda: registry.info("hangs").health is HealthState.UNKNOWN)
    until(lambda: registry.get("g0").asked >= 3)
    assert registry.health().status == "degraded"


def test_a_report_grows_old(registry, home):
    """
    A gateway that answered once and then hangs is healthy until its report is too old, and UNKNOWN then.
    """
    gateway, hangs = StrangeGateway(), threading.Event()

    def says():
        if hangs.is_set():
            return hang()
        return HealthReport(status=HealthState.HEALTHY, checked_at=datetime.now(UTC), max_age=0.1)

    gateway.health_says = says
    registry.register("main", gateway)
    home.run(gateway.connect())
    until(lambda: gateway.asked >= 2)
    assert registry.get_healthy() == (gateway,)

    hangs.set()

    until(lambda: registry.get_healthy() == ())
    assert registry.info("main").health is HealthState.UNKNOWN
    hangs.clear()
    until(lambda: registry.get_healthy() == (gateway,))


def test_the_worse_of_info_and_report_counts(registry, home):
    """
    Neither the info nor the report alone makes a gateway healthy.
    """
    gateway = StrangeGateway()
    registry.register("main", gateway)
    home.run(gateway.connect())
    until(lambda: gateway.asked)
    assert registry.info("main").health is HealthState.HEALTHY

    gateway.health_says = lambda: HealthReport(
        status=HealthState.DEGRADED, checked_at=datetime.now(UTC), max_age=30
    )
    until(lambda: registry.info("main").health is HealthState.DEGRADED)
    assert registry.get_healthy() == ()
    gateway.state = HealthState.UNHEALTHY
    assert registry.info("main").health is HealthState.UNHEALTHY


def test_who_is_not_connected_is_not_asked(registry, home):
    """
    A gateway at rest is asked nothing, and what it said before it came to rest is forgotten.
    """
    idle, gone = StrangeGateway(broker_id="idle"), StrangeGateway(broker_id="gone")
    registry.register(idle)
    registry.register(gone)
    home.run(gone.connect())
    until(lambda: gone.asked)
    home.run(gone.disconnect())
    told = gone.asked
    ticks = []
    undo = registry.subscribe_status(lambda key, change: ticks.append(key))
    home.run(idle.connect())
    until(lambda: idle.asked and "idle" in ticks)
    undo()

    assert gone.asked <= told + 1
    registry.unregister("gone")
    until(lambda: len(registry.keeper._polls._polls) == 1)


def test_changes_of_status_are_told(registry, home):
    """
    A strange gateway's change of status reaches the listeners, with old and new.
    """
    gateway, told = StrangeGateway(), []
    registry.register("main", gateway)
    registry.subscribe_status(lambda key, change: told.append((key, change.old, change.new)))
    until(lambda: registry.keeper._polls._polls)

    home.run(gateway.connect())
    until(lambda: told)

    assert told == [("main", "CREATED", "READY")]


def test_nobody_polls_without_a_host():
    """
    Outside a host a gateway's own info is all there is.
    """
    gateway = StrangeGateway()
    gateway.status = GatewayStatus.READY

    assert Polls(StatusNews()).health_of(gateway, gateway.info) is HealthState.HEALTHY


def test_what_is_asked_when_the_end_comes_is_left(home, quick, caplog):
    """
    Ending while a gateway is being asked cancels the question.
    """
    caplog.set_level(logging.WARNING)
    polls, gateway = Polls(StatusNews()), StrangeGateway()
    gateway.health_says = hang
    gateway.status = GatewayStatus.READY

    async def begin_and_end():
        polls.look([("main", gateway)])
        [poll] = polls._polls.values()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task = poll.task
        polls.stop()
        await asyncio.wait({task})
        return task.cancelled(), polls._polls

    assert home.run(begin_and_end()) == (True, {})
    assert caplog.text == ""
