"""The loop that things live on, and how they are brought down: walled, in order, within limits."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeVar

from hotplug.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

__all__ = ["HomeLoop", "Outcome", "Stuck", "WalledCall", "close_of", "name_and_text", "to_the_end", "within"]

T = TypeVar("T")
_log = logging.getLogger("hotplug.host")

END_LIMIT: Final = 5.0  # seconds that the tasks of an owned loop have to end
LOOK: Final = 0.05  # seconds between two looks whether what is waited for is wanted still
GRACE: Final = 5.0  # seconds that cancelled plugin code has to clean up before it is left behind


class Stuck(TimeoutError):  # noqa: N818 - it is a state, and never leaves the machine room
    """Code did not come back in time; *thread* is where it still runs."""

    def __init__(self, thread: str, limit: float) -> None:
        self.thread: Final = thread
        self.limit: Final = limit
        super().__init__(f"no answer within {limit:g} s (thread {thread})")


class _Here(threading.local):
    """What is known of the current thread."""

    is_errand = False


_here: Final = _Here()


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
        _here.is_errand = True
        try:
            self._result.append(self._context.run(self._call))
        except BaseException as error:  # noqa: BLE001 - border to plugin code; handed to who waits
            self._error = error
        finally:
            self._done.set()

    def wait(self, limit: float, given_up: Callable[[], bool] | None) -> T:
        self.thread.start()
        if not (self._done.wait(limit) if given_up is None else self._ends(limit, given_up)):
            raise Stuck(self.thread.name, limit)
        self.thread.join()
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # the traceback refers to this frame: do not make a circle
        return self._result.pop()

    def _ends(self, limit: float, given_up: Callable[[], bool]) -> bool:
        until = time.monotonic() + limit
        while (left := until - time.monotonic()) > 0 and not given_up():
            if self._done.wait(min(LOOK, left)):
                return True
        return self._done.is_set()


def within(limit: float, call: Callable[[], T], name: str, given_up: Callable[[], bool] | None = None) -> T:
    """
    What *call* returns or raises, if it comes back within *limit* seconds; else `Stuck`.

    So it is as soon as *given_up* says yes, which is asked now and then. The call runs in a daemon thread of
    its own, called *name*, with the caller's context variables. Who asks from such a thread has it run there:
    somebody waits for the whole already.
    """
    if _here.is_errand:
        return call()
    return _Errand(call, name).wait(limit, given_up)


class HomeLoop:
    """
    The event loop on which gateways and services live: an owned thread's, or the running one.

    `run` may be called from every thread but the loop's own; `is_here` tells.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop: Final = loop
        self._thread: threading.Thread | None = None
        self._ending = False
        self._seems_blocked = False
        self._kept: set[asyncio.Task[object]] = set()

    @classmethod
    def own(cls, name: str) -> HomeLoop:
        """A new loop, running in a daemon thread called *name* until `close`."""
        home = cls(asyncio.new_event_loop())
        thread = threading.Thread(target=home._serve, name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads
            home.loop.close()
            raise
        home._thread = thread
        return home

    @classmethod
    def adopt(cls) -> HomeLoop:
        """The loop that is running right now; `close` leaves it alone."""
        return cls(asyncio.get_running_loop())

    def _serve(self) -> None:
        while not (self._ending or self.loop.is_closed()):
            self._survives(self.loop.run_forever)
        while not (self.loop.is_closed() or self._survives(self._end_tasks)):
            pass
        self.loop.close()

    def _survives(self, run: Callable[[], None]) -> bool:
        """Whether *run* came to its end: a task that raises SystemExit would take the loop of all along."""
        try:
            run()
        except BaseException as error:  # noqa: BLE001 - the border to plugin code
            _log.error("a task on the home loop raised %s: the loop goes on", name_and_text(error))
            return False
        return True

    def _end_tasks(self) -> None:
        self.loop.run_until_complete(_end_tasks(END_LIMIT))

    @property
    def is_here(self) -> bool:
        """Whether the caller stands on this very loop."""
        try:
            return asyncio.get_running_loop() is self.loop
        except RuntimeError:
            return False

    @property
    def is_over(self) -> bool:
        """Whether it is closed or about to be; a thread that only just began is about to run it."""
        if self._thread is None:
            return not self.loop.is_running()
        return self._ending

    @property
    def _is_lost(self) -> bool:
        """Whether its thread ended by itself: that is so in a process forked from its own."""
        return self._thread is not None and not (self._ending or self._thread.is_alive())

    def run(self, work: Coroutine[Any, Any, T], patience: float = 30.0) -> T:
        """
        Run *work* on the loop and wait for it; who is interrupted meanwhile has it cancelled.

        A loop that does not turn for *patience* seconds (somebody blocks it) gives `Stuck`. Where the
        loop is over, as an application's own may be, *work* is run on one made for it. In a forked process
        there is nobody to run it: `HostError`.
        """
        if self._is_lost:
            work.close()
            raise HostError("the host's event loop runs in the process of which this one was forked")
        future = self._submit(work)
        if future is not None:
            try:
                return self._result(future, patience)
            finally:
                if self.loop.is_closed():  # what it never began, nobody else will end
                    with contextlib.suppress(RuntimeError, ValueError):
                        work.close()
        other = HomeLoop.own("hotplug late home")
        try:
            return other.run(work, patience)
        finally:
            other.close()

    def _submit(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T] | None:
        if self.is_over:
            return None
        try:
            return asyncio.run_coroutine_threadsafe(work, self.loop)
        except RuntimeError:  # it was closed between the two lines
            return None

    def _result(self, future: concurrent.futures.Future[T], patience: float) -> T:
        try:
            while not future.done():
                self._see_it_turn(future, patience)
            return future.result()
        except concurrent.futures.CancelledError:
            if self.is_over:  # its end cancels what is still under way
                raise HostError("the host was closed while this was under way") from None
            raise
        except BaseException:
            future.cancel()
            raise

    def _see_it_turn(self, future: concurrent.futures.Future[T], patience: float) -> None:
        """Return when *future* is done, or the loop was seen at work; else raise `Stuck`."""
        turned = threading.Event()
        # Who was found blocked once is not waited for as long again.
        limit = min(patience, 1.0) if self._seems_blocked else patience
        with contextlib.suppress(RuntimeError):  # it was closed, by its application
            self.loop.call_soon_threadsafe(turned.set)
        self._wait(future, limit)
        self._seems_blocked = not (turned.is_set() or future.done())
        if self._seems_blocked:
            raise Stuck(self._thread.name if self._thread else "the thread of the running loop", limit)

    def _wait(self, future: concurrent.futures.Future[T], limit: float) -> None:
        """Wait for *future*, *limit* seconds at most, and not for a loop that was closed."""
        deadline = time.monotonic() + limit
        while (left := deadline - time.monotonic()) > 0 and not self.loop.is_closed():
            if concurrent.futures.wait({future}, min(left, 0.5)).done:
                return

    def keep(self, work: Coroutine[Any, Any, object]) -> None:
        """Start *work* on this loop from the loop itself, and hold on to it until it is over."""
        task = self.loop.create_task(work)
        self._kept.add(task)
        task.add_done_callback(self._kept.discard)

    async def kept_is_over(self) -> None:
        """Wait for what is kept; on this loop."""
        while self._kept:
            await asyncio.wait(set(self._kept))

    def close(self, limit: float = END_LIMIT + 1.0) -> str | None:
        """End an owned loop with all its tasks; the name of its thread if that would not end. Idempotent."""
        if self._thread is None:
            return None
        self._ending = True
        with contextlib.suppress(RuntimeError):  # it is closed
            self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(limit)
        return self._thread.name if self._thread.is_alive() else None


async def _end_tasks(limit: float) -> None:
    """Cancel what still runs on this loop and wait until it is over, *limit* seconds at most."""
    loop = asyncio.get_running_loop()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    # Not wait_for: cancelled, the last of them would join the threads of a pool on this loop.
    ending = {*others, *map(loop.create_task, (loop.shutdown_asyncgens(), loop.shutdown_default_executor()))}
    await asyncio.wait(ending, timeout=limit)


async def to_the_end(work: Awaitable[T]) -> T:
    """
    What *work* gives or raises.

    Who is cancelled while waiting waits on until it is over, and is cancelled then: nothing is half done.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        return task.result()
    if not task.cancelled() and (raised := task.exception()) is not None:
        _log.warning("cancelled while waiting for what raised %s", name_and_text(raised))
    try:
        raise cancelled
    finally:
        del cancelled  # its traceback refers to this frame


def close_of(thing: object) -> Callable[[], Any] | None:
    """The method that closes *thing*: ``aclose`` or else ``close``, where it has one. Runs plugin code."""
    if issubclass(type(thing), type):  # isinstance would believe what its __class__ says
        return None
    for name in ("aclose", "close"):
        method = getattr(thing, name, None)
        if callable(method):
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
