"""The broker suite finds what is wrong with a broker: one broken broker for each of its tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from decimal import Decimal

import pytest

from hotplug.brokers import IBrokerGateway
from hotplug.errors import DuplicateClientOrderId, GatewayNotReady, OrderNotFound
from hotplug.market import Capability, GatewayStatus, OrderRequest, OrderStatus, Side
from hotplug.testing import BrokerContract
from hotplug_broker_paper import PaperBroker

MUTANTS: list[tuple[str, type[PaperBroker]]] = []


def breaks(claim: str) -> Callable[[type[PaperBroker]], type[PaperBroker]]:
    """The decorated broker must fail the test *claim*."""

    def note(mutant: type[PaperBroker]) -> type[PaperBroker]:
        MUTANTS.append((f"test_{claim}", mutant))
        return mutant

    return note


async def told(stream, change):
    """The events of a stream, changed, or left out where the change is None."""
    async for event in stream:
        if (changed := change(event)) is not None:
            yield changed


def suite_of(broker: Callable[[], IBrokerGateway]) -> BrokerContract:
    """The suite for a broker, impatient."""

    class Hasty(BrokerContract):
        time_limit = 0.25

        def make_broker(self):
            return broker()

    return Hasty()


@breaks("it_is_a_gateway")
class TakesNoDeadline(PaperBroker):
    async def place_order(self, request):
        return await super().place_order(request)


@breaks("it_is_a_gateway")
class AnswersWithoutAwait(PaperBroker):
    def get_positions(self, *, deadline=None):
        return ()


@breaks("it_is_a_gateway")
class IsNoGateway:
    async def connect(self, deadline=None):
        return None


@breaks("it_tells_who_it_is_before_it_is_connected")
class SaysAnotherName(PaperBroker):
    @property
    def broker_id(self):
        return "somebody else"


@breaks("it_tells_who_it_is_before_it_is_connected")
class IsReadyTooEarly(PaperBroker):
    @property
    def info(self):
        return dataclasses.replace(super().info, status=GatewayStatus.READY)


@breaks("it_tells_who_it_is_before_it_is_connected")
class SaysItInADict(PaperBroker):
    @property
    def info(self):
        return {"broker_id": "paper"}


@breaks("it_connects_as_often_as_it_is_told")
class LogsAndHopes(PaperBroker):
    async def connect(self, deadline=None):
        return None


@breaks("it_connects_as_often_as_it_is_told")
class NeverLeaves(PaperBroker):
    async def disconnect(self, drain=True, *, deadline=None):
        return None


@breaks("it_looks_at_its_own_health")
class IsAlwaysFine(PaperBroker):
    async def health(self, *, deadline=None):
        return True


@breaks("what_it_lacks_is_not_supported")
class EmulatesChanges(PaperBroker):
    async def modify_order(self, ref, change, *, deadline=None):
        return await self.cancel_order(ref)


@breaks("it_takes_no_orders_before_it_is_connected")
class KeepsOrdersForLater(PaperBroker):
    async def place_order(self, request, *, deadline=None):
        if self.info.status is not GatewayStatus.READY:
            raise GatewayNotReady("later, perhaps", outcome="UNKNOWN")
        return await super().place_order(request)


@breaks("it_takes_nothing_but_order_requests")
class GuessesOrders(PaperBroker):
    async def place_order(self, request, *, deadline=None):
        if isinstance(request, dict):
            request = OrderRequest(**request | {"qty": Decimal(request["qty"]), "side": Side.BUY})
        return await super().place_order(request)


@breaks("a_senseless_order_is_refused_for_certain")
class MakesSenseOfIt(PaperBroker):
    async def place_order(self, request, *, deadline=None):
        if request.qty < 0:
            request = dataclasses.replace(request, qty=-request.qty)
        return await super().place_order(request)


@breaks("an_accepted_order_is_open_until_it_is_cancelled")
class ForgetsOpenOrders(PaperBroker):
    async def get_open_orders(self, *, deadline=None):
        return ()


@breaks("an_accepted_order_is_open_until_it_is_cancelled")
class OnlySaysCancelled(PaperBroker):
    async def cancel_order(self, ref, *, deadline=None):
        return dataclasses.replace(await self.get_order(ref), status=OrderStatus.CANCELED)


@breaks("the_same_request_is_one_order")
class SendsItAgain(PaperBroker):
    sent = 0

    async def place_order(self, request, *, deadline=None):
        self.sent += 1
        unheard = dataclasses.replace(request, client_order_id=f"{request.client_order_id}{self.sent}")
        return await super().place_order(unheard)


@breaks("a_used_id_is_refused_for_another_order")
class TakesTheFirst(PaperBroker):
    async def place_order(self, request, *, deadline=None):
        try:
            return await super().place_order(request)
        except DuplicateClientOrderId:
            return None


@breaks("an_unknown_order_is_not_found")
class FindsNothing(PaperBroker):
    async def get_order(self, ref, *, deadline=None):
        try:
            return await super().get_order(ref)
        except OrderNotFound:
            return None


@breaks("all_open_orders_can_be_cancelled_at_once")
class TellsNoResults(PaperBroker):
    async def cancel_all(self, scope=None, *, deadline=None):
        await super().cancel_all()
        return ()


@breaks("all_open_orders_can_be_cancelled_at_once")
class CancelsHalf(PaperBroker):
    async def cancel_all(self, scope=None, *, deadline=None):
        results = await self.get_open_orders()
        await self.cancel_order(results[0].ref)
        return results


@breaks("a_market_order_trades_on_the_next_bar")
class TradesInThePast(PaperBroker):
    last = None

    async def feed(self, bar, *, account=None):
        self.last = bar
        return await super().feed(bar, account=account)

    async def place_order(self, request, *, deadline=None):
        ack = await super().place_order(request)
        if self.last is not None:
            await self.feed(dataclasses.replace(self.last, time=self.last.time.replace(hour=1)))
        return ack


@breaks("a_market_order_trades_on_the_next_bar")
class TradesElsewhere(PaperBroker):
    async def feed(self, bar, *, account=None):
        return await super().feed(
            dataclasses.replace(bar, open=bar.high + 5, high=bar.high + 5), account=account
        )


@breaks("positions_are_what_was_traded")
class LosesPositions(PaperBroker):
    async def snapshot(self, *, deadline=None):
        return dataclasses.replace(await super().snapshot(), positions=())


@breaks("positions_are_what_was_traded")
class CountsTwice(PaperBroker):
    def _positions(self):
        return tuple(dataclasses.replace(each, qty=each.qty * 2) for each in super()._positions())


@breaks("no_money_is_made_or_lost_on_the_way")
class RoundsTwice(PaperBroker):
    def _balances(self):
        spent = Decimal("0.01") * len(self._engine.fills)
        return tuple(dataclasses.replace(each, total=each.total - spent) for each in super()._balances())


@breaks("events_tell_the_life_of_an_order")
class NumbersNothing(PaperBroker):
    def events(self, after=None):
        return told(super().events(after), lambda event: dataclasses.replace(event, cursor="now"))


@breaks("events_tell_the_life_of_an_order")
class TellsTheEndOnly(PaperBroker):
    def events(self, after=None):
        new = OrderStatus.NEW
        return told(super().events(after), lambda event: None if event.payload.status is new else event)


@breaks("events_tell_the_life_of_an_order")
class ListensLate(PaperBroker):
    async def events(self, after=None):
        async for event in super().events(after):
            yield event


@breaks("events_tell_the_life_of_an_order")
class EndsEarly(PaperBroker):
    async def events(self, after=None):
        for event in ():
            yield event


@breaks("a_stream_goes_on_after_a_cursor")
class BeginsAnew(PaperBroker):
    def events(self, after=None):
        if after is None:
            return super().events()
        return super().events(after=self._log.cursor(0))


@breaks("a_lost_cursor_gives_a_gap_and_a_snapshot")
class HidesTheGap(PaperBroker):
    def events(self, after=None):
        return super().events()


@breaks("its_life_follows_the_published_table")
class JumpsToReady(PaperBroker):
    def _become(self, status, reason=""):
        if status is not GatewayStatus.SYNCING:
            super()._become(status, reason)


@breaks("its_life_follows_the_published_table")
class ComesUnseen(PaperBroker):
    def _become(self, status, reason=""):
        super()._become(status, reason)
        if status is GatewayStatus.CONNECTING:
            del self._log._events[:]


@breaks("no_inherited_test_was_replaced")
class IsNotTested(PaperBroker):
    """Nothing is wrong with it, but with its suite."""


@pytest.mark.parametrize(("claim", "mutant"), MUTANTS, ids=lambda value: getattr(value, "__name__", value))
def test_the_suite_finds_it(claim, mutant, monkeypatch):
    """
    A broker that breaks a promise fails the test of that promise.
    """
    suite = suite_of(mutant)
    if mutant is IsNotTested:
        monkeypatch.setattr(type(suite), "test_it_is_a_gateway", lambda self: None, raising=False)

    with pytest.raises(AssertionError):
        getattr(suite, claim)()


@pytest.mark.parametrize("claim", sorted({claim for claim, _ in MUTANTS}))
def test_the_suite_accepts_a_good_broker(claim):
    """
    The same test passes with a broker that keeps the promise.
    """
    getattr(suite_of(PaperBroker), claim)()


def test_every_promise_was_broken_once():
    """
    There is a broken broker for each test of the suite, so none of them has never failed.
    """
    promises = {name for name in dir(BrokerContract) if name.startswith("test_")}

    assert promises == {claim for claim, _ in MUTANTS}


def test_what_a_broker_cannot_do_is_skipped():
    """
    Without a market to feed, or a stream, the tests that need them are skipped, with the capability as cause.
    """

    class Plain(PaperBroker):
        @property
        def info(self):
            return dataclasses.replace(super().info, capabilities=frozenset({Capability.INSTRUMENTS}))

    suite = suite_of(Plain)

    with pytest.raises(pytest.skip.Exception, match="paper is not SIMULATED"):
        suite.test_a_market_order_trades_on_the_next_bar()
    with pytest.raises(pytest.skip.Exception, match="paper is not STREAM"):
        suite.test_its_life_follows_the_published_table()


def test_a_suite_without_a_broker_says_what_is_missing():
    """
    A subclass that does not say how to make its broker is told so, by name.
    """

    class TestNothing(BrokerContract):
        pass

    with pytest.raises(NotImplementedError, match=r"TestNothing must define make_broker"):
        TestNothing().test_it_is_a_gateway()
