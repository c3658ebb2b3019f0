"""How a gateway is: named checks that do not flap, reports that age (rules 14, 17, 19)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from hotplug.brokers import RateWindow
from hotplug.errors import AuthenticationError, BrokerUnavailable, GatewayNotReady
from hotplug.market import GatewayStatus, HealthState, Heartbeat, OrderStatus
from puppets import Asking, Hanging, Puppet, connected, limit, order_at_venue, refusal, run, until

G = GatewayStatus
S = OrderStatus


class Pinging(Puppet):
    async def _ping(self):
        return await self._do("ping", None, lambda: None)


def checks(gateway):
    return gateway.report_card.checks


def test_all_is_well():
    """A connected gateway that works is READY and HEALTHY, by every check."""

    async def story():
        gateway = await connected(Puppet())
        report = await gateway.health()
        assert report.status is HealthState.HEALTHY
        assert set(report.checks) >= {
            "transport",
            "auth",
            "stream_freshness",
            "reconcile",
            "clock_skew",
            "error_rate",
            "rate_limit_headroom",
            "journal",
        }
        assert gateway.well
        await gateway.disconnect()
        assert not gateway.well

    run(story)


def test_silence_makes_it_degraded_and_a_word_well_again():
    """Connected but mute: stale after ``stale_after``; places go on; any message heals it after two looks."""

    async def story():
        gateway = await connected(Puppet(stale_after=0.02, check_interval=0.005))
        await until(lambda: gateway.status is G.DEGRADED)
        assert checks(gateway)["stream_freshness"] is HealthState.DEGRADED
        assert not gateway.well
        assert (await gateway.place_order(limit("a"))).status is S.NEW

        async def speak():
            while True:
                gateway.report(Heartbeat())
                await asyncio.sleep(0.002)

        speaking = asyncio.ensure_future(speak())
        await until(lambda: gateway.status is G.READY)
        speaking.cancel()
        await asyncio.wait({speaking})
        await gateway.disconnect()

    run(story)


def test_a_ping_keeps_it_fresh():
    """A probe that the venue answers is as good as a message."""

    async def story():
        gateway = await connected(Pinging(stale_after=0.05, check_interval=0.005))
        await until(lambda: gateway.count("ping") > 20)
        assert gateway.well
        await gateway.disconnect()

    run(story)


@pytest.mark.parametrize("silent", [BrokerUnavailable("no"), Hanging()], ids=["raising", "hanging"])
def test_a_venue_that_does_not_answer_twice_is_lost(silent):
    """One unanswered ping makes it unhealthy, two mean that the line is gone: it is opened again."""

    async def story():
        gateway = await connected(Pinging(max_health_age=0.06))
        gateway.script["ping"] = silent
        await until(lambda: gateway.status is G.RECONNECTING or gateway.count("connect"))
        gateway.script.clear()
        await until(lambda: gateway.info.healthy)
        await gateway.disconnect()

    run(story)


def test_a_line_that_nobody_answers_on_does_not_come_back():
    """A venue that accepts connections but answers no ping stays RECONNECTING until it answers."""

    async def story():
        gateway = await connected(Pinging(max_health_age=0.06))
        gateway.script["ping"] = BrokerUnavailable("mute")
        await until(lambda: gateway.status is G.RECONNECTING)
        seen = set()
        connects = gateway.count("connect")
        await until(lambda: seen.add(gateway.info.healthy) or gateway.count("connect") >= connects + 5)
        assert seen == {False}
        gateway.script.clear()
        await until(lambda: gateway.info.healthy)
        await gateway.disconnect()

    run(story)


def test_a_ping_that_found_no_room_says_nothing():
    """A ping that our own limits kept back was not sent: the line is not blamed for it."""

    async def story():
        window = RateWindow("calls", 2, 30.0, weights={"ping": 1})
        gateway = await connected(Pinging(rate_windows=(window,)))
        await until(lambda: gateway._core.pulse._pings_tried >= 5)
        assert gateway.well
        assert gateway.count("ping") == 1
        await gateway.disconnect()

    run(story)


def test_a_key_that_stopped_working_shuts_the_gate():
    """AuthenticationError from a ping: the auth check fails at once, and places are refused."""

    async def story():
        gateway = await connected(Pinging())
        gateway.script["ping"] = AuthenticationError("revoked")
        await until(lambda: gateway.status is G.DEGRADED)
        assert checks(gateway)["auth"] is HealthState.UNHEALTHY
        assert isinstance(await refusal(gateway.place_order(limit("a"))), GatewayNotReady)
        gateway.script.clear()
        await until(lambda: gateway.well)
        await gateway.disconnect()

    run(story)


@pytest.mark.parametrize("seconds", [5, -5])
def test_a_clock_that_differs_shuts_the_gate(seconds):
    """A venue's clock more than a second away: DEGRADED, and no places until it agrees again."""

    async def story():
        gateway = await connected(Pinging())
        gateway.script["ping"] = lambda: datetime.now(UTC) + timedelta(seconds=seconds)
        await until(lambda: gateway.status is G.DEGRADED)
        assert checks(gateway)["clock_skew"] is HealthState.DEGRADED
        assert isinstance(await refusal(gateway.place_order(limit("a"))), GatewayNotReady)
        gateway.script["ping"] = lambda: datetime.now(UTC)
        await until(lambda: gateway.well)
        await gateway.disconnect()

    run(story)


