"""Where events do not work, the clock does; and it is said where and why."""

from __future__ import annotations

import os
import shutil
import threading
import time

import pytest

from hotplug._watcher import _watch
from watching import file, site, tree, watching, write

pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.fixture
def code(tmp_path):
    """A package of one module and a sub-package."""
    write(tmp_path / "code" / "a.py")
    write(tmp_path / "code" / "sub" / "c.py")
    return tmp_path / "code"


@pytest.fixture
def polling(monkeypatch):
    """Nobody believes in events."""
    monkeypatch.setenv("HOTPLUG_FORCE_POLLING", "1")
    return {"poll": 0.02, "tick": 3600.0}


def test_polling_finds_every_sort_of_change(code, tmp_path, polling):
    """
    Without any event: saves, new folders, deleted and recreated roots, metadata, a file.
    """
    record = write(tmp_path / "site" / "acme-1.0.dist-info" / "RECORD")
    with watching(tree(code), site(tmp_path / "site"), file(code / "a.py"), **polling) as there:
        there.then_touch(code / "a.py", "file")
        there.heard.hears("code")
        there.then_touch(record, "site")
        write(code / "new" / "d.py")
        there.then_touch(code / "new" / "d.py", "code")
        shutil.rmtree(code)
        write(code / "a.py")
        there.then_touch(code / "a.py", "code")

        report = there.watcher.report()
        assert (report.mode, report.watches) == ("polling", 0)
        assert set(report.polled) == {str(code), str(tmp_path / "site"), str(code / "a.py")}
        assert set(report.polled.values()) == {"HOTPLUG_FORCE_POLLING is set"}


def test_only_what_has_to_be_is_polled(code, tmp_path, monkeypatch):
    """
    A root on a network file system is polled, the other is listened to; each is reported.
    """
    other = write(tmp_path / "other" / "d.py")
    monkeypatch.setattr(
        "hotplug._watcher._arming.reason_to_poll",
        lambda path: "file system nfs4" if path == str(code) else "",
    )
    with watching(tree(code), tree(other.parent, "other"), poll=0.02, tick=3600.0) as there:
        there.then_touch(code / "a.py", "code")
        there.then_touch(other, "other")

        report = there.watcher.report()
        assert (report.mode, report.polled, report.watches) == ("mixed", {str(code): "file system nfs4"}, 1)
        assert report.missed == 0, "nobody expected to hear of it"


def test_who_writes_for_ever_does_not_keep_others_from_being_polled(code, tmp_path, monkeypatch):
    """
    What has no events is looked at in time, whatever goes on elsewhere.
    """
    other, over = write(tmp_path / "other" / "d.py"), threading.Event()
    monkeypatch.setattr(
        "hotplug._watcher._arming.reason_to_poll",
        lambda path: "file system nfs4" if path == str(code) else "",
    )

    def write_on():
        while not over.wait(0.001):
            write(other, f"{time.monotonic_ns()}\n")

    writer = threading.Thread(target=write_on)
    with watching(tree(code), tree(other.parent, "other"), settle=0.3, poll=0.02) as there:
        writer.start()
        there.heard.wait(lambda: there.watcher._watch._unrest)
        there.then_touch(code / "a.py", "code")
        over.set()
        writer.join()


def test_what_is_polled_is_said_once(code, polling, caplog):
    """
    The log says which root is polled and why, when that becomes so.
    """
    caplog.set_level("INFO", "hotplug.watcher")
    with watching(tree(code), **polling) as there:
        write(code / "new" / "d.py")
        there.heard.hears("code")
        there.heard.wait(lambda: there.watcher.report().rearmed)

    [record] = [record for record in caplog.records if record.name == "hotplug.watcher"]
    assert record.getMessage() == (
        f"{code} is looked at by the clock, without events: HOTPLUG_FORCE_POLLING is set"
    )


def test_a_slow_writer_is_not_reported_half_while_polled(code, polling):
    """
    Polled or not, two looks have to agree.
    """
    with watching(tree(code), settle=0.6, **polling) as there:
        stream = (code / "a.py").open("a", buffering=1)
        with stream:
            for _ in range(200):
                stream.write("a line\n")
                there.watcher._board.wake.wait(0.001)
            assert not there.heard.calls
        there.heard.hears("code")


def test_two_saves_within_one_second_of_a_coarse_clock_are_two_reports(code, polling, monkeypatch):
    """
    Where times are whole seconds, a second save of the same size shows in nothing: so it is told of twice.
    """
    monkeypatch.setattr(_watch, "ECHO", 0.2)
    frozen = (1_000_000_000_000_000_000, 1_000_000_000_000_000_000, 1, 1)
    marks = iter([frozen])

    def coarse(found: os.stat_result):
        return next(marks, (*frozen[:2], 1, 6))

    monkeypatch.setattr("hotplug._watcher._file.mark_of", coarse)
    with watching(file(code / "a.py"), **polling) as there:
        there.heard.hears("file")
        write(code / "a.py", "x = 2\n")

        there.heard.hears("file", after=1)


def test_events_are_asked_for_again(code, monkeypatch):
    """
    Where the system refused events, they are tried again after a while; then they count.
    """
    from hotplug._watcher import _arming
    from hotplug._watcher._ears import Ears

    monkeypatch.setattr(_arming, "AGAIN", 0.05)
    monkeypatch.delenv("HOTPLUG_FORCE_POLLING", raising=False)
    arm, refusals = Ears.arm, [OSError("OS file watch limit reached")] * 3

    def refusing(ears, directories):
        if refusals:
            raise refusals.pop()
        arm(ears, directories)

    monkeypatch.setattr(Ears, "arm", refusing)
    with watching(tree(code), poll=0.02, tick=3600.0) as there:
        there.heard.wait(lambda: there.watcher.report().mode == "events")

        there.then_touch(code / "a.py", "code")
        assert not refusals
