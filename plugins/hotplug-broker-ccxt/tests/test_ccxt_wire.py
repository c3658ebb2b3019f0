"""What goes over the wire is what was asked for, to the last digit, or nothing goes."""

from __future__ import annotations

import asyncio
import base64
import json
from decimal import Decimal

import pytest
from ccxt_world import BTC, PLACE, make_broker
from hypothesis import given, settings
from hypothesis import strategies as some
from spot_exchange import SpotExchange

from hotplug.errors import BrokerError, BrokerUnavailable, OrderDenied
from hotplug.market import Order, OrderStatus, OrderType, Side, TimeInForce
from hotplug_broker_ccxt._wire import Letter, Terms, exact_json

TERMS = Terms(qty=Decimal("0.5"), price=Decimal(100), client_id="mine")
FORM = "symbol=A&quantity=0.50&price=100.0&newClientOrderId=mine"


def sent(body, terms=TERMS, url="http://venue/order", headers=None, method="POST"):
    letter = Letter(terms=terms)
    letter.send(url, method, headers, body)
    return letter


@pytest.mark.parametrize(
    "body",
    [
        FORM,
        json.dumps({"sz": "0.5", "px": "100", "clOrdId": "mine"}),
        json.dumps({"amount": -0.5, "price": 100, "cid": "mine"}),
        json.dumps([{"order": {"size": "0.5", "limit_price": "1E+2"}, "client_order_id": "mine"}]),
        {"volume": "0.5", "price": "100", "cl_ord_id": "mine"},
        {"order": [{"qty": "0.5", "price": "100", "id": "mine", "reduce": False, "note": None}]},
    ],
)
def test_the_same_is_sent(body):
    """
    However a venue wants it written, an order that says what was asked for goes out.
    """
    letter = sent(body)

    assert (letter.is_sent, letter.method, letter.path) == (True, "POST", "/order")


def test_a_query_and_a_coded_header_are_read_too():
    """
    Some venues take the order in the address, some in a header.
    """
    coded = base64.b64encode(json.dumps({"amount": "0.5", "price": "100", "id": "mine"}).encode()).decode()

    assert sent(None, url=f"http://venue/order?{FORM}").is_sent
    assert sent("", headers={"X-PAYLOAD": coded, "X-KEY": "not coded at all!"}).is_sent


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (FORM.replace("0.50", "0.4999"), "qty 0.5 would be sent as 0.4999"),
        (FORM.replace("100.0", "100.01"), "price 100 would be sent as 100.01"),
        (FORM.replace("mine", "yours"), "client order id"),
        ("symbol=A&cost=50&cid=mine", "qty 0.5 does not stand in the request"),
        ("{broken", "does not stand"),
        (FORM + "&size=1", "qty 0.5 would be sent as 1"),
        ("quantity=0.5&price=NaN&id=mine", "price 100 does not stand"),
    ],
)
def test_anything_else_is_not(body, words):
    """
    What was altered, left out or cannot be read is denied, and nothing was sent.
    """
    with pytest.raises(OrderDenied, match=words) as caught:
        sent(body)

    assert (caught.value.outcome, caught.value.code) == ("NOT_SENT", "altered")


def test_the_trigger_is_looked_at():
    """
    A stop price counts as a price does.
    """
    terms = Terms(stop_price=Decimal(7))

    assert sent("stopPrice=7.0", terms).is_sent
    with pytest.raises(OrderDenied, match="stop_price 7 would be sent as 8"):
        sent("stopPrice=8", terms)


def test_what_is_no_order_is_not_looked_at():
    """
    Calls without terms, and what an order's call asks beforehand, go out as they are.
    """
    assert sent("anything", terms=None).is_sent
    assert sent(None, method="GET").is_sent
    with pytest.raises(OrderDenied):
        sent(None, method="GET", url="http://venue/order?quantity=1&id=mine")


def test_an_altered_order_that_was_never_sent_is_known_not_to_be():
    """
    The letter stays unsent, so whatever is raised says NOT_SENT.
    """
    letter = Letter(terms=TERMS)
    with pytest.raises(OrderDenied):
        letter.send("http://venue", "POST", None, "quantity=1")

    assert not letter.is_sent


@given(some.decimals(allow_nan=False, allow_infinity=False, places=20))
def test_json_numbers_lose_nothing(number):
    """
    A number in an answer keeps its digits, also where no float can hold it.
    """
    text = format(number, "f")
    [read] = exact_json(f"[{text}.0]" if "." not in text else f"[{text}]")

    assert Decimal(str(read)) == number


def test_json_numbers_stay_numbers_where_they_can():
    """
    What a float holds exactly stays one; ids stay whole numbers.
    """
    assert exact_json('{"a": 0.5, "b": 123456789012345678901, "c": 1e-7}') == {
        "a": 0.5,
        "b": 123456789012345678901,
        "c": 1e-07,
    }


# -- with ccxt between -----------------------------------------------------------------------------------


def order(qty: Decimal, price: Decimal) -> Order:
    return Order(
        symbol=BTC,
        side=Side.BUY,
        qty=qty,
        price=price,
        type=OrderType.LIMIT,
        tif=TimeInForce.GTC,
        status=OrderStatus.PENDING_NEW,
        client_order_id="mine",
    )


def test_every_quantity_arrives_exactly_or_not_at_all():
    """
    Any quantity and price, through ccxt's own rounding and signing: exactly as asked for, or denied unsent.
    """
    seen = {"exact": 0, "denied": 0}

    async def story():
        async with SpotExchange(order_limit=10**9, weight_limit=10**9) as venue:
            broker = make_broker(venue, poll_interval=60.0)
            await broker.connect()
            loop_runs = Runs(broker, venue, seen)
            await asyncio.to_thread(loop_runs.all, asyncio.get_running_loop())
            await broker.disconnect()

    asyncio.run(story())
    assert seen["exact"] > 5
    assert seen["denied"] > 5


class Runs:
    """Examples from a thread, each played on the broker's loop."""

    def __init__(self, broker, venue, seen) -> None:
        self._broker, self._venue, self._seen = broker, venue, seen

    def all(self, loop) -> None:
        figures = some.decimals(min_value="0.000001", max_value="5000", places=7) | some.decimals(
            min_value="0.01", max_value="5000", places=2
        )

        @settings(max_examples=60, deadline=None, database=None)
        @given(figures, figures)
        def play(qty, price):
            asyncio.run_coroutine_threadsafe(self._one(qty, price), loop).result(10)

        play()

    async def _one(self, qty: Decimal, price: Decimal) -> None:
        venue = self._venue
        venue.received.clear()
        venue.market.orders.clear()
        try:
            await self._broker._place(order(qty, price))
        except BrokerError as error:
            outcome = str(error.outcome)
        else:
            outcome = "accepted"
        if outcome == "NOT_SENT":
            assert venue.count(PLACE) == 0
            self._seen["denied"] += 1
            return
        assert outcome in {"REJECTED", "accepted"}
        [arrived] = [each for each in venue.received if each.call == PLACE]
        assert Decimal(arrived.params["quantity"]) == qty
        assert Decimal(arrived.params["price"]) == price
        self._seen["exact"] += 1


def test_a_page_is_no_answer():
    """
    A page that some proxy sends is not taken for "there are no orders".
    """

    async def story():
        async with SpotExchange() as venue:
            broker = make_broker(venue)
            venue.fail("GET /api/v3/openOrders", status=200, body="<html>welcome to the hotel</html>")
            with pytest.raises(BrokerUnavailable, match="a page"):
                await broker.connect()
            await broker.disconnect()

    asyncio.run(story())
