"""The template for SDKs that block: hooks are plain methods, and run in a few threads of their own."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from hotplug.brokers._settings import Seat
from hotplug.brokers._template._gateway import BrokerGateway
from hotplug.errors import BrokerUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["SyncBrokerGateway"]

T = TypeVar("T")
_GATED: Final = frozenset({"_place", "_modify"})


class SyncBrokerGateway(BrokerGateway):
    """
    A `BrokerGateway` whose hooks are plain functions that may block.

    They run in at most *pool_size* daemon threads at once (and one more that only cancels use). A hook
    that hangs keeps its thread; when all hang, calls are refused at once with `BrokerUnavailable`, NOT_SENT,
    after their deadline. ``report`` may be called from those threads, or any other.
    """

    pool_size: int = 4

    def _subscribe(self, symbols: frozenset[str]) -> None:
        """From now on report the quotes of *symbols*, which are all that anybody wants (``QUOTES``)."""

    def _invoke(self, hook: Callable[..., Any], *arguments: object) -> Awaitable[Any]:
        pool: _Pool | None = getattr(self, "_pool", None)
        if pool is None:
            pool = self._pool = _Pool(self.pool_size, self.broker_id)
        name = getattr(hook, "__name__", "")
        look = partial(self._refuse_if_shut, arguments[0]) if name in _GATED else None
        return pool.run(hook, arguments, urgent=name == "_cancel", look=look)

    def _refuse_if_shut(self, order: Any) -> None:
        """It waited for a thread, and was not sent yet: meanwhile the gate may have been shut."""
        error = self._core.place_error(Seat(None, order.attribution))
        if error is not None:
            raise error


class _Pool:
    """Threads that come when there is work and go when there is none. Belongs to one loop at a time."""

    def __init__(self, size: int, name: str) -> None:
        self._size: Final = size
        self._name: Final = name
        self._busy = 0
        self._line: deque[asyncio.Future[None]] = deque()

    async def run(
        self,
        hook: Callable[..., T],
        arguments: tuple[object, ...],
        *,
        urgent: bool,
        look: Callable[[], None] | None = None,
    ) -> T:
        """
        What *hook* returns; who is cancelled leaves it running, in its thread.

        Where a thread had to be waited for, *look* may refuse by raising, before the hook is called.
        """
        size = self._size + 1 if urgent else self._size
        waits = self._busy >= size
        while self._busy >= size:
            turn = asyncio.get_running_loop().create_future()
            self._line.append(turn)
            try:
                await turn
            except asyncio.CancelledError as error:
                if turn.done() and not turn.cancelled():
                    self._next()  # the turn was given to us, and is not taken
                raise error from None
            finally:
                if turn in self._line:
                    self._line.remove(turn)
        if waits and look is not None:
            try:
                look()
            except BaseException:
                self._next()  # the turn is not taken
                raise
        self._busy += 1
        return await self._in_thread(hook, arguments)

    def _in_thread(self, hook: Callable[..., T], arguments: tuple[object, ...]) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        context = contextvars.copy_context()

        def work() -> None:
            try:
                result = context.run(hook, *arguments)
            except BaseException as error:  # noqa: BLE001 - the border to plugin code; handed to who waits
                told: BaseException = error
                if isinstance(error, (StopIteration, KeyboardInterrupt, SystemExit)):
                    told = BrokerUnavailable(f"{type(error).__name__} was raised", code="unexpected")
                    told.__cause__ = error
                self._deliver(loop, self._failed, answer, told)
            else:
                self._deliver(loop, self._done, answer, result)

        try:
            threading.Thread(target=work, name=f"hotplug broker {self._name}", daemon=True).start()
        except RuntimeError as error:
            self._busy -= 1
            raise BrokerUnavailable("no thread can be started", code="threads", outcome="NOT_SENT") from error
        return answer

    def _deliver(self, loop: asyncio.AbstractEventLoop, how: Callable[..., None], *what: object) -> None:
        try:
            loop.call_soon_threadsafe(how, *what)
        except RuntimeError:  # the loop is gone, and everybody who waited
            self._busy -= 1

    def _done(self, answer: asyncio.Future[T], result: T) -> None:
        self._busy -= 1
        self._next()
        if not answer.done():
            answer.set_result(result)

    def _failed(self, answer: asyncio.Future[T], error: BaseException) -> None:
        self._busy -= 1
        self._next()
        if not answer.done():
            answer.set_exception(error)

    def _next(self) -> None:
        while self._line:
            turn = self._line.popleft()
            if not turn.done():
                turn.set_result(None)
                return
