"""The next generation beside the one before: what old code sees, what new code sees, what all others see."""

from __future__ import annotations

import importlib
import importlib.resources
import importlib.util
import inspect
import linecache
import os
import pickle
import pkgutil
import runpy
import subprocess
import sys
import threading
import traceback
import types
import typing
import weakref

import pytest

from generations import acmes
from hotplug import discover
from hotplug._discovery import territory
from hotplug._reloader import Generation, say_what_ran
from hotplug._reloader._router import Router
from hotplug.errors import HostError

pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.fixture
def dist(tmp_path):
    yield from acmes(tmp_path / "src")


def outcome_of(call, *arguments):
    try:
        return call(*arguments)
    except Exception as error:
        return error


LAZY = {
    "pkg/__init__.py": """
        def absolute():
            import pkg.later
            return pkg.later.V
        def renamed():
            import pkg.sub.deep as deep
            return deep.V
        def chosen():
            from pkg.later import V
            return V
        def relative():
            from . import later
            return later.V
        def by_importlib():
            import importlib
            return importlib.import_module("pkg.later").V
        def by_import_module():
            from importlib import import_module
            return import_module(".later", __package__).V
        def by_dunder():
            return __import__("pkg.later", fromlist=("V",)).V
        def by_dunder_relative():
            return __import__("later", globals(), None, (), 1).later.V
        def by_exec():
            scope = {}
            exec("import pkg.later as it", scope)
            return scope["it"].V
        def by_star():
            scope = {"__name__": "pkg", "__package__": "pkg"}
            exec("from pkg.later import *", scope)
            return scope["V"]
        def in_a_circle():
            from . import round
            return round.V
    """,
    "pkg/later.py": "V = 1",
    "pkg/round.py": "from . import other\nV = other.V",
    "pkg/other.py": "from . import round\nimport pkg.round as again\nassert again is round\nV = 1",
    "pkg/sub/__init__.py": "",
    "pkg/sub/deep.py": "V = 1",
}
WAYS = [
    "absolute",
    "renamed",
    "chosen",
    "relative",
    "by_importlib",
    "by_import_module",
    "by_dunder",
    "by_exec",
    "by_star",
    "in_a_circle",
]


def second(files):
    return {name: text.replace("V = 1", "V = 2") for name, text in files.items()}


# -- who sees what ---------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_old_code_goes_on_importing_its_own_old_modules(dist, way):
    """
    A submodule that old code imports only after the swap is the old one, whichever way it asks for it.
    """
    dist.go(LAZY)
    old = sys.modules["pkg"]
    dist.go(second(LAZY))
    new = sys.modules["pkg"]

    assert (getattr(old, way)(), getattr(new, way)(), getattr(old, way)()) == (1, 2, 1)
    assert old is not new


@pytest.mark.parametrize("way", WAYS)
def test_old_code_is_not_misled_by_what_the_new_one_imported(dist, way):
    """
    So it is where the new submodule stands in ``sys.modules`` already.
    """
    dist.go(LAZY)
    old = sys.modules["pkg"]
    dist.go(second(LAZY))
    new = sys.modules["pkg"]

    assert (getattr(new, way)(), getattr(old, way)(), getattr(new, way)()) == (2, 1, 2)


def test_a_relative_import_by_hand_gives_the_package(dist):
    """
    `__import__` of a relative name without a list gives what Python gives: the first word, resolved.
    """
    dist.go({"pkg/__init__.py": "", "pkg/a/__init__.py": "V = 1", "pkg/a/b.py": ""})
    give = sys.modules["pkg"].__builtins__["__import__"]
    here = {"__package__": "pkg", "__name__": "pkg"}

    assert give("a.b", here, None, (), 1) is sys.modules["pkg.a"]
    assert give("a", here, None, None, 1) is sys.modules["pkg.a"]
    assert give("", here, None, (), 1) is sys.modules["pkg"]
    assert give("pkg.a.b") is sys.modules["pkg"]
    with pytest.raises(ImportError, match="no known parent package"):
        give("a", {"__name__": "alone"}, None, (), 1)
    with pytest.raises(ImportError, match="beyond top-level package"):
        give("a", {"__name__": "pkg", "__path__": []}, None, (), 3)


