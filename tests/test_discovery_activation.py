"""What was installed editable after the process began can be imported, and no longer once that is undone."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import threading
import types
from pathlib import Path
from typing import ClassVar

import pytest

from discovering import GROUPS
from hotplug._discovery import _activation, activate, discover
from hotplug._records import PluginRecord
from linking import editables_redirector, setuptools_finder, write

pytestmark = pytest.mark.usefixtures("own_index", "interpreter")

ACME = {"hotplug.brokers": {"acme": "acme:Broker"}}


@pytest.fixture
def interpreter(monkeypatch):
    """The import machinery, as it was, is put back; nobody relies on anything before or after."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(sys, "path_hooks", list(sys.path_hooks))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    before = set(sys.modules)
    monkeypatch.setattr(_activation._Users, "of", {})
    yield
    for name in set(sys.modules) - before:
        if name.startswith(("acme_", "__editable__", "_editable_impl_", "editables")):
            del sys.modules[name]


@pytest.fixture
def redirector(monkeypatch):
    """A redirector as `editables` has it."""

    class RedirectingFinder:
        _redirections: ClassVar[dict[str, str]] = {}

        @classmethod
        def map_module(cls, name, path):
            cls._redirections[name] = path

        @classmethod
        def find_spec(cls, fullname, path=None, target=None):
            target = cls._redirections.get(fullname)
            return target and importlib.util.spec_from_file_location(fullname, target)

        @classmethod
        def install(cls):
            if cls not in sys.meta_path:
                sys.meta_path.append(cls)

    module = types.ModuleType("editables.redirector")
    module.RedirectingFinder = RedirectingFinder
    monkeypatch.setitem(sys.modules, "editables", types.ModuleType("editables"))
    monkeypatch.setitem(sys.modules, "editables.redirector", module)
    return RedirectingFinder


@pytest.fixture
def editable(environment):
    """Installs path files; the answer is the record."""

    def install(files, distribution="acme"):
        advertises = {"hotplug.brokers": {distribution: f"{distribution}:Broker"}}
        environment.install(distribution, "1.0", advertises=advertises, files=files)
        records = discover(GROUPS, environment.path).records
        return next(record for record in records if record.distribution == distribution)

    return install


@pytest.fixture
def source(tmp_path) -> Path:
    """A project's code."""
    return write(tmp_path / "src", {"acme_live/__init__.py": "HERE = 1\n", "acme_live/deep.py": ""})


def line(folder: Path, distribution: str = "acme") -> dict[str, str]:
    return {f"__editable__.{distribution}-1.0.pth": f"{folder}\n"}


def is_importable(name: str) -> bool:
    """Whether a fresh import of *name* would find it."""
    importlib.invalidate_caches()
    return importlib.util.find_spec(name) is not None


STYLES = ["path line", "setuptools", "setuptools with namespaces", "editables"]


@pytest.fixture(params=STYLES)
def style(request, source):
    """The path files of each style that is known."""
    request.getfixturevalue("redirector")
    return {
        "path line": lambda: line(source),
        "setuptools": lambda: setuptools_finder("acme", {"acme_live": source / "acme_live"}),
        "setuptools with namespaces": lambda: setuptools_finder(
            "acme", {"acme_live": source / "acme_live"}, {"acme_space": [source / "acme_space"]}
        ),
        "editables": lambda: editables_redirector(
            "acme", {"acme_live": source / "acme_live" / "__init__.py"}
        ),
    }[request.param]()


def machinery() -> tuple[object, ...]:
    return [*sys.path], [*sys.meta_path], [*sys.path_hooks]


# -- doing and undoing --------------------------------------------------------------------------------


def test_importable_and_no_longer(editable, style):
    """
    Whatever the style, the code can be imported after the activation, and not after its undoing.
    """
    before = machinery()
    undo = activate(editable(style))
    during = is_importable("acme_live")
    undo()

    assert (undo.problems, during) == ((), True)
    assert not is_importable("acme_live")
    assert machinery() == before
    assert not [name for name in sys.modules if name.startswith(("__editable__", "_editable_impl_"))]


def test_undone_once(editable, style):
    """
    An undo undoes its own activation, once, and no newer one.
    """
    record = editable(style)
    first = activate(record)
    first()
    second = activate(record)
    first()
    during = is_importable("acme_live")
    second()

    assert during
    assert not is_importable("acme_live")


def test_twice_is_as_good_as_once(editable, style):
    """
    A second activation adds nothing; the code stays importable until both are undone.
    """
    record = editable(style)
    before = machinery()
    undos = [activate(record)]
    once = machinery()
    undos.append(activate(record))
    twice = machinery()
    undos[0]()
    during = is_importable("acme_live")
    undos[1]()

    assert once == twice
    assert during
    assert machinery() == before


