"""
From a record to an object, behind a wall.

    record ──import──▶ target ──classify──▶ Blueprint ──settings, injection──▶ object ──contract──▶ caller

Whatever plugin code raises on the way (anything but `KeyboardInterrupt`) comes out as a `PluginError`.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import re
import sys
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from hotplug import _signature
from hotplug._kinds import Kind, Scope
from hotplug._lifecycle import Stuck, name_and_text, within
from hotplug.errors import (
    CircularFactoryError,
    MissingDependencyError,
    PluginContractError,
    PluginError,
    PluginImportError,
    PluginTimeoutError,
    SchemaError,
    SettingsError,
    close_match,
)

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Collection, Generator, Mapping
    from pathlib import Path

    from hotplug._records import PluginRecord
    from hotplug.registry import UniversalRegistry

__all__ = [
    "Blueprint",
    "NOBODY",
    "PluginContext",
    "behind_wall",
    "contract_of",
    "drop_modules",
    "forget_modules",
    "modules_of",
    "prepare",
    "resolve",
    "traceback_of",
]

T = TypeVar("T")
R = TypeVar("R")

_VALUE: Final = re.compile(r"(?P<module>[\w.]+)\s*(?::\s*(?P<attribute>[\w.]+))?\s*(?:\[.*\])?\s*$")


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


# -- the wall --------------------------------------------------------------------------------------


@contextlib.contextmanager
def _wall(record: PluginRecord, doing: str) -> Generator[None]:
    """Turn what plugin code raises into a `PluginError` that says who was doing what."""
    try:
        yield
    except KeyboardInterrupt:
        raise
    except PluginError as error:
        if error.record == record:
            raise
        raise PluginError(f"{doing} failed: {error}", record) from error
    except CircularFactoryError as error:
        raise PluginError(f"{doing} needs itself: {error}", record) from error
    except BaseException as error:
        raise PluginError(
            f"{doing} raised {name_and_text(error)}", record, reason=f"failed {doing}"
        ) from error


def behind_wall(record: PluginRecord, doing: str, call: Callable[[], R], limit: float | None = None) -> R:
    """
    What plugin code answers. *limit* is in seconds; with one, the call runs in a thread of its own.

    Raises `PluginError` (or its subclass for the cause) and nothing else but `KeyboardInterrupt`.
    """
    with _wall(record, doing):
        if limit is None:
            return call()
        try:
            return within(limit, call, f"hotplug {doing}: {record.kind}/{record.name}")
        except Stuck as stuck:
            remedy = (
                f"its thread {stuck.thread!r} is left behind; see what it waits for, or raise load_timeout"
            )
            raise PluginTimeoutError(doing, limit, record, remedy=remedy, thread=stuck.thread) from None


def traceback_of(error: BaseException) -> str:
    """The traceback as text, causes included: what a status keeps in place of living frames."""
    return "".join(traceback.format_exception(error))


# -- importing -------------------------------------------------------------------------------------


def resolve(record: PluginRecord, limit: float) -> object:
    """What the entry point's value names. Imports plugin code, for *limit* seconds at most."""
    return behind_wall(record, "import", lambda: _import(record), limit)


def _import(record: PluginRecord) -> object:
    match = _VALUE.match(record.value)
    if match is None:
        raise PluginImportError(
            f"its entry point {record.value!r} is not of the form 'module:attribute'",
            record,
            remedy="mend the entry point in its pyproject.toml",
        )
    target: object = _import_module(record, match["module"])
    for name in (match["attribute"] or "").split("."):
        if name:
            target = _attribute(record, target, name)
    return target


def _import_module(record: PluginRecord, name: str) -> object:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        if name == missing or name.startswith(missing + "."):
            raise PluginImportError(
                f"its module {missing!r} is not there",
                record,
                remedy=f"install {record.distribution} again, or put its folder on sys.path",
            ) from error
        raise MissingDependencyError(
            missing, record, remedy=f"install what provides {missing!r}; {record.distribution} needs it"
        ) from error
    except ImportError as error:
        raise PluginImportError(f"import raised {name_and_text(error)}", record) from error
    except SyntaxError as error:
        place = f"{error.filename}:{error.lineno}"
        raise PluginImportError(f"import raised SyntaxError at {place}: {error.msg}", record) from error
    except (Exception, SystemExit, GeneratorExit) as error:  # border to plugin code
        raise PluginImportError(f"import raised {name_and_text(error)}", record) from error


def _attribute(record: PluginRecord, owner: object, name: str) -> object:
    try:
        return getattr(owner, name)
    except AttributeError as error:
        where = getattr(owner, "__name__", type(owner).__name__)
        known = vars(owner) if hasattr(owner, "__dict__") else ()
        raise PluginImportError(
            f"{where} has no attribute {name!r} ({close_match(name, known)})",
            record,
            remedy="mend the entry point in its pyproject.toml",
        ) from error


def contract_of(kind: Kind[T]) -> type[T]:
    """The kind's contract, imported if it was named as text."""
    if not isinstance(kind.contract, str):
        return kind.contract
    module, _, name = kind.contract.partition(":")
    contract: type[T] = getattr(importlib.import_module(module), name)
    return contract


# -- blueprints ------------------------------------------------------------------------------------


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
        self.contract: Final = contract_of(kind)
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
        made = behind_wall(self.record, "construction", lambda: maker(**arguments))
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
) -> Blueprint[T]:
    """
    Import the plugin (for *limit* seconds at most) and see that it fits its kind.

    Raises `PluginError`: `PluginImportError`, `MissingDependencyError`, `PluginContractError`,
    `PluginTimeoutError`.
    """
    target = resolve(record, limit)
    return behind_wall(record, "contract check", lambda: Blueprint(kind, record, target, settings, key))


def modules_of(record: PluginRecord) -> list[str]:
    """The names of the imported modules that are this plugin's own: its package, below any namespace."""
    root = ""
    for part in record.value.partition(":")[0].strip().split("."):
        root = f"{root}.{part}".lstrip(".")
        module = sys.modules.get(root)
        if module is None or getattr(module, "__file__", None) is not None:
            break
    return [name for name in list(sys.modules) if name == root or name.startswith(root + ".")]


def forget_modules(record: PluginRecord) -> None:
    """Drop the modules of a plugin whose files are gone, so that a later install is imported anew."""
    for name in modules_of(record):
        if not _is_on_disk(sys.modules[name]):
            del sys.modules[name]
    importlib.invalidate_caches()


def drop_modules(record: PluginRecord) -> None:
    """Drop the modules of a plugin, wherever their files are."""
    for name in modules_of(record):
        del sys.modules[name]
    importlib.invalidate_caches()


def _is_on_disk(module: object) -> bool:
    file = getattr(module, "__file__", None)
    if file is not None:
        return os.path.exists(file)  # noqa: PTH110 - the name may lead into an archive
    return any(os.path.isdir(folder) for folder in getattr(module, "__path__", ()))  # noqa: PTH112
