"""A host that follows by itself: edits, installations, the configuration, and what it says of them."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import os
import shutil
import sys
import threading

import pytest

import hotplug
from hot import HEAD, hots, thing, until, watching
from hotplug._host import _doubt, _renewing, _watching
from hotplug.errors import HostError, PluginError

pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.fixture
def hot(acme, tmp_path):
    yield from hots(acme, tmp_path)


def package(mark, head=""):
    return {
        "acme_p/__init__.py": thing("part.MARK", head=f"{head}\nfrom acme_p import part"),
        "acme_p/part.py": f"MARK = {mark!r}\n",
    }


def plain(hot, mark=1, **facts):
    hot.plain("acme-p", things={"p": "acme_p:Plain"}, files=package(mark), **facts)


# -- who watches, and until when -------------------------------------------------------------------


def test_only_a_started_host_watches(hot):
    """
    Watching is asked of a host that has started and is not closed; anything else is a `HostError`.
    """
    host = hot.host()
    with pytest.raises(HostError, match="not started"):
        host.watch()
    with host:
        host.watch()
    with pytest.raises(HostError, match="closed"):
        host.watch()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_last_undo_ends_it(hot, order):
    """
    Who watches twice undoes twice, in any order, and each undo counts once.
    """
    plain(hot)
    with hot.host() as host:
        assert hot.do(host, "p") == 1
        undos = [host.watch(), host.watch()]
        undos[order[0]]()
        undos[order[0]]()
        hot.edit("acme-p", "acme_p/part.py", "MARK = 2\n")
        until(lambda: hot.do(host, "p") == 2)
        undos[order[1]]()
        assert not [t for t in threading.enumerate() if "follower" in t.name]
        hot.edit("acme-p", "acme_p/part.py", "MARK = 3\n")
        with watching(host):
            hot.edit("acme-p", "acme_p/part.py", "MARK = 4\n")
            until(lambda: hot.do(host, "p") == 4)


def test_the_configuration_may_ask_for_it(hot):
    """
    With ``watch = true`` a host follows from its start, and closing it ends that.
    """
    plain(hot)
    with hot.host("[host]\nwatch = true") as host:
        assert hot.do(host, "p") == 1
        hot.edit("acme-p", "acme_p/part.py", "MARK = 2\n")
        until(lambda: hot.do(host, "p") == 2)


def test_nobody_begins_to_watch_while_the_host_closes(hot):
    """
    A host that is being closed does not begin to watch any more, though a verb keeps it from closing yet.
    """
    hot.one("a", thing())
    host = hot.host()
    host.start()
    assert hot.do(host, "a") == "one"
    hot.one("a", thing(body="def __init__(self): log.append('making'); gate.wait(20)"))
    reloading = threading.Thread(target=host.reload, args=("acme-a",))
    closing = threading.Thread(target=host.close)
    try:
        reloading.start()
        until(lambda: "making" in hot.log)
        closing.start()
        until(lambda: "take" in _functions(closing))
        with pytest.raises(HostError):
            host.watch()
    finally:
        hot.acme.gate.set()
        reloading.join()
        closing.join()
        host.close()


def _functions(thread):
    frame = sys._current_frames().get(thread.ident)
    names = []
    while frame is not None:
        names.append(frame.f_code.co_name)
        frame = frame.f_back
    return names


def test_who_closes_in_the_middle_of_a_hanging_import(hot, monkeypatch):
    """
    The report names the thread that hangs in the plugin, not the one that waited for it and has ended.
    """
    monkeypatch.setattr(_watching, "END_LIMIT", 0.4)
    plain(hot)
    host = hot.host("[host]\nload_timeout = 1.0")
    with host:
        assert hot.do(host, "p") == 1
        with watching(host):
            hot.edit("acme-p", "acme_p/part.py", f"{HEAD}log.append('hangs')\ngate.wait()\n")
            until(lambda: "hangs" in hot.log)
            report = host.close()
    try:
        assert report.threads == ("hotplug reload: acme-p",)
    finally:
        hot.acme.gate.set()
        until(lambda: not [t for t in threading.enumerate() if t.name.startswith("hotplug reload")])


@pytest.mark.parametrize("what", ["edit", "close"])
def test_a_hanging_import_holds_up_nobody(hot, monkeypatch, what):
    """
    An import that hangs is given up for the edit that mends it, and for the end; its thread is named.
    """
    monkeypatch.setattr(_renewing, "BRIEF", 0.05)
    plain(hot)
    host = hot.host("[host]\nload_timeout = 600")
    with host, watching(host):
        assert hot.do(host, "p") == 1
        hot.edit("acme-p", "acme_p/part.py", f"{HEAD}log.append('hangs')\ngate.wait()\nMARK = 2\n")
        until(lambda: "hangs" in hot.log)
        if what == "edit":
            hot.edit("acme-p", "acme_p/part.py", "MARK = 3\n")
            until(lambda: hot.do(host, "p") == 3)
            until(lambda: hot.status(host, "things/p").error == "")
        report = host.close()
    hot.acme.gate.set()
    until(lambda: not [t for t in threading.enumerate() if t.name.startswith("hotplug reload")])
    assert report.threads == ("hotplug reload: acme-p",)


def test_who_closes_while_a_listener_hangs(hot, monkeypatch):
    """
    The thread that follows is named in the report where it hangs in the application's own listener.
    """
    monkeypatch.setattr(_watching, "END_LIMIT", 0.1)
    plain(hot)
    heard, gate = threading.Event(), hot.acme.gate
    host = hot.host("[host]\nwatch = true")
    with host:
        assert hot.do(host, "p") == 1
        host.subscribe(lambda _: heard.set() or gate.wait())
        hot.edit("acme-p", "acme_p/part.py", "MARK = 2\n")
        assert heard.wait(20)
        report = host.close()
    try:
        assert report.threads == ("hotplug follower",)
    finally:
        gate.set()
        until(lambda: not [t for t in threading.enumerate() if t.name == "hotplug follower"])


def test_a_closed_host_leaves_no_finder(hot):
    """
    What a host put into the import system is gone when it is closed, and what it imported stays.
    """
    plain(hot)
    hot.one("a", thing())
    finders = list(sys.meta_path)
    with hot.host() as host, watching(host):
        assert [hot.do(host, key) for key in ("p", "a")] == [1, "one"]
        assert host.reload("acme-a").changed == ("things/a",)
    assert [
        each for each in sys.meta_path if each not in finders and "hotplug" in type(each).__module__
    ] == []
    assert sys.modules["acme_a"].Plain().do() == "one"


def test_two_hosts_follow_each_for_itself(hot):
    """
    Two hosts in one process that use the same distribution both follow its edits, and closing one is nothing
    to the other.
    """
    plain(hot)
    with hot.host() as other, watching(other):
        with hot.host() as host, watching(host):
            assert hot.do(host, "p") == hot.do(other, "p") == 1
            hot.edit("acme-p", "acme_p/part.py", "MARK = 2\n")
            until(lambda: hot.do(host, "p") == hot.do(other, "p") == 2)
        hot.edit("acme-p", "acme_p/part.py", "MARK = 3\n")
        until(lambda: hot.do(other, "p") == 3)


# -- edits -----------------------------------------------------------------------------------------


def test_an_edit_of_a_submodule_is_followed(hot):
    """
    A saved submodule reaches the callers of a plain distribution, and listeners hear of it once.
    """
    plain(hot)
    heard = []
    with hot.host() as host, watching(host):
        assert hot.do(host, "p") == 1
        host.subscribe(heard.append)
        hot.edit("acme-p", "acme_p/part.py", "MARK = 2\n")
        until(lambda: hot.do(host, "p") == 2)
        until(lambda: heard)
    assert heard == [hotplug.Changes(changed=("things/p",))]


def test_code_that_is_moved_away_serves_on_and_is_followed_when_it_is_back(hot):
    """
    While the folder of its code is away (a checkout, a stash), the old generation serves, and says so.
    """
    plain(hot)
    folder = hot.plain_ones["acme-p"].folder
    with hot.host() as host, watching(host):
        assert hot.do(host, "p") == 1
        host.lookout.settle()
        for mark in (2, 3):
            (folder / "acme_p").rename(folder.parent / "away")
            until(lambda: "No module named 'acme_p'" in hot.status(host, "things/p").error)
            assert (hot.status(host, "things/p").reason, hot.do(host, "p")) == ("1.0 refused", mark - 1)
            (folder.parent / "away").rename(folder / "acme_p")
            assert hot.do(host, "p") == mark - 1
            hot.edit("acme-p", "acme_p/part.py", f"MARK = {mark}\n")
            until(lambda mark=mark: hot.do(host, "p") == mark)
            until(lambda: hot.status(host, "things/p").reason == "")
        (folder / "acme_p").rename(folder.parent / "away")
        until(lambda: hot.status(host, "things/p").error)
        (folder.parent / "away" / "part.py").write_text("MARK = 4\n")
        (folder.parent / "away").rename(folder / "acme_p")
        until(lambda: hot.do(host, "p") == 4)


def test_code_that_is_away_is_looked_for_again_and_said_once_to_be(hot, caplog):
    """
    Should no event tell of it (it came back before the watcher looked), time does; an edit meanwhile counts.
    """
    plain(hot)
    folder = hot.plain_ones["acme-p"].folder
    with hot.host() as host:
        assert hot.do(host, "p") == 1
        (folder / "acme_p").rename(folder.parent / "away")
        for hints in ([("site", str(folder))], [], [("site", str(folder))]):
            assert host.follow_hints(hints) == 1.0
            assert hot.status(host, "things/p").reason == "1.0 refused"
        assert caplog.text.count("not reloaded") == 1
        (folder.parent / "away").rename(folder / "acme_p")
        hot.edit("acme-p", "acme_p/part.py", "MARK = 2\n")
        assert (host.follow_hints([]), host.follow_hints([])) == (1.0, None)
        assert (hot.do(host, "p"), hot.status(host, "things/p").reason) == (2, "")


def test_an_edit_of_the_same_size_and_time_is_followed(hot):
    """
    An edit that leaves size and time as they were is followed, in this process and by its bytecode.
    """
    plain(hot)
    with hot.host() as host, watching(host):
        assert hot.do(host, "p") == 1
        path = hot.plain_ones["acme-p"].folder / "acme_p" / "part.py"
        times = path.stat()
        path.write_text("MARK = 2\n")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        until(lambda: hot.do(host, "p") == 2)


def test_a_file_that_is_empty_for_a_moment_is_waited_for(hot):
    """
    Editors that empty a file and then write it are not caught in between; what stays empty is believed.
    """
    plain(hot)
    with hot.host() as host:
        assert hot.do(host, "p") == 1
        hot.edit("acme-p", "acme_p/part.py", "")
        writer = threading.Timer(0.03, hot.edit, ("acme-p", "acme_p/part.py", "MARK = 2\n"))
        writer.start()
        host.follow_hints([("code", "acme-p")])
        assert (hot.do(host, "p"), hot.status(host, "things/p").generation) == (2, 2)
        writer.join()
        hot.edit("acme-p", "acme_p/part.py", "")
        host.follow_hints([("code", "acme-p")])
        assert hot.status(host, "things/p").generation == 3
        with pytest.raises(AttributeError, match="no attribute 'MARK'"):
            hot.do(host, "p")


def test_a_touched_file_is_no_edit(hot):
    """
    A file that was saved as it was makes no next generation.
    """
    plain(hot)
    heard = []
    with hot.host() as host, watching(host):
        assert hot.do(host, "p") == 1
        host.subscribe(heard.append)
        hot.edit("acme-p", "acme_p/part.py", "MARK = 1\n")
        hot.edit("acme-p", "acme_p/new.py", "")
        until(lambda: heard)
        assert hot.status(host, "things/p").generation == 2
    assert len(heard) == 1


@pytest.mark.parametrize("is_used", [True, False])
def test_what_the_application_imported_is_followed_when_it_is_edited(hot, is_used):
    """
    Modules that were imported before the host began stay as they are when it watches, until one is edited,
    though the host reads that edit before it looks at them for the first time.
    """
    plain(hot)
    mine = importlib.import_module("acme_p")
    with hot.host() as host:
        host.follow_hints([("code", "acme-p")])  # as its watch begins
        assert sys.modules["acme_p"] is mine
        host.lookout.edits.know(host.codes.relations.records)
        hot.edit("acme-p", "acme_p/part.py", "MARK = 2\n")
        if is_used:
            assert hot.do(host, "p") == 1
        host.follow_hints([("code", "acme-p")])
        assert hot.do(host, "p") == 2
        assert sys.modules["acme_p"] is not mine
        edited = sys.modules["acme_p"]
        host.follow_hints([("code", "acme-p")])
        assert sys.modules["acme_p"] is edited


def test_a_wrong_edit_is_told_and_a_good_one_clears_it(hot):
    """
    A saved syntax error leaves the old code serving, with file and line in the status, until it is mended.
    """
    plain(hot)
    with hot.host() as host, watching(host):
        before = host.registry("things")["p"]
        hot.edit("acme-p", "acme_p/part.py", "MARK = (\n")
        until(lambda: hot.status(host, "things/p").error)
        status = hot.status(host, "things/p")
        assert (status.state, status.reason) == ("loaded", "1.0 refused")
        assert "part.py:1" in status.error
        assert host.registry("things")["p"] is before
        hot.edit("acme-p", "acme_p/part.py", "MARK = 2\n")
        until(lambda: hot.do(host, "p") == 2)
        until(lambda: hot.status(host, "things/p").error == "")  # a moment after it serves
        assert hot.status(host, "things/p").reason == ""


def test_a_wrong_edit_that_is_taken_back_is_forgotten(hot):
    """
    Who takes a refused edit back has the code that serves, and the status says nothing against it.
    """
    plain(hot)
    with hot.host() as host, watching(host):
        assert hot.do(host, "p") == 1
        hot.edit("acme-p", "acme_p/part.py", "MARK = (\n")
        until(lambda: hot.status(host, "things/p").error)
        hot.edit("acme-p", "acme_p/part.py", "MARK = 1\n")
        until(lambda: not hot.status(host, "things/p").error)
        assert hot.status(host, "things/p").reason == ""
        assert hot.do(host, "p") == 1


def test_what_failed_at_first_is_tried_again_when_it_is_edited(hot):
    """
    A plugin whose first import failed is loaded again as soon as its code is another.
    """
    hot.plain("acme-p", things={"p": "acme_p:Plain"}, files=package(1, head="import nothing_there"))
    with hot.host() as host, watching(host):
        with pytest.raises(PluginError):
            hot.do(host, "p")
        hot.edit(
            "acme-p", "acme_p/__init__.py", package(1, head="import nowhere_either")["acme_p/__init__.py"]
        )
        until(lambda: "nowhere_either" in hot.status(host, "things/p").error)
        assert hot.status(host, "things/p").state == "failed"
        hot.edit("acme-p", "acme_p/__init__.py", package(1)["acme_p/__init__.py"])
        until(lambda: hot.status(host, "things/p").state == "loaded")
        assert hot.do(host, "p") == 1


def test_what_failed_halfway_is_tried_again_when_it_is_edited(hot):
    """
    A plugin of which a part was imported when it failed says of each edit how it fares, and works in the end.
    """
    hot.plain(
        "acme-p",
        things={"p": "acme_p.main:Plain"},
        files={"acme_p/__init__.py": "", "acme_p/main.py": "import nothing_there\n"},
    )
    with hot.host() as host, watching(host):
        with pytest.raises(PluginError):
            hot.do(host, "p")
        hot.edit("acme-p", "acme_p/main.py", "import nowhere_either\n")
        until(lambda: "nowhere_either" in hot.status(host, "things/p").error)
        status = hot.status(host, "things/p")
        assert (status.state, status.reason) == ("failed", "missing dependency")
        hot.edit("acme-p", "acme_p/main.py", thing("'works'"))
        until(lambda: not hot.status(host, "things/p").error)
        assert hot.do(host, "p") == "works"


@pytest.mark.parametrize("where", ["import", "retry", "constructor", "state", "engine"])
def test_an_interrupt_on_the_watchers_thread_is_a_failure(hot, where):
    """
    A plugin that raises KeyboardInterrupt while a host follows by itself has failed; following goes on.
    """
    kind = "engines" if where == "engine" else "things"
    good = {
        "import": thing(),
        "retry": "raise ValueError('first')\n",
        "constructor": thing(),
        "state": thing(body="def export_state(self): return 1, {}"),
        "engine": thing(body="async def start(self): ...\nasync def stop(self): ..."),
    }[where]
    bad = {
        "import": "raise KeyboardInterrupt\n",
        "retry": "raise KeyboardInterrupt\n",
        "constructor": thing(body="def __init__(self): raise KeyboardInterrupt"),
        "state": thing(body="def import_state(self, version, state): raise KeyboardInterrupt"),
        "engine": thing(body="async def start(self): raise KeyboardInterrupt\nasync def stop(self): ..."),
    }[where]
    hot.plain("acme-p", **{kind: {"p": "acme_p:Plain"}}, files={"acme_p.py": good})
    hot.plain("acme-q", things={"q": "acme_q:Plain"}, files={"acme_q.py": thing("1")})
    with hot.host("[engines.p]" if where == "engine" else "") as host, watching(host):
        assert hot.do(host, "q") == 1
        if where == "retry":
            with pytest.raises(PluginError):
                hot.do(host, "p")
        else:
            assert hot.do(host, "p", kind) == "one"
        hot.edit("acme-p", "acme_p.py", bad)
        until(lambda: "KeyboardInterrupt" in hot.status(host, f"{kind}/p").error)
        hot.edit("acme-q", "acme_q.py", thing("2"))
        until(lambda: hot.do(host, "q") == 2)
        hot.edit(
            "acme-p",
            "acme_p.py",
            good.replace("'one'", "'two'").replace("raise ValueError('first')", thing("'two'")),
        )
        until(lambda: hot.status(host, f"{kind}/p").error == "")
        assert hot.do(host, "p", kind) == "two"


def test_leftovers_are_named_with_file_and_line(hot):
    """
    A thread of the old code that goes on is a problem of the host's that names file and line.
    """
    code = f"{HEAD}def hang():\n    gate.wait(20)\nthreading.Thread(target=hang, daemon=True).start()\n"
    hot.plain("acme-p", things={"p": "acme_p:Plain"}, files={"acme_p.py": code + thing()})
    with hot.host() as host, watching(host):
        assert hot.do(host, "p") == "one"
        hot.edit("acme-p", "acme_p.py", thing("'two'"))
        until(lambda: host.problems)
        [problem] = host.problems
        assert problem.distribution == "acme-p"
        assert "acme_p.py:4" in problem.reason
        hot.acme.gate.set()


# -- installations ---------------------------------------------------------------------------------


def test_what_is_installed_is_there_and_what_is_removed_is_gone(hot):
    """
    Installed while a host watches, a plugin is registered; upgraded, replaced; uninstalled, withdrawn.
    """
    with hot.host() as host, watching(host):
        hot.one("a", thing("1"))
        until(lambda: "a" in host.registry("things"))
        assert hot.do(host, "a") == 1
        hot.one("a", thing("2"), "2.0")
        until(lambda: hot.do(host, "a") == 2)
        hot.one("a", thing("3"), "1.0")
        until(lambda: hot.do(host, "a") == 3)
        hot.one("a", thing("4"), "1.0")
        until(lambda: hot.do(host, "a") == 4)
        hot.site.uninstall("acme-a")
        until(lambda: "a" not in host.registry("things"))
        until(lambda: host.plugins == ())
        until(lambda: "acme_a" not in sys.modules)


def test_a_reinstallation_is_never_a_gap(hot):
    """
    Removed and installed anew within half a second, a plugin is upgraded; nobody misses its key meanwhile.
    """
    hot.one("a", thing("1"))
    actions = []
    with hot.host() as host, watching(host):
        assert hot.do(host, "a") == 1
        host.registry("things").subscribe(lambda change: actions.append(change.action))
        for mark in range(2, 6):
            hot.site.uninstall("acme-a")
            host.follow_hints([("site", str(hot.site.folder))])
            assert "a" in host.registry("things")
            hot.one("a", thing(str(mark)), f"{mark}.0")
            until(lambda mark=mark: hot.do(host, "a") == mark)
    assert actions[:4] == ["replaced"] * 4


def test_a_plain_distribution_that_is_removed_goes_at_once(hot):
    """
    What nobody installed is gone when its dist-info is, whatever goes first.
    """
    plain(hot)
    with hot.host() as host, watching(host):
        assert hot.do(host, "p") == 1
        folder = hot.plain_ones["acme-p"].folder
        shutil.rmtree(folder / "acme_p")
        shutil.rmtree(folder / "acme_p-1.0.dist-info")
        until(lambda: "p" not in host.registry("things"))
        until(lambda: host.plugins == ())
        plain(hot, 2)
        until(lambda: "p" in host.registry("things"))
        assert hot.do(host, "p") == 2


def test_a_refused_upgrade_is_told_once(hot):
    """
    An upgrade that is refused is not tried over and over; another event beside it does not try it, either.
    """
    hot.one("a", thing())
    heard = []
    with hot.host() as host, watching(host):
        assert hot.do(host, "a") == "one"
        host.subscribe(heard.append)
        hot.one("a", thing(body="def __init__(self): log.append('tried'); raise OSError"), "2.0")
        until(lambda: hot.log)
        hot.one("b", thing())
        until(lambda: "b" in host.registry("things"))
        assert hot.log == ["tried"]
        assert hot.status(host, "things/a").reason == "2.0 refused"
    assert [changes.failed for changes in heard if changes.failed] == [("things/a",)]


def test_hooks_are_followed(hot):
    """
    A distribution of hooks that comes is asked, one that is another is asked in its new form, one that goes
    is not asked any more.
    """
    code = (
        "import pluggy\nfrom acme_contract import *\n@pluggy.HookimplMarker('hotplug')\n"
        "def hotplug_changed(changes): log.append({!r})\n"
    )

    def put(mark, version):
        hot.site.install(
            "acme-hooks",
            version,
            advertises={"hotplug.hooks": {"hooks": "acme_hooks"}},
            files={"acme_hooks.py": code.format(mark)},
        )

    with hot.host() as host, watching(host):
        put(1, "1.0")
        until(lambda: [s for s in host.plugins if s.record.kind == "hooks"])
        hot.one("a", thing())
        until(lambda: 1 in hot.log)
        put(2, "2.0")
        until(lambda: [s for s in host.plugins if s.record.version == "2.0"])
        hot.log.clear()
        [status] = [s for s in host.plugins if s.record.kind == "hooks"]
        if status.reason != "restart required":
            hot.one("b", thing())
            until(lambda: hot.log)
            assert set(hot.log) == {2}


def test_a_finder_of_its_own_is_believed(hot, monkeypatch):
    """
    What a finder shows that lies in no folder is there, as discovery says.
    """
    hot.one("a", thing())

    class Memory(importlib.metadata.Distribution):
        def read_text(self, filename):
            return {
                "METADATA": "Metadata-Version: 2.1\nName: acme-mem\nVersion: 1.0\n",
                "entry_points.txt": "[acme.things]\nmem = acme_a:Plain\n",
            }.get(filename)

        def locate_file(self, path):
            return path

    class Finder:
        @staticmethod
        def find_spec(*_):
            return None

        @staticmethod
        def find_distributions(context=None):
            yield Memory()

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    found = hotplug.discover(hot.path, kinds=[hot.acme.things], fresh=True).records
    assert "acme-mem" in {record.distribution for record in found}
    with hot.host() as host:
        assert hot.do(host, "mem") == "one"


# -- the configuration -----------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path):
    return tmp_path / "hotplug.toml"


def wide(hot):
    hot.one("a", thing("self.width", body="def __init__(self, *, width: int = 0): self.width = width"))


def save(path, text):
    aside = path.with_suffix(".new")
    aside.write_text(text)
    aside.replace(path)


def test_an_edited_configuration_is_applied(hot, file):
    """
    A saved configuration is in force a moment later, and listeners are told what changed.
    """
    wide(hot)
    file.write_text("[things.a]\nsettings = { width = 1 }\n")
    heard = []
    with hot.host(hotplug.Config.load(str(file))) as host, watching(host):
        assert hot.do(host, "a") == 1
        host.subscribe(heard.append)
        save(file, "[things.a]\nsettings = { width = 2 }\n")
        until(lambda: hot.do(host, "a") == 2)
        until(lambda: heard)
        save(file, "[things.a]\nsettings = { width = 2 }\n[things.b]\nplugin = 'a'\n")
        until(lambda: "b" in host.registry("things"))
        assert host.problems == ()
    assert (heard[0].changed, heard[0].added, heard[0].failed) == (("things/a",), (), ())


WRONG = {
    "no toml": ("[things.a\n", 1),
    "an unknown kind": ("[host]\n[thinks.a]\n", 2),
    "an unknown setting": ("[host]\n[things.a]\nsettings = { with = 3 }\n", 3),
    "a value of another type": ("[things.a]\nsettings = { width = 'x' }\n", 2),
    "a value in a table of its own": ("[things.a.settings]\n# wide\nwidth = 'x'\n", 3),
    "an unknown key": ("[host]\nload_timeot = 3\n", 2),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_configuration_changes_nothing(hot, file, wrong, caplog):
    """
    A configuration that does not fit is a problem of the host's, with its line, until it is mended.
    """
    caplog.set_level("INFO", "hotplug.watch")
    wide(hot)
    text, line = WRONG[wrong]
    file.write_text("[things.a]\nsettings = { width = 1 }\n")
    with hot.host(hotplug.Config.load(str(file))) as host, watching(host):
        before = host.registry("things")["a"]
        config = host.config
        save(file, text)
        until(lambda: host.problems)
        [problem] = host.problems
        assert problem.path == str(file)
        assert problem.line == line
        until(lambda: f"misconfigured: {file}:{line}: " in caplog.text)
        assert host.registry("things")["a"] is before
        assert host.config is config
        save(file, "[things.a]\nsettings = { width = 1 }\n")
        until(lambda: not host.problems)
        assert host.registry("things")["a"] is before
        save(file, "[things.a]\nsettings = { width = 5 }\n")
        until(lambda: hot.do(host, "a") == 5)


def test_a_configuration_that_is_missing_is_waited_for(hot, file):
    """
    A configuration file that is taken away is a problem, and nothing else changes until there is one again.
    """
    wide(hot)
    file.write_text("[things.a]\nsettings = { width = 1 }\n")
    with hot.host(hotplug.Config.load(str(file))) as host, watching(host):
        assert hot.do(host, "a") == 1
        file.unlink()
        until(lambda: host.problems)
        assert hot.do(host, "a") == 1
        save(file, "[things.a]\nsettings = { width = 2 }\n")
        until(lambda: hot.do(host, "a") == 2)
        assert host.problems == ()


def cut_off(path, how):
    """*path*, as editors may leave it for an instant."""
    if how == "gone":
        path.unlink()
    else:
        path.write_text("" if how == "empty" else path.read_text().partition("[things.b]")[0])


TWO = "[things.a]\nsettings = { width = 1 }\n[things.b]\nplugin = 'a'\n"


@pytest.mark.parametrize("how", ["empty", "cut off", "gone"])
def test_a_configuration_in_the_middle_of_being_saved_is_not_followed(hot, file, how):
    """
    A file that is empty, cut off or gone for an instant tears nothing down, and is no problem.
    """
    wide(hot)
    file.write_text(TWO)
    hint = ("configuration", str(file))
    heard = []
    with hot.host(hotplug.Config.load(str(file))) as host:
        before = [host.registry("things")[key] for key in "ab"]
        host.subscribe(heard.append)
        cut_off(file, how)
        assert 0 < host.follow_hints([hint]) <= _doubt.MOMENT
        assert 0 < host.follow_hints([]) <= _doubt.MOMENT
        assert host.problems == ()
        file.write_text(TWO)
        assert host.follow_hints([hint]) is None
        assert [host.registry("things")[key] for key in "ab"] == before
    assert heard == []


@pytest.mark.parametrize(("how", "left"), [("empty", ["a"]), ("cut off", ["a"]), ("gone", ["a", "b"])])
def test_a_configuration_that_stays_cut_off_is_meant(hot, file, monkeypatch, how, left):
    """
    A file that goes on being empty or shorter is followed without another hint; gone, it is a problem.
    """
    monkeypatch.setattr(_doubt, "MOMENT", 0.05)
    wide(hot)
    file.write_text(TWO)
    with hot.host(hotplug.Config.load(str(file))) as host, watching(host):
        cut_off(file, how)
        until(lambda: host.problems if how == "gone" else list(host.registry("things")) == left)
        assert list(host.registry("things")) == left
        assert hot.do(host, "a") == (0 if how == "empty" else 1)


def test_a_configuration_that_comes_while_another_is_in_force_is_not_in_doubt(hot, file):
    """
    Who applies another configuration while the file is wrong is told of the file as it is then, and no more.
    """
    wide(hot)
    file.write_text(TWO)
    with hot.host(hotplug.Config.load(str(file))) as host:
        file.write_text("[things")
        host.follow_hints([("configuration", str(file))])
        assert host.problems
        file.write_text("")
        host.apply(hotplug.Config.parse(TWO.replace("1", "2"), source=str(file)))
        assert host.follow_hints([("code", "acme-a")]) is None
        assert hot.do(host, "a") == 2


def test_a_mounted_configuration_is_followed(hot, tmp_path):
    """
    A configuration that is replaced by exchanging a link above it, as Kubernetes does, is applied.
    """
    wide(hot)
    for number in (1, 2):
        folder = tmp_path / f"..{number}"
        folder.mkdir()
        (folder / "hotplug.toml").write_text(f"[things.a]\nsettings = {{ width = {number} }}\n")
    (tmp_path / "..data").symlink_to("..1")
    path = tmp_path / "hotplug.toml"
    path.symlink_to("..data/hotplug.toml")
    with hot.host(hotplug.Config.load(str(path))) as host, watching(host):
        assert hot.do(host, "a") == 1
        (tmp_path / "..data_tmp").symlink_to("..2")
        (tmp_path / "..data_tmp").replace(tmp_path / "..data")
        until(lambda: hot.do(host, "a") == 2)


def test_a_configuration_that_is_not_there_yet_is_followed_when_it_comes(hot, file):
    """
    Who begins with no configuration where a file may come has no problem, and follows that.
    """
    wide(hot)
    with hot.host(dataclasses.replace(hotplug.Config(), source=str(file))) as host, watching(host):
        assert hot.do(host, "a") == 0
        assert host.follow_hints([("configuration", str(file))]) is None
        assert host.problems == ()
        save(file, "[things.a]\nsettings = { width = 3 }\n")
        until(lambda: hot.do(host, "a") == 3)


def test_an_interrupt_while_a_configuration_is_followed_is_a_problem(hot, file):
    """
    A service that raises KeyboardInterrupt for a saved configuration is that configuration's problem.
    """
    body = (
        "def __init__(self, *, width: int = 0):\n    self.width = width\n"
        "    if width == 2: raise KeyboardInterrupt\n"
        "async def start(self): ...\nasync def stop(self): ..."
    )
    hot.install("acme-a", engines={"a": "acme_a:Plain"}, files={"acme_a.py": thing("self.width", body=body)})
    file.write_text("[engines.a]\nsettings = { width = 1 }\n")
    with hot.host(hotplug.Config.load(str(file))) as host, watching(host):
        before = host.registry("engines")["a"]
        save(file, "[engines.a]\nsettings = { width = 2 }\n")
        until(lambda: host.problems)
        assert "KeyboardInterrupt" in host.problems[0].reason
        assert host.registry("engines")["a"] is before
        save(file, "[engines.a]\nsettings = { width = 3 }\n")
        until(lambda: hot.do(host, "a", "engines") == 3)
        assert host.problems == ()


# -- who asks, and from where ----------------------------------------------------------------------


def test_a_listener_may_ask_for_more(hot):
    """
    A listener that hears of an edit may reload another distribution, refresh, and end the watching.
    """
    plain(hot)
    hot.one("a", thing())
    done = threading.Event()
    with hot.host() as host:
        assert [hot.do(host, key) for key in ("p", "a")] == [1, "one"]

        def hear(changes):
            if changes.changed == ("things/p",):
                host.reload("acme-a")
                host.refresh()
                undo()
                done.set()

        host.subscribe(hear)
        undo = host.watch()
        hot.edit("acme-p", "acme_p/part.py", "MARK = 2\n")
        assert done.wait(20)
        assert hot.status(host, "things/a").generation == 2


def test_a_listener_may_close_the_host(hot):
    """
    A listener on the watcher's thread may close the host: nothing waits for itself, no thread is left.
    """
    plain(hot)
    host = hot.host()
    host.start()
    assert hot.do(host, "p") == 1
    closed = threading.Event()

    def hear(_):
        host.close()
        closed.set()

    host.subscribe(hear)
    host.watch()
    hot.edit("acme-p", "acme_p/part.py", "MARK = 2\n")
    assert closed.wait(20)
    assert host.close().threads == ()


def test_what_is_on_its_way_is_not_forgotten_over_an_edit(hot):
    """
    While an installation is unconfirmed, an edit of other code does not keep it from being looked at again.
    """
    files = {"acme_p/__init__.py": thing("part.MARK", head="from acme_p.deep import part")}
    files |= {"acme_p/deep/__init__.py": "", "acme_p/deep/part.py": "MARK = 1\n"}
    hot.plain("acme-p", things={"p": "acme_p:Plain"}, files=files)
    with hot.host() as host, watching(host):
        assert hot.do(host, "p") == 1
        info = hot.one("a", thing())
        record = info / "RECORD"
        rows = record.read_text().splitlines(keepends=True)
        (info / "INSTALLER").unlink()
        record.write_text("".join(row for row in rows if "INSTALLER" not in row))
        for mark in range(2, 5):
            hot.edit("acme-p", "acme_p/deep/part.py", f"MARK = {mark}\n")
            until(lambda mark=mark: hot.do(host, "p") == mark)
        until(lambda: "a" in host.registry("things"))
