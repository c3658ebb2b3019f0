"""What the host says of changes, brought to the desks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable

    import hotplug
    from hotplug_mcp._desk import Desk

__all__ = ["following"]

log: Final = logging.getLogger("hotplug.mcp")


@contextlib.asynccontextmanager
async def following(host: hotplug.Host, desks: Callable[[], Iterable[Desk]]) -> AsyncGenerator[None]:
    """Within it, the *desks* look again whenever anything changed: plugins, configuration, the registry."""
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()

    def ring(_: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is here any more
            loop.call_soon_threadsafe(changed.set)

    undos = [host.subscribe(ring), host.tools.subscribe(ring)]
    looking = asyncio.create_task(_look(changed, desks))
    try:
        yield
    finally:
        for undo in undos:
            undo()
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


async def _look(changed: asyncio.Event, desks: Callable[[], Iterable[Desk]]) -> None:
    while True:
        await changed.wait()
        changed.clear()
        for desk in tuple(desks()):
            try:
                await desk.look()
            except Exception:
                log.exception("the tools of %s could not be looked at", desk.user)