def test_old_and_new_do_not_mix(dist):
    """
    Whatever is reached from an old module is old; from a new one, new.
    """
    files = {
        "pkg/__init__.py": "from . import a, b\nV = 1",
        "pkg/a.py": "from . import b\nV = 1",
        "pkg/b.py": "V = 1",
    }
    dist.go(files)
    old = sys.modules["pkg"]
    dist.go(second(files))
    new = sys.modules["pkg"]

    assert {old.V, old.a.V, old.b.V, old.a.b.V} == {1}
    assert {new.V, new.a.V, new.b.V, new.a.b.V} == {2}
    assert sys.modules["pkg.a"] is new.a


def test_what_nobody_imports_again_is_brought_along(dist):
    """
    A submodule that somebody imported of the old generation is there in the new one, under its key.
    """
    dist.go({"pkg/__init__.py": "", "pkg/tool.py": "V = 1"})
    importlib.import_module("pkg.tool")

    dist.go({"pkg/tool.py": "V = 2"})

    assert sys.modules["pkg.tool"].V == 2
    assert sys.modules["pkg"].tool is sys.modules["pkg.tool"]


def test_what_is_gone_is_gone(dist):
    """
    A module that the new generation does not have is not found under its key any more, but by old code.
    """
    dist.go(
        {"pkg/__init__.py": "def ask():\n    from . import tool\n    return tool.V", "pkg/tool.py": "V = 1"}
    )
    old = sys.modules["pkg"]
    importlib.import_module("pkg.tool")
    dist.remove("pkg/tool.py")

    dist.go({"pkg/__init__.py": "# without it\nask = None"})

    assert "pkg.tool" not in sys.modules
    assert old.ask() == 1
    with pytest.raises(ModuleNotFoundError, match="No module named 'pkg.tool'"):
        importlib.import_module("pkg.tool")


@pytest.mark.parametrize("gone", ["pkg", "helper.py"])
def test_what_is_gone_is_not_taken_from_the_old_generation(dist, gone):
    """
    A top-level module that is not there any more is not found, although the old one stands in `sys.modules`.
    """
    dist.go({"pkg/__init__.py": "import helper\nV = helper.V", "helper.py": "V = 1"})
    old = sys.modules["pkg"]
    dist.remove(gone)

    generation = dist.next()
    with pytest.raises(ModuleNotFoundError, match=f"No module named '{gone.removesuffix('.py')}'"):
        generation.stage(["pkg"])

    assert sys.modules["pkg"] is old
    dist.go({"pkg/__init__.py": "import helper\nV = helper.V", "helper.py": "V = 2"})
    assert sys.modules["pkg"].V == 2


@pytest.mark.parametrize("end", ["pass", "1 / 0"])
def test_what_comes_back_too_late_takes_nothing_away(dist, end):
    """
    A thread that is still importing a generation that was given up leaves what others import meanwhile.
    """
    dist.write({"pkg/__init__.py": f"import the_gate\nthe_gate.begun.set()\nthe_gate.open.wait(20)\n{end}"})
    gate = sys.modules["the_gate"] = types.SimpleNamespace(begun=threading.Event(), open=threading.Event())
    generation = dist.next()
    thread = threading.Thread(target=lambda: outcome_of(generation.stage, ["pkg"]))
    thread.start()
    try:
        assert gate.begun.wait(20)
        generation.discard()
        assert "pkg" not in sys.modules
        theirs = sys.modules["pkg"] = types.ModuleType("pkg")
        gate.open.set()
        thread.join()

        assert sys.modules["pkg"] is theirs
    finally:
        gate.open.set()
        thread.join()
        del sys.modules["the_gate"]
        sys.modules.pop("pkg", None)


def test_a_package_that_is_gone_takes_its_modules_along(dist):
    """
    So do the modules of a package that is not there any more.
    """
    dist.go({"pkg/__init__.py": "", "pkg/sub/__init__.py": "from . import inner", "pkg/sub/inner.py": ""})
    importlib.import_module("pkg.sub")
    dist.remove("pkg/sub")

    dist.go({"pkg/__init__.py": "# without it"})

    assert not [name for name in sys.modules if name.startswith("pkg.")]


