"""The newest quote of each symbol, and readers that skip what is older."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import deque
from collections.abc import AsyncIterator
from time import monotonic
from typing import TYPE_CHECKING, Final

from hotplug.brokers._events._waking import wake
from hotplug.market import Quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["QuoteBoard", "QuoteStream"]

_FRESH: Final = 5.0
_IN_A_ROW: Final = 64


class QuoteBoard:
    """
    The newest quote of each symbol; what comes in last is the newest. Thread-safe.

    *on_symbols_changed* is told which symbols are streamed whenever these are others: by one thread
    at a time, in order, and without a lock held. It must not raise.
    """

    def __init__(self) -> None:
        self.on_symbols_changed: Callable[[frozenset[str]], None] | None = None
        self._lock: Final = threading.Lock()
        self._quotes: Final[dict[str, tuple[Quote, float]]] = {}
        self._inboxes: Final[dict[str, tuple[_Inbox, ...]]] = {}
        self._open: Final[set[_Inbox]] = set()
        # Of streams that nobody holds any more: noted by the garbage collector, which must wait for no lock.
        self._abandoned: Final[deque[_Inbox]] = deque()
        self._told: frozenset[str] = frozenset()
        self._telling = False

    @property
    def symbols(self) -> frozenset[str]:
        """What is streamed now."""
        with self._lock:
            return frozenset(self._inboxes)

    def put(self, quote: Quote) -> None:
        """Let *quote* be the newest of its symbol."""
        if self._abandoned:
            self._sweep()
        symbol = quote.symbol
        waiting: list[asyncio.Future[None]] = []
        with self._lock:
            self._quotes[symbol] = (quote, monotonic())
            for inbox in self._inboxes.get(symbol, ()):
                inbox.quotes[symbol] = quote
                waiting += inbox.take_news()
        if waiting:
            wake(waiting)

    def get(self, symbol: str, max_age: float) -> Quote | None:
        """The newest quote of *symbol* that came in at most *max_age* seconds ago."""
        found = self._quotes.get(symbol)
        return None if found is None or monotonic() - found[1] > max_age else found[0]

    def stream(self, symbols: Iterable[str]) -> QuoteStream:
        """The quotes of *symbols* as they change from this call on; first those of the last seconds."""
        if isinstance(symbols, str):
            raise TypeError(f"symbols must be several, as in [{symbols!r}]: one string would become letters")
        inbox = _Inbox(self._lock, frozenset(symbols))
        stream = QuoteStream(inbox, self._close)
        weakref.finalize(stream, self._abandoned.append, inbox).atexit = False
        with self._lock:
            earliest = monotonic() - _FRESH
            for symbol in sorted(inbox.symbols):
                known = self._quotes.get(symbol)
                if known is not None and known[1] >= earliest:
                    inbox.quotes[symbol] = known[0]
                self._inboxes[symbol] = (*self._inboxes.get(symbol, ()), inbox)
            self._open.add(inbox)
        self._tell()
        return stream

    def end(self) -> None:
        """Let the streams end, each after what it holds. Later ones begin anew."""
        with self._lock:
            waiting: list[asyncio.Future[None]] = []
            for inbox in tuple(self._open):
                self._remove(inbox)
                waiting += inbox.take_news()
        wake(waiting)
        self._tell()

    def _close(self, inbox: _Inbox) -> None:
        with self._lock:
            self._remove(inbox)
            inbox.quotes.clear()
            waiting = inbox.take_news()
        wake(waiting)
        self._tell()

    def _sweep(self) -> None:
        with self._lock:
            while self._abandoned:
                self._remove(self._abandoned.popleft())
        self._tell()

    def _remove(self, inbox: _Inbox) -> None:
        inbox.ended = True
        if inbox not in self._open:
            return
        self._open.discard(inbox)
        for symbol in inbox.symbols:
            others = tuple(other for other in self._inboxes[symbol] if other is not inbox)
            if others:
                self._inboxes[symbol] = others
            else:
                del self._inboxes[symbol]

    def _tell(self) -> None:
        """Tell the listener, until it has heard of what is so now; one thread does it for all."""
        while True:
            with self._lock:
                symbols = frozenset(self._inboxes)
                if self._telling or symbols == self._told:
                    return
                self._telling, self._told = True, symbols
            try:
                if self.on_symbols_changed is not None:
                    self.on_symbols_changed(symbols)
            finally:
                with self._lock:
                    self._telling = False


class _Inbox:
    """What one stream has not handed out yet: at most one quote of each symbol. Under the board's lock."""

    __slots__ = ("ended", "lock", "news", "quotes", "symbols")

    def __init__(self, lock: threading.Lock, symbols: frozenset[str]) -> None:
        self.lock: Final = lock
        self.symbols: Final = symbols
        self.quotes: Final[dict[str, Quote]] = {}
        self.ended: bool = False
        self.news: asyncio.Future[None] | None = None

    def take_news(self) -> tuple[asyncio.Future[None], ...]:
        """Who waits, for the caller to wake without the lock; once, however many quotes come until then."""
        news, self.news = self.news, None
        return () if news is None else (news,)


class QuoteStream(AsyncIterator[Quote]):
    """Quotes of some symbols, for one task at a time, on any loop: the newest of each, and no older one."""

    def __init__(self, inbox: _Inbox, close: Callable[[_Inbox], None]) -> None:
        self._inbox: Final = inbox
        self._close: Final = close
        self._unbroken = 0
        self._waiting = False

    def __aiter__(self) -> QuoteStream:
        return self

    async def __anext__(self) -> Quote:
        inbox = self._inbox
        self._unbroken += 1
        if self._unbroken > _IN_A_ROW:
            # Quotes may come faster than they are read; others want their turn on the loop, too.
            self._unbroken = 0
            await asyncio.sleep(0)
        if self._waiting:
            raise RuntimeError("another task reads this stream: open one for each")
        while True:
            with inbox.lock:
                if inbox.quotes:
                    return inbox.quotes.pop(next(iter(inbox.quotes)))
                if inbox.ended:
                    raise StopAsyncIteration
                news = inbox.news = asyncio.get_running_loop().create_future()
            self._unbroken, self._waiting = 0, True
            try:
                await news
            finally:
                self._waiting = False

    async def aclose(self) -> None:
        """Read no more; who waits for the next quote is told that there is none."""
        self._close(self._inbox)
