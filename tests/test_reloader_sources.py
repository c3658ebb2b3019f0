"""Sources are read once; bytecode is looked at where it may be, and not left behind where it is stale."""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.machinery import SourcelessFileLoader
from pathlib import Path

import pytest

from generations import acmes
from hotplug._reloader import _sources
from hotplug._reloader._sources import SourceLoader, Sources, read_source, unlink_stale

pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.fixture
def dist(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    yield from acmes(tmp_path / "src")


def cached(dist, name):
    return Path(importlib.util.cache_from_source(str(dist.folder / name)))


def test_an_installed_first_generation_uses_bytecode(dist):
    """
    Start-up is as fast as ever: bytecode that fits is used, and written where there is none.
    """
    dist.territory.sort = "installed"
    dist.go({"pkg/__init__.py": "V = 1"})
    file = cached(dist, "pkg/__init__.py")
    assert file.is_file()
    dist.end()
    bytecode = bytearray(file.read_bytes())
    place = bytecode.index(b"\xe9\x01\x00\x00\x00") + 1  # the constant 1
    bytecode[place] = 5
    file.write_bytes(bytecode)

    dist.go()

    assert sys.modules["pkg"].V == 5, "the bytecode was used, though it lies"


@pytest.mark.parametrize("sort", ["editable", "plain"])
def test_code_that_changes_does_not_use_bytecode(dist, sort):
    """
    For code that is being edited bytecode is neither looked at nor written, from the first generation on.
    """
    dist.territory.sort = sort
    dist.go({"pkg/__init__.py": "V = 1"})

    assert not cached(dist, "pkg/__init__.py").exists()


def test_later_generations_do_not_use_bytecode(dist):
    """
    From the second generation on it is not looked at either, and what is stale is removed.
    """
    dist.territory.sort = "installed"
    dist.go({"pkg/__init__.py": "from . import a\nV = 1", "pkg/a.py": ""})
    dist.go({"pkg/__init__.py": "from . import a, b\nV = 2", "pkg/b.py": ""})

    assert not cached(dist, "pkg/__init__.py").exists()
    assert not cached(dist, "pkg/b.py").exists()
    assert cached(dist, "pkg/a.py").is_file(), "it did not change"


def test_stale_bytecode_goes_for_all_interpreters(tmp_path):
    """
    Whichever interpreter wrote it; other files' bytecode, and what is no bytecode, stays.
    """
    folder = tmp_path / "__pycache__"
    folder.mkdir()
    (tmp_path / "a.py").write_text("")
    for name in ("a.cpython-311.pyc", "a.cpython-313.opt-2.pyc", "ab.cpython-311.pyc", "a.cpython-311.txt"):
        (folder / name).write_text("")

    unlink_stale([str(tmp_path / "a.py"), str(tmp_path / "nowhere" / "b.py")], believe_later=False)

    assert {path.name for path in folder.iterdir()} == {"ab.cpython-311.pyc", "a.cpython-311.txt"}


def test_bytecode_that_was_written_later_may_be_believed(tmp_path, tick):
    """
    What an installer compiles after it wrote the source is fresh.
    """
    folder = tmp_path / "__pycache__"
    folder.mkdir()
    (folder / "a.cpython-310.pyc").write_text("")
    tick()
    (tmp_path / "a.py").write_text("")
    tick()
    (folder / "a.cpython-311.pyc").write_text("")

    unlink_stale([str(tmp_path / "a.py")], believe_later=True)

    assert [path.name for path in folder.iterdir()] == ["a.cpython-311.pyc"]


def test_bytecode_kept_elsewhere(tmp_path, monkeypatch):
    """
    Where bytecode has a tree of its own, it is removed there.
    """
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path / "cache"))
    file = Path(importlib.util.cache_from_source(str(tmp_path / "src" / "a.py")))
    file.parent.mkdir(parents=True)
    file.write_text("")

    unlink_stale([str(tmp_path / "src" / "a.py")], believe_later=False)

    assert not file.exists()


def test_a_loader_is_that_of_one_module(tmp_path):
    """
    It says what Python's own loader says; what is not its module is read from the disk.
    """
    (tmp_path / "a.py").write_text("V = 1")
    (tmp_path / "data").write_text("1")
    loader = SourceLoader("a", read_source(str(tmp_path / "a.py")), {}, 3)
    (tmp_path / "a.py").write_text("V = 22")

    assert loader.get_source("a") == "V = 1"
    assert loader.get_data(str(tmp_path / "data")) == b"1"
    assert loader.path_stats(loader.path)["size"] == 6
    assert loader.get_filename("a") == str(tmp_path / "a.py")
    assert not loader.is_package("a")
    assert loader.get_code("a") is loader.get_code("a")
    with pytest.raises(ImportError):
        loader.get_filename("b")


