"""What a hint means for a host: which hints count, what is shared with others, what is just on its way."""

from __future__ import annotations

import sys

import pytest

import hotplug
from hot import hots, thing, until, watching
from hotplug import _discovery
from hotplug._discovery import Territory
from hotplug._host import _code, _installs
from hotplug._host._installs import Installs
from hotplug.errors import PluginError

pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.fixture
def hot(acme, tmp_path):
    yield from hots(acme, tmp_path)


def test_a_hint_is_only_a_hint(hot):
    """
    Hints of what did not change, of a configuration that is in no file and of strangers change nothing.
    """
    hot.one("a", thing())
    with hot.host() as host:
        before = host.registry("things")["a"]
        heard = []
        host.subscribe(heard.append)
        hints = [("configuration", "hotplug.toml"), ("code", "ghost"), ("code", "acme-a"), ("site", "x")]
        assert host.follow_hints(hints) is None
        assert heard == []
        assert host.registry("things")["a"] is before
    assert host.follow_hints([("site", "x")]) is None


def test_a_hand_edit_of_an_installed_file_is_followed_by_hand_only(hot):
    """
    An edited file of an installed distribution is not followed by itself, and reloaded when asked for.
    """
    hot.one("a", thing())
    hot.plain("acme-p", things={"p": "acme_p:Plain"}, files={"acme_p.py": thing("1")})
    with hot.host() as host, watching(host):
        assert [hot.do(host, key) for key in ("a", "p")] == ["one", 1]
        (hot.site.folder / "acme_a.py").write_text(thing("'edited'"))
        hot.edit("acme-p", "acme_p.py", thing("2"))
        until(lambda: hot.do(host, "p") == 2)
        assert hot.do(host, "a") == "one"
        assert host.reload("acme-a").changed == ("things/a",)
        assert hot.do(host, "a") == "edited"


# -- what is shared --------------------------------------------------------------------------------


def solid(hot, version):
    hot.site.install("acme-solid", version, files={"acme_solid.py": f"VERSION = {version!r}\n"})


def test_a_shared_dependency_asks_for_a_restart(hot):
    """
    Another version of what a plugin requires and shares with others is not followed, until it is back.
    """
    solid(hot, "1.0")
    hot.one("a", thing("acme_solid.VERSION", head="import acme_solid"), requires=["acme-solid"])
    with hot.host() as host:
        assert hot.do(host, "a") == "1.0"
        solid(hot, "2.0")
        host.refresh()
        status = hot.status(host, "things/a")
        assert (status.state, status.reason) == ("loaded", "restart required")
        assert "acme-solid 2.0 is installed, 1.0 is loaded" in status.remedy
        solid(hot, "1.0")
        host.refresh()
        status = hot.status(host, "things/a")
        assert (status.state, status.reason, status.error) == ("loaded", "", "")
        solid(hot, "3.0")
        assert host.reload("acme-a").failed == ("things/a",)
        assert hot.status(host, "things/a").reason == "restart required"
        assert hot.do(host, "a") == "1.0"
        solid(hot, "1.0")
        assert host.reload("acme-a").changed == ("things/a",)
        assert hot.status(host, "things/a").reason == ""


def test_another_hotplug_asks_for_a_restart(hot):
    """
    Where another hotplug is installed than the one that runs, who requires it says so.
    """
    hot.one("a", thing("1"), requires=["hotplug"])
    with hot.host() as host:
        assert hot.do(host, "a") == 1
        hot.site.install("hotplug", "99.0", files={})
        host.refresh()
        status = hot.status(host, "things/a")
        assert (status.state, status.reason) == ("loaded", "restart required")
        assert f"hotplug 99.0 is installed, {hotplug.__version__} is loaded" in status.remedy


def test_what_was_refused_for_a_shared_dependency_is_taken_back_with_it(hot):
    """
    A reload that was refused because of a shared dependency is forgotten when that is as it was.
    """
    solid(hot, "1.0")
    hot.one("a", thing("acme_solid.VERSION", head="import acme_solid"), requires=["acme-solid"])
    with hot.host() as host:
        assert hot.do(host, "a") == "1.0"
        for look in (host.refresh, lambda: host.follow_hints([("site", str(hot.site.folder))])):
            solid(hot, "2.0")
            assert host.reload("acme-a").failed == ("things/a",)
            look()
            assert hot.status(host, "things/a").reason == "restart required"
            solid(hot, "1.0")
            look()
            status = hot.status(host, "things/a")
            assert (status.state, status.reason, status.remedy, status.error) == ("loaded", "", "", "")
            assert status.generation == 1


