"""Nothing is bound to one exchange: another dialect over the wire, and others as they describe themselves."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest
from ccxt_world import BTC, SOON, Told, limit, market
from okx_desk import OkxDesk

from hotplug.errors import DuplicateClientOrderId, InsufficientFunds, OrderDenied, OrderNotFound
from hotplug.market import Capability, OrderChange, OrderRef, OrderStatus, OrderType, TimeInForce
from hotplug_broker_ccxt import CcxtBroker
from hotplug_broker_ccxt._session import Account, Session, _prepared

SWAP = "BTC/USDT:USDT"
PLACE = "POST /api/v5/trade/batch-orders"


@asynccontextmanager
async def at_the_desk(**settings):
    given = {
        "api_key": "key",
        "secret": "secret",
        "password": "words",
        "sandbox": True,
        "symbols": (BTC,),
        "poll_interval": 0.02,
        "options": {"fetchMarkets": {"types": ["spot"]}},
    }
    async with OkxDesk() as desk:
        broker = CcxtBroker(exchange="okx", url=desk.url, **{**given, **settings})
        await broker.connect(SOON)
        try:
            yield desk, broker
        finally:
            await broker.disconnect()


def test_an_order_lives_at_another_exchange():
    """
    Placed, changed in place and cancelled: the figures stand in the JSON bodies as they were asked for.
    """

    async def story():
        async with at_the_desk() as (desk, broker):
            assert Capability.MODIFY in broker.capabilities
            ack = await broker.place_order(limit("0.12345678", "90.1"))
            [placed] = [each for each in desk.received if each.call == PLACE]
            assert (placed.params["sz"], placed.params["px"]) == ("0.12345678", "90.1")
            assert placed.params["clOrdId"] == ack.client_order_id
            ref = OrderRef(client_order_id=ack.client_order_id)
            changed = await broker.modify_order(ref, OrderChange(qty=Decimal("0.2"), price=Decimal("90.2")))
            assert (changed.qty, changed.price, changed.version) == (Decimal("0.2"), Decimal("90.2"), 2)
            assert desk.orders[ack.order_id]["sz"] == "0.2"
            assert (await broker.cancel_order(ref)).status is OrderStatus.CANCELED
            assert not desk.orders

    asyncio.run(story())


def test_a_lost_answer_is_found_at_another_exchange():
    """
    The desk took the order and did not answer: it is found by the client id, and not sent again.
    """

    async def story():
        async with at_the_desk(poll_interval=60.0, timeout=0.2) as (desk, broker):
            told = Told(broker)
            desk.fail(PLACE, when="after", then="lose")
            request = limit(price="90.2")
            with pytest.raises(Exception, match="okx") as caught:
                await broker.place_order(request)
            assert caught.value.outcome == "UNKNOWN"
            await told.order("NEW")
            ack = await broker.place_order(request)
            assert ack.status is OrderStatus.NEW
            assert desk.count(PLACE) == 1

    asyncio.run(story())


def test_refusals_of_another_exchange():
    """
    The code and the words come from inside the answer, whose outer code says nothing.
    """

    async def story():
        async with at_the_desk() as (_, broker):
            with pytest.raises(InsufficientFunds, match="Insufficient USDT") as caught:
                await broker.place_order(limit("101", "90.2"))
            assert (caught.value.outcome, caught.value.venue_code) == ("REJECTED", "51008")
            with pytest.raises(OrderNotFound):
                await broker.get_order(OrderRef(order_id="7"))

    asyncio.run(story())


def test_a_duplicate_at_another_exchange():
    """
    Code 51016 is a duplicate: with other terms it is refused.
    """

    async def story():
        async with at_the_desk() as (desk, broker):
            request = limit(price="90.2")
            desk._place(
                {
                    "instId": "BTC-USDT",
                    "clOrdId": request.client_order_id,
                    "sz": "7",
                    "px": "1",
                    "ordType": "limit",
                    "side": "sell",
                }
            )
            with pytest.raises(DuplicateClientOrderId) as caught:
                await broker.place_order(request)
            assert (caught.value.outcome, caught.value.venue_code) == ("REJECTED", "51016")

    asyncio.run(story())


def test_figures_that_no_float_holds():
    """
    Balances keep every digit that the venue wrote.
    """

    async def story():
        async with at_the_desk() as (_, broker):
            balances = {each.currency: each.total for each in await broker.get_balances()}
            assert balances["USDT"] == Decimal("4992.890093622894")
            assert balances["BTC"] == Decimal("0.100000000000000001")

    asyncio.run(story())


def test_wrong_ids_are_refused_here():
    """
    OKX takes letters and digits, 32 of them: a UUID with hyphens is denied, and not shortened.
    """

    async def story():
        async with at_the_desk() as (desk, broker):
            with pytest.raises(OrderDenied):
                await broker.place_order(limit(client_order_id="3ec347f7-3c24-4bbb-9e74-75103aa7fc6a"))
            assert desk.count(PLACE) == 0

    asyncio.run(story())


@pytest.mark.parametrize("exchange", ["kraken", "bybit", "deribit", "coinbase"])
def test_others_describe_themselves(exchange):
    """
    Without any network: an exchange loads, and says which orders it takes and what else it can do.
    """

    async def story():
        broker = CcxtBroker(exchange=exchange)
        account = Account(
            exchange=exchange,
            credentials={},
            sandbox=False,
            market_type="spot",
            timeout=1.0,
            url=None,
            options={},
        )
        session = Session.made(*_prepared(exchange), account, broker.report)
        try:
            broker._learn(session)
        finally:
            session.exchange.timeout_on_exit = 0  # ccxt's time for lines to end: there was none
            await session.close()
        assert {Capability.STREAM, Capability.INSTRUMENTS, Capability.BARS} <= broker.capabilities
        assert {OrderType.MARKET, OrderType.LIMIT} <= broker.order_types
        assert {TimeInForce.GTC, TimeInForce.IOC} <= broker.tifs
        assert (Capability.MODIFY in broker.capabilities) is (exchange in {"bybit", "deribit"})
        [window] = broker.rate_windows
        assert window.limit / window.window == pytest.approx(1000 / session.exchange.rateLimit)

    asyncio.run(story())


def test_a_market_order_at_another_exchange():
    """
    A market order says its size in the base currency, as it was asked for.
    """

    async def story():
        async with at_the_desk() as (desk, broker):
            await broker.place_order(market("0.5"))
            [placed] = [each for each in desk.received if each.call == PLACE]
            assert (placed.params["sz"], placed.params["tgtCcy"]) == ("0.5", "base_ccy")

    asyncio.run(story())


def test_contracts_have_positions():
    """
    On a market of contracts the venue's positions are told, and an order may only reduce them.
    """

    async def story():
        settings = {"market_type": "swap", "symbols": (SWAP,), "poll_interval": 60.0}
        options = {"fetchMarkets": {"types": ["swap"]}}
        async with at_the_desk(**settings, options=options) as (desk, broker):
            [position] = await broker.get_positions()
            assert (position.symbol, position.qty, position.avg_price) == (SWAP, -3, Decimal("65000.1"))
            instrument = await broker.get_instrument(SWAP)
            assert (instrument.multiplier, instrument.lot_size) == (Decimal("0.01"), Decimal("0.1"))
            await broker.place_order(limit("1.5", "90.1", symbol=SWAP, reduce_only=True))
            [placed] = [each for each in desk.received if each.call == PLACE]
            assert (placed.params["sz"], placed.params["reduceOnly"]) == ("1.5", True)

    asyncio.run(story())


def test_limits_in_the_usual_headers():
    """
    What x-ratelimit headers say of a venue's limit is taken over.
    """

    async def story():
        async with at_the_desk(poll_interval=60.0) as (desk, broker):
            desk.headers = {"X-RateLimit-Limit": "100", "X-RateLimit-Remaining": "1"}
            await broker.get_balances()
            [limit_] = await broker.rate_limits()
            assert (limit_.name, limit_.limit) == ("requests", 100)
            assert limit_.used >= 99

    asyncio.run(story())
