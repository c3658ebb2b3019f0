"""Views: two users on one gateway, and nothing of the one that the other could see, touch or collide with."""

from __future__ import annotations

import asyncio
import copy
import gc
import inspect
import pickle
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from types import SimpleNamespace

import pytest

from hotplug.brokers import BookSettings, BrokerRegistry, IBrokerGateway, mask_account
from hotplug.brokers._hosting._stranger import Stranger, _known
from hotplug.brokers._hosting._view import GatewayView, SimulatedView, view_of
from hotplug.brokers._settings import Seat
from hotplug.context import UserExecutionContext
from hotplug.errors import (
    BrokerError,
    DuplicateClientOrderId,
    InvalidContextError,
    NotSupported,
    OrderDenied,
    OrderNotFound,
    PermissionDenied,
)
from hotplug.market import (
    Attribution,
    Bar,
    CancelScope,
    Capability,
    Fill,
    Order,
    OrderChange,
    OrderRef,
    OrderStatus,
    Origin,
    Quote,
    Snapshot,
)
from hotplug_broker_mock import MockBroker
from hotplug_broker_paper import PaperBroker
from placing import request
from strangers import NOW, StrangeGateway, StrangeMarket

ADA = UserExecutionContext("ada", metadata={"strategy": "momentum"})
BOB = UserExecutionContext("bob")
GRANTS = {"accounts": {"ada": ("A1",), "bob": ("B1",), "cleo": ("A1", "C1")}}
ONE = Decimal(1)


def bar(number=1):
    day = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=number)
    return Bar(symbol="X", time=day, open=ONE, high=ONE, low=ONE, close=ONE, volume=Decimal(1000))


MAKERS = {
    "mock": lambda: MockBroker(accounts=("A1", "B1", "C1")),
    "paper": PaperBroker,
    "stranger": StrangeMarket,
}


@asynccontextmanager
async def world(kind):
    """An operator's gateway and what ada and bob have of it, connected."""
    registry, gateway = BrokerRegistry(), MAKERS[kind]()
    registry.register("main", gateway, metadata=GRANTS)
    await gateway.connect()
    views = {user: registry.get("main", UserExecutionContext(user)) for user in ("ada", "bob", "cleo")}
    try:
        yield SimpleNamespace(
            registry=registry, gateway=gateway, ada=views["ada"], bob=views["bob"], cleo=views["cleo"]
        )
    finally:
        await gateway.disconnect()


def both(test):
    """Runs an async test in each world: on the template and not."""

    @pytest.mark.parametrize("kind", MAKERS)
    def run(kind):
        async def go():
            async with world(kind) as here:
                await test(here)

        asyncio.run(go())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


async def refusal(work):
    try:
        await work
    except BrokerError as error:
        return type(error), str(error)
    pytest.fail("it was not refused")


# -- what a view is --------------------------------------------------------------------------------


@both
async def test_a_view_is_a_gateway(here):
    """
    A view fulfils the contract, tells its key and its own accounts, masked, and nothing of other users.
    """
    assert isinstance(here.ada, IBrokerGateway)
    assert here.ada.broker_id == "main"
    assert here.ada.accounts == ("A1",)
    assert here.cleo.accounts == ("A1", "C1")
    info = here.ada.info
    assert (info.broker_id, info.type, info.status) == (
        "main",
        here.gateway.info.type,
        here.gateway.info.status,
    )
    assert (info.accounts, dict(info.metadata), info.last_error) == (("…",), {}, None)
    assert "A1" not in repr(here.ada)


def test_the_operators_gateway_costs_nothing():
    """
    Without a context the registry gives the gateway itself.
    """
    registry, gateway = BrokerRegistry(), StrangeGateway()
    registry.register("main", gateway, metadata=GRANTS)

    assert registry.get("main") is registry["main"] is gateway
    assert asyncio.run(registry.aget("main")) is gateway
    with registry.lease("main") as leased:
        assert leased is gateway


