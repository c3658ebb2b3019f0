"""Books: one per key, outliving gateways; who has their gate, where they are kept, what holds for them."""

from __future__ import annotations

import asyncio
import gc
from decimal import Decimal

import pytest

from hotplug._records import PluginRecord
from hotplug.brokers import BookSettings, BrokerRegistry, ReplacePolicy
from hotplug.brokers._events._journal import FileJournal
from hotplug.brokers._hosting._books import Books, is_at_rest
from hotplug.context import UserExecutionContext
from hotplug.errors import (
    BrokerError,
    ContractError,
    DuplicateKeyError,
    FrozenRegistryError,
    GatewayReplaced,
    HostError,
    LiveRefused,
    OrderDenied,
)
from hotplug.market import Environment
from hotplug.registry import Shelf
from hotplug_broker_mock import MockBroker, MockVenue
from placing import request
from strangers import StrangeGateway

pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.fixture
def registry(home, tmp_path):
    registry = BrokerRegistry()
    registry.keeper.settle(tmp_path / "orders", lambda key: key.replace("/", "%2f"), home, dict)
    yield registry
    for key, gateway in registry.keeper.connected():
        home.run(registry.keeper.farewell(key, gateway, 5.0, cancel=False))
    registry.keeper.end_watch()
    home.run(registry.keeper.end())


def error_of(call):
    try:
        call()
    except Exception as error:
        return type(error)
    return None


# -- one book for each key -----------------------------------------------------------------------------


def test_a_book_outlives_its_gateways(registry, home):
    """
    The next gateway under a key has the same book: orders, ids and events go on, the generation counts.
    """
    venue = MockVenue()
    first, second = MockBroker(venue=venue), MockBroker(venue=venue)
    undo = registry.register("main", first)
    home.run(first.connect())
    registry.sync("main").place_order(request("x"))
    book, cursor = registry.book("main"), first.book.log.cursor
    home.run(first.disconnect())
    undo()

    registry.register("main", second)
    home.run(second.connect())

    assert registry.book("main") is second.book is book
    assert (first.generation, second.generation) == (1, 2)
    assert [order.client_order_id for order in registry.sync("main").get_open_orders()] == ["x"]
    assert registry.sync("main").place_order(request("x")).order_id is not None
    assert len(venue.calls("place")) == 1
    with registry.sync("main").events(after=cursor, deadline=5) as stream:
        assert next(stream).payload.old == "READY"


def test_a_strange_gateway_needs_no_book(registry):
    """
    What is not built on the template just stands there.
    """
    registry.register("odd", StrangeGateway())

    assert registry.book("odd") is None
    assert is_at_rest(StrangeGateway())
    assert Books().attached() == ()


def test_gateways_live_at_the_hosts_home(registry, home):
    """
    A registered gateway's home is the host's loop, whoever connects it from wherever.
    """
    gateway = MockBroker()
    registry.register("main", gateway)

    asyncio.run(gateway.connect())

    assert gateway._core.home is home.loop


def test_without_a_host_home_is_where_it_connects():
    """
    In a registry alone a gateway lives on the loop of its first connect; its book is in memory.
    """
    registry, gateway = BrokerRegistry(), MockBroker(environment=Environment.SANDBOX)
    registry.register("main", gateway)

    async def live():
        await gateway.connect()
        await gateway.disconnect()
        return asyncio.get_running_loop()

    assert gateway._core.home is None
    assert asyncio.run(live()) is gateway._core.home
    assert registry.book("main").log.journal.path is None


def test_what_is_loaded_later_gets_the_book_too(registry):
    """
    A lazy gateway is given its book by the load, before anybody has it.
    """
    gateway = MockBroker()
    registry.register_lazy("main", lambda: gateway)
    assert registry.book("main") is None

    registry.get("main")

    assert registry.book("main") is gateway.book
    assert gateway.broker_id == "main"
    with pytest.raises(ContractError):
        registry.register_lazy("other", 5)


# -- whose gate is open ----------------------------------------------------------------------------------


def test_two_gates_are_never_open(registry, home):
    """
    While one gateway has a session, the gate of another one on its book is shut; it opens when that is gone.
    """
    venue = MockVenue()
    first, second = MockBroker(venue=venue), MockBroker(venue=venue)
    registry.register("main", first)
    home.run(first.connect())
    registry.unregister("main")

    registry.register("main", second)
    home.run(second.connect())
    with pytest.raises(GatewayReplaced):
        registry.sync("main").place_order(request("x"))
    home.run(first.place_order(request("y")))
    home.run(first.disconnect())
    registry.keeper.promote(second)

    registry.sync("main").place_order(request("z"))
    with pytest.raises(BrokerError):
        home.run(first.place_order(request("w")))
    assert [call.client_order_id for call in venue.calls("place")] == ["y", "z"]


