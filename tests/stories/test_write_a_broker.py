"""The README's tutorial, done by a stranger: from a scaffold to an order placed by an installed wheel."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.real_services

ROOT = Path(__file__).parents[2]
SECTION = re.search(r"^### Write a broker\n(.*?)^##", (ROOT / "README.md").read_text(), re.S | re.M)[1]
COMMANDS = re.findall(r"^    (\w.*)$", re.sub(r"^```.*?^```", "", SECTION, flags=re.S | re.M), re.M)
LONG = 300


def environ(**more):
    dropped = ("VIRTUAL_ENV", "PYTHONPATH", "HOTPLUG_CONFIG", "HOTPLUG_DATA", "COVERAGE_PROCESS_START")
    return {key: value for key, value in os.environ.items() if key not in dropped} | more


def run(*command, cwd):
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=LONG, env=environ(), cwd=cwd
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    """A fresh environment in which nothing but hotplug was installed, by plain pip; its bin folder."""
    folder = tmp_path_factory.mktemp("stranger") / "venv"
    run(sys.executable, "-m", "venv", folder, cwd=folder.parent)
    run(folder / "bin" / "python", "-m", "pip", "install", "-q", ROOT, cwd=folder.parent)
    return folder / "bin"


def follow(commands, stranger, folder):
    """Do what the tutorial says, one command after the other; where that leads, and what was written."""
    written = []
    for command in commands:
        verb, *words = shlex.split(command)
        if verb == "cd":
            folder = folder / words[0]
        else:
            written.append(run(stranger / verb, *words, cwd=folder))
    return folder, written


def file_of(fence, name):
    """The tutorial's file called *name*."""
    [text] = re.findall(rf"^```{fence}\n(# {re.escape(name)}\n.*?)^```", SECTION, re.S | re.M)
    return text


def venue_of(project):
    """The exchange that the scaffold's tests trade with."""
    path = project / "tests" / "acme_venue.py"
    spec = importlib.util.spec_from_file_location("acme_venue", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.AcmeVenue()


def test_the_tutorial_leads_to_an_order(stranger, tmp_path):
    """
    Each command of it works, the suite passes, and the wheel, installed while the host runs, places an order.
    """
    at_first = COMMANDS.index("pytest") + 1
    project, written = follow(COMMANDS[:at_first], stranger, tmp_path)
    assert re.search(r"= \d\d passed, \d skipped in", written[-1].splitlines()[-1])

    run(stranger / "pip", "uninstall", "-q", "-y", "acme-broker", cwd=tmp_path)
    with venue_of(project) as venue:
        config = file_of("toml", "hotplug.toml").replace("http://127.0.0.1:8080", venue.url)
        (tmp_path / "hotplug.toml").write_text(config)
        (tmp_path / "trade.py").write_text(file_of("py", "trade.py"))
        with subprocess.Popen(
            [stranger / "python", "trade.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environ(ACME_TOKEN="let me in", HOTPLUG_DATA=str(tmp_path / "data")),
            cwd=tmp_path,
        ) as host:
            try:
                prompt = host.stdout.read(len("Install"))  # it runs, without the broker
                follow(COMMANDS[at_first:], stranger, project)
                told, errors = host.communicate("\n", timeout=LONG)
            finally:
                host.kill()
        arrivals = venue.arrivals

    assert prompt == "Install", errors
    assert host.returncode == 0, errors
    assert re.search(r"NEW A0\nCANCELED$", told.strip()), (told, errors)
    assert len(arrivals) == 1
    journal = (tmp_path / "data" / "orders" / "acme.jsonl").read_text()
    assert arrivals[0][0] in journal
    assert "let me in" not in journal + told + errors


@pytest.mark.parametrize("kind", ["agent", "service", "strategy", "tool"])
def test_other_scaffolds_pass_their_suites(kind, stranger, tmp_path):
    """
    What is made for the other kinds, installed as its own answer says, passes its tests in a fresh process.
    """
    told = run(stranger / "hotplug", "new", kind, "acme", cwd=tmp_path)
    [line] = re.findall(r"See for yourself:\s+(.*)", told)
    line = line.replace("hotplug-broker-paper", str(ROOT / "plugins" / "hotplug-broker-paper"))
    _, written = follow(line.split(" && "), stranger, tmp_path)

    assert re.search(r"= \d+ passed in", written[-1].splitlines()[-1])