def test_every_way_to_a_user_is_a_view():
    """
    `get`, `aget` and `lease` with a context give views; a gateway made for that user is that user's already.
    """
    registry, gateway, own = BrokerRegistry(), StrangeGateway(), StrangeGateway()
    registry.register("main", gateway, metadata=GRANTS)
    registry.register_lazy("lazy", lambda: gateway, metadata=GRANTS)
    registry.register_factory("each", lambda _: own)

    with registry.lease("main", ADA) as leased:
        found = [registry.get("main", ADA), asyncio.run(registry.aget("lazy", ADA)), leased]
    assert all(type(view) is GatewayView and view.accounts == ("A1",) for view in found)
    assert registry.get("each", ADA) is own
    assert registry.get("absent", ADA, default=None) is None
    with pytest.raises(InvalidContextError, match="str"):
        registry.get("main", "ada")


def test_who_has_no_account_gets_no_view():
    """
    A user without a grant is refused at once; the text names key and user, and nobody else's accounts.
    """
    registry = BrokerRegistry()
    registry.register("main", StrangeGateway(), metadata=GRANTS)

    with pytest.raises(
        PermissionDenied, match=r"broker 'main': no account is granted to user 'eve'"
    ) as caught:
        registry.get("main", UserExecutionContext("eve"))

    assert caught.value.outcome == "NOT_SENT"
    assert not any(name in str(caught.value) for name in ("A1", "B1", "C1", "ada", "bob"))


@pytest.mark.parametrize(
    ("answer", "accounts"),
    [("acc-eve", ("acc-eve",)), (None, None), ("", None), (5, None), (ZeroDivisionError("x"), None)],
)
def test_a_gateway_may_have_an_account_for_everybody(answer, accounts, caplog):
    """
    Without a grant a gateway may name an account for a user; nonsense and errors are no grant.
    """

    class Generous(StrangeGateway):
        def _account_for(self, user):
            assert user == "eve"
            if isinstance(answer, Exception):
                raise answer
            return answer

    registry = BrokerRegistry()
    registry.register("main", Generous())
    eve = UserExecutionContext("eve")

    if accounts is None:
        with pytest.raises(PermissionDenied):
            registry.get("main", eve)
    else:
        assert registry.get("main", eve).accounts == accounts
    assert ("ZeroDivisionError" in caplog.text) is isinstance(answer, Exception)


def test_ctrl_c_while_looking_for_an_account_is_the_callers():
    """
    `KeyboardInterrupt` from a gateway's idea of accounts is passed on.
    """

    class Slow(StrangeGateway):
        def _account_for(self, user):
            raise KeyboardInterrupt

    registry = BrokerRegistry()
    registry.register("main", Slow())
    with pytest.raises(KeyboardInterrupt):
        registry.get("main", ADA)


def test_paper_has_an_account_for_each():
    """
    On paper each user has an account of its own, and nobody the operator's, whatever they are called.
    """
    registry = BrokerRegistry()
    registry.register("paper", PaperBroker())

    def account(user):
        [account] = registry.get("paper", UserExecutionContext(user)).accounts
        return account

    users = ("ada", "default", "~default", "~~default", "~ada")
    assert len({account(user) for user in users}) == len(users)
    assert "default" not in {account(user) for user in users}


# -- what belongs to others does not exist -----------------------------------------------------------


@both
async def test_the_same_client_id_is_two_orders(here):
    """
    Both users may use one client id, with the same request and with other ones; each has an order of its own.
    """
    await here.ada.place_order(request("same"))
    await here.bob.place_order(request("same", qty=Decimal(2)))
    await here.ada.place_order(request("same"))

    [hers] = await here.ada.get_open_orders()
    [his] = await here.bob.get_open_orders()
    assert (hers.client_order_id, hers.account, hers.qty) == ("same", "A1", ONE)
    assert (his.client_order_id, his.account, his.qty) == ("same", "B1", Decimal(2))
    assert (await here.bob.get_order(OrderRef(client_order_id="same"))).account == "B1"
    with pytest.raises(DuplicateClientOrderId):
        await here.ada.place_order(request("same", qty=Decimal(3)))
    assert len(await here.gateway.get_open_orders()) == 2


