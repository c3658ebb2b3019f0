"""The verbs of a host beside each other, inside each other, interrupted and cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest

import hotplug
from hotplug import Changes, UserExecutionContext, _lifecycle
from hotplug.errors import (
    DuplicateKeyError,
    FrozenRegistryError,
    HostError,
    PluginError,
    PluginTimeoutError,
    StartError,
)
from hotplug.hookspecs import hookimpl

ADA = UserExecutionContext("ada")

pytestmark = pytest.mark.usefixtures("nothing_left", "brief_absence")


def in_thread(call):
    """*call* in a thread of its own, and a way to wait for it that gives what it returned or raised."""
    outcome = []

    def run():
        try:
            outcome.append(call())
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()

    def result():
        thread.join(20)
        assert not thread.is_alive(), "it hangs"
        return outcome[0]

    return result


def until(condition):
    """Wait for what another thread does soon."""
    pause = threading.Event()
    for _ in range(10_000):
        if condition():
            return
        pause.wait(0.001)
    raise AssertionError("it never came")


# -- from inside -----------------------------------------------------------------------------------

VERBS = ["start", "close", "refresh", "reload", "apply"]


@pytest.fixture
def pushy(acme):
    """Installs a plugin that calls a verb of ``contract.host`` while it is made."""

    def install(call, **facts):
        acme.plugin("pushy", f"def __init__(self):\n    import acme_contract\n    {call}", **facts)

    return install


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("group", ["acme.things", "acme.views"])
def test_a_load_may_not_call_verbs(acme, pushy, verb, group):
    """
    Plugin code that asks for a verb while it is loaded, in its own thread of the host, is refused at once.
    """
    argument = {"reload": "'acme-pushy'", "apply": "None"}.get(verb, "")
    pushy(f"acme_contract.host.{verb}({argument})", group=group)

    with acme.host() as host:
        acme.contract.host = host
        with pytest.raises(PluginError, match=rf"{verb}\(\) was asked for"):
            host.registry(group.split(".")[1]).get("pushy", ADA)

        assert not host.refresh()


def test_a_load_that_asks_in_a_thread_of_its_own_holds_up_nobody(acme, pushy):
    """
    A thread that a plugin starts and waits for may ask for a verb: it gets it, or the load times out.
    """
    pushy(
        "t = threading.Thread(target=acme_contract.host.refresh)\n"
        "    t.start()\n    t.join()\n    acme_contract.log.append('joined')"
    )

    with acme.host() as host:
        acme.contract.host = host

        assert host.registry("things")["pushy"].do() == "done"
        assert acme.log == ["joined"]


def test_what_a_verb_started_may_call_verbs_later(acme):
    """
    A task that an engine starts while the host starts is not inside that for ever.
    """
    acme.plugin(
        "watcher",
        "async def start(self):\n"
        "    self.go = asyncio.Event()\n"
        "    self.task = asyncio.create_task(self.later())\n"
        "async def later(self):\n"
        "    await self.go.wait()\n"
        "    import acme_contract\n"
        "    return await acme_contract.host.arefresh()\n",
        group="acme.engines",
    )

    async def main():
        async with acme.host("[engines.watcher]") as host:
            acme.contract.host = host
            watcher = await host.registry("engines").aget("watcher")
            watcher.go.set()
            return await watcher.task

    assert asyncio.run(main()) == Changes(unchanged=("engines/watcher",))


def test_a_verb_waits_for_another(acme):
    """
    Two verbs in two threads run one after the other.
    """
    acme.plugin(
        "slow",
        "async def start(self):\n    log.append('up')\n    while not gate.is_set():\n"
        "        await asyncio.sleep(0)",
        group="acme.engines",
    )
    host = acme.host("[engines.slow]")

    starting = in_thread(host.start)
    until(lambda: acme.log)
    refreshing = in_thread(host.refresh)
    closing = in_thread(host.close)
    acme.gate.set()

    assert starting() is None
    assert isinstance(refreshing(), HostError | Changes)
    assert not closing()


def test_two_plugins_that_need_each_other(acme):
    """
    Two threads that load two plugins, each of which needs the other, get an error or an object, no deadlock.
    """
    for name, other in (("left", "right"), ("right", "left")):
        acme.plugin(
            name,
            "def __init__(self, me: PluginContext):\n"
            "    barrier.wait(1)\n"
            f"    self.other = me.registries['things']['{other}']",
            head="from hotplug import PluginContext",
        )
    acme.contract.barrier = threading.Barrier(2)

    with acme.host() as host:
        things = host.registry("things")
        left = in_thread(lambda: things.get("left"))
        right = in_thread(lambda: things.get("right"))

        errors = [left(), right()]
        assert all(isinstance(error, PluginError) for error in errors)
        assert any("circular" in str(error) for error in errors)


# -- listeners and hooks ---------------------------------------------------------------------------


def test_a_listener_of_a_verb_may_call_verbs(acme):
    """
    Listeners are told of a verb when it is over, so they may call another; changes come in order.
    """
    acme.plugin("one")
    heard = []

    def follow(changes):
        heard.append(changes.added)
        if changes.added == ("things/two",):
            acme.plugin("three")
            host.refresh()

    with acme.host() as host:
        host.subscribe(follow)
        acme.plugin("two")
        host.refresh()

    assert heard == [("things/two",), ("things/three",)]


def test_a_listener_of_a_load_may_not(acme, caplog):
    """
    Inside a load a verb is refused, and the listener's error is logged; the load goes well.
    """
    acme.plugin("one")

    with acme.host() as host:
        host.subscribe(lambda _: host.refresh())

        assert host.registry("things")["one"].do() == "done"
    assert "refresh() was asked for from inside the load of things/one" in caplog.text


def test_loads_inside_a_verb_are_told_when_it_is_over(acme):
    """
    What is loaded while the host starts is told afterwards, in order.
    """
    for name in ("a", "b"):
        acme.plugin(name, group="acme.engines")
    heard = []
    host = acme.host("[engines.a]\n[engines.b]")
    host.subscribe(lambda changes: heard.append((changes.changed, bool(host.refresh()))))

    with host:
        pass

    assert heard == [(("engines/a",), False), (("engines/b",), False)]


def test_a_load_that_waits_for_a_listener_does_not_hold_up_a_verb(acme):
    """
    A verb waits for a load in another thread, whose listener asks for a verb: refused, not a deadlock.
    """
    acme.plugin(
        "slow", "def __init__(self):\n    log.append('made')\n    assert gate.wait(20)", group="acme.engines"
    )
    host = acme.host()

    with host:
        host.subscribe(lambda _: host.refresh())
        getting = in_thread(lambda: host.registry("engines")["slow"])
        until(lambda: acme.log)
        applying = in_thread(lambda: host.apply(acme.parse("[engines.slow]\ntags = ['x']")))
        acme.gate.set()

        assert getting().do() == "done"
        assert applying().changed == ("engines/slow",)


def test_a_hook_may_look_at_the_host(acme):
    """
    Hooks that ask for the plugins, the health and a registry while the host starts get an answer.
    """
    acme.plugin("one")
    seen = []

    class Nosy:
        @hookimpl
        def hotplug_discovered(self, records):
            seen.append((len(records), host.plugins, host.health().status, host.registry("things").keys()))

    host = acme.host()
    host.hooks.register(Nosy())
    with host:
        assert seen == [(1, (), "healthy", ())]


def test_a_hook_that_calls_a_verb_is_reported(acme, caplog):
    """
    A hook that asks for a verb from inside one is refused, and the verb goes on.
    """
    acme.plugin("one")

    class Pushy:
        @hookimpl
        def hotplug_discovered(self, records):
            host.close()

    host = acme.host()
    host.hooks.register(Pushy())
    with host:
        assert host.registry("things")["one"].do() == "done"
    assert "close() was asked for from inside start()" in caplog.text


def test_a_listener_whose_error_has_no_text(acme, caplog):
    """
    An error that cannot even say itself is logged, and the next listener hears.
    """

    class MuteError(Exception):
        def __str__(self):
            raise ValueError

    def mute(_):
        raise MuteError

    acme.plugin("one")
    heard = []
    with acme.host() as host:
        host.subscribe(mute)
        host.subscribe(heard.append)
        host.registry("things").get("one")

    assert heard == [Changes(changed=("things/one",))]
    assert "raised MuteError" in caplog.text


# -- interrupted -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "where",
    [
        "hotplug._discovery.discover",
        "hotplug._host._follow.compare",
        "hotplug._host._publication.Publication._did",
        "hotplug._host._starting.Starting._in_order",
    ],
)
def test_an_interrupted_start_is_a_closed_host(acme, monkeypatch, where):
    """
    Ctrl-C anywhere in `start` leaves a closed host without a thread; closing it again is harmless.
    """
    acme.plugin(
        "one",
        "async def start(self): log.append('up')\nasync def stop(self): log.append('down')",
        group="acme.engines",
    )
    host = acme.host("[engines.one]")

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(where, interrupt)
    with pytest.raises(KeyboardInterrupt):
        host.start()

    assert not host.close()
    assert acme.log == []
    with pytest.raises(HostError, match="closed"):
        host.refresh()


def test_an_interrupted_refresh_changes_nothing(acme, monkeypatch):
    """
    Ctrl-C in the middle of a publication takes it back: what was there is there, and the next refresh works.
    """
    acme.plugin("one")
    acme.plugin("gone")
    with acme.host() as host:
        acme.plugin("one", version="2.0")
        acme.plugin("new")
        acme.environment.uninstall("acme-gone")
        before = host.plugins
        with monkeypatch.context() as patch:
            patch.setattr(
                "hotplug.registry.Change.remove", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt())
            )
            with pytest.raises(KeyboardInterrupt):
                host.refresh()

        assert host.plugins == before
        assert set(host.registry("things").keys()) >= {"one", "gone"}


def test_an_interrupted_swap_is_taken_back(acme, monkeypatch):
    """
    Ctrl-C while `apply` says what is to be swapped: the registry gives the old objects.
    """
    acme.plugin(
        "a",
        "def __init__(self, *, width: int = 0): self.width = width\ndef close(self): log.append(self.width)",
    )
    acme.plugin("b", "def __init__(self, *, width: int = 0): self.width = width")
    config = "[things.a]\nsettings = {{ width = {0} }}\n[things.b]\nsettings = {{ width = {0} }}"
    with acme.host(config.format(1)) as host:
        things = host.registry("things")
        a, b = things["a"], things["b"]
        swap = hotplug.registry.Change.swap
        swapped = []

        def interrupt_the_second(self, *args, **facts):
            swapped.append(swap(self, *args, **facts))
            if len(swapped) == 2:
                raise KeyboardInterrupt
            return swapped[-1]

        with monkeypatch.context() as patch:
            patch.setattr(hotplug.registry.Change, "swap", interrupt_the_second)
            with pytest.raises(KeyboardInterrupt):
                host.apply(acme.parse(config.format(2)))

        assert (things["a"], things["b"]) == (a, b)
        assert host.config == acme.parse(config.format(1))
        assert acme.log == []
        assert host.apply(acme.parse(config.format(3))).changed == ("things/a", "things/b")
        assert things["a"].width == 3
        assert acme.log == [1]


def test_an_interrupted_close_can_be_repeated(acme, monkeypatch):
    """
    Ctrl-C while the host closes leaves it closed for everybody; closing it once more finishes the work.
    """
    acme.plugin("one", "def close(self): log.append('closed')")
    host = acme.host()
    host.start()
    host.registry("things").get("one")

    with monkeypatch.context() as patch:
        patch.setattr(
            "hotplug._host._running.Running._drain", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt())
        )
        with pytest.raises(KeyboardInterrupt):
            host.close()
    with pytest.raises(HostError, match="closed"):
        host.session(ADA)

    assert acme.log == []
    assert not host.close()
    assert acme.log == ["closed"]


def test_ctrl_c_while_something_starts_cancels_it(acme, monkeypatch):
    """
    Who is interrupted while an engine starts has it cancelled, and what had started is stopped.
    """
    acme.plugin(
        "first",
        "async def start(self): log.append('up')\nasync def stop(self): log.append('down')",
        group="acme.engines",
    )
    acme.plugin(
        "second",
        "requires = ('first',)\n"
        "async def start(self):\n"
        "    log.append('starting')\n"
        "    try: await asyncio.Event().wait()\n"
        "    finally: log.append('cancelled')",
        group="acme.engines",
    )
    wait, presses = _lifecycle.concurrent.futures.wait, [KeyboardInterrupt]

    def interrupted_once(futures, timeout=None):
        if "starting" in acme.log and presses:
            raise presses.pop()
        return wait(futures, 0.01)

    monkeypatch.setattr(_lifecycle.concurrent.futures, "wait", interrupted_once)
    with pytest.raises(KeyboardInterrupt):
        acme.host("[engines.first]\n[engines.second]").start()

    assert sorted(acme.log) == ["cancelled", "down", "starting", "up"]


# -- cancelled -------------------------------------------------------------------------------------

SLOW = (
    "async def start(self):\n"
    "    log.append('starting')\n"
    "    while not gate.is_set(): await asyncio.sleep(0)\n"
    "    log.append('up')\n"
    "async def stop(self): log.append('down')\n"
    "async def aclose(self): log.append('closed')"
)


async def cancelled_inside(acme, verb, mark):
    """Cancel *verb* once the log shows *mark*; whether the cancellation came out."""
    task = asyncio.create_task(verb())
    while mark not in acme.log:  # noqa: ASYNC110 - no event tells it
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    acme.gate.set()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return task.cancelled()


def test_a_cancelled_start_is_a_closed_host(acme):
    """
    `astart` that is cancelled in the middle comes out cancelled, with everything stopped and closed.
    """
    acme.plugin("slow", SLOW, group="acme.engines")

    async def main():
        host = acme.host("[engines.slow]")
        assert await cancelled_inside(acme, host.astart, "starting")
        assert acme.log == ["starting", "up", "down", "closed"]
        with pytest.raises(HostError, match="does not start again"):
            await host.astart()
        assert not await host.aclose()

    asyncio.run(main())


def test_a_cancelled_start_of_a_host_that_runs_changes_nothing(acme, monkeypatch):
    """
    Who starts a host that is started, and is cancelled, does not close it.
    """

    async def main():
        async with acme.host() as host:
            entered, go = threading.Event(), threading.Event()
            take = host._turn.take

            def slow(verb):
                entered.set()
                go.wait(10)
                return take(verb)

            with monkeypatch.context() as patch:
                patch.setattr(host._turn, "take", slow)
                task = asyncio.create_task(host.astart())
                while not entered.is_set():  # noqa: ASYNC110 - no event of this loop
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.sleep(0)
                go.set()
                await asyncio.wait({task})
            assert task.cancelled()
            assert not await host.arefresh()

    asyncio.run(main())


def test_a_failed_start_is_cancelled_all_the_same(acme, caplog):
    """
    If the start fails after it was cancelled, the cancellation comes out, and the failure is logged.
    """
    acme.plugin("slow", SLOW.replace("log.append('up')", "raise OSError('no port')"), group="acme.engines")

    async def main():
        host = acme.host("[engines.slow]\nrequired = true")
        assert await cancelled_inside(acme, host.astart, "starting")
        assert not await host.aclose()

    asyncio.run(main())

    assert "no port" in caplog.text


def test_a_cancelled_close_is_finished_first(acme):
    """
    `aclose` that is cancelled closes everything all the same.
    """
    acme.plugin(
        "slow",
        "async def aclose(self):\n    log.append('closing')\n"
        "    while not gate.is_set(): await asyncio.sleep(0)\n    log.append('closed')",
    )

    async def main():
        host = acme.host()
        await host.astart()
        await host.registry("things").aget("slow")
        assert await cancelled_inside(acme, host.aclose, "closing")
        assert acme.log == ["closing", "closed"]

    asyncio.run(main())


@pytest.mark.parametrize("verb", ["arefresh", "aapply", "areload"])
def test_a_cancelled_verb_gives_its_turn_back(acme, verb):
    """
    A verb that is cancelled in the middle is finished, and the next one gets its turn.
    """
    acme.plugin("slow", SLOW, group="acme.engines")
    config = acme.parse("[engines.slow]")

    async def main():
        async with acme.host() as host:
            run = {
                "aapply": lambda: host.aapply(config),
                "arefresh": host.arefresh,
                "areload": lambda: host.areload("acme-late"),
            }[verb]
            if verb != "aapply":
                acme.plugin("late", "autostart = True\n" + SLOW, group="acme.engines")
            assert await cancelled_inside(acme, run, "starting")
            assert acme.log == ["starting", "up"]
            assert not await host.arefresh()

    asyncio.run(main())

    assert acme.log == ["starting", "up", "down", "closed"]


def test_a_task_group_that_fails_beside_a_start(acme):
    """
    The usual way to be cancelled: a sibling task fails while the host starts. Nothing is left.
    """
    acme.plugin("slow", SLOW, group="acme.engines")

    async def host_it():
        async with acme.host("[engines.slow]"):
            acme.log.append("running")

    async def fail():
        while not acme.log:  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0)
        acme.gate.set()
        raise ValueError

    async def main():
        async with asyncio.TaskGroup() as group:
            group.create_task(host_it())
            group.create_task(fail())

    with pytest.raises(ExceptionGroup):
        asyncio.run(main())

    assert acme.log[-2:] == ["down", "closed"]


# -- loops -----------------------------------------------------------------------------------------


def test_a_sync_host_inside_a_running_loop(acme):
    """
    `with Host()` in a coroutine has a loop of its own; the twins work from the application's.
    """
    acme.plugin(
        "one", "async def start(self): log.append(threading.current_thread().name)", group="acme.engines"
    )

    async def main():
        with acme.host("[engines.one]") as host:
            assert not host.refresh()
            assert not await host.arefresh()
            with host.session(ADA) as session:
                assert session.registry("engines").get("one").do() == "done"

    asyncio.run(main())

    assert acme.log == ["hotplug home"]


def test_an_async_host_used_from_other_threads(acme):
    """
    In `async with`, worker threads use the sync verbs while the loop runs.
    """
    acme.plugin(
        "one", "async def start(self): log.append(threading.current_thread().name)", group="acme.engines"
    )

    async def main():
        async with acme.host() as host:
            config = acme.parse("[engines.one]")
            changes = await asyncio.to_thread(host.apply, config)
            assert changes.changed == ("engines/one",)
            assert not await asyncio.to_thread(host.refresh)
            with pytest.raises(RuntimeError, match=r"await session\.views\.aget"):
                host.session(ADA).registry("views").get("one")
            with pytest.raises(RuntimeError, match=r"await session\.aclose"):
                host.session(ADA).close()
            with pytest.raises(RuntimeError, match=r"await session\.aclose"), host.session(ADA):
                pass

    asyncio.run(main())

    assert acme.log == ["MainThread"]


def test_a_host_whose_loop_is_over_is_still_closed(acme):
    """
    A host that was started on a loop which has ended closes what it made on a loop of its own.
    """
    acme.plugin(
        "one",
        "async def stop(self): log.append('down')\nasync def aclose(self): log.append('closed')",
        group="acme.engines",
    )
    host = acme.host("[engines.one]")

    asyncio.run(host.astart())
    session = host.session(ADA)
    session.registry("engines").get("one")

    assert not host.close()
    session.close()
    assert acme.log == ["down", "closed"]


def test_a_host_whose_loop_pauses_is_still_closed(acme):
    """
    The same where the loop is not closed, but nobody runs it at that time.
    """
    acme.plugin("one", "async def aclose(self): log.append('closed')")
    host = acme.host()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(host.astart())
    host.registry("things").get("one")

    assert not host.close()
    loop.close()
    assert acme.log == ["closed"]


def test_a_host_on_two_loops(acme):
    """
    What lives on one loop can be refreshed and closed from another.
    """
    acme.plugin(
        "one", "async def stop(self): log.append(threading.current_thread().name)", group="acme.engines"
    )

    async def main():
        host = acme.host("[engines.one]")
        await host.astart()
        other = in_thread(lambda: asyncio.run(elsewhere(host)))
        return await asyncio.to_thread(other)

    async def elsewhere(host):
        assert not await host.arefresh()
        return await host.aclose()

    assert not asyncio.run(main())
    assert acme.log == ["MainThread"]


# -- apply and roll-back ---------------------------------------------------------------------------

WIDE = "def __init__(self, *, width: int = 0): self.width = width\ndef close(self): log.append(self.width)"


@pytest.mark.parametrize(
    "change", ["[things.a]\ntags = ['x']", "[things.new]\nplugin = 'a'", '[plugins]\ndisable = ["things/b"]']
)
def test_a_frozen_registry_refuses_a_configuration(acme, change):
    """
    `apply` that would touch a frozen registry is refused whole; a registry that is not frozen is as before.
    """
    acme.plugin("a", WIDE)
    acme.plugin("b", WIDE)
    acme.plugin("engine", WIDE, group="acme.engines")
    with acme.host("[things.a]\n[engines.engine]") as host:
        a, engine = host.registry("things")["a"], host.registry("engines")["engine"]
        host.registry("things").freeze()
        before = host.plugins

        with pytest.raises(FrozenRegistryError):
            host.apply(acme.parse(f"{change}\n[engines.engine]\nsettings = {{ width = 5 }}"))

        assert host.registry("things")["a"] is a
        assert host.registry("engines")["engine"] is engine
        assert [(s.name, s.state) for s in host.plugins] == [(s.name, s.state) for s in before]
        assert acme.log == [5]
    assert sorted(acme.log) == [0, 0, 5]


def test_what_stands_in_a_frozen_registry_is_not_closed(acme):
    """
    A distribution that is removed or upgraded while its registry is frozen serves on until the host closes.
    """
    acme.plugin("gone", WIDE)
    acme.plugin("fresh")
    with acme.host() as host:
        things = host.registry("things")
        things.get("gone")
        things.freeze()
        acme.environment.uninstall("acme-gone")
        acme.plugin("fresh", version="2.0")

        changes = host.refresh()

        assert set(changes.failed) == {"things/gone", "things/fresh"}
        assert (changes.added, changes.changed, changes.removed) == ((), (), ())
        assert acme.log == []
        assert acme.state(host, "things/gone").reason == "restart required"
        assert acme.state(host, "things/fresh").reason == "restart required"
        assert acme.state(host, "things/fresh").record.version == "1.0"
        assert things["gone"].width == 0
    assert acme.log == [0]


def test_who_comes_too_late_gets_nothing_from_a_frozen_registry(acme):
    """
    A frozen entry that is loaded only after the host was closed is closed at once, and refused.
    """
    acme.plugin("late", WIDE)
    host = acme.host()
    with host:
        host.registry("things").freeze()

    with pytest.raises(HostError, match="the host was closed while things/late was being made"):
        host.registry("things").get("late")
    assert acme.log == [0]


def test_who_is_crowded_out_comes_in_when_the_key_is_free(acme):
    """
    A plugin whose key the application had taken is not loaded, and stands once the key was given back.
    """
    acme.plugin("one")
    acme.plugin("engine", "async def start(self): log.append('up')", group="acme.engines")
    host = acme.host("[engines.engine]", strict=False)

    class Own(acme.Thing):
        def do(self):
            return "own"

    undo = host.registry("things").register("one", Own())
    undo_engine = host.registry("engines").register("engine", Own())
    with host:
        assert acme.state(host, "things/one").state == "conflict"
        assert acme.log == []
        assert not host.refresh()
        undo()
        undo_engine()

        changes = host.refresh()

        assert changes.added == ("things/one", "engines/engine")
        assert host.registry("things")["one"].do() == "done"
        assert acme.log == ["up"]


@pytest.mark.parametrize("config", ["[things.one]\nrequired = true", ""])
def test_who_must_work_must_stand(acme, config):
    """
    A required plugin that is crowded out by the application stops the start, and is not made aside.
    """
    acme.plugin("one", "def __init__(self): log.append('made')")
    host = acme.host(config, strict=not config)

    class Own(acme.Thing):
        def do(self):
            return "own"

    host.registry("things").register("one", Own())
    with pytest.raises(StartError, match="things/one: conflict"):
        host.start()

    assert acme.log == []


def test_what_is_leased_outlives_an_apply_and_a_roll_back(acme):
    """
    An object that is leased is not closed by the `apply` that replaces it, nor after one that was taken back.
    """
    acme.plugin("a", WIDE)
    with acme.host("[things.a]\nsettings = { width = 1 }") as host:
        things = host.registry("things")
        host.registry("things").register("taken", things["a"])
        with things.lease("a") as leased:
            with pytest.raises(DuplicateKeyError):
                host.apply(acme.parse("[things.a]\nsettings = { width = 2 }\n[things.taken]\nplugin = 'a'"))
            assert things["a"] is leased
            host.apply(acme.parse("[things.a]\nsettings = { width = 3 }"))
            assert things["a"].width == 3
            assert acme.log == []
        assert acme.log == [1]
    assert acme.log == [1, 3]


def test_close_waits_for_leases(acme):
    """
    A host that is closed waits until what others lease is given back.
    """
    acme.plugin("a", WIDE)
    host = acme.host()
    host.start()

    with host.registry("things").lease("a"):
        closing = in_thread(host.close)
        until(lambda: "a" not in host.registry("things"))
        seen = list(acme.log)
    report = closing()

    assert seen == []
    assert acme.log == [0]
    assert not report


def test_close_does_not_wait_for_ever(acme):
    """
    What is still leased after the drain limit is closed, and the report says so.
    """
    acme.plugin("a", WIDE)
    host = acme.host("[host]\ndrain_timeout = 0.05")
    host.start()

    with host.registry("things").lease("a"):
        report = host.close()

    assert acme.log == [0]
    assert [error.reason for error in report.errors] == ["leased"]


def test_apply_gives_up_what_does_not_connect(acme):
    """
    A configuration whose engine hangs in `start` is refused after the limit; what it had started is stopped.
    """
    acme.plugin(
        "good",
        "async def start(self): log.append('up')\nasync def stop(self): log.append('down')",
        group="acme.engines",
    )
    acme.plugin(
        "hangs",
        "async def start(self): await asyncio.Event().wait()\nrequires = ('good',)",
        group="acme.engines",
    )

    with acme.host("[host]\nload_timeout = 0.3") as host:
        with pytest.raises(PluginError, match="start did not finish"):
            host.apply(acme.parse("[engines.hangs]"))

        assert acme.log == ["up", "down"]
        assert acme.state(host, "engines/good").state == "loaded"
        assert host.registry("engines")["good"].do() == "done"
        assert acme.state(host, "engines/hangs").source == "entry point"


def test_apply_starts_in_order_of_requirements(acme):
    """
    What a configuration names starts after what it requires, whatever the names are.
    """
    for name, needs in (("a", "('b',)"), ("b", "('c',)"), ("c", "()")):
        acme.plugin(
            name,
            f"requires = {needs}\nasync def start(self): log.append('{name}')\n"
            f"async def stop(self): log.append('-{name}')",
            group="acme.engines",
        )

    with acme.host() as host:
        host.apply(acme.parse("[engines.a]\n[engines.b]\n[engines.c]"))
        assert acme.log == ["c", "b", "a"]
        host.apply(
            acme.parse("[engines.a]\ntags = ['x']\n[engines.b]\ntags = ['x']\n[engines.c]\ntags = ['x']")
        )

    assert acme.log == ["c", "b", "a", "c", "b", "a", "-a", "-b", "-c", "-a", "-b", "-c"]


def test_apply_refuses_what_requires_something_broken(acme):
    """
    An engine of the configuration whose requirement does not load is a refusal of all.
    """
    acme.plugin("a", "requires = ('b',)", group="acme.engines")
    acme.plugin("b", "def __init__(self): raise OSError('no b')", group="acme.engines")

    with acme.host() as host:
        with pytest.raises(PluginError, match="it requires engines/b, which failed"):
            host.apply(acme.parse("[engines.a]"))
        with pytest.raises(PluginError, match="no b"):
            host.apply(acme.parse("[engines.b]"))

        assert host.config == hotplug.Config()


def test_apply_follows_the_policy_on_hooks(acme):
    """
    A configuration that disables hooks switches them off, and on again; a wrong one leaves them on.
    """
    acme.plugin("one")
    acme.environment.install(
        "acme-hooks",
        advertises={"hotplug.hooks": {"veto": "acme_hooks"}},
        files={
            "acme_hooks.py": "from hotplug.hookspecs import hookimpl\n"
            "@hookimpl\ndef hotplug_discovered(records): return {r: 'no' for r in records}\n"
        },
    )

    with acme.host() as host:
        assert acme.state(host, "things/one").state == "blocked"
        host.apply(acme.parse('[plugins]\ndisable = ["hooks/veto"]'))
        assert acme.state(host, "hooks/veto").state == "disabled"
        host.refresh()
        assert acme.state(host, "things/one").state == "discovered"
        host.apply(hotplug.Config())
        assert acme.state(host, "hooks/veto").state == "loaded"


def test_a_plan_needs_a_started_host(acme):
    """
    Before the start and after the end there is nothing that a plan could be held against.
    """
    host = acme.host()
    with pytest.raises(HostError, match=r"plan\(\): the host is not started"):
        host.plan(hotplug.Config())
    with host:
        assert host.plan(hotplug.Config()) == Changes()
    with pytest.raises(HostError, match=r"plan\(\): the host is closed"):
        host.plan(hotplug.Config())


# -- following -------------------------------------------------------------------------------------


def test_a_refresh_whose_discovery_raises_changes_nothing(acme, monkeypatch):
    """
    If looking itself goes wrong, the error comes out, the host serves on, and the next refresh works.
    """
    acme.plugin("one")
    with acme.host() as host:
        acme.plugin("two")
        with monkeypatch.context() as patch:
            patch.setattr("hotplug._discovery.discover", lambda *_, **__: 1 // 0)
            with pytest.raises(ZeroDivisionError):
                host.refresh()

        assert host.registry("things").keys() == ("one",)
        assert host.refresh().added == ("things/two",)


def test_a_required_plugin_that_comes_later_does_not_raise(acme):
    """
    Only a start fails for what is required; in a refresh it is among the failures.
    """
    with acme.host("[engines.late]\nrequired = false") as host:
        acme.plugin("late", "async def start(self): raise OSError('no port')", group="acme.engines")

        changes = host.refresh()

        assert changes.added == ("engines/late",)
        assert changes.failed == ("engines/late",)
        assert host.refresh() == Changes(unchanged=("engines/late",))


def test_what_did_not_start_is_tried_again(acme):
    """
    An engine whose start failed for a passing reason runs after a refresh, and its status says so.
    """
    acme.plugin(
        "shy",
        "async def start(self):\n    if not gate.is_set(): raise OSError('not yet')\n"
        "async def stop(self): log.append('down')",
        group="acme.engines",
    )

    with acme.host("[engines.shy]") as host:
        before = acme.state(host, "engines/shy")
        acme.gate.set()
        host.refresh()
        after = acme.state(host, "engines/shy")

    assert (before.state, after.state, after.error, after.reason) == ("failed", "loaded", "", "")
    assert acme.log == ["down", "down"]


def test_a_refused_change_on_disk_that_was_undone_is_forgotten(acme, monkeypatch):
    """
    A plugin whose next version was refused says so no more once its distribution is as it was.
    """
    monkeypatch.setattr("hotplug._discovery.stamp", lambda record: (record.version,))
    acme.plugin("one")
    with acme.host() as host:
        host.registry("things").get("one")
        acme.plugin("one", version="2.0", head="oops")
        host.refresh()
        before = acme.state(host, "things/one")
        acme.plugin("one", version="1.0")
        changes = host.refresh()
        after = acme.state(host, "things/one")

    assert (before.state, before.reason) == ("loaded", "2.0 refused")
    assert "NameError" in before.error
    assert changes == Changes(unchanged=("things/one",))
    assert (after.state, after.reason, after.remedy, after.error) == ("loaded", "", "", "")


def test_new_settings_for_what_is_made_for_users(acme):
    """
    A factory is swapped at once: the next object has the new settings, older ones go on.
    """
    acme.plugin("view", WIDE, group="acme.views")
    with acme.host() as host:
        old = host.registry("views").get("view", ADA)
        host.apply(acme.parse("[views.view]\nsettings = { width = 7 }"))

        assert (old.width, host.registry("views").get("view", ADA).width) == (0, 7)
        assert acme.log == []


def test_what_is_freed_in_between_is_taken(acme):
    """
    A newcomer in the place of one that never stood registers as if new, if the key is free by then.
    """
    from hotplug._host._plugin import Plugin

    acme.plugin("one")
    with acme.host() as host:
        [standing] = [plugin for plugin in host.follower.standing if plugin.seat.name == "things/one"]
        standing.withdraw()
        successor = Plugin(standing.seat, host, standing.code)
        change = host.shelf.change()
        successor.come(change, host.registry("things"), standing)
        change.publish()
        successor.came()

        assert successor.stands
        assert host.registry("things")["one"].do() == "done"
        successor.withdraw()


def test_reload_knows_distributions_by_any_spelling(acme):
    """
    A distribution is found as installers find it: case, dots, dashes and underscores do not matter.
    """
    acme.plugin("one")
    with acme.host() as host:
        assert host.reload("Acme_One").changed == ("things/one",)
        with pytest.raises(HostError, match="acme-one"):
            host.reload("acme-on")


def test_a_load_in_flight_while_its_plugin_is_replaced(acme):
    """
    A load that is overtaken by an `apply` gives its object; the successor stands, all is closed at the end.
    """
    acme.plugin(
        "slow",
        WIDE.replace(
            "self.width = width", "self.width = width; log.append('making'); assert width or gate.wait(20)"
        ),
    )

    with acme.host() as host:
        things = host.registry("things")
        getting = in_thread(lambda: things.get("slow"))
        until(lambda: acme.log)
        host.apply(acme.parse("[things.slow]\nsettings = { width = 7 }"))
        acme.gate.set()

        assert getting().width == 0
        assert things["slow"].width == 7
        assert acme.log == ["making", "making"]

    assert sorted(acme.log[2:]) == [0, 7]


def test_a_load_in_flight_while_the_host_closes(acme):
    """
    What is made too late is closed, and refused to who asked for it.
    """
    acme.plugin(
        "slow",
        "def __init__(self):\n    log.append('making')\n    assert gate.wait(20)\n"
        "def close(self): log.append('closed')",
    )
    host = acme.host()
    host.start()

    getting = in_thread(lambda: host.registry("things").get("slow"))
    until(lambda: acme.log)
    report = host.close()
    acme.gate.set()

    assert isinstance(error := getting(), HostError)
    assert "the host was closed" in str(error)
    assert not report
    assert acme.log == ["making", "closed"]


def test_what_is_made_too_late_on_the_home_loop_is_closed_there(acme):
    """
    The same on an application's own loop: the closing is kept until it is over, and its error is logged.
    """
    acme.plugin("late", "async def aclose(self):\n    log.append('closed')\n    raise OSError('jammed')")

    async def main():
        host = acme.host()
        await host.astart()
        host.registry("things").freeze()
        await host.aclose()
        with pytest.raises(HostError):
            host.registry("things").get("late")
        await host.home.kept_is_over()

    asyncio.run(main())

    assert acme.log == ["closed"]


def test_strict_accepts_a_settled_conflict(acme):
    """
    The one that the configuration did not pick is no failure, even where everything must work.
    """
    for name in ("one", "two"):
        acme.plugin(name, key="main")

    with acme.host('[plugins]\nconflicts = { "things/main" = "acme-two" }', strict=True) as host:
        assert {status.state for status in host.plugins} == {"loaded", "disabled"}


@pytest.mark.parametrize(
    "policy",
    ['disable = ["things/one"]', 'allow = ["nobody"]', "", 'conflicts = { "things/one" = "nobody" }'],
)
def test_required_is_required(acme, policy):
    """
    Who is required and disabled, not allowed, or in conflict is a start-up error, with the reason.
    """
    acme.plugin("one")
    acme.plugin("rival", key="one")

    with pytest.raises(StartError, match="things/one: (disabled|not allowed|conflict)"):
        acme.host(f"[plugins]\n{policy}\n[things.one]\nrequired = true").start()


def test_strict_hooks(acme):
    """
    With `strict`, hooks of the environment that do not load are a start-up error; without, they are listed.
    """
    acme.environment.install(
        "acme-hooks", advertises={"hotplug.hooks": {"bad": "acme_hooks"}}, files={"acme_hooks.py": "1 // 0"}
    )

    with acme.host() as host:
        assert acme.state(host, "hooks/bad").state == "failed"
    with pytest.raises(StartError, match="hooks/bad"):
        acme.host(strict=True).start()


def test_a_timeout_error_says_where(acme):
    """
    A host whose shared loop is blocked says whose plugin, and names the thread.
    """
    error = hotplug._host._closing.blocked("start", _lifecycle.Stuck("home", 2.0), None)

    assert isinstance(error, PluginTimeoutError)
    assert (error.thread, error.limit) == ("home", 2.0)


def test_a_plugin_that_never_stood_may_change(acme):
    """
    New settings for a plugin that is crowded out leave it crowded out; once free, it stands with them.
    """
    acme.plugin("one", WIDE)

    class Own(acme.Thing):
        def do(self):
            return "own"

    host = acme.host("[things.one]")
    undo = host.registry("things").register("one", Own())
    config = acme.parse("[things.one]\nsettings = { width = 5 }")
    with host:
        with pytest.raises(DuplicateKeyError):
            host.apply(config)
        acme.plugin("one", WIDE, version="2.0")
        assert host.refresh().failed == ("things/one",)
        assert acme.state(host, "things/one").record.version == "2.0"
        undo()

        assert host.apply(config).added == ("things/one",)
        assert host.registry("things")["one"].width == 5


def test_an_installation_that_never_worked_makes_way_only_if_nobody_shares_it(acme):
    """
    Modules of what failed are imported anew after an upgrade, but not if another plugin works with them.
    """
    acme.environment.install(
        "acme-owner",
        advertises={"acme.things": {"owner": "acme_shared:A"}},
        files={
            "acme_shared.py": "from acme_contract import *\nlog.append('imported')\n"
            "class A(Thing):\n  def do(self): return 'a'\n"
            "class B(A):\n  def __init__(self): raise OSError\n"
        },
    )
    acme.environment.install("acme-guest", advertises={"acme.things": {"guest": "acme_shared:B"}})
    with acme.host() as host:
        host.registry("things").get("owner")
        with pytest.raises(PluginError):
            host.registry("things").get("guest")
        acme.environment.install("acme-guest", "2.0", advertises={"acme.things": {"guest": "acme_shared:A"}})

        assert host.refresh().changed == ("things/guest",)
        assert type(host.registry("things")["guest"]) is type(host.registry("things")["owner"])
        assert acme.log == ["imported"]


def test_an_apply_is_out_before_anybody_is_told(acme):
    """
    A listener that freezes the registry at the first word of an `apply` hinders none of it.
    """
    for name in ("a", "b"):
        acme.plugin(name, WIDE)
    text = "[things.a]\nsettings = {{ width = {0} }}\n[things.b]\nsettings = {{ width = {0} }}"
    with acme.host(text.format(1)) as host:
        things = host.registry("things")
        undo = things.subscribe(lambda change: things.freeze())

        assert host.apply(acme.parse(text.format(2))).changed == ("things/a", "things/b")
        undo()
        assert (things["a"].width, things["b"].width) == (2, 2)
        with pytest.raises(FrozenRegistryError):
            host.apply(acme.parse(text.format(3)))
        assert (things["a"].width, things["b"].width) == (2, 2)


def test_an_interrupt_after_an_apply_is_out_comes_too_late(acme):
    """
    Ctrl-C in a listener of an `apply` that readers see already takes nothing back: the old ones are closed.
    """
    acme.plugin("a", WIDE)
    with acme.host("[things.a]\nsettings = { width = 1 }") as host:
        things = host.registry("things")
        assert things["a"].width == 1
        undo = things.subscribe(lambda change: (_ for _ in ()).throw(KeyboardInterrupt()))

        with pytest.raises(KeyboardInterrupt):
            host.apply(acme.parse("[things.a]\nsettings = { width = 2 }"))
        undo()

        assert things["a"].width == 2
        assert acme.log == [1]


def test_who_left_stands_again(acme):
    """
    What was withdrawn before a later withdrawal became impossible stands again, with its object.
    """
    for name in ("a", "b"):
        acme.plugin(name)
        acme.plugin(f"{name}2", group="acme.engines")
    with acme.host("[plugins]\n[things.a]\n[engines.a2]", kinds=[acme.things, acme.engines]) as host:
        a = host.registry("things")["a"]
        host.registry("engines").freeze()

        with pytest.raises(FrozenRegistryError):
            host.apply(acme.parse('[plugins]\ndisable = ["things/*", "engines/*"]'))

        assert host.registry("things")["a"] is a
        assert set(host.registry("things").keys()) == {"a", "b"}


def test_what_can_be_asked_before_the_start(acme):
    """
    A new host has no plugins, no problems and no home; it can be closed, and says why a key is not there.
    """
    acme.plugin("one")
    (acme.environment.folder / "broken-1.0.dist-info").mkdir()
    host = acme.host()

    assert (host.plugins, host.problems) == ((), ())
    with pytest.raises(HostError, match="has not been started"):
        _ = host.home
    with pytest.raises(hotplug.NotRegisteredError, match="the host is not started"):
        host.registry("things").get("one")
    with host:
        assert [problem.path for problem in host.problems]
        with pytest.raises(hotplug.NotRegisteredError, match="did you mean 'one'"):
            host.registry("things").get("won")

    unused = acme.host()
    assert not unused.close()
    with pytest.raises(HostError, match="does not start again"):
        unused.start()


def test_a_kind_of_what_connects(acme):
    """
    Things that connect are brought up only where the configuration says so.
    """
    lines = hotplug.Kind("lines", acme.Thing, group="acme.lines", up="connect")
    for name in ("quiet", "loud"):
        acme.plugin(name, f"def connect(self): log.append('{name}')", group="acme.lines")

    with acme.host("[lines.quiet]\n[lines.loud]\nconnect = true", kinds=[lines]):
        assert acme.log == ["loud"]


def test_ctrl_c_on_the_applications_own_loop_is_the_users(acme):
    """
    In the main thread it may be the user who interrupts a plugin's coroutine: it gets out.
    """
    acme.plugin("bad", "async def start(self): raise KeyboardInterrupt", group="acme.engines")

    async def main():
        async with acme.host("[engines.bad]"):
            pass

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())


# -- examined --------------------------------------------------------------------------------------


def test_a_plugin_is_examined_by_itself(acme):
    """
    `examine` imports, checks and makes one plugin, and nothing else; its status is the verdict.
    """
    from hotplug._host._survey import examine, survey

    kinds = [acme.things, acme.views, acme.engines]
    acme.plugin("good", "def __init__(self): log.append('made')\ndef close(self): log.append('closed')")
    acme.plugin("bad", "def __init__(self): raise OSError('no disk')")
    acme.plugin("view", "def __init__(self): raise OSError('no view')", group="acme.views")
    acme.plugin("engine", "async def start(self): log.append('up')", group="acme.engines")
    acme.plugin("off", head="raise SystemExit")
    config = acme.parse('[plugins]\ndisable = ["things/off"]\n[engines.engine]')

    def verdict(name):
        status = examine(name, config, kinds=kinds, path=acme.environment.path)
        return status.state, status.reason

    assert verdict("things/good") == ("loaded", "")
    assert verdict("things/bad") == ("failed", "failed construction")
    assert verdict("views/view") == ("failed", "failed construction")
    assert verdict("engines/engine") == ("loaded", "")
    assert verdict("things/off") == ("disabled", "disabled")
    with pytest.raises(hotplug.NotRegisteredError, match="did you mean 'things/good'"):
        verdict("things/god")
    assert acme.log == ["made", "closed"]
    names = [status.name for status in survey(config, kinds=kinds, path=acme.environment.path).statuses]
    assert names == ["things/bad", "things/good", "things/off", "views/view", "engines/engine"]


def test_each_is_ended_once(acme):
    """
    Who is asked to end by a retirement and by the host's own end is brought down and closed once.
    """
    acme.plugin(
        "one",
        "async def stop(self): log.append('down')\nasync def aclose(self): log.append('closed')",
        group="acme.engines",
    )
    with acme.host("[engines.one]") as host:
        [plugin] = host.follower.standing
        for _ in range(3):
            assert host.home.run(host.follower.running._ending([plugin], [plugin])) == []

    assert acme.log == ["down", "closed"]


def test_a_key_that_was_freed_before_the_freeze_stays_free(acme):
    """
    A frozen registry takes nobody in, and a refresh does not complain about it again and again.
    """
    acme.plugin("one")

    class Own(acme.Thing):
        def do(self):
            return "own"

    host = acme.host()
    undo = host.registry("things").register("one", Own())
    with host:
        undo()
        host.registry("things").freeze()

        assert not host.refresh()
        assert acme.state(host, "things/one").state == "conflict"


def test_mending_settings_imports_nothing_anew(acme):
    """
    A plugin that failed for its settings is mended by `apply` with the modules that it has.
    """
    acme.plugin("one", "def __init__(self, *, width: int): ...", head="log.append('imported')")
    with acme.host() as host:
        with pytest.raises(hotplug.SettingsError):
            host.registry("things").get("one")
        host.apply(acme.parse("[things.one]\nsettings = { width = 1 }"))

        assert host.registry("things")["one"].do() == "done"
        assert acme.log == ["imported"]


def test_a_failed_start_has_its_report(acme):
    """
    What went wrong while a host closed that could not start is in the report that `close` gives.
    """
    acme.plugin("bad", "def close(self): raise OSError('jammed')")
    acme.plugin("worse", head="raise OSError('no')")
    host = acme.host("[things.bad]\nrequired = true\n[things.worse]\nrequired = true")

    with pytest.raises(StartError):
        host.start()

    assert [str(error.__cause__) for error in host.close().errors] == ["jammed"]


def test_ctrl_c_in_a_worker_is_a_plugins(acme):
    """
    A plain `close` runs in a worker, where nobody can press Ctrl-C: the application's loop goes on.
    """
    acme.plugin("bad", "def close(self): raise KeyboardInterrupt")

    async def main():
        async with acme.host() as host:
            await host.registry("things").aget("bad")
        return await host.aclose()

    assert ["KeyboardInterrupt" in str(error) for error in asyncio.run(main()).errors] == [True]
