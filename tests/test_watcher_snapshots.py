"""What the snapshots see, and what they do not look at: no thread, no event."""

from __future__ import annotations

import os
import time
from itertools import islice
from pathlib import Path

import pytest

from hotplug._watcher._file import File
from hotplug._watcher._folder import Folder
from hotplug._watcher._tree import Tree
from watching import move, write


@pytest.fixture
def code(tmp_path):
    """A package of two modules and a sub-package."""
    for name in ("a.py", "b.py", "sub/c.py"):
        write(tmp_path / "code" / name)
    return tmp_path / "code"


def seen(ward) -> set[str]:
    """What a look finds, as paths below the root."""
    ward.look()
    return told(ward)


def told(ward) -> set[str]:
    return {os.path.relpath(piece.path, ward.path) for piece in ward.take_news()}


def below(ward) -> set[str]:
    return {os.path.relpath(path, ward.path) for path in ward.directories()}


# -- trees -----------------------------------------------------------------------------------------


def test_a_first_look_is_no_news(code):
    """
    What is there when a tree is first seen is not news, and a second look agrees.
    """
    ward = Tree(str(code))

    assert told(ward) == set()
    assert seen(ward) == set()


@pytest.mark.parametrize("change", ["content", "replacement", "new", "deletion", "deep", "type", "time"])
def test_every_sort_of_change_is_seen(code, change):
    """
    Written, replaced, new and deleted files are seen, at any depth, and a file that becomes a folder.
    """
    ward = Tree(str(code))
    place = {"new": "d.py", "deep": "sub/c.py"}.get(change, "a.py")
    if change == "replacement":
        move(write(code.parent / "other.py"), code / place)
    elif change == "time":
        os.utime(code / place, ns=(1, 1))
    elif change in {"deletion", "type"}:
        (code / place).unlink()
    else:
        write(code / place, "x = 22\n")
    if change == "type":
        write(code / place / "inner.py")

    assert place in seen(ward)
    assert seen(ward) == set()


@pytest.mark.parametrize(
    "name",
    [
        *(
            "__pycache__/a.cpython-311.pyc",
            "a.pyc",
            "~a.py",
            "~pkg/a.py",
            "a.py.tmp",
            ".#a.py",
            ".a.py.swp",
            "a.py~",
        ),
        *("4913", ".git/config", ".venv/a.py", "node_modules/left/pad.py", "acme.egg-info/PKG-INFO"),
        *("acme-1.0.dist-info/RECORD", "env/pyvenv.cfg"),
    ],
)
def test_leftovers_are_not_looked_at(code, name):
    """
    Caches, editors' temporary files, hidden folders, metadata and nested environments are no code.
    """
    ward = Tree(str(code))
    write(code / name)

    assert seen(ward) == set()
    assert below(ward) == {".", "sub"}
    assert below(Tree(str(code))) == {".", "sub"}


def test_a_root_may_be_called_anything(tmp_path):
    """
    What is asked for by its own name is looked at, hidden or an environment or not.
    """
    root = tmp_path / ".hidden"
    write(root / "pyvenv.cfg")
    ward = Tree(str(root))
    write(root / "a.py")

    assert seen(ward) == {"a.py"}


def test_hidden_files_are_looked_at(code):
    """
    Of what is hidden only folders are left out.
    """
    ward = Tree(str(code))
    write(code / ".settings")

    assert seen(ward) == {".settings"}


def test_a_folder_that_turns_out_to_be_an_environment_is_left_out(code):
    """
    An environment in the making is a folder first; once it says what it is, nobody looks there any more.
    """
    ward = Tree(str(code))
    write(code / "env" / "a.py")
    assert "env" in seen(ward)

    write(code / "env" / "pyvenv.cfg")
    ward.hear(str(code / "env"), "pyvenv.cfg")
    ward.take_news()
    write(code / "env" / "a.py", "changed\n")

    assert seen(ward) == set()
    assert below(ward) == {".", "sub"}


def test_an_environment_that_is_none_any_more_is_looked_at(code):
    """
    A folder left out as an environment is taken in once it is none.
    """
    marker = write(code / "env" / "pyvenv.cfg")
    ward = Tree(str(code))
    marker.unlink()
    write(code / "new.py")

    assert "env" in seen(ward)
    assert below(ward) == {".", "sub", "env"}


