"""What a host believes of an environment that is being changed under its eyes."""

from __future__ import annotations

import shutil
import sys

import pytest

from hot import Hot, hots, thing, until, watching
from hotplug._discovery import discover, helper
from hotplug._host import _installs, _outlook
from hotplug._host._installs import Installs
from hotplug.testing import Environment

pytestmark = pytest.mark.usefixtures("nothing_left")

GROUPS = {"acme.things": "things"}


@pytest.fixture
def hot(acme, tmp_path):
    yield from hots(acme, tmp_path)


@pytest.fixture
def look(hot):
    """What is believed of what discovery sees now."""
    installs = Installs()

    def judge():
        return installs.judge(discover(GROUPS, hot.path, fresh=True, cache=False).records)

    return judge


def believed(belief):
    return [f"{record.name} {record.version}" for record in belief.records]


def half(hot, name="a", version="1.0"):
    """An installation that lacks its module yet; nobody who watches sees it whole."""
    aside = Hot(hot.acme, hot.folder)
    aside.site = Environment(hot.folder / "aside")
    made = aside.one(name, thing(), version)
    hot.site.uninstall(f"acme-{name}")
    return made.rename(hot.site.folder / made.name)


def test_what_is_complete_is_believed_at_once(hot, look):
    """
    A complete installation is there, and one that was removed is gone when it has stayed away.
    """
    assert believed(look()) == []
    hot.one("a", thing())
    belief = look()
    assert (believed(belief), belief.again_in) == (["a 1.0"], None)


def test_half_an_installation_is_not_there(hot, look):
    """
    An installation that lacks a file is nothing yet, and is looked at again soon.
    """
    look()
    half(hot)
    belief = look()
    assert (believed(belief), belief.broken) == ([], {})
    assert 0 < belief.again_in <= 0.25
    hot.one("a", thing())
    assert believed(look()) == ["a 1.0"]


def test_half_an_upgrade_is_what_was_before(hot, look):
    """
    As long as an upgrade is not complete the version before is what there is.
    """
    hot.one("a", thing())
    assert believed(look()) == ["a 1.0"]
    half(hot, version="2.0")
    belief = look()
    assert believed(belief) == ["a 1.0"]
    assert belief.again_in <= 0.25


def test_what_never_completes_is_broken(hot, look, monkeypatch):
    """
    After a while without a change, half an installation is broken: it is known, and the missing file named.
    """
    monkeypatch.setattr(_installs, "PATIENCE", 0.0)
    info = half(hot)
    belief = look()
    assert believed(belief) == ["a 1.0"]
    assert belief.again_in is None
    [(path, found)] = belief.broken.items()
    assert path == str(info)
    assert found.file.endswith("acme_a.py")


def test_what_nobody_signed_is_believed_after_a_while(hot, look, monkeypatch):
    """
    Where all files are there but no installer has signed, a quiet moment is as good as a signature.
    """
    info = hot.one("a", thing())
    rows = (info / "RECORD").read_text().splitlines(keepends=True)
    (info / "INSTALLER").unlink()
    (info / "RECORD").write_text("".join(row for row in rows if "INSTALLER" not in row))
    belief = look()
    assert believed(belief) == []
    assert 0 < belief.again_in <= _installs.UNSIGNED
    monkeypatch.setattr(_installs, "UNSIGNED", 0.0)
    assert believed(look()) == ["a 1.0"]


def test_what_loses_its_signature_is_being_removed(hot, look, monkeypatch):
    """
    Without RECORD and INSTALLER it looks like what nobody installed; for a moment it is what it was.
    """
    info = hot.one("a", thing())
    before = look()
    (info / "RECORD").unlink()
    (info / "INSTALLER").unlink()
    belief = look()
    assert belief.records == before.records
    assert 0 < belief.again_in <= 0.25
    monkeypatch.setattr(_installs, "UNSIGNED", 0.0)
    assert (believed(look()), look().again_in) == (["a 1.0"], None)


def test_code_of_an_installation_is_not_followed_by_itself(hot):
    """
    A hint that its code was edited, as of a plain distribution, renews nothing that was installed.
    """
    info = hot.one("a", thing("1"))
    with hot.host() as host:
        assert hot.do(host, "a") == 1
        for name in ("RECORD", "INSTALLER"):
            (info / name).unlink()
        (hot.site.folder / "acme_a.py").write_text(thing("2"))
        host.follow_hints([("code", "acme-a")])
        assert (hot.do(host, "a"), hot.status(host, "things/a").generation) == (1, 1)


