"""A broker that trades while its plugin is upgraded (rule 21)."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta

import pytest

from hot_brokers import (
    ADA,
    GRANTS,
    MAIN,
    PATIENCE,
    D,
    Front,
    Listening,
    at_home,
    follow,
    ref,
    request,
    status,
    trading_world,
    until,
)
from hotplug import UserExecutionContext
from hotplug.errors import BrokerError, GatewayReplaced, Halted, OrderNotFound, PermissionDenied
from hotplug.market import Bar, Order, OrderType

pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.fixture
def world(environment, monkeypatch, tmp_path):
    return trading_world(environment, monkeypatch, tmp_path)


# -- hand-over -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("concurrent_sessions", [True, False])
@pytest.mark.parametrize("how", ["reload", "watch"])
def test_three_open_orders_outlive_an_upgrade(world, how, concurrent_sessions):
    """Orders, ids, positions and every iterator go on; nothing is lost, doubled, or sent twice."""
    world.venue.concurrent = concurrent_sessions
    world.install("1.0")
    with world.host() as host:
        old, front, view = host.brokers.get("main"), host.brokers.sync("main"), host.brokers.get("main", ADA)
        ears = [Listening(host, old), Listening(host, view), Front(front)]
        for name in "abc":
            front.place_order(request(name))
        host.home.run(at_home(world.venue.trade, "a", 1))
        positions = front.get_positions()
        assert positions[0].qty == 1

        follow(how, host, world, "2.0")

        new = host.brokers.get("main")
        assert (old.release, new.release, new.info.status, new.generation) == ("1.0", "2.0", "READY", 2)
        assert world.venue.most_sessions == (2 if concurrent_sessions else 1)
        now = host.brokers.sync("main")
        assert [each.client_order_id for each in now.get_open_orders()] == ["a", "b", "c"]
        assert now.get_positions() == positions
        assert now.place_order(request("a")).client_order_id == "a"
        with pytest.raises(GatewayReplaced) as refused:
            front.place_order(request("d"))
        assert refused.value.outcome == "NOT_SENT"
        now.place_order(request("d"))
        host.home.run(at_home(world.venue.trade, "a", 2))
        assert now.cancel_order(ref("b")).status == "CANCELED"
        until(lambda: all(len(each.fills()) == 2 for each in ears))
        for each in ears:
            each.end()

    assert [name for _, name in world.venue.places] == ["a", "b", "c", "d"]
    assert world.venue.places[-1] == ("2.0", "d")
    assert not world.venue.overlaps
    for ear in ears:
        assert ear.fills() == ["t0", "t1"]
        assert ear.seqs() == sorted(set(ear.seqs()))
        assert {event.generation for event in ear.told} == {1, 2}
    whole = ears[0].seqs()
    assert whole == list(range(whole[0], whole[-1] + 1))


def test_who_has_the_old_object_may_look_and_cancel(world):
    """While it is leased the old gateway serves everything but places; the registry gives the new one."""
    world.install("1.0")
    with world.host() as host:
        view, front = host.brokers.get("main", ADA), host.brokers.sync("main", ADA)
        for name in "ab":
            front.place_order(request(name))
        with host.brokers.lease("main") as old:
            world.install("2.0")
            reloaded = threading.Thread(target=host.reload, args=("acme-broker",))
            reloaded.start()
            until(lambda: host.brokers.info("main").version == "2.0" and host.brokers.get("main").well)
            assert old.info.status == "READY"
            assert host.home.run(old.cancel_order(ref("a"))).status == "CANCELED"
            assert front.cancel_order(ref("b")).status == "CANCELED"
            assert host.home.run(view.get_order(ref("a"))).status == "CANCELED"
            for place in (old.place_order, view.place_order):
                with pytest.raises(GatewayReplaced):
                    host.home.run(place(request("c")))
            next_view = host.brokers.get("main", ADA)
            host.home.run(next_view.place_order(request("c")))
            assert host.home.run(old.get_order(ref("c"))).attribution.generation == 2
        reloaded.join(PATIENCE)
        until(lambda: old.info.status == "DISCONNECTED")
        with pytest.raises(BrokerError):
            host.home.run(view.cancel_order(ref("c")))
        assert host.home.run(next_view.cancel_order(ref("c"))).status == "CANCELED"
    assert world.venue.places == [("1.0", "a"), ("1.0", "b"), ("2.0", "c")]


def test_what_the_application_connected_stays_connected(world):
    """Who connects by hand is not left without a session, orders and streams by an upgrade."""
    world.install("1.0")
    with world.host("[brokers.main]\nplugin='acme'\n" + GRANTS) as host:
        old = host.brokers.get("main")
        host.home.run(old.connect())
        ear = Listening(host, old)
        host.home.run(old.place_order(request("a")))
        follow("reload", host, world, "2.0")
        new = host.brokers.get("main")
        assert (new.release, new.info.status) == ("2.0", "READY")
        host.home.run(new.place_order(request("b")))
        host.home.run(at_home(world.venue.trade, "a", 3))
        until(lambda: ear.fills() == ["t0"])
        ear.end()
    assert world.venue.places == [("1.0", "a"), ("2.0", "b")]


def test_every_place_is_answered_once(world):
    """
    Eight threads place through ten upgrades: each order is sent once, and what was refused was not.
    """
    world.venue.slow = 3
    world.install("1.0")
    over, acks, odd = threading.Event(), [], []

    def trade(thread, host):
        number = 0
        while not over.is_set():
            name, number = f"{thread}-{number}", number + 1
            while True:
                try:
                    acks.append(host.brokers.sync("main").place_order(request(name)).client_order_id)
                except GatewayReplaced as error:
                    if error.outcome != "NOT_SENT":
                        odd.append(error)
                    continue
                except Exception as error:
                    odd.append(error)
                break

    with world.host() as host:
        threads = [threading.Thread(target=trade, args=(each, host)) for each in range(8)]
        for each in threads:
            each.start()
        for number in range(2, 12):
            enough = len(acks) + 20
            until(lambda enough=enough: len(acks) >= enough or odd, lambda: "nobody trades")
            world.install(f"{number}.0")
            assert host.reload("acme-broker").changed == ("brokers/main",), status(host).error
        over.set()
        for each in threads:
            each.join(PATIENCE)
        open_ones = {each.client_order_id for each in host.brokers.sync("main").get_open_orders()}
    assert not odd
    assert not world.venue.overlaps
    sent = [name for _, name in world.venue.places]
    assert len(sent) == len(set(sent))
    assert sorted(sent) == sorted(acks)
    assert open_ones == set(sent)
    assert {release for release, _ in world.venue.places} >= {"1.0", "11.0"}


def test_users_keep_to_their_own(world):
    """Two views before and after: each sees and cancels its own orders, and hears of nobody else's."""
    bob = UserExecutionContext("bob")
    world.install("1.0")
    with world.host(MAIN + ADAS) as host:
        users = {"A1": ADA, "B1": bob}
        ears = {account: Listening(host, host.brokers.get("main", user)) for account, user in users.items()}
        for account, user in users.items():
            host.brokers.sync("main", user).place_order(request(f"a{account}", account=account))
        follow("reload", host, world, "2.0")
        for account, user in users.items():
            front = host.brokers.sync("main", user)
            assert [each.account for each in front.get_open_orders()] == [account]
            front.place_order(request(f"b{account}", account=account))
            another = "B1" if account == "A1" else "A1"
            with pytest.raises(PermissionDenied):
                front.place_order(request("c", account=another))
            with pytest.raises(OrderNotFound):
                front.cancel_order(ref(f"a{another}"))
            assert front.cancel_order(ref(f"a{account}")).status == "CANCELED"
        until(lambda: all((f"b{account}", "NEW") in _orders_told(ear) for account, ear in ears.items()))
        for account, ear in ears.items():
            ear.end()
            assert {each.payload.account for each in ear.told if isinstance(each.payload, Order)} == {account}
            assert {event.generation for event in ear.told} == {1, 2}


