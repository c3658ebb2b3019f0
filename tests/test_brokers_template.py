"""Placing through the template: sent once, and told truthfully (rules 6 to 11)."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal, localcontext

import pytest

from hotplug.brokers import BookSettings, BrokerGateway, OrderLimits, RateWindow
from hotplug.brokers._events._journal import FileJournal
from hotplug.brokers._orders._book import Book
from hotplug.errors import (
    AuthenticationError,
    BrokerUnavailable,
    DeadlineExceeded,
    DuplicateClientOrderId,
    GatewayNotReady,
    Halted,
    InsufficientFunds,
    InvalidRequest,
    LiveRefused,
    NotSupported,
    OrderDenied,
    OrderNotFound,
    RateLimited,
)
from hotplug.market import (
    Capability,
    Environment,
    Gap,
    GatewayStatus,
    Order,
    OrderRef,
    OrderStatus,
    OrderType,
    Snapshot,
    TimeInForce,
)
from puppets import (
    Asking,
    Hanging,
    Puppet,
    connected,
    fill,
    instrument,
    limit,
    order_at_venue,
    quote,
    refusal,
    run,
)

S = OrderStatus


# -- what may be overridden -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "verb", ["place_order", "connect", "events", "report", "health", "cancel_for", "_find", "_core"]
)
def test_final_methods_cannot_be_overridden(verb):
    """A subclass that overrides what the template promises is a TypeError when the class is made."""
    with pytest.raises(TypeError, match=verb):
        type("Bad", (Puppet,), {verb: lambda self: None})


def test_a_mixin_cannot_smuggle_one_in():
    """Neither does it help to inherit the override from a mixin."""
    mixin = type("Mixin", (), {"place_order": lambda self: None})
    with pytest.raises(TypeError, match="place_order"):
        type("Bad", (mixin, Puppet), {})


def test_an_init_that_calls_nobody_works():
    """A plugin's __init__ need not call the template's; the type is its id until a host says otherwise."""
    assert Puppet().broker_id == "puppet"
    assert BrokerGateway.__init__ is not Puppet.__init__


# -- the usual way ------------------------------------------------------------------------------------


def test_an_order_is_acknowledged_and_told():
    """Placing gives the venue's id, and the stream tells PENDING_NEW and NEW in this order."""

    async def story():
        gateway = await connected(Puppet())
        stream = gateway.events()
        ack = await gateway.place_order(limit("a"))
        assert (ack.client_order_id, ack.order_id, ack.status) == ("a", "v-a", S.NEW)
        told = [(await anext(stream)).payload for _ in range(2)]
        assert [order.status for order in told] == [S.PENDING_NEW, S.NEW]
        assert told[0].order_id is None
        assert told[1].leaves_qty == Decimal(2)
        await gateway.disconnect()

    run(story)


def test_a_fill_before_the_ack_is_the_ack():
    """A fill proves that the venue has the order: placing returns with it, before ``_place`` does."""

    async def story():
        gateway = await connected(Puppet())
        gateway.script["place"] = slow = Hanging("v-a")
        placing = asyncio.ensure_future(gateway.place_order(limit("a")))
        await slow.entered.wait()
        gateway.report(fill("a", 2))
        ack = await placing
        assert ack.status is S.FILLED
        slow.release.set()
        await gateway.settled()
        assert gateway.order("a").order_id == "v-a"
        await gateway.disconnect()

    run(story)


def test_fills_that_know_only_the_venues_id_wait_for_it():
    """A fill by an id that no order has yet belongs to the order that gets this id."""

    async def story():
        gateway = await connected(Puppet())
        gateway.script["place"] = slow = Hanging("v-a")
        placing = asyncio.ensure_future(gateway.place_order(limit("a")))
        await slow.entered.wait()
        gateway.report(fill(None, 1, order_id="v-a"))
        gateway.report(replace(fill(None, 1, "t2"), order_id="other"))
        gateway.says(None, S.NEW, order_id="other")
        slow.release.set()
        await placing
        assert gateway.order("a").filled_qty == 1
        fills = await gateway.get_fills()
        assert [each.client_order_id for each in fills] == ["a", None]
        assert gateway.book.counts["updates of unknown orders"] == 1
        await gateway.disconnect()

    run(story)


# -- outcomes -----------------------------------------------------------------------------------------

IMPLICIT = [
    BrokerUnavailable("gone"),
    InsufficientFunds("no cash"),
    OrderDenied("denied it itself"),
    AuthenticationError("who?"),
    ValueError("a bug"),
    TimeoutError(),
    SystemExit(3),
    StopAsyncIteration(),
    asyncio.CancelledError(),
]


@pytest.mark.parametrize("raised", IMPLICIT, ids=lambda error: type(error).__name__)
def test_what_comes_out_of_place_without_an_outcome_is_unknown(raised):
    """Whatever ``_place`` raises without saying an outcome: UNKNOWN, open, and never sent again."""

    async def story():
        gateway = await connected(Puppet())
        gateway.script["place"] = raised
        error = await refusal(gateway.place_order(limit("a")))
        assert error.outcome == "UNKNOWN"
        assert gateway.order("a").status is S.UNKNOWN
        assert [order.client_order_id for order in await gateway.get_open_orders()] == ["a"]
        again = await refusal(gateway.place_order(limit("a")))
        assert (type(again), again.outcome, again is error) == (type(error), "UNKNOWN", False)
        assert gateway.count("place") == 1
        await gateway.disconnect()

    run(story)


@pytest.mark.parametrize("kind", [InsufficientFunds, InvalidRequest, RateLimited, BrokerUnavailable])
def test_a_rejection_is_told_again_without_a_send(kind):
    """REJECTED said explicitly is believed: the order ends, and the same id gives the same error."""

    async def story():
        gateway = await connected(Puppet())
        gateway.script["place"] = kind("no", outcome="REJECTED", code="why", venue_code="7", retry_after=0.01)
        for _ in range(2):
            error = await refusal(gateway.place_order(limit("a")))
            assert (type(error), error.outcome, error.code, error.venue_code) == (
                kind,
                "REJECTED",
                "why",
                "7",
            )
        assert gateway.order("a").status is S.REJECTED
        assert gateway.count("place") == 1
        await gateway.disconnect()

    run(story)


def test_a_venues_429_is_a_rejection_and_pauses():
    """RateLimited out of ``_place`` is REJECTED, and nobody else is sent meanwhile."""

    async def story():
        gateway = await connected(Puppet(rate_windows=(RateWindow("calls", 100),)))
        gateway.script["place"] = [RateLimited("slow down", retry_after=30)]
        assert (await refusal(gateway.place_order(limit("a")))).outcome == "REJECTED"
        error = await refusal(gateway.place_order(limit("b"), deadline=1))
        assert (type(error), error.outcome) == (RateLimited, "NOT_SENT")
        assert gateway.count("place") == 1
        await gateway.disconnect()

    run(story)