@both
async def test_anothers_order_is_as_unknown_as_none(here):
    """
    No verb finds another's order by any id, and the text is that for an order that never was.
    """
    ack = await here.ada.place_order(request("hers"))
    await here.bob.place_order(request("his"))
    refs = [
        OrderRef(client_order_id="hers"),
        OrderRef(order_id=ack.order_id),
        OrderRef(client_order_id="hers", order_id=ack.order_id),
        OrderRef(client_order_id="his", order_id=ack.order_id),
    ]
    for ref in refs:
        never = replace(
            ref,
            client_order_id=ref.client_order_id and f"never-{ref.client_order_id}",
            order_id=ref.order_id and f"never-{ref.order_id}",
        )
        for verb in (
            lambda ref: here.bob.get_order(ref),
            lambda ref: here.bob.cancel_order(ref),
            lambda ref: here.bob.modify_order(ref, OrderChange(qty=Decimal(7))),
        ):
            kind, text = await refusal(verb(ref))
            other_kind, other_text = await refusal(verb(never))
            assert kind is other_kind is OrderNotFound
            assert text == other_text.replace("never-", "")
    assert (await here.ada.get_order(OrderRef(client_order_id="hers"))).status is OrderStatus.NEW
    assert (await here.ada.get_order(OrderRef(client_order_id="hers"))).qty == ONE


@both
async def test_lists_hold_ones_own(here):
    """
    Orders, fills, positions, balances and snapshots of a view are those of its accounts.
    """
    await here.ada.place_order(request("hers"))
    await here.bob.place_order(request("his"))
    await fill(here, "hers")
    await fill(here, "his")
    await here.ada.place_order(request("hers-open"))
    await here.bob.place_order(request("his-open"))

    for view, account, mine in ((here.ada, "A1", "hers"), (here.bob, "B1", "his")):
        shot = await view.snapshot()
        for orders in (await view.get_open_orders(), shot.orders):
            assert [order.client_order_id for order in orders] == [f"{mine}-open"]
        for fills in (await view.get_fills(), shot.fills):
            assert [(fill.account, fill.client_order_id) for fill in fills] == [(account, mine)]
        for positions in (await view.get_positions(), shot.positions):
            assert {position.account for position in positions} == {account}
        for balances in (await view.get_balances(), shot.balances):
            assert {balance.account for balance in balances} == {account}


async def fill(here, name):
    """Let an order trade, each kind of gateway in its own way."""
    if isinstance(here.gateway, StrangeGateway):
        here.gateway.fill(name)
    elif isinstance(here.gateway, MockBroker):
        here.gateway.venue.fill(name)
    else:
        view = here.ada if name == "hers" else here.bob
        await view.feed(bar())


@both
async def test_cancel_all_leaves_others_alone(here):
    """
    `cancel_all` in either scope cancels the view's orders and nobody else's, a result for each.
    """
    for scope in CancelScope:
        await here.ada.place_order(request(f"hers-{scope}"))
        await here.bob.place_order(request(f"his-{scope}"))

        results = await here.ada.cancel_all(scope)

        assert [(order.client_order_id, order.status) for order in results] == [
            (f"hers-{scope}", OrderStatus.CANCELED)
        ]
    assert len(await here.bob.get_open_orders()) == 2


@both
async def test_streams_tell_ones_own(here):
    """
    The events of a view are those of its accounts, from the call on; the snapshot after a gap as well.
    """
    ada, bob = here.ada.events(), here.bob.events()
    await here.ada.place_order(request("hers"))
    await here.bob.place_order(request("his"))
    await here.ada.cancel_order(OrderRef(client_order_id="hers"))
    await here.bob.cancel_order(OrderRef(client_order_id="his"))

    async def told(stream, name):
        async with asyncio.timeout(5):
            async for event in stream:
                payload = event.payload
                yield payload
                if isinstance(payload, Order) and payload.status is OrderStatus.CANCELED:
                    return

    for stream, account, name in ((ada, "A1", "hers"), (bob, "B1", "his")):
        payloads = [payload async for payload in told(stream, name)]
        orders = [payload for payload in payloads if isinstance(payload, Order)]
        assert {(order.account, order.client_order_id) for order in orders} == {(account, name)}
        assert not [p for p in payloads if getattr(p, "account", account) != account]
        await stream.aclose()


