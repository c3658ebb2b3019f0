"""
The plugin runtime for Python applications that trade and act: *install a plugin, and it is there.*

    import hotplug

    with hotplug.Host() as host:
        broker = host.brokers.get("paper")

Nothing is imported until it is used; type checkers and ``dir()`` see every name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from hotplug._config import (
        Config as Config,
    )
    from hotplug._host import (
        CloseReport as CloseReport,
    )
    from hotplug._host import (
        Host as Host,
    )
    from hotplug._host import (
        Session as Session,
    )
    from hotplug._kinds import (
        KINDS as KINDS,
    )
    from hotplug._kinds import (
        Kind as Kind,
    )
    from hotplug._kinds import (
        Scope as Scope,
    )
    from hotplug._kinds import (
        discover as discover,
    )
    from hotplug._loader import (
        PluginContext as PluginContext,
    )
    from hotplug._records import VERSION as __version__
    from hotplug._records import (
        Changes as Changes,
    )
    from hotplug._records import (
        Discovery as Discovery,
    )
    from hotplug._records import (
        Entry as Entry,
    )
    from hotplug._records import (
        Health as Health,
    )
    from hotplug._records import (
        PluginRecord as PluginRecord,
    )
    from hotplug._records import (
        PluginStatus as PluginStatus,
    )
    from hotplug._records import (
        Problem as Problem,
    )
    from hotplug._records import (
        RegistryChange as RegistryChange,
    )
    from hotplug._report import (
        MroReport as MroReport,
    )
    from hotplug._report import (
        mro_report as mro_report,
    )
    from hotplug.agents import (
        AgentRegistry as AgentRegistry,
    )
    from hotplug.agents import (
        AgentRun as AgentRun,
    )
    from hotplug.agents import (
        BaseAgent as BaseAgent,
    )
    from hotplug.brokers import (
        BookSettings as BookSettings,
    )
    from hotplug.brokers import (
        BrokerGateway as BrokerGateway,
    )
    from hotplug.brokers import (
        BrokerInfo as BrokerInfo,
    )
    from hotplug.brokers import (
        BrokerRegistry as BrokerRegistry,
    )
    from hotplug.brokers import (
        IBrokerGateway as IBrokerGateway,
    )
    from hotplug.brokers import (
        IBrokerRegistry as IBrokerRegistry,
    )
    from hotplug.brokers import (
        OrderLimits as OrderLimits,
    )
    from hotplug.brokers import (
        RateWindow as RateWindow,
    )
    from hotplug.brokers import (
        ReplacePolicy as ReplacePolicy,
    )
    from hotplug.brokers import (
        SyncBrokerGateway as SyncBrokerGateway,
    )
    from hotplug.context import (
        UserExecutionContext as UserExecutionContext,
    )
    from hotplug.errors import (
        ApprovalRequiredError as ApprovalRequiredError,
    )
    from hotplug.errors import (
        AuthenticationError as AuthenticationError,
    )
    from hotplug.errors import (
        BrokerError as BrokerError,
    )
    from hotplug.errors import (
        BrokerUnavailable as BrokerUnavailable,
    )
    from hotplug.errors import (
        CircularFactoryError as CircularFactoryError,
    )
    from hotplug.errors import (
        ConfigError as ConfigError,
    )
    from hotplug.errors import (
        ContextRequiredError as ContextRequiredError,
    )
    from hotplug.errors import (
        ContractError as ContractError,
    )
    from hotplug.errors import (
        DeadlineExceeded as DeadlineExceeded,
    )
    from hotplug.errors import (
        DuplicateClientOrderId as DuplicateClientOrderId,
    )
    from hotplug.errors import (
        DuplicateKeyError as DuplicateKeyError,
    )
    from hotplug.errors import (
        FrozenRegistryError as FrozenRegistryError,
    )
    from hotplug.errors import (
        GatewayNotReady as GatewayNotReady,
    )
    from hotplug.errors import (
        GatewayReplaced as GatewayReplaced,
    )
    from hotplug.errors import (
        Halted as Halted,
    )
    from hotplug.errors import (
        HostError as HostError,
    )
    from hotplug.errors import (
        HotplugError as HotplugError,
    )
    from hotplug.errors import (
        InsufficientFunds as InsufficientFunds,
    )
    from hotplug.errors import (
        InvalidArgumentsError as InvalidArgumentsError,
    )
    from hotplug.errors import (
        InvalidContextError as InvalidContextError,
    )
    from hotplug.errors import (
        InvalidRequest as InvalidRequest,
    )
    from hotplug.errors import (
        LiveRefused as LiveRefused,
    )
    from hotplug.errors import (
        MarketClosed as MarketClosed,
    )
    from hotplug.errors import (
        MissingDependencyError as MissingDependencyError,
    )
    from hotplug.errors import (
        NotOfferedError as NotOfferedError,
    )
    from hotplug.errors import (
        NotRegisteredError as NotRegisteredError,
    )
    from hotplug.errors import (
        NotSupported as NotSupported,
    )
    from hotplug.errors import (
        OrderBusy as OrderBusy,
    )
    from hotplug.errors import (
        OrderDenied as OrderDenied,
    )
    from hotplug.errors import (
        OrderNotFound as OrderNotFound,
    )
    from hotplug.errors import (
        Outcome as Outcome,
    )
    from hotplug.errors import (
        PermissionDenied as PermissionDenied,
    )
    from hotplug.errors import (
        PluginContractError as PluginContractError,
    )
    from hotplug.errors import (
        PluginError as PluginError,
    )
    from hotplug.errors import (
        PluginImportError as PluginImportError,
    )
    from hotplug.errors import (
        PluginTimeoutError as PluginTimeoutError,
    )
    from hotplug.errors import (
        RateLimited as RateLimited,
    )
    from hotplug.errors import (
        RestartRequired as RestartRequired,
    )
    from hotplug.errors import (
        SchemaError as SchemaError,
    )
    from hotplug.errors import (
        SettingsError as SettingsError,
    )
    from hotplug.errors import (
        StartError as StartError,
    )
    from hotplug.errors import (
        SyncCallOnLoop as SyncCallOnLoop,
    )
    from hotplug.errors import (
        ToolError as ToolError,
    )
    from hotplug.errors import (
        ToolTimeoutError as ToolTimeoutError,
    )
    from hotplug.errors import (
        UnknownKindError as UnknownKindError,
    )
    from hotplug.events import (
        Event as Event,
    )
    from hotplug.events import (
        EventCursor as EventCursor,
    )
    from hotplug.events import (
        EventEmitter as EventEmitter,
    )
    from hotplug.events import (
        EventHub as EventHub,
    )
    from hotplug.events import (
        EventSink as EventSink,
    )
    from hotplug.events import (
        HubStats as HubStats,
    )
    from hotplug.registry import (
        RegistryMetrics as RegistryMetrics,
    )
    from hotplug.registry import (
        Undo as Undo,
    )
    from hotplug.registry import (
        UniversalRegistry as UniversalRegistry,
    )
    from hotplug.services import (
        Service as Service,
    )
    from hotplug.services import (
        ServiceRegistry as ServiceRegistry,
    )
    from hotplug.strategies import (
        Strategy as Strategy,
    )
    from hotplug.strategies import (
        StrategyRegistry as StrategyRegistry,
    )
    from hotplug.strategies import (
        StrategyReport as StrategyReport,
    )
    from hotplug.strategies import (
        Trader as Trader,
    )
    from hotplug.strategies import (
        run_strategy as run_strategy,
    )
    from hotplug.tools import (
        Approval as Approval,
    )
    from hotplug.tools import (
        Tool as Tool,
    )
    from hotplug.tools import (
        ToolRegistry as ToolRegistry,
    )
    from hotplug.tools import (
        tool as tool,
    )

__all__ = [
    "AgentRegistry",
    "AgentRun",
    "Approval",
    "ApprovalRequiredError",
    "AuthenticationError",
    "BaseAgent",
    "BookSettings",
    "BrokerError",
    "BrokerGateway",
    "BrokerInfo",
    "BrokerRegistry",
    "BrokerUnavailable",
    "Changes",
    "CircularFactoryError",
    "CloseReport",
    "Config",
    "ConfigError",
    "ContextRequiredError",
    "ContractError",
    "DeadlineExceeded",
    "Discovery",
    "DuplicateClientOrderId",
    "DuplicateKeyError",
    "Entry",
    "Event",
    "EventCursor",
    "EventEmitter",
    "EventHub",
    "EventSink",
    "FrozenRegistryError",
    "GatewayNotReady",
    "GatewayReplaced",
    "Halted",
    "Health",
    "Host",
    "HostError",
    "HotplugError",
    "HubStats",
    "IBrokerGateway",
    "IBrokerRegistry",
    "InsufficientFunds",
    "InvalidArgumentsError",
    "InvalidContextError",
    "InvalidRequest",
    "KINDS",
    "Kind",
    "LiveRefused",
    "MarketClosed",
    "MissingDependencyError",
    "MroReport",
    "NotOfferedError",
    "NotRegisteredError",
    "NotSupported",
    "OrderBusy",
    "OrderDenied",
    "OrderLimits",
    "OrderNotFound",
    "Outcome",
    "PermissionDenied",
    "PluginContext",
    "PluginContractError",
    "PluginError",
    "PluginImportError",
    "PluginRecord",
    "PluginStatus",
    "PluginTimeoutError",
    "Problem",
    "RateLimited",
    "RateWindow",
    "RegistryChange",
    "RegistryMetrics",
    "ReplacePolicy",
    "RestartRequired",
    "SchemaError",
    "Scope",
    "Service",
    "ServiceRegistry",
    "Session",
    "SettingsError",
    "StartError",
    "Strategy",
    "StrategyRegistry",
    "StrategyReport",
    "SyncBrokerGateway",
    "SyncCallOnLoop",
    "Tool",
    "ToolError",
    "ToolRegistry",
    "ToolTimeoutError",
    "Trader",
    "Undo",
    "UniversalRegistry",
    "UnknownKindError",
    "UserExecutionContext",
    "__version__",
    "discover",
    "mro_report",
    "run_strategy",
    "tool",
]

# Where each name lives, for who imports it at run time.
_HOMES: Final = {
    "hotplug._config": "Config",
    "hotplug._host": "CloseReport Host Session",
    "hotplug._kinds": "KINDS Kind Scope discover",
    "hotplug._loader": "PluginContext",
    "hotplug._records": "Changes Discovery Entry Health PluginRecord PluginStatus Problem RegistryChange",
    "hotplug._report": "MroReport mro_report",
    "hotplug.agents": "AgentRegistry AgentRun BaseAgent",
    "hotplug.brokers": (
        "BookSettings BrokerGateway BrokerInfo BrokerRegistry IBrokerGateway IBrokerRegistry OrderLimits "
        "RateWindow ReplacePolicy SyncBrokerGateway"
    ),
    "hotplug.context": "UserExecutionContext",
    "hotplug.errors": (
        "ApprovalRequiredError AuthenticationError BrokerError BrokerUnavailable CircularFactoryError "
        "ConfigError ContextRequiredError ContractError DeadlineExceeded DuplicateClientOrderId "
        "DuplicateKeyError FrozenRegistryError GatewayNotReady GatewayReplaced Halted HostError "
        "HotplugError InsufficientFunds InvalidArgumentsError InvalidContextError InvalidRequest "
        "LiveRefused MarketClosed MissingDependencyError NotOfferedError NotRegisteredError NotSupported "
        "OrderBusy OrderDenied OrderNotFound Outcome PermissionDenied PluginContractError PluginError "
        "PluginImportError PluginTimeoutError RateLimited RestartRequired SchemaError SettingsError "
        "StartError SyncCallOnLoop ToolError ToolTimeoutError UnknownKindError"
    ),
    "hotplug.events": "Event EventCursor EventEmitter EventHub EventSink HubStats",
    "hotplug.registry": "RegistryMetrics Undo UniversalRegistry",
    "hotplug.services": "Service ServiceRegistry",
    "hotplug.strategies": "Strategy StrategyRegistry StrategyReport Trader run_strategy",
    "hotplug.tools": "Approval Tool ToolRegistry tool",
}
_HOME: Final = {name: home for home, names in _HOMES.items() for name in names.split()}
_MODULES: Final = frozenset(
    [
        "agents",
        "brokers",
        "context",
        "errors",
        "events",
        "hookspecs",
        "market",
        "registry",
        "services",
        "strategies",
        "testing",
        "tools",
    ]
)


def __getattr__(name: str) -> Any:
    import importlib

    if name == "__version__":
        value = importlib.import_module("hotplug._records").VERSION
    elif name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
    elif name in _MODULES:
        value = importlib.import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
