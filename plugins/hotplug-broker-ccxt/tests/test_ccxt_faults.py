"""Outcomes: what is known of an order when the venue, or the line to it, does not behave."""

from __future__ import annotations

import asyncio

import pytest
from ccxt_world import PLACE, SOON, Told, limit, make_broker, market, trading
from spot_exchange import SpotExchange

from hotplug.brokers._events._journal import FileJournal
from hotplug.brokers._orders._book import Book
from hotplug.errors import (
    BrokerError,
    BrokerUnavailable,
    DuplicateClientOrderId,
    InsufficientFunds,
    InvalidRequest,
    MarketClosed,
    RateLimited,
)
from hotplug.market import OrderRef, OrderStatus

UNKNOWN_MATTER = {
    "the line is lost": {"then": "lose"},
    "the answer is cut": {"then": "cut"},
    "it hangs": {"then": "hang"},
    "503": {"status": 503},
    "503 with a page": {"status": 503, "body": "<html>cloudflare ddos protection</html>"},
    "502": {"status": 502, "body": "<html><h1>502 Bad Gateway</h1></html>"},
    "504": {"status": 504},
    "408": {"status": 408, "code": -1007, "msg": "Timeout waiting for response from backend server."},
    "-1007": {"status": 400, "code": -1007, "msg": "Timeout waiting for response from backend server."},
    "-1006": {"status": 400, "code": -1006, "msg": "An unexpected response was received."},
    "an answer without sense": {"status": 200, "body": "[]"},
    "a page instead of an answer": {"status": 200, "body": "<html>welcome</html>"},
}


@pytest.mark.parametrize("fault", UNKNOWN_MATTER.values(), ids=UNKNOWN_MATTER)
def test_an_answer_that_is_lost_is_found_again(fault):
    """
    The venue took the order and the answer did not come: UNKNOWN, then asked for, and found; sent once.
    """

    async def story():
        async with trading(timeout=0.2, poll_interval=60.0) as (venue, broker):
            told = Told(broker)
            venue.fail(PLACE, when="after", **fault)
            request = limit()
            with pytest.raises(BrokerError) as caught:
                await broker.place_order(request)
            assert caught.value.outcome == "UNKNOWN"
            order = await told.order("NEW", request.client_order_id)
            assert order.order_id == str(venue.order(request.client_order_id).id)
            assert [each.status for each in told.payloads if hasattr(each, "client_order_id")][:2] == [
                OrderStatus.PENDING_NEW,
                OrderStatus.UNKNOWN,
            ]
            ack = await broker.place_order(request)  # the same again: no second send
            assert ack.order_id == order.order_id
            assert venue.count(PLACE) == 1
            assert len(venue.market.orders) == 1

    asyncio.run(story())


@pytest.mark.parametrize("name", ["the line is lost", "it hangs", "503", "a page instead of an answer"])
def test_an_order_that_never_arrived_stays_unknown(name):
    """
    The same without the order at the venue: nothing is called rejected unproven, and nothing is sent again.
    """

    async def story():
        async with trading(timeout=0.2, poll_interval=60.0) as (venue, broker):
            venue.fail(PLACE, when="before", **UNKNOWN_MATTER[name])
            broker.check_interval = 0.02  # it asks for what is in doubt as soon again
            request = limit()
            with pytest.raises(BrokerError) as caught:
                await broker.place_order(request)
            assert caught.value.outcome == "UNKNOWN"
            await venue.until(lambda: venue.count("GET /api/v3/order") > 1)
            order = await broker.get_order(OrderRef(client_order_id=request.client_order_id))
            assert order.status is OrderStatus.UNKNOWN
            with pytest.raises(BrokerError):
                await broker.place_order(request)
            assert venue.count(PLACE) == 1

    asyncio.run(story())


def test_what_the_venue_forgets_never_arrived():
    """
    Once a request would be refused for its age, an order that is not found is REJECTED: it never was.
    """

    async def story():
        async with trading() as (venue, broker):
            assert broker.not_found_final_after > 60
            broker.not_found_final_after = 0.01
            told = Told(broker)
            venue.fail(PLACE, when="before", then="lose")
            with pytest.raises(BrokerError):
                await broker.place_order(limit())
            assert "never arrived" in (await told.order("REJECTED")).reason

    asyncio.run(story())


def test_a_lost_answer_to_a_filled_order_is_made_up_for():
    """
    The order was filled, and the answer lost: order and fill are told in the end.
    """

    async def story():
        async with trading() as (venue, broker):
            told = Told(broker)
            venue.fail(PLACE, when="after", then="lose")
            with pytest.raises(BrokerUnavailable):
                await broker.place_order(market())
            fill = await told.fill()
            order = await broker.get_order(OrderRef(order_id=fill.order_id))
            assert order.status is OrderStatus.FILLED
            assert venue.count(PLACE) == 1

    asyncio.run(story())


