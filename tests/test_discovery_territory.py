"""Which code belongs to a distribution, and where Python would load each of its modules from."""

from __future__ import annotations

import importlib.machinery
import os
import sys
from pathlib import Path

import pytest

from discovering import GROUPS
from hotplug._discovery import _territory, discover, territory
from hotplug._records import PluginRecord
from linking import as_python_finds, editables_redirector, setuptools_finder, write

pytestmark = pytest.mark.usefixtures("own_index")

ACME = {"hotplug.brokers": {"acme": "acme:Broker"}}
EXTENSION = importlib.machinery.EXTENSION_SUFFIXES[0]
PACKAGE = {"acme/__init__.py": "", "acme/one.py": "", "acme/deep/__init__.py": "", "acme/deep/two.py": ""}


@pytest.fixture
def record_of(environment):
    """The record that discovery finds for a distribution."""

    def find(distribution: str = "acme") -> PluginRecord:
        records = discover(GROUPS, environment.path).records
        return next(record for record in records if record.distribution == distribution)

    return find


@pytest.fixture
def installed(environment, record_of):
    """Installs *files* as they are; the answer is the territory."""

    def install(files, advertises=ACME, distribution="acme"):
        environment.install(distribution, "1.0", advertises=advertises, files=files)
        return territory(record_of(distribution))

    return install


@pytest.fixture
def editable(environment, record_of):
    """Installs path files, so that the project is editable; the answer is the territory."""

    def install(files, advertises=ACME, distribution="acme"):
        environment.install(distribution, "1.0", advertises=advertises, files=files)
        record = record_of(distribution)
        assert record.editable
        return territory(record)

    return install


@pytest.fixture
def plain(environment, record_of):
    """Puts a dist-info without RECORD and INSTALLER beside *files*; the answer is the territory."""

    def put(files, advertises=ACME, distribution="acme", **texts):
        info = environment.install(distribution, "1.0", advertises=advertises, record=False)
        (info / "INSTALLER").unlink()
        write(environment.folder, files)
        for name, text in texts.items():
            (info / f"{name}.txt").write_text(text)
        return territory(record_of(distribution))

    return put


def line(folder: Path, distribution: str = "acme") -> dict[str, str]:
    return {f"__editable__.{distribution}-1.0.pth": f"{folder}\n"}


def inside(folder: Path, paths) -> list[str]:
    return sorted(os.path.relpath(path, folder).replace(os.sep, "/") for path in paths)


def assert_as_python(site: Path, ground, names) -> None:
    """Every module is where a fresh interpreter finds it."""
    expected = as_python_finds(site, names)
    found = {}
    for name in names:
        place = ground.find(name)
        found[name] = None if place is None else place.path or list(place.search)
    assert found == expected


# -- installed ----------------------------------------------------------------------------------------


def test_installed_package(environment, installed):
    """
    An installed distribution owns the packages in RECORD, with all that is below them.
    """
    ground = installed(PACKAGE)

    assert (ground.distribution, ground.sort) == ("acme", "installed")
    assert inside(environment.folder, ground.roots) == ["acme"]
    assert list(ground.sources()) == ["acme", "acme.deep", "acme.deep.two", "acme.one"]
    assert ground.owns("acme")
    assert ground.owns("acme.deep.nothing")
    assert not ground.owns("acme_too")
    assert not ground.owns("os")


def test_installed_as_python_finds_it(environment, installed):
    """
    Packages and modules, sources and extensions, and what hides what: all as the importer sees it.
    """
    ground = installed(
        PACKAGE
        | {
            "acme/both.py": "",
            "acme/both/__init__.py": "",
            "acme/module.py": "",
            "acme/module/inner.py": "",
            f"acme/fast{EXTENSION}": b"",
            "acme/fast.py": "",
            "acme/data/rows.py": "",
            "single.py": "",
            f"quick{EXTENSION}": b"",
            f"native/__init__{EXTENSION}": b"",
            "native/part.py": "",
            "frozen.pyc": b"",
        }
    )
    names = ["acme", "acme.one", "acme.deep.two", "acme.both", "acme.module", "acme.fast", "acme.data"]
    names += ["acme.data.rows", "acme.nothing", "single", "quick", "native", "frozen", "other"]

    assert_as_python(environment.folder, ground, names)
    assert ground.find("acme.module.inner") is None
    assert {name: place.path or list(place.search) for name, place in ground.modules().items()} == {
        name: where
        for name, where in as_python_finds(environment.folder, [*names, "acme.deep"]).items()
        if where is not None
    } | {"native.part": str(environment.folder / "native" / "part.py")}
    assert "acme.fast" not in ground.sources()
    assert ground.find("acme.fast").sort == "extension"
    assert [ground.find(name).is_package for name in ("acme", "acme.data", "acme.one")] == [True, True, False]
    assert ground.find("frozen").sort == "bytecode"


