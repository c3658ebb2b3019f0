"""
A task that begins at once: where its first step is its last, no loop has to turn.

Python 3.12 has such tasks. For 3.11 here is one, made by the rules for tasks of third parties
(https://docs.python.org/3/library/asyncio-extending.html): most sends to venues in this process end in one
step, and an own task would cost them more than everything else together.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["EagerTask", "begin"]


def begin(work: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
    """Start *work* on *loop*, which is running, in a task of its own; its first step is over on return."""
    if sys.version_info >= (3, 12):
        return asyncio.Task(work, loop=loop, eager_start=True)
    return EagerTask(work, loop)


class EagerTask(asyncio.Future[None]):
    """A task for coroutines that return nothing, and raise nothing but what ends the loop."""

    _waits_for: asyncio.Future[Any] | None = None
    _cancel_wanted = False
    _cancels = 0

    def __init__(self, work: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self._loop_here = loop
        self._work = work
        self._context = contextvars.copy_context()
        outer = asyncio.current_task(loop)
        if outer is not None:
            asyncio.tasks._leave_task(loop, outer)
        try:
            self._context.run(self._step, None)
        finally:
            if outer is not None:
                asyncio.tasks._enter_task(loop, outer)
        if not self.done():
            asyncio.tasks._register_task(self)  # type: ignore[arg-type]

    def _step(self, raised: BaseException | None) -> None:
        loop = self._loop_here
        self._waits_for = None
        if self._cancel_wanted:
            self._cancel_wanted, raised = False, asyncio.CancelledError()
        asyncio.tasks._enter_task(loop, self)  # type: ignore[arg-type]
        try:
            awaited = self._work.send(None) if raised is None else self._work.throw(raised)
        except StopIteration:
            self.set_result(None)
        except asyncio.CancelledError:
            super().cancel()
        except (KeyboardInterrupt, SystemExit) as error:
            self.set_exception(error)
            self.exception()  # it is told right here, and need not be told again when it is forgotten
            raise
        except BaseException as error:  # noqa: BLE001 - as every task does
            self.set_exception(error)
        else:
            self._wait_for(awaited)
        finally:
            asyncio.tasks._leave_task(loop, self)  # type: ignore[arg-type]

    def _wait_for(self, awaited: Any) -> None:
        if awaited is None:  # a bare yield: sleep(0)
            self._loop_here.call_soon(self._step, None, context=self._context)
            return
        if (problem := self._problem_with(awaited)) is not None:
            self._loop_here.call_soon(self._step, RuntimeError(problem), context=self._context)
            return
        awaited._asyncio_future_blocking = False
        awaited.add_done_callback(self._wake, context=self._context)
        self._waits_for = awaited
        if self._cancel_wanted and awaited.cancel():
            self._cancel_wanted = False

    def _problem_with(self, awaited: Any) -> str | None:
        """Why it cannot be waited for: the coroutine is told so, as it would be in any task."""
        if not getattr(awaited, "_asyncio_future_blocking", False):
            return f"{self.get_name()} yields {awaited!r}, which is no future to wait for: use await"
        if awaited.get_loop() is not self._loop_here:
            return f"{self.get_name()} waits for {awaited!r}, which belongs to another loop"
        if awaited is self:
            return f"{self.get_name()} waits for itself"
        return None

    def _wake(self, awaited: asyncio.Future[Any]) -> None:
        try:
            awaited.result()
        except BaseException as error:  # noqa: BLE001 - thrown into the coroutine, which waits for it
            self._step(error)
        else:
            self._step(None)

    # -- what a task can do ------------------------------------------------------------------------

    def cancel(self, msg: Any = None) -> bool:
        """Ask for the coroutine to be cancelled where it waits."""
        if self.done():
            return False
        self._cancels += 1
        if self._waits_for is None or not self._waits_for.cancel(msg=msg):
            self._cancel_wanted = True
        return True

    def cancelling(self) -> int:
        """How often it was asked to end, and not asked to go on."""
        return self._cancels

    def uncancel(self) -> int:
        """Take one of those back."""
        self._cancels = max(0, self._cancels - 1)
        return self._cancels

    def get_coro(self) -> Coroutine[Any, Any, None]:
        """The coroutine."""
        return self._work

    def get_name(self) -> str:
        """What debuggers call it."""
        return getattr(self._work, "__qualname__", "send")

    def set_name(self, value: object) -> None:
        """Keep the name of the coroutine."""

    def get_stack(self, *, limit: int | None = None) -> list[Any]:
        """Where it is, as far as that is known."""
        del limit
        frame = self._work.cr_frame  # type: ignore[attr-defined]
        return [] if frame is None else [frame]