@pytest.mark.parametrize(
    "statement",
    ["import pkg.lazy as it", "from pkg import lazy as it", "it = pkgutil.resolve_name('pkg.lazy')"],
)
def test_others_get_the_published_generation(dist, statement):
    """
    Code of nobody's imports submodules of the published generation, though no folder on the path has them.
    """
    dist.go({"pkg/__init__.py": "", "pkg/lazy.py": "from . import base\nV = 1", "pkg/base.py": ""})
    dist.go({"pkg/lazy.py": "from . import base\nV = 2"})
    dist.write({"pkg/lazy.py": "V = 3"})

    scope = {"pkgutil": pkgutil}
    exec(statement, scope)

    assert scope["it"].V == 2
    assert scope["it"] is sys.modules["pkg.lazy"] is sys.modules["pkg"].lazy
    assert scope["it"].base is sys.modules["pkg.base"]
    assert scope["it"].__spec__.loader is scope["it"].__loader__


def test_others_can_look_without_importing(dist):
    """
    `find_spec`, `runpy` and `reload` by others use the text of the published generation.
    """
    dist.go({"pkg/__init__.py": "V = [1]", "pkg/tool.py": "import sys\nNAME = __name__"})
    spec = importlib.util.find_spec("pkg.tool")

    assert "pkg.tool" not in sys.modules
    assert spec.loader.get_source("pkg.tool").startswith("import sys")
    assert runpy.run_module("pkg.tool", run_name="__main__")["NAME"] == "__main__"
    pkg = sys.modules["pkg"]
    pkg.V.append(2)
    dist.write({"pkg/__init__.py": "V = 'from the disk'"})
    assert importlib.reload(pkg) is pkg
    assert pkg.V == [1]
    assert importlib.util.find_spec("pkg.nothing") is None


def test_old_code_cannot_reload_itself(dist):
    """
    `importlib.reload` of one's own module is refused, with what to do; of others' it works as ever.
    """
    dist.go(
        {
            "pkg/__init__.py": (
                "import importlib\nimport colorsys\ndef again(m):\n    return importlib.reload(m)"
            )
        }
    )
    pkg = sys.modules["pkg"]

    with pytest.raises(ImportError, match=r"pkg is reloaded by hotplug, .* use host.reload\(\)"):
        pkg.again(pkg)
    assert pkg.again(pkg.colorsys) is pkg.colorsys


def test_importlib_looks_as_ever(dist):
    """
    What code of a generation imports as `importlib` is that, but for three functions.
    """
    dist.go(
        {
            "pkg/__init__.py": """
                import importlib, importlib.util
                from importlib import util, machinery
                import importlib.machinery as again
                def wrong():
                    importlib.import_module(".x")
                def dunder():
                    return importlib.__import__("pkg.a", fromlist=("V",)).V
            """,
            "pkg/a.py": "V = 1",
        }
    )
    pkg = sys.modules["pkg"]

    assert pkg.importlib.util is pkg.util is importlib.util
    assert pkg.again is pkg.machinery is importlib.machinery
    assert repr(pkg.importlib) == repr(importlib)
    assert set(dir(pkg.importlib)) == set(dir(importlib))
    assert pkg.importlib.__spec__ is importlib.__spec__
    assert pkg.dunder() == 1
    assert importlib.import_module is not pkg.importlib.import_module
    pkg.importlib.hotplug_was_here = True
    assert importlib.hotplug_was_here
    del pkg.importlib.hotplug_was_here
    assert not hasattr(importlib, "hotplug_was_here")
    with pytest.raises(TypeError, match="'package' argument is required"):
        pkg.wrong()
    assert dist.now.import_module("importlib") is pkg.importlib


# -- names, pickles, hints, sources ----------------------------------------------------------------

MODELS = {
    "pkg/__init__.py": """
        from __future__ import annotations
        import dataclasses, enum, logging, typing
        from typing import ClassVar

        log = logging.getLogger(__name__)

        class Color(enum.Enum):
            RED = 1
            GREEN = 2

        class Meta(type):
            seen = []
            def __new__(mcs, name, bases, body):
                made = super().__new__(mcs, name, bases, body)
                mcs.seen.append(made)
                made.fields = tuple(body.get("__annotations__", ()))
                return made

        class Model(metaclass=Meta):
            size: int

        @dataclasses.dataclass
        class Point:
            x: int
            color: Color = Color.RED
            scale: ClassVar[int] = 1
            seed: dataclasses.InitVar[int] = 0
            def where(self) -> Color:
                return self.color

        def make(x: int) -> Point:
            return Point(x)
    """
}


