"""Connecting, synchronising, losing and finding the line again (rules 12, 13, 16, 20)."""

from __future__ import annotations

import asyncio
import logging
import time
from decimal import Decimal

import pytest

from hotplug.brokers._orders._book import Book
from hotplug.errors import AuthenticationError, BrokerUnavailable, DeadlineExceeded, GatewayNotReady
from hotplug.market import (
    GATEWAY_TRANSITIONS,
    Balance,
    Bar,
    ConnectionLost,
    Gap,
    GatewayStatus,
    HealthState,
    Heartbeat,
    OrderRef,
    OrderStatus,
    Position,
    RateLimitSeen,
    Snapshot,
    StatusChange,
)
from puppets import (
    Asking,
    Hanging,
    Puppet,
    connected,
    fill,
    limit,
    order_at_venue,
    quote,
    refusal,
    run,
    until,
)

S = OrderStatus
G = GatewayStatus


def shot(*orders, fills=None, positions=None, balances=None):
    return Snapshot(orders=orders, fills=fills, positions=positions, balances=balances, cursor=None)


def statuses(gateway):
    """Listen to the states that it goes through from now on."""
    seen = []
    gateway._core.on_status = lambda change: seen.append(change.new)
    return seen


# -- connect ------------------------------------------------------------------------------------------


def test_a_life_goes_by_the_table():
    """Each transition is in the published table, and an event with a reason and monotonic time."""

    async def story():
        gateway, before = Puppet(), time.monotonic_ns()
        stream = gateway.events()
        await gateway.connect()
        await gateway.connect()
        await gateway.disconnect()
        await gateway.disconnect()
        told = [event.payload async for event in stream]
        assert [change.new for change in told] == [
            G.CONNECTING,
            G.SYNCING,
            G.READY,
            G.DRAINING,
            G.DISCONNECTED,
        ]
        assert all(isinstance(change, StatusChange) and change.reason for change in told)
        assert all(change.new in GATEWAY_TRANSITIONS[change.old] for change in told)
        times = [before, *(change.monotonic_ns for change in told), time.monotonic_ns()]
        assert times == sorted(times)
        assert [name for name, _ in gateway.calls] == ["connect", "snapshot", "disconnect"]

    run(story)


def test_an_impossible_transition_is_refused():
    """The table is enforced: what it lacks raises, and nothing has changed."""

    async def story():
        gateway = Puppet()
        with pytest.raises(GatewayNotReady, match="cannot go from CREATED to READY"):
            gateway._core.become(G.READY)
        assert gateway.status is G.CREATED

    run(story)


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (AuthenticationError("bad key"), AuthenticationError),
        (ValueError("bug"), BrokerUnavailable),
        (SystemExit(1), BrokerUnavailable),
        (TimeoutError(), DeadlineExceeded),
    ],
)
@pytest.mark.parametrize("hook", ["connect", "snapshot"])
def test_a_connect_that_fails_leaves_nothing(raised, kind, hook):
    """It says why, the line is closed again, the status is FAILED; and it may be tried once more."""

    async def story():
        gateway = Puppet()
        gateway.script[hook] = [raised]
        error = await refusal(gateway.connect())
        assert isinstance(error, kind)
        assert gateway.status is G.FAILED
        assert gateway.info.last_error
        assert gateway.calls[-1][0] == "disconnect"
        assert gateway.info.health is not HealthState.HEALTHY
        await gateway.connect()
        assert gateway.info.healthy
        await gateway.disconnect()

    run(story)


def test_a_failed_gateway_can_be_disconnected():
    """From FAILED it comes to rest."""

    async def story():
        gateway = Puppet()
        gateway.script["connect"] = [ValueError("bug")]
        await refusal(gateway.connect())
        await gateway.disconnect()
        assert gateway.status is G.DISCONNECTED

    run(story)


@pytest.mark.parametrize("hook", ["connect", "snapshot"])
def test_a_connect_that_hangs_ends_with_its_deadline(hook):
    """The deadline holds for all of it; the hook is cancelled, the line closed."""

    async def story():
        gateway = Puppet()
        gateway.script[hook] = slow = Hanging()
        error = await refusal(gateway.connect(0.02))
        assert isinstance(error, DeadlineExceeded)
        assert slow.cancelled
        assert gateway.status is G.FAILED

    run(story)


