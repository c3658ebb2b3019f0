"""A client at the other end of standard input and output."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import queue
import sys
import threading
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import anyio
from mcp.server.stdio import stdio_server

from hotplug_mcp._desk import Desk
from hotplug_mcp._following import following
from hotplug_mcp._server import server_of

if TYPE_CHECKING:
    import hotplug

__all__ = ["serve_stdio", "take_standard_streams"]

log: Final = logging.getLogger("hotplug.mcp")

GRACE: Final = 2.0  # seconds; clients kill a server that does not end soon
AHEAD: Final = 64  # lines that are read before they are asked for
LARGEST: Final = 4 * 1024 * 1024  # bytes of a line, as of a request over HTTP
TOO_LONG: Final = b"a line that is longer than a message may be\n"


async def serve_stdio(
    host: hotplug.Host,
    user: str,
    *,
    stdin: int,
    stdout: int,
    stop: asyncio.Event | None = None,
    grace: float = GRACE,
) -> None:
    """
    Serve the tools of *host* to the client at two file descriptors, on behalf of *user*.

    Returns when the client has closed its end, or *stop* is set: calls under way then have *grace*
    seconds. *host* must be started. The descriptors are not closed.
    """
    desk = Desk(host.tools, user)
    async with following(host, lambda: (desk,)):
        looking = asyncio.create_task(desk.look())  # it may take a while, and clients first say hello
        inlet, outlet = Inlet(stdin), Outlet(stdout)
        serving = asyncio.create_task(_serve(desk, inlet, outlet))
        stopping = asyncio.create_task((stop or asyncio.Event()).wait())
        try:
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not serving.done():
                await desk.idle(grace)
        finally:
            tasks = (serving, stopping, looking)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            inlet.close()
            outlet.close()
    if not serving.cancelled() and (error := serving.exception()) is not None:
        raise error


async def _serve(desk: Desk, stdin: Any, stdout: Any) -> None:
    server = server_of(desk)
    try:
        async with stdio_server(stdin, stdout) as (read, write):
            await server.run(read, write, server.create_initialization_options())
    except* (anyio.ClosedResourceError, anyio.BrokenResourceError, ConnectionError):
        log.info("the client left in the middle of something")


def take_standard_streams() -> tuple[int, int]:
    """
    Take standard input and output for the protocol, for good: descriptors that only it knows.

    Whatever else writes to standard output, at any level, reaches standard error instead; whatever else
    reads finds the end of the file.
    """
    sys.stdout.flush()
    stdin, stdout = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    try:
        os.dup2(2, 1)
    except OSError:  # there is no standard error
        os.dup2(nothing, 1)
    os.close(nothing)
    sys.stdout = sys.stderr
    return stdin, stdout


class Inlet:
    """
    The lines that come in at a descriptor. Reading them can be cancelled at any time.

    One that is longer than *longest* bytes is skipped; what stands in its place is no message.
    """

    def __init__(self, descriptor: int, longest: int = LARGEST) -> None:
        self._descriptor = descriptor
        self._longest = longest
        self._loop = asyncio.get_running_loop()
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._room = threading.Semaphore(AHEAD)
        self._is_closed = False
        threading.Thread(target=self._read, name="hotplug mcp stdin", daemon=True).start()

    def close(self) -> None:
        """Let the reader end: at once if it waits for room, else with the next line or the last."""
        self._is_closed = True
        self._room.release()

    def _read(self) -> None:
        # The loop may be over before the client is: then there is nobody to read for.
        with contextlib.suppress(RuntimeError):
            with (
                contextlib.suppress(OSError),
                os.fdopen(self._descriptor, "rb", closefd=False) as file,
            ):
                while not self._is_closed and (line := file.readline(self._longest)):
                    self._put(TOO_LONG if self._goes_on(line, file) else line)
            self._put(None)

    def _goes_on(self, line: bytes, file: BinaryIO) -> bool:
        """Whether *line* was only the beginning of one; its end is read then."""
        began = line
        while len(line) == self._longest and not line.endswith(b"\n"):
            line = file.readline(self._longest)
        return line is not began

    def _put(self, line: bytes | None) -> None:
        self._room.acquire()
        text = None if line is None else line.decode("utf-8", "replace")
        self._loop.call_soon_threadsafe(self._lines.put_nowait, text)

    def __aiter__(self) -> Inlet:
        return self

    async def __anext__(self) -> str:
        line = await self._lines.get()
        self._room.release()
        if line is None:
            raise StopAsyncIteration
        return line


class Outlet:
    """Where lines go out. A client that does not read holds up its own answers, and nothing else."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._texts: queue.SimpleQueue[tuple[bytes, asyncio.Future[None]] | None] = queue.SimpleQueue()
        threading.Thread(target=self._write_all, name="hotplug mcp stdout", daemon=True).start()

    async def write(self, text: str) -> None:
        """Write *text*, all of it."""
        written = self._loop.create_future()
        self._texts.put((text.encode("utf-8", "surrogatepass"), written))
        await written

    async def flush(self) -> None:
        """Nothing to do: it is written already."""

    def close(self) -> None:
        """End, when what was written is out."""
        self._texts.put(None)

    def _write_all(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is over
            while (text := self._texts.get()) is not None:
                data, written = text
                self._loop.call_soon_threadsafe(_settle, written, self._write(data))

    def _write(self, data: bytes) -> OSError | None:
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError as error:
            return error
        return None


def _settle(written: asyncio.Future[None], error: OSError | None) -> None:
    if written.done():
        return
    if error is None:
        written.set_result(None)
    else:
        written.set_exception(error)
