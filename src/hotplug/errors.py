"""
Every exception that hotplug raises.

    HotplugError
    ├── InvalidContextError (ValueError)        a context that names nobody, or is nested too deep
    ├── ContractError (ValueError)              an object that is not what its registry holds
    ├── DuplicateKeyError (ValueError)          a key that is already taken
    ├── NotRegisteredError (KeyError)           a key under which nothing stands
    ├── ContextRequiredError (KeyError)         a factory asked without saying for whom
    ├── FrozenRegistryError (RuntimeError)      a write after freeze()
    ├── CircularFactoryError (RuntimeError)     a factory that needs its own product
    ├── ConfigError (ValueError)                a configuration that was rejected whole
    ├── HostError (RuntimeError)                a host asked for what its state does not allow
    │   ├── StartError                          a required plugin that does not work
    │   ├── SyncCallOnLoop                      a blocking call on the loop that must answer it
    │   └── UnknownKindError (KeyError)         a kind that the host was not given
    ├── SchemaError (TypeError)                 a signature that cannot be a schema
    ├── PluginError                             a plugin misbehaved; the cause is chained
    │   ├── PluginImportError (ImportError)     its module did not import
    │   │   └── MissingDependencyError          … because something else is not installed
    │   ├── PluginContractError (ContractError) what it made is not what its kind holds
    │   ├── SettingsError (ValueError)          its settings do not fit its signature
    │   ├── PluginTimeoutError (TimeoutError)   it did not answer in time
    │   └── RestartRequired                     it changed in a way that a running process cannot follow
    ├── ToolError                               a tool call that gave no result
    │   ├── InvalidArgumentsError (ValueError)  arguments that do not fit the schema
    │   ├── NotOfferedError (PermissionError)   a tool that this user may not call
    │   ├── ApprovalRequiredError               a destructive call nobody approved
    │   └── ToolTimeoutError (TimeoutError)     no answer in time; its outcome is unknown
    └── BrokerError                             a broker said no, or said nothing
        ├── AuthenticationError · PermissionDenied · InvalidRequest · OrderDenied
        ├── InsufficientFunds · OrderNotFound · DuplicateClientOrderId · OrderBusy
        ├── MarketClosed · NotSupported · RateLimited · BrokerUnavailable
        └── DeadlineExceeded · GatewayNotReady · GatewayReplaced · LiveRefused · Halted

Errors carry facts in attributes and make their text last.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hotplug._records import PluginRecord

__all__ = [
    "ApprovalRequiredError",
    "AuthenticationError",
    "BrokerError",
    "BrokerUnavailable",
    "CircularFactoryError",
    "ConfigError",
    "ContextRequiredError",
    "ContractError",
    "DeadlineExceeded",
    "DuplicateClientOrderId",
    "DuplicateKeyError",
    "FrozenRegistryError",
    "GatewayNotReady",
    "GatewayReplaced",
    "Halted",
    "HostError",
    "HotplugError",
    "InsufficientFunds",
    "InvalidArgumentsError",
    "InvalidContextError",
    "InvalidRequest",
    "LiveRefused",
    "MarketClosed",
    "MissingDependencyError",
    "NotOfferedError",
    "NotRegisteredError",
    "NotSupported",
    "OrderBusy",
    "OrderDenied",
    "OrderNotFound",
    "Outcome",
    "PermissionDenied",
    "PluginContractError",
    "PluginError",
    "PluginImportError",
    "PluginTimeoutError",
    "RateLimited",
    "RestartRequired",
    "SchemaError",
    "SettingsError",
    "StartError",
    "SyncCallOnLoop",
    "ToolError",
    "ToolTimeoutError",
    "UnknownKindError",
    "close_match",
]


def close_match(word: str, known: Iterable[str]) -> str:
    """The hint that ends an error text: what was probably meant, else what there is."""
    from difflib import get_close_matches

    names = sorted(str(name) for name in known)
    if close := get_close_matches(word, names, n=1):
        return f"did you mean {close[0]!r}?"
    shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    return f"known: {shown or 'none'}"


class HotplugError(Exception):
    """Anything that hotplug itself raises."""


class InvalidContextError(HotplugError, ValueError):
    """A context must name its user, and children nest ten deep at most."""


# -- registries ------------------------------------------------------------------------------------


class ContractError(HotplugError, ValueError):
    """*key* was offered something that is not what *registry* holds; nothing was registered."""

    def __init__(self, registry: str, key: str, why: str, differences: Sequence[str] = ()) -> None:
        self.registry: Final = registry
        self.key: Final = key
        self.why = why
        self.differences: Final = tuple(differences)
        super().__init__(registry, key, why, self.differences)

    def __str__(self) -> str:
        details = "".join(f"\n  - {difference}" for difference in self.differences)
        return f"{self.registry}/{self.key}: {self.why}{details}"


class DuplicateKeyError(HotplugError, ValueError):
    """*key* is taken; *owner* holds it and *newcomer* does not get it."""

    def __init__(self, registry: str, key: str, owner: str, newcomer: str) -> None:
        self.registry: Final = registry
        self.key: Final = key
        self.owner: Final = owner
        self.newcomer: Final = newcomer
        super().__init__(registry, key, owner, newcomer)

    def __str__(self) -> str:
        return (
            f"{self.registry} already has {self.key!r}: it belongs to {self.owner}, "
            f"so {self.newcomer} cannot have it (unregister or replace it, or use another key)"
        )


class NotRegisteredError(HotplugError, KeyError):
    """Nothing of the sort that was asked for stands under *key*."""

    def __init__(self, registry: str, key: object, known: Iterable[str], why: str = "") -> None:
        self.registry: Final = registry
        self.key: Final = key
        self.known: Final = tuple(known)
        self.why = why
        super().__init__(registry, key, self.known, why)

    def __str__(self) -> str:
        hint = self.why or close_match(str(self.key), self.known)
        return f"{self.registry} has no {self.key!r} ({hint})"


class ContextRequiredError(HotplugError, KeyError):
    """*key* is made for each user; say for whom."""

    def __init__(self, registry: str, key: str) -> None:
        self.registry: Final = registry
        self.key: Final = key
        super().__init__(registry, key)

    def __str__(self) -> str:
        return (
            f"{self.registry}/{self.key} is made for each user: "
            f"pass a UserExecutionContext, as in get({self.key!r}, context)"
        )


class FrozenRegistryError(HotplugError, RuntimeError):
    """*registry* was frozen; *action* did not happen."""

    def __init__(self, registry: str, action: str) -> None:
        self.registry: Final = registry
        self.action: Final = action
        super().__init__(registry, action)

    def __str__(self) -> str:
        return f"{self.registry} is frozen: cannot {self.action}"


class CircularFactoryError(HotplugError, RuntimeError):
    """Making a key needs that key itself; *chain* shows the way round."""

    def __init__(self, chain: Sequence[str]) -> None:
        self.chain: Final = tuple(chain)
        super().__init__(self.chain)

    def __str__(self) -> str:
        return f"circular factories: {' -> '.join(self.chain)}"


# -- configuration and host ------------------------------------------------------------------------


class ConfigError(HotplugError, ValueError):
    """A configuration that was rejected whole; what runs stays as it is."""

    def __init__(self, why: str, *, source: str = "", line: int | None = None, where: str = "") -> None:
        self.why = why
        self.source: Final = source
        self.line: Final = line
        self.where: Final = where
        super().__init__(why)

    def __str__(self) -> str:
        place = self.source or "configuration"
        if self.line is not None:
            place += f":{self.line}"
        at = f" [{self.where}]" if self.where else ""
        return f"{place}:{at} {self.why}"


class HostError(HotplugError, RuntimeError):
    """The host is not in a state in which this can be done."""


class StartError(HostError):
    """A plugin that must work (``required = true`` or ``strict=True``) does not."""

    def __init__(self, failures: Sequence[tuple[str, str]]) -> None:
        self.failures: Final = tuple(failures)
        super().__init__(self.failures)

    def __str__(self) -> str:
        lines = "".join(f"\n  - {name}: {why}" for name, why in self.failures)
        return f"the host cannot start, required plugins do not work:{lines}"


class SyncCallOnLoop(HostError):
    """A blocking call was made on the very loop that would have to answer it: it could never end."""


class UnknownKindError(HostError, KeyError):
    """The host holds no plugins of that *kind*; *known* are those it does hold."""

    def __init__(self, kind: object, known: Iterable[str]) -> None:
        self.kind: Final = kind
        self.known: Final = tuple(known)
        super().__init__(kind, self.known)

    def __str__(self) -> str:
        return f"this host has no kind {self.kind!r} ({close_match(str(self.kind), self.known)})"


class SchemaError(HotplugError, TypeError):
    """A signature that cannot be turned into settings or a JSON schema."""


# -- plugins ---------------------------------------------------------------------------------------


class PluginError(HotplugError):
    """A plugin misbehaved. *record* says which, ``__cause__`` says how, *remedy* what would help."""

    reason: str = "failed"

    def __init__(
        self, why: str, record: PluginRecord | None = None, *, remedy: str = "", reason: str | None = None
    ) -> None:
        self.why = why
        self.record: Final = record
        self.distribution: Final = record.distribution if record is not None else ""
        self.version: Final = record.version if record is not None else ""
        self.remedy: Final = remedy
        if reason is not None:
            self.reason = reason
        Exception.__init__(self, why)  # next in line may be a cause's own class, with other facts

    def __str__(self) -> str:
        who = f"{self.record}: " if self.record is not None else ""
        help_ = f" ({self.remedy})" if self.remedy else ""
        return f"{who}{self.why}{help_}"


class PluginImportError(PluginError, ImportError):
    """The module or attribute that the entry point names could not be imported."""

    reason = "failed import"


class MissingDependencyError(PluginImportError):
    """The plugin imports *module*, which is not installed here."""

    reason = "missing dependency"

    def __init__(self, module: str, record: PluginRecord | None = None, *, remedy: str = "") -> None:
        self.module: Final = module
        super().__init__(f"needs the module {module!r}, which is not installed", record, remedy=remedy)


class PluginContractError(PluginError, ContractError):
    """What the plugin made is not what its kind holds; *differences* lists it member by member."""

    reason = "contract mismatch"

    def __init__(
        self, why: str, record: PluginRecord, differences: Sequence[str] = (), *, remedy: str = ""
    ) -> None:
        ContractError.__init__(self, record.kind, record.name, why, differences)
        PluginError.__init__(self, why, record, remedy=remedy)

    def __str__(self) -> str:
        details = "".join(f"\n  - {difference}" for difference in self.differences)
        return PluginError.__str__(self) + details


class SettingsError(PluginError, ValueError):
    """Settings that are unknown, missing or ill-typed; *path* says which one."""

    reason = "settings"

    def __init__(
        self, why: str, record: PluginRecord | None = None, *, path: str = "", remedy: str = ""
    ) -> None:
        self.path: Final = path
        super().__init__(f"settings{'.' + path if path else ''}: {why}", record, remedy=remedy)


class PluginTimeoutError(PluginError, TimeoutError):
    """The plugin did not come back within *limit* seconds; it still sits in *thread*, a daemon."""

    reason = "timed out"

    def __init__(
        self,
        doing: str,
        limit: float,
        record: PluginRecord | None = None,
        *,
        remedy: str = "",
        thread: str = "",
    ) -> None:
        self.doing: Final = doing
        self.limit: Final = limit
        self.thread: Final = thread
        super().__init__(f"{doing} did not finish within {limit:g} s", record, remedy=remedy)


class RestartRequired(PluginError):
    """What changed cannot be replaced in a running process; *file* is it, where it is a file."""

    reason = "restart required"

    def __init__(
        self, why: str, record: PluginRecord | None = None, *, file: str = "", remedy: str = ""
    ) -> None:
        self.file: Final = file
        super().__init__(why, record, remedy=remedy or "restart the application")


# -- calls whose effect may be unknown ---------------------------------------------------------------


class Outcome(StrEnum):
    """
    What is known of a call that failed:

    ``NOT_SENT`` it never left this process · ``REJECTED`` the other side refused it ·
    ``UNKNOWN`` it may or may not have taken effect, so it must not be sent again as it is.
    """

    NOT_SENT = "NOT_SENT"
    REJECTED = "REJECTED"
    UNKNOWN = "UNKNOWN"


_OutcomeName = Literal["NOT_SENT", "REJECTED", "UNKNOWN"]


# -- tools -----------------------------------------------------------------------------------------


class ToolError(HotplugError):
    """A tool call that gave no result. The text is safe to show outside; the log has the cause."""


class InvalidArgumentsError(ToolError, ValueError):
    """Arguments that do not fit the tool's schema; the tool was not called."""


