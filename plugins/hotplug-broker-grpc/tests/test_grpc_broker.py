"""The gateway to a server: it is the server's broker, and believes nothing that it was not told."""

from __future__ import annotations

import asyncio
import functools
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import grpc
import pytest

import hotplug
from certificates import certificates
from hotplug.brokers import BrokerGateway
from hotplug.brokers._orders._book import Book
from hotplug.errors import (
    AuthenticationError,
    BrokerError,
    BrokerUnavailable,
    DeadlineExceeded,
    GatewayNotReady,
    InsufficientFunds,
    LiveRefused,
    OrderNotFound,
    Outcome,
    PermissionDenied,
    PluginError,
)
from hotplug.market import (
    Bar,
    CancelScope,
    Capability,
    Environment,
    Fill,
    Gap,
    GatewayStatus,
    HealthState,
    Heartbeat,
    Order,
    OrderChange,
    OrderRef,
    OrderRequest,
    OrderStatus,
    OrderType,
    Origin,
    Side,
    Snapshot,
    StatusChange,
)
from hotplug_broker_grpc import GrpcBroker, Principal, Role, _line, _quotes, _verbs
from hotplug_broker_grpc.stubs import broker_pb2 as pb
from hotplug_broker_mock import MockBroker, MockVenue
from serving import far
from strangers import StrangeGateway

TLS = certificates()
SOON = 10.0
CLOSED = "127.0.0.1:1"


class Quick(GrpcBroker):
    reconnect_delays = (0.001, 0.01)
    check_interval = 0.02


def mock(**facts):
    return MockBroker(**{"accounts": ("A", "B"), "check_interval": 0.02, **facts})


def order(name="mine", **facts):
    facts = {"symbol": "IBM", "side": Side.BUY, "qty": Decimal(2), "type": OrderType.LIMIT, **facts}
    return OrderRequest(client_order_id=name, price=facts.pop("price", Decimal(90)), **facts)


REF = OrderRef(client_order_id="mine")


def run(test):
    async def limited():
        async with asyncio.timeout(2 * SOON):
            await test

    asyncio.run(limited())


@asynccontextmanager
async def connected(target, **settings):
    broker = Quick(target=target, **{"heartbeat": 0.2, **settings})
    await broker.connect(SOON)
    try:
        yield broker
    finally:
        await broker.disconnect(drain=False)


async def until(condition):
    async with asyncio.timeout(SOON):
        while True:
            said = condition()
            if await said if asyncio.iscoroutine(said) else said:
                return
            await asyncio.sleep(0.005)


async def status_of(broker, ref=REF):
    return (await broker.get_order(ref)).status


# -- what it is ------------------------------------------------------------------------------------


def test_it_is_what_the_server_says():
    """
    Environment, capabilities, terms and accounts are the far broker's; feeding it a market is not possible.
    """
    there_is = frozenset(Capability)
    with far(mock(capabilities=there_is)) as there:

        async def test():
            async with connected(there.address) as broker:
                assert broker.info.type == "grpc"
                assert broker.info.environment is Environment.MOCK
                assert broker.info.capabilities == there_is - {Capability.SIMULATED}
                assert broker.info.healthy
                assert broker.order_types == there.gateway.order_types
                assert broker.default_account == "A"

        run(test())


def test_it_counts_as_live_until_it_is_told():
    """
    What might be real money is treated as such: unconnected, it places nothing without being allowed to.
    """
    broker = GrpcBroker(target=CLOSED)

    assert broker.info.environment is Environment.LIVE
    assert broker.info.status is GatewayStatus.CREATED


def test_a_live_broker_far_away_is_read_only_here():
    """
    Unless this side's configuration allows it, too; nothing goes over the wire.
    """
    far_broker = mock(environment=Environment.LIVE)
    far_broker.attach(Book("mock", hotplug.brokers.BookSettings(allow_live=True, mode="trade")))
    root = Principal("root", None, Role.ADMIN)
    with far(far_broker, tokens={"t": root}) as there:

        async def test():
            async with connected(there.address, token="t") as broker:
                assert broker.info.environment is Environment.LIVE
                with pytest.raises(LiveRefused):
                    await broker.place_order(order())
            assert not far_broker.venue.calls("place")

        run(test())


