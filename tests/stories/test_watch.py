"""`hotplug watch` as a shell starts it: a process of its own, followed by its output, ended by a signal."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

pytestmark = pytest.mark.real_services

LIMIT = 30.0
TOOL = "from acme_tool import helper\n\ndef adder(a: int, b: int) -> int:\n    return helper.plus(a, b)\n"
HELPER = "def plus(a, b):\n    return a + b\n"


class Child:
    """A running `hotplug watch`, and what it has written."""

    def __init__(self, *arguments, read=True):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hotplug", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        )
        self.lines = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        if read:
            self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()

    def sees(self, *parts):
        deadline = time.monotonic() + LIMIT
        with self._news:
            while not (found := [line for line in self.lines if all(part in line for part in parts)]):
                assert time.monotonic() < deadline, f"no line with {parts} in {self.lines}"
                self._news.wait(0.1)
        return found[0]

    def end(self, number):
        """Send the signal; the exit code and standard error."""
        self.process.send_signal(number)
        code = self.process.wait(LIMIT)
        self._reader.join(LIMIT)
        return code, self.process.stderr.read()


@pytest.fixture
def watch(environment, tmp_path, monkeypatch):
    """Starts one, on a tool that lies where it is edited; kills it if it is there at the end."""
    monkeypatch.setenv("HOTPLUG_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    info = environment.install(
        "acme-tool",
        "1.0",
        advertises={"hotplug.tools": {"adder": "acme_tool:adder"}},
        files={"acme_tool/__init__.py": TOOL, "acme_tool/helper.py": HELPER},
        record=False,
    )
    (info / "INSTALLER").unlink()
    children = []

    def start(*arguments, read=True):
        children.append(Child("watch", "--path", str(environment.folder), *arguments, read=read))
        return children[-1]

    yield start
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            child.process.kill()
        child.process.wait(LIMIT)
        child.process.stdout.close()
        child.process.stderr.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_editor_at_work(watch, environment, number):
    """
    Saved, saved wrong, mended: a line each, at once, through a pipe; then a signal, and exit code 0.
    """
    helper = environment.folder / "acme_tool/helper.py"
    child = watch("--load")
    child.sees("watching")

    helper.write_text("def plus(a, b):\n    return b + a\n")
    child.sees("reloaded", "acme-tool 1.0: ~ tools/adder; generation 2")
    helper.write_text("def plus(a, b:\n    return b + a\n")
    child.sees("refused", f"{helper}:1: '(' was never closed")
    helper.write_text(HELPER)
    child.sees("reloaded", "generation 3")

    assert child.end(number) == (0, "")


def test_a_program_that_reads_along(watch, environment):
    """
    Every line is an object, whatever the plugins print.
    """
    helper = environment.folder / "acme_tool/helper.py"
    child = watch("--load", "--json")
    child.sees('"watching"')

    helper.write_text(f"{HELPER}print('hello')\n")
    child.sees('"reloaded"')
    code, errors = child.end(signal.SIGTERM)

    assert (code, errors) == (0, "hello\n")
    assert [json.loads(line)["event"] for line in child.lines] == ["plugin", "watching", "reloaded"]


def test_nobody_reads_any_more(watch, environment):
    """
    Who closes the pipe, as `head` does, ends it with the next line, without a traceback.
    """
    child = watch(read=False)
    while "watching" not in child.process.stdout.readline():
        pass
    child.process.stdout.close()

    deadline = time.monotonic() + LIMIT
    while child.process.poll() is None:
        assert time.monotonic() < deadline, "it goes on writing to nobody"
        (environment.folder / "acme_tool/helper.py").write_text(f"n = {time.monotonic_ns()}\n")
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.process.wait(0.5)

    assert "Traceback" not in child.process.stderr.read()
