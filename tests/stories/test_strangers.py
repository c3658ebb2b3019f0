"""What strangers do: install with plain pip, write a plugin elsewhere, install it into a running host."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.real_services

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
LONG = 300

HOST = """
import json, sys
import hotplug

def answer(**facts):
    print(json.dumps(facts), flush=True)

with hotplug.Host() as host:
    answer(keys=host.strategies.keys())
    for line in sys.stdin:
        verb, _, key = line.strip().partition(" ")
        if verb == "refresh":
            changes = host.refresh()
            answer(added=changes.added, removed=changes.removed, keys=host.strategies.keys())
        elif verb == "use":
            made = host.strategies.get(key, hotplug.UserExecutionContext("ada"))
            answer(type=type(made).__name__, qty=str(made.qty))
        elif verb == "traces":
            records = [str(status.record) for status in host.plugins]
            answer(modules=[name for name in sys.modules if "momentum" in name],
                   plugins=[record for record in records if "momentum" in record])
"""


def clean_environ() -> dict[str, str]:
    dropped = ("VIRTUAL_ENV", "PYTHONPATH", "HOTPLUG_CONFIG", "COVERAGE_PROCESS_START")
    return {key: value for key, value in os.environ.items() if key not in dropped}


def run(*command: object, **options: object) -> str:
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=LONG, env=clean_environ(), **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment in which hotplug and its plugins were installed by plain pip; its bin folder."""
    folder = tmp_path_factory.mktemp("newcomer") / "venv"
    run(sys.executable, "-m", "venv", folder)
    members = [part for path in sorted((ROOT / "plugins").iterdir()) for part in ("-e", path)]
    run(folder / "bin" / "python", "-m", "pip", "install", "-q", "-e", ROOT, *members)
    return folder / "bin"


@pytest.fixture
def momentum(newcomer, tmp_path) -> Path:
    """The README's third-party strategy, written in a folder of its own and built to a wheel."""
    project = tmp_path / "acme-momentum"
    (project / "src" / "acme_momentum").mkdir(parents=True)
    [pyproject] = re.findall(r"^```toml\n(# pyproject\.toml\n.*?)^```", README, re.DOTALL | re.MULTILINE)
    [code] = re.findall(r"^```python\n(# src/acme_momentum.*?)^```", README, re.DOTALL | re.MULTILINE)
    (project / "pyproject.toml").write_text(pyproject)
    (project / "src" / "acme_momentum" / "__init__.py").write_text(code)
    run(newcomer / "python", "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path, project)
    [wheel] = tmp_path.glob("*.whl")
    return wheel


def test_plain_pip_is_enough(newcomer, tmp_path):
    """
    After `pip install -e . -e plugins/…` every plugin is listed, and the demo runs.
    """
    listed = json.loads(run(newcomer / "hotplug", "list", "--json", cwd=tmp_path))
    advertised = {
        (group.removeprefix("hotplug."), name)
        for path in (ROOT / "plugins").glob("*/pyproject.toml")
        for group, points in tomllib.loads(path.read_text())["project"]["entry-points"].items()
        for name in points
    }
    played = json.loads(run(newcomer / "hotplug", "demo", "--json", cwd=tmp_path))

    assert {(row["kind"], row["name"]) for row in listed} == advertised
    assert played["isolated"] is True


def test_a_strangers_wheel_joins_and_leaves_a_running_host(newcomer, momentum, tmp_path):
    """
    A wheel built elsewhere is usable after pip and a refresh; uninstalled, it leaves nothing behind.
    """
    pip = [newcomer / "python", "-m", "pip"]
    with subprocess.Popen(
        [newcomer / "python", "-c", HOST],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=clean_environ(),
        cwd=tmp_path,
    ) as host:

        def ask(line: str) -> dict[str, object]:
            host.stdin.write(line + "\n")
            host.stdin.flush()
            return json.loads(host.stdout.readline())

        try:
            before = json.loads(host.stdout.readline())
            run(*pip, "install", "-q", "--no-deps", momentum)
            installed = ask("refresh")
            used = ask("use momentum")
            listed = run(newcomer / "hotplug", "list", "--json", cwd=tmp_path)
            run(*pip, "uninstall", "-q", "-y", "acme-momentum")
            removed = ask("refresh")
            traces = ask("traces")
        finally:
            host.stdin.close()
            host.wait(LONG)

    assert host.returncode == 0
    assert "momentum" not in before["keys"]
    assert installed["added"] == ["strategies/momentum"]
    assert used == {"type": "Momentum", "qty": "10"}
    assert any(row["name"] == "momentum" for row in json.loads(listed))
    assert removed["removed"] == ["strategies/momentum"]
    assert "momentum" not in removed["keys"]
    assert traces == {"modules": [], "plugins": []}
