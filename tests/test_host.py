"""The host: what an application sees of its plugins."""

from __future__ import annotations

import abc
import asyncio
import sys
import threading

import pytest

import hotplug
from hotplug import Host, Kind, Scope, UserExecutionContext
from hotplug.errors import (
    ContractError,
    HostError,
    MissingDependencyError,
    NotRegisteredError,
    PluginContractError,
    PluginError,
    PluginImportError,
    PluginTimeoutError,
    SettingsError,
    StartError,
)

pytestmark = pytest.mark.usefixtures("brief_absence")


class Exporter(abc.ABC):
    """A contract of the application's own."""

    @abc.abstractmethod
    def export(self, text: str) -> str: ...


EXPORTERS = Kind("exporters", Exporter, group="acme.exporters")
VIEWERS = Kind("viewers", Exporter, group="acme.viewers", scope=Scope.USER)
ADA = UserExecutionContext("ada")
GRACE = UserExecutionContext("grace")

PLAIN = """
from tests_contract import Exporter

class Plain(Exporter):
    def export(self, text):
        return text
"""


@pytest.fixture
def world(environment, monkeypatch):
    """An environment whose plugins can import the contract, and install ones for it."""
    contract = type(sys)("tests_contract")
    contract.Exporter = Exporter
    monkeypatch.setitem(sys.modules, "tests_contract", contract)

    def install(name, code=PLAIN, *, value=None, group="acme.exporters", key=None, **facts):
        module = name.replace("-", "_")
        facts.setdefault("version", "1.0")
        return environment.install(
            f"acme-{name}",
            advertises={group: {key or name: f"{module}:{value or 'Plain'}"}},
            files={f"{module}.py": code},
            **facts,
        )

    environment.plugin = install
    environment.host = lambda config=None, **options: Host(
        hotplug.Config.parse(config) if isinstance(config, str) else config,
        kinds=[EXPORTERS, VIEWERS],
        path=environment.path,
        cache=False,
        **options,
    )
    return environment


def status_of(host, name):
    [status] = [status for status in host.plugins if status.name == name]
    return status


def test_install_a_plugin_and_it_is_there(world):
    """
    An installed plugin is listed before it is imported, and loaded when it is first got.
    """
    world.plugin("plain")

    with world.host() as host:
        before = status_of(host, "exporters/plain")
        exporter = host.registry(EXPORTERS).get("plain")
        after = status_of(host, "exporters/plain")

    assert (before.state, after.state) == ("discovered", "loaded")
    assert str(before.record) == "exporters/plain from acme-plain 1.0"
    assert exporter.export("x") == "x"
    assert after.load_seconds is not None and after.generation == 1


def test_nothing_is_imported_before_it_is_used(world):
    """
    A host starts without importing a plugin that nobody asked for.
    """
    world.plugin("plain", "raise SystemExit('imported!')")

    with world.host() as host:
        assert "plain" in host.registry("exporters")
        assert "plain" not in sys.modules


def test_shared_objects_are_made_once(world):
    """
    Every user gets the same object of a shared kind.
    """
    world.plugin("plain")

    with world.host() as host:
        exporters = host.registry(EXPORTERS)

        assert exporters.get("plain", ADA) is exporters["plain"]
        assert exporters.entries()[0].sort == "lazy"


def test_user_kinds_make_one_for_each_get(world):
    """
    A plugin of a user kind stands as a factory: each get makes a new object, for a user.
    """
    world.plugin("plain", group="acme.viewers")

    with world.host() as host:
        viewers = host.registry(VIEWERS)
        first, second = viewers.get("plain", ADA), viewers.get("plain", ADA)

        assert first is not second
        assert viewers.entries()[0].sort == "factory"
        with pytest.raises(hotplug.ContextRequiredError):
            viewers.get("plain")


@pytest.mark.parametrize(
    ("code", "value"),
    [
        (PLAIN, "Plain"),
        (PLAIN + "\nready = Plain()", "ready"),
        (PLAIN + "\ndef make():\n    return Plain()", "make"),
        (PLAIN + "\nclass Box:\n    inner = Plain", "Box.inner"),
    ],
    ids=["class", "instance", "callable", "nested"],
)
def test_what_an_entry_point_may_name(world, code, value):
    """
    An entry point names a class of the contract, an object of it, or what makes one.
    """
    world.plugin("plain", code, value=value)

    with world.host() as host:
        assert isinstance(host.registry(EXPORTERS)["plain"], Exporter)