def test_a_user_has_its_accounts():
    """
    The token says which; one alone is the default; the setting narrows.
    """
    tokens = {"one": Principal("ada", frozenset({"B"})), "two": Principal("eve", frozenset({"A", "B"}))}
    with far(mock(), tokens=tokens) as there:

        async def test():
            async with connected(there.address, token="one") as broker:
                assert broker.accounts == ("B",)
                await broker.place_order(order())
                assert (await broker.get_order(REF)).account == "B"
            async with connected(there.address, token="two", accounts=("A",)) as broker:
                assert broker.accounts == ("A",)
                assert await broker.get_open_orders() == ()
            with pytest.raises(PermissionDenied):
                await Quick(target=there.address, token="one", accounts=("A",)).connect(SOON)
            [placed] = there.gateway.book.open()
            assert placed.order.attribution.user == "ada"

        run(test())


# -- connecting ------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [None, "wrong", ""])
def test_a_wrong_token_is_an_authentication_error(token):
    """
    Not something to be tried again.
    """
    with far(mock(), tokens={"right": Principal("ada", None)}) as there:

        async def test():
            broker = Quick(target=there.address, token=token)
            with pytest.raises(AuthenticationError):
                await broker.connect(SOON)
            assert broker.status is GatewayStatus.FAILED
            await broker.disconnect()

        run(test())


def test_nobody_there_is_said_at_once():
    """
    Unavailable, with the address.
    """

    async def test():
        broker = Quick(target=CLOSED)
        before = time.monotonic()
        with pytest.raises(BrokerUnavailable, match="127.0.0.1:1"):
            await broker.connect(SOON)
        assert time.monotonic() - before < SOON / 2
        with pytest.raises(GatewayNotReady):
            await broker.place_order(order())
        await broker.disconnect()

    run(test())


def test_a_far_broker_that_is_down_is_no_connection():
    """
    A server that answers is not enough: its broker must be connected.
    """
    with far(mock()) as there:
        there.call(there.gateway.disconnect())

        async def test():
            broker = Quick(target=there.address)
            with pytest.raises(BrokerUnavailable, match="DISCONNECTED over there"):
                await broker.connect(SOON)
            there.call(there.gateway.connect())
            await broker.connect(SOON)
            await broker.disconnect()

        run(test())


def test_a_token_is_not_sent_in_the_clear():
    """
    To another machine only over TLS: nothing is tried.
    """

    async def test():
        broker = Quick(target="192.0.2.1:50051", token="secret")
        with pytest.raises(AuthenticationError, match="in the clear"):
            await broker.connect(SOON)
        broker = Quick(target="dns:somewhere", token="secret")
        with pytest.raises(AuthenticationError, match="in the clear"):
            await broker.connect(SOON)

    run(test())


def test_secrets_are_not_shown():
    """
    Not in a repr, wherever it ends up.
    """
    assert "hush" not in repr(vars(GrpcBroker(target=CLOSED, token="hush")))


def test_tls_both_ways():
    """
    Each shows the other who it is; the server may have another name than its address.
    """
    options = {
        "tls_cert": TLS / "server.pem",
        "tls_key": TLS / "server.key",
        "client_ca": TLS / "ca.pem",
        "tokens": {"t": Principal("ada", frozenset({"A"}))},
    }
    mine = {"cert": TLS / "client.pem", "key": TLS / "client.key"}
    with far(mock(), **options) as there:

        async def test():
            async with connected(there.address, tls=True, ca=TLS / "ca.pem", token="t", **mine) as broker:
                await broker.place_order(order())
            async with connected(
                there.address, tls=True, ca=TLS / "ca.pem", token="t", server_name="broker.test", **mine
            ):
                pass
            for wrong in ({}, {**mine, "server_name": "other.test"}):
                broker = Quick(target=there.address, tls=True, ca=TLS / "ca.pem", token="t", **wrong)
                with pytest.raises(BrokerUnavailable):
                    await broker.connect(SOON)
                await broker.disconnect()
            with pytest.raises(AuthenticationError, match=r"none\.pem cannot be read"):
                await Quick(target=there.address, tls=True, ca=TLS / "none.pem").connect(SOON)

        run(test())


