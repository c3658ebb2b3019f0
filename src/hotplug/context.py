"""For whom something is done."""

from __future__ import annotations

import copy
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from hotplug._records import FrozenDict
from hotplug.errors import InvalidContextError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["UserExecutionContext"]

MAX_DEPTH: Final = 10
MAX_LENGTH: Final = 1024
"""Characters of an id: they go with every event."""


def _fresh_id() -> str:
    return uuid4().hex


@dataclass(frozen=True, slots=True)
class UserExecutionContext:
    """
    One user's request: who asks, in which thread (conversation) and run.

    Immutable and safe to share between threads; *metadata* is copied deeply on the way in and
    read-only afterwards. Can be compared, hashed, copied and pickled. Raises `InvalidContextError` for
    a user, thread, run or request id that is blank or no string.
    """

    user_id: str
    thread_id: str | None = None
    run_id: str = field(default_factory=_fresh_id)
    request_id: str = field(default_factory=_fresh_id)
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any], hash=False)
    depth: int = 0

    def __post_init__(self) -> None:
        for name in ("user_id", "run_id", "request_id"):
            _refuse_blank(name, getattr(self, name))
        if self.thread_id is not None:
            _refuse_blank("thread_id", self.thread_id)
        if self.depth > MAX_DEPTH:
            raise InvalidContextError(f"contexts nest {MAX_DEPTH} deep at most (user {self.user_id!r})")
        object.__setattr__(self, "metadata", FrozenDict(_deep_copy(self.metadata)))

    def __reduce__(self) -> tuple[type[UserExecutionContext], tuple[Any, ...]]:
        """Copies are made anew, so that they share no metadata with the original."""
        ids = self.user_id, self.thread_id, self.run_id, self.request_id
        return UserExecutionContext, (*ids, dict(self.metadata), self.depth)

    def child(self, /, **metadata: Any) -> UserExecutionContext:
        """The same user, thread and run; a request of its own, one level deeper."""
        merged = {**self.metadata, **metadata}
        return replace(self, request_id=_fresh_id(), metadata=merged, depth=self.depth + 1)


def _refuse_blank(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise InvalidContextError(f"{name} must be a str, not {type(value).__name__}")
    if not value.strip():
        raise InvalidContextError(f"{name} must not be blank")
    if len(value) > MAX_LENGTH:
        raise InvalidContextError(f"{name} has {len(value)} characters, and {MAX_LENGTH} are allowed")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:  # half a character, as JSON may hold it
            raise InvalidContextError(f"{name} is no text: {error.reason} at {error.start}") from None


def _deep_copy(metadata: object) -> dict[str, Any]:
    try:
        return copy.deepcopy(dict(metadata))  # type: ignore[call-overload]
    except Exception as error:  # copying runs the values' own code
        raise InvalidContextError(f"metadata must be a mapping of copyable values: {error}") from error


serving: Final[ContextVar[UserExecutionContext | None]] = ContextVar("hotplug_serving", default=None)
"""Whose call the code is working on, where a host runs it for somebody: a tool's call, an agent's run."""