def test_a_cancelled_connect_leaves_nothing():
    """Who is cancelled while connecting leaves a closed line."""

    async def story():
        gateway = Puppet()
        gateway.script["connect"] = slow = Hanging()
        connecting = asyncio.ensure_future(gateway.connect())
        await slow.entered.wait()
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        assert gateway.status is G.FAILED
        assert gateway.calls[-1][0] == "disconnect"

    run(story)


def test_two_who_connect_share_one_line():
    """A second connect waits for the first, and opens nothing of its own."""

    async def story():
        gateway = Puppet()
        gateway.script["connect"] = slow = Hanging()
        both = [asyncio.ensure_future(gateway.connect()) for _ in range(2)]
        await slow.entered.wait()
        slow.release.set()
        await asyncio.gather(*both)
        assert gateway.count("connect") == 1
        await gateway.disconnect()

    run(story)


def test_a_disconnect_that_raises_or_hangs_is_logged(monkeypatch, caplog):
    """What ``_disconnect`` does wrong holds nobody up."""
    monkeypatch.setattr("hotplug.brokers._template._line.CLEAN_UP", 0.02)

    async def story():
        gateway = await connected(Puppet())
        gateway.script["disconnect"] = [ValueError("half open")]
        await gateway.disconnect()
        await gateway.connect()
        gateway.script["disconnect"] = Hanging()
        await gateway.disconnect()
        assert gateway.status is G.DISCONNECTED

    with caplog.at_level(logging.WARNING, "hotplug.brokers"):
        run(story)
    assert "half open" in caplog.text
    assert "TimeoutError" in caplog.text


def test_a_disconnect_keeps_to_its_deadline(monkeypatch):
    """A ``_disconnect`` that hangs takes no longer than the caller has, though it could have more."""
    monkeypatch.setattr("hotplug.brokers._template._line.CLEAN_UP", 60.0)

    async def story():
        gateway = await connected(Puppet())
        gateway.script["disconnect"] = Hanging()
        async with asyncio.timeout(10):
            await gateway.disconnect(deadline=0.01)
        assert gateway.status is G.DISCONNECTED

    run(story)


# -- synchronise --------------------------------------------------------------------------------------


def test_what_comes_during_the_snapshot_is_applied_after_it():
    """Reports are buffered while the snapshot is under way; nothing is lost, nothing is applied twice."""

    async def story():
        gateway = await connected(Puppet())
        await gateway.place_order(limit("a", qty=4))
        gateway.report(fill("a", 1, "t1"))
        await gateway.disconnect()
        gateway.script["snapshot"] = slow = Hanging()
        connecting = asyncio.ensure_future(gateway.connect())
        await slow.entered.wait()
        assert gateway.status is G.SYNCING
        gateway.report(fill("a", 1, "t2"))
        gateway.report(fill("a", 1, "t3"))
        gateway.says("a", S.PARTIALLY_FILLED, filled_qty=Decimal(3))
        gateway.report(Position(account="default", symbol="ACME", qty=3, avg_price=None, realized_pnl=0))
        assert gateway.order("a").filled_qty == 1
        slow.then = shot(
            order_at_venue("a", S.PARTIALLY_FILLED, qty=Decimal(4), filled_qty=Decimal(2)),
            fills=(fill("a", 1, "t1"), fill("a", 1, "t2")),
            positions=(Position(account="P", symbol="ACME", qty=3, avg_price=None, realized_pnl=0),),
            balances=(Balance(account="B", currency="USD", total=1, available=1, locked=0),),
        )
        slow.release.set()
        await connecting
        order = gateway.order("a")
        assert (order.status, order.filled_qty) == (S.PARTIALLY_FILLED, 3)
        assert not any(each.late for each in await gateway.get_fills())
        assert len(await gateway.get_fills()) == 3
        assert len(gateway.info.accounts) == 3
        await gateway.disconnect()

    run(story)


def test_fills_of_a_snapshot_find_their_orders_and_are_not_late():
    """One that names the venue's id only is the order's, though the same snapshot says that it has ended."""

    async def story():
        gateway = await connected(Puppet())
        gateway.script["place"] = [None]
        await gateway.place_order(limit("a"))
        ended = order_at_venue("a", S.FILLED, filled_qty=Decimal(2), avg_price=Decimal(10))
        gateway.shot = shot(ended, fills=(fill(None, 2, order_id="v-a"),))
        await gateway.snapshot()
        [told] = await gateway.get_fills()
        assert (told.client_order_id, told.late, gateway.order("a").status) == ("a", False, S.FILLED)
        await gateway.disconnect()

    run(story)


