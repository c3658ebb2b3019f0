"""Keeping secrets out of what is told of a failure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from hotplug._signature import Secret
from hotplug.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hotplug.errors import PluginError

__all__ = ["hide_secrets", "without_secrets"]

MASK: Final = "***"


def hide_secrets(error: PluginError, settings: object) -> None:
    """Take the secrets of *settings* out of the error's own text; its cause is the plugin's."""
    error.why = without_secrets(error.why, settings)
    error.args = tuple(without_secrets(a, settings) if isinstance(a, str) else a for a in error.args)


def without_secrets(text: str, settings: object) -> str:
    """*text* with ``***`` in the place of every secret that *settings* refer to."""
    for secret in _secrets_in(settings):
        try:
            value = secret.reveal()
        except SettingsError:
            continue  # what cannot be read was not told either
        if value:
            text = text.replace(value, MASK)
    return text


def _secrets_in(value: object) -> Iterator[Secret]:
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, Mapping):
        for item in cast("Mapping[Any, object]", value).values():
            yield from _secrets_in(item)
    elif isinstance(value, (list, tuple)):
        for item in cast("list[object]", value):
            yield from _secrets_in(item)
