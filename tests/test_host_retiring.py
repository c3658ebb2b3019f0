"""Old plugins: who still uses them, how long that is waited for, and what sessions see meanwhile."""

from __future__ import annotations

import asyncio
import logging
import threading
import time

import pytest

import hotplug
from hotplug import UserExecutionContext
from hotplug.errors import HostError, NotRegisteredError

ADA = UserExecutionContext("ada")

pytestmark = pytest.mark.usefixtures("nothing_left", "brief_absence")

WIDE = (
    "def __init__(self, *, width: int = 0): self.width = width\n"
    "def close(self): log.append((type(self).__module__, self.width))"
)


def pair(acme):
    """A distribution with two plugins, ``one`` and ``two``, whose settings change together."""
    body = "".join(f"    {line}\n" for line in WIDE.splitlines())
    text = f"from acme_contract import *\nclass {{0}}(Thing):\n    def do(self): return 'done'\n{body}"
    acme.environment.install(
        "acme-pair",
        "1.0",
        advertises={"acme.things": {"one": "acme_one:One"}, "acme.views": {"two": "acme_two:Two"}},
        files={"acme_one.py": text.format("One"), "acme_two.py": text.format("Two")},
    )


def config(acme, width, drain=10.0):
    return acme.parse(
        f"[host]\ndrain_timeout = {drain}\n"
        f"[things.one]\nsettings = {{ width = {width} }}\n[views.two]\nsettings = {{ width = {width} }}"
    )


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.001)


# -- sessions keep to a cut ------------------------------------------------------------------------


def test_a_session_has_one_generation(acme):
    """
    Who has one plugin of a distribution gets the others of the same generation, whatever was published since.
    """
    pair(acme)
    with acme.host(config(acme, 1)) as host:
        with host.session(ADA) as session:
            one = session.registry("things").get("one")
            host.apply(config(acme, 2))
            two = session.registry("views").get("two")

            assert (one.width, two.width) == (1, 1)
            assert (host.registry("things")["one"].width, host.registry("views").get("two", ADA).width) == (
                2,
                2,
            )
            assert session.registry("views").get("two") is two
            assert acme.log == []
        assert sorted(acme.log) == [("acme_one", 1), ("acme_two", 1)]
        with host.session(ADA) as session:
            assert session.registry("things").get("one").width == 2


def test_a_session_that_used_nothing_gets_what_stands(acme):
    """
    A generation that nobody uses is closed at once: a session that asks for it later gets the current one.
    """
    pair(acme)
    with acme.host(config(acme, 1)) as host:
        host.registry("things").get("one")
        with host.session(ADA) as session:
            host.apply(config(acme, 2))
            assert acme.log == [("acme_one", 1)]
            things, views = session.registry("things"), session.registry("views")

            assert (things.get("one").width, views.get("two").width) == (2, 2)
            assert (things.keys(), views.keys(), "one" in things, len(views)) == (("one",), ("two",), True, 1)


def test_what_a_session_sees_of_comings_and_goings(acme):
    """
    What came after a session began is not in it, what went is while it is used; the application's is live.
    """
    acme.plugin("a")
    acme.plugin("b")
    with acme.host() as host:
        host.registry("things").register("own", host.registry("things")["a"])
        with host.session(ADA) as session:
            things = session.registry("things")
            things.get("a")
            acme.plugin("late")
            acme.environment.uninstall("acme-a")
            acme.environment.uninstall("acme-b")
            host.refresh()
            host.registry("things").register("mine", host.registry("things")["own"])

            assert host.registry("things").keys() == ("own", "late", "mine")
            assert (things.keys(), tuple(things), len(things)) == (("own", "mine", "a"),) * 2 + (3,)
            assert [key in things for key in ("a", "b", "late", "own")] == [True, False, False, True]
            assert things.get("a").do() == things["own"].do() == things.get("mine").do() == "done"
            assert things.get("late", default=None) is things.get("b", default=None) is None
            assert asyncio.run(things.aget("late", default=None)) is None
            with pytest.raises(NotRegisteredError, match="it came after what else is used here"):
                things.get("late")
            with pytest.raises(NotRegisteredError):
                things.get("b")
        assert host.session(ADA).registry("things").get("late").do() == "done"


def test_what_fails_in_a_session_is_not_held(acme):
    """
    A plugin that fails to make something for a session is not kept from its end by that.
    """
    acme.plugin("bad", "def __init__(self): raise OSError", group="acme.views")
    with acme.host() as host, host.session(ADA) as session:
        with pytest.raises(hotplug.PluginError):
            session.registry("views").get("bad")
        [plugin] = host.follower.standing
        released = []
        plugin.withdraw()
        plugin.when_released(lambda: released.append(1))
        assert released == [1]


# -- the drain limit -------------------------------------------------------------------------------


