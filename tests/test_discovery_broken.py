"""What is broken hides nothing else, and is told with its place."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from discovering import ACME, GROUPS, found, problems, write_info
from hotplug._discovery import _folder, discover

pytestmark = pytest.mark.usefixtures("own_index")


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (b"hotplug\n", 1, "has no '='"),
        (b"[console_scripts]\nno equals sign\n", 2, "has no '='"),
        (b"[x]\n\xff = a:b\n", 2, "is not UTF-8"),
        ("\ufeff[hotplug.tools]\na = b:c\n".encode("utf-16-le"), 1, "UTF-16"),
        (b"[hotplug.tools]\na = b:c d\n", 2, "no 'module:attribute'"),
        (b"[hotplug.tools]\na\0 = b:c\n", 2, "NUL"),
    ],
)
def test_one_bad_file_hides_nothing_else(environment, text, line, reason):
    """
    Entry points that cannot be understood, of whatever group, are a problem with file and line.
    """
    environment.install("acme", advertises=ACME)
    write_info(environment.folder, "bad_one-1.0.dist-info", text, "Name: bad-one\nVersion: 1.0\n")

    answer = discover(GROUPS, environment.path)

    assert [record.name for record in answer.records] == ["acme"]
    [problem] = answer.problems
    assert str(environment.folder / "bad_one-1.0.dist-info" / "entry_points.txt") == problem.path
    assert (line, "bad-one") == (problem.line, problem.distribution)
    assert reason in problem.reason


def test_an_empty_file_is_a_problem_until_it_is_written(tmp_path, an_hour_later):
    """
    Entry points of no bytes are about to be written, or were lost; either way they are watched.
    """
    info = write_info(tmp_path, "acme-1.0.dist-info", metadata="Name: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").touch()

    assert problems(tmp_path) == [("entry_points.txt", None, "is empty")]

    (info / "entry_points.txt").write_text("[hotplug.tools]\na = b:c\n")

    assert found(tmp_path) == ["tools/a from acme 1.0"]


def test_a_problem_is_gone_when_it_is_repaired_in_place(tmp_path, an_hour_later, tick):
    """
    No folder changes when a file is edited; what is broken is looked at again all the same.
    """
    info = write_info(tmp_path, "acme-1.0.dist-info", "[hotplug.tools]\nbad\n", "Name: acme\nVersion: 1.0\n")
    tick()
    write_info(tmp_path, "last-1.0.dist-info", metadata="Name: last\nVersion: 1.0\n")
    assert len(problems(tmp_path)) == 1
    tick()

    (info / "entry_points.txt").write_text("[hotplug.tools]\nbad = a:b\n")

    assert (found(tmp_path), problems(tmp_path)) == (["tools/bad from acme 1.0"], [])


def test_things_in_the_place_of_files(tmp_path):
    """
    A folder, a pipe or a broken link where a file should be blocks nothing.
    """
    places = [
        write_info(tmp_path, f"{name}-1.dist-info", metadata="Name: x\nVersion: 1\n") / "entry_points.txt"
        for name in "abcd"
    ]
    places[0].mkdir()
    os.mkfifo(places[1])
    places[2].symlink_to("nowhere")
    places[3].symlink_to(places[3])
    (tmp_path / "e-1.dist-info").write_text("no folder")

    told = {
        Path(problem.path).parent.name: problem.reason
        for problem in discover(GROUPS, [str(tmp_path)]).problems
    }

    assert told["a-1.dist-info"] == "cannot be read: Is a directory"
    assert told["b-1.dist-info"] == "is empty"
    assert "c-1.dist-info" not in told
    assert told["d-1.dist-info"].startswith("cannot be read: Too many levels")
    assert told["e-1.dist-info"] == "cannot be read: Not a directory"


def test_an_endless_file(tmp_path):
    """
    Of a file beyond all measure only the beginning is read, and that is said.
    """
    text = "[hotplug.tools]\na = b:c\n" + "# waste\n" * 200_000
    write_info(tmp_path, "acme-1.0.dist-info", text, "Name: acme\nVersion: 1.0\n")

    assert found(tmp_path) == ["tools/a from acme 1.0"]
    [(_, _, reason)] = problems(tmp_path)
    assert reason.startswith("is longer than")


def test_a_long_file(tmp_path):
    """
    What stands far down in a long file is found.
    """
    text = "[x]\n" + "".join(f"n{i} = a:b\n" for i in range(1000)) + "[hotplug.tools]\na = b:c\n"
    write_info(tmp_path, "acme-1.0.dist-info", text, "Name: acme\nVersion: 1.0\n")

    assert found(tmp_path) == ["tools/a from acme 1.0"]


@pytest.mark.parametrize("lost", ["entry_points.txt", "METADATA"])
def test_a_lack_of_descriptors_is_not_remembered(environment, monkeypatch, an_hour_later, lost):
    """
    What could not be read for a moment is not held to be unreadable, though no stamp will ever change.
    """
    environment.install("acme", advertises=ACME)
    opened = os.open

    def refuse(path, *arguments, **options):
        if str(path).endswith(lost):
            raise OSError(24, "Too many open files", path)
        return opened(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        [(_, _, reason)] = problems(environment.folder)
        assert reason.startswith("cannot be read: Too many open files")

    assert (found(environment.folder), problems(environment.folder)) == (["brokers/acme from acme 1.0"], [])


def test_a_read_that_fails(environment, monkeypatch):
    """
    An error in the middle of reading is a problem of that distribution.
    """
    environment.install("acme", advertises=ACME)

    def fail(file, size):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "read", fail)
        [(place, _, reason)] = problems(environment.folder)

    assert (place, reason) == ("entry_points.txt", "cannot be read: Input/output error")


def test_a_distribution_that_goes_away_meanwhile(environment, monkeypatch):
    """
    What is uninstalled between listing and reading is simply not there.
    """
    info = environment.install("acme", advertises=ACME)
    listed = [path.name for path in environment.folder.iterdir()]
    shutil.rmtree(info)
    monkeypatch.setattr(_folder.os, "listdir", lambda folder: listed)

    answer = discover(GROUPS, environment.path)

    assert (answer.records, answer.problems) == ((), ())


# -- metadata that says nothing ------------------------------------------------------------------------


TOOL = "[hotplug.tools]\na = b:c\n"
UNSOUND = {
    "missing": None,
    "empty": b"",
    "no words": b"\0\xff\xfe\x80 garbage\n\x81\n",
    "no Name": b"Version: 1.0\n",
    "no Version": b"Name: acme\n",
}


@pytest.fixture(params=UNSOUND.values(), ids=UNSOUND)
def unsound(request):
    """Metadata that does not say what distribution and version it is of."""
    return request.param


def test_who_does_not_say_who_it_is_conflicts_with_nobody(tmp_path, environment, unsound):
    """
    Of two distributions with one plugin, the one without sound metadata is a problem, not a rival.
    """
    write_info(environment.folder, "acme-1.0.dist-info", TOOL, unsound)
    environment.install("other", advertises={"hotplug.tools": {"a": "x:y"}})

    assert found(environment.folder) == ["tools/a from other 1.0"]
    told = problems(environment.folder)
    assert {place for place, _, _ in told} == {"METADATA"}
    assert all(reason.endswith("; its plugins are left out") for _, line, reason in told if line is None)


@pytest.mark.parametrize("text", [TOOL, "[console_scripts]\na = b:c\n", ""])
def test_who_does_not_say_who_it_is_hides_nobody(tmp_path, an_hour_later, tick, unsound, text):
    """
    Earlier on the path it does not shadow a sound one of its name, until it is mended in place.
    """
    first, second = tmp_path / "1", tmp_path / "2"
    info = write_info(first, "acme-0.9.dist-info", text, unsound)
    write_info(second, "acme-1.0.dist-info", TOOL, "Name: acme\nVersion: 1.0\n")

    assert found(first, second) == ["tools/a from acme 1.0"]

    tick()
    (info / "METADATA").write_text("Name: acme\nVersion: 0.9\n")

    assert found(first, second) == (["tools/a from acme 0.9"] if text == TOOL else [])


def test_beside_who_does_not_say_who_it_is(tmp_path, unsound):
    """
    In one folder the sound one counts, whatever the versions, and shadows later ones as ever.
    """
    first, second = tmp_path / "1", tmp_path / "2"
    write_info(first, "acme-1.0.dist-info", TOOL, "Name: acme\nVersion: 1.0\n")
    write_info(first, "acme-2.0.dist-info", TOOL, unsound)
    write_info(second, "acme-3.0.dist-info", TOOL, "Name: acme\nVersion: 3.0\n")

    assert found(first, second) == ["tools/a from acme 1.0"]


def test_one_without_plugins_beside_who_does_not_say_who_it_is(tmp_path, unsound):
    """
    A sound one without plugins shadows later ones, also where an unsound one lies in its folder.
    """
    first, second = tmp_path / "1", tmp_path / "2"
    scripts = "[console_scripts]\na = b:c\n"
    write_info(first, "acme-1.0.dist-info", scripts, "Name: acme\nVersion: 1.0\n")
    write_info(first, "acme-2.0.dist-info", TOOL, unsound)
    write_info(second, "acme-3.0.dist-info", TOOL, "Name: acme\nVersion: 3.0\n")

    assert found(first, second) == []


def test_who_cannot_be_asked_for_a_moment_is_asked_again(tmp_path, monkeypatch, an_hour_later):
    """
    Metadata earlier on the path that could not be read for want of descriptors is read the next time.
    """
    first, second = tmp_path / "1", tmp_path / "2"
    write_info(first, "acme-0.9.dist-info", "[console_scripts]\na = b:c\n", "Name: acme\nVersion: 0.9\n")
    write_info(second, "acme-1.0.dist-info", TOOL, "Name: acme\nVersion: 1.0\n")
    opened = os.open

    def refuse(path, *arguments, **options):
        if str(path) == str(first / "acme-0.9.dist-info" / "METADATA"):
            raise OSError(24, "Too many open files", path)
        return opened(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        assert found(first, second) == ["tools/a from acme 1.0"]

    assert found(first, second) == []


def test_metadata_that_may_not_be_read(tmp_path, monkeypatch):
    """
    A folder in the place of metadata says nothing: what lies there is left out, and hides nobody.
    """
    first, second = tmp_path / "1", tmp_path / "2"
    info = write_info(first, "acme-0.9.dist-info", TOOL)
    (info / "METADATA").mkdir()
    write_info(second, "acme-1.0.dist-info", TOOL, "Name: acme\nVersion: 1.0\n")

    assert found(first, second) == ["tools/a from acme 1.0"]
    assert problems(first) == [("METADATA", None, "cannot be read: Is a directory; its plugins are left out")]


def test_bytes_that_are_no_text_are_told_once(tmp_path):
    """
    Of metadata that is no text at all one line is named, not each.
    """
    write_info(tmp_path, "acme-1.0.dist-info", TOOL, b"\xff\n" * 500)

    assert [line for _, line, _ in problems(tmp_path)] == [None, None, 1]


@pytest.mark.parametrize(
    ("metadata", "spelled"),
    [
        ("Name: Bad.One\nVersion: 1.0\n", "Bad.One"),
        ("Name: somebody-else\nVersion: 1.0\n", "bad-one"),
        ("Name: Bad.One\n", "bad-one"),
        (None, "bad-one"),
    ],
)
@pytest.mark.parametrize("text", ["[hotplug.tools]\nbad\n", "[hotplug.tools]\nbad\na = b:c\n", b""])
def test_problems_spell_names_as_metadata_does(tmp_path, metadata, spelled, text):
    """
    A problem names the distribution as sound metadata spells it; else by its folder, dashed.
    """
    info = write_info(tmp_path, "bad_one-1.0.dist-info", text, metadata)
    (info / "entry_points.txt").touch()

    told = {problem.distribution for problem in discover(GROUPS, [str(tmp_path)]).problems}

    assert told == {spelled}


def test_rivals_are_named_as_metadata_does(tmp_path):
    """
    The problem of several versions in one folder spells the name of the one that counts.
    """
    for version in ("1.0", "2.0"):
        write_info(tmp_path, f"bad_one-{version}.dist-info", TOOL, f"Name: Bad.One\nVersion: {version}\n")

    [problem] = discover(GROUPS, [str(tmp_path)]).problems

    assert problem.distribution == "Bad.One"


def test_unreadable_entry_points_are_named_as_metadata_does(tmp_path):
    """
    Also where nothing of the entry points can be read, the name is the one of the metadata.
    """
    info = write_info(tmp_path, "bad_one-1.0.dist-info", metadata="Name: Bad.One\nVersion: 1.0\n")
    (info / "entry_points.txt").mkdir()

    [problem] = discover(GROUPS, [str(tmp_path)]).problems

    assert problem.distribution == "Bad.One"
