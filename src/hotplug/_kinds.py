"""What plugins can be. The five kinds name their contracts as text, resolved at first load."""

from __future__ import annotations

import enum
import importlib
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from hotplug import _discovery
from hotplug.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hotplug._records import Discovery
    from hotplug.registry import UniversalRegistry

__all__ = ["KINDS", "Kind", "Scope", "discover"]

T = TypeVar("T")
RESERVED: Final = frozenset({"host", "plugins", "hooks", "commands"})


class Scope(enum.Enum):
    """Who shares what a plugin makes: everybody, or nobody but one user."""

    SHARED = "shared"
    USER = "user"


class Kind(Generic[T]):
    """
    One kind of plugin: its *name*, entry-point *group*, *contract* and *scope*.

    *contract* is a class (ABC or Protocol), or ``"module:Name"`` of one, imported at first load.
    *registry* is the `UniversalRegistry` class (or its ``"module:Name"``) that holds the objects.
    *up* and *down* name the methods by which the host starts an object that shall run, and stops it.
    *key_setting* names the setting that tells an object its own key, where it takes one.
    The name is an identifier; ``host``, ``plugins``, ``hooks`` and ``commands`` are taken (`ConfigError`).
    """

    __slots__ = ("_registry", "contract", "down", "group", "key_setting", "name", "scope", "up")

    def __init__(
        self,
        name: str,
        contract: type[T] | str,
        *,
        group: str | None = None,
        scope: Scope = Scope.SHARED,
        registry: type[UniversalRegistry[T]] | str = "hotplug.registry:UniversalRegistry",
        up: str | None = None,
        down: str | None = None,
        key_setting: str | None = None,
    ) -> None:
        if not name.isidentifier() or name in RESERVED:
            raise ConfigError(f"a kind's name is an identifier and none of {sorted(RESERVED)}, not {name!r}")
        if up is not None and scope is Scope.USER:
            raise ConfigError(f"{name}: what is made for each user is nothing that the host could start")
        self.name: Final = name
        self.contract: Final = contract
        self.group: Final = group or f"hotplug.{name}"
        self.scope: Final = scope
        self._registry = registry
        self.up: Final = up
        self.down: Final = down
        self.key_setting: Final = key_setting

    @classmethod
    def internal(cls, name: str, group: str) -> Kind[Any]:
        """A kind that hotplug keeps for itself, such as ``hooks``: listed, but not of any registry."""
        kind = cls("internal", "builtins:object", group=group)
        object.__setattr__(kind, "name", name)
        return kind

    def is_same(self, other: Kind[Any]) -> bool:
        """Whether *other* says the same in all respects."""
        return all(getattr(self, fact) == getattr(other, fact) for fact in self.__slots__)

    @property
    def registry(self) -> type[UniversalRegistry[T]]:
        """The class of its registries, imported if it was named as text."""
        if not isinstance(self._registry, str):
            return self._registry
        module, _, name = self._registry.partition(":")
        registry: type[UniversalRegistry[T]] = getattr(importlib.import_module(module), name)
        return registry

    def make_registry(self) -> UniversalRegistry[T]:
        """A registry for objects of this kind."""
        return self.registry(self.name, self.contract)

    def __repr__(self) -> str:
        return f"Kind({self.name!r}, group={self.group!r}, scope={self.scope.value})"


KINDS: Final[tuple[Kind[Any], ...]] = (
    Kind(
        "brokers",
        "hotplug.brokers:IBrokerGateway",
        registry="hotplug.brokers:BrokerRegistry",
        up="connect",
        down="disconnect",
        key_setting="broker_id",
    ),
    Kind("agents", "hotplug.agents:BaseAgent", scope=Scope.USER, registry="hotplug.agents:AgentRegistry"),
    Kind("tools", "hotplug.tools:Tool", registry="hotplug.tools:ToolRegistry"),
    Kind(
        "strategies",
        "hotplug.strategies:Strategy",
        scope=Scope.USER,
        registry="hotplug.strategies:StrategyRegistry",
    ),
    Kind(
        "services",
        "hotplug.services:Service",
        registry="hotplug.services:ServiceRegistry",
        up="start",
        down="stop",
    ),
)


def discover(
    path: Sequence[str] | None = None, *, kinds: Iterable[Kind[Any]] = KINDS, fresh: bool = False
) -> Discovery:
    """
    What the environment (or the folders and archives on *path*) advertises for *kinds*.

    No plugin module is imported. With *fresh* every dist-info is looked at again, so that even
    in-place edits are seen; without it folder stamps decide. Thread-safe. Never raises for a broken
    distribution: that is one of the ``problems``.
    """
    return _discovery.discover({kind.group: kind.name for kind in kinds}, path, fresh=fresh)
