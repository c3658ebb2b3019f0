"""Services in a host: in order and back, hot, and asked how they are."""

from __future__ import annotations

import asyncio
import threading

import pytest

import hotplug
from hot import Hot, hots, until
from hotplug import Health, Host
from hotplug.services import Service
from hotplug.services import _checks as checks

pytestmark = pytest.mark.usefixtures("nothing_left")

CODE = """
import asyncio, threading, time
from acme_contract import log, gate
from hotplug import Health, Service

class Plain(Service):
    requires = {requires!r}
    async def start(self):
        {starting}
        log.append("start {name}")
    async def stop(self):
        {stopping}
        log.append("stop {name}")
    async def health(self):
        {saying}
"""
FINE = "return Health('healthy')"


@pytest.fixture
def hot(acme, tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "BEAT", 0.005)
    monkeypatch.setattr(checks, "GRACE", 0.05)
    yield from hots(acme, tmp_path)


def service(
    hot: Hot,
    name: str,
    *,
    version: str = "1.0",
    requires: tuple[str, ...] = (),
    starting: str = "pass",
    stopping: str = "pass",
    saying: str = FINE,
    mark: str = "",
) -> None:
    """A distribution ``acme-NAME`` with one service, which says what is done to it, as *mark* or by name."""
    code = CODE.format(
        name=mark or name, requires=requires, starting=starting, stopping=stopping, saying=saying
    )
    hot.install(
        f"acme-{name}",
        version,
        files={f"acme_{name}.py": code},
        **{"hotplug.services": {name: f"acme_{name}:Plain"}},
    )


def host_of(hot: Hot, *names: str, config: str = "") -> Host:
    tables = "".join(f"[services.{name}]\n" for name in names)
    host = hot.host(config + tables, kinds=hotplug.KINDS)
    host.services.check_interval = 0.01
    return host


def health_of(host: Host, name: str) -> Health | None:
    return host.services.health().details["checks"].get(name)


def becomes(host: Host, name: str, status: str) -> Health:
    until(lambda: (said := health_of(host, name)) and said.status == status, f"{name} never {status}")
    said = health_of(host, name)
    assert said is not None
    return said


# -- order -------------------------------------------------------------------------------------------


def test_who_needs_what_failed_is_not_started_and_says_why(hot):
    """
    A service that does not start is stopped, all that need it say so, the rest run; the end is the reverse.
    """
    service(hot, "web", requires=("db", "cache"))
    service(hot, "page", requires=("web",))
    service(hot, "db", starting="raise OSError('no disk')")
    service(hot, "cache")
    service(hot, "log", requires=("cache",))
    with host_of(hot, "page", "log") as host:
        errors = {status.name: status.error for status in host.plugins}
        assert sorted(hot.log) == ["start cache", "start log", "stop db"]
        assert "start raised OSError: no disk" in errors["services/db"]
        assert "it requires services/db, which failed" in errors["services/web"]
        assert "it requires services/web, which failed" in errors["services/page"]
        assert host.health().status == "degraded"
    assert hot.log[-2:] == ["stop log", "stop cache"]


def test_a_circle_is_named_with_its_owners(hot):
    """
    Services that require each other each say by way of whom, and of which distribution those are.
    """
    service(hot, "a", requires=("b",))
    service(hot, "b", requires=("a",))
    with host_of(hot, "a") as host:
        for name in ("services/a", "services/b"):
            error = hot.status(host, name).error
            assert "services/a (acme-a)" in error
            assert "services/b (acme-b)" in error
            assert "requires itself by way of" in error
    assert hot.log == []


def test_what_the_application_registered_is_there(hot):
    """
    A plugin's service may require one that the application registered, which runs it (or it runs elsewhere).
    """
    service(hot, "web", requires=("api",))
    host = host_of(hot, "web")
    host.services.register_service("api", "http://127.0.0.1:1")
    with host:
        assert hot.status(host, "services/web").state == "loaded"
        assert hot.log == ["start web"]