def test_an_operator_sees_which_accounts_are_granted():
    """
    The operator's report names granted accounts, masked, beside those that the venue tells of; users' do not.
    """
    registry = BrokerRegistry()
    gateway = MockBroker()
    gateway.accounts = ("VENUE-777", "ADA-111")
    registry.register("main", gateway, metadata={"accounts": {"ada": ("ADA-111",), "bob": ("BOB-222",)}})

    told = [mask_account(name) for name in ("VENUE-777", "ADA-111", "BOB-222")]
    assert list(registry.info("main").accounts) == list(gateway.info.accounts) == told
    assert registry.get("main", BOB).info.accounts == (told[2],)


@pytest.mark.parametrize("kind", ["mock", "stranger"])
def test_a_stream_follows_what_is_granted(kind):
    """
    A stream tells nothing of an account after that was taken away, and ends where no account is left.
    """

    async def go():
        async with world(kind) as here:

            def grant(**accounts):
                here.registry.keeper.books.tell("main", BookSettings(accounts=accounts))

            bob, cleo = here.bob.events(), here.cleo.events()
            grant(ada=("B1",), cleo=("C1",))
            await here.ada.place_order(request("now-hers"))
            await here.gateway.place_order(request("not-cleos", account="A1"))
            await here.cleo.place_order(request("still"))

            async with asyncio.timeout(5):
                with pytest.raises(PermissionDenied, match="no account is granted to user 'bob'"):
                    await anext(bob)
                with pytest.raises(StopAsyncIteration):
                    await anext(bob)
                found = (await anext(cleo)).payload
                while not isinstance(found, Order):
                    found = (await anext(cleo)).payload
            assert (found.account, found.client_order_id) == ("C1", "still")
            await cleo.aclose()
            with pytest.raises(PermissionDenied):
                here.bob.events()

    asyncio.run(go())


def test_a_snapshot_in_a_stream_is_cut_to_what_is_granted_by_now():
    """
    What is taken away between the gap and its snapshot is not in the snapshot.
    """

    async def go():
        async with world("mock") as here:
            await here.gateway.place_order(request("c", account="C1"))
            await here.gateway.place_order(request("a", account="A1"))
            stream = here.cleo.events("elsewhere:7")
            gap = await anext(stream)
            here.registry.keeper.books.tell("main", BookSettings(accounts={"cleo": ("C1",)}))
            shot = (await anext(stream)).payload
            await stream.aclose()
            return gap, stream.cursor, shot

    gap, cursor, shot = asyncio.run(go())
    assert type(gap.payload).__name__ == "Gap"
    assert cursor == shot.cursor
    assert [order.account for order in shot.orders] == ["C1"]
    assert {each.account for each in (*shot.positions, *(shot.balances or ()))} <= {"C1"}


@both
async def test_accounts_are_the_views_own(here):
    """
    An order on another's account is refused, one without an account goes to the only one there is.
    """
    kind, text = await refusal(here.ada.place_order(request("a", account="B1")))
    assert (kind, "ada" in text) == (PermissionDenied, True)
    kind, text = await refusal(here.cleo.place_order(request("c")))
    assert kind is OrderDenied
    assert "A1" in text
    assert "B1" not in text

    await here.ada.place_order(request("a"))
    await here.cleo.place_order(request("c", account="C1"))

    assert [order.account for order in await here.gateway.get_open_orders()] == ["A1", "C1"]


@both
async def test_who_it_is_for_is_said_by_the_view(here):
    """
    Orders carry user, account, run and request of the context, wherever they are shown.
    """
    context = UserExecutionContext("ada", metadata={"strategy": "momentum"})
    await here.registry.get("main", context).place_order(request("a"))
    await here.registry.get("main", context).in_run("Cross", "run-7").place_order(request("b"))
    plain = UserExecutionContext("cleo", metadata={"strategy": 5})
    await here.registry.get("main", plain).place_order(request("c", account="C1"))

    first, second = sorted(await here.ada.get_open_orders(), key=lambda order: order.client_order_id)

    assert first.attribution == Attribution(
        user="ada",
        account="A1",
        strategy="momentum",
        run=context.run_id,
        request=context.request_id,
        generation=first.attribution.generation,
    )
    assert (second.attribution.strategy, second.attribution.run) == ("Cross", "run-7")
    assert (second.attribution.user, second.attribution.account) == ("ada", "A1")
    third = await here.cleo.get_order(OrderRef(client_order_id="c"))
    assert (third.attribution.account, third.attribution.strategy) == ("C1", None)


