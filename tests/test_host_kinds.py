"""What a host hands its five registries: offers, sessions, limits, secrets kept out of errors."""

from __future__ import annotations

import asyncio

import pytest

import hotplug
from hotplug import Host, UserExecutionContext

ADA = UserExecutionContext("ada")
BOB = UserExecutionContext("bob")

AGENT = """
from hotplug import BaseAgent
class Agent(BaseAgent):
    closed = 0
    runs = 0
    async def run(self, task, run):
        self.runs += 1
        return id(self), self.runs
    async def aclose(self):
        Agent.closed += 1
"""
SERVICE = """
from hotplug import Service, Health
class Plain(Service):
    def __init__(self, *, token: str):
        raise ValueError("bad token " + token)
    async def start(self): ...
    async def stop(self): ...
    async def health(self): return Health("healthy")
"""


def test_the_configuration_offers_any_tool(environment):
    """
    A table offers a tool to whom it names, also one that the application registered.
    """

    @hotplug.tool(read_only=True)
    def peek() -> int:
        return 1

    @hotplug.tool(read_only=False, destructive=False)
    def poke() -> int:
        return 2

    config = hotplug.Config.parse('[tools.peek]\noffer = ["bob"]\n[tools.poke]\noffer = true\n')
    with Host(config, path=environment.path, cache=False) as host:
        host.tools.register("peek", peek)
        host.tools.register("poke", poke)

        assert [tool.name for tool in host.tools.offered(ADA)] == ["poke"]
        assert [tool.name for tool in host.tools.offered(BOB)] == ["peek", "poke"]


def test_runs_in_a_session_use_its_agent(environment):
    """
    Runs with a session's context are of one instance, closed with the session; others have their own.
    """
    environment.install("acme", advertises={"hotplug.agents": {"a": "acme:Agent"}}, files={"acme.py": AGENT})

    async def main():
        async with Host(path=environment.path, cache=False) as host:
            async with host.session(ADA) as session:
                living = await session.agents.aget("a")
                inside = [await host.agents.run("a", None, ADA) for _ in range(2)]
                closed = type(living).closed
            outside = await host.agents.run("a", None, ADA)
            return id(living), inside, closed, outside, type(living).closed

    living, inside, closed, outside, closed_at_last = asyncio.run(main())

    assert inside == [(living, 1), (living, 2)]
    assert outside[1] == 1
    assert (closed, closed_at_last) == (0, 2)


def test_the_configuration_limits_stuck_tools(environment):
    """
    `[host] max_abandoned` is what puts a tool in quarantine, also after another configuration was applied.
    """
    with Host(hotplug.Config.parse("[host]\nmax_abandoned = 2"), path=[], cache=False) as host:
        before = host.tools.max_abandoned
        host.apply(hotplug.Config.parse("[host]\nmax_abandoned = 5"))

        assert (before, host.tools.max_abandoned) == (2, 5)


def test_a_quoted_secret_is_hidden(environment, monkeypatch):
    """
    A plugin that puts a secret into its error does not get it into the error, the status or the health.
    """
    monkeypatch.setenv("TESTS_TOKEN", "open-sesame-42")
    environment.install(
        "acme", advertises={"hotplug.services": {"s": "acme:Plain"}}, files={"acme.py": SERVICE}
    )
    config = hotplug.Config.parse('[services.s]\nsettings = { token = { env = "TESTS_TOKEN" } }\n')

    with Host(config, path=environment.path, cache=False) as host:
        with pytest.raises(hotplug.PluginError) as caught:
            host.services.get("s")
        told = [str(caught.value), repr(caught.value), repr(host.plugins), repr(host.health())]

    assert "bad token ***" in told[0]
    assert not any("open-sesame-42" in text for text in told)


def test_a_session_gives_a_default_for_absent_keys(environment):
    """
    In a session a default is for absent keys, as in the registries themselves.
    """
    environment.install("acme", advertises={"hotplug.agents": {"a": "acme:Agent"}}, files={"acme.py": AGENT})

    async def main(session):
        return await session.agents.aget("none", default=7)

    with Host(path=environment.path, cache=False) as host, host.session(ADA) as session:
        assert session.agents.get("none", default=None) is None
        assert session.agents.get("a", default=None) is session.agents["a"]
        assert asyncio.run(main(session)) == 7
        assert (len(session.agents), list(session.agents), bool(session.tools)) == (1, ["a"], True)
        assert session.agents.list_by_tag("x") == ()


def test_each_shelf_holds_its_kind():
    """
    A host's five shelves are the registries of the five kinds.
    """
    host = Host(path=[])
    shelves = [host.brokers, host.agents, host.tools, host.strategies, host.services]

    assert shelves == [host.registry(kind) for kind in hotplug.KINDS]


def test_kinds_know_their_registries():
    """
    A kind's registry is a class, whether it was named as text or not.
    """
    assert [kind.registry.__name__ for kind in hotplug.KINDS] == [
        "BrokerRegistry",
        "AgentRegistry",
        "ToolRegistry",
        "StrategyRegistry",
        "ServiceRegistry",
    ]
    assert hotplug.Kind("x", int).registry is hotplug.UniversalRegistry


def test_unknown_kinds_are_key_errors():
    """
    A kind that a host was not given is a missing key, and says what there is.
    """
    with pytest.raises(KeyError, match="no kind 'exporter'"):
        Host(kinds=[]).registry("exporter")


def test_async_entry_points_are_refused(environment, recwarn):
    """
    A coroutine function makes no plugin, and is not called to find out.
    """
    environment.install(
        "acme",
        advertises={"hotplug.services": {"s": "acme:make"}},
        files={"acme.py": "async def make(): ...\n"},
    )
    with Host(path=environment.path, cache=False) as host, pytest.raises(hotplug.ContractError) as caught:
        host.services.get("s")

    assert "is async" in str(caught.value)
    assert not recwarn.list
