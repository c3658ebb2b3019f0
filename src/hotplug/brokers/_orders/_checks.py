"""What is wrong with an order before anybody else sees it."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from hotplug.errors import NotSupported, OrderDenied
from hotplug.market import OrderType, Side, TimeInForce
from hotplug.market._exact import EXACT

if TYPE_CHECKING:
    from hotplug.brokers._orders._book import Book
    from hotplug.brokers._settings import OrderLimits
    from hotplug.brokers._template._hooks import Hooks
    from hotplug.market import Instrument, Order, OrderRequest, Quote

__all__ = ["check_limits", "check_steps", "check_terms", "denied", "lacking", "needs_quote"]

ZERO: Final = Decimal(0)
TWO: Final = Decimal(2)
HUNDRED: Final = Decimal(100)
# On the way of each order: a member of an enum, looked up by its name, costs ten times a global.
GTD: Final = TimeInForce.GTD
_PRICED: Final = frozenset({OrderType.LIMIT, OrderType.STOP_LIMIT})
_STOPPED: Final = frozenset({OrderType.STOP, OrderType.STOP_LIMIT})


def denied(code: str, why: str) -> OrderDenied:
    """The error for what is refused here."""
    return OrderDenied(why, code=code, outcome="NOT_SENT")


def lacking(what: str) -> NotSupported:
    """The error for what a gateway cannot do."""
    return NotSupported(f"{what}: nothing is emulated", code="not_supported", outcome="NOT_SENT")


def check_terms(request: OrderRequest, gateway: Hooks) -> None:
    """Raise `OrderDenied` or `NotSupported` for terms that contradict each other, or that the venue lacks."""
    if request.type not in gateway.order_types:
        raise lacking(f"{gateway.broker_id} takes no {request.type} orders")
    if request.tif not in gateway.tifs:
        raise lacking(f"{gateway.broker_id} takes no {request.tif} orders")
    if not request.symbol:
        raise denied("symbol", "an order needs a symbol")
    if request.qty <= ZERO:
        raise denied("qty", f"a quantity is more than 0, not {request.qty}")
    _check_price("price", request.price, request.type in _PRICED, request)
    _check_price("stop_price", request.stop_price, request.type in _STOPPED, request)
    if (request.tif is GTD) is (request.expire_at is None):
        raise denied("expire_at", "expire_at belongs to a GTD order, and a GTD order needs one")
    _check_id(request.client_order_id, gateway)


def _check_price(name: str, price: Decimal | None, needed: bool, request: OrderRequest) -> None:
    if needed and (price is None or price <= ZERO):
        raise denied(name, f"a {request.type} order needs a {name} above 0, not {price}")
    if not needed and price is not None:
        raise denied(name, f"a {request.type} order has no {name}: leave it out, or take another type")


def _check_id(name: str, gateway: Hooks) -> None:
    if not name:
        raise denied("client_order_id", "a client_order_id is not empty")
    if len(name) > gateway.max_client_id_length:
        why = f"{gateway.broker_id} takes ids of {gateway.max_client_id_length} characters, not {len(name)}"
        raise denied("client_order_id", f"{why}: {name!r} is not shortened")
    alphabet = gateway.client_id_alphabet
    if alphabet is not None and (odd := set(name) - set(alphabet)):
        raise denied(
            "client_order_id", f"{gateway.broker_id} takes no {''.join(sorted(odd))!r} in ids: {name!r}"
        )


def check_steps(order: Order | OrderRequest, instrument: Instrument) -> None:
    """Raise `OrderDenied` for prices off the tick, quantities off the lot, and too small orders."""
    for name in ("price", "stop_price"):
        price = getattr(order, name)
        if price is not None and EXACT.remainder(price, instrument.tick_size):
            raise denied("off_tick", f"{name} {price} is no multiple of the tick {instrument.tick_size}")
    if EXACT.remainder(order.qty, instrument.lot_size):
        raise denied("off_lot", f"qty {order.qty} is no multiple of the lot {instrument.lot_size}")
    if instrument.min_qty is not None and order.qty < instrument.min_qty:
        raise denied("min_qty", f"qty {order.qty} is less than the least, {instrument.min_qty}")
    least = instrument.min_notional
    if least is not None and order.price is not None:
        worth = _product(order.price, order.qty, instrument.multiplier)
        if worth < least:
            raise denied("min_notional", f"{worth} {instrument.currency} is less than the least, {least}")


def _product(price: Decimal, qty: Decimal, multiplier: Decimal) -> Decimal:
    return EXACT.multiply(EXACT.multiply(price, qty), multiplier)


def needs_quote(limits: OrderLimits) -> bool:
    """Whether these limits cannot be checked without a quote."""
    return limits.max_notional is not None or limits.price_collar_pct is not None


def check_limits(
    order: Order | OrderRequest,
    account: str,
    book: Book,
    *,
    quote: Quote | None,
    multiplier: Decimal,
    is_new: bool,
) -> None:
    """Raise `OrderDenied` where the operator's limits say no; *is_new*: it adds to what is open."""
    limits = book.settings.limits
    if limits.symbols is not None and order.symbol not in limits.symbols:
        raise denied("limit_symbols", f"{order.symbol} is not among the symbols allowed here")
    if limits.max_qty is not None and order.qty > limits.max_qty:
        raise denied("limit_max_qty", f"qty {order.qty} is more than max_qty {limits.max_qty}")
    if is_new:
        _check_counts(account, book, limits)
    if needs_quote(limits):
        if quote is None:
            raise denied("no_quote", f"no fresh quote of {order.symbol}: its limits cannot be checked")
        _check_worth(order, limits, quote, multiplier)
        _check_collar(order, limits, quote)


