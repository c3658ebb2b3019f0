"""The audit: what really happened passes, and whatever is tampered with is found."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

import hotplug
from hotplug.market import BrokerEvent, Gap, OrderAck, OrderRef, OrderRequest, OrderStatus, Side
from hotplug_broker_paper import PaperBroker
from hotplug_demo._isolation import Attempt, Evidence, Outcome, Trespasser, audit, trespass
from hotplug_demo._needs import Trouble
from hotplug_demo._play import Tape, _tell_fills, perform
from hotplug_demo._players import players
from hotplug_demo._stage import Nobody
from hotplug_tools_market import bars


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    """What two users leave behind after a real run."""
    market = bars("FB")
    played = asyncio.run(perform(players(2, "crossover", market), "crossover", market, Nobody()))
    return played.evidence


def first(evidence: Evidence, change: Callable[[Outcome], Outcome]) -> Evidence:
    """The same, with another outcome of the first user."""
    one, *others = evidence.outcomes
    return replace(evidence, outcomes=(change(one), *others))


def test_what_really_happened_is_isolated(evidence):
    """
    A real run has no breach, and something to be breached.
    """
    found = audit(evidence)

    assert found.isolated
    assert found.breaches == ()
    assert found.orders == found.fills == sum(len(each.report.trades) for each in evidence.outcomes) > 0
    assert found.attempts == 6
    assert all(attempt.refusal for attempt in evidence.attempts)


def swapped_reports(evidence: Evidence) -> Evidence:
    one, other = evidence.outcomes
    return replace(evidence, outcomes=(replace(one, report=other.report), replace(other, report=one.report)))


def anothers_order(evidence: Evidence) -> Evidence:
    stranger = evidence.outcomes[1].report.orders[0]
    return first(
        evidence,
        lambda one: replace(one, report=replace(one.report, orders=(*one.report.orders, stranger))),
    )


def withheld_fill(evidence: Evidence) -> Evidence:
    return first(
        evidence, lambda one: replace(one, report=replace(one.report, trades=one.report.trades[:-1]))
    )


def other_money(evidence: Evidence) -> Evidence:
    cent = Decimal("0.01")
    balances = tuple(
        replace(each, total=each.total + cent) if each.account == "ada" else each
        for each in evidence.books.balances or ()
    )
    return replace(evidence, books=replace(evidence.books, balances=balances))


def other_holdings(evidence: Evidence) -> Evidence:
    positions = tuple(
        replace(each, qty=each.qty + 1, avg_price=Decimal(20)) if each.account == "ada" else each
        for each in evidence.books.positions or ()
    )
    return replace(evidence, books=replace(evidence.books, positions=positions))


def money_not_told(evidence: Evidence) -> Evidence:
    return replace(evidence, books=replace(evidence.books, balances=None))


def one_strategy_for_both(evidence: Evidence) -> Evidence:
    return first(evidence, lambda one: replace(one, strategy=evidence.outcomes[1].strategy))


def start_of_another(evidence: Evidence) -> hotplug.Event:
    return next(event for event in evidence.outcomes[1].events if event.type == "RUN_STARTED")


def one_run_for_both(evidence: Evidence) -> Evidence:
    run = start_of_another(evidence).run_id
    return first(
        evidence, lambda one: replace(one, events=(replace(one.events[0], run_id=run), *one.events[1:]))
    )


def anothers_event(evidence: Evidence) -> Evidence:
    stranger = start_of_another(evidence)
    return first(evidence, lambda one: replace(one, events=(*one.events, stranger)))


def misrouted_event(evidence: Evidence) -> Evidence:
    # As a hub would hand it out that had put it into the wrong ring: the name is that of the ring.
    stranger = replace(start_of_another(evidence), user_id="ada", run_id=None)
    return first(evidence, lambda one: replace(one, events=(*one.events, stranger)))


def fill_not_told(evidence: Evidence) -> Evidence:
    return first(
        evidence,
        lambda one: replace(one, events=tuple(event for event in one.events if event.type != "CUSTOM")),
    )


def nobodys_account(evidence: Evidence) -> Evidence:
    order = replace(evidence.outcomes[0].report.orders[0], account="mallory", order_id="mallory-1")
    event = replace(evidence.tape[-1], payload=order)
    return replace(evidence, tape=(*evidence.tape, event))


def gap_in_the_tape(evidence: Evidence) -> Evidence:
    event = BrokerEvent(
        cursor="x:1", time=datetime.now(UTC), generation=0, payload=Gap(after=None, before="x:1")
    )
    return replace(evidence, tape=(*evidence.tape, event))


def attempt_let_through(evidence: Evidence) -> Evidence:
    attempt = Attempt("ada", "trade on the account of grace", None)
    return replace(evidence, attempts=(*evidence.attempts, attempt))


@pytest.mark.parametrize(
    ("tamper", "breach"),
    [
        (swapped_reports, "ada was shown Order grace-1 of account grace"),
        (anothers_order, "ada and grace share an order: ['grace-1']"),
        (withheld_fill, "ada and the broker tell different stories of ['ada-T"),
        (other_money, "ada should have "),
        (other_holdings, "ada should hold {} by own fills, the broker says {'FB': Decimal('1')}"),
        (money_not_told, "the broker says 0"),
        (one_strategy_for_both, "ada and grace share a strategy object"),
        (one_run_for_both, "ada and grace share a run"),
        (anothers_event, "ada was told RUN_STARTED of grace, demo of grace"),
        (misrouted_event, "ada was told RUN_STARTED of ada, demo of grace"),
        (fill_not_told, "ada was told of trades [], which are not the own ones"),
        (nobodys_account, "account mallory belongs to nobody and traded: ['mallory-1']"),
        (gap_in_the_tape, "is lost, so it could not be compared"),
        (attempt_let_through, "ada was let to trade on the account of grace"),
    ],
)
def test_tampering_is_found(evidence, tamper, breach):
    """
    Each way in which users could be mixed up is a breach that names it.
    """
    found = audit(tamper(evidence))

    assert not found.isolated
    assert any(breach in each for each in found.breaches), found.breaches


class ObligingDesk:
    """A desk without a fence."""

    now = datetime(2020, 1, 1, tzinfo=UTC)
    cash = Decimal(0)

    async def place(self, request):
        return OrderAck(client_order_id="x", order_id="1", status=OrderStatus.NEW, time=self.now)

    async def cancel(self, ref):
        return None


def test_an_attempt_that_is_let_through_is_noted():
    """
    Where nothing refuses, trespassing succeeds, and is noted as such: the attempts are real.
    """
    intruder = Trespasser("ada", "grace", "FB", OrderRef(order_id="grace-1"))
    trader = hotplug.Trader(ObligingDesk(), account="ada", user="ada", strategy="x", run="y")

    asyncio.run(intruder.on_start(trader))

    assert intruder.attempts == [
        Attempt("ada", "trade on the account of grace", None),
        Attempt("ada", "cancel an order of grace", None),
    ]


class Megaphone:
    """An emitter that speaks for everybody."""

    def __init__(self, hub, context):
        self.hub = hub

    def emit(self, what, payload, *, context):
        return self.hub.emit(context, what, payload)


@pytest.fixture
def venue():
    """A connected paper broker, on a loop of the test's own."""
    with asyncio.Runner() as runner:
        broker = PaperBroker()
        runner.run(broker.connect())
        yield runner, broker
        runner.run(broker.disconnect())


