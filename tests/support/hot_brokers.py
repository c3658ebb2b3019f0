"""A broker in a host: what is asked of it, who listens to it, and how the host follows its upgrades."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from decimal import Decimal
from types import SimpleNamespace

import hotplug
from hot_venue import gateway_code, venue_module
from hotplug import UserExecutionContext
from hotplug.market import Fill, OrderRef, OrderRequest, OrderType, Side, TimeInForce

PATIENCE = 15.0
D = Decimal
ADA = UserExecutionContext("ada")
MAIN = "[brokers.main]\nplugin='acme'\nconnect=true\n"
GRANTS = "[brokers.main.accounts]\nada=['A1']\n"


def request(name, qty=3, **facts):
    usual = {
        "symbol": "X",
        "side": Side.BUY,
        "qty": D(qty),
        "type": OrderType.LIMIT,
        "price": D(5),
        "tif": TimeInForce.GTC,
        "client_order_id": name,
        "account": "A1",
    }
    return OrderRequest(**{**usual, **facts})


def ref(name):
    return OrderRef(client_order_id=name)


def until(condition, what=lambda: "it never came true"):
    deadline, pause = time.monotonic() + PATIENCE, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, what()
        pause.wait(0.002)


def trading_world(environment, monkeypatch, tmp_path):
    """A venue, releases of a plugin that trades there, and hosts."""
    venue = venue_module(monkeypatch)
    file = tmp_path / "hotplug.toml"

    def install(release, body="", code=None, record=True):
        return environment.install(
            "acme-broker",
            release,
            advertises={"hotplug.brokers": {"acme": "acme_broker:Broker"}},
            files={"acme_broker/__init__.py": gateway_code(release, body) if code is None else code},
            record=record,
        )

    def configure(text, load_timeout=5, drain_timeout=2):
        head = f"[host]\ndata = '{tmp_path / 'data'}'\n"
        head += f"load_timeout = {load_timeout}\ndrain_timeout = {drain_timeout}\n"
        aside = tmp_path / "hotplug.new"
        aside.write_text(head + text)
        aside.replace(file)
        return hotplug.Config.load(file)

    def host(text=MAIN + GRANTS, **limits):
        return hotplug.Host(configure(text, **limits), path=environment.path, cache=False)

    return SimpleNamespace(
        venue=venue, install=install, host=host, configure=configure, environment=environment
    )


def status(host, name="brokers/main"):
    [found] = [each for each in host.plugins if each.name == name]
    return found


class Listening:
    """Everything that one iterator gives, as long as it lasts."""

    def __init__(self, host, source, events=None):
        self.told, self._loop = [], host.home.loop
        begun = threading.Event()

        async def listen():
            stream = source.events() if events is None else events
            begun.set()
            async for event in stream:
                self.told.append(event)

        self._future = asyncio.run_coroutine_threadsafe(listen(), self._loop)
        assert begun.wait(PATIENCE)

    def fills(self):
        return [event.payload.trade_id for event in self.told if isinstance(event.payload, Fill)]

    def seqs(self):
        return [int(event.cursor.rpartition(":")[2]) for event in self.told]

    def end(self):
        self._future.cancel()
        concurrent.futures.wait([self._future], PATIENCE)


class Front:
    """Everything that an iterator of the blocking façade gives, read in a thread."""

    def __init__(self, front):
        self.told = []
        self._stream = front.events(deadline=PATIENCE)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self):
        for event in self._stream:
            self.told.append(event)

    fills, seqs = Listening.fills, Listening.seqs

    def end(self):
        self._stream.close()
        self._thread.join(PATIENCE)


def follow(how, host, world, release, **code):
    """Have the host follow an upgrade to *release*."""
    if how == "reload":
        world.install(release, **code)
        assert host.reload("acme-broker").changed == ("brokers/main",)
        return
    undo = host.watch()
    try:
        world.install(release, **code)
        until(lambda: host.brokers.info("main").version == release, lambda: f"{host.plugins} {host.problems}")
    finally:
        undo()


async def at_home(call, *arguments):
    """What *call* answers, for a loop to run."""
    return call(*arguments)
