"""`hotplug watch`: what stands, then a line for each change, until a signal ends it."""

from __future__ import annotations

import logging
import re
import signal
import sys
import threading

import click
import pytest

from hotplug._cli._watch import _until_signalled
from terminal import Terminal, run_until_signalled

pytestmark = pytest.mark.usefixtures("nothing_left")

HELPER = "def plus(a, b):\n    return a + b\n"
TOOL = """
from acme_tool import helper

def adder(a: int, b: int) -> int:
    return helper.plus(a, b)
"""
SIGN = {"hotplug.tools": {"adder": "acme_tool:adder"}}


class World:
    """A folder of plugins, and `hotplug watch` looking at it."""

    def __init__(self, environment, monkeypatch, folder):
        self.environment = environment
        self.monkeypatch = monkeypatch
        self.config = folder / "hotplug.toml"
        self.terminal = Terminal()

    def install(
        self, version="1.0", helper=HELPER, *, name="acme-tool", advertises=SIGN, plain=True, **files
    ):
        """A tool; *plain*: its code lies beside its dist-info, and is followed where it lies."""
        code = files or {"acme_tool/__init__.py": TOOL, "acme_tool/helper.py": helper}
        info = self.environment.install(name, version, advertises=advertises, files=code, record=not plain)
        if plain:
            (info / "INSTALLER").unlink()
        return info

    def edit(self, text, file="acme_tool/helper.py"):
        path = self.environment.folder / file
        aside = path.with_name(".aside")
        aside.write_text(text)
        aside.replace(path)

    def remove(self, name="acme_tool"):
        for path in [
            *self.environment.folder.glob(f"{name}/*.py"),
            *self.environment.folder.glob(f"{name}-*/*"),
        ]:
            path.unlink()
        for path in self.environment.folder.glob(f"{name}-*"):
            path.rmdir()

    def watch(self, story, *arguments, number=signal.SIGINT, until="watching"):
        """Watch; when that has begun, and all is armed, *story* is told; its exit code."""
        self.monkeypatch.setattr(sys, "stdout", self.terminal)

        def told():
            self.terminal.wait_for(until)
            story()

        before = ["--path", str(self.environment.folder), "watch", *arguments]
        return run_until_signalled(before, told, number=number)

    def sees(self, event, *parts, after=0):
        """Wait for a line of *event* with *parts*."""
        return self.terminal.wait_for(event, *parts, after=after)


@pytest.fixture
def world(cli, environment, monkeypatch, tmp_path):
    monkeypatch.setattr("hotplug._cli._watch.TURN", 0.02)
    there = World(environment, monkeypatch, tmp_path)
    yield there
    for name in [name for name in sys.modules if name.startswith("acme_")]:
        del sys.modules[name]


def nothing():
    """A story in which nothing happens."""


# -- what stands -----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_stands_is_shown_and_a_signal_ends_it(world, number):
    """
    Each plugin has a line, nothing is imported for it, and the exit code is 0.
    """
    world.install(helper="raise SystemExit('imported!')")

    assert world.watch(nothing, number=number) in (0, None)

    assert world.terminal.lines[0] == "○ discovered  tools/adder  acme-tool 1.0"
    assert re.fullmatch(r"\d\d:\d\d:\d\d  watching       \d places; Ctrl-C ends it", world.terminal.lines[1])
    assert len(world.terminal.lines) == 2
    assert "acme_tool" not in sys.modules


def test_an_empty_environment_is_watched_too(world):
    """
    Where nothing is installed, the first installation is seen.
    """

    def story():
        world.install(plain=False)
        world.sees("installed", "acme-tool 1.0: + tools/adder")

    world.watch(story)


def test_what_is_broken_is_shown_with_the_remedy(world):
    """
    A place that cannot be read is named at the start, and one that breaks later when it does.
    """
    points = world.install(plain=False) / "entry_points.txt"
    good = points.read_text()
    points.write_text("[hotplug.tools]\nno equals sign\n")

    def story():
        points.write_text(good)
        world.sees("installed", "+ tools/adder")
        points.write_text("[hotplug.tools]\nno equals sign either\n")
        world.sees("problem", "entry_points.txt:2: has no '='", after=3)

    world.watch(story)

    assert "✗ broken  environment/acme-tool" in world.terminal.lines[0]
    assert "entry_points.txt:2: has no '='" in world.terminal.lines[1]
    assert "install acme-tool again" in world.terminal.lines[1]


def test_a_start_that_fails_is_an_error(world, cli):
    """
    A required plugin that does not work: exit code 1, and why.
    """
    world.install(helper="raise ValueError('no')")

    answer = cli("watch", config="[tools.adder]\nrequired = true\n")

    assert answer.exit_code == 1
    assert "tools/adder" in answer.stderr
    assert "ValueError: no" in answer.stderr


