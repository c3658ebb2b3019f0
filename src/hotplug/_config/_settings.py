"""What a configuration holds, once it is right: frozen, printable, comparable."""

from __future__ import annotations

import re
from collections.abc import Mapping  # noqa: TC003 - read from the annotations when a file is
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Final, cast

from hotplug._records import FrozenDict

__all__ = ["EntryConfig", "HostSettings", "PluginPolicy", "alike"]

SEPARATORS: Final = re.compile(r"[-_.]+")


def alike(one: object, other: object) -> bool:
    """Whether two values say the same in TOML: there, ``true`` is not ``1``, and ``nan`` is ``nan``."""
    if type(one) is not type(other):
        return False
    if isinstance(one, FrozenDict):
        mine, theirs = cast("FrozenDict[str, object]", one), cast("FrozenDict[str, object]", other)
        return mine.keys() == theirs.keys() and all(alike(mine[key], theirs[key]) for key in mine)
    if isinstance(one, tuple):
        pair = cast("tuple[object, ...]", one), cast("tuple[object, ...]", other)
        return len(pair[0]) == len(pair[1]) and all(map(alike, *pair))
    return one == other or (one != one and other != other)


@dataclass(frozen=True)
class HostSettings:
    """
    The table ``[host]``.

    *load_timeout* (seconds) is what one plugin's import may take, *drain_timeout* (seconds) what the
    calls under way may take when their plugin goes. *max_abandoned* threads stuck in one tool put it in
    quarantine. What a session holds whose user has used nothing for *idle_timeout* (seconds) is closed, and
    made anew when it is asked for; None leaves it. *data* is the folder for what must outlive the process; a
    relative one is taken from the folder of the configuration file.
    """

    load_timeout: float = 30.0
    drain_timeout: float = 10.0
    watch: bool = False
    strict: bool = False
    data: str | None = None
    max_abandoned: int = 8
    idle_timeout: float | None = None


@dataclass(frozen=True)
class PluginPolicy:
    """
    The table ``[plugins]``: what is never imported, who may contribute, who wins a name.

    *disable* and *conflicts* spell plugins ``kind/name``. *allow* holds names of distributions, as
    patterns too (``acme-*``); None allows all.
    """

    disable: tuple[str, ...] = ()
    allow: tuple[str, ...] | None = None
    conflicts: Mapping[str, str] = field(default_factory=FrozenDict[str, str], hash=False)

    def disabled(self, kind: str, name: str) -> bool:
        """Whether the plugin must not be imported."""
        return any(fnmatchcase(f"{kind}/{name}", pattern) for pattern in self.disable)

    def allowed(self, distribution: str) -> bool:
        """Whether plugins of this distribution may be imported; its name is compared as PEP 503 has it."""
        if self.allow is None:
            return True
        name = _normalized(distribution)
        return any(fnmatchcase(name, _normalized(pattern)) for pattern in self.allow)


@dataclass(frozen=True)
class EntryConfig:
    """
    A table ``[kind.key]``: the plugin that shall stand under *key*, and how it is made.

    *settings* are the plugin's own, secrets still as references (`hotplug._config.reveal`). *options*
    are those of its kind, such as the ``offer`` of a tool.
    """

    kind: str
    key: str
    plugin: str
    connect: bool = False
    required: bool = False
    tags: tuple[str, ...] = ()
    settings: Mapping[str, object] = field(default_factory=FrozenDict[str, object], hash=False)
    options: Mapping[str, object] = field(default_factory=FrozenDict[str, object], hash=False)

    @property
    def name(self) -> str:
        """``kind/key``, as ``Changes`` spell it."""
        return f"{self.kind}/{self.key}"

    def alike(self, other: EntryConfig) -> bool:
        """Whether *other* says the same, types of values included."""
        return all(alike(getattr(self, each.name), getattr(other, each.name)) for each in fields(self))


def _normalized(name: str) -> str:
    return SEPARATORS.sub("-", name).lower()
