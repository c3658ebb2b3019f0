"""The table of what an exception out of ccxt means, row by row."""

from __future__ import annotations

import asyncio

import pytest

from hotplug import errors as ours
from hotplug_broker_ccxt._errors import translated
from hotplug_broker_ccxt._loading import exchange_class
from hotplug_broker_ccxt._venues import Venue, venue_of
from hotplug_broker_ccxt._wire import Letter

ORDINARY = Venue()
BINANCE = venue_of("binance", "spot")


@pytest.fixture(scope="module")
def theirs():
    """ccxt's exceptions by name."""
    exchange_class("binance")
    from ccxt.base import errors

    return errors


def letter(status=None, body="", *, is_sent=True, headers=None) -> Letter:
    made = Letter(is_sent=is_sent, method="POST", path="/order")
    if status is not None:
        made.answer(status, headers or {}, body)
    return made


CLASSES = {
    "AuthenticationError": ("AuthenticationError", "REJECTED"),
    "PermissionDenied": ("PermissionDenied", "REJECTED"),
    "AccountNotEnabled": ("PermissionDenied", "REJECTED"),
    "AccountSuspended": ("PermissionDenied", "REJECTED"),
    "ArgumentsRequired": ("InvalidRequest", "UNKNOWN"),
    "BadRequest": ("InvalidRequest", "REJECTED"),
    "BadSymbol": ("InvalidRequest", "REJECTED"),
    "OperationRejected": ("InvalidRequest", "REJECTED"),
    "NoChange": ("InvalidRequest", "REJECTED"),
    "MarginModeAlreadySet": ("InvalidRequest", "REJECTED"),
    "MarketClosed": ("MarketClosed", "REJECTED"),
    "ManualInteractionNeeded": ("PermissionDenied", "REJECTED"),
    "RestrictedLocation": ("PermissionDenied", "REJECTED"),
    "InsufficientFunds": ("InsufficientFunds", "REJECTED"),
    "InvalidAddress": ("InvalidRequest", "REJECTED"),
    "AddressPending": ("InvalidRequest", "REJECTED"),
    "InvalidOrder": ("InvalidRequest", "REJECTED"),
    "OrderNotFound": ("OrderNotFound", "REJECTED"),
    "OrderNotCached": ("BrokerUnavailable", "UNKNOWN"),
    "OrderImmediatelyFillable": ("InvalidRequest", "REJECTED"),
    "OrderNotFillable": ("InvalidRequest", "REJECTED"),
    "DuplicateOrderId": ("DuplicateClientOrderId", "UNKNOWN"),
    "ContractUnavailable": ("MarketClosed", "REJECTED"),
    "NotSupported": ("NotSupported", "REJECTED"),
    "InvalidProxySettings": ("BrokerUnavailable", "UNKNOWN"),
    "ExchangeClosedByUser": ("BrokerUnavailable", "UNKNOWN"),
    "ExchangeError": ("InvalidRequest", "UNKNOWN"),
    "DDoSProtection": ("RateLimited", "REJECTED"),
    "RateLimitExceeded": ("RateLimited", "REJECTED"),
    "OnMaintenance": ("BrokerUnavailable", "UNKNOWN"),
    "ExchangeNotAvailable": ("BrokerUnavailable", "UNKNOWN"),
    "InvalidNonce": ("InvalidRequest", "REJECTED"),
    "ChecksumError": ("BrokerUnavailable", "UNKNOWN"),
    "RequestTimeout": ("DeadlineExceeded", "UNKNOWN"),
    "NetworkError": ("BrokerUnavailable", "UNKNOWN"),
    "BadResponse": ("BrokerUnavailable", "UNKNOWN"),
    "NullResponse": ("BrokerUnavailable", "UNKNOWN"),
    "CancelPending": ("BrokerUnavailable", "UNKNOWN"),
    "OperationFailed": ("BrokerUnavailable", "UNKNOWN"),
    "UnsubscribeError": ("BrokerUnavailable", "UNKNOWN"),
    "BaseError": ("BrokerUnavailable", "UNKNOWN"),
}
"""What each is where the venue answered 200 with an error in the answer, and no code of its own."""