def test_a_large_snapshot_is_applied_in_turns():
    """Others of the loop go on meanwhile; what is reported between the turns happens after all of them."""

    async def story():
        gateway = Puppet()
        names = [f"o{number}" for number in range(4000)]
        gateway.shot = shot(*map(order_at_venue, names))
        turns = 0

        async def turn():
            nonlocal turns
            await until(lambda: gateway.book.get("default", "o0"))
            gateway.says("o3999", S.FILLED)
            while gateway.status is GatewayStatus.SYNCING:
                turns += 1
                await asyncio.sleep(0)

        turning = asyncio.ensure_future(turn())
        await gateway.connect()
        await turning
        assert turns >= 9
        assert [gateway.order(name).status for name in ("o3998", "o3999")] == [S.NEW, S.FILLED]
        await gateway.disconnect()

    run(story)


def test_an_order_that_the_snapshot_lacks_is_asked_for():
    """Open here, absent there: queried; what the venue does not know is UNKNOWN."""

    async def story():
        gateway = await connected(Asking())
        for name in ("a", "b", "c"):
            await gateway.place_order(limit(name))
        await gateway.disconnect()
        gateway.calls.clear()
        gateway.shot = shot(order_at_venue("a"))
        gateway.known = {"b": order_at_venue("b", S.FILLED)}
        await gateway.connect()
        assert [gateway.order(name).status for name in "abc"] == [S.NEW, S.FILLED, S.UNKNOWN]
        assert gateway.count("query") == 2
        await gateway.disconnect()

    run(story)


def test_an_order_that_the_snapshot_lacks_is_in_doubt_where_nobody_can_be_asked():
    """Of a gateway without a query the snapshot is all that is known: UNKNOWN, and it is looked at again."""

    async def story():
        gateway = await connected(Puppet())
        await gateway.place_order(limit("a"))
        await gateway.place_order(limit("b"))
        await gateway.disconnect()
        gateway.shot = shot(order_at_venue("a"))
        await gateway.connect()
        assert [gateway.order(name).status for name in "ab"] == [S.NEW, S.UNKNOWN]
        gateway.shot = shot(order_at_venue("a"), order_at_venue("b"))
        await until(lambda: gateway.order("b").status is S.NEW)
        await gateway.disconnect()

    run(story)


def test_an_order_placed_meanwhile_is_not_missing():
    """An order acknowledged while the snapshot was made cannot be in it: it is not doubted for that."""

    async def story():
        gateway = await connected(Asking())
        gateway.script["snapshot"] = slow = Hanging(shot())
        looking = asyncio.ensure_future(gateway.snapshot())
        await slow.entered.wait()
        await gateway.place_order(limit("a"))
        slow.release.set()
        assert [order.client_order_id for order in (await looking).orders] == ["a"]
        assert gateway.order("a").status is S.NEW
        assert gateway.count("query") == 0
        await gateway.disconnect()

    run(story)


@pytest.mark.parametrize("kind", [Puppet, Asking])
def test_not_found_is_final_only_where_it_is_promised(kind):
    """
    An UNKNOWN order that the venue does not know: REJECTED after ``not_found_final_after``, never before.
    """

    async def story():
        patient = await connected(kind())
        patient.shot = shot()
        patient.script["place"] = [ValueError("bug")]
        await refusal(patient.place_order(limit("a")))
        asked = "query" if kind is Asking else "snapshot"
        await until(lambda: patient.count(asked) >= 2)
        assert patient.order("a").status is S.UNKNOWN
        await patient.disconnect()
        final = await connected(kind(not_found_final_after=0.01))
        final.shot = shot()
        final.script["place"] = [ValueError("bug")]
        await refusal(final.place_order(limit("a")))
        await until(lambda: final.order("a").status is S.REJECTED)
        error = await refusal(final.place_order(limit("a")))
        assert error.outcome == "REJECTED"
        assert "never arrived" in str(error)
        await final.disconnect()

    run(story)


