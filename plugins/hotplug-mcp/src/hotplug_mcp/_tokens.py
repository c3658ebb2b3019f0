"""Whose a token is."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import stat
import tomllib
from typing import TYPE_CHECKING, Any, Final, cast

from hotplug.errors import ConfigError, close_match

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Tokens"]

log: Final = logging.getLogger("hotplug.mcp")

KNOWN: Final = frozenset({"user", "token", "token_sha256"})


class Tokens:
    """
    The users that a file grants, by the hashes of their tokens; `ConfigError` if it is wrong.

        [[principal]]
        user = "ada"
        token = "…"                 # or: token_sha256 = "…"

    It is read again when it changes. One that cannot be read then lets nobody in.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stamp = _stamp_of(file)
        self._users = _in_file(file)

    def user_of(self, token: str) -> str | None:
        """Whose *token* it is, None for nobody's. Takes as long whichever it is."""
        self._look_again()
        digest, found = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest(), None
        for known, user in self._users.items():
            if hmac.compare_digest(known, digest):
                found = user
        return found

    def _look_again(self) -> None:
        stamp = _stamp_of(self._file)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._users = _in_file(self._file)
        except ConfigError as error:
            log.warning("nobody is let in any more: %s", error)
            self._users = {}


def _stamp_of(file: Path) -> tuple[int, ...] | None:
    try:
        facts = file.stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_ctime_ns, facts.st_size, facts.st_ino


def _in_file(file: Path) -> dict[bytes, str]:
    try:
        text, mode = file.read_text(encoding="utf-8"), file.stat().st_mode
        held = tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"tokens cannot be read: {error}", source=str(file)) from error
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"others can read it: chmod 600 {file}", source=str(file))
    tables = held.get("principal")
    if set(held) != {"principal"} or not isinstance(tables, list):
        raise ConfigError("it must be made of [[principal]] tables", source=str(file))
    principals = cast("list[dict[str, Any]]", tables)
    return dict(_granted(table, f"{file} [principal {number}]") for number, table in enumerate(principals, 1))


def _granted(table: dict[str, Any], where: str) -> tuple[bytes, str]:
    for name in table.keys() - KNOWN:
        raise ConfigError(f"unknown {name!r} ({close_match(name, KNOWN)})", source=where)
    if ("token" in table) == ("token_sha256" in table):
        raise ConfigError("either token or token_sha256", source=where)
    user = _word(table, "user", where)
    if "token" in table:
        return hashlib.sha256(_word(table, "token", where).encode()).digest(), user
    try:
        digest = bytes.fromhex(_word(table, "token_sha256", where))
    except ValueError:
        digest = b""
    if len(digest) != hashlib.sha256().digest_size:
        raise ConfigError("token_sha256 must be the 64 hex digits of a SHA-256", source=where)
    return digest, user


def _word(table: dict[str, Any], name: str, where: str) -> str:
    value = table.get(name)
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{name} must be a text", source=where)
    return value
