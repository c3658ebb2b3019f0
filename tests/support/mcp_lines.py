"""The client's ends of a line to a server, without a client."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os

CHANGED = "notifications/tools/list_changed"


class Line:
    """The client's ends of two pipes."""

    def __init__(self):
        self.stdin, write = os.pipe()
        read, self.stdout = os.pipe()
        self.to = os.fdopen(write, "wb", buffering=0)
        self.back = os.fdopen(read, "rb")

    def say(self, *messages):
        for message in messages:
            raw = message if isinstance(message, bytes) else json.dumps(message).encode()
            self.to.write(raw + b"\n")

    def _hear(self, wanted):
        while line := self.back.readline():
            message = json.loads(line)
            if wanted(message):
                return message
        raise EOFError

    async def answer(self, number):
        return await asyncio.to_thread(self._hear, lambda message: message.get("id") == number)

    async def news(self):
        return await asyncio.to_thread(self._hear, lambda message: message.get("method") == CHANGED)

    def close(self):
        for close in (self.to.close, self.back.close):
            with contextlib.suppress(OSError):
                close()
        for descriptor in (self.stdin, self.stdout):
            with contextlib.suppress(OSError):
                os.close(descriptor)
