"""Tokens, and the principals that they stand for; only the tokens' hashes are kept."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import stat
import threading
import tomllib
from typing import TYPE_CHECKING, Any, Final, cast

from hotplug.errors import ConfigError, close_match
from hotplug_web._principal import Principal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from starlette.requests import HTTPConnection

    from hotplug_web._principal import Knock

__all__ = ["BEARER", "TokenAuthenticator", "bearer_of", "hash_of"]

BEARER: Final = "bearer"
KNOWN: Final = frozenset({"user", "token", "token_sha256", "scopes", "expires_at"})
_log = logging.getLogger("hotplug.web")


class TokenAuthenticator:
    """
    Knows principals by their tokens.

    A *file* of ``[[principal]]`` tables is read again when it changes: tokens can be withdrawn from a
    running server. One that cannot be read any more lets nobody in. Thread-safe.

        [[principal]]
        user = "ada"
        token = "…"                 # or: token_sha256 = "…"
        scopes = ["admin"]          # default: none
        expires_at = 2030-01-01T00:00:00Z
    """

    def __init__(self, tokens: Mapping[str, Principal] | None = None, *, file: Path | None = None) -> None:
        self._given: dict[bytes, Principal] = {
            _digest(token, "a token"): principal for token, principal in (tokens or {}).items()
        }
        self._file: Final = file
        self._guard: Final = threading.Lock()
        self._revoked: set[str] = set()
        self._stamp: tuple[int, ...] | None = None
        self._read: dict[bytes, Principal] = {}
        if file is not None:
            self._stamp = stamp_of(file)
            self._read = _in_file(file)

    async def __call__(self, knock: Knock) -> Principal | None:
        """Who comes with this token."""
        token = knock.get("token") if isinstance(knock, dict) else bearer_of(knock)
        return self.of(token) if isinstance(token, str) and token else None

    def of(self, token: str) -> Principal | None:
        """Whose *token* it is. Takes as long whichever it is."""
        digest, found = hash_of(token), None
        for known, principal in self._known():
            if hmac.compare_digest(known, digest):
                found = principal
        return found

    def knows(self, principal: Principal) -> bool:
        """Whether *principal* could come in with a token still."""
        return any(known == principal for _, known in self._known())

    def revoke(self, user: str) -> None:
        """Accept no token of *user* any more; a file's ones not before it says something else."""
        with self._guard:
            self._given = {each: who for each, who in self._given.items() if who.user != user}
            self._revoked.add(user)

    def _known(self) -> list[tuple[bytes, Principal]]:
        self._look_again()
        read = ((each, who) for each, who in self._read.items() if who.user not in self._revoked)
        return [*self._given.items(), *read]

    def _look_again(self) -> None:
        if self._file is None:
            return
        with self._guard:
            stamp = stamp_of(self._file)
            if stamp == self._stamp:
                return
            self._stamp = stamp
            self._revoked.clear()
            found: dict[bytes, Principal] = {}
            try:
                found = _in_file(self._file)
            except ConfigError as error:
                _log.error("nobody can come in with a token: %s", error)
            finally:
                self._read = found


def bearer_of(connection: HTTPConnection) -> str | None:
    """The token that comes with a request: as ``Authorization: Bearer``, or as the pair of subprotocols."""
    kind, _, token = connection.headers.get("authorization", "").partition(" ")
    if kind.lower() == BEARER and token.strip():
        return token.strip()
    offered: list[str] = connection.scope.get("subprotocols") or []
    return offered[1] if len(offered) == 2 and offered[0].lower() == BEARER else None


def hash_of(secret: str) -> bytes:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


# -- the file --------------------------------------------------------------------------------------


def _digest(token: object, where: str) -> bytes:
    if not isinstance(token, str) or not token:
        raise ConfigError("a token is a text that is not empty", source=where)
    return hash_of(token)


def stamp_of(file: Path) -> tuple[int, ...] | None:
    """What is another one as soon as *file* is; None where there is none."""
    try:
        facts = file.stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_ctime_ns, facts.st_size, facts.st_ino


def _in_file(file: Path) -> dict[bytes, Principal]:
    try:
        text, mode = file.read_text(encoding="utf-8"), file.stat().st_mode
        tables = tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"tokens cannot be read: {error}", source=str(file)) from error
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"others can read it: chmod 600 {file}", source=str(file))
    granted = tables.get("principal")
    if set(tables) != {"principal"} or not isinstance(granted, list):
        raise ConfigError("it must be made of [[principal]] tables", source=str(file))
    places = enumerate(cast("list[dict[str, Any]]", granted), 1)
    return dict(_granted(table, f"{file} [principal {number}]") for number, table in places)


def _granted(table: dict[str, Any], where: str) -> tuple[bytes, Principal]:
    for name in table.keys() - KNOWN:
        raise ConfigError(f"unknown {name!r} ({close_match(name, KNOWN)})", source=where)
    try:
        scopes: Any = table.get("scopes", ())
        principal = Principal(table.get("user", ""), scopes, table.get("expires_at"))
    except (TypeError, ValueError, OverflowError, OSError) as error:
        raise ConfigError(str(error), source=where) from error
    return _digest_in(table, where), principal


def _digest_in(table: dict[str, Any], where: str) -> bytes:
    if "token_sha256" not in table:
        return _digest(table.get("token"), where)
    if "token" in table:
        raise ConfigError("either token or token_sha256, not both", source=where)
    try:
        digest = bytes.fromhex(table["token_sha256"])
    except (TypeError, ValueError):
        digest = b""
    if len(digest) != hashlib.sha256().digest_size:
        raise ConfigError("token_sha256 must be the 64 hex digits of a SHA-256", source=where)
    return digest
