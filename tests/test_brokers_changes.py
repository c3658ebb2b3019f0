"""Cancelling and modifying through the template (rule 10)."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from hotplug.brokers import RateWindow
from hotplug.errors import (
    BrokerUnavailable,
    DeadlineExceeded,
    InvalidRequest,
    OrderBusy,
    OrderDenied,
    OrderNotFound,
)
from hotplug.market import CancelScope, OrderChange, OrderRef, OrderStatus, Snapshot
from puppets import Asking, Hanging, Puppet, connected, fill, limit, order_at_venue, refusal, run, until

S = OrderStatus
A = OrderRef(client_order_id="a")
NONE_OPEN = Snapshot(orders=(), fills=None, positions=None, balances=None, cursor=None)


async def with_order(kind=Puppet, **facts):
    gateway = await connected(kind(**facts))
    await gateway.place_order(limit("a"))
    gateway.calls.clear()
    return gateway


# -- cancel -------------------------------------------------------------------------------------------


def test_a_cancel_that_the_venue_reports_is_done():
    """The order is CANCELED when the venue said so; a second cancel sends nothing."""

    async def story():
        gateway = await with_order()
        for _ in range(2):
            assert (await gateway.cancel_order(A)).status is S.CANCELED
        assert gateway.count("cancel") == 1
        await gateway.disconnect()

    run(story)


def test_filled_first_is_a_result():
    """A fill that beats the cancel is the answer, not an error."""

    async def story():
        gateway = await with_order()

        def beaten():
            gateway.report(fill("a", 2))
            raise InvalidRequest("too late", outcome="REJECTED")

        gateway.script["cancel"] = beaten
        assert (await gateway.cancel_order(A)).status is S.FILLED
        await gateway.disconnect()

    run(story)


@pytest.mark.parametrize("kind", [Puppet, Asking])
def test_a_cancel_without_a_report_is_looked_after(kind):
    """The venue accepted and says no more: the template asks, by query or snapshot, and finds it gone."""

    async def story():
        gateway = await with_order(kind)
        gateway.script["cancel"] = lambda: None
        gateway.shot = NONE_OPEN
        order = await gateway.cancel_order(A)
        assert (order.status, order.reason) == (S.CANCELED, "cancelled, and gone")
        await gateway.disconnect()

    run(story)


def test_a_cancel_that_cannot_be_proven_stays_pending():
    """Accepted, but nobody can tell whether it is gone: PENDING_CANCEL, which counts as open."""

    async def story():
        gateway = await with_order()
        gateway.script["cancel"] = lambda: None
        assert (await gateway.cancel_order(A)).status is S.PENDING_CANCEL
        gateway.says("a", S.NEW)
        assert gateway.order("a").status is S.PENDING_CANCEL
        gateway.report(fill("a", 1))
        assert gateway.order("a").status is S.PENDING_CANCEL
        gateway.says("a", S.CANCELED)
        assert (gateway.order("a").status, gateway.order("a").filled_qty) == (S.CANCELED, 1)
        await gateway.disconnect()

    run(story)


def test_a_refused_cancel_leaves_the_order_as_it_was():
    """The venue said no: the error is told, the order rests again, and a cancel may be tried again."""

    async def story():
        gateway = await with_order(Asking)
        gateway.report(fill("a", 1))
        gateway.known["a"] = order_at_venue("a", S.PARTIALLY_FILLED, filled_qty=Decimal(1))
        gateway.script["cancel"] = [InvalidRequest("auction", outcome="REJECTED", code="auction")]
        error = await refusal(gateway.cancel_order(A))
        assert (error.code, error.outcome) == ("auction", "REJECTED")
        assert gateway.order("a").status is S.PARTIALLY_FILLED
        assert (await gateway.cancel_order(A)).status is S.CANCELED
        await gateway.disconnect()

    run(story)


def test_a_refused_cancel_leaves_what_nobody_knows_unknown():
    """An order whose fate nobody knows, and that the venue does not want to cancel, stays UNKNOWN."""

    async def story():
        gateway = await connected(Asking())
        gateway.script["place"] = [BrokerUnavailable("503", outcome="UNKNOWN")]
        gateway.script["query"] = [BrokerUnavailable("503")] * 9
        await refusal(gateway.place_order(limit("a")))
        assert gateway.order("a").status is S.UNKNOWN
        gateway.script["query"] = []
        gateway.known["a"] = order_at_venue("a", S.UNKNOWN)
        gateway.script["cancel"] = [InvalidRequest("auction", outcome="REJECTED", code="auction")]
        error = await refusal(gateway.cancel_order(A))
        assert error.code == "auction"
        assert gateway.order("a").status is S.UNKNOWN
        await gateway.disconnect()

    run(story)


def test_cancels_are_asked_again_where_nobody_answered(monkeypatch):
    """A cancel changes nothing when it arrives twice: it is tried up to three times."""
    monkeypatch.setattr("hotplug.brokers._template._changes.RETRY_PAUSE", 0.01)

    async def story():
        gateway = await with_order()
        gateway.script["cancel"] = [BrokerUnavailable("503"), TimeoutError()]
        assert (await gateway.cancel_order(A)).status is S.CANCELED
        assert gateway.count("cancel") == 3
        await gateway.place_order(limit("b"))
        gateway.script["cancel"] = BrokerUnavailable("503")
        error = await refusal(gateway.cancel_order(OrderRef(client_order_id="b")))
        assert error.outcome == "UNKNOWN"
        assert gateway.count("cancel") == 6
        await gateway.disconnect()

    run(story)


def test_what_is_not_known_cannot_be_cancelled():
    """Neither an unknown order nor one of another's can be cancelled: OrderNotFound."""

    async def story():
        gateway = await with_order(Asking)
        assert isinstance(await refusal(gateway.cancel_order(OrderRef(client_order_id="no"))), OrderNotFound)
        await gateway.disconnect()

    run(story)


