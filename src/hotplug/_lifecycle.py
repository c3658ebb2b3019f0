"""The loop that things live on, and how they are brought down: walled, in order, within limits."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

__all__ = ["HomeLoop", "Outcome", "Stuck", "WalledCall", "close_of", "name_and_text", "within"]

T = TypeVar("T")

GRACE: Final = 5.0  # seconds that cancelled plugin code has to clean up before it is left behind


class Stuck(TimeoutError):  # noqa: N818 - it is a state, and never leaves the machine room
    """Code did not come back in time; *thread* is where it still runs."""

    def __init__(self, thread: str, limit: float) -> None:
        self.thread: Final = thread
        self.limit: Final = limit
        super().__init__(f"no answer within {limit:g} s (thread {thread})")


class _Errand(Generic[T]):
    """One call in a thread of its own, and how it ended."""

    def __init__(self, call: Callable[[], T], name: str) -> None:
        self._call = call
        self._context = contextvars.copy_context()
        self._done = threading.Event()
        self._result: list[T] = []
        self._error: BaseException | None = None
        self.thread: Final = threading.Thread(target=self._run, name=name, daemon=True)

    def _run(self) -> None:
        try:
            self._result.append(self._context.run(self._call))
        except BaseException as error:  # noqa: BLE001 - border to plugin code; handed to who waits
            self._error = error
        finally:
            self._done.set()

    def wait(self, limit: float) -> T:
        self.thread.start()
        if not self._done.wait(limit):
            raise Stuck(self.thread.name, limit)
        self.thread.join()
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # the traceback refers to this frame: do not make a circle
        return self._result.pop()


def within(limit: float, call: Callable[[], T], name: str) -> T:
    """
    What *call* returns or raises, if it comes back within *limit* seconds; else `Stuck`.

    It runs in a daemon thread of its own, called *name*, with the caller's context variables.
    """
    return _Errand(call, name).wait(limit)


class HomeLoop:
    """
    The event loop on which gateways and services live: an owned thread's, or the running one.

    `run` may be called from every thread but the loop's own; `is_here` tells.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, thread: threading.Thread | None = None) -> None:
        self.loop: Final = loop
        self._thread = thread
        self._kept: set[asyncio.Task[object]] = set()

    @classmethod
    def own(cls, name: str) -> HomeLoop:
        """A new loop, running in a daemon thread called *name* until `close`."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name=name, daemon=True)
        thread.start()
        return cls(loop, thread)

    @classmethod
    def adopt(cls) -> HomeLoop:
        """The loop that is running right now; `close` leaves it alone."""
        return cls(asyncio.get_running_loop())

    @property
    def is_here(self) -> bool:
        """Whether the caller stands on this very loop."""
        try:
            return asyncio.get_running_loop() is self.loop
        except RuntimeError:
            return False

    def run(self, work: Coroutine[Any, Any, T], limit: float | None = None) -> T:
        """
        Run *work* on the loop and wait for it, *limit* seconds at most (`TimeoutError`, and it is cancelled).

        A loop that does not even take the cancellation (somebody blocks it) gives `Stuck`.
        """
        future = asyncio.run_coroutine_threadsafe(_limited(work, limit), self.loop)
        try:
            return future.result(None if limit is None else limit + 1.0)
        except TimeoutError:
            if future.done():
                raise
            future.cancel()
            raise Stuck(self._thread.name if self._thread else "the running loop", limit or 0.0) from None

    def keep(self, work: Coroutine[Any, Any, object]) -> None:
        """Start *work* on this loop from the loop itself, and hold on to it until it is over."""
        task = self.loop.create_task(work)
        self._kept.add(task)
        task.add_done_callback(self._kept.discard)

    def close(self, limit: float = 5.0) -> str | None:
        """End an owned loop with all its tasks; the name of its thread if that would not end."""
        if self._thread is None:
            return None
        with contextlib.suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(_end_tasks(), self.loop).result(limit)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(limit)
        if self._thread.is_alive():
            return self._thread.name
        self.loop.close()
        return None


async def _limited(work: Coroutine[Any, Any, T], limit: float | None) -> T:
    return await asyncio.wait_for(work, limit)


async def _end_tasks() -> None:
    """Cancel what still runs on this loop and wait until it is over."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    loop = asyncio.get_running_loop()
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()


def close_of(thing: object) -> Callable[[], Any] | None:
    """The method that closes *thing*: ``aclose`` or else ``close``, where it has one."""
    for name in ("aclose", "close"):
        method = getattr(thing, name, None)
        if callable(method) and not inspect.isclass(thing):
            return method  # type: ignore[no-any-return]
    return None


# -- awaiting plugin code --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """
    How a call ended. *value* is meant where *state* is ``done``, *error* where it is ``failed``.

    *left_behind* says that the code was cancelled and has not stopped yet.
    """

    state: Literal["done", "failed", "cancelled", "timed out"]
    value: T | None = None
    error: BaseException | None = None
    left_behind: bool = False


class WalledCall(Generic[T]):
    """
    One call of async plugin code, in a task of its own.

    Whatever the code raises, ``SystemExit`` and a ``CancelledError`` of its own making included, is an
    `Outcome`. Out come only `KeyboardInterrupt` and the cancellation of who awaits `outcome`.
    *on_stop* is told when the code is about to be cancelled.
    """

    def __init__(
        self,
        call: Callable[[], Awaitable[T]],
        *,
        grace: float | None = None,
        on_stop: Callable[[], None] | None = None,
    ) -> None:
        self._call = call
        self._grace = GRACE if grace is None else grace
        self._on_stop = on_stop
        self._stop_wanted: asyncio.Future[None] | None = None
        self._cancelled = False

    def cancel(self) -> None:
        """Ask the code to stop, from any thread: before the call prevents it, afterwards nothing happens."""
        self._cancelled = True
        self._tell_stop()
        wanted = self._stop_wanted
        if wanted is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the call is long over
                wanted.get_loop().call_soon_threadsafe(_resolve, wanted)

    async def outcome(self, timeout: float | None = None) -> Outcome[T]:  # noqa: ASYNC109 - part of the outcome
        """
        Make the call and wait until it ended, *timeout* seconds at most.

        After that, or when who awaits this is cancelled, the code is cancelled and has the grace to clean up.
        """
        loop = asyncio.get_running_loop()
        self._stop_wanted = wanted = loop.create_future()
        if self._cancelled:
            return Outcome("cancelled")
        task = loop.create_task(self._walled())
        try:
            await asyncio.wait({task, wanted}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self._stop(task)
            raise
        if task.done():
            return task.result()
        await self._stop(task)
        return Outcome("cancelled" if wanted.done() else "timed out", left_behind=not task.done())

    async def _walled(self) -> Outcome[T]:
        try:
            return Outcome("done", await self._call())
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - the border to plugin code
            return Outcome("failed", error=error)

    def _tell_stop(self) -> None:
        if self._on_stop is not None:
            self._on_stop()

    async def _stop(self, task: asyncio.Task[Outcome[T]]) -> None:
        self._tell_stop()
        task.cancel()
        await asyncio.wait({task}, timeout=self._grace)
        if not task.done():
            _left_behind.add(task)
            task.add_done_callback(_left_behind.discard)


_left_behind: Final[set[asyncio.Task[Any]]] = set()  # the loop itself holds its tasks only weakly


def name_and_text(error: BaseException | None) -> str:
    """The error on one line, for logs and errors; even if its own ``str`` raises."""
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001 - the border to plugin code
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