def test_replacing_one_that_has_a_session_is_refused(registry, home):
    """
    `replace` does not put a second gateway beside one that is connected; at rest, the new one takes over.
    """
    old, new = MockBroker(), MockBroker()
    registry.register("main", old)
    home.run(old.connect())
    with pytest.raises(HostError, match="brokers/main is READY: disconnect it first"):
        registry.replace("main", new)
    home.run(old.disconnect())

    assert registry.replace("main", new) is old

    home.run(new.connect())
    registry.sync("main").place_order(request("x"))
    assert registry.book("main").owner is new
    odd = StrangeGateway()
    home.run(new.disconnect())
    assert registry.replace("main", odd) is new
    assert registry.replace("main", StrangeGateway()) is odd


def test_a_registration_that_fails_leaves_the_book_alone(registry):
    """
    Who does not get the key does not get the book of who has it, nor keeps one of a key that is refused.
    """
    mine, other = MockBroker(), MockBroker()
    registry.register("main", mine)

    assert error_of(lambda: registry.register("main", other)) is DuplicateKeyError
    assert (registry.book("main").owner, other.generation) == (mine, 0)
    registry.freeze()
    assert error_of(lambda: registry.register("late", other)) is FrozenRegistryError
    assert registry.book("late").owner is None
    assert error_of(lambda: registry.register(5, other)) is TypeError


def test_one_that_was_connected_before_keeps_its_own_book(home, tmp_path):
    """
    Registered while connected, a gateway brings its book, unless orders belong into a file or another book.
    """
    registry = BrokerRegistry()
    gateway, other, live = MockBroker(), MockBroker(), MockBroker(environment=Environment.LIVE)
    for each in (gateway, other, live):
        home.run(each.connect())

    registry.register("main", gateway, metadata={"mode": "read"})
    assert registry.book("main") is gateway.book
    assert registry.halt("storm", cancel=False) == ()
    assert gateway.book.halts.reason("main", None) == "storm"
    assert gateway.book.settings.mode == "read"
    registry.register("twice", gateway)
    registry.unregister("main")
    with pytest.raises(HostError, match="register it before it is connected"):
        registry.register("main", other)

    registry.keeper.settle(tmp_path / "orders", str, home, dict)
    with pytest.raises(HostError, match="the gateway for brokers/live is READY"):
        registry.register("live", live)
    for each in (gateway, other, live):
        home.run(each.disconnect())
    registry.keeper.end_watch()


def test_a_gateway_that_is_gone_is_not_kept(registry):
    """
    Books remember gateways only as long as somebody else does.
    """
    registry.register("main", MockBroker())
    assert len(registry.keeper.books.attached()) == 1
    registry.unregister("main")
    registry.keeper.release("main", registry.keeper.books.attached()[0])
    registry.keeper.release("absent", None)
    gc.collect()
    assert registry.keeper.books.attached() == ()
    assert registry.book("main").time_of("A1").utcoffset().total_seconds() == 0


# -- settings --------------------------------------------------------------------------------------------


def test_settings_come_with_the_registration(registry, home):
    """
    What metadata says of limits and modes holds for the book, and what is said anew reaches the same book.
    """
    gateway = MockBroker()
    undo = registry.register("main", gateway, metadata={"limits": {"max_qty": 5}})
    home.run(gateway.connect())
    front = registry.sync("main")
    assert error_of(lambda: front.place_order(request(qty=Decimal(6)))) is OrderDenied
    owner = PluginRecord("brokers", "hotplug.brokers", "main", "m:M", "acme", "1.0")

    registry.retune("main", owner, {"tags": (), "metadata": {}})
    assert registry.entries()[0].metadata == {"limits": {"max_qty": 5}}
    registry.keeper.books.tell("main", BookSettings(mode="read", policy=ReplacePolicy.DRAIN))

    assert error_of(lambda: front.place_order(request())) is LiveRefused
    home.run(gateway.disconnect())
    undo()
    registry.register_lazy("main", MockBroker, owner=owner)
    registry.retune("main", owner, {"tags": ("eu",), "metadata": {"mode": "trade"}})
    assert registry.list_by_tag("eu") == ("main",)
    assert registry.book("main").settings == BookSettings(mode="trade")
    registry.retune("absent", owner, {"tags": (), "metadata": {}})


def test_wrong_settings_register_nothing(registry):
    """
    Options that make no sense are an error of who registers, and nothing stands.
    """
    for register, thing in ((registry.register, MockBroker()), (registry.register_lazy, MockBroker)):
        with pytest.raises(ValueError, match="brokers/main: mode: "):
            register("main", thing, metadata={"mode": "x"})
        assert len(registry) == 0
    undo = registry.register_lazy("main", MockBroker)
    undo()
    shelf = Shelf()
    with pytest.raises(ValueError, match="brokers/main: mode: "):
        shelf.change().put(registry, "main", load=MockBroker, metadata={"mode": "x"})
    change = shelf.change()
    change.put(registry, "main", factory=lambda _: StrangeGateway(), metadata={"mode": "read"})
    assert registry.keeper.books.settings("main").mode != "read"
    change.publish()
    assert registry.keeper.books.settings("main").mode == "read"