def test_a_cancel_before_the_ack_is_remembered():
    """
    Cancelling while the order is being sent: it is PENDING_CANCEL, and the cancel goes out after the ack.
    """

    async def story():
        gateway = await connected(Puppet())
        gateway.script["place"] = slow = Hanging("v-a")
        placing = asyncio.ensure_future(gateway.place_order(limit("a")))
        await slow.entered.wait()
        cancelling = asyncio.ensure_future(gateway.cancel_order(A))
        await gateway.settled()
        assert gateway.order("a").status is S.PENDING_CANCEL
        slow.release.set()
        assert (await cancelling).status is S.CANCELED
        assert (await placing).order_id == "v-a"
        assert [name for name, _ in gateway.calls] == ["place", "cancel"]
        await gateway.disconnect()

    run(story)


def test_a_remembered_cancel_survives_who_asked():
    """The deadline of the cancel passes before the ack; the cancel is sent all the same."""

    async def story():
        gateway = await connected(Puppet())
        gateway.script["place"] = slow = Hanging("v-a")
        placing = asyncio.ensure_future(gateway.place_order(limit("a")))
        await slow.entered.wait()
        error = await refusal(gateway.cancel_order(A, deadline=0.01))
        assert (type(error), error.outcome) == (DeadlineExceeded, "UNKNOWN")
        slow.release.set()
        await placing
        await gateway.settled()
        assert gateway.order("a").status is S.CANCELED
        await gateway.disconnect()

    run(story)


def test_a_remembered_cancel_goes_out_as_soon_as_the_order_is_found():
    """
    The send hangs for good; a query finds the order at the venue, and the cancel needs no more than that.
    """

    async def story():
        gateway = await connected(Asking(check_interval=0.01))
        gateway.script["place"] = hanging = Hanging("v-a")
        placing = asyncio.ensure_future(gateway.place_order(limit("a"), deadline=0.1))
        await hanging.entered.wait()
        assert (await refusal(gateway.cancel_order(A, deadline=0.01))).outcome == "UNKNOWN"
        await refusal(placing)
        gateway.known["a"] = order_at_venue("a", order_id="v-a")
        await until(lambda: gateway.order("a").status is S.CANCELED)
        assert gateway.count("cancel") == 1
        await gateway.disconnect(drain=False)

    run(story)


def test_a_drained_disconnect_sees_the_remembered_cancel_through():
    """What a send that ended begins is waited for like the send itself."""

    async def story():
        gateway = await connected(Puppet())
        gateway.script["place"] = slow = Hanging("v-a")
        placing = asyncio.ensure_future(gateway.place_order(limit("a")))
        await slow.entered.wait()
        await refusal(gateway.cancel_order(A, deadline=0.01))
        gateway.script["cancel"] = cancel = Hanging()
        leaving = asyncio.ensure_future(gateway.disconnect())
        await gateway.settled()
        slow.release.set()
        await cancel.entered.wait()
        gateway.says("a", S.CANCELED)
        cancel.release.set()
        await leaving
        await placing
        assert not cancel.cancelled

    run(story)


