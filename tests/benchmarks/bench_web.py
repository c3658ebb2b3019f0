"""
Telling many WebSocket clients the same, beside bare ways to do so.

    pytest tests/benchmarks/bench_web.py -o python_files='bench_*.py' -s

Each way has a process of its own, and each client hears everything; what is compared is the CPU time of the
server for one message to one client. The ways take turns, figures are medians, and no time is asserted.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from measuring import show

SCRIPT = Path(__file__).parents[1] / "support" / "fanout_process.py"
ROUNDS = 3
WAYS = {
    "raw": "raw frames: bare ASGI, uvicorn",
    "starlette": "a loop in Starlette",
    "websockets": "websockets.broadcast",
    "hotplug": "hotplug-web",
}
BAR = 1.4


@pytest.mark.parametrize("clients", [100, 1000])
def test_fan_out(benchmark: Any, clients: int) -> None:
    """
    One user's event to all of the user's connections.
    """
    found: dict[str, list[float]] = {way: [] for way in WAYS}

    def take_turns() -> None:
        for way, costs in found.items():
            command = [sys.executable, str(SCRIPT), way, str(clients)]
            answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
            costs.append(float(answer.stdout))

    benchmark.pedantic(take_turns, rounds=ROUNDS)
    costs = {WAYS[way]: statistics.median(each) for way, each in found.items()}
    show(benchmark, f"CPU of a message to each of {clients} clients", costs, "us", {})
    ratios = {name: cost / costs[WAYS["raw"]] for name, cost in costs.items()}
    show(benchmark, f"{clients} clients, beside raw frames", ratios, "x", {WAYS["hotplug"]: BAR})
