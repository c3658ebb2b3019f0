"""The index file: what it saves, and everything that makes it worthless."""

from __future__ import annotations

import os
import stat
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from discovering import ACME, GROUPS
from hotplug import _discovery
from hotplug._discovery import _folder, _index, discover
from hotplug._discovery._index import FORMAT, KEPT, Index, cache_folder, index_of
from hotplug.testing import Environment

pytestmark = pytest.mark.usefixtures("an_hour_later")


@pytest.fixture
def world(environment, own_index):
    """An environment with one plugin, one quiet distribution and one problem."""
    environment.install("acme", advertises=ACME)
    environment.install("quiet", advertises={"console_scripts": {"x": "y:z"}})
    return environment


def in_a_new_process(world: Environment, **options: bool):
    _discovery.forget()
    return discover(GROUPS, world.path, **options)


def index_file(folder: Path) -> Path:
    [file] = folder.glob("*.index")
    return file


@pytest.fixture
def scans(monkeypatch):
    """The folders that were listed, which a valid index makes unnecessary."""
    listed: list[str] = []
    real = _folder.list_folder
    monkeypatch.setattr(_folder, "list_folder", lambda folder: (listed.append(folder), real(folder))[1])
    return listed


def test_spares_the_scan(world, own_index, scans):
    """
    A second process answers from the index, and answers the same.
    """
    (world.folder / "bad-1.0.dist-info").mkdir()
    first = discover(GROUPS, world.path)
    scans.clear()

    assert first == in_a_new_process(world)
    assert scans == []


@pytest.mark.parametrize("odd", ["tab\there", "100%", "new\nline", "sur\udcffrogate", "ünïcode", "%09"])
def test_odd_names_survive(own_index, tmp_path, scans, odd):
    """
    Whatever stands in names and paths comes out of the index as it went in.
    """
    site = Environment(tmp_path / odd)
    site.install("acme", advertises={"hotplug.brokers": {odd.replace("\n", "").replace("\udcff", ""): "a:b"}})
    (site.folder / f"{odd}-1.0.dist-info").mkdir()
    (site.folder / f"{odd}2-1.0.dist-info").mkdir()
    (site.folder / f"{odd}2-1.0.dist-info" / "METADATA").write_text("quiet")
    first = discover(GROUPS, site.path)
    scans.clear()

    assert first == in_a_new_process(site)
    assert scans == []
    assert len(first.records) == 1
    assert len(first.problems) == 1


def test_sees_what_was_installed_since(world, own_index, tick):
    """
    A second process sees what was installed after the index was made.
    """
    discover(GROUPS, world.path)
    tick()
    world.install("new", advertises={"hotplug.tools": {"new": "a:b"}})

    assert [record.name for record in in_a_new_process(world).records] == ["acme", "new"]


def test_fresh_sees_edits_in_place(world, own_index, tick):
    """
    A second process that asks for a fresh look sees what the index could not.
    """
    discover(GROUPS, world.path)
    tick()
    file = world.folder / "quiet-1.0.dist-info" / "entry_points.txt"
    file.write_text("[hotplug.tools]\na = b:c\n")

    assert [record.name for record in in_a_new_process(world, fresh=True).records] == ["acme", "a"]


def test_fresh_reads_only_what_changed(world, own_index, tick, monkeypatch):
    """
    A fresh look that starts from a valid index opens no entry points that it knows.
    """
    tick()
    world.install("last")
    discover(GROUPS, world.path)
    opened: list[str] = []
    real = os.open
    monkeypatch.setattr(os, "open", lambda path, *a, **k: (opened.append(str(path)), real(path, *a, **k))[1])

    assert [record.name for record in in_a_new_process(world, fresh=True).records] == ["acme"]
    assert [Path(path).parent.name for path in opened if "entry_points" in path] == ["last-1.0.dist-info"]


def test_one_changed_folder_costs_not_the_others(world, own_index, tmp_path, tick, scans):
    """
    A second process scans only the folders that changed since the index was made.
    """
    (tmp_path / "work").mkdir()
    path = [str(tmp_path / "work"), *world.path]
    discover(GROUPS, path)
    tick()
    (tmp_path / "work" / "notes.txt").write_text("")
    scans.clear()
    _discovery.forget()

    assert [record.name for record in discover(GROUPS, path).records] == ["acme"]
    assert [str(tmp_path / "work")] == scans


