"""Errors: what they say, what they know, and that they survive a pickle."""

from __future__ import annotations

import pickle

import pytest

from hotplug import errors
from hotplug.errors import (
    BrokerError,
    GatewayNotReady,
    HostError,
    OrderDenied,
    Outcome,
    PermissionDenied,
    RateLimited,
    ToolTimeoutError,
    UnknownKindError,
)

LOCAL = {
    "GatewayNotReady",
    "GatewayReplaced",
    "Halted",
    "LiveRefused",
    "NotSupported",
    "OrderBusy",
    "OrderDenied",
    "PermissionDenied",
}
BROKER_ERRORS = sorted(
    (each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, BrokerError)),
    key=lambda each: each.__name__,
)


def test_an_outcome_is_its_name():
    """
    An outcome is an enum member and the str of its name.
    """
    assert [*Outcome] == ["NOT_SENT", "REJECTED", "UNKNOWN"]
    assert f"{Outcome.NOT_SENT}" == Outcome.NOT_SENT.name == "NOT_SENT"


@pytest.mark.parametrize("kind", BROKER_ERRORS, ids=lambda kind: kind.__name__)
def test_what_can_only_arise_here_was_not_sent(kind):
    """
    An error that only this process can raise is NOT_SENT unless said otherwise, any other UNKNOWN.
    """
    usual = Outcome.NOT_SENT if kind.__name__ in LOCAL else Outcome.UNKNOWN

    assert kind("no").outcome is usual
    assert kind("no", outcome="REJECTED").outcome is Outcome.REJECTED


def test_an_outcome_is_one_of_three():
    """
    Any other word is a ValueError, for brokers and for tools.
    """
    for kind in (BrokerError, RateLimited, ToolTimeoutError):
        with pytest.raises(ValueError, match="MAYBE"):
            kind("no", outcome="MAYBE")


def test_the_text_is_the_message():
    """
    The text of a broker's error is its message, or else its code; the facts are in attributes.
    """
    error = OrderDenied("too small", code="qty")

    assert (str(error), error.message, error.code) == ("too small", "too small", "qty")
    assert str(PermissionDenied()) == "PermissionDenied"
    assert str(BrokerError(code="odd")) == "odd"


def test_a_tool_timeout_knows_its_outcome():
    """
    By itself the outcome of a time-out is UNKNOWN and it is not to be tried again.
    """
    error = ToolTimeoutError("late")

    assert (str(error), error.outcome, error.retryable) == ("late", Outcome.UNKNOWN, False)
    assert isinstance(error, TimeoutError)
    assert ToolTimeoutError("late", outcome="NOT_SENT", retryable=True).retryable


def test_an_unknown_kind_suggests_a_known_one():
    """
    The error is a HostError and a KeyError that can be read, with the facts.
    """
    error = UnknownKindError("broker", ["brokers", "tools"])

    assert str(error) == "this host has no kind 'broker' (did you mean 'brokers'?)"
    assert (error.kind, error.known) == ("broker", ("brokers", "tools"))
    assert isinstance(error, HostError)
    assert isinstance(error, KeyError)


@pytest.mark.parametrize(
    "error",
    [
        GatewayNotReady("later", code="not_ready", outcome="UNKNOWN", retry_after=2.0),
        ToolTimeoutError("late", retryable=True),
        UnknownKindError("x", ["y"]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_survive_a_pickle(error):
    """
    Text and facts are the same in another process.
    """
    same = pickle.loads(pickle.dumps(error))

    assert (type(same), str(same), vars(same)) == (type(error), str(error), vars(error))


def test_every_error_is_listed():
    """
    `__all__` names each public class of the module, sorted.
    """
    classes = {
        name
        for name, each in vars(errors).items()
        if isinstance(each, type) and each.__module__ == errors.__name__ and not name.startswith("_")
    }

    assert classes | {"close_match"} == set(errors.__all__)
    assert list(errors.__all__) == sorted(errors.__all__)