def test_every_exception_of_ccxt_is_in_the_table(theirs):
    """
    The table has each class that ccxt has: none is classified by accident.
    """
    assert set(CLASSES) == set(theirs.__all__) - {"error_hierarchy"}


@pytest.mark.parametrize("name", CLASSES)
def test_what_a_class_means(theirs, name):
    """
    Each class has its counterpart, and its outcome only where it names a refusal.
    """
    error = getattr(theirs, name)("binance said something")

    told = translated(error, letter(200, '{"some": "answer"}'), ORDINARY, "binance")

    assert (type(told).__name__, told.outcome) == CLASSES[name]
    assert told.is_explicit
    assert told.__cause__ is error


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("status", [None, 500, 503, 408, 409])
def test_no_class_is_evidence_against_the_status(theirs, name, status):
    """
    Without an answer, or with one that proves nothing, no class whatever makes a refusal of it.
    """
    told = translated(getattr(theirs, name)("x"), letter(status, '{"code": 1}'), ORDINARY, "venue")

    assert told.outcome == "UNKNOWN"
    assert told.is_explicit is (status is not None)


@pytest.mark.parametrize("name", CLASSES)
def test_what_was_not_sent_was_not_sent(theirs, name):
    """
    An exception from before the request says NOT_SENT, whichever it is.
    """
    told = translated(getattr(theirs, name)("x"), letter(is_sent=False), ORDINARY, "venue")

    assert told.outcome == "NOT_SENT"


@pytest.mark.parametrize(
    ("name", "status", "body", "outcome"),
    [
        ("ExchangeNotAvailable", 403, "forbidden", "REJECTED"),
        ("ExchangeNotAvailable", 404, "", "REJECTED"),
        ("ExchangeNotAvailable", 400, '{"code": -1001, "msg": "Internal error"}', "UNKNOWN"),
        ("ExchangeError", 400, '{"code": -1, "msg": "new"}', "REJECTED"),
        ("OperationFailed", 400, '{"code": -1, "msg": "failed"}', "UNKNOWN"),
        ("RequestTimeout", 400, '{"code": "50004"}', "UNKNOWN"),
        ("OnMaintenance", 400, "", "REJECTED"),
        ("RateLimitExceeded", 400, '{"code": 5}', "REJECTED"),
        ("DDoSProtection", 429, "", "REJECTED"),
        ("ExchangeNotAvailable", 418, "", "REJECTED"),
    ],
)
def test_what_a_status_proves(theirs, name, status, body, outcome):
    """
    4xx is the sender's fault, unless the venue's own words leave it open; 429 and 418 are counting.
    """
    assert translated(getattr(theirs, name)("x"), letter(status, body), ORDINARY, "v").outcome == outcome


def test_a_ban_hidden_behind_a_5xx_is_not_believed(theirs):
    """
    A page of a protection service with 503: rate limited perhaps, refused perhaps; UNKNOWN, explicitly.
    """
    told = translated(theirs.DDoSProtection("x"), letter(503, "<html>ddos</html>"), ORDINARY, "v")

    assert (type(told), told.outcome, told.is_explicit) == (ours.RateLimited, "UNKNOWN", True)


