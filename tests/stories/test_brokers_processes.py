"""Two processes and one journal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hotplug import brokers
from hotplug.brokers._events._journal import FileJournal, read_journal
from hotplug.brokers._events._log import EventLog

pytestmark = pytest.mark.real_services

SOURCE = str(Path(brokers.__file__).parents[2])
HEAD = (
    "import os, sys, time\n"
    "sys.path.insert(0, sys.argv[1])\n"
    "from decimal import Decimal\n"
    "from hotplug.brokers._events._journal import FileJournal\n"
    "from hotplug.brokers._events._log import EventLog\n"
    "from hotplug.market import Position\n"
    "def position(n):\n"
    "    return Position(account='A', symbol='S', qty=n, avg_price=None, realized_pnl=0)\n"
    "journal = FileJournal(sys.argv[2], fsync=True)\n"
    "log = EventLog(journal)\n"
    "print(journal.holder or 'mine', flush=True)\n"
)


@pytest.fixture
def start(tmp_path):
    """Starts a process that opens the journal and then does as it is told; it does not outlive the test."""
    started = []

    def begin(path: Path, code: str = "sys.stdin.read()\n") -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HEAD + code, SOURCE, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate(timeout=30)


def test_the_second_process_only_reads(tmp_path, start):
    """
    While one process writes, another reads what it wrote, is told who it is, and writes nothing.
    """
    path = tmp_path / "orders" / "main.jsonl"
    first = start(path, "log.append(position(1)); print('done', flush=True); sys.stdin.read()\n")
    assert [first.stdout.readline(), first.stdout.readline()] == ["mine\n", "done\n"]

    second = start(path)
    here = FileJournal(path)

    assert second.stdout.readline().startswith(f"pid {first.pid} on ")
    assert here.holder.startswith(f"pid {first.pid} on ")
    assert [line["event"] for line in here.read()] == ["open", "Position"]
    with pytest.raises(PermissionError, match=f"held by pid {first.pid} on"):
        EventLog(here).record("intent")
    here.close()


def test_the_lock_dies_with_its_holder(tmp_path, start):
    """
    A process that is killed holds nothing any more: the next one writes at once, after what it left.
    """
    path = tmp_path / "main.jsonl"
    first = start(path, "log.append(position(1)); print('done', flush=True); sys.stdin.read()\n")
    assert [first.stdout.readline(), first.stdout.readline()] == ["mine\n", "done\n"]
    first.send_signal(signal.SIGKILL)
    first.wait(30)

    log = EventLog(FileJournal(path))

    assert log.journal.holder is None
    assert log.next == 2
    log.record("intent")
    assert [line["event"] for line in log.lines()] == ["open", "Position", "open", "intent"]
    log.close()


def test_what_was_said_to_be_written_survives_a_kill(tmp_path, start):
    """
    Killed at any moment, a process has left every event that it told, and no half line that matters.
    """
    path = tmp_path / "main.jsonl"
    code = "n = log.next\nwhile True:\n    log.append(position(n)); os.write(1, b'%d\\n' % n); n += 1\n"
    told = 0
    for enough in (1, 50, 300):
        writer = start(path, code)
        assert writer.stdout.readline() == "mine\n"
        while told < enough:
            told = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        rest = writer.communicate(timeout=30)[0]
        told = max([told, *map(int, rest.split("\n")[:-1])])
        events = [line for line in read_journal(path) if line["event"] == "Position"]
        assert [line["seq"] for line in events] == list(range(1, len(events) + 1))
        assert [int(line["payload"]["qty"]) for line in events] == [line["seq"] for line in events]
        assert told <= len(events) <= told + 1
        told = len(events)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked here")
def test_a_child_does_not_keep_the_lock(tmp_path, start):
    """
    A forked child neither writes nor holds the journal: when the parent is killed, it is free.
    """
    path = tmp_path / "main.jsonl"
    code = (
        "if (child := os.fork()) == 0:\n"
        "    try: journal.append({})\n"
        "    except PermissionError as error: os.write(1, f'{error}\\n'.encode())\n"
        "    sys.stdin.read(); os._exit(0)\n"
        "log.append(position(1)); os.write(1, f'parent {child}\\n'.encode()); sys.stdin.read()\n"
    )
    parent = start(path, code)
    lines = {parent.stdout.readline() for _ in range(3)}
    [child] = [int(line.split()[1]) for line in lines if line.startswith("parent")]
    assert any(f"held by pid {parent.pid}, which this process is a fork of" in line for line in lines)
    assert FileJournal(path).holder is not None

    parent.send_signal(signal.SIGKILL)
    parent.wait(30)

    os.kill(child, 0)
    journal = FileJournal(path)
    assert journal.holder is None
    assert [json.loads(line)["event"] for line in path.read_text().splitlines()] == ["open", "Position"]
    journal.close()
    os.kill(child, signal.SIGKILL)
