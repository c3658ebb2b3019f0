"""The doctor: one reason and one remedy for each thing that can be wrong, and no plugin that can harm it."""

from __future__ import annotations

import io
import json
import os
import sys
import threading
from types import SimpleNamespace

import click
import msgspec
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
    "broken install",
    "restart required",
    "reload pending",
    "polled",
)


def only(rows):
    [row] = rows
    return row


# -- the fourteen reasons --------------------------------------------------------------------------


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


def test_api_mismatch(diagnose, plugin):
    """
    A distribution for another hotplug: both versions are named, nothing is imported.
    """
    plugin("raise SystemExit('imported!')", requires=["hotplug>=9"])

    rows, code = diagnose()

    assert (only(rows)["state"], only(rows)["reason"], code) == ("refused", "API mismatch", 1)
    assert "acme 1.0 requires hotplug>=9, this is hotplug 0.1.0" in only(rows)["remedy"]


def test_conflict(diagnose, plugin):
    """
    Two distributions claim one name: neither is imported, both are named.
    """
    plugin("raise SystemExit('imported!')", distribution="acme-one")
    plugin("raise SystemExit('imported!')", distribution="acme-two")

    rows, code = diagnose()

    assert ({row["reason"] for row in rows}, len(rows), code) == ({"conflict"}, 2, 1)
    assert all("acme-one 1.0 and acme-two 1.0 both advertise" in row["remedy"] for row in rows)


def test_broken_install(diagnose, cli, plugin, environment):
    """
    A file of the installation is missing: it is named, nothing is imported, and `list` says the same.
    """
    plugin()
    (environment.folder / "acme_adder.py").unlink()

    rows, code = diagnose()
    listed = cli("list").stdout

    row = only(rows)
    assert (row["state"], row["reason"], code) == ("broken", "broken install", 1)
    assert "acme_adder.py" in row["remedy"]
    assert "install acme again" in row["remedy"]
    assert "✗ broken  tools/adder  acme 1.0  broken install" in listed


def test_polled_is_no_failure(cli, plugin, environment, monkeypatch):
    """
    Where a host would look for changes by the clock, it is said once, with path and reason; nothing is wrong.
    """
    monkeypatch.setenv("HOTPLUG_FORCE_POLLING", "1")
    plugin()
    plugin(name="wrong", distribution="other", code="raise ValueError")

    whole, one, program = cli("doctor"), cli("doctor", "adder"), cli("doctor", "adder", "--json")

    where = f"{environment.folder} is looked at by the clock (HOTPLUG_FORCE_POLLING is set)"
    assert "✓ loaded  tools/adder  acme 1.0   polled" in whole.stdout
    assert "✗ failed  tools/wrong  other 1.0  failed import" in whole.stdout
    assert whole.stdout.count(f"polled: {where}") == 1
    assert (one.exit_code, program.exit_code) == (0, 0)
    assert f"remedy: {where}" in one.stdout
    assert one.stdout.count(where) == 1
    row = only(json.loads(program.stdout))
    assert (row["state"], row["reason"], row["wrong"]) == ("loaded", "polled", False)


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


# -- what nobody asked for -----------------------------------------------------------------------------


def test_a_wrong_group_is_found_unasked(diagnose, plugin):
    """
    A distribution that advertises where nobody looks is a finding, with the group that was meant.
    """
    plugin(group="hotplug.tool")
    plugin(group="flask.commands", distribution="acme-web")

    rows, code = diagnose()

    row = only(rows)
    assert (row["kind"], row["distribution"], row["reason"]) == ("environment", "acme", "wrong group")
    assert code == 1
    assert "did you mean 'hotplug.tools'?" in row["remedy"]
    assert "acme-1.0.dist-info" in row["path"]


def test_a_shadowed_distribution_is_shown_unasked(cli, environment, tmp_path):
    """
    Both places are shown, but nothing is wrong: the order of the path may be meant so.
    """
    from hotplug.testing import Environment

    first = environment.install("acme", "1.0")
    later = Environment(tmp_path / "later").install("acme", advertises={"hotplug.tools": {"adder": "m:f"}})
    arguments = ("--path", str(tmp_path / "later"), "doctor")

    answer, shown = cli(*arguments, "--json"), cli(*arguments)

    row = only(json.loads(answer.stdout))
    assert (row["reason"], row["wrong"], answer.exit_code) == ("shadowed", False, 0)
    assert row["where"] == [str(first), str(later)]
    lines = shown.stdout.splitlines()
    assert f"  where:  {later}" in lines
    assert any(line.startswith("  remedy: acme stands earlier on the path") for line in lines)
    assert lines[-1] == "1 looked at, 0 problems"


# -- config check ----------------------------------------------------------------------------------


