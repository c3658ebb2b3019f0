"""Wheels made by hand are wheels."""

from __future__ import annotations

import base64
import hashlib
import runpy
import zipfile
from pathlib import Path

import pytest

from hotplug._discovery import discover
from hotplug.testing._wheel import build_project, build_wheel

GROUPS = {"hotplug.brokers": "brokers"}
ACME = {"hotplug.brokers": {"acme": "acme:Broker"}}


def test_says_what_it_was_told(tmp_path):
    """
    Name, version, requirements, entry points and files stand where installers look for them.
    """
    path = build_wheel(
        tmp_path / "made", "acme-broker", "2.0", advertises=ACME, files={"acme.py": "x"}, requires=["numpy"]
    )

    assert path.name == "acme_broker-2.0-py3-none-any.whl"
    with zipfile.ZipFile(path) as wheel:
        assert wheel.read("acme.py") == b"x"
        metadata = wheel.read("acme_broker-2.0.dist-info/METADATA").decode()
        assert (
            wheel.read("acme_broker-2.0.dist-info/entry_points.txt")
            == b"[hotplug.brokers]\nacme = acme:Broker\n"
        )
    assert metadata.splitlines() == [
        "Metadata-Version: 2.1",
        "Name: acme-broker",
        "Version: 2.0",
        "Requires-Dist: numpy",
    ]


def test_record_is_true(tmp_path):
    """
    RECORD lists every file with its sum and size, and itself without.
    """
    path = build_wheel(tmp_path, "acme", files={"acme.py": b"\xff"})

    with zipfile.ZipFile(path) as wheel:
        rows = [row.split(",") for row in wheel.read("acme-1.0.dist-info/RECORD").decode().splitlines()]
        assert sorted(row[0] for row in rows) == sorted(wheel.namelist())
        for name, digest, size in rows[:-1]:
            data = wheel.read(name)
            expected = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            assert (digest, size) == (f"sha256={expected}", str(len(data)))
    assert rows[-1] == ["acme-1.0.dist-info/RECORD", "", ""]


def test_no_entry_points(tmp_path):
    """
    A wheel that advertises nothing has no file for it.
    """
    with zipfile.ZipFile(build_wheel(tmp_path, "acme")) as wheel:
        assert not [name for name in wheel.namelist() if name.endswith("entry_points.txt")]


@pytest.mark.usefixtures("own_index")
def test_a_project_hands_out_an_editable_wheel(tmp_path):
    """
    The project's backend gives installers a wheel that points to the source, the latest that was made.
    """
    build_project(tmp_path / "project", "acme", advertises={"hotplug.brokers": {"old": "a:b"}})
    project = build_project(
        tmp_path / "project", "acme", advertises=ACME, files={"acme.py": "x", "a/b.bin": b"y"}
    )
    backend = runpy.run_path(str(project / "backend.py"), init_globals={})

    name = backend["build_editable"](str(tmp_path))

    with zipfile.ZipFile(tmp_path / name) as wheel:
        assert wheel.read("__editable__.acme-1.0.pth").decode() == f"{project / 'src'}\n"
    assert [record.name for record in discover(GROUPS, [str(tmp_path / name)]).records] == ["acme"]
    assert (project / "src" / "a" / "b.bin").read_bytes() == b"y"
    assert Path(project, "pyproject.toml").is_file()