def test_a_new_folder_is_news_with_all_below_it(code):
    """
    A folder that appears is taken in whole, and asks for events from all folders in it.
    """
    ward = Tree(str(code))
    ward.rearm, ward.fresh = False, set()
    write(code / "new" / "deep" / "d.py")
    ward.hear(str(code), "new")

    assert told(ward) == {"new"}
    assert below(ward) == {".", "sub", "new", "new/deep"}
    assert ward.rearm
    assert ward.fresh == {str(code / "new"), str(code / "new" / "deep")}


def test_a_deleted_folder_is_forgotten_with_all_below_it(code):
    """
    Of a folder that is gone nothing is left in the snapshot.
    """
    write(code / "sub" / "deep" / "d.py")
    ward = Tree(str(code))
    move(code / "sub", code.parent / "away")

    assert "sub" in seen(ward)
    assert below(ward) == {"."}


def test_a_folder_heard_of_is_compared_whole(code):
    """
    A folder made anew may look like the old one, so what was heard of is compared and listened to again.
    """
    ward = Tree(str(code))
    ward.rearm, ward.fresh = False, set()
    write(code / "sub" / "c.py", "x = 22\n")
    ward.hear(str(code), "sub")

    assert told(ward) == {"sub/c.py"}
    assert ward.rearm
    assert ward.fresh == {str(code / "sub")}
    assert not ward.unheard


def test_hearing_of_a_stranger_is_nothing(code):
    """
    A folder that is not in the snapshot is nobody's business.
    """
    ward = Tree(str(code))
    ward.hear_of(str(code / "nowhere"))
    ward.hear(str(code / "nowhere"), "a.py")

    assert told(ward) == set()


def test_what_is_heard_of_is_news_even_with_the_same_stats(code):
    """
    On a coarse clock a second write may leave the stats as they were; the event counts.
    """
    ward = Tree(str(code))
    ward.hear(str(code), "a.py")

    assert told(ward) == {"a.py"}


def test_what_was_there_only_for_a_moment_is_no_news(code):
    """
    An event that names what is not there, and was not, is nothing.
    """
    ward = Tree(str(code))
    ward.hear(str(code), "gone.py")

    assert told(ward) == set()


def test_a_look_without_an_event_says_where_ears_were_deaf(code):
    """
    What a look finds was not heard of, until an event of that folder comes.
    """
    ward = Tree(str(code))
    write(code / "sub" / "c.py", "x = 22\n")
    ward.look()
    assert ward.unheard == {str(code / "sub")}

    ward.hear(str(code / "sub"), "c.py")
    assert not ward.unheard


def test_a_shallow_look_sees_names_and_not_contents(code):
    """
    Folders are cheap to look at: what was put in or taken out is seen, what was written in place is not.
    """
    ward = Tree(str(code))
    write(code / "a.py", "x = 22\n")
    for _ in ward.shallow():
        pass
    assert told(ward) == set()

    write(code / "sub" / "new.py")
    for _ in ward.shallow():
        pass
    assert "sub/new.py" in told(ward)


def test_a_look_may_be_interrupted(code):
    """
    Bit by bit: whatever happens between two bits of a look, the next look finds the rest.
    """
    ward = Tree(str(code))
    for bits in range(8):
        write(code / "sub" / "c.py", "x" * bits)
        steps = ward.deep()
        list(islice(steps, bits))
        move(code / "sub", code / f"sub{bits}")
        list(steps)
        ward.look()
        ward.take_news()
        move(code / f"sub{bits}", code / "sub")
        ward.look()
        ward.take_news()

    assert seen(ward) == set()
    assert below(ward) == {".", "sub"}


@pytest.mark.parametrize("ward", [Tree, Folder])
def test_a_root_need_not_be_there(tmp_path, ward):
    """
    A root that is missing is waited for, is news when it comes, and when it goes; it is looked for often.
    """
    watched = ward(str(tmp_path / "later"))
    assert seen(watched) == set()
    assert watched.directories() == set()
    assert len(watched.warm) == 1

    write(tmp_path / "later" / "a.py")
    assert "." in seen(watched)
    assert below(watched) == {"."}

    move(tmp_path / "later", tmp_path / "gone")
    assert "." in seen(watched)
    assert watched.directories() == set()
    assert len(watched.warm) == 1

    write(tmp_path / "later" / "a.py")
    watched.look_again(watched.path)
    assert "." in told(watched)


