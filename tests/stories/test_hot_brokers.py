"""Brokers with open orders, upgraded for real: pip and uv in a running host, every broker of the house."""

from __future__ import annotations

import threading

import pytest

import hotplug
from following import forget_packages
from hot_brokers import (
    ADA,
    GRANTS,
    MAIN,
    Front,
    Listening,
    at_home,
    ref,
    request,
    status,
    trading_world,
    until,
)
from hot_venue import gateway_code, venue_module
from hotplug.errors import BrokerError
from hotplug.market import Order
from hotplug.testing import build_wheel
from hotplug_broker_mock import forget_venue
from hotplug_broker_paper import PaperBroker
from installing import Installer, copy_environment, finish
from serving import far

pytestmark = [pytest.mark.real_services, pytest.mark.usefixtures("own_index", "nothing_left")]
BROKEN = "    async def _connect(self): 1 / 0"
POINTS = {"hotplug.brokers": {"acme": "acme_broker:Broker"}}


@pytest.fixture
def wheels(tmp_path):
    """Makes wheels of the broker, of which nothing is left in this process afterwards."""

    def make(release, body=""):
        files = {"acme_broker/__init__.py": gateway_code(release, body)}
        return build_wheel(tmp_path / release, "acme-broker", release, advertises=POINTS, files=files)

    yield make
    forget_packages(["acme_broker"])


class Trading:
    """A thread that places and cancels one order after the other, asking whoever serves, until it is done."""

    def __init__(self, host):
        self.acks, self.odd, self._over = [], [], threading.Event()
        self._host = host
        self._thread = threading.Thread(target=self._trade)
        self._thread.start()

    def _trade(self):
        try:
            while not self._over.is_set():
                name = f"o{len(self.acks)}"
                self._ask(lambda broker, name=name: broker.place_order(request(name)))
                self._ask(lambda broker, name=name: broker.cancel_order(ref(name)))
                self.acks.append(name)
        except Exception as error:
            self.odd.append(error)

    def _ask(self, what):
        while True:
            try:
                return what(self._host.brokers.sync("main"))
            except BrokerError as error:
                if error.outcome != "NOT_SENT":
                    raise

    def end(self):
        self._over.set()
        self._thread.join(20)


@pytest.mark.parametrize("tool", ["pip", "uv hardlink"])
@pytest.mark.parametrize("concurrent_sessions", [True, False])
def test_an_installer_upgrades_a_broker_with_open_orders(
    pattern, wheels, tmp_path, monkeypatch, tool, concurrent_sessions
):
    """
    Upgraded, broken, mended and downgraded while somebody trades: orders, positions, subscribers go on.
    """
    venue = venue_module(monkeypatch)
    venue.concurrent = concurrent_sessions
    installer = Installer(tool, copy_environment(pattern, tmp_path / "venv"), tmp_path / "uv-cache")
    finish(installer.install(wheels("1.0")))
    monkeypatch.syspath_prepend(str(installer.site))
    config = f"[host]\ndata = '{tmp_path / 'data'}'\nwatch = true\n{MAIN}{GRANTS}"
    with hotplug.Host(hotplug.Config.parse(config), path=[str(installer.site)], cache=False) as host:
        old, front = host.brokers.get("main"), host.brokers.sync("main")
        ears = [Listening(host, old), Listening(host, host.brokers.get("main", ADA)), Front(front)]
        for name in "abc":
            front.place_order(request(name, 9))
        host.home.run(at_home(venue.trade, "a", 1))
        trading = Trading(host)
        for release, body in (
            ("2.0", ""),
            ("3.0", "    def _connect(self): 1 / 0\n"),
            ("4.0", ""),
            ("1.0", ""),
        ):
            finish(installer.install(wheels(release, body)))
            if body:
                until(lambda: status(host).reason == "3.0 refused", lambda: f"{host.plugins}")
                assert host.brokers.info("main").version == "2.0"
            else:
                until(lambda r=release: host.brokers.info("main").version == r, lambda: f"{host.plugins}")
            host.home.run(at_home(venue.trade, "c", 1))
            enough = len(trading.acks) + 5
            until(lambda enough=enough: len(trading.acks) >= enough or trading.odd)
        trading.end()
        now = host.brokers.sync("main")
        assert [each.client_order_id for each in now.get_open_orders()] == ["a", "b", "c"]
        assert now.place_order(request("b", 9)).client_order_id == "b"
        assert now.cancel_order(ref("b")).status == "CANCELED"
        assert [each.qty for each in now.get_positions()] == [5]
        until(lambda: all(len(each.fills()) == 5 for each in ears))
        for each in ears:
            each.end()
    assert not trading.odd
    assert [name for _, name in venue.places] == ["a", "b", "c", *trading.acks]
    assert not venue.overlaps
    assert {release for release, _ in venue.places} == {"1.0", "2.0", "4.0"}
    assert venue.most_sessions == (2 if concurrent_sessions else 1)
    for ear in ears:
        assert ear.fills() == ["t0", "t1", "t2", "t3", "t4"]
        assert ear.seqs() == sorted(set(ear.seqs()))