def test_a_signal_while_it_starts_ends_it_too(world):
    """
    A plugin that hangs in its import holds nobody up: the host is closed, the exit code is 0.
    """
    gate = threading.Event()
    world.monkeypatch.setattr(threading, "acme_gate", gate, raising=False)
    world.install(helper="import threading\nprint('it waits')\nthreading.acme_gate.wait(20)\n")
    world.config.write_text("[tools.adder]\nrequired = true\n")
    world.monkeypatch.setattr(sys, "stderr", world.terminal)

    assert world.watch(nothing, until="it waits") in (0, None)

    gate.set()
    assert world.terminal.lines[0] == "it waits"


def test_a_second_signal_does_as_it_would_have():
    """
    Who does not want to wait for the end sends it again.
    """
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append("as before"))
    try:
        with _until_signalled():
            try:
                signal.raise_signal(signal.SIGTERM)
            finally:
                signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)

    assert heard == ["as before"]


# -- code ------------------------------------------------------------------------------------------


def test_an_edit_of_what_nobody_imported(world):
    """
    It is told with its file; still nothing is imported, and a mere touch is not told.
    """
    world.install()

    def story():
        (world.environment.folder / "acme_tool/helper.py").touch()
        world.edit("raise SystemExit('imported!')\n")
        world.sees("edited", "acme-tool 1.0: acme_tool/helper.py")

    world.watch(story)

    assert "acme_tool" not in sys.modules


def test_with_load_edits_are_reloaded(world):
    """
    Each has a line: what changed, which generation serves, how long it took; a wrong one says where and why.
    """
    world.install()

    def story():
        world.edit("def plus(a, b):\n    return b + a\n")
        line = world.sees("reloaded", "generation 2")
        assert re.search(r"acme-tool 1\.0: ~ tools/adder; generation 2; \d+ ms; acme_tool/helper\.py$", line)
        world.edit("x = 1\ndef plus(a, b:\n")
        line = world.sees("refused")
        assert "! tools/adder" in line
        assert "acme_tool/helper.py:2: '(' was never closed; 1.0 serves on; " in line
        assert "mend the plugin" in line
        world.edit("x = 1\n\n1 / 0\n")
        line = world.sees("refused", "ZeroDivisionError: division by zero")
        assert f"({world.environment.folder / 'acme_tool/helper.py'}:3)" in line
        world.edit(HELPER)
        world.sees("reloaded", "generation 3")

    world.watch(story, "--load")

    assert world.terminal.lines[0] == "✓ loaded  tools/adder  acme-tool 1.0"


def test_with_load_what_failed_is_tried_again(world):
    """
    A plugin that does not work is shown with the reason; a good edit mends it, another bad one is told.
    """
    world.install(helper="1 / 0\n")

    def story():
        world.sees("failed", "division by zero")
        world.edit("import acme_nowhere\n")
        world.sees("failed", "acme-tool 1.0: ! tools/adder", "'acme_nowhere', which is not installed")
        world.edit(HELPER)
        world.sees("loaded", "acme-tool 1.0: ~ tools/adder; generation 1")

    world.watch(story, "--load")

    assert world.terminal.lines[0].startswith("✗ failed  tools/adder  acme-tool 1.0  failed import")
    assert "ZeroDivisionError: division by zero; see the error" in world.terminal.lines[1]


def test_with_load_what_comes_is_loaded(world):
    """
    An installed plugin is loaded as it comes, and shown to be.
    """

    def story():
        world.install(plain=False)
        world.sees("loaded", "tools/adder from acme-tool 1.0")

    world.watch(story, "--load")


def test_old_code_that_goes_on_is_named(world):
    """
    A thread of the old generation is told with file and line, once.
    """
    gate = threading.Event()
    world.monkeypatch.setattr(threading, "acme_gate", gate, raising=False)
    world.install(
        helper=f"{HELPER}import threading\ndef wait():\n    threading.acme_gate.wait(20)\n"
        "threading.Thread(target=wait, name='acme waits', daemon=True).start()\n"
    )

    def story():
        world.edit(HELPER)
        line = world.sees("left", "acme-tool 1.0: thread 'acme waits' at ")
        assert "acme_tool/helper.py:5 (wait)" in line
        world.sees("reloaded")
        gate.set()

    world.watch(story, "--load")

    assert sum("acme waits" in line for line in world.terminal.lines) == 1


# -- installations ---------------------------------------------------------------------------------


