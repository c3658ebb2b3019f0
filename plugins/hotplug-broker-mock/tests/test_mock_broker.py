"""The mock broker: a gateway to a scripted venue, and its settings."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from hotplug._signature import convert
from hotplug.errors import BrokerUnavailable, InsufficientFunds, RateLimited, SettingsError
from hotplug.market import (
    Bar,
    Capability,
    Environment,
    GatewayStatus,
    OrderChange,
    OrderRef,
    OrderRequest,
    OrderStatus,
    OrderType,
    Side,
)
from hotplug_broker_mock import Habits, MockBroker, MockVenue, forget_venue

D = Decimal


def a_request(name="a", **changes):
    """A limit order that rests."""
    facts = {"symbol": "X", "side": Side.BUY, "qty": D(10), "type": OrderType.LIMIT, "price": D(50)}
    return OrderRequest(client_order_id=name, **facts | changes)


def run(test):
    """Run a coroutine function within seconds."""

    async def within():
        async with asyncio.timeout(5):
            await test()

    asyncio.run(within())


def test_it_passes_on_what_it_is_asked():
    """
    Every verb of a gateway comes to the venue as the call of that name.
    """

    async def test():
        venue = MockVenue()
        broker = MockBroker(venue=venue)
        day = datetime(2024, 1, 2, tzinfo=UTC)
        venue.add_bars(
            [Bar(symbol="X", time=day, **dict.fromkeys(["open", "high", "low", "close", "volume"], D(1)))]
        )
        venue.quote("X", D(9), D(11))
        await broker.connect()
        ref = OrderRef(client_order_id="a")
        await broker.place_order(a_request())
        assert (await broker.modify_order(ref, OrderChange(qty=D(7)))).qty == D(7)
        assert (await broker.cancel_order(ref)).status is OrderStatus.CANCELED
        assert (await broker.get_quote("X")).ask == D(11)
        assert len(await broker.get_bars("X", day, day + timedelta(days=1), timedelta(days=1))) == 1
        assert (await broker.get_instrument("X")).symbol == "X"
        assert (await broker.get_balances())[0].total == D(100_000)
        quotes = broker.stream_quotes(["X"])
        await venue.wait_for("subscribe")
        other = venue.external_order("X", Side.SELL, D(1))
        assert (await broker.get_order(OrderRef(order_id=other.order_id))).order_id == other.order_id
        await quotes.aclose()
        await broker.disconnect()
        names = [call.name for call in venue.received if call.name not in ("ping", "instrument", "snapshot")]
        assert names[:7] == ["connect", "place", "modify", "cancel", "quote", "bars", "subscribe"]
        assert names[-1] == "disconnect"
        assert venue.sessions == 0

    run(test)


def test_a_venue_outlives_its_gateways():
    """
    The next gateway meets the orders that the last one left.
    """

    async def test():
        venue = MockVenue()
        first = MockBroker(venue=venue)
        await first.connect()
        await first.place_order(a_request())
        await first.disconnect()
        second = MockBroker(venue=venue)
        await second.connect()
        assert [order.client_order_id for order in await second.get_open_orders()] == ["a"]
        await second.disconnect()

    run(test)


def test_a_name_is_shared_between_gateways():
    """
    Gateways that name the same venue meet there, and the first one's settings made it.
    """
    try:
        first = MockBroker(venue="exchange", cash=D(5), seed=3)
        second = MockBroker(venue="exchange", cash=D(9))
        assert first.venue is second.venue
        assert (first.venue.habits.cash, first.venue.seed) == (D(5), 3)
        assert MockBroker().venue is not MockBroker().venue
    finally:
        forget_venue("exchange")


def test_settings_from_a_configuration():
    """
    Settings are plain data: words, numbers and tables.
    """
    settings = convert(
        MockBroker,
        {
            "environment": "live",
            "capabilities": ["MODIFY"],
            "latency": [0, 1],
            "fills": "now",
            "tells": "fills",
            "accounts": ["A1", "A2"],
            "cash": "12.50",
            "reconnect_delays": [0.1, 2],
            "script": [{"on": "place", "fault": "funds"}],
            "reports": [{"kind": "fill", "copies": 2}],
        },
    )
    broker = MockBroker(**settings)

    assert broker.environment is Environment.LIVE
    assert broker.capabilities == {Capability.MODIFY}
    assert broker.default_account == "A1"
    habits = Habits(latency=(0.0, 1.0), fills="now", tells="fills", accounts=("A1", "A2"), cash=D("12.50"))
    assert broker.venue.habits == habits


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"script": [{"on": "place", "falt": "reject"}]}, r"script\[0\].falt: no such field .*'fault'"),
        (
            {"script": [{"on": "place", "fault": "rejct"}]},
            r"script\[0\]: no such fault as 'rejct' .*'reject'",
        ),
        ({"fills": "always"}, "fills: Invalid enum value 'always'"),
        ({"venue": 3}, "venue: Expected `str | null`, got `int`"),
        ({"environment": "real"}, "environment: Invalid enum value 'real'"),
    ],
)
def test_wrong_settings_are_named(settings, why):
    """
    A setting that does not fit is an error with its path.
    """
    with pytest.raises(SettingsError, match=why.replace("|", r"\|")):
        convert(MockBroker, settings)


def test_the_script_of_a_configuration_is_played():
    """
    Rules from the settings hold at the venue.
    """

    async def test():
        [rule] = convert(MockBroker, {"script": [{"on": "place", "fault": "funds"}]})["script"]
        broker = MockBroker(script=(rule,))
        await broker.connect()
        with pytest.raises(InsufficientFunds):
            await broker.place_order(a_request())
        await broker.disconnect()

    run(test)


def test_it_keeps_the_limit_that_its_venue_insists_on():
    """
    With ``max_calls`` the gateway keeps within what its venue allows, and refuses who cannot wait.
    """

    async def test():
        broker = MockBroker(max_calls=3)
        await broker.connect()
        results = await asyncio.gather(
            *(broker.place_order(a_request(str(number)), deadline=0.05) for number in range(8)),
            return_exceptions=True,
        )
        refused = [each for each in results if isinstance(each, RateLimited)]
        assert [each.outcome for each in refused] == ["NOT_SENT"] * len(refused)
        assert len(refused) + len(broker.venue.calls("place")) == 8
        assert refused
        assert broker.venue.violations == 0
        await broker.disconnect()

    run(test)


def test_what_it_cannot_do_can_be_said():
    """
    Without ``can_query`` and ``can_ping`` the template neither asks for orders nor pings.
    """

    async def test():
        venue = MockVenue(habits=Habits(tells="nothing"))
        broker = MockBroker(venue=venue, can_query=False, can_ping=False, check_interval=0.001)
        assert isinstance(broker, MockBroker)
        await broker.connect()
        await broker.place_order(a_request())
        order = await broker.cancel_order(OrderRef(client_order_id="a"))
        assert order.status is OrderStatus.CANCELED
        assert venue.calls("query") == venue.calls("ping") == ()
        assert len(venue.calls("snapshot")) >= 2
        await broker.disconnect()

    run(test)


def test_hooks_without_a_session_send_nothing():
    """
    A hook of a gateway that has no session says that nothing was sent.
    """

    async def test():
        broker = MockBroker()
        await broker._disconnect()
        with pytest.raises(BrokerUnavailable, match="no session at the venue") as caught:
            await broker._snapshot()
        assert caught.value.outcome == "NOT_SENT"

    run(test)


def test_it_finds_its_line_again():
    """
    When the venue hangs up, the gateway connects again and hears of what happened meanwhile.
    """

    async def test():
        venue = MockVenue()
        broker = MockBroker(venue=venue, reconnect_delays=(0.0, 0.0))
        await broker.connect()
        await broker.place_order(a_request())
        venue.disconnect_all()
        venue.fill("a")
        await venue.wait_for("snapshot", 2)
        while broker.info.status is not GatewayStatus.READY:  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0)
        assert (await broker.get_order(OrderRef(client_order_id="a"))).status is OrderStatus.FILLED
        assert [call.session for call in venue.calls("connect")] == [1, 2]
        await broker.disconnect()

    run(test)
