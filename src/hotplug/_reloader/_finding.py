"""Finds how a module of a generation is loaded: from the text that was read, before anything else."""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec, SourceFileLoader
from typing import TYPE_CHECKING, Any, Final

from hotplug._reloader._router import router
from hotplug._reloader._sources import SourceLoader, read_source

if TYPE_CHECKING:
    from hotplug._reloader._sources import Code, Ground, Source, Sources

# ruff: noqa: PTH120 - paths as the import system spells them

__all__ = ["Finder"]


class Finder:
    """Makes the specs of one generation's modules."""

    def __init__(self, ground: Ground, sources: Sources, codes: Code, number: int, *, bytecode: bool) -> None:
        self.sources: Final = sources
        self._ground: Final = ground
        self._codes: Final = codes
        self._number: Final = number
        self._bytecode: Final = bytecode

    def find(self, name: str, parent: Any, *, may_read: bool) -> ModuleSpec:
        """
        How the module *name* in package *parent* is loaded: from the text that was read, or as finders know.

        What was not there then is read now, if it *may* be. Raises `ModuleNotFoundError`.
        """
        if name in self.sources.by_name and not self._leads_elsewhere(parent):
            return self.spec_of(name)
        if name in self.sources.inner:
            return self._namespace_spec(name)
        spec = self._asked_of_finders(name, getattr(parent, "__path__", None)) or self._found_in_place(name)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec = self._as_ours(name, spec.loader.path, may_read=may_read)
        if spec is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return spec

    def _leads_elsewhere(self, parent: Any) -> bool:
        """Whether the package has another ``__path__`` than it began with."""
        source = self.sources.by_name.get(getattr(parent, "__name__", ""))
        return source is not None and list(getattr(parent, "__path__", ())) != [os.path.dirname(source.path)]

    def spec_of(self, name: str) -> ModuleSpec:
        """The spec of a module whose text was read."""
        return self._source_spec(name, self.sources.by_name[name])

    def _source_spec(self, name: str, source: Source) -> ModuleSpec:
        loader = SourceLoader(name, source, self._codes, self._number, bytecode=self._bytecode)
        spec = ModuleSpec(name, loader, origin=source.path, is_package=source.is_package)
        spec.has_location = True
        if source.is_package:
            spec.submodule_search_locations = [os.path.dirname(source.path)]
        return spec

    def _namespace_spec(self, name: str) -> ModuleSpec:
        folders: dict[str, None] = {}
        for each, source in self.sources.by_name.items():
            if each.startswith(name + "."):
                folder = os.path.dirname(source.path)
                ups = each.count(".") - name.count(".") - (not source.is_package)
                for _ in range(ups):
                    folder = os.path.dirname(folder)
                folders[folder] = None
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = list(folders)
        return spec

    def _asked_of_finders(self, name: str, path: Any) -> ModuleSpec | None:
        for finder in list(sys.meta_path):
            if finder is not router and (spec := finder.find_spec(name, path)) is not None:
                return spec
        return None

    def _as_ours(self, name: str, path: str, *, may_read: bool) -> ModuleSpec | None:
        source = self.sources.at(path)
        if source is None and may_read:
            source = read_source(path)
        return None if source is None else self._source_spec(name, source)

    def _found_in_place(self, name: str) -> ModuleSpec | None:
        """A module that lies in no folder on the path."""
        place = self._ground.find(name)
        if place is None or not place.path:
            return None
        return importlib.util.spec_from_file_location(
            name, place.path, submodule_search_locations=list(place.search) or None
        )
