"""Importing as Python does, in a first generation and in a later one: circles, failures, odd modules."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import linecache
import logging
import sys
import types
import weakref
from pathlib import Path

import pytest

from generations import Folder, acmes
from hotplug._loader import prepare
from hotplug._reloader import Generation
from hotplug._reloader._making import _SpecInTheMaking
from hotplug.errors import PluginImportError

pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.fixture
def dist(tmp_path):
    yield from acmes(tmp_path / "src")


@pytest.fixture(params=["first", "second"])
def either(dist, request):
    """A distribution that has no generation yet, or one that imported nothing of what the test is about."""
    if request.param == "second":
        dist.go({"start.py": ""}, entry=["start"])
    return dist


# -- as Python does --------------------------------------------------------------------------------

SAME = {
    "a circle of modules": {
        "pkg/__init__.py": "from . import a\nV = a.V",
        "pkg/a.py": "from . import b\nV = 1",
        "pkg/b.py": "from . import a\nimport pkg.a as again\nassert again is a",
    },
    "a circle through a name that is not there yet": {
        "pkg/__init__.py": "from .a import V",
        "pkg/a.py": "from .b import W\nV = 1",
        "pkg/b.py": "from .a import V as W",
    },
    "a circle through an attribute that is not there yet": {
        "pkg/__init__.py": "from . import a",
        "pkg/a.py": "import pkg.b\nV = 1",
        "pkg/b.py": "import pkg.a\npkg.a.V",
    },
    "a submodule with the name of a function": {
        "pkg/__init__.py": "from .run import run\nV = run()",
        "pkg/run.py": "def run():\n    return 1",
    },
    "a star with and without a list": {
        "pkg/__init__.py": "from .a import *\nfrom .b import *\nV = sub.V + public",
        "pkg/a/__init__.py": "__all__ = ['sub']",
        "pkg/a/sub.py": "V = 1",
        "pkg/b.py": "public = 1\n_private = 2",
    },
    "a star of a package without a list": {
        "pkg/__init__.py": "from .a import *\nV = public\nassert 'sub' not in globals()",
        "pkg/a/__init__.py": "public = 1",
        "pkg/a/sub.py": "",
    },
    "a list with something else than names": {
        "pkg/__init__.py": "from .a import *",
        "pkg/a/__init__.py": "__all__ = [1]",
    },
    "a list with a name that is nowhere": {
        "pkg/__init__.py": "from .a import *",
        "pkg/a/__init__.py": "__all__ = ['nowhere']",
    },
    "a name that is nowhere": {"pkg/__init__.py": "from . import nowhere"},
    "a module that is nowhere": {"pkg/__init__.py": "import pkg.nowhere"},
    "a module in something that is no package": {"pkg/__init__.py": "import pkg.a.b", "pkg/a.py": ""},
    "another distribution's module that is nowhere": {"pkg/__init__.py": "import nowhere_at_all"},
    "a submodule that fails": {
        "pkg/__init__.py": "from .a import b\nV = 1",
        "pkg/a/__init__.py": "",
        "pkg/a/b.py": "import nowhere_at_all",
    },
    "a submodule that is tried": {
        "pkg/__init__.py": (
            "import sys\n"
            "try:\n"
            "    from . import fast\n"
            "except ZeroDivisionError:\n"
            "    V = 'pkg.fast' in sys.modules"
        ),
        "pkg/fast.py": "1 / 0",
    },
    "a submodule that fails once": {
        "pkg/__init__.py": (
            "import sys\n"
            "try:\n"
            "    from . import fast\n"
            "except ZeroDivisionError:\n"
            "    sys.pkg_again = 1\n"
            "    from . import fast\n"
            "V = fast.V"
        ),
        "pkg/fast.py": (
            "import sys\nV = sys.pkg_again if hasattr(sys, 'pkg_again') else 1 / 0\ndel sys.pkg_again"
        ),
    },
    "lazy attributes": {
        "pkg/__init__.py": (
            "def __getattr__(name):\n"
            "    if name != 'lazy': raise AttributeError('no ' + name)\n"
            "    import importlib\n"
            "    return importlib.import_module('.lazy', __name__)\n"
            "from . import user\n"
            "V = user.V"
        ),
        "pkg/lazy.py": "V = 1",
        "pkg/user.py": "import pkg\nV = pkg.lazy.V\nassert not hasattr(pkg, 'nothing')",
    },
    "a module that replaces itself": {
        "pkg/__init__.py": (
            "from . import a\nimport pkg.a as again\nfrom pkg.a import W\nV = (a.V, again is a, W)"
        ),
        "pkg/a.py": "import sys\nclass It:\n    V = 1\n    W = 2\nsys.modules[__name__] = It()",
    },
    "a module with a class of its own": {
        "pkg/__init__.py": (
            "import sys, types\n"
            "class Shiny(types.ModuleType):\n"
            "    @property\n"
            "    def V(self):\n"
            "        return 1\n"
            "sys.modules[__name__].__class__ = Shiny"
        ),
    },
    "a module that looks itself up": {
        "pkg/__init__.py": "import sys\nV = 1\nassert sys.modules[__name__].V == 1"
    },
    "a package that sets its path": {
        "pkg/__init__.py": (
            "import os\n"
            "__path__ = [os.path.join(os.path.dirname(__file__), 'parts')]\n"
            "from . import a\n"
            "V = a.V"
        ),
        "pkg/parts/a.py": "V = 1",
        "pkg/a.py": "V = 2",
    },
    "a package that adds to its path": {
        "pkg/__init__.py": (
            "import os\n"
            "__path__.append(os.path.join(os.path.dirname(__file__), '..', 'more'))\n"
            "from . import a, b\n"
            "V = (a.V, b.V)"
        ),
        "pkg/a.py": "V = 1",
        "more/a.py": "V = 2",
        "more/b.py": "V = 3",
    },
    "a namespace in a package": {
        "pkg/__init__.py": "from .space import a\nimport pkg.space.deep.b\nV = (a.V, pkg.space.deep.b.V)",
        "pkg/space/a.py": "V = 1",
        "pkg/space/deep/b.py": "V = 2",
    },
    "a module that it writes before it imports it": {
        "pkg/__init__.py": (
            "import os\n"
            "with open(os.path.join(os.path.dirname(__file__), 'made.py'), 'w') as file:\n"
            "    file.write('V = 1')\n"
            "from .made import V"
        ),
    },
    "what is for a program only": {"pkg/__init__.py": "V = 1\nif __name__ == '__main__':\n    V = 2"},
    "names that every module has": {
        "pkg/__init__.py": (
            "from . import a\nV = [__name__, __package__, __doc__, __file__ == __spec__.origin, a.V]"
        ),
        "pkg/a.py": (
            "'Text.'\n"
            "V = [__name__, __package__, __doc__, __file__ == __spec__.origin, '__path__' in globals()]"
        ),
    },
    "an encoding": {"pkg/__init__.py": "# coding: latin-1\nV = '\\xe9'"},
    "a syntax error": {"pkg/__init__.py": "from . import a", "pkg/a.py": "V = 1\nV ="},
    "a warning as an error": {"pkg/__init__.py": "import warnings\nwarnings.warn('old', DeprecationWarning)"},
    "going too far up": {"pkg/__init__.py": "from ... import x"},
    "an exit": {"pkg/__init__.py": "raise SystemExit(3)"},
    "an interruption": {"pkg/__init__.py": "raise KeyboardInterrupt"},
    "a thread that imports another module": {
        "pkg/__init__.py": (
            "import threading\n"
            "def work():\n"
            "    global V\n"
            "    from .other import V\n"
            "thread = threading.Thread(target=work)\n"
            "thread.start()\n"
            "thread.join(20)"
        ),
        "pkg/other.py": "V = 1",
    },
    "a blocked name": {
        "pkg/__init__.py": (
            "import sys\n"
            "sys.modules['pkg_blocked'] = None\n"
            "try:\n"
            "    import pkg_blocked\n"
            "except ModuleNotFoundError as error:\n"
            "    V = str(error)\n"
            "del sys.modules['pkg_blocked']"
        )
    },
}


def outcome(error):
    """What can be told of an error, the lines of the plugin's own files among it."""
    lines, trace = [], error.__traceback__
    while trace is not None:
        if (
            "/src/" in trace.tb_frame.f_code.co_filename
            and "hotplug" not in trace.tb_frame.f_code.co_filename
        ):
            lines.append((Path(trace.tb_frame.f_code.co_filename).name, trace.tb_lineno))
        trace = trace.tb_next
    where = (error.filename, error.lineno, error.text) if isinstance(error, SyntaxError) else None
    return type(error), str(error), getattr(error, "name", None), where, lines


