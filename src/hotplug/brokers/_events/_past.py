"""What a journal says of the time before: its events, and how far each epoch of it went."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from hotplug.brokers._events._drafts import drafts_of
from hotplug.brokers._events._plain import from_plain
from hotplug.market import BrokerEvent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hotplug.market import EventPayload

__all__ = [
    "MOST_RECALLED",
    "Past",
    "carried_line",
    "event_line",
    "make_event",
    "open_line",
    "payloads",
    "read_past",
]

MOST_RECALLED: Final = 20_000
"""How many events a log takes over at most: who was farther behind is told of a gap."""

_EventDraft: Final = drafts_of(BrokerEvent)


def make_event(cursor: str, time: datetime, generation: int, payload: Any) -> BrokerEvent:
    """A `BrokerEvent`, unchecked: *time* must be in UTC."""
    # The record checks its time and no more: where that is known to be in UTC, a draft costs half.
    draft = _EventDraft()
    draft.cursor = cursor
    draft.time = time
    draft.generation = generation
    draft.payload = payload
    draft.__class__ = BrokerEvent
    event: BrokerEvent = draft
    return event


@dataclass(slots=True)
class Past:
    """Events without a hole up to the number *last*, and the last known number of each epoch."""

    epochs: dict[str, int]
    events: list[BrokerEvent]
    last: int


def open_line(epoch: str, last: int) -> dict[str, object]:
    """The line that begins *epoch* after the event number *last*."""
    return {"event": "open", "time": datetime.now(UTC), "epoch": epoch, "seq": last}


def carried_line(carried: EventPayload | Mapping[str, object]) -> dict[str, object]:
    """The line that carries a record or a line over into a new journal; it is no event any more."""
    if isinstance(carried, Mapping):
        return {name: value for name, value in carried.items() if name != "seq"}
    kind = type(carried).__name__
    return {"event": kind, "time": datetime.now(UTC), "payload": carried, "note": "carried"}


def event_line(
    event: BrokerEvent, number: int, note: str, more: Mapping[str, object] | None
) -> dict[str, object]:
    """The line of *event*: *more* cannot say otherwise."""
    line: dict[str, object] = {
        "event": type(event.payload).__name__,
        "seq": number,
        "time": event.time,
        "generation": event.generation,
        "payload": event.payload,
    }
    if note:
        line["note"] = note
    return {**line, **more, **line} if more else line


def payloads(lines: Iterable[Mapping[str, Any]]) -> Iterator[tuple[EventPayload, str]]:
    """What the events in *lines* tell, and their notes; lines that tell nothing are left out."""
    for line in lines:
        if "payload" in line:
            with suppress(ValueError):
                yield from_plain(line["event"], line["payload"]), str(line.get("note", ""))


def read_past(lines: Iterable[Mapping[str, Any]], keep: int) -> Past:
    """Go through the *lines* of a journal; the newest *keep* events, but for those before a hole."""
    epochs: dict[str, int] = {}
    epoch, last = "", 0
    tail: deque[tuple[str, Mapping[str, Any]]] = deque(maxlen=min(keep, MOST_RECALLED))
    for line in lines:
        number = line.get("seq")
        if not isinstance(number, int):
            continue
        if line.get("event") == "open":
            epoch, expected = str(line.get("epoch")), last
        else:
            expected = last + 1
        if number < expected:
            continue
        if number > expected:
            tail.clear()
        if expected > last:
            tail.append((epoch, line))
        epochs[epoch] = last = number
    return Past(epochs, _events(tail), last)


def _events(tail: Iterable[tuple[str, Mapping[str, Any]]]) -> list[BrokerEvent]:
    events: list[BrokerEvent] = []
    for epoch, line in tail:
        try:
            events.append(_event(epoch, line))
        except (KeyError, TypeError, ValueError):
            events.clear()  # a hole: what came before it cannot be read on from
    return events


def _event(epoch: str, line: Mapping[str, Any]) -> BrokerEvent:
    return BrokerEvent(
        cursor=f"{epoch}:{line['seq']}",
        time=datetime.fromisoformat(line["time"]),
        generation=int(line["generation"]),
        payload=from_plain(line["event"], line["payload"]),
    )
