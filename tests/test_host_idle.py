"""Users who are idle: what their sessions hold is closed, and made anew when they come back."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

import hotplug
from acting import Doing, until
from hotplug import UserExecutionContext
from hotplug.errors import HostError, NotRegisteredError

ADA = UserExecutionContext("ada")
NAMED = "def __init__(self): log.append(('made', self))\ndef close(self): log.append(('closed', self))"
ALWAYS, NEVER = float("inf"), float("-inf")

pytestmark = pytest.mark.usefixtures("nothing_left", "brief_absence")


def wait_for(condition) -> None:
    """Wait until *condition* is true."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.001)


@pytest.fixture
def views(acme):
    """A host with two things that each user has an own one of, and one that all share."""
    acme.plugin("one", NAMED, group="acme.views")
    acme.plugin("two", NAMED, group="acme.views")
    acme.plugin("shared", NAMED)
    with acme.host() as host:
        yield host


def told(acme) -> list[str]:
    return [what for what, _ in acme.log]


def test_what_is_idle_is_closed_and_made_anew(acme, views):
    """
    A user's things are closed newest first, with nobody waiting for it; the next `get` gives a new one.
    """
    with views.session(ADA) as session:
        one, two = (session.registry("views").get(key) for key in ("one", "two"))
        assert session.close_idle(ALWAYS) == []
        assert acme.log[2:] == [("closed", two), ("closed", one)]

        again = session.registry("views").get("one")
        assert again is not one
        assert again is session.registry("views").get("one")
    assert acme.log[-1] == ("closed", again)
    assert told(acme).count("closed") == 3


def test_who_has_just_used_something_is_not_idle(acme, views):
    """
    Whoever has asked for anything lately keeps all that he has.
    """
    with views.session(ADA) as session:
        session.registry("views").get("one")
        before = time.monotonic()
        session.registry("views").get("two")

        assert session.close_idle(before) == []
        assert told(acme) == ["made", "made"]


def test_what_is_leased_is_not_idle(acme, views):
    """
    Until the end of a lease nothing of the user is closed, however long that takes; afterwards it may be.
    """
    with views.session(ADA) as session:
        session.registry("views").get("two")
        with session.registry("views").lease("one") as one:
            session.close_idle(ALWAYS)
            assert told(acme) == ["made", "made"]
            assert one is session.registry("views").get("one")
        session.close_idle(NEVER)
        assert told(acme) == ["made", "made"]
        session.close_idle(ALWAYS)
        assert told(acme)[2:] == ["closed", "closed"]


def test_a_lease_that_was_never_entered_holds_nothing(acme, views):
    """
    Who is cut off between asking for a lease and entering it keeps nobody's things for ever.
    """
    with views.session(ADA) as session:
        session.registry("views").lease("one")
        session.close_idle(ALWAYS)
        assert told(acme) == ["made", "closed"]


def test_what_is_shared_is_not_the_users_to_close(acme, views):
    """
    A user who is idle takes nothing from the others, and keeps to the generation of it that he began with.
    """
    with views.session(ADA) as session:
        shared = session.registry("things").get("shared")
        session.close_idle(ALWAYS)
        acme.plugin("shared", NAMED, version="2.0")
        views.refresh()
        assert session.registry("things").get("shared") is shared
        assert "closed" not in told(acme)


def test_a_session_that_is_closed_has_nothing_to_close(acme, views):
    """
    What a session closed at its end is not closed again.
    """
    session = views.session(ADA)
    session.registry("views").get("one")
    session.close()
    session.close_idle(ALWAYS)

    assert told(acme) == ["made", "closed"]


def test_what_was_removed_meanwhile_does_not_come_back(acme, views):
    """
    An idle user does not keep the generation that he began with: what was uninstalled is gone for him then.
    """
    with views.session(ADA) as session:
        session.registry("views").get("one")
        acme.environment.uninstall("acme-one")
        views.refresh()
        assert session.registry("views").get("one")
        session.close_idle(ALWAYS)
        with pytest.raises(NotRegisteredError):
            session.registry("views").get("one")


def test_what_was_closed_under_a_session_does_not_come_in_its_way(acme):
    """
    A thing whose generation was closed all the same gives way to a new one, which may be idle like any other.
    """
    acme.plugin("one", NAMED, group="acme.views")
    with acme.host("[host]\ndrain_timeout = 0.05") as host, host.session(ADA) as session:
        first = session.registry("views").get("one")
        acme.plugin("one", NAMED, version="2.0", group="acme.views")
        host.refresh()
        wait_for(lambda: session.registry("views").get("one") is not first)
        second = session.registry("views").get("one")
        session.close_idle(ALWAYS)

        assert ("closed", second) in acme.log
        assert session.registry("views").get("one") not in (first, second)


# -- by itself ---------------------------------------------------------------------------------------


def test_a_host_looks_by_itself(acme):
    """
    With ``idle_timeout`` a host closes what is idle; a session that goes on finds a new one.
    """
    acme.plugin("one", NAMED, group="acme.views")
    with acme.host("[host]\nidle_timeout = 0.01") as host, host.session(ADA) as session:
        for times in (1, 2):
            session.registry("views").get("one")
            wait_for(lambda times=times: told(acme) == ["made", "closed"] * times)