def test_a_session_that_does_not_end(acme, caplog):
    """
    After the drain limit the old generation is closed, used or not; the session gets the current one then.
    """
    pair(acme)
    with acme.host(config(acme, 1, drain=0.05)) as host:
        with host.session(ADA) as session, caplog.at_level(logging.WARNING, "hotplug.host"):
            one, two = session.registry("things").get("one"), session.registry("views").get("two")
            host.apply(config(acme, 2, drain=0.05))
            until(lambda: acme.log)

            assert acme.log == [("acme_one", 1)]
            assert "closed although in use still, after 0.05 s" in caplog.text
            assert "things/one" in caplog.text
            assert "views/two" in caplog.text
            assert session.registry("things").get("one").width == 2
            assert session.registry("views").get("two").width == 2
            assert (one.width, two.width) == (1, 1)
        assert sorted(acme.log[1:]) == [("acme_two", 1), ("acme_two", 2)]
    assert sorted(acme.log[3:]) == [("acme_one", 2)]


def test_a_lease_that_ends_in_time_stops_the_clock(acme, caplog):
    """
    What is released before the drain limit is closed then, and never said to be late.
    """
    pair(acme)
    with acme.host(config(acme, 1, drain=30)) as host:
        with host.registry("things").lease("one"):
            host.apply(config(acme, 2, drain=30))
            [group] = host.follower.retiring._waiting
            until(lambda: group.timer is not None)
        assert acme.log == [("acme_one", 1)]
        until(group.timer.cancelled)
        assert host.follower.retiring._waiting == []
    assert "in use still" not in caplog.text


def test_closing_waits_for_what_is_old_and_used(acme):
    """
    A host that closes while an old generation is leased says so after the limit, and leaves no timer.
    """
    pair(acme)
    host = acme.host(config(acme, 1, drain=0.2))
    host.start()
    with host.registry("things").lease("one"):
        host.apply(config(acme, 2, drain=0.2))
        report = host.close()

    assert [error.reason for error in report.errors] == ["leased"]
    assert acme.log == [("acme_one", 1)]


def test_on_a_loop_that_is_closed_nobody_loses_patience(acme):
    """
    Where the loop of an `async with` is gone, an old generation is closed with its last lease all the same.
    """
    pair(acme)
    host = acme.host(config(acme, 1))

    async def main():
        await host.astart()
        await host.registry("things").aget("one")

    asyncio.run(main())
    with host.registry("things").lease("one"):
        host.apply(config(acme, 2))
        assert acme.log == []
    assert acme.log == [("acme_one", 1)]
    host.close()


def test_a_clock_that_comes_too_late_says_nothing(acme, caplog):
    """
    A limit that is over in the moment in which the last lease ends closes nothing twice, and is not told.
    """
    pair(acme)
    with acme.host(config(acme, 1)) as host:
        with host.registry("things").lease("one"):
            host.apply(config(acme, 2))
            retiring = host.follower.retiring
            [group] = retiring._waiting
        retiring._run_out(group, 10.0)
        group.retirement.force()
        assert acme.log == [("acme_one", 1)]
    assert "in use still" not in caplog.text


def test_an_end_that_fails_leaves_nobody_waiting(acme, monkeypatch, caplog):
    """
    Where ending an old plugin raises, the log has it, and who waited for the end goes on.
    """
    pair(acme)
    with acme.host(config(acme, 1)) as host:
        retiring = host.follower.retiring
        with monkeypatch.context() as patch:
            with host.registry("things").lease("one"):
                host.apply(config(acme, 2))
                [group] = retiring._waiting
                patch.setattr(retiring, "_over", lambda plugin: 1 / 0)
            assert group.ended.is_set()
        retiring.wait()
    assert "closing what was leased failed" in caplog.text


# -- waiting ---------------------------------------------------------------------------------------


def test_waiting_for_the_old(acme):
    """
    Who waits for the old generations goes on when they are closed; at once where there are none.
    """
    pair(acme)
    with acme.host(config(acme, 1)) as host:
        host.follower.retiring.wait()
        inside, leave = threading.Event(), threading.Event()

        def use():
            with host.registry("things").lease("one"):
                inside.set()
                assert leave.wait(10)

        using = threading.Thread(target=use)
        using.start()
        assert inside.wait(10)
        host.apply(config(acme, 2))
        seen = []
        waiting = threading.Thread(target=lambda: (host.follower.retiring.wait(), seen.extend(acme.log)))
        waiting.start()
        assert acme.log == []
        leave.set()
        using.join(10)
        waiting.join(10)
        assert seen == [("acme_one", 1)]


@pytest.mark.parametrize("how", ["lease", "session", "asession"])
def test_nobody_waits_for_itself(acme, how):
    """
    Who asks from inside a lease or a session does not wait for what it uses itself.
    """
    pair(acme)

    async def in_async_session(host):
        async with host.session(ADA) as session:
            await session.registry("things").aget("one")
            await host.aapply(config(acme, 2))
            await asyncio.to_thread(host.follower.retiring.wait)
            assert acme.log == []

    with acme.host(config(acme, 1)) as host:
        if how == "asession":
            asyncio.run(in_async_session(host))
        else:
            inside = host.registry("things").lease("one") if how == "lease" else host.session(ADA)
            with inside as got:
                if how == "session":  # by a thread of its own: only the session itself is of this context
                    getting = threading.Thread(target=got.registry("things").get, args=["one"])
                    getting.start()
                    getting.join(10)
                host.apply(config(acme, 2))
                host.follower.retiring.wait()
                assert acme.log == []
        assert acme.log == [("acme_one", 1)]