def test_only_what_is_needed_is_compiled(dist):
    """
    Code of files that did not change is that of the generation before; what is gone is forgotten.
    """
    dist.go({"pkg/__init__.py": "from . import a", "pkg/a.py": "def f(): ..."})
    first = dist.now
    code = first.modules["pkg.a"].f.__code__
    dist.go({"pkg/__init__.py": "from . import a\n#"})

    assert dist.now.modules["pkg.a"].f.__code__ is code
    assert len(dist.now.line.codes) == 2
    with pytest.raises(SyntaxError):
        dist.go({"pkg/a.py": "def"})
    assert len(dist.now.line.codes) == 2


def test_code_without_source(dist):
    """
    A module that is there as bytecode only is imported as it is.
    """
    import py_compile

    dist.write(
        {
            "pkg/__init__.py": "from . import bare\nV = bare.V",
            "bare.py": "from . import base\nV = base.V",
            "pkg/base.py": "V = 1",
        }
    )
    py_compile.compile(str(dist.folder / "bare.py"), cfile=str(dist.folder / "pkg" / "bare.pyc"))

    dist.go()
    old = sys.modules["pkg"]
    dist.go({"pkg/base.py": "V = 2"})

    assert (old.V, sys.modules["pkg"].V) == (1, 2)
    assert isinstance(sys.modules["pkg.bare"].__loader__, SourcelessFileLoader)
    assert Path(sys.modules["pkg.bare"].__file__).is_file()


# -- reading again -----------------------------------------------------------------------------------


@pytest.fixture
def reading(dist, monkeypatch):
    """Reads again, after those that it is given; *seen* are the files whose text was asked for."""
    dist.write({"pkg/__init__.py": "V = 1", "pkg/a.py": "V = 1"})

    def read(before=None):
        read.seen.clear()
        return Sources.read(dist.territory, before)

    def noting(path, *facts, **more):
        read.seen.append(Path(path).name)
        return read_source(path, *facts, **more)

    read.seen = []
    monkeypatch.setattr(_sources, "read_source", noting)
    return read


@pytest.fixture
def long_ago(monkeypatch):
    """Every file changed so long ago that the clock has gone on since."""
    monkeypatch.setattr(_sources, "_RACY", -3_600_000_000_000)


def save_as_it_was(path, text):
    """Write over *path*, in place, and put its time back."""
    times = path.stat()
    path.write_text(text)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.usefixtures("long_ago")
def test_what_looks_as_before_is_not_read_again(dist, reading):
    """
    Of a package only the files that look otherwise are read; the others are the same objects.
    """
    first = reading()
    save_as_it_was(dist.folder / "pkg" / "a.py", "V = 2")
    second = reading(first)
    assert reading.seen == ["a.py"]
    assert second.changed == {str(dist.folder / "pkg" / "a.py")}
    assert second.by_name["pkg"] is first.by_name["pkg"]
    third = reading(second)
    assert (reading.seen, third.changed, third.digest) == ([], frozenset(), second.digest)
    (dist.folder / "pkg" / "a.py").unlink()
    assert reading(third).gone == second.changed


@pytest.mark.usefixtures("long_ago")
def test_a_file_in_the_place_of_another_is_read(dist, reading):
    """
    A file that was renamed over another, of its size and time, is another.
    """
    first, path = reading(), dist.folder / "pkg" / "a.py"
    (dist.folder / "aside").write_text("V = 2")
    os.utime(dist.folder / "aside", ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    (dist.folder / "aside").replace(path)

    assert reading(first).changed == {str(path)}


def test_what_has_only_just_changed_is_read_again(dist, reading, monkeypatch):
    """
    A second save within one tick of a coarse clock looks like the first, and is read for all that.
    """
    stamp = dist.folder.stat().st_mtime_ns
    monkeypatch.setattr(_sources, "_stamp_of", lambda path: (stamp, stamp, 1, 1, 5))
    first = reading()
    (dist.folder / "pkg" / "a.py").write_text("V = 2")
    second = reading(first)

    assert sorted(reading.seen) == ["__init__.py", "a.py"]
    assert second.changed == {str(dist.folder / "pkg" / "a.py")}
