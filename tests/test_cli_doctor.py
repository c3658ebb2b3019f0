"""The doctor: one reason and one remedy for each thing that can be wrong, and no plugin that can harm it."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import click
import pytest
from rich.console import Console

from hotplug._cli import _children, _doctor, _probe
from hotplug._cli._children import Outcome, Task, run_all
from hotplug._cli._doctor import show_findings
from hotplug._cli._screen import Screen
from hotplug._cli._verdicts import REMEDIES, Verdict, cause_of, of_status
from hotplug._config import Config
from hotplug._records import PluginRecord, PluginStatus

TOOL = "def adder(a: int, b: int) -> int:\n    return a + b\n"
REASONS = (
    "not installed",
    "other environment",
    "wrong group",
    "disabled",
    "not allowed",
    "shadowed",
    "failed import",
    "missing dependency",
    "API mismatch",
    "contract mismatch",
    "settings",
    "conflict",
    "timed out",
    "quarantined",
)


@pytest.fixture
def plugin(environment):
    """Installs a plugin, a tool unless said otherwise."""

    def install(code=TOOL, *, name="adder", group="hotplug.tools", value=None, distribution="acme", **facts):
        module = f"{distribution.replace('-', '_')}_{name}"
        return environment.install(
            distribution,
            "1.0",
            advertises={group: {name: f"{module}:{value or 'adder'}"}},
            files={f"{module}.py": code},
            **facts,
        )

    return install


@pytest.fixture
def diagnose(cli):
    """The doctor's rows and exit code."""

    def run(*arguments, config=None):
        answer = cli("doctor", "--json", *arguments, config=config)
        assert answer.stderr == ""
        return json.loads(answer.stdout), answer.exit_code

    return run


def only(rows):
    [row] = rows
    return row


# -- the fourteen reasons --------------------------------------------------------------------------


def test_not_installed(diagnose, plugin):
    """
    A plugin that the configuration names and nobody advertises: a close match is offered.
    """
    plugin(name="adder")

    rows, code = diagnose(config='[tools.plus]\nplugin = "addder"\n')

    row = next(row for row in rows if row["key"] == "plus")
    assert (row["reason"], code) == ("not installed", 1)
    assert "did you mean 'adder'?" in row["remedy"]


def test_not_installed_by_name(diagnose):
    """
    What nobody has heard of is not installed, whatever was meant.
    """
    rows, code = diagnose("brokers/nope")

    assert (only(rows)["reason"], code) == ("not installed", 1)
    assert "install a distribution" in only(rows)["remedy"]


def test_other_environment(diagnose, tmp_path, monkeypatch):
    """
    A distribution in another environment is found there, and the place named.
    """
    from hotplug.testing import Environment

    other = Environment(tmp_path / "other" / "lib" / "python3.11" / "site-packages")
    info = other.install("acme", advertises={"hotplug.tools": {"adder": "m:f"}})
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "other"))

    rows, code = diagnose("acme")

    assert (only(rows)["reason"], only(rows)["path"], code) == ("other environment", str(info), 1)
    assert "install it here" in only(rows)["remedy"]


def test_wrong_group(diagnose, plugin):
    """
    Advertised under a group where nobody looks, with the one that was probably meant.
    """
    plugin(group="hotplug.tool")

    rows, code = diagnose("adder")

    assert (only(rows)["reason"], code) == ("wrong group", 1)
    assert "did you mean 'hotplug.tools'?" in only(rows)["remedy"]


def test_disabled(diagnose, plugin):
    """
    Disabled by the configuration: shown with the way back, but nothing is wrong, and nothing imported.
    """
    plugin("raise SystemExit('imported!')")

    rows, code = diagnose(config='[plugins]\ndisable = ["tools/adder"]\n')

    assert (only(rows)["reason"], only(rows)["wrong"], code) == ("disabled", False, 0)
    assert "[plugins] disable" in only(rows)["remedy"]


def test_not_allowed(diagnose, plugin):
    """
    Installed, but its distribution is not among the allowed ones.
    """
    plugin()

    rows, code = diagnose(config='[plugins]\nallow = ["hotplug-*"]\n')

    assert (only(rows)["reason"], code) == ("not allowed", 1)
    assert "add 'acme' to [plugins] allow" in only(rows)["remedy"]


