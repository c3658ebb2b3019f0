"""Waking readers: they wait on futures of their own loops, and whoever writes may do so in any thread."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["finish", "wake"]


def wake(waiting: Iterable[asyncio.Future[None]]) -> None:
    """Let who waits go on. Thread-safe; call it without a lock held."""
    here = _running_loop()
    elsewhere: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
    for future in waiting:
        loop = future.get_loop()
        if loop is here:
            finish(future)
        else:
            elsewhere.setdefault(loop, []).append(future)
    for loop, futures in elsewhere.items():
        with suppress(RuntimeError):  # it was closed, and nobody waits there any more
            loop.call_soon_threadsafe(_finish_all, futures)


def finish(future: asyncio.Future[None]) -> None:
    """Let who waits for *future* go on; in the thread of its loop."""
    if not future.done():
        future.set_result(None)


def _finish_all(futures: Iterable[asyncio.Future[None]]) -> None:
    for future in futures:
        finish(future)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
