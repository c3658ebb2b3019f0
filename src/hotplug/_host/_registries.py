"""The kinds of a host and their registries."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, cast

from hotplug._host._discreet import Discreet
from hotplug.errors import ConfigError, UnknownKindError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from hotplug._kinds import Kind
    from hotplug.agents import AgentRegistry, BaseAgent
    from hotplug.context import UserExecutionContext
    from hotplug.events import EventHub
    from hotplug.registry import UniversalRegistry
    from hotplug.tools import ToolRegistry

__all__ = ["Registries"]


class Registries:
    """One registry for each kind; they only grow. *explain* says why nothing stands under kind and key."""

    def __init__(self, explain: Callable[[str, str], str]) -> None:
        self._explain = explain
        self._kinds: dict[str, Kind[Any]] = {}
        self._registries: dict[str, UniversalRegistry[Any]] = {}
        self.by_name: Final[Mapping[str, UniversalRegistry[Any]]] = MappingProxyType(self._registries)

    @property
    def kinds(self) -> tuple[Kind[Any], ...]:
        """In the order in which they came."""
        return tuple(self._kinds.copy().values())

    def named(self, name: str) -> UniversalRegistry[Any]:
        """The registry of the kind called *name*; `UnknownKindError` if there is none."""
        try:
            return self._registries[name]
        except KeyError:
            raise UnknownKindError(name, self._kinds) from None

    def refuse_another(self, kind: Kind[Any]) -> None:
        """Raise `ConfigError` if another kind is called as *kind* is."""
        known = self._kinds.get(kind.name)
        if known is not None and not known.is_same(kind):
            raise ConfigError(f"two kinds are called {kind.name!r}: {known!r} and {kind!r}")

    def add(self, kind: Kind[Any]) -> None:
        """Make a registry for a kind that is new; `ConfigError` if another one is called so."""
        self.refuse_another(kind)
        if kind.name in self._kinds:
            return
        registry = kind.make_registry()

        def explain(key: str) -> str:
            return self._explain(kind.name, key)

        registry.explain = Discreet(explain)
        self._registries[kind.name] = registry
        self._kinds[kind.name] = kind

    def introduce(
        self,
        events: EventHub,
        offer_of: Callable[[str], object],
        resident: Callable[[str, UserExecutionContext], AbstractContextManager[BaseAgent] | None],
        discreet: Callable[[str, str], str],
    ) -> None:
        """
        Hand registries what they are not allowed to import.

        Agents: where to tell, what to call, and who lives in a session. Tools: whom the
        configuration offers them to, and what they may not say.
        """
        agents, tools = self._registries.get("agents"), self._registries.get("tools")
        if hasattr(tools, "offer_of"):
            cast("ToolRegistry", tools).offer_of = Discreet(offer_of)
            cast("ToolRegistry", tools).discreet = Discreet(discreet)
        if hasattr(agents, "bind"):
            caller = cast("ToolRegistry", tools) if hasattr(tools, "offered") else None
            cast("AgentRegistry", agents).bind(events=events, tools=caller)
            cast("AgentRegistry", agents).resident = Discreet(resident)

    def end_runs(self, patience: float) -> None:
        """No agent runs from now on; who runs may finish within *patience* seconds."""
        agents = self._registries.get("agents")
        if hasattr(agents, "bind"):
            cast("AgentRegistry", agents).end(patience)

    def limit_abandoned(self, most: int) -> None:
        """How many stuck threads put a tool in quarantine."""
        tools = self._registries.get("tools")
        if hasattr(tools, "max_abandoned"):
            cast("ToolRegistry", tools).max_abandoned = most
