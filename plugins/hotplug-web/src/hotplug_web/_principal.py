"""Who somebody is, and what that one may do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias, cast

from starlette.requests import HTTPConnection

from hotplug import UserExecutionContext

__all__ = ["ADMIN", "Authenticate", "Knock", "METRICS", "Principal", "READ"]

ADMIN: Final = "admin"
"""May look at everything and act on it: reload, disable, halt."""
READ: Final = "read"
"""May look at the dashboard."""
METRICS: Final = "metrics"
"""May read ``/metrics`` from elsewhere than this machine."""


@dataclass(frozen=True, slots=True)
class Principal:
    """
    Somebody who proved to be *user*, until *expires_at* (``None``: for good).

    *expires_at* may be given as seconds since 1970 as well. Any string is a scope; ``admin``, ``read`` and
    ``metrics`` mean something here. Own events need none.
    """

    user: str
    scopes: frozenset[str] = frozenset()
    expires_at: datetime | None = None

    def __post_init__(self) -> None:
        UserExecutionContext(self.user)  # what is no user there is none here
        object.__setattr__(self, "scopes", _scopes(self.scopes))
        object.__setattr__(self, "expires_at", _moment(self.expires_at))

    @property
    def seconds_left(self) -> float | None:
        """How long it holds; below 0 when it is over, ``None`` if it does not end."""
        if self.expires_at is None:
            return None
        return (self.expires_at - datetime.now(UTC)).total_seconds()

    @property
    def has_expired(self) -> bool:
        """Whether it is over."""
        left = self.seconds_left
        return left is not None and left <= 0

    def may(self, *scopes: str) -> bool:
        """Whether it has any of *scopes*, or is an admin."""
        return not self.scopes.isdisjoint({ADMIN, *scopes})


Knock: TypeAlias = HTTPConnection | dict[str, Any]
"""What somebody comes with: a request (of a WebSocket, too), or a first message: a dict with ``token``."""

Authenticate: TypeAlias = Callable[[Knock], Awaitable[Principal | None] | Principal | None]
"""
Says who knocks; ``None`` for nobody known. What it raises counts as ``None`` and is logged.

A sync one runs in a thread of its own, so that it may block; an async one must not. Who is not recognised
within ``Limits.auth`` is refused (503).
"""


def _scopes(given: object) -> frozenset[str]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(f"scopes are a set of texts, not {given!r}")
    scopes = frozenset(cast("Iterable[object]", given))
    if not all(isinstance(scope, str) for scope in scopes):
        raise TypeError(f"scopes are a set of texts, not {given!r}")
    return cast("frozenset[str]", scopes)


def _moment(given: object) -> datetime | None:
    if given is None:
        return None
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        return datetime.fromtimestamp(given, UTC)
    if not isinstance(given, datetime) or given.tzinfo is None:
        raise ValueError(f"expires_at is a time with a time zone (or Unix seconds), not {given!r}")
    return given
