"""
Reads where an editable installation sends the importer, without running any of it.

An installer leaves ``.pth`` files: lines that name folders, and lines of code. Two makes of such code
are known, and what they would do is read from their text: setuptools' finder and hatchling's use of
``editables``. All other code is somebody else's, and is said to be.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from hotplug._discovery._distribution import read_file
from hotplug._discovery._record import MalformedRecord, is_outside, read_record, rows_of
from hotplug._records import Problem

if TYPE_CHECKING:
    import ast
    from collections.abc import Iterator, Mapping

    from hotplug._discovery._record import Row

# ruff: noqa: PTH100, PTH118, PTH120

__all__ = ["Finder", "Links", "is_link_module", "links_of", "recorded"]

IMPORT_LINE: Final = re.compile(r"import\s+(\w+)\s*(?:;\s*\1\.install\(\)\s*)?")
SETUPTOOLS: Final = re.compile(r"__editable___\w+_finder")
EDITABLES: Final = "editables.redirector"
REMEDY: Final = "its code is found after a restart"

FinderSort = Literal["setuptools", "editables"]


@dataclass(frozen=True, slots=True)
class Finder:
    """A module of a known make that, once run, finds the modules of one distribution."""

    sort: FinderSort
    name: str
    path: str
    source: bytes
    mapping: Mapping[str, str]
    namespaces: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Links:
    """All that the path files of one distribution do; *problems* name the lines nobody can vouch for."""

    paths: tuple[str, ...] = ()
    finders: tuple[Finder, ...] = ()
    problems: tuple[Problem, ...] = ()


def recorded(info: str) -> list[Row] | None:
    """The rows of a dist-info's RECORD that lie in its folder; None where there is no sensible one."""
    try:
        rows = rows_of(read_record(os.path.join(info, "RECORD")))
    except (OSError, MalformedRecord):
        return None
    return [row for row in rows if not is_outside(row[0])]


def is_link_module(name: str) -> bool:
    """Whether the top-level module *name* serves an editable installation, and is no code of anybody's."""
    return name.startswith(("__editable__", "_editable_impl_"))


def links_of(info: str, rows: list[Row], distribution: str = "") -> Links:
    """What the ``.pth`` files among *rows* of the dist-info *info* do. Never raises."""
    site = os.path.dirname(info)
    paths: dict[str, None] = {}
    finders: list[Finder] = []
    problems: list[Problem] = []
    for file in (row[0] for row in rows if row[0].endswith(".pth") and "/" not in row[0]):
        path = os.path.join(site, file)
        for number, line in _lines(path):
            if not line.startswith(("import ", "import\t")):
                paths[os.path.abspath(os.path.join(site, line))] = None
            elif (finder := _finder(site, line)) is not None:
                finders.append(finder)
            else:
                why = f"runs code that is not run here: {line!r:.80}; {REMEDY}"
                problems.append(Problem(path, number, why, distribution))
    return Links(tuple(paths), tuple(finders), tuple(problems))


def _lines(path: str) -> Iterator[tuple[int, str]]:
    try:
        text = read_file(path).decode("utf-8-sig", "surrogateescape")
    except OSError:
        return
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.startswith("#") and "\0" not in line:
            yield number, line.rstrip()


def _finder(site: str, line: str) -> Finder | None:
    """The finder that a line of code sets up; None if it is of no known make."""
    matched = IMPORT_LINE.fullmatch(line)
    if matched is None:
        return None
    name = matched[1]
    path = os.path.join(site, f"{name}.py")
    try:
        import ast

        source = read_file(path)
        body = ast.parse(source).body
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if SETUPTOOLS.fullmatch(name) and line.rstrip().endswith(")"):
        found = _setuptools(body)
        return Finder("setuptools", name, path, source, *found) if found else None
    mapping = _editables(body)
    return Finder("editables", name, path, source, mapping, {}) if mapping else None


def _setuptools(body: list[ast.stmt]) -> tuple[dict[str, str], dict[str, tuple[str, ...]]] | None:
    """``MAPPING`` (module to path) and ``NAMESPACES`` (name to folders), assigned as plain literals."""
    found = dict(_literals(body))
    mapping, namespaces = found.get("MAPPING"), found.get("NAMESPACES", {})
    if not isinstance(mapping, dict) or not isinstance(namespaces, dict):
        return None
    try:
        portions = {str(key): tuple(map(str, value)) for key, value in cast("Any", namespaces).items()}
    except TypeError:
        return None
    targets = {str(key): str(value) for key, value in cast("Any", mapping).items()}
    return targets, portions


def _literals(body: list[ast.stmt]) -> Iterator[tuple[str, object]]:
    import ast

    for statement in body:
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        else:
            continue
        for target in targets:
            if isinstance(target, ast.Name) and statement.value is not None:
                try:
                    yield target.id, ast.literal_eval(statement.value)
                except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                    continue  # it is worked out when it runs, and is none of the two


def _editables(body: list[ast.stmt]) -> dict[str, str] | None:
    """What ``F.map_module(name, path)`` is called with, if nothing else is done but ``F.install()``."""
    import ast

    mapping: dict[str, str] = {}
    for number, statement in enumerate(body):
        if number == 0:
            if ast.unparse(statement) != f"from {EDITABLES} import RedirectingFinder as F":
                return None
            continue
        match statement:
            case ast.Expr(ast.Call(ast.Attribute(ast.Name("F"), "install"), [], [])):
                continue
            case ast.Expr(
                ast.Call(
                    ast.Attribute(ast.Name("F"), "map_module"),
                    [ast.Constant(str() as module), ast.Constant(str() as target)],
                    [],
                )
            ):
                mapping[module] = target
            case _:
                return None
    return mapping
