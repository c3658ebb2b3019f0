"""The demo as a newcomer meets it: real processes, from the command line to the last line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.real_services

LIMIT = 20
"""Seconds that the demo may take at most; a process that takes longer is stopped, and the test fails."""

PYTHON = [sys.executable, "-m", "hotplug"]


def ends(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=LIMIT,
        check=False,
    )


def test_ends_by_itself_with_an_answer():
    """
    ``python -m hotplug demo --json`` ends with 0 in time, and says that two users were kept apart.
    """
    done = ends([*PYTHON, "demo", "--json"])

    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert [user["user"] for user in answer["users"]] == ["ada", "grace"]
    assert all(user["fills"] for user in answer["users"])
    assert answer["isolated"] is True


def test_the_script_does_the_same():
    """
    The installed script ``hotplug`` runs it as well, and shows people the way on.
    """
    done = ends([str(Path(sys.executable).with_name("hotplug")), "demo"])

    assert done.returncode == 0, done.stderr
    assert "What to try next" in done.stdout
    assert done.stderr == ""


def test_many_users_end_in_time():
    """
    Sixteen users over thirteen years of bars are done in time too.
    """
    done = ends([*PYTHON, "demo", "--json", "--users", "16", "--symbol", "MSFT"])

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["isolated"] is True


@pytest.mark.parametrize("symbol", ["AAPL", "FB", "GOOG", "MSFT"])
def test_every_symbol_plays(symbol):
    """
    There is no symbol over which the demo stumbles.
    """
    done = ends([*PYTHON, "demo", "--json", "--symbol", symbol])

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["symbol"] == symbol


def test_needs_no_locale():
    """
    In the C locale, without home or terminal, it ends with 0.
    """
    done = ends([*PYTHON, "demo"], LC_ALL="C", LANG="C", TERM="dumb", HOME="/nonexistent", NO_COLOR="1")

    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout


def test_a_reader_that_leaves_is_no_crash():
    """
    ``hotplug demo | head -1`` leaves no traceback behind.
    """
    with subprocess.Popen([*PYTHON, "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
        process.wait(LIMIT)

    assert b"Traceback" not in said


def test_misspelt_options_end_at_once():
    """
    A wrong symbol is a usage error with a hint, through the whole command line.
    """
    done = ends([*PYTHON, "demo", "--symbol", "IBN"])

    assert done.returncode == 2
    assert "did you mean 'IBM'?" in done.stderr
    assert done.stdout == ""