def as_python_does(dist):
    sys.path.insert(0, str(dist.folder))
    importlib.invalidate_caches()
    try:
        return importlib.import_module("pkg").V
    except BaseException as error:
        return outcome(error)
    finally:
        sys.path.remove(str(dist.folder))
        for name in [name for name in sys.modules if name.partition(".")[0] == "pkg"]:
            del sys.modules[name]


@pytest.mark.parametrize("files", SAME.values(), ids=SAME)
def test_as_python_does(either, files, monkeypatch):
    """
    The outcome is Python's own: value, or error with its text, its name and its lines.
    """
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    either.write(files)
    expected = as_python_does(either)

    try:
        either.go(files)
        found = sys.modules["pkg"].V
    except BaseException as error:
        found = outcome(error)

    assert found == expected


def test_a_module_that_removes_itself(either):
    """
    It is an error here as well, and says more than Python's.
    """
    with pytest.raises(ImportError, match="pkg removed itself from sys.modules"):
        either.go({"pkg/__init__.py": "import sys\ndel sys.modules[__name__]"})

    assert "pkg" not in sys.modules


def test_a_finder_that_imports_what_it_is_asked_for(dist):
    """
    Whoever needs a module to find that module is told so.
    """

    class Circular(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path, target=None):
            if name == "pkg.odd":
                dist.all[-1].import_module(name)

    dist.go({"pkg/__init__.py": ""})
    finder = Circular()
    sys.meta_path.insert(0, finder)
    try:
        with pytest.raises(ImportError, match="pkg.odd is not imported: it needs itself"):
            dist.now.import_module("pkg.odd")
    finally:
        sys.meta_path.remove(finder)


