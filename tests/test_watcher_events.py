"""What file systems do, and events lie about: each is reported all the same."""

from __future__ import annotations

import itertools
import os
import shutil
import threading
import time

import pytest

from hotplug._watcher._ears import Ears
from thorough import part_of
from watching import file, move, site, tree, watching, write

pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.fixture
def code(tmp_path):
    """A package of two modules and a sub-package."""
    for name in ("a.py", "b.py", "sub/c.py"):
        write(tmp_path / "code" / name)
    return tmp_path / "code"


@pytest.fixture
def patient():
    """A pace at which no look by the clock comes to the help of events."""
    return {"tick": 3600.0}


def filled(folder, count=50):
    for number in range(count):
        write(folder / f"m{number}.py")
    return folder


# -- ways to save ----------------------------------------------------------------------------------


def rename_over(path, text):
    move(write(path.with_name(f".{path.name}.tmp"), text), path)


def write_in_place(path, text):
    path.write_text(text)


def delete_first(path, text):
    path.unlink()
    path.write_text(text)


def keep_a_backup(path, text):
    move(path, path.with_name(f"{path.name}~"))
    path.write_text(text)


def append(path, text):
    with path.open("a") as stream:
        stream.write(text)


SAVES = [rename_over, write_in_place, delete_first, keep_a_backup, append]


@pytest.mark.parametrize("save", SAVES)
def test_every_way_to_save_is_one_report(code, patient, save):
    """
    Editors save in place, by renaming, or with a backup: of each the root is told once.
    """
    with watching(tree(code), file(code / "a.py"), **patient) as there:
        save(code / "a.py", "x = 22\n")
        there.heard.hears("code")
        there.heard.hears("file")
        there.then_touch(code / "sub" / "c.py", "code")

        assert there.heard.calls == [{"code", "file"}, {"code"}]


@pytest.mark.parametrize("save", SAVES)
def test_of_many_saves_none_is_missed(code, patient, save):
    """
    Same size, within the same second, again and again: no save goes unreported.
    """
    with watching(tree(code), settle=0.0, **patient) as there:
        for number in range(part_of(20)):
            count = len(there.heard.calls)
            save(code / "a.py", f"{number:06}\n")
            there.heard.hears("code", after=count)


def test_a_save_with_the_times_of_before_is_reported(code, patient):
    """
    Installers set the time of the archive: older, or the same as before, it is a change.
    """
    with watching(tree(code), **patient) as there:
        before = (code / "a.py").stat()
        write(code / "a.py", "x = 2\n")
        os.utime(code / "a.py", ns=(before.st_atime_ns, before.st_mtime_ns))

        there.heard.hears("code")


def test_leftovers_are_not_reported(code, patient):
    """
    What Python and editors leave while they work is no change.
    """
    with watching(tree(code), **patient) as there:
        write(code / "__pycache__" / "a.cpython-311.pyc")
        write(code / ".a.py.swp")
        write(code / "4913").unlink()
        write(code / "a.py~")
        there.then_touch(code / "b.py", "code")

        assert len(there.heard.calls) == 1


# -- folders ---------------------------------------------------------------------------------------


def test_a_folder_filled_at_once_is_reported_whole(code, patient):
    """
    Files that come with their folder make no events; later edits of each of them do.
    """
    with watching(tree(code), **patient) as there:
        filled(code / "new" / "deep")
        there.heard.hears("code")
        for number in (0, 49):
            there.then_touch(code / "new" / "deep" / f"m{number}.py", "code")

        assert there.watcher.report().watches == 4


def test_a_folder_moved_in_is_reported_and_watched(code, tmp_path, patient):
    """
    A folder that is moved in tells of itself only; what is in it is watched from then on.
    """
    filled(tmp_path / "elsewhere" / "deep")
    with watching(tree(code), **patient) as there:
        move(tmp_path / "elsewhere", code / "new")
        there.heard.hears("code")

        there.then_touch(code / "new" / "deep" / "m7.py", "code")


