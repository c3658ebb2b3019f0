"""Lines in and out of two descriptors: whoever reads, or does not, at the other end."""

from __future__ import annotations

import asyncio
import threading

import pytest

from hotplug_mcp._stdio import AHEAD, TOO_LONG, Inlet, Outlet
from mcp_clients import SOON

pytestmark = pytest.mark.usefixtures("no_thread_left")


def play(story):
    return asyncio.run(asyncio.wait_for(story, SOON))


def test_one_that_does_not_read_holds_up_nobody_else(line):
    """
    The writer waits in a thread of its own, and the loop goes on.
    """

    async def story():
        outlet = Outlet(line.stdout)
        writing = asyncio.create_task(outlet.write("x" * 1_000_000))
        turns = 0
        while turns < 1000:
            await asyncio.sleep(0)
            turns += 1
        assert not writing.done()
        await asyncio.to_thread(line.back.read, 1_000_000)
        await writing
        outlet.close()

    play(story())


def test_who_no_longer_waits_harms_nobody(line):
    """
    A text that was given up while it was being written is out all the same, and the next one follows it.
    """

    async def story():
        outlet = Outlet(line.stdout)
        writing = asyncio.create_task(outlet.write("x" * 1_000_000))
        await asyncio.sleep(0)
        writing.cancel()
        read = await asyncio.to_thread(line.back.read, 1_000_000)
        await outlet.write("next")
        outlet.close()
        return read, await asyncio.to_thread(line.back.read, 4)

    read, following = play(story())

    assert set(read) == {ord("x")}
    assert following == b"next"


def test_a_client_that_is_gone_is_an_error_of_the_line(line):
    """
    Who writes to it is told.
    """
    line.back.close()

    async def story():
        outlet = Outlet(line.stdout)
        with pytest.raises(BrokenPipeError):
            await outlet.write("hello")
        outlet.close()

    play(story())


def test_a_line_without_end_is_skipped(line):
    """
    What is longer than a message may be is not kept, and is no message; the lines around it are.
    """
    lines = [b"one", b"x" * 9, b"x" * 10, b"x" * 1000, b'{"jsonrpc": "2.0"}' + b" " * 1000, b"two", b"y" * 30]
    threading.Thread(target=lambda: (line.say(*lines), line.to.close())).start()

    async def story():
        return [text async for text in Inlet(line.stdin, longest=10)]

    one, fits, *long, two, last = play(story())

    assert (one, fits, two) == ("one\n", "x" * 9 + "\n", "two\n")
    assert set(long) == {last} == {TOO_LONG.decode()}
    assert len(long) == 3


def test_a_reader_that_waits_for_room_ends_with_the_rest(line):
    """
    Lines that nobody will read any more keep no thread, and no loop that is over.
    """

    async def story():
        inlet = Inlet(line.stdin)
        await asyncio.to_thread(line.say, *[b"x"] * (2 * AHEAD))
        assert await anext(inlet) == "x\n"
        inlet.close()

    play(story())


def test_lines_come_in_order_and_end(line):
    """
    What is no UTF-8 is replaced, not refused: the line is what fails, not the stream.
    """
    line.say(b"one", b"\xff", b"three")
    line.to.close()

    async def story():
        return [text async for text in Inlet(line.stdin)]

    assert play(story()) == ["one\n", "\ufffd\n", "three\n"]
