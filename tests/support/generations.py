"""A distribution in a folder, whose generations follow one another."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace

from hotplug._reloader import Generation
from hotplug._reloader._router import Router


class Folder:
    """The code of a distribution as it lies in a folder: a stand-in for `_discovery.Territory`."""

    def __init__(
        self, folder: Path, distribution: str = "acme", *, sort: str = "plain", shared: Iterable[str] = ()
    ):
        self.folder = folder
        self.distribution = distribution
        self.sort = sort
        self.shared = frozenset(shared)

    def _place(self, name: str):
        base = self.folder.joinpath(*name.split("."))
        for suffix in (".py", *(s for s in _EXTENSIONS)):
            if (package := base / f"__init__{suffix}").is_file():
                return SimpleNamespace(path=str(package), search=(str(base),))
            if (file := base.with_name(base.name + suffix)).is_file():
                return SimpleNamespace(path=str(file), search=())
        return SimpleNamespace(path="", search=(str(base),)) if base.is_dir() else None

    def find(self, name: str):
        return self._place(name) if self.owns(name) or name in self.shared else None

    def owns(self, name: str) -> bool:
        if name in self.shared:
            return False
        head = name
        while (above := head.rpartition(".")[0]) and above not in self.shared:
            head = above
        return self._place(head) is not None

    def sources(self) -> dict[str, str]:
        found = {}
        for path in sorted(self.folder.rglob("*.py")):
            parts = path.relative_to(self.folder).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = str(path)
        return found


_EXTENSIONS = tuple(__import__("importlib.machinery").machinery.EXTENSION_SUFFIXES)


class Acme:
    """Its files, and its generations: ``go`` makes the next one and publishes it."""

    def __init__(self, folder: Path, **facts: object) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.territory = Folder(folder, **facts)
        self.all: list[Generation] = []

    @property
    def now(self) -> Generation | None:
        return self.all[-1] if self.all else None

    def write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))

    def remove(self, *names: str) -> None:
        for name in names:
            path = self.folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def next(self, **options: object) -> Generation:
        return Generation(self.territory, len(self.all) + 1, self.now, **options)

    def go(
        self, files: Mapping[str, str] = {}, *, entry: Iterable[str] = ("pkg",), **options: object
    ) -> Generation:
        self.write(files)
        generation = self.next(**options)
        generation.stage(list(entry))
        generation.publish()
        self.all.append(generation)
        return generation

    def end(self) -> None:
        while self.all:
            self.all.pop(0).retire()


def acmes(folder: Path, distribution: str = "acme") -> Iterator[Acme]:
    """One at *folder*; when it is over, nothing of it is left in the process."""
    before = set(sys.modules)
    finders = [finder for finder in sys.meta_path if not isinstance(finder, Router)]
    acme = Acme(folder, distribution=distribution)
    yield acme
    acme.end()
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if file.startswith(str(folder) + os.sep):
            del sys.modules[name]
    assert [finder for finder in sys.meta_path if not isinstance(finder, Router)] == finders
