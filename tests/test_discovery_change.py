"""Whatever changes is seen by the next look, and nothing is read twice."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from discovering import ACME, GROUPS, found
from hotplug import _discovery
from hotplug._discovery import _folder, discover
from hotplug.testing import Environment

pytestmark = pytest.mark.usefixtures("own_index")

OTHER = {"hotplug.brokers": {"other": "other:Broker"}}


@pytest.fixture(params=["at once", "later"])
def trusted(request):
    """Every change is seen both while stamps are young, and once they are trusted."""
    if request.param == "later":
        request.getfixturevalue("an_hour_later")


def test_sees_installations_and_removals(environment, trusted, tick):
    """
    What was installed, upgraded or removed since the last look is seen by the next.
    """
    seen = [found(environment.folder)]
    for change in (
        lambda: environment.install("acme", "1.0", advertises=ACME),
        lambda: environment.install("acme", "2.0", advertises=ACME),
        lambda: environment.install("other", "1.0", advertises=OTHER),
        lambda: environment.uninstall("acme"),
    ):
        tick()
        change()
        seen.append(found(environment.folder))

    assert seen == [
        [],
        ["brokers/acme from acme 1.0"],
        ["brokers/acme from acme 2.0"],
        ["brokers/acme from acme 2.0", "brokers/other from other 1.0"],
        ["brokers/other from other 1.0"],
    ]


def test_sees_the_same_version_again(environment, trusted, tick):
    """
    A distribution installed anew under its old name and version is read anew.
    """
    environment.install("acme", advertises=ACME)
    environment.install("other", advertises=OTHER)
    found(environment.folder)
    tick()
    environment.install("acme", advertises={"hotplug.brokers": {"acme": "acme:Better"}})

    assert discover(GROUPS, environment.path).records[0].value == "acme:Better"


@pytest.mark.parametrize("advertised", [ACME, {"console_scripts": {"x": "y:zz"}}])
@pytest.mark.parametrize("others", [0, 1])
def test_fresh_sees_edits_in_place(environment, an_hour_later, tick, advertised, others):
    """
    A look that is fresh sees a file of the same size with its old time put back, whatever came between.
    """
    info = environment.install("acme", advertises=advertised)
    tick()
    environment.install("last")  # from now on acme is older than the folder
    found(environment.folder)
    tick()
    file = info / "entry_points.txt"
    before = file.stat()
    text = (
        "[hotplug.brokers]\nacme = acme:BROKER\n" if advertised is ACME else "[hotplug.tools]\nx = y:zzzz\n"
    )
    file.write_text(text)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    for number in range(others):
        tick()
        environment.install(f"other{number}")
        found(environment.folder)

    [record] = discover(GROUPS, environment.path, fresh=True).records

    assert record.value in ("acme:BROKER", "y:zzzz")


@pytest.mark.parametrize("name", ["entry_points.txt", "METADATA"])
def test_fresh_sees_what_appears_and_what_goes(environment, an_hour_later, tick, name):
    """
    A look that is fresh sees that a file of a distribution was removed, and that it came back.
    """
    info = environment.install("acme", advertises=ACME)
    whole = discover(GROUPS, environment.path)
    tick()
    text = (info / name).read_text()
    (info / name).unlink()
    less = discover(GROUPS, environment.path, fresh=True)
    tick()
    (info / name).write_text(text)

    assert less != whole
    assert whole == discover(GROUPS, environment.path, fresh=True)


def test_fresh_sees_an_edited_version(environment, an_hour_later, tick):
    """
    A look that is fresh sees metadata that was edited in place.
    """
    info = environment.install("acme", advertises=ACME)
    found(environment.folder)
    tick()
    (info / "METADATA").write_text("Name: Acme\nVersion: 1.0\n")

    assert found(environment.folder, fresh=True) == ["brokers/acme from Acme 1.0"]


def test_nothing_is_read_twice(environment, an_hour_later, monkeypatch):
    """
    Once stamps are trusted, an unchanged environment is answered from memory, the very same answer.
    """
    environment.install("acme", advertises=ACME)
    first = discover(GROUPS, environment.path)
    monkeypatch.setattr(_folder.os, "listdir", lambda folder: pytest.fail("listed again"))

    assert first is discover(GROUPS, environment.path)


def test_young_stamps_are_not_trusted(environment):
    """
    A change that leaves every stamp as it was is seen, as long as the stamps are young.
    """
    info = environment.install("acme", advertises=ACME)
    found(environment.folder)
    (info / "entry_points.txt").write_text("[hotplug.brokers]\nacme = acme:Quick\n")

    assert [record.value for record in discover(GROUPS, environment.path).records] == ["acme:Quick"]


def test_only_what_changed_is_read(environment, an_hour_later, tick, monkeypatch):
    """
    After one installation, the entry points of the others are not opened again.
    """
    for number in range(20):
        environment.install(f"acme{number}", advertises={"hotplug.brokers": {f"acme{number}": "a:b"}})
    tick()
    environment.install("last")
    found(environment.folder)
    tick()
    environment.install("new", advertises=ACME)
    opened: list[str] = []
    real = os.open
    monkeypatch.setattr(os, "open", lambda path, *a, **k: (opened.append(str(path)), real(path, *a, **k))[1])

    assert len(found(environment.folder)) == 21
    assert {"last", "new"} == {
        Path(path).parts[-2].split("-")[0] for path in opened if "entry_points" in path
    }


def test_other_folders_are_not_even_listed(tmp_path, an_hour_later, tick, monkeypatch):
    """
    A change in one folder of the path costs nothing in the others.
    """
    one, other = Environment(tmp_path / "1"), Environment(tmp_path / "2")
    one.install("acme", advertises=ACME)
    found(one.folder, other.folder)
    tick()
    other.install("other", advertises=OTHER)
    listed: list[str] = []
    real = os.listdir
    monkeypatch.setattr(_folder.os, "listdir", lambda folder: (listed.append(folder), real(folder))[1])

    assert len(found(one.folder, other.folder)) == 2
    assert [str(other.folder)] == [folder for folder in listed if folder != os.environ["HOTPLUG_CACHE"]]


def test_a_clock_that_was_set_back(environment, an_hour_later, tick, monkeypatch):
    """
    When the folder's time lies before what is known of it, everything is read again.
    """
    info = environment.install("acme", advertises=ACME)
    found(environment.folder)
    [known] = _discovery._Memory.surveys.values()
    [table] = known.tables.values()
    ahead = table.stamp[1] + 10**15
    table.stamp = (ahead, ahead, *table.stamp[2:])
    table.thorough = ahead
    known.stamps = (table.stamp,)
    (info / "entry_points.txt").write_text("[hotplug.brokers]\nacme = acme:Now\n")

    assert [record.value for record in discover(GROUPS, environment.path).records] == ["acme:Now"]


@pytest.mark.parametrize("pause", ["before entry_points.txt", "before METADATA", "RECORD early"])
def test_an_installer_that_takes_its_time(tmp_path, monkeypatch, tick, pause):
    """
    A distribution that gets its files long after its folder is found whole in the end.
    """
    (tmp_path / "site").mkdir()
    clock = [0]
    import time

    class Clock:
        @staticmethod
        def time_ns() -> int:
            return time.time_ns() + clock[0]

    monkeypatch.setattr("hotplug._discovery._survey.time", Clock)
    info = tmp_path / "site" / "acme-1.0.dist-info"
    info.mkdir()
    files = {
        "METADATA": "Name: acme\nVersion: 1.0\n",
        "entry_points.txt": "[hotplug.tools]\na = b:c\n",
        "RECORD": f"{info.name}/entry_points.txt,,\n{info.name}/RECORD,,\n",
    }
    late = pause.removeprefix("before ") if pause != "RECORD early" else "entry_points.txt"
    for name, text in files.items():
        if name != late and (name != "RECORD" or pause == "RECORD early"):
            (info / name).write_text(text)
    clock[0] = 30_000_000_000  # half a minute: every stamp is settled, and the installer is still at work
    early = discover(GROUPS, [str(tmp_path / "site")])
    tick()
    (info / late).write_text(files[late])

    late_answer = discover(GROUPS, [str(tmp_path / "site")])

    assert early != late_answer
    assert (
        [str(record) for record in late_answer.records],
        late_answer.problems,
    ) == (["tools/a from acme 1.0"], ())


def test_a_finished_installation_is_not_watched(environment, monkeypatch):
    """
    Once an installer has said its last word, only the folder is looked at.
    """
    environment.install("acme", advertises=ACME)
    environment.install("quiet")
    clock = type(
        "Clock", (), {"time_ns": staticmethod(lambda: __import__("time").time_ns() + 30_000_000_000)}
    )
    monkeypatch.setattr("hotplug._discovery._survey.time", clock)
    found(environment.folder)

    [known] = _discovery._Memory.surveys.values()

    assert (known.trusted, known.watched) == (True, ())