def test_several_tops(environment, installed):
    """
    Packages and single modules side by side are all watched; modules by their file.
    """
    ground = installed(PACKAGE | {"single.py": "", "other/__init__.py": "", "other/x.py": ""})

    assert inside(environment.folder, ground.roots) == ["acme", "other", "single.py"]


def test_installed_namespace_is_shared(environment, installed, record_of):
    """
    Of a namespace that two distributions share, each owns what is its own, and nobody the namespace.
    """
    first = installed({"acme/first/__init__.py": "", "acme/alone.py": "", "acme/sub/deep/x.py": ""})
    second = installed(
        {"acme/second/__init__.py": "", "acme/sub/y.py": ""},
        {"hotplug.brokers": {"second": "acme.second:B"}},
        "second",
    )

    assert list(first.sources()) == ["acme.first", "acme.alone", "acme.sub.deep.x"]
    assert list(second.sources()) == ["acme.second", "acme.sub.y"]
    assert inside(environment.folder, first.roots) == ["acme/alone.py", "acme/first", "acme/sub/deep/x.py"]
    for name in ("acme", "acme.sub", "acme.second", "acme.second.x", "acme.sub.y", "acme.nothing"):
        assert not first.owns(name), name
    assert_as_python(environment.folder, first, ["acme", "acme.first", "acme.alone", "acme.sub.deep.x"])
    assert first.find("acme.second") is None


@pytest.mark.parametrize(
    "text",
    [
        "__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n",
        "__import__('pkg_resources').declare_namespace(__name__)\n",
    ],
)
def test_namespaces_of_the_old_kind(installed, text):
    """
    A package that says others may add to it is shared, though it has an `__init__`.
    """
    ground = installed({"acme/__init__.py": text, "acme/first/__init__.py": "", "acme/single.py": ""})

    assert not ground.owns("acme")
    assert list(ground.sources()) == ["acme.first", "acme.single"]


def test_data_only(installed):
    """
    A distribution without modules has no code to watch, and owns nothing.
    """
    ground = installed({"share/data.txt": "", "not-a-name/x.py": "", "acme.data.txt": ""})

    assert (ground.roots, ground.modules()) == ((), {})
    assert not ground.owns("share")


def test_what_is_listed_and_no_module(environment, installed):
    """
    Scripts elsewhere, bytecode, path files and a stray `__init__` in the site folder are no modules.
    """
    ground = installed(
        PACKAGE
        | {"acme/__pycache__/one.cpython-311.pyc": "", "__init__.py": "", "acme-nspkg.pth": "import os\n"}
    )
    info = Path(discover(GROUPS, environment.path).records[0].path)
    with (info / "RECORD").open("a") as file:
        file.write("../elsewhere/x.py,,\n/absolute/y.py,,\n")
    again = territory(PluginRecord("brokers", "", "", "", "acme", "1.0", str(info)))

    assert (
        list(ground.sources()) == list(again.sources()) == ["acme", "acme.deep", "acme.deep.two", "acme.one"]
    )


def test_what_appears_later_is_found(environment, installed):
    """
    A module that is put into a package after the territory was taken is found.
    """
    ground = installed(PACKAGE)
    write(environment.folder, {"acme/new.py": "", "acme/newer/x.py": ""})

    assert ground.find("acme.new").path == str(environment.folder / "acme" / "new.py")
    assert {"acme.new", "acme.newer.x"} <= ground.sources().keys()


def test_what_is_listed_and_gone(environment, installed):
    """
    A module that RECORD lists and nobody has any more is owned, and not found.
    """
    ground = installed({"acme.py": "", "other.py": ""})
    (environment.folder / "acme.py").unlink()

    assert ground.owns("acme")
    assert ground.find("acme") is None
    assert list(ground.sources()) == ["other"]


