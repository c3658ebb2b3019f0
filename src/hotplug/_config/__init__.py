"""``hotplug.toml``: read whole or rejected whole, with the line that is to blame."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hotplug._config._lines import lines_of
from hotplug._config._reading import Reading, document_of
from hotplug._config._settings import EntryConfig, HostSettings, PluginPolicy
from hotplug._records import FrozenDict
from hotplug._signature import Secret, dotted, masked, reveal
from hotplug.errors import ConfigError, close_match

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import EllipsisType

    from hotplug._signature import Misfit

__all__ = [
    "Config",
    "EntryConfig",
    "FILE_NAME",
    "HostSettings",
    "PluginPolicy",
    "Secret",
    "masked",
    "reveal",
]

FILE_NAME: Final = "hotplug.toml"
VARIABLE: Final = "HOTPLUG_CONFIG"


@dataclass(frozen=True)
class Config:
    """
    A configuration that was read and is right. ``Config()`` is the empty one.

    Immutable, safe to share between threads; equal to any other with the same content, wherever it
    stands. *entries* are keyed by kind and key, in the order of the file; *source* names the file in
    errors. Secrets in it are references, shown as ``***``.
    """

    host: HostSettings = field(default_factory=HostSettings)
    plugins: PluginPolicy = field(default_factory=PluginPolicy)
    entries: Mapping[tuple[str, str], EntryConfig] = field(
        default_factory=FrozenDict[tuple[str, str], EntryConfig], hash=False
    )
    source: str = field(default="", compare=False)
    text: str = field(default="", compare=False, repr=False)

    @classmethod
    def load(cls, path: str | Path) -> Config:
        """The configuration in the file at *path*; `ConfigError` if it cannot be read or is wrong."""
        place = Path(path)
        try:
            # Some editors put a byte order mark first, which TOML does not know.
            text = place.read_bytes().decode("utf-8-sig")
        except OSError as error:
            raise ConfigError(f"cannot be read: {error.strerror or error}", source=str(path)) from error
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            raise ConfigError("is not UTF-8 text", source=str(path), line=line) from error
        return cls.parse(text, source=str(path), folder=place.absolute().parent)

    @classmethod
    def parse(cls, text: str, *, source: str = "", folder: str | Path = "") -> Config:
        """
        The configuration that *text* spells; `ConfigError` naming everything wrong with it.

        *source* names it in errors, relative files in it are taken from *folder* (default: the
        working folder, at the time they are needed).
        """
        reading = Reading(document_of(text, source), str(folder))
        if reading.misfits:
            raise _refusal(reading.misfits, text, source)
        return cls(reading.host, reading.plugins, FrozenDict(reading.entries), source, text)

    @staticmethod
    def find(explicit: str | Path | None = None) -> Path | None:
        """The file to use: *explicit*, else ``HOTPLUG_CONFIG``, else ``./hotplug.toml`` if there."""
        if explicit is not None:
            return Path(explicit)
        if named := os.environ.get(VARIABLE):
            return Path(named)
        return Path(FILE_NAME) if Path(FILE_NAME).is_file() else None

    def check_kinds(self, known: Iterable[str]) -> None:
        """Refuse tables of kinds that are not among *known*: `ConfigError` with line and close match."""
        names = tuple(known)
        for kind, key in self.entries:
            if kind not in names:
                why = f"no such kind: {kind!r} ({close_match(kind, names)})"
                line = self.line_of((kind, key))
                raise ConfigError(why, source=self.source, line=line, where=f"{kind}.{key}")

    def line_of(self, path: Sequence[str | int]) -> int | None:
        """The line (from 1) where *path* stands, or the nearest thing around it; None if nothing does."""
        return _nearest(self._lines, tuple(path))

    @functools.cached_property
    def _lines(self) -> Mapping[tuple[str | int, ...], int]:
        return lines_of(self.text)


def _refusal(misfits: Iterable[Misfit], text: str, source: str) -> ConfigError:
    """One error for all *misfits*: the first in the file leads, the others follow line by line."""
    lines = lines_of(text)
    placed = sorted(
        ((_nearest(lines, misfit.path) or 0, misfit) for misfit in misfits), key=lambda pair: pair[0]
    )
    (line, first), *others = placed
    also = "".join(f"\n  line {at}: [{dotted(other.path)}] {other.why}" for at, other in others)
    return ConfigError(first.why + also, source=source, line=line or None, where=dotted(first.path))


def _nearest(
    lines: Mapping[tuple[str | int, ...], int], path: tuple[str | int | EllipsisType, ...]
) -> int | None:
    places = (lines.get(path[:length]) for length in range(len(path), 0, -1))  # type: ignore[arg-type]
    return next((place for place in places if place is not None), None)