def test_a_send_that_hangs_is_ended_before_it_is_called_absent():
    """What never arrived for certain must not arrive later: the hanging send is cancelled first."""

    async def story():
        gateway = await connected(Asking(not_found_final_after=0.01))
        gateway.script["place"] = slow = Hanging()
        await refusal(gateway.place_order(limit("a"), deadline=0.01))
        await until(lambda: gateway.order("a").status is S.REJECTED)
        assert slow.cancelled
        await gateway.disconnect()

    run(story)


def test_a_line_that_is_lost_at_once_does_not_become_ready():
    """ConnectionLost while synchronising fails the connect."""

    async def story():
        gateway = Puppet()

        def breaks():
            gateway.report(ConnectionLost(reason="cut"))
            return shot()

        gateway.script["snapshot"] = [breaks]
        assert "cut" in str(await refusal(gateway.connect()))
        assert gateway.status is G.FAILED
        await gateway.connect()
        await gateway.disconnect()

    run(story)


# -- lost and found -----------------------------------------------------------------------------------


def test_a_lost_line_is_found_again():
    """RECONNECTING, SYNCING, READY: with what happened meanwhile, and one connect for each attempt."""

    async def story():
        gateway = await connected(Puppet())
        seen = statuses(gateway)
        await gateway.place_order(limit("a"))
        gateway.script["connect"] = [BrokerUnavailable("no route"), ValueError("bug")]
        gateway.shot = shot(order_at_venue("a", S.PARTIALLY_FILLED, filled_qty=Decimal(1)))
        gateway.report(ConnectionLost(reason="cut"))
        assert gateway.status is G.RECONNECTING
        assert gateway.info.health is HealthState.UNHEALTHY
        error = await refusal(gateway.place_order(limit("b")))
        assert (type(error), error.outcome) == (GatewayNotReady, "NOT_SENT")
        await refusal(gateway.cancel_order(OrderRef(client_order_id="a")))
        await until(lambda: gateway.info.healthy)
        assert gateway.order("a").filled_qty == 1
        assert gateway.count("connect") == 3
        assert seen == [G.RECONNECTING, G.SYNCING, G.READY]
        await gateway.disconnect()

    run(story)


def test_a_snapshot_that_fails_while_reconnecting_is_tried_again():
    """SYNCING goes back to RECONNECTING; hanging attempts end with their deadline."""

    async def story():
        gateway = await connected(Puppet(default_deadline=0.05))
        seen = statuses(gateway)
        gateway.script["snapshot"] = [BrokerUnavailable("not yet"), Hanging()]
        gateway.report(ConnectionLost(reason="cut"))
        await until(lambda: gateway.status is G.READY)
        assert seen == [
            G.RECONNECTING,
            G.SYNCING,
            G.RECONNECTING,
            G.SYNCING,
            G.RECONNECTING,
            G.SYNCING,
            G.READY,
        ]
        await gateway.disconnect()

    run(story)


def test_a_key_that_is_revoked_ends_the_attempts():
    """AuthenticationError while reconnecting: FAILED, and nobody knocks again."""

    async def story():
        gateway = await connected(Puppet())
        gateway.script["connect"] = AuthenticationError("revoked")
        gateway.report(ConnectionLost(reason="cut"))
        await until(lambda: gateway.status is G.FAILED)
        assert gateway.count("connect") == 1
        assert gateway.info.last_error == "revoked"
        gateway.script.clear()
        await gateway.connect()
        await gateway.disconnect()

    run(story)


@pytest.mark.parametrize("verb", ["connect", "disconnect"])
def test_attempts_end_when_somebody_decides(verb):
    """Connecting or disconnecting by hand ends the attempts that were under way."""

    async def story():
        gateway = await connected(Puppet(reconnect_delays=(0.0, 0.0)))
        gateway.script["connect"] = [slow := Hanging()]
        gateway.report(ConnectionLost(reason="cut"))
        await slow.entered.wait()
        await getattr(gateway, verb)()
        assert slow.cancelled
        assert gateway.status is (G.READY if verb == "connect" else G.DISCONNECTED)
        gateway.report(ConnectionLost(reason="too late"))
        await gateway.disconnect()

    run(story)