def test_modules_of_a_finder(dist):
    """
    What a finder of somebody's makes for an own name is of the generation, and imports its modules.
    """

    class Loader(importlib.abc.Loader):
        def exec_module(self, module):
            exec("from . import base\nV = base.V", vars(module))

    class Strange(importlib.abc.Loader):
        def create_module(self, spec):
            return types.SimpleNamespace(V="strange")

        def exec_module(self, module):
            module.done = True

    class Special(importlib.machinery.ModuleSpec):
        pass

    class Making(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path, target=None):
            if name == "pkg.bare":
                return importlib.machinery.ModuleSpec(name, None)
            if name == "pkg.special":
                return Special(name, Loader())
            if name == "pkg.made":
                return importlib.util.spec_from_loader(name, Loader())
            return importlib.util.spec_from_loader(name, Strange()) if name == "pkg.strange" else None

    finder = Making()
    sys.meta_path.insert(0, finder)
    try:
        files = {
            "pkg/__init__.py": "from . import base\ndef ask():\n    from . import made\n    return made.V",
            "pkg/base.py": "V = 1",
        }
        dist.go(files)
        old = sys.modules["pkg"]
        assert dist.now.import_module("pkg.strange").done
        assert importlib.import_module("pkg.strange").V == "strange"
        dist.go({"pkg/base.py": "V = 2"})
        assert (old.ask(), sys.modules["pkg"].ask()) == (1, 2)
        assert sys.modules["pkg.strange"].done
        assert dist.now.import_module("pkg.special").V == 2
        with pytest.raises(ImportError, match="missing loader"):
            dist.now.import_module("pkg.bare")
    finally:
        sys.meta_path.remove(finder)


