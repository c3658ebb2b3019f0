"""``hotplug broker serve``, in this process."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import threading
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from hotplug_broker_grpc._command import serve_command

SOON = 20.0


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """Runs the command with a configuration of one paper broker."""
    monkeypatch.setenv("HOTPLUG_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hotplug.toml").write_text('[brokers.main]\nplugin = "paper"\n')

    def run(*arguments):
        return CliRunner().invoke(serve_command, [str(argument) for argument in arguments])

    return run


def _stop_when_it_listens(path):
    """Wait until somebody listens at *path*, then tell this process to stop, as an operator would."""
    deadline = time.monotonic() + SOON
    with socket.socket(socket.AF_UNIX) as probe:
        while time.monotonic() < deadline:
            try:
                probe.connect(str(path))
            except OSError:
                continue
            os.kill(os.getpid(), signal.SIGTERM)
            return


def test_serves_until_it_is_told_to_stop(serve):
    """
    It says where it listens; SIGTERM is a clean end, and the socket is gone.
    """
    with tempfile.TemporaryDirectory(prefix="g") as folder:
        path = Path(folder, "s")
        operator = threading.Thread(target=_stop_when_it_listens, args=(path,))
        operator.start()
        result = serve("main", "--address", f"unix:{path}")
        operator.join(SOON)

        assert result.output == f"serving main at unix:{path}\nstopping\n"
        assert result.exit_code == 0
        assert not path.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (("main", "--address", "192.0.2.1:1"), 2, "needs TLS"),
        (("main", "--address", "here"), 2, "is no address"),
        (("main", "--config", "none.toml"), 2, "none.toml"),
        (("mian",), 1, "did you mean 'main'"),
        ((), 2, "Missing argument 'KEY'"),
    ],
)
def test_what_cannot_be_is_said(serve, arguments, code, why):
    """
    2 for what was asked wrongly, 1 for what is not there.
    """
    result = serve(*arguments)

    assert result.exit_code == code, result.output
    assert why in result.output
