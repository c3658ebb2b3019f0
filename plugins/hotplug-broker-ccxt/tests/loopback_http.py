"""HTTP for loopback exchanges: keep-alive, what arrived, and what shall go wrong."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

__all__ = ["Answer", "Fault", "LineLostError", "Loopback", "Received"]

Answer = tuple[int, str, dict[str, str]]
REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found"}
REASONS |= {418: "I'm a teapot", 429: "Too Many Requests", 502: "Bad Gateway", 503: "Service Unavailable"}


@dataclass
class Received:
    """One request as it arrived, and the status of the answer (0: there was none)."""

    time: float
    call: str
    params: dict[str, Any]
    text: str
    status: int = 0


@dataclass
class Fault:
    """
    What goes wrong with the next *times* requests to *call*.

    *when*: ``before`` the request is carried out (then it never is), or ``after`` it was. *then*: ``answer``
    with *status*, *code*, *msg*, *body*, *headers*; ``lose`` the line without an answer; ``hang`` for good;
    ``cut`` the answer short; ``pass``: nothing goes wrong. *delay* seconds pass first.
    """

    call: str
    times: int = 1
    when: str = "before"
    then: str = "answer"
    status: int = 503
    code: int = -1000
    msg: str = "Unknown error, please check your request or try again later."
    body: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0


class LineLostError(Exception):
    """The line breaks here; *sent* bytes of an answer got through."""

    def __init__(self, sent: bytes = b"") -> None:
        super().__init__()
        self.sent = sent


class Loopback:
    """A server at 127.0.0.1, on the running loop."""

    def __init__(self) -> None:
        self.url = ""
        self.received: list[Received] = []
        self.faults: list[Fault] = []
        self.headers: dict[str, str] = {}
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._released = asyncio.Event()
        self._answered = asyncio.Event()

    def carry_out(self, call: str, text: str, params: dict[str, Any], headers: dict[str, str]) -> Answer:
        """Do what is asked: status, text, headers. *text* is the query followed by the body."""
        raise NotImplementedError

    def control(self, path: str, body: str) -> object:
        """What another process asks under ``/control/``."""
        raise NotImplementedError

    # -- for tests ---------------------------------------------------------------------------------

    def fail(self, call: str, **how: Any) -> Fault:
        """Let the next requests to *call*, as in ``"POST /api/v3/order"``, go wrong: see `Fault`."""
        fault = Fault(call, **how)
        self.faults.append(fault)
        return fault

    def count(self, call: str) -> int:
        """How many requests to *call* arrived."""
        return sum(each.call == call for each in self.received)

    async def until(self, condition: Callable[[], object], deadline: float = 5.0) -> None:
        """Return as soon as *condition* holds; it is looked at again after every request."""
        async with asyncio.timeout(deadline):
            while not condition():
                self._answered.clear()
                await self._answered.wait()

    async def start(self, port: int = 0) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self.url

    async def stop(self) -> None:
        self._released.set()
        assert self._server is not None
        self._server.close()
        await asyncio.sleep(0)  # who has just been let in begins, and can be told
        while tasks := tuple(self._tasks):
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def __aenter__(self):
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # -- HTTP --------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                while True:
                    await self._exchange(reader, writer)
        except LineLostError as lost:
            writer.write(lost.sent)
        finally:
            self._answered.set()
            writer.close()
            with suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.split("\r\n")
        method, target, _ = first.split(" ")
        headers = {
            name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines if each)
        }
        body = (await reader.readexactly(int(headers.get("content-length", 0)))).decode()
        path, _, query = target.partition("?")
        if path.startswith("/control/"):
            answer: Answer = 200, json.dumps(self.control(path, body)), {}
        else:
            answer = await self._answer(f"{method} {path}", query, body, headers)
        status, text, more = answer
        writer.write(_response(status, text, self.headers | more))
        await writer.drain()
        self._answered.set()

    async def _answer(self, call: str, query: str, body: str, headers: dict[str, str]) -> Answer:
        params: dict[str, Any] = dict(parse_qsl(query, keep_blank_values=True))
        if body[:1] in {"{", "["}:
            told = json.loads(body)
            params |= told if isinstance(told, dict) else told[0]
        else:
            params = dict(parse_qsl(body, keep_blank_values=True)) | params
        seen = Received(time.monotonic(), call, params, query + body)
        self.received.append(seen)
        fault = self._fault(call)
        if fault is not None and fault.delay:
            await self._held_up(fault.delay)
        if fault is not None and fault.then == "pass":
            fault = None
        if fault is not None and fault.when == "before":
            return await self._go_wrong(fault, seen, None)
        answer = self.carry_out(call, query + body, params, headers)
        if fault is not None:
            return await self._go_wrong(fault, seen, answer)
        seen.status = answer[0]
        return answer

    async def _held_up(self, seconds: float) -> None:
        """An answer takes its time, but no longer than there is a venue."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._released.wait()

    def _fault(self, call: str) -> Fault | None:
        fault = next((each for each in self.faults if each.call == call), None)
        if fault is not None:
            fault.times -= 1
            if not fault.times:
                self.faults.remove(fault)
        return fault

    async def _go_wrong(self, fault: Fault, seen: Received, answer: Answer | None) -> Answer:
        text = json.dumps({"code": fault.code, "msg": fault.msg}) if fault.body is None else fault.body
        said = fault.status, text, fault.headers
        if fault.then == "lose":
            raise LineLostError
        if fault.then == "cut":
            raise LineLostError(_response(*(answer or said))[:-20])
        if fault.then == "hang":
            await self._released.wait()
            raise LineLostError
        seen.status = fault.status
        return said


def _response(status: int, text: str, headers: dict[str, str]) -> bytes:
    data = text.encode()
    kind = "application/json;charset=UTF-8" if text[:1] in {"{", "["} else "text/html"
    lines = [
        f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(data)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data
