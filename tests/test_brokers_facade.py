"""The blocking façade: every verb, deadlines, the loop's own thread, interrupts, streams."""

from __future__ import annotations

import asyncio
import concurrent.futures
import copy
import inspect
import pickle
import threading
from decimal import Decimal

import pytest

from hotplug._lifecycle import HomeLoop
from hotplug.brokers import BrokerRegistry, IBrokerGateway
from hotplug.brokers._hosting import _facade as facade
from hotplug.brokers._hosting._facade import SyncGateway, front_of
from hotplug.context import UserExecutionContext
from hotplug.errors import (
    BrokerError,
    BrokerUnavailable,
    DeadlineExceeded,
    HostError,
    NotSupported,
    Outcome,
    PermissionDenied,
    SyncCallOnLoop,
)
from hotplug.market import OrderChange, OrderRef, OrderStatus
from hotplug_broker_mock import MockBroker
from placing import request
from strangers import NOW, StrangeGateway

pytestmark = pytest.mark.usefixtures("nothing_left")
ADA = UserExecutionContext("ada")
GRANTS = {"accounts": {"ada": ("A1",)}}


async def turning(until):
    """Let the loop turn until the thread's event is set."""
    while not until.is_set():  # noqa: ASYNC110 - it belongs to another thread
        await asyncio.sleep(0)


@pytest.fixture
def registry(home, tmp_path):
    registry = BrokerRegistry()
    registry.keeper.settle(tmp_path / "orders", str, home, dict)
    yield registry
    registry.keeper.end_watch()
    home.run(registry.keeper.end())


@pytest.fixture
def blocked(home):
    """Blocks the home loop until told otherwise."""
    entered, let_go = threading.Event(), threading.Event()

    def block():
        home.loop.call_soon_threadsafe(lambda: (entered.set(), let_go.wait(20)))
        assert entered.wait(10)
        return let_go

    yield block
    let_go.set()


def test_an_operator_says_what_became_of_an_order(registry):
    """
    `resolve_order` is there for who cannot await; for operators only, and where the template stands behind.
    """
    gateway = MockBroker(accounts=("A1",), can_query=False)
    registry.register("main", gateway, metadata=GRANTS)
    front = registry.sync("main")
    front.connect()
    gateway.venue.on("place", raises=BrokerUnavailable("gone"))
    with pytest.raises(BrokerUnavailable):
        front.place_order(request("a"))
    ref = OrderRef(client_order_id="a")
    with pytest.raises(PermissionDenied):
        registry.sync("main", ADA).resolve_order(ref, OrderStatus.REJECTED, "I called them")

    resolved = front.resolve_order(ref, OrderStatus.REJECTED, "I called them")

    assert (resolved.status, resolved.reason) == (OrderStatus.REJECTED, "I called them")
    front.disconnect()
    registry.register("odd", StrangeGateway())
    with pytest.raises(NotSupported, match="not built on the template"):
        registry.sync("odd").resolve_order(ref, OrderStatus.REJECTED, "I called them")


def test_every_verb_answers(registry):
    """
    The façade has every verb of the contract, and each gives what the gateway gives.
    """
    gateway = StrangeGateway()
    registry.register("main", gateway)
    front = registry.sync("main")
    with pytest.raises(BrokerError):
        front.cancel_order(OrderRef(client_order_id="absent"))
    front.connect()
    assert (front.broker_id, front.info.status) == ("strange", "READY")
    stream = front.events()
    assert front.place_order(request("a", account="A1")).client_order_id == "a"
    front.place_order(request("b", account="A1"))
    assert front.modify_order(OrderRef(client_order_id="a"), OrderChange(qty=Decimal(3))).qty == 3
    assert front.cancel_order(OrderRef(client_order_id="a")).status is OrderStatus.CANCELED
    assert front.get_order(OrderRef(client_order_id="b")).status is OrderStatus.NEW
    assert [order.client_order_id for order in front.get_open_orders()] == ["b"]
    with pytest.raises(BrokerError, match="not here"):
        front.cancel_all()
    assert front.get_fills(NOW) == ()
    assert [each.account for each in front.get_positions()] == ["A1", "B1"]
    assert [each.account for each in front.get_balances()] == ["A1", "B1"]
    assert front.snapshot().cursor is not None
    assert front.get_instrument("X") == "instrument X"
    assert front.get_quote("X") == "quote X"
    assert front.get_bars("X", NOW, NOW, None) == ("bars X",)
    assert front.health().status == "healthy"
    assert len(front.rate_limits()) == 1
    with stream:
        statuses = [next(stream).payload.status for _ in range(4)]
    assert statuses == ["NEW", "NEW", "NEW", "CANCELED"]
    with front.stream_quotes(iter(["X", "Y"])) as quotes:
        assert list(quotes) == ["X", "Y"]
    front.disconnect()
    assert gateway.status == "DISCONNECTED"
    assert IBrokerGateway.__abstractmethods__ <= set(dir(SyncGateway))


