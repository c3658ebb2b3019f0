"""The server, asked as any gRPC client asks it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from certificates import certificates
from hotplug.brokers import RateWindow
from hotplug.errors import (
    AuthenticationError,
    BrokerError,
    BrokerUnavailable,
    ConfigError,
    DeadlineExceeded,
    GatewayNotReady,
    InsufficientFunds,
    InvalidRequest,
    NotSupported,
    OrderNotFound,
    Outcome,
    PermissionDenied,
)
from hotplug.market import (
    Bar,
    CancelScope,
    Environment,
    GatewayStatus,
    OrderChange,
    OrderRef,
    OrderRequest,
    OrderStatus,
    OrderType,
    Side,
    Snapshot,
)
from hotplug_broker_grpc import Principal, Role, _calls, _server, serve
from hotplug_broker_grpc import _convert as convert
from hotplug_broker_grpc._calls import Counter
from hotplug_broker_grpc._errors import error_from, error_of
from hotplug_broker_grpc._handlers import _Border
from hotplug_broker_grpc._principals import Principals
from hotplug_broker_grpc.stubs import broker_pb2 as pb
from hotplug_broker_grpc.stubs.broker_pb2_grpc import SERVICE, Stub
from hotplug_broker_mock import MockBroker, MockVenue
from strangers import StrangeGateway

TLS = certificates()
SOON = 10.0
ADA = Principal("ada", frozenset({"A"}))
BOB = Principal("bob", frozenset({"B"}))
WATCHER = Principal("watcher", None, Role.READ)
ROOT = Principal("root", None, Role.ADMIN)
TOKENS = {"ada's": ADA, "bob's": BOB, "watcher's": WATCHER, "root's": ROOT}


class Client:
    """A channel and what is asked over it."""

    def __init__(self, channel):
        self.channel = channel
        self.stub = Stub(channel)

    async def ask(self, method, request, token=None, **headers):
        """The answer, or the error that the status means."""
        try:
            return await getattr(self.stub, method)(request, metadata=_metadata(token, headers), timeout=SOON)
        except grpc.aio.AioRpcError as failure:
            raise error_from(failure, method) from failure

    async def read(self, method, request, token=None):
        """All parts of a list."""
        try:
            return [part async for part in self.follow(method, request, token)]
        except grpc.aio.AioRpcError as failure:
            raise error_from(failure, method) from failure

    def follow(self, method, request, token=None):
        return getattr(self.stub, method)(request, metadata=_metadata(token, {}))

    async def place(self, token=None, **facts):
        return await self.ask("PlaceOrder", placing(**facts), token)

    async def snapshot(self, token=None, **facts):
        joiner = convert.Joiner()
        *_, last = [
            joiner.add(part) for part in await self.read("GetSnapshot", pb.ListRequest(**facts), token)
        ]
        assert isinstance(last, Snapshot)
        return last


def _metadata(token, headers):
    held = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return (*held, ("authorization", f"Bearer {token}")) if token else tuple(held)


def order(name="mine", account=None, **facts):
    facts = {"symbol": "IBM", "side": Side.BUY, "qty": Decimal(2), "type": OrderType.LIMIT, **facts}
    return OrderRequest(client_order_id=name, account=account, price=facts.pop("price", Decimal(90)), **facts)


def placing(name="mine", account=None, *, session="", call=0, accounts=(), **facts):
    return pb.PlaceOrderRequest(
        request=convert.REQUEST.encode(order(name, account, **facts)),
        session=session,
        call=call,
        accounts=accounts,
    )


def ref(name="mine"):
    return pb.OrderRef(client_order_id=name)


def mock(**facts):
    return MockBroker(**{"accounts": ("A", "B"), "check_interval": 0.02, **facts})


@asynccontextmanager
async def asked(broker, **options):
    """A connected broker, served, and a client that asks."""
    await broker.connect()
    try:
        async with serve(broker, **options) as server, channel_to(server.address) as channel:
            yield Client(channel)
    finally:
        if isinstance(broker, MockBroker):
            broker.venue.resume()
        await broker.disconnect()


@asynccontextmanager
async def channel_to(address, credentials=None, **options):
    held = tuple((f"grpc.{name}", value) for name, value in options.items())
    if credentials is None:
        channel = grpc.aio.insecure_channel(address, options=held)
    else:
        channel = grpc.aio.secure_channel(address, credentials, options=held)
    async with channel:
        yield channel


def run(test):
    async def limited():
        async with asyncio.timeout(2 * SOON):
            await test

    asyncio.run(limited())


# -- what is asked ---------------------------------------------------------------------------------


def test_tells_what_its_broker_is():
    """
    Everything that a client needs to behave like it.
    """

    async def test():
        broker = mock()
        async with asked(broker) as client:
            info = await client.ask("GetInfo", pb.InfoRequest())

        assert info.broker_id == "mock"
        assert convert.ENVIRONMENTS.decode(info.environment) is Environment.MOCK
        assert convert.GATEWAY_STATES.decode(info.status) is GatewayStatus.READY
        assert set(map(convert.CAPABILITIES.decode, info.capabilities)) == broker.capabilities
        assert info.all_accounts
        assert info.max_client_id_length == broker.max_client_id_length
        assert info.default_account == "A"

    run(test())


def test_an_order_goes_all_its_way():
    """
    Placed, found, changed, filled in part, listed, cancelled: each answer is the gateway's.
    """

    async def test():
        broker = mock()
        async with asked(broker) as client:
            ack = convert.ACK.decode(await client.place())
            change = pb.ModifyOrderRequest(ref=ref(), change=convert.CHANGE.encode(OrderChange(qty=3)))
            changed = convert.ORDER.decode(await client.ask("ModifyOrder", change))
            broker.venue.fill("mine", Decimal(1))
            found = convert.ORDER.decode(await client.ask("GetOrder", pb.GetOrderRequest(ref=ref())))
            [open_] = await client.read("ListOpenOrders", pb.ListRequest())
            [fills] = await client.read("ListFills", pb.ListFillsRequest())
            ended = convert.ORDER.decode(await client.ask("CancelOrder", pb.CancelOrderRequest(ref=ref())))

        assert (ack.client_order_id, ack.order_id, ack.status) == ("mine", found.order_id, OrderStatus.NEW)
        assert (changed.qty, changed.version) == (3, 2)
        assert (found.status, found.filled_qty) == (OrderStatus.PARTIALLY_FILLED, 1)
        assert [each.client_order_id for each in open_.items] == ["mine"]
        assert [convert.FILL.decode(each).qty for each in fills.items] == [1]
        assert ended.status is OrderStatus.CANCELED

    run(test())


def test_what_the_venue_says_of_accounts_and_markets_is_passed_on():
    """
    Positions, balances, instruments, quotes, bars, health and limits.
    """

    async def test():
        broker = mock(max_calls=50)
        day = datetime(2024, 1, 2, tzinfo=UTC)
        bars = [
            Bar(symbol="IBM", time=day + timedelta(days=n), open=1, high=2, low=1, close=2, volume=n)
            for n in range(2500)
        ]
        broker.venue.add_bars(bars)
        broker.venue.quote("IBM", Decimal("99.5"), None)
        async with asked(broker) as client:
            await client.place()
            broker.venue.fill("mine")
            [positions] = await client.read("ListPositions", pb.ListRequest())
            [balances] = await client.read("ListBalances", pb.ListRequest())
            symbol = pb.SymbolRequest(symbol="IBM")
            instrument = convert.INSTRUMENT.decode(await client.ask("GetInstrument", symbol))
            quote = convert.QUOTE.decode(await client.ask("GetQuote", symbol))
            span = pb.ListBarsRequest(
                symbol="IBM",
                start=convert.to_micros(day),
                end=convert.to_micros(day + timedelta(days=2400)),
                step=86_400_000_000,
            )
            parts = await client.read("ListBars", span)
            health = convert.HEALTH.decode(await client.ask("GetHealth", pb.HealthRequest()))
            limits = await client.ask("GetRateLimits", pb.RateLimitsRequest())

            assert [convert.POSITION.decode(each) for each in positions.items] == list(
                await broker.get_positions()
            )
            assert {each.account for each in balances.items} >= {"A"}
            assert instrument == await broker.get_instrument("IBM")
            assert (quote.bid, quote.ask) == (Decimal("99.5"), None)
            assert [convert.BAR.decode(each) for part in parts for each in part.items] == bars[:2400]
            assert max(len(part.items) for part in parts) <= 1000
            assert health.status == "healthy"
            assert [convert.RATE_LIMIT.decode(each).limit for each in limits.items] == [50]

    run(test())


def test_a_snapshot_comes_in_parts():
    """
    However much there is, no message is large.
    """

    async def test():
        broker = mock(fills="now")
        async with asked(broker) as client:
            await asyncio.gather(
                *(broker.place_order(order(f"o{n}", price=Decimal(110))) for n in range(1200))
            )
            parts = await client.read("GetSnapshot", pb.ListRequest())
            snapshot = await client.snapshot()
            fills = await broker.get_fills()

        assert len(snapshot.fills) == 1200
        assert set(snapshot.fills) == set(fills)
        assert max(len(part.SerializeToString()) for part in parts) < 1_000_000

    run(test())


def test_fills_since_a_time():
    """
    Only those at that time or later.
    """

    async def test():
        broker = mock(fills="now")
        async with asked(broker) as client:
            for name in ("first", "second"):
                await client.place(name=name, price=Decimal(110))
            later = (await broker.get_fills())[1].time
            [fills] = await client.read("ListFills", pb.ListFillsRequest(since=convert.to_micros(later)))

        assert [each.client_order_id for each in fills.items] == ["second"]

    run(test())


def test_cancels_all_that_is_open():
    """
    One result for each; an error is one, with all that it says.
    """

    async def test():
        broker = mock()
        async with asked(broker) as client:
            for name in ("one", "two"):
                await client.place(name=name)
            broker.venue.on(
                "cancel", client_order_id="one", error="InvalidRequest", outcome="REJECTED", venue_code="E7"
            )
            scope = convert.CANCEL_SCOPES.encode(CancelScope.OWN)
            results = (await client.ask("CancelAll", pb.CancelAllRequest(scope=scope))).items

        [failed] = [error_of(each.error) for each in results if each.HasField("error")]
        [ended] = [convert.ORDER.decode(each.order) for each in results if each.HasField("order")]
        assert (type(failed), failed.outcome, failed.venue_code) == (InvalidRequest, Outcome.REJECTED, "E7")
        assert (ended.client_order_id, ended.status) == ("two", OrderStatus.CANCELED)

    run(test())


# -- errors ----------------------------------------------------------------------------------------


def test_the_venues_no_arrives_whole():
    """
    Class, outcome and message of the gateway's error.
    """

    async def test():
        broker = mock()
        broker.venue.on("place", fault="funds", message="too poor", venue_code="-2010")
        async with asked(broker) as client:
            with pytest.raises(InsufficientFunds, match="too poor") as caught:
                await client.place()

        assert caught.value.outcome is Outcome.REJECTED
        assert caught.value.is_explicit
        assert caught.value.venue_code == "-2010"

    run(test())


@pytest.mark.parametrize(
    ("method", "request_", "why"),
    [
        ("GetInfo", pb.InfoRequest(broker_id="other"), "no broker 'other' is served"),
        ("PlaceOrder", pb.PlaceOrderRequest(), "OrderRequest.side: 0 is no Side"),
        ("GetOrder", pb.GetOrderRequest(), "needs a client_order_id"),
        ("CancelAll", pb.CancelAllRequest(), "0 is no CancelScope"),
    ],
)
def test_a_senseless_request_is_refused(method, request_, why):
    """
    It was not sent anywhere, and the error says what is wrong with it.
    """

    async def test():
        async with asked(mock()) as client:
            with pytest.raises(InvalidRequest, match=why) as caught:
                await client.ask(method, request_)
        assert caught.value.outcome is Outcome.NOT_SENT

    run(test())


def test_a_bug_says_nothing_of_the_outcome(monkeypatch, caplog):
    """
    An exception that is no broker error leaves the outcome open, and its text stays here.
    """

    async def test():
        broker = StrangeGateway()
        async with asked(broker) as client:

            async def broken(request, *, deadline=None):
                raise RuntimeError("the database password is xyzzy")

            monkeypatch.setattr(broker, "place_order", broken)
            with pytest.raises(BrokerError) as caught:
                await client.place()
        assert caught.value.outcome is Outcome.UNKNOWN
        assert not caught.value.is_explicit
        assert "xyzzy" not in str(caught.value)

    run(test())
    assert "xyzzy" in caplog.text


def test_what_a_gateway_lacks_is_said():
    """
    `NotSupported` arrives as such, from streams too.
    """

    async def test():
        async with asked(mock(capabilities=frozenset())) as client:
            with pytest.raises(NotSupported):
                await client.ask("GetQuote", pb.SymbolRequest(symbol="IBM"))
            with pytest.raises(NotSupported):
                await client.read("StreamQuotes", pb.StreamQuotesRequest(symbols=["IBM"]))

    run(test())


def test_a_broker_that_is_not_there_is_said():
    """
    What finds the gateway may fail: nothing was sent.
    """

    async def test():
        broker, missing = mock(), False

        def find():
            if missing:
                raise KeyError("gone")
            return broker

        async with serve(find, broker_id="main") as server, channel_to(server.address) as channel:
            client = Client(channel)
            assert (await client.ask("GetInfo", pb.InfoRequest(broker_id="main"))).broker_id == "main"
            missing = True
            with pytest.raises(InvalidRequest, match="'main' is not there") as caught:
                await client.place()
        assert caught.value.outcome is Outcome.NOT_SENT

    run(test())


def test_what_finds_the_gateway_may_say_why_there_is_none():
    """
    A broker error is passed on as it is.
    """

    async def test():
        def find():
            raise GatewayNotReady("it is being replaced", retryable=True)

        async with serve({"main": find}, tokens=TOKENS) as server, channel_to(server.address) as channel:
            with pytest.raises(GatewayNotReady, match="being replaced") as caught:
                await Client(channel).place("ada's")
            stub = health_pb2_grpc.HealthStub(channel)
            health = await stub.Check(health_pb2.HealthCheckRequest(service="main"))
        assert caught.value.retryable
        assert health.status == health_pb2.HealthCheckResponse.NOT_SERVING

    run(test())


def test_of_several_brokers_one_must_be_named():
    """
    Each answers under its own id.
    """

    async def test():
        one, two = mock(), StrangeGateway()
        gateways = {"one": lambda: one, "two": lambda: two}
        async with serve(gateways) as server, channel_to(server.address) as channel:
            client = Client(channel)
            types = [(await client.ask("GetInfo", pb.InfoRequest(broker_id=key))).type for key in gateways]
            with pytest.raises(InvalidRequest, match="no broker ''"):
                await client.ask("GetInfo", pb.InfoRequest())
        assert types == ["mock", "strange"]

    run(test())


# -- who may do what -------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [None, "nobody's", "ada'", ""])
def test_without_a_token_nothing_is_told(token):
    """
    Where there are tokens, one is needed, for every method.
    """

    async def test():
        async with asked(mock(), tokens=TOKENS) as client:
            for method, request in (
                ("GetInfo", pb.InfoRequest()),
                ("PlaceOrder", placing()),
                ("GetOrder", pb.GetOrderRequest(ref=ref())),
            ):
                with pytest.raises(AuthenticationError) as caught:
                    await client.ask(method, request, token)
                assert caught.value.outcome is Outcome.NOT_SENT
            for method, request in (
                ("GetSnapshot", pb.ListRequest()),
                ("StreamEvents", pb.StreamEventsRequest()),
            ):
                with pytest.raises(AuthenticationError):
                    await client.read(method, request, token)

    run(test())


def test_a_token_is_no_use_where_there_are_none():
    """
    A client that believes itself known is told that it is not.
    """

    async def test():
        async with asked(mock()) as client:
            with pytest.raises(AuthenticationError):
                await client.ask("GetInfo", pb.InfoRequest(), "ada's")

    run(test())


def test_a_reader_only_reads():
    """
    It sees everything, and changes nothing.
    """

    async def test():
        broker = mock()
        async with asked(broker, tokens=TOKENS) as client:
            await client.place("ada's", account="A")
            assert len((await client.snapshot("watcher's")).orders) == 1
            own = convert.CANCEL_SCOPES.encode(CancelScope.OWN)
            change = convert.CHANGE.encode(OrderChange(qty=3))
            for method, request in (
                ("PlaceOrder", placing("other", "A")),
                ("CancelOrder", pb.CancelOrderRequest(ref=ref())),
                ("ModifyOrder", pb.ModifyOrderRequest(ref=ref(), change=change)),
                ("CancelAll", pb.CancelAllRequest(scope=own)),
            ):
                with pytest.raises(PermissionDenied, match="may read, this needs trade") as caught:
                    await client.ask(method, request, "watcher's")
                assert caught.value.outcome is Outcome.NOT_SENT
            assert len(broker.venue.calls("place")) == 1
            assert not broker.venue.calls("cancel")

    run(test())


def test_a_trader_leaves_alone_what_is_not_its_own():
    """
    Cancelling what others placed needs an admin.
    """

    async def test():
        broker = mock()
        async with asked(broker, tokens=TOKENS) as client:
            broker.venue.external_order("IBM", Side.BUY, Decimal(1), Decimal(80))
            everything = pb.CancelAllRequest(scope=convert.CANCEL_SCOPES.encode(CancelScope.ALL))
            with pytest.raises(PermissionDenied, match="may trade, this needs admin"):
                await client.ask("CancelAll", everything, "ada's")
            assert len((await client.ask("CancelAll", everything, "root's")).items) == 1

    run(test())


@pytest.mark.parametrize("make", [mock, StrangeGateway], ids=["template", "other"])
def test_users_are_kept_apart(make):
    """
    Neither sees, finds, cancels, changes, follows or collides with what the other has.
    """

    async def test():
        async with asked(make(), tokens=TOKENS) as client:
            stream = client.follow("StreamEvents", pb.StreamEventsRequest(heartbeat=0.05), "bob's")
            await stream.read()
            await client.place("ada's")
            await client.place("bob's", name="bob's own")
            seen = []
            while not any(event.order.client_order_id == "bob's own" for event in seen):
                seen += (await stream.read()).events
            stream.cancel()

            for method, request in (
                ("GetOrder", pb.GetOrderRequest(ref=ref())),
                ("CancelOrder", pb.CancelOrderRequest(ref=ref())),
            ):
                with pytest.raises(OrderNotFound) as hers:
                    await client.ask(method, request, "bob's")
                request.ref.client_order_id = "none"
                with pytest.raises(OrderNotFound) as nobodys:
                    await client.ask(method, request, "bob's")
                assert str(hers.value).replace("mine", "none") == str(nobodys.value)
            snapshot = await client.snapshot("bob's")
            ack = await client.place("bob's", qty=Decimal(5))

        orders = [event.order for event in seen if event.HasField("order")]
        assert {each.account for each in orders} == {"B"}
        assert [each.client_order_id for each in snapshot.orders] == ["bob's own"]
        assert {each.account for each in snapshot.balances} <= {"B"}
        assert ack.client_order_id == "mine"

    run(test())


def test_accounts_in_a_request_only_narrow():
    """
    Some of the own ones: those. Others: nothing.
    """

    async def test():
        both = Principal("both", frozenset({"A", "B"}))
        async with asked(mock(), tokens={"both's": both, **TOKENS}) as client:
            for account in ("A", "B"):
                await client.place("both's", name=f"in {account}", account=account)
            one = await client.snapshot("both's", accounts=["B"])
            with pytest.raises(PermissionDenied, match="not granted to 'ada': 'B'"):
                await client.snapshot("ada's", accounts=["A", "B"])
            with pytest.raises(PermissionDenied, match="'A' is not granted"):
                await client.place("both's", name="more", account="A", accounts=["B"])

        assert [each.client_order_id for each in one.orders] == ["in B"]

    run(test())


def test_who_it_was_is_what_the_token_says():
    """
    User, account and request id of an order are the server's to set.
    """

    async def test():
        broker = mock()
        async with asked(broker, tokens=TOKENS) as client:
            await client.ask("PlaceOrder", placing(), "ada's", x_request_id="req-1")
            await client.ask("PlaceOrder", placing("other"), "ada's", x_request_id="bad id, with spaces")
            first, second = await broker.get_open_orders()

        assert (first.attribution.user, first.account, first.attribution.request) == ("ada", "A", "req-1")
        assert second.attribution.request != "bad id, with spaces"
        assert len(second.attribution.request) == 32

    run(test())


def test_a_file_of_tokens_that_breaks_is_logged_once(tmp_path, monkeypatch, caplog):
    """
    Whoever runs the server finds out why nobody gets in any more.
    """
    monkeypatch.setattr(_server, "LOOK_INTERVAL", 0.005)
    file = tmp_path / "tokens"
    file.write_text('[[principal]]\nuser = "ada"\ntoken = "t"\naccounts = ["A"]\n')
    file.chmod(0o600)

    async def test():
        async with asked(mock(), token_file=file) as client:
            await client.ask("GetInfo", pb.InfoRequest(), "t")
            file.write_text("nonsense")
            with pytest.raises(AuthenticationError):
                while True:
                    await client.ask("GetInfo", pb.InfoRequest(), "t")

    run(test())
    assert caplog.text.count("nobody gets in any more") == 1


def test_a_withdrawn_token_ends_its_streams(tmp_path, monkeypatch):
    """
    What was granted is looked at again while a stream runs.
    """
    monkeypatch.setattr(_server, "LOOK_INTERVAL", 0.01)
    file = tmp_path / "tokens"

    def grant(*accounts):
        text = "".join(
            f'[[principal]]\nuser = "{user}"\ntoken = "{user}\'s"\naccounts = ["{account}"]\n'
            for user, account in accounts
        )
        fresh = tmp_path / "fresh"
        fresh.write_text(text)
        fresh.chmod(0o600)
        fresh.replace(file)

    async def test():
        async with asked(mock(), token_file=file) as client:
            streams = [
                client.follow("StreamEvents", pb.StreamEventsRequest(heartbeat=0.05), token)
                for token in ("ada's", "bob's")
            ]
            for stream in streams:
                await stream.read()
            grant(("ada", "B"))
            codes = []
            for stream in streams:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    while True:
                        await stream.read()
                codes.append(error_from(caught.value, "").code)
        assert codes == ["grants_changed", "token"]

    grant(("ada", "A"), ("bob", "B"))
    run(test())


# -- addresses -------------------------------------------------------------------------------------


@pytest.mark.parametrize("environment", [Environment.LIVE, Environment.SANDBOX])
def test_real_brokers_are_not_open_to_everybody(environment):
    """
    Not even on loopback: others are on this machine, too.
    """

    async def test():
        broker = mock(environment=environment)
        with pytest.raises(ConfigError, match="only paper and mock"):
            await serve(broker).start()
        async with serve(broker, tokens=TOKENS) as server:
            assert server.address.startswith("127.0.0.1:")

    run(test())


def test_a_broker_that_becomes_real_is_closed_at_once():
    """
    Another gateway may stand under the key by now: it is looked at with each call.
    """

    async def test():
        broker = mock()
        async with asked(broker) as client:
            await client.ask("GetInfo", pb.InfoRequest())
            broker.environment = Environment.LIVE
            with pytest.raises(AuthenticationError):
                await client.ask("GetInfo", pb.InfoRequest())

    run(test())


@pytest.mark.parametrize(
    ("options", "lacking"),
    [
        ({}, "TLS .* and tokens"),
        ({"tokens": TOKENS}, "needs TLS"),
        ({"tls_cert": TLS / "server.pem", "tls_key": TLS / "server.key"}, "needs tokens"),
    ],
)
def test_an_address_that_others_reach_needs_tls_and_tokens(options, lacking):
    """
    Else it is refused before it is bound, with what is missing.
    """

    async def test():
        with pytest.raises(ConfigError, match=lacking):
            await serve(mock(), "192.0.2.1:0", **options).start()

    run(test())


def test_a_private_socket_needs_no_token(tmp_path_factory):
    """
    Whoever can open it is its owner; also for a live broker. Its file is gone when the server is.
    """
    import tempfile

    async def test(path):
        broker = mock(environment=Environment.LIVE)
        async with asked(broker, address=f"unix:{path}") as client:
            info = await client.ask("GetInfo", pb.InfoRequest())
            assert path.stat().st_mode & 0o777 == 0o600
        assert info.all_accounts
        assert not path.exists()

    with tempfile.TemporaryDirectory(prefix="g") as folder:
        run(test(Path(folder, "s")))


def credentials(name=None, ca="ca"):
    files = [TLS / f"{ca}.pem", TLS / f"{name}.key", TLS / f"{name}.pem"] if name else [TLS / f"{ca}.pem"]
    return grpc.ssl_channel_credentials(*(file.read_bytes() for file in files))


def test_tls_and_tokens_together():
    """
    The line is private; the token says who.
    """

    async def test():
        broker = mock(environment=Environment.LIVE)
        files = {"tls_cert": TLS / "server.pem", "tls_key": TLS / "server.key"}
        async with serve(broker, tokens=TOKENS, **files) as server:
            async with channel_to(server.address, credentials()) as channel:
                client = Client(channel)
                assert (await client.ask("GetInfo", pb.InfoRequest(), "ada's")).accounts == ["A"]
                with pytest.raises(AuthenticationError):
                    await client.ask("GetInfo", pb.InfoRequest())
            async with channel_to(server.address) as channel:
                with pytest.raises(BrokerUnavailable):
                    await Client(channel).ask("GetInfo", pb.InfoRequest(), "ada's")

    run(test())


def test_clients_must_show_a_certificate_where_that_is_asked():
    """
    One of the authority that was named; a token alone is not enough then.
    """

    async def test():
        files = {
            "tls_cert": TLS / "server.pem",
            "tls_key": TLS / "server.key",
            "client_ca": TLS / "ca.pem",
        }
        async with serve(mock(), tokens=TOKENS, **files) as server:
            async with channel_to(server.address, credentials("client")) as channel:
                assert (await Client(channel).ask("GetInfo", pb.InfoRequest(), "ada's")).type == "mock"
            async with channel_to(server.address, credentials()) as channel:
                with pytest.raises(BrokerUnavailable):
                    await Client(channel).ask("GetInfo", pb.InfoRequest(), "ada's")

    run(test())


def test_two_servers_do_not_share_a_port():
    """
    Each would get some of the calls, and neither would know.
    """

    async def test():
        async with serve(mock()) as server:
            with pytest.raises(ConfigError, match="cannot listen"):
                await serve(mock(), server.address).start()

    run(test())


def test_starting_and_stopping_twice_is_once():
    """
    Both are idempotent, and what was never started stops, too.
    """

    async def test():
        server = serve(mock())
        await server.stop()
        await server.start()
        address = server.address
        await server.start()
        assert server.address == address
        await server.stop()
        await server.stop()

    run(test())


# -- health, reflection, trailers ------------------------------------------------------------------


def test_health_is_told_by_broker(monkeypatch):
    """
    To everybody, by the standard service: of each broker, and of all.
    """
    monkeypatch.setattr(_server, "LOOK_INTERVAL", 0.01)
    serving, not_serving = (
        health_pb2.HealthCheckResponse.SERVING,
        health_pb2.HealthCheckResponse.NOT_SERVING,
    )

    async def test():
        well, ill = mock(), mock()
        await well.connect()
        await ill.connect()
        gateways = {"well": lambda: well, "ill": lambda: ill}
        async with serve(gateways, tokens=TOKENS) as server, channel_to(server.address) as channel:
            stub = health_pb2_grpc.HealthStub(channel)

            async def status(name):
                return (await stub.Check(health_pb2.HealthCheckRequest(service=name))).status

            assert [await status(name) for name in ("well", "ill", "", SERVICE)] == [serving] * 4
            watching = stub.Watch(health_pb2.HealthCheckRequest(service="ill"))
            assert (await watching.read()).status == serving
            await ill.disconnect()
            assert (await watching.read()).status == not_serving
            assert [await status(name) for name in ("well", "ill", "", SERVICE)] == [serving] + [
                not_serving
            ] * 3
            watching.cancel()
        await well.disconnect()

    run(test())


async def reflected(channel, token=None, **request):
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    question = reflection_pb2.ServerReflectionRequest(**request)
    call = stub.ServerReflectionInfo(iter([question]), metadata=_metadata(token, {}))
    return [answer async for answer in call]


def test_reflection_shows_all_services():
    """
    Generic clients find out what can be asked, ours included, which is in no shared pool.
    """

    async def test():
        async with serve(mock()) as server, channel_to(server.address) as channel:
            [listed] = await reflected(channel, list_services="")
            [found] = await reflected(channel, file_containing_symbol="hotplug.broker.v1.Order")
        names = {each.name for each in listed.list_services_response.service}
        assert names == {
            "hotplug.broker.v1.BrokerGateway",
            "grpc.health.v1.Health",
            "grpc.reflection.v1alpha.ServerReflection",
        }
        [file] = found.file_descriptor_response.file_descriptor_proto
        assert b"PlaceOrderRequest" in file

    run(test())


def test_reflection_needs_what_calls_need():
    """
    Who may not ask is not told what could be asked.
    """

    async def test():
        async with serve(mock(), tokens=TOKENS) as server, channel_to(server.address) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await reflected(channel, list_services="")
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
            assert await reflected(channel, "watcher's", list_services="")

    run(test())


def test_answers_have_the_id_of_their_request():
    """
    Given by the client, or by us where orders are concerned; after errors too.
    """

    async def test():
        async with asked(mock()) as client:
            call = client.stub.GetInfo(pb.InfoRequest(), metadata=(("x-request-id", "mine.1"),))
            await call
            assert dict(await call.trailing_metadata())["x-request-id"] == "mine.1"
            call = client.stub.PlaceOrder(placing())
            await call
            assert len(dict(await call.trailing_metadata())["x-request-id"]) == 32
            call = client.stub.GetOrder(
                pb.GetOrderRequest(ref=ref("none")), metadata=(("x-request-id", "mine.2"),)
            )
            with pytest.raises(grpc.aio.AioRpcError):
                await call
            assert dict(await call.trailing_metadata())["x-request-id"] == "mine.2"

    run(test())


def test_orders_say_how_full_the_window_is():
    """
    ``x-ratelimit-*`` of the fullest window, with the answer.
    """

    class Limited(MockBroker):
        rate_windows = (
            RateWindow("orders", limit=10, window=60.0, weights={"place": 1}),
            RateWindow("all", limit=1000, window=60.0),
        )

    async def test():
        async with asked(Limited()) as client:
            call = client.stub.PlaceOrder(placing())
            await call
            trailers = dict(await call.trailing_metadata())
        limits = {name: value for name, value in trailers.items() if name.startswith("x-ratelimit")}
        assert limits == {
            "x-ratelimit-name": "orders",
            "x-ratelimit-limit": "10",
            "x-ratelimit-remaining": "9",
            "x-ratelimit-reset": "60",
        }

    run(test())


# -- time ------------------------------------------------------------------------------------------


def test_a_deadline_travels_as_a_duration(monkeypatch):
    """
    The gateway is given of the client's patience what the server leaves of it: its answer is in time.
    """
    patience = []
    monkeypatch.setattr(_calls, "_deadline", lambda remaining: patience.append(remaining) or 0.02)

    async def test():
        broker = mock()
        broker.venue.on("place", fault="timeout_before")
        async with asked(broker) as client:
            call = client.stub.PlaceOrder(placing(), timeout=SOON)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
        error = error_from(caught.value, "placing")
        assert isinstance(error, DeadlineExceeded)
        assert error.is_explicit
        assert error.outcome is Outcome.UNKNOWN

    run(test())
    assert SOON / 2 < patience[0] < SOON * 2  # what travels is rounded


@pytest.mark.parametrize(
    ("client", "gateway"), [(None, None), (-1.0, 0.0), (0.5, 0.45), (1.0, 0.9), (20.0, 19.9)]
)
def test_an_answer_has_time_to_travel(client, gateway):
    """
    The gateway has a tenth less than the client's patience, and at most a tenth of a second less.
    """
    assert _calls._deadline(client) == gateway


class Slow:
    """Holds up the placing of a broker until it is told to go on."""

    def __init__(self, broker, monkeypatch):
        hook = "_place" if isinstance(broker, MockBroker) else "place_order"
        real = getattr(broker, hook)
        self.under_way, self.go_on = asyncio.Event(), asyncio.Event()

        async def slow(*arguments, **named):
            self.under_way.set()
            await self.go_on.wait()
            return await real(*arguments, **named)

        monkeypatch.setattr(broker, hook, slow)


async def _hung_up(client, slow):
    """Place an order, and hang up while it is under way."""
    call = client.stub.PlaceOrder(placing(), metadata=_metadata("ada's", {}))
    asking = asyncio.ensure_future(call)
    await slow.under_way.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


def test_a_client_that_hangs_up_undoes_nothing(monkeypatch):
    """
    An order that is on its way to the venue goes there, and can be found at once.
    """

    async def test():
        broker = mock()
        slow = Slow(broker, monkeypatch)
        async with asked(broker, tokens=TOKENS) as client:
            await _hung_up(client, slow)
            question = pb.GetOrderRequest(ref=ref(), session="s", call=1)
            found = convert.ORDER.decode(await client.ask("GetOrder", question, "ada's"))
            slow.go_on.set()
            await broker.venue.wait_for("place")
        assert found.status is OrderStatus.PENDING_NEW

    run(test())


def test_a_client_that_hangs_up_undoes_nothing_elsewhere(monkeypatch):
    """
    The same with a gateway that keeps no book: who asks for the order waits until it is known.
    """

    async def test():
        broker = StrangeGateway()
        slow = Slow(broker, monkeypatch)
        looked, get = asyncio.Event(), broker.get_order

        async def look(ref, *, deadline=None):
            looked.set()
            return await get(ref)

        monkeypatch.setattr(broker, "get_order", look)
        async with asked(broker, tokens=TOKENS) as client:
            await _hung_up(client, slow)
            question = pb.GetOrderRequest(ref=ref(), session="s", call=1)
            finding = asyncio.create_task(client.ask("GetOrder", question, "ada's"))
            await looked.wait()
            slow.go_on.set()
            found = convert.ORDER.decode(await finding)
        assert found.status is OrderStatus.NEW

    run(test())


def test_a_server_that_stops_waits_for_what_is_sent(monkeypatch):
    """
    Also where nobody waits for the answer any more.
    """

    async def test():
        broker = StrangeGateway()
        slow = Slow(broker, monkeypatch)
        await broker.connect()
        server = serve(broker, tokens=TOKENS)
        await server.start()
        async with channel_to(server.address) as channel:
            await _hung_up(Client(channel), slow)
        stopping = asyncio.create_task(server.stop(SOON))
        await asyncio.sleep(0)
        assert not broker.orders
        slow.go_on.set()
        await stopping
        assert list(broker.orders) == ["mine"]

    run(test())


def test_a_place_that_was_taken_for_lost_stays_away():
    """
    Asked for an order in a session, the server says that there is none; what arrives later is refused.
    """

    async def test():
        broker = mock()
        async with asked(broker) as client:
            with pytest.raises(OrderNotFound):
                await client.ask("GetOrder", pb.GetOrderRequest(ref=ref(), session="s", call=5))
            for late in (placing(session="s", call=4), placing(session="older", call=9)):
                with pytest.raises(BrokerUnavailable, match="came too late") as caught:
                    await client.ask("PlaceOrder", late)
                assert caught.value.outcome is Outcome.NOT_SENT
            assert not broker.venue.calls("place")
            await client.place(session="s", call=6)
            assert len(broker.venue.calls("place")) == 1

    run(test())


def test_a_change_that_was_taken_for_lost_stays_away():
    """
    The same for changes: what the order was when it was asked for, it stays.
    """

    async def test():
        async with asked(mock()) as client:
            await client.place(session="s", call=1)
            await client.ask("GetOrder", pb.GetOrderRequest(ref=ref(), session="s", call=3))
            change = pb.ModifyOrderRequest(
                ref=ref(), change=convert.CHANGE.encode(OrderChange(qty=9)), session="s", call=2
            )
            with pytest.raises(BrokerUnavailable, match="came too late"):
                await client.ask("ModifyOrder", change)
            change.call = 4
            assert (await client.ask("ModifyOrder", change)).qty == "9"

    run(test())


# -- streams ---------------------------------------------------------------------------------------


async def payloads(stream, wanted):
    """Names of payloads, until *wanted* comes."""
    found = []
    while wanted not in found:
        found += [event.WhichOneof("payload") for event in (await stream.read()).events]
    return found


def test_events_come_from_the_call_on_and_resume():
    """
    The first batch says where it begins; a cursor leads to exactly what came after it.
    """

    async def test():
        broker = mock()
        async with asked(broker) as client:
            stream = client.follow("StreamEvents", pb.StreamEventsRequest())
            start = await stream.read()
            assert start.cursor == broker.book.log.cursor
            assert not start.events
            await client.place(name="one")
            batch = await stream.read()
            stream.cancel()
            await client.place(name="two")

            after = broker.events(batch.cursor)
            expected = [(await anext(after)).cursor for _ in range(2)]
            stream = client.follow("StreamEvents", pb.StreamEventsRequest(after=batch.cursor))
            resumed = []
            while len(resumed) < 2:
                resumed += (await stream.read()).events
            stream.cancel()
        assert [event.cursor for event in resumed] == expected
        assert {event.order.client_order_id for event in resumed} == {"two"}

    run(test())


def test_a_foreign_cursor_is_one_gap_and_a_snapshot():
    """
    Then what follows the snapshot; nothing is passed over silently.
    """

    async def test():
        broker = mock()
        async with asked(broker) as client:
            await client.place(name="before")
            stream = client.follow("StreamEvents", pb.StreamEventsRequest(after="elsewhere:7"))
            events = []
            while len(events) < 2:
                events += (await stream.read()).events
            await client.place(name="after")
            rest = await payloads(stream, "order")
            stream.cancel()
        joiner = convert.Joiner()
        decoded = [convert.decode_event(event, joiner) for event in events]
        gap, *parts = decoded
        snapshot = parts[-1].payload
        assert gap.payload.after == "elsewhere:7"
        assert [each.client_order_id for each in snapshot.orders] == ["before"]
        assert "gap" not in rest
        assert "snapshot" not in rest

    run(test())


def test_silence_is_filled_with_heartbeats():
    """
    As often as was asked; they say where one is.
    """

    async def test():
        broker = mock()
        async with asked(broker) as client:
            stream = client.follow("StreamEvents", pb.StreamEventsRequest(heartbeat=0.02))
            await stream.read()
            beats = [await stream.read() for _ in range(3)]
            quotes = client.follow("StreamQuotes", pb.StreamQuotesRequest(symbols=["IBM"], heartbeat=0.02))
            silence = [await quotes.read() for _ in range(3)]
            stream.cancel()
            quotes.cancel()
            assert {beat.cursor for beat in beats} == {broker.book.log.cursor}
        assert not any(beat.events for beat in beats)
        assert not any(beat.symbol for beat in silence)

    run(test())


def test_many_quotes_are_one_message():
    """
    What comes together goes out together.
    """

    async def test():
        broker = mock()
        symbols = [f"S{number}" for number in range(200)]
        async with asked(broker) as client:
            stream = client.follow("StreamQuotes", pb.StreamQuotesRequest(symbols=symbols))
            await stream.read()
            for number, symbol in enumerate(symbols):
                broker.venue.quote(symbol, Decimal(number + 1), Decimal(number + 2))
            batches, quotes = 0, []
            while len(quotes) < 200:
                batches += 1
                quotes += convert.decode_quotes(await stream.read())
            stream.cancel()
        assert {quote.symbol: quote.bid for quote in quotes} == {
            symbol: number + 1 for number, symbol in enumerate(symbols)
        }
        assert batches <= 10

    run(test())


def test_streams_end_with_the_server():
    """
    At once, and with a reason; what is under way has its grace.
    """

    async def test():
        broker = mock()
        await broker.connect()
        server = serve(broker)
        await server.start()
        async with channel_to(server.address) as channel:
            client = Client(channel)
            stream = client.follow("StreamEvents", pb.StreamEventsRequest(heartbeat=60.0))
            await stream.read()
            broker.venue.on("place", answer_latency=0.1)
            placing_ = asyncio.create_task(client.place())
            await broker.venue.wait_for("place")
            stopping = asyncio.create_task(server.stop(SOON))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                while True:
                    await stream.read()
            assert (await placing_).client_order_id == "mine"
            await stopping
        assert error_from(caught.value, "").code == "stopping"
        await broker.disconnect()

    run(test())


def test_a_stream_ends_with_its_gateway():
    """
    After what happened: the last is that it was disconnected.
    """

    async def test():
        broker = mock()
        async with asked(broker) as client:
            stream = client.follow("StreamEvents", pb.StreamEventsRequest())
            states = []
            async for batch in stream:
                await broker.disconnect()
                states += [event.status_change.new for event in batch.events]
        assert convert.GATEWAY_STATES.decode(states[-1]) is GatewayStatus.DISCONNECTED

    run(test())


def test_who_hangs_up_while_it_is_told_something_breaks_nothing(caplog):
    """
    grpc has many names for that; it is no failure of the method, and what was read is closed.
    """
    closed = []

    async def answers():
        try:
            while True:
                yield pb.EventBatch()
        finally:
            closed.append(True)

    class Gone:
        def invocation_metadata(self):
            return ()

        def time_remaining(self):
            return None

        async def write(self, message):
            raise RuntimeError("the line is broken")

    async def verb(call, request):
        return answers()

    async def test():
        broker = mock()
        counter = Counter({"mock": lambda: broker}, Principals(), private=True, loopback=False)
        await _Border("StreamEvents", verb, counter).many(pb.StreamEventsRequest(), Gone())

    run(test())
    assert closed == [True]
    assert not caplog.records


def test_what_it_serves_may_change():
    """
    The next call goes to the gateway that stands there now.
    """

    async def test():
        old, new = mock(), mock(venue=MockVenue())
        current = old
        await old.connect()
        await new.connect()
        async with serve(lambda: current) as server, channel_to(server.address) as channel:
            client = Client(channel)
            await client.place(name="one")
            current = new
            await client.place(name="two")
        assert [each.client_order_id for each in old.venue.orders] == ["one"]
        assert [each.client_order_id for each in new.venue.orders] == ["two"]
        for each in (old, new):
            await each.disconnect()

    run(test())


def test_a_view_can_be_served():
    """
    Who serves a user's view serves no more than that.
    """
    from hotplug.brokers._hosting._view import view_of
    from hotplug.brokers._settings import Seat
    from hotplug.market import Attribution

    async def test():
        broker = mock()
        await broker.connect()
        view = view_of(broker, Seat(frozenset({"A"}), Attribution(user="ada")))
        async with serve(view) as server, channel_to(server.address) as channel:
            client = Client(channel)
            await client.place()
            await broker.place_order(order("hidden", "B"))
            snapshot = await client.snapshot()
            [placed] = [each for each in await broker.get_open_orders() if each.account == "A"]
        assert [each.client_order_id for each in snapshot.orders] == ["mine"]
        assert placed.attribution.user == "ada"
        await broker.disconnect()

    run(test())


@pytest.mark.parametrize(("granted", "default"), [({"A"}, "A"), ({"A", "B"}, None)])
def test_a_view_with_one_account_has_a_default(granted, default):
    """
    So the account may be left out over the wire where the view itself needs none.
    """
    from hotplug.brokers._hosting._view import view_of
    from hotplug.brokers._settings import Seat
    from hotplug.market import Attribution

    async def test():
        broker = mock()
        await broker.connect()
        view = view_of(broker, Seat(frozenset(granted), Attribution(user="ada")))
        async with serve(view) as server, channel_to(server.address) as channel:
            info = await Client(channel).ask("GetInfo", pb.InfoRequest())
        assert (info.default_account if info.HasField("default_account") else None) == default
        await broker.disconnect()

    run(test())


def test_references_need_not_be_ours():
    """
    The venue's id finds an order as well; with both, both must fit.
    """

    async def test():
        async with asked(mock()) as client:
            ack = await client.place()
            by_venue = await client.ask(
                "GetOrder", pb.GetOrderRequest(ref=pb.OrderRef(order_id=ack.order_id))
            )
        assert convert.ORDER.decode(by_venue).ref == OrderRef(client_order_id="mine", order_id=ack.order_id)
        assert replace(convert.ACK.decode(ack), order_id=None).order_id is None

    run(test())