def test_what_the_start_added_is_undone(editable, style, environment):
    """
    What the interpreter did with the path files when it started is undone as well.
    """
    import site

    record = editable(style)
    before = machinery()
    for file in style:
        if file.endswith(".pth"):
            site.addpackage(str(environment.folder), file, set())
    started = machinery()
    undo = activate(record)
    activated = machinery()
    undo()

    assert started == activated != before
    assert not is_importable("acme_live")
    assert machinery() == before


def test_changed_mapping(editable, style, tmp_path, environment):
    """
    Installed again with other targets, the same version is imported from where it is now.
    """
    first = activate(editable(style))
    other = write(tmp_path / "elsewhere", {"acme_live/__init__.py": ""})
    moved = {name: text.replace(str(tmp_path / "src"), str(other)) for name, text in style.items()}
    record = editable(moved)
    first()
    second = activate(record)
    found = importlib.util.find_spec("acme_live").origin
    second()

    assert found == str(other / "acme_live" / "__init__.py")
    assert not is_importable("acme_live")


def test_changed_mapping_before_the_old_one_is_undone(editable, source, tmp_path):
    """
    A finder of the same name with another mapping replaces the old one, and survives its undoing.
    """
    first = activate(editable(setuptools_finder("acme", {"acme_live": source / "acme_live"})))
    other = write(tmp_path / "elsewhere", {"acme_live/__init__.py": ""})
    second = activate(editable(setuptools_finder("acme", {"acme_live": other / "acme_live"})))
    first()
    found = importlib.util.find_spec("acme_live").origin
    second()

    assert found == str(other / "acme_live" / "__init__.py")
    assert not is_importable("acme_live")


def test_another_mapping_of_the_redirector_stays(editable, redirector, source, tmp_path):
    """
    What somebody else mapped since under the same name is not taken out.
    """
    target = source / "acme_live" / "__init__.py"
    undo = activate(editable(editables_redirector("acme", {"acme_live": target})))
    redirector.map_module("acme_live", "elsewhere")
    undo()

    assert redirector._redirections == {"acme_live": "elsewhere"}


# -- who else wants it --------------------------------------------------------------------------------


def test_a_folder_that_another_activation_needs(editable, environment, source):
    """
    A folder that two distributions share stays on the path until both are gone.
    """
    first = activate(editable(line(source)))
    second = activate(editable(line(source, "other"), "other"))
    count = sys.path.count(str(source))
    first()
    kept = str(source) in sys.path
    (environment.folder / "__editable__.acme-1.0.pth").unlink()
    second()

    assert (count, kept, str(source) in sys.path) == (1, True, False)


def test_a_folder_that_another_path_file_names(editable, environment, source):
    """
    A folder that the path file of somebody else beside names, too, stays on the path.
    """
    undo = activate(editable(line(source)))
    (environment.folder / "others.pth").write_text(f"{source}{os.sep}\n")
    undo()

    assert str(source) in sys.path


@pytest.mark.parametrize("who", ["PYTHONPATH", "the script's folder"])
def test_a_folder_that_the_process_began_with(editable, source, monkeypatch, who):
    """
    A folder that was on the path because of how the process was started stays there.
    """
    if who == "PYTHONPATH":
        monkeypatch.setenv("PYTHONPATH", f"{os.pathsep}{source}")
        sys.path.insert(1, str(source))
    else:
        sys.path.insert(0, str(source))
    before = list(sys.path)
    activate(editable(line(source)))()

    assert sys.path == before


def test_the_site_folder_is_gone(editable, environment, source):
    """
    Where the whole site folder is gone, nobody else asks for anything.
    """
    import shutil

    undo = activate(editable(line(source)))
    shutil.rmtree(environment.folder)
    undo()

    assert str(source) not in sys.path


def test_other_spellings_are_the_same_folder(editable, source):
    """
    A folder that is on the path in another spelling is not added, and is taken out.
    """
    sys.path.append(f"{source}{os.sep}.")
    undo = activate(editable(line(source)))
    added = str(source) in sys.path
    undo()

    assert not added
    assert f"{source}{os.sep}." not in sys.path


def test_what_is_no_text_on_the_path(editable, source):
    """
    Strange things on the path are left where they are.
    """
    sys.path.append(None)
    activate(editable(line(source)))()

    assert sys.path[-1] is None


# -- what is refused ----------------------------------------------------------------------------------


