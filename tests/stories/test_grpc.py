"""Remote brokers among real processes and lines that break: noticed, resumed, never doubled."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from pathlib import Path

import grpc
import pytest

from hotplug.errors import BrokerError, Outcome
from hotplug.market import (
    Fill,
    Gap,
    GatewayStatus,
    OrderRef,
    OrderRequest,
    OrderStatus,
    OrderType,
    Side,
    Snapshot,
    StatusChange,
    TimeInForce,
)
from hotplug_broker_grpc import GrpcBroker
from hotplug_broker_grpc import _convert as convert
from hotplug_broker_grpc.stubs import broker_pb2 as pb
from hotplug_broker_grpc.stubs.broker_pb2_grpc import Stub
from hotplug_broker_mock import MockBroker, MockVenue
from serving import far

pytestmark = pytest.mark.real_services

SOON = 20.0
SCRIPT = Path(__file__).parents[1] / "support" / "serving_process.py"
CONFIG = """
[host]
data = "{folder}/data"
[brokers.main]
plugin = "paper"
connect = true
journal = {journal}
settings = {{ file = "{folder}/venue.db", seed = 1 }}
"""
VERB = "from hotplug_broker_grpc._command import serve_command as verb; verb()"


class Quick(GrpcBroker):
    reconnect_delays = (0.01, 0.1)
    check_interval = 0.05


class Process:
    """A process that serves; it can be killed, stopped, started again and told to let bars happen."""

    def __init__(self, folder, *, journal):
        self.config = folder / "hotplug.toml"
        self.config.write_text(CONFIG.format(folder=folder, journal=str(journal).lower()))
        self.address = "127.0.0.1:0"
        self.start()

    def start(self):
        command = [sys.executable, str(SCRIPT), str(self.config), self.address]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.address = self.read().removeprefix("serving ")

    def read(self):
        line = self.process.stdout.readline().strip()
        assert line, f"the server ended with {self.process.wait(SOON)}"
        return line

    def feed(self, number):
        """Let a bar happen; how many fills it made."""
        self.process.stdin.write(f"{number}\n")
        return int(self.read().split()[-1])

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait(SOON)
        self.process.stdin.close()
        self.process.stdout.close()

    def end(self):
        self.signal(signal.SIGCONT)
        self.process.stdin.close()
        try:
            self.process.wait(SOON)
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()


@pytest.fixture
def process(tmp_path):
    started = []

    def start(*, journal):
        started.append(Process(tmp_path, journal=journal))
        return started[-1]

    yield start
    for each in started:
        each.end()


def limit(name, price=Decimal(100)):
    return OrderRequest(
        client_order_id=name,
        symbol="IBM",
        side=Side.BUY,
        qty=Decimal(1),
        type=OrderType.LIMIT,
        tif=TimeInForce.GTC,
        price=price,
    )


def run(test):
    async def limited():
        async with asyncio.timeout(3 * SOON):
            await test

    asyncio.run(limited())


@asynccontextmanager
async def connected(address, **settings):
    broker = Quick(target=address, **settings)
    await broker.connect(SOON)
    try:
        yield broker
    finally:
        await broker.disconnect(drain=False)


async def until_status(events, status):
    """Read events until the gateway is in *status*; all payloads on the way."""
    seen = []
    async with asyncio.timeout(SOON):
        async for event in events:
            seen.append(event.payload)
            if isinstance(event.payload, StatusChange) and event.payload.new is status:
                return seen
    raise AssertionError(f"it never was {status}")


async def until(condition):
    async with asyncio.timeout(SOON):
        while not await condition():  # noqa: ASYNC110 - a broker tells no Event
            await asyncio.sleep(0.01)


# -- processes that die or hang --------------------------------------------------------------------


def test_a_killed_server_is_noticed_by_its_line(process):
    """
    At once, and not by a heartbeat that stays out: these come every minute here.
    """
    server = process(journal=False)

    async def test():
        async with connected(server.address, heartbeat=60.0) as broker:
            events = broker.events()
            before = time.monotonic()
            server.kill()
            await until_status(events, GatewayStatus.RECONNECTING)
            print(f"noticed after {1000 * (time.monotonic() - before):.1f} ms")
            assert not broker.info.healthy

    run(test())


def test_a_stopped_server_is_noticed_and_found_again(process):
    """
    It keeps the line open and says nothing (SIGSTOP): that is a broken line. Awake again, it goes on.
    """
    server = process(journal=False)

    async def test():
        async with connected(server.address) as broker:
            events = broker.events()
            await broker.place_order(limit("before"))
            before = time.monotonic()
            server.signal(signal.SIGSTOP)
            await until_status(events, GatewayStatus.RECONNECTING)
            print(f"noticed after {1000 * (time.monotonic() - before):.1f} ms")
            server.signal(signal.SIGCONT)
            seen = await until_status(events, GatewayStatus.READY)
            await broker.place_order(limit("after"))
            assert not [each for each in seen if isinstance(each, (Gap, Snapshot))]
            assert [each.client_order_id for each in await broker.get_open_orders()] == ["before", "after"]

    run(test())


@pytest.mark.parametrize("round_", range(3))
def test_with_a_lasting_log_nothing_is_missing_and_nothing_doubled(process, round_):
    """
    Killed while fills are told, started again: each fill is heard once, no gap; positions are right.
    """
    server = process(journal=True)

    async def test():
        async with connected(server.address) as broker:
            events = broker.events()
            names = [f"o{number}" for number in range(60)]
            for name in names[:30]:
                await broker.place_order(limit(name))
            server.feed(1)
            server.kill()
            server.start()
            seen = await until_status(events, GatewayStatus.READY)
            for name in names[30:]:
                await broker.place_order(limit(name))
            assert server.feed(2) == 30
            await until(lambda: _holds(broker, Decimal(60)))
            snapshot = await broker.snapshot()
            await broker.disconnect()
            seen += [event.payload async for event in events]

        fills = Counter(each.client_order_id for each in seen if isinstance(each, Fill))
        assert fills == Counter(names)
        assert not [each for each in seen if isinstance(each, Gap)]
        assert {each.trade_id for each in snapshot.fills} == {
            each.trade_id for each in seen if isinstance(each, Fill)
        }

    run(test())


async def _holds(broker, qty):
    return sum(each.qty for each in await broker.get_positions()) == qty


def test_with_a_log_in_memory_there_is_one_gap_and_one_snapshot(process):
    """
    Its cursors mean nothing to the next process: that is said once, and then everything is told as it stands.
    """
    server = process(journal=False)

    async def test():
        async with connected(server.address) as broker:
            async with grpc.aio.insecure_channel(server.address) as channel:
                stream = Stub(channel).StreamEvents(pb.StreamEventsRequest())
                await stream.read()
                for number in range(30):
                    await broker.place_order(limit(f"o{number}"))
                cursor = (await stream.read()).cursor
                stream.cancel()
            server.feed(1)
            events = broker.events()
            server.kill()
            server.start()
            await until_status(events, GatewayStatus.READY)
            await broker.place_order(limit("after", Decimal(1)))
            kinds = await _resumed(server.address, cursor)
            await until(lambda: _holds(broker, Decimal(30)))
            fills = Counter(each.client_order_id for each in await broker.get_fills())
        assert kinds == {Gap: 1, Snapshot: 1}
        assert fills == Counter(f"o{number}" for number in range(30))

    run(test())


async def _resumed(address, cursor):
    """What comes after *cursor*, until nothing more does."""
    kinds, joiner = Counter(), convert.Joiner()
    async with grpc.aio.insecure_channel(address) as channel:
        request = pb.StreamEventsRequest(after=cursor, heartbeat=0.2)
        stream = Stub(channel).StreamEvents(request)
        await stream.read()
        while (batch := await stream.read()).events:
            decoded = [convert.decode_event(event, joiner) for event in batch.events]
            kinds.update(type(event.payload) for event in decoded if event is not None)
        stream.cancel()
    return kinds


# -- the command -----------------------------------------------------------------------------------


def served(folder, *options):
    config = folder / "hotplug.toml"
    config.write_text('[brokers.main]\nplugin = "paper"\n')
    return subprocess.Popen(
        [sys.executable, "-c", VERB, "main", "--config", str(config), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HOTPLUG_DATA": str(folder / "data")},
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_until_it_is_told_to_stop(tmp_path, number):
    """
    ``hotplug broker serve main``: it says where, takes orders, and ends cleanly with 0.
    """
    with served(tmp_path, "--address", "127.0.0.1:0") as process:
        address = process.stdout.readline().split()[-1]

        async def test():
            async with connected(address) as broker:
                await broker.place_order(limit("mine", Decimal(1)))
                events = broker.events()
                process.send_signal(number)
                seen = await until_status(events, GatewayStatus.RECONNECTING)
                assert "stopping" in seen[-1].reason

        run(test())
        assert process.wait(SOON) == 0
        assert process.stdout.read() == "stopping\n"
        assert process.stderr.read() in {"", "brokers/main: order mine stays open (BUY 1 IBM, NEW)\n"}


def test_the_command_takes_tokens_from_a_file(tmp_path):
    """
    Who may do what stands there.
    """
    tokens = tmp_path / "tokens.toml"
    tokens.write_text('[[principal]]\nuser = "ada"\ntoken = "t"\naccounts = ["ada"]\n')
    tokens.chmod(0o600)
    with served(tmp_path, "--address", "127.0.0.1:0", "--token-file", str(tokens)) as process:
        address = process.stdout.readline().split()[-1]

        async def test():
            async with connected(address, token="t") as broker:
                await broker.place_order(limit("mine", Decimal(1)))
                assert (await broker.get_order(OrderRef(client_order_id="mine"))).account == "ada"

        try:
            run(test())
        finally:
            process.terminate()
        assert process.wait(SOON) == 0


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--address", "192.0.2.1:50051"), "needs TLS (a certificate and its key) and tokens"),
        (("--address", "nonsense"), "is no address"),
        (("--token-file", "none.toml"), "does not exist"),
    ],
)
def test_the_command_refuses_what_is_not_safe(tmp_path, options, why):
    """
    With 2, and a text that says what is missing.
    """
    with served(tmp_path, *options) as process:
        assert process.wait(SOON) == 2
        assert why in process.stderr.read()


def test_the_command_names_a_broker_that_is_not_there(tmp_path):
    """
    With 1, and what there is.
    """
    with subprocess.Popen(
        [sys.executable, "-c", VERB, "mian", "--config", str(_config(tmp_path))],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.wait(SOON) == 1
        assert "'main'" in process.stderr.read()


def _config(folder):
    file = folder / "hotplug.toml"
    file.write_text('[brokers.main]\nplugin = "paper"\n')
    return file


# -- lines that break ------------------------------------------------------------------------------


class Wire:
    """A line that can be cut: bytes go to *address* and back, until they do not."""

    def __init__(self, address):
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._ends = set()
        self.cuts = 0

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    async def _join(self, reader, writer):
        there_reader, there_writer = await asyncio.open_connection(self._host, self._port)
        self._ends |= {writer, there_writer}
        await asyncio.gather(self._pass(reader, there_writer), self._pass(there_reader, writer))

    async def _pass(self, reader, writer):
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.transport.abort()
        self._ends.discard(writer)

    def cut(self):
        """Break every connection; what is on its way in either direction is lost."""
        self.cuts += 1
        for writer in tuple(self._ends):
            writer.transport.abort()


class Fire:
    """Orders over a line that is cut again and again, to a venue that fails in every way it knows."""

    WORKERS = 32

    def __init__(self, orders):
        self.names = [f"o{number}" for number in range(orders)]
        self.told = {}
        self.dice = random.Random(7)
        self.venue = venue = MockVenue(seed=7)
        venue.habits.fills = "soon"
        for fault in ("timeout_before", "timeout_after", "crash_before", "crash_after", "reject"):
            venue.on("place", fault=fault, times=None, chance=0.03)
        venue.on_report("order", times=None, chance=0.05, lose=True)
        venue.on_report("fill", times=None, chance=0.1, copies=2)
        self.gateway = MockBroker(
            venue=venue, check_interval=0.02, not_found_final_after=0.3, default_deadline=1.0
        )

    def burn(self):
        """How each order ended here, which fills were heard, and what is held."""
        with far(self.gateway) as there:
            try:
                return asyncio.run(asyncio.wait_for(self._burn(there.address), 20 * SOON))
            finally:
                self.venue.resume()

    async def _burn(self, address):
        async with Wire(address) as wire, connected(wire.address, heartbeat=0.5, timeout=2.0) as broker:
            over = asyncio.Event()
            cutting = asyncio.create_task(self._cut(wire, over))
            workers = (self._trade(broker, self.names[n :: self.WORKERS]) for n in range(self.WORKERS))
            await asyncio.gather(*workers)
            over.set()
            await cutting
            assert wire.cuts > 5
            await until(lambda: self._settled(broker))
            finals = {name: await broker.get_order(OrderRef(client_order_id=name)) for name in self.names}
            return finals, await broker.get_fills(), await broker.get_positions()

    async def _cut(self, wire, over):
        while not over.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), self.dice.uniform(0.02, 0.4))
            wire.cut()

    async def _trade(self, broker, names):
        for name in names:
            while (error := await self._place(broker, name)) and error.outcome is Outcome.NOT_SENT:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def _place(self, broker, name):
        try:
            self.told[name] = await broker.place_order(limit(name, Decimal(110)), deadline=0.5)
        except BrokerError as error:
            self.told[name] = error
            return error
        return None

    async def _settled(self, broker):
        """Whether nothing is in doubt any more, and all fills have been heard of."""
        if broker.status is not GatewayStatus.READY or len(await broker.get_fills()) < len(self.venue.fills):
            return False
        return all(order.status is not OrderStatus.UNKNOWN for order in await broker.get_open_orders())


def test_orders_under_fire_are_sent_once_and_told_truly():
    """
    Lines that are cut, answers that are lost, calls that hang, servers that break: no order is sent twice,
    none is lost, and what is said of each is what the venue knows.
    """
    fire = Fire(int(os.environ.get("HOTPLUG_ORDERS", "1500")))
    finals, fills, positions = fire.burn()
    truth = {each.client_order_id: each for each in fire.venue.orders}

    assert fire.venue.sent_twice == ()
    assert {name: _figures(order) for name, order in finals.items() if name in truth} == {
        name: _figures(order) for name, order in truth.items()
    }
    lost = [finals[name] for name in finals.keys() - truth.keys()]
    assert {order.status for order in lost} <= {OrderStatus.REJECTED}
    assert lost
    assert [name for name, said in fire.told.items() if _is_a_lie(said, finals[name])] == []
    assert Counter(each.trade_id for each in fills) == Counter(each.trade_id for each in fire.venue.fills)
    assert positions == fire.venue.positions


def _figures(order):
    return order.status, order.filled_qty, order.avg_price


def _is_a_lie(said, order):
    """Whether a caller was told otherwise than it turned out."""
    rejected = order.status is OrderStatus.REJECTED
    if isinstance(said, BrokerError):
        return said.outcome is Outcome.REJECTED and not rejected
    return rejected
