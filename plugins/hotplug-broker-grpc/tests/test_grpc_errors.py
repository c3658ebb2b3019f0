"""Errors keep their class, code, outcome and all else across the wire; what says nothing of it is UNKNOWN."""

from __future__ import annotations

import inspect

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotplug import errors
from hotplug.errors import (
    AuthenticationError,
    BrokerError,
    BrokerUnavailable,
    DeadlineExceeded,
    InvalidRequest,
    OrderNotFound,
    Outcome,
    RateLimited,
)
from hotplug_broker_grpc import _errors
from hotplug_broker_grpc._errors import CODES, detail_of, error_from, error_of, status_of
from hotplug_broker_grpc._wire import StatusCode, error_details_pb2, status_pb2
from hotplug_broker_grpc.stubs import broker_pb2 as pb

CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, BrokerError)]


class Failure:
    """A call that ended badly, as grpc tells it."""

    def __init__(self, code, details="", trailers=()):
        self._facts = code, details, trailers

    def code(self):
        return self._facts[0]

    def details(self):
        return self._facts[1]

    def trailing_metadata(self):
        return self._facts[2]


def test_every_class_has_a_status():
    """
    A new class of error cannot be forgotten.
    """
    assert set(CODES) == set(CLASSES)


optional_texts = st.none() | st.text(max_size=20)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(CLASSES),
    st.text(max_size=30),
    st.text(max_size=10),
    st.sampled_from(Outcome),
    st.booleans(),
    st.none() | st.floats(0, 1e6),
    optional_texts,
)
def test_an_error_comes_back_as_it_was(kind, message, code, outcome, retryable, retry_after, venue_code):
    """
    Class, message, code, outcome, whether and when to try again, and what the venue called it.
    """
    error = kind(
        message,
        code=code,
        outcome=outcome,
        retryable=retryable,
        retry_after=retry_after,
        venue_code=venue_code,
    )

    back = error_from(Failure(*status_of(error)), "asking")

    assert type(back) is kind
    assert vars(back) == {**vars(error), "is_explicit": True}
    assert str(back) == str(error)


def test_a_plugins_own_class_comes_back_as_the_nearest_known():
    """
    What only one side knows does not travel; what it is made of does.
    """

    class BadSymbol(InvalidRequest):
        pass

    back = error_from(Failure(*status_of(BadSymbol("no such thing"))), "asking")

    assert type(back) is InvalidRequest
    assert back.outcome is Outcome.UNKNOWN


def test_texts_that_are_no_utf8_are_shown_escaped():
    """
    A lone surrogate in a venue's message breaks no call.
    """
    assert error_of(detail_of(BrokerError("bad \ud800"))).message == "bad \\ud800"


def test_others_are_told_when_to_try_again():
    """
    Clients that know nothing of us find the standard ``RetryInfo``.
    """
    _, _, [(_, packed)] = status_of(RateLimited("slow down", retry_after=1.5))
    status = status_pb2.Status.FromString(packed)
    retry = error_details_pb2.RetryInfo()

    assert status.code == StatusCode.RESOURCE_EXHAUSTED.value[0]
    assert status.details[1].Unpack(retry)
    assert retry.retry_delay.ToMilliseconds() == 1500


@pytest.mark.parametrize("code", list(StatusCode), ids=lambda code: code.name)
def test_a_status_without_our_detail_leaves_the_outcome_open(code):
    """
    Whatever it is called: nobody but the server knows what came of the call.
    """
    error = error_from(Failure(code, "because"), "placing 'x'")

    assert error.outcome is Outcome.UNKNOWN
    assert not error.is_explicit
    assert str(error) == f"placing 'x': {code.name}: because"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (StatusCode.UNAVAILABLE, BrokerUnavailable),
        (StatusCode.DEADLINE_EXCEEDED, DeadlineExceeded),
        (StatusCode.UNAUTHENTICATED, AuthenticationError),
        (None, BrokerError),
    ],
)
def test_a_bare_status_has_the_class_that_is_nearest(code, kind):
    """
    So that who connects learns whether to try again.
    """
    assert type(error_from(Failure(code), "connecting")) is kind


@pytest.mark.parametrize(
    "packed",
    [
        b"\xff\xff\xff",
        status_pb2.Status(code=5).SerializeToString(),
        "a text",
    ],
    ids=["no status", "no detail of ours", "no bytes"],
)
def test_a_detail_that_is_none_is_none(packed):
    """
    A broken or foreign detail does not decide what became of an order.
    """
    error = error_from(Failure(StatusCode.NOT_FOUND, "", ((_errors.DETAILS_KEY, packed),)), "asking")

    assert not error.is_explicit
    assert error.outcome is Outcome.UNKNOWN


def test_an_outcome_that_is_not_known_here_is_no_outcome():
    """
    A newer server's word is not taken for one of ours.
    """
    code, text, [(key, packed)] = status_of(OrderNotFound("gone", outcome="REJECTED"))
    status = status_pb2.Status.FromString(packed)
    detail = pb.BrokerErrorDetail.FromString(status.details[0].value)
    detail.outcome = 77
    status.details[0].value = detail.SerializeToString()

    error = error_from(Failure(code, text, ((key, status.SerializeToString()),)), "asking")

    assert not error.is_explicit
    assert error.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("kind", ["Nonsense", "Outcome", "HotplugError", "ABC"])
def test_a_class_that_is_none_is_a_broker_error(kind):
    """
    A name from the wire makes nothing but broker errors.
    """
    detail = detail_of(BrokerError("hm", outcome="REJECTED"))
    detail.kind = kind

    assert type(error_of(detail)) is BrokerError
