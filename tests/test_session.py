"""A user's scope: what it holds, how it ends."""

from __future__ import annotations

import asyncio
import threading

import pytest

import hotplug
from hotplug import UserExecutionContext
from hotplug.errors import HostError, InvalidContextError, NotRegisteredError, PluginError

ADA = UserExecutionContext("ada")

pytestmark = pytest.mark.usefixtures("nothing_left", "brief_absence")

CLOSES = "def close(self): log.append('closed')"


@pytest.mark.parametrize("context", ["ada", None, 5])
def test_a_session_is_for_a_context(acme, context):
    """
    A session for anything but a context is refused at once.
    """
    with acme.host() as host, pytest.raises(InvalidContextError, match=type(context).__name__):
        host.session(context)


def test_the_five_kinds_by_name(environment):
    """
    A session has the five kinds as attributes, and all kinds by name.
    """
    with hotplug.Host(path=environment.path, cache=False) as host, host.session(ADA) as session:
        for kind in hotplug.KINDS:
            for registry in (
                getattr(session, kind.name),
                session.registry(kind),
                session.registry(kind.name),
            ):
                assert registry.keys() == host.registry(kind).keys() == ()
                with pytest.raises(NotRegisteredError, match="absent"):
                    registry.get("absent")
        with pytest.raises(HostError, match="did you mean 'agents'"):
            session.registry("agent")


def test_what_is_shared_outlives_a_reload(acme):
    """
    A session keeps the shared object it gave out: replaced meanwhile, it is closed when the session ends.
    """
    acme.plugin("a", "def __init__(self, *, width: int = 0): ...\n" + CLOSES)
    with acme.host() as host:
        with host.session(ADA) as session:
            first = session.registry("things").get("a")
            host.apply(acme.parse("[things.a]\nsettings = { width = 1 }"))

            assert session.registry("things").get("a") is first
            assert host.registry("things")["a"] is not first
            assert acme.log == []
        assert acme.log == ["closed"]


def test_a_users_own_outlives_the_removal_of_its_plugin(acme):
    """
    What a session made works until the session ends, although its distribution is gone.
    """
    acme.plugin("view", CLOSES, group="acme.views")
    with acme.host() as host:
        with host.session(ADA) as session:
            view = session.registry("views").get("view")
            acme.environment.uninstall("acme-view")
            host.refresh()

            assert view.do() == "done"
            assert session.registry("views").get("view") is view
        assert acme.log == ["closed"]


def test_a_session_that_is_closed_while_it_makes_something(acme):
    """
    An instance that comes too late is closed, and refused to who asked for it.
    """
    acme.plugin(
        "slow",
        "def __init__(self):\n    log.append('making')\n    assert gate.wait(20)\n" + CLOSES,
        group="acme.views",
    )
    outcome = []

    with acme.host() as host:
        session = host.session(ADA)

        def ask():
            try:
                session.registry("views").get("slow")
            except HostError as error:
                outcome.append(str(error))

        thread = threading.Thread(target=ask)
        thread.start()
        while not acme.log:
            threading.Event().wait(0.001)
        session.close()
        acme.gate.set()
        thread.join(10)

    assert acme.log == ["making", "closed"]
    assert outcome == ["the session of 'ada' was closed meanwhile"]


def test_the_host_ends_open_sessions(acme):
    """
    Sessions that nobody closed are closed with the host; closing them later is harmless.
    """
    acme.plugin("view", CLOSES, group="acme.views")
    with acme.host() as host:
        session = host.session(ADA)
        session.registry("views").get("view")
    session.close()

    assert acme.log == ["closed"]
    with pytest.raises(HostError, match=r"session\(\): the host is closed"):
        host.session(ADA)


def test_a_session_that_comes_while_the_host_closes(acme):
    """
    Between the end of all sessions and the end of the host, no session begins.
    """
    host = acme.host()
    with host:
        host._sessions.end()
        with pytest.raises(HostError, match="closed"):
            host.session(ADA)


def test_the_body_goes_first(acme, caplog):
    """
    Where the body of the session raised, that comes out, and what closing raises is logged.
    """
    acme.plugin("bad", "def close(self): raise OSError('jammed')", group="acme.views")

    async def main(host):
        async with host.session(ADA) as session:
            await session.registry("views").aget("bad")
            raise LookupError("mine")

    with acme.host() as host:
        with pytest.raises(LookupError, match="mine"), host.session(ADA) as session:
            session.registry("views").get("bad")
            raise LookupError("mine")
        with pytest.raises(LookupError, match="mine"):
            asyncio.run(main(host))

    assert caplog.text.count("OSError: jammed") == 2


def test_a_cancelled_end_is_an_end(acme):
    """
    Who is cancelled while a session closes is so when all of it is closed.
    """
    acme.plugin(
        "slow",
        "async def aclose(self):\n    log.append('closing')\n"
        "    while not gate.is_set(): await asyncio.sleep(0)\n    log.append('closed')",
        group="acme.views",
    )
    acme.plugin("fast", "def close(self): log.append('fast')", group="acme.views")

    async def main():
        async with acme.host() as host:
            session = host.session(ADA)
            for key in ("fast", "slow"):
                await session.registry("views").aget(key)
            task = asyncio.create_task(session.aclose())
            while not acme.log:  # noqa: ASYNC110 - no event tells it
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.sleep(0)
            acme.gate.set()
            await asyncio.wait({task})
            return task.cancelled()

    assert asyncio.run(main())
    assert acme.log == ["closing", "closed", "fast"]


def test_what_fails_is_tried_again(acme):
    """
    A constructor that failed for a user is called again at the next get, and the status says how it went.
    """
    acme.plugin(
        "shy", "def __init__(self):\n    if not gate.is_set(): raise OSError('not yet')", group="acme.views"
    )
    with acme.host() as host, host.session(ADA) as session:
        views = session.registry("views")
        with pytest.raises(PluginError, match="not yet"):
            views.get("shy")
        before = acme.state(host, "views/shy")
        acme.gate.set()
        views["shy"].do()
        after = acme.state(host, "views/shy")

    assert (before.state, before.reason) == ("loaded", "failed construction")
    assert (after.state, after.reason, after.error) == ("loaded", "", "")


def test_a_restart_that_is_required_stays_said(acme):
    """
    A plugin whose registry is frozen cannot follow its upgrade and says so, also when it fails for a user.
    """
    acme.plugin("view", "def __init__(self):\n    if gate.is_set(): raise OSError('now')", group="acme.views")
    with acme.host() as host:
        host.registry("views").get("view", ADA)
        host.registry("views").freeze()
        acme.plugin("view", version="2.0", group="acme.views")
        host.refresh()
        acme.gate.set()
        with pytest.raises(PluginError, match="now"):
            host.registry("views").get("view", ADA)
        status = acme.state(host, "views/view")

    assert status.reason == "restart required"
    assert "now" in status.error