@pytest.mark.parametrize("again", [1, 2])
def test_a_folder_moved_away_and_back_is_watched(code, tmp_path, patient, again):
    """
    What pip does and takes back is no change, and after it edits are heard as before.
    """
    with watching(tree(code), **patient) as there:
        for _ in range(again):
            move(code / "sub", tmp_path / "~sub")
            move(tmp_path / "~sub", code / "sub")

        there.then_touch(code / "sub" / "c.py", "code")


def test_a_folder_deleted_and_made_anew_is_watched(code, patient):
    """
    A new folder may have the very number of the old one; it is another all the same.
    """
    with watching(tree(code), **patient) as there:
        for _ in range(5):
            count = len(there.heard.calls)
            shutil.rmtree(code / "sub")
            write(code / "sub" / "c.py")
            there.heard.hears("code", after=count)
            there.then_touch(code / "sub" / "c.py", "code")


@pytest.mark.parametrize("root", [tree, site])
def test_a_root_deleted_and_made_anew_is_watched(tmp_path, patient, root):
    """
    A root that comes back, at once or later, is reported and heard.
    """
    path = write(tmp_path / "root" / "a.py")
    with watching(root(path.parent, "root"), **patient) as there:
        for _ in range(3):
            count = len(there.heard.calls)
            shutil.rmtree(path.parent)
            write(path)
            there.heard.hears("root", after=count)
            there.then_touch(path, "root")

        count = len(there.heard.calls)
        shutil.rmtree(path.parent)
        there.heard.hears("root", after=count)
        count = len(there.heard.calls)
        write(path)
        there.heard.hears("root", after=count)
        there.then_touch(path, "root")


def test_a_root_whose_folder_above_was_renamed_is_found_by_the_clock(tmp_path):
    """
    No event tells that a folder above moved away; the clock does, and finds it when it is back.
    """
    path = write(tmp_path / "above" / "code" / "a.py")
    with watching(tree(path.parent), tick=0.05) as there:
        move(tmp_path / "above", tmp_path / "away")
        there.heard.hears("code")
        count = len(there.heard.calls)
        move(tmp_path / "away", tmp_path / "above")
        there.heard.hears("code", after=count)
        there.then_touch(path, "code")


# -- links -----------------------------------------------------------------------------------------


def test_a_linked_package_is_watched(code, tmp_path, patient):
    """
    An edit behind a link is an edit, whether the root is the link, or the package in it.
    """
    (tmp_path / "root").symlink_to(code)
    (code / "linked").symlink_to(filled(tmp_path / "real"))
    with watching(tree(tmp_path / "root"), **patient) as there:
        there.then_touch(code / "a.py", "code")
        there.then_touch(tmp_path / "real" / "m7.py", "code")


def test_a_linked_module_is_watched(code, tmp_path, patient):
    """
    Some editable installs are trees of links: an edit of the real file is heard.
    """
    real = write(tmp_path / "real" / "d.py")
    (code / "d.py").symlink_to(real)
    with watching(tree(code), **patient) as there:
        there.then_touch(real, "code")
        rename_over(real, "x = 3\n")
        there.heard.wait(lambda: there.heard.count("code") >= 2)


def test_a_link_to_another_version_is_another_root(tmp_path, patient):
    """
    A root that is a link is reported when the link is replaced, and heard at its new place.
    """
    for version in "12":
        write(tmp_path / version / "a.py")
    (tmp_path / "current").symlink_to("1")
    with watching(tree(tmp_path / "current"), **patient) as there:
        (tmp_path / "next").symlink_to("2")
        move(tmp_path / "next", tmp_path / "current")
        there.heard.hears("code")

        there.then_touch(tmp_path / "2" / "a.py", "code")


