"""
Runs plugin code in processes of its own, several at a time, and believes nothing but their answers.

    request ──stdin──▶ child ──answer file──▶ Outcome
                         └──what it prints, how it ends, where it hung──┘
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hotplug._config import Config

__all__ = ["Outcome", "Task", "outcome_in", "run_all"]

JOBS: Final = 4
TAIL: Final = 16_384
"""Bytes of a child's output that are kept, from its end."""

PIPE_GRACE: Final = 0.5
"""Seconds for the output of a child that has ended; a grandchild may hold the pipe for ever."""

LAST_GRACE: Final = 10.0
"""Seconds that a child may be late: it keeps the time itself, unless plugin code takes its watchdog away."""

BOOT: Final = (
    "import json, sys; request = json.loads(sys.stdin.buffer.read()); "
    "sys.path[:] = request['import_path']; from hotplug._cli._probe import run; run(request)"
)


@dataclass(frozen=True)
class Task:
    """
    One thing to find out: ``examine`` the plugin *name* (``kind/key``), or which ``kinds`` hooks contribute.

    *limit* (seconds) is what each step of loading may take, *patience* what the whole may, *disable* is
    added to the configuration's.
    """

    task: str
    name: str
    config: Config
    limit: float
    patience: float
    path: list[str] | None
    import_path: list[str]
    disable: tuple[str, ...] = ()

    def request(self, folder: Path) -> bytes:
        """What the child is told; its files are in *folder*."""
        source = self.config.source
        parts = {
            "task": self.task,
            "name": self.name,
            "config": self.config.text,
            "source": source,
            "folder": str(Path(source).absolute().parent) if source else "",
            "limit": self.limit,
            "patience": self.patience,
            "path": self.path,
            "import_path": self.import_path,
            "disable": self.disable,
            "answer": str(folder / "answer"),
            "trace": str(folder / "trace"),
        }
        return json.dumps(parts).encode()


@dataclass(frozen=True)
class Outcome:
    """
    How one child ended: with an *answer*, or with *how* it ended instead.

    *trace* is where it was when its time was up, *output* the end of what it printed.
    """

    answer: Any = None
    how: str = ""
    timed_out: bool = False
    trace: str = ""
    output: str = ""


def run_all(tasks: Sequence[Task], done: Callable[[Task, Outcome], None]) -> None:
    """Run every task in a process of its own; *done* hears of each as it ends. No child outlives this."""
    asyncio.run(_run_all(tasks, done))


async def _run_all(tasks: Sequence[Task], done: Callable[[Task, Outcome], None]) -> None:
    slots = asyncio.Semaphore(JOBS)

    async def run(task: Task) -> None:
        async with slots:
            with tempfile.TemporaryDirectory(prefix="hotplug-") as folder:
                done(task, await _run(task, Path(folder)))

    async with asyncio.TaskGroup() as group:
        for task in tasks:
            group.create_task(run(task))


async def _run(task: Task, folder: Path) -> Outcome:
    loop = asyncio.get_running_loop()
    transport, child = await loop.subprocess_exec(
        _Child,
        sys.executable,
        "-X",
        "faulthandler",
        "-c",
        BOOT,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        stdin = cast("asyncio.WriteTransport", transport.get_pipe_transport(0))
        stdin.write(task.request(folder))
        stdin.write_eof()
        in_time = await _within(task.patience + LAST_GRACE, child.ended)
    finally:
        await _end(transport, child)
    return outcome_in(folder, transport.get_returncode(), child.tail, in_time=in_time)


async def _within(seconds: float, event: asyncio.Event) -> bool:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True


class _Child(asyncio.SubprocessProtocol):
    """Listens to one child."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.closed = asyncio.Event()
        self.tail = b""

    def pipe_data_received(self, fd: int, data: bytes) -> None:  # noqa: ARG002 - output and errors are one pipe
        self.tail = (self.tail + data)[-TAIL:]

    def process_exited(self) -> None:
        self.ended.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - an end is an end
        self.closed.set()


async def _end(transport: asyncio.SubprocessTransport, child: _Child) -> None:
    """Kill the child, if it lives, and whatever it started and left in its group; see it off."""
    with contextlib.suppress(ProcessLookupError, PermissionError, AttributeError):
        os.killpg(transport.get_pid(), signal.SIGKILL)  # some systems know no process groups
    with contextlib.suppress(ProcessLookupError):
        transport.kill()
    await child.ended.wait()
    await _within(PIPE_GRACE, child.closed)
    transport.close()
    await child.closed.wait()


def outcome_in(folder: Path, code: int | None, tail: bytes, *, in_time: bool) -> Outcome:
    """How a child ended whose files are in *folder*, by exit *code* and the *tail* of its output."""
    output = tail.decode(errors="replace")
    trace = _text_of(folder / "trace")
    text = _text_of(folder / "answer")
    if not text:
        if trace or not in_time:
            return Outcome(how="did not come back", timed_out=True, trace=trace, output=output)
        return Outcome(how=f"ended the process that tried it: {_ending(code)}", output=output)
    try:
        return Outcome(json.loads(text), output=output)
    except ValueError:
        return Outcome(how="left an answer that makes no sense", output=output)


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"