def test_what_is_away_for_a_moment_is_there(hot, look, monkeypatch):
    """
    What was installed and is not there any more is believed to be gone when it has stayed away.
    """
    hot.one("a", thing())
    assert believed(look()) == ["a 1.0"]
    hot.site.uninstall("acme-a")
    belief = look()
    assert believed(belief) == ["a 1.0"]
    assert 0 < belief.again_in <= _installs.ABSENCE
    monkeypatch.setattr(_installs, "ABSENCE", 0.0)
    belief = look()
    assert (believed(belief), belief.again_in) == ([], None)


def test_what_was_set_aside_may_come_back(hot, look, monkeypatch):
    """
    While pip keeps the old dist-info aside, what is not there has not gone; after a while it has.
    """
    info = hot.one("a", thing())
    assert believed(look()) == ["a 1.0"]
    monkeypatch.setattr(_installs, "ABSENCE", 0.0)
    aside = info.with_name("~" + info.name[1:])
    info.rename(aside)
    belief = look()
    assert believed(belief) == ["a 1.0"]
    assert belief.again_in == 0.1
    aside.rename(info)
    assert believed(look()) == ["a 1.0"]
    info.rename(aside)
    monkeypatch.setattr(_installs, "PATIENCE", 0.0)
    assert believed(look()) == []


def test_what_was_set_aside_and_cannot_be_seen_is_gone(hot, look, monkeypatch):
    """
    A dist-info aside that vanishes while it is looked at keeps nobody.
    """
    hot.one("a", thing())
    assert believed(look()) == ["a 1.0"]
    hot.site.uninstall("acme-a")
    monkeypatch.setattr(_installs, "ABSENCE", 0.0)
    monkeypatch.setattr("hotplug._discovery.backups", lambda *_: ("/nowhere/~cme_a-1.0.dist-info",))
    assert believed(look()) == []


def test_what_nobody_installed_goes_at_once(hot, look):
    """
    A plain distribution is there when its dist-info is, and gone when that is.
    """
    hot.plain("acme-p", things={"p": "acme_p:Plain"}, files={"acme_p.py": thing()})
    assert believed(look()) == ["p 1.0"]
    shutil.rmtree(hot.plain_ones["acme-p"].folder / "acme_p-1.0.dist-info")
    belief = look()
    assert (believed(belief), belief.again_in) == ([], None)


def test_what_vanishes_between_two_looks_is_looked_for_again(hot, look, monkeypatch):
    """
    What discovery saw and is not there when it is judged is looked for a moment later.
    """
    installs = Installs()
    info = hot.one("a", thing())
    seen = discover(GROUPS, hot.path, fresh=True, cache=False).records
    shutil.rmtree(info)
    belief = installs.judge(seen)
    assert (believed(belief), belief.again_in) == ([], 0.05)


def edited(hot, file="acme_a.py", text="X = 1\n"):
    (hot.site.folder / file).write_text(text)


def test_a_hand_edit_of_what_stood_before_is_no_fault(hot, look):
    """
    A file that somebody edited after its installation is believed, at the first look and later.
    """
    hot.one("a", thing())
    edited(hot)
    assert believed(look()) == ["a 1.0"]
    assert believed(look()) == ["a 1.0"]


def test_a_hand_edit_of_what_came_twice_is_no_fault(hot, look):
    """
    What was installed again, with other contents, is judged strictly once; later edits are somebody's own.
    """
    look()
    for mark in ("1", "2"):
        hot.one("a", thing(mark))
        assert believed(look()) == ["a 1.0"]
    edited(hot)
    belief = look()
    assert (believed(belief), belief.again_in, belief.broken) == (["a 1.0"], None, {})


def test_the_first_of_what_is_on_its_way_is_waited_for(hot, look):
    """
    Where several things may change by themselves, it is looked again when the first of them may have.
    """
    hot.one("a", thing())
    look()
    hot.site.uninstall("acme-a")
    half(hot, "b")
    assert 0 < look().again_in <= 0.25 < _installs.ABSENCE


def test_all_plugins_of_a_distribution_are_believed(hot, look):
    """
    A distribution comes with all of its plugins, and goes with them.
    """
    hot.install("acme-a", things={"x": "acme_a:Plain", "y": "acme_a:Plain"}, files={"acme_a.py": thing()})
    assert believed(look()) == ["x 1.0", "y 1.0"]


