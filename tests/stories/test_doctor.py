"""The doctor with real children: no plugin can harm it, deceive it or hold it up."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from hotplug._cli import _children, _doctor
from hotplug._cli._children import Task, run_all
from hotplug._config import Config

pytestmark = pytest.mark.real_services

TOOL = "def adder(a: int, b: int) -> int:\n    return a + b\n"
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


def only(rows):
    [row] = rows
    return row


def task(environment, name="tools/adder", do="examine", **facts):
    facts = {"limit": 10.0, "patience": 30.0, "import_path": sys.path, **facts}
    return Task(do, name, Config(), path=environment.path, **facts)


def test_not_installed(diagnose, plugin):
    """
    A plugin that the configuration names and nobody advertises: a close match is offered.
    """
    plugin(name="adder")

    rows, code = diagnose(config='[tools.plus]\nplugin = "addder"\n')

    row = next(row for row in rows if row["key"] == "plus")
    assert (row["reason"], code) == ("not installed", 1)
    assert "did you mean 'adder'?" in row["remedy"]


def test_missing_dependency(diagnose, plugin):
    """
    A module that imports what is not installed: the module and who needs it are named.
    """
    plugin("import not_there_at_all")

    rows, code = diagnose()

    assert (only(rows)["reason"], code) == ("missing dependency", 1)
    assert "install what provides 'not_there_at_all'; acme needs it" in only(rows)["remedy"]


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


def test_timed_out(diagnose, plugin):
    """
    An import that does not return: where it waits is in the error.
    """
    plugin("import threading\nthreading.Event().wait()  # for ever\n")

    rows, code = diagnose("--timeout", "0.3")

    assert (only(rows)["state"], only(rows)["reason"], code) == ("timed_out", "timed out", 1)
    assert "threading.Event().wait()  # for ever" in only(rows)["error"]
    assert only(rows)["remedy"]


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
    monkeypatch.setattr(_doctor, "SPARE", 1.5)
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

    deadline = time.monotonic() + 20

    def stop(_task, outcome):
        while not pid_file.exists():
            assert time.monotonic() < deadline, outcome
            threading.Event().wait(0.01)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run_all([task(environment, "tools/hangs"), task(environment, "tools/adder")], stop)

    assert gone(int(pid_file.read_text()))