class NotOfferedError(ToolError, PermissionError):
    """The tool is not offered to this user; it was not called."""


class ApprovalRequiredError(ToolError, PermissionError):
    """A destructive tool needs an approval for exactly this call; it was not called."""


class ToolTimeoutError(ToolError, TimeoutError):
    """
    The tool was called and did not answer in time.

    *outcome* is what is known of the call; *retryable* says whether it may be made again all the same.
    """

    def __init__(
        self, message: str = "", *, outcome: Outcome | _OutcomeName = "UNKNOWN", retryable: bool = False
    ) -> None:
        self.outcome: Final = Outcome(outcome)
        self.retryable: Final = retryable
        super().__init__(message)


# -- brokers ---------------------------------------------------------------------------------------


class BrokerError(HotplugError):
    """
    A broker said no, or said nothing. *outcome* is what is known of the order:

    ``NOT_SENT`` it never left this process · ``REJECTED`` the venue refused it ·
    ``UNKNOWN`` it may or may not stand at the venue, so it must never be sent again.

    Errors that can only arise here are ``NOT_SENT`` unless something else is said, all others ``UNKNOWN``;
    *is_explicit* tells whether it was said. Raises `ValueError` for any other word. *retry_after* is
    in seconds.
    """

    _usual_outcome: ClassVar[Outcome] = Outcome.UNKNOWN

    def __init__(
        self,
        message: str = "",
        *,
        code: str = "",
        outcome: Outcome | _OutcomeName | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
        venue_code: str | None = None,
    ) -> None:
        self.message: Final = message
        self.code: Final = code or type(self).__name__
        self.outcome: Final = self._usual_outcome if outcome is None else Outcome(outcome)
        self.is_explicit: Final = outcome is not None
        self.retryable: Final = retryable
        self.retry_after: Final = retry_after
        self.venue_code: Final = venue_code
        super().__init__(message)

    def __str__(self) -> str:
        return self.message or self.code


