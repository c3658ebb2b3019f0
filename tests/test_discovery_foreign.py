"""Distributions that lie in no folder: in archives, or where only somebody else's finder knows."""

from __future__ import annotations

import importlib.metadata
import sys
import zipfile
from pathlib import Path

import pytest

from hotplug._discovery import _foreign, discover, requirements, stamp
from hotplug.testing import Environment
from hotplug.testing._wheel import build_wheel

pytestmark = [
    pytest.mark.usefixtures("own_index", "an_hour_later"),
    # importlib_metadata leaves the archives that it looked at open, in circles that the collector finds.
    pytest.mark.filterwarnings("ignore:unclosed file .*[.](zip|whl|egg)'>:ResourceWarning"),
]

GROUPS = {"hotplug.brokers": "brokers"}
ACME = {"hotplug.brokers": {"acme": "acme:Broker"}}


class Finder:
    """A finder that yields what it was given; or raises it."""

    def __init__(self, *found: object) -> None:
        self.found = found

    def find_spec(self, *_: object) -> None:
        return None

    def find_distributions(self, context: object) -> list[object]:
        for item in self.found:
            if isinstance(item, Exception):
                raise item
        return list(self.found)


class Distribution(importlib.metadata.Distribution):
    """A distribution of which only two files exist, wherever."""

    def __init__(self, name: str, entry_points: str | Exception | None) -> None:
        self._texts = {"METADATA": f"Name: {name}\nVersion: 3.0\n", "entry_points.txt": entry_points}

    def read_text(self, filename: str) -> str | None:
        text = self._texts.get(filename)
        if isinstance(text, Exception):
            raise text
        return text

    def locate_file(self, path: object) -> Path:
        raise NotImplementedError


class Broken:
    """A distribution that knows nothing about itself."""

    @property
    def metadata(self) -> object:
        raise RuntimeError("lost")


@pytest.fixture
def finders(monkeypatch):
    """Put finders on ``sys.meta_path``."""
    return lambda *more: monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, *more])


def found(*path: object) -> list[str]:
    return [str(record) for record in discover(GROUPS, [str(entry) for entry in path]).records]


# -- archives ----------------------------------------------------------------------------------------


def test_a_wheel_on_the_path(tmp_path):
    """
    A distribution in a zip file on the path is found, with a path that leads into the archive.
    """
    wheel = build_wheel(tmp_path, "acme-broker", advertises=ACME, requires=["hotplug>=0.1"])

    [record] = discover(GROUPS, [str(wheel)]).records

    assert str(record) == "brokers/acme from acme-broker 1.0"
    assert record.path.rstrip("/") == f"{wheel}/acme_broker-1.0.dist-info"
    assert requirements(record) == ("hotplug>=0.1",)
    assert stamp(record) == stamp(record) != ()


def test_an_archive_that_was_replaced(tmp_path, tick):
    """
    Another file in the archive's place is read anew.
    """
    wheel = build_wheel(tmp_path, "acme", advertises=ACME)
    [record] = discover(GROUPS, [str(wheel)]).records
    before = stamp(record)
    tick()
    build_wheel(tmp_path, "acme", advertises={"hotplug.brokers": {"other": "a:b"}})

    assert found(wheel) == ["brokers/other from acme 1.0"]
    assert before != stamp(record)


def test_an_archive_is_not_read_twice(tmp_path, monkeypatch, tick):
    """
    An archive is left alone when something else on the path changes.
    """
    wheel = build_wheel(tmp_path / "1", "acme", advertises=ACME)
    site = Environment(tmp_path / "2")
    found(wheel, site.folder)
    tick()
    site.install("other", advertises={"hotplug.brokers": {"other": "a:b"}})
    monkeypatch.setattr(_foreign, "foreign_distributions", lambda *_: pytest.fail("read again"))

    assert len(found(wheel, site.folder)) == 2


def test_an_archive_in_the_index(tmp_path):
    """
    What lies in archives is remembered by the index, too.
    """
    from hotplug import _discovery

    wheel = build_wheel(tmp_path, "acme", advertises=ACME)
    first = discover(GROUPS, [str(wheel)])
    _discovery.forget()

    assert first == discover(GROUPS, [str(wheel)])


def test_archives_hide_and_are_hidden(tmp_path):
    """
    Which of an archive and a folder counts depends on nothing but their order.
    """
    wheel = build_wheel(tmp_path / "1", "acme", "1.0", advertises=ACME)
    site = Environment(tmp_path / "2")
    site.install("Acme", "2.0", advertises=ACME)

    assert found(wheel, site.folder) == ["brokers/acme from acme 1.0"]
    assert found(site.folder, wheel) == ["brokers/acme from Acme 2.0"]


