"""Events as AG-UI has them: its own package takes what we hand out, and says what each is."""

from __future__ import annotations

from typing import Any

import pytest
from ag_ui.core import EventType

from agui import MODEL, as_agui
from hotplug.context import UserExecutionContext
from hotplug.events import EventHub
from hotplug.events import _names as names

ADA = UserExecutionContext("ada", thread_id="talk", run_id="run-1")
MESSAGE, CALL = {"message_id": "m1"}, {"tool_call_id": "c1"}
CHANGE = [{"op": "replace", "path": "/a", "value": [1, None, "<b>"]}]
# All that each type demands, and no more.
PAYLOADS: dict[str, dict[str, Any]] = {
    "ACTIVITY_DELTA": {**MESSAGE, "activity_type": "search", "patch": CHANGE},
    "ACTIVITY_SNAPSHOT": {**MESSAGE, "activity_type": "search", "content": {"found": 3}},
    "CUSTOM": {"name": "fill", "value": {"price": "1.5"}},
    "MESSAGES_SNAPSHOT": {"messages": [{"id": "m1", "role": "user", "content": "Guten Tag, \U0001f984"}]},
    "RAW": {"event": {"any": ["thing"]}},
    "REASONING_ENCRYPTED_VALUE": {"subtype": "message", "entity_id": "m1", "encrypted_value": "x"},
    "REASONING_END": MESSAGE,
    "REASONING_MESSAGE_CHUNK": {},
    "REASONING_MESSAGE_CONTENT": {**MESSAGE, "delta": "hm"},
    "REASONING_MESSAGE_END": MESSAGE,
    "REASONING_MESSAGE_START": {**MESSAGE, "role": "reasoning"},
    "REASONING_START": MESSAGE,
    "RUN_ERROR": {"message": "it failed"},
    "RUN_FINISHED": {"result": {"answer": 42}},
    "RUN_STARTED": {},
    "STATE_DELTA": {"delta": CHANGE},
    "STATE_SNAPSHOT": {"snapshot": {"a": [1, {"b": None}]}},
    "STEP_FINISHED": {"step_name": "look"},
    "STEP_STARTED": {"step_name": "look"},
    "SUBAGENT_ERROR": {"subagent_run_id": "run-2", "message": "it failed"},
    "SUBAGENT_FINISHED": {"subagent_run_id": "run-2"},
    "SUBAGENT_STARTED": {"subagent_run_id": "run-2", "name": "helper"},
    "TEXT_MESSAGE_CHUNK": {},
    "TEXT_MESSAGE_CONTENT": {**MESSAGE, "delta": "Guten Tag"},
    "TEXT_MESSAGE_END": MESSAGE,
    "TEXT_MESSAGE_START": {**MESSAGE, "role": "assistant"},
    "TOOL_CALL_ARGS": {**CALL, "delta": "{}"},
    "TOOL_CALL_CHUNK": {},
    "TOOL_CALL_END": CALL,
    "TOOL_CALL_RESULT": {**MESSAGE, **CALL, "content": "2"},
    "TOOL_CALL_START": {**CALL, "tool_call_name": "adder"},
}


@pytest.mark.parametrize("type_", sorted(each.value for each in EventType))
def test_each_type_survives_the_hub(type_):
    """
    For each type that there is: what comes out of the hub is the same AG-UI event as what went in.
    """
    payload = PAYLOADS[type_]
    said = {"type": type_, "run_id": "run-1", "thread_id": "talk", **payload}
    hub = EventHub()
    cursor = hub.open(ADA)

    hub.emit(ADA, type_, payload)

    [heard] = as_agui(cursor.poll())
    assert heard.timestamp is not None
    assert heard.model_copy(update={"timestamp": None}) == MODEL.validate_python(said)
    # The same as a client of another language would have it: in JSON, in camel case.
    assert MODEL.validate_json(heard.model_dump_json(by_alias=True)) == heard


def test_what_is_the_hubs_own_passes_as_custom():
    """
    AG-UI has no word for what was lost or could not be stored: each is a `CUSTOM` of that name.
    """
    hub = EventHub(max_events=1)
    cursor = hub.open(ADA)
    hub.emit(ADA, "CUSTOM", {"name": "lost", "value": 1})
    hub.emit(ADA, "CUSTOM", {"x": object()})

    gap, error = as_agui(cursor.poll())

    assert (gap.name, gap.value) == ("GAP", {"missed": 1, "reason": "evicted"})
    assert (error.name, error.value["type"]) == ("ERROR", "CUSTOM")


def test_names_are_those_of_agui():
    """
    Every type that the framework emits, or treats in a way of its own, is AG-UI's, but for the hub's own two.
    """
    known = {each.value for each in EventType}
    words = {word for name, word in vars(names).items() if name.isupper() and isinstance(word, str)}

    assert words - known == {"ERROR", "GAP"}
    assert names.LASTING - known == {"ERROR"}
    assert names.REPLACED_BY.keys() <= known


def test_no_end_is_ordinary():
    """
    All ends of runs that AG-UI knows, and what tools found, outlast ordinary events.
    """
    ends = {
        each.value
        for each in EventType
        if each.value.startswith(("RUN_", "SUBAGENT_")) or each.value.endswith("_RESULT")
    }

    assert ends | {"ERROR"} == names.LASTING
