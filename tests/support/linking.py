"""What build backends put into a site folder to make a project editable, and what Python makes of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

# As setuptools 84 writes it (MIT licence), with its comments left out.
FINDER = """\
from __future__ import annotations
import sys
from importlib.machinery import ModuleSpec, PathFinder
from importlib.machinery import all_suffixes as module_suffixes
from importlib.util import spec_from_file_location
from itertools import chain
from pathlib import Path

MAPPING: dict[str, str] = {mapping!r}
NAMESPACES: dict[str, list[str]] = {namespaces!r}
PATH_PLACEHOLDER = {name!r} + ".__path_hook__"


class _EditableFinder:  # MetaPathFinder
    @classmethod
    def find_spec(cls, fullname: str, path=None, target=None) -> ModuleSpec | None:
        if fullname in MAPPING:
            pkg_path = MAPPING[fullname]
            return cls._find_spec(fullname, Path(pkg_path))

        parent, _, child = fullname.rpartition(".")
        if parent and parent in MAPPING:
            return PathFinder.find_spec(fullname, path=[MAPPING[parent]])

        return None

    @classmethod
    def _find_spec(cls, fullname: str, candidate_path: Path) -> ModuleSpec | None:
        init = candidate_path / "__init__.py"
        candidates = (candidate_path.with_suffix(x) for x in module_suffixes())
        for candidate in chain([init], candidates):
            if candidate.exists():
                return spec_from_file_location(fullname, candidate)
        return None


class _EditableNamespaceFinder:  # PathEntryFinder
    @classmethod
    def _path_hook(cls, path) -> type[_EditableNamespaceFinder]:
        if path == PATH_PLACEHOLDER:
            return cls
        raise ImportError

    @classmethod
    def _paths(cls, fullname: str) -> list[str]:
        paths = NAMESPACES[fullname]
        if not paths and fullname in MAPPING:
            paths = [MAPPING[fullname]]
        return [*paths, PATH_PLACEHOLDER]

    @classmethod
    def find_spec(cls, fullname: str, target=None) -> ModuleSpec | None:
        if fullname in NAMESPACES:
            spec = ModuleSpec(fullname, None, is_package=True)
            spec.submodule_search_locations = cls._paths(fullname)
            return spec
        return None

    @classmethod
    def find_module(cls, _fullname) -> None:
        return None


def install():
    if not any(finder == _EditableFinder for finder in sys.meta_path):
        sys.meta_path.append(_EditableFinder)

    if not NAMESPACES:
        return

    if not any(hook == _EditableNamespaceFinder._path_hook for hook in sys.path_hooks):
        sys.path_hooks.append(_EditableNamespaceFinder._path_hook)
    if PATH_PLACEHOLDER not in sys.path:
        sys.path.append(PATH_PLACEHOLDER)  # Used just to trigger the path hook
"""


def setuptools_finder(
    distribution: str, mapping: Mapping[str, object], namespaces: Mapping[str, Iterable[object]] | None = None
) -> dict[str, str]:
    """The finder module and the path file of an editable installation by setuptools, flat layout."""
    name = f"__editable___{distribution}_1_0_finder"
    targets = {key: str(path) for key, path in mapping.items()}
    portions = {key: [str(path) for path in paths] for key, paths in (namespaces or {}).items()}
    text = FINDER.format(mapping=targets, namespaces=portions, name=f"__editable__.{distribution}-1.0.finder")
    return {
        f"{name}.py": text,
        f"__editable__.{distribution}-1.0.pth": f"import {name}; {name}.install()\n",
    }


def editables_redirector(distribution: str, mapping: Mapping[str, object]) -> dict[str, str]:
    """The bootstrap module and the path file that hatchling's ``dev-mode-exact`` makes with `editables`."""
    name = f"_editable_impl_{distribution}"
    lines = ["from editables.redirector import RedirectingFinder as F", "F.install()"]
    lines += [f"F.map_module({module!r}, {str(path)!r})" for module, path in mapping.items()]
    return {f"{name}.py": "\n".join(lines), f"{name}.pth": f"import {name}"}


def write(folder: Path, files: Mapping[str, str]) -> Path:
    """Write *files* below *folder*, and return it."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


ASK = """\
import importlib.util, json, site, sys

found = {}
site.addsitedir(sys.argv[1])
for name in sys.argv[2:]:
    try:
        spec = importlib.util.find_spec(name)
    except ImportError:
        spec = None
    if spec is None:
        found[name] = None
    elif spec.has_location:
        found[name] = spec.origin
    else:
        paths = [path for path in spec.submodule_search_locations if not path.endswith(".__path_hook__")]
        found[name] = paths
print(json.dumps(found))
"""


def as_python_finds(site: Path, names: Iterable[str]) -> dict[str, str | list[str] | None]:
    """Where a fresh interpreter with this *site* folder finds each module: file, folders, or not at all."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", ASK, str(site), *names],
        capture_output=True,
        text=True,
        check=True,
    )
    answer: dict[str, str | list[str] | None] = json.loads(done.stdout)
    return answer