@both
async def test_what_is_the_operators_is_refused(here):
    """
    A view neither connects nor disconnects nor resolves.
    """
    for work in (
        here.ada.connect(),
        here.ada.disconnect(),
        here.ada.resolve_order(OrderRef(client_order_id="x"), OrderStatus.CANCELED, "because"),
    ):
        kind, text = await refusal(work)
        assert kind is PermissionDenied
        assert "operator" in text
    assert here.gateway.info.status == "READY"


@both
async def test_nothing_of_a_view_is_the_gateway(here):
    """
    No attribute of a view, of its methods or of its streams leads to the operator's gateway.
    """
    stream = here.ada.events()
    things = [here.ada, stream, here.ada.in_run("S", "r")]
    seen: dict[int, object] = {}
    while things:
        thing = things.pop()
        ours = type(thing).__module__.startswith("hotplug")
        if id(thing) in seen or not ours or isinstance(thing, Enum):
            continue
        seen[id(thing)] = thing
        assert not isinstance(thing, IBrokerGateway) or isinstance(thing, GatewayView)
        for name in dir(thing):
            things += [] if name.startswith("__") else [getattr(thing, name, None)]
        things.extend(getattr(thing, "__dict__", {}).values())
    for name in ("__dict__", "__closure__", "__self__", "__wrapped__"):
        assert not hasattr(here.ada, name)
    for _, method in inspect.getmembers(GatewayView, inspect.isfunction):
        assert method.__closure__ is None
    await stream.aclose()


def test_a_view_is_not_made_by_hand():
    """
    A view cannot be constructed, copied, pickled or given attributes.
    """
    with pytest.raises(TypeError, match="made by a registry"):
        GatewayView()
    view = view_of(StrangeGateway(), Seat(frozenset({"A1"}), Attribution(user="ada")))
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="neither copied nor pickled"):
            attempt(view)
    with pytest.raises(AttributeError):
        view.accounts = ("B1",)
    with pytest.raises(AttributeError):
        view.mine = 1
    with pytest.raises(AttributeError):
        _ = object.__new__(GatewayView).broker_id


def test_what_is_granted_can_be_taken_away():
    """
    A view follows the grants: who lost an account has lost it in views taken before, too.
    """
    registry, gateway = BrokerRegistry(), StrangeGateway()
    registry.register("main", gateway, metadata=GRANTS)
    view = registry.get("main", UserExecutionContext("cleo"))

    registry.keeper.books.tell("main", BookSettings(accounts={"cleo": ("C1",)}))
    assert view.accounts == ("C1",)
    registry.keeper.books.tell("main", BookSettings())

    with pytest.raises(PermissionDenied):
        _ = view.accounts
    with pytest.raises(PermissionDenied):
        asyncio.run(view.get_open_orders())
    assert repr(view) == "<view of 'main'>"


@both
async def test_the_market_is_everybodys(here):
    """
    Health and limits are shared, as is what the market says, as far as the gateway can tell.
    """
    assert (await here.ada.health()).status == "healthy"
    assert len(await here.ada.rate_limits()) == len(await here.gateway.rate_limits())
    if isinstance(here.gateway, StrangeGateway):
        span = NOW, NOW, timedelta(days=1)
        assert await here.ada.get_instrument("X") == "instrument X"
        assert await here.ada.get_quote("X") == "quote X"
        assert await here.ada.get_bars("X", *span) == ("bars X",)
        quotes = here.ada.stream_quotes(["X", "Y"])
        assert [quote async for quote in quotes] == ["X", "Y"]
        assert quotes.cursor is None