def test_a_mounted_configuration_is_followed(tmp_path, patient):
    """
    Kubernetes replaces a link beside the file, again and again; each time the file is another.
    """
    for number in range(4):
        write(tmp_path / f"..{number}" / "hotplug.toml", "x" * number)
    (tmp_path / "..data").symlink_to("..0")
    (tmp_path / "hotplug.toml").symlink_to("..data/hotplug.toml")
    with watching(file(tmp_path / "hotplug.toml"), **patient) as there:
        for number in (1, 2, 3):
            count = len(there.heard.calls)
            (tmp_path / "..next").symlink_to(f"..{number}")
            move(tmp_path / "..next", tmp_path / "..data")
            shutil.rmtree(tmp_path / f"..{number - 1}")
            there.heard.hears("file", after=count)
        there.then_touch(tmp_path / "..3" / "hotplug.toml", "file")


def test_an_edit_through_another_name_is_found_by_the_clock(code, tmp_path):
    """
    No event tells of a write through a hard link elsewhere; the clock does, and ears are opened anew.
    """
    os.link(code / "a.py", tmp_path / "other.py")
    with watching(tree(code), tick=0.05) as there:
        append(tmp_path / "other.py", "y = 2\n")
        there.heard.hears("code")
        there.heard.wait(lambda: there.watcher.report().rearmed)

        assert there.watcher.report().missed == 1


def test_events_that_are_lost_are_found_by_the_clock(code, monkeypatch):
    """
    An overflow of the queue loses events without a word; the clock finds what they would have told.
    """
    listen = Ears.listen
    lost = threading.Event()

    def losing(ears, otherwise, pause):
        heard = listen(ears, otherwise, pause)
        if heard and not lost.is_set():
            lost.set()
            return set()
        return heard

    monkeypatch.setattr(Ears, "listen", losing)
    with watching(tree(code), tick=0.05) as there:
        write(code / "sub" / "c.py", "x = 22\n")
        there.heard.hears("code")


# -- site folders ----------------------------------------------------------------------------------


def test_an_installer_that_writes_record_last_is_heard_to_the_end(tmp_path, patient):
    """
    No event tells of a metadata folder's files, so it is looked at until it has cooled down.
    """
    record = write(tmp_path / "site" / "acme-1.0.dist-info" / "RECORD", "first")
    with watching(site(tmp_path / "site"), **patient) as there:
        for text in ("second", "third, in place"):
            count = len(there.heard.calls)
            record.write_text(text)
            there.heard.hears("site", after=count)
        count = len(there.heard.calls)
        rename_over(record, "fourth")
        there.heard.hears("site", after=count)


def test_an_upgrade_as_pip_does_it_is_heard(tmp_path, patient):
    """
    Renamed aside, installed anew, the backup deleted: the last step is reported too.
    """
    folder = tmp_path / "site"
    for name in ("acme/__init__.py", "acme-1.0.dist-info/RECORD"):
        write(folder / name)
    with watching(site(folder), **patient) as there:
        move(folder / "acme-1.0.dist-info", folder / "~cme-1.0.dist-info")
        move(folder / "acme", folder / "~cme")
        write(folder / "acme" / "__init__.py")
        write(folder / "acme-2.0.dist-info" / "RECORD")
        there.heard.hears("site")
        count = len(there.heard.calls)
        shutil.rmtree(folder / "~cme-1.0.dist-info")
        there.heard.hears("site", after=count)


# -- bursts ----------------------------------------------------------------------------------------


def test_a_burst_is_one_report(code, patient):
    """
    A checkout of many files, some of them new, some gone, in two roots, is one call.
    """
    for number in range(200):
        write(code / f"m{number}.py")
    other = filled(code.parent / "other")
    with watching(tree(code), tree(other, "other"), settle=0.2, **patient) as there:
        for number in range(200):
            delete_first(code / f"m{number}.py", f"x = {number}\n")
        for number in range(50):
            write(other / f"m{number}.py", "x = 22\n")
        filled(code / "new")
        shutil.rmtree(code / "sub")
        there.heard.hears("code")
        there.then_touch(code / "a.py", "code")

        assert there.heard.calls == [{"code", "other"}, {"code"}]