def test_the_standard_library_comes_first(installed):
    """
    A module with the name of one of Python's own is never found: Python's is.
    """
    ground = installed({"acme.py": "", "json/__init__.py": "", "typing.py": ""})

    assert list(ground.modules()) == ["acme"]
    assert not ground.owns("json")
    assert ground.find("typing") is None


def test_odd_folders_are_no_packages(environment, installed):
    """
    Environments, caches, links in circles, hidden folders and impossible names are not walked into.
    """
    files = PACKAGE | {"acme/venv/pyvenv.cfg": "", "acme/venv/x.py": "", "acme/node_modules/y.py": ""}
    ground = installed(files | {"acme/.hidden/z.py": "", "acme/no-name/z.py": "", "acme/no-name.py": ""})
    (environment.folder / "acme" / "loop").symlink_to(environment.folder / "acme")
    (environment.folder / "acme" / "deep" / "up").symlink_to(environment.folder)
    (environment.folder / "acme" / "broken.py").symlink_to(environment.folder / "nowhere")
    os.mkfifo(environment.folder / "acme" / "pipe.py")

    assert list(ground.sources()) == ["acme", "acme.deep", "acme.deep.two", "acme.loop", "acme.one"]


def test_links_in_two_circles(environment, installed):
    """
    Two packages that link to each other are walked once each.
    """
    ground = installed({"acme/__init__.py": "", "acme/x.py": ""})
    write(environment.folder.parent / "other", {"__init__.py": "", "y.py": ""})
    (environment.folder / "acme" / "out").symlink_to(environment.folder.parent / "other")
    (environment.folder.parent / "other" / "back").symlink_to(environment.folder / "acme")

    assert list(ground.sources()) == ["acme", "acme.out", "acme.out.back", "acme.out.y", "acme.x"]


def test_an_environment_beside_the_code(editable, tmp_path):
    """
    A virtual environment beside the code is nobody's package.
    """
    source = write(tmp_path / "src", PACKAGE | {"env/pyvenv.cfg": "", "env/lib/x.py": ""})
    ground = editable(line(source))

    assert inside(source, ground.roots) == ["acme"]
    assert not ground.owns("env.lib.x")


# -- editable -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["__editable__.acme-1.0.pth", "_editable_impl_acme.pth"])
def test_source_layout(environment, editable, tmp_path, file):
    """
    A path line owns what lies in its folder: packages, modules and namespaces; their folders are watched.
    """
    files = {"acme/__init__.py": "", "acme/one.py": "", "helper.py": "", "space/part/__init__.py": ""}
    source = write(tmp_path / "project" / "src", files | {"acme.egg-info/PKG-INFO": ""})
    ground = editable({file: f"\ufeff# a comment\n\n{source}\n"})

    assert ground.sort == "editable"
    assert inside(source, ground.roots) == ["acme", "helper.py", "space"]
    assert list(ground.sources()) == ["acme", "acme.one", "helper", "space.part"]
    assert [name for name in ("acme", "acme.x", "helper", "space.part.x") if not ground.owns(name)] == []
    assert [name for name in ("space", "space.other", "other", "sys") if ground.owns(name)] == []
    names = ["acme", "acme.one", "acme.x", "helper", "space", "space.part", "other"]
    assert_as_python(environment.folder, ground, names)


def test_source_layout_later(editable, tmp_path, tick):
    """
    A package, a module and a namespace that appear later belong to it at once, and vanish with their files.
    """
    source = write(tmp_path / "src", {"acme/__init__.py": ""})
    ground = editable(line(source))
    assert not ground.owns("helper")
    write(source, {"helper/__init__.py": "", "single.py": "", "space/x.py": ""})
    seen = [ground.owns(name) for name in ("helper", "single", "space", "space.x")]
    tick()
    (source / "single.py").unlink()

    assert seen == [True, True, False, True]
    assert not ground.owns("single")


