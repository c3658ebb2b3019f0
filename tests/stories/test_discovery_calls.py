"""What discovery asks of the system, counted."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hotplug import _discovery

pytestmark = [
    pytest.mark.real_services,
    pytest.mark.skipif(
        shutil.which("strace") is None and not os.environ.get("CI"), reason="strace is not installed"
    ),
]

TESTS = Path(__file__).parents[1]
SOURCE = str(Path(_discovery.__file__).parents[2])
SCRIPT = (
    "import sys; source, site, times, ahead = sys.argv[1:]; sys.path[:0] = [source]\n"
    "import time, types, hotplug._discovery._survey as survey\n"
    "survey.time = types.SimpleNamespace(time_ns=lambda: time.time_ns() + int(ahead) * 10**9)\n"
    "from hotplug._discovery import discover\n"
    "for _ in range(int(times)): discover({'hotplug.brokers': 'brokers'}, [site])\n"
)


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """How many system calls a new process makes that looks at a folder some times."""
    monkeypatch.setenv("HOTPLUG_CACHE", str(tmp_path / "cache"))

    def count(site: Path, times: int, *, seconds_ahead: int = 0) -> int:
        summary = tmp_path / "summary"
        command = [sys.executable, "-I", "-S", "-c", SCRIPT, SOURCE, site, times, seconds_ahead]
        command = [str(word) for word in command]
        subprocess.run(["strace", "-f", "-c", "-o", str(summary), *command], check=True, capture_output=True)
        return int(summary.read_text().splitlines()[-1].split()[3])

    return count


def test_few_calls_for_each_distribution(tmp_path, calls):
    """
    A first look makes at most four calls for each distribution.
    """
    populate = runpy.run_path(str(TESTS / "benchmarks" / "synthetic.py"))["populate"]
    empty = populate(tmp_path / "empty", 0)
    full = populate(tmp_path / "full", 500)

    assert calls(full, 1) - calls(empty, 1) <= 4 * 500


def test_no_call_for_each_distribution_once_known(tmp_path, calls):
    """
    With a valid index the number of calls does not depend on the number of distributions.
    """
    populate = runpy.run_path(str(TESTS / "benchmarks" / "synthetic.py"))["populate"]
    full = populate(tmp_path / "full", 500)
    calls(full, 1, seconds_ahead=3600)

    assert calls(full, 1) - calls(full, 0) < 30
