"""How many sync tools may run at once, over all threads and event loops; and which never came back."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, deque
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeAlias, TypeVar

from hotplug.registry._threads import run_in_thread

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ACCOUNT", "Account", "SLOTS", "Slots", "Stuck"]

R = TypeVar("R")
Place: TypeAlias = "tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]"


class Stuck:
    """
    Counts threads that nobody waits for any more and that still run, by whom to blame. Thread-safe.

    Who has no such thread is not remembered: nothing is kept alive by this.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[object, int] = {}

    def count(self, culprit: object) -> int:
        """How many threads of *culprit* are stuck."""
        return self._counts.get(culprit, 0)

    def add(self, culprit: object, threads: int) -> None:
        """Note that so many more (or fewer) of them are."""
        with self._lock:
            count = self._counts.pop(culprit, 0) + threads
            if count:
                self._counts[culprit] = count


@dataclass(eq=False, slots=True)
class Account:
    """
    What is known of one call while it is made.

    Its threads that never come back are noted in *stuck*, to the account of *culprit*. *refuse* raises if
    it must not begin any more, and is asked when its turn has come; *began* says whether it has.
    """

    stuck: Stuck
    culprit: object
    refuse: Callable[[], None]
    began: bool = False

    def begin(self) -> None:
        """Note that from now on nobody can say that nothing happened."""
        if not self.began:
            self.refuse()
            self.began = True


ACCOUNT: Final[ContextVar[Account | None]] = ContextVar("hotplug tool call", default=None)
"""The call that the code works on."""


class _Errand(Generic[R]):
    """One call in a thread, of which somebody may lose patience before it returns."""

    def __init__(self, call: Callable[[], R], account: Account | None) -> None:
        self._call = call
        self._account = account
        self._lock = threading.Lock()
        self._returned = self._given_up = False

    def run(self) -> R:
        try:
            return self._call()
        finally:
            with self._lock:
                self._returned = True
                if self._given_up:
                    self._count(-1)

    def give_up(self) -> None:
        """Count it until it returns, unless it just did."""
        with self._lock:
            self._given_up = not self._returned
            if self._given_up:
                self._count(+1)

    def _count(self, threads: int) -> None:
        if self._account is not None:
            self._account.stuck.add(self._account.culprit, threads)


class Slots:
    """
    *size* places for calls in threads, shared fairly: who finds none waits for its turn.

    A user takes a place only while it has fewer than are free. So *n* users who take all they can get have
    ``size / (n + 1)`` each, and as many stay free for who comes next: nobody can take them from others. A
    place that becomes free goes to the user who has the fewest, and within one user to who waits longest.

    A call that is given up (its awaiting task was cancelled) gives up its place at once, though its
    thread goes on: a tool that never returns must not eat the pool. It counts as stuck until it returns.
    """

    def __init__(self, size: int) -> None:
        self._free = size
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()
        self._waiting: dict[str, deque[Place]] = {}

    @property
    def free(self) -> int:
        """How many places are not taken."""
        return self._free

    @property
    def waiting(self) -> int:
        """How many calls wait for a place."""
        with self._lock:
            return sum(map(len, self._waiting.values()))

    async def run(self, user: str, call: Callable[[], R]) -> R:
        """The result of *call*, made for *user* in a daemon thread with the caller's context variables."""
        await self._take(user)
        try:
            account = ACCOUNT.get()
            if account is not None:
                account.begin()
            errand = _Errand(call, account)
            try:
                return await run_in_thread(errand.run)
            except (asyncio.CancelledError, GeneratorExit):
                errand.give_up()
                raise
        finally:
            self._give(user)

    async def _take(self, user: str) -> None:
        loop = asyncio.get_running_loop()
        place = (loop, loop.create_future())
        with self._lock:
            if self._taken[user] < self._free:  # who waits has not fewer
                self._move(user)
                return
            self._waiting.setdefault(user, deque()).append(place)
        try:
            await place[1]
        except BaseException:
            if self._is_handed_over(user, place):
                self._give(user)
            raise

    def _is_handed_over(self, user: str, place: Place) -> bool:
        """Whether who stops waiting was given a place in the same moment."""
        with self._lock:
            queue = self._waiting.get(user)
            if queue is None or place not in queue:
                return True
            queue.remove(place)
            if not queue:
                del self._waiting[user]
            return False

    def _give(self, user: str) -> None:
        with self._lock:
            self._move(user, back=True)
            while (place := self._next()) is not None:
                whose, (loop, turn) = place
                try:
                    loop.call_soon_threadsafe(_resolve, turn)
                except RuntimeError:  # that loop was closed: the next one, please
                    self._move(whose, back=True)

    def _next(self) -> tuple[str, Place] | None:
        """Whose turn it is, which has its place then."""
        whose = min(self._waiting, key=self._taken.__getitem__, default=None)
        if whose is None or self._taken[whose] >= self._free:
            return None
        queue = self._waiting.pop(whose)
        place = queue.popleft()
        if queue:
            self._waiting[whose] = queue  # behind the others who have as few
        self._move(whose)
        return whose, place

    def _move(self, user: str, *, back: bool = False) -> None:
        """Take a place for *user*, or give it back."""
        step = -1 if back else 1
        self._free -= step
        self._taken[user] += step
        if not self._taken[user]:
            del self._taken[user]


def _resolve(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)


SLOTS: Final = Slots(64)
