"""What a call comes to, in words of the protocol that are the same for every version of the SDK."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import msgspec

from hotplug.errors import NotRegisteredError, ToolError, ToolTimeoutError
from hotplug.tools import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplug.tools import Approval

__all__ = ["Answer", "Question", "failure", "late", "refusal", "success", "untold"]

log: Final = logging.getLogger("hotplug.mcp")


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of a call: a text, and the same as a JSON object where the tool promises one."""

    text: str
    structured: Mapping[str, Any] | None = None
    is_error: bool = False

    def as_result(self) -> dict[str, Any]:
        """As a ``CallToolResult`` on the wire."""
        result = {"content": [{"type": "text", "text": self.text}], "isError": self.is_error}
        return result if self.structured is None else result | {"structuredContent": self.structured}


@dataclass(frozen=True, slots=True)
class Question:
    """A destructive call that waits for somebody's yes; *approval* is good for it and for no other."""

    key: str
    arguments: Mapping[str, Any]
    approval: Approval
    text: str


def success(result: object, structured: Mapping[str, Any] | None) -> Answer:
    """The answer that *result* is. Raises `TypeError` if JSON cannot say it."""
    said = plain(result)
    return Answer(said if isinstance(said, str) else msgspec.json.encode(said).decode(), structured)


def refusal(text: str) -> Answer:
    """An error that the model may read; half a character, which no line carries, is shown as what it is."""
    return Answer(text.encode("utf-8", "backslashreplace").decode(), is_error=True)


def failure(key: str, error: Exception) -> Answer:
    """What may be said outside of *error*; the rest of it goes to the log."""
    if isinstance(error, ToolTimeoutError):
        again = "it may be called again" if error.retryable else "find out before you call it again"
        return refusal(f"{error} ({again})")
    if isinstance(error, ToolError):
        return refusal(str(error))
    if isinstance(error, NotRegisteredError):
        return refusal(f"there is no tool {key!r} any more")
    return _incident(f"tool {key!r} could not be called", error)


def untold(key: str, error: Exception) -> Answer:
    """The answer where the call was made, and its result is nothing that can be told."""
    return _incident(f"tool {key!r} was called, but its answer cannot be told", error)


def late(key: str, answer: Answer) -> Answer:
    """
    The *answer* where another version, that promises another form, has taken the tool's place meanwhile.

    Official clients throw away what is not of the form that they were told last, but for errors.
    """
    return refusal(f"tool {key!r} was replaced while it ran; it ended well, and answered: {answer.text}")


def _incident(what: str, error: Exception) -> Answer:
    incident = uuid4().hex[:8]
    log.error("%s (incident %s)", what, incident, exc_info=error)
    return refusal(f"{what} (see the log, incident {incident})")
