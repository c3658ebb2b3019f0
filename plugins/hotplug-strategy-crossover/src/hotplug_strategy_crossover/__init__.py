"""A moving-average crossover strategy for hotplug."""

from __future__ import annotations

from hotplug_strategy_crossover._strategy import Crossover, MovingAverage

__all__ = ["Crossover", "MovingAverage"]