def test_a_cancel_before_the_send_prevents_it():
    """An order that waits for its limit is cancelled by not being sent: DENIED, and the id is free."""

    async def story():
        window = RateWindow("calls", 2, 0.05, weights={"place": 1})
        gateway = await connected(Puppet(rate_windows=(window,)))
        await gateway.place_order(limit("b"))
        placing = asyncio.ensure_future(gateway.place_order(limit("a")))
        await gateway.settled()
        order = await gateway.cancel_order(A)
        assert order.status is S.DENIED
        error = await refusal(placing)
        assert (type(error), error.code, error.outcome) == (OrderDenied, "cancelled", "NOT_SENT")
        assert gateway.count("place") == 1
        await gateway.disconnect()

    run(story)


def test_who_joins_a_waiting_order_is_not_told_that_it_was_not_sent():
    """While somebody else waits for it, an order may be sent yet: who has no time left is told UNKNOWN."""

    async def story():
        window = RateWindow("calls", 2, 0.2, weights={"place": 1})
        gateway = await connected(Puppet(rate_windows=(window,)))
        await gateway.place_order(limit("b"))
        first = asyncio.ensure_future(gateway.place_order(limit("a"), deadline=20))
        await gateway.settled()
        error = await refusal(gateway.place_order(limit("a"), deadline=0.01))
        assert (error.code, error.outcome) == ("deadline", "UNKNOWN")
        await first
        assert gateway.order("a").status is S.NEW
        assert gateway.count("place") == 2
        await gateway.disconnect()

    run(story)


def test_an_order_that_nobody_waits_for_any_more_is_not_sent():
    """When the first caller has left, the deadline of who joined is the last: NOT_SENT, and that is true."""

    async def story():
        window = RateWindow("calls", 2, 0.3, weights={"place": 1})
        gateway = await connected(Puppet(rate_windows=(window,)))
        await gateway.place_order(limit("b"))
        first = asyncio.ensure_future(gateway.place_order(limit("a"), deadline=20))
        await gateway.settled()
        joined = asyncio.ensure_future(gateway.place_order(limit("a"), deadline=0.02))
        await gateway.settled()
        first.cancel()
        error = await refusal(joined)
        assert (error.code, error.outcome) == ("deadline", "NOT_SENT")
        assert gateway.book.get("default", "a") is None
        assert gateway.count("place") == 1
        await gateway.disconnect()

    run(story)


def test_concurrent_cancels_are_one():
    """Everybody who cancels waits for the same cancel; who gives up leaves it to the others."""

    async def story():
        gateway = await with_order()
        slow = Hanging()
        gateway.script["cancel"] = slow
        waiting = [asyncio.ensure_future(gateway.cancel_order(A)) for _ in range(3)]
        await slow.entered.wait()
        waiting.pop().cancel()
        error = await refusal(gateway.cancel_order(A, deadline=0.01))
        assert (type(error), error.outcome) == (DeadlineExceeded, "UNKNOWN")
        gateway.says("a", S.CANCELED)
        slow.release.set()
        assert {order.status for order in await asyncio.gather(*waiting)} == {S.CANCELED}
        assert gateway.count("cancel") == 1
        assert not slow.cancelled
        await gateway.disconnect()

    run(story)


def test_a_cancel_has_its_share_of_the_limit():
    """A full window lets a cancel through: a tenth of it is kept."""

    async def story():
        gateway = await connected(Puppet(rate_windows=(RateWindow("calls", 10, 30, weights={"*": 1}),)))
        for number in range(9 - gateway.count("snapshot")):
            try:
                await gateway.place_order(limit(f"a{number}"), deadline=0.01)
            except Exception:
                break
        assert (await refusal(gateway.place_order(limit("z"), deadline=0.01))).outcome == "NOT_SENT"
        assert (await gateway.cancel_order(OrderRef(client_order_id="a0"))).status is S.CANCELED
        await gateway.disconnect()

    run(story)


def test_cancel_all_gives_a_result_for_each():
    """Own orders by default, all on demand; one that cannot be cancelled is an error among the results."""

    async def story():
        gateway = await with_order()
        await gateway.place_order(limit("b"))
        gateway.report(order_at_venue("theirs"))

        def only_b():
            _, order = gateway.calls[-1]
            if order.client_order_id == "a":
                raise InvalidRequest("no", outcome="REJECTED")
            gateway.says(order.client_order_id, S.CANCELED)

        gateway.script["cancel"] = only_b
        results = await gateway.cancel_all()
        assert [type(each).__name__ for each in results] == ["InvalidRequest", "Order"]
        results = await gateway.cancel_all(CancelScope.ALL)
        assert len(results) == 2
        assert gateway.order("theirs").status is S.CANCELED
        with pytest.raises(TypeError):
            await gateway.cancel_all("ALL")  # type: ignore[arg-type]
        await gateway.disconnect()

    run(story)