def test_a_folder_whose_index_is_not_complete(own_index, tmp_path, tick, scans):
    """
    Distributions with problems are looked at again by a second process, though their folder is the same.
    """
    site = Environment(tmp_path / "site")
    site.install("acme", advertises=ACME)
    (site.folder / "bad-1.0.dist-info").mkdir()
    (tmp_path / "work").mkdir()
    path = [str(tmp_path / "work"), *site.path]
    first = discover(GROUPS, path)
    tick()
    (tmp_path / "work" / "notes.txt").write_text("")
    scans.clear()
    _discovery.forget()

    assert first == discover(GROUPS, path)
    assert [str(tmp_path / "work"), str(site.folder)] == scans


def test_of_another_machine(world, own_index, tick):
    """
    An index that fits the question but not the folders is of no use, not even for what it seems to know.
    """
    tick()
    world.install("last")  # from now on acme is older than the folder
    discover(GROUPS, world.path)
    [known] = _discovery._Memory.surveys.values()
    [table] = known.tables.values()
    table.stamp = (table.stamp[0] - 1, *table.stamp[1:])
    table.quiet = {*table.quiet, *table.loud}
    table.loud = {}
    known.stamps = (table.stamp,)
    Index(str(own_index), world.path, GROUPS).save(known)

    assert [record.name for record in in_a_new_process(world).records] == ["acme"]


def test_young_stamps_make_no_index(world, own_index, monkeypatch):
    """
    What cannot be trusted in memory is not written either.
    """
    monkeypatch.undo()
    monkeypatch.setenv("HOTPLUG_CACHE", str(own_index))
    _discovery.forget()
    discover(GROUPS, world.path)

    assert not own_index.exists()


def test_can_be_done_without(world, own_index):
    """
    Without cache nothing is written, and nothing that is there is read.
    """
    discover(GROUPS, world.path, cache=False)

    assert not own_index.exists()


def test_is_not_written_again(world, own_index, tick):
    """
    A fresh look that finds nothing new leaves the file alone.
    """
    discover(GROUPS, world.path)
    before = index_file(own_index).stat()
    tick()
    discover(GROUPS, world.path, fresh=True)

    assert before.st_ino == index_file(own_index).stat().st_ino


# -- doubt -------------------------------------------------------------------------------------------


def rewritten(body: bytes, answer_length: int) -> bytes:
    """A file that holds *body* and whose sum is right: somebody took pains."""
    return f"{FORMAT} {answer_length:x} {_index.crc32(body):x}\n".encode() + body


def parts(data: bytes) -> tuple[int, bytes]:
    head, _, body = data.partition(b"\n")
    return int(head.split(b" ")[1], 16), body