# -- every broker of the house -------------------------------------------------------------------------

HOUSE = {
    "mock": ("hotplug_broker_mock", "MockBroker", "venue = 'hot'"),
    "paper": ("hotplug_broker_paper", "PaperBroker", ""),
    "grpc": ("hotplug_broker_grpc", "GrpcBroker", "target = '{address}'"),
}
SUBCLASS = "from {module} import {base}\nclass Broker({base}):\n    release = '{release}'\n"


@pytest.fixture
def desk():
    """Somebody else's paper, served."""
    with far(PaperBroker()) as there:
        yield there
    forget_venue("hot")


@pytest.mark.parametrize("policy", ["HANDOVER", "DRAIN", "REFUSE_IF_OPEN"])
@pytest.mark.parametrize("kind", HOUSE)
def test_three_open_orders_of_each_broker(environment, monkeypatch, tmp_path, desk, kind, policy):
    """
    Handed over, or refused as long as they are open: ids, orders and one reader's events go on.
    """
    world = trading_world(environment, monkeypatch, tmp_path)
    module, base, settings = HOUSE[kind]

    def install(release):
        world.install(release, code=SUBCLASS.format(module=module, base=base, release=release))

    install("1.0")
    settings = settings.format(address=desk.address)
    text = f"{MAIN}policy = '{policy}'\nsettings = {{ {settings} }}\n{GRANTS}"
    with world.host(text, drain_timeout=0.3) as host:
        old, front = host.brokers.get("main"), host.brokers.sync("main")
        ears = [Listening(host, old), Listening(host, host.brokers.get("main", ADA)), Front(front)]
        acks = [front.place_order(request(name)) for name in "abc"]
        before = front.get_open_orders()
        install("2.0")
        if policy == "HANDOVER":
            assert host.reload("acme-broker").changed == ("brokers/main",), status(host).error
        else:
            assert host.reload("acme-broker").failed == ("brokers/main",)
            assert host.brokers.info("main").status == "READY"
        now = host.brokers.sync("main")
        assert [each.order_id for each in now.get_open_orders()] == [each.order_id for each in before]
        assert [now.place_order(request(name)) for name in "abc"] == acks
        for name in "abc":
            now.cancel_order(ref(name))
        until(lambda: not now.get_open_orders())
        if policy != "HANDOVER":
            assert host.reload("acme-broker").changed == ("brokers/main",), status(host).error
        assert host.brokers.get("main").release == "2.0"
        last = host.brokers.sync("main").place_order(request("d"))
        assert last.order_id not in {each.order_id for each in acks}
        ends = {(name, "CANCELED") for name in "abc"} | {("d", "NEW")}
        until(
            lambda: all(ends <= set(orders_told(each)) for each in ears), lambda: str(map(orders_told, ears))
        )
        for each in ears:
            each.end()
    for ear in ears:
        assert ear.seqs() == sorted(set(ear.seqs()))
        ended = [told for told in orders_told(ear) if told[1] == "CANCELED"]
        assert sorted(ended) == [(name, "CANCELED") for name in "abc"]


def orders_told(ear):
    """Which orders were told to be what."""
    told = (event.payload for event in ear.told)
    return [(each.client_order_id, str(each.status)) for each in told if isinstance(each, Order)]