def test_not_sent_frees_the_id():
    """After NOT_SENT the same id may be used again, even for another order."""

    async def story():
        gateway = await connected(Puppet())
        gateway.script["place"] = [InvalidRequest("not like this", outcome="NOT_SENT")]
        assert (await refusal(gateway.place_order(limit("a")))).outcome == "NOT_SENT"
        with pytest.raises(OrderNotFound):
            await gateway.get_order(OrderRef(client_order_id="a"))
        ack = await gateway.place_order(limit("a", qty=5))
        assert ack.status is S.NEW
        await gateway.disconnect()

    run(story)


def test_reports_know_better_than_an_exception():
    """Where the venue already reported the order, an exception from ``_place`` changes nothing."""

    async def story():
        gateway = await connected(Puppet())
        gateway.script["place"] = slow = Hanging(BrokerUnavailable("lost", outcome="REJECTED"))
        placing = asyncio.ensure_future(gateway.place_order(limit("a")))
        await slow.entered.wait()
        gateway.says("a", S.NEW, order_id="v-9")
        assert (await placing).order_id == "v-9"
        slow.release.set()
        await gateway.settled()
        assert gateway.order("a").status is S.NEW
        await gateway.disconnect()

    run(story)


def test_a_rejecting_report_while_it_is_being_sent_is_the_answer():
    """A report of REJECTED ends the waiting; that ``_place`` then returns changes nothing."""

    async def story():
        gateway = await connected(Puppet())
        gateway.script["place"] = slow = Hanging("v-a")
        placing = asyncio.ensure_future(gateway.place_order(limit("a")))
        await slow.entered.wait()
        gateway.says("a", S.REJECTED, reason="too big")
        error = await refusal(placing)
        assert (error.outcome, error.message) == ("REJECTED", "too big")
        slow.release.set()
        await gateway.settled()
        assert gateway.order("a").status is S.REJECTED
        await gateway.disconnect()

    run(story)


def test_a_late_answer_resolves_the_unknown():
    """The deadline passes, the order is UNKNOWN; when ``_place`` returns after all, the id gives its ack."""

    async def story():
        gateway = await connected(Puppet())
        gateway.script["place"] = slow = Hanging("v-a")
        error = await refusal(gateway.place_order(limit("a"), deadline=0.01))
        assert (type(error), error.outcome) == (DeadlineExceeded, "UNKNOWN")
        assert gateway.order("a").status is S.UNKNOWN
        slow.release.set()
        await gateway.settled()
        assert (await gateway.place_order(limit("a"))).order_id == "v-a"
        assert gateway.count("place") == 1
        await gateway.disconnect()

    run(story)


def test_a_late_failure_is_no_worse_than_unknown():
    """UNKNOWN, and then ``_place`` says NOT_SENT: it ends as rejected, and is not sent again."""

    async def story():
        gateway = await connected(Puppet())
        gateway.script["place"] = slow = Hanging(BrokerUnavailable("was never sent", outcome="NOT_SENT"))
        await refusal(gateway.place_order(limit("a"), deadline=0.01))
        slow.release.set()
        await gateway.settled()
        assert gateway.order("a").status is S.REJECTED
        await refusal(gateway.place_order(limit("a")))
        assert gateway.count("place") == 1
        await gateway.disconnect()

    run(story)


@pytest.mark.parametrize("status", [S.NEW, S.FILLED, S.CANCELED])
def test_an_operator_resolves_the_unknown(status):
    """`resolve_order` says what became of an UNKNOWN order; after that the id gives the ack."""

    async def story():
        gateway = await connected(Puppet())
        gateway.script["place"] = [ValueError("bug")]
        await refusal(gateway.place_order(limit("a")))
        for blank in ("", " \n"):
            error = await refusal(gateway.resolve_order(OrderRef(client_order_id="a"), status, blank))
            assert (type(error), error.code) == (InvalidRequest, "reason")
        order = await gateway.resolve_order(OrderRef(client_order_id="a"), status, "I called them")
        assert (order.status, order.reason) == (status, "I called them")
        assert (await gateway.place_order(limit("a"))).client_order_id == "a"
        assert gateway.count("place") == 1
        error = await refusal(gateway.resolve_order(OrderRef(client_order_id="a"), status, "again"))
        assert error.code == "not_unknown"
        await gateway.disconnect()

    run(story)


def test_a_resolution_must_be_possible():
    """An UNKNOWN order cannot be resolved to DENIED: it was sent. Resolved to REJECTED it is told so."""

    async def story():
        gateway = await connected(Puppet())
        gateway.script["place"] = [ValueError("bug")]
        await refusal(gateway.place_order(limit("a")))
        ref = OrderRef(client_order_id="a")
        assert (await refusal(gateway.resolve_order(ref, S.DENIED, "?"))).code == "transition"
        await gateway.resolve_order(ref, S.REJECTED, "never seen")
        assert (await refusal(gateway.place_order(limit("a")))).outcome == "REJECTED"
        await gateway.disconnect()

    run(story)


# -- duplicates, deadlines, cancellations --------------------------------------------------------------


def test_twenty_at_once_are_one_order():
    """Concurrent duplicates join the one send, and get the same ack."""

    async def story():
        gateway = await connected(Puppet())
        gateway.script["place"] = slow = Hanging("v-a")
        all_of_them = [asyncio.ensure_future(gateway.place_order(limit("a"))) for _ in range(20)]
        await slow.entered.wait()
        slow.release.set()
        acks = await asyncio.gather(*all_of_them)
        assert len(set(acks)) == 1
        assert gateway.count("place") == 1
        await gateway.disconnect()

    run(story)


def test_another_order_under_the_id_is_refused():
    """The same id with another payload, or with a venue's foreign order: DuplicateClientOrderId, NOT_SENT."""

    async def story():
        gateway = await connected(Puppet())
        gateway.report(order_at_venue("theirs"))
        await gateway.place_order(limit("a"))
        for request in (limit("a", qty=3), limit("theirs")):
            error = await refusal(gateway.place_order(request))
            assert (type(error), error.outcome) == (DuplicateClientOrderId, "NOT_SENT")
        assert (await gateway.place_order(limit("a", account="default"))).order_id == "v-a"
        await gateway.disconnect()

    run(story)


def test_a_cancelled_caller_detaches():
    """Cancelling who waits does not cancel the send; the ack is there for who asks again."""

    async def story():
        gateway = await connected(Puppet())
        gateway.script["place"] = slow = Hanging("v-a")
        placing = asyncio.ensure_future(gateway.place_order(limit("a")))
        await slow.entered.wait()
        placing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await placing
        slow.release.set()
        assert (await gateway.place_order(limit("a"))).order_id == "v-a"
        assert not slow.cancelled
        await gateway.disconnect()

    run(story)