def _orders_told(ear):
    told = (event.payload for event in ear.told)
    return [(each.client_order_id, each.status) for each in told if isinstance(each, Order)]


SLOW = """
    async def _connect(self):
        self.venue.open(self)
        await self.venue.open_again.wait()
"""


@pytest.mark.parametrize("concurrent_sessions", [True, False])
def test_a_halt_holds_across_an_exchange(world, concurrent_sessions):
    """Halted while one gives way to the next, nobody places, at the old one or the new one, until resumed."""
    world.venue.concurrent = concurrent_sessions
    world.install("1.0")
    with world.host() as host:
        old, front = host.brokers.get("main"), host.brokers.sync("main")
        front.place_order(request("a"))
        world.venue.open_again = host.home.run(at_home(asyncio.Event))
        world.install("2.0", SLOW)
        reloading = threading.Thread(target=host.reload, args=("acme-broker",))
        reloading.start()
        until(lambda: any(each.release == "2.0" for each in world.venue.sessions))
        results = host.brokers.halt("lunch")
        with pytest.raises(BrokerError) as refused:
            host.home.run(old.place_order(request("b")))
        assert refused.value.outcome == "NOT_SENT"
        host.home.run(at_home(world.venue.open_again.set))
        reloading.join(PATIENCE)
        now = host.brokers.sync("main")
        assert host.brokers.info("main").version == "2.0"
        with pytest.raises(Halted):
            now.place_order(request("b"))
        [result] = results
        if concurrent_sessions:
            assert result.status == "CANCELED"
        else:  # there is a pause, in which nobody can be asked to cancel
            assert (result.outcome, now.cancel_order(ref("a")).status) == ("NOT_SENT", "CANCELED")
        host.brokers.resume("fed")
        now.place_order(request("b"))
    assert world.venue.places == [("1.0", "a"), ("2.0", "b")]