# -- simulated gateways ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["paper", "stranger"])
def test_a_market_is_fed_to_ones_own_accounts(kind):
    """
    A view of a simulated gateway feeds and opens its own accounts, and hears of its own fills.
    """

    async def go():
        async with world(kind) as here:
            assert type(here.ada) is SimulatedView
            await here.ada.place_order(request("hers"))
            await here.bob.place_order(request("his"))
            made = await here.ada.feed(bar())
            assert {(fill.account, fill.client_order_id) for fill in made} == {("A1", "hers")}
            for work in (here.ada.feed(bar(2), account="B1"), here.ada.open_account("B1")):
                kind_of_error, text = await refusal(work)
                assert kind_of_error is PermissionDenied
                assert "'ada'" in text
            await here.cleo.open_account("C1", Decimal(50))
            assert {each.account for each in await here.cleo.get_balances()} == {"A1", "C1"}

    asyncio.run(go())


def test_quotes_are_fed_where_they_are_taken():
    """
    A gateway without `feed_quote` is NotSupported; the error leads to no gateway.
    """

    async def go():
        quote = Quote(symbol="X", bid=ONE, bid_size=ONE, ask=ONE, ask_size=ONE, time=NOW)
        async with world("stranger") as here:
            with pytest.raises(NotSupported, match="no feed_quote") as caught:
                await here.ada.feed_quote(quote)
            assert caught.value.__cause__ is caught.value.__context__ is None

            here.gateway.feed_quote = here.gateway.feed
            await here.cleo.feed_quote(quote)
            assert [account for _, _, account in here.gateway.fed] == ["A1", "C1"]

    asyncio.run(go())


# -- gateways that are not built on the template -----------------------------------------------------


def test_ids_at_a_strange_gateway_are_kept_apart():
    """
    A client id that another uses goes to the venue under another name, and comes back under its own.
    """

    async def go():
        async with world("stranger") as here:
            await here.ada.place_order(request("same"))
            ack = await here.bob.place_order(request("same"))
            assert ack.client_order_id == "same"
            wires = set(here.gateway.orders)
            assert len(wires) == 2
            assert "same" in wires
            [his] = wires - {"same"}
            stream = here.bob.events()
            here.gateway.fill(his)
            fill = (await anext(stream)).payload
            order = (await anext(stream)).payload
            assert isinstance(fill, Fill)
            assert (fill.client_order_id, order.client_order_id) == ("same", "same")
            [told] = await here.bob.get_fills()
            assert told.client_order_id == "same"
            changed = await here.ada.modify_order(
                OrderRef(client_order_id="same"), OrderChange(qty=Decimal(9))
            )
            assert (changed.client_order_id, changed.qty, changed.account) == ("same", Decimal(9), "A1")

    asyncio.run(go())


def test_the_rest_of_a_strange_stream():
    """
    Snapshots in a strange stream are cut to the view, what concerns nobody passes, and closing closes it.
    """

    async def go():
        async with world("stranger") as here:
            await here.ada.place_order(request("hers"))
            stream = here.bob.events()
            here.gateway.tell(await here.gateway.snapshot())
            here.gateway.tell(Snapshot(orders=None, fills=None, positions=None, balances=None, cursor=None))
            here.gateway.beat()
            [balance] = [each for each in await here.gateway.get_balances() if each.account == "B1"]
            here.gateway.tell(balance)
            shot = (await anext(stream)).payload
            assert (shot.orders, {each.account for each in shot.positions}) == ((), {"B1"})
            assert (await anext(stream)).payload.orders is None
            assert type((await anext(stream)).payload).__name__ == "Heartbeat"
            assert (await anext(stream)).payload == balance
            await stream.aclose()
            assert here.gateway.closed_streams == 1
            quotes = here.bob.stream_quotes(["X"])
            await quotes.aclose()
            ending = here.ada.events()
            here.gateway.end_streams()
            assert [event async for event in ending] == []

    asyncio.run(go())


def test_an_iterator_without_aclose_can_be_left():
    """
    A strange gateway's stream may be any async iterator; leaving it is fine.
    """

    class Bare:
        def __aiter__(self):
            return self

        async def __anext__(self):
            raise StopAsyncIteration

    class Barest(StrangeGateway):
        def events(self, after=None):
            return Bare()

        def stream_quotes(self, symbols):
            return Bare()

    async def go():
        view = view_of(Barest(), Seat(frozenset({"A1"}), Attribution(user="ada")))
        assert [event async for event in view.events()] == []
        quotes = view.stream_quotes([])
        await quotes.aclose()
        assert [quote async for quote in quotes] == []

    asyncio.run(go())


