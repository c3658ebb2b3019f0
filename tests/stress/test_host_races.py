"""Everything at once: verbs, loads, sessions and an end, from many threads that take turns all the time."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time

import pytest

from hotplug import Changes, Host, UserExecutionContext
from hotplug.errors import FrozenRegistryError, HostError, NotRegisteredError, PluginError
from thorough import part_of

pytestmark = pytest.mark.usefixtures("nothing_left", "eager_threads")

ENGINE = (
    "def __init__(self, *, width: int = 0): log.append(('made', id(self)))\n"
    "async def start(self): log.append(('up', id(self)))\n"
    "async def stop(self): log.append(('down', id(self)))\n"
    "async def aclose(self): log.append(('closed', id(self)))"
)
THING = (
    "def __init__(self, *, width: int = 0): log.append(('made', id(self)))\n"
    "def close(self): log.append(('closed', id(self)))"
)
FLAKY = "def __init__(self):\n    import random\n    if random.random() < 0.5: raise OSError('now and then')"
SPELL = part_of(1500) / 1000  # seconds
assert Host  # imported before threads take turns: compiling under them is another story


@pytest.fixture
def busy(acme):
    """A host with some of everything, and configurations that differ in all of it."""
    acme.plugin("engine", ENGINE, group="acme.engines")
    acme.plugin("plain", THING)
    acme.plugin("flaky", FLAKY)
    acme.plugin("view", THING, group="acme.views")
    acme.configs = [
        acme.parse(
            f"[engines.engine]\nsettings = {{ width = {n} }}\n[things.plain]\nsettings = {{ width = {n} }}"
        )
        for n in range(3)
    ]
    return acme


def storm(tasks, seconds=SPELL):
    """Run each of *tasks* again and again in a thread of its own; what they raised that they may not."""
    end = time.monotonic() + seconds
    wrong, rounds = [], []

    def run(task):
        try:
            while time.monotonic() < end and task() is not False:
                rounds.append(task)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=run, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + 30)
    assert not [thread for thread in threads if thread.is_alive()], "a deadlock"
    return wrong, {task.__name__: rounds.count(task) for task in tasks}


def test_all_verbs_at_once(busy):
    """
    Loads, sessions, leases, refreshes and configurations at once: no error but the planned, nothing left.
    """
    host = busy.host(busy.configs[0])
    things, views, engines = (host.registry(name) for name in ("things", "views", "engines"))

    def load():
        assert things.get("plain").do() == engines["engine"].do() == "done"

    def load_flaky():
        with contextlib.suppress(PluginError):
            things.get("flaky")

    def session():
        with host.session(UserExecutionContext(f"user-{threading.get_ident()}")) as mine:
            view = mine.registry("views").get("view")
            assert mine.registry("views").get("view") is view
            assert mine.registry("things").get("plain").do() == "done"

    def lease():
        with things.lease("plain") as thing:
            assert thing.do() == "done"

    def refresh():
        assert isinstance(host.refresh(), Changes)

    def apply():
        host.apply(random.choice(busy.configs))

    def look():
        names = [status.name for status in host.plugins]
        assert len(set(names)) == len(names) >= 4
        assert host.health().status in ("healthy", "degraded")
        assert host.plan(busy.configs[1]) is not None

    heard = []
    with host:
        host.subscribe(heard.append)
        wrong, rounds = storm([load, load_flaky, session, lease, refresh, apply, look, views.keys])
    report = host.close()

    assert not wrong
    assert min(rounds.values()) > 0, rounds
    assert not report, report.errors
    made = [who for what, who in busy.log if what == "made"]
    closed = [who for what, who in busy.log if what == "closed"]
    assert sorted(made) == sorted(closed)
    assert [what for what, _ in busy.log].count("up") == [what for what, _ in busy.log].count("down")
    assert heard


def test_an_end_in_the_middle_of_everything(busy):
    """
    Who is under way when the host closes gets what was promised or a documented error; all made is closed.
    """
    for spell in range(0, 12, 12 // part_of(12)):
        busy.log.clear()
        host = busy.host(busy.configs[0])
        things, engines = host.registry("things"), host.registry("engines")
        allowed = (HostError, NotRegisteredError, PluginError, FrozenRegistryError)

        def doing(call, allowed=allowed):
            def task():
                try:
                    call()
                except allowed:
                    return False
                return None

            return task

        def session(host=host):
            with host.session(UserExecutionContext("ada")) as mine:
                mine.registry("views").get("view")
                mine.registry("things").get("plain")

        def close(host=host, pause=threading.Event(), spell=spell):  # noqa: B008 - one for all is enough
            pause.wait(spell * 0.004)
            host.close()
            return False

        host.start()
        wrong, _ = storm(
            [
                doing(lambda things=things: things.get("plain")),
                doing(lambda engines=engines: engines.get("engine")),
                doing(session),
                doing(session),
                doing(host.refresh),
                doing(lambda host=host, spell=spell: host.apply(busy.configs[spell % 3])),
                doing(lambda host=host: host.plugins),
                close,
                close,
            ],
            0.2,
        )
        assert not wrong
        assert host.close() is host.close()
        made = [who for what, who in busy.log if what == "made"]
        closed = [who for what, who in busy.log if what == "closed"]
        assert sorted(made) == sorted(closed)
        assert [what for what, _ in busy.log].count("up") == [what for what, _ in busy.log].count("down")


def test_one_start_under_threads(acme):
    """
    Eight threads that start one host start it once, and eight that close it get one report.
    """
    acme.plugin("engine", ENGINE, group="acme.engines")
    host = acme.host("[engines.engine]")
    reports = []

    def storm_of(call):
        threads = [threading.Thread(target=call) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)

    storm_of(host.start)
    storm_of(lambda: reports.append(host.close()))

    assert [what for what, _ in acme.log] == ["made", "up", "down", "closed"]
    assert len(reports) == 8
    assert len(set(map(id, reports))) == 1


def test_the_twins_at_once(busy):
    """
    A hundred tasks with the a-twins of all verbs on one loop: no error, no deadlock, nothing left.
    """

    async def main():
        async with busy.host(busy.configs[0]) as host:

            async def session():
                async with host.session(UserExecutionContext("ada")) as mine:
                    await mine.registry("views").aget("view")

            tasks = [
                coroutine
                for n in range(12)
                for coroutine in (
                    host.arefresh(),
                    host.aapply(busy.configs[n % 3]),
                    host.areload("acme-plain"),
                    host.registry("things").aget("plain"),
                    session(),
                )
            ]
            await asyncio.gather(*tasks)

    asyncio.run(main())

    made = [who for what, who in busy.log if what == "made"]
    assert sorted(made) == sorted(who for what, who in busy.log if what == "closed")
