"""How everything stands at the venue, and what of the book is missing there."""

# pyright: reportPrivateUsage=false
# The template calls hooks, which are private names of the plugin's.

from __future__ import annotations

import asyncio
import functools
import time
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, Final

from hotplug.brokers._orders._held import Phase
from hotplug.brokers._template._core import CONNECTED
from hotplug.errors import BrokerError, BrokerUnavailable, OrderNotFound
from hotplug.market import Order, OrderRef, OrderStatus, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from hotplug.brokers._orders._held import Held
    from hotplug.brokers._template._core import Core
    from hotplug.market import Fill

__all__ = ["Survey"]

TURN: Final = 200
"""How many orders or fills of a snapshot are applied before others of the loop have their turn."""


class Survey:
    """Asking the venue how orders stand, all or one, and telling the book. Lives on the home loop."""

    def __init__(self, core: Core) -> None:
        self._core: Final = core

    async def reconcile(self, until: float) -> None:
        """Bring the book up to the venue: snapshot, what came meanwhile, what is missing."""
        core = self._core
        core.buffer = [] if core.buffer is None else core.buffer
        try:
            if symbols := core.book.quotes.symbols:
                await core.call("subscribe", core.gateway._subscribe, symbols, until=until)
            asked_at = time.monotonic()
            _, missing = await self.snapshot(until, in_turns=True)
        finally:
            buffered, core.buffer = core.buffer or [], None
            core.ear.replay(buffered)
        for held in missing:
            if held.is_open:
                await self.establish(held, until, missing_at=asked_at)
        core.pulse.reconciled()

    async def snapshot(self, until: float, *, in_turns: bool = False) -> tuple[Snapshot, list[Held]]:
        """
        The venue's snapshot, applied to the book; and the open orders that are missing in it.

        With *in_turns* others of this loop go on while a large one is applied.
        """
        core = self._core
        # Only what had its answer before the venue was asked, or none in time, can be missing in it.
        settled = [held for held in core.book.open() if held.task is None or held.phase is Phase.UNKNOWN]
        shot = await core.call("snapshot", core.gateway._snapshot, until=until)
        if not isinstance(shot, Snapshot):  # pyright: ignore[reportUnnecessaryIsInstance] - plugins may err
            why = f"{core.broker_id}: _snapshot gave a {type(shot).__name__}, not a Snapshot"
            raise BrokerUnavailable(why, code="contract")
        for count, (say, what) in enumerate(self._words(shot), 1):
            say(what)
            if in_turns and not count % TURN:
                await asyncio.sleep(0)
        for balance in shot.balances or ():
            core.book.accounts_seen[balance.account] = None
        for position in shot.positions or ():
            core.book.accounts_seen[position.account] = None
        return shot, self._missing(shot, settled)

    def _words(self, shot: Snapshot) -> Iterator[tuple[Callable[[Any], object], Order | Fill]]:
        """What is to be said of *shot* to the book, and by which verb of it."""
        book, default = self._core.book, self._core.gateway.default_account
        recognise = functools.partial(book.recognise, default_account=default)
        merge = functools.partial(book.merge, default_account=default)
        orders, fills = shot.orders or (), shot.fills or ()
        # Ids, then fills, then figures: so fills find their orders, and none of them seems to be late.
        return chain(
            zip(repeat(recognise), orders), zip(repeat(book.fill), fills), zip(repeat(merge), orders)
        )

    def _missing(self, shot: Snapshot, settled: Iterable[Held]) -> list[Held]:
        """Of those that were *settled*: open and doubtful orders that the snapshot does not tell of."""
        still = [held for held in settled if held.is_open]
        if shot.orders is None:
            return [held for held in still if held.order.status is OrderStatus.UNKNOWN]
        told = {order.order_id for order in shot.orders if order.order_id is not None}
        default = self._core.gateway.default_account
        named = {(order.account or default, order.client_order_id) for order in shot.orders}
        return [held for held in still if held.key not in named and held.order.order_id not in told]

    # -- one order ---------------------------------------------------------------------------------

    async def establish(self, held: Held, until: float, *, missing_at: float | None = None) -> bool:
        """
        Find out how one order stands, and say whether that was possible. Raises nothing.

        With *missing_at*, a snapshot asked for at that time lacked it.
        """
        core = self._core
        if core.status not in CONNECTED:
            return False
        held.asked_at = asked_at = time.monotonic()
        held.asks += 1
        try:
            if core.gateway._can("_query"):
                await self._query(held, until, asked_at)
            elif missing_at is None:
                _, missing = await self.snapshot(until)
                for each in missing:
                    self._not_found(each, asked_at)
            else:
                self._not_found(held, missing_at)
        except BrokerError as error:
            core.last_error = str(error)
            return False
        return True

    async def _query(self, held: Held, until: float, asked_at: float) -> None:
        core = self._core
        ref = OrderRef(client_order_id=held.order.client_order_id, order_id=held.order.order_id)
        try:
            order = await core.call("query", core.gateway._query, ref, until=until, account=held.account)
        except OrderNotFound:
            self._not_found(held, asked_at)
            return
        if not isinstance(order, Order):  # pyright: ignore[reportUnnecessaryIsInstance] - plugins may err
            raise BrokerUnavailable(f"_query gave a {type(order).__name__}, not an Order", code="contract")
        core.book.merge(order, default_account=held.account)

    def _not_found(self, held: Held, asked_at: float) -> None:
        """
        An order that the venue did not know when asked: final only where it promises that, after a time.

        How old the order is by the time of the answer means nothing: it may have arrived after the question.
        """
        final_after = self._core.gateway.not_found_final_after
        unseen = held.ack is None and held.order.order_id is None
        final = final_after is not None and unseen and asked_at - held.sent_at >= final_after
        if held.task is not None:
            if final and time.monotonic() >= held.until:
                held.task.cancel()  # so that it cannot be sent after it was said that it never was
            return
        self._core.book.not_found(held, final=final)
