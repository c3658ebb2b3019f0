"""
What happens, told to whom it concerns: every event belongs to one user and reaches no other.

An `EventHub` keeps one bounded ring of events per user. Emitting appends to it and never waits for
a reader; a reader is an `EventCursor`, a place in the ring. What a slow reader lost is told to it by
a ``GAP`` event. Event types follow AG-UI (``RUN_STARTED``, ``TOOL_CALL_RESULT``, ``CUSTOM`` …);
``GAP`` and ``ERROR`` (a payload that could not be stored) are the hub's own.
"""

from __future__ import annotations

from hotplug.events._hub import EventCursor, EventEmitter, EventHub
from hotplug.events._words import CursorStats, Event, EventSink, HubStats

__all__ = [
    "CursorStats",
    "Event",
    "EventCursor",
    "EventEmitter",
    "EventHub",
    "EventSink",
    "HubStats",
]