def test_it_can_be_connected_again():
    """
    On another loop, too: nothing of the first session is left in the way.
    """
    with far(mock()) as there:
        broker = Quick(target=there.address)

        async def session(name):
            await broker.connect(SOON)
            await broker.place_order(order(name))
            await broker.disconnect()

        run(session("one"))
        run(session("two"))

        assert [each.client_order_id for each in there.gateway.venue.orders] == ["one", "two"]


# -- orders ----------------------------------------------------------------------------------------


def test_orders_fills_and_positions_are_the_venues():
    """
    Place, change, fill, cancel, ask: both ends tell the same.
    """
    with far(mock()) as there:
        venue = there.gateway.venue

        async def test():
            async with connected(there.address) as broker:
                await broker.place_order(order())
                await broker.modify_order(REF, OrderChange(qty=5))
                venue.fill("mine", Decimal(3))
                await until(lambda: _filled(broker, 3))
                changed = await broker.get_order(REF)
                ended = await broker.cancel_order(REF)
                assert (changed.qty, changed.version, changed.order_id) == (
                    5,
                    2,
                    venue.order("mine").order_id,
                )
                assert (ended.status, ended.filled_qty) == (OrderStatus.CANCELED, 3)
                assert await broker.get_positions() == venue.positions
                assert {each.account for each in await broker.get_balances()} >= {"A"}
                assert [fill.trade_id for fill in await broker.get_fills()] == [
                    fill.trade_id for fill in venue.fills
                ]
                snapshot = await broker.snapshot()
                assert snapshot.positions == venue.positions

        run(test())


async def _filled(broker, qty, ref=REF):
    return (await broker.get_order(ref)).filled_qty == qty


def test_a_no_is_the_venues_own():
    """
    The class of the error comes from the call, whichever of call and event is quicker; and stays so.
    """
    with far(mock()) as there:
        there.gateway.venue.on("place", times=None, fault="funds", message="too poor")

        async def test():
            async with connected(there.address) as broker:
                for number in range(20):
                    for _ in range(2):
                        with pytest.raises(InsufficientFunds, match="too poor") as caught:
                            await broker.place_order(order(f"o{number}"))
                        assert caught.value.outcome is Outcome.REJECTED
            assert len(there.gateway.venue.calls("place")) == 20

        run(test())


def test_a_refusal_over_there_leaves_the_id_free():
    """
    What the server did not send was never sent: the id may be used again.
    """
    far_broker = mock()
    far_broker.attach(Book("mock", hotplug.brokers.BookSettings(limits=_at_most(3))))
    with far(far_broker) as there:

        async def test():
            async with connected(there.address) as broker:
                with pytest.raises(BrokerError) as caught:
                    await broker.place_order(order(qty=Decimal(5)))
                assert caught.value.outcome is Outcome.NOT_SENT
                assert (await broker.place_order(order(qty=Decimal(3)))).status is OrderStatus.NEW

        run(test())


def _at_most(qty):
    return hotplug.brokers.OrderLimits(max_qty=Decimal(qty))


@pytest.mark.parametrize("fault", ["crash_before", "crash_after"])
def test_what_nobody_knows_is_asked_for(fault):
    """
    The server broke down over the order: the outcome is UNKNOWN until it is asked, by its id, how it stands.
    """
    broken = StrangeGateway()
    place = broken.place_order

    async def breaks(request, *, deadline=None):
        if fault == "crash_after":
            broken.readers.clear()  # nobody tells of it
            await place(request)
        raise RuntimeError("bug")

    broken.place_order = breaks
    with far(broken) as there:

        async def test():
            async with connected(there.address) as broker:
                with pytest.raises(BrokerError) as caught:
                    await broker.place_order(order(account="A1"))
                assert caught.value.outcome is Outcome.UNKNOWN
                expected = OrderStatus.NEW if fault == "crash_after" else OrderStatus.REJECTED
                await until(lambda: _stands(broker, expected))
                if fault == "crash_after":
                    assert (await broker.place_order(order(account="A1"))).order_id == "V1"

        run(test())


async def _stands(broker, status):
    return await status_of(broker) is status


