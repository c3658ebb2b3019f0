"""Eggs and editable installations, and what a record leads to."""

from __future__ import annotations

import json
import shutil

import pytest

from discovering import ACME, GROUPS, found, problems, write_info
from hotplug import _discovery
from hotplug._discovery import discover, requirements, stamp
from hotplug.testing import Environment

pytestmark = pytest.mark.usefixtures("own_index")


# -- other layouts ------------------------------------------------------------------------------------


def test_egg_info_folder_of_an_installation(tmp_path):
    """
    An egg-info folder with a version in its name is an installed distribution.
    """
    info = tmp_path / "acme-1.0-py3.11.egg-info"
    info.mkdir()
    (info / "PKG-INFO").write_text("Name: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[hotplug.tools]\na = b:c\n")

    [record] = discover(GROUPS, [str(tmp_path)]).records

    assert (str(record), record.editable) == ("tools/a from acme 1.0", False)


def test_egg_info_beside_its_source(tmp_path):
    """
    An egg-info without a version lies in a source folder: it is editable, its version in PKG-INFO.
    """
    info = tmp_path / "acme.egg-info"
    info.mkdir()
    (info / "PKG-INFO").write_text("Name: acme\nVersion: 3.0\n")
    (info / "entry_points.txt").write_text("[hotplug.tools]\na = b:c\n")

    [record] = discover(GROUPS, [str(tmp_path)]).records

    assert (str(record), record.editable) == ("tools/a from acme 3.0", True)


def test_egg_info_beside_its_source_is_watched(tmp_path, an_hour_later, tick):
    """
    An egg-info that build tools rewrite in place is seen to change, though its folder does not.
    """
    info = tmp_path / "acme.egg-info"
    info.mkdir()
    (info / "PKG-INFO").write_text("Name: acme\nVersion: 3.0\n")
    assert found(tmp_path) == []
    tick()
    (info / "entry_points.txt").write_text("[hotplug.tools]\na = b:c\n")
    assert found(tmp_path) == ["tools/a from acme 3.0"]
    tick()
    (info / "entry_points.txt").write_text("[hotplug.tools]\na = x:y\n")

    assert [record.value for record in discover(GROUPS, [str(tmp_path)]).records] == ["x:y"]


def test_egg_info_file(tmp_path):
    """
    An egg-info that is a file is a distribution without entry points, and hides later ones.
    """
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "acme-1.0-py3.11.egg-info").write_text("Name: acme\nVersion: 1.0\n")
    later = Environment(tmp_path / "2")
    later.install("acme", "2.0", advertises=ACME)

    assert (found(tmp_path / "1", later.folder), problems(tmp_path / "1", later.folder)) == ([], [])


def test_egg_folder(tmp_path):
    """
    An egg that is a folder on the path is a distribution.
    """
    info = tmp_path / "acme-1.0-py3.11.egg" / "EGG-INFO"
    info.mkdir(parents=True)
    (info / "PKG-INFO").write_text("Name: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[hotplug.tools]\na = b:c\n")

    assert found(info.parent) == ["tools/a from acme 1.0"]


@pytest.mark.parametrize(
    "mark",
    [
        lambda site, info: (site / "__editable__.acme_broker-1.0.pth").write_text("/somewhere\n"),
        lambda site, info: (site / "_editable_impl_acme_broker.pth").write_text("/somewhere\n"),
        lambda site, info: (info / "direct_url.json").write_text(
            json.dumps({"url": "file:///x", "dir_info": {"editable": True}}, indent=1)
        ),
    ],
)
def test_editable_installations(environment, mark):
    """
    Editable installations of every style are marked.
    """
    info = environment.install("acme-broker", advertises=ACME)
    mark(environment.folder, info)

    assert [record.editable for record in discover(GROUPS, environment.path).records] == [True]


def test_installed_from_a_folder_is_not_editable(environment):
    """
    An origin alone, and the pth file of another distribution, do not make an installation editable.
    """
    info = environment.install("acme", advertises=ACME)
    (info / "direct_url.json").write_text('{"url": "file:///x", "dir_info": {}}')
    (environment.folder / "__editable__.acme_too-1.0.pth").write_text("")

    assert [record.editable for record in discover(GROUPS, environment.path).records] == [False]


# -- more about a record ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["entry_points.txt", "RECORD", "METADATA"])
def test_stamps_tell_installations_apart(environment, tick, name):
    """
    The stamp of a record changes when a telling file does, and only then.
    """
    info = environment.install("acme", advertises=ACME)
    [record] = discover(GROUPS, environment.path).records
    before = stamp(record)
    assert before == stamp(record)
    tick()
    (info / name).write_text((info / name).read_text())

    assert before != stamp(record)


def test_stamp_of_what_is_gone(environment):
    """
    A distribution that was removed has a stamp that it never had.
    """
    environment.install("acme", advertises=ACME)
    [record] = discover(GROUPS, environment.path).records
    before = stamp(record)
    environment.uninstall("acme")

    assert before != stamp(record)


def test_requirements(environment):
    """
    The requirements of a record's distribution are told as they are declared.
    """
    environment.install("acme", advertises=ACME, requires=["hotplug>=0.1,<0.2", "numpy; extra == 'fast'"])
    [record] = discover(GROUPS, environment.path).records

    assert requirements(record) == ("hotplug>=0.1,<0.2", "numpy; extra == 'fast'")


def test_requirements_of_an_egg(tmp_path):
    """
    An egg-info declares its requirements in a file of its own.
    """
    info = tmp_path / "acme-1.0.egg-info"
    info.mkdir()
    (info / "PKG-INFO").write_text("Metadata-Version: 1.0\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[hotplug.tools]\na = b:c\n")
    (info / "requires.txt").write_text("hotplug>=0.1\n\n[fast]\nnumpy\n")
    for other in ("a", "b", "y", "z"):
        write_info(tmp_path, f"{other}-1.0.dist-info", metadata=f"Name: {other}\nVersion: 1.0\n")
    [record] = discover(GROUPS, [str(tmp_path)]).records

    assert requirements(record) == ("hotplug>=0.1", 'numpy; extra == "fast"')


def test_requirements_that_cannot_be_read(environment):
    """
    What cannot be read requires nothing.
    """
    info = environment.install("acme", advertises=ACME)
    [record] = discover(GROUPS, environment.path).records
    (info / "METADATA").unlink()
    without_file = requirements(record)
    shutil.rmtree(info)

    assert (without_file, requirements(record)) == ((), ())


def test_what_is_older_than_a_minute_is_final(environment, an_hour_later):
    """
    A distribution without RECORD, as system packages are, is not watched for ever.
    """
    environment.install("acme", advertises=ACME, record=False)
    found(environment.folder)

    [known] = _discovery._Memory.surveys.values()

    assert known.watched == ()
