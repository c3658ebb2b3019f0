"""
Discovery beside its peers, in one run: cold processes, running processes, system calls.

    pytest tests/benchmarks/bench_discovery.py -o python_files='bench_*.py' -s

Every case is a fresh ``python -I -S``; cases take turns, round by round, and medians are compared. Only
the ratios mean anything. They are printed and stand in ``extra_info``. No time is asserted: the bars of
DESIGN 6 stand beside what was measured.
"""

from __future__ import annotations

import os
import runpy
import shutil
import statistics
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
SOURCE = str(HERE.parents[1] / "src")
LIBRARIES = sysconfig.get_path("purelib")
SYNTHETIC = runpy.run_path(str(HERE / "synthetic.py"))
GROUP = "hotplug.brokers"
ROUNDS = {100: 15, 1000: 9, 5000: 5}

PROLOGUE = "import sys, time\nsite, libraries, source = sys.argv[1:4]\nclock = time.perf_counter\n"
IMPORTS = {
    "hotplug": "sys.path[:0] = [source]\nfrom hotplug import discover\nfind = lambda: discover([site])",
    "hotplug, no cache": (
        "sys.path[:0] = [source]\nfrom hotplug import KINDS\nfrom hotplug._discovery import discover\n"
        "groups = {kind.group: kind.name for kind in KINDS}\n"
        "find = lambda: discover(groups, [site], cache=False)"
    ),
    "stdlib": f"import importlib.metadata as m\nfind = lambda: list(m.entry_points(group='{GROUP}'))",
    "importlib_metadata": (
        "sys.path.append(libraries)\nimport importlib_metadata as m\n"
        f"find = lambda: list(m.entry_points(group='{GROUP}'))"
    ),
    "stevedore": (
        "sys.path.append(libraries)\nfrom stevedore import _cache\n"
        f"find = lambda: list(_cache.get_group_all('{GROUP}'))"
    ),
    "catalogue": (
        "sys.path.append(libraries)\nimport catalogue, importlib.metadata as m\n"
        "sys.path[:] = [site]\ncatalogue.AVAILABLE_ENTRY_POINTS = m.entry_points()\n"
        "registry = catalogue.create('hotplug', 'brokers', entry_points=True)\n"
        "find = lambda: list(registry._get_entry_points())"
    ),
    "pluggy": (
        "sys.path.append(libraries)\nimport pluggy\nmanager = pluggy.PluginManager('bench')\n"
        f"find = lambda: manager.load_setuptools_entrypoints('{GROUP}', name='none')\n"
        "import importlib.metadata as m"
    ),
}
MEASURE = (
    "started = clock()\n{imports}\nsys.path[:] = [site]\nimported = clock()\nfind()\nfirst = clock()\n"
    "find()\nagain = clock()\n"
    "print((first - started) * 1e3, (first - imported) * 1e3, (again - first) * 1e3)\n"
)


def run(code: str, site: Path, cache: Path) -> list[float]:
    environ = {**os.environ, "HOTPLUG_CACHE": str(cache / "hotplug"), "XDG_CACHE_HOME": str(cache)}
    command = [sys.executable, "-I", "-S", "-c", PROLOGUE + code, str(site), LIBRARIES, SOURCE]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


def medians(
    cases: dict[str, str], site: Path, cache: Path, rounds: int, *, cold: bool = False
) -> dict[str, list[float]]:
    """For each case the medians of the numbers that it prints; *cold* takes its cache away each time."""
    samples: dict[str, list[list[float]]] = {name: [] for name in cases}
    names = list(cases)
    for number in range(rounds + 1):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            if cold:
                shutil.rmtree(cache, ignore_errors=True)
            taken = run(cases[name], site, cache)
            if number:
                samples[name].append(taken)
    return {
        name: [statistics.median(column) for column in zip(*taken, strict=True)]
        for name, taken in samples.items()
    }


def show(benchmark: Any, title: str, numbers: dict[str, float], unit: str, bars: dict[str, float]) -> None:
    """Print the table and keep it with the benchmark."""
    print(f"\n{title}")
    for name, number in sorted(numbers.items(), key=lambda pair: pair[1]):
        bar = f"   bar {bars[name]:g}" if name in bars else ""
        print(f"  {name:<44} {number:>10.4f} {unit}{bar}")
    benchmark.extra_info.update({f"{title}: {name}": round(number, 4) for name, number in numbers.items()})


def ratios(times: dict[str, list[float]], column: int, base: str = "stdlib") -> dict[str, float]:
    return {name: taken[column] / times[base][column] for name, taken in times.items()}


@pytest.fixture(scope="module")
def sites(tmp_path_factory):
    """Site folders of each size, old enough for their stamps to be trusted."""
    base = tmp_path_factory.mktemp("sites")
    folders = {count: SYNTHETIC["populate"](base / str(count), count) for count in ROUNDS}
    settle(*folders.values())
    return folders


def settle(*folders: Path) -> None:
    """Wait until nothing in *folders* is younger than two seconds."""
    newest = max(folder.stat().st_ctime for folder in folders)
    while time.time() < newest + 2.1:
        time.sleep(0.05)  # the age of the stamps is the condition


def code(name: str) -> str:
    return MEASURE.format(imports=IMPORTS[name])


def once(benchmark: Any) -> None:
    """The tables are the result; what the plugin measures by itself is nothing."""
    benchmark.pedantic(lambda: None, rounds=1)