def test_an_old_folder_is_not_listed_each_time(editable, tmp_path, monkeypatch):
    """
    Whether a name is in the folder is asked of its stamp, as soon as that can be trusted.
    """
    import time
    from types import SimpleNamespace

    from hotplug._discovery import _grounds

    ground = editable(line(write(tmp_path / "src", {"acme/__init__.py": ""})))
    monkeypatch.setattr(_grounds, "time", SimpleNamespace(time_ns=lambda: time.time_ns() + 3_600_000_000_000))
    assert not ground.owns("numpy")
    monkeypatch.setattr(_grounds, "Listing", lambda folder: pytest.fail("it was listed again"))

    assert not ground.owns("numpy")
    assert ground.owns("acme.x")


def test_an_old_folder_is_listed_when_it_changed(editable, tmp_path, monkeypatch, tick):
    """
    What appears in a folder whose stamp was trusted is seen all the same.
    """
    import time
    from types import SimpleNamespace

    from hotplug._discovery import _grounds

    source = write(tmp_path / "src", {"acme/__init__.py": ""})
    ground = editable(line(source))
    monkeypatch.setattr(_grounds, "time", SimpleNamespace(time_ns=lambda: time.time_ns() + 3_600_000_000_000))
    before = ground.owns("helper")
    tick()
    write(source, {"helper.py": ""})

    assert (before, ground.owns("helper")) == (False, True)


def test_a_young_folder_is_not_trusted(editable, tmp_path, monkeypatch):
    """
    While its stamp is young a folder is listed each time: on a coarse clock a change leaves it equal.
    """
    from hotplug._discovery import _grounds

    source = write(tmp_path / "src", {"acme/__init__.py": ""})
    ground = editable(line(source))
    stamp = _grounds.look(str(source))
    monkeypatch.setattr(_grounds, "look", lambda path: stamp)
    before = ground.owns("helper")
    write(source, {"helper.py": ""})

    assert (before, ground.owns("helper")) == (False, True)


@pytest.mark.parametrize("mark", ["pyproject.toml", "setup.py", ".git/HEAD"])
def test_flat_layout(editable, tmp_path, mark):
    """
    Of a project's own folder only packages and modules count: no tests, tools, environments and data.
    """
    files = {mark: "", "acme/__init__.py": "", "helper.py": "", "tests/__init__.py": "", "setup.py": ""}
    files |= {
        ".venv/pyvenv.cfg": "",
        ".venv/x.py": "",
        "assets/x.py": "",
        "docs/conf.py": "",
        "conftest.py": "",
    }
    project = write(tmp_path / "project", files)
    ground = editable(line(project))

    assert inside(project, ground.roots) == ["acme", "helper.py"]
    assert list(ground.sources()) == ["acme", "helper"]
    assert not ground.owns("tests")
    assert not ground.owns("assets.x")


def test_flat_layout_what_is_named_counts(editable, tmp_path):
    """
    What an entry point names belongs to it, though it is called tools, or is a namespace.
    """
    files = {"pyproject.toml": "", "tools/__init__.py": "", "space/part/__init__.py": ""}
    project = write(tmp_path / "project", files)
    ground = editable(line(project), {"hotplug.tools": {"a": "tools:a", "b": "space.part:b"}})

    assert inside(project, ground.roots) == ["space/part", "tools"]
    assert list(ground.sources()) == ["space.part", "tools"]


def test_never_a_site_folder(environment, editable, tmp_path):
    """
    A path line that leads to a site folder opens nothing.
    """
    other = write(tmp_path / "site-packages", {"other/__init__.py": ""})
    ground = editable({"__editable__.acme-1.0.pth": f".\n{other}\n"})
    write(environment.folder, {"stranger/__init__.py": ""})

    assert ground.roots == ()
    assert not ground.owns("other")
    assert not ground.owns("stranger")


def test_relative_lines(environment, editable):
    """
    A relative path line starts from the site folder.
    """
    source = write(environment.folder.parent / "beside", {"acme/__init__.py": ""})
    ground = editable({"__editable__.acme-1.0.pth": "../beside\n"})

    assert ground.roots == (str(source / "acme"),)


