"""Every row of the invalidation table: what pip and uv do to an environment, done by pip and uv."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from hotplug import _discovery
from hotplug._discovery import discover, stamp
from hotplug.testing._wheel import build_project, build_wheel

pytestmark = pytest.mark.real_services

GROUPS = {"hotplug.brokers": "brokers"}


class Installer:
    """pip or uv, working on one environment without a network."""

    def __init__(self, tool: str, python: Path, *options: str, cache: Path) -> None:
        self.tool = tool
        self.python = python
        self.options = options
        self.cache = cache

    def install(self, *what: object, again: bool = False) -> None:
        flags = {"pip": ["--force-reinstall"], "uv": ["--reinstall"]}[self.tool] if again else []
        if self.tool == "pip":
            command = ["pip", "--python", str(self.python), "install", "--no-index", "--no-deps"]
        else:
            command = ["uv", "pip", "install", "--python", str(self.python), "--offline", "--no-deps"]
        self._run(*command, *self.options, *flags, *map(str, what))

    def uninstall(self, name: str) -> None:
        if self.tool == "pip":
            self._run("pip", "--python", str(self.python), "uninstall", "--yes", name)
        else:
            self._run("uv", "pip", "uninstall", "--python", str(self.python), name)

    def _run(self, *command: str) -> None:
        environ = {**os.environ, "UV_CACHE_DIR": str(self.cache), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        environ = {key: value for key, value in environ.items() if key not in ("VIRTUAL_ENV", "PYTHONPATH")}
        done = subprocess.run(
            [sys.executable, "-m", *command], env=environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with nothing in it, made once."""
    folder = tmp_path_factory.mktemp("pattern") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder


@pytest.fixture(params=["pip", "uv hardlink", "uv copy"])
def installer(request, pattern, tmp_path):
    """Each installer in each of its ways, with an environment of its own."""
    tool, _, mode = request.param.partition(" ")
    folder = tmp_path / "venv"
    shutil.copytree(pattern, folder, symlinks=True)
    options = ["--link-mode", mode] if mode else []
    return Installer(tool, folder / "bin" / "python", *options, cache=tmp_path / "uv-cache")


@pytest.fixture
def site(installer):
    """The folder that the installer fills."""
    prefix = str(installer.python.parent.parent)
    return Path(sysconfig.get_path("purelib", "venv", vars={"base": prefix, "platbase": prefix}))


@pytest.fixture(params=["memory", "memory, trusted at once", "index"])
def look(request, site, own_index):
    """Ways to look again: by what the process remembers, and by what an earlier one wrote down."""
    if request.param != "memory":
        request.getfixturevalue("an_hour_later")

    def discovered(**options: bool) -> list[str]:
        if request.param == "index":
            _discovery.forget()
        answer = discover(GROUPS, [str(site)], **options)
        assert answer.problems == ()
        return [f"{record.name} {record.version} {record.value}" for record in answer.records]

    return discovered


def wheel(folder: Path, version: str = "1.0", *, value: str = "acme:Broker", name: str = "acme") -> Path:
    """A wheel whose plugin points at *value*."""
    advertises = {"hotplug.brokers": {name: value}}
    return build_wheel(
        folder, f"{name}-broker", version, advertises=advertises, files={f"{name}.py": "Broker = 1\n"}
    )


def test_new_upgrade_downgrade_uninstall(installer, look, tmp_path):
    """
    A new distribution, a higher version, a lower one and its removal are each seen at once.
    """
    seen = [look()]
    for version in ("1.0", "2.0", "1.5"):
        installer.install(wheel(tmp_path, version))
        seen.append(look())
    installer.uninstall("acme-broker")
    seen.append(look())

    assert seen == [[], ["acme 1.0 acme:Broker"], ["acme 2.0 acme:Broker"], ["acme 1.5 acme:Broker"], []]