def test_cancelling_at_a_strange_gateway_by_user_and_origin():
    """
    Cancelling all takes own orders unless told otherwise, or those of one user; errors are results.
    """

    async def go():
        async with world("stranger") as here:
            operator = Seat(None, Attribution())
            desk = Stranger(here.gateway, "main")
            here.gateway.external()
            for view, name in ((here.ada, "hers"), (here.bob, "his"), (here.bob, "stuck")):
                await view.place_order(request(name))
            here.gateway.refuses_to_cancel["stuck"] = BrokerError("too late", outcome="REJECTED")

            his = await desk.cancel_all_for(operator, CancelScope.OWN, None, "bob")
            assert [getattr(each, "client_order_id", str(each)) for each in his] == [
                "his",
                "order 'stuck': too late",
            ]
            own = await desk.cancel_all_for(operator, CancelScope.OWN, None)
            assert [getattr(each, "client_order_id", str(each)) for each in own] == [
                "hers",
                "order 'stuck': too late",
            ]
            del here.gateway.refuses_to_cancel["stuck"]
            rest = await desk.cancel_all_for(operator, CancelScope.ALL, None)
            assert {each.client_order_id for each in rest} == {"external", "stuck"}
            found = await desk.get_order_for(operator, OrderRef(client_order_id="external"), None)
            assert (found.origin, found.attribution) == (Origin.EXTERNAL, Attribution())

    asyncio.run(go())


def test_the_operator_places_at_a_strange_gateway_as_ever():
    """
    From the operator's seat the account is whatever the request says.
    """

    async def go():
        gateway = StrangeGateway()
        desk = Stranger(gateway, "main")
        await desk.place_for(Seat(None, Attribution()), request("x", account="Z9"), None)
        assert gateway.orders["x"].account == "Z9"

    asyncio.run(go())


def test_names_are_forgotten_in_time(monkeypatch):
    """
    Only the newest orders are remembered, and nothing of a gateway that is gone.
    """
    monkeypatch.setattr("hotplug.brokers._hosting._stranger.REMEMBERED", 2)

    async def go(gateway):
        desk = Stranger(gateway, "main")
        seat = Seat(frozenset({"A1"}), Attribution(user="ada"))
        for name in ("a", "b", "c"):
            await desk.place_for(seat, request(name), None)
        assert Stranger(gateway, "main")._names is desk._names
        orders = await desk.open_orders_for(seat, None)
        return [order.attribution.user for order in orders]

    gateway = StrangeGateway()
    assert asyncio.run(go(gateway)) == [None, "ada", "ada"]
    number = id(gateway)
    assert number in _known
    del gateway
    gc.collect()
    assert number not in _known


def test_a_gateway_that_cannot_be_referred_to_weakly():
    """
    A gateway with slots works too; its views just share no memory of names.
    """

    class Slotted(IBrokerGateway):
        __slots__ = ("inner",)
        __hash__ = None

        def __init__(self):
            self.inner = StrangeGateway()

    for name in IBrokerGateway.__abstractmethods__:
        if name in {"info", "broker_id"}:
            setattr(Slotted, name, property(lambda self, name=name: getattr(self.inner, name)))
        else:
            setattr(Slotted, name, lambda self, *a, name=name, **k: getattr(self.inner, name)(*a, **k))
    Slotted.__abstractmethods__ = frozenset()

    async def go():
        view = view_of(Slotted(), Seat(frozenset({"A1"}), Attribution(user="ada")))
        await view.place_order(request("x"))
        [order] = await view.get_open_orders()
        return order.attribution.user

    assert asyncio.run(go()) == "ada"


def test_capability_decides_about_the_market():
    """
    Only a gateway with the capability SIMULATED has a view that can be fed.
    """
    seat = Seat(frozenset({"A1"}), Attribution(user="ada"))

    assert not hasattr(view_of(StrangeGateway(), seat), "feed")
    assert hasattr(view_of(StrangeGateway(capabilities={Capability.SIMULATED}), seat), "feed")
