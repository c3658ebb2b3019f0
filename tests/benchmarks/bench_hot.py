"""
From a save to the new code answering, beside a process that starts anew and beside `importlib.reload`.

    pytest tests/benchmarks/bench_hot.py -o python_files='bench_*.py' -s

A plugin of one module and one of fifty, edited 200 times each (HOTPLUG_EDITS), the file in the middle of
the package; beside four threads that call it a thousand times a second each, and beside four that do
nothing else. The host watches by itself: what is timed is from just before the save to the first call that
is answered by the new text. `importlib.reload` is called by hand right after the save, so nothing watches
there; a restart is a process that is ended and started by hand, too. uvicorn's reloader, if it is
installed, watches by itself. Times are printed and stand in ``extra_info``; none is asserted: the bars of
DESIGN 6 stand beside them.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from following import ALL_KINDS, forget_packages
from hotplug import Config, Host
from hotplug.testing import Environment

EDITS = int(os.environ.get("HOTPLUG_EDITS", "200"))
RESTARTS = 10
BARS = {"paced": (60, 150), "busy": (400, 1500)}
ENTRY = """\
from following import Voice
from zeta.{middle} import told

class Zeta(Voice):
    def say(self):
        return told()
"""
MODULE = """\
import dataclasses, typing
{imports}
VALUE = {number}

def greet(name: str) -> str:
    return f"hello {{name}}"

@dataclasses.dataclass
class Thing:
    name: str
    size: int = {number}

    def show(self) -> str:
        return greet(self.name) * self.size
"""
Save = Callable[[str], None]


def package(folder: Path, count: int) -> tuple[Environment, Save]:
    """A plugin of *count* modules beside its metadata, and what saves the one that says the mark."""
    world = Environment(folder)
    numbers = range(1, count)
    middle = count // 2
    told = "\n\ndef told() -> str:\n    return MARK\n\nMARK = {mark!r}\n"
    if count == 1:
        text = (
            "from following import Voice\n\nclass Zeta(Voice):\n    def say(self):\n        return told()\n"
            + told
        )
        files = {"zeta/__init__.py": text.format(mark="000000")}
        edited = world.folder / "zeta" / "__init__.py"
    else:
        files = {"zeta/__init__.py": ENTRY.format(middle=f"m{middle}")}
        for number in numbers:
            imports = f"from zeta import m{number + 1}" if number + 1 < count else ""
            files[f"zeta/m{number}.py"] = MODULE.format(imports=imports, number=number)
        text = files[f"zeta/m{middle}.py"].replace("{", "{{").replace("}", "}}") + told
        files[f"zeta/m{middle}.py"] = text.format(mark="000000")
        files["zeta/__init__.py"] = "from zeta import m1\n" + files["zeta/__init__.py"]
        edited = world.folder / "zeta" / f"m{middle}.py"
    info = world.install(
        "zeta-voice", "1.0", advertises={"story.voices": {"zeta": "zeta:Zeta"}}, files=files, record=False
    )
    (info / "INSTALLER").unlink()

    def save(mark: str) -> None:
        other = edited.with_name(f".{edited.name}.tmp")
        other.write_text(text.format(mark=mark))
        other.replace(edited)

    return world, save


@contextmanager
def beside(load: str, call: Callable[[], object]) -> Iterator[None]:
    """Four threads that call, a thousand times a second each, or that never stop; or none."""
    over = threading.Event()

    def paced() -> None:
        while not over.wait(0.001):
            call()

    def busy() -> None:
        while not over.is_set():
            call()

    run = {"paced": paced, "busy": busy}.get(load)
    threads = [threading.Thread(target=run) for _ in range(4)] if run else []
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def times_of(save: Save, said: Callable[[], str], after: Callable[[], object] | None = None) -> list[float]:
    """Milliseconds from each save until what it says is said; *after* a save that is done by hand."""
    times = []
    for number in range(1, EDITS + 1):
        mark = f"{number:06}"
        began = time.perf_counter()
        save(mark)
        if after is not None:
            after()
        while said() != mark:
            assert time.perf_counter() < began + 60, (mark, said())
            time.sleep(0.0005)
        times.append(1e3 * (time.perf_counter() - began))
    return times


def hot(world: Environment, save: Save, load: str) -> list[float]:
    sys.path.insert(0, str(world.folder))
    try:
        with Host(Config(), kinds=ALL_KINDS, path=world.path, cache=False) as host:
            voices = host.registry("voices")

            def say() -> str:
                return voices.get("zeta").say()

            say()
            host.watch()
            with beside(load, say):
                return times_of(save, say)
    finally:
        sys.path.remove(str(world.folder))
        forget_packages(["zeta"])


def reloaded(world: Environment, save: Save, load: str) -> list[float]:
    """`importlib.reload` of all modules, innermost first, called at once: nobody has to notice."""
    sys.path.insert(0, str(world.folder))
    sys.dont_write_bytecode = True  # or same-second same-size edits are not seen
    try:
        zeta = importlib.import_module("zeta")
        names = [*sorted((name for name in sys.modules if name.startswith("zeta.")), reverse=True), "zeta"]

        def say() -> str:
            return zeta.Zeta().say()

        def again() -> None:
            importlib.invalidate_caches()
            for name in names:
                importlib.reload(sys.modules[name])

        with beside(load, say):
            return times_of(save, say, again)
    finally:
        sys.dont_write_bytecode = False
        sys.path.remove(str(world.folder))
        forget_packages(["zeta"])


APPLICATION = """\
import sys
from following import ALL_KINDS
from hotplug import Config, Host
with Host(Config(), kinds=ALL_KINDS, path=[sys.argv[1]], cache=False) as host:
    print(host.registry("voices").get("zeta").say(), flush=True)
    sys.stdin.read()