def test_a_lost_call_is_not_sent_again_but_asked_for(monkeypatch):
    """
    The answer did not come in time: the order stands there once, and is found.
    """
    monkeypatch.setattr("hotplug_broker_grpc._broker.SHORTEST", 0.2)
    with far(mock()) as there:
        venue = there.gateway.venue
        venue.on("place", fault="timeout_after")
        venue.on_report("order", lose=True)

        async def test():
            async with connected(there.address) as broker:
                with pytest.raises(DeadlineExceeded) as caught:
                    await broker.place_order(order(), deadline=0.2)
                assert caught.value.outcome is Outcome.UNKNOWN
                await until(lambda: _stands(broker, OrderStatus.NEW))
                assert (await broker.place_order(order())).order_id == venue.order("mine").order_id
            assert len(venue.calls("place")) == 1
            venue.resume()

        run(test())


class Deaf:
    """The server's stub, but for what is lost on the way there."""

    def __init__(self, line, *lost):
        self._stub = line.stub
        self._lost = lost

    def __getattr__(self, name):
        if name not in self._lost:
            return getattr(self._stub, name)

        async def lose(request, **_):
            raise grpc.aio.AioRpcError(
                grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), "lost on the way"
            )

        return lose


def _deafen(broker, *lost):
    broker._line_up.stub = Deaf(broker._line_up, *lost)


def test_a_no_whose_answer_got_lost_is_learnt_from_the_events():
    """
    The call broke off, and the server had said no: that is not forgotten only because the call was under way.
    """
    with far(mock()) as there:
        there.gateway.venue.on("place", fault="reject", message="not today")

        async def test():
            async with connected(there.address) as broker:
                real = broker._line_up.stub.PlaceOrder
                _deafen(broker, "PlaceOrder")

                async def break_off(request, **named):
                    with pytest.raises(grpc.aio.AioRpcError):
                        await real(request, **named)
                    await until(lambda: any(broker._unanswered.values()))
                    raise grpc.aio.AioRpcError(
                        grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), "broken off"
                    )

                broker._line_up.stub.PlaceOrder = break_off
                with pytest.raises(BrokerError) as caught:
                    await broker.place_order(order())
                assert caught.value.outcome is Outcome.REJECTED
                assert "not today" in str(caught.value)
                assert await status_of(broker) is OrderStatus.REJECTED

        run(test())


def test_an_order_that_was_denied_over_there_is_none():
    """
    It never left the server: asked for, it is not found.
    """
    strange = StrangeGateway()
    strange.orders["mine"] = Order(
        symbol="IBM",
        side=Side.BUY,
        qty=1,
        status=OrderStatus.DENIED,
        account="A1",
        client_order_id="mine",
        reason="too large",
    )
    with far(strange) as there:

        async def test():
            async with connected(there.address) as broker:
                with pytest.raises(OrderNotFound):
                    await broker.get_order(REF)

        run(test())


def test_what_never_arrived_is_over():
    """
    Lost on the way there: the server does not know it and never will, so the doubt ends.
    """
    with far(mock()) as there:

        async def test():
            async with connected(there.address) as broker:
                _deafen(broker, "PlaceOrder")
                with pytest.raises(BrokerError) as caught:
                    await broker.place_order(order())
                assert caught.value.outcome is Outcome.UNKNOWN
                await until(lambda: _stands(broker, OrderStatus.REJECTED))
            assert not there.gateway.venue.calls("place")

        run(test())


@pytest.mark.parametrize("memory", ["another", "journal:x"])
def test_what_the_server_may_have_forgotten_stays_in_doubt(memory):
    """
    It does not know the order. But is it the one that was asked to place it? Only a lasting memory can tell.
    """
    with far(mock()) as there:

        async def test():
            async with connected(there.address) as broker:
                _deafen(broker, "PlaceOrder")
                broker._memory.now = "journal:x"
                ask = broker._query
                asked = asyncio.Event()

                async def query(ref):
                    broker._memory.now = memory
                    try:
                        return await ask(ref)
                    finally:
                        asked.set()

                broker._query = query
                with pytest.raises(BrokerError):
                    await broker.place_order(order())
                await asked.wait()
                asked.clear()
                if memory == "journal:x":
                    await until(lambda: _stands(broker, OrderStatus.REJECTED))
                else:
                    await asked.wait()
                    assert await status_of(broker) is OrderStatus.UNKNOWN
                    await broker.resolve_order(REF, OrderStatus.REJECTED, "looked it up")

        run(test())