def test_what_came_later_is_not_for_old_code(dist):
    """
    A file that was not there when a generation was read is imported by it, until a later one is published.
    """
    ask = "def ask():\n    from . import new\n    return new.V"
    dist.go({"pkg/__init__.py": ask, "pkg/other.py": ""})
    old = sys.modules["pkg"]
    dist.go({"pkg/other.py": "#"})
    dist.write({"pkg/new.py": "V = 2"})

    assert sys.modules["pkg"].ask() == 2
    with pytest.raises(ImportError, match="cannot import name 'new'"):
        old.ask()


def test_a_module_in_no_folder_on_the_path(dist, tmp_path):
    """
    What only the territory knows is found where it says.
    """

    class Elsewhere(Folder):
        def sources(self):
            return {name: path for name, path in super().sources().items() if name == "pkg"}

    dist.territory = Elsewhere(dist.folder)
    dist.go(
        {"pkg/__init__.py": "", "alone.py": "V = 1", "two/__init__.py": "from . import b", "two/b.py": ""},
        entry=["pkg", "alone", "two"],
    )

    assert sys.modules["alone"].V == 1
    assert dist.now.modules["two"].__path__ == [str(dist.folder / "two")]


def test_what_cannot_be_read_is_as_if_it_were_not_there(dist):
    """
    A file that vanishes between listing and reading hides nothing else.
    """

    class Ghosts(Folder):
        def sources(self):
            return {**super().sources(), "pkg.ghost": str(self.folder / "pkg" / "ghost.py")}

    dist.territory = Ghosts(dist.folder)
    dist.go(
        {"pkg/__init__.py": "try:\n    from . import ghost\nexcept ImportError as error:\n    V = error.name"}
    )

    assert sys.modules["pkg"].V == "pkg"


def test_a_large_file_is_read_whole(dist):
    """
    A source of any size is what it is.
    """
    dist.go({"pkg/__init__.py": "#" * ((1 << 18) - 1) + "\nV = 1\n" + "#" * (1 << 18)})

    assert sys.modules["pkg"].V == 1


# -- failures: as it was before --------------------------------------------------------------------

FAILURES = {
    "syntax error": ("V = ", SyntaxError),
    "missing dependency": ("import nowhere_at_all", ModuleNotFoundError),
    "import error": ("from . import nothing", ImportError),
    "exception": ("1 / 0", ZeroDivisionError),
    "exit": ("raise SystemExit(1)", SystemExit),
    "interruption": ("raise KeyboardInterrupt", KeyboardInterrupt),
    "it removes its neighbours": (
        "import sys\ndel sys.modules['pkg'], sys.modules['pkg.a']\n1 / 0",
        ZeroDivisionError,
    ),
    "it replaces itself": ("import sys\nsys.modules[__name__] = object()\n1 / 0", ZeroDivisionError),
}


