"""One gateway gives way to the next; at no instant are two gates open (rule 21)."""

from __future__ import annotations

import asyncio

import pytest

from hotplug.brokers import ReplacePolicy
from hotplug.brokers._orders._book import Book
from hotplug.brokers._template._handover import Handover
from hotplug.errors import BrokerUnavailable, GatewayNotReady, GatewayReplaced
from hotplug.market import ConnectionLost, GatewayStatus, OrderRef, OrderStatus, Snapshot
from puppets import Asking, Hanging, Puppet, connected, fill, limit, order_at_venue, refusal, run, until

S = OrderStatus
P = ReplacePolicy


async def pair(kind=Puppet, **facts):
    """A gateway that serves, and the next one on the same book."""
    book = Book("main")
    old, new = kind(**facts), kind(**facts)
    old.attach(book)
    await connected(old)
    new.attach(book)
    return old, new


def open_gates(*gateways):
    return [gateway for gateway in gateways if gateway._core.has_gate]


async def leave(*gateways):
    for gateway in gateways:
        await gateway.disconnect()


def test_a_handover_exchanges_the_gates_at_once():
    """The new one connects beside with its gate shut; then orders go through it, the old one says so."""

    async def story():
        old, new = await pair()
        await old.place_order(limit("a"))
        stream = old.events()
        handover = Handover(old, new, P.HANDOVER, 5)
        await handover.begin()
        assert open_gates(old, new) == []
        assert isinstance(await refusal(new.place_order(limit("b"))), GatewayReplaced)
        handover.commit()
        assert open_gates(old, new) == [new]
        error = await refusal(old.place_order(limit("b")))
        assert (type(error), error.outcome) == (GatewayReplaced, "NOT_SENT")
        await new.place_order(limit("b"))
        assert (await old.get_order(OrderRef(client_order_id="b"))).order_id == "v-b"
        assert (await old.cancel_order(OrderRef(client_order_id="a"))).status is S.CANCELED
        await old.disconnect()
        new.says("b", S.FILLED)
        generations = []
        async with asyncio.timeout(5):
            async for event in stream:
                generations.append(event.generation)
                if getattr(event.payload, "status", None) is S.FILLED:
                    break
        assert generations[-1] == 2
        await leave(new)

    run(story)


def test_who_waits_at_the_old_gate_is_told():
    """A place during the exchange waits a moment, and then learns that it was replaced; nothing was sent."""

    async def story():
        old, new = await pair()
        new.script["snapshot"] = [lambda: new.shot, slow := Hanging(new.shot)]
        handover = Handover(old, new, P.HANDOVER, 5)
        beginning = asyncio.ensure_future(handover.begin())
        await slow.entered.wait()
        waiting = asyncio.ensure_future(old.place_order(limit("a")))
        await old.settled()
        assert not waiting.done()
        slow.release.set()
        await beginning
        handover.commit()
        assert isinstance(await refusal(waiting), GatewayReplaced)
        await leave(old, new)

    run(story)


def test_who_was_looked_at_meanwhile_takes_orders_at_once():
    """The new one looks again for long: that it did not know all then is over when its gate opens."""

    async def story():
        old, new = await pair(check_interval=60.0)
        new.script["snapshot"] = [lambda: new.shot, slow := Hanging(new.shot)]
        handover = Handover(old, new, P.HANDOVER, 5)
        beginning = asyncio.ensure_future(handover.begin())
        await slow.entered.wait()
        for _ in range(2):
            new._core.pulse.look()
        assert new.status is GatewayStatus.DEGRADED
        slow.release.set()
        await beginning
        handover.commit()
        assert new.status is GatewayStatus.READY
        await new.place_order(limit("a"))
        await leave(old, new)

    run(story)


def test_nobody_waits_longer_than_a_moment(monkeypatch):
    """An exchange that takes longer refuses the place after its quarter of a second."""
    monkeypatch.setattr("hotplug.brokers._template._sends.PAUSE_LIMIT", 0.01)

    async def story():
        old, new = await pair()
        handover = Handover(old, new, P.HANDOVER, 5)
        await handover.begin()
        assert isinstance(await refusal(old.place_order(limit("a"))), GatewayReplaced)
        handover.commit()
        await leave(old, new)

    run(story)


