"""What events are called, and what a name says about an event."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "ERROR",
    "GAP",
    "LASTING",
    "NOTHING",
    "OVERHEAD",
    "REPLACED_BY",
    "RUN_ERROR",
    "RUN_FINISHED",
    "RUN_STARTED",
    "SNAPSHOTS",
    "TOOL_CALL_ARGS",
    "TOOL_CALL_END",
    "TOOL_CALL_RESULT",
    "TOOL_CALL_START",
]

RUN_STARTED: Final = "RUN_STARTED"
RUN_FINISHED: Final = "RUN_FINISHED"
RUN_ERROR: Final = "RUN_ERROR"
TOOL_CALL_START: Final = "TOOL_CALL_START"
TOOL_CALL_ARGS: Final = "TOOL_CALL_ARGS"
TOOL_CALL_END: Final = "TOOL_CALL_END"
TOOL_CALL_RESULT: Final = "TOOL_CALL_RESULT"
GAP: Final = "GAP"
ERROR: Final = "ERROR"

# What outlasts ordinary events in a full ring: where runs begin and end, and what tools found.
LASTING: Final = frozenset(
    {RUN_STARTED, RUN_FINISHED, RUN_ERROR, TOOL_CALL_RESULT, ERROR}
    | {"SUBAGENT_STARTED", "SUBAGENT_FINISHED", "SUBAGENT_ERROR"}
)
# What a newer snapshot of the same run makes worthless. Not so of activities: a run has many.
REPLACED_BY: Final[Mapping[str, str]] = MappingProxyType(
    {
        "MESSAGES_SNAPSHOT": "MESSAGES_SNAPSHOT",
        "STATE_DELTA": "STATE_SNAPSHOT",
        "STATE_SNAPSHOT": "STATE_SNAPSHOT",
    }
)
SNAPSHOTS: Final = frozenset(REPLACED_BY.values())

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
OVERHEAD: Final = 256  # bytes that a stored event takes besides its payload, roughly