def test_shadowed(cli, plugin, tmp_path):
    """
    The same distribution stands earlier on the path: both places are named.
    """
    from hotplug.testing import Environment

    first = plugin(name="other")
    later = Environment(tmp_path / "later").install("acme", advertises={"hotplug.tools": {"adder": "m:f"}})

    answer = cli("--path", str(tmp_path / "later"), "doctor", "adder", "--json")

    row = only(json.loads(answer.stdout))
    assert (row["reason"], answer.exit_code) == ("shadowed", 1)
    assert row["where"] == [str(first), str(later)]
    assert "remove one of them" in row["remedy"]


def test_failed_import(diagnose, plugin):
    """
    A module that raises: the error is there, with its traceback.
    """
    plugin("raise ValueError('boom')")

    rows, code = diagnose()

    row = only(rows)
    assert (row["state"], row["reason"], code) == ("failed", "failed import", 1)
    assert "import raised ValueError: boom" in row["error"]
    assert "acme_adder.py" in row["error"]
    assert row["remedy"]


def test_missing_dependency(diagnose, plugin):
    """
    A module that imports what is not installed: the module and who needs it are named.
    """
    plugin("import not_there_at_all")

    rows, code = diagnose()

    assert (only(rows)["reason"], code) == ("missing dependency", 1)
    assert "install what provides 'not_there_at_all'; acme needs it" in only(rows)["remedy"]


def test_api_mismatch(diagnose, plugin):
    """
    A distribution for another hotplug: both versions are named, nothing is imported.
    """
    plugin("raise SystemExit('imported!')", requires=["hotplug>=9"])

    rows, code = diagnose()

    assert (only(rows)["state"], only(rows)["reason"], code) == ("refused", "API mismatch", 1)
    assert "acme 1.0 requires hotplug>=9, this is hotplug 0.1.0" in only(rows)["remedy"]


def test_contract_mismatch(diagnose, plugin):
    """
    A class that is not what its kind holds: what differs is listed.
    """
    plugin("class adder:\n    pass\n", group="hotplug.services")

    rows, code = diagnose()

    assert (only(rows)["reason"], code) == ("contract mismatch", 1)
    assert "start" in only(rows)["error"]
    assert "hotplug.services" in only(rows)["remedy"]


def test_settings(diagnose, plugin):
    """
    A setting that the plugin does not know: it is named, with a close match.
    """
    plugin(
        "import hotplug\n"
        "def adder(*, limit: int = 3) -> hotplug.Tool:\n"
        "    raise AssertionError('must not be called')\n"
    )

    rows, code = diagnose(config="[tools.adder]\nsettings = { limt = 4 }\n")

    assert (only(rows)["reason"], code) == ("settings", 1)
    assert "limit" in only(rows)["error"]
    assert "settings" in only(rows)["remedy"]


def test_conflict(diagnose, plugin):
    """
    Two distributions claim one name: neither is imported, both are named.
    """
    plugin("raise SystemExit('imported!')", distribution="acme-one")
    plugin("raise SystemExit('imported!')", distribution="acme-two")

    rows, code = diagnose()

    assert ({row["reason"] for row in rows}, len(rows), code) == ({"conflict"}, 2, 1)
    assert all("acme-one 1.0 and acme-two 1.0 both advertise" in row["remedy"] for row in rows)


def test_timed_out(diagnose, plugin):
    """
    An import that does not return: where it waits is in the error.
    """
    plugin("import threading\nthreading.Event().wait()  # for ever\n")

    rows, code = diagnose("--timeout", "0.3")

    assert (only(rows)["state"], only(rows)["reason"], code) == ("timed_out", "timed out", 1)
    assert "threading.Event().wait()  # for ever" in only(rows)["error"]
    assert only(rows)["remedy"]


def test_quarantined():
    """
    A plugin in quarantine needs no more than its state to get a reason and a remedy.
    """
    record = PluginRecord("tools", "hotplug.tools", "adder", "m:f", "acme", "1.0")

    verdict = of_status(PluginStatus(record, "adder", "quarantined"))

    assert (verdict.reason, verdict.wrong) == ("quarantined", True)
    assert "reload" in verdict.remedy


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_has_a_remedy(reason):
    """
    A status that comes without remedy gets the one of its reason.
    """
    record = PluginRecord("tools", "hotplug.tools", "adder", "m:f", "acme", "1.0")

    assert of_status(PluginStatus(record, "adder", "failed", reason)).remedy == REMEDIES[reason]