def test_names_are_the_canonical_ones(dist):
    """
    Modules, classes, functions, loggers and code are called what they are called in any other process.
    """
    dist.go(MODELS)
    dist.go({"pkg/other.py": ""})
    pkg = sys.modules["pkg"]

    assert (pkg.__name__, pkg.__package__, pkg.Point.__module__, pkg.log.name) == ("pkg",) * 4
    assert pkg.make.__code__.co_filename == pkg.__file__ == str(dist.folder / "pkg" / "__init__.py")
    assert pkg.__path__ == [str(dist.folder / "pkg")]
    assert pkg.__cached__ == importlib.util.cache_from_source(pkg.__file__)
    assert type(pkg) is type(sys)
    assert pkg.__spec__.submodule_search_locations == pkg.__path__


def test_models_of_all_sorts_work_in_every_generation(dist):
    """
    Dataclasses with postponed annotations, enums and metaclasses are made as in any other process.
    """
    for number in (1, 2):
        dist.go(MODELS if number == 1 else {"pkg/other.py": ""})
        pkg = sys.modules["pkg"]

        assert [field.name for field in pkg.dataclasses.fields(pkg.Point)] == ["x", "color"]
        assert pkg.Meta.seen == [pkg.Model]
        assert pkg.Model.fields == ("size",)
        assert pkg.Color(2) is pkg.Color.GREEN
        assert typing.get_type_hints(pkg.Point)["color"] is pkg.Color
        assert typing.get_type_hints(pkg.make) == {"x": int, "return": pkg.Point}


def test_old_functions_keep_their_hints(dist):
    """
    The hints of an old function are of its own generation; those of an old class are looked up by name.
    """
    dist.go(MODELS)
    old = sys.modules["pkg"]
    dist.go({"pkg/other.py": ""})

    assert typing.get_type_hints(old.make)["return"] is old.Point
    assert typing.get_type_hints(old.Point.where)["return"] is old.Color
    assert typing.get_type_hints(old.Point)["color"] is sys.modules["pkg"].Color  # Python asks sys.modules


def test_pickles(dist):
    """
    New instances go through a pickle; old pickles become new instances; an old instance is refused.
    """
    dist.go(MODELS)
    old = sys.modules["pkg"]
    instance, pickled = old.Point(3), pickle.dumps(old.Point(3))
    dist.go({"pkg/other.py": ""})
    new = sys.modules["pkg"]

    assert type(pickle.loads(pickle.dumps(new.Point(4)))) is new.Point
    assert type(pickle.loads(pickled)) is new.Point
    assert pickle.loads(pickled).color is new.Color.RED
    with pytest.raises(pickle.PicklingError, match="not the same object"):
        pickle.dumps(instance)


def test_pickles_are_read_elsewhere(dist):
    """
    Another process, where nothing is ever reloaded, reads the pickles of a second generation.
    """
    dist.go(MODELS)
    dist.go({"pkg/other.py": ""})
    code = "import sys, pickle; print(pickle.loads(sys.stdin.buffer.read()))"

    answer = subprocess.run(
        [sys.executable, "-c", code],
        input=pickle.dumps(sys.modules["pkg"].Point(3)),
        env={**os.environ, "PYTHONPATH": str(dist.folder)},
        capture_output=True,
        check=True,
    )

    assert answer.stdout.decode().strip() == "Point(x=3, color=<Color.RED: 1>)"


def test_old_objects_stay_what_they_are(dist):
    """
    An old object fits a contract of others', not the new class; it can be told to be of the new class.
    """
    files = {
        "pkg/__init__.py": (
            "import collections.abc\n"
            "class It(collections.abc.Sized):\n"
            "    def __len__(self):\n"
            "        return 1"
        )
    }
    dist.go(files)
    thing = sys.modules["pkg"].It()
    dist.go({"pkg/__init__.py": files["pkg/__init__.py"].replace("return 1", "return 2")})
    new = sys.modules["pkg"].It

    assert isinstance(thing, typing.Sized)
    assert not isinstance(thing, new)
    assert len(thing) == 1
    thing.__class__ = new
    assert len(thing) == 2


