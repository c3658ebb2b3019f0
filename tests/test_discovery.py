"""What is found, in environments of every sort, without importing any of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from discovering import ACME, GROUPS, found, problems, write_info
from hotplug import _discovery
from hotplug._discovery import _folder, discover
from hotplug.testing import Environment

pytestmark = pytest.mark.usefixtures("own_index")

OTHER = {"hotplug.brokers": {"other": "other:Broker"}}


# -- what is there ------------------------------------------------------------------------------------


def test_imports_nothing(environment):
    """
    A plugin whose module explodes is still discovered.
    """
    environment.install("acme-broker", advertises=ACME, files={"acme.py": "raise SystemExit('imported!')"})

    assert found(environment.folder) == ["brokers/acme from acme-broker 1.0"]


def test_records_tell_all(environment):
    """
    A record has the group, the value, the dist-info and whether the distribution is editable.
    """
    info = environment.install(
        "acme-broker", "2.0", advertises={"hotplug.tools": {"clock": "acme.deep:clock [x]"}}
    )

    [record] = discover(GROUPS, environment.path).records

    assert (
        record.kind,
        record.group,
        record.name,
        record.value,
    ) == ("tools", "hotplug.tools", "clock", "acme.deep:clock")
    assert ("acme-broker", "2.0", str(info), False) == (
        record.distribution,
        record.version,
        record.path,
        record.editable,
    )


def test_only_what_was_asked_for(environment):
    """
    Other groups, and groups that merely begin alike, are not found.
    """
    environment.install(
        "acme", advertises={"console_scripts": {"a": "a:b"}, "hotplug.brokers2": {"b": "b:c"}}
    )

    assert found(environment.folder) == []


def test_sorted(environment):
    """
    The order is by kind, name and distribution, whatever the order of installation.
    """
    environment.install("zeta", advertises={"hotplug.tools": {"a": "z:a"}, "hotplug.brokers": {"b": "z:b"}})
    environment.install("alpha", advertises={"hotplug.tools": {"a": "a:a"}})

    assert found(environment.folder) == [
        "brokers/b from zeta 1.0",
        "tools/a from alpha 1.0",
        "tools/a from zeta 1.0",
    ]


def test_looks_at_sys_path_by_default(environment):
    """
    Without a path, what can be imported can be discovered.
    """
    environment.install("acme", advertises=ACME)

    assert "acme" in [record.name for record in discover(GROUPS).records]


@pytest.mark.parametrize("form", [str, Path, os.fsencode])
def test_any_form_of_path(environment, form):
    """
    Folders may be named by text, bytes or path objects, and what is none of them is passed over.
    """
    environment.install("acme", advertises=ACME)

    assert len(discover(GROUPS, [form(environment.folder), 7, "nul\0"]).records) == 1  # type: ignore[list-item]


def test_relative_paths(environment, monkeypatch):
    """
    The working folder (an empty entry) is looked at where it is now, and records have absolute paths.
    """
    environment.install("acme", advertises=ACME)
    (environment.folder / "empty").mkdir()

    monkeypatch.chdir(environment.folder)
    [record] = discover(GROUPS, [""]).records
    monkeypatch.chdir("empty")

    assert str(environment.folder) == str(Path(record.path).parent)
    assert discover(GROUPS, [""]).records == ()


def test_a_deleted_working_folder(tmp_path, monkeypatch):
    """
    Whoever stands in a folder that is gone finds nothing in it.
    """
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    assert (discover(GROUPS, [""]).records, discover(GROUPS, [""]).problems) == ((), ())


def test_one_folder_by_many_names(environment, tmp_path, monkeypatch):
    """
    A folder that is reached by a link, a relative name and a trailing slash counts once.
    """
    environment.install("acme", advertises=ACME)
    (tmp_path / "link").symlink_to(environment.folder)
    monkeypatch.chdir(tmp_path)

    assert len(found(environment.folder, tmp_path / "link", "site", f"{environment.folder}/")) == 1


def test_the_same_folder_by_another_name(environment, tmp_path):
    """
    Asked by another name of the folder, the records say that name.
    """
    environment.install("acme", advertises=ACME)
    (tmp_path / "link").symlink_to(environment.folder)
    found(environment.folder)

    [record] = discover(GROUPS, [str(tmp_path / "link")]).records

    assert record.path.startswith(str(tmp_path / "link"))


def test_links_that_change(tmp_path, an_hour_later, tick):
    """
    A folder that is reached by the second of two names, since the first leads elsewhere, has that name.
    """
    site = Environment(tmp_path / "site")
    site.install("acme", advertises=ACME)
    (tmp_path / "empty").mkdir()
    path = [str(tmp_path / "one"), str(tmp_path / "two")]
    for link in path:
        Path(link).symlink_to(site.folder)
    [before] = discover(GROUPS, path).records
    tick()
    (tmp_path / "one").unlink()
    (tmp_path / "one").symlink_to(tmp_path / "empty")

    [after] = discover(GROUPS, path).records

    assert before.path.startswith(path[0])
    assert after.path.startswith(path[1])


def test_absent_entries(tmp_path):
    """
    Entries that do not exist, and things that are no folders, are passed over.
    """
    os.mkfifo(tmp_path / "pipe")

    assert found(tmp_path / "absent", tmp_path / "pipe") == []


def test_unreadable_folder(environment, monkeypatch, an_hour_later):
    """
    A folder that cannot be listed is a problem, and is looked at again as soon as it can.
    """
    environment.install("acme", advertises=ACME)

    def refuse(folder):
        raise PermissionError(13, "Permission denied", folder)

    with monkeypatch.context() as patch:
        patch.setattr(_folder.os, "listdir", refuse)
        assert problems(environment.folder) == [("site", None, "cannot be read: Permission denied")]

    assert found(environment.folder) == ["brokers/acme from acme 1.0"]


def test_a_folder_that_goes_away_meanwhile(environment, monkeypatch):
    """
    A folder that vanishes between two looks is an absent one.
    """
    environment.install("acme", advertises=ACME)

    def vanish(folder):
        raise FileNotFoundError(2, "No such file or directory", folder)

    monkeypatch.setattr(_folder.os, "listdir", vanish)

    assert (found(environment.folder), problems(environment.folder)) == ([], [])


# -- whose it is --------------------------------------------------------------------------------------


def test_the_first_on_the_path_wins_as_a_whole(tmp_path):
    """
    A distribution hides later ones of its name with all they advertise, also if it advertises nothing.
    """
    first, second = Environment(tmp_path / "1"), Environment(tmp_path / "2")
    first.install("Acme_Broker", "1.0")
    second.install("acme.broker", "2.0", advertises=ACME)

    assert found(first.folder, second.folder) == []
    assert found(second.folder, first.folder) == ["brokers/acme from acme.broker 2.0"]


@pytest.mark.parametrize(("text", "complaints"), [("", 1), ("[console_scripts]\na = b:c\n", 0)])
def test_a_leftover_hides_nobody(tmp_path, an_hour_later, tick, text, complaints):
    """
    A dist-info without metadata earlier on the path does not hide a real one, until it gets some.
    """
    first, second = tmp_path / "1", Environment(tmp_path / "2")
    info = write_info(first, "acme-0.9.dist-info", text)
    second.install("acme", "1.0", advertises=ACME)

    assert found(first, second.folder) == ["brokers/acme from acme 1.0"]
    assert len(problems(first, second.folder)) == complaints

    tick()
    (info / "METADATA").write_text("Name: acme\nVersion: 0.9\n")

    assert found(first, second.folder) == []


def test_an_empty_metadata_file(tmp_path):
    """
    Metadata without contents is a problem also where nothing is advertised.
    """
    write_info(tmp_path, "acme-1.0.dist-info", metadata=b"")

    assert problems(tmp_path) == [("METADATA", None, "is empty: the installation is incomplete")]


def test_two_versions_in_one_folder(tmp_path):
    """
    Of two dist-infos of one distribution the higher version counts, and the problem names both.
    """
    for version in ("1.9", "1.10"):
        text = f"[hotplug.brokers]\nacme = acme:V{version.replace('.', '_')}\n"
        write_info(tmp_path, f"acme-{version}.dist-info", text, f"Name: acme\nVersion: {version}\n")

    assert found(tmp_path) == ["brokers/acme from acme 1.10"]
    [(place, _, reason)] = problems(tmp_path)
    assert place == "acme-1.10.dist-info"
    assert "acme-1.9.dist-info" in reason


def test_of_two_versions_the_whole_one_counts(tmp_path):
    """
    A dist-info that lost its metadata does not hide a complete one of a lower version.
    """
    text = "[hotplug.brokers]\nacme = acme:Broker\n"
    write_info(tmp_path, "acme-2.0.dist-info", text)
    write_info(tmp_path, "acme-1.0.dist-info", text, "Name: acme\nVersion: 1.0\n")

    assert found(tmp_path) == ["brokers/acme from acme 1.0"]


def test_versions_that_are_none(tmp_path):
    """
    What is no version is lower than any.
    """
    for version in ("zzz", "1.0"):
        text = "[hotplug.brokers]\nacme = acme:Broker\n"
        write_info(tmp_path, f"acme-{version}.dist-info", text, f"Name: acme\nVersion: {version}\n")

    assert found(tmp_path) == ["brokers/acme from acme 1.0"]


def test_leftovers_of_interrupted_installers(environment):
    """
    What pip renamed before it was killed is no distribution.
    """
    info = environment.install("acme", advertises=ACME)
    for name in ("~cme-1.0.dist-info", "-cme-1.0.dist-info", "~~me-1.0.dist-info"):
        shutil.copytree(info, environment.folder / name)
    shutil.rmtree(info)

    assert (found(environment.folder), problems(environment.folder)) == ([], [])


@pytest.mark.parametrize(
    "metadata", ["Name: acme-broker\nVersion: 1.0+local.1\n", "Name: Acme.Broker\nVersion: 1.0.0+LOCAL.1\n"]
)
def test_names_and_versions_that_mean_the_same(tmp_path, metadata):
    """
    The folder's spelling and that of the metadata need not be equal letter by letter.
    """
    write_info(tmp_path, "acme_broker-1.0+local.1.dist-info", "[hotplug.tools]\na = b:c\n", metadata)

    assert problems(tmp_path) == []


def test_metadata_of_somebody_else(tmp_path):
    """
    Where metadata and folder disagree on the name the folder's counts, and both differences are told.
    """
    metadata = "Name: other\nVersion: 9\n"
    write_info(tmp_path, "acme-1.0.dist-info", "[hotplug.tools]\na = b:c\n", metadata)

    assert found(tmp_path) == ["tools/a from acme 9"]
    assert problems(tmp_path) == [
        ("METADATA", None, "is of version '9', its folder of '1.0'"),
        ("METADATA", None, "names 'other', its folder 'acme'"),
    ]


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        (None, "is missing: the installation is incomplete; its plugins are left out"),
        (b"", "is empty: the installation is incomplete; its plugins are left out"),
        (b"Metadata-Version: 2.1\nName: acme\nVersi", "has no Version; its plugins are left out"),
        (b"Version: 1.0\n", "has no Name; its plugins are left out"),
    ],
)
def test_broken_metadata_hides_nothing_else(environment, metadata, reason):
    """
    A distribution that does not say its name and version is left out; the others keep their entry points.
    """
    environment.install("other", advertises=OTHER)
    write_info(environment.folder, "acme-1.0.dist-info", "[hotplug.brokers]\nacme = acme:Broker\n", metadata)

    assert found(environment.folder) == ["brokers/other from other 1.0"]
    [problem] = discover(GROUPS, environment.path).problems
    assert (reason, "acme") == (problem.reason, problem.distribution)


def test_metadata_with_a_bad_line(environment):
    """
    A line that is not UTF-8 is a problem; name and version are there, and so are the entry points.
    """
    text = "[hotplug.brokers]\nacme = acme:Broker\n"
    metadata = b"Name: acme\nAuthor: \xff\nVersion: 1.0\n"
    write_info(environment.folder, "acme-1.0.dist-info", text, metadata)

    assert found(environment.folder) == ["brokers/acme from acme 1.0"]
    assert problems(environment.folder) == [("METADATA", 2, "is not UTF-8 text")]


def test_name_and_version_after_long_headers(tmp_path):
    """
    Name and version are found wherever in the head they stand.
    """
    metadata = "".join(f"Classifier: {number:040}\n" for number in range(300)) + "Name: Acme\nVersion: 1.0\n"
    write_info(tmp_path, "acme-1.0.dist-info", "[hotplug.tools]\na = b:c\n", metadata)

    assert found(tmp_path) == ["tools/a from Acme 1.0"]


# -- together -----------------------------------------------------------------------------------------


def test_many_threads_get_one_answer(environment, eager_threads):
    """
    Concurrent looks agree.
    """
    for number in range(30):
        environment.install(f"acme{number}", advertises={"hotplug.brokers": {f"acme{number}": "a:b"}})
    start = threading.Barrier(8)

    def look(_):
        start.wait(10)
        return discover(GROUPS, environment.path)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(look, range(8)))

    assert len(answers[0].records) == 30
    assert {answers[0]} == set(answers)


def test_memory_is_bounded(tmp_path):
    """
    Of many questions only the latest are remembered.
    """
    for number in range(40):
        discover(GROUPS, [str(tmp_path / str(number))], cache=False)

    assert len(_discovery._Memory.surveys) == _discovery.REMEMBERED


def test_without_descriptors_to_start_from(environment, monkeypatch):
    """
    Where the system cannot look up names from a folder, the whole paths do.
    """
    environment.install("acme", advertises=ACME)
    environment.install("quiet", advertises={"console_scripts": {"x": "y:z"}})
    monkeypatch.setattr(_folder, "BY_DESCRIPTOR", False)

    assert found(environment.folder) == ["brokers/acme from acme 1.0"]
    environment.uninstall("acme")
    assert found(environment.folder) == []


def test_nothing_else_is_imported():
    """
    On the way to an answer no third-party module is imported, nor a heavy one of the standard library.
    """
    code = (
        "import sys; sys.path[:0] = [{!r}]; from hotplug._discovery import discover; discover({!r}, [{!r}]);"
        "print(*sys.modules)"
    )
    source = str(Path(_discovery.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code.format(source, GROUPS, source)],
        capture_output=True,
        text=True,
        check=True,
    )
    modules = {name.partition(".")[0] for name in done.stdout.split()}

    assert not modules & {
        "importlib_metadata",
        "packaging",
        "platformdirs",
        "pathlib",
        "json",
        "logging",
        "tempfile",
    }
    assert "importlib.metadata" not in done.stdout.split()
