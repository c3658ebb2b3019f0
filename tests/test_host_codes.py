"""Which generation of its code a distribution has, from the first import to the end."""

from __future__ import annotations

import contextlib
import gc
import importlib
import logging
import sys
import time
import weakref
import zipfile
from concurrent import futures
from types import SimpleNamespace

import pytest

import hotplug
from hot import hots, thing, until, watching
from hotplug._host import _code
from hotplug._host._code import Code
from hotplug._reloader import Generation
from hotplug._reloader._sources import Sources

pytestmark = pytest.mark.usefixtures("nothing_left", "brief_absence")


@pytest.fixture
def hot(acme, tmp_path):
    yield from hots(acme, tmp_path)


def test_generations_are_counted_on(hot):
    """
    What is uninstalled and comes back goes on counting where its code had been imported, and only there.
    """
    hot.one("a", thing("1"))
    hot.one("b", thing("1"))
    with hot.host() as host:
        assert hot.do(host, "a") == 1
        for name in ("a", "b"):
            hot.site.uninstall(f"acme-{name}")
        assert set(host.refresh().removed) == {"things/a", "things/b"}
        for name in ("a", "b"):
            hot.one(name, thing("2"))
        host.refresh()
        assert hot.do(host, "a") == hot.do(host, "b") == 2
        assert [hot.status(host, f"things/{name}").generation for name in ("a", "b")] == [2, 1]


def test_who_comes_while_the_old_one_ends_is_new(hot, monkeypatch):
    """
    What is first used in the middle of its forerunner's end is imported from what is there by then.
    """
    hot.one("a", thing("1"))
    retire, came = Code.retire, []

    def come_first(code, loop):
        if not came:
            came.append(True)
            hot.one("a", thing("2"), "2.0")
            host.follow_hints([("site", str(hot.site.folder))])
            assert hot.do(host, "a") == 2
        return retire(code, loop)

    monkeypatch.setattr(Code, "retire", come_first)
    with hot.host() as host:
        with host.registry("things").lease("a") as old:
            hot.site.uninstall("acme-a")
            host.refresh()
            assert old.do() == 1
        until(lambda: came)
        assert hot.do(host, "a") == 2
        assert sys.modules["acme_a"].Plain().do() == 2


def test_who_is_first_is_not_disturbed_by_a_hint(hot, monkeypatch):
    """
    A hint of code that somebody is just about to import for the first time takes nothing away from him.
    """
    hot.plain("acme-p", things={"p": "acme_p:Plain"}, files={"acme_p.py": thing("1")})
    import_module = Code.import_module

    def hint_first(code, name):
        code.begun()
        host.codes.begin_again(["acme-p"])
        return import_module(code, name)

    def hint_between(generation, name):
        host.codes.begin_again(["acme-p"])
        return of_generation(generation, name)

    of_generation = Generation.import_module
    monkeypatch.setattr(Code, "import_module", hint_first)
    monkeypatch.setattr(Generation, "import_module", hint_between)
    with hot.host() as host:
        assert hot.do(host, "p") == 1


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_what_is_installed_while_it_is_read_is_read_again(hot, monkeypatch, version):
    """
    Code that is read while an installer puts other code there is read again when that is done.
    """
    hot.one("a", thing("1"))
    read, done = Sources.read, []

    def read_then_install(*arguments, **options):
        found = read(*arguments, **options)
        if not done:
            done.append(True)
            hot.one("a", thing("2"), version)
        return found

    monkeypatch.setattr(Sources, "read", read_then_install)
    with hot.host() as host:
        assert hot.do(host, "a") == 2


def test_generations_are_counted_on_after_a_reload(hot):
    """
    What was reloaded, uninstalled, and comes back has a number that none had before it.
    """
    hot.one("a", thing("1"))
    with hot.host() as host:
        assert hot.do(host, "a") == 1
        host.reload("acme-a")
        hot.site.uninstall("acme-a")
        host.refresh()
        hot.one("a", thing("2"))
        host.refresh()
        assert hot.do(host, "a") == 2
        assert hot.status(host, "things/a").generation == 3


