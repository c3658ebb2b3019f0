"""Processes are killed while they place orders: nothing is sent twice, and nothing is told that is not so."""

from __future__ import annotations

import json
import os
import random
import signal
import socketserver
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hotplug.testing import Environment

pytestmark = pytest.mark.real_services

KILLS = int(os.environ.get("HOTPLUG_KILLS", "60"))
KILLS_WHILE_REPLACED = 20
LANES = 2
TRADER = Path(__file__).parents[1] / "support" / "crashing_trader.py"


class Venue(socketserver.ThreadingTCPServer):
    """A venue in the test's own process, which lives on: it takes orders as often as they are sent."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, seed: int) -> None:
        super().__init__(("127.0.0.1", 0), Desk)
        self.random = random.Random(seed)
        self.guard = threading.Lock()
        self.sent: list[str] = []
        self.orders: dict[str, dict[str, str]] = {}
        self.trader: subprocess.Popen[str] | None = None
        self.kill_at: str | None = None

    def place(self, name: str) -> dict[str, str] | None:
        """Take the order; the answer, or None where the trader was killed before it."""
        with self.guard:
            self.sent.append(name)
            point, self.kill_at = self.kill_at, None
            if point == "arrived":
                self.kill()
                return None
            [status] = self.random.choices(["FILLED", "REJECTED", "NEW"], [7, 2, 1])
            self.orders[name] = {"id": name, "venue": f"v{len(self.sent)}", "status": status}
            if point == "accepted":
                self.kill()
                return None
            return self.orders[name]

    def kill(self) -> None:
        assert self.trader is not None
        os.kill(self.trader.pid, signal.SIGKILL)
        self.trader.wait()


class Desk(socketserver.StreamRequestHandler):
    """One connection of one trader."""

    def handle(self) -> None:
        venue: Venue = self.server  # type: ignore[assignment]
        try:
            for line in self.rfile:
                asked = json.loads(line)
                if asked["verb"] == "place":
                    answer = venue.place(asked["id"])
                    if answer is None:
                        return
                else:
                    with venue.guard:
                        answer = venue.orders.get(asked["id"], {"status": "NOT_FOUND"})
                self.wfile.write(json.dumps(answer).encode() + b"\n")
        except ConnectionError:
            return


class Lane:
    """A venue, a data folder, and traders that die there one after the other."""

    def __init__(self, number: int, folder: Path, site: Path | None = None) -> None:
        self.data = folder / f"lane{number}"
        self.site = [] if site is None else [str(site)]
        self.burst = 0.03 if site is None else 0.2
        self.replaced = 0
        self.random = random.Random(number)
        self.venue = Venue(number)
        self.thread = threading.Thread(target=self.venue.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()
        self.told: dict[str, set[str]] = {}

    def close(self) -> None:
        self.venue.shutdown()
        self.thread.join()
        self.venue.server_close()

    def run(self, life: int, *, to_the_end: bool = False) -> int:
        """One trader's life; its exit code."""
        address = f"127.0.0.1:{self.venue.server_address[1]}"
        environ = {**os.environ, "HOTPLUG_DATA": str(self.data)}
        orders = "0" if to_the_end else "1000"
        command = [sys.executable, str(TRADER), address, str(life), orders, *self.site]
        with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as trader:
            assert trader.stdout is not None
            timer = None
            with self.venue.guard:
                self.venue.trader = trader
                if not to_the_end:
                    self.venue.kill_at = self.random.choice(["arrived", "accepted", None])
            for line in trader.stdout:
                said = json.loads(line)
                if "ready" in said and not to_the_end and self.venue.kill_at is None:
                    timer = threading.Timer(self.random.uniform(0, self.burst), trader.kill)
                    timer.start()
                if "replaced" in said:
                    assert said["replaced"]
                    self.replaced += 1
                if "id" in said:
                    self.told.setdefault(said["id"], set()).add(said["outcome"])
            if timer is not None:
                timer.join()
            return trader.wait(30)

    def live(self, kills: int) -> None:
        for life in range(kills):
            assert self.run(life) == -signal.SIGKILL
        assert self.run(kills, to_the_end=True) == 0


@pytest.fixture
def lanes(tmp_path):
    """Makes lanes, with a site folder that the traders' broker comes from, or without."""
    made = []

    def make(site=None):
        made.extend(Lane(number, tmp_path, site) for number in range(LANES))
        return made

    yield make
    for lane in made:
        lane.close()


@pytest.fixture
def site(tmp_path):
    """A distribution of the traders' broker."""
    environment = Environment(tmp_path / "site")
    environment.install(
        "acme-wire",
        advertises={"hotplug.brokers": {"wire": "acme_wire:Broker"}},
        files={"acme_wire.py": "from crashing_trader import WireBroker\nclass Broker(WireBroker): ...\n"},
    )
    return environment.folder


def stories(data: Path) -> dict[str, dict[str, object]]:
    """What ``hotplug broker orders`` tells of the dead process's orders."""
    command = [sys.executable, "-m", "hotplug", "broker", "orders", "main", "--json"]
    environ = {**os.environ, "HOTPLUG_DATA": str(data)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode in {0, 1}, done.stderr
    return {story["client_order_id"]: story for story in json.loads(done.stdout)}


def test_killed_processes_send_nothing_twice(lanes):
    """
    Killed between intent and answer, again and again: each id comes once; outcomes are true or UNKNOWN.
    """
    play(lanes(), KILLS)


def test_killed_in_the_middle_of_hand_overs(lanes, site):
    """
    Killed while one gateway gives way to the next: the journal tells the truth, or that it is not known.
    """
    lanes = lanes(site)
    play(lanes, KILLS_WHILE_REPLACED)
    assert any(lane.replaced for lane in lanes), "no hand-over was met"


def play(lanes, kills):
    """Let traders live and die on *lanes*, and see what the journals say of it."""
    with ThreadPoolExecutor(LANES) as pool:
        for done in [pool.submit(lane.live, kills // LANES) for lane in lanes]:
            done.result()

    for lane in lanes:
        venue = lane.venue
        assert len(venue.sent) == len(set(venue.sent)), "an id was sent twice"
        assert len(venue.sent) >= kills // LANES // 2, "the traders hardly traded"
        told = stories(lane.data)
        assert set(venue.sent) <= set(told), "the venue knows orders that the journal does not"
        for name, story in told.items():
            truth = venue.orders.get(name, {"status": "NOT_FOUND"})["status"]
            status = story["status"]
            assert (
                status == "UNKNOWN" or status == truth or (truth == "NOT_FOUND" and status == "REJECTED")
            ), (
                name,
                status,
                truth,
            )
            acked = "ack" in lane.told.get(name, set())
            assert not acked or truth in {"NEW", "FILLED"}, f"{name} was acknowledged, but is {truth}"