@pytest.mark.parametrize("ward", [Tree, Folder])
def test_a_root_that_was_replaced_is_news(tmp_path, ward):
    """
    Another folder of the same name is another root, whatever is in it; it is listened to anew.
    """
    (tmp_path / "root").mkdir()
    watched = ward(str(tmp_path / "root"))
    watched.rearm = False
    move(tmp_path / "root", tmp_path / "old")
    (tmp_path / "root").mkdir()

    assert "." in seen(watched)
    assert watched.rearm


@pytest.mark.parametrize("ward", [Tree, Folder])
def test_a_root_that_was_replaced_while_it_was_listed_is_news(tmp_path, ward):
    """
    The same is seen by whoever lists a folder.
    """
    (tmp_path / "root").mkdir()
    watched = ward(str(tmp_path / "root"))
    move(tmp_path / "root", tmp_path / "old")
    write(tmp_path / "root" / "a.py")
    watched.look_in(str(tmp_path / "root"))

    assert "." in told(watched)


def test_listing_what_is_gone(code):
    """
    A folder that vanished before it was listed is gone; one that was never there is nothing.
    """
    ward = Tree(str(code))
    move(code / "sub", code.parent / "away")
    ward.look_in(str(code / "sub"))
    ward.look_in(str(code / "never"))

    assert told(ward) == {"sub"}


def test_linked_folders_are_followed(tmp_path, code):
    """
    A sub-package that is a link belongs to the tree, and so does a root that is one.
    """
    write(tmp_path / "real" / "d.py")
    (code / "linked").symlink_to(tmp_path / "real")
    (tmp_path / "root").symlink_to(code)
    ward = Tree(str(tmp_path / "root"))
    write(tmp_path / "real" / "d.py", "x = 22\n")

    assert seen(ward) == {"linked/d.py"}
    assert str(tmp_path) in ward.directories(), "who replaces the link replaces the root"


def test_a_root_that_leads_elsewhere_now_is_news(tmp_path):
    """
    A root that is a link is another one once the link is.
    """
    write(tmp_path / "1" / "a.py")
    write(tmp_path / "2" / "a.py")
    (tmp_path / "root").symlink_to("1")
    ward = Tree(str(tmp_path / "root"))
    (tmp_path / "next").symlink_to("2")
    move(tmp_path / "next", tmp_path / "root")
    ward.hear(str(tmp_path), "root")

    assert told(ward) == {"."}


def test_links_in_a_circle_end(code):
    """
    A link to a folder above is not followed, when first seen, when heard of, and when listed.
    """
    (code / "sub" / "up").symlink_to(code)
    ward = Tree(str(code))
    (code / "again").symlink_to(".")
    ward.hear(str(code), "again")

    assert below(ward) == {".", "sub"}
    assert told(ward) == set()
    assert seen(ward) == set()


def test_the_real_file_behind_a_link_is_listened_to(tmp_path, code):
    """
    Of a module that is a link, the events come from where the real file is.
    """
    real = write(tmp_path / "real" / "d.py")
    (code / "d.py").symlink_to(real)
    ward = Tree(str(code))
    assert str(real.parent) in ward.directories()

    write(real, "x = 22\n")
    ward.hear(str(real.parent), "d.py")
    assert told(ward) == {"d.py"}

    ward.hear(str(real.parent), "unrelated.py")
    assert told(ward) == set()


def test_a_link_that_leads_elsewhere_now_is_listened_to_there(tmp_path, code):
    """
    A replaced link takes its ears along, and a deleted one gives them up.
    """
    for number in "12":
        write(tmp_path / number / "d.py", number * int(number))
    (code / "d.py").symlink_to(tmp_path / "1" / "d.py")
    (code / "e.py").symlink_to(tmp_path / "1" / "d.py")
    ward = Tree(str(code))
    ward.rearm = False
    (code / "d.py").unlink()
    (code / "d.py").symlink_to(tmp_path / "2" / "d.py")
    ward.hear(str(code), "d.py")

    assert ward.rearm
    assert {str(tmp_path / "1"), str(tmp_path / "2")} <= ward.directories()

    (code / "d.py").unlink()
    (code / "e.py").unlink()
    ward.look()
    assert below(ward) == {".", "sub"}


