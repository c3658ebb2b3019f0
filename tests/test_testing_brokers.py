"""The broker suite finds what is wrong with a broker: at least one broken broker for each of its tests."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import re
import socket
import threading
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import ClassVar

import pytest

from hotplug.brokers import BrokerGateway, IBrokerGateway, RateWindow, SyncBrokerGateway
from hotplug.brokers._settings import OPERATOR
from hotplug.errors import (
    AuthenticationError,
    BrokerError,
    DuplicateClientOrderId,
    GatewayNotReady,
    HotplugError,
    OrderBusy,
    OrderDenied,
    OrderNotFound,
)
from hotplug.market import (
    BrokerEvent,
    Capability,
    Fill,
    Gap,
    GatewayStatus,
    Heartbeat,
    Liquidity,
    Order,
    OrderRef,
    OrderRequest,
    OrderStatus,
    OrderUpdate,
    RateLimit,
    Side,
    Snapshot,
    StatusChange,
)
from hotplug.testing import BrokerContract, Faults
from hotplug.testing._brokers._market import MarketClaims
from hotplug.testing._brokers._sessions import SessionClaims
from hotplug.testing._brokers._story import claim_story
from hotplug_broker_mock import MockBroker, MockVenue
from hotplug_broker_paper import PaperBroker

NAMES = sorted(name for name in dir(BrokerContract) if name.startswith("test_"))
MUTANTS = []
READY, DRAINING = GatewayStatus.READY, GatewayStatus.DRAINING
NOTHING = Snapshot(orders=(), fills=(), positions=(), balances=(), cursor=None)


class VenueFaults(Faults):
    """A hand at a `MockVenue`."""

    def __init__(self, venue):
        self.venue = venue

    def received(self):
        return [str(call.client_order_id) for call in self.venue.calls("place")]

    async def arrivals(self):
        return [call.time.timestamp() for call in self.venue.calls("place")]

    async def delay(self, seconds):
        self.venue.habits.latency = seconds

    def reject_next(self):
        self.venue.on("place", fault="reject")

    def lose_answer(self):
        self.venue.on("place", fault="timeout_after")
        self.venue.on_report("order", lose=True)

    def lose_order(self):
        self.venue.on("place", fault="timeout_before")

    def refuse_connection(self):
        self.venue.on("connect", fault="unavailable")

    def disconnect(self):
        self.venue.disconnect_all()

    def fill(self, client_order_id):
        self.venue.fill(client_order_id)


class Rig(BrokerContract):
    """The whole suite on a `MockVenue`; *kind* makes the broker."""

    accounts = ("A1", "B2")
    short = 0.1
    kind = MockBroker
    stage = None

    def made(self):
        return type(self).kind(
            venue=self.stage, check_interval=0.02, reconnect_delays=(0.01, 0.1), default_deadline=self.soon
        )

    def make_broker(self):
        self.stage = MockVenue()
        return self.made()

    def make_second(self):
        return self.made()

    def make_limited(self):
        broker = self.make_broker()
        broker.rate_windows = (RateWindow("orders", limit=5, window=0.02),)
        return broker

    def faults(self):
        return None if self.stage is None else VenueFaults(self.stage)


class PaperRig(BrokerContract):
    """The suite on a simulated market; *kind* makes the broker."""

    accounts = ("A1", "B2")
    kind = PaperBroker

    def make_broker(self):
        return type(self).kind()


# -- honest ones -------------------------------------------------------------------------------------


class TestMock(Rig):
    """A gateway on the template keeps every promise."""


def passed_on(name):
    """The member *name* of the contract, which asks the gateway within."""
    contract = inspect.getattr_static(IBrokerGateway, name)
    if isinstance(contract, property):
        return property(lambda self: getattr(self.inner, name))

    async def verb(self, *arguments, **named):
        return await getattr(self.inner, name)(*arguments, **named)

    def stream(self, *arguments, **named):
        return getattr(self.inner, name)(*arguments, **named)

    method = verb if inspect.iscoroutinefunction(contract) else stream
    method.__signature__ = inspect.signature(contract)
    return method


class Plain(IBrokerGateway):
    """A gateway that is not built on the template: it passes all calls on to one that is."""

    locals().update({name: passed_on(name) for name in sorted(IBrokerGateway.__abstractmethods__)})

    def __init__(self, **settings):
        object.__setattr__(self, "inner", MockBroker(**settings))

    def __setattr__(self, name, value):
        setattr(self.inner if name == "rate_windows" else super(), name, value)


class Market(Plain):
    """The same, with a market that is simulated."""

    def __init__(self):
        object.__setattr__(self, "inner", PaperBroker())

    async def feed(self, bar, *, account=None):
        return await self.inner.feed(bar, account=account)

    async def open_account(self, account, cash=None):
        await self.inner.open_account(account, cash)


class TestPlain(Rig):
    """A gateway that is no `BrokerGateway` can keep the promises that are everybody's."""

    kind = Plain


@pytest.mark.parametrize("claim", [name for name in vars(MarketClaims) if name.startswith("test_")])
def test_a_simulated_gateway_keeps_the_promises_of_a_market(claim):
    """
    What is claimed of markets holds for a gateway that is simulated, on the template or not.
    """
    for kind in (PaperBroker, Market):
        getattr(type("TestMarket", (PaperRig,), {"kind": kind})(), claim)()


# -- broken ones -------------------------------------------------------------------------------------


def breaks(*claims, says=""):
    """The decorated broker must fail the tests of these *claims*, with a text that *says* so."""

    def note(mutant):
        MUTANTS.extend((f"test_{claim}", mutant, says) for claim in claims)
        return mutant

    return note


def overridden(**methods):
    """A decorator: final methods are replaced when the class is there, and nobody looks any more."""

    def override(kind):
        for name, method in methods.items():
            setattr(kind, name, method)
        return kind

    return override


async def told(stream, change):
    """The events of a stream, changed, or left out where the change is None."""
    async for event in stream:
        if (changed := change(event)) is not None:
            yield changed


# what it is


@breaks("it_is_a_gateway", says="place_order")
class TakesNoDeadline(Plain):
    async def place_order(self, request):
        return await super().place_order(request)


