"""What benchmarks share: cases that take turns, and the table of what they took."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

Case = Callable[[], object]


def interleaved(cases: dict[str, Case], rounds: int, each: int) -> dict[str, float]:
    """The median thread CPU time of each case, in microseconds of each of so many; rounds run all of them."""
    samples: dict[str, list[int]] = {name: [] for name in cases}
    names = list(cases)
    for number in range(rounds + 2):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            started = time.thread_time_ns()
            cases[name]()
            taken = time.thread_time_ns() - started
            if number >= 2:
                samples[name].append(taken)
    return {name: statistics.median(taken) / each / 1000 for name, taken in samples.items()}


def show(benchmark: Any, title: str, numbers: dict[str, float], unit: str, bars: dict[str, float]) -> None:
    """Print the table and keep it with the benchmark."""
    print(f"\n{title}")
    for name, number in sorted(numbers.items(), key=lambda pair: pair[1]):
        bar = f"   bar {bars[name]:g}" if name in bars else ""
        print(f"  {name:<44} {number:>10.3f} {unit}{bar}")
    benchmark.extra_info.update({f"{title}: {name}": round(number, 4) for name, number in numbers.items()})
