"""
What it takes to replace the modules of a package: beside `importlib.reload` and purge-and-import.

    pytest tests/benchmarks/bench_generations.py -o python_files='bench_*.py' -s

Idle, and beside four threads that count; memory over a thousand generations. Times are printed,
none is asserted.
"""

from __future__ import annotations

import gc
import importlib
import statistics
import sys
import tempfile
import threading
import time
import weakref
from pathlib import Path

from generations import Acme

MODULE = """
import dataclasses, typing
{imports}
VALUE = {number}

def double(x: int) -> int:
    return 2 * x

def greet(name: str) -> str:
    return f"hello {{name}}"

class Thing:
    size = {number}

    def __init__(self, name: str) -> None:
        self.name = name

    def show(self) -> str:
        return greet(self.name) * self.size

    @property
    def length(self) -> int:
        return len(self.name)
"""


def package(folder: Path, count: int) -> Path:
    """A package whose modules import one another in a row; the file in its middle."""
    (folder / "pkg").mkdir(parents=True, exist_ok=True)
    (folder / "pkg" / "__init__.py").write_text(
        "from . import m1\n" if count > 1 else MODULE.format(imports="", number=0)
    )
    for number in range(1, count):
        imports = f"from . import m{number + 1}" if number + 1 < count else ""
        (folder / "pkg" / f"m{number}.py").write_text(MODULE.format(imports=imports, number=number))
    return folder / "pkg" / (f"m{count // 2}.py" if count > 1 else "__init__.py")


def names(count: int) -> list[str]:
    return ["pkg", *(f"pkg.m{number}" for number in range(1, count))]


class Reloading:
    """`importlib.reload` of all modules, innermost first."""

    def __init__(self, folder: Path, count: int) -> None:
        sys.path.insert(0, str(folder))
        importlib.import_module("pkg")
        self.names = names(count)[::-1]

    def swap(self) -> dict[str, float]:
        start, busy = time.perf_counter(), time.thread_time()
        importlib.invalidate_caches()
        for name in self.names:
            importlib.reload(sys.modules[name])
        return {"whole": time.perf_counter() - start, "cpu": time.thread_time() - busy}

    def close(self) -> None:
        del sys.path[0]
        for name in self.names:
            del sys.modules[name]


class Purging(Reloading):
    """Taking all out of ``sys.modules`` and importing again."""

    def swap(self) -> dict[str, float]:
        start, busy = time.perf_counter(), time.thread_time()
        importlib.invalidate_caches()
        for name in self.names:
            sys.modules.pop(name, None)
        importlib.import_module("pkg")
        return {"whole": time.perf_counter() - start, "cpu": time.thread_time() - busy}


class Generations:
    """The next generation: read, stage, publish; the old one retired after that."""

    def __init__(self, folder: Path, count: int) -> None:
        self.acme = Acme(folder)
        found = self.acme.territory.sources()
        self.acme.territory.sources = lambda: found  # the walk is _discovery's, and measured there
        self.acme.go()

    def swap(self) -> dict[str, float]:
        start, busy = time.perf_counter(), time.thread_time()
        generation = self.acme.next()
        assert generation.digest
        read = time.perf_counter()
        generation.stage(["pkg"])
        staged = time.perf_counter()
        generation.publish()
        published, worked = time.perf_counter(), time.thread_time()
        self.acme.now.retire()
        retired = time.perf_counter()
        self.acme.all[:] = [generation]
        return {
            "whole": published - start,
            "cpu": worked - busy,
            "read": read - start,
            "stage": staged - read,
            "publish": published - staged,
            "retire": retired - published,
        }

    def close(self) -> None:
        self.acme.end()


def measured(way: type, folder: Path, count: int, rounds: int) -> dict[str, list[float]]:
    edited = package(folder, count)
    text = edited.read_text()
    one = way(folder, count)
    times: dict[str, list[float]] = {}
    for number in range(rounds):
        edited.write_text(f"{text}\nEDIT = {number}\n")
        for what, seconds in one.swap().items():
            times.setdefault(what, []).append(1000 * seconds)
        assert number == sys.modules[names(count)[count // 2]].EDIT or way is not Generations
    one.close()
    return times


def table(title: str, count: int, rounds: int, sorts: list[type]) -> None:
    print(f"\n{title}, {count} modules, one edited: ms, median and worst of {rounds}")
    for way in sorts:
        with tempfile.TemporaryDirectory() as folder:
            times = measured(way, Path(folder), count, rounds)
        shown = "  ".join(
            f"{what} {statistics.median(each):7.2f} {max(each):8.2f}" for what, each in times.items()
        )
        print(f"  {way.__name__:12} {shown}")


def memory(rounds: int) -> None:
    def size() -> int:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1])
        return 0

    with tempfile.TemporaryDirectory() as folder:
        edited = package(Path(folder), 5)
        text = edited.read_text()
        one = Generations(Path(folder), 5)
        watched = []
        for number in range(rounds + 100):
            if number == 100:
                gc.collect()
                before = size()
            edited.write_text(f"{text}\nEDIT = {number}\n")
            one.swap()
            watched.append(weakref.ref(sys.modules["pkg.m2"]))
        high = size()
        gc.collect()
        after = size()
        alive = sum(ref() is not None for ref in watched) - 1
        one.close()
    print(
        f"\n{rounds} generations of 5 modules: {before} KiB before, {high} after, {after} collected", end=""
    )
    print(f": {1024 * (after - before) / rounds:.0f} bytes each; {alive} old ones alive")


WAYS = [Reloading, Purging, Generations]


def test_idle():
    """One module and fifty, nobody else at work."""
    for count in (1, 50):
        table("idle", count, 30, WAYS)


def test_memory():
    """A thousand generations."""
    memory(1000)


def test_under_load():
    """The same beside four threads that want the interpreter for themselves."""
    over = threading.Event()

    def counting() -> None:
        number = 0
        while not over.is_set():
            number += 1

    threads = [threading.Thread(target=counting, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for count in (1, 50):
            table("beside four threads that count", count, 8, WAYS)
    finally:
        over.set()
        for thread in threads:
            thread.join()