@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        (
            {"code": -2010, "msg": "Account has insufficient balance for requested action."},
            InsufficientFunds,
            "-2010",
        ),
        ({"code": -1013, "msg": "Filter failure: NOTIONAL"}, InvalidRequest, "-1013"),
        ({"code": -2010, "msg": "Market is closed."}, MarketClosed, "-2010"),
        ({"code": -2010, "msg": "Order would immediately match and take."}, InvalidRequest, "-2010"),
        ({"code": -9999, "msg": "Something new."}, InvalidRequest, "-9999"),
        (
            {"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."},
            InvalidRequest,
            "-1021",
        ),
        ({"status": 403, "body": "<html>403</html>"}, BrokerError, None),
        ({"status": 401, "code": -2014, "msg": "API-key format invalid."}, BrokerError, "-2014"),
    ],
)
def test_a_refusal_is_a_refusal(fault, error, code):
    """
    The venue says no: REJECTED, with its code and its words, and the same again gives the same.
    """

    async def story():
        async with trading() as (venue, broker):
            venue.fail(PLACE, **{"status": 400, **fault})
            request = limit()
            for _ in range(2):
                with pytest.raises(error) as caught:
                    await broker.place_order(request)
                assert (caught.value.outcome, caught.value.venue_code) == ("REJECTED", code)
                assert fault.get("msg", "") in str(caught.value)
            assert venue.count(PLACE) == 1

    asyncio.run(story())


@pytest.mark.parametrize(
    ("status", "code", "words", "headers", "seconds"),
    [
        (429, -1003, "Too much request weight used.", {"Retry-After": "7"}, 7),
        (418, -1003, "Way too much request weight used.", {"Retry-After": "120"}, 120),
        (429, -1015, "Too many new orders; current limit is 50 orders per 10 SECOND.", {}, 10),
    ],
)
def test_too_much_is_told_with_its_pause(status, code, words, headers, seconds):
    """
    429 and 418 are REJECTED, say how long to wait, and pause the whole window: nothing more is sent.
    """

    async def story():
        async with trading(poll_interval=60.0) as (venue, broker):
            venue.fail(PLACE, status=status, code=code, msg=words, headers=headers)
            with pytest.raises(RateLimited) as caught:
                await broker.place_order(limit())
            assert (caught.value.outcome, caught.value.retry_after) == ("REJECTED", seconds)
            with pytest.raises(RateLimited) as caught:
                await broker.place_order(limit(), deadline=1.0)
            assert caught.value.outcome == "NOT_SENT"
            assert venue.count(PLACE) == 1

    asyncio.run(story())


def test_the_venue_counts_and_says_so():
    """
    The exchange's own limit on orders is met as the error it documents.
    """

    async def story():
        async with trading(SpotExchange(order_limit=1), poll_interval=60.0) as (_, broker):
            await broker.place_order(limit())
            with pytest.raises(RateLimited, match="1 orders per 10 SECOND") as caught:
                await broker.place_order(limit())
            assert caught.value.retry_after == 10

    asyncio.run(story())


def test_without_a_connection_nothing_was_sent():
    """
    The venue's port is closed: that is NOT_SENT, not UNKNOWN.
    """

    async def story():
        async with trading(poll_interval=60.0) as (venue, broker):
            await venue.stop()
            with pytest.raises(BrokerUnavailable) as caught:
                await broker._place((await held(broker)).order)
            assert caught.value.outcome == "NOT_SENT"
            assert "signature" not in f"{caught.value} {caught.value.__cause__}"
            await venue.start()

    async def held(broker):
        from hotplug.brokers._settings import OPERATOR

        return broker.book.hold(limit(), "default", OPERATOR.attribution)

    asyncio.run(story())


# -- duplicates ----------------------------------------------------------------------------------------


def standing(venue: SpotExchange, request, **changes: str) -> int:
    """The order of *request*, placed at the venue by who knows whom."""
    terms = {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "quantity": str(request.qty),
    }
    terms |= {"price": str(request.price), "newClientOrderId": request.client_order_id}
    return venue.market.place({**terms, **changes}).id


def test_a_duplicate_that_is_the_same_order_is_ours():
    """
    The venue has this id already, with the same terms: the order is there, so it was accepted.
    """

    async def story():
        async with trading() as (venue, broker):
            request = limit()
            order_id = standing(venue, request)
            ack = await broker.place_order(request)
            assert (ack.order_id, ack.status) == (str(order_id), OrderStatus.NEW)
            assert len(venue.market.orders) == 1

    asyncio.run(story())


