"""A paper-trading broker for hotplug: fills orders on bars, keeps positions and cash."""

from __future__ import annotations

from hotplug_broker_paper._broker import PaperBroker

__all__ = ["PaperBroker"]
