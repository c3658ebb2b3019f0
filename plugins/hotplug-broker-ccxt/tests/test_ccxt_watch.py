"""Asking for news: what is asked, what is put off, and what is never lost."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from ccxt_world import BTC, PLACE, SOON, Told, limit, make_broker, market, trading
from spot_exchange import SpotExchange

from hotplug.brokers import RateWindow
from hotplug.errors import BrokerError, BrokerUnavailable, GatewayNotReady, NotSupported
from hotplug.market import Gap, GatewayStatus, Order, OrderChange, OrderRef, OrderStatus, OrderType
from hotplug_broker_ccxt import CcxtBroker
from hotplug_broker_ccxt import _trades as trades_module
from hotplug_broker_ccxt._placing import change_of, order_of
from hotplug_broker_ccxt._session import Session
from hotplug_broker_ccxt._venues import Venue, venue_of


def opened(broker: CcxtBroker) -> Session:
    assert broker._session is not None
    return broker._session


def test_a_snapshot_that_failed_loses_no_fill():
    """
    The trades were fetched, then the balances failed: at the next attempt the fill is there.
    """

    async def story():
        async with SpotExchange() as venue:
            venue.quote("BTCUSDT", "99", "101")
            broker = make_broker(venue)
            await broker.connect(SOON)
            ack = await broker.place_order(limit())
            await broker.disconnect()
            venue.fill(ack.client_order_id)
            venue.fail("GET /api/v3/account", status=503)
            with pytest.raises(BrokerUnavailable):
                await broker.connect(SOON)
            await broker.connect(SOON)
            assert [fill.qty for fill in await broker.get_fills()] == [Decimal("0.5")]
            await broker.disconnect()

    asyncio.run(story())


def test_trades_come_page_by_page(monkeypatch):
    """
    More trades than fit on a page are all told, once each.
    """

    async def story():
        async with trading(poll_interval=60.0) as (venue, broker):
            opened(broker).exchange.features["spot"]["fetchMyTrades"]["limit"] = 2
            for number in range(5):
                venue.market.place({"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.1"})
                venue.market.trades[-1].time += number
            shot = await broker._snapshot()
            assert len(shot.fills) == 5
            assert len({fill.trade_id for fill in shot.fills}) == 5

    asyncio.run(story())


def test_a_long_absence_is_asked_for_without_a_start():
    """
    Where the start is longer ago than venues answer from, the newest trades are asked for.
    """

    async def story():
        async with trading(poll_interval=60.0) as (venue, broker):
            broker._watch.trades._begun_at = datetime.now(UTC) - timedelta(days=2)
            venue.market.place({"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.1"})
            shot = await broker._snapshot()
            assert len(shot.fills) == 1
            assert "startTime" not in venue.received[-2].params

    asyncio.run(story())


def test_trades_that_cannot_be_asked_for_are_not_claimed():
    """
    Where the venue tells no trades, a snapshot says so instead of "none".
    """

    async def story():
        async with trading(poll_interval=60.0) as (_, broker):
            opened(broker).exchange.has["fetchMyTrades"] = False
            assert (await broker._snapshot()).fills is None

    asyncio.run(story())


def test_memory_is_bounded(monkeypatch):
    """
    What is remembered of trades is shortened; the book knows them all the same.
    """

    async def story():
        monkeypatch.setattr(trades_module, "REMEMBERED", 3)
        async with trading() as (_, broker):
            told = Told(broker)
            for _ in range(6):
                await broker.place_order(market("0.1"))
                await told.fill()
            assert len(broker._watch.trades._seen) <= 3
            assert len(await broker.get_fills()) == 6

    asyncio.run(story())


def test_what_has_no_room_is_put_off():
    """
    Trades that do not fit into the limits now are asked for when they do.
    """

    async def story():
        async with SpotExchange() as venue:
            venue.quote("BTCUSDT", "99", "101")
            broker = make_broker(venue)
            broker.rate_windows = (RateWindow("trades", 1, 0.3, weights={"positions": 1, "quote": 1}),)
            await broker.connect(SOON)
            broker._watch.quoted = frozenset({BTC})
            told = Told(broker)
            await broker.place_order(market("0.1"))
            await told.fill()
            await broker.place_order(market("0.2"))
            rounds = venue.count("GET /api/v3/time")
            await venue.until(lambda: venue.count("GET /api/v3/time") > rounds + 2)
            assert (await told.fill()).qty == Decimal("0.2")
            assert venue.count("GET /api/v3/time") > rounds + 2
            await broker.disconnect()

    asyncio.run(story())


def test_an_order_that_the_venue_denies_is_looked_into():
    """
    An order we held open is neither listed nor known any more: everything is reconciled, and it is UNKNOWN.
    """

    async def story():
        async with trading() as (venue, broker):
            told = Told(broker)
            ack = await broker.place_order(limit())
            held = next(broker.book.open())
            request = held.request
            object.__setattr__(held.order, "created_at", datetime.now(UTC) - timedelta(seconds=10))
            del venue.market.orders[int(ack.order_id)]
            assert (await told.order("UNKNOWN")).client_order_id == ack.client_order_id
            await broker.place_order(request)
            assert venue.count(PLACE) == 1

    asyncio.run(story())


def test_a_new_order_that_is_not_known_yet_is_left_alone():
    """
    Databases come after the engine: an order of a moment ago may be missing, and stays NEW.
    """

    async def story():
        async with trading() as (venue, broker):
            told = Told(broker)
            ack = await broker.place_order(limit())
            hidden = venue.market.orders.pop(int(ack.order_id))
            asked = venue.count("GET /api/v3/order")
            await venue.until(lambda: venue.count("GET /api/v3/order") > asked + 1)
            venue.market.orders[hidden.id] = hidden
            venue.fill(ack.client_order_id)
            await told.order("FILLED")
            statuses = [each.status for each in told.payloads if isinstance(each, Order)]
            assert OrderStatus.UNKNOWN not in statuses
            assert not any(isinstance(each, Gap) for each in told.payloads)

    asyncio.run(story())


# -- venues that tell less -----------------------------------------------------------------------------


def test_orders_are_searched_where_they_cannot_be_asked_for():
    """
    Where a venue knows no client ids in queries, an order is found in its lists, open or ended.
    """

    async def story():
        async with trading(poll_interval=60.0) as (venue, broker):
            opened(broker).venue = Venue()
            ack = await broker.place_order(limit())
            ref = OrderRef(client_order_id=ack.client_order_id)
            assert (await broker._query(ref)).order_id == ack.order_id
            venue.fill(ack.client_order_id)
            assert (await broker._query(ref)).status is OrderStatus.FILLED
            opened(broker).exchange.has["fetchOrder"] = False
            by_id = OrderRef(client_order_id=ack.client_order_id, order_id=ack.order_id)
            assert (await broker._query(by_id)).status is OrderStatus.FILLED
            del venue.market.orders[int(ack.order_id)]
            with pytest.raises(BrokerError, match="there is no order"):
                await broker._query(ref)

    asyncio.run(story())


def test_a_cancel_finds_the_id_first():
    """
    The same for a cancel of an order whose id at the venue is not known.
    """

    async def story():
        async with trading(poll_interval=60.0) as (venue, broker):
            opened(broker).venue = Venue()
            request = limit()
            ack = await broker.place_order(request)
            order = next(broker.book.open()).order
            object.__setattr__(order, "order_id", None)
            await broker._cancel(order)
            assert venue.market.orders[int(ack.order_id)].status == "CANCELED"

    asyncio.run(story())


def test_open_orders_by_symbol_only():
    """
    A venue that lists open orders by symbol is asked for those that matter; without any, it tells nothing.
    """

    async def story():
        async with trading(poll_interval=60.0, symbols=()) as (venue, broker):
            session = opened(broker)
            session.exchange.features["spot"]["fetchOpenOrders"]["symbolRequired"] = True
            assert (await broker._snapshot()).orders is None
            await broker.place_order(limit())
            [order] = (await broker._snapshot()).orders
            assert order.symbol == BTC
            assert venue.received[-3].params["symbol"] == "BTCUSDT"

    asyncio.run(story())


def test_quotes_from_tickers():
    """
    Where best bids and asks cannot be asked for, a ticker tells them.
    """

    async def story():
        async with trading(poll_interval=60.0) as (venue, broker):
            opened(broker).exchange.has["fetchBidsAsks"] = None
            opened(broker).exchange.has["fetchTime"] = False
            assert (await broker.get_quote(BTC)).bid == 99
            assert venue.count("GET /api/v3/ticker/24hr") == 1
            assert await broker._ping() is None

    asyncio.run(story())


def test_no_bars_are_no_bars():
    """
    Where nothing was traded there are no bars, and the asking ends.
    """

    async def story():
        async with trading(poll_interval=60.0) as (_, broker):
            start = datetime.now(UTC) + timedelta(days=1)
            assert await broker.get_bars(BTC, start, start + timedelta(hours=1), timedelta(hours=1)) == ()

    asyncio.run(story())


def test_a_cancel_that_is_under_way_is_accepted():
    """
    A venue that says "the cancel is pending" has taken it; an answer that is no order says nothing more.
    """

    async def story():
        async with trading(poll_interval=60.0) as (venue, broker):
            exchange = opened(broker).exchange
            from ccxt.base.errors import CancelPending

            exchange.exceptions["exact"]["-9998"] = CancelPending
            await broker.place_order(limit())
            order = next(broker.book.open()).order
            venue.fail("DELETE /api/v3/order", status=400, code=-9998, msg="pending")
            await broker._cancel(order)

            async def nothing(*_):
                return None

            exchange.cancel_order = nothing
            await broker._cancel(order)
            assert next(broker.book.open()).order.status is OrderStatus.NEW

    asyncio.run(story())


def test_too_little_of_an_order_is_unavailable():
    """
    An answer without the order's terms is no answer to a query.
    """

    async def story():
        async with trading(poll_interval=60.0) as (venue, broker):
            ack = await broker.place_order(limit())
            venue.fail("GET /api/v3/order", status=200, body="{}")
            with pytest.raises(BrokerUnavailable, match="too little"):
                await broker._query(OrderRef(client_order_id=ack.client_order_id, order_id=ack.order_id))

    asyncio.run(story())


# -- before and beside -----------------------------------------------------------------------------------


def test_hooks_before_a_connection():
    """
    Without a session nothing is asked.
    """
    with pytest.raises(GatewayNotReady):
        asyncio.run(CcxtBroker(exchange="binance")._balances())


def test_an_exchange_without_a_sandbox_has_none():
    """
    Asked for a sandbox, an exchange that has none is NotSupported: never the real one instead.
    """

    async def story():
        broker = CcxtBroker(exchange="kraken", api_key="key", secret="secret", sandbox=True)
        with pytest.raises(NotSupported, match="sandbox"):
            await broker.connect(SOON)
        assert broker.info.status is GatewayStatus.FAILED
        await broker.disconnect()

    asyncio.run(story())


def test_an_exchange_that_cannot_trade_is_refused():
    """
    An exchange that ccxt cannot place orders at is NotSupported, and says what is lacking.
    """

    async def story():
        broker = CcxtBroker(exchange="binance", api_key="key", secret="secret", url="http://127.0.0.1:1")
        from hotplug_broker_ccxt._session import _prepared

        session = Session.made(*_prepared("binance"), broker._account, broker.report)
        session.exchange.has["createOrder"] = None
        with pytest.raises(NotSupported, match="createOrder"):
            await session.begin(None)
        await session.close()
        await session.close()

    asyncio.run(story())


def test_the_terms_of_a_stop_and_of_a_change():
    """
    Venues that want to know from which side a trigger is met are told; a trigger is not changed.
    """

    async def story():
        async with trading(poll_interval=60.0) as (_, broker):
            session = opened(broker)
            session.exchange.features["spot"]["createOrder"]["triggerDirection"] = True
            await broker.place_order(limit())
            order = next(broker.book.open()).order
            object.__setattr__(order, "type", OrderType.STOP_LIMIT)
            object.__setattr__(order, "stop_price", Decimal(95))
            arguments, _ = order_of(session, order, "spot")
            assert arguments[-1]["triggerDirection"] == "ascending"
            with pytest.raises(NotSupported):
                change_of(order, OrderChange(stop_price=Decimal(96)))
            object.__setattr__(order, "reduce_only", True)
            assert order_of(session, order, "swap")[0][-1]["reduceOnly"] is True

    asyncio.run(story())


def test_the_kind_of_market_decides():
    """
    One exchange id stands for spot and futures, whose rules differ.
    """
    assert venue_of("binance", "spot").is_amending is False
    assert venue_of("binance", "swap").is_amending is True
    assert venue_of("nobody", "spot") == Venue()