def test_with_a_context_it_is_that_users(registry):
    """
    With a context the façade is that of the user's view.
    """
    registry.register("main", MockBroker(accounts=("A1", "B1")), metadata=GRANTS)
    registry.sync("main").connect()

    registry.sync("main", ADA).place_order(request())

    [order] = registry.sync("main").get_open_orders()
    assert (order.account, order.attribution.user) == ("A1", "ada")
    with pytest.raises(BrokerError, match="operator"):
        registry.sync("main", ADA).disconnect()
    registry.sync("main").disconnect()


def test_on_the_loop_it_says_so(registry, home):
    """
    On the thread of the home loop, asking for a façade and each call of one raise SyncCallOnLoop.
    """
    registry.register("main", StrangeGateway())
    front = registry.sync("main")
    stream = front.events()

    async def on_the_loop():
        for call in (
            lambda: registry.sync("main"),
            front.get_open_orders,
            front.events,
            lambda: next(stream),
            stream.close,
        ):
            with pytest.raises(SyncCallOnLoop, match="await"):
                call()

    home.run(on_the_loop())
    assert issubclass(SyncCallOnLoop, HostError)
    assert issubclass(SyncCallOnLoop, RuntimeError)
    stream.close()


def test_another_loop_may_block_itself(registry):
    """
    On a loop that is not the home loop, the façade answers.
    """
    registry.register("main", StrangeGateway())

    async def elsewhere():
        return registry.sync("main").get_open_orders()

    assert asyncio.run(elsewhere()) == ()


def test_without_a_host_there_is_no_loop():
    """
    A registry of its own has no loop to wait for.
    """
    registry = BrokerRegistry()
    registry.register("main", StrangeGateway())
    with pytest.raises(HostError, match=r"host\.brokers"):
        registry.sync("main")


def test_a_deadline_is_the_gateways_first():
    """
    Each call hands its deadline on; without one there are ten seconds.
    """
    home, told = HomeLoop.own("test home"), []

    class Telling(StrangeGateway):
        async def get_open_orders(self, *, deadline=None):
            told.append(deadline)
            raise TimeoutError("the gateway's own")

    front = front_of(Telling(), home)
    for deadline in (None, 0.5):
        with pytest.raises(TimeoutError, match="the gateway's own"):
            front.get_open_orders(deadline=deadline)
    home.close()
    assert told == [10.0, 0.5]


@pytest.mark.parametrize("context", [None, ADA])
def test_without_a_deadline_it_is_the_gateways_own(registry, context):
    """
    What the gateway declares holds for who cannot await as well, also through a view.
    """
    told = []

    class Declaring(StrangeGateway):
        default_deadline = 0.25

        async def get_open_orders(self, *, deadline=None):
            told.append(deadline)
            return ()

    registry.register("main", Declaring(), metadata=GRANTS)

    assert registry.sync("main", context).get_open_orders() == ()
    assert told == [0.25]


