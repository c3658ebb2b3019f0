"""Streams in batches: together what comes together, at once what comes alone."""

from __future__ import annotations

import asyncio
import time

import pytest

from hotplug_broker_grpc._batches import Batches

LONG = 10.0


class Source:
    """A stream that a test feeds."""

    def __init__(self):
        self.queue = asyncio.Queue()
        self.closed = False

    def put(self, *items):
        for item in items:
            self.queue.put_nowait(item)

    def __aiter__(self):
        return self

    async def __anext__(self):
        item = await self.queue.get()
        if isinstance(item, BaseException):
            raise item
        return item

    async def aclose(self):
        self.closed = True


def batched(most, play):
    """Run *play* with a source and its batches."""

    async def main():
        source = Source()
        batches = Batches(source, most)
        try:
            await play(source, batches)
        finally:
            await batches.close()
        assert source.closed

    asyncio.run(main())


def test_what_comes_at_once_goes_out_together():
    """
    Everything that is there makes one batch.
    """

    async def play(source, batches):
        source.put(1, 2, 3)
        assert await batches.next(LONG, time.monotonic) == [1, 2, 3]
        source.put(4)
        assert await batches.next(LONG, time.monotonic) == [4]

    batched(10, play)


def test_what_comes_turn_by_turn_goes_out_together():
    """
    As long as the loop's next turn brings more, the batch waits for it.
    """

    async def play(source, batches):
        async def trickle():
            for number in range(5):
                source.put(number)
                await asyncio.sleep(0)

        feeding = asyncio.create_task(trickle())
        assert await batches.next(LONG, time.monotonic) == [0, 1, 2, 3, 4]
        await feeding

    batched(10, play)


def test_a_batch_waits_five_milliseconds_at_most():
    """
    A source that never pauses is cut by the clock.
    """

    async def play(source, batches):
        source.put(*range(4))
        clock = iter([0.0, 0.006])
        running = True

        async def pour():
            while running:
                source.put("more")
                await asyncio.sleep(0)

        feeding = asyncio.create_task(pour())
        batch = await batches.next(LONG, lambda: next(clock))
        running = False
        await feeding
        assert batch[:4] == [0, 1, 2, 3]
        assert next(clock, None) is None

    batched(1000, play)


def test_no_more_is_read_than_is_taken():
    """
    A slow reader leaves what is new with the source, which conflates it or ends.
    """

    async def play(source, batches):
        source.put(*range(10))
        assert await batches.next(LONG, time.monotonic) == [0, 1, 2]
        for _ in range(5):
            await asyncio.sleep(0)
        assert source.queue.qsize() == 4
        assert await batches.next(LONG, time.monotonic) == [3, 4, 5]

    batched(3, play)


def test_silence_is_an_empty_batch():
    """
    It is time for a heartbeat.
    """

    async def play(source, batches):
        assert await batches.next(0.0, time.monotonic) == []
        source.put("news")
        assert await batches.next(LONG, time.monotonic) == ["news"]

    batched(3, play)


def test_the_end_comes_after_what_was_before_it():
    """
    What is there goes out; then there is nothing more, however often one asks.
    """

    async def play(source, batches):
        source.put(1, StopAsyncIteration())
        assert await batches.next(LONG, time.monotonic) == [1]
        assert await batches.next(LONG, time.monotonic) is None
        assert await batches.next(LONG, time.monotonic) is None

    batched(3, play)


def test_an_error_comes_after_what_was_before_it():
    """
    A source that breaks loses nothing of what it gave.
    """

    async def play(source, batches):
        source.put(1, ValueError("broken"))
        assert await batches.next(LONG, time.monotonic) == [1]
        with pytest.raises(ValueError, match="broken"):
            await batches.next(LONG, time.monotonic)

    batched(3, play)


def test_who_waits_is_told_of_the_stop():
    """
    A server that stops does not wait for the next heartbeat.
    """

    async def play(source, batches):
        waiting = asyncio.create_task(batches.next(LONG, time.monotonic))
        await asyncio.sleep(0)
        batches.stop()
        assert await asyncio.wait_for(waiting, 5) is None

    batched(3, play)


def test_a_source_that_cannot_be_closed_is_fine():
    """
    Any asynchronous iterator will do.
    """

    class Bare:
        def __aiter__(self):
            return self

        async def __anext__(self):
            raise StopAsyncIteration

    async def main():
        batches = Batches(Bare(), 3)
        assert await batches.next(LONG, time.monotonic) is None
        await batches.close()

    asyncio.run(main())