def test_what_is_not_there_is_explained(hot):
    """
    A requirement that is disabled is named with that reason; one that was mistyped, with what was meant.
    """
    service(hot, "web", requires=("db",))
    service(hot, "db")
    service(hot, "page", requires=("wep",))
    with host_of(hot, "web", "page", config="[plugins]\ndisable = ['services/db']\n") as host:
        status = hot.status(host, "services/web")
        assert "it requires services/db, which is not there" in status.error
        assert "services/db from acme-db 1.0 is disabled" in status.remedy
        assert "did you mean 'services/web'?" in hot.status(host, "services/page").remedy


def test_a_start_that_hangs_is_cut_off_and_undone(hot):
    """
    A service that does not start in time is cancelled and stopped; the others start meanwhile.
    """
    service(hot, "slow", starting="await asyncio.Event().wait()")
    service(hot, "fine")
    with host_of(hot, "slow", "fine", config="[host]\nload_timeout = 0.05\n") as host:
        assert hot.status(host, "services/slow").state == "failed"
        assert hot.log == ["start fine", "stop slow"]


def test_what_cannot_be_undone_is_logged(hot, caplog):
    """
    If stopping after a failed start fails too, the first error counts, and the log has the second.
    """
    service(hot, "bad", starting="raise OSError('first')", stopping="raise OSError('second')")
    with host_of(hot, "bad") as host:
        assert "first" in hot.status(host, "services/bad").error
        assert "what services/bad had begun may go on" in caplog.text
        assert "second" in caplog.text


def test_what_starts_in_a_thread_that_hangs_is_not_stopped_beside_it(hot):
    """
    A plain start that never comes back is left alone: nobody stops what is just being started.
    """
    body = "def start(self): gate.wait(20)\ndef stop(self): log.append('stop')"
    hot.acme.plugin("a", body, group="acme.engines")
    with hot.host("[host]\nload_timeout = 0.05\n[engines.a]\n") as host:
        assert hot.status(host, "engines/a").state == "timed_out"
        hot.acme.gate.set()
    assert hot.log == []


@pytest.mark.parametrize("stopping", ["raise OSError('jammed')", "await asyncio.Event().wait()"])
def test_one_that_does_not_stop_keeps_no_other(hot, stopping):
    """
    Stopping one may fail or hang: all others are stopped, in order, and the report names that one.
    """
    service(hot, "a")
    service(hot, "b", requires=("a",), stopping=stopping)
    service(hot, "c", requires=("b",))
    host = host_of(hot, "c", config="[host]\ndrain_timeout = 0.05\n")
    host.start()
    report = host.close()
    assert hot.log[3:] == ["stop c", "stop a"]
    assert [error.record.name for error in report.errors] == ["b"]


# -- hot ---------------------------------------------------------------------------------------------


def test_a_replaced_one_is_stopped_after_what_needs_it(hot):
    """
    The next generation starts before the old one stops, and in the end it stops after those that need it.
    """
    service(hot, "db")
    service(hot, "web", requires=("db",))
    with host_of(hot, "web") as host:
        service(hot, "db", version="2.0", mark="db2")
        assert host.refresh().changed == ("services/db",)
        assert hot.log == ["start db", "start web", "start db2", "stop db"]
    assert hot.log[-2:] == ["stop web", "stop db2"]


def test_a_replaced_one_keeps_its_place(hot):
    """
    After a reload things stop in the same order as without: the reverse of that in which they came.
    """
    service(hot, "a")
    service(hot, "b")
    service(hot, "c")
    with host_of(hot, "a", "b", "c") as host:
        service(hot, "b", version="2.0", mark="b2")
        host.refresh()
    assert hot.log[-3:] == ["stop c", "stop b2", "stop a"]


def test_a_new_requirement_is_stopped_after_who_needs_it(hot):
    """
    What a next generation requires besides is started before it, and stopped after it.
    """
    service(hot, "db")
    service(hot, "web", requires=("db",))
    with host_of(hot, "web") as host:
        service(hot, "cache")
        service(hot, "db", version="2.0", mark="db2", requires=("cache",))
        host.refresh()
        assert hot.log[2:] == ["start cache", "start db2", "stop db"]
    assert hot.log[-3:] == ["stop web", "stop db2", "stop cache"]


