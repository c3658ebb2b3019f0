"""
The watcher: from a save to the call, what it costs when nothing happens, what one look by the clock costs.

    pytest tests/benchmarks/bench_watcher.py -o python_files='bench_*.py' -s

Latencies are of the wall clock, costs of the processor time of the whole process. They are printed and stand
in ``extra_info``. No time is asserted: the bars of DESIGN 6 stand beside what was measured.
"""

from __future__ import annotations

import runpy
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hotplug._watcher import Root, Sort, Watcher
from hotplug._watcher._ears import Ears
from hotplug._watcher._folder import Folder
from hotplug._watcher._tree import Tree

SYNTHETIC = runpy.run_path(str(Path(__file__).parent / "synthetic.py"))
SAVES = 200
IDLE = 20.0


class Stopwatch:
    """Says how long it takes from a save until the watcher calls."""

    def __init__(self) -> None:
        self.called = threading.Event()
        self.at = 0.0

    def __call__(self, keys: frozenset[object]) -> None:
        self.at = time.perf_counter()
        self.called.set()

    def time(self, save: Callable[[], object]) -> float:
        """Milliseconds from *save* to the call."""
        self.called.clear()
        began = time.perf_counter()
        save()
        assert self.called.wait(20)
        return (self.at - began) * 1e3


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Fifty modules."""
    folder = tmp_path / "package"
    folder.mkdir()
    for number in range(50):
        (folder / f"m{number}.py").write_text("x = 1\n" * 50)
    return folder


def show(benchmark: Any, title: str, numbers: dict[str, float], unit: str, bar: float | None = None) -> None:
    """Print the table and keep it with the benchmark."""
    print(f"\n{title}" + (f" (bar {bar:g} {unit})" if bar else ""))
    for name, number in numbers.items():
        print(f"  {name:<44} {number:>10.3f} {unit}")
    benchmark.extra_info.update({f"{title}: {name}": round(number, 4) for name, number in numbers.items()})


def in_place(path: Path, number: int) -> None:
    path.write_text(f"x = {number:06}\n" * 50)


def by_renaming(path: Path, number: int) -> None:
    other = path.with_name("m.py.tmp")
    other.write_text(f"x = {number:06}\n" * 50)
    other.replace(path)


@pytest.mark.parametrize("save", [in_place, by_renaming])
@pytest.mark.parametrize("busy", [0, 4])
def test_latency(benchmark: Any, package: Path, save: Callable[[Path, int], None], busy: int) -> None:
    """From a save of one module of fifty to the call, beside so many threads that do nothing but compute."""
    called, over = Stopwatch(), threading.Event()
    watcher = Watcher(called)
    watcher.follow([Root(str(package), Sort.TREE, "code")])
    watcher.start()
    watcher.look_now()
    threads = [threading.Thread(target=compute, args=(over,)) for _ in range(busy)]
    for thread in threads:
        thread.start()
    took: list[float] = []
    for number in range(SAVES if not busy else SAVES // 4):
        # Editors do not keep to anybody's clock.
        over.wait(0.02 + number % 13 / 1000)
        took.append(called.time(lambda number=number: save(package / "m7.py", number)))
    over.set()
    for thread in threads:
        thread.join()
    watcher.close()
    cuts = statistics.quantiles(took, n=100)
    benchmark.pedantic(lambda: None)
    numbers = {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98], "most": max(took)}
    show(benchmark, f"save {save.__name__} to call, {busy} busy threads", numbers, "ms", None if busy else 40)


def compute(over: threading.Event) -> None:
    while not over.is_set():
        sum(range(1000))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """1,700 folders with seven modules each, and a site folder of 850 distributions: 1,700 entries."""
    root = tmp_path_factory.mktemp("large")
    for number in range(1700):
        folder = root / "code" / f"p{number % 40}" / f"p{number}"
        folder.mkdir(parents=True)
        for module in range(7):
            (folder / f"m{module}.py").write_text("x = 1\n")
    SYNTHETIC["populate"](root / "site", 850)
    return root


def roots(large: Path) -> list[Root]:
    return [Root(str(large / "code"), Sort.TREE, "code"), Root(str(large / "site"), Sort.FOLDER, "site")]


def test_idle(benchmark: Any, large: Path, package: Path) -> None:
    """The share of a core that watching takes while nothing happens."""
    shares: dict[str, float] = {}
    for name, watched in {
        "one package of 50 modules": [Root(str(package), Sort.TREE, "code")],
        "1,700 folders, a site folder of 1,700 entries": roots(large),
    }.items():
        called = Stopwatch()
        watcher = Watcher(called)
        began = time.perf_counter()
        watcher.follow(watched)
        watcher.start()
        watcher.look_now()
        print(f"\n{name}: {(time.perf_counter() - began) * 1e3:.0f} ms until armed and looked at once")
        # The first rounds learn what a round costs.
        called.called.wait(5)
        before, ticks = time.process_time(), watcher.report().ticks
        called.called.wait(IDLE)
        shares[name] = (time.process_time() - before) / IDLE * 100
        print(f"{name}: {watcher.report().ticks - ticks} rounds in {IDLE:g} s")
        watcher.close()
    shares["bare watchfiles with the same step"] = bare_share(package)
    benchmark.pedantic(lambda: None)
    show(benchmark, "idle, of a core", shares, "%", 0.5)


def bare_share(package: Path) -> float:
    """What the stream alone takes: it sleeps and wakes, step by step."""
    ears, nobody = Ears(), threading.Event()
    ears.arm([str(package)])
    before, until = time.process_time(), time.monotonic() + IDLE
    while time.monotonic() < until:
        ears.listen(nobody, 1.0)
    share = (time.process_time() - before) / IDLE * 100
    ears.close()
    return share


def test_tick(benchmark: Any, large: Path, package: Path) -> None:
    """What a look at a whole root costs that finds nothing."""
    wards = {
        "50 modules": Tree(str(package)),
        "1,700 folders, 11,900 files": Tree(str(large / "code")),
        "site folder of 1,700 entries": Folder(str(large / "site")),
    }
    numbers: dict[str, float] = {}
    for name, ward in wards.items():
        for depth, rounds in {"folders": ward.shallow, "everything": ward.deep}.items():
            took: list[float] = []
            for _ in range(7):
                before = time.thread_time()
                for _step in rounds():
                    pass
                took.append((time.thread_time() - before) * 1e3)
            numbers[f"{name}, {depth}"] = statistics.median(took)
    benchmark.pedantic(wards["50 modules"].look)
    show(benchmark, "one look by the clock", numbers, "ms")