def test_an_old_order_may_be_forgotten():
    """
    Nobody remembers for ever what has ended: after half a day, "not found" proves nothing.
    """
    broker = GrpcBroker(target=CLOSED)
    broker._memory.now = "journal:x"

    def made(age):
        return Order(
            symbol="IBM",
            side=Side.BUY,
            qty=1,
            status=OrderStatus.UNKNOWN,
            created_at=None if age is None else datetime.now(UTC) - age,
        )

    assert broker._memory.may_lack(made(timedelta(days=1)))
    assert broker._memory.may_lack(made(None))
    assert not broker._memory.may_lack(made(timedelta(minutes=1)))


def test_an_order_of_an_earlier_process_is_only_over_for_a_lasting_memory():
    """
    What was sent before this process began went to who knows which server.
    """
    broker = GrpcBroker(target=CLOSED)
    recent = Order(
        symbol="IBM", side=Side.BUY, qty=1, status=OrderStatus.UNKNOWN, created_at=datetime.now(UTC)
    )

    broker._memory.now = "abc"
    assert broker._memory.may_lack(recent)
    broker._memory.now = "journal:abc"
    assert not broker._memory.may_lack(recent)


def test_an_unknown_order_of_nobody_is_not_found():
    """
    Asking for what was never placed is no doubt.
    """
    with far(mock()) as there:

        async def test():
            async with connected(there.address) as broker:
                for ref in (OrderRef(client_order_id="none"), OrderRef(order_id="none")):
                    with pytest.raises(OrderNotFound):
                        await broker.get_order(ref)
                with pytest.raises(OrderNotFound):
                    await broker.cancel_order(REF)

        run(test())


def test_the_same_id_in_two_accounts_is_two_orders():
    """
    Each call is for the account of its order.
    """
    with far(mock()) as there:

        async def test():
            async with connected(there.address) as broker:
                for account, price in (("A", 90), ("B", 80)):
                    await broker.place_order(order(account=account, price=Decimal(price)))
                first, second = await broker.get_open_orders()
                await broker.modify_order(OrderRef(order_id=second.order_id), OrderChange(qty=7))
                await broker.cancel_order(OrderRef(order_id=first.order_id))
                [left] = await broker.get_open_orders()
                assert (left.account, left.qty) == ("B", 7)
            standing = {each.account: each.status for each in there.gateway.venue.orders}
            assert standing == {"A": OrderStatus.CANCELED, "B": OrderStatus.NEW}

        run(test())


def test_what_others_place_is_seen():
    """
    Orders of other clients of the server are external here, and cancelled only if that is asked.
    """
    with far(mock()) as there:

        async def test():
            async with connected(there.address) as one, connected(there.address) as two:
                await one.place_order(order())
                await until(lambda: two.book.open_count("A"))
                [seen] = await two.get_open_orders()
                assert (seen.client_order_id, seen.origin) == ("mine", Origin.EXTERNAL)
                assert await two.cancel_all() == ()
                [ended] = await two.cancel_all(CancelScope.ALL)
                assert ended.status is OrderStatus.CANCELED
                await until(lambda: _stands(one, OrderStatus.CANCELED))

        run(test())


# -- the market ------------------------------------------------------------------------------------


def test_market_data_is_the_far_brokers():
    """
    Instruments, quotes and bars.
    """
    with far(mock()) as there:
        venue = there.gateway.venue
        day = datetime(2024, 1, 2, tzinfo=UTC)
        bars = [
            Bar(symbol="IBM", time=day + timedelta(days=n), open=1, high=2, low=1, close=2, volume=n)
            for n in range(3)
        ]
        venue.add_bars(bars)
        venue.quote("IBM", Decimal("99.5"), Decimal("99.6"))

        async def test():
            async with connected(there.address) as broker:
                assert (await broker.get_instrument("IBM")).symbol == "IBM"
                assert (await broker.get_quote("IBM")).bid == Decimal("99.5")
                step = timedelta(days=1)
                assert list(await broker.get_bars("IBM", day, day + 2 * step, step)) == bars[:2]

        run(test())