# -- what plugins may do, and do no harm with ------------------------------------------------------


def test_a_plugin_that_ends_the_process_is_a_finding(diagnose, plugin):
    """
    It ended a child, not the doctor; how is said, and the others were tried.
    """
    ways = {
        "exit-0": ("import os; os._exit(0)", "exit code 0"),
        "exit-7": ("import os; os._exit(7)", "exit code 7"),
        "crash": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "killed by SIGSEGV"),
        "interrupt": ("raise KeyboardInterrupt", "killed by SIGINT"),
    }
    for name, (code, _) in ways.items():
        plugin(code, distribution=f"acme-{name}", name=name.replace("-", "_"))
    plugin()

    rows, exit_code = diagnose()

    row = {row["name"]: row for row in rows}
    assert (exit_code, row["adder"]["state"]) == (1, "loaded")
    for name, (_, how) in ways.items():
        ended = row[name.replace("-", "_")]
        assert (ended["state"], ended["reason"]) == ("failed", "failed import")
        assert how in ended["remedy"]


def test_a_crash_leaves_its_stack(diagnose, plugin):
    """
    A segmentation fault is shown with the line of the plugin.
    """
    plugin("import ctypes\nctypes.string_at(0)\n")

    rows, _ = diagnose()

    assert "Segmentation fault" in only(rows)["error"]
    assert "acme_adder.py" in only(rows)["error"]


def test_a_plugin_that_holds_the_interpreter_times_out(diagnose, plugin, monkeypatch):
    """
    Code that lets no other thread run is ended by the watchdog, which says where it was.
    """
    monkeypatch.setattr(_doctor, "SPARE", 0.3)
    plugin("import re\nre.match(r'(a+)+$', 'a' * 60 + 'b')\n")

    rows, code = diagnose("--timeout", "0.2")

    assert (only(rows)["state"], code) == ("timed_out", 1)
    assert "acme_adder.py" in only(rows)["error"]


def test_a_plugin_that_takes_the_watchdog_away_is_killed(diagnose, plugin, monkeypatch):
    """
    The doctor's own patience ends, too.
    """
    monkeypatch.setattr(_doctor, "SPARE", 0.3)
    monkeypatch.setattr(_children, "LAST_GRACE", 0.3)
    plugin(
        "import faulthandler, re\n"
        "faulthandler.cancel_dump_traceback_later()\n"
        "re.match(r'(a+)+$', 'a' * 60 + 'b')\n"
    )

    rows, _ = diagnose("--timeout", "0.2")

    assert only(rows)["state"] == "timed_out"


def test_what_a_plugin_prints_is_not_the_answer(diagnose, plugin):
    """
    Garbage on its standard output corrupts nothing, and is kept.
    """
    plugin("import os\nprint('{]' * 40_000)\nos.write(1, b'\\xff')\n" + TOOL)

    rows, code = diagnose()

    assert (only(rows)["state"], code) == ("loaded", 0)
    assert only(rows)["output"].endswith("{]\n\ufffd")
    assert len(only(rows)["output"]) == _children.TAIL


def test_a_plugin_that_asks_the_terminal_gets_no_answer(diagnose, plugin):
    """
    Reading standard input ends at once: nobody waits at night.
    """
    plugin("input('password: ')")

    rows, _ = diagnose()

    assert "EOFError" in only(rows)["error"]


def test_threads_left_running_do_not_hold_up_the_doctor(diagnose, plugin):
    """
    What a plugin starts at import ends with the child.
    """
    plugin("import threading\nthreading.Thread(target=threading.Event().wait).start()\n" + TOOL)

    rows, code = diagnose()

    assert (only(rows)["state"], code) == ("loaded", 0)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_processes_left_running_are_ended(diagnose, plugin, tmp_path):
    """
    A grandchild that holds the pipe neither survives nor holds up the doctor.
    """
    pid_file = tmp_path / "pid"
    plugin(
        "import pathlib, subprocess\n"
        f"child = subprocess.Popen(['sleep', '600'])\n"
        f"pathlib.Path({str(pid_file)!r}).write_text(str(child.pid))\n" + TOOL
    )

    rows, _ = diagnose()

    assert only(rows)["state"] == "loaded"
    assert gone(int(pid_file.read_text()))


