"""Reloading while others are at work: who asks, who waits, who still uses the old generation."""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
import threading
from concurrent import futures

import pytest

import hotplug
from hot import ADA, HEAD, call, hots, thing, until
from hotplug import Host, UserExecutionContext
from hotplug._host._code import Code
from hotplug.errors import HostError

pytestmark = pytest.mark.usefixtures("nothing_left")

BOB = UserExecutionContext("bob")
CLOSES = "def close(self): log.append('closed')"


@pytest.fixture
def hot(acme, tmp_path):
    yield from hots(acme, tmp_path)


def tools(hot, mark, body=""):
    code = (
        f"{HEAD}import hotplug\n{body}\n@hotplug.tool(read_only=True)\ndef ask() -> int:\n    return {mark}\n"
    )
    hot.site.install(
        "acme-tools",
        advertises={
            "hotplug.tools": {"ask": "acme_tools:ask", **({"again": "acme_tools:again"} if body else {})}
        },
        files={"acme_tools.py": code},
    )


# -- who asks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("sort", ["sync", "async"])
def test_a_tool_may_reload_itself(hot, sort):
    """
    Asked for from inside a plugin's own call, a reload returns without waiting for that call to end.
    """
    hot.acme.contract.hosts = []
    body = {
        "sync": (
            "@hotplug.tool(read_only=True)\ndef again() -> int:\n"
            "    hosts[0].reload('acme-tools')\n    return 1\n"
        ),
        "async": (
            "@hotplug.tool(read_only=True)\nasync def again() -> int:\n"
            "    await hosts[0].areload('acme-tools')\n    return 1\n"
        ),
    }[sort]
    tools(hot, 1, body)
    with hot.host(kinds=hotplug.KINDS) as host:
        hot.acme.contract.hosts.append(host)
        assert (call(host, "ask"), call(host, "again"), call(host, "ask")) == (1, 1, 1)
        assert hot.status(host, "tools/ask").generation == 2
        tools(hot, 2, body)
        assert (call(host, "again"), call(host, "ask")) == (1, 2)


def test_a_lease_holder_may_reload_what_it_leases(hot):
    """
    Who leases an object and reloads its distribution does not wait for itself; the object closes afterwards.
    """
    hot.one("a", thing(body=CLOSES))
    with hot.host() as host:
        with host.registry("things").lease("a") as old:
            assert host.reload("acme-a").changed == ("things/a",)
            assert hot.log == []
            assert old.do() == "one"
            assert host.registry("things")["a"] is not old
        until(lambda: hot.log == ["closed"])


def test_what_old_code_left_is_a_problem_as_long_as_it_goes_on(hot):
    """
    A thread of an old generation is in `host.problems` with file and line until it has ended.
    """
    hot.one(
        "a",
        thing(
            head="import threading\ngate, waiting = threading.Event(), threading.Event()\n"
            "def wait():\n    waiting.set()\n    gate.wait(20)\n"
            "def begin():\n    threading.Thread(target=wait, name='old', daemon=True).start()\n"
        ),
    )
    with hot.host() as host:
        modules = []
        for _ in range(2):
            hot.do(host, "a")
            modules.append(sys.modules["acme_a"])
            modules[-1].begin()
            modules[-1].waiting.wait(20)
            host.reload("acme-a")

        assert [problem.distribution for problem in host.problems] == ["acme-a", "acme-a"]
        assert all(problem.reason.startswith("thread 'old' at ") for problem in host.problems)
        modules[0].gate.set()
        until(lambda: len(host.problems) == 1)
        hot.do(host, "a")
        host.reload("acme-a")
        assert len(host.problems) == 1
        modules[1].gate.set()
        until(lambda: host.problems == ())


def test_a_listener_may_reload(hot):
    """
    A listener hears of a reload when it is over, and may ask for another one.
    """
    hot.one("a", thing())
    hot.one("b", thing())
    with hot.host() as host:
        assert [hot.do(host, key) for key in ("a", "b")] == ["one", "one"]
        heard = []

        def hear(changes):
            heard.append(changes.changed)
            if changes.changed == ("things/a",):
                host.reload("acme-b")

        host.subscribe(hear)
        host.reload("acme-a")
        assert heard == [("things/a",), ("things/b",)]