def test_each_generation_says_its_own_source(dist):
    """
    A loader says the text that its module was made of; `inspect` finds that of what is published.
    """
    dist.go({"pkg/__init__.py": "def f():\n    return 'one'"})
    old = sys.modules["pkg"]
    dist.go({"pkg/__init__.py": "# coding: latin-1\ndef f():\n    return 'two'"})
    new = sys.modules["pkg"]

    assert "'one'" in old.__loader__.get_source("pkg")
    assert b"'one'" in old.__loader__.get_data(old.__file__)
    assert "'two'" in new.__loader__.get_source("pkg")
    assert inspect.getsource(new.f).rstrip() == "def f():\n    return 'two'"
    assert inspect.getmodule(new.f) is new
    assert (old.__loader__.generation, new.__loader__.generation) == (1, 2)
    assert new.__loader__.path_stats(new.__file__)["size"] == len(new.__loader__.source.text)


def test_an_old_traceback_without_its_file(dist):
    """
    Where the file is gone, old tracebacks and `inspect` show the text that ran.
    """
    dist.go({"pkg/__init__.py": "from . import tool", "pkg/tool.py": "def f():\n    return 1 / 0  # here"})
    old = sys.modules["pkg.tool"]
    dist.remove("pkg/tool.py")
    dist.go({"pkg/__init__.py": "# without it"})

    with pytest.raises(ZeroDivisionError) as caught:
        old.f()

    assert "return 1 / 0  # here" in "".join(traceback.format_exception(caught.value))


def test_an_edit_that_looks_the_same_is_shown_as_it_is(dist):
    """
    After a swap a traceback shows the new line, though size and time of the file are the same.
    """
    dist.go({"pkg/__init__.py": "def f():\n    return 1 / 0"})
    path = dist.folder / "pkg" / "__init__.py"
    stamp = path.stat()
    assert linecache.getline(str(path), 2).strip() == "return 1 / 0"
    dist.write({"pkg/__init__.py": "def f():\n    return 2 / 0"})
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    dist.go()

    with pytest.raises(ZeroDivisionError) as caught:
        sys.modules["pkg"].f()

    assert "return 2 / 0" in "".join(traceback.format_exception(caught.value))


def test_an_old_traceback_says_what_ran(dist):
    """
    Where the file says something else by now, a note tells the line that ran; once, and for causes too.
    """
    code = (
        "def f():\n"
        "    return 1 / 0\n"
        "def g():\n"
        "    try:\n"
        "        f()\n"
        "    except ZeroDivisionError as error:\n"
        "        raise ValueError from error"
    )
    dist.go({"pkg/__init__.py": code})
    old = sys.modules["pkg"]
    with pytest.raises(ZeroDivisionError) as fresh:
        old.f()
    say_what_ran(fresh.value)
    assert not hasattr(fresh.value, "__notes__")
    dist.go({"pkg/__init__.py": code.replace("return 1 / 0", "return 'mended, and much longer'")})

    with pytest.raises(ValueError, match="^$") as caught:
        old.g()
    for _ in range(2):
        say_what_ran(caught.value)

    path = dist.folder / "pkg" / "__init__.py"
    assert caught.value.__cause__.__notes__ == [f"{path}:2 is of generation 1, where it reads: return 1 / 0"]
    assert not hasattr(caught.value, "__notes__")


def test_resources_are_read_from_the_disk(dist):
    """
    Data files of a package are found by all means, and are those of the disk, for old code too.
    """
    dist.go(
        {
            "pkg/__init__.py": (
                "import importlib.resources\n"
                "def text():\n"
                "    return importlib.resources.files(__name__).joinpath('it.txt').read_text()"
            ),
            "pkg/it.txt": "one",
        }
    )
    old = sys.modules["pkg"]
    dist.write({"pkg/it.txt": "two"})
    dist.go({"pkg/other.py": ""})

    assert old.text() == sys.modules["pkg"].text() == "two"
    assert pkgutil.get_data("pkg", "it.txt") == b"two"
    assert importlib.resources.files("pkg").joinpath("it.txt").is_file()
    assert {each.name for each in pkgutil.walk_packages(sys.modules["pkg"].__path__, "pkg.")} == {"pkg.other"}


