"""References to secrets: carried everywhere, read at use, shown nowhere."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, cast

from hotplug.errors import SettingsError

__all__ = ["MASK", "Secret", "masked", "plain", "reveal"]

MASK: Final = "***"


class Secret:
    """
    A reference to a secret: an environment variable or a file, never the value itself.

    Immutable. Equal and hashed by what it refers to, shown as ``***``; a copy or a pickle holds the
    reference only. *folder* is where a relative file name starts (default: the working folder).
    """

    __slots__ = ("_folder", "_kind", "_name")

    def __init__(self, kind: Literal["env", "file"], name: str, folder: str | Path = "") -> None:
        self._kind: Final = kind
        self._name: Final = name
        self._folder: Final = str(folder) if kind == "file" else ""

    @property
    def kind(self) -> Literal["env", "file"]:
        """``"env"`` or ``"file"``."""
        return self._kind

    @property
    def name(self) -> str:
        """The variable's name, or the file's path as it was written."""
        return self._name

    @property
    def reference(self) -> str:
        """What may be said about it in an error: ``env PAPER_TOKEN``."""
        return f"{self._kind} {self._name}"

    def reveal(self) -> str:
        """
        The secret's text, read now; one line end at the end of a file is not part of it.

        Raises `SettingsError` naming the reference if there is no such variable or readable file.
        """
        if self._kind == "file":
            return self._read_file()
        value = os.environ.get(self._name)
        if value is None:
            raise SettingsError(
                f"the secret {self.reference} is not set", remedy=f"set the environment variable {self._name}"
            )
        return value

    def _read_file(self) -> str:
        try:
            text = self._path.read_bytes().decode()
        except OSError as error:
            why = f"the secret {self.reference} cannot be read: {error.strerror or type(error).__name__}"
        except UnicodeDecodeError:
            # The error's text quotes the bytes of the secret.
            why = f"the secret {self.reference} is not UTF-8 text"
        else:
            return text.removesuffix("\r\n") if text.endswith("\r\n") else text.removesuffix("\n")
        raise SettingsError(why, remedy=f"make {self._path} a file that this user can read")

    @property
    def _path(self) -> Path:
        return Path(self._folder, self._name)

    def __eq__(self, other: object) -> bool:
        return self._identity() == other._identity() if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> tuple[str, str, str]:
        return self._kind, self._name, self._folder

    def __repr__(self) -> str:
        return MASK

    def __format__(self, format_spec: str) -> str:
        return format(MASK, format_spec)

    def __reduce__(self) -> tuple[type[Secret], tuple[str, str, str]]:
        return Secret, self._identity()


def plain(value: object, *, show: bool) -> object:
    """Fresh dicts and lists all the way down; the secrets in them revealed (*show*) or masked."""
    if isinstance(value, Secret):
        return value.reveal() if show else MASK
    if isinstance(value, Mapping):
        table = cast("Mapping[object, object]", value)
        return {key: plain(item, show=show) for key, item in table.items()}
    if type(value) in (list, tuple):
        return [plain(item, show=show) for item in cast("list[object]", value)]
    return value


def reveal(settings: Mapping[str, object]) -> dict[str, object]:
    """*settings* with every reference replaced by its secret, at any depth; for making things."""
    return {key: plain(value, show=True) for key, value in settings.items()}


def masked(settings: Mapping[str, object]) -> dict[str, object]:
    """*settings* as plain dicts and lists with ``***`` for every reference: for people, logs and JSON."""
    return {key: plain(value, show=False) for key, value in settings.items()}
