"""
The trading side of the loopback exchange: symbols, balances, orders, matching at the touch.

Rules and texts follow the public documentation of the Binance Spot API (filters, error codes, enums):
https://developers.binance.com/docs/binance-spot-api-docs/filters
https://developers.binance.com/docs/binance-spot-api-docs/errors
https://developers.binance.com/docs/binance-spot-api-docs/enums
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

__all__ = ["Listing", "RefusedError", "SpotMarket", "VenueOrder", "VenueTrade"]

ZERO = Decimal(0)
FEE = Decimal("0.001")
EIGHT = Decimal("0.00000001")
CLIENT_ID = re.compile(r"^[a-zA-Z0-9-_]{1,36}$")
TYPES = ("LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT")
OPEN = {"NEW", "PARTIALLY_FILLED"}
NEEDED = {
    "LIMIT": {"timeInForce", "quantity", "price"},
    "LIMIT_MAKER": {"quantity", "price"},
    "MARKET": {"quantity"},
    "STOP_LOSS": {"quantity", "stopPrice"},
    "STOP_LOSS_LIMIT": {"timeInForce", "quantity", "price", "stopPrice"},
    "TAKE_PROFIT": {"quantity", "stopPrice"},
    "TAKE_PROFIT_LIMIT": {"timeInForce", "quantity", "price", "stopPrice"},
}


class RefusedError(Exception):
    """The exchange says no: HTTP *status*, *code*, *msg*."""

    def __init__(self, status: int, code: int, msg: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(msg)
        self.status, self.code, self.msg, self.headers = status, code, msg, headers or {}


@dataclass
class Listing:
    base: str
    quote: str
    tick: str = "0.01"
    step: str = "0.00001"
    min_qty: str = "0.00001"
    min_notional: str = "5"
    bid: Decimal = ZERO
    ask: Decimal = ZERO
    bid_size: Decimal = ZERO
    ask_size: Decimal = ZERO
    is_trading: bool = True

    @property
    def symbol(self) -> str:
        return self.base + self.quote


@dataclass
class VenueTrade:
    id: int
    order_id: int
    symbol: str
    price: Decimal
    qty: Decimal
    commission: Decimal
    asset: str
    time: int
    is_buyer: bool
    is_maker: bool

    def told(self) -> dict[str, object]:
        return {
            "symbol": self.symbol,
            "id": self.id,
            "orderId": self.order_id,
            "orderListId": -1,
            "price": eight(self.price),
            "qty": eight(self.qty),
            "quoteQty": eight(self.price * self.qty),
            "commission": eight(self.commission),
            "commissionAsset": self.asset,
            "time": self.time,
            "isBuyer": self.is_buyer,
            "isMaker": self.is_maker,
            "isBestMatch": True,
        }


@dataclass
class VenueOrder:
    id: int
    client_id: str
    symbol: str
    side: str
    type: str
    tif: str
    qty: Decimal
    price: Decimal
    stop_price: Decimal
    time: int
    update_time: int
    status: str = "NEW"
    is_triggered: bool = True
    executed: Decimal = ZERO
    spent: Decimal = ZERO
    locked: Decimal = ZERO
    trades: list[VenueTrade] = field(default_factory=list)

    @property
    def leaves(self) -> Decimal:
        return self.qty - self.executed

    def told(self) -> dict[str, object]:
        told = {
            "symbol": self.symbol,
            "orderId": self.id,
            "orderListId": -1,
            "clientOrderId": self.client_id,
            "price": eight(self.price),
            "origQty": eight(self.qty),
            "executedQty": eight(self.executed),
            "origQuoteOrderQty": "0.00000000",
            "cummulativeQuoteQty": eight(self.spent),
            "status": self.status,
            "timeInForce": self.tif,
            "type": self.type,
            "side": self.side,
            "icebergQty": "0.00000000",
            "time": self.time,
            "updateTime": self.update_time,
            "isWorking": self.is_triggered,
            "workingTime": self.time if self.is_triggered else -1,
            "selfTradePreventionMode": "NONE",
        }
        if self.stop_price:
            told["stopPrice"] = eight(self.stop_price)
        return told


def eight(value: Decimal) -> str:
    """*value* as the exchange writes it: eight places."""
    return format(value.quantize(EIGHT), "f")


class SpotMarket:
    """One account on one exchange. *now* gives its time in milliseconds."""

    def __init__(self, listings: list[Listing], balances: dict[str, str], now) -> None:
        self.listings = {each.symbol: each for each in listings}
        self.free = {asset: Decimal(amount) for asset, amount in balances.items()}
        self.locked: dict[str, Decimal] = {}
        self.orders: dict[int, VenueOrder] = {}
        self.trades: list[VenueTrade] = []
        self._now = now
        self._order_ids = itertools.count(1001)
        self._trade_ids = itertools.count(5001)

    # -- what clients ask --------------------------------------------------------------------------

    def place(self, params: dict[str, str]) -> VenueOrder:
        listing = self.listing(params)
        order = self._read(params, listing)
        if any(each.client_id == order.client_id and each.status in OPEN for each in self.orders.values()):
            raise RefusedError(400, -2010, "Duplicate order sent.")
        if order.type == "LIMIT_MAKER" and self._touch(order) is not None:
            raise RefusedError(400, -2010, "Order would immediately match and take.")
        self._lock(order, listing)
        self.orders[order.id] = order
        if order.is_triggered:
            self._match(order)
        return order

    def cancel(self, params: dict[str, str]) -> VenueOrder:
        listing = self.listing(params)
        order = self._named(params, listing.symbol)
        if order is None or order.status not in OPEN:
            raise RefusedError(400, -2011, "Unknown order sent.")
        self._end(order, "CANCELED")
        return order

    def find(self, params: dict[str, str]) -> VenueOrder:
        listing = self.listing(params)
        order = self._named(params, listing.symbol)
        if order is None:
            raise RefusedError(400, -2013, "Order does not exist.")
        return order

    def open_orders(self, symbol: str | None) -> list[VenueOrder]:
        return [
            each for each in self.orders.values() if each.status in OPEN and symbol in {None, each.symbol}
        ]

    def listing(self, params: dict[str, str]) -> Listing:
        symbol = params.get("symbol")
        if not symbol:
            raise RefusedError(
                400, -1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."
            )
        if symbol not in self.listings:
            raise RefusedError(400, -1121, "Invalid symbol.")
        return self.listings[symbol]

    # -- what the market does ----------------------------------------------------------------------

    def quote(self, symbol: str, bid: str, ask: str, bid_size: str = "1000", ask_size: str = "1000") -> None:
        """A new best bid and ask: stops trigger, and resting orders that are crossed trade."""
        listing = self.listings[symbol]
        listing.bid, listing.ask = Decimal(bid), Decimal(ask)
        listing.bid_size, listing.ask_size = Decimal(bid_size), Decimal(ask_size)
        for order in self.open_orders(symbol):
            if not order.is_triggered and self._is_stop_reached(order, listing):
                order.is_triggered = True
                self._match(order)
            elif order.is_triggered and (price := self._touch(order)) is not None:
                size = listing.ask_size if order.side == "BUY" else listing.bid_size
                self.fill(order, min(size, order.leaves), order.price or price, is_maker=True)

    def fill(
        self,
        order: VenueOrder,
        qty: Decimal | None = None,
        price: Decimal | None = None,
        *,
        is_maker: bool = True,
    ) -> VenueTrade:
        """Let *order* trade *qty* (all) at *price* (its own)."""
        qty, price = order.leaves if qty is None else qty, order.price if price is None else price
        listing = self.listings[order.symbol]
        is_buy = order.side == "BUY"
        got, given = (listing.base, listing.quote) if is_buy else (listing.quote, listing.base)
        received, paid = (qty, qty * price) if is_buy else (qty * price, qty)
        self._pay(order, given, paid, qty)
        fee = (received * FEE).quantize(EIGHT)
        self.free[got] = self.free.get(got, ZERO) + received - fee
        trade = VenueTrade(
            next(self._trade_ids), order.id, order.symbol, price, qty, fee, got, self._now(), is_buy, is_maker
        )
        self.trades.append(trade)
        order.trades.append(trade)
        order.executed += qty
        order.spent += qty * price
        order.update_time = trade.time
        order.status = "PARTIALLY_FILLED"
        if not order.leaves:
            self._end(order, "FILLED")
        return trade

    # -- inside ------------------------------------------------------------------------------------

    def _read(self, params: dict[str, str], listing: Listing) -> VenueOrder:
        if not listing.is_trading:
            raise RefusedError(400, -1013, "Market is closed.")
        if params.get("side") not in {"BUY", "SELL"}:
            raise RefusedError(400, -1117, "Invalid side.")
        kind = params.get("type", "")
        if kind not in TYPES:
            raise RefusedError(400, -1116, "Invalid orderType.")
        self._check_fields(params, NEEDED[kind])
        client_id = params.get("newClientOrderId") or f"venue{next(self._order_ids)}"
        if not CLIENT_ID.match(client_id):
            text = "Illegal characters found in parameter 'newClientOrderId'; legal range is "
            text += "'^[a-zA-Z0-9-_]{1,36}$'."
            raise RefusedError(400, -1100, text)
        qty, price = _number(params, "quantity"), _number(params, "price")
        stop = _number(params, "stopPrice")
        _filter(listing, qty, price, stop)
        now = self._now()
        order = VenueOrder(
            id=next(self._order_ids),
            client_id=client_id,
            symbol=listing.symbol,
            side=params["side"],
            type=kind,
            tif=params.get("timeInForce", "GTC"),
            qty=qty,
            price=price,
            stop_price=stop,
            time=now,
            update_time=now,
            is_triggered=not stop,
        )
        if stop and self._is_stop_reached(order, listing):
            raise RefusedError(400, -2010, "Stop price would trigger immediately.")
        return order

    def _check_fields(self, params: dict[str, str], needed: set[str]) -> None:
        for name in sorted(needed):
            if not params.get(name):
                raise RefusedError(
                    400, -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
                )
        for name in ("timeInForce", "price", "stopPrice"):
            if name in params and name not in needed:
                raise RefusedError(400, -1106, f"Parameter '{name}' sent when not required.")
        if params.get("timeInForce", "GTC") not in {"GTC", "IOC", "FOK"}:
            raise RefusedError(400, -1115, "Invalid timeInForce.")

    def _is_stop_reached(self, order: VenueOrder, listing: Listing) -> bool:
        rises = (order.side == "BUY") == order.type.startswith("STOP")
        if rises:
            return bool(listing.ask) and listing.ask >= order.stop_price
        return bool(listing.bid) and listing.bid <= order.stop_price

    def _touch(self, order: VenueOrder) -> Decimal | None:
        """The price at which *order* would trade now."""
        listing = self.listings[order.symbol]
        price = listing.ask if order.side == "BUY" else listing.bid
        if not price:
            return None
        if not order.price:
            return price
        meets = price <= order.price if order.side == "BUY" else price >= order.price
        return price if meets else None

    def _match(self, order: VenueOrder) -> None:
        listing = self.listings[order.symbol]
        price = self._touch(order)
        size = listing.ask_size if order.side == "BUY" else listing.bid_size
        possible = ZERO if price is None else min(size, order.leaves)
        if order.tif == "FOK" and possible < order.leaves:
            possible = ZERO
        if possible and price is not None:
            if order.side == "BUY":
                listing.ask_size -= possible
            else:
                listing.bid_size -= possible
            self.fill(order, possible, price, is_maker=False)
        if order.leaves and (order.tif in {"IOC", "FOK"} or not order.price):
            self._end(order, "EXPIRED")

    def _lock(self, order: VenueOrder, listing: Listing) -> None:
        asset = listing.quote if order.side == "BUY" else listing.base
        price = order.price or order.stop_price or listing.ask
        needed = order.qty * price if order.side == "BUY" else order.qty
        if self.free.get(asset, ZERO) < needed:
            raise RefusedError(400, -2010, "Account has insufficient balance for requested action.")
        self.free[asset] -= needed
        self.locked[asset] = self.locked.get(asset, ZERO) + needed
        order.locked = needed

    def _pay(self, order: VenueOrder, asset: str, paid: Decimal, qty: Decimal) -> None:
        """Out of what is locked for this share of the order; what it was cheaper by is free again."""
        share = order.locked if qty == order.leaves else (order.locked * qty / order.leaves).quantize(EIGHT)
        order.locked -= share
        self.locked[asset] -= share
        self.free[asset] = self.free.get(asset, ZERO) + share - paid

    def _end(self, order: VenueOrder, status: str) -> None:
        listing = self.listings[order.symbol]
        asset = listing.quote if order.side == "BUY" else listing.base
        self.locked[asset] -= order.locked
        self.free[asset] += order.locked
        order.locked, order.status, order.update_time = ZERO, status, self._now()

    def _named(self, params: dict[str, str], symbol: str) -> VenueOrder | None:
        if not params.get("orderId") and not params.get("origClientOrderId"):
            text = "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!"
            raise RefusedError(400, -1102, text)
        found = [
            each
            for each in self.orders.values()
            if each.symbol == symbol
            and params.get("orderId", str(each.id)) == str(each.id)
            and params.get("origClientOrderId", each.client_id) == each.client_id
        ]
        return found[-1] if found else None


def _number(params: dict[str, str], name: str) -> Decimal:
    text = params.get(name)
    if text is None:
        return ZERO
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise RefusedError(400, -1100, f"Illegal characters found in parameter '{name}'.") from None
    if "e" in text.lower() or value < 0:
        raise RefusedError(
            400, -1100, f"Illegal characters found in parameter '{name}'; legal range is a number."
        )
    if value != value.quantize(EIGHT):
        raise RefusedError(400, -1111, f"Parameter '{name}' has too much precision.")
    return value


def _filter(listing: Listing, qty: Decimal, price: Decimal, stop: Decimal) -> None:
    if not qty or qty % Decimal(listing.step) or qty < Decimal(listing.min_qty):
        raise RefusedError(400, -1013, "Filter failure: LOT_SIZE")
    for each in (price, stop):
        if each % Decimal(listing.tick):
            raise RefusedError(400, -1013, "Filter failure: PRICE_FILTER")
    if qty * (price or stop or listing.ask or Decimal(10**9)) < Decimal(listing.min_notional):
        raise RefusedError(400, -1013, "Filter failure: NOTIONAL")
