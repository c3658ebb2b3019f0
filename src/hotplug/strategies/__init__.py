"""Strategies: what they are told, what they may do, and a run of one over bars."""

from __future__ import annotations

from hotplug.strategies._contract import Strategy, StrategyRegistry, Trader
from hotplug.strategies._market import Simulation
from hotplug.strategies._report import StrategyReport
from hotplug.strategies._run import run_strategy

# The renamed ones are for the rooms below, not for everybody: a host offers successors to runs under way.
from hotplug.strategies._running import Overtaken as Overtaken
from hotplug.strategies._running import Running as Running
from hotplug.strategies._running import RunOver as RunOver
from hotplug.strategies._running import running as running

__all__ = [
    "Simulation",
    "Strategy",
    "StrategyRegistry",
    "StrategyReport",
    "Trader",
    "run_strategy",
]