def test_a_duplicate_with_other_terms_is_refused():
    """
    The venue has this id for another order: ours was refused, and theirs is left alone.
    """

    async def story():
        async with trading() as (venue, broker):
            request = limit()
            standing(venue, request, quantity="3")
            with pytest.raises(DuplicateClientOrderId) as caught:
                await broker.place_order(request)
            assert (caught.value.outcome, caught.value.venue_code) == ("REJECTED", "-2010")
            assert len(venue.market.orders) == 1

    asyncio.run(story())


def test_a_duplicate_that_cannot_be_seen_is_unknown():
    """
    The venue says duplicate, and does not show the order: nobody knows, until it does.
    """

    async def story():
        async with trading() as (venue, broker):
            told = Told(broker)
            request = limit()
            order_id = standing(venue, request)
            venue.fail("GET /api/v3/order", times=2)
            with pytest.raises(DuplicateClientOrderId) as caught:
                await broker.place_order(request)
            assert caught.value.outcome == "UNKNOWN"
            assert (await told.order("NEW")).order_id == str(order_id)

    asyncio.run(story())


# -- cancels, queries, restarts ------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("then", ["lose", "hang", "cut"])
def test_a_lost_cancel_is_asked_again(when, then):
    """
    Whether the cancel arrived or not: it is asked again, and the order ends cancelled.
    """

    async def story():
        async with trading(timeout=0.2, poll_interval=60.0) as (venue, broker):
            ack = await broker.place_order(limit())
            venue.fail("DELETE /api/v3/order", when=when, then=then)
            order = await broker.cancel_order(OrderRef(client_order_id=ack.client_order_id))
            assert order.status is OrderStatus.CANCELED
            assert venue.order(ack.client_order_id).status == "CANCELED"

    asyncio.run(story())


def test_an_unknown_order_is_cancelled_by_our_id():
    """
    An order whose answer was lost has no venue id yet: it is cancelled by ours.
    """

    async def story():
        async with trading(poll_interval=60.0) as (venue, broker):
            venue.fail(PLACE, when="after", then="lose")
            venue.fail("GET /api/v3/order", times=1)
            request = limit()
            with pytest.raises(BrokerUnavailable):
                await broker.place_order(request)
            await broker._cancel(next(broker.book.open()).order)
            assert venue.order(request.client_order_id).status == "CANCELED"

    asyncio.run(story())


def test_a_restart_finds_what_became_of_an_order(tmp_path):
    """
    The process ends between intent and answer: the next one, on that journal, finds the order and its fill.
    """

    async def story():
        async with SpotExchange() as venue:
            venue.quote("BTCUSDT", "99", "101")
            first = make_broker(venue, poll_interval=60.0)
            journal = FileJournal(tmp_path / "main.jsonl")
            first.attach(Book("main", journal=journal))
            await first.connect(SOON)
            venue.fail(PLACE, when="after", then="hang")
            venue.fail("GET /api/v3/order", times=100)
            request = limit()
            with pytest.raises(BrokerError):
                await first.place_order(request, deadline=0.1)
            await first.disconnect(drain=False)
            journal.close()
            venue.faults.clear()
            venue.fill(request.client_order_id, "0.2")

            second = make_broker(venue)
            journal = FileJournal(tmp_path / "main.jsonl")
            second.attach(Book("main", journal=journal))
            await second.connect(SOON)
            [order] = await second.get_open_orders()
            fills = await second.get_fills()
            await second.disconnect()
            journal.close()
            assert (order.client_order_id, order.status) == (
                request.client_order_id,
                OrderStatus.PARTIALLY_FILLED,
            )
            assert [str(fill.qty) for fill in fills] == ["0.20000000"]
            assert venue.count(PLACE) == 1

    asyncio.run(story())


def test_an_answer_that_comes_in_pieces_of_time_is_no_error():
    """
    A slow venue is slow, not lost: within the timeout the order is accepted.
    """

    async def story():
        async with trading(timeout=5.0, poll_interval=60.0) as (venue, broker):
            venue.fail(PLACE, when="before", then="answer", status=400, code=-1013, msg="late", delay=0.05)
            with pytest.raises(InvalidRequest, match="late"):
                await broker.place_order(limit())

    asyncio.run(story())


def test_a_get_over_a_stale_line_is_sent_again():
    """
    A query that meets a line which the venue had closed is asked once more; an order never is.
    """

    async def story():
        async with trading(poll_interval=60.0) as (venue, broker):
            before = venue.count("GET /api/v3/account")
            venue.fail("GET /api/v3/account", then="lose")
            assert await broker.get_balances()
            assert venue.count("GET /api/v3/account") == before + 2

    asyncio.run(story())