@breaks("it_is_a_gateway", says="get_positions")
class AnswersWithoutAwait(Plain):
    def get_positions(self, *, deadline=None):
        return ()


@breaks("it_is_a_gateway", says="must be a IBrokerGateway")
class IsNoGateway:
    def __init__(self, **settings):
        pass

    async def connect(self, deadline=None):
        return None


@breaks("it_keeps_the_templates_methods", says="place_order is final")
@overridden(place_order=lambda self, request, *, deadline=None: self._place(request))
class PatchesItsTemplate(MockBroker):
    pass


@breaks("it_keeps_the_templates_methods", says="a subclass can override")
class AllowsOverrides(MockBroker):
    def __init_subclass__(cls):
        pass


@breaks("its_hooks_fit_its_template", says="_quote must be a coroutine function")
class HasPlainHooks(MockBroker):
    def _quote(self, symbol):
        return super()._quote(symbol)


@breaks("its_hooks_fit_its_template", says="_place must be a plain function")
class AwaitsInThreads(SyncBrokerGateway):
    broker_type = "mixed"

    def __init__(self, **settings):
        super().__init__()

    async def _place(self, order): ...

    def _connect(self): ...
    def _disconnect(self): ...
    def _cancel(self, order): ...
    def _snapshot(self): ...


@breaks("it_tells_who_it_is_before_it_is_connected", says="info.broker_id must be the broker_id")
class SaysAnotherName(Plain):
    @property
    def broker_id(self):
        return "somebody"


@breaks("it_looks_at_its_own_health", says="must be a HealthReport")
class IsAlwaysFine(Plain):
    async def health(self, *, deadline=None):
        return True


@breaks("what_it_lacks_is_not_supported", says="must raise NotSupported")
class HidesWhatItCan(Plain):
    @property
    def info(self):
        found = super().info
        return dataclasses.replace(found, capabilities=found.capabilities - {Capability.MODIFY})


@breaks("its_money_is_exact", says="total is the float")
class CountsInFloats(Plain):
    async def get_balances(self, *, deadline=None):
        balances = await super().get_balances()
        for each in balances:
            object.__setattr__(each, "total", float(each.total))
        return balances


@breaks("its_money_is_exact", says="times are in UTC")
class HasItsOwnTime(Plain):
    async def get_order(self, ref, *, deadline=None):
        order = await super().get_order(ref)
        object.__setattr__(order, "created_at", order.created_at.replace(tzinfo=None))
        return order


@breaks("it_knows_its_instruments", says="it was asked for TEST")
class KnowsOneInstrument(MockBroker):
    async def _instrument(self, symbol):
        return dataclasses.replace(await super()._instrument(symbol), symbol="IBM")


# how it lives


@breaks("it_connects_as_often_as_it_is_told")
class ConnectsOnce(Plain):
    async def connect(self, deadline=None):
        if self.info.status is not GatewayStatus.CREATED:
            raise GatewayNotReady("I am connected, or was")
        await super().connect(deadline)


@breaks("connecting_at_once_is_connecting_once", says="not READY")
class ThinksItIsConnected(Plain):
    async def connect(self, deadline=None):
        if self.info.status is GatewayStatus.CREATED:
            await super().connect(deadline)


@breaks("its_life_follows_the_published_table", says="and then came from")
class ReadyBeforeItIsSynced(Plain):
    def events(self, after=None):
        return told(super().events(after), self.seen)

    def seen(self, event):
        new = getattr(event.payload, "new", None)
        return None if new is GatewayStatus.SYNCING else event


@breaks("its_life_follows_the_published_table", says="a change is missing")
class ComesUnseen(Plain):
    def events(self, after=None):
        return told(super().events(after), self.seen)

    def seen(self, event):
        new = getattr(event.payload, "new", None)
        return None if new is GatewayStatus.CONNECTING else event


@breaks("a_connect_without_time_fails_cleanly", says="must raise BrokerError")
class HasAllTheTime(Plain):
    async def connect(self, deadline=None):
        await super().connect()


@breaks("a_failed_connect_can_be_tried_again", says="must raise BrokerError")
class SaysItIsConnected(Plain):
    async def connect(self, deadline=None):
        try:
            await super().connect(deadline)
        except BrokerError:
            return


@breaks("a_failed_connect_can_be_tried_again")
class StaysBroken(MockBroker):
    broken = False

    async def _connect(self):
        if self.broken:
            raise AuthenticationError("once bitten, twice shy")
        try:
            await super()._connect()
        except BrokerError:
            self.broken = True
            raise


@breaks("an_accepted_order_is_open_until_it_is_cancelled", says="it hangs")
class NeverSaysGoodbye(MockBroker):
    async def _disconnect(self):
        await super()._disconnect()
        await asyncio.Event().wait()


@breaks("the_venue_has_what_was_ordered", says="the snapshot has 0 of it")
class SeesNothing(MockBroker):
    async def _snapshot(self):
        return dataclasses.replace(await super()._snapshot(), orders=())


@breaks("the_venue_has_what_was_ordered", says="its id is")
class NamesItAnew(MockBroker):
    async def _place(self, order):
        return await super()._place(dataclasses.replace(order, client_order_id="mine"))


@breaks("disconnecting_awaits_what_is_in_flight", says="disconnect() did not wait")
class LeavesAtOnce(Plain):
    async def disconnect(self, drain=True, *, deadline=None):
        await super().disconnect(False, deadline=deadline)


@breaks("disconnecting_awaits_what_is_in_flight", says="it stands at the venue")
class DisownsWhatItSent(Plain):
    async def place_order(self, request, *, deadline=None):
        ack = await super().place_order(request, deadline=deadline)
        if self.info.status is GatewayStatus.DRAINING:
            raise GatewayNotReady("I am leaving")
        return ack


@breaks("open_orders_stay_at_the_venue", says="it was NEW, and is CANCELED")
class CleansUp(Plain):
    async def disconnect(self, drain=True, *, deadline=None):
        if self.info.status is GatewayStatus.READY:
            await self.cancel_all()
        await super().disconnect(drain, deadline=deadline)


@breaks("nothing_is_left_behind", says="nobody's")
class LeaksATask(MockBroker):
    async def _connect(self):
        await super()._connect()
        self.task = asyncio.create_task(asyncio.Event().wait(), name="nobody's")


