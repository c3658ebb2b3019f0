"""One plugin, a hundred exchanges: a gateway over ccxt for hotplug."""

from __future__ import annotations

from hotplug_broker_ccxt._broker import CcxtBroker

__all__ = ["CcxtBroker"]