def test_two_of_a_name_in_one_archive(tmp_path):
    """
    A name counts once in an archive.
    """
    path = tmp_path / "two.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for version in ("1.0", "2.0"):
            archive.writestr(f"acme-{version}.dist-info/METADATA", f"Name: acme\nVersion: {version}\n")
            archive.writestr(f"acme-{version}.dist-info/entry_points.txt", "[hotplug.brokers]\nacme = a:b\n")

    assert len(found(path)) == 1


def test_bad_entry_points_in_an_archive(tmp_path):
    """
    Bad lines in an archive are problems like all others, and its good lines count.
    """
    path = tmp_path / "bad.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("acme-1.0.dist-info/METADATA", "Name: acme\nVersion: 1.0\n")
        archive.writestr(
            "acme-1.0.dist-info/entry_points.txt", b"[hotplug.brokers]\nf\xfcr = a:b\nno\nacme = a:b\n"
        )

    answer = discover(GROUPS, [str(path)])

    assert [record.name for record in answer.records] == ["acme"]
    assert [(problem.line, problem.reason) for problem in answer.problems] == [
        (2, "is not UTF-8 text"),
        (3, "has no '=' in 'no'"),
    ]


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x05\x06" + bytes(10)])
def test_files_that_are_no_archives(tmp_path, content):
    """
    Any other file on the path holds nothing, and is no problem.
    """
    (tmp_path / "file").write_bytes(content)

    answer = discover(GROUPS, [str(tmp_path / "file")])

    assert (answer.records, answer.problems) == ((), ())


def test_an_archive_that_makes_its_reader_fail(tmp_path, monkeypatch):
    """
    An error in the library that reads archives is a problem, not the end.
    """
    wheel = build_wheel(tmp_path / "1", "acme", advertises=ACME)
    site = Environment(tmp_path / "2")
    site.install("other", advertises={"hotplug.brokers": {"other": "a:b"}})

    def fail(finder, path):
        raise RuntimeError("cannot")

    monkeypatch.setattr(_foreign, "foreign_distributions", fail)
    answer = discover(GROUPS, [str(wheel), str(site.folder)])

    assert [record.name for record in answer.records] == ["other"]
    assert [problem.reason for problem in answer.problems] == ["cannot be read: RuntimeError('cannot')"]


def test_requirements_of_what_left_its_archive(tmp_path):
    """
    A record whose archive was replaced by another, or is no archive any more, requires nothing.
    """
    wheel = build_wheel(tmp_path, "acme", advertises=ACME, requires=["x"])
    [record] = discover(GROUPS, [str(wheel)]).records
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("other.txt", "")
    emptied = requirements(record)
    wheel.unlink()

    assert (emptied, requirements(record)) == ((), ())


def test_requirements_that_make_their_reader_fail(tmp_path, monkeypatch):
    """
    An error in the library that reads archives means no requirements.
    """
    wheel = build_wheel(tmp_path, "acme", advertises=ACME)
    [record] = discover(GROUPS, [str(wheel)]).records

    def fail(finder, path):
        raise RuntimeError("cannot")

    monkeypatch.setattr(_foreign, "foreign_distributions", fail)

    assert requirements(record) == ()


# -- finders -----------------------------------------------------------------------------------------


def test_what_a_finder_knows(finders, environment):
    """
    Distributions that only a finder knows are found beside those of the path.
    """
    environment.install("acme", advertises=ACME)
    finders(Finder(Distribution("far", "[hotplug.brokers]\nfar = a:b\n"), Distribution("mute", None)))

    assert found(environment.folder) == ["brokers/acme from acme 1.0", "brokers/far from far 3.0"]


def test_the_path_comes_first(finders, environment):
    """
    A finder's distribution does not count if one of its name stands on the path, or came before.
    """
    environment.install("acme", advertises=ACME)
    finders(
        Finder(
            Distribution("Acme", "[hotplug.brokers]\nacme = x:y\n"),
            Distribution("far", "[hotplug.brokers]\nfar = a:b\n"),
            Distribution("far", "[hotplug.brokers]\nfar = c:d\n"),
        )
    )

    answer = discover(GROUPS, environment.path)

    assert [record.value for record in answer.records] == ["acme:Broker", "a:b"]