def test_a_gap_is_looked_after():
    """
    Events were missed: a new snapshot is taken on the standing line; where that fails, it counts as lost.
    """

    async def story():
        gateway = await connected(Puppet())
        await gateway.place_order(limit("a"))
        gateway.calls.clear()
        gateway.shot = shot(order_at_venue("a", S.FILLED))
        stream = gateway.events()
        gateway.report(Gap(after="x", before="y"))
        await until(lambda: gateway.order("a").status is S.FILLED)
        assert gateway.status is G.READY
        async with asyncio.timeout(5):
            told = [type((await anext(stream)).payload).__name__ for _ in range(3)]
        assert told == ["Order", "Gap", "Snapshot"]
        gateway.script["snapshot"] = [BrokerUnavailable("no")]
        gateway.report(Gap(after="x", before="y"))
        await until(lambda: gateway.count("connect") == 1)
        await until(lambda: gateway.info.healthy)
        await gateway.disconnect()
        gateway.report(Gap(after="x", before="y"))

    run(story)


# -- leaving ------------------------------------------------------------------------------------------


def test_leaving_waits_for_what_is_being_sent():
    """A drain awaits sends; places are refused meanwhile; open orders stay at the venue."""

    async def story():
        gateway = await connected(Puppet())
        gateway.script["place"] = slow = Hanging("v-a")
        placing = asyncio.ensure_future(gateway.place_order(limit("a")))
        await slow.entered.wait()
        leaving = asyncio.ensure_future(gateway.disconnect())
        await gateway.settled()
        assert gateway.status is G.DRAINING
        assert isinstance(await refusal(gateway.place_order(limit("b"))), GatewayNotReady)
        slow.release.set()
        await leaving
        assert (await placing).order_id == "v-a"
        assert gateway.count("cancel") == 0
        assert gateway.order("a").status is S.NEW

    run(story)


@pytest.mark.parametrize(("drain", "deadline"), [(False, None), (True, 0.02)])
def test_leaving_without_patience_leaves_orders_unknown(drain, deadline):
    """A send that does not come back is ended, and its order is UNKNOWN."""

    async def story():
        gateway = await connected(Puppet())
        gateway.script["place"] = slow = Hanging("v-a")
        placing = asyncio.ensure_future(gateway.place_order(limit("a")))
        await slow.entered.wait()
        await gateway.disconnect(drain, deadline=deadline)
        assert (await refusal(placing)).outcome == "UNKNOWN"
        assert gateway.order("a").status is S.UNKNOWN

    run(story)


def test_a_task_that_does_not_end_is_named(monkeypatch, caplog):
    """A hook that swallows its cancellation is left behind, and the log says which."""
    monkeypatch.setattr("hotplug.brokers._template._line.CLEAN_UP", 0.02)

    async def story():
        gateway = await connected(Puppet())
        release = asyncio.Event()

        async def stubborn():
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue

        gateway.script["place"] = stubborn
        placing = asyncio.ensure_future(gateway.place_order(limit("a"), deadline=0.01))
        await refusal(placing)
        await gateway.disconnect(drain=False)
        release.set()
        await gateway.settled()

    run(story)
    assert "does not end" in caplog.text


def test_a_cancelled_disconnect_is_done_all_the_same():
    """Who is cancelled while disconnecting leaves a closed line, not half a one."""

    async def story():
        gateway = await connected(Puppet())
        gateway.script["disconnect"] = slow = Hanging()
        leaving = asyncio.ensure_future(gateway.disconnect())
        await slow.entered.wait()
        leaving.cancel()
        slow.release.set()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert gateway.status is G.DISCONNECTED

    run(story)


# -- draining -----------------------------------------------------------------------------------------


def test_a_drain_lasts_as_long_as_an_own_order_is_open():
    """Shut for good: cancels, questions and reports go on; it is done when the last own one has ended."""

    async def story():
        gateway = await connected(Asking())
        seen = statuses(gateway)
        line = gateway._core.line
        assert not line.drains
        await gateway.place_order(limit("a"))
        await gateway.place_order(limit("b"))
        gateway.report(order_at_venue(None, order_id="v-theirs", account="default"))
        assert await line.shut("withdrawn")
        assert await line.shut("once more")
        assert line.open_orders == 2
        draining = asyncio.ensure_future(line.drain())
        error = await refusal(gateway.place_order(limit("c")))
        assert (type(error), error.outcome) == (GatewayNotReady, "NOT_SENT")
        await refusal(gateway.connect())
        assert (gateway.status, (await gateway.health()).status) == (G.DRAINING, HealthState.HEALTHY)
        gateway.known["d"] = order_at_venue("d")
        assert (await gateway.get_order(OrderRef(order_id="v-d"))).client_order_id == "d"
        gateway.report(Gap(after=None, before=None))
        await until(lambda: gateway.count("snapshot") == 1)
        assert (await gateway.cancel_order(OrderRef(client_order_id="a"))).status is S.CANCELED
        await gateway.settled()
        assert not draining.done()
        gateway.says("b", S.FILLED)
        await draining
        assert (line.open_orders, gateway.status) == (0, G.DRAINING)
        await gateway.disconnect()
        assert seen == [G.DRAINING, G.DISCONNECTED]
        assert not line.drains

    run(story)