def test_a_cancelled_caller_takes_back_what_was_not_sent():
    """Cancelled while it waits for its limit, the order is not sent, its id is free, its token too."""

    async def story():
        window = RateWindow("calls", 4, 30.0, weights={"place": 1})
        gateway = await connected(Puppet(rate_windows=(window,)))
        for name in "abc":
            await gateway.place_order(limit(name))
        waiting = asyncio.ensure_future(gateway.place_order(limit("d"), deadline=60))
        await gateway.settled()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await gateway.settled()
        assert gateway.book.get("default", "d") is None
        assert gateway.count("place") == 3
        [limits] = await gateway.rate_limits()
        assert (limits.used, limits.waiting) == (3, 0)
        await gateway.disconnect()

    run(story)


def test_a_joiner_with_less_time_leaves_the_order_alone():
    """Who joins with a short deadline is told UNKNOWN at its end; the order is not doubted for that."""

    async def story():
        gateway = await connected(Puppet())
        gateway.script["place"] = slow = Hanging("v-a")
        first = asyncio.ensure_future(gateway.place_order(limit("a"), deadline=30))
        await slow.entered.wait()
        error = await refusal(gateway.place_order(limit("a"), deadline=0.01))
        assert error.outcome == "UNKNOWN"
        assert gateway.order("a").status is S.PENDING_NEW
        slow.release.set()
        assert (await first).order_id == "v-a"
        await gateway.disconnect()

    run(story)


@pytest.mark.parametrize("deadline", [0, -1])
def test_no_time_is_not_sent(deadline):
    """A deadline of nothing sends nothing."""

    async def story():
        gateway = await connected(Puppet())
        error = await refusal(gateway.place_order(limit("a"), deadline=deadline))
        assert (type(error), error.outcome) == (DeadlineExceeded, "NOT_SENT")
        assert (await refusal(gateway.get_open_orders(deadline=deadline))).outcome == "NOT_SENT"
        await gateway.disconnect()

    run(story)


def test_a_deadline_before_the_send_is_not_sent():
    """A look-up that hangs until the deadline means NOT_SENT, not UNKNOWN."""

    async def story():
        class Slow(Puppet):
            capabilities = frozenset({Capability.INSTRUMENTS})

            async def _instrument(self, symbol):
                return await self._do("instrument", symbol, Hanging())

        gateway = await connected(Slow())
        error = await refusal(gateway.place_order(limit("a"), deadline=0.02))
        assert (type(error), error.outcome) == (DeadlineExceeded, "NOT_SENT")
        assert gateway.book.get("default", "a") is None
        await gateway.disconnect()

    run(story)


# -- gates --------------------------------------------------------------------------------------------


def test_it_takes_no_orders_unless_it_is_ready():
    """Before connect and after disconnect: GatewayNotReady, NOT_SENT, retryable."""

    async def story():
        gateway = Puppet()
        for _ in range(2):
            error = await refusal(gateway.place_order(limit("a")))
            assert (type(error), error.outcome, error.retryable) == (GatewayNotReady, "NOT_SENT", True)
            await gateway.connect()
            await gateway.disconnect()

    run(story)


@pytest.mark.parametrize(
    ("settings", "refused"),
    [
        (BookSettings(), True),
        (BookSettings(allow_live=True), True),
        (BookSettings(mode="trade"), True),
        (BookSettings(allow_live=True, mode="read"), True),
        (BookSettings(allow_live=True, mode="trade"), False),
    ],
)
def test_a_live_gateway_is_read_only_unless_both_words_are_said(settings, refused):
    """Without ``allow_live`` and ``mode = "trade"`` a live gateway places, modifies and cancels nothing."""

    async def story():
        gateway = Puppet(environment=Environment.LIVE)
        gateway.attach(Book("live", settings))
        await connected(gateway)
        gateway.report(order_at_venue("theirs"))
        ref = OrderRef(client_order_id="theirs")
        if not refused:
            assert (await gateway.place_order(limit("a"))).status is S.NEW
        else:
            for work in (gateway.place_order(limit("a")), gateway.cancel_order(ref), gateway.cancel_all()):
                assert isinstance(await refusal(work), LiveRefused)
            assert gateway.calls == []
        await gateway.disconnect()

    run(story)


def test_read_mode_holds_for_any_gateway():
    """``mode = "read"`` makes a sandbox read-only too."""

    async def story():
        gateway = Puppet()
        gateway.attach(Book("quiet", BookSettings(mode="read")))
        await connected(gateway)
        assert (await refusal(gateway.place_order(limit("a")))).code == "read_only"
        await gateway.disconnect()

    run(story)


def test_a_halt_is_seen_at_the_last_moment():
    """An order that waits for its limit while trading is halted is not sent afterwards."""

    class Brake:
        why = None

        def reason(self, key, user):
            return self.why

    async def story():
        window = RateWindow("calls", 2, 0.05, weights={"place": 1})
        gateway = await connected(Puppet(rate_windows=(window,)))
        gateway.book.halts = brake = Brake()
        await gateway.place_order(limit("a"))
        waiting = asyncio.ensure_future(gateway.place_order(limit("b")))
        await gateway.settled()
        brake.why = "fat finger"
        error = await refusal(waiting)
        assert (type(error), error.outcome) == (Halted, "NOT_SENT")
        assert "fat finger" in str(error)
        assert gateway.count("place") == 1
        assert (await gateway.cancel_order(OrderRef(client_order_id="a"))).status is S.CANCELED
        await gateway.disconnect()

    run(story)


# -- local checks -------------------------------------------------------------------------------------

WRONG = {
    "symbol": limit(symbol=""),
    "qty": limit(qty=0),
    "price": limit(price=None),
    "stop_price": limit(type=OrderType.STOP, price=None),
    "client_order_id": limit("x" * 37),
    "expire_at": limit(tif=TimeInForce.GTD),
}


@pytest.mark.parametrize("code", WRONG)
def test_senseless_terms_are_denied_here(code):
    """What contradicts itself never leaves: OrderDenied, NOT_SENT, with the name of what is wrong."""

    async def story():
        gateway = await connected(Puppet())
        error = await refusal(gateway.place_order(WRONG[code]))
        assert (type(error), error.outcome, error.code) == (OrderDenied, "NOT_SENT", code)
        assert gateway.calls == []
        await gateway.disconnect()

    run(story)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (limit(type=OrderType.MARKET), "price"),
        (limit(""), "client_order_id"),
        (limit("ä"), "client_order_id"),
    ],
)
def test_more_senseless_terms(request_, code):
    """A market order with a price, an empty id, and an id outside the venue's alphabet are denied too."""

    async def story():
        gateway = await connected(Puppet(client_id_alphabet="abc"))
        assert (await refusal(gateway.place_order(request_))).code == code
        await gateway.disconnect()

    run(story)


