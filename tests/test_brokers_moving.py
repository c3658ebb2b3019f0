"""The state of a gateway goes over to the next one, and with it what the old one is asked for."""

from __future__ import annotations

import asyncio
import threading

import pytest

from hotplug.brokers import ReplacePolicy, SyncBrokerGateway
from hotplug.brokers._orders._book import Book
from hotplug.brokers._template._handover import Handover
from hotplug.errors import GatewayNotReady, GatewayReplaced, OrderNotFound
from hotplug.market import GatewayStatus, Heartbeat, OrderRef, OrderStatus, Snapshot
from puppets import NOTHING, Asking, Hanging, connected, limit, order_at_venue, refusal, run, until

S = OrderStatus


class Resident(Asking):
    """Its venue is a dict of its own: what another resident knows, it must be told."""

    def __init__(self, **facts):
        super().__init__(**facts)
        self.rounds = 0

    async def _place(self, order):
        self.known[order.client_order_id] = order_at_venue(order.client_order_id)
        return await super()._place(order)

    async def _cancel(self, order):
        if order.client_order_id not in self.known:
            raise OrderNotFound("never heard of it", outcome="REJECTED")
        await super()._cancel(order)
        self.known[order.client_order_id] = order_at_venue(order.client_order_id, S.CANCELED)

    async def _snapshot(self):
        still = tuple(each for each in self.known.values() if not each.status.terminal)
        self.shot = Snapshot(orders=still, fills=None, positions=None, balances=None, cursor=None)
        return await super()._snapshot()

    def export_state(self):
        self.calls.append(("export", None))
        names = [(name, str(order.status)) for name, order in self.known.items()]
        return self.script.get("export", (1, {"names": names, "rounds": self.rounds}))

    def import_state(self, version, state):
        self.calls.append(("import", version))
        self.known = {name: order_at_venue(name, S(status)) for name, status in state["names"]}
        self.rounds = state["rounds"]

    async def feed(self, *, by=1):
        """A simulated venue's own verb."""
        return await self._invoke(self._feed, by)

    async def _feed(self, by):
        self.rounds += by
        return self.rounds

    async def limp(self):
        """One that the next generation may not have."""
        return await self._invoke(self._limp)

    async def _limp(self):
        return self.rounds

    def peek(self):
        return self.rounds


class Lame(Resident):
    """A later generation, without a verb of the earlier ones."""

    _limp = property()


class Slowly(Resident):
    """Its state takes a while, both ways."""

    async def export_state(self):
        await asyncio.sleep(0)
        return Resident.export_state(self)

    async def import_state(self, version, state):
        await asyncio.sleep(0)
        Resident.import_state(self, version, state)


async def pair(kind=Resident, next_kind=None, **facts):
    book = Book("main")
    old, new = kind(**facts), (next_kind or kind)(**facts)
    old.attach(book)
    await connected(old)
    new.attach(book)
    return old, new


def handover(old, new, limit=5, policy=ReplacePolicy.HANDOVER):
    return Handover(old, new, policy, limit)


async def leave(*gateways):
    for gateway in gateways:
        await gateway.disconnect()


def hooks(gateway):
    return [name for name, _ in gateway.calls]


@pytest.mark.parametrize("kind", [Resident, Slowly])
@pytest.mark.parametrize("concurrent", [True, False])
def test_the_next_one_is_told_before_it_connects(kind, concurrent):
    """Gate shut, told, then connected: it knows the orders, which live nowhere else."""

    async def story():
        old, new = await pair(kind, concurrent_sessions=concurrent)
        for name in "ab":
            await old.place_order(limit(name))
        move = handover(old, new)
        await move.begin()
        assert hooks(old)[-1] == "export"
        assert ("disconnect" in hooks(old)) is not concurrent
        assert hooks(new)[:3] == ["import", "connect", "snapshot"]
        move.commit()
        assert [new.order(name).status for name in "ab"] == [S.NEW, S.NEW]
        assert (await new.cancel_order(OrderRef(client_order_id="a"))).status is S.CANCELED
        await leave(old, new)

    run(story)


