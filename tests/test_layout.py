"""The house: which room may import which, and what stands where."""

from __future__ import annotations

import ast
import gc
import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "hotplug"
LINES = [
    {"errors"},
    {"_records"},
    {"context", "market"},
    {"_signature"},
    {"registry", "events", "_lifecycle", "_config", "_discovery", "_watcher", "_report"},
    {"_kinds"},
    {"_loader", "hookspecs"},
    {"brokers", "tools", "agents", "strategies", "services"},
    {"_reloader"},
    {"_host"},
    {"__init__", "_cli"},
    {"testing", "__main__"},
]
INNER = [
    "brokers._contract",
    "brokers._settings",
    "brokers._results",
    "brokers._limits",
    "brokers._events",
    "brokers._orders",
    "brokers._template",
    "brokers._hosting",
]
"""The largest room has rooms of its own, in one order too."""
FLOOR = {room: floor for floor, rooms in enumerate(LINES) for room in rooms}
FILES = sorted(SOURCE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def parsed(path: Path) -> ast.Module:
    """
    The syntax tree. No garbage is collected meanwhile: Python before 3.11.9 calls it an error where a
    finaliser parses, too, as every traceback that it prints does (CPython's issue 106905).
    """
    gc.disable()
    try:
        return ast.parse(path.read_text())
    finally:
        gc.enable()


def imported_rooms(path: Path) -> set[str]:
    """The rooms that a file imports."""
    return {_room(name) for name in imported_modules(path)}


def imported_modules(path: Path) -> set[str]:
    """What a file imports of hotplug, in functions too; imports for type checkers do not count."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for child in node.orelse:
                visit(child)
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: say the whole name"
            if node.module == "hotplug":
                found.update(f"hotplug.{alias.name}" for alias in node.names)
            else:
                found.add(node.module)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(parsed(path))
    return {name for name in found if name == "hotplug" or name.startswith("hotplug.")}


def _room(module: str) -> str:
    first = module.removeprefix("hotplug").lstrip(".").split(".")[0]
    return first if first in FLOOR else "__init__"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_only_point_up(path):
    """
    A module imports from the rooms above its own, never from below and never from a neighbour.
    """
    room = room_of(path)

    wrong = {other for other in imported_rooms(path) if other != room and FLOOR[other] >= FLOOR[room]}

    assert not wrong, f"{room} stands on line {FLOOR[room]} and imports {wrong}"


def _inner(name: str) -> int | None:
    inside = name.removeprefix("hotplug.")
    return next((n for n, room in enumerate(INNER) if f"{inside}.".startswith(f"{room}.")), None)


@pytest.mark.parametrize(
    "path", sorted((SOURCE / "brokers").rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE))
)
def test_imports_only_point_up_within_brokers(path):
    """
    The rooms inside the room of brokers keep their order as well.
    """
    here = _inner(".".join(path.relative_to(SOURCE).with_suffix("").parts))
    others = {name: _inner(name) for name in imported_modules(path)}

    assert here is not None or path.name == "__init__.py", "it has no place in the plan"
    wrong = {name for name, other in others.items() if None not in {here, other} and other > here}
    assert not wrong, f"it stands above {wrong}"


def test_every_room_has_its_place():
    """
    No file and no folder of the framework stands outside the plan.
    """
    assert {room_of(path) for path in FILES} <= set(FLOOR)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_public_names_are_listed_and_sorted(path):
    """
    What a module exports stands in `__all__`, sorted, and is really there.
    """
    name = ".".join(("hotplug", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__")
    if name == "hotplug.__main__":
        return
    module = importlib.import_module(name)

    assert list(module.__all__) == sorted(module.__all__)
    assert all(hasattr(module, public) for public in module.__all__)


def test_top_level_holds_nothing_else():
    """
    The repository's top level is the one that the design names.
    """
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    folders = {name.split("/")[0] for name in listing if "/" in name}

    assert folders <= {"src", "plugins", "tests", ".ci"}


def plugin_folders() -> list[Path]:
    return sorted(path for path in (ROOT / "plugins").iterdir() if (path / "pyproject.toml").is_file())


def test_every_plugin_folder_is_really_installed():
    """
    The folders in plugins/ are the workspace's members, and entry-point metadata shows each of them.
    """
    from importlib import metadata

    groups = [f"hotplug.{name}" for name in ("brokers", "agents", "tools", "strategies", "services")]
    groups += ["hotplug.hooks", "hotplug.commands"]
    shown = {
        point.dist.name for group in groups for point in metadata.entry_points(group=group) if point.dist
    }
    folders = {path.name for path in plugin_folders()}
    dev = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["dev"]

    assert folders == {name for name in shown if name.startswith("hotplug-")}
    assert folders == {line for line in dev if line.startswith("hotplug-")}


@pytest.mark.parametrize("folder", plugin_folders(), ids=lambda path: path.name)
def test_knowing_one_plugin_is_knowing_all(folder):
    """
    Each plugin has the same rooms: a README, src/ with a typed package of its own name, and tests.
    """
    module = folder / "src" / folder.name.replace("-", "_")

    assert (folder / "README.md").read_text().startswith(f"# {folder.name}\n")
    assert (module / "__init__.py").is_file()
    assert (module / "py.typed").is_file()
    assert list((folder / "tests").glob("test_*.py"))


def test_import_is_lazy():
    """
    `import hotplug` brings in no third-party module, and none of hotplug's own rooms.
    """
    code = "import sys; before = set(sys.modules); import hotplug; print(*sorted(set(sys.modules) - before))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()

    assert [name for name in loaded if name.split(".")[0] not in sys.stdlib_module_names] == ["hotplug"]


def test_discovery_imports_no_third_party_module():
    """
    Finding plugins costs no third-party import either.
    """
    code = "import sys, hotplug; hotplug.discover(); print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    strangers = ("pluggy", "msgspec", "packaging", "importlib_metadata", "platformdirs", "click", "rich")

    assert not set(loaded) & set(strangers)


def test_lazy_exports_and_types_agree():
    """
    Every public name is imported for type checkers, listed in `__all__`, and found at run time.
    """
    import hotplug

    tree = ast.parse((SOURCE / "__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {alias.asname for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}

    assert typed == set(hotplug.__all__)
    assert all(getattr(hotplug, name) is not None for name in hotplug.__all__)
    assert set(hotplug.__all__) <= set(dir(hotplug))


def test_what_is_not_there_is_said():
    """
    A public module says that it lacks a name, as any module does.
    """
    from hotplug import testing

    with pytest.raises(AttributeError, match="no attribute 'Sweet'"):
        _ = testing.Sweet


def test_one_version():
    """
    The version in the code is the one in the metadata.
    """
    import hotplug

    assert hotplug.__version__ == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