def test_a_loop_that_does_not_come_round(registry, blocked, monkeypatch):
    """
    On a blocked loop a call ends at its deadline: it was never begun, and never will be.
    """
    monkeypatch.setattr(facade, "GRACE", 0.01)
    gateway = StrangeGateway()
    registry.register("main", gateway)
    front = registry.sync("main")
    let_go = blocked()

    with pytest.raises(DeadlineExceeded, match="is its event loop blocked") as caught:
        front.place_order(request("x", account="A1"), deadline=0.01)

    assert (caught.value.outcome, caught.value.retryable) == (Outcome.NOT_SENT, True)
    let_go.set()
    assert front.get_open_orders() == ()
    assert gateway.orders == {}


def test_a_call_that_had_begun_is_of_unknown_outcome(registry, monkeypatch):
    """
    A gateway that ignores its deadline leaves the outcome unknown; the call goes on.
    """
    monkeypatch.setattr(facade, "GRACE", 0.01)
    begun, go_on = threading.Event(), threading.Event()

    class Slow(StrangeGateway):
        async def place_order(self, request, *, deadline=None):
            begun.set()
            await turning(go_on)
            return await super().place_order(request)

    gateway = Slow()
    registry.register("main", gateway)
    with pytest.raises(DeadlineExceeded) as caught:
        registry.sync("main").place_order(request("x", account="A1"), deadline=0.01)

    assert begun.is_set()
    assert (caught.value.outcome, caught.value.retryable) == (Outcome.UNKNOWN, False)
    go_on.set()
    while not registry.sync("main").get_open_orders():
        pass
    assert set(gateway.orders) == {"x"}


def test_an_interrupt_leaves_the_send_running(registry, monkeypatch):
    """
    Ctrl-C ends the waiting, not the order: it is placed all the same.
    """
    go_on = threading.Event()

    class Slow(StrangeGateway):
        async def place_order(self, request, *, deadline=None):
            await turning(go_on)
            return await super().place_order(request)

    gateway = Slow()
    registry.register("main", gateway)
    submit = facade._Front.submit

    class Interrupted:
        def __init__(self, future):
            self.future = future

        def result(self, timeout):
            raise KeyboardInterrupt

    monkeypatch.setattr(facade._Front, "submit", lambda self, work: Interrupted(submit(self, work)))
    with pytest.raises(KeyboardInterrupt):
        registry.sync("main").place_order(request("x", account="A1"))
    monkeypatch.undo()

    go_on.set()
    while not registry.sync("main").get_open_orders():
        pass
    assert set(gateway.orders) == {"x"}


def test_who_gives_up_and_who_begins_cannot_both_be_first():
    """
    Either the loop begins a call or the caller gives it up, whoever comes first.
    """

    async def call():
        return "made"

    begun = facade._Errand(call)
    assert asyncio.run(begun.make()) == "made"
    assert begun.give_up() is False

    given_up = facade._Errand(call)
    assert given_up.give_up() is True
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(given_up.make())


def test_a_stream_waits_as_long_as_it_may(registry):
    """
    A wait for the next event has a deadline; the next wait goes on there, and no event is lost.
    """
    gateway = StrangeGateway()
    registry.register("main", gateway)
    front = registry.sync("main")
    stream = front.events(deadline=0.01)

    for _ in range(2):
        with pytest.raises(DeadlineExceeded, match="nothing happened within 0.01 s"):
            next(stream)
    front.place_order(request("x", account="A1"))
    patient = front.events()
    front.place_order(request("y", account="A1"))

    assert [event.payload.client_order_id for event in (next(stream), next(stream))] == ["x", "y"]
    assert next(patient).payload.client_order_id == "y"
    stream.close()
    patient.close()


def test_a_reader_looks_up_now_and_then(registry, monkeypatch):
    """
    A long wait is made of short ones, so that its end, an interrupt or the loop's end is never missed.
    """
    monkeypatch.setattr(facade, "SLICE", 0.001)
    slices, wait = [], concurrent.futures.wait
    monkeypatch.setattr(concurrent.futures, "wait", lambda *a, **k: slices.append(1) or wait(*a, **k))
    gateway = StrangeGateway()
    registry.register("main", gateway)
    front = registry.sync("main")
    stream, found = front.events(), []
    reader = threading.Thread(target=lambda: found.append(next(stream)))
    reader.start()
    while len(slices) < 3:
        pass
    front.place_order(request("x", account="A1"))
    reader.join(10)

    assert found[0].payload.client_order_id == "x"
    stream.close()