def test_quotes_stream_while_somebody_wants_them():
    """
    The server is asked for exactly the symbols that are wanted here.
    """
    with far(mock()) as there:
        venue = there.gateway.venue

        async def test():
            async with connected(there.address) as broker:
                one, two = broker.stream_quotes(["IBM"]), broker.stream_quotes(["SAP"])
                wanted = there.gateway.book.quotes
                await until(lambda: wanted.symbols == {"IBM", "SAP"})
                venue.quote("IBM", Decimal(1), Decimal(2))
                venue.quote("SAP", Decimal(3), None)
                assert (await anext(one)).bid == 1
                assert (await anext(two)).ask is None
                await one.aclose()
                await until(lambda: wanted.symbols == {"SAP"})
                await two.aclose()
                await until(lambda: wanted.symbols == frozenset())

        run(test())


def test_quotes_come_again_after_their_stream_broke(monkeypatch):
    """
    Whatever ended it: it is opened again, while orders go on as if nothing were.
    """
    monkeypatch.setattr(_quotes, "PAUSES", (0.001, 0.002))
    with far(mock()) as there:
        board = there.gateway.book.quotes

        def is_told(bid):  # the venue tells who has subscribed, which is a moment after it is streamed
            there.gateway.venue.quote("IBM", Decimal(bid), None)
            known = board.get("IBM", SOON)
            return known is not None and known.bid == bid

        async def test():
            async with connected(there.address) as broker:
                quotes = broker.stream_quotes(["IBM"])
                await until(lambda: board.symbols == {"IBM"})
                for bid in (1, 2, 3):
                    await until(functools.partial(is_told, bid))
                    while (await anext(quotes)).bid != bid:
                        pass
                    board.end()
                    await until(lambda: board.symbols == {"IBM"})
                assert broker.status is GatewayStatus.READY

        run(test())


def test_who_disconnects_waits_for_no_pause(monkeypatch):
    """
    Quotes that were to be asked for again in a minute are not.
    """
    monkeypatch.setattr(_quotes, "PAUSES", (60.0, 60.0))
    with far(mock()) as there:
        board = there.gateway.book.quotes

        async def test():
            async with connected(there.address) as broker:
                broker.stream_quotes(["IBM"])
                await until(lambda: board.symbols == {"IBM"})
                board.end()
                await until(lambda: board.symbols == frozenset())
                quoting = broker._quoting
                async with asyncio.timeout(SOON / 2):
                    await broker.disconnect()
                assert quoting.done()

        run(test())


# -- the line --------------------------------------------------------------------------------------


def _restart(there, gateway=None):
    """Stop the server, and serve *gateway* (or the same) at the same address."""

    async def again():
        await there.server.stop(0.0)
        if gateway is not None:
            await there.gateway.disconnect()
            there.gateway = gateway
            await gateway.connect()
        await there.serve()

    there.call(again())


def test_a_line_that_broke_is_found_again_without_gap_or_duplicate():
    """
    What happened meanwhile is told once; who follows the events hears of no gap.
    """
    with far(mock()) as there:
        venue = there.gateway.venue

        async def test():
            async with connected(there.address) as broker:
                events = broker.events()
                for number in range(4):
                    await broker.place_order(order(f"o{number}"))
                venue.fill("o0")
                await until(lambda: _filled(broker, 2, OrderRef(client_order_id="o0")))
                there.call(there.server.stop(0.0))
                await until(lambda: broker.status is GatewayStatus.RECONNECTING)
                venue.fill("o1")
                venue.cancel("o2")
                passing = venue.external_order("IBM", Side.SELL, Decimal(1), Decimal(200))
                venue.cancel(passing)
                there.call(there.serve())
                await until(lambda: broker.status is GatewayStatus.READY)
                venue.fill("o3")
                await until(lambda: _filled(broker, 2, OrderRef(client_order_id="o3")))
                assert await broker.get_positions() == venue.positions
                await broker.disconnect()
                payloads = [event.payload async for event in events]
            fills = [each.trade_id for each in payloads if isinstance(each, Fill)]
            assert fills == [each.trade_id for each in venue.fills]
            ended = [
                each.client_order_id for each in payloads if isinstance(each, Order) and each.status.terminal
            ]
            assert sorted(filter(None, ended)) == ["o0", "o1", "o2", "o3"]
            # No snapshot tells of it: it came and went meanwhile.
            assert passing.order_id in {each.order_id for each in payloads if isinstance(each, Order)}
            assert not [each for each in payloads if isinstance(each, (Gap, Snapshot))]

        run(test())