@pytest.mark.parametrize("how", ["upgrade", "edit"])
def test_what_waited_for_a_shared_dependency_comes_when_that_is_back(hot, how):
    """
    What could not be followed because of a shared dependency is followed when that is as it was, told once.
    """
    solid(hot, "1.0")

    def put(mark, version):
        files = {"acme_a.py": thing(f"({mark}, acme_solid.VERSION)", head="import acme_solid")}
        facts = {"things": {"a": "acme_a:Plain"}, "files": files, "requires": ["acme-solid"]}
        if how == "upgrade":
            hot.install("acme-a", version, **facts)
        elif mark == 1:
            hot.plain("acme-a", **facts)
        else:
            hot.edit("acme-a", *files, *files.values())

    put(1, "1.0")
    with hot.host() as host:
        assert hot.do(host, "a") == (1, "1.0")
        heard = []
        host.subscribe(heard.append)
        solid(hot, "2.0")
        put(2, "2.0")
        site = ("site", str(hot.site.folder))
        host.follow_hints([site, ("code", "acme-a")])
        for _ in range(2):
            host.follow_hints([site])
        assert hot.status(host, "things/a").reason == "restart required"
        assert hot.do(host, "a") == (1, "1.0")
        solid(hot, "1.0")
        host.follow_hints([site])
        assert hot.do(host, "a") == (2, "1.0")
        assert hot.status(host, "things/a").reason == ""
    assert [changes.failed for changes in heard if changes.failed] == [("things/a",)]
    assert [changes.changed for changes in heard if changes.changed] == [("things/a",)]


def test_a_dependency_that_nobody_imported_is_nobodys(hot):
    """
    Another version of what is required, and was never imported, stands in nobody's way.
    """
    solid(hot, "1.0")
    hot.one("a", thing(), requires=["acme-solid", "acme-absent"])
    with hot.host() as host:
        assert hot.do(host, "a") == "one"
        solid(hot, "2.0")
        hot.one("a", thing("'two'"), requires=["acme-solid", "acme-absent"])
        assert host.refresh().changed == ("things/a",)
        assert hot.do(host, "a") == "two"


# -- what is on its way ----------------------------------------------------------------------------


def test_what_is_first_used_while_it_is_written_is_not_imported(hot, monkeypatch):
    """
    Who first uses a plugin in the middle of its upgrade gets an error that says so, and later the plugin.
    """
    monkeypatch.setattr(_code, "MOMENT", 0.05)
    hot.one("a", thing())
    with hot.host() as host:
        hot.one("a", thing("'new'"), "2.0")
        (hot.site.folder / "acme_a.py").unlink()
        with pytest.raises(PluginError, match="right now"):
            hot.do(host, "a")
        assert "acme_a" not in sys.modules
        hot.one("a", thing("'new'"), "2.0")
        host.refresh()
        assert hot.do(host, "a") == "new"


def test_code_that_nobody_finds_any_more_is_not_renewed(hot, monkeypatch):
    """
    A reload that finds no code of what serves refuses, and the old code serves on.
    """
    hot.one("a", thing())
    with hot.host() as host:
        assert hot.do(host, "a") == "one"
        monkeypatch.setattr(
            _discovery, "territory", lambda record: Territory(record.distribution, "installed")
        )
        host.refresh()
        assert host.reload("acme-a").failed == ("things/a",)
        assert "its code" in hot.status(host, "things/a").error
        assert hot.do(host, "a") == "one"


def test_rivals_are_judged_strictly(hot):
    """
    Where two dist-infos claim one distribution, contents decide which of them is there.
    """
    info = hot.one("a", thing())
    records = _discovery.discover({"acme.things": "things"}, hot.path, fresh=True, cache=False).records
    (hot.site.folder / "acme_a.py").write_text("X = 1\n")
    assert Installs().judge(records).again_in is None
    assert Installs().judge(records, [str(info)]).again_in is not None


def test_two_versions_at_once_are_told_apart(hot, monkeypatch):
    """
    What two installers at once left behind is served by what its contents say, or is broken with a reason.
    """
    monkeypatch.setattr(_installs, "PATIENCE", 0.3)
    hot.one("a", thing("1"))
    with hot.host() as host, watching(host):
        assert hot.do(host, "a") == 1
        aside = hot.folder / "aside"
        (hot.site.folder / "acme_a-1.0.dist-info").rename(aside)
        hot.one("a", thing("2"), "2.0")
        aside.rename(hot.site.folder / "acme_a-1.0.dist-info")
        until(lambda: hot.do(host, "a") == 2 or hot.status(host, "things/a").reason)
        until(lambda: hot.do(host, "a") == (2 if hot.status(host, "things/a").record.version == "2.0" else 1))


def test_who_requires_what_lies_in_an_archive_gets_it(hot, monkeypatch):
    """
    A plugin that requires one whose files nobody can tell imports it as ever.
    """
    import zipfile

    path = hot.folder / "acme.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("acme_z.py", thing("'z'"))
        file.writestr("acme_z-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: acme-z\nVersion: 1.0\n")
        file.writestr("acme_z-1.0.dist-info/entry_points.txt", "[acme.things]\nz = acme_z:Plain\n")
    monkeypatch.syspath_prepend(str(path))
    hot.one("a", thing("acme_z.Plain().do()", head="import acme_z"), requires=["acme-z"])
    with hot.host(path=[*hot.path, str(path)]) as host:
        assert hot.do(host, "a") == "z"
        assert host.reload("acme-a").changed == ("things/a",)
        assert hot.do(host, "a") == "z"
    sys.modules.pop("acme_z", None)
