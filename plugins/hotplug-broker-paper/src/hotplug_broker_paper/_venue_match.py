"""
What trades when the market speaks: price first, then time, as far as the liquidity goes.

    quote ─▶ one point: buyers meet the ask, sellers the bid
    bar   ─▶ its open is a point; then the way to its high and low, the nearer one first, and to its close
"""

from __future__ import annotations

from itertools import pairwise
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from hotplug.market import Bar, Liquidity, OrderStatus, TimeInForce
from hotplug_broker_paper._venue_money import ZERO, slipped
from hotplug_broker_paper._venue_orders import AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from decimal import Decimal

    from hotplug.market import Quote
    from hotplug_broker_paper._venue_floor import Floor
    from hotplug_broker_paper._venue_orders import Book, Resting, Standing

__all__ = ["Pool", "Round", "path_of"]

in_turn: Final = attrgetter("seq")


class Pool:
    """How much can be bought and sold; ``None`` is any. What trades on a bar comes out of one volume."""

    __slots__ = ("_buy", "_is_one", "_sell")

    def __init__(self, buy: Decimal | None, sell: Decimal | None, *, is_one: bool) -> None:
        self._buy = buy
        self._sell = sell
        self._is_one: Final = is_one

    def left(self, *, buying: bool) -> Decimal | None:
        """How much is left."""
        return self._buy if buying else self._sell

    @property
    def rest(self) -> tuple[Decimal | None, Decimal | None, bool]:
        """What is left to buy and to sell, and whether that is one and the same."""
        return self._buy, self._sell, self._is_one

    def take(self, qty: Decimal, *, buying: bool) -> None:
        """Take *qty* out."""
        if self._buy is not None and (buying or self._is_one):
            self._buy -= qty
        if self._sell is not None and (not buying or self._is_one):
            self._sell -= qty


