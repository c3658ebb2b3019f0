"""Everybody who is connected."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, Protocol

from hotplug import UserExecutionContext
from hotplug_web._feed import Feeds
from hotplug_web._frames import Frames
from hotplug_web._limits import Limits, Slots
from hotplug_web._refusals import GONE, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from hotplug.events import Event, EventHub
    from hotplug_web._guests import Guest

__all__ = ["Connection", "WebSocketManager"]


class Connection(Protocol):
    """Somebody who is connected."""

    @property
    def user(self) -> str:
        """Who that is."""
        ...

    @property
    def guest(self) -> Guest:
        """How that one came in."""
        ...

    def leave(self, code: int, why: str) -> None:
        """Close it, from any thread; returns at once."""


class WebSocketManager:
    """
    The live connections of all users to an `EventHub`, and how many of them there may be.

    It is an `EventSink` as well: what an ``AgentRegistry`` with a hub of its own publishes here is told to
    the event's user. Events of *hub* itself reach their readers anyway, and are not told twice.
    """

    def __init__(self, hub: EventHub, limits: Limits | None = None) -> None:
        limits = limits or Limits()
        self.hub: Final = hub
        self.limits: Final = limits
        self.frames: Final = Frames()
        self.users: Final = Slots(limits.per_user, "user")
        self.addresses: Final = Slots(limits.per_address, "address")
        self.counts: Final[Counter[str]] = Counter()
        self._live: Final[set[Connection]] = set()
        self._guard: Final = threading.Lock()
        self._emptied = asyncio.Event()
        with hub.open(UserExecutionContext("hotplug-web")) as cursor:
            self.epoch: Final = cursor.ack().partition(":")[0]
        self.feeds: Final = Feeds(hub, self.frames, self.epoch)

    def __len__(self) -> int:
        return len(self._live)

    def __bool__(self) -> bool:
        return True

    @contextlib.contextmanager
    def connected(self, connection: Connection) -> Generator[None]:
        """*connection* is one of those inside; `Refusal` where its user has too many."""
        with self.users.take(connection.user):
            with self._guard:
                self._live.add(connection)
            self.counts["connected"] += 1
            try:
                yield
            finally:
                with self._guard:
                    self._live.discard(connection)
                if not self._live:
                    self._emptied.set()

    def disconnect(
        self,
        user: str,
        *,
        code: int = UNKNOWN,
        why: str = "revoked",
        of: Callable[[Connection], bool] = lambda _: True,
    ) -> int:
        """Close all connections *of* *user*, at once and from any thread; how many there were."""
        theirs = tuple(each for each in self._all() if each.user == user and of(each))
        return self._close(theirs, code, why)

    async def close(self, *, code: int = GONE, why: str = "the server goes away", limit: float = 2.0) -> None:
        """Tell everybody, and wait until they have gone; *limit* seconds at most."""
        self._emptied = asyncio.Event()
        self._close(self._all(), code, why)
        if self._live:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._emptied.wait(), limit)

    def publish(self, event: Event, /) -> None:
        """Tell *event* to its user, unless the hub has it already. From any thread; returns at once."""
        if event.cursor.partition(":")[0] == self.epoch:
            return
        facts: dict[str, Any] = {"thread_id": event.thread_id}
        if event.run_id is not None:
            facts["run_id"] = event.run_id
        self.hub.emit(UserExecutionContext(event.user_id, **facts), event.type, event.payload)

    def stats(self) -> Mapping[str, int]:
        """What is connected now, and what was counted so far."""
        return {"connections": len(self._live), **self.counts}

    def _all(self) -> tuple[Connection, ...]:
        with self._guard:
            return tuple(self._live)

    def _close(self, connections: tuple[Connection, ...], code: int, why: str) -> int:
        for connection in connections:
            connection.leave(code, why)
        return len(connections)
