"""Trading on the loopback exchange: ccxt's own code, our gateway, real sockets."""

from __future__ import annotations

import asyncio
import decimal
import gc
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from ccxt_world import BTC, PLACE, SOON, Told, limit, make_broker, market, trading
from spot_exchange import SpotExchange

from hotplug.errors import AuthenticationError, InvalidRequest, NotSupported, OrderDenied, OrderNotFound
from hotplug.market import (
    Balance,
    Capability,
    Environment,
    GatewayStatus,
    Liquidity,
    OrderRef,
    OrderStatus,
    OrderType,
    Origin,
    Side,
    TimeInForce,
)
from hotplug_broker_ccxt import CcxtBroker

# -- what it says of itself ----------------------------------------------------------------------------


def test_it_says_what_the_exchange_can_do():
    """
    Connected, the capabilities, order types and times in force are those of the exchange.
    """

    async def story():
        async with trading() as (_, broker):
            assert broker.info.status is GatewayStatus.READY
            assert broker.capabilities == {
                Capability.STREAM,
                Capability.INSTRUMENTS,
                Capability.QUOTES,
                Capability.BARS,
            }
            assert broker.order_types == frozenset(OrderType)
            assert TimeInForce.GTD not in broker.tifs

    asyncio.run(story())


@pytest.mark.parametrize(
    ("sandbox", "url", "environment"),
    [
        (False, None, Environment.LIVE),
        (True, None, Environment.SANDBOX),
        (True, "http://127.0.0.1:1", Environment.SANDBOX),
        (True, "http://localhost:1", Environment.SANDBOX),
        (True, "https://api.example.com", Environment.LIVE),
        (False, "http://127.0.0.1:1", Environment.LIVE),
    ],
)
def test_it_is_live_unless_it_is_a_sandbox(sandbox, url, environment):
    """
    Only the exchange's own sandbox is one; an address somewhere else may be anything, so it is live.
    """
    assert CcxtBroker(exchange="kraken", sandbox=sandbox, url=url).environment is environment


def test_it_refuses_an_unknown_exchange():
    """
    An exchange that ccxt does not know is refused when the broker is made, with a close match.
    """
    with pytest.raises(ValueError, match="did you mean 'binance'"):
        CcxtBroker(exchange="binanec")


@pytest.mark.parametrize("wrong", [{"poll_interval": 0.0}, {"timeout": -1.0}])
def test_it_refuses_times_that_are_none(wrong):
    """
    Seconds are more than 0.
    """
    with pytest.raises(ValueError, match="seconds"):
        CcxtBroker(exchange="binance", **wrong)


def test_a_live_one_sends_nothing_without_permission():
    """
    Without allow_live the gateway connects and reads, and no order leaves.
    """

    async def story():
        async with trading(sandbox=False) as (venue, broker):
            with pytest.raises(Exception, match="read-only"):
                await broker.place_order(limit())
            assert venue.count(PLACE) == 0
            assert await broker.get_balances()

    asyncio.run(story())


# -- orders --------------------------------------------------------------------------------------------


def test_an_order_arrives_as_it_was_asked_for():
    """
    Quantity, price and client id stand in the signed request exactly, once.
    """

    async def story():
        async with trading() as (venue, broker):
            ack = await broker.place_order(limit("0.12345", "90.1"))
            [seen] = [each for each in venue.received if each.call == PLACE]
            assert seen.params["quantity"] == "0.12345"
            assert seen.params["price"] == "90.1"
            assert seen.params["newClientOrderId"] == ack.client_order_id
            assert ack.status is OrderStatus.NEW
            assert venue.order(ack.client_order_id).id == int(ack.order_id)

    asyncio.run(story())