def test_an_upgrade_names_both_versions(world):
    """
    From which version to which; of what was loaded, as a reload.
    """
    world.install(plain=False)

    def story():
        world.install("1.1", HELPER + "# more\n", plain=False)
        world.sees("reloaded", "acme-tool 1.0 → 1.1: ~ tools/adder; generation 2")

    world.watch(story, "--load")


def test_what_comes_changes_and_goes_without_being_imported(world):
    """
    Installed, updated, removed: each has its line.
    """

    def story():
        world.install(plain=False)
        world.sees("installed", "acme-tool 1.0: + tools/adder")
        world.install("1.1", plain=False)
        world.sees("updated", "acme-tool 1.0 → 1.1: ~ tools/adder")
        world.environment.uninstall("acme-tool")
        world.sees("removed", "acme-tool 1.1: - tools/adder")

    world.watch(story)

    assert "acme_tool" not in sys.modules


def test_what_may_not_come_is_refused_with_the_reason(world):
    """
    A rival for a name being served is named, with what would help.
    """
    world.install(plain=False)

    def story():
        world.install("3.0", name="rival", plain=False, **{"rival.py": "adder = 1\n"})
        line = world.sees("refused", "rival 3.0: ! tools/adder; conflict; ")
        assert "acme-tool 1.0 and rival 3.0 both advertise tools/adder" in line

    world.watch(story)


def test_an_encoding_without_arrows(world):
    """
    Where the stream knows no arrow, the versions are told apart all the same.
    """
    world.terminal = Terminal("ascii")
    world.install(plain=False)

    def story():
        world.install("1.1", plain=False)
        world.sees("updated", "acme-tool 1.0 -> 1.1")

    world.watch(story)


def test_names_are_shown_and_never_obeyed(world):
    """
    Control characters in names reach nobody's terminal as such.
    """

    def story():
        world.install(plain=False, advertises={"hotplug.tools": {"x\x1b[31m\u202ey": "acme_tool:adder"}})
        world.sees("installed", "+ tools/x\\x1b[31m\\u202ey")

    world.watch(story)

    assert "\x1b" not in world.terminal.getvalue()


# -- the configuration -----------------------------------------------------------------------------


def test_the_configuration_is_followed(world):
    """
    An edit is applied, and told with its plan; a wrong one names the line, and changes nothing.
    """
    world.install(plain=False)
    world.config.write_text("[plugins]\n")

    def story():
        world.config.write_text('[plugins]\ndisable = ["tools/adder"]\n')
        world.sees("configured", "- tools/adder; ")
        world.config.write_text('[plugins]\n\ndisable = "tools/adder"\n')
        line = world.sees("misconfigured")
        assert f"{world.config}:3: " in line
        world.config.write_text("[tools.plus]\nplugin = 'adder'\n[tools.minus]\nplugin = 'subber'\n")
        line = world.sees("configured", "+ tools/plus")
        assert "! tools/minus" in line
        assert "tools/minus: not installed; install a distribution that advertises 'subber'" in line

    world.watch(story, "--config", str(world.config))

    assert "stays as it was" not in world.terminal.getvalue()


def test_a_configuration_that_comes_later_is_followed(world):
    """
    Where there is no ``hotplug.toml`` to begin with, the first one is applied, and none is no problem.
    """
    world.install(plain=False)

    def story():
        world.config.write_text('[plugins]\ndisable = ["tools/adder"]\n')
        world.sees("configured", "- tools/adder; ")

    world.watch(story)

    assert "misconfigured" not in world.terminal.getvalue()


LIVE = """
from hotplug.market import Environment
from hotplug_broker_paper import PaperBroker

class Live(PaperBroker):
    environment = Environment.LIVE
"""


def test_what_is_live_waits_to_be_asked_for(world):
    """
    A live gateway is not reloaded by itself: the line says whom to ask.
    """
    world.install(advertises={"hotplug.brokers": {"live": "acme_live:Live"}}, **{"acme_live.py": LIVE})
    world.config.write_text('[brokers.live]\nallow_live = true\nmode = "trade"\nconnect = true\n')

    def story():
        world.edit(f"{LIVE}\nCHANGED = True\n", "acme_live.py")
        line = world.sees("pending", "acme-tool 1.0: ")
        assert "host.reload('acme-tool')" in line

    world.watch(story)

    assert world.terminal.lines[0] == "✓ loaded  brokers/live  acme-tool 1.0"