def _check_counts(account: str, book: Book, limits: OrderLimits) -> None:
    # The order itself is in the book by now.
    if limits.max_open_orders is not None and book.open_count(account) > limits.max_open_orders:
        raise denied(
            "limit_open_orders", f"{limits.max_open_orders} orders are open, which is all there may be"
        )
    if limits.orders_per_minute is not None and book.placed_lately(account) >= limits.orders_per_minute:
        why = f"{limits.orders_per_minute} orders were placed within a minute, which is all there may be"
        raise denied("limit_orders_per_minute", why)


def _reference(order: Order | OrderRequest, quote: Quote) -> Decimal:
    """What one piece may cost at most, as far as can be known."""
    market = quote.ask if order.side is Side.BUY else quote.bid
    prices = [price for price in (market, order.price, order.stop_price) if price is not None]
    if not prices or (market is None and order.type is OrderType.MARKET):
        raise denied("no_quote", f"nobody quotes the other side of {order.symbol}")
    if order.type in _PRICED and order.side is Side.BUY:
        return order.price or max(prices)
    return max(prices)


def _check_worth(order: Order | OrderRequest, limits: OrderLimits, quote: Quote, multiplier: Decimal) -> None:
    if limits.max_notional is None:
        return
    worth = _product(_reference(order, quote), order.qty, multiplier)
    if worth > limits.max_notional:
        raise denied("limit_max_notional", f"{worth} is more than max_notional {limits.max_notional}")


def _check_collar(order: Order | OrderRequest, limits: OrderLimits, quote: Quote) -> None:
    if limits.price_collar_pct is None:
        return
    if quote.bid is None or quote.ask is None:
        raise denied("no_quote", f"{order.symbol} is quoted on one side only: the collar cannot be checked")
    middle = EXACT.divide(EXACT.add(quote.bid, quote.ask), TWO)
    allowed = EXACT.divide(EXACT.multiply(middle, limits.price_collar_pct), HUNDRED)
    for name in ("price", "stop_price"):
        price = getattr(order, name)
        if price is not None and EXACT.subtract(price, middle).copy_abs() > allowed:
            why = f"{name} {price} is more than {limits.price_collar_pct} % away from {middle}"
            raise denied("limit_price_collar", why)