DAMAGES = {
    "empty": lambda data: b"",
    "another format": lambda data: b"[]",
    "not UTF-8": lambda data: b"\xff\xfe\xfa",
    "an older schema": lambda data: data.replace(b"index-2", b"index-1", 1),
    "cut in half": lambda data: data[: len(data) // 2],
    "cut by a byte": lambda data: data[:-1],
    "longer by a byte": lambda data: data + b"x",
    "one letter changed": lambda data: data.replace(b"acme:Broker", b"evil:Broker"),
    "zeros": lambda data: b"\0" * len(data),
    "no sum": lambda data: data.replace(b" ", b"", 2),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_thrown_away(world, own_index, scans, damage):
    """
    A file that is not whole is as good as none, and is replaced.
    """
    first = discover(GROUPS, world.path)
    file = index_file(own_index)
    whole = file.read_bytes()
    file.write_bytes(DAMAGES[damage](whole))
    scans.clear()

    assert first == in_a_new_process(world)
    assert world.path == scans
    assert len(whole) == len(file.read_bytes())


FORGERIES = {
    "a short row": lambda text: text.replace(b"\tacme:Broker\t", b"\t", 1),
    "a group nobody asked for": lambda text: text.replace(b"\nr\thotplug.brokers", b"\nr\thotplug.evil", 1),
    "a stamp that is no number": lambda text: text.replace(b"\ns\t", b"\ns\tx", 1),
    "a sort of row that is none": lambda text: text.replace(b"\nr\t", b"\nz\t", 1),
    "a stamp too many": lambda text: text.replace(b"\ns\t", b"\ns\ns\t", 1),
    "no last line end": lambda text: text[:-1],
    "not UTF-8": lambda text: text.replace(b"acme:Broker", b"acme:\xff", 1),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_rows_that_make_no_sense(world, own_index, scans, forgery):
    """
    A file with a right sum and wrong rows is thrown away like any other.
    """
    first = discover(GROUPS, world.path)
    file = index_file(own_index)
    length, body = parts(file.read_bytes())
    answer = FORGERIES[forgery](body[:length])
    file.write_bytes(rewritten(answer + body[length:], len(answer)))
    scans.clear()

    assert first == in_a_new_process(world)
    assert world.path == scans


@pytest.mark.parametrize(
    "tables", [b"", b"t\t1\n", b"t\tx\n", b"+nobody-1.dist-info\n", b"\n", b"no line end"]
)
def test_tables_that_make_no_sense(world, own_index, tick, tables):
    """
    The part for later scans may be lost or wrong: it is read when it is needed, and costs only time.
    """
    discover(GROUPS, world.path)
    file = index_file(own_index)
    length, body = parts(file.read_bytes())
    file.write_bytes(rewritten(body[:length] + tables, length))
    in_a_new_process(world)
    tick()
    world.install("new", advertises={"hotplug.tools": {"new": "a:b"}})

    assert [record.name for record in discover(GROUPS, world.path).records] == ["acme", "new"]


def test_the_answer_to_another_question(world, own_index):
    """
    A file in the right place that answers another question is not believed.
    """
    discover({"hotplug.tools": "tools"}, world.path)
    index_file(own_index).rename(Index(str(own_index), world.path, GROUPS).file)

    assert [record.name for record in in_a_new_process(world).records] == ["acme"]


def test_nothing_is_written_through_a_link(tmp_path):
    """
    A file that is written beside the old one is a new one, whatever waits under its name.
    """
    (tmp_path / "trap").symlink_to(tmp_path / "precious")

    with pytest.raises(FileExistsError):
        _index._write_new(str(tmp_path / "trap"), b"index")


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write(world, own_index, scans, mode):
    """
    A file that others could have written is not believed.
    """
    discover(GROUPS, world.path)
    index_file(own_index).chmod(mode)
    scans.clear()
    in_a_new_process(world)

    assert world.path == scans
    assert stat.S_IMODE(index_file(own_index).stat().st_mode) == 0o600


def test_a_file_of_somebody_else(world, own_index, scans, monkeypatch):
    """
    A file that belongs to another user is not believed, and one is not written into his folder.
    """
    discover(GROUPS, world.path)
    file = index_file(own_index)
    before = file.stat().st_ino
    scans.clear()
    monkeypatch.setattr(_index.os, "geteuid", lambda: os.getuid() + 1)

    assert [record.name for record in in_a_new_process(world).records] == ["acme"]
    assert world.path == scans
    assert before == file.stat().st_ino


def test_a_link_in_place_of_the_file(world, own_index, tmp_path, scans):
    """
    A link is not followed, however good what it leads to.
    """
    discover(GROUPS, world.path)
    file = index_file(own_index)
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    scans.clear()
    in_a_new_process(world)

    assert world.path == scans
    assert not file.is_symlink()


def test_a_folder_in_place_of_the_file(world, own_index, scans):
    """
    Where a folder has the file's name there is no index, and no trace of the attempt.
    """
    file = Path(Index(str(own_index), world.path, GROUPS).file)
    file.mkdir(parents=True)
    own_index.chmod(0o700)

    assert in_a_new_process(world) == in_a_new_process(world)
    assert scans == world.path * 2
    assert list(own_index.iterdir()) == [file]


def test_systems_without_owners(world, own_index, scans, monkeypatch):
    """
    Where files have no owner, there is none to check.
    """
    monkeypatch.delattr(_index.os, "geteuid")
    discover(GROUPS, world.path)
    scans.clear()
    in_a_new_process(world)

    assert scans == []


# -- the place ---------------------------------------------------------------------------------------


def test_is_for_its_owner_alone(world, own_index):
    """
    File and folder are closed to everybody else, and nothing else is left there.
    """
    discover(GROUPS, world.path)

    assert stat.S_IMODE(own_index.stat().st_mode) == 0o700
    assert stat.S_IMODE(index_file(own_index).stat().st_mode) == 0o600
    assert [index_file(own_index)] == list(own_index.iterdir())


@pytest.mark.parametrize("obstacle", ["a file", "a link to nothing", "a folder others may write"])
def test_a_place_that_cannot_be_used(world, own_index, obstacle):
    """
    Where no index can be, discovery works all the same, and leaves nothing.
    """
    if obstacle == "a file":
        own_index.write_text("")
    elif obstacle == "a link to nothing":
        own_index.symlink_to("nowhere/at/all")
    else:
        own_index.mkdir()
        own_index.chmod(0o777)

    assert [record.name for record in discover(GROUPS, world.path).records] == ["acme"]
    assert obstacle != "a folder others may write" or list(own_index.iterdir()) == []


def test_a_disk_that_is_full(world, own_index, monkeypatch):
    """
    An index that cannot be written whole is not written, and no piece of it stays.
    """

    def full(file, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_index.os, "write", full)

    assert [record.name for record in discover(GROUPS, world.path).records] == ["acme"]
    assert list(own_index.iterdir()) == []


def test_short_writes(world, own_index, scans, monkeypatch):
    """
    A file that takes only a few bytes at a time gets them all.
    """
    real = os.write
    monkeypatch.setattr(_index.os, "write", lambda file, data: real(file, data[:100]))
    discover(GROUPS, world.path)
    scans.clear()
    in_a_new_process(world)

    assert scans == []


def test_never_in_a_folder_of_the_path(world, monkeypatch):
    """
    Nothing is written into a folder that is looked at.
    """
    monkeypatch.setenv("HOTPLUG_CACHE", str(world.folder))
    before = sorted(world.folder.iterdir())
    discover(GROUPS, world.path)

    assert before == sorted(world.folder.iterdir())


def test_their_number_is_bounded(own_index, tmp_path, tick):
    """
    The oldest files, and what crashes left of others, make room for new ones.
    """
    own_index.mkdir(mode=0o700)
    (own_index / "other.txt").write_text("not ours")
    (own_index / "1-1.index.99-1.tmp").write_text("left by a crash")
    os.utime(own_index / "1-1.index.99-1.tmp", (1, 1))
    for number in range(KEPT + 5):
        site = tmp_path / f"site{number}"
        site.mkdir()
        discover(GROUPS, [str(site)])
        os.utime(index_of([str(site)], GROUPS).file, (number + 2, number + 2))  # type: ignore[union-attr]

    left = {path.name for path in own_index.iterdir()}

    assert len(left) == KEPT + 1
    assert "other.txt" in left
    assert "1-1.index.99-1.tmp" not in left
    assert Path(index_of([str(tmp_path / "site0")], GROUPS).file).name not in left  # type: ignore[union-attr]


def test_a_deleted_working_folder_has_no_index(tmp_path, monkeypatch):
    """
    What is relative to a folder that is gone cannot be looked up.
    """
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    assert index_of([""], GROUPS) is None


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"HOTPLUG_CACHE": "/x/y"}, "/x/y"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/hotplug"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/h"}, "/h/.cache/hotplug"),
        ({"HOME": "/h"}, "/h/.cache/hotplug"),
        ({"HOME": "odd"}, None),
    ],
)
def test_where_it_is(monkeypatch, environ, expected):
    """
    The customary places are used, in order, and none if there is none.
    """
    for name in ("HOTPLUG_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", "linux")

    assert expected == cache_folder()


def test_without_a_home(world, monkeypatch):
    """
    Without a place for caches there is no index, and no error.
    """
    for name in ("HOTPLUG_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "odd")
    _discovery.forget()

    assert [record.name for record in discover(GROUPS, world.path).records] == ["acme"]


def test_on_other_systems(monkeypatch):
    """
    Other systems keep caches elsewhere, and platformdirs knows where.
    """
    monkeypatch.delenv("HOTPLUG_CACHE", raising=False)
    monkeypatch.setattr(sys, "platform", "darwin")

    assert "hotplug" in Path(cache_folder() or "").parts


def test_many_writers(world, own_index, eager_threads, scans):
    """
    Threads that save one index at once leave one that is whole.
    """
    start = threading.Barrier(6)

    def look(_):
        start.wait(10)
        return discover(GROUPS, world.path, fresh=True)

    with ThreadPoolExecutor(6) as pool:
        answers = set(pool.map(look, range(6)))
    scans.clear()

    assert answers == {in_a_new_process(world)}
    assert scans == []
    assert [index_file(own_index)] == list(own_index.iterdir())