@breaks("nothing_is_left_behind", says="thread nobody's")
class LeaksAThread(MockBroker):
    over = threading.Event()

    async def _connect(self):
        await super()._connect()
        threading.Thread(target=self.over.wait, name="nobody's").start()


@breaks("nothing_is_left_behind", says="socket ")
class LeaksASocket(MockBroker):
    sockets: ClassVar = []

    async def _connect(self):
        await super()._connect()
        self.sockets.append(socket.socket())


@breaks("nothing_is_left_behind", says="was never awaited")
class ForgetsToAwait(MockBroker):
    async def _disconnect(self):
        super()._disconnect()


@breaks("nothing_is_left_behind", says="unclosed")
class DropsASocket(MockBroker):
    async def _connect(self):
        await super()._connect()
        socket.socket()


@breaks("it_keeps_nobody_waiting", says="nothing else ran")
class BlocksTheLoop(MockBroker):
    async def _place(self, order):
        time.sleep(2 * Hasty.longest_pause)  # noqa: ASYNC251 - that is what is wrong with it
        return await super()._place(order)


# orders


@breaks("it_takes_no_orders_before_it_is_connected", says="not UNKNOWN")
class KeepsOrdersForLater(Plain):
    async def place_order(self, request, *, deadline=None):
        if self.info.status is not GatewayStatus.READY:
            raise GatewayNotReady("later, perhaps", outcome="UNKNOWN")
        return await super().place_order(request, deadline=deadline)


@breaks("it_takes_nothing_but_order_requests", says="placing a dict")
class GuessesOrders(Plain):
    async def place_order(self, request, *, deadline=None):
        if isinstance(request, dict):
            request = OrderRequest(**request | {"qty": Decimal(request["qty"]), "side": Side.BUY})
        return await super().place_order(request, deadline=deadline)


@breaks("a_senseless_order_is_refused_for_certain", says="must raise BrokerError")
class MakesSenseOfIt(Plain):
    async def place_order(self, request, *, deadline=None):
        if request.qty < 0:
            request = dataclasses.replace(request, qty=-request.qty)
        return await super().place_order(request, deadline=deadline)