def test_an_unknown_order_can_be_cancelled():
    """Nobody knows whether the venue has it: the cancel is sent, by our id."""

    async def story():
        gateway = await connected(Puppet())
        gateway.script["place"] = [ValueError("bug")]
        await refusal(gateway.place_order(limit("a")))
        assert (await gateway.cancel_order(A)).status is S.CANCELED
        await gateway.disconnect()

    run(story)


# -- modify -------------------------------------------------------------------------------------------


def test_a_change_makes_the_next_version():
    """Quantity is the total; the client id stays, the version grows, both venue ids name the order."""

    async def story():
        gateway = await with_order()
        gateway.report(fill("a", 1))
        gateway.script["modify"] = lambda: "v-2"
        order = await gateway.modify_order(A, OrderChange(qty=Decimal(5), price=Decimal(11)))
        assert (order.status, order.version, order.qty, order.leaves_qty, order.price) == (
            S.PARTIALLY_FILLED,
            2,
            5,
            4,
            11,
        )
        for name in ("v-a", "v-2"):
            assert (await gateway.get_order(OrderRef(order_id=name))).client_order_id == "a"
        gateway.says(None, S.CANCELED, order_id="v-a")
        assert (gateway.order("a").order_id, gateway.order("a").status) == ("v-2", S.PARTIALLY_FILLED)
        gateway.report(fill(None, 1, "t2", order_id="v-a"))
        assert gateway.order("a").filled_qty == 2
        await gateway.disconnect()

    run(story)


def test_a_total_that_is_filled_already_ends_it():
    """Reducing the total to what was filled meanwhile leaves nothing: FILLED."""

    async def story():
        gateway = await with_order()
        gateway.report(fill("a", 1))
        order = await gateway.modify_order(A, OrderChange(qty=Decimal(1)))
        assert (order.status, order.leaves_qty) == (S.FILLED, 0)
        await gateway.disconnect()

    run(story)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (OrderChange(qty=Decimal(0)), "qty"),
        (OrderChange(price=Decimal(0)), "price"),
        (OrderChange(stop_price=Decimal(5)), "stop_price"),
    ],
)
def test_senseless_changes_are_denied(change, code):
    """What makes no sense is not sent."""

    async def story():
        gateway = await with_order()
        error = await refusal(gateway.modify_order(A, change))
        assert (type(error), error.code, error.outcome) == (OrderDenied, code, "NOT_SENT")
        assert gateway.calls == []
        await gateway.disconnect()

    run(story)


def test_one_change_at_a_time():
    """A second change while one is under way is OrderBusy, NOT_SENT; and a cancel supersedes it."""

    async def story():
        gateway = await with_order()
        gateway.script["modify"] = slow = Hanging("v-2")
        changing = asyncio.ensure_future(gateway.modify_order(A, OrderChange(price=Decimal(11))))
        await slow.entered.wait()
        assert gateway.order("a").status is S.PENDING_REPLACE
        gateway.says("a", S.NEW)
        assert gateway.order("a").status is S.PENDING_REPLACE
        error = await refusal(gateway.modify_order(A, OrderChange(price=Decimal(12))))
        assert (type(error), error.outcome) == (OrderBusy, "NOT_SENT")
        gateway.script["cancel"] = held = Hanging()
        cancelling = asyncio.ensure_future(gateway.cancel_order(A))
        await held.entered.wait()
        assert gateway.order("a").status is S.PENDING_CANCEL
        slow.release.set()
        assert (await changing).version == 2
        assert gateway.order("a").status is S.PENDING_CANCEL
        error = await refusal(gateway.modify_order(A, OrderChange(price=Decimal(12))))
        assert isinstance(error, OrderBusy)
        gateway.says("a", S.CANCELED)
        held.release.set()
        assert (await cancelling).status is S.CANCELED
        error = await refusal(gateway.modify_order(A, OrderChange(price=Decimal(12))))
        assert error.code == "not_open"
        await gateway.disconnect()

    run(story)


def test_a_change_that_ends_after_its_order_changes_nothing():
    """The order is filled while its change is under way: FILLED it stays."""

    async def story():
        gateway = await with_order()
        gateway.script["modify"] = slow = Hanging("v-2")
        changing = asyncio.ensure_future(gateway.modify_order(A, OrderChange(price=Decimal(11))))
        await slow.entered.wait()
        gateway.says("a", S.CANCELED)
        slow.release.set()
        assert (await changing).status is S.CANCELED
        await gateway.disconnect()

    run(story)


