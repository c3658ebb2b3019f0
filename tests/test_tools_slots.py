"""Places for sync tools to run in: shared fairly between users, and none is lost."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from functools import partial

from hotplug.context import UserExecutionContext
from hotplug.errors import (
    Outcome,
)
from hotplug.tools import as_tool, tool
from hotplug.tools._slots import SLOTS, Slots
from toolbox import ADA, BOB, add, call, join_calls, registry, until


def test_places_are_first_come_first_served():
    """
    Who finds no place waits; one that is given up goes to the call of that user that waits longest.
    """
    slots, gate, order = Slots(1), threading.Event(), []

    async def world() -> None:
        first = asyncio.create_task(slots.run("ada", lambda: gate.wait(10)))
        await until(lambda: slots.free == 0)
        others = [asyncio.create_task(slots.run("ada", partial(order.append, n))) for n in range(3)]
        others.append(asyncio.create_task(slots.run("bob", partial(order.append, 3))))
        await until(lambda: slots.waiting == 4)
        for each in (others[1], others[3]):
            each.cancel()
        await asyncio.wait({others[1], others[3]})
        gate.set()
        await asyncio.gather(first, others[0], others[2])

    asyncio.run(asyncio.wait_for(world(), 10))
    assert order == [0, 2]
    assert (slots.free, slots.waiting, slots._taken) == (1, 0, {})


def test_a_place_handed_to_who_just_gave_up_is_not_lost():
    """
    A waiter that is cancelled in the moment it gets its place passes it on.
    """
    slots, gate = Slots(1), threading.Event()

    async def world() -> None:
        first = asyncio.create_task(slots.run("ada", lambda: gate.wait(10)))
        await until(lambda: slots.free == 0)
        waiting = asyncio.create_task(slots.run("bob", lambda: None))
        await until(lambda: slots.waiting)
        slots._give("ada")
        assert slots.waiting == 0
        waiting.cancel()
        await asyncio.wait({waiting})
        slots._move("ada")  # what was given here by hand is ada's again
        gate.set()
        await first

    asyncio.run(asyncio.wait_for(world(), 10))
    assert (slots.free, slots._taken) == (1, {})


def test_a_place_is_not_handed_to_a_closed_loop():
    """
    A waiter whose loop was closed is passed over; the next one is not.
    """
    slots = Slots(0)
    loop = asyncio.new_event_loop()
    waiting = loop.create_task(slots.run("ada", lambda: None))
    loop.run_until_complete(until(lambda: slots.waiting))
    waiting._log_destroy_pending = False  # type: ignore[attr-defined]  # it is destroyed on purpose
    loop.close()
    slots._taken["bob"] = 1  # he had the only place

    slots._give("bob")

    assert (slots.free, slots.waiting) == (1, 0)


def test_whoever_takes_all_leaves_as_much_to_who_comes():
    """
    Users who want everything have the same each, as many places stay free, and the next one gets them.
    """
    slots, gates = Slots(12), {user: threading.Event() for user in ("ada", "bob", "eve")}

    async def crowd(user: str) -> list[asyncio.Task[bool]]:
        wait = partial(gates[user].wait, 10)
        before = slots.waiting
        calls = [asyncio.create_task(slots.run(user, wait)) for _ in range(100)]
        await until(lambda: slots.waiting - before + slots._taken[user] == 100)
        return calls

    async def world() -> list[tuple[int, dict[str, int]]]:
        seen = []
        calls = []
        for user in gates:
            calls += await crowd(user)
            calls[0].cancel()  # another of the same user takes its place
            await asyncio.wait({calls[0]})
            await until(lambda: slots._taken["ada"] == 6)
            seen.append((slots.free, dict(slots._taken)))
        for each in calls:
            each.cancel()
        await asyncio.wait(calls)
        seen.append((slots.free, dict(slots._taken)))
        return seen

    try:
        alone, two, three, over = asyncio.run(asyncio.wait_for(world(), 20))
    finally:
        for gate in gates.values():
            gate.set()
        join_calls()
    assert alone == (6, {"ada": 6})
    assert two == (3, {"ada": 6, "bob": 3})
    assert three == (1, {"ada": 6, "bob": 3, "eve": 2})
    assert over == (12, {})


def test_what_becomes_free_goes_to_who_has_least():
    """
    However long the queue of one user is, another who comes later is served before the next of it.
    """
    slots, gates, order = Slots(2), [threading.Event() for _ in range(2)], []

    async def world() -> None:
        held = [
            asyncio.create_task(slots.run(user, gate.wait)) for user, gate in zip("ab", gates, strict=True)
        ]
        await until(lambda: slots.free == 0)
        queue = [asyncio.create_task(slots.run("a", partial(order.append, f"a{n}"))) for n in range(50)]
        await until(lambda: slots.waiting == 50)
        late = asyncio.create_task(slots.run("c", partial(order.append, "c")))
        await until(lambda: slots.waiting == 51)
        gates[1].set()
        await late
        gates[0].set()
        await asyncio.gather(*held, *queue)

    asyncio.run(asyncio.wait_for(world(), 20))
    assert order[0] == "c"
    assert order[1:] == [f"a{n}" for n in range(50)]
    assert slots.free == 2


def test_a_hundred_hung_calls_of_one_user_take_nothing_from_another():
    """
    While they hang, each of a hundred calls of another user is answered.
    """
    gate = threading.Event()

    @tool(timeout=None, read_only=True)
    def hang() -> None:
        gate.wait(20)

    tools = registry(hang, add)

    async def world() -> tuple[list[object], bool]:
        hung = [asyncio.create_task(tools.call("hang", {}, ADA)) for _ in range(100)]
        await until(lambda: SLOTS.waiting == 68)
        answers = await asyncio.gather(*(tools.call("add", {"a": n}, BOB) for n in range(100)))
        still = not any(each.done() for each in hung)
        for each in hung:
            each.cancel()
        await asyncio.wait(hung)
        return answers, still

    try:
        answers, still = asyncio.run(asyncio.wait_for(world(), 20))
    finally:
        gate.set()
        join_calls()
    assert answers == [n + 2 for n in range(100)]
    assert still
    assert SLOTS.free == 64


def test_who_had_no_turn_in_time_was_not_called():
    """
    Of a call that only waited for a place it is known that nothing happened: it may be made again.
    """
    gate, begun = threading.Event(), []

    @tool(timeout=0.2, destructive=False)
    def hang() -> None:
        begun.append(1)
        gate.wait(20)

    tools = registry(hang)
    tools.max_abandoned = 10**6

    async def world() -> list[BaseException]:
        calls = (tools.call("hang", {}, ADA) for _ in range(200))
        return await asyncio.gather(*calls, return_exceptions=True)

    try:
        ends = asyncio.run(asyncio.wait_for(world(), 20))
    finally:
        gate.set()
        join_calls()
    called = len(begun)
    outcomes = Counter((end.outcome, end.retryable) for end in ends)
    assert outcomes == {(Outcome.UNKNOWN, False): called, (Outcome.NOT_SENT, True): 200 - called}
    assert "was not called" in next(str(end) for end in ends if end.outcome is Outcome.NOT_SENT)
    assert SLOTS.free == 64


def test_who_waited_until_the_tool_was_quarantined_is_not_called():
    """
    A hung tool does not get one thread more from those who had waited for a place.
    """
    gate, begun = threading.Event(), []

    @tool(timeout=None, read_only=True)
    def hang() -> None:
        begun.append(1)
        gate.wait(20)

    tools = registry(hang)
    tools.max_abandoned = 1

    async def world() -> tuple[int, BaseException | None]:
        first = [asyncio.create_task(tools.call("hang", {}, ADA)) for _ in range(32)]
        await until(lambda: len(begun) == 32)
        waiting = asyncio.create_task(tools.call("hang", {}, ADA))
        await until(lambda: SLOTS.waiting == 1)
        first[0].cancel()
        await asyncio.wait({first[0], waiting})
        for each in first:
            each.cancel()
        await asyncio.wait(first)
        return len(begun), waiting.exception()

    try:
        begun_in_all, error = asyncio.run(asyncio.wait_for(world(), 20))
    finally:
        gate.set()
        join_calls()
    assert begun_in_all == 32
    assert "quarantined" in str(error)
    assert SLOTS.free == 64


def test_a_place_is_for_the_user_of_the_call():
    """
    Also where a tool is called without a registry: whose it is says the context.
    """
    gate, begun = threading.Event(), threading.Event()

    def hold() -> bool:
        begun.set()
        return gate.wait(10)

    async def world() -> set[str]:
        calling = asyncio.create_task(as_tool(hold).call({}, BOB))
        await until(begun.is_set)
        whose = set(SLOTS._taken)
        gate.set()
        await calling
        return whose

    assert asyncio.run(asyncio.wait_for(world(), 20)) == {"bob"}


def test_a_tool_may_call_others_by_itself():
    """
    From its thread, without a registry between: what it calls began with it, sync or async.
    """

    async def inner(number: int) -> int:
        return number + 1

    @tool(read_only=True)
    def outer(context: UserExecutionContext) -> object:
        return [asyncio.run(as_tool(each).call({"number": 1}, context)) for each in (inner, lambda number: 5)]

    assert asyncio.run(as_tool(inner).call({"number": 1}, ADA)) == 2
    assert call(registry(outer), "outer") == [2, 5]