def test_what_the_old_one_is_asked_for_the_new_one_does():
    """Cancels, questions, the verbs of a simulated market; opening and closing a line stay its own."""

    async def story():
        old, new = await pair()
        for name in "ab":
            await old.place_order(limit(name))
        first = handover(old, new)
        await first.begin()
        first.commit()
        third = Lame()
        third.attach(new.book)
        second = handover(new, third)
        await second.begin()
        second.commit()
        old.calls.clear()
        assert (await old.cancel_order(OrderRef(client_order_id="a"))).status is S.CANCELED
        assert third.known["a"].status is S.CANCELED
        assert new.known["a"].status is S.NEW
        assert await old.feed(by=3) == 3 == third.rounds
        assert old.peek() == 0
        error = await refusal(old.limp())
        assert (type(error), error.outcome) == (GatewayReplaced, "NOT_SENT")
        assert isinstance(await refusal(old.place_order(limit("c"))), GatewayReplaced)
        assert not old.calls
        await leave(old)
        assert hooks(old) == ["disconnect"]
        await leave(new, third)

    run(story)


def test_the_old_one_is_not_heard_any_more():
    """Its venue is the new one's: what goes on in the old object happened nowhere."""

    async def story():
        old, new = await pair()
        await old.place_order(limit("a"))
        move = handover(old, new)
        await move.begin()
        old.says("a", S.REJECTED)
        move.commit()
        old.says("a", S.REJECTED)
        assert new.order("a").status is S.NEW
        assert old._core.ear.said is None
        new.says("a", S.FILLED)
        assert new.order("a").status is S.FILLED
        await leave(old, new)

    run(story)


def test_calls_wait_until_it_is_decided():
    """A cancel and a verb that come between are done once, by whoever serves then."""

    async def story():
        for way in ("commit", "take back"):
            old, new = await pair()
            await old.place_order(limit("a"))
            new.script["connect"] = slow = Hanging(GatewayNotReady("no") if way == "take back" else None)
            move = handover(old, new)
            beginning = asyncio.ensure_future(move.begin())
            await slow.entered.wait()
            cancelling = asyncio.ensure_future(old.cancel_order(OrderRef(client_order_id="a")))
            playing = asyncio.ensure_future(old.feed())
            await old.settled()
            assert not (cancelling.done() or playing.done())
            assert old.order("a").status is S.PENDING_CANCEL
            old.says(None, S.NEW) if way == "commit" else old.report(Heartbeat())
            slow.release.set()
            if way == "commit":
                await beginning
                move.commit()
            else:
                assert (await refusal(beginning)).message == "no"
            assert (await cancelling).status is S.CANCELED
            serving, other = (new, old) if way == "commit" else (old, new)
            assert (serving.count("cancel"), other.count("cancel")) == (1, 0)
            assert (await playing, serving.rounds) == (1, 1)
            await leave(old, new)

    run(story)


def test_taking_it_back_leaves_no_trace():
    """The old one is asked and heard as ever; what it said meanwhile happens then, and once."""

    async def story():
        old, new = await pair()
        await old.place_order(limit("a"))
        before = set(vars(old))
        move = handover(old, new)
        await move.begin()
        old.says("a", S.FILLED)
        assert old.order("a").status is S.NEW
        await move.roll_back()
        assert old.order("a").status is S.FILLED
        assert set(vars(old)) == before
        await old.place_order(limit("b"))
        assert await old.feed() == 1
        assert (old.rounds, new.rounds) == (1, 0)
        old.says("b", S.FILLED)
        assert old.order("b").status is S.FILLED
        await old.place_order(limit("c"))
        assert (await old.cancel_order(OrderRef(client_order_id="c"))).status is S.CANCELED
        await leave(old)

    run(story)


def test_cancels_and_changes_under_way_are_in_the_state():
    """The venue is told of when nothing is being done to it; what does not end in time stops the exchange."""

    async def story():
        old, new = await pair()
        await old.place_order(limit("a"))
        old.script["cancel"] = slow = Hanging()
        cancelling = asyncio.ensure_future(old.cancel_order(OrderRef(client_order_id="a")))
        await slow.entered.wait()
        error = await refusal(handover(old, new, 0.05).begin())
        assert "under way still" in str(error)
        assert "export" not in hooks(old)
        move = handover(old, new)
        beginning = asyncio.ensure_future(move.begin())
        await old.settled()
        assert "export" not in hooks(old)
        slow.release.set()
        old.known["a"] = order_at_venue("a", S.CANCELED)
        await beginning
        move.commit()
        assert (await cancelling).status is S.CANCELED
        assert new.known["a"].status is S.CANCELED
        await leave(old, new)

    run(story)


