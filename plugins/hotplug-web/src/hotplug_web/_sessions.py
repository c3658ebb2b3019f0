"""What a browser holds: a link that works once, and the cookie that it is exchanged for."""

from __future__ import annotations

import contextlib
import hmac
import json
import logging
import os
import secrets
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from hotplug_web._principal import Principal
from hotplug_web._tokens import hash_of, stamp_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = ["Links", "Session", "Sessions"]

MOST: Final = 50
"""Sessions of one user; with a new one too many, the oldest ends."""
_log = logging.getLogger("hotplug.web")


@dataclass(frozen=True, slots=True)
class Session:
    """What a cookie stands for. *granted* is the principal of the token that it was exchanged for, if any."""

    user: str
    scopes: frozenset[str]
    until: datetime
    granted: Principal | None = None

    @property
    def principal(self) -> Principal:
        """Who comes with it, for as long as both it and what it was exchanged for hold."""
        ends = self.granted.expires_at if self.granted is not None else None
        return Principal(self.user, self.scopes, min(self.until, ends) if ends else self.until)


class Links:
    """Tokens that are good for one exchange. Only their hashes are kept. Thread-safe."""

    def __init__(self) -> None:
        self._open: Final[dict[bytes, tuple[Principal, Callable[[], object] | None]]] = {}

    def make(self, principal: Principal, used: Callable[[], object] | None = None) -> str:
        """A new one; *used* is called when it has been."""
        token = secrets.token_urlsafe(32)
        self._open[hash_of(token)] = principal, used
        return token

    def exchange(self, token: str) -> Principal | None:
        """Whose it is; from now on nobody's."""
        principal, used = self._open.pop(hash_of(token), (None, None))
        if used is not None:
            used()
        return principal

    def drop(self, user: str) -> None:
        """Those of *user* are good for nothing any more."""
        for digest, (principal, _) in tuple(self._open.items()):
            if principal.user == user:
                self._open.pop(digest, None)


class Sessions:
    """
    Sessions by the secrets in their cookies, of which only hashes are kept.

    With a *file*, they outlive the process and hold in every process that uses it. Thread-safe; whatever
    changes something may block for as long as the file takes.
    """

    def __init__(self, file: Path | None, seconds: float) -> None:
        self._file: Final = file
        self.seconds: Final = seconds
        self._guard: Final = threading.Lock()
        self._held: Mapping[str, Session] = {}
        self._stamp: object = None

    def open(self, principal: Principal, *, by_token: bool) -> str:
        """Begin one for *principal*; the secret for its cookie."""
        secret = secrets.token_urlsafe(32)
        until = datetime.now(UTC) + timedelta(seconds=self.seconds)
        if principal.expires_at is not None:
            until = min(until, principal.expires_at)
        granted = principal if by_token else None
        session = Session(principal.user, principal.scopes, until, granted)

        def begin(held: Mapping[str, Session]) -> dict[str, Session]:
            theirs = [each for each, it in held.items() if it.user == principal.user]
            old = set(theirs[: max(0, len(theirs) - MOST + 1)])
            rest = {each: it for each, it in held.items() if each not in old}
            return {**rest, hash_of(secret).hex(): session}

        self._change(begin)
        return secret

    def of(self, secret: str) -> Session | None:
        """The session that *secret* belongs to, if it goes on."""
        self._follow()
        session = self._held.get(hash_of(secret).hex())
        return session if session is not None and not session.principal.has_expired else None

    def close(self, secret: str) -> None:
        """End one."""
        name = hash_of(secret).hex()
        self._change(lambda held: {each: session for each, session in held.items() if each != name})

    def drop(self, user: str) -> None:
        """End all of *user*."""
        self._follow()
        if not any(session.user == user for session in self._held.values()):
            return
        self._change(lambda held: {each: it for each, it in held.items() if it.user != user})

    @staticmethod
    def csrf_of(secret: str) -> str:
        """The token that goes with the cookie: who knows only one of them does nothing."""
        return hmac.digest(secret.encode(), b"hotplug csrf", "sha256").hex()

    # -- the file ----------------------------------------------------------------------------------

    def _change(self, change: Callable[[Mapping[str, Session]], dict[str, Session]]) -> None:
        with self._guard:
            self._look()
            held = change(self._held)
            self._held = {each: it for each, it in held.items() if not it.principal.has_expired}
            if self._file is not None:
                self._keep(self._file)

    def _keep(self, file: Path) -> None:
        try:
            _write_private(file, json.dumps({k: _plain(v) for k, v in self._held.items()}))
        except OSError as error:
            # They go on here. What was ended must not come back from the file, so that there may be none.
            _log.error("sessions will not outlive this process: %s", error)
            file.unlink(missing_ok=True)
        finally:
            self._stamp = stamp_of(file)

    def _follow(self) -> None:
        """Another process may have ended what is held here."""
        if self._file is not None and stamp_of(self._file) != self._stamp:
            with self._guard:
                self._look()

    def _look(self) -> None:
        if self._file is None:
            return
        stamp = stamp_of(self._file)
        if stamp == self._stamp:
            return
        try:
            read: dict[str, Any] = json.loads(self._file.read_bytes()) if stamp is not None else {}
            self._held = {each: _session_of(it) for each, it in read.items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            self._held = {}  # who cannot be recognised comes in anew
        self._stamp = stamp


def _plain(session: Session) -> dict[str, Any]:
    ends = session.granted.expires_at if session.granted is not None else None
    return {
        "user": session.user,
        "scopes": sorted(session.scopes),
        "until": session.until.isoformat(),
        "by_token": session.granted is not None,
        "expires_at": ends.isoformat() if ends is not None else None,
    }


def _session_of(read: dict[str, Any]) -> Session:
    scopes, ends = frozenset(read["scopes"]), read["expires_at"]
    granted = None
    if read["by_token"]:
        granted = Principal(read["user"], scopes, datetime.fromisoformat(ends) if ends else None)
    session = Session(read["user"], scopes, datetime.fromisoformat(read["until"]), granted)
    _ = session.principal  # what is no user, or no time, is found now
    return session


def _write_private(path: Path, text: str) -> None:
    """Put a file with *text* at *path*, whole or not at all, for nobody else to read."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
