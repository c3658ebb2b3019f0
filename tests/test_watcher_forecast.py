"""What would be polled, told without watching."""

from __future__ import annotations

import pytest

from hotplug._watcher import forecast
from watching import site, tree, write


@pytest.fixture
def limits(tmp_path):
    """Says what the system allows."""

    def allow(**found):
        for name, number in found.items():
            write(tmp_path / "limits" / name, f"{number}\n")
        return str(tmp_path / "limits")

    return allow


def test_where_events_work_nothing_is_polled(tmp_path, limits):
    """
    On a local file system, within the limits; and where no limits are known.
    """
    write(tmp_path / "code/a/b.py")
    roots = [tree(tmp_path / "code"), site(tmp_path)]

    assert forecast(roots, limits=limits(max_user_watches=3, max_user_instances=1)) == {}
    assert forecast(roots, limits=str(tmp_path / "nowhere")) == {}
    assert forecast(roots, limits=limits(max_user_watches="many")) == {}


def test_a_file_system_that_others_change_is_polled(tmp_path, limits):
    """
    Its name is the reason.
    """
    mounts = write(tmp_path / "mounts", f"1 0 0:1 / {tmp_path}/far rw - nfs4 server:/ rw\n")
    roots = [tree(tmp_path / "far/code"), tree(tmp_path / "near")]

    told = forecast(roots, mounts=str(mounts), limits=limits(max_user_watches=100))

    assert told == {str(tmp_path / "far/code"): "file system nfs4"}


def test_what_the_system_does_not_grant_is_polled(tmp_path, limits):
    """
    The largest root is, until the rest is granted.
    """
    for folder in "abc":
        write(tmp_path / "large" / folder / "m.py")
    write(tmp_path / "small/m.py")
    roots = [tree(tmp_path / "large"), tree(tmp_path / "small"), site(tmp_path)]

    few, none = limits(max_user_watches=2), str(tmp_path / "large")
    told = forecast(roots, limits=few)
    nobody = forecast(roots, limits=limits(max_user_watches=0))

    assert told == {none: "fs.inotify.max_user_watches is 2, 6 are needed"}
    assert set(nobody) == {root.path for root in roots}


def test_without_instances_everything_is_polled(tmp_path, limits):
    """
    Whoever may have no listener at all.
    """
    [why] = forecast([tree(tmp_path)], limits=limits(max_user_instances=0)).values()

    assert why == "fs.inotify.max_user_instances is 0"