def test_what_flies_lands_first():
    """A send that is under way is waited for; one that does not land in time stops the exchange."""

    async def story():
        old, new = await pair()
        old.script["place"] = slow = Hanging("v-a")
        placing = asyncio.ensure_future(old.place_order(limit("a")))
        await slow.entered.wait()
        error = await refusal(Handover(old, new, P.HANDOVER, 0.02).begin())
        assert (type(error), error.code) == (GatewayNotReady, "not_replaced")
        assert open_gates(old, new) == [old]
        assert new.status is GatewayStatus.DISCONNECTED
        handover = Handover(old, new, P.HANDOVER, 5)
        beginning = asyncio.ensure_future(handover.begin())
        await old.settled()
        slow.release.set()
        await beginning
        handover.commit()
        assert (await placing).order_id == "v-a"
        await leave(old, new)

    run(story)


def test_every_open_id_is_matched():
    """
    The new one looks again when the old gate is shut: what is missing is asked for before its gate opens.
    """

    async def story():
        old, new = await pair(Asking)
        for name in "ab":
            await old.place_order(limit(name))
        new.known["b"] = order_at_venue("b", S.FILLED)
        new.shot = Snapshot(
            orders=(order_at_venue("a"),), fills=None, positions=None, balances=None, cursor=None
        )
        handover = Handover(old, new, P.HANDOVER, 5)
        await handover.begin()
        assert [new.order(name).status for name in "ab"] == [S.NEW, S.FILLED]
        handover.commit()
        await leave(old, new)

    run(story)


@pytest.mark.parametrize("policy", list(P))
def test_a_new_one_that_fails_leaves_the_old_one_serving(policy):
    """Whatever the policy: where the new one cannot connect, the old gate is open, and was all the time."""

    async def story():
        old, new = await pair()
        new.script["connect"] = BrokerUnavailable("no second session")
        await refusal(Handover(old, new, policy, 5).begin())
        assert open_gates(old, new) == [old]
        assert (await old.place_order(limit("a"))).status is S.NEW
        await leave(old, new)

    run(story)


def test_one_session_at_a_time():
    """Without concurrent sessions the old one leaves first; if the new one fails, the old one comes back."""

    async def story():
        old, new = await pair(concurrent_sessions=False)
        stream = old.events()
        new.script["connect"] = [BrokerUnavailable("not yet")]
        await refusal(Handover(old, new, P.HANDOVER, 5).begin())
        assert old.info.healthy
        assert open_gates(old, new) == [old]
        handover = Handover(old, new, P.HANDOVER, 5)
        await handover.begin()
        assert (old.status, new.status) == (GatewayStatus.DISCONNECTED, GatewayStatus.READY)
        handover.commit()
        assert (await new.place_order(limit("a"))).status is S.NEW
        seen = []
        async with asyncio.timeout(5):
            async for event in stream:
                seen.append(event)
                if getattr(event.payload, "status", None) is S.NEW:
                    break
        await leave(new)

    run(story)


def test_streams_outlive_a_successor_that_does_not_come_up():
    """With one session at a time the new one takes a gate that nobody has: no stream ends with it."""

    async def story():
        old, new = await pair(concurrent_sessions=False)
        told = set()

        async def listen():
            async for event in old.events():
                told.add(getattr(event.payload, "client_order_id", None))

        listening = asyncio.ensure_future(listen())
        await old.settled()
        new.script["connect"] = BrokerUnavailable("down")
        assert isinstance(await refusal(Handover(old, new, P.HANDOVER, 5).begin()), BrokerUnavailable)
        assert open_gates(old, new) == [old]
        await old.place_order(limit("a"))
        await until(lambda: "a" in told)
        assert not listening.done()
        await leave(old)
        await listening

    run(story)


def test_who_waits_while_it_is_taken_back_is_served(monkeypatch):
    """A place in the pause of a venue with one session goes to the old one, when that is there again."""
    monkeypatch.setattr("hotplug.brokers._template._sends.PAUSE_LIMIT", 10)

    async def story():
        old, new = await pair(concurrent_sessions=False)
        new.script["connect"], old.script["connect"] = BrokerUnavailable("down"), (slow := Hanging())
        beginning = asyncio.ensure_future(Handover(old, new, P.HANDOVER, 5).begin())
        await slow.entered.wait()
        placing = asyncio.ensure_future(old.place_order(limit("a")))
        await old.settled()
        assert not placing.done()
        slow.release.set()
        assert isinstance(await refusal(beginning), BrokerUnavailable)
        assert (await placing).order_id == "v-a"
        await leave(old)

    run(story)


