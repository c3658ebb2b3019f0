"""An order at the venue, and the open ones of an account in one symbol, by what would make them trade."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING, Final, TypeAlias

from hotplug.market import Attribution, OrderStatus, OrderUpdate, Origin, Side, TimeInForce
from hotplug_broker_paper._venue_money import ZERO, each
from hotplug_broker_paper._venue_records import order_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from decimal import Decimal

    from hotplug.market import Order
    from hotplug_broker_paper._venue_account import Account
    from hotplug_broker_paper._venue_rules import Asked

__all__ = ["AT_ONCE", "Book", "Resting", "Standing"]

AT_ONCE: Final = frozenset({TimeInForce.IOC, TimeInForce.FOK})
NOBODY: Final = Attribution()


class Standing:
    """
    An order that the venue took, and all that it knows of it.

    *seq* is its time priority, *leaves* what is not filled, *paid* the sum of quantity times price.
    *locked* money and *closing* pieces are set aside for it, at *unit* each for what opens a position.
    Times are market time: it trades on nothing older than *active_at*, and on no bar that had begun when it
    was *placed_at*.
    """

    __slots__ = (
        "account",
        "active_at",
        "arriving",
        "asked",
        "book",
        "buying",
        "cancel_at",
        "client_order_id",
        "closing",
        "created_at",
        "expires_at",
        "fee",
        "filled",
        "key",
        "leaves",
        "locked",
        "number",
        "order_id",
        "paid",
        "place",
        "placed_at",
        "price",
        "qty",
        "rated",
        "reason",
        "reduce_only",
        "seq",
        "status",
        "stop",
        "symbol",
        "terms",
        "tif",
        "triggered",
        "type",
        "unit",
        "updated_at",
        "version",
    )

    def __init__(self, asked: Asked, account: Account, book: Book, number: int, now: datetime) -> None:
        self.terms: Final = account.rules.terms(asked.symbol)
        self.asked: Final = asked
        self.account: Final = account
        self.book: Final = book
        self.number: Final = number
        self.order_id: Final = f"{account.name}-{number}"
        assert asked.client_order_id is not None  # noqa: S101 - the rules were asked
        self.client_order_id: Final[str] = asked.client_order_id
        self.symbol: Final = asked.symbol
        self.buying: Final = asked.side is Side.BUY
        self.type: Final = asked.type
        self.tif: Final = asked.tif
        self.reduce_only: Final = asked.reduce_only
        self.price = asked.price
        self.stop = asked.stop_price
        self.qty = self.leaves = asked.qty
        self.filled = self.paid = self.rated = self.fee = ZERO
        self.locked = self.closing = self.unit = ZERO
        self.status = OrderStatus.NEW
        self.reason: str | None = None
        self.created_at = self.updated_at = now
        self.active_at: datetime | None = None
        self.placed_at: datetime | None = None
        self.expires_at = asked.expire_at
        self.cancel_at: datetime | None = None
        self.version = 1
        self.seq = 0
        self.triggered = False
        self.arriving = False
        self.place: Resting | dict[int, Standing] | None = None
        self.key = ZERO

    @property
    def open(self) -> bool:
        """Whether it may still trade."""
        return not self.status.terminal

    @property
    def waits_for_stop(self) -> bool:
        """Whether the market must reach its stop price first."""
        return self.stop is not None and not self.triggered

    @property
    def avg_price(self) -> Decimal | None:
        """What it traded at, on average."""
        return each(self.paid, self.filled) if self.filled else None

    def end(self, status: OrderStatus, now: datetime, reason: str | None) -> OrderUpdate:
        """Go into a terminal state without trading; the report of it."""
        self.status, self.updated_at, self.reason = status, now, reason
        self.leaves = ZERO
        return OrderUpdate(
            client_order_id=self.client_order_id,
            order_id=self.order_id,
            account=self.account.name,
            status=status,
            filled_qty=self.filled,
            avg_price=self.avg_price,
            reason=reason,
            time=now,
        )

    def order(self) -> Order:
        """The record of how it stands."""
        asked = self.asked
        cancelling = self.cancel_at is not None and self.open
        return order_of(
            self.symbol,
            asked.side,
            self.qty,
            OrderStatus.PENDING_CANCEL if cancelling else self.status,
            self.type,
            self.price,
            self.stop,
            self.tif,
            asked.expire_at,
            self.account.name,
            self.client_order_id,
            self.reduce_only,
            asked.tags,
            self.order_id,
            self.filled,
            self.leaves,
            self.avg_price,
            self.version,
            Origin.OWN,
            NOBODY,
            self.created_at,
            self.updated_at,
            self.reason,
        )


Resting: TypeAlias = "list[tuple[Decimal, int, Standing]]"
"""Orders that a price must reach, the one reached first in front; (how far away it is, seq, order)."""


class Book:
    """The open orders of one account in one symbol. Prices on the falling side are kept negated."""

    __slots__ = ("arrivals", "buy_stops", "buys", "markets", "sell_stops", "sells")

    def __init__(self) -> None:
        self.arrivals: Final[dict[int, Standing]] = {}
        """Those that have not met the market yet."""
        self.markets: Final[dict[int, Standing]] = {}
        self.buys: Final[Resting] = []
        self.sells: Final[Resting] = []
        self.buy_stops: Final[Resting] = []
        self.sell_stops: Final[Resting] = []

    def expect(self, standing: Standing) -> None:
        """Let it wait for its first sight of the market."""
        standing.place = self.arrivals
        self.arrivals[standing.seq] = standing

    def rest(self, standing: Standing, seq: int) -> None:
        """Let it wait for its price, behind all that wait for the same; a market order for liquidity."""
        self.remove(standing)
        standing.seq = seq
        if standing.waits_for_stop:
            place, level = (self.buy_stops if standing.buying else self.sell_stops), standing.stop
            falling = not standing.buying
        elif standing.price is not None:
            place, level = (self.buys if standing.buying else self.sells), standing.price
            falling = standing.buying
        else:
            standing.place = self.markets
            self.markets[seq] = standing
            return
        assert level is not None  # noqa: S101 - waits_for_stop says so
        standing.place, standing.key = place, level.copy_negate() if falling else level
        insort(place, (standing.key, seq, standing))

    @property
    def has_only_markets(self) -> bool:
        """Whether no limit is in it that a price could reach."""
        return not self.buys and not self.sells

    def remove(self, standing: Standing) -> None:
        """Take it out, wherever it waits."""
        place, standing.place = standing.place, None
        if isinstance(place, dict):
            del place[standing.seq]
        elif place is not None:
            del place[bisect_left(place, (standing.key, standing.seq))]

    def __iter__(self) -> Iterator[Standing]:
        """Every order, oldest first."""
        resting = [
            entry[2] for place in (self.buys, self.sells, self.buy_stops, self.sell_stops) for entry in place
        ]
        found = [*self.arrivals.values(), *self.markets.values(), *resting]
        return iter(sorted(found, key=_number_of))

    def __bool__(self) -> bool:
        return bool(
            self.arrivals or self.markets or self.buys or self.sells or self.buy_stops or self.sell_stops
        )


def _number_of(standing: Standing) -> int:
    return standing.number
