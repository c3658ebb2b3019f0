"""Where events do not tell of changes: in the statuses of a host that watches, and in the doctor's."""

from __future__ import annotations

import pytest

from hot import hots, thing, until
from hotplug import HostError, PluginRecord, PluginStatus
from hotplug._host._edits import Edits
from hotplug._host._polling import polled_of, said_of, would_be_polled
from hotplug._watcher import Root, Sort

pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.fixture
def hot(acme, tmp_path):
    yield from hots(acme, tmp_path)


@pytest.fixture
def no_events(monkeypatch):
    monkeypatch.setenv("HOTPLUG_FORCE_POLLING", "1")


def status(state="loaded", reason="", *, distribution="Acme.Tool", path="/site/acme-1.0.dist-info"):
    record = PluginRecord("tools", "hotplug.tools", "a", "m:f", distribution, "1.0", path)
    return PluginStatus(record, "a", state, reason)


def test_a_host_that_watches_says_what_it_polls(hot, no_events):
    """
    A loaded plugin stays so, with the reason and a remedy that names the path and why; only while watched.
    """
    hot.plain("acme-one", files={"acme_one/__init__.py": thing()}, things={"one": "acme_one:Plain"})
    hot.one("two", thing())
    with hot.host() as host:
        hot.do(host, "one")
        undo = host.watch()
        until(lambda: host.plugins[0].reason == "polled", host.plugins)
        one, two = host.plugins

        assert (one.state, two.state) == ("loaded", "discovered")
        assert str(hot.plain_ones["acme-one"].folder / "acme_one") in one.remedy
        assert "HOTPLUG_FORCE_POLLING is set" in one.remedy
        assert two.reason == "polled"
        assert str(hot.site.folder) in two.remedy
        assert host.health().status == "healthy"

        undo()
        assert [each.reason for each in host.plugins] == ["", ""]


def test_where_events_work_nothing_is_said(hot):
    """
    The usual case.
    """
    hot.one("one", thing())
    with hot.host() as host:
        host.watch()
        assert host.lookout.settle().polled == {}
        assert host.plugins[0].reason == ""


def test_who_does_not_watch_cannot_look(hot):
    """
    Asked how watching goes, a host that does not watch says so.
    """
    with hot.host() as host, pytest.raises(HostError, match="nobody watches"):
        host.lookout.settle()


def test_code_comes_before_the_folder_it_is_installed_in():
    """
    The remedy names the path that matters most; what is otherwise not well keeps its reason.
    """
    code = Root("/code/acme", Sort.TREE, ("code", "acme-tool"))
    site = Root("/site", Sort.FOLDER, ("site", "../site"))
    fine = Root("/local", Sort.TREE, ("code", "other"))
    polled = polled_of([site, code, fine], {"/site": "nfs", "/code/acme": "fuse"})

    assert said_of(status(), polled).remedy.startswith("/code/acme is looked at by the clock (fuse)")
    assert said_of(status(distribution="third"), polled).remedy.startswith("/site is looked at by the clock")
    assert said_of(status(distribution="other", path="/elsewhere/o.dist-info"), polled).reason == ""
    assert said_of(status("failed", "settings"), polled).reason == "settings"
    assert said_of(status("loaded", "restart required"), polled).reason == "restart required"


def test_what_would_be_polled_is_told_without_watching(hot, no_events):
    """
    For the doctor: the same words, of code that lies where it is edited.
    """
    hot.plain("acme-one", files={"acme_one.py": thing()}, things={"one": "acme_one:Plain"})
    with hot.host() as host:
        told = would_be_polled(host.plugins, hot.path)

    assert set(told) == {"acme-one", *hot.path}
    assert "acme_one.py is looked at by the clock" in told["acme-one"]


# -- edits of what nobody imported -----------------------------------------------------------------


def test_edits_are_told_once_with_their_files(hot):
    """
    A changed, a new and a vanished file; then there is nothing to tell any more.
    """
    files = {"acme_one/__init__.py": "", "acme_one/a.py": "", "acme_one/b.py": ""}
    world = hot.plain("acme-one", files=files, things={"one": "acme_one:Plain"})
    with hot.host() as host:
        records = host.codes.relations.records
        edits = Edits()
        edits.know(records)
        assert edits.of("acme-one") == ()

        (world.folder / "acme_one/a.py").unlink()
        (world.folder / "acme_one/b.py").write_text("changed = 1\n")
        (world.folder / "acme_one/c.py").write_text("")
        edits.know(records)
        told = edits.of("acme-one")

    assert [file.rpartition("/")[2] for file in told] == ["a.py", "b.py", "c.py"]
    assert edits.of("acme-one") == ()


def test_what_is_installed_or_unknown_has_no_edits(hot):
    """
    A hand edit of an installed file is not followed; who is gone is forgotten.
    """
    hot.one("two", thing())
    hot.plain("acme-one", files={"acme_one/__init__.py": ""}, things={"one": "acme_one:Plain"})
    with hot.host() as host:
        edits = Edits()
        edits.know(host.codes.relations.records)
        (hot.site.folder / "acme_two.py").write_text("changed = 1\n")

        assert edits.of("acme-two") == ()
        edits.know({})
        assert edits.of("acme-one") == ()