def test_setuptools_finder(environment, editable, tmp_path):
    """
    The mapping of setuptools' finder says what belongs to it, and nothing of it is run.
    """
    files = {"acme/__init__.py": "", "acme/one.py": "", "single.py": "", "tests/__init__.py": ""}
    project = write(tmp_path / "project", files)
    finder = setuptools_finder("acme", {"acme": project / "acme", "single": project / "single"})
    finder["__editable___acme_1_0_finder.py"] += "\nassert not hasattr(sys, 'hotplug_was_here')\n"
    ground = editable(finder)

    assert inside(project, ground.roots) == ["acme", "single.py"]
    assert list(ground.sources()) == ["acme", "acme.one", "single"]
    assert not ground.owns("tests")
    assert_as_python(environment.folder, ground, ["acme", "acme.one", "acme.x", "single", "tests"])


def test_setuptools_finder_for_a_package_in_two_places(environment, editable, tmp_path):
    """
    A part of a package that is mapped elsewhere is the one from there, with all that is in it.
    """
    project = write(
        tmp_path, {"a/__init__.py": "", "a/b/__init__.py": "", "a/b/c.py": "", "b/__init__.py": ""}
    )
    ground = editable(setuptools_finder("acme", {"a": project / "a", "a.b": project / "b"}))

    assert ground.sources() == {
        "a": str(project / "a" / "__init__.py"),
        "a.b": str(project / "b" / "__init__.py"),
    }
    assert ground.find("a.b.c") is None


def test_setuptools_finder_with_namespaces(environment, editable, tmp_path):
    """
    Namespaces of setuptools' finder are shared; what lies in the project's part is its own.
    """
    project = write(
        tmp_path / "project", {"space/part/__init__.py": "", "space/x.py": "", "far/away/y.py": ""}
    )
    ground = editable(
        setuptools_finder(
            "acme",
            {"space.part": project / "space" / "part", "far": project / "far"},
            {"space": [project / "space"], "far": []},
        )
    )

    assert inside(project, ground.roots) == ["far", "space"]
    assert [name for name in ("space", "far", "far.away", "space.nothing") if ground.owns(name)] == []
    assert [
        name for name in ("space.part", "space.part.no", "space.x", "far.away.y") if not ground.owns(name)
    ] == []
    assert sorted(ground.sources()) == ["far.away.y", "space.part", "space.x"]
    assert_as_python(environment.folder, ground, ["space", "space.part", "far.away.y"])


@pytest.mark.parametrize("target", ["acme/__init__.py", "acme.py"])
def test_editables_redirector(editable, tmp_path, target):
    """
    What hatchling maps with `editables` belongs to it.
    """
    source = write(tmp_path / "src", {target: ""})
    ground = editable(editables_redirector("acme", {"acme": source / target}))

    assert ground.sources() == {"acme": str(source / target)}
    assert ground.roots == (str(source / "acme"),) if "/" in target else (str(source / "acme.py"),)
    assert (ground.find("acme").search != ()) == ("/" in target)


@pytest.mark.parametrize("kind", ["files", "folders"])
def test_link_tree(editable, tmp_path, kind):
    """
    Where an installation is a tree of links, the folders that they lead to are watched as well.
    """
    source = write(tmp_path / "project" / "src", PACKAGE | {"single.py": ""})
    tree = tmp_path / "project" / "build" / "__editable__.acme-1.0-py3-none-any"
    for name in [*PACKAGE, "single.py"] if kind == "files" else ["acme", "single.py"]:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).symlink_to(source / name)
    ground = editable(line(tree))

    assert sorted(ground.roots) == sorted(
        str(folder / name) for folder in (source, tree) for name in ("acme", "single.py")
    )
    assert list(ground.sources()) == ["acme", "acme.deep", "acme.deep.two", "acme.one", "single"]


def test_linked_from_somewhere_else(editable, tmp_path):
    """
    A single file that a package links from a folder of another kind is watched as a file.
    """
    write(tmp_path / "shared", {"common.py": "", "data/x.py": ""})
    source = write(
        tmp_path / "src", {"acme/__init__.py": "", "acme/inner/__init__.py": "", "acme/readme": ""}
    )
    (source / "acme" / "common.py").symlink_to(tmp_path / "shared" / "common.py")
    (source / "acme" / "inner" / "data").symlink_to(tmp_path / "shared" / "data")
    (source / "acme" / "notes").symlink_to(source / "acme" / "readme")
    ground = editable(line(source))

    assert inside(tmp_path, ground.roots) == ["shared/common.py", "shared/data", "src/acme"]


