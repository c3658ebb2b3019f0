"""The brake: no order is sent after a halt returned, own orders are cancelled, each with its result."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from decimal import Decimal

import pytest

from hotplug._lifecycle import HomeLoop
from hotplug.brokers import BrokerRegistry
from hotplug.brokers._events._journal import read_journal
from hotplug.brokers._hosting import _brake as braking
from hotplug.brokers._hosting._acks import Acks, read_acks
from hotplug.brokers._hosting._halts import Halt, HaltFile, Halts
from hotplug.context import UserExecutionContext
from hotplug.errors import BrokerError, Halted, NotRegisteredError, SyncCallOnLoop
from hotplug.market import Order, OrderRef, OrderRequest, OrderStatus, OrderType, Side, TimeInForce
from hotplug_broker_mock import MockBroker, MockVenue
from racing import in_threads
from strangers import StrangeGateway

pytestmark = pytest.mark.usefixtures("nothing_left")
GRANTS = {"accounts": {"ada": ("A1",), "bob": ("B1",)}}
PATIENCE = 10.0


def request(name=None, **changes):
    facts = {
        "symbol": "X",
        "side": Side.BUY,
        "qty": Decimal(1),
        "type": OrderType.LIMIT,
        "price": Decimal(5),
        "tif": TimeInForce.GTC,
        **({"client_order_id": name} if name else {}),
    }
    return OrderRequest(**{**facts, **changes})


def until(condition):
    deadline, pause = time.monotonic() + PATIENCE, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        pause.wait(0.001)


@pytest.fixture
def home():
    home = HomeLoop.own("test home")
    yield home
    home.close()


@pytest.fixture
def make(home, tmp_path):
    """Makes registries that live at home, on one folder."""
    made = []

    def registry():
        registry = BrokerRegistry()
        registry.keeper.settle(tmp_path / "orders", str, home, dict)
        made.append(registry)
        return registry

    yield registry
    for registry in made:
        for key, gateway in registry.keeper.connected():
            home.run(registry.keeper.farewell(key, gateway, 5.0, cancel=False))
        registry.keeper.end_watch()
        home.run(registry.keeper.end())


@pytest.fixture
def venue():
    return MockVenue()


@pytest.fixture
def registry(make, home, venue):
    """Two brokers: ``main`` on the template, ``odd`` not; ada and bob at both."""
    registry = make()
    registry.register("main", MockBroker(venue=venue), metadata={**GRANTS, "journal": True})
    registry.register("odd", StrangeGateway(), metadata=GRANTS)
    for _, gateway in registry.loaded():
        home.run(gateway.connect())
    return registry


def place(registry, key, user, name):
    return registry.sync(key, UserExecutionContext(user)).place_order(request(name))


def is_halted(registry, key, user):
    try:
        place(registry, key, user, None)
    except Halted:
        return True
    return False


def names(results):
    return sorted(result.client_order_id for result in results)


# -- halting -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("eager_threads")
def test_no_order_is_sent_after_a_halt(registry, venue):
    """
    In a burst from eight threads: nothing reaches the venue after halt() returned, and nothing stays open.
    """
    stop, under_way = threading.Event(), threading.Barrier(9)
    outcomes: list[object] = []

    def burst(user):
        front = registry.sync("main", UserExecutionContext(user))

        def run():
            under_way.wait(PATIENCE)
            while not stop.is_set():
                try:
                    outcomes.append(front.place_order(request()))
                except BrokerError as error:
                    outcomes.append(error)
                    if isinstance(error, Halted):
                        return

        return run

    sent = []

    def halt():
        under_way.wait(PATIENCE)
        until(lambda: len(venue.calls("place")) > 50)
        sent.append(registry.halt("storm"))
        sent.append(len(venue.calls("place")))
        until(lambda: sum(isinstance(each, Halted) for each in outcomes) == 8)
        stop.set()

    in_threads(*map(burst, ["ada", "bob"] * 4), halt)

    results, count = sent
    assert len(venue.calls("place")) == count
    assert venue.open_orders == ()
    assert {result.status for result in results} == {OrderStatus.CANCELED}
    placed = [each for each in outcomes if not isinstance(each, BrokerError)]
    assert len(results) == len(placed) == count


def test_a_halt_covers_every_broker(registry):
    """
    Without a key all gateways are halted, built on the template or not, and each order has its result.
    """
    for key in ("main", "odd"):
        place(registry, key, "ada", f"ada-{key}")
        place(registry, key, "bob", f"bob-{key}")

    results = registry.halt("storm")

    assert names(results) == ["ada-main", "ada-odd", "bob-main", "bob-odd"]
    assert {result.status for result in results} == {OrderStatus.CANCELED}
    assert all(is_halted(registry, key, user) for key in ("main", "odd") for user in ("ada", "bob"))
    assert [str(halt) for halt in registry.halts()] == ["every broker: storm"]


@pytest.mark.parametrize(
    ("scope", "cancelled", "halted"),
    [
        ({"key": "main"}, ["ada-main", "bob-main"], [("main", "ada"), ("main", "bob")]),
        ({"user": "ada"}, ["ada-main", "ada-odd"], [("main", "ada"), ("odd", "ada")]),
        ({"key": "odd", "user": "bob"}, ["bob-odd"], [("odd", "bob")]),
    ],
)
def test_a_halt_may_be_narrow(registry, scope, cancelled, halted):
    """
    With key or user only that broker and that user's orders are concerned, whoever else trades.
    """
    everybody = [(key, user) for key in ("main", "odd") for user in ("ada", "bob")]
    for key, user in everybody:
        place(registry, key, user, f"{user}-{key}")

    assert names(registry.halt("storm", **scope)) == cancelled

    assert [each for each in everybody if is_halted(registry, *each)] == halted


def test_orders_may_be_left_open(registry, venue):
    """
    With cancel=False gates are shut, and nothing is cancelled; cancelling by hand goes on working.
    """
    place(registry, "main", "ada", "a")
    place(registry, "odd", "ada", "b")

    assert registry.halt("storm", cancel=False) == ()

    assert len(venue.open_orders) == 1
    assert is_halted(registry, "main", "ada")
    front = registry.sync("main", UserExecutionContext("ada"))
    assert front.cancel_order(OrderRef(client_order_id="a")).status is OrderStatus.CANCELED


def test_a_slip_of_the_pen_halts_nothing_in_silence(registry):
    """
    A key that nothing stands under, and a halt without a reason, are errors.
    """
    with pytest.raises(NotRegisteredError, match="did you mean 'main'"):
        registry.halt("storm", key="mian")
    with pytest.raises(ValueError, match="say why"):
        registry.halt(" ")
    assert registry.halts() == ()


def test_what_cannot_be_cancelled_is_a_result(registry, monkeypatch):
    """
    An order that the venue does not cancel, a gateway that raises nonsense or hangs: errors, for each order.
    """
    monkeypatch.setattr(braking, "CANCEL_LIMIT", 0.02)
    monkeypatch.setattr(braking, "GRACE", 0.02)
    odd = registry.get("odd")
    place(registry, "odd", "ada", "stuck")
    odd.refuses_to_cancel["stuck"] = BrokerError("too late", outcome="REJECTED")
    [result] = registry.halt("storm", key="odd")
    assert str(result) == "order 'stuck': too late"

    async def hang(**_):
        await asyncio.Event().wait()

    async def explode(**_):
        raise ZeroDivisionError("odd")

    for broken, text in ((hang, "no answer within 0.02 s"), (explode, "ZeroDivisionError: odd")):
        odd.get_open_orders = broken
        [result] = registry.halt("storm", key="odd")
        assert isinstance(result, BrokerError)
        assert text in str(result)


def test_a_gateway_of_the_template_that_cannot_cancel(registry, venue, monkeypatch):
    """
    Where all cancelling fails at once, every open order has the error as its result.
    """
    for name in ("a", "b"):
        place(registry, "main", "ada", name)

    async def fail(*_):
        raise BrokerError("no line", outcome="NOT_SENT")

    monkeypatch.setattr(registry.get("main")._core.cancels, "cancel_all", fail)

    results = registry.halt("storm", user="ada")
    assert [str(result) for result in results] == ["order 'a': no line", "order 'b': no line"]
    assert {result.outcome for result in results} == {"NOT_SENT"}
    assert registry.halt("storm", user="bob", key="main")[0].message == "no line"


def test_orders_of_a_gateway_that_is_not_connected(registry, home):
    """
    They stay at the venue: the result of each says so. A gateway without orders is no result.
    """
    place(registry, "main", "ada", "a")
    home.run(registry.get("main").disconnect())
    home.run(registry.get("odd").disconnect())

    [result] = registry.halt("storm")

    assert "not connected" in str(result)
    assert (result.code, result.outcome) == ("not_connected", "NOT_SENT")
    assert registry.halt("storm", cancel=False) == ()


def test_a_blocked_loop_stops_no_halt(registry, home, monkeypatch):
    """
    Where the home loop does not turn, gates are shut all the same, and each open order's result says so.
    """
    monkeypatch.setattr(braking, "CANCEL_LIMIT", 0.01)
    monkeypatch.setattr(braking, "GRACE", 0.01)
    place(registry, "main", "ada", "a")
    place(registry, "main", "bob", "b")
    entered, let_go = threading.Event(), threading.Event()
    home.loop.call_soon_threadsafe(lambda: (entered.set(), let_go.wait(PATIENCE)))
    assert entered.wait(PATIENCE)

    results = registry.halt("storm", user="bob")

    let_go.set()
    assert [type(result).__name__ for result in results] == ["DeadlineExceeded"]
    assert str(results[0]).startswith("order 'b': it was not cancelled, and may be open")
    assert is_halted(registry, "main", "bob")
    assert not is_halted(registry, "main", "ada")


# -- where it may be called ----------------------------------------------------------------------------


def test_on_the_home_loop_there_is_a_twin(registry, home):
    """
    On the home loop halt() shuts the gates and says that ahalt() is the one to use; ahalt() does it all.
    """
    place(registry, "main", "ada", "a")

    async def on_the_loop():
        with pytest.raises(SyncCallOnLoop, match="await brokers.ahalt"):
            registry.halt("storm")
        halted = registry.halts()
        return halted, await registry.ahalt("storm"), await registry.aresume("calm")

    halted, results, left = home.run(on_the_loop())

    assert ([halt.reason for halt in halted], names(results), left) == (["storm"], ["a"], ())
    assert not is_halted(registry, "main", "ada")


def test_from_any_other_loop(registry):
    """
    ahalt() may be awaited on another loop: the cancelling is done at home.
    """
    place(registry, "main", "ada", "a")

    assert names(asyncio.run(registry.ahalt("storm"))) == ["a"]


def test_without_a_host():
    """
    A registry alone halts too, in memory; on a running loop by ahalt().
    """
    registry, gateway = BrokerRegistry(), MockBroker()
    registry.register("main", gateway)

    async def live():
        await gateway.connect()
        await gateway.place_order(request("a"))
        with pytest.raises(SyncCallOnLoop):
            registry.halt("storm", cancel=False)
        assert await registry.ahalt("storm", cancel=False) == ()
        results = await registry.ahalt("storm")
        with pytest.raises(Halted):
            await gateway.place_order(request("b"))
        await gateway.disconnect()
        return names(results)

    assert asyncio.run(live()) == ["a"]
    assert registry.resume("calm") == ()
    assert registry.halt("storm") == ()


# -- resuming ------------------------------------------------------------------------------------------


def test_resuming_takes_what_it_names(registry):
    """
    Without a user the halts for everybody end, at one broker or all; a user's own ends only when named.
    """
    registry.halt("all")
    registry.halt("main", key="main")
    registry.halt("hers", user="ada")
    registry.halt("hers there", key="odd", user="ada")

    left = registry.resume("calm", key="main")
    assert [halt.reason for halt in left] == ["all", "hers", "hers there"]
    left = registry.resume("calm")
    assert [halt.reason for halt in left] == ["hers", "hers there"]
    assert not is_halted(registry, "main", "bob")
    assert is_halted(registry, "main", "ada")
    assert registry.resume("pardon", user="ada") == ()
    with pytest.raises(ValueError, match="say why"):
        registry.resume("")


def test_a_halt_outlives_its_registry(registry, make):
    """
    Whoever comes next on the same folder is halted as well, until it is resumed.
    """
    registry.halt("storm")
    after = make()
    assert after.keeper.books.halts.reason("main", "ada") == "storm"
    after.resume("calm")
    assert make().halts() == ()


# -- what is written down ------------------------------------------------------------------------------


def test_the_journal_tells_of_halts(registry, tmp_path):
    """
    The journal of each broker that is concerned has a line for halt and resume, with reason and user.
    """
    registry.halt("storm", user="ada")
    registry.halt("elsewhere", key="odd")
    registry.resume("calm", user="ada")

    lines = [
        (line["event"], line["reason"], line["user"])
        for line in read_journal(tmp_path / "orders" / "main.jsonl")
        if line["event"] in {"halt", "resume"}
    ]
    assert lines == [("halt", "storm", "ada"), ("resume", "calm", "ada")]


def test_a_journal_that_cannot_be_written_stops_no_halt(registry, monkeypatch, caplog):
    """
    A full disk under the journal, or under the halts, is logged; it is halted all the same.
    """

    def full(*_, **__):
        raise OSError("no space")

    monkeypatch.setattr(registry.book("main").log, "record", full, raising=False)
    monkeypatch.setattr(HaltFile, "change", full)

    registry.halt("storm")

    assert is_halted(registry, "main", "ada")
    assert "the journal does not tell of it: no space" in caplog.text
    assert "would not survive a restart: no space" in caplog.text


# -- other processes -----------------------------------------------------------------------------------


def test_another_process_halts_here(registry, tmp_path, venue):
    """
    What another process writes is noticed within a moment: gates shut, own orders cancelled, acknowledged.
    """
    place(registry, "main", "ada", "a")
    place(registry, "odd", "ada", "b")
    odd = registry.get("odd")
    odd.refuses_to_cancel["b"] = BrokerError("too late", code="late", outcome="REJECTED")
    folder = tmp_path / "orders"
    other = Halts(HaltFile(folder / "halts.json"))

    other.shut(Halt.now("from afar"))
    until(lambda: any(ack.done for ack in read_acks(folder / "acks", other.serial)))

    [ack] = read_acks(folder / "acks", other.serial)
    cancelled, failed = sorted(ack.results, key=lambda result: "error" in result)
    assert (cancelled["client_order_id"], cancelled["status"]) == ("a", "CANCELED")
    assert (failed["error"], failed["code"], failed["outcome"]) == ("order 'b': too late", "late", "REJECTED")
    assert is_halted(registry, "main", "ada")
    assert venue.open_orders == ()

    other.lift(lambda _: True)
    until(lambda: any(ack.done for ack in read_acks(folder / "acks", other.serial)))
    assert not is_halted(registry, "main", "ada")
    events = [line["event"] for line in read_journal(folder / "main.jsonl")]
    assert events.count("halt") == events.count("resume") == 1


def test_a_halt_from_afar_may_leave_orders_open(registry, tmp_path, venue):
    """
    Another process may halt without cancelling.
    """
    place(registry, "main", "ada", "a")
    other = Halts(HaltFile(tmp_path / "orders" / "halts.json"))

    other.shut(Halt.now("from afar", cancel=False))
    until(lambda: any(ack.done for ack in read_acks(tmp_path / "orders" / "acks", other.serial)))

    assert len(venue.open_orders) == 1


def test_gates_are_shut_from_afar_although_the_loop_is_blocked(registry, home, tmp_path):
    """
    The watch follows other processes also while the home loop stands still; the cancelling comes after.
    """
    place(registry, "main", "ada", "a")
    folder = tmp_path / "orders"
    entered, let_go = threading.Event(), threading.Event()
    home.loop.call_soon_threadsafe(lambda: (entered.set(), let_go.wait(PATIENCE)))
    assert entered.wait(PATIENCE)
    other = Halts(HaltFile(folder / "halts.json"))

    other.shut(Halt.now("from afar"))
    until(lambda: read_acks(folder / "acks", other.serial))

    [ack] = read_acks(folder / "acks", other.serial)
    assert (ack.done, registry.keeper.books.halts.reason("main", "ada")) == (False, "from afar")
    let_go.set()
    until(lambda: read_acks(folder / "acks", other.serial)[0].done)


def test_following_without_a_host_is_nothing():
    """
    Without a folder there is nobody to follow, and a loop that is gone is no reason to fail.
    """
    registry = BrokerRegistry()
    registry.keeper.brake.follow()
    registry.keeper.brake.end()


def test_a_host_that_is_ending_need_not_cancel(home, tmp_path):
    """
    Where the loop is closed already, gates are shut still, and nothing is raised.
    """
    registry, gone = BrokerRegistry(), HomeLoop.own("gone")
    registry.keeper.settle(tmp_path / "orders", str, gone, dict)
    gone.close()
    Halts(HaltFile(tmp_path / "orders" / "halts.json")).shut(Halt.now("late"))

    registry.keeper.brake.follow()
    registry.keeper.brake.follow()

    assert [halt.reason for halt in registry.halts()] == ["late"]
    assert asyncio.run(registry.ahalt("later")) == ()
    registry.keeper.brake.end()
    assert list((tmp_path / "orders" / "acks").iterdir()) == []


# -- acknowledgements ----------------------------------------------------------------------------------


def test_acknowledgements_are_read_with_care(tmp_path, caplog):
    """
    Older ones, and what is none, are passed over; one that cannot be written is logged.
    """
    acks = Acks(tmp_path)
    acks.write(3, done=False)
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "other.json").write_text(json.dumps({"pid": 1}))

    assert [(ack.serial, ack.done, ack.results) for ack in read_acks(tmp_path, 2)] == [(3, False, ())]
    assert read_acks(tmp_path, 4) == []
    acks.remove()
    acks.remove()
    assert read_acks(tmp_path, 0) == []

    (tmp_path / "file").write_text("")
    Acks(tmp_path / "file" / "folder").write(1, done=True)
    assert "cannot be told" in caplog.text


def test_an_order_in_an_acknowledgement_is_plain(tmp_path):
    """
    Orders are told by their ids, account, symbol and status.
    """
    order = Order(
        symbol="X", side=Side.BUY, qty=Decimal(1), status=OrderStatus.CANCELED, account="A", order_id="V1"
    )
    Acks(tmp_path).write(1, done=True, results=[order])

    [ack] = read_acks(tmp_path, 1)

    assert ack.results == (
        {"client_order_id": None, "order_id": "V1", "account": "A", "symbol": "X", "status": "CANCELED"},
    )
