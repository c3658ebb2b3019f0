"""What is broken hides nothing else, and is told with its place."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from hotplug._discovery import _folder, discover

pytestmark = pytest.mark.usefixtures("own_index")

GROUPS = {"hotplug.brokers": "brokers", "hotplug.tools": "tools"}
ACME = {"hotplug.brokers": {"acme": "acme:Broker"}}


def found(*path: object, **options: bool) -> list[str]:
    return [str(record) for record in discover(GROUPS, [str(entry) for entry in path], **options).records]


def problems(*path: object) -> list[tuple[str, int | None, str]]:
    listed = discover(GROUPS, [str(entry) for entry in path]).problems
    return [(Path(problem.path).name, problem.line, problem.reason) for problem in listed]


def write_info(folder: Path, name: str, text: str | bytes = "", metadata: str | bytes | None = None) -> Path:
    """A dist-info as somebody else might have left it."""
    info = folder / name
    info.mkdir(parents=True)
    if text:
        (info / "entry_points.txt").write_bytes(text.encode() if isinstance(text, str) else text)
    if metadata is not None:
        (info / "METADATA").write_bytes(metadata.encode() if isinstance(metadata, str) else metadata)
    return info


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
    assert (line, "bad_one") == (problem.line, problem.distribution)
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
        assert reason == "cannot be read: Too many open files"

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
