"""Events on their way out: once, in order, without a hole, however clients take them."""

from __future__ import annotations

import asyncio
import json
import random
import threading

import pytest
from websockets.frames import Frame, Opcode

from hotplug import UserExecutionContext
from hotplug.events import EventHub
from hotplug_web._feed import Feeds
from hotplug_web._frames import Frames, wired
from hotplug_web._line import Line

ADA = UserExecutionContext("ada")


class Client:
    """Takes what it is sent; *holds* says of each message for how many turns of the loop it is held up."""

    def __init__(self, holds=lambda: 0):
        self._holds = holds
        self.got = []
        self.is_sending = False
        self.overlaps = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def send(self, message):
        self.overlaps += self.is_sending
        self.is_sending = True
        if not self.gate.is_set():
            await self.gate.wait()
        for _ in range(self._holds()):
            await asyncio.sleep(0)
        self.is_sending = False
        self.got.append(json.loads(message["text"]))

    @property
    def numbers(self):
        return [frame["payload"]["number"] for frame in self.got if frame["type"] == "CUSTOM"]


class World:
    """A hub, and lines to clients."""

    def __init__(self, **limits):
        self.hub = EventHub(**limits)
        with self.hub.open(ADA) as cursor:
            epoch = cursor.ack().partition(":")[0]
        self.frames = Frames()
        self.feeds = Feeds(self.hub, self.frames, epoch)
        self.number = 0

    def emit(self, count=1):
        for _ in range(count):
            self.hub.emit(ADA, "CUSTOM", {"number": self.number})
            self.number += 1

    async def follow(self, client, after=None):
        with self.feeds.using("ada") as feed:
            client.line = Line(client.send, feed)
            await client.line.follow(self.hub.open(ADA, after))

    async def begin(self, *clients):
        """Tasks in which they follow from now on."""
        tasks = [asyncio.create_task(self.follow(client)) for client in clients]
        await asyncio.sleep(0)
        return tasks

    async def settle(self, condition):
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - any turn of the loop may bring it
                await asyncio.sleep(0)


def play(scene):
    return asyncio.run(scene())


@pytest.mark.parametrize("seed", range(6))
def test_everything_arrives_once_and_in_order_however_clients_dawdle(seed):
    """
    Clients that are held up at random hear the same as those that never are, while threads emit.
    """
    dice = random.Random(seed)

    async def scene():
        world = World(max_events=100_000)
        lock = threading.Lock()

        def emit():
            for _ in range(200):
                with lock:
                    world.emit()

        clients = [Client(), *(Client(lambda: dice.choice([0, 0, 0, 0, 1, 5])) for _ in range(4))]
        tasks = await world.begin(*clients)
        threads = [threading.Thread(target=emit) for _ in range(3)]
        for thread in threads:
            thread.start()
        await world.settle(lambda: all(len(client.got) >= 600 for client in clients))
        for thread in threads:
            thread.join()
        world.emit(3)
        world.hub.close()
        await asyncio.gather(*tasks)
        return [client.numbers for client in clients]

    assert play(scene) == [list(range(603))] * 5


def test_other_messages_come_between():
    """
    What is sent besides events takes its turn, and disturbs none of them.
    """
    dice = random.Random(1)

    async def scene():
        world, client = World(), Client(lambda: dice.choice([0, 0, 2]))
        [task] = await world.begin(client)
        for _ in range(100):
            world.emit()
            await asyncio.sleep(0)
            await client.line.send('{"type": "ping"}')
        world.hub.close()
        await task
        return client

    client = play(scene)

    assert client.overlaps == 0
    assert client.numbers == list(range(100))
    assert [frame["type"] for frame in client.got].count("ping") == 100


def test_who_is_held_up_delays_nobody_and_catches_up():
    """
    While one takes nothing the others go on; it hears the rest afterwards.
    """

    async def scene():
        world, slow, quick = World(), Client(), Client()
        tasks = await world.begin(slow, quick)
        world.emit(3)
        await world.settle(lambda: len(slow.got) == len(quick.got) == 3)
        slow.gate.clear()
        world.emit(50)
        await world.settle(lambda: len(quick.got) == 53)
        assert (len(slow.got), slow.line.held_up > 0, quick.line.held_up) == (3, True, 0.0)
        slow.gate.set()
        await world.settle(lambda: len(slow.got) == 53)
        world.emit(5)
        await world.settle(lambda: len(slow.got) == 58)
        assert slow.line.held_up == 0.0
        world.hub.close()
        await asyncio.gather(*tasks)
        return slow.numbers, quick.numbers

    slow, quick = play(scene)

    assert slow == quick == list(range(58))