def test_who_goes_with_what_it_needs_goes_first(hot):
    """
    Services that a configuration drops together stop in the order in which they need each other.
    """
    service(hot, "db")
    service(hot, "web", requires=("db",))
    service(hot, "db", version="1.1")
    with host_of(hot, "db", "web") as host:
        service(hot, "db", version="2.0", mark="db2")
        host.refresh()
        hot.log.clear()
        host.apply(hotplug.Config.parse("[plugins]\ndisable = ['services/*']"))
        assert hot.log == ["stop web", "stop db2"]


def test_a_service_that_does_not_start_again_serves_on(hot):
    """
    If the next generation cannot start, it is stopped, and the one that runs is asked how it is as ever.
    """
    service(hot, "a", saying="return Health('degraded', ('old',))")
    with host_of(hot, "a") as host:
        becomes(host, "a", "degraded")
        service(hot, "a", version="2.0", mark="a2", starting="raise OSError('no')")
        assert host.refresh().failed == ("services/a",)
        assert hot.log == ["start a", "stop a2"]
        asked = becomes(host, "a", "degraded").checked_at
        until(lambda: becomes(host, "a", "degraded").checked_at != asked)


def test_who_runs_without_what_it_needs_is_told_of(hot):
    """
    What runs runs on when what it requires is taken away, and the host's health says so until that is back.
    """
    service(hot, "db")
    service(hot, "web", requires=("db",))
    with host_of(hot, "db", "web") as host:
        host.apply(hotplug.Config.parse("[plugins]\ndisable = ['services/db']\n[services.web]"))
        health = host.health()
        assert health.status == "degraded"
        assert "services/web: requires services/db, which is not there any more" in health.issues
        assert hot.log == ["start db", "start web", "stop db"]

        host.apply(hotplug.Config.parse("[services.db]\n[services.web]"))
        assert host.health().status == "healthy"
        assert hot.log[3:] == ["start db"]


# -- health ------------------------------------------------------------------------------------------


def test_what_runs_is_asked_and_the_host_is_as_ill_as_the_worst(hot):
    """
    Services that run are asked in the background; the host's health is the worst, and `health` asks nobody.
    """
    service(hot, "fine", saying="log.append('asked'); return Health('healthy')")
    service(hot, "slow", saying="return Health('degraded', ('queue is long',))")
    service(hot, "hung", saying="await asyncio.Event().wait()")
    host = host_of(hot, "fine", "slow", "hung")
    host.services.check_deadline = 0.05
    with host:
        becomes(host, "fine", "healthy")
        becomes(host, "slow", "degraded")
        becomes(host, "hung", "unhealthy")

        health = host.health()
        assert health.status == "unhealthy"
        assert "services: services/slow: queue is long" in health.issues
        assert "services: services/hung: health() did not answer within 0.05 s" in health.issues
        asked = hot.log.count("asked")
        until(lambda: hot.log.count("asked") > asked + 2)


def test_what_does_not_run_is_not_asked(hot):
    """
    A plugin's service that nobody started is not asked how it is, though somebody has got it.
    """
    service(hot, "idle", saying="return Health('unhealthy', ('not started',))")
    service(hot, "fine")
    with host_of(hot, "fine", config="[services.idle]\nautostart = false\n") as host:
        host.services.get("idle")
        asked = becomes(host, "fine", "healthy").checked_at
        until(lambda: becomes(host, "fine", "healthy").checked_at != asked)
        assert health_of(host, "idle") is None
        assert host.health().status == "healthy"


def test_the_applications_own_are_asked(hot):
    """
    What the application registered is asked, before and after the host started, until it is taken back.
    """

    class Own(Service):
        async def start(self) -> None: ...
        async def stop(self) -> None: ...
        async def health(self) -> Health:
            return Health("degraded", (threading.current_thread().name,))

    host = host_of(hot)
    host.services.register("before", Own())
    with host:
        assert becomes(host, "before", "degraded").issues == ("hotplug home",)
        undo = host.services.register("after", Own())
        becomes(host, "after", "degraded")
        undo()
        until(lambda: health_of(host, "after") is None)
    assert host.services.health().details["checks"] == {}


