"""An imported plugin that fits its kind, and makes objects that do."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from hotplug import _signature
from hotplug._kinds import Kind, Scope
from hotplug._loader._importing import import_target
from hotplug._loader._wall import behind_wall
from hotplug.errors import PluginContractError, SchemaError, SettingsError

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from hotplug._records import PluginRecord
    from hotplug.registry import UniversalRegistry

__all__ = ["Blueprint", "NOBODY", "PluginContext", "prepare"]

T = TypeVar("T")


@dataclass(frozen=True)
class PluginContext:
    """
    What the host tells a plugin that asks for it by annotating a parameter with this class.

    *key* is where the plugin stands, *record* what it is; *logger* is its own; *registries* maps
    kind names to the host's registries.
    """

    key: str
    record: PluginRecord
    logger: logging.Logger
    registries: Mapping[str, UniversalRegistry[Any]]
    data: Path

    @property
    def data_folder(self) -> Path:
        """A folder of this plugin's own, made when first asked for; it survives upgrades."""
        self.data.mkdir(parents=True, exist_ok=True)
        return self.data


def _contract_of(kind: Kind[T]) -> type[T]:
    """The kind's contract, imported if it was named as text."""
    if not isinstance(kind.contract, str):
        return kind.contract
    module, _, name = kind.contract.partition(":")
    contract: type[T] = getattr(importlib.import_module(module), name)
    return contract


class Blueprint(Generic[T]):
    """An imported plugin that fits its kind, with settings that fit its signature; ready to `make`."""

    def __init__(
        self,
        kind: Kind[T],
        record: PluginRecord,
        target: object,
        settings: Mapping[str, object],
        key: str,
    ) -> None:
        self.kind: Final = kind
        self.record: Final = record
        self.contract: Final = _contract_of(kind)
        self.settings: Final = settings
        self.key: Final = key
        self.target: Final = target
        self._ready, self._maker = self._classify(target)

    def _classify(self, target: object) -> tuple[T | None, Callable[..., object] | None]:
        """Either the shared object itself, or what makes one."""
        adopted = _adopt(self.contract, target)
        if adopted is not None:
            return adopted, None
        if inspect.isclass(target):
            self._refuse_differences(target)
            return None, target
        if _fits(target, self.contract):
            return self._shared(target), None
        if inspect.iscoroutinefunction(target):
            raise PluginContractError(
                f"{target.__qualname__} is async, and would make a coroutine",
                self.record,
                remedy="make the object in a plain function, and let the object do its waiting",
            )
        if callable(target):
            return None, target
        raise self._mismatch(target)

    def _shared(self, target: object) -> T:
        if self.kind.scope is Scope.USER:
            raise PluginContractError(
                f"its entry point is one object, but {self.kind.name} are made for each user",
                self.record,
                remedy="let the entry point name the class, or a function that makes one",
            )
        return target  # type: ignore[return-value]  # _fits has said so

    def _refuse_differences(self, target: type[object]) -> None:
        differences = _signature.differences(target, self.contract)
        if differences or not _is_subclass(target, self.contract):
            raise self._mismatch(target, differences)

    def _mismatch(self, thing: object, differences: tuple[str, ...] | None = None) -> PluginContractError:
        wanted = f"{self.contract.__module__}.{self.contract.__qualname__}"
        found = (
            thing.__qualname__ if inspect.isclass(thing) else f"an object of type {type(thing).__qualname__}"
        )
        if differences is None:
            differences = _signature.differences(thing, self.contract)
        return PluginContractError(
            f"{found} is not a {wanted}",
            self.record,
            differences,
            remedy=f"subclass {wanted} and define what differs",
        )

    def check(self, injectable: Mapping[type, object]) -> None:
        """See that the settings fit, without making anything."""
        self._arguments(injectable)

    def make(self, injectable: Mapping[type, object]) -> T:
        """The object: the shared one, or a new one. Runs plugin code; raises `PluginError`."""
        arguments = self._arguments(injectable)
        maker = self._maker
        if maker is None:
            return self._ready  # type: ignore[return-value]  # one of the two is always there
        return behind_wall(self.record, "construction", lambda: self._fitting(maker(**arguments)))

    def _fitting(self, made: object) -> T:
        if not _fits(made, self.contract):
            raise self._mismatch(made)
        return made  # type: ignore[return-value]  # _fits has said so

    def _arguments(self, injectable: Mapping[type, object]) -> dict[str, object]:
        if self._maker is None:
            if self.settings:
                raise SettingsError(
                    f"it takes none, so {', '.join(map(repr, self.settings))} cannot be set",
                    self.record,
                    remedy="remove the settings",
                )
            return {}
        maker = self._maker
        arguments = behind_wall(self.record, "settings", lambda: self._converted(maker, injectable))
        self._refuse_user_in_shared(arguments)
        return arguments

    def _converted(
        self, maker: Callable[..., object], injectable: Mapping[type, object]
    ) -> dict[str, object]:
        try:
            settings = self._with_key(_signature.settings_of(maker, injectable).settings)
            return _signature.convert(maker, settings, injectable=injectable, record=self.record)
        except SchemaError as error:
            raise SettingsError(
                str(error), self.record, remedy="mend the annotations of the plugin"
            ) from error

    def _with_key(self, taken: Collection[str]) -> Mapping[str, object]:
        name = self.kind.key_setting
        if name is None or name not in taken or name in self.settings:
            return self.settings
        return {**self.settings, name: self.key}

    def _refuse_user_in_shared(self, arguments: Mapping[str, object]) -> None:
        """Who is shared by everybody cannot belong to one user."""
        for name, value in arguments.items():
            if value is NOBODY:
                raise PluginContractError(
                    f"it is shared between users, so {name!r} cannot be one user's context",
                    self.record,
                    remedy="take the context where a call is made, or be of a kind made for each user",
                )


class _Nobody:
    """Stands for the user of a shared object: there is none."""


NOBODY: Final = _Nobody()


def _adopt(contract: type[T], target: object) -> T | None:
    """A contract may make plain things its own, as tools do with typed functions."""
    adopt: Callable[[object], T | None] | None = getattr(contract, "_adopt", None)
    return adopt(target) if adopt is not None else None


def _fits(thing: object, contract: type[object]) -> bool:
    if getattr(contract, "_is_protocol", False):
        return not _signature.differences(thing, contract)
    return isinstance(thing, contract)


def _is_subclass(target: type[object], contract: type[object]) -> bool:
    return getattr(contract, "_is_protocol", False) or issubclass(target, contract)


def prepare(
    kind: Kind[T],
    record: PluginRecord,
    settings: Mapping[str, object],
    *,
    key: str,
    limit: float,
    injectable: Mapping[type, object],
    importer: Callable[[str], object] = importlib.import_module,
) -> Blueprint[T]:
    """
    Import the plugin and see that it fits its kind, and its settings fit it; for *limit* seconds at most.

    *importer* is what imports its module.
    Raises `PluginError`: `PluginImportError`, `MissingDependencyError`, `PluginContractError`,
    `SettingsError`, `PluginTimeoutError`.
    """

    def build() -> Blueprint[T]:
        target = behind_wall(record, "import", lambda: import_target(record, importer))
        checked = behind_wall(
            record, "contract check", lambda: Blueprint(kind, record, target, settings, key)
        )
        checked.check(injectable)
        return checked

    return behind_wall(record, "import", build, limit)
