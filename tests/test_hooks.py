"""The three hooks: from the application and from plugins, each behind the wall."""

from __future__ import annotations

import abc
import sys

import pytest

import hotplug
from hotplug import Host, Kind
from hotplug.hookspecs import hookimpl

pytestmark = pytest.mark.usefixtures("brief_absence")


class Thing(abc.ABC):
    """A contract that a hook contributes."""

    @abc.abstractmethod
    def do(self) -> str: ...


THINGS = Kind("things", Thing, group="acme.things")

HOOKS = """
from hotplug.hookspecs import hookimpl

@hookimpl
def hotplug_discovered(records):
    return {record: "not this one" for record in records if record.name == "shady"}
"""
THING = """
from tests_thing import Thing
class Mine(Thing):
    def do(self): return "done"
"""


@pytest.fixture
def world(environment, monkeypatch):
    contract = type(sys)("tests_thing")
    contract.Thing, contract.THINGS = Thing, THINGS
    monkeypatch.setitem(sys.modules, "tests_thing", contract)
    environment.install(
        "acme-things",
        advertises={"acme.things": {"fine": "things:Mine", "shady": "things:Mine"}},
        files={"things.py": THING},
    )
    return environment


def host_of(world, config=None, kinds=(THINGS,)):
    parsed = hotplug.Config.parse(config) if config else None
    return Host(parsed, kinds=list(kinds), path=world.path, cache=False)


def install_hooks(world, code=HOOKS, name="acme-hooks"):
    module = name.replace("-", "_")
    value = f"{module}:Hooks" if "class Hooks" in code else module
    world.install(name, advertises={"hotplug.hooks": {name: value}}, files={f"{module}.py": code})


def test_an_application_vetoes_plugins(world):
    """
    A hook of the application refuses plugins before import, with its reason.
    """

    class Policy:
        @hookimpl
        def hotplug_discovered(self, records):
            return {record: "only on Mondays" for record in records if record.name == "fine"}

    host = host_of(world)
    host.hooks.register(Policy())
    with host:
        [fine, shady] = host.plugins

        assert (fine.state, fine.reason) == ("blocked", "vetoed")
        assert "only on Mondays" in fine.remedy
        assert shady.state == "discovered"


def test_a_plugin_brings_hooks(world):
    """
    Hooks of an installed distribution are listed, loaded before the kinds, and heard.
    """
    install_hooks(world)

    with host_of(world) as host:
        states = {status.name: status.state for status in host.plugins}

    assert states == {
        "hooks/acme-hooks": "loaded",
        "things/fine": "discovered",
        "things/shady": "blocked",
    }


def test_policy_applies_to_hooks(world):
    """
    A disabled hook plugin is not imported and vetoes nothing.
    """
    install_hooks(world, "raise SystemExit")

    with host_of(world, '[plugins]\ndisable = ["hooks/acme-hooks"]') as host:
        states = {status.name: status.state for status in host.plugins}

    assert states["hooks/acme-hooks"] == "disabled"
    assert states["things/shady"] == "discovered"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise SystemExit('no')", "failed import"),
        ("import nowhere_to_be_found", "missing dependency"),
        (HOOKS.replace("(records)", "(records, unknown)"), "contract mismatch"),
        ("class Hooks:\n    def __init__(self): raise OSError", "failed registration"),
    ],
)
def test_broken_hooks_are_reported(world, code, reason):
    """
    A hook plugin that does not load is listed with its reason, and the host goes on without it.
    """
    install_hooks(world, code)

    with host_of(world) as host:
        [status] = [status for status in host.plugins if status.record.kind == "hooks"]

        assert (status.state, status.reason) == ("failed", reason)
        assert host.registry(THINGS)["shady"].do() == "done"


@pytest.mark.parametrize("answer", ["raise ValueError('angry')", "return 42", "return {1: 2, 3: 4}.no"])
def test_a_hook_that_raises_is_reported_and_the_rest_go_on(world, answer):
    """
    One implementation that raises, or answers nonsense, neither stops the host nor the other ones.
    """
    install_hooks(world, f"{HOOKS.split('    return')[0]}    {answer}\n", name="acme-angry")
    install_hooks(world)

    with host_of(world) as host:
        statuses = {status.name: status for status in host.plugins}

    assert statuses["things/shady"].state == "blocked"
    assert statuses["hooks/acme-angry"].state == "loaded"
    assert "Error" in statuses["hooks/acme-angry"].error


