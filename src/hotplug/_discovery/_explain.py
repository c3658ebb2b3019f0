"""Says why something is not found, or is found elsewhere than expected; in words, with the places."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hotplug._discovery._distribution import is_sound, metadata_of, read_file
from hotplug._discovery._stamps import look
from hotplug._discovery._text import canonical, named_in, read_entry_points
from hotplug.errors import close_match

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from hotplug._discovery._text import Advertised
    from hotplug._records import Discovery

__all__ = ["Finding", "findings", "strays"]

FOR_OTHERS: Final = ("console_scripts", "gui_scripts")
OURS: Final = "hotplug"
ALIKE: Final = 0.85
"""How close a group must come to one of ours to be meant for us; groups of others stay well below."""
INFO_SUFFIXES: Final = (".dist-info", ".egg-info")


@dataclass(frozen=True, slots=True)
class Finding:
    """One *reason* (a code) why a plugin is not what was expected, a *remedy* in words, and the places."""

    reason: str
    remedy: str
    where: tuple[str, ...] = ()
    distribution: str = ""

    def __str__(self) -> str:
        places = f" ({', '.join(self.where)})" if self.where else ""
        return f"{self.reason}: {self.remedy}{places}"


@dataclass(frozen=True, slots=True)
class _Installed:
    """A dist-info or egg-info, as it lies there."""

    folder: str
    file: str
    name: str
    advertises: tuple[Advertised, ...] = field(default=())

    @property
    def path(self) -> str:
        return f"{self.folder}{os.sep}{self.file}"

    @property
    def is_source(self) -> bool:
        """Whether this is what a build leaves in a source tree, beside its editable installation."""
        return self.file.endswith(".egg-info") and not named_in(self.file)[1]


def findings(
    name: str, groups: Mapping[str, str], path: Sequence[str], discovery: Discovery
) -> tuple[Finding, ...]:
    """Every finding about *name*, which is a plugin, ``kind/plugin`` or a distribution; worst first."""
    kind, _, plugin = name.rpartition("/")
    here = list(_installed(_folders(path)))
    wanted = [item for item in here if _concerns(item, plugin, "" if kind else name)]
    names = {item.name for item in wanted} or {canonical(name)}
    found: list[Finding] = []
    for item in wanted:
        found += _judge(item, here, groups, plugin, kind)
    found += _leftovers(names, path)
    found += [
        Finding("broken metadata", problem.reason, (problem.path,))
        for problem in discovery.problems
        if canonical(problem.distribution) in names
    ]
    found += _elsewhere(names, path, here)
    is_there = any(_is_meant(record.kind, record.name, kind, plugin) for record in discovery.records)
    if not found and not wanted and not is_there:
        found.append(_not_installed(name, here, discovery))
    return tuple(dict.fromkeys(found))


def strays(groups: Mapping[str, str], path: Sequence[str]) -> tuple[Finding, ...]:
    """What seems to be meant for us and is not seen: under a wrong group, or shadowed on the path."""
    here = list(_installed(_folders(path)))
    by_name: dict[str, list[_Installed]] = {}
    for item in here:
        by_name.setdefault(item.name, []).append(item)
    close = {group for group in _all_groups(here) if _is_close(group, groups)}
    found: list[Finding] = []
    for item in here:
        its = dict.fromkeys(group for group, _, _ in item.advertises)
        hidden = [] if item.is_source else list(_shadowed(item, by_name[item.name]))
        if hidden:
            found += hidden if any(group in groups or group in close for group in its) else []
        else:
            found += [_wrong_group(item, group, groups) for group in its if group in close]
    return tuple(found)


def _all_groups(items: Iterable[_Installed]) -> set[str]:
    return {group for item in items for group, _, _ in item.advertises}


def _is_close(group: str, groups: Iterable[str]) -> bool:
    """Whether *group* is none of *groups*, and looks like one."""
    if group in groups:
        return False
    name = group.lower()
    return name.startswith(OURS) or bool(get_close_matches(name, groups, n=1, cutoff=ALIKE))


def _is_meant(kind: str, name: str, wanted_kind: str, wanted: str) -> bool:
    return name == wanted and wanted_kind in ("", kind)


def _concerns(item: _Installed, plugin: str, distribution: str) -> bool:
    if distribution and item.name == canonical(distribution):
        return True
    return any(point == plugin and group not in FOR_OTHERS for group, point, _ in item.advertises)


def _judge(
    item: _Installed, here: Sequence[_Installed], groups: Mapping[str, str], plugin: str, kind: str
) -> Iterator[Finding]:
    if not is_sound(metadata_of(item.folder, item.file)):
        remedy = f"the metadata of {item.name} does not say its name and version; install it again"
        yield Finding("broken metadata", remedy, (item.path,))
    yield from _shadowed(item, here)
    if not item.advertises:
        remedy = f"{item.name} is installed, but has no entry points; declare them in its pyproject.toml"
        yield Finding("advertises nothing", remedy, (item.path,))
        return
    yield from _wrong_groups(item, groups, plugin, kind)


def _shadowed(item: _Installed, here: Iterable[_Installed]) -> Iterator[Finding]:
    first = next(other for other in here if other.name == item.name and _counts(other, item))
    if first.folder != item.folder:
        remedy = f"{item.name} stands earlier on the path, and that installation counts; remove one of them"
        yield Finding("shadowed", remedy, (first.path, item.path), item.name)


def _counts(other: _Installed, item: _Installed) -> bool:
    return other is item or is_sound(metadata_of(other.folder, other.file))


def _wrong_groups(item: _Installed, groups: Mapping[str, str], plugin: str, kind: str) -> Iterator[Finding]:
    """Entry points that were meant for us, as it seems, but stand where nobody looks."""
    mine = {group for group, _, _ in item.advertises if group in groups}
    meant = [group for group, name, _ in item.advertises if name == plugin] or [
        group for group, _, _ in item.advertises if not mine
    ]
    for group in dict.fromkeys(meant):
        if group not in groups and group not in FOR_OTHERS:
            yield _wrong_group(item, group, [key for key, value in groups.items() if kind in ("", value)])
        elif kind and groups.get(group, kind) != kind:
            yield Finding("wrong group", f"{plugin} is one of the {groups[group]}", (item.path,))


def _wrong_group(item: _Installed, group: str, known: Iterable[str]) -> Finding:
    remedy = f"{item.name} advertises under [{group}], where nobody looks ({close_match(group, known)})"
    return Finding("wrong group", remedy, (item.path,), item.name)


def _leftovers(names: Iterable[str], path: Sequence[str]) -> Iterator[Finding]:
    """What an interrupted pip renamed; it puts ``~`` in the place of first letters."""
    tails = {name[1:] for name in names}
    for folder in _folders(path):
        for file in _listed(folder):
            if file.startswith("~") and file.endswith(INFO_SUFFIXES):
                tail = canonical(named_in(file.lstrip("~"), folder)[0])
                if any(known.endswith(tail) for known in tails if tail):
                    remedy = "an installer was interrupted here; install again, and delete what it left"
                    yield Finding("leftover", remedy, (f"{folder}{os.sep}{file}",))


def _elsewhere(names: Iterable[str], path: Sequence[str], here: Iterable[_Installed]) -> Iterator[Finding]:
    missing = set(names).difference(item.name for item in here)
    known = {Path(folder).resolve() for folder in _folders(path)}
    others = [folder for folder in _other_site_folders() if Path(folder).resolve() not in known]
    for item in _installed(others):
        if item.name in missing:
            remedy = f"{item.name} is installed, but not for this Python ({sys.prefix}); install it here"
            yield Finding("other environment", remedy, (item.path,))


def _not_installed(name: str, here: Iterable[_Installed], discovery: Discovery) -> Finding:
    known = {item.name for item in here} | {f"{record.kind}/{record.name}" for record in discovery.records}
    known |= {record.name for record in discovery.records}
    return Finding("not installed", f"nothing here is called {name!r} ({close_match(name, known)})")


def _other_site_folders() -> Iterator[str]:
    """Where else a distribution may have gone by mistake: the places that can be known."""
    import site
    import sysconfig

    yield site.getusersitepackages()
    prefixes = [sys.base_prefix, *map(os.environ.get, ("VIRTUAL_ENV", "CONDA_PREFIX"))]
    for prefix in filter(None, prefixes):
        for key in ("purelib", "platlib"):
            yield sysconfig.get_path(key, vars={"base": prefix, "platbase": prefix})
        # Environments of other Python versions, and of systems that name the folder otherwise.
        yield from map(str, sorted(Path(prefix).glob("lib/python*/*-packages")))


def _folders(path: Iterable[str]) -> list[str]:
    """The folders of *path*, as they are written; one that has several names, by its first."""
    folders: dict[object, str] = {}
    for entry in path:
        folder = os.path.abspath(entry or ".")  # noqa: PTH100 - links stay as they are written
        stamp = look(folder)
        folders.setdefault(stamp[2:4] if stamp else folder, folder)
    return list(folders.values())


def _listed(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - bare names
    except OSError:
        return []


def _installed(folders: Iterable[str]) -> Iterator[_Installed]:
    for folder in folders:
        for file in _listed(folder):
            if file.endswith(INFO_SUFFIXES) and file[0] not in "~-.":
                name = canonical(named_in(file, folder)[0])
                yield _Installed(folder, file, name, _advertised(f"{folder}{os.sep}{file}"))


def _advertised(info: str) -> tuple[Advertised, ...]:
    try:
        points, _ = read_entry_points(read_file(f"{info}{os.sep}entry_points.txt"))
    except OSError:
        return ()
    return tuple(points)