def test_what_works_outlives_what_fails_beside_it(hot):
    """
    A part of a distribution that does not import leaves the modules of the others as they are.
    """
    files = {"acme_a/__init__.py": "", "acme_a/good.py": thing("1"), "acme_a/bad.py": "raise ValueError"}
    hot.install("acme-a", things={"good": "acme_a.good:Plain", "bad": "acme_a.bad:Plain"}, files=files)
    with hot.host() as host:
        assert hot.do(host, "good") == 1
        before = hot.modules()
        with pytest.raises(hotplug.PluginError):
            hot.do(host, "bad")
        assert hot.modules() == before != {}


def test_who_tries_again_gets_all_of_what_is_there_by_then(hot):
    """
    Where the first thing of a distribution failed, not even what had been imported of it is used again.
    """

    def put(mark, code):
        files = {"acme_a/__init__.py": f"MARK = {mark}\n", "acme_a/part.py": code}
        hot.install("acme-a", things={"a": "acme_a.part:Plain"}, files=files)

    put(1, "raise ValueError")
    with hot.host() as host:
        with pytest.raises(hotplug.PluginError):
            hot.do(host, "a")
        put(2, thing("acme_a.MARK", head="import acme_a"))
        assert hot.do(host, "a") == 2


def test_an_installer_at_work_is_waited_for(hot, monkeypatch):
    """
    Who first uses a plugin while its upgrade is being written gets the new one, as soon as that is complete.
    """
    hot.one("a", thing("1"))

    def finish(seconds):
        hot.log.append(seconds)
        hot.install(
            "acme-a",
            "2.0",
            things={"a": "acme_a:Plain"},
            files={
                "acme_a.py": thing("acme_a_more.MARK", head="import acme_a_more"),
                "acme_a_more.py": "MARK = 2\n",
            },
        )

    monkeypatch.setattr(_code, "time", SimpleNamespace(monotonic=time.monotonic, sleep=finish))
    with hot.host() as host:
        (hot.site.folder / "acme_a.py").unlink()
        assert hot.do(host, "a") == 2
    assert len(hot.log) == 1


def test_what_the_application_imported_is_the_first_generation(hot):
    """
    Modules that were imported before the host began are its first generation; a reload makes another.
    """
    hot.one("a", thing("1"))
    mine = importlib.import_module("acme_a")
    with hot.host() as host:
        assert type(host.registry("things")["a"]) is mine.Plain
        hot.one("a", thing("2"))
        host.reload("acme-a")
        assert hot.do(host, "a") == 2
        assert mine.Plain().do() == 1
        assert sys.modules["acme_a"] is not mine


def test_old_generations_are_gone(hot):
    """
    Modules and classes of old generations are collected, after any number of reloads and upgrades.
    """
    hot.one("a", thing("0"))
    old = []
    with hot.host() as host:
        for mark in range(1, 6):
            old += [weakref.ref(type(host.registry("things")["a"])), weakref.ref(sys.modules["acme_a"])]
            hot.one("a", thing(str(mark)), f"{mark}.0")
            host.refresh()
            assert hot.do(host, "a") == mark
        gc.collect()
        assert [each for each in old if each() is not None] == []


def test_refused_generations_are_gone(hot, monkeypatch):
    """
    What was staged and refused is collected as well; only its traceback's text is kept.
    """
    monkeypatch.setattr(logging.getLogger("hotplug.host"), "disabled", True)  # pytest keeps what is logged
    monkeypatch.setattr(logging.getLogger("hotplug.watch"), "disabled", True)
    hot.one("a", thing())
    with hot.host() as host:
        assert hot.do(host, "a") == "one"
        body = "def __init__(self):\n    log.append(type(self))\n    raise ValueError"
        refused = []
        for _ in range(3):
            hot.one("a", thing(body=body))
            assert host.reload("acme-a").failed == ("things/a",)
            refused.append(weakref.ref(hot.log.pop()))
        gc.collect()
        assert [each() for each in refused] == [None] * 3