def gone(pid, within=5.0):
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        threading.Event().wait(0.01)
    return False


# -- hooks, kinds, commands ------------------------------------------------------------------------


HOOKS = """
from hotplug.hookspecs import hookimpl
from hotplug import Kind

class Hooks:
    @hookimpl
    def hotplug_kinds(self):
        return [Kind("exporters", "collections.abc:Callable", group="acme.exporters")]

    @hookimpl
    def hotplug_discovered(self, records):
        return {record: "not at night" for record in records if record.name == "adder"}
"""


def test_hooks_are_asked(diagnose, plugin):
    """
    Kinds that hooks add are tried as well, and what a hook vetoes is shown, but not wrong.
    """
    plugin()
    plugin(HOOKS, name="h", group="hotplug.hooks", value="Hooks", distribution="acme-hooks")
    plugin("def out(): ...", name="out", group="acme.exporters", value="out", distribution="acme-out")

    rows, code = diagnose(config="[exporters.out]\n")

    states = {f"{row['kind']}/{row['name']}": (row["state"], row["reason"]) for row in rows}
    assert states == {
        "hooks/h": ("loaded", ""),
        "tools/adder": ("blocked", "vetoed"),
        "exporters/out": ("loaded", ""),
    }
    assert code == 0


def test_hooks_that_end_the_process_are_the_only_findings(diagnose, plugin):
    """
    Every host would load it, but the blame is its own: not the plugins', nor the other hooks'.
    """
    plugin()
    for name in ("a", "b"):
        code = "import os; os._exit(3)"
        plugin(code, name=name, group="hotplug.hooks", distribution=f"acme-{name}")
    plugin("class Hooks: ...", name="fine", group="hotplug.hooks", value="Hooks", distribution="acme-fine")

    rows, code = diagnose()

    states = {row["name"]: row["state"] for row in rows}
    assert states == {"a": "failed", "b": "failed", "fine": "loaded", "adder": "loaded"}
    assert code == 1


def test_a_hook_that_no_host_could_take_is_the_only_finding(diagnose, plugin):
    """
    A kind that is there already would stop every host: the hook is to blame, not the plugins.
    """
    plugin()
    code = HOOKS.replace('"exporters"', '"tools"')
    plugin(code, name="h", group="hotplug.hooks", value="Hooks", distribution="acme-hooks")

    rows, _ = diagnose()

    row = {row["name"]: row for row in rows}
    assert (row["h"]["state"], row["adder"]["state"]) == ("failed", "loaded")
    assert "two kinds are called 'tools'" in row["h"]["error"]


@pytest.mark.parametrize(
    ("code", "state", "reason"),
    [
        ("def adder(): ...", "loaded", ""),
        ("adder = 3", "failed", "contract mismatch"),
        ("import threading; threading.Event().wait()", "timed_out", "timed out"),
    ],
)
def test_verbs_of_distributions_are_tried(diagnose, plugin, code, state, reason):
    """
    A verb is imported and checked, not run.
    """
    plugin(code, group="hotplug.commands")

    rows, _ = diagnose("--timeout", "0.3")

    assert (only(rows)["state"], only(rows)["reason"]) == (state, reason)


# -- names, environment, configuration -------------------------------------------------------------


def test_one_plugin_alone(diagnose, plugin, environment):
    """
    `doctor NAME` tries nobody else.
    """
    witness = environment.folder / "witness"
    plugin()
    plugin(f"open({str(witness)!r}, 'w').close()", distribution="acme-other", name="other")

    rows, code = diagnose("acme")

    assert (only(rows)["name"], only(rows)["state"], code) == ("adder", "loaded", 0)
    assert not witness.exists()


def test_a_second_installation_is_told_of_a_plugin_that_works(cli, plugin, tmp_path):
    """
    The plugin loads, but another installation of it is shadowed: somebody may miss that one.
    """
    from hotplug.testing import Environment

    plugin()
    Environment(tmp_path / "later").install("acme", "2.0", advertises={"hotplug.tools": {"adder": "m:f"}})

    answer = cli("--path", str(tmp_path / "later"), "doctor", "acme", "--json")

    states = [(row["state"], row["reason"]) for row in json.loads(answer.stdout)]
    assert states == [("loaded", ""), ("failed", "shadowed")]