@pytest.mark.parametrize("outcome", ["REJECTED", "NOT_SENT"])
def test_a_refused_change_leaves_the_order_as_it_was(outcome):
    """The venue, or the plugin, said no: it rests as before, in its old version."""

    async def story():
        gateway = await with_order()
        gateway.script["modify"] = [InvalidRequest("no", outcome=outcome)]
        assert (await refusal(gateway.modify_order(A, OrderChange(qty=Decimal(5))))).outcome == outcome
        order = gateway.order("a")
        assert (order.status, order.version, order.qty) == (S.NEW, 1, 2)
        await gateway.disconnect()

    run(story)


def test_a_refused_reduction_that_was_filled_meanwhile():
    """Filled whole while an increase was under way and then refused: it is FILLED."""

    async def story():
        gateway = await with_order()
        gateway.script["modify"] = slow = Hanging(InvalidRequest("no", outcome="REJECTED"))
        changing = asyncio.ensure_future(gateway.modify_order(A, OrderChange(qty=Decimal(5))))
        await slow.entered.wait()
        gateway.report(fill("a", 2))
        slow.release.set()
        await refusal(changing)
        assert gateway.order("a").status is S.FILLED
        await gateway.disconnect()

    run(story)


@pytest.mark.parametrize("raised", [BrokerUnavailable("gone"), ValueError("bug"), asyncio.CancelledError()])
def test_a_change_of_unknown_outcome_makes_the_order_unknown(raised):
    """Nobody knows which terms stand: UNKNOWN, until the venue is asked; it is never sent again."""

    async def story():
        gateway = await with_order(Asking)
        gateway.script["modify"] = raised
        with pytest.raises((BrokerUnavailable, asyncio.CancelledError)):
            await gateway.modify_order(A, OrderChange(qty=Decimal(5)))
        assert gateway.order("a").status is S.UNKNOWN
        gateway.known["a"] = order_at_venue("a", qty=Decimal(5))
        await until(lambda: gateway.order("a").status is not S.UNKNOWN)
        assert (gateway.order("a").qty, gateway.order("a").version) == (5, 2)
        assert gateway.count("modify") == 1
        await gateway.disconnect()

    run(story)


def test_a_change_without_an_answer_in_time():
    """The deadline passes: UNKNOWN; a report that it was filled by the new total proves the change."""

    async def story():
        gateway = await with_order()
        gateway.script["modify"] = Hanging()
        error = await refusal(gateway.modify_order(A, OrderChange(qty=Decimal(5)), deadline=0.1))
        assert (type(error), error.outcome) == (DeadlineExceeded, "UNKNOWN")
        assert gateway.order("a").status is S.UNKNOWN
        gateway.says("a", S.FILLED, filled_qty=Decimal(5))
        order = gateway.order("a")
        assert (order.status, order.qty, order.version) == (S.FILLED, 5, 2)
        await gateway.disconnect()

    run(story)


def test_a_change_waits_for_its_limit_and_looks_again():
    """While a change waits for its turn, its order may end, or trading may be halted: it is not sent then."""

    class Brake:
        why = None

        def reason(self, key, user):
            return self.why

    async def story():
        window = RateWindow("changes", 2, 0.05, weights={"modify": 1})
        gateway = await with_order(rate_windows=(window,))
        await gateway.place_order(limit("b"))
        await gateway.modify_order(A, OrderChange(qty=Decimal(5)))
        waiting = asyncio.ensure_future(gateway.modify_order(A, OrderChange(qty=Decimal(6))))
        await gateway.settled()
        gateway.says("a", S.CANCELED)
        assert (await refusal(waiting)).code == "not_open"
        b = OrderRef(client_order_id="b")
        await gateway.modify_order(b, OrderChange(qty=Decimal(5)))
        waiting = asyncio.ensure_future(gateway.modify_order(b, OrderChange(qty=Decimal(6))))
        await gateway.settled()
        gateway.book.halts = Brake()
        gateway.book.halts.why = "stop"
        assert (await refusal(waiting)).code == "halted"
        assert (await refusal(gateway.modify_order(b, OrderChange(qty=Decimal(7))))).code == "halted"
        assert gateway.count("modify") == 2
        await gateway.disconnect()

    run(story)


def test_terms_changed_by_others_are_taken_over():
    """
    The venue shows other terms than ours: the order follows, in a new version; older views do not count.
    """

    async def story():
        gateway = await with_order()
        gateway.report(order_at_venue("a", price=Decimal(12), version=3))
        assert (gateway.order("a").price, gateway.order("a").version) == (12, 3)
        gateway.report(order_at_venue("a", price=Decimal(10), version=2))
        assert gateway.order("a").price == 12
        await gateway.disconnect()

    run(story)
