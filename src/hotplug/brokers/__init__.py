"""Broker gateways: what they must do, what they say of themselves, and where they stand."""

from __future__ import annotations

from hotplug.brokers._contract import BrokerInfo, IBrokerGateway, IBrokerRegistry, mask_account
from hotplug.brokers._registry import BrokerRegistry
from hotplug.market import HealthReport

__all__ = [
    "BrokerInfo",
    "BrokerRegistry",
    "HealthReport",
    "IBrokerGateway",
    "IBrokerRegistry",
    "mask_account",
]