def test_a_hook_contributes_a_kind(world):
    """
    A kind that a hook contributes has its registry, like any other.
    """
    install_hooks(
        world,
        "from hotplug.hookspecs import hookimpl\nfrom tests_thing import THINGS\n"
        "@hookimpl\ndef hotplug_kinds(): return [THINGS]\n",
    )

    with host_of(world, kinds=()) as host:
        assert host.registry(THINGS)["fine"].do() == "done"


def test_what_is_no_kind_is_refused(world):
    """
    A hook that contributes something else is reported.
    """
    install_hooks(
        world, "from hotplug.hookspecs import hookimpl\n@hookimpl\ndef hotplug_kinds(): return ['things']\n"
    )

    with host_of(world) as host:
        [status] = [status for status in host.plugins if status.record.kind == "hooks"]

    assert "not a Kind" in status.error


def test_changes_reach_hooks(world):
    """
    `hotplug_changed` hears whatever happened; one that raises does not keep it from the others.
    """
    heard = []

    class Angry:
        @hookimpl
        def hotplug_changed(self, changes):
            raise RuntimeError

    class Calm:
        @hookimpl
        def hotplug_changed(self, changes):
            heard.append(changes)

    host = host_of(world)
    host.hooks.register(Angry())
    host.hooks.register(Calm())
    with host:
        host.registry(THINGS).get("fine")
        world.uninstall("acme-things")
        host.refresh()

    assert heard[0].changed == ("things/fine",)
    assert heard[-1].removed == ("things/fine", "things/shady")


def test_every_hook_is_specified_and_documented():
    """
    The hook specifications are exactly the three of the design, each with a sentence.
    """
    from hotplug import hookspecs

    specified = [name for name in vars(hookspecs) if name.startswith("hotplug_")]

    assert sorted(specified) == ["hotplug_changed", "hotplug_discovered", "hotplug_kinds"]
    assert all(getattr(hookspecs, name).__doc__ for name in specified)


def test_hooks_come_and_go_with_their_distribution(world):
    """
    A refresh loads the hooks of a new distribution and forgets those of one that is gone.
    """
    with host_of(world) as host:
        install_hooks(world)
        host.refresh()
        with_hooks = {status.name: status.state for status in host.plugins}
        world.uninstall("acme-hooks")
        host.refresh()
        without = {status.name: status.state for status in host.plugins}

    assert with_hooks["hooks/acme-hooks"] == "loaded"
    assert "hooks/acme-hooks" not in without
    assert (with_hooks["things/shady"], without["things/shady"]) == ("blocked", "discovered")


def test_hooks_that_cannot_be_hashed_are_refused_at_once(world):
    """
    An object that pluggy would fail over later is refused where it is registered, with what would help.
    """
    from dataclasses import dataclass

    @dataclass
    class Policy:
        @hookimpl
        def hotplug_changed(self, changes): ...

    with pytest.raises(TypeError, match=r"Policy is not \(@dataclass\(eq=False\)\?\)"):
        host_of(world).hooks.register(Policy())

    install_hooks(world, HOOKS + "class Hooks(dict): ...\n")
    with host_of(world) as host:
        [status] = [status for status in host.plugins if status.record.kind == "hooks"]
        assert (status.state, status.reason) == ("failed", "failed registration")


def test_ctrl_c_in_a_hook_is_the_users(world):
    """
    `KeyboardInterrupt` from a hook gets out, and the host is closed.
    """

    class Interrupted:
        @hookimpl
        def hotplug_discovered(self, records):
            raise KeyboardInterrupt

    host = host_of(world)
    host.hooks.register(Interrupted())
    with pytest.raises(KeyboardInterrupt):
        host.start()

    assert host.is_closed


@pytest.mark.parametrize(
    "code",
    [
        "import acme_gate\nacme_gate.gate.wait(20)",
        "import acme_gate\nclass Hooks:\n    def __init__(self): acme_gate.gate.wait(20)",
        HOOKS.replace("    return", "    import acme_gate\n    assert acme_gate.gate.wait(20)\n    return"),
    ],
    ids=["import", "constructor", "call"],
)
def test_a_hook_that_hangs_is_given_up_and_tried_after_a_refresh(world, monkeypatch, code):
    """
    Hooks have a limit like all plugin code; one that is too late is not asked again before a refresh.
    """
    import threading

    module = type(sys)("acme_gate")
    module.gate = threading.Event()
    monkeypatch.setitem(sys.modules, "acme_gate", module)
    install_hooks(world, code, name="acme-slow")

    with host_of(world, "[host]\nload_timeout = 0.2") as host:
        before = {status.name: status.state for status in host.plugins}
        module.gate.set()
        host.refresh()
        after = {status.name: status.state for status in host.plugins}

    assert (before["hooks/acme-slow"], after["hooks/acme-slow"]) == ("timed_out", "loaded")
    assert before["things/shady"] == "discovered"