def test_a_stream_can_be_closed_while_it_waits(registry, home):
    """
    Closing ends the wait of before; what is closed gives no more.
    """
    gateway = StrangeGateway()
    registry.register("main", gateway)
    with registry.sync("main").events(deadline=0.01) as stream, pytest.raises(DeadlineExceeded):
        next(stream)
    assert gateway.closed_streams == 1
    assert list(stream) == []


def test_a_stream_ends_with_its_gateway(registry):
    """
    What ends at the gateway ends here; a template's stream can be resumed by its cursor.
    """
    gateway = MockBroker()
    registry.register("main", gateway)
    front = registry.sync("main")
    stream = front.events()
    front.connect()
    front.disconnect()

    events = list(stream)

    assert [event.payload.new for event in events][-1] == "DISCONNECTED"
    assert stream.cursor == events[-1].cursor


def test_a_loop_that_is_about_to_run():
    """
    A call that comes before the thread of the home loop has run its first line is made when it runs.
    """
    home = HomeLoop(asyncio.new_event_loop())
    home._thread = threading.Thread(target=home._serve)
    front = front_of(StrangeGateway(), home)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        asked = pool.submit(front.connect)
        with pytest.raises(concurrent.futures.TimeoutError):
            asked.result(0.02)
        home._thread.start()
        asked.result(10)
    home.close()


def test_a_stream_of_a_loop_that_is_over():
    """
    When the home loop has ended, streams end, and calls say so.
    """
    home = HomeLoop.own("test home")
    front = front_of(StrangeGateway(), home)
    waiting, fresh = front.events(deadline=0.01), front.events()
    with pytest.raises(DeadlineExceeded):
        next(waiting)
    home.close()

    assert list(waiting) == []
    for call in (front.get_open_orders, lambda: next(fresh)):
        with pytest.raises(HostError, match="not running"):
            call()
    fresh.close()
    waiting.close()


def test_who_waits_when_the_loop_ends_is_let_go(monkeypatch):
    """
    A reader that waits without deadline notices that the loop has ended.
    """
    monkeypatch.setattr(facade, "SLICE", 0.01)
    home = HomeLoop.own("test home")
    stream = front_of(StrangeGateway(), home).events()
    found = []
    reader = threading.Thread(target=lambda: found.append(list(stream)))
    reader.start()
    while stream._waiting is None:
        pass
    home.close()
    reader.join(10)
    assert found == [[]]


def test_a_loop_that_stands_still_ends_streams(monkeypatch):
    """
    On an adopted loop that was stopped, not closed, waiting readers are let go as well.
    """
    monkeypatch.setattr(facade, "SLICE", 0.01)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    stream = front_of(StrangeGateway(), HomeLoop(loop)).events(deadline=0.01)
    with pytest.raises(DeadlineExceeded):
        next(stream)
    waiting = stream._waiting
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)

    assert list(stream) == []

    waiting.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    for task in asyncio.all_tasks(loop):
        task.cancel()
        loop.run_until_complete(asyncio.wait({task}))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def test_a_facade_leads_nowhere(registry):
    """
    No attribute of a façade or of its streams is the gateway, and it cannot be made, copied or pickled.
    """
    registry.register("main", StrangeGateway(), metadata=GRANTS)
    front = registry.sync("main", ADA)
    stream = front.events()
    for thing in (front, stream):
        for name in dir(thing):
            if name != "info":
                assert not isinstance(getattr(thing, name), IBrokerGateway)
        assert not hasattr(thing, "__dict__")
    assert all(m.__closure__ is None for _, m in inspect.getmembers(SyncGateway, inspect.isfunction))
    with pytest.raises(TypeError, match="made by a registry"):
        SyncGateway()
    for attempt in (copy.copy, pickle.dumps):
        with pytest.raises(TypeError, match="neither copied nor pickled"):
            attempt(front)
    assert repr(front) == "<blocking façade of 'main'>"
    stream.close()