# -- life ------------------------------------------------------------------------------------------


def test_the_first_generation_adopts_what_was_imported(dist, monkeypatch):
    """
    Modules that the application imported before keep their identity; what comes later is the generation's.
    """
    dist.write({"pkg/__init__.py": "", "pkg/a.py": "V = 1", "pkg/b.py": "from . import a"})
    monkeypatch.syspath_prepend(str(dist.folder))
    a = importlib.import_module("pkg.a")

    generation = dist.go(entry=["pkg.b"])

    assert generation.modules["pkg.a"] is a is sys.modules["pkg.b"].a
    assert set(generation.modules) == {"pkg", "pkg.a", "pkg.b"}
    assert sys.modules["pkg"].b is generation.modules["pkg.b"]
    dist.go({"pkg/a.py": "V = 2"})
    assert (a.V, sys.modules["pkg.a"].V) == (1, 2)


def test_what_is_being_imported_is_not_adopted(dist):
    """
    A module that somebody is in the middle of importing is nobody's yet.
    """
    half = type(sys)("pkg")
    half.__spec__ = importlib.util.spec_from_loader("pkg", None)
    half.__spec__._initializing = True
    sys.modules["pkg"] = half

    dist.go({"pkg/__init__.py": "V = 1"})

    assert sys.modules["pkg"] is not half


def test_its_digest_is_that_of_its_contents(dist, tmp_path):
    """
    The digest and the changed files tell contents, whatever the times; they are those of one moment.
    """
    first = dist.go({"pkg/__init__.py": "V = 1", "pkg/a.py": "", "pkg/gone.py": ""})
    os.utime(dist.folder / "pkg" / "a.py", (1, 1))
    same = dist.next()

    assert same.digest == first.digest
    assert same.changed == frozenset()
    dist.remove("pkg/gone.py")
    dist.write({"pkg/a.py": "#"})
    assert same.digest == first.digest
    other = dist.next()
    assert other.digest != first.digest
    assert other.changed == {str(dist.folder / "pkg" / name) for name in ("a.py", "gone.py")}


def test_a_generation_lives_once(dist):
    """
    What is not staged cannot be imported from or published; what was staged is not staged again.
    """
    dist.write({"pkg/__init__.py": ""})
    generation = dist.next()

    with pytest.raises(HostError, match="generation 1 of acme> is not staged"):
        generation.import_module("pkg")
    with pytest.raises(HostError, match="cannot be published"):
        generation.publish()
    generation.stage(["pkg"])
    with pytest.raises(HostError, match="cannot be staged"):
        generation.stage(["pkg"])
    generation.publish()
    with pytest.raises(HostError, match="cannot be published"):
        generation.publish()
    generation.discard()  # too late: nothing happens
    assert sys.modules["pkg"] is generation.modules["pkg"]
    assert not generation.retire()
    assert not generation.retire()
    assert generation.modules == {}
    assert generation.uses == frozenset()
    with pytest.raises(HostError, match="cannot be staged"):
        generation.stage(["pkg"])


def test_two_are_not_staged_at_once(dist):
    """
    While a generation is staged, another one of the distribution cannot be.
    """
    dist.go({"pkg/__init__.py": "V = 1"})
    dist.write({"pkg/__init__.py": "V = 2"})
    one, other = dist.next(), dist.next()
    one.stage(["pkg"])

    with pytest.raises(HostError, match="another one is staged"):
        other.stage(["pkg"])
    one.discard()
    other.stage(["pkg"])
    other.discard()

    assert sys.modules["pkg"].V == 1


def test_what_is_given_up_first_is_not_staged(dist):
    """
    Who comes to stage what was given up meanwhile is refused, and the next one can be staged.
    """
    dist.go({"pkg/__init__.py": "V = 1"})
    dist.write({"pkg/__init__.py": "V = 2"})
    late = dist.next()

    late.discard()
    with pytest.raises(HostError, match="it was given up"):
        late.stage(["pkg"])
    assert sys.modules["pkg"].V == 1
    dist.go()

    assert sys.modules["pkg"].V == 2