def test_a_server_that_forgot_is_a_gap():
    """
    Another log over there: what was missed is learnt from the snapshot; all stands as at the venue.
    """
    venue = MockVenue()
    with far(mock(venue=venue)) as there:

        async def test():
            async with connected(there.address) as broker:
                for number in range(3):
                    await broker.place_order(order(f"o{number}"))
                there.call(there.server.stop(0.0))
                venue.fill("o0")
                venue.cancel("o1")
                _restart(there, mock(venue=venue))
                await until(lambda: broker.status is GatewayStatus.READY)
                await until(lambda: _stands_as(broker, venue))
                assert await broker.get_positions() == venue.positions
                assert broker._cursor.startswith(there.gateway.book.log.epoch)

        run(test())


async def _stands_as(broker, venue):
    mine = {}
    for each in venue.orders:
        mine[each.client_order_id] = await status_of(broker, each.ref)
    return mine == {each.client_order_id: each.status for each in venue.orders}


def test_a_far_broker_that_loses_its_venue_is_lost_here():
    """
    Whoever relies on this gateway learns that nothing can be placed, and when it can again.
    """
    far_broker = mock(reconnect_delays=(0.05, 0.05))
    with far(far_broker) as there:

        async def test():
            async with connected(there.address) as broker:
                events = broker.events()
                far_broker.venue.on("connect", times=3, fault="unavailable")
                far_broker.venue.disconnect_all("the venue hung up")
                assert "RECONNECTING" in await _reason_for(events, GatewayStatus.RECONNECTING)
                await _reason_for(events, GatewayStatus.READY)
                await broker.place_order(order())

        run(test())


def test_a_server_that_says_nothing_is_dead(monkeypatch):
    """
    A line without heartbeats is no line, however connected it looks.
    """
    monkeypatch.setattr(_verbs, "_pause", lambda asked: 60.0)
    with far(mock()) as there:

        async def test():
            async with connected(there.address, heartbeat=0.05) as broker:
                reason = await _reason_for(broker.events(), GatewayStatus.RECONNECTING)
                assert "nothing was heard" in reason

        run(test())


async def _reason_for(events, status):
    """Why the gateway came into *status*, once it does."""
    async for event in events:
        if isinstance(event.payload, StatusChange) and event.payload.new is status:
            return event.payload.reason
    raise AssertionError(f"it never was {status}")


def test_heartbeats_keep_it_well():
    """
    Nothing happens, and that is heard.
    """
    with far(mock()) as there:

        async def test():
            async with connected(there.address, heartbeat=0.05) as broker:
                events = broker.events()
                beats = [await anext(events) for _ in range(3)]
                assert all(isinstance(beat.payload, Heartbeat) for beat in beats)
                health = await broker.health()
                assert health.status is HealthState.HEALTHY
                assert health.checks["stream_freshness"] is HealthState.HEALTHY

        run(test())


def test_nonsense_from_the_server_is_a_lost_line(monkeypatch):
    """
    A message that is none of ours ends the line, not this process.
    """
    with far(mock()) as there:

        async def test():
            async with connected(there.address) as broker:
                wrong = pb.BrokerEvent(cursor="e:1", order=pb.Order(symbol="IBM"))
                monkeypatch.setattr("hotplug_broker_grpc._convert.encode_event", lambda event: iter([wrong]))
                events = broker.events()
                there.call(there.gateway.place_order(order()))
                reason = await _reason_for(events, GatewayStatus.RECONNECTING)
                assert "Order.side: 0 is no Side" in reason

        run(test())


def test_a_snapshot_that_is_cut_off_is_none(monkeypatch):
    """
    Half of what stands at the venue is not taken for all of it.
    """
    with far(mock()) as there:
        whole = _verbs.convert.snapshot_parts
        monkeypatch.setattr(_verbs.convert, "snapshot_parts", lambda snapshot: list(whole(snapshot))[:-1])

        async def test():
            with pytest.raises(BrokerUnavailable, match="cut off"):
                await Quick(target=there.address).connect(SOON)

        run(test())