@breaks("what_is_off_its_steps_is_denied_here", says="must raise OrderDenied")
class RoundsForYou(Plain):
    async def place_order(self, request, *, deadline=None):
        found = await self.get_instrument(request.symbol)
        whole = {"qty": request.qty // found.lot_size * found.lot_size}
        if request.price is not None:
            whole["price"] = request.price // found.tick_size * found.tick_size
        return await super().place_order(dataclasses.replace(request, **whole), deadline=deadline)


@breaks("what_is_off_its_steps_is_denied_here", says="must raise OrderDenied")
class LetsTheVenueSay(Plain):
    async def place_order(self, request, *, deadline=None):
        try:
            return await super().place_order(request, deadline=deadline)
        except OrderDenied as error:
            raise BrokerError("the venue minds", outcome="REJECTED") from error


@breaks("an_accepted_order_is_open_until_it_is_cancelled", says="must be among the open ones")
class ForgetsOpenOrders(Plain):
    async def get_open_orders(self, *, deadline=None):
        return ()


@breaks("an_accepted_order_is_open_until_it_is_cancelled", says="must not be open")
class OnlySaysCancelled(Plain):
    async def cancel_order(self, ref, *, deadline=None):
        return dataclasses.replace(await self.get_order(ref), status=OrderStatus.CANCELED)


@breaks("an_accepted_order_is_open_until_it_is_cancelled", says="asked for")
class OrdersMore(Plain):
    async def place_order(self, request, *, deadline=None):
        return await super().place_order(dataclasses.replace(request, qty=request.qty + 1), deadline=deadline)


@breaks("an_ack_means_that_the_venue_has_it", says="0 times, not once")
class AcknowledgesFirst(MockBroker):
    async def _place(self, order):
        self.later = asyncio.create_task(self.send(order))

    async def send(self, order):
        for _ in range(20):
            await asyncio.sleep(0)
        await super()._place(order)


@breaks("a_cancelled_order_is_gone_at_the_venue", says="is open at the venue")
class LosesCancels(MockBroker):
    async def _cancel(self, order):
        self.report(OrderUpdate(client_order_id=order.client_order_id, status=OrderStatus.CANCELED))


@breaks("orders_at_once_do_not_mix", says="acks of others")
class MixesAcks(Plain):
    async def place_order(self, request, *, deadline=None):
        ack, self.last = await super().place_order(request, deadline=deadline), getattr(self, "last", None)
        self.last, ack = ack, self.last or ack
        return ack

    def __setattr__(self, name, value):
        object.__setattr__(self, name, value)


@breaks("orders_at_once_do_not_mix", says="two orders have one id")
class HasOneIdForAll(Plain):
    async def place_order(self, request, *, deadline=None):
        return dataclasses.replace(await super().place_order(request, deadline=deadline), order_id="1")


@breaks("an_unknown_order_is_not_found", says="must raise OrderNotFound")
class FindsNothing(Plain):
    async def get_order(self, ref, *, deadline=None):
        try:
            return await super().get_order(ref)
        except OrderNotFound:
            return None


@breaks("all_open_orders_can_be_cancelled_at_once", says="one result per order")
class TellsNoResults(Plain):
    async def cancel_all(self, *arguments, deadline=None):
        await super().cancel_all(*arguments)
        return ()


@breaks("all_open_orders_can_be_cancelled_at_once", says="nothing may be open")
class CancelsHalf(Plain):
    async def cancel_all(self, *arguments, deadline=None):
        results = await self.get_open_orders()
        await self.cancel_order(results[0].ref)
        return results


@breaks("a_cancel_before_the_ack_is_remembered", says="its cancel returned")
class IgnoresEarlyCancels(Plain):
    async def cancel_order(self, ref, *, deadline=None):
        order = await self.get_order(ref)
        return order if order.order_id is None else await super().cancel_order(ref, deadline=deadline)


class Censored(MockBroker):
    """What its venue says is changed on the way."""

    async def _connect(self):
        self._session = await self.venue.connect(self.hear)

    def hear(self, said):
        raise NotImplementedError


@breaks("what_the_venue_fills_is_told", says="is not FILLED")
class SwallowsFills(Censored):
    def hear(self, said):
        if not isinstance(said, Fill) and getattr(said, "status", None) is not OrderStatus.FILLED:
            self.report(said)


@breaks("what_the_venue_fills_is_told", says="filled in whole")
class CountsFillsTwice(Censored):
    def hear(self, said):
        self.report(said)
        if isinstance(said, Fill):
            self.report(dataclasses.replace(said, trade_id=f"{said.trade_id} again"))


@breaks("what_traded_meanwhile_is_told_when_it_is_back", says="do not add up")
class ForgetsWhatItMissed(MockBroker):
    async def _snapshot(self):
        return dataclasses.replace(await super()._snapshot(), fills=())


# one id, one order


@breaks("the_same_request_is_one_order", says="the same ack")
class SendsItAgain(Plain):
    async def place_order(self, request, *, deadline=None):
        number = len(await self.get_open_orders())
        unheard = dataclasses.replace(request, client_order_id=f"{request.client_order_id[:30]}{number}")
        ack = await super().place_order(unheard, deadline=deadline)
        return dataclasses.replace(ack, client_order_id=request.client_order_id)


@breaks("the_same_request_is_one_order", says="2 times, not once")
@breaks("the_venue_has_what_was_ordered", says="the snapshot has 2 of it")
class SendsEachTwice(MockBroker):
    async def _place(self, order):
        await super()._place(order)
        return await super()._place(order)


@breaks("the_same_request_at_once_is_one_order", says="all get the same ack")
class DoesNotJoin(Plain):
    def __init__(self, **settings):
        super().__init__(**settings)
        object.__setattr__(self, "flying", [])

    async def place_order(self, request, *, deadline=None):
        self.flying.append(request.client_order_id)
        turn = self.flying.count(request.client_order_id)
        if turn > 1:
            request = dataclasses.replace(request, client_order_id=f"{request.client_order_id[:30]}{turn}")
        try:
            return await super().place_order(request, deadline=deadline)
        finally:
            self.flying.clear()


@breaks("an_ended_orders_id_is_still_its_own", says="the same ack")
class ReusesIds(Plain):
    async def place_order(self, request, *, deadline=None):
        try:
            order = await self.get_order(OrderRef(client_order_id=request.client_order_id))
        except OrderNotFound:
            order = None
        if order is not None and order.status.terminal:
            request = dataclasses.replace(request, client_order_id=f"{request.client_order_id[:30]}-2")
        return await super().place_order(request, deadline=deadline)


@breaks("a_used_id_is_refused_for_another_order", says="must raise DuplicateClientOrderId")
class TakesTheFirst(Plain):
    async def place_order(self, request, *, deadline=None):
        try:
            return await super().place_order(request, deadline=deadline)
        except DuplicateClientOrderId:
            return None


@breaks("what_was_not_sent_leaves_its_id_free")
class NeverForgetsAnId(Plain):
    def __init__(self, **settings):
        super().__init__(**settings)
        object.__setattr__(self, "seen", {})

    async def place_order(self, request, *, deadline=None):
        if self.seen.setdefault(request.client_order_id, request) != request:
            raise DuplicateClientOrderId("I have heard that one before", outcome="NOT_SENT")
        return await super().place_order(request, deadline=deadline)


@breaks("a_rejected_order_keeps_its_error", says="must raise BrokerError")
class TriesItsLuckAgain(Plain):
    async def place_order(self, request, *, deadline=None):
        try:
            return await super().place_order(request, deadline=deadline)
        except BrokerError as error:
            if error.outcome != "REJECTED":
                raise
            again = dataclasses.replace(request, client_order_id=f"{request.client_order_id[:30]}-2")
            return await super().place_order(again, deadline=deadline)


@breaks("a_rejected_order_keeps_its_error", says="the same error again")
class ForgetsWhy(Plain):
    def __init__(self, **settings):
        super().__init__(**settings)
        object.__setattr__(self, "errors", set())

    async def place_order(self, request, *, deadline=None):
        try:
            return await super().place_order(request, deadline=deadline)
        except BrokerError as error:
            if request.client_order_id in self.errors:
                raise BrokerError("no, again", outcome="REJECTED") from error
            self.errors.add(request.client_order_id)
            raise


@breaks("an_order_in_doubt_is_never_sent_again", says="2 times, not once")
class RetriesAPlace(MockBroker):
    async def _place(self, order):
        try:
            async with asyncio.timeout(0.01):
                return await super()._place(order)
        except TimeoutError:
            return await super()._place(order)


@breaks("an_order_in_doubt_counts_as_open", says="must count as open")
class ForgetsDoubts(Plain):
    async def get_open_orders(self, *, deadline=None):
        found = await super().get_open_orders()
        return tuple(order for order in found if order.status is not OrderStatus.UNKNOWN)


@breaks("a_doubt_is_cleared", "an_order_in_doubt_is_never_sent_again", says="never finds out")
class NeverLooksAgain(MockBroker):
    async def _query(self, ref):
        raise OrderNotFound("I do not look")


@breaks("an_order_that_got_lost_is_not_made_up", says="must raise BrokerError")
class MakesOrdersUp(MockBroker):
    async def _place(self, order):
        try:
            async with asyncio.timeout(0.01):
                return await super()._place(order)
        except TimeoutError:
            return "it will be fine"


@breaks("an_order_that_got_lost_is_not_made_up", says="it was sent again")
class SendsWhatGotLost(MockBroker):
    def __init__(self, **settings):
        super().__init__(**settings)
        self.unanswered = []

    async def _connect(self):
        await super()._connect()
        for order in self.unanswered:
            await super()._place(order)

    async def _place(self, order):
        self.unanswered.append(order)
        answer = await super()._place(order)
        self.unanswered.remove(order)
        return answer


# changes


@breaks("a_change_is_made_in_place", says="it must be")
class CancelsAndReplaces(Plain):
    async def modify_order(self, ref, change, *, deadline=None):
        old = await self.cancel_order(ref)
        new = {name: getattr(old, name) for name in ("symbol", "side", "type", "tif")}
        ack = await self.place_order(OrderRequest(**new, qty=change.qty, price=change.price))
        return await self.get_order(OrderRef(client_order_id=ack.client_order_id))


@breaks("a_change_is_made_at_the_venue", says="at the venue the prices are")
class OnlySaysChanged(MockBroker):
    async def _modify(self, order, change):
        return order.order_id


@breaks("what_cannot_be_changed_is_refused", says="must raise BrokerError")
class ChangesAnything(Plain):
    async def modify_order(self, ref, change, *, deadline=None):
        try:
            return await super().modify_order(ref, change)
        except OrderNotFound:
            raise
        except BrokerError:
            return await self.get_order(ref)


@breaks("changes_at_once_are_made_one_by_one", says="changes made version")
class DropsChanges(Plain):
    async def modify_order(self, ref, change, *, deadline=None):
        try:
            return await super().modify_order(ref, change)
        except OrderBusy:
            return await self.get_order(ref)


# lines, callers, time and room


@breaks("it_finds_its_line_again", says="the stream tells nothing")
class NeverComesBack(MockBroker):
    connects = 0

    async def _connect(self):
        self.connects += 1
        if self.connects > 1:
            raise AuthenticationError("who are you?")
        await super()._connect()


@breaks("nothing_is_sent_again_when_the_line_breaks", says="2 times, not once")
class ResendsWhenItIsBack(MockBroker):
    def __init__(self, **settings):
        super().__init__(**settings)
        self.sent = []

    async def _connect(self):
        await super()._connect()
        for order in self.sent:
            await super()._place(order)

    async def _place(self, order):
        self.sent.append(order)
        return await super()._place(order)


@breaks("who_gives_up_does_not_undo_the_order", says="there must be one order")
class UndoesWhatIsGivenUp(Plain):
    async def place_order(self, request, *, deadline=None):
        try:
            return await super().place_order(request, deadline=deadline)
        except asyncio.CancelledError:
            await self.cancel_order(OrderRef(client_order_id=request.client_order_id))
            raise


@breaks("fifty_who_give_up_leave_no_mess", says="tasks are left")
class LeaksATaskPerCall(Plain):
    tasks: ClassVar = []

    async def place_order(self, request, *, deadline=None):
        self.tasks.append(asyncio.create_task(asyncio.Event().wait()))
        return await super().place_order(request, deadline=deadline)


@breaks("fifty_who_give_up_leave_no_mess", says="must be a BrokerError")
class StumblesOverItsFeet(Plain):
    async def place_order(self, request, *, deadline=None):
        if self.tired:
            raise KeyError(request.client_order_id)
        object.__setattr__(self, "tired", True)
        return await super().place_order(request, deadline=deadline)

    tired = False


@breaks("calls_may_come_from_any_loop", says="attached to a different loop")
class StaysOnItsLoop(Plain):
    async def connect(self, deadline=None):
        await super().connect(deadline)
        object.__setattr__(self, "lock", asyncio.Lock())
        await self.lock.acquire()
        asyncio.get_running_loop().call_later(0.05, self.lock.release)
        async with self.lock:
            pass

    async def get_positions(self, *, deadline=None):
        if asyncio.get_running_loop() is not self.lock._loop:
            raise RuntimeError("it is attached to a different loop")
        return await super().get_positions()


@breaks("a_deadline_is_told_truthfully", says="and NOT_SENT told")
class SaysItWasNotSent(Plain):
    async def place_order(self, request, *, deadline=None):
        try:
            return await super().place_order(request, deadline=deadline)
        except BrokerError as error:
            raise type(error)(error.message, outcome="NOT_SENT") from error


@breaks("a_deadline_is_told_truthfully", says="the venue refuses nothing here")
class SaysItWasRejected(Plain):
    async def place_order(self, request, *, deadline=None):
        try:
            return await super().place_order(request, deadline=deadline)
        except BrokerError as error:
            raise type(error)(error.message, outcome="REJECTED") from error


@breaks("it_keeps_within_its_windows", says="are allowed")
class SaysItHasLimits(Plain):
    @property
    def rate_windows(self):
        return ()

    def __setattr__(self, name, value):
        pass

    async def rate_limits(self, *, deadline=None):
        return (RateLimit(name="orders", scope="key", limit=5, window=0.1, used=0, remaining=5),)


@breaks("it_keeps_within_its_windows", says="must be a RateLimited")
class HasNoRoomAndNoWord(Plain):
    async def place_order(self, request, *, deadline=None):
        if self.info.rate_limit_usage > 0.5:
            raise BrokerError("the venue is busy", outcome="REJECTED")
        return await super().place_order(request, deadline=deadline)


@breaks("cancels_keep_their_share", says="the cancel had to wait")
class ServesInOrder(Plain):
    def __init__(self, **settings):
        super().__init__(**settings)
        object.__setattr__(self, "flying", set())

    async def place_order(self, request, *, deadline=None):
        call = asyncio.ensure_future(super().place_order(request, deadline=deadline))
        self.flying.add(call)
        return await call

    async def cancel_order(self, ref, *, deadline=None):
        await asyncio.wait(self.flying)
        return await super().cancel_order(ref, deadline=deadline)


# streams


@breaks("events_tell_the_life_of_an_order", says="a cursor of its own")
class NumbersNothing(Plain):
    def events(self, after=None):
        return told(super().events(after), lambda event: dataclasses.replace(event, cursor="now"))


@breaks("events_tell_the_life_of_an_order", says="NEW on the way")
class TellsTheEndOnly(Plain):
    def events(self, after=None):
        return told(super().events(after), self.seen)

    def seen(self, event):
        return None if getattr(event.payload, "status", None) is OrderStatus.NEW else event


@breaks("events_tell_the_life_of_an_order", says="cannot become")
class RewritesHistory(Plain):
    def events(self, after=None):
        return told(super().events(after), self.seen)

    def seen(self, event):
        if getattr(event.payload, "status", None) is OrderStatus.PENDING_CANCEL:
            return dataclasses.replace(event, payload=as_new(event.payload, OrderStatus.PENDING_NEW))
        return event


def as_new(order, status):
    return dataclasses.replace(order, status=status)


@breaks("events_tell_the_life_of_an_order", says="the stream ended too early")
class EndsEarly(Plain):
    async def events(self, after=None):
        for event in ():
            yield event


@breaks("events_tell_the_life_of_an_order", says="must begin with the call of events()")
class ListensLate(Plain):
    async def events(self, after=None):
        async for event in super().events(after):
            yield event


@breaks("events_tell_the_life_of_an_order", says="its events say")
class IsOfAnotherGeneration(Plain):
    def events(self, after=None):
        return told(super().events(after), lambda event: dataclasses.replace(event, generation=7))


@breaks("events_tell_the_life_of_an_order", says="do not make the whole")
class CannotSubtract(Plain):
    def events(self, after=None):
        return told(super().events(after), self.seen)

    def seen(self, event):
        if not isinstance(event.payload, Order):
            return event
        return dataclasses.replace(event, payload=dataclasses.replace(event.payload, leaves_qty=Decimal(1)))


@breaks("a_stream_goes_on_after_a_cursor", says="came")
class BeginsAnew(Plain):
    def events(self, after=None):
        return super().events(None if after is None else f"{after.partition(':')[0]}:0")


@breaks("a_stream_goes_on_across_a_reconnect", says="nothing was lost")
class ResetsItsCursors(Plain):
    connects = 0

    async def connect(self, deadline=None):
        type(self).connects += 1
        await super().connect(deadline)

    def events(self, after=None):
        return super().events(None if after is None else "another-epoch:1")


@breaks("a_lost_cursor_gives_a_gap_and_a_snapshot", says="the stream tells nothing")
class HidesTheGap(Plain):
    def events(self, after=None):
        return super().events()


@breaks("a_lost_cursor_gives_a_gap_and_a_snapshot", says="after the snapshot come events")
class TellsTheGapTwice(Plain):
    async def events(self, after=None):
        async for event in super().events(after):
            yield event
            if isinstance(event.payload, Snapshot):
                yield dataclasses.replace(event, cursor="x", payload=Gap(after=None, before="x"))


@breaks("all_readers_hear_the_same", says="they heard different things")
class ServesOneReader(Plain):
    def __init__(self, **settings):
        super().__init__(**settings)
        object.__setattr__(self, "readers", [])

    def events(self, after=None):
        self.readers.append(None)
        first = len(self.readers) < 3
        return told(super().events(after), lambda event: event if first or self.last(event) else None)

    def last(self, event):
        return getattr(getattr(event.payload, "status", None), "terminal", False)


def forgiving(self, after=None):
    async def read(stream):
        while self.status is not GatewayStatus.DISCONNECTED:
            async for event in stream:
                yield event
            stream = BrokerGateway.events(self)

    return read(BrokerGateway.events(self, after))


@breaks("a_reader_that_is_too_slow_is_ended", says="must be ended")
@overridden(events=forgiving)
class DropsInSilence(MockBroker):
    pass


@breaks("a_stream_can_be_left", says="the stream ended too early")
class EndsAllStreams(Plain):
    def __init__(self, **settings):
        super().__init__(**settings)
        object.__setattr__(self, "left", [])

    def events(self, after=None):
        return self.until_somebody_leaves(super().events(after))

    async def until_somebody_leaves(self, stream):
        try:
            async for event in stream:
                if self.left:
                    return
                yield event
        finally:
            self.left.append(None)


# two gateways, two users


@breaks("a_second_gateway_finds_every_open_order", says="when it was READY it knew")
class LooksLater(MockBroker):
    async def _snapshot(self):
        return NOTHING


@breaks("what_others_placed_is_left_alone", says="cancel_all() is for our own orders")
class CancelsEverybodys(Plain):
    async def cancel_all(self, *scope, deadline=None):
        results = [await self.cancel_order(order.ref) for order in await self.get_open_orders()]
        return tuple(results)


@breaks("a_next_generation_takes_over", says="1, then 1")
@overridden(attach=lambda self, book, home=None: None)
class KeepsABookOfItsOwn(MockBroker):
    pass


@breaks("a_user_sees_only_what_is_his")
@breaks("a_user_touches_only_what_is_his", says="must raise OrderNotFound")
class SharesOrders(Plain):
    async def get_order(self, ref, *, deadline=None):
        return dataclasses.replace(await super().get_order(ref), account="B2")

    async def get_open_orders(self, *, deadline=None):
        found = await super().get_open_orders()
        return tuple(dataclasses.replace(each, account="B2") for each in found)


def place_on_one(self, seat, request, deadline=None):
    return BrokerGateway.place_for(self, OPERATOR, dataclasses.replace(request, account="A1"), deadline)


@breaks("users_may_use_the_same_id")
@overridden(place_for=place_on_one)
class HasOneAccount(MockBroker):
    pass


@breaks("a_user_hears_only_what_is_his", says="was shown")
@overridden(events_for=lambda self, seat, after=None: BrokerGateway.events_for(self, OPERATOR, after))
class TellsEverybody(MockBroker):
    pass


# the market


@breaks("a_market_order_trades_on_the_next_bar", says="past")
class TradesInThePast(Market):
    async def place_order(self, request, *, deadline=None):
        ack = await super().place_order(request, deadline=deadline)
        await self.feed(self.last)
        return ack

    async def feed(self, bar, *, account=None):
        object.__setattr__(self, "last", dataclasses.replace(bar, time=bar.time.replace(hour=1)))
        return await super().feed(bar, account=account)


@breaks("a_market_order_trades_on_the_next_bar", says="not on the bar")
class TradesElsewhere(Market):
    async def feed(self, bar, *, account=None):
        return await super().feed(
            dataclasses.replace(bar, open=bar.high + 5, high=bar.high + 5), account=account
        )


@breaks("positions_are_what_was_traded", says="snapshot and get_positions() differ")
class LosesPositions(Market):
    async def snapshot(self, *, deadline=None):
        return dataclasses.replace(await super().snapshot(), positions=())


@breaks("positions_are_what_was_traded", says="but traded")
class CountsTwice(Market):
    async def get_positions(self, *, deadline=None):
        return tuple(dataclasses.replace(each, qty=each.qty * 2) for each in await super().get_positions())

    async def snapshot(self, *, deadline=None):
        return dataclasses.replace(await super().snapshot(), positions=await self.get_positions())


@breaks("no_money_is_made_or_lost_on_the_way", says="the trades cost")
class RoundsTwice(Market):
    async def get_balances(self, *, deadline=None):
        spent = Decimal("0.01") * len(await self.get_fills())
        return tuple(
            dataclasses.replace(each, total=each.total - spent) for each in await super().get_balances()
        )


@breaks("no_inherited_test_was_replaced", says="override tests of a suite")
class IsNotTested(MockBroker):
    """Nothing is wrong with it, but with its suite."""


# -- the suite finds them ----------------------------------------------------------------------------


class Hasty:
    """As impatient as will do for what is broken anyhow."""

    soon = 0.4
    short = 0.1
    time_limit = 2.0
    longest_pause = 0.05


def suite_of(mutant):
    base = PaperRig if issubclass(mutant, Market) else Rig
    return type(f"Test{mutant.__name__}", (Hasty, base), {"kind": mutant})()


@pytest.fixture
def nothing_left():
    """What the leaking ones leave behind is put away."""
    yield
    LeaksAThread.over.set()
    for thread in threading.enumerate():
        if thread.name == "nobody's":
            thread.join()
    LeaksAThread.over.clear()
    while LeaksASocket.sockets:
        LeaksASocket.sockets.pop().close()
    LeaksATaskPerCall.tasks.clear()


@pytest.mark.parametrize(
    ("claim", "mutant", "says"),
    MUTANTS,
    ids=[f"{mutant.__name__}-{claim[5:]}" for claim, mutant, _ in MUTANTS],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_suite_finds_it(claim, mutant, says, monkeypatch, nothing_left):
    """
    A broker that breaks a promise fails the test of that promise, with a text that says how.
    """
    suite = suite_of(mutant)
    if mutant is IsNotTested:
        monkeypatch.setattr(type(suite), "test_it_is_a_gateway", lambda self: None, raising=False)

    with pytest.raises((AssertionError, HotplugError, RuntimeError), match=re.escape(says) or None):
        getattr(suite, claim)()


def test_every_promise_was_broken_once():
    """
    There is a broken broker for each test of the suite, so none of them has never failed.
    """
    assert set(NAMES) == {claim for claim, _, _ in MUTANTS}


# -- stories -----------------------------------------------------------------------------------------


def tell(*payloads, generation=1):
    """Events of *payloads*, each with a cursor of its own."""
    now = datetime.now(UTC)
    return [
        BrokerEvent(cursor=f"e:{number}", time=now, generation=generation, payload=payload)
        for number, payload in enumerate(payloads)
    ]


def order(status=OrderStatus.NEW, **more):
    return Order(symbol="X", side=Side.BUY, qty=Decimal(4), client_order_id="1", status=status, **more)


def with_price(price):
    """An order that got its price past its own checks."""
    made = order()
    object.__setattr__(made, "price", price)
    return made


FILL = Fill(
    trade_id="t",
    order_id=None,
    client_order_id="1",
    account="A",
    symbol="X",
    side=Side.BUY,
    qty=Decimal(1),
    price=Decimal(1),
    fee=Decimal(0),
    fee_currency="USD",
    liquidity=Liquidity.TAKER,
    time=datetime.now(UTC),
)


def test_a_good_story_is_believed():
    """
    Heartbeats repeat a cursor, a snapshot begins anew, and an id that was denied may be used again.
    """
    denied = order(OrderStatus.DENIED)
    story = tell(order(OrderStatus.PENDING_NEW), denied, order(OrderStatus.PENDING_NEW), order(), NOTHING)
    beat = dataclasses.replace(story[-1], payload=Heartbeat())

    claim_story([*story, beat, beat])
    claim_story(tell(order(version=2), NOTHING, order(version=1), FILL))


@pytest.mark.parametrize(
    ("payloads", "says"),
    [
        ((FILL, FILL), "was told twice"),
        ((order(), order(OrderStatus.PENDING_NEW)), "NEW cannot become PENDING_NEW"),
        ((order(version=2), order(version=1)), "its version went back"),
        ((order(filled_qty=Decimal(2)), order(filled_qty=Decimal(1))), "shrank"),
        ((order(leaves_qty=Decimal(3)),), "do not make the whole"),
        ((order(OrderStatus.FILLED), order(OrderStatus.CANCELED)), "FILLED cannot become CANCELED"),
        ((StatusChange(old=GatewayStatus.CREATED, new=GatewayStatus.READY),), "CREATED cannot become READY"),
        ((with_price(Decimal("NaN")),), "that is no amount"),
    ],
)
def test_a_story_that_does_not_fit_is_not_believed(payloads, says):
    """
    What contradicts what was told before fails, with a text that says how.
    """
    with pytest.raises(AssertionError, match=re.escape(says)):
        claim_story(tell(*payloads))


def test_what_an_older_generation_did_cannot_come_after():
    """
    Orders and fills of a generation do not follow those of a newer one; how it ends may.
    """
    new, old = tell(order(), generation=2), tell(StatusChange(old=READY, new=DRAINING), order())
    old = [dataclasses.replace(event, cursor=f"o{event.cursor}") for event in old]

    claim_story([*new, old[0]])
    with pytest.raises(AssertionError, match="generation 1 came after generation 2"):
        claim_story([*new, *old])


# -- what is skipped, and why ------------------------------------------------------------------------


class Bare(Plain):
    """A gateway that can do nothing but place and cancel, without the template."""

    @property
    def info(self):
        return dataclasses.replace(super().info, capabilities=frozenset())


class BareRig(BrokerContract):
    """And without anything that its author might give."""

    def make_broker(self):
        return Bare(venue=MockVenue())


SKIPPED = {
    "needs faults() with disconnect": "it_finds_its_line_again",
    "needs faults() with reject_next, received": "a_rejected_order_keeps_its_error",
    "needs make_second()": "a_second_gateway_finds_every_open_order",
    "needs accounts": "a_user_sees_only_what_is_his",
    "mock declares no rate window: see make_limited()": "it_keeps_within_its_windows",
    "mock is not STREAM": "events_tell_the_life_of_an_order",
    "mock is not MODIFY": "a_change_is_made_in_place",
    "mock is not INSTRUMENTS": "what_is_off_its_steps_is_denied_here",
    "mock is not SIMULATED": "a_market_order_trades_on_the_next_bar",
    "mock is not built on BrokerGateway": "it_keeps_the_templates_methods",
}


@pytest.mark.parametrize("why", SKIPPED)
def test_what_cannot_be_tested_is_skipped_and_says_why(why):
    """
    A claim that lacks a capability, the template, or something that its author may give, says which.
    """
    with pytest.raises(pytest.skip.Exception, match=re.escape(why)):
        getattr(BareRig(), f"test_{SKIPPED[why]}")()


def test_a_window_that_no_test_can_fill_is_skipped():
    """
    A broker with nothing but large windows is told how to be tested for them.
    """

    class Large(Rig):
        def make_limited(self):
            broker = self.make_broker()
            broker.rate_windows = (RateWindow("orders", limit=1200, window=60.0),)
            return broker

    with pytest.raises(pytest.skip.Exception, match="has windows that no test can fill"):
        Large().test_it_keeps_within_its_windows()


def test_a_window_of_one_keeps_no_share():
    """
    Of a limit of one call, nothing can be kept for cancels, so nothing is claimed.
    """

    class Narrow(Rig):
        def make_limited(self):
            broker = self.make_broker()
            broker.rate_windows = (RateWindow("orders", limit=1, window=0.1),)
            return broker

    with pytest.raises(pytest.skip.Exception, match="nothing can be kept"):
        Narrow().test_cancels_keep_their_share()


def test_a_gateway_that_bears_one_session_hands_over_one_after_the_other():
    """
    Where two sessions at once cannot be, the first ends before the second begins, and all claims hold.
    """

    class Single(Rig):
        def made(self):
            broker = super().made()
            broker.concurrent_sessions = False
            return broker

    for claim in (name for name in vars(SessionClaims) if name.startswith("test_")):
        getattr(Single(), claim)()


def test_a_gateway_that_can_do_little_keeps_its_promises():
    """
    Without any capability, what is lacking is not supported, and the rest holds.
    """

    class Little(Rig):
        def made(self):
            broker = super().made()
            broker.capabilities = frozenset()
            return broker

    for claim in ("what_it_lacks_is_not_supported", "a_user_touches_only_what_is_his"):
        getattr(Little(), f"test_{claim}")()


def test_a_venue_need_not_have_ids_of_its_own():
    """
    An ack without the venue's id is as good.
    """

    class Nameless(Plain):
        async def place_order(self, request, *, deadline=None):
            return dataclasses.replace(await super().place_order(request, deadline=deadline), order_id=None)

    suite_of(Nameless).test_an_accepted_order_is_open_until_it_is_cancelled()


def test_where_there_is_no_room_in_time_that_may_be_said():
    """
    Orders that a window has no room for within their deadline may be refused as `RateLimited`, NOT_SENT.
    """

    class Brief(Rig):
        soon = 0.5

        def make_limited(self):
            broker = self.make_broker()
            orders = RateWindow("orders", limit=4, window=2.0, weights={"place": 1})
            broker.rate_windows = (orders, RateWindow("all", limit=1200, window=60.0))
            return broker

    Brief().test_it_keeps_within_its_windows()


def test_a_venue_that_cannot_be_slowed_is_tested_as_it_is():
    """
    Where `faults()` has no ``delay``, the claims that it makes harder are made all the same.
    """

    class Eyes(Faults):
        def __init__(self, venue):
            self.venue = venue

        received = VenueFaults.received

    class Swift(Rig):
        def faults(self):
            return Eyes(self.stage)

    for claim in (
        "connecting_at_once_is_connecting_once",
        "disconnecting_awaits_what_is_in_flight",
        "an_ack_means_that_the_venue_has_it",
        "the_same_request_at_once_is_one_order",
        "who_gives_up_does_not_undo_the_order",
        "a_deadline_is_told_truthfully",
        "it_keeps_within_its_windows",
        "what_is_off_its_steps_is_denied_here",
    ):
        getattr(Swift(), f"test_{claim}")()


def test_what_the_venue_saw_need_not_be_seen():
    """
    Where nobody can look at the venue, its broker's own word is what is tested.
    """

    class Blind(Rig):
        def faults(self):
            return None

    for claim in ("what_is_off_its_steps_is_denied_here", "the_same_request_is_one_order"):
        getattr(Blind(), f"test_{claim}")()


@pytest.mark.parametrize("fault", [name for name in vars(Faults) if not name.startswith("_")])
def test_what_faults_do_not_offer_cannot_be_had(fault):
    """
    A method of `Faults` that its author left out raises, rather than doing nothing in silence.
    """
    arguments = {"delay": (1.0,), "fill": ("id",)}.get(fault, ())

    with pytest.raises(NotImplementedError):
        getattr(Faults(), fault)(*arguments)


def test_a_suite_without_a_broker_says_what_is_missing():
    """
    A subclass that does not say how to make its broker is told so, by name.
    """

    class TestNothing(BrokerContract):
        pass

    with pytest.raises(NotImplementedError, match=r"TestNothing must define make_broker"):
        TestNothing().test_it_is_a_gateway()


async def failing():
    raise AssertionError("not so")


def test_each_test_runs_in_a_world_of_its_own():
    """
    ``world()`` is entered before the broker is made, and left after the test, however it went.
    """

    class Staged(Rig):
        def __init__(self):
            self.story = []

        @asynccontextmanager
        async def world(self):
            self.story.append("enter")
            try:
                yield
            finally:
                self.story.append("leave")

        def make_broker(self):
            self.story.append("make")
            return super().make_broker()

    suite = Staged()
    suite.test_it_looks_at_its_own_health()
    with pytest.raises(AssertionError, match="not so"):
        suite.run(failing())

    assert suite.story == ["enter", "make", "leave", "enter", "leave"]


def test_the_claims_do_not_get_in_each_others_way():
    """
    No two parts of the suite give one name to different things.
    """
    parts = [
        part for part in BrokerContract.__mro__ if part.__module__.startswith("hotplug.testing._brokers")
    ]
    names = [name for part in parts if part not in (BrokerContract,) for name in vars(part)]
    own = [name for name in names if not name.startswith("__")]

    assert len(own) == len(set(own))