def test_types_that_the_venue_lacks_are_not_supported():
    """Order types and times in force are declared, and nothing is emulated."""

    async def story():
        gateway = await connected(
            Puppet(order_types=frozenset({OrderType.LIMIT}), tifs=frozenset({TimeInForce.DAY}))
        )
        for request in (limit(type=OrderType.MARKET, price=None), limit(tif=TimeInForce.GTC)):
            error = await refusal(gateway.place_order(request))
            assert (type(error), error.outcome) == (NotSupported, "NOT_SENT")
        await gateway.disconnect()

    run(story)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (limit(price="10.3"), "off_tick"),
        (limit(qty="1.5"), "off_lot"),
        (limit(qty=1), "min_qty"),
        (limit(qty=2, price=10), "min_notional"),
        (limit(qty=3, price=10), None),
    ],
)
def test_steps_of_the_venue_are_kept(request_, code):
    """
    Off-tick prices, off-lot and too small orders are denied, never rounded; the instrument is asked once.
    """

    class Listed(Puppet):
        capabilities = frozenset({Capability.INSTRUMENTS})

        async def _instrument(self, symbol):
            terms = instrument(symbol, min_qty=Decimal(2), min_notional=Decimal(30))
            return await self._do("instrument", symbol, lambda: terms)

    async def story():
        gateway = await connected(Listed())
        for name in ("a", "b"):
            work = gateway.place_order(replace(request_, client_order_id=name))
            if code is None:
                await work
            else:
                assert (await refusal(work)).code == code
        assert gateway.count("instrument") == 1
        assert gateway.count("place") == (0 if code else 2)
        await gateway.disconnect()

    run(story)


def test_steps_are_asked_for_anew_by_each_session():
    """
    What a symbol's steps were in the last session is nobody's word on how they are in this one.
    """

    class Listed(Puppet):
        capabilities = frozenset({Capability.INSTRUMENTS})

        async def _instrument(self, symbol):
            return await self._do("instrument", symbol, lambda: instrument(symbol))

    async def story():
        gateway = await connected(Listed())
        await gateway.place_order(limit("a"))
        await gateway.disconnect()
        gateway.script["instrument"] = instrument("ACME", tick_size=Decimal(3))
        await gateway.connect()
        assert (await refusal(gateway.place_order(limit("b")))).code == "off_tick"
        await gateway.disconnect()

    run(story)


LIMITS = [
    (OrderLimits(max_qty=Decimal(1)), limit(), "limit_max_qty"),
    (OrderLimits(symbols=frozenset({"OTHER"})), limit(), "limit_symbols"),
    (OrderLimits(max_open_orders=0), limit(), "limit_open_orders"),
    (OrderLimits(orders_per_minute=0), limit(), "limit_orders_per_minute"),
    (OrderLimits(max_notional=Decimal(19)), limit(), "limit_max_notional"),
    (OrderLimits(max_notional=Decimal(21)), limit(type=OrderType.MARKET, price=None), "limit_max_notional"),
    (OrderLimits(price_collar_pct=Decimal(5)), limit(price=11), "limit_price_collar"),
    (OrderLimits(price_collar_pct=Decimal(10), max_notional=Decimal(20)), limit(), None),
    (OrderLimits(max_qty=Decimal(2), max_open_orders=1, orders_per_minute=1), limit(), None),
]


@pytest.mark.parametrize(("limits", "request_", "code"), LIMITS)
def test_limits_of_the_configuration_deny(limits, request_, code):
    """Each limit denies with a code of its own, before anything is sent."""

    async def story():
        gateway = Puppet()
        gateway.attach(Book("limited", BookSettings(limits=limits)))
        await connected(gateway)
        if code is None:
            assert (await gateway.place_order(request_)).status is S.NEW
        else:
            error = await refusal(gateway.place_order(request_))
            assert (type(error), error.outcome, error.code) == (OrderDenied, "NOT_SENT", code)
            assert gateway.count("place") == 0
        await gateway.disconnect()

    run(story)


@pytest.mark.parametrize(("bid", "ask"), [(9, None), (None, None)])
def test_without_a_quote_there_is_no_collar(bid, ask):
    """Where the market is quoted on one side or not at all, an order that needs it is denied."""

    async def story():
        gateway = Puppet()
        settings = BookSettings(limits=OrderLimits(price_collar_pct=Decimal(5), max_notional=Decimal(100)))
        gateway.attach(Book("limited", settings))
        await connected(gateway)
        gateway.script["quote"] = quote(bid=bid, ask=ask)
        assert (await refusal(gateway.place_order(limit()))).code == "no_quote"
        market = limit("m", type=OrderType.MARKET, price=None)
        assert (await refusal(gateway.place_order(market))).code == "no_quote"
        await gateway.disconnect()

    run(story)


def test_without_any_source_of_quotes_it_is_denied():
    """A gateway without quotes cannot check a collar: denied. What asking for one raises is NOT_SENT."""

    async def story():
        settings = BookSettings(limits=OrderLimits(price_collar_pct=Decimal(5)))
        mute = Puppet(capabilities=frozenset())
        mute.attach(Book("mute", settings))
        await connected(mute)
        assert (await refusal(mute.place_order(limit()))).code == "no_quote"
        await mute.disconnect()
        broken = Puppet()
        broken.attach(Book("broken", settings))
        await connected(broken)
        for raised in (ValueError("bug"), SystemExit(), InvalidRequest("which?", outcome="REJECTED")):
            broken.script["quote"] = raised
            error = await refusal(broken.place_order(limit()))
            assert (error.code, error.outcome) == ("no_quote", "NOT_SENT")
        broken.report(quote())
        assert (await broken.place_order(limit())).status is S.NEW
        await broken.disconnect()

    run(story)


# -- what the venue says ------------------------------------------------------------------------------


def test_late_updates_are_dropped_and_counted_and_fills_never_are():
    """After the end a state update changes nothing; a fill counts, is late, and cannot reopen the order."""

    async def story():
        gateway = await connected(Puppet())
        await gateway.place_order(limit("a"))
        gateway.says("a", S.CANCELED)
        gateway.says("a", S.NEW)
        gateway.says("a", S.REJECTED)
        assert gateway.info.metadata["late updates"] == 2
        gateway.report(fill("a", 1))
        gateway.report(fill("a", 1))
        order = gateway.order("a")
        assert (order.status, order.filled_qty, order.leaves_qty) == (S.CANCELED, 1, 0)
        [told] = await gateway.get_fills()
        assert told.late
        assert gateway.info.metadata["duplicate fills"] == 1
        await gateway.disconnect()

    run(story)


def test_the_larger_figure_counts():
    """
    Fills and the venue's cumulative figure: the larger wins, whatever comes first; averages follow fills.
    """

    async def story():
        gateway = await connected(Puppet())
        await gateway.place_order(limit("a", qty=4))
        gateway.says("a", S.PARTIALLY_FILLED, filled_qty=Decimal(3), avg_price=Decimal(9))
        assert (gateway.order("a").filled_qty, gateway.order("a").avg_price) == (3, 9)
        gateway.report(fill("a", 1, "t1"))
        assert gateway.order("a").filled_qty == 3
        gateway.says("a", S.NEW, filled_qty=Decimal(1))
        assert gateway.order("a").status is S.PARTIALLY_FILLED
        gateway.report(fill("a", 3, "t2"))
        order = gateway.order("a")
        assert (order.status, order.filled_qty, order.avg_price) == (S.FILLED, 4, 10)
        await gateway.disconnect()

    run(story)


