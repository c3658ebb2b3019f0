"""Why something is not found, in words."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from hotplug._discovery import _explain, explain
from hotplug.testing import Environment

pytestmark = pytest.mark.usefixtures("own_index")

GROUPS = {"hotplug.brokers": "brokers", "hotplug.tools": "tools"}
ACME = {"hotplug.brokers": {"acme": "acme:Broker"}}


@pytest.fixture(autouse=True)
def _no_other_environments(monkeypatch):
    """No test finds what happens to be installed on the machine."""
    monkeypatch.setattr(_explain, "_other_site_folders", lambda: iter(()))


def told(name: str, *environments: Environment) -> list[tuple[str, tuple[str, ...]]]:
    path = [str(environment.folder) for environment in environments]
    return [(finding.reason, finding.where) for finding in explain(name, GROUPS, path)]


def remedy(name: str, *environments: Environment) -> str:
    [finding] = explain(name, GROUPS, [str(environment.folder) for environment in environments])
    return finding.remedy


@pytest.mark.parametrize("name", ["acme", "brokers/acme", "acme-broker", "Acme_Broker"])
def test_what_is_well_needs_no_explanation(environment, name):
    """
    A plugin that is found, by whatever name, has no findings.
    """
    environment.install("acme-broker", advertises=ACME)

    assert told(name, environment) == []


def test_not_installed(environment):
    """
    What is nowhere is not installed, and close names are offered.
    """
    environment.install("acme-broker", advertises=ACME)

    assert told("brokers/acne", environment) == [("not installed", ())]
    assert "did you mean 'brokers/acme'?" in remedy("brokers/acne", environment)


@pytest.mark.parametrize("group", ["hotplug.broker", "acme.brokers"])
@pytest.mark.parametrize("name", ["acme", "brokers/acme", "acme-broker"])
def test_wrong_group(environment, group, name):
    """
    An entry point in a group that nobody looks at is found, with the group that was meant.
    """
    info = environment.install("acme-broker", advertises={group: {"acme": "acme:Broker"}})

    assert [("wrong group", (str(info),))] == told(name, environment)
    assert f"[{group}]" in remedy(name, environment)
    assert "hotplug.brokers" in remedy(name, environment)


def test_another_kind(environment):
    """
    A plugin that was asked for under the wrong kind is named with its own.
    """
    environment.install("acme-broker", advertises=ACME)

    assert [reason for reason, _ in told("tools/acme", environment)] == ["wrong group"]
    assert remedy("tools/acme", environment) == "acme is one of the brokers"


def test_scripts_are_no_plugins(environment):
    """
    A command of the same name is not mistaken for a plugin in the wrong group.
    """
    environment.install("other", advertises={"console_scripts": {"acme": "a:b"}})

    assert told("acme", environment) == [("not installed", ())]


def test_no_entry_points(environment):
    """
    A distribution that is installed and advertises nothing is told so.
    """
    info = environment.install("acme-broker")

    assert [("advertises nothing", (str(info),))] == told("acme-broker", environment)


def test_shadowed(tmp_path):
    """
    A distribution that is hidden by an earlier one is named with both places.
    """
    first, second = Environment(tmp_path / "1"), Environment(tmp_path / "2")
    hiding = first.install("acme-broker", "1.0", advertises={"console_scripts": {"x": "y:z"}})
    hidden = second.install("acme-broker", "2.0", advertises=ACME)

    assert [("shadowed", (str(hiding), str(hidden)))] == told("brokers/acme", first, second)


def test_a_leftover_does_not_shadow(tmp_path):
    """
    An empty dist-info earlier on the path is broken, and hides nobody.
    """
    first, second = Environment(tmp_path / "1"), Environment(tmp_path / "2")
    (first.folder / "acme_broker-0.9.dist-info").mkdir()
    second.install("acme-broker", advertises=ACME)

    reasons = [reason for reason, _ in told("acme-broker", first, second)]

    assert "broken metadata" in reasons
    assert "shadowed" not in reasons


def test_leftovers(environment):
    """
    What an interrupted pip renamed is found by the name it had.
    """
    info = environment.install("acme-broker", advertises=ACME)
    left = info.with_name("~cme_broker-1.0.dist-info")
    shutil.move(info, left)
    (environment.folder / "~ther-1.0.dist-info").mkdir()
    (environment.folder / "~").mkdir()

    assert [("leftover", (str(left),))] == told("acme-broker", environment)


def test_broken_metadata(environment):
    """
    Whatever discovery complains of is repeated for the plugin it concerns, and for no other.
    """
    info = environment.install("acme-broker", advertises=ACME)
    environment.install("other", advertises={"hotplug.tools": {"other": "a:b"}})
    (info / "entry_points.txt").write_text("[hotplug.brokers]\nacme = acme:Broker\nbad\n")

    assert [("broken metadata", (str(info / "entry_points.txt"),))] == told("acme", environment)
    assert told("other", environment) == []


def test_other_environment(environment, tmp_path, monkeypatch):
    """
    What is installed elsewhere only is found there; what is here, too, is not looked for.
    """
    other = Environment(tmp_path / "other")
    info = other.install("acme-broker", advertises=ACME)
    monkeypatch.setattr(
        _explain, "_other_site_folders", lambda: iter([str(other.folder), str(environment.folder)])
    )

    elsewhere = told("acme-broker", environment)
    environment.install("acme-broker", advertises=ACME)

    assert [("other environment", (str(info),))] == elsewhere
    assert told("acme-broker", environment) == []


def test_environments_that_can_be_known(monkeypatch, tmp_path):
    """
    The user's folder, the base installation and the activated environment are looked at.
    """
    monkeypatch.undo()
    site = tmp_path / "lib" / "python3.99" / "site-packages"
    site.mkdir(parents=True)
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path))
    monkeypatch.delenv("CONDA_PREFIX", raising=False)

    folders = list(_explain._other_site_folders())

    assert str(site) in folders
    assert any(Path(sys.base_prefix) in Path(folder).parents for folder in folders)


def test_findings_read_well():
    """
    A finding as text has its reason, its remedy and its places.
    """
    finding = _explain.Finding("shadowed", "remove one", ("/a", "/b"))

    assert str(finding) == "shadowed: remove one (/a, /b)"
    assert str(_explain.Finding("x", "y")) == "x: y"


def test_absent_folders(tmp_path):
    """
    A path with nothing in it explains nothing but that.
    """
    assert [finding.reason for finding in explain("acme", GROUPS, [str(tmp_path / "no")])] == [
        "not installed"
    ]