def test_a_displaced_newcomer_keeps_no_generation(hot):
    """
    A plugin that never got its key does not keep the generation alive that it would have been of.
    """
    hot.install(
        "acme-pair",
        things={"one": "acme_pair:Plain", "two": "acme_pair:Plain"},
        files={"acme_pair.py": thing("1")},
    )
    hot.one("z", thing())
    with hot.host() as host:
        things = host.registry("things")
        mine = things["z"]
        things.unregister("z")
        things.register("zz", mine)
        assert hot.do(host, "one") == 1
        hot.install(
            "acme-pair",
            "2.0",
            things={"one": "acme_pair:Plain", "two": "acme_pair:Plain", "zz": "acme_pair:Plain"},
            files={"acme_pair.py": thing("2")},
        )
        host.refresh()
        assert things["zz"] is mine
        before = weakref.ref(sys.modules["acme_pair"])
        for mark in (3, 4):
            hot.install(
                "acme-pair",
                things={"one": "acme_pair:Plain", "two": "acme_pair:Plain"},
                files={"acme_pair.py": thing(str(mark))},
            )
            host.refresh()
        assert hot.do(host, "one") == 4
        gc.collect()
        assert before() is None


@pytest.mark.parametrize("comes_again", [True, False])
def test_what_was_uninstalled_in_use_ends_with_the_host(hot, comes_again):
    """
    Of what was uninstalled in use, and perhaps came again, a closed host leaves nothing in the import system.
    """
    hot.one("a", thing("1"))
    with hot.host("[host]\ndrain_timeout = 0.05") as host, contextlib.ExitStack() as leases:
        leases.enter_context(host.registry("things").lease("a"))
        hot.site.uninstall("acme-a")
        host.refresh()
        if comes_again:
            hot.one("a", thing("2"))
            host.refresh()
        host.close()
        assert [each for each in sys.meta_path if "hotplug" in type(each).__module__] == []


def test_what_is_begun_when_the_host_is_closed_ends_at_once(hot, monkeypatch):
    """
    Who was about to import something when the host was closed leaves nothing in the import system.
    """
    hot.one("a", thing("1"))
    import_module = _code.Code.import_module

    def wait_first(self, name):
        hot.log.append("waits")
        hot.acme.gate.wait(20)
        return import_module(self, name)

    monkeypatch.setattr(_code.Code, "import_module", wait_first)
    with hot.host() as host, futures.ThreadPoolExecutor(1) as pool:
        first = pool.submit(hot.do, host, "a")
        until(lambda: "waits" in hot.log or first.done())
        host.close()
        hot.acme.gate.set()
        assert isinstance(first.exception(), hotplug.HotplugError)
    assert [each for each in sys.meta_path if "hotplug" in type(each).__module__] == []


def test_a_refused_stranger_takes_no_generation_away(hot):
    """
    A configuration that puts another distribution's plugin there, and is refused, leaves the code as it is.
    """
    hot.one("a", thing("1"))
    hot.one("b", "raise ValueError")
    with hot.host("[things.main]\nplugin = 'a'") as host:
        assert hot.do(host, "main") == 1
        with pytest.raises(hotplug.PluginError):
            host.apply(hotplug.Config.parse("[things.main]\nplugin = 'b'"))
        assert hot.do(host, "main") == 1
        host.reload("acme-a")
        assert hot.status(host, "things/main").generation == 2


# -- where nobody can tell whose code it is ----------------------------------------------------------


def archive(hot, mark, version="1.0"):
    path = hot.folder / "acme.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("acme_z.py", thing(str(mark)))
        info = f"acme_z-{version}.dist-info"
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: acme-z\nVersion: {version}\n")
        file.writestr(f"{info}/entry_points.txt", "[acme.things]\nz = acme_z:Plain\n")
    return str(path)


def test_code_in_an_archive_is_imported_as_ever(hot, monkeypatch):
    """
    What lies in an archive works, and its upgrade is never served under the new version with the old code.
    """
    path = archive(hot, 1)
    monkeypatch.syspath_prepend(path)
    with hot.host(path=[*hot.path, path]) as host:
        assert hot.do(host, "z") == 1
        archive(hot, 2, "2.0")
        host.refresh()
        status = hot.status(host, "things/z")
        served = hot.do(host, "z")
        assert (served, status.record.version) in [(1, "1.0"), (2, "2.0")]
        if served == 1:
            assert status.reason == "restart required"
    sys.modules.pop("acme_z", None)


# -- editable --------------------------------------------------------------------------------------


