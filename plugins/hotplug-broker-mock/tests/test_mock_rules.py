"""Rules of a mock venue: what they let in, when they hold, and what chance has to do with it."""

from __future__ import annotations

import pytest

from hotplug.errors import BrokerUnavailable, InvalidRequest, Outcome, RateLimited
from hotplug_broker_mock import CALLS, FAULTS, ReportRule, Rule
from hotplug_broker_mock._rules import Standing, draw


def holds(standing, times=1, *, key="call", client_order_id=None, symbol=None):
    """Whether the rule held, each time it was asked."""
    return [standing.takes(None, f"{key} {number}", client_order_id, symbol) for number in range(times)]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"on": "plac"}, "no such call as 'plac' .*'place'"),
        ({"on": "place", "fault": "timeout_befor"}, "no such fault .*'timeout_before'"),
        ({"on": "place", "error": "InvalidRequst"}, "no such error .*'InvalidRequest'"),
        ({"on": "place", "error": "print"}, "no such error"),
    ],
)
def test_words_are_checked(fields, why):
    """
    A rule for a call, fault or error that does not exist says what was probably meant.
    """
    with pytest.raises(ValueError, match=why):
        Rule(**fields)


def test_reports_have_kinds():
    """
    A rule for reports of a kind that does not exist is refused.
    """
    with pytest.raises(ValueError, match="no such kind of report as 'fil' .*'fill'"):
        ReportRule(kind="fil")


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_a_rule_by_name(name):
    """
    A fault has the fields that its name stands for, and may be given for every call.
    """
    for call in CALLS:
        rule = Rule(on=call, fault=name)
        assert {field: getattr(rule, field) for field in FAULTS[name]} == dict(FAULTS[name])


def test_what_stands_beside_a_fault_wins():
    """
    A field given beside a fault is kept.
    """
    rule = Rule(on="place", fault="rate_limited", retry_after=7.5)

    assert rule.then == "error"
    assert rule.retry_after == 7.5


def test_an_error_ends_the_call_and_the_venue_did_nothing():
    """
    A rule with an error ends in it, and unless it says so the venue accepts nothing.
    """
    assert Rule(on="place", error="OSError").then == "error"
    assert not Rule(on="place", error="OSError").accepts
    assert Rule(on="place", error="OSError", accept=True).accepts
    assert Rule(on="place", then="hang").accepts


def test_errors_say_what_the_rule_says():
    """
    A `BrokerError` has message, outcome, pause and code of its rule; others have the message.
    """
    rule = Rule(
        on="place",
        error="RateLimited",
        message="slow down",
        retry_after=2.0,
        outcome="REJECTED",
        venue_code="9",
    )
    error = rule.make_error()

    assert isinstance(error, RateLimited)
    assert (str(error), error.outcome, error.retry_after, error.venue_code) == (
        "slow down",
        "REJECTED",
        2.0,
        "9",
    )
    assert isinstance(Rule(on="place", then="error").make_error(), BrokerUnavailable)
    assert repr(Rule(on="place", error="KeyError", message="k").make_error()) == "KeyError('k')"


def test_an_outcome_is_explicit_only_if_it_was_given():
    """
    Without an outcome, the error says nothing for certain.
    """
    implicit = Rule(on="place", error="InvalidRequest").make_error()
    explicit = Rule(on="place", fault="reject").make_error()

    assert isinstance(implicit, InvalidRequest)
    assert (implicit.is_explicit, implicit.outcome) == (False, Outcome.UNKNOWN)
    assert (explicit.is_explicit, explicit.outcome) == (True, Outcome.REJECTED)


def test_times_and_after():
    """
    A rule leaves the first calls alone, holds as often as it says, and then no more.
    """
    assert holds(Standing(Rule(on="place", after=2, times=2), ""), 6) == [
        False,
        False,
        True,
        True,
        False,
        False,
    ]
    assert holds(Standing(Rule(on="place"), ""), 3) == [True, False, False]
    assert holds(Standing(Rule(on="place", times=None), ""), 3) == [True, True, True]


def test_only_for_some():
    """
    A rule for one symbol, one order, or what a function picks, neither holds for others nor counts them.
    """
    of_order = Standing(Rule(on="place", client_order_id="a"), "")
    assert [holds(of_order, client_order_id=name)[0] for name in ("b", "a", "a")] == [False, True, False]
    of_symbol = Standing(Rule(on="place", symbol="X"), "")
    assert [holds(of_symbol, symbol=name)[0] for name in ("Y", "X")] == [False, True]
    picked = Standing(Rule(on="place", times=None), "", where=lambda call: call == "this")
    assert [picked.takes(call, "", None, None) for call in ("that", "this")] == [False, True]
    of_report = Standing(ReportRule(client_order_id="a", times=None), "")
    assert [holds(of_report, client_order_id=name)[0] for name in ("b", "a")] == [False, True]


def test_chance_is_a_function_of_seed_and_order():
    """
    Whether a rule with a chance holds depends on its seed and on the call alone, not on what came before.
    """
    rule = Rule(on="place", times=None, chance=0.5)
    first = holds(Standing(rule, "seed"), 200)
    again = Standing(rule, "seed")
    backwards = [again.takes(None, f"call {number}", None, None) for number in reversed(range(200))]

    assert first == backwards[::-1]
    assert first != holds(Standing(rule, "another"), 200)
    assert 60 < sum(first) < 140
    assert not any(holds(Standing(Rule(on="place", times=None, chance=0.0), ""), 50))


def test_delays_are_numbers_or_ranges():
    """
    A delay is as given; a range gives a number within it, the same for the same key.
    """
    assert draw(0.5, "a") == 0.5
    drawn = {draw((1.0, 2.0), f"key {number}") for number in range(50)}
    assert all(1.0 <= seconds <= 2.0 for seconds in drawn)
    assert len(drawn) == 50
    assert draw((1.0, 2.0), "key 7") in drawn