class Deaf(Resident):
    """Cannot be told."""

    import_state = None


@pytest.mark.parametrize(("kind", "next_kind"), [(Resident, Asking), (Asking, Resident), (Resident, Deaf)])
def test_it_takes_two(kind, next_kind):
    """Where one of them cannot, nobody is asked: the new one connects beside the old one, as any other."""

    async def story():
        old, new = await pair(kind, next_kind)
        await old.place_order(limit("a"))
        move = handover(old, new)
        await move.begin()
        move.commit()
        assert "export" not in hooks(old)
        assert "import" not in hooks(new)
        await leave(old, new)

    run(story)


async def _never(*_):
    await asyncio.Event().wait()


def _raise(*_):
    raise SystemExit("out of here")


@pytest.mark.parametrize(
    ("breaks", "why"),
    [
        (lambda old, new: old.script.update(export=(1, {"venue": old})), "export_state.*is a .*Resident"),
        (lambda old, new: old.script.update(export={"names": []}), "must come as a tuple"),
        (lambda old, new: vars(old).update(export_state=_raise), "its export_state raised SystemExit: out"),
        (lambda old, new: vars(new).update(import_state=_raise), "its import_state raised SystemExit: out"),
        (lambda old, new: vars(new).update(import_state=_never), "its import_state was not finished in time"),
        (lambda old, new: new.script.update(connect=GatewayNotReady("no way")), "no way"),
    ],
)
@pytest.mark.parametrize("concurrent", [True, False])
def test_what_fails_leaves_the_old_one_serving(breaks, why, concurrent):
    """Told to the caller as an error of brokers; gate, orders and streams are as they were."""

    async def story():
        old, new = await pair(concurrent_sessions=concurrent)
        await old.place_order(limit("a"))
        stream = old.events()
        breaks(old, new)
        with pytest.raises(GatewayNotReady, match=why):
            await handover(old, new, 0.2).begin()
        assert old.status is GatewayStatus.READY
        assert old._core.has_gate
        assert (await old.place_order(limit("b"))).order_id == "v-b"
        assert (await old.cancel_order(OrderRef(client_order_id="a"))).status is S.CANCELED
        async with asyncio.timeout(5):
            async for event in stream:
                if getattr(event.payload, "status", None) is S.CANCELED:
                    break
        await leave(old, new)

    run(story)


def test_who_is_cancelled_takes_it_back():
    """An exchange that is given up is no failure of the plugin's."""

    async def story():
        old, new = await pair()
        vars(new)["import_state"] = _never
        beginning = asyncio.ensure_future(handover(old, new).begin())
        await until(lambda: "export" in hooks(old))
        beginning.cancel()
        with pytest.raises(asyncio.CancelledError):
            await beginning
        assert old._core.has_gate
        await leave(old)

    run(story)


class Blocking(SyncBrokerGateway):
    """A resident whose hooks block."""

    broker_type = "blocking"

    def __init__(self):
        self.known, self.threads, self.calls = [], [], []

    def _connect(self):
        pass

    def _disconnect(self):
        pass

    def _place(self, order):
        self.known.append(order.client_order_id)

    def _cancel(self, order):
        self.known.remove(order.client_order_id)
        self.says_cancelled(order)

    def says_cancelled(self, order):
        self.report(order_at_venue(order.client_order_id, S.CANCELED))

    def _snapshot(self):
        return NOTHING

    def export_state(self):
        self.threads.append(threading.current_thread())
        return 1, self.known

    def import_state(self, version, state):
        self.threads.append(threading.current_thread())
        self.known = state


def test_blocking_gateways_tell_in_their_threads():
    """Their state is plain functions' as their hooks are, and never blocks the loop."""

    async def story():
        old, new = await pair(Blocking)
        await old.place_order(limit("a"))
        move = handover(old, new)
        await move.begin()
        move.commit()
        assert new.known == ["a"]
        assert threading.current_thread() not in [*old.threads, *new.threads]
        assert (len(old.threads), len(new.threads)) == (1, 1)
        assert (await old.cancel_order(OrderRef(client_order_id="a"))).status is S.CANCELED
        assert (old.known, new.known) == (["a"], [])
        await leave(old, new)

    run(story)
