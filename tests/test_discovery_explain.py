"""Why something is not found, in words."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from discovering import ACME, GROUPS
from hotplug._discovery import _explain, explain, strays
from hotplug.testing import Environment

pytestmark = pytest.mark.usefixtures("own_index")


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


# -- strays ------------------------------------------------------------------------------------------


def strayed(*environments: Environment) -> list[tuple[str, str, tuple[str, ...]]]:
    path = [str(environment.folder) for environment in environments]
    return [(finding.reason, finding.distribution, finding.where) for finding in strays(GROUPS, path)]


@pytest.mark.parametrize(
    "group", ["hotplug.broker", "hotplug_brokers", "hotplug", "Hotplug.Brokers", "hot_plug.brokers"]
)
def test_strays_under_a_group_that_was_meant_for_us(environment, group):
    """
    A group that begins like ours, or nearly is one, is found without being asked for.
    """
    info = environment.install("acme-broker", advertises={group: {"acme": "acme:Broker"}, **ACME})

    assert [("wrong group", "acme-broker", (str(info),))] == strayed(environment)


@pytest.mark.parametrize(
    "group", ["hotplug.brokers", "console_scripts", "pytest11", "flask.commands", "pluggy.tools", "brokers"]
)
def test_groups_of_others_are_no_strays(environment, group):
    """
    What is found anyway, and what was meant for somebody else, is no finding.
    """
    environment.install("acme", advertises={group: {"acme": "acme:Broker"}})

    assert strayed(environment) == []


@pytest.mark.parametrize("advertises", [ACME, {"hotplug.broker": {"acme": "acme:Broker"}}])
def test_strays_that_are_shadowed(tmp_path, advertises):
    """
    A later installation with plugins is shadowed, under whichever group; one without is nobody's loss.
    """
    first, second = Environment(tmp_path / "1"), Environment(tmp_path / "2")
    hiding = first.install("acme", "1.0")
    hidden = second.install("acme", "2.0", advertises=advertises)
    first.install("quiet")
    second.install("quiet", advertises={"console_scripts": {"x": "y:z"}})

    assert [("shadowed", "acme", (str(hiding), str(hidden)))] == strayed(first, second)


def test_an_unsound_installation_shadows_nobody(tmp_path):
    """
    Garbage earlier on the path makes no stray of what counts.
    """
    first, second = Environment(tmp_path / "1"), Environment(tmp_path / "2")
    info = first.install("acme", "1.0")
    (info / "METADATA").write_text("garbage")
    second.install("acme", "2.0", advertises=ACME)

    assert strayed(first, second) == []


def test_the_source_of_an_editable_installation_is_no_stray(tmp_path):
    """
    The egg-info that a build leaves beside the source is not a second installation.
    """
    site = Environment(tmp_path / "site")
    site.install("acme", advertises=ACME)
    info = tmp_path / "src" / "acme.egg-info"
    info.mkdir(parents=True)
    (info / "PKG-INFO").write_text("Name: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[hotplug.brokers]\nacme = acme:Broker\n")

    assert strays(GROUPS, [str(site.folder), str(info.parent)]) == ()


def test_one_folder_by_two_names_is_not_shadowed(environment, tmp_path):
    """
    A folder that is reached by a link hides nothing of itself.
    """
    environment.install("acme", advertises=ACME)
    (tmp_path / "link").symlink_to(environment.folder)

    assert strays(GROUPS, [str(environment.folder), str(tmp_path / "link")]) == ()
    assert explain("acme", GROUPS, [str(environment.folder), str(tmp_path / "link")]) == ()


def test_strays_are_looked_for_on_sys_path_by_default(environment):
    """
    Without a path, what can be imported is looked at.
    """
    info = environment.install("acme", advertises={"hotplug.broker": {"acme": "acme:Broker"}})

    assert (str(info),) in [finding.where for finding in strays(GROUPS)]