def test_only_a_correction_shrinks():
    """What is filled shrinks by an explicit correction and by nothing else."""

    async def story():
        gateway = await connected(Puppet())
        await gateway.place_order(limit("a", qty=4))
        gateway.report(fill("a", 3))
        gateway.says("a", S.PARTIALLY_FILLED, filled_qty=Decimal(1))
        assert gateway.order("a").filled_qty == 3
        gateway.says("a", S.PARTIALLY_FILLED, filled_qty=Decimal(1), avg_price=Decimal(8), correction=True)
        assert (gateway.order("a").filled_qty, gateway.order("a").leaves_qty) == (1, 3)
        [position] = await gateway.get_positions()
        assert position.qty == 1
        gateway.says("a", S.PARTIALLY_FILLED, filled_qty=Decimal(1), correction=True)
        assert (await gateway.get_positions())[0].qty == 1
        await gateway.disconnect()

    run(story)


def test_a_filled_report_alone_fills_it_whole():
    """FILLED without a quantity means all of it."""

    async def story():
        gateway = await connected(Puppet())
        await gateway.place_order(limit("a", qty=4))
        gateway.says("a", S.FILLED)
        assert gateway.order("a").filled_qty == 4
        await gateway.disconnect()

    run(story)


def test_ids_of_two_accounts_do_not_collide():
    """One client id in two accounts is two orders; a report that names neither account is not guessed."""

    async def story():
        gateway = await connected(Puppet())
        gateway.script["place"] = lambda: None
        for account in ("A1", "B1"):
            await gateway.place_order(limit("same", account=account))
        gateway.says("same", S.FILLED)
        assert gateway.info.metadata["ambiguous updates"] == 1
        gateway.says("same", S.FILLED, account="B1")
        assert [gateway.order("same", name).status for name in ("A1", "B1")] == [S.NEW, S.FILLED]
        error = await refusal(gateway.get_order(OrderRef(client_order_id="same")))
        assert error.code == "ambiguous"
        await gateway.disconnect()

    run(story)


def test_what_nobody_can_report_is_counted_and_logged(caplog):
    """A report of nonsense hurts nobody: it is counted, and the log has it."""

    async def story():
        gateway = await connected(Puppet())
        gateway.report("hello")
        assert gateway.info.metadata["bad reports"] == 1
        assert "hello" in caplog.text
        await gateway.disconnect()

    run(story)


def test_an_external_order_is_adopted_and_left_alone():
    """What others placed is told as EXTERNAL, and `cancel_all` leaves it unless it is told to take all."""

    async def story():
        gateway = await connected(Puppet())
        gateway.report(order_at_venue("theirs", filled_qty=Decimal(1), avg_price=Decimal(7)))
        gateway.report(order_at_venue(None, S.CANCELED, order_id="old"))
        await gateway.place_order(limit("mine"))
        results = await gateway.cancel_all()
        assert [order.client_order_id for order in results] == ["mine"]
        gateway.report(fill("theirs", 1))
        assert gateway.order("theirs").status is S.FILLED
        assert gateway.order("theirs").avg_price == Decimal("8.5")
        await gateway.disconnect()

    run(story)


# -- asking -------------------------------------------------------------------------------------------


def test_an_order_that_the_book_lacks_is_asked_for():
    """`get_order` asks the venue for what it does not know, and adopts it; unknown ones are not found."""

    async def story():
        gateway = await connected(Asking())
        gateway.known["x"] = order_at_venue("x")
        assert (await gateway.get_order(OrderRef(order_id="v-x"))).client_order_id == "x"
        assert gateway.count("query") == 1
        with pytest.raises(OrderNotFound, match="there is no order 'y'"):
            await gateway.get_order(OrderRef(client_order_id="y"))
        await gateway.disconnect()

    run(story)


def test_capabilities_that_are_absent_are_not_supported():
    """
    What a gateway lacks raises NotSupported, NOT_SENT, and so do hooks that were declared but not written.
    """

    async def story():
        bare = await connected(Puppet(capabilities=frozenset()))
        now = fill().time
        step = now - now
        for work in (
            bare.modify_order(OrderRef(client_order_id="a"), _change()),
            bare.get_quote("ACME"),
            bare.get_bars("ACME", now, now, step),
            bare.get_instrument("ACME"),
        ):
            error = await refusal(work)
            assert (type(error), error.outcome) == (NotSupported, "NOT_SENT")
        with pytest.raises(NotSupported):
            bare.stream_quotes(["ACME"])
        await bare.disconnect()
        liar = await connected(Puppet(capabilities=frozenset(Capability)))
        for work in (liar.get_bars("ACME", now, now, step), liar.get_instrument("ACME")):
            assert isinstance(await refusal(work), NotSupported)
        with pytest.raises(NotSupported):
            await liar._query(OrderRef(order_id="x"))
        with pytest.raises(NotSupported):
            await BrokerGateway._quote(liar, "ACME")
        with pytest.raises(NotSupported):
            await BrokerGateway._modify(liar, order_at_venue(), _change())
        with pytest.raises(NotSupported):
            await liar._positions()
        with pytest.raises(NotSupported):
            await liar._balances()
        assert liar._account_for("ada") is None
        assert await liar._ping() is None
        await liar.disconnect()

    run(story)


def test_queries_need_a_connection():
    """What only the venue can tell needs a connection; what the book knows does not."""

    async def story():
        gateway = Puppet()
        for work in (
            gateway.get_positions(),
            gateway.get_balances(),
            gateway.snapshot(),
            gateway.get_quote("A"),
        ):
            assert isinstance(await refusal(work), GatewayNotReady)
        assert await gateway.get_open_orders() == ()

    run(story)


def test_positions_follow_from_fills_where_the_venue_cannot_tell():
    """
    Positions that a snapshot leaves out are derived: average cost, profit before fees, also when it turns.
    """

    async def story():
        gateway = await connected(Puppet())
        for number, (side, qty, price) in enumerate(
            [("BUY", 2, 10), ("BUY", 2, 20), ("SELL", 1, 18), ("SELL", 5, 18), ("BUY", 2, 17)]
        ):
            gateway.report(fill(None, qty, f"t{number}", side=_side(side), price=Decimal(price)))
        [position] = await gateway.get_positions()
        assert (position.qty, position.avg_price, position.realized_pnl) == (0, None, Decimal(3 * 4 + 2))
        assert await gateway.get_balances() == ()
        assert [each.trade_id for each in await gateway.get_fills(fill().time)] == []
        shot = await gateway.snapshot()
        assert shot.balances is None
        assert len(shot.fills) == 5
        await gateway.disconnect()

    run(story)