def test_a_drain_ends_when_somebody_disconnects():
    """Disconnecting ends a drain whatever is open; connected anew it takes orders again."""

    async def story():
        gateway = await connected(Puppet())
        await gateway.place_order(limit("a"))
        await gateway._core.line.shut("withdrawn")
        draining = asyncio.ensure_future(gateway._core.line.drain())
        await gateway.disconnect()
        await draining
        assert gateway.order("a").status is S.NEW
        await gateway.connect()
        await gateway.place_order(limit("b"))
        await gateway.disconnect()

    run(story)


def test_what_has_no_session_cannot_drain():
    """There is nothing to wait for: it says so, and connects as ever."""

    async def story():
        gateway = Puppet()
        assert not await gateway._core.line.shut("withdrawn")
        await gateway._core.line.drain()
        await gateway.connect()
        assert gateway.status is G.READY
        await gateway.disconnect()

    run(story)


def test_a_lost_line_that_is_shut_comes_back_draining():
    """What is shut while its line is being found again is DRAINING then, and goes on looking."""

    async def story():
        gateway = await connected(Pinged())
        seen = statuses(gateway)
        await gateway.place_order(limit("a"))
        gateway.script["connect"] = [slow := Hanging()]
        gateway.report(ConnectionLost(reason="cut"))
        await slow.entered.wait()
        assert await gateway._core.line.shut("withdrawn")
        assert gateway.status is G.RECONNECTING
        slow.release.set()
        await until(lambda: gateway.status is G.DRAINING)
        gateway.script["ping"] = [BrokerUnavailable("nobody"), BrokerUnavailable("nobody")]
        await until(lambda: seen[3:] == [G.RECONNECTING, G.SYNCING, G.DRAINING])
        assert G.READY not in seen
        await gateway.disconnect()

    run(story)


def test_coming_up_draining():
    """What was taken back comes up DRAINING, its gate never open; if it fails it is FAILED like any other."""

    async def story():
        gateway = Puppet()
        seen = statuses(gateway)
        gateway.script["connect"] = [BrokerUnavailable("no route")]
        line = gateway._core.line
        await refusal(line.connect(None, drains=True))
        assert (gateway.status, line.drains) == (G.FAILED, False)
        await line.connect(None, drains=True)
        assert seen == [G.CONNECTING, G.FAILED, G.CONNECTING, G.SYNCING, G.DRAINING]
        await gateway.disconnect()

    run(story)


class Pinged(Puppet):
    """One that can be asked whether it is there."""

    async def _ping(self):
        await self._do("ping", None, lambda: None)


# -- what else it hears -------------------------------------------------------------------------------


def test_every_word_is_heard():
    """Balances, positions, heartbeats, limits, bars and quotes: each goes where it belongs."""

    async def story():
        gateway = await connected(Puppet())
        quotes = gateway.stream_quotes(["ACME"])
        stream = gateway.events()
        gateway.report(Balance(account="A1", currency="USD", total=5, available=5, locked=0))
        gateway.report(Position(account="A2", symbol="ACME", qty=1, avg_price=5, realized_pnl=0))
        assert [(await anext(stream)).payload.account for _ in range(2)] == ["A1", "A2"]
        waiting = asyncio.ensure_future(anext(stream))
        await gateway.settled()
        gateway.report(Heartbeat())
        assert isinstance((await waiting).payload, Heartbeat)
        gateway.report(RateLimitSeen(name="nobody's", used=1))
        now = fill().time
        gateway.report(Bar(symbol="ACME", time=now, open=1, high=1, low=1, close=1, volume=1))
        gateway.report(quote())
        assert (await anext(quotes)).ask == 11
        assert (await gateway.get_quote("ACME")).bid == 9
        assert gateway.info.metadata.get("bad reports") is None
        await gateway.disconnect()

    run(story)