def test_more_calls_than_a_server_takes_wait_here(monkeypatch):
    """
    Hundreds at once: all are answered, and no more are under way than the line allows.
    """
    assert _line.MOST_CALLS < 1000  # from there on, servers with the usual settings turn some away
    monkeypatch.setattr(_line, "MOST_CALLS", 50)
    under_way = [0]

    with far(mock()) as there:

        async def test():
            async with connected(there.address) as broker:
                ask = broker._line_up.stub.GetInstrument

                async def counted(request, **named):
                    under_way.append(under_way[-1] + 1)
                    try:
                        return await ask(request, **named)
                    finally:
                        under_way.append(under_way[-1] - 1)

                broker._line_up.stub.GetInstrument = counted
                asking = (broker.get_instrument(f"S{number}") for number in range(400))
                assert len(await asyncio.gather(*asking)) == 400

        run(test())
    assert max(under_way) == 50


def test_nothing_is_left_after_disconnecting(nothing_left_here):
    """
    No task, no thread, no socket, also after a line that broke.
    """
    with far(mock()) as there:

        async def test():
            before = asyncio.all_tasks()
            async with connected(there.address) as broker:
                quotes = broker.stream_quotes(["IBM"])
                there.call(there.server.stop(0.0))
                await until(lambda: broker.status is GatewayStatus.RECONNECTING)
                await quotes.aclose()
            assert asyncio.all_tasks() == before
            assert broker._line_up is None
            there.call(there.serve())

        run(test())


@pytest.fixture
def nothing_left_here():
    """No thread of ours is left when the test is over."""
    import gc
    import threading

    before = set(threading.enumerate())
    yield
    gc.collect()
    deadline = time.monotonic() + SOON
    while left := [each for each in threading.enumerate() if each not in before and "_poll" not in each.name]:
        assert time.monotonic() < deadline, left


def test_a_list_that_cannot_be_had_says_why():
    """
    The server's error, whole.
    """
    with far(mock()) as there:

        async def test():
            async with connected(there.address) as broker:
                there.gateway.venue.on("snapshot", error="BrokerUnavailable", message="asleep")
                with pytest.raises(BrokerUnavailable, match="asleep"):
                    await broker.get_positions()

        run(test())


def test_what_is_asked_without_a_line_is_not_sent():
    """
    A hook that is called after all says so, explicitly.
    """

    async def test():
        broker = GrpcBroker(target=CLOSED)
        with pytest.raises(BrokerUnavailable) as caught:
            await broker._snapshot()
        assert caught.value.is_explicit
        assert caught.value.outcome is Outcome.NOT_SENT

    run(test())


# -- in a host -------------------------------------------------------------------------------------


def test_a_host_runs_it_by_its_settings(monkeypatch, tmp_path):
    """
    Files, secrets and numbers are converted as the signature says; the book is the host's.
    """
    monkeypatch.setenv("HOTPLUG_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("FAR_TOKEN", "t")
    options = {"tls_cert": TLS / "server.pem", "tls_key": TLS / "server.key"}
    with far(mock(), tokens={"t": Principal("ada", frozenset({"A"}))}, **options) as there:
        config = f"""
            [brokers.far]
            plugin = "grpc"
            connect = true
            [brokers.far.settings]
            target = "{there.address}"
            token = {{ env = "FAR_TOKEN" }}
            tls = true
            ca = "{TLS}/ca.pem"
            heartbeat = 0.5
        """
        with hotplug.Host(hotplug.Config.parse(config)) as host:
            broker = host.brokers.get("far")
            assert isinstance(broker, BrokerGateway)
            assert broker.info.broker_id == "far"
            assert broker.info.status is GatewayStatus.READY
            assert "FAR_TOKEN" not in str(host.plugins)


def test_a_wrong_setting_is_said():
    """
    Before anything is connected.
    """
    config = '[brokers.far]\nplugin = "grpc"\nrequired = true\nsettings = { target = 3 }'

    with (
        pytest.raises((hotplug.HotplugError, PluginError), match="target"),
        hotplug.Host(hotplug.Config.parse(config)),
    ):
        pass
