"""Halting: gates shut first, then what is open is cancelled, and each order has a result."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, TypeVar

from hotplug._lifecycle import Stuck, WalledCall, name_and_text
from hotplug.brokers._hosting._acks import Acks
from hotplug.brokers._hosting._books import is_at_rest
from hotplug.brokers._hosting._halts import Halt
from hotplug.brokers._hosting._reports import report_of
from hotplug.brokers._results import about
from hotplug.brokers._settings import OPERATOR
from hotplug.brokers._template._gateway import BrokerGateway
from hotplug.errors import BrokerError, DeadlineExceeded, HostError, SyncCallOnLoop
from hotplug.market import CancelScope, GatewayStatus
from hotplug.registry import run_in_thread

if TYPE_CHECKING:
    import concurrent.futures
    from collections.abc import Callable, Coroutine, Iterable
    from pathlib import Path
    from typing import Any

    from hotplug.brokers._contract import IBrokerGateway
    from hotplug.brokers._hosting._books import Books
    from hotplug.market import Order

__all__ = ["Brake", "Results"]

T = TypeVar("T")
Results = tuple["Order | BrokerError", ...]
_log = logging.getLogger("hotplug.brokers")

CANCEL_LIMIT: Final = 10.0  # seconds for all cancels of one gateway
GRACE: Final = 1.0


class Brake:
    """
    Halts and resumes the gateways that *loaded* gives (key and gateway).

    Gates answer from memory, so that no order is sent once a halt stands there and the home loop came round:
    between the last look at the halts and the sending of an order nothing else runs on that loop.
    """

    def __init__(self, books: Books, loaded: Callable[[], Iterable[tuple[str, IBrokerGateway]]]) -> None:
        self._books: Final = books
        self._loaded: Final = loaded
        self._acks: Acks | None = None
        self._seen = 0

    # -- from anywhere -----------------------------------------------------------------------------

    def halt(self, halt: Halt) -> Results:
        """Halt, from a thread that is not the home loop's."""
        self._shut(halt)
        home = self._books.home
        if _is_running_here() if home is None else home.is_here:
            raise SyncCallOnLoop("the gates are shut; to cancel what is open, too: 'await brokers.ahalt(…)'")
        try:
            return self._run(self.cancel(halt))
        except (Stuck, HostError) as error:
            _log.error("halt: the gates are shut, but nothing can be cancelled: %s", error)
            why = f"it was not cancelled, and may be open: {error}"
            return self._for_each_open(halt, DeadlineExceeded(why, code="loop_blocked", retryable=True))

    async def ahalt(self, halt: Halt) -> Results:
        """Halt, from any event loop."""
        self._shut(halt)
        home = self._books.home
        if home is None or home.is_here:
            return await self.cancel(halt)
        future = _submitted(self.cancel(halt), home.loop)
        if future is None:
            return self._for_each_open(halt, BrokerError("the host is closed", code="closed"))
        return await asyncio.wrap_future(future)

    def resume(self, reason: str, key: str | None, user: str | None) -> tuple[Halt, ...]:
        """End the halts of *user* (without one: of everybody) at *key* (without one: at every broker)."""
        lifted = Halt.now(reason, key=key, user=user)
        self._books.halts.lift(lambda scope: key in {None, scope[0]} and scope[1] == user)
        self._write_down("resume", lifted)
        _log.warning("resumed: %s", lifted)
        return self._books.halts.in_force()

    def _shut(self, halt: Halt) -> None:
        self._books.halts.shut(halt)
        _log.warning("halted: %s", halt)
        self._write_down("halt", halt)
        if self._books.halts.problem:
            _log.error("halt: %s", self._books.halts.problem)

    def _write_down(self, event: str, halt: Halt) -> None:
        for key, book in self._books.all().items():
            if halt.key in {None, key}:
                try:
                    book.log.record(event, reason=halt.reason, user=halt.user, by=halt.by)
                except OSError as error:  # it is halted all the same
                    _log.error("brokers/%s: the journal does not tell of it: %s", key, error)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        home = self._books.home
        if home is not None:
            return home.run(work, CANCEL_LIMIT + GRACE)
        return asyncio.run(work)

    # -- what other processes do -------------------------------------------------------------------

    def follow(self) -> None:
        """
        Do what another process wrote into the file of halts, and tell it so; not on the home loop.

        The gates are shut when this returns; cancelling goes on.
        """
        halts, home = self._books.halts, self._books.home
        new, lifted = halts.look()
        if self._acks is None or home is None or halts.serial == self._seen:
            return
        self._seen = serial = halts.serial
        for halt in new:
            _log.warning("halted by another process: %s", halt)
            self._write_down("halt", halt)
        for halt in lifted:
            _log.warning("resumed by another process: %s", halt)
            self._write_down("resume", halt)
        self._acks.write(serial, done=False)
        _submitted(self._done_for(new, serial, self._acks), home.loop)

    async def _done_for(self, new: Iterable[Halt], serial: int, acks: Acks) -> None:
        results = [result for halt in new for result in await self.cancel(halt)]
        await run_in_thread(acks.write, serial, done=True, results=results)

    def keep_acks(self, folder: Path) -> None:
        """Acknowledge in *folder* what other processes halt from now on."""
        self._acks, self._seen = Acks(folder), self._books.halts.serial

    def end(self) -> None:
        """Nobody acknowledges anything here any more."""
        if self._acks is not None:
            self._acks.remove()

    # -- cancelling --------------------------------------------------------------------------------

    async def cancel(self, halt: Halt) -> Results:
        """Cancel what is open and own in the scope of *halt*, unless it says not to; a result per order."""
        found = [
            self._cancel_at(key, gateway, halt) for key, gateway in self._loaded() if halt.key in {None, key}
        ]
        return tuple(result for results in await asyncio.gather(*found) for result in results)

    async def _cancel_at(self, key: str, gateway: IBrokerGateway, halt: Halt) -> Results:
        desk = self._books.desk(key, gateway)
        if is_idle(gateway):
            return self._open_at(key, halt, _unreachable(key)) if halt.cancel else ()

        async def cancel() -> Results:
            if halt.cancel:
                return await desk.cancel_all_for(OPERATOR, CancelScope.OWN, CANCEL_LIMIT, halt.user)
            if isinstance(gateway, BrokerGateway):
                await gateway.open_orders_for(OPERATOR)  # its own loop came round, whichever that is
            return ()

        outcome = await WalledCall(cancel, grace=GRACE).outcome(CANCEL_LIMIT + GRACE)
        if outcome.state == "done":
            return outcome.value or ()
        error = outcome.error
        if not isinstance(error, BrokerError):
            why = name_and_text(error) if error is not None else f"no answer within {CANCEL_LIMIT:g} s"
            error = BrokerError(f"{key}: cancelling failed: {why}", code="cancel_all")
        return self._open_at(key, halt, error) or (error,)

    def _for_each_open(self, halt: Halt, error: BrokerError) -> Results:
        keys = [key for key, _ in self._loaded() if halt.key in {None, key}]
        return tuple(result for key in keys for result in self._open_at(key, halt, error))

    def _open_at(self, key: str, halt: Halt, error: BrokerError) -> Results:
        """*error* for each own order that the book of *key* holds open in the scope of *halt*."""
        book = self._books.book(key)
        if book is None:
            return ()
        mine = (held.order for held in book.open() if held.is_own)
        return tuple(about(order, error) for order in mine if halt.user in {None, order.attribution.user})


def is_idle(gateway: IBrokerGateway) -> bool:
    """Whether *gateway* has no session, so that asking it for something leads to nothing."""
    if isinstance(gateway, BrokerGateway):
        return is_at_rest(gateway)
    return report_of(gateway).status in {GatewayStatus.CREATED, GatewayStatus.DISCONNECTED}


def _unreachable(key: str) -> BrokerError:
    why = f"{key} is not connected: its open orders stay at the venue"
    return BrokerError(why, code="not_connected", outcome="NOT_SENT", retryable=True)


def _submitted(
    work: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop
) -> concurrent.futures.Future[T] | None:
    """*work*, begun on *loop*; None where that is closed."""
    try:
        return asyncio.run_coroutine_threadsafe(work, loop)
    except RuntimeError:
        work.close()
        return None


def _is_running_here() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
