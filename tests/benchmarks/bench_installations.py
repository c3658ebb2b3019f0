"""What it costs to see how far an installation has come, and which code belongs to a distribution."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from hotplug._discovery import _installation, discover, forget, installation, territory
from hotplug.testing import Environment

ROUNDS = 7
BODY = "# a line of a module as it might be\n" * 120


def best(work: Callable[[], object], times: int) -> float:
    """Microseconds for one, in the best round."""
    rounds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(times):
            work()
        rounds.append((time.perf_counter() - start) / times)
    return min(rounds) * 1e6


def measured(folder: Path, count: int) -> list[float]:
    """Microseconds for a distribution of *count* files, one for each column."""
    environment = Environment(folder / "site")
    files = {f"acme/part_{n % 20}/module_{n}.py": BODY for n in range(count - 25)}
    files |= {f"acme/part_{n}/__init__.py": "" for n in range(20)} | {"acme/__init__.py": ""}
    advertises = {"hotplug.tools": {"acme": "acme:x"}}
    info = str(environment.install("acme", "1.0", advertises=advertises, files=files))
    [record] = discover({"hotplug.tools": "tools"}, environment.path, cache=False).records
    ground = territory(record)

    def first() -> None:
        forget()
        installation(info)

    times = max(3, 3000 // count)
    return [
        best(first, times),
        best(lambda: installation(info, strict=True), times),
        best(lambda: installation(info), 5000),
        best(lambda: territory(record), times),
        best(ground.sources, times),
        best(lambda: ground.owns("acme.part_1.module_1"), 5000),
    ]


def main() -> None:
    """Print a row for each size."""
    columns = ("first look", "strict", "again", "territory", "sources", "owns")
    print("  files" + "".join(f"{column:>13}" for column in columns) + "   (µs)")
    _installation.YOUNG_NS = 0  # type: ignore[misc]
    for count in (26, 124, 959):
        with tempfile.TemporaryDirectory() as folder:
            row = measured(Path(folder), count)
        print(f"{count:>7}" + "".join(f"{each:>13.2f}" for each in row))


if __name__ == "__main__":
    main()