class Round:
    """
    One bar or quote meeting the open orders of some accounts in its symbol.

    Orders never meet each other, only the liquidity of what the market said, which their trades use up.
    """

    __slots__ = ("_books", "_floor", "_is_quote", "_newcomers", "_pool", "_session_end", "_time")

    def __init__(
        self, floor: Floor, books: Sequence[Book], pool: Pool, said: Bar | Quote, session_end: datetime
    ) -> None:
        self._floor: Final = floor
        self._books: Final = books
        self._pool: Final = pool
        self._time: Final = said.time
        self._is_quote: Final = not isinstance(said, Bar)
        self._session_end: Final = session_end
        self._newcomers: list[Standing] = []

    def on_quote(self, quote: Quote) -> None:
        """Let buyers meet the ask and sellers the bid."""
        self._admit()
        self._at_point(quote.ask, quote.bid)

    def on_bar(self, bar: Bar) -> None:
        """Let the orders meet the open, and then every price on the way to the close."""
        self._admit()
        self._at_point(bar.open, bar.open)
        for start, end in pairwise(path_of(bar)):
            if start != end:
                self._walk(start, end)

    # -- first sight of the market -------------------------------------------------------------------

    def _admit(self) -> None:
        """Let those in that have reached the venue by now, in the order in which they reached it."""
        found = [each for book in self._books for each in book.arrivals.values() if self._has_arrived(each)]
        if len(found) > 1 and (len(self._books) > 1 or self._floor.rules.is_slow):
            found.sort(key=_arrival)
        next_seq = self._floor.next_seq
        for standing in found:
            if standing.expires_at is None and standing.tif is TimeInForce.DAY:
                # A DAY order stands for the first session that it sees.
                standing.expires_at = self._session_end
            standing.book.rest(standing, next_seq())
            standing.arriving = True
        self._floor.note_orders(found)
        self._newcomers = found

    def _has_arrived(self, standing: Standing) -> bool:
        if standing.active_at is not None and standing.active_at > self._time:
            return False
        # A bar that had begun when the order was placed holds prices from before it.
        return self._is_quote or standing.placed_at is None or standing.placed_at < self._time

    # -- one point -----------------------------------------------------------------------------------

    def _at_point(self, ask: Decimal | None, bid: Decimal | None) -> None:
        elected = self._elect_at(ask, bid)
        for standing in self._in_reach(ask, bid):
            price = ask if standing.buying else bid
            assert price is not None  # noqa: S101 - otherwise it is not in reach
            self._take(standing, price)
        for standing in (*self._newcomers, *elected):
            standing.arriving = False
            if not standing.open:
                continue
            if standing.tif is TimeInForce.DAY:
                standing.account.at(standing.expires_at or self._session_end, standing)
            else:
                self._end_at_once(standing)

    def _elect_at(self, ask: Decimal | None, bid: Decimal | None) -> list[Standing]:
        """Wake the stop orders that this point reaches; those are they."""
        found: list[Standing] = []
        for book in self._books:
            if ask is not None:
                found += _reached(book.buy_stops, ask)
            if bid is not None:
                found += _reached(book.sell_stops, bid.copy_negate())
        found.sort(key=in_turn)
        for standing in found:
            self._elect(standing)
            standing.arriving = True
        return found

    def _elect(self, standing: Standing) -> None:
        """A stop order becomes a market or limit order, behind those that are there."""
        standing.triggered = True
        standing.book.rest(standing, self._floor.next_seq())
        self._floor.note_orders((standing,))

    def _in_reach(self, ask: Decimal | None, bid: Decimal | None) -> list[Standing]:
        """Who can trade at this point: market orders, then the best limits, and in time order."""
        if len(self._books) == 1 and self._books[0].has_only_markets:
            return [
                each for each in self._books[0].markets.values() if (ask if each.buying else bid) is not None
            ]
        found: list[tuple[int, Decimal, int, Standing]] = []
        for book in self._books:
            for seq, standing in book.markets.items():
                if (ask if standing.buying else bid) is not None:
                    found.append((0, ZERO, seq, standing))
            for place, level in ((book.buys, ask and ask.copy_negate()), (book.sells, bid)):
                if level is None:
                    continue
                for key, seq, standing in place:
                    if key > level:
                        break
                    found.append((1, key - level, seq, standing))
        found.sort()
        return [entry[3] for entry in found]

    def _take(self, standing: Standing, price: Decimal) -> None:
        limit = standing.price
        if limit is None:
            if slippage := self._floor.rules.slippage:
                price = slipped(price, slippage, standing.terms.tick, buying=standing.buying)
        elif self._is_quote and self._was_waiting(standing, limit):
            # It stood there when the market came to it: that is at its own price.
            self._trade(standing, limit, Liquidity.MAKER)
            return
        self._trade(standing, price, Liquidity.TAKER)

    def _was_waiting(self, standing: Standing, limit: Decimal) -> bool:
        """Whether the price before this one did not reach it."""
        if standing.arriving:
            return False
        seen = standing.account.seen[standing.symbol]
        before = seen.buy if standing.buying else seen.sell
        return before is not None and (limit < before if standing.buying else limit > before)

    def _trade(self, standing: Standing, price: Decimal, liquidity: Liquidity) -> None:
        left = self._pool.left(buying=standing.buying)
        if left is not None and (left <= 0 or (standing.tif is TimeInForce.FOK and left < standing.leaves)):
            return
        self._floor.trade(standing, price, liquidity, self._pool)

    def _end_at_once(self, standing: Standing) -> None:
        if standing.tif in AT_ONCE and standing.open and not standing.waits_for_stop:
            why = f"{standing.tif}: not tradable at once" + (", the rest" if standing.filled else "")
            self._floor.end(standing, OrderStatus.CANCELED, why)

    # -- from point to point -------------------------------------------------------------------------

    def _walk(self, start: Decimal, end: Decimal) -> None:
        """
        Let the price go from *start* to *end*, and the orders on its way trade where it meets them.

        A stop is elected when it is touched. A limit trades when the price goes through it: where it only
        touches, we may have been left waiting in the queue.
        """
        rising = end > start
        edge = end if rising else end.copy_negate()
        met: Resting = []
        for book in self._books:
            limits, stops = (book.sells, book.buy_stops) if rising else (book.buys, book.sell_stops)
            for entry in limits:
                if entry[0] >= edge:
                    break
                met.append(entry)
            for entry in stops:
                if entry[0] > edge:
                    break
                met.append(entry)
        met.sort()
        for key, _, standing in met:
            level = key if rising else key.copy_negate()
            if standing.waits_for_stop:
                self._elect_on_the_way(standing, level)
            else:
                self._trade(standing, level, Liquidity.MAKER)

    def _elect_on_the_way(self, standing: Standing, level: Decimal) -> None:
        self._elect(standing)
        limit = standing.price
        if limit is None or (limit >= level if standing.buying else limit <= level):
            self._take(standing, level)
        self._end_at_once(standing)


def path_of(bar: Bar) -> tuple[Decimal, Decimal, Decimal, Decimal]:
    """The way that the price is taken to have gone: to the nearer of high and low first (if equal, low)."""
    if bar.high - bar.open < bar.open - bar.low:
        return bar.open, bar.high, bar.low, bar.close
    return bar.open, bar.low, bar.high, bar.close


def _arrival(standing: Standing) -> tuple[bool, datetime | None, int]:
    # Those that were on their way before the market told its time come first.
    return standing.active_at is not None, standing.active_at, standing.seq


def _reached(place: Resting, level: Decimal) -> list[Standing]:
    found: list[Standing] = []
    for key, _, standing in place:
        if key > level:
            break
        found.append(standing)
    return found