def test_what_was_lost_meanwhile_is_told_to_who_lost_it():
    """
    Who was held up for too long hears one GAP; who was not, none.
    """

    async def scene():
        world, slow, quick = World(max_events=10), Client(), Client()
        tasks = await world.begin(slow, quick)
        world.emit()
        await world.settle(lambda: len(slow.got) == len(quick.got) == 1)
        slow.gate.clear()
        for _ in range(40):
            world.emit()
            await world.settle(lambda: len(quick.got) == world.number)
        slow.gate.set()
        await world.settle(lambda: slow.numbers[-1] == 40)
        world.hub.close()
        await asyncio.gather(*tasks)
        return slow, quick

    slow, quick = play(scene)

    assert [frame["type"] for frame in slow.got].count("GAP") == 1
    [gap] = [frame for frame in slow.got if frame["type"] == "GAP"]
    assert len(slow.numbers) + gap["payload"]["missed"] == 41
    assert quick.numbers == list(range(41))


def test_a_loop_that_stood_still_leads_to_a_gap_for_all():
    """
    When the feed itself comes too late, each hears what it missed, and goes on.
    """

    async def scene():
        world, clients = World(max_events=10), [Client(), Client()]
        tasks = await world.begin(*clients)
        world.emit()
        await world.settle(lambda: all(client.got for client in clients))
        world.emit(30)
        await world.settle(lambda: all(client.numbers[-1] == 30 for client in clients))
        world.emit(2)
        await world.settle(lambda: all(client.numbers[-1] == 32 for client in clients))
        world.hub.close()
        await asyncio.gather(*tasks)
        return clients

    for client in play(scene):
        assert [frame["type"] for frame in client.got] == ["CUSTOM", "GAP", *["CUSTOM"] * 12]
        assert client.got[1]["payload"]["missed"] == 20


def test_who_resumes_joins_where_the_others_are():
    """
    The past comes first, then what is new, none of it twice.
    """

    async def scene():
        world, first, second = World(), Client(), Client()
        start = world.hub.emit(ADA, "STATE", {})
        tasks = await world.begin(first)
        world.emit(200)
        tasks.append(asyncio.create_task(world.follow(second, start)))
        for _ in range(50):
            world.emit()
            await asyncio.sleep(0)
        await world.settle(lambda: len(first.got) == len(second.got) == 250)
        world.hub.close()
        await asyncio.gather(*tasks)
        return first.numbers, second.numbers

    first, second = play(scene)

    assert first == second == list(range(250))


def test_a_client_that_breaks_ends_its_own_line_only():
    """
    What a server raises for a client that is gone does not reach the feed.
    """

    async def scene():
        world, good, bad = World(), Client(), Client()
        tasks = await world.begin(bad, good)
        world.emit()
        await world.settle(lambda: len(good.got) == len(bad.got) == 1)

        async def broken(_message):
            raise ConnectionResetError

        bad.line._to_client = broken
        world.emit(5)
        await world.settle(lambda: len(good.got) == 6)
        with pytest.raises(ConnectionResetError):
            world.emit()
            await tasks[0]
        world.hub.close()
        await tasks[1]
        return good.numbers

    assert play(scene) == list(range(7))


def test_who_leaves_while_held_up_leaves_nothing_behind():
    """
    Cancelled in the midst of a message, a line gives back everything.
    """

    async def scene():
        world, client = World(), Client()
        [task] = await world.begin(client)
        world.emit()
        await world.settle(lambda: len(client.got) == 1)
        client.gate.clear()
        world.emit(3)
        await world.settle(lambda: client.line.held_up > 0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await world.settle(lambda: len(asyncio.all_tasks()) == 1)
        return world

    world = play(scene)

    assert world.feeds._feeds == {}
    assert world.hub.stats().cursors == 0


def test_frames_are_forgotten_where_they_are_too_many():
    """
    The newest are kept, up to so many bytes.
    """
    frames = Frames(most_bytes=1000)
    for number in range(100):
        frames.of("ada", "0" * 12, (number, "CUSTOM", b'{"text":"%s"}' % (b"x" * 50), None, None, 0.0))

    assert 1 <= len(frames._made) < 10
    assert frames._size == sum(map(len, frames._made.values())) <= 1000


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 100_000])
def test_the_bytes_of_a_message_are_as_the_library_would_make_them(size):
    """
    For every size that is written differently.
    """
    text = "ä" * (size // 2) + "x" * (size % 2)

    assert wired(text) == Frame(Opcode.TEXT, text.encode()).serialize(mask=False)
