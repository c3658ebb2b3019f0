"""Wheels made by hand, for real installers, without a build backend or a network."""

from __future__ import annotations

import base64
import hashlib
import shutil
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from hotplug.testing._environment import entry_points_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["build_project", "build_wheel"]

BACKEND = '''\
"""A build backend that hands out what lies beside it."""

import pathlib
import shutil

HERE = pathlib.Path(__file__).parent


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    [wheel] = (HERE / "made").glob("*.whl")
    shutil.copy(wheel, wheel_directory)
    return wheel.name


build_wheel = build_editable
'''


def build_wheel(
    folder: str | Path,
    distribution: str,
    version: str = "1.0",
    *,
    advertises: Mapping[str, Mapping[str, str]] | None = None,
    files: Mapping[str, str | bytes] | None = None,
    requires: Iterable[str] = (),
) -> Path:
    """
    Write the wheel of a distribution into *folder*, over one of the same name; returns its path.

    *advertises* maps groups to names to values, *files* maps paths to contents, *requires* are its
    requirements.
    """
    stem = f"{distribution.replace('-', '_')}-{version}"
    info = f"{stem}.dist-info"
    metadata = [f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"]
    metadata += [f"Requires-Dist: {requirement}\n" for requirement in requires]
    contents: dict[str, str | bytes] = {
        **(files or {}),
        f"{info}/METADATA": "".join(metadata),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: hotplug\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if advertises:
        contents[f"{info}/entry_points.txt"] = entry_points_text(advertises)
    contents[f"{info}/RECORD"] = "".join(map(_record_row, contents.items())) + f"{info}/RECORD,,\n"
    path = Path(folder, f"{stem}-py3-none-any.whl")
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as wheel:
        for name, content in contents.items():
            wheel.writestr(name, content)
    return path


def build_project(
    folder: str | Path,
    distribution: str,
    version: str = "1.0",
    *,
    advertises: Mapping[str, Mapping[str, str]] | None = None,
    files: Mapping[str, str | bytes] | None = None,
) -> Path:
    """
    Write a source project into *folder* that installs editable (``pip install -e``) without a network.

    Its code lies in ``src``; called again, it is the same project with other entry points or files.
    """
    project = Path(folder)
    source = project / "src"
    source.mkdir(parents=True, exist_ok=True)
    for name, content in (files or {}).items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    (project / "backend.py").write_text(BACKEND)
    (project / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n\n'
        f'[project]\nname = "{distribution}"\nversion = "{version}"\n'
    )
    shutil.rmtree(project / "made", ignore_errors=True)
    path_file = {f"__editable__.{distribution.replace('-', '_')}-{version}.pth": f"{source}\n"}
    build_wheel(project / "made", distribution, version, advertises=advertises, files=path_file)
    return project


def _record_row(item: tuple[str, str | bytes]) -> str:
    name, content = item
    data = content.encode() if isinstance(content, str) else content
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(data)}\n"