def test_what_is_given_up_while_it_is_staged(dist):
    """
    Given up by another thread in the middle of an import, it leaves nothing when that comes back.
    """
    dist.go({"pkg/__init__.py": "V = 1"})
    gate = types.SimpleNamespace(inside=threading.Event(), open=threading.Event())
    sys.modules["reloader_gate"] = gate
    try:
        dist.write({"pkg/__init__.py": "import reloader_gate as g\nV = 2\ng.inside.set()\ng.open.wait(20)"})
        slow = dist.next()
        stager = threading.Thread(target=slow.stage, args=(["pkg"],))
        stager.start()
        assert gate.inside.wait(20)
        slow.discard()
        gate.open.set()
        stager.join(20)
    finally:
        del sys.modules["reloader_gate"]

    assert sys.modules["pkg"].V == 1
    assert slow.world is None
    dist.go({"pkg/__init__.py": "V = 3"})
    assert sys.modules["pkg"].V == 3


def test_a_generation_that_is_released(dist):
    """
    What is released stays where it is, and is looked after no more; what was only staged is put back.
    """
    dist.go({"pkg/__init__.py": "V = 1", "pkg/more.py": ""})
    dist.write({"pkg/__init__.py": "V = 2"})
    staged = dist.next()
    staged.stage(["pkg"])

    staged.release()
    assert sys.modules["pkg"].V == 1
    dist.now.release()

    assert sys.modules["pkg"].V == 1
    assert not any(isinstance(finder, Router) for finder in sys.meta_path)


def test_what_was_never_staged_leaves_nothing(dist):
    """
    To discard or retire what was never staged does nothing.
    """
    generation = dist.next()

    generation.discard()

    assert not generation.retire()


def test_retiring_the_last_one_leaves_no_trace(dist, monkeypatch):
    """
    An uninstalled distribution's modules are not in ``sys.modules`` any more, and no cache knows its files.
    """
    dist.go({"pkg/__init__.py": "", "pkg/a.py": ""}, entry=["pkg.a"])
    for path in dist.now.sources.paths:
        linecache.getlines(path)
    list(pkgutil.iter_modules(sys.modules["pkg"].__path__))
    assert str(dist.folder / "pkg") in sys.path_importer_cache
    watched = [weakref.ref(module) for module in dist.now.modules.values()]

    left = dist.now.retire(collect=True)

    assert not left
    assert str(left) == "nothing is left"
    assert [ref() for ref in watched] == [None, None]
    assert not {"pkg", "pkg.a"} & set(sys.modules)
    assert not any(isinstance(finder, Router) for finder in sys.meta_path)
    assert not [name for name in linecache.cache if name.startswith(str(dist.folder))]
    assert str(dist.folder / "pkg") not in sys.path_importer_cache


def test_what_others_put_there_stays(dist):
    """
    A key that somebody else took over meanwhile is not touched by the end of a generation.
    """
    dist.go({"pkg/__init__.py": ""})
    other = sys.modules["pkg"] = type(sys)("pkg")

    dist.now.retire()

    assert sys.modules.pop("pkg") is other


def test_modules_and_classes_of_a_retired_generation_die(dist):
    """
    Nothing of hotplug's keeps an old generation alive.
    """
    dist.go(MODELS)
    old = sys.modules["pkg"]
    watched = [weakref.ref(thing) for thing in (old, old.Point, old.make, old.Color)]
    del old
    first = dist.now
    dist.go({"pkg/other.py": ""})

    left = first.retire(collect=True)

    assert not left
    assert [ref() for ref in watched] == [None] * 4


def test_a_leftover_of_old_code_still_works(dist):
    """
    What the application keeps of a retired generation works on, and imports its own old modules.
    """
    dist.go(LAZY)
    keep = sys.modules["pkg"].relative
    first = dist.now
    dist.go(second(LAZY))
    first.retire(collect=True)

    assert keep() == 1