def test_quotes_are_subscribed_at_the_venue(caplog):
    """Whose quotes are wanted is told to the plugin; again after a reconnect; an error there is logged."""

    class Subscribing(Puppet):
        async def _subscribe(self, symbols):
            await self._do("subscribe", symbols, lambda: None)

    async def story():
        gateway = await connected(Subscribing())
        stream = gateway.stream_quotes(["ACME"])
        await until(lambda: ("subscribe", frozenset({"ACME"})) in gateway.calls)
        gateway.script["subscribe"] = [BrokerUnavailable("no such feed")]
        other = gateway.stream_quotes(["OTHER"])
        await until(lambda: gateway.info.last_error == "no such feed")
        gateway.calls.clear()
        gateway.report(ConnectionLost(reason="cut"))
        await until(lambda: gateway.info.healthy)
        assert ("subscribe", frozenset({"ACME", "OTHER"})) in gateway.calls
        await gateway.disconnect()
        assert [each async for each in stream] == [each async for each in other] == []

    run(story)
    assert "no such feed" in caplog.text


def test_a_listener_to_its_status_cannot_hurt_it(caplog):
    """What a listener raises is logged, and the gateway goes on."""

    async def story():
        gateway = Puppet()

        def bad(change):
            raise ValueError("listener")

        gateway._core.on_status = bad
        await gateway.connect()
        assert gateway.info.healthy
        await gateway.disconnect()

    run(story)
    assert "listener" in caplog.text


def test_a_book_is_given_before_connecting():
    """A gateway that is connected keeps its book; between two lives it may get another."""

    async def story():
        gateway = await connected(Puppet())
        with pytest.raises(GatewayNotReady, match="before connect"):
            gateway.attach(Book("other"))
        await gateway.disconnect()
        gateway.attach(Book("other"))
        assert (gateway.broker_id, gateway.generation) == ("other", 1)
        gateway._core.broker_id = "named"
        assert gateway.broker_id == "named"

    run(story)


def test_a_home_that_was_given_is_kept():
    """The host says where a gateway lives: connecting from elsewhere connects it there."""

    async def story():
        gateway = Puppet()
        gateway.attach(Book("homed"), asyncio.get_running_loop())
        await asyncio.to_thread(asyncio.run, gateway.connect())
        assert gateway._core.home is asyncio.get_running_loop()
        assert gateway.info.healthy
        await gateway.disconnect()

    run(story)


def test_connecting_from_elsewhere_moves_nobody():
    """A gateway that is connected stays where it lives, whoever connects it again."""

    async def story():
        gateway = await connected(Puppet())
        await asyncio.to_thread(asyncio.run, gateway.connect())
        assert gateway._core.home is asyncio.get_running_loop()
        await gateway.disconnect()

    run(story)


def test_nothing_is_established_without_a_line():
    """Without a connection nobody is asked."""

    async def story():
        gateway = Asking()
        gateway._core.pulse.soon()
        await connected(gateway)
        gateway._core.pulse.start()
        gateway.script["place"] = [ValueError("bug")]
        await refusal(gateway.place_order(limit("a")))
        held = gateway.book.get("default", "a")
        await gateway.disconnect()
        gateway.calls.clear()
        assert not await gateway._core.survey.establish(held, 0.0)
        assert gateway.calls == []

    run(story)


def test_a_cancel_that_was_remembered_begins_nothing_after_the_end():
    """A send with a remembered cancel is ended by the disconnect: nothing of it goes on afterwards."""

    async def story():
        gateway = await connected(Puppet())
        gateway.script["place"] = slow = Hanging("v-a")
        placing = asyncio.ensure_future(gateway.place_order(limit("a"), deadline=0.01))
        await slow.entered.wait()
        await refusal(placing)
        cancelling = asyncio.ensure_future(gateway.cancel_order(OrderRef(client_order_id="a"), deadline=5))
        await gateway.settled()
        await gateway.disconnect(drain=False)
        await asyncio.wait({cancelling})
        assert gateway.status is G.DISCONNECTED

    run(story)