def test_links_in_a_deleted_folder_are_given_up(tmp_path, code):
    """
    With a folder go the links in it.
    """
    (code / "sub" / "d.py").symlink_to(write(tmp_path / "real" / "d.py"))
    ward = Tree(str(code))
    move(code / "sub", tmp_path / "away")
    ward.look()

    assert below(ward) == {"."}


def test_a_link_to_nothing_is_nothing(code):
    """
    A link whose file is missing is no entry until the file is there.
    """
    (code / "d.py").symlink_to(code.parent / "missing.py")
    ward = Tree(str(code))
    assert seen(ward) == set()

    write(code.parent / "missing.py")
    ward.look_in(str(code))
    assert told(ward) == {"d.py"}


@pytest.fixture
def unlisted(monkeypatch):
    """Call it with a folder and an error: who lists that folder gets the error."""
    scandir, listdir, errors = os.scandir, os.listdir, {}

    def forbidding(call):
        def listing(path):
            if path in errors:
                raise errors[path](path)
            return call(path)

        return listing

    monkeypatch.setattr("os.scandir", forbidding(scandir))
    monkeypatch.setattr("os.listdir", forbidding(listdir))
    return lambda path, error: errors.update({str(path): error})


def test_a_folder_that_cannot_be_listed_is_tried_again(code, unlisted, monkeypatch):
    """
    A new folder that nobody may read is empty, and is looked into as soon as that is possible.
    """
    write(code / "new" / "d.py")
    unlisted(code / "new", PermissionError)
    ward = Tree(str(code))
    assert below(ward) == {".", "sub", "new"}

    monkeypatch.undo()
    assert seen(ward) == {"new/d.py"}


def test_what_is_known_is_kept_where_a_folder_cannot_be_listed(code, unlisted, monkeypatch):
    """
    Too many open files take nothing away.
    """
    ward = Tree(str(code))
    unlisted(code / "sub", OSError)
    write(code / "sub" / "d.py")
    assert seen(ward) == set()

    monkeypatch.undo()
    assert seen(ward) == {"sub/d.py"}


def test_a_folder_that_vanishes_while_it_is_listed_is_gone(code, unlisted):
    """
    What is not there any more when its turn comes is no part of the tree.
    """
    unlisted(code / "sub", FileNotFoundError)

    assert below(Tree(str(code))) == {"."}
    unlisted(code, FileNotFoundError)
    assert Tree(str(code)).directories() == set()


def test_a_site_folder_that_cannot_be_listed_is_tried_again(packages, unlisted, monkeypatch):
    """
    Too many open files take nothing away from a site folder either.
    """
    ward = Folder(str(packages))
    write(packages / "new.py")
    unlisted(packages, OSError)
    assert "new.py" not in seen(ward)

    monkeypatch.undo()
    assert seen(ward) == {"new.py"}


# -- site folders ----------------------------------------------------------------------------------


@pytest.fixture
def packages(tmp_path):
    """A site folder with one distribution."""
    write(tmp_path / "site" / "acme" / "__init__.py")
    write(tmp_path / "site" / "acme-1.0.dist-info" / "RECORD", "acme\n")
    return tmp_path / "site"


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("new.py", "new.py"),
        ("acme.pth", "acme.pth"),
        ("~cme/__init__.py", "~cme"),
        ("acme-1.0.dist-info/RECORD", "acme-1.0.dist-info"),
        ("acme-1.0.dist-info/INSTALLER", "acme-1.0.dist-info"),
    ],
)
def test_what_installers_do_is_seen(packages, place, found):
    """
    Entries that come and change are seen, pip's backups and files rewritten in place in metadata included.
    """
    ward = Folder(str(packages))
    write(packages / place, "written anew\n")

    assert found in seen(ward)
    assert seen(ward) == set()


def test_what_is_deep_in_a_package_is_not_seen(packages):
    """
    Of what is no metadata a site folder knows the direct entries only.
    """
    ward = Folder(str(packages))
    write(packages / "acme" / "__init__.py", "x = 22\n")
    write(packages / "__pycache__" / "a.pyc")

    assert seen(ward) == set()