@pytest.mark.parametrize("concurrent_sessions", [True, False])
def test_every_fill_is_told_once(world, concurrent_sessions):
    """The venue trades all the while, through ten upgrades: no subscriber misses one, or hears it twice."""
    world.venue.concurrent = concurrent_sessions
    world.install("1.0")
    over = threading.Event()

    async def trade():
        while not over.is_set():
            world.venue.trade("a", 1)
            for _ in range(len(world.venue.fills) % 7):
                await asyncio.sleep(0)

    with world.host() as host:
        old, front = host.brokers.get("main"), host.brokers.sync("main")
        ears = [Listening(host, old), Listening(host, host.brokers.get("main", ADA)), Front(front)]
        front.place_order(request("a", 10**9))
        trading = asyncio.run_coroutine_threadsafe(trade(), host.home.loop)
        for number in range(2, 12):
            enough = len(world.venue.fills) + 20
            until(lambda enough=enough: len(world.venue.fills) >= enough)
            world.install(f"{number}.0")
            assert host.reload("acme-broker").changed == ("brokers/main",), status(host).error
        over.set()
        trading.result(PATIENCE)
        trades = [each.trade_id for each in world.venue.fills]
        until(lambda: all(len(each.fills()) >= len(trades) for each in ears))
        assert host.brokers.sync("main").get_open_orders()[0].filled_qty == len(trades)
        for each in ears:
            each.end()
    for ear in ears:
        assert ear.fills() == trades
        assert ear.seqs() == sorted(set(ear.seqs()))


# -- a venue that lives in the gateway -------------------------------------------------------------------

RESIDENT = """
from hotplug_broker_paper import PaperBroker

class Broker(PaperBroker):
    release = "{release}"
    {body}
"""
REFUSES = """
    def import_state(self, version, state):
        raise ValueError("no such state here")
"""
ADAS = "[brokers.main.accounts]\nada=['A1']\nbob=['B1']\n"


def bar(day, low, high=10):
    moment = datetime(2024, 1, day, tzinfo=UTC)
    return Bar(symbol="X", time=moment, open=D(8), high=D(high), low=D(low), close=D(8), volume=D(100))


