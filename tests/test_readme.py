"""The README: its code runs, and it leaves out no public name, hook or command."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

import hotplug
import hotplug.brokers
from hotplug import hookspecs

README = (Path(__file__).parents[1] / "README.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


@pytest.fixture
def namespace(tmp_path, monkeypatch, capsys):
    """What the Python blocks define, run one after the other; what they reload is as it was afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOTPLUG_CONFIG", raising=False)
    names = {"__name__": "readme"}
    before = dict(sys.modules)
    for number, block in enumerate(blocks("python"), 1):
        exec(compile(block, f"README block {number}", "exec"), names)
    yield names
    sys.modules.update(before)


def test_the_code_runs(namespace, capsys):
    """
    Every Python block of the README runs, and discovery finds what is installed.
    """
    assert "brokers/paper from hotplug-broker-paper" in capsys.readouterr().out


def test_the_suite_passes(namespace):
    """
    The tests that the README's own plugin inherits are there, and every one passes.
    """
    suite = namespace["TestMomentum"]
    tests = [name for name in dir(suite) if name.startswith("test_")]

    assert "test_it_trades_in_this_market" in tests
    for name in tests:
        getattr(suite(), name)()


@pytest.mark.parametrize("block", [text for text in blocks("toml") if "[project]" not in text])
def test_the_configurations_are_right(block):
    """
    Every configuration in the README parses.
    """
    assert hotplug.Config.parse(block)


def test_the_project_file_is_right():
    """
    The tutorial's pyproject.toml advertises its plugin in a group that hotplug knows.
    """
    [block] = [text for text in blocks("toml") if "[project]" in text]
    groups = tomllib.loads(block)["project"]["entry-points"]

    assert set(groups) <= {kind.group for kind in hotplug.KINDS}


@pytest.mark.parametrize("name", hotplug.__all__)
def test_every_public_name_is_in_the_readme(name):
    """
    What can be imported has a line.
    """
    assert re.search(rf"`[^`\n]*\b{name}\b[^`\n]*`", README)


@pytest.mark.parametrize("name", hotplug.brokers.__all__)
def test_every_name_of_brokers_is_in_the_readme(name):
    """
    What the authors and operators of brokers can import has a line.
    """
    assert re.search(rf"`[^`\n]*\b{name}\b[^`\n]*`", README)


def test_the_hooks_in_the_readme_are_all():
    """
    The README's table of hooks is the specification's.
    """
    assert set(re.findall(r"^\| `(hotplug_\w+)\(", README, re.MULTILINE)) == {
        name for name in vars(hookspecs) if name.startswith("hotplug_")
    }


def test_every_verb_is_in_the_readme():
    """
    Every command of the command line has a line.
    """
    from hotplug._cli._app import app

    for verb in app.commands:
        assert f"`hotplug {verb}" in README
