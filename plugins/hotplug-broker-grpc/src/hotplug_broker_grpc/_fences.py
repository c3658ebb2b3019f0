"""Orders that were declared never arrived stay away, also where they are still on their way."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from hotplug.errors import BrokerUnavailable

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["Fences"]

KEPT: Final = 100_000
Name = tuple[str, str, str]


class Fences:
    """
    For each (broker, user, client order id): who asked for it last, and with which call.

    A send that was on its way then, and arrives only now, is refused: a line may deliver what was written
    into it long after its other end gave it up. Lives on the server's loop.
    """

    def __init__(self) -> None:
        self._asked: Final[OrderedDict[Name, tuple[str, int]]] = OrderedDict()
        self._under_way: Final[dict[Name, list[asyncio.Future[None]]]] = {}

    @contextmanager
    def sending(self, name: Name, session: str, call: int) -> Generator[None]:
        """Send within this; `BrokerUnavailable` (NOT_SENT) where it was asked for *name* meanwhile."""
        fence = self._asked.get(name)
        if fence is not None and (session != fence[0] or call < fence[1]):
            raise BrokerUnavailable(
                f"this call for {name[2]!r} came too late: it was taken for lost",
                code="fenced",
                outcome="NOT_SENT",
            )
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._under_way.setdefault(name, []).append(done)
        try:
            yield
        finally:
            done.set_result(None)
            left = self._under_way[name]
            left.remove(done)
            if not left:
                del self._under_way[name]

    def ask(self, name: Name, session: str, call: int) -> None:
        """Let nothing older through from now on."""
        self._asked[name] = (session, call)
        self._asked.move_to_end(name)
        if len(self._asked) > KEPT:
            self._asked.popitem(last=False)

    async def landed(self, name: Name) -> bool:
        """Wait for what got through before, if anything did."""
        waited = False
        while waiting := self._under_way.get(name):
            await asyncio.wait(set(waiting))
            waited = True
        return waited