@pytest.mark.parametrize("where", ["import", "construction", "state"])
def test_a_plugin_may_not_reload_while_it_is_loaded(hot, where):
    """
    Code that is being loaded asks for a reload in vain: it would wait for itself, and is refused.
    """
    hot.acme.contract.hosts = []
    bad = {
        "import": f"{HEAD}hosts[0].reload('acme-a')\n",
        "construction": thing(body="def __init__(self): hosts[0].reload('acme-a')"),
        "state": thing(body="def import_state(self, version, state): hosts[0].reload('acme-a')"),
    }[where]
    hot.one("a", thing(body="def export_state(self): return 1, {}"))
    with hot.host() as host:
        hot.acme.contract.hosts.append(host)
        before = host.registry("things")["a"]
        hot.one("a", bad)
        assert host.reload("acme-a").failed == ("things/a",)
        assert "asked for from inside" in hot.status(host, "things/a").error
        assert host.registry("things")["a"] is before


def test_two_threads_reload_at_once(hot, eager_threads):
    """
    Reloads asked for at once happen one after the other, each with a generation of its own.
    """
    hot.one("a", thing(body=CLOSES))
    with hot.host() as host:
        assert hot.do(host, "a") == "one"
        start, answers = threading.Barrier(4), []

        def reload():
            start.wait()
            answers.append(host.reload("acme-a"))

        threads = [threading.Thread(target=reload) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [hotplug.Changes(changed=("things/a",))] * 4
        assert hot.status(host, "things/a").generation == 5
        until(lambda: hot.log == ["closed"] * 4)


def test_a_reload_while_the_host_closes_is_refused(hot):
    """
    Who asks for a reload of a host that is closing, or closed, gets a `HostError`, and nothing is left.
    """
    hot.one("a", thing(body="def close(self):\n    log.append('closing')\n    gate.wait(20)"))
    host = hot.host()
    host.start()
    assert hot.do(host, "a") == "one"
    closing = threading.Thread(target=host.close)
    closing.start()
    until(lambda: hot.log == ["closing"])
    errors = []

    def reload():
        try:
            host.reload("acme-a")
        except HostError as error:
            errors.append(str(error))

    asking = threading.Thread(target=reload)
    asking.start()
    hot.acme.gate.set()
    asking.join()
    closing.join()
    assert errors == ["reload(): the host is closed"]


def test_on_the_home_loop_it_has_a_twin(hot):
    """
    On the loop that a host lives on, `reload` names `areload`, which does the same without blocking it.
    """
    hot.one("a", thing(body="async def close(self): log.append('closed')"))

    async def main():
        async with hot.host() as host:
            assert hot.do(host, "a") == "one"
            with pytest.raises(RuntimeError, match="areload"):
                host.reload("acme-a")
            hot.one("a", thing("'two'"))
            changes = await host.areload("acme-a")
            assert changes.changed == ("things/a",)
            assert hot.do(host, "a") == "two"
            assert hot.log == ["closed"]
            with pytest.raises(HostError, match="no plugin"):
                await host.areload("ghost")

    asyncio.run(main())


def test_a_reload_before_the_start_is_refused(hot):
    """
    A host that has not started has nothing to reload.
    """
    with pytest.raises(HostError, match="not started"):
        Host(path=[]).reload("acme-a")


# -- who still uses the old one --------------------------------------------------------------------


def test_a_lease_is_waited_for(hot):
    """
    A reload returns when the old generation is closed, and that is not before its last lease has ended.
    """
    hot.one("a", thing(body=CLOSES))
    with hot.host() as host:
        leased, done = threading.Event(), threading.Event()

        def use():
            with host.registry("things").lease("a") as old:
                leased.set()
                hot.acme.gate.wait(20)
                hot.log.append(old.do())

        def reload():
            host.reload("acme-a")
            hot.log.append("reloaded")
            done.set()

        using, reloading = threading.Thread(target=use), threading.Thread(target=reload)
        using.start()
        assert leased.wait(20)
        hot.one("a", thing("'two'"))
        reloading.start()
        until(lambda: hot.do(host, "a") == "two")
        assert not done.is_set()
        assert hot.log == []
        hot.acme.gate.set()
        assert done.wait(20)
        using.join()
        reloading.join()
        assert hot.log == ["one", "closed", "reloaded"]


def test_a_lease_is_waited_for_no_longer_than_the_limit(hot, caplog):
    """
    What is leased for longer than ``drain_timeout`` is closed all the same, and that is said.
    """
    hot.one("a", thing(body=CLOSES))
    with hot.host("[host]\ndrain_timeout = 0.2") as host:
        leased, done = threading.Event(), threading.Event()

        def use():
            with host.registry("things").lease("a"):
                leased.set()
                done.wait(20)

        using = threading.Thread(target=use)
        using.start()
        assert leased.wait(20)
        hot.one("a", thing("'two'"))
        with caplog.at_level(logging.WARNING):
            assert host.reload("acme-a").changed == ("things/a",)
        assert hot.log == ["closed"]
        assert "things/a: closed although in use still, after 0.2 s" in caplog.text
        done.set()
        using.join()


def test_a_session_keeps_its_generation(hot):
    """
    A session goes on with what it has, through any number of reloads, and closes it in the end.
    """
    code = "def __init__(self): log.append(('made', {0}))\ndef close(self): log.append(('closed', {0}))"

    def put(mark):
        text = thing(str(mark), body=code.format(mark))
        hot.install("acme-v", views={"v": "acme_v:Plain"}, files={"acme_v.py": text})

    put(1)
    with hot.host("[host]\ndrain_timeout = 5") as host:
        with host.session(ADA) as session:
            old = session.registry("views").get("v")
            put(2)
            reloading = threading.Thread(target=host.reload, args=("acme-v",))
            reloading.start()
            until(lambda: hot.status(host, "views/v").generation == 2)
            assert session.registry("views").get("v") is old
            assert host.registry("views").get("v", BOB).do() == 2
            with host.session(BOB) as other:
                assert other.registry("views").get("v").do() == 2
            assert ("closed", 1) not in hot.log
        reloading.join()
        assert ("closed", 1) in hot.log


def test_what_is_made_for_a_user_is_of_the_present_generation(hot):
    """
    Each new object for a user is of the newest code; those made before go on with theirs.
    """
    hot.install("acme-v", views={"v": "acme_v:Plain"}, files={"acme_v.py": thing("1")})
    with hot.host() as host:
        old = host.registry("views").get("v", ADA)
        hot.install("acme-v", views={"v": "acme_v:Plain"}, files={"acme_v.py": thing("2")})
        host.reload("acme-v")
        assert (old.do(), host.registry("views").get("v", ADA).do()) == (1, 2)
        assert type(host.registry("views").get("v", BOB)) is not type(old)


def test_a_running_agent_ends_on_its_generation(hot):
    """
    A run that began before a reload ends as it began; the next one is of the new code.
    """
    code = (
        f"{HEAD}from hotplug.agents import BaseAgent\nclass Agent(BaseAgent):\n"
        "    name = 'a'\n    description = 'a'\n    async def run(self, task, run):\n"
        "        log.append('runs')\n"
        "        while not gate.is_set(): await asyncio.sleep(0)\n        return {}\n"
    )

    def put(mark):
        hot.site.install(
            "acme-agent",
            advertises={"hotplug.agents": {"a": "acme_agent:Agent"}},
            files={"acme_agent.py": code.format(mark)},
        )

    put(1)
    with hot.host(kinds=hotplug.KINDS) as host:
        answers = []
        running = threading.Thread(
            target=lambda: answers.append(asyncio.run(host.agents.run("a", None, ADA)))
        )
        running.start()
        until(lambda: hot.log)
        put(2)
        reloading = threading.Thread(target=host.reload, args=("acme-agent",))
        reloading.start()
        until(lambda: hot.status(host, "agents/a").generation == 2)
        assert answers == []
        hot.acme.gate.set()
        running.join()
        reloading.join()
        assert answers == [1]
        assert asyncio.run(host.agents.run("a", None, ADA)) == 2


def test_each_call_is_wholly_of_one_generation(hot, eager_threads):
    """
    Under reloads every call answers with one generation's constants, and none fails.
    """

    def put(mark):
        hot.install(
            "acme-w",
            things={"w": "acme_w:Plain"},
            files={
                "acme_w/__init__.py": thing(
                    "(MARK, self.mine(), type(self).MARK)",
                    head=f"MARK = {mark}",
                    body=(
                        f"MARK = {mark}\ndef mine(self):\n    from acme_w import part\n    return part.MARK"
                    ),
                ),
                "acme_w/part.py": f"MARK = {mark}\n",
            },
        )

    put(0)
    with hot.host() as host:
        assert hot.do(host, "w") == (0, 0, 0)
        done, wrong, seen = threading.Event(), [], set()

        def ask():
            last = 0
            while not done.is_set():
                answer = hot.do(host, "w")
                seen.add(answer[0])
                if len(set(answer)) > 1 or answer[0] < last:
                    wrong.append(answer)
                last = answer[0]

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for mark in range(1, 11):
            put(mark)
            assert host.reload("acme-w").failed == ()
            until(lambda mark=mark: mark in seen)
        done.set()
        for thread in threads:
            thread.join()
        assert wrong == []


WAITS = "log.append('waits'); gate.wait(20)"
STATIONS = {
    "before": thing("1"),
    "import": thing("1", head=WAITS),
    "halfway": thing("1", head=f"import acme_a.a\n{WAITS}\nimport acme_a.b"),
    "construction": thing("1", body=f"def __init__(self): {WAITS}"),
    "lazily": thing("1", body=f"def __init__(self):\n    {WAITS}\n    import acme_a.b"),
}


@pytest.mark.parametrize("station", STATIONS)
@pytest.mark.parametrize("kind", ["things", "views"])
@pytest.mark.parametrize("is_imported", [False, True])
def test_who_is_first_gets_something_whatever_is_reloaded_meanwhile(
    hot, kind, station, is_imported, monkeypatch
):
    """
    Whose lookup loads a plugin, which is reloaded before that is over, gets it of the old generation or the
    new; and nothing of the old one stays in the import system.
    """

    def put(code):
        hot.install(
            "acme-a",
            **{kind: {"a": "acme_a:Plain"}},
            files={"acme_a/__init__.py": code, "acme_a/a.py": "", "acme_a/b.py": ""},
        )

    put(STATIONS[station])
    if is_imported:  # by the application, whose modules are generation 1
        hot.acme.gate.set()
        importlib.import_module("acme_a")
        hot.acme.gate.clear()
        hot.log.clear()
    import_module = Code.import_module

    def wait_first(self, name):
        if station == "before" and not hot.log:
            hot.log.append("waits")
            hot.acme.gate.wait(20)
        return import_module(self, name)

    monkeypatch.setattr(Code, "import_module", wait_first)
    with hot.host() as host, futures.ThreadPoolExecutor(1) as pool:
        first = pool.submit(hot.do, host, "a", kind)
        until(lambda: "waits" in hot.log or first.done())
        put(thing("2"))
        assert host.reload("acme-a").failed == ()
        hot.acme.gate.set()
        assert first.result() in (1, 2)
        assert hot.do(host, "a", kind) == 2


def test_close_waits_for_a_reload(hot):
    """
    Who closes a host in the middle of a reload gets it closed when the reload is over, with nothing left.
    """
    hot.one("a", thing(body=CLOSES))
    host = hot.host()
    host.start()
    assert hot.do(host, "a") == "one"
    hot.one(
        "a",
        thing(
            body="def __init__(self): log.append('making'); gate.wait(20)\ndef close(self): log.append('two')"
        ),
    )
    answers = []
    reloading = threading.Thread(target=lambda: answers.append(host.reload("acme-a")))
    reloading.start()
    until(lambda: "making" in hot.log)
    closing = threading.Thread(target=host.close)
    closing.start()
    hot.acme.gate.set()
    reloading.join()
    closing.join()
    assert answers == [hotplug.Changes(changed=("things/a",))]
    assert sorted(hot.log) == ["closed", "making", "two"]
    assert not host.close()