@pytest.mark.parametrize("how", ["reload", "watch"])
def test_paper_goes_on_in_the_next_generation(world, how):
    """Orders, partial fills, positions and money of all users are in the new one, and nowhere else."""
    world.install("1.0", code=RESIDENT.format(release="1.0", body=""))
    with world.host(MAIN + ADAS) as host:
        old, front = host.brokers.get("main"), host.brokers.sync("main")
        view = host.brokers.get("main", ADA)
        ears = [Listening(host, old), Listening(host, view), Front(front)]
        front.place_order(request("part", 150))
        front.place_order(request("bob", 2, account="B1"))
        front.place_order(request("stop", 1, type=OrderType.STOP, price=None, stop_price=D(20)))
        host.home.run(old.feed(bar(1, 4), account="A1"))
        before = front.get_open_orders(), front.get_positions(), front.get_balances()
        assert before[0][0].filled_qty == 100

        follow(how, host, world, "2.0", code=RESIDENT.format(release="2.0", body=""))

        new, now = host.brokers.get("main"), host.brokers.sync("main")
        assert new.release == "2.0"
        assert (now.get_open_orders(), now.get_positions(), now.get_balances()) == before
        for place in (old.place_order, view.place_order):
            with pytest.raises(BrokerError):
                host.home.run(place(request("late")))
        next_view = host.brokers.get("main", ADA)
        assert [each.qty for each in host.home.run(next_view.feed(bar(2, 4)))] == [50]
        assert [each.qty for each in host.home.run(new.feed(bar(2, 4), account="B1"))] == [2]
        assert len(host.home.run(new.feed(bar(3, 7, high=21)))) == 1
        assert not now.get_open_orders()
        until(lambda: [len(each.fills()) for each in ears] == [4, 3, 4])
        for each in ears:
            each.end()
    for ear in ears:
        assert ear.seqs() == sorted(set(ear.seqs()))
        assert len(set(ear.fills())) == len(ear.fills())


def test_paper_that_does_not_take_the_state_changes_nothing(world):
    """The old one trades on with all that it had; the status says why."""
    world.install("1.0", code=RESIDENT.format(release="1.0", body=""))
    with world.host(MAIN + ADAS) as host:
        old, front = host.brokers.get("main"), host.brokers.sync("main")
        front.place_order(request("a"))
        world.install("2.0", code=RESIDENT.format(release="2.0", body=REFUSES))
        assert host.reload("acme-broker").failed == ("brokers/main",)
        assert "its import_state raised ValueError: no such state here" in status(host).error
        assert host.brokers.get("main") is old
        front.place_order(request("b"))
        assert len(host.home.run(old.feed(bar(1, 4)))) == 2


def test_who_still_feeds_the_old_one_feeds_the_new_one(world):
    """While the old one is leased there is one market, whoever drives it, from whichever loop."""
    world.install("1.0", code=RESIDENT.format(release="1.0", body=""))
    with world.host(MAIN + ADAS) as host:
        host.brokers.sync("main").place_order(request("a"))
        view = host.brokers.get("main", ADA)
        with host.brokers.lease("main") as old:
            world.install("2.0", code=RESIDENT.format(release="2.0", body=""))
            reloading = threading.Thread(target=host.reload, args=("acme-broker",))
            reloading.start()
            until(lambda: host.brokers.info("main").version == "2.0" and host.brokers.get("main").well)
            new = host.brokers.get("main")
            assert [each.client_order_id for each in asyncio.run(view.feed(bar(1, 4)))] == ["a"]
            assert host.home.run(new.get_positions()) == host.home.run(old.get_positions()) != ()
        reloading.join(PATIENCE)


@pytest.mark.usefixtures("eager_threads")
def test_no_bar_is_fed_to_what_was_a_venue(world):
    """Who feeds from another thread through twenty upgrades: what traded, traded in the one that serves."""
    world.install("1.0", code=RESIDENT.format(release="1.0", body=""))
    over, traded = threading.Event(), []

    async def feed(gateway):
        moment = datetime(2024, 1, 1, tzinfo=UTC)
        price = {"open": D(5), "high": D(5), "low": D(5), "close": D(5)}
        while not over.is_set():
            moment += timedelta(minutes=1)
            each = Bar(symbol="X", time=moment, volume=D(1), **price)
            traded.extend(await gateway.feed(each, account="A1"))

    with world.host(MAIN + ADAS) as host:
        host.brokers.sync("main").place_order(request("a", 15_000))
        old = host.brokers.get("main")
        feeding = threading.Thread(target=lambda: asyncio.run(feed(old)))
        feeding.start()
        for number in range(2, 22):
            enough = len(traded) + 10
            until(lambda enough=enough: len(traded) >= enough)
            world.install(f"{number}.0", code=RESIDENT.format(release=f"{number}.0", body=""))
            assert host.reload("acme-broker").changed == ("brokers/main",), status(host).error
        over.set()
        feeding.join(PATIENCE)
        assert host.brokers.sync("main").get_open_orders()[0].filled_qty == len(traded)


