"""
Lets a running process import what was installed editable after it started, and forget it again.

What the interpreter does with a distribution's path files when it starts is done for exactly those
files. Undone is the whole of it, whoever did it: after an uninstallation the code would otherwise
stay importable.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, cast

from hotplug._discovery._links import links_of, recorded
from hotplug._records import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from hotplug._discovery._links import Finder
    from hotplug._discovery._record import Row
    from hotplug._records import PluginRecord

# ruff: noqa: PTH100, PTH112, PTH118, PTH120

__all__ = ["Activation", "activate"]

REDIRECTOR: Final = "editables.redirector"


@dataclass(frozen=True, slots=True)
class _Step:
    """One thing that path files ask for, and how it is undone."""

    key: tuple[str, str]
    take_out: Callable[[], None]


class _Users:
    """How many activations rely on each thing that was added, and who is asked to wait."""

    lock: Final = threading.Lock()
    of: Final[dict[tuple[str, str], int]] = {}


@dataclass(slots=True)
class Activation:
    """
    Call it to undo: once, whatever was added, by the interpreter's start as well, is taken out.

    What another activation, another path file beside or ``PYTHONPATH`` asks for, too, stays. *problems*
    name the lines of path files that were not run. Thread-safe.
    """

    problems: tuple[Problem, ...] = ()
    steps: list[_Step] = field(default_factory=list[_Step], repr=False)

    def __call__(self) -> None:
        with _Users.lock:
            steps, self.steps = self.steps, []
            for step in reversed(steps):
                _Users.of[step.key] -= 1
                if not _Users.of[step.key]:
                    del _Users.of[step.key]
                    step.take_out()
        if steps:
            importlib.invalidate_caches()


def activate(record: PluginRecord) -> Activation:
    """
    Do what the path files of *record*'s distribution ask for; the answer undoes it.

    Folders are appended to ``sys.path``, the finders of setuptools and of ``editables`` are installed; other
    code in path files is refused, as are finders that raise. Nothing happens unless the distribution is
    editable. Thread-safe; never raises.
    """
    rows = recorded(record.path) if record.editable and record.path.endswith(".dist-info") else None
    if rows is None:
        return Activation()
    links = links_of(record.path, rows, record.distribution)
    own = frozenset(row[0] for row in rows)
    steps = [
        _add_path(folder, os.path.dirname(record.path), own)
        for folder in links.paths
        if os.path.isdir(folder)
    ]
    problems = list(links.problems)
    for finder in links.finders:
        try:
            steps.append(_add_finder(finder))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the border to what an installer made
            problems.append(Problem(finder.path, None, f"raised {error!r}", record.distribution))
    importlib.invalidate_caches()
    return Activation(tuple(problems), steps)


def _relied_on(key: tuple[str, str], take_out: Callable[[], None]) -> _Step:
    """The step, counted. The lock is held."""
    _Users.of[key] = _Users.of.get(key, 0) + 1
    return _Step(key, take_out)


# -- folders ---------------------------------------------------------------------------------------


def _add_path(folder: str, site: str, own: frozenset[str]) -> _Step:
    with _Users.lock:
        if not _entries(folder):
            sys.path.append(folder)
        return _relied_on(("path", _normal(folder)), lambda: _remove_path(folder, site, own))


def _remove_path(folder: str, site: str, own: frozenset[str]) -> None:
    if _is_asked_for(folder, site, own):
        return
    for entry in _entries(folder):
        sys.path_importer_cache.pop(entry, None)
    _remove_from(sys.path, lambda entry: _normal(entry) == _normal(folder))


def _entries(folder: str) -> list[str]:
    return [entry for entry in sys.path if _normal(entry) == _normal(folder)]


def _normal(entry: object) -> str:
    return os.path.normcase(os.path.abspath(entry)) if isinstance(entry, str) else ""


def _is_asked_for(folder: str, site: str, own: frozenset[str]) -> bool:
    """Whether somebody else put *folder* on the path: who started the process, or another distribution."""
    started_with = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    if _normal(folder) in map(_normal, (*sys.path[:1], *started_with)):
        return True
    try:
        names = os.listdir(site)  # noqa: PTH208 - bare names
    except OSError:
        names = []
    others: list[Row] = [(name, "", None) for name in names if name.endswith(".pth") and name not in own]
    beside = links_of(os.path.join(site, "others.dist-info"), others).paths
    return _normal(folder) in map(_normal, beside)


# -- finders ---------------------------------------------------------------------------------------


def _add_finder(finder: Finder) -> _Step:
    """Run the finder's module, unless it is in place as it is now; raises what it raises."""
    is_in_place, remove = {
        "setuptools": (_is_setuptools_in_place, _remove_setuptools),
        "editables": (_is_editables_in_place, _remove_editables),
    }[finder.sort]
    if not is_in_place(finder):
        remove(finder)
        try:
            _run(finder)
        except BaseException:
            remove(finder)
            raise
    with _Users.lock:
        return _relied_on(("finder", finder.name), lambda: remove(finder))


def _run(finder: Finder) -> None:
    """Run exactly the text that was read; bytecode beside it may be another's."""
    module = ModuleType(finder.name)
    module.__file__ = finder.path
    sys.modules[finder.name] = module
    exec(compile(finder.source, finder.path, "exec"), vars(module))  # noqa: S102 - of a make that is known
    if finder.sort == "setuptools":
        vars(module)["install"]()


def _is_setuptools_in_place(finder: Finder) -> bool:
    known: dict[str, Any] = vars(sys.modules.get(finder.name, _NOTHING))
    portions = cast("dict[str, list[str]]", known.get("NAMESPACES", {}))
    return (
        known.get("MAPPING") == finder.mapping
        and {name: tuple(paths) for name, paths in portions.items()} == finder.namespaces
        and any(_is_of(finder.name, entry) for entry in sys.meta_path)
    )


def _remove_setuptools(finder: Finder) -> None:
    _remove_from(sys.meta_path, lambda entry: _is_of(finder.name, entry))
    _remove_from(sys.path_hooks, lambda hook: _is_of(finder.name, getattr(hook, "__self__", None)))
    module = sys.modules.pop(finder.name, _NOTHING)
    placeholder = vars(module).get("PATH_PLACEHOLDER")
    _remove_from(sys.path, lambda entry: entry == placeholder)
    sys.path_importer_cache.pop(str(placeholder), None)


def _is_of(module: str, thing: object) -> bool:
    return getattr(thing, "__module__", None) == module


def _remove_from(things: list[Any], is_ours: Callable[[Any], bool]) -> None:
    things[:] = [thing for thing in things if not is_ours(thing)]


def _redirector() -> object:
    """The one finder of ``editables``, which all its users share; None if nobody uses it yet."""
    return vars(sys.modules.get(REDIRECTOR, _NOTHING)).get("RedirectingFinder")


def _redirections() -> dict[str, str]:
    found: dict[str, str] = getattr(_redirector(), "_redirections", {})
    return found


def _is_editables_in_place(finder: Finder) -> bool:
    mapped = all(_redirections().get(name) == path for name, path in finder.mapping.items())
    return mapped and any(entry is _redirector() for entry in sys.meta_path)


def _remove_editables(finder: Finder) -> None:
    redirections = _redirections()
    for name, path in finder.mapping.items():
        if redirections.get(name) == path:
            del redirections[name]
    if not redirections:
        _remove_from(sys.meta_path, lambda entry: entry is _redirector())
    sys.modules.pop(finder.name, None)


_NOTHING: Final = ModuleType("nothing")
