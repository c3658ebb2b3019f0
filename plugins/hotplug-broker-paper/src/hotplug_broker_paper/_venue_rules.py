"""What this venue trades, and how: checked with the error that says why not."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from hotplug.errors import InvalidRequest, OrderDenied
from hotplug.market import Instrument, OrderType, TimeInForce, to_decimal
from hotplug_broker_paper._venue_hours import Hours
from hotplug_broker_paper._venue_money import ONE, ZERO, exactly, to_cents

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplug.market import Bar, Order, OrderRequest, Quote

__all__ = ["Asked", "Delay", "LARGEST", "Rules", "Terms", "check_bar", "check_quote", "denied"]

Asked: TypeAlias = "Order | OrderRequest"
Delay: TypeAlias = "float | tuple[float, float]"

LARGEST: Final = Decimal("1e15")
FINEST: Final = Decimal("1e-12")
AMOUNTS: Final = ("cash", "min_fee", "slippage", "tick", "lot", "participation")
RATES: Final = ("maker_fee", "taker_fee")
DELAYS: Final = ("ack_latency", "fill_latency", "cancel_latency")
WITH_PRICE: Final = frozenset({OrderType.LIMIT, OrderType.STOP_LIMIT})
WITH_STOP: Final = frozenset({OrderType.STOP, OrderType.STOP_LIMIT})
NO_DELAY: Final = timedelta(0)


class Terms(NamedTuple):
    """The steps in which a symbol is traded."""

    tick: Decimal
    lot: Decimal
    min_qty: Decimal
    min_notional: Decimal
    multiplier: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """
    The settings of the venue; `ValueError` for those that make no sense.

    Rates are fractions: 0.001 is a tenth of a percent, and a negative *maker_fee* is a rebate. Delays are
    seconds, or the shortest and the longest. *participation* is the share of a bar's volume that orders
    may take, which are not *unlimited*.
    """

    cash: Decimal = Decimal(100_000)
    currency: str = "USD"
    maker_fee: Decimal = ZERO
    taker_fee: Decimal = ZERO
    min_fee: Decimal = ZERO
    slippage: Decimal = ZERO
    tick: Decimal = Decimal("0.01")
    lot: Decimal = Decimal("0.0001")
    symbols: frozenset[str] | None = None
    instruments: Mapping[str, Instrument] = field(default_factory=dict[str, Instrument])
    participation: Decimal = ONE
    unlimited: bool = False
    shared: bool = False
    allow_short: bool = False
    by_clock: bool = False
    hours: Hours = field(default_factory=lambda: Hours(None))
    ack_latency: Delay = 0.0
    fill_latency: Delay = 0.0
    cancel_latency: Delay = 0.0
    reject_rate: float = 0.0
    seed: int = 0
    history: int = 10_000
    is_slow: bool = field(init=False)
    has_hours: bool = field(init=False)
    _worst_fee: Decimal = field(init=False)
    _common: Terms = field(init=False)
    _special: Mapping[str, Terms] = field(init=False)

    @exactly
    def __post_init__(self) -> None:
        for name in AMOUNTS + RATES:
            object.__setattr__(self, name, to_decimal(name, getattr(self, name)))
        self._check_amounts()
        for name in DELAYS:
            _check_delay(name, getattr(self, name))
        if not 0.0 <= self.reject_rate <= 1.0:
            raise ValueError(f"reject_rate is a probability from 0 to 1, not {self.reject_rate}")
        if self.history < 1:
            raise ValueError(f"history must be 1 or more, not {self.history}")
        if not self.currency:
            raise ValueError("currency must not be empty")
        object.__setattr__(self, "is_slow", bool(self.ack_latency or self.fill_latency))
        object.__setattr__(self, "has_hours", self.by_clock or self.hours.spelled is not None)
        object.__setattr__(self, "_worst_fee", max(self.maker_fee, self.taker_fee))
        object.__setattr__(self, "_common", _terms(self.tick, self.lot))
        object.__setattr__(self, "_special", {name: self._own(name) for name in self.instruments})

    def _check_amounts(self) -> None:
        for name in AMOUNTS:
            value = getattr(self, name)
            if value < 0 or (value == 0 and name in {"tick", "lot"}):
                raise ValueError(f"{name} must be positive, not {value}")
        for name in (*RATES, "slippage"):
            if abs(getattr(self, name)) >= 1:
                raise ValueError(f"{name} is a fraction below 1, not {getattr(self, name)}")
        if self.taker_fee < 0:
            raise ValueError(f"taker_fee must be positive, not {self.taker_fee}")
        if not 0 < self.participation <= 1:
            raise ValueError(f"participation is a share above 0, of 1 at most, not {self.participation}")

    def _own(self, symbol: str) -> Terms:
        instrument = self.instruments[symbol]
        if instrument.currency != self.currency:
            raise ValueError(
                f"{symbol} is traded in {instrument.currency}, the accounts hold {self.currency}"
            )
        lowest = (instrument.min_qty or ZERO, instrument.min_notional or ZERO, instrument.multiplier)
        if min(lowest) < 0 or instrument.multiplier == 0:
            raise ValueError(f"the figures of an instrument are positive: {instrument}")
        return _terms(instrument.tick_size, instrument.lot_size, *lowest)

    # -- what is traded, and at what cost ------------------------------------------------------------

    def terms(self, symbol: str) -> Terms:
        """The steps in which *symbol* is traded."""
        return self._special.get(symbol, self._common)

    def instrument(self, symbol: str) -> Instrument:
        """How *symbol* is traded; `InvalidRequest` if it is not."""
        self.check_listed(symbol)
        found = self.instruments.get(symbol)
        return found or Instrument(
            symbol=symbol, tick_size=self.tick, lot_size=self.lot, currency=self.currency
        )

    def check_listed(self, symbol: str) -> None:
        """Raise `InvalidRequest` (REJECTED) for a symbol that this venue does not list."""
        if self.symbols is not None and symbol not in self.symbols and symbol not in self.instruments:
            listed = ", ".join(sorted(self.symbols.union(self.instruments)))
            raise InvalidRequest(
                f"{symbol} is not listed here (listed: {listed})", code="unknown_symbol", outcome="REJECTED"
            )

    def most_fee(self, notional: Decimal) -> Decimal:
        """What a trade of *notional* costs in fees at the most."""
        if not self._worst_fee or not notional:
            return self.min_fee if notional else ZERO
        return max(to_cents(notional * self._worst_fee), self.min_fee)

    # -- chance --------------------------------------------------------------------------------------

    def chance(self, account: str, number: int, of: str) -> float:
        """A number from 0 up to 1, the same for the same seed, *account* and *number*, each time."""
        text = f"{self.seed}/{account}/{number}/{of}"
        return int.from_bytes(blake2b(text.encode(), digest_size=7).digest()) / 2**56

    def delay(self, name: str, account: str, number: int) -> timedelta:
        """How long *name* (``"ack_latency"`` …) is for that order."""
        span: Delay = getattr(self, name)
        if not span:
            return NO_DELAY
        if isinstance(span, tuple):
            low, high = span
            span = low + (high - low) * self.chance(account, number, name)
        return timedelta(seconds=span)

    # -- orders --------------------------------------------------------------------------------------

    def check(self, asked: Asked) -> None:
        """Raise `OrderDenied` (NOT_SENT) for what can be refused by looking at it."""
        terms = self._special.get(asked.symbol, self._common)
        if not asked.symbol:
            raise denied("symbol", "an order needs a symbol")
        if not asked.client_order_id:
            raise denied("client_order_id", "a client_order_id must not be empty")
        _check_qty(terms, asked.qty)
        kind, price, stop = asked.type, asked.price, asked.stop_price
        if kind is not OrderType.MARKET or price is not None or stop is not None:
            _check_price(terms, kind, price)
            _check_stop(terms, kind, stop)
            _check_worth(terms, asked.qty, price or stop)
        if (asked.tif is TimeInForce.GTD) is (asked.expire_at is None):
            raise denied("expire_at", "a GTD order, and no other, needs expire_at")

    def check_change(
        self, symbol: str, kind: OrderType, qty: Decimal, price: Decimal | None, stop: Decimal | None
    ) -> None:
        """Raise `OrderDenied` (NOT_SENT) for what an order of that *kind* cannot become."""
        terms = self.terms(symbol)
        _check_qty(terms, qty)
        _check_price(terms, kind, price)
        _check_stop(terms, kind, stop)
        _check_worth(terms, qty, price or stop)


def _check_worth(terms: Terms, qty: Decimal, price: Decimal | None) -> None:
    if price is not None and price * qty * terms.multiplier < terms.min_notional:
        raise denied("min_notional", f"an order must be worth {terms.min_notional} or more")


def _check_qty(terms: Terms, qty: Decimal) -> None:
    if not 0 < qty <= LARGEST:
        raise denied("qty", f"qty must be more than 0 and at most {LARGEST}, not {qty}")
    if qty % terms.lot:
        raise denied("off_lot", f"qty {qty} is no multiple of the lot {terms.lot}")
    if qty < terms.min_qty:
        raise denied("min_qty", f"qty must be {terms.min_qty} or more, not {qty}")


def _check_price(terms: Terms, kind: OrderType, price: Decimal | None) -> None:
    if kind not in WITH_PRICE:
        if price is not None:
            raise denied("price", f"a {kind} order has no price: leave it out, or make it a LIMIT order")
        return
    if price is None or not 0 < price <= LARGEST:
        raise denied("price", f"a {kind} order needs a price above 0, not {price}")
    if price % terms.tick:
        raise denied("off_tick", f"price {price} is no multiple of the tick {terms.tick}")


def _check_stop(terms: Terms, kind: OrderType, stop: Decimal | None) -> None:
    if kind not in WITH_STOP:
        if stop is not None:
            raise denied("stop_price", f"a {kind} order has no stop_price: make it a STOP order")
        return
    if stop is None or not 0 < stop <= LARGEST:
        raise denied("stop_price", f"a {kind} order needs a stop_price above 0, not {stop}")
    if stop % terms.tick:
        raise denied("off_tick", f"stop_price {stop} is no multiple of the tick {terms.tick}")


def check_bar(bar: Bar) -> None:
    """Raise `InvalidRequest` for a bar that no market can have made."""
    low, high = bar.low, bar.high
    _check_prices(bar, low, high, bar.open, bar.close)
    if not (low <= bar.open <= high and low <= bar.close <= high):
        raise _impossible(bar, "open and close must lie between low and high")
    if bar.volume < 0:
        raise _impossible(bar, "the volume must not be negative")


def check_quote(quote: Quote) -> None:
    """Raise `InvalidRequest` for a quote that no market can have made."""
    bid, ask = quote.bid, quote.ask
    _check_prices(quote, *(price for price in (bid, ask) if price is not None))
    if bid is not None and ask is not None and bid > ask:
        raise _impossible(quote, "the bid must not be above the ask")
    if any(size is not None and size < 0 for size in (quote.bid_size, quote.ask_size)):
        raise _impossible(quote, "sizes must not be negative")


def denied(code: str, why: str) -> OrderDenied:
    """The error for an order that is refused before the venue sees it."""
    return OrderDenied(why, code=code, outcome="NOT_SENT")


def _check_prices(said: Bar | Quote, *prices: Decimal) -> None:
    for price in prices:
        if not 0 < price <= LARGEST:
            raise _impossible(said, "prices must be more than 0")
        if price % FINEST:
            raise _impossible(said, f"prices are multiples of {FINEST}")


def _impossible(said: Bar | Quote, why: str) -> InvalidRequest:
    code = type(said).__name__.lower()
    return InvalidRequest(f"{why}: {said}", code=code, outcome="NOT_SENT")


def _terms(
    tick: Decimal,
    lot: Decimal,
    min_qty: Decimal = ZERO,
    min_notional: Decimal = ZERO,
    multiplier: Decimal = Decimal(1),
) -> Terms:
    for name, step in (("tick", tick), ("lot", lot), ("multiplier", multiplier)):
        if not 0 < step <= LARGEST or step % FINEST:
            raise ValueError(f"{name} must be positive, and a multiple of {FINEST}, not {step}")
    return Terms(tick, lot, min_qty, min_notional, multiplier)


def _check_delay(name: str, delay: Delay) -> None:
    low, high = delay if isinstance(delay, tuple) else (delay, delay)
    if not 0.0 <= low <= high < float("inf"):
        raise ValueError(f"{name} is in seconds, or the shortest and the longest of them, not {delay}")
