"""What happened at one broker, numbered and kept; readers follow it, and come back to where they were."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from hotplug.brokers._events._journal import MemoryJournal
from hotplug.brokers._events._past import carried_line, event_line, make_event, open_line, payloads, read_past
from hotplug.brokers._events._ring import Life, Ring
from hotplug.brokers._events._stream import EventStream
from hotplug.brokers._events._waking import wake
from hotplug.market import Heartbeat, to_utc

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from hotplug.brokers._events._journal import Journal
    from hotplug.market import BrokerEvent, EventPayload, Snapshot

__all__ = ["EventLog", "EventStream"]

_OWN_WORDS: Final = frozenset({"event", "seq"})


class EventLog:
    """
    The numbered events of one broker, and the audit lines between them.

    The newest *keep* events stay at hand for readers. With a journal in a file, each line is in it before a
    reader sees the event, and a log opened on it later goes on where it ended: it has a new epoch, and
    cursors of the older ones still lead on, as far as the file really got. Thread-safe.

    Events are never lost to a full disk: their lines wait, *fault* says why, and are written before
    the next line. `record` raises instead, so that nothing is done that could not be written down first.
    """

    def __init__(self, journal: Journal | None = None, *, keep: int = 100_000) -> None:
        if keep < 1:
            raise ValueError(f"a log must keep at least one event, not {keep}")
        self.journal: Final[Journal] = MemoryJournal() if journal is None else journal
        self.fault: OSError | None = None
        self._remembers: Final = not isinstance(self.journal, MemoryJournal)
        past = read_past(self.journal.read(), keep)
        self._ring: Final = Ring(uuid4().hex[:12], past, keep)
        self._owed: Final[deque[Mapping[str, object]]] = deque(maxlen=keep)
        # Who writes holds this one, also while the disk is slow; readers never wait for it.
        self._writing: Final = threading.Lock()
        if self._remembers:
            self._write_or_owe(open_line(self.epoch, past.last))

    # -- what is known -----------------------------------------------------------------------------

    @property
    def epoch(self) -> str:
        """What the cursors of new events begin with."""
        return self._ring.epoch

    @property
    def cursor(self) -> str:
        """The cursor of the newest event."""
        return self._ring.newest

    @property
    def first(self) -> int:
        """The number of the oldest event at hand."""
        with self._ring.lock:
            return self._ring.first

    @property
    def next(self) -> int:
        """The number of the next event."""
        return self._ring.next

    def lines(self) -> Iterator[dict[str, Any]]:
        """Every line of the journal, oldest first."""
        return self.journal.read()

    def past(self) -> Iterator[EventPayload]:
        """What is in every event of the journal, oldest first, and in the lines carried over before them."""
        return (payload for payload, _ in self.past_with_notes())

    def past_with_notes(self) -> Iterator[tuple[EventPayload, str]]:
        """`past`, and what each was noted as."""
        return payloads(self.journal.read())

    # -- writing -----------------------------------------------------------------------------------

    def append(
        self,
        payload: EventPayload,
        *,
        generation: int = 0,
        note: str = "",
        time: datetime | None = None,
        more: Mapping[str, object] | None = None,
        must: bool = False,
    ) -> BrokerEvent:
        """
        Number *payload*, write it down with *note* and *more*, and hand it to the readers.

        What *must* be written down raises `OSError` where that fails, and has not happened then. A
        `Heartbeat` gets no number: it tells those who wait that the newest event still is.
        """
        moment = datetime.now(UTC) if time is None else to_utc("time", time)
        ring = self._ring
        if type(payload) is Heartbeat:
            with ring.lock:
                event = make_event(ring.newest, moment, generation, payload)
                waiting = ring.add_beat(event)
            wake(waiting)
            return event
        if not self._remembers:  # nothing to write, so nothing to wait for: one lock will do
            with ring.lock:
                event = make_event(f"{ring.epoch}:{ring.next}", moment, generation, payload)
                waiting = ring.add(event)
            if waiting:
                wake(waiting)
            return event
        with self._writing:
            event = make_event(f"{ring.epoch}:{ring.next}", moment, generation, payload)
            line = event_line(event, ring.next, note, more)
            if must:
                self._write(line)
            else:
                self._write_or_owe(line)
            with ring.lock:
                waiting = ring.add(event)
        if waiting:
            wake(waiting)
        return event

    def record(self, event: str, /, **facts: object) -> None:
        """Write down that *event* happened, and its *facts*, for no reader; `OSError` if that fails."""
        if not facts.keys().isdisjoint(_OWN_WORDS):
            raise TypeError(
                f"{', '.join(sorted(_OWN_WORDS))} are the log's own words, not facts of {event!r}"
            )
        if self._remembers:
            line = {"event": event, "time": datetime.now(UTC), **facts}
            with self._writing:
                self._write(line)

    def rotate(self, carry: Iterable[EventPayload | Mapping[str, object]]) -> Path | None:
        """
        Begin the journal anew with the records and lines of *carry*; numbers and cursors go on.

        Where the old one is now. `OSError` leaves it as it is.
        """
        carried = [carried_line(each) for each in carry]
        with self._writing:
            self._write_owed()
            return self.journal.rotate([open_line(self.epoch, self.next - 1), *carried])

    def end(self) -> None:
        """Let the streams end after what happened."""
        with self._ring.lock:
            self._ring.life.over = True
            waiting = self._ring.take_waiting()
        wake(waiting)

    def reopen(self) -> None:
        """Let new streams go on; those that were ended still end. Open already is fine."""
        ring = self._ring
        with ring.lock:
            if ring.life.over:
                ring.life.last = ring.next - 1
                ring.life = Life()

    def close(self) -> None:
        """End the streams, write what waits to be written, and let go of the journal."""
        self.end()
        with self._writing, suppress(OSError):
            self._write_owed()
        self.journal.close()

    # -- reading -----------------------------------------------------------------------------------

    def stream(
        self,
        after: str | None,
        snapshot: Callable[[], Awaitable[Snapshot]],
        *,
        wanted: Callable[[BrokerEvent], bool] | None = None,
        heartbeat: float | None = None,
    ) -> EventStream:
        """
        What happens from this call on, or after the cursor *after*, as far as it is *wanted*.

        Where what follows *after* is not at hand: one `Gap`, then the answer of *snapshot*, then what
        follows that. After every *heartbeat* seconds without an event there is a `Heartbeat`, wanted or not.
        """
        if heartbeat is not None and heartbeat <= 0:
            raise ValueError(f"seconds between heartbeats must be more than 0, not {heartbeat}")
        return EventStream(self._ring, after, snapshot, wanted, heartbeat)

    # -- within ------------------------------------------------------------------------------------

    def _write_or_owe(self, line: Mapping[str, object]) -> None:
        # Who only reads the journal is no writer of it: its events stand there by the holder's hand.
        if self.journal.holder is None:
            try:
                self._write(line)
            except OSError as error:
                self._owed.append(line)
                self.fault = error

    def _write(self, line: Mapping[str, object]) -> None:
        self._write_owed()
        self.journal.append(line)

    def _write_owed(self) -> None:
        while self._owed:
            self.journal.append(self._owed[0])
            self._owed.popleft()
        self.fault = None
