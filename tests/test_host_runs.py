"""Runs of strategies that are under way while their distribution is reloaded."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import sys
import weakref
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

import hotplug
from hot import ADA, HEAD, hots
from hotplug.market import Bar
from hotplug.strategies import run_strategy, running
from hotplug_broker_paper import PaperBroker

pytestmark = pytest.mark.usefixtures("nothing_left")

LIMIT = 20
STATE = """
    def export_state(self): return 1, {"seen": self.seen}
    def import_state(self, version, data): self.seen = data["seen"]
"""
WAITS = "        while not gate.is_set(): await asyncio.sleep(0)\n"


@pytest.fixture
def hot(acme, tmp_path):
    yield from hots(acme, tmp_path)


class Stage:
    """A distribution with a strategy, a host that has it, and one run of it that plays to what it is told."""

    def __init__(self, hot):
        self.hot = hot

    def put(self, mark, state=STATE, *, before="", keys=("player",)):
        code = (
            f"{HEAD}from hotplug.strategies import Strategy\n\n"
            "class Player(Strategy):\n"
            "    def __init__(self): self.seen = 0\n"
            f"    async def on_bar(self, bar):\n        self.seen += 1\n{before}"
            f"        log.append(({mark}, self.seen))\n{state}"
        )
        self.hot.install(
            "acme-s",
            files={"acme_s.py": code},
            **{"hotplug.strategies": dict.fromkeys(keys, "acme_s:Player")},
        )

    async def reload(self):
        await asyncio.to_thread(self.host.reload, "acme-s")

    def status(self, name="strategies/player"):
        return self.hot.status(self.host, name)

    @contextlib.asynccontextmanager
    async def run(self, key="player"):
        bars = asyncio.Queue()

        async def market():
            while (bar := await bars.get()) is not None:
                yield bar
                bars.task_done()

        async def play(number):
            day = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=number)
            price = Decimal(100)
            bars.put_nowait(
                Bar(symbol="A", time=day, open=price, high=price, low=price, close=price, volume=Decimal(1))
            )
            async with asyncio.timeout(LIMIT):
                await bars.join()

        broker = PaperBroker()
        await broker.connect()
        strategy = self.host.strategies.get(key, ADA)
        task = asyncio.create_task(run_strategy(strategy, broker, market(), context=ADA))
        del strategy
        try:
            yield play
            bars.put_nowait(None)
            async with asyncio.timeout(LIMIT):
                report = await task
            assert report.error is None
        finally:
            task.cancel()
            await asyncio.wait({task})

    def open(self, test):
        """Play *test*, a coroutine function, with a host; what it answers."""
        with self.hot.host(kinds=hotplug.KINDS) as self.host:
            answer = asyncio.run(test())
            assert running() == ()
            return answer


@pytest.fixture
def stage(hot):
    return Stage(hot)


def test_a_run_goes_on_with_the_next_generation(stage):
    """
    Between two events a run goes on in an object of the new code, which begins where the old one stood.
    """

    async def test():
        async with stage.run() as play:
            await play(1)
            for mark in (2, 3):
                stage.put(mark)
                await stage.reload()
                await play(mark)
            assert stage.status().reason == ""

    stage.put(1)
    stage.open(test)

    assert stage.hot.log == [(1, 1), (2, 2), (3, 3)]


def test_the_code_of_a_run_that_went_on_is_let_go_of(stage):
    """
    A generation that no run plays to any more is gone, and its modules with it.
    """

    async def test():
        async with stage.run() as play:
            await play(1)
            old = weakref.ref(sys.modules["acme_s"])
            stage.put(2)
            await stage.reload()
            await play(2)
            stage.put(3)
            await stage.reload()
            await play(3)
            gc.collect()
            return old()

    stage.put(1)

    assert stage.open(test) is None


def test_a_run_that_cannot_go_on_stays(stage):
    """
    A run whose strategy has no state to hand over plays on as it is, through any number of reloads, and the
    status says so until the run is over.
    """

    async def test():
        async with stage.run() as play:
            for mark in (1, 2, 3):
                stage.put(mark, state="")
                await stage.reload()
                await play(mark)
            said = stage.status()
        return said, stage.status()

    stage.put(1, state="")
    during, after = stage.open(test)

    assert [mark for mark, _ in stage.hot.log] == [stage.hot.log[0][0]] * 3
    assert (during.state, during.reason) == ("loaded", "draining")
    assert "a run goes on with generation 1: " in during.remedy
    assert "has no export_state" in during.remedy
    assert (after.reason, after.remedy) == ("", "")


def test_what_a_run_stays_with_is_let_go_of_when_it_ends(stage, monkeypatch):
    """
    The generation of a run that stays is not gone before that run is over, and is gone then.
    """

    async def test():
        async with stage.run() as play:
            await play(1)
            old = weakref.ref(sys.modules["acme_s"])
            stage.put(2, state="")
            await stage.reload()
            await play(2)
            gc.collect()
            kept = old() is not None
        await stage.reload()
        gc.collect()
        return kept, old()

    for name in ("hotplug.host", "hotplug.strategies.Player"):  # pytest keeps what is logged
        monkeypatch.setattr(logging.getLogger(name), "disabled", True)
    stage.put(1, state="")

    assert stage.open(test) == (True, None)


def test_two_of_one_name_are_over_with_the_last(stage):
    """
    Where several runs stay with an old generation, the status says so until the last of them ends.
    """

    async def test():
        async with stage.run() as one:
            await one(1)
            async with stage.run() as other:
                await other(1)
                stage.put(2, state="")
                await stage.reload()
            said = stage.status().reason
        return said, stage.status().reason

    stage.put(1, state="")

    assert stage.open(test) == ("draining", "")


def test_the_latest_of_two_offers_wins(stage):
    """
    A run that is busy while two reloads go by goes on with the newest code, and nothing is said of the other.
    """

    async def test():
        async with stage.run() as play:
            playing = asyncio.create_task(play(1))
            for mark in (2, 3):
                stage.put(mark)
                await stage.reload()
            stage.hot.acme.gate.set()
            await playing
            await play(2)
            return stage.status().reason

    stage.put(1, before=WAITS)

    assert stage.open(test) == ""
    assert stage.hot.log == [(1, 1), (3, 2)]


def test_a_run_that_ends_first_is_over(stage):
    """
    Of a run that is cancelled before it can go on nothing is kept, and nothing is said.
    """

    async def test():
        with contextlib.suppress(asyncio.CancelledError):
            async with stage.run() as play:
                playing = asyncio.create_task(play(1))
                await asyncio.sleep(0)
                old = weakref.ref(sys.modules["acme_s"])
                stage.put(2)
                await stage.reload()
                playing.cancel()
                raise asyncio.CancelledError
        assert stage.status().reason == ""
        del playing, play
        await stage.reload()
        gc.collect()
        return old()

    stage.put(1, before=WAITS)

    assert stage.open(test) is None


def test_a_stranger_s_run_is_left_alone(stage):
    """
    A run of another strategy, or of an object that the host did not make, is offered nothing.
    """

    async def test():
        async with stage.run("other") as play:
            await play(1)
            stage.put(2, keys=("player",))
            stage.hot.install(
                "acme-other",
                files={"acme_other.py": "from acme_s import Player"},
                **{"hotplug.strategies": {"another": "acme_other:Player"}},
            )
            await stage.reload()
            await play(2)

    stage.put(1, keys=("player", "other"))
    stage.open(test)

    assert stage.hot.log == [(1, 1), (1, 2)]


def test_a_host_that_closes_leaves_runs_alone(stage):
    """
    A run that stays goes on when the host closes, which waits for nobody.
    """

    async def test():
        async with stage.run() as play:
            await play(1)
            stage.put(2, state="")
            await stage.reload()
            report = await asyncio.to_thread(stage.host.close)
            await play(2)
            return report

    stage.put(1, state="")

    assert not stage.open(test)
    assert [mark for mark, _ in stage.hot.log] == [1, 1]


def test_a_run_that_answers_a_closed_host_is_nobodys(stage):
    """
    Who is offered the new code, and takes it when the host is closed, plays on; the host has forgotten it.
    """

    async def test():
        async with stage.run() as play:
            playing = asyncio.create_task(play(1))
            stage.put(2)
            await stage.reload()
            report = await asyncio.to_thread(stage.host.close)
            stage.hot.acme.gate.set()
            await playing
            await play(2)
            return report

    stage.put(1, before=WAITS)

    assert not stage.open(test)
    assert stage.hot.log == [(1, 1), (2, 2)]