def test_errors_in_a_row_make_it_degraded_and_one_does_not():
    """Most of the last calls failed: DEGRADED; a single failure is no trend."""

    async def story():
        gateway = await connected(Puppet(check_interval=60.0))
        gateway.script["snapshot"] = BrokerUnavailable("503")
        await refusal(gateway.snapshot())
        for _ in range(3):
            await gateway.health()
        assert gateway.well
        for _ in range(8):
            await refusal(gateway.snapshot())
        await gateway.health()
        assert gateway.status is G.READY
        await gateway.health()
        assert gateway.status is G.DEGRADED
        assert checks(gateway)["error_rate"] is HealthState.DEGRADED
        await gateway.disconnect()

    run(story)


def test_a_full_window_with_people_waiting_is_no_headroom():
    """Calls that stand in line before a full window are a sign of ill health."""

    async def story():
        gateway = await connected(
            Puppet(check_interval=60.0, rate_windows=(RateWindow("calls", 1, 30.0, weights={"place": 1}),))
        )
        await gateway.place_order(limit("a"))
        waiting = asyncio.ensure_future(gateway.place_order(limit("b"), deadline=60))
        await gateway.settled()
        for _ in range(2):
            await gateway.health()
        assert checks(gateway)["rate_limit_headroom"] is HealthState.DEGRADED
        waiting.cancel()
        await asyncio.wait({waiting})
        await gateway.disconnect()

    run(story)


def test_a_report_that_was_not_renewed_counts_for_nothing():
    """A report older than ``max_health_age`` is UNKNOWN, which is not healthy."""

    async def story():
        gateway = await connected(Puppet(max_health_age=0.03, check_interval=60.0))
        gateway.script["quote"] = lambda: None
        pulse = next(task for task in gateway._core.tasks if task.get_name().endswith("pulse"))
        pulse.cancel()
        await until(lambda: not gateway.well)
        assert gateway.info.health is HealthState.UNKNOWN
        await gateway.disconnect()

    run(story)


def test_doubtful_orders_are_asked_for_soon():
    """UNKNOWN orders and cancels that nothing was heard of are looked after without being asked."""

    async def story():
        gateway = await connected(Asking(check_interval=60.0))
        gateway.script["place"] = [ValueError("bug")]
        gateway.known["a"] = order_at_venue("a")
        await refusal(gateway.place_order(limit("a")))
        await until(lambda: gateway.order("a").status is S.NEW)
        await gateway.disconnect()

    run(story)


def test_a_pending_cancel_is_looked_after():
    """An accepted cancel without a report: asked for again until it is proven."""

    async def story():
        gateway = await connected(Asking())
        await gateway.place_order(limit("a"))
        gateway.known["a"] = order_at_venue("a", S.PENDING_CANCEL)
        gateway.script["cancel"] = lambda: None
        await gateway.cancel_order(gateway.order("a").ref)
        assert gateway.order("a").status is S.PENDING_CANCEL
        gateway.known["a"] = order_at_venue("a", S.CANCELED)
        await until(lambda: gateway.order("a").status is S.CANCELED)
        await gateway.disconnect()

    run(story)


def test_a_send_that_hangs_is_doubted_though_nobody_waits():
    """Its caller went away; when its time is over the order is UNKNOWN all the same, and asked for."""

    async def story():
        gateway = await connected(Puppet())
        gateway.script["place"] = slow = Hanging()
        placing = asyncio.ensure_future(gateway.place_order(limit("a"), deadline=0.05))
        await slow.entered.wait()
        placing.cancel()
        await until(lambda: gateway.order("a").status is S.UNKNOWN)
        await gateway.disconnect(drain=False)

    run(story)


def test_a_pulse_ends_with_its_line():
    """A beat that finds the gateway disconnected is the last one."""

    async def story():
        gateway = Puppet()
        await connected(gateway)
        await gateway.disconnect()
        async with asyncio.timeout(5):
            await gateway._core.pulse._beat()

    run(story)


def test_a_cancel_that_is_cancelled_leaves_no_complaint():
    """The host ends what cancels: nobody is told of an error that nobody raised."""

    async def story():
        gateway = await connected(Puppet())
        await gateway.place_order(limit("a"))
        gateway.script["cancel"] = slow = Hanging()
        task = gateway._core.cancels.start(gateway.book.get("default", "a"))
        await slow.entered.wait()
        task.cancel()
        await asyncio.wait({task})
        assert gateway.book.get("default", "a").cancelling is None
        await gateway.disconnect()

    run(story)