def test_a_gateway_at_rest_tells_its_state_too(world):
    """Not connected, it has no gate to hand over, but what it knows."""
    world.install("1.0", code=RESIDENT.format(release="1.0", body=""))
    with world.host("[brokers.main]\nplugin='acme'\n" + ADAS) as host:
        old = host.brokers.get("main")
        host.home.run(old.connect())
        host.home.run(old.place_order(request("a")))
        host.home.run(old.disconnect())
        world.install("2.0", code=RESIDENT.format(release="2.0", body=""))
        assert host.reload("acme-broker").changed == ("brokers/main",), status(host).error
        new = host.brokers.get("main")
        host.home.run(new.connect())
        assert [each.client_order_id for each in host.home.run(new.get_open_orders())] == ["a"]
        assert [each.client_order_id for each in host.home.run(new.feed(bar(1, 4)))] == ["a"]


# -- policies ------------------------------------------------------------------------------------------


def test_a_drain_that_is_finished_gives_way(world):
    """DRAIN waits for the last order, and takes none meanwhile."""
    world.install("1.0")
    with world.host(MAIN + "policy='DRAIN'\n" + GRANTS) as host:
        front = host.brokers.sync("main")
        front.place_order(request("a"))
        world.install("2.0")
        reloading = threading.Thread(target=host.reload, args=("acme-broker",))
        reloading.start()
        until(lambda: host.brokers.info("main").status == "DRAINING")
        with pytest.raises(BrokerError) as refused:
            front.place_order(request("b"))
        assert refused.value.outcome == "NOT_SENT"
        front.cancel_order(ref("a"))
        reloading.join(PATIENCE)
        assert host.brokers.info("main").version == "2.0"
        host.brokers.sync("main").place_order(request("b"))
    assert world.venue.places == [("1.0", "a"), ("2.0", "b")]


@pytest.mark.parametrize("policy", ["DRAIN", "REFUSE_IF_OPEN"])
def test_open_orders_may_refuse_an_upgrade(world, policy):
    """What cannot be drained in time, or shall not be touched, serves on with its gate open."""
    world.install("1.0")
    with world.host(MAIN + f"policy='{policy}'\n" + GRANTS, drain_timeout=0.4) as host:
        front = host.brokers.sync("main")
        front.place_order(request("a"))
        world.install("2.0")
        assert host.reload("acme-broker").failed == ("brokers/main",)
        found = status(host)
        assert (found.state, found.reason) == ("loaded", "2.0 refused")
        assert ("draining was not finished" if policy == "DRAIN" else "1 orders are open") in found.error
        assert host.brokers.info("main").status == "READY"
        front.place_order(request("b"))
        for name in "ab":
            front.cancel_order(ref(name))
        assert host.reload("acme-broker").changed == ("brokers/main",)
        assert status(host).reason == ""
    assert world.venue.places == [("1.0", "a"), ("1.0", "b")]


# -- roll-back -----------------------------------------------------------------------------------------

BROKEN = """
    async def _connect(self):
        raise ConnectionError("the venue hung up")
"""


LOST = """
    async def _connect(self):
        from hotplug.market import ConnectionLost
        self.venue.open(self)
        self.report(ConnectionLost(reason='gone again'))
"""
WRONG = {
    "text": ("def", "SyntaxError"),
    "import": ("    import nowhere_at_all", "No module named 'nowhere_at_all'"),
    "settings": ("    def __init__(self, *, key: int): ...", "key"),
    "constructor": ("    def __init__(self): raise OSError('no disk')", "no disk"),
    "contract": ("    _snapshot = None\n    def place_order(self): ...", "final method"),
    "snapshot": ("    async def _snapshot(self): raise ValueError('what?')", "what?"),
    "nonsense": ("    async def _snapshot(self): return 3", "not a Snapshot"),
    "lost": (LOST, "gone again"),
    "hangs": ("    async def _connect(self): await asyncio.Event().wait()", "not finished in time"),
    "cancelled": ("    async def _connect(self): raise SystemExit(3)", "SystemExit"),
}