"""


def restarted(world: Environment, save: Save, load: str) -> list[float]:
    """The process is ended, and one like it started, right after the save."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(world.folder), *sys.path])}
    command = [sys.executable, "-c", APPLICATION, str(world.folder)]

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    times = []
    with beside(load, lambda: None):
        running = start()
        assert running.stdout is not None
        running.stdout.readline()
        for number in range(1, RESTARTS + 1):
            began = time.perf_counter()
            save(f"{number:06}")
            running.terminate()
            running.communicate()
            running = start()
            assert running.stdout is not None
            assert running.stdout.readline().strip() == f"{number:06}"
            times.append(1e3 * (time.perf_counter() - began))
        running.communicate("")
    return times


SERVED = """\
import sys
from following import ALL_KINDS
from hotplug import Config, Host
host = Host(Config(), kinds=ALL_KINDS, path=[{folder!r}], cache=False)
host.start()
async def app(scope, receive, send):
    body = host.registry("voices").get("zeta").say().encode()
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": body}})
"""


def served(world: Environment, save: Save, port: int) -> list[float]:
    """uvicorn with ``--reload``, asked over and over whether it says the new mark."""
    (world.folder / "served.py").write_text(SERVED.format(folder=str(world.folder)))
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(world.folder), *sys.path])}
    options = ["--reload", "--reload-dir", str(world.folder), "--port", str(port), "--log-level", "critical"]
    running = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "served:app", "--lifespan", "off", *options],
        env=environ,
        cwd=world.folder,
        start_new_session=True,
    )

    def say() -> str:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as line:
                line.sendall(b"GET / HTTP/1.0\r\n\r\n")
                answer = b""
                while more := line.recv(4096):
                    answer += more
            return answer.rpartition(b"\r\n\r\n")[2].decode()
        except OSError:
            return ""

    def wait(mark: str) -> None:
        deadline = time.perf_counter() + 60
        while say() != mark:
            assert time.perf_counter() < deadline
            time.sleep(0.002)

    times = []
    try:
        wait("000000")
        for number in range(1, RESTARTS + 1):
            began = time.perf_counter()
            save(f"{number:06}")
            wait(f"{number:06}")
            times.append(1e3 * (time.perf_counter() - began))
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    return times


def show(benchmark, title: str, times: list[float], load: str = "") -> None:
    ordered = sorted(times)
    p50, p99 = statistics.median(ordered), ordered[int(0.99 * (len(ordered) - 1))]
    bars = f"   (bars {BARS[load][0]} / {BARS[load][1]})" if load in BARS and "hotplug" in title else ""
    print(f"  {title:<34} p50 {p50:8.1f}  p99 {p99:8.1f}  worst {ordered[-1]:8.1f} ms of {len(times)}{bars}")
    benchmark.extra_info[title] = {"p50": round(p50, 2), "p99": round(p99, 2)}


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("load", ["idle", "paced", "busy"])
@pytest.mark.parametrize("count", [1, 50])
def test_save_to_served(benchmark, tmp_path, count, load):
    """From the save to the first call that is answered by it, and what one would do without hotplug."""
    benchmark.pedantic(lambda: None)
    print(f"\n{count} modules, {load}")
    ways = {"hotplug, watching": hot, "importlib.reload, by hand": reloaded, "process restart": restarted}
    for title, way in ways.items():
        world, save = package(tmp_path / way.__name__, count)
        show(benchmark, title, way(world, save, load), load)


@pytest.mark.skipif(importlib.util.find_spec("uvicorn") is None, reason="uvicorn is not installed")
@pytest.mark.parametrize("count", [1, 50])
def test_uvicorn(benchmark, tmp_path, count, port):
    """What the same takes with uvicorn's reloader, nobody else at work."""
    benchmark.pedantic(lambda: None)
    print(f"\n{count} modules, uvicorn --reload")
    world, save = package(tmp_path / "served", count)
    show(benchmark, "uvicorn --reload", served(world, save, port))
