"""Who may do what: tokens, the principals that they stand for, and accounts that only ever get fewer."""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, cast

from hotplug.errors import AuthenticationError, ConfigError, PermissionDenied, close_match

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["AUTHORIZATION", "LOCAL", "Principal", "Principals", "Role", "bearer"]

AUTHORIZATION: Final = "authorization"
BEARER: Final = "Bearer "


class Role(StrEnum):
    """What a principal may do: look, also trade its own orders, or also touch those of others."""

    READ = "read"
    TRADE = "trade"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls: *user* on *accounts* (``None``: all of them), with a *role*."""

    user: str
    accounts: frozenset[str] | None
    role: Role = Role.TRADE

    def __post_init__(self) -> None:
        if not self.user:
            raise ConfigError("a principal needs a user")
        object.__setattr__(self, "role", Role(self.role))
        if self.accounts is not None:
            object.__setattr__(self, "accounts", frozenset(self.accounts))

    def narrowed(self, asked: frozenset[str]) -> frozenset[str] | None:
        """The accounts of a call that asked for some; nothing asked is all that is granted."""
        if not asked:
            return self.accounts
        if self.accounts is not None and (more := asked - self.accounts):
            names = ", ".join(map(repr, sorted(more)))
            raise PermissionDenied(
                f"not granted to {self.user!r}: {names}", code="account", outcome="NOT_SENT"
            )
        return asked


LOCAL: Final = Principal("local", None, Role.ADMIN)
"""Who comes without a token by a way that needs none: a private socket, or a market of paper on loopback."""


class Principals:
    """
    Principals by their tokens; only the tokens' hashes are kept.

    With a *file*, it is read again when it changes: tokens can be withdrawn from a running server. One
    that cannot be read then lets nobody in.
    """

    def __init__(self, tokens: Mapping[str, Principal] | None = None, *, file: Path | None = None) -> None:
        self._given: Final = {_digest(token): principal for token, principal in (tokens or {}).items()}
        self._file: Final = file
        self._stamp: tuple[int, ...] | None = None
        self._read: dict[bytes, Principal] = {}
        self.problem: str | None = None
        if file is not None:
            self._stamp = _stamp_of(file)
            self._read = _in_file(file)

    def __bool__(self) -> bool:
        """Whether anybody could come in with a token."""
        return bool(self._given or self._file)

    def of(self, token: str) -> Principal:
        """Whose *token* it is; `AuthenticationError` for nobody's. Takes as long whichever it is."""
        digest, found = _hash(token), None
        for known, principal in (*self._given.items(), *self._read.items()):
            if hmac.compare_digest(known, digest):
                found = principal
        if found is None:
            raise AuthenticationError(
                "this token is not, or no longer, accepted here", code="token", outcome="NOT_SENT"
            )
        return found

    def look_again(self) -> None:
        """Read the file again if it has changed."""
        if self._file is None:
            return
        stamp = _stamp_of(self._file)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._read, self.problem = _in_file(self._file), None
        except ConfigError as error:
            self._read, self.problem = {}, str(error)


def bearer(metadata: Mapping[str, str | bytes]) -> str | None:
    """The token that comes with a call, if one does; `AuthenticationError` for another sort of credential."""
    held = metadata.get(AUTHORIZATION)
    if held is None:
        return None
    if not isinstance(held, str) or not held.startswith(BEARER):
        raise AuthenticationError("authorization must be 'Bearer TOKEN'", code="token", outcome="NOT_SENT")
    return held.removeprefix(BEARER)


def _digest(token: str) -> bytes:
    if not token:
        raise ConfigError("a token must not be empty")
    return _hash(token)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


# -- the file --------------------------------------------------------------------------------------


def _stamp_of(file: Path) -> tuple[int, ...] | None:
    try:
        facts = file.stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_ctime_ns, facts.st_size, facts.st_ino


def _in_file(file: Path) -> dict[bytes, Principal]:
    """
    The principals that *file* grants.

        [[principal]]
        user = "ada"
        token = "…"                 # or: token_sha256 = "…"
        accounts = ["A1"]           # or "all"
        role = "trade"              # read | trade | admin
    """
    try:
        text, mode = file.read_text(encoding="utf-8"), file.stat().st_mode
        tables = tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"tokens cannot be read: {error}", source=str(file)) from error
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"others can read it: chmod 600 {file}", source=str(file))
    granted: dict[bytes, Principal] = {}
    for number, table in enumerate(_tables(tables, file), 1):
        digest, principal = _granted(table, f"{file} [principal {number}]")
        granted[digest] = principal
    return granted


def _tables(held: dict[str, Any], file: Path) -> list[dict[str, Any]]:
    tables = held.get("principal")
    if set(held) != {"principal"} or not isinstance(tables, list):
        raise ConfigError("it must be made of [[principal]] tables", source=str(file))
    return cast("list[dict[str, Any]]", tables)


KNOWN: Final = frozenset({"user", "token", "token_sha256", "accounts", "role"})


def _granted(table: dict[str, Any], where: str) -> tuple[bytes, Principal]:
    for name in table.keys() - KNOWN:
        raise ConfigError(f"unknown {name!r} ({close_match(name, KNOWN)})", source=where)
    try:
        role = Role(table.get("role", Role.TRADE))
    except ValueError:
        raise ConfigError(f"role is read, trade or admin, not {table['role']!r}", source=where) from None
    return _digest_in(table, where), Principal(_word(table, "user", where), _accounts(table, where), role)


def _word(table: dict[str, Any], name: str, where: str) -> str:
    value = table.get(name)
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{name} must be a text", source=where)
    return value


def _digest_in(table: dict[str, Any], where: str) -> bytes:
    if "token_sha256" not in table:
        return _digest(_word(table, "token", where))
    if "token" in table:
        raise ConfigError("either token or token_sha256, not both", source=where)
    try:
        digest = bytes.fromhex(_word(table, "token_sha256", where))
    except ValueError:
        digest = b""
    if len(digest) != hashlib.sha256().digest_size:
        raise ConfigError("token_sha256 must be the 64 hex digits of a SHA-256", source=where)
    return digest


def _accounts(table: dict[str, Any], where: str) -> frozenset[str] | None:
    accounts = table.get("accounts")
    if accounts == "all":
        return None
    if not isinstance(accounts, list) or not accounts:
        raise ConfigError('accounts must be a list of names, or "all"', source=where)
    names = cast("list[object]", accounts)
    if not all(isinstance(name, str) and name for name in names):
        raise ConfigError("accounts must be a list of names", source=where)
    return frozenset(cast("list[str]", names))
