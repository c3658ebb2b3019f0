"""At which price an order trades on a bar, if it does. Nothing here remembers anything."""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_UP, Decimal
from typing import TYPE_CHECKING, Final, NamedTuple

from hotplug.market import Liquidity, OrderType, Side

if TYPE_CHECKING:
    from hotplug.market import Bar, Order, OrderRequest

from hotplug_broker_paper._ledger import ROUNDED

__all__ = ["Match", "match", "slipped"]

ONE: Final = Decimal(1)


class Match(NamedTuple):
    """A price, and whether the order took it from the market or was waiting there."""

    price: Decimal
    liquidity: Liquidity


def match(order: Order, bar: Bar, *, slippage: Decimal, tick: Decimal) -> Match | None:
    """
    Where *order* trades on *bar*.

    A market order trades at the open, worse by *slippage*. A limit order that the open meets trades at
    the open, which may be better than its limit; else at its limit when the bar trades *through* it:
    a bar that only touches the limit may have left us waiting in the queue.
    """
    if order.type is OrderType.MARKET:
        return Match(slipped(bar.open, order.side, slippage=slippage, tick=tick), Liquidity.TAKER)
    limit = order.price
    assert limit is not None, "limit orders without a price are denied"  # noqa: S101 - for the type checkers
    buying = order.side is Side.BUY
    if bar.open <= limit if buying else bar.open >= limit:
        return Match(bar.open, Liquidity.TAKER)
    if bar.low < limit if buying else bar.high > limit:
        return Match(limit, Liquidity.MAKER)
    return None


def slipped(price: Decimal, side: Side, *, slippage: Decimal, tick: Decimal) -> Decimal:
    """*price* made worse by the fraction *slippage*, to the next worse tick."""
    if not slippage:
        return price
    if side is Side.BUY:
        return _to_tick(price * (ONE + slippage), tick, ROUND_UP)
    return max(_to_tick(price * (ONE - slippage), tick, ROUND_DOWN), tick)


def _to_tick(price: Decimal, tick: Decimal, rounding: str) -> Decimal:
    return ROUNDED.divide(price, tick).to_integral_value(rounding) * tick


def reference_price(
    request: OrderRequest, close: Decimal | None, *, slippage: Decimal, tick: Decimal
) -> Decimal:
    """What *request* may cost each, as far as that can be known before it trades."""
    if request.price is not None:
        return request.price
    if close is None:
        return Decimal(0)
    return slipped(close, request.side, slippage=slippage, tick=tick)
