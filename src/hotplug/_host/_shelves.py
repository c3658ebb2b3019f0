"""The registries under the names of their kinds, with their types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

if TYPE_CHECKING:
    from hotplug._host._registries import Registries
    from hotplug._kinds import Kind
    from hotplug.agents import AgentRegistry
    from hotplug.brokers import BrokerRegistry
    from hotplug.registry import UniversalRegistry
    from hotplug.services import ServiceRegistry
    from hotplug.strategies import StrategyRegistry
    from hotplug.tools import ToolRegistry

__all__ = ["Shelves"]

T = TypeVar("T")


class Shelves:
    """What an application takes plugins from. A kind that a host was not given raises `UnknownKindError`."""

    def __init__(self, registries: Registries) -> None:
        self._registries = registries

    @property
    def brokers(self) -> BrokerRegistry:
        """The brokers."""
        return cast("BrokerRegistry", self._registries.named("brokers"))

    @property
    def agents(self) -> AgentRegistry:
        """The agents."""
        return cast("AgentRegistry", self._registries.named("agents"))

    @property
    def tools(self) -> ToolRegistry:
        """The tools."""
        return cast("ToolRegistry", self._registries.named("tools"))

    @property
    def strategies(self) -> StrategyRegistry:
        """The strategies."""
        return cast("StrategyRegistry", self._registries.named("strategies"))

    @property
    def services(self) -> ServiceRegistry:
        """The services."""
        return cast("ServiceRegistry", self._registries.named("services"))

    @overload
    def registry(self, kind: Kind[T]) -> UniversalRegistry[T]: ...
    @overload
    def registry(self, kind: str) -> UniversalRegistry[Any]: ...
    def registry(self, kind: Kind[T] | str) -> UniversalRegistry[T] | UniversalRegistry[Any]:
        """The registry of a kind, or of the kind of that name. Raises `UnknownKindError`."""
        return self._registries.named(kind if isinstance(kind, str) else kind.name)
