"""Broker gateways: what they must do, what they say of themselves, and where they stand."""

from __future__ import annotations

from hotplug.brokers._contract import BrokerInfo, IBrokerGateway, IBrokerRegistry, mask_account
from hotplug.brokers._hosting._facade import SyncGateway
from hotplug.brokers._hosting._halts import Halt
from hotplug.brokers._hosting._registry import BrokerRegistry
from hotplug.brokers._hosting._view import GatewayView
from hotplug.brokers._limits._limiter import RateWindow
from hotplug.brokers._settings import BookSettings, OrderLimits, ReplacePolicy
from hotplug.brokers._template._gateway import BrokerGateway
from hotplug.brokers._template._sync_gateway import SyncBrokerGateway
from hotplug.market import (
    GATEWAY_TRANSITIONS,
    ORDER_TRANSITIONS,
    Capability,
    Environment,
    GatewayStatus,
    HealthReport,
    HealthState,
)

__all__ = [
    "BookSettings",
    "BrokerGateway",
    "BrokerInfo",
    "BrokerRegistry",
    "Capability",
    "Environment",
    "GATEWAY_TRANSITIONS",
    "GatewayStatus",
    "GatewayView",
    "Halt",
    "HealthReport",
    "HealthState",
    "IBrokerGateway",
    "IBrokerRegistry",
    "ORDER_TRANSITIONS",
    "OrderLimits",
    "RateWindow",
    "ReplacePolicy",
    "SyncBrokerGateway",
    "SyncGateway",
    "mask_account",
]