def test_speaking_for_another_is_noted(evidence, venue, monkeypatch):
    """
    An emitter that lets a user speak as another one is found out; the other attempts are refused.
    """
    runner, broker = venue
    monkeypatch.setattr(hotplug, "EventEmitter", Megaphone)
    one, other = evidence.outcomes

    attempts = runner.run(trespass(one, other, broker, hotplug.EventHub()))

    assert [attempt.what for attempt in attempts if attempt.refusal is None] == ["tell grace something"]


def test_nothing_to_cancel_is_no_attempt(evidence, venue):
    """
    With a neighbour that has no orders, cancelling is not tried.
    """
    runner, broker = venue
    one, other = evidence.outcomes
    idle = replace(other, report=replace(other.report, orders=()))

    attempts = runner.run(trespass(one, idle, broker, hotplug.EventHub()))

    assert [attempt.what for attempt in attempts] == ["trade on the account of grace", "tell grace something"]


def test_trespassing_that_breaks_is_no_proof(evidence, venue):
    """
    An attempt that ends in another error than the refusal is not counted as refused: it is raised.
    """
    runner, _ = venue
    one, other = evidence.outcomes

    class Bankrupt(PaperBroker):
        async def _query(self, ref):
            raise hotplug.BrokerUnavailable("closed for today", code="down", outcome="UNKNOWN")

    bankrupt = Bankrupt()
    runner.run(bankrupt.connect())
    with pytest.raises(hotplug.BrokerUnavailable, match="closed for today"):
        runner.run(trespass(one, other, bankrupt, hotplug.EventHub()))


def test_the_tape_is_waited_for(venue):
    """
    Everything up to a cursor has been read and routed when it is reached, however late reading began.
    """
    runner, broker = venue
    routed = []

    async def scene() -> list[str]:
        cursor = (await broker.snapshot()).cursor
        tape = Tape(broker, cursor, routed.append)
        await broker.place_order(OrderRequest(symbol="FB", side=Side.BUY, qty=Decimal(1)))
        await broker.feed(bars("FB")[0])
        waiting = asyncio.create_task(tape.reach((await broker.snapshot()).cursor))
        await asyncio.sleep(0)
        assert not waiting.done()
        reading = asyncio.create_task(tape.follow())
        await asyncio.wait_for(waiting, 5)
        reading.cancel()
        return [type(event.payload).__name__ for event in tape.events]

    assert runner.run(scene()) == ["Order", "Order", "Fill", "Order", "Position", "Balance"]
    assert [fill.account for fill in routed] == ["default"]


def test_a_fill_of_nobody_is_told_to_nobody(evidence):
    """
    A fill on an account that no user has is not put into anybody's events.
    """
    host = hotplug.Host()
    route = _tell_fills(host, [each.player for each in evidence.outcomes], Nobody())
    fill = evidence.outcomes[0].report.trades[0]

    route(replace(fill, account="mallory"))
    assert host.events.stats().emitted == 0

    route(fill)
    assert host.events.stats().emitted == 1


def test_a_tape_that_ends_is_trouble(venue):
    """
    If the broker stops telling what happens, nobody waits for more of it.
    """
    runner, broker = venue

    async def scene() -> None:
        cursor = (await broker.snapshot()).cursor
        tape = Tape(broker, cursor, lambda fill: None)
        await broker.disconnect()
        await tape.follow()

    with pytest.raises(Trouble, match="stopped telling"):
        runner.run(scene())