def test_fills_are_told_exactly():
    """
    A fill comes with its figures as the venue wrote them, and the order follows it.
    """

    async def story():
        async with trading() as (venue, broker):
            told = Told(broker)
            ack = await broker.place_order(limit())
            venue.fill(ack.client_order_id, "0.12345")
            fill = await told.fill()
            assert (fill.qty, fill.price) == (Decimal("0.12345"), Decimal("90.25"))
            assert (fill.fee, fill.fee_currency) == (Decimal("0.00012345"), "BTC")
            assert fill.liquidity is Liquidity.MAKER
            assert fill.client_order_id == ack.client_order_id
            venue.fill(ack.client_order_id)
            order = await told.order("FILLED")
            assert order.filled_qty == Decimal("0.5")
            await told.fill()
            [position] = await broker.get_positions()
            assert position.qty == Decimal("0.5")

    asyncio.run(story())


def test_a_market_order_is_filled_when_it_is_accepted():
    """
    What the answer says of fills is told at once, and the trades follow.
    """

    async def story():
        async with trading() as (_, broker):
            told = Told(broker)
            ack = await broker.place_order(market("2"))
            assert ack.status is OrderStatus.FILLED
            fill = await told.fill()
            assert (fill.qty, fill.price, fill.liquidity) == (2, 101, Liquidity.TAKER)
            order = await broker.get_order(OrderRef(client_order_id=ack.client_order_id))
            assert (order.price, order.avg_price) == (None, 101)

    asyncio.run(story())


def test_what_is_left_of_an_immediate_order_expires():
    """
    An IOC order that finds only a part of what it wants ends with that part.
    """

    async def story():
        async with trading() as (venue, broker):
            venue.quote("BTCUSDT", "99", "101", ask_size="0.2")
            told = Told(broker)
            await broker.place_order(limit("0.5", "105", tif=TimeInForce.IOC))
            order = await told.order("EXPIRED")
            assert order.filled_qty == Decimal("0.2")
            assert (await told.fill()).qty == Decimal("0.2")

    asyncio.run(story())


def test_a_stop_order_waits_for_its_price():
    """
    A stop-limit order carries both prices, and trades when its stop is reached.
    """

    async def story():
        async with trading() as (venue, broker):
            told = Told(broker)
            request = limit("1", "110", type=OrderType.STOP_LIMIT, stop_price=Decimal(105))
            ack = await broker.place_order(request)
            placed = venue.order(ack.client_order_id)
            assert (placed.type, placed.stop_price, placed.price) == ("STOP_LOSS_LIMIT", 105, 110)
            [order] = await broker.get_open_orders()
            assert (order.type, order.stop_price) == (OrderType.STOP_LIMIT, 105)
            venue.quote("BTCUSDT", "105", "106")
            assert (await told.order("FILLED")).avg_price == 106

    asyncio.run(story())


def test_a_plain_stop_sells_at_the_market():
    """
    A stop without a limit has one price, the one that sets it off.
    """

    async def story():
        async with trading() as (venue, broker):
            told = Told(broker)
            request = market(
                "1", side=Side.SELL, type=OrderType.STOP, stop_price=Decimal(95), tif=TimeInForce.GTC
            )
            ack = await broker.place_order(request)
            assert venue.order(ack.client_order_id).type == "STOP_LOSS"
            venue.quote("BTCUSDT", "94", "95")
            assert (await told.order("FILLED")).avg_price == 94

    asyncio.run(story())


def test_a_cancelled_order_is_cancelled():
    """
    The answer to a cancel says how the order ended; nothing more is asked.
    """

    async def story():
        async with trading(poll_interval=60.0) as (venue, broker):
            ack = await broker.place_order(limit())
            venue.fill(ack.client_order_id, "0.2")
            order = await broker.cancel_order(OrderRef(client_order_id=ack.client_order_id))
            assert (order.status, order.filled_qty) == (OrderStatus.CANCELED, Decimal("0.2"))
            assert venue.order(ack.client_order_id).status == "CANCELED"
            assert venue.count("GET /api/v3/order") == 0

    asyncio.run(story())