def editable(hot):
    """An editable installation by path file, as pip leaves it, in the folder that Python looks at."""
    source = hot.folder / "src"
    (source / "acme_e").mkdir(parents=True)
    (source / "acme_e" / "__init__.py").write_text(thing("1"))
    hot.site.install(
        "acme-e",
        advertises={"acme.things": {"e": "acme_e:Plain"}},
        files={
            "__editable__.acme_e.pth": f"{source}\n",
            "acme_e-1.0.dist-info/direct_url.json": '{"url": "file:///x", "dir_info": {"editable": true}}',
        },
    )
    return source


def test_what_is_installed_editable_while_a_host_runs_is_importable(hot, monkeypatch):
    """
    An editable installation that comes while a host watches is importable and followed, and is gone after.
    """
    monkeypatch.setattr(sys, "path", list(sys.path))
    with hot.host(path=None) as host, watching(host):
        source = editable(hot)
        until(lambda: "e" in host.registry("things"))
        assert hot.do(host, "e") == 1
        (source / "acme_e" / "__init__.py").write_text(thing("2"))
        until(lambda: hot.do(host, "e") == 2)
        hot.site.uninstall("acme-e")
        until(lambda: "e" not in host.registry("things"))
        until(lambda: str(source) not in sys.path)


def test_code_in_a_path_file_is_not_run(hot, monkeypatch):
    """
    A path file with code in it is not run, and is a problem of the host's.
    """
    monkeypatch.setattr(sys, "path", list(sys.path))
    with hot.host(path=None) as host:
        source = editable(hot)
        files = {
            "__editable__.acme_e.pth": f"import sys; sys.acme_was_here = True\n{source}\n",
            "acme_e-2.0.dist-info/direct_url.json": '{"url": "file:///x", "dir_info": {"editable": true}}',
        }
        hot.site.install("acme-e", "2.0", advertises={"acme.things": {"e": "acme_e:Plain"}}, files=files)
        host.refresh()
        assert hot.do(host, "e") == 1
        assert not hasattr(sys, "acme_was_here")
        assert any("acme_e.pth" in problem.path for problem in host.problems)


def test_code_that_is_just_being_replaced_is_not_edited(hot, monkeypatch):
    """
    Neither without its metadata for a moment, nor while an installer is at work: its installation tells.
    """
    monkeypatch.setattr("hotplug._host._code.MOMENT", 0.0)
    files = {"acme_a/__init__.py": thing("1")}
    plain = hot.plain("acme-a", files=files, things={"a": "acme_a:Plain"})
    hot.one("b", thing("1"))
    with hot.host() as host:
        assert hot.do(host, "a") == hot.do(host, "b") == 1
        renewal = host.codes.renewal(["acme-a"])
        (plain.folder / "acme_a/__init__.py").write_text(thing("2"))
        assert host.codes.edited(["acme-a"]) == (["acme-a"], [])

        [info] = plain.folder.glob("*.dist-info")
        info.rename(info.with_name("elsewhere"))
        (hot.site.folder / "acme_b.py").unlink()

        assert host.codes.edited(["acme-a", "acme-b"]) == ([], [])
        with pytest.raises(hotplug.PluginError, match="is being installed or removed right now"):
            renewal.stage((), 5.0)


@pytest.mark.parametrize("is_edited", [False, True])
def test_code_that_is_read_while_its_edit_is_looked_at_is_compared(hot, monkeypatch, is_edited):
    """
    Who uses a plugin first while it is looked at gets it once; it is renewed if it was read before an edit.
    """
    plain = hot.plain("acme-a", files={"acme_a.py": thing("1")}, things={"a": "acme_a:Plain"})
    with hot.host() as host:
        is_known = host.codes.is_text_known

        def used_just_then(name):
            if not is_known(name):
                assert hot.do(host, "a") == 1
                if is_edited:
                    (plain.folder / "acme_a.py").write_text(thing("2"))
                return False
            return True

        monkeypatch.setattr(host.codes, "is_text_known", used_just_then)
        host.follow_hints([("code", "acme-a")])
        assert hot.status(host, "things/a").generation == 1
        host.follow_hints([("code", "acme-a")])
        assert hot.do(host, "a") == hot.status(host, "things/a").generation == 1 + is_edited
