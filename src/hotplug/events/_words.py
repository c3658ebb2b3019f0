"""The event itself, how it is stored, and what is counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from typing import Any, Final, Protocol, cast

import msgspec

from hotplug.events._frozen import frozen
from hotplug.events._names import ERROR, NOTHING

__all__ = [
    "CursorStats",
    "Event",
    "EventSink",
    "HubStats",
    "Stored",
    "blame",
    "complaint",
    "decoded",
    "encode",
    "event_of",
    "name_of",
    "serialised",
]

# seq, type, payload as JSON, thread, run, seconds since 1970. A plain tuple: making anything
# richer would cost more than all the rest of an emit.
Stored = tuple[int, str, bytes, str | None, str | None, float]

LONGEST_NAME: Final = 200  # characters
LONGEST_BLAME: Final = 500

encode: Final = msgspec.json.Encoder().encode
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
    The hub, each user at one instant: ``emitted == events + evicted``.

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
    body = encode(payload)
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


def decoded(body: bytes) -> dict[str, Any]:
    """The payload that *body* was made of."""
    return cast("dict[str, Any]", _decode(body))


def name_of(type_: object) -> str:
    """The event type *type_* as a plain string, whatever string it is. Raises for what is none."""
    if not isinstance(type_, str):
        raise TypeError(f"the type is a {type(type_).__name__}, not a string")
    if not 0 < len(type_) <= LONGEST_NAME:
        raise ValueError(f"the type has {len(type_)} characters, 1 to {LONGEST_NAME} are allowed")
    return str.encode(type_).decode()


def blame(error: Exception) -> str:
    """What *error* says of itself, as far as it can, in no more than `LONGEST_BLAME` characters."""
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - the border to the emitter's objects
        text = type(error).__name__
    return _plain(text)[:LONGEST_BLAME]


def complaint(type_: object, error: Exception, limit: int) -> bytes:
    """The payload, of *limit* bytes at the most, of the ``ERROR`` event that stands in for one of *type_*."""
    message = f"the payload cannot be stored: {blame(error)}"
    name = _plain(type_) if isinstance(type_, str) else ""
    longest = LONGEST_BLAME
    while len(body := encode({"message": message[:longest], "type": name[:longest]})) > limit:
        longest //= 2
    return body


def _plain(text: str) -> str:
    return str.encode(text, errors="replace").decode()


def _as_dict(payload: object) -> dict[str, Any]:
    if isinstance(payload, Mapping):
        return dict(payload)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    raise TypeError(f"it is a {type(payload).__name__}, not a JSON object")


def event_of(user_id: str, epoch: str, stored: Stored) -> Event:
    """The event as a reader sees it, with a payload of its own."""
    seq, type_, body, thread, run, seconds = stored
    try:
        payload = frozen(decoded(body))
    except RecursionError as error:  # it was emitted from where there was more room on the stack
        type_, payload = ERROR, frozen(decoded(complaint(type_, error, LONGEST_BLAME)))
    return Event(
        type=type_,
        payload=payload,
        user_id=user_id,
        thread_id=thread,
        run_id=run,
        cursor=f"{epoch}:{seq}",
        time=datetime.fromtimestamp(seconds, UTC),
    )