def test_a_deleted_distribution_is_seen(packages):
    """
    What is gone is news, and gone from the snapshot.
    """
    ward = Folder(str(packages))
    move(packages / "acme-1.0.dist-info", packages.parent / "away")
    ward.hear(str(packages), "acme-1.0.dist-info")

    assert told(ward) == {"acme-1.0.dist-info"}
    assert seen(ward) == set()


def test_metadata_that_has_just_changed_stays_warm(packages):
    """
    No event tells of what is written into a metadata folder, so it is looked at again and again for a while.
    """
    ward = Folder(str(packages))
    assert len(ward.warm) == 1, "it was made a moment ago"
    record = packages / "acme-1.0.dist-info" / "RECORD"
    with record.open("a") as file:
        file.write("more\n")
    ward.look_again(str(record.parent))

    assert told(ward) == {"acme-1.0.dist-info"}


def test_metadata_that_is_old_is_cold(packages, monkeypatch):
    """
    Metadata that changed long ago is looked at by the clock only.
    """
    monkeypatch.setattr("hotplug._watcher._folder.WARM_AGE", -3_600_000_000_000)

    assert not Folder(str(packages)).warm


def test_metadata_may_be_a_file_or_empty(tmp_path):
    """
    A file with the name of a metadata folder is a file; an empty folder is one without files.
    """
    write(tmp_path / "old.egg-info")
    (tmp_path / "new-1.0.dist-info").mkdir()
    ward = Folder(str(tmp_path))
    write(tmp_path / "old.egg-info", "changed\n")
    write(tmp_path / "new-1.0.dist-info" / "METADATA")

    assert seen(ward) == {"old.egg-info", "new-1.0.dist-info"}


def test_a_site_folder_heard_of_is_compared_whole(packages):
    """
    A site folder made anew is compared, and listened to again.
    """
    ward = Folder(str(packages))
    ward.rearm, ward.fresh = False, set()
    write(packages / "new.py")
    ward.hear_of(str(packages))

    assert "new.py" in told(ward)
    assert ward.rearm
    assert ward.fresh == {str(packages)}


def test_an_entry_heard_of_is_news_even_with_the_same_stats(packages):
    """
    Of a file the event counts; a folder tells of itself by its stats.
    """
    write(packages / "acme.pth")
    ward = Folder(str(packages))
    ward.hear(str(packages), "acme.pth")
    ward.hear(str(packages), "acme")

    assert told(ward) == {"acme.pth"}


def test_a_site_folder_says_where_ears_were_deaf(packages):
    """
    What a look finds in a site folder was not heard of, until an event comes.
    """
    ward = Folder(str(packages))
    write(packages / "new.py")
    for _ in ward.shallow():
        pass
    assert ward.unheard == {str(packages)}

    ward.hear(str(packages), "new.py")
    assert not ward.unheard


def test_a_metadata_file_that_vanishes_is_gone(packages, monkeypatch):
    """
    A name that is listed and then not there is not there.
    """
    ward = Folder(str(packages))
    monkeypatch.setattr("hotplug._watcher._folder._names", lambda path: ["RECORD", "never"])

    ward.look_again(str(packages / "acme-1.0.dist-info"))
    assert told(ward) == set()


def test_old_metadata_is_not_listed_without_need(packages, monkeypatch):
    """
    A look opens no metadata folder whose names are as they were; the files in it are compared all the same.
    """
    monkeypatch.setattr("hotplug._watcher._folder.WARM_AGE", -3_600_000_000_000)
    info, listed = packages / "acme-1.0.dist-info", []
    ward = Folder(str(packages))

    def names(path):
        listed.append(path)
        return [entry.name for entry in Path(path).iterdir()]

    monkeypatch.setattr("hotplug._watcher._folder._names", names)
    ward.look()
    assert (listed, told(ward)) == ([], set())
    with (info / "RECORD").open("a") as file:
        file.write("more\n")
    ward.look()
    assert (listed, told(ward)) == ([], {info.name})
    write(info / "INSTALLER")
    ward.look()
    assert str(info) in listed
    assert told(ward) == {info.name}