def test_an_instance_cannot_be_of_a_user_kind(world):
    """
    One object cannot be each user's own.
    """
    world.plugin("plain", PLAIN + "\nready = Plain()", value="ready", group="acme.viewers")

    with world.host() as host, pytest.raises(ContractError, match="made for each user"):
        host.registry(VIEWERS).get("plain", ADA)


# -- the wall --------------------------------------------------------------------------------------

FAULTS = {
    "raises": ("raise RuntimeError('boom')", PluginImportError, "failed import", "boom"),
    "exits": ("raise SystemExit(3)", PluginImportError, "failed import", "SystemExit"),
    "recurses": ("def f(): f()\nf()", PluginImportError, "failed import", "RecursionError"),
    "syntax": ("def (", PluginImportError, "failed import", "SyntaxError"),
    "strange": (
        "class Odd(BaseException): pass\nraise Odd('odd')",
        PluginError,
        "failed import",
        "odd",
    ),
    "speechless": (
        "class Mute(Exception):\n    def __str__(self): raise ValueError\nraise Mute",
        PluginImportError,
        "failed import",
        "Mute",
    ),
    "needs more": ("import no_such_module_anywhere", MissingDependencyError, "missing dependency", "no_such"),
    "bad name": ("from os import nothing_like_that", PluginImportError, "failed import", "nothing_like"),
    "nothing there": ("x = 1", PluginImportError, "failed import", "'Plain'"),
    "wrong type": ("Plain = 42", PluginContractError, "contract mismatch", "type int"),
    "wrong class": ("class Plain: pass", PluginContractError, "contract mismatch", "export"),
    "wrong product": ("def Plain(): return 'text'", PluginContractError, "contract mismatch", "type str"),
    "wrong arity": (
        PLAIN.replace("self, text", "self"),
        PluginContractError,
        "contract mismatch",
        "export",
    ),
    "wrong colour": (
        PLAIN.replace("def export", "async def export"),
        PluginContractError,
        "contract mismatch",
        "coroutine",
    ),
    "abstract": (
        "from tests_contract import Exporter\nclass Plain(Exporter): pass",
        PluginContractError,
        "contract mismatch",
        "export",
    ),
    "constructor": (
        PLAIN + "    def __init__(self): raise OSError('no disk')",
        PluginError,
        "failed construction",
        "no disk",
    ),
    "constructor exits": (
        PLAIN + "    def __init__(self): raise SystemExit",
        PluginError,
        "failed construction",
        "SystemExit",
    ),
    "needs settings": (
        PLAIN + "    def __init__(self, *, url: str): ...",
        SettingsError,
        "settings",
        "url",
    ),
    "wants a user": (
        PLAIN + "    def __init__(self, who: 'UserExecutionContext'): ...\n"
        "from hotplug import UserExecutionContext",
        PluginContractError,
        "contract mismatch",
        "shared between users",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_one_plugin_cannot_break_another(world, fault):
    """
    Whatever a plugin does, it becomes its own error and status, and the others work.
    """
    code, error, reason, text = FAULTS[fault]
    world.plugin("bad", code)
    world.plugin("good")

    with world.host() as host:
        exporters = host.registry(EXPORTERS)
        with pytest.raises(error, match=r"(?s)exporters/bad from acme-bad 1\.0.*" + text) as caught:
            exporters.get("bad")
        status = status_of(host, "exporters/bad")

        assert isinstance(exporters["good"], Exporter)
        assert (status.state, status.reason) == ("failed", reason)
        assert status.remedy
        assert text in status.error
        assert (caught.value.distribution, caught.value.version) == ("acme-bad", "1.0")


def test_errors_are_chained(world):
    """
    The plugin's own exception is the cause of the error that the application sees.
    """
    world.plugin("bad", "raise ZeroDivisionError('x')")

    with world.host() as host, pytest.raises(PluginError) as caught:
        host.registry(EXPORTERS).get("bad")

    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_keyboard_interrupt_is_the_users(world):
    """
    Ctrl-C is no fault of a plugin, and goes through the wall.
    """
    world.plugin("plain", "raise KeyboardInterrupt")

    with world.host() as host, pytest.raises(KeyboardInterrupt):
        host.registry(EXPORTERS).get("plain")


def test_a_failed_load_is_tried_again(world):
    """
    What failed for a passing reason works at the next get, and its status says so.
    """
    world.plugin("flaky", "import os\nif not os.environ.get('READY'): raise OSError('not yet')\n" + PLAIN)

    with world.host() as host, pytest.MonkeyPatch.context() as patch:
        with pytest.raises(PluginImportError):
            host.registry(EXPORTERS).get("flaky")
        patch.setenv("READY", "1")

        assert isinstance(host.registry(EXPORTERS).get("flaky"), Exporter)
        assert status_of(host, "exporters/flaky").state == "loaded"
        assert status_of(host, "exporters/flaky").error == ""


def test_a_hanging_import_times_out(world):
    """
    An import that does not return is given up, not tried again, and named in the status.
    """
    gate = threading.Event()
    sys.modules["tests_gate"] = type(sys)("tests_gate")
    sys.modules["tests_gate"].gate = gate
    world.plugin("slow", "from tests_gate import gate\ngate.wait(20)\n" + PLAIN)
    world.plugin("good")

    try:
        with world.host("[host]\nload_timeout = 0.3") as host:
            exporters = host.registry(EXPORTERS)
            with pytest.raises(PluginTimeoutError, match=r"0\.3 s"):
                exporters.get("slow")
            gate.set()
            with pytest.raises(PluginTimeoutError):
                exporters.get("slow")

            assert status_of(host, "exporters/slow").state == "timed_out"
            assert isinstance(exporters["good"], Exporter)
    finally:
        gate.set()
        del sys.modules["tests_gate"]


def test_a_plugin_that_needs_itself(world):
    """
    A constructor that asks for its own key fails at once, although it runs in another thread.
    """
    world.plugin(
        "snake",
        PLAIN + "    def __init__(self, host: 'PluginContext'): host.registries['exporters']['snake']\n"
        "from hotplug import PluginContext",
    )

    with world.host() as host, pytest.raises(PluginError, match="circular"):
        host.registry(EXPORTERS).get("snake")


# -- policy ----------------------------------------------------------------------------------------


def test_disabled_plugins_are_never_imported(world):
    """
    A disabled plugin is listed with its reason, and its code is not run.
    """
    world.plugin("bomb", "raise SystemExit")

    with world.host('[plugins]\ndisable = ["exporters/bomb"]') as host:
        status = status_of(host, "exporters/bomb")
        with pytest.raises(NotRegisteredError, match="disabled"):
            host.registry(EXPORTERS).get("bomb")

    assert (status.state, status.reason) == ("disabled", "disabled")


def test_only_allowed_distributions_run(world):
    """
    With an allow list, every other distribution is refused before import.
    """
    world.plugin("bomb", "raise SystemExit")
    world.plugin("good")

    with world.host('[plugins]\nallow = ["acme-GOOD"]') as host:
        assert status_of(host, "exporters/bomb").state == "refused"
        assert status_of(host, "exporters/bomb").reason == "not allowed"
        assert host.registry(EXPORTERS)["good"]


@pytest.mark.parametrize("order", [("one", "two"), ("two", "one")])
def test_a_name_claimed_twice_is_a_conflict(world, order):
    """
    Two distributions with one name: neither is loaded, both are named, in any order of installation.
    """
    for name in order:
        world.plugin(name, key="twin")

    with world.host() as host:
        statuses = [status for status in host.plugins if status.key == "twin"]

        assert [status.state for status in statuses] == ["conflict", "conflict"]
        assert all("acme-one 1.0 and acme-two 1.0" in status.remedy for status in statuses)
        assert "twin" not in host.registry("exporters")


def test_the_configuration_settles_a_conflict(world):
    """
    The distribution that the configuration picks gets the name.
    """
    world.plugin("one", key="twin")
    world.plugin("two", key="twin")

    with world.host('[plugins]\nconflicts = { "exporters/twin" = "Acme_Two" }') as host:
        assert type(host.registry(EXPORTERS)["twin"]).__module__ == "two"


def test_another_hotplug_is_required(world):
    """
    A plugin made for another hotplug is refused before import, with both versions.
    """
    world.plugin("old", "raise SystemExit", requires=["hotplug >=99", "hotplug-nothing"])
    world.plugin("fits", requires=["hotplug<99", 'hotplug>50; python_version < "3"'])

    with world.host() as host:
        status = status_of(host, "exporters/old")

        assert (status.state, status.reason) == ("refused", "API mismatch")
        assert ">=99" in status.remedy and hotplug.__version__ in status.remedy
        assert host.registry(EXPORTERS)["fits"]


def test_configured_keys(world):
    """
    A plugin that tables name stands under their keys only, with their tags and settings.
    """
    world.plugin("plain", PLAIN + "    def __init__(self, *, width: int = 1): self.width = width")

    with world.host(
        '[exporters.wide]\nplugin = "plain"\ntags = ["a"]\nsettings = { width = 9 }\n'
        '[exporters.narrow]\nplugin = "plain"\n'
    ) as host:
        exporters = host.registry(EXPORTERS)

        assert exporters.keys() == ("narrow", "wide")
        assert (exporters["wide"].width, exporters["narrow"].width) == (9, 1)
        assert exporters.list_by_tag("a") == ("wide",)
        assert status_of(host, "exporters/wide").source == "configuration"


def test_a_configured_plugin_that_is_not_installed(world):
    """
    A table without an installed plugin is listed, with what would help.
    """
    world.plugin("plain")

    with world.host('[exporters.main]\nplugin = "plian"') as host:
        status = status_of(host, "exporters/main")

    assert (status.state, status.reason) == ("failed", "not installed")
    assert "did you mean 'plain'" in status.remedy


def test_a_configured_key_crowds_out_a_plugin_of_that_name(world):
    """
    A key that the configuration gives away is not taken by the plugin that happens to be called so.
    """
    world.plugin("plain")
    world.plugin("other")

    with world.host('[exporters.other]\nplugin = "plain"') as host:
        assert type(host.registry(EXPORTERS)["other"]).__module__ == "plain"
        assert {status.state for status in host.plugins if status.key == "other"} == {"loaded", "conflict"}


def test_the_application_comes_first(world):
    """
    A key that the application has registered is not taken by a plugin, which is told so.
    """
    world.plugin("plain")
    host = world.host()

    class Own(Exporter):
        def export(self, text):
            return "own"

    host.registry(EXPORTERS).register("plain", Own())
    with host:
        assert host.registry(EXPORTERS)["plain"].export("") == "own"
        assert status_of(host, "exporters/plain").state == "conflict"


@pytest.mark.parametrize("how", ["strict", "required"])
def test_what_must_work_stops_the_start(world, how):
    """
    `strict` and `required` turn a plugin's failure into a start-up error, and nothing is left behind.
    """
    world.plugin("bad", "raise RuntimeError('boom')")
    before = threading.active_count()
    host = world.host(strict=True) if how == "strict" else world.host("[exporters.bad]\nrequired = true")

    with pytest.raises(StartError, match="exporters/bad.*boom"):
        host.start()

    assert threading.active_count() == before
    with pytest.raises(HostError, match="does not start again"):
        host.start()


def test_strict_accepts_what_was_decided(world):
    """
    A plugin that is disabled on purpose is no failure.
    """
    world.plugin("bad", "raise RuntimeError('boom')")
    world.plugin("good")
    world.plugin("viewer", group="acme.viewers")

    with world.host('[plugins]\ndisable = ["exporters/bad"]', strict=True) as host:
        states = {status.name: status.state for status in host.plugins}

    assert states == {
        "exporters/bad": "disabled",
        "exporters/good": "loaded",
        "viewers/viewer": "loaded",
    }


# -- sessions --------------------------------------------------------------------------------------

NOTES = """
from tests_contract import Exporter
from hotplug import UserExecutionContext

closed = []

class Plain(Exporter):
    def __init__(self, user: UserExecutionContext):
        self.user = user
    def export(self, text):
        return self.user.user_id
    def close(self):
        closed.append(self.user.user_id)

class Second(Plain):
    async def aclose(self):
        closed.append("second " + self.user.user_id)
"""


def test_a_session_is_a_users_scope(world):
    """
    In a session a key is one instance, made for its user and closed with it; two users share nothing.
    """
    world.plugin("plain", NOTES, group="acme.viewers")

    with world.host() as host:
        with host.session(ADA) as ada, host.session(GRACE) as grace:
            hers, his = ada.registry(VIEWERS).get("plain"), grace.registry("viewers")["plain"]

            assert hers is ada.registry(VIEWERS).get("plain")
            assert (hers.export(""), his.export("")) == ("ada", "grace")
            assert "plain" in ada.registry(VIEWERS)
            assert ada.registry(VIEWERS).keys() == ("plain",)
        with pytest.raises(HostError, match="closed"):
            ada.registry(VIEWERS).get("plain")

        assert sys.modules["plain"].closed == ["grace", "ada"]


def test_a_session_closes_in_reverse_order(world):
    """
    What was made last is closed first, sync or async.
    """
    world.environment = world.install(
        "acme-two",
        advertises={"acme.viewers": {"one": "two:Plain", "two": "two:Second"}},
        files={"two.py": NOTES},
    )

    async def main():
        async with world.host() as host, host.session(ADA) as session:
            await session.registry(VIEWERS).aget("one")
            await session.registry(VIEWERS).aget("two")

    asyncio.run(main())

    assert sys.modules["two"].closed == ["second ada", "ada"]


def test_a_session_makes_one_instance_under_threads(world, eager_threads):
    """
    Twenty threads that ask a session for one key get one object.
    """
    world.plugin("plain", NOTES, group="acme.viewers")
    found = []

    with world.host() as host, host.session(ADA) as session:
        viewers = session.registry(VIEWERS)
        threads = [threading.Thread(target=lambda: found.append(viewers.get("plain"))) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert len(found) == 20 and len(set(map(id, found))) == 1


def test_closing_a_session_collects_errors(world):
    """
    One instance that does not close does not keep the others from it.
    """
    code = NOTES.replace('closed.append("second "', 'raise OSError("stuck "')
    world.install(
        "acme-two",
        advertises={"acme.viewers": {"one": "two:Plain", "two": "two:Second"}},
        files={"two.py": code},
    )

    with world.host() as host:
        with pytest.raises(ExceptionGroup) as caught, host.session(ADA) as session:
            session.registry(VIEWERS).get("one")
            session.registry(VIEWERS).get("two")

        assert sys.modules["two"].closed == ["ada"]
    assert "viewers/two from acme-two 1.0" in str(caught.value.exceptions[0])


# -- coming and going ------------------------------------------------------------------------------


def test_close_ends_everything_in_order(world):
    """
    A closed host has closed what it made, newest first; it gives nothing out and leaves no thread.
    """
    code = (
        PLAIN + "    def close(self): closed.append(type(self).__module__)\nfrom tests_closed import closed"
    )
    sys.modules["tests_closed"] = type(sys)("tests_closed")
    sys.modules["tests_closed"].closed = closed = []
    before = set(threading.enumerate())
    for name in ("one", "two", "three"):
        world.plugin(name, code)

    with world.host() as host:
        for name in ("two", "one", "three"):
            host.registry(EXPORTERS).get(name)
    report = host.close()

    assert closed == ["three", "one", "two"]
    assert not report
    assert set(threading.enumerate()) == before
    with pytest.raises(NotRegisteredError, match="the host is closed"):
        host.registry(EXPORTERS).get("one")
    del sys.modules["tests_closed"]


def test_what_raises_on_close_is_reported(world):
    """
    A plugin that will not close is named in the close report, and the rest is closed.
    """
    world.plugin("bad", PLAIN + "    def close(self): raise OSError('jammed')")
    host = world.host()

    with host:
        host.registry(EXPORTERS).get("bad")
    report = host.close()

    assert [str(error) for error in report.errors] == [
        "exporters/bad from acme-bad 1.0: close raised OSError: jammed"
    ]


def test_leases_hold_back_closing(world):
    """
    What is leased while its distribution goes away is closed when the lease ends, not before.
    """
    world.plugin("plain", PLAIN + "    closed = False\n    def close(self): self.closed = True")

    with world.host() as host:
        with host.registry(EXPORTERS).lease("plain") as exporter:
            world.uninstall("acme-plain")
            changes = host.refresh()
            assert not exporter.closed
        assert exporter.closed
    assert changes.removed == ("exporters/plain",)


def test_a_host_starts_once(world):
    """
    Starting and closing twice is harmless; what needs a started host says so.
    """
    host = world.host()
    with pytest.raises(HostError, match="not started"):
        host.session(ADA)
    host.start()
    host.start()
    host.close()
    host.close()

    with pytest.raises(HostError, match="closed"):
        host.refresh()


def test_async_hosts_live_on_the_running_loop(world):
    """
    In `async with` the sync verbs say which twin to await, and the twins work.
    """
    world.plugin("plain")

    async def main():
        async with world.host() as host:
            for verb, twin in [("close", "aclose"), ("refresh", "arefresh")]:
                with pytest.raises(RuntimeError, match=twin):
                    getattr(host, verb)()
            with pytest.raises(RuntimeError, match="areload"):
                host.reload("acme-plain")
            with pytest.raises(RuntimeError, match="aapply"):
                host.apply(hotplug.Config())
            assert not await host.arefresh()
            assert not await host.aapply(hotplug.Config())
            assert (await host.areload("acme-plain")).changed == ("exporters/plain",)
            assert await host.registry(EXPORTERS).aget("plain")
        return set(threading.enumerate())

    assert asyncio.run(main()) == {threading.main_thread(), *threading.enumerate()}


def test_unknown_kinds_are_suggested(world):
    """
    A registry that does not exist is refused with the name that was probably meant.
    """
    host = world.host()

    with pytest.raises(HostError, match="did you mean 'exporters'"):
        host.registry("exporter")
    with pytest.raises(hotplug.ConfigError, match="two kinds"):
        Host(kinds=[EXPORTERS, Kind("exporters", Exporter)])


# -- following the environment ---------------------------------------------------------------------


def test_refresh_follows_what_was_installed_and_removed(world):
    """
    A plugin installed while the host runs is there after a refresh; one removed leaves nothing behind.
    """
    world.plugin("one")
    with world.host() as host:
        exporters = host.registry(EXPORTERS)
        exporters.get("one")
        world.plugin("two")
        world.uninstall("acme-one")

        changes = host.refresh()

        assert (changes.added, changes.removed) == (("exporters/two",), ("exporters/one",))
        assert exporters.keys() == ("two",)
        assert [status.name for status in host.plugins] == ["exporters/two"]
        assert "one" not in sys.modules
        assert isinstance(exporters["two"], Exporter)
        assert not host.refresh()


def test_a_changed_distribution_that_runs_is_replaced(world):
    """
    An upgrade of imported code is the next generation: who asks from now on gets it.
    """
    world.plugin("one")
    with world.host() as host:
        old = host.registry(EXPORTERS)["one"]
        world.plugin("one", PLAIN.replace("return text", "return 'new'"), version="2.0")

        changes = host.reload("acme-one")

        assert changes.changed == ("exporters/one",)
        assert host.registry(EXPORTERS)["one"].export("text") == "new"
        assert old.export("text") == "text"
        assert status_of(host, "exporters/one").generation == 2
        with pytest.raises(HostError, match="did you mean 'acme-one'"):
            host.reload("acme-uno")


def test_a_changed_distribution_that_was_never_used_is_simply_new(world):
    """
    An upgrade of a plugin that nobody imported takes effect at once.
    """
    world.plugin("fresh")
    with world.host() as host:
        world.plugin("fresh", PLAIN.replace("return text", "return 'new'"), version="2.0")

        changes = host.refresh()

        assert changes.changed == ("exporters/fresh",)
        assert host.registry(EXPORTERS)["fresh"].export("") == "new"
        assert status_of(host, "exporters/fresh").record.version == "2.0"


def test_a_newcomer_cannot_take_a_name_that_is_served(world):
    """
    A second distribution that claims a running plugin's name is in conflict; the first serves on.
    """
    world.plugin("one", key="main")
    with world.host() as host:
        old = host.registry(EXPORTERS)["main"]
        world.plugin("two", key="main")

        host.refresh()

        assert host.registry(EXPORTERS)["main"] is old
        states = {s.record.distribution: s.state for s in host.plugins}
        assert states == {"acme-one": "loaded", "acme-two": "conflict"}


def test_frozen_registries_are_not_followed(world):
    """
    What would touch a frozen registry needs a restart, and says so.
    """
    world.plugin("one")
    with world.host() as host:
        host.registry(EXPORTERS).freeze()
        world.plugin("two")

        changes = host.refresh()

        assert "exporters/two" in changes.failed
        assert status_of(host, "exporters/two").reason == "restart required"
        assert host.registry(EXPORTERS).keys() == ("one",)


# -- configuration ---------------------------------------------------------------------------------

WIDE = PLAIN + "    def __init__(self, *, width: int = 1): self.width = width"


def test_a_configuration_is_planned_and_applied(world):
    """
    `plan` says what `apply` will change; what does not differ is not touched.
    """
    world.plugin("plain", WIDE)
    first = '[exporters.a]\nplugin = "plain"\n[exporters.b]\nplugin = "plain"\n'
    second = (
        '[exporters.a]\nplugin = "plain"\n[exporters.b]\nplugin = "plain"\nsettings = { width = 5 }\n'
        '[exporters.c]\nplugin = "plain"\n'
    )
    with world.host(first) as host:
        exporters = host.registry(EXPORTERS)
        a, b = exporters["a"], exporters["b"]
        planned = host.plan(hotplug.Config.parse(second))

        changes = host.apply(hotplug.Config.parse(second))

        assert changes == planned
        assert (changes.added, changes.changed, changes.unchanged) == (
            ("exporters/c",),
            ("exporters/b",),
            ("exporters/a",),
        )
        assert exporters["a"] is a
        assert exporters["b"] is not b and exporters["b"].width == 5
        assert "plain" in sys.modules
        assert host.config == hotplug.Config.parse(second)


@pytest.mark.parametrize(
    "wrong",
    [
        '[exporters.a]\nplugin = "plain"\nsettings = { width = "wide" }',
        '[exporters.a]\nplugin = "plain"\nsettings = { weight = 1 }',
        '[exporters.a]\nplugin = "plain"\n[exporters.b]\nplugin = "bad"',
        '[exporters.a]\nplugin = "plain"\n[exporters.b]\nplugin = "absent"\nrequired = true',
        '[exporter.a]\nplugin = "plain"',
    ],
)
def test_a_wrong_configuration_changes_nothing(world, wrong):
    """
    Whatever is wrong with a new configuration, what runs stays as it is.
    """
    world.plugin("plain", WIDE)
    world.plugin("bad", "raise RuntimeError")
    good = '[exporters.a]\nplugin = "plain"\nsettings = { width = 3 }'
    with world.host(good) as host:
        before = host.registry(EXPORTERS)["a"]
        statuses = host.plugins

        with pytest.raises(hotplug.HotplugError):
            host.apply(hotplug.Config.parse(wrong))

        assert host.registry(EXPORTERS)["a"] is before
        assert host.plugins == statuses
        assert host.config == hotplug.Config.parse(good)


def test_apply_takes_back_what_it_had_changed(world):
    """
    When the last step of a change is impossible, the first ones are undone.
    """
    world.plugin("plain", WIDE)
    host = world.host('[exporters.a]\nplugin = "plain"')

    class Own(Exporter):
        def export(self, text):
            return "own"

    host.registry(EXPORTERS).register("z", Own())
    with host:
        before = host.registry(EXPORTERS)["a"]

        with pytest.raises(hotplug.DuplicateKeyError):
            host.apply(
                hotplug.Config.parse(
                    '[exporters.a]\nplugin = "plain"\nsettings = { width = 2 }\n'
                    '[exporters.z]\nplugin = "plain"'
                )
            )

        assert host.registry(EXPORTERS)["a"] is before
        assert host.registry(EXPORTERS)["z"].export("") == "own"


def test_no_lookup_fails_while_a_configuration_is_applied(world, eager_threads):
    """
    While settings change, every lookup finds the old object or the new one.
    """
    world.plugin("plain", WIDE)
    stop, seen, errors = threading.Event(), set(), []

    def reader(exporters):
        while not stop.is_set():
            try:
                seen.add(exporters["a"].width)
            except Exception as error:
                errors.append(error)

    with world.host('[exporters.a]\nplugin = "plain"\nsettings = { width = 0 }') as host:
        threads = [threading.Thread(target=reader, args=(host.registry(EXPORTERS),)) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for width in range(1, 30):
                host.apply(
                    hotplug.Config.parse(f'[exporters.a]\nplugin = "plain"\nsettings = {{ width = {width} }}')
                )
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    assert not errors
    assert len(seen) > 1


# -- telling ---------------------------------------------------------------------------------------


def test_changes_are_told(world):
    """
    Listeners hear of loads, failures and refreshes; one that raises does not keep the others from it.
    """
    world.plugin("one")
    world.plugin("bad", "raise RuntimeError")
    heard = []

    def angry(_):
        raise RuntimeError("not me")

    with world.host() as host:
        host.subscribe(angry)
        undo = host.subscribe(heard.append)
        host.registry(EXPORTERS).get("one")
        with pytest.raises(PluginError):
            host.registry(EXPORTERS).get("bad")
        world.plugin("two")
        host.refresh()
        undo()
        world.uninstall("acme-two")
        host.refresh()

    assert [(c.added, c.changed, c.failed) for c in heard] == [
        ((), ("exporters/one",), ()),
        ((), (), ("exporters/bad",)),
        (("exporters/two",), (), ()),
    ]


def test_a_verb_from_inside_a_verb_is_refused(world):
    """
    Plugin code that asks for a refresh while the host starts it gets an error, not a deadlock.
    """
    world.plugin(
        "pushy",
        PLAIN + "    def __init__(self): from tests_host import host; host.refresh()\n",
    )
    host = world.host(strict=True)
    sys.modules["tests_host"] = type(sys)("tests_host")
    sys.modules["tests_host"].host = host

    try:
        with pytest.raises(StartError, match=r"refresh\(\) was asked for from inside start\(\)"):
            host.start()
    finally:
        del sys.modules["tests_host"]


def test_health_is_the_worst_of_the_parts(world):
    """
    A host with a failed plugin is degraded and says which.
    """
    world.plugin("bad", "raise RuntimeError")
    world.plugin("good")
    with world.host() as host:
        assert host.health().status == "healthy"
        with pytest.raises(PluginError):
            host.registry(EXPORTERS).get("bad")

        health = host.health()

    assert health.status == "degraded"
    assert any("exporters/bad" in issue for issue in health.issues)


def test_a_repaired_plugin_is_taken_at_once(world):
    """
    A plugin that never worked is replaced by its next version without a restart.
    """
    world.plugin("patient", PLAIN + "    def __init__(self): raise OSError")
    with world.host() as host:
        with pytest.raises(PluginError):
            host.registry(EXPORTERS).get("patient")
        world.plugin("patient", PLAIN, version="2.0")

        changes = host.refresh()

        assert changes.changed == ("exporters/patient",)
        assert host.registry(EXPORTERS)["patient"].export("x") == "x"


def test_a_refresh_lets_a_late_plugin_try_again(world):
    """
    What timed out is tried again after a refresh, not before.
    """
    gate = threading.Event()
    sys.modules["tests_gate"] = type(sys)("tests_gate")
    sys.modules["tests_gate"].gate = gate
    world.plugin("slow", "from tests_gate import gate\nassert gate.wait(20)\n" + PLAIN)
    try:
        with world.host("[host]\nload_timeout = 0.2") as host:
            with pytest.raises(PluginTimeoutError):
                host.registry(EXPORTERS).get("slow")
            gate.set()
            host.refresh()

            assert isinstance(host.registry(EXPORTERS).get("slow"), Exporter)
    finally:
        gate.set()
        del sys.modules["tests_gate"]


def test_a_new_conflict_is_told(world):
    """
    A distribution that arrives and cannot be loaded is among the failures of the refresh.
    """
    world.plugin("one")
    with world.host('[plugins]\nallow = ["acme-one"]') as host:
        world.plugin("two")

        changes = host.refresh()

        assert changes.failed == ("exporters/two",)
        assert not host.refresh()


def test_each_subscription_is_undone_by_itself(world):
    """
    One listener subscribed twice hears twice, and once after one undo.
    """
    world.plugin("one")
    heard = []
    with world.host() as host:
        undo = host.subscribe(heard.append)
        host.subscribe(heard.append)
        host.registry(EXPORTERS).get("one")
        undo()
        undo()
        world.plugin("two")
        host.refresh()

    assert len(heard) == 3


def test_a_namespace_shared_with_others_is_not_in_use(world):
    """
    That a neighbour in the same namespace package is imported does not make a plugin busy.
    """
    for name in ("left", "right"):
        world.install(
            f"acme-{name}",
            advertises={"acme.exporters": {name: f"acme_space.{name}:Plain"}},
            files={f"acme_space/{name}.py": PLAIN},
        )
    with world.host() as host:
        host.registry(EXPORTERS).get("left")
        world.install(
            "acme-right",
            "2.0",
            advertises={"acme.exporters": {"right": "acme_space.right:Plain"}},
            files={"acme_space/right.py": PLAIN},
        )

        assert host.refresh().changed == ("exporters/right",)


@pytest.mark.parametrize(
    ("signature", "text"),
    [
        ("*, width: 'Nowhere'", "Nowhere"),
        ("width, /", "width"),
        ("*, width: 'Width'", "SystemExit"),
    ],
)
def test_signatures_that_are_no_settings(world, signature, text):
    """
    A signature that cannot be read, or raises when it is used, is the plugin's failure.
    """
    world.plugin(
        "odd",
        PLAIN + f"    def __init__(self, {signature}): ...\n"
        "from dataclasses import dataclass\n@dataclass\nclass Width:\n    value: int\n"
        "    def __post_init__(self): raise SystemExit(1)\n",
    )

    with world.host("[exporters.odd]\nsettings = { width = { value = 1 } }") as host:
        with pytest.raises(PluginError, match=text):
            host.registry(EXPORTERS).get("odd")

        assert status_of(host, "exporters/odd").state == "failed"


def test_an_object_is_told_its_key(world):
    """
    A kind may name the setting by which an object learns its key; the configuration overrides it.
    """
    kind = Kind("named", Exporter, group="acme.named", key_setting="called")
    world.plugin(
        "plain",
        PLAIN + "    def __init__(self, *, called: str = ''): self.called = called",
        group="acme.named",
    )
    config = '[named.a]\nplugin = "plain"\n[named.b]\nplugin = "plain"\nsettings = { called = "own" }\n'

    with Host(hotplug.Config.parse(config), kinds=[kind], path=world.path, cache=False) as host:
        assert [host.registry(kind)[key].called for key in ("a", "b")] == ["a", "own"]