class AuthenticationError(BrokerError):
    """The venue does not accept these credentials."""


class PermissionDenied(BrokerError):
    """The account or the operation was not granted to who asks."""

    _usual_outcome = Outcome.NOT_SENT


class InvalidRequest(BrokerError):
    """The venue could not make sense of the request."""


class OrderDenied(BrokerError):
    """Refused here, before anything was sent."""

    _usual_outcome = Outcome.NOT_SENT


class InsufficientFunds(BrokerError):
    """The account cannot pay for the order."""


class OrderNotFound(BrokerError):
    """No such order for who asks."""


class DuplicateClientOrderId(BrokerError):
    """The client order id was used for another order."""


class OrderBusy(BrokerError):
    """A change of this order is still under way."""

    _usual_outcome = Outcome.NOT_SENT


class MarketClosed(BrokerError):
    """The venue takes no such order now."""


class NotSupported(BrokerError):
    """This gateway lacks the capability; nothing is emulated."""

    _usual_outcome = Outcome.NOT_SENT


class RateLimited(BrokerError):
    """The call did not fit into its window."""


class BrokerUnavailable(BrokerError):
    """The venue does not answer."""


class DeadlineExceeded(BrokerError):
    """The time for the call ran out."""


class GatewayNotReady(BrokerError):
    """The gateway is not connected, or not in a state that allows this."""

    _usual_outcome = Outcome.NOT_SENT


class GatewayReplaced(BrokerError):
    """A newer generation of the gateway serves now."""

    _usual_outcome = Outcome.NOT_SENT


class LiveRefused(BrokerError):
    """A live gateway may not do this unless the configuration allows it."""

    _usual_outcome = Outcome.NOT_SENT


class Halted(BrokerError):
    """Trading was halted; only ``resume`` lifts it."""

    _usual_outcome = Outcome.NOT_SENT