def test_filled_first_is_a_result():
    """
    A cancel that comes after the fill gives the filled order.
    """

    async def story():
        async with trading(poll_interval=60.0) as (venue, broker):
            ack = await broker.place_order(limit())
            venue.fill(ack.client_order_id)
            order = await broker.cancel_order(OrderRef(client_order_id=ack.client_order_id))
            assert order.status is OrderStatus.FILLED

    asyncio.run(story())


def test_what_somebody_else_cancels_is_told():
    """
    An order that vanishes from the open ones is asked for, and its end is told.
    """

    async def story():
        async with trading() as (venue, broker):
            told = Told(broker)
            ack = await broker.place_order(limit())
            count = len(venue.received)
            await venue.until(
                lambda: venue.count("GET /api/v3/openOrders") > 2 and len(venue.received) > count + 4
            )
            venue.market.cancel({"symbol": "BTCUSDT", "orderId": ack.order_id})
            assert (await told.order("CANCELED")).client_order_id == ack.client_order_id

    asyncio.run(story())


@pytest.mark.parametrize(
    ("request_", "error", "words"),
    [
        (limit(tif=TimeInForce.DAY), NotSupported, "DAY"),
        (market(tif=TimeInForce.FOK), NotSupported, "FOK"),
        (market(reduce_only=True), NotSupported, "reduce_only"),
        (market(type=OrderType.STOP, stop_price=Decimal(95), tif=TimeInForce.IOC), NotSupported, "IOC"),
        (market(account="other"), OrderDenied, "account"),
        (limit("0.123456"), OrderDenied, "lot"),
        (limit(price="90.251"), OrderDenied, "tick"),
        (market(symbol="BTC/EUR"), InvalidRequest, "lists no"),
        (limit(client_order_id="a b"), OrderDenied, "takes no"),
        (limit(client_order_id="a" * 37), OrderDenied, "36"),
    ],
)
def test_what_the_venue_has_no_word_for_is_not_sent(request_, error, words):
    """
    Terms that the venue would change, or cannot express, are refused here; nothing leaves.
    """

    async def story():
        async with trading() as (venue, broker):
            with pytest.raises(error, match=words) as caught:
                await broker.place_order(request_)
            assert caught.value.outcome == "NOT_SENT"
            assert venue.count(PLACE) == 0

    asyncio.run(story())


def test_changing_an_order_is_not_emulated():
    """
    The spot venue only cancels and replaces, which is no change in place: not supported.
    """

    async def story():
        from hotplug.market import OrderChange

        async with trading() as (_, broker):
            ack = await broker.place_order(limit())
            with pytest.raises(NotSupported):
                await broker.modify_order(
                    OrderRef(client_order_id=ack.client_order_id), OrderChange(price=Decimal(91))
                )

    asyncio.run(story())


# -- how everything stands -----------------------------------------------------------------------------


def test_orders_of_others_are_adopted():
    """
    An order that was placed elsewhere is open here too, as EXTERNAL, and can be asked for and cancelled.
    """

    async def story():
        venue = SpotExchange()
        order = venue.market.place(
            {
                "symbol": "ETHUSDT",
                "side": "SELL",
                "type": "LIMIT",
                "timeInForce": "GTC",
                "quantity": "1",
                "price": "5000",
            }
        )
        async with trading(venue) as (_, broker):
            [found] = await broker.get_open_orders()
            assert (found.origin, found.symbol, found.order_id) == (
                Origin.EXTERNAL,
                "ETH/USDT",
                str(order.id),
            )
            cancelled = await broker.cancel_order(OrderRef(order_id=str(order.id)))
            assert cancelled.status is OrderStatus.CANCELED

    asyncio.run(story())


def test_an_unknown_order_is_not_found():
    """
    An id that nobody knows is `OrderNotFound`.
    """

    async def story():
        async with trading() as (_, broker):
            with pytest.raises(OrderNotFound):
                await broker.get_order(OrderRef(order_id="999"))

    asyncio.run(story())