def test_two_editables_of_one_project(environment, editable, tmp_path):
    """
    Two work trees of one project, installed in two places, are two territories.
    """
    from hotplug.testing import Environment

    trees = [write(tmp_path / name / "src", {"acme/__init__.py": ""}) for name in ("main", "other")]
    other = Environment(tmp_path / "site2")
    info = other.install("acme", "1.0", advertises=ACME, files=line(trees[1]))
    first = editable(line(trees[0]))
    second = territory(PluginRecord("brokers", "", "acme", "acme:B", "acme", "1.0", str(info), editable=True))

    assert [first.roots, second.roots] == [(str(tree / "acme"),) for tree in trees]
    assert [ground.find("acme").path for ground in (first, second)] == [
        str(tree / "acme" / "__init__.py") for tree in trees
    ]


def test_site_folder_before_path_lines(environment, editable, tmp_path):
    """
    A module that an editable installation puts into the site folder hides one that a path line offers.
    """
    source = write(tmp_path / "src", {"acme/__init__.py": "", "mixed.py": ""})
    ground = editable({**line(source), "mixed.py": ""})

    assert ground.find("mixed").path == str(environment.folder / "mixed.py")
    assert ground.sources()["mixed"] == str(environment.folder / "mixed.py")
    assert "acme" in ground.sources()


def test_a_module_in_the_site_folder_hides_a_package(environment, editable, tmp_path):
    """
    What is in a package that is hidden by a module in the site folder is not there.
    """
    source = write(tmp_path / "src", {"mixed/__init__.py": "", "mixed/x.py": ""})
    ground = editable({**line(source), "mixed.py": ""})

    assert ground.sources() == {"mixed": str(environment.folder / "mixed.py")}
    assert ground.find("mixed.x") is None


UNKNOWN = {
    "other code": ("import os; os.getcwd()", ""),
    "no such module": ("import _acme_editable", None),
    "a loader of its own": ("import _acme_editable", "import sys\nsys.meta_path.append(1)\n"),
    "almost editables": (
        "import _acme_editable",
        "from editables.redirector import RedirectingFinder as F\nF.map_module('strange', 'x')\nprint()\n",
    ),
    "editables, nothing mapped": (
        "import _acme_editable",
        "from editables.redirector import RedirectingFinder as F\nF.install()\n",
    ),
    "nothing": ("import _acme_editable", ""),
    "no Python": ("import _acme_editable", "def :\n"),
    "a finder without a mapping": ("import {finder}; {finder}.install()", "MAPPING = dict(acme='x')\n"),
    "a finder with a list": ("import {finder}; {finder}.install()", "MAPPING = ['acme']\n"),
    "a finder with odd namespaces": (
        "import {finder}; {finder}.install()",
        "MAPPING: dict = {}\nNAMESPACES = {'a': 1}\nother: int\nx.y = 1\n",
    ),
}


@pytest.mark.parametrize("case", UNKNOWN)
@pytest.mark.parametrize("layout", ["src", "."])
def test_other_path_files(environment, editable, tmp_path, case, layout):
    """
    Where nobody can tell what a path file does, the packages that are named are taken from the project.
    """
    code, text = UNKNOWN[case]
    project = write(
        tmp_path / "pro ject", {f"{layout}/acme/__init__.py": "", f"{layout}/other/__init__.py": ""}
    )
    files = {"__editable__.acme.pth": code.format(finder="__editable___acme_finder") + "\n"}
    if text is not None:
        module = "__editable___acme_finder" if "finder" in case else "_acme_editable"
        files[f"{module}.py"] = text
    url = f'{{"url": "{project.as_uri()}", "dir_info": {{"editable": true}}}}'
    ground = editable({**files, "acme-1.0.dist-info/direct_url.json": url})

    assert inside(project / layout, [root for root in ground.roots if str(project) in root]) == ["acme"]
    assert (ground.owns("acme.x"), ground.owns("strange")) == (True, False)


@pytest.mark.parametrize(
    "origin", [None, "{", "[]", '{"url": 1}', '{"url": "https://host.invalid/x"}', '{"other": 1}']
)
def test_a_project_that_nobody_knows(editable, origin):
    """
    Where nothing says where the project lies, there is no code to speak of.
    """
    files = {"__editable__.acme.pth": "import strange\n"}
    if origin is not None:
        files["acme-1.0.dist-info/direct_url.json"] = origin

    assert editable(files).roots == ()