def test_the_same_version_again(installer, look, tmp_path):
    """
    A wheel of the same version with other entry points, installed over the first, is seen.
    """
    installer.install(wheel(tmp_path, value="acme:First"))
    installer.install(wheel(tmp_path, name="other", value="a:b"))
    before = look()
    installer.install(wheel(tmp_path, value="acme:Other"), again=True)

    assert before == ["acme 1.0 acme:First", "other 1.0 a:b"]
    assert look() == ["acme 1.0 acme:Other", "other 1.0 a:b"]


def test_the_same_wheel_again(installer, site, look, tmp_path):
    """
    The same wheel installed again is another installation: its stamp differs, what it says does not.
    """
    made = wheel(tmp_path)
    installer.install(made)
    before = look()
    [record] = discover(GROUPS, [str(site)]).records
    first = stamp(record)
    installer.install(made, again=True)

    assert look() == before
    assert stamp(record) != first


def test_editable(installer, look, tmp_path):
    """
    Entry points of an editable installation are seen when it is installed again, and not before.
    """
    project = build_project(
        tmp_path / "project", "acme", advertises={"hotplug.brokers": {"acme": "acme:First"}}
    )
    installer.install("--editable", project)
    seen = [look()]
    build_project(tmp_path / "project", "acme", advertises={"hotplug.brokers": {"acme": "acme:Other"}})
    seen.append(look())
    installer.install("--editable", project, again=True)
    seen.append(look())

    assert seen == [["acme 1.0 acme:First"], ["acme 1.0 acme:First"], ["acme 1.0 acme:Other"]]


def test_editable_is_marked(installer, site, own_index, tmp_path):
    """
    What was installed editable is marked so, and nothing else is.
    """
    advertises = {"hotplug.brokers": {"draft": "draft:Broker"}}
    installer.install("--editable", build_project(tmp_path / "project", "draft", advertises=advertises))
    installer.install(wheel(tmp_path))

    records = discover(GROUPS, [str(site)]).records

    assert {record.name: record.editable for record in records} == {"draft": True, "acme": False}


@pytest.mark.parametrize("way", ["in place", "in place, old time put back", "by rename"])
def test_edited_by_hand(installer, site, look, tmp_path, way):
    """
    Entry points that were edited in the installed files, of the same size, are seen by a fresh look.
    """
    installer.install(wheel(tmp_path, value="acme:First"))
    look()
    [file] = site.glob("acme_broker-*.dist-info/entry_points.txt")
    before = file.stat()
    text = file.read_text().replace("First", "Other")
    if way == "by rename":
        file.with_name("new").write_text(text)
        file.with_name("new").replace(file)
    else:
        file.unlink() if file.stat().st_nlink > 1 else None  # never write into uv's cache
        file.write_text(text)
    if way == "in place, old time put back":
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert look(fresh=True) == ["acme 1.0 acme:Other"]


def test_egg_info_in_a_source_folder(tmp_path, own_index, an_hour_later, tick):
    """
    An egg-info that is regenerated beside its source is seen, though its folder's stamp is the same.
    """
    info = tmp_path / "acme.egg-info"
    seen = []
    for value in ("acme:First", "acme:Other"):
        info.mkdir(exist_ok=True)
        (info / "PKG-INFO").write_text("Name: acme\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[hotplug.brokers]\nacme = {value}\n")
        seen.append([record.value for record in discover(GROUPS, [str(tmp_path)]).records])
        tick()

    assert seen == [["acme:First"], ["acme:Other"]]


def test_a_killed_upgrade_leaves_no_ghost(installer, site, look, tmp_path):
    """
    What pip renames during an upgrade, and leaves when it is killed, is not found.
    """
    installer.install(wheel(tmp_path, "1.0"))
    [info] = site.glob("acme_broker-*.dist-info")
    shutil.copytree(info, site / "~cme_broker-1.0.dist-info")
    installer.install(wheel(tmp_path, "2.0"))

    assert look() == ["acme 2.0 acme:Broker"]