def test_nobody_is_asked_while_being_stopped(hot):
    """
    A question under way has ended before the service is stopped: one thing at a time is done to it.
    """
    saying = "log.append('asked')\n        try:\n            await asyncio.Event().wait()\n"
    saying += "        finally:\n            log.append('no answer')"
    service(hot, "a", saying=saying)
    with host_of(hot, "a") as host:
        until(lambda: "asked" in hot.log)
        host.apply(hotplug.Config.parse("[plugins]\ndisable = ['services/*']"))
        assert hot.log == ["start a", "asked", "no answer", "stop a"]


def test_the_next_generation_is_asked_instead(hot):
    """
    After a reload it is the new service that says how it is, and what the old one said is forgotten.
    """
    service(hot, "a", saying="return Health('unhealthy', ('old',))")
    with host_of(hot, "a") as host:
        becomes(host, "a", "unhealthy")
        service(hot, "a", version="2.0")
        host.refresh()
        assert "last_error" not in becomes(host, "a", "healthy").details
        assert host.health().status == "healthy"


def test_an_error_of_a_check_tells_no_secret(hot, monkeypatch):
    """
    A health check that quotes the secret that its plugin was given does not get it into the health.
    """
    monkeypatch.setenv("TESTS_TOKEN", "open-sesame-42")
    code = CODE.format(
        name="a", requires=(), starting="pass", stopping="pass", saying="raise OSError(f'bad {self.token}')"
    )
    code += "    def __init__(self, *, token: str = ''): self.token = token\n"
    hot.install("acme-a", files={"acme_a.py": code}, **{"hotplug.services": {"a": "acme_a:Plain"}})
    with host_of(hot, "a", config="[services.a.settings]\ntoken = { env = 'TESTS_TOKEN' }\n") as host:
        assert becomes(host, "a", "unhealthy").issues == ("health() raised OSError: bad ***",)
        assert "open-sesame" not in repr(host.health())


def test_a_blocked_loop_delays_neither_health_nor_close(hot, monkeypatch):
    """
    A check that keeps the home loop for itself is named at once, and closing does not wait for it for ever.
    """
    monkeypatch.setattr(checks, "LAG", 0.05)
    service(hot, "bad", saying="gate.wait(20); return Health('healthy')")
    host = host_of(hot, "bad", config="[host]\ndrain_timeout = 0.05\n")
    with host:
        until(lambda: any("being asked: bad" in issue for issue in host.health().issues))
        assert host.health().status == "degraded"
        monkeypatch.setattr("hotplug._host._running.TURN", 0.05)
        monkeypatch.setattr("hotplug._host._gateways.TURN", 0.05)
        monkeypatch.setattr("hotplug._lifecycle.END_LIMIT", 0.05)
        threading.Timer(0.3, hot.acme.gate.set).start()
        report = host.close()
    assert any("blocks the event loop of 'hotplug home'" in str(error.remedy) for error in report.errors)


def test_async_with_asks_on_the_running_loop(hot):
    """
    In `async with`, services are asked on the application's loop, and no task is left there.
    """
    service(hot, "a", saying="return Health('degraded', (threading.current_thread().name,))")

    async def main() -> tuple[Health, set[object]]:
        before = asyncio.all_tasks()
        async with host_of(hot, "a") as host:
            said = await asyncio.to_thread(becomes, host, "a", "degraded")
        return said, asyncio.all_tasks() - before

    said, left = asyncio.run(main())
    assert said.issues == ("MainThread",)
    assert left == set()


def test_a_host_without_services_asks_nobody(hot):
    """
    Where the application knows no such kind, there is nothing to ask.
    """
    with hot.host("") as host:
        assert host.health().status == "healthy"


@pytest.mark.parametrize(
    ("answer", "text"), [("1 // 0", "raised ZeroDivisionError"), ("'fine'", "gave str")], ids=str
)
def test_a_registry_that_cannot_say_how_it_is_is_unhealthy(answer, text):
    """
    A kind may have a registry of its own; one whose `health` raises or lies is unhealthy, not an error.
    """

    class Odd(hotplug.UniversalRegistry[object]):
        def health(self) -> Health:
            return eval(answer)

    with Host(kinds=[hotplug.Kind("odds", object, registry=Odd)], path=[], cache=False) as host:
        health = host.health()

    assert health.status == "unhealthy"
    assert text in health.issues[0]