def test_the_contents_decide_and_not_the_bytecode(dist, monkeypatch):
    """
    An edit of the same size within the same second is served, and a new process runs it too.
    """
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    dist.write({"pkg/__init__.py": "from . import a", "pkg/a.py": "V = 1"})
    ask = [sys.executable, "-c", "import pkg.a; print(pkg.a.V)"]
    env = {**os.environ, "PYTHONPATH": str(dist.folder)}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    run = {"env": env, "capture_output": True, "text": True, "check": True}
    path = dist.folder / "pkg" / "a.py"
    assert subprocess.run(ask, **run).stdout == "1\n"
    dist.go()
    stamp = path.stat()
    dist.write({"pkg/a.py": "V = 2"})
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert subprocess.run(ask, **run).stdout == "1\n", (
        "Python itself was misled: that is the world we live in"
    )

    dist.go()

    assert sys.modules["pkg.a"].V == 2
    assert subprocess.run(ask, **run).stdout == "2\n"


def test_with_a_limit_it_runs_in_a_thread_of_its_own(dist):
    """
    Staging with a limit is done elsewhere, and given up when that takes too long: all is as it was.
    """
    dist.go({"pkg/__init__.py": "import threading\nwho = threading.current_thread().name\nV = 1"})
    first = sys.modules["pkg"]
    dist.write({"pkg/__init__.py": "import threading\nwho = threading.current_thread().name\nV = 2"})
    second = dist.next()
    second.stage(["pkg"], 20)
    assert second.modules["pkg"].who == "hotplug staging: <generation 2 of acme>"
    second.discard()
    gate = first.gate = first.threading.Event()
    dist.write(
        {
            "pkg/__init__.py": (
                "V = 3\nimport sys\nfrom pkg_gate import gate\ngate.wait(20)\nfrom . import more"
            ),
            "pkg/more.py": "import pkg_gate\npkg_gate.ran = True",
        }
    )
    sys.modules["pkg_gate"] = type(sys)("pkg_gate")
    sys.modules["pkg_gate"].gate = gate

    with pytest.raises(TimeoutError):
        dist.next().stage(["pkg"], 0.05)
    assert sys.modules["pkg"] is first
    gate.set()

    assert sys.modules["pkg"] is first
    assert not hasattr(sys.modules.pop("pkg_gate"), "ran")


# -- the real territory ----------------------------------------------------------------------------

REAL = {
    "acme_real/__init__.py": "from .sub import V\ndef ask():\n    from . import later\n    return later.V",
    "acme_real/plug.py": "import acme_helper\nfrom acme_real import V\ndef tool(): return V + acme_helper.V",
    "acme_real/sub.py": "V = 1",
    "acme_real/later.py": "V = 1",
    "acme_helper.py": "V = 1",
    "acme_space/part/__init__.py": "import acme_space.part.deep\nV = acme_space.part.deep.V",
    "acme_space/part/deep.py": "V = 1",
}


@pytest.mark.parametrize("sort", ["installed", "plain"])
def test_with_the_real_territory(environment, sort, monkeypatch):
    """
    What `_discovery` says of a distribution is what its generations are made of.
    """
    monkeypatch.syspath_prepend(str(environment.folder))
    generations, olds = [], []
    for number in (1, 2):
        info = environment.install(
            "acme-real",
            "1.0",
            advertises={"hotplug.tools": {"real": "acme_real.plug:tool", "space": "acme_space.part:V"}},
            files={name: text.replace("V = 1", f"V = {number}") for name, text in REAL.items()},
            record=sort == "installed",
        )
        if sort == "plain":
            (info / "INSTALLER").unlink()
        record = discover([str(environment.folder)], fresh=True).records[0]
        before = generations[-1] if generations else None
        generations.append(Generation(territory(record), number, before))
        generations[-1].stage(["acme_real.plug", "acme_space.part"])
        generations[-1].publish()
        olds.append(generations[-1].modules)

    assert generations[1].territory.sort == sort
    assert set(olds[1]) == {
        name.removesuffix(".py").replace("/", ".").removesuffix(".__init__") for name in REAL
    } - {"acme_real.later"}
    assert [modules["acme_real.plug"].tool() for modules in olds] == [2, 4]
    assert [modules["acme_real"].ask() for modules in olds] == [1, 2]
    assert [modules["acme_space.part"].acme_space.part.V for modules in olds] == [1, 2]
    assert len(Generation(generations[1].territory, 3, generations[1]).changed) == 0
    for generation in generations:
        generation.retire()
    assert not [name for name in sys.modules if name.startswith(("acme_real", "acme_helper", "acme_space."))]
    sys.modules.pop("acme_space", None)