def test_without_a_limit_nobody_looks(acme, views):
    """
    Nothing is closed behind anybody's back unless the configuration says when, and there is no thread for it.
    """
    with views.session(ADA) as session:
        session.registry("views").get("one")

        assert "hotplug idle" not in {thread.name for thread in threading.enumerate()}


def test_the_limit_follows_the_configuration(acme):
    """
    Another limit counts as soon as it is in force, none included.
    """
    acme.plugin("one", NAMED, group="acme.views")
    with acme.host() as host, host.session(ADA) as session:
        session.registry("views").get("one")
        host.apply(acme.parse("[host]\nidle_timeout = 3600"))
        host.apply(acme.parse("[host]\nidle_timeout = 0.01"))
        wait_for(lambda: told(acme) == ["made", "closed"])
        host.apply(acme.parse(""))
        wait_for(lambda: "hotplug idle" not in {thread.name for thread in threading.enumerate()})
        session.registry("views").get("one")

        assert told(acme) == ["made", "closed", "made"]


def test_what_closing_raises_is_logged(acme, caplog):
    """
    One that does not close well keeps nobody from closing the others.
    """
    acme.plugin("bad", "def close(self): raise OSError('jammed')", group="acme.views")
    acme.plugin("one", NAMED, group="acme.views")
    with acme.host("[host]\nidle_timeout = 0.01") as host, host.session(ADA) as session:
        with session.registry("views").lease("one"):
            session.registry("views").get("bad")
        wait_for(lambda: told(acme) == ["made", "closed"] and "jammed" in caplog.text)


def test_a_host_that_closes_waits_for_what_is_being_closed(acme):
    """
    A close that is under way when the host closes is over before that is.
    """
    acme.plugin(
        "slow",
        "async def aclose(self):\n    log.append('closing')\n"
        "    while not gate.is_set(): await asyncio.sleep(0)\n    log.append('closed')",
        group="acme.views",
    )
    host = acme.host("[host]\nidle_timeout = 0.01")
    host.start()
    host.session(ADA).registry("views").get("slow")
    wait_for(lambda: acme.log)
    closing = threading.Thread(target=host.close)
    closing.start()
    wait_for(lambda: host.is_closed)
    assert acme.log == ["closing"]
    acme.gate.set()
    closing.join(10)

    assert acme.log == ["closing", "closed"]


# -- never while in use ------------------------------------------------------------------------------


def test_an_agent_that_runs_is_not_idle(acme):
    """
    A session's agent is not closed under its run, though that takes longer than the limit; afterwards it is.
    """
    began, gate, closed = threading.Event(), threading.Event(), threading.Event()

    class Closing(Doing):
        def close(self) -> None:
            closed.set()

    async def work(task, run):
        began.set()
        await until(gate.is_set)
        return closed.is_set()

    def during() -> None:
        assert began.wait(10)
        session.close_idle(ALWAYS)
        gate.set()

    config = hotplug.Config.parse("[host]\nidle_timeout = 0.01")
    with hotplug.Host(config, path=[], cache=False) as host:
        host.agents.register_factory("doing", lambda _: Closing(work))
        with host.session(ADA) as session:
            beside = threading.Thread(target=during)
            beside.start()
            assert asyncio.run(host.agents.run("doing", None, ADA)) is False
            beside.join()
            assert closed.wait(10)
            closed.clear()
            assert asyncio.run(host.agents.run("doing", None, ADA)) is False


@pytest.mark.usefixtures("eager_threads")
def test_nothing_is_closed_while_it_is_in_use(acme):
    """
    While one thread closes what is idle without a break, eight others never see their thing closed in use.
    """
    acme.plugin(
        "one",
        "closed = False\ndef do(self): return 'closed' if self.closed else 'open'\n"
        "def close(self): self.closed = True",
        group="acme.views",
    )
    seen, over = set(), threading.Event()

    def use() -> None:
        for _ in range(40):
            with session.registry("views").lease("one") as one:
                seen.update((one.do(), one.do()))

    def close() -> None:
        while not over.is_set():
            session.close_idle(ALWAYS)

    with acme.host() as host, host.session(ADA) as session:
        users = [threading.Thread(target=use) for _ in range(8)]
        closing = threading.Thread(target=close)
        for thread in (closing, *users):
            thread.start()
        for thread in users:
            thread.join(20)
        over.set()
        closing.join(10)

    assert seen == {"open"}


def test_what_went_while_it_was_asked_for_is_made_again(acme, views):
    """
    Closed between the asking and the answer, a thing is made anew; in a closed session it is refused.
    """
    session = views.session(ADA)
    first = session.registry("views").get("one")
    original = session._obtain

    def once(name, key):
        session._obtain = original
        held = original(name, key)
        session.close_idle(ALWAYS)
        return held

    session._obtain = once
    assert session.registry("views").get("one") is not first

    def at_the_end(name, key):
        session._obtain = original
        held = original(name, key)
        session.close()
        return held

    session._obtain = at_the_end
    with pytest.raises(HostError, match="closed"):
        session.registry("views").get("one")