@pytest.mark.parametrize(("count", "bar"), [(100, 0.70), (1000, 0.40), (5000, 0.15)])
def test_fresh_process_with_index(benchmark, sites, tmp_path, count, bar):
    """
    Import and first answer of a new process, where an earlier one left its index.
    """
    names = ["hotplug", "stdlib", "importlib_metadata", "stevedore", "catalogue", "pluggy"]
    times = medians({name: code(name) for name in names}, sites[count], tmp_path, ROUNDS[count])
    show(
        benchmark,
        f"fresh process, index, {count}: import + call",
        ratios(times, 0),
        "x stdlib",
        {"hotplug": bar},
    )
    call_bar = {"hotplug": 0.01} if count == 1000 else {}
    show(benchmark, f"fresh process, index, {count}: call alone", ratios(times, 1), "x stdlib", call_bar)
    once(benchmark)


def test_no_index(benchmark, sites, tmp_path):
    """
    The first answer ever, which leaves an index behind.
    """
    names = ["hotplug", "hotplug, no cache", "stdlib", "importlib_metadata", "stevedore"]
    times = medians({name: code(name) for name in names}, sites[1000], tmp_path, 11, cold=True)
    show(benchmark, "no index, 1000: call alone", ratios(times, 1), "x stdlib", {"hotplug": 0.20})
    once(benchmark)


def test_running_process(benchmark, sites, tmp_path):
    """
    Later answers of one process: nothing changed, one distribution installed, a fresh look.
    """
    script = (
        "sys.path[:0] = [source]\nfrom hotplug import discover\n"
        "import importlib.metadata as m, os, statistics\n"
        "def timed(call, times=1):\n"
        "    started = clock()\n"
        "    for _ in range(times): call()\n"
        "    return (clock() - started) / times * 1e3\n"
        "discover([site]); unchanged = timed(lambda: discover([site]), 1000)\n"
        "whole = sys.path[:]; sys.path[:] = [site]\n"
        f"stdlib = lambda: list(m.entry_points(group='{GROUP}'))\n"
        "stdlib(); discover([site], fresh=True); ours, theirs, fresh = [], [], []\n"
        "for number in range(7):\n"
        "    info = f'{site}/new_{number}-1.0.dist-info'; os.mkdir(info)\n"
        "    with open(info + '/METADATA', 'w') as f: f.write(f'Name: new-{number}\\nVersion: 1.0\\n')\n"
        "    with open(info + '/entry_points.txt', 'w') as f: f.write('[hotplug.brokers]\\nnew = a:b\\n')\n"
        "    with open(info + '/RECORD', 'w') as f: f.write('x/INSTALLER,,\\nx/RECORD,,\\n')\n"
        "    ours.append(timed(lambda: discover([site]))); theirs.append(timed(stdlib))\n"
        "    fresh.append(timed(lambda: discover([site], fresh=True)))\n"
        "print(unchanged * 1e3, *(statistics.median(x) for x in (ours, fresh, theirs)))\n"
    )
    site = tmp_path / "site"
    shutil.copytree(sites[1000], site)
    settle(site)
    run(code("hotplug"), site, tmp_path)
    unchanged, ours, fresh, theirs = run(script, site, tmp_path)
    show(benchmark, "running process, 1000: nothing changed", {"hotplug": unchanged}, "us", {"hotplug": 20})
    changed = {"one installed": ours / theirs, "fresh": fresh / theirs, "stdlib again": 1.0}
    show(benchmark, "running process, 1000", changed, "x stdlib", {"one installed": 0.15, "fresh": 0.15})
    once(benchmark)


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_system_calls(benchmark, sites, tmp_path):
    """
    System calls for each of a thousand distributions, above those of an empty folder.
    """
    empty = tmp_path / "empty"
    empty.mkdir()
    found = {}
    for name in ("hotplug, no cache", "stdlib"):
        once_only = code(name).replace("find()\nagain", "again")
        counts = [calls(once_only, site, tmp_path) for site in (sites[1000], empty)]
        found[name] = (counts[0] - counts[1]) / 1000
    show(benchmark, "system calls for each of 1000", found, "", {"hotplug, no cache": 4})
    once(benchmark)


def calls(script: str, site: Path, tmp_path: Path) -> int:
    summary = tmp_path / "strace.txt"
    command = [sys.executable, "-I", "-S", "-c", PROLOGUE + script, str(site), LIBRARIES, SOURCE]
    subprocess.run(["strace", "-f", "-c", "-o", str(summary), *command], check=True, capture_output=True)
    return int(summary.read_text().splitlines()[-1].split()[3])


def test_import(benchmark, sites, tmp_path):
    """
    The import of hotplug alone, beside that of ``importlib.metadata``.
    """
    cases = {
        "hotplug": (
            "sys.path[:0] = [source]\nstarted = clock()\nimport hotplug\nprint((clock() - started) * 1e3)"
        ),
        "hotplug and discover": (
            "sys.path[:0] = [source]\nstarted = clock()\nfrom hotplug import discover\n"
            "print((clock() - started) * 1e3)"
        ),
        "stdlib": "started = clock()\nimport importlib.metadata\nprint((clock() - started) * 1e3)",
    }
    times = medians(cases, sites[100], tmp_path, 11)
    show(benchmark, "import alone", ratios(times, 0), "x importlib.metadata", {"hotplug": 0.8})
    once(benchmark)
