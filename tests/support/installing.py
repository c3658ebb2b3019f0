"""pip and uv at work on an environment of their own, without a network; watched, or killed at some moment."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from hotplug.testing._wheel import build_wheel

DISTRIBUTION = "zeta-broker"
POINTS = {"hotplug.brokers": {"zeta": "above:Broker"}, "console_scripts": {"zeta": "above:main"}}


class Wheel:
    """A wheel, and what must lie in the site folder once it is installed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.version = path.name.split("-")[1]
        with zipfile.ZipFile(path) as file:
            self.contents = {
                name: file.read(name) for name in file.namelist() if not name.endswith("/RECORD")
            }

    def wrong_in(self, site: Path) -> list[str]:
        """The files that are missing in *site*, or say something else."""
        return [name for name, data in self.contents.items() if _read(site / name) != data]

    def with_info_first(self) -> Wheel:
        """The same, with the metadata before the code in the archive."""
        with zipfile.ZipFile(self.path) as file:
            items = [(info, file.read(info)) for info in file.infolist()]
        items.sort(key=lambda item: ".dist-info/" not in item[0].filename)
        with zipfile.ZipFile(self.path, "w") as file:
            for info, data in items:
                file.writestr(info, data)
        return self


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def make_wheel(folder: Path, version: str, *, build: int = 0, modules: int = 50) -> Wheel:
    """
    A wheel whose code sorts before its dist-info, and a part of it after; no two *builds* say the same.

    All files of all builds are of one size.
    """
    mark = f"{version} {build:03}"
    files = {f"above/part_{n:02}.py": f"MARK = {mark!r}\n{'#' * 400}\n" for n in range(modules)}
    files |= {"above/__init__.py": f"Broker = {mark!r}\n", "above/deep/data.txt": mark}
    files |= {"zeta_single.py": f"MARK = {mark!r}\n", "zz_last/__init__.py": f"MARK = {mark!r}\n"}
    where = folder / f"{version}-{build}"
    return Wheel(build_wheel(where, DISTRIBUTION, version, advertises=POINTS, files=files))


class Installer:
    """
    pip or uv, with an environment; each command is a process of its own.

    An environment with nothing else in its site folder is *alone*: pip moves and removes the folder itself.
    """

    def __init__(self, tool: str, venv: Path, cache: Path) -> None:
        self.tool, _, mode = tool.removesuffix(" alone").partition(" ")
        self.python = venv / "bin" / "python"
        self.site = Path(
            sysconfig.get_path("purelib", "venv", vars={"base": str(venv), "platbase": str(venv)})
        )
        self._mode = ["--link-mode", mode] if mode else []
        self._cache = cache
        if "alone" not in tool:
            (self.site / "other.py").write_text("")

    def install(
        self, *what: object, again: bool = False, backends: Path | None = None
    ) -> subprocess.Popen[str]:
        if self.tool == "pip":
            command = ["pip", "--python", str(self.python), "install", "--no-index", "--no-deps"]
            command += ["--force-reinstall"] if again else []
        else:
            command = [
                "uv",
                "pip",
                "install",
                "--python",
                str(self.python),
                "--offline",
                "--no-deps",
                *self._mode,
            ]
            command += ["--reinstall"] if again else []
        command += [] if backends is None else ["--no-build-isolation"]
        return self._start([*command, *map(str, what)], backends)

    def uninstall(self, name: str = DISTRIBUTION) -> subprocess.Popen[str]:
        if self.tool == "pip":
            return self._start(["pip", "--python", str(self.python), "uninstall", "--yes", name])
        return self._start(["uv", "pip", "uninstall", "--python", str(self.python), name])

    def _start(self, command: list[str], backends: Path | None = None) -> subprocess.Popen[str]:
        environ = {
            key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONPATH")
        }
        environ |= {"UV_CACHE_DIR": str(self._cache), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        if backends is not None:
            environ["PYTHONPATH"] = str(backends)
        return subprocess.Popen(
            [sys.executable, "-m", *command],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


def finish(process: subprocess.Popen[str], meanwhile: Callable[[], object] | None = None) -> str:
    """Wait until it is done, doing *meanwhile* over and over; it must have worked."""
    while meanwhile is not None and process.poll() is None:
        meanwhile()
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    return output


def kill_while_writing(
    process: subprocess.Popen[str], site: Path, burst: float, chance: random.Random
) -> bool:
    """SIGKILL it at a moment within *burst* seconds of its first write; False if it was done before."""
    before = _look(site)
    while process.poll() is None and _look(site) == before:
        pass
    moment = time.perf_counter() + chance.uniform(0, burst)
    while process.poll() is None and time.perf_counter() < moment:
        pass
    killed = process.poll() is None
    if killed:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    return killed


def _look(site: Path) -> tuple[object, ...]:
    try:
        return site.stat().st_mtime_ns, names_in(site)
    except FileNotFoundError:
        return ()


def fetch_backends(folder: Path) -> str:
    """Put real build backends into *folder*, from what uv has kept of them; what went wrong, if it did."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "uv", "pip", "install", "--offline", "--target", str(folder)),
            *("--python", sys.executable, "setuptools", "hatchling", "editables"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr if done.returncode else ""


def copy_environment(pattern: Path, folder: Path) -> Path:
    shutil.copytree(pattern, folder, symlinks=True)
    return folder


def names_in(folder: Path) -> list[str]:
    """What lies in *folder*, at this moment; pip removes even a site folder, when it has emptied it."""
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - thousands of times a second
    except FileNotFoundError:
        return []


def states(site: Path, judge: Callable[[str], object]) -> Mapping[str, object]:
    """What *judge* says of every dist-info in *site*."""
    return {name: judge(str(site / name)) for name in names_in(site) if name.endswith(".dist-info")}
