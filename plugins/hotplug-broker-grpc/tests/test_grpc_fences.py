"""What was declared never arrived does not arrive later."""

from __future__ import annotations

import asyncio

import pytest

from hotplug.errors import BrokerUnavailable, Outcome
from hotplug_broker_grpc import _fences
from hotplug_broker_grpc._fences import Fences

NAME = ("paper", "ada", "order-1")


def send(fences, session, call, name=NAME):
    with fences.sending(name, session, call):
        return True


def test_an_older_send_is_refused():
    """
    It was on its way while somebody asked, and was told that there is no such order.
    """

    async def main():
        fences = Fences()
        fences.ask(NAME, "s", 5)
        with pytest.raises(BrokerUnavailable) as caught:
            send(fences, "s", 4)
        assert caught.value.outcome is Outcome.NOT_SENT
        assert caught.value.is_explicit
        # Asked anew under the same id, after the answer, it is a new order.
        assert send(fences, "s", 6)

    asyncio.run(main())


def test_a_send_of_another_session_is_refused():
    """
    The client was started again and asked: what its old self had sent has no number that compares.
    """

    async def main():
        fences = Fences()
        fences.ask(NAME, "new", 1)
        with pytest.raises(BrokerUnavailable):
            send(fences, "old", 99)
        assert send(fences, "new", 2)

    asyncio.run(main())


def test_other_orders_pass():
    """
    A question fences the order that it is about, of the user who asks, and no other.
    """

    async def main():
        fences = Fences()
        fences.ask(NAME, "s", 5)
        assert send(fences, "s", 4, ("paper", "ada", "order-2"))
        assert send(fences, "s", 4, ("paper", "bob", "order-1"))
        assert send(fences, "s", 4, ("other", "ada", "order-1"))

    asyncio.run(main())


def test_what_got_through_is_waited_for():
    """
    A send that passed the fence before may still make the order: who finds none waits, and looks again.
    """

    async def main():
        fences = Fences()
        with fences.sending(NAME, "s", 1), fences.sending(NAME, "s", 2):
            fences.ask(NAME, "s", 3)
            landing = asyncio.create_task(fences.landed(NAME))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not landing.done()
        assert await landing
        assert not await fences.landed(NAME)

    asyncio.run(main())


def test_the_oldest_fences_are_forgotten(monkeypatch):
    """
    Their number is bounded.
    """
    monkeypatch.setattr(_fences, "KEPT", 2)

    async def main():
        fences = Fences()
        names = [("paper", "ada", f"order-{number}") for number in range(3)]
        for name in names:
            fences.ask(name, "s", 5)
        assert send(fences, "s", 4, names[0])
        for name in names[1:]:
            with pytest.raises(BrokerUnavailable):
                send(fences, "s", 4, name)

    asyncio.run(main())