def test_check_of_a_right_configuration(cli, plugin, tmp_path):
    """
    Everything that it names is tried with its settings: exit code 0 and one line.
    """
    plugin()

    answer = cli("config", "check", config='[tools.plus]\nplugin = "adder"\n')

    assert (answer.exit_code, answer.stdout) == (0, "hotplug.toml is right: 1 plugin named, all work\n")


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


def test_who_did_not_come_back_has_timed_out(environment, plugin, tmp_path):
    """
    Neither an answer nor an end in time is a plugin that timed out, with the place where its watchdog saw it.
    """
    plugin()
    [status] = [s for s in _probe.survey(Config(), path=environment.path).statuses if s.key == "adder"]
    late = _children.outcome_in(tmp_path, None, b"said\n", in_time=False)
    (tmp_path / "trace").write_text("here")
    seen = _children.outcome_in(tmp_path, 1, b"", in_time=True)

    verdicts = [_doctor.verdict_on(status, outcome) for outcome in (late, seen)]

    assert [(each.state, each.reason) for each in verdicts] == [("timed_out", "timed out")] * 2
    assert verdicts[0].error.startswith("said\n")
    assert verdicts[1].error.startswith("here\n")


def test_a_child_that_is_late_is_ended(environment, monkeypatch):
    """
    Who has not ended when all patience is over is killed, and has timed out.
    """
    monkeypatch.setattr(_children, "LAST_GRACE", 0.0)
    outcomes = []

    run_all([task(environment, patience=0.0)], lambda _task, outcome: outcomes.append(outcome))

    assert only(outcomes).timed_out
    assert only(outcomes).answer is None


def test_a_child_that_did_not_start_says_so(environment):
    """
    If not even hotplug can be imported, what the interpreter said is kept.
    """
    outcomes = []

    run_all([task(environment, import_path=[])], lambda _task, outcome: outcomes.append(outcome))

    assert "exit code 1" in only(outcomes).how
    assert "ModuleNotFoundError" in only(outcomes).output


@pytest.fixture
def children(monkeypatch):
    """Children that are not started: each says that its plugin works, but for what is set here by name."""
    played = SimpleNamespace(outcomes={}, kinds=[], tasks=[])

    def play(tasks, done):
        for each in tasks:
            played.tasks.append(each)
            if each.task == "kinds":
                done(each, Outcome(played.kinds))
                continue
            kind, _, key = each.name.partition("/")
            record = PluginRecord(kind, f"hotplug.{kind}", key, f"{key}:x", "acme", "1.0")
            works = msgspec.to_builtins(PluginStatus(record, state="loaded", key=key))
            done(each, played.outcomes.get(each.name, Outcome(works)))

    monkeypatch.setattr(_doctor, "run_all", play)
    return played


def test_a_hook_that_does_not_work_is_kept_from_the_others(diagnose, plugin, children):
    """
    Hooks are tried first, each without the others; one that ended its process is not in anybody else's.
    """
    plugin()
    for name in ("bad", "good"):
        plugin("", name=name, group="hotplug.hooks", distribution=f"acme-{name}")
    children.outcomes["hooks/bad"] = Outcome(how="ended the process that tried it: exit code 3")

    rows, code = diagnose()

    assert {row["name"]: row["state"] for row in rows} == {
        "bad": "failed",
        "good": "loaded",
        "adder": "loaded",
    }
    assert [(each.name, each.disable) for each in children.tasks] == [
        ("hooks/bad", ("hooks/good",)),
        ("hooks/good", ("hooks/bad",)),
        ("", ("hooks/bad",)),
        ("tools/adder", ("hooks/bad",)),
    ]
    assert "exit code 3" in {row["name"]: row["remedy"] for row in rows}["bad"]
    assert code == 1


def test_kinds_of_hooks_are_tried(diagnose, plugin, children):
    """
    What a hook adds a kind for is a plugin like all others.
    """
    plugin("", name="h", group="hotplug.hooks", distribution="acme-hooks")
    plugin("", name="out", group="acme.exporters", distribution="acme-out")
    children.kinds = [("exporters", "acme.exporters")]

    rows, code = diagnose()

    assert {f"{row['kind']}/{row['name']}": row["state"] for row in rows} == {
        "hooks/h": "loaded",
        "exporters/out": "loaded",
    }
    assert code == 0


def test_check_finds_what_is_wrong(cli, children):
    """
    What a configuration names and nobody has is a finding, in words and by the exit code.
    """
    answer = cli("config", "check", config="[tools.minus]\nplugin = 'subber'\n")

    assert answer.exit_code == 1
    assert "tools/minus (subber): not installed" in answer.stdout
    assert children.tasks == []


def test_unknown_signals_have_numbers(tmp_path):
    """
    How a process ended is told even if the signal has no name.
    """
    assert "exit code -99" in _children.outcome_in(tmp_path, -99, b"", in_time=True).how