def test_finders_are_asked_each_time(finders, environment):
    """
    Nothing tells when a finder's answer changes, so it is never remembered.
    """
    finder = Finder()
    finders(finder)
    before = found(environment.folder)
    finder.found = (Distribution("far", "[hotplug.brokers]\nfar = a:b\n"),)

    assert (before, found(environment.folder)) == ([], ["brokers/far from far 3.0"])


def test_a_finder_that_raises(finders, environment):
    """
    A finder that raises is a problem that names it; the others are asked.
    """
    environment.install("acme", advertises=ACME)
    finders(Finder(RuntimeError("gone")), Finder(Distribution("far", "[hotplug.brokers]\nfar = a:b\n")))

    answer = discover(GROUPS, environment.path)

    assert [record.name for record in answer.records] == ["acme", "far"]
    assert [(problem.path, problem.reason) for problem in answer.problems] == [
        ("Finder", "find_distributions raised RuntimeError('gone')")
    ]


def test_a_finder_that_is_a_class(finders, environment):
    """
    Classes on ``sys.meta_path`` are finders, too.
    """

    class Static:
        find_spec = staticmethod(lambda *_: None)
        find_distributions = staticmethod(lambda context: [Broken()])

    finders(Static)

    [problem] = discover(GROUPS, environment.path).problems

    assert problem.path.startswith("test_a_finder_that_is_a_class.<locals>.Static")
    assert "RuntimeError('lost')" in problem.reason


@pytest.mark.parametrize(
    "error", [RuntimeError("no"), UnicodeDecodeError("utf-8", b"[hotplug.brokers]\nx\n", 0, 1, "no")]
)
def test_a_distribution_that_raises(finders, environment, error):
    """
    A distribution that cannot say what it advertises is a problem with its name.
    """
    finders(Finder(Distribution("far", error)))

    answer = discover(GROUPS, environment.path)

    assert answer.records == ()
    assert [problem.distribution for problem in answer.problems] == ["far"]


# -- who does not say who it is ------------------------------------------------------------------------


@pytest.mark.parametrize("metadata", ["", "garbage\n", "Name: acme\n", "Version: 1.0\n"])
def test_unsound_metadata_in_an_archive(tmp_path, metadata):
    """
    What does not say its name and version is left out with a problem, and hides nobody.
    """
    path = tmp_path / "bad.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("acme_one-1.0.dist-info/METADATA", metadata)
        archive.writestr("acme_one-1.0.dist-info/entry_points.txt", "[hotplug.brokers]\nacme = a:b\n")
    site = Environment(tmp_path / "2")
    site.install("acme-one", "2.0", advertises=ACME)

    answer = discover(GROUPS, [str(path), str(site.folder)])

    assert [str(record) for record in answer.records] == ["brokers/acme from acme-one 2.0"]
    assert {problem.distribution for problem in answer.problems} == {"acme-one"}
    assert all(problem.reason.endswith("; its plugins are left out") for problem in answer.problems)


def test_unsound_metadata_beside_a_sound_one_in_an_archive(tmp_path):
    """
    In one archive, too, the one that says who it is counts, though it comes second.
    """
    path = tmp_path / "two.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for version, metadata in (("1.0", "Name: acme\n"), ("2.0", "Name: acme\nVersion: 2.0\n")):
            archive.writestr(f"acme-{version}.dist-info/METADATA", metadata)
            archive.writestr(f"acme-{version}.dist-info/entry_points.txt", "[hotplug.brokers]\nacme = a:b\n")

    assert found(path) == ["brokers/acme from acme 2.0"]


def test_unsound_metadata_on_the_path_hides_no_finders(finders, tmp_path):
    """
    A dist-info without a word does not hide what a finder knows by its name; a sound, silent one does.
    """
    info = tmp_path / "far-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("garbage\n")
    finders(Finder(Distribution("far", "[hotplug.brokers]\nfar = a:b\n")))
    unsound = found(tmp_path)
    (info / "METADATA").write_text("Name: far\nVersion: 1.0\n")

    assert (unsound, found(tmp_path)) == (["brokers/far from far 3.0"], [])


def test_a_finder_whose_distribution_has_no_name(finders, environment):
    """
    A distribution that knows no name of its own is a problem, not a plugin.
    """
    finders(Finder(Distribution("", "[hotplug.brokers]\nfar = a:b\n")))

    answer = discover(GROUPS, environment.path)

    assert answer.records == ()
    assert [problem.reason for problem in answer.problems] == ["has no Name; its plugins are left out"]