def test_fresh_metadata_is_listed_again(packages, monkeypatch):
    """
    A second file within one tick of a coarse clock leaves the folder's times as they were, and is seen.
    """
    now = time.time_ns()
    monkeypatch.setattr("hotplug._watcher._folder.mark_of", lambda found: (now, now, found.st_ino, 0))
    ward = Folder(str(packages))
    write(packages / "acme-1.0.dist-info" / "INSTALLER")
    ward.look()

    assert told(ward) == {"acme-1.0.dist-info"}


# -- files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["content", "replacement", "deletion"])
def test_a_file_that_changed_is_seen(tmp_path, change):
    """
    A file that is written, replaced or deleted is news once.
    """
    path = write(tmp_path / "hotplug.toml")
    ward = File(str(path))
    if change == "content":
        write(path, "x = 22\n")
    elif change == "replacement":
        move(write(tmp_path / "other"), path)
    else:
        path.unlink()

    assert seen(ward) == {"."}
    assert seen(ward) == set()


def test_a_file_need_not_be_there(tmp_path):
    """
    A file that is missing is news when it comes, and is looked for often where not even its folder is there.
    """
    ward = File(str(tmp_path / "folder" / "hotplug.toml"))
    assert ward.directories() == set()
    assert len(ward.warm) == 1
    assert seen(ward) == set()

    (tmp_path / "folder").mkdir()
    assert seen(ward) == set()
    assert ward.directories() == {str(tmp_path / "folder")}

    write(tmp_path / "folder" / "hotplug.toml")
    ward.look_in(str(tmp_path / "folder"))
    assert told(ward) == {"."}


def test_a_neighbour_is_no_news(tmp_path):
    """
    What happens beside the file is nothing; the file itself is news even with the same stats.
    """
    path = write(tmp_path / "hotplug.toml")
    ward = File(str(path))
    ward.hear(str(tmp_path), "other.toml")
    assert told(ward) == set()

    ward.hear(str(tmp_path), "hotplug.toml")
    assert told(ward) == {"."}


def test_a_folder_of_a_file_heard_of_is_listened_to_again(tmp_path):
    """
    Whoever replaces the folder replaces the file.
    """
    path = write(tmp_path / "folder" / "hotplug.toml")
    ward = File(str(path))
    ward.rearm, ward.fresh = False, set()
    ward.hear_of(str(tmp_path / "folder"))

    assert ward.rearm
    assert ward.fresh == {str(tmp_path / "folder")}
    assert told(ward) == set()


def test_every_link_on_the_way_to_a_file_is_listened_to(tmp_path):
    """
    A file may be a link to a link; each of them, and the real file, may be what is written or replaced.
    """
    real = write(tmp_path / "3" / "real.toml")
    (tmp_path / "2").mkdir()
    (tmp_path / "1").mkdir()
    (tmp_path / "2" / "middle.toml").symlink_to(real)
    (tmp_path / "1" / "hotplug.toml").symlink_to("../2/middle.toml")
    ward = File(str(tmp_path / "1" / "hotplug.toml"))
    assert ward.directories() == {str(tmp_path / number) for number in "123"}

    write(real, "x = 22\n")
    ward.hear(str(tmp_path / "3"), "real.toml")
    assert told(ward) == {"."}


def test_a_file_behind_links_in_a_circle_is_missing(tmp_path):
    """
    Links that lead nowhere end the search.
    """
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    ward = File(str(tmp_path / "a"))

    assert seen(ward) == set()
    assert ward.directories() == {str(tmp_path)}


def test_a_mounted_configuration_that_is_replaced_is_seen(tmp_path):
    """
    Kubernetes puts another folder behind a link beside the file: neither the file nor its link changes.
    """
    for number in "12":
        write(tmp_path / f"..{number}" / "hotplug.toml", number * int(number))
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "hotplug.toml").symlink_to("..data/hotplug.toml")
    ward = File(str(tmp_path / "hotplug.toml"))
    ward.rearm = False
    (tmp_path / "..next").symlink_to("..2")
    move(tmp_path / "..next", tmp_path / "..data")
    ward.hear(str(tmp_path), "..data")

    assert told(ward) == {"."}
    assert ward.rearm
    assert str(tmp_path / "..2") in ward.directories()


def test_what_is_watched_says_its_name(tmp_path):
    """
    A ward is readable in a log.
    """
    assert repr(File(str(tmp_path / "x"))) == f"<File {tmp_path / 'x'}>"
