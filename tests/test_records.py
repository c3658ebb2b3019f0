"""The records of discovery: frozen, compared by value, and cheap to import."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import subprocess
import sys

import pytest

from hotplug import Discovery, PluginRecord, Problem, UniversalRegistry

RECORD = PluginRecord("brokers", "hotplug.brokers", "paper", "m:C", "acme", "1.0")


def test_records_are_values():
    """
    Records with the same fields are equal, hash alike and show what they hold.
    """
    twin = PluginRecord(
        kind="brokers", group="hotplug.brokers", name="paper", value="m:C", distribution="acme", version="1.0"
    )

    assert twin == RECORD
    assert hash(twin) == hash(RECORD)
    assert twin != dataclasses.replace(twin, version="2.0")
    assert Problem("x", None, "y") != RECORD
    assert str(RECORD) == "brokers/paper from acme 1.0"
    assert repr(Problem("f", 3, "bad")) == "Problem(path='f', line=3, reason='bad', distribution='')"
    assert [str(Problem("f", 3, "bad")), str(Problem("f", None, "bad"))] == ["f:3: bad", "f: bad"]


def test_records_are_frozen():
    """
    No field of a record can be set or deleted.
    """
    with pytest.raises(AttributeError, match="frozen"):
        RECORD.name = "other"
    with pytest.raises(AttributeError, match="frozen"):
        del RECORD.name


@pytest.mark.parametrize(
    ("values", "named", "text"),
    [
        ((), {}, "needs 'path'"),
        (("f", 1, "r", "d", "e"), {}, "more values"),
        (("f", 1, "r"), {"path": "g"}, "more values"),
        (("f", 1, "r"), {"colour": "red"}, "no 'colour'"),
    ],
)
def test_wrong_fields_are_refused(values, named, text):
    """
    A record is not made with too few, too many or unknown fields.
    """
    with pytest.raises(TypeError, match=text):
        Problem(*values, **named)


def test_dataclass_tools_work():
    """
    `dataclasses` takes a record for one of its own, and so do copy, pickle and match.
    """
    assert [each.name for each in dataclasses.fields(Problem)] == ["path", "line", "reason", "distribution"]
    assert dataclasses.asdict(Discovery((), (Problem("f", 1, "r"),)))["problems"][0]["reason"] == "r"
    assert copy.deepcopy(RECORD) == RECORD
    assert pickle.loads(pickle.dumps(RECORD)) == RECORD
    match RECORD:
        case PluginRecord(kind, _, name):
            assert (kind, name) == ("brokers", "paper")


def test_looking_for_plugins_does_not_import_dataclasses():
    """
    A process that only discovers pays for no machinery that it does not need.
    """
    code = "import sys, hotplug; hotplug.discover(); print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)

    assert not {"dataclasses", "inspect", "logging", "asyncio", "json"} & set(done.stdout.split())


def test_unknown_records():
    """
    The room of records says what it does not have.
    """
    from hotplug import _records

    with pytest.raises(AttributeError, match="no attribute 'Recrod'"):
        _ = _records.Recrod


def test_views_travel():
    """
    What a registry says of itself can be copied, pickled, hashed and turned into JSON, but not changed.
    """
    registry = UniversalRegistry("things")
    registry.register("a", 1, tags=["t"], metadata={"key": [1]})
    views = (*registry.entries(), registry.metrics(), registry.health())

    for view in views:
        assert copy.deepcopy(view) == pickle.loads(pickle.dumps(view)) == view
        assert isinstance(hash(view), int)
    assert json.dumps(dataclasses.asdict(views[0]))
    assert dataclasses.asdict(registry.metrics())["hits"] == {"a": 0}
    with pytest.raises(TypeError, match="cannot be changed"):
        registry.entries()[0].metadata["key"] = 2
