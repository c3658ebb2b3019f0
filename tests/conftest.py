"""Worlds that more than one test file needs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Threads take turns every microsecond, so that races show themselves."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def cli(environment, monkeypatch, tmp_path):
    """The command line, looking at the pretend environment and at nothing of this machine's."""
    from click.testing import CliRunner

    from hotplug._cli._app import app

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOTPLUG_CACHE", str(tmp_path / "cache"))
    for name in ("HOTPLUG_CONFIG", "FORCE_COLOR", "TTY_COMPATIBLE", "VIRTUAL_ENV", "CONDA_PREFIX"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str, config: str | None = None):
        if config is not None:
            (tmp_path / "hotplug.toml").write_text(config)
        return CliRunner().invoke(app, ["--path", str(environment.folder), *arguments])

    return run


@pytest.fixture
def own_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache folder of the test's own; discovery remembers nothing from before, and nothing after."""
    from hotplug import _discovery

    folder = tmp_path / "cache"
    monkeypatch.setenv("HOTPLUG_CACHE", str(folder))
    _discovery.forget()
    yield folder
    _discovery.forget()


@pytest.fixture
def an_hour_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Discovery believes that whatever it looks at was done an hour ago, and trusts its stamps at once."""
    clock = SimpleNamespace(time_ns=lambda: time.time_ns() + 3_600_000_000_000)
    monkeypatch.setattr("hotplug._discovery._survey.time", clock)


@pytest.fixture
def tick(tmp_path: Path) -> Callable[[], None]:
    """Call it to wait until what changes next gets a later time than all before."""

    def wait() -> None:
        probe = tmp_path / "tick"
        probe.write_text("")
        before = probe.stat().st_ctime_ns
        deadline = time.monotonic() + 5
        while probe.stat().st_ctime_ns <= before:
            assert time.monotonic() < deadline, "the clock of the file system stands still"
            probe.write_text("")

    return wait
