"""Never run: mypy and pyright read what an application sees of a host."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, assert_type

import pluggy

from hotplug import Changes, CloseReport, Config, Host, Kind, PluginStatus, Session, UserExecutionContext
from hotplug._records import Health, PluginRecord, Problem
from hotplug.agents import AgentRegistry, BaseAgent
from hotplug.brokers import BrokerRegistry, IBrokerGateway
from hotplug.events import EventHub
from hotplug.registry import Undo, UniversalRegistry
from hotplug.services import Service, ServiceRegistry
from hotplug.strategies import Strategy, StrategyRegistry
from hotplug.tools import Tool, ToolRegistry


class Exporter(ABC):
    @abstractmethod
    def export(self) -> str: ...


EXPORTERS = Kind("exporters", Exporter, group="acme.exporters")
LATE: Kind[Exporter] = Kind("late", "acme:Exporter")
ADA = UserExecutionContext("ada")


def registries(host: Host) -> None:
    assert_type(host.brokers, BrokerRegistry)
    assert_type(host.agents, AgentRegistry)
    assert_type(host.tools, ToolRegistry)
    assert_type(host.strategies, StrategyRegistry)
    assert_type(host.services, ServiceRegistry)
    assert_type(host.brokers.get("paper"), IBrokerGateway)
    assert_type(host.brokers.get("paper", default=None), IBrokerGateway | None)
    assert_type(host.brokers["paper"], IBrokerGateway)
    assert_type(host.agents.get("analyst", ADA), BaseAgent)
    assert_type(host.agents.create_instance("analyst", ADA), BaseAgent)
    assert_type(host.tools.get("clock"), Tool)
    assert_type(host.strategies.get("crossover", ADA), Strategy)
    assert_type(host.services.get("feed"), Service)
    assert_type(EXPORTERS, Kind[Exporter])
    assert_type(host.registry(EXPORTERS), UniversalRegistry[Exporter])
    assert_type(host.registry(EXPORTERS).get("csv"), Exporter)
    assert_type(host.registry(EXPORTERS).get("csv", default=0), Exporter | int)
    assert_type(host.registry(LATE)["csv"], Exporter)
    assert_type(host.registry("exporters"), UniversalRegistry[Any])


def verbs(host: Host, config: Config) -> None:
    assert_type(host.plugins, tuple[PluginStatus, ...])
    assert_type(host.plugins[0].record, PluginRecord)
    assert_type(host.problems, tuple[Problem, ...])
    assert_type(host.refresh(), Changes)
    assert_type(host.reload("acme"), Changes)
    assert_type(host.watch(), Undo)
    assert_type(host.plan(config), Changes)
    assert_type(host.apply("hotplug.toml"), Changes)
    assert_type(host.close(), CloseReport)
    assert_type(host.health(), Health)
    assert_type(host.events, EventHub)
    assert_type(host.hooks, pluggy.PluginManager)
    assert_type(host.config, Config)
    assert_type(host.subscribe(print), Undo)
    assert_type(host.plugins[0].load_seconds, float | None)
    with Host(config) as started:
        assert_type(started, Host)


async def twins(host: Host, config: Config) -> None:
    assert_type(await host.arefresh(), Changes)
    assert_type(await host.areload("acme"), Changes)
    assert_type(await host.aapply(config), Changes)
    assert_type(await host.aclose(), CloseReport)
    assert_type(await host.brokers.aget("paper"), IBrokerGateway)
    async with Host(kinds=[EXPORTERS], path=["/x"], cache=False, strict=True) as started:
        assert_type(started, Host)


async def sessions(host: Host) -> None:
    with host.session(ADA) as session:
        assert_type(session, Session)
        assert_type(session.context, UserExecutionContext)
        assert_type(session.agents.get("analyst"), BaseAgent)
        assert_type(session.agents["analyst"], BaseAgent)
        assert_type(session.brokers.get("paper"), IBrokerGateway)
        assert_type(session.tools.get("clock"), Tool)
        assert_type(session.strategies.get("crossover"), Strategy)
        assert_type(session.services.get("feed"), Service)
        assert_type(session.registry(EXPORTERS).get("csv"), Exporter)
        assert_type(session.registry("exporters").keys(), tuple[str, ...])
    async with host.session(ADA) as session:
        assert_type(await session.agents.aget("analyst"), BaseAgent)
        assert_type(await session.registry(EXPORTERS).aget("csv"), Exporter)


def mistakes(host: Host) -> None:
    host.session("ada")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    host.reload(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    host.registry(EXPORTERS).register("csv", 5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    host.brokers = host.agents  # type: ignore[misc,assignment]  # pyright: ignore[reportAttributeAccessIssue]
