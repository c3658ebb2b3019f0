"""A paper broker's process is killed at any moment: what it had said is true when the next one comes."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
from decimal import Decimal

import pytest

from hotplug.errors import BrokerUnavailable
from hotplug.market import Side
from hotplug_broker_paper import PaperBroker

pytestmark = pytest.mark.real_services

KILLS = 25

CHILD = """
import asyncio, sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from hotplug.market import Bar, OrderRequest, Side
from hotplug_broker_paper import PaperBroker

FILE, RUN = sys.argv[1:]
BEGIN = datetime(2024, 1, 2, tzinfo=UTC) + timedelta(days=int(RUN))

def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + chr(10))
    sys.stdout.flush()

async def place(broker, name):
    account = "ada" if name.endswith("0") else None
    ack = await broker.place_order(
        OrderRequest(symbol="A", side=Side.BUY, qty=2, client_order_id=name, account=account)
    )
    say("ack", ack.order_id, name)

async def main():
    broker = PaperBroker(file=Path(FILE), fee_rate=Decimal("0.0013"))
    await broker.connect()
    say("ready")
    for minute in range(10_000):
        await asyncio.gather(*(place(broker, f"{RUN}-{minute}-{number}") for number in range(4)))
        bar = Bar(
            symbol="A", time=BEGIN + timedelta(minutes=minute),
            open=100, high=101, low=99, close=100, volume=7,
        )
        for fill in await broker.feed(bar):
            say("fill", fill.trade_id, fill.qty)

asyncio.run(main())
"""


def until_killed(file, run, lines):
    """What a broker on *file* said in a process of its own that was killed after so many lines."""
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(file), str(run)], stdout=subprocess.PIPE, text=True
    ) as child:
        said = [child.stdout.readline().split() for _ in range(lines)]
        child.send_signal(signal.SIGKILL)
        # What it had said before the signal reached it counts as well; the last line may be torn.
        rest = child.stdout.read()
        said += [line.split() for line in rest.splitlines(keepends=True) if line.endswith("\n")]
    return said


async def look(file):
    """Orders, fills and accounts in the file; every sum is checked on the way."""
    broker = PaperBroker(file=file, fee_rate=Decimal("0.0013"), history=1_000_000)
    await broker.connect()
    venue = broker._venue
    known = set(venue.by_order_id), {each.trade_id: each.qty for each in venue.fills}
    for account in venue.accounts.values():
        mine = [each for each in venue.fills if each.account == account.name]
        assert account.ledger.cash == 100_000 - sum(each.qty * each.price + each.fee for each in mine)
        assert account.ledger.held("A") == sum(each.qty for each in mine)
        assert all(each.side is Side.BUY for each in mine)
        for order_id, standing in venue.by_order_id.items():
            filled = sum(each.qty for each in mine if each.order_id == order_id)
            assert standing.account is not account or standing.filled == filled
    await broker.disconnect()
    return known


def test_what_was_said_is_true_after_a_kill(tmp_path):
    """
    Killed again and again, at random moments between two words: every ack and every fill told is in the file.
    """
    file, dice = tmp_path / "paper.db", random.Random(24)
    told_orders, told_fills = set(), {}
    for run in range(KILLS):
        said = until_killed(file, run, dice.randint(1, 60))
        assert said[0] == ["ready"]
        told_orders |= {words[1] for words in said if words[0] == "ack"}
        told_fills |= {words[1]: Decimal(words[2]) for words in said if words[0] == "fill"}

    orders, fills = asyncio.run(look(file))

    assert len(told_orders) > 100
    assert len(told_fills) > 50
    assert told_orders <= orders
    assert told_fills.items() <= fills.items()


def test_two_processes_do_not_share_a_file(tmp_path):
    """
    While one process holds the file, another one is refused; when that was killed, it is free.
    """
    file = tmp_path / "paper.db"
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(file), "0"], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout.readline() == "ready\n"
        with pytest.raises(BrokerUnavailable, match=r"paper\.db is in use, by another process"):
            asyncio.run(PaperBroker(file=file).connect())
        child.kill()

    asyncio.run(look(file))