def test_what_was_traded_while_away_is_made_up_for():
    """
    Disconnected, filled, connected again: the fill is there, once.
    """

    async def story():
        async with trading() as (venue, broker):
            ack = await broker.place_order(limit())
            await broker.disconnect()
            venue.fill(ack.client_order_id)
            await broker.connect(SOON)
            order = await broker.get_order(OrderRef(client_order_id=ack.client_order_id))
            fills = await broker.get_fills()
            assert (order.status, order.filled_qty) == (OrderStatus.FILLED, Decimal("0.5"))
            assert [fill.qty for fill in fills] == [Decimal("0.5")]
            assert venue.count("GET /api/v3/exchangeInfo") == 1

    asyncio.run(story())


def test_history_is_no_news():
    """
    What was traded before the first connect, by nobody we know, is not told.
    """

    async def story():
        venue = SpotExchange(skew=0)
        venue.quote("BTCUSDT", "99", "101")
        venue.market.place({"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "1"})
        for trade in venue.market.trades:
            trade.time -= 3_600_000
        async with trading(venue) as (_, broker):
            assert await broker.get_fills() == ()

    asyncio.run(story())


def test_balances_are_told_exactly():
    """
    What is free, locked and there in total is what the venue wrote; currencies without any are left out.
    """

    async def story():
        async with trading() as (_, broker):
            await broker.place_order(limit("0.5", "90.25"))
            balances = {balance.currency: balance for balance in await broker.get_balances()}
            assert balances["USDT"] == Balance(
                account="default",
                currency="USDT",
                total=Decimal(1_000_000),
                available=Decimal("999954.875"),
                locked=Decimal("45.125"),
            )
            assert "BNB" not in balances

    asyncio.run(story())


# -- the market ----------------------------------------------------------------------------------------


def test_the_market_is_told():
    """
    Instruments, quotes and bars have the venue's figures.
    """

    async def story():
        async with trading() as (venue, broker):
            instrument = await broker.get_instrument("SHIB/USDT")
            assert (instrument.tick_size, instrument.lot_size) == (Decimal("0.00000001"), 1)
            assert (instrument.min_notional, instrument.currency) == (1, "USDT")
            venue.quote("BTCUSDT", "99.01", "101.99", bid_size="0.5")
            quote = await broker.get_quote(BTC)
            assert (quote.bid, quote.bid_size, quote.ask) == (
                Decimal("99.01"),
                Decimal("0.5"),
                Decimal("101.99"),
            )
            assert (await broker.get_quote("ETH/BTC")).bid is None

    asyncio.run(story())


def test_bars_are_fetched_page_by_page():
    """
    A long time of bars is whole, without doubles, and ends before its end.
    """

    async def story():
        async with trading() as (venue, broker):
            end = datetime.now(UTC).replace(second=0, microsecond=0)
            start = end - timedelta(minutes=1500)
            bars = await broker.get_bars(BTC, start, end, timedelta(minutes=1))
            assert [bar.time for bar in bars] == [start + timedelta(minutes=each) for each in range(1500)]
            assert bars[0].volume == Decimal("12.34567891")
            assert venue.count("GET /api/v3/klines") == 2
            with pytest.raises(NotSupported, match="1m"):
                await broker.get_bars(BTC, start, end, timedelta(seconds=17))

    asyncio.run(story())


def test_quotes_stream():
    """
    Who streams a symbol gets its quote, and the next one when that changes.
    """

    async def story():
        async with trading() as (venue, broker):
            stream = broker.stream_quotes([BTC])
            async with asyncio.timeout(SOON):
                async for quote in stream:
                    if quote.bid == 99:
                        venue.quote("BTCUSDT", "98", "101")
                    if quote.bid == 98:
                        break

    asyncio.run(story())


# -- the line ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [{"api_key": "other"}, {"secret": "other"}, {"api_key": ""}])
def test_wrong_credentials_fail_the_connect(wrong):
    """
    Credentials that are missing or wrong are an `AuthenticationError`, and the gateway is FAILED.
    """

    async def story():
        async with SpotExchange() as venue:
            broker = make_broker(venue, **wrong)
            with pytest.raises(AuthenticationError):
                await broker.connect(SOON)
            assert broker.info.status is GatewayStatus.FAILED
            await broker.disconnect()

    asyncio.run(story())


def test_a_wrong_clock_is_named():
    """
    With a clock far from the venue's the connect fails, and the error says why.
    """

    async def story():
        async with SpotExchange(skew=60_000) as venue:
            broker = make_broker(venue)
            with pytest.raises(InvalidRequest, match="recvWindow") as caught:
                await broker.connect(SOON)
            assert (caught.value.outcome, caught.value.venue_code) == ("REJECTED", "-1021")
            await broker.disconnect()

    asyncio.run(story())


def test_a_clock_that_is_somewhat_off_degrades():
    """
    Two seconds of difference are noticed, and said.
    """

    async def story():
        async with trading(SpotExchange(skew=2_000)) as (_, broker):
            told = Told(broker)
            await told.until(lambda payload: getattr(payload, "reason", None) == "clock_skew")
            assert broker.info.status is GatewayStatus.DEGRADED

    asyncio.run(story())


def test_it_finds_the_venue_again():
    """
    The venue goes and comes back at its address: the gateway reconnects by itself.
    """

    async def story():
        async with trading() as (venue, broker):
            told = Told(broker)
            port = int(venue.url.rpartition(":")[2])
            await venue.stop()
            await told.until(lambda payload: getattr(payload, "new", None) == GatewayStatus.RECONNECTING)
            await venue.start(port)
            await told.until(lambda payload: getattr(payload, "new", None) == GatewayStatus.READY)
            assert (await broker.place_order(limit())).status is OrderStatus.NEW

    asyncio.run(story())


def test_a_broker_outlives_its_loop():
    """
    The same broker connects again on another event loop; nothing of the first is left.
    """
    venue = SpotExchange()

    async def story():
        async with venue:
            venue.quote("BTCUSDT", "99", "101")
            broker = brokers[0] if brokers else make_broker(venue)
            brokers[:] = [broker]
            await broker.connect(SOON)
            await broker.place_order(limit())
            await broker.disconnect()
            assert not [task for task in asyncio.all_tasks() if "ccxt" in task.get_name()]
            return int(venue.url.rpartition(":")[2])

    brokers: list[CcxtBroker] = []
    port = asyncio.run(story())
    venue.start = lambda start=venue.start: start(port)
    asyncio.run(story())
    gc.collect()  # what was left open would warn now, and warnings are errors

    assert len(venue.market.orders) == 2


def test_the_limits_are_those_of_the_venue():
    """
    What the gateway says is used of its windows is never less than what the venue counts.
    """

    async def story():
        async with trading() as (venue, broker):
            for _ in range(5):
                await broker.place_order(limit())
            await venue.until(lambda: venue.count("GET /api/v3/time") > 3)
            limits = {each.name: each for each in await broker.rate_limits()}
            assert limits["orders"].used == 5
            assert limits["weight"].limit == 6000
            assert limits["weight"].used >= venue.weight()

    asyncio.run(story())


def test_foreign_use_of_a_limit_counts():
    """
    What others used of the limit, as the header says, is used for us too.
    """

    async def story():
        async with SpotExchange() as venue:
            venue._weight[venue.now() // 60_000] += 3000
            broker = make_broker(venue)
            await broker.connect(SOON)
            used = {each.name: each.used for each in await broker.rate_limits()}["weight"]
            await broker.disconnect()
            assert used >= 3000

    asyncio.run(story())


def test_the_decimal_context_is_left_alone():
    """
    ccxt sets rounding and traps of the context that it finds; ours stays as it was.
    """

    async def story():
        async with trading() as (_, broker):
            await broker.place_order(limit())
            context = decimal.getcontext()
            assert context.rounding == before.rounding
            assert not context.traps[decimal.Underflow]

    before = decimal.getcontext().copy()
    asyncio.run(story())
    assert decimal.getcontext().traps == before.traps
