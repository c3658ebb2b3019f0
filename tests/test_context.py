"""For whom something is done."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle

import pytest

from hotplug import UserExecutionContext
from hotplug.errors import HotplugError, InvalidContextError


@pytest.mark.parametrize("user", ["", "   ", "\t\n", None, 5, b"ada", ["ada"]])
def test_a_context_names_its_user(user):
    """
    A blank user, or one that is no text, is refused with an error that is a `ValueError` too.
    """
    with pytest.raises(InvalidContextError, match="user_id") as caught:
        UserExecutionContext(user)

    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, HotplugError)


@pytest.mark.parametrize("name", ["thread_id", "run_id", "request_id"])
@pytest.mark.parametrize("value", ["", " ", 7])
def test_the_other_ids_are_text_too(name, value):
    """
    Ids that are given are text and not blank.
    """
    with pytest.raises(InvalidContextError, match=name):
        UserExecutionContext("ada", **{name: value})


@pytest.mark.parametrize("value", ["x" * 1025, "half \ud800"])
def test_ids_can_be_written_down(value):
    """
    What is no text, or goes on for ever, names nobody: it would end whoever writes it down.
    """
    assert UserExecutionContext("é" * 1024).user_id == "é" * 1024
    with pytest.raises(InvalidContextError, match="thread_id"):
        UserExecutionContext("ada", thread_id=value)


def test_ids_are_made_where_none_are_given():
    """
    Run and request ids are fresh for each context; there need be no thread.
    """
    one, two = UserExecutionContext("ada"), UserExecutionContext("ada")

    assert one.thread_id is None
    assert len({one.run_id, two.run_id, one.request_id, two.request_id}) == 4


def test_a_context_is_frozen():
    """
    Neither its fields nor its metadata can be changed, and what it was made from may go on changing.
    """
    given = {"a": [1]}
    context = UserExecutionContext("ada", metadata=given)
    given["a"].append(2)
    given["b"] = 3

    assert dict(context.metadata) == {"a": [1]}
    with pytest.raises(AttributeError):
        context.user_id = "grace"
    with pytest.raises(TypeError):
        context.metadata["a"] = 5


def test_a_child_is_the_same_users():
    """
    A child has the user, thread and run, a request of its own, copied metadata, and is one level deeper.
    """
    parent = UserExecutionContext("ada", "talk", metadata={"a": [1], "b": 2})
    child = parent.child(b=3, c=[4])

    assert (child.user_id, child.thread_id, child.run_id) == ("ada", "talk", parent.run_id)
    assert child.request_id != parent.request_id
    assert dict(child.metadata) == {"a": [1], "b": 3, "c": [4]}
    assert child.metadata["a"] is not parent.metadata["a"]
    assert (parent.depth, child.depth) == (0, 1)


def test_children_nest_ten_deep():
    """
    The tenth child of a child is the last.
    """
    context = UserExecutionContext("ada")
    for _ in range(10):
        context = context.child()

    assert context.depth == 10
    with pytest.raises(InvalidContextError, match="10 deep"):
        context.child()


class Uncopyable:
    def __deepcopy__(self, memo):
        raise OSError("not me")


@pytest.mark.parametrize("metadata", [5, ["ab", "c"], {"a": Uncopyable()}, {"a": (c for c in "x")}])
def test_metadata_is_a_mapping_of_what_can_be_copied(metadata):
    """
    Anything else is refused, whatever its copying raises.
    """
    with pytest.raises(InvalidContextError, match="metadata"):
        UserExecutionContext("ada", metadata=metadata)


@pytest.mark.parametrize(
    "again",
    [copy.copy, copy.deepcopy, lambda context: pickle.loads(pickle.dumps(context))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_a_context_can_be_copied_and_sent(again):
    """
    Copied or pickled, a context is equal to the first, with metadata of its own that is read-only too.
    """
    context = UserExecutionContext("ada", "talk", metadata={"a": [1]}).child(b=2)
    other = again(context)

    assert other == context
    assert hash(other) == hash(context)
    assert other.metadata["a"] is not context.metadata["a"]
    with pytest.raises(TypeError):
        other.metadata["a"] = 5


def test_contexts_are_values():
    """
    Contexts with equal fields are equal and can be keys; those of two requests differ.
    """
    facts = {"thread_id": "t", "run_id": "r", "request_id": "q", "metadata": {"a": []}}

    assert UserExecutionContext("ada", **facts) == UserExecutionContext("ada", **facts)
    assert len({UserExecutionContext("ada", **facts), UserExecutionContext("ada", **facts)}) == 1
    assert UserExecutionContext("ada", **facts) != UserExecutionContext("grace", **facts)
    assert UserExecutionContext("ada", **facts) != UserExecutionContext("ada", **facts | {"metadata": {}})


def test_a_context_becomes_plain_data():
    """
    A context can be turned into plain data, and a child's metadata may have any name.
    """
    context = UserExecutionContext("ada", metadata={"a": 1}).child(**{"self": 2})  # noqa: PIE804

    assert dataclasses.asdict(context)["metadata"] == {"a": 1, "self": 2}
    assert json.dumps(dataclasses.asdict(context))
