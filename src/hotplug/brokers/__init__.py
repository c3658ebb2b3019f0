"""Broker gateways: what they must do, what they say of themselves, and where they stand."""

from __future__ import annotations

from hotplug.brokers._contract import BrokerInfo, IBrokerGateway, IBrokerRegistry, mask_account
from hotplug.brokers._gateway import BrokerGateway
from hotplug.brokers._limiter import RateWindow
from hotplug.brokers._registry import BrokerRegistry
from hotplug.brokers._settings import BookSettings, OrderLimits, ReplacePolicy
from hotplug.brokers._sync_gateway import SyncBrokerGateway
from hotplug.market import HealthReport

__all__ = [
    "BookSettings",
    "BrokerGateway",
    "BrokerInfo",
    "BrokerRegistry",
    "HealthReport",
    "IBrokerGateway",
    "IBrokerRegistry",
    "OrderLimits",
    "RateWindow",
    "ReplacePolicy",
    "SyncBrokerGateway",
    "mask_account",
]
