"""A pretend site-packages, made from dicts: what a plugin looks like once it is installed."""

from __future__ import annotations

import base64
import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Environment"]


class Environment:
    """
    A folder that looks like site-packages to importers and installers alike.

    Not on ``sys.path`` by itself: pass ``path`` to `hotplug.Host` or `hotplug.discover`, and put
    the folder on ``sys.path`` (the ``environment`` fixture does) if its modules shall be imported.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder: Path = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    @property
    def path(self) -> list[str]:
        """The folder as a search path."""
        return [str(self.folder)]

    def install(
        self,
        distribution: str,
        version: str = "1.0",
        *,
        advertises: Mapping[str, Mapping[str, str]] | None = None,
        files: Mapping[str, str | bytes] | None = None,
        requires: Iterable[str] = (),
        record: bool = True,
    ) -> Path:
        """
        Put a distribution there, as an installer would; returns its dist-info folder.

        *advertises* maps groups to names to values, *files* maps paths to contents, *requires* are its
        requirements. Another version of the same distribution is replaced.
        """
        self.uninstall(distribution)
        written = [self._write(name, content) for name, content in (files or {}).items()]
        stem = distribution.replace("-", "_")
        info = f"{stem}-{version}.dist-info"
        metadata = [f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"]
        metadata += [f"Requires-Dist: {requirement}\n" for requirement in requires]
        written.append(self._write(f"{info}/METADATA", "".join(metadata)))
        written.append(self._write(f"{info}/INSTALLER", "pip\n"))
        if advertises:
            written.append(self._write(f"{info}/entry_points.txt", entry_points_text(advertises)))
        if record:
            rows = [self._record_row(path) for path in written]
            self._write(f"{info}/RECORD", "".join(rows) + f"{info}/RECORD,,\n")
        return self.folder / info

    def uninstall(self, distribution: str) -> None:
        """Remove the distribution's files by its RECORD, then its dist-info; absent is fine."""
        stem = distribution.replace("-", "_")
        for info in self.folder.glob(f"{stem}-*.dist-info"):
            record = info / "RECORD"
            names = record.read_text().splitlines() if record.is_file() else []
            for row in names:
                path = self.folder / row.split(",")[0]
                if path.suffix == ".py":
                    shutil.rmtree(path.parent / "__pycache__", ignore_errors=True)
                if info not in path.parents:
                    path.unlink(missing_ok=True)
                    if path.parent != self.folder and path.parent.is_dir() and not any(path.parent.iterdir()):
                        path.parent.rmdir()
            shutil.rmtree(info)

    def _write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def _record_row(self, path: Path) -> str:
        content = path.read_bytes()
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        return f"{path.relative_to(self.folder).as_posix()},sha256={digest},{len(content)}\n"


def entry_points_text(advertises: Mapping[str, Mapping[str, str]]) -> str:
    """The text of an ``entry_points.txt``."""
    sections = (
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
        for group, points in advertises.items()
    )
    return "\n".join(sections)
