"""Calls that may take long, made off the event loop."""

from __future__ import annotations

import contextvars
import threading
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["run_in_thread"]

P = ParamSpec("P")
R = TypeVar("R")


async def run_in_thread(call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """
    The result of *call*, made in a daemon thread of its own with the caller's context variables.

    What it raises is raised here. The thread has ended when this returns. If the awaiting task is
    cancelled (or the loop closed), the thread ends by itself and its result is dropped. A pool is
    not used on purpose: a call that never returns would take one of its workers along.
    """
    import asyncio

    loop = asyncio.get_running_loop()
    finished: asyncio.Future[None] = loop.create_future()
    outcome: list[Any] = []
    context = contextvars.copy_context()

    def wake() -> None:
        if not finished.done():
            finished.set_result(None)

    def work() -> None:
        try:
            outcome.extend((True, context.run(call, *args, **kwargs)))
        except BaseException as error:  # noqa: BLE001 - whatever it is, it belongs to the awaiting task
            outcome.extend((False, error))
        try:
            loop.call_soon_threadsafe(wake)
        except RuntimeError:
            # The loop was closed meanwhile: nobody is left to be told.
            outcome.clear()

    thread = threading.Thread(target=work, name="hotplug call", daemon=True)
    thread.start()
    await finished
    thread.join()
    succeeded, result = outcome
    try:
        if not succeeded:
            raise result
        value: R = result
        return value
    finally:
        # An error holds this frame, and this frame must not hold the error.
        del result
        outcome.clear()