def test_a_snapshot_must_be_one():
    """A hook that gives something else is the plugin's fault, and named."""

    async def story():
        gateway = await connected(Asking())
        gateway.script["snapshot"] = lambda: "all fine"
        error = await refusal(gateway.snapshot())
        assert error.code == "contract"
        gateway.script["place"] = [ValueError("bug")]
        gateway.script["query"] = lambda: "no order"
        await refusal(gateway.place_order(limit("a")))
        await gateway._core.survey.establish(
            gateway.book.get("default", "a"), asyncio.get_running_loop().time() + 5
        )
        assert "not an Order" in gateway.info.last_error
        await gateway.disconnect()

    run(story)


# -- other loops, journals, tables --------------------------------------------------------------------


def test_verbs_hop_home_from_any_loop():
    """A gateway has one home; calls from another thread's loop run there, cancellation included."""

    async def story():
        gateway = await connected(Puppet())
        stream = gateway.events()

        async def elsewhere():
            assert asyncio.get_running_loop() is not gateway._core.home
            ack = await gateway.place_order(limit("a"))
            order = await gateway.cancel_order(OrderRef(client_order_id="a"))
            gateway.report(fill("a", 1))
            return ack, order, await gateway.get_fills()

        ack, order, fills = await asyncio.to_thread(asyncio.run, elsewhere())
        assert (ack.order_id, order.status, len(fills)) == ("v-a", S.CANCELED, 1)
        assert (await anext(stream)).payload.status is S.PENDING_NEW
        await asyncio.to_thread(asyncio.run, gateway.disconnect())
        assert gateway.status is GatewayStatus.DISCONNECTED

    run(story)


def test_a_home_that_is_gone_is_said():
    """When the loop of a gateway was closed under it, verbs say so, and connecting again works elsewhere."""
    gateway = Puppet()
    asyncio.run(gateway.connect())
    error = asyncio.run(refusal(gateway.place_order(limit("a"))))
    assert "loop is closed" in str(error)
    gateway.report(fill("nobody"))  # heard by nobody, and harmless
    asyncio.run(gateway.disconnect())

    async def again():
        await gateway.connect()
        assert (await gateway.place_order(limit("b"))).status is S.NEW
        await gateway.disconnect()

    asyncio.run(again())


def test_a_full_table_denies_new_orders():
    """A book that is full forgets nothing that is younger than a day: it denies what is new."""

    async def story():
        gateway = await connected(Puppet(max_orders=2))
        gateway._core.take_gate()
        await gateway.place_order(limit("a"))
        gateway.says("a", S.FILLED)
        await gateway.place_order(limit("b"))
        error = await refusal(gateway.place_order(limit("c")))
        assert (type(error), error.code, error.outcome) == (OrderDenied, "book_full", "NOT_SENT")
        await gateway.disconnect()

    run(story)


def test_after_a_day_the_ended_make_room():
    """Orders that ended more than a day ago, and their fills, are forgotten when room is needed."""
    now = [0.0]
    book = Book("old", clock=lambda: now[0])

    async def story():
        gateway = Puppet(max_orders=2)
        gateway.attach(book)
        await connected(gateway)
        await gateway.place_order(limit("a"))
        gateway.report(fill("a", 2))
        gateway.says("a", S.FILLED, order_id="v-2")
        now[0] = 90_000.0
        await gateway.place_order(limit("b"))
        await gateway.place_order(limit("a"))
        assert len(book) == 2
        assert await gateway.get_fills() == ()
        assert book.placed_lately("default") == 0
        await gateway.disconnect()

    run(story)


def test_an_order_that_cannot_be_written_down_is_not_sent(tmp_path):
    """The intent goes into the journal first; where the disk refuses, nothing is sent."""

    async def story():
        journal = FileJournal(tmp_path / "main.jsonl")
        gateway = Puppet()
        gateway.attach(Book("main", journal=journal))
        await connected(gateway)

        def refuse(line):
            raise OSError(28, "No space left on device")

        write, journal.append = journal.append, refuse
        error = await refusal(gateway.place_order(limit("a")))
        assert (type(error), error.outcome, error.code) == (BrokerUnavailable, "NOT_SENT", "journal")
        assert gateway.calls == []
        gateway._core.pulse.look()
        gateway._core.pulse.look()
        assert gateway.status is GatewayStatus.DEGRADED
        journal.append = write
        assert (await gateway.place_order(limit("a"))).status is S.NEW
        await gateway.disconnect()
        gateway.book.log.close()

    run(story)


def test_a_restart_knows_every_order_and_sends_none_twice(tmp_path):
    """From the journal: open ones UNKNOWN, ended ones ended, ids kept; the venue then says how they stand."""
    path = tmp_path / "main.jsonl"

    async def first():
        gateway = Asking()
        gateway.attach(Book("main", journal=FileJournal(path)))
        await connected(gateway)
        for name in ("open", "filled", "rejected", "denied", "part"):
            gateway.script["place"] = {
                "rejected": InvalidRequest("no", outcome="REJECTED"),
                "denied": InvalidRequest("no", outcome="NOT_SENT"),
            }.get(name, f"v-{name}")
            with suppress(InvalidRequest):
                await gateway.place_order(limit(name))
        gateway.report(fill("filled", 2, "t1"))
        gateway.report(fill("part", 1, "t2"))
        gateway.report(order_at_venue("theirs"))
        gateway.report(order_at_venue(None, order_id="nameless"))
        gateway.book.log.close()
        await gateway.disconnect()

    async def second():
        gateway = Asking(not_found_final_after=0.0)
        gateway.attach(Book("main", journal=FileJournal(path)))
        names = ("open", "filled", "rejected", "part")
        assert [gateway.order(name).status for name in names] == [S.UNKNOWN, S.FILLED, S.REJECTED, S.UNKNOWN]
        assert gateway.book.get("default", "denied") is None
        gateway.known = {"open": order_at_venue("open"), "part": order_at_venue("part", S.CANCELED)}
        await connected(gateway)
        assert [gateway.order(name).status for name in names] == [S.NEW, S.FILLED, S.REJECTED, S.CANCELED]
        assert gateway.order("part").filled_qty == 1
        assert (await gateway.place_order(limit("filled"))).order_id == "v-filled"
        assert (await refusal(gateway.place_order(limit("rejected")))).outcome == "REJECTED"
        assert gateway.calls == []
        gateway.report(fill("part", 1, "t2"))
        assert gateway.order("part").filled_qty == 1
        gateway.book.log.close()
        await gateway.disconnect()

    run(first)
    run(second)


def test_what_is_final_after_a_time_counts_from_the_restart(tmp_path):
    """
    After a restart nobody knows when an order was sent: the time after which it never arrived begins anew.
    """
    path = tmp_path / "main.jsonl"

    async def first():
        gateway = Asking()
        gateway.attach(Book("main", journal=FileJournal(path)))
        await connected(gateway)
        gateway.script["place"] = [ValueError("bug")]
        await refusal(gateway.place_order(limit("a")))
        gateway.book.log.close()
        await gateway.disconnect()

    async def second():
        gateway = Asking(not_found_final_after=60.0)
        gateway.attach(Book("main", journal=FileJournal(path)))
        await connected(gateway)
        assert gateway.order("a").status is S.UNKNOWN
        gateway.book.log.close()
        await gateway.disconnect()

    run(first)
    run(second)