def test_a_stranger_of_the_same_name_is_no_finding(diagnose, plugin):
    """
    Another distribution may use the name in a group of its own.
    """
    plugin()
    plugin(group="flask.commands", distribution="acme-web")

    rows, code = diagnose("adder")

    assert (only(rows)["state"], code) == ("loaded", 0)


def test_broken_metadata_is_a_finding(diagnose, plugin, environment):
    """
    What hides a plugin is named with its file; the plugins beside it are tried.
    """
    plugin()
    environment.install("bad", advertises={"hotplug.tools": {"bad": "bad:bad"}})
    [points] = environment.folder.glob("bad-*/entry_points.txt")
    points.write_bytes(b"")

    rows, code = diagnose()

    assert [(row["kind"], row["state"]) for row in rows] == [("tools", "loaded"), ("environment", "broken")]
    assert (rows[1]["path"], rows[1]["reason"], code) == (str(points), "broken metadata", 1)


def test_a_kind_that_does_not_exist(diagnose, plugin):
    """
    Tables and policies of an unknown kind are findings, with line and close match.
    """
    plugin()
    config = (
        '[plugins]\ndisable = ["tolls/x", "*/y", "commands/z"]\nconflicts = { "agnts/a" = "acme" }\n'
        '[brokerz.main]\nplugin = "paper"\n'
    )

    rows, code = diagnose(config=config)

    wrong = {row["kind"]: (row["line"], row["remedy"]) for row in rows if row["wrong"]}
    assert wrong == {
        "tolls": (2, "mend the name of the kind (did you mean 'tools'?)"),
        "agnts": (3, "mend the name of the kind (did you mean 'agents'?)"),
        "brokerz": (4, "mend the name of the kind (did you mean 'brokers'?)"),
    }
    assert code == 1


def test_secrets_stay_secret(cli, plugin, monkeypatch):
    """
    A secret reaches the plugin's child by reference, and no report.
    """
    monkeypatch.setenv("ADDER_TOKEN", "s3cr3t")
    plugin("import hotplug\ndef adder(*, token: int) -> hotplug.Tool: ...\n")
    config = '[tools.adder]\nsettings = { token = { env = "ADDER_TOKEN" } }\n'

    answer = cli("doctor", "--json", config=config)

    assert only(json.loads(answer.stdout))["reason"] == "settings"
    assert "s3cr3t" not in answer.output


# -- config check ----------------------------------------------------------------------------------


def test_check_of_a_right_configuration(cli, plugin, tmp_path):
    """
    Everything that it names is tried with its settings: exit code 0 and one line.
    """
    plugin()

    answer = cli("config", "check", config='[tools.plus]\nplugin = "adder"\n')

    assert (answer.exit_code, answer.stdout) == (0, "hotplug.toml is right: 1 plugin named, all work\n")


def test_check_finds_what_is_wrong(cli, plugin):
    """
    Missing plugins, wrong settings and unknown kinds; plugins that it does not name are not tried.
    """
    plugin()
    plugin("raise SystemExit('imported!')", distribution="acme-other", name="other")
    config = (
        '[tools.plus]\nplugin = "adder"\nsettings = { n = 1 }\n[tools.minus]\nplugin = "subber"\n[tolls.x]\n'
    )

    answer = cli("config", "check", "--json", config=config)

    reasons = {row["key"]: row["reason"] for row in json.loads(answer.stdout)}
    assert reasons == {"plus": "settings", "minus": "not installed", "x": "unknown kind"}
    assert answer.exit_code == 1
    assert "tools/minus (subber): not installed" in cli("config", "check").stdout


def test_check_of_a_wrong_file(cli):
    """
    A file that is rejected whole is a finding with its line; one that is not there, or none, is usage.
    """
    none = cli("config", "check")
    missing = cli("config", "check", "nowhere.toml")
    answer = cli("config", "check", "--json", config="[host]\nload_timout = 3\n")

    row = only(json.loads(answer.stdout))
    assert (none.exit_code, missing.exit_code, answer.exit_code) == (2, 2, 1)
    assert (row["state"], row["reason"], row["line"]) == ("broken", "wrong configuration", 2)
    assert "load_timeout" in row["error"]