KINDS = """
from hotplug import Kind
from hotplug.hookspecs import hookimpl
from tests_thing import Thing

class Hooks:
    @hookimpl
    def hotplug_kinds(self):
        return [Kind("things", Thing, group="acme.things")]
"""


def test_a_hook_may_say_the_same_kind_again(world):
    """
    Hooks that make their kind anew each time they are asked, or that say what another one says, are no fault.
    """
    install_hooks(world, KINDS)
    install_hooks(world, KINDS, name="acme-others")

    with host_of(world) as host:
        host.refresh()
        host.refresh()

        assert {status.state for status in host.plugins if status.record.kind == "hooks"} == {"loaded"}
        assert host.registry("things")["fine"].do() == "done"


def test_a_hook_with_another_kind_of_that_name_is_failed(world):
    """
    A kind that contradicts one that is there is its hook's failure; the host starts without it.
    """
    install_hooks(
        world, KINDS.replace("acme.things", "acme.others") + HOOKS.replace("@hookimpl", "@hookimpl")
    )

    with host_of(world) as host:
        [status] = [status for status in host.plugins if status.record.kind == "hooks"]

        assert status.state == "failed"
        assert "two kinds are called 'things'" in status.error
        assert host.registry(THINGS)["shady"].do() == "done"
        assert host.hooks.get_plugins() == set()


def test_a_module_cannot_be_registered_twice(world):
    """
    Two entry points that name one module: the first is loaded, the second says why it is not.
    """
    world.install(
        "acme-twice",
        advertises={"hotplug.hooks": {"a": "acme_twice", "b": "acme_twice"}},
        files={"acme_twice.py": HOOKS},
    )

    with host_of(world) as host:
        states = {status.key: status.state for status in host.plugins if status.record.kind == "hooks"}

    assert states == {"a": "loaded", "b": "failed"}


def test_hooks_cannot_change_what_they_are_given(world):
    """
    A hook gets immutable things: what it does to them is its own error, and nobody else's records change.
    """

    class Vandal:
        @hookimpl
        def hotplug_discovered(self, records):
            records[0].name = "mine"

        @hookimpl
        def hotplug_changed(self, changes):
            changes.added.append("mine")

    host = host_of(world)
    host.hooks.register(Vandal())
    with host:
        host.registry(THINGS).get("fine")
        assert [status.key for status in host.plugins] == ["fine", "shady"]


def test_kinds_can_be_asked_for_without_a_host(world):
    """
    Hooks by themselves tell which kinds they would contribute.
    """
    from hotplug._host._hooks import Hooks

    class Giver:
        @hookimpl
        def hotplug_kinds(self):
            return [THINGS]

    hooks = Hooks()
    hooks.manager.register(Giver())

    assert hooks.kinds() == [THINGS]


def test_hooks_that_vanish_while_they_are_asked(world):
    """
    A report about hooks that were dropped meanwhile changes nothing.
    """
    from hotplug._host._hooks import Hooks
    from hotplug._records import PluginRecord

    hooks = Hooks()
    record = PluginRecord("hooks", "hotplug.hooks", "gone", "gone", "acme", "1.0")
    hooks._report(record, ValueError("late"), "hook", fails=False)

    assert hooks.statuses == ()


def test_a_hook_that_was_given_up_does_not_come_in_later(world, monkeypatch):
    """
    When a constructor that was too late comes to its end, its hooks are not registered all the same.
    """
    import threading

    module = type(sys)("acme_gate")
    module.gate = threading.Event()
    monkeypatch.setitem(sys.modules, "acme_gate", module)
    install_hooks(
        world,
        "import acme_gate\nclass Hooks:\n    def __init__(self):\n        acme_gate.gate.wait(20)\n",
        name="acme-slow",
    )

    with host_of(world, "[host]\nload_timeout = 0.3") as host:
        late = [thread for thread in threading.enumerate() if thread.name.endswith("hooks/acme-slow")]
        module.gate.set()
        for thread in late:
            thread.join(10)

        assert len(late) == 1
        assert host.hooks.get_plugins() == set()
