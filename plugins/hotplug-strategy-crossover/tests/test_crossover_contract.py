"""The crossover strategy keeps what every strategy promises."""

from __future__ import annotations

from hotplug.testing import StrategyContract
from hotplug_broker_paper import PaperBroker
from hotplug_strategy_crossover import Crossover


class TestCrossover(StrategyContract):
    def make_strategy(self) -> Crossover:
        return Crossover(fast=3, slow=8)

    def make_broker(self) -> PaperBroker:
        return PaperBroker()