def test_a_roll_back_that_fails_lets_nobody_wait():
    """The old one does not come up again: that is raised, and who places is told at once."""

    async def story():
        old, new = await pair(concurrent_sessions=False)
        new.script["connect"], old.script["connect"] = (
            BrokerUnavailable("down"),
            BrokerUnavailable("all down"),
        )
        error = await refusal(Handover(old, new, P.HANDOVER, 5).begin())
        assert error.message == "all down"
        assert old._core.gate_paused is None
        assert isinstance(await refusal(old.place_order(limit("a"))), GatewayNotReady)
        del old.script["connect"]
        await old.connect()
        await old.place_order(limit("a"))
        await leave(old)

    run(story)


def test_refuse_if_open_refuses():
    """REFUSE_IF_OPEN: with an own order open nothing is exchanged; with foreign ones alone it is."""

    async def story():
        old, new = await pair()
        old.report(order_at_venue("theirs"))
        await old.place_order(limit("a"))
        error = await refusal(Handover(old, new, P.REFUSE_IF_OPEN, 5).begin())
        assert "1 orders are open" in str(error)
        old.says("a", S.CANCELED)
        handover = Handover(old, new, P.REFUSE_IF_OPEN, 5)
        await handover.begin()
        handover.commit()
        assert open_gates(old, new) == [new]
        await leave(old, new)

    run(story)


def test_a_drain_waits_for_the_last_order():
    """DRAIN: no new orders, and the exchange when the last own order has ended; in time, or not at all."""

    async def story():
        old, new = await pair()
        await old.place_order(limit("a"))
        error = await refusal(Handover(old, new, P.DRAIN, 0.06).begin())
        assert "draining was not finished" in str(error)
        assert open_gates(old, new) == [old]
        handover = Handover(old, new, P.DRAIN, 5)
        beginning = asyncio.ensure_future(handover.begin())
        await new.settled()
        old.report(fill("a", 2))
        await beginning
        handover.commit()
        assert open_gates(old, new) == [new]
        await leave(old, new)

    run(story)


def test_what_drains_for_the_next_one_says_so():
    """DRAIN: the old one is DRAINING and not well, refuses places at once, cancels; READY when taken back."""

    async def story():
        old, new = await pair()
        await old.place_order(limit("a"))
        handover = Handover(old, new, P.DRAIN, 5, drain_limit=0.06)
        beginning = asyncio.ensure_future(handover.begin())
        await new.settled()
        await until(lambda: old.status is GatewayStatus.DRAINING)
        assert not old.well
        error = await refusal(old.place_order(limit("b")))
        assert (type(error), error.outcome) == (GatewayNotReady, "NOT_SENT")
        assert "DRAINING" in str(error)
        assert "draining was not finished within 0.06 s" in str(await refusal(beginning))
        assert (old.status, old.well) == (GatewayStatus.READY, True)
        await old.place_order(limit("b"))

        again = Handover(old, new, P.DRAIN, 5, drain_limit=5)
        assert (again.patience, Handover(old, new, P.HANDOVER, 5, drain_limit=5).patience) == (15, 5)
        beginning = asyncio.ensure_future(again.begin())
        await until(lambda: old.status is GatewayStatus.DRAINING)
        for name in ("a", "b"):
            assert (await old.cancel_order(OrderRef(client_order_id=name))).status is S.CANCELED
        await beginning
        again.commit()
        assert open_gates(old, new) == [new]
        await leave(old, new)

    run(story)


@pytest.mark.parametrize("how", ["disconnected", "lost"])
def test_what_is_not_there_any_more_is_connected_when_taken_back(how):
    """DRAIN: a line that was lost, or closed by somebody, meanwhile is open again after the refusal."""

    async def story():
        old, new = await pair(reconnect_delays=(30.0, 30.0))
        await old.place_order(limit("a"))
        beginning = asyncio.ensure_future(Handover(old, new, P.DRAIN, 5, drain_limit=0.06).begin())
        await until(lambda: old.status is GatewayStatus.DRAINING)
        if how == "lost":
            old.report(ConnectionLost(reason="cut"))
        else:
            await old.disconnect()
        await refusal(beginning)
        assert (old.status, old._core.line.drains) == (GatewayStatus.READY, False)
        await old.place_order(limit("b"))
        await leave(old, new)

    run(story)


def test_a_successor_of_one_that_is_at_rest_just_connects():
    """An old gateway that is disconnected leaves its gate to the next that connects."""

    async def story():
        old, new = await pair()
        await old.disconnect()
        await new.connect()
        assert open_gates(old, new) == [new]
        assert isinstance(await refusal(old.place_order(limit("a"))), GatewayReplaced)
        await leave(new)

    run(story)