def test_what_is_installed_and_cannot_start_is_told(world):
    """
    A service that fails to start when it comes has a line of its own.
    """
    code = (
        "from hotplug import Service\n"
        "class Feed(Service):\n"
        "    autostart = True\n"
        "    async def start(self): raise ValueError('no line')\n"
        "    async def stop(self): ...\n"
        "    async def health(self): ...\n"
    )

    def story():
        world.install(
            plain=False, advertises={"hotplug.services": {"feed": "acme_feed:Feed"}}, **{"acme_feed.py": code}
        )
        line = world.sees("failed", "acme-tool 1.0: ! services/feed")
        assert "ValueError: no line" in line

    world.watch(story)


# -- for programs ----------------------------------------------------------------------------------

FIELDS = {
    *("event", "time", "distribution", "was", "version", "generation", "seconds"),
    *("added", "changed", "removed", "failed", "files", "error", "where", "remedy"),
}


def test_json_is_an_object_a_line(world):
    """
    First the plugins, then that it watches, then each report with all of its fields; ASCII only.
    """
    world.install(helper=f"{HELPER}print('plugins may print')\n")

    def story():
        world.edit(f"{HELPER}print('what they like')\n")
        world.sees('"event": "reloaded"')
        world.edit("x = \n")
        world.sees('"event": "refused"')
        world.edit(HELPER)
        world.sees('"generation": 3')
        points = {"hotplug.tools": {"o": "o:o"}}
        world.install("2.0", name="other", advertises=points, plain=False, **{"o.py": "1 / 0\n"})
        world.sees('"event": "plugin"', '"failed"', after=4)

    world.watch(story, "--json", "--load")

    told = world.terminal.objects()
    assert len(told) == 7, "\n".join(map(str, told))
    plugin, watching, reloaded, refused, _, installed, tried = told
    helper = str(world.environment.folder / "acme_tool/helper.py")
    assert (plugin["event"], plugin["key"], plugin["state"]) == ("plugin", "adder", "loaded")
    assert watching.keys() == {"event", "time", "mode", "places", "polled"}
    assert (watching["event"], watching["mode"], watching["polled"]) == ("watching", "events", {})
    assert reloaded.keys() == refused.keys() == installed.keys() == FIELDS
    assert reloaded["time"].endswith("+00:00")
    assert (reloaded["was"], reloaded["version"], reloaded["generation"]) == ("1.0", "1.0", 2)
    assert reloaded["changed"] == ["tools/adder"]
    assert reloaded["files"] == [helper]
    assert 0 < reloaded["seconds"] < 20
    assert refused["failed"] == ["tools/adder"]
    assert refused["where"] == f"{helper}:1"
    assert (installed["event"], installed["added"]) == ("installed", ["tools/o"])
    assert (tried["name"], tried["state"], tried["wrong"]) == ("o", "failed", True)
    assert world.terminal.getvalue().isascii()


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_what_the_host_warns_of_is_shown(world, arguments, capsys):
    """
    A warning of hotplug's has its line, and does not appear on standard error as well.
    """

    def story():
        logging.getLogger("hotplug.host").warning("closed although %s", "in use")
        line = world.sees("warning", "hotplug.host", "closed although in use")
        assert line.isascii()

    world.watch(story, *arguments)

    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_what_is_polled_is_said(world, arguments):
    """
    Where events do not tell of changes, it is said which path is looked at by the clock, and why.
    """
    world.monkeypatch.setenv("HOTPLUG_FORCE_POLLING", "1")
    world.install()

    def story():
        world.edit(f"{HELPER}# edited\n")
        world.sees("edited", "acme-tool")

    world.watch(story, *arguments)

    assert str(world.environment.folder) in world.sees("polled", "HOTPLUG_FORCE_POLLING is set")


def test_what_was_not_shown_yet_is_shown_in_the_end(world):
    """
    What the host says while it is closed is not lost.
    """
    world.install(
        advertises={"hotplug.services": {"feed": "acme_feed:Feed"}},
        **{
            "acme_feed.py": "from hotplug import Service\n"
            "class Feed(Service):\n"
            "    autostart = True\n"
            "    async def start(self): ...\n"
            "    async def stop(self): raise ValueError('it does not stop')\n"
            "    async def health(self): ...\n"
        },
    )

    world.watch(nothing)

    assert "it does not stop" in world.terminal.lines[-1]


def test_a_wrong_configuration_is_no_start(cli):
    """
    A file that cannot be used at the start is a usage error, as for every verb.
    """
    answer = cli("watch", config="[host]\nload_timout = 3\n")

    assert answer.exit_code == 2
    assert "load_timeout" in answer.stderr


def test_it_has_its_place_in_the_help(cli):
    """
    The verb is listed, with what it does.
    """
    assert "watch" in cli("--help").stdout
    assert isinstance(cli("watch", "--help").exit_code, int)
    assert "--json" in click.unstyle(cli("watch", "--help").stdout)