def test_a_closing_host_lets_go_of_who_waits(acme):
    """
    Who waits for an old generation is not left behind when the host closes.
    """
    pair(acme)
    host = acme.host(config(acme, 1, drain=30))
    host.start()
    lease = host.registry("things").lease("one")
    lease.__enter__()
    host.apply(config(acme, 2, drain=30))
    waiting = threading.Thread(target=contextless(host.follower.retiring.wait), daemon=True)
    waiting.start()
    closing = threading.Thread(target=host.close)
    closing.start()
    waiting.join(10)
    assert not waiting.is_alive()
    lease.__exit__(None, None, None)
    closing.join(10)
    with pytest.raises(HostError):
        host.session(ADA)


def contextless(call):
    """*call*, outside of everything that the caller is in."""
    import contextvars

    empty = contextvars.Context()
    return lambda: empty.run(call)


def test_what_never_stood_goes_with_the_rest(acme):
    """
    A plugin whose key was taken when it came, and that is uninstalled, is simply not listed any more.
    """
    acme.plugin("a")
    with acme.host() as host:
        host.registry("things").register("b", host.registry("things")["a"])
        acme.plugin("b")
        assert host.refresh().failed == ("things/b",)
        acme.environment.uninstall("acme-b")
        assert host.refresh().removed == ("things/b",)
        assert [status.name for status in host.plugins] == ["things/a"]
        assert host.registry("things").keys() == ("a", "b")


# -- order -----------------------------------------------------------------------------------------


def test_what_nobody_uses_ends_newest_first_across_distributions(acme):
    """
    Plugins of several distributions that go at once end in reverse order of their making.
    """
    pair(acme)
    acme.plugin("three", WIDE)
    text = "[things.one]\nsettings = {{ width = {0} }}\n[things.three]\nsettings = {{ width = {0} }}"
    for first, second in (("one", "three"), ("three", "one")):
        acme.log.clear()
        with acme.host(text.format(1)) as host:
            things = host.registry("things")
            things.get(first)
            things.get(second)
            host.apply(acme.parse(text.format(2)))
            assert acme.log == [(f"acme_{second}", 1), (f"acme_{first}", 1)]


# -- agents ----------------------------------------------------------------------------------------

AGENT = (
    "from hotplug import BaseAgent\n"
    "class Agent(BaseAgent):\n"
    "    def __init__(self, *, width: int = 0): self.width = width\n"
    "    async def run(self, task, run):\n"
    "        if task is not None: await task()\n"
    "        return self.width, id(self)\n"
)


@pytest.fixture
def agents(environment):
    """``agents(config)`` makes a host with an agent called ``wide``."""
    environment.install(
        "acme-agent",
        advertises={"hotplug.agents": {"wide": "acme_agent:Agent"}},
        files={"acme_agent.py": AGENT},
    )

    def host(text):
        return hotplug.Host(hotplug.Config.parse(text), path=environment.path, cache=False)

    host.install = environment.install
    return host


WIDTH = "[agents.wide]\nsettings = {{ width = {0} }}"


def test_a_run_in_a_session_is_of_the_sessions_generation(agents):
    """
    In a session its own agent runs, as before the reload; without one the new agent does.
    """

    async def main():
        async with agents(WIDTH.format(1)) as host, host.session(ADA) as session:
            mine = await session.agents.aget("wide")
            await host.aapply(hotplug.Config.parse(WIDTH.format(2)))
            in_session = await host.agents.run("wide", None, ADA)
            alone, _ = await host.agents.run("wide", None, UserExecutionContext("bob"))
            return in_session == (1, id(mine)), alone

    assert asyncio.run(main()) == (True, 2)


def test_what_a_session_does_not_have_runs_all_the_same(agents):
    """
    An agent that was installed after the session began runs for its user, with an instance of the run's own.
    """

    async def main():
        async with agents("") as host, host.session(ADA) as session:
            agents.install(
                "acme-late",
                advertises={"hotplug.agents": {"late": "acme_late:Agent"}},
                files={"acme_late.py": AGENT},
            )
            await host.arefresh()
            width, _ = await host.agents.run("late", None, ADA)
            return width, "late" in session.agents

    assert asyncio.run(main()) == (0, False)


def test_a_session_that_ends_during_its_agents_run(agents):
    """
    The generation of a session's agent is in use as long as that runs, also when the session ends first.
    """

    async def main():
        async with agents(WIDTH.format(1)) as host:
            session = host.session(ADA)
            await session.agents.aget("wide")
            await host.aapply(hotplug.Config.parse(WIDTH.format(2)))
            seen = []

            async def meanwhile():
                await session.aclose()
                [group] = host.follower.retiring._waiting
                seen.append((group.retirement.is_over, group.retirement.is_held_here))

            await host.agents.run("wide", meanwhile, ADA)
            return seen, host.follower.retiring._waiting

    assert asyncio.run(main()) == ([(False, True)], [])