# -- for people ------------------------------------------------------------------------------------


def test_a_report_for_people(cli, plugin):
    """
    A row for every plugin, then for each finding its reason, cause and remedy, then a summary.
    """
    plugin("import not_there_at_all")
    plugin(distribution="acme-fine", name="fine")

    answer = cli("doctor")

    lines = answer.stdout.splitlines()
    assert lines[:4] == [
        "✗ failed  tools/adder  acme 1.0       missing dependency",
        "✓ loaded  tools/fine   acme-fine 1.0",
        "",
        "tools/adder: missing dependency",
    ]
    assert "  error:  needs the module 'not_there_at_all', which is not installed" in lines
    assert "  remedy: install what provides 'not_there_at_all'; acme needs it" in lines
    assert lines[-1] == "2 looked at, 1 problem"


def test_one_name_is_reported_in_full(cli, plugin):
    """
    `doctor NAME` shows the traceback, and the way back of what is disabled.
    """
    plugin("raise ValueError('boom')")
    plugin(distribution="acme-off", name="off")
    config = '[plugins]\ndisable = ["tools/off"]\n'

    assert "Traceback" in cli("doctor", "adder", config=config).stdout
    assert "remedy: remove tools/off from [plugins] disable" in cli("doctor", "off").stdout


def test_a_report_in_eighty_columns():
    """
    On a terminal the report fits, and no word of it is lost.
    """
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    words = " ".join(f"word{number}" for number in range(60))
    verdict = Verdict(
        "tools", "x", "x", "acme", "1.0", "failed", "failed import", words, f"E: {words}\n  - {words}"
    )

    show_findings([verdict], Screen(console))

    shown = click.unstyle(console.file.getvalue())
    assert max(map(len, shown.splitlines())) <= 80
    assert all(shown.split().count(f"word{number}") == 3 for number in range(60))


def test_nothing_to_look_at(cli):
    """
    An empty environment is not ill.
    """
    answer = cli("doctor")

    assert answer.exit_code == 0
    assert "0 looked at, 0 problems" in answer.stdout


def test_progress_is_shown_on_a_terminal_only(monkeypatch):
    """
    On a terminal a bar says how far it is, on standard error; in a pipe there is none.
    """
    record = PluginRecord("tools", "hotplug.tools", "adder", "m:f", "acme", "1.0")
    status = PluginStatus(record, "adder", "discovered")
    shown = {}
    for force in (True, False):
        console = Console(file=io.StringIO(), force_terminal=force, width=80)
        monkeypatch.setattr(_doctor, "Console", lambda console=console, **_options: console)
        with _doctor.progress([status]) as done:
            done("tools/adder")
        shown[force] = click.unstyle(console.file.getvalue())

    assert "trying plugins" in shown[True]
    assert "1/1" in shown[True]
    assert shown[False] == ""


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        ("", ""),
        ("Traceback\n  File\nhotplug.errors.SettingsError: tools/x from acme 1.0: no (mend)", "no"),
        ("Traceback\n  File\nValueError: no\n  - this\n  - that\n", "ValueError: no\n  - this\n  - that"),
        ("plain", "plain"),
    ],
)
def test_the_cause_is_the_last_thing_raised(error, cause):
    """
    Without the way to it, and without what the report says anyway.
    """
    assert cause_of(Verdict("tools", "x", "x", "acme", "1.0", "failed", "r", "mend", error)) == cause


# -- the two sides of a child ----------------------------------------------------------------------


def task(environment, name="tools/adder", do="examine", **facts):
    facts = {"limit": 10.0, "patience": 30.0, "import_path": sys.path, **facts}
    return Task(do, name, Config(), path=environment.path, **facts)


def test_a_child_answers_into_its_file(environment, plugin, tmp_path, monkeypatch):
    """
    The answer is a whole file, then the process ends at once.
    """
    plugin()
    ends = []
    monkeypatch.setattr(os, "_exit", ends.append)

    _probe.run(json.loads(task(environment).request(tmp_path)))

    assert json.loads((tmp_path / "answer").read_text())["state"] == "loaded"
    assert (ends, list(tmp_path.glob("*.part"))) == ([0], [])


