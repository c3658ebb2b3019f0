"""Approvals: somebody said yes to exactly this call."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from hotplug.errors import ApprovalRequiredError

if TYPE_CHECKING:
    from hotplug.tools._tool import Tool

__all__ = ["Approval", "Approvals", "Request"]

LIFETIME: Final = 300.0  # seconds


@dataclass(frozen=True, slots=True)
class Approval:
    """
    A yes to one call of *tool* by *user_id* with arguments of that hash, in one generation.

    One attempt uses it up, whatever comes of it; after *expires* (UTC) it is worth nothing. *token* is
    what proves it: it is random, and shown nowhere.
    """

    tool: str
    user_id: str
    generation: int
    arguments_hash: str
    expires: datetime
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody wants to do: the call that an approval is for. *arguments* are canonical JSON."""

    name: str
    tool: Tool
    user_id: str
    generation: int
    arguments: str

    @property
    def arguments_hash(self) -> str:
        """The same for the same arguments."""
        return hashlib.sha256(self.arguments.encode()).hexdigest()


class Approvals:
    """Those that were given and not used yet. Thread-safe."""

    def __init__(self, lifetime: float = LIFETIME) -> None:
        self._lifetime = lifetime
        self._lock = threading.Lock()
        self._open: dict[str, tuple[float, Approval, Tool]] = {}

    def give(self, request: Request) -> Approval:
        """Say yes to *request*, once."""
        approval = Approval(
            tool=request.name,
            user_id=request.user_id,
            generation=request.generation,
            arguments_hash=request.arguments_hash,
            expires=datetime.now(UTC) + timedelta(seconds=self._lifetime),
            token=secrets.token_urlsafe(24),
        )
        with self._lock:
            self._drop_expired()
            self._open[approval.token] = (time.monotonic() + self._lifetime, approval, request.tool)
        return approval

    def use(self, approval: object, request: Request) -> None:
        """Use *approval* up for *request*; `ApprovalRequiredError` unless it is for exactly that."""
        if not isinstance(approval, Approval):
            instead = "" if approval is None else f", not a {type(approval).__name__}"
            raise ApprovalRequiredError(
                f"tool {request.name!r} is destructive: "
                f"approve(…) exactly this call, and pass the approval{instead}"
            )
        with self._lock:
            self._drop_expired()
            _, given, tool = self._open.pop(approval.token, (0.0, None, None))
        if given is None:
            raise ApprovalRequiredError(f"the approval for tool {request.name!r} was used, or has expired")
        if why := _difference(given, tool, request):
            raise ApprovalRequiredError(f"the approval is not for this call of tool {request.name!r}: {why}")

    def _drop_expired(self) -> None:
        now = time.monotonic()
        # In order of giving, and all live equally long: the expired ones are the first ones.
        while self._open and next(iter(self._open.values()))[0] <= now:
            del self._open[next(iter(self._open))]


def _difference(given: Approval, tool: Tool | None, request: Request) -> str:
    if given.user_id != request.user_id:
        return "it was given to another user"
    if given.tool != request.name:
        return f"it is for {given.tool!r}"
    if given.generation != request.generation or tool is not request.tool:
        return "the tool was replaced since"
    if given.arguments_hash != request.arguments_hash:
        return "the arguments differ"
    return ""