@pytest.mark.parametrize("concurrent_sessions", [True, False])
@pytest.mark.parametrize("wrong", [*WRONG, "frozen"])
def test_whatever_fails_the_old_one_has_its_gate(world, wrong, concurrent_sessions):
    """At each step of an upgrade: the old one serves on with its session, its orders and its readers."""
    world.venue.concurrent = concurrent_sessions
    world.install("1.0")
    with world.host(load_timeout=0.5) as host:
        old, front = host.brokers.get("main"), host.brokers.sync("main")
        ears = [Listening(host, old), Front(front)]
        front.place_order(request("a"))
        body, why = WRONG.get(wrong, ("", "frozen"))
        world.install("2.0", body)
        if wrong == "frozen":
            host.brokers.freeze()
        assert host.reload("acme-broker").failed == ("brokers/main",)
        assert why in status(host).error
        assert (host.brokers.get("main"), status(host).state, old.info.status) == (old, "loaded", "READY")
        assert world.venue.sessions == [old]
        front.place_order(request("b"))
        assert front.cancel_order(ref("a")).status == "CANCELED"
        host.home.run(at_home(world.venue.trade, "b", 3))
        until(lambda: all(each.fills() == ["t0"] for each in ears))
        for each in ears:
            each.end()
    assert world.venue.places == [("1.0", "a"), ("1.0", "b")]
    assert world.venue.cancels == [("1.0", "a")]


@pytest.mark.parametrize("concurrent_sessions", [True, False])
@pytest.mark.parametrize("how", ["reload", "watch"])
def test_an_upgrade_that_does_not_connect_is_rolled_back(world, how, concurrent_sessions):
    """The old one has its session and its gate back, and then a good one replaces it."""
    world.venue.concurrent = concurrent_sessions
    world.install("1.0")
    with world.host() as host:
        old, front = host.brokers.get("main"), host.brokers.sync("main")
        ear = Listening(host, old)
        front.place_order(request("a"))
        if how == "reload":
            world.install("2.0", BROKEN)
            assert host.reload("acme-broker").failed == ("brokers/main",)
        else:
            undo = host.watch()
            world.install("2.0", BROKEN)
            until(lambda: status(host).reason == "2.0 refused")
            undo()
        assert "the venue hung up" in status(host).error
        assert host.brokers.get("main") is old
        assert (old.info.status, world.venue.sessions) == ("READY", [old])
        front.place_order(request("b"))
        follow(how, host, world, "3.0")
        assert [each.client_order_id for each in host.brokers.sync("main").get_open_orders()] == ["a", "b"]
        host.brokers.sync("main").place_order(request("c"))
        host.home.run(at_home(world.venue.trade, "c", 3))
        until(lambda: ear.fills() == ["t0"])
        ear.end()
    assert world.venue.places == [("1.0", "a"), ("1.0", "b"), ("3.0", "c")]
    assert world.venue.most_sessions == (2 if concurrent_sessions else 1)


STRANGE = """
from strangers import StrangeGateway

class Broker(StrangeGateway):
    def __init__(self):
        super().__init__()
        self.release = "{release}"
"""


@pytest.mark.parametrize("ends", [True, False])
def test_what_is_not_built_on_the_template_drains(world, ends):
    """A gateway without a gate gives way when none of its orders is open, or is not replaced."""
    world.install("1.0", code=STRANGE.format(release="1.0"))
    with world.host(drain_timeout=PATIENCE if ends else 0.1) as host:
        old = host.brokers.get("main")
        host.home.run(old.place_order(request("a")))
        host.home.run(at_home(old.external))
        world.install("2.0", code=STRANGE.format(release="2.0"))
        reloading = threading.Thread(target=host.reload, args=("acme-broker",))
        reloading.start()
        if ends:
            host.home.run(old.cancel_order(ref("a")))
        reloading.join(PATIENCE)
        now = host.brokers.get("main")
        assert now.release == ("2.0" if ends else "1.0")
        assert ("1 orders are open" in status(host).error) is not ends
        assert (now.info.status, old.info.status) == ("READY", "DISCONNECTED" if ends else "READY")


def test_a_stranger_that_cannot_be_asked_stays(world):
    """Nobody knows what is open at it: so it is not replaced."""
    code = STRANGE + "    async def get_open_orders(self, *, deadline=None): raise SystemExit('no')\n"
    world.install("1.0", code=code.format(release="1.0"))
    with world.host() as host:
        old = host.brokers.get("main")
        world.install("2.0", code=STRANGE.format(release="2.0"))
        assert host.reload("acme-broker").failed == ("brokers/main",)
        assert "SystemExit" in status(host).error
        assert host.brokers.get("main") is old
