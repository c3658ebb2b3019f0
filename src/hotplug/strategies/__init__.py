"""Strategies: what they are told, what they may do, and a run of one over bars."""

from __future__ import annotations

from hotplug.strategies._contract import Strategy, StrategyRegistry, Trader
from hotplug.strategies._report import StrategyReport
from hotplug.strategies._run import Simulation, run_strategy

__all__ = [
    "Simulation",
    "Strategy",
    "StrategyRegistry",
    "StrategyReport",
    "Trader",
    "run_strategy",
]