def test_what_a_journal_cannot_follow_is_said(registry, caplog):
    """
    A change of journal or fsync is for the next start; the log says so.
    """
    registry.register("main", MockBroker())
    registry.keeper.books.tell("main", BookSettings(fsync=True))
    registry.keeper.books.tell("unknown", BookSettings(fsync=True))

    assert caplog.text.count("restart to follow") == 1


# -- journals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "said", "kept"),
    [
        (Environment.LIVE, None, True),
        (Environment.SANDBOX, None, True),
        (Environment.PAPER, None, False),
        (Environment.MOCK, None, False),
        (Environment.MOCK, True, True),
        (Environment.LIVE, False, False),
    ],
)
def test_where_orders_are_kept(registry, tmp_path, environment, said, kept):
    """
    Orders of live and sandbox gateways are kept in a file of their key, others in memory; an option decides.
    """
    metadata = {} if said is None else {"journal": said}

    registry.register("a/b", MockBroker(environment=environment), metadata=metadata)

    path = tmp_path / "orders" / "a%2fb.jsonl"
    assert path.exists() is kept
    assert registry.book("a/b").log.journal.path == (path if kept else None)
    if kept:
        assert oct(path.stat().st_mode & 0o777) == "0o600"


def test_a_journal_that_another_holds(registry, home, tmp_path, caplog):
    """
    A host whose journal is held by another is read-only there, and the log names the holder.
    """
    holder = FileJournal(tmp_path / "orders" / "main.jsonl")
    gateway = MockBroker(environment=Environment.SANDBOX)
    registry.register("main", gateway, metadata={"accounts": {"ada": ["A1"]}})
    home.run(gateway.connect())

    with pytest.raises(LiveRefused, match="journal is held by pid"):
        registry.sync("main", UserExecutionContext("ada")).place_order(request())

    assert "brokers/main is read-only here: its journal is held by pid" in caplog.text
    holder.close()


def test_a_journal_that_cannot_be_opened(registry, tmp_path):
    """
    Where the journal cannot be opened nothing is registered.
    """
    (tmp_path / "orders").mkdir(exist_ok=True)
    (tmp_path / "orders" / "main.jsonl").symlink_to("/dev/null")
    gateway = MockBroker(environment=Environment.SANDBOX)

    with pytest.raises(OSError, match="main.jsonl"):
        registry.register("main", gateway)
    assert "main" not in registry
    assert registry.book("main") is None


# -- leaving ---------------------------------------------------------------------------------------------


def test_goodbye_leaves_orders_or_cancels_them(registry, home, caplog):
    """
    Own orders stay at the venue and are named, unless the settings say that they are cancelled first.
    """
    gateways = {}
    for key, on_shutdown in (("stays", "leave"), ("goes", "cancel")):
        for sort, make in (("mock", MockBroker), ("odd", StrangeGateway)):
            name = f"{sort}-{key}"
            gateways[name] = make()
            registry.register(name, gateways[name], metadata={"on_shutdown": on_shutdown})
            registry.sync(name).connect()
            registry.sync(name).place_order(request(name, account="A1"))
    gateways["odd-stays"].external()

    for name, gateway in gateways.items():
        home.run(registry.keeper.farewell(name, gateway, 5.0, cancel=True))
    left = home.run(registry.keeper.end())

    assert sorted(order.client_order_id for order in left) == ["mock-stays", "odd-stays"]
    assert "order mock-stays stays open (BUY 1 X, NEW)" in caplog.text
    assert {gateway.info.status for gateway in gateways.values()} == {"DISCONNECTED"}


def test_goodbye_is_said_whatever_goes_wrong(registry, home, caplog):
    """
    What cannot be cancelled or asked for is logged, and the gateway is disconnected all the same.
    """
    odd, mute = StrangeGateway(), StrangeGateway()
    for key, gateway in (("odd", odd), ("mute", mute)):
        registry.register(key, gateway, metadata={"on_shutdown": "cancel"})
        registry.sync(key).connect()
        registry.sync(key).place_order(request(key, account="A1"))
    odd.refuses_to_cancel["odd"] = BrokerError("too late")

    async def fail(**_):
        raise BrokerError("no answer")

    mute.get_open_orders = fail
    for key, gateway in (("odd", odd), ("mute", mute)):
        home.run(registry.keeper.farewell(key, gateway, 5.0, cancel=True))
        home.run(registry.keeper.farewell(key, gateway, 5.0, cancel=True))

    for text in (
        "brokers/odd: an order was not cancelled: order 'odd': too late",
        "brokers/mute: its open orders were not cancelled: no answer",
        "brokers/mute: its open orders are not known: no answer",
    ):
        assert text in caplog.text
    assert {odd.status, mute.status} == {"DISCONNECTED"}


def test_after_the_end_nothing_is_watched(registry):
    """
    A gateway that is registered when the host has ended begins no watch any more.
    """
    registry.keeper.end_watch()
    registry.keeper.end_watch()

    registry.register("late", MockBroker())

    assert registry.keeper.is_late is False