def test_other_code_is_refused(editable, source):
    """
    Code that nobody knows is not run; the line is named, and path lines beside it count.
    """
    text = f"import sys; sys.hotplug_was_here = True\n{source}\n"
    undo = activate(editable({"__editable__.acme-1.0.pth": text}))

    [problem] = undo.problems
    assert (problem.line, problem.distribution) == (1, "acme")
    assert problem.path.endswith("__editable__.acme-1.0.pth")
    assert problem.reason.startswith("runs code that is not run here: 'import sys;")
    assert not hasattr(sys, "hotplug_was_here")
    assert is_importable("acme_live")


@pytest.mark.parametrize("what", ["raise RuntimeError('no')", "raise SystemExit(3)", "del install"])
def test_a_finder_that_raises(editable, source, what):
    """
    A finder that cannot be run is a problem, and leaves nothing behind.
    """
    files = setuptools_finder("acme", {"acme_live": source / "acme_live"})
    files["__editable___acme_1_0_finder.py"] += f"\n\n{what}\n"
    before = machinery()
    undo = activate(editable(files))

    [problem] = undo.problems
    assert problem.reason.startswith("raised ")
    assert machinery() == before
    assert "__editable___acme_1_0_finder" not in sys.modules
    undo()


def test_editables_is_not_there(editable, source, monkeypatch):
    """
    Where `editables` is not installed, that is the problem.
    """
    monkeypatch.setitem(sys.modules, "editables", None)
    record = editable(editables_redirector("acme", {"acme_live": source / "acme_live" / "__init__.py"}))

    [problem] = activate(record).problems

    assert "editables" in problem.reason


def test_a_finder_of_another_process_is_not_believed(editable, source, environment):
    """
    Stale bytecode beside the finder is not run: exactly the text that was read is.
    """
    import py_compile

    files = setuptools_finder("acme", {"acme_live": source / "acme_live"})
    record = editable(files)
    path = environment.folder / "__editable___acme_1_0_finder.py"
    text = path.read_text()
    path.write_text("raise RuntimeError('stale')\n")
    py_compile.compile(str(path), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    path.write_text(text)

    assert activate(record).problems == ()
    assert is_importable("acme_live")


def test_folders_that_are_not_there(editable, tmp_path):
    """
    A path line without a folder adds nothing, as at the interpreter's start.
    """
    before = machinery()
    activate(editable(line(tmp_path / "nowhere")))

    assert machinery() == before


@pytest.mark.parametrize("sort", ["installed", "egg", "no RECORD"])
def test_nothing_to_do(environment, source, sort):
    """
    What is not editable, or has no RECORD, is left as it is.
    """
    info = environment.install("acme", "1.0", files=line(source), record=sort != "no RECORD")
    path = str(info) if sort != "egg" else str(environment.folder / "acme.egg-info")
    record = PluginRecord("brokers", "", "acme", "acme:B", "acme", "1.0", path, editable=sort != "installed")
    before = machinery()
    undo = activate(record)

    assert machinery() == before
    undo()


# -- together -----------------------------------------------------------------------------------------


def test_from_many_threads(editable, source, eager_threads):
    """
    Activated and undone from many threads at once, nothing is left and nothing missing.
    """
    record = editable(line(source))
    before = machinery()
    missing = []

    def work() -> None:
        for _ in range(20):
            undo = activate(record)
            if str(source) not in sys.path:
                missing.append(1)
            undo()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (missing, machinery()) == ([], before)
    assert _activation._Users.of == {}


RUNNING = """\
import importlib, site, sys
site.addsitedir(sys.argv[1])
sys.path.insert(0, sys.argv[2])
from hotplug._discovery import activate, discover
[record] = discover({"hotplug.brokers": "brokers"}, [sys.argv[1]], cache=False).records
undo = activate(record)
import acme_live
del sys.modules["acme_live"]
undo()
try:
    import acme_live
except ImportError:
    print("gone")
"""


def test_in_a_process_that_started_with_it(editable, style, environment):
    """
    A process that began with the editable installation forgets it when it is uninstalled.
    """
    if "_editable_impl_acme.py" in style:
        write(environment.folder / "editables", {"__init__.py": "", "redirector.py": REDIRECTOR})
    editable(style)
    import hotplug

    place = str(Path(hotplug.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-I", "-c", RUNNING, str(environment.folder), place],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stdout, done.stderr) == ("gone\n", "")


REDIRECTOR = """\
import importlib.util, sys

class RedirectingFinder:
    _redirections = {}

    @classmethod
    def map_module(cls, name, path):
        cls._redirections[name] = path

    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        found = cls._redirections.get(fullname)
        return found and importlib.util.spec_from_file_location(fullname, found)

    @classmethod
    def install(cls):
        if cls not in sys.meta_path:
            sys.meta_path.append(cls)
"""