@pytest.mark.parametrize("disk", ["sound", "full"])
def test_a_journal_that_outgrew_its_size_begins_anew(tmp_path, monkeypatch, caplog, disk):
    """Orders as they stand and all fills go into a new file; where that fails, the old one serves on."""
    path = tmp_path / "main.jsonl"

    async def story(size):
        gateway = Asking()
        gateway.known["open"] = order_at_venue("open")
        gateway.attach(Book("main", journal=FileJournal(path, max_bytes=size)))
        await connected(gateway)
        if not gateway.book.get("default", "open"):
            for name in ("open", "done", "old"):
                await gateway.place_order(limit(name))
            gateway.report(fill("done", 2))
            gateway.says("old", S.CANCELED)
        assert gateway.order("open").status is S.NEW
        [position] = await gateway.get_positions()
        assert position.qty == 2
        await gateway.disconnect()
        gateway.book.log.close()
        return gateway.book.get("default", "old")

    run(lambda: story(1 << 20))
    if disk == "full":
        monkeypatch.setattr(FileJournal, "rotate", _no_space)
    monkeypatch.setattr("hotplug.brokers._orders._recall.DAY", 0.0)
    run(lambda: story(500))
    monkeypatch.undo()
    old = []
    run(lambda: _keep(story(1 << 20), old))
    assert len(list(tmp_path.glob("main.*.jsonl"))) == (1 if disk == "sound" else 0)
    assert (old == [None]) is (disk == "sound")
    assert ("no new one" in caplog.text) is (disk == "full")


def _no_space(self, lines):
    raise OSError(28, "No space left on device")


async def _keep(work, found):
    found.append(await work)


def test_a_rejection_is_the_same_after_a_restart(tmp_path):
    """
    Class, code and the venue's code of a rejection are in the journal, too: the same id gives the same error.
    """
    path = tmp_path / "main.jsonl"

    async def life(*, place):
        gateway = Asking()
        gateway.attach(Book("main", journal=FileJournal(path)))
        await connected(gateway)
        if place:
            error = InsufficientFunds("no cash", outcome="REJECTED", code="no_money", venue_code="E7")
            gateway.script["place"] = [error]
        error = await refusal(gateway.place_order(limit("a")))
        assert isinstance(error, InsufficientFunds)
        told = (error.message, error.outcome, error.code, error.venue_code)
        assert told == ("no cash", "REJECTED", "no_money", "E7")
        assert gateway.count("place") == place
        gateway.book.log.close()
        await gateway.disconnect()

    run(lambda: life(place=True))
    run(lambda: life(place=False))


@pytest.mark.parametrize(
    "line",
    [
        '{"event": "refusal", "account": "default", "client_order_id": "a", "type": "Outcome"}',
        '{"event": "refusal", "account": "x", "client_order_id": "nobody", "type": "InsufficientFunds"}',
        '{"event": "refusal"}',
    ],
)
def test_a_refusal_that_makes_no_sense_is_left_out(tmp_path, line):
    """A line of the journal that names no error or no order changes nothing."""
    path = tmp_path / "main.jsonl"

    async def first():
        gateway = Puppet()
        gateway.attach(Book("main", journal=FileJournal(path)))
        await connected(gateway)
        gateway.script["place"] = [InvalidRequest("no", outcome="REJECTED")]
        await refusal(gateway.place_order(limit("a")))
        gateway.book.log.close()
        await gateway.disconnect()

    async def second():
        book = Book("main", journal=FileJournal(path))
        assert book.get("default", "a").error.outcome == "REJECTED"
        book.log.close()

    run(first)
    path.write_text(path.read_text() + line + "\n")
    run(second)


def test_an_id_that_is_no_text_names_nothing(caplog):
    """A plugin that returns a number: the order is taken, and the plugin's fault is told."""

    async def story():
        gateway = await connected(Puppet())
        gateway.script["place"] = lambda: 5
        assert (await gateway.place_order(limit("a"))).order_id is None
        assert "gave a int" in gateway.info.last_error
        await gateway.disconnect()

    run(story)
    assert "not a str" in caplog.text


def test_an_old_quote_is_not_fresh_for_having_just_come():
    """A quote tells of its own time: one of an hour ago is no ground for a collar."""

    async def story():
        gateway = Puppet(capabilities=frozenset())
        gateway.attach(Book("old", BookSettings(limits=OrderLimits(price_collar_pct=Decimal(50)))))
        await connected(gateway)
        gateway.report(replace(quote(), time=quote().time - timedelta(hours=1)))
        assert (await refusal(gateway.place_order(limit("a")))).code == "no_quote"
        gateway.report(quote())
        assert (await gateway.place_order(limit("a"))).status is S.NEW
        await gateway.disconnect()

    run(story)


def test_a_second_host_on_a_journal_reads_only(tmp_path):
    """Who finds the journal held knows the orders, names the holder, and sends nothing."""
    path = tmp_path / "main.jsonl"

    async def story():
        holder = Puppet()
        holder.attach(Book("main", journal=FileJournal(path)))
        await connected(holder)
        await holder.place_order(limit("a"))
        second = Puppet()
        second.attach(Book("main", journal=FileJournal(path)))
        assert second.order("a").status is S.NEW
        await connected(second)
        error = await refusal(second.place_order(limit("b")))
        assert (error.code, error.outcome) == ("journal_held", "NOT_SENT")
        assert "pid" in str(error)
        for gateway in (holder, second):
            gateway.book.log.close()
            await gateway.disconnect()

    run(story)


def test_a_stream_resumes_and_a_foreign_cursor_gives_one_gap():
    """After a cursor comes what followed it; a foreign one gives a gap, a snapshot, and what follows that."""

    async def story():
        gateway = await connected(Puppet())
        cursor = gateway.book.log.cursor
        await gateway.place_order(limit("a"))
        stream = gateway.events(cursor)
        assert [(await anext(stream)).payload.status for _ in range(2)] == [S.PENDING_NEW, S.NEW]
        stream = gateway.events("elsewhere:7")
        gap, shot = await anext(stream), await anext(stream)
        assert isinstance(gap.payload, Gap)
        assert isinstance(shot.payload, Snapshot)
        assert [order.client_order_id for order in shot.payload.orders] == ["a"]
        gateway.says("a", S.FILLED)
        assert isinstance((await anext(stream)).payload, Order)
        await gateway.disconnect()

    run(story)


def _change():
    from hotplug.market import OrderChange

    return OrderChange(qty=Decimal(3))


def _side(name):
    from hotplug.market import Side

    return Side(name)


