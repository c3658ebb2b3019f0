"""The event itself, how it is stored, and what is counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from typing import Any, Final, Protocol, cast

import msgspec

from hotplug.events._frozen import frozen
from hotplug.events._names import NOTHING

__all__ = [
    "CursorStats",
    "Event",
    "EventSink",
    "HubStats",
    "Stored",
    "complaint",
    "event_of",
    "serialised",
]

# seq, type, payload as JSON, thread, run, seconds since 1970. A plain tuple: making anything
# richer would cost more than all the rest of an emit.
Stored = tuple[int, str, bytes, str | None, str | None, float]

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.decode


@dataclass(frozen=True, slots=True)
class Event:
    """
    One thing that happened to a user.

    *payload* is shared with nobody, and read-only at every depth; its dicts and lists compare and
    serialise as plain ones do.
    *cursor* is its place (``epoch:seq``, opaque): ``hub.open(context, after=event.cursor)`` resumes there.
    """

    type: str
    payload: Mapping[str, Any]
    user_id: str
    thread_id: str | None
    run_id: str | None
    cursor: str
    time: datetime


@dataclass(frozen=True, slots=True)
class CursorStats:
    """
    What became of a reader's events, at one instant.

    ``emitted == delivered + coalesced + dropped + pending``. *emitted* counts from where the cursor
    was opened, a resumed backlog included; ``GAP`` events count nowhere.
    """

    emitted: int
    delivered: int
    coalesced: int
    dropped: int
    pending: int


@dataclass(frozen=True, slots=True)
class HubStats:
    """
    The hub at one instant: ``emitted == events + evicted``.

    *users*, *cursors*, *events* and *size* (bytes) are what it holds now; *evicted* were given up for
    the limits, *errors* had a payload that became an ``ERROR``, *refused* came after ``close()``.
    """

    users: int
    cursors: int
    events: int
    size: int
    emitted: int
    evicted: int
    errors: int
    refused: int


class EventSink(Protocol):
    """What takes events as they happen (a WebSocket manager, for instance)."""

    def publish(self, event: Event, /) -> None:
        """Take *event*; come back at once, from whatever thread it is called in."""


def serialised(payload: Mapping[str, Any], limit: int) -> bytes:
    """The payload as JSON. Raises for what is no JSON object, or takes more than *limit* bytes."""
    if payload is NOTHING:
        return b"{}"
    if type(payload) is not dict:
        payload = _as_dict(payload)
    body = _encode(payload)
    if b"null" in body:  # how the encoder spells NaN, besides None
        _refuse_nan(msgspec.to_builtins(payload, str_keys=True))
    if len(body) > limit:
        raise ValueError(f"it takes {len(body)} bytes, {limit} are allowed")
    return body


def _refuse_nan(plain: object) -> None:
    waiting = [plain]
    while waiting:
        value = waiting.pop()
        if isinstance(value, float):
            if not isfinite(value):
                raise ValueError(f"JSON has no {value}")
        elif isinstance(value, dict):
            waiting.extend(cast("dict[str, object]", value).values())
        elif isinstance(value, (list, tuple)):
            waiting.extend(cast("list[object]", value))


def complaint(type_: str, error: Exception) -> bytes:
    """The payload of the ``ERROR`` event that stands in for one of *type_*."""
    text = f"the payload cannot be stored: {type(error).__name__}: {error}"
    return _encode({"message": text[:500], "type": type_})


def _as_dict(payload: object) -> dict[str, Any]:
    if isinstance(payload, Mapping):
        return dict(payload)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    raise TypeError(f"it is a {type(payload).__name__}, not a JSON object")


def event_of(user_id: str, epoch: str, stored: Stored) -> Event:
    """The event as a reader sees it, with a payload of its own."""
    seq, type_, body, thread, run, seconds = stored
    return Event(
        type=type_,
        payload=frozen(_decode(body)),
        user_id=user_id,
        thread_id=thread,
        run_id=run,
        cursor=f"{epoch}:{seq}",
        time=datetime.fromtimestamp(seconds, UTC),
    )
