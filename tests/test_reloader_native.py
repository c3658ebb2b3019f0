"""Extension modules: shared between generations while they are the same, refused when they are not."""

from __future__ import annotations

import importlib
import importlib.machinery
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from generations import acmes
from hotplug.errors import RestartRequired

pytestmark = pytest.mark.usefixtures("nothing_left")

SUFFIX = importlib.machinery.EXTENSION_SUFFIXES[0]
CODE = """
#include <Python.h>
static PyObject *answer(PyObject *self, PyObject *ignored) { return PyLong_FromLong(%d); }
static PyMethodDef methods[] = {{"answer", answer, METH_NOARGS, ""}, {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_speed", "", %s, methods, %s};
PyMODINIT_FUNC PyInit__speed(void) { return %s(&module); }
"""
FORMS = {
    "in two phases": "static PyModuleDef_Slot slots[] = {{0, NULL}};\n",
    "in one phase": "",
}


@pytest.fixture(scope="module", params=FORMS)
def built(request, tmp_path_factory):
    """Two builds of one extension module, that answer 1 and 2."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    include = Path(sysconfig.get_path("include"))
    if compiler is None or not (include / "Python.h").is_file():
        pytest.skip("no compiler for extension modules here")
    folder = tmp_path_factory.mktemp("native")
    two = request.param == "in two phases"
    files = []
    for number in (1, 2):
        source = folder / f"speed{number}.c"
        facts = (
            number,
            "0" if two else "-1",
            "slots" if two else "0",
            "PyModuleDef_Init" if two else "PyModule_Create",
        )
        text = CODE % facts
        source.write_text(text.replace("static struct", FORMS[request.param] + "static struct"))
        files.append(folder / f"speed{number}.so")
        run = [compiler, "-shared", "-fPIC", "-O0", f"-I{include}", str(source), "-o", str(files[-1])]
        subprocess.run(run, check=True, capture_output=True)
    return files


@pytest.fixture
def dist(tmp_path):
    yield from acmes(tmp_path / "src")


USING = {"pkg/__init__.py": "from ._speed import answer\nfrom . import _speed\nV = 1"}


def install(dist, file, name=f"pkg/_speed{SUFFIX}"):
    """As installers do it: a new file under the old name."""
    path = dist.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    shutil.copy(file, path)
    return path


def test_the_same_native_code_is_shared(dist, built):
    """
    As long as its bytes are the same, the loaded module serves all generations, wherever the file came from.
    """
    install(dist, built[0])
    dist.go(USING)
    old = sys.modules["pkg"]
    dist.go({"pkg/__init__.py": USING["pkg/__init__.py"] + "\n#"})
    install(dist, built[0])
    dist.go({"pkg/__init__.py": USING["pkg/__init__.py"] + "\n##"})
    new = sys.modules["pkg"]

    assert new is not old
    assert new._speed is old._speed is sys.modules["pkg._speed"]
    assert new.answer() == 1
    assert "_hotplug_making" not in vars(new._speed.__spec__)
    assert type(new._speed.__spec__) is importlib.machinery.ModuleSpec


def test_changed_native_code_needs_a_restart(dist, built):
    """
    What needs another native module is refused before anything runs, naming the file; the old one serves.
    """
    install(dist, built[0])
    dist.go(USING)
    path = install(dist, built[1])
    dist.write({"pkg/__init__.py": "import sys\nsys.pkg_ran = True"})
    generation = dist.next()
    assert generation.changed == {str(path), str(dist.folder / "pkg" / "__init__.py")}

    with pytest.raises(RestartRequired, match=r"_speed changed.*\(restart the application\)") as caught:
        generation.stage(["pkg"])

    assert caught.value.file == str(path)
    assert caught.value.reason == "restart required"
    assert not hasattr(sys, "pkg_ran")
    assert sys.modules["pkg"].answer() == 1
    install(dist, built[0])
    dist.go(USING)
    assert sys.modules["pkg"].answer() == 1


def test_native_code_in_another_file(dist, built):
    """
    A module that moved is the same if its bytes are; else a restart is needed as well.
    """
    path = install(dist, built[0])
    dist.go(USING)
    path.unlink()
    other = install(
        dist,
        built[0],
        "pkg/_speed.abi3.so" if ".abi3.so" in importlib.machinery.EXTENSION_SUFFIXES else "pkg/_speed.so",
    )
    dist.go({"pkg/__init__.py": USING["pkg/__init__.py"] + "\n#"})
    assert sys.modules["pkg"].answer() == 1
    other.unlink()
    shutil.copy(built[1], other)
    dist.write({"pkg/__init__.py": USING["pkg/__init__.py"] + "\n##"})

    with pytest.raises(RestartRequired):
        dist.next().stage(["pkg"])

    assert sys.modules["pkg"].answer() == 1


def test_native_code_that_is_not_used_any_more(dist, built):
    """
    A module that the new version does without may go, and what is left of it is not asked for.
    """
    path = install(dist, built[0])
    dist.go(USING)
    path.unlink()

    dist.go({"pkg/__init__.py": "V = 2"})

    assert sys.modules["pkg"].V == 2
    assert "pkg._speed" not in sys.modules


def test_native_code_is_remembered_for_the_whole_process(dist, built):
    """
    When a distribution was retired and another build of it comes, its native code is still the old one.
    """
    install(dist, built[0])
    dist.go(USING)
    dist.end()
    path = install(dist, built[1])

    with pytest.raises(RestartRequired) as caught:
        dist.go(USING)

    assert caught.value.file == str(path)
    install(dist, built[0])
    dist.go(USING)
    assert sys.modules["pkg"].answer() == 1


def test_adopted_native_code(dist, built, monkeypatch):
    """
    What was loaded before hotplug came counts as well.
    """
    install(dist, built[0])
    dist.write(USING)
    monkeypatch.syspath_prepend(str(dist.folder))
    native = importlib.import_module("pkg._speed")
    dist.go()
    install(dist, built[1])

    with pytest.raises(RestartRequired):
        dist.next().stage(["pkg"])

    assert sys.modules["pkg._speed"] is native


def test_native_code_of_others_file(dist, built):
    """
    A native module that stands under an own name, and whose file is gone, cannot be compared with any.
    """
    path = install(dist, built[0])
    dist.write(USING)
    sys.path.insert(0, str(dist.folder))
    try:
        importlib.import_module("pkg._speed")
    finally:
        sys.path.remove(str(dist.folder))
    path.unlink()

    dist.go()

    assert dist.next().changed == frozenset()


def test_native_code_that_fails_is_tried_again(dist, built):
    """
    A generation that fails after its native module was loaded leaves it for the next one.
    """
    install(dist, built[0])
    with pytest.raises(ZeroDivisionError):
        dist.go({"pkg/__init__.py": "from . import _speed\n1 / 0"})

    dist.go(USING)

    assert sys.modules["pkg"].answer() == 1
    assert Path(sys.modules["pkg._speed"].__file__).is_file()
