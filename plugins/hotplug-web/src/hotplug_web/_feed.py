"""A user's events as they happen, read once for all connections that take what they are sent."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

from hotplug import UserExecutionContext
from hotplug_web._frames import GAP, wired

if TYPE_CHECKING:
    from collections.abc import Generator

    from hotplug.events import EventHub
    from hotplug.events._words import Stored
    from hotplug_web._frames import Frames
    from hotplug_web._line import Line

__all__ = ["Feed", "Feeds"]

BATCH: Final = 64
CROWD: Final = 16  # lines that are served in one go; after more of them, others have their turn
_log = logging.getLogger("hotplug.web")


class Feed:
    """The newest events of *user*, handed to each `Line` that has joined. Lives on one event loop."""

    def __init__(self, hub: EventHub, frames: Frames, user: str, epoch: str) -> None:
        self.hub: Final = hub
        self.user: Final = user
        self.epoch: Final = epoch
        self.is_over = False
        self.users = 0
        self._frames: Final = frames
        self._lines: Final[dict[Line, None]] = {}
        self._cursor: Final = hub.open(UserExecutionContext(user))
        self._task: Final = asyncio.get_running_loop().create_task(self._run())

    def frame_of(self, stored: Stored) -> str:
        """The frame of an event."""
        return self._frames.of(self.user, self.epoch, stored)

    def join(self, line: Line) -> None:
        """Hand *line*, which has all that happened so far, what comes from now on."""
        if not self.is_over:
            self._lines[line] = None

    def part(self, line: Line) -> None:
        """Hand *line* no more."""
        self._lines.pop(line, None)

    def close(self) -> None:
        """Nobody is left who reads it."""
        self._cursor.close()

    async def _run(self) -> None:
        cursor = self._cursor
        try:
            while True:
                batch = cursor.take(BATCH)
                for stored in batch:
                    self._hand_out(stored)
                    if len(self._lines) > CROWD:
                        await asyncio.sleep(0)
                if len(batch) == BATCH:
                    await asyncio.sleep(0)
                elif not batch and not await cursor.ready():
                    return
        except Exception:  # its lines must not wait for what does not come
            _log.exception("the events of user %r are not handed out any more", self.user)
            raise
        finally:
            self.is_over = True
            self._part_all()

    def _hand_out(self, stored: Stored) -> None:
        if stored[1] == GAP:  # what is lost here may not be lost to everyone
            self._part_all()
            return
        text = self.frame_of(stored)
        message, raw = {"type": "websocket.send", "text": text}, wired(text)
        for line in tuple(self._lines):
            try:
                if not line.offer(stored[0], message, raw):
                    self.part(line)
            except Exception:  # noqa: BLE001 - whatever a server raises for a client that is gone
                self.part(line)
                line.part()

    def _part_all(self) -> None:
        for line in tuple(self._lines):
            self.part(line)
            line.part()


class Feeds:
    """A feed for each user who is connected."""

    def __init__(self, hub: EventHub, frames: Frames, epoch: str) -> None:
        self._hub: Final = hub
        self._frames: Final = frames
        self._epoch: Final = epoch
        self._feeds: Final[dict[str, Feed]] = {}

    @contextlib.contextmanager
    def using(self, user: str) -> Generator[Feed]:
        """The feed of *user*, which goes on for as long as anybody uses it."""
        feed = self._feeds.get(user)
        if feed is None or feed.is_over:
            feed = self._feeds[user] = Feed(self._hub, self._frames, user, self._epoch)
        feed.users += 1
        try:
            yield feed
        finally:
            feed.users -= 1
            if not feed.users:
                feed.close()
                if self._feeds.get(user) is feed:
                    del self._feeds[user]