@pytest.mark.parametrize("way", ["new", "back"])
def test_what_comes_while_somebody_looks_is_judged_strictly(hot, look, way, monkeypatch):
    """
    A file that differs from RECORD counts against what was just installed, also where it was here before.
    """
    if way == "back":
        hot.one("a", thing())
    look()
    if way == "back":
        hot.one("a", thing(), "2.0")
        assert believed(look()) == ["a 2.0"]
    hot.one("a", thing())
    edited(hot)
    monkeypatch.setattr(_installs, "PATIENCE", 0.0)
    assert look().broken


# -- a host that looks -----------------------------------------------------------------------------


def test_a_host_never_imports_half_an_installation(hot, monkeypatch):
    """
    What is half there is invisible, then broken with a remedy, and served once it is complete.
    """
    monkeypatch.setattr(_installs, "PATIENCE", 0.4)
    with hot.host() as host, watching(host):
        half(hot)
        until(lambda: host.plugins)
        status = hot.status(host, "things/a")
        assert (status.state, status.reason) == ("broken", "broken install")
        assert "acme_a.py" in status.remedy
        assert "acme_a" not in sys.modules
        hot.one("a", thing("2"))
        until(lambda: "a" in host.registry("things"))
        assert hot.do(host, "a") == 2


def test_a_broken_upgrade_does_not_end_what_serves(hot, monkeypatch):
    """
    An upgrade that never completes leaves the version before serving, and says what is wrong with it.
    """
    monkeypatch.setattr(_installs, "PATIENCE", 0.4)
    hot.one("a", thing())
    with hot.host() as host, watching(host):
        assert hot.do(host, "a") == "one"
        half(hot, version="2.0")
        until(lambda: hot.status(host, "things/a").reason)
        status = hot.status(host, "things/a")
        assert status.state == "loaded"
        assert "acme_a.py" in status.remedy
        assert hot.do(host, "a") == "one"
        hot.one("a", thing("2"), "2.0")
        until(lambda: hot.do(host, "a") == 2)
        until(lambda: hot.status(host, "things/a").reason == "")


def test_a_thorough_look_waits_for_what_is_on_its_way(hot, monkeypatch):
    """
    `refresh` waits a moment for what is being installed, and no longer than that.
    """
    monkeypatch.setattr(_outlook, "MOMENT", 0.3)
    hot.one("a", thing())
    with hot.host() as host:
        half(hot, version="2.0")
        assert not host.refresh()
        assert hot.status(host, "things/a").record.version == "1.0"
        monkeypatch.setattr(_installs, "ABSENCE", 0.01)
        hot.site.uninstall("acme-a")
        assert host.refresh().removed == ("things/a",)


# -- helpers ---------------------------------------------------------------------------------------


def editable(hot, name, text='{"url": "file:///x", "dir_info": {"editable": true}}'):
    info = hot.site.install(name, files={"acme_editable.pth": f"{hot.folder}/src\n"})
    (info / "direct_url.json").write_text(text)
    return info


def test_a_helper_is_code_that_is_edited_where_it_lies(hot):
    """
    A distribution without plugins is a helper if it is plain or editable; an installed one is nobody's.
    """
    hot.plain("acme-help", files={"acme_help.py": ""}, top="acme_help")
    hot.site.install("acme-solid", files={"acme_solid.py": ""})
    editable(hot, "acme-loose")
    plain, loose = helper("acme_help", hot.path), helper("acme-loose", hot.path)
    assert (plain.distribution, plain.version, plain.editable) == ("acme-help", "1.0", False)
    assert (loose.distribution, loose.editable) == ("acme-loose", True)
    assert helper("acme-solid", hot.path) is None
    assert helper("acme-ghost", hot.path) is None


def test_a_helper_is_found_where_python_looks(hot):
    """
    Without a path a helper is looked for on ``sys.path``.
    """
    hot.plain("acme-help", files={"acme_help.py": ""}, top="acme_help")
    assert helper("acme-help", None).distribution == "acme-help"


@pytest.mark.parametrize("text", ["no json", "[]", '{"dir_info": 3}'])
def test_a_helper_that_nobody_can_read_is_none(hot, text):
    """
    Whatever an installer wrote, asking for a helper raises nothing.
    """
    editable(hot, "acme-loose", text)
    assert helper("acme-loose", hot.path) is None
