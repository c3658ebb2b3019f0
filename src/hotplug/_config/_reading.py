"""A TOML document becomes a configuration, or a list of everything that is wrong with it."""

from __future__ import annotations

import math
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from hotplug._config._settings import EntryConfig, HostSettings, PluginPolicy
from hotplug._records import FrozenDict
from hotplug._signature import Misfit, Parameter, Secret, Signature, fit, settings_of
from hotplug.errors import ConfigError, close_match

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hotplug._config._lines import Steps

__all__ = ["OPTIONS", "Reading", "document_of"]

Document = dict[str, Any]

SECRETS: Final[tuple[Literal["env", "file"], ...]] = ("env", "file")
SYNTAX_PLACE: Final = re.compile(r" \(at (?:line (?P<line>\d+), column \d+|end of document)\)$")
PLUGIN: Final = re.compile(r"[^/\s]+/\S+")

ENTRY: Final[Mapping[str, Any]] = {
    "plugin": str,
    "connect": bool,
    "required": bool,
    "tags": tuple[str, ...],
    "settings": dict[str, Any],
}
# What else a table of a kind may hold. Kinds that applications add have no options.
OPTIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "brokers": {
        "accounts": dict[str, Any],
        "allow_live": bool,
        "fsync": bool,
        "journal": Any,
        "limits": dict[str, Any],
        "mode": str,
        "on_shutdown": str,
        "policy": Any,
    },
    "tools": {"approval": Any, "offer": bool | list[str]},
    "services": {"autostart": bool},
}


def document_of(text: str, source: str) -> Document:
    """The parsed *text*; `ConfigError` with the line where it is no TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        why = str(error)
        place = SYNTAX_PLACE.search(why)
        line = int(place["line"]) if place and place["line"] else text.count("\n") + 1
        raise ConfigError(SYNTAX_PLACE.sub("", why), source=source, line=line) from error


class Reading:
    """One pass over a document; *misfits* is complete afterwards, the rest only counts if it is empty."""

    def __init__(self, document: Document, folder: str) -> None:
        self.misfits: list[Misfit] = []
        self._folder: Final = folder
        self.host: Final = self._host(self._table(document, "host"))
        self.plugins: Final = self._plugins(self._table(document, "plugins"))
        self.entries: Final = {(entry.kind, entry.key): entry for entry in self._entries(document)}

    def _host(self, table: Document) -> HostSettings:
        settings = HostSettings(**self._fit(settings_of(HostSettings), table, ("host",)))
        for name in ("load_timeout", "drain_timeout", "max_abandoned", "idle_timeout"):
            number = getattr(settings, name)
            if number is not None and not (math.isfinite(number) and number > 0):
                self._say(("host", name), f"must be a number above 0, not {number}")
        if settings.data and self._folder:
            return replace(settings, data=str(Path(self._folder, settings.data)))
        return settings

    def _plugins(self, table: Document) -> PluginPolicy:
        policy = PluginPolicy(**self._fit(settings_of(PluginPolicy), table, ("plugins",)))
        for place, name in enumerate(policy.disable):
            self._check_plugin(name, ("plugins", "disable", place))
        for name in policy.conflicts:
            self._check_plugin(name, ("plugins", "conflicts", name))
        return replace(policy, conflicts=FrozenDict(policy.conflicts))

    def _check_plugin(self, name: str, path: Steps) -> None:
        if not PLUGIN.fullmatch(name):
            self._say(path, f"a plugin is spelled 'kind/name', not {name!r}")

    def _entries(self, document: Document) -> Iterator[EntryConfig]:
        for kind, tables in document.items():
            if kind in ("host", "plugins"):
                continue
            if not isinstance(tables, dict):
                self._say(
                    (kind,), f"no such key ({close_match(kind, ('host', 'plugins'))}; kinds are tables)"
                )
            elif not kind.isidentifier():
                self._say((kind,), f"a kind's name is an identifier, not {kind!r}")
            else:
                for key, table in cast("Document", tables).items():
                    yield self._entry(kind, key, table)

    def _entry(self, kind: str, key: str, table: object) -> EntryConfig:
        path = (kind, key)
        if not isinstance(table, dict):
            self._say(path, f"must be a table, as in [{kind}.{key}], not {_toml_type(table)}")
            return EntryConfig(kind, key, key)
        table = cast("Document", table)
        if not key:
            self._say(path, "a key is not empty")
        if table.get("plugin") == "":
            self._say((*path, "plugin"), "a plugin's name is not empty")
        options = OPTIONS.get(kind, {})
        values = self._fit(_signature_of({**ENTRY, **options}), table, path)
        own: dict[str, Any] = {name: value for name, value in values.items() if name in ENTRY}
        own["settings"] = self._frozen(table.get("settings", {}), (*path, "settings"))
        chosen = {name: self._frozen(table[name], (*path, name)) for name in table if name in options}
        return EntryConfig(kind, key, own.pop("plugin", key), **own, options=FrozenDict(chosen))

    # -- the smallest steps ------------------------------------------------------------------------

    def _table(self, document: Document, name: str) -> Document:
        table = document.get(name, {})
        if isinstance(table, dict):
            return cast("Document", table)
        self._say((name,), f"must be a table, as in [{name}], not {_toml_type(table)}")
        return {}

    def _fit(self, signature: Signature, table: Document, path: tuple[str, ...]) -> Document:
        values, misfits = fit(signature, table, word="key")
        self.misfits += (Misfit((*path, *misfit.path), misfit.why) for misfit in misfits)
        return values

    def _frozen(self, value: Any, path: Steps) -> Any:
        """*value* as it will stay, with `Secret` for every reference in it."""
        if isinstance(value, list):
            items = cast("list[object]", value)
            return tuple(self._frozen(item, (*path, place)) for place, item in enumerate(items))
        if not isinstance(value, dict):
            return value
        table = cast("Document", value)
        for kind in SECRETS:
            if table.keys() == {kind}:
                return self._secret(kind, table[kind], path)
        return FrozenDict({key: self._frozen(item, (*path, key)) for key, item in table.items()})

    def _secret(self, kind: Literal["env", "file"], name: object, path: Steps) -> Secret | None:
        if isinstance(name, str) and name:
            return Secret(kind, name, self._folder)
        what = "an environment variable" if kind == "env" else "a file"
        self._say(
            (*path, kind), f"a table with the single key {kind!r} is a secret and names {what}, as text"
        )
        return None

    def _say(self, path: Steps, why: str) -> None:
        self.misfits.append(Misfit(path, why))


def _signature_of(types: Mapping[str, Any]) -> Signature:
    return Signature("entry", {name: Parameter(name, annotation) for name, annotation in types.items()})


def _toml_type(value: object) -> str:
    return "an array" if isinstance(value, list) else f"{type(value).__name__} {value!r}"