@pytest.mark.parametrize(
    ("code", "message", "kind", "outcome"),
    [
        (-2010, "Account has insufficient balance for requested action.", ours.InsufficientFunds, "REJECTED"),
        (-2010, "Duplicate order sent.", ours.DuplicateClientOrderId, "UNKNOWN"),
        (-2010, "Market is closed.", ours.MarketClosed, "REJECTED"),
        (-2011, "Unknown order sent.", ours.OrderNotFound, "REJECTED"),
        (-2013, "Order does not exist.", ours.OrderNotFound, "REJECTED"),
        (-2015, "Invalid API-key, IP, or permissions for action.", ours.AuthenticationError, "REJECTED"),
        (-1007, "Timeout waiting for response from backend server.", ours.InvalidRequest, "UNKNOWN"),
    ],
)
def test_the_words_of_one_venue(theirs, code, message, kind, outcome):
    """
    Where ccxt puts many things under one class, the venue's own code and words decide.
    """
    body = f'{{"code": {code}, "msg": "{message}"}}'

    told = translated(theirs.ExchangeError("x"), letter(400, body), BINANCE, "binance")

    assert (type(told), told.outcome, told.venue_code) == (kind, outcome, str(code))
    assert message in str(told)


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ('{"retCode": 10001, "retMsg": "params error"}', "10001", "params error"),
        ('{"code": "1", "msg": "", "data": [{"sCode": "51008", "sMsg": "no funds"}]}', "51008", "no funds"),
        (
            '{"error": ["EOrder:no funds", "EOrder:other"]}',
            None,
            "EOrder:no funds; EOrder:other",
        ),
        ('{"error": {"code": 10009, "message": "not_enough_funds"}}', "10009", "not_enough_funds"),
        ('[{"code": -2011, "msg": "Unknown order sent."}]', "-2011", "Unknown order sent."),
        ('{"code": true, "msg": null}', None, "InvalidOrder"),
        ('{"broken', None, "InvalidOrder"),
    ],
)
def test_where_the_words_are(theirs, body, code, words):
    """
    Code and message are found wherever a venue puts them, the innermost first.
    """
    told = translated(theirs.InvalidOrder("x"), letter(400, body), ORDINARY, "venue")

    assert told.venue_code == code
    assert words in str(told)


@pytest.mark.parametrize(
    ("headers", "words", "seconds"),
    [
        ({"Retry-After": "7"}, "", 7),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, "", 0),
        ({"Retry-After": "soon"}, "", None),
        ({}, "current limit is 50 orders per 10 SECOND.", 10),
        ({}, "limit is 6000 request weight per 1 MINUTE.", 60),
        ({}, "IP banned until 1500000000000.", 0),
        ({}, "slow down", None),
    ],
)
def test_how_long_to_wait(theirs, headers, words, seconds):
    """
    The pause stands in the header, as seconds or a date, or in the words.
    """
    body = f'{{"code": -1003, "msg": "{words}"}}'

    told = translated(theirs.DDoSProtection("x"), letter(429, body, headers=headers), BINANCE, "binance")

    assert told.retry_after == seconds


def test_no_signature_is_in_an_error(theirs):
    """
    ccxt's texts hold the whole URL; ours hold its path only, and the chained ones are scrubbed.
    """
    cause = ConnectionResetError("http://venue/order?signature=abc&x=1 went away")
    error = theirs.ExchangeNotAvailable("venue GET http://venue/order?signature=abc")
    error.__cause__ = cause

    told = translated(error, letter(), ORDINARY, "venue")

    assert "abc" not in f"{told} {told.__cause__} {cause}"
    assert "POST /order" in str(told)


def test_our_own_errors_pass(theirs):
    """
    What is ours already, as the denial of an altered order, stays as it is.
    """
    error = ours.OrderDenied("altered")

    assert translated(error, letter(), ORDINARY, "venue") is error


def test_a_bug_is_unavailable(theirs):
    """
    What is no exception of ccxt's at all is `BrokerUnavailable`, and proves nothing once something was sent.
    """
    told = translated(KeyError("x"), letter(200, "{}"), ORDINARY, "venue")

    assert (type(told), told.outcome) == (ours.BrokerUnavailable, "UNKNOWN")


def test_a_connection_that_was_never_made(theirs):
    """
    A port that nobody listens at, and a name that nobody has: nothing was sent.
    """

    async def attempt(url):
        import aiohttp

        async with aiohttp.ClientSession() as session:
            try:
                await session.post(url)
            except aiohttp.ClientError as error:
                raise theirs.ExchangeNotAvailable("x") from error

    for url in ("http://127.0.0.1:1", "http://nobody.invalid"):
        with pytest.raises(theirs.ExchangeNotAvailable) as caught:
            asyncio.run(attempt(url))
        assert translated(caught.value, letter(), ORDINARY, "venue").outcome == "NOT_SENT"
