"""Suites and worlds for those who test plugins. Nothing is imported until it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from hotplug.testing._agents import AgentContract as AgentContract
    from hotplug.testing._brokers import BrokerContract as BrokerContract
    from hotplug.testing._brokers import Faults as Faults
    from hotplug.testing._environment import Environment as Environment
    from hotplug.testing._services import ServiceContract as ServiceContract
    from hotplug.testing._strategies import StrategyContract as StrategyContract
    from hotplug.testing._tools import ToolContract as ToolContract
    from hotplug.testing._wheel import build_wheel as build_wheel

__all__ = [
    "AgentContract",
    "BrokerContract",
    "Environment",
    "Faults",
    "ServiceContract",
    "StrategyContract",
    "ToolContract",
    "build_wheel",
]

_HOMES: Final = {
    "AgentContract": "_agents",
    "BrokerContract": "_brokers",
    "Environment": "_environment",
    "Faults": "_brokers",
    "ServiceContract": "_services",
    "StrategyContract": "_strategies",
    "ToolContract": "_tools",
    "build_wheel": "_wheel",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