# -- corners ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cached", [False, True])
def test_figures_beyond_all_reckoning_are_denied(cached):
    """A price that no division can check is denied, NOT_SENT; the id is free, and nobody hangs."""

    class Listed(Puppet):
        capabilities = frozenset({Capability.INSTRUMENTS})

        async def _instrument(self, symbol):
            return instrument(symbol)

    async def story():
        gateway = await connected(Listed())
        if cached:
            await gateway.place_order(limit("first"))
        error = await refusal(gateway.place_order(limit("a", price=Decimal("1e400"))))
        assert (type(error), error.code, error.outcome) == (OrderDenied, "unexpected", "NOT_SENT")
        assert gateway.book.get("default", "a") is None
        await gateway.disconnect()

    run(story)


@pytest.mark.parametrize("cached", [False, True])
def test_steps_are_exact_in_any_decimal_context(cached):
    """Who places an order in a task that rounds to three digits is neither refused nor let through for it."""

    class Listed(Puppet):
        capabilities = frozenset({Capability.INSTRUMENTS, Capability.QUOTES})

        async def _instrument(self, symbol):
            return instrument(symbol)

    async def story():
        gateway = await connected(Listed())
        if cached:
            await gateway.place_order(limit("first"))
        with localcontext(prec=3):
            await gateway.place_order(limit("whole", qty=12345, price="1000.5"))
            for name, qty, price in (("lot", "12345.5", "1000.5"), ("tick", "12345", "1000.7")):
                error = await refusal(gateway.place_order(limit(name, qty=qty, price=price)))
                assert error.code == f"off_{name}"
        await gateway.disconnect()

    run(story)


def test_an_interrupt_out_of_place_ends_the_caller_and_leaves_the_order_unknown():
    """KeyboardInterrupt is nobody's outcome: it is raised, and the order may have been sent."""

    async def story():
        gateway = await connected(Puppet())
        gateway.script["place"] = KeyboardInterrupt()
        with pytest.raises(KeyboardInterrupt):
            await gateway.place_order(limit("a"))
        assert gateway.order("a").status is S.UNKNOWN
        await gateway.disconnect()

    run(story)


def test_a_rejection_after_the_ack_does_not_take_the_ack_back():
    """Acknowledged by a report, rejected by another, and then ``_place`` returns: the ack was given."""

    async def story():
        gateway = await connected(Puppet())
        gateway.script["place"] = slow = Hanging("v-a")
        placing = asyncio.ensure_future(gateway.place_order(limit("a")))
        await slow.entered.wait()
        gateway.says("a", S.NEW)
        ack = await placing
        gateway.says("a", S.REJECTED)
        slow.release.set()
        await gateway.settled()
        assert gateway.order("a").status is S.REJECTED
        assert ack.status is S.NEW
        await gateway.disconnect()

    run(story)


def test_what_was_denied_and_used_again_is_forgotten_only_once():
    """An id that was freed and used anew: forgetting the denied one leaves the new one alone."""
    now = [0.0]

    async def story():
        gateway = Puppet()
        gateway.attach(
            Book("old", BookSettings(limits=OrderLimits(orders_per_minute=5)), clock=lambda: now[0])
        )
        await connected(gateway)
        gateway.script["place"] = [InvalidRequest("no", outcome="NOT_SENT")]
        await refusal(gateway.place_order(limit("a")))
        await gateway.place_order(limit("a"))
        now[0] = 90_000.0
        await gateway.place_order(limit("b"))
        assert gateway.order("a").status is S.NEW
        assert gateway.book.placed_lately("default") == 1
        await gateway.disconnect()

    run(story)


def test_a_fill_that_stands_twice_in_the_journal_counts_once(tmp_path):
    """A line that a crash made twice is one fill."""
    path = tmp_path / "main.jsonl"

    async def first():
        gateway = Puppet()
        gateway.attach(Book("main", journal=FileJournal(path)))
        await connected(gateway)
        await gateway.place_order(limit("a"))
        gateway.report(fill("a", 1))
        gateway.book.log.close()
        await gateway.disconnect()

    run(first)
    text = path.read_text()
    path.write_text(text + next(line for line in text.splitlines() if '"Fill"' in line) + "\n")
    book = Book("main", journal=FileJournal(path))
    assert len(list(book.fills())) == 1
    book.log.close()


def test_the_machine_room_has_no_other_names():
    """Only the book is made when it is missed."""
    with pytest.raises(AttributeError):
        Puppet()._core.nonsense  # noqa: B018


def test_a_loop_that_closes_while_it_is_told_hears_nothing():
    """Between looking and telling a loop may close: the report is heard by nobody, and harms nobody."""

    class Closing:
        def is_closed(self):
            return False

        def call_soon_threadsafe(self, *_):
            raise RuntimeError("Event loop is closed")

    gateway = Puppet()
    gateway._core.home = Closing()
    gateway.report(fill("nobody"))
    assert list(gateway.book.fills()) == []


def test_a_result_that_is_no_brokers_error_names_its_order():
    """What cancelling came to, whatever it was, is told as a `BrokerError` about that order."""
    from hotplug.brokers._results import result_of

    told = result_of(order_at_venue("a"), ValueError("bug"))
    assert isinstance(told, BrokerUnavailable)
    assert "a" in str(told)
    assert "ValueError: bug" in str(told)


def test_a_waiter_that_was_told_already_is_not_told_again():
    """The answer and the deadline come in one turn of the loop: the answer counts."""

    async def story():
        gateway = await connected(Puppet())
        await gateway.place_order(limit("a"))
        waiter = asyncio.get_running_loop().create_future()
        waiter.set_result(None)
        held = gateway.book.get("default", "a")
        gateway._core.sends._too_late(held, waiter)
        assert gateway.order("a").status is S.NEW
        await gateway.disconnect()

    run(story)


def test_a_change_in_doubt_stays_in_doubt_over_a_restart(tmp_path):
    """A change that was under way when the process died: its terms are asked for, none is guessed."""
    path = tmp_path / "main.jsonl"

    async def story():
        from hotplug.market import OrderChange

        gateway = Puppet()
        gateway.attach(Book("main", journal=FileJournal(path)))
        await connected(gateway)
        await gateway.place_order(limit("a"))
        ref = OrderRef(client_order_id="a")
        await gateway.modify_order(ref, OrderChange(qty=Decimal(3)))
        gateway.script["modify"] = slow = Hanging()
        changing = asyncio.ensure_future(gateway.modify_order(ref, OrderChange(qty=Decimal(5))))
        await slow.entered.wait()
        gateway.book.log.close()
        changing.cancel()
        await asyncio.wait({changing})
        await gateway.disconnect(drain=False)
        book = Book("main", journal=FileJournal(path))
        held = book.get("default", "a")
        assert (held.order.status, held.order.qty, held.order.version) == (S.UNKNOWN, 3, 2)
        assert held.asked_qty is not None
        book.log.close()

    run(story)