def test_path_files_that_cannot_be_read(environment, editable, tmp_path, record_of):
    """
    A path file that is gone, and an impossible line, lead nowhere.
    """
    editable({**line(tmp_path), "second.pth": "/nul\0here\n", "third.pth": "/no/such/folder\n"})
    (environment.folder / "__editable__.acme-1.0.pth").unlink()
    record = PluginRecord(
        "brokers",
        "",
        "acme",
        "acme:B",
        "acme",
        "1.0",
        str(environment.folder / "acme-1.0.dist-info"),
        editable=True,
    )

    assert territory(record).roots == ()


# -- plain paths and others ---------------------------------------------------------------------------


def test_plain_path(environment, plain):
    """
    Beside a plain dist-info, its packages and whatever is nobody else's belong to it.
    """
    ground = plain(PACKAGE | {"helper/__init__.py": "", "single.py": "", "data/x.py": ""})

    assert ground.sort == "plain"
    assert inside(environment.folder, ground.roots) == ["acme", "helper", "single.py"]
    write(environment.folder, {"later.py": ""})
    assert ground.owns("later")
    assert_as_python(environment.folder, ground, ["acme.deep.two", "helper", "single"])


def test_plain_path_with_top_level(environment, plain):
    """
    Where `top_level.txt` lists the names, the others are not its own.
    """
    ground = plain(PACKAGE | {"helper/__init__.py": "", "other.py": ""}, top_level="acme\nhelper\n")

    assert inside(environment.folder, ground.roots) == ["acme", "helper"]


@pytest.mark.parametrize("says", ["entry points", "top_level.txt"])
def test_plain_paths_side_by_side(environment, plain, says):
    """
    What another distribution beside says is its own belongs to it alone.
    """
    plain(
        {"other/__init__.py": "", "space/theirs/__init__.py": ""},
        {"hotplug.tools": {"o": "other:o", "t": "space.theirs:t"}},
        "other",
        **({"top_level": "other\nspace/theirs\n"} if says == "top_level.txt" else {}),
    )
    ground = plain(
        PACKAGE | {"space/ours/__init__.py": "", "helper.py": ""},
        {"hotplug.brokers": {"acme": "acme:B", "ours": "space.ours:B"}},
    )

    assert inside(environment.folder, ground.roots) == ["acme", "helper.py", "space/ours"]
    assert list(ground.sources()) == [
        "acme",
        "acme.deep",
        "acme.deep.two",
        "acme.one",
        "helper",
        "space.ours",
    ]
    for name in ("other", "space", "space.theirs", "space.theirs.x"):
        assert not ground.owns(name), name


def test_a_closer_claim_counts(plain):
    """
    Of a package that another claims as a whole, the module that is named as ours is ours.
    """
    plain({}, {"hotplug.tools": {"o": "acme:o"}}, "other")
    ground = plain({"acme/__init__.py": "", "acme/mine.py": ""}, {"hotplug.brokers": {"a": "acme.mine:B"}})

    assert ground.owns("acme.mine")
    assert not ground.owns("acme")
    assert list(ground.sources()) == ["acme.mine"]
    assert ground.roots[0].endswith("mine.py")


def test_a_package_of_which_another_names_a_part(plain):
    """
    A package that we do not name, and of which another names a module, is the other's.
    """
    plain({"other/__init__.py": "", "other/deep.py": ""}, {"hotplug.tools": {"o": "other.deep:o"}}, "other")
    ground = plain(PACKAGE)

    assert not ground.owns("other")
    assert ground.find("other") is None


def test_plain_path_among_installed_ones(environment, plain, installed):
    """
    In a folder that an installer fills, a plain distribution has what it names and nothing else.
    """
    installed({"other/__init__.py": ""}, {"hotplug.tools": {"o": "other:o"}}, "other")
    ground = plain(PACKAGE | {"helper.py": ""})

    assert inside(environment.folder, ground.roots) == ["acme"]
    assert not ground.owns("helper")


