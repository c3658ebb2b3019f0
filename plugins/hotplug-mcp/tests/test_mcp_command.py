"""``hotplug mcp serve``, in this process."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time

import pytest
from click.testing import CliRunner

from hotplug_mcp import _command
from hotplug_mcp._command import mcp

SOON = 20.0


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs ``mcp serve`` over HTTP in an empty folder."""
    monkeypatch.setenv("HOTPLUG_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("HOTPLUG_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HOTPLUG_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        return CliRunner().invoke(mcp, ["serve", "--transport", "http", *map(str, arguments)])

    return run


def _stop_when_it_listens(port):
    """Wait until somebody listens, then tell this process to stop, as an operator would."""
    deadline = time.monotonic() + SOON
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            continue
        os.kill(os.getpid(), signal.SIGTERM)
        return


def _free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def test_serves_until_it_is_told_to_stop(run):
    """
    It says where, and for whom; SIGTERM is a clean end.
    """
    port = _free_port()
    operator = threading.Thread(target=_stop_when_it_listens, args=(port,))
    operator.start()
    result = run("--port", port, "--user", "ada")
    operator.join(SOON)

    assert result.output == f"serving the tools of ada at http://127.0.0.1:{port}/mcp\nstopped\n"
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (("--host", "0.0.0.0"), 2, "--token-file"),
        (("--token-file", "none.toml"), 2, "does not exist"),
        (("--token-file", "wrong.toml"), 2, "[[principal]]"),
        (("--config", "none.toml"), 2, "none.toml"),
        (("--port", "70000"), 2, "70000"),
        (("--transport", "pigeon"), 2, "pigeon"),
    ],
)
def test_what_cannot_be_is_said(run, tmp_path, arguments, code, why):
    """
    With the exit code for what was asked wrongly.
    """
    (tmp_path / "wrong.toml").write_text("")
    (tmp_path / "wrong.toml").chmod(0o600)

    result = run(*arguments)

    assert result.exit_code == code, result.output
    assert why in result.output


def test_a_port_that_is_taken_is_said(run):
    """
    It is nobody's usage error.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = run("--port", taken.getsockname()[1])

    assert result.exit_code == 1
    assert "in use" in result.output


def test_without_a_name_it_is_who_runs_it(monkeypatch):
    """
    And somebody local where the system knows no name.
    """
    monkeypatch.setattr(_command.getpass, "getuser", lambda: "eve")
    assert _command._who_runs_this() == "eve"

    def unknown():
        raise KeyError("uid")

    monkeypatch.setattr(_command.getpass, "getuser", unknown)
    assert _command._who_runs_this() == "local"
