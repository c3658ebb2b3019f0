"""Extension modules: native code is loaded once in a process, and what it is cannot be changed."""

from __future__ import annotations

import hashlib
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from typing import Any, Final

from hotplug.errors import RestartRequired

__all__ = ["Natives"]


class _File:
    """What a file was when it was first loaded."""

    def __init__(self, path: str) -> None:
        self._stamp = _stamp(path)
        self._digest: Final = _digest(path)

    def is_still(self, path: str) -> bool:
        """Whether the file at *path* holds the same code."""
        stamp = _stamp(path)
        if stamp == self._stamp:
            return True
        if _digest(path) != self._digest:
            return False
        self._stamp = stamp
        return True


_files: Final[dict[str, _File]] = {}
"""Each that was ever loaded, by path: Python and the system go on giving its code, whatever lies there."""


class _Native:
    """One extension module, and what its file was when it was loaded."""

    def __init__(self, path: str, module: Any) -> None:
        self.path: Final = path
        self.module: Final = module
        self.is_still: Final = _files.setdefault(path, _File(path)).is_still


class Natives:
    """The extension modules of a distribution: all its generations share them."""

    def __init__(self) -> None:
        self._loaded: Final[dict[str, _Native]] = {}

    def shared(self, name: str, path: str) -> Any:
        """The module *name* as it was loaded before; None if it was not. Raises `RestartRequired`."""
        native = self._loaded.get(name)
        if native is None:
            if not _files.setdefault(path, _File(path)).is_still(path):
                raise _restart_required(name, path)
            return None
        if not native.is_still(path):
            raise _restart_required(name, path)
        return native.module

    def run(self, module: Any, loader: ExtensionFileLoader) -> None:
        """Initialise the module, unless it has been already."""
        if loader.name not in self._loaded:
            loader.exec_module(module)
            self._loaded[loader.name] = _Native(loader.path, module)

    def adopt(self, module: Any) -> None:
        """*module* was loaded by others; it counts if it is native."""
        loader = getattr(getattr(module, "__spec__", None), "loader", None)
        if isinstance(loader, ExtensionFileLoader) and Path(loader.path).exists():
            self._loaded.setdefault(loader.name, _Native(loader.path, module))

    def changed(self) -> dict[str, str]:
        """Names and files of those that are another by now; who is gone is missed when it is imported."""
        return {
            name: native.path
            for name, native in self._loaded.items()
            if Path(native.path).exists() and not native.is_still(native.path)
        }

    def refuse_changes(self) -> None:
        """Raise `RestartRequired` if one of them changed."""
        for name, path in self.changed().items():
            raise _restart_required(name, path)


def _restart_required(name: str, path: str) -> RestartRequired:
    return RestartRequired(
        f"its extension module {name} changed, and native code cannot be replaced in a process: {path}",
        file=path,
        remedy="restart the application",
    )


def _stamp(path: str) -> tuple[int, ...]:
    stat = Path(path).stat()
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino


def _digest(path: str) -> bytes:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