def test_a_plain_path_that_cannot_be_listed(plain, monkeypatch):
    """
    Where the neighbours cannot be seen, there are none.
    """

    def refuse(folder: str) -> None:
        raise PermissionError(13, "Permission denied", folder)

    monkeypatch.setattr("hotplug._discovery._claims.list_folder", refuse)

    assert plain(PACKAGE).owns("acme")


def test_no_entry_points_left(environment):
    """
    A plain dist-info that lost its entry points, and is alone, still has what stands beside it.
    """
    info = environment.folder / "acme-1.0.dist-info"
    info.mkdir()
    write(environment.folder, PACKAGE)

    ground = territory(PluginRecord("brokers", "", "acme", "acme:B", "acme", "1.0", str(info)))

    assert inside(environment.folder, ground.roots) == ["acme"]


@pytest.mark.parametrize("broken", ["no RECORD", "malformed RECORD"])
def test_foreign_has_no_territory(environment, record_of, broken):
    """
    Where an installer left no RECORD, or no sensible one, nobody can tell what is whose.
    """
    info = environment.install("acme", "1.0", advertises=ACME, files=PACKAGE)
    (info / "RECORD").unlink() if broken == "no RECORD" else (info / "RECORD").write_text("nonsense")
    ground = territory(record_of())

    assert (ground.sort, ground.roots, ground.modules()) == ("installed", (), {})
    assert not ground.owns("acme")
    assert ground.find("acme") is None


@pytest.mark.parametrize(
    "path", ["", "/nowhere/acme-1.0.dist-info", "/x/acme.zip/acme-1.0.dist-info", "/x/acme.egg"]
)
def test_no_folder_no_territory(path):
    """
    What lies in an archive, or nowhere, has no territory.
    """
    ground = territory(PluginRecord("brokers", "", "acme", "acme:B", "acme", "1.0", path))

    assert (ground.sort, ground.roots) == ("installed", ())


@pytest.mark.parametrize("top_level", ["acme\nhelper\n", None])
def test_egg_info_beside_its_source(tmp_path, top_level):
    """
    An egg-info in a source folder has the names that it lists, else those of its entry points.
    """
    write(
        tmp_path,
        PACKAGE | {"helper.py": "", "other.py": "", "acme.egg-info/PKG-INFO": "Name: acme\nVersion: 1\n"},
    )
    write(tmp_path, {"acme.egg-info/entry_points.txt": "[hotplug.brokers]\nacme = acme:Broker\n"})
    if top_level:
        write(tmp_path, {"acme.egg-info/top_level.txt": top_level})
    [record] = discover(GROUPS, [str(tmp_path)]).records

    ground = territory(record)

    assert ground.sort == "editable"
    assert inside(tmp_path, ground.roots) == (["acme", "helper.py"] if top_level else ["acme"])


def test_an_installed_egg_info_has_no_territory(environment):
    """
    An egg-info that was installed does not say what is its own.
    """
    write(environment.folder, {"acme-1.0.egg-info/PKG-INFO": "", "acme/__init__.py": ""})
    path = str(environment.folder / "acme-1.0.egg-info")

    assert territory(PluginRecord("brokers", "", "acme", "acme:B", "acme", "1.0", path)).roots == ()


def test_unreadable_packages_are_not_shared(installed, monkeypatch):
    """
    A package whose `__init__` cannot be read is taken for an ordinary one.
    """

    def refuse(path: str) -> bytes:
        raise PermissionError(13, "Permission denied", path)

    environment_ground = installed(PACKAGE)
    monkeypatch.setattr("hotplug._discovery._claims.read_file", refuse)

    from hotplug._discovery._claims import is_shared

    assert not is_shared(environment_ground.find("acme"))


def test_nested_roots_are_left_out():
    """
    A root inside another one is not watched twice; one that only begins alike is.
    """
    from hotplug._discovery._grounds import without_nested

    assert without_nested(["/a/b", "/a", "/a-b", "/a", "/ab/c"]) == ("/a-b", "/a", "/ab/c")


def test_nothing_is_imported(editable, tmp_path):
    """
    Looking at a territory runs none of its code.
    """
    source = write(tmp_path / "src", {"acme_explosive/__init__.py": "raise SystemExit"})
    ground = editable(line(source))
    ground.modules()
    ground.find("acme_explosive")

    assert "acme_explosive" not in sys.modules
    assert _territory.Territory("a", "plain").find("acme") is None