@pytest.mark.parametrize(("text", "error"), FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("lazily", [False, True])
def test_a_failure_changes_nothing(dist, text, error, lazily):
    """
    Whatever ends staging midway: modules, attributes, caches and registrations are those of before.
    """
    files = {
        "pkg/__init__.py": "from . import a\nfrom . import b" if not lazily else "from . import a",
        "pkg/a.py": "import logging\nV = 1\nlogging.getLogger('pkg.log').addHandler(logging.NullHandler())",
        "pkg/b.py": "V = 1",
    }
    dist.go(files, entry=["pkg", "pkg.b"])
    linecache.getlines(sys.modules["pkg.a"].__file__)
    assert sys.modules["pkg.b"].V == 1

    def seen():
        return (
            dict(sys.modules),
            [dict(vars(sys.modules[name])) for name in ("pkg", "pkg.a", "pkg.b")],
            dict(linecache.cache),
            list(logging.getLogger("pkg.log").handlers),
            list(sys.meta_path),
        )

    before = seen()
    dist.write(
        {
            "pkg/a.py": files["pkg/a.py"]
            + ("\nimport linecache\nlinecache.checkcache()\nlinecache.getlines(__file__)\n"),
            "pkg/b.py": text,
            "pkg/__init__.py": "#\n" + files["pkg/__init__.py"],
        }
    )
    failing = dist.next()

    with pytest.raises(error):
        failing.stage(["pkg"])

    assert seen() == before
    assert failing.modules == {}
    dist.go({"pkg/b.py": "V = 3"})
    assert sys.modules["pkg"].b.V == 3


def test_a_traceback_shows_the_plugins_lines_only(dist):
    """
    Between the lines of plugin code that imported one another there are none of hotplug's.
    """
    dist.write(
        {
            "pkg/__init__.py": "from . import a",
            "pkg/a.py": "import pkg.b",
            "pkg/b.py": "from .c import d",
            "pkg/c.py": "1 / 0",
        }
    )

    with pytest.raises(ZeroDivisionError) as caught:
        dist.next().stage(["pkg"])

    files = [Path(entry.path).name for entry in caught.traceback]
    first = files.index("__init__.py")
    assert files[first:] == ["__init__.py", "a.py", "b.py", "c.py"]


def test_a_failed_first_generation_leaves_nothing(dist):
    """
    Where nothing was before, nothing is after a failure; the next attempt is a fresh one.
    """
    with pytest.raises(ZeroDivisionError):
        dist.go({"pkg/__init__.py": "from . import a\n1 / 0", "pkg/a.py": ""})
    assert not [name for name in sys.modules if name.partition(".")[0] == "pkg"]

    dist.go({"pkg/__init__.py": "from . import a"})

    assert "pkg.a" in sys.modules


def test_the_syntax_error_comes_before_anything_runs(dist):
    """
    A changed module that does not compile ends staging before any other module has run.
    """
    dist.go({"pkg/__init__.py": "from . import a", "pkg/a.py": ""})
    dist.write({"pkg/__init__.py": "import sys\nsys.pkg_ran = True\nfrom . import a", "pkg/a.py": "def"})

    with pytest.raises(SyntaxError) as caught:
        dist.next().stage(["pkg"])

    assert not hasattr(sys, "pkg_ran")
    assert (caught.value.filename, caught.value.lineno) == (str(dist.folder / "pkg" / "a.py"), 1)


def test_a_spec_says_that_its_module_is_made(dist):
    """
    The spec of a module in the making is asked by Python whether that is so; when it is made, it is not.
    """
    dist.go({"pkg/__init__.py": "MADE = not __spec__._initializing"})
    pkg = sys.modules["pkg"]

    assert not pkg.MADE
    pkg.__spec__.__class__ = _SpecInTheMaking
    assert not pkg.__spec__._initializing


def test_a_null_byte_is_named_with_file_and_line(dist):
    """
    Python does not say where a null byte stands; the error does.
    """
    dist.write({"pkg/__init__.py": "V = 1\nW = '\0'\n"})

    with pytest.raises(SyntaxError) as caught:
        dist.next().stage(["pkg"])

    assert (caught.value.filename, caught.value.lineno) == (str(dist.folder / "pkg" / "__init__.py"), 2)


def test_a_module_that_fails_only_now(dist):
    """
    What others imported of the old generation must work in the new one, or there is none.
    """
    dist.go({"pkg/__init__.py": "", "pkg/tool.py": "V = 1"})
    importlib.import_module("pkg.tool")
    dist.write({"pkg/tool.py": "import nowhere_at_all"})

    with pytest.raises(ModuleNotFoundError, match="nowhere_at_all"):
        dist.next().stage(["pkg"])

    assert sys.modules["pkg.tool"].V == 1


def test_what_was_tried_is_not_left(dist):
    """
    A submodule that worked before, and that the new package tries in vain, is nobody's under its key.
    """
    tries = "try:\n    from . import fast\nexcept ImportError:\n    fast = None"
    dist.go({"pkg/__init__.py": tries, "pkg/fast.py": "V = 1"})
    old = sys.modules["pkg"]
    dist.remove("pkg/fast.py")

    dist.go({"pkg/__init__.py": tries + "\n#"})

    assert sys.modules["pkg"].fast is None
    assert old.fast.V == 1
    assert "pkg.fast" not in sys.modules


def test_the_old_one_is_all_right_after_a_failed_successor(dist):
    """
    What old code imported while a successor was staged is to be found by all once that is given up.
    """
    dist.go(
        {
            "pkg/__init__.py": "def ask():\n    from . import later\n    return later.V",
            "pkg/later.py": "V = 1",
        }
    )
    dist.write({"pkg/later.py": "V = 2"})
    successor = dist.next()
    successor.stage(["pkg"])
    old = dist.now.modules["pkg"]
    assert sys.modules["pkg"] is not old

    assert old.ask() == 1
    assert "pkg.later" not in sys.modules
    successor.discard()

    assert sys.modules["pkg"] is old
    assert sys.modules["pkg.later"] is old.later


# -- shared namespaces -----------------------------------------------------------------------------


@pytest.fixture
def space(tmp_path, monkeypatch):
    """A namespace that two distributions share, and a third portion that is nobody's."""
    monkeypatch.syspath_prepend(str(tmp_path / "src"))
    monkeypatch.syspath_prepend(str(tmp_path / "free"))
    (tmp_path / "free" / "space" / "inner").mkdir(parents=True)
    (tmp_path / "free" / "space" / "free.py").write_text("V = 'free'")
    gen = acmes(tmp_path / "src")
    dist = next(gen)
    dist.territory.shared = frozenset({"space", "space.inner"})
    yield dist
    for _ in gen:
        pass
    for name in [name for name in sys.modules if name.partition(".")[0] == "space"]:
        del sys.modules[name]


SPACE = {
    "space/mine/__init__.py": """
        import space.mine.a
        from space import mine
        from space import free
        import space.free as free_again
        import space.inner.deep
        V = space.mine.a.V
        def all():
            import space.mine.a
            from space import mine
            return space.mine.a.V, mine.a.V, space.inner.deep.V, space.free.V
        def lazy():
            return space.mine.b.V
        def wrong():
            return space.nothing
        def broken():
            return space.mine.broken
    """,
    "space/mine/a.py": "V = 1",
    "space/mine/b.py": "V = 1",
    "space/inner/deep.py": "V = 1",
    "space/mine_broken.py": "import nowhere_at_all",
}


def test_a_shared_namespace_shows_each_generation_its_own(space):
    """
    What code reaches through a shared namespace is of its generation; others see what is published.
    """
    space.go(SPACE, entry=["space.mine"])
    old = sys.modules["space.mine"]
    real = sys.modules["space"]
    assert real.mine is old
    assert old.space.__path__ == real.__path__
    space.write(second_space := {name: text.replace("V = 1", "V = 2") for name, text in SPACE.items()})
    staged = space.next()
    staged.stage(["space.mine"])
    assert real.mine is old, "published too early"
    assert staged.modules["space.mine"].V == 2
    staged.discard()
    assert real.mine is old
    space.go(second_space, entry=["space.mine"])
    new = sys.modules["space.mine"]

    assert old.all() == (1, 1, 1, "free")
    assert new.all() == (2, 2, 2, "free")
    assert sys.modules["space"] is real
    assert real.mine is new
    assert real.inner.deep.V == 2
    assert new.free is new.free_again is sys.modules["space.free"]
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        new.wrong()


def test_a_shared_namespace_leads_to_what_was_not_imported_yet(space):
    """
    Own modules are reached through a namespace whether imported or not; what fails there says so.
    """
    space.go(
        {**SPACE, "space/extra.py": "V = 1", "space/bad.py": "import nowhere_at_all"}, entry=["space.mine"]
    )
    view = sys.modules["space.mine"].space

    assert view.extra.V == 1
    with pytest.raises(ModuleNotFoundError, match="nowhere_at_all"):
        view.bad  # noqa: B018
    assert space.now.import_module("space") is view
    assert space.now.import_module("space.free") is sys.modules["space.free"]
    owns = space.territory.owns
    space.territory.owns = lambda name: name == "space.phantom" or owns(name)
    with pytest.raises(AttributeError, match="has no attribute 'phantom'"):
        view.phantom  # noqa: B018


def test_the_end_of_a_portion(space):
    """
    When its last generation is retired, the shared namespace has none of its modules.
    """
    space.go(SPACE, entry=["space.mine"])
    real = sys.modules["space"]

    space.now.retire()

    assert not hasattr(real, "mine")
    assert not hasattr(real.inner, "deep")
    assert not [name for name in sys.modules if name.startswith("space.mine")]


def test_a_namespace_that_no_folder_on_the_path_has(dist):
    """
    Where nobody else can have a part of it, a namespace is the generation's own.
    """
    dist.territory.shared = frozenset({"lone"})
    dist.go({"lone/part/a.py": "V = 1", "lone/__main__.py": ""}, entry=["lone.part.a"])
    old = sys.modules["lone.part.a"]
    dist.go({"lone/part/a.py": "V = 2"}, entry=["lone.part.a"])

    assert (old.V, sys.modules["lone.part.a"].V) == (1, 2)
    assert sys.modules["lone"].__path__ == [str(dist.folder / "lone")]


def test_a_namespace_that_fails(space, tmp_path):
    """
    What somebody else's parent package raises is raised.
    """
    (tmp_path / "free" / "space" / "inner" / "__init__.py").write_text("import nowhere_at_all")

    with pytest.raises(ModuleNotFoundError, match="nowhere_at_all"):
        space.go(SPACE, entry=["space.inner.deep"])


# -- other distributions ---------------------------------------------------------------------------


@pytest.fixture
def base(tmp_path):
    yield from acmes(tmp_path / "base", "base")


def test_pinned_distributions(base, dist):
    """
    A generation keeps to the generation of another distribution that it saw first, and says that it uses it.
    """
    base.go({"base/__init__.py": "V = 1", "base/more.py": "V = 1"}, entry=["base"])
    ask = "import base\ndef more():\n    import base.more\n    return base.V, base.more.V"
    first = dist.go({"pkg/__init__.py": ask}, pinned={"base": base.now})
    old = sys.modules["pkg"]
    assert first.uses == {"base"}

    base.go({"base/__init__.py": "V = 2", "base/more.py": "V = 2"}, entry=["base"])
    dist.go({"pkg/__init__.py": ask + "\n#"}, pinned={"base": base.now})

    assert old.more() == (1, 1)
    assert sys.modules["pkg"].more() == (2, 2)


def test_pinned_to_one_that_is_only_staged(base, dist):
    """
    Two generations that are published together see one another before that.
    """
    base.go({"base.py": "V = 1"}, entry=["base"])
    base.write({"base.py": "V = 2"})
    staged = base.next()
    staged.stage(["base"])

    dist.write({"pkg/__init__.py": "from base import V"})
    generation = dist.next(pinned={"base": staged})
    generation.stage(["pkg"])

    assert generation.modules["pkg"].V == 2
    generation.discard()
    staged.discard()
    assert sys.modules["base"].V == 1


def test_what_is_not_used_is_not_pinned(base, dist):
    """
    A distribution that was never used may be reloaded alone: who uses it later gets what is there then.
    """
    base.go({"base.py": "V = 1"}, entry=["base"])
    first = base.now
    generation = dist.go(
        {"pkg/__init__.py": "def ask():\n    import base\n    return base.V"}, pinned={"base": first}
    )
    assert generation.uses == frozenset()

    base.go({"base.py": "V = 2"}, entry=["base"])
    first.retire()

    assert sys.modules["pkg"].ask() == 2
    assert generation.uses == {"base"}


def test_a_handle_holds_nothing(base, dist):
    """
    Who keeps the handle of a retired generation keeps neither its modules nor those that it was pinned to.
    """
    base.go({"base.py": "V = 1"}, entry=["base"])
    dist.go({"pkg/__init__.py": "import base"}, pinned={"base": base.now})
    watched = [weakref.ref(base.now.modules["base"]), weakref.ref(dist.now.modules["pkg"])]
    handles = [dist.now, base.now]

    for handle in handles:
        handle.retire(collect=True)

    assert [ref() for ref in watched] == [None, None]


def test_a_pinned_one_that_is_gone(base, dist):
    """
    What was uninstalled before it was used is not there.
    """
    base.go({"base.py": "V = 1"}, entry=["base"])
    dist.go({"pkg/__init__.py": "def ask():\n    import base"}, pinned={"base": base.now})
    base.end()

    with pytest.raises(ModuleNotFoundError, match="No module named 'base'"):
        sys.modules["pkg"].ask()


def test_others_that_import_while_it_is_staged(base, dist, tmp_path, monkeypatch):
    """
    A module of nobody's that is imported for the staged generation sees its modules, and the pinned ones.
    """
    base.go({"base/__init__.py": "", "base/later.py": "V = 1"}, entry=["base"])
    (tmp_path / "helper_of_pkg.py").write_text("import pkg.inner, base.later\nV = pkg.inner.V + base.later.V")
    monkeypatch.syspath_prepend(str(tmp_path))

    dist.go(
        {
            "pkg/__init__.py": "import base\nimport helper_of_pkg\nV = helper_of_pkg.V",
            "pkg/inner.py": "V = 1",
        },
        pinned={"base": base.now},
    )

    assert sys.modules.pop("helper_of_pkg").V == 2
    assert set(dist.now.modules) == {"pkg", "pkg.inner"}
    assert set(base.now.modules) == {"base", "base.later"}


def test_through_the_loader(dist):
    """
    The plugin loader imports with a generation's importer, and puts its errors in its own words.
    """
    from hotplug import Kind
    from hotplug._records import PluginRecord

    class Thing:
        @classmethod
        def _adopt(cls, target):
            return None

    dist.go({"pkg/__init__.py": "", "pkg/plug.py": "from acme_things import Thing\nclass Plug(Thing): ..."})
    sys.modules["acme_things"] = type(sys)("acme_things")
    sys.modules["acme_things"].Thing = Thing
    kind = Kind("things", Thing)
    record = PluginRecord("things", "hotplug.things", "one", "pkg.plug:Plug", "acme", "1.0")
    facts = {"key": "one", "limit": 20, "injectable": {}, "importer": dist.now.import_module}

    blueprint = prepare(kind, record, {}, **facts)

    assert type(blueprint.make({})) is dist.now.modules["pkg.plug"].Plug
    del sys.modules["acme_things"]
    wrong = PluginRecord("things", "hotplug.things", "one", "pkg.wrong:Plug", "acme", "1.0")
    with pytest.raises(PluginImportError, match=r"its module 'pkg.wrong' is not there"):
        prepare(kind, wrong, {}, **facts)


def test_a_territory_without_code(tmp_path):
    """
    Where a distribution owns no code, everything is imported as ever.
    """
    (tmp_path / "none").mkdir()
    generation = Generation(Folder(tmp_path / "none"), 1)

    generation.stage(["colorsys"])
    generation.publish()

    assert generation.import_module("colorsys") is sys.modules["colorsys"]
    assert (generation.modules, generation.sources.by_name) == ({}, {})
    generation.retire()
    assert "colorsys" in sys.modules