def test_what_is_heard_while_ears_are_exchanged_is_of_the_same_burst(code, patient, monkeypatch):
    """
    A burst with a new folder is one report, though its last events come when the folder is armed.
    """
    arm = Ears.arm

    def arm_late(ears, directories):
        arm(ears, directories)
        ears._heard.add(str(code / "a.py"))

    monkeypatch.setattr(Ears, "arm", arm_late)
    with watching(tree(code), **patient) as there:
        there.heard.hears("code")
        write(code / "new" / "d.py")
        there.heard.hears("code", after=1)
        there.watcher.look_now()

        assert len(there.heard.calls) == 2


class Writer(threading.Thread):
    """Somebody who writes a line into a file every *pause* seconds, as far as he can, until told to end."""

    def __init__(self, path, pause=0.002):
        super().__init__()
        self.path, self.pause = path, pause
        self.over = threading.Event()
        self.ended_at = 0.0
        self.wrote_at = []

    def run(self):
        with self.path.open("a", buffering=1) as stream:
            while not self.over.wait(self.pause):
                stream.write("a line\n")
                self.wrote_at.append(time.monotonic())
        self.ended_at = time.monotonic()

    def rests(self, seconds):
        """How often about so many seconds went by without a line."""
        times = [*self.wrote_at, time.monotonic()]
        return sum(after - before > 0.9 * seconds for before, after in itertools.pairwise(times))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()


def test_a_slow_writer_is_reported_when_he_is_done(code, patient):
    """
    A file that is being written is not reported half, and who writes for ever holds up nobody else.
    """
    other = write(code.parent / "other" / "d.py")
    with watching(tree(code), tree(other.parent, "other"), settle=0.2, **patient) as there:
        with Writer(code / "a.py") as writer:
            there.then_touch(other, "other")
            there.then_touch(other, "other")
            told, rests = there.heard.count("code"), writer.rests(0.2)
        assert told <= rests
        there.heard.hears("code", after=len(there.heard.calls) if told else 0)

        assert there.heard.count("code") <= 1 + rests


def test_a_log_in_a_package_does_not_hold_back_its_code(code, patient, monkeypatch):
    """
    What nobody executes may be written for ever: an edit beside it is reported before long.
    """
    monkeypatch.setattr("hotplug._watcher._unrest.PATIENCE", 0.3)
    monkeypatch.setattr("hotplug._watcher._watch.PATIENCE", 0.3)
    with watching(tree(code), settle=0.1, **patient) as there, Writer(code / "acme.log"):
        there.then_touch(code / "a.py", "code")
        there.then_touch(code / "a.py", "code")


def test_a_folder_in_the_making_beside_a_slow_writer_is_watched_in_the_end(code, patient):
    """
    Somebody writes on while folders come and go; when he is done, all that is there is watched.
    """
    with watching(tree(code), settle=0.05, **patient) as there:
        with Writer(code / "a.py"):
            filled(code / "new" / "deep")
            shutil.rmtree(code / "sub")
        there.heard.hears("code")
        there.then_touch(code / "new" / "deep" / "m7.py", "code")


def test_a_flood_leaves_nobody_deaf(code):
    """
    Thousands of files that come and go are nothing in the end, and the last change is not lost.
    """

    def flood(name):
        for number in range(2000):
            write(code / f"{name}{number % 7}.py").unlink()

    with watching(tree(code), tick=0.2) as there:
        threads = [threading.Thread(target=flood, args=(name,)) for name in "wxyz"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        there.then_touch(code / "sub" / "c.py", "code")
        there.heard.wait(lambda: not there.watcher.look_now())

        there.then_touch(code / "a.py", "code")
