"""Events as the AG-UI protocol has them, checked by its own package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ag_ui.core import Event as AGUIEvent
from ag_ui.core import EventType
from pydantic import TypeAdapter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hotplug.events import Event

__all__ = ["as_agui", "flat"]

OF_ITS_OWN = frozenset(str(each.value) for each in EventType)
MODEL: TypeAdapter[Any] = TypeAdapter(AGUIEvent)


def flat(event: Event) -> dict[str, Any]:
    """
    *event* in one piece, as AG-UI puts it on the wire: the envelope's facts beside those of the payload.

    What AG-UI has no name for, and a ``CUSTOM`` without name or value, is ``CUSTOM`` under its own name.
    """
    payload = dict(event.payload)
    if event.type not in OF_ITS_OWN or (event.type == "CUSTOM" and not payload.keys() >= {"name", "value"}):
        payload = {"name": event.type, "value": payload}
    type_ = event.type if event.type in OF_ITS_OWN else "CUSTOM"
    facts = {"type": type_, "run_id": event.run_id, "thread_id": event.thread_id}
    known = {name: value for name, value in facts.items() if value is not None}
    return {**known, "timestamp": int(event.time.timestamp() * 1000), **payload}


def as_agui(events: Iterable[Event]) -> list[Any]:
    """The events as models of ``ag_ui.core``; `pydantic.ValidationError` for one that it does not take."""
    return [MODEL.validate_python(flat(event)) for event in events]