@pytest.mark.parametrize(
    ("code", "group", "name", "state"),
    [
        (TOOL, "hotplug.tools", "tools/adder", "loaded"),
        ("adder = 3", "hotplug.commands", "commands/adder", "failed"),
        ("def adder(): ...", "hotplug.commands", "commands/adder", "loaded"),
    ],
)
def test_a_child_examines(environment, plugin, tmp_path, code, group, name, state):
    """
    What it finds out is a status, as plain data.
    """
    plugin(code, group=group)
    request = json.loads(task(environment, name, limit=0.3).request(tmp_path))

    assert _probe.answer(request)["state"] == state


def test_a_child_says_where_a_plugin_waits(environment, plugin, tmp_path, monkeypatch):
    """
    The stack of the thread that was left behind is in the error.
    """
    gate = threading.Event()
    monkeypatch.setitem(sys.modules, "tests_gate", type("Gate", (), {"wait": gate.wait}))
    plugin(f"import tests_gate\ntests_gate.wait()  # here\n{TOOL}", name="waits")
    request = json.loads(task(environment, "tools/waits", limit=0.2).request(tmp_path))

    status = _probe.answer(request)
    gate.set()
    for thread in threading.enumerate():
        if thread.name.startswith("hotplug import"):
            thread.join(5)

    assert status["state"] == "timed_out"
    assert "tests_gate.wait()  # here" in status["error"]


def test_a_child_asks_hooks_for_kinds(environment, plugin, tmp_path):
    """
    Names and groups, as plain data; without hooks there are none.
    """
    plugin()
    request = json.loads(task(environment, do="kinds").request(tmp_path))
    none = _probe.answer(request)
    plugin(HOOKS, name="h", group="hotplug.hooks", value="Hooks", distribution="acme-hooks")

    assert none == []
    assert _probe.answer(request) == [("exporters", "acme.exporters")]


def test_an_answer_that_makes_no_sense_is_a_finding(environment, plugin):
    """
    Neither text that is no JSON nor JSON that is no status is believed.
    """
    plugin()
    [status] = [s for s in _probe.survey(Config(), path=environment.path).statuses if s.key == "adder"]

    verdicts = [_doctor.verdict_on(status, Outcome(answer)) for answer in ({"state": "fine"}, 3, [])]

    assert {verdict.state for verdict in verdicts} == {"failed"}
    assert all("makes no sense" in verdict.remedy for verdict in verdicts)


def test_an_answer_that_is_no_json(tmp_path):
    """
    A file that somebody else wrote is no answer.
    """
    (tmp_path / "answer").write_text("{]")

    assert "makes no sense" in _children.outcome_in(tmp_path, 0, b"", in_time=True).how


def test_a_child_that_did_not_start_says_so(environment):
    """
    If not even hotplug can be imported, what the interpreter said is kept.
    """
    outcomes = []

    run_all([task(environment, import_path=[])], lambda _task, outcome: outcomes.append(outcome))

    assert "exit code 1" in only(outcomes).how
    assert "ModuleNotFoundError" in only(outcomes).output


def test_unknown_signals_have_numbers(tmp_path):
    """
    How a process ended is told even if the signal has no name.
    """
    assert "exit code -99" in _children.outcome_in(tmp_path, -99, b"", in_time=True).how


def test_without_process_groups_the_child_alone_is_ended(environment, plugin, monkeypatch):
    """
    Systems that know no process groups get along.
    """
    monkeypatch.delattr(os, "killpg")
    plugin()
    outcomes = []

    run_all([task(environment)], lambda _task, outcome: outcomes.append(outcome))

    assert only(outcomes).answer["state"] == "loaded"


def test_an_interrupted_visit_leaves_no_child(environment, plugin, tmp_path):
    """
    Whatever ends the doctor early ends the children, too.
    """
    pid_file = tmp_path / "pid"
    plugin(
        "import os, pathlib, threading\n"
        f"pathlib.Path({str(pid_file)!r}).write_text(str(os.getpid()))\nthreading.Event().wait()\n",
        name="hangs",
        distribution="acme-hangs",
    )
    plugin()

    def stop(_task, _outcome):
        while not pid_file.exists():
            threading.Event().wait(0.01)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run_all([task(environment, "tools/hangs"), task(environment, "tools/adder")], stop)

    assert gone(int(pid_file.read_text()))
